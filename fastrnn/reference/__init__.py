"""The executable MATH.md: NumPy with plain loops over time, for any float or complex dtype.

Names and signatures are those of `fastrnn.kernels`. Slow on purpose: nothing here is blocked,
reordered or shared, so each line can be read beside its equation. Complex arrays pass through, so
that a complex step gives derivatives to machine precision.
"""

from fastrnn.reference.elman import elman_backward, elman_forward, elman_step
from fastrnn.reference.jordan import jordan_backward, jordan_forward, jordan_step
from fastrnn.reference.linear import linear_backward, linear_forward
from fastrnn.reference.losses import (
    sigmoid,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    squared_error,
)
from fastrnn.reference.optimizers import adagrad_update, adam_update, rmsprop_update, sgd_update

__all__ = [
    "adagrad_update",
    "adam_update",
    "elman_backward",
    "elman_forward",
    "elman_step",
    "jordan_backward",
    "jordan_forward",
    "jordan_step",
    "linear_backward",
    "linear_forward",
    "rmsprop_update",
    "sgd_update",
    "sigmoid",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
]
