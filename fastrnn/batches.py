"""What `fit` takes as data: one batch, an iterable of batches, or a callable that gives one."""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

__all__ = ["Batches"]

_FORM = "(x, targets[, lengths[, weights[, resets]]])"


class Batches:
    """The batches of each epoch, checked for their form.

    Parameters
    ----------
    name : str
        The argument that an error message begins with.
    data : tuple, iterable or callable
        A tuple ``(x, targets[, lengths[, weights[, resets]]])`` is one batch; else an iterable of
        such, or a callable that takes the epoch's number (from 1) and returns one.
    stage : callable, optional
        Takes a batch and returns what the model takes in its place: copies on a GPU. Those of a
        batch, a list or a tuple of batches are made once.

    Raises
    ------
    TypeError
        If `data` is none of these.

    Examples
    --------
    >>> from fastrnn.batches import Batches
    >>> list(Batches("data", lambda epoch: [(epoch, 0), (epoch, 1)]).epoch(7))
    [(7, 0), (7, 1)]
    """

    def __init__(
        self,
        name: str,
        data: Any,
        stage: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None = None,
    ) -> None:
        self.name = name
        self._stage = stage
        self._kept: dict[int, tuple[Any, ...]] = {}
        self._data: Any = [data] if _is_batch(data) else data
        self._asks = callable(data) and not hasattr(data, "__iter__")
        if not self._asks and not isinstance(data, Iterable):
            self._refuse("a batch, an iterable of batches or a callable", data)

    def count(self) -> int | None:
        """Return the number of batches in an epoch, where that is known beforehand."""
        return len(self._data) if isinstance(self._data, Sized) else None

    def epoch(self, number: int, skip: int = 0) -> Iterator[tuple[Any, ...]]:
        """Yield the batches of one epoch, without the first `skip`.

        Parameters
        ----------
        number : int
            Of the epoch, from 1.
        skip : int, default 0
            How many were done before an interruption.

        Yields
        ------
        tuple

        Raises
        ------
        TypeError, ValueError
            If there is no batch, fewer than `skip`, or one that has another form.
        """
        source = self._data(number) if self._asks else self._data
        if _is_batch(source):
            source = [source]
        if not isinstance(source, Iterable):
            self._refuse("a callable that returns an iterable of batches", source)
        batches, found = iter(source), 0
        for found, batch in enumerate(batches, 1):
            if found > skip:
                yield self._staged(found, self._checked(batch))
        if found == 0 and batches is source and number > 1 and not self._asks:
            raise ValueError(
                f"{self.name}: expected batches in every epoch, got an iterator that was used up "
                f"before epoch {number}: give a list, or a callable epoch -> iterable"
            )
        if found == 0:
            raise ValueError(
                f"{self.name}: expected at least one batch, got none in epoch {number}"
            )
        if found < skip:
            raise ValueError(
                f"{self.name}: expected the {skip} batches that epoch {number} had before the "
                f"interruption, got {found}"
            )

    def _staged(self, number: int, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what stands for a batch, the number-th of its epoch."""
        if self._stage is None:
            return batch
        if not isinstance(self._data, list | tuple):
            return self._stage(batch)
        if number not in self._kept:
            self._kept[number] = self._stage(batch)
        return self._kept[number]

    def _checked(self, batch: Any) -> tuple[Any, ...]:
        if not isinstance(batch, tuple | list):
            self._refuse(f"batches {_FORM}", batch)
        if not 2 <= len(batch) <= 5:
            raise ValueError(f"{self.name}: expected batches {_FORM}, got {len(batch)} entries")
        return tuple(batch)

    def _refuse(self, expected: str, got: Any) -> None:
        raise TypeError(f"{self.name}: expected {expected}, got {type(got).__name__}")


def _is_batch(data: Any) -> bool:
    """Tell a batch from a tuple of batches: no array is a tuple."""
    return isinstance(data, tuple) and len(data) > 0 and not isinstance(data[0], tuple)
