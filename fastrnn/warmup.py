"""`warmup`: compile and keep on disk what later processes need, before they need it."""

import importlib.metadata
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.event import install_recorder
from numpy.typing import DTypeLike

from fastrnn.arrays import float_dtype
from fastrnn.elman import Elman
from fastrnn.linear import linear_backward, linear_forward
from fastrnn.losses import LOSSES
from fastrnn.model import SequenceModel
from fastrnn.optimizers import SGD, AdaGrad, Adam, RMSProp
from fastrnn.threads import thread_count

__all__ = ["Family", "Warmup", "cache_folders", "warmup"]

# Sizes matter to no kernel: one compiled for an array's type takes arrays of any size.
_STEPS, _BATCH, _INPUTS, _OUTPUTS = 3, 2, 4, 3


class Family(NamedTuple):
    """What warming one family of kernels took."""

    name: str
    """The name of the family, such as "losses", or of a network."""
    seconds: float
    """How long it took."""
    compiled: int
    """How many kernels were compiled; 0 where all came from the cache."""


class Warmup(NamedTuple):
    """What `warmup` did."""

    families: list[Family]
    """One for each family of kernels, in the order of their work."""
    folders: list[str]
    """Where the cache lies."""
    kept: bool
    """Whether every kernel has a place there: later processes then compile nothing."""


def warmup(
    dtype: DTypeLike = np.float32, progress: Callable[[Family], None] | None = None
) -> Warmup:
    """Call every public function once on small arrays, so that its kernels are in the cache.

    This reaches every network that is registered as a model's body (entry-point group
    ``fastrnn.bodies``), on float frames and on token ids, with its stream. A body whose constructor
    takes more than `input_size`, `hidden_size` and `dtype` says how it is made by a class method
    ``sample_config(input_size, dtype)``, whose result `from_config` takes.

    Parameters
    ----------
    dtype : dtype
        float32 or float64. Each is compiled for itself.
    progress : callable, optional
        Called with each `Family` when it is done.

    Returns
    -------
    Warmup
        families, folders (of the cache), and whether all was kept.

    Raises
    ------
    TypeError
        If `dtype` is something else.
    ValueError
        If the environment variable ``FASTRNN_NUM_THREADS`` is no integer >= 1.
    OSError
        If writing to the cache fails, as on a full disk.

    Examples
    --------
    >>> from fastrnn.warmup import warmup
    >>> [family.name for family in warmup("float32").families][:3]
    ['linear', 'losses', 'optimizers']
    """
    wanted = float_dtype("dtype", dtype)
    thread_count()  # refuses a wrong setting before the work, not after half of it
    bodies = _registered_bodies()
    done = []
    for name, work in _families(bodies, wanted):
        start = time.perf_counter()
        with install_recorder("numba:compile") as recorder:
            work()
        compiled = sum(event.is_start for _, event in recorder.buffer)
        done.append(Family(name, time.perf_counter() - start, compiled))
        if progress is not None:
            progress(done[-1])
    packages = {"fastrnn", *(body.__module__.partition(".")[0] for body in bodies.values())}
    return Warmup(done, *cache_folders(packages))


def cache_folders(packages: set[str]) -> tuple[list[str], bool]:
    """Return where these packages' kernels are kept, and whether all of them are kept somewhere."""
    places = {
        value.stats.cache_path
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in packages
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
    }
    # A module whose functions are only parts of others' kernels has an empty folder.
    kept = [place for place in places if place and os.path.isdir(place) and os.listdir(place)]
    return sorted(kept), None not in places


def _registered_bodies() -> dict[str, Any]:
    """Return the class of each kind of body; Elman also where the package is not installed."""
    entries = importlib.metadata.entry_points(group="fastrnn.bodies")
    return {"elman": Elman} | {entry.name: entry.load() for entry in entries}


def _families(
    bodies: dict[str, Any], dtype: np.dtype[Any]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield each family's name, and what calls its kernels."""
    yield "linear", partial(_warm_linear, dtype)
    yield "losses", partial(_warm_losses, dtype)
    yield "optimizers", partial(_warm_optimizers, dtype)
    for name, kind in bodies.items():
        body = _sample(kind, dtype)
        own = getattr(body, "gives_outputs", False)
        model = SequenceModel(body, None if own else _OUTPUTS, rng=0)
        yield name, partial(_warm_model, model)
        yield f"{name} stream", partial(_warm_stream, model)


def _sample(body: Any, dtype: np.dtype[Any]) -> Any:
    """Return a small body of this class."""
    if hasattr(body, "sample_config"):
        return body.from_config(body.sample_config(_INPUTS, dtype.name))
    return body.from_config({"input_size": _INPUTS, "hidden_size": 5, "dtype": dtype.name})


def _inputs(dtype: np.dtype[Any]) -> list[Any]:
    """Return float frames (T, B, p), and token ids (T, B)."""
    return [np.ones((_STEPS, _BATCH, _INPUTS), dtype), np.ones((_STEPS, _BATCH), np.int64)]


def _warm_linear(dtype: np.dtype[Any]) -> None:
    h, do = np.ones((_STEPS, _BATCH, 5), dtype), np.ones((_STEPS, _BATCH, _OUTPUTS), dtype)
    V, c, lengths = np.ones((_OUTPUTS, 5), dtype), np.ones(_OUTPUTS, dtype), np.ones(_BATCH, int)
    linear_forward(h, V, c, lengths, 1)
    linear_backward(do, h, V, lengths, 1)


def _warm_losses(dtype: np.dtype[Any]) -> None:
    o, weights = np.ones((_STEPS, _BATCH, _OUTPUTS), dtype), np.ones((_STEPS, _BATCH))
    lengths = np.full(_BATCH, _STEPS)
    for name, loss in LOSSES.items():
        targets = np.ones((_STEPS, _BATCH), np.int64) if name == "softmax" else np.ones_like(o)
        loss.kernel(o, targets, lengths, weights)
        if loss.predict is not None:
            loss.predict(o.copy(), lengths, o)


def _warm_optimizers(dtype: np.dtype[Any]) -> None:
    for optimizer in (SGD(0.1), SGD(0.1, momentum=0.5), RMSProp(), AdaGrad(), Adam()):
        optimizer.step({"U": np.ones(5, dtype)}, {"U": np.ones(5, dtype)})


def _warm_model(model: SequenceModel) -> None:
    for x in _inputs(model.dtype):
        model.predict(x)
        model.loss_and_grad(x, np.ones((_STEPS, _BATCH), np.int64))
        if getattr(model.body, "gives_outputs", False):
            _warm_fed(model.body, x)


def _warm_fed(body: Any, x: Any) -> None:
    """Feed classes and vectors to a body that gives the outputs."""
    for axes in ((_STEPS, _BATCH), (_STEPS, _BATCH, body.output_size)):
        y = np.ones(axes, np.int64 if len(axes) == 2 else body.dtype)
        trace = body.forward(x, y)
        body.backward(np.ones_like(trace.o), trace)
        body.carry(trace, _STEPS)


def _warm_stream(model: SequenceModel) -> None:
    for x in _inputs(model.dtype):
        stream = model.stream(_BATCH)
        for frame in x:
            stream.step(frame)
        stream.flush()
