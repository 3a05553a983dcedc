"""The Jordan layer: what it draws, streams, what is carried on, and copies."""

import copy
import pickle

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits

import fastrnn
from fastrnn import reference

FEEDBACKS = ("softmax", "sigmoid", "identity", "argmax", "sample")
T, B, P, M, Q = 9, 5, 4, 7, 3
LENGTHS = np.array([9, 4, 0, 9, 1])


def layer(feedback="softmax", p=1.0):
    made = fastrnn.Jordan(P, M, Q, feedback=feedback, teacher_forcing=p, dtype=float, rng=1)
    made.b[...], made.c[...] = np.linspace(-1, 1, M), np.linspace(1, -0.5, Q)
    made.W *= 0.5  # "identity" feeds the outputs as they are: an expanding loop amplifies rounding
    return made


def sequence(tokens=False):
    rng = np.random.default_rng(90)
    return rng.integers(0, P, (T, B)) if tokens else rng.standard_normal((T, B, P))


def targets(feedback="softmax"):
    rng = np.random.default_rng(91)
    if feedback in ("sigmoid", "identity"):
        return rng.uniform(0, 1, (T, B, Q))
    return rng.integers(0, Q, (T, B))


def generator_of(made):
    """Return another generator that will draw what the layer will."""
    bits = np.random.PCG64()
    bits.state = made.sampling()["generator"]
    return np.random.Generator(bits)


def random_steps(seed, share):
    return np.random.default_rng(seed).random((T, B)) < share


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_scheduled_sampling_against_the_reference(feedback, p):
    made, x, y = layer(feedback, p), sequence(), targets(feedback)
    do = np.random.default_rng(92).standard_normal((T, B, Q))
    z0, resets = do[0] / 2, random_steps(93, 0.2)
    source = generator_of(made)
    U, W, b, V, c = made.parameters().values()
    for _ in range(2):
        trace = made.forward(x, y, z0, lengths=LENGTHS, resets=resets)
        grads = made.backward(do, trace)
        forced = source.random((T, B)) < p if 0 < p < 1 else np.full((T, B), p == 1)
        draws = source.random((T, B)) if feedback == "sample" else None
        want = reference.jordan_forward(
            x, U, W, b, V, c, y, z0, LENGTHS, "tanh", feedback, forced, draws, resets=resets
        )
        d_want = reference.jordan_backward(
            do, x, want.h, want.o, U, W, V, y, want.z, z0, LENGTHS, "tanh", feedback, forced,
            resets=resets,
        )._asdict()  # fmt: skip
        assert_close({"h": trace.h, "o": trace.o, "z": trace.z}, want._asdict(), 1e-12)
        got = {f"d{name}": grad for name, grad in grads.items()}
        assert_close(got | {"dx": grads.dx, "dz0": grads.dz0}, d_want, 1e-12)
        assert list(grads) == list(made.parameters()) and grads.dh0 is None


def test_probabilities_0_and_1_draw_nothing_and_those_between_their_share():
    x, y = sequence(), targets()
    for p, forced in ((1.0, None), (0.0, np.zeros((T, B), bool))):
        made = layer(p=p)
        before = made.sampling()
        got = made.forward(x, y)
        want = made.forward(x, y, forced=forced) if p else made.forward(x)
        assert got.o.tobytes() == want.o.tobytes() and made.sampling() == before
    made = layer(p=0.25)
    trace = made.forward(np.zeros((100, 50, P)), np.zeros((100, 50), int))
    assert abs(trace.forced.mean() - 0.25) < 0.03
    assert made.forward(x, y).o.tobytes() != made.forward(x, y).o.tobytes()
    made.teacher_forcing = 1
    assert made.forward(x, y).forced is None and made.config()["teacher_forcing"] == 1.0


def test_draws_come_from_the_layers_own_generator_or_the_calls():
    source = np.random.default_rng(5)
    settings = {"teacher_forcing": 0.5, "feedback": "sample", "dtype": float}
    made, twin = (
        fastrnn.Jordan(P, M, Q, rng=source, **settings),
        fastrnn.Jordan(P, M, Q, rng=5, **settings),
    )
    assert_same_bits(made.parameters(), twin.parameters())
    source.random(9)
    x, y = sequence(), targets()
    first = made.forward(x, y)
    before = made.sampling()
    assert first.o.tobytes() == twin.forward(x, y, threads=2).o.tobytes()
    a, b = (made.forward(x, y, rng=8) for _ in range(2))
    assert a.o.tobytes() == b.o.tobytes() != first.o.tobytes()
    assert made.sampling() == before


