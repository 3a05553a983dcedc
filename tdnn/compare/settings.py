"""What a comparison is asked to do, and the plan of each task that follows from it."""

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import fastrnn
from tdnn.compare import defaults
from tdnn.compare.defaults import DEFAULTS, Point, Recipe
from tdnn.compare.errors import ComparisonError
from tdnn.compare.models import MODELS, applicable, fit_size
from tdnn.compare.tasks import TASKS, Task

__all__ = ["Plan", "Settings", "Shard"]

T = TypeVar("T")
WITH_DATA = ("music", "speech-digits", "ts")
MOST_SEEDS = 1_000_000  # tuning has seeds from there on


@dataclass(frozen=True)
class Plan:
    """How the runs of one task are made: the same for all its models and seeds."""

    task: Task
    models: tuple[str, ...]
    skipped: dict[str, str]  # models that cannot do the task, and why
    seeds: int
    budget: int
    steps: int
    evaluations: int
    schedule: str
    threads: int | None
    tune: bool
    grid: tuple[Point, ...]
    tuning_seeds: int
    tuning_steps: int

    def recipe(self, model: str) -> Recipe:
        """How a model is regularised."""
        return defaults.recipe(self.task.name, model)

    def untuned(self, model: str) -> Point:
        """The point of a model that is not tuned."""
        return defaults.untuned(self.task.name, model)

    def settings(self) -> dict[str, Any]:
        """All that decides the result of a run but its model and seed; JSON-able."""
        models = {name: asdict(self.recipe(name)) for name in MODELS}
        found: dict[str, Any] = {
            "budget": self.budget,
            "data": self.task.options(),
            "evaluations": min(self.evaluations, self.steps),
            "fastrnn": fastrnn.__version__,
            "models": models,
            "optimizer": "Adam",
            "schedule": self.schedule,
            "steps": self.steps,
            "threads": fastrnn.thread_count(self.threads),
            "tuned": self.tune,
        }
        if self.task.chosen_by_loss:
            found["chosen_by"] = "loss"
        if not self.tune:
            for name, entries in models.items():
                entries.update(self.untuned(name)._asdict())
            return found
        if self.task.resolution:
            found["resolution"] = self.task.resolution
        return found | {
            "grid": [list(point) for point in self.grid],
            "tuning_seeds": self.tuning_seeds,
            "tuning_steps": self.tuning_steps,
        }

    def fingerprint(self) -> str:
        """A short name of `settings`."""
        text = json.dumps(self.settings(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Shard(NamedTuple):
    """Part `number` (from 1) of `parts` equal parts of all runs."""

    number: int = 1
    parts: int = 1

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """The part's items, side by side: neighbours share a model, so few parts tune the same.

        Examples
        --------
        >>> from tdnn.compare.settings import Shard
        >>> [list(Shard(number, 3).of(range(8))) for number in (1, 2, 3)]
        [[0, 1], [2, 3, 4], [5, 6, 7]]
        """
        size = len(items)
        return items[size * (self.number - 1) // self.parts : size * self.number // self.parts]


@dataclass(frozen=True)
class Settings:
    """A comparison, as asked for; None means the default.

    Parameters
    ----------
    tasks : tuple of str, optional
        Names from `TASKS`, each with ``:T`` behind it where its length is to be T.
    models : tuple of str, optional
        Names from `MODELS`.
    seeds, budget, steps, threads : int, optional
        Number of seeds, parameters per model, updates per run, threads of each run.
    text : Path, optional
        A UTF-8 file for the task char.
    data : tuple of str
        ``TASK=PATH`` for a task that takes files, or ``PATH`` where only one does.
    length : int, optional
        Steps of a sequence of the tasks whose length can be set, without ``:T``.
    quick : bool
        The smaller defaults: under five minutes on two cores.
    tune : bool, optional
        Whether learning rate and clipping are searched for. Default: unless `quick`.
    jobs : int, optional
        Processes that train at the same time. Default: 1; with `quick` 2 where there are cores.
    scheduler : str, optional
        The address of a Dask scheduler, whose workers then train.
    shard : Shard
        Which part of the runs to make.

    Examples
    --------
    >>> from tdnn.compare.settings import Settings
    >>> plan = Settings(tasks=("adding:20",), quick=True).plans()[0]
    >>> plan.task.key, plan.seeds, plan.models
    ('adding-20', 3, ('elman', 'tdnn'))
    """

    tasks: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    seeds: int | None = None
    budget: int | None = None
    steps: int | None = None
    threads: int | None = None
    text: Path | None = None
    data: tuple[str, ...] = ()
    length: int | None = None
    quick: bool = False
    tune: bool | None = None
    jobs: int | None = None
    scheduler: str | None = None
    shard: Shard = field(default=Shard())

    def plans(self) -> list[Plan]:
        """The plan of each task, its data read and its sizes checked.

        Raises
        ------
        ComparisonError
            If a wish cannot be fulfilled.
        """
        specs = self._specs()
        self._check(specs)
        data = _data(self.data, [name for name, _ in specs])
        plans = [self._plan(name, length, data.get(name)) for name, length in specs]
        keys = [plan.task.key for plan in plans]
        for key in keys:
            if keys.count(key) > 1:
                raise ComparisonError(f"--tasks: {key} is there twice", "name each task once")
        return plans

    def processes(self) -> int:
        """How many processes train at the same time."""
        if self.jobs is not None:
            return self.jobs
        free = self.quick and self.threads is None and self.scheduler is None
        return min(2, fastrnn.thread_count()) if free else 1

    def _specs(self) -> list[tuple[str, int | None]]:
        """The tasks: names, and the lengths asked for behind them."""
        words = self._default_names()[0] if self.tasks is None else self.tasks
        _check_names("--tasks", [word.partition(":")[0] for word in words], TASKS)
        return [_spec(word) for word in words]

    def _default_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return defaults.QUICK if self.quick else defaults.FULL

    def _check(self, specs: Sequence[tuple[str, int | None]]) -> None:
        names = [name for name, _ in specs]
        if self.models is not None:
            _check_names("--models", self.models, MODELS)
        if self.text is not None and "char" not in names:
            raise ComparisonError(
                "--text: it is for the task char, which is not among --tasks",
                "add char to --tasks, or leave --text out",
            )
        if self.length is not None and not any(
            DEFAULTS[name][self.quick].length and length is None for name, length in specs
        ):
            raise ComparisonError(
                f"--length: it is for the tasks {listed(_with_length())}, of which none is among "
                "--tasks without a length of its own",
                "add one to --tasks, or leave --length out",
            )
        for option, number in (
            ("--seeds", self.seeds),
            ("--budget", self.budget),
            ("--steps", self.steps),
            ("--threads", self.threads),
            ("--jobs", self.jobs),
        ):
            if number is not None and number < 1:
                raise ComparisonError(
                    f"{option}: expected an integer of at least 1, got {number}",
                    f"leave {option} out for the default",
                )
        if self.seeds is not None and self.seeds > MOST_SEEDS:
            raise ComparisonError(
                f"--seeds: expected at most {MOST_SEEDS}, got {self.seeds}",
                "5 to 20 seeds are usual",
            )
        if self.jobs is not None and self.scheduler is not None:
            raise ComparisonError(
                "--jobs: with --scheduler the cluster says how many runs it makes at a time",
                "leave one of the two out",
            )

    def _plan(self, name: str, length: int | None, data: Path | None) -> Plan:
        usual = DEFAULTS[name][self.quick]
        make: Callable[..., Task] = TASKS[name]
        if usual.length is not None:
            wishes = (length, self.length, usual.length)
            task = make(next(wish for wish in wishes if wish is not None))
        else:
            task = make(self.text if name == "char" else data)
        models, skipped = self._models(task)
        steps = self.steps or usual.steps
        alone = self.processes() == 1 and self.scheduler is None
        plan = Plan(
            task=task,
            models=models,
            skipped=skipped,
            seeds=self.seeds or usual.seeds,
            budget=self.budget or usual.budget,
            steps=steps,
            evaluations=usual.evaluations,
            schedule=usual.schedule,
            threads=self.threads if alone else self.threads or 1,
            tune=not self.quick if self.tune is None else self.tune,
            grid=usual.grid,
            tuning_seeds=usual.tuning_seeds,
            tuning_steps=min(steps, usual.tuning_steps or -(-steps // 2)),
        )
        for model in plan.models:
            fit_size(MODELS[model], plan.task, plan.budget)
        return plan

    def _models(self, task: Task) -> tuple[tuple[str, ...], dict[str, str]]:
        """The models that can do a task; and those that cannot, each with the reason."""
        names = tuple(dict.fromkeys(self.models or self._default_names()[1]))
        reasons = {name: applicable(name, task) for name in names}
        skipped = {name: reason for name, reason in reasons.items() if reason is not None}
        models = tuple(name for name in names if name not in skipped)
        if not models:
            raise ComparisonError(
                f"--models: {listed(names)} cannot do {task.name} ({skipped[names[0]]})",
                "add another model",
            )
        return models, skipped


def _spec(word: str) -> tuple[str, int | None]:
    """The name and the length of NAME or NAME:T."""
    name, colon, text = word.partition(":")
    if not colon:
        return name, None
    if name not in _with_length():
        raise ComparisonError(
            f"--tasks: the length of {name} is that of its data, got {word!r}",
            f"a length may stand behind {listed(_with_length())}",
        )
    try:
        return name, int(text.replace("_", ""))
    except ValueError:
        raise ComparisonError(
            f"--tasks: expected a number of steps behind the colon, got {word!r}",
            f"for instance {name}:200",
        ) from None


def _data(words: Sequence[str], tasks: Sequence[str]) -> dict[str, Path]:
    """The path of each task that was given one."""
    taking = [name for name in dict.fromkeys(tasks) if name in WITH_DATA]
    paths: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or name not in WITH_DATA:
            if len(taking) != 1:
                raise ComparisonError(
                    f"--data: of --tasks, {listed(taking) if taking else 'none'} can take {word!r}",
                    f"write TASK=PATH with one of {listed(WITH_DATA)}",
                )
            name, path = taking[0], word
        if name not in taking:
            raise ComparisonError(
                f"--data: it is for the task {name}, which is not among --tasks",
                f"add {name} to --tasks, or leave --data out",
            )
        if name in paths:
            raise ComparisonError(f"--data: {name} is there twice", "give each task one path")
        paths[name] = Path(path)
    return paths


def _with_length() -> list[str]:
    """The tasks whose length can be set."""
    return [name for name, (full, _) in DEFAULTS.items() if full.length]


def _check_names(option: str, names: Sequence[str], known: Iterable[str]) -> None:
    known = list(known)
    if not names:
        raise ComparisonError(f"{option}: expected at least one", f"there are {listed(known)}")
    for name in names:
        if name not in known:
            raise ComparisonError(f"{option}: there is no {name!r}", guess(name, known))


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def guess(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are {listed(known)}"
