"""Elman network, losses and whole models against PyTorch in float64."""

import numpy as np
import pytest
from helpers import assert_close, error, function_pass, make_case
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers
functional = torch.nn.functional
SETTINGS = settings(max_examples=40, derandomize=True, deadline=None)
# PyTorch refuses T = 0, B = 0 and sequences of length 0.
SIZES = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(1, 7),
    st.integers(1, 19),
    st.integers(1, 19),
    st.integers(1, 19),
)


def torch_loss(name, o, targets, weights=None):
    """Return the loss of each row of o, summed; the targets are tensors."""
    if name == "softmax":
        rows = functional.cross_entropy(o, targets, reduction="none")
    elif name == "sigmoid":
        rows = functional.binary_cross_entropy_with_logits(o, targets, reduction="none").sum(-1)
    else:
        rows = functional.mse_loss(o, targets, reduction="none").sum(-1)
    return torch.sum(rows if weights is None else weights * rows)


def torch_pass(case, loss, activation):
    """Return what `function_pass` does for h, the value and all gradients, by autograd."""
    names = ("x", "U", "W", "b", "V", "c", "h0")
    tensors = {name: torch.tensor(getattr(case, name), requires_grad=True) for name in names}
    x, U, W, b, V, c, h0 = tensors.values()
    T, p, m = len(case.x), case.x.shape[2], len(case.b)
    rnn = torch.nn.RNN(p, m, nonlinearity=activation, dtype=torch.float64)
    weights = {"weight_ih_l0": U, "weight_hh_l0": W, "bias_ih_l0": 0.25 * b, "bias_hh_l0": 0.75 * b}
    lengths = torch.tensor(case.lengths)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    h, h_last = torch.func.functional_call(rnn, weights, (packed, h0[None]))
    h, _ = torch.nn.utils.rnn.pad_packed_sequence(h, total_length=T)
    valid = torch.arange(T)[:, None] < lengths
    o = h @ V.T + c
    targets, steps = torch.tensor(case.targets[loss]), torch.tensor(case.weights)
    value = torch_loss(loss, o[valid], targets[valid], steps[valid])
    extra = torch.sum(h * torch.tensor(case.dh)) + torch.sum(h_last * torch.tensor(case.dh_last))
    (value + extra).backward()
    arrays = {"h": h, "h_last": h_last[0], "value": value}
    return {name: a.detach().numpy() for name, a in arrays.items()} | {
        "d" + name: tensor.grad.numpy() for name, tensor in tensors.items()
    }


@SETTINGS
@given(SIZES, st.sampled_from(["tanh", "relu"]), st.sampled_from(["softmax", "sigmoid", "squared"]))
def test_packed_ragged_batches(sizes, activation, loss):
    case = make_case(*sizes)
    case.lengths = np.maximum(case.lengths, 1)
    want = torch_pass(case, loss, activation)
    got = function_pass(case, loss, activation)
    assert_close({name: got[name] for name in want}, want, 1e-12)


def test_two_hundred_steps():
    case = make_case(200, 200, 5, 11, 37, 13)
    case.lengths = np.maximum(case.lengths, 1)
    want = torch_pass(case, "softmax", "tanh")
    got = function_pass(case, "softmax", "tanh")
    assert_close({name: got[name] for name in want}, want, 1e-12)


def test_tokens_are_one_hot_frames():
    case = make_case(201, 9, 5, 6, 7, 4, tokens=True)
    case.lengths = np.maximum(case.lengths, 1)
    got = function_pass(case, "softmax", "tanh")
    case.x = np.eye(6)[case.x]
    want = torch_pass(case, "softmax", "tanh")
    assert got.pop("dx") is None and want.pop("dx") is not None
    assert_close({name: got[name] for name in want}, want, 1e-12)


@SETTINGS
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 7), st.integers(1, 19),
    st.sampled_from(["sum", "mean"]),
)  # fmt: skip
def test_cross_entropy_with_ignored_targets(seed, T, B, q, reduction):
    case = make_case(seed, T, B, 1, 1, q)
    case.lengths[0] = max(1, case.lengths[0])  # the mean over nothing is NaN in PyTorch
    targets = case.targets["softmax"].copy()
    targets[np.arange(T)[:, None] >= case.lengths] = -100
    o = torch.tensor(case.targets["squared"], requires_grad=True)
    want = functional.cross_entropy(
        o.permute(0, 2, 1), torch.tensor(targets), ignore_index=-100, reduction=reduction
    )
    want.backward()
    got = fastrnn.softmax_cross_entropy(
        o.detach().numpy(), targets, lengths=case.lengths, reduction=reduction
    )
    assert error(got.value, want.item()) <= 1e-12
    assert error(got.do, o.grad.numpy()) <= 1e-12


