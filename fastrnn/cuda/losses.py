"""Losses and their gradients in the output, on the GPU (MATH.md section 8).

A few neighbouring threads share a step. Each thread adds up its terms in float64, each block those
of its threads, a last block those of the others: trees that depend on the sizes alone, so the same
call gives the same bits on any device.

The value stays on the GPU, and nothing waits. A class target out of range makes the value NaN and
is never used as an index; what promises a ValueError asks `checks.require_range`, and waits.
"""

import math
from functools import cache
from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda, device_function
from fastrnn.cuda.launching import DeviceArray, DeviceKernel, device_kernel, empty, launch, view
from fastrnn.results import Loss

__all__ = [
    "sigmoid",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
]

_THREADS, _MOST_BLOCKS = 256, 1024


def softmax_cross_entropy(
    o: Any, targets: Any, lengths: Any = None, weights: Any = None, do: Any = None
) -> Loss:
    """Compute sum w (logsumexp(o) - o[target]) and do = w (softmax(o) - onehot) (section 8).

    Arguments are not checked. o (T, B, q), targets (T, B) class numbers, int64, lengths (B,),
    int64, weights (T, B), float64. Buffer, overwritten: do (T, B, q). A step of weight 0 is not
    looked at. Returns Loss(value, do), the value a float64 on the GPU, of shape (1,).
    """
    return _loss(_softmax_loss, o, targets, lengths, weights, do)


def sigmoid_cross_entropy(
    o: Any, targets: Any, lengths: Any = None, weights: Any = None, do: Any = None
) -> Loss:
    """Compute sum w (softplus(o) - y o) and do = w (sigmoid(o) - y) (section 8).

    Arguments are not checked. o and targets (T, B, q), lengths (B,), int64, weights (T, B),
    float64. Buffer, overwritten: do (T, B, q). A step of weight 0 is not looked at. Returns
    Loss(value, do), the value a float64 on the GPU, of shape (1,).
    """
    return _loss(_sigmoid_loss, o, targets, lengths, weights, do)


def squared_error(
    o: Any, targets: Any, lengths: Any = None, weights: Any = None, do: Any = None
) -> Loss:
    """Compute sum w (o - y)^2 and do = 2 w (o - y) (section 8).

    Arguments are not checked. o and targets (T, B, q), lengths (B,), int64, weights (T, B),
    float64. Buffer, overwritten: do (T, B, q). A step of weight 0 is not looked at. Returns
    Loss(value, do), the value a float64 on the GPU, of shape (1,).
    """
    return _loss(_squared_loss, o, targets, lengths, weights, do)


def _loss(kernel: Any, o: Any, targets: Any, lengths: Any, weights: Any, do: Any) -> Loss:
    """Launch one of the kernels below, and the sum of what its blocks found."""
    outputs, targets, (lengths, weights) = view(o), view(targets), _views(lengths, weights)
    grad = empty(outputs.shape, outputs.dtype, outputs.stream) if do is None else do
    value = empty(1, np.float64, outputs.stream)
    T, B, q = outputs.shape
    lanes, blocks = _division(T * B, q)
    parts = empty(blocks, np.float64, outputs.stream)
    launch(
        kernel(outputs.dtype.type), blocks, _THREADS, outputs, targets, lengths,
        int(lengths is not None), weights, int(weights is not None), T * B, B, q, lanes,
        view(grad), parts,
    )  # fmt: skip
    launch(_add_blocks, 1, _THREADS, parts, blocks, value)
    return Loss(value, grad)  # type: ignore[arg-type]


def softmax(o: Any, lengths: Any = None, out: Any = None) -> Any:
    """Compute yhat(t) = softmax(o(t)) (MATH.md section 1).

    Arguments are not checked. o (T, B, q), lengths (B,), int64. Buffer, overwritten: out (T, B, q),
    which may be o itself. Returns yhat, zero in padding.
    """
    return _prediction(_softmax_rows, o, lengths, out)


def sigmoid(o: Any, lengths: Any = None, out: Any = None) -> Any:
    """Compute yhat(t) = sigmoid(o(t)) (MATH.md section 8).

    Arguments are not checked. o (T, B, q), lengths (B,), int64. Buffer, overwritten: out (T, B, q),
    which may be o itself. Returns yhat, zero in padding.
    """
    return _prediction(_sigmoid_rows, o, lengths, out)


