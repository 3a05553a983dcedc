"""A time-delay layer written out on the graph of `fastrnn.graph` (MATH.md sections 3 and 6)."""

import operator
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from fastrnn.graph import Frames, Graph, Node, activate, broadcast_to, masked, rows_times
from tdnn.reference import output_length, window

__all__ = ["tdnn_frames"]


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
