"""Hidden-to-hidden (Elman) network on the GPU (MATH.md section 1).

The products that wait for nothing are made of all steps at once. The recurrence runs in one launch,
its weights in registers (`recurrence`), or, where they do not fit or many wide sequences make it
worth while, step by step, each step one product with its activation.
"""

from fastrnn.cuda import recurrence
from fastrnn.cuda.activations import activation_code
from fastrnn.cuda.ends import (
    begin_gradients,
    hand_through,
    last_states,
    passed_on,
    states_before,
    sum_first_steps,
)
from fastrnn.cuda.gemm import multiply_rows, sum_outer, sum_rows
from fastrnn.cuda.inputs import add_token_sums, token_product
from fastrnn.cuda.launching import empty, fill, view
from fastrnn.cuda.rows import Rows, alive_rows, order_by_length, rows_before, zero_padding
from fastrnn.results import ElmanGrads, ElmanState

__all__ = ["elman_backward", "elman_forward", "elman_step"]


def elman_forward(
    x, U, W, b, h0=None, lengths=None, activation="tanh", h=None, h_last=None, work=None,
    resets=None, blas=None,
):  # fmt: skip
    """Compute the hidden states h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Arguments are not checked. All are device arrays, C-contiguous: x (T, B, p) or integer token ids
    (T, B), U (m, p), W (m, m), b (m,), h0 (B, m), lengths int64 (B,). Buffers, overwritten: h
    (T, B, m), h_last (B, m); `work` is not needed here. resets (T, B), bool: where resets[t, b],
    the state before step t is h0[b]; of an h0 (2 B, m) it is h0[B + b]. blas: see `gemm`. Returns
    ElmanState(h, h_last).

    A row's bits do not depend on the other rows, but the number of rows may change the order of its
    sums: see `recurrence`.
    """
    x, U, W, b, h0, lengths, resets = views(x, U, W, b, h0, lengths, resets)
    (T, B), m, stream = x.shape[:2], W.shape[0], x.stream
    states = empty((T, B, m), W.dtype, stream) if h is None else view(h)
    final = empty((B, m), W.dtype, stream) if h_last is None else view(h_last)
    code, marks = activation_code(activation), None if resets is None else resets.reshape((T * B,))
    if states.size:
        order = None if lengths is None else order_by_length(lengths, T)
        set_inputs(x, U, b, lengths, order, states, blas)
        how = recurrence.plan(m, B, W.dtype.type)
        if how is None or not recurrence.recur(how, W, states, code, order, marks, h0):
            _forward_by_steps(W, states, code, order, marks, h0)
    if final.size:
        last_states(states, h0, lengths, final)
    return ElmanState(states if h is None else h, final if h_last is None else h_last)


def views(*arrays):
    """Return views of all arrays; None stays None."""
    return tuple(None if array is None else view(array) for array in arrays)


def set_inputs(x, U, b, lengths, order, a, blas):
    """Set a(t) = b + U x(t), zero in padding."""
    T, B, m = a.shape
    if len(x.shape) == 2:
        token_product(x, U, b, lengths, a)
        return
    rows = None
    if lengths is not None:
        rows = alive_rows(lengths, order, T)
        zero_padding(a, lengths)
    frames = x.reshape((T * B, U.shape[1]))
    multiply_rows(
        frames, U, a.reshape((T * B, m)), transposed=True, bias=b, rows=rows, blas=blas
    )  # fmt: skip


def _forward_by_steps(W, h, code, order, marks, h0):
    """Set h(t) = f(h(t) + W h(t-1)), a launch for each step."""
    T, B, m = h.shape
    before = empty((B, m), W.dtype, h.stream)
    for t in range(T):
        now = h.rows(t, t + 1).reshape((B, m))
        earlier = None if t == 0 else h.rows(t - 1, t).reshape((B, m))
        if t == 0 or marks is not None:
            states_before(t, earlier, marks, h0, before)
            earlier = before
        multiply_rows(
            earlier, W, now, transposed=True, start=now, activation=code, rows=alive_at(order, t)
        )  # fmt: skip


def alive_at(order, t):
    """Return the Rows of one step."""
    return None if order is None else Rows(order.sequence, order.alive.rows(t, t + 1))


