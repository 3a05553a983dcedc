"""Time-delay layer: the public functions (MATH.md section 3)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import Arguments, as_array, choice, count
from fastrnn.devices import DeviceArguments, on_gpu
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.inputs import empty_input_gradient
from fastrnn.threads import share
from tdnn.kernels import (
    PADDINGS,
    backward_inputs,
    backward_rows,
    backward_weights,
    forward_rows,
    output_length,
    output_lengths,
)
from tdnn.reference import output_length as frame_count
from tdnn.results import TDNNGrads, TDNNState

__all__ = ["PADDINGS", "check_offsets", "check_padding", "tdnn_backward", "tdnn_forward"]

# Larger offsets than any sequence's length only risk an overflow of int64.
_LARGEST_OFFSET = 2**31


def tdnn_forward(
    x: ArrayLike,
    W: ArrayLike,
    b: ArrayLike,
    offsets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    activation: str = "relu",
    padding: str = "valid",
    stride: int = 1,
    threads: int | None = None,
) -> TDNNState:
    """Compute the frames h(t) = f(b + sum_j W_j x(t + k_j)) (MATH.md section 3).

    Parameters
    ----------
    x : array_like, shape (T, B, p), or integers (T, B)
        Input sequences, time first; float32 or float64. Integers are token ids in [0, p): W_j x
        is then a column of W_j.
    W : array_like, shape (C, m, p)
        Weights; W[j] belongs to offsets[j].
    b : array_like, shape (m,)
        Bias.
    offsets : array_like of int, shape (C,)
        The context k_0 ... k_{C-1}: different integers in any order.
    lengths : array_like of int, shape (B,), optional
        Valid frames of each sequence, in any order, 0 included. Frames from lengths[b] on are
        never read. Default: T for all.
    activation : {"relu", "tanh", "sigmoid", "identity"}
        The function f.
    padding : {"valid", "zero", "replicate", "causal"}
        What a window sees outside its own sequence. With ``valid`` an output frame exists only
        where its whole window does: frame i stands at t_i = i * stride - min(offsets). With the
        others it stands at t_i = i * stride, for each t_i inside the sequence, and the window sees
        zeros (a token that does not exist adds nothing), or the sequence's first or last frame
        (``replicate``). ``causal`` is ``zero`` and refuses an offset > 0.
    stride : int
        Only every stride-th frame is computed.
    threads : int, optional
        The most threads to use; see `fastrnn.thread_count`. The result's bits do not depend on it.

    Returns
    -------
    TDNNState
        h (T_out, B, m) and lengths (B,), each sequence's number of output frames; rows of h beyond
        it are zero. T_out is what a sequence of T frames gives.

    Raises
    ------
    TypeError
        If dtypes are mixed or not float32 or float64, or an argument is of a wrong kind.
    ValueError
        If shapes disagree, a size is 0, offsets repeat or contradict the padding, or a length or
        token id is out of range.

    Notes
    -----
    The arrays may all be on a GPU instead, offsets excepted; see `fastrnn.elman_forward`.

    Examples
    --------
    >>> import numpy as np, tdnn
    >>> x, W, b = np.arange(5.0).reshape(5, 1, 1), np.ones((2, 1, 1)), np.zeros(1)
    >>> tdnn.tdnn_forward(x, W, b, (-2, 1)).h[:, 0, 0]
    array([3., 5.])
    """
    if on_gpu(x):
        return _forward_on_gpu(x, W, b, offsets, lengths, activation, padding, stride, threads)
    args, x, W, shifts, mode = _check_inputs(x, W, offsets, padding)
    b = args.floats("b", b, "m")
    valid = _check_lengths(args, x, W, lengths)
    code = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]
    stride = count("stride", stride)

    T, B = x.shape[:2]
    m = W.shape[1]
    counts = output_lengths(valid, shifts, mode, stride)
    h = np.empty((output_length(T, shifts, mode, stride), B, m), W.dtype)
    share(
        forward_rows,
        (x, W, b, shifts, valid, counts, code, mode, stride, h, None),
        B, threads, _work(h, x, W),
    )  # fmt: skip
    return TDNNState(h, counts)


def tdnn_backward(
    dh: ArrayLike,
    x: ArrayLike,
    h: ArrayLike,
    W: ArrayLike,
    offsets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    activation: str = "relu",
    padding: str = "valid",
    stride: int = 1,
    threads: int | None = None,
) -> TDNNGrads:
    """Gradients of a time-delay layer (MATH.md section 3): d_a = f' dh, dx(s) = sum W_j^T d_a.

    Parameters
    ----------
    dh : array_like, shape (T_out, B, m)
        Gradient of the loss in h. Frames beyond a sequence's output length are never read.
    x, h, W, offsets, lengths, activation, padding, stride, threads
        As given to, and returned by, `tdnn_forward`; `lengths` are those of x.

    Returns
    -------
    TDNNGrads
        dx (T, B, p), or None where x holds token ids; dW (C, m, p), db (m,).

    Raises
    ------
    TypeError, ValueError
        As in `tdnn_forward`.

    Examples
    --------
    >>> import numpy as np, tdnn
    >>> x, W, b = np.arange(5.0).reshape(5, 1, 1), np.ones((2, 1, 1)), np.zeros(1)
    >>> h = tdnn.tdnn_forward(x, W, b, (-2, 1)).h
    >>> tdnn.tdnn_backward(np.ones_like(h), x, h, W, (-2, 1)).dW[:, 0, 0]
    array([1., 7.])
    """
    if on_gpu(dh):
        return _backward_on_gpu(dh, x, h, W, offsets, lengths, activation, padding, stride, threads)
    args, x, W, shifts, mode = _check_inputs(x, W, offsets, padding)
    stride = count("stride", stride)
    args.know("T_out", output_length(x.shape[0], shifts, mode, stride), "x")
    dh = args.floats("dh", dh, "T_out B m")
    h = args.floats("h", h, "T_out B m")
    valid = _check_lengths(args, x, W, lengths)
    code = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]

    B, m = h.shape[1:]
    counts = output_lengths(valid, shifts, mode, stride)
    dx = empty_input_gradient(x, W)
    dW, db, da = np.empty_like(W), np.empty(m, W.dtype), np.empty_like(h)
    share(backward_rows, (dh, h, counts, code, da), B, threads, h.size)
    if dx is not None:
        share(
            backward_inputs,
            (da, W, shifts, valid, counts, mode, stride, dx),
            B, threads, _work(h, x, W),
        )  # fmt: skip
    share(
        backward_weights,
        (da, x, shifts, valid, counts, mode, stride, dW, db),
        m, threads, _work(h, x, W),
    )  # fmt: skip
    return TDNNGrads(dx, dW, db)


def _check_inputs(
    x: ArrayLike, W: ArrayLike, offsets: ArrayLike, padding: str
) -> tuple[Arguments, NDArray[Any], NDArray[Any], NDArray[np.int64], int]:
    """Return the call's checks, and x, W, the offsets and the padding's code."""
    shifts = check_offsets("offsets", offsets)
    check_padding(padding, shifts)
    args = Arguments({"C": (shifts.size, "offsets")})
    return args, args.inputs("x", x), args.floats("W", W, "C m p"), shifts, PADDINGS[padding]


def check_offsets(name: str, value: ArrayLike) -> NDArray[np.int64]:
    """Return the offsets of one layer as an int64 array, if they are different integers."""
    array = as_array(name, value)
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one offset, got none")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {value!r}")
    if array.ndim != 1:
        raise ValueError(f"{name}: expected an array of shape (C,), got shape {array.shape}")
    seen: set[int] = set()
    for offset in array.tolist():
        if abs(offset) > _LARGEST_OFFSET:
            raise ValueError(f"{name}: expected offsets within +-{_LARGEST_OFFSET}, got {offset}")
        if offset in seen:
            raise ValueError(f"{name}: expected different offsets, got {offset} twice")
        seen.add(offset)
    return array.astype(np.int64)


def check_padding(padding: str, offsets: NDArray[np.int64], name: str = "offsets") -> None:
    """Raise if the padding is unknown, or is causal and an offset looks ahead."""
    choice("padding", padding, PADDINGS)
    if padding == "causal" and offsets.max() > 0:
        raise ValueError(
            f"padding, {name}: expected no offset > 0 with padding 'causal', got {offsets.max()}"
        )


def _check_lengths(
    args: Arguments, x: NDArray[Any], W: NDArray[Any], lengths: ArrayLike | None
) -> NDArray[np.int64]:
    # Token ids do not show how many there are: W does.
    checked = args.lengths(lengths)
    if x.ndim == 2:
        args.in_range("x", x, W.shape[2], checked)
    return checked


def _work(h: NDArray[Any], x: NDArray[Any], W: NDArray[Any]) -> int:
    """Return the number of multiply-adds of one pass."""
    return h.size * W.shape[0] * (W.shape[2] if x.ndim == 3 else 1)


def _forward_on_gpu(
    x: Any, W: Any, b: Any, offsets: ArrayLike, lengths: Any, activation: str, padding: str,
    stride: int, threads: int | None,
) -> TDNNState:  # fmt: skip
    """See `tdnn_forward`."""
    shifts = _checked_offsets(offsets, padding)
    args = DeviceArguments("x", x, sizes={"C": (len(shifts), "offsets")}, threads=threads)
    x = args.inputs("x", x)
    W, b = args.floats("W", W, "C m p"), args.floats("b", b, "m")
    lengths = args.lengths(lengths)
    activation, stride = choice("activation", activation, ACTIVATIONS), count("stride", stride)
    args.know("T_out", frame_count(x.shape[0], shifts, padding, stride), "x")
    return args.run(
        "tdnn.cuda.tdnn_forward", x, W, b, shifts, lengths, activation, padding, stride,
        args.empty("T_out B m"),
    )  # fmt: skip


def _backward_on_gpu(
    dh: Any, x: Any, h: Any, W: Any, offsets: ArrayLike, lengths: Any, activation: str,
    padding: str, stride: int, threads: int | None,
) -> TDNNGrads:  # fmt: skip
    """See `tdnn_backward`."""
    shifts = _checked_offsets(offsets, padding)
    args = DeviceArguments("dh", dh, sizes={"C": (len(shifts), "offsets")}, threads=threads)
    x = args.inputs("x", x)
    W = args.floats("W", W, "C m p")
    activation, stride = choice("activation", activation, ACTIVATIONS), count("stride", stride)
    args.know("T_out", frame_count(x.shape[0], shifts, padding, stride), "x")
    dh, h = args.floats("dh", dh, "T_out B m"), args.floats("h", h, "T_out B m")
    lengths = args.lengths(lengths)
    dx = args.empty("T B p") if x.ndim == 3 else None
    return args.run(
        "tdnn.cuda.tdnn_backward", dh, x, h, W, shifts, lengths, activation, padding, stride,
        dx, args.empty("C m p"), args.empty("m"),
    )  # fmt: skip


def _checked_offsets(offsets: ArrayLike, padding: str) -> tuple[int, ...]:
    shifts = check_offsets("offsets", offsets)
    check_padding(padding, shifts)
    return tuple(shifts.tolist())
