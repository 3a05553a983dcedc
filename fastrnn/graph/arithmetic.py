"""Arithmetic, sums and shapes: the operations that do not belong to networks alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.graph.nodes import Node, Operation

__all__ = ["broadcast_to", "matmul", "row_sum", "stack", "sum_to", "total", "transpose"]

Inputs = tuple[Node, ...]
Shape = tuple[int, ...]


class _Elementwise(Operation):
    """Two inputs that broadcast as in NumPy; an input's gradient is summed back to its shape."""

    def shape(self, *inputs: Node) -> Shape:
        a, b = inputs
        try:
            return np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ValueError(
                f"{self.kind}: expected shapes that broadcast, got {a.shape} and {b.shape}"
            ) from None


class Add(_Elementwise):
    """a + b."""

    kind = "add"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return inputs[0] + inputs[1]

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return sum_to(D, inputs[X].shape)


class Subtract(_Elementwise):
    """a - b."""

    kind = "subtract"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return inputs[0] - inputs[1]

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return sum_to(-D if X else D, inputs[X].shape)


class Multiply(_Elementwise):
    """a * b."""

    kind = "multiply"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return inputs[0] * inputs[1]

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return sum_to(D * inputs[1 - X], inputs[X].shape)


class Divide(_Elementwise):
    """a / b."""

    kind = "divide"

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return inputs[0] / inputs[1]

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        share = D / inputs[1]
        return sum_to(-(share * self.result) if X else share, inputs[X].shape)


class Negate(Operation):
    """-a."""

    kind = "negate"

    def shape(self, *inputs: Node) -> Shape:
        return inputs[0].shape

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return -inputs[0]

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return -D


class MatMul(Operation):
    """A B, where each matrix may be taken transposed."""

    kind = "matmul"

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False) -> None:
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def shape(self, *inputs: Node) -> Shape:
        A, B = inputs
        if len(A.shape) == 2 and len(B.shape) == 2:
            rows, inner = A.shape[::-1] if self.transpose_a else A.shape
            same, columns = B.shape[::-1] if self.transpose_b else B.shape
            if inner == same:
                return rows, columns
        raise ValueError(f"matmul: expected matrices that conform, got {A.shape} and {B.shape}")

    def compute(self, *inputs: NDArray[Any]) -> Any:
        A, B = inputs
        return (A.T if self.transpose_a else A) @ (B.T if self.transpose_b else B)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        A, B = inputs
        if X == 0 and self.transpose_a:
            return matmul(B, D, self.transpose_b, True)  # A^T B: dA = B D^T
        if X == 0:
            return matmul(D, B, False, not self.transpose_b)  # A B: dA = D B^T
        if self.transpose_b:
            return matmul(D, A, True, self.transpose_a)  # A B^T: dB = D^T A
        return matmul(A, D, not self.transpose_a, False)  # A B: dB = A^T D


class Transpose(Operation):
    """The transpose of a matrix."""

    kind = "transpose"

    def shape(self, *inputs: Node) -> Shape:
        if len(inputs[0].shape) != 2:
            raise ValueError(f"transpose: expected a matrix, got shape {inputs[0].shape}")
        return inputs[0].shape[::-1]

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return inputs[0].T

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D.T


class SumTo(Operation):
    """The sum over the axes along which an array of this shape would be broadcast to a's."""

    kind = "sum_to"

    def __init__(self, shape: Shape) -> None:
        self.to = shape

    def shape(self, *inputs: Node) -> Shape:
        _check_broadcast("sum_to", self.to, inputs[0].shape)
        return self.to

    def compute(self, *inputs: NDArray[Any]) -> Any:
        leading = inputs[0].ndim - len(self.to)
        a = inputs[0].sum(axis=tuple(range(leading)))
        axes = tuple(i for i, size in enumerate(self.to) if size == 1)
        return a.sum(axis=axes, keepdims=True)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return broadcast_to(D, inputs[0].shape)


