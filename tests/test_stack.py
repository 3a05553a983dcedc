"""Stacks: the bits of their bodies, gradients, streams, edges, training, files."""

import copy
import json
import pickle

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, error
from stacks import MAKE, M, P, elman, make, time_delay

import fastrnn

LENGTHS = np.array([13, 0, 7, 1])
T, B = 13, len(LENGTHS)
each_stack = pytest.mark.parametrize("name", MAKE)


def sequences(rng=0, steps=T, batch=B):
    return np.random.default_rng(rng).standard_normal((steps, batch, P))


def flat(bodies):
    """Return the bodies without the stacks around them, lowest first."""
    return [
        inner
        for body in bodies
        for inner in (flat(body.bodies) if body.kind == "stack" else [body])
    ]


def by_hand(stack, x, dh, lengths):
    """Return h, the gradients of the parameters in their order, and dx, body after body."""
    traces, frames = [], x
    for body in flat(stack.bodies):
        traces.append(body.forward(frames, lengths=lengths))
        frames, lengths = traces[-1].h, traces[-1].lengths
    gradients, d_frames = [], dh
    for body, trace in zip(flat(stack.bodies)[::-1], traces[::-1], strict=True):
        found = body.backward(d_frames, trace)
        gradients.insert(0, list(found.values()))
        d_frames = found.dx
    return frames, [array for arrays in gradients for array in arrays], d_frames


def gradient_in(stack, x):
    """Return a random gradient in the frames that a stack gives for x."""
    shape = stack.forward(x).h.shape
    return np.random.default_rng(1).standard_normal(shape)


@each_stack
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_bits_of_the_bodies(name, lengths):
    stack, x = make(name), sequences()
    dh = gradient_in(stack, x)
    h, gradients, dx = by_hand(stack, x, dh, lengths)
    trace = stack.forward(x, lengths=lengths, threads=2)
    got = stack.backward(dh, trace, threads=2)
    assert list(got) == list(stack.parameters())
    assert_same_bits({"h": trace.h, "dx": got.dx}, {"h": h, "dx": dx})
    assert_same_bits(dict(enumerate(got.values())), dict(enumerate(gradients)))


@each_stack
def test_gradients_are_derivatives(name):
    rows = fastrnn.gradcheck(make(name), sequences(), lengths=LENGTHS)
    assert {row["argument"] for row in rows} == {*make(name).parameters(), "x"}
    assert max(row["relative_error"] for row in rows) <= 1e-8


@each_stack
def test_each_sequence_is_as_if_it_were_alone(name):
    stack, x = make(name), sequences()
    dh = gradient_in(stack, x)
    trace = stack.forward(x, lengths=LENGTHS)
    together, summed = stack.backward(dh, trace), {}
    counts = [T] * B if trace.lengths is None else trace.lengths
    for b, length in enumerate(LENGTHS):
        own = x[:length, b : b + 1]
        alone = stack.forward(own)
        count = len(alone.h)
        assert count == counts[b]
        np.testing.assert_array_equal(trace.h[:count, b : b + 1], alone.h)
        assert not trace.h[count:, b].any()
        found = stack.backward(dh[:count, b : b + 1], alone)
        assert error(together.dx[:length, b : b + 1], found.dx) <= 1e-13
        assert not together.dx[length:, b].any()
        for key, gradient in found.items():
            summed[key] = summed.get(key, 0) + gradient
    assert_close(together, summed, 1e-13)


@each_stack
@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (T, 0), (0, 0)])
def test_without_steps_or_sequences(name, steps, batch):
    stack, x = make(name), sequences(0, steps, batch)
    trace = stack.forward(x)
    assert trace.h.shape == (len(trace.h), batch, M) and (steps or not len(trace.h))
    gradients = stack.backward(np.ones_like(trace.h), trace)
    assert gradients.dx.shape == x.shape
    assert list(gradients) == list(stack.parameters())
    assert not any(gradient.any() for gradient in gradients.values())


@each_stack
@pytest.mark.parametrize("steps", [0, 1, 5, T])
def test_stream_gives_the_frames_of_the_whole_sequence(name, steps):
    stack, x = make(name), sequences(3, steps, 2)
    whole = stack.forward(x).h
    start, stride = stack.frames()
    due = [start + i * stride + stack.right_context for i in range(len(whole))]
    stream = stack.stream(2)
    for _ in range(2):  # the second time from where reset leaves it
        steps_of, frames = [], []
        for t, x_t in enumerate(x):
            h = stream.step(x_t)
            if h is not None:
                steps_of.append(t)
                frames.append(h.copy())
        assert steps_of == [t for t in due if t < steps]
        rest = stream.flush()
        assert len({id(frame) for frame in rest}) == len(rest)
        frames += rest
        np.testing.assert_array_equal(np.reshape(frames, whole.shape), whole)
        stream.reset()


