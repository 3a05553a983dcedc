"""PyTorch as a contender: nn.RNN, packed sequences, conv1d in two layouts, RNNCell."""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv1d, conv2d, cross_entropy, linear, one_hot
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.peers.cases import Case
from benchmarks.peers.inputs import Inputs
from benchmarks.peers.timing import Contender

__all__ = ["contenders"]


def contenders(case: Case, inputs: Inputs, threads: int) -> list[Contender]:
    """Return PyTorch's ways to do a case."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if case.group == "tdnn":
        return [_tdnn(case, inputs, layout) for layout in ("contiguous", "channels last")]
    if case.group == "jordan":
        return _jordan(case, inputs)
    if case.group == "step":
        return [_step(inputs)]
    if case.group == "ragged":
        return [_packed(case, inputs)]
    return [_elman(case, inputs)]


def _network(a: Inputs) -> Any:
    """Return the nn.RNN with the weights of `a`; its second bias stays zero and has no gradient."""
    m, p = a.U.shape
    network = torch.nn.RNN(p, m, dtype=torch.from_numpy(a.U).dtype)
    with torch.no_grad():
        for name, array in (("weight_ih", a.U), ("weight_hh", a.W), ("bias_ih", a.b)):
            getattr(network, name + "_l0").copy_(torch.from_numpy(array))
        network.bias_hh_l0.zero_()
    network.bias_hh_l0.requires_grad_(False)
    return network


def _wanted(network: Any, a: Inputs) -> dict[str, Any]:
    """Return the tensors whose gradients are asked for, by the gradients' names."""
    h0, V, c = (torch.tensor(array, requires_grad=True) for array in (a.h0[None], a.V, a.c))
    return {
        "dh0": h0,
        "dU": network.weight_ih_l0,
        "dW": network.weight_hh_l0,
        "db": network.bias_ih_l0,
        "dV": V,
        "dc": c,
    }


def _elman(case: Case, a: Inputs) -> Contender:
    network = _network(a)
    if case.direction == "F":
        x, h0 = torch.from_numpy(a.x), torch.from_numpy(a.h0)[None]

        def forward() -> Any:
            with torch.inference_mode():
                return network(x, h0)

        return Contender("torch", forward, lambda out: {"h": out[0], "h_last": out[1][0]})

    wanted = {"dx": torch.tensor(a.x, requires_grad=True), **_wanted(network, a)}
    targets = torch.from_numpy(a.targets).flatten()
    tensors = tuple(wanted.values())
    last_only = case.group == "vanishing"

    def train() -> Any:
        h, h_last = network(wanted["dx"], wanted["dh0"])
        o = linear(h_last if last_only else h, wanted["dV"], wanted["dc"]).flatten(0, 1)
        loss = cross_entropy(o, targets, reduction="sum")
        return loss, torch.autograd.grad(loss, tensors)

    return Contender("torch", train, lambda out: _results(out, wanted))


