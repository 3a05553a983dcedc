"""Residual blocks against NumPy, complex steps and their own unfolding; streams, edges, files."""

import copy
import json
import pickle

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, error

import fastrnn
import tdnn
from fastrnn.graph import build_grad, unfold
from tdnn import reference

T, LENGTHS = 13, np.array([13, 0, 7, 1])
B = len(LENGTHS)
# Widths that need a projection in blocks 0 and 2; and inputs that can be added as they are.
SHAPES = {"projected": (3, [5, 5, (4, 6)]), "added": (5, [5, 5])}
each_shape = pytest.mark.parametrize("shape", SHAPES)
each_input = pytest.mark.parametrize("tokens", [False, True], ids=["floats", "tokens"])


def network(shape="projected", **settings):
    p, sizes = SHAPES[shape]
    return tdnn.ResidualTDNN(p, sizes, **{"dtype": np.float64, "rng": 0, **settings})


def inputs(net, tokens=False, steps=T, batch=B, seed=1):
    rng = np.random.default_rng(seed)
    if tokens:
        return rng.integers(0, net.input_size, (steps, batch))
    return rng.standard_normal((steps, batch, net.input_size))


def by_reference(net, parameters, x, lengths, factors=None):
    """Return the frames by the plain loops of the reference; complex parameters pass through."""
    inside = (np.arange(len(x))[:, None] < lengths)[:, :, None]
    for block, projection in enumerate(net.projections):
        h = x
        for layer in (2 * block, 2 * block + 1):
            W, b, offsets = parameters[f"W{layer}"], parameters[f"b{layer}"], net.offsets[layer]
            h = reference.tdnn_forward(h, W, b, offsets, lengths, "relu", "causal").h
            h = h if factors is None else h * factors[layer]
        if projection is None:
            skip = np.where(inside, np.eye(net.input_size)[x] if x.ndim == 2 else x, 0)
        else:
            R, r = parameters[f"R{block}"], parameters[f"r{block}"]
            skip = reference.tdnn_forward(x, R[None], r, (0,), lengths, "identity", "causal").h
        x = np.where((h + skip).real < 0, 0, h + skip)
    return x


@each_shape
@each_input
def test_frames_and_gradients_are_the_reference_s(shape, tokens):
    net = network(shape)
    x = inputs(net, tokens)
    trace = net.forward(x, lengths=LENGTHS)
    want = by_reference(net, net.parameters(), x, LENGTHS)
    assert error(trace.h, want) <= 1e-14 and want.any()
    dh = np.random.default_rng(2).standard_normal(want.shape)
    gradients = net.backward(dh, trace)
    assert list(gradients) == list(net.parameters())
    _check_by_complex_steps(net, x, dh, gradients)


def _check_by_complex_steps(net, x, dh, gradients, factors=None):
    """Compare the derivative along a random direction, array by array."""
    moved = dict(net.parameters()) | ({} if x.ndim == 2 else {"x": x})
    found = dict(gradients) | ({} if x.ndim == 2 else {"x": gradients.dx})
    assert gradients.dx is None or gradients.dx.shape == x.shape
    for name, array in moved.items():
        direction = np.random.default_rng(3).standard_normal(array.shape)
        stepped = {**moved, name: array + 1e-100j * direction}
        frames = stepped.pop("x", x)
        h = by_reference(net, stepped, frames, LENGTHS, factors)
        slope = (dh * h.imag).sum() / 1e-100
        assert slope == pytest.approx((found[name] * direction).sum(), rel=1e-12, abs=1e-12), name


@each_shape
@each_input
def test_gradients_are_those_of_the_graph(shape, tokens):
    net = network(shape)
    model = fastrnn.SequenceModel(net, 3, rng=0)
    x, y = inputs(net, tokens), np.random.default_rng(4).integers(0, 3, (T, B))
    unfolded = unfold(model, T, x=x, targets=y, lengths=LENGTHS)
    value, gradients = model.loss_and_grad(x, y, lengths=LENGTHS)
    nodes = build_grad(list(unfolded.parameters.values()), unfolded.L)
    names = list(unfolded.parameters)
    got = unfolded.graph.evaluate([nodes[unfolded.parameters[name]] for name in names])
    assert_close(gradients, dict(zip(names, got, strict=True)), 1e-12)
    assert float(unfolded.graph.evaluate(unfolded.L)) == pytest.approx(value, rel=1e-13)


