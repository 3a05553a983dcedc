"""What an output-to-hidden network is fed back, and its gradient (MATH.md section 2)."""

import numpy as np

from fastrnn.jit import part
from fastrnn.kernels.activations import ACTIVATIONS, activate, multiply_slope
from fastrnn.kernels.losses import softmax_row
from fastrnn.kernels.rows import add_row, copy_row
from fastrnn.simd import flush_subnormals, restore_subnormals

__all__ = [
    "FEEDBACKS",
    "add_feedback_gradient",
    "feed_back",
    "feed_back_rows",
    "feedback_code",
    "is_one_hot",
]

# The numbers by which the kernels' inner loops know them.
FEEDBACKS = {"softmax": 1, "sigmoid": 2, "identity": 0, "argmax": 3, "sample": 4}
_SIGMOID = ACTIVATIONS["sigmoid"]


@part
def feedback_code(feedback):
    """Return a feedback's number in FEEDBACKS; compiled code has no such dict of constants."""
    if feedback == "softmax":
        return 1
    if feedback == "sigmoid":
        return 2
    if feedback == "identity":
        return 0
    if feedback == "argmax":
        return 3
    if feedback == "sample":
        return 4
    raise ValueError("feedback: expected 'softmax', 'sigmoid', 'identity', 'argmax' or 'sample'")


@part
def is_one_hot(code):
    """Return whether this feedback is a class: no gradient flows through it."""
    return code >= 3


@part
def feed_back(code, o, draw, z):
    """Store in z what the outputs o (q,) are fed back as; outputs with a NaN as NaN.

    "argmax" takes the first of the largest; "sample" the class in whose part of [0, 1) the draw
    lies, each part as long as its class is probable.
    """
    if code == 1 or code == 4:
        softmax_row(o, z, 1.0)
        if code == 4 and z[0] == z[0]:
            _one_hot(z, _drawn(z, draw))
    elif code == 3:
        _one_hot(z, _highest(o))
    else:
        copy_row(o, z)
        if code == 2:
            activate(_SIGMOID, z)


@part
def feed_back_rows(code, o, draws, z):
    """Store in each row of z what `feed_back` makes of that row of o, with its draw."""
    mode = flush_subnormals()
    for row in range(o.shape[0]):
        feed_back(code, o[row], draws[row], z[row])
    restore_subnormals(mode)


@part
def _drawn(yhat, draw):
    """Return the first class to which the probabilities add up to more than the draw's share."""
    total = 0.0
    for i in range(yhat.size):
        total += yhat[i]
    share, total = draw * total, 0.0
    for i in range(yhat.size - 1):
        total += yhat[i]
        if total > share:
            return i
    return yhat.size - 1


@part
def _highest(o):
    """Return the first of the largest outputs, -1 where one is NaN."""
    best = 0
    for i in range(o.size):
        if o[i] != o[i]:
            return -1
        if o[i] > o[best]:
            best = i
    return best


@part
def _one_hot(z, index):
    """Store the unit vector of a class, or NaN for -1."""
    for i in range(z.size):
        z[i] = np.nan if index < 0 else 0
    if index >= 0:
        z[index] = 1


@part
def add_feedback_gradient(code, z, dz, do):
    """Add the gradient in o to do, from dz, that in z = feed_back(o); dz is overwritten."""
    if code == 1:
        inner = do.dtype.type(0)
        for i in range(z.size):
            inner += dz[i] * z[i]
        for i in range(z.size):
            dz[i] = z[i] * (dz[i] - inner)
    elif code == 2:
        multiply_slope(_SIGMOID, z, dz)
    add_row(dz, do)
