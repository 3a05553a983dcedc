"""Stacked Elman layers against a deep `torch.nn.RNN` in float64."""

import numpy as np
import pytest
from helpers import assert_close, error

import fastrnn

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers
T, B, P, M, LAYERS = 30, 4, 5, 7, 3


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_deep_rnn(nonlinearity):
    torch.manual_seed(0)
    rnn = torch.nn.RNN(P, M, LAYERS, nonlinearity=nonlinearity, dtype=torch.float64)
    stack = fastrnn.Stack.from_torch(rnn.state_dict(), activation=nonlinearity)
    rng, lengths = np.random.default_rng(0), np.array([30, 1, 17, 30])
    x = torch.tensor(rng.standard_normal((T, B, P)), requires_grad=True)
    h0 = torch.tensor(rng.standard_normal((LAYERS, B, M)), requires_grad=True)
    dh, dh_last = rng.standard_normal((T, B, M)), rng.standard_normal((LAYERS, B, M))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    h, h_last = rnn(packed, h0)
    h, _ = torch.nn.utils.rnn.pad_packed_sequence(h, total_length=T)
    (torch.sum(h * torch.tensor(dh)) + torch.sum(h_last * torch.tensor(dh_last))).backward()

    trace = stack.forward(x.detach().numpy(), list(h0.detach().numpy()), lengths=lengths)
    assert error(trace.h, h.detach().numpy()) <= 1e-12
    assert error(np.stack(trace.h_last), h_last.detach().numpy()) <= 1e-12
    gradients = stack.backward(dh, trace, dh_last=list(dh_last))
    want = {}
    for layer in range(LAYERS):
        want[f"{layer}.U"] = getattr(rnn, f"weight_ih_l{layer}").grad.numpy()
        want[f"{layer}.W"] = getattr(rnn, f"weight_hh_l{layer}").grad.numpy()
        want[f"{layer}.b"] = getattr(rnn, f"bias_ih_l{layer}").grad.numpy()
    assert_close(gradients, want, 1e-12)
    assert error(gradients.dx, x.grad.numpy()) <= 1e-12
    assert error(np.stack(gradients.dh0), h0.grad.numpy()) <= 1e-12


def test_a_bidirectional_network_is_refused():
    rnn = torch.nn.RNN(P, M, 2, bidirectional=True)
    with pytest.raises(ValueError, match="^state_dict: expected one direction"):
        fastrnn.Stack.from_torch(rnn.state_dict())
