"""Residual blocks against the same written in PyTorch, in float64."""

import numpy as np
import pytest

import tdnn

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

T, B = 40, 3


def by_torch(net, x, dh):
    """Return h, dx and the gradients of the parameters, by conv1d on padded sequences."""
    parameters = {
        name: torch.tensor(value, requires_grad=True) for name, value in net.parameters().items()
    }
    inputs = torch.tensor(x, requires_grad=True)
    h = inputs.permute(1, 2, 0)
    for block in range(len(net.projections)):
        below, dilation = h, 2**block
        for layer in (2 * block, 2 * block + 1):
            W, b = parameters[f"W{layer}"].permute(1, 2, 0), parameters[f"b{layer}"]
            padded = torch.nn.functional.pad(h, ((net.taps - 1) * dilation, 0))
            h = torch.relu(torch.nn.functional.conv1d(padded, W, b, dilation=dilation))
        if f"R{block}" in parameters:
            R, r = parameters[f"R{block}"], parameters[f"r{block}"]
            below = torch.nn.functional.conv1d(below, R[:, :, None], r)
        h = torch.relu(h + below)
    h = h.permute(2, 0, 1)
    (h * torch.tensor(dh)).sum().backward()
    gradients = {name: tensor.grad.numpy() for name, tensor in parameters.items()}
    return h.detach().numpy(), inputs.grad.numpy(), gradients


@pytest.mark.parametrize("taps", [2, 3])
@pytest.mark.parametrize(("p", "sizes"), [(7, [9, 9, 9]), (6, [6, (5, 8)])])
def test_frames_and_gradients_as_torch(taps, p, sizes):
    net = tdnn.ResidualTDNN(p, sizes, taps=taps, dtype=np.float64, rng=taps)
    rng = np.random.default_rng(0)
    x, dh = rng.standard_normal((T, B, p)), rng.standard_normal((T, B, net.output_size))
    h, dx, gradients = by_torch(net, x, dh)
    trace = net.forward(x)
    found = net.backward(dh, trace)
    for ours, theirs in [(trace.h, h), (found.dx, dx), *((found[k], gradients[k]) for k in found)]:
        assert ours.shape == theirs.shape
        assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)
