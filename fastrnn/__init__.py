"""FastRNN: fast recurrent networks for scientific Python, compiled by Numba.

Arrays are time-major: x (T, B, p), h (T, B, m), o (T, B, q). Importing the package compiles
nothing; a kernel is compiled at its first call and then kept on disk.
"""

from fastrnn.elman import Elman, elman_backward, elman_forward
from fastrnn.flow import gradient_flow
from fastrnn.generation import generate
from fastrnn.gradient_check import gradcheck
from fastrnn.jordan import Jordan, jordan_backward, jordan_forward
from fastrnn.layer import Gradients
from fastrnn.loading import load
from fastrnn.losses import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from fastrnn.model import SequenceModel
from fastrnn.optimizers import SGD, AdaGrad, Adam, RMSProp, clip_by_norm
from fastrnn.results import ElmanGrads, ElmanState, JordanGrads, JordanState, Loss
from fastrnn.schedules import ConstantSchedule, CosineSchedule, PlateauSchedule, StepSchedule
from fastrnn.stack import Stack
from fastrnn.threads import thread_count
from fastrnn.training import History, fit

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "ConstantSchedule",
    "CosineSchedule",
    "Elman",
    "ElmanGrads",
    "ElmanState",
    "Gradients",
    "History",
    "Jordan",
    "JordanGrads",
    "JordanState",
    "Loss",
    "PlateauSchedule",
    "RMSProp",
    "SequenceModel",
    "Stack",
    "StepSchedule",
    "clip_by_norm",
    "elman_backward",
    "elman_forward",
    "fit",
    "generate",
    "gradcheck",
    "gradient_flow",
    "jordan_backward",
    "jordan_forward",
    "load",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
    "thread_count",
]
