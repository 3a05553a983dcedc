"""Output-to-hidden network: the reference against complex steps, kernels against the reference."""

import itertools
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from helpers import ACTIVATIONS, assert_close, assert_same_bits, error
from hypothesis import given, settings
from hypothesis import strategies as st
from jordan_cases import (
    DIFFERENTIABLE,
    FEEDBACKS,
    TEACHING,
    draws,
    function_pass,
    make_case,
    reference_forward,
    reference_pass,
)

import fastrnn
from fastrnn import kernels, reference
from fastrnn.kernels.activations import ACTIVATIONS as CODES
from fastrnn.kernels.feedback import FEEDBACKS as FEEDBACK_CODES
from fastrnn.kernels.jordan_step import pack_step, packed_step

STEP = 1e-30  # of a complex step: its square vanishes, so that nothing is cut off
SETTINGS = settings(max_examples=60, derandomize=True, deadline=None)
CASES = st.builds(
    make_case,
    st.integers(0, 2**32 - 1),
    st.integers(0, 12),  # T
    st.integers(0, 7),  # B
    st.integers(1, 19),  # p
    st.integers(1, 19),  # m
    st.integers(1, 19),  # q
    tokens=st.booleans(),
    teaching=st.sampled_from(TEACHING),
    resets=st.booleans(),
    ragged=st.booleans(),
)


# The reference


@pytest.mark.parametrize("teaching", TEACHING)
@pytest.mark.parametrize("feedback", DIFFERENTIABLE)
def test_reference_against_complex_steps(feedback, teaching):
    for activation, tokens in itertools.product(("tanh", "relu"), (False, True)):
        case = make_case(1, 5, 4, 3, 4, 3, tokens=tokens, teaching=teaching)
        got = reference_pass(case, activation, feedback)
        for name in ("U", "W", "b", "V", "c", "z0") + (() if tokens else ("x",)):
            want = complex_step_gradient(case, name, activation, feedback)
            assert np.linalg.norm(want) > 0
            assert error(got["d" + name], want) <= 1e-13, name


def complex_step_gradient(case, name, activation, feedback):
    """Return the derivative of <do, o> in every element of one argument."""
    values = getattr(case, name)
    gradient = np.empty(values.shape)
    s = SimpleNamespace(**vars(case))
    for index in np.ndindex(values.shape):
        shifted = values.astype(complex)
        shifted[index] += 1j * STEP
        setattr(s, name, shifted)
        outputs = reference_forward(s, activation, feedback).o
        gradient[index] = np.sum(s.do * outputs).imag / STEP
    return gradient


def test_what_each_step_is_fed():
    s = make_case(2, 4, 3, 2, 3, 3, teaching="some classes", resets=False)
    s.lengths = np.array([4, 2, 0])
    s.forced = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1]], bool)
    s.resets = np.zeros((4, 3), bool)
    s.resets[3, 0] = True
    got = function_pass(s)
    softmax = np.exp(got["o"]) / np.exp(got["o"]).sum(-1, keepdims=True)
    one_hot, none = np.eye(3)[s.y], np.zeros(3)
    first = [s.z0[0], one_hot[0, 0], softmax[1, 0], s.z0[0]]
    second = [s.z0[1], softmax[0, 1], none, none]
    want = np.stack([first, second, [none] * 4], 1)
    np.testing.assert_allclose(got["z"], want, rtol=1e-14)
    s.y, s.forced = np.random.default_rng(3).standard_normal((4, 3, 3)), None
    want = np.stack([[s.z0[0], s.y[0, 0], s.y[1, 0], s.z0[0]], [s.z0[1], s.y[0, 1], none, none]], 1)
    np.testing.assert_array_equal(function_pass(s)["z"][:, :2], want)


@pytest.mark.parametrize("floor", ["reference", "kernels"])
def test_classes_that_are_fed_back(floor):
    """Outputs chosen by c alone: ties, draws at the edges of the classes' parts, NaN."""
    step = {"reference": reference, "kernels": kernels}[floor].jordan_step
    U, W, V = (np.zeros(shape, order="F") for shape in ((2, 2), (2, 3), (3, 2)))
    x_t, z, b, h, o, out = (
        np.zeros(shape) for shape in ((1, 2), (1, 3), 2, (1, 2), (1, 3), (1, 3))
    )

    def fed(c, feedback, draw=0.0):
        number = np.array([draw], float)
        step(x_t, z, U, W, b, V, np.array(c, float), "tanh", feedback, number, h, o, out)
        np.testing.assert_array_equal(o, [c])
        return out[0].tolist()

    units = np.eye(3).tolist()
    assert fed([1, 2, 2], "argmax") == units[1]
    assert fed([-np.inf, -5, -7], "argmax") == units[1]
    halves = np.log([0.5, 0.25, 0.25])
    for draw, want in [(0, 0), (0.499, 0), (0.501, 1), (0.749, 1), (0.751, 2), (1 - 2**-53, 2)]:
        assert fed(halves, "sample", draw) == units[want]
        assert fed([-1e4, halves[0], halves[0]], "sample", draw) == units[1 + (draw > 0.5)]
    for feedback in FEEDBACKS:
        assert np.isnan(fed([1, np.nan, 2], feedback)).any()
    for feedback in ("softmax", "argmax", "sample"):
        assert np.isnan(fed([1, np.nan, 2], feedback)).all()


