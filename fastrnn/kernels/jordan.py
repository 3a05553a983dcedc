"""Output-to-hidden (Jordan) network on the CPU (MATH.md section 2).

A step that is fed a target, or z0, waits for no other: only those that are fed their sequence's
previous output are a recurrence.
"""

import numpy as np

from fastrnn.jit import kernel, part
from fastrnn.kernels.activations import activate_rows, activation_code, multiply_slopes
from fastrnn.kernels.feedback import (
    add_feedback_gradient,
    feed_back,
    feedback_code,
    is_one_hot,
)
from fastrnn.kernels.gemm import add_row_sums, add_transposed_product, product
from fastrnn.kernels.inputs import (
    add_token_sums,
    as_frames,
    empty_input_gradient,
    token_product,
)
from fastrnn.kernels.linear import linear_backward_rows, linear_backward_weights
from fastrnn.kernels.rows import (
    copy_row,
    copy_rows,
    full_lengths,
    one_row,
    rows_or_zero,
    shifted_rows,
)
from fastrnn.kernels.weights import flat_buffer, pack_forward, packed_backward, packed_size
from fastrnn.results import JordanGrads, JordanState
from fastrnn.simd import flush_subnormals, restore_subnormals
from fastrnn.simd.packing import panel_count

__all__ = ["jordan_backward", "jordan_forward"]

# Numbers of h that are computed together: they wait in the L2 cache from one product to the next.
_SPAN = 32_768


@kernel
def jordan_forward(
    x, U, W, b, V, c, y=None, z0=None, lengths=None, activation="tanh", feedback="softmax",
    forced=None, draws=None, h=None, o=None, z=None, work=None, resets=None,
):  # fmt: skip
    """Compute h(t) = f(b + W z(t) + U x(t)) and o(t) = c + V h(t) (MATH.md section 2).

    Arguments are not checked. x (T, B, p) or integer token ids (T, B), U (m, p), W (m, q), b (m,),
    V (q, m), c (q,), y (T, B, q) or integer classes (T, B), z0 (B, q), lengths (B,); forced and
    resets bool (T, B). Where draws (T, B), in [0, 1), are those of "sample" for z(t). x, y, z0 and
    the buffers are C-contiguous. Buffers, overwritten: h (T, B, m), o and z (T, B, q), and work for
    the packed weights: p + q times m numbers and m times q, m and q rounded up to a multiple of 16
    (too small a one is not used). Returns JordanState(h, o, z), z being what each step was fed.
    """
    T, B = x.shape[0], x.shape[1]
    m, q = W.shape
    states = np.empty((T, B, m), W.dtype) if h is None else h
    outputs = np.empty((T, B, q), W.dtype) if o is None else o
    fed = np.empty((T, B, q), W.dtype) if z is None else z
    targets = np.empty((0, 0), np.int64) if y is None else y
    first = np.zeros((B, q), W.dtype) if z0 is None else z0
    valid, again = full_lengths(lengths, T, B), no_steps(resets, T, B)
    taught, numbers = forced_steps(forced, y, T, B), np.empty((0, 0)) if draws is None else draws
    codes = activation_code(activation), feedback_code(feedback)
    if codes[1] == 4 and numbers.size < T * B:
        raise ValueError("draws: expected numbers (T, B) with feedback 'sample'")
    forward_part(
        x, U, W, b, V, c, targets, first, valid, codes[0], codes[1], taught, again, numbers,
        states, outputs, fed, work, 0, B,
    )  # fmt: skip
    return JordanState(states, outputs, fed)


@part
def no_steps(resets, T, B):
    """Return `resets`, or none where it is None."""
    if resets is None:
        steps = np.zeros((T, B), np.bool_)
    else:
        steps = resets
    return steps


@part
def forced_steps(forced, y, T, B):
    """Return `forced`; all steps where it is None, no steps where there are no targets y."""
    if y is None:
        steps = np.zeros((T, B), np.bool_)
    elif forced is None:
        steps = np.ones((T, B), np.bool_)
    else:
        steps = forced
    return steps


@part
def weights_size(U, W, V):
    """Return how many numbers `pack_weights` stores."""
    (m, q), p = W.shape, U.shape[1]
    return packed_size(W, p + q, m) + packed_size(V, m, q)


