"""Time-delay layer on the GPU: the twins of `tdnn.kernels` (MATH.md section 3).

A layer is a sum of products over lists of rows, as on the CPU: see `tdnn.cuda.rows` for the lists
and `tdnn.cuda.products` for the products. No sum depends on timing; the bits of frames of h and dx
do not depend on the other sequences of their batch.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cuda.activations import activate, activation_code, times_slope
from fastrnn.cuda.gemm import sum_outer, sum_rows
from fastrnn.cuda.inputs import token_sums, transposed
from fastrnn.cuda.intrinsics import cuda
from fastrnn.cuda.launching import (
    DeviceArray,
    DeviceKernel,
    copy_to_device,
    device_kernel,
    empty,
    launch,
    view,
)
from fastrnn.cuda.rows import Rows, zero_padding
from tdnn.cuda.products import sum_products
from tdnn.cuda.rows import THREADS, count_frames, edge_sums, list_inputs, list_step, list_windows
from tdnn.kernels import PADDINGS, REPLICATE, VALID
from tdnn.results import TDNNGrads, TDNNState

__all__ = ["tdnn_backward", "tdnn_forward", "tdnn_step"]


def tdnn_forward(
    x: Any, W: Any, b: Any, offsets: Sequence[int], lengths: Any = None, activation: str = "relu",
    padding: str = "valid", stride: int = 1, h: Any = None, work: Any = None,
) -> TDNNState:  # fmt: skip
    """Compute the frames h(t) = f(b + sum_j W_j x(t + k_j)) (MATH.md section 3).

    Arguments are not checked. x (T, B, p) or int64 token ids (T, B), W (C, m, p), b (m,), offsets C
    ints in CPU memory, lengths (B,) int64. Buffer, overwritten: h (T_out, B, m); `work` is not
    needed here. Returns TDNNState(h, lengths).
    """
    x, W, b = view(x), view(W), view(b)
    layer = _layer(x, offsets, lengths, padding, stride)
    states = h
    if h is None:
        states = empty((layer.frames, layer.B, W.shape[1]), W.dtype, x.stream)
    out = view(states)
    if lengths is not None:
        zero_padding(out, layer.counts)
    windows, sources = _windows(layer)
    code = activation_code(activation)
    if x.ndim == 3:
        sum_products(x, W, b, windows, sources, code, out)
    else:
        _sum_columns(x, W, b, windows, sources, code, out)
    return TDNNState(states, layer.counts)  # type: ignore[arg-type]


def tdnn_backward(
    dh: Any, x: Any, h: Any, W: Any, offsets: Sequence[int], lengths: Any = None,
    activation: str = "relu", padding: str = "valid", stride: int = 1, dx: Any = None,
    dW: Any = None, db: Any = None, work: Any = None,
) -> TDNNGrads:  # fmt: skip
    """Gradients from dh = dL/dh (MATH.md section 3).

    Arguments are not checked. dh and h (T_out, B, m), the rest as in `tdnn_forward`. Buffers,
    overwritten: dx (T, B, p), dW (C, m, p), db (m,), and work (T_out, B, m), which receives
    d_a = dL/da. Returns TDNNGrads(dx, dW, db); its dx is None for token ids.
    """
    dh, x, h, W = view(dh), view(x), view(h), view(W)
    C, m, p = W.shape
    layer = _layer(x, offsets, lengths, padding, stride)
    d_W: Any = empty(W.shape, W.dtype, x.stream) if dW is None else dW
    d_b: Any = empty(m, W.dtype, x.stream) if db is None else db
    d_input = empty(x.shape, W.dtype, x.stream) if dx is None and x.ndim == 3 else dx
    da = _pre_activations(dh, h, layer, activation_code(activation), C, work)
    windows, sources = _windows(layer)
    alive = da.reshape((-1, m))
    if x.ndim == 3:
        _input_gradient(da, W, layer, view(d_input))
        inputs = x.reshape((layer.T * layer.B, p))
        for j in range(C):
            beside = sources.rows(j, j + 1).reshape((-1,))
            dW_j = view(d_W).rows(j, j + 1).reshape((m, p))
            sum_outer(alive, inputs, dW_j, rows=windows, before=beside)
    else:
        ids = empty(sources.shape, np.int32, x.stream)
        most = sources.shape[1]
        _launch_each(_listed_tokens, ids.size, x, sources, windows.count, most, ids.size, p, ids)
        token_sums(da, ids, windows.index, view(d_W))
    sum_rows(alive, view(d_b), rows=windows)
    return TDNNGrads(d_input, d_W, d_b)


def tdnn_step(
    x_t: Any, ring: Any, position: int, W: Any, b: Any, offsets: Sequence[int],
    activation: str = "relu", out: Any = None,
) -> Any:  # fmt: skip
    """Take in frame `position`, return output frame position - r (MATH.md section 3).

    r = max(k_max, 0). Arguments are not checked. x_t (B, p) or int64 token ids (B,); W, b, offsets
    as in `tdnn_forward`. The kernel stores x_t in ring[position % R], of (R, B, p) or (R, B): see
    `tdnn.kernels.tdnn_step`. out (B, m) is overwritten and returned.
    """
    x_t, ring, W, b = view(x_t), view(ring), view(W), view(b)
    (R, B), C, stream = ring.shape[:2], W.shape[0], ring.stream
    state = empty((B, W.shape[1]), W.dtype, stream) if out is None else out
    slot = ring.rows(position % R, position % R + 1)
    _launch_each(_copy(x_t.dtype.type), x_t.size, x_t, x_t.size, slot)
    first = position - max(0, *offsets)
    places = copy_to_device(np.array([(first + k) % R for k in offsets], np.int64), stream)
    rows = Rows(empty(B, np.int64, stream), empty(1, np.int64, stream))
    sources = empty((C, B), np.int64, stream)
    _launch_each(list_step, B, places, C, B, rows.index, rows.count, sources)
    add = sum_products if ring.ndim == 3 else _sum_columns
    add(ring, W, b, rows, sources, activation_code(activation), view(state))
    return state


class _Layer(NamedTuple):
    """What the lists of a layer depend on; arrays lie on the GPU."""

    T: int
    B: int
    frames: int
    stride: int
    repeat: int
    shifts: DeviceArray
    """The offsets as seen from i * stride, (C,)."""
    inputs: DeviceArray
    """Number of input frames of each sequence, (B,)."""
    counts: DeviceArray
    """Number of output frames of each sequence, (B,)."""
    starts: DeviceArray
    """(2, B + 1): how many input frames, and output frames, come before each sequence's first."""


