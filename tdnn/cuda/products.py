"""Products of a time-delay layer on the GPU: sums over offsets of gathered rows.

Implicit GEMMs, built as those of `fastrnn.cuda.gemm`: a block of threads brings a slice of the
gathered rows and of the weights into shared memory while it multiplies the slice before. Offset
after offset adds to the same sums, which leave the registers once, with bias and activation.

A sum is one chain of fused multiply-adds over the offsets and the units, whatever the tile: a
frame's bits do not depend on the others.
"""

from functools import cache
from typing import Any

import numpy as np

from fastrnn.cuda.activations import activate
from fastrnn.cuda.gemm import LARGE, SMALL, slice_product, threads_of
from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import DeviceArray, DeviceKernel, device_kernel, launch, multiprocessors
from fastrnn.cuda.rows import Rows

__all__ = ["products", "sum_products"]


def sum_products(
    a: DeviceArray, W: DeviceArray, b: DeviceArray | None, rows: Rows, sources: DeviceArray,
    code: int, out: DeviceArray,
) -> None:  # fmt: skip
    """Compute out[rows] = f(b + sum_j W_j a[sources[j]]); without b, of W_j^T instead.

    Parameters
    ----------
    a : DeviceArray
        Rows of p numbers; without b, of m.
    W : DeviceArray, shape (C, m, p)
    b : DeviceArray, shape (m,), optional
    rows : Rows
        The rows of out to compute.
    sources : DeviceArray of int64, shape (C, .)
        For each offset the row of a beside each listed row; a negative one adds nothing.
    code : int
        f by its number in `activations.ACTIVATIONS`.
    out : DeviceArray
        Overwritten: rows of m numbers; without b, of p.
    """
    C, m, p = W.shape
    depth, columns = (m, p) if b is None else (p, m)
    most = sources.shape[1]
    tile = LARGE
    blocks = -(-most // tile[0]) * -(-columns // tile[1])
    if W.dtype == np.float64 or blocks < multiprocessors():
        tile = SMALL
    grid = (-(-most // tile[0]), -(-columns // tile[1]))
    launch(
        products(W.dtype.type, tile, b is None), grid, threads_of(tile), a, depth, W, columns, b,
        int(b is not None), rows.index, sources, most, rows.count, C, code, out,
    )  # fmt: skip


@cache
def products(real: Any, tile: tuple[int, ...], transposed: bool) -> DeviceKernel:
    """Return the kernel of `sum_products`; `transposed` without b."""
    BM, BN, BK, TM, TN = tile
    THREADS, ACROSS, V = threads_of(tile), BN // TN, 16 // real().itemsize
    A, B = BM + V, BN + V
    NA, NB = BM * BK // THREADS, BN * BK // THREADS
    A_SIZE, B_SIZE, SUMS = BK * A, BK * B, TM * TN
    A_STEP, B_STEP = BM * V // TM, BN * V // TN
    add_product = slice_product(real, tile)
    r = real.__name__

    @device_kernel(
        f"{r}*, int64, {r}*, int64, {r}*, int32, int64*, int64*, int64, int64*, int64, int32, {r}*",
        launch_bounds=THREADS,
    )
    def sum_products_kernel(
        a, depth, W, columns, bias, biased, rows, sources, most, count, C, code, out
    ):
        slice_a = cuda.shared.array(A_SIZE, real)
        slice_b = cuda.shared.array(B_SIZE, real)
        sums = cuda.local.array(SUMS, real)
        left = cuda.local.array(TM, real)
        right = cuda.local.array(TN, real)
        next_a = cuda.local.array(NA, real)
        next_b = cuda.local.array(NB, real)
        places = cuda.local.array(NA, np.int64)
        tid = cuda.threadIdx.x
        ty, tx = tid // ACROSS, tid % ACROSS
        row0, column0 = cuda.blockIdx.x * BM, cuda.blockIdx.y * BN
        height = count[0]
        if row0 >= height:
            return
        for i in range(SUMS):
            sums[i] = real(0)
        j, k0, some, held = -1, depth, 0, False
        while True:  # the next slice into registers; the one in shared memory into the sums
            k0 += BK
            if k0 >= depth:  # on to the next offset through which one of these rows reads
                k0, some = 0, 0
                while some == 0 and j < C - 1:
                    j += 1
                    mine = 0
                    for s in range(NA):
                        i = row0 + (tid + s * THREADS) // BK
                        places[s] = -1
                        if i < height and sources[j * most + i] >= 0:
                            places[s] = sources[j * most + i] * depth
                            mine = 1
                    some = cuda.syncthreads_or(mine)
            if some != 0:
                for s in range(NA):
                    k = k0 + (tid + s * THREADS) % BK
                    next_a[s] = real(0)
                    if places[s] >= 0 and k < depth:
                        next_a[s] = a[places[s] + k]
                for s in range(NB):
                    e = tid + s * THREADS
                    next_b[s] = real(0)
                    if transposed:
                        k, i = k0 + e // BN, column0 + e % BN
                        if k < depth and i < columns:
                            next_b[s] = W[(j * depth + k) * columns + i]
                    else:
                        k, i = k0 + e % BK, column0 + e // BK
                        if k < depth and i < columns:
                            next_b[s] = W[(j * columns + i) * depth + k]
            if held:
                add_product(slice_a, slice_b, left, right, sums, ty, tx)
                cuda.syncthreads()
            if some == 0:
                break
            for s in range(NA):
                e = tid + s * THREADS
                slice_a[e % BK * A + e // BK] = next_a[s]
            for s in range(NB):
                e = tid + s * THREADS
                if transposed:
                    slice_b[e // BN * B + e % BN] = next_b[s]
                else:
                    slice_b[e % BK * B + e // BK] = next_b[s]
            cuda.syncthreads()
            held = True
        for i in range(TM):
            row = row0 + i // V * A_STEP + ty * V + i % V
            if row < height:
                to = rows[row] * columns
                for c in range(TN):
                    column = column0 + c // V * B_STEP + tx * V + c % V
                    if column < columns:
                        total = sums[i * TN + c]
                        if biased != 0:
                            total += bias[column]
                        out[to + column] = total
        if code == 0:
            return
        # In a second loop: f would make the first so long that the compiler leaves it a loop, and
        # sums that a loop picks by number live in local memory.
        for i in range(TM):
            row = row0 + i // V * A_STEP + ty * V + i % V
            if row < height:
                to = rows[row] * columns
                for c in range(TN):
                    column = column0 + c // V * B_STEP + tx * V + c % V
                    if column < columns:
                        out[to + column] = activate(code, out[to + column])

    return sum_products_kernel
