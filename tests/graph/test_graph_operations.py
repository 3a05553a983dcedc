"""Every operation: its gradient, and its gradient's gradient, against complex steps."""

import numpy as np
import pytest
from helpers import error

from fastrnn import graph as g
from fastrnn.graph import arithmetic, functions

STEP = 1e-30  # of a complex step: its square vanishes, so that nothing is cut off


def ids(graph, *values):
    return graph.input(np.array(values))


# name -> (function of the graph and its inputs, the inputs' shapes)
CASES = {
    "add": (lambda _, a, b: a + b, [(3, 2), (3, 2)]),
    "add broadcast": (lambda _, a, b: a + b, [(4, 3, 2), (3, 1)]),
    "add number": (lambda _, a: 2.5 + a, [(3,)]),
    "subtract": (lambda _, a, b: a - b, [(3, 1), (1, 2)]),
    "subtract from number": (lambda _, a: 1 - a, [(3, 2)]),
    "multiply": (lambda _, a, b: a * b, [(2, 3), (3,)]),
    "multiply scalar": (lambda _, a, b: a * b, [(2, 3), ()]),
    "square": (lambda _, a: a * a, [(2, 3)]),
    "divide": (lambda _, a, b: a / b, [(2, 3), (2, 1)]),
    "divide number": (lambda _, a: 1 / a, [(2,)]),
    "negate": (lambda _, a: -a, [(2, 3)]),
    "matmul": (lambda _, A, B: A @ B, [(2, 3), (3, 4)]),
    "matmul A^T B": (lambda _, A, B: g.matmul(A, B, True, False), [(3, 2), (3, 4)]),
    "matmul A B^T": (lambda _, A, B: g.matmul(A, B, False, True), [(2, 3), (4, 3)]),
    "matmul A^T B^T": (lambda _, A, B: g.matmul(A, B, True, True), [(3, 2), (4, 3)]),
    "matmul itself": (lambda _, A: A @ A, [(3, 3)]),
    "transpose": (lambda _, A: A.T @ A, [(2, 3)]),
    "transpose alone": (lambda _, A: g.exp(A.T), [(2, 3)]),
    "sum_to": (lambda _, a: g.sum_to(g.exp(a), (3, 1)), [(4, 3, 2)]),
    "total": (lambda _, a: g.total(a) * g.total(a), [(4, 3)]),
    "row_sum": (lambda _, a: a * g.row_sum(a), [(4, 3)]),
    "broadcast_to": (lambda _, a: g.exp(g.broadcast_to(a, (4, 3, 2))), [(3, 1)]),
    "slice one": (lambda _, a: g.exp(a[-2]), [(4, 3)]),
    "slice some": (lambda _, a: g.exp(a[3:0:-2]), [(5, 3)]),
    "stack": (lambda _, a, b: g.exp(g.stack([a, b, a])), [(2, 3), (2, 3)]),
    "exp": (lambda _, a: g.exp(a), [(2, 3)]),
    "log": (lambda _, a: g.log(a * a), [(2, 3)]),
    "tanh": (lambda _, a: g.tanh(a), [(2, 3)]),
    "relu": (lambda _, a: a * g.relu(a), [(5, 3)]),
    "step": (lambda _, a: a * g.step(a), [(5, 3)]),
    "sigmoid": (lambda _, a: g.sigmoid(a), [(5, 3)]),
    "softplus": (lambda _, a: g.softplus(a), [(5, 3)]),
    "softmax": (lambda _, a: g.softmax(a), [(2, 4)]),
    "log_sum_exp": (lambda _, a: g.log_sum_exp(a), [(2, 4)]),
    "pick": (lambda s, a: g.pick(g.exp(a), ids(s, 2, 0, 2)), [(3, 4)]),
    "place": (lambda s, a: g.place(g.exp(a), ids(s, 2, 0, 2), 4), [(3, 1)]),
    "columns": (lambda s, W: g.columns(g.exp(W), ids(s, 2, 0, 2)), [(5, 4)]),
    "scatter_columns": (lambda s, a: g.scatter_columns(g.exp(a), ids(s, 2, 0, 2), 4), [(3, 5)]),
    "masked": (lambda _, a: g.exp(g.masked(a, np.array([True, False]))), [(2, 3)]),
}  # fmt: skip


def build(name):
    """Return the graph, the inputs and z, a random linear functional of the function."""
    function, shapes = CASES[name]
    rng = np.random.default_rng(len(name))
    graph = g.Graph()
    inputs = [graph.parameter(rng.standard_normal(shape)) for shape in shapes]
    result = function(graph, *inputs)
    return graph, inputs, g.total(result * rng.standard_normal(result.shape)), rng


