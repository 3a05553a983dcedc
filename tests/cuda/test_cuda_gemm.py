"""The products of `fastrnn.cuda.gemm`, in three orders of threads, against NumPy."""

import ctypes

import numpy as np
import pytest
from emulator import Race, emulated_device

from fastrnn.cuda import gemm
from fastrnn.cuda.activations import ACTIVATIONS
from fastrnn.cuda.launching import copy_to_device, copy_to_host, empty, fill, launch
from fastrnn.cuda.rows import Rows, alive_rows, order_by_length, rows_before, zero_padding
from fastrnn.reference.activations import activate, slope

ORDERS = ["asc", "desc", 3]
REALS = [np.float32, np.float64]


def numbers(seed, shape, real):
    return np.random.default_rng(seed).standard_normal(shape).astype(real)


def tolerance(real):
    return {"rtol": 0, "atol": 2e-5 if real is np.float32 else 1e-12}


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_rows_times_a_matrix(order, transposed, real):
    a, b = numbers(1, (35, 19), real), numbers(2, (19, 41), real)
    bias = numbers(3, 41, real)
    stored = np.ascontiguousarray(b.T) if transposed else b
    with emulated_device(order, watch=True):
        c = empty((35, 41), real)
        device = [copy_to_device(array) for array in (a, stored, bias)]
        gemm.multiply_rows(device[0], device[1], c, transposed=transposed, bias=device[2])
        np.testing.assert_allclose(copy_to_host(c), a @ b + bias, **tolerance(real))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_listed_rows_with_a_start_and_an_activation_or_a_slope(activation):
    a, b, start = (
        numbers(k, shape, np.float32) for k, shape in enumerate([(9, 5), (5, 7), (9, 7)])
    )
    states = activate(activation, numbers(4, (9, 7), np.float32))
    code, alive = ACTIVATIONS[activation], [4, 0, 7]
    with emulated_device():
        rows = Rows(copy_to_device(np.array([4, 0, 7, 99])), copy_to_device(np.array([3])))
        device = [copy_to_device(array) for array in (a, b, start, states)]
        c = copy_to_device(start)
        gemm.multiply_rows(*device[:2], c, start=c, activation=code, rows=rows)
        expected = start.copy()
        expected[alive] = activate(activation, start + a @ b)[alive]
        np.testing.assert_allclose(copy_to_host(c), expected, atol=1e-5)
        fill(c, 0)
        gemm.multiply_rows(
            *device[:2], c, start=device[2], activation=code, states=device[3], rows=rows
        )
        expected = np.zeros_like(start)
        expected[alive] = (slope(activation, states) * (start + a @ b))[alive]
        np.testing.assert_allclose(copy_to_host(c), expected, atol=1e-5)


@pytest.mark.parametrize(
    "real, order, watch",
    [(np.float32, "asc", True), (np.float32, "desc", False), (np.float32, 3, False),
     (np.float64, 4, False)],
)  # fmt: skip
def test_a_sum_of_outer_products_in_parts(real, order, watch, monkeypatch):
    monkeypatch.setattr(gemm, "_FEWEST", 16)
    a, b = numbers(1, (40, 35), real), numbers(2, (40, 7), real)
    with emulated_device(order, watch=watch) as device:
        c = empty((35, 7), real)
        gemm.sum_outer(copy_to_device(a), copy_to_device(b), c)
        assert "add_parts" in device.launches
        np.testing.assert_allclose(copy_to_host(c), a.T @ b, **tolerance(real))
        gemm.sum_outer(copy_to_device(a), copy_to_device(b), c, accumulate=True)
        np.testing.assert_allclose(copy_to_host(c), 2 * a.T @ b, **tolerance(real))
        total = empty(35, real)
        gemm.sum_rows(copy_to_device(a), total)
        np.testing.assert_allclose(copy_to_host(total), a.sum(0), **tolerance(real))


def test_a_long_sum_goes_into_a_total_now_and_then(monkeypatch):
    monkeypatch.setattr(gemm, "CHUNK", 16)
    gemm.outer_kernel.cache_clear()
    a, b = numbers(1, (70, 3), np.float32), numbers(2, (70, 2), np.float32)
    with emulated_device():
        c = empty((3, 2), np.float32)
        gemm.sum_outer(copy_to_device(a), copy_to_device(b), c)
        np.testing.assert_allclose(copy_to_host(c), a.T @ b, rtol=1e-5)
    gemm.outer_kernel.cache_clear()


@pytest.mark.parametrize("order", ORDERS)
def test_the_large_tile(order):
    """As launched where there is enough work for it; the rest of this file takes the small one."""
    a, b = numbers(1, (130, 9), np.float32), numbers(2, (9, 3), np.float32)
    kernel = gemm.rows_kernel(np.float32, False, gemm.LARGE)
    with emulated_device(order):
        c = empty((130, 3), np.float32)
        launch(
            kernel, (2, 1), gemm.threads_of(gemm.LARGE), copy_to_device(a), copy_to_device(b),
            None, None, None, c, None, None, 130, 3, 9, 0, 0, 0,
        )  # fmt: skip
        np.testing.assert_allclose(copy_to_host(c), a @ b, atol=1e-5)


