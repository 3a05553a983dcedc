"""Figures over lengths, costs and tasks: what does not show inside one training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tdnn.compare.drawing import FAINT, INK, Look, draw, logarithmic, looks_in, room_for
from tdnn.compare.formats import number
from tdnn.compare.ranks import Ranks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["cost_plot", "gap_plot", "length_plot", "rank_plot", "throughput_plot"]

WIDE = 7.6  # inches
COLORS = {"left": "#0868ac", "right": "#c8501e"}


def gap_plot(gaps: "pd.DataFrame", *, name: str, title: str) -> str:
    """Who is ahead on each task, and by how much of what the better one gains over the floor.

    Parameters
    ----------
    gaps : DataFrame
        As `gap_table` makes it: one row per task.
    name, title : str
        As in `learning_curve`.
    """
    with draw(name, title, (WIDE, 0.75 + 0.3 * len(gaps)), room_for(gaps["task"])) as canvas:
        axes = canvas.axes
        axes.axvspan(-9, 0, color=COLORS["left"], alpha=0.05, lw=0)
        axes.axvspan(0, 9, color=COLORS["right"], alpha=0.05, lw=0)
        axes.axvline(0, color=FAINT, lw=1.2)
        for place, row in enumerate(gaps.to_dict("records")):
            shown = row["kind"] == "better"
            color = COLORS["left" if row["gap"] < 0 else "right"] if shown else FAINT
            if row["gap"] != row["gap"]:
                axes.annotate(
                    row["kind"], (0, place), xytext=(8, 0), textcoords="offset points",
                    color=FAINT, fontsize=9.5, va="center",
                )  # fmt: skip
                continue
            axes.plot([row["low"], row["high"]], [place, place], color=color, lw=2.6)
            axes.plot(
                [row["gap"]], [place], "D", ms=8, color=color, mfc=color if shown else "white",
                mew=1.6,
            )  # fmt: skip
        ends = [1.0, *gaps["low"].abs().dropna(), *gaps["high"].abs().dropna()]
        reach = 1.08 * min(max(ends), 1.6)
        axes.set_xlim(-reach, reach)
        axes.set_yticks(range(len(gaps)), list(gaps["task"]))
        axes.set_ylim(len(gaps) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.set_xticks([-1, -0.5, 0, 0.5, 1])
        axes.set_xlabel("share of the better one's gain over the floor")
        for text, x, side in (
            ("\N{LEFTWARDS ARROW} RNN better", 0, "left"),
            ("TDNN better \N{RIGHTWARDS ARROW}", 1, "right"),
        ):
            axes.annotate(
                text, (x, 0), xycoords="axes fraction", xytext=(0, -29), ha=side,
                textcoords="offset points", color=COLORS[side], weight="bold",
            )  # fmt: skip
    return canvas.svg


def length_plot(
    lengths: "pd.DataFrame", *, looks: Mapping[str, Look], metric: str, name: str, title: str
) -> str:
    """The test score over the length of the sequences: mean and 95 % interval for each model.

    Parameters
    ----------
    lengths : DataFrame
        The rows of `length_table` that belong to one family of tasks.
    looks, metric, name, title
        As in `learning_curve`.
    """
    with draw(name, title) as canvas:
        axes = canvas.axes
        floors = lengths.groupby("length", sort=True)["floor"].first()
        axes.plot(
            floors.index.astype(int), floors, color=FAINT, lw=1.1, ls=(0, (4, 3)), label="floor"
        )
        for model, look in looks_in(looks, lengths):
            own = lengths[lengths["model"] == model].dropna(subset=["mean"])
            if own.empty:
                continue
            x = own["length"].astype(int)
            axes.plot(
                x, own["mean"], color=look.color, ls=look.dashes, lw=1.9, marker=look.marker, ms=5,
                label=model,
            )  # fmt: skip
            axes.vlines(x, own["low"], own["high"], color=look.color, lw=2)
        values = lengths[["mean", "floor"]].to_numpy(float)
        if (values > 0).all() and values.max() > 10 * values.min():
            logarithmic(axes, "y")
        ticks = sorted({int(length) for length in lengths["length"]})
        logarithmic(axes, "x", ticks)
        axes.set_xlabel("T: steps of a sequence")
        axes.set_ylabel(metric)
    return canvas.svg


def throughput_plot(
    throughput: "pd.DataFrame", *, looks: Mapping[str, Look], name: str, title: str
) -> str:
    """Steps per second over the length of the sequences: medians over seeds.

    Lines with filled marks are forward and backward, faint lines with open marks forward alone.

    Parameters
    ----------
    throughput : DataFrame
        The rows of `throughput_table` that belong to one task.
    looks, name, title
        As in `learning_curve`.
    """
    with draw(name, title) as canvas:
        axes = canvas.axes
        for model, look in looks_in(looks, throughput):
            table = throughput[throughput["model"] == model].groupby("length", sort=True)
            rates = table[["forward", "forward_backward"]].median()
            axes.plot(
                rates.index, rates["forward"], color=look.color, ls=look.dashes, lw=1,
                marker=look.marker, ms=4, mfc="white", alpha=0.6,
            )  # fmt: skip
            axes.plot(
                rates.index, rates["forward_backward"], color=look.color, ls=look.dashes, lw=1.9,
                marker=look.marker, ms=4.5, label=model,
            )  # fmt: skip
        logarithmic(axes, "y")
        ticks = sorted(set(throughput["length"]))
        logarithmic(axes, "x", ticks)
        axes.set_xlabel("T: steps of a sequence")
        axes.set_ylabel("steps per second")
    return canvas.svg


def cost_plot(
    summary: "pd.DataFrame",
    cost: str,
    label: str,
    *,
    looks: Mapping[str, Look],
    metric: str,
    name: str,
    title: str,
) -> str:
    """The test score, with its interval, against what a model costs.

    Parameters
    ----------
    summary : DataFrame
        The rows of `summary_table` that belong to one task.
    cost, label : str
        A column of it, and the label of the x axis.
    looks, metric, name, title
        As in `learning_curve`.
    """
    own = summary.dropna(subset=["mean"])
    with draw(name, title) as canvas:
        axes = canvas.axes
        for model, look in looks_in(looks, own):
            row = own[own["model"] == model].iloc[0]
            if row["low"] == row["low"]:
                axes.plot([row[cost]] * 2, [row["low"], row["high"]], color=look.color, lw=2)
            axes.plot([row[cost]], [row["mean"]], look.marker, ms=8, color=look.color, label=model)
        values = own[["mean", "low", "high"]].to_numpy(float)
        if values.size and (values > 0).all() and values.max() > 10 * values.min():
            logarithmic(axes, "y")
        _room(axes, [float(value) for value in own[cost]])
        axes.set_xlabel(label)
        axes.set_ylabel(metric)
    return canvas.svg


def _room(axes: "Axes", costs: Sequence[float]) -> None:
    """An x axis from 0, or a logarithmic one; matched sizes must not look far apart."""
    if costs and min(costs) > 0 and max(costs) > 10 * min(costs):
        logarithmic(axes, "x")
    elif costs:
        axes.set_xlim(0, 1.15 * max(costs))
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter("{x:,g}")


def rank_plot(ranks: Ranks, *, looks: Mapping[str, Look], name: str, title: str) -> str:
    """The critical-difference diagram: mean ranks, a bar over models that are not told apart.

    Parameters
    ----------
    ranks : Ranks
    looks, name, title
        As in `learning_curve`.
    """
    count = len(ranks.models)
    with draw(name, title, (WIDE, 1.2 + 0.28 * count), 0.2) as canvas:
        axes = canvas.axes
        for place, (model, rank) in enumerate(zip(ranks.models, ranks.ranks, strict=True)):
            look = looks[model]
            axes.plot([rank, rank], [0, place + 1], color="#c3ccd5", lw=1, zorder=1)
            axes.plot([rank], [place + 1], look.marker, ms=8, color=look.color)
            axes.annotate(
                f"{model}  {number(rank, 3)}", (rank, place + 1), xytext=(9, 0),
                textcoords="offset points", va="center", color=look.color,
            )  # fmt: skip
        for place, (first, last) in enumerate(ranks.together):
            height = -0.35 - 0.3 * place
            axes.plot(
                [ranks.ranks[first] - 0.03, ranks.ranks[last] + 0.03], [height] * 2, color=INK,
                lw=4, solid_capstyle="butt",
            )  # fmt: skip
        axes.set_xlim(0.7, count + 0.9)
        axes.set_ylim(count + 0.6, -0.6 - 0.3 * len(ranks.together))
        axes.set_xticks(range(1, count + 1))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("mean rank (1 is best); a thick bar joins models that are not told apart")
    return canvas.svg
