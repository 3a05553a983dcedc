"""Figures of the report, as SVG text that stands inside an HTML page.

Figures are made without pyplot. matplotlib's settings are changed only while one is drawn, and a
fixed salt and no date make the same results the same bytes.
"""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tdnn.compare.statistics import estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLORS", "flow_plot", "learning_curve", "score_plot"]

# Told apart also by those who see no red or green (Okabe and Ito 2008), darkened for white paper.
COLORS = ("#0868ac", "#c8501e", "#1b8a6b", "#8c4a9e", "#8a6d00")
INK, FAINT = "#33404d", "#8793a0"
SIZE = (4.3, 3.0)
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#c3ccd5",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10.0,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "grid.color": "#e9edf1",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "text.color": INK,
    "xtick.color": INK,
    "xtick.major.size": 0.0,
    "ytick.color": INK,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
}


def learning_curve(
    curves: "pd.DataFrame",
    by: str,
    *,
    metric: str,
    references: dict[str, float],
    name: str,
    title: str,
) -> str:
    """Validation score against ``step`` or ``seconds``: mean over seeds, band from best to worst.

    Parameters
    ----------
    curves : DataFrame
        The rows of `curves_table` that belong to one task.
    by : {"step", "seconds"}
        The x axis. Seconds are the mean over seeds at each evaluation.
    metric : str
        Label of the y axis.
    references : dict of str to float
        Drawn as dashed lines with these names.
    name : str
        Makes the ids inside of the SVG unique on the page.
    title : str
        What a screen reader says.

    Returns
    -------
    str
        An ``<svg>`` element without any address in it.
    """
    import matplotlib as mpl

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure, axes = _figure()
        models = sorted(curves["model"].unique())
        means = []
        for model, color in zip(models, _colors(len(models)), strict=True):
            points = curves[curves["model"] == model].dropna(subset=["validation"])
            seeds = points["seed"].nunique()
            groups = points.groupby("step", sort=True)
            table = groups.agg(
                x=(by, "mean"),
                mean=("validation", "mean"),
                low=("validation", "min"),
                high=("validation", "max"),
                seeds=("seed", "nunique"),
            )
            table = table[table["seeds"] == seeds]  # a run that diverged has a shorter curve
            axes.fill_between(
                table["x"], table["low"], table["high"], color=color, alpha=0.18, lw=0
            )
            axes.plot(table["x"], table["mean"], color=color, lw=2, label=model)
            means.append(table["mean"])
        _references(axes, references)
        _scale(axes, [value for mean in means for value in mean], list(references.values()))
        axes.set_xlim(left=0)
        axes.set_xlabel("updates" if by == "step" else "seconds of training (mean over seeds)")
        axes.set_ylabel(f"validation, {metric}")
        axes.legend(loc="upper right", ncols=2, handlelength=1.6, columnspacing=1.2)
        return _svg(figure, name, title)


