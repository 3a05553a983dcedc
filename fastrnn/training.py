"""Training: `fit`, which shows progress, can be interrupted at any time and be resumed exactly."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastrnn.arrays import count
from fastrnn.batches import Batches
from fastrnn.checkpoint import check_path
from fastrnn.optimizer_base import check_number
from fastrnn.progress import Progress, open_progress
from fastrnn.schedules import PlateauSchedule
from fastrnn.training_state import TrainingState, best_epoch
from fastrnn.truncation import check_truncation
from fastrnn.worker import Worker

__all__ = ["History", "fit"]


@dataclass
class History:
    """What `fit` returns.

    Attributes
    ----------
    rows : list of dict
        One for each whole epoch: ``epoch`` (from 1), ``steps`` (updates in this epoch), ``loss``
        (mean over the epoch's updates, of the batch or chunk before each), ``validation`` (mean
        over the validation batches, or None) and ``seconds`` (of training and validation); with a
        schedule also its ``learning_rate``.
    interrupted : bool
        Whether Ctrl-C ended the training.
    best_epoch : int or None
        With `patience`, the epoch with the least validation loss; None without whole epochs.

    Examples
    --------
    >>> import fastrnn
    >>> fastrnn.History()
    History(rows=[], interrupted=False, best_epoch=None)
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    best_epoch: int | None = None


def fit(
    model: Any,
    data: Any,
    *,
    optimizer: Any,
    epochs: int,
    validation: Any = None,
    clip_norm: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = False,
    progress: bool | None = None,
    callback: Callable[[dict[str, Any]], Any] | None = None,
    threads: int | None = None,
    truncation: tuple[int, int] | None = None,
    schedule: Any = None,
    patience: int | None = None,
) -> History:
    """Train a model: for each batch the gradient of its mean loss, then one optimizer step.

    With `truncation`, for each chunk of each batch.

    Ctrl-C ends the training within moments, however long a batch takes: the batch or chunk in work
    is dropped, the model stays as after the last update, the checkpoint is written, and the history
    comes back with ``interrupted=True``. With ``resume=True`` the same call goes on from there and
    ends with the very bits of a run that was never interrupted, provided that `data` gives the
    same batches again (batches done before are taken from `data` and skipped).

    Parameters
    ----------
    model : SequenceModel
        Or anything with its ``parameters()``, ``loss_and_grad(x, targets)`` and
        ``loss(x, targets)``; ``lengths``, ``weights``, ``resets`` and ``threads`` are handed on by
        keyword where they are given, and ``training=True`` where `loss_and_grad` takes it.
    data : tuple, iterable or callable
        One batch ``(x, targets[, lengths[, weights[, resets]]])`` (None where not wanted), an
        iterable of such that starts anew in each epoch, or a callable that takes the epoch's number
        (from 1) and returns an iterable. A list holds batches; a tuple of arrays is one batch.
    optimizer : SGD, RMSProp, AdaGrad or Adam
    epochs : int
        In total, those before a resumption included.
    validation : tuple, iterable or callable, optional
        As `data`; its loss is computed after each epoch: the plain mean over its batches.
    clip_norm : float, optional
        Gradients are scaled down to this common norm, see `clip_by_norm`.
    checkpoint : str or os.PathLike, optional
        A .npz or .safetensors file that always holds a whole state: written after each epoch, on
        Ctrl-C, and within long epochs. An existing file is replaced.
    checkpoint_every : float, default 60.0
        Seconds after which the checkpoint is written within an epoch (between two updates).
    resume : bool, default False
        Start from the checkpoint if the file exists: parameters, the optimizer's state and
        hyperparameters, what the model draws next (and a Jordan body's `teacher_forcing`), the best
        parameters and the learning rate at the start where needed, position and history. A run
        that was complete, or that the callback stopped, returns its history at once.
    progress : bool, optional
        True: a bar on standard error, or one line per epoch without tqdm. False: nothing.
        None: as True where standard error is a terminal, else nothing.
    callback : callable, optional
        Called with a copy of each epoch's row, in the thread that called `fit`; a true result ends
        the training. It may change ``optimizer.learning_rate``, or ``model.body.teacher_forcing``
        of a Jordan body (scheduled sampling). An interruption inside of it lets
        a resumed run call it again for the same epoch.
    threads : int, optional
        Handed on to the model.
    truncation : (int, int), optional
        (k1, k2), k2 >= k1: truncated back-propagation through time (MATH.md section 5). Each batch
        is cut into chunks of k1 steps. An update follows each chunk: by the gradient of the mean
        loss of the chunk's valid steps, through the k2 steps that end with it. Their states go on
        from that of the windows before, and are those of the parameters after all updates so far.
        A chunk in which no step counts, by `lengths` or weights, makes no update. Only for a
        SequenceModel with a recurrent body and the readout "each". The validation is not cut.
    schedule : ConstantSchedule, StepSchedule, CosineSchedule or PlateauSchedule, optional
        Or anything with ``factor(epoch, rows)``: what the learning rate that the optimizer has at
        the start is multiplied by in that epoch (from 1), after the history's `rows` before it. It
        is set before each epoch: what else changes ``optimizer.learning_rate`` is overwritten.
    patience : int, optional
        Training ends after so many epochs without a smaller validation loss, and the model is left
        with the parameters of the epoch that had the smallest, also where `epochs` ended it first.
        An interrupted run is left with its last ones, to go on from.

    Returns
    -------
    History

    Raises
    ------
    FileNotFoundError
        If the checkpoint's folder does not exist.
    FloatingPointError
        If a loss or a gradient is not finite; the parameters are as before that update, and the
        checkpoint is an earlier one.
    ImportError
        If the checkpoint is a .safetensors file and safetensors is not installed.
    TypeError, ValueError
        If an argument is wrong, the data is empty or used up, or the checkpoint is damaged or
        belongs to another model or optimizer.

    Examples
    --------
    >>> import fastrnn, numpy as np
    >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 4, rng=0), 2, rng=0)
    >>> batch = np.ones((5, 2, 3), np.float32), np.zeros((5, 2), np.int64)
    >>> history = fastrnn.fit(model, batch, optimizer=fastrnn.Adam(0.1), epochs=3)
    >>> history.rows[2]["loss"] < history.rows[0]["loss"]
    True
    """
    _check_methods("model", model, ("parameters", "loss_and_grad", "loss"))
    _check_methods("optimizer", optimizer, ("step", "state", "restore"))
    stage = getattr(model, "staged", None)
    batches = Batches("data", data, stage)
    checks = None if validation is None else Batches("validation", validation, stage)
    count("epochs", epochs, at_least=0)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: expected a callable, got {type(callback).__name__}")
    if threads is not None:
        count("threads", threads)
    if clip_norm is not None:
        _check_positive("clip_norm", clip_norm)
    _check_positive("checkpoint_every", checkpoint_every)
    _check_checkpoint(checkpoint, resume)
    if truncation is not None:
        _check_methods("model", model, ("body", "readout"))
        truncation = check_truncation(truncation, model.body, model.readout)
    if schedule is not None:
        _check_methods("schedule", schedule, ("factor",))
        _check_methods("optimizer", optimizer, ("learning_rate",))
    if patience is not None:
        count("patience", patience)
    if checks is None and (patience is not None or isinstance(schedule, PlateauSchedule)):
        name = "schedule" if patience is None else "patience"
        raise ValueError(f"{name}, validation: expected validation data, got None")
    state = TrainingState(model, optimizer, clip_norm, threads, checkpoint, truncation)
    if resume:
        state.load(with_best=patience is not None)
    done = state.position
    per_epoch = batches.count()
    show = open_progress(progress, epochs, per_epoch, done.epoch * (per_epoch or 0) + done.batch)
    worker = Worker()
    loop = _Loop(state, worker, show, checkpoint_every, callback, schedule, patience)
    interrupted = False
    try:
        while state.position.epoch < epochs and not loop.ended():
            loop.epoch(batches, checks)
    except KeyboardInterrupt:
        interrupted = True
        state.close()
        state.save()
    finally:
        state.close()  # a batch that the worker was left with changes nothing any more
        worker.close()
        show.close()
    if patience is not None and not interrupted:
        state.take_best()
    rows = list(state.position.rows)
    return History(rows, interrupted, None if patience is None else best_epoch(rows))


