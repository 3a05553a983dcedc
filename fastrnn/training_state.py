"""The state of a training run: what an update changes, what a checkpoint holds."""

import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn.bodies import takes
from fastrnn.checkpoint import load_arrays, save_arrays
from fastrnn.devices import on_gpu, on_host, overwrite
from fastrnn.optimizer_base import check_number, check_same
from fastrnn.optimizers import clip_by_norm
from fastrnn.truncation import Chunks

__all__ = ["Position", "TrainingState", "best_epoch"]

_KIND = "fastrnn training"
_PARAMETER, _OPTIMIZER, _CARRIED = "parameter/", "optimizer/", "carried/"
_BEST = "best/"


class Position(NamedTuple):
    """How far a run has come.

    Attributes
    ----------
    epoch : int
        Whole epochs done.
    batch : int
        Whole batches done in the epoch after these.
    chunk : int
        Chunks done of the batch after these; always 0 without truncation.
    carried : dict
        What the next chunk's window begins with.
    updates : int
        Updates done in that epoch.
    loss_sum, seconds : float
        Sum of the losses, and time spent, in that epoch so far.
    rows : tuple of dict
        The history.
    stopped : bool
        Whether the callback ended the training.
    start_rate : float or None
        The optimizer's learning rate at the start, where a schedule changes it.
    """

    epoch: int = 0
    batch: int = 0
    chunk: int = 0
    carried: dict[str, Any] = {}  # noqa: RUF012 (never written to)
    updates: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    rows: tuple[dict[str, Any], ...] = ()
    stopped: bool = False
    start_rate: float | None = None


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
    truncation : (int, int) or None
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        clip_norm: float | None,
        threads: int | None,
        checkpoint: str | os.PathLike[str] | None,
        truncation: tuple[int, int] | None = None,
    ) -> None:
        self.position = Position()
        self.saved_at = time.monotonic()
        self._model, self._optimizer, self._clip_norm = model, optimizer, clip_norm
        self._threads, self._truncation = threads, truncation
        self._chunks: Chunks | None = None  # of the batch under way
        self._path = checkpoint
        self._lock = threading.Lock()
        self._closed = False
        self._sampling = self._drawn()
        self._mode = {"training": True} if takes(model.loss_and_grad, "training") else {}
        self._best: dict[str, np.ndarray] = {}  # parameters of the epoch with the best validation

    def update(self, batch: tuple[Any, ...], started: float) -> bool:
        """Take one step on a batch, or on its next chunk; return whether the batch is done.

        Of the epoch that began at `started` (time.perf_counter). Does nothing once the state is
        closed, not even at the end of a long computation.
        """
        if self._closed:
            return True
        carried: dict[str, Any] = {}
        done = counts = True
        if self._truncation is None:
            given = self._keywords(batch) | self._mode
            value, gradients = self._model.loss_and_grad(*batch[:2], **given)
        else:
            chunks = self._chunks_of(batch)
            value, gradients, carried = chunks.run(self.position.chunk, self.position.carried)
            done, counts = self.position.chunk + 1 == chunks.count, bool(gradients)
        value = float(value)
        self._check(value, gradients)
        if self._clip_norm is not None and counts:
            clip_by_norm(gradients, self._clip_norm)
        position = self.position
        with self._lock:
            if self._closed:
                return True
            if counts:
                self._optimizer.step(self._model.parameters(), gradients)
            self._sampling = self._drawn()
            self.position = position._replace(
                batch=position.batch + done,
                chunk=0 if done else position.chunk + 1,
                carried=carried,
                updates=position.updates + counts,
                loss_sum=position.loss_sum + value,
                seconds=time.perf_counter() - started,
            )
        if done:
            self._chunks = None
        return done

    def _chunks_of(self, batch: tuple[Any, ...]) -> Chunks:
        """Return the chunks of the batch under way, cut at its first one or after a resumption."""
        if self._chunks is None:
            cut = {"truncation": self._truncation, **self._keywords(batch), **self._mode}
            self._chunks = Chunks(self._model, *batch[:2], **cut)
            if self.position.chunk >= self._chunks.count:
                raise ValueError(
                    f"data: expected the batch that was interrupted after chunk "
                    f"{self.position.chunk}, got one of {self._chunks.count} chunks"
                )
        return self._chunks

    def _check(self, value: float, gradients: dict[str, Any]) -> None:
        """Refuse a loss or a gradient that is not finite."""
        position = self.position
        where = f"epoch {position.epoch + 1}, batch {position.batch + 1}"
        if self._truncation is not None:
            where += f", chunk {position.chunk + 1}"
        _check_finite("loss", value, where)
        if any(map(on_gpu, gradients.values())) and np.isfinite(clip_by_norm(gradients, math.inf)):
            return  # looked at together, on the GPU
        for name, gradient in gradients.items():
            _check_finite(f"gradient of {name!r}", gradient, where)

    def loss(self) -> float:
        """Return the mean loss of the updates of the epoch under way; 0 where there is none."""
        return self.position.loss_sum / max(1, self.position.updates)

    def validate(self, batch: tuple[Any, ...]) -> float:
        """Return the loss on a validation batch."""
        value = float(self._model.loss(*batch[:2], **self._keywords(batch)))
        _check_finite("validation loss", value, f"epoch {self.position.epoch + 1}")
        return value

    def set_rate(self, schedule: Any) -> None:
        """Give the optimizer the learning rate of the epoch under way."""
        done, rate = self.position, self.position.start_rate
        if rate is None:
            rate = self.rate()
            self.position = done._replace(start_rate=rate)
        factor = check_number("schedule", schedule.factor(done.epoch + 1, done.rows))
        if not 0 <= factor < math.inf:
            raise ValueError(f"schedule: expected a finite factor >= 0, got {factor}")
        self._optimizer.learning_rate = rate * factor

    def rate(self) -> float:
        """Return the optimizer's learning rate."""
        return float(self._optimizer.learning_rate)

    def copy_if_best(self, row: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """Return a copy of the parameters if a row's validation is better than all before it."""
        rows = (*self.position.rows, row)
        if best_epoch(rows) != len(rows):
            return None
        return {name: np.array(on_host(w)) for name, w in self._model.parameters().items()}

    def take_best(self) -> None:
        """Give the model the parameters of the epoch with the best validation, if there is one."""
        parameters = self._model.parameters()
        for name, array in self._best.items():
            overwrite(parameters[name], array)

    def end_epoch(
        self, row: dict[str, Any], stopped: bool, best: dict[str, np.ndarray] | None
    ) -> None:
        """Add a row to the history, whose parameters may be the `best`; go on to the next epoch."""
        done = self.position
        self._sampling = self._drawn()
        if best is not None:
            self._best = best
        self.position = Position(
            done.epoch + 1, rows=(*done.rows, row), stopped=stopped, start_rate=done.start_rate
        )

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
        arrays = {_PARAMETER + name: on_host(w) for name, w in self._model.parameters().items()}
        arrays |= {_OPTIMIZER + name: array for name, array in state.items()}
        arrays |= {_BEST + name: array for name, array in self._best.items()}
        position = self.position._asdict()
        position["carried"] = _without_arrays(position["carried"], _CARRIED, arrays)
        metadata = {"kind": _KIND, "optimizer": settings, "position": position}
        metadata |= {"truncation": self._truncation, "sampling": self._sampling}
        save_arrays(self._path, arrays, metadata)
        self.saved_at = time.monotonic()

    def load(self, with_best: bool = False) -> None:
        """Take over the checkpoint if there is one; if it does not fit, change nothing.

        Parameters
        ----------
        with_best : bool
            Whether the parameters of the best epoch are needed, if there were epochs.

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
        position, used = metadata["position"], metadata.get("truncation")
        if position.get("chunk") and used != (self._truncation and list(self._truncation)):
            raise ValueError(
                f"checkpoint, truncation: expected {used} to the end of the batch that was "
                f"interrupted, got {self._truncation}"
            )
        parameters, sampling = self._model.parameters(), metadata.get("sampling", {})
        saved = _with_prefix(arrays, _PARAMETER)
        check_same("checkpoint", saved, "model", parameters)
        best = _with_prefix(arrays, _BEST) if with_best else {}
        if with_best and position["rows"]:
            if not best:
                raise ValueError(
                    "checkpoint, patience: expected None, as in the run so far, got a number"
                )
            check_same("checkpoint", best, "model", parameters)
        try:
            self._optimizer.restore(_with_prefix(arrays, _OPTIMIZER), metadata["optimizer"])
        except ValueError as error:
            raise ValueError(f"checkpoint, optimizer: {error}") from None
        self._redraw(sampling)
        self._sampling, self._best = sampling, best
        for name, array in saved.items():
            overwrite(parameters[name], array)
        more = {"rows": tuple(position["rows"])}
        more["carried"] = _with_arrays(position.get("carried", {}), arrays)
        self.position = Position(**position | more)

    def _drawn(self) -> dict[str, Any]:
        """Return how far a model that draws has drawn; of other models nothing."""
        return self._model.sampling() if hasattr(self._model, "sampling") else {}

    def _redraw(self, sampling: dict[str, Any]) -> None:
        """Let the model draw again from there."""
        if sampling:
            self._model.restore_sampling(sampling)

    def _keywords(self, batch: tuple[Any, ...]) -> dict[str, Any]:
        """Return the keyword arguments of the model's methods, those that are given."""
        given = dict(zip(("lengths", "weights", "resets"), batch[2:], strict=False))
        given["threads"] = self._threads
        return {name: value for name, value in given.items() if value is not None}


def best_epoch(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the first epoch (from 1) with the least validation loss; None without rows."""
    losses = [row["validation"] for row in rows]
    return losses.index(min(losses)) + 1 if losses else None


def _check_finite(name: str, value: Any, where: str) -> None:
    if not np.isfinite(on_host(value)).all():
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


def _without_arrays(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return what a body carries for JSON: names in place of arrays, which go into `arrays`."""
    if isinstance(value, dict):
        return {key: _without_arrays(part, f"{name}{key}/", arrays) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_without_arrays(part, f"{name}{i}/", arrays) for i, part in enumerate(value)]
    if value is None:
        return None
    arrays[name] = value
    return name


def _with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return what `_without_arrays` was given."""
    if isinstance(value, dict):
        return {key: _with_arrays(part, arrays) for key, part in value.items()}
    if isinstance(value, list):
        return tuple(_with_arrays(part, arrays) for part in value)
    return None if value is None else arrays[value]
