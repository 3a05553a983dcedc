"""Time-delay layer on the CPU: `@njit` kernels (MATH.md section 3).

A layer is a sum of products, one for each offset of the context, over lists of rows: the output
rows alive, and the input rows that they read through each offset. Stride, padding and unequal
lengths only change the lists; no window is ever copied. Windows that reach beyond their sequence
see fewer offsets: they make up lists of their own.
"""

import numpy as np

from fastrnn.jit import kernel, part
from fastrnn.kernels.activations import (
    activate,
    activate_rows,
    activation_code,
    floor_of,
    multiply_slope,
)
from fastrnn.kernels.gemm import CHUNK, add_row_sums, outer_buffers, outer_columns, sum_of_products
from fastrnn.kernels.inputs import (
    add_frame,
    add_token_sums,
    as_frames,
    empty_input_gradient,
    token_product,
)
from fastrnn.kernels.rows import (
    copy_row,
    full_lengths,
    one_row,
    shifted_rows,
)
from fastrnn.kernels.weights import flat_buffer, pack_backward, pack_forward, packed_size
from fastrnn.simd import flush_subnormals, restore_subnormals
from fastrnn.simd.packing import pack, panel_count
from tdnn.results import TDNNGrads, TDNNState

__all__ = ["tdnn_backward", "tdnn_forward", "tdnn_step"]

# Codes of the paddings; "causal" is "zero" with offsets <= 0 only.
VALID, ZERO, REPLICATE = 0, 1, 2
PADDINGS = {"valid": VALID, "zero": ZERO, "replicate": REPLICATE, "causal": ZERO}

# Numbers of h, or of its gradient, that stay in the L2 cache while all offsets add to them.
_SPAN = 32_768
# Rows of h to compute together: the weights pass by once for so many.
_ROWS = 128


@kernel
def tdnn_forward(
    x, W, b, offsets, lengths=None, activation="relu", padding="valid", stride=1, h=None, work=None
):
    """Compute the frames h(t) = f(b + sum_j W_j x(t + k_j)) (MATH.md section 3).

    Arguments are not checked. x (T, B, p) or integer token ids (T, B), W (C, m, p), b (m,),
    offsets an int64 array (C,) or a tuple of ints, lengths (B,) int64; x and the buffers are
    C-contiguous. Buffers, overwritten: h (T_out, B, m), and work for the packed weights: C times p
    times m numbers, m rounded up to a multiple of 16 (too small a one is not used). Returns
    TDNNState(h, lengths).
    """
    T, B = x.shape[0], x.shape[1]
    m = W.shape[1]
    shifts = offset_array(offsets)
    mode = padding_code(padding)
    valid = full_lengths(lengths, T, B)
    counts = output_lengths(valid, shifts, mode, stride)
    frames = output_length(T, shifts, mode, stride)
    states = np.empty((frames, B, m), W.dtype) if h is None else h
    code = activation_code(activation)
    forward_rows(x, W, b, shifts, valid, counts, code, mode, stride, states, work, 0, B)
    return TDNNState(states, counts)


@part
def offset_array(offsets):
    """Return the offsets, an array or a tuple, as an int64 array."""
    shifts = np.empty(len(offsets), np.int64)
    for j in range(len(offsets)):
        shifts[j] = offsets[j]
    return shifts


@part
def padding_code(padding):
    """Return a padding's number in PADDINGS; compiled code has no such dict of constants."""
    if padding == "valid":
        return VALID
    if padding == "zero" or padding == "causal":
        return ZERO
    if padding == "replicate":
        return REPLICATE
    raise ValueError("padding: expected 'valid', 'zero', 'replicate' or 'causal'")


