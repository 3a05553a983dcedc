"""Matrix products over listed rows: what every kernel is made of.

The kernels of this library are all made of two products. Both take lists of row numbers, so that
a shift in time, a stride, a window's edge or a sequence that has ended is only another list.

Both cut the result into the register tiles of `fastrnn.simd.tile`, and so give each element as one
chain of fused multiply-adds that does not depend on how rows, columns and threads were split.
"""

import numpy as np

from fastrnn.jit import inlined, part
from fastrnn.simd import broadcast, get, lanes, put, registers
from fastrnn.simd.packing import (
    load_part_or_all,
    pack,
    panel_count,
    store_part_or_all,
    transpose_rows,
)
from fastrnn.simd.tile import (
    MANY_ROWS,
    SOME_ROWS,
    tile_many,
    tile_row,
    tile_row_end,
    tile_some,
)

__all__ = [
    "CHUNK",
    "add_row_sums",
    "add_transposed_product",
    "outer_buffers",
    "outer_columns",
    "product",
    "sum_of_products",
]

# Rows of one partial sum: a single running sum over very many rows loses float32 digits.
CHUNK = 256
# Numbers of both factors' rows that stay in the L2 cache while all panels pass by; but the panels
# pass by for at least so many rows.
_BLOCK = 65_536
_FEWEST_ROWS = 64
# Rows of a sum of rows before it goes into a float64 total.
_FEW_ROWS = 32


@part
def product(a, a_rows, depth, panels, at, first_panel, end_panel, start, start_rows, c, c_rows):
    """Set row c_rows[i] of c to row start_rows[i] of start + row a_rows[i] of a times a matrix.

    For all i. a (., depth or more), start and c (., N) C-contiguous; the matrix (depth, N) packed
    in `panels` from `at` on. Only the columns of panels first_panel <= j < end_panel are computed.
    start may be c itself; no row is listed twice in c_rows.
    """
    _cut_into_tiles(
        a, a_rows, depth, panels, (at,), start, start_rows, c, c_rows, None, first_panel, end_panel
    )


@part
def sum_of_products(
    a, a_rows, depth, panels, begins, first_panel, end_panel, start, start_rows, c, c_rows, floor
):  # fmt: skip
    """Do what `product` does, with a sum of products: each adds to the same chain.

    Product j takes the rows of a that a_rows[j * c_rows.size:] lists, and the matrix packed from
    begins[j] on. What is then below `floor` becomes that: 0 for relu, -inf for no floor.
    """
    _cut_into_tiles(
        a, a_rows, depth, panels, begins, start, start_rows, c, c_rows, floor,
        first_panel, end_panel,
    )  # fmt: skip


@inlined
def _cut_into_tiles(
    a, a_rows, depth, panels, begins, start, start_rows, c, c_rows, floor, first_panel, end_panel
):  # fmt: skip
    n = c_rows.size
    if n == 1:
        panel = first_panel
        while panel + 2 < end_panel:
            tile_row(
                a, a_rows, depth, panels, begins, start, start_rows, c, c_rows, floor,
                0, 1, panel, end_panel,
            )  # fmt: skip
            panel += 8
        while panel < end_panel:
            tile_row_end(
                a, a_rows, depth, panels, begins, start, start_rows, c, c_rows, floor,
                0, 1, panel, end_panel,
            )  # fmt: skip
            panel += 2
        return
    block = max(_FEWEST_ROWS, _BLOCK // (depth + c.shape[1]))
    for first in range(0, n, block):
        end = min(first + block, n)
        for panel in range(first_panel, end_panel, 2):
            i = first
            while i < end:
                left = end - i
                if left <= SOME_ROWS or MANY_ROWS < left <= 2 * SOME_ROWS:
                    tile_some(
                        a, a_rows, depth, panels, begins, start, start_rows, c, c_rows, floor,
                        i, end, panel, end_panel,
                    )  # fmt: skip
                    i += SOME_ROWS
                else:
                    tile_many(
                        a, a_rows, depth, panels, begins, start, start_rows, c, c_rows, floor,
                        i, end, panel, end_panel,
                    )  # fmt: skip
                    i += MANY_ROWS


@part
def outer_buffers(like, depth, count, widest):
    """Return the buffers of `outer_columns` and for packed rows, for chunks of such a depth.

    A sum of outer products over very many rows is made of the products of chunks, each beginning at
    zero: one running sum would lose float32 digits.
    """
    step = lanes(like)
    # Rows a vector longer than they need: at a power of 2 they would share few cache lines.
    columns = np.empty((count, (depth + step - 1) // step * step + step), like.dtype)
    panels = np.empty(panel_count(like, widest) * depth * step, like.dtype)
    return columns, panels


@part
def outer_columns(a, a_rows, begin, end, first, last, columns):
    """Transpose columns first <= i < last of the listed rows begin <= k < end of a."""
    transpose_rows(a, a_rows, begin, end, first, last, columns, columns.shape[1])


@part
def add_transposed_product(a, a_rows, b, b_rows, c, first, last):
    """Add sum over k of outer(a[a_rows[k]], b[b_rows[k]]) to c, for its rows first <= i < last.

    a (., M), b (., N), c (M, N), all C-contiguous; a negative row of b stands for zeros. The sum
    over k is made of partial sums of `CHUNK` terms each.
    """
    n, count = a_rows.size, panel_count(c, c.shape[1])
    rows = np.arange(first, last)
    columns, panels = outer_buffers(c, min(n, CHUNK), last - first, c.shape[1])
    for begin in range(0, n, CHUNK):
        end = min(begin + CHUNK, n)
        outer_columns(a, a_rows, begin, end, first, last, columns)
        pack(b, b_rows, begin, end, 0, count, panels, 0, end - begin)
        product(columns, rows - first, end - begin, panels, 0, 0, count, c, rows, c, rows)


@part
def add_row_sums(da, rows, db, first, last):
    """Set elements first <= i < last of db to the sum of the listed rows of da.

    Sums of a few rows in da's precision, their totals in float64.
    """
    step, width = lanes(da), da.shape[1]
    zero = broadcast(da.dtype.type(0))
    few, totals = np.empty(last - first, da.dtype), np.zeros(last - first)
    for begin in range(0, rows.size, _FEW_ROWS):
        end = min(begin + _FEW_ROWS, rows.size)
        for left in range(first, last, 4 * step):
            sums = registers(zero, 4)
            for k in range(begin, end):
                row = rows[k] * width
                for v in range(4):
                    j = left + v * step
                    if j < last:
                        put(sums, v, get(sums, v) + load_part_or_all(da, row + j, last - j))
            for v in range(4):
                j = left + v * step
                if j < last:
                    store_part_or_all(few, j - first, get(sums, v), last - j)
        for i in range(totals.size):
            totals[i] += few[i]
    for i in range(totals.size):
        db[first + i] = totals[i]
