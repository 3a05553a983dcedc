"""Recurrences written out on the graph: the frames of a network, one node per time step."""

import operator
from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import as_array
from fastrnn.graph.arithmetic import matmul
from fastrnn.graph.functions import activate, columns
from fastrnn.graph.nodes import Graph, Node

__all__ = ["Frames", "elman_frames", "jordan_frames", "masked", "rows_times"]


class Frames(NamedTuple):
    """One node per time step: inputs, hidden states or outputs of an unfolded network."""

    symbol: str
    """What they are called: frame i is named ``symbol(start + i*stride + 1)``."""
    nodes: tuple[Node, ...]
    """The frames (B, m), or token ids (B,), first to last; zero rows in padding."""
    lengths: NDArray[np.int64]
    """How many frames each sequence has (B,)."""
    start: int = 0
    """The input step at which frame 0 stands."""
    stride: int = 1
    """How many input steps lie between two frames."""

    def times(self) -> range:
        """Return the input step of each frame, counted from 0."""
        return range(self.start, self.start + self.stride * len(self.nodes), self.stride)

    def valid(self, i: int) -> NDArray[np.bool_]:
        """Return which sequences have a frame i."""
        return np.asarray(i < self.lengths)

    def named(self) -> "Frames":
        """Give each node its name; the book counts time from 1, as the names do."""
        for time, node in zip(self.times(), self.nodes, strict=True):
            node.graph.call(node, f"{self.symbol}({time + 1})")
        return self


def rows_times(rows: Node, W: Node) -> Node:
    """Return W x for each row x of `rows`; of token ids, columns of W."""
    return columns(W, rows) if len(rows.shape) == 1 else matmul(rows, W, transpose_b=True)


def masked(a: Node, rows: NDArray[np.bool_]) -> Node:
    """Return a (B, m) with zeros in all other rows than the given ones."""
    return a if rows.all() else a * a.graph.like(a, rows[:, None])


def elman_frames(
    graph: Graph,
    x: Frames,
    parameters: Mapping[str, Node],
    *,
    activation: str = "tanh",
    h0: ArrayLike | None = None,
    resets: ArrayLike | None = None,
) -> list[Frames]:
    """Unfold h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Parameters
    ----------
    graph : Graph
        The graph of all nodes.
    x : Frames
        The inputs (B, p), or token ids (B,).
    parameters : dict of str to Node
        U (m, p), W (m, m), b (m,).
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function f.
    h0 : array_like, shape (B, m), optional
        The initial states; zero by default.
    resets : array_like of bool, shape (T, B), optional
        Where the state returns to h0 before that step.

    Returns
    -------
    list of Frames
        The initial state (one frame before the first, hence ``h(0)``), and the states h.
    """
    U, W, b = parameters["U"], parameters["W"], parameters["b"]
    start = _initial_state(graph, "h0", h0, (len(x.lengths), W.shape[0]), W.dtype)
    restart = _check_resets(resets, x)
    h, states = start, []
    for t, x_t in enumerate(x.nodes):
        if restart[t].any():
            h = masked(start, restart[t]) + masked(h, ~restart[t])
        h = masked(activate(activation, rows_times(h, W) + rows_times(x_t, U) + b), x.valid(t))
        states.append(h)
    return [_before(x, "h", start), x._replace(symbol="h", nodes=tuple(states))]


