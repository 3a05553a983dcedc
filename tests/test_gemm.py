"""The products over listed rows under every kernel: against NumPy, and bits against blocking."""

import numpy as np
import pytest
from helpers import TOLERANCE, error

from fastrnn.kernels.gemm import CHUNK, add_product, add_row_sums, add_transposed_product
from fastrnn.kernels.rows import shifted_rows

DTYPES = [np.float32, np.float64]
# Counts of rows, depths and widths on both sides of the blocks of four.
SIZES = [(0, 3, 2), (1, 1, 1), (3, 4, 5), (4, 5, 3), (5, 3, 4), (9, 8, 7), (11, 13, 17)]


def draw(seed, rows, depth, width, dtype):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((20, depth)).astype(dtype)
    b = rng.standard_normal((depth, width)).astype(dtype)
    c = rng.standard_normal((20, width)).astype(dtype)
    return a, b, c, rng.permutation(20)[:rows], rng.permutation(20)[:rows]


@pytest.mark.lanes
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_product_over_listed_rows(dtype, sizes):
    a, b, c, a_rows, c_rows = draw(30, *sizes, dtype)
    want = c.astype(float)
    want[c_rows] += a[a_rows].astype(float) @ b
    add_product(a, a_rows, b, c, c_rows)
    assert error(c, want) <= TOLERANCE[c.dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_product_with_rows_named_twice(dtype):
    a, b, c, _, _ = draw(31, 0, 7, 6, dtype)
    a_rows, c_rows = np.array([3, 3, 5, 1, 0, 3, 2]), np.array([8, 8, 9, 8, 9, 0, 0])
    want = c.astype(float)
    np.add.at(want, c_rows, a[a_rows].astype(float) @ b)
    add_product(a, a_rows, b, c, c_rows)
    assert error(c, want) <= TOLERANCE[c.dtype]


@pytest.mark.parametrize("sizes", SIZES[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_product_bits_do_not_depend_on_blocks(dtype, sizes):
    a, b, c, a_rows, c_rows = draw(32, *sizes, dtype)
    together, one_by_one = c.copy(), c.copy()
    add_product(a, a_rows, b, together, c_rows)
    for i in range(a_rows.size):
        add_product(a, a_rows[i : i + 1], b, one_by_one, c_rows[i : i + 1])
    assert together.tobytes() == one_by_one.tobytes()
    # Nor does an element depend on how wide the product is.
    for j in range(b.shape[1]):
        column = c[:, j : j + 1].copy()
        add_product(a, a_rows, np.ascontiguousarray(b[:, j : j + 1]), column, c_rows)
        assert column.tobytes() == together[:, j : j + 1].tobytes()


@pytest.mark.lanes
@pytest.mark.parametrize("n", [0, 1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_transposed_product_and_sums_across_partial_sums(dtype, n):
    rng = np.random.default_rng(33)
    a = rng.standard_normal((n + 2, 6)).astype(dtype)
    b = rng.standard_normal((n + 3, 5)).astype(dtype)
    a_rows, b_rows = rng.permutation(n + 2)[:n], rng.permutation(n + 3)[:n]
    c, sums = np.ones((6, 5), dtype), np.full(6, np.nan, dtype)
    add_transposed_product(a, a_rows, b, b_rows, c, 0, 6)
    add_row_sums(a, a_rows, sums, 0, 6)
    wide = a[a_rows].astype(float)
    assert error(c, 1 + wide.T @ b[b_rows]) <= TOLERANCE[c.dtype]
    assert error(sums, wide.sum(axis=0)) <= TOLERANCE[c.dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_transposed_product_bits_do_not_depend_on_the_split(dtype):
    rng = np.random.default_rng(34)
    n = CHUNK + 37
    a = rng.standard_normal((n, 11)).astype(dtype)
    b = rng.standard_normal((n, 9)).astype(dtype)
    rows = np.arange(n)
    whole, sums = np.zeros((11, 9), dtype), np.empty(11, dtype)
    add_transposed_product(a, rows, b, rows, whole, 0, 11)
    add_row_sums(a, rows, sums, 0, 11)
    for edges in ([0, 1, 2, 3, 11], [0, 4, 8, 11], [0, 5, 5, 10, 11]):
        parts, part_sums = np.zeros_like(whole), np.empty_like(sums)
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            add_transposed_product(a, rows, b, rows, parts, first, last)
            add_row_sums(a, rows, part_sums, first, last)
        assert parts.tobytes() == whole.tobytes()
        assert part_sums.tobytes() == sums.tobytes()


@pytest.mark.lanes
def test_listed_rows_are_those_alive():
    lengths = np.array([3, 0, 5, 1])
    T, B = 5, 4
    for shift in range(3):
        want = [t * B + b for t in range(shift, T) for b in range(1, 4) if t < lengths[b]]
        assert shifted_rows(lengths, T, 1, 4, shift).tolist() == want
