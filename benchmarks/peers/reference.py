"""What is right for a case: the yardstick of `benchmarks.yardstick`, in float64."""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import yardstick
from benchmarks.peers.cases import Case
from benchmarks.peers.inputs import Inputs
from benchmarks.yardstick import largest_error

__all__ = ["expected_results", "largest_error"]

Results = dict[str, Any]


def expected_results(case: Case, inputs: Inputs) -> Results:
    """Return what every contender must find, by name: h and h_last, or loss and gradients."""
    floats = {
        name: array.astype(np.float64)
        for name, array in vars(inputs).items()
        if array is not None and array.dtype == case.dtype
    }
    a = replace(inputs, **floats)
    if case.group == "tdnn":
        h = yardstick.tdnn(a.x, a.W, a.b, case.offsets)
        if case.direction == "F":
            return {"h": h}
        return yardstick.tdnn_backward(a.dh, a.x, h, a.W, case.offsets)
    if case.group == "step":
        h = a.h0 * 0
        for _ in range(5):
            h = np.tanh(a.b + a.x[0] @ a.U.T + h @ a.W.T)
        return {"h": h}
    return _jordan(case, a) if case.group == "jordan" else _elman(case, a)


def _elman(case: Case, a: Inputs) -> Results:
    T, B = a.x.shape[:2]
    valid = yardstick.valid_steps(T, B, a.lengths)
    states, h_last = yardstick.elman(a.x, a.U, a.W, a.b, a.h0, a.lengths)
    if case.direction == "F":
        return {"h": states[1:] * valid, "h_last": h_last}

    last_only = case.group == "vanishing"
    outputs_of = h_last[None] if last_only else states[1:]
    logits = outputs_of @ a.V.T + a.c
    loss, do = yardstick.cross_entropy(logits, a.targets, 1.0 if last_only else valid)
    dh = np.zeros((T, B, case.m))
    dh[-len(do) :] = do @ a.V
    return {
        "loss": loss,
        **yardstick.elman_backward(dh, a.x, states, a.U, a.W, a.lengths),
        "dV": yardstick.outer(do, outputs_of),
        "dc": do.sum((0, 1)),
    }


def _jordan(case: Case, a: Inputs) -> Results:
    """Return what it is with its own outputs fed back; for gradients, with its targets."""
    weights = a.U, a.W, a.b, a.V, a.c
    if case.direction == "F":
        state = yardstick.jordan(a.x, *weights)
        return {"h": state["h"], "o": state["o"]}
    state = yardstick.jordan(a.x, *weights, a.targets)
    loss, do = yardstick.cross_entropy(state["o"], a.targets)
    grads = yardstick.jordan_backward(do, a.x, state, a.U, a.W, a.V, a.targets)
    return {"loss": loss, **{name: grad for name, grad in grads.items() if name != "dz0"}}
