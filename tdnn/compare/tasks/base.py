"""What every task of the comparison offers.

A task owns its data and its metric. It knows nothing of networks; it only says which sizes a
network must have, and how much of the past the answer needs.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np


class Batch(NamedTuple):
    """One minibatch, time first: ``x`` (T, B, p) or ids (T, B), its targets, lengths (B,)."""

    x: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None = None


@dataclass(frozen=True)
class Reference:
    """A score that needs no network. The first reference of a task is its floor."""

    name: str
    value: float


class Task(ABC):
    """One problem: batches to learn from, fixed sets to validate and test on, and a metric."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]  # one line for rnn-vs-tdnn list
    metric: ClassVar[str]  # the metric's name, for instance "bits per character"
    about: ClassVar[str]  # a sentence or two for the report
    unit: ClassVar[str]  # behind a number in a sentence, "" where it has none
    lower_is_better: ClassVar[bool] = True
    loss: ClassVar[str]  # as SequenceModel's
    readout: ClassVar[str]  # as SequenceModel's
    tokens: ClassVar[bool]  # x holds ids, not floats

    input_size: int
    output_size: int
    context: int  # frames of the past a model should see
    batch_size: int

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

    @abstractmethod
    def score(self, mean_loss: float) -> float:
        """The metric, from the mean loss per prediction."""

    def predictions(self, batch: Batch) -> int:
        """How many predictions a batch holds: what its mean loss is a mean of."""
        if self.readout != "each":
            return int(batch.x.shape[1])
        if batch.lengths is None:
            return int(batch.x.shape[0] * batch.x.shape[1])
        return int(batch.lengths.sum())
