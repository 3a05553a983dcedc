"""The twins of `fastrnn.kernels` on an NVIDIA GPU: same names, argument order and results.

Arguments and results are device arrays: `launching.DeviceArray`, or anything that has
``__cuda_array_interface__`` (CuPy, PyTorch, Numba). Nothing is copied, nothing waits; the work is
queued on the arrays' stream. Importing this needs no GPU, no driver and no numba-cuda: a call does.

No sum depends on timing: the same call gives the same bits every time.
"""

from fastrnn.cuda.elman import elman_backward, elman_forward, elman_step
from fastrnn.cuda.jordan import jordan_backward, jordan_forward, jordan_step
from fastrnn.cuda.launching import available, require
from fastrnn.cuda.linear import linear_backward, linear_forward
from fastrnn.cuda.losses import (
    sigmoid,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    squared_error,
)
from fastrnn.cuda.optimizers import adagrad_update, adam_update, rmsprop_update, sgd_update

__all__ = [
    "adagrad_update",
    "adam_update",
    "available",
    "elman_backward",
    "elman_forward",
    "elman_step",
    "jordan_backward",
    "jordan_forward",
    "jordan_step",
    "linear_backward",
    "linear_forward",
    "require",
    "rmsprop_update",
    "sgd_update",
    "sigmoid",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
]
