"""The public functions for arrays on a GPU: the same checks, then one kernel launcher.

Each takes what the function of its name takes, by position, and is called by it. Work is queued on
the stream of the first argument; nothing waits for it.
"""

from typing import Any, NamedTuple

import numpy as np

from fastrnn.arrays import choice, generator
from fastrnn.devices import DeviceArguments, kernel
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.feedback import FEEDBACKS
from fastrnn.results import ElmanGrads, ElmanState, JordanGrads, JordanState, LinearGrads, Loss

__all__ = [
    "check_z",
    "elman_backward",
    "elman_forward",
    "jordan_backward",
    "jordan_forward",
    "linear_backward",
    "linear_forward",
    "loss",
    "predict",
    "read",
    "read_backward",
]

_LOSSES = {
    "softmax": "softmax_cross_entropy",
    "sigmoid": "sigmoid_cross_entropy",
    "squared": "squared_error",
}


def elman_forward(
    x: Any, U: Any, W: Any, b: Any, h0: Any, lengths: Any, activation: str, resets: Any,
    **only_cpu: Any,
) -> ElmanState:  # fmt: skip
    """See `fastrnn.elman_forward`."""
    args = DeviceArguments("x", x, **only_cpu)
    x = args.inputs("x", x)
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m m")
    b = args.floats("b", b, "m")
    h0 = args.optional("h0", h0, "B m")
    resets = args.marks("resets", resets, "T B")
    lengths = args.lengths(lengths)
    activation = choice("activation", activation, ACTIVATIONS)
    buffers = args.empty("T B m"), args.empty("B m"), None
    return args.run("elman.elman_forward", x, U, W, b, h0, lengths, activation, *buffers, resets)


def elman_backward(
    dh: Any, x: Any, h: Any, U: Any, W: Any, h0: Any, dh_last: Any, lengths: Any, activation: str,
    resets: Any, **only_cpu: Any,
) -> ElmanGrads:  # fmt: skip
    """See `fastrnn.elman_backward`."""
    args = DeviceArguments("dh", dh, **only_cpu)
    dh = args.floats("dh", dh, "T B m")
    x = args.inputs("x", x)
    h = args.floats("h", h, "T B m")
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m m")
    h0 = args.optional("h0", h0, "B m")
    resets = args.marks("resets", resets, "T B")
    dh_last = args.optional("dh_last", dh_last, "B m")
    lengths = args.lengths(lengths)
    activation = choice("activation", activation, ACTIVATIONS)
    dx = args.empty("T B p") if x.ndim == 3 else None
    buffers = dx, args.empty("m p"), args.empty("m m"), args.empty("m"), args.empty("B m"), None
    return args.run(
        "elman.elman_backward", dh, x, h, U, W, h0, dh_last, lengths, activation, *buffers, resets
    )


def linear_forward(h: Any, V: Any, c: Any, lengths: Any) -> Any:
    """See `fastrnn.linear.linear_forward`."""
    args = DeviceArguments("h", h)
    h = args.floats("h", h, "T B m")
    V, c = args.floats("V", V, "q m"), args.floats("c", c, "q")
    return args.run("linear.linear_forward", h, V, c, args.lengths(lengths), args.empty("T B q"))


def linear_backward(do: Any, h: Any, V: Any, lengths: Any) -> LinearGrads:
    """See `fastrnn.linear.linear_backward`."""
    args = DeviceArguments("do", do)
    do = args.floats("do", do, "T B q")
    h = args.floats("h", h, "T B m")
    V = args.floats("V", V, "q m")
    buffers = args.empty("T B m"), args.empty("q m"), args.empty("q")
    return args.run("linear.linear_backward", do, h, V, args.lengths(lengths), *buffers)


def read(readout: str, h: Any, lengths: Any) -> tuple[Any, Any]:
    """See `fastrnn.readout.read`; `lengths` may be None."""
    args = DeviceArguments("h", h)
    h = args.floats("h", h, "T B m")
    return args.run("readout.read", readout, h, _known_lengths(args, lengths))


def read_backward(readout: str, d_read: Any, h: Any, lengths: Any) -> Any:
    """See `fastrnn.readout.read_backward`; `lengths` may be None."""
    args = DeviceArguments("h", h)
    h, d_read = args.floats("h", h, "T B m"), args.floats("d_read", d_read, "one B m")
    return args.run("readout.read_backward", readout, d_read, h, _known_lengths(args, lengths))


def _known_lengths(args: DeviceArguments, lengths: Any) -> Any:
    if lengths is not None:
        return args.lengths(lengths)
    T, B = args.shape("T B")
    made = kernel("launching.empty")((B,), np.int64, args.stream)
    kernel("launching.fill")(made, T)
    return made


def predict(kind: str, o: Any, lengths: Any) -> Any:
    """Return what a model of this loss predicts, in place of its outputs."""
    args = DeviceArguments("o", o)
    o = args.floats("o", o, "T B q")
    return args.run(f"losses.{kind}", o, args.lengths(lengths), o)


