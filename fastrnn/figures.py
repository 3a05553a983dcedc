"""Figures 1 to 5: recurrent and time-delay networks, drawn from their graphs (MATH.md section 6).

Nodes and arrows come from `fastrnn.graph.unfold`; only where a symbol stands is laid down here.
"""

import importlib.metadata
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastrnn.arrays import choice, count
from fastrnn.elman import Elman
from fastrnn.graph import Arrow, Node, Unfolded, arrows_between, fold, symbol_and_time, unfold
from fastrnn.jordan import Jordan
from fastrnn.model import SequenceModel
from fastrnn.svg import Circle, Picture

__all__ = ["FIGURES", "draw"]

_COLUMN, _ROW, _EDGE = 118.0, 100.0, 45.0
# Rows from below, as in the book; z(0), the first feedback, stands beside the outputs.
_ROWS = ("x", "h", "o", "L", "y")
_FILLS = {"x": "#d6e6fb", "h": "#d5efdc", "o": "#fde6c8", "z": "#fde6c8", "L": "#fbd8d8"}
_TARGET = "#e7defa"


def draw(figure: str, steps: int | None = None) -> str:
    """Return a figure as the text of an SVG file.

    Parameters
    ----------
    figure : str
        A key of `FIGURES`: "folded", "tdnn", "hidden-to-hidden", "output-to-hidden",
        "teacher-forcing", or its number.
    steps : int, optional
        T, over how many steps the network is unfolded. Default: 3, of the TDNN 7.

    Returns
    -------
    str
        A picture that needs no other file, for light and dark pages.

    Raises
    ------
    TypeError, ValueError
        If there is no such figure, or `steps` is no integer >= 1.
    ModuleNotFoundError
        If the TDNN is asked for and the package tdnn is not installed.

    Examples
    --------
    >>> from fastrnn.figures import draw
    >>> draw("hidden-to-hidden", 2).count("<circle")
    11
    """
    names = {a: name for name, known in FIGURES.items() for a in (name, known.number)}
    chosen = FIGURES[names[choice("figure", figure, names)]]
    return chosen.draw(count("steps", chosen.steps if steps is None else steps))


def _unfolded(body: Any, T: int, **arguments: Any) -> Unfolded:
    model = SequenceModel(body, 2, rng=0)
    return unfold(model, T, targets=np.zeros((T, 1), np.int64), **arguments)


def _shown(net: Unfolded) -> list[Node]:
    """Return the frames of all layers, which are the nodes with a time in their names."""
    return [node for name, node in net.graph.names.items() if name.endswith(")")]


def _place(rows: tuple[str, ...], first: int, node: Node) -> Circle:
    symbol, time = symbol_and_time(node)
    return _at(rows, symbol, time - first)


def _at(rows: tuple[str, ...], symbol: str, column: int) -> Circle:
    row = rows.index("o" if symbol == "z" else symbol)
    return Circle(_EDGE + _COLUMN * column, _EDGE + _ROW * (len(rows) - 1 - row))


def _fill(symbol: str) -> str:
    return _FILLS.get(symbol[0], _TARGET)


def _draw_unfolded(net: Unfolded, title: str, description: str) -> str:
    """Draw every frame at its time, and what leads from one to another."""
    picture = Picture(title, description)
    shown = _shown(net)
    first = min(symbol_and_time(node)[1] for node in shown)
    arrows = arrows_between(shown)
    for arrow in arrows:
        start, end = _place(_ROWS, first, arrow.source), _place(_ROWS, first, arrow.target)
        picture.arrow(start, end, ", ".join(arrow.weights))
    for node in _joined(shown, arrows):
        picture.circle(_place(_ROWS, first, node), node.name, _fill(node.name))
    return picture.write()


def _joined(nodes: list[Node], arrows: list[Arrow]) -> list[Node]:
    """Return the nodes at which an arrow starts or ends."""
    ends = {node for arrow in arrows for node in (arrow.source, arrow.target)}
    return [node for node in nodes if node in ends]


