"""Models over a body that gives the outputs itself and is fed them back (Jordan).

What is fed back stands for a target: fed back is what the model predicts, and in its place, where a
step is forced, the target.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn import device_model
from fastrnn.arrays import Arguments, as_array
from fastrnn.devices import on_gpu
from fastrnn.losses import LOSSES, check_weights, reduction_weights
from fastrnn.results import Loss

__all__ = ["check_fed_model", "fed_forward", "fed_loss", "forced_steps"]

# The feedbacks whose results are of the same kind as a loss's targets.
_FEEDBACKS = {
    "softmax": ("softmax", "argmax", "sample"),
    "sigmoid": ("sigmoid",),
    "squared": ("identity",),
}


def check_fed_model(body: Any, output_size: int | None, loss: str, readout: str) -> None:
    """Refuse what a model with an output layer of its own could do, and this one cannot."""
    q = body.output_size
    if output_size is not None and output_size != q:
        raise ValueError(
            f"body, output_size: expected None, or {q} as in body, which gives the outputs, "
            f"got {output_size!r}"
        )
    if readout != "each":
        raise ValueError(
            f"readout: expected 'each' with a body of kind {body.kind!r}, which is fed a target at "
            f"each step, got {readout!r}"
        )
    if body.teacher_forcing > 0:
        _check_feedback(body, loss)


def fed_forward(
    body: Any,
    loss: str,
    x: ArrayLike,
    y: ArrayLike | None,
    lengths: ArrayLike | None,
    threads: int | None,
    more: dict[str, Any],
) -> Any:
    """Return the body's state, fed from y at every step, or running free without y.

    `more` are further arguments of its `forward`.
    """
    if y is None:
        return body.forward(x, lengths=lengths, threads=threads, **more)
    _check_feedback(body, loss)
    if on_gpu(x):
        return device_model.fed_forward(body, x, y, lengths, threads, more)
    args, x = _arguments(body, x)
    y = _check_targets(args, loss, y)
    forced = np.ones(args.shape("T B"), np.bool_)
    return body.forward(x, y=y, forced=forced, lengths=lengths, threads=threads, **more)


def fed_loss(
    body: Any,
    loss: str,
    x: ArrayLike,
    targets: ArrayLike,
    lengths: ArrayLike | None,
    weights: ArrayLike | None,
    reduction: str,
    forced: ArrayLike | None,
    threads: int | None,
    more: dict[str, Any],
) -> tuple[Loss, Any]:
    """Return the loss with its gradient in o, and the body's state; the targets are fed."""
    if on_gpu(x):
        if forced is not False and (body.teacher_forcing > 0 or forced is not None):
            _check_feedback(body, loss)
        return device_model.fed_loss(
            body, loss, x, targets, lengths, weights, reduction, forced, threads, more
        )
    kind = LOSSES[loss]
    args, x = _arguments(body, x)
    valid = args.lengths(lengths)
    targets = kind.check_targets(args, targets, valid)
    forced = forced_steps(args, forced)
    if body.teacher_forcing > 0 if forced is None else forced.any():
        _check_feedback(body, loss)
    weights = reduction_weights(reduction, check_weights(args, weights), valid)
    state = body.forward(x, y=targets, forced=forced, lengths=valid, threads=threads, **more)
    return kind.kernel(state.o, targets, valid, weights), state


def forced_steps(args: Arguments, forced: ArrayLike | None) -> NDArray[np.bool_] | None:
    """Return which steps (T, B) are fed their target; None where the body is to draw them."""
    if forced is None:
        return None
    if isinstance(forced, bool | np.bool_):
        return np.full(args.shape("T B"), forced)
    return args.booleans("forced", forced, "T B")


def _check_feedback(body: Any, loss: str) -> None:
    """Refuse a feedback in whose place the loss's targets cannot stand."""
    if body.feedback not in _FEEDBACKS[loss]:
        raise ValueError(
            f"body, loss: expected feedback {' or '.join(map(repr, _FEEDBACKS[loss]))}, in whose "
            f"place targets of the loss {loss!r} can be fed, or teacher_forcing 0, got feedback "
            f"{body.feedback!r}"
        )


def _arguments(body: Any, x: ArrayLike) -> tuple[Arguments, NDArray[Any]]:
    sizes = {"p": (body.input_size, "input_size"), "q": (body.output_size, "output_size")}
    args = Arguments(sizes, body.dtype)
    return args, args.inputs("x", x)


def _check_targets(args: Arguments, loss: str, y: ArrayLike) -> NDArray[Any]:
    """Return y as what the body is fed: classes, or floats; labels may be integers or bool."""
    if loss == "softmax":
        return args.integers("y", y, "T B")
    array = as_array("y", y)
    if loss == "sigmoid" and array.dtype.kind in "biu":
        array = array.astype(args.dtype)
    return args.floats("y", array, "T B q")
