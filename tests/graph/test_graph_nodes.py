"""The graph itself: nodes, names, values, and when they are computed."""

import subprocess
import sys

import numpy as np
import pytest

from fastrnn.graph import Graph, build_grad, exp, tanh, total
from fastrnn.graph.functions import Tanh


class Counted(Tanh):
    """tanh, which counts how often it is computed."""

    calls = 0

    def compute(self, *inputs):
        Counted.calls += 1
        return super().compute(*inputs)


def chain():
    graph = Graph()
    a = graph.parameter(np.array([0.5, -1.0]), "a")
    Counted.calls = 0
    return graph, a, graph.apply(Counted(), a)


def test_building_computes_nothing_and_each_node_is_computed_once():
    graph, a, h = chain()
    gradient = build_grad([a], total(h * h))[a]
    assert Counted.calls == 0
    for _ in range(2):
        graph.evaluate([h, gradient, h])
    assert Counted.calls == 1


def test_only_what_is_needed_is_computed():
    graph, a, _ = chain()
    np.testing.assert_array_equal(graph.evaluate(exp(a)), np.exp([0.5, -1.0]))
    assert Counted.calls == 0


def test_given_values_count_for_one_call():
    graph, a, h = chain()
    before = graph.evaluate(h)
    got = graph.evaluate(h, {a: np.array([1.0, 2.0])})
    np.testing.assert_array_equal(got, np.tanh([1.0, 2.0]))
    assert graph.evaluate(h) is before
    assert graph.evaluate(h, {a: np.array([1j, 2j])}).dtype == complex


def test_assigned_values_stay():
    graph, a, h = chain()
    graph.evaluate(h)
    graph.assign(a, [1.0, 2.0])
    np.testing.assert_array_equal(graph.evaluate([a, h]), [[1, 2], np.tanh([1.0, 2.0])])


def test_values_are_copies_and_read_only():
    graph = Graph()
    array = np.ones(3)
    a = graph.input(array)
    array[:] = 7
    np.testing.assert_array_equal(graph.evaluate(a + 1), 2 * np.ones(3))
    for value in graph.evaluate([a, a + 1, a[1:]]):
        with pytest.raises(ValueError, match="read-only"):
            value[:] = 0


def test_names():
    graph = Graph()
    a = graph.input(1.0, "a")
    h = graph.call(tanh(a), "h(1)")
    assert graph["h(1)"] is h and "a" in graph and "b" not in graph
    assert graph.names == {"a": a, "h(1)": h}
    assert repr(h) == "<h(1): tanh () float64>" and repr(a + a) == "<add () float64>"
    for node, name in ((a, "b"), (a + a, "h(1)")):
        with pytest.raises(ValueError, match="^name: expected a new name of a node without one"):
            graph.call(node, name)
    with pytest.raises(ValueError, match="^name: expected a new name"):
        graph.input(1.0, "a")
    with pytest.raises(KeyError):
        graph["b"]


def test_numbers_and_arrays_beside_nodes():
    graph = Graph()
    a = graph.input(np.array([1.0, 2.0], np.float32))
    for node in (2 + a, a + 2, np.array([2.0, 2.0]) + a, 4 - a, a - 1, 3 * a, a / 2, 2 / a):
        assert node.dtype == np.float32 and graph.evaluate(node).dtype == np.float32
    np.testing.assert_array_equal(graph.evaluate(np.array([4.0, 4.0]) - a), [3, 2])
    np.testing.assert_array_equal(graph.evaluate(2 / a), [2, 1])
    M = graph.input(np.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(graph.evaluate(np.eye(1) @ M @ np.ones((2, 1))), [[3]])
    before = len(graph.nodes)
    _ = 1 - a, 1 - a  # the number is made once
    assert sum(node.kind == "constant" for node in graph.nodes[before:]) <= 1
    with pytest.raises(TypeError):
        list(a)


def test_other_graphs_and_used_operations_are_refused():
    graph, other = Graph(), Graph()
    a, b = graph.input(1.0), other.input(1.0)
    operation = Tanh()
    graph.apply(operation, a)
    with pytest.raises(ValueError, match="^operation: expected a new one"):
        graph.apply(operation, a)
    with pytest.raises(ValueError, match="^inputs: expected nodes of one graph"):
        a + b
    with pytest.raises(ValueError, match="^nodes: expected nodes of this graph"):
        graph.evaluate([a, b])
    for node in (b, tanh(a)):
        with pytest.raises(ValueError, match="^node: expected an input or parameter of this"):
            graph.assign(node, 1.0)
    with pytest.raises(ValueError, match=r"^value: expected shape \(\), got \(2,\)"):
        graph.evaluate(a, {a: [1.0, 2.0]})
    with pytest.raises(TypeError, match="^value: expected float64, got int64"):
        graph.assign(a, 1)
    with pytest.raises(TypeError, match="^value: expected floats or integers, got bool"):
        graph.input(True)


def test_importing_fastrnn_does_not_load_the_graph():
    code = "import sys, fastrnn, tdnn; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fastrnn.graph", "fastrnn.svg"} & set(run.stdout.split())