@part
def output_length(length, shifts, mode, stride):
    """Return how many output frames a sequence of `length` input frames has."""
    if mode == VALID:
        return max(0, (length - (shifts.max() - shifts.min()) - 1) // stride + 1)
    return (length + stride - 1) // stride


@part
def output_lengths(lengths, shifts, mode, stride):
    """Return the number of output frames of each sequence."""
    counts = np.empty(lengths.size, np.int64)
    for b in range(lengths.size):
        counts[b] = output_length(np.int64(lengths[b]), shifts, mode, stride)
    return counts


@part
def pack_weights(W, panels):
    """Pack each W_j for products W_j x, one behind the other."""
    for j in range(W.shape[0]):
        start = j * packed_size(W, W.shape[2], W.shape[1])
        pack_forward(W[j], 0, panel_count(W, W.shape[1]), panels, start)


@part
def window_rows(
    lengths, counts, begin, end, shift, stride, inside, outside, first, last, out_rows, in_rows
):  # fmt: skip
    """List the output rows, and beside them the input rows, of one offset's products.

    Output frame i, begin <= i < end, reads input frame i * stride + shift. Where that frame exists
    the pair is listed if `inside`; where it lies before or after its sequence, the pair with the
    sequence's nearest frame is listed if `outside`. Only sequences first <= b < last. Returns how
    many there are.
    """
    B = lengths.size
    n = 0
    for i in range(begin, end):
        frame = i * stride + shift
        for b in range(first, last):
            if i < counts[b]:
                nearest = min(max(frame, 0), lengths[b] - 1)
                if inside if nearest == frame else outside:
                    out_rows[n] = i * B + b
                    in_rows[n] = nearest * B + b
                    n += 1
    return n


@part
def frames_at_once(m, first, last):
    """Return how many frames to finish together, for their sums to stay in the cache."""
    return max(1, _SPAN // max(1, (last - first) * m))


@part
def window_start(shifts, mode):
    """Return the input time at which output frame 0 stands."""
    return -shifts.min() if mode == VALID else 0


@part
def forward_rows(x, W, b, shifts, lengths, counts, code, mode, stride, h, work, first, last):
    """Do the work of `tdnn_forward` for the sequences first <= row < last."""
    before = flush_subnormals()
    frames, B, m = h.shape
    p = W.shape[2]
    panels = flat_buffer(work, shifts.size * packed_size(W, p, m), W)
    pack_weights(W, panels)
    flat, inputs, bias = h.reshape((frames * B, m)), as_frames(x), one_row(b, W)
    start, floor = window_start(shifts, mode), floor_of(code, W)
    low, high = start + shifts.min(), start + shifts.max()
    count, size = panel_count(h, m), packed_size(h, p, m)
    span = max(1, _ROWS // max(1, last - first))
    rows = np.empty(span * (last - first), np.int64)
    origins, zeros = np.empty_like(rows), np.zeros_like(rows)
    in_rows = np.empty(shifts.size * rows.size, np.int64)
    begins = np.empty(shifts.size, np.int64)
    for begin in range(0, frames, span):
        end = min(begin + span, frames)
        whole = list_windows(
            lengths, counts, begin, end, stride, low, high, True, first, last, 0, rows, origins
        )
        n = list_windows(
            lengths, counts, begin, end, stride, low, high, False, first, last, whole, rows, origins
        )
        done = 0
        while done < n:
            inside = done < whole
            like = whole
            if not inside:
                like = like_windows(origins[done:n], lengths, start, shifts, mode)
            outs, at = rows[done : done + like], origins[done : done + like]
            done += like
            seen = 0  # offsets at which these windows have a frame
            for j in range(shifts.size):
                shift = start + shifts[j]
                if inside or has_frame(at[0], lengths, shift, mode):
                    ins = in_rows[seen * like : (seen + 1) * like]
                    list_frames(at, lengths, shift, not inside and mode == REPLICATE, ins)
                    begins[seen] = j * size
                    seen += 1
            if x.ndim == 3:
                sum_of_products(
                    inputs, in_rows, p, panels, begins[:seen], 0, count,
                    bias, zeros, flat, outs, floor,
                )  # fmt: skip
                continue
            for i in range(like):
                copy_row(b, flat[outs[i]])
            for j in range(seen):
                ins = in_rows[j * like : (j + 1) * like]
                token_product(inputs, ins, p, panels, begins[j], 0, count, flat, outs, flat, outs)
        if x.ndim == 2 or floor < 0:
            activate_rows(code, flat, rows[:n], 0, m)
    for row in range(first, last):
        for i in range(counts[row], frames):
            h[i, row] = 0
    restore_subnormals(before)


@part
def list_windows(
    lengths, counts, begin, end, stride, low, high, inside, first, last, n, rows, origins
):  # fmt: skip
    """List the output rows from `n` on, and beside them the input rows at offset 0.

    Those of frames begin <= i < end whose windows, from `low` to `high`, lie inside their sequences
    or, if not `inside`, reach beyond. Returns how many rows are then listed.
    """
    B = lengths.size
    for i in range(begin, end):
        frame = i * stride
        for b in range(first, last):
            if i < counts[b] and (frame + low >= 0 and frame + high < lengths[b]) == inside:
                rows[n] = i * B + b
                origins[n] = frame * B + b
                n += 1
    return n


@part
def has_frame(origin, lengths, shift, mode):
    """Return whether a window has an input frame at the offset, if only a repeated one."""
    frame = origin // lengths.size + shift
    return mode == REPLICATE or 0 <= frame < lengths[origin % lengths.size]


@part
def like_windows(origins, lengths, start, shifts, mode):
    """Return how many windows, from the first on, have frames at the same offsets."""
    n = 1
    while n < origins.size:
        for j in range(shifts.size):
            expected = has_frame(origins[0], lengths, start + shifts[j], mode)
            if has_frame(origins[n], lengths, start + shifts[j], mode) != expected:
                return n
        n += 1
    return n


@part
def list_frames(origins, lengths, shift, repeat, in_rows):
    """Store in in_rows the windows' input rows at an offset.

    With `repeat`, the row of the sequence's nearest frame where there is none.
    """
    B = lengths.size
    for i in range(origins.size):
        in_rows[i] = origins[i] + shift * B
        if repeat:
            b = origins[i] % B
            in_rows[i] = min(max(origins[i] // B + shift, 0), lengths[b] - 1) * B + b


@kernel
def tdnn_backward(
    dh, x, h, W, offsets, lengths=None, activation="relu", padding="valid", stride=1,
    dx=None, dW=None, db=None, work=None,
):  # fmt: skip
    """Gradients from dh = dL/dh (MATH.md section 3).

    Arguments are not checked. dh and h (T_out, B, m), the rest as in `tdnn_forward`. Buffers,
    overwritten: dx (T, B, p), dW (C, m, p), db (m,), and work (T_out, B, m), which receives
    d_a = dL/da. Returns TDNNGrads(dx, dW, db); its dx is None for token ids.
    """
    T, B = x.shape[0], x.shape[1]
    m = W.shape[1]
    d_input = empty_input_gradient(x, W) if dx is None else dx
    d_W = np.empty(W.shape, W.dtype) if dW is None else dW
    d_b = np.empty(m, W.dtype) if db is None else db
    da = np.empty(h.shape, W.dtype) if work is None else work
    shifts = offset_array(offsets)
    mode = padding_code(padding)
    valid = full_lengths(lengths, T, B)
    counts = output_lengths(valid, shifts, mode, stride)
    code = activation_code(activation)
    backward_rows(dh, h, counts, code, da, 0, B)
    backward_inputs(da, W, shifts, valid, counts, mode, stride, d_input, 0, B)
    backward_weights(da, x, shifts, valid, counts, mode, stride, d_W, d_b, 0, m)
    return TDNNGrads(d_input, d_W, d_b)


@part
def packed_weights_backward(W):
    """Return each W_j packed for products W_j^T da, one behind the other."""
    size = packed_size(W, W.shape[1], W.shape[2])
    panels = np.empty(W.shape[0] * size, W.dtype)
    for j in range(W.shape[0]):
        pack_backward(W[j], 0, panel_count(W, W.shape[2]), panels, j * size)
    return panels


@part
def backward_rows(dh, h, counts, code, da, first, last):
    """Compute da of the sequences first <= row < last."""
    before = flush_subnormals()
    for i in range(h.shape[0]):
        for row in range(first, last):
            if i < counts[row]:
                copy_row(dh[i, row], da[i, row])
                multiply_slope(code, h[i, row], da[i, row])
            else:
                da[i, row] = 0
    restore_subnormals(before)


@part
def backward_inputs(da, W, shifts, lengths, counts, mode, stride, dx, first, last):
    """Compute dx, unless it is None, of the sequences first <= row < last."""
    if dx is None:
        return
    before = flush_subnormals()
    frames, B, m = da.shape
    p, panels = dx.shape[2], packed_weights_backward(W)
    flat, d_input = da.reshape((frames * B, m)), dx.reshape((dx.shape[0] * B, p))
    count, floor = panel_count(dx, p), floor_of(0, dx)
    begins = np.arange(shifts.size) * packed_size(dx, m, p)
    dx[:, first:last] = 0
    span, start = frames_at_once(m, first, last), window_start(shifts, mode)
    out_rows = np.empty((span + 1) * (last - first), np.int64)
    in_rows = np.empty(out_rows.size, np.int64)
    # By frames of x: each receives the offsets in their order, wherever spans begin and end.
    for begin in range(0, dx.shape[0], span):
        end = min(begin + span, dx.shape[0])
        for j in range(shifts.size):
            shift, at = start + shifts[j], begins[j : j + 1]
            low, high = max(0, first_frame(begin, shift, stride)), first_frame(end, shift, stride)
            n = window_rows(
                lengths, counts, low, min(high, frames), shift, stride, True, False, first, last,
                out_rows, in_rows,
            )  # fmt: skip
            outs, ins = out_rows[:n], in_rows[:n]
            sum_of_products(flat, outs, m, panels, at, 0, count, d_input, ins, d_input, ins, floor)
    for j in range(shifts.size if mode == REPLICATE else 0):
        at = begins[j : j + 1]
        for begin in range(0, frames, span):
            n = window_rows(
                lengths, counts, begin, min(begin + span, frames), start + shifts[j], stride,
                False, True, first, last, out_rows, in_rows,
            )  # fmt: skip
            # A sequence's end frame was read many times, and a product takes each row once.
            for i in range(n):
                outs, ins = out_rows[i : i + 1], in_rows[i : i + 1]
                sum_of_products(
                    flat, outs, m, panels, at, 0, count, d_input, ins, d_input, ins, floor
                )
    restore_subnormals(before)


@part
def first_frame(time, shift, stride):
    """Return the first output frame that reads x at `time` or later through an offset."""
    return -((shift - time) // stride)


@part
def backward_weights(da, x, shifts, lengths, counts, mode, stride, dW, db, first, last):
    """Compute rows first <= i < last of each dW_j and of db: sums over all output frames."""
    before = flush_subnormals()
    frames, B, m = da.shape
    flat = da.reshape((frames * B, m))
    start = window_start(shifts, mode)
    rows = shifted_rows(counts, frames, 0, B, 0)
    dW[:, first:last] = 0
    units, count = np.arange(first, last), panel_count(dW, dW.shape[2])
    columns, panels = outer_buffers(dW, min(rows.size, CHUNK), last - first, dW.shape[2])
    frames_in, at, floor = as_frames(x), np.zeros(1, np.int64), floor_of(0, dW)
    in_rows = np.empty(rows.size, np.int64)
    for begin in range(0, rows.size, CHUNK):
        end = min(begin + CHUNK, rows.size)
        outer_columns(flat, rows, begin, end, first, last, columns)
        for j in range(shifts.size):
            list_inputs(rows, begin, end, lengths, start + shifts[j], stride, mode, in_rows)
            if x.ndim == 3:
                depth, dW_j = end - begin, dW[j]
                pack(frames_in, in_rows, begin, end, 0, count, panels, 0, depth)
                sum_of_products(
                    columns, units - first, depth, panels, at, 0, count,
                    dW_j, units, dW_j, units, floor,
                )  # fmt: skip
    if x.ndim == 2:
        for j in range(shifts.size):
            list_inputs(rows, 0, rows.size, lengths, start + shifts[j], stride, mode, in_rows)
            add_token_sums(flat, rows, x, in_rows, dW[j], first, last)
    add_row_sums(flat, rows, db, first, last)
    restore_subnormals(before)


@part
def list_inputs(rows, begin, end, lengths, shift, stride, mode, in_rows):
    """Store in in_rows the input row that each listed output row reads, -1 where there is none."""
    B = lengths.size
    for k in range(begin, end):
        b = rows[k] % B
        frame = rows[k] // B * stride + shift
        nearest = min(max(frame, 0), lengths[b] - 1)
        in_rows[k] = nearest * B + b if nearest == frame or mode == REPLICATE else -1


@kernel
def tdnn_step(x_t, ring, position, W, b, offsets, activation="relu", out=None):
    """Take in frame `position`, return output frame position - r (MATH.md section 3).

    r = max(k_max, 0), so nothing after x_t is needed: the result is
    f(b + sum_j W_j x(position - r + k_j)). Arguments are not checked. x_t (B, p) or token ids
    (B,); W, b, offsets as in `tdnn_forward`; position counts frames from 0.

    ring holds the last R frames: (R, B, p), or (R, B) of token ids, where R >= r - k_min + 1. The
    kernel stores x_t in ring[position % R] and reads frame t from ring[t % R]. So before frame 0
    fill it with what stands before the sequence: zeros, frame 0 (replicate), or -1 for a token that
    does not exist. Past the last frame step on with zeros, the last frame, or -1. out (B, m) is
    overwritten and returned.
    """
    before = flush_subnormals()
    R, B = ring.shape[0], ring.shape[1]
    state = np.empty((B, W.shape[1]), W.dtype) if out is None else out
    code = activation_code(activation)
    ahead = store_frame(x_t, ring, position, offsets)
    for row in range(B):
        copy_row(b, state[row])
    for j in range(len(offsets)):
        add_frame(ring[(position - ahead + offsets[j]) % R], W[j], state)
    for row in range(B):
        activate(code, state[row])
    restore_subnormals(before)
    return state


@part
def store_frame(x_t, ring, position, offsets):
    """Store x_t in the ring; return how far ahead of a frame its window looks."""
    ring[position % ring.shape[0]] = x_t
    ahead = 0
    for j in range(len(offsets)):
        ahead = max(ahead, offsets[j])
    return ahead


@part
def packed_step(x_t, ring, position, rows, in_rows, begins, p, panels, b, offsets, code, out):
    """Do the work of `tdnn_step`, W packed by `pack_weights`.

    rows lists 0 ... B-1, begins the places of each W_j's panels; in_rows is a buffer, one row
    number for each offset and sequence.
    """
    before = flush_subnormals()
    ahead = store_frame(x_t, ring, position, offsets)
    count, n, floor = panel_count(out, b.size), rows.size, floor_of(code, b)
    for j in range(offsets.size):
        place = (position - ahead + offsets[j]) % ring.shape[0]
        for i in range(n):
            in_rows[j * n + i] = place * n + i
    for i in range(n):
        copy_row(b, out[i])
    inputs = as_frames(ring)
    if x_t.ndim == 2:
        sum_of_products(inputs, in_rows, p, panels, begins, 0, count, out, rows, out, rows, floor)
    else:
        for j in range(offsets.size):
            listed = in_rows[j * n : (j + 1) * n]
            token_product(inputs, listed, p, panels, begins[j], 0, count, out, rows, out, rows)
    if x_t.ndim == 1 or floor < 0:
        activate_rows(code, out, rows, 0, b.size)
    restore_subnormals(before)
