"""Whole models on an emulated GPU against the CPU: losses, gradients, predictions, training."""

import numpy as np
import pytest
from emulator import emulated_device
from fake_arrays import on_device, on_host
from helpers import TOLERANCE, assert_close, error

import fastrnn
import tdnn

T, B, p, q = 4, 3, 3, 2
LENGTHS = np.array([T, 0, 2])


def elman(dtype):
    return fastrnn.Elman(p, 5, dtype=dtype, rng=0)


def jordan(dtype):
    return fastrnn.Jordan(p, 5, q, dtype=dtype, rng=0)


def free_jordan(dtype):
    return fastrnn.Jordan(p, 5, q, teacher_forcing=0, dtype=dtype, rng=0)


def sampling_jordan(dtype):
    return fastrnn.Jordan(p, 5, q, teacher_forcing=0.5, feedback="sample", dtype=dtype, rng=0)


def zero_tdnn(dtype):
    return tdnn.TDNN(p, [(4, (-1, 0, 1)), (3, (0, 1), 2)], dtype=dtype, rng=0)


def valid_tdnn(dtype):
    return tdnn.TDNN(p, [(4, (-1, 1))], padding="valid", dtype=dtype, rng=0)


def late_tdnn(dtype):  # its first frames stand before the sequence's start
    return tdnn.TDNN(p, [(4, (1, 2))], padding="valid", dtype=dtype, rng=0)


def early_tdnn(dtype):  # its last frames stand behind the sequence's end
    return tdnn.TDNN(p, [(4, (-2, -1))], padding="valid", dtype=dtype, rng=0)


def stack(dtype):
    return fastrnn.Stack([zero_tdnn(dtype), fastrnn.Elman(3, 4, dtype=dtype, rng=0)])


# body, loss, readout, token ids?, weights?, dtype
CASES = [
    (elman, "softmax", "each", False, True, np.float64),
    (elman, "squared", "mean", False, False, np.float32),
    (elman, "sigmoid", "last", True, True, np.float64),
    (jordan, "softmax", "each", False, True, np.float64),
    (jordan, "softmax", "each", True, False, np.float32),
    (free_jordan, "softmax", "each", False, False, np.float64),
    (sampling_jordan, "softmax", "each", False, False, np.float64),
    (zero_tdnn, "softmax", "each", False, True, np.float32),
    (valid_tdnn, "squared", "each", False, False, np.float64),
    (late_tdnn, "softmax", "each", False, False, np.float64),
    (early_tdnn, "softmax", "each", True, True, np.float64),
    (stack, "sigmoid", "mean", False, False, np.float64),
]


def make_model(body, loss, readout, dtype):
    return fastrnn.SequenceModel(body(dtype), q, loss=loss, readout=readout, rng=1)


def make_batch(loss, readout, tokens, weighted, dtype):
    """Return (x, targets, lengths, weights) for the model's arguments."""
    rng = np.random.default_rng(2)
    x = rng.integers(0, p, (T, B)) if tokens else rng.standard_normal((T, B, p)).astype(dtype)
    targets = {
        "softmax": rng.integers(0, q, (T, B)),
        "sigmoid": rng.uniform(0, 1, (T, B, q)).astype(dtype),
        "squared": rng.standard_normal((T, B, q)).astype(dtype),
    }[loss]
    weights = rng.uniform(0.5, 2, (T, B)) if weighted else None
    if readout != "each":
        targets, weights = targets[0].copy(), None if weights is None else weights[0].copy()
    return x, targets, LENGTHS, weights


def name_of(case):
    return "-".join(str(getattr(part, "__name__", part)) for part in case)


