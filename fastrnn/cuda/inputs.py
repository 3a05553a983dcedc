"""Token ids on the GPU: U x as a gather of columns, dU as a sum over columns.

A token stands for a one-hot frame. A negative id, or one past the last column, stands for no frame:
it adds nothing and nothing is read for it; `checks.require_range` finds such ids.
"""

from functools import cache
from typing import Any

import numpy as np

from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import DeviceArray, DeviceKernel, device_kernel, empty, launch

__all__ = ["add_token_sums", "token_product", "token_sums", "transpose", "transposed"]

_THREADS = 256
_WARPS = _THREADS // 32
_SIDE = 32  # of the tiles that are transposed
_STEP = _SIDE + 1  # between a tile's rows: then its columns lie in as many memory banks
_TILE, _LISTED = _SIDE * _STEP, _THREADS * _WARPS
_RUN = 256  # rows to add up before their sum is added to the others: long sums stay exact


def token_product(
    tokens: DeviceArray, U: DeviceArray, b: DeviceArray, lengths: DeviceArray | None, a: DeviceArray
) -> None:
    """Compute a(t) = b + U x(t) for one-hot frames x(t) given by their token ids.

    Arguments are not checked. tokens (T, B) int64, U (m, p), b (m,), lengths (B,) int64 or None.
    Overwritten: a (T, B, m), zero in padding.
    """
    (T, B), (m, p) = tokens.shape, U.shape
    columns = transposed(U.reshape((1, m, p)))
    kernel, blocks = _token_rows(U.dtype.type), -(-a.size // _THREADS)
    launch(
        kernel, blocks, _THREADS, tokens, lengths, int(lengths is not None), T * B, B, columns, p,
        m, b, a,
    )  # fmt: skip


@cache
def _token_rows(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"int64*, int64*, int64, int64, int64, {type_}*, int64, int64, {type_}*, {type_}*",
        launch_bounds=_THREADS,
    )
    def token_rows(tokens, lengths, ragged, count, B, columns, p, m, b, a):
        """One thread for each number of a; columns (p, m) is U transposed."""
        at = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
        if at >= count * m:
            return
        row, unit = at // m, at % m
        total = real(0)
        alive = 1
        if ragged != 0 and row // B >= lengths[row % B]:
            alive = 0
        if alive != 0:
            token = tokens[row]
            total = b[unit]
            if 0 <= token and token < p:
                total += columns[token * m + unit]
        a[at] = total

    return token_rows


def transposed(W: DeviceArray) -> DeviceArray:
    """Return a copy (C, p, m) of matrices W (C, m, p): a token's column becomes a row."""
    C, m, p = W.shape
    copy = empty((C, p, m), W.dtype, W.stream)
    grid = (-(-p // _SIDE), -(-m // _SIDE), C)
    launch(transpose(W.dtype.type), grid, (_SIDE, _WARPS), W, m, p, copy)
    return copy


@cache
def transpose(real: Any) -> DeviceKernel:
    """Return the kernel that transposes matrices (., m, p); grid (columns, rows, matrices)."""
    type_ = real.__name__

    @device_kernel(f"{type_}*, int64, int64, {type_}*", launch_bounds=_THREADS)
    def transpose_tiles(W, m, p, copy):
        """Read a tile along the rows of W, write it along the rows of its copy."""
        tile = cuda.shared.array(_TILE, real)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        left, top = cuda.blockIdx.x * _SIDE, cuda.blockIdx.y * _SIDE
        start = cuda.blockIdx.z * m * p
        for i in range(y, _SIDE, _WARPS):
            if top + i < m and left + x < p:
                tile[i * _STEP + x] = W[start + (top + i) * p + left + x]
        cuda.syncthreads()
        for i in range(y, _SIDE, _WARPS):
            if left + i < p and top + x < m:
                copy[start + (left + i) * m + top + x] = tile[x * _STEP + i]

    return transpose_tiles


def add_token_sums(
    da: DeviceArray, tokens: DeviceArray, lengths: DeviceArray | None, dU: DeviceArray
) -> None:
    """Compute dU = sum of da(t) x(t)^T, x(t) one-hot frames given by their token ids.

    Arguments are not checked. da (T, B, m), tokens (T, B) int64, lengths (B,) int64 or None.
    Overwritten: dU (m, p).
    """
    T, B = tokens.shape
    ids, ragged = empty((1, T * B), np.int32, dU.stream), int(lengths is not None)
    m, p = dU.shape
    launch(_ids_alive, -(-T * B // _THREADS), _THREADS, tokens, lengths, ragged, T * B, B, p, ids)
    token_sums(da, ids, None, dU.reshape((1, m, p)))


@device_kernel("int64*, int64*, int64, int64, int64, int64, int32*", launch_bounds=_THREADS)
def _ids_alive(tokens, lengths, ragged, count, B, p, ids):
    """Copy the ids, -1 in padding and where they are out of range."""
    at = cuda.blockIdx.x * _THREADS + cuda.threadIdx.x
    if at >= count:
        return
    token = np.int64(-1)
    alive = 1
    if ragged != 0 and at // B >= lengths[at % B]:
        alive = 0
    if alive != 0 and 0 <= tokens[at] and tokens[at] < p:
        token = tokens[at]
    ids[at] = token


def token_sums(
    da: DeviceArray, ids: DeviceArray, rows: DeviceArray | None, dW: DeviceArray
) -> None:
    """Compute dW_j[:, token] = sum of the rows of da that stand beside that token in ids[j].

    ids (C, n) int32, -1 for none; rows (n,) int64 lists rows of da, None all in their order.
    Overwritten: dW (C, m, p). No atomics: each column is summed by one warp for each segment of
    the list, row after row, and the segments' sums are added in their order.
    """
    C, m, p = dW.shape
    n = ids.shape[1]
    # From the sizes alone, so that the bits do not depend on the device; few where p*m is large.
    segments = max(1, min(-(-n // _RUN), 2**22 // max(1, C * m * p), 2**15 // C))
    parts = empty((segments, C, p, m), dW.dtype, dW.stream)
    grid = (-(-p // _WARPS), -(-m // 32), C * segments)
    real = dW.dtype.type
    launch(
        _token_parts(real), grid, _THREADS, da, m, ids, rows, int(rows is not None), n, C, p, parts
    )
    grid = (-(-m // _SIDE), -(-p // _SIDE), C)
    launch(_join_parts(real), grid, (_SIDE, _WARPS), parts, segments, m, p, dW)


@cache
def _token_parts(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"{type_}*, int64, int32*, int64*, int64, int64, int64, int64, {type_}*",
        launch_bounds=_THREADS,
    )
    def token_parts(da, m, ids, rows, listed, n, C, p, parts):
        """Each warp sums 32 units of one token in one segment; grid (tokens, units, C * segments).

        A warp first lists the rows that hold its token among the next _THREADS, then adds them up.
        """
        here = cuda.threadIdx.x
        warp, lane = here // 32, here % 32
        token = cuda.blockIdx.x * _WARPS + warp
        unit = cuda.blockIdx.y * 32 + lane
        j, segment = cuda.blockIdx.z % C, cuda.blockIdx.z // C
        share = (n + cuda.gridDim.z // C - 1) // (cuda.gridDim.z // C)
        first, last = segment * share, min(n, (segment + 1) * share)
        some = cuda.shared.array(_THREADS, np.int32)
        found = cuda.shared.array(_LISTED, np.int32)
        total = real(0)
        for begin in range(first, last, _THREADS):
            some[here] = -1
            if begin + here < last:
                some[here] = ids[j * n + begin + here]
            cuda.syncthreads()
            count = 0
            for group in range(0, _THREADS, 32):
                mine = some[group + lane] == token
                marks = cuda.ballot_sync(0xFFFFFFFF, mine)
                if mine:
                    place = count + cuda.popc(marks & ((1 << lane) - 1))
                    found[warp * _THREADS + place] = group + lane
                count += cuda.popc(marks)
            cuda.syncwarp()
            partial = real(0)
            if unit < m:
                for k in range(count):
                    row = begin + found[warp * _THREADS + k]
                    if listed != 0:
                        row = rows[row]
                    partial += da[row * m + unit]
            total += partial
            cuda.syncthreads()
        if token < p and unit < m:
            parts[((segment * C + j) * p + token) * m + unit] = total

    return token_parts


@cache
def _join_parts(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(f"{type_}*, int64, int64, int64, {type_}*", launch_bounds=_THREADS)
    def join_parts(parts, segments, m, p, dW):
        """Add the segments (., C, p, m) and transpose: grid (units, tokens, C)."""
        tile = cuda.shared.array(_TILE, real)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        left, top = cuda.blockIdx.x * _SIDE, cuda.blockIdx.y * _SIDE
        start, size = cuda.blockIdx.z * m * p, cuda.gridDim.z * m * p
        for i in range(y, _SIDE, _WARPS):
            if top + i < p and left + x < m:
                at = start + (top + i) * m + left + x
                total = parts[at]
                for segment in range(1, segments):
                    total += parts[segment * size + at]
                tile[i * _STEP + x] = total
        cuda.syncthreads()
        for i in range(y, _SIDE, _WARPS):
            if left + i < m and top + x < p:
                dW[start + (left + i) * p + top + x] = tile[x * _STEP + i]

    return join_parts
