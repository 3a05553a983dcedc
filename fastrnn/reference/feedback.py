"""What an output-to-hidden network is fed back, and its gradient (MATH.md section 2)."""

from typing import Any

import numpy as np

from fastrnn.reference.activations import activate, slope

__all__ = ["feed_back", "feedback_gradient"]


def feed_back(feedback: str, o: Any, draw: Any = None) -> Any:
    """Return z from one output o (q,): a function of it, or the unit vector of one of its classes.

    "argmax" takes the first of the largest, "sample" the class in whose part of [0, 1) the draw
    lies, each part as long as its class is probable. Outputs with a NaN are fed back as NaN.
    """
    if feedback == "softmax":
        e = np.exp(o - np.max(np.real(o)))
        return e / np.sum(e)
    if feedback in ("sigmoid", "identity"):
        return activate(feedback, o)
    if feedback == "argmax":
        return _one_hot(o, np.argmax(np.real(o)))
    if feedback == "sample":
        totals = np.cumsum(np.real(feed_back("softmax", o)))
        return _one_hot(o, min(np.sum(totals <= draw * totals[-1]), o.size - 1))
    raise ValueError("feedback: expected 'softmax', 'sigmoid', 'identity', 'argmax' or 'sample'")


def _one_hot(o: Any, index: Any) -> Any:
    z = np.zeros_like(o)
    z[index] = 1
    return np.full_like(o, np.nan) if np.isnan(o).any() else z


def feedback_gradient(feedback: str, z: Any, dz: Any) -> Any:
    """Return the gradient in o from that in z = feed_back(o); one-hot z counts as data."""
    if feedback == "softmax":
        return z * (dz - np.sum(dz * z))
    if feedback in ("sigmoid", "identity"):
        return slope(feedback, z) * dz
    return np.zeros_like(dz)
