"""Output-to-hidden (Jordan) network on the GPU (MATH.md section 2).

A step that is fed a target, or z0, waits for no other: without free running all of a network's
steps are three products. Free running goes step by step.
"""

from fastrnn.cuda.activations import activation_code
from fastrnn.cuda.elman import alive_at, set_inputs, views
from fastrnn.cuda.ends import begin_gradients, sum_first_steps
from fastrnn.cuda.feedback import (
    add_feedback_gradients,
    feed_rows,
    feedback_code,
    narrow_draws,
)
from fastrnn.cuda.gemm import multiply_rows, sum_outer, sum_rows
from fastrnn.cuda.inputs import add_token_sums
from fastrnn.cuda.launching import empty, fill, view
from fastrnn.cuda.rows import alive_rows, order_by_length, zero_padding
from fastrnn.results import JordanGrads, JordanState

__all__ = ["jordan_backward", "jordan_forward", "jordan_step"]


def jordan_forward(
    x, U, W, b, V, c, y=None, z0=None, lengths=None, activation="tanh", feedback="softmax",
    forced=None, draws=None, h=None, o=None, z=None, work=None, resets=None, blas=None,
):  # fmt: skip
    """Compute h(t) = f(b + W z(t) + U x(t)) and o(t) = c + V h(t) (MATH.md section 2).

    Arguments are not checked. All are device arrays, C-contiguous: x (T, B, p) or integer token ids
    (T, B), U (m, p), W (m, q), b (m,), V (q, m), c (q,), y (T, B, q) or int64 classes (T, B), z0
    (B, q), lengths int64 (B,); forced and resets bool (T, B). Where draws float64 (T, B), in
    [0, 1), are those of "sample" for z(t). Buffers, overwritten: h (T, B, m), o and z (T, B, q);
    `work` is not needed here. blas: see `gemm`. Returns JordanState(h, o, z), z being what each
    step was fed.
    """
    x, U, W, b, V, c, y, z0, lengths = views(x, U, W, b, V, c, y, z0, lengths)
    (T, B), (m, q), stream = x.shape[:2], W.shape, x.stream
    code, back = activation_code(activation), feedback_code(feedback)
    if back == 4 and (draws is None or view(draws).size < T * B):
        raise ValueError("draws: expected numbers (T, B) with feedback 'sample'")
    states = empty((T, B, m), W.dtype, stream) if h is None else view(h)
    outputs = empty((T, B, q), W.dtype, stream) if o is None else view(o)
    fed = empty((T, B, q), W.dtype, stream) if z is None else view(z)
    result = JordanState(
        states if h is None else h, outputs if o is None else o, fed if z is None else z
    )
    if T * B == 0:
        return result
    order = None if lengths is None else order_by_length(lengths, T)
    set_inputs(x, U, b, lengths, order, states, blas)
    if lengths is not None:
        zero_padding(outputs, lengths)
    given = {
        "z0": z0, "y": y, "forced": _flat(forced), "marks": _flat(resets), "lengths": lengths,
    }  # fmt: skip
    if y is None or forced is not None:
        numbers = None if draws is None else narrow_draws(view(draws), W.dtype)
        _forward_by_steps(W, V, c, code, back, numbers, order, given, states, outputs, fed)
        return result
    feed_rows(fed, 0, T * B, B, back, **given)
    rows = None if lengths is None else alive_rows(lengths, order, T)
    flat, numbers = states.reshape((T * B, m)), fed.reshape((T * B, q))
    multiply_rows(numbers, W, flat, transposed=True, start=flat, activation=code, rows=rows)
    multiply_rows(
        flat, V, outputs.reshape((T * B, q)), transposed=True, bias=c, rows=rows, blas=blas
    )  # fmt: skip
    return result


def _flat(marks):
    """Return a bool array (T, B) as (T * B,)."""
    if marks is None:
        return None
    array = view(marks)
    return array.reshape((array.size,))


