"""The contenders of a case, FastRNN and PyTorch, on the same tensors; and what is right."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import fastrnn
import tdnn
from benchmarks.cuda_peers.grid import Case
from benchmarks.peers.timing import Contender

__all__ = ["Tensors", "contenders", "errors", "expected", "make_tensors"]

# The plain loop takes so long that it is only measured where a step has little work.
_LOOP_STEPS, _LOOP_UNITS = 128, 512


@dataclass
class Tensors:
    """A case's inputs on the device. W is 0.8 N / sqrt(m): an expanding one amplifies rounding."""

    x: Any
    U: Any
    W: Any
    b: Any
    h0: Any
    dh: Any
    lengths: Any


def make_tensors(case: Case, torch: Any, device: str) -> Tensors:
    """Return the inputs of a case, the same in every run."""
    source = torch.Generator(device="cpu").manual_seed(0)
    dtype = getattr(torch, case.dtype)

    def normal(*shape: int, scale: float = 1.0) -> Any:
        drawn = torch.randn(*shape, generator=source, dtype=torch.float64) * scale
        return drawn.to(device=device, dtype=dtype)

    T, B, p, m = case.T, case.B, case.p, case.m
    x = normal(T, B, p)
    lengths = None if case.lengths is None else torch.as_tensor(case.lengths, device=device)
    if case.offsets:
        C = len(case.offsets)
        W = normal(C, m, p, scale=(C * p) ** -0.5)
        frames = T - (max(case.offsets) - min(case.offsets))
        return Tensors(x, None, W, normal(m), None, normal(frames, B, m), None)
    U, W = normal(m, p, scale=p**-0.5), normal(m, m, scale=0.8 * m**-0.5)
    dh = normal(T, B, m)
    if lengths is not None:  # no gradient comes from padding
        dh *= (torch.arange(T, device=device)[:, None] < lengths)[:, :, None]
    return Tensors(x, U, W, normal(m, scale=0.5), normal(B, m), dh, lengths)


def contenders(case: Case, a: Tensors, torch: Any) -> list[Contender]:
    """Return ours first, then PyTorch's ways to do the same."""
    if case.offsets:
        return [_ours_tdnn(case, a), _conv1d(case, a, torch)]
    found = [_ours_elman(case, a)]
    if case.lengths is not None:
        found.append(_packed(case, a, torch))
        return found
    found.append(_rnn(case, a, torch, "torch", a.x.dtype))
    if case.group == "elman":
        if a.x.is_cuda:  # for information: other arithmetic
            found.append(_rnn(case, a, torch, "torch fp16", torch.float16))
            found.append(_rnn(case, a, torch, "torch bf16", torch.bfloat16))
        if case.T <= _LOOP_STEPS and case.m <= _LOOP_UNITS:
            found.append(_loop(case, a, torch))
    return found


def _ours_elman(case: Case, a: Tensors) -> Contender:
    def forward() -> dict[str, Any]:
        return fastrnn.elman_forward(a.x, a.U, a.W, a.b, a.h0, lengths=a.lengths)._asdict()

    def both() -> dict[str, Any]:
        state = forward()
        grads = fastrnn.elman_backward(a.dh, a.x, state["h"], a.U, a.W, a.h0, lengths=a.lengths)
        return {**state, **grads._asdict()}

    return Contender("ours", forward if case.direction == "F" else both, dict)


def _ours_tdnn(case: Case, a: Tensors) -> Contender:
    def forward() -> dict[str, Any]:
        return {"h": tdnn.tdnn_forward(a.x, a.W, a.b, case.offsets).h}

    def both() -> dict[str, Any]:
        state = forward()
        grads = tdnn.tdnn_backward(a.dh, a.x, state["h"], a.W, case.offsets)
        return {**state, **grads._asdict()}

    return Contender("ours", forward if case.direction == "F" else both, dict)


def _module(case: Case, a: Tensors, torch: Any, dtype: Any) -> Any:
    """Return torch's RNN with our weights; its second bias is zero."""
    rnn = torch.nn.RNN(case.p, case.m).to(device=a.x.device, dtype=dtype)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(a.U)
        rnn.weight_hh_l0.copy_(a.W)
        rnn.bias_ih_l0.copy_(a.b)
        rnn.bias_hh_l0.zero_()
    return rnn


def _gradients(rnn: Any, x: Any, h0: Any) -> dict[str, Any]:
    grads = {"dU": rnn.weight_ih_l0, "dW": rnn.weight_hh_l0, "db": rnn.bias_ih_l0}
    return {name: w.grad for name, w in grads.items()} | {"dx": x.grad, "dh0": h0.grad[0]}


def _rnn(case: Case, a: Tensors, torch: Any, name: str, dtype: Any) -> Contender:
    rnn, backward = _module(case, a, torch, dtype), case.direction == "FB"
    x = a.x.to(dtype).detach().clone().requires_grad_(backward)
    h0 = a.h0[None].to(dtype).detach().clone().requires_grad_(backward)
    dh = a.dh.to(dtype)

    def run() -> dict[str, Any]:
        if not backward:
            with torch.no_grad():
                h, last = rnn(x, h0)
            return {"h": h, "h_last": last[0]}
        for tensor in (x, h0, *rnn.parameters()):
            tensor.grad = None
        h, last = rnn(x, h0)
        h.backward(dh)
        return {"h": h, "h_last": last[0], **_gradients(rnn, x, h0)}

    return Contender(name, run, dict)


