"""Output layer of a model, its work split over threads (MATH.md section 1)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import device_functions
from fastrnn.devices import on_gpu
from fastrnn.kernels.linear import (
    linear_backward_rows,
    linear_backward_weights,
    linear_forward_rows,
)
from fastrnn.results import LinearGrads
from fastrnn.threads import share

__all__ = ["linear_backward", "linear_forward"]

Floats = NDArray[Any]


def linear_forward(
    h: Floats, V: Floats, c: Floats, lengths: NDArray[np.int64], threads: int | None
) -> Floats:
    """Return o(t) = c + V h(t), zero in padding, of checked arrays."""
    if on_gpu(h):
        return device_functions.linear_forward(h, V, c, lengths)
    T, B, m = h.shape
    o = np.empty((T, B, V.shape[0]), V.dtype)
    share(linear_forward_rows, (h, V, c, None, lengths, o), B, threads, T * B * m * V.shape[0])
    return o


def linear_backward(
    do: Floats, h: Floats, V: Floats, lengths: NDArray[np.int64], threads: int | None
) -> LinearGrads:
    """Return dh, dV and dc of checked arrays."""
    if on_gpu(do):
        return device_functions.linear_backward(do, h, V, lengths)
    q, m = V.shape
    dh, dV, dc = np.empty_like(h), np.empty_like(V), np.empty(q, V.dtype)
    work = h.size * q
    share(linear_backward_rows, (do, V, lengths, dh), h.shape[1], threads, work)
    share(linear_backward_weights, (do, h, lengths, dV, dc), q, threads, work)
    return LinearGrads(dh, dV, dc)
