"""Networks unfolded as graphs, against the kernels (Elman, TDNN) and the reference (Jordan)."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, LOSSES, assert_close, error, make_case, poisoned
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
import tdnn
from fastrnn import reference
from fastrnn.graph import Graph, build_grad, total, unfold

SETTINGS = settings(max_examples=15, derandomize=True, deadline=None)
SIZES = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),  # T
    st.integers(1, 4),  # B
    st.integers(1, 5),  # p
    st.integers(1, 5),  # m
    st.integers(1, 5),  # q
)
FLAGS = st.tuples(st.booleans(), st.booleans())  # token ids, lengths


def filled(body, s):
    """Return the body with the case's parameters."""
    for name, array in body.parameters().items():
        array[...] = getattr(s, name)
    return body


def random_tdnn(s, activation):
    """Return two layers of any offsets, strides and padding, drawn from the case's numbers."""
    rng = np.random.default_rng(len(s.x) + 7 * s.U.size)
    padding = ["valid", "zero", "replicate", "causal"][rng.integers(4)]
    highest = 0 if padding == "causal" else 2
    layers = []
    for size in (len(s.b), 3):
        offsets = rng.permutation(np.arange(-2, highest + 1))[: rng.integers(1, 4)]
        layers.append((size, offsets.tolist(), int(rng.integers(1, 3))))
    p = s.U.shape[1]
    return tdnn.TDNN(p, layers, activation=activation, padding=padding, dtype=np.float64, rng=rng)


def functional(net, d_output):
    """Return the scalar sum of <d_output, o>, whose gradient in o is d_output."""
    parts = [total(o * d) for o, d in zip(net.o, d_output, strict=True)]
    return sum(parts[1:], parts[0])


def gradients_of(net, z, **more):
    """Return z's gradients in the parameters, in x (unless it holds ids) and in further nodes."""
    nodes = dict(net.parameters) | {name: net.graph[node] for name, node in more.items()}
    floats = net.x[0].dtype.kind == "f"
    built = build_grad([*nodes.values(), *(net.x if floats else ())], z)
    named = {name: net.graph.evaluate(built[node]) for name, node in nodes.items()}
    return named | {
        "x": np.stack([net.graph.evaluate(built[x]) for x in net.x]) if floats else None
    }


def outputs_of(net):
    return np.stack(net.graph.evaluate(net.o))


@SETTINGS
@given(SIZES, FLAGS, st.sampled_from(ACTIVATIONS))
def test_elman_layer(sizes, flags, activation):
    s = poisoned(make_case(*sizes, tokens=flags[0]))
    lengths = s.lengths if flags[1] else np.full(len(s.h0), len(s.x))
    if not flags[1]:
        s = make_case(*sizes, tokens=flags[0])
    body = fastrnn.Elman(sizes[3], sizes[4], activation=activation, dtype=np.float64)
    trace = filled(body, s).forward(s.x, s.h0, lengths=lengths)
    grads = body.backward(s.dh, trace)
    net = unfold(body, len(s.x), x=s.x, h0=s.h0, lengths=lengths)
    dh = np.where(np.arange(len(s.x))[:, None, None] < lengths[:, None], s.dh, 0)
    got = gradients_of(net, functional(net, dh), h0="h(0)")
    assert error(outputs_of(net), trace.h) <= 1e-12
    assert_close(got, {**grads, "h0": grads.dh0, "x": grads.dx}, 1e-12)


@SETTINGS
@given(SIZES, FLAGS, st.sampled_from(ACTIVATIONS))
def test_tdnn_layers(sizes, flags, activation):
    s = make_case(*sizes, tokens=flags[0])
    lengths = s.lengths if flags[1] else None
    s = poisoned(s) if flags[1] else s
    body = random_tdnn(s, activation)
    trace = body.forward(s.x, lengths=lengths)
    if not len(trace.h):
        with pytest.raises(ValueError, match="^T: expected enough steps for one output frame"):
            unfold(body, len(s.x), x=s.x, lengths=lengths)
        return
    dh = np.random.default_rng(1).standard_normal(trace.h.shape)
    grads = body.backward(dh, trace)
    net = unfold(body, len(s.x), x=s.x, lengths=lengths)
    dh[np.arange(len(dh))[:, None] >= trace.lengths] = 0
    assert error(outputs_of(net), trace.h) <= 1e-12
    assert_close(gradients_of(net, functional(net, dh)), {**grads, "x": grads.dx}, 1e-12)


