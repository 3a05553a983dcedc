"""Nodes, operations and the graph that owns them (MATH.md section 6)."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import as_array

__all__ = ["Graph", "Node", "Operation"]


class Operation:
    """What computes a node from its inputs, and builds the nodes of its gradients.

    Each object computes one node, its `result`: where f' is a function of f (tanh, exp, softmax),
    `bprop` uses it.

    Attributes
    ----------
    kind : str
        What it is called, for instance ``"tanh"``.
    result : Node
        The node that it computes.
    """

    kind = ""
    result: "Node"

    def shape(self, *inputs: "Node") -> tuple[int, ...]:
        """Return the result's shape; raise ValueError where the inputs do not fit together."""
        raise NotImplementedError

    def compute(self, *inputs: NDArray[Any]) -> Any:
        """Return the result, of any float or complex dtype."""
        raise NotImplementedError

    def bprop(self, inputs: "tuple[Node, ...]", X: int, D: "Node") -> "Node | None":
        """Build the gradient in one input from the gradient D in the result.

        Nothing is computed here: what comes back is made of nodes and operations, which can be
        differentiated in turn.

        Parameters
        ----------
        inputs : tuple of Node
            The operation's inputs. All count as different, even where one node stands twice:
            `build_grad` adds the two gradients up.
        X : int
            The position of the input.
        D : Node
            The gradient in the result.

        Returns
        -------
        Node or None
            The sum over i of (d f_i / dX) D_i, or None where that is always zero.
        """
        raise NotImplementedError


class Node:
    """A variable of a graph: an input, a parameter, a constant, or an operation's result.

    Nodes are made by a `Graph`, by the functions of `fastrnn.graph`, and by ``+ - * / @``,
    ``-a``, ``a.T`` and ``a[i]`` (along the first axis). A number or array beside a node becomes a
    constant.

    Attributes
    ----------
    graph : Graph
        The graph that owns it.
    index : int
        Its place in ``graph.nodes``; inputs stand before what is made of them.
    name : str
        Its name in the graph, or ``""``.
    operation : Operation or None
        What computes it; None for inputs, parameters and constants.
    inputs : tuple of Node
        The operation's inputs.
    shape, dtype : tuple of int, dtype
        Those of its value.
    """

    __slots__ = ("_source", "dtype", "graph", "index", "inputs", "name", "operation", "shape")
    __iter__ = None  # `a[i]` alone would make it iterable, without an end
    __array_ufunc__ = None  # array + node is the node's addition

    def __init__(
        self,
        graph: "Graph",
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        source: str,
        operation: Operation | None,
        inputs: "tuple[Node, ...]",
    ) -> None:
        self.graph, self.index = graph, len(graph.nodes)
        self.shape, self.dtype = shape, dtype
        self.operation, self.inputs = operation, inputs
        self.name, self._source = "", source

    @property
    def kind(self) -> str:
        """The operation's kind, or "input", "parameter" or "constant"."""
        return self.operation.kind if self.operation else self._source

    @property
    def T(self) -> "Node":  # noqa: N802
        """The transpose of a matrix."""
        from fastrnn.graph.arithmetic import transpose

        return transpose(self)

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"<{name}{self.kind} {self.shape} {self.dtype}>"

    def __add__(self, other: Any) -> "Node":
        return self._combined("Add", self, other)

    def __radd__(self, other: Any) -> "Node":
        return self._combined("Add", other, self)

    def __sub__(self, other: Any) -> "Node":
        return self._combined("Subtract", self, other)

    def __rsub__(self, other: Any) -> "Node":
        return self._combined("Subtract", other, self)

    def __mul__(self, other: Any) -> "Node":
        return self._combined("Multiply", self, other)

    def __rmul__(self, other: Any) -> "Node":
        return self._combined("Multiply", other, self)

    def __truediv__(self, other: Any) -> "Node":
        return self._combined("Divide", self, other)

    def __rtruediv__(self, other: Any) -> "Node":
        return self._combined("Divide", other, self)

    def __matmul__(self, other: Any) -> "Node":
        return self._combined("MatMul", self, other)

    def __rmatmul__(self, other: Any) -> "Node":
        return self._combined("MatMul", other, self)

    def __neg__(self) -> "Node":
        return self._combined("Negate", self)

    def __getitem__(self, index: int | slice) -> "Node":
        from fastrnn.graph.arithmetic import Slice

        return self.graph.apply(Slice(index), self)

    def _combined(self, operation: str, *operands: Any) -> "Node":
        # Imported here: the operations are written with nodes, and so come after them.
        from fastrnn.graph import arithmetic

        nodes = [a if isinstance(a, Node) else self.graph.like(self, a) for a in operands]
        return self.graph.apply(getattr(arithmetic, operation)(), *nodes)


