"""Hidden-to-hidden (Elman) network on the CPU (MATH.md section 1)."""

import numpy as np

from fastrnn.jit import kernel, part
from fastrnn.kernels.activations import activate, activation_code, multiply_slope
from fastrnn.kernels.gemm import add_product, add_row_sums, add_transposed_product
from fastrnn.kernels.inputs import (
    add_frame,
    add_input,
    add_input_products,
    add_packed_frame,
    empty_input_gradient,
)
from fastrnn.kernels.rows import copy_row, full_lengths, shifted_rows, start_from_bias, step_rows
from fastrnn.kernels.weights import flat_buffer, pack_backward, pack_forward, packed_size
from fastrnn.results import ElmanGrads, ElmanState
from fastrnn.simd.packing import panel_count

__all__ = ["elman_backward", "elman_forward", "elman_step"]

# Numbers of h that are computed together: the input's share of them waits in the L2 cache for the
# recurrence.
_SPAN = 32_768


@kernel
def elman_forward(
    x, U, W, b, h0=None, lengths=None, activation="tanh", h=None, h_last=None, work=None
):
    """Compute the hidden states h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Arguments are not checked. x (T, B, p) or integer token ids (T, B), U (m, p), W (m, m), b (m,),
    h0 (B, m), lengths (B,); x and the buffers are C-contiguous. Buffers, overwritten: h (T, B, m),
    h_last (B, m), and work for the packed weights: p + m times m numbers, m rounded up to a
    multiple of 16 (too small a one is not used). Returns ElmanState(h, h_last).
    """
    T, B = x.shape[0], x.shape[1]
    m = W.shape[0]
    states = np.empty((T, B, m), W.dtype) if h is None else h
    final = np.empty((B, m), W.dtype) if h_last is None else h_last
    initial = np.zeros((B, m), W.dtype) if h0 is None else h0
    valid = full_lengths(lengths, T, B)
    panels = flat_buffer(work, weights_size(U, W), W)
    pack_weights(U, W, panels)
    code = activation_code(activation)
    forward_rows(x, U.shape[1], panels, b, initial, valid, code, states, final, 0, B)
    return ElmanState(states, final)


@part
def weights_size(U, W):
    """Return how many numbers `pack_weights` stores."""
    return packed_size(W, U.shape[1] + W.shape[1], W.shape[0])


@part
def pack_weights(U, W, panels):
    """Pack U and, behind it, W."""
    pack_forward(U, panels, 0)
    pack_forward(W, panels, packed_size(W, U.shape[1], U.shape[0]))