def _forward_by_steps(W, V, c, code, back, draws, order, given, h, o, z):
    """Go through the steps, some of which are fed the output before."""
    T, B, _ = h.shape
    for t in range(T):
        now, output, fed = (a.rows(t, t + 1).reshape((B, a.shape[2])) for a in (h, o, z))
        rows = alive_at(order, t)
        mine = None if draws is None else draws.rows(t * B, t * B + B)
        feed_rows(fed, t * B, B, B, back, o=o, draws=mine, **given)
        multiply_rows(fed, W, now, transposed=True, start=now, activation=code, rows=rows)
        multiply_rows(now, V, output, transposed=True, bias=c, rows=rows)


def jordan_backward(
    do, x, h, o, U, W, V, y=None, z=None, z0=None, lengths=None, activation="tanh",
    feedback="softmax", forced=None, dx=None, dU=None, dW=None, db=None, dV=None, dc=None,
    dz0=None, work=None, resets=None, blas=None,
):  # fmt: skip
    """Back-propagate through time: gradients from do = dL/do (MATH.md section 2).

    Arguments are not checked. do and o (T, B, q), h (T, B, m), z (T, B, q) as `jordan_forward`
    returned it, which "argmax" and "sample" need unless all steps were forced; the rest as there.
    Buffers, overwritten: dx (T, B, p), dU (m, p), dW (m, q), db (m,), dV (q, m), dc (q,), dz0
    (B, q), and work of T*B times m + q numbers, which receives d_a and the whole d_o (too small a
    one is not used). Returns JordanGrads; its dx is None for token ids.
    """
    given = dx, dU, dW, db, dV, dc, dz0
    do, x, h, o, U, W, V, y, z, z0, lengths = views(do, x, h, o, U, W, V, y, z, z0, lengths)
    (T, B, m), q, stream = h.shape, W.shape[1], h.stream
    code, back = activation_code(activation), feedback_code(feedback)
    one_hot, free = back >= 3, y is None or forced is not None
    if z is None and one_hot and free:
        raise ValueError("z: expected what the steps were fed, with feedback of classes")
    shapes = x.shape, U.shape, W.shape, (m,), V.shape, (q,), (B, q)
    made = [
        empty(shape, W.dtype, stream) if buffer is None else view(buffer)
        for shape, buffer in zip(shapes, given, strict=True)
    ]
    if len(x.shape) == 2:
        made[0] = None
    da, whole = _gradient_buffers(work, T, B, m, q, W)
    fed = empty((T, B, q), W.dtype, stream)
    steps = {"forced": _flat(forced), "marks": _flat(resets), "lengths": lengths}
    known = z is not None
    feed_rows(fed, 0, T * B, B, -1 if known else back, o=o, known=z, z0=z0, y=y, **steps)
    order = None if lengths is None or not T * B else order_by_length(lengths, T)
    rows = None if order is None else alive_rows(lengths, order, T)
    if whole.size:
        begin_gradients(do, None, lengths, whole)
    if free and not one_hot:
        steps["forced"] = None if y is None else steps["forced"]
        _backward_by_steps(h, W, V, code, back, order, fed, steps, da, whole)
    elif da.size:
        if lengths is not None:
            zero_padding(da, lengths)
        multiply_rows(
            whole.reshape((T * B, q)), V, da.reshape((T * B, m)), activation=code,
            states=h.reshape((T * B, m)), rows=rows,
        )  # fmt: skip
    _gradients(da, whole, x, h, fed, U, W, rows, steps, made, blas)
    return JordanGrads(
        *(result if mine is None or result is None else mine
          for result, mine in zip(made, given, strict=True))
    )  # fmt: skip


def _gradient_buffers(work, T, B, m, q, W):
    """Return room for d_a (T, B, m) and the whole d_o (T, B, q), one behind the other."""
    size, room = T * B * m, None if work is None else view(work)
    if room is None or room.size < size + T * B * q:
        room = empty(size + T * B * q, W.dtype, W.stream)
    flat = room.reshape((room.size,))
    d_o = flat.rows(size, size + T * B * q)
    return flat.rows(0, size).reshape((T, B, m)), d_o.reshape((T, B, q))