def test_copies_draw_on_alike_and_apart():
    x, y = sequence(), targets()
    made = layer("sample", 0.5)
    made.forward(x, y)
    other = fastrnn.Jordan.from_config(made.config())
    other.restore_sampling(made.sampling())
    for name, array in other.parameters().items():
        array[...] = made.parameters()[name]
    copies = [copy.deepcopy(made), pickle.loads(pickle.dumps(made)), other]
    want = [made.forward(x, y).o.tobytes() for _ in range(2)]
    assert want[0] != want[1]
    for each in copies:
        assert repr(each) == repr(made)
        assert [each.forward(x, y).o.tobytes() for _ in range(2)] == want


@pytest.mark.parametrize(
    "state", [{}, {"generator": {}, "teacher_forcing": 1}, {"teacher_forcing": 0.5}, None, 3]
)
def test_restoring_what_is_no_state_changes_nothing(state):
    made = layer(p=0.5)
    before = made.sampling()
    for bad in (state, before | {"teacher_forcing": 2}, before | {"generator": "PCG64"}):
        with pytest.raises(ValueError, match="^state: expected what sampling returned, got"):
            made.restore_sampling(bad)
        assert made.sampling() == before


def test_threads_change_no_bit():
    x, y = np.tile(sequence(), (12, 40, 1)), np.tile(targets(), (12, 40))  # worth some threads
    made = fastrnn.Jordan(P, 64, Q, teacher_forcing=0.5, dtype=float, rng=0)
    results = []
    for threads in (1, 2, 3):
        trace = made.forward(x, y, rng=4, threads=threads)
        grads = made.backward(trace.o, trace, threads=threads)
        results.append({"o": trace.o, "z": trace.z, "dx": grads.dx, "dz0": grads.dz0, **grads})
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("kind", ["float64", "tokens"])
def test_stream_equals_running_free(kind, feedback):
    x = sequence(kind == "tokens")
    made = layer(feedback, 0.5)
    twin = copy.deepcopy(made)
    stream = made.stream(B)
    for _ in range(2):
        o = twin.forward(x).o
        seen = set()
        for t, x_t in enumerate(x):
            out = stream.step(x_t)
            seen.add(out.__array_interface__["data"][0])
            assert out.tobytes() == o[t].tobytes()
        assert len(seen) == 1  # one buffer, used again
        assert stream.flush() == []
        stream.reset()


@pytest.mark.parametrize("feedback", ["softmax", "identity"])
def test_stream_is_fed_what_is_handed_in(feedback):
    x, y = sequence(), targets(feedback)
    made, forced = layer(feedback), random_steps(94, 0.5)
    z0 = targets("identity")[0]
    whole = made.forward(x, y, z0, forced=forced)
    stream = made.stream(B)
    stream.step(x[3])
    stream.reset(z0)
    for t in range(T):
        assert stream.step(x[t], whole.z[t]).tobytes() == whole.o[t].tobytes()
    classes = made.forward(x, targets())
    stream.reset()
    for t in range(T):
        out = stream.step(x[t], targets()[t - 1].astype(np.int32) if t else None)
        assert out.tobytes() == classes.o[t].tobytes()
    stream.reset(np.arange(B) % Q)
    first = made.forward(x[:1], z0=np.eye(Q)[np.arange(B) % Q])
    assert stream.step(x[0]).tobytes() == first.o[0].tobytes()


def test_a_refused_frame_or_feedback_leaves_the_stream_as_it_was():
    made = layer("sample")
    x, other = sequence(), copy.deepcopy(made).stream(B)
    stream = made.stream(B)
    z = np.ones((B, Q))
    stream.step(x[0]), other.step(x[0])
    for x_t, fed, names in [
        (x[1][:2], None, "batch_size, x_t"),
        (x[1], z[:2], "batch_size, z"),
        (x[1], z[:, :2], "output_size, z"),
        (x[1], z.astype("f4"), "z"),
        (x[1], np.full(B, Q), "z"),
        (x[1], np.full(B, -1), "z"),
        (x[1], "a", "z"),
    ]:
        with pytest.raises((TypeError, ValueError), match=f"^{names}: expected .* got"):
            stream.step(x_t, fed)
    for bad in (z[:2], z.astype("f4"), np.full(B, Q)):
        with pytest.raises((TypeError, ValueError), match="^(batch_size, )?z0: expected .* got"):
            stream.reset(bad)
    assert stream.step(x[1]).tobytes() == other.step(x[1]).tobytes()


