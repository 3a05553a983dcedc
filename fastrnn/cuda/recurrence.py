"""The Elman recurrence in one launch: W stays in registers for the whole sequence.

forward :  h(t) = f(h(t) + W h(t-1))            h holds b + U x(t) before (one large product)
backward:  da(t) = f'(a(t)) (dh(t) + W^T da(t+1))

A team of blocks holds W; a warp holds some rows of it (of W^T backwards), a lane some columns of
those. A team takes some sequences at a time, a chunk, through one step: it brings their states into
shared memory, multiplies, adds over the lanes, and publishes its rows of the new states. Sequences
that have ended are the last ones (`rows.order_by_length`): no chunk holds them, they cost nothing.

Blocks do not wait for each other at a barrier. What they publish goes into `exchange`, one slot of
(B, M) for each step, M being m padded to the tile, filled beforehand with a NaN that arithmetic
never makes: a reader reads until the number is another one. So no number is read before it is
written, and none is written twice. All blocks must run at the same time; that is what a
cooperative launch is for.

What is published is the state that the next step begins with, so that resets cost the reader
nothing. A row's sums are added in an order that depends on how many rows a warp holds, and with
that on the number of sequences in the batch; not on which they are, nor on their lengths.
"""

import functools
from typing import NamedTuple

import numpy as np

from fastrnn.cuda.activations import activate, times_slope
from fastrnn.cuda.intrinsics import (
    copy16,
    cuda,
    device_function,
    load16_words,
    store16_words,
    store_strong,
)
from fastrnn.cuda.launching import (
    capability,
    device_kernel,
    empty,
    fill,
    fits_together,
    launch,
    multiprocessors,
)

__all__ = ["Plan", "plan", "recur", "recurrence_kernel"]

# The widest network whose weights fit into the registers, and the widest that is not faster step
# by step with many sequences.
WIDEST, WIDEST_OF_MANY, MANY = 2048, 1024, 16
# m is padded to a multiple of this.
TILE = 128
_THREADS, _WARPS = 256, 8
# Bytes of weights of a lane: what the compilers for older GPUs and for newer ones keep in
# registers; and of states in shared memory.
_REGISTERS, _OLDER_REGISTERS, _SHARED = 512, 256, 32768


class Plan(NamedTuple):
    """How a batch is spread over the GPU."""

    M: int
    """m padded to the tile."""
    rows: int
    """Rows of W of a warp."""
    sequences: int
    """Sequences of a chunk."""
    teams: int
    """Teams of blocks, each with all of W."""

    @property
    def blocks(self):
        """Blocks of a team."""
        return self.M // (_WARPS * self.rows)