@pytest.mark.parametrize("starts", [0, 3, 6])
@pytest.mark.parametrize("order", ORDERS)
def test_ragged_rows_and_the_rows_before(order, starts):
    T, B, lengths = 5, 3, np.array([2, 5, 0])
    resets = np.zeros((T, B), bool)
    resets[[1, 3], [0, 1]] = True
    a, b, first = numbers(1, (T * B, 4), np.float32), numbers(2, (T * B, 2), np.float32), None
    with emulated_device(order, watch=True):
        on_device = copy_to_device(lengths)
        ranked = order_by_length(on_device, T)
        assert copy_to_host(ranked.sequence).tolist() == [1, 0, 2]
        assert copy_to_host(ranked.alive).tolist() == [2, 2, 1, 1, 1]
        rows = alive_rows(on_device, ranked, T)
        assert copy_to_host(rows.count) == [7]
        found = copy_to_host(rows.index)[:7]
        assert found.tolist() == [1, 0, 4, 3, 7, 10, 13]
        marks = copy_to_device(resets.reshape(-1)) if starts else None
        before = rows_before(rows, T * B, B, starts or B, marks)
        expected = [-2, -3, 1, -3, 4, -2, 10] if starts != 6 else [-5, -6, 1, -3, 4, -2, 10]
        if not starts:
            expected = [-2, -3, 1, 0, 4, 7, 10]
        assert copy_to_host(before)[:7].tolist() == expected
        if starts:
            first = numbers(3, (starts, 2), np.float32)
        c = empty((4, 2), np.float32)
        gemm.sum_outer(
            copy_to_device(a), copy_to_device(b), c, rows=rows, before=before,
            first=None if first is None else copy_to_device(first),
        )  # fmt: skip
        total = np.zeros((4, 2))
        for row, earlier in zip(found, expected, strict=True):
            if earlier >= 0 or first is not None:
                total += np.outer(a[row], b[earlier] if earlier >= 0 else first[earlier])
        np.testing.assert_allclose(copy_to_host(c), total, atol=1e-5)
        padded = copy_to_device(np.ones((T, B, 4), np.float32))
        zero_padding(padded, on_device)
        alive = np.arange(T)[:, None] < lengths
        np.testing.assert_array_equal(copy_to_host(padded), np.repeat(alive[..., None], 4, 2))


@pytest.mark.parametrize("kernel", ["multiply_rows_kernel", "sum_outer_kernel"])
@pytest.mark.parametrize("k", range(2))
def test_every_barrier_is_needed(kernel, k):
    a, b = numbers(1, (20, 18), np.float32), numbers(2, (20, 18), np.float32)

    def products():
        device = copy_to_device(a), copy_to_device(b)
        gemm.multiply_rows(*device, empty((20, 20), np.float32), transposed=True)
        gemm.sum_outer(*device, empty((18, 18), np.float32))

    with emulated_device(watch=True, without=(kernel, k)), pytest.raises(Race, match=kernel):
        products()


def test_a_blas_takes_over_products_without_lists():
    calls = []

    def blas(a, b, c, transpose_a, transpose_b, accumulate):
        left, right = copy_to_host(a), copy_to_host(b)
        left, right = left.T if transpose_a else left, right.T if transpose_b else right
        total = left @ right + (copy_to_host(c) if accumulate else 0)
        calls.append((transpose_a, transpose_b, accumulate))
        launch_copy(total, c)

    def launch_copy(total, c):
        from fastrnn.cuda import launching

        launching.device.upload(c.pointer, np.ascontiguousarray(total), 0)

    a, b, bias = numbers(1, (6, 4), np.float64), numbers(2, (6, 4), np.float64), np.arange(6.0)
    with emulated_device():
        device = copy_to_device(a), copy_to_device(b)
        c = empty((6, 6), np.float64)
        gemm.multiply_rows(*device, c, transposed=True, bias=copy_to_device(bias), blas=blas)
        np.testing.assert_allclose(copy_to_host(c), a @ b.T + bias)
        c = empty((4, 4), np.float64)
        gemm.sum_outer(*device, c, blas=blas)
        gemm.sum_outer(*device, c, accumulate=True, blas=blas)
        np.testing.assert_allclose(copy_to_host(c), 2 * a.T @ b)
    assert calls == [(False, True, False), (True, False, False), (True, False, True)]


def test_the_blas_of_a_library():
    """NumPy stands for CuPy: the same names."""

    class Library:
        matmul = staticmethod(np.matmul)

        @staticmethod
        def asarray(array):
            raw = (ctypes.c_char * array.nbytes).from_address(array.pointer)
            return np.frombuffer(raw, array.dtype).reshape(array.shape)

    a, b = numbers(1, (6, 4), np.float64), numbers(2, (6, 4), np.float64)
    with emulated_device():
        c, device = empty((4, 4), np.float64), (copy_to_device(a), copy_to_device(b))
        blas = gemm.library_blas(Library)
        gemm.sum_outer(*device, c, blas=blas)
        gemm.sum_outer(*device, c, accumulate=True, blas=blas)
        np.testing.assert_allclose(copy_to_host(c), 2 * a.T @ b)
