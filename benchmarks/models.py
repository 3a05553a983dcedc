"""What the suite calls of layers and models: updates of all parameters, steps of a stream."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks import yardstick
from benchmarks.calls import arrays, exact, public
from benchmarks.peers.inputs import Inputs
from benchmarks.shapes import SHAPES, TOLERANCES

__all__ = ["BODIES", "build_model", "stream_step", "training_data", "update"]

BODIES = ("elman", "tdnn")
_RATE = 1e-3
_CLASSES = 10


@dataclass(frozen=True)
class _Body:
    shape: str
    names: dict[str, str]
    """The model's parameter for each array of the inputs."""


_PLANS = {
    "elman": _Body("batch", {"U": "U", "W": "W", "b": "b", "V": "V", "c": "c"}),
    "tdnn": _Body("tdnn", {"W": "W0", "b": "b0", "V": "V", "c": "c"}),
}


def build_model(body: str, shape: str, dtype: str) -> Any:
    """Return an untrained `SequenceModel` of the sizes of a shape."""
    case = SHAPES[shape]
    layer = (
        public("fastrnn.Elman")(case.p, case.m, dtype=dtype, rng=0)
        if body == "elman"
        else public("tdnn.TDNN")(
            case.p, [(case.m, case.offsets)], padding="valid", dtype=dtype, rng=0
        )
    )
    return public("fastrnn.SequenceModel")(layer, case.q or _CLASSES, rng=0)


def training_data(body: str, dtype: str) -> tuple[Inputs, Any]:
    """Return the weights and inputs of an update, and the targets (T, B)."""
    a, case = arrays(_PLANS[body].shape, dtype), SHAPES[_PLANS[body].shape]
    rng, q = np.random.default_rng(3), case.q or _CLASSES
    if a.V is None:
        a.V = (case.m**-0.5 * rng.standard_normal((q, case.m))).astype(dtype)
        a.c = (0.1 * rng.standard_normal(q)).astype(dtype)
    return a, rng.integers(0, q, a.x.shape[:2])


@cache
def update(body: str, dtype: str, threads: int = 1) -> Callable[[], Any]:
    """Return one update by Adam, made once already and its results found right."""
    plan = _PLANS[body]
    a, targets = training_data(body, dtype)
    model, optimizer = build_model(body, plan.shape, dtype), public("fastrnn.Adam")(_RATE)
    parameters = model.parameters()
    for array, name in plan.names.items():
        parameters[name][...] = getattr(a, array)

    def run() -> Any:
        loss, gradients = model.loss_and_grad(a.x, targets, threads=threads)
        optimizer.step(parameters, gradients)
        return loss, gradients

    e = exact(a)
    loss, expected = _loss_and_grad(body, e, targets)
    got, gradients = run()
    tolerance = TOLERANCES[dtype]
    yardstick.largest_error(
        {"loss": got, **{name: gradients[plan.names[name]] for name in expected}},
        {"loss": loss, **expected},
        tolerance,
    )
    # Adam's first step: the rate along each gradient's sign. It is compared as the parameter it
    # leads to, where the step is a hundredth and more.
    stepped = {
        name: getattr(e, name) - _RATE * d / (np.abs(d) + 1e-8) for name, d in expected.items()
    }
    yardstick.largest_error(
        {name: parameters[plan.names[name]] for name in expected}, stepped, 1e-4
    )
    return run


def _loss_and_grad(body: str, e: Inputs, targets: Any) -> tuple[float, dict[str, Any]]:
    """Return the mean loss and the gradients by the names of the inputs, in float64."""
    states: Any = None
    if body == "elman":
        states, _ = yardstick.elman(e.x, e.U, e.W, e.b, np.zeros_like(e.h0))
        h = states[1:]
    else:
        offsets = SHAPES[_PLANS[body].shape].offsets
        h = yardstick.tdnn(e.x, e.W, e.b, offsets)
        targets = targets[-min(offsets) :][: len(h)]
    loss, do = yardstick.cross_entropy(h @ e.V.T + e.c, targets)
    do /= targets.size
    output = {"V": yardstick.outer(do, h), "c": do.sum((0, 1))}
    if body == "elman":
        inner = yardstick.elman_backward(do @ e.V, e.x, states, e.U, e.W)
        names = ("U", "W", "b")
    else:
        inner = yardstick.tdnn_backward(do @ e.V, e.x, h, e.W, offsets)
        names = ("W", "b")
    return loss / targets.size, {**{name: inner[f"d{name}"] for name in names}, **output}


@cache
def stream_step(body: str, dtype: str) -> Callable[[], Any]:
    """Return one step of one sequence, after five steps found right."""
    shape = "one" if body == "elman" else "tdnn"
    case, a = SHAPES[shape], arrays(shape, dtype)
    frames = np.ascontiguousarray(a.x[:5, :1])
    e = exact(a)
    wide = frames.astype(np.float64)
    if body == "elman":
        layer = public("fastrnn.Elman")(case.p, case.m, dtype=dtype, rng=0)
        layer.U[...], layer.W[...], layer.b[...] = a.U, a.W, a.b
        expected = yardstick.elman(wide, e.U, e.W, e.b, np.zeros((1, case.m)))[1]
    else:
        offsets = tuple(offset - max(case.offsets) for offset in case.offsets)
        layer = public("tdnn.TDNN")(
            case.p, [(case.m, offsets)], padding="causal", dtype=dtype, rng=0
        )
        for name, array in zip(("W0", "b0"), (a.W, a.b), strict=True):
            layer.parameters()[name][...] = array
        expected = yardstick.tdnn(wide, e.W, e.b, offsets)[-1]
    stream = layer.stream()
    for x_t in frames:
        h = stream.step(x_t)
    yardstick.largest_error({"h": h}, {"h": expected}, TOLERANCES[dtype])
    x_t, step = frames[0], stream.step
    return lambda: step(x_t)
