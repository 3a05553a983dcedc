"""gradcheck: right gradients pass, and planted mistakes of every kind are seen."""

import numpy as np
import pytest
from stacks import make

import fastrnn
import fastrnn.elman
import fastrnn.losses
import tdnn
import tdnn.layer

T, B, P, M, Q = 7, 4, 3, 5, 4
LENGTHS = [7, 0, 3, 5]
RIGHT, WRONG = 1e-7, 1e-3


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


X, IDS, CLASSES = normal(T, B, P), np.arange(T * B).reshape(T, B) % P, np.ones((T, B), int)
ELMAN = {
    "x": X, "U": normal(M, P), "W": 0.4 * normal(M, M), "b": normal(M), "h0": normal(B, M),
    "lengths": LENGTHS,
}  # fmt: skip
TIME = {"x": X, "W": normal(3, M, P), "b": normal(M), "offsets": (-1, 2, 0), "lengths": LENGTHS}
JORDAN = {
    "x": X, "U": normal(M, P), "W": normal(M, Q), "b": normal(M), "V": normal(Q, M),
    "c": normal(Q), "z0": normal(B, Q), "lengths": LENGTHS,
}  # fmt: skip
MODEL = {"x": X, "targets": CLASSES, "lengths": LENGTHS}


def errors(*arguments, **keywords):
    """Return the relative error of each argument."""
    rows = fastrnn.gradcheck(*arguments, **keywords)
    found = {row["argument"]: row["relative_error"] for row in rows}
    assert len(found) == len(rows)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    return found


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
def test_elman_function(activation):
    found = errors(fastrnn.elman_forward, **ELMAN, activation=activation)
    assert set(found) == {"x", "U", "W", "b", "h0"} and max(found.values()) < RIGHT


@pytest.mark.parametrize("padding", ["valid", "zero", "replicate"])
def test_time_delay_function(padding):
    found = errors(tdnn.tdnn_forward, **TIME, padding=padding, stride=2, activation="relu")
    assert set(found) == {"x", "W", "b"} and max(found.values()) < RIGHT


@pytest.mark.parametrize("feedback", ["softmax", "identity"])
def test_jordan_function(feedback):
    scale = 0.3 if feedback == "identity" else 1  # else it would explode
    call = JORDAN | {"W": scale * JORDAN["W"]}
    found = errors(fastrnn.jordan_forward, **call, feedback=feedback)
    assert set(found) == {"x", "U", "W", "b", "V", "c", "z0"} and max(found.values()) < RIGHT
    forced = errors(fastrnn.jordan_forward, **JORDAN, y=CLASSES)
    assert max(forced.values()) < RIGHT


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(
    ("function", "targets"),
    [
        (fastrnn.softmax_cross_entropy, CLASSES),
        (fastrnn.sigmoid_cross_entropy, np.full((T, B, Q), 0.3)),
        (fastrnn.squared_error, normal(T, B, Q, seed=1)),
    ],
    ids=["softmax", "sigmoid", "squared"],
)
def test_losses(function, targets, reduction):
    weights = np.arange(T * B).reshape(T, B) % 3
    found = errors(
        function, normal(T, B, Q), targets, lengths=LENGTHS, weights=weights, reduction=reduction
    )
    assert list(found) == ["o"] and found["o"] < RIGHT


def test_layers():
    found = errors(fastrnn.Elman(P, M, rng=0), X, ELMAN["h0"], lengths=LENGTHS)
    assert set(found) == {"U", "W", "b", "x", "h0"} and max(found.values()) < RIGHT
    found = errors(tdnn.TDNN(P, [(M, (-1, 2), 2)], rng=0), IDS)
    assert set(found) == {"W0", "b0"} and max(found.values()) < RIGHT
    found = errors(fastrnn.Jordan(P, M, Q, rng=0), X, CLASSES)
    assert set(found) == {"U", "W", "b", "V", "c", "x"} and max(found.values()) < RIGHT
    stack = make("stack over stack")
    start = ((None, normal(B, 6).astype("f4")), (None, normal(B, 4)))
    found = errors(stack, X, start, lengths=LENGTHS)
    assert set(found) == {*stack.parameters(), "x", "h0[0][1]", "h0[1][1]"}
    assert max(found.values()) < RIGHT


