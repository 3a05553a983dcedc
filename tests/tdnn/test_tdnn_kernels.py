"""Kernels of the time-delay layer against the reference, called from a test's own @njit code."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdnn import kernels, reference

PADDINGS = ("valid", "zero", "replicate", "causal")
ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


@numba.njit
def forward(x, W, b, offsets, lengths, activation, padding, stride):
    return kernels.tdnn_forward(x, W, b, offsets, lengths, activation, padding, stride)


@numba.njit
def backward(dh, x, h, W, offsets, lengths, activation, padding, stride):
    return kernels.tdnn_backward(dh, x, h, W, offsets, lengths, activation, padding, stride)


@numba.njit
def step(x_t, ring, position, W, b, offsets, activation):
    return kernels.tdnn_step(x_t, ring, position, W, b, offsets, activation)


@st.composite
def calls(draw, tokens=False, dtype=np.float64):
    """Draw x, W, b, offsets, lengths, activation, padding, stride; padding holds NaN or -1."""
    sizes = st.integers(1, 9)
    T, B, p, m = draw(st.integers(0, 13)), draw(st.integers(0, 6)), draw(sizes), draw(sizes)
    offsets = draw(st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = rng.integers(0, T + 1, B)
    past = np.arange(T)[:, None] >= lengths
    if tokens:
        x = rng.integers(0, p, (T, B))
        x[past] = -1
    else:
        x = rng.standard_normal((T, B, p)).astype(dtype)
        x[past] = np.nan
    W = (0.8 * rng.standard_normal((len(offsets), m, p)) / np.sqrt(p)).astype(dtype)
    b = rng.standard_normal(m).astype(dtype)
    activation, padding = draw(st.sampled_from(ACTIVATIONS)), draw(st.sampled_from(PADDINGS))
    stride = draw(st.integers(1, 3))
    return x, W, b, np.array(offsets, np.int64), lengths, activation, padding, stride


def check(call, tolerance):
    """Compare both passes with the float64 reference."""
    x, W, b, offsets, lengths, *options = call
    state = forward(x, W, b, offsets, lengths, *options)
    wide = W.astype(np.float64)
    x64 = x if x.ndim == 2 else x.astype(np.float64)
    expected = reference.tdnn_forward(x64, wide, b.astype(np.float64), offsets, lengths, *options)
    np.testing.assert_array_equal(state.lengths, expected.lengths)
    assert state.lengths.dtype == np.int64
    close(state.h, expected.h, W.dtype, tolerance)
    past = np.arange(state.h.shape[0])[:, None] >= state.lengths
    assert not state.h[past].any()

    dh = np.random.default_rng(1).standard_normal(state.h.shape).astype(W.dtype)
    dh[past] = np.nan
    grads = backward(dh, x, state.h, W, offsets, lengths, *options)
    wanted = reference.tdnn_backward(
        dh.astype(np.float64), x64, state.h.astype(np.float64), wide, offsets, lengths, *options
    )
    close(grads.dW, wanted.dW, W.dtype, tolerance)
    close(grads.db, wanted.db, W.dtype, tolerance)
    if x.ndim == 2:
        assert grads.dx is None and wanted.dx is None
    else:
        close(grads.dx, wanted.dx, W.dtype, tolerance)
        assert not grads.dx[np.arange(x.shape[0])[:, None] >= lengths].any()


def close(actual, expected, dtype, tolerance):
    assert actual.shape == expected.shape and actual.dtype == dtype
    assert np.linalg.norm(actual - expected) <= tolerance * max(np.linalg.norm(expected), 1.0)


@EXAMPLES
@given(calls())
def test_equals_reference(call):
    check(call, 1e-12)


@EXAMPLES
@given(calls(tokens=True))
def test_equals_reference_for_token_ids(call):
    check(call, 1e-12)


@settings(EXAMPLES, max_examples=25)
@given(calls(dtype=np.float32))
def test_equals_reference_in_float32(call):
    check(call, 1e-5)


@pytest.mark.lanes
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
def test_small_case(padding, tokens):
    rng = np.random.default_rng(3)
    lengths, offsets = np.array([7, 0, 3]), np.array([0, -2, -3])
    x = rng.integers(0, 3, (7, 3)) if tokens else rng.standard_normal((7, 3, 3))
    for b in range(3):
        x[lengths[b] :, b] = -1 if tokens else np.nan
    W, b = rng.standard_normal((3, 5, 3)), rng.standard_normal(5)
    check((x, W, b, offsets, lengths, "tanh", padding, 2), 1e-12)


def test_more_rows_than_one_partial_sum():
    rng = np.random.default_rng(4)
    x, W, b = rng.standard_normal((150, 5, 2)), rng.standard_normal((2, 3, 2)), np.zeros(3)
    check((x, W, b, np.array([-1, 2]), np.full(5, 150), "tanh", "zero", 1), 1e-12)


def test_offsets_as_tuple_and_weights_in_any_order():
    @numba.njit
    def both(x, W, b):
        h = kernels.tdnn_forward(x, W, b, (-1, 2, 0)).h
        return h, kernels.tdnn_backward(h, x, h, W, (-1, 2, 0))

    rng = np.random.default_rng(0)
    x, W, b = rng.standard_normal((6, 2, 3)), rng.standard_normal((3, 4, 3)), np.zeros(4)
    expected = reference.tdnn_forward(x, W, b, (-1, 2, 0)).h
    wanted = reference.tdnn_backward(expected, x, expected, W, (-1, 2, 0))
    W = np.asfortranarray(W)
    x.flags.writeable = W.flags.writeable = b.flags.writeable = False
    h, grads = both(x, W, b)
    np.testing.assert_allclose(h, expected, rtol=1e-12, atol=1e-14)
    for actual, gradient in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(actual, gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.lanes
@pytest.mark.parametrize("floor", [kernels, reference])
def test_buffers_are_overwritten_and_come_back(floor):
    rng = np.random.default_rng(0)
    x, W, b = rng.standard_normal((6, 2, 3)), rng.standard_normal((2, 4, 3)), np.zeros(4)
    offsets = np.array([-1, 1])
    h, work = np.full((4, 2, 4), np.nan), np.full((2, 3, 4), np.nan)
    state = floor.tdnn_forward(x, W, b, offsets, None, "tanh", "valid", 1, h, work)
    assert state.h is h and np.isfinite(h).all()
    dx, dW, db, da = (np.full(a, np.nan) for a in (x.shape, W.shape, b.shape, h.shape))
    grads = floor.tdnn_backward(h, x, h, W, offsets, None, "tanh", "valid", 1, dx, dW, db, da)
    assert grads.dx is dx and grads.dW is dW and grads.db is db
    assert all(np.isfinite(a).all() for a in grads)


@pytest.mark.lanes
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("offsets", [(-2, 1, 0), (-3, -1), (1, 4)])
def test_step_gives_the_frame_that_has_become_due(offsets, tokens):
    rng = np.random.default_rng(0)
    T, shifts = 9, np.array(offsets)
    x = rng.integers(0, 3, (T, 2)) if tokens else rng.standard_normal((T, 2, 3))
    W, b = rng.standard_normal((len(offsets), 4, 3)), rng.standard_normal(4)
    whole = forward(x, W, b, shifts, np.full(2, T), "tanh", "zero", 1).h
    ahead = max(0, *offsets)
    ring = np.zeros((ahead - min(offsets) + 1, *x.shape[1:]), x.dtype)
    ring -= tokens
    other = ring.copy()
    for t in range(T):
        h = step(x[t], ring, t, W, b, shifts, "tanh")
        expected = reference.tdnn_step(x[t], other, t, W, b, shifts, "tanh")
        np.testing.assert_allclose(h, expected, rtol=1e-12, atol=1e-14)
        if t >= ahead:
            np.testing.assert_allclose(h, whole[t - ahead], rtol=1e-12, atol=1e-14)
    out = np.empty((2, 4))
    assert kernels.tdnn_step(x[0], ring, T, W, b, shifts, "tanh", out) is out


@pytest.mark.parametrize("floor", [kernels, reference])
def test_unknown_names_are_refused(floor):
    x, W, b = np.zeros((3, 1, 1)), np.zeros((1, 1, 1)), np.zeros(1)
    with pytest.raises(ValueError, match="^padding: expected"):
        floor.tdnn_forward(x, W, b, np.array([0]), None, "relu", "same")
    with pytest.raises(ValueError, match="^activation: expected"):
        floor.tdnn_forward(x, W, b, np.array([0]), None, "swish", "zero")
