"""The compiled floor: `@njit` kernels on the CPU, callable from a user's own `@njit` code.

Kernels take positional arguments, optional buffers last, and check nothing: the functions of the
same names in `fastrnn` do. A buffer that is passed comes back as the same object; None means that
the kernel allocates it.
"""

from fastrnn.kernels.elman import elman_backward, elman_forward, elman_step
from fastrnn.kernels.jordan import jordan_backward, jordan_forward
from fastrnn.kernels.jordan_step import jordan_step
from fastrnn.kernels.linear import linear_backward, linear_forward
from fastrnn.kernels.losses import (
    sigmoid,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    squared_error,
)
from fastrnn.kernels.optimizers import adagrad_update, adam_update, rmsprop_update, sgd_update

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