@pytest.mark.parametrize("readout", ["each", "last", "mean"])
def test_models(readout):
    model = fastrnn.SequenceModel(make("elman over strided tdnn"), Q, readout=readout, rng=0)
    call = MODEL | {} if readout == "each" else MODEL | {"targets": CLASSES[0]}
    found = errors(model, **call, weights=call["targets"] + 0.5)
    assert set(found) == {*model.parameters(), "x"} and max(found.values()) < RIGHT


def test_a_model_that_is_fed_its_targets():
    body = fastrnn.Stack([fastrnn.Elman(P, 6, rng=0), fastrnn.Jordan(6, M, Q, rng=1)])
    body.teacher_forcing = 0.5  # the loss draws nothing, and so its gradient must not either
    found = errors(fastrnn.SequenceModel(body), **MODEL)
    assert max(found.values()) < RIGHT


def test_rows_say_what_was_checked_and_make_a_table():
    model = fastrnn.SequenceModel(fastrnn.Elman(P, M, rng=0), Q, rng=0)
    before = {name: array.copy() for name, array in model.parameters().items()}
    x = X.astype(np.float32)
    rows = fastrnn.gradcheck(model, x, CLASSES, directions=2, rng=np.random.default_rng(3))
    assert rows == fastrnn.gradcheck(model, x, CLASSES, directions=2, rng=3)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(x, X.astype(np.float32))
    _, gradients = model.loss_and_grad(x, CLASSES)
    for row in rows:
        assert list(row) == [
            "argument", "shape", "dtype", "analytic_norm", "difference", "relative_error",
        ]  # fmt: skip
        assert row["dtype"] == "float32"
        if row["argument"] != "x":
            gradient = gradients[row["argument"]]
            assert row["shape"] == gradient.shape
            assert row["analytic_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    table = pytest.importorskip("pandas").DataFrame(rows)
    assert table["relative_error"].is_monotonic_decreasing and len(table) == 6


def test_what_does_not_count_has_no_error():
    """No steps, no weights: gradients and differences are both 0."""
    for call in ({"x": X[:0], "targets": CLASSES[:0]}, {**MODEL, "weights": np.zeros((T, B))}):
        model = fastrnn.SequenceModel(fastrnn.Elman(P, M, rng=0), Q, rng=0)
        assert set(errors(model, **call).values()) == {0.0}
    x = X.copy()
    x[np.arange(T)[:, None] >= np.array(LENGTHS)] = np.nan
    assert max(errors(fastrnn.elman_forward, **ELMAN | {"x": x}).values()) < RIGHT


# Planted mistakes


def changed(function, change):
    """Return a function whose gradients are changed: `change(results)` returns those to replace."""

    def wrong(*arguments, **keywords):
        results = function(*arguments, **keywords)
        return results._replace(**change(results))

    wrong.__signature__ = __import__("inspect").signature(function)
    return wrong


def lagged(results):
    return {"dx": np.roll(results.dx, 1, axis=0)}


MISTAKES = {
    "sign": ("b", lambda results: {"db": -results.db}),
    "transposed": ("W", lambda results: {"dW": results.dW.T.copy()}),
    "lag": ("x", lagged),
    "missing": ("h0", lambda results: {"dh0": np.zeros_like(results.dh0)}),
    "twice": ("U", lambda results: {"dU": 2 * results.dU}),
    "one element": ("W", lambda results: {"dW": results.dW + 0.05 * (np.arange(M) == 2)}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_seen_and_no_other(monkeypatch, mistake):
    argument, change = MISTAKES[mistake]
    wrong = changed(fastrnn.elman_backward, change)
    monkeypatch.setattr(fastrnn.elman, "elman_backward", wrong)
    found = errors(fastrnn.elman_forward, **ELMAN)
    assert found.pop(argument) > WRONG and max(found.values()) < RIGHT
    layer = errors(fastrnn.Elman(P, M, dtype=float, rng=0), X, ELMAN["h0"], lengths=LENGTHS)
    assert layer.pop(argument) > WRONG and max(layer.values()) < RIGHT


def test_a_mask_that_is_missing_is_seen(monkeypatch):
    backward = fastrnn.elman_backward

    def without_lengths(
        dh, x, h, U, W, h0=None, *, dh_last=None, lengths=None, activation="tanh", threads=None
    ):
        return backward(dh, x, h, U, W, h0, dh_last=dh_last, activation=activation)

    monkeypatch.setattr(fastrnn.elman, "elman_backward", without_lengths)
    assert min(errors(fastrnn.elman_forward, **ELMAN).values()) > WRONG
    whole = {name: value for name, value in ELMAN.items() if name != "lengths"}
    assert max(errors(fastrnn.elman_forward, **whole).values()) < RIGHT


def test_a_mistake_in_an_offset_is_seen(monkeypatch):
    backward = tdnn.tdnn_backward

    def wrong_offset(
        dh, x, h, W, offsets, *, lengths=None, activation="relu", padding="valid", stride=1
    ):
        offsets = np.subtract(offsets, 1)
        settings = {"activation": activation, "padding": padding, "stride": stride}
        return backward(dh, x, h, W, offsets, lengths=lengths, **settings)

    monkeypatch.setattr(tdnn.layer, "tdnn_backward", wrong_offset)
    found = errors(tdnn.tdnn_forward, **TIME, padding="zero")
    assert found.pop("b") < RIGHT and min(found.values()) > WRONG


def test_a_mistake_in_a_loss_is_seen(monkeypatch):
    kind = fastrnn.losses.LOSSES["softmax"]

    def without_weights(o, targets, lengths, weights):
        right = kind.kernel(o, targets, lengths, weights)
        return right._replace(do=kind.kernel(o, targets, lengths, np.ones_like(weights)).do)

    monkeypatch.setitem(fastrnn.losses.LOSSES, "softmax", kind._replace(kernel=without_weights))
    weights = np.full((T, B), 0.5)
    loss = fastrnn.softmax_cross_entropy
    assert errors(loss, normal(T, B, Q), CLASSES, weights=weights)["o"] > WRONG
    assert errors(loss, normal(T, B, Q), CLASSES)["o"] < RIGHT
    model = fastrnn.SequenceModel(fastrnn.Elman(P, M, rng=0), Q, rng=0)
    assert min(errors(model, **MODEL, weights=weights, reduction="sum").values()) > WRONG


# Wrong calls


@pytest.mark.parametrize(
    "what",
    [None, 3, "elman", np.tanh, fastrnn.Elman, fastrnn.thread_count, fastrnn.elman_backward,
     fastrnn.fit, fastrnn.gradcheck, lambda x: x],
)  # fmt: skip
def test_what_has_no_gradient_is_refused(what):
    with pytest.raises(TypeError, match=r"^model_or_function: expected a SequenceModel, .* got "):
        fastrnn.gradcheck(what, X)


def test_wrong_arguments_are_refused():
    for directions, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="^directions: expected an integer >= 1, got"):
            fastrnn.gradcheck(fastrnn.elman_forward, **ELMAN, directions=directions)
    with pytest.raises(TypeError, match="^rng: expected"):
        fastrnn.gradcheck(fastrnn.elman_forward, **ELMAN, rng="0")
    with pytest.raises(ValueError, match="^U, W: expected W of shape"):
        fastrnn.gradcheck(fastrnn.elman_forward, **ELMAN | {"W": np.zeros((2, 2))})
    with pytest.raises(TypeError, match="missing a required argument: 'targets'"):
        fastrnn.gradcheck(fastrnn.SequenceModel(fastrnn.Elman(P, M), Q), X)
    drawing = fastrnn.Jordan(P, M, Q, feedback="sample", rng=0)
    with pytest.raises(ValueError, match="^model_or_function: expected equal values"):
        fastrnn.gradcheck(drawing, X)
