"""Which targets stand beside a body's output frames, on the GPU; see `fastrnn.readout`."""

from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import DeviceArray, device_kernel, empty, fill, launch

__all__ = ["frame_lengths", "frame_weights", "take_steps"]

_THREADS = 256


def frame_lengths(
    frames: tuple[int, int], T: int, lengths: DeviceArray | None, out_lengths: DeviceArray
) -> DeviceArray:
    """Return how many leading output frames stand before the end of their sequence: int64 (B,).

    Arguments are not checked. Frame i stands at step start + i*stride, frames = (start, stride);
    lengths (B,), int64, None: T for all; out_lengths (B,), int64, how many frames there are.
    """
    B = out_lengths.size
    counts = empty(B, np.int64, out_lengths.stream)
    launch(
        _count_frames, -(-B // _THREADS), _THREADS, lengths, int(lengths is not None), T,
        out_lengths, B, *frames, counts, stream=out_lengths.stream,
    )  # fmt: skip
    return counts


def take_steps(frames: tuple[int, int], count: int, array: DeviceArray) -> DeviceArray:
    """Return the steps (count, ...) of an array (T, ...) at which output frames stand.

    Arguments are not checked; of elements of 4 or 8 bytes. A frame outside takes the nearest step.
    """
    T, below = array.shape[0], array.shape[1:]
    taken = empty((count, *below), array.dtype, array.stream)
    source, words = array.typed(np.int32), taken.typed(np.int32)
    launch(
        _take_words, -(-words.size // _THREADS), _THREADS, source, words.size // max(1, count),
        T, *frames, words.size, words,
    )  # fmt: skip
    return taken


def frame_weights(
    frames: tuple[int, int], shape: tuple[int, int], weights: DeviceArray | None, stream: Any
) -> DeviceArray | None:
    """Return the weights (count, B) of the output frames, `shape`; None where all are 1.

    Arguments are not checked. weights (T, B), float64, or None: ones. Frames before the sequence's
    start have no target: weight 0.
    """
    start, stride = frames
    before = min(shape[0], max(0, -(start // stride)))  # the frames with start + i*stride < 0
    if weights is None and not before:
        return None
    if weights is None:
        taken = empty(shape, np.float64, stream)
        fill(taken, 1.0)
    else:
        taken = take_steps(frames, shape[0], weights)
    fill(taken.rows(0, before), 0.0)
    return taken


@device_kernel(
    "int64*, int32, int64, int64*, int64, int64, int64, int64*", launch_bounds=_THREADS
)  # fmt: skip
def _count_frames(
    lengths: Any, ragged: int, T: int, out_lengths: Any, B: int, start: int, stride: int,
    counts: Any,
) -> None:  # fmt: skip
    """One thread for each sequence."""
    b = np.int64(cuda.blockIdx.x) * _THREADS + cuda.threadIdx.x
    if b >= B:
        return
    length = np.int64(T)
    if ragged != 0:
        length = lengths[b]
    before_end = np.int64(0)
    if length > start:
        before_end = (length - start + stride - 1) // stride
    counts[b] = min(out_lengths[b], before_end)


@device_kernel("int32*, int64, int64, int64, int64, int64, int32*", launch_bounds=_THREADS)
def _take_words(
    source: Any, width: int, T: int, start: int, stride: int, size: int, taken: Any
) -> None:
    """One thread for each word; a step has `width` of them."""
    at = np.int64(cuda.blockIdx.x) * _THREADS + cuda.threadIdx.x
    if at < size:
        step = min(max(start + at // width * stride, 0), T - 1)
        taken[at] = source[step * width + at % width]
