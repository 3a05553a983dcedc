"""A stream gives the frames of the whole sequence, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tdnn

LAYER = st.tuples(
    st.integers(1, 4),
    st.lists(st.integers(-4, 4), min_size=1, max_size=3, unique=True),
    st.integers(1, 3),
)


def stream_all(stream, x):
    """Return the frames that step and flush give, and the steps at which step gave one."""
    frames, times = [], []
    for t, x_t in enumerate(x):
        h = stream.step(x_t)
        if h is not None:
            frames.append(h.copy())
            times.append(t)
    return frames + stream.flush(), times


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(LAYER, min_size=1, max_size=3),
    st.sampled_from(["valid", "zero", "replicate"]),
    st.integers(0, 17),
    st.booleans(),
)
def test_stream_equals_whole_sequence(layers, padding, T, tokens):
    rng = np.random.default_rng(T)
    net = tdnn.TDNN(3, layers, padding=padding, activation="tanh", dtype=np.float64, rng=T)
    x = rng.integers(0, 3, (T, 2)) if tokens else rng.standard_normal((T, 2, 3))
    whole = net.forward(x).h
    stream = net.stream(2)
    for _ in range(2):  # the second time from where reset leaves it
        frames, times = stream_all(stream, x)
        assert len(frames) == len(whole)
        np.testing.assert_array_equal(np.reshape(frames, whole.shape), whole)
        start, stride = net.frames()
        expected = [start + i * stride + net.right_context for i in range(len(whole))]
        assert times == [t for t in expected if t < T]
        stream.reset()


def test_causal_stream_in_float32_has_no_delay():
    net = tdnn.TDNN(3, [(4, (-2, 0)), (5, (-3, -1))], padding="causal", rng=0)
    x = np.random.default_rng(0).standard_normal((9, 1, 3)).astype(np.float32)
    frames, times = stream_all(net.stream(), x)
    assert times == list(range(9))
    np.testing.assert_array_equal(frames, net.forward(x).h)


def test_step_reuses_its_buffer_and_flush_gives_copies():
    stream = tdnn.TDNN(3, [(4, (0, 2))], rng=0).stream()
    x_t = np.ones((1, 3), np.float32)
    assert stream.step(x_t) is None and stream.step(x_t) is None
    assert stream.step(x_t) is stream.step(x_t)
    first, second = stream.flush()
    assert first is not second and (first == second).all()


def test_weights_are_those_of_the_start():
    net, x_t = tdnn.TDNN(3, [(4, (0,))], rng=0), np.ones((1, 3), np.float32)
    stream = net.stream()
    before = stream.step(x_t).copy()
    for parameter in net.parameters().values():
        parameter[...] = 0
    np.testing.assert_array_equal(stream.step(x_t), before)


def test_after_flush_only_reset_goes_on():
    stream = tdnn.TDNN(3, [(4, (0, 1))], rng=0).stream()
    x_t = np.ones((1, 3), np.float32)
    assert stream.flush() == []
    with pytest.raises(RuntimeError, match="^stream: expected reset"):
        stream.step(x_t)
    stream.reset()
    assert stream.step(x_t) is None
    assert len(stream.flush()) == 1 and stream.flush() == []


def test_a_refused_frame_leaves_the_stream_as_it_was():
    net = tdnn.TDNN(3, [(4, (-1, 0))], rng=0)
    x = np.random.default_rng(0).standard_normal((2, 1, 3)).astype(np.float32)
    stream = net.stream()
    stream.step(x[0])
    for bad, error in [
        (x[1].astype(np.float64), TypeError),
        (np.ones((2, 3), np.float32), ValueError),
        (np.ones((1, 2), np.float32), ValueError),
        (np.array([1]), TypeError),  # a token id after a frame of numbers
    ]:
        with pytest.raises(error, match="x_t"):
            stream.step(bad)
    np.testing.assert_array_equal(stream.step(x[1]), net.forward(x).h[1])
    with pytest.raises(ValueError, match=r"^x_t: expected integers from 0 to 2, got 3"):
        net.stream().step(np.array([3]))
