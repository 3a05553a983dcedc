"""Truncation and resets through bodies other than a lone Elman: Jordan, and stacks."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits

import fastrnn
import tdnn
from fastrnn.truncation import Chunks

T, B, P, M, Q = 11, 3, 2, 5, 4
RNG = np.random.default_rng(90)
X = RNG.standard_normal((T, B, P))
Y = RNG.integers(0, Q, (T, B))
LENGTHS = np.array([T, 6, 0])
RESETS = RNG.random((T, B)) < 0.2
FORCED = RNG.random((T, B)) < 0.5


def jordan_model():
    return fastrnn.SequenceModel(fastrnn.Jordan(P, M, Q, dtype=float, rng=1))


def stack_model():
    bodies = [fastrnn.Elman(P, M, dtype=float, rng=1), fastrnn.Elman(M, 6, dtype=float, rng=2)]
    return fastrnn.SequenceModel(fastrnn.Stack(bodies), Q, rng=3)


def windows(k1, k2):
    starts = range(0, T, k1)
    return [(max(0, min(s + k1, T) - k2), s, min(s + k1, T)) for s in starts]


def share_of(window, lengths):
    """Return the weights that count only a chunk's steps, as parts of a mean over all."""
    steps = np.arange(T)[:, None]
    chunk = (steps >= window[1]) & (steps < window[2]) & (steps < lengths)
    return chunk / lengths.sum()


def sums(parts):
    parts = list(parts)
    return {name: sum(part[name] for part in parts) for name in parts[0]}


@pytest.mark.parametrize("make", [jordan_model, stack_model])
@pytest.mark.parametrize("more", [{}, {"lengths": LENGTHS, "resets": RESETS}])
def test_one_chunk_is_the_whole_gradient_bit_for_bit(make, more):
    model = make()
    if "V" not in model.parameters():
        assert_all_forced(model, more)
    value, grads = model.loss_and_grad(X, Y, **more)
    got = model.loss_and_grad(X, Y, truncation=(T, T), **more)
    assert got[0] == value
    assert_same_bits(got[1], grads)


def assert_all_forced(model, more):
    """Teacher forcing has no recurrence to truncate: any chunks give the whole gradient."""
    kept = {"lengths": LENGTHS} if more else {}
    value, grads = model.loss_and_grad(X, Y, **kept)
    got = model.loss_and_grad(X, Y, truncation=(2, 3), **kept)
    assert got[0] == pytest.approx(value, rel=1e-12)
    assert_close(got[1], grads, 1e-12)


@pytest.mark.parametrize("forced", [False, FORCED])
@pytest.mark.parametrize("pair", [(3, 3), (2, 5), (4, 99)])
def test_jordan_by_the_definition(pair, forced):
    """Windows of one whole pass, whose z says what each of them begins with."""
    model = jordan_model()
    body, given = model.body, {"lengths": LENGTHS, "forced": forced}
    marks = np.broadcast_to(forced, (T, B))
    whole = body.forward(X, Y, forced=marks, lengths=LENGTHS)
    parts, values = [], []
    for window in windows(*pair):
        cut, lengths = slice(window[0], window[2]), LENGTHS - window[0]
        lengths = np.clip(lengths, 0, window[2] - window[0])
        z0 = whole.z[window[0]]
        # Of a sequence that ended before, nothing is read; the first step of others is fed z0.
        state = body.forward(X[cut], Y[cut], z0, forced=marks[cut], lengths=lengths)
        np.testing.assert_array_equal(state.o, whole.o[cut])
        weights = share_of(window, LENGTHS)[cut]
        loss = fastrnn.softmax_cross_entropy(state.o, Y[cut], lengths=lengths, weights=weights)
        parts.append(body.backward(loss.do, state))
        values.append(loss.value)
    value, grads = model.loss_and_grad(X, Y, truncation=pair, **given)
    assert value == pytest.approx(sum(values), rel=1e-12)
    assert_close(grads, sums(parts), 1e-12)
    assert value == pytest.approx(model.loss(X, Y, **given), rel=1e-12)


