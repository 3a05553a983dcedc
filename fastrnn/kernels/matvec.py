"""One matrix times one vector, without packing: for single steps, where a matrix is used once."""

from fastrnn.jit import part
from fastrnn.simd import broadcast, fma, get, lanes, load, put, registers, square, transpose
from fastrnn.simd.packing import load_part_or_all
from fastrnn.simd.tile import add_vector

__all__ = ["add_matrix_vector"]

_VECTORS = 4


@part
def add_matrix_vector(W, x, y):
    """Add W x to y, for W (m, p) of any layout; x and y contiguous.

    In Fortran order each sum is a chain over k ascending, as in `product`; in C order it is as
    many chains as a vector has lanes, added up at the end.
    """
    if W.flags.c_contiguous:
        for j in range(0, y.size, lanes(y)):
            _add_row_dots(W, x, y, j)
    elif W.flags.f_contiguous:
        for j in range(0, y.size, _VECTORS * lanes(y)):
            _add_columns(W.T, x, y, j)
    else:
        for j in range(y.size):
            total = y.dtype.type(0)
            for k in range(x.size):
                total = fma(x[k], W[j, k], total)
            y[j] += total


@part
def _add_row_dots(W, x, y, first):
    """Add the products of `lanes` rows of W; rows past the last repeat it and are not stored."""
    step, depth, last = lanes(y), x.size, y.size - 1
    sums = square(broadcast(y.dtype.type(0)))
    for k in range(0, depth, step):
        vec = load_part_or_all(x, k, depth - k)
        for i in range(step):
            row = load_part_or_all(W, min(first + i, last) * depth + k, depth - k)
            put(sums, i, fma(row, vec, get(sums, i)))
    transpose(sums)
    total = get(sums, 0)
    for i in range(1, step):
        total = total + get(sums, i)
    add_vector(y, first, total, y.size - first)


@part
def _add_columns(Wt, x, y, first):
    """Add to a few vectors of y the products with W's columns, the rows of Wt."""
    step, width = lanes(y), y.size
    sums = registers(broadcast(y.dtype.type(0)), _VECTORS)
    if first + _VECTORS * step <= width:
        for k in range(x.size):
            factor = broadcast(x[k])
            for v in range(_VECTORS):
                column = load(Wt, k * width + first + v * step)
                put(sums, v, fma(factor, column, get(sums, v)))
    else:
        for k in range(x.size):
            factor = broadcast(x[k])
            for v in range(_VECTORS):
                j = first + v * step
                if j < width:
                    column = load_part_or_all(Wt, k * width + j, width - j)
                    put(sums, v, fma(factor, column, get(sums, v)))
    for v in range(_VECTORS):
        j = first + v * step
        if j < width:
            add_vector(y, j, get(sums, v), width - j)
