"""Resets within a sequence: what stands between two of them is a sequence of its own."""

import numba
import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, make_case, poisoned
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
import tdnn
from fastrnn import kernels, reference

SIZES = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 12),  # T
    st.integers(0, 7),  # B
    st.integers(1, 9),  # p
    st.integers(1, 19),  # m
    st.just(1),  # q
)
SETTINGS = settings(max_examples=30, derandomize=True, deadline=None)


def marks(seed, case, share=0.3):
    return np.random.default_rng(seed).random(case.x.shape[:2]) < share


def run(case, resets, h_reset=None, threads=None):
    """Return all that a pass forward and back gives."""
    s = case
    more = {"lengths": s.lengths, "resets": resets, "h_reset": h_reset, "threads": threads}
    state = fastrnn.elman_forward(s.x, s.U, s.W, s.b, s.h0, **more)
    grads = fastrnn.elman_backward(s.dh, s.x, state.h, s.U, s.W, s.h0, dh_last=s.dh_last, **more)
    return state._asdict() | grads._asdict()


def run_reference(case, resets, starts):
    s = case
    state = reference.elman_forward(s.x, s.U, s.W, s.b, starts, s.lengths, resets=resets)
    grads = reference.elman_backward(
        s.dh, s.x, state.h, s.U, s.W, starts, s.dh_last, s.lengths, resets=resets
    )
    return state._asdict() | grads._asdict()


def run_pieces(case, resets, h_reset):
    """Return the same from separate calls without resets: one for each piece of each row."""
    s, (T, B) = case, case.x.shape[:2]
    lengths = np.full(B, T) if s.lengths is None else s.lengths
    want = {name: np.zeros_like(getattr(s, name[1:])) for name in ("dx", "dU", "dW", "db", "dh0")}
    want |= {"h": np.zeros_like(s.dh), "h_last": s.h0.copy()}
    for b in range(B):
        cuts = [t for t in range(1, lengths[b]) if resets[t, b]]
        edges = [0, *cuts, lengths[b]]
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            row, last = np.s_[begin:end, b : b + 1], end == lengths[b]
            home = h_reset is not None and bool(begin or (T and lengths[b] and resets[0, b]))
            h0 = (h_reset if home else s.h0)[b : b + 1]
            dh_last = s.dh_last[b : b + 1] if last else np.zeros_like(h0)
            state = fastrnn.elman_forward(s.x[row], s.U, s.W, s.b, h0)
            grads = fastrnn.elman_backward(
                s.dh[row], s.x[row], state.h, s.U, s.W, h0, dh_last=dh_last
            )
            want["h"][row], want["dx"][row] = state.h, grads.dx
            want["h_last"][b] = state.h_last[0]
            for name in ("dU", "dW", "db"):
                want[name] += getattr(grads, name)
            want["dh0"][b] += 0 if home else grads.dh0[0]
    return want


@SETTINGS
@given(SIZES, st.booleans(), st.booleans(), st.sampled_from([0.1, 0.5, 1.0]))
def test_pieces_are_sequences_of_their_own(sizes, ragged, elsewhere, share):
    case = make_case(*sizes, lengths=ragged)
    resets = marks(sizes[0], case, share)
    h_reset = case.h0[::-1] + 1 if elsewhere else None
    got, want = run(case, resets, h_reset), run_pieces(case, resets, h_reset)
    for name in ("h", "h_last"):
        assert got[name].tobytes() == want[name].tobytes(), name
    assert_close(got, want, 1e-12)


@SETTINGS
@given(SIZES, st.booleans(), st.booleans())
def test_functions_against_reference(sizes, ragged, elsewhere):
    case = make_case(*sizes, lengths=ragged)
    resets, B = marks(sizes[0], case), len(case.h0)
    h_reset = case.h0[::-1] + 1 if elsewhere else None
    starts = np.concatenate((case.h0, h_reset)) if elsewhere else case.h0
    want = run_reference(case, resets, starts)
    want["dh0"] = want["dh0"][:B]
    assert_close(run(case, resets, h_reset), want, 1e-12)


