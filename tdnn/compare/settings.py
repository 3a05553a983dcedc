"""What a comparison is asked to do, and the plan of each task that follows from it."""

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastrnn
from tdnn.compare.errors import ComparisonError
from tdnn.compare.models import MODELS, fit_size
from tdnn.compare.tasks import TASKS, AddingTask, CharTask, Task

__all__ = ["DEFAULTS", "Defaults", "Plan", "Settings"]


@dataclass(frozen=True)
class Defaults:
    """What a task uses where the command line says nothing."""

    budget: int
    steps: int
    seeds: int
    length: int = 0  # of the adding problem


# task -> (full, quick)
DEFAULTS: dict[str, tuple[Defaults, Defaults]] = {
    "char": (Defaults(80_000, 2_500, 5), Defaults(35_000, 800, 3)),
    "adding": (Defaults(20_000, 2_000, 5, length=200), Defaults(20_000, 800, 3, length=50)),
}

# From 1, 2, 4, 8 and 16 thousandths, by the validation score of two seeds on small settings near
# those of --quick; where two gave the same but for noise, the smaller. For elman on adding the
# full length decided: with 200 steps it learns at 1 thousandth only.
LEARNING_RATES: dict[tuple[str, str], float] = {
    ("char", "elman"): 8e-3,
    ("char", "tdnn"): 8e-3,
    ("adding", "elman"): 1e-3,
    ("adding", "tdnn"): 8e-3,
}
CLIP_NORM = 1.0
EVALUATIONS = 12


@dataclass(frozen=True)
class Plan:
    """How the runs of one task are made: the same for all its models and seeds."""

    task: Task
    models: tuple[str, ...]
    seeds: int
    budget: int
    steps: int
    threads: int | None

    @property
    def epochs(self) -> int:
        """Number of evaluations; between two of them lies an epoch of `fit`."""
        return min(EVALUATIONS, self.steps)

    def steps_in(self, epoch: int) -> int:
        """Updates in an epoch (from 1); over all epochs they sum to `steps`."""
        return self.steps * epoch // self.epochs - self.steps * (epoch - 1) // self.epochs

    def settings(self) -> dict[str, Any]:
        """All that decides the result of a run but its model and seed; JSON-able."""
        return {
            "budget": self.budget,
            "clip_norm": CLIP_NORM,
            "data": self.task.options(),
            "epochs": self.epochs,
            "fastrnn": fastrnn.__version__,
            "learning_rates": {name: LEARNING_RATES[self.task.name, name] for name in MODELS},
            "optimizer": "Adam",
            "steps": self.steps,
            "threads": fastrnn.thread_count(self.threads),
        }

    def fingerprint(self) -> str:
        """A short name of `settings`."""
        text = json.dumps(self.settings(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Settings:
    """A comparison, as asked for; None means the default of each task.

    Parameters
    ----------
    tasks, models : tuple of str
        Names from `TASKS` and `MODELS`.
    seeds, budget, steps, threads : int, optional
        Number of seeds, parameters per model, updates per run, threads.
    text : Path, optional
        A UTF-8 file for the task char.
    length : int, optional
        Steps of a sequence of the task adding.
    quick : bool
        The smaller defaults: about three minutes on two cores.

    Examples
    --------
    >>> from tdnn.compare.settings import Settings
    >>> plan = Settings(tasks=("adding",), quick=True, length=20).plans()[0]
    >>> plan.task.context, plan.steps_in(1), plan.epochs
    (20, 66, 12)
    """

    tasks: tuple[str, ...] = tuple(TASKS)
    models: tuple[str, ...] = tuple(MODELS)
    seeds: int | None = None
    budget: int | None = None
    steps: int | None = None
    threads: int | None = None
    text: Path | None = None
    length: int | None = None
    quick: bool = False

    def plans(self) -> list[Plan]:
        """The plan of each task, its data read and its sizes checked.

        Raises
        ------
        ComparisonError
            If a wish cannot be fulfilled.
        """
        self._check()
        return [self._plan(name) for name in self.tasks]

    def _check(self) -> None:
        for option, names, known in (
            ("--tasks", self.tasks, TASKS),
            ("--models", self.models, MODELS),
        ):
            if not names:
                raise ComparisonError(
                    f"{option}: expected at least one", f"there are {listed(known)}"
                )
            for name in names:
                if name not in known:
                    raise ComparisonError(f"{option}: there is no {name!r}", guess(name, known))
        for option, task, value in (
            ("--text", "char", self.text),
            ("--length", "adding", self.length),
        ):
            if value is not None and task not in self.tasks:
                raise ComparisonError(
                    f"{option}: it is for the task {task}, which is not among --tasks",
                    f"add {task} to --tasks, or leave {option} out",
                )
        for option, number in (
            ("--seeds", self.seeds),
            ("--budget", self.budget),
            ("--steps", self.steps),
            ("--threads", self.threads),
        ):
            if number is not None and number < 1:
                raise ComparisonError(
                    f"{option}: expected an integer of at least 1, got {number}",
                    f"leave {option} out for the default",
                )

    def _plan(self, name: str) -> Plan:
        defaults = DEFAULTS[name][self.quick]
        plan = Plan(
            task=_TASK_MAKERS[name](self, defaults),
            models=tuple(dict.fromkeys(self.models)),
            seeds=self.seeds or defaults.seeds,
            budget=self.budget or defaults.budget,
            steps=self.steps or defaults.steps,
            threads=self.threads,
        )
        for model in plan.models:
            fit_size(MODELS[model], plan.task, plan.budget)
        return plan


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def guess(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are {listed(known)}"


_TASK_MAKERS: dict[str, Callable[[Settings, Defaults], Task]] = {
    "char": lambda settings, _: CharTask(settings.text),
    "adding": lambda settings, defaults: AddingTask(
        defaults.length if settings.length is None else settings.length
    ),
}
