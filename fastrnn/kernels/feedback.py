"""What an output-to-hidden network is fed back, and its gradient (MATH.md section 2)."""

import numpy as np

from fastrnn.jit import part
from fastrnn.kernels.losses import softmax_row
from fastrnn.simd import flush_subnormals, lanes, restore_subnormals
from fastrnn.simd.functions import sigmoid
from fastrnn.simd.packing import load_part_or_all, store_part_or_all

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
def feed_back(code, o, row, draw, z, into):
    """Store in row `into` of z what a row of outputs o is fed back as; one with a NaN as NaN.

    "argmax" takes the first of the largest; "sample" the class in whose part of [0, 1) the draw
    lies, each part as long as its class is probable.
    """
    q = o.shape[1]
    at, to = row * q, into * q
    if code == 1 or code == 4:
        softmax_row(o, at, z, to, q, 1.0)
        if code == 4 and z[into, 0] == z[into, 0]:
            _one_hot(z, into, _drawn(z, into, draw))
    elif code == 3:
        _one_hot(z, into, _highest(o, row))
    else:
        for i in range(0, q, lanes(o)):
            vec = load_part_or_all(o, at + i, q - i)
            if code == 2:
                vec = sigmoid(vec)
            store_part_or_all(z, to + i, vec, q - i)


@part
def feed_back_rows(code, o, draws, z):
    """Store in each row of z what that row of o, with its draw, is fed back as."""
    mode = flush_subnormals()
    for row in range(o.shape[0]):
        feed_back(code, o, row, draws[row], z, row)
    restore_subnormals(mode)


@part
def _drawn(yhat, row, draw):
    """Return the first class to which the probabilities add up to more than the draw's share."""
    q, total = yhat.shape[1], 0.0
    for i in range(q):
        total += yhat[row, i]
    share, total = draw * total, 0.0
    for i in range(q - 1):
        total += yhat[row, i]
        if total > share:
            return i
    return q - 1


@part
def _highest(o, row):
    """Return the first of the largest outputs, -1 where one is NaN."""
    best = 0
    for i in range(o.shape[1]):
        if o[row, i] != o[row, i]:
            return -1
        if o[row, i] > o[row, best]:
            best = i
    return best


@part
def _one_hot(z, row, index):
    """Store the unit vector of a class, or NaN for -1."""
    for i in range(z.shape[1]):
        z[row, i] = np.nan if index < 0 else 0
    if index >= 0:
        z[row, index] = 1


@part
def add_feedback_gradient(code, z, row, dz, k, do, into):
    """Add to row `into` of do the gradient in o, from row k of dz, that in z = feed_back(o)."""
    q, one, inner = z.shape[1], z.dtype.type(1), z.dtype.type(0)
    if code == 1:
        for i in range(q):
            inner += dz[k, i] * z[row, i]
        for i in range(q):
            do[into, i] += z[row, i] * (dz[k, i] - inner)
    elif code == 2:
        for i in range(q):
            do[into, i] += z[row, i] * (one - z[row, i]) * dz[k, i]
    else:
        for i in range(q):
            do[into, i] += dz[k, i]