def jordan_forward(
    x: Any, U: Any, W: Any, b: Any, V: Any, c: Any, y: Any, z0: Any, lengths: Any, activation: str,
    feedback: str, rng: Any, forced: Any, resets: Any, **only_cpu: Any,
) -> JordanState:  # fmt: skip
    """See `fastrnn.jordan_forward`."""
    args = DeviceArguments("x", x, **only_cpu)
    x = args.inputs("x", x)
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m q")
    b = args.floats("b", b, "m")
    V = args.floats("V", V, "q m")
    c = args.floats("c", c, "q")
    fed = _fed(args, y, z0, lengths, forced, resets)
    activation = choice("activation", activation, ACTIVATIONS)
    draws = None
    if choice("feedback", feedback, FEEDBACKS) == "sample":
        draws = args.copied(generator("rng", rng).random(args.shape("T B")))
    buffers = args.empty("T B m"), args.empty("T B q"), args.empty("T B q"), None
    return args.run(
        "jordan.jordan_forward", x, U, W, b, V, c, fed.y, fed.z0, fed.lengths, activation, feedback,
        fed.forced, draws, *buffers, fed.resets,
    )  # fmt: skip


def jordan_backward(
    do: Any, x: Any, h: Any, o: Any, U: Any, W: Any, V: Any, y: Any, z: Any, z0: Any, lengths: Any,
    activation: str, feedback: str, forced: Any, resets: Any, **only_cpu: Any,
) -> JordanGrads:  # fmt: skip
    """See `fastrnn.jordan_backward`."""
    args = DeviceArguments("do", do, **only_cpu)
    do = args.floats("do", do, "T B q")
    x = args.inputs("x", x)
    h = args.floats("h", h, "T B m")
    o = args.floats("o", o, "T B q")
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m q")
    V = args.floats("V", V, "q m")
    z = args.optional("z", z, "T B q")
    fed = _fed(args, y, z0, lengths, forced, resets)
    activation = choice("activation", activation, ACTIVATIONS)
    check_z(choice("feedback", feedback, FEEDBACKS), z, y, forced)
    shapes = "m p", "m q", "m", "q m", "q", "B q"
    buffers = args.empty("T B p") if x.ndim == 3 else None, *map(args.empty, shapes)
    return args.run(
        "jordan.jordan_backward", do, x, h, o, U, W, V, fed.y, z, fed.z0, fed.lengths, activation,
        feedback, fed.forced, *buffers, None, fed.resets,
    )  # fmt: skip


def check_z(feedback: str, z: Any, y: Any, forced: Any) -> None:
    """Raise where z, what each step was fed, is needed and is None."""
    if z is None and feedback in ("argmax", "sample") and (y is None or forced is not None):
        raise ValueError(
            f"z: expected what jordan_forward returned, with feedback {feedback!r}, got None"
        )


class _Fed(NamedTuple):
    """What says what each step is fed; None where it was not given."""

    y: Any
    z0: Any
    lengths: Any
    forced: Any
    resets: Any


def _fed(args: DeviceArguments, y: Any, z0: Any, lengths: Any, forced: Any, resets: Any) -> _Fed:
    if y is None and forced is not None:
        raise ValueError("forced: expected None without y, got an array")
    return _Fed(
        None if y is None else args.inputs("y", y, "T B q", "classes"),
        args.optional("z0", z0, "B q"),
        args.lengths(lengths),
        args.marks("forced", forced, "T B"),
        args.marks("resets", resets, "T B"),
    )


def loss(kind: str, o: Any, targets: Any, lengths: Any, weights: Any, reduction: str) -> Loss:
    """Return the value, (1,) on the GPU, and its gradient in o; see `fastrnn.losses`."""
    args = DeviceArguments("o", o)
    o = args.floats("o", o, "T B q")
    lengths = args.lengths(lengths)
    targets = loss_targets(args, kind, targets)
    weights = args.weights("weights", weights, "T B")
    reduction = choice("reduction", reduction, ("sum", "mean"))
    return args.run(*loss_call(args, kind, o, targets, lengths, weights, reduction))


def loss_targets(args: DeviceArguments, kind: str, targets: Any, axes: str = "T B") -> Any:
    """Return the targets of a loss: classes, or floats of the call's dtype."""
    if kind == "softmax":
        return args.integers("targets", targets, axes)
    return args.floats("targets", targets, axes + " q")


def loss_call(
    args: DeviceArguments, kind: str, o: Any, targets: Any, lengths: Any, weights: Any,
    reduction: str,
) -> tuple[Any, ...]:  # fmt: skip
    """Return what `DeviceArguments.run` takes for a loss of checked arrays."""
    if reduction == "mean":
        weights = kernel("means.mean_weights")(o.shape[:2], weights, lengths, args.stream)
    return f"losses.{_LOSSES[kind]}", o, targets, lengths, weights, args.empty("T B q")