def check_model(case, place):
    """Compare a model on the GPU with its twin on the CPU; `place` brings arrays there."""
    body, loss, readout, tokens, weighted, dtype = case
    model = make_model(body, loss, readout, dtype)
    there = model.to("cuda")
    x, targets, lengths, weights = make_batch(loss, readout, tokens, weighted, dtype)
    given = {"lengths": lengths, "weights": weights}
    want, gradients = model.loss_and_grad(x, targets, **given)
    placed = {name: place(value) for name, value in given.items()}
    value, found = there.loss_and_grad(place(x), place(targets), **placed)
    tolerance = TOLERANCE[np.dtype(dtype)]
    assert isinstance(value, float) and abs(value - want) <= tolerance * abs(want)
    assert_close(on_host(found), gradients, tolerance)
    if body is not sampling_jordan:  # what it predicts is another draw
        predicted = there.predict(place(x), lengths=placed["lengths"])
        assert error(on_host(predicted), model.predict(x, lengths=lengths)) <= tolerance
    assert there.loss(place(x), place(targets), **placed) == pytest.approx(
        model.loss(x, targets, **given), rel=tolerance
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_loss_gradients_and_predictions(case):
    with emulated_device("asc", multiprocessors=0):
        check_model(case, on_device)


def test_without_lengths_and_as_a_sum():
    model = make_model(elman, "softmax", "each", np.float64)
    x, targets, _, weights = make_batch("softmax", "each", False, True, np.float64)
    for given in ({}, {"weights": weights}):
        want, gradients = model.loss_and_grad(x, targets, reduction="sum", **given)
        with emulated_device("desc", multiprocessors=0):
            there = model.to("cuda")
            arguments = on_device((x, targets)), on_device(given)
            value, found = there.loss_and_grad(*arguments[0], reduction="sum", **arguments[1])
            assert value == pytest.approx(want, rel=1e-12)
            assert_close(on_host(found), gradients, 1e-12)


def test_resets_and_given_targets():
    x, targets, lengths, _ = make_batch("softmax", "each", False, False, np.float64)
    resets = np.zeros((T, B), bool)
    resets[1, 0] = resets[3, 2] = True
    model = make_model(elman, "softmax", "each", np.float64)
    want, gradients = model.loss_and_grad(x, targets, lengths=lengths, resets=resets)
    with emulated_device("asc", multiprocessors=0):
        x_there, y_there, lengths_there, resets_there = on_device((x, targets, lengths, resets))
        value, found = model.to("cuda").loss_and_grad(
            x_there, y_there, lengths=lengths_there, resets=resets_there
        )
        assert value == pytest.approx(want, rel=1e-12)
        assert_close(on_host(found), gradients, 1e-12)
        fed = make_model(jordan, "softmax", "each", np.float64)
        got = fed.to("cuda").forward(x_there, y=y_there, lengths=lengths_there)
        assert error(on_host(got), fed.forward(x, y=targets, lengths=lengths)) <= 1e-12


def test_the_same_bits_every_time():
    case = CASES[0]
    batch = make_batch(*case[1:])
    seen = []
    for order in ("asc", "desc", 4):
        with emulated_device(order, multiprocessors=4):
            there = make_model(*case[:3], case[5]).to("cuda")
            value, found = there.loss_and_grad(*on_device(batch[:2]), lengths=on_device(LENGTHS))
            seen.append((value, {name: a.tobytes() for name, a in on_host(found).items()}))
    assert seen[0] == seen[1] == seen[2]


OPTIMIZERS = [
    (elman, lambda: fastrnn.Adam(0.05), "softmax", None),
    (jordan, lambda: fastrnn.SGD(0.1, momentum=0.9), "softmax", 0.05),
    (zero_tdnn, lambda: fastrnn.RMSProp(0.01), "softmax", None),
    (valid_tdnn, lambda: fastrnn.AdaGrad(0.1), "squared", None),
]


@pytest.mark.parametrize(("body", "optimizer", "loss", "clip"), OPTIMIZERS)
def test_a_few_steps_of_fit(body, optimizer, loss, clip, tmp_path):
    x, targets, lengths, _ = make_batch(loss, "each", False, False, np.float64)
    batch = (x, targets, lengths)
    settings = {"epochs": 2, "clip_norm": clip, "progress": False}
    here = make_model(body, loss, "each", np.float64)
    with emulated_device("asc", multiprocessors=0) as device:
        copies, there = count_uploads(device), here.to("cuda")
        copies.clear()
        path = tmp_path / "run.npz"
        history = fastrnn.fit(
            there, batch, optimizer=optimizer(), validation=batch, checkpoint=path, **settings
        )
        assert copies.count(x.nbytes) == 2  # data and validation, each once
        trained = there.to("cpu")
        resumed = make_model(body, loss, "each", np.float64).to("cuda")
        settings["epochs"] = 3
        last = fastrnn.fit(
            resumed, batch, optimizer=optimizer(), checkpoint=path, resume=True, **settings
        )
        final = resumed.to("cpu")
    settings["epochs"] = 2
    tolerance = 1e-10  # of sums of sums: a step amplifies rounding
    want = fastrnn.fit(here, batch, optimizer=optimizer(), validation=batch, **settings)
    for found, expected in zip(history.rows, want.rows, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=tolerance)
        assert found["validation"] == pytest.approx(expected["validation"], rel=tolerance)
    assert_close(trained.parameters(), here.parameters(), tolerance)
    again = make_model(body, loss, "each", np.float64)
    settings["epochs"] = 3
    fastrnn.fit(again, batch, optimizer=optimizer(), **settings)
    assert len(last.rows) == 3
    assert_close(final.parameters(), again.parameters(), tolerance)


def count_uploads(device):
    """Return a list that each copy to the device adds its size to."""
    sizes, upload = [], device.upload

    def counted(pointer, host, stream):
        sizes.append(host.nbytes)
        upload(pointer, host, stream)

    device.upload = counted
    return sizes


def test_an_optimizer_follows_its_model():
    x, targets, lengths, _ = make_batch("softmax", "each", False, False, np.float64)
    model, twin = (make_model(elman, "softmax", "each", np.float64) for _ in range(2))
    moving, staying = fastrnn.Adam(0.05), fastrnn.Adam(0.05)
    with emulated_device("asc", multiprocessors=0):
        for place in ("cuda", "cpu", "cuda"):
            model = model.to(place)
            batch = (x, targets, lengths)
            for fitted, optimizer in ((model, moving), (twin, staying)):
                fastrnn.fit(fitted, batch, optimizer=optimizer, epochs=1, progress=False)
        state, settings = moving.state()
        model = model.to("cpu")
    assert settings == staying.state()[1]
    assert_close(state, staying.state()[0], 1e-10)
    assert_close(model.parameters(), twin.parameters(), 1e-10)


def test_bad_data_is_refused_before_it_is_copied():
    x, targets, lengths, _ = make_batch("softmax", "each", False, False, np.float64)
    with emulated_device("asc", multiprocessors=0):
        there = make_model(elman, "softmax", "each", np.float64).to("cuda")

        def fit(*batch):
            fastrnn.fit(there, batch, optimizer=fastrnn.SGD(0.1), epochs=1, progress=False)

        with pytest.raises(ValueError, match="^targets: expected integers from 0 to 1, got 3"):
            fit(x, targets + 2)
        with pytest.raises(ValueError, match="^lengths: expected values from 0 to T = 4, got 5"):
            fit(x, targets, lengths + 1)
        x[0, 0, 0] = np.nan
        with pytest.raises(FloatingPointError, match="^loss: expected finite values"):
            fit(x, targets)


def test_what_a_model_on_the_gpu_refuses():
    x, targets, *_ = make_batch("softmax", "each", False, False, np.float64)
    with emulated_device("asc", multiprocessors=0):
        there = make_model(elman, "softmax", "each", np.float64).to("cuda")
        arrays = on_device((x, targets))
        with pytest.raises(ValueError, match="^truncation: expected None with a model on a GPU"):
            there.loss_and_grad(*arrays, truncation=(2, 2))
        with pytest.raises(TypeError, match="^stream: expected parameters and arrays in CPU"):
            there.stream()
        with pytest.raises(TypeError, match="^x: expected an array on a GPU, got one in CPU"):
            there.loss_and_grad(x, arrays[1])
        with pytest.raises(TypeError, match="^targets: expected an array on a GPU, got one in CPU"):
            there.loss_and_grad(arrays[0], targets)
        state = there.body.forward(arrays[0])
        with pytest.raises(TypeError, match="^state: expected parameters and arrays in CPU"):
            there.body.carry(state, 1)


def test_files(tmp_path):
    model = make_model(valid_tdnn, "softmax", "each", np.float32)
    with emulated_device("asc"):
        there = model.to("cuda")
        there.save(tmp_path / "there.npz")
        assert there.astype(np.float64).device == "cuda"
    model.save(tmp_path / "here.npz")
    assert (tmp_path / "there.npz").read_bytes() == (tmp_path / "here.npz").read_bytes()
    assert fastrnn.load(tmp_path / "there.npz").device == "cpu"
