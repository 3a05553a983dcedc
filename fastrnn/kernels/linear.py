"""Output layer o(t) = c + V h(t) on the CPU (MATH.md section 1)."""

import numpy as np

from fastrnn.jit import kernel, part
from fastrnn.kernels.gemm import add_row_sums, add_transposed_product, product
from fastrnn.kernels.rows import full_lengths, one_row, rows_or_zero, shifted_rows
from fastrnn.kernels.weights import flat_buffer, pack_forward, packed_backward, packed_size
from fastrnn.results import LinearGrads
from fastrnn.simd import flush_subnormals, restore_subnormals
from fastrnn.simd.packing import panel_count

__all__ = ["linear_backward", "linear_forward"]


@kernel
def linear_forward(h, V, c, lengths=None, o=None, work=None):
    """Compute the outputs o(t) = c + V h(t) (MATH.md section 1).

    Arguments are not checked. h (T, B, m) C-contiguous, V (q, m), c (q,), lengths (B,). Buffers,
    overwritten: o (T, B, q), and work for the packed weights: m times q numbers, q
    rounded up to a multiple of 16 (too small a one is not used). Returns o, zero in padding.
    """
    T, B = h.shape[0], h.shape[1]
    outputs = np.empty((T, B, V.shape[0]), V.dtype) if o is None else o
    linear_forward_rows(h, V, c, work, full_lengths(lengths, T, B), outputs, 0, B)
    return outputs


@part
def linear_forward_rows(h, V, c, work, lengths, o, first, last):
    """Do the work of `linear_forward` for the sequences first <= row < last."""
    mode = flush_subnormals()
    T, B, q = o.shape
    m, count = h.shape[2], panel_count(o, q)
    panels = flat_buffer(work, packed_size(V, m, q), V)
    pack_forward(V, 0, count, panels, 0)
    flat, states, bias = o.reshape((T * B, q)), h.reshape((T * B, m)), one_row(c, V)
    rows = rows_or_zero(lengths, o, 0, T, first, last, 0, q)
    zeros = np.zeros(rows.size, np.int64)
    product(states, rows, m, panels, 0, 0, count, bias, zeros, flat, rows)
    restore_subnormals(mode)


@kernel
def linear_backward(do, h, V, lengths=None, dh=None, dV=None, dc=None):
    """Compute dh(t) = V^T do(t), dV = sum do(t) h(t)^T and dc = sum do(t) (MATH.md section 1).

    Arguments are not checked. do (T, B, q) and h (T, B, m) C-contiguous, V (q, m), lengths (B,).
    Buffers, overwritten: dh (T, B, m), dV (q, m), dc (q,). Returns LinearGrads(dh, dV, dc).
    """
    T, B, m = h.shape
    d_h = np.empty(h.shape, V.dtype) if dh is None else dh
    d_V = np.empty(V.shape, V.dtype) if dV is None else dV
    d_c = np.empty(V.shape[0], V.dtype) if dc is None else dc
    valid = full_lengths(lengths, T, B)
    linear_backward_rows(do, V, valid, d_h, 0, B)
    linear_backward_weights(do, h, valid, d_V, d_c, 0, V.shape[0])
    return LinearGrads(d_h, d_V, d_c)


@part
def linear_backward_rows(do, V, lengths, dh, first, last):
    """Compute dh of the sequences first <= row < last."""
    mode = flush_subnormals()
    T, B, m = dh.shape
    q, panels = do.shape[2], packed_backward(V)
    rows = rows_or_zero(lengths, dh, 0, T, first, last, 0, m)
    zeros, nothing = np.zeros(rows.size, np.int64), np.zeros((1, m), dh.dtype)
    gradients, flat = do.reshape((T * B, q)), dh.reshape((T * B, m))
    product(gradients, rows, q, panels, 0, 0, panel_count(dh, m), nothing, zeros, flat, rows)
    restore_subnormals(mode)


@part
def linear_backward_weights(do, h, lengths, dV, dc, first, last):
    """Compute rows first <= i < last of dV and dc."""
    mode = flush_subnormals()
    T, B, q = do.shape
    flat = do.reshape((T * B, q))
    rows = shifted_rows(lengths, T, 0, B, 0)
    dV[first:last] = 0
    add_transposed_product(flat, rows, h.reshape((T * B, h.shape[2])), rows, dV, first, last)
    add_row_sums(flat, rows, dc, first, last)
    restore_subnormals(mode)