class BroadcastTo(Operation):
    """Copies of an array along new axes and those of size 1."""

    kind = "broadcast_to"

    def __init__(self, shape: Shape) -> None:
        self.to = shape

    def shape(self, *inputs: Node) -> Shape:
        _check_broadcast("broadcast_to", inputs[0].shape, self.to)
        return self.to

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.broadcast_to(inputs[0], self.to)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return sum_to(D, inputs[0].shape)


class Slice(Operation):
    """a[index] along the first axis (time)."""

    kind = "slice"

    def __init__(self, index: int | slice) -> None:
        if not isinstance(index, int | slice) or isinstance(index, bool):
            raise TypeError(f"index: expected an integer or a slice, got {index!r}")
        self.index = index

    def shape(self, *inputs: Node) -> Shape:
        if not inputs[0].shape:
            raise ValueError(f"index: expected a node with an axis, got {inputs[0]}")
        length, *rest = inputs[0].shape
        steps = range(length)[self.index]  # IndexError where there is no such step
        return tuple(rest) if isinstance(steps, int) else (len(steps), *rest)

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return inputs[0][self.index]

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D.graph.apply(Unslice(self.index, inputs[0].shape[0]), D)


class Unslice(Operation):
    """Zeros of `length` steps, in which [index] is a: what a slice's gradient is."""

    kind = "unslice"

    def __init__(self, index: int | slice, length: int) -> None:
        self.index, self.length = index, length

    def shape(self, *inputs: Node) -> Shape:
        rest = inputs[0].shape if isinstance(self.index, int) else inputs[0].shape[1:]
        return (self.length, *rest)

    def compute(self, *inputs: NDArray[Any]) -> Any:
        whole = np.zeros(self.result.shape, inputs[0].dtype)
        whole[self.index] = inputs[0]
        return whole

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D[self.index]


class Stack(Operation):
    """Arrays of one shape, one after the other along a new first axis (time)."""

    kind = "stack"

    def shape(self, *inputs: Node) -> Shape:
        shapes = {node.shape for node in inputs}
        if len(shapes) != 1:
            raise ValueError(f"stack: expected nodes of one shape, got {sorted(shapes)}")
        return (len(inputs), *inputs[0].shape)

    def compute(self, *inputs: NDArray[Any]) -> Any:
        return np.stack(inputs)

    def bprop(self, inputs: Inputs, X: int, D: Node) -> Node:
        return D[X]


def _check_broadcast(kind: str, narrow: Shape, wide: Shape) -> None:
    try:
        fits = np.broadcast_shapes(narrow, wide) == wide
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{kind}: expected {narrow} to broadcast to {wide}")


def matmul(A: Node, B: Node, transpose_a: bool = False, transpose_b: bool = False) -> Node:
    """Return the product of two matrices, each taken transposed where told so."""
    return A.graph.apply(MatMul(transpose_a, transpose_b), A, B)


def transpose(a: Node) -> Node:
    """Return the transpose of a matrix; of a transpose, the matrix itself."""
    if isinstance(a.operation, Transpose):
        return a.inputs[0]
    return a.graph.apply(Transpose(), a)


def sum_to(a: Node, shape: Shape) -> Node:
    """Return a, summed over the axes that broadcasting from `shape` would add or stretch."""
    return a if a.shape == shape else a.graph.apply(SumTo(shape), a)


def broadcast_to(a: Node, shape: Shape) -> Node:
    """Return a, copied along new axes and those of size 1."""
    return a if a.shape == shape else a.graph.apply(BroadcastTo(shape), a)


def total(a: Node) -> Node:
    """Return the sum of all elements, of shape ()."""
    return sum_to(a, ())


def row_sum(a: Node) -> Node:
    """Return the sum over the last axis, which stays with size 1."""
    return sum_to(a, (*a.shape[:-1], 1))


def stack(nodes: list[Node]) -> Node:
    """Return nodes of one shape as one node with a new first axis; at least one node."""
    if not nodes:
        raise ValueError("nodes: expected at least one node, got none")
    return nodes[0].graph.apply(Stack(), *nodes)