def complex_step_gradient(graph, z, node):
    """Return the derivative of z in every element of one input, by evaluation at complex values."""
    values = graph.evaluate(node)
    gradient = np.empty(values.shape)
    for index in np.ndindex(values.shape):
        shifted = values.astype(complex)
        shifted[index] += 1j * STEP
        gradient[index] = graph.evaluate(z, {node: shifted}).imag / STEP
    return gradient


@pytest.mark.parametrize("name", CASES)
def test_gradient_and_its_gradient(name):
    graph, inputs, z, rng = build(name)
    gradients = g.build_grad(inputs, z)
    for node in inputs:
        want = complex_step_gradient(graph, z, node)
        assert np.linalg.norm(want) > 0
        assert error(graph.evaluate(gradients[node]), want) <= 1e-13
    parts = [g.total(a * rng.standard_normal(a.shape)) for a in gradients.values()]
    s = sum(parts[1:], parts[0])  # its gradient is a Hessian-vector product
    second = g.build_grad(inputs, s)
    for node in inputs:
        want = complex_step_gradient(graph, s, node)
        scale = max(1.0, float(np.linalg.norm(want)))
        assert np.linalg.norm(graph.evaluate(second[node]) - want) <= 1e-12 * scale


def test_the_table_holds_every_operation():
    kinds = {
        value.kind
        for module in (arithmetic, functions)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, g.Operation) and value.kind
    }
    built = {node.kind for name in CASES for node in build(name)[0].nodes}
    gradients = set()
    for name in CASES:
        graph, inputs, z, _ = build(name)
        g.build_grad(inputs, z)
        gradients |= {node.kind for node in graph.nodes}
    assert kinds <= built | gradients
    assert len(kinds) >= 25


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.longdouble])
def test_any_float_dtype(name, dtype):
    graph, inputs, z, _ = build(name)
    given = {node: graph.evaluate(node).astype(dtype) for node in inputs}
    other = g.Graph()
    same = [other.parameter(value) for value in given.values()]
    result = CASES[name][0](other, *same)
    whole = g.total(result)
    gradients = list(g.build_grad(same, whole).values())
    assert {a.dtype for a in other.evaluate([result, *gradients])} == {np.dtype(dtype)}
    assert {node.dtype for node in [result, *gradients]} == {np.dtype(dtype)}
    assert [a.shape for a in other.evaluate(gradients)] == [node.shape for node in same]


def test_relu_at_zero_and_at_nan():
    graph = g.Graph()
    a = graph.parameter(np.array([-1.0, 0.0, 2.0, np.nan]))
    h = g.relu(a)
    np.testing.assert_array_equal(graph.evaluate(h), [0, 0, 2, np.nan])
    np.testing.assert_array_equal(graph.evaluate(g.build_grad([a], g.total(h))[a]), [0, 0, 1, 0])


def test_nothing_overflows():
    graph = g.Graph()
    a = graph.parameter(np.array([[-1e4, 0.0, 1e4]]))
    for function in (g.sigmoid, g.softplus, g.softmax, g.log_sum_exp):
        h = function(a)
        gradient = g.build_grad([a], g.total(h))[a]
        assert all(np.isfinite(array).all() for array in graph.evaluate([h, gradient]))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda a, _: a @ a, "^matmul: expected matrices that conform, got"),
        (lambda a, _: a[0] @ a, "^matmul: expected matrices"),
        (lambda a, _: a + a[0].graph.constant(np.ones(5)), "^add: expected shapes that broadcast"),
        (lambda a, _: a[0].T, "^transpose: expected a matrix"),
        (lambda a, _: g.sum_to(a, (4,)), "^sum_to: expected"),
        (lambda a, _: g.broadcast_to(a, (2, 2)), "^broadcast_to: expected"),
        (lambda a, _: g.stack([a, a[0]]), "^stack: expected nodes of one shape"),
        (lambda a, _: g.stack([]), "^nodes: expected at least one node"),
        (lambda a, i: g.pick(a, i), "^pick: expected integer ids, one for each row"),
        (lambda a, i: g.pick(a, a[0]), "^pick: expected integer ids"),
        (lambda a, i: g.columns(a, a[0]), "^columns: expected integer ids"),
        (lambda a, i: g.scatter_columns(a, i, 4), "^scatter_columns: expected integer ids"),
        (lambda a, _: g.total(a)[0], "^index: expected a node with an axis"),
    ],
)
def test_shapes_are_checked_when_a_node_is_made(call, match):
    graph = g.Graph()
    a, i = graph.input(np.ones((2, 3))), graph.input(np.zeros(3, int))
    count = len(graph.nodes)
    with pytest.raises(ValueError, match=match):
        call(a, i)
    assert all(node.kind not in ("matmul", "add", "pick") for node in graph.nodes[count:])


def test_index_is_an_integer_or_a_slice():
    a = g.Graph().input(np.ones((2, 3)))
    with pytest.raises(TypeError, match="^index: expected an integer or a slice, got"):
        a[0, 1]
    with pytest.raises(IndexError):
        a[2]
