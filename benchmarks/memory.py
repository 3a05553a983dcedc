"""Memory of one update: what BPTT stores, what it needs besides, and the peak of the process."""

import sys
from typing import Any

import numpy as np

from benchmarks.calls import skip
from benchmarks.models import BODIES, build_model, update
from benchmarks.shapes import SHAPES

_SHAPES = {"elman": "wide", "tdnn": "tdnn-wide"}
# So many copies of the shape's batch that arrays, and not the interpreter, make the peak.
_COPIES = 8


def _large(body: str) -> tuple[Any, Any, Any]:
    """Return a model, inputs and targets; a small update was found right, and compiled all."""
    update(body, "float32")
    case = SHAPES[_SHAPES[body]]
    rng, B = np.random.default_rng(4), case.B * _COPIES
    model = build_model(body, _SHAPES[body], "float32")
    x = rng.standard_normal((case.T, B, case.p), np.float32)
    return model, x, rng.integers(0, len(model.c), (case.T, B))


def _loss_and_grad(model: Any, x: Any, targets: Any) -> dict[str, Any]:
    loss, gradients = model.loss_and_grad(x, targets, threads=1)
    if not 0.5 < loss / np.log(len(model.c)) < 2:
        raise ValueError(f"expected about the loss of equal guesses, got {loss}")
    return gradients


def _arrays(value: Any) -> dict[int, np.ndarray]:
    """Return all arrays in nested tuples, each once."""
    if isinstance(value, np.ndarray):
        return {id(value): value}
    found: dict[int, np.ndarray] = {}
    if isinstance(value, (tuple, list)):
        for item in value:
            found.update(_arrays(item))
    return found


class Update:
    """One update of a model, float32, one thread."""

    version = "1"
    timeout = 300.0
    unit = "bytes"
    params = (BODIES,)
    param_names = ("body",)

    def setup_cache(self) -> None:
        """Compile in a process of its own: the compiler takes more memory than the call."""
        for body in BODIES:
            try:
                update(body, "float32")
            except NotImplementedError:
                continue  # the benchmark says so itself

    def track_stored(self, body: str) -> float:
        """Bytes that the forward pass keeps for the backward pass, its input left out."""
        model, x, _ = _large(body)
        kept = _arrays(model.body.forward(x, threads=1))
        stored = sum(array.nbytes for array in kept.values() if array is not x)
        if stored < x.nbytes / x.shape[2] * model.body.output_size / 2:
            raise ValueError(f"expected the hidden states at least, got {stored} bytes")
        return float(stored)

    def track_workspace(self, body: str) -> float:
        """Bytes by which one gradient raises the process's peak, its results left out."""
        if sys.platform == "win32":
            raise skip("Windows does not tell a process's peak")
        model, x, targets = _large(body)
        before = _peak()
        gradients = _loss_and_grad(model, x, targets)
        grown = _peak() - before - sum(array.nbytes for array in gradients.values())
        return float(max(grown, 4096))

    def peakmem_gradient(self, body: str) -> None:
        """Peak of the whole process, interpreter and compiled code included."""
        _loss_and_grad(*_large(body))


def _peak() -> int:
    """Return the largest resident size so far, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
