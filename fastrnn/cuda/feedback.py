"""What an output-to-hidden network is fed back on the GPU, and its gradient (MATH.md section 2).

A warp looks at one row: its lanes share the classes.
"""

import functools
import math

from fastrnn.cuda.intrinsics import cuda, device_function
from fastrnn.cuda.launching import device_kernel, empty, launch
from fastrnn.kernels.feedback import FEEDBACKS

__all__ = ["add_feedback_gradients", "feed_rows", "feedback_code", "narrow_draws"]

_THREADS = 128
_ALL = 0xFFFFFFFF


def feedback_code(feedback):
    """Return a feedback's number in FEEDBACKS, by which the kernels know it."""
    if feedback not in FEEDBACKS:
        raise ValueError(
            "feedback: expected 'softmax', 'sigmoid', 'identity', 'argmax' or 'sample'"
        )
    return FEEDBACKS[feedback]


@device_function
def softmax_of_warp(o, at, z, to, q, lane):
    """Store the softmax of q numbers of o; all of them NaN where one is."""
    T = type(o[at])
    highest = -T(math.inf)
    for i in range(lane, q, 32):
        highest = o[at + i] if o[at + i] > highest else highest
    distance = 16
    while distance > 0:
        other = cuda.shfl_xor_sync(_ALL, highest, distance)
        highest = other if other > highest else highest
        distance //= 2
    total = T(0)
    for i in range(lane, q, 32):
        e = math.exp(o[at + i] - highest)
        z[to + i] = e
        total += e
    distance = 16
    while distance > 0:
        total += cuda.shfl_xor_sync(_ALL, total, distance)
        distance //= 2
    for i in range(lane, q, 32):
        z[to + i] /= total


@device_function
def highest_of_warp(o, at, q, lane):
    """Return the first of the largest of q numbers of o, -1 where one is NaN."""
    T = type(o[at])
    best, highest, bad = q, -T(math.inf), False
    for i in range(lane, q, 32):
        value = o[at + i]
        bad = bad or value != value
        if value > highest or best == q:
            best, highest = i, value
    distance = 16
    while distance > 0:
        other = cuda.shfl_xor_sync(_ALL, highest, distance)
        place = cuda.shfl_xor_sync(_ALL, best, distance)
        if place < q and (best == q or other > highest or (other == highest and place < best)):
            best, highest = place, other
        distance //= 2
    return -1 if cuda.any_sync(_ALL, bad) else best


@device_function
def drawn(z, to, q, draw):
    """Return the first class to which the probabilities add up to more than the draw's share."""
    T = type(draw)
    total = T(0)
    for i in range(q):
        total += z[to + i]
    share, total = draw * total, T(0)
    for i in range(q - 1):
        total += z[to + i]
        if total > share:
            return i
    return q - 1


@functools.cache
def feed_kernel(real):
    """Return the kernel that stores what rows are fed: z0, a target or the output before."""
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, {r}*, {r}*, int64*, bool*, bool*, {r}*, int64*, {r}*, int64, int64, int64, "
        "int64, int32, int32, int32, int32, int32, int32, int32",
        launch_bounds=_THREADS,
    )
    def feed(
        o, known, z0, y, classes, forced, marks, draws, lengths, z, begin, count, B, q,
        code, given, taught, one_hot, mixed, marked, ragged,
    ):  # fmt: skip
        index = (cuda.blockIdx.x * _THREADS + cuda.threadIdx.x) // 32
        if index >= count:
            return
        lane = cuda.threadIdx.x % 32
        row, to = begin + index, index * q
        t, b = row // B, row % B
        alive, fresh, told = True, t == 0, taught != 0
        if ragged != 0:
            alive = t < lengths[b]
        if marked != 0:
            fresh = fresh or marks[row] != 0
        if mixed != 0:
            told = forced[row] != 0
        if not alive or fresh or told:
            for i in range(lane, q, 32):
                value = real(0)
                if alive and fresh:
                    if given != 0:
                        value = z0[b * q + i]
                elif alive and one_hot != 0:
                    value = real(1) if classes[row - B] == i else real(0)
                elif alive:
                    value = y[(row - B) * q + i]
                z[to + i] = value
            return
        at = (row - B) * q
        if code < 0:
            for i in range(lane, q, 32):
                z[to + i] = known[row * q + i]
        elif code == 1 or code == 4:
            softmax_of_warp(o, at, z, to, q, lane)
            if code == 4:
                cuda.syncwarp(_ALL)
                chosen = drawn(z, to, q, draws[index]) if z[to] == z[to] else -1
                cuda.syncwarp(_ALL)
                for i in range(lane, q, 32):
                    if chosen >= 0:
                        z[to + i] = real(1) if i == chosen else real(0)
        elif code == 3:
            chosen = highest_of_warp(o, at, q, lane)
            for i in range(lane, q, 32):
                if chosen < 0:
                    z[to + i] = real(math.nan)
                else:
                    z[to + i] = real(1) if i == chosen else real(0)
        else:
            for i in range(lane, q, 32):
                value = o[at + i]
                if code == 2:
                    value = real(1) / (real(1) + math.exp(-value))
                z[to + i] = value

    return feed