def _folded(T: int) -> str:
    picture = Picture(
        "Recurrent graph of the hidden-to-hidden network",
        "x, h, o, L and y once for all time steps; the black square is a delay of one step.",
    )
    arrows = fold(arrows_between(_shown(_unfolded(Elman(2, 3, rng=0), T))))
    for arrow in arrows:
        start, end = _at(_ROWS, arrow.source, 0), _at(_ROWS, arrow.target, 0)
        label = ", ".join(arrow.weights)
        if arrow.delay:
            picture.loop(start, label)
        else:
            picture.arrow(start, end, label)
    for symbol in dict.fromkeys(name for arrow in arrows for name in (arrow.source, arrow.target)):
        picture.circle(_at(_ROWS, symbol, 0), symbol, _fill(symbol))
    return picture.write()


def _hidden_to_hidden(T: int) -> str:
    return _draw_unfolded(
        _unfolded(Elman(2, 3, rng=0), T),
        f"Hidden-to-hidden network, unfolded over {T} steps",
        "Each h(t) is made of x(t) through U and of h(t-1) through W; o(t) of h(t) through V.",
    )


def _output_to_hidden(T: int) -> str:
    return _draw_unfolded(
        _unfolded(Jordan(2, 3, 2, rng=0), T),
        f"Output-to-hidden network, unfolded over {T} steps",
        "Each h(t) is made of x(t) through U and of the output o(t-1) through W.",
    )


def _teacher_forcing(T: int) -> str:
    body: Any = Jordan(2, 3, 2, rng=0)
    y = np.zeros((T, 1), np.int64)
    return _draw_unfolded(
        unfold(SequenceModel(body), T, targets=y, y=y),
        f"Output-to-hidden network under teacher forcing, unfolded over {T} steps",
        "Each h(t) is made of x(t) through U and of the target y(t-1) through W.",
    )


def _tdnn(T: int) -> str:
    body = _body("tdnn")(2, [(3, (-1, 0, 1)), (3, (-2, 0, 2))], rng=0)
    net = unfold(SequenceModel(body, 2, rng=0), T)
    rows = ("x", "h0", "h1", "o")
    middle = net.o[T // 2]
    picture = Picture(
        f"Time-delay network over {T} steps",
        f"Layers with the offsets -1, 0, 1 and -2, 0, 2. Strong: all that {middle.name} sees.",
    )
    arrows = arrows_between(_shown(net))
    seen, time = {middle}, symbol_and_time(middle)[1]
    for arrow in reversed(arrows):
        if arrow.target in seen:
            seen.add(arrow.source)
    for arrow in arrows:
        inside = arrow.target in seen
        picture.arrow(
            _place(rows, 1, arrow.source),
            _place(rows, 1, arrow.target),
            ", ".join(arrow.weights) if inside and symbol_and_time(arrow.target)[1] == time else "",
            style="strong" if inside else "faint",
            at=0.45,
        )
    for node in _shown(net):
        picture.circle(_place(rows, 1, node), node.name, _fill(node.name))
    return picture.write()


def _body(kind: str) -> Any:
    """Return a body's class by its entry point: fastrnn itself knows nothing of tdnn."""
    for entry in importlib.metadata.entry_points(group="fastrnn.bodies", name=kind):
        return entry.load()
    raise ModuleNotFoundError(f"figure: expected a body of kind {kind!r} to be installed")


class _Figure(NamedTuple):
    number: str
    draw: Callable[[int], str]
    steps: int


FIGURES = {
    "folded": _Figure("1", _folded, 3),
    "tdnn": _Figure("2", _tdnn, 7),
    "hidden-to-hidden": _Figure("3", _hidden_to_hidden, 3),
    "output-to-hidden": _Figure("4", _output_to_hidden, 3),
    "teacher-forcing": _Figure("5", _teacher_forcing, 3),
}
