"""The twins of `fastrnn.kernels` on an NVIDIA GPU: same names, argument order and results.

Arguments and results are device arrays: `launching.DeviceArray`, or anything that has
``__cuda_array_interface__`` (CuPy, PyTorch, Numba). Nothing is copied, nothing waits; the work is
queued on the arrays' stream. Importing this needs no GPU, no driver and no numba-cuda: a call does.

No sum depends on timing: the same call gives the same bits every time.
"""

from fastrnn.cuda.elman import elman_backward, elman_forward, elman_step
from fastrnn.cuda.jordan import jordan_backward, jordan_forward, jordan_step
from fastrnn.cuda.launching import available, require

__all__ = [
    "available",
    "elman_backward",
    "elman_forward",
    "elman_step",
    "jordan_backward",
    "jordan_forward",
    "jordan_step",
    "require",
]
