"""Parameter updates on the GPU: one pass over a parameter and its state, in place.

Formulas, arguments and casts are those of `fastrnn.kernels.optimizers`; nothing waits.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import DeviceArray, DeviceKernel, device_kernel, empty, launch, view

__all__ = [
    "adagrad_update",
    "adam_update",
    "clip_by_norm",
    "rmsprop_update",
    "sgd_update",
    "shrink",
]

_THREADS, _MOST_BLOCKS = 256, 256
_THREE_EACH = 3 * _THREADS
# Squares of float64 numbers beyond these powers of two overflow, or lose digits to underflow.
_BIG, _SMALL = 2.0**480, 2.0**-480
_SHIFT = 2.0**600


def _update(kernel: Any, parameter: Any, arrays: list[Any], *numbers: float) -> None:
    """Launch a kernel with one thread for each number of the parameter."""
    target = view(parameter)
    views = [None if array is None else view(array) for array in arrays]
    blocks = -(-target.size // _THREADS)
    launch(kernel(target.dtype.type), blocks, _THREADS, target, *views, *numbers, target.size)


def sgd_update(
    parameter: Any, gradient: Any, velocity: Any, learning_rate: Any, momentum: Any
) -> None:
    """Take one step of stochastic gradient descent with momentum, in place.

    velocity = momentum * velocity + gradient,  parameter -= learning_rate * velocity.

    Parameters
    ----------
    parameter, gradient, velocity : C-contiguous device arrays of one shape and dtype
        float32 or float64; `parameter` and `velocity` are overwritten. `velocity` starts as zeros;
        None (with momentum 0) leaves it out.
    learning_rate, momentum : float
    """
    arrays, kept = [gradient, velocity], int(velocity is not None)
    _update(_sgd, parameter, arrays, float(learning_rate), float(momentum), kept)


@cache
def _sgd(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"{type_}*, {type_}*, {type_}*, {type_}, {type_}, int64, int64", launch_bounds=_THREADS
    )
    def sgd(w, g, v, rate, mu, kept, size):
        i = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if i < size:
            move = g[i]
            if kept != 0:
                move = mu * v[i] + move
                v[i] = move
            w[i] -= rate * move

    return sgd


def rmsprop_update(
    parameter: Any, gradient: Any, second: Any, learning_rate: Any, decay: Any, epsilon: Any
) -> None:
    """Take one step of RMSProp, in place.

    second = decay * second + (1 - decay) * gradient**2,
    parameter -= learning_rate * gradient / (sqrt(second) + epsilon).

    Parameters
    ----------
    parameter, gradient, second : C-contiguous device arrays of one shape and dtype
        float32 or float64; `parameter` and `second` are overwritten. `second` starts as zeros.
    learning_rate, decay, epsilon : float
    """
    numbers = float(learning_rate), float(decay), 1.0 - decay, float(epsilon)
    _update(_rmsprop, parameter, [gradient, second], *numbers)


@cache
def _rmsprop(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"{type_}*, {type_}*, {type_}*, {type_}, {type_}, {type_}, {type_}, int64",
        launch_bounds=_THREADS,
    )
    def rmsprop(w, g, s, rate, keep, take, tiny, size):
        i = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if i < size:
            s[i] = keep * s[i] + take * g[i] * g[i]
            w[i] -= rate * g[i] / (math.sqrt(s[i]) + tiny)

    return rmsprop


def adagrad_update(
    parameter: Any, gradient: Any, total: Any, learning_rate: Any, epsilon: Any
) -> None:
    """Take one step of AdaGrad, in place.

    total += gradient**2,  parameter -= learning_rate * gradient / (sqrt(total) + epsilon).

    Parameters
    ----------
    parameter, gradient, total : C-contiguous device arrays of one shape and dtype
        float32 or float64; `parameter` and `total` are overwritten. `total` starts as zeros.
    learning_rate, epsilon : float
    """
    _update(_adagrad, parameter, [gradient, total], float(learning_rate), float(epsilon))


@cache
def _adagrad(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(f"{type_}*, {type_}*, {type_}*, {type_}, {type_}, int64", launch_bounds=_THREADS)
    def adagrad(w, g, s, rate, tiny, size):
        i = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if i < size:
            s[i] += g[i] * g[i]
            w[i] -= rate * g[i] / (math.sqrt(s[i]) + tiny)

    return adagrad


def adam_update(
    parameter: Any, gradient: Any, first: Any, second: Any, learning_rate: Any, beta1: Any,
    beta2: Any, epsilon: Any, step: Any,
) -> None:  # fmt: skip
    """Take one step of Adam with bias correction, in place.

    first = beta1 * first + (1 - beta1) * gradient,
    second = beta2 * second + (1 - beta2) * gradient**2,
    parameter -= learning_rate / (1 - beta1**step) * first
    / (sqrt(second / (1 - beta2**step)) + epsilon).

    Parameters
    ----------
    parameter, gradient, first, second : C-contiguous device arrays of one shape and dtype
        float32 or float64; all but `gradient` are overwritten. `first` and `second` start as zeros.
    learning_rate, beta1, beta2, epsilon : float
    step : int
        Number of this step, counted from 1.
    """
    rate = learning_rate / (1.0 - beta1**step)
    scale = 1.0 / math.sqrt(1.0 - beta2**step)
    numbers = rate, scale, float(beta1), 1.0 - beta1, float(beta2), 1.0 - beta2, float(epsilon)
    _update(_adam, parameter, [gradient, first, second], *numbers)


@cache
def _adam(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"{type_}*, {type_}*, {type_}*, {type_}*, {type_}, {type_}, {type_}, {type_}, {type_},"
        f"{type_}, {type_}, int64",
        launch_bounds=_THREADS,
    )
    def adam(w, g, v, s, rate, scale, keep1, take1, keep2, take2, tiny, size):
        i = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if i < size:
            v[i] = keep1 * v[i] + take1 * g[i]
            s[i] = keep2 * s[i] + take2 * g[i] * g[i]
            w[i] -= rate * v[i] / (math.sqrt(s[i]) * scale + tiny)

    return adam


def shrink(parameter: Any, factor: float) -> None:
    """Multiply a parameter by a number, in place: decoupled weight decay."""
    _update(_shrink, parameter, [], float(factor))


@cache
def _shrink(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(f"{type_}*, {type_}, int64", launch_bounds=_THREADS)
    def shrink(w, factor, size):
        i = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if i < size:
            w[i] *= factor

    return shrink


def clip_by_norm(gradients: Mapping[str, Any], max_norm: float) -> DeviceArray:
    """Scale gradients in place so that their common norm is at most `max_norm`.

    The norm is the root of the sum of all squares, over all arrays, in float64 and without overflow
    or underflow on the way. Gradients whose norm is within the limit, or not finite, are left
    alone. Nothing waits: the norm stays on the GPU.

    Parameters
    ----------
    gradients : dict of str to device array
        float32 or float64, C-contiguous, of any shape.
    max_norm : float
        Above 0.

    Returns
    -------
    DeviceArray of float64, shape (1,)
        The norm before the scaling.
    """
    arrays = [view(array) for array in gradients.values()]
    stream = next((array.stream for array in arrays if array.stream), None)
    counts = [max(1, min(-(-array.size // _THREADS), _MOST_BLOCKS)) for array in arrays]
    parts = empty((sum(counts), 3), np.float64, stream)
    outcome = empty((2,), np.float64, stream)
    first = 0
    for array, count in zip(arrays, counts, strict=True):
        mine = parts.rows(first, first + count)
        launch(_square_sums(array.dtype.type), count, _THREADS, array, array.size, mine)
        first += count
    launch(_norm, 1, _THREADS, parts, first, float(max_norm), outcome)
    for array in arrays:
        blocks = -(-array.size // _THREADS)
        launch(_scale(array.dtype.type), blocks, _THREADS, array, array.size, outcome)
    return outcome.rows(0, 1)


@cache
def _square_sums(real: Any) -> DeviceKernel:
    @device_kernel(f"{real.__name__}*, int64, float64*", launch_bounds=_THREADS)
    def square_sums(g, size, parts):
        """Store three sums of squares in each block: of small, usual and big numbers, scaled."""
        here = cuda.threadIdx.x
        sums = cuda.shared.array(_THREE_EACH, np.float64)
        small, usual, big = np.float64(0), np.float64(0), np.float64(0)
        start = cuda.blockIdx.x * _THREADS + here
        for i in range(start, size, cuda.gridDim.x * _THREADS):
            number = np.float64(g[i])
            if abs(number) > _BIG:
                number /= _SHIFT
                big += number * number
            elif abs(number) < _SMALL:
                number *= _SHIFT
                small += number * number
            else:
                usual += number * number
        sums[here], sums[_THREADS + here], sums[2 * _THREADS + here] = small, usual, big
        cuda.syncthreads()
        half = _THREADS // 2
        while half > 0:
            for i in range(here, 3 * _THREADS, _THREADS):
                if here < half:
                    sums[i] += sums[i + half]
            cuda.syncthreads()
            half //= 2
        if here < 3:
            parts[cuda.blockIdx.x * 3 + here] = sums[here * _THREADS]

    return square_sums


@device_kernel("float64*, int64, float64, float64*", launch_bounds=_THREADS)
def _norm(parts, count, limit, outcome):
    """Store the norm, and what to multiply the gradients with. One block."""
    here = cuda.threadIdx.x
    sums = cuda.shared.array(_THREE_EACH, np.float64)
    for kind in range(3):
        total = np.float64(0)
        for i in range(here, count, _THREADS):
            total += parts[3 * i + kind]
        sums[kind * _THREADS + here] = total
    cuda.syncthreads()
    half = _THREADS // 2
    while half > 0:
        for i in range(here, 3 * _THREADS, _THREADS):
            if here < half:
                sums[i] += sums[i + half]
        cuda.syncthreads()
        half //= 2
    if here == 0:
        small, usual, big = sums[0], sums[_THREADS], sums[2 * _THREADS]
        norm = math.sqrt(usual + small / _SHIFT / _SHIFT)
        if big > 0:
            norm = math.sqrt(big + usual / _SHIFT / _SHIFT) * _SHIFT
        elif usual == 0:
            norm = math.sqrt(small) / _SHIFT
        outcome[0], outcome[1] = norm, np.float64(1)
        if limit < norm and norm < np.inf:
            outcome[1] = limit / norm


@cache
def _scale(real: Any) -> DeviceKernel:
    @device_kernel(f"{real.__name__}*, int64, float64*", launch_bounds=_THREADS)
    def scale(g, size, outcome):
        """Multiply in float64 even for float32: the factor may be very small."""
        i = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if i < size and outcome[1] != 1:
            g[i] = real(np.float64(g[i]) * outcome[1])

    return scale
