"""Dropout: in training, units of the frames between layers are left out at random.

What is kept is divided by the probability of being kept, so that evaluation, which leaves nothing
out, needs no other weights (Srivastava et al. 2014). One mask for all steps of a sequence is the
variational form (Gal and Ghahramani 2016).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.optimizer_base import check_number
from fastrnn.sampling import Draws

__all__ = ["Dropout", "check_training", "dropped"]


class Dropout(Draws):
    """The probability of leaving a unit out, and the generator of the masks.

    Parameters
    ----------
    probability : float
        From 0, which draws nothing, to below 1.
    same_mask : bool
        Whether all steps of a sequence share one mask; else each step has its own.
    source : numpy.random.Generator
        Gives the seed; it is not kept.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; messages begin with ``dropout`` or ``same_mask``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.dropout import Dropout, dropped
    >>> factors = Dropout(0.5, True, np.random.default_rng(0)).factors((3, 1, 4), np.float32)
    >>> dropped(np.ones((3, 1, 4), np.float32), factors)[:, 0].tolist()
    [[2.0, 0.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0]]
    """

    def __init__(self, probability: float, same_mask: bool, source: np.random.Generator) -> None:
        self.probability = check_number("dropout", probability)
        if not 0 <= self.probability < 1:
            raise ValueError(f"dropout: expected 0 <= value < 1, got {probability!r}")
        if not isinstance(same_mask, bool):
            raise TypeError(f"same_mask: expected True or False, got {same_mask!r}")
        self.same_mask = same_mask
        super().__init__(source)

    def factors(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any] | None:
        """Draw what frames (T, B, m) are multiplied by: 0, or 1 / (1 - probability).

        Returns (T, B, m), or (1, B, m) where all steps share one mask; None for ones, of which
        nothing is drawn.
        """
        if self.probability == 0:
            return None
        steps = min(shape[0], 1) if self.same_mask else shape[0]
        kept = self.generator.random((steps, *shape[1:]), np.float32) >= self.probability
        return np.multiply(kept, 1 / (1 - self.probability), dtype=dtype)

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments that make this dropout; none where there is none."""
        if self.probability == 0:
            return {}
        return {"dropout": self.probability, "same_mask": self.same_mask}

    def sampling(self) -> dict[str, Any]:
        """Return what the next masks depend on, for JSON; empty where none is drawn."""
        return {} if self.probability == 0 else self.state()

    def restore_sampling(self, state: dict[str, Any]) -> None:
        """Draw on as the dropout whose `sampling` returned `state`; ValueError if that is none."""
        self.restore(state)


def dropped(frames: NDArray[Any], factors: NDArray[Any] | None) -> NDArray[Any]:
    """Return frames, or the gradient in them, times the factors of `Dropout.factors`."""
    return frames if factors is None else frames * factors


def check_training(training: Any) -> bool:
    """Return `training` if it is a bool."""
    if not isinstance(training, bool):
        raise TypeError(f"training: expected True or False, got {training!r}")
    return training
