"""The edge table: numbers without end or meaning, weights, and settings of unusual types."""

import numpy as np
import pytest
from edge_cases import KINDS, PASSES, B, M, P, Q, T, arguments, body, total
from helpers import assert_same_bits

import fastrnn
import tdnn


@pytest.mark.parametrize("kind", ["elman", "tdnn"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_number_stays_in_its_row_and_window(kind, bad):
    model = fastrnn.SequenceModel(body(kind), Q, loss="squared", rng=2)
    x = np.random.default_rng(3).standard_normal((9, 3, P))
    before = model.forward(x)
    x[4, 1, 2] = bad
    after = model.forward(x)
    times = range(4, 9) if kind == "elman" else range(4 - 1 - 1, 4 + 1 + 2 + 1)
    reached = np.zeros((9, 3), bool)
    reached[list(times), 1] = True
    assert after[~reached].tobytes() == before[~reached].tobytes()
    assert (after[4, 1] != before[4, 1]).all()
    if np.isnan(bad):
        assert np.isnan(after[4, 1]).all()


@pytest.mark.parametrize("function", ["elman", "tdnn"])
def test_relu_at_zero_and_nan(function):
    x = np.array([0.0, -1.0, 2.0, np.nan])[None, :, None]
    one, zero = np.ones((1, 1)), np.zeros(1)
    if function == "elman":
        h = fastrnn.elman_forward(x, one, 0 * one, zero, activation="relu").h
        dx = fastrnn.elman_backward(np.ones_like(h), x, h, one, 0 * one, activation="relu").dx
    else:
        h = tdnn.tdnn_forward(x, one[None], zero, [0]).h
        dx = tdnn.tdnn_backward(np.ones_like(h), x, h, one[None], [0]).dx
    np.testing.assert_array_equal(h[0, :, 0], [0, 0, 2, np.nan])
    np.testing.assert_array_equal(dx[0, :3, 0], [0, 0, 1])


def test_logits_of_great_size():
    o = np.array([[[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]]])
    labels = np.array([[[0, 1, 0], [1, 0, 1]]])
    value, do = fastrnn.softmax_cross_entropy(o, [[1, 2]])
    assert value == 2e4 and do.tolist() == [[[1, -1, 0], [0, 0, 0]]]
    value, do = fastrnn.sigmoid_cross_entropy(o, labels)
    assert value == pytest.approx(3e4 + np.log(2), rel=1e-15)
    assert do.tolist() == [[[1, -1, 0.5], [-1, 0, 0]]]
    assert fastrnn.squared_error(o, 0.0 * o).value == 5e8


def test_logits_of_minus_infinity_leave_classes_out():
    """As masks do: the others are as if these classes were not there."""
    o = np.random.default_rng(6).standard_normal((3, 2, 5))
    o[:, :, [0, 3]] = -np.inf
    targets = np.array([[1, 2], [4, 4], [2, 1]])
    got = fastrnn.softmax_cross_entropy(o, targets)
    few = fastrnn.softmax_cross_entropy(o[:, :, [1, 2, 4]], np.array([0, 0, 1, 0, 2])[targets])
    assert got.value == pytest.approx(few.value, rel=1e-15)
    np.testing.assert_allclose(got.do[:, :, [1, 2, 4]], few.do, rtol=1e-14)
    assert not got.do[:, :, [0, 3]].any()
    impossible = fastrnn.softmax_cross_entropy(o, np.zeros_like(targets))
    assert impossible.value == np.inf and np.isfinite(impossible.do).all()


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "squared"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_logit_spoils_its_step_only(name, bad):
    a = arguments(name)
    before = PASSES[name](a)
    a["o"][2, 0, 1] = bad
    after = PASSES[name](a)
    other = np.ones((T, B), bool)
    other[2, 0] = False
    assert after["do"][other].tobytes() == before["do"][other].tobytes()
    assert not np.isfinite(after["value"])
    a["weights"][2, 0] = 0  # a step that does not count is not looked at
    assert np.isfinite(PASSES[name](a)["value"])


# Weights


@pytest.mark.parametrize("name", sorted(PASSES.keys() - {"elman", "tdnn", "jordan"}))
def test_weights_of_any_real_kind(name):
    a = arguments(name)
    shape = a["weights"].shape
    ones = PASSES[name](a | {"weights": None})
    for dtype in (bool, "i1", "u8", "f2", ">f4", "f8", np.longdouble):
        assert_same_bits(PASSES[name](a | {"weights": np.ones(shape, dtype)}), ones)
    some = np.arange(np.prod(shape)).reshape(shape) % 3
    weighted = PASSES[name](a | {"weights": some})
    assert_same_bits(PASSES[name](a | {"weights": some.astype("f4")}), weighted)
    assert weighted["value"] != ones["value"]
    for nothing in (np.zeros(shape), np.zeros(shape, bool), some * 0):
        none = PASSES[name](a | {"weights": nothing})
        assert none["value"] == 0
        for key in total(none).keys() - {"loss"}:
            assert not np.any(none[key]), key
    balanced = np.where(np.arange(shape[-1]) < 2, 0, [1, 1, 1, -1])[None].repeat(shape[0], 0)
    if len(shape) == 2:  # a sum of 0 without a weight of 0: also no division by it
        rows = {"weights": balanced, "lengths": np.full(B, T)}
        assert PASSES[name](a | rows)["value"] == 0


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**600, -(2.0**40)])
def test_scale_of_the_weights_does_not_change_the_mean(scale):
    """Also beyond the range of float32, in which the gradient is computed."""
    a = arguments("softmax")
    for dtype in (np.float64, np.float32):
        a["o"] = a["o"].astype(dtype)
        scaled = PASSES["softmax"](a | {"weights": scale * a["weights"]})
        assert_same_bits(scaled, PASSES["softmax"](a))


