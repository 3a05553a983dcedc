"""Output-to-hidden (Jordan) network in NumPy (MATH.md section 2)."""

from typing import Any

import numpy as np

from fastrnn.reference.activations import activate, slope
from fastrnn.reference.buffers import result
from fastrnn.reference.elman import project
from fastrnn.reference.feedback import feed_back, feedback_gradient
from fastrnn.results import JordanGrads, JordanState

__all__ = ["jordan_backward", "jordan_forward", "jordan_step"]


def jordan_forward(
    x: Any, U: Any, W: Any, b: Any, V: Any, c: Any, y: Any = None, z0: Any = None,
    lengths: Any = None, activation: str = "tanh", feedback: str = "softmax", forced: Any = None,
    draws: Any = None, h: Any = None, o: Any = None, z: Any = None, work: Any = None,
    resets: Any = None,
) -> JordanState:  # fmt: skip
    """Compute h(t) = f(b + W z(t) + U x(t)) and o(t) = c + V h(t) (MATH.md section 2).

    Shapes as in `fastrnn.kernels.jordan_forward`; `work` is not needed here.
    """
    T, B = x.shape[:2]
    if feedback == "sample" and draws is None:
        raise ValueError("draws: expected numbers (T, B) with feedback 'sample'")
    floats = [array for array in (x, y, z0) if array is not None and array.dtype.kind not in "iu"]
    dtype = np.result_type(U, W, b, V, c, *floats)
    states, outputs = np.zeros((T, B, len(b)), dtype), np.zeros((T, B, len(c)), dtype)
    fed = np.zeros(outputs.shape, dtype)
    for t in range(T):
        for i in range(B):
            if lengths is None or t < lengths[i]:
                source = _source(t, i, y, forced, resets)
                if source == "output":
                    draw = None if draws is None else draws[t, i]
                    fed[t, i] = feed_back(feedback, outputs[t - 1, i], draw)
                else:
                    fed[t, i] = _given(source, t, i, len(c), y, z0)
                a = b + W @ fed[t, i] + project(U, x[t, i])
                states[t, i] = activate(activation, a)
                outputs[t, i] = c + V @ states[t, i]
    return JordanState(result(h, states), result(o, outputs), result(z, fed))


def _source(t: int, i: int, y: Any, forced: Any, resets: Any) -> str:
    """Return what step t of sequence i is fed: "z0", "y" or its previous "output"."""
    if t == 0 or (resets is not None and resets[t, i]):
        return "z0"
    if y is not None and (forced is None or forced[t, i]):
        return "y"
    return "output"


def _given(source: str, t: int, i: int, q: int, y: Any, z0: Any) -> Any:
    """Return what a step is fed that is not fed its own previous output."""
    if source == "z0":
        return np.zeros(q) if z0 is None else z0[i]
    return y[t - 1, i] if y.ndim == 3 else (np.arange(q) == y[t - 1, i]).astype(float)


def jordan_backward(
    do: Any, x: Any, h: Any, o: Any, U: Any, W: Any, V: Any, y: Any = None, z: Any = None,
    z0: Any = None, lengths: Any = None, activation: str = "tanh", feedback: str = "softmax",
    forced: Any = None, dx: Any = None, dU: Any = None, dW: Any = None, db: Any = None,
    dV: Any = None, dc: Any = None, dz0: Any = None, work: Any = None, resets: Any = None,
) -> JordanGrads:  # fmt: skip
    """Back-propagate through time: gradients from do = dL/do (MATH.md section 2).

    Shapes as in `fastrnn.kernels.jordan_backward`; `work` is not needed here.
    """
    T, B, m = h.shape
    q = len(V)
    if z is None and feedback in ("argmax", "sample") and (y is None or forced is not None):
        raise ValueError("z: expected what the steps were fed, with feedback of classes")
    dtype = np.result_type(do, h, o, U, W, V)
    d_input = None if x.ndim == 2 else np.zeros(x.shape, dtype)
    d_U, d_W, d_b = np.zeros(U.shape, dtype), np.zeros(W.shape, dtype), np.zeros(m, dtype)
    d_V, d_c, d_z0 = np.zeros(V.shape, dtype), np.zeros(q, dtype), np.zeros((B, q), dtype)
    d_output = do.astype(dtype)
    for t in range(T - 1, -1, -1):
        for i in range(B):
            if lengths is not None and t >= lengths[i]:
                continue
            da = slope(activation, h[t, i]) * (V.T @ d_output[t, i])
            d_V += np.outer(d_output[t, i], h[t, i])
            d_c += d_output[t, i]
            d_b += da
            if d_input is None:
                d_U[:, x[t, i]] += da
            else:
                d_U += np.outer(da, x[t, i])
                d_input[t, i] = U.T @ da
            source = _source(t, i, y, forced, resets)
            if source != "output":
                fed = _given(source, t, i, q, y, z0)
            elif z is not None:
                fed = z[t, i]
            else:
                fed = feed_back(feedback, o[t - 1, i])
            d_W += np.outer(da, fed)
            if source == "z0":
                d_z0[i] += W.T @ da
            elif source == "output":
                d_output[t - 1, i] += feedback_gradient(feedback, fed, W.T @ da)
    return JordanGrads(
        None if d_input is None else result(dx, d_input),
        result(dU, d_U), result(dW, d_W), result(db, d_b),
        result(dV, d_V), result(dc, d_c), result(dz0, d_z0),
    )  # fmt: skip


def jordan_step(
    x_t: Any, z: Any, U: Any, W: Any, b: Any, V: Any, c: Any, activation: str = "tanh",
    feedback: str = "softmax", draws: Any = None, h: Any = None, o: Any = None, out: Any = None,
) -> JordanState:  # fmt: skip
    """Compute one step's h(t) and o(t), and z(t+1), what the next step is fed (section 2).

    Shapes as in `fastrnn.kernels.jordan_step`.
    """
    if feedback == "sample" and draws is None:
        raise ValueError("draws: expected numbers (B,) with feedback 'sample'")
    rows = range(z.shape[0])
    states = [activate(activation, b + W @ z[i] + project(U, x_t[i])) for i in rows]
    outputs = [c + V @ state for state in states]
    fed = [feed_back(feedback, outputs[i], None if draws is None else draws[i]) for i in rows]
    return JordanState(
        result(h, np.reshape(states, (len(z), len(b)))),
        result(o, np.reshape(outputs, z.shape)),
        result(out, np.reshape(fed, z.shape)),
    )
