"""How figures look, and how one becomes SVG text that stands inside an HTML page.

Figures are made without pyplot. matplotlib's settings are changed only while one is drawn, and a
fixed salt and no date make the same results the same bytes.
"""

import contextlib
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tdnn.compare.verdicts import family_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FAINT",
    "INK",
    "Canvas",
    "Look",
    "draw",
    "logarithmic",
    "looks",
    "looks_in",
    "references",
    "room_for",
]

INK, FAINT = "#33404d", "#6f7b87"
SIZE = (4.3, 3.1)
BOTTOM = 0.53  # inches below the axes
CLOSE = 0.08  # of an axis: lines with less between them would have their names collide
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#c3ccd5",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10.0,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "grid.color": "#e9edf1",
    "grid.linewidth": 0.8,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "xtick.color": INK,
    "xtick.major.size": 0.0,
    "ytick.color": INK,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
}
# RNNs are cool, TDNNs warm; told apart also by those who see no red or green, and in grey.
COLORS = {
    "RNN": ("#0868ac", "#4596c9", "#1b8a6b", "#5b6fb5"),
    "TDNN": ("#c8501e", "#8c4a9e", "#b07d00", "#a8325a"),
}
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))
MARKERS = {"RNN": "o", "TDNN": "s"}


@dataclass(frozen=True)
class Look:
    """How one model is drawn, the same in every figure of a page."""

    color: str
    dashes: Any
    marker: str


def looks(models: Iterable[str]) -> dict[str, Look]:
    """A look for each model, in the order RNNs, TDNNs.

    Examples
    --------
    >>> from tdnn.compare.drawing import looks
    >>> [(name, look.marker) for name, look in looks(["tdnn", "elman"]).items()]
    [('elman', 'o'), ('tdnn', 's')]
    """
    found = {}
    names = sorted(set(models))
    for family, colors in COLORS.items():
        own = [name for name in names if family_of(name) == family]
        for place, name in enumerate(own):
            found[name] = Look(
                colors[place % len(colors)], DASHES[place % len(DASHES)], MARKERS[family]
            )
    return found


def looks_in(looks: Mapping[str, Look], table: "pd.DataFrame") -> list[tuple[str, Look]]:
    """The models that a table has, in the order of `looks`."""
    there = set(table["model"])
    return [(model, look) for model, look in looks.items() if model in there]


class Canvas:
    """A figure under way; `svg` is its text once `draw` has left."""

    def __init__(self, figure: "Figure", axes: "Axes", left: float) -> None:
        self.figure, self.axes, self.left = figure, axes, left
        self.svg = ""

    def place(self) -> None:
        """Give the axes the room that labels and legend leave.

        A layout engine would draw everything twice, which takes most of the time of a report.
        """
        width, height = self.figure.get_size_inches()
        if len(self.axes.get_ylabel()) > 27:
            self.axes.yaxis.label.set_fontsize(8.5)
        handles, labels = self.axes.get_legend_handles_labels()
        top = 0.1
        if labels:
            letters = max(map(len, labels))
            columns = max(1, min(4, int((width - 0.2) / (0.5 + 0.068 * letters))))
            self.figure.legend(
                handles, labels, loc="upper left", ncols=columns, handlelength=2.2,
                columnspacing=1.2, handletextpad=0.5, labelspacing=0.25, borderaxespad=0.1,
            )  # fmt: skip
            top += 0.06 + 0.165 * -(-len(labels) // columns)
        self.axes.set_position(
            (self.left / width, BOTTOM / height, 1 - (self.left + 0.14) / width,
             1 - (BOTTOM + top) / height)
        )  # fmt: skip


@contextlib.contextmanager
def draw(
    name: str, title: str, size: tuple[float, float] = SIZE, left: float = 0.78
) -> Iterator[Canvas]:
    """A figure with one pair of axes, made into SVG in the end.

    Whatever has a label stands in a legend above the axes: lines may run anywhere inside.

    Parameters
    ----------
    name : str
        Makes the ids inside of the SVG unique on the page: letters, digits, hyphens.
    title : str
        What a screen reader says.
    size : tuple of float
        In inches.
    left : float
        Room for what stands left of the axes, in inches; see `room_for`.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size)
        canvas = Canvas(figure, figure.add_subplot(), left)
        yield canvas
        canvas.place()
        canvas.svg = _svg(figure, name, title)


def room_for(names: Iterable[str]) -> float:
    """Inches that names beside an axis take."""
    return 0.2 + 0.088 * max(map(len, names), default=0)


def logarithmic(axes: "Axes", which: str, ticks: Iterable[int] | None = None) -> None:
    """Make the x or y axis logarithmic, with plain numbers beside it, or these `ticks` alone."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    if ticks is not None:
        axis.set_minor_locator(NullLocator())
        axis.set_ticks(list(ticks))


def _plain(value: float) -> str:
    """A power of ten, or any number, as the mark of an axis."""
    if value >= 1e6:
        return f"{value / 1e6:,.6g} M"
    if value >= 1e4:
        return f"{value / 1e3:,.6g} k"
    if value > 1e-4:
        return f"{value:,.6g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("-", "\N{MINUS SIGN}")


def references(axes: "Axes", levels: Mapping[str, float], *, across: bool = True) -> None:
    """Dashed lines with their names: across the axes, or up; call it when the limits are set.

    Names of lines that lie close together stand on different sides.
    """
    low, high = axes.get_ylim() if across else axes.get_xlim()
    scale = (axes.yaxis if across else axes.xaxis).get_transform()
    start, end = (float(scale.transform(limit)) for limit in (low, high))
    last, turned = -math.inf, False
    for label, value in sorted(levels.items(), key=lambda item: item[1]):
        if not min(low, high) <= value <= max(low, high):
            continue
        place = (float(scale.transform(value)) - start) / (end - start)
        turned = not turned if abs(place - last) < CLOSE else False
        last = place
        text: dict[str, Any] = {"textcoords": "offset points", "color": FAINT, "fontsize": 9}
        if across:
            axes.axhline(value, color=FAINT, lw=1.1, ls=(0, (4, 3)))
            axes.annotate(
                label, (0.0 if turned else 1.0, value), xycoords=("axes fraction", "data"),
                xytext=(2 if turned else -2, 3), ha="left" if turned else "right", **text,
            )  # fmt: skip
        else:
            axes.axvline(value, color=FAINT, lw=1.1, ls=(0, (4, 3)))
            axes.annotate(
                label, (value, 1), xycoords=("data", "axes fraction"),
                xytext=(4 if turned else -4, -3), ha="left" if turned else "right", va="top",
                rotation=90, **text,
            )  # fmt: skip


def _svg(figure: "Figure", name: str, title: str) -> str:
    """The figure as an element for a page: no prolog, no addresses, ids of its own."""
    from html import escape

    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)  # hold names once more
    text = re.sub(r'\sid="', f' id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    text = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', text)
    return text.replace('role="img">', f'role="img"><title>{escape(title)}</title>', 1).strip()
