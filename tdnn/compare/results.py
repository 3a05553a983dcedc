"""Where results lie: one JSON file per finished run, written atomically, below OUT/runs."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tdnn.compare.errors import ComparisonError
from tdnn.compare.settings import Plan

__all__ = ["SCHEMA", "Record", "Store", "write_atomically"]

SCHEMA = 2
Record = dict[str, Any]


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file, or leave the old one as it was."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class Store:
    """The folder of one comparison.

    Parameters
    ----------
    out : Path
        Holds ``runs/TASK-MODEL-SEED.json`` and, while a run is under way, ``unfinished/``.

    Raises
    ------
    ComparisonError
        If `out` is not, or cannot become, a folder that can be written to.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.runs, self.unfinished = out, out / "runs", out / "unfinished"

    def open(self) -> None:
        """Make the folders."""
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            self.unfinished.mkdir(exist_ok=True)
            probe = self.runs / ".probe"
            probe.touch()
            probe.unlink()
        except (FileExistsError, NotADirectoryError) as error:
            raise ComparisonError(
                f"--out: {error.filename or self.out} is a file, not a folder",
                "name a folder; it is made if it does not exist",
            ) from error
        except OSError as error:
            raise ComparisonError(
                f"--out: cannot write to {self.out} ({error.strerror or error})",
                "name a folder that you may write to",
            ) from error

    def path(self, task: str, model: str, seed: int) -> Path:
        """Where the record of a run lies once it is finished."""
        return self.runs / f"{task}-{model}-{seed}.json"

    def checkpoint(self, plan: Plan, model: str, seed: int, part: str) -> Path:
        """Where a run under way keeps `part` of its state."""
        name = f"{plan.task.name}-{model}-{seed}-{plan.fingerprint()}.{part}.npz"
        return self.unfinished / name

    def save(self, record: Record) -> None:
        """Keep the record of a finished run, and drop what lies there of its making."""
        task, model, seed = record["task"], record["model"], record["seed"]
        text = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(self.path(task, model, seed), text + "\n")
        for leftover in self.unfinished.glob(f"{task}-{model}-{seed}-*"):
            leftover.unlink()

    def close(self) -> None:
        """Remove the folder of unfinished runs if it is empty."""
        if self.unfinished.is_dir() and not any(self.unfinished.iterdir()):
            self.unfinished.rmdir()

    def load(self) -> list[Record]:
        """All finished runs, sorted by task, model and seed.

        Raises
        ------
        ComparisonError
            If a file there is not such a record.
        """
        if self.out.exists() and not self.out.is_dir():
            raise ComparisonError(
                f"--out: {self.out} is a file, not a folder",
                "name the folder of a comparison, or one to be made",
            )
        records = [_read(path) for path in sorted(self.runs.glob("[!.]*.json"))]
        return sorted(records, key=lambda record: (record["task"], record["model"], record["seed"]))

    def check(self, plans: Iterable[Plan]) -> list[Record]:
        """All finished runs, after a check that new ones may stand beside them."""
        records = self.load()
        for plan in plans:
            for record in records:
                if record["task"] == plan.task.name:
                    _compare(record["settings"], plan.settings(), plan.task.name, self.out)
        return records


def _read(path: Path) -> Record:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        schema = record["schema"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ComparisonError(
            f"--out: {path} is not a finished run ({type(error).__name__})",
            "delete this file; the run will be made again",
        ) from error
    if schema != SCHEMA:
        raise ComparisonError(
            f"--out: {path} has schema {schema}, this version reads {SCHEMA}",
            "name another folder for --out",
        )
    return record


def _compare(stored: Record, wanted: Record, task: str, out: Path) -> None:
    """Refuse to mix runs that were made differently."""
    stored, wanted = _flat(stored), _flat(wanted)
    names = sorted(
        name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name)
    )
    if names:
        differences = "; ".join(
            f"{name} {_short(stored.get(name))} there, {_short(wanted.get(name))} now"
            for name in names
        )
        raise ComparisonError(
            f"--out: {out} holds {task} results made with other settings ({differences})",
            "name another folder for --out, or delete this one, or ask for the same settings",
        )


def _flat(settings: Record) -> Record:
    """Settings without nesting: the entries of an inner dict under their own names."""
    flat: Record = {}
    for name, value in settings.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."
