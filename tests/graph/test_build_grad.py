"""`build_grad` as Algorithms 6.5 and 6.6 have it: pruning, memo, insertion, no recursion."""

import sys

import numpy as np
import pytest

import fastrnn
from fastrnn.graph import Graph, build_grad, exp, step, tanh, total, unfold


def value(node):
    return node.graph.evaluate(node)


def test_an_input_used_twice_by_one_operation():
    w = Graph().parameter(3.0)
    assert value(build_grad([w], w * w)[w]) == 6
    assert value(build_grad([w], w - w)[w]) == 0
    assert value(build_grad([w], w / w)[w]) == 0


def test_diamonds():
    """Each of 40 diamonds doubles the number of paths: all are summed, none is walked."""
    graph = Graph()
    w = graph.parameter(1.0)
    node = w
    for _ in range(40):
        node = node + node * 1.0
    before = len(graph.nodes)
    assert value(build_grad([w], node)[w]) == 2.0**40
    assert len(graph.nodes) - before < 5 * 40


def test_z_as_a_target_and_targets_on_one_path():
    graph = Graph()
    w = graph.parameter(0.5)
    h = tanh(w)
    z = h * h
    got = build_grad([z, h, w, w], z)
    assert list(got) == [z, h, w]
    want = [1, 2 * np.tanh(0.5), 2 * np.tanh(0.5) * (1 - np.tanh(0.5) ** 2)]
    np.testing.assert_allclose(graph.evaluate(list(got.values())), want, rtol=1e-15)
    assert got[z].shape == () and got[z].kind == "constant"
    assert build_grad([], z) == {}


def test_targets_that_z_does_not_depend_on():
    graph = Graph()
    w, apart = graph.parameter(np.ones(2)), graph.parameter(np.ones((3, 2), np.float32))
    z = total(w * w)
    later = total(tanh(w) * z)  # made of z: no part of it
    masked = total(step(w))  # a function whose derivative is zero
    got = build_grad([apart, later], z)
    assert got[apart].shape == (3, 2) and got[apart].dtype == np.float32
    assert not value(got[apart]).any() and value(got[later]) == 0
    np.testing.assert_array_equal(value(build_grad([w], masked)[w]), [0, 0])


def test_only_the_pruned_graph_gets_gradients():
    graph = Graph()
    x, W, b = (graph.parameter(np.ones(shape)) for shape in ((2, 3), (3, 4), (4,)))
    _side = exp(W)  # W's consumer, but no ancestor of z
    z = total(x @ W + b)
    before = len(graph.nodes)
    build_grad([b], z)
    assert [node.kind for node in graph.nodes[before:]] == ["constant", "broadcast_to", "sum_to"]
    before = len(graph.nodes)
    build_grad([W], z)
    kinds = [node.kind for node in graph.nodes[before:]]
    assert kinds == ["constant", "broadcast_to", "matmul"]  # none for x, b or exp(W)


def test_inserted_consumers_are_not_followed():
    """The gradient consumes W, h and z's other nodes; a second call must not see that."""
    graph = Graph()
    w = graph.parameter(np.array([0.3, -0.4]))
    z = total(tanh(w) * w)
    counts, gradients = [], []
    for _ in range(3):
        before = len(graph.nodes)
        gradients.append(build_grad([w], z)[w])
        counts.append(len(graph.nodes) - before)
        _ = total(gradients[-1] * w)  # more consumers of w, made of its own gradient
    assert counts[1] == counts[2] <= counts[0]  # the number 1 is made once
    first, *others = graph.evaluate(gradients)
    assert all(np.array_equal(first, other) for other in others)


def test_gradients_of_gradients():
    w = Graph().parameter(0.7)
    node = exp(w * w)
    for order in range(5):
        assert node.shape == ()
        want = np.polynomial.hermite.hermval(0.7j, [0] * order + [1])  # d^n exp(w^2)
        want = (want / 1j**order).real * np.exp(0.49)
        np.testing.assert_allclose(value(node), want, rtol=1e-14)
        node = build_grad([w], node)[w]


def unfolded(T):
    body = fastrnn.Elman(2, 3, dtype="float64", rng=0)
    model = fastrnn.SequenceModel(body, 4, rng=0)
    x = np.random.default_rng(T).standard_normal((T, 1, 2))
    return model, x, unfold(model, T, x=x, targets=np.zeros((T, 1), int))


def edges(graph):
    return sum(len(node.inputs) for node in graph.nodes)


def test_the_number_of_operations_grows_linearly():
    """First and second derivatives: twice the steps, twice the nodes; so many for each edge."""
    sizes, first, second = [], [], []
    for T in (50, 100, 200, 400):
        _, _, net = unfolded(T)
        W = net.parameters["W"]
        sizes.append(edges(net.graph))
        gradient = build_grad(list(net.parameters.values()), net.L)[W]
        first.append(edges(net.graph) - sizes[-1])
        build_grad([W], total(gradient * gradient))
        second.append(edges(net.graph) - sizes[-1] - first[-1])
    for counts in (sizes, first, second):
        ratios = [b / a for a, b in zip(counts, counts[1:], strict=False)]
        assert all(1.95 <= ratio <= 2.01 for ratio in ratios), counts
    assert all(a <= 3 * n for a, n in zip(first, sizes, strict=True))
    assert all(a <= 9 * n for a, n in zip(second, sizes, strict=True))


def test_a_thousand_steps():
    """Deeper than Python's limit of recursion."""
    assert sys.getrecursionlimit() <= 4000
    model, x, net = unfolded(1000)
    assert len(net.graph.nodes) > 10 * sys.getrecursionlimit() // 4
    W = net.parameters["W"]
    gradient = net.graph.evaluate(build_grad([W], net.L)[W])
    want = model.loss_and_grad(x, np.zeros((1000, 1), int))[1]["W"]
    np.testing.assert_allclose(gradient, want, rtol=0, atol=1e-12 * np.abs(want).max())


def test_bad_calls():
    graph = Graph()
    w, ids = graph.parameter(np.ones(2)), graph.input(np.zeros(2, int))
    z = total(w)
    with pytest.raises(ValueError, match="^z: expected a scalar, got"):
        build_grad([w], w * w)
    with pytest.raises(TypeError, match="^targets: expected floats, got"):
        build_grad([ids], z)
    with pytest.raises(TypeError, match="^z: expected floats, got"):
        build_grad([w], graph.input(3))
    with pytest.raises(ValueError, match="^targets: expected nodes of z's graph"):
        build_grad([Graph().parameter(1.0)], z)
