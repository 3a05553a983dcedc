"""How a network of each family looks, how many parameters it has, and how it starts.

A network of some *size*, an integer that only orders networks of a family, is laid out for a task.
All initial values are drawn here, so that no family is judged by another one's defaults.
"""

from typing import Any

import numpy as np

import fastrnn
from tdnn import TDNN, ResidualTDNN
from tdnn.compare.tasks import Task

__all__ = [
    "dilated_body",
    "dilated_count",
    "dilated_layout",
    "elman_body",
    "elman_count",
    "jordan_body",
    "jordan_count",
    "stacked_body",
    "stacked_count",
    "tdnn_body",
    "tdnn_count",
    "tdnn_layers",
]

# Up to so many frames of context three taps; beyond, eight, which need fewer blocks.
MOST_FOR_FEW_TAPS = 64
FEW_TAPS, MANY_TAPS = 3, 8

# What a Jordan layer feeds back is of the kind of the loss's targets.
FEEDBACKS = {"softmax": "softmax", "sigmoid": "sigmoid", "squared": "identity"}

Generator = np.random.Generator


def elman_count(task: Task, size: int) -> int:
    """Parameters of an Elman network with `size` hidden units and its output layer."""
    p, q = task.input_size, task.output_size
    return size * p + size * size + size + q * size + q


def elman_body(task: Task, size: int, rng: Generator, **_: Any) -> fastrnn.Elman:
    """An Elman layer with the start that suits the task.

    An answer to every step, or to the mean of all: tanh, W orthogonal. One answer after the last
    step: relu, W the identity and U so small that at the start the layer sums up what it has seen,
    to about 1 after the whole context (after Le, Jaitly and Hinton 2015). Token ids: one input is
    active at a time, so U is drawn of unit variance.
    """
    keeps = task.readout == "last"
    body = fastrnn.Elman(
        task.input_size, size, activation="relu" if keeps else "tanh",
        recurrent_init="identity" if keeps else "orthogonal", dtype=np.float32, rng=rng,
    )  # fmt: skip
    if keeps:
        body.U[...] = 2.0 / task.context * rng.standard_normal(body.U.shape)
    elif task.tokens:
        body.U[...] = rng.standard_normal(body.U.shape)
    return body


def stacked_count(task: Task, size: int) -> int:
    """Parameters of two Elman layers, `size` units in all, and their output layer."""
    p, q = task.input_size, task.output_size
    low, high = _halves(size)
    return low * (p + low + 1) + high * (low + high + 1) + q * high + q


def stacked_body(task: Task, size: int, rng: Generator, **dropout: Any) -> fastrnn.Stack:
    """Two Elman layers, the upper reading the lower; both start as one alone does."""
    low, high = _halves(size)
    lower = elman_body(task, low, rng)
    keeps = task.readout == "last"
    upper = fastrnn.Elman(
        low, high, activation=lower.activation,
        recurrent_init="identity" if keeps else "orthogonal", dtype=np.float32, rng=rng,
    )  # fmt: skip
    if keeps:  # of the lower layer's sums, too, it takes up about 1 over the whole context
        upper.U[...] = rng.standard_normal(upper.U.shape) * 2.0 / task.context / np.sqrt(low)
    return fastrnn.Stack([lower, upper], rng=rng, **dropout)


def _halves(size: int) -> tuple[int, int]:
    """The units of the lower and of the upper layer."""
    return (size + 1) // 2, size // 2


def jordan_count(task: Task, size: int) -> int:
    """Parameters of a Jordan network with `size` hidden units."""
    p, q = task.input_size, task.output_size
    return size * p + size * q + size + q * size + q


def jordan_body(task: Task, size: int, rng: Generator, **_: Any) -> fastrnn.Jordan:
    """A Jordan layer of tanh units, fed every target in training and evaluation.

    Weights that meet one active input at a time are drawn of unit variance.
    """
    body = fastrnn.Jordan(
        task.input_size, size, task.output_size,
        feedback=FEEDBACKS[task.loss], dtype=np.float32, rng=rng,
    )  # fmt: skip
    if task.tokens:
        body.U[...] = rng.standard_normal(body.U.shape)
    if task.loss == "softmax":
        body.W[...] = rng.standard_normal(body.W.shape)
    return body


