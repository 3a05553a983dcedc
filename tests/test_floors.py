"""The floors: twins share their signatures, and every kernel runs in a user's compiled code."""

import importlib
import inspect

import numba
import numpy as np
import pytest
from helpers import assert_close, make_case

import tdnn.kernels
import tdnn.reference
from fastrnn import kernels
from fastrnn.kernels import optimizers

FLOORS = ("fastrnn.{}", "fastrnn.{}.optimizers", "tdnn.{}")


def twins():
    """Return (module of kernels, module of references, name) of every public kernel."""
    found = []
    for floor in FLOORS:
        compiled = importlib.import_module(floor.format("kernels"))
        plain = importlib.import_module(floor.format("reference"))
        for name in compiled.__all__:
            found.append(pytest.param(compiled, plain, name, id=f"{compiled.__name__}.{name}"))
    return found


def shape_of(function):
    """Return the parameters, without the annotations that only the reference has."""
    parameters = inspect.signature(getattr(function, "py_func", function)).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


def first_line(function):
    return inspect.getdoc(function).splitlines()[0]


@pytest.mark.parametrize(("compiled", "plain", "name"), twins())
def test_twins_share_signature_and_first_line(compiled, plain, name):
    assert name in plain.__all__
    kernel, twin = getattr(compiled, name), getattr(plain, name)
    assert shape_of(kernel) == shape_of(twin)
    assert first_line(kernel) == first_line(twin)


@pytest.mark.parametrize("floor", FLOORS)
def test_reference_has_no_public_name_that_the_kernels_lack(floor):
    compiled = importlib.import_module(floor.format("kernels"))
    plain = importlib.import_module(floor.format("reference"))
    helpers = {"output_length"}  # of tdnn: also a kernel, one that takes a padding's code
    assert set(plain.__all__) - helpers == set(compiled.__all__)


# A user's functions: one for each kernel, with the arguments that it cannot do without.


@numba.njit
def elman_forward(x, U, W, b):
    return kernels.elman_forward(x, U, W, b)


@numba.njit
def elman_backward(dh, x, h, U, W):
    return kernels.elman_backward(dh, x, h, U, W)


@numba.njit
def elman_step(x_t, h, U, W, b):
    return kernels.elman_step(x_t, h, U, W, b)


@numba.njit
def jordan_forward(x, U, W, b, V, c):
    return kernels.jordan_forward(x, U, W, b, V, c)


@numba.njit
def jordan_backward(do, x, h, o, U, W, V):
    return kernels.jordan_backward(do, x, h, o, U, W, V)


@numba.njit
def jordan_step(x_t, z, U, W, b, V, c):
    return kernels.jordan_step(x_t, z, U, W, b, V, c)


@numba.njit
def linear_forward(h, V, c):
    return kernels.linear_forward(h, V, c)


@numba.njit
def linear_backward(do, h, V):
    return kernels.linear_backward(do, h, V)


@numba.njit
def softmax(o):
    return kernels.softmax(o)


@numba.njit
def sigmoid(o):
    return kernels.sigmoid(o)


@numba.njit
def softmax_cross_entropy(o, targets):
    return kernels.softmax_cross_entropy(o, targets)


@numba.njit
def sigmoid_cross_entropy(o, targets):
    return kernels.sigmoid_cross_entropy(o, targets)


@numba.njit
def squared_error(o, targets):
    return kernels.squared_error(o, targets)


@numba.njit
def tdnn_forward(x, W, b, offsets):
    return tdnn.kernels.tdnn_forward(x, W, b, offsets)


@numba.njit
def tdnn_backward(dh, x, h, W, offsets):
    return tdnn.kernels.tdnn_backward(dh, x, h, W, offsets)


@numba.njit
def tdnn_step(x_t, ring, position, W, b, offsets):
    return tdnn.kernels.tdnn_step(x_t, ring, position, W, b, offsets)


