"""Which frames of a body a model reads, on the GPU: the twin of `fastrnn.readout`."""

from functools import cache
from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import DeviceArray, DeviceKernel, device_kernel, empty, launch

__all__ = ["read", "read_backward"]

_THREADS = 256


def read(readout: str, h: DeviceArray, lengths: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    """Return the frames that the output layer sees, and how many of them each sequence has.

    Parameters
    ----------
    readout : {"each", "last", "mean"}
    h : DeviceArray, shape (T, B, m)
    lengths : DeviceArray of int64, shape (B,)

    Returns
    -------
    frames : DeviceArray
        h itself for "each", else (1, B, m); zero for a sequence without a frame, as with "last" and
        "mean" where T is 0.
    lengths : DeviceArray of int64, shape (B,)
    """
    if readout == "each":
        return h, lengths
    T, B, m = h.shape
    frames = empty((1, B, m), h.dtype, h.stream)
    some = empty(B, np.int64, h.stream)
    mean = int(readout == "mean")
    kernel, blocks = _read(h.dtype.type), -(-B * m // _THREADS)
    launch(kernel, blocks, _THREADS, h, lengths, mean, T, B, m, frames, some)
    return frames, some


@cache
def _read(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"{type_}*, int64*, int64, int64, int64, int64, {type_}*, int64*", launch_bounds=_THREADS
    )
    def read_frames(h, lengths, mean, T, B, m, frames, some):
        """One thread for each unit of each sequence; adds the frames as they follow in time."""
        at = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if at >= B * m:
            return
        length = min(lengths[at // m], T)
        begin = 0
        if mean == 0:
            begin = max(0, length - 1)
        total = real(0)
        for t in range(begin, length):
            total += h[t * B * m + at]
        if mean != 0:
            total /= real(max(length, 1))
        frames[at] = total
        if at % m == 0:
            some[at // m] = min(length, 1)

    return read_frames


def read_backward(
    readout: str, d_read: DeviceArray, h: DeviceArray, lengths: DeviceArray
) -> DeviceArray:
    """Return dh from the gradient in the frames that `read` returned.

    Parameters
    ----------
    readout, h, lengths
        As given to `read`.
    d_read : DeviceArray
        Of the frames' shape.

    Returns
    -------
    DeviceArray
        (T, B, m); d_read itself for "each".
    """
    if readout == "each":
        return d_read
    T, B, m = h.shape
    dh = empty(h.shape, h.dtype, h.stream)
    mean = int(readout == "mean")
    kernel, blocks = _read_backward(h.dtype.type), -(-h.size // _THREADS)
    launch(kernel, blocks, _THREADS, d_read, lengths, mean, B, m, h.size, dh)
    return dh


@cache
def _read_backward(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"{type_}*, int64*, int64, int64, int64, int64, {type_}*", launch_bounds=_THREADS
    )
    def read_frames_backward(d_read, lengths, mean, B, m, size, dh):
        """One thread for each number of dh."""
        at = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if at >= size:
            return
        t, unit = at // (B * m), at % (B * m)
        length = lengths[unit // m]
        part = real(0)
        if mean != 0 and t < length:
            part = d_read[unit] / real(length)
        elif mean == 0 and t == length - 1:
            part = d_read[unit]
        dh[at] = part

    return read_frames_backward
