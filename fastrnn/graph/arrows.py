"""A graph seen from afar: arrows between chosen nodes, with the weights that lie on the way."""

from collections.abc import Iterable
from typing import NamedTuple

from fastrnn.graph.nodes import Node

__all__ = ["Arrow", "Fold", "arrows_between", "fold", "symbol_and_time"]

# What leads to a node: chosen node -> names of the weights on the way.
_Ways = dict[Node, tuple[str, ...]]


class Arrow(NamedTuple):
    """One chosen node is made of another, through nodes that are not chosen."""

    source: Node
    """Where it starts."""
    target: Node
    """Where it ends."""
    weights: tuple[str, ...]
    """Names of the weights that the source is multiplied by on the way."""


class Fold(NamedTuple):
    """All arrows between two symbols that span the same time, as one."""

    source: str
    """The symbol at its start."""
    target: str
    """The symbol at its end."""
    delay: int
    """How many steps later the target is."""
    weights: tuple[str, ...]
    """Names of the weights on the way."""


def arrows_between(nodes: Iterable[Node]) -> list[Arrow]:
    """Return the arrows between the given nodes of a graph, each over nodes that are not given.

    Parameters
    ----------
    nodes : iterable of Node
        The nodes to be shown, at least one.

    Returns
    -------
    list of Arrow
        In the order of the graph: inputs before what is made of them.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn.graph import arrows_between, unfold
    >>> net = unfold(fastrnn.Elman(2, 3), 1)
    >>> [(a.source.name, a.target.name, a.weights) for a in arrows_between([*net.x, *net.h])]
    [('x(1)', 'h(1)', ('U',))]
    """
    chosen = set(nodes)
    last = max(chosen, key=lambda node: node.index)
    arrows: list[Arrow] = []
    ways: dict[Node, _Ways] = {}
    for node in last.graph.nodes[: last.index + 1]:
        found: _Ways = {}
        weights = _weights(node, ways)
        for source in node.inputs:
            for start, names in ways[source].items():
                found[start] = tuple(dict.fromkeys((*found.get(start, ()), *names, *weights)))
        if node in chosen:
            arrows.extend(Arrow(start, node, names) for start, names in found.items())
            found = {node: ()}
        ways[node] = found
    return arrows


def _weights(node: Node, ways: dict[Node, _Ways]) -> tuple[str, ...]:
    """Return the names of the parameters, or slices of them, that a product multiplies by."""
    if node.kind not in ("matmul", "columns"):
        return ()
    return tuple(a.name for a in node.inputs if a.name and not ways[a])


def symbol_and_time(node: Node) -> tuple[str, int]:
    """Return what a frame's name is made of: ("h", 3) of ``h(3)``.

    Raises
    ------
    ValueError
        If the name has no time.
    """
    symbol, bracket, time = node.name.removesuffix(")").rpartition("(")
    if not bracket:
        raise ValueError(f"node: expected a frame with a name such as 'h(3)', got {node}")
    return symbol, int(time)


def fold(arrows: Iterable[Arrow]) -> list[Fold]:
    """Return the arrows of an unfolded network as those of its recurrent graph."""
    folded: dict[Fold, None] = {}
    for arrow in arrows:
        source, start = symbol_and_time(arrow.source)
        target, end = symbol_and_time(arrow.target)
        folded[Fold(source, target, end - start, arrow.weights)] = None
    return list(folded)
