"""A residual block: two causal time-delay layers of relu units, and their input added."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.arrays import valid_steps
from fastrnn.dropout import Dropout, dropped
from tdnn.layer import tdnn_backward, tdnn_forward

__all__ = ["Block", "BlockGradients", "BlockTrace", "block_backward", "block_forward"]

Floats = NDArray[Any]
Lengths = NDArray[np.int64]


class Block(NamedTuple):
    """The parameters of a block of m units over p inputs."""

    weights: tuple[Floats, Floats]
    """W (C, m, p) of each layer."""
    biases: tuple[Floats, Floats]
    """b (m,) of each layer."""
    projection: tuple[Floats, Floats] | None
    """R (m, p) and r (m,); None where x itself is added."""
    offsets: tuple[int, ...]
    """The context of both layers."""


class BlockTrace(NamedTuple):
    """What a block has computed."""

    x: Any
    """The frames that it read (T, B, p), or token ids (T, B)."""
    layers: tuple[Floats, Floats]
    """The frames of each layer, before dropout."""
    h: Floats
    """The block's own frames (T, B, m)."""
    factors: tuple[Floats | None, Floats | None]
    """What the frames of each layer were multiplied by: dropout."""


class BlockGradients(NamedTuple):
    """The gradients in a block's parameters, and in its input."""

    dx: Floats | None
    """None where x holds token ids."""
    weights: tuple[Floats, Floats]
    biases: tuple[Floats, Floats]
    projection: tuple[Floats, Floats] | None


def block_forward(
    x: Any, block: Block, lengths: Lengths, dropout: Dropout | None, threads: int | None
) -> BlockTrace:
    """Return h = relu(D(h_2) + R x + r), h_2 = f(W_2 * D(h_1) + b_2), h_1 = f(W_1 * x + b_1).

    Of checked arguments; without `dropout`, D is the identity.
    """
    layers: list[Floats] = []
    factors: list[Floats | None] = []
    h = x
    for W, b in zip(block.weights, block.biases, strict=True):
        layers.append(_layer(h, W, b, block.offsets, "relu", lengths, threads))
        shape, dtype = layers[-1].shape, layers[-1].dtype
        factors.append(None if dropout is None else dropout.factors(shape, dtype))
        h = dropped(layers[-1], factors[-1])
    if block.projection is None:
        h = h + _frames_of(x, lengths, h)
    else:
        R, r = block.projection
        h = h + _layer(x, R[None], r, (0,), "identity", lengths, threads)
    np.maximum(h, 0, out=h)
    return BlockTrace(x, (layers[0], layers[1]), h, (factors[0], factors[1]))


def block_backward(
    dh: Floats, trace: BlockTrace, block: Block, lengths: Lengths, threads: int | None
) -> BlockGradients:
    """Return the gradients from dh = dL/dh, whose padding is never looked at."""
    da = np.where(trace.h <= 0, dh.dtype.type(0), dh)  # relu'(0) = 0, and padding has h = 0
    low, high = trace.factors
    second = _layer_backward(
        dropped(da, high), dropped(trace.layers[0], low), trace.layers[1], block.weights[1],
        block.offsets, "relu", lengths, threads,
    )  # fmt: skip
    first = _layer_backward(
        dropped(second.dx, low), trace.x, trace.layers[0], block.weights[0], block.offsets,
        "relu", lengths, threads,
    )  # fmt: skip
    weights, biases = (first.dW, second.dW), (first.db, second.db)
    if block.projection is None:
        dx = None if first.dx is None else first.dx + da
        return BlockGradients(dx, weights, biases, None)
    R, _ = block.projection
    skip = _layer_backward(da, trace.x, da, R[None], (0,), "identity", lengths, threads)
    dx = None if first.dx is None else first.dx + skip.dx
    return BlockGradients(dx, weights, biases, (skip.dW[0], skip.db))


def _layer(
    x: Any, W: Floats, b: Floats, offsets: tuple[int, ...], activation: str, lengths: Lengths,
    threads: int | None,
) -> Floats:  # fmt: skip
    return tdnn_forward(
        x, W, b, offsets,
        lengths=lengths, activation=activation, padding="causal", threads=threads,
    ).h  # fmt: skip


def _layer_backward(
    dh: Floats, x: Any, h: Floats, W: Floats, offsets: tuple[int, ...], activation: str,
    lengths: Lengths, threads: int | None,
) -> Any:  # fmt: skip
    return tdnn_backward(
        dh, x, h, W, offsets,
        lengths=lengths, activation=activation, padding="causal", threads=threads,
    )  # fmt: skip


def _frames_of(x: Any, lengths: Lengths, like: Floats) -> Floats:
    """Return x with zeros in padding; token ids as one-hot frames of the shape of `like`."""
    valid = valid_steps(x.shape[:2], lengths)
    if x.ndim == 3:
        return x if valid.all() else np.where(valid[:, :, None], x, x.dtype.type(0))
    hot = np.zeros_like(like)
    t, row = np.nonzero(valid)
    hot[t, row, x[t, row]] = 1
    return hot