# Functions against the reference


@SETTINGS
@given(CASES, st.sampled_from(ACTIVATIONS), st.sampled_from(FEEDBACKS), st.booleans())
def test_float64_against_reference(case, activation, feedback, hand_in_z):
    hand_in_z |= feedback not in DIFFERENTIABLE
    got = function_pass(case, activation, feedback, hand_in_z=hand_in_z)
    assert_close(got, reference_pass(case, activation, feedback), 1e-12)


@pytest.mark.parametrize("feedback", DIFFERENTIABLE)
def test_float32_against_reference(feedback):
    """Over 512 steps, of sizes that fill no vector; the targets are classes."""
    for activation, teaching in itertools.product(ACTIVATIONS, ("free", "classes", "some classes")):
        case = make_case(4, 512, 3, 11, 33, 7, dtype=np.float32, teaching=teaching)
        got = function_pass(case, activation, feedback)
        assert all(array.dtype == np.float32 for array in got.values())
        assert_close(got, reference_pass(case, activation, feedback), 1e-5)


@pytest.mark.parametrize("feedback", ["argmax", "sample"])
def test_classes_fed_back_count_as_data(feedback):
    """Gradients are then those of teacher forcing with the very same classes."""
    case = make_case(5, 9, 5, 4, 7, 6, resets=False)
    case.lengths = None
    free = function_pass(case, "tanh", feedback)
    case.y = np.roll(free["z"].argmax(-1), -1, axis=0)
    assert_close(function_pass(case, "tanh", feedback), free, 1e-13)
    assert len(np.unique(case.y)) > 1


def test_a_reset_begins_a_new_sequence():
    """Two sequences one behind the other give what they give apart, to the bit."""
    case = make_case(6, 9, 4, 5, 6, 7, teaching="some values", resets=False, ragged=False)
    case.resets = np.zeros((9, 4), bool)
    case.resets[[0, 5]] = True  # one at the first step changes nothing
    both = function_pass(case)
    halves = []
    for steps in (slice(5), slice(5, 9)):
        half = SimpleNamespace(**vars(case))
        half.resets = None
        for name in ("x", "y", "do", "forced"):
            setattr(half, name, getattr(case, name)[steps])
        halves.append(function_pass(half))
    for name in ("h", "o", "z", "dx"):
        assert both[name].tobytes() == b"".join(half[name].tobytes() for half in halves), name
    for name in ("dU", "dW", "db", "dV", "dc", "dz0"):
        assert error(sum(half[name] for half in halves), both[name]) <= 1e-13, name


def test_draws_come_from_rng_alone():
    case = make_case(7, 30, 4, 3, 5, 6)
    np.random.seed(0)  # noqa: NPY002 (what others may do to the global state)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    arguments = (case.x, case.U, case.W, case.b, case.V, case.c)

    def z(rng, feedback="sample"):
        return fastrnn.jordan_forward(*arguments, feedback=feedback, rng=rng).z

    one = z(5)
    assert one.tobytes() == z(np.random.default_rng(5)).tobytes()
    assert one.tobytes() != z(6).tobytes()
    assert z(None).tobytes() != z(None).tobytes()
    generator = np.random.default_rng(5)
    assert z(generator).tobytes() != z(generator).tobytes()
    state = generator.bit_generator.state
    assert z(generator, "softmax").tobytes() == z(None, "softmax").tobytes()
    assert generator.bit_generator.state == state  # nothing is drawn that is not needed
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


# Bits

PER_ROW = {"h": 1, "o": 1, "z": 1, "dx": 1, "dz0": 0}


@pytest.mark.parametrize("teaching", ["free", "classes", "some values"])
def test_threads_and_repeats_change_no_bit(teaching):
    case = make_case(8, 40, 37, 9, 50, 11, teaching=teaching)
    one = function_pass(case, threads=1)
    for threads in (1, 2, 3, 8, None):
        assert_same_bits(function_pass(case, threads=threads), one)


