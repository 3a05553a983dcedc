"""The time-delay layer of `tdnn.cuda`, in three orders of threads, against its reference."""

import numpy as np
import pytest
from emulator import Deadlock, Race, emulated_device
from helpers import ACTIVATIONS, TOLERANCE, assert_close, assert_same_bits, random_lengths

from fastrnn.cuda.launching import copy_to_device, copy_to_host, empty, launch
from tdnn import cuda, reference
from tdnn.cuda.rows import THREADS, count_frames

ORDERS = ["asc", "desc", 3]
# T, B, p, m, offsets, padding, stride: more rows and units than a tile has.
LAYERS = [
    (9, 5, 3, 35, (-2, 0, 1), "valid", 1),
    (10, 4, 18, 3, (-1, 40, 1, 0), "zero", 3),
    (7, 5, 4, 3, (-3, 1, 9, 0), "replicate", 1),
]
# Offsets in any order, on one side, far beyond the sequence; strides.
MORE_LAYERS = [
    (11, 4, 3, 5, (3, -1), "valid", 2),
    (9, 5, 3, 4, (0, -3, 2), "zero", 1),
    (8, 5, 4, 3, (0, -2, -5), "causal", 2),
    (8, 5, 4, 3, (2, -12, -1), "replicate", 3),
    (4, 2, 3, 3, (-4, 3), "valid", 1),
    (5, 3, 2, 2, (2, 4), "valid", 2),
    (1, 2, 2, 2, (0, 1), "replicate", 1),
]


