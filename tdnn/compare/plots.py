"""Figures of one task: learning curves, test scores, score by lag, gradient flow."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tdnn.compare.drawing import Look, draw, logarithmic, looks_in, references, room_for
from tdnn.compare.statistics import estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["flow_plot", "lag_plot", "learning_curve", "score_plot"]

BAND = 0.15  # opacity


def learning_curve(
    curves: "pd.DataFrame",
    by: str,
    *,
    looks: Mapping[str, Look],
    metric: str,
    levels: Mapping[str, float],
    lower_is_better: bool,
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
    looks : dict of str to Look
        How each model is drawn.
    metric : str
        Label of the y axis.
    levels : dict of str to float
        Drawn as dashed lines with these names; the first is the floor.
    lower_is_better : bool
    name : str
        Makes the ids inside of the SVG unique on the page.
    title : str
        What a screen reader says.

    Returns
    -------
    str
        An ``<svg>`` element without any address in it.
    """
    with draw(name, title) as canvas:
        axes, drawn = canvas.axes, []
        for model, look in looks_in(looks, curves):
            points = curves[curves["model"] == model].dropna(subset=["validation"])
            if points.empty:
                continue
            table = points.groupby("step", sort=True).agg(
                x=(by, "mean"),
                mean=("validation", "mean"),
                low=("validation", "min"),
                high=("validation", "max"),
                seeds=("seed", "nunique"),
            )
            # A run that diverged has a shorter curve.
            table = table[table["seeds"] == points["seed"].nunique()]
            _band(axes, table["x"], table, look)
            axes.plot(
                table["x"], table["mean"], color=look.color, ls=look.dashes, lw=1.9, label=model
            )
            drawn += [*table["mean"], *table["low"], *table["high"]]
        _scale(axes, drawn, list(levels.values()), lower_is_better)
        references(axes, levels)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel("updates" if by == "step" else "seconds of training (mean over seeds)")
        axes.set_ylabel(metric)
    return canvas.svg


