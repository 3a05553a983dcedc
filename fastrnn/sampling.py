"""Scheduled sampling: which steps are fed their target, drawn from a generator of a layer's own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.optimizer_base import check_number

__all__ = ["Draws", "Sampling", "joined_sampling", "probability", "restore_joined"]


class Draws:
    """A generator that belongs to a layer, or to a model: copied, stored and resumed with it.

    Parameters
    ----------
    source : numpy.random.Generator
        Gives the seed. It is not kept: two layers made from one would change each other's draws.
    """

    def __init__(self, source: np.random.Generator) -> None:
        # PCG64 and not numpy's choice of the day: JSON can hold its state, integers.
        self.generator = np.random.Generator(np.random.PCG64(int(source.integers(2**63))))

    def state(self) -> dict[str, Any]:
        """Return what the next draws depend on, in a form that JSON can hold."""
        return {"generator": self.generator.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned; ValueError, and nothing changed, if it is not that."""
        try:
            bits = np.random.PCG64(0)
            bits.state = state["generator"]
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"state: expected what sampling returned, got {error!r}") from None
        self.generator.bit_generator.state = bits.state  # in place: streams draw from it too


class Sampling(Draws):
    """A probability of teacher forcing, and the generator of all that a layer draws.

    Parameters
    ----------
    teacher_forcing : float
        The probability with which a step is fed its target.
    source : numpy.random.Generator
        Gives the seed; it is not kept.
    """

    def __init__(self, teacher_forcing: float, source: np.random.Generator) -> None:
        self.teacher_forcing = probability("teacher_forcing", teacher_forcing)
        super().__init__(source)

    def forced(
        self, shape: tuple[int, ...], source: np.random.Generator | None = None
    ) -> NDArray[np.bool_]:
        """Return which steps are fed their target; the probabilities 0 and 1 draw nothing."""
        if self.teacher_forcing in (0, 1):
            return np.full(shape, self.teacher_forcing == 1)
        return (source or self.generator).random(shape) < self.teacher_forcing

    def state(self) -> dict[str, Any]:
        return {"teacher_forcing": self.teacher_forcing, **super().state()}

    def restore(self, state: dict[str, Any]) -> None:
        try:
            number = probability("teacher_forcing", state["teacher_forcing"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state: expected what sampling returned, got {error!r}") from None
        super().restore(state)
        self.teacher_forcing = number


def probability(name: str, value: Any) -> float:
    """Return a number from 0 to 1 as a float."""
    number = check_number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}")
    return number


def joined_sampling(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``sampling()`` of each part that has it and draws, by the part's name."""
    states = {name: part.sampling() for name, part in parts.items() if hasattr(part, "sampling")}
    return {name: state for name, state in states.items() if state}


def restore_joined(parts: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Take over what `joined_sampling` returned; ValueError, and nothing changed, otherwise."""
    before = joined_sampling(parts)
    if not isinstance(state, dict) or set(state) != set(before):
        raise ValueError(f"state: expected what sampling returned, got {state!r}")
    try:
        for name, part in state.items():
            parts[name].restore_sampling(part)
    except ValueError:
        for name, part in before.items():
            parts[name].restore_sampling(part)
        raise