@SETTINGS
@given(
    SIZES, FLAGS, st.sampled_from(LOSSES), st.sampled_from(["each", "last", "mean"]),
    st.sampled_from(["sum", "mean"]), st.booleans(),
)  # fmt: skip
def test_models(sizes, flags, loss, readout, reduction, windows):
    """Loss and gradients of whole models, with weights, for each body, loss and readout."""
    s = make_case(*sizes, tokens=flags[0])
    s = poisoned(s)
    body = random_tdnn(s, "tanh")
    if windows is False or not len(body.forward(np.zeros((len(s.x), 1, sizes[3]))).h):
        body = fastrnn.Elman(sizes[3], sizes[4], dtype=np.float64, rng=0)
    model = fastrnn.SequenceModel(body, sizes[5], loss=loss, readout=readout, rng=0)
    model.V[...], model.c[...] = model.V, s.c
    targets, weights = s.targets[loss], s.weights
    if readout != "each":
        targets, weights = targets[0], np.random.default_rng(2).uniform(0.5, 2, len(s.h0))
    settings = {"lengths": s.lengths, "weights": weights, "reduction": reduction}
    value, want = model.loss_and_grad(s.x, targets, **settings)
    net = unfold(model, len(s.x), x=s.x, targets=targets, **settings)
    assert error(net.graph.evaluate(net.L), value) <= 1e-12
    got = gradients_of(net, net.L)
    assert_close({name: got[name] for name in want}, want, 1e-12)
    assert error(sum(net.graph.evaluate(list(net.losses))), value) <= 1e-12


@SETTINGS
@given(
    SIZES, FLAGS, st.sampled_from(["softmax", "sigmoid", "identity"]),
    st.sampled_from(["free", "ids", "floats", "mixed"]), st.booleans(),
)  # fmt: skip
def test_jordan_layer(sizes, flags, feedback, teacher, anew):
    s = make_case(*sizes, tokens=flags[0], lengths=flags[1])
    T, B, q = len(s.x), len(s.h0), sizes[5]
    rng = np.random.default_rng(sizes[0])
    W, z0, do = (rng.standard_normal(shape) for shape in ((sizes[4], q), (B, q), (T, B, q)))
    y = {"ids": s.targets["softmax"], "free": None}.get(teacher, s.targets["squared"])
    forced = rng.random((T, B)) < 0.5 if teacher == "mixed" else None
    resets = rng.random((T, B)) < 0.3 if anew else None
    body = fastrnn.Jordan(sizes[3], sizes[4], q, feedback=feedback, dtype=np.float64)
    s.W = W
    filled(body, s)
    state = reference.jordan_forward(
        s.x, s.U, W, s.b, s.V, s.c, y, z0, s.lengths, "tanh", feedback, forced, resets=resets
    )
    grads = reference.jordan_backward(
        do, s.x, state.h, state.o, s.U, W, s.V, y, state.z, z0, s.lengths, "tanh", feedback,
        forced, resets=resets,
    )  # fmt: skip
    net = unfold(
        body, T, x=s.x, y=y, lengths=s.lengths, z0=z0, forced=forced, resets=resets
    )  # fmt: skip
    if flags[1]:
        do[np.arange(T)[:, None] >= s.lengths] = 0
    got = gradients_of(net, functional(net, do), z0="z(0)")
    assert error(outputs_of(net), state.o) <= 1e-12
    assert error(np.stack(net.graph.evaluate(net.h)), state.h) <= 1e-12
    assert_close(got, {name: getattr(grads, "d" + name) for name in got}, 1e-12)


