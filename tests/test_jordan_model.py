"""SequenceModel over a Jordan body: teacher forcing in training, evaluation, and running free."""

import numpy as np
import pytest
from helpers import FUNCTIONS, LOSSES, assert_close, assert_same_bits, error, make_case

import fastrnn
from fastrnn import reference

PAIRS = [
    ("softmax", "softmax"), ("softmax", "argmax"), ("softmax", "sample"),
    ("sigmoid", "sigmoid"), ("squared", "identity"),
]  # fmt: skip
T, B, P, M, Q = 6, 5, 4, 7, 5


def make(loss="softmax", feedback="softmax", p=1.0):
    body = fastrnn.Jordan(P, M, Q, feedback=feedback, teacher_forcing=p, dtype=float, rng=0)
    body.W *= 0.5
    model = fastrnn.SequenceModel(body, loss=loss)
    model.parameters()["c"][...] = np.linspace(-1, 1, Q)
    return model


def draw(loss, tokens=False, seed=140):
    case = make_case(seed, T, B, P, 1, Q, tokens=tokens)
    return case.x, case.targets[loss], case.lengths, case.weights


def reference_loss_and_grad(model, x, targets, lengths, weights, forced, draws=None):
    body = model.body
    U, W, b, V, c = body.parameters().values()
    settings = (lengths, body.activation, body.feedback, forced)
    state = reference.jordan_forward(x, U, W, b, V, c, targets, None, *settings, draws)
    value, do = getattr(reference, FUNCTIONS[model.loss_kind])(state.o, targets, lengths, weights)
    grads = reference.jordan_backward(
        do, x, state.h, state.o, U, W, V, targets, state.z, None, *settings
    )
    return value, {name: getattr(grads, f"d{name}") for name in "UWbVc"}, state.o


@pytest.mark.parametrize("tokens", [False, True], ids=["floats", "tokens"])
@pytest.mark.parametrize(("loss", "feedback"), PAIRS)
def test_gradients_against_the_reference(loss, feedback, tokens):
    model = make(loss, feedback, 0.5)
    x, targets, lengths, weights = draw(loss, tokens)
    share = np.sum(weights, where=np.arange(T)[:, None] < lengths)
    kept = {"lengths": lengths, "weights": weights}
    bits = np.random.PCG64()
    bits.state = model.sampling()["generator"]
    source = np.random.Generator(bits)
    forced = source.random((T, B)) < 0.5
    draws = source.random((T, B))
    value, grads = model.loss_and_grad(x, targets, **kept)
    want, d_want, _ = reference_loss_and_grad(model, x, targets, lengths, weights, forced, draws)
    assert error(value, want / share) <= 1e-12
    assert_close(grads, {name: grad / share for name, grad in d_want.items()}, 1e-12)
    assert list(grads) == list(model.parameters()) == ["U", "W", "b", "V", "c"]
    for steps in (True, False) if feedback != "sample" else (True,):
        value, grads = model.loss_and_grad(x, targets, forced=steps, reduction="sum", **kept)
        every = np.full((T, B), steps)
        want, d_want, _ = reference_loss_and_grad(model, x, targets, lengths, weights, every, draws)
        assert error(value, want) <= 1e-12
        assert_close(grads, d_want, 1e-12)


@pytest.mark.parametrize(("loss", "feedback"), PAIRS)
def test_forward_and_predict_are_fed_targets_or_run_free(loss, feedback):
    model = make(loss, feedback, 0.5)
    x, targets, lengths, _ = draw(loss)
    predict = {"softmax": reference.softmax, "sigmoid": reference.sigmoid}.get(loss)
    unread = targets.copy()
    unread[-1] = -100 if loss == "softmax" else np.nan
    for y in (None, targets, unread):
        free = np.zeros((T, B), bool)
        bits = np.random.PCG64()
        bits.state = model.sampling()["generator"]
        draws = np.random.Generator(bits).random((T, B))
        forced = free if y is None else ~free
        state = model.sampling()
        o = model.forward(x, y=y, lengths=lengths)
        *_, want = reference_loss_and_grad(model, x, targets, lengths, None, forced, draws)
        assert error(o, want) <= 1e-12
        model.restore_sampling(state)
        yhat = model.predict(x, y=y, lengths=lengths)
        assert error(yhat, want if predict is None else predict(want, lengths)) <= 1e-12
        padding = np.arange(T)[:, None] >= lengths
        assert padding.any() and not o[padding].any() and not yhat[padding].any()
    if loss == "sigmoid":
        labels = targets > 0.5
        got = model.forward(x, y=labels)
        assert got.tobytes() == model.forward(x, y=labels.astype(float)).tobytes()


