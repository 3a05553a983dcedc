"""Hidden-to-hidden (Elman) network in NumPy (MATH.md section 1)."""

from typing import Any

import numpy as np

from fastrnn.reference.activations import activate, slope
from fastrnn.reference.buffers import result
from fastrnn.results import ElmanGrads, ElmanState

__all__ = ["elman_backward", "elman_forward", "elman_step", "project"]


def elman_forward(
    x: Any, U: Any, W: Any, b: Any, h0: Any = None, lengths: Any = None, activation: str = "tanh",
    h: Any = None, h_last: Any = None, work: Any = None, resets: Any = None,
) -> ElmanState:  # fmt: skip
    """Compute the hidden states h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Shapes as in `fastrnn.kernels.elman_forward`; `work` is not needed here.
    """
    T, B = x.shape[:2]
    dtype = np.result_type(U, W, b, *([] if x.ndim == 2 else [x]), *([] if h0 is None else [h0]))
    states = np.zeros((T, B, W.shape[0]), dtype)
    starts = np.zeros((B, W.shape[0]), dtype) if h0 is None else h0.astype(dtype)
    state = starts[:B].copy()
    for t in range(T):
        for i in range(B):
            if lengths is None or t < lengths[i]:
                if resets is not None and resets[t, i]:
                    state[i] = starts[len(starts) - B + i]
                a = b + W @ state[i] + project(U, x[t, i])
                state[i] = states[t, i] = activate(activation, a)
    return ElmanState(result(h, states), result(h_last, state))


def project(U: Any, x: Any) -> Any:
    """Return U x; for a token id x that is column x of U."""
    return U @ x if np.ndim(x) else U[:, x]


def elman_backward(
    dh: Any, x: Any, h: Any, U: Any, W: Any, h0: Any = None, dh_last: Any = None,
    lengths: Any = None, activation: str = "tanh", dx: Any = None, dU: Any = None, dW: Any = None,
    db: Any = None, dh0: Any = None, work: Any = None, resets: Any = None,
) -> ElmanGrads:  # fmt: skip
    """Back-propagate through time: gradients from dh = dL/dh and dh_last (MATH.md section 1).

    Shapes as in `fastrnn.kernels.elman_backward`; `work` is not needed here.
    """
    T, B, m = h.shape
    dtype = np.result_type(dh, h, U, W)
    d_input = None if x.ndim == 2 else np.zeros(x.shape, dtype)
    d_U, d_W, d_b = np.zeros(U.shape, dtype), np.zeros(W.shape, dtype), np.zeros(m, dtype)
    d_state = np.zeros((B, m), dtype) if dh_last is None else dh_last.astype(dtype)
    starts = np.zeros((B, m), dtype) if h0 is None else h0
    d_starts = np.zeros(starts.shape, dtype)
    for t in range(T - 1, -1, -1):
        for i in range(B):
            if lengths is not None and t >= lengths[i]:
                continue
            da = slope(activation, h[t, i]) * (dh[t, i] + d_state[i])
            reset = resets is not None and resets[t, i]
            start = len(starts) - B + i if reset else i
            h_before = h[t - 1, i] if t > 0 and not reset else starts[start]
            d_b += da
            d_W += np.outer(da, h_before)
            if d_input is None:
                d_U[:, x[t, i]] += da
            else:
                d_U += np.outer(da, x[t, i])
                d_input[t, i] = U.T @ da
            d_state[i] = W.T @ da
            if reset:
                d_starts[start] += d_state[i]
                d_state[i] = 0
    d_starts[:B] += d_state
    return ElmanGrads(
        None if d_input is None else result(dx, d_input),
        result(dU, d_U), result(dW, d_W), result(db, d_b), result(dh0, d_starts),
    )  # fmt: skip


def elman_step(
    x_t: Any, h: Any, U: Any, W: Any, b: Any, activation: str = "tanh", out: Any = None
) -> Any:
    """Compute one step h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Shapes as in `fastrnn.kernels.elman_step`.
    """
    rows = [b + W @ h[i] + project(U, x_t[i]) for i in range(h.shape[0])]
    return result(out, activate(activation, np.reshape(rows, h.shape)))