@numba.njit
def user_pass(x, U, W, b, starts, lengths, dh, dh_last, resets):
    state = kernels.elman_forward(
        x, U, W, b, starts, lengths, "tanh", None, None, None, resets
    )  # fmt: skip
    return state, kernels.elman_backward(
        dh, x, state.h, U, W, starts, dh_last, lengths, "tanh",
        None, None, None, None, None, None, resets,
    )  # fmt: skip


@pytest.mark.lanes
def test_kernels_in_user_code_give_the_gradient_in_both_starts():
    s = make_case(70, 6, 4, 3, 9, 1)
    resets, starts = marks(71, s), np.concatenate((s.h0, 1 - s.h0))
    state, grads = user_pass(s.x, s.U, s.W, s.b, starts, s.lengths, s.dh, s.dh_last, resets)
    assert grads.dh0.shape == (8, 9) and grads.dh0[4:].any()
    assert_close(state._asdict() | grads._asdict(), run_reference(s, resets, starts), 1e-12)


@pytest.mark.parametrize("name", ["U", "W", "b", "h0", "x"])
def test_reference_against_complex_steps(name):
    s = make_case(72, 6, 3, 2, 4, 1)
    resets, values = marks(73, s, 0.4), getattr(s, name)
    got, want = run_reference(s, resets, s.h0)["d" + name], np.empty(values.shape)
    for index in np.ndindex(values.shape):
        moved = values.astype(complex)
        moved[index] += 1e-30j
        setattr(s, name, moved)
        state = reference.elman_forward(s.x, s.U, s.W, s.b, s.h0, s.lengths, resets=resets)
        want[index] = (np.sum(s.dh * state.h) + np.sum(s.dh_last * state.h_last)).imag / 1e-30
    setattr(s, name, values)
    assert_close({name: got}, {name: want}, 1e-13)


def test_what_changes_no_bit():
    case = make_case(74, 11, 7, 5, 13, 1)
    resets = marks(75, case)
    resets[0] = False
    want = run(case, resets, threads=1)
    for threads in (2, 3, None):
        assert_same_bits(run(case, resets, threads=threads), want)
    other = resets.copy()
    other[0] = True  # the state is h0 there anyway
    other[np.arange(11)[:, None] >= case.lengths] ^= True
    assert_same_bits(run(poisoned(case), other), want)
    assert_same_bits(run(case, np.asfortranarray(resets)), want)
    assert_same_bits(run(case, resets.tolist()), want)
    assert_same_bits(run(case, np.zeros_like(resets)), run(case, None, 1 + case.h0))


def test_nothing_passes_a_reset():
    case = make_case(76, 9, 3, 4, 6, 1, lengths=False)
    resets = np.zeros((9, 3), bool)
    resets[5, 1] = True
    before = run(case, resets)
    case.x[2] += 1
    case.dh[7] = np.nan
    after = run(case, resets)
    assert after["h"][5:, 1].tobytes() == before["h"][5:, 1].tobytes()
    assert after["h"][5:, 0].tobytes() != before["h"][5:, 0].tobytes()
    assert np.isnan(after["dx"][5:8, 1]).all() and np.isfinite(after["dx"][:5, 1]).all()
    assert np.isnan(after["dx"][:8, [0, 2]]).all()


@pytest.mark.parametrize("resets", [None, "given"])
@pytest.mark.parametrize("steps", [0, 1, 5, 9])
def test_carried_sequences_go_on_as_if_uncut(steps, resets):
    rng = np.random.default_rng(77)
    layer, x = fastrnn.Elman(3, 6, dtype=float, rng=1), rng.standard_normal((9, 4, 3))
    h0, lengths = rng.standard_normal((4, 6)), np.array([9, 0, 4, 6])
    marked = None if resets is None else rng.random((9, 4)) < 0.3
    whole = layer.forward(x, h0, lengths=lengths, resets=marked)

    def part(begin, end, start):
        cut = None if marked is None else marked[begin:end]
        within = np.clip(lengths - begin, 0, end - begin)
        return layer.forward(x[begin:end], lengths=within, resets=cut, **start)

    first = part(0, steps, {"h0": h0})
    carried = layer.carry(first, steps)
    assert set(carried) == {"h0", "h_reset"}
    rest = part(steps, 9, carried)
    assert np.concatenate((first.h, rest.h)).tobytes() == whole.h.tobytes()
    assert rest.h_last.tobytes() == whole.h_last.tobytes()
    assert not any(np.shares_memory(array, first.h) for array in carried.values())
    again = layer.carry(rest, 9 - steps)
    assert again["h0"].tobytes() == whole.h_last.tobytes()
    assert again["h_reset"].tobytes() == h0.tobytes()


