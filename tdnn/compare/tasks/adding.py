"""The adding problem of Hochreiter and Schmidhuber (1997)."""

import numpy as np

from tdnn.compare.tasks.base import Batch, Reference
from tdnn.compare.tasks.drawn import DrawnTask

__all__ = ["AddingTask"]

MEAN_TARGET = 1.0


class AddingTask(DrawnTask):
    """Add the two marked numbers of a sequence; the metric is the mean squared error.

    Parameters
    ----------
    length : int
        Steps T of a sequence, at least 4.
    batch_size : int
        Sequences per update.

    Raises
    ------
    ComparisonError
        If `length` is too small.

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
    description = "the sum of two marked numbers, due after the last of T steps (adding:T)"
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
    shortest = 4
    usual = "50 to 600"

    def __init__(self, length: int, *, batch_size: int = 32) -> None:
        super().__init__(length, batch_size=batch_size)
        self.input_size, self.output_size = 2, 1
        self.context = self.memory = length

    def references(self) -> list[Reference]:
        targets = np.concatenate([batch.targets for batch in self._test])
        return [Reference("always the mean", float(np.square(targets - MEAN_TARGET).mean()))]

    def draw(self, rng: np.random.Generator, rows: int) -> Batch:
        """Sequences (T, rows, 2) and their sums (rows, 1), float32."""
        x = np.zeros((self.length, rows, 2), np.float32)
        x[:, :, 0] = rng.random((self.length, rows), np.float32)
        row, half = np.arange(rows), self.length // 2
        first = rng.integers(0, half, rows)
        second = rng.integers(half, self.length, rows)
        x[first, row, 1] = x[second, row, 1] = 1.0
        return Batch(x, (x[first, row, 0] + x[second, row, 0])[:, None])