def test_a_refused_frame_leaves_the_stream_as_it_was():
    for name in ("elman over strided tdnn", "tdnn over elman"):
        stream, other, x = make(name).stream(2), make(name).stream(2), sequences(4, 6, 2)
        for x_t in x:
            for bad in (x_t[:1], x_t.astype("f4"), None, [P, 0]):
                with pytest.raises((TypeError, ValueError), match="x_t: expected"):
                    stream.step(bad)
            got, want = stream.step(x_t), other.step(x_t)
            assert (got is None and want is None) or (got == want).all()


def test_weights_of_a_stream_are_those_of_its_start():
    stack, x = make("elman over elman"), sequences(5, 4, 2)
    want, stream = stack.forward(x).h, stack.stream(2)
    for array in stack.parameters().values():
        array += 1
    np.testing.assert_array_equal([stream.step(x_t).copy() for x_t in x], want)
    assert stream.flush() == []


# Frames and context


@pytest.mark.parametrize(
    ("name", "frames", "right"),
    [
        ("elman over elman", (0, 1), 0),
        ("elman over tdnn", (0, 1), 1),
        ("elman over strided tdnn", (0, 3), 2),
        ("elman over valid tdnn", (1, 2), 2),
        ("tdnn over elman", (0, 1), 2),
        ("tdnn over strided tdnn", (4, 4), 1 + 2 + 2),
        ("stack over stack", (0, 2), 1 + 2),
    ],
)
def test_frames_and_right_context(name, frames, right):
    assert (make(name).frames(), make(name).right_context) == (frames, right)


def test_receptive_field_is_what_a_frame_sees():
    stack, x = make("tdnn over strided tdnn"), sequences(6, 40, 1)
    trace = stack.forward(x)
    dh = np.zeros_like(trace.h)
    dh[5] = 1
    time = stack.frames()[0] + 5 * stack.frames()[1]
    seen = np.flatnonzero(stack.backward(dh, trace).dx.any((1, 2)))
    assert seen[0] == time - stack.left_context and seen[-1] == time + stack.right_context
    assert seen[-1] - seen[0] + 1 == stack.receptive_field
    for name in ("elman over elman", "elman over tdnn", "tdnn over elman"):
        assert not hasattr(make(name), "receptive_field")
        assert not hasattr(make(name), "left_context")


# Initial and last states


def test_states_go_in_and_come_out():
    stack, x = make("stack over stack"), sequences(7)
    rng = np.random.default_rng(8)
    h0 = ((None, rng.standard_normal((B, 6))), (None, rng.standard_normal((B, M))))
    trace = stack.forward(x, h0, lengths=LENGTHS)
    (nothing, low), (_, high) = trace.h_last
    assert nothing is None and low.shape == (B, 6)
    np.testing.assert_array_equal(high[1], h0[1][1][1])  # length 0
    dh_last = ((None, rng.standard_normal((B, 6))), (None, rng.standard_normal((B, M))))
    gradients = stack.backward(np.zeros_like(trace.h), trace, dh_last=dh_last)
    assert gradients.dh0[0][0] is None
    for part in (0, 1):
        direction, losses = rng.standard_normal(h0[part][1].shape), []
        for step in (1e-5, -1e-5):
            moved = [list(pair) for pair in h0]
            moved[part][1] = h0[part][1] + step * direction
            last = stack.forward(x, moved, lengths=LENGTHS).h_last
            losses.append(sum(np.sum(d[1] * h[1]) for d, h in zip(dh_last, last, strict=True)))
        slope = (losses[0] - losses[1]) / 2e-5
        assert slope == pytest.approx(np.sum(gradients.dh0[part][1] * direction), rel=1e-7)


class RecurrentElman(fastrnn.Elman):
    """An Elman layer whose sequences can go on; it notes what it is told of resets."""

    def forward(self, x, h0=None, *, lengths=None, resets=None, h_reset=None, threads=None):
        self.seen = resets, h_reset
        return super().forward(x, h0, lengths=lengths, threads=threads)

    def carry(self, state, steps):
        first = np.zeros_like(state.h_last) if state.h0 is None else state.h0
        return {"h0": state.h[steps - 1] if steps else first, "h_reset": first}


def recurrent():
    sizes = ((P, 5), (5, M))
    return [RecurrentElman(*pair, dtype=float, rng=place) for place, pair in enumerate(sizes)]


