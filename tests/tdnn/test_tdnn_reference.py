"""The reference's gradients by complex step, and adjoint identities of the kernels."""

import numpy as np
import pytest

import tdnn
from tdnn import reference

OFFSETS = [(-1, 0, 2), (-3, -1), (2, 1), (0,)]


def example(seed, offsets, tokens=False):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (8, 3)) if tokens else rng.standard_normal((8, 3, 3))
    W = 0.8 * rng.standard_normal((len(offsets), 4, 3)) / np.sqrt(3)
    return x, W, rng.standard_normal(4), np.array([8, 0, 5])


def by_complex_step(loss, array):
    """Return the gradient of `loss` in `array`, element by element."""
    gradient = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        moved = array.astype(np.complex128)
        moved[index] += 1e-30j
        gradient[index] = loss(moved).imag / 1e-30
    return gradient


def close(actual, expected):
    assert np.linalg.norm(actual - expected) <= 1e-13 * max(np.linalg.norm(expected), 1e-3)


@pytest.mark.parametrize("padding", tdnn.layer.PADDINGS)
@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize(("activation", "stride"), [("tanh", 1), ("relu", 2), ("sigmoid", 3)])
def test_gradients_by_complex_step(offsets, padding, activation, stride):
    x, W, b, lengths = example(0, offsets)
    options = (lengths, activation, padding, stride)
    h = reference.tdnn_forward(x, W, b, offsets, *options).h
    dh = np.random.default_rng(1).standard_normal(h.shape)
    grads = reference.tdnn_backward(dh, x, h, W, offsets, *options)

    def loss(x, W, b):
        return (dh * reference.tdnn_forward(x, W, b, offsets, *options).h).sum()

    close(grads.dx, by_complex_step(lambda moved: loss(moved, W, b), x))
    close(grads.dW, by_complex_step(lambda moved: loss(x, moved, b), W))
    close(grads.db, by_complex_step(lambda moved: loss(x, W, moved), b))


@pytest.mark.parametrize("padding", tdnn.layer.PADDINGS)
def test_token_gradients_by_complex_step(padding):
    x, W, b, lengths = example(2, (-1, 0, 2), tokens=True)
    options = (lengths, "tanh", padding, 1)
    h = reference.tdnn_forward(x, W, b, (-1, 0, 2), *options).h
    dh = np.random.default_rng(1).standard_normal(h.shape)
    grads = reference.tdnn_backward(dh, x, h, W, (-1, 0, 2), *options)

    def loss(W):
        return (dh * reference.tdnn_forward(x, W, b, (-1, 0, 2), *options).h).sum()

    assert grads.dx is None
    close(grads.dW, by_complex_step(loss, W))


@pytest.mark.parametrize("padding", tdnn.layer.PADDINGS)
@pytest.mark.parametrize("stride", [1, 3])
def test_adjoint_identity(padding, stride):
    """With f = identity and b = 0 the layer is linear in x and in W."""
    rng = np.random.default_rng(5)
    offsets = (-4, -1, 0)
    x, W = rng.standard_normal((30, 4, 7)), rng.standard_normal((3, 5, 7))
    options = {
        "lengths": [30, 3, 0, 17], "activation": "identity", "padding": padding, "stride": stride,
    }  # fmt: skip
    h = tdnn.tdnn_forward(x, W, np.zeros(5), offsets, **options).h
    dh = rng.standard_normal(h.shape)
    grads = tdnn.tdnn_backward(dh, x, h, W, offsets, **options)
    scale = np.linalg.norm(dh) * np.linalg.norm(h)
    assert abs((dh * h).sum() - (grads.dx * x).sum()) <= 1e-13 * scale
    assert abs((dh * h).sum() - (grads.dW * W).sum()) <= 1e-13 * scale


def test_one_hot_frames_and_token_ids_agree():
    x, W, b, lengths = example(3, (-1, 0, 2), tokens=True)
    frames = np.eye(3)[x]
    for padding in ("valid", "zero", "replicate"):
        ids = reference.tdnn_forward(x, W, b, (-1, 0, 2), lengths, "tanh", padding)
        dense = reference.tdnn_forward(frames, W, b, (-1, 0, 2), lengths, "tanh", padding)
        np.testing.assert_allclose(ids.h, dense.h, rtol=1e-14, atol=1e-15)


def test_output_times():
    """Frame i of valid stands at t_i = -k_min + i s, which may lie outside [0, T)."""
    x, one = np.arange(1.0, 8.0).reshape(7, 1, 1), np.ones((2, 1, 1))
    expected = {
        ((-2, 1), "valid", 1): [1 + 4, 2 + 5, 3 + 6, 4 + 7],
        ((-2, 1), "valid", 2): [1 + 4, 3 + 6],
        ((2, 4), "valid", 1): [1 + 3, 2 + 4, 3 + 5, 4 + 6, 5 + 7],
        ((-4, -2), "valid", 3): [1 + 3, 4 + 6],
        ((-2, 1), "zero", 3): [0 + 2, 2 + 5, 5 + 0],
        ((-2, 1), "replicate", 3): [1 + 2, 2 + 5, 5 + 7],
        ((-2, 0), "causal", 3): [0 + 1, 2 + 4, 5 + 7],
    }
    for (offsets, padding, stride), values in expected.items():
        for floor in (reference, tdnn.kernels):
            state = floor.tdnn_forward(
                x, one, np.zeros(1), np.array(offsets), None, "identity", padding, stride
            )
            assert state.h[:, 0, 0].tolist() == values
            assert state.lengths.tolist() == [len(values)]
