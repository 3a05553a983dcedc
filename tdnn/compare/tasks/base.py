"""What every task of the comparison offers.

A task owns its data and its metric. It knows nothing of networks; it only says which sizes a
network must have, and how much of the past the answer needs.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

import fastrnn
from fastrnn import arrays

__all__ = ["Batch", "Evaluation", "Reference", "Task", "mean_loss", "split", "valid_steps"]

STEPS_AT_ONCE = 1 << 17  # rows x steps of a batch to evaluate: bounds the memory it takes


class Batch(NamedTuple):
    """One minibatch, time first, in the order `fastrnn.fit` takes.

    ``x`` (T, B, p) or ids (T, B); its targets; lengths (B,); weights of the loss, (T, B) for the
    readout "each", else (B,).
    """

    x: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None = None
    weights: np.ndarray | None = None


class Evaluation(NamedTuple):
    """What a model reaches on a set.

    ``score`` is the task's metric, ``loss`` the mean loss per prediction (nats, or squared
    error), ``more`` further figures by name, ``by_lag`` pairs (lag in steps, metric there) or None.
    """

    score: float
    loss: float
    more: dict[str, float]
    by_lag: list[tuple[int, float]] | None


@dataclass(frozen=True)
class Reference:
    """A score that needs no network. The first reference of a task is its floor."""

    name: str
    value: float


class Task(ABC):
    """One problem: batches to learn from, fixed sets to validate and test on, and a metric."""

    name: ClassVar[str]
    title: str
    description: ClassVar[str]  # one line for rnn-vs-tdnn list
    metric: ClassVar[str]  # the metric's name, for instance "bits per character"
    about: ClassVar[str]  # a sentence or two for the report
    unit: ClassVar[str]  # behind a number in a sentence, "" where it has none
    lower_is_better: ClassVar[bool] = True
    resolution: ClassVar[float] = 0.0  # scores no further apart are equal to the tuning
    chosen_by_loss: ClassVar[bool] = False  # the parameters to be tested: else by the score
    loss: ClassVar[str]  # as SequenceModel's
    readout: ClassVar[str]  # as SequenceModel's
    tokens: ClassVar[bool]  # x holds ids, not floats
    source: ClassVar[str]  # one line: who posed it, where
    takes: ClassVar[str]  # what the command line may give it: "length", "data" or "text"
    lag_label: ClassVar[str] = ""  # what the lags of `Evaluation.by_lag` count

    input_size: int
    output_size: int
    context: int  # frames a model with a bounded view should see, the present one included
    memory: int | None  # frames the best answer needs to see; None where more always helps
    batch_size: int
    length: int | None = None  # what --tasks NAME:T sets; None where the data set it

    @property
    def key(self) -> str:
        """The name among the runs of a comparison: with the length, where that can be set."""
        return self.name if self.length is None else f"{self.name}-{self.length}"

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """All that fixes the data, JSON-able: part of the fingerprint of a run."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the report says of the data, label -> value."""

    @abstractmethod
    def references(self) -> list[Reference]:
        """Scores on the test set that need no network; the first is the floor."""

    @abstractmethod
    def batches(self, seed: int, epoch: int, steps: int) -> Iterator[Batch]:
        """The training batches of one epoch: a function of its arguments and nothing else."""

    @abstractmethod
    def validation(self) -> list[Batch]:
        """The fixed set on which the parameters to be tested are chosen."""

    @abstractmethod
    def test(self) -> list[Batch]:
        """The fixed set on which the metric is reported."""

    def score(self, mean_loss: float) -> float:
        """The metric, from the mean loss per prediction, where it is a function of that."""
        return mean_loss

    def evaluate(
        self, model: fastrnn.SequenceModel, batches: Iterable[Batch], threads: int | None = None
    ) -> Evaluation:
        """What `model` reaches on a set; here `score` of its mean loss."""
        loss = mean_loss(model, self, batches, threads)
        return Evaluation(self.score(loss), loss, {}, None)

    def predictions(self, batch: Batch) -> float:
        """How many predictions a batch holds, weighted: what its mean loss is a mean of."""
        if self.readout != "each":
            return float(batch.x.shape[1] if batch.weights is None else batch.weights.sum())
        if batch.weights is not None:
            return float(batch.weights[valid_steps(batch)].sum())
        if batch.lengths is None:
            return float(batch.x.shape[0] * batch.x.shape[1])
        return float(batch.lengths.sum())


def split(batch: Batch, readout: str) -> list[Batch]:
    """A set of sequences as batches small enough to evaluate, its rows in order."""
    steps, rows = batch.x.shape[:2]
    size = max(1, STEPS_AT_ONCE // max(steps, 1))
    spans = [slice(low, low + size) for low in range(0, rows, size)]

    def part(array: np.ndarray | None, span: slice, time: bool) -> np.ndarray | None:
        if array is None:
            return None
        return np.ascontiguousarray(array[:, span]) if time else array[span]

    each = readout == "each"
    return [
        Batch(
            np.ascontiguousarray(batch.x[:, span]),
            part(batch.targets, span, each),  # type: ignore[arg-type]
            part(batch.lengths, span, False),
            part(batch.weights, span, each),
        )
        for span in spans
    ]


def valid_steps(batch: Batch) -> np.ndarray:
    """Which steps are no padding: bool, shape (T, B)."""
    shape = batch.x.shape[:2]
    if batch.lengths is None:
        return np.ones(shape, bool)
    return arrays.valid_steps(shape, batch.lengths)


def mean_loss(
    model: fastrnn.SequenceModel, task: Task, batches: Iterable[Batch], threads: int | None = None
) -> float:
    """The mean loss per prediction over all batches, weighted as the batches say."""
    total, count = 0.0, 0.0
    for batch in batches:
        total += model.loss(
            batch.x,
            batch.targets,
            lengths=batch.lengths,
            weights=batch.weights,
            reduction="sum",
            threads=threads,
        )
        count += task.predictions(batch)
    return total / count
