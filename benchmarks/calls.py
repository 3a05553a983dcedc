"""What the suite calls: public functions on named shapes, each checked before it is measured.

FastRNN is imported inside, name by name: under a version that lacks one, only what needs it is
skipped. Benchmarks that are timed have no ``setup``: with one, asv calls it before each single call
and times that alone. Instead `call` makes the call once when it is first asked for, which is while
asv warms up; what it returns is kept, and is nothing but the call.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from benchmarks import yardstick
from benchmarks.peers.inputs import Inputs, make_inputs
from benchmarks.shapes import SHAPES, TOLERANCES

__all__ = ["JOBS", "Job", "arrays", "call", "error_of", "exact", "job", "public", "skip"]

Results = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """Something to call, and what it must give.

    Parameters
    ----------
    run : callable
        The call that is timed.
    expected : dict of str to ndarray
        What `results` must find, in float64.
    results : callable
        Takes what `run` returned; gives the results by name.
    """

    run: Callable[[], Any]
    expected: Results
    results: Callable[[Any], Results]


@dataclass(frozen=True)
class Request:
    """A job's shape and arrays: `a` in the dtype asked for, `e` the same numbers in float64."""

    shape: str
    dtype: str
    threads: int
    a: Inputs
    e: Inputs


def skip(reason: str) -> Exception:
    """Return what to raise from inside a benchmark that cannot run here."""
    from asv_runner.benchmarks.mark import SkipNotImplemented

    return SkipNotImplemented(reason)


