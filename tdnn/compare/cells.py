"""Tables as ready text, the same for HTML and Markdown; each cell knows its numbers unrounded."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tdnn.compare import formats
from tdnn.compare.published import COLUMNS, Outcome, describe
from tdnn.compare.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Table", "cost_table", "evidence_table", "main_table", "published_table"]

NOTHING = "\N{EN DASH}"


class Cell(NamedTuple):
    """Text, and the numbers in it as they stand in a CSV file, in their order."""

    text: str
    values: tuple[float, ...] = ()
    kind: str = ""  # of a status, for its colour


@dataclass(frozen=True)
class Table:
    """Heads, rows of cells, and which columns hold numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    numeric: frozenset[int]
    head: int = 1  # the column that names a row


def main_table(summary: "pd.DataFrame") -> Table:
    """Scores: one row per task and model."""
    columns = (
        "Task", "Model", "Test score [95 % interval]", "Interquartile mean", "Floor", "Runs",
        "Parameters", "Receptive field", "Training time",
    )  # fmt: skip
    rows = []
    for row in summary.to_dict("records"):
        field = row["receptive_field"]
        rows.append(
            (
                Cell(row["task"]),
                Cell(row["model"]),
                _estimate(row["mean"], row["low"], row["high"]),
                _number(row["iqm"], formats.number),
                _number(row["floor"], formats.number, f" ({row['floor_name']})"),
                _runs(row),
                _number(row["parameters"], formats.count),
                Cell("unbounded") if _missing(field) else _number(field, formats.count),
                _number(row["training_seconds"], formats.seconds),
            )
        )
    return Table(columns, rows, frozenset({2, 3, 5, 6, 8}))


def cost_table(summary: "pd.DataFrame") -> Table:
    """Costs: one row per task and model."""
    columns = (
        "Task", "Model", "Multiply-adds per step", "Forward, seq/s", "Forward + backward, seq/s",
        "One step: median", "95 %", "Kept for backward", "Gradient error",
    )  # fmt: skip
    rows = [
        (
            Cell(row["task"]),
            Cell(row["model"]),
            _number(row["multiply_adds"], formats.count),
            _number(row["forward_per_second"], formats.rate),
            _number(row["forward_backward_per_second"], formats.rate),
            _number(row["latency_median"], formats.short_time),
            _number(row["latency_p95"], formats.short_time),
            _number(row["stored_bytes"], lambda value: formats.memory(round(value))),
            _number(row["gradient_error"], formats.small),
        )
        for row in summary.to_dict("records")
    ]
    return Table(columns, rows, frozenset(range(2, 9)))


def evidence_table(verdicts: Iterable[Verdict]) -> Table:
    """What each verdict rests on: one row per pair of models."""
    columns = (
        "Task", "First", "Second", "Paired difference [95 % interval]", "Pairs",
        "p, t-test", "p, Holm", "p, sign flips", "least p", "First better", "Verdict",
    )  # fmt: skip
    rows = []
    for item in verdicts:
        test, difference = item.test, item.difference
        ends = (None,) * 3 if difference is None else (
            difference.mean, difference.low, difference.high)  # fmt: skip
        rows.append(
            (
                Cell(item.task),
                Cell(item.models[0]),
                Cell(item.models[1]),
                _estimate(*ends),
                _number(difference and difference.seeds, formats.count),
                _number(test and test.t, _p),
                _number(item.p_holm, _p),
                _number(test and test.sign_flip, _p),
                _number(test and test.least, _p),
                _number(item.improvement, lambda value: f"{value:.2f}"),
                Cell(f"{item.winner} better" if item.winner else item.kind, (), item.kind),
            )
        )
    return Table(columns, rows, frozenset(range(3, 10)), head=0)


def published_table(outcomes: Sequence[Outcome]) -> Table:
    """The published table, ours beside it."""
    columns = ("Task", *COLUMNS, "Ours: RNN", "Ours: TDNN", "Found", "Why")
    rows = []
    for outcome in outcomes:
        row = outcome.row
        rows.append(
            (
                Cell(f"{row.name} ({row.metric})"),
                *(Cell(_as_published(value), (value,)) for value in row.figures),
                *(_ours(outcome, column) for column in ("RNN", "TCN")),
                Cell(outcome.status, (), outcome.status),
                Cell(outcome.why),
            )
        )
    return Table(columns, rows, frozenset({1, 2, 3, 4, 5, 6}), head=0)


def _ours(outcome: Outcome, column: str) -> Cell:
    found = outcome.ours.get(column)
    if found is None:
        return Cell(NOTHING)
    return Cell(describe(outcome, column), (found.mean,))


def _as_published(value: float) -> str:
    return formats.small(value) if value < 1e-3 else formats.number(value, 3)


def _estimate(mean: float | None, low: float | None, high: float | None) -> Cell:
    if mean is None or _missing(mean):
        return Cell("no score")
    if low is None or high is None or _missing(low):
        return Cell(f"{formats.number(mean)} [one seed: no interval]", (mean,))
    return Cell(f"{formats.number(mean)} [{formats.interval(low, high)}]", (mean, low, high))


def _runs(row: Mapping[Any, Any]) -> Cell:
    """How many runs, and how many of them have a score where that is less."""
    if row["scores"] == row["seeds"]:
        return Cell(str(row["seeds"]), (row["seeds"],))
    return Cell(f"{row['scores']} of {row['seeds']}", (row["scores"], row["seeds"]))


def _number(value: Any, write: Any, behind: str = "") -> Cell:
    return Cell(NOTHING) if _missing(value) else Cell(write(value) + behind, (value,))


def _p(value: float) -> str:
    return formats.p_value(value).removeprefix("p ").removeprefix("= ")


def _missing(value: Any) -> bool:
    """None, NaN and pandas' NA."""
    return value is None or not (isinstance(value, (int, float)) and math.isfinite(value))
