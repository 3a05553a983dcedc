"""One matrix times one vector, without packing: for single steps, where a matrix is used once."""

from typing import Any

from fastrnn.jit import inlined
from fastrnn.simd import broadcast, fma, get, item, lanes, load, put, registers, square, transpose
from fastrnn.simd.packing import load_part_or_all
from fastrnn.simd.tile import add_vector

__all__ = ["add_matrix_vector"]


@inlined
def add_matrix_vector(W, x, x_row, y, y_row):
    """Add W x to y for a row of x and a row of y, both C-contiguous, and W (m, p) of any layout.

    In Fortran order each sum is a chain over k ascending, as in `product`; in C order it is as
    many chains as a vector has lanes, added up at the end. Rows by number, because a small step
    would take as long to count the references to views as to compute.
    """
    width, depth = y.shape[1], x.shape[1]
    source, target = x_row * depth, y_row * width
    if W.flags.c_contiguous:
        for j in range(0, width, lanes(y)):
            _add_row_dots(W, x, source, depth, y, target, width, j)
    elif W.flags.f_contiguous:
        j = 0
        while j + 8 * lanes(y) <= width:
            _add_eight(W, x, source, depth, y, target, width, j)
            j += 8 * lanes(y)
        while j < width:
            _add_four(W, x, source, depth, y, target, width, j)
            j += 4 * lanes(y)
    else:
        for j in range(width):
            total = y.dtype.type(0)
            for k in range(depth):
                total = fma(x[x_row, k], W[j, k], total)
            y[y_row, j] += total


@inlined
def _add_row_dots(W, x, source, depth, y, target, width, first):
    """Add the products of `lanes` rows of W; rows past the last repeat it and are not stored."""
    step, last = lanes(y), width - 1
    sums = square(broadcast(y.dtype.type(0)))
    for k in range(0, depth, step):
        vec = load_part_or_all(x, source + k, depth - k)
        for i in range(step):
            row = load_part_or_all(W, min(first + i, last) * depth + k, depth - k)
            put(sums, i, fma(row, vec, get(sums, i)))
    transpose(sums)
    total = get(sums, 0)
    for i in range(1, step):
        total = total + get(sums, i)
    add_vector(y, target + first, total, width - first)


def _make_columns(vectors: int) -> Any:
    @inlined
    def add_columns(W, x, source, depth, y, target, width, first):
        """Add to a few vectors of y the products with W's columns, one behind the other."""
        step = lanes(y)
        sums = registers(broadcast(y.dtype.type(0)), vectors)
        if first + vectors * step <= width:
            for k in range(depth):
                factor = broadcast(item(x, source + k))
                for v in range(vectors):
                    column = load(W, k * width + first + v * step)
                    put(sums, v, fma(factor, column, get(sums, v)))
        else:
            for k in range(depth):
                factor = broadcast(item(x, source + k))
                for v in range(vectors):
                    j = first + v * step
                    if j < width:
                        column = load_part_or_all(W, k * width + j, width - j)
                        put(sums, v, fma(factor, column, get(sums, v)))
        for v in range(vectors):
            j = first + v * step
            if j < width:
                add_vector(y, target + j, get(sums, v), width - j)

    return add_columns


# Eight chains keep both multiply-adds of a cycle busy (`fastrnn.simd.tile`); four are for the rest.
_add_eight = _make_columns(8)
_add_four = _make_columns(4)
