"""Truncated back-propagation through time: gradients by the definition, memory, refusals."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import LOSSES, assert_close, assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from truncation_by_hand import M, P, Q, chunk_by_reference, draw, edges, make_model

import fastrnn
import tdnn
from fastrnn.linear import linear_backward, linear_forward
from fastrnn.optimizers import SGD
from fastrnn.truncation import Chunks

SETTINGS = settings(max_examples=40, derandomize=True, deadline=None)


def by_reference(model, x, targets, truncation, *, lengths, weights, resets, reduction):
    """Return what loss_and_grad should, chunk by chunk as the definition says."""
    T, B = x.shape[:2]
    valid = np.arange(T)[:, None] < lengths
    shares = np.where(valid, weights, 0)
    if reduction == "mean":
        shares /= shares.sum() or 1
    home = np.zeros((B, M))
    value, total = 0.0, {name: np.zeros_like(w) for name, w in model.parameters().items()}
    states, origin = [home], 0
    for window in edges(T, *truncation):
        start = states[window[0] - origin]
        loss, grads, states = chunk_by_reference(
            model, x, targets, window, start, home, shares, lengths, resets
        )
        origin = window[0]
        value += loss
        total = {name: total[name] + grads[name] for name in total}
    return value, total


@SETTINGS
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 14), st.integers(1, 5), st.integers(1, 6),
    st.integers(0, 9), st.sampled_from(LOSSES), st.sampled_from(["mean", "sum"]), st.booleans(),
)  # fmt: skip
def test_gradients_are_those_of_the_definition(seed, T, B, k1, more, loss, reduction, marked):
    model = make_model(loss)
    x, targets, given_too = draw(seed, T, B, loss)
    want = by_reference(
        model, x, targets, (k1, k1 + more),
        **given_too | ({} if marked else {"resets": np.zeros((T, B), bool)}), reduction=reduction,
    )  # fmt: skip
    given_too = given_too if marked else given_too | {"resets": None}
    value, grads = model.loss_and_grad(
        x, targets, truncation=(k1, k1 + more), reduction=reduction, **given_too
    )
    assert value == pytest.approx(want[0], rel=1e-12, abs=1e-300)
    assert_close(grads, want[1], 1e-12)


@pytest.mark.parametrize("given_too", [(), ("lengths",), ("lengths", "weights", "resets")])
@pytest.mark.parametrize(
    ("dtype", "tokens"), [(np.float64, False), (np.float32, False), (np.float32, True)]
)
def test_one_chunk_is_full_back_propagation_bit_for_bit(dtype, tokens, given_too):
    model = make_model(dtype=dtype)
    x, targets, more = draw(80, 11, 5, dtype=dtype, tokens=tokens)
    if dtype == np.float32:
        given_too = [name for name in given_too if name != "resets"]
    more = {name: more[name] for name in given_too}
    for reduction in ("mean", "sum"):
        value, grads = model.loss_and_grad(x, targets, reduction=reduction, **more)
        for truncation in ((11, 11), [11, 12], (np.int64(99), 200)):
            got = model.loss_and_grad(
                x, targets, truncation=truncation, reduction=reduction, **more
            )
            assert got[0] == value
            assert_same_bits(got[1], grads)


def test_windows_that_reach_the_start_give_the_whole_gradient():
    model = make_model()
    x, targets, more = draw(81, 17, 4)
    value, grads = model.loss_and_grad(x, targets, **more)
    for k1 in (1, 3, 8, 16):
        got = model.loss_and_grad(x, targets, truncation=(k1, 17), **more)
        assert got[0] == pytest.approx(value, rel=1e-13)
        assert_close(got[1], grads, 1e-13)
    short = model.loss_and_grad(x, targets, truncation=(1, 1), **more)
    assert np.linalg.norm(short[1]["W"] - grads["W"]) > 0.01 * np.linalg.norm(grads["W"])
    moved = model.V[0, 0], 1e-6
    model.V[0, 0] = moved[0] + moved[1]
    above = model.loss_and_grad(x, targets, truncation=(17, 17), **more)[0]
    model.V[0, 0] = moved[0] - moved[1]
    below = model.loss_and_grad(x, targets, truncation=(17, 17), **more)[0]
    assert (above - below) / 2e-6 == pytest.approx(grads["V"][0, 0], rel=1e-6)


def test_padding_threads_and_layout_change_no_bit():
    model = make_model()
    x, targets, more = draw(82, 13, 6)
    want = model.loss_and_grad(x, targets, truncation=(3, 5), threads=1, **more)
    padding = np.arange(13)[:, None] >= more["lengths"]
    assert padding.any()
    bad_x, bad_targets, bad_weights = x.copy(), targets.copy(), more["weights"].copy()
    bad_x[padding], bad_targets[padding], bad_weights[padding] = np.nan, -1, np.nan
    bad = more | {"weights": bad_weights, "resets": more["resets"] ^ padding}
    got = model.loss_and_grad(bad_x, bad_targets, truncation=(3, 5), threads=2, **bad)
    assert got[0] == want[0]
    assert_same_bits(got[1], want[1])
    got = model.loss_and_grad(np.asfortranarray(x), targets, truncation=(3, 5), **more)
    assert_same_bits(got[1], want[1])


@pytest.mark.parametrize(("T", "B"), [(0, 3), (4, 0)])
def test_nothing_to_learn_from(T, B):
    model = make_model()
    value, grads = model.loss_and_grad(np.ones((T, B, P)), np.zeros((T, B), int), truncation=(2, 3))
    assert value == 0 and set(grads) == set(model.parameters())
    assert not any(gradient.any() for gradient in grads.values())


def test_memory_grows_with_the_window_not_with_the_sequence():
    model = make_model()

    def peak(T, truncation):
        x, targets = np.zeros((T, 4, P)), np.zeros((T, 4), int)
        tracemalloc.start()
        try:
            model.loss_and_grad(x, targets, truncation=truncation)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(64, (16, 32))
    # What grows with T are megabytes; some kilobytes come and go with Python's own garbage.
    assert peak(4096, (16, 32)) < 1.5 * peak(512, (16, 32)) + 20_000
    assert peak(512, (16, 256)) > 3 * peak(512, (16, 32))
    assert peak(4096, None) > 6 * peak(512, None) > 1_000_000


MODEL = make_model()
X, TARGETS, MORE = draw(83, 6, 2)


@pytest.mark.parametrize(
    ("truncation", "kind"),
    [
        (4, TypeError), ("ab", TypeError), ((2, 3.0), TypeError), ((True, 3), TypeError),
        ((2,), ValueError), ((1, 2, 3), ValueError), ((0, 3), ValueError), ((2, -1), ValueError),
        ((4, 3), ValueError),
    ],
)  # fmt: skip
def test_bad_pairs(truncation, kind):
    message = r"^truncation: expected a pair \(k1, k2\) of integers with 1 <= k1 <= k2, got "
    with pytest.raises(kind, match=message):
        MODEL.loss_and_grad(X, TARGETS, truncation=truncation)
    with pytest.raises(kind, match=message):
        fastrnn.fit(MODEL, (X, TARGETS), optimizer=SGD(0.1), epochs=1, truncation=truncation)


def test_models_that_cannot_be_truncated():
    delays = fastrnn.SequenceModel(tdnn.TDNN(P, [(4, (0, 1))], dtype=float, rng=1), Q)
    last = fastrnn.SequenceModel(fastrnn.Elman(P, M, dtype=float), Q, readout="last")
    for model, targets, message in (
        (delays, TARGETS, "^truncation: expected None with a body of kind 'tdnn', got"),
        (last, TARGETS[0], "^truncation: expected None with readout 'last', got"),
    ):
        with pytest.raises(ValueError, match=message):
            model.loss_and_grad(X, targets, truncation=(2, 3))
        with pytest.raises(ValueError, match=message):
            fastrnn.fit(model, (X, targets), optimizer=SGD(0.1), epochs=1, truncation=(2, 3))
    other = SimpleNamespace(parameters=dict, loss_and_grad=dict, loss=dict)
    with pytest.raises(TypeError, match="^model: expected an object with body, readout, got"):
        fastrnn.fit(other, (X, TARGETS), optimizer=SGD(0.1), epochs=1, truncation=(2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.full((6, 2), P)}, r"^x: expected integers from 0 to 2, got 3 at position \(0, 0"),
        ({"targets": np.where(np.arange(12).reshape(6, 2) < 9, 0, Q)}, r"^targets: .* \(4, 1\)"),
        ({"lengths": [6, 7]}, "^lengths: expected values from 0 to T = 6, got 7 at position 1"),
        ({"weights": np.ones((5, 2))}, "^x, weights: expected weights of shape"),
        ({"reduction": "max"}, "^reduction: expected one of"),
    ],
)
def test_bad_batches_are_told_as_without_truncation(change, message):
    arguments = {"x": X, "targets": TARGETS} | change
    told = []
    for truncation in (None, (2, 3)):
        with pytest.raises(ValueError, match=message) as caught:
            MODEL.loss_and_grad(**arguments, truncation=truncation)
        told.append(str(caught.value))
    assert told[0] == told[1]


class Fed:
    """A body that gives the outputs itself, of an Elman model's parts."""

    kind, gives_outputs = "fed", True

    def __init__(self, model, lacks=()):
        self.model, self.input_size, self.seen, self.lacks = model, P, [], lacks

    def frames(self):
        return 0, 1

    def forward(self, x, *, y, lengths, threads, h0=None, h_reset=None, resets=None):
        self.seen.append(y)
        state = self.model.body.forward(
            x, h0, lengths=lengths, threads=threads, resets=resets, h_reset=h_reset
        )
        o = linear_forward(state.h, self.model.V, self.model.c, lengths, threads)
        return SimpleNamespace(o=o, state=state, lengths=lengths)

    def backward(self, do, state, *, threads):
        output = linear_backward(do, state.state.h, self.model.V, state.lengths, threads)
        grads = self.model.body.backward(output.dh, state.state, threads=threads)
        return {**grads, "V": output.dV, "c": output.dc}

    def carry(self, state, steps):
        carried = self.model.body.carry(state.state, steps)
        return {name: array for name, array in carried.items() if name not in self.lacks}