def _backward_by_steps(h, W, V, code, back, order, z, steps, da, do):
    """Step back: da(t), and what flows on into do(t-1) where z(t) was an output."""
    T, B, m = da.shape
    q = do.shape[2]
    dz = empty((B, q), W.dtype, da.stream)
    if steps["lengths"] is not None:
        zero_padding(da, steps["lengths"])
    for t in range(T - 1, -1, -1):
        now, states, output = (a.rows(t, t + 1).reshape((B, a.shape[2])) for a in (da, h, do))
        rows = alive_at(order, t)
        multiply_rows(output, V, now, activation=code, states=states, rows=rows)
        if t > 0:
            multiply_rows(now, W, dz, rows=rows)
            add_feedback_gradients(back, z, dz, do, t, **steps)


def _gradients(da, do, x, h, z, U, W, rows, steps, made, blas):
    """Compute all gradients from da and the whole do."""
    dx, dU, dW, db, dV, dc, dz0 = made
    (_, B, m), q, n = da.shape, do.shape[2], da.shape[0] * da.shape[1]
    lengths, flat, outputs = steps["lengths"], da.reshape((n, m)), do.reshape((n, q))
    sum_rows(flat, db, rows=rows)
    sum_rows(outputs, dc, rows=rows)
    sum_outer(outputs, h.reshape((n, m)), dV, rows=rows, blas=blas)
    sum_outer(flat, z.reshape((n, q)), dW, rows=rows, blas=blas)
    if dx is not None:
        frames = x.reshape((n, U.shape[1]))
        sum_outer(flat, frames, dU, rows=rows, blas=blas)
        if rows is not None:
            zero_padding(dx, lengths)
        multiply_rows(flat, U, dx.reshape(frames.shape), rows=rows, blas=blas)
    elif n:
        add_token_sums(da, x, lengths, dU)
    else:
        fill(dU, 0)
    if dz0.size:
        multiply_rows(sum_first_steps(da, steps["marks"], B), W, dz0)


def jordan_step(
    x_t, z, U, W, b, V, c, activation="tanh", feedback="softmax", draws=None,
    h=None, o=None, out=None, blas=None,
):  # fmt: skip
    """Compute one step's h(t) and o(t), and z(t+1), what the next step is fed (section 2).

    Arguments are not checked. x_t (B, p) or token ids (B,), z (B, q) what this step is fed, draws
    (B,) those of "sample". Buffers, overwritten, which must not overlap z: h (B, m), o and out
    (B, q). Returns JordanState(h(t), o(t), z(t+1)).
    """
    x_t, z, U, W, b, V, c = views(x_t, z, U, W, b, V, c)
    (B, q), m = z.shape, W.shape[0]
    code, back = activation_code(activation), feedback_code(feedback)
    if draws is None and back == 4:
        raise ValueError("draws: expected numbers (B,) with feedback 'sample'")
    state = empty((B, m), W.dtype, z.stream) if h is None else view(h)
    output = empty((B, q), W.dtype, z.stream) if o is None else view(o)
    fed = empty((B, q), W.dtype, z.stream) if out is None else view(out)
    if B:
        set_inputs(x_t.reshape((1, *x_t.shape)), U, b, None, None, state.reshape((1, B, m)), blas)
        multiply_rows(z, W, state, transposed=True, start=state, activation=code)
        multiply_rows(state, V, output, transposed=True, bias=c)
        numbers = None if draws is None else narrow_draws(view(draws), W.dtype)
        feed_rows(fed, B, B, B, back, o=output, draws=numbers)  # as step 1 is fed, after 0
    return JordanState(
        state if h is None else h, output if o is None else o, fed if out is None else out
    )
