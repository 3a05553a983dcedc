"""What is right: the same results in float64, in NumPy, a whole step or layer at a time.

It lives here so that the yardstick of errors does not move with what it measures.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.peers.cases import Case
from benchmarks.peers.inputs import Inputs, tdnn_sums

__all__ = ["expected_results", "largest_error"]

# Results smaller than this (vanished gradients) are compared with it: float32 may call them 0.
_LEAST_NORM = 1e-30

Results = dict[str, Any]


def expected_results(case: Case, inputs: Inputs) -> Results:
    """Return what every contender must find, by name: h and h_last, or loss and gradients."""
    floats = {
        name: array.astype(np.float64)
        for name, array in vars(inputs).items()
        if array is not None and array.dtype == case.dtype
    }
    a = replace(inputs, **floats)
    if case.group == "tdnn":
        return _tdnn(case, a)
    if case.group == "step":
        h = a.h0 * 0
        for _ in range(5):
            h = np.tanh(a.b + a.x[0] @ a.U.T + h @ a.W.T)
        return {"h": h}
    return _jordan(case, a) if case.group == "jordan" else _elman(case, a)


def _elman(case: Case, a: Inputs) -> Results:
    T, B = a.x.shape[:2]
    lengths = np.full(B, T) if a.lengths is None else a.lengths
    valid = (np.arange(T)[:, None] < lengths)[:, :, None]
    projected = a.x @ a.U.T + a.b
    states, h = np.empty((T + 1, B, case.m)), a.h0
    states[0] = h
    for t in range(T):
        h = states[t + 1] = np.where(valid[t], np.tanh(projected[t] + h @ a.W.T), h)
    if case.direction == "F":
        return {"h": states[1:] * valid, "h_last": h}

    last_only = case.group == "vanishing"
    outputs_of = h[None] if last_only else states[1:]
    loss, do = _cross_entropy(outputs_of @ a.V.T + a.c, a.targets, 1.0 if last_only else valid)
    dh = np.zeros((T, B, case.m))
    dh[-len(do) :] = do @ a.V
    da, d = np.zeros((T, B, case.m)), np.zeros((B, case.m))
    for t in range(T - 1, -1, -1):
        da[t] = np.where(valid[t], (1 - states[t + 1] ** 2) * (dh[t] + d), 0)
        d = np.where(valid[t], da[t] @ a.W, d)
    return {
        "loss": loss,
        "dx": da @ a.U,
        "dh0": d,
        "dU": _outer(da, a.x),
        "dW": _outer(da, states[:-1]),
        "db": da.sum((0, 1)),
        "dV": _outer(do, outputs_of),
        "dc": do.sum((0, 1)),
    }


def _jordan(case: Case, a: Inputs) -> Results:
    T, zero = len(a.x), np.zeros((1, a.x.shape[1], case.q))
    projected = a.x @ a.U.T + a.b
    if case.direction == "F":
        z, states, outputs = zero[0], [], []
        for t in range(T):
            states.append(np.tanh(projected[t] + z @ a.W.T))
            outputs.append(states[-1] @ a.V.T + a.c)
            z = np.exp(outputs[-1] - outputs[-1].max(-1, keepdims=True))
            z /= z.sum(-1, keepdims=True)
        return {"h": np.stack(states), "o": np.stack(outputs)}
    z = np.concatenate([zero, np.eye(case.q)[a.targets[:-1]]])
    h = np.tanh(projected + z @ a.W.T)
    loss, do = _cross_entropy(h @ a.V.T + a.c, a.targets, 1.0)
    da = (1 - h**2) * (do @ a.V)
    return {
        "loss": loss,
        "dx": da @ a.U,
        "dU": _outer(da, a.x),
        "dW": _outer(da, z),
        "db": da.sum((0, 1)),
        "dV": _outer(do, h),
        "dc": do.sum((0, 1)),
    }


def _cross_entropy(o: Any, targets: Any, valid: Any) -> tuple[float, Any]:
    """Return the sum over valid steps, and its gradient in o."""
    log_p = o - o.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    hit = np.arange(o.shape[-1]) == targets[..., None]
    return -float((log_p * hit * valid).sum()), (np.exp(log_p) - hit) * valid


def _outer(left: Any, right: Any) -> Any:
    """Return the sum over steps and sequences of left right^T."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def _tdnn(case: Case, a: Inputs) -> Results:
    frames = len(a.dh)
    starts = [offset - min(case.offsets) for offset in case.offsets]
    h = np.maximum(tdnn_sums(a.x, a.W, a.b, case.offsets), 0)
    if case.direction == "F":
        return {"h": h}
    da, dx = a.dh * (h > 0), np.zeros_like(a.x)
    for W, start in zip(a.W, starts, strict=True):
        dx[start : start + frames] += da @ W
    dW = np.stack([_outer(da, a.x[start : start + frames]) for start in starts])
    return {"dx": dx, "dW": dW, "db": da.sum((0, 1))}


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
