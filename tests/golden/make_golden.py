"""Make the vectors of this folder with PyTorch; README.md tells when and how to run it."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent

# name -> nonlinearity, loss, lengths (None: all full), whether an initial state is given
NETWORKS = {
    "tanh_ragged": ("tanh", "softmax_cross_entropy", [3, 7, 1, 5, 7], True),
    "relu_ragged": ("relu", "squared_error", [7, 2, 2, 6, 4], True),
    "tanh_full": ("tanh", "squared_error", None, False),
    "relu_full": ("relu", "softmax_cross_entropy", None, True),
}
# name -> offsets, stride, padding, activation; T = 13 frames
CONVOLUTIONS = {
    "valid": ([-1, 0, 1], 1, "valid", "relu"),
    "dilated": ([-2, 0, 2], 1, "valid", "tanh"),
    "strided": ([0, 1, 2, 3, 4], 3, "valid", "identity"),
    "dilated_strided": ([-3, 0], 2, "valid", "sigmoid"),
    "same": ([-2, 0, 2], 1, "zero", "relu"),
    "causal": ([-2, -1, 0], 1, "causal", "tanh"),
}


def network_case(torch, rng, nonlinearity, loss, lengths, with_h0):
    """Return inputs, outputs and gradients of torch.nn.RNN, an output layer and a loss."""
    T, B, p, m, q = 7, 5, 3, 4, 6
    functional = torch.nn.functional
    inputs = {
        "x": rng.standard_normal((T, B, p)),
        "U": rng.standard_normal((m, p)),
        "W": 0.8 * rng.standard_normal((m, m)) / np.sqrt(m),
        "b": rng.standard_normal(m),
        "V": rng.standard_normal((q, m)),
        "c": rng.standard_normal(q),
    }
    if with_h0:
        inputs["h0"] = rng.standard_normal((B, m))
    tensors = {name: torch.tensor(a, requires_grad=True) for name, a in inputs.items()}
    rnn = torch.nn.RNN(p, m, nonlinearity=nonlinearity, dtype=torch.float64)
    names = {"weight_ih_l0": "U", "weight_hh_l0": "W", "bias_ih_l0": "b"}
    weights = {theirs: tensors[ours] for theirs, ours in names.items()}
    weights["bias_hh_l0"] = torch.zeros(m, dtype=torch.float64)
    valid = torch.ones(T, B, dtype=torch.bool)
    sequence = tensors["x"]
    if lengths is not None:
        valid = torch.arange(T)[:, None] < torch.tensor(lengths)
        sequence = torch.nn.utils.rnn.pack_padded_sequence(
            sequence, torch.tensor(lengths), enforce_sorted=False
        )
    state = (tensors["h0"][None],) if with_h0 else ()
    h, h_last = torch.func.functional_call(rnn, weights, (sequence, *state))
    if lengths is not None:
        h, _ = torch.nn.utils.rnn.pad_packed_sequence(h, total_length=T)
    o = h @ tensors["V"].T + tensors["c"]
    if loss == "softmax_cross_entropy":
        targets = rng.integers(0, q, (T, B))
        value = functional.cross_entropy(o[valid], torch.tensor(targets)[valid], reduction="sum")
    else:
        targets = rng.standard_normal((T, B, q))
        value = functional.mse_loss(o[valid], torch.tensor(targets)[valid], reduction="sum")
    dh_last = rng.standard_normal((B, m))
    (value + torch.sum(h_last[0] * torch.tensor(dh_last))).backward()
    outputs = {"h": h, "h_last": h_last[0], "value": value}
    settings = {"kind": "elman", "activation": nonlinearity, "loss": loss, "lengths": lengths}
    return settings, {
        **inputs, "targets": targets, "dh_last": dh_last,
        **{name: tensor.detach().numpy() for name, tensor in outputs.items()},
        **{"d" + name: tensor.grad.numpy() for name, tensor in tensors.items()},
    }  # fmt: skip


def convolution_case(torch, rng, offsets, stride, padding, activation):
    """Return inputs, outputs and gradients of torch.nn.functional.conv1d and an activation."""
    T, B, p, m, C = 13, 3, 3, 4, len(offsets)
    dilation = offsets[1] - offsets[0]
    inputs = {
        "x": rng.standard_normal((T, B, p)),
        "W": rng.standard_normal((C, m, p)),
        "b": rng.standard_normal(m),
    }
    x, W, b = (torch.tensor(a, requires_grad=True) for a in inputs.values())
    frames = x.permute(1, 2, 0)
    if padding != "valid":
        frames = torch.nn.functional.pad(frames, (-offsets[0], offsets[-1]))
    a = torch.nn.functional.conv1d(
        frames, W.permute(1, 2, 0), b, stride=stride, dilation=dilation
    ).permute(2, 0, 1)
    h = a if activation == "identity" else getattr(torch, activation)(a)
    dh = rng.standard_normal(h.shape)
    h.backward(torch.tensor(dh))
    settings = {
        "kind": "tdnn", "offsets": offsets, "stride": stride, "padding": padding,
        "activation": activation,
    }  # fmt: skip
    gradients = {"dx": x.grad.numpy(), "dW": W.grad.numpy(), "db": b.grad.numpy()}
    return settings, {**inputs, "dh": dh, "h": h.detach().numpy(), **gradients}


def loss_case(torch, rng, name):
    """Return inputs, value and gradient of a weighted loss."""
    T, B, q = 4, 3, 5
    functional = torch.nn.functional
    logits, weights = 3 * rng.standard_normal((T, B, q)), rng.uniform(0, 2, (T, B))
    targets = {
        "softmax_cross_entropy": rng.integers(0, q, (T, B)),
        "sigmoid_cross_entropy": rng.uniform(0, 1, (T, B, q)),
        "squared_error": rng.standard_normal((T, B, q)),
    }[name]
    o, y, w = torch.tensor(logits, requires_grad=True), torch.tensor(targets), torch.tensor(weights)
    if name == "softmax_cross_entropy":
        steps = functional.cross_entropy(o.permute(0, 2, 1), y, reduction="none")
    elif name == "sigmoid_cross_entropy":
        steps = functional.binary_cross_entropy_with_logits(o, y, reduction="none").sum(-1)
    else:
        steps = functional.mse_loss(o, y, reduction="none").sum(-1)
    value = torch.sum(w * steps)
    value.backward()
    arrays = {"o": logits, "targets": targets, "weights": weights}
    return {"kind": "loss", "loss": name}, {
        **arrays, "value": value.detach().numpy(), "do": o.grad.numpy()
    }  # fmt: skip


def main():
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(20)
    cases = {name: network_case(torch, rng, *setting) for name, setting in NETWORKS.items()}
    cases |= {name: convolution_case(torch, rng, *s) for name, s in CONVOLUTIONS.items()}
    for name in ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"):
        cases[name] = loss_case(torch, rng, name)
    settings = {
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "cases": {name: case[0] for name, case in cases.items()},
    }
    (FOLDER / "cases.json").write_text(json.dumps(settings, indent=1) + "\n")
    arrays = {f"{case}/{key}": a for case, (_, own) in cases.items() for key, a in own.items()}
    np.savez_compressed(FOLDER / "vectors.npz", **arrays)


if __name__ == "__main__":
    main()