@dataclass
class _Loop:
    """The part of `fit` that runs in the caller's thread."""

    state: TrainingState
    worker: Worker
    show: Progress
    checkpoint_every: float
    callback: Callable[[dict[str, Any]], Any] | None
    schedule: Any
    patience: int | None

    def ended(self) -> bool:
        """Return whether the training ends before the last epoch."""
        done = self.state.position
        if done.stopped or self.patience is None:
            return done.stopped
        return done.epoch - (best_epoch(done.rows) or 0) >= self.patience

    def epoch(self, batches: Batches, checks: Batches | None) -> None:
        """Do what is left of the epoch under way."""
        state = self.state
        number, skip = state.position.epoch + 1, state.position.batch
        started = time.perf_counter() - state.position.seconds
        if self.schedule is not None:
            state.set_rate(self.schedule)
        for batch in batches.epoch(number, skip):
            done = False
            while not done:
                done = self.worker.call(state.update, batch, started)
                if time.monotonic() - state.saved_at >= self.checkpoint_every:
                    state.save()
            self.show.batch(number, state.loss())
        row = {
            "epoch": number,
            "steps": state.position.updates,
            "loss": state.loss(),
            "validation": None if checks is None else self._validation(checks, number),
            "seconds": time.perf_counter() - started,
        }
        if self.schedule is not None:
            row["learning_rate"] = state.rate()
        best = state.copy_if_best(row) if self.patience is not None else None
        self.show.epoch(row)
        stopped = self.callback is not None and bool(self.callback(dict(row)))
        state.end_epoch(row, stopped, best)
        state.save()

    def _validation(self, checks: Batches, number: int) -> float:
        """Return the mean loss of the validation batches."""
        losses = [self.worker.call(self.state.validate, batch) for batch in checks.epoch(number)]
        return sum(losses) / len(losses)


def _check_methods(name: str, value: Any, methods: tuple[str, ...]) -> None:
    """Refuse what lacks a method, and a class where an instance is meant."""
    if isinstance(value, type) or not all(hasattr(value, method) for method in methods):
        got = repr(value) if isinstance(value, type | str) else type(value).__name__
        raise TypeError(f"{name}: expected an object with {', '.join(methods)}, got {got}")


def _check_positive(name: str, value: Any) -> None:
    """Refuse what is not a number above 0."""
    if not check_number(name, value) > 0:
        raise ValueError(f"{name}: expected a number above 0, got {value!r}")


def _check_checkpoint(checkpoint: str | os.PathLike[str] | None, resume: bool) -> None:
    """Refuse a checkpoint that could not be written after the first epoch."""
    if not isinstance(resume, bool):
        raise TypeError(f"resume: expected True or False, got {resume!r}")
    if checkpoint is None:
        if resume:
            raise ValueError("resume, checkpoint: expected a checkpoint to resume from, got None")
        return
    check_path("checkpoint", checkpoint)
    folder = os.path.dirname(os.path.realpath(os.fsdecode(checkpoint)))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"checkpoint: expected an existing folder, got {folder!r}")
