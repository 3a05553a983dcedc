"""The adding problem of Hochreiter and Schmidhuber (1997)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks.base import Batch, Reference, Task, split

SHORTEST = 4
EVALUATED = 1_000  # sequences of the validation set, and of the test set
MEAN_TARGET = 1.0


class AddingTask(Task):
    """Add the two marked numbers of a sequence; the metric is the mean squared error.

    Parameters
    ----------
    length : int
        Steps T of a sequence, at least 4.
    batch_size : int
        Sequences per update.

    Notes
    -----
    Channel 0 holds numbers drawn uniformly from [0, 1], channel 1 is 1 at one random step of
    each half and 0 elsewhere. The answer, the sum of the two marked numbers, is due after the
    last step. Training sequences are drawn afresh for every update; the validation and test
    sets are drawn once and never change. Always answering the mean, 1, costs 1/6.

    Examples
    --------
    >>> from tdnn.compare.tasks.adding import AddingTask
    >>> batch = next(AddingTask(length=50).batches(seed=0, epoch=0, steps=1))
    >>> batch.x.shape, batch.targets.shape, float(batch.x[:25, 0, 1].sum())
    ((50, 32, 2), (32, 1), 1.0)
    """

    name = "adding"
    title = "Adding problem"
    description = "the sum of two marked numbers, due after the last of T steps (--length T)"
    about = (
        "A sequence holds numbers drawn uniformly from [0, 1] and, in a second channel, two marks, "
        "one in each half. The sum of the two marked numbers is due after the last step "
        "(Hochreiter and Schmidhuber 1997). Sequences to train on are drawn afresh for every "
        "update; those to validate and to test on are fixed."
    )
    metric = "mean squared error"
    unit = ""
    loss = "squared"
    readout = "last"
    tokens = False
    source = "Hochreiter & Schmidhuber 1997; set-up of Bai, Kolter & Koltun 2018, arXiv 1803.01271"

    def __init__(self, length: int, *, batch_size: int = 32) -> None:
        if length < SHORTEST:
            raise ComparisonError(
                f"--length: expected at least {SHORTEST} steps, got {length}",
                "the usual lengths are 50 to 600",
            )
        self.length: int = length
        self.batch_size = batch_size
        self.input_size, self.output_size = 2, 1
        self.context = self.memory = length
        self._validation = self._fixed(2)
        self._test = self._fixed(3)

    def _fixed(self, stream: int) -> list[Batch]:
        rng = np.random.default_rng([self.length, stream])
        return split(draw(rng, self.length, EVALUATED), self.readout)

    def options(self) -> dict[str, Any]:
        return {"length": self.length, "batch_size": self.batch_size, "evaluated": EVALUATED}

    def facts(self) -> dict[str, Any]:
        return {
            "steps per sequence": self.length,
            "sequences (validation, test)": f"{EVALUATED:,} / {EVALUATED:,}",
            "training sequences": "drawn afresh for every update",
        }

    def references(self) -> list[Reference]:
        targets = np.concatenate([batch.targets for batch in self._test])
        error = float(np.square(targets - MEAN_TARGET).mean())
        return [Reference("always the mean", error)]

    def batches(self, seed: int, epoch: int, steps: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch, 1])
        for _ in range(steps):
            yield draw(rng, self.length, self.batch_size)

    def validation(self) -> list[Batch]:
        return self._validation

    def test(self) -> list[Batch]:
        return self._test


def draw(rng: np.random.Generator, length: int, rows: int) -> Batch:
    """Sequences (length, rows, 2) of the adding problem, and their sums (rows, 1), float32."""
    x = np.zeros((length, rows, 2), np.float32)
    x[:, :, 0] = rng.random((length, rows), np.float32)
    row, half = np.arange(rows), length // 2
    first = rng.integers(0, half, rows)
    second = rng.integers(half, length, rows)
    x[first, row, 1] = x[second, row, 1] = 1.0
    return Batch(x, (x[first, row, 0] + x[second, row, 0])[:, None])