def _packed(case: Case, a: Tensors, torch: Any) -> Contender:
    """Packed beforehand; its results are compared as they are, packed."""
    rnn, backward = _module(case, a, torch, a.x.dtype), case.direction == "FB"
    pack = torch.nn.utils.rnn.pack_padded_sequence
    lengths = a.lengths.cpu()
    data = pack(a.x, lengths, enforce_sorted=False)
    data = data._replace(data=data.data.detach().clone().requires_grad_(backward))
    h0 = a.h0[None].detach().clone().requires_grad_(backward)
    dh = pack(a.dh, lengths, enforce_sorted=False).data

    def run() -> dict[str, Any]:
        if not backward:
            with torch.no_grad():
                h, last = rnn(data, h0)
            return {"packed": h, "h_last": last[0]}
        for tensor in (data.data, h0, *rnn.parameters()):
            tensor.grad = None
        h, last = rnn(data, h0)
        h.data.backward(dh)
        return {"packed": h, "h_last": last[0], **_gradients(rnn, data.data, h0)}

    def results(found: dict[str, Any]) -> dict[str, Any]:
        unpack = torch.nn.utils.rnn.pad_packed_sequence
        h, _ = unpack(found["packed"], total_length=case.T)
        named = {**found, "h": h}
        if backward:
            dx = data._replace(data=found["dx"])
            named["dx"] = unpack(dx, total_length=case.T)[0]
        return {name: value for name, value in named.items() if name != "packed"}

    return Contender("torch packed", run, results)


def _loop(case: Case, a: Tensors, torch: Any) -> Contender:
    """A plain loop over steps, the input's product done for all of them at once."""
    backward = case.direction == "FB"
    inputs = [a.x, a.U, a.W, a.b, a.h0]
    x, U, W, b, h0 = (t.detach().clone().requires_grad_(backward) for t in inputs)

    def forward() -> tuple[Any, Any]:
        a_in, h, states = x @ U.T + b, h0, []
        for t in range(case.T):
            h = torch.tanh(a_in[t] + h @ W.T)
            states.append(h)
        return torch.stack(states), h

    def run() -> dict[str, Any]:
        if not backward:
            with torch.no_grad():
                return dict(zip(("h", "h_last"), forward(), strict=True))
        for tensor in (x, U, W, b, h0):
            tensor.grad = None
        h, last = forward()
        h.backward(a.dh)
        grads = {"dx": x, "dU": U, "dW": W, "db": b, "dh0": h0}
        return {"h": h, "h_last": last, **{name: t.grad for name, t in grads.items()}}

    return Contender("torch loop", run, dict)


def _conv1d(case: Case, a: Tensors, torch: Any) -> Contender:
    """Torch's convolution in its own layout; the distance between offsets is the dilation."""
    distances = {after - before for before, after in pairwise(case.offsets)}
    if len(distances) != 1 or min(distances) < 1:
        raise ValueError(f"offsets: expected one distance between them, got {case.offsets}")
    dilation, backward = min(distances), case.direction == "FB"
    x = a.x.permute(1, 2, 0).contiguous().requires_grad_(backward)
    W = a.W.permute(1, 2, 0).contiguous().requires_grad_(backward)
    b = a.b.detach().clone().requires_grad_(backward)
    dh = a.dh.permute(1, 2, 0).contiguous()

    def run() -> dict[str, Any]:
        if not backward:
            with torch.no_grad():
                return {"h": torch.relu(torch.nn.functional.conv1d(x, W, b, dilation=dilation))}
        for tensor in (x, W, b):
            tensor.grad = None
        h = torch.relu(torch.nn.functional.conv1d(x, W, b, dilation=dilation))
        h.backward(dh)
        return {"h": h, "dx": x.grad, "dW": W.grad, "db": b.grad}

    def results(found: dict[str, Any]) -> dict[str, Any]:
        named = {name: found[name].permute(2, 0, 1) for name in ("h", "dx", "dW") if name in found}
        return named | {name: found[name] for name in found if name not in named}

    return Contender("torch conv1d", run, results)


def expected(case: Case, a: Tensors, torch: Any) -> dict[str, Any]:
    """Return the results in float64, by PyTorch's own operations and derivatives."""
    wide = Tensors(*(None if t is None else t.double() for t in vars(a).values()))
    wide.lengths = a.lengths
    if case.offsets:
        convolution = _conv1d(case, wide, torch)
        found = convolution.results(convolution.call())
        return {name: t.detach() for name, t in found.items()}
    backward = case.direction == "FB"
    inputs = wide.x, wide.U, wide.W, wide.b, wide.h0
    x, U, W, b, h0 = (t.detach().clone().requires_grad_(backward) for t in inputs)
    a_in, h, states = x @ U.T + b, h0, []
    with torch.set_grad_enabled(backward):
        for t in range(case.T):
            new = torch.tanh(a_in[t] + h @ W.T)
            alive = None if a.lengths is None else (a.lengths > t)[:, None]
            states.append(new if alive is None else new * alive)
            h = new if alive is None else torch.where(alive, new, h)
        found = {"h": torch.stack(states), "h_last": h}
        if backward:
            found["h"].backward(wide.dh)
            named = {"dx": x, "dU": U, "dW": W, "db": b, "dh0": h0}
            found |= {name: t.grad for name, t in named.items()}
    return {name: t.detach() for name, t in found.items()}


def errors(found: dict[str, Any], right: dict[str, Any], torch: Any) -> float:
    """Return the largest norm-wise error over all results; infinity where one is missing."""
    worst = 0.0
    for name, want in right.items():
        got = found.get(name)
        if got is None or tuple(got.shape) != tuple(want.shape):
            return float("inf")
        got = torch.as_tensor(got, device=want.device).detach().double()
        scale = float(torch.linalg.vector_norm(want)) or 1.0
        error = float(torch.linalg.vector_norm(got - want)) / scale
        worst = max(worst, error) if error == error else float("inf")
    return worst
