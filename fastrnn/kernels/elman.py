"""Hidden-to-hidden (Elman) network on the CPU (MATH.md section 1)."""

import numpy as np

from fastrnn.jit import kernel, part
from fastrnn.kernels.activations import (
    activate,
    activate_rows,
    activation_code,
    multiply_slopes,
)
from fastrnn.kernels.gemm import CHUNK, add_row_sums, outer_buffers, outer_columns, product
from fastrnn.kernels.inputs import (
    add_frame,
    add_token_sums,
    as_frames,
    empty_input_gradient,
    token_product,
)
from fastrnn.kernels.rows import (
    add_row,
    alive_or_zero,
    begun_first,
    copy_row,
    copy_rows,
    flat_marks,
    full_lengths,
    one_row,
    row_before,
    rows_or_zero,
    shifted_rows,
    step_rows,
)
from fastrnn.kernels.weights import (
    flat_buffer,
    pack_backward,
    pack_forward,
    packed_backward,
    packed_size,
)
from fastrnn.results import ElmanGrads, ElmanState
from fastrnn.simd import flush_subnormals, lanes, restore_subnormals
from fastrnn.simd.packing import pack, panel_count
from fastrnn.simd.team import alone, meet

__all__ = ["elman_backward", "elman_forward", "elman_step"]

# Numbers of h that are computed together: the input's share of them waits in the L2 cache for the
# recurrence.
_SPAN = 32_768


@kernel
def elman_forward(
    x, U, W, b, h0=None, lengths=None, activation="tanh", h=None, h_last=None, work=None,
    resets=None,
):  # fmt: skip
    """Compute the hidden states h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Arguments are not checked. x (T, B, p) or integer token ids (T, B), U (m, p), W (m, m), b (m,),
    h0 (B, m), lengths (B,); x and the buffers are C-contiguous. Buffers, overwritten: h (T, B, m),
    h_last (B, m), and work for the packed weights: p + m times m numbers, m rounded up to a
    multiple of 16 (too small a one is not used). resets (T, B), bool, C-contiguous: where
    resets[t, b], the state before step t is h0[b]; of an h0 (2 B, m) it is h0[B + b]. Returns
    ElmanState(h, h_last).
    """
    T, B = x.shape[0], x.shape[1]
    m = W.shape[0]
    states = np.empty((T, B, m), W.dtype) if h is None else h
    final = np.empty((B, m), W.dtype) if h_last is None else h_last
    initial = np.zeros((B, m), W.dtype) if h0 is None else h0
    valid = full_lengths(lengths, T, B)
    code = activation_code(activation)
    everything = (0, B, 0, panel_count(W, m))
    forward_part(
        x, U, W, b, initial, valid, code, states, final, work, resets, alone(), 1, *everything
    )  # fmt: skip
    return ElmanState(states, final)


@part
def weights_size(U, W):
    """Return how many numbers `pack_weights` stores."""
    return packed_size(W, U.shape[1] + W.shape[1], W.shape[0])


@part
def pack_weights(U, W, first_panel, end_panel, panels):
    """Pack U and, behind it, W."""
    pack_forward(U, first_panel, end_panel, panels, 0)
    pack_forward(W, first_panel, end_panel, panels, packed_size(W, U.shape[1], U.shape[0]))