def _layer(
    x: DeviceArray, offsets: Sequence[int], lengths: Any, padding: str, stride: int
) -> _Layer:
    if padding not in PADDINGS:
        raise ValueError("padding: expected 'valid', 'zero', 'replicate' or 'causal'")
    shifts, mode = tuple(int(offset) for offset in offsets), PADDINGS[padding]
    (T, B), span = x.shape[:2], 0
    if mode == VALID:
        span, low = max(shifts) - min(shifts), min(shifts)
        shifts = tuple(shift - low for shift in shifts)
    frames = max(0, (T - span - 1) // stride + 1)
    counts, starts = empty((2, B), np.int64, x.stream), empty((2, B + 1), np.int64, x.stream)
    given = None if lengths is None else view(lengths)
    launch(
        count_frames, 2, THREADS, given, int(lengths is not None), T, B, span, stride, counts,
        starts,
    )  # fmt: skip
    inputs, outputs = (counts.rows(i, i + 1).reshape((B,)) for i in (0, 1))
    on_device = copy_to_device(np.array(shifts, np.int64), x.stream)
    return _Layer(T, B, frames, stride, int(mode == REPLICATE), on_device, inputs, outputs, starts)


def _rows_before(layer: _Layer, which: int) -> DeviceArray:
    """Return, as an array of one number, how many input rows (0) or output rows (1) are alive."""
    at = (which + 1) * (layer.B + 1)
    return layer.starts.reshape((-1,)).rows(at - 1, at)


def _windows(layer: _Layer) -> tuple[Rows, DeviceArray]:
    """List the output rows alive; return also (C, frames * B), the input rows that they read."""
    C, most, stream = layer.shifts.size, layer.frames * layer.B, layer.shifts.stream
    rows, sources = empty(most, np.int64, stream), empty((C, most), np.int64, stream)
    _launch_each(
        list_windows, most, layer.inputs, layer.B, layer.frames, layer.counts,
        layer.starts.rows(1, 2), layer.shifts, C, layer.stride, layer.repeat, rows, sources,
    )  # fmt: skip
    return Rows(rows, _rows_before(layer, 1)), sources


def _launch_each(kernel: DeviceKernel, size: int, *arguments: Any) -> None:
    """Launch a kernel with one thread for each of `size` things."""
    launch(kernel, -(-size // THREADS), THREADS, *arguments)


def _sum_columns(
    x: DeviceArray, W: DeviceArray, b: DeviceArray, rows: Rows, sources: DeviceArray, code: int,
    out: DeviceArray,
) -> None:  # fmt: skip
    """As `sum_products` for token ids x: the products are columns of the W_j."""
    C, m, p = W.shape
    _launch_each(
        _token_frames(W.dtype.type), sources.shape[1] * m, x, transposed(W), b, rows.index,
        sources, rows.count, sources.shape[1], C, m, p, code, out,
    )  # fmt: skip


def _pre_activations(
    dh: DeviceArray, h: DeviceArray, layer: _Layer, code: int, C: int, work: Any
) -> DeviceArray:
    """Return da (frames + 2 C, B, m) or (frames, B, m): with repeated frames, sums follow it."""
    m, real = h.shape[2], h.dtype.type
    shape = (layer.frames + 2 * C * layer.repeat, layer.B, m)
    da = empty(shape, h.dtype, h.stream) if work is None or layer.repeat else view(work)
    size = layer.frames * layer.B * m
    _launch_each(_slopes(real), size, code, dh, h, layer.counts, layer.B, m, size, da)
    if layer.repeat:
        _launch_each(
            edge_sums(real), 2 * C * layer.B * m, da, layer.inputs, layer.B, m, layer.frames,
            layer.counts, layer.shifts, C, layer.stride,
        )  # fmt: skip
        if work is not None:
            _launch_each(_copy(real), size, da, size, view(work))
    return da


def _input_gradient(da: DeviceArray, W: DeviceArray, layer: _Layer, dx: DeviceArray) -> None:
    """Compute dx(s) = sum over j of W_j^T da of the frame that reads x(s) through offset j."""
    C, most, stream = W.shape[0], layer.T * layer.B, dx.stream
    rows, sources = empty(most, np.int64, stream), empty((C, most), np.int64, stream)
    _launch_each(
        list_inputs, most, layer.inputs, layer.T, layer.B, layer.frames, layer.counts,
        layer.starts.rows(0, 1), layer.shifts, C, layer.stride, layer.repeat, rows, sources,
    )  # fmt: skip
    zero_padding(dx, layer.inputs)
    sum_products(da, W, None, Rows(rows, _rows_before(layer, 0)), sources, 0, dx)


@cache
def _slopes(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"int64, {type_}*, {type_}*, int64*, int64, int64, int64, {type_}*", launch_bounds=THREADS
    )
    def multiply_slopes(code, dh, h, counts, B, m, size, da):
        """Store da = f' dh, 0 in padding; one thread for each number."""
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < size:
            row = at // m
            da[at] = real(0)
            if row // B < counts[row % B]:
                da[at] = times_slope(code, h[at], dh[at])

    return multiply_slopes


@cache
def _copy(real: Any) -> DeviceKernel:
    @device_kernel(f"{real.__name__}*, int64, {real.__name__}*", launch_bounds=THREADS)
    def copy(source, size, target):
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < size:
            target[at] = source[at]

    return copy


@cache
def _token_frames(real: Any) -> DeviceKernel:
    type_ = real.__name__

    @device_kernel(
        f"int64*, {type_}*, {type_}*, int64*, int64*, int64*, int64, int64, int64, int64, int64,"
        f"{type_}*",
        launch_bounds=THREADS,
    )
    def token_frames(x, columns, b, rows, sources, listed, most, C, m, p, code, out):
        """One thread for each number of out; columns (C, p, m) holds each W_j transposed."""
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at >= listed[0] * m:
            return
        place, unit = at // m, at % m
        total = b[unit]
        for j in range(C):
            source = sources[j * most + place]
            if source >= 0:
                token = x[source]
                if 0 <= token and token < p:
                    total += columns[(j * p + token) * m + unit]
        out[rows[place] * m + unit] = activate(code, total)

    return token_frames


@device_kernel("int64*, int64*, int64*, int64, int64, int64, int32*", launch_bounds=THREADS)
def _listed_tokens(x, sources, listed, most, size, p, ids):
    """Store the token that each window sees through each offset, -1 for none: ids (C, most)."""
    at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
    if at >= size:
        return
    ids[at] = -1
    if at % most < listed[0] and sources[at] >= 0:
        token = x[sources[at]]
        if 0 <= token and token < p:
            ids[at] = token
