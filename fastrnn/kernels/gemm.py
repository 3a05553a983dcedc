"""Matrix products over listed rows: what every kernel is made of.

The kernels of this library are all made of two products. Both take lists of row numbers, so that
a shift in time, a stride, a window's edge or a sequence that has ended is only another list.

Both cut the result into the register tiles of `fastrnn.simd.tile`, and so give each element as one
chain of fused multiply-adds that does not depend on how rows, columns and threads were split.
"""

import numpy as np

from fastrnn.jit import part
from fastrnn.simd import lanes
from fastrnn.simd.packing import pack, panel_count, transpose_rows
from fastrnn.simd.tile import (
    MANY_ROWS,
    SOME_ROWS,
    tile_many,
    tile_row,
    tile_row_end,
    tile_some,
)

__all__ = ["CHUNK", "add_product", "add_row_sums", "add_transposed_product"]

# Rows of one partial sum: a single running sum over very many rows loses float32 digits.
CHUNK = 256


@part
def add_product(a, a_rows, depth, panels, start, first_panel, end_panel, c, c_rows):
    """Add to row c_rows[i] of c the product of row a_rows[i] of a with a packed matrix, for all i.

    a (., depth or more) and c (., N) C-contiguous; the matrix (depth, N) packed in `panels` from
    `start` on. Only the columns of panels first_panel <= j < end_panel are computed. No row is
    listed twice in c_rows.
    """
    n = c_rows.size
    if n == 1:
        panel = first_panel
        while panel + 2 < end_panel:
            tile_row(a, a_rows, 0, depth, panels, start, panel, end_panel, c, c_rows)
            panel += 8
        while panel < end_panel:
            tile_row_end(a, a_rows, 0, depth, panels, start, panel, end_panel, c, c_rows)
            panel += 2
        return
    for panel in range(first_panel, end_panel, 2):
        i = 0
        while i < n:
            left = n - i
            if left <= SOME_ROWS or MANY_ROWS < left <= 2 * SOME_ROWS:
                tile_some(a, a_rows, i, depth, panels, start, panel, end_panel, c, c_rows)
                i += SOME_ROWS
            else:
                tile_many(a, a_rows, i, depth, panels, start, panel, end_panel, c, c_rows)
                i += MANY_ROWS


@part
def add_transposed_product(a, a_rows, b, b_rows, c, first, last):
    """Add sum over k of outer(a[a_rows[k]], b[b_rows[k]]) to c, for its rows first <= i < last.

    a (., M), b (., N), c (M, N), all C-contiguous. The sum over k is made of partial sums of
    `CHUNK` terms each.
    """
    step, n = lanes(c), a_rows.size
    depth = min(n, CHUNK)
    count = panel_count(c, c.shape[1])
    panels = np.empty(count * depth * step, c.dtype)
    # Rows half a cache line longer than a power of 2, or all would meet in the same few lines.
    columns = np.empty((last - first, (depth + step - 1) // step * step + step), c.dtype)
    column_rows = np.arange(last - first)
    c_rows = np.arange(first, last)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        transpose_rows(a, a_rows, start, stop, first, last, columns, columns.shape[1])
        pack(b, b_rows, start, stop, 0, count, panels, 0)
        add_product(columns, column_rows, stop - start, panels, 0, 0, count, c, c_rows)


@part
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
