"""Which frames of a body a model reads, and which targets stand beside them.

A readout turns a body's frames h (T_out, B, m) into the frames that the output layer sees, and
the gradient in those frames back into dh. The readouts "last" and "mean" see a single frame.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import device_functions
from fastrnn.devices import on_gpu

__all__ = ["READOUTS", "frames_with_target", "read", "read_backward"]

READOUTS = ("each", "last", "mean")

Floats = NDArray[Any]
Lengths = NDArray[np.int64]


def read(readout: str, h: Floats, lengths: Lengths) -> tuple[Floats, Lengths]:
    """Return the frames that the output layer sees, and how many of them each sequence has."""
    if readout == "each":
        return h, lengths
    if on_gpu(h):
        return device_functions.read(readout, h, lengths)
    T, B, m = h.shape
    some = (lengths > 0).astype(np.int64)
    if T == 0:
        return np.zeros((1, B, m), h.dtype), some
    if readout == "last":
        return h[np.maximum(lengths - 1, 0), np.arange(B)][None], some
    total = np.zeros((B, m), h.dtype)
    for frame in h:  # not h.sum: with B = m = 1 it adds in another order than a stream
        total += frame
    return (total / np.maximum(lengths, 1)[:, None].astype(h.dtype))[None], some


def read_backward(readout: str, d_read: Floats, h: Floats, lengths: Lengths) -> Floats:
    """Return dh from the gradient in the frames that `read` returned."""
    if readout == "each":
        return d_read
    if on_gpu(h):
        return device_functions.read_backward(readout, d_read, h, lengths)
    dh = np.zeros_like(h)
    if h.shape[0] == 0:
        return dh
    if readout == "last":
        dh[np.maximum(lengths - 1, 0), np.arange(h.shape[1])] = d_read[0]
        return dh
    valid = np.arange(h.shape[0])[:, None] < lengths
    share = d_read[0] / np.maximum(lengths, 1)[:, None].astype(h.dtype)
    np.copyto(dh, share, where=valid[:, :, None])
    return dh


def frames_with_target(
    frames: tuple[int, int], count: int, lengths: Lengths, out_lengths: Lengths
) -> tuple[NDArray[np.intp], Lengths, NDArray[np.bool_]]:
    """Match output frames with input steps, where the targets stand.

    Output frame i stands at input step start + i*stride; with windows to one side of their own
    frame, that step may lie outside the sequence: such a frame has no target.

    Returns
    -------
    steps : (T_out,)
        The input step of each output frame, clipped into the sequence.
    lengths : (B,)
        How many leading output frames stand before the end of their sequence.
    has_target : (T_out,)
        False for the frames that stand before the sequence's start.
    """
    start, stride = frames
    times = start + stride * np.arange(count)
    before_end = np.maximum(-((start - lengths) // stride), 0)  # ceil((length - start) / stride)
    return np.maximum(times, 0), np.minimum(out_lengths, before_end), times >= 0