def test_loss_is_that_of_each_target_given_those_before():
    model = make(p=0.5)
    x, targets, *_ = draw("softmax")
    before = model.sampling()
    value = model.loss(x, targets)
    assert value == model.loss(x, targets, forced=True) == model.loss(x, targets)
    o = model.forward(x, y=targets)
    assert error(value, fastrnn.softmax_cross_entropy(o, targets, reduction="mean").value) < 1e-15
    free = model.loss(x, targets, forced=False)
    assert error(
        free, fastrnn.softmax_cross_entropy(model.forward(x), targets, reduction="mean").value
    ) < 1e-15  # fmt: skip
    assert model.sampling() == before and free != value
    model.body.teacher_forcing = 0
    assert model.loss(x, targets) == free == model.loss_and_grad(x, targets)[0]
    model.body.teacher_forcing = 1
    assert model.loss(x, targets) == value == model.loss_and_grad(x, targets)[0]
    assert model.sampling()["generator"] == before["generator"]
    forced = np.arange(T * B).reshape(T, B) % 3 > 0
    got = model.loss_and_grad(x, targets, forced=forced)
    assert got[0] == model.loss(x, targets, forced=forced) not in (value, free)


@pytest.mark.parametrize(("loss", "feedback"), [PAIRS[0], PAIRS[3], PAIRS[4]])
def test_padding_and_threads_change_no_bit(loss, feedback):
    model = make(loss, feedback, 0.5)
    x, targets, lengths, weights = draw(loss)
    state = model.sampling()
    value, grads = model.loss_and_grad(x, targets, lengths=lengths, weights=weights, threads=1)
    bad_x, bad_targets, bad_weights = x.copy(), targets.copy(), weights.copy()
    padding = np.arange(T)[:, None] >= lengths
    bad_x[padding] = bad_weights[padding] = np.nan
    bad_targets[padding] = -1 if loss == "softmax" else np.nan
    for threads in (1, 2, 3):
        model.restore_sampling(state)
        got_value, got = model.loss_and_grad(
            bad_x, bad_targets, lengths=lengths, weights=bad_weights, threads=threads
        )
        assert got_value == value
        assert_same_bits(got, grads)


@pytest.mark.parametrize(("loss", "feedback"), PAIRS)
def test_stream_predicts_as_running_free(loss, feedback):
    model = make(loss, feedback)
    x, targets, *_ = draw(loss)
    state = model.sampling()
    stream = model.stream(B)
    got = [stream.step(x_t).tobytes() for x_t in x]
    assert stream.flush() == []
    model.restore_sampling(state)
    assert got == [yhat.tobytes() for yhat in model.predict(x)]
    stream.reset()
    want = model.predict(x, y=targets)
    for t, x_t in enumerate(x):
        assert stream.step(x_t, targets[t - 1] if t else None).tobytes() == want[t].tobytes()


def test_only_a_stream_with_feedback_is_fed():
    stream = fastrnn.SequenceModel(fastrnn.Elman(P, M, dtype=float), Q).stream(B)
    with pytest.raises(ValueError, match="^z: expected None over a body without output feedback"):
        stream.step(draw("softmax")[0][0], np.zeros(B, int))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("feedback", ["softmax", "sigmoid", "identity", "argmax", "sample"])
def test_what_is_fed_back_must_be_what_the_targets_are(loss, feedback):
    body = fastrnn.Jordan(P, M, Q, feedback=feedback, teacher_forcing=0, dtype=float, rng=0)
    model = fastrnn.SequenceModel(body, loss=loss)
    x, targets, *_ = draw(loss)
    if (loss, feedback) in PAIRS:
        assert np.isfinite(model.loss(x, targets, forced=True))
        return
    assert np.isfinite(model.loss_and_grad(x, targets)[0])  # without teacher forcing all goes
    assert np.isfinite(model.loss(x, targets))
    message = (
        rf"^body, loss: expected feedback '.* of the loss '{loss}' .*got feedback '{feedback}'"
    )
    with pytest.raises(ValueError, match=message):
        model.loss(x, targets, forced=True)
    with pytest.raises(ValueError, match=message):
        model.forward(x, y=targets)
    body.teacher_forcing = 0.5
    for call in (
        lambda: model.loss_and_grad(x, targets),
        lambda: model.loss(x, targets),
        lambda: fastrnn.SequenceModel(body, loss=loss),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_no_output_layer_is_added():
    body = fastrnn.Jordan(P, M, Q, rng=0)
    for model in (fastrnn.SequenceModel(body), fastrnn.SequenceModel(body, Q)):
        assert list(model.parameters()) == list(body.parameters())
        assert all(
            a is b
            for a, b in zip(model.parameters().values(), body.parameters().values(), strict=True)
        )
        assert (model.output_size, model.dtype) == (Q, np.float32)
    assert fastrnn.SequenceModel(fastrnn.Elman(P, M), Q).sampling() == {}