@part
def pack_weights(U, W, V, panels):
    """Pack U, W and V, one behind the other; return where W and V begin."""
    (m, q), p = W.shape, U.shape[1]
    W_at, V_at = packed_size(W, p, m), packed_size(W, p + q, m)
    pack_forward(U, 0, panel_count(U, m), panels, 0)
    pack_forward(W, 0, panel_count(W, m), panels, W_at)
    pack_forward(V, 0, panel_count(V, q), panels, V_at)
    return W_at, V_at


@part
def forward_part(
    x, U, W, b, V, c, y, z0, lengths, code, feedback, forced, resets, draws, h, o, z, work,
    first, last,
):  # fmt: skip
    """Do the work of `jordan_forward` for the sequences first <= row < last."""
    mode = flush_subnormals()
    T, B, m = h.shape
    q, p = o.shape[2], U.shape[1]
    flat, outputs, fed = h.reshape((T * B, m)), o.reshape((T * B, q)), z.reshape((T * B, q))
    frames, bias, shift = as_frames(x), one_row(b, W), one_row(c, W)
    panels, count = flat_buffer(work, weights_size(U, W, V), W), panel_count(W, m)
    W_at, V_at = pack_weights(U, W, V, panels)
    span = max(1, _SPAN // max(1, (last - first) * m))
    for begin in range(0, T, span):
        end = min(begin + span, T)
        rows = rows_or_zero(lengths, h, begin, end, first, last, 0, m)
        zero_padding(lengths, o, z, begin, end, first, last)
        zeros = np.zeros(rows.size, np.int64)
        if x.ndim == 3:
            product(frames, rows, p, panels, 0, 0, count, bias, zeros, flat, rows)
        else:
            token_product(frames, rows, p, panels, 0, 0, count, bias, zeros, flat, rows)
        starts, taught, free = fed_rows(rows, B, forced, resets)
        feed_given(y, z0, starts, taught, fed)
        product(fed, starts, q, panels, W_at, 0, count, flat, starts, flat, starts)
        if y.ndim == 2:
            classes, before = y.reshape(y.size), taught - B
            token_product(classes, before, q, panels, W_at, 0, count, flat, taught, flat, taught)
        else:
            product(fed, taught, q, panels, W_at, 0, count, flat, taught, flat, taught)
        if free.size == 0:
            activate_rows(code, flat, rows, 0, m)
            product(flat, rows, m, panels, V_at, 0, panel_count(V, q), shift, zeros, outputs, rows)
        else:
            recurrence(
                rows, free, code, feedback, draws, B, panels, W_at, V_at, shift, flat, outputs, fed
            )
    restore_subnormals(mode)


@part
def zero_padding(lengths, o, z, begin, end, first, last):
    """Set to 0 what o and z hold for steps begin <= t < end past their sequence's end."""
    for t in range(begin, end):
        for row in range(first, last):
            if t >= lengths[row]:
                o[t, row] = 0
                z[t, row] = 0


@part
def fed_rows(rows, B, forced, resets):
    """Return which of the rows are fed z0, which a target, and which the previous output."""
    starts, taught, free = np.empty_like(rows), np.empty_like(rows), np.empty_like(rows)
    i, j, k = 0, 0, 0
    for row in rows:
        t, b = row // B, row % B
        if t == 0 or resets[t, b]:
            starts[i] = row
            i += 1
        elif forced[t, b]:
            taught[j] = row
            j += 1
        else:
            free[k] = row
            k += 1
    return starts[:i], taught[:j], free[:k]


@part
def feed_given(y, z0, starts, taught, z):
    """Store in rows of z what they are fed that wait for no output."""
    B, q = z0.shape
    for row in starts:
        copy_row(z0[row % B], z[row])
    if y.ndim == 2:
        classes = y.reshape(y.size)
        for row in taught:
            z[row] = 0
            z[row, classes[row - B]] = 1
    else:
        values = y.reshape((y.shape[0] * B, q))
        for row in taught:
            copy_row(values[row - B], z[row])


@part
def recurrence(
    rows, free, code, feedback, draws, B, panels, W_at, V_at, shift, h, o, z
):  # fmt: skip
    """Step through rows, whose inputs are in h already, those of some free ones without W z."""
    (m, q), zeros = (h.shape[1], o.shape[1]), np.zeros(rows.size, np.int64)
    count, outputs = panel_count(h, m), panel_count(h, q)
    begin, first = 0, 0
    while begin < rows.size:
        t = rows[begin] // B
        end, last = step_end(rows, begin, t, B), step_end(free, first, t, B)
        now, waiting = rows[begin:end], free[first:last]
        for row in waiting:
            draw = draws[t, row - t * B] if feedback == 4 else 0.0
            feed_back(feedback, o, row - B, draw, z, row)
        product(z, waiting, q, panels, W_at, 0, count, h, waiting, h, waiting)
        activate_rows(code, h, now, 0, m)
        product(h, now, m, panels, V_at, 0, outputs, shift, zeros[begin:end], o, now)
        begin, first = end, last


@part
def step_end(rows, begin, t, B):
    """Return the end of the listed rows, which ascend, of step t, which begin at `begin`."""
    end = begin
    while end < rows.size and rows[end] < (t + 1) * B:
        end += 1
    return end


@kernel
def jordan_backward(
    do, x, h, o, U, W, V, y=None, z=None, z0=None, lengths=None, activation="tanh",
    feedback="softmax", forced=None, dx=None, dU=None, dW=None, db=None, dV=None, dc=None,
    dz0=None, work=None, resets=None,
):  # fmt: skip
    """Back-propagate through time: gradients from do = dL/do (MATH.md section 2).

    Arguments are not checked. do and o (T, B, q), h (T, B, m), z (T, B, q) as `jordan_forward`
    returned it, which "argmax" and "sample" need unless all steps were forced; the rest as there.
    Buffers, overwritten: dx (T, B, p), dU (m, p), dW (m, q), db (m,), dV (q, m), dc (q,), dz0
    (B, q), and work of T*B times m + q numbers, which receives d_a and the whole d_o (too small a
    one is not used). Returns JordanGrads; its dx is None for token ids.
    """
    T, B, m = h.shape
    q = o.shape[2]
    codes = activation_code(activation), feedback_code(feedback)
    if z is None and is_one_hot(codes[1]) and (y is None or forced is not None):
        raise ValueError("z: expected what the steps were fed, with feedback of classes")
    fed = np.empty((T, B, q), W.dtype) if z is None else z
    targets = np.empty((0, 0), np.int64) if y is None else y
    first = np.zeros((B, q), W.dtype) if z0 is None else z0
    valid, again = full_lengths(lengths, T, B), no_steps(resets, T, B)
    taught = forced_steps(forced, y, T, B)
    d_input = empty_input_gradient(x, U) if dx is None else dx
    d_U = np.empty(U.shape, W.dtype) if dU is None else dU
    d_W = np.empty(W.shape, W.dtype) if dW is None else dW
    d_b = np.empty(m, W.dtype) if db is None else db
    d_V = np.empty(V.shape, W.dtype) if dV is None else dV
    d_c = np.empty(q, W.dtype) if dc is None else dc
    d_first = np.empty((B, q), W.dtype) if dz0 is None else dz0
    buffer, size = flat_buffer(work, T * B * (m + q), W), T * B * m
    da = buffer[:size].reshape((T, B, m))
    d_o = buffer[size : size + T * B * q].reshape((T, B, q))
    backward_part(
        do, h, o, U, W, V, fed, z is not None, valid, codes[0], codes[1], taught, again,
        da, d_o, d_input, d_first, 0, B,
    )  # fmt: skip
    backward_products(
        da, d_o, x, h, targets, fed, first, valid, taught, again, d_U, d_W, d_b, d_V, d_c, 0, m
    )
    return JordanGrads(d_input, d_U, d_W, d_b, d_V, d_c, d_first)


@part
def backward_part(
    do, h, o, U, W, V, z, known, lengths, code, feedback, forced, resets, da, d_o, dx, dz0,
    first, last,
):  # fmt: skip
    """Compute da(t), the whole do(t), dx(t) and dz0 of the sequences first <= row < last.

    And z(t) of the steps that were fed an output, unless all of z is `known`.
    """
    mode = flush_subnormals()
    T, B, m = h.shape
    q = o.shape[2]
    states, flat = h.reshape((T * B, m)), da.reshape((T * B, m))
    outputs, gradients, fed = o.reshape((T * B, q)), d_o.reshape((T * B, q)), z.reshape((T * B, q))
    panels, count = packed_backward(V), panel_count(V, m)
    rows = shifted_rows(lengths, T, first, last, 0)
    starts, _, free = fed_rows(rows, B, forced, resets)
    copy_rows(do.reshape((T * B, q)), gradients, rows, 0, q)
    if free.size == 0 or is_one_hot(feedback):
        nothing, zeros = np.zeros((1, m), W.dtype), np.zeros(rows.size, np.int64)
        product(gradients, rows, q, panels, 0, 0, count, nothing, zeros, flat, rows)
        multiply_slopes(code, states, flat, rows, 0, m)
    else:
        if not known:
            for row in free:
                feed_back(feedback, outputs, row - B, 0.0, fed, row)
        recurrence_back(rows, free, code, feedback, B, W, panels, states, fed, flat, gradients)
    if dx is not None:
        linear_backward_rows(da, U, lengths, dx, first, last)
    dz0[first:last] = 0
    add_start_gradients(flat, starts, W, dz0)
    restore_subnormals(mode)


@part
def recurrence_back(rows, free, code, feedback, B, W, V_panels, h, z, da, do):
    """Step back through the rows: da(t), and what flows on into do(t-1) where z(t) was free."""
    (m, q), W_panels = W.shape, packed_backward(W)
    nothing, zeros = np.zeros((1, max(m, q)), W.dtype), np.zeros(rows.size, np.int64)
    count, outputs = panel_count(W, m), panel_count(W, q)
    dz, sequences = np.empty((B, q), W.dtype), np.empty(rows.size, np.int64)
    end, last = rows.size, free.size
    while end > 0:
        t = rows[end - 1] // B
        begin, first = step_begin(rows, end, t, B), step_begin(free, last, t, B)
        now, waiting = rows[begin:end], free[first:last]
        product(do, now, q, V_panels, 0, 0, count, nothing, zeros[begin:end], da, now)
        multiply_slopes(code, h, da, now, 0, m)
        for i in range(waiting.size):
            sequences[i] = waiting[i] - t * B
        into = sequences[: waiting.size]
        product(da, waiting, m, W_panels, 0, 0, outputs, nothing, zeros[first:last], dz, into)
        for i in range(waiting.size):
            row = waiting[i]
            add_feedback_gradient(feedback, z, row, dz, into[i], do, row - B)
        end, last = begin, first


@part
def step_begin(rows, end, t, B):
    """Return the begin of the listed rows, which ascend, of step t, which end at `end`."""
    begin = end
    while begin > 0 and rows[begin - 1] >= t * B:
        begin -= 1
    return begin


@part
def add_start_gradients(da, starts, W, dz0):
    """Add W^T da(t) to the sequence's row of dz0 for the steps that were fed z0."""
    (m, q), B, panels = W.shape, dz0.shape[0], packed_backward(W)
    begin = 0
    while begin < starts.size:  # step by step: no sequence twice in a product
        end = step_end(starts, begin, starts[begin] // B, B)
        now = starts[begin:end]
        into = now % B
        product(da, now, m, panels, 0, 0, panel_count(W, q), dz0, into, dz0, into)
        begin = end


@part
def backward_products(
    da, do, x, h, y, z, z0, lengths, forced, resets, dU, dW, db, dV, dc, first, last
):
    """Compute rows first <= i < last of dU, dW and db, and the like share of dV's and dc's.

    All are sums over the valid steps; dW's terms are da(t) z(t)^T, by where z(t) came from.
    """
    mode = flush_subnormals()
    T, B, m = h.shape
    q = z0.shape[1]
    flat, fed = da.reshape((T * B, m)), z.reshape((T * B, q))
    rows = shifted_rows(lengths, T, 0, B, 0)
    if x.ndim == 3:
        linear_backward_weights(da, x, lengths, dU, db, first, last)
    else:
        dU[first:last] = 0
        add_token_sums(flat, rows, x, rows, dU, first, last)
        add_row_sums(flat, rows, db, first, last)
    starts, taught, free = fed_rows(rows, B, forced, resets)
    dW[first:last] = 0
    add_transposed_product(flat, starts, z0, starts % max(1, B), dW, first, last)
    add_transposed_product(flat, free, fed, free, dW, first, last)
    if y.ndim == 2:
        add_token_sums(flat, taught, y, taught - B, dW, first, last)
    else:
        values = y.reshape((y.shape[0] * B, q))
        add_transposed_product(flat, taught, values, taught - B, dW, first, last)
    linear_backward_weights(do, h, lengths, dV, dc, q * first // m, q * last // m)
    restore_subnormals(mode)
