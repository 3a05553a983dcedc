"""Optimizers: formulas by hand, kernels against the reference, checks, saving, clipping."""

import copy
import inspect
import math
import pickle

import numba
import numpy as np
import pytest

from fastrnn.kernels import optimizers as compiled
from fastrnn.optimizers import SGD, AdaGrad, Adam, RMSProp
from fastrnn.reference import optimizers as plain

# name -> (number of state arrays, hyperparameters as the kernel takes them)
UPDATES = {
    "sgd_update": (1, (0.1, 0.9)),
    "rmsprop_update": (1, (0.01, 0.99, 1e-8)),
    "adagrad_update": (1, (0.05, 1e-10)),
    "adam_update": (2, (0.01, 0.9, 0.999, 1e-8)),
}
OPTIMIZERS = [SGD(0.1), SGD(0.1, momentum=0.9), RMSProp(0.01), AdaGrad(0.1), Adam(0.01)]
OPTIMIZERS += [SGD(0.1, weight_decay=0.2), Adam(0.01, weight_decay=0.2)]


def arrays(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"U": (3, 5), "b": (7,), "scale": ()}
    return {name: np.array(rng.standard_normal(shape), dtype) for name, shape in shapes.items()}


def copies(parameters):
    return {name: array.copy() for name, array in parameters.items()}


