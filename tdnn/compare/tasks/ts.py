"""Classification of time series from the UEA and UCR archives."""

from pathlib import Path
from typing import Any

import numpy as np

from tdnn.compare.tasks.files import bad_data, digest, find_data
from tdnn.compare.tasks.sequences import Part, SequenceTask
from tdnn.compare.tasks.ts_files import PAIR_HINT, TsFile, find_pair, read_ts

__all__ = ["TsTask"]

VALIDATING = 5  # one in so many sequences of each class
CONTEXT = 64


class TsTask(SequenceTask):
    """Classify sequences from ``.ts`` files of unequal length; the metric is the accuracy.

    Parameters
    ----------
    path : Path, optional
        ``NAME_TRAIN.ts`` or ``NAME_TEST.ts`` with the other beside it, or their folder; without it
        what ``rnn-vs-tdnn fetch japanese-vowels`` fetched.
    batch_size : int
        Sequences per update.

    Raises
    ------
    ComparisonError
        If a file is missing or not of the format, has missing values, or the two do not fit.

    Notes
    -----
    One in five sequences of each class of the training file, drawn once and for all, validates;
    the test file is used for the test alone. Each channel is brought to mean 0 and deviation 1
    over the frames that train.
    """

    name = "ts"
    title = "Time series"
    description = "the class of a sequence from .ts files, UEA and UCR (--data NAME_TRAIN.ts)"
    about = (
        "Sequences of unequal length are to be classified, training and test sets as published. "
        "One in five sequences of each class of the training file validates. Channels have mean 0 "
        "and deviation 1 over the training frames. Every network reads its answer off the mean "
        "over the frames."
    )
    source = "UEA and UCR archives: Bagnall et al. 2018, arXiv 1811.00075; Dau et al. 2019"

    def __init__(self, path: Path | None = None, *, batch_size: int = 32) -> None:
        path = find_data(path, self.name, "a pair of .ts files", "japanese-vowels")
        training, test = (read_ts(file) for file in find_pair(path))
        self.classes = check_pair(training, test)
        self.data_name = training.name
        self.title = f"{TsTask.title}, {self.data_name}"
        validates = validating(training.classes)
        trains = [row for row in range(len(training.x)) if row not in validates]
        frames = np.concatenate([training.x[row] for row in trains])
        mean, deviation = frames.mean(axis=0), frames.std(axis=0)
        deviation[deviation == 0] = 1.0  # a channel that never changes says nothing

        def part(file: TsFile, rows: list[int]) -> Part:
            x = [((file.x[row] - mean) / deviation).astype(np.float32) for row in rows]
            numbers = [self.classes.index(file.classes[row]) for row in rows]
            return Part(x, np.array(numbers, np.int64))

        parts = {
            "training": part(training, trains),
            "validation": part(training, sorted(validates)),
            "test": part(test, list(range(len(test.x)))),
        }
        sha256 = digest([("TRAIN", training.content), ("TEST", test.content)])
        super().__init__(parts, len(self.classes), sha256, batch_size, CONTEXT)

    def facts(self) -> dict[str, Any]:
        return {"data set": self.data_name, **super().facts()}


def check_pair(training: TsFile, test: TsFile) -> list[str]:
    """The classes, by name, in alphabetical order; the files must fit each other."""
    channels = [file.x[0].shape[1] for file in (training, test)]
    if channels[0] != channels[1]:
        raise bad_data(f"{channels[0]} channels to train on, {channels[1]} to test on", PAIR_HINT)
    classes = sorted(set(training.classes))
    if len(classes) < 2:
        raise bad_data(f"expected at least two classes, got {len(classes)}", PAIR_HINT)
    if unknown := sorted(set(test.classes) - set(classes)):
        raise bad_data(f"the class {unknown[0]!r} is tested but never trained", PAIR_HINT)
    return classes


def validating(classes: list[str]) -> set[int]:
    """Rows of the training file that validate: one in five of each class, at least one in all."""
    rng = np.random.default_rng(0)
    chosen: set[int] = set()
    for name in sorted(set(classes)):
        rows = [row for row, label in enumerate(classes) if label == name]
        count = max(len(rows) // VALIDATING, int(len(rows) > 1))
        chosen.update(rng.permutation(rows)[:count].tolist())
    if not chosen:
        raise bad_data("expected a class of two or more sequences to validate on", PAIR_HINT)
    return chosen
