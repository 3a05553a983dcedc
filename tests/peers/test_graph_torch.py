"""Gradients of gradients on the graph, against PyTorch's double backward in float64."""

import numpy as np
import pytest
from helpers import error, make_case
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
import tdnn
from fastrnn.graph import build_grad, total, unfold

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers
functional = torch.nn.functional
SETTINGS = settings(max_examples=15, derandomize=True, deadline=None)
SIZES = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4),
    st.integers(1, 6), st.integers(2, 7), st.integers(2, 6),
)  # fmt: skip


def products(net, z, directions):
    """Return the gradient of z and the Hessian times the directions, parameter by parameter."""
    nodes = list(net.parameters.values())
    gradients = build_grad(nodes, z)
    parts = [total(gradients[a] * directions[name]) for name, a in net.parameters.items()]
    second = build_grad(nodes, sum(parts[1:], parts[0]))
    evaluate = net.graph.evaluate
    return evaluate(list(gradients.values())), evaluate(list(second.values()))


def torch_products(value, tensors, directions):
    """Return the same by autograd, twice."""
    names = list(tensors)
    gradients = torch.autograd.grad(value, list(tensors.values()), create_graph=True)
    parts = [
        torch.sum(g * torch.tensor(directions[n])) for n, g in zip(names, gradients, strict=True)
    ]
    second = torch.autograd.grad(
        sum(parts), list(tensors.values()), allow_unused=True, materialize_grads=True
    )
    return [g.detach().numpy() for g in gradients], [g.numpy() for g in second]


def loss_of(o, targets, loss):
    rows = o.flatten(0, 1), torch.tensor(targets).flatten(0, 1)
    if loss == "softmax":
        return functional.cross_entropy(*rows, reduction="sum")
    if loss == "sigmoid":
        return functional.binary_cross_entropy_with_logits(*rows, reduction="sum")
    return functional.mse_loss(*rows, reduction="sum")


def elman(t, x, f):
    h, frames = torch.zeros(x.shape[1], len(t["b"]), dtype=torch.float64), []
    for x_t in x:
        h = f(x_t @ t["U"].T + h @ t["W"].T + t["b"])
        frames.append(h)
    return torch.stack(frames) @ t["V"].T + t["c"]


def jordan(t, x, f):
    z, frames = torch.zeros(x.shape[1], len(t["c"]), dtype=torch.float64), []
    for x_t in x:
        o = f(x_t @ t["U"].T + z @ t["W"].T + t["b"]) @ t["V"].T + t["c"]
        z = torch.softmax(o, -1)
        frames.append(o)
    return torch.stack(frames)


def windows(t, x, f):
    """Two layers of the offsets -1, 0, 1 with zero padding are convolutions."""
    h = x.permute(1, 2, 0)
    for W, b in (("W0", "b0"), ("W1", "b1")):
        h = f(functional.conv1d(h, t[W].permute(1, 2, 0), t[b], padding=1))
    return h.permute(2, 0, 1) @ t["V"].T + t["c"]


KINDS = {"elman": elman, "jordan": jordan, "tdnn": windows}


@SETTINGS
@given(
    SIZES, st.sampled_from(list(KINDS)), st.sampled_from(["softmax", "sigmoid", "squared"]),
    st.sampled_from(["tanh", "sigmoid", "relu"]),
)  # fmt: skip
def test_hessian_vector_products(sizes, kind, loss, activation):
    s = make_case(*sizes)
    p, m, q = sizes[3:]
    if kind == "jordan":
        loss = "softmax"  # a model that feeds back softmax(o)
        body = fastrnn.Jordan(p, m, q, activation=activation, dtype="float64", rng=sizes[0])
        model = fastrnn.SequenceModel(body)
    else:
        body = fastrnn.Elman(p, m, activation=activation, dtype="float64", rng=sizes[0])
        if kind == "tdnn":
            layers = [(m, (-1, 0, 1)), (3, (-1, 0, 1))]
            body = tdnn.TDNN(p, layers, activation=activation, dtype="float64", rng=sizes[0])
        model = fastrnn.SequenceModel(body, q, loss=loss, rng=sizes[0])
    rng = np.random.default_rng(sizes[0])
    directions = {n: rng.standard_normal(a.shape) for n, a in model.parameters().items()}
    net = unfold(model, len(s.x), x=s.x, targets=s.targets[loss], reduction="sum")
    got = products(net, net.L, directions)
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in model.parameters().items()}
    o = KINDS[kind](tensors, torch.tensor(s.x), getattr(torch, activation))
    value = loss_of(o, s.targets[loss], loss)
    want = torch_products(value, tensors, directions)
    assert error(net.graph.evaluate(net.L), value.item()) <= 1e-12
    for a, b in zip(got, want, strict=True):
        whole = np.concatenate([np.ravel(array) for array in b])
        assert error(np.concatenate([np.ravel(array) for array in a]), whole) <= 1e-10
        assert np.linalg.norm(whole) > 0


def test_two_hundred_steps():
    s = make_case(40, 200, 2, 3, 8, 4)
    model = fastrnn.SequenceModel(fastrnn.Elman(3, 8, dtype="float64", rng=0), 4, rng=0)
    model.body.W[...] = s.W
    rng = np.random.default_rng(41)
    directions = {n: rng.standard_normal(a.shape) for n, a in model.parameters().items()}
    net = unfold(model, 200, x=s.x, targets=s.targets["softmax"], reduction="sum")
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in model.parameters().items()}
    value = loss_of(elman(tensors, torch.tensor(s.x), torch.tanh), s.targets["softmax"], "softmax")
    want = torch_products(value, tensors, directions)
    for a, b in zip(products(net, net.L, directions), want, strict=True):
        assert all(error(x, y) <= 1e-10 for x, y in zip(a, b, strict=True))
