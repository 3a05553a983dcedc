"""Make the runs of a comparison: tune each model, measure it, train it from each seed.

What is finished is stored at once and never made again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastrnn
from tdnn.compare.defaults import Point
from tdnn.compare.environment import environment_labels
from tdnn.compare.errors import ComparisonError, ComparisonInterrupted
from tdnn.compare.jobs import Jobs, folder_for, open_jobs
from tdnn.compare.measure import flow_columns, gradient_error, speed
from tdnn.compare.models import build_model, describe
from tdnn.compare.progress import Progress
from tdnn.compare.results import SCHEMA, Record, Store, read_record
from tdnn.compare.settings import Plan, Settings
from tdnn.compare.tasks import Task
from tdnn.compare.training import Files, Training, Watch
from tdnn.compare.tuning import Trial, trials_of, tuned, untuned_record

__all__ = ["compare"]

GRADIENT_BATCHES = 5

Wanted = tuple[Plan, str, int]  # plan, model, seed


def compare(settings: Settings, out: Path, progress: Progress | None = None) -> int:
    """Make all runs that are not yet stored below `out`.

    Parameters
    ----------
    settings : Settings
    out : Path
        A folder; made if it does not exist.
    progress : Progress, optional
        Is told what happens.

    Returns
    -------
    int
        How many runs were made now.

    Raises
    ------
    ComparisonError
        If a wish cannot be fulfilled, or `out` holds results made with other settings.
    ComparisonInterrupted
        If Ctrl-C came; the same call goes on from there.
    """
    progress = progress or Progress()
    plans = settings.plans()
    store = Store(out)
    store.check(plans)
    store.open()
    every = [
        (plan, model, seed) for plan in plans for model in plan.models for seed in range(plan.seeds)
    ]
    wanted = settings.shard.of(every)
    # All models of a seed together: whatever is stored when Ctrl-C comes can be compared.
    todo = sorted(
        (
            (plan, model, seed)
            for plan, model, seed in wanted
            if not store.path(plan.task.key, model, seed).exists()
        ),
        key=lambda run: (plans.index(run[0]), run[2]),
    )
    for plan in plans:
        progress.plan(plan)
    try:
        with open_jobs(settings.processes(), settings.scheduler) as jobs:
            _Comparison(store, jobs, progress).make(todo, len(wanted))
    except KeyboardInterrupt as interrupt:
        raise ComparisonInterrupted from interrupt
    finally:
        progress.close()
    for plan, model, _ in wanted:
        store.drop(f"{plan.task.key}-{model}-speed")
    store.close()
    return len(todo)


@dataclass(frozen=True)
class Run:
    """One network to be trained, tested and measured; calling it returns its record."""

    plan: Plan
    model: str
    seed: int
    tuning: dict[str, Any]
    speed: dict[str, Any]
    folder: Path | None

    @property
    def steps(self) -> int:
        """Updates."""
        return self.plan.steps

    def __call__(self, watch: Watch | None = None) -> Record:
        plan, chosen = self.plan, Point(**self.tuning["chosen"])
        stem = f"{plan.task.key}-{self.model}-{self.seed}-{plan.fingerprint()}"
        with folder_for(self.folder) as folder:
            training = Training(
                plan, self.model, self.seed, chosen, plan.steps, Files(folder, stem), watch
            ).run()
        return self._record(training)

    def _record(self, training: Training) -> Record:
        """All there is to know of the run."""
        task, plan, model, curve = self.plan.task, self.plan, training.model, training.curve
        batches = list(task.batches(self.seed, 0, GRADIENT_BATCHES))
        reached, best = task.evaluate(model, task.test(), plan.threads), training.best()
        return {
            "schema": SCHEMA,
            "task": task.key,
            "family": task.name,
            "length": task.length,
            "model": self.model,
            "seed": self.seed,
            "settings": plan.settings(),
            "fingerprint": plan.fingerprint(),
            "about": _about(plan, batches[0].x.shape[:2]),
            "network": describe(model, task.tokens),
            "tuning": self.tuning,
            "score": reached.score,
            "loss": reached.loss,
            "more": reached.more,
            "by_lag": None if reached.by_lag is None else [list(pair) for pair in reached.by_lag],
            "validation": best["validation"],
            "best_step": best["step"],
            "diverged": training.diverged,
            "curve": {
                name: [row[name] for row in curve]
                for name in ("step", "loss", "validation", "validation_loss")
            },
            "stored_bytes": self.speed["stored_bytes"],
            "gradient_error": gradient_error(model, batches, plan.threads),
            "gradient_flow": flow_columns(model, batches[0], plan.threads),
            "timing": {
                "curve": [row["seconds"] for row in curve],
                "training": curve[-1]["seconds"],
                **{name: self.speed[name] for name in SPEEDS},
            },
            "environment": {**environment_labels(plan.threads), "data": _hashes(task)},
        }


SPEEDS = ("sequences_per_second", "lengths", "latency")


def _about(plan: Plan, sequence: Sequence[int]) -> dict[str, Any]:
    """What the report says of a task."""
    task = plan.task
    return {
        "title": task.title,
        "description": task.about,
        "source": task.source,
        "memory": task.memory,
        "metric": task.metric,
        "unit": task.unit,
        "lower_is_better": task.lower_is_better,
        "references": [[ref.name, ref.value] for ref in task.references()],
        "facts": [[label, value] for label, value in task.facts().items()],
        "sequence": [int(size) for size in sequence],
    }


def _hashes(task: Task) -> dict[str, str]:
    """The SHA-256 of a task's data; empty where they are drawn."""
    digest = task.options().get("sha256")
    return {} if digest is None else {task.key: digest}


