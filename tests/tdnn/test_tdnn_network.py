"""The stack of time-delay layers: gradients, receptive field, configuration, initial values."""

import copy
import json
import pickle

import numpy as np
import pytest

import tdnn

STACK = [(5, (-1, 0, 1), 2), (4, (0, -2)), (3, (-1, 1), 2)]


def network(padding="zero", layers=STACK, input_size=3, **options):
    options = {"activation": "tanh", "dtype": np.float64, "rng": 0, **options}
    return tdnn.TDNN(input_size, layers, padding=padding, **options)


@pytest.mark.parametrize("padding", ["valid", "zero", "replicate"])
def test_gradients_are_the_derivatives_of_the_whole_stack(padding):
    net, rng = network(padding), np.random.default_rng(0)
    x, lengths = rng.standard_normal((19, 3, 3)), [19, 4, 16]
    trace = net.forward(x, lengths=lengths)
    dh = rng.standard_normal(trace.h.shape)
    grads = net.backward(dh, trace)
    assert list(grads) == list(net.parameters()) == ["W0", "b0", "W1", "b1", "W2", "b2"]
    moved = {**net.parameters(), "x": x}
    for name, gradient in {**grads, "x": grads.dx}.items():
        assert gradient.shape == moved[name].shape
        direction = rng.standard_normal(gradient.shape)
        losses = []
        for step in (2, 1, -1, -2):  # a difference of fourth order
            original = moved[name].copy()
            moved[name] += step * 1e-3 * direction
            losses.append((dh * net.forward(x, lengths=lengths).h).sum())
            moved[name][...] = original
        slope = (8 * (losses[1] - losses[2]) - (losses[0] - losses[3])) / 12e-3
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-9, abs=1e-9)


def test_trace_and_frames():
    x = np.zeros((19, 2, 3))
    for padding, frames, lengths in (("zero", (0, 4), [5, 2]), ("valid", (7, 4), [3, 0])):
        net = network(padding)
        trace = net.forward(x, lengths=[19, 8])
        assert net.frames() == frames
        assert trace.lengths.tolist() == lengths and trace.h.shape == (lengths[0], 2, 3)
        assert trace.h is trace.layers[-1].h and trace.x is x


def test_token_ids():
    net = network(input_size=6)
    x = np.random.default_rng(0).integers(0, 6, (9, 2))
    trace = net.forward(x)
    np.testing.assert_allclose(trace.h, net.forward(np.eye(6)[x]).h, rtol=1e-12, atol=1e-14)
    grads = net.backward(np.ones_like(trace.h), trace)
    assert grads.dx is None and grads["W0"].shape == (3, 5, 6)


def test_same_bits_for_every_thread_count():
    net, x = network("replicate"), np.random.default_rng(0).standard_normal((19, 4, 3))
    results = []
    for threads in (1, 2, 3):
        trace = net.forward(x, threads=threads)
        results.append(net.backward(trace.h, trace, threads=threads))
    for other in results[1:]:
        for name, gradient in results[0].items():
            np.testing.assert_array_equal(gradient, other[name])
        np.testing.assert_array_equal(results[0].dx, other.dx)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        # keras-tcn: 1 + 2 (k - 1) * stacks * sum of dilations, two convolutions a block.
        ([(1, (-2 * d, -d, 0)) for d in (1, 1, 2, 2, 4, 4)], (29, 28, 0)),
        ([(1, (-2 * d, -d, 0)) for d in (1, 1, 2, 2, 4, 4, 8, 8)], (61, 60, 0)),
        # The x-vector stack.
        ([(1, (-2, -1, 0, 1, 2)), (1, (-2, 0, 2)), (1, (-3, 0, 3)), (1, (0,))], (15, 7, 7)),
        (STACK, (1 + 2 + 4 + 4, 1 + 4 + 2, 1 + 0 + 2)),
        ([(1, (2, 5))], (4, 0, 5)),
    ],
)
def test_receptive_field(layers, expected):
    net = tdnn.TDNN(1, layers, rng=0)
    assert (net.receptive_field, net.left_context, net.right_context) == expected


def test_receptive_field_is_what_a_frame_sees():
    net = network("zero")
    x = np.random.default_rng(0).standard_normal((41, 1, 3))
    frame, time = 5, 5 * net.frames()[1]
    trace = net.forward(x)
    dh = np.zeros_like(trace.h)
    dh[frame] = 1
    seen = np.flatnonzero(net.backward(dh, trace).dx.any((1, 2)))
    assert seen[0] == time - net.left_context and seen[-1] == time + net.right_context
    assert seen[-1] - seen[0] + 1 == net.receptive_field


def test_parameters_are_live():
    net, x = network(), np.ones((5, 1, 3))
    for parameter in net.parameters().values():
        parameter[...] = 0
    assert not net.forward(x).h.any()


def test_configuration_pickle_and_copies():
    net, x = network("replicate", dtype=np.float32), np.ones((5, 1, 3), np.float32)
    config = json.loads(json.dumps(net.config()))
    again = tdnn.TDNN.from_config(config)
    assert again.config() == net.config() and again.kind == "tdnn"
    for name, parameter in again.parameters().items():
        parameter[...] = net.parameters()[name]
    wide = tdnn.TDNN.from_config({**config, "dtype": "float64"})
    assert wide.dtype == np.float64
    assert (net.input_size, net.output_size, net.strides) == (3, 3, (2, 1, 2))
    for other in (again, pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        np.testing.assert_array_equal(other.forward(x).h, net.forward(x).h)
        other.weights[0][...] = 0
        assert net.weights[0].any()
    assert repr(net).startswith("TDNN(input_size=3, layers=[[5, [-1, 0, 1], 2], ")


def test_initial_values():
    net = tdnn.TDNN(20, [(64, (-1, 0, 1)), (50, (0,))], rng=7)
    same = tdnn.TDNN(20, [(64, (-1, 0, 1)), (50, (0,))], rng=np.random.default_rng(7))
    for layer, fan_in in enumerate((60, 64)):
        for values in (net.weights[layer], net.biases[layer]):
            assert values.dtype == np.float32
            assert 0.9 / np.sqrt(fan_in) < np.abs(values).max() <= np.float32(1 / np.sqrt(fan_in))
        np.testing.assert_array_equal(net.weights[layer], same.weights[layer])
    different = tdnn.TDNN(20, [(64, (-1, 0, 1)), (50, (0,))])
    assert (different.weights[0] != net.weights[0]).any()