def test_jordan_model_shares_the_targets_that_it_is_fed():
    s = make_case(30, 6, 3, 4, 5, 3, lengths=False)
    body = fastrnn.Jordan(4, 5, 3, dtype=np.float64, rng=0)
    model = fastrnn.SequenceModel(body)
    y = s.targets["softmax"]
    net = unfold(model, 6, x=s.x, targets=y, y=y)
    users = [node.kind for node in net.graph.nodes if net.graph["y(2)"] in node.inputs]
    assert sorted(users) == ["columns", "pick"]
    state = reference.jordan_forward(s.x, body.U, body.W, body.b, body.V, body.c, y)
    shares = np.full(y.shape, 1 / y.size)  # a model's loss is a mean
    value, do = reference.softmax_cross_entropy(state.o, y, None, shares)
    want = reference.jordan_backward(do, s.x, state.h, state.o, body.U, body.W, body.V, y)
    assert error(net.graph.evaluate(net.L), value) <= 1e-12
    got = gradients_of(net, net.L)
    assert_close(got, {name: getattr(want, "d" + name) for name in got}, 1e-12)
    other = unfold(model, 6, x=s.x, targets=y, y=y.copy())
    assert "fed(2)" in other.graph
    assert error(other.graph.evaluate(other.L), value) <= 1e-12


def test_elman_resets_are_sequences_of_their_own():
    s = make_case(31, 9, 1, 4, 5, 3, lengths=False)
    resets = np.zeros((9, 1), bool)
    resets[[0, 3, 4, 8]] = True
    body = filled(fastrnn.Elman(4, 5, dtype=np.float64), s)
    net = unfold(body, 9, x=s.x, h0=s.h0, resets=resets)
    got = gradients_of(net, functional(net, s.dh), h0="h(0)")
    want = dict.fromkeys(("U", "W", "b", "h0"), 0.0) | {"x": np.empty_like(s.x)}
    for part in (slice(0, 3), slice(3, 4), slice(4, 8), slice(8, 9)):
        trace = body.forward(s.x[part], s.h0)
        assert error(outputs_of(net)[part], trace.h) <= 1e-12
        grads = body.backward(s.dh[part], trace)
        for name in ("U", "W", "b"):
            want[name] = want[name] + grads[name]
        want["h0"] = want["h0"] + grads.dh0
        want["x"][part] = grads.dx
    assert_close(got, want, 1e-12)


def test_bodies_may_be_made_of_bodies():
    """Elman over a strided TDNN over Elman: what the protocol's Frames are for."""
    s = make_case(33, 9, 3, 4, 5, 3)
    low = fastrnn.Elman(4, 5, dtype=np.float64, rng=0)
    middle = tdnn.TDNN(5, [(4, (-1, 1), 2)], padding="valid", dtype=np.float64, rng=1)
    high = fastrnn.Elman(4, 3, dtype=np.float64, rng=2)
    stack = fastrnn.Stack([low, middle, high])
    trace = stack.forward(s.x, lengths=s.lengths)
    dh = np.where(np.arange(len(trace.h))[:, None] < trace.lengths, 1.0, 0.0)[..., None]
    dh = dh * np.random.default_rng(3).standard_normal(trace.h.shape)
    grads = stack.backward(dh, trace)
    net = unfold(stack, 9, x=s.x, lengths=s.lengths)
    assert error(outputs_of(net), trace.h) <= 1e-12
    assert_close(gradients_of(net, functional(net, dh)), dict(grads) | {"x": grads.dx}, 1e-12)
    names = [node.name for node in net.h]
    assert names == ["2.h(2)", "2.h(4)", "2.h(6)", "2.h(8)"]
    assert {"0.h(0)", "0.h(9)", "1.W0[1]", "1.h0(2)", "2.h(0)", "2.W"} <= set(net.graph.names)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_layer_with_a_loss_of_its_own(loss):
    s = make_case(32, 6, 3, 4, 5, 5)
    body = filled(fastrnn.Elman(4, 5, dtype=np.float64), s)
    trace = body.forward(s.x, lengths=s.lengths)
    function = {
        "softmax": fastrnn.softmax_cross_entropy,
        "sigmoid": fastrnn.sigmoid_cross_entropy,
        "squared": fastrnn.squared_error,
    }[loss]
    targets = s.targets[loss]
    want = function(trace.h, targets, lengths=s.lengths, weights=s.weights)
    net = unfold(body, 6, x=s.x, targets=targets, lengths=s.lengths, weights=s.weights, loss=loss)
    assert error(net.graph.evaluate(net.L), want.value) <= 1e-12
    grads = body.backward(want.do, trace)
    got = gradients_of(net, net.L)
    assert_close({name: got[name] for name in grads}, dict(grads), 1e-12)


