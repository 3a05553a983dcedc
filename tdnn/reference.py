"""Time-delay layer in NumPy with plain loops: the executable MATH.md section 3.

Names and signatures are those of `tdnn.kernels`. Slow on purpose, so that each line can be read
beside its equation. Complex arrays pass through, for derivatives by a complex step.
"""

from typing import Any

import numpy as np

from fastrnn.reference.activations import activate, slope
from fastrnn.reference.buffers import result
from fastrnn.reference.elman import project
from tdnn.results import TDNNGrads, TDNNState

__all__ = ["output_length", "tdnn_backward", "tdnn_forward", "tdnn_step"]


def output_length(length: int, offsets: Any, padding: str, stride: int) -> int:
    """Return how many output frames `length` input frames give."""
    if padding == "valid":
        return max(0, (length - (max(offsets) - min(offsets)) - 1) // stride + 1)
    if padding in ("zero", "replicate", "causal"):
        return -(-length // stride)
    raise ValueError("padding: expected 'valid', 'zero', 'replicate' or 'causal'")


def window(i: int, length: int, offsets: Any, padding: str, stride: int) -> list[tuple[int, int]]:
    """Return the pairs (j, input frame) that output frame i of a sequence sums over."""
    t = i * stride - (min(offsets) if padding == "valid" else 0)
    frames = [(j, t + k) for j, k in enumerate(offsets)]
    if padding == "replicate":
        return [(j, min(max(s, 0), length - 1)) for j, s in frames]
    return [(j, s) for j, s in frames if 0 <= s < length]


def tdnn_forward(
    x: Any, W: Any, b: Any, offsets: Any, lengths: Any = None, activation: str = "relu",
    padding: str = "valid", stride: int = 1, h: Any = None, work: Any = None,
) -> TDNNState:  # fmt: skip
    """Compute the frames h(t) = f(b + sum_j W_j x(t + k_j)) (MATH.md section 3).

    Shapes as in `tdnn.kernels.tdnn_forward`; `work` is not needed here.
    """
    T, B = x.shape[:2]
    full = [T] * B if lengths is None else [int(length) for length in lengths]
    counts = [output_length(length, offsets, padding, stride) for length in full]
    dtype = np.result_type(W, b, *([] if x.ndim == 2 else [x]))
    states = np.zeros((output_length(T, offsets, padding, stride), B, W.shape[1]), dtype)
    for row in range(B):
        for i in range(counts[row]):
            a = b.astype(dtype)
            for j, s in window(i, full[row], offsets, padding, stride):
                a = a + project(W[j], x[s, row])
            states[i, row] = activate(activation, a)
    return TDNNState(result(h, states), np.array(counts, np.int64))


def tdnn_backward(
    dh: Any, x: Any, h: Any, W: Any, offsets: Any, lengths: Any = None, activation: str = "relu",
    padding: str = "valid", stride: int = 1, dx: Any = None, dW: Any = None, db: Any = None,
    work: Any = None,
) -> TDNNGrads:  # fmt: skip
    """Gradients from dh = dL/dh (MATH.md section 3).

    Shapes as in `tdnn.kernels.tdnn_backward`; `work` is not needed here.
    """
    T, B = x.shape[:2]
    full = [T] * B if lengths is None else [int(length) for length in lengths]
    dtype = np.result_type(dh, h, W, *([] if x.ndim == 2 else [x]))
    d_input = None if x.ndim == 2 else np.zeros(x.shape, dtype)
    d_W, d_b = np.zeros(W.shape, dtype), np.zeros(W.shape[1], dtype)
    for row in range(B):
        for i in range(output_length(full[row], offsets, padding, stride)):
            da = slope(activation, h[i, row]) * dh[i, row]
            d_b += da
            for j, s in window(i, full[row], offsets, padding, stride):
                if d_input is None:
                    d_W[j, :, x[s, row]] += da
                else:
                    d_W[j] += np.outer(da, x[s, row])
                    d_input[s, row] += W[j].T @ da
    return TDNNGrads(
        None if d_input is None else result(dx, d_input), result(dW, d_W), result(db, d_b)
    )


def tdnn_step(
    x_t: Any, ring: Any, position: int, W: Any, b: Any, offsets: Any, activation: str = "relu",
    out: Any = None,
) -> Any:  # fmt: skip
    """Take in frame `position`, return output frame position - r (MATH.md section 3).

    Shapes and the meaning of `ring` as in `tdnn.kernels.tdnn_step`.
    """
    R, B = ring.shape[:2]
    ring[position % R] = x_t
    t = position - max(0, *offsets)
    rows = []
    for row in range(B):
        a = b
        for j, k in enumerate(offsets):
            frame = ring[(t + k) % R, row]
            if ring.ndim == 3 or frame >= 0:
                a = a + project(W[j], frame)
        rows.append(activate(activation, a))
    return result(out, np.reshape(rows, (B, W.shape[1])))