@pytest.mark.parametrize("name", ["softmax", "elman model", "tdnn mean"])
@pytest.mark.parametrize("bad", ["complex", "text", "object", "masked", "datetime"])
def test_weights_of_other_kinds(name, bad):
    a = arguments(name)
    kinds = KINDS | {"datetime": lambda w: w.astype(int).astype("M8[s]")}
    with pytest.raises(TypeError, match="^weights: expected .*got "):
        PASSES[name](a | {"weights": kinds[bad](a["weights"])})


# Settings


@pytest.mark.parametrize("integer", [int, np.int8, np.uint16, np.int64])
def test_sizes_of_any_integer_kind(integer):
    network = fastrnn.Elman(integer(P), integer(M), dtype=float, rng=integer(3))
    model = fastrnn.SequenceModel(network, integer(Q))
    assert all(type(size) is int for size in (model.body.input_size, model.output_size))
    network = tdnn.TDNN(integer(P), [(integer(M), (integer(0), integer(1)), integer(2))])
    assert network.config()["layers"] == [[M, [0, 1], 2]]
    assert fastrnn.thread_count(integer(2)) == 2
    x = np.zeros((2, 1, P))
    assert model.predict(x, threads=integer(1)).shape == (2, 1, Q)
    assert model.stream(integer(1)).step(x[0]).shape == (1, Q)
    history = fastrnn.fit(
        model, (x, [[0], [1]]), optimizer=fastrnn.SGD(integer(1)), epochs=integer(1), progress=False
    )
    assert len(history.rows) == 1


def test_options_may_be_numpy_strings(tmp_path):
    options = np.array(["relu", "sigmoid", "last", "zero", "float64"])
    network = fastrnn.Elman(P, M, activation=options[0], dtype=options[4])
    model = fastrnn.SequenceModel(network, Q, loss=options[1], readout=options[2], rng=0)
    x = np.ones((2, 1, P))
    model.save(tmp_path / "model.npz")
    assert np.array_equal(fastrnn.load(tmp_path / "model.npz").predict(x), model.predict(x))
    assert tdnn.tdnn_forward(x, np.ones((1, 2, P)), np.ones(2), [0], padding=options[3]).h.all()