def test_names_and_defaults():
    net = unfold(fastrnn.SequenceModel(fastrnn.Elman(2, 3), 4), 2, targets=[[0], [1]])
    named = {"x(1)", "x(2)", "h(0)", "h(1)", "h(2)", "o(1)", "o(2)", "y(1)", "y(2)"}
    assert set(net.graph.names) == named | {"L(1)", "L(2)", "L", "U", "W", "b", "V", "c"}
    assert net.graph["h(2)"] is net.h[1] and net.graph["L"] is net.L
    assert net.graph.evaluate(net.L).dtype == np.float32
    assert error(net.graph.evaluate(net.L), np.log(4)) <= 1e-6
    deep = tdnn.TDNN(2, [(3, (-1, 0), 2), (3, (0, 2))], padding="valid")
    net = unfold(deep, 9, batch_size=2)
    assert [node.name for node in net.h] == ["h1(2)", "h1(4)"]
    assert net.h[0].shape == (2, 3) and "h0(8)" in net.graph and "h0(3)" not in net.graph
    assert net.L is None and net.losses == ()


def test_the_graph_keeps_its_own_copy_of_the_parameters():
    body = fastrnn.Elman(2, 3, rng=0)
    net = unfold(body, 1)
    body.W[...] = 0
    assert net.graph.evaluate(net.parameters["W"]).any()


def bad_calls():
    elman, x = fastrnn.Elman(2, 3, dtype=np.float64), np.zeros((4, 2, 2))
    model = fastrnn.SequenceModel(elman, 3)
    jordan = fastrnn.Jordan(2, 3, 3, dtype=np.float64, feedback="argmax")
    y = np.zeros((4, 2), int)
    return [
        ((object(), 4), {}, TypeError, "network: expected a model or a layer that unfolds"),
        ((fastrnn.Elman, 4), {}, TypeError, "network: expected a model or a layer"),
        ((elman, 0), {}, ValueError, "T: expected an integer >= 1"),
        ((elman, 5), {"x": x}, ValueError, "T, x: expected x of shape"),
        ((elman, 4), {"x": x.astype("f")}, TypeError, "x: expected float64"),
        ((elman, 4), {"x": x[:, :0]}, ValueError, "x: expected at least one sequence"),
        ((elman, 4), {"x": y - 1}, ValueError, "x: expected integers from 0 to 1"),
        ((elman, 4), {"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1"),
        ((elman, 4), {"x": x, "lengths": [5, 1]}, ValueError, "lengths: expected values from 0"),
        ((elman, 4), {"x": x, "h0": np.zeros((2, 4))}, ValueError, "h0: expected float64 of"),
        ((elman, 4), {"x": x, "resets": y}, TypeError, "resets: expected bool, got int64"),
        ((elman, 4), {"x": x, "resets": y[1:] > 0}, ValueError, "resets: expected shape"),
        ((elman, 4), {"x": x, "targets": y}, TypeError, "loss: expected one of"),
        ((elman, 4), {"loss": "softmax"}, ValueError, "targets: expected targets beside loss"),
        ((model, 4), {"weights": y}, ValueError, "targets: expected targets beside loss"),
        ((model, 4), {"loss": "softmax"}, ValueError, "loss: expected None, for a model has"),
        ((model, 4), {"x": x, "targets": y + 3}, ValueError, "targets: expected integers from"),
        ((model, 4), {"x": x, "targets": y, "reduction": "max"}, ValueError, "reduction: expected"),
        ((jordan, 4), {"x": x}, ValueError, "feedback: expected a differentiable one"),
        ((jordan, 4), {"x": x, "y": y + 3}, ValueError, "y: expected integers from 0 to 2"),
        ((jordan, 4), {"x": x, "forced": y == 0}, ValueError, "forced, y: expected y where"),
        ((jordan, 4), {"x": x, "y": y, "z0": y}, ValueError, "z0: expected float64 of shape"),
    ]  # fmt: skip


@pytest.mark.parametrize(("arguments", "settings", "kind", "start"), bad_calls())
def test_bad_calls(arguments, settings, kind, start):
    with pytest.raises(kind, match="^" + start):
        unfold(*arguments, **settings)


def test_frames_of_another_graph_are_refused():
    net = unfold(fastrnn.Elman(2, 3), 1)
    with pytest.raises(ValueError, match="^nodes: expected nodes of this graph"):
        Graph().evaluate(net.h[0])
