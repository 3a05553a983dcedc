"""The bodies of models: what is asked of them, and how the class of a kind is found."""

import importlib.metadata
import inspect
from collections.abc import Callable, Sequence
from typing import Any

__all__ = [
    "RecordingBody",
    "body_class",
    "check_body",
    "check_pair",
    "describe_body",
    "make_body",
    "start_name",
    "takes",
]

_METHODS = ("parameters", "forward", "backward", "stream", "frames")


def check_body(name: str, body: Any) -> None:
    """Raise a TypeError that begins with `name` where `body` lacks a method that models call."""
    lacks = [method for method in _METHODS if not callable(getattr(body, method, None))]
    if lacks or isinstance(body, type):
        raise TypeError(f"{name}: expected a layer such as Elman(...), got {body!r}")


def check_pair(bodies: Sequence[Any], above: int) -> None:
    """Raise where the body in place `above` of a stack cannot read what the one below it gives."""
    lower, upper, place = bodies[above - 1], bodies[above], f"bodies[{above}]"
    below = f"bodies[{above - 1}]"
    if any(upper is body for body in bodies[:above]):
        raise ValueError(f"bodies: expected different bodies, got that of {place} twice")
    if getattr(lower, "gives_outputs", False):
        raise ValueError(
            f"bodies: expected a body of kind {lower.kind!r} in the last place only, got {below}"
        )
    if lower.dtype != upper.dtype:
        raise TypeError(
            f"bodies: expected one dtype, got {lower.dtype} of {below} and {upper.dtype} of {place}"
        )
    if lower.output_size != upper.input_size:
        raise ValueError(
            f"bodies: expected {place} with input_size = {lower.output_size}, the output_size of "
            f"{below}, got {upper.input_size}"
        )


def takes(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function has an argument of this name."""
    return name in inspect.signature(function).parameters


def start_name(body: Any) -> str | None:
    """Return what a body's `forward` calls its initial state, or None where it has no state."""
    return next((name for name in ("h0", "z0") if takes(body.forward, name)), None)


def body_class(kind: str) -> Any:
    """Return the class that is registered for a kind (entry-point group ``fastrnn.bodies``)."""
    for entry in importlib.metadata.entry_points(group="fastrnn.bodies", name=kind):
        return entry.load()
    raise ValueError(f"kind: expected that of a body that is installed, got {kind!r}")


def describe_body(body: Any) -> dict[str, Any]:
    """Return the kind and the configuration of a body, in a form that JSON can hold."""
    return {"kind": body.kind, "config": body.config()}


def make_body(described: dict[str, Any], **settings: Any) -> Any:
    """Return a body from what `describe_body` returned, with some of its settings changed."""
    return body_class(described["kind"]).from_config({**described["config"], **settings})


class RecordingBody:
    """A body that is another one, and keeps what the last call of `backward` took and returned.

    So the gradient in the input, which no model returns, is seen without a second way through it.

    Attributes
    ----------
    dh : ndarray
        The gradient in the body's result.
    state : object
        What its `forward` had returned.
    gradients : Gradients
        What `backward` returned.
    """

    def __init__(self, body: Any) -> None:
        self._body = body
        self.dh: Any = None
        self.state: Any = None
        self.gradients: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def backward(self, dh: Any, state: Any, **settings: Any) -> Any:
        self.dh, self.state = dh, state
        self.gradients = self._body.backward(dh, state, **settings)
        return self.gradients
