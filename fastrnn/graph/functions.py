"""The functions that networks and losses are made of: activations, softmax, token columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.graph.arithmetic import Inputs, Shape, row_sum
from fastrnn.graph.nodes import Node, Operation

__all__ = [
    "activate",
    "columns",
    "exp",
    "log",
    "log_sum_exp",
    "pick",
    "place",
    "relu",
    "scatter_columns",
    "sigmoid",
    "softmax",
    "softplus",
    "step",
    "tanh",
]


class _Function(Operation):
    """A function of one array, whose result has its shape."""

    def shape(self, *inputs: Node) -> Shape:
        return inputs[0].shape


class Exp(_Function):
    """exp(a)."""

    kind = "exp"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.exp(inputs[0])

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D * self.result


class Log(_Function):
    """The natural logarithm."""

    kind = "log"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.log(inputs[0])

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D / inputs[0]


class Tanh(_Function):
    """tanh(a); f' = 1 - h^2."""

    kind = "tanh"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.tanh(inputs[0])

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D * (1 - self.result * self.result)


class Relu(_Function):
    """max(a, 0), which keeps NaN; f' = step(a)."""

    kind = "relu"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.where(np.real(inputs[0]) < 0, 0, inputs[0])

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D * step(inputs[0])


class Step(_Function):
    """1 where a > 0, else 0, at 0 itself too; its derivative is zero."""

    kind = "step"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return (np.real(inputs[0]) > 0).astype(inputs[0].dtype)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> None:
        return None


class Sigmoid(_Function):
    """1 / (1 + exp(-a)), which takes exp of negative numbers only; f' = h (1 - h)."""

    kind = "sigmoid"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        small, negative = _exp_of_minus_absolute(inputs[0])
        return np.where(negative, small, 1) / (1 + small)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D * (self.result * (1 - self.result))


class Softplus(_Function):
    """log(1 + exp(a)), which takes exp of negative numbers only; f' = sigmoid(a)."""

    kind = "softplus"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        small, negative = _exp_of_minus_absolute(inputs[0])
        return np.where(negative, 0, inputs[0]) + np.log1p(small)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D * sigmoid(inputs[0])


class Softmax(_Function):
    """exp(a) / sum exp(a) over the last axis; back: h (D - <h, D>)."""

    kind = "softmax"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.exp(inputs[0] - _log_sum_exp(inputs[0]))

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return self.result * (D - row_sum(self.result * D))


class LogSumExp(Operation):
    """Log of the sum of exp(a) over the last axis, which stays with size 1; f' = softmax(a)."""

    kind = "log_sum_exp"

    def shape(self, *inputs: Node) -> Shape:
        return (*inputs[0].shape[:-1], 1)

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return _log_sum_exp(inputs[0])

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D * softmax(inputs[0])


class Pick(Operation):
    """Of each row of a (B, q), the element at its id (B,), as (B, 1)."""

    kind = "pick"

    def shape(self, *inputs: Node) -> Shape:
        a, ids = inputs
        _check_ids("pick", ids, a.shape[:1])
        return (a.shape[0], 1)

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.take_along_axis(inputs[0], inputs[1][:, None], axis=1)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node | None:
        a, ids = inputs
        return None if X else place(D, ids, a.shape[1])


class Place(Operation):
    """Rows of q zeros in which the element at the row's id is a's (B, 1)."""

    kind = "place"

    def __init__(self, size: int) -> None:
        self.size = size

    def shape(self, *inputs: Node) -> Shape:
        a, ids = inputs
        _check_ids("place", ids, a.shape[:1])
        return (a.shape[0], self.size)

    def compute(self, *inputs: NDArray[Any]) -> Any:
        rows = np.zeros(self.result.shape, inputs[0].dtype)
        np.put_along_axis(rows, inputs[1][:, None], inputs[0], axis=1)
        return rows

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node | None:
        return None if X else pick(D, inputs[1])