@pytest.mark.parametrize("pair", [(3, 3), (2, 5), (4, 99)])
def test_stack_by_the_definition(pair):
    model = stack_model()
    body, nothing = model.body, np.zeros((1, B, M))
    whole = body.forward(X, lengths=LENGTHS, resets=RESETS)
    homes = tuple(np.zeros(state.h.shape[1:]) for state in whole.states)
    parts = []
    for window in windows(*pair):
        cut, begin = slice(window[0], window[2]), window[0]
        lengths = np.clip(LENGTHS - begin, 0, window[2] - begin)
        before = [state.h[begin - 1] if begin else home for state, home in
                  zip(whole.states, homes, strict=True)]  # fmt: skip
        state = body.forward(
            X[cut], tuple(before), lengths=lengths, resets=RESETS[cut], h_reset=homes
        )
        weights = share_of(window, LENGTHS)[cut]
        o = state.h @ model.V.T + model.c
        do = fastrnn.softmax_cross_entropy(o, Y[cut], lengths=lengths, weights=weights).do
        inner = dict(body.backward(do @ model.V, state))
        parts.append(inner | {"V": np.einsum("tbq,tbm->qm", do, state.h), "c": do.sum((0, 1))})
    grads = model.loss_and_grad(X, Y, lengths=LENGTHS, resets=RESETS, truncation=pair)[1]
    assert_close(grads, sums(parts), 1e-12)
    assert nothing.any() == 0


def test_resets_of_a_jordan_model_are_sequences_of_their_own():
    model, marks = jordan_model(), np.zeros((T, 1), bool)
    marks[4] = True
    whole = model.loss_and_grad(X[:, :1], Y[:, :1], resets=marks, forced=False, reduction="sum")
    pieces = [
        model.loss_and_grad(X[cut, :1], Y[cut, :1], forced=False, reduction="sum")
        for cut in (slice(0, 4), slice(4, T))
    ]
    assert whole[0] == pytest.approx(sum(value for value, _ in pieces), rel=1e-12)
    assert_close(whole[1], sums(grads for _, grads in pieces), 1e-12)
    outputs = model.forward(X[:, :1], resets=marks)
    np.testing.assert_array_equal(outputs[4:], model.forward(X[4:, :1]))


def test_a_stack_trained_by_chunks_resumes_within_a_batch(tmp_path):
    """What its bodies carry goes through the checkpoint."""
    data, more = (X, Y, LENGTHS), {"epochs": 2, "truncation": (3, 4)}
    whole = stack_model()
    fastrnn.fit(whole, data, optimizer=fastrnn.Adam(0.05), **more)
    broken, path = stack_model(), tmp_path / "state.npz"
    forward, calls = broken.body.forward, []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(*args, **kwargs)

    broken.body.forward = interrupted
    given = {"optimizer": fastrnn.Adam(0.05), "checkpoint": path, "resume": True, **more}
    assert fastrnn.fit(broken, data, **given).interrupted
    model = stack_model()
    given["optimizer"] = fastrnn.Adam(0.05)
    fastrnn.fit(model, data, **given)
    assert_same_bits(model.parameters(), whole.parameters())


def test_refusals():
    low = tdnn.TDNN(P, [(M, (-1, 0))], padding="causal", dtype=float, rng=1)
    mixed = fastrnn.Stack([low, fastrnn.Elman(M, 6, dtype=float, rng=2)])
    model = fastrnn.SequenceModel(mixed, Q, rng=3)
    with pytest.raises(ValueError, match="^truncation: expected None with a body of kind 'stack'"):
        model.loss_and_grad(X, Y, truncation=(3, 3))
    with pytest.raises(ValueError, match="^resets: expected None"):
        model.loss_and_grad(X, Y, resets=RESETS)
    with pytest.raises(ValueError, match="^resets: expected None with truncation"):
        jordan_model().loss_and_grad(X, Y, resets=RESETS, truncation=(3, 3))
    with pytest.raises(ValueError, match="^forced: expected None with a body of kind 'stack'"):
        Chunks(stack_model(), X, Y, (3, 3), forced=FORCED)
    fed = fastrnn.Stack([fastrnn.Elman(P, M, dtype=float), fastrnn.Jordan(M, 6, Q, dtype=float)])
    with pytest.raises(ValueError, match="^h_reset: expected None in place 1"):
        fed.forward(X, h_reset=(None, np.zeros((B, Q))), resets=RESETS)