def public(path: str) -> Any:
    """Return a public object such as ``fastrnn.elman_forward``; skip where there is none."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise skip(f"this version has no {path}") from None


def arrays(shape: str, dtype: str) -> Inputs:
    """Return the arrays of a named shape."""
    return make_inputs(replace(SHAPES[shape], dtype=dtype))


def exact(a: Inputs) -> Inputs:
    """Return the same arrays with all floats in float64."""
    floats = {
        name: array.astype(np.float64)
        for name, array in vars(a).items()
        if array is not None and array.dtype.kind == "f"
    }
    return replace(a, **floats)


def _elman_forward(r: Request) -> Job:
    function, a, e = public("fastrnn.elman_forward"), r.a, r.e
    states, h_last = yardstick.elman(e.x, e.U, e.W, e.b, e.h0, e.lengths)
    valid = yardstick.valid_steps(*e.x.shape[:2], e.lengths)

    def run() -> Any:
        return function(a.x, a.U, a.W, a.b, a.h0, lengths=a.lengths, threads=r.threads)

    return Job(run, {"h": states[1:] * valid, "h_last": h_last}, lambda state: state._asdict())


def _elman_backward(r: Request) -> Job:
    function, a, e = public("fastrnn.elman_backward"), r.a, r.e
    states, _ = yardstick.elman(e.x, e.U, e.W, e.b, e.h0, e.lengths)
    _, do = yardstick.cross_entropy(states[1:] @ e.V.T + e.c, e.targets)
    dh = (do @ e.V).astype(r.dtype)
    expected = yardstick.elman_backward(dh.astype(np.float64), e.x, states, e.U, e.W, e.lengths)
    # From the network itself, not rounded from the yardstick: padding is as it leaves it.
    h = public("fastrnn.elman_forward")(a.x, a.U, a.W, a.b, a.h0, lengths=a.lengths).h

    def run() -> Any:
        return function(dh, a.x, h, a.U, a.W, a.h0, lengths=a.lengths, threads=r.threads)

    return Job(run, expected, lambda grads: grads._asdict())


def _jordan(r: Request, fed: str) -> tuple[dict[str, Any], Inputs, Inputs]:
    """Return the keywords, and inputs with W (m, q): "forced" feeds targets, "free" outputs."""
    q = SHAPES[r.shape].q
    a, e = (replace(i, W=np.ascontiguousarray(i.W[:, :q])) for i in (r.a, r.e))
    return {"y": a.targets if fed == "forced" else None, "threads": r.threads}, a, e


def _jordan_forward(fed: str) -> Callable[[Request], Job]:
    def build(r: Request) -> Job:
        function = public("fastrnn.jordan_forward")
        keywords, a, e = _jordan(r, fed)
        expected = yardstick.jordan(e.x, e.U, e.W, e.b, e.V, e.c, keywords["y"])

        def run() -> Any:
            return function(a.x, a.U, a.W, a.b, a.V, a.c, **keywords)

        return Job(run, expected, lambda state: state._asdict())

    return build


def _jordan_backward(fed: str) -> Callable[[Request], Job]:
    def build(r: Request) -> Job:
        forward, function = public("fastrnn.jordan_forward"), public("fastrnn.jordan_backward")
        keywords, a, e = _jordan(r, fed)
        state = yardstick.jordan(e.x, e.U, e.W, e.b, e.V, e.c, keywords["y"])
        do = yardstick.cross_entropy(state["o"], e.targets)[1].astype(r.dtype)
        expected = yardstick.jordan_backward(
            do.astype(np.float64), e.x, state, e.U, e.W, e.V, keywords["y"]
        )
        h, o, z = forward(a.x, a.U, a.W, a.b, a.V, a.c, **keywords)

        def run() -> Any:
            return function(do, a.x, h, o, a.U, a.W, a.V, z=z, **keywords)

        return Job(run, expected, lambda grads: grads._asdict())

    return build


def _tdnn_forward(r: Request) -> Job:
    function, a, e, offsets = public("tdnn.tdnn_forward"), r.a, r.e, SHAPES[r.shape].offsets

    def run() -> Any:
        return function(a.x, a.W, a.b, offsets, threads=r.threads)

    expected = {"h": yardstick.tdnn(e.x, e.W, e.b, offsets)}
    return Job(run, expected, lambda state: {"h": state.h})


def _tdnn_backward(r: Request) -> Job:
    function, a, e, offsets = public("tdnn.tdnn_backward"), r.a, r.e, SHAPES[r.shape].offsets
    expected = yardstick.tdnn_backward(
        e.dh, e.x, yardstick.tdnn(e.x, e.W, e.b, offsets), e.W, offsets
    )
    h = public("tdnn.tdnn_forward")(a.x, a.W, a.b, offsets).h

    def run() -> Any:
        return function(a.dh, a.x, h, a.W, offsets, threads=r.threads)

    return Job(run, expected, lambda grads: grads._asdict())


def _loss(name: str) -> Callable[[Request], Job]:
    def build(r: Request) -> Job:
        function, case = public(f"fastrnn.{name}"), SHAPES[r.shape]
        rng = np.random.default_rng(2)
        o = rng.standard_normal((case.T, case.B, case.q)).astype(r.dtype)
        wide = o.astype(np.float64)
        targets: Any
        if name == "softmax_cross_entropy":
            targets = r.a.targets
            value, do = yardstick.cross_entropy(wide, targets)
        elif name == "sigmoid_cross_entropy":
            targets = (rng.random(o.shape) < 0.3).astype(r.dtype)
            value, do = yardstick.sigmoid_loss(wide, targets.astype(np.float64))
        else:
            targets = rng.standard_normal(o.shape).astype(r.dtype)
            value, do = yardstick.squared_loss(wide, targets.astype(np.float64))

        def results(loss: Any) -> Results:
            # A sum of so many terms has an error of its own, which no gradient sees.
            allowed = 1e-8 if r.dtype == "float32" else 1e-12
            yardstick.largest_error({"value": loss.value}, {"value": value}, allowed)
            return {"do": loss.do}

        return Job(lambda: function(o, targets), {"do": do}, results)

    return build


JOBS: dict[str, Callable[[Request], Job]] = {
    "elman forward": _elman_forward,
    "elman backward": _elman_backward,
    "jordan forward, forced": _jordan_forward("forced"),
    "jordan forward, free": _jordan_forward("free"),
    "jordan backward, forced": _jordan_backward("forced"),
    "jordan backward, free": _jordan_backward("free"),
    "tdnn forward": _tdnn_forward,
    "tdnn backward": _tdnn_backward,
    "softmax cross entropy": _loss("softmax_cross_entropy"),
    "sigmoid cross entropy": _loss("sigmoid_cross_entropy"),
    "squared error": _loss("squared_error"),
}


def job(name: str, shape: str, dtype: str, threads: int = 1) -> Job:
    """Return one of `JOBS`; skip it where this machine or version cannot do it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if threads > (cores or 1):
        raise skip(f"{threads} threads need as many cores, there are {cores}")
    a = arrays(shape, dtype)
    return JOBS[name](Request(shape, dtype, threads, a, exact(a)))


def error_of(made: Job, dtype: str) -> float:
    """Make the call; return its error as a share of the dtype's tolerance.

    Raises
    ------
    ValueError
        If it is larger than that.
    """
    tolerance = TOLERANCES[dtype]
    found = made.results(made.run())
    return yardstick.largest_error(found, made.expected, tolerance) / tolerance


@cache
def call(name: str, shape: str, dtype: str, threads: int = 1) -> Callable[[], Any]:
    """Return the call to time, made once already: compiled, and its result found right."""
    made = job(name, shape, dtype, threads)
    error_of(made, dtype)
    return made.run