@pytest.mark.parametrize("p", [0.0, 1.0, None], ids=["free", "forced", "without targets"])
@pytest.mark.parametrize("feedback", ["softmax", "sigmoid", "identity", "argmax"])
def test_what_is_carried_goes_on_to_the_same_bits(feedback, p):
    made, x = layer(feedback, p or 0.0), sequence()
    y = {} if p is None else {"y": targets(feedback)}
    z0 = targets("identity")[0]
    whole = made.forward(x, z0=z0, **y)
    for steps in range(T + 1):
        part = made.forward(x[:steps], z0=z0, **{name: a[:steps] for name, a in y.items()})
        rests = [
            made.forward(x[steps:], **carried, **{name: a[steps:] for name, a in y.items()})
            for carried in (made.carry(whole, steps), made.carry(part, steps))
        ]
        for rest in rests:
            assert rest.o.tobytes() == whole.o[steps:].tobytes()


def test_what_is_carried_after_ends_of_sequences():
    made, x, y, z0 = layer(), sequence(), targets(), targets("identity")[0]
    trace = made.forward(x, y, z0, lengths=LENGTHS)
    (carried,) = made.carry(trace, 4).values()
    for b, n in enumerate(np.minimum(LENGTHS, 4)):
        want = z0[b] if n == 0 else np.eye(Q)[y[n - 1, b]]
        assert carried[b].tolist() == want.tolist()
    trace = made.forward(x, y, forced=np.zeros((T, B), bool))
    made.teacher_forcing = 0
    (carried,) = made.carry(trace, T).values()
    np.testing.assert_allclose(carried, reference.softmax(trace.o)[-1], rtol=1e-13)
    assert not made.carry(made.forward(x[:0], y[:0]), 0)["z0"].any()


def test_what_is_carried_is_drawn_as_a_step_would_be():
    made = fastrnn.Jordan(P, M, Q, feedback="sample", teacher_forcing=0.3, dtype=float, rng=0)
    made.V[...], made.c[...] = 0, np.log([0.2, 0.8, 1e-300])
    n = 4000
    trace = made.forward(np.zeros((1, n, P)), np.full((1, n), 2))
    (z0,) = made.carry(trace, 1).values()
    np.testing.assert_array_equal(z0.sum(axis=1), 1)
    np.testing.assert_allclose(z0.mean(axis=0), [0.7 * 0.2, 0.7 * 0.8, 0.3], atol=0.03)
    assert made.carry(trace, 1)["z0"].tolist() != z0.tolist()


def test_carry_refuses():
    made, x, y = layer(), sequence(), targets()
    trace = made.forward(x, y)
    y = y.copy()
    y[-1, 2] = -100  # feeds no step: forward does not look at it
    cases = [
        (trace, T + 1, ValueError, "steps: expected an integer from 0 to T = 9, got 10"),
        (trace, -1, ValueError, "steps: expected an integer >= 0, got -1"),
        (trace, 2.0, TypeError, "steps: expected an integer >= 0, got 2.0"),
        (x, 1, TypeError, "state: expected what forward returned, got ndarray"),
        (trace._replace(z=trace.z[..., 1:]), 1, ValueError, "output_size, state.z: expected"),
        (made.forward(x, y), T, ValueError, "y: expected integers from 0 to 2, got -100"),
    ]
    for state, steps, error, message in cases:
        with pytest.raises(error, match="^" + message):
            made.carry(state, steps)


def test_initial_values():
    made = fastrnn.Jordan(40, 60, 20, rng=3)
    assert made.dtype == np.float32 and made.output_size == 20 and made.frames() == (0, 1)
    for array, fans in ((made.U, 100), (made.W, 80), (made.V, 80)):
        bound = np.sqrt(6 / fans)
        assert 0.9 * bound < np.abs(array).max() <= bound
    assert not made.b.any() and not made.c.any()
