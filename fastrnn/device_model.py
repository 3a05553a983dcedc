"""What a `SequenceModel` on a GPU does in another way than one in CPU memory.

Its passes are made of the same functions, which see for themselves where their arrays live. What is
here are the targets beside the output frames, what a Jordan body is fed, and the data of `fit`.
"""

from typing import Any

import numpy as np

from fastrnn.arrays import Arguments
from fastrnn.device_functions import loss_call, loss_targets
from fastrnn.devices import DeviceArguments, kernel, on_gpu
from fastrnn.linear import linear_forward
from fastrnn.losses import LOSSES, check_weights
from fastrnn.results import Loss

__all__ = ["fed_forward", "fed_loss", "frame_loss", "staged"]


def frame_loss(
    model: Any, seen: Any, seen_lengths: Any, x: Any, targets: Any, lengths: Any, weights: Any,
    reduction: str,
) -> tuple[Loss, Any]:  # fmt: skip
    """Return the loss of the frames that the output layer sees, and how many have a target."""
    each = model.readout == "each"
    T, B = x.shape[:2] if each else seen.shape[:2]
    sizes = {"T": (T, "x"), "B": (B, "x"), "q": (model.output_size, "output_size")}
    args = DeviceArguments("x", seen, sizes=sizes, dtype=model.dtype)
    axes = "T B" if each else "B"
    targets = loss_targets(args, model.loss_kind, targets, axes)
    weights = args.weights("weights", weights, axes)
    count, frames = seen.shape[0], model.body.frames()
    if not each:
        targets = targets.reshape((1, *targets.shape))
        weights = None if weights is None else weights.reshape((1, B))
    elif frames != (0, 1) or count != T:
        lengths, counts = args.lengths(lengths), args.lengths(seen_lengths)
        seen_lengths = kernel("frames.frame_lengths")(frames, T, lengths, counts)
        targets = kernel("frames.take_steps")(frames, count, targets)
        weights = kernel("frames.frame_weights")(frames, (count, B), weights, args.stream)
    o = linear_forward(seen, model.V, model.c, seen_lengths, None)
    return device_loss(model.loss_kind, o, targets, seen_lengths, weights, reduction), seen_lengths


def device_loss(
    kind: str, o: Any, targets: Any, lengths: Any, weights: Any, reduction: str
) -> Loss:
    """Return the loss of outputs and what stands beside them, all checked."""
    args = DeviceArguments("o", o)
    o, lengths = args.floats("o", o, "T B q"), args.lengths(lengths)
    return args.run(*loss_call(args, kind, o, targets, lengths, weights, reduction))


def fed_forward(
    body: Any, x: Any, y: Any, lengths: Any, threads: int | None, more: dict[str, Any]
) -> Any:
    """As `fastrnn.output_feedback.fed_forward` with y: the state of a body fed at every step."""
    args = _arguments(body, x)
    args.inputs("x", x)
    return body.forward(x, y=y, forced=_all(args, body), lengths=lengths, threads=threads, **more)


def fed_loss(
    body: Any, kind: str, x: Any, targets: Any, lengths: Any, weights: Any, reduction: str,
    forced: Any, threads: int | None, more: dict[str, Any],
) -> tuple[Loss, Any]:  # fmt: skip
    """As `fastrnn.output_feedback.fed_loss`: the loss, and the state of a body fed its targets."""
    args = _arguments(body, x)
    args.inputs("x", x)
    lengths = args.lengths(lengths)
    targets = loss_targets(args, kind, targets)
    weights = args.weights("weights", weights, "T B")
    fed = {"y": targets, "forced": forced}
    if isinstance(forced, bool | np.bool_):
        fed = {"y": targets, "forced": _all(args, body)} if forced else {}
    state = body.forward(x, lengths=lengths, threads=threads, **fed, **more)
    return device_loss(kind, state.o, targets, lengths, weights, reduction), state


def _arguments(body: Any, x: Any) -> DeviceArguments:
    sizes = {"p": (body.input_size, "input_size"), "q": (body.output_size, "output_size")}
    return DeviceArguments("x", x, sizes=sizes, dtype=body.dtype)


def _all(args: DeviceArguments, body: Any) -> Any:
    """Return which steps are fed, all of them; None where the body would not draw them anyway."""
    if body.teacher_forcing == 1:
        return None
    return args.copied(np.ones(args.shape("T B"), np.bool_))


def staged(model: Any, batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a batch of `fit` with its arrays on the GPU, checked before they are copied there.

    A batch that is there already is returned as it is.
    """
    x, targets, lengths, weights, resets = (*batch, None, None, None)[:5]
    if on_gpu(x):
        return batch
    sizes = {
        "p": (model.body.input_size, "input_size"), "q": (model.output_size, "output_size"),
    }  # fmt: skip
    args = Arguments(sizes, model.dtype)
    x = args.inputs("x", x)
    valid = args.lengths(lengths)
    if x.ndim == 2:
        args.in_range("x", x, model.body.input_size, valid)
    axes = "T B" if model.readout == "each" else "B"
    targets = LOSSES[model.loss_kind].check_targets(args, targets, valid, axes)
    given = [x, targets, None if lengths is None else valid]
    given.append(None if weights is None else check_weights(args, weights, axes))
    given.append(None if resets is None else args.booleans("resets", resets, "T B"))
    copy = kernel("launching.copy_to_device")
    return tuple(None if array is None else copy(array) for array in given)
