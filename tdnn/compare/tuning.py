"""The same small search for every model: each point of the grid, from seeds that no run uses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdnn.compare.defaults import Point
from tdnn.compare.jobs import folder_for
from tdnn.compare.settings import Plan
from tdnn.compare.training import Files, Training, Watch

__all__ = ["FIRST_TUNING_SEED", "Trial", "choose", "trials_of", "tuned", "untuned_record"]

FIRST_TUNING_SEED = 1_000_000  # runs have seeds below

Tuning = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One training of the search; calling it returns its row of the record."""

    plan: Plan
    model: str
    point: Point
    seed: int
    folder: Path | None

    @property
    def steps(self) -> int:
        """Updates."""
        return self.plan.tuning_steps

    @property
    def stem(self) -> str:
        """How the files of the trial begin."""
        number = self.plan.grid.index(self.point)
        return f"{self.plan.task.key}-{self.model}-trial-{number}-{self.seed}"

    @property
    def name(self) -> str:
        """The name of its row while the others are not done; the files of its state have it too."""
        return f"{self.stem}-{self.plan.fingerprint()}"

    def __call__(self, watch: Watch | None = None) -> dict[str, Any]:
        with folder_for(self.folder) as folder:
            training = Training(
                self.plan, self.model, self.seed, self.point, self.steps,
                Files(folder, self.name), watch,
            ).run()  # fmt: skip
        return {
            **self.point._asdict(),
            "seed": self.seed,
            "validation": training.best()["validation"],
            "diverged": training.diverged,
            "steps": training.curve[-1]["step"],
        }


def trials_of(plan: Plan) -> list[tuple[Point, int]]:
    """What is tried for each model of a plan: (point, seed)."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + plan.tuning_seeds)
    return [(point, seed) for point in plan.grid for seed in seeds]


def tuned(plan: Plan, rows: Iterable[dict[str, Any]]) -> Tuning:
    """The record of a search, from the rows of its trials in any order."""
    order = {key: place for place, key in enumerate(trials_of(plan))}
    trials = sorted(
        rows, key=lambda row: order[Point(row["learning_rate"], row["clip_norm"]), row["seed"]]
    )
    return {
        "grid": [point._asdict() for point in plan.grid],
        "seeds": plan.tuning_seeds,
        "trials": trials,
        "chosen": choose(
            plan.grid, trials, plan.task.lower_is_better, plan.task.resolution
        )._asdict(),
    }


def untuned_record(plan: Plan, model: str) -> Tuning:
    """The record of a model that was not tuned: its fixed point, no trials."""
    point = plan.untuned(model)._asdict()
    return {"grid": [point], "seeds": 0, "trials": [], "chosen": point}


def choose(
    grid: Sequence[Point], trials: Iterable[dict[str, Any]], lower: bool, resolution: float = 0.0
) -> Point:
    """The point of the best mean validation over its seeds; of equals the first in the grid.

    A point one of whose trials diverged, or never had a finite score, comes after all others.

    Parameters
    ----------
    grid : sequence of Point
    trials : iterable of dict
        With ``learning_rate``, ``clip_norm``, ``validation`` and ``diverged``.
    lower : bool
        Whether a lower score is better.
    resolution : float
        Means no further than this from the best are its equals.

    Examples
    --------
    >>> from tdnn.compare.defaults import Point
    >>> from tdnn.compare.tuning import choose
    >>> fast, slow = Point(0.1, 1.0), Point(0.01, 1.0)
    >>> rows = [
    ...     {**fast._asdict(), "validation": 0.2, "diverged": True},
    ...     {**slow._asdict(), "validation": 0.3, "diverged": False},
    ... ]
    >>> choose([fast, slow], rows, lower=True)
    Point(learning_rate=0.01, clip_norm=1.0)
    """
    scores: dict[Point, list[float]] = {point: [] for point in grid}
    failed = set()
    for row in trials:
        point = Point(row["learning_rate"], row["clip_norm"])
        if row["diverged"] or row["validation"] is None:
            failed.add(point)
        if row["validation"] is not None:
            scores[point].append(row["validation"] if lower else -row["validation"])

    def rank(point: Point) -> tuple[bool, float]:
        found = scores[point]
        return point in failed, sum(found) / len(found) if found else float("inf")

    failing, best = min(map(rank, grid))
    return next(
        point for point in grid if rank(point)[0] == failing and rank(point)[1] <= best + resolution
    )
