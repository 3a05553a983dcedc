"""Matrix products over listed rows: the inner loops of every kernel.

The kernels of this library are all made of two products. Both take lists of row numbers, so that
a shift in time, a stride, a window's edge or a sequence that has ended is only another list.

Each element is a chain of fused multiply-adds in one fixed order, whatever the blocking. The loops
are blocked four by four: a row of `b` that was loaded serves four rows of the result, and a row
of the result that was loaded takes four steps of the chain.
"""

import numpy as np

from fastrnn.jit import kernel
from fastrnn.simd import fma

__all__ = ["CHUNK", "add_product", "add_row_sums", "add_transposed_product"]

# Rows of one partial sum: a single running sum over very many rows loses float32 digits.
CHUNK = 256


@kernel
def add_product(a, a_rows, b, c, c_rows):
    """Add to row c_rows[i] of c the product of row a_rows[i] of a with the matrix b, for all i.

    a (., K), b (K, N), c (., N). Where `c_rows` repeats a row, the order of its sums, so its bits,
    depend on how the rows fall into groups of four.
    """
    n = a_rows.size
    i = 0
    while i + 4 <= n:
        _add_four_rows(
            a, a_rows[i], a_rows[i + 1], a_rows[i + 2], a_rows[i + 3],
            b, c, c_rows[i], c_rows[i + 1], c_rows[i + 2], c_rows[i + 3],
        )  # fmt: skip
        i += 4
    while i < n:
        _add_one_row(a, a_rows[i], b, c, c_rows[i])
        i += 1


@kernel
def _add_four_rows(a, i0, i1, i2, i3, b, c, j0, j1, j2, j3):
    depth, width = b.shape
    k = 0
    while k + 4 <= depth:
        a00, a01, a02, a03 = a[i0, k], a[i0, k + 1], a[i0, k + 2], a[i0, k + 3]
        a10, a11, a12, a13 = a[i1, k], a[i1, k + 1], a[i1, k + 2], a[i1, k + 3]
        a20, a21, a22, a23 = a[i2, k], a[i2, k + 1], a[i2, k + 2], a[i2, k + 3]
        a30, a31, a32, a33 = a[i3, k], a[i3, k + 1], a[i3, k + 2], a[i3, k + 3]
        for j in range(width):
            b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
            c[j0, j] = fma(a03, b3, fma(a02, b2, fma(a01, b1, fma(a00, b0, c[j0, j]))))
            c[j1, j] = fma(a13, b3, fma(a12, b2, fma(a11, b1, fma(a10, b0, c[j1, j]))))
            c[j2, j] = fma(a23, b3, fma(a22, b2, fma(a21, b1, fma(a20, b0, c[j2, j]))))
            c[j3, j] = fma(a33, b3, fma(a32, b2, fma(a31, b1, fma(a30, b0, c[j3, j]))))
        k += 4
    while k < depth:
        a00, a10, a20, a30 = a[i0, k], a[i1, k], a[i2, k], a[i3, k]
        for j in range(width):
            c[j0, j] = fma(a00, b[k, j], c[j0, j])
            c[j1, j] = fma(a10, b[k, j], c[j1, j])
            c[j2, j] = fma(a20, b[k, j], c[j2, j])
            c[j3, j] = fma(a30, b[k, j], c[j3, j])
        k += 1


@kernel
def _add_one_row(a, i0, b, c, j0):
    depth, width = b.shape
    k = 0
    while k + 4 <= depth:
        a0, a1, a2, a3 = a[i0, k], a[i0, k + 1], a[i0, k + 2], a[i0, k + 3]
        for j in range(width):
            c[j0, j] = fma(
                a3,
                b[k + 3, j],
                fma(a2, b[k + 2, j], fma(a1, b[k + 1, j], fma(a0, b[k, j], c[j0, j]))),
            )
        k += 4
    while k < depth:
        a0 = a[i0, k]
        for j in range(width):
            c[j0, j] = fma(a0, b[k, j], c[j0, j])
        k += 1


@kernel
def add_transposed_product(a, a_rows, b, b_rows, c, first, last):
    """Add sum over k of outer(a[a_rows[k]], b[b_rows[k]]) to c, for its rows first <= i < last.

    a (., M), b (., N), c (M, N). The sum over k is made of partial sums of `CHUNK` terms each.
    """
    n = a_rows.size
    partial = np.empty((4, c.shape[1]), c.dtype)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        for i in range(first, last, 4):
            rows = min(4, last - i)
            partial[:] = 0
            # A short group at the edge computes spare rows of the sum: they repeat its last one.
            i1, i2, i3 = min(i + 1, last - 1), min(i + 2, last - 1), min(i + 3, last - 1)
            _add_outer(a, a_rows, i, i1, i2, i3, b, b_rows, partial, start, stop)
            for r in range(rows):
                for j in range(c.shape[1]):
                    c[i + r, j] += partial[r, j]


@kernel
def _add_outer(a, a_rows, i0, i1, i2, i3, b, b_rows, partial, start, stop):
    width = partial.shape[1]
    k = start
    while k + 4 <= stop:
        k0, k1, k2, k3 = a_rows[k], a_rows[k + 1], a_rows[k + 2], a_rows[k + 3]
        l0, l1, l2, l3 = b_rows[k], b_rows[k + 1], b_rows[k + 2], b_rows[k + 3]
        a00, a01, a02, a03 = a[k0, i0], a[k1, i0], a[k2, i0], a[k3, i0]
        a10, a11, a12, a13 = a[k0, i1], a[k1, i1], a[k2, i1], a[k3, i1]
        a20, a21, a22, a23 = a[k0, i2], a[k1, i2], a[k2, i2], a[k3, i2]
        a30, a31, a32, a33 = a[k0, i3], a[k1, i3], a[k2, i3], a[k3, i3]
        for j in range(width):
            b0, b1, b2, b3 = b[l0, j], b[l1, j], b[l2, j], b[l3, j]
            partial[0, j] = fma(a03, b3, fma(a02, b2, fma(a01, b1, fma(a00, b0, partial[0, j]))))
            partial[1, j] = fma(a13, b3, fma(a12, b2, fma(a11, b1, fma(a10, b0, partial[1, j]))))
            partial[2, j] = fma(a23, b3, fma(a22, b2, fma(a21, b1, fma(a20, b0, partial[2, j]))))
            partial[3, j] = fma(a33, b3, fma(a32, b2, fma(a31, b1, fma(a30, b0, partial[3, j]))))
        k += 4
    while k < stop:
        ka, kb = a_rows[k], b_rows[k]
        a00, a10, a20, a30 = a[ka, i0], a[ka, i1], a[ka, i2], a[ka, i3]
        for j in range(width):
            partial[0, j] = fma(a00, b[kb, j], partial[0, j])
            partial[1, j] = fma(a10, b[kb, j], partial[1, j])
            partial[2, j] = fma(a20, b[kb, j], partial[2, j])
            partial[3, j] = fma(a30, b[kb, j], partial[3, j])
        k += 1


@kernel
def add_row_sums(da, rows, db, first, last):
    """Set elements first <= i < last of db to the sum of the listed rows of da."""
    db[first:last] = 0
    partial = np.zeros(last - first, db.dtype)
    for k in range(rows.size):
        for i in range(first, last):
            partial[i - first] += da[rows[k], i]
        if k % CHUNK == CHUNK - 1 or k == rows.size - 1:
            for i in range(first, last):  # in an array expression, error messages compile too
                db[i] += partial[i - first]
                partial[i - first] = 0
