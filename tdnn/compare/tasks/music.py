"""Polyphonic music: which keys are down in the next frame."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tdnn.compare.fetching import source_of
from tdnn.compare.tasks.base import Batch, Reference, Task
from tdnn.compare.tasks.files import digest, find_data, tidy
from tdnn.compare.tasks.piano_rolls import KEYS, read_piano_rolls
from tdnn.compare.tasks.sequences import length_groups, pad, shuffled

__all__ = ["MusicTask"]

CONTEXT = 16  # frames; the published TCN for JSB sees 13
PRIOR = 0.5  # added to every count: a key never seen down has a probability, too


class MusicTask(Task):
    """Predict each next frame of a piano roll; the metric is nats per frame, over 88 keys.

    Parameters
    ----------
    path : Path, optional
        A ``.mat`` file of cells traindata, validdata and testdata, or a ``.json`` file of lists
        train, valid and test; without it what ``rnn-vs-tdnn fetch jsb`` fetched.
    batch_size : int
        Pieces per update: 1 as published. More are padded to the longest among them.

    Raises
    ------
    ComparisonError
        If there is no such file, or it does not hold piano rolls.

    Notes
    -----
    Every frame of a piece but the first is predicted from those before it in the piece. The metric
    is the negative log-likelihood of the 88 keys of a frame, summed, averaged over all predicted
    frames of all pieces. The floors are counts over the training pieces, each key for itself: how
    often it is down ("unigram"), and how often after a frame in which it was down, or was not
    ("Markov chain per key").
    """

    name = "music"
    title = "Polyphonic music"
    description = "the next frame of a piano roll of 88 keys (--data FILE.mat or FILE.json)"
    about = (
        "Each next frame of a piano roll, which of 88 keys are down, is predicted from the frames "
        "of the piece before it. The loss is summed over the keys and averaged over all predicted "
        "frames of all pieces (Boulanger-Lewandowski, Bengio and Vincent 2012)."
    )
    metric = "nats per frame"
    unit = "nats per frame"
    loss = "sigmoid"
    readout = "each"
    tokens = False
    takes = "data"
    source = (
        "Boulanger-Lewandowski, Bengio & Vincent 2012; set-up of Bai, Kolter & Koltun 2018, "
        "arXiv 1803.01271"
    )

    def __init__(self, path: Path | None = None, *, batch_size: int = 1) -> None:
        path = find_data(path, self.name, "a file of piano rolls", "jsb")
        pieces, content = read_piano_rolls(path)
        self.sha256 = digest([("", content)])
        known = source_of(self.sha256)
        self.data_name = known.title if known else tidy(path.stem)
        self.title = f"{MusicTask.title}, {self.data_name}"
        self.batch_size = batch_size
        # A piece of one frame has no next one.
        self.pieces = {
            part: [roll for roll in rolls if len(roll) > 1] for part, rolls in pieces.items()
        }
        self.input_size = self.output_size = KEYS
        self.context, self.memory = CONTEXT, None
        self._validation, self._test = (
            [
                next_frames([rolls[row] for row in rows])
                for rows in length_groups([*map(len, rolls)])
            ]
            for rolls in (self.pieces["validation"], self.pieces["test"])
        )

    def options(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "batch_size": self.batch_size}

    def facts(self) -> dict[str, Any]:
        parts = ", ".join(self.pieces)
        frames = [sum(map(len, rolls)) for rolls in self.pieces.values()]
        lengths = [len(roll) for rolls in self.pieces.values() for roll in rolls]
        return {
            "data set": self.data_name,
            "sha256": self.sha256,
            f"pieces ({parts})": " / ".join(f"{len(rolls):,}" for rolls in self.pieces.values()),
            f"frames ({parts})": " / ".join(f"{count:,}" for count in frames),
            "frames per piece": f"{min(lengths)} to {max(lengths)}",
            "pieces per update": self.batch_size,
        }

    def references(self) -> list[Reference]:
        before, after = followed(self.pieces["training"])
        x, y = followed(self.pieces["test"])
        unigram = likelihood(after.sum(axis=0), len(after))
        down = likelihood((before * after).sum(axis=0), before.sum(axis=0))
        up = likelihood(((1 - before) * after).sum(axis=0), (1 - before).sum(axis=0))
        return [
            Reference("unigram", nats(np.broadcast_to(unigram, y.shape), y)),
            Reference("Markov chain per key", nats(np.where(x > 0, down, up), y)),
        ]

    def batches(self, seed: int, epoch: int, steps: int) -> Iterator[Batch]:
        rng, rolls = np.random.default_rng([seed, epoch, 1]), self.pieces["training"]
        for rows in shuffled(rng, len(rolls), self.batch_size, steps):
            yield next_frames([rolls[row] for row in rows])

    def validation(self) -> list[Batch]:
        return self._validation

    def test(self) -> list[Batch]:
        return self._test


def next_frames(rolls: Sequence[np.ndarray]) -> Batch:
    """Pieces as a batch: all frames but the last, and for each the next one."""
    x, lengths = pad([roll[:-1] for roll in rolls])
    return Batch(x, pad([roll[1:] for roll in rolls])[0], lengths)


def followed(rolls: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All frames that are followed by one, and those that follow, float64."""
    before = np.concatenate([roll[:-1] for roll in rolls]).astype(np.float64)
    return before, np.concatenate([roll[1:] for roll in rolls]).astype(np.float64)


def likelihood(count: np.ndarray, of: np.ndarray | int) -> np.ndarray:
    """The probability of what happened `count` times of `of`."""
    return np.asarray((count + PRIOR) / (of + 2 * PRIOR))


def nats(probability: np.ndarray, y: np.ndarray) -> float:
    """The negative log-likelihood per frame, summed over keys."""
    return float(-np.log(np.where(y > 0, probability, 1 - probability)).sum(axis=1).mean())
