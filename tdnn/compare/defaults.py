"""What each task and each model uses where the command line says nothing.

The same grid and the same number of updates for every model of a task: no family is tuned harder
than another. Where tuning is switched off (``--no-tune``, and with ``--quick``), the points of
`UNTUNED` are used: they were chosen once by the same grids.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = [
    "DEFAULTS", "FULL", "QUICK", "UNTUNED", "Defaults", "Point", "Recipe", "recipe", "untuned",
]  # fmt: skip


class Point(NamedTuple):
    """A point of the tuning grid: Adam's learning rate, and the norm gradients are clipped to."""

    learning_rate: float
    clip_norm: float


@dataclass(frozen=True)
class Defaults:
    """What a task uses where the command line says nothing.

    Attributes
    ----------
    budget, steps, seeds : int
        Parameters of each model, updates of each run, number of seeds.
    length : int, optional
        T, for the tasks whose length can be set.
    evaluations : int
        How often the validation score is taken: the parameters of the best are tested.
    learning_rates, clip_norms : tuple of float
        The tuning grid: every pair of one of each.
    tuning_seeds, tuning_steps : int
        Runs of each point of the grid and, where not 0, updates of such a run; half of `steps`
        otherwise.
    """

    budget: int
    steps: int
    seeds: int
    length: int | None = None
    evaluations: int = 12
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 8e-3)
    clip_norms: tuple[float, ...] = (0.25, 1.0)
    tuning_seeds: int = 2
    tuning_steps: int = 0

    @property
    def grid(self) -> tuple[Point, ...]:
        """The tuning grid, the smaller learning rates first."""
        return tuple(Point(rate, norm) for rate in self.learning_rates for norm in self.clip_norms)


# task -> (full, quick)
DEFAULTS: dict[str, tuple[Defaults, Defaults]] = {
    "char": (Defaults(80_000, 2_500, 5), Defaults(35_000, 800, 3)),
    "adding": (Defaults(20_000, 2_000, 5, length=200), Defaults(20_000, 800, 3, length=50)),
}

# What `run` does where --tasks and --models say nothing.
FULL = ("char", "adding"), ("elman", "tdnn")
QUICK = ("char", "adding"), ("elman", "tdnn")

# From 1, 2, 4, 8 and 16 thousandths, by the validation score of two seeds on small settings near
# those of --quick; where two gave the same but for noise, the smaller. For elman on adding the
# full length decided: with 200 steps it learns at 1 thousandth only.
UNTUNED: dict[tuple[str, str], Point] = {
    ("char", "elman"): Point(8e-3, 1.0),
    ("char", "tdnn"): Point(8e-3, 1.0),
    ("adding", "elman"): Point(1e-3, 1.0),
    ("adding", "tdnn"): Point(8e-3, 1.0),
}
ELSEWHERE = Point(2e-3, 1.0)


def untuned(task: str, model: str) -> Point:
    """The point that `model` uses on `task` without tuning.

    Examples
    --------
    >>> from tdnn.compare.defaults import untuned
    >>> untuned("adding", "elman")
    Point(learning_rate=0.001, clip_norm=1.0)
    """
    return UNTUNED.get((task, model), ELSEWHERE)


@dataclass(frozen=True)
class Recipe:
    """How a model is regularised on a task; the neutral values switch it off."""

    dropout: float = 0.0
    weight_decay: float = 0.0

    def options(self) -> dict[str, Any]:
        """What `build_model` is given."""
        return {"dropout": self.dropout} if self.dropout else {}


RECIPES: dict[tuple[str, str], Recipe] = {}


def recipe(task: str, model: str) -> Recipe:
    """How `model` is regularised on `task`."""
    return RECIPES.get((task, model), Recipe())
