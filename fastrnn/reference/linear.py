"""Output layer o(t) = c + V h(t) in NumPy (MATH.md section 1)."""

from typing import Any

import numpy as np

from fastrnn.reference.buffers import result
from fastrnn.results import LinearGrads

__all__ = ["linear_backward", "linear_forward"]


def linear_forward(
    h: Any, V: Any, c: Any, lengths: Any = None, o: Any = None, work: Any = None
) -> Any:
    """Compute the outputs o(t) = c + V h(t) (MATH.md section 1).

    Shapes as in `fastrnn.kernels.linear_forward`; `work` is not needed here.
    """
    T, B, _ = h.shape
    outputs = np.zeros((T, B, V.shape[0]), np.result_type(h, V, c))
    for t in range(T):
        for i in range(B):
            if lengths is None or t < lengths[i]:
                outputs[t, i] = c + V @ h[t, i]
    return result(o, outputs)


def linear_backward(
    do: Any, h: Any, V: Any, lengths: Any = None, dh: Any = None, dV: Any = None, dc: Any = None
) -> LinearGrads:
    """Compute dh(t) = V^T do(t), dV = sum do(t) h(t)^T and dc = sum do(t) (MATH.md section 1).

    Shapes as in `fastrnn.kernels.linear_backward`.
    """
    T, B, _ = h.shape
    dtype = np.result_type(do, h, V)
    d_h, d_V, d_c = np.zeros(h.shape, dtype), np.zeros(V.shape, dtype), np.zeros(len(V), dtype)
    for t in range(T):
        for i in range(B):
            if lengths is None or t < lengths[i]:
                d_h[t, i] = V.T @ do[t, i]
                d_V += np.outer(do[t, i], h[t, i])
                d_c += do[t, i]
    return LinearGrads(result(dh, d_h), result(dV, d_V), result(dc, d_c))
