"""Learning-rate schedules for `fit`: what the learning rate is multiplied by in each epoch.

A schedule has no state. Its factor follows from the epoch's number and the history before it, both
of which a checkpoint holds: a resumed run goes on as one that was never stopped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastrnn.arrays import count
from fastrnn.optimizer_base import check_number

__all__ = ["ConstantSchedule", "CosineSchedule", "PlateauSchedule", "StepSchedule"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ConstantSchedule:
    """The learning rate that the optimizer was given, in every epoch.

    Examples
    --------
    >>> import fastrnn
    >>> fastrnn.ConstantSchedule().factor(7, ())
    1.0
    """

    def factor(self, epoch: int, rows: Rows) -> float:  # noqa: ARG002 (every schedule's signature)
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class StepSchedule:
    """The learning rate times a factor after some epochs, or after every n-th.

    Parameters
    ----------
    epochs : int or sequence of int
        n, for after each n epochs; or the numbers of the epochs after which it happens. As
        ``torch.optim.lr_scheduler.StepLR`` and ``MultiStepLR``, stepped after each epoch.
    by : float
        From 0 on.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

    Examples
    --------
    >>> import fastrnn
    >>> schedule = fastrnn.StepSchedule([2, 3], by=0.5)
    >>> [schedule.factor(epoch, ()) for epoch in (1, 2, 3, 4)]
    [1.0, 1.0, 0.5, 0.25]
    """

    epochs: int | Sequence[int]
    by: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.epochs, list | tuple):
            object.__setattr__(self, "epochs", tuple(count("epochs", n) for n in self.epochs))
        else:
            count("epochs", self.epochs)  # type: ignore[arg-type]
        _check_range("by", self.by, math.inf)

    def factor(self, epoch: int, rows: Rows) -> float:  # noqa: ARG002
        """Return the factor of this epoch, counted from 1."""
        done = epoch - 1
        if isinstance(self.epochs, int):
            return float(self.by) ** (done // self.epochs)
        return float(self.by) ** sum(done >= after for after in self.epochs)


@dataclass(frozen=True)
class CosineSchedule:
    """Half a cosine from the learning rate down to a part of it.

    Parameters
    ----------
    epochs : int
        In how many epochs it comes down: in epoch e (from 1) the factor is
        least + (1 - least) (1 + cos(pi (e - 1) / epochs)) / 2, and later it is `least`.
        As ``torch.optim.lr_scheduler.CosineAnnealingLR``, stepped after each epoch.
    least : float
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

    Examples
    --------
    >>> import fastrnn
    >>> schedule = fastrnn.CosineSchedule(4)
    >>> [round(schedule.factor(epoch, ()), 3) for epoch in (1, 2, 3, 4, 5, 6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    epochs: int
    least: float = 0.0

    def __post_init__(self) -> None:
        count("epochs", self.epochs)
        _check_range("least", self.least, 1.0)

    def factor(self, epoch: int, rows: Rows) -> float:  # noqa: ARG002
        """Return the factor of this epoch, counted from 1."""
        way = min((epoch - 1) / self.epochs, 1.0)
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * way)) / 2


@dataclass(frozen=True)
class PlateauSchedule:
    """The learning rate times a factor, whenever the validation has stopped getting better.

    Parameters
    ----------
    patience : int
        How many epochs in a row may bring no better validation; the next such one has the learning
        rate multiplied, and the counting begins anew. As
        ``torch.optim.lr_scheduler.ReduceLROnPlateau``.
    by : float
        From 0 on, below 1.
    threshold : float
        From 0 on, below 1. Better is what is less than the best before times 1 - threshold.
    least : float
        From 0 to 1: the factor does not fall below.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said. From `fit`, if there is no validation to look at.

    Examples
    --------
    >>> import fastrnn
    >>> rows = [{"validation": loss} for loss in (3.0, 2.0, 2.0, 2.0)]
    >>> fastrnn.PlateauSchedule(patience=1, by=0.5).factor(5, rows)
    0.5
    """

    patience: int = 10
    by: float = 0.1
    threshold: float = 1e-4
    least: float = 0.0

    def __post_init__(self) -> None:
        count("patience", self.patience, at_least=0)
        for name in ("by", "threshold"):
            if not _check_range(name, getattr(self, name), 1.0) < 1:
                raise ValueError(f"{name}: expected a number below 1, got 1")
        _check_range("least", self.least, 1.0)

    def factor(self, epoch: int, rows: Rows) -> float:
        """Return the factor of this epoch, counted from 1, after the `rows` of those before."""
        factor, best, without = 1.0, math.inf, 0
        for row in rows[: epoch - 1]:
            loss = row["validation"]
            if loss is None:
                raise ValueError("schedule, validation: expected validation data, got None")
            better = math.isinf(best) or loss < best * (1 - self.threshold)
            best, without = (loss, 0) if better else (best, without + 1)
            if without > self.patience:
                factor, without = max(factor * self.by, self.least), 0
        return factor


def _check_range(name: str, value: Any, greatest: float) -> float:
    """Return a number from 0 to `greatest`, where that is infinite any finite one from 0."""
    number = check_number(name, value)
    if not 0 <= number <= greatest or math.isinf(number):
        wanted = "a finite number >= 0" if math.isinf(greatest) else f"0 <= value <= {greatest:g}"
        raise ValueError(f"{name}: expected {wanted}, got {value!r}")
    return number
