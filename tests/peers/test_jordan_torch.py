"""Output-to-hidden network against PyTorch's autograd in float64."""

import numpy as np
import pytest
from helpers import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from jordan_cases import FEEDBACKS, TEACHING, draws, function_pass, make_case

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers
SETTINGS = settings(max_examples=60, derandomize=True, deadline=None)
CASES = st.builds(
    make_case,
    st.integers(0, 2**32 - 1),
    st.integers(1, 20),  # T
    st.integers(1, 6),  # B
    st.integers(1, 19),  # p
    st.integers(1, 19),  # m
    st.integers(1, 19),  # q
    teaching=st.sampled_from(TEACHING),
)
ACTIVATIONS = {
    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda a: a,
}  # fmt: skip


def torch_feedback(name, o, draw):
    """Return what an output (q,) is fed back as."""
    if name == "softmax":
        return torch.softmax(o, 0)
    if name == "sigmoid":
        return torch.sigmoid(o)
    if name == "identity":
        return o
    if name == "argmax":
        chosen = torch.argmax(o)
    else:
        totals = torch.cumsum(torch.softmax(o.detach(), 0), 0)
        chosen = torch.searchsorted(totals, draw * totals[-1], right=True)
    return torch.nn.functional.one_hot(chosen, len(o)).to(o.dtype)


def torch_pass(case, activation, feedback):
    """Return what `function_pass` does, one sequence and step after another."""
    s, (T, B), numbers = case, case.x.shape[:2], torch.tensor(draws(case))
    names = ("x", "U", "W", "b", "V", "c", "z0")
    tensors = {name: torch.tensor(getattr(s, name), requires_grad=True) for name in names}
    x, U, W, b, V, c, z0 = tensors.values()
    m, q = W.shape
    given = s.y is not None
    targets = torch.tensor(s.y if given and s.y.ndim == 3 else np.eye(q)[s.y if given else 0])
    h, o, z = torch.zeros(T, B, m).double(), torch.zeros(T, B, q).double(), torch.zeros(T, B, q)
    z, loss, output = z.double(), 0 * sum(a.sum() for a in tensors.values()), c
    for i in range(B):
        for t in range(s.lengths[i]):
            if t == 0 or s.resets[t, i]:
                fed = z0[i]
            elif given and (s.forced is None or s.forced[t, i]):
                fed = targets[t - 1, i]
            else:
                fed = torch_feedback(feedback, output, numbers[t, i])
            state = ACTIVATIONS[activation](U @ x[t, i] + W @ fed + b)
            output = V @ state + c
            loss = loss + output @ torch.tensor(s.do[t, i])
            h[t, i], o[t, i], z[t, i] = state.detach(), output.detach(), fed.detach()
    loss.backward()
    return {"h": h.numpy(), "o": o.numpy(), "z": z.numpy()} | {
        "d" + name: tensor.grad.numpy() for name, tensor in tensors.items()
    }


@SETTINGS
@given(CASES, st.sampled_from(list(ACTIVATIONS)), st.sampled_from(FEEDBACKS))
def test_every_way_of_feeding(case, activation, feedback):
    want = torch_pass(case, activation, feedback)
    assert_close(function_pass(case, activation, feedback), want, 1e-12)


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_two_hundred_steps(feedback):
    case = make_case(200, 200, 3, 11, 37, 13, teaching="some classes")
    assert_close(function_pass(case, "tanh", feedback), torch_pass(case, "tanh", feedback), 1e-12)
