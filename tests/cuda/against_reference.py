"""Helpers of the tests that compare functions on an emulated GPU with the reference."""

import numpy as np

from fastrnn.cuda.launching import DeviceArray, copy_to_device, copy_to_host

ORDERS = ["asc", "desc", 7]


def on_device(arguments):
    return {
        name: copy_to_device(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }


def agree(found, expected, real):
    for name in expected._fields:
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if other is not None:
            assert isinstance(one, DeviceArray)
            host = copy_to_host(one)
            assert host.dtype == real and host.shape == other.shape, name
            atol = (1e-5 if real is np.float32 else 1e-12) * max(1, np.abs(other).max(initial=0))
            np.testing.assert_allclose(host, other, rtol=0, atol=atol, err_msg=name)


def doubles(arguments):
    return {
        name: value.astype(np.float64)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        else value
        for name, value in arguments.items()
    }


def spoil_padding(lengths, *arrays):
    """Store what must never be looked at past the sequences' ends: NaN, or -1 for integers."""
    if lengths is None:
        return
    past = np.arange(len(arrays[0]))[:, None] >= lengths
    for array in arrays:
        array[past] = np.nan if array.dtype.kind == "f" else -1
