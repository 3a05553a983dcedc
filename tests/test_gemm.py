"""The products over listed rows under every kernel: against NumPy, and bits against blocking."""

import numpy as np
import pytest
from helpers import TOLERANCE, error

from fastrnn.kernels import gemm
from fastrnn.kernels.gemm import CHUNK, add_row_sums, add_transposed_product
from fastrnn.kernels.matvec import add_matrix_vector
from fastrnn.kernels.rows import shifted_rows
from fastrnn.kernels.weights import pack_backward, pack_forward, packed_size
from fastrnn.simd import VECTOR_BYTES
from fastrnn.simd.packing import panel_count
from fastrnn.simd.tile import MANY_ROWS

DTYPES = [np.float32, np.float64]
# Counts of rows, depths and widths on all sides of the tiles' edges.
SIZES = [
    (0, 3, 2), (1, 1, 1), (1, 7, 33), (2, 9, 16), (3, 4, 5), (4, 5, 3), (5, 3, 4), (9, 8, 7),
    (7, 6, 40), (8, 20, 24), (11, 13, 17), (13, 64, 65), (17, 3, 130), (18, 1, 8),
]  # fmt: skip


def draw(seed, rows, depth, width, dtype):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((20, depth)).astype(dtype)
    b = rng.standard_normal((depth, width)).astype(dtype)
    c = rng.standard_normal((20, width)).astype(dtype)
    return a, b, c, rng.permutation(20)[:rows], rng.permutation(20)[:rows]


def add_product(a, a_rows, b, c, c_rows):
    """Pack b, and let the kernel add the product."""
    panels = np.full(packed_size(b, *b.shape) + 3, np.nan, b.dtype)
    count = panel_count(b, b.shape[1])
    pack_backward(b, 0, count, panels, 2)
    gemm.product(a, a_rows, len(b), panels, 2, 0, count, c, c_rows, c, c_rows)
    assert np.isnan(panels[[0, 1, -1]]).all()


@pytest.mark.lanes
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_product_over_listed_rows(dtype, sizes):
    a, b, c, a_rows, c_rows = draw(30, *sizes, dtype)
    want = c.astype(float)
    want[c_rows] += a[a_rows].astype(float) @ b
    add_product(a, a_rows, b, c, c_rows)
    assert error(c, want) <= TOLERANCE[c.dtype]


@pytest.mark.lanes
@pytest.mark.parametrize("terms", [0, 1, 3])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sum_of_products_and_its_floor(dtype, sizes, terms):
    a, b, c, _, c_rows = draw(33, *sizes, dtype)
    rng = np.random.default_rng(34)
    factors = [b + dtype(j) for j in range(terms)]
    listed = rng.integers(0, len(a), (terms, c_rows.size))
    size, count = packed_size(b, *b.shape), panel_count(b, b.shape[1])
    panels, begins = np.full(terms * size, np.nan, dtype), np.arange(terms) * size
    for factor, begin in zip(factors, begins, strict=True):
        pack_backward(factor, 0, count, panels, begin)
    start, zeros = rng.standard_normal((1, b.shape[1])).astype(dtype), np.zeros_like(c_rows)
    pairs = list(zip(listed, factors, strict=True))
    want = start + sum(a[rows].astype(float) @ factor for rows, factor in pairs)
    for floor in (-np.inf, 0):
        got = np.full_like(c, 7)
        gemm.sum_of_products(
            a, listed.ravel(), len(b), panels, begins, 0, count,
            start, zeros, got, c_rows, dtype(floor),
        )  # fmt: skip
        expected = np.full(c.shape, 7.0)
        expected[c_rows] = np.maximum(want, floor)
        assert error(got, expected) <= TOLERANCE[c.dtype]
        assert (got == 7).all(axis=1).sum() == len(c) - c_rows.size


@pytest.mark.lanes
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_either_way_gives_the_same_panels(dtype, sizes):
    _, b, _, _, _ = draw(31, *sizes, dtype)
    panels = np.full((2, packed_size(b, *b.shape)), np.nan, dtype)
    count = panel_count(b, b.shape[1])
    pack_backward(b, 0, count, panels[0], 0)
    for layout in (np.ascontiguousarray, np.asfortranarray):
        panels[1] = np.nan
        for part in ((0, count // 2), (count // 2, count)):
            pack_forward(layout(b.T), *part, panels[1], 0)
        assert panels[0].tobytes() == panels[1].tobytes()
    lanes = VECTOR_BYTES // b.itemsize
    whole = panels[0].reshape(-1, b.shape[0], lanes).transpose(1, 0, 2).reshape(b.shape[0], -1)
    assert (whole[:, : b.shape[1]] == b).all() and not whole[:, b.shape[1] :].any()


@pytest.mark.parametrize("sizes", SIZES[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_product_bits_do_not_depend_on_blocks(dtype, sizes):
    a, b, c, a_rows, c_rows = draw(32, *sizes, dtype)
    together, one_by_one, by_vector = c.copy(), c.copy(), c.copy()
    add_product(a, a_rows, b, together, c_rows)
    for i in range(a_rows.size):
        add_product(a, a_rows[i : i + 1], b, one_by_one, c_rows[i : i + 1])
        add_matrix_vector(b.T, a, a_rows[i], by_vector, c_rows[i])
    assert together.tobytes() == one_by_one.tobytes() == by_vector.tobytes()
    # Nor does an element depend on how wide the product is.
    for j in range(b.shape[1]):
        column = c[:, j : j + 1].copy()
        add_product(a, a_rows, np.ascontiguousarray(b[:, j : j + 1]), column, c_rows)
        assert column.tobytes() == together[:, j : j + 1].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_product_of_some_panels_leaves_the_other_columns(dtype):
    a, b, c, a_rows, c_rows = draw(35, MANY_ROWS + 1, 5, 50, dtype)
    whole, parts = c.copy(), c.copy()
    add_product(a, a_rows, b, whole, c_rows)
    panels = np.empty(packed_size(b, *b.shape), dtype)
    count = panel_count(b, 50)
    pack_backward(b, 0, count, panels, 0)
    for n in (a_rows.size, 1):
        parts[:] = c
        for edges in ([0, 1, count], [0, count // 2, count // 2, count]):
            parts[:] = c
            for first, last in zip(edges[:-1], edges[1:], strict=True):
                rows = c_rows[:n]
                gemm.product(a, a_rows[:n], 5, panels, 0, first, last, parts, rows, parts, rows)
            assert parts[c_rows[:n]].tobytes() == whole[c_rows[:n]].tobytes()


@pytest.mark.lanes
@pytest.mark.parametrize("sizes", SIZES[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matrix_times_vector_of_any_layout(dtype, sizes):
    a, b, c, _, _ = draw(36, *sizes, dtype)
    layouts = np.ascontiguousarray(b.T), np.asfortranarray(b.T), np.repeat(b.T, 2, axis=1)[:, ::2]
    for W in layouts:
        y = c.copy()
        add_matrix_vector(W, a, 0, y, 1)
        assert (np.delete(y, 1, axis=0) == np.delete(c, 1, axis=0)).all()
        assert error(y[1], c[1] + a[0].astype(float) @ b) <= TOLERANCE[c.dtype]


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
