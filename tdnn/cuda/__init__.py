"""The twins of `tdnn.kernels` on an NVIDIA GPU: same names, argument order and results.

Arguments and results are device arrays, as in `fastrnn.cuda`; the offsets stay in CPU memory.
"""

from tdnn.cuda.passes import tdnn_backward, tdnn_forward, tdnn_step

__all__ = ["tdnn_backward", "tdnn_forward", "tdnn_step"]
