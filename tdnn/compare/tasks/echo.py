"""The delayed echo: what a view of the past has for the asking."""

from collections.abc import Iterable
from typing import Any

import numpy as np

import fastrnn
from tdnn.compare.tasks.base import Batch, Evaluation, Reference
from tdnn.compare.tasks.drawn import DrawnTask

__all__ = ["DelayedEchoTask"]


class DelayedEchoTask(DrawnTask):
    """Give at each step the inputs of 1, 2, 4, ... and D steps ago; the metric is for D.

    Parameters
    ----------
    length : int
        The longest delay D, at least 8. A sequence has 2 D steps.
    batch_size : int
        Sequences per update.

    Raises
    ------
    ComparisonError
        If `length` is too small.

    Notes
    -----
    The inputs are -1 or 1 at random, so nothing but memory helps: a recurrent network must keep
    D bits at a time and shift them, a time-delay network reads them off its window of D + 1
    frames. The loss and the metric count the steps from D on, where every delay reaches an input.
    The metric is the part of right answers at delay D; those at all delays are `by_lag`.

    Examples
    --------
    >>> from tdnn.compare.tasks.echo import DelayedEchoTask
    >>> task = DelayedEchoTask(20)
    >>> batch = next(task.batches(seed=0, epoch=0, steps=1))
    >>> task.delays, batch.targets.shape
    ([1, 2, 4, 8, 16, 20], (40, 32, 6))
    >>> bool(((batch.targets[20:, :, 5] > 0) == (batch.x[:20, :, 0] > 0)).all())
    True
    """

    name = "delayed-echo"
    title = "Delayed echo"
    description = "the inputs of 1, 2, 4, ... and T steps ago, at each step (delayed-echo:T)"
    about = (
        "At each step the random signs of 1, 2, 4, ... and D steps ago are due at once. A "
        "recurrent network must keep the last D inputs and shift them; a time-delay network whose "
        "window holds D + 1 frames reads them off. The accuracy is that at delay D, over the steps "
        "that have an input D steps before."
    )
    metric = "accuracy"
    unit = ""
    lower_is_better = False
    loss = "sigmoid"
    readout = "each"
    tokens = False
    source = "after the memory capacity of Jaeger 2001, GMD report 152"
    shortest = 8
    usual = "16 to 128"
    lag_label = "steps ago"

    def __init__(self, length: int, *, batch_size: int = 32) -> None:
        powers = [1 << bit for bit in range(length.bit_length()) if 1 << bit < length]
        self.delays = [*powers, length]
        super().__init__(length, batch_size=batch_size)
        self.input_size, self.output_size = 1, len(self.delays)
        self.context = self.memory = length + 1

    def options(self) -> dict[str, Any]:
        return {**super().options(), "delays": self.delays}

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "delays": ", ".join(map(str, self.delays))}

    def references(self) -> list[Reference]:
        return [Reference("guessing", 0.5)]

    def draw(self, rng: np.random.Generator, rows: int) -> Batch:
        """Signs (2 D, rows, 1), labels (2 D, rows, delays), weights: 0 before step D, then 1."""
        steps = 2 * self.length
        bits = rng.integers(0, 2, (steps, rows)).astype(np.float32)
        targets = np.zeros((steps, rows, len(self.delays)), np.float32)
        for index, delay in enumerate(self.delays):
            targets[delay:, :, index] = bits[:-delay]
        weights = np.ones((steps, rows), np.float32)
        weights[: self.length] = 0.0
        return Batch(2.0 * bits[:, :, None] - 1.0, targets, None, weights)

    def evaluate(
        self, model: fastrnn.SequenceModel, batches: Iterable[Batch], threads: int | None = None
    ) -> Evaluation:
        """Accuracy at delay D, the mean loss over all delays together, accuracy at each delay.

        A model that feeds outputs back is fed those it gave, as in `AccuracyTask`.
        """
        total, count, answers = 0.0, 0.0, 0
        right = np.zeros(len(self.delays))
        for batch in batches:
            o = model.forward(batch.x, threads=threads)
            total += fastrnn.sigmoid_cross_entropy(o, batch.targets, weights=batch.weights).value
            count += self.predictions(batch)
            hits = (o > 0) == (batch.targets > 0)
            right += hits[self.length :].sum(axis=(0, 1))
            answers += self.length * o.shape[1]
        loss, part = total / count, right / answers
        if not np.isfinite(loss):
            return Evaluation(float("nan"), loss, {}, None)
        by_lag = [(lag, float(value)) for lag, value in zip(self.delays, part, strict=True)]
        return Evaluation(float(part[-1]), loss, {}, by_lag)