def score_plot(
    runs: "pd.DataFrame",
    *,
    looks: Mapping[str, Look],
    metric: str,
    levels: Mapping[str, float],
    name: str,
    title: str,
) -> str:
    """Test score of every seed, with mean and 95 % interval; arguments as `learning_curve`."""
    own = looks_in(looks, runs)
    with draw(name, title, left=room_for(model for model, _ in own)) as canvas:
        axes = canvas.axes
        models: list[str] = []
        for model, look in own:
            scores = list(runs[runs["model"] == model].sort_values("seed")["score"].dropna())
            place = len(models)
            models.append(model)
            if not scores:
                continue
            spread = [place + 0.17 + 0.05 * (index % 3) for index in range(len(scores))]
            axes.plot(scores, spread, look.marker, ms=4.5, mfc="white", mec=look.color, mew=1.3)
            found = estimate(scores)
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [place, place], color=look.color, lw=2.4)
            axes.plot([found.mean], [place], "D", ms=6.5, color=look.color)
        # Of the scores: a floor far away would press them together.
        left, right = axes.get_xlim()
        axes.set_xlim(left, right)
        references(axes, levels, across=False)
        axes.set_yticks(range(len(models)), models)
        axes.set_ylim(len(models) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.locator_params(axis="x", nbins=4)  # or long labels would touch
        axes.set_xlabel(metric)
    return canvas.svg


def lag_plot(
    lags: "pd.DataFrame",
    *,
    looks: Mapping[str, Look],
    metric: str,
    label: str,
    levels: Mapping[str, float],
    name: str,
    title: str,
) -> str:
    """The test score at each lag: mean over seeds, band from best to worst.

    Parameters
    ----------
    lags : DataFrame
        The rows of `lag_table` that belong to one task.
    label : str
        What the lags count.
    looks, metric, levels, name, title
        As in `learning_curve`.
    """
    with draw(name, title) as canvas:
        axes = canvas.axes
        for model, look in looks_in(looks, lags):
            points = lags[lags["model"] == model].groupby("lag", sort=True)["score"]
            table = points.agg(["mean", "min", "max"]).rename(columns={"min": "low", "max": "high"})
            _band(axes, table.index, table, look)
            axes.plot(
                table.index, table["mean"], color=look.color, ls=look.dashes, lw=1.9,
                marker=look.marker, ms=3.5 if len(table) < 30 else 0, label=model,
            )  # fmt: skip
        references(axes, levels)
        axes.set_xlabel(label)
        axes.set_ylabel(metric)
    return canvas.svg


def flow_plot(flow: "pd.DataFrame", *, looks: Mapping[str, Look], name: str, title: str) -> str:
    """The gradient that arrives `lag` steps before the loss: a line for each model.

    Lines are means over seeds (of logarithms), bands reach from the least to the largest. Dotted:
    what the spectral radius of W alone would make of the gradient at lag 0. A line ends, with a
    mark, where the receptive field does: beyond it the gradient is exactly zero.

    Parameters
    ----------
    flow : DataFrame
        The rows of `flow_table` that belong to one task.
    looks, name, title
        As in `learning_curve`.
    """
    with draw(name, title) as canvas:
        axes, ends = canvas.axes, []
        for model, look in looks_in(looks, flow):
            end = _flow_line(axes, model, flow[flow["model"] == model], look)
            if end is not None:
                ends.append(end)
        if ends:
            top = max(high for _, high in ends)
            logarithmic(axes, "y")
            axes.set_ylim(max(min(low for low, _ in ends) / 3, 1e-12 * top), 12 * top)
        axes.set_xlabel("lag: steps before the loss")
        axes.set_ylabel("norm of the gradient in x")
    return canvas.svg


def _flow_line(
    axes: "Axes", model: str, own: "pd.DataFrame", look: Look
) -> tuple[float, float] | None:
    """Draw one model; return its least and largest norm, None where there is no gradient."""
    import numpy as np

    points = own[own["norm"] > 0]
    if points.empty:
        return None
    table = (
        points.assign(log=np.log(points["norm"]))
        .groupby("lag", sort=True)
        .agg(mean=("log", "mean"), low=("norm", "min"), high=("norm", "max"))
    )
    mean = np.exp(table["mean"])
    _band(axes, table.index, table, look)
    axes.plot(table.index, mean, color=look.color, ls=look.dashes, lw=1.9, label=model)
    if not own["in_field"].all():
        last = table.index[-1]
        late = last > 0.6 * own["lag"].max()  # the words go where there is room for them
        axes.plot([last], [mean.iloc[-1]], "|", ms=14, mew=2, color=look.color)
        axes.annotate(
            "then exactly 0", (last, mean.iloc[-1]), xytext=(-5, -13) if late else (5, -4),
            ha="right" if late else "left", textcoords="offset points", color=look.color,
            fontsize=9,
        )  # fmt: skip
    spectral = own.groupby("lag", sort=True)["spectral"].median().dropna()
    if len(spectral) > 1 and spectral.iloc[0] > 0 and 0 in mean.index:
        slope = mean[0] * spectral / spectral.iloc[0]
        axes.plot(slope.index, slope, color=look.color, lw=1.2, ls=(0, (1, 2)))
    return float(mean.min()), float(table["high"].max())


def _band(axes: "Axes", x: Any, table: "pd.DataFrame", look: Look) -> None:
    axes.fill_between(x, table["low"], table["high"], color=look.color, alpha=BAND, lw=0)


def _scale(
    axes: "Axes", drawn: Sequence[float], levels: Sequence[float], lower_is_better: bool
) -> None:
    """A logarithmic axis where scores fall far below the floor; else one cut beyond the floor.

    `drawn` are means and the ends of their bands, `levels` the references, the floor first.
    Curves that never beat the floor are shown whole.
    """
    if not drawn or not levels:
        return
    floor, low, high = levels[0], min([*drawn, *levels]), max([*drawn, *levels])
    if lower_is_better and low > 0 and floor > 10 * min(drawn):
        logarithmic(axes, "y")
        axes.set_ylim(low / 2, 3 * floor)
    elif lower_is_better and min(drawn) < floor:
        axes.set_ylim(low - 0.08 * (floor - low), floor + 0.25 * (floor - low))
    elif not lower_is_better and max(drawn) > floor:
        axes.set_ylim(floor - 0.25 * (high - floor), high + 0.08 * (high - floor))
