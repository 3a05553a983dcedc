"""The first and the last steps of sequences on the GPU: where a state comes from and goes to."""

import functools

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import device_kernel, empty, launch

__all__ = [
    "begin_gradients",
    "hand_through",
    "last_states",
    "passed_on",
    "states_before",
    "sum_first_steps",
]


@functools.cache
def before_kernel(real):
    """Return the kernel that stores the states before one step: h0's rows where it is fresh."""
    r = real.__name__

    @device_kernel(f"{r}*, {r}*, bool*, {r}*, int64, int64, int64, int64, int32", launch_bounds=256)
    def states_before(earlier, first, marks, out, t, B, m, starts, marked):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < B * m:
            b, unit = e // m, e % m
            reset = False
            if marked != 0:
                reset = marks[t * B + b] != 0
            value = real(0)
            if t > 0 and not reset:
                value = earlier[e]
            elif starts > 0:
                value = first[((starts - B if reset else 0) + b) * m + unit]
            out[e] = value

    return states_before


def states_before(t, earlier, marks, h0, out):
    """Store what each sequence's step t begins with: h(t-1), or its row of h0."""
    B, m = out.shape
    launch(
        before_kernel(out.dtype.type), -(-B * m // 256), 256, earlier, h0, marks, out, t, B, m,
        0 if h0 is None else h0.shape[0], int(marks is not None), stream=out.stream,
    )  # fmt: skip


@functools.cache
def last_kernel(real):
    """Return the kernel that stores each sequence's last state, its h0 at length 0."""
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, int64*, {r}*, int64, int64, int64, int32, int32", launch_bounds=256
    )
    def last_states(h, first, lengths, out, T, B, m, given, ragged):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < B * m:
            length = T
            if ragged != 0:
                length = lengths[e // m]
            value = real(0)
            if length > 0:
                value = h[(length - 1) * B * m + e]
            elif given != 0:
                value = first[e]
            out[e] = value

    return last_states


def last_states(h, h0, lengths, out):
    """Store each sequence's last state; its row of h0 where it has no step."""
    T, B, m = h.shape
    launch(
        last_kernel(out.dtype.type), -(-B * m // 256), 256, h, h0, lengths, out, T, B, m,
        int(h0 is not None), int(lengths is not None), stream=out.stream,
    )  # fmt: skip


@functools.cache
def begin_kernel(real):
    """Return the kernel that stores dh(t), and dh_last with it at a sequence's last step."""
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, int64*, {r}*, int64, int64, int64, int32, int32", launch_bounds=256
    )
    def begin_gradients(dh, last, lengths, da, T, B, m, given, ragged):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < T * B * m:
            t, within = e // (B * m), e % (B * m)
            length = T
            if ragged != 0:
                length = lengths[within // m]
            value = real(0)
            if t < length:
                value = dh[e]
                if given != 0 and t == length - 1:
                    value += last[within]
            da[e] = value

    return begin_gradients


def begin_gradients(dh, last, lengths, da):
    """Copy dh (T, B, m), with the gradient `last` at each sequence's last step; 0 in padding."""
    T, B, m = da.shape
    launch(
        begin_kernel(da.dtype.type), -(-da.size // 256), 256, dh, last, lengths, da, T, B, m,
        int(last is not None), int(lengths is not None), stream=da.stream,
    )  # fmt: skip


@functools.cache
def passed_kernel(real):
    """Return the kernel that stores what of da(t) step t hands on to the one before: not resets."""
    r = real.__name__

    @device_kernel(f"{r}*, bool*, {r}*, int64, int64, int64", launch_bounds=256)
    def passed_on(da, marks, out, t, B, m):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < B * m:
            out[e] = real(0) if marks[t * B + e // m] != 0 else da[e]

    return passed_on


def passed_on(da, marks, t):
    """Return what of da(t) goes on to the step before: 0 where a reset stands between."""
    B, m = da.shape
    out = empty((B, m), da.dtype, da.stream)
    launch(passed_kernel(da.dtype.type), -(-B * m // 256), 256, da, marks, out, t, B, m)
    return out


@functools.cache
def starts_kernel(real):
    """Return the kernel that sums the da(t) of the steps that begin with each row of h0."""
    r = real.__name__

    @device_kernel(f"{r}*, bool*, {r}*, int64, int64, int64, int64, int32", launch_bounds=256)
    def sum_starts(da, marks, sums, T, B, m, starts, marked):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < starts * m:
            row, unit = e // m, e % m
            b = row % B
            total = real(0)
            for t in range(T if marked != 0 else min(T, 1)):
                reset = False
                if marked != 0:
                    reset = marks[t * B + b] != 0
                if (reset and row >= starts - B) or (t == 0 and not reset and row < B):
                    total += da[(t * B + b) * m + unit]
            sums[e] = total

    return sum_starts


def sum_first_steps(da, marks, starts):
    """Return, for each of so many rows of h0, the sum of the da(t) of the steps it begins."""
    T, B, m = da.shape
    sums = empty((starts, m), da.dtype, da.stream)
    launch(
        starts_kernel(da.dtype.type), -(-sums.size // 256), 256, da, marks, sums, T, B, m, starts,
        int(marks is not None), stream=da.stream,
    )  # fmt: skip
    return sums


@functools.cache
def untouched_kernel(real):
    """Return the kernel that hands dh_last through to dh0 where a sequence has no step."""
    r = real.__name__

    @device_kernel(f"{r}*, int64*, {r}*, int64, int64, int64, int32", launch_bounds=256)
    def hand_through(last, lengths, dh0, T, B, m, ragged):
        e = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if e < B * m:
            length = T
            if ragged != 0:
                length = lengths[e // m]
            if length == 0:
                dh0[e] += last[e]

    return hand_through


def hand_through(last, lengths, dh0, T):
    """Add a sequence's row of `last` to that of dh0 where it has no step."""
    B, m = last.shape
    launch(
        untouched_kernel(dh0.dtype.type), -(-B * m // 256), 256, last, lengths, dh0, T, B, m,
        int(lengths is not None), stream=dh0.stream,
    )  # fmt: skip
