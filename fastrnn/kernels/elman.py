"""Hidden-to-hidden (Elman) network on the CPU (MATH.md section 1)."""

import numpy as np

from fastrnn.jit import kernel
from fastrnn.kernels.activations import activate, activation_code, multiply_slope
from fastrnn.kernels.gemm import add_product, add_row_sums, add_transposed_product
from fastrnn.kernels.inputs import add_input, add_input_products, empty_input_gradient
from fastrnn.kernels.rows import copy_row, full_lengths, shifted_rows, step_rows
from fastrnn.results import ElmanGrads, ElmanState

__all__ = ["elman_backward", "elman_forward", "elman_step"]


@kernel
def elman_forward(
    x, U, W, b, h0=None, lengths=None, activation="tanh", h=None, h_last=None, work=None
):
    """Compute the hidden states h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Arguments are not checked. x (T, B, p) or integer token ids (T, B), U (m, p), W (m, m), b (m,),
    h0 (B, m), lengths (B,); x and the buffers are C-contiguous. Buffers, overwritten: h (T, B, m),
    h_last (B, m), work (p + m, m) for the transposed weights. Returns ElmanState(h, h_last).
    """
    T, B = x.shape[0], x.shape[1]
    m = W.shape[0]
    states = np.empty((T, B, m), W.dtype) if h is None else h
    final = np.empty((B, m), W.dtype) if h_last is None else h_last
    weights = np.empty((U.shape[1] + m, m), W.dtype) if work is None else work
    initial = np.zeros((B, m), W.dtype) if h0 is None else h0
    valid = full_lengths(lengths, T, B)
    transpose_weights(U, W, weights)
    code = activation_code(activation)
    forward_rows(x, weights, b, initial, valid, code, states, final, 0, B)
    return ElmanState(states, final)


@kernel
def transpose_weights(U, W, work):
    """Store U^T above W^T in `work` (p + m, m), so that the loops over units run along a row."""
    p = U.shape[1]
    for i in range(U.shape[0]):
        for k in range(p):
            work[k, i] = U[i, k]
        for k in range(W.shape[1]):
            work[p + k, i] = W[i, k]


@kernel
def forward_rows(x, weights, b, h0, lengths, code, h, h_last, first, last):
    """Do the work of `elman_forward` for the sequences first <= row < last."""
    T, B, m = h.shape
    p = weights.shape[0] - m
    flat = h.reshape((T * B, m))
    for t in range(T):
        for row in range(first, last):
            if t < lengths[row]:
                copy_row(b, h[t, row])
            else:
                h[t, row] = 0
    rows = shifted_rows(lengths, T, first, last, 0)
    add_input(x, rows, weights[:p], flat, rows)
    alive = np.empty(last - first, np.int64)
    before = np.empty(last - first, np.int64)
    for t in range(T):
        n = step_rows(lengths, B, t, first, last, alive)
        if t == 0:
            add_product(h0, alive[:n], weights[p:], flat, alive[:n])
        else:
            for i in range(n):
                before[i] = alive[i] - B
            add_product(flat, before[:n], weights[p:], flat, alive[:n])
        for i in range(n):
            activate(code, flat[alive[i]])
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
    backward_rows(dh, h, U, W, d_final, valid, code, d_input, d_first, da, 0, B)
    backward_weights(da, x, h, states_before, valid, d_U, d_W, d_b, 0, m)
    return ElmanGrads(d_input, d_U, d_W, d_b, d_first)


@kernel
def backward_rows(dh, h, U, W, dh_last, lengths, code, dx, dh0, da, first, last):
    """Compute da(t), dx(t) and dh0 of the sequences first <= row < last."""
    T, B, m = h.shape
    flat = da.reshape((T * B, m))
    alive = np.empty(last - first, np.int64)
    later = np.empty(last - first, np.int64)
    for t in range(T - 1, -1, -1):
        da[t, first:last] = 0
        for row in range(first, last):
            if t < lengths[row]:
                copy_row(dh[t, row], da[t, row])
            if t == lengths[row] - 1:
                for j in range(m):
                    da[t, row, j] += dh_last[row, j]
        n = step_rows(lengths, B, t + 1, first, last, later)
        for i in range(n):
            alive[i] = later[i] - B
        add_product(flat, later[:n], W, flat, alive[:n])
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
        add_product(flat, alive[:n], W, dh0, alive[:n])
    if dx is not None:
        dx[:, first:last] = 0
        rows = shifted_rows(lengths, T, first, last, 0)
        add_product(flat, rows, U, dx.reshape((T * B, dx.shape[2])), rows)


@kernel
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
    (B, m) receives the state after it and must not overlap h. The loops run fastest with U and W
    in Fortran order. Returns h(t).
    """
    B, m = h.shape
    state = np.empty((B, m), h.dtype) if out is None else out
    code = activation_code(activation)
    rows = np.arange(B)
    for row in range(B):
        copy_row(b, state[row])
    if x_t.ndim == 2:
        add_product(x_t, rows, U.T, state, rows)
    else:
        for row in range(B):
            for j in range(m):
                state[row, j] += U[j, x_t[row]]
    add_product(h, rows, W.T, state, rows)
    for row in range(B):
        activate(code, state[row])
    return state