def jordan_frames(
    graph: Graph,
    x: Frames,
    parameters: Mapping[str, Node],
    *,
    activation: str = "tanh",
    feedback: str = "softmax",
    y: Frames | None = None,
    z0: ArrayLike | None = None,
    forced: ArrayLike | None = None,
    resets: ArrayLike | None = None,
) -> list[Frames]:
    """Unfold h(t) = f(b + W z(t-1) + U x(t)), o(t) = c + V h(t) (MATH.md section 2).

    Parameters
    ----------
    graph : Graph
        The graph of all nodes.
    x : Frames
        The inputs (B, p), or token ids (B,).
    parameters : dict of str to Node
        U (m, p), W (m, q), b (m,), V (q, m), c (q,).
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function f.
    feedback : {"softmax", "sigmoid", "identity"}
        What turns o(t) into the z(t) that is fed back.
    y : Frames, optional
        What is fed in its place (teacher forcing): class numbers (B,), which stand for one-hot
        rows, or rows (B, q).
    z0 : array_like, shape (B, q), optional
        What the first step is fed; zero by default.
    forced : array_like of bool, shape (T, B), optional
        Which steps are fed y(t-1), the others their own z(t-1). Default: all, where there is y.
    resets : array_like of bool, shape (T, B), optional
        Where a step is fed z0.

    Returns
    -------
    list of Frames
        What the first step is fed (``z(0)``), the states h, and the outputs o.

    Raises
    ------
    ValueError
        If `feedback` has no derivative (argmax, sample) and some step is not forced, or `forced`
        asks for a y that is not there.
    """
    U, W, b, V, c = (parameters[name] for name in ("U", "W", "b", "V", "c"))
    start = _initial_state(graph, "z0", z0, (len(x.lengths), W.shape[1]), W.dtype)
    teacher = _check_forced(forced, x, y)
    if feedback not in ("softmax", "sigmoid", "identity") and not teacher[1:].all():
        raise ValueError(f"feedback: expected a differentiable one, got {feedback!r}")
    restart = _check_resets(resets, x)
    states: list[Node] = []
    outputs: list[Node] = []

    def fed_back(t: int) -> Node:
        """Return W z(t-1), each row from what it is fed."""
        anew = restart[t] if t > 0 else np.ones(len(x.lengths), np.bool_)
        by_teacher, own = teacher[t] & ~anew, ~(teacher[t] | anew)
        parts = []
        if anew.any():
            parts.append(masked(rows_times(start, W), anew))
        if by_teacher.any() and y is not None:
            parts.append(masked(rows_times(y.nodes[t - 1], W), by_teacher))
        if own.any():
            parts.append(masked(rows_times(activate(feedback, outputs[-1]), W), own))
        return reduce(operator.add, parts)

    for t, x_t in enumerate(x.nodes):
        a = fed_back(t) + rows_times(x_t, U) + b
        states.append(masked(activate(activation, a), x.valid(t)))
        outputs.append(masked(rows_times(states[-1], V) + c, x.valid(t)))
    return [
        _before(x, "z", start),
        x._replace(symbol="h", nodes=tuple(states)),
        x._replace(symbol="o", nodes=tuple(outputs)),
    ]


def _initial_state(
    graph: Graph, name: str, value: ArrayLike | None, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Node:
    array = np.zeros(shape, dtype) if value is None else as_array(name, value)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name}: expected {dtype} of shape {shape}, got {array.dtype} of shape {array.shape}"
        )
    return graph.input(array)


def _before(x: Frames, symbol: str, node: Node) -> Frames:
    """Return the frame that stands one before the first."""
    return x._replace(symbol=symbol, nodes=(node,), start=x.start - x.stride)


def _check_resets(resets: ArrayLike | None, x: Frames) -> NDArray[np.bool_]:
    """Return where a sequence starts anew (T, B)."""
    shape = (len(x.nodes), len(x.lengths))
    return np.zeros(shape, np.bool_) if resets is None else _flags("resets", resets, shape)


def _check_forced(forced: ArrayLike | None, x: Frames, y: Frames | None) -> NDArray[np.bool_]:
    """Return which steps are fed y (T, B)."""
    shape = (len(x.nodes), len(x.lengths))
    if forced is None:
        return np.full(shape, y is not None)
    flags = _flags("forced", forced, shape)
    if y is None and flags[1:].any():
        raise ValueError("forced, y: expected y where a step is forced, got none")
    return flags


def _flags(name: str, value: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    array = as_array(name, value)
    if array.dtype != np.bool_:
        raise TypeError(f"{name}: expected bool, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape (T, B) = {shape}, got {array.shape}")
    return array
