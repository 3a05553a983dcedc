"""Time-delay networks for scientific Python, compiled by Numba.

A layer sees its input through a window of time offsets, any integers in any order (MATH.md
section 3). Arrays are time-major: x (T, B, p), h (T_out, B, m). Importing the package compiles
nothing; a kernel is compiled at its first call and then kept on disk.
"""

from tdnn.layer import tdnn_backward, tdnn_forward
from tdnn.network import TDNN
from tdnn.residual import ResidualTDNN
from tdnn.results import TDNNGrads, TDNNState

__all__ = ["TDNN", "ResidualTDNN", "TDNNGrads", "TDNNState", "tdnn_backward", "tdnn_forward"]
