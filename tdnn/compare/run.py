"""Train and measure each run of a comparison; finished runs are stored and never made twice."""

from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
from fastrnn.checkpoint import load_arrays, save_arrays
from tdnn.compare.environment import environment_labels
from tdnn.compare.errors import ComparisonInterrupted
from tdnn.compare.measure import flow_columns, gradient_error, mean_loss, throughput
from tdnn.compare.models import build_model, describe
from tdnn.compare.progress import Progress
from tdnn.compare.results import SCHEMA, Record, Store
from tdnn.compare.settings import CLIP_NORM, LEARNING_RATES, Plan, Settings

__all__ = ["compare"]

GRADIENT_BATCHES = 5


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
    wanted = [
        (plan, model, seed) for plan in plans for seed in range(plan.seeds) for model in plan.models
    ]
    todo = [
        (plan, model, seed)
        for plan, model, seed in wanted
        if not store.path(plan.task.name, model, seed).exists()
    ]
    for plan in plans:
        progress.plan(plan)
    progress.start(len(wanted), len(wanted) - len(todo), sum(plan.steps for plan, _, _ in todo))
    try:
        for plan, model, seed in todo:
            progress.run_started(plan, model, seed)
            record = Run(plan, model, seed, store, progress).record()
            store.save(record)
            progress.run_finished(record)
    except KeyboardInterrupt as interrupt:
        raise ComparisonInterrupted from interrupt
    finally:
        progress.close()
    store.close()
    return len(todo)


class Run:
    """One network, trained on one task from one seed.

    The state that `fit` keeps in its checkpoint is the last one; beside it lies a file with the
    parameters of the best validation so far, and the learning curve up to there.
    """

    def __init__(self, plan: Plan, name: str, seed: int, store: Store, progress: Progress) -> None:
        self.plan, self.name, self.seed, self.progress = plan, name, seed, progress
        self.task, self.threads = plan.task, plan.threads
        self.model = build_model(name, plan.task, plan.budget, seed)
        self.checkpoint = store.checkpoint(plan, name, seed, "fit")
        self.best_file = store.checkpoint(plan, name, seed, "best")
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, np.ndarray] = {}
        self.diverged = False

    def record(self) -> Record:
        """Train, test and measure; return all there is to know of the run."""
        self._train()
        for name, array in self.model.parameters().items():
            array[...] = self.best[name]
        task, plan = self.task, self.plan
        batches = list(task.batches(self.seed, 0, GRADIENT_BATCHES))
        score = task.score(mean_loss(self.model, task, task.test(), self.threads))
        speed = throughput(self.model, batches[0], self.threads)
        best = self._best_row()
        return {
            "schema": SCHEMA,
            "task": task.name,
            "model": self.name,
            "seed": self.seed,
            "settings": plan.settings(),
            "fingerprint": plan.fingerprint(),
            "about": {
                "title": task.title,
                "description": task.about,
                "metric": task.metric,
                "unit": task.unit,
                "lower_is_better": task.lower_is_better,
                "references": [[ref.name, ref.value] for ref in task.references()],
                "facts": [[label, value] for label, value in task.facts().items()],
                "sequence": [int(size) for size in batches[0].x.shape[:2]],
            },
            "network": describe(self.model),
            "score": score,
            "validation": best["validation"],
            "best_step": best["step"],
            "diverged": self.diverged,
            "curve": {
                name: [row[name] for row in self.curve] for name in ("step", "loss", "validation")
            },
            "gradient_error": gradient_error(self.model, batches, self.threads),
            "gradient_flow": flow_columns(self.model, batches[0], self.threads),
            "timing": {
                "curve": [row["seconds"] for row in self.curve],
                "training": self.curve[-1]["seconds"],
                "sequences_per_second": speed,
            },
            "environment": environment_labels(self.threads),
        }

    def _train(self) -> None:
        resume = self.checkpoint.exists() and self.best_file.exists()
        if resume:
            self.best, metadata = load_arrays(self.best_file)
            self.curve = metadata["curve"]
        else:
            # Compiles what training needs, so that no compilation is counted as training.
            batch = next(self.task.batches(self.seed, 0, 1))
            self.model.loss_and_grad(batch.x, batch.targets, threads=self.threads)
            self._evaluate(0, None, 0.0)
        try:
            history = fastrnn.fit(
                self.model,
                lambda epoch: self.task.batches(self.seed, epoch, self.plan.steps_in(epoch)),
                optimizer=fastrnn.Adam(LEARNING_RATES[self.task.name, self.name]),
                epochs=self.plan.epochs,
                clip_norm=CLIP_NORM,
                checkpoint=self.checkpoint,
                resume=resume,
                progress=False,
                callback=self._after_epoch,
                threads=self.threads,
            )
        except FloatingPointError:
            self.diverged = True
            return
        if history.interrupted:
            raise ComparisonInterrupted

    def _after_epoch(self, row: dict[str, Any]) -> None:
        # An interrupted epoch may come again: what was noted of it before is dropped.
        del self.curve[row["epoch"] :]
        step = self.curve[-1]["step"] + row["steps"]
        self._evaluate(step, row["loss"], self.curve[-1]["seconds"] + row["seconds"])
        self.progress.advanced(self.curve[-1], row["steps"])

    def _evaluate(self, step: int, loss: float | None, seconds: float) -> None:
        """Add a point to the curve, and keep the parameters if they are the best so far."""
        loss_now = mean_loss(self.model, self.task, self.task.validation(), self.threads)
        score = self.task.score(loss_now)
        validation = score if np.isfinite(score) else None
        self.curve.append(
            {"step": step, "loss": loss, "validation": validation, "seconds": seconds}
        )
        if self._best_row() is self.curve[-1] or not self.best:
            self.best = {name: array.copy() for name, array in self.model.parameters().items()}
        save_arrays(self.best_file, self.best, {"curve": self.curve})

    def _best_row(self) -> dict[str, Any]:
        """The first point of the curve with the best validation."""
        sign = 1.0 if self.task.lower_is_better else -1.0
        finite = [row for row in self.curve if row["validation"] is not None]
        return min(finite, key=lambda row: sign * row["validation"], default=self.curve[0])