@pytest.mark.parametrize("scale", [1, 50, 1e4])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "squared"])
def test_losses_at_any_scale(loss, scale):
    case = make_case(202, 7, 5, 1, 1, 9)
    o = torch.tensor(scale * case.targets["squared"][::-1].copy(), requires_grad=True)
    targets, weights = case.targets[loss], case.weights
    flat = torch.tensor(targets).flatten(0, 1)
    want = torch_loss(loss, o.flatten(0, 1), flat, torch.tensor(weights).flatten())
    want.backward()
    function = {
        "softmax": fastrnn.softmax_cross_entropy,
        "sigmoid": fastrnn.sigmoid_cross_entropy,
        "squared": fastrnn.squared_error,
    }[loss]
    got = function(o.detach().numpy(), targets, weights=weights)
    assert error(got.value, want.item()) <= 1e-12
    assert error(got.do, o.grad.numpy()) <= 1e-12


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_from_torch(dtype, nonlinearity, bias):
    torch.manual_seed(0)
    rnn = torch.nn.RNN(5, 8, num_layers=2, nonlinearity=nonlinearity, bias=bias, dtype=dtype)
    x = torch.randn(20, 3, 5, dtype=dtype)
    with torch.no_grad():
        want, want_last = rnn(x)
    h = x.numpy()
    for layer in range(2):
        body = fastrnn.Elman.from_torch(rnn.state_dict(), layer, activation=nonlinearity)
        assert body.dtype == h.dtype
        trace = body.forward(h)
        h = trace.h
        assert error(trace.h_last, want_last[layer].numpy()) <= (
            1e-5 if dtype == torch.float32 else 1e-12
        )
    assert error(h, want.numpy()) <= (1e-5 if dtype == torch.float32 else 1e-12)
    body.W[...] = 0  # a copy: the network keeps its own
    assert rnn.weight_hh_l1.abs().sum() > 0


def test_from_torch_refuses_what_is_no_rnn():
    for network, match in (
        (torch.nn.GRU(3, 4), "GRU"),
        (torch.nn.LSTM(3, 4), "LSTM"),
        (torch.nn.RNN(3, 4, bidirectional=True), "bidirectional"),
        (torch.nn.Linear(3, 4), "weight_ih_l0"),
    ):
        with pytest.raises(ValueError, match=f"^state_dict: expected .*{match}"):
            fastrnn.Elman.from_torch(network.state_dict())


class TorchModel(torch.nn.Module):
    """What SequenceModel is, written for PyTorch."""

    def __init__(self, p, m, q, readout):
        super().__init__()
        self.rnn = torch.nn.RNN(p, m, dtype=torch.float64)
        self.output = torch.nn.Linear(m, q, dtype=torch.float64)
        self.readout = readout

    def forward(self, x, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        h, h_last = self.rnn(packed)
        h, _ = torch.nn.utils.rnn.pad_packed_sequence(h, total_length=len(x))
        seen = {"each": h, "last": h_last[0], "mean": h.sum(0) / lengths[:, None]}[self.readout]
        return self.output(seen)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("readout", ["each", "last", "mean"])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "squared"])
def test_model(loss, readout, reduction):
    torch.manual_seed(1)
    case = make_case(203, 12, 5, 4, 9, 6)
    lengths = torch.tensor(np.maximum(case.lengths, 1))
    theirs = TorchModel(4, 9, 6, readout)
    body = fastrnn.Elman.from_torch(theirs.rnn.state_dict())
    ours = fastrnn.SequenceModel(body, 6, loss=loss, readout=readout)
    ours.V[...] = theirs.output.weight.detach().numpy()
    ours.c[...] = theirs.output.bias.detach().numpy()

    targets, weights = case.targets[loss], case.weights
    valid = torch.arange(12)[:, None] < lengths
    if readout != "each":
        targets, weights, valid = targets[0], weights[0], torch.ones(5, dtype=torch.bool)
    o = theirs(torch.tensor(case.x), lengths)
    steps = torch.tensor(weights)[valid]
    value = torch_loss(loss, o[valid], torch.tensor(targets)[valid], steps)
    if reduction == "mean":
        value = value / steps.sum()
    value.backward()
    want = {
        "U": theirs.rnn.weight_ih_l0, "W": theirs.rnn.weight_hh_l0, "b": theirs.rnn.bias_ih_l0,
        "V": theirs.output.weight, "c": theirs.output.bias,
    }  # fmt: skip

    got_value, got = ours.loss_and_grad(
        case.x, targets, lengths=lengths.numpy(), weights=weights, reduction=reduction
    )
    assert error(got_value, value.item()) <= 1e-12
    assert_close(got, {name: tensor.grad.numpy() for name, tensor in want.items()}, 1e-12)
    logits = ours.forward(case.x, lengths=lengths.numpy())
    assert error(logits[valid.numpy()], o[valid].detach().numpy()) <= 1e-12
    predicted = {"softmax": lambda o: torch.softmax(o, -1), "sigmoid": torch.sigmoid}
    want_predicted = predicted.get(loss, lambda o: o)(o[valid]).detach().numpy()
    got_predicted = ours.predict(case.x, lengths=lengths.numpy())[valid.numpy()]
    assert error(got_predicted, want_predicted) <= 1e-12