@pytest.mark.parametrize("hand_in_z", [True, False])
@pytest.mark.parametrize("teaching", TEACHING)
def test_row_does_not_depend_on_its_batch(teaching, hand_in_z):
    case = make_case(9, 11, 7, 5, 13, 6, teaching=teaching)
    whole = function_pass(case, hand_in_z=hand_in_z)
    for rows in ([4, 1, 6, 0], *([b] for b in range(7))):
        part = SimpleNamespace(**vars(case))
        T = max(case.lengths[rows])
        for name in ("x", "y", "forced", "resets", "do"):
            if getattr(case, name) is not None:
                setattr(part, name, getattr(case, name)[:T, rows])
        part.lengths, part.z0 = case.lengths[rows], case.z0[rows]
        got = function_pass(part, hand_in_z=hand_in_z)
        for name, axis in PER_ROW.items():
            want = np.take(whole[name], rows, axis)
            assert got[name].tobytes() == (want[:T] if axis else want).tobytes(), name


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("teaching", TEACHING)
def test_what_feeds_no_step_is_never_looked_at(teaching, feedback):
    case = make_case(10, 11, 7, 5, 13, 6, teaching=teaching)
    clean = function_pass(case, "tanh", feedback)
    bad = SimpleNamespace(**vars(case))
    padding = np.arange(11)[:, None] >= case.lengths
    for name in ("x", "do", "y"):
        array = getattr(case, name)
        if array is not None:
            unused = padding
            if name == "y":  # y(t-1) feeds step t where that is forced and no restart
                fed = ~padding & ~case.resets & (True if case.forced is None else case.forced)
                unused = ~np.roll(fed, -1, axis=0)
                unused[-1] = True
            junk = array.copy()
            junk[unused] = np.nan if array.dtype.kind == "f" else -1
            setattr(bad, name, junk)
    bad.resets = case.resets | padding
    assert_same_bits(function_pass(bad, "tanh", feedback), clean)
    for name in ("h", "o", "z", "dx"):
        assert not clean[name][padding].any(), name
    assert not clean["dz0"][case.lengths == 0].any()


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_reaches_only_its_row_and_later_steps(bad, feedback):
    case = make_case(11, 9, 6, 5, 8, 3, resets=False, ragged=False)
    before = function_pass(case, "relu", feedback)
    case.x[4, 2, 1] = bad
    with np.errstate(invalid="ignore"):
        after = function_pass(case, "relu", feedback)
    others = [0, 1, 3, 4, 5]
    for name, axis in PER_ROW.items():
        a, b = (np.take(got[name], others, axis) for got in (after, before))
        assert a.tobytes() == b.tobytes(), name
    for name in ("h", "o"):
        assert after[name][:4].tobytes() == before[name][:4].tobytes()
    if np.isnan(bad):
        assert np.isnan(after["h"][4:, 2]).all() and np.isnan(after["z"][5:, 2]).all()


def test_a_teacher_stops_nan():
    case = make_case(12, 9, 6, 5, 8, 3, resets=False, ragged=False, teaching="classes")
    before = function_pass(case)
    case.x[4, 2, 1] = np.nan
    after = function_pass(case)
    reached = np.zeros((9, 6), bool)
    reached[4, 2] = True
    for name in ("h", "o", "dx"):
        assert after[name][~reached].tobytes() == before[name][~reached].tobytes()
        assert np.isnan(after[name][reached]).all()


# Kernels in a user's own compiled code


@numba.njit
def user_pass(s, fed, settings, buffers):
    """What a user's own compiled code may do, with every optional argument given."""
    do, x, U, W, b, V, c = s
    y, z0, lengths, forced, draws, resets = fed
    activation, feedback = settings
    h, o, z, work, dx, dU, dW, db, dV, dc, dz0, d_work = buffers
    state = kernels.jordan_forward(
        x, U, W, b, V, c, y, z0, lengths, activation, feedback, forced, draws, h, o, z, work, resets
    )
    grads = kernels.jordan_backward(
        do, x, state.h, state.o, U, W, V, y, state.z, z0, lengths, activation, feedback, forced,
        dx, dU, dW, db, dV, dc, dz0, d_work, resets,
    )  # fmt: skip
    return state, grads


def kernel_pass(s, activation, feedback, buffers):
    """Call `user_pass` with weights in Fortran order that cannot be written to."""
    weights = [np.asfortranarray(array) for array in (s.U, s.W, s.b, s.V, s.c)]
    for array in weights:
        array.flags.writeable = False
    arrays = (s.do, s.x, *weights)
    fed = (s.y, s.z0, s.lengths, s.forced, draws(s), s.resets)
    return user_pass(arrays, fed, (activation, feedback), buffers)


def nan_buffers(s):
    """Return the buffers of `user_pass`, filled with NaN: nothing may be added to that."""
    (T, B, p), (m, q) = s.x.shape, s.W.shape
    shapes = [
        (T, B, m), (T, B, q), (T, B, q), (16 * (2 * p + 2 * q + 2 * m),),
        (T, B, p), (m, p), (m, q), (m,), (q, m), (q,), (B, q), (T * B * (m + q),),
    ]  # fmt: skip
    return tuple(np.full(shape, np.nan, s.U.dtype) for shape in shapes)


