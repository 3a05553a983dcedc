"""The state of a training run: what an update changes, what a checkpoint holds."""

import os
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from fastrnn.checkpoint import load_arrays, save_arrays
from fastrnn.optimizer_base import check_same
from fastrnn.optimizers import clip_by_norm

__all__ = ["Position", "TrainingState"]

_KIND = "fastrnn training"
_PARAMETER, _OPTIMIZER = "parameter/", "optimizer/"


class Position(NamedTuple):
    """How far a run has come.

    Attributes
    ----------
    epoch : int
        Whole epochs done.
    batch : int
        Updates done in the epoch after these.
    loss_sum, seconds : float
        Sum of the losses, and time spent, in that epoch so far.
    rows : tuple of dict
        The history.
    stopped : bool
        Whether the callback ended the training.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    rows: tuple[dict[str, Any], ...] = ()
    stopped: bool = False


class TrainingState:
    """Model, optimizer and position, which change together or not at all.

    With the model goes how far it has drawn from its generator, if it has one: what a dropped batch
    has drawn is drawn again.

    Updates run in a worker thread, where no KeyboardInterrupt can split them; the position is one
    object, replaced by one assignment. So the state is whole whenever no update holds the lock.

    Parameters
    ----------
    model, optimizer : object
    clip_norm : float or None
    threads : int or None
    checkpoint : str, os.PathLike or None
        Where `save` writes, and `load` reads.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        clip_norm: float | None,
        threads: int | None,
        checkpoint: str | os.PathLike[str] | None,
    ) -> None:
        self.position = Position()
        self.saved_at = time.monotonic()
        self._model, self._optimizer, self._clip_norm = model, optimizer, clip_norm
        self._threads = threads
        self._path = checkpoint
        self._lock = threading.Lock()
        self._closed = False
        self._sampling = self._drawn()

    def update(self, batch: tuple[Any, ...], started: float) -> None:
        """Take one step on a batch of the epoch that began at `started` (time.perf_counter).

        Does nothing once the state is closed, not even at the end of a long computation.
        """
        if self._closed:
            return
        value, gradients = self._model.loss_and_grad(*batch[:2], **self._keywords(batch))
        value = float(value)
        position = self.position
        where = f"epoch {position.epoch + 1}, batch {position.batch + 1}"
        _check_finite("loss", value, where)
        for name, gradient in gradients.items():
            _check_finite(f"gradient of {name!r}", gradient, where)
        if self._clip_norm is not None:
            clip_by_norm(gradients, self._clip_norm)
        with self._lock:
            if self._closed:
                return
            self._optimizer.step(self._model.parameters(), gradients)
            self._sampling = self._drawn()
            self.position = position._replace(
                batch=position.batch + 1,
                loss_sum=position.loss_sum + value,
                seconds=time.perf_counter() - started,
            )

    def validate(self, batch: tuple[Any, ...]) -> float:
        """Return the loss on a validation batch."""
        value = float(self._model.loss(*batch[:2], **self._keywords(batch)))
        _check_finite("validation loss", value, f"epoch {self.position.epoch + 1}")
        return value

    def end_epoch(self, row: dict[str, Any], stopped: bool) -> None:
        """Add a row to the history and go on to the next epoch."""
        done = self.position
        self._sampling = self._drawn()
        self.position = Position(done.epoch + 1, rows=(*done.rows, row), stopped=stopped)

    def close(self) -> None:
        """Wait for an update that has begun, which is short; let no other one follow."""
        with self._lock:
            self._closed = True
        self._redraw(self._sampling)

    def save(self) -> None:
        """Write the checkpoint, if there is a path for it."""
        if self._path is None:
            return
        state, settings = self._optimizer.state()
        arrays = {_PARAMETER + name: w for name, w in self._model.parameters().items()}
        arrays |= {_OPTIMIZER + name: array for name, array in state.items()}
        metadata = {"kind": _KIND, "optimizer": settings, "position": self.position._asdict()}
        metadata["sampling"] = self._sampling
        save_arrays(self._path, arrays, metadata)
        self.saved_at = time.monotonic()

    def load(self) -> None:
        """Take over the checkpoint if there is one; if it does not fit, change nothing.

        Raises
        ------
        ValueError
            If the file is damaged, or belongs to something else.
        """
        if self._path is None or not os.path.exists(self._path):
            return
        arrays, metadata = load_arrays(self._path)
        if metadata.get("kind") != _KIND:
            raise ValueError(
                f"checkpoint: expected a file that fit wrote, got one of kind "
                f"{metadata.get('kind')!r}: {os.fspath(self._path)!r}"
            )
        parameters, sampling = self._model.parameters(), metadata.get("sampling", {})
        saved = _with_prefix(arrays, _PARAMETER)
        check_same("checkpoint", saved, "model", parameters)
        try:
            self._optimizer.restore(_with_prefix(arrays, _OPTIMIZER), metadata["optimizer"])
        except ValueError as error:
            raise ValueError(f"checkpoint, optimizer: {error}") from None
        self._redraw(sampling)
        self._sampling = sampling
        for name, array in saved.items():
            np.copyto(parameters[name], array)
        position = metadata["position"]
        self.position = Position(**position | {"rows": tuple(position["rows"])})

    def _drawn(self) -> dict[str, Any]:
        """Return how far a model that draws has drawn; of other models nothing."""
        return self._model.sampling() if hasattr(self._model, "sampling") else {}

    def _redraw(self, sampling: dict[str, Any]) -> None:
        """Let the model draw again from there."""
        if sampling:
            self._model.restore_sampling(sampling)

    def _keywords(self, batch: tuple[Any, ...]) -> dict[str, Any]:
        """Return the keyword arguments of the model's methods, those that are given."""
        given = dict(zip(("lengths", "weights"), batch[2:], strict=False))
        given["threads"] = self._threads
        return {name: value for name, value in given.items() if value is not None}


def _check_finite(name: str, value: Any, where: str) -> None:
    if not np.isfinite(value).all():
        got = f"got {value}" if isinstance(value, float) else "got NaN or infinity"
        raise FloatingPointError(
            f"{name}: expected finite values, {got} in {where}; the parameters are as before"
        )


def _with_prefix(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix, under the rest of their names."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
