"""The running parity: what a bounded view of the past cannot know."""

from typing import Any

import numpy as np

from tdnn.compare.tasks.accuracy import AccuracyTask
from tdnn.compare.tasks.base import Batch, Reference
from tdnn.compare.tasks.drawn import DrawnTask

__all__ = ["ParityTask"]

SEEN = 16  # frames for a model with a bounded view, whatever T


class ParityTask(AccuracyTask, DrawnTask):
    """Say at each step whether the ones so far are odd in number; the metric is the accuracy.

    Parameters
    ----------
    length : int
        Steps T of a sequence, at least 64.
    batch_size : int
        Sequences per update.

    Raises
    ------
    ComparisonError
        If `length` is too small.

    Notes
    -----
    The target y_t = y_{t-1} xor x_t needs one bit of memory, kept for ever; or a view of all t
    bits. The metric counts the second half of the steps. There the parity of a window that leaves
    out one bit is a fair coin: a model with a bounded view of less than T / 2 frames stays at
    1/2, and models with a bounded view are given about 16 frames, whatever T.

    Examples
    --------
    >>> from tdnn.compare.tasks.parity import ParityTask
    >>> batch = next(ParityTask(64).batches(seed=0, epoch=0, steps=1))
    >>> batch.x.shape, bool((batch.targets[1] == batch.x[0] ^ batch.x[1]).all())
    ((64, 32), True)
    """

    name = "parity"
    title = "Running parity"
    description = "whether the ones so far are odd in number, at each of T steps (parity:T)"
    about = (
        "At each step of random bits the parity of all bits so far is due: one bit of memory, kept "
        f"for ever. Networks with a bounded view are given about {SEEN} frames, so what they can "
        "know ends there. The accuracy is that over the second half of the steps."
    )
    readout = "each"
    tokens = True
    source = "Minsky & Papert 1969; as a sequence Hochreiter & Schmidhuber 1997"
    shortest = 4 * SEEN
    usual = "64 to 500"
    lag_label = "step"
    shown = slice(None)

    def __init__(self, length: int, *, batch_size: int = 32) -> None:
        super().__init__(length, batch_size=batch_size)
        self.input_size = self.output_size = 2
        self.context, self.memory = SEEN, length
        self.scored = slice(length // 2, None)

    def facts(self) -> dict[str, Any]:
        steps = f"{self.length // 2 + 1} to {self.length}"
        return {**super().facts(), "steps the accuracy counts": steps}

    def references(self) -> list[Reference]:
        return [Reference("guessing", 0.5)]

    def draw(self, rng: np.random.Generator, rows: int) -> Batch:
        """Bits (T, rows) and the parities so far, int64."""
        x = rng.integers(0, 2, (self.length, rows))
        return Batch(x, np.bitwise_xor.accumulate(x, axis=0))
