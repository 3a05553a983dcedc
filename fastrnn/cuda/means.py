"""Weights divided by their sum on the GPU, for a loss's reduction "mean" (MATH.md section 8).

The sum is made of as many parts as the sizes say, each added up in one order, so that the same call
gives the same bits.
"""

from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import DeviceArray, device_kernel, empty, fill, launch

__all__ = ["mean_weights"]

_THREADS, _MOST_PARTS = 256, 64


def mean_weights(
    shape: tuple[int, int],
    weights: DeviceArray | None,
    lengths: DeviceArray | None,
    stream: int | None = None,
) -> DeviceArray:
    """Return the weights divided by their sum over valid steps, 0 in padding; all 0 where it is 0.

    Arguments are not checked. shape (T, B); weights (T, B), float64, None: ones; lengths (B,),
    int64, None: T for all. What lies in padding is not looked at.
    """
    T, B = shape
    shares = empty(shape, np.float64, stream)
    if weights is None and lengths is None:
        fill(shares, 1.0 / max(1, T * B))
        return shares
    blocks = max(1, min(_MOST_PARTS, -(-T * B // _THREADS)))
    parts = empty(blocks, np.float64, stream)
    given = weights, int(weights is not None), lengths, int(lengths is not None)
    launch(_add_weights, blocks, _THREADS, *given, T * B, B, parts, stream=stream)
    blocks_of_shares = -(-T * B // _THREADS)
    launch(
        _divide, blocks_of_shares, _THREADS, *given, T * B, B, parts, blocks, shares, stream=stream
    )
    return shares


@device_kernel(
    "float64*, int32, int64*, int32, int64, int64, float64*", launch_bounds=_THREADS
)  # fmt: skip
def _add_weights(
    weights: Any, weighted: int, lengths: Any, ragged: int, steps: int, B: int, parts: Any
) -> None:
    """Each block adds up the weights of every gridDim-th group of steps."""
    here = cuda.threadIdx.x
    sums = cuda.shared.array(_THREADS, np.float64)
    total = np.float64(0)
    first = np.int64(cuda.blockIdx.x) * _THREADS + here
    for row in range(first, steps, np.int64(cuda.gridDim.x) * _THREADS):
        if ragged == 0 or row // B < lengths[row % B]:
            if weighted != 0:
                total += weights[row]
            else:
                total += np.float64(1)
    sums[here] = total
    cuda.syncthreads()
    half = _THREADS // 2
    while half > 0:
        if here < half:
            sums[here] += sums[here + half]
        cuda.syncthreads()
        half //= 2
    if here == 0:
        parts[cuda.blockIdx.x] = sums[0]


@device_kernel(
    "float64*, int32, int64*, int32, int64, int64, float64*, int32, float64*",
    launch_bounds=_THREADS,
)
def _divide(
    weights: Any, weighted: int, lengths: Any, ragged: int, steps: int, B: int, parts: Any,
    count: int, shares: Any,
) -> None:  # fmt: skip
    """One thread for each step; each adds up the parts, in their order."""
    row = np.int64(cuda.blockIdx.x) * _THREADS + cuda.threadIdx.x
    if row >= steps:
        return
    total = np.float64(0)
    for k in range(count):
        total += parts[k]
    share = np.float64(0)
    if total != 0 and (ragged == 0 or row // B < lengths[row % B]):
        share = np.float64(1)
        if weighted != 0:
            share = weights[row]
        share /= total
    shares[row] = share