def feed_rows(
    z, begin, count, B, code, o=None, known=None, z0=None, y=None, forced=None, marks=None,
    draws=None, lengths=None,
):  # fmt: skip
    """Store in z what the rows begin <= t * B + b < begin + count are fed; zeros in padding.

    Parameters
    ----------
    z : DeviceArray
        Its first row is that of `begin`; so is the first of `draws`.
    code : int
        The feedback; -1: rows that are fed an output find it in `known`.
    o, known : DeviceArray (T, B, q), optional
        Of all steps; o is read at the step before.
    z0 : DeviceArray (B, q), optional
    y : DeviceArray (T, B, q), or int64 classes (T, B), optional
    forced, marks : DeviceArray bool (T * B,), optional
        Which steps are fed a target; which follow a reset.
    draws : DeviceArray, optional
        In z's type.
    lengths : DeviceArray int64 (B,), optional
    """
    q = z.shape[-1]
    if count == 0:
        return
    one_hot = y is not None and len(y.shape) == 2
    launch(
        feed_kernel(z.dtype.type), -(-count * 32 // _THREADS), _THREADS,
        o, known, z0, None if one_hot else y, y if one_hot else None, forced, marks, draws, lengths,
        z, begin, count, B, q, code, int(z0 is not None), int(y is not None), int(one_hot),
        int(y is not None and forced is not None), int(marks is not None),
        int(lengths is not None), stream=z.stream,
    )  # fmt: skip


@functools.cache
def gradient_kernel(real):
    """Return the kernel that adds to do(t-1) the gradient that came through z(t)."""
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, {r}*, bool*, bool*, int64*, int64, int64, int64, int32, int32, int32, int32",
        launch_bounds=_THREADS,
    )
    def add_gradient(
        z, dz, do, forced, marks, lengths, t, B, q, code, mixed, marked, ragged
    ):  # fmt: skip
        b = (cuda.blockIdx.x * _THREADS + cuda.threadIdx.x) // 32
        if b >= B:
            return
        lane, row = cuda.threadIdx.x % 32, t * B + b
        free = True
        if ragged != 0:
            free = t < lengths[b]
        if marked != 0:
            free = free and marks[row] == 0
        if mixed != 0:
            free = free and forced[row] == 0
        if not free:
            return
        at, before, into = b * q, row * q, (row - B) * q
        inner = real(0)
        if code == 1:
            for i in range(lane, q, 32):
                inner += dz[at + i] * z[before + i]
            distance = 16
            while distance > 0:
                inner += cuda.shfl_xor_sync(_ALL, inner, distance)
                distance //= 2
        for i in range(lane, q, 32):
            value = dz[at + i]
            if code == 1:
                value = z[before + i] * (value - inner)
            elif code == 2:
                value = z[before + i] * (real(1) - z[before + i]) * value
            do[into + i] += value

    return add_gradient


def add_feedback_gradients(code, z, dz, do, t, forced=None, marks=None, lengths=None):
    """Add to do(t-1) the gradient dz (B, q) in z(t), for the sequences whose z(t) was an output."""
    _, B, q = z.shape
    launch(
        gradient_kernel(z.dtype.type), -(-B * 32 // _THREADS), _THREADS,
        z, dz, do, forced, marks, lengths, t, B, q, code, int(forced is not None),
        int(marks is not None), int(lengths is not None), stream=do.stream,
    )  # fmt: skip


@functools.cache
def _narrow_kernel(real):
    @device_kernel(f"float64*, {real.__name__}*, int64", launch_bounds=256)
    def narrow_float64(draws, out, size):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < size:
            out[i] = real(draws[i])

    return narrow_float64


def narrow_draws(draws, dtype):
    """Return draws, float64, as the kernels take them: flat, and in the network's type."""
    if draws.dtype == dtype:
        return draws.reshape((draws.size,))
    out = empty(draws.size, dtype, draws.stream)
    launch(_narrow_kernel(out.dtype.type), -(-out.size // 256), 256, draws, out, out.size)
    return out
