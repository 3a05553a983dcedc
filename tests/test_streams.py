"""Streams: one frame at a time gives the bits of the whole sequence."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, LOSSES

import fastrnn
import tdnn

DTYPES = [np.float32, np.float64]


def sequence(tokens, dtype, T=9, B=5, p=4):
    rng = np.random.default_rng(90)
    return rng.integers(0, p, (T, B)) if tokens else rng.standard_normal((T, B, p)).astype(dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_stream_equals_whole_sequence(dtype, tokens, activation):
    x = sequence(tokens, dtype)
    layer = fastrnn.Elman(4, 7, activation=activation, dtype=dtype, rng=0)
    layer.b[...] = np.linspace(-1, 1, 7)
    h = layer.forward(x).h
    stream = layer.stream(5)
    for _ in range(2):
        for t, x_t in enumerate(x):
            assert stream.step(x_t).tobytes() == h[t].tobytes()
        assert stream.flush() == []
        stream.reset()


def test_reset_to_a_state_and_the_buffer_is_used_again():
    x = sequence(False, np.float32)
    layer = fastrnn.Elman(4, 7, rng=0)
    h0 = np.random.default_rng(91).standard_normal((5, 7)).astype(np.float32)
    whole = layer.forward(x, h0)
    stream = layer.stream(5)
    stream.step(x[3])
    stream.reset(h0)
    seen = []
    for t, x_t in enumerate(x):
        seen.append(stream.step(x_t))
        assert seen[-1].tobytes() == whole.h[t].tobytes()
    assert len({h.__array_interface__["data"][0] for h in seen}) == 2
    for bad in (h0.astype(np.float64), h0[:2], h0[:, :3]):
        with pytest.raises((TypeError, ValueError), match="^h0|^batch_size, h0|^hidden_size, h0"):
            stream.reset(bad)


def test_refused_frame_leaves_the_state_as_it_was():
    x = sequence(False, np.float32)
    stream = fastrnn.Elman(4, 7, rng=0).stream(5)
    other = fastrnn.Elman(4, 7, rng=0).stream(5)
    stream.step(x[0]), other.step(x[0])
    for bad in (x[1][:2], x[1].astype(float), np.full(5, 4), np.array([0, 1, -1, 0, 0]), "x", None):
        with pytest.raises((TypeError, ValueError), match="x_t"):
            stream.step(bad)
    assert stream.step(x[1]).tobytes() == other.step(x[1]).tobytes()


def test_weights_are_those_of_the_moment_it_was_made():
    x = sequence(False, np.float32)
    model = fastrnn.SequenceModel(fastrnn.Elman(4, 7, rng=0), 3, rng=0)
    before = model.predict(x)
    stream = model.stream(5)
    for array in model.parameters().values():
        array += 1
    assert all(stream.step(x_t).tobytes() == before[t].tobytes() for t, x_t in enumerate(x))


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.0, "2", None])
def test_batch_size_is_checked(batch_size):
    model = fastrnn.SequenceModel(fastrnn.Elman(4, 7, rng=0), 3, rng=0)
    for layer in (model, model.body):
        with pytest.raises((TypeError, ValueError), match="^batch_size: expected an integer >= 1"):
            layer.stream(batch_size)


@pytest.mark.parametrize("m, B", [(7, 5), (1, 1), (2, 1)])
@pytest.mark.parametrize("readout", ["each", "last", "mean"])
@pytest.mark.parametrize("loss", LOSSES)
def test_model_stream_predicts_for_the_sequence_so_far(loss, readout, m, B):
    x = sequence(False, np.float32, T=20, B=B)
    body = fastrnn.Elman(4, m, rng=0)
    model = fastrnn.SequenceModel(body, 3, loss=loss, readout=readout, rng=0)
    model.c[...] = 0.25, -0.5, 1
    stream = model.stream(B)
    for _ in range(2):
        for t, x_t in enumerate(x):
            want = model.predict(x[: t + 1])
            want = want[t] if readout == "each" else want
            assert stream.step(x_t).tobytes() == want.tobytes()
        assert stream.flush() == []
        stream.reset()


@pytest.mark.parametrize("padding", ["zero", "valid", "replicate"])
@pytest.mark.parametrize("readout", ["each", "last", "mean"])
def test_model_stream_over_a_body_that_looks_ahead(readout, padding):
    x = sequence(False, np.float32, T=14, B=3)
    body = tdnn.TDNN(4, [(6, (-1, 0, 2)), (5, (-2, 1), 2)], padding=padding, rng=0)
    model = fastrnn.SequenceModel(body, 3, readout=readout, rng=0)
    want = model.predict(x)
    stream = model.stream(3)
    for _ in range(2):
        got = [o.copy() for o in map(stream.step, x) if o is not None]
        rest = stream.flush()
        assert len(rest) == (0 if padding == "valid" else 1)
        got += rest
        if readout == "each":
            assert len(got) == len(want)
            assert all(a.tobytes() == b.tobytes() for a, b in zip(got, want, strict=True))
        else:
            assert got[-1].tobytes() == want.tobytes()
        stream.reset()
