"""Where results lie: a JSON file per finished run and per tuned model, written atomically."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tdnn.compare.errors import ComparisonError
from tdnn.compare.settings import Plan

__all__ = ["SCHEMA", "Record", "Store", "compare_settings", "read_record", "write_atomically"]

SCHEMA = 3
Record = dict[str, Any]

# What every record of this schema has; "a.b" is entry b of the dict a.
TUNING_ENTRIES = (
    "task", "model", "settings", "fingerprint",
    "tuning.grid", "tuning.seeds", "tuning.trials", "tuning.chosen",
)  # fmt: skip
RUN_ENTRIES = (
    *TUNING_ENTRIES, "seed", "family", "length", "score", "loss", "more", "by_lag", "validation",
    "best_step", "diverged", "stored_bytes", "gradient_error",
    *(f"about.{name}" for name in (
        "title", "description", "source", "memory", "metric", "unit", "lower_is_better",
        "references", "facts", "sequence",
    )),
    *(f"network.{name}" for name in (
        "description", "parameters", "receptive_field", "multiply_adds",
    )),
    "curve.step", "curve.loss", "curve.validation",
    *(f"gradient_flow.{name}" for name in (
        "lag", "norm", "state_norm", "bound", "spectral", "count", "in_field",
    )),
    "timing.curve", "timing.training", "timing.sequences_per_second.forward",
    "timing.sequences_per_second.forward_backward", "timing.lengths", "timing.latency",
    "environment.fastrnn", "environment.data",
)  # fmt: skip


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file, or leave the old one as it was."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def to_text(record: Mapping[str, Any]) -> str:
    """A record as it is written: equal records are equal bytes."""
    text = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text + "\n"


class Store:
    """The folder of one comparison.

    Parameters
    ----------
    out : Path
        Holds ``runs/KEY-MODEL-SEED.json``, ``tuning/KEY-MODEL.json`` and, while runs are under
        way, ``unfinished/``.

    Raises
    ------
    ComparisonError
        If `out` is not, or cannot become, a folder that can be written to.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.runs, self.tuning = out, out / "runs", out / "tuning"
        self.unfinished = out / "unfinished"

    def open(self) -> None:
        """Make the folders."""
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            self.tuning.mkdir(exist_ok=True)
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

    def tuning_path(self, task: str, model: str) -> Path:
        """Where the record of a model's tuning lies once it is finished."""
        return self.tuning / f"{task}-{model}.json"

    def save(self, record: Record) -> None:
        """Keep the record of a finished run, and drop what lies there of its making."""
        task, model, seed = record["task"], record["model"], record["seed"]
        write_atomically(self.path(task, model, seed), to_text(record))
        self.drop(f"{task}-{model}-{seed}")

    def save_tuning(self, record: Record) -> None:
        """Keep the record of a model's tuning."""
        path = self.tuning_path(record["task"], record["model"])
        write_atomically(path, to_text(record))

    def note(self, name: str, content: Record) -> None:
        """Keep something between two starts of the same comparison."""
        write_atomically(self.unfinished / f"{name}.json", to_text(content))

    def noted(self, name: str) -> Record | None:
        """What `note` kept, or None."""
        path = self.unfinished / f"{name}.json"
        return read_record(path) if path.exists() else None

    def drop(self, start: str) -> None:
        """Delete what lies below ``unfinished/`` of one run or tuning, of whatever settings."""
        # The fingerprint has 16 signs: "adding-elman-2" must not find "adding-elman-2-0".
        for leftover in self.unfinished.glob(f"{start}-{'?' * 16}.*"):
            leftover.unlink()

    def close(self) -> None:
        """Remove the folders in which nothing is left but what a killed process was writing."""
        for folder in (self.unfinished, self.tuning):
            left = list(folder.iterdir()) if folder.is_dir() else [folder]
            if all(path.name.startswith(".") for path in left):
                for path in left:
                    path.unlink()
                folder.rmdir()

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
        paths = sorted(self.runs.glob("[!.]*.json"))
        records = [read_record(path, RUN_ENTRIES) for path in paths]
        return sorted(records, key=lambda record: (record["task"], record["model"], record["seed"]))

    def load_tuning(self) -> list[Record]:
        """All finished tunings, sorted by task and model.

        Raises
        ------
        ComparisonError
            If a file there is not such a record.
        """
        paths = sorted(self.tuning.glob("[!.]*.json"))
        records = [read_record(path, TUNING_ENTRIES) for path in paths]
        return sorted(records, key=lambda record: (record["task"], record["model"]))

    def check(self, plans: Iterable[Plan]) -> list[Record]:
        """All finished runs, after a check that new ones may stand beside them.

        Raises
        ------
        ComparisonError
            If they were made with other settings.
        """
        records = self.load()
        stored = records + self.load_tuning()
        for plan in plans:
            for record in stored:
                if record["task"] == plan.task.key:
                    compare_settings(record, plan.settings(), f"--out: {self.out}", "now")
        return records


def read_record(path: Path, entries: Iterable[str] = ()) -> Record:
    """A stored record, after a look whether it is one that this version wrote.

    Parameters
    ----------
    path : Path
    entries : iterable of str
        What it must have, "a.b" standing for entry b of the dict a.

    Raises
    ------
    ComparisonError
        If it is not.
    """
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
    missing = [entry for entry in entries if not _has(record, entry)]
    if missing:
        raise ComparisonError(
            f"--out: {path} is not a whole record: there is no {missing[0]}",
            "delete this file; it will be made again",
        )
    return dict(record)


def _has(record: Any, entry: str) -> bool:
    for name in entry.split("."):
        if not isinstance(record, dict) or name not in record:
            return False
        record = record[name]
    return True


def compare_settings(stored: Record, settings: Record, where: str, other: str) -> None:
    """Refuse to put results beside a record that was made with other settings.

    Parameters
    ----------
    stored : dict
        A record of a run or a tuning.
    settings : dict
        Those of the other results.
    where, other : str
        For the error: where the record lies, and of what the other settings are.
    """
    old, new = _flat(stored["settings"]), _flat(settings)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if names:
        differences = "; ".join(
            f"{name} {_short(old.get(name))} there, {_short(new.get(name))} {other}"
            for name in names
        )
        raise ComparisonError(
            f"{where} holds {stored['task']} results made with other settings ({differences})",
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
