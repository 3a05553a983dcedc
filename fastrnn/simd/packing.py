"""Packing: matrices rearranged so that the register tile reads them from front to back.

The right factor b (K, N) of a product becomes panels as wide as a vector: panel j holds the columns
from j * lanes on, one vector for each of the K rows; the last panel is filled up with zeros. Panels
lie in a flat array, one behind the other, so one array can hold those of several matrices.
"""

from fastrnn.jit import part
from fastrnn.simd import (
    broadcast,
    get,
    lanes,
    load,
    load_part,
    put,
    square,
    store,
    store_part,
    transpose,
)

__all__ = [
    "load_part_or_all",
    "pack",
    "pack_transposed",
    "panel_count",
    "store_part_or_all",
    "transpose_rows",
]


@part
def panel_count(array, columns):
    """Return how many panels hold so many columns of numbers of the array's type."""
    return (columns + lanes(array) - 1) // lanes(array)


@part
def pack(b, rows, first, last, first_panel, end_panel, panels, start, depth):
    """Store the listed rows first <= k < last of b (., N), C-contiguous, as panels from `start`.

    A negative row number stands for zeros. Panels are `depth` rows deep: where the listed rows are
    fewer, other calls fill the others. Only panels first_panel <= j < end_panel are written.
    """
    step, width = lanes(b), b.shape[1]
    zero = broadcast(b.dtype.type(0))
    # Four panels at a time: a row of b is read in whole cache lines.
    for j in range(first_panel, end_panel, 4):
        for k in range(last - first):
            row = rows[first + k]
            for i in range(j, min(j + 4, end_panel)):
                vec = zero
                if row >= 0:
                    vec = load_part_or_all(b, row * width + i * step, width - i * step)
                store(panels, start + (i * depth + k) * step, vec)


@part
def load_part_or_all(array, index, count):
    """Return a vector of consecutive numbers: all lanes, or the first `count` and zeros."""
    if count >= lanes(array):
        return load(array, index)
    return load_part(array, index, count)


@part
def store_part_or_all(array, index, vec, count):
    """Write a vector's lanes, or the first `count`, to consecutive numbers."""
    if count >= lanes(array):
        store(array, index, vec)
    else:
        store_part(array, index, vec, count)


@part
def pack_transposed(b, rows, first_panel, end_panel, panels, start):
    """Store the transpose of the listed rows of b (., K), C-contiguous, as panels from `start`.

    So rows of b become columns of the product: this is how weights are stored, W (m, p) for W x.
    """
    step, depth = lanes(b), b.shape[1]
    for j in range(first_panel, end_panel):
        for k in range(0, depth, step):
            at = start + (j * depth + k) * step
            _transpose_block(b, rows, j * step, rows.size, k, depth, panels, at, step)


@part
def transpose_rows(a, rows, first, last, column, end, out, stride):
    """Store columns column <= j < end of the listed rows first <= k < last of a as rows of `out`.

    a C-contiguous; `out` flat, its rows `stride` apart, room for whole vectors in each.
    """
    step = lanes(a)
    for k in range(first, last, step):
        for j in range(column, end, step):
            at = (j - column) * stride + k - first
            _transpose_block(a, rows, k, last, j, end, out, at, stride)


@part
def _transpose_block(a, rows, first, last, column, end, out, at, stride):
    """Store `lanes` columns of `lanes` listed rows as rows of `out`; zeros for rows past `last`."""
    step, width = lanes(a), a.shape[1]
    block = square(broadcast(out.dtype.type(0)))
    if first + step <= last and column + step <= end:
        for i in range(step):
            put(block, i, load(a, rows[first + i] * width + column))
        transpose(block)
        for i in range(step):
            store(out, at + i * stride, get(block, i))
        return
    for i in range(min(step, last - first)):
        put(block, i, load_part_or_all(a, rows[first + i] * width + column, end - column))
    transpose(block)
    for i in range(min(step, end - column)):
        store(out, at + i * stride, get(block, i))
