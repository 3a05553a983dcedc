"""Every kernel compiles for three GPUs that are not there, and needs no more than it should."""

import pytest

pytest.importorskip("numba_cuda", reason="needs the CUDA wheels: pip install 'fastrnn[cuda]'")

import compiling
import numpy as np

from fastrnn.cuda import ends, feedback, gemm, launching, recurrence, rows

pytestmark = pytest.mark.cuda
SINGLE, DOUBLE = np.float32, np.float64


def products():
    """The products in both tiles: in float64 there is one."""
    found = {}
    for real, tile in (SINGLE, gemm.LARGE), (SINGLE, gemm.SMALL), (DOUBLE, gemm.SMALL):
        kind = f"{real.__name__} {tile[0]}x{tile[1]}"
        found[f"multiply_rows a b {kind}"] = gemm.rows_kernel(real, False, tile)
        found[f"multiply_rows a b^T {kind}"] = gemm.rows_kernel(real, True, tile)
        found[f"sum_outer {kind}"] = gemm.outer_kernel(real, tile)
    return found


def recurrences():
    """The widths of the tables of speed; M, rows, sequences.

    Those with 64 float32 weights in a lane are the largest that sm_80 takes without spills.
    """
    found = {}
    for real, *sizes in (
        (SINGLE, 128, 16, 2), (SINGLE, 256, 16, 2), (SINGLE, 512, 8, 4), (SINGLE, 1024, 4, 8),
        (SINGLE, 1024, 2, 4), (SINGLE, 2048, 2, 4), (DOUBLE, 512, 4, 8), (DOUBLE, 512, 2, 8),
    ):  # fmt: skip
        for backward in False, True:
            kind = f"{'back' if backward else 'forth'} {real.__name__} {sizes}"
            found[f"recurrence {kind}"] = recurrence.recurrence_kernel(real, *sizes, backward)
    return found


def small_ones():
    """The kernels that look at one number, or one row, at a time; in float32."""
    found = {
        kernel.name: kernel
        for kernel in (
            rows.rank_lengths, rows.count_alive, rows.list_alive, rows.list_before,
            launching._fill_words,
        )
    }  # fmt: skip
    for make in (
        gemm.parts_kernel, gemm.sum_rows_kernel, gemm.bias_kernel, rows.padding_kernel,
        recurrence.padding_kernel, recurrence.start_kernel, recurrence.end_kernel,
        ends.before_kernel, ends.last_kernel, ends.begin_kernel, ends.passed_kernel,
        ends.starts_kernel, ends.untouched_kernel, feedback.feed_kernel, feedback.gradient_kernel,
        feedback._narrow_kernel,
    ):  # fmt: skip
        kernel = make(SINGLE)
        found[kernel.name] = kernel
    return found


@pytest.mark.parametrize("kernels", [products, recurrences, small_ones])
def test_compiles_for_every_gpu(kernels):
    rows_ = compiling.table(kernels())
    print("\n" + compiling.as_text(rows_))
    assert compiling.complaints(rows_) == []
    if kernels is recurrences:  # W stays in registers
        assert all(use.stack == 0 for _, capability, use in rows_ if capability >= (9, 0))
        few = {"[128, 16, 2]", "[1024, 2, 4]", "float64 [512, 2, 8]"}
        assert all(use.stack == 0 for name, _, use in rows_ if any(size in name for size in few))


def test_the_gate_sees_doubles_and_spills():
    from fastrnn.cuda.intrinsics import cuda
    from fastrnn.cuda.launching import device_kernel

    @device_kernel("float32*")
    def doubles(a):
        a[0] = a[0] * 1.1  # a literal is a float64

    @device_kernel("float32*", launch_bounds=(1024, 2))
    def spills(a):
        many = cuda.local.array(64, np.float32)
        for i in range(64):
            many[i] = a[i]
        cuda.syncthreads()
        for i in range(64):
            a[i] = many[63 - i]

    found = compiling.complaints(compiling.table({"doubles": doubles, "spills": spills}))
    assert len(found) == 4 and found[0].startswith("doubles: ")
    assert "spills" in found[3] and "sm_90" in found[3]
