"""Registers, transposed squares, vectors at the edge; the register tile over all its edges."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.jit import kernel
from fastrnn.kernels.gemm import product
from fastrnn.simd import (
    VECTOR_BYTES,
    broadcast,
    get,
    lanes,
    load,
    put,
    registers,
    square,
    store,
    transpose,
)
from fastrnn.simd.packing import load_part_or_all, store_part_or_all, transpose_rows
from fastrnn.simd.tile import add_vector

pytestmark = pytest.mark.lanes
DTYPES = [np.float32, np.float64]
# Plain Python takes a second for what compiled code does in a millisecond.
ROWS, DEPTH, WIDTH, EXAMPLES = (14, 9, 30, 60) if numba.config.DISABLE_JIT else (40, 70, 100, 150)


def numbers(seed, *shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def vector_of(dtype):
    return VECTOR_BYTES // np.dtype(dtype).itemsize


@kernel
def use_registers(x, out):
    """Store, three times over, registers of vectors of x, and at the end some of integers."""
    n = lanes(x)
    for r in range(3):
        regs = registers(broadcast(x[0]), 4)
        others = registers(broadcast(x[1]), 2)
        put(regs, 1, load(x, 0))
        put(regs, 2, get(regs, 0) + get(regs, 1))
        put(others, 1, get(regs, 2))
        put(regs, 1, get(regs, 1) + get(others, 1))
        for i in range(4):
            store(out, (6 * r + i) * n, get(regs, i))
        for i in range(2):
            store(out, (6 * r + 4 + i) * n, get(others, i))
    places = registers(3, 3)
    put(places, 2, 7)
    for i in range(3):
        out[18 * n + i] = get(places, i)


@pytest.mark.parametrize("dtype", DTYPES)
def test_registers_keep_what_was_put(dtype):
    n = vector_of(dtype)
    x, out = numbers(110, n + 2, dtype=dtype), np.zeros(18 * n + 4, dtype)
    use_registers(x, out)
    v, zero = x[:n], np.zeros(n, dtype)
    want = [x[0] + zero, v + (x[0] + v), x[0] + v, x[0] + zero, x[1] + zero, x[0] + v]
    np.testing.assert_array_equal(out[:-4].reshape(3, 6, n), [want] * 3)
    assert out[-4:].tolist() == [3, 3, 7, 0]


@kernel
def turn(x, filled, turned, back):
    """Fill a square with the rows of x (lanes, lanes), turn it over, and back."""
    n = lanes(x)
    block = square(load(x, 0))
    for i in range(n):
        store(filled, i * n, get(block, i))
    for i in range(n):
        put(block, i, load(x, i * n))
    transpose(block)
    for i in range(n):
        store(turned, i * n, get(block, i))
    transpose(block)
    for i in range(n):
        store(back, i * n, get(block, i))


@pytest.mark.parametrize("dtype", DTYPES)
def test_square_is_transposed(dtype):
    n = vector_of(dtype)
    x = numbers(111, n, n, dtype=dtype)
    filled, turned, back = np.full((3, n, n), np.nan, dtype)
    turn(x, filled, turned, back)
    np.testing.assert_array_equal(filled, [x[0]] * n)
    np.testing.assert_array_equal(turned, x.T)
    np.testing.assert_array_equal(back, x)


@kernel
def move(x, out, count):
    """Copy the first numbers of x to out[3:], and add them to out[lanes + 6:]."""
    vec = load_part_or_all(x, 1, count)
    store(out, 2 * lanes(x) + 9, vec)
    store_part_or_all(out, 3, vec, count)
    add_vector(out, lanes(x) + 6, vec, count)


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_at_the_edge_touch_nothing_else(dtype):
    n = vector_of(dtype)
    x = numbers(112, n + 1, dtype=dtype)
    for count in range(-1, n + 3):
        out = np.full(3 * n + 10, 7, dtype)
        move(x, out, count)
        kept = max(0, min(count, n))
        want = np.full_like(out, 7)
        want[3 : 3 + kept] = x[1 : 1 + kept]
        want[n + 6 : n + 6 + kept] += x[1 : 1 + kept]
        want[2 * n + 9 : 3 * n + 9] = 0
        want[2 * n + 9 : 2 * n + 9 + kept] = x[1 : 1 + kept]
        np.testing.assert_array_equal(out, want)


@given(st.data(), st.sampled_from(DTYPES))
@settings(max_examples=EXAMPLES // 3, deadline=None)
def test_rows_of_any_size_are_transposed(data, dtype):
    n = vector_of(dtype)
    height, width = data.draw(st.integers(0, 2 * n + 3)), data.draw(st.integers(1, 2 * n + 3))
    column = data.draw(st.integers(0, width))
    end = data.draw(st.integers(column, width))
    first = data.draw(st.integers(0, height))
    a = numbers(113, height + 2, width, dtype=dtype)
    rows = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, height + 2, height)
    stride = -(-(height - first) // n) * n + n
    out = np.full((end - column, stride), 7, dtype)
    transpose_rows(a, rows, first, height, column, end, out.reshape(-1), stride)
    np.testing.assert_array_equal(out[:, : height - first], a[rows[first:], column:end].T)
    whole = -(-(height - first) // n) * n  # the last vector is filled up with zeros
    assert not out[:, height - first : whole].any() and (out[:, whole:] == 7).all()


def panels_of(b, at, first, end):
    """Return b (K, N) packed from `at` on; all but the panels first <= j < end hold NaN."""
    n = vector_of(b.dtype)
    count = -(-b.shape[1] // n)
    wide = np.zeros((b.shape[0], count * n), b.dtype)
    wide[:, : b.shape[1]] = b
    packed = np.full((count, b.shape[0], n), np.nan, b.dtype)
    packed[first:end] = wide.reshape(-1, count, n).transpose(1, 0, 2)[first:end]
    return np.concatenate([np.full(at, np.nan), packed.reshape(-1), np.full(5, np.nan)]).astype(
        b.dtype
    )


@given(
    st.data(), st.sampled_from(DTYPES), st.integers(0, ROWS), st.integers(1, DEPTH),
    st.integers(1, WIDTH), st.integers(0, 2**32 - 1), st.booleans(),
)  # fmt: skip
@settings(max_examples=EXAMPLES, deadline=None)
def test_product_of_any_size_is_right_and_touches_nothing_else(
    data, dtype, rows, depth, width, seed, in_place
):
    n = vector_of(dtype)
    end = data.draw(st.integers(0, -(-width // n)), "end_panel")
    first = data.draw(st.integers(0, end), "first_panel")
    at, spare, edge = (data.draw(st.integers(0, 9)) for _ in range(3))
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((rows + 3, depth + spare)).astype(dtype)
    a[:, depth:] = np.nan
    b = rng.standard_normal((depth, width)).astype(dtype)
    memory = rng.standard_normal(2 * edge + (rows + 2) * width).astype(dtype)
    c = memory[edge : edge + (rows + 2) * width].reshape(rows + 2, width)
    a_rows, c_rows = rng.integers(0, rows + 3, rows), rng.permutation(rows + 2)[:rows]
    if in_place:
        start, start_rows = c, c_rows
    else:
        start = rng.standard_normal((4, width)).astype(dtype)
        start_rows = rng.integers(0, 4, rows)
    want, columns = memory.copy(), slice(first * n, min(end * n, width))
    x = a[a_rows, :depth].astype(float)
    result = start[start_rows] + x @ b
    sizes = np.abs(start[start_rows]) + np.abs(x) @ np.abs(b)
    allowed = 2 * (depth + 2) * np.finfo(dtype).eps * sizes
    untouched = want[edge : edge + c.size].reshape(c.shape)
    inputs = [array.copy() for array in (a, a_rows, start, start_rows, c_rows)]

    panels = panels_of(b, at, first, end)
    product(a, a_rows, depth, panels, at, first, end, start, start_rows, c, c_rows)
    assert (np.abs(c[c_rows, columns] - result[:, columns]) <= allowed[:, columns]).all()
    untouched[c_rows, columns] = c[c_rows, columns]
    assert memory.tobytes() == want.tobytes()
    for i, array in enumerate((a, a_rows, start, start_rows, c_rows)):
        assert (array is c) or array.tobytes() == inputs[i].tobytes()