@part
def forward_rows(x, p, panels, b, h0, lengths, code, h, h_last, first, last):
    """Do the work of `elman_forward` for the sequences first <= row < last."""
    T, B, m = h.shape
    flat = h.reshape((T * B, m))
    count, W_start = panel_count(h, m), packed_size(h, p, m)
    alive = np.empty(last - first, np.int64)
    before = np.empty(last - first, np.int64)
    span = max(1, _SPAN // max(1, (last - first) * m))
    for begin in range(0, T, span):
        end = min(begin + span, T)
        rows = start_from_bias(b, lengths, h, begin, end, first, last)
        add_input(x, rows, p, panels, 0, 0, count, flat, rows)
        for t in range(begin, end):
            n = step_rows(lengths, B, t, first, last, alive)
            now = alive[:n]
            if t == 0:
                add_product(h0, now, m, panels, W_start, 0, count, flat, now)
            else:
                for i in range(n):
                    before[i] = now[i] - B
                add_product(flat, before[:n], m, panels, W_start, 0, count, flat, now)
            for i in range(n):
                activate(code, flat[now[i]])
    for row in range(first, last):
        if lengths[row] > 0:
            copy_row(h[lengths[row] - 1, row], h_last[row])
        else:
            copy_row(h0[row], h_last[row])


@kernel
def elman_backward(
    dh, x, h, U, W, h0=None, dh_last=None, lengths=None, activation="tanh",
    dx=None, dU=None, dW=None, db=None, dh0=None, work=None,
):  # fmt: skip
    """Back-propagate through time: gradients from dh = dL/dh and dh_last (MATH.md section 1).

    Arguments are not checked. dh and h (T, B, m), dh_last (B, m), the rest as in `elman_forward`.
    Buffers, overwritten: dx (T, B, p), dU (m, p), dW (m, m), db (m,), dh0 (B, m), and
    work (T, B, m), which receives d_a = dL/da. Returns ElmanGrads; its dx is None for token ids.
    """
    T, B, m = h.shape
    states_before = np.zeros((B, m), W.dtype) if h0 is None else h0
    d_final = np.zeros((B, m), W.dtype) if dh_last is None else dh_last
    d_input = empty_input_gradient(x, U) if dx is None else dx
    d_U = np.empty(U.shape, W.dtype) if dU is None else dU
    d_W = np.empty(W.shape, W.dtype) if dW is None else dW
    d_b = np.empty(m, W.dtype) if db is None else db
    d_first = np.empty((B, m), W.dtype) if dh0 is None else dh0
    da = np.empty((T, B, m), W.dtype) if work is None else work
    valid = full_lengths(lengths, T, B)
    code = activation_code(activation)
    panels = np.empty(packed_size(W, m, m), W.dtype)
    pack_backward(W, panels, 0)
    backward_rows(dh, h, panels, d_final, valid, code, d_first, da, 0, B)
    backward_inputs(da, panels_of_input(d_input, U), valid, d_input, 0, B)
    backward_weights(da, x, h, states_before, valid, d_U, d_W, d_b, 0, m)
    return ElmanGrads(d_input, d_U, d_W, d_b, d_first)


@part
def backward_rows(dh, h, panels, dh_last, lengths, code, dh0, da, first, last):
    """Compute da(t) and dh0 of the sequences first <= row < last; W is packed in `panels`."""
    T, B, m = h.shape
    flat = da.reshape((T * B, m))
    count = panel_count(h, m)
    alive = np.empty(last - first, np.int64)
    later = np.empty(last - first, np.int64)
    for t in range(T - 1, -1, -1):
        for row in range(first, last):
            if t >= lengths[row]:
                da[t, row] = 0
                continue
            copy_row(dh[t, row], da[t, row])
            if t == lengths[row] - 1:
                for j in range(m):
                    da[t, row, j] += dh_last[row, j]
        n = step_rows(lengths, B, t + 1, first, last, later)
        for i in range(n):
            alive[i] = later[i] - B
        add_product(flat, later[:n], m, panels, 0, 0, count, flat, alive[:n])
        n = step_rows(lengths, B, t, first, last, alive)
        for i in range(n):
            multiply_slope(code, h[t, alive[i] - t * B], flat[alive[i]])
    for row in range(first, last):
        if lengths[row] > 0:
            dh0[row] = 0
        else:
            copy_row(dh_last[row], dh0[row])
    if T > 0:
        n = step_rows(lengths, B, 0, first, last, alive)
        add_product(flat, alive[:n], m, panels, 0, 0, count, dh0, alive[:n])


@part
def panels_of_input(dx, U):
    """Return U packed for `backward_inputs`; nothing where dx is None."""
    if dx is None:
        return np.empty(0, U.dtype)
    panels = np.empty(packed_size(U, U.shape[0], U.shape[1]), U.dtype)
    pack_backward(U, panels, 0)
    return panels


@part
def backward_inputs(da, panels, lengths, dx, first, last):
    """Compute dx(t), unless it is None, of the sequences first <= row < last."""
    if dx is None:
        return
    T, B, m = da.shape
    p = dx.shape[2]
    dx[:, first:last] = 0
    rows = shifted_rows(lengths, T, first, last, 0)
    flat, d_input = da.reshape((T * B, m)), dx.reshape((T * B, p))
    add_product(flat, rows, m, panels, 0, 0, panel_count(dx, p), d_input, rows)


@part
def backward_weights(da, x, h, h0, lengths, dU, dW, db, first, last):
    """Compute rows first <= i < last of dU, dW and db: sums over all valid steps."""
    T, B, m = h.shape
    flat = da.reshape((T * B, m))
    rows = shifted_rows(lengths, T, 0, B, 0)
    dW[first:last] = 0
    started = shifted_rows(lengths, min(T, 1), 0, B, 0)
    add_transposed_product(flat, started, h0, started, dW, first, last)
    later = shifted_rows(lengths, T, 0, B, 1)
    add_transposed_product(flat, later, h.reshape((T * B, m)), later - B, dW, first, last)
    add_input_products(flat, rows, x, rows, dU, first, last)
    add_row_sums(flat, rows, db, first, last)


@kernel
def elman_step(x_t, h, U, W, b, activation="tanh", out=None):
    """Compute one step h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Arguments are not checked. x_t (B, p) or token ids (B,), h (B, m) the state before it. `out`
    (B, m) receives the state after it and must not overlap h. With U and W in Fortran order the
    bits are those of `elman_forward`; in C order the sums are rounded in another order. Returns
    h(t).
    """
    state = np.empty(h.shape, h.dtype) if out is None else out
    code = activation_code(activation)
    for row in range(h.shape[0]):
        copy_row(b, state[row])
    add_frame(x_t, U, state)
    add_frame(h, W, state)
    for row in range(h.shape[0]):
        activate(code, state[row])
    return state


@part
def packed_step(x_t, h, rows, p, panels, b, code, out):
    """Do the work of `elman_step` with weights packed by `pack_weights`; rows lists 0 ... B-1."""
    m = b.size
    count = panel_count(h, m)
    for row in range(rows.size):
        copy_row(b, out[row])
    add_packed_frame(x_t, rows, p, panels, 0, 0, count, out, rows)
    add_product(h, rows, m, panels, packed_size(h, p, m), 0, count, out, rows)
    for row in range(rows.size):
        activate(code, out[row])
