"""Results: one record per case, thread count and contender; kept as CSV."""

import csv
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

__all__ = ["Record", "Writer", "read_csv"]


@dataclass(frozen=True)
class Record:
    """One contender's result for one case.

    Parameters
    ----------
    group, cell, direction, dtype, threads
        What was measured; see `cases.Case`.
    contender, variant : str
        Who did it, and how.
    seconds : float
        Median time of doing the work once.
    ratio : float
        Median over rounds of its time / the time of "ours".
    error : float
        Largest norm-wise error against float64; NaN where it does other work on purpose.
    percent : float
        Of the limit that binds; NaN where none is known.
    bound : str
        That limit: "peak", or the cache whose bandwidth it is.
    rounds : int
        Number of rounds.
    busy : float
        How many cores it kept busy; see `timing.measure`.
    others : float
        Share of the cores that other processes took meanwhile; NaN where unknown.
    """

    group: str
    cell: str
    direction: str
    dtype: str
    threads: int
    contender: str
    variant: str
    seconds: float
    ratio: float
    error: float
    percent: float
    bound: str
    rounds: int
    busy: float
    others: float


class Writer:
    """Writes records to a CSV file as they come; facts about the run lead, as lines with a #.

    `kind` is the records' dataclass.
    """

    def __init__(self, file: TextIO, facts: dict[str, str], kind: type = Record) -> None:
        self._file = file
        for name, value in facts.items():
            file.write(f"# {name}: {value}\n")
        self._rows = csv.DictWriter(file, list(_types(kind)), lineterminator="\n")
        self._rows.writeheader()

    def write(self, records: Iterable[Any]) -> None:
        """Append records, and see to it that they outlive an interruption."""
        for record in records:
            values = asdict(record)
            numbers = {k: f"{v:.6g}" for k, v in values.items() if isinstance(v, float)}
            self._rows.writerow({**values, **numbers})
        self._file.flush()


def read_csv(path: Path, kind: Any = Record) -> tuple[dict[str, str], list[Any]]:
    """Return the facts and the records, of one `kind`, of a file that `Writer` wrote.

    Raises
    ------
    ValueError
        If it is not such a file.
    """
    facts, rows = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            name, _, value = line[2:].partition(": ")
            facts[name] = value
        else:
            rows.append(line)
    reader = csv.DictReader(rows)
    if reader.fieldnames != list(_types(kind)):
        raise ValueError(f"expected the columns {', '.join(_types(kind))}")
    return facts, [_record(row, kind) for row in reader]


def _types(kind: Any) -> dict[str, Any]:
    return {field.name: field.type for field in fields(kind)}


def _record(row: dict[str, Any], kind: Any) -> Any:
    types = _types(kind)
    if None in row or None in row.values():
        raise ValueError(f"expected {len(types)} values in a row, got {row}")
    return kind(**{name: types[name](value) for name, value in row.items()})


def is_number(value: float) -> bool:
    """Return whether a figure is known."""
    return not math.isnan(value)
