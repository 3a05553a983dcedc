"""One network trained from one seed: its learning curve, and the parameters of the best validation.

Tuning trials and runs are trained alike; only what is made of the result differs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
from fastrnn.checkpoint import load_arrays, save_arrays
from tdnn.compare.defaults import Point
from tdnn.compare.errors import ComparisonInterrupted
from tdnn.compare.models import build_model
from tdnn.compare.settings import Plan

__all__ = ["Training", "Watch", "even_parts"]

Watch = Callable[[dict[str, Any], int], None]  # called with each new point and its updates


def even_parts(total: int, parts: int) -> list[int]:
    """`total` as a sum of `parts` integers that differ by 1 at most.

    Examples
    --------
    >>> from tdnn.compare.training import even_parts
    >>> even_parts(8, 3)
    [2, 3, 3]
    """
    ends = [total * part // parts for part in range(parts + 1)]
    return [high - low for low, high in zip(ends[:-1], ends[1:], strict=True)]


def _schedule(name: str, epochs: int) -> Any:
    """A learning-rate schedule for `fastrnn.fit`."""
    return fastrnn.CosineSchedule(epochs) if name == "cosine" else None


@dataclass(frozen=True)
class Files:
    """Where a training keeps its state, so that it can go on after Ctrl-C."""

    folder: Path
    stem: str

    @property
    def fit(self) -> Path:
        """The state of the last update, as `fastrnn.fit` writes it."""
        return self.folder / f"{self.stem}.fit.npz"

    @property
    def best(self) -> Path:
        """The parameters of the best validation so far, and the learning curve up to now."""
        return self.folder / f"{self.stem}.best.npz"


class Training:
    """Train model `name` of a plan from `seed`, at a point of the tuning grid.

    Parameters
    ----------
    plan : Plan
    name : str
        A key of `MODELS`.
    seed : int
        Of the initial values and of the batches.
    point : Point
        Learning rate and clipping.
    steps : int
        Updates.
    files : Files
        Where the state is kept.
    watch : callable (row, steps), optional
        Told each new point of the curve, and how many updates led there.

    Attributes
    ----------
    model : SequenceModel
        After `run` with the parameters of the best validation.
    curve : list of dict
        ``step``, ``loss``, ``validation`` and ``validation_loss`` (None where the score is not
        finite) and ``seconds``.
    diverged : bool
        Whether a value was not finite; the training ended there.
    """

    def __init__(
        self,
        plan: Plan,
        name: str,
        seed: int,
        point: Point,
        steps: int,
        files: Files,
        watch: Watch | None = None,
    ) -> None:
        self.plan, self.task, self.name, self.seed, self.point = plan, plan.task, name, seed, point
        self.recipe = plan.recipe(name)
        self.model = build_model(name, plan.task, plan.budget, seed, **self.recipe.options())
        self.parts = even_parts(steps, min(plan.evaluations, steps))
        self.files, self.watch = files, watch
        self.curve: list[dict[str, Any]] = []
        self.diverged = False
        self._best: dict[str, np.ndarray] = {}

    def run(self) -> "Training":
        """Train, and put the best parameters into the model.

        Raises
        ------
        ComparisonInterrupted
            If Ctrl-C came; the state is stored.
        """
        resume = self.files.fit.exists() and self.files.best.exists()
        if resume:
            self._best, metadata = load_arrays(self.files.best)
            self.curve = metadata["curve"]
        else:
            # Compiles what training needs, so that no compilation is counted as training.
            batch = next(self.task.batches(self.seed, 0, 1))
            self.model.loss_and_grad(
                batch.x, batch.targets, lengths=batch.lengths, weights=batch.weights,
                threads=self.plan.threads,
            )  # fmt: skip
            self._evaluate(0, None, 0.0)
        self._fit(resume)
        for name, array in self.model.parameters().items():
            array[...] = self._best[name]
        return self

    def best(self) -> dict[str, Any]:
        """The first point of the curve with the best validation."""
        by_loss = self.task.chosen_by_loss
        name = "validation_loss" if by_loss else "validation"
        sign = 1.0 if by_loss or self.task.lower_is_better else -1.0
        finite = [row for row in self.curve if row[name] is not None]
        return min(finite, key=lambda row: sign * row[name], default=self.curve[0])

    def _fit(self, resume: bool) -> None:
        try:
            history = fastrnn.fit(
                self.model,
                lambda epoch: self.task.batches(self.seed, epoch, self.parts[epoch - 1]),
                optimizer=fastrnn.Adam(
                    self.point.learning_rate, weight_decay=self.recipe.weight_decay
                ),
                schedule=_schedule(self.plan.schedule, len(self.parts)),
                epochs=len(self.parts),
                clip_norm=self.point.clip_norm,
                checkpoint=self.files.fit,
                resume=resume,
                progress=False,
                callback=self._after_epoch,
                threads=self.plan.threads,
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
        if self.watch is not None:
            self.watch(self.curve[-1], row["steps"])

    def _evaluate(self, step: int, loss: float | None, seconds: float) -> None:
        """Add a point to the curve, and keep the parameters if they are the best so far."""
        reached = self.task.evaluate(self.model, self.task.validation(), self.plan.threads)
        finite = bool(np.isfinite(reached.score))
        self.curve.append(
            {
                "step": step,
                "loss": loss,
                "validation": reached.score if finite else None,
                "validation_loss": reached.loss if finite else None,
                "seconds": seconds,
            }
        )
        if self.best() is self.curve[-1] or not self._best:
            self._best = {name: array.copy() for name, array in self.model.parameters().items()}
        save_arrays(self.files.best, self._best, {"curve": self.curve})
