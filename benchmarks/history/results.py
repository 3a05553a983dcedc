"""Results as asv stores them, one JSON file for each commit and machine, read into values."""

import itertools
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "FEW", "RESULTS", "ROOT", "HistoryError", "Key", "Run", "Value", "again", "choose_machine",
    "descriptions", "find_run", "load_runs", "machines", "read_json", "write_atomically",
]  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
# So many samples give a 99 % interval of the median: 2 / 2**8 < 0.01.
FEW = 8
_NO_RUN = ("machine.json", "benchmarks.json")


class HistoryError(Exception):
    """What is wrong, and what would help: one line each."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem, hint)
        self.problem, self.hint = problem, hint


class Key(NamedTuple):
    """A benchmark with the values of its parameters, as asv writes them."""

    benchmark: str
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        words = ", ".join(word.strip("'") for word in self.parameters)
        return f"{self.benchmark}({words})" if words else self.benchmark

    def whole(self) -> str:
        """Return the name as `asv run --bench` sees it."""
        return self.benchmark + (f"({', '.join(self.parameters)})" if self.parameters else "")

    def pattern(self) -> str:
        """Return the regular expression by which ``--bench`` chooses this one alone."""
        return f"^{re.escape(self.whole())}$"


@dataclass(frozen=True)
class Value:
    """One result; lower is better.

    Parameters
    ----------
    value : float or None
        None: it failed. NaN: it was skipped.
    low, high : float
        The 99 % interval of the median; of fewer than `FEW` samples, from which asv's interval
        would hold nearly all numbers, the quartiles; without samples, the value itself.
    version : str
        Only results of the same version can be compared.
    number, repeat : int, optional
        Calls in a sample, and samples.
    """

    value: float | None
    low: float
    high: float
    version: str
    number: int | None = None
    repeat: int | None = None

    @property
    def status(self) -> str:
        """Return "ok", "failed" or "skipped"."""
        if self.value is None:
            return "failed"
        return "ok" if math.isfinite(self.value) else "skipped"


@dataclass(frozen=True)
class Run:
    """All results of one commit on one machine."""

    machine: str
    commit: str
    date: int
    """Of the commit, milliseconds since 1970."""
    results: Mapping[Key, Value] = field(default_factory=dict)

    def only(self, patterns: Sequence[re.Pattern[str]]) -> "Run":
        """Return the results that one of the patterns finds; all without patterns."""
        if not patterns:
            return self
        kept = {
            key: value
            for key, value in self.results.items()
            if any(pattern.search(key.whole()) for pattern in patterns)
        }
        return replace(self, results=kept)


def again(results: Path) -> Path:
    """Return the folder of second runs: beside the first, where asv does not look."""
    return results.with_name(results.name + "-again")


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file, or leave the old one as it was."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, path)
    except OSError as error:
        raise HistoryError(
            f"{path}: {error.strerror or error}", "name a place that can be written to"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a file holds."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HistoryError(
            f"{path}: not readable as JSON ({error})", "delete it and record that commit again"
        ) from error
    if not isinstance(content, dict):
        raise HistoryError(f"{path}: expected a JSON object", "delete it, record again")
    return content


def machines(results: Path) -> list[str]:
    """Return the names of the machines that have results, sorted."""
    found = (path.parent for path in results.glob("*/machine.json"))
    return sorted(folder.name for folder in found if len(list(folder.glob("*.json"))) > 1)


def choose_machine(results: Path, name: str | None) -> str:
    """Return the machine asked for, or the only one."""
    known = machines(results)
    if name in known:
        return str(name)
    if name is not None or not known:
        problem = f"there are no results of machine {name!r}" if name else "there are no results"
        raise HistoryError(
            f"--results: {problem} in {results}",
            f"there are {', '.join(known)}" if known else "python -m benchmarks.history record",
        )
    if len(known) > 1:
        raise HistoryError(
            f"--machine: {len(known)} machines have results", f"choose one: {', '.join(known)}"
        )
    return known[0]


def descriptions(results: Path) -> dict[str, dict[str, Any]]:
    """Return what asv knows of each benchmark: unit, param_names and more; {} without."""
    path = results / "benchmarks.json"
    if not path.exists():
        return {}
    return {name: about for name, about in read_json(path).items() if isinstance(about, dict)}


def load_runs(results: Path, machine: str) -> list[Run]:
    """Return the runs of a machine, oldest commit first; of one commit those of all environments.

    Raises
    ------
    HistoryError
        If a file is damaged.
    """
    found: dict[str, Run] = {}
    for path in sorted((results / machine).glob("*.json")):
        if path.name in _NO_RUN:
            continue
        run = _read_run(path, machine)
        if run.commit in found:
            run = Run(machine, run.commit, run.date, {**found[run.commit].results, **run.results})
        found[run.commit] = run
    return sorted(found.values(), key=lambda run: (run.date, run.commit))


def find_run(runs: list[Run], commit: str, name: str) -> Run:
    """Return the run of a commit, given as the whole or the beginning of its hash."""
    for run in runs:
        if commit and (run.commit.startswith(commit) or commit.startswith(run.commit)):
            return run
    raise HistoryError(
        f"{name}: commit {commit[:10]} has no results",
        "check it out, install it, and run python -m benchmarks.history record",
    )


def _read_run(path: Path, machine: str) -> Run:
    content = read_json(path)
    try:
        columns = content["result_columns"]
        values = {
            key: value
            for name, row in content["results"].items()
            for key, value in _values(name, row, columns)
        }
        return Run(machine, str(content["commit_hash"]), int(content["date"]), values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HistoryError(
            f"{path}: not a result of asv ({type(error).__name__}: {error})",
            "delete it and record that commit again",
        ) from error


def _values(name: str, row: Any, columns: list[str]) -> Iterator[tuple[Key, Value]]:
    # Empty columns at a row's end are left out; a failed benchmark's whole result is None.
    cells = dict(zip(columns, row, strict=False)) if isinstance(row, list) else {"result": row}
    keys = list(itertools.product(*(cells.get("params") or [])))

    def column(title: str) -> list[Any]:
        content = cells.get(title)
        return content if isinstance(content, list) else [content] * len(keys)

    rows = zip(
        column("result"), column("stats_ci_99_a"), column("stats_ci_99_b"), column("stats_q_25"),
        column("stats_q_75"), column("stats_number"), column("stats_repeat"), strict=True,
    )  # fmt: skip
    for parameters, (value, low, high, q_25, q_75, number, repeat) in zip(keys, rows, strict=True):
        value = None if value is None else float(value)
        around = math.nan if value is None else value
        if repeat is not None and repeat < FEW:
            low, high = q_25, q_75
        yield (
            Key(name, tuple(map(str, parameters))),
            Value(
                value,
                around if low is None else float(low),
                around if high is None else float(high),
                str(cells.get("version")),
                number,
                repeat,
            ),
        )