@pytest.mark.lanes
@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_kernels_with_all_arguments_in_user_code(feedback):
    for seed, activation in enumerate(ACTIVATIONS):
        case = make_case(seed, 5, 4, 6, 9, 5, teaching="some classes")
        buffers = nan_buffers(case)
        state, grads = kernel_pass(case, activation, feedback, buffers)
        handed_in = [buffers[i] for i in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10)]
        assert all(a is b for a, b in zip((*state, *grads), handed_in, strict=True))
        got = state._asdict() | grads._asdict()
        assert_close(got, reference_pass(case, activation, feedback), 1e-12)
        if not numba.config.DISABLE_JIT:
            assert_same_bits(got, function_pass(case, activation, feedback))


def test_reference_buffers_come_back():
    s = make_case(13, 4, 3, 5, 6, 3)
    h, o, z, _, dx, dU, dW, db, dV, dc, dz0, _ = nan_buffers(s)
    state = reference.jordan_forward(s.x, s.U, s.W, s.b, s.V, s.c, h=h, o=o, z=z)
    assert all(a is b for a, b in zip(state, (h, o, z), strict=True))
    buffers = {"dx": dx, "dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc, "dz0": dz0}
    grads = reference.jordan_backward(s.do, s.x, h, o, s.U, s.W, s.V, **buffers)
    assert all(a is b for a, b in zip(grads, buffers.values(), strict=True))
    assert not any(np.isnan(array).any() for array in (*state, *grads))


@pytest.mark.parametrize("floor", [kernels, reference])
def test_kernels_ask_for_what_they_cannot_do_without(floor):
    s = make_case(14, 3, 2, 4, 5, 3)
    weights, state = (s.U, s.W, s.b, s.V, s.c), reference_forward(s)
    forward, backward, step = (  # not compiled: the checks come first
        getattr(function, "py_func", function)
        for function in (floor.jordan_forward, floor.jordan_backward, floor.jordan_step)
    )
    with pytest.raises(ValueError, match="^z: expected what the steps were fed"):
        backward(s.do, s.x, *state[:2], s.U, s.W, s.V, feedback="argmax")
    with pytest.raises(ValueError, match="^draws: expected numbers"):
        forward(s.x, *weights, feedback="sample")
    with pytest.raises(ValueError, match="^draws: expected numbers"):
        step(s.x[0], s.z0, *weights, feedback="sample")
    with pytest.raises(ValueError, match="^feedback: expected 'softmax', "):
        forward(s.x, *weights, feedback="hardmax")


@pytest.mark.lanes
@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_steps_give_the_bits_of_the_whole_pass(feedback):
    """In Fortran order, and packed; the reference's steps give the reference's pass."""
    s = make_case(15, 6, 5, 4, 21, 7, resets=False, ragged=False)
    s.forced, fed_next = None, np.roll(draws(s), -1, axis=0)
    want = reference_forward(s, "tanh", feedback)
    arguments = (s.U, s.W, s.b, s.V, s.c)
    fortran = [np.asfortranarray(array) for array in arguments]
    packed, rows = pack_step(*arguments), np.arange(5)
    codes = CODES["tanh"], FEEDBACK_CODES[feedback]
    z, z_packed, z_plain = s.z0, s.z0, s.z0
    for t in range(6):
        h, o, out = np.full((5, 21), np.nan), np.full((5, 7), np.nan), np.full((5, 7), np.nan)
        number = fed_next[t].copy()
        got = kernels.jordan_step(s.x[t], z, *fortran, "tanh", feedback, number, h, o, out)
        assert got.h is h and got.o is o and got.z is out
        again = [np.empty_like(array) for array in got]
        packed_step(s.x[t], z_packed, rows, 4, packed, *codes, number, *again)
        assert_same_bits(dict(enumerate(again)), dict(enumerate(got)))
        plain = reference.jordan_step(s.x[t], z_plain, *arguments, "tanh", feedback, number)
        for name in ("h", "o"):
            assert error(getattr(plain, name), getattr(want, name)[t]) <= 1e-15
            assert error(getattr(got, name), getattr(want, name)[t]) <= 1e-12
        z, z_packed, z_plain = got.z, again[2], plain.z
    if not numba.config.DISABLE_JIT:
        whole = fastrnn.jordan_forward(s.x, *arguments, z0=s.z0, feedback=feedback, rng=s.rng)
        assert got.h.tobytes() == whole.h[-1].tobytes() and got.o.tobytes() == whole.o[-1].tobytes()