def tdnn_layers(task: Task, size: int) -> list[tuple[int, tuple[int, ...]]]:
    """Layers (units, offsets) that look back over at least ``task.context`` frames.

    Each layer has `taps` offsets, 0 and backwards, `taps` times as far apart as the layer's
    below: every frame of the receptive field is reached by exactly one path. `size` is the sum
    of all units, spread evenly.
    """
    taps = 3 if task.readout == "last" else 2
    distances = [1]
    while taps ** len(distances) < task.context:
        distances.append(taps * distances[-1])
    units, more = divmod(size, len(distances))
    return [
        (units + (index < more), tuple(-distance * tap for tap in reversed(range(taps))))
        for index, distance in enumerate(distances)
    ]


def tdnn_count(task: Task, size: int) -> int:
    """Parameters of a time-delay network with `size` units in all and its output layer."""
    total, below = 0, task.input_size
    for units, offsets in tdnn_layers(task, size):
        total += len(offsets) * units * below + units
        below = units
    return total + task.output_size * below + task.output_size


def tdnn_body(task: Task, size: int, rng: Generator, **dropout: Any) -> TDNN | fastrnn.Stack:
    """A causal relu stack; weights of variance 2 / (number of active inputs), biases zero.

    With dropout its layers are the bodies of a `fastrnn.Stack`, which has a place for it.
    """
    layers = tdnn_layers(task, size)
    settings: dict[str, Any] = {"padding": "causal", "dtype": np.float32, "rng": rng}
    body: TDNN | fastrnn.Stack
    if dropout.get("dropout") and len(layers) > 1:
        sizes = [task.input_size, *(units for units, _ in layers)]
        parts = [TDNN(p, [layer], **settings) for p, layer in zip(sizes[:-1], layers, strict=True)]
        body = fastrnn.Stack(parts, rng=rng, **dropout)
    else:
        body = TDNN(task.input_size, layers, **settings)
    _start(list(body.parameters().values()), task.tokens, rng)
    return body


def dilated_layout(task: Task, size: int) -> tuple[int, list[tuple[int, int]]]:
    """The taps, and the units of both layers of each block, to look back over the context.

    The least number of blocks that reaches over ``task.context`` frames. `size` is the sum of all
    units: the second layers, whose frames the residual connections add up, have one width, and the
    first ones what is left, spread evenly.
    """
    taps = FEW_TAPS if task.context <= MOST_FOR_FEW_TAPS else MANY_TAPS
    blocks = 1
    while 1 + 2 * (taps - 1) * (2**blocks - 1) < task.context:
        blocks += 1
    width = size // (2 * blocks)
    units, more = divmod(size - blocks * width, blocks)
    return taps, [(units + (index < more), width) for index in range(blocks)]


def dilated_count(task: Task, size: int) -> int:
    """Parameters of residual blocks with `size` units in all and their output layer."""
    taps, blocks = dilated_layout(task, size)
    total, below = 0, task.input_size
    for inner, units in blocks:
        total += taps * inner * below + inner + taps * units * inner + units
        if below != units:
            total += units * below + units
        below = units
    return total + task.output_size * below + task.output_size


def dilated_body(task: Task, size: int, rng: Generator, **dropout: Any) -> ResidualTDNN:
    """Residual blocks; weights of variance 2 / (number of active inputs), biases zero.

    The second layer of each of n blocks is drawn n times as small: so the sum over all blocks stays
    of the size of their input. A projection has variance 1 / (number of active inputs).
    """
    taps, blocks = dilated_layout(task, size)
    body = ResidualTDNN(task.input_size, blocks, taps=taps, dtype=np.float32, rng=rng, **dropout)
    layers = [a for pair in zip(body.weights, body.biases, strict=True) for a in pair]
    _start(layers, task.tokens, rng)
    for W in body.weights[1::2]:
        W /= len(blocks)
    for index, pair in enumerate(body.projections):
        if pair is not None:
            active = 1 if task.tokens and index == 0 else pair[0].shape[1]
            pair[0][...] = rng.standard_normal(pair[0].shape) / np.sqrt(active)
            pair[1][...] = 0.0
    return body


def _start(arrays: list[np.ndarray], tokens: bool, rng: Generator) -> None:
    """Draw the W (C, m, p) of relu layers, lowest first; set their b to zero."""
    for index, array in enumerate(arrays):
        if array.ndim == 1:
            array[...] = 0.0
            continue
        active = 1 if tokens and index == 0 else array.shape[2]
        array[...] = rng.standard_normal(array.shape) * np.sqrt(2.0 / (array.shape[0] * active))
