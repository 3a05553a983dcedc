"""Arrays of a case: the same for every contender."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.cases import Case

__all__ = ["Inputs", "make_inputs", "tdnn_sums"]


@dataclass
class Inputs:
    """Arrays of one case, time first, in its dtype; those that it has no use for are None."""

    x: Any
    """(T, B, p)"""
    W: Any
    """(m, m), of a TDNN (C, m, p), of an output-to-hidden network (m, q)"""
    b: Any
    """(m,)"""
    U: Any = None
    """(m, p)"""
    h0: Any = None
    """(B, m)"""
    V: Any = None
    """(q, m)"""
    c: Any = None
    """(q,)"""
    targets: Any = None
    """(T, B), or (1, B) where the loss is on the last step only"""
    lengths: Any = None
    """(B,)"""
    dh: Any = None
    """(T_out, B, m), of a TDNN"""


def make_inputs(case: Case) -> Inputs:
    """Return the arrays of a case, the same at every call.

    W has a spectral radius below 1 (one of 1 where gradients shall vanish only by `case.scale`): a
    larger one amplifies every rounding, and errors would tell nothing.
    """
    rng = np.random.default_rng(1)
    B, T, p, m, q = case.B, case.T, case.p, case.m, case.q

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(case.dtype)

    x, b = normal(T, B, p), normal(m, scale=0.1)
    if case.group == "tdnn":
        taps = len(case.offsets)
        frames = T - max(case.offsets) + min(case.offsets)
        W = normal(taps, m, p, scale=(taps * p) ** -0.5)
        # At relu's edge the last bit decides whether a gradient passes: it tells nothing of errors.
        off_edge = np.abs(tdnn_sums(x, W, b, case.offsets)) > 1e-4
        return Inputs(x, W, b, dh=normal(frames, B, m) * off_edge)
    if case.group == "vanishing":
        orthogonal = np.linalg.qr(rng.standard_normal((m, m)))[0]
        W = np.ascontiguousarray(case.scale * orthogonal, case.dtype)
    else:
        W = normal(m, q if case.group == "jordan" else m, scale=0.8 * m**-0.5)
    steps = 1 if case.group == "vanishing" else T
    return Inputs(
        x, W, b,
        U=normal(m, p, scale=0.5 * p**-0.5),
        h0=normal(B, m, scale=0.5),
        V=normal(q, m, scale=m**-0.5) if q else None,
        c=normal(q, scale=0.1) if q else None,
        targets=rng.integers(0, q, (steps, B)) if q else None,
        lengths=case.lengths,
    )  # fmt: skip


def tdnn_sums(x: Any, W: Any, b: Any, offsets: tuple[int, ...]) -> Any:
    """Return b + sum_j W_j x(t + k_j), before the activation, in the arrays' dtype."""
    frames = len(x) - max(offsets) + min(offsets)
    starts = [offset - min(offsets) for offset in offsets]
    return b + sum(x[s : s + frames] @ W_j.T for W_j, s in zip(W, starts, strict=True))
