"""The output layer and the readouts on the GPU, in three orders of threads."""

import numpy as np
import pytest
from emulator import emulated_device
from helpers import TOLERANCE, assert_close, make_case, poisoned, widened

from fastrnn import readout, reference
from fastrnn.cuda import linear
from fastrnn.cuda import readout as cuda_readout
from fastrnn.cuda.launching import copy_to_device, copy_to_host

ORDERS = ["asc", "desc", 3]


def linear_pass(module, case, h, do, lengths):
    o = module.linear_forward(h, case["V"], case["c"], lengths)
    grads = module.linear_backward(do, h, case["V"], lengths)
    return {"o": o, **grads._asdict()}


@pytest.mark.parametrize(
    "order, ragged, real",
    [(order, True, np.float32) for order in ORDERS]
    + [("asc", True, np.float64), ("desc", False, np.float32)],
)
def test_output_layer_as_the_reference(order, ragged, real):
    case = make_case(1, 9, 5, 2, 19, 35, dtype=real, lengths=True)
    rng = np.random.default_rng(2)
    h, do = (rng.standard_normal((9, 5, width)).astype(real) for width in (19, 35))
    lengths = case.lengths if ragged else None
    wide = {name: getattr(widened(case), name) for name in ("V", "c")}
    expected = linear_pass(reference, wide, h.astype(float), do.astype(float), lengths)
    if ragged:
        padding = np.arange(9)[:, None] >= lengths
        h[padding] = do[padding] = np.nan
    with emulated_device(order, watch=True):
        there = {"V": copy_to_device(case.V), "c": copy_to_device(case.c)}
        given = [None if a is None else copy_to_device(a) for a in (h, do, lengths)]
        got = linear_pass(linear, there, *given)
        got = {name: copy_to_host(array) for name, array in got.items()}
    assert_close(got, expected, TOLERANCE[np.dtype(real)])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("T", [6, 0])
@pytest.mark.parametrize("which", ["last", "mean"])
def test_readouts_as_those_of_the_cpu(which, T, order):
    case = make_case(3, T, 5, 2, 60, 2, dtype=np.float32)
    bad = poisoned(case)
    lengths = case.lengths
    h = np.where(np.arange(T)[:, None, None] < lengths[:, None], case.dh, np.float32(0))
    seen, some = readout.read(which, h, lengths)
    d_read = np.random.default_rng(4).standard_normal(seen.shape).astype(np.float32)
    dh = readout.read_backward(which, d_read, h, lengths)
    dh[np.arange(T)[:, None] >= lengths] = 0  # "last" leaves something there on the CPU
    with emulated_device(order, watch=True):
        states, valid = copy_to_device(bad.dh), copy_to_device(lengths)
        got = cuda_readout.read(which, states, valid)
        np.testing.assert_array_equal(copy_to_host(got.lengths), some)
        np.testing.assert_allclose(copy_to_host(got.frames), seen, rtol=1e-6)
        back = cuda_readout.read_backward(which, copy_to_device(d_read), states, valid)
        np.testing.assert_allclose(copy_to_host(back), dh, rtol=1e-6)
        assert cuda_readout.read("each", states, valid) == (states, valid)
        assert cuda_readout.read_backward("each", back, states, valid) is back
