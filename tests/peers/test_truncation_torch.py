"""Truncated back-propagation against PyTorch, whose state is detached at each window's start."""

import numpy as np
import pytest
from helpers import assert_close
from truncation_by_hand import M, P, Q, draw, edges, make_model

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers


def torch_gradients(model, x, targets, truncation):
    """Return the loss and the gradients of cells that step through each window."""
    body = model.body
    cell = torch.nn.RNNCell(P, M, dtype=torch.float64)
    output = torch.nn.Linear(M, Q, dtype=torch.float64)
    with torch.no_grad():
        for mine, theirs in (
            (body.U, cell.weight_ih), (body.W, cell.weight_hh), (body.b, cell.bias_ih),
            (model.V, output.weight), (model.c, output.bias),
        ):  # fmt: skip
            theirs.copy_(torch.tensor(mine))
        cell.bias_hh.zero_()
    frames, classes = torch.tensor(x), torch.tensor(targets)
    T, value = len(x), 0.0
    states = {0: torch.zeros(x.shape[1], M, dtype=torch.float64)}
    for begin, start, end in edges(T, *truncation):
        h = states[begin].detach()
        loss = 0.0
        for t in range(begin, end):
            h = cell(frames[t], h)
            states[t + 1] = h
            if t >= start:
                loss = loss + torch.nn.functional.cross_entropy(output(h), classes[t])
        (loss / T).backward()
        value += loss.item() / T
    named = {
        "U": cell.weight_ih, "W": cell.weight_hh, "b": cell.bias_ih,
        "V": output.weight, "c": output.bias,
    }  # fmt: skip
    return value, {name: tensor.grad.numpy() for name, tensor in named.items()}


@pytest.mark.parametrize("truncation", [(1, 1), (4, 4), (3, 7), (5, 64), (64, 64)])
def test_a_loop_that_detaches(truncation):
    model = make_model()
    x, targets, _ = draw(95, 38, 5)
    want = torch_gradients(model, x, targets, truncation)
    value, grads = model.loss_and_grad(x, targets, truncation=truncation)
    assert value == pytest.approx(want[0], rel=1e-12)
    assert_close(grads, want[1], 1e-12)
    if truncation == (1, 1):
        whole = model.loss_and_grad(x, targets)[1]
        assert np.linalg.norm(whole["W"] - grads["W"]) > 0.01 * np.linalg.norm(whole["W"])
