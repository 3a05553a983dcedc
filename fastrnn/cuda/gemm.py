"""Matrix products over listed rows on the GPU: what every kernel is made of.

    multiply_rows(a, b, c, transposed=True, bias=None, start=None, activation=None, states=None,
                  rows=None, blas=None)          c[r] = f(a[r] b^T + bias + start[r])
    sum_outer(a, b, c, rows=None, before=None, first=None, blas=None)
                                                 c = sum over r of outer(a[r], b[r])
    sum_rows(a, c, rows=None)                    c = sum over r of a[r]

All arguments are DeviceArrays of one float type; a, b and c have two axes. `rows` is a
`rows.Rows`: a list of row numbers on the device, with its length on the device too. Rows that are
not listed cost nothing and are left as they are.

A block of threads computes a tile of c. It brings a slice of both factors into shared memory while
it multiplies the slice before; each thread holds a small tile of sums in registers. Each number of
c is one chain of fused multiply-adds over k, whatever the tile: so a row's bits do not depend on
the others. The long sums over rows are cut into parts, for more blocks than c has tiles; the parts
are added in order.

`blas`, where the caller has one, takes over products without a list: a function
``blas(a, b, c, transpose_a, transpose_b, accumulate)`` that queues c = op(a) op(b), or c += , on
the arrays' stream. `library_blas` makes one of PyTorch or CuPy.
"""

import functools

import numpy as np

from fastrnn.cuda.activations import activate, times_slope
from fastrnn.cuda.intrinsics import copy16, cuda, device_function
from fastrnn.cuda.launching import device_kernel, empty, fill, launch, multiprocessors

__all__ = ["library_blas", "multiply_rows", "sum_outer", "sum_rows"]

# Rows, columns and depth of a block's slice, rows and columns of a thread's tile.
LARGE = (128, 128, 8, 8, 8)
SMALL = (32, 32, 16, 4, 4)
# Rows of a running sum before it goes into a total: it would lose float32 digits.
CHUNK = 1024
# Rows that one part of a sum over rows has at least.
_FEWEST = 256
# What becomes of the sums, in this order.
_BIAS, _START, _ACTIVATE, _SLOPE = 1, 2, 4, 8


def threads_of(tile):
    """Return how many threads compute a tile."""
    BM, BN, _, TM, TN = tile
    return BM // TM * (BN // TN)