def assert_equal(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


@pytest.mark.parametrize("name", UPDATES)
def test_twins_share_signature_and_docstring_head(name):
    function, twin = getattr(compiled, name), getattr(plain, name)
    function = getattr(function, "py_func", function)  # NUMBA_DISABLE_JIT leaves it plain
    assert list(inspect.signature(function).parameters) == list(inspect.signature(twin).parameters)
    assert function.__doc__.splitlines()[0] == twin.__doc__.splitlines()[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_kernel_equals_reference_inside_a_users_njit(name, dtype):
    slots, settings = UPDATES[name]
    kernel = getattr(compiled, name)
    if slots == 1:

        @numba.njit
        def user(w, g, state, last):
            kernel(w, g, state[0], *settings)

    else:

        @numba.njit
        def user(w, g, state, last):
            kernel(w, g, state[0], state[1], *settings, last)

    rng = np.random.default_rng(3)
    w = rng.standard_normal((4, 9)).astype(dtype)
    state = tuple(np.zeros_like(w) for _ in range(slots))
    w_plain, state_plain = w.copy(), [np.zeros_like(w) for _ in range(slots)]
    for step in range(1, 6):
        g = rng.standard_normal(w.shape).astype(dtype)
        user(w, g, state, step)
        last = (step,) if slots == 2 else ()
        getattr(plain, name)(w_plain, g, *state_plain, *settings, *last)
    tolerance = 1e-14 if dtype is np.float64 else 1e-6
    np.testing.assert_allclose(w, w_plain, rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(state, state_plain, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_sgd_without_velocity_in_both_floors():
    for floor in (compiled, plain):
        w, g = np.array([1.0, 2.0]), np.array([4.0, -4.0])
        floor.sgd_update(w, g, None, 0.25, 0.0)
        assert w.tolist() == [0.0, 3.0]


def test_float32_is_updated_in_float32_arithmetic():
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal((2, 1000)).astype(np.float32)
    in_float32 = w - np.float32(0.1) * g
    in_float64 = (w - np.float64(0.1) * g).astype(np.float32)
    assert not np.array_equal(in_float32, in_float64)
    compiled.sgd_update(w, g, None, 0.1, 0.0)
    np.testing.assert_array_equal(w, in_float32)


def test_formulas_by_hand():
    def after_two(optimizer):
        w = {"w": np.array([1.0])}
        for g in (2.0, -1.0):
            optimizer.step(w, {"w": np.array([g])})
        return float(w["w"][0])

    assert after_two(SGD(0.1)) == pytest.approx(1 - 0.2 + 0.1, rel=1e-15)
    assert after_two(SGD(0.1, momentum=0.5)) == pytest.approx(1 - 0.2 - 0.1 * 0.0, rel=1e-15)
    first = 0.1 * 4
    second = 0.9 * first + 0.1 * 1
    expected = 1 - 0.1 * 2 / (math.sqrt(first) + 1e-8) + 0.1 / (math.sqrt(second) + 1e-8)
    assert after_two(RMSProp(0.1, decay=0.9)) == pytest.approx(expected, rel=1e-14)
    expected = 1 - 0.1 * 2 / (2 + 1e-10) + 0.1 / (math.sqrt(5) + 1e-10)
    assert after_two(AdaGrad(0.1)) == pytest.approx(expected, rel=1e-14)
    m, v = 0.9 * 0.2 - 0.1, 0.999 * 0.004 + 0.001
    expected = 1 - 0.1 * 2 / (2 + 1e-8)
    expected -= 0.1 * (m / (1 - 0.81)) / (math.sqrt(v / (1 - 0.999**2)) + 1e-8)
    assert after_two(Adam(0.1)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_step_is_in_place_and_leaves_gradients_alone(optimizer, dtype):
    optimizer = copy.deepcopy(optimizer)
    parameters, gradients = arrays(dtype), arrays(dtype, seed=1)
    before, same_gradients, held = copies(parameters), copies(gradients), dict(parameters)
    optimizer.step(parameters, gradients)
    assert_equal(gradients, same_gradients)
    for name, array in held.items():
        assert parameters[name] is array and array.dtype == dtype
        assert np.all(array != before[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [SGD, RMSProp, AdaGrad, Adam])
def test_weight_decay_is_decoupled(make, dtype):
    """The step is that without decay, from parameters that were made smaller before it."""
    decayed, plain = make(0.1, weight_decay=0.3), make(0.1)
    ours, theirs = arrays(dtype), arrays(dtype)
    ours["U"] = np.asfortranarray(ours["U"])
    for seed in range(3):
        gradients = arrays(dtype, seed + 1)
        for array in theirs.values():
            array *= dtype(1 - 0.1 * 0.3)
        decayed.step(ours, gradients)
        plain.step(theirs, gradients)
        assert_equal(ours, theirs)
    decayed.learning_rate = 0  # nothing decays then
    before = copies(ours)
    decayed.step(ours, arrays(dtype, 9))
    assert_equal(ours, before)


def test_strided_and_fortran_parameters_equal_contiguous_ones():
    plain_w, g = np.arange(12.0).reshape(3, 4), np.linspace(-1, 1, 12).reshape(3, 4)
    strided = np.zeros((6, 8))[::2, ::2]
    strided[...] = plain_w
    odd = {"a": strided, "b": np.asfortranarray(plain_w), "c": np.zeros(24)[::2]}
    odd["c"][...] = plain_w.ravel()
    even = {"a": plain_w.copy(), "b": plain_w.copy(), "c": plain_w.ravel().copy()}
    gradients = {"a": np.asfortranarray(g), "b": g[:, :], "c": g.ravel()}
    gradients["b"].flags.writeable = False
    for parameters in (odd, even):
        Adam(0.1).step(parameters, gradients)
    assert_equal(odd, even)
    assert not np.array_equal(even["a"], plain_w)


@pytest.mark.parametrize("how", ["state", "pickle", "deepcopy"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_saved_optimizer_goes_on_with_the_same_bits(optimizer, how):
    optimizer = copy.deepcopy(optimizer)
    parameters = arrays()
    for seed in range(3):
        optimizer.step(parameters, arrays(seed=seed + 1))
    optimizer.learning_rate = 0.03
    if how == "state":
        other = type(optimizer)(0.5)
        saved = optimizer.state()
        other.restore(*saved)
        for array in saved[0].values():
            array[...] = 0  # both sides hold copies
    else:
        other = copy.deepcopy(optimizer) if how == "deepcopy" else None
        other = other or pickle.loads(pickle.dumps(optimizer))
    assert repr(other) == repr(optimizer) and "0.03" in repr(other)
    parameters_other = copies(parameters)
    for seed in range(3):
        optimizer.step(parameters, arrays(seed=seed + 5))
        other.step(parameters_other, arrays(seed=seed + 5))
    assert_equal(parameters, parameters_other)


def test_learning_rate_and_momentum_may_change_between_steps():
    optimizer, w = SGD(0.0), {"w": np.zeros(1)}
    optimizer.step(w, {"w": np.ones(1)})
    assert w["w"][0] == 0
    optimizer.learning_rate, optimizer.momentum = 1, 0.5
    optimizer.step(w, {"w": np.ones(1)})
    optimizer.step(w, {"w": np.ones(1)})
    assert w["w"][0] == -2.5


BAD_SETTINGS = [
    (SGD, {"learning_rate": -0.1}, ValueError, "learning_rate: expected a finite number >= 0, got"),
    (SGD, {"learning_rate": math.nan}, ValueError, "learning_rate: expected a finite number"),
    (SGD, {"learning_rate": True}, TypeError, "learning_rate: expected a number, got True"),
    (SGD, {"learning_rate": "1"}, TypeError, "learning_rate: expected a number, got '1'"),
    (SGD, {"learning_rate": 1, "momentum": 1}, ValueError, "momentum: expected 0 <= value < 1"),
    (RMSProp, {"decay": -0.1}, ValueError, "decay: expected 0 <= value < 1, got -0.1"),
    (RMSProp, {"epsilon": math.inf}, ValueError, "epsilon: expected a finite number >= 0, got inf"),
    (SGD, {"learning_rate": 1, "weight_decay": -1}, ValueError, "weight_decay: expected a finite"),
    (Adam, {"weight_decay": "1"}, TypeError, "weight_decay: expected a number, got '1'"),
    (AdaGrad, {"epsilon": None}, TypeError, "epsilon: expected a number, got None"),
    (Adam, {"beta1": 1.0}, ValueError, "beta1: expected 0 <= value < 1, got 1.0"),
    (Adam, {"beta2": 2}, ValueError, "beta2: expected 0 <= value < 1, got 2"),
]


@pytest.mark.parametrize(("kind", "settings", "error", "message"), BAD_SETTINGS)
def test_bad_hyperparameters(kind, settings, error, message):
    with pytest.raises(error, match=message):
        kind(**settings)


def test_hyperparameters_are_checked_again_at_each_step():
    optimizer, parameters = Adam(), arrays()
    optimizer.learning_rate = -1
    before = copies(parameters)
    with pytest.raises(ValueError, match="learning_rate: expected a finite number >= 0, got -1"):
        optimizer.step(parameters, arrays(seed=1))
    assert_equal(parameters, before)


def _read_only(parameters):
    parameters["b"].flags.writeable = False


BAD_STEPS = [
    (lambda p, g: g.pop("b"), ValueError, "parameters, gradients: expected the same names"),
    (lambda p, g: p.pop("b"), ValueError, "parameters, gradients: expected the same names"),
    (
        lambda p, g: g.update(b=np.zeros(8)),
        ValueError,
        r"parameters, gradients: expected the same shape for 'b', got \(7,\) and \(8,\)",
    ),
    (
        lambda p, g: g.update(b=np.zeros(7, np.float32)),
        ValueError,
        "parameters, gradients: expected the same dtype for 'b', got float64 and float32",
    ),
    (
        lambda p, g: p.update(b=np.zeros(7, np.int64)),
        TypeError,
        r"parameters\['b'\]: expected dtype float32 or float64, got int64",
    ),
    (
        lambda p, g: g.update(b=[0.0] * 7),
        TypeError,
        r"gradients\['b'\]: expected a NumPy array, got list",
    ),
    (
        lambda p, g: _read_only(p),
        ValueError,
        r"parameters\['b'\]: expected a writeable array, got a read-only one",
    ),
]


@pytest.mark.parametrize("number", range(len(BAD_STEPS)))
def test_a_bad_step_changes_nothing(number):
    change, error, message = BAD_STEPS[number]
    optimizer, parameters, gradients = Adam(0.1), arrays(), arrays(seed=1)
    change(parameters, gradients)
    before = copies(parameters)
    with pytest.raises(error, match=message):
        optimizer.step(parameters, gradients)
    assert_equal(parameters, before)
    assert optimizer.state() == Adam(0.1).state()


def test_step_refuses_other_parameters_than_before_and_no_dict():
    optimizer = Adam(0.1)
    optimizer.step(arrays(), arrays(seed=1))
    other = {"U": np.zeros((3, 6))}
    with pytest.raises(ValueError, match="parameters, state of earlier steps: expected the same"):
        optimizer.step(other, copies(other))
    with pytest.raises(TypeError, match="parameters: expected a dict of name to array, got list"):
        optimizer.step([np.zeros(3)], {})


def test_restore_refuses_what_is_not_its_own_and_keeps_its_state():
    optimizer, parameters = Adam(0.1), arrays()
    optimizer.step(parameters, arrays(seed=1))
    state, settings = optimizer.state()
    lacking = {name: array for name, array in state.items() if not name.startswith("second")}
    odd = state | {"second.b": np.zeros(8)}
    bad = [
        (*RMSProp().state(), "settings: expected those of an optimizer of kind Adam"),
        (state, settings | {"steps": -1}, "settings: expected steps to be an integer >= 0"),
        (state, {"kind": "Adam"}, "settings: expected "),
        (state, settings | {"beta1": 2.0}, "beta1: expected"),
        (state | {"third.b": np.zeros(7)}, settings, "arrays: expected names that begin with"),
        (lacking, settings, "arrays: expected state for"),
        (odd, settings, "first, second: expected the same shape for 'b'"),
    ]
    for arrays_, settings_, message in bad:
        with pytest.raises(ValueError, match=message):
            optimizer.restore(arrays_, settings_)
    assert_equal(optimizer.state()[0], state)
    assert optimizer.state()[1] == settings
