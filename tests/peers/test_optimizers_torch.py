"""Optimizers against PyTorch's, float64, over several steps."""

import numpy as np
import pytest

from fastrnn.optimizers import SGD, AdaGrad, Adam, RMSProp, clip_by_norm

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers

PAIRS = [
    (SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    (SGD(0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    (RMSProp(), lambda p: torch.optim.RMSprop(p, lr=1e-3)),
    (RMSProp(0.02, decay=0.9), lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.9)),
    (AdaGrad(), lambda p: torch.optim.Adagrad(p)),
    (Adam(), lambda p: torch.optim.Adam(p)),
    (Adam(0.05, weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1)),
    (Adam(0.05, 0.8, 0.99, 1e-6), lambda p: torch.optim.Adam(p, 0.05, (0.8, 0.99), 1e-6)),
]


@pytest.mark.parametrize(("optimizer", "make"), PAIRS, ids=[repr(pair[0]) for pair in PAIRS])
def test_twenty_steps_as_torch(optimizer, make):
    rng = np.random.default_rng(0)
    ours = {"U": rng.standard_normal((5, 7)), "b": rng.standard_normal(3)}
    theirs = {name: torch.tensor(w.copy(), requires_grad=True) for name, w in ours.items()}
    other = make(list(theirs.values()))
    for _ in range(20):
        gradients = {
            name: rng.standard_normal(w.shape) * 10.0 ** rng.integers(-6, 3)
            for name, w in ours.items()
        }
        optimizer.step(ours, gradients)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(gradients[name])
        other.step()
        for name, w in ours.items():
            np.testing.assert_allclose(w, theirs[name].detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("max_norm", [0.3, 1e6])
def test_clipping_as_torch(max_norm):
    rng = np.random.default_rng(1)
    gradients = {"U": rng.standard_normal((5, 7)), "b": rng.standard_normal(3)}
    tensors = [torch.zeros(g.shape, dtype=torch.float64) for g in gradients.values()]
    for tensor, gradient in zip(tensors, gradients.values(), strict=True):
        tensor.grad = torch.tensor(gradient.copy())
    theirs = torch.nn.utils.clip_grad_norm_(tensors, max_norm)
    assert clip_by_norm(gradients, max_norm) == pytest.approx(float(theirs), rel=1e-12)
    for tensor, gradient in zip(tensors, gradients.values(), strict=True):
        # torch divides by norm + 1e-6
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-6)