def elman_backward(
    dh, x, h, U, W, h0=None, dh_last=None, lengths=None, activation="tanh",
    dx=None, dU=None, dW=None, db=None, dh0=None, work=None, resets=None, blas=None,
):  # fmt: skip
    """Back-propagate through time: gradients from dh = dL/dh and dh_last (MATH.md section 1).

    Arguments are not checked. dh and h (T, B, m), dh_last (B, m), the rest as in `elman_forward`.
    Buffers, overwritten: dx (T, B, p), dU (m, p), dW (m, m), db (m,), dh0 (of h0's shape), and
    work (T, B, m), which receives d_a = dL/da. Returns ElmanGrads; its dx is None for token ids.
    """
    given = dx, dU, dW, db, dh0
    dh, x, h, U, W, h0, dh_last, lengths, resets = views(
        dh, x, h, U, W, h0, dh_last, lengths, resets
    )
    T, B, m = h.shape
    starts = B if h0 is None else h0.shape[0]
    shapes = x.shape, U.shape, W.shape, (m,), (starts, m)
    made = [
        empty(shape, W.dtype, h.stream) if buffer is None else view(buffer)
        for shape, buffer in zip(shapes, given, strict=True)
    ]
    d_input, d_U, d_W, d_b, d_first = made
    da = empty((T, B, m), W.dtype, h.stream) if work is None else view(work)
    order = None if lengths is None else order_by_length(lengths, T)
    marks = None if resets is None else resets.reshape((T * B,))
    if da.size:
        _recur_back(dh, h, W, dh_last, lengths, order, activation_code(activation), marks, da)
    rows = None if lengths is None or not da.size else alive_rows(lengths, order, T)
    _weight_gradients(da, x, h, h0, lengths, rows, marks, d_U, d_W, d_b, blas)
    _first_gradients(da, W, dh_last, lengths, marks, d_first)
    if len(x.shape) == 2:
        d_input = None
    elif d_input.size:
        if rows is not None:
            zero_padding(d_input, lengths)
        flat = d_input.reshape((T * B, U.shape[1]))
        multiply_rows(da.reshape((T * B, m)), U, flat, rows=rows, blas=blas)
    results = [d_input, *made[1:]]
    return ElmanGrads(
        *(result if mine is None or result is None else mine
          for result, mine in zip(results, given, strict=True))
    )  # fmt: skip


def _recur_back(dh, h, W, dh_last, lengths, order, code, marks, da):
    """Set da(t) = f'(a(t)) (dh(t) + W^T da(t+1)), zero in padding."""
    B, m = da.shape[1:]
    if lengths is not None:
        zero_padding(da, lengths)
    how = recurrence.plan(m, B, W.dtype.type)
    if how is None or not recurrence.recur(
        how, W, da, code, order, marks, dh=dh, h=h, last=dh_last
    ):
        _backward_by_steps(dh, h, W, dh_last, lengths, order, code, marks, da)


def _backward_by_steps(dh, h, W, dh_last, lengths, order, code, marks, da):
    """Do the work of `_recur_back`, a launch for each step."""
    T, B, m = da.shape
    begin_gradients(dh, dh_last, lengths, da)
    later = empty((B, m), W.dtype, da.stream)
    fill(later, 0)
    for t in range(T - 1, -1, -1):
        now, states = (array.rows(t, t + 1).reshape((B, m)) for array in (da, h))
        multiply_rows(
            later, W, now, start=now, activation=code, states=states, rows=alive_at(order, t)
        )  # fmt: skip
        later = now
        if marks is not None and t > 0:
            later = passed_on(now, marks, t)


def _weight_gradients(da, x, h, h0, lengths, rows, marks, dU, dW, db, blas):
    """Compute dU, dW and db: sums over all valid steps."""
    T, B, m = da.shape
    flat, states = da.reshape((T * B, m)), h.reshape((T * B, m))
    sum_rows(flat, db, rows=rows)
    if len(x.shape) == 2:
        if x.size:
            add_token_sums(da, x, lengths, dU)
        else:
            fill(dU, 0)
    else:
        sum_outer(flat, x.reshape((T * B, dU.shape[1])), dU, rows=rows, blas=blas)
    if rows is None and marks is None:
        later = flat.rows(min(B, T * B), T * B)
        sum_outer(later, states.rows(0, later.shape[0]), dW, blas=blas)
        if h0 is not None and T > 0:
            sum_outer(flat.rows(0, B), h0.rows(0, B), dW, accumulate=True, blas=blas)
        return
    starts = B if h0 is None else h0.shape[0]
    before = rows_before(rows, T * B, B, starts, marks, da.stream) if da.size else None
    sum_outer(flat, states, dW, rows=rows, before=before, first=h0)


def _first_gradients(da, W, dh_last, lengths, marks, dh0):
    """Compute dh0: W^T times the sum of the da(t) of the steps that begin with its row."""
    if dh0.size == 0:
        return
    multiply_rows(sum_first_steps(da, marks, dh0.shape[0]), W, dh0)
    if dh_last is not None:
        hand_through(dh_last, lengths, dh0, da.shape[0])


def elman_step(x_t, h, U, W, b, activation="tanh", out=None, blas=None):
    """Compute one step h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Arguments are not checked. x_t (B, p) or token ids (B,), h (B, m) the state before it. `out`
    (B, m) receives the state after it and must not overlap h. Returns h(t).
    """
    x_t, h, U, W, b = views(x_t, h, U, W, b)
    B, m = h.shape
    state = empty((B, m), W.dtype, h.stream) if out is None else view(out)
    if state.size:
        set_inputs(x_t.reshape((1, *x_t.shape)), U, b, None, None, state.reshape((1, B, m)), blas)
        code = activation_code(activation)
        multiply_rows(h, W, state, transposed=True, start=state, activation=code)
    return state if out is None else out
