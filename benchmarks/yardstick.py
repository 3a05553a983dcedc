"""What is right: every forward and backward pass in NumPy, a whole step or layer at a time.

It stands on its own, and lives here, so that the yardstick of errors does not move with what it
measures. Arrays come as float64; their names are those of MATH.md.
"""

from typing import Any

import numpy as np

__all__ = [
    "cross_entropy",
    "elman",
    "elman_backward",
    "jordan",
    "jordan_backward",
    "largest_error",
    "outer",
    "sigmoid_loss",
    "squared_loss",
    "tdnn",
    "tdnn_backward",
    "tdnn_sums",
    "valid_steps",
]

# Results smaller than this (vanished gradients) are compared with it: float32 may call them 0.
_LEAST_NORM = 1e-30

Results = dict[str, Any]


def valid_steps(T: int, B: int, lengths: Any) -> Any:
    """Return which steps are no padding (T, B, 1)."""
    counts = np.full(B, T) if lengths is None else lengths
    return (np.arange(T)[:, None] < counts)[:, :, None]


def elman(x: Any, U: Any, W: Any, b: Any, h0: Any, lengths: Any = None) -> tuple[Any, Any]:
    """Return the states (T + 1, B, m), h0 first, padding repeating the last; and h_last."""
    T, B = x.shape[:2]
    valid, projected = valid_steps(T, B, lengths), x @ U.T + b
    states, h = np.empty((T + 1, B, len(U))), h0
    states[0] = h
    for t in range(T):
        h = states[t + 1] = np.where(valid[t], np.tanh(projected[t] + h @ W.T), h)
    return states, h


def elman_backward(dh: Any, x: Any, states: Any, U: Any, W: Any, lengths: Any = None) -> Results:
    """Return the gradients in x, h0, U, W and b, given that in the states after h0."""
    valid = valid_steps(*x.shape[:2], lengths)
    da, d = np.zeros(dh.shape), np.zeros(dh.shape[1:])
    for t in range(len(dh) - 1, -1, -1):
        da[t] = np.where(valid[t], (1 - states[t + 1] ** 2) * (dh[t] + d), 0)
        d = np.where(valid[t], da[t] @ W, d)
    return {
        "dx": da @ U,
        "dh0": d,
        "dU": outer(da, x),
        "dW": outer(da, states[:-1]),
        "db": da.sum((0, 1)),
    }


def jordan(x: Any, U: Any, W: Any, b: Any, V: Any, c: Any, y: Any = None) -> Results:
    """Return h, o and z, what each step was fed: the class y(t-1), or softmax(o(t-1)) without y."""
    T, B = x.shape[:2]
    h, o = np.empty((T, B, len(U))), np.empty((T, B, len(V)))
    z = np.zeros((T, B, len(V)))
    for t in range(T):
        if t:
            z[t] = _softmax(o[t - 1]) if y is None else y[t - 1][:, None] == np.arange(len(V))
        h[t] = np.tanh(x[t] @ U.T + b + z[t] @ W.T)
        o[t] = h[t] @ V.T + c
    return {"h": h, "o": o, "z": z}


def jordan_backward(
    do: Any, x: Any, state: Results, U: Any, W: Any, V: Any, y: Any = None
) -> Results:
    """Return the gradients in x, z0, U, W, b, V and c, given that in o."""
    h, z = state["h"], state["z"]
    total, da, dz = np.array(do), np.empty(h.shape), np.zeros(do.shape[1:])
    for t in range(len(x) - 1, -1, -1):
        if y is None and t < len(x) - 1:
            p = z[t + 1]
            total[t] += p * (dz - (p * dz).sum(-1, keepdims=True))
        da[t] = (1 - h[t] ** 2) * (total[t] @ V)
        dz = da[t] @ W
    return {
        "dx": da @ U,
        "dz0": dz,
        "dU": outer(da, x),
        "dW": outer(da, z),
        "db": da.sum((0, 1)),
        "dV": outer(total, h),
        "dc": total.sum((0, 1)),
    }


def tdnn_sums(x: Any, W: Any, b: Any, offsets: tuple[int, ...]) -> Any:
    """Return b + sum_j W_j x(t + k_j), before the activation, in the arrays' dtype."""
    frames = len(x) - max(offsets) + min(offsets)
    starts = [offset - min(offsets) for offset in offsets]
    return b + sum(x[s : s + frames] @ W_j.T for W_j, s in zip(W, starts, strict=True))


def tdnn(x: Any, W: Any, b: Any, offsets: tuple[int, ...]) -> Any:
    """Return h with relu and valid padding."""
    return np.maximum(tdnn_sums(x, W, b, offsets), 0)


def tdnn_backward(dh: Any, x: Any, h: Any, W: Any, offsets: tuple[int, ...]) -> Results:
    """Return the gradients in x, W and b, given that in h."""
    starts = [offset - min(offsets) for offset in offsets]
    da, dx, frames = dh * (h > 0), np.zeros_like(x), len(dh)
    for W_j, start in zip(W, starts, strict=True):
        dx[start : start + frames] += da @ W_j
    dW = np.stack([outer(da, x[start : start + frames]) for start in starts])
    return {"dx": dx, "dW": dW, "db": da.sum((0, 1))}


def cross_entropy(o: Any, targets: Any, valid: Any = 1.0) -> tuple[float, Any]:
    """Return the softmax cross entropy, summed over valid steps, and its gradient in o."""
    log_p = o - o.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    hit = np.arange(o.shape[-1]) == targets[..., None]
    return -float((log_p * hit * valid).sum()), (np.exp(log_p) - hit) * valid


def sigmoid_loss(o: Any, targets: Any) -> tuple[float, Any]:
    """Return the sigmoid cross entropy, summed over all steps, and its gradient in o."""
    return float((np.logaddexp(0, o) - targets * o).sum()), 1 / (1 + np.exp(-o)) - targets


def squared_loss(o: Any, targets: Any) -> tuple[float, Any]:
    """Return the squared error, summed over all steps, and its gradient in o."""
    return float(((o - targets) ** 2).sum()), 2 * (o - targets)


def largest_error(got: Results, expected: Results, tolerance: float) -> float:
    """Return the largest norm-wise error of the results.

    Parameters
    ----------
    got, expected : dict
        Results by name; `got` may have fewer.
    tolerance : float
        What an error must not exceed.

    Raises
    ------
    ValueError
        If an error does, or is NaN, or shapes or names disagree; the message names the result.

    Examples
    --------
    >>> largest_error({"h": np.array([1.0, 0.0])}, {"h": np.array([1.0, 0.5])}, 1.0).__round__(4)
    0.4472
    """
    if not got or not got.keys() <= expected.keys():
        raise ValueError(f"expected results among {sorted(expected)}, got {sorted(got)}")
    largest = 0.0
    for name, value in got.items():
        value, wanted = np.asarray(value, np.float64), np.asarray(expected[name])
        if value.shape != wanted.shape:
            raise ValueError(f"{name}: expected shape {wanted.shape}, got {value.shape}")
        norm = max(float(np.linalg.norm(wanted)), _LEAST_NORM)
        error = float(np.linalg.norm(value - wanted)) / norm
        if not error <= tolerance:
            raise ValueError(f"{name}: expected an error of at most {tolerance:g}, got {error:.2g}")
        largest = max(largest, error)
    return largest


def _softmax(o: Any) -> Any:
    p = np.exp(o - o.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def outer(left: Any, right: Any) -> Any:
    """Return the sum over steps and sequences of left right^T."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])