@each_shape
def test_gradients_through_a_fixed_mask_are_exact(shape):
    net = network(shape, dropout=0.4)
    x = inputs(net)
    trace = net.forward(x, lengths=LENGTHS, training=True)
    factors = [factor for block in trace.blocks for factor in block.factors]
    assert {round(value, 12) for factor in factors for value in factor.ravel()} == {
        0,
        1.666666666667,
    }
    assert error(trace.h, by_reference(net, net.parameters(), x, LENGTHS, factors)) <= 1e-14
    dh = np.random.default_rng(2).standard_normal(trace.h.shape)
    _check_by_complex_steps(net, x, dh, net.backward(dh, trace), factors)


@each_shape
@each_input
def test_each_sequence_is_as_if_it_were_alone(shape, tokens):
    net = network(shape)
    x = inputs(net, tokens)
    dh = np.random.default_rng(5).standard_normal((T, B, net.output_size))
    bad_x, bad_dh, padding = x.copy(), dh.copy(), np.arange(T)[:, None] >= LENGTHS
    bad_x[padding], bad_dh[padding] = -1 if tokens else np.nan, np.nan
    trace = net.forward(bad_x, lengths=LENGTHS)
    together, summed = net.backward(bad_dh, trace), {}
    for b, length in enumerate(LENGTHS):
        alone = net.forward(x[:length, b : b + 1])
        np.testing.assert_array_equal(trace.h[:length, b : b + 1], alone.h)
        assert not trace.h[length:, b].any()
        found = net.backward(dh[:length, b : b + 1], alone)
        if not tokens:
            np.testing.assert_array_equal(together.dx[:length, b : b + 1], found.dx)
            assert not together.dx[length:, b].any()
        for name, gradient in found.items():
            summed[name] = summed.get(name, 0) + gradient
    assert_close(together, summed, 1e-13)


@each_shape
@each_input
def test_a_stream_gives_the_frames_of_the_whole_sequence(shape, tokens):
    net = network(shape, dtype=np.float32, dropout=0.3)  # a stream leaves nothing out
    x = inputs(net, tokens)
    x = x if tokens else x.astype(np.float32)
    want, stream = net.forward(x).h, net.stream(B)
    for _ in range(2):  # the second time from where reset leaves it
        np.testing.assert_array_equal([stream.step(x_t).copy() for x_t in x], want)
        assert stream.flush() == []
        with pytest.raises(RuntimeError, match=r"stream: expected reset\(\)"):
            stream.step(x[0])
        stream.reset()


def test_same_bits_for_every_thread_count():
    net = network(dropout=0.2)
    x, state, results = inputs(net), net.sampling(), []
    for threads in (1, 2, 3):
        net.restore_sampling(state)
        trace = net.forward(x, training=True, threads=threads)
        gradients = net.backward(trace.h, trace, threads=threads)
        results.append({**gradients, "dx": gradients.dx, "h": trace.h})
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


@pytest.mark.parametrize(
    ("taps", "blocks", "field"),
    # keras-tcn: 1 + 2 (k - 1) * sum of dilations; the published ones for chorales and text, k = 3.
    [(3, 3, 29), (3, 4, 61), (3, 2, 13), (8, 8, 3571), (1, 5, 1)],
)
def test_receptive_field(taps, blocks, field):
    net = tdnn.ResidualTDNN(1, [1] * blocks, taps=taps, rng=0)
    assert (net.receptive_field, net.left_context, net.right_context) == (field, field - 1, 0)
    assert net.frames() == (0, 1)


def test_receptive_field_is_what_a_frame_sees():
    net = network(taps=2)
    x = np.abs(inputs(net, steps=30, batch=1))
    for array in net.parameters().values():
        np.abs(array, out=array)  # no unit is off
    trace = net.forward(x)
    dh = np.zeros_like(trace.h)
    dh[20] = 1
    seen = np.flatnonzero(net.backward(dh, trace).dx.any((1, 2)))
    assert (seen[0], seen[-1]) == (20 - net.left_context, 20)


@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0), (0, 0)])
@each_shape
@each_input
def test_without_steps_or_sequences(shape, steps, batch, tokens):
    net = network(shape, dropout=0.5)
    trace = net.forward(inputs(net, tokens, steps, batch), training=True)
    gradients = net.backward(np.ones_like(trace.h), trace)
    assert trace.h.shape == (steps, batch, net.output_size)
    assert list(gradients) == list(net.parameters())
    assert not any(gradient.any() for gradient in gradients.values())


def test_nan_stays_in_its_row_and_reaches_no_earlier_frame():
    net = network()
    clean = inputs(net)
    dirty = clean.copy()
    dirty[6, 2, 0] = np.nan
    want, got = net.forward(clean).h, net.forward(dirty).h
    rows = [0, 1, 3]
    np.testing.assert_array_equal(got[:, rows], want[:, rows])
    np.testing.assert_array_equal(got[:6], want[:6])
    assert np.isnan(got[6, 2]).any()


