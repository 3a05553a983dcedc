"""A small computational graph that differentiates itself (MATH.md section 6).

`Graph` owns nodes over NumPy arrays, `build_grad` inserts gradients into it as further nodes, and
`unfold` writes a network out over time in it. Nothing here is compiled or fast: it is the
library's independent account of its own gradients, and of their gradients.
"""

from fastrnn.graph.arithmetic import (
    broadcast_to,
    matmul,
    row_sum,
    stack,
    sum_to,
    total,
    transpose,
)
from fastrnn.graph.arrows import Arrow, Fold, arrows_between, fold, symbol_and_time
from fastrnn.graph.frames import Frames, elman_frames, jordan_frames, masked, rows_times
from fastrnn.graph.functions import (
    activate,
    columns,
    exp,
    log,
    log_sum_exp,
    pick,
    place,
    relu,
    scatter_columns,
    sigmoid,
    softmax,
    softplus,
    step,
    tanh,
)
from fastrnn.graph.gradients import build_grad
from fastrnn.graph.nodes import Graph, Node, Operation
from fastrnn.graph.unfolding import Unfolded, unfold

__all__ = [
    "Arrow",
    "Fold",
    "Frames",
    "Graph",
    "Node",
    "Operation",
    "Unfolded",
    "activate",
    "arrows_between",
    "broadcast_to",
    "build_grad",
    "columns",
    "elman_frames",
    "exp",
    "fold",
    "jordan_frames",
    "log",
    "log_sum_exp",
    "masked",
    "matmul",
    "pick",
    "place",
    "relu",
    "row_sum",
    "rows_times",
    "scatter_columns",
    "sigmoid",
    "softmax",
    "softplus",
    "stack",
    "step",
    "sum_to",
    "symbol_and_time",
    "tanh",
    "total",
    "transpose",
    "unfold",
]