def _results(returned: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    loss, grads = returned
    results = dict(zip(wanted, grads, strict=True))
    if "dh0" in results:
        results["dh0"] = results["dh0"][0]
    return {"loss": loss.detach(), **results}


def _packed(case: Case, a: Inputs) -> Contender:
    """Packed sequences: sorted and packed beforehand, outputs left packed."""
    network = _network(a)
    order = np.argsort(-a.lengths, kind="stable")
    back = np.argsort(order)
    lengths = torch.from_numpy(a.lengths[order])
    x = pack_padded_sequence(torch.from_numpy(a.x[:, order]), lengths)

    def unpacked(packed: Any) -> Any:
        return pad_packed_sequence(packed, total_length=case.T)[0].detach()[:, back]

    if case.direction == "F":
        h0 = torch.from_numpy(a.h0[order])[None]

        def forward() -> Any:
            with torch.inference_mode():
                return network(x, h0)

        return Contender(
            "torch", forward, lambda out: {"h": unpacked(out[0]), "h_last": out[1][0][back]}
        )

    wanted = _wanted(network, a)
    wanted["dh0"] = torch.tensor(a.h0[order][None], requires_grad=True)
    rows = x.data.clone().requires_grad_()
    wanted["dx"] = rows
    x = x._replace(data=rows)
    targets = pack_padded_sequence(torch.from_numpy(a.targets[:, order]), lengths).data
    tensors = tuple(wanted.values())

    def train() -> Any:
        h, _ = network(x, wanted["dh0"])
        loss = cross_entropy(linear(h.data, wanted["dV"], wanted["dc"]), targets, reduction="sum")
        return loss, torch.autograd.grad(loss, tensors)

    def results(returned: Any) -> dict[str, Any]:
        found = _results(returned, wanted)
        found["dx"] = unpacked(x._replace(data=found["dx"]))
        found["dh0"] = found["dh0"][back]
        return found

    return Contender("torch", train, results)


def _tdnn(case: Case, a: Inputs, layout: str) -> Contender:
    """conv1d on (B, p, T), or the same convolution with the channels last in memory."""
    low, taps = min(case.offsets), len(case.offsets)
    dilation = (max(case.offsets) - low) // (taps - 1)
    if case.offsets != tuple(range(low, max(case.offsets) + 1, dilation)):
        raise ValueError(f"{case.cell}: expected offsets at equal distances")
    x = torch.from_numpy(a.x).permute(1, 2, 0).contiguous()
    W = torch.from_numpy(a.W).permute(1, 2, 0).contiguous()
    dh = torch.from_numpy(a.dh).permute(1, 2, 0).contiguous()
    b = torch.from_numpy(a.b).clone()
    if layout == "channels last":  # exists for images only: of height 1 here
        last = torch.channels_last
        x, W, dh = (t[:, :, None].contiguous(memory_format=last) for t in (x, W, dh))

    def convolve(x: Any, W: Any, b: Any) -> Any:
        if layout == "channels last":
            return torch.relu_(conv2d(x, W, b, dilation=(1, dilation)))
        return torch.relu_(conv1d(x, W, b, dilation=dilation))

    def time_first(t: Any) -> Any:
        return t.detach().reshape(*t.shape[:2], -1).permute(2, 0, 1)

    if case.direction == "F":

        def forward() -> Any:
            with torch.inference_mode():
                return convolve(x, W, b)

        return Contender("torch", forward, lambda h: {"h": time_first(h)}, layout)

    tensors = tuple(t.requires_grad_() for t in (x, W, b))

    def train() -> Any:
        return torch.autograd.grad(convolve(*tensors), tensors, dh)

    def results(grads: Any) -> dict[str, Any]:
        return {"dx": time_first(grads[0]), "dW": time_first(grads[1]), "db": grads[2]}

    return Contender("torch", train, results, layout)


def _jordan(case: Case, a: Inputs) -> list[Contender]:
    """Loops over steps; for training, where all inputs are known, also without a loop."""
    arrays = {"dx": a.x, "dU": a.U, "dW": a.W, "db": a.b, "dV": a.V, "dc": a.c}
    wanted = {name: torch.tensor(array) for name, array in arrays.items()}
    x, U, W, b, V, c = wanted.values()
    if case.direction == "F":

        def free() -> Any:
            with torch.inference_mode():
                z, states, outputs = x.new_zeros(case.B, case.q), [], []
                for projected in linear(x, U, b):
                    h = torch.tanh(torch.addmm(projected, z, W.T))
                    o = torch.addmm(c, h, V.T)
                    z = torch.softmax(o, -1)
                    states.append(h)
                    outputs.append(o)
                return torch.stack(states), torch.stack(outputs)

        return [Contender("torch", free, lambda out: {"h": out[0], "o": out[1]})]

    tensors, targets = tuple(t.requires_grad_() for t in wanted.values()), torch.tensor(a.targets)
    z = torch.zeros(case.T, case.B, case.q).to(x.dtype)
    z[1:] = one_hot(targets[:-1], case.q)

    def train(outputs: Any) -> Any:
        loss = cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="sum")
        return loss, torch.autograd.grad(loss, tensors)

    def whole() -> Any:
        return train(linear(torch.tanh(linear(x, U, b) + linear(z, W)), V, c))

    def loop() -> Any:
        steps = zip(x, z, strict=True)
        states = (torch.tanh(linear(x_t, U, b) + linear(z_t, W)) for x_t, z_t in steps)
        return train(torch.stack([linear(h, V, c) for h in states]))

    def results(out: Any) -> dict[str, Any]:
        return _results(out, wanted)

    return [Contender("torch", whole, results), Contender("torch loop", loop, results)]


def _step(a: Inputs) -> Contender:
    m, p = a.U.shape
    cell = torch.nn.RNNCell(p, m)
    with torch.no_grad():
        for name, array in (("weight_ih", a.U), ("weight_hh", a.W), ("bias_ih", a.b)):
            getattr(cell, name).copy_(torch.from_numpy(array))
        cell.bias_hh.zero_()
    x_t = torch.from_numpy(a.x[0])
    state = [torch.zeros(1, m)]

    def step() -> Any:
        with torch.inference_mode():
            state[0] = cell(x_t, state[0])
        return state[0]

    def five(_returned: Any) -> dict[str, Any]:
        state[0] = torch.zeros(1, m)
        return {"h": [step() for _ in range(5)][-1]}

    return Contender("torch", step, five)
