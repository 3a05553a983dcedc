"""The time-delay layer of `tdnn.cuda`, in three orders of threads, against its reference."""

import numpy as np
import pytest
from emulator import emulated_device
from helpers import TOLERANCE, assert_close, random_lengths

from fastrnn.cuda.launching import copy_to_device, copy_to_host
from tdnn import cuda, reference

ORDERS = ["asc", "desc", 3]
# Offsets in any order, on one side, far beyond the sequence; strides; more rows than one tile has.
LAYERS = [
    # T, B, p, m, offsets, padding, stride
    (9, 5, 3, 35, (-2, 0, 1), "valid", 1),
    (11, 4, 18, 5, (3, -1), "valid", 2),
    (9, 5, 3, 4, (0, -3, 2), "zero", 1),
    (10, 4, 5, 3, (-1, 40, 1, 0), "zero", 3),
    (8, 5, 4, 3, (0, -2, -5), "causal", 2),
    (7, 5, 4, 3, (-3, 1, 9, 0), "replicate", 1),
    (8, 5, 4, 3, (2, -12, -1), "replicate", 3),
    (4, 2, 3, 3, (-4, 3), "valid", 1),
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


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layer", LAYERS)
def test_agrees_with_the_reference_on_ragged_batches(layer, order):
    case = make_layer(*layer, np.float32)
    with emulated_device(order, watch=True):
        got = passes(cuda, case, "tanh")
    assert_close(got, passes(reference, case, "tanh", wide=True), TOLERANCE[np.dtype(np.float32)])
