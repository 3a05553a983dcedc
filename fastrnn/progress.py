"""What `fit` shows on standard error: a bar where tqdm is installed, else one line per epoch."""

import sys
from typing import Any

__all__ = ["Progress", "open_progress"]


class Progress:
    """Shows nothing."""

    def batch(self, epoch: int, loss: float) -> None:
        """Take note of one more batch; `loss` is the epoch's mean so far."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Take note of the end of an epoch."""

    def close(self) -> None:
        """End the display."""


class _Lines(Progress):
    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def epoch(self, row: dict[str, Any]) -> None:
        sys.stderr.write(f"epoch {row['epoch']}/{self._epochs}: {_numbers(row)}\n")


class _Bar(Progress):
    def __init__(self, tqdm: Any, epochs: int, per_epoch: int | None, done: int) -> None:
        total = None if per_epoch is None else per_epoch * epochs
        self._epochs = epochs
        self._bar = tqdm(total=total, initial=done, unit="batch", file=sys.stderr)

    def batch(self, epoch: int, loss: float) -> None:
        self._bar.set_description_str(f"epoch {epoch}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
        self._bar.update()

    def epoch(self, row: dict[str, Any]) -> None:
        self._bar.set_postfix_str(_numbers(row), refresh=False)

    def close(self) -> None:
        self._bar.close()


def open_progress(
    progress: bool | None, epochs: int, per_epoch: int | None = None, done: int = 0
) -> Progress:
    """Return the display that `fit` reports to.

    Parameters
    ----------
    progress : bool, optional
        True: a bar, or lines without tqdm. False: nothing. None: as True if standard error is a
        terminal, else nothing.
    epochs : int
    per_epoch : int, optional
        Batches in an epoch, if known.
    done : int, default 0
        Batches done before.

    Returns
    -------
    Progress

    Raises
    ------
    TypeError
        If `progress` is something else.

    Examples
    --------
    >>> from fastrnn.progress import open_progress
    >>> open_progress(False, epochs=3).close()
    """
    if progress is not None and not isinstance(progress, bool):
        raise TypeError(f"progress: expected True, False or None, got {progress!r}")
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    if not progress:
        return Progress()
    try:
        from tqdm import tqdm
    except ImportError:
        return _Lines(epochs)
    return _Bar(tqdm, epochs, per_epoch, done)


def _numbers(row: dict[str, Any]) -> str:
    validation = row["validation"]
    middle = "" if validation is None else f", validation {validation:.4g}"
    return f"loss {row['loss']:.4g}{middle}, {row['seconds']:.1f} s"
