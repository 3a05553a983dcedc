"""Back-propagation that builds the gradients as nodes of the same graph (MATH.md section 6)."""

from collections.abc import Iterable

import numpy as np

from fastrnn.graph.nodes import Node

__all__ = ["build_grad"]

# Of each node of the pruned graph: its consumers there, and at which of their inputs it stands.
Consumers = dict[Node, list[tuple[Node, int]]]


def build_grad(targets: Iterable[Node], z: Node) -> dict[Node, Node]:
    """Build the gradients of z in the targets (Deep Learning, Algorithm 6.5; MATH.md section 6).

    Nothing is computed: the gradients are nodes of z's graph, made of operations as all others,
    and can be differentiated again. Their number grows linearly with the edges of the graph.

    Parameters
    ----------
    targets : iterable of Node
        The variables in which to differentiate, of any float dtype.
    z : Node
        What to differentiate: of shape () and a float dtype.

    Returns
    -------
    dict of Node to Node
        The gradient of each target, with its shape. Of z itself that is 1; where z does not
        depend on a target, or only through a function whose derivative is zero, a zero constant.

    Raises
    ------
    TypeError
        If a target or z holds integers.
    ValueError
        If z is no scalar, or a target belongs to another graph.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.graph import Graph, build_grad, tanh
    >>> graph = Graph()
    >>> w = graph.parameter(0.5, "w")
    >>> first = build_grad([w], tanh(w))[w]
    >>> second = build_grad([w], first)[w]
    >>> [float(a.round(4)) for a in graph.evaluate([first, second])]
    [0.7864, -0.7269]
    """
    wanted = list(targets)
    _check(wanted, z)
    consumers = _prune(wanted, z)
    grad_table = {z: z.graph.constant(np.ones((), z.dtype))}
    for V in wanted:
        _build_grad(V, consumers, grad_table)
    return {V: grad_table[V] for V in wanted}


def _check(targets: list[Node], z: Node) -> None:
    if z.shape != ():
        raise ValueError(f"z: expected a scalar, got {z}")
    for name, node in (("z", z), *(("targets", V) for V in targets)):
        if node.dtype.kind not in "fc":
            raise TypeError(f"{name}: expected floats, got {node}")
        if node.graph is not z.graph:
            raise ValueError(f"{name}: expected nodes of z's graph, got {node} of another")


def _prune(targets: list[Node], z: Node) -> Consumers:
    """Return G': what z is made of and what is made of a target, by the edges between them.

    It is found before any gradient is inserted: consumers are taken in it, so that no node that
    is inserted later is ever followed.
    """
    ancestors, stack = {z}, [z]
    while stack:
        for node in stack.pop().inputs:
            if node not in ancestors:
                ancestors.add(node)
                stack.append(node)
    inside = set(targets)
    consumers: Consumers = {}
    for C in sorted(ancestors, key=lambda node: node.index):  # inputs before their consumers
        for position, node in enumerate(C.inputs):
            if node in inside:
                inside.add(C)
                consumers.setdefault(node, []).append((C, position))
    return consumers


def _build_grad(V: Node, consumers: Consumers, grad_table: dict[Node, Node]) -> None:
    """Enter the gradient in V, and all those that it needs (Deep Learning, Algorithm 6.6).

    The recursion of the book is a stack here: an unfolded network is deeper than Python's limit.
    """
    stack = [V]
    while stack:
        V = stack[-1]
        needed = [C for C, _ in consumers.get(V, []) if C not in grad_table]
        if V in grad_table:
            stack.pop()
        elif needed:
            stack.extend(reversed(needed))
        else:
            grad_table[V] = _sum_over_consumers(V, consumers.get(V, []), grad_table)
            stack.pop()


def _sum_over_consumers(
    V: Node, uses: list[tuple[Node, int]], grad_table: dict[Node, Node]
) -> Node:
    """Return G_V = sum_i op_i.bprop(inputs of C_i, V, D_i) as a node."""
    gradient: Node | None = None
    for C, position in uses:
        assert C.operation is not None  # a consumer is an operation's result
        part = C.operation.bprop(C.inputs, position, grad_table[C])
        if part is not None:
            gradient = part if gradient is None else gradient + part
    return V.graph.constant(np.zeros(V.shape, V.dtype)) if gradient is None else gradient
