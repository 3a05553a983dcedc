"""Two sets of results side by side: what changed, and whether it is more than noise."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tdnn.compare import formats
from tdnn.compare.errors import ComparisonError
from tdnn.compare.results import Record, Store
from tdnn.compare.statistics import estimate
from tdnn.compare.tables import questions, scores_of
from tdnn.compare.verdicts import ENOUGH_SEEDS, Comparison, Verdict, judge

__all__ = ["compare_results"]

HEADS = ("task", "model", "A", "B", "change B - A [95 % interval]", "pairs", "p, Holm", "verdict")
WORDS = {"no difference": "within noise"}
Pair = tuple[str, str]  # task, model


def compare_results(a: Path, b: Path) -> str:
    """Say what changed from the results in `a` to those in `b`.

    Runs are paired by seed: the same seed gives both the same initial values and batches. A
    change counts as shown where a verdict of the report would: at least three pairs, a bootstrap
    interval without 0, and a paired t-test below 0.05 after Holm's adjustment over all rows.

    Parameters
    ----------
    a, b : Path
        Folders of two comparisons.

    Returns
    -------
    str
        Text for a terminal, ending in a line break.

    Raises
    ------
    ComparisonError
        If a folder holds no finished run.
    """
    first, second = _load(a, "A"), _load(b, "B")
    there, here = _grouped(first), _grouped(second)
    common = sorted(there.keys() & here.keys())
    other = {pair: _incomparable(there[pair][0], here[pair][0]) for pair in common}
    usable = [pair for pair in common if not other[pair]]
    verdicts = dict(zip(usable, judge([_comparison(pair, there, here) for pair in usable]),
                        strict=True))  # fmt: skip
    rows = [_row(pair, there[pair], here[pair], verdicts.get(pair), other[pair])
            for pair in common]  # fmt: skip
    lines = [f"A: {a} ({len(first)} runs)", f"B: {b} ({len(second)} runs)", ""]
    if rows:
        lines += _aligned([HEADS, *rows])
        lines += ["", _summary(verdicts.values())]
    else:
        lines.append("no task and model is in both")
    lines += _alone("A", there.keys() - here.keys()) + _alone("B", here.keys() - there.keys())
    lines += _differences(there, here, common)
    return "\n".join(lines) + "\n"


def _load(folder: Path, name: str) -> list[Record]:
    records = Store(folder).load()
    if not records:
        raise ComparisonError(
            f"{name}: there is no finished run in {folder}",
            "name two folders that rnn-vs-tdnn run has written to",
        )
    return records


def _grouped(records: Iterable[Record]) -> dict[Pair, list[Record]]:
    found: dict[Pair, list[Record]] = {}
    for record in records:
        found.setdefault((record["task"], record["model"]), []).append(record)
    return found


def _incomparable(first: Record, second: Record) -> str:
    """Why two records' scores cannot be held against each other; "" where they can."""
    if first["settings"].get("data") != second["settings"].get("data") or _data(first) != _data(
        second
    ):
        return "other data"
    names = ("metric", "lower_is_better")
    if any(first["about"][name] != second["about"][name] for name in names):
        return "other metric"
    return ""


def _data(record: Record) -> Any:
    return record["environment"].get("data")


def _comparison(
    pair: Pair, there: Mapping[Pair, list[Record]], here: Mapping[Pair, list[Record]]
) -> Comparison:
    task, model = pair
    scores = {name: scores_of(own[pair])[task][model] for name, own in (("A", there), ("B", here))}
    return Comparison(questions(here[pair])[task], scores)


def _row(
    pair: Pair, there: list[Record], here: list[Record], verdict: Verdict | None, other: str
) -> tuple[str, ...]:
    task, model = pair
    means = tuple(_mean(scores_of(own)[task][model].values()) for own in (there, here))
    if verdict is None or verdict.difference is None:
        return (task, model, *means, "", "", "", other or "no pair of runs with a score")
    difference = verdict.difference  # A - B
    change = formats.number(0.0 - difference.mean)
    if difference.low is not None and difference.high is not None:
        change += f" [{formats.interval(0.0 - difference.high, 0.0 - difference.low)}]"
    p = "" if verdict.p_holm is None else formats.p_value(verdict.p_holm).removeprefix("p ")
    return (task, model, *means, change, str(difference.seeds), p.removeprefix("= "),
            _word(verdict))  # fmt: skip


def _mean(scores: Iterable[float]) -> str:
    finite = [score for score in scores if score == score]
    return formats.number(estimate(finite).mean) if finite else "no score"


def _word(verdict: Verdict) -> str:
    """The verdict on a change, seen from B."""
    assert verdict.difference is not None
    if verdict.winner is not None:
        return "better" if verdict.winner == "B" else "worse"
    if verdict.difference.low == verdict.difference.high == 0.0:
        return "the same"
    return WORDS.get(verdict.kind, verdict.kind)


def _summary(verdicts: Iterable[Verdict]) -> str:
    """What the rows together allow to be said."""
    tested = [item for item in verdicts if item.p_holm is not None]
    shown = sum(item.winner is not None for item in tested)
    if not tested:
        return f"No change can be judged: that takes {ENOUGH_SEEDS} pairs of runs with a score."
    plural = "row" if len(tested) == 1 else "rows"
    return (
        f"{shown} of {len(tested)} {plural} changed by more than noise (95 % interval of the "
        "paired differences without 0, p < 0.05 after Holm).\n"
        "Within noise: no change is shown with these seeds; a small one may be there."
    )


def _alone(name: str, pairs: Iterable[Pair]) -> list[str]:
    found = ", ".join(f"{task} {model}" for task, model in sorted(pairs))
    return [f"Only in {name}: {found}"] if found else []


def _differences(
    there: Mapping[Pair, list[Record]], here: Mapping[Pair, list[Record]], common: Sequence[Pair]
) -> list[str]:
    """Settings, tuning, sizes and environments that differ, each said once."""
    found: dict[str, list[str]] = {}
    for pair in common:
        first, second = _flat(there[pair][0]), _flat(here[pair][0])
        for name in sorted(first.keys() | second.keys()):
            old, new = first.get(name, "not there"), second.get(name, "not there")
            if old != new:
                found.setdefault(f"{name}: {old} in A, {new} in B", []).append(" ".join(pair))
    if not common:
        return []
    if not found:
        return ["", "Settings, data, sizes and environments are the same."]
    lines = ["", "What differs:"]
    for text, pairs in found.items():
        where = "" if len(pairs) == len(common) else f" ({', '.join(pairs)})"
        lines.append(f"  {text}{where}")
    return lines


def _flat(record: Record) -> dict[str, str]:
    """All of a record that may explain a change, by name."""
    network, chosen = record["network"], record["tuning"]["chosen"]
    return {
        **_named("settings", record["settings"]),
        **_named("tuning", chosen),
        **_named("network", network),
        **_named("environment", record["environment"]),
    }


def _named(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found.update(_named(f"{prefix}, {name}", value))
        else:
            found[f"{prefix}, {name}".replace("_", " ")] = str(value)
    return found


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
