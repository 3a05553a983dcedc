"""Elman network: the reference against complex steps, functions and kernels against the reference.

Each pass runs through network, output layer and loss, and back.
"""

import numba
import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    FUNCTIONS,
    LOSSES,
    TOLERANCE,
    assert_close,
    assert_close_together,
    assert_same_bits,
    error,
    function_pass,
    make_case,
    reference_pass,
    widened,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn import kernels, reference

STEP = 1e-30  # of a complex step: its square vanishes, so that nothing is cut off
SIZES = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 12),  # T
    st.integers(0, 7),  # B
    st.integers(1, 19),  # p
    st.integers(1, 19),  # m
    st.integers(1, 19),  # q
)
SETTINGS = settings(max_examples=40, derandomize=True, deadline=None)


def objective(s, loss, activation):
    """Return the loss plus random linear functionals of h and h_last, whose gradients are known."""
    state = reference.elman_forward(s.x, s.U, s.W, s.b, s.h0, s.lengths, activation)
    o = reference.linear_forward(state.h, s.V, s.c, s.lengths)
    value = getattr(reference, FUNCTIONS[loss])(o, s.targets[loss], s.lengths, s.weights).value
    return value + np.sum(s.dh * state.h) + np.sum(s.dh_last * state.h_last)


def complex_step_gradient(s, name, loss, activation):
    """Return the derivative of the objective in every element of one argument."""
    values = getattr(s, name)
    gradient = np.empty(values.shape)
    for index in np.ndindex(values.shape):
        shifted = values.astype(complex)
        shifted[index] += 1j * STEP
        setattr(s, name, shifted)
        gradient[index] = objective(s, loss, activation).imag / STEP
    setattr(s, name, values)
    return gradient