@part
def forward_part(
    x, U, W, b, h0, lengths, code, h, h_last, work, resets,
    arrivals, members, first, last, first_panel, end_panel,
):  # fmt: skip
    """Do a member's part of the work of `elman_forward`: some sequences, some panels of columns.

    Members with the same sequences meet after each step: h(t) needs all columns of h(t-1).
    """
    mode = flush_subnormals()
    T, B, m = h.shape
    flat, frames, bias = h.reshape((T * B, m)), as_frames(x), one_row(b, W)
    marks, p = flat_marks(resets), U.shape[1]
    panels, W_at = flat_buffer(work, weights_size(U, W), W), packed_size(W, p, m)
    pack_weights(U, W, first_panel, end_panel, panels)
    left, right = first_panel * lanes(h), min(m, end_panel * lanes(h))
    alive = np.empty(last - first, np.int64)
    before = np.empty(last - first, np.int64)
    span = max(1, _SPAN // max(1, (last - first) * (right - left)))
    for begin in range(0, T, span):
        end = min(begin + span, T)
        rows = rows_or_zero(lengths, h, begin, end, first, last, left, right)
        zeros = np.zeros(rows.size, np.int64)
        if x.ndim == 3:
            product(frames, rows, p, panels, 0, first_panel, end_panel, bias, zeros, flat, rows)
        else:
            token_product(
                frames, rows, p, panels, 0, first_panel, end_panel, bias, zeros, flat, rows
            )
        for t in range(begin, end):
            n = step_rows(lengths, B, t, first, last, alive)
            now = alive[:n]
            begun = begun_first(marks, B, now, before, h0.shape[0])
            if begun > 0:
                on, after = now[:begun], before[:begun]
                product(h0, after, m, panels, W_at, first_panel, end_panel, flat, on, flat, on)
            if begun < n:
                on, after = now[begun:], before[begun:n]
                product(flat, after, m, panels, W_at, first_panel, end_panel, flat, on, flat, on)
            activate_rows(code, flat, now, left, right)
            meet(arrivals, members, t + 1)
    for row in range(first, last):
        if lengths[row] > 0:
            copy_row(h[lengths[row] - 1, row, left:right], h_last[row, left:right])
        else:
            copy_row(h0[row, left:right], h_last[row, left:right])
    restore_subnormals(mode)


@kernel
def elman_backward(
    dh, x, h, U, W, h0=None, dh_last=None, lengths=None, activation="tanh",
    dx=None, dU=None, dW=None, db=None, dh0=None, work=None, resets=None,
):  # fmt: skip
    """Back-propagate through time: gradients from dh = dL/dh and dh_last (MATH.md section 1).

    Arguments are not checked. dh and h (T, B, m), dh_last (B, m), the rest as in `elman_forward`.
    Buffers, overwritten: dx (T, B, p), dU (m, p), dW (m, m), db (m,), dh0 (of h0's shape), and
    work (T, B, m), which receives d_a = dL/da. Returns ElmanGrads; its dx is None for token ids.
    """
    T, B, m = h.shape
    states_before = np.zeros((B, m), W.dtype) if h0 is None else h0
    d_final = np.zeros((B, m), W.dtype) if dh_last is None else dh_last
    d_input = empty_input_gradient(x, U) if dx is None else dx
    d_U = np.empty(U.shape, W.dtype) if dU is None else dU
    d_W = np.empty(W.shape, W.dtype) if dW is None else dW
    d_b = np.empty(m, W.dtype) if db is None else db
    d_first = np.empty(states_before.shape, W.dtype) if dh0 is None else dh0
    da = np.empty((T, B, m), W.dtype) if work is None else work
    valid = full_lengths(lengths, T, B)
    code = activation_code(activation)
    everything = (0, B, 0, panel_count(W, m))
    backward_part(dh, h, W, d_final, valid, code, d_first, da, resets, alone(), 1, *everything)
    backward_products(da, x, h, states_before, U, valid, d_input, d_U, d_W, d_b, resets, 0, m)
    return ElmanGrads(d_input, d_U, d_W, d_b, d_first)


@part
def backward_part(
    dh, h, W, dh_last, lengths, code, dh0, da, resets,
    arrivals, members, first, last, first_panel, end_panel,
):  # fmt: skip
    """Compute a member's part of da(t) and dh0, as in `forward_part`."""
    mode = flush_subnormals()
    T, B, m = h.shape
    states, gradients = h.reshape((T * B, m)), dh.reshape((T * B, m))
    flat = da.reshape((T * B, m))
    panels = np.empty(packed_size(W, m, m), W.dtype)
    pack_backward(W, first_panel, end_panel, panels, 0)
    left, right = first_panel * lanes(h), min(m, end_panel * lanes(h))
    marks, starts = flat_marks(resets), dh0.shape[0]
    alive = np.empty(last - first, np.int64)
    later = np.empty(last - first, np.int64)
    before = np.empty(last - first, np.int64)
    for row in range(first, last):
        dh0[row, left:right] = 0
        dh0[starts - B + row, left:right] = 0
        if lengths[row] == 0:
            copy_row(dh_last[row, left:right], dh0[row, left:right])
    for t in range(T - 1, -1, -1):
        n = step_rows(lengths, B, t + 1, first, last, later)
        begun = begun_first(marks, B, later[:n], before, starts)
        now = alive[: step_rows(lengths, B, t, first, last, alive)]
        # Copied first: the tiles' jumps over rows that are in no cache would wait for each.
        copy_rows(gradients, flat, now, left, right)
        for row in range(first, last):
            if t == lengths[row] - 1:
                add_row(dh_last[row, left:right], da[t, row, left:right])
            elif t >= lengths[row]:
                da[t, row, left:right] = 0
        if begun < n:
            on, to = later[begun:n], before[begun:n]
            product(flat, on, m, panels, 0, first_panel, end_panel, flat, to, flat, to)
        if marks is not None:
            on, to = later[:begun], before[:begun]
            product(flat, on, m, panels, 0, first_panel, end_panel, dh0, to, dh0, to)
        multiply_slopes(code, states, flat, now, left, right)
        meet(arrivals, members, T - t)
    if T > 0:
        now = alive[: step_rows(lengths, B, 0, first, last, alive)]
        begun_first(marks, B, now, before, starts)
        to = before[: now.size]
        product(flat, now, m, panels, 0, first_panel, end_panel, dh0, to, dh0, to)
    restore_subnormals(mode)


@part
def backward_products(da, x, h, h0, U, lengths, dx, dU, dW, db, resets, first, last):
    """Compute rows first <= i < last of dU, dW and db, and the like share of dx's rows.

    dU, dW and db are sums over all valid steps; dx(t) = U^T da(t).
    """
    mode = flush_subnormals()
    T, B, m = h.shape
    flat, states, frames = da.reshape((T * B, m)), h.reshape((T * B, m)), as_frames(x)
    if dx is not None:
        gradients = dx.reshape((T * B, dx.shape[2]))
        rows = alive_or_zero(lengths, gradients, T * B * first // m, T * B * last // m)
        zeros, nothing = np.zeros(rows.size, np.int64), np.zeros((1, U.shape[1]), U.dtype)
        count = panel_count(U, U.shape[1])
        product(flat, rows, m, packed_backward(U), 0, 0, count, nothing, zeros, gradients, rows)
    rows = shifted_rows(lengths, T, 0, B, 0)
    starts, marks = h0.shape[0], flat_marks(resets)
    before = np.empty(rows.size, np.int64)
    for k in range(rows.size):
        before[k] = row_before(marks, B, rows[k], starts)
    dU[first:last] = 0
    dW[first:last] = 0
    units, count, inputs = np.arange(first, last), panel_count(dW, m), U.shape[1]
    columns, panels = outer_buffers(dW, min(rows.size, CHUNK), last - first, max(m, inputs))
    for begin in range(0, rows.size, CHUNK):
        end = min(begin + CHUNK, rows.size)
        depth = end - begin
        outer_columns(flat, rows, begin, end, first, last, columns)
        pack_before(h0, states, before, begin, end, count, panels)
        product(columns, units - first, depth, panels, 0, 0, count, dW, units, dW, units)
        if x.ndim == 3:
            wide = panel_count(dU, inputs)
            pack(frames, rows, begin, end, 0, wide, panels, 0, depth)
            product(columns, units - first, depth, panels, 0, 0, wide, dU, units, dU, units)
    add_token_sums(flat, rows, x, rows, dU, first, last)
    add_row_sums(flat, rows, db, first, last)
    restore_subnormals(mode)


@part
def pack_before(h0, h, before, begin, end, count, panels):
    """Pack the rows that `row_before` gave for steps begin <= k < end, each from h0 or from h."""
    starts, k = h0.shape[0], begin
    while k < end:
        fresh, j = before[k] < 0, k + 1
        while j < end and (before[j] < 0) == fresh:
            j += 1
        at = (k - begin) * lanes(h)
        if fresh:
            pack(h0, before[k:j] + starts, 0, j - k, 0, count, panels, at, end - begin)
        else:
            pack(h, before, k, j, 0, count, panels, at, end - begin)
        k = j


@kernel
def elman_step(x_t, h, U, W, b, activation="tanh", out=None):
    """Compute one step h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Arguments are not checked. x_t (B, p) or token ids (B,), h (B, m) the state before it. `out`
    (B, m) receives the state after it and must not overlap h. With U and W in Fortran order the
    bits are those of `elman_forward`; in C order the sums are rounded in another order. Returns
    h(t).
    """
    mode = flush_subnormals()
    state = np.empty(h.shape, h.dtype) if out is None else out
    code = activation_code(activation)
    for row in range(h.shape[0]):
        copy_row(b, state[row])
    add_frame(x_t, U, state)
    add_frame(h, W, state)
    for row in range(h.shape[0]):
        activate(code, state[row])
    restore_subnormals(mode)
    return state


@part
def pack_step(U, W, b):
    """Return U, W and b as `packed_step` takes them, in one array: fewer arguments cost less."""
    size = weights_size(U, W)
    packed = np.empty(size + b.size, W.dtype)
    pack_weights(U, W, 0, panel_count(W, b.size), packed)
    copy_row(b, packed[size:])
    return packed


@part
def packed_step(x_t, h, rows, p, packed, code, out):
    """Do the work of `elman_step` with weights packed by `pack_step`; rows lists 0 ... B-1."""
    mode = flush_subnormals()
    m = h.shape[1]
    count, W_at = panel_count(h, m), packed_size(h, p, m)
    bias = packed[packed.size - m :]
    for row in range(rows.size):
        copy_row(bias, out[row])
    if x_t.ndim == 2:
        product(x_t, rows, p, packed, 0, 0, count, out, rows, out, rows)
    else:
        token_product(x_t, rows, p, packed, 0, 0, count, out, rows, out, rows)
    product(h, rows, m, packed, W_at, 0, count, out, rows, out, rows)
    activate_rows(code, out, rows, 0, m)
    restore_subnormals(mode)
