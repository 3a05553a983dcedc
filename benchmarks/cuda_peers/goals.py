"""The figures to reach, and which cells reach them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.cuda_peers.records import Record, by_case, per_step
from benchmarks.peers.table import duration, ratio_text

__all__ = ["GOALS", "Goal", "lines"]


@dataclass(frozen=True)
class Goal:
    """One figure to reach.

    Parameters
    ----------
    text : str
        What it says.
    figures : callable
        Returns (cell, figure) of each cell that it is about, from all records.
    reached : callable
        Whether a figure does.
    show : callable
        Figure to text.
    worst : callable
        max or min: which figure of several to name.
    """

    text: str
    figures: Callable[[list[Record]], list[tuple[str, float]]]
    reached: Callable[[float], bool]
    show: Callable[[float], str]
    worst: Callable[..., tuple[str, float]]


def _named(group: list[Record]) -> str:
    r = group[0]
    return f"{r.cell} {r.direction}"


def _ratios(
    group: str, peer: str, where: Callable[[Record], bool] = lambda _: True
) -> Callable[[list[Record]], list[tuple[str, float]]]:
    def figures(records: list[Record]) -> list[tuple[str, float]]:
        return [
            (_named(found), r.ratio)
            for (name, _, _), found in by_case(records).items()
            for r in found
            if name == group and r.contender == peer and where(r)
        ]

    return figures


def _ours(
    figure: Callable[[Record], float], where: Callable[[Record], bool]
) -> Callable[[list[Record]], list[tuple[str, float]]]:
    def figures(records: list[Record]) -> list[tuple[str, float]]:
        ours = [r for r in records if r.contender == "ours" and where(r)]
        return [(_named([r]), figure(r)) for r in ours]

    return figures


def _at_least(text: str, least: float, figures: Callable[..., list[tuple[str, float]]]) -> Goal:
    return Goal(text, figures, lambda f: f >= least, lambda f: ratio_text(f) + "x", min)


def _at_most(
    text: str, most: float, figures: Callable[..., list[tuple[str, float]]],
    show: Callable[[float], str] = duration,
) -> Goal:  # fmt: skip
    return Goal(text, figures, lambda f: f <= most, show, max)


GOALS = (
    _at_least("at least 1.0x cuDNN fp32", 1.0, _ratios("elman", "torch")),
    _at_least(
        "at least 2x cuDNN fp32, m > 384, B <= 32", 2.0,
        _ratios("elman", "torch", lambda r: r.m > 384 and r.B <= 32),
    ),
    _at_least("at least 5x packed sequences", 5.0, _ratios("ragged", "torch packed")),
    _at_least(
        "at least 5x float64, m <= 512, B <= 32", 5.0,
        _ratios("float64", "torch", lambda r: r.m <= 512 and r.B <= 32),
    ),
    _at_most(
        "at most 2 us a step forward, m <= 1024, B <= 8", 2e-6,
        _ours(
            per_step,
            lambda r: r.group == "elman" and r.direction == "F" and r.m <= 1024 and r.B <= 8,
        ),
    ),
    _at_most(
        "at most 10 us of the host a call", 1e-5,
        _ours(lambda r: r.seconds, lambda r: r.group == "launch"),
    ),
    _at_most(
        "float32 error at most 1e-5", 1e-5,
        _ours(lambda r: r.error, lambda r: r.dtype == "float32" and r.group != "launch"),
        "{:.1e}".format,
    ),
)  # fmt: skip


def lines(records: list[Record], goals: Iterable[Goal] = GOALS) -> list[str]:
    """Return a line for each goal that something was measured of."""
    found = []
    for goal in goals:
        figures = goal.figures(records)
        if not figures:
            continue
        met = sum(goal.reached(figure) for _, figure in figures)
        cell, figure = goal.worst(figures, key=lambda item: item[1])
        worst = f"{goal.show(figure)} ({cell.strip()})"
        found.append(f"{goal.text}: {met} of {len(figures)} cells, worst {worst}")
    return found
