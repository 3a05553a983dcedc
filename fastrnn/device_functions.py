"""The public functions for arrays on a GPU: the same checks, then one kernel launcher.

Each takes what the function of its name takes, by position, and is called by it. Work is queued on
the stream of the first argument; nothing waits for it.
"""

from typing import Any

from fastrnn.arrays import choice
from fastrnn.devices import DeviceArguments
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.feedback import FEEDBACKS
from fastrnn.results import ElmanGrads, ElmanState, JordanGrads, JordanState, LinearGrads

__all__ = [
    "elman_backward",
    "elman_forward",
    "jordan_backward",
    "jordan_forward",
    "linear_backward",
    "linear_forward",
]


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
    return args.run(
        "elman.elman_forward", x, U, W, b, h0, lengths, activation, *buffers, resets
    )


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