def test_a_body_that_gives_the_outputs_is_fed_the_targets_of_its_window():
    want = MODEL.loss_and_grad(X, TARGETS, truncation=(2, 3), **MORE)
    fed = SimpleNamespace(
        body=Fed(MODEL), readout="each", output_size=Q, dtype=MODEL.dtype, loss_kind="softmax",
        parameters=MODEL.parameters, _training=MODEL._training,
    )  # fmt: skip
    chunks, carried, value, total = Chunks(fed, X, TARGETS, (2, 3), **MORE), {}, 0.0, {}
    weights = chunks.weight_sum()
    for number in range(chunks.count):
        loss, grads, carried = chunks.run(number, carried, weights)
        value += loss
        total = {name: total.get(name, 0) + grads[name] for name in grads}
    assert carried == {} and value == pytest.approx(want[0], rel=1e-14)
    assert_close(total, want[1], 1e-14)
    for y, (begin, _, end) in zip(fed.body.seen, edges(6, 2, 3), strict=True):
        np.testing.assert_array_equal(y, TARGETS[begin:end])
    fed.body = Fed(MODEL, lacks=("h_reset",))
    Chunks(fed, X, TARGETS, (2, 3)).run(0, {})
    with pytest.raises(ValueError, match="^resets: expected None with truncation and a body of"):
        Chunks(fed, X, TARGETS, (2, 3), **MORE).run(0, {})