class Graph:
    """A computational graph over NumPy arrays; there is no other tape than its list of nodes.

    Attributes
    ----------
    nodes : list of Node
        All nodes, inputs before what is made of them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.graph import Graph, build_grad, total
    >>> graph = Graph()
    >>> w = graph.parameter(np.array([1.0, 2.0, 3.0]), "w")
    >>> z = total(w * w)
    >>> gradient = build_grad([w], z)[w]
    >>> graph.evaluate(gradient)
    array([2., 4., 6.])
    >>> graph.evaluate(build_grad([w], total(gradient * np.array([0.0, 0.0, 1.0])))[w])
    array([0., 0., 2.])
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._values: dict[Node, NDArray[Any]] = {}  # of sources, and memo of the others
        self._names: dict[str, Node] = {}
        self._numbers: dict[tuple[float, np.dtype[Any]], Node] = {}

    def __getitem__(self, name: str) -> Node:
        """Return the node of this name; KeyError where there is none."""
        return self._names[name]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def names(self) -> dict[str, Node]:
        """All named nodes, in the order in which they got their names."""
        return dict(self._names)

    def input(self, value: ArrayLike, name: str = "") -> Node:
        """Return a node for data: a copy of `value`, floats or integers."""
        return self._make_source("input", value, name)

    def parameter(self, value: ArrayLike, name: str = "") -> Node:
        """Return a node for what is learned: a copy of `value`."""
        return self._make_source("parameter", value, name)

    def constant(self, value: ArrayLike, name: str = "") -> Node:
        """Return a node for what never changes: a copy of `value`."""
        return self._make_source("constant", value, name)

    def like(self, node: Node, value: ArrayLike) -> Node:
        """Return a constant of `node`'s dtype; each number is made once and used again."""
        array = np.asarray(value, node.dtype)
        if array.ndim:
            return self.constant(array)
        key = (array.item(), node.dtype)
        if key not in self._numbers:
            self._numbers[key] = self.constant(array)
        return self._numbers[key]

    def apply(self, operation: Operation, *inputs: Node) -> Node:
        """Return a new node, computed by a new operation.

        Raises
        ------
        ValueError
            If an input belongs to another graph, the shapes do not fit together, or the operation
            already computes a node.
        """
        for node in inputs:
            if node.graph is not self:
                raise ValueError(f"inputs: expected nodes of one graph, got {node} of another")
        if hasattr(operation, "result"):
            raise ValueError(f"operation: expected a new one, got that of {operation.result}")
        floats = [node.dtype for node in inputs if node.dtype.kind in "fc"]
        dtype = np.result_type(*(floats or (node.dtype for node in inputs)))  # ids count for none
        result = Node(self, operation.shape(*inputs), dtype, "", operation, inputs)
        operation.result = result
        self.nodes.append(result)
        return result

    def call(self, node: Node, name: str) -> Node:
        """Give a node its name, and return it.

        Raises
        ------
        ValueError
            If the node or another has a name already.
        """
        if node.name or name in self._names:
            raise ValueError(f"name: expected a new name of a node without one, got {name!r}")
        node.name = name
        self._names[name] = node
        return node

    def assign(self, node: Node, value: ArrayLike) -> None:
        """Give an input, parameter or constant another value of the same shape and dtype."""
        array = self._check_given(node, value)
        if array.dtype != node.dtype:
            raise TypeError(f"value: expected {node.dtype}, got {array.dtype}")
        self._values = {source: a for source, a in self._values.items() if not source.operation}
        self._values[node] = _frozen(array.copy())

    @overload
    def evaluate(
        self, nodes: Node, given: Mapping[Node, ArrayLike] | None = None
    ) -> NDArray[Any]: ...

    @overload
    def evaluate(
        self, nodes: Sequence[Node], given: Mapping[Node, ArrayLike] | None = None
    ) -> list[NDArray[Any]]: ...

    def evaluate(
        self, nodes: Node | Sequence[Node], given: Mapping[Node, ArrayLike] | None = None
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """Compute nodes, and what they need, in the order of the graph; each node only once.

        Parameters
        ----------
        nodes : Node or sequence of Node
            What to compute.
        given : dict of Node to array_like, optional
            Other values of inputs, parameters or constants, of the same shape and any float or
            complex dtype, for this call alone. Without them, what was computed by an earlier call
            is not computed again.

        Returns
        -------
        ndarray or list of ndarray
            Read-only arrays.

        Raises
        ------
        ValueError
            If a node belongs to another graph, or a given value does not fit.
        """
        wanted = [nodes] if isinstance(nodes, Node) else list(nodes)
        for node in wanted:
            if node.graph is not self:
                raise ValueError(f"nodes: expected nodes of this graph, got {node} of another")
        values = self._values
        if given is not None:
            sources = {node: a for node, a in self._values.items() if not node.operation}
            values = sources | {node: self._check_given(node, a) for node, a in given.items()}
        for node in _missing(wanted, values):
            assert node.operation is not None  # sources have a value
            array = node.operation.compute(*(values[source] for source in node.inputs))
            values[node] = _frozen(np.asarray(array))
        return values[nodes] if isinstance(nodes, Node) else [values[node] for node in wanted]

    def _make_source(self, source: str, value: ArrayLike, name: str) -> Node:
        array = as_array("value", value)
        if array.dtype.kind not in "fciu":
            raise TypeError(f"value: expected floats or integers, got {array.dtype}")
        node = Node(self, array.shape, array.dtype, source, None, ())
        if name:
            self.call(node, name)
        self.nodes.append(node)
        self._values[node] = _frozen(array.copy())
        return node

    def _check_given(self, node: Node, value: ArrayLike) -> NDArray[Any]:
        if node.operation or node.graph is not self:
            raise ValueError(f"node: expected an input or parameter of this graph, got {node}")
        array = as_array("value", value)
        if array.shape != node.shape:
            raise ValueError(f"value: expected shape {node.shape}, got {array.shape}")
        return array


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, which is shared from now on, as a read-only one."""
    array.flags.writeable = False
    return array


def _missing(wanted: list[Node], values: Mapping[Node, Any]) -> list[Node]:
    """Return the nodes without a value that `wanted` need, inputs first."""
    found: set[Node] = set()
    stack = [node for node in wanted if node not in values]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(source for source in node.inputs if source not in values)
    return sorted(found, key=lambda node: node.index)
