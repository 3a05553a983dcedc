"""Sequences of unequal length: shuffled, padded, and classified whole."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tdnn.compare.tasks.accuracy import AccuracyTask
from tdnn.compare.tasks.base import STEPS_AT_ONCE, Batch, Reference

__all__ = ["Part", "SequenceTask", "length_groups", "pad", "shuffled"]


def pad(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (T_i, p) as one array (T, B, p), zero behind each one's end; and the T_i.

    Examples
    --------
    >>> import numpy as np
    >>> from tdnn.compare.tasks.sequences import pad
    >>> x, lengths = pad([np.ones((2, 3)), np.ones((4, 3))])
    >>> x.shape, lengths.tolist(), x[:, 0, 0].tolist()
    ((4, 2, 3), [2, 4], [1.0, 1.0, 0.0, 0.0])
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    shape = int(lengths.max()), len(sequences), sequences[0].shape[1]
    x = np.zeros(shape, sequences[0].dtype)
    for row, sequence in enumerate(sequences):
        x[: len(sequence), row] = sequence
    return x, lengths


def shuffled(rng: np.random.Generator, count: int, rows: int, batches: int) -> Iterator[list[int]]:
    """`batches` lists of `rows` indices: all of `count` in random order, then all again, ..."""
    rows, waiting = min(rows, count), list[int]()
    for _ in range(batches):
        if len(waiting) < rows:
            waiting += rng.permutation(count).tolist()
        yield waiting[:rows]
        del waiting[:rows]


def length_groups(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of sequences, similar lengths together, in groups that padded fit into memory."""
    groups: list[list[int]] = []
    for index in np.argsort(lengths, kind="stable").tolist():
        if not groups or lengths[index] * (len(groups[-1]) + 1) > STEPS_AT_ONCE:
            groups.append([])
        groups[-1].append(index)
    return groups


class Part(NamedTuple):
    """Sequences (T_i, p), float32, and the class number of each."""

    x: list[np.ndarray]
    classes: np.ndarray

    def batch(self, rows: Sequence[int]) -> Batch:
        """Some of the sequences, padded."""
        x, lengths = pad([self.x[row] for row in rows])
        return Batch(x, self.classes[list(rows)], lengths)


class SequenceTask(AccuracyTask):
    """Classify whole sequences of unequal length; the metric is the accuracy.

    Every model reads its answer off the mean over the valid steps, so that none is favoured by
    where in a sequence it looks.

    Parameters
    ----------
    parts : dict of Part
        "training", "validation", "test", none of them empty.
    classes : int
        Number of classes.
    sha256 : str
        Of the data.
    batch_size : int
        Sequences per update.
    context : int
        The most frames that a model with a bounded view is given.
    """

    takes = "data"
    readout = "mean"
    tokens = False

    def __init__(
        self, parts: dict[str, Part], classes: int, sha256: str, batch_size: int, context: int
    ) -> None:
        self.parts, self.sha256, self.batch_size = parts, sha256, batch_size
        self.input_size, self.output_size = parts["training"].x[0].shape[1], classes
        self.memory = max(len(sequence) for sequence in parts["training"].x)
        self.context = min(context, self.memory)
        self._validation, self._test = (
            [part.batch(rows) for rows in length_groups([len(x) for x in part.x])]
            for part in (parts["validation"], parts["test"])
        )

    def options(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "batch_size": self.batch_size}

    def facts(self) -> dict[str, Any]:
        lengths = [len(sequence) for part in self.parts.values() for sequence in part.x]
        return {
            "sha256": self.sha256,
            f"sequences ({', '.join(self.parts)})": " / ".join(
                f"{len(part.x):,}" for part in self.parts.values()
            ),
            "frames per sequence": f"{min(lengths)} to {max(lengths)}",
            "channels": self.input_size,
            "classes": self.output_size,
        }

    def references(self) -> list[Reference]:
        trained, tested = (
            np.bincount(self.parts[part].classes, minlength=self.output_size)
            for part in ("training", "test")
        )
        commonest = trained == trained.max()  # of several, the one that does best
        return [Reference("the commonest class", float(tested[commonest].max() / tested.sum()))]

    def batches(self, seed: int, epoch: int, steps: int) -> Iterator[Batch]:
        rng, training = np.random.default_rng([seed, epoch, 1]), self.parts["training"]
        for rows in shuffled(rng, len(training.x), self.batch_size, steps):
            yield training.batch(rows)

    def validation(self) -> list[Batch]:
        return self._validation

    def test(self) -> list[Batch]:
        return self._test