def make_layer(T, B, p, m, offsets, padding, stride, real, tokens=False, seed=0):
    """Return the arguments of a layer's passes, padding filled with NaN, or -1."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.standard_normal(shape).astype(real)

    frames = reference.output_length(T, offsets, padding, stride)
    lengths = random_lengths(rng, T, B)
    x = rng.integers(0, p, (T, B)) if tokens else normal(T, B, p)
    x[np.arange(T)[:, None] >= lengths] = -1 if tokens else np.nan
    dh = normal(frames, B, m)
    for b in range(B):
        dh[reference.output_length(lengths[b], offsets, padding, stride) :, b] = np.nan
    return {
        "x": x, "W": normal(len(offsets), m, p) / real(np.sqrt(p)), "b": normal(m), "dh": dh,
        "lengths": lengths, "offsets": offsets, "padding": padding, "stride": stride,
    }  # fmt: skip


def passes(module, case, activation, wide=False, lengths=True):
    """Return h, its lengths and the gradients, by one of the floors, as arrays of the host."""
    host = {
        name: array.astype(np.float64) if wide and array.dtype == np.float32 else array
        for name, array in case.items()
        if isinstance(array, np.ndarray)
    }
    there = host if module is reference else {n: copy_to_device(a) for n, a in host.items()}
    x, W, offsets, counts = there["x"], there["W"], case["offsets"], there["lengths"]
    last = (counts if lengths else None, activation, case["padding"], case["stride"])
    state = module.tdnn_forward(x, W, there["b"], offsets, *last)
    grads = module.tdnn_backward(there["dh"], x, state.h, W, offsets, *last)
    results = {**state._asdict(), **grads._asdict()}
    if module is reference:
        return results
    return {name: array and copy_to_host(array) for name, array in results.items()}


def check(layer, real, activation, order, **options):
    case = make_layer(*layer, real, **options)
    with emulated_device(order, watch=True):
        got = passes(cuda, case, activation)
    assert_close(got, passes(reference, case, activation, wide=True), TOLERANCE[np.dtype(real)])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layer", LAYERS)
def test_agrees_with_the_reference_on_ragged_batches(layer, order):
    check(layer, np.float32, "tanh", order)


@pytest.mark.parametrize("layer", MORE_LAYERS)
def test_agrees_with_the_reference_on_other_layers(layer):
    check(layer, np.float64, "tanh", "asc")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    check((5, 3, 2, 4, (1, 0), "zero", 1), np.float64, activation, "desc")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("padding, stride", [("valid", 1), ("replicate", 2)])
def test_token_ids(padding, stride, order):
    check((8, 5, 9, 35, (2, -1), padding, stride), np.float32, "relu", order, tokens=True)


@pytest.mark.parametrize("layer", [LAYERS[1], LAYERS[2]])
def test_without_lengths_and_into_buffers(layer):
    T, B, p, m, offsets, padding, stride = layer
    case = make_layer(*layer, np.float64)
    case["lengths"][:] = T
    for name, array in case.items():
        if isinstance(array, np.ndarray):
            case[name] = np.nan_to_num(array)
    expected = passes(reference, case, "relu", lengths=False)
    with emulated_device():
        x, W, b, dh = (copy_to_device(case[name]) for name in ("x", "W", "b", "dh"))
        same = {"activation": "relu", "padding": padding, "stride": stride}
        h = empty(dh.shape, np.float64)
        state = cuda.tdnn_forward(x, W, b, offsets, **same, h=h)
        shapes = x.shape, W.shape, b.shape, h.shape
        buffers = [empty(shape, np.float64) for shape in shapes]
        grads = cuda.tdnn_backward(dh, x, h, W, offsets, None, "relu", padding, stride, *buffers)
        assert state.h is h and all(a is b for a, b in zip(grads, buffers, strict=False))
        results = {**state._asdict(), **grads._asdict()}
        got = {name: copy_to_host(array) for name, array in results.items()}
        da = copy_to_host(buffers[3])
    assert_close(got, expected, 1e-12)
    np.testing.assert_allclose(da, np.where(got["h"] > 0, case["dh"], 0), rtol=1e-14)


def test_same_bits_in_any_order():
    case = make_layer(7, 5, 3, 5, (0, -1), "zero", 1, np.float32)
    results = []
    for order in ORDERS:
        with emulated_device(order):
            results.append(passes(cuda, case, "tanh"))
    for got in results[1:]:
        assert_same_bits(got, results[0])


def test_same_bits_with_large_tiles():
    """One multiprocessor has enough to do with one large tile."""
    case = make_layer(9, 5, 3, 35, (0, -1), "zero", 1, np.float32)
    results = []
    for processors in (1, 4):
        with emulated_device(multiprocessors=processors) as device:
            x, W, b, lengths = (copy_to_device(case[n]) for n in ("x", "W", "b", "lengths"))
            state = cuda.tdnn_forward(x, W, b, (0, -1), lengths, "tanh", "zero")
            results.append(copy_to_host(state.h))
            assert "sum_products_kernel" in device.launches
    assert results[0].tobytes() == results[1].tobytes()


def test_bits_of_a_sequence_do_not_depend_on_the_others():
    case = make_layer(8, 4, 3, 5, (-1, 2), "zero", 2, np.float32)
    case["lengths"][:2] = 8, 5
    case["x"], case["dh"] = np.nan_to_num(case["x"]), np.nan_to_num(case["dh"])
    alone = {**case, **{n: np.ascontiguousarray(case[n][:, 1:2]) for n in ("x", "dh")}}
    alone["lengths"] = case["lengths"][1:2].copy()
    with emulated_device():
        got, expected = passes(cuda, case, "tanh"), passes(cuda, alone, "tanh")
    for name in ("h", "dx"):
        assert got[name][:, 1].tobytes() == expected[name][:, 0].tobytes()


@pytest.mark.parametrize("tokens", [True, False])
def test_steps_as_the_reference(tokens):
    rng = np.random.default_rng(6)
    W, b = rng.standard_normal((3, 4, 5)), rng.standard_normal(4)
    x = rng.integers(0, 5, (7, 2)) if tokens else rng.standard_normal((7, 2, 5))
    ring = np.full((5, 2), -1) if tokens else np.zeros((5, 2, 5))
    offsets = (1, -3, 0)
    with emulated_device(watch=True):
        given = [copy_to_device(array) for array in (ring, W, b)]
        for t, x_t in enumerate(x):
            expected = reference.tdnn_step(x_t, ring, t, W, b, offsets, "tanh")
            out = empty((2, 4), np.float64) if t else None
            got = cuda.tdnn_step(
                copy_to_device(x_t), given[0], t, given[1], given[2], offsets, "tanh", out
            )
            assert out is None or got is out
            np.testing.assert_allclose(copy_to_host(got), expected, rtol=1e-12)
            np.testing.assert_array_equal(copy_to_host(given[0]), ring)


def test_a_nan_reaches_only_frames_whose_window_holds_it():
    case = make_layer(9, 2, 3, 4, (-2, 1), "zero", 1, np.float64)
    case["lengths"][:] = 9
    case["x"] = np.nan_to_num(case["x"])
    case["x"][4, 1, 0] = np.nan
    with emulated_device():
        h = passes(cuda, case, "relu")["h"]
    assert sorted(set(map(tuple, np.argwhere(np.isnan(h))[:, :2]))) == [(3, 1), (6, 1)]


@pytest.mark.parametrize("T, B", [(0, 2), (3, 0), (1, 2)])
@pytest.mark.parametrize("tokens", [True, False])
def test_without_steps_sequences_or_output_frames(tokens, T, B):
    """With T = 1 the window is longer than the sequences."""
    case = make_layer(T, B, 3, 4, (-1, 1), "valid", 1, np.float64, tokens=tokens)
    with emulated_device(watch=True):
        got = passes(cuda, case, "tanh")
    assert_close(got, passes(reference, case, "tanh"), 0)


@pytest.mark.parametrize("order", ORDERS)
def test_counts_and_their_running_sums(order):
    """More sequences than the block has threads; lengths out of range count as the nearest."""
    lengths = np.random.default_rng(1).integers(-2, 14, 300)
    inside = np.clip(lengths, 0, 11)
    expected = np.stack([inside, np.maximum(0, (inside - 2 - 1) // 2 + 1)])
    with emulated_device(order, watch=True):
        counts, starts = empty((2, 300), np.int64), empty((2, 301), np.int64)
        given = copy_to_device(lengths)
        launch(count_frames, 2, THREADS, given, 1, 11, 300, 2, 2, counts, starts)
        np.testing.assert_array_equal(copy_to_host(counts), expected)
        np.testing.assert_array_equal(copy_to_host(starts)[:, 1:], expected.cumsum(1))
        assert not copy_to_host(starts)[:, 0].any()


@pytest.mark.parametrize("barrier", range(4))
def test_every_barrier_of_the_count_is_needed(barrier):
    with emulated_device(3, watch=True, without=("count_frames", barrier)):
        counts, starts = empty((2, 300), np.int64), empty((2, 301), np.int64)
        with pytest.raises((Race, Deadlock)):
            launch(count_frames, 2, THREADS, None, 0, 11, 300, 2, 2, counts, starts)


@pytest.mark.parametrize("barrier", [1, 2])
def test_every_barrier_of_the_products_is_needed(barrier):
    """Barrier 0 also asks whether there is anything to do."""
    case = make_layer(9, 5, 20, 5, (-2, 0), "valid", 1, np.float32)
    without = ("sum_products_kernel", barrier)
    with emulated_device(3, watch=True, without=without), pytest.raises((Race, Deadlock)):
        passes(cuda, case, "tanh")
