"""A time-delay layer written out on the graph of `fastrnn.graph` (MATH.md sections 3 and 6)."""

import operator
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from fastrnn.graph import Frames, Graph, Node, activate, broadcast_to, masked, rows_times
from tdnn.reference import output_length, window

__all__ = ["block_frames", "tdnn_frames"]


def tdnn_frames(
    graph: Graph,
    x: Frames,
    parameters: Mapping[str, Node],
    index: int,
    offsets: Sequence[int],
    *,
    activation: str = "relu",
    padding: str = "valid",
    stride: int = 1,
) -> Frames:
    """Unfold h(t) = f(b + sum_j W_j x(t + k_j)) (MATH.md section 3).

    Parameters
    ----------
    graph : Graph
        The graph of all nodes.
    x : Frames
        The inputs (B, p), or token ids (B,).
    parameters : dict of str to Node
        Among them the layer's own: ``W0`` (C, m, p) and ``b0`` (m,) for index 0.
    index : int
        The layer's place in its network; its frames are called ``h0`` for index 0.
    offsets : sequence of int
        The context k_0 ... k_{C-1}.
    activation, padding, stride
        As in `tdnn_forward`.

    Returns
    -------
    Frames
        The states h.
    """
    W, b = parameters[f"W{index}"], parameters[f"b{index}"]
    matrices = [graph.call(W[j], f"{W.name}[{j}]") for j in range(len(offsets))]
    counts = [output_length(int(n), offsets, padding, stride) for n in x.lengths]
    lengths = np.array(counts, np.int64)
    states = []
    for i in range(output_length(len(x.nodes), offsets, padding, stride)):
        terms = [broadcast_to(b, (len(lengths), b.shape[0]))]
        for (j, s), rows in _sources(i, x.lengths, lengths, offsets, padding, stride).items():
            terms.append(masked(rows_times(x.nodes[s], matrices[j]), rows))
        a = reduce(operator.add, terms)
        states.append(masked(activate(activation, a), i < lengths))
    start = x.start - (min(offsets) * x.stride if padding == "valid" else 0)
    return Frames(f"h{index}", tuple(states), lengths, start, x.stride * stride)


def _sources(
    i: int,
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
    offsets: Sequence[int],
    padding: str,
    stride: int,
) -> dict[tuple[int, int], NDArray[np.bool_]]:
    """Return which rows of output frame i see input frame s through W_j: (j, s) -> rows."""
    sources: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for row in np.flatnonzero(i < counts):
        for pair in window(i, int(lengths[row]), offsets, padding, stride):
            sources.setdefault(pair, np.zeros(len(lengths), np.bool_))[row] = True
    return sources


def block_frames(
    graph: Graph, x: Frames, parameters: Mapping[str, Node], index: int, offsets: Sequence[int]
) -> list[Frames]:
    """Unfold a residual block: relu(h_2(t) + R x(t) + r), h_2 of two causal layers of relu units.

    Parameters
    ----------
    graph : Graph
        The graph of all nodes.
    x : Frames
        The inputs (B, p), or token ids (B,).
    parameters : dict of str to Node
        Among them those of the block's layers, ``W0``, ``b0``, ``W1``, ``b1`` for index 0, and
        ``R0``, ``r0`` unless x itself is added.
    index : int
        The block's place in its network.
    offsets : sequence of int
        The context of both layers.

    Returns
    -------
    list of Frames
        Those of both layers, and the block's own, which are called ``g0`` for index 0.
    """
    layers: list[Frames] = []
    for layer in (2 * index, 2 * index + 1):
        below = layers[-1] if layers else x
        layers.append(tdnn_frames(graph, below, parameters, layer, offsets, padding="causal"))
    R = parameters.get(f"R{index}")
    nodes = []
    for t, (x_t, h_t) in enumerate(zip(x.nodes, layers[-1].nodes, strict=True)):
        if R is not None:
            skip = rows_times(x_t, R) + broadcast_to(parameters[f"r{index}"], h_t.shape)
        elif len(x_t.shape) == 1:
            skip = rows_times(x_t, graph.like(h_t, np.eye(h_t.shape[1])))
        else:
            skip = x_t
        nodes.append(masked(activate("relu", h_t + skip), x.valid(t)))
    return [*layers, x._replace(symbol=f"g{index}", nodes=tuple(nodes))]
