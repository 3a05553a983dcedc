"""The time-delay layer against torch.nn.functional.conv1d in float64."""

import numpy as np
import pytest

import tdnn

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")

T, B, P, M = 61, 3, 7, 9


def arrays(taps):
    rng = np.random.default_rng(taps)
    W = 0.8 * rng.standard_normal((taps, M, P)) / np.sqrt(P * taps)
    return rng.standard_normal((T, B, P)), W, rng.standard_normal(M)


def by_torch(x, W, b, offsets, dh, *, stride=1, dilation=1, padding=0):
    """Return h, dx, dW, db; the kernel is dense over the offsets' span, zero between them."""
    low = min(offsets)
    x, W, b = (torch.tensor(array, requires_grad=True) for array in (x, W, b))
    span = (max(offsets) - low) // dilation + 1
    dense = torch.zeros(M, P, span, dtype=torch.float64)
    taps = torch.tensor([(k - low) // dilation for k in offsets])
    dense = dense.index_add(2, taps, W.permute(1, 2, 0))
    h = torch.nn.functional.conv1d(
        x.permute(1, 2, 0), dense, b, stride=stride, dilation=dilation, padding=padding
    )
    h = torch.tanh(h).permute(2, 0, 1)
    (h * torch.tensor(dh[: len(h)])).sum().backward()
    return (h.detach().numpy(), *(a.grad.numpy() for a in (x, W, b)))


def compare(ours, expected):
    for actual, wanted in zip(ours, expected, strict=True):
        assert actual.shape == wanted.shape
        assert np.linalg.norm(actual - wanted) <= 1e-12 * np.linalg.norm(wanted)


def by_tdnn(x, W, b, offsets, dh, **options):
    h = tdnn.tdnn_forward(x, W, b, offsets, activation="tanh", **options).h
    grads = tdnn.tdnn_backward(dh[: len(h)], x, h, W, offsets, activation="tanh", **options)
    return (h, *grads)


DH = np.random.default_rng(9).standard_normal((T, B, M))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("padding", ["valid", "zero"])
def test_dilated_convolution(padding, dilation, stride):
    offsets = [k * dilation for k in (-2, -1, 0, 1, 2)]
    x, W, b = arrays(5)
    margin = 2 * dilation if padding == "zero" else 0
    expected = by_torch(x, W, b, offsets, DH, stride=stride, dilation=dilation, padding=margin)
    compare(by_tdnn(x, W, b, offsets, DH, padding=padding, stride=stride), expected)


@pytest.mark.parametrize("offsets", [(-1, 2), (3, -4, 0, -1), (-7, -3), (2, 5), (0,)])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_offsets(offsets, stride):
    x, W, b = arrays(len(offsets))
    expected = by_torch(x, W, b, offsets, DH, stride=stride)
    compare(by_tdnn(x, W, b, offsets, DH, stride=stride), expected)


@pytest.mark.parametrize("mode", ["constant", "replicate"])
def test_same_length_paddings_with_any_offsets(mode):
    offsets, padding = (3, -4, 0, -1), "zero" if mode == "constant" else mode
    x, W, b = arrays(4)
    wide = np.pad(x, ((4, 3), (0, 0), (0, 0)), "constant" if padding == "zero" else "edge")
    expected = list(by_torch(wide, W, b, offsets, DH))
    dx = expected[1]
    if padding == "replicate":  # the copies' gradients belong to the end frames
        dx[4] += dx[:4].sum(0)
        dx[-4] += dx[-3:].sum(0)
    expected[1] = dx[4:-3]
    compare(by_tdnn(x, W, b, offsets, DH, padding=padding), expected)


def test_a_stack_with_strides():
    net = tdnn.TDNN(
        P, [(8, (-1, 0, 1), 2), (M, (-2, 0, 2))],
        activation="tanh", padding="valid", dtype=np.float64, rng=0,
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((T, B, P))
    trace = net.forward(x)
    grads = net.backward(DH[: len(trace.h)], trace)
    parameters = {
        name: torch.tensor(value, requires_grad=True) for name, value in net.parameters().items()
    }
    inputs = torch.tensor(x, requires_grad=True)
    h = inputs.permute(1, 2, 0)
    for layer, (stride, dilation) in enumerate([(2, 1), (1, 2)]):
        W, b = parameters[f"W{layer}"].permute(1, 2, 0), parameters[f"b{layer}"]
        h = torch.tanh(torch.nn.functional.conv1d(h, W, b, stride=stride, dilation=dilation))
    h = h.permute(2, 0, 1)
    (h * torch.tensor(DH[: len(h)])).sum().backward()
    compare([trace.h, grads.dx], [h.detach().numpy(), inputs.grad.numpy()])
    compare(grads.values(), [parameters[name].grad.numpy() for name in grads])