def test_carried_states_go_on():
    bodies, x = recurrent(), sequences(9)
    stack = fastrnn.Stack([fastrnn.Stack(bodies[:1]), bodies[1]])
    first = (np.ones((B, 5)),), np.ones((B, M))
    whole = stack.forward(x, first)
    for steps in (0, 1, 6):
        carried = stack.carry(whole, steps)
        rest = stack.forward(x[steps:], **carried)
        np.testing.assert_array_equal(rest.h, whole.h[steps:])
        assert list(carried) == ["h0", "h_reset"]
        for body, home in zip(bodies, (first[0][0], first[1]), strict=True):
            assert body.seen[0] is None and body.seen[1] is home
    for name in ("elman over tdnn", "tdnn over strided tdnn", "stack over stack"):
        assert not hasattr(make(name), "carry")


def test_what_a_jordan_body_carries():
    """It has no states that resets return to: then the stack has none either."""
    stack, x = fastrnn.Stack([recurrent()[0], fed_stack().bodies[1]]), sequences(9)
    whole = stack.forward(x)
    carried = stack.carry(whole, 6)
    assert list(carried) == ["h0"]
    np.testing.assert_allclose(stack.forward(x[6:], **carried).o, whole.o[6:], rtol=1e-13)


def test_resets_reach_every_recurrent_body_and_no_other():
    bodies = recurrent()
    x, resets = sequences(10), np.zeros((T, B), bool)
    fastrnn.Stack(bodies).forward(x, resets=resets)
    assert all(body.seen[0] is resets for body in bodies)
    message = "^resets: expected None with a body of kind 'tdnn', got ndarray$"
    for below in (time_delay([(5, (-1, 0), 2)]), time_delay([(5, (-1, 0))], padding="valid")):
        with pytest.raises(ValueError, match=message):
            fastrnn.Stack([below, bodies[1]]).forward(x, resets=resets)


def fed_stack(**settings):
    """Return a stack whose highest body gives the outputs, and is fed what they should be."""
    top = fastrnn.Jordan(5, 6, 2, dtype=float, rng=1, **settings)
    return fastrnn.Stack([elman(m=5), top])


def test_outputs_of_the_highest_body():
    stack, x = fed_stack(), sequences(11)
    low, top = stack.bodies
    y, z0 = np.random.default_rng(0).integers(0, 2, (T, B)), np.ones((B, 2))
    assert stack.gives_outputs and not make("elman over elman").gives_outputs
    for fed in ({}, {"y": y}, {"y": y, "forced": x[..., 0] > 0}):
        trace = stack.forward(x, (None, z0), lengths=LENGTHS, **fed)
        below = low.forward(x, lengths=LENGTHS)
        want = top.forward(below.h, z0=z0, lengths=LENGTHS, **fed)
        np.testing.assert_array_equal(trace.o, want.o)
        do = np.random.default_rng(1).standard_normal(want.o.shape)
        got, high = stack.backward(do, trace), top.backward(do, want)
        lower = low.backward(high.dx, below)
        parts = {f"0.{key}": array for key, array in lower.items()}
        parts |= {f"1.{key}": array for key, array in high.items()}
        assert_same_bits(dict(got), parts)
        assert_same_bits({"dx": got.dx, "z": got.dh0[1]}, {"dx": lower.dx, "z": high.dz0})


def test_model_over_outputs_that_are_fed_back(tmp_path):
    model = fastrnn.SequenceModel(fed_stack(teacher_forcing=0.5))
    assert not hasattr(model, "V") and model.output_size == 2
    x, y = sequences(12), np.random.default_rng(0).integers(0, 2, (T, B))
    model.save(tmp_path / "model.npz")
    again = fastrnn.load(tmp_path / "model.npz")
    training = [one.loss_and_grad(x, y) for one in (model, again)]  # both draw the same steps
    assert training[0][0] == training[1][0] != model.loss(x, y)
    assert_same_bits(training[0][1], training[1][1])
    model.body.teacher_forcing = 1.0
    assert model.body.bodies[1].teacher_forcing == 1.0
    assert model.loss_and_grad(x, y)[0] == model.loss(x, y)
    stream, want = model.stream(B), model.predict(x)
    for t, x_t in enumerate(x):
        np.testing.assert_allclose(stream.step(x_t), want[t], rtol=1e-13)
    stream.reset()
    want = model.predict(x, y=y)
    for t, x_t in enumerate(x):
        got = stream.step(x_t, y[t - 1] if t else None)
        np.testing.assert_allclose(got, want[t], rtol=1e-13)
    optimizer = fastrnn.Adam(0.02)
    history = fastrnn.fit(model, (x, y), optimizer=optimizer, epochs=30, progress=False)
    assert history.rows[-1]["loss"] < 0.8 * history.rows[0]["loss"]


