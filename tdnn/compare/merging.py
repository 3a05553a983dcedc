"""The results of several folders in one: what ``--shard`` or several machines made apart."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tdnn.compare.errors import ComparisonError
from tdnn.compare.results import Record, Store, compare_settings

__all__ = ["merge", "timeless"]

CLOCKED = ("timing", "environment")  # what two makings of the same run may differ in


def merge(out: Path, sources: Sequence[Path]) -> tuple[int, int]:
    """Copy all finished runs and tunings of `sources` into `out`, which may hold some already.

    Everything is checked before anything is written.

    Parameters
    ----------
    out : Path
        A folder; made if it does not exist.
    sources : sequence of Path
        Folders of comparisons.

    Returns
    -------
    (int, int)
        How many runs were added, and how many there are now.

    Raises
    ------
    ComparisonError
        If a folder holds no finished run, runs of a task were made with other settings, or the
        same run is in two folders with different results.
    """
    target = Store(out)
    runs = _Collection(("task", "model", "seed"), timeless)
    # Of a search on two kinds of processors the last digits may differ; the choice counts.
    tunings = _Collection(("task", "model"), lambda record: record["tuning"]["chosen"])
    for folder in (out, *sources):
        store = Store(folder)
        found = store.load()
        if not found and folder != out:
            raise ComparisonError(
                f"merge: there is no finished run in {folder}",
                "name folders that rnn-vs-tdnn run --out wrote",
            )
        runs.add(found, folder)
        tunings.add(store.load_tuning(), folder)
    _check_tuning(runs, tunings)
    target.open()
    new = [record for record, folder in runs.found.values() if folder != out]
    for record, folder in tunings.found.values():
        if folder != out:
            target.save_tuning(record)
    for record in new:
        target.save(record)
    target.close()
    return len(new), len(runs.found)


class _Collection:
    """Records by name, each with the folder it was first found in.

    Parameters
    ----------
    keys : tuple of str
        What makes a record's name.
    result : callable
        What of two records of one name must be equal.
    """

    def __init__(self, keys: tuple[str, ...], result: Callable[[Record], Record]) -> None:
        self.keys, self.result = keys, result
        self.found: dict[tuple[Any, ...], tuple[Record, Path]] = {}
        self._first: dict[str, tuple[Record, Path]] = {}  # of each task

    def add(self, records: Iterable[Record], folder: Path) -> None:
        """Take records in, unless they do not fit those found before."""
        for record in records:
            first, where = self._first.setdefault(record["task"], (record, folder))
            compare_settings(first, record["settings"], f"merge: {where}", f"in {folder}")
            name = tuple(record[key] for key in self.keys)
            other, there = self.found.setdefault(name, (record, folder))
            different = _differences(self.result(other), self.result(record))
            if different:
                raise ComparisonError(
                    f"merge: {' '.join(map(str, name))} has other results in {there} "
                    f"than in {folder} ({', '.join(different)})",
                    "remove one of the two files; what it held can be made again",
                )


def _check_tuning(runs: _Collection, tunings: _Collection) -> None:
    """All seeds of a model must have been trained at the same point."""
    first: dict[tuple[str, str], tuple[Record, Path]] = {
        name: (record["tuning"], folder) for name, (record, folder) in tunings.found.items()
    }
    for (task, model, seed), (record, folder) in runs.found.items():
        tuning, where = first.setdefault((task, model), (record["tuning"], folder))
        if tuning["chosen"] != record["tuning"]["chosen"]:
            raise ComparisonError(
                f"merge: {task} {model} seed {seed} in {folder} was tuned to "
                f"{_point(record['tuning'])}, that in {where} to {_point(tuning)}",
                "make one of them again with the other's folder tuning/ in its --out",
            )


def _point(tuning: Record) -> str:
    chosen = tuning["chosen"]
    return f"learning rate {chosen['learning_rate']:g}, clipping {chosen['clip_norm']:g}"


def timeless(record: Record) -> Record:
    """A record without what a clock measured, and where.

    Examples
    --------
    >>> from tdnn.compare.merging import timeless
    >>> timeless({"score": 1.0, "timing": {"training": 3.0}})
    {'score': 1.0}
    """
    return {name: value for name, value in record.items() if name not in CLOCKED}


def _differences(one: Record, other: Record) -> list[str]:
    names = one.keys() | other.keys()
    return sorted(name for name in names if one.get(name) != other.get(name))