class _Comparison:
    """The three stages: all tuning, then all measuring, then all runs.

    Measuring comes before training, in this process, one model at a time: whatever trains beside
    it would slow it down. It needs no trained parameters; the time of no kernel depends on values.
    And it compiles every kernel once, for all processes to load.
    """

    def __init__(self, store: Store, jobs: Jobs, progress: Progress) -> None:
        self.store, self.jobs, self.progress = store, jobs, progress
        self.folder = store.unfinished if jobs.shares_files else None

    def make(self, todo: Sequence[Wanted], wanted: int) -> None:
        """Make and store all runs of `todo`."""
        models = list(dict.fromkeys((plan.task.key, model) for plan, model, _ in todo))
        plans = {plan.task.key: plan for plan, _, _ in todo}
        trials = [
            trial
            for key, model in models
            if plans[key].tune and not self.store.tuning_path(key, model).exists()
            for trial in self._trials(plans[key], model)
        ]
        updates = sum(plan.steps for plan, _, _ in todo) + sum(trial.steps for trial in trials)
        self.progress.start(wanted, wanted - len(todo), updates)
        speeds = {name: self._speed(plans[name[0]], name[1]) for name in models}
        self._try(trials)
        tunings = {name: self._tuning(plans[name[0]], name[1]) for name in models}
        runs = [
            Run(plan, model, seed, tunings[plan.task.key, model], speeds[plan.task.key, model],
                self.folder)
            for plan, model, seed in todo
        ]  # fmt: skip
        for run, record in self.jobs.results(runs, self._begin(self.progress.run_started)):
            _check_version(record["environment"]["fastrnn"])
            self._pass(run.steps)
            self.store.save(record)
            self.progress.run_finished(record)

    def _begin(self, tell: Callable[[Plan, str, int], None]) -> Callable[[Any], Watch]:
        """What is done before work that can be watched begins."""

        def before(work: Any) -> Watch:
            tell(work.plan, work.model, work.seed)
            return self.progress.advanced

        return before

    def _pass(self, steps: int) -> None:
        """Work that could not be watched is done."""
        if not self.jobs.alone:
            self.progress.advanced(None, steps)

    def _trials(self, plan: Plan, model: str) -> list[Trial]:
        """The trials of a model that are not done yet."""
        trials = [Trial(plan, model, point, seed, self.folder) for point, seed in trials_of(plan)]
        return [trial for trial in trials if self.store.noted(trial.name) is None]

    def _try(self, trials: Sequence[Trial]) -> None:
        """Make trials; each one's row is kept."""
        for trial, row in self.jobs.results(trials, self._begin(self.progress.trial_started)):
            self._pass(trial.steps)
            self.store.note(trial.name, {"schema": SCHEMA, "row": row})

    def _tuning(self, plan: Plan, model: str) -> dict[str, Any]:
        """The finished tuning of a model, stored."""
        if not plan.tune:
            return untuned_record(plan, model)
        path = self.store.tuning_path(plan.task.key, model)
        if not path.exists():
            trials = [Trial(plan, model, *pair, self.folder) for pair in trials_of(plan)]
            rows = [(self.store.noted(trial.name) or {})["row"] for trial in trials]
            record = {
                "schema": SCHEMA,
                "task": plan.task.key,
                "model": model,
                "settings": plan.settings(),
                "fingerprint": plan.fingerprint(),
                "tuning": tuned(plan, rows),
            }
            self.store.save_tuning(record)
            for trial in trials:
                self.store.drop(trial.stem)
            self.progress.tuned(record)
        return dict(read_record(path)["tuning"])

    def _speed(self, plan: Plan, model: str) -> dict[str, Any]:
        """What `speed` measures of a model, once for all its seeds."""
        name = f"{plan.task.key}-{model}-speed-{plan.fingerprint()}"
        found = self.store.noted(name)
        if found is None:
            self.progress.measuring(plan, model)
            network = build_model(model, plan.task, plan.budget, 0, **plan.recipe(model).options())
            batch = next(plan.task.batches(0, 0, 1))
            gradient_error(network, [batch], plan.threads)  # compiled here, for all processes
            flow_columns(network, batch, plan.threads)
            found = {"schema": SCHEMA, **speed(network, plan.task, plan.threads)}
            self.store.note(name, found)
        return found


def _check_version(version: str) -> None:
    """Refuse what another version of FastRNN made on a cluster."""
    if version != fastrnn.__version__:
        raise ComparisonError(
            f"--scheduler: a worker has fastrnn {version}, this is {fastrnn.__version__}",
            "install the same version everywhere",
        )
