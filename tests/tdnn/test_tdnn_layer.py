"""Public functions of the time-delay layer: unequal lengths, edges, causality, threads."""

import numpy as np
import pytest

import tdnn
from tdnn.layer import PADDINGS

OFFSETS = (1, -3, 0)


def example(T=17, lengths=(17, 0, 9, 1, 5), p=6, m=7, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, len(lengths), p))
    W = 0.8 * rng.standard_normal((3, m, p)) / np.sqrt(p)
    return x, W, rng.standard_normal(m), np.array(lengths)


def both(x, W, b, offsets=OFFSETS, seed=1, **options):
    """Return h, the output lengths and the gradients for a fixed dh."""
    state = tdnn.tdnn_forward(x, W, b, offsets, activation="tanh", **options)
    dh = np.random.default_rng(seed).standard_normal(state.h.shape).astype(W.dtype)
    dh[np.arange(len(dh))[:, None] >= state.lengths] = np.nan
    grads = tdnn.tdnn_backward(dh, x, state.h, W, offsets, activation="tanh", **options)
    return state, grads, dh


@pytest.mark.parametrize("padding", ["valid", "zero", "replicate"])
@pytest.mark.parametrize("stride", [1, 2])
def test_each_sequence_is_as_if_alone(padding, stride):
    x, W, b, lengths = example()
    options = {"padding": padding, "stride": stride}
    state, grads, dh = both(x, W, b, lengths=lengths, **options)
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for i, length in enumerate(lengths):
        alone = tdnn.tdnn_forward(
            x[:length, i : i + 1], W, b, OFFSETS, activation="tanh", **options
        )
        n = state.lengths[i]
        assert alone.lengths.tolist() == [n] and alone.h.shape[0] == n
        np.testing.assert_array_equal(alone.h[:, 0], state.h[:n, i])
        part = tdnn.tdnn_backward(
            dh[:n, i : i + 1], x[:length, i : i + 1], alone.h, W, OFFSETS,
            activation="tanh", **options,
        )  # fmt: skip
        np.testing.assert_array_equal(part.dx[:, 0], grads.dx[:length, i])
        dW += part.dW
        db += part.db
    np.testing.assert_allclose(grads.dW, dW, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(grads.db, db, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("padding", ["valid", "zero", "replicate"])
def test_padding_content_changes_nothing(padding):
    x, W, b, lengths = example()
    before = both(x, W, b, lengths=lengths, padding=padding)
    dirty = x.copy()
    dirty[np.arange(17)[:, None] >= lengths] = np.nan
    after = both(dirty, W, b, lengths=lengths, padding=padding)
    for one, two in zip((*before[0], *before[1]), (*after[0], *after[1]), strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.isfinite(one).all()
    ids = np.random.default_rng(0).integers(0, 6, (17, 5))
    clean = tdnn.tdnn_forward(ids, W, b, OFFSETS, lengths=lengths, padding=padding).h
    ids[np.arange(17)[:, None] >= lengths] = -1
    again = tdnn.tdnn_forward(ids, W, b, OFFSETS, lengths=lengths, padding=padding).h
    np.testing.assert_array_equal(clean, again)


def test_the_future_leaves_the_past_bit_identical():
    x, W, b, _ = example()
    offsets = (-4, -2, 0)
    h = tdnn.tdnn_forward(x, W, b, offsets, padding="causal").h
    for t in (0, 7, 16):
        changed = x.copy()
        changed[t:] = np.nan
        other = tdnn.tdnn_forward(changed, W, b, offsets, padding="causal").h
        np.testing.assert_array_equal(other[:t], h[:t])
        assert np.isnan(other[t]).all()


def test_nan_reaches_only_frames_whose_window_holds_it():
    x, W, b, _ = example()
    x[8, 2, 3] = np.nan
    for padding, start in (("zero", 0), ("valid", 3)):
        h = tdnn.tdnn_forward(x, W, b, OFFSETS, padding=padding).h
        reached = {(i + start, row) for i, row in np.argwhere(np.isnan(h).any(2))}
        assert reached == {(8 - k, 2) for k in OFFSETS}


@pytest.mark.parametrize("padding", ["valid", "replicate"])
@pytest.mark.parametrize("tokens", [False, True])
def test_same_bits_for_every_thread_count(padding, tokens):
    x, W, b, lengths = example()
    if tokens:
        x = np.random.default_rng(0).integers(0, 6, x.shape[:2])
    one = both(x, W, b, lengths=lengths, padding=padding, threads=1)
    for threads in (2, 3):
        more = both(x, W, b, lengths=lengths, padding=padding, threads=threads)
        np.testing.assert_array_equal(one[0].h, more[0].h)
        for name in ("dW", "db") + (() if tokens else ("dx",)):
            np.testing.assert_array_equal(getattr(one[1], name), getattr(more[1], name))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("offsets", [(0, -3, -1), (-9, -7, -8)])
@pytest.mark.parametrize("shape", [(0, 2), (5, 0), (0, 0), (1, 2), (3, 2)])
def test_few_or_no_frames_or_sequences(shape, offsets, padding):
    T, B = shape
    x, W, b = np.ones((T, B, 6)), np.ones((3, 7, 6)), np.ones(7)
    state, grads, _ = both(x, W, b, offsets, padding=padding)
    span = max(offsets) - min(offsets)
    frames = max(0, T - span) if padding == "valid" else T
    assert state.h.shape == (frames, B, 7)
    assert state.lengths.tolist() == [frames] * B and state.lengths.dtype == np.int64
    assert grads.dx.shape == x.shape and grads.dW.shape == W.shape and grads.db.shape == b.shape
    if frames * B == 0:
        assert not any(gradient.any() for gradient in grads)


def test_any_layout_is_accepted_and_nothing_is_written_to():
    x, W, b, lengths = example()
    plain = both(x, W, b, lengths=lengths)
    strided = np.repeat(x, 2, 2)[::-1][:, :, ::2][::-1]
    fortran, narrow = np.asfortranarray(W), lengths.astype(np.int32)
    arrays = (strided, fortran, b, narrow)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    state, grads, _ = both(strided, fortran, b, np.array(OFFSETS, np.int8), lengths=narrow)
    np.testing.assert_array_equal(state.h, plain[0].h)
    for one, two in zip(plain[1], grads, strict=True):
        np.testing.assert_array_equal(one, two)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_relu_slope_at_zero_is_zero():
    x, W = np.zeros((2, 1, 1)), np.ones((1, 1, 1))
    state = tdnn.tdnn_forward(x, W, np.zeros(1), [0])
    grads = tdnn.tdnn_backward(np.ones_like(state.h), x, state.h, W, [0])
    assert grads.db.tolist() == [0.0] and not grads.dx.any()


def test_float32_stays_near_float64_over_many_frames():
    x, W, b, _ = example(T=512, lengths=(512, 512))
    wide = both(x, W, b, padding="replicate")
    narrow = both(*(array.astype(np.float32) for array in (x, W, b)), padding="replicate")
    for one, two in zip((wide[0].h, *wide[1]), (narrow[0].h, *narrow[1]), strict=True):
        assert two.dtype == np.float32
        assert np.linalg.norm(one - two) <= 1e-5 * np.linalg.norm(one)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["valid", "zero", "replicate"])
def test_bits_of_dx_do_not_depend_on_where_blocks_of_frames_end(padding, stride):
    """So many units that a thread takes one frame of two sequences at a time, or two of one."""
    rng = np.random.default_rng(17)
    x, W, b = rng.standard_normal((9, 2, 2)), rng.standard_normal((4, 16_384, 2)), np.zeros(16_384)
    given = {"padding": padding, "stride": stride, "lengths": np.array([9, 7])}
    offsets = (2, -3, -1, 0)
    h = tdnn.tdnn_forward(x, W, b, offsets, **given).h
    dh = rng.standard_normal(h.shape)
    one, two = (tdnn.tdnn_backward(dh, x, h, W, offsets, threads=n, **given) for n in (1, 2))
    alone = given | {"lengths": np.array([7])}
    short = tdnn.tdnn_backward(dh[:, 1:], x[:, 1:], h[:, 1:], W, offsets, threads=1, **alone)
    for name, first, second in zip(one._fields, one, two, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=name)
    np.testing.assert_array_equal(one.dx[:, 1:], short.dx)