def test_what_only_a_highest_body_that_is_fed_has():
    for name in ("feedback", "teacher_forcing"):
        assert hasattr(fed_stack(), name) and not hasattr(make("elman over elman"), name)
    assert fed_stack().sampling() and make("elman over elman").sampling() == {}


# Models


@each_stack
def test_model_learns_and_predicts(name):
    model = fastrnn.SequenceModel(make(name), 2, rng=0)
    x, targets = sequences(12), np.random.default_rng(0).integers(0, 2, (T, B))
    batch = (x, targets, LENGTHS)
    history = fastrnn.fit(model, batch, optimizer=fastrnn.Adam(0.02), epochs=30, progress=False)
    assert history.rows[-1]["loss"] < 0.7 * history.rows[0]["loss"]
    want, stream = model.predict(x), model.stream(B)
    got = [o.copy() for o in map(stream.step, x) if o is not None] + stream.flush()
    np.testing.assert_array_equal(np.reshape(got, want.shape), want)


def test_training_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path):
    def train(epochs, **settings):
        model = fastrnn.SequenceModel(make("stack over stack"), 2, rng=0)
        data = (sequences(13), np.zeros((T, B), int))
        settings |= {"optimizer": fastrnn.Adam(0.1), "epochs": epochs, "progress": False}
        fastrnn.fit(model, data, **settings)
        return model.parameters()

    path = tmp_path / "run.npz"
    train(2, checkpoint=path)
    assert_same_bits(train(4, checkpoint=path, resume=True), train(4))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("name", ["elman over strided tdnn", "stack over stack"])
def test_files_give_the_same_bits(tmp_path, name, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model = fastrnn.SequenceModel(make(name), 2, loss="sigmoid", rng=0)
    for number, array in enumerate(model.parameters().values()):
        array[...] = np.random.default_rng(number).standard_normal(array.shape)
    model.save(tmp_path / f"model{suffix}")
    again = fastrnn.load(tmp_path / f"model{suffix}")
    assert repr(again) == repr(model)
    assert_same_bits(again.parameters(), model.parameters())
    assert again.predict(sequences()).tobytes() == model.predict(sequences()).tobytes()


@each_stack
def test_copies_and_configuration(name):
    stack, x = make(name), sequences()
    want = stack.forward(x).h
    config = json.loads(json.dumps(stack.config()))
    again = fastrnn.Stack.from_config(config)
    assert again.config() == stack.config() and repr(again) == repr(stack)
    for key, array in again.parameters().items():
        array[...] = stack.parameters()[key]
    for other in (again, pickle.loads(pickle.dumps(stack)), copy.deepcopy(stack)):
        np.testing.assert_array_equal(other.forward(x).h, want)
        for key, array in other.parameters().items():
            assert not np.shares_memory(array, stack.parameters()[key])
            array += 1  # still the live arrays
        assert (other.forward(x).h != want).any()
    narrow = fastrnn.SequenceModel(stack, 2, rng=0).astype("float32")
    assert narrow.dtype == narrow.body.dtype == np.float32
    assert {array.dtype for array in narrow.parameters().values()} == {np.dtype(np.float32)}
    assert repr(stack).startswith("Stack([") and (stack.input_size, stack.output_size) == (P, M)


def test_token_ids_at_the_bottom():
    stack, ids = make("elman over elman"), np.random.default_rng(0).integers(0, P, (T, B))
    trace = stack.forward(ids, lengths=LENGTHS)
    want = stack.forward(np.eye(P)[ids], lengths=LENGTHS)
    assert error(trace.h, want.h) <= 1e-13
    got = stack.backward(np.ones_like(trace.h), trace)
    assert got.dx is None
    assert_close(got, stack.backward(np.ones_like(want.h), want), 1e-12)


def test_of_plain_torch_weights_of_several_layers():
    rng, weights = np.random.default_rng(0), {}
    for layer, p in enumerate((P, M, M)):
        for key, shape in (("weight_ih", (M, p)), ("weight_hh", (M, M)), ("bias_ih", (M,))):
            weights[f"{key}_l{layer}"] = rng.standard_normal(shape).astype(np.float32)
    stack = fastrnn.Stack.from_torch(weights, activation="relu")
    assert [body.activation for body in stack.bodies] == ["relu"] * 3
    for layer, body in enumerate(stack.bodies):
        np.testing.assert_array_equal(body.W, weights[f"weight_hh_l{layer}"])
        np.testing.assert_array_equal(body.b, weights[f"bias_ih_l{layer}"])
        assert body.dtype == np.float32
