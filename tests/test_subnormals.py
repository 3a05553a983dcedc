"""Subnormal numbers as zeros in a stretch of a kernel, and nowhere else."""

import platform
import threading

import numba
import numpy as np
import pytest

from fastrnn.jit import kernel
from fastrnn.simd import flush_subnormals, restore_subnormals

pytestmark = pytest.mark.lanes

# Plain Python has no way to the control word, and neither has Numba on other processors.
FLUSHES = not numba.config.DISABLE_JIT and platform.machine().lower() in {
    "x86_64", "amd64", "aarch64", "arm64",
}  # fmt: skip
needs_flush = pytest.mark.skipif(not FLUSHES, reason="flushing does nothing here")
DTYPES = [np.float32, np.float64]
SIZES = [1, 7, 64, 1003]  # single numbers, vectors, unrolled vectors with a rest


@kernel
def multiply(x, factor, out):
    """Multiply three times: before, while, and after subnormals are zeros."""
    for i in range(x.size):
        out[0, i] = x[i] * factor
    mode = flush_subnormals()
    for i in range(x.size):
        out[1, i] = x[i] * factor
    restore_subnormals(mode)
    for i in range(x.size):
        out[2, i] = x[i] * factor


@kernel
def multiply_nested(x, factor, out):
    """Multiply after an inner stretch has ended within an outer one."""
    outer = flush_subnormals()
    inner = flush_subnormals()
    restore_subnormals(inner)
    for i in range(x.size):
        out[i] = x[i] * factor
    restore_subnormals(outer)


@kernel
def flush():
    return flush_subnormals()


@kernel
def restore(mode):
    restore_subnormals(mode)


def current_mode():
    mode = flush()
    restore(mode)
    return mode & ~0x3F  # on x86 the low six bits record what happened so far


def keeps_subnormals():
    """Return whether NumPy's arithmetic does so in this thread now."""
    tiny = np.full(9, np.finfo(np.float32).tiny)
    return bool(np.all(tiny * np.float32(0.5) != 0))


def operands(dtype):
    """Return (number, factor, product): a subnormal operand, and a subnormal product."""
    tiny = np.finfo(dtype).tiny
    return [(tiny / 4, dtype(64), 16 * tiny), (tiny * 2, dtype(0.125), tiny / 4)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", [0, 1], ids=["operand", "product"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_between_flush_and_restore_only(dtype, case, size):
    number, factor, product = operands(dtype)[case]
    x, out = np.full(size, number, dtype), np.full((3, size), 7, dtype)
    multiply(x, factor, out)
    assert (out[0] == product).all()
    assert (out[1] == (0 if FLUSHES else product)).all()
    assert (out[2] == product).all()


@needs_flush
def test_inner_stretch_does_not_end_the_outer_one():
    number, factor, _ = operands(np.float32)[0]
    out = np.full(9, 7, np.float32)
    multiply_nested(np.full(9, number), factor, out)
    assert (out == 0).all()
    assert keeps_subnormals()


def test_the_callers_mode_is_unchanged():
    before = current_mode()
    x, out = np.full(33, np.finfo(np.float32).tiny), np.empty((3, 33), np.float32)
    multiply(x, np.float32(0.5), out)
    assert current_mode() == before
    assert keeps_subnormals()


@needs_flush
def test_mode_is_what_numpy_feels():
    mode = flush()
    try:
        kept, second = keeps_subnormals(), flush()
    finally:
        restore(mode)
    assert not kept
    assert second & ~mode  # the bits that were added
    assert keeps_subnormals()


@needs_flush
def test_mode_belongs_to_the_thread():
    flushed, looked, seen = threading.Event(), threading.Event(), []

    def other():
        mode = flush()
        flushed.set()
        looked.wait(60)
        seen.append(keeps_subnormals())
        restore(mode)
        seen.append(keeps_subnormals())

    thread = threading.Thread(target=other)
    thread.start()
    assert flushed.wait(60)
    here = keeps_subnormals()
    looked.set()
    thread.join(60)
    assert here
    assert seen == [False, True]


def test_many_threads_at_once():
    wrong = []

    def work():
        before = current_mode()
        number, factor, product = operands(np.float64)[0]
        x, out = np.full(1003, number), np.empty((3, 1003))
        for _ in range(50):
            out[:] = 7
            multiply(x, factor, out)
            want = [product, 0 if FLUSHES else product, product]
            if not (out.T == want).all() or current_mode() != before or not keeps_subnormals():
                wrong.append(out.copy())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