def _prediction(kernel: Any, o: Any, lengths: Any, out: Any) -> Any:
    outputs, (lengths,) = view(o), _views(lengths)
    yhat = empty(outputs.shape, outputs.dtype, outputs.stream) if out is None else out
    T, B, q = outputs.shape
    lanes, _ = _division(T * B, q)
    blocks = -(-T * B * lanes // _THREADS) if q else 0
    launch(
        kernel(outputs.dtype.type), blocks, _THREADS, outputs, lengths, int(lengths is not None),
        T * B, B, q, lanes, view(yhat),
    )  # fmt: skip
    return yhat


def _views(*arrays: Any) -> list[DeviceArray | None]:
    return [None if array is None else view(array) for array in arrays]


def _division(steps: int, q: int) -> tuple[int, int]:
    """Return how many threads share a step, a power of two up to 32, and the number of blocks."""
    lanes = min(32, 1 << max(0, q - 1).bit_length())
    return lanes, max(1, min(-(-steps * lanes // _THREADS), _MOST_BLOCKS))


@device_function
def _weight(row, lengths, ragged, weights, weighted, B):
    """Return the weight of a step: 0 in padding, 1 where there are no weights."""
    if ragged != 0 and row // B >= lengths[row % B]:
        return np.float64(0)
    if weighted != 0:
        return weights[row]
    return np.float64(1)


@device_function
def _top(o, at, lane, q, lanes, low):
    """Return the greatest of `low` and the q numbers from o[at] on, to each of the lanes."""
    top = low
    for i in range(lane, q, lanes):
        top = max(top, o[at + i])
    step = lanes // 2
    while step > 0:
        top = max(top, cuda.shfl_xor_sync(0xFFFFFFFF, top, step))
        step //= 2
    return top


@device_function
def _exp_sum(o, at, top, lane, q, lanes):
    """Return the sum of exp(r - top) over the q numbers r from o[at] on, to each of the lanes."""
    T = type(top)
    total = T(0)
    for i in range(lane, q, lanes):
        total += math.exp(o[at + i] - top)
    step = lanes // 2
    while step > 0:
        total += cuda.shfl_xor_sync(0xFFFFFFFF, total, step)
        step //= 2
    return total


@device_function
def _store_block_sum(sums, parts):
    """Store the sum of the threads' numbers in `sums`; a tree."""
    here = cuda.threadIdx.x
    cuda.syncthreads()
    half = _THREADS // 2
    while half > 0:
        if here < half:
            sums[here] += sums[here + half]
        cuda.syncthreads()
        half //= 2
    if here == 0:
        parts[cuda.blockIdx.x] = sums[0]


def _loss_signature(real: Any, targets: str) -> str:
    type_ = real.__name__
    return (
        f"{type_}*, {targets}*, int64*, int64, float64*, int64, int64, int64, int64, int64,"
        f"{type_}*, float64*"
    )


@cache
def _softmax_loss(real: Any) -> DeviceKernel:
    NAN, LOW = real(np.nan), real(-np.inf)

    @device_kernel(_loss_signature(real, "int64"), launch_bounds=_THREADS)
    def softmax_loss(o, targets, lengths, ragged, weights, weighted, steps, B, q, lanes, do, parts):
        """`lanes` threads for each step; all threads of a warp take part in each exchange."""
        here = cuda.threadIdx.x
        sums = cuda.shared.array(_THREADS, np.float64)
        lane, value = here % lanes, np.float64(0)
        per_block = _THREADS // lanes
        for first in range(cuda.blockIdx.x * per_block, steps, cuda.gridDim.x * per_block):
            row = first + here // lanes
            w = np.float64(0)
            if row < steps:
                w = _weight(row, lengths, ragged, weights, weighted, B)
            at = min(row, steps - 1) * q
            size = q
            if w == 0:
                size = 0
            top = _top(o, at, lane, size, lanes, LOW)
            total = _exp_sum(o, at, top, lane, size, lanes)
            scale = real(w) / total
            if row < steps:
                target = np.int64(-1)
                if w != 0:
                    target = targets[row]
                for i in range(lane, q, lanes):
                    grad = real(0)
                    if w != 0:
                        grad = math.exp(o[at + i] - top) * scale
                        if i == target:
                            grad -= real(w)
                    do[at + i] = grad
                if w != 0 and lane == 0:
                    loss = NAN
                    if 0 <= target and target < q:
                        # Two terms that are not below 0: no digits cancel.
                        loss = (top - o[at + target]) + math.log(total)
                    value += w * np.float64(loss)
        sums[here] = value
        _store_block_sum(sums, parts)

    return softmax_loss


@cache
def _sigmoid_loss(real: Any) -> DeviceKernel:
    @device_kernel(_loss_signature(real, real.__name__), launch_bounds=_THREADS)
    def sigmoid_loss(o, targets, lengths, ragged, weights, weighted, steps, B, q, lanes, do, parts):
        """`lanes` threads for each step."""
        here = cuda.threadIdx.x
        sums = cuda.shared.array(_THREADS, np.float64)
        lane, value = here % lanes, np.float64(0)
        first = (cuda.blockIdx.x * _THREADS + here) // lanes
        for row in range(first, steps, cuda.gridDim.x * (_THREADS // lanes)):
            w = _weight(row, lengths, ragged, weights, weighted, B)
            at = row * q
            for i in range(lane, q, lanes):
                grad = real(0)
                if w != 0:
                    x, y = o[at + i], targets[at + i]
                    e = math.exp(-abs(x))
                    # softplus(x) - y x, of terms that are not below 0: no digits cancel.
                    if x >= real(0):
                        loss, part = x * (real(1) - y), real(1)
                    else:
                        loss, part = -x * y, e
                    value += w * np.float64(loss + math.log1p(e))
                    grad = real(w) * (part / (real(1) + e) - y)
                do[at + i] = grad
        sums[here] = value
        _store_block_sum(sums, parts)

    return sigmoid_loss


@cache
def _squared_loss(real: Any) -> DeviceKernel:
    @device_kernel(_loss_signature(real, real.__name__), launch_bounds=_THREADS)
    def squared_loss(o, targets, lengths, ragged, weights, weighted, steps, B, q, lanes, do, parts):
        """`lanes` threads for each step."""
        here = cuda.threadIdx.x
        sums = cuda.shared.array(_THREADS, np.float64)
        lane, value = here % lanes, np.float64(0)
        first = (cuda.blockIdx.x * _THREADS + here) // lanes
        for row in range(first, steps, cuda.gridDim.x * (_THREADS // lanes)):
            w = _weight(row, lengths, ragged, weights, weighted, B)
            at = row * q
            for i in range(lane, q, lanes):
                grad = real(0)
                if w != 0:
                    difference = o[at + i] - targets[at + i]
                    value += w * (np.float64(difference) * np.float64(difference))
                    grad = real(2 * w) * difference
                do[at + i] = grad
        sums[here] = value
        _store_block_sum(sums, parts)

    return squared_loss


@device_kernel("float64*, int64, float64*", launch_bounds=_THREADS)
def _add_blocks(parts, count, value):
    """Store the sum of the blocks' sums. One block."""
    here = cuda.threadIdx.x
    sums = cuda.shared.array(_THREADS, np.float64)
    total = np.float64(0)
    for at in range(here, count, _THREADS):
        total += parts[at]
    sums[here] = total
    _store_block_sum(sums, value)


def _rows_signature(real: Any) -> str:
    type_ = real.__name__
    return f"{type_}*, int64*, int64, int64, int64, int64, int64, {type_}*"


@cache
def _softmax_rows(real: Any) -> DeviceKernel:
    LOW = real(-np.inf)

    @device_kernel(_rows_signature(real), launch_bounds=_THREADS)
    def softmax_rows(o, lengths, ragged, steps, B, q, lanes, yhat):
        """`lanes` threads for each step; all threads of a warp take part in each exchange."""
        here = cuda.threadIdx.x
        row = (cuda.blockIdx.x * _THREADS + here) // lanes
        lane, at = here % lanes, min(row, steps - 1) * q
        size = q
        if row >= steps or (ragged != 0 and row // B >= lengths[row % B]):
            size = 0
        top = _top(o, at, lane, size, lanes, LOW)
        total = _exp_sum(o, at, top, lane, size, lanes)
        if row < steps:
            for i in range(lane, q, lanes):
                part = real(0)
                if size != 0:
                    part = math.exp(o[at + i] - top) / total
                yhat[at + i] = part

    return softmax_rows


@cache
def _sigmoid_rows(real: Any) -> DeviceKernel:
    @device_kernel(_rows_signature(real), launch_bounds=_THREADS)
    def sigmoid_rows(o, lengths, ragged, steps, B, q, lanes, yhat):
        """`lanes` threads for each step."""
        here = cuda.threadIdx.x
        row = (cuda.blockIdx.x * _THREADS + here) // lanes
        if row >= steps:
            return
        alive = 1
        if ragged != 0 and row // B >= lengths[row % B]:
            alive = 0
        for i in range(here % lanes, q, lanes):
            at = row * q + i
            part = real(0)
            if alive != 0:
                e = math.exp(-abs(o[at]))
                part = real(1) / (real(1) + e)
                if o[at] < real(0):
                    part = e / (real(1) + e)
            yhat[at] = part

    return sigmoid_rows
