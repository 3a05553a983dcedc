"""Checks of values on a GPU: a kernel cannot raise, but it can tell where the first bad one is.

Launching is asynchronous; a check that must raise waits for its answer. The kernels themselves
read and write nothing out of bounds whatever the values are, so that a caller may also check late,
or not at all.
"""

from functools import cache
from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import (
    DeviceArray,
    DeviceKernel,
    copy_to_host,
    device_kernel,
    empty,
    launch,
)

__all__ = ["first_outside", "require_range"]

_THREADS, _MOST_BLOCKS = 256, 256
_NONE = 2**62  # comes after every position


def require_range(
    name: str, array: DeviceArray, low: float, high: float, lengths: DeviceArray | None = None
) -> None:
    """Raise if a value of a valid step is not from `low` to `high`; waits for the GPU.

    Parameters
    ----------
    name : str
        The argument's name in the message.
    array : DeviceArray, shape (T, B) or (T, B, q), or (B,) without lengths
        int64, float32 or float64; NaN is outside.
    low, high : int or float
    lengths : DeviceArray of int64, shape (B,), optional
        Steps behind them are not looked at.

    Raises
    ------
    ValueError
        With the position of the first such value.
    """
    if array.size == 0:
        return
    place = int(copy_to_host(first_outside(array, low, high, lengths))[0])
    if place < 0:
        return
    index = tuple(int(i) for i in np.unravel_index(place, array.shape))
    value = copy_to_host(array.reshape((-1,)).rows(place, place + 1))[0]
    kind = "integers" if array.dtype.kind == "i" else "values"
    position = index if len(index) > 1 else index[0]
    raise ValueError(
        f"{name}: expected {kind} from {low} to {high}, got {value} at position {position}"
    )


def first_outside(
    array: DeviceArray, low: float, high: float, lengths: DeviceArray | None = None
) -> DeviceArray:
    """Return, on the GPU, the flat position of the first value outside, or -1: int64 (1,).

    Arguments as in `require_range`; waits for nothing.
    """
    size = array.size
    first = empty(1, np.int64, array.stream)
    blocks = max(1, min(-(-size // _THREADS), _MOST_BLOCKS))
    B = array.shape[1] if array.ndim > 1 else 1
    q = array.shape[2] if array.ndim > 2 else 1
    found = empty(blocks, np.int64, array.stream)
    launch(
        _outside(array.dtype.type), blocks, _THREADS, array, size, q, B, low, high, lengths,
        int(lengths is not None), found,
    )  # fmt: skip
    launch(_least, 1, _THREADS, found, blocks, first)
    return first


@cache
def _outside(kind: Any) -> DeviceKernel:
    type_ = kind.__name__

    @device_kernel(
        f"{type_}*, int64, int64, int64, {type_}, {type_}, int64*, int64, int64*",
        launch_bounds=_THREADS,
    )
    def find_outside(array, size, q, B, low, high, lengths, ragged, found):
        """Store the first position that each block finds."""
        here = cuda.threadIdx.x
        least = cuda.shared.array(_THREADS, np.int64)
        first = np.int64(_NONE)
        start = cuda.blockIdx.x * _THREADS + here
        for at in range(start, size, cuda.gridDim.x * _THREADS):
            alive = 1
            if ragged != 0 and at // (B * q) >= lengths[at // q % B]:
                alive = 0
            if alive != 0 and not (low <= array[at] and array[at] <= high):
                first = min(first, at)
        least[here] = first
        cuda.syncthreads()
        half = _THREADS // 2
        while half > 0:
            if here < half:
                least[here] = min(least[here], least[here + half])
            cuda.syncthreads()
            half //= 2
        if here == 0:
            found[cuda.blockIdx.x] = least[0]

    return find_outside


@device_kernel("int64*, int64, int64*", launch_bounds=_THREADS)
def _least(found, count, first):
    """Store the least of what the blocks found, -1 for none. One block."""
    here = cuda.threadIdx.x
    least = cuda.shared.array(_THREADS, np.int64)
    least[here] = _NONE
    if here < count:
        least[here] = found[here]
    cuda.syncthreads()
    half = _THREADS // 2
    while half > 0:
        if here < half:
            least[here] = min(least[here], least[here + half])
        cuda.syncthreads()
        half //= 2
    if here == 0:
        first[0] = least[0]
        if least[0] == _NONE:
            first[0] = -1