@numba.njit
def sgd_update(parameter, gradient, velocity, learning_rate, momentum):
    optimizers.sgd_update(parameter, gradient, velocity, learning_rate, momentum)


@numba.njit
def rmsprop_update(parameter, gradient, second, learning_rate, decay, epsilon):
    optimizers.rmsprop_update(parameter, gradient, second, learning_rate, decay, epsilon)


@numba.njit
def adagrad_update(parameter, gradient, total, learning_rate, epsilon):
    optimizers.adagrad_update(parameter, gradient, total, learning_rate, epsilon)


@numba.njit
def adam_update(parameter, gradient, first, second, rate, beta1, beta2, epsilon, step):
    optimizers.adam_update(parameter, gradient, first, second, rate, beta1, beta2, epsilon, step)


def arguments():
    """Return kernel name -> (the user's function, its arguments)."""
    s = make_case(80, 5, 3, 4, 6, 2, lengths=False)
    rng = np.random.default_rng(81)
    o, labels = s.targets["squared"], s.targets["sigmoid"]
    W, offsets = rng.standard_normal((3, 6, 4)), np.array([1, -2, 0])
    frames = rng.standard_normal((2, 3, 6))
    w, g, state = rng.standard_normal((3, 7)), rng.standard_normal((3, 7)), np.ones((3, 7))
    return {
        "elman_forward": (elman_forward, (s.x, s.U, s.W, s.b)),
        "elman_backward": (elman_backward, (s.dh, s.x, s.dh / 4, s.U, s.W)),
        "elman_step": (elman_step, (s.x[0], s.h0, s.U, s.W, s.b)),
        "jordan_forward": (jordan_forward, (s.x, s.U, s.V.T.copy(), s.b, s.V, s.c)),
        "jordan_backward": (jordan_backward, (o, s.x, s.dh / 4, o, s.U, s.V.T.copy(), s.V)),
        "jordan_step": (jordan_step, (s.x[0], o[0], s.U, s.V.T.copy(), s.b, s.V, s.c)),
        "linear_forward": (linear_forward, (s.dh, s.V, s.c)),
        "linear_backward": (linear_backward, (o, s.dh, s.V)),
        "softmax": (softmax, (o,)),
        "sigmoid": (sigmoid, (o,)),
        "softmax_cross_entropy": (softmax_cross_entropy, (o, s.targets["softmax"])),
        "sigmoid_cross_entropy": (sigmoid_cross_entropy, (o, labels)),
        "squared_error": (squared_error, (o, labels)),
        "tdnn_forward": (tdnn_forward, (s.x, W, s.b, offsets)),
        "tdnn_backward": (tdnn_backward, (frames, s.x, np.abs(frames), W, offsets)),
        "tdnn_step": (tdnn_step, (s.x[4], s.x[:4].copy(), 7, W, s.b, offsets)),
        "sgd_update": (sgd_update, (w, g, state, 0.1, 0.9)),
        "rmsprop_update": (rmsprop_update, (w, g, state, 0.1, 0.9, 1e-8)),
        "adagrad_update": (adagrad_update, (w, g, state, 0.1, 1e-8)),
        "adam_update": (adam_update, (w, g, state, state.copy(), 0.1, 0.9, 0.99, 1e-8, 3)),
    }


def results(function, args):
    """Return by name what the function returns, and its arguments as it leaves them."""
    args = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    got = function(*args)
    named = got._asdict() if hasattr(got, "_asdict") else {"result": got}
    return named | {f"argument {i}": a for i, a in enumerate(args) if isinstance(a, np.ndarray)}


@pytest.mark.lanes
@pytest.mark.parametrize(("compiled", "plain", "name"), twins())
def test_every_kernel_runs_in_user_code(compiled, plain, name):
    table = arguments()
    assert name in table, f"{name}: a kernel that no user's function of this file calls"
    user, args = table[name]
    assert name in getattr(user, "py_func", user).__code__.co_names
    assert_close(results(user, args), results(getattr(plain, name), args), 1e-12)
