"""Tasks whose sequences are drawn at random, as many as are needed, from a rule."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks.base import Batch, Task, split

__all__ = ["DrawnTask"]

EVALUATED = 1_000  # sequences of the validation set, and of the test set


class DrawnTask(Task):
    """A task of any length T: training batches drawn afresh, two fixed sets drawn once.

    Parameters
    ----------
    length : int
        T, as ``--tasks NAME:T`` gives it; what it counts is said by each task.
    batch_size : int
        Sequences per update.

    Raises
    ------
    ComparisonError
        If `length` is below `shortest`.
    """

    takes = "length"
    shortest: ClassVar[int]
    usual: ClassVar[str]  # the lengths people take, for a hint

    def __init__(self, length: int, *, batch_size: int = 32) -> None:
        if length < self.shortest:
            raise ComparisonError(
                f"--length: expected at least {self.shortest} steps for {self.name}, got {length}",
                f"the usual lengths are {self.usual}",
            )
        self.length: int = length
        self.batch_size = batch_size
        self._validation = self._fixed(2)
        self._test = self._fixed(3)

    @abstractmethod
    def draw(self, rng: np.random.Generator, rows: int) -> Batch:
        """`rows` sequences and their targets."""

    def _fixed(self, stream: int) -> list[Batch]:
        rng = np.random.default_rng([self.length, stream])
        return split(self.draw(rng, EVALUATED), self.readout)

    def options(self) -> dict[str, Any]:
        return {"length": self.length, "batch_size": self.batch_size, "evaluated": EVALUATED}

    def facts(self) -> dict[str, Any]:
        return {
            "steps per sequence": int(self._test[0].x.shape[0]),
            "sequences (validation, test)": f"{EVALUATED:,} / {EVALUATED:,}",
            "training sequences": "drawn afresh for every update",
        }

    def batches(self, seed: int, epoch: int, steps: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch, 1])
        for _ in range(steps):
            yield self.draw(rng, self.batch_size)

    def validation(self) -> list[Batch]:
        return self._validation

    def test(self) -> list[Batch]:
        return self._test