@functools.cache
def slice_product(real, tile):
    """Return the function that adds a product of two slices to a thread's sums.

    A thread's rows lie in groups that fill 16 bytes, so that neighbours read neighbouring numbers.
    """
    BM, BN, BK, TM, TN = tile
    V = 16 // real().itemsize
    A, B = BM + V, BN + V  # longer than they need: fewer threads meet in one bank
    A_STEP, B_STEP = BM * V // TM, BN * V // TN

    @device_function
    def add_product(slice_a, slice_b, left, right, sums, ty, tx):
        for k in range(BK):
            for v in range(TM // V):
                copy16(left, v * V, slice_a, k * A + v * A_STEP + ty * V)
            for v in range(TN // V):
                copy16(right, v * V, slice_b, k * B + v * B_STEP + tx * V)
            for i in range(TM):
                for j in range(TN):
                    sums[i * TN + j] += left[i] * right[j]

    return add_product


@functools.cache
def rows_kernel(real, transposed, tile):
    """Return the kernel of `multiply_rows`, for b (N, K) if transposed, else (K, N)."""
    BM, BN, BK, TM, TN = tile
    THREADS, COLUMNS, V = threads_of(tile), BN // TN, 16 // real().itemsize
    A, B, SUMS = BM + V, BN + V, TM * TN
    SIZE_A, SIZE_B = BK * A, BK * B
    NA, NB = BM * BK // THREADS, BN * BK // THREADS
    A_STEP, B_STEP = BM * V // TM, BN * V // TN
    add_product = slice_product(real, tile)
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, {r}*, {r}*, {r}*, {r}*, int64*, int64*, int64, int64, int64, int32, int32, "
        "int32",
        launch_bounds=THREADS,
    )
    def multiply_rows_kernel(
        a, b, bias, start, states, c, rows, count, M, N, K, listed, mode, code
    ):  # fmt: skip
        slice_a = cuda.shared.array(SIZE_A, real)
        slice_b = cuda.shared.array(SIZE_B, real)
        sums = cuda.local.array(SUMS, real)
        results = cuda.local.array(SUMS, real)  # the sums again, not in registers: for long loops
        left = cuda.local.array(TM, real)
        right = cuda.local.array(TN, real)
        next_a = cuda.local.array(NA, real)
        next_b = cuda.local.array(NB, real)
        places = cuda.local.array(NA, np.int64)
        tid = cuda.threadIdx.x
        ty, tx = tid // COLUMNS, tid % COLUMNS
        row0, column0 = cuda.blockIdx.x * BM, cuda.blockIdx.y * BN
        height = count[0] if listed != 0 else M
        if row0 >= height:
            return
        for s in range(NA):
            i = row0 + (tid + s * THREADS) // BK
            places[s] = -1
            if i < height:
                places[s] = (rows[i] if listed != 0 else i) * K
        for i in range(TM * TN):
            sums[i] = real(0)
        k0 = -BK
        while True:  # the next slice into registers; the one in shared memory into the sums
            for s in range(NA):
                k = k0 + BK + (tid + s * THREADS) % BK
                next_a[s] = real(0)
                if places[s] >= 0 and k < K:
                    next_a[s] = a[places[s] + k]
            for s in range(NB):
                e = tid + s * THREADS
                next_b[s] = real(0)
                if transposed:
                    k, j = k0 + BK + e % BK, column0 + e // BK
                    if k < K and j < N:
                        next_b[s] = b[j * K + k]
                else:
                    k, j = k0 + BK + e // BN, column0 + e % BN
                    if k < K and j < N:
                        next_b[s] = b[k * N + j]
            if k0 >= 0:
                add_product(slice_a, slice_b, left, right, sums, ty, tx)
                cuda.syncthreads()
            k0 += BK
            if k0 >= K:
                break
            for s in range(NA):
                e = tid + s * THREADS
                slice_a[e % BK * A + e // BK] = next_a[s]
            for s in range(NB):
                e = tid + s * THREADS
                if transposed:
                    slice_b[e % BK * B + e // BK] = next_b[s]
                else:
                    slice_b[e // BN * B + e % BN] = next_b[s]
            cuda.syncthreads()
        for i in range(SUMS):
            results[i] = sums[i]
        for i in range(TM):
            row = row0 + i // V * A_STEP + ty * V + i % V
            if row < height:
                at = (rows[row] if listed != 0 else row) * N
                for j in range(TN):
                    column = column0 + j // V * B_STEP + tx * V + j % V
                    if column < N:
                        value = results[i * TN + j]
                        if mode & _BIAS:
                            value += bias[column]
                        if mode & _START:
                            value += start[at + column]
                        if mode & _ACTIVATE:
                            value = activate(code, value)
                        if mode & _SLOPE:
                            value = times_slope(code, states[at + column], value)
                        c[at + column] = value

    return multiply_rows_kernel


@functools.cache
def outer_kernel(real, tile):
    """Return the kernel of `sum_outer`: each part of the sum goes into its own matrix."""
    BM, BN, BK, TM, TN = tile
    THREADS, COLUMNS, V = threads_of(tile), BN // TN, 16 // real().itemsize
    A, B, SUMS = BM + V, BN + V, TM * TN
    SIZE_A, SIZE_B = BK * A, BK * B
    NA, NB = BM * BK // THREADS, BN * BK // THREADS
    A_STEP, B_STEP = BM * V // TM, BN * V // TN
    add_product = slice_product(real, tile)
    r = real.__name__

    @device_kernel(
        f"{r}*, {r}*, {r}*, {r}*, int64*, int64*, int64*, int64, int64, int64, int32, int32, int64",
        launch_bounds=THREADS,
    )
    def sum_outer_kernel(
        a, b, first, c, rows, before, count, M, N, K, listed, shifted, starts
    ):  # fmt: skip
        slice_a = cuda.shared.array(SIZE_A, real)
        slice_b = cuda.shared.array(SIZE_B, real)
        sums = cuda.local.array(SUMS, real)
        results = cuda.local.array(SUMS, real)  # the sums again, not in registers: for long loops
        left = cuda.local.array(TM, real)
        right = cuda.local.array(TN, real)
        next_a = cuda.local.array(NA, real)
        next_b = cuda.local.array(NB, real)
        tid = cuda.threadIdx.x
        ty, tx = tid // COLUMNS, tid % COLUMNS
        row0, column0 = cuda.blockIdx.x * BM, cuda.blockIdx.y * BN
        depth = count[0] if listed != 0 else K
        part = ((depth + cuda.gridDim.z - 1) // cuda.gridDim.z + BK - 1) // BK * BK
        begin = cuda.blockIdx.z * part
        end = min(begin + part, depth)
        target = cuda.blockIdx.z * M * N
        for i in range(TM * TN):
            sums[i] = real(0)
        k0, kept = begin - BK, False
        while True:  # the next slice into registers; the one in shared memory into the sums
            for s in range(NA):
                e = tid + s * THREADS
                k, i = k0 + BK + e // BM, row0 + e % BM
                next_a[s] = real(0)
                if k < end and i < M:
                    next_a[s] = a[(rows[k] if listed != 0 else k) * M + i]
            for s in range(NB):
                e = tid + s * THREADS
                k, j = k0 + BK + e // BN, column0 + e % BN
                next_b[s] = real(0)
                if k < end and j < N:
                    row = k
                    if shifted != 0:
                        row = before[k]
                    elif listed != 0:
                        row = rows[k]
                    if row >= 0:
                        next_b[s] = b[row * N + j]
                    elif starts > 0:
                        next_b[s] = first[(row + starts) * N + j]
            if k0 >= begin:
                add_product(slice_a, slice_b, left, right, sums, ty, tx)
                cuda.syncthreads()
            k0 += BK
            if k0 >= end or (k0 > begin and (k0 - begin) % CHUNK == 0):
                for i in range(SUMS):
                    results[i] = sums[i]
                    sums[i] = real(0)
                for i in range(TM):
                    row = row0 + i // V * A_STEP + ty * V + i % V
                    for j in range(TN):
                        column = column0 + j // V * B_STEP + tx * V + j % V
                        if row < M and column < N:
                            at = target + row * N + column
                            c[at] = results[i * TN + j] + (c[at] if kept else real(0))
                kept = True
            if k0 >= end:
                break
            for s in range(NA):
                e = tid + s * THREADS
                slice_a[e // BM * A + e % BM] = next_a[s]
            for s in range(NB):
                e = tid + s * THREADS
                slice_b[e // BN * B + e % BN] = next_b[s]
            cuda.syncthreads()

    return sum_outer_kernel


@functools.cache
def parts_kernel(real):
    """Return the kernel that adds the parts of a sum, in their order."""
    r = real.__name__

    @device_kernel(f"{r}*, {r}*, int64, int64, int32", launch_bounds=256)
    def add_parts(parts, c, size, count, accumulate):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < size:
            total = c[i] if accumulate != 0 else real(0)
            for part in range(count):
                total += parts[part * size + i]
            c[i] = total

    return add_parts


@functools.cache
def sum_rows_kernel(real):
    """Return the kernel of `sum_rows`: a block sums its part of the rows, a thread a column."""
    r = real.__name__

    @device_kernel(f"{r}*, {r}*, int64*, int64*, int64, int64, int32", launch_bounds=128)
    def sum_rows_part(a, parts, rows, count, K, N, listed):
        j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        depth = count[0] if listed != 0 else K
        part = (depth + cuda.gridDim.y - 1) // cuda.gridDim.y
        begin = cuda.blockIdx.y * part
        if j < N:
            total = real(0)
            for k in range(begin, min(begin + part, depth)):
                total += a[(rows[k] if listed != 0 else k) * N + j]
            parts[cuda.blockIdx.y * N + j] = total

    return sum_rows_part


def _tile(real, M, N):
    """Return the tile for a product: a large one only where it makes blocks for all processors."""
    BM, BN = LARGE[:2]
    enough = -(-M // BM) * -(-N // BN) >= multiprocessors()
    return LARGE if real is np.float32 and enough else SMALL


def multiply_rows(
    a, b, c, *, transposed=False, bias=None, start=None, activation=None, states=None, rows=None,
    blas=None,
):  # fmt: skip
    """Set c[r] to f(a[r] b + bias + start[r]) for all rows r, or for those listed.

    Parameters
    ----------
    a : DeviceArray (M, K)
    b : DeviceArray (K, N), or (N, K) if transposed
    c : DeviceArray (M, N)
        Overwritten; it may be `start`, but not a.
    transposed : bool
        Use b^T for b.
    bias : DeviceArray (N,), optional
    start : DeviceArray (M, N), optional
    activation : int, optional
        f by its number in `activations.ACTIVATIONS`.
    states : DeviceArray (M, N), optional
        Instead of f: multiply by f', computed from these h = f(a).
    rows : Rows, optional
        The rows r to compute; they may be rows of arrays with more rows than M.
    blas : callable, optional
        See the module; used where there is no list.
    """
    M, K = a.shape
    N, real = c.shape[1], c.dtype.type
    if 0 in c.shape:
        return
    mode = (_BIAS if bias is not None else 0) | (_START if start is not None else 0)
    if activation is not None:
        mode |= _ACTIVATE if states is None else _SLOPE
    code = activation or 0
    if blas is not None and rows is None and not mode & ~_BIAS:
        blas(a, b, c, False, transposed, False)
        if mode:
            launch(bias_kernel(real), -(-c.size // 256), 256, bias, c, c.size, N)
        return
    height = M if rows is None else rows.index.size
    listed, index, count = (0, None, None) if rows is None else (1, rows.index, rows.count)
    tile = _tile(real, height, N)
    grid = -(-height // tile[0]), -(-N // tile[1])
    launch(
        rows_kernel(real, bool(transposed), tile), grid, threads_of(tile),
        a, b, bias, start, states, c, index, count, height, N, K, listed, mode, code,
        stream=c.stream,
    )  # fmt: skip


@functools.cache
def bias_kernel(real):
    """Return the kernel that adds a bias to each row."""
    r = real.__name__

    @device_kernel(f"{r}*, {r}*, int64, int64", launch_bounds=256)
    def add_bias(bias, c, size, N):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < size:
            c[i] += bias[i % N]

    return add_bias


def sum_outer(a, b, c, *, rows=None, before=None, first=None, accumulate=False, blas=None):
    """Set c to the sum over k of outer(a[rows[k]], b[before[k]]).

    Parameters
    ----------
    a : DeviceArray (., M)
    b : DeviceArray (., N)
    c : DeviceArray (M, N)
        Overwritten, or added to with `accumulate`.
    rows : Rows, optional
        The rows of a, and of b without `before`; all rows by default.
    before : DeviceArray int64, optional
        The rows of b. A negative one is that row of `first`, counted from its end; zeros where
        there is no `first`.
    first : DeviceArray (., N), optional
    blas : callable, optional
        See the module; used where there is no list.
    """
    (M, N), real = c.shape, c.dtype.type
    K = a.shape[0] if rows is None else rows.index.size
    if c.size == 0:
        return
    if K == 0:
        if not accumulate:
            fill(c, 0)
        return
    if blas is not None and rows is None and before is None:
        blas(a, b, c, True, False, accumulate)
        return
    tile = _tile(real, M, N)
    grid = -(-M // tile[0]), -(-N // tile[1])
    parts = _parts(grid[0] * grid[1], K)
    target = c if parts == 1 and not accumulate else empty((parts, M, N), c.dtype, c.stream)
    listed, index, count = (0, None, None) if rows is None else (1, rows.index, rows.count)
    starts = 0 if first is None else first.shape[0]
    launch(
        outer_kernel(real, tile), (*grid, parts), threads_of(tile),
        a, b, first, target, index, before, count, M, N, K, listed, int(before is not None), starts,
        stream=c.stream,
    )  # fmt: skip
    if target is not c:
        _add(target, c, parts, accumulate)


def _parts(tiles, K):
    """Return into how many parts a sum over K rows is cut: some blocks for every processor."""
    return max(1, min(4 * multiprocessors() // tiles, -(-K // _FEWEST)))


def _add(parts, c, count, accumulate=False):
    launch(
        parts_kernel(c.dtype.type), -(-c.size // 256), 256, parts, c, c.size, count,
        int(accumulate), stream=c.stream,
    )  # fmt: skip


def sum_rows(a, c, *, rows=None):
    """Set c (N,) to the sum of all rows of a (K, N), or of those listed."""
    N, real = c.size, c.dtype.type
    K = a.shape[0] if rows is None else rows.index.size
    if N == 0:
        return
    if K == 0:
        fill(c, 0)
        return
    columns = -(-N // 128)
    count = max(1, min(8 * multiprocessors() // columns, -(-K // 32)))
    parts = empty((count, N), c.dtype, c.stream)
    listed, index, length = (0, None, None) if rows is None else (1, rows.index, rows.count)
    launch(
        sum_rows_kernel(real), (columns, count), 128, a, parts, index, length, K, N, listed,
        stream=c.stream,
    )  # fmt: skip
    _add(parts, c, count)


def library_blas(library):
    """Return a `blas` that uses the cuBLAS of a library, on that library's current stream.

    Parameters
    ----------
    library : module
        `torch` or `cupy`, as the caller has imported it.
    """

    def wrap(array):
        if hasattr(library, "as_tensor"):  # PyTorch; zero copy, as is CuPy's
            return library.as_tensor(array, device="cuda")
        return library.asarray(array)

    def multiply(a, b, c, transpose_a, transpose_b, accumulate):
        left, right, result = wrap(a), wrap(b), wrap(c)
        left, right = left.T if transpose_a else left, right.T if transpose_b else right
        if accumulate:
            result += library.matmul(left, right)
        else:
            library.matmul(left, right, out=result)

    return multiply