def score_plot(
    runs: "pd.DataFrame", *, metric: str, references: dict[str, float], name: str, title: str
) -> str:
    """Test score of every seed, with mean and 95 % interval; arguments as `learning_curve`."""
    import matplotlib as mpl

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure, axes = _figure()
        models = sorted(runs["model"].unique())
        for place, (model, color) in enumerate(zip(models, _colors(len(models)), strict=True)):
            scores = list(runs[runs["model"] == model].sort_values("seed")["score"].dropna())
            if not scores:
                continue
            spread = [place + 0.16 + 0.05 * (index % 3) for index in range(len(scores))]
            axes.plot(scores, spread, "o", ms=5, mfc="white", mec=color, mew=1.4)
            found = estimate(scores)
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [place, place], color=color, lw=2.4)
            axes.plot([found.mean], [place], "D", ms=7, color=color)
        left, right = axes.get_xlim()  # of the scores: a floor far away would press them together
        for label, value in references.items():
            if not left <= value <= right:
                continue
            axes.axvline(value, color=FAINT, lw=1.2, ls=(0, (4, 3)))
            axes.annotate(
                label, (value, 1), xycoords=("data", "axes fraction"), xytext=(-4, -3),
                textcoords="offset points", ha="right", va="top",
                color=FAINT, fontsize=9, rotation=90,
            )  # fmt: skip
        axes.set_xlim(left, right)
        axes.set_yticks(range(len(models)), models)
        axes.set_ylim(len(models) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.locator_params(axis="x", nbins=4)  # or long labels would touch
        axes.set_xlabel(f"test, {metric}")
        return _svg(figure, name, title)


def flow_plot(flow: "pd.DataFrame", *, name: str, title: str) -> str:
    """The gradient that arrives `lag` steps before the loss: a line for each model.

    Lines are means over seeds (of logarithms), bands reach from the least to the largest. Dotted:
    what the spectral radius of W alone would make of the gradient at lag 0. A line ends, with a
    mark, where the receptive field does: beyond it the gradient is exactly zero.

    Parameters
    ----------
    flow : DataFrame
        The rows of `flow_table` that belong to one task.
    name, title : str
        As in `learning_curve`.

    Returns
    -------
    str
        As `learning_curve`.
    """
    import matplotlib as mpl
    import numpy as np

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure, axes = _figure()
        models, ends = sorted(flow["model"].unique()), []
        for model, color in zip(models, _colors(len(models)), strict=True):
            own = flow[flow["model"] == model]
            points = own[own["norm"] > 0]
            table = (
                points.assign(log=np.log(points["norm"]))
                .groupby("lag", sort=True)
                .agg(mean=("log", "mean"), low=("norm", "min"), high=("norm", "max"))
            )
            if table.empty:
                continue
            mean = np.exp(table["mean"])
            axes.fill_between(
                table.index, table["low"], table["high"], color=color, alpha=0.18, lw=0
            )
            axes.plot(table.index, mean, color=color, lw=2, label=model)
            ends.append((float(mean.min()), float(table["high"].max())))
            if not own["in_field"].all():
                last = table.index[-1]
                axes.plot([last], [mean.iloc[-1]], "|", ms=16, mew=2, color=color)
                axes.annotate(
                    "then exactly 0", (last, mean.iloc[-1]), xytext=(5, -4),
                    textcoords="offset points", color=color, fontsize=9,
                )  # fmt: skip
            spectral = own.groupby("lag", sort=True)["spectral"].median().dropna()
            if len(spectral) > 1 and spectral.iloc[0] > 0 and 0 in mean.index:
                slope = mean[0] * spectral / spectral.iloc[0]
                axes.plot(
                    slope.index, slope, color=color, lw=1.4, ls=(0, (1, 2)),
                    label=f"{model}: spectral radius of W",
                )  # fmt: skip
        if ends:
            top = max(high for _, high in ends)
            axes.set_yscale("log")
            axes.set_ylim(max(min(low for low, _ in ends) / 3, 1e-12 * top), 12 * top)
        axes.set_xlabel("lag: steps before the loss")
        axes.set_ylabel("norm of the gradient in x")
        # Above the axes: the dotted line may run anywhere.
        figure.legend(loc="outside upper left", ncols=2, handlelength=1.6, columnspacing=1.2)
        return _svg(figure, name, title)


def _figure() -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.add_subplot()


def _colors(count: int) -> Sequence[str]:
    return [COLORS[index % len(COLORS)] for index in range(count)]


def _references(axes: "Axes", references: dict[str, float]) -> None:
    for label, value in references.items():
        axes.axhline(value, color=FAINT, lw=1.2, ls=(0, (4, 3)))
        axes.annotate(
            label, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 3),
            textcoords="offset points", ha="right", color=FAINT, fontsize=9,
        )  # fmt: skip


def _scale(axes: "Axes", values: list[float], references: list[float]) -> None:
    """A logarithmic axis where scores fall far below the floor; else one cut above the floor."""
    top = max(references, default=0.0)
    low = min([*values, *references])
    if low > 0 and top > 10 * low:
        axes.set_yscale("log")
        axes.set_ylim(top=3 * top)
    elif values and top > 0:
        axes.set_ylim(low - 0.08 * (top - low), 1.12 * top)


def _svg(figure: Any, name: str, title: str) -> str:
    """The figure as an element for a page: no prolog, no addresses, ids of its own."""
    from html import escape

    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\sid="', f' id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    text = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', text)
    return text.replace('role="img">', f'role="img"><title>{escape(title)}</title>', 1).strip()
