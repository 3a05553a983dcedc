"""Lists of the rows of a time-delay layer on the GPU (MATH.md section 3).

An array (T, B, n) is seen as T*B rows of n numbers. Padding, stride and unequal lengths only change
the lists, which stay on the GPU: the output rows alive, sequence by sequence, and beside them, for
each offset, the input row that they read. No window is ever copied.
"""

from functools import cache
from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import device_kernel

__all__ = ["THREADS", "count_frames", "edge_sums", "list_inputs", "list_step", "list_windows"]

THREADS = 256


@device_kernel("int64*, int64, int64, int64, int64, int64, int64*, int64*", launch_bounds=THREADS)
def count_frames(lengths, ragged, T, B, span, stride, counts, starts):
    """Store how many frames each sequence has, and in starts how many stand before it in a list.

    counts (2, B) and starts (2, B + 1): block 0 counts input frames, block 1 output frames. A
    window spans `span` + 1 frames that must all exist; 0 for paddings that keep the length.
    """
    here, which = cuda.threadIdx.x, cuda.blockIdx.x
    sums = cuda.shared.array(THREADS, np.int64)
    before = 0
    for first in range(0, B, THREADS):
        b = first + here
        count = 0
        if b < B:
            count = T
            if ragged != 0:
                count = min(max(lengths[b], 0), T)
            if which == 1:
                count = max(0, (count - span - 1) // stride + 1)
            counts[which * B + b] = count
        sums[here] = count
        cuda.syncthreads()
        step = 1
        while step < THREADS:  # sums[i] becomes the sum of the first i + 1
            left = 0
            if here >= step:
                left = sums[here - step]
            cuda.syncthreads()
            sums[here] += left
            cuda.syncthreads()
            step *= 2
        if b < B:
            starts[which * (B + 1) + b + 1] = before + sums[here]
        before += sums[THREADS - 1]
        cuda.syncthreads()
    if here == 0:
        starts[which * (B + 1)] = 0


@device_kernel(
    "int64*, int64, int64, int64*, int64*, int64*, int64, int64, int64, int64*, int64*",
    launch_bounds=THREADS,
)
def list_windows(inputs, B, frames, counts, starts, shifts, C, stride, repeat, rows, sources):
    """List the output rows alive, and in sources (C, frames * B) the input rows they read.

    One thread for each output row, alive or not; inputs and counts (B,) are numbers of frames,
    shifts the offsets as seen from i * stride. A source is -1 where there is no frame, unless
    frames `repeat`.
    """
    at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
    if at >= frames * B:
        return
    b, i = at // frames, at % frames
    if i >= counts[b]:
        return
    place = starts[b] + i
    rows[place] = i * B + b
    for j in range(C):
        frame = i * stride + shifts[j]
        nearest = min(max(frame, 0), inputs[b] - 1)
        source = -1
        if nearest == frame or repeat != 0:
            source = nearest * B + b
        sources[j * frames * B + place] = source


@device_kernel(
    "int64*, int64, int64, int64, int64*, int64*, int64*, int64, int64, int64, int64*, int64*",
    launch_bounds=THREADS,
)
def list_inputs(inputs, T, B, frames, counts, starts, shifts, C, stride, repeat, rows, sources):
    """List the input rows alive, and in sources (C, T * B) the output rows that read them.

    One thread for each input row, alive or not; starts are those of the inputs. Frames that the
    same offsets read stand together: first the multiples of the stride. Where frames `repeat`, a
    first or last frame has many readers: their sums follow the output rows, by `edge_sums`.
    """
    at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
    if at >= T * B:
        return
    b, index = at // T, at % T
    length = inputs[b]
    if index >= length:
        return
    rest, first = index, 0
    size = (length + stride - 1) // stride
    while rest >= size:
        rest -= size
        first += 1
        size = (length - first + stride - 1) // stride
    s = first + rest * stride
    place = starts[b] + index
    rows[place] = s * B + b
    for j in range(C):
        ahead = s - shifts[j]
        source = -1
        if repeat != 0 and s == 0:
            source = (frames + 2 * j) * B + b
        elif repeat != 0 and s == length - 1:
            source = (frames + 2 * j + 1) * B + b
        elif ahead >= 0 and ahead % stride == 0 and ahead // stride < counts[b]:
            source = ahead // stride * B + b
        sources[j * T * B + place] = source


@device_kernel("int64*, int64, int64, int64*, int64*, int64*", launch_bounds=THREADS)
def list_step(places, C, B, rows, count, sources):
    """List all B rows, and in sources (C, B) those of a ring of frames, `places` in it."""
    b = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
    if b == 0:
        count[0] = B
    if b < B:
        rows[b] = b
        for j in range(C):
            sources[j * B + b] = places[j] * B + b


@cache
def edge_sums(real: Any) -> Any:
    """Return the kernel that sums da over all windows that see the first, or the last, frame."""

    @device_kernel(
        f"{real.__name__}*, int64*, int64, int64, int64, int64*, int64*, int64, int64",
        launch_bounds=THREADS,
    )
    def sum_edges(da, inputs, B, m, frames, counts, shifts, C, stride):
        """Store the sums behind the frames of da: (C, 2, B, m), first frames before last ones.

        One thread for each sum. A sequence of one frame counts as a first frame only.
        """
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at >= 2 * C * B * m:
            return
        unit, b = at % m, at // m % B
        last, j = at // (m * B) % 2, at // (m * B) // 2
        length = inputs[b]
        begin, end = 0, counts[b]
        if last == 0 and length > 1:
            end = min(end, max(0, -shifts[j] // stride + 1))
        elif last == 1:
            begin = end
            if length > 1:
                begin = max(0, -((shifts[j] - (length - 1)) // stride))
        total = real(0)
        for i in range(begin, end):
            total += da[(i * B + b) * m + unit]
        da[((frames + 2 * j + last) * B + b) * m + unit] = total

    return sum_edges
