"""Dropout on the GPU: frames times the factors of `fastrnn.dropout`."""

from functools import cache
from typing import Any

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import (
    DeviceArray,
    DeviceKernel,
    copy_to_device,
    device_kernel,
    empty,
    launch,
)

__all__ = ["dropped"]

_THREADS = 256


def dropped(frames: DeviceArray, factors: Any) -> DeviceArray:
    """Return frames (T, B, m) times factors (T, B, m), or (1, B, m) for all steps, from the CPU.

    The factors are copied to the GPU, on the stream of the frames.
    """
    there = copy_to_device(factors, frames.stream)
    product = empty(frames.shape, frames.dtype, frames.stream)
    blocks = -(-frames.size // _THREADS)
    kernel = _multiply(frames.dtype.type)
    launch(kernel, blocks, _THREADS, frames, there, there.size, product, frames.size)
    return product


@cache
def _multiply(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(f"{type_}*, {type_}*, int64, {type_}*, int64", launch_bounds=_THREADS)
    def multiply(a, factors, period, product, size):
        i = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if i < size:
            product[i] = a[i] * factors[i % period]

    return multiply
