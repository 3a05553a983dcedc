"""The copy memory task."""

from collections.abc import Iterable
from typing import Any

import numpy as np

import fastrnn
from tdnn.compare.tasks.accuracy import AccuracyTask
from tdnn.compare.tasks.base import Batch, Evaluation, Reference
from tdnn.compare.tasks.drawn import DrawnTask

__all__ = ["CopyTask"]

SYMBOLS = 8  # numbered from 1
COPIED = 10
BLANK, DELIMITER = 0, 9


class CopyTask(AccuracyTask, DrawnTask):
    """Give ten symbols again after T blanks; the metric is the accuracy on these ten.

    Parameters
    ----------
    length : int
        Steps T from the last symbol to the first step of the answer, at least 1.
    batch_size : int
        Sequences per update.

    Raises
    ------
    ComparisonError
        If `length` is too small.

    Notes
    -----
    A sequence of T + 20 steps holds 10 symbols drawn from 8, T - 1 blanks, and 11 delimiters, the
    first of which announces the answer. The targets are T + 10 blanks and the 10 symbols. The
    loss counts all T + 20 steps with 10 classes, as published. A model without memory knows when
    to answer but not what: accuracy 1/8, loss 10 ln 8 / (T + 20) per step. Each symbol stands
    T + 10 steps before its copy, so a model must see T + 11 frames.

    Examples
    --------
    >>> from tdnn.compare.tasks.copying import CopyTask
    >>> batch = next(CopyTask(length=50).batches(seed=0, epoch=0, steps=1))
    >>> batch.x.shape, bool((batch.x[:10] == batch.targets[-10:]).all())
    ((70, 32), True)
    """

    name = "copy"
    title = "Copy memory"
    description = "ten symbols, to be given again after T blanks (copy:T)"
    about = (
        "Ten symbols, drawn from eight, are followed by blanks and a delimiter, after which the "
        "ten are due again, in order; each stands T + 10 steps before its copy. The loss counts "
        "all T + 20 steps, the accuracy the ten copies. As Bai, Kolter and Koltun (2018) pose it, "
        "but with inputs one-hot instead of one number, and with training sequences drawn afresh "
        "for every update instead of 10,000 fixed ones."
    )
    readout = "each"
    tokens = True
    source = "Hochreiter & Schmidhuber 1997; set-up of Bai, Kolter & Koltun 2018, arXiv 1803.01271"
    shortest = 1
    usual = "50, 100, 200, 500 and 1000"
    lag_label = "symbol"
    scored = shown = slice(-COPIED, None)

    def __init__(self, length: int, *, batch_size: int = 32) -> None:
        super().__init__(length, batch_size=batch_size)
        self.input_size = self.output_size = SYMBOLS + 2
        self.context = self.memory = length + COPIED + 1

    @property
    def loss_without_memory(self) -> float:
        """The loss per step of one who knows when to answer but not what, in nats."""
        return float(COPIED * np.log(SYMBOLS) / (self.length + 2 * COPIED))

    def facts(self) -> dict[str, Any]:
        floor = f"{self.loss_without_memory:.3g} nats per step"
        return {**super().facts(), "loss without memory": floor}

    def references(self) -> list[Reference]:
        return [Reference("without memory", 1 / SYMBOLS)]

    def evaluate(
        self, model: fastrnn.SequenceModel, batches: Iterable[Batch], threads: int | None = None
    ) -> Evaluation:
        """As every accuracy; and the loss per step beside that without memory, in nats."""
        found = super().evaluate(model, batches, threads)
        losses = {"loss per step": found.loss, "loss without memory": self.loss_without_memory}
        return found._replace(more=losses)

    def draw(self, rng: np.random.Generator, rows: int) -> Batch:
        """Symbols (T + 20, rows) and their targets, int64."""
        symbols = rng.integers(1, SYMBOLS + 1, (COPIED, rows))
        x = np.full((self.length + 2 * COPIED, rows), BLANK, np.int64)
        targets = x.copy()
        x[:COPIED] = targets[-COPIED:] = symbols
        x[-COPIED - 1 :] = DELIMITER
        return Batch(x, targets)
