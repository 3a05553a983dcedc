"""Tasks with classes to choose from: how often the right one comes out."""

from collections.abc import Iterable

import numpy as np

import fastrnn
from tdnn.compare.tasks.base import Batch, Evaluation, Task

__all__ = ["AccuracyTask"]


class AccuracyTask(Task):
    """A task whose metric is the part of right answers among its classes.

    Notes
    -----
    Models are evaluated by their own outputs alone: one that feeds outputs back is fed those it
    gave, never the targets, which nobody knows when these tasks are asked in earnest.
    """

    metric = "accuracy"
    unit = ""
    lower_is_better = False
    # Where many points answer all but everything right, the last errors of two short runs tell
    # nothing of how safely a point trains.
    resolution = 1e-3
    # An accuracy at chance, or at 1, takes the parameters of an evaluation that was lucky.
    chosen_by_loss = True
    loss = "softmax"
    scored: slice = slice(None)  # the steps whose answers the metric counts
    shown: slice | None = None  # the steps `by_lag` tells apart, the first as lag 1

    def evaluate(
        self, model: fastrnn.SequenceModel, batches: Iterable[Batch], threads: int | None = None
    ) -> Evaluation:
        """Accuracy over the scored steps, the mean loss over all, accuracy at each shown step."""
        total, count, rows = 0.0, 0.0, 0
        right: np.ndarray | None = None  # of each step, how many rows were right
        for batch in batches:
            o = model.forward(batch.x, lengths=batch.lengths, threads=threads)
            targets, lengths = batch.targets, batch.lengths
            if self.readout != "each":  # one answer: a sequence of one step
                o, targets, lengths = o[None], targets[None], None
            total += fastrnn.softmax_cross_entropy(o, targets, lengths=lengths).value
            count += self.predictions(batch)
            hits = (o.argmax(axis=2) == targets).sum(axis=1)
            right = hits if right is None else right + hits
            rows += o.shape[1]
        if right is None:
            raise ValueError("batches: expected at least one, got none")
        return self._evaluation(total / count, right / rows)

    def _evaluation(self, loss: float, part: np.ndarray) -> Evaluation:
        """`part`: of each step, the part of right answers."""
        if not np.isfinite(loss):  # NaN outputs have a largest one too: it means nothing
            return Evaluation(float("nan"), loss, {}, None)
        by_lag = None
        if self.shown is not None:
            by_lag = [(lag, float(value)) for lag, value in enumerate(part[self.shown], start=1)]
        return Evaluation(float(part[self.scored].mean()), loss, {}, by_lag)
