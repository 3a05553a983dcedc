"""Which rows of (T, B) are alive, listed on the GPU: the host never learns the lengths.

Sequences are put in order of length, the longest first: those alive at a step are then the first
so many, and a block of threads that finds its first one finished has nothing to do.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import device_kernel, empty, launch

__all__ = ["Order", "Rows", "alive_rows", "order_by_length", "rows_before", "zero_padding"]


class Rows(NamedTuple):
    """A list of row numbers."""

    index: Any
    """int64; only the first `count` are set."""
    count: Any
    """int64 (1,)."""


class Order(NamedTuple):
    """The sequences of a batch in order of length."""

    sequence: Any
    """int64 (B,): the longest sequence, the next, ...; equals as they stand."""
    alive: Any
    """int64 (T,): how many there are at each step."""


@device_kernel("int64*, int64*, int64", launch_bounds=256)
def rank_lengths(lengths, sequence, B):
    """Store where each sequence comes: a thread looks at one."""
    b = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if b < B:
        mine, rank = lengths[b], 0
        for other in range(B):
            if lengths[other] > mine or (lengths[other] == mine and other < b):
                rank += 1
        sequence[rank] = b


@device_kernel("int64*, int64*, int64, int64", launch_bounds=256)
def count_alive(lengths, alive, T, B):
    """Store how many sequences reach beyond each step: a thread looks at one."""
    t = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if t < T:
        n = 0
        for b in range(B):
            if lengths[b] > t:
                n += 1
        alive[t] = n


@device_kernel("int64*, int64*, int64*, int64*, int64*, int64, int64", launch_bounds=256)
def list_alive(lengths, sequence, alive, index, count, T, B):
    """Store the rows t * B + b with t < lengths[b], step by step; a thread has one place."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < T * B:
        t, k = i // B, i % B
        if k < alive[t] or i == 0:
            place, total = 0, 0
            for b in range(B):
                place += min(lengths[b], t)
                total += min(lengths[b], T)
            if k < alive[t]:
                index[place + k] = t * B + sequence[k]
            if i == 0:
                count[0] = total


@device_kernel(
    "int64*, int64*, bool*, int64*, int64, int64, int64, int32, int32", launch_bounds=256
)
def list_before(rows, count, marks, before, n, B, starts, listed, marked):
    """Store the row before each listed one: of h, or below 0, of h0, counted from its end."""
    k = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if k < (count[0] if listed != 0 else n):
        row = rows[k] if listed != 0 else k
        fresh = False
        if marked != 0:
            fresh = marks[row] != 0
        if fresh:
            before[k] = row % B - B
        else:
            before[k] = row - (starts if row < B else B)


@functools.cache
def padding_kernel(real):
    """Return the kernel of `zero_padding`."""

    @device_kernel(f"{real.__name__}*, int64*, int64, int64, int64", launch_bounds=256)
    def zero_rows(c, lengths, size, B, width):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < size:
            row = i // width
            if row // B >= lengths[row % B]:
                c[i] = real(0)

    return zero_rows


def order_by_length(lengths, T):
    """Return the Order of a batch of lengths, int64 (B,)."""
    B, stream = lengths.size, lengths.stream
    order = Order(empty(B, np.int64, stream), empty(T, np.int64, stream))
    launch(rank_lengths, -(-B // 256), 256, lengths, order.sequence, B)
    launch(count_alive, -(-T // 256), 256, lengths, order.alive, T, B)
    return order


def alive_rows(lengths, order, T):
    """Return the Rows of all steps t < lengths[b], as row t * B + b."""
    B, stream = lengths.size, lengths.stream
    rows = Rows(empty(T * B, np.int64, stream), empty(1, np.int64, stream))
    launch(
        list_alive, -(-T * B // 256), 256, lengths, order.sequence, order.alive, rows.index,
        rows.count, T, B,
    )  # fmt: skip
    return rows


def rows_before(rows, n, B, starts, resets=None, stream=None):
    """Return the row of the state before each of n rows, or of those listed; see `list_before`."""
    listed, index, count = (0, None, None) if rows is None else (1, rows.index, rows.count)
    before = empty(n, np.int64, stream)
    launch(
        list_before, -(-n // 256), 256, index, count, resets, before, n, B, starts, listed,
        int(resets is not None), stream=stream,
    )  # fmt: skip
    return before


def zero_padding(c, lengths):
    """Set the rows of c (T, B, N) to 0 where t >= lengths[b]."""
    _, B, width = c.shape
    launch(
        padding_kernel(c.dtype.type), -(-c.size // 256), 256, c, lengths, c.size, B, width
    )  # fmt: skip