class Columns(Operation):
    """Columns of W (m, p) at the ids (B,), as rows (B, m): W x for one-hot rows x."""

    kind = "columns"

    def shape(self, *inputs: Node) -> Shape:
        W, ids = inputs
        _check_ids("columns", ids, ids.shape[:1])
        return (ids.shape[0], W.shape[0])

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return inputs[0].T[inputs[1]]

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node | None:
        W, ids = inputs
        return None if X else scatter_columns(D, ids, W.shape[1])


class ScatterColumns(Operation):
    """A zero matrix (m, p), to whose columns at the ids (B,) the rows (B, m) are added."""

    kind = "scatter_columns"

    def __init__(self, size: int) -> None:
        self.size = size

    def shape(self, *inputs: Node) -> Shape:
        rows, ids = inputs
        _check_ids("scatter_columns", ids, rows.shape[:1])
        return (rows.shape[1], self.size)

    def compute(self, *inputs: NDArray[Any]) -> Any:
        whole = np.zeros(self.result.shape, inputs[0].dtype)
        np.add.at(whole.T, inputs[1], inputs[0])
        return whole

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node | None:
        return None if X else columns(D, inputs[1])


def _exp_of_minus_absolute(a: NDArray[Any]) -> tuple[Any, Any]:
    """Return exp(-|a|) and where a < 0; of complex a, |a| is continued from the real axis."""
    negative = np.real(a) < 0
    return np.exp(np.where(negative, a, -a)), negative


def _log_sum_exp(a: NDArray[Any]) -> Any:
    highest = np.real(a).max(axis=-1, keepdims=True)  # subtracted: no exponential overflows
    return highest + np.log(np.exp(a - highest).sum(axis=-1, keepdims=True))


def _check_ids(kind: str, ids: Node, shape: Shape) -> None:
    if ids.dtype.kind not in "iu" or ids.shape != shape or len(shape) != 1:
        raise ValueError(f"{kind}: expected integer ids, one for each row, got {ids}")


def exp(a: Node) -> Node:
    """Return exp(a)."""
    return a.graph.apply(Exp(), a)


def log(a: Node) -> Node:
    """Return the natural logarithm of a."""
    return a.graph.apply(Log(), a)


def tanh(a: Node) -> Node:
    """Return tanh(a)."""
    return a.graph.apply(Tanh(), a)


def relu(a: Node) -> Node:
    """Return max(a, 0)."""
    return a.graph.apply(Relu(), a)


def step(a: Node) -> Node:
    """Return 1 where a > 0, else 0; no gradient passes."""
    return a.graph.apply(Step(), a)


def sigmoid(a: Node) -> Node:
    """Return 1 / (1 + exp(-a))."""
    return a.graph.apply(Sigmoid(), a)


def softplus(a: Node) -> Node:
    """Return log(1 + exp(a))."""
    return a.graph.apply(Softplus(), a)


def softmax(a: Node) -> Node:
    """Return exp(a) / sum exp(a) over the last axis."""
    return a.graph.apply(Softmax(), a)


def log_sum_exp(a: Node) -> Node:
    """Return log sum exp(a) over the last axis, which stays with size 1."""
    return a.graph.apply(LogSumExp(), a)


def pick(a: Node, ids: Node) -> Node:
    """Return the element of each row of a (B, q) at its id (B,), as (B, 1)."""
    return a.graph.apply(Pick(), a, ids)


def place(a: Node, ids: Node, size: int) -> Node:
    """Return rows of `size` zeros in which the element at the id (B,) is a's (B, 1)."""
    return a.graph.apply(Place(size), a, ids)


def columns(W: Node, ids: Node) -> Node:
    """Return the columns of W (m, p) at the ids (B,), as rows (B, m)."""
    return W.graph.apply(Columns(), W, ids)


def scatter_columns(rows: Node, ids: Node, size: int) -> Node:
    """Return a zero matrix (m, size) to whose columns at the ids (B,) the rows are added."""
    return rows.graph.apply(ScatterColumns(size), rows, ids)


def activate(activation: str, a: Node) -> Node:
    """Return f(a) for "tanh", "relu", "sigmoid", "softmax"; for "identity" a itself."""
    functions = {"tanh": tanh, "relu": relu, "sigmoid": sigmoid, "softmax": softmax}
    return a if activation == "identity" else functions[activation](a)