def plan(m, B, real):
    """Return the Plan for B sequences of m units, or None where step by step is the better way."""
    itemsize, processors = real().itemsize, multiprocessors()
    if m > WIDEST or (m > WIDEST_OF_MANY and B >= MANY):
        return None
    M = -(-m // TILE) * TILE
    room = _REGISTERS if capability() >= (9, 0) else _OLDER_REGISTERS
    rows = 16
    while rows > 1 and rows * M // 32 * itemsize > room:
        rows //= 2
    if rows * M // 32 * itemsize > room:
        return None
    sequences = 1
    while (
        2 * sequences <= B
        and 2 * sequences * rows <= 32
        and 2 * sequences * M * itemsize <= _SHARED
    ):
        sequences *= 2
    chunks = -(-B // sequences)
    # Fewer rows in a warp where there are processors for more warps.
    while rows > 1 and chunks * M // (_WARPS * rows) * 2 <= processors:
        rows //= 2
    teams = min(chunks, processors * _WARPS * rows // M)
    return Plan(M, rows, sequences, teams) if teams else None


@functools.cache
def _halve(count):
    """Return the function after which a lane holds half as many sums, each of two lanes."""
    HALF = count // 2

    @device_function
    def halve(sums, lane):
        upper = (lane & HALF) != 0
        for i in range(HALF):
            sent = sums[i] if upper else sums[i + HALF]
            kept = sums[i + HALF] if upper else sums[i]
            sums[i] = kept + cuda.shfl_xor_sync(0xFFFFFFFF, sent, HALF)

    return halve


@device_function
def unset_single(words, at):
    """Return whether one of four float32 has not been published."""
    return words[at] == -1 or words[at + 1] == -1 or words[at + 2] == -1 or words[at + 3] == -1


@device_function
def unset_double(words, at):
    """Return whether one of two float64 has not been published, by its upper half."""
    return words[at + 1] == -1 or words[at + 3] == -1


@functools.cache
def recurrence_kernel(real, M, ROWS, SEQUENCES, backward):
    """Return the kernel for M units, so many rows of a warp and sequences of a chunk."""
    V = 16 // real().itemsize
    GROUP = 32 * V  # columns of which each lane has V neighbours
    GROUPS, BLOCKS = M // GROUP, M // (_WARPS * ROWS)
    WEIGHTS, OUTPUTS, STAGED = ROWS * GROUPS * V, ROWS * SEQUENCES, SEQUENCES * M
    LOADS = -(-STAGED // V // _THREADS)
    FLIGHT = min(LOADS, 4)  # loads that a thread waits for together
    WORDS = 4 * FLIGHT
    unset = unset_single if real is np.float32 else unset_double
    halve16, halve8, halve4, halve2 = (_halve(count) for count in (16, 8, 4, 2))
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, {r}*, {r}*, {r}*, {r}*, {r}*, int64*, int64*, bool*, int64, int64, int64, "
        "int64, int64, int32, int32, int32, int32",
        launch_bounds=_THREADS,
    )
    def recurrence(
        packed, source, states, last, first, exchange, out, sequence, alive, marks,
        T, B, m, starts, teams, ragged, marked, given, code,
    ):  # fmt: skip
        staged = cuda.shared.array(STAGED, real)
        weights = cuda.local.array(WEIGHTS, real)
        sums = cuda.local.array(ROWS, real)
        four = cuda.local.array(V, real)
        words = cuda.local.array(WORDS, np.int32)
        tid = cuda.threadIdx.x
        lane = tid & 31
        row0 = (cuda.blockIdx.x % BLOCKS * _WARPS + (tid >> 5)) * ROWS
        for k in range(ROWS * GROUPS):
            place = (row0 + k // GROUPS) * M + k % GROUPS * GROUP + lane * V
            copy16(weights, k * V, packed, place)
        for step in range(T):
            t = T - 1 - step if backward else step
            slot = t + 1 if backward else t
            n = alive[t] if ragged != 0 else B
            going_on = 0  # sequences that are alive at the next step too
            if t + 1 < T:
                going_on = alive[t + 1] if ragged != 0 else B
            chunk = cuda.blockIdx.x // BLOCKS
            while chunk * SEQUENCES < n:
                # The number that this lane will have: unit `row` of the i-th longest sequence.
                i0 = chunk * SEQUENCES
                i, row = i0 + (lane & (OUTPUTS - 1)) // ROWS, row0 + (lane & (ROWS - 1))
                mine = lane < OUTPUTS and i < n
                b, at = i, np.int64(0)
                given_value, state = real(0), real(0)
                if mine:
                    if ragged != 0:
                        b = sequence[i]
                    at = (t * B + b) * m + row
                    if row < m:
                        given_value = source[at]
                        if backward:
                            state = states[at]
                            if given != 0 and i >= going_on:
                                given_value += last[b * m + row]
                # The chunk's states before this step (gradients after it), into shared memory.
                base, limit = (slot * B + i0) * M, (n - i0) * M
                for load in range(0, LOADS, FLIGHT):
                    for v in range(FLIGHT):
                        e = V * (tid + _THREADS * (load + v))
                        if e < STAGED and e < limit:
                            load16_words(words, 4 * v, exchange, base + e)
                    for v in range(FLIGHT):
                        e = V * (tid + _THREADS * (load + v))
                        if e < STAGED:
                            if e < limit:
                                while unset(words, 4 * v):
                                    load16_words(words, 4 * v, exchange, base + e)
                            else:
                                for k in range(4):
                                    words[4 * v + k] = 0
                            store16_words(staged, e, words, 4 * v)
                cuda.syncthreads()
                y = real(0)
                for column in range(SEQUENCES):
                    for k in range(ROWS):
                        sums[k] = real(0)
                    for g in range(GROUPS):
                        copy16(four, 0, staged, column * M + g * GROUP + lane * V)
                        for k in range(ROWS):
                            for v in range(V):
                                sums[k] += weights[(k * GROUPS + g) * V + v] * four[v]
                    if ROWS > 8:
                        halve16(sums, lane)
                    if ROWS > 4:
                        halve8(sums, lane)
                    if ROWS > 2:
                        halve4(sums, lane)
                    if ROWS > 1:
                        halve2(sums, lane)
                    total, distance = sums[0], 16
                    while distance >= ROWS:
                        total += cuda.shfl_xor_sync(0xFFFFFFFF, total, distance)
                        distance //= 2
                    if (lane & (OUTPUTS - 1)) // ROWS == column:
                        y = total
                cuda.syncthreads()
                y += given_value
                y = times_slope(code, state, y) if backward else activate(code, y)
                if mine:
                    published, place = real(0), np.int64(-1)
                    if row < m:
                        out[at] = y
                        published = y
                    if backward:
                        place = (t * B + i) * M + row
                        if marked != 0 and marks[t * B + b] != 0:
                            published = real(0)
                    elif i < going_on:
                        place = (slot * B + B + i) * M + row
                        if marked != 0 and marks[slot * B + B + b] != 0:
                            published = real(0)
                            if given != 0 and row < m:
                                published = first[(starts - B + b) * m + row]
                    if place >= 0:
                        store_strong(exchange, place, published)
                chunk += teams

    return recurrence


@functools.cache
def padding_kernel(real):
    """Return the kernel that copies W, or its transpose, into a matrix (M, M) with zeros around."""
    r = real.__name__

    @device_kernel(f"{r}*, {r}*, int64, int64, int32", launch_bounds=256)
    def pad_weights(W, packed, m, M, transposed):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < M * M:
            i, j = e // M, e % M
            value = real(0)
            if i < m and j < m:
                value = W[j * m + i] if transposed != 0 else W[i * m + j]
            packed[e] = value

    return pad_weights


@functools.cache
def start_kernel(real):
    """Return the kernel that fills slot 0 with what the first step begins with."""
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, int64*, bool*, int64, int64, int64, int64, int32, int32, int32",
        launch_bounds=256,
    )
    def publish_starts(exchange, first, sequence, marks, B, m, M, starts, ragged, marked, given):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < B * M:
            b, unit = e // M, e % M
            if ragged != 0:
                b = sequence[b]
            value = real(0)
            if given != 0 and unit < m:
                fresh = False
                if marked != 0:
                    fresh = marks[b] != 0
                value = first[((starts - B if fresh else 0) + b) * m + unit]
            exchange[e] = value

    return publish_starts


@functools.cache
def end_kernel(real):
    """Return the kernel that sets to 0 what sequences hand to the step before that have ended."""
    r = real.__name__

    @device_kernel(f"{r}*, int64*, int64, int64, int64", launch_bounds=256)
    def publish_ends(exchange, alive, T, B, M):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < T * B * M and e // M % B >= alive[e // M // B]:
            exchange[e] = real(0)

    return publish_ends


def recur(how, W, out, code, order=None, marks=None, first=None, dh=None, h=None, last=None):
    """Go through the steps, forward or, given dh, backward.

    Parameters
    ----------
    how : Plan
    W : DeviceArray (m, m)
    out : DeviceArray (T, B, m)
        h, holding b + U x(t); backward da, overwritten. Rows of sequences that have ended stay.
    code : int
        The activation.
    order : rows.Order, optional
        Of the lengths.
    marks : DeviceArray bool (T * B,), optional
        The resets.
    first : DeviceArray (B or 2 B, m), optional
        h0; forward only.
    dh, h : DeviceArray (T, B, m)
        Backward only.
    last : DeviceArray (B, m), optional
        dh_last; backward only.

    Returns False, having done nothing, where the blocks do not fit on the GPU together.
    """
    (T, B, m), real, stream = out.shape, out.dtype.type, out.stream
    backward, M = dh is not None, how.M
    kernel = recurrence_kernel(real, M, how.rows, how.sequences, backward)
    blocks = how.teams * how.blocks
    if not fits_together(kernel, blocks, _THREADS):
        return False
    packed = W
    if backward or m != M or W.pointer % 16:
        packed = empty((M, M), W.dtype, stream)
        launch(
            padding_kernel(real), -(-M * M // 256), 256, W, packed, m, M, int(backward),
            stream=stream,
        )  # fmt: skip
    slots = T + 1 if backward else T
    exchange = empty((slots, B, M), W.dtype, stream)
    fill(exchange.typed(np.int32), -1)
    sequence, alive = (None, None) if order is None else order
    ragged, marked = int(order is not None), int(marks is not None)
    starts, given = 0 if first is None else first.shape[0], int(first is not None)
    if backward:
        given = int(last is not None)
        fill(exchange.rows(T, T + 1), 0)
        if ragged:
            launch(end_kernel(real), -(-T * B * M // 256), 256, exchange, alive, T, B, M)
    else:
        launch(
            start_kernel(real), -(-B * M // 256), 256, exchange, first, sequence, marks, B, m, M,
            starts, ragged, marked, given,
        )  # fmt: skip
    launch(
        kernel, blocks, _THREADS, packed, dh if backward else out, h, last, first, exchange, out,
        sequence, alive, marks, T, B, m, starts, how.teams, ragged, marked, given, code,
        stream=stream, cooperative=True,
    )  # fmt: skip
    return True