def test_configuration_pickle_copies_and_files(tmp_path):
    net = network(dropout=0.25, same_mask=True, taps=2)
    again = tdnn.ResidualTDNN.from_config(json.loads(json.dumps(net.config())))
    assert again.config() == net.config() and repr(again) == repr(net)
    assert [a.shape for a in again.parameters().values()] == [
        a.shape for a in net.parameters().values()
    ]
    model = fastrnn.SequenceModel(net, 4, rng=0)
    x, y = inputs(net), np.zeros((T, B), int)
    model.loss_and_grad(x, y, training=True)  # moves the generator
    model.save(tmp_path / "model.npz")
    loaded = fastrnn.load(tmp_path / "model.npz")
    for other in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.sampling() == model.sampling()
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
    both = [m.loss_and_grad(x, y, training=True) for m in (model, loaded)]
    assert both[0][0] == both[1][0]
    assert_same_bits(both[0][1], both[1][1])
    narrow = model.astype(np.float32)
    assert narrow.body.dtype == np.float32 and narrow.body.dropout == 0.25


def test_initial_values_and_their_dtype():
    net = tdnn.ResidualTDNN(20, [(64, 50)], taps=3, rng=7)
    fans = {"W0": 60, "b0": 60, "W1": 192, "b1": 192, "R0": 20, "r0": 20}
    for name, array in net.parameters().items():
        bound = np.float32(1 / np.sqrt(fans[name]))
        assert array.dtype == np.float32 and 0.85 * bound < np.abs(array).max() <= bound
    same = tdnn.ResidualTDNN(20, [(64, 50)], taps=3, rng=np.random.default_rng(7))
    assert_same_bits(net.parameters(), same.parameters())
    assert (net.input_size, net.output_size) == (20, 50)


BAD = [
    ({"input_size": 0}, ValueError, "input_size: expected an integer >= 1, got 0"),
    ({"sizes": 8}, TypeError, "sizes: expected a list of integers or pairs, got 8"),
    ({"sizes": []}, ValueError, "sizes: expected at least one block, got none"),
    ({"sizes": [4, 0]}, ValueError, r"sizes\[1\]: expected an integer >= 1, got 0"),
    ({"sizes": [(4, 5, 6)]}, ValueError, r"sizes\[0\]: expected an integer or a pair, got \(4"),
    ({"sizes": [4.5]}, TypeError, r"sizes\[0\]: expected an integer >= 1, got 4.5"),
    ({"sizes": [1] * 40}, ValueError, "sizes, taps: expected offsets within"),
    ({"taps": 0}, ValueError, "taps: expected an integer >= 1, got 0"),
    ({"dropout": 1.0}, ValueError, "dropout: expected 0 <= value < 1, got 1.0"),
    ({"dropout": "0.5"}, TypeError, "dropout: expected a number, got '0.5'"),
    ({"same_mask": 1}, TypeError, "same_mask: expected True or False, got 1"),
    ({"dtype": "f2"}, TypeError, "dtype: expected float32 or float64"),
    ({"rng": "x"}, TypeError, "rng: expected"),
]


@pytest.mark.parametrize(("changed", "kind", "message"), BAD)
def test_bad_arguments(changed, kind, message):
    with pytest.raises(kind, match="^" + message):
        tdnn.ResidualTDNN(**{"input_size": 3, "sizes": [4, 4]} | changed)


def test_bad_calls():
    net = network()
    x = inputs(net)
    trace = net.forward(x)
    for call, kind, message in [
        (lambda: net.forward(x[:, :, :2]), ValueError, "input_size, x: expected"),
        (lambda: net.forward(x.astype("f4")), TypeError, "x: expected float64"),
        (lambda: net.forward(x, training=1), TypeError, "training: expected True or False, got 1"),
        (lambda: net.forward(x, lengths=[99] * B), ValueError, "lengths: expected"),
        (lambda: net.forward(np.full((2, 1), 3)), ValueError, "x: expected integers from 0 to 2"),
        (lambda: net.backward(trace.h, x), TypeError, "state: expected what forward returned"),
        (lambda: net.backward(trace.h[1:], trace), ValueError, "state.h, dh: expected"),
        (lambda: net.stream(0), ValueError, "batch_size: expected"),
        (lambda: net.restore_sampling({}), ValueError, "state: expected what sampling returned"),
    ]:
        with pytest.raises(kind, match="^" + message):
            call()