def test_model_and_stream_of_pieces():
    rng = np.random.default_rng(78)
    model = fastrnn.SequenceModel(fastrnn.Elman(3, 6, dtype=float, rng=1), 4, rng=2)
    x, y = rng.standard_normal((9, 1, 3)), rng.integers(0, 4, (9, 1))
    resets = np.zeros((9, 1), bool)
    resets[[2, 3, 7]] = True
    stream, rows = model.stream(), []
    for t in range(9):
        if resets[t, 0]:
            stream.reset()
        rows.append(stream.step(x[t]).copy())
    np.testing.assert_allclose(model.predict(x, resets=resets), rows, rtol=1e-12)
    edges = [0, 2, 3, 7, 9]
    pieces = [slice(*edge) for edge in zip(edges[:-1], edges[1:], strict=True)]
    outputs = [model.forward(x[piece]) for piece in pieces]
    assert model.forward(x, resets=resets).tobytes() == np.concatenate(outputs).tobytes()
    value, grads = model.loss_and_grad(x, y, resets=resets, reduction="sum")
    parts = [model.loss_and_grad(x[piece], y[piece], reduction="sum") for piece in pieces]
    assert model.loss(x, y, resets=resets, reduction="sum") == value
    assert value == pytest.approx(sum(part[0] for part in parts), rel=1e-12)
    assert_close(grads, {name: sum(part[1][name] for part in parts) for name in grads}, 1e-12)


X, RESETS = np.ones((4, 2, 3)), np.zeros((4, 2), bool)


@pytest.mark.parametrize(
    ("resets", "kind", "message"),
    [
        (RESETS.astype(int), TypeError, r"^resets: expected bool of shape \(T, B\), got int64"),
        (RESETS[:3], ValueError, r"^x, resets: expected resets of shape .*T = 4 .*\(3, 2\)"),
        (RESETS[0], ValueError, r"^resets: expected an array of shape \(T, B\), got shape"),
    ],
)
def test_bad_resets(resets, kind, message):
    layer = fastrnn.Elman(3, 5, dtype=float, rng=1)
    model = fastrnn.SequenceModel(layer, 2)
    targets = np.zeros((4, 2), int)
    for call in (
        lambda: fastrnn.elman_forward(X, layer.U, layer.W, layer.b, resets=resets),
        lambda: layer.forward(X, resets=resets),
        lambda: model.predict(X, resets=resets),
        lambda: model.loss(X, targets, resets=resets),
        lambda: model.loss_and_grad(X, targets, resets=resets),
        lambda: model.loss_and_grad(X, targets, resets=resets, truncation=(2, 3)),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_bad_starts_and_bodies():
    layer = fastrnn.Elman(3, 5, dtype=float, rng=1)
    for bad, message in ((np.ones((2, 4)), "h_reset: expected"), (np.ones(5), "^h_reset: ")):
        with pytest.raises(ValueError, match=message):
            layer.forward(X, resets=RESETS, h_reset=bad)
    trace = layer.forward(X)
    with pytest.raises(ValueError, match="^steps: expected an integer from 0 to T = 4, got 5"):
        layer.carry(trace, 5)
    with pytest.raises(TypeError, match="^steps: expected an integer >= 0, got 1.0"):
        layer.carry(trace, 1.0)
    with pytest.raises(TypeError, match="^state: expected what forward returned, got ndarray"):
        layer.carry(trace.h, 1)
    model = fastrnn.SequenceModel(tdnn.TDNN(3, [(4, (0, 1))], dtype=float, rng=1), 2)
    for call in (
        model.predict,
        model.forward,
        lambda x, **k: model.loss(x, RESETS.astype(int), **k),
    ):
        with pytest.raises(
            ValueError, match="^resets: expected None with a body of kind 'tdnn', g"
        ):
            call(X, resets=RESETS)