@pytest.mark.parametrize("tokens", [False, True], ids=["floats", "tokens"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_reference_against_complex_steps(activation, loss, tokens):
    case = make_case(1, 5, 4, 3, 4, 3, tokens=tokens)
    got = reference_pass(case, loss, activation)
    for name in ("U", "W", "b", "V", "c", "h0") + (() if tokens else ("x",)):
        want = complex_step_gradient(case, name, loss, activation)
        assert np.linalg.norm(want) > 0
        assert error(got["d" + name], want) <= 1e-13, name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_adjoint_identity(activation):
    """<dh, J v> = <J^T dh, v>: J v by a complex step of the reference, J^T dh by the kernels."""
    case = make_case(2, 9, 5, 6, 7, 1)
    rng = np.random.default_rng(3)
    arguments = {name: getattr(case, name) for name in ("x", "U", "W", "b", "h0")}
    v = {name: rng.standard_normal(array.shape) for name, array in arguments.items()}
    moved = [array + 1j * STEP * v[name] for name, array in arguments.items()]
    image = reference.elman_forward(*moved, case.lengths, activation)
    h = fastrnn.elman_forward(*arguments.values(), lengths=case.lengths, activation=activation).h
    grads = fastrnn.elman_backward(
        case.dh, case.x, h, case.U, case.W, case.h0,
        dh_last=case.dh_last, lengths=case.lengths, activation=activation,
    )  # fmt: skip
    left = np.sum(case.dh * image.h.imag) + np.sum(case.dh_last * image.h_last.imag)
    right = sum(np.sum(getattr(grads, "d" + name) * v[name]) for name in v)
    assert abs(left / STEP - right) <= 1e-13 * abs(right)


@SETTINGS
@given(SIZES, st.sampled_from(ACTIVATIONS), st.sampled_from(LOSSES), st.booleans(), st.booleans())
def test_float64_against_reference(sizes, activation, loss, tokens, ragged):
    case = make_case(*sizes, tokens=tokens, lengths=ragged)
    got = function_pass(case, loss, activation)
    assert_close(got, reference_pass(case, loss, activation), 1e-12)


@SETTINGS
@given(SIZES, st.sampled_from(ACTIVATIONS), st.sampled_from(LOSSES), st.booleans(), st.booleans())
def test_float32_against_reference(sizes, activation, loss, tokens, ragged):
    case = make_case(*sizes, dtype=np.float32, tokens=tokens, lengths=ragged)
    got = function_pass(case, loss, activation)
    assert all(
        array is None or array.dtype == np.float32 for name, array in got.items() if name != "value"
    )
    assert_close_together(got, reference_pass(case, loss, activation), 1e-5)


@numba.njit
def user_pass(x, U, W, b, h0, lengths, activation, V, c, targets, weights, dh, dh_last, buffers):
    """What a user's own compiled code may do, with every optional argument given."""
    h, h_last, work, o, work_o, do, dh_o, dV, dc, dx, dU, dW, db, dh0, da = buffers
    state = kernels.elman_forward(x, U, W, b, h0, lengths, activation, h, h_last, work)
    outputs = kernels.linear_forward(state.h, V, c, lengths, o, work_o)
    loss = kernels.softmax_cross_entropy(outputs, targets, lengths, weights, do)
    back = kernels.linear_backward(loss.do, state.h, V, lengths, dh_o, dV, dc)
    d_states = back.dh + dh
    grads = kernels.elman_backward(
        d_states, x, state.h, U, W, h0, dh_last, lengths, activation, dx, dU, dW, db, dh0, da
    )
    return state, outputs, loss, back, grads


@numba.njit
def user_pass_by_default(x, U, W, b, V, c, targets):
    """The same without any optional argument."""
    state = kernels.elman_forward(x, U, W, b)
    outputs = kernels.linear_forward(state.h, V, c)
    loss = kernels.softmax_cross_entropy(outputs, targets)
    back = kernels.linear_backward(loss.do, state.h, V)
    return state, outputs, loss, back, kernels.elman_backward(back.dh, x, state.h, U, W)


def as_dict(state, o, loss, output, grads):
    return {
        **state._asdict(), "o": o, "value": loss.value, "do": loss.do,
        "dh": output.dh, "dV": output.dV, "dc": output.dc, **grads._asdict(),
    }  # fmt: skip


def nan_buffers(s):
    """Return the buffers of `user_pass`, filled with NaN: nothing may be added to that."""
    (T, B), (m, p), q, dtype = s.x.shape[:2], s.U.shape, len(s.c), s.U.dtype
    shapes = [
        (T, B, m), (B, m), (p + m, m), (T, B, q), (m, q), (T, B, q), (T, B, m), (q, m), (q,),
        (T, B, p), (m, p), (m, m), (m,), (B, m), (T, B, m),
    ]  # fmt: skip
    buffers = [np.full(shape, np.nan, dtype) for shape in shapes]
    if s.x.ndim == 2:
        buffers[9] = None
    return tuple(buffers)


def kernel_pass(s, activation, buffers):
    return user_pass(
        s.x, s.U, s.W, s.b, s.h0, s.lengths, activation, s.V, s.c,
        s.targets["softmax"], s.weights, s.dh, s.dh_last, buffers,
    )  # fmt: skip


@SETTINGS
@given(SIZES, st.sampled_from(ACTIVATIONS))
def test_kernels_with_all_arguments_in_user_code(sizes, activation):
    case = make_case(*sizes)
    got = as_dict(*kernel_pass(case, activation, nan_buffers(case)))
    assert_close(got, reference_pass(case, "softmax", activation), 1e-12)


@pytest.mark.lanes
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_buffers_come_back_and_are_overwritten(activation):
    case = make_case(4, 4, 3, 5, 6, 3)
    buffers = nan_buffers(case)
    state, o, loss, output, grads = kernel_pass(case, activation, buffers)
    got = (*state, o, loss.do, *output, *grads)
    handed_in = [buffers[i] for i in (0, 1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13)]
    assert all(a is b for a, b in zip(got, handed_in, strict=True))
    want = reference_pass(case, "softmax", activation)
    assert_close(as_dict(state, o, loss, output, grads), want, 1e-12)


def test_kernels_give_the_bits_of_the_functions():
    case = make_case(4, 4, 3, 5, 6, 3)
    got = as_dict(*kernel_pass(case, "tanh", nan_buffers(case)))
    assert_same_bits(got, function_pass(case, "softmax", "tanh"))


def test_reference_buffers_come_back():
    case = make_case(4, 4, 3, 5, 6, 3)
    h, h_last, _, _, _, _, _, _, _, dx, dU, dW, db, dh0, _ = nan_buffers(case)
    s = case
    state = reference.elman_forward(s.x, s.U, s.W, s.b, s.h0, s.lengths, "tanh", h, h_last, None)
    grads = reference.elman_backward(
        s.dh, s.x, h, s.U, s.W, s.h0, s.dh_last, s.lengths, "tanh", dx, dU, dW, db, dh0
    )
    pairs = zip((*state, *grads), (h, h_last, dx, dU, dW, db, dh0), strict=True)
    assert all(a is b and not np.isnan(b).any() for a, b in pairs)


@pytest.mark.parametrize(
    ("tokens", "dtype"),
    [
        pytest.param(False, np.float64, id="floats"),
        pytest.param(True, np.float32, id="tokens", marks=pytest.mark.lanes),
    ],
)
def test_kernels_by_default_in_user_code(tokens, dtype):
    case = make_case(5, 5, 3, 4, 6, 5, dtype=dtype, tokens=tokens, lengths=False)
    case.h0, case.dh_last = np.zeros_like(case.h0), np.zeros_like(case.dh_last)
    case.dh, case.weights = np.zeros_like(case.dh), np.ones_like(case.weights)
    s = case
    got = user_pass_by_default(s.x, s.U, s.W, s.b, s.V, s.c, s.targets["softmax"])
    want = reference_pass(case, "softmax", "tanh")
    assert_close(as_dict(*got), want, TOLERANCE[np.dtype(dtype)])


def test_kernels_take_read_only_fortran_weights():
    s = make_case(6, 5, 3, 4, 6, 5)
    want = function_pass(s, "softmax", "tanh")
    s.U, s.W, s.V = (np.asfortranarray(weights) for weights in (s.U, s.W, s.V))
    for array in (s.U, s.W, s.V, s.b, s.c):
        array.flags.writeable = False
    h, h_last = kernels.elman_forward(s.x, s.U, s.W, s.b, s.h0, s.lengths)
    o = kernels.linear_forward(h, s.V, s.c, s.lengths)
    do = want["do"]
    back = kernels.linear_backward(do, h, s.V, s.lengths)
    grads = kernels.elman_backward(back.dh + s.dh, s.x, h, s.U, s.W, s.h0, s.dh_last, s.lengths)
    got = {"h": h, "h_last": h_last, "o": o, **back._asdict(), **grads._asdict()}
    assert_same_bits(got, {name: want[name] for name in got})


@pytest.mark.lanes
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_step_against_reference(activation):
    case = make_case(7, 3, 5, 4, 7, 1)
    out = np.full((5, 7), np.nan)
    got = kernels.elman_step(case.x[0], case.h0, case.U, case.W, case.b, activation, out)
    assert got is out
    want = reference.elman_step(case.x[0], case.h0, case.U, case.W, case.b, activation)
    assert error(got, want) <= 1e-12
    whole = reference.elman_forward(case.x[:1], case.U, case.W, case.b, case.h0, None, activation)
    assert error(want, whole.h_last) <= 1e-15


@pytest.mark.parametrize("tokens", [False, True], ids=["floats", "tokens"])
def test_layer_gives_the_bits_of_the_functions(tokens):
    s = make_case(11, 6, 5, 4, 7, 1, tokens=tokens)
    layer = fastrnn.Elman(4, 7, activation="sigmoid", dtype=np.float64, rng=0)
    for name, array in layer.parameters().items():
        array[...] = getattr(s, name)
    trace = layer.forward(s.x, s.h0, lengths=s.lengths, threads=2)
    state = fastrnn.elman_forward(s.x, s.U, s.W, s.b, s.h0, lengths=s.lengths, activation="sigmoid")
    assert_same_bits({name: getattr(trace, name) for name in ("h", "h_last")}, state._asdict())
    got = layer.backward(s.dh, trace, dh_last=s.dh_last, threads=2)
    want = fastrnn.elman_backward(
        s.dh, s.x, state.h, s.U, s.W, s.h0,
        dh_last=s.dh_last, lengths=s.lengths, activation="sigmoid",
    )  # fmt: skip
    named = {"d" + name: gradient for name, gradient in got.items()}
    assert_same_bits(named | {"dx": got.dx, "dh0": got.dh0}, want._asdict())
    again = fastrnn.Elman.from_config(layer.config())
    assert repr(again) == repr(layer) and again.U.shape == layer.U.shape


def test_float32_over_512_steps():
    """Batch, sizes and steps of a real task: float32 stays within 1e-5 of the float64 reference."""
    for tokens, activation in ((False, "tanh"), (True, "relu"), (False, "sigmoid")):
        case = make_case(8, 512, 3, 11, 33, 7, dtype=np.float32, tokens=tokens)
        got = function_pass(case, "softmax", activation)
        assert_close(got, reference_pass(case, "softmax", activation), 1e-5)


@pytest.mark.parametrize("tokens", [False, True], ids=["floats", "tokens"])
def test_float32_weight_gradients_over_many_rows(tokens):
    """T*B = 16384 terms of one sign in each element of dW, dU and db.

    One running sum over them would be off by about 2e-6: they are made of partial sums, and the
    5461 terms that each of the three tokens gathers in dU are summed in float64.
    """
    T, B, p, m = 64, 256, 3, 5
    case = make_case(9, T, B, p, m, 1, dtype=np.float32, tokens=tokens, lengths=False)
    rng = np.random.default_rng(10)
    x = case.x if tokens else np.abs(case.x)
    h = rng.uniform(0.1, 1, (T, B, m)).astype(np.float32)  # any h will do for the sums
    W = np.zeros_like(case.W)  # and without recurrence da = dh, exactly
    dh = np.abs(case.dh)
    grads = fastrnn.elman_backward(dh, x, h, case.U, W, activation="identity")
    s = widened(case)
    want = reference.elman_backward(
        dh.astype(float), x if tokens else x.astype(float), h.astype(float), s.U, W.astype(float),
        None, None, None, "identity",
    )  # fmt: skip
    for name in ("dW", "dU", "db"):
        assert error(getattr(grads, name), getattr(want, name)) <= 5e-7, name


def test_the_start_of_the_recurrent_weights():
    layers = {
        name: fastrnn.Elman(3, 7, recurrent_init=name, dtype=np.float64, rng=2)
        for name in ("orthogonal", "identity")
    }
    np.testing.assert_array_equal(layers["identity"].W, np.eye(7))
    W = layers["orthogonal"].W
    np.testing.assert_allclose(W @ W.T, np.eye(7), atol=1e-14)
    assert np.abs(W - np.eye(7)).max() > 0.3
    default = fastrnn.Elman(3, 7, dtype=np.float64, rng=2)
    assert_same_bits(default.parameters(), layers["orthogonal"].parameters())
    np.testing.assert_array_equal(layers["identity"].U, default.U)
    with pytest.raises(
        ValueError, match=r"^recurrent_init: expected one of \['orthogonal', 'ident"
    ):
        fastrnn.Elman(3, 7, recurrent_init="zeros")
