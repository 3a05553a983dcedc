"""Wrong calls: what each raises, and that neither its inputs nor any object has changed.

A message begins with the argument's public name (both, where two disagree), then says what was
expected and what came.
"""

import copy
import os

import numpy as np
import pytest
from bad_calls import (
    ADAM,
    BATCH,
    DEEP,
    DEEP_TRACE,
    EACH,
    FED,
    FED_TRACE,
    H0,
    IDS,
    LABEL,
    LAST,
    RIGHT,
    TABLE,
    TIME,
    TIME_TRACE,
    TRACE,
    X32,
    M,
    P,
    Q,
    T,
    U,
    X,
)  # fmt: skip

import fastrnn
import tdnn


def everything():
    """Return the contents of all arrays that a call of the table could reach."""
    found = [TRACE, TIME_TRACE, FED_TRACE, DEEP_TRACE, ADAM.state(), BATCH, X32, FED.sampling()]
    found += [[each.parameters(), each.config()] for each in (EACH, LAST, LABEL, TIME, FED, DEEP)]
    return copy.deepcopy([list(RIGHT.values()), found])


def same(a, b):
    """Compare nested containers, arrays by their bits."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    layers = fastrnn.Elman | fastrnn.Jordan | fastrnn.Stack | tdnn.TDNN
    if isinstance(a, fastrnn.SequenceModel | layers):
        return same([a.config(), a.parameters()], [b.config(), b.parameters()])
    if isinstance(a, fastrnn.Adam):
        return same(a.state(), b.state())
    return a == b


def refused(call, error, names, parts):
    """Check that a call raises, what it says, and that nothing has changed."""
    before = everything()
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert caught.type is error, text
    assert text.startswith(names + ": expected "), text
    assert "\n" not in text
    for part in (*parts, "got "):
        assert part in text, text
    assert same(before, everything())


def label(row):
    function, argument, value = row[:3]
    kind = f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    return f"{function.__qualname__}-{argument}-{kind}"


@pytest.mark.parametrize("row", TABLE, ids=map(label, TABLE))
def test_refused(row):
    function, argument, value, error, names, *parts = row
    refused(lambda: function(**RIGHT[function] | {argument: value}), error, names, parts)


@pytest.mark.parametrize("function", RIGHT, ids=lambda f: f.__qualname__)
def test_the_unchanged_calls_are_right(function):
    """Else the table would test another mistake than the one it names."""
    arguments = copy.deepcopy(RIGHT[function])
    if function == ADAM.step:
        fastrnn.Adam().step(**arguments)
    else:
        function(**arguments)


def test_same_sees_a_change():
    before = everything()
    EACH.c[0] += 1
    try:
        assert not same(before, everything())
    finally:
        EACH.c[0] -= 1
    assert same(before, everything())


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_readouts_that_a_body_with_targets_at_each_step_has_not(readout):
    refused(
        lambda: fastrnn.SequenceModel(FED.body, readout=readout), ValueError, "readout",
        ["'each' with a body of kind 'jordan'", repr(readout)],
    )  # fmt: skip


# Streams, files and settings that are not arguments


@pytest.mark.parametrize(
    "make",
    [EACH.stream, TIME.stream, FED.stream, EACH.body.stream, TIME.body.stream, FED.body.stream],
)
def test_a_refused_frame_leaves_the_stream_as_it_was(make):
    frames = np.random.default_rng(0).standard_normal((3, 2, P))
    stream, other = make(2), make(2)
    for frame in frames:
        for bad, error, names, parts in [
            (frame[:1], ValueError, "batch_size, x_t", ["B = 2", "got shape (1, 3)"]),
            (frame[:, 1:], ValueError, "input_size, x_t", ["p = 3", "got shape (2, 2)"]),
            (frame[0], ValueError, "x_t", ["shape (B, p)", "got shape (3,)"]),
            (frame.astype("f4"), TypeError, "x_t", ["float64", "got float32"]),
            (None, TypeError, "x_t", ["float64 of shape (B, p)", "(NoneType)"]),
            ([0, P], ValueError, "x_t", ["integers from 0 to 2", "got 3 at position 1"]),
        ]:
            refused(lambda bad=bad: stream.step(bad), error, names, parts)
        assert np.array_equal(stream.step(frame), other.step(frame))


def test_refused_states_of_a_stream():
    stream = EACH.body.stream(2)
    for bad, error, names, part in [
        (H0[:1], ValueError, "batch_size, h0", "B = 2"),
        (H0[:, 1:], ValueError, "hidden_size, h0", "m = 5"),
        (H0.astype("f4"), TypeError, "h0", "got float32"),
    ]:
        refused(lambda bad=bad: stream.reset(bad), error, names, [part])


@pytest.mark.parametrize(
    ("name", "value", "names", "part"),
    [
        ("V", np.zeros((Q, M + 1)), "body, V", "with m = 5"),
        ("V", np.zeros((Q, M), "f4"), "V", "float64"),
        ("c", np.zeros(Q + 1), "V, c", "with q = 4"),
        ("c", np.zeros((1, Q)), "c", "shape (q,)"),
    ],
)
def test_output_layer_that_does_not_fit(name, value, names, part):
    """It may be assigned to, and a kernel would read beyond its end."""
    broken = copy.deepcopy(EACH)
    setattr(broken, name, value)
    error = TypeError if value.dtype == np.float32 else ValueError
    for call in (
        lambda: broken.forward(X),
        lambda: broken.predict(X),
        lambda: broken.loss_and_grad(X, IDS),
        lambda: broken.stream(),
    ):
        refused(call, error, names, [part])


@pytest.mark.parametrize(
    ("name", "value", "names", "part"),
    [
        ("U", np.zeros((M + 1, P)), "U, W", "with m = 6"),
        ("W", np.zeros((M, M - 1)), "U, W", "with m = 5"),
        ("b", np.zeros(M - 1), "U, b", "with m = 5"),
    ],
)
def test_parameters_that_do_not_fit(name, value, names, part):
    broken = copy.deepcopy(EACH.body)
    setattr(broken, name, value)
    refused(broken.stream, ValueError, names, [part])
    with pytest.raises(ValueError, match="expected .*got "):
        broken.forward(X)


@pytest.mark.parametrize(
    ("path", "error", "parts"),
    [
        ("model.pt", ValueError, [".npz or .safetensors", "model.pt"]),
        ("model", ValueError, [".npz or .safetensors", "model"]),
        (None, TypeError, ["a path", "got NoneType"]),
        (3, TypeError, ["a path", "got int"]),
    ],
)
def test_save_refuses(path, error, parts, tmp_path):
    if isinstance(path, str):
        path = tmp_path / path
    refused(lambda: EACH.save(path), error, "path", parts)
    assert os.listdir(tmp_path) == []


def test_save_where_it_cannot(tmp_path):
    with pytest.raises(FileNotFoundError):
        EACH.save(tmp_path / "no" / "model.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(OSError, match=r"folder\.npz"):
        EACH.save(tmp_path / "folder.npz")
    assert os.listdir(tmp_path) == ["folder.npz"]


def test_load_refuses(tmp_path):
    EACH.save(tmp_path / "model.npz")
    good = (tmp_path / "model.npz").read_bytes()
    middle = len(good) // 2
    contents = {
        "empty": b"",
        "text": b"not a model",
        "short": good[:-100],
        "changed": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        refused(lambda path=path: fastrnn.load(path), ValueError, "path", [name])
    np.savez(tmp_path / "arrays.npz", U=U)
    refused(
        lambda: fastrnn.load(tmp_path / "arrays.npz"), ValueError, "path", ["save_arrays", "digest"]
    )
    for path in (3, None, True, EACH, b"model.npz"):
        refused(lambda path=path: fastrnn.load(path), TypeError, "path", ["a path"])
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz"):
        fastrnn.load(tmp_path / "nothing.npz")


def test_load_refuses_what_is_no_model_of_this_version(tmp_path):
    path = tmp_path / "other.npz"
    config = EACH.config()
    for metadata, parts in [
        ({}, ["a saved model", "without one"]),
        ({"model": {}}, ["a model of this version", "'body'"]),
        ({"model": config | {"body": {"kind": "elman", "config": {"depth": 2}}}}, ["'depth'"]),
        ({"model": config | {"body": {"kind": "gru", "config": {}}}}, ["installed", "'gru'"]),
        ({"model": config | {"output_size": 9}}, ["parameters that fit"]),
        ({"model": config | {"body": {"kind": "stack", "config": {"bodies": []}}}}, ["'dtype'"]),
    ]:
        fastrnn.checkpoint.save_arrays(path, EACH.parameters(), metadata)
        refused(lambda: fastrnn.load(path), ValueError, "path", parts)


def test_training_checkpoint_is_no_model(tmp_path):
    path = tmp_path / "run.npz"
    fastrnn.fit(
        copy.deepcopy(EACH), BATCH, optimizer=fastrnn.Adam(), epochs=1, checkpoint=path,
        progress=False,
    )  # fmt: skip
    refused(lambda: fastrnn.load(path), ValueError, "path", ["a saved model", "run.npz"])


@pytest.mark.parametrize(
    ("data", "error", "names", "parts"),
    [
        ([], ValueError, "data", ["at least one batch", "got none in epoch 1"]),
        ([X, IDS], TypeError, "data", ["(x, targets[, lengths[, weights]])", "got ndarray"]),
        ((X,), ValueError, "data", ["(x, targets[", "got 1 entries"]),
        ((X, IDS, None, None, None), ValueError, "data", ["(x, targets[", "got 5 entries"]),
        (lambda epoch: None, TypeError, "data", ["returns an iterable", "got NoneType"]),
        ((X32, IDS), TypeError, "x", ["float64", "got float32"]),
        ((X, IDS + Q), ValueError, "targets", ["0 to 3", "got 4 at position (0, 0)"]),
        ((X, IDS, [T, T + 1]), ValueError, "lengths", ["T = 6", "got 7"]),
        ((X * np.nan, IDS), FloatingPointError, "loss", ["finite", "epoch 1, batch 1"]),
    ],
    ids=["none", "list", "one", "five", "callable", "dtype", "class", "lengths", "nan"],
)
def test_fit_refuses_batches(data, error, names, parts, tmp_path):
    optimizer, path = fastrnn.Adam(), tmp_path / "run.npz"

    def call():
        fastrnn.fit(EACH, data, optimizer=optimizer, epochs=2, checkpoint=path, progress=False)

    refused(call, error, names, parts)
    assert optimizer.state()[1]["steps"] == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("wish", ["0", "-1", "two", "1.5", "²"])
def test_thread_count_in_the_environment(wish, monkeypatch):
    monkeypatch.setenv("FASTRNN_NUM_THREADS", wish)
    for call in (fastrnn.thread_count, lambda: EACH.forward(X)):
        refused(call, ValueError, "FASTRNN_NUM_THREADS", ["an integer >= 1", f"got {wish!r}"])
    assert fastrnn.thread_count(3) == 3
