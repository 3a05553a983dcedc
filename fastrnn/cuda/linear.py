"""Output layer o(t) = c + V h(t) on the GPU (MATH.md section 1)."""

from typing import Any

from fastrnn.cuda.gemm import multiply_rows, sum_outer, sum_rows
from fastrnn.cuda.launching import DeviceArray, empty, view
from fastrnn.cuda.rows import Rows, alive_rows, order_by_length, zero_padding
from fastrnn.results import LinearGrads

__all__ = ["linear_backward", "linear_forward"]


def linear_forward(
    h: Any, V: Any, c: Any, lengths: Any = None, o: Any = None, work: Any = None, blas: Any = None
) -> Any:
    """Compute the outputs o(t) = c + V h(t) (MATH.md section 1).

    Arguments are not checked. h (T, B, m), V (q, m), c (q,), lengths (B,), int64. Buffer,
    overwritten: o (T, B, q); `work` is not needed here. blas: see `fastrnn.cuda.gemm`. Returns o,
    zero in padding.
    """
    h, V, c = view(h), view(V), view(c)
    T, B, m = h.shape
    q = V.shape[0]
    outputs = empty((T, B, q), V.dtype, h.stream) if o is None else o
    rows = _rows(lengths, T)
    if rows is not None:
        zero_padding(view(outputs), view(lengths))
    states, flat = h.reshape((T * B, m)), view(outputs).reshape((T * B, q))
    multiply_rows(states, V, flat, transposed=True, bias=c, rows=rows, blas=blas)
    return outputs


def linear_backward(
    do: Any, h: Any, V: Any, lengths: Any = None, dh: Any = None, dV: Any = None, dc: Any = None,
    blas: Any = None,
) -> LinearGrads:  # fmt: skip
    """Compute dh(t) = V^T do(t), dV = sum do(t) h(t)^T and dc = sum do(t) (MATH.md section 1).

    Arguments are not checked. do (T, B, q) and h (T, B, m), V (q, m), lengths (B,), int64. Buffers,
    overwritten: dh (T, B, m), dV (q, m), dc (q,). blas: see `fastrnn.cuda.gemm`. Returns
    LinearGrads(dh, dV, dc).
    """
    do, h, V = view(do), view(h), view(V)
    T, B, m = h.shape
    q = V.shape[0]
    d_h: Any = empty(h.shape, V.dtype, h.stream) if dh is None else dh
    d_V: Any = empty(V.shape, V.dtype, h.stream) if dV is None else dV
    d_c: Any = empty(q, V.dtype, h.stream) if dc is None else dc
    rows = _rows(lengths, T)
    if rows is not None:
        zero_padding(view(d_h), view(lengths))
    gradients, states = do.reshape((T * B, q)), h.reshape((T * B, m))
    multiply_rows(gradients, V, view(d_h).reshape((T * B, m)), rows=rows, blas=blas)
    sum_outer(gradients, states, view(d_V), rows=rows, blas=blas)
    sum_rows(gradients, view(d_c), rows=rows)
    return LinearGrads(d_h, d_V, d_c)


def _rows(lengths: DeviceArray | None, T: int) -> Rows | None:
    """Return the list of the rows alive, or None where all are."""
    if lengths is None:
        return None
    given = view(lengths)
    return alive_rows(given, order_by_length(given, T), T)
