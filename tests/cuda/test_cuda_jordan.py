"""`fastrnn.cuda.jordan`, in three orders of threads, against the reference."""

import numpy as np
import pytest
from against_reference import ORDERS, agree, doubles, on_device, spoil_padding
from emulator import emulated_device

from fastrnn import reference
from fastrnn.cuda import jordan
from fastrnn.cuda.launching import copy_to_device, empty


def case(
    T=3, B=3, p=2, m=4, q=3, y="classes", lengths=None, z0=True, forced=False, resets=None,
    activation="tanh", feedback="softmax", tokens=False, real=np.float32,
):  # fmt: skip
    """Return the arguments of `jordan_forward`, and do."""
    rng = np.random.default_rng(5)

    def draw(*shape):
        return rng.standard_normal(shape).astype(real)

    marks = np.zeros((T, B), bool)
    for reset in resets or []:
        marks[reset] = True
    arguments = {
        "x": rng.integers(0, p, (T, B)) if tokens else draw(T, B, p),
        "U": draw(m, p), "W": draw(m, q), "b": draw(m), "V": draw(q, m), "c": draw(q),
        "y": {"classes": rng.integers(0, q, (T, B)), "real": draw(T, B, q), None: None}[y],
        "z0": draw(B, q) if z0 else None,
        "lengths": None if lengths is None else np.array(lengths),
        "activation": activation, "feedback": feedback,
        "forced": rng.random((T, B)) < 0.5 if forced else None,
        "draws": rng.random((T, B)) if feedback == "sample" else None,
        "resets": marks if resets else None,
    }  # fmt: skip
    return arguments, draw(T, B, q)


def check(arguments, do, fed=True, **device):
    """Run both functions on an emulated GPU; return the names of the kernels launched."""
    real = do.dtype.type
    state = reference.jordan_forward(**doubles(arguments))
    names = ("U", "W", "V", "y", "z0", "lengths", "activation", "feedback", "forced", "resets")
    backward = {name: arguments[name] for name in names}
    backward |= {"x": arguments["x"], "h": state.h.astype(real), "o": state.o.astype(real)}
    backward |= {"do": do, "z": state.z.astype(real) if fed else None}
    grads = reference.jordan_backward(**doubles(backward))
    targets = [] if arguments["y"] is None else [arguments["y"]]
    spoil_padding(arguments["lengths"], arguments["x"], do, *targets)
    with emulated_device(**device) as emulated:
        agree(jordan.jordan_forward(**on_device(arguments)), state, real)
        agree(jordan.jordan_backward(**on_device(backward)), grads, real)
    return emulated.launches


RAGGED = {"T": 4, "lengths": [2, 4, 0]}


@pytest.mark.parametrize("order", ORDERS)
def test_teacher_forcing_is_three_products(order):
    launches = check(*case(**RAGGED, tokens=True), order=order, watch=order == "asc")
    assert launches.count("multiply_rows_kernel") == 4  # and one for dz0, none for a step


@pytest.mark.parametrize("order", ORDERS)
def test_free_running(order):
    check(*case(**RAGGED, y=None), order=order, watch=order == "asc", fed=order == "asc")


@pytest.mark.parametrize(
    "options",
    [
        {"y": "real", "z0": False, "feedback": "identity", "resets": [(1, 1)]},
        {
            "y": "real",
            "forced": True,
            "feedback": "sigmoid",
            "resets": [(1, 1)],
            "real": np.float64,
        },
        {"forced": True, "feedback": "identity", "activation": "relu", "real": np.float64},
        {"y": None, "feedback": "argmax", "q": 35},
        {"y": None, "feedback": "sample", "lengths": [3, 1, 2], "T": 3},
        {"T": 0},
        {"B": 0, "y": None},
    ],
)
def test_feedback(options):
    check(*case(**options))


def test_many_classes_are_shared_by_a_warp():
    check(*case(q=70, y=None, T=2, B=2), order=2, fed=False)


def test_a_nan_in_the_outputs_is_fed_back_as_nan():
    for feedback in ("softmax", "argmax", "sample"):
        arguments, _ = case(y=None, T=2, B=2, feedback=feedback, z0=False)
        arguments["x"][0, 1] = np.nan
        with emulated_device():
            expected = reference.jordan_forward(**doubles(arguments))
            assert np.isnan(expected.z[1, 1]).all()
            agree(jordan.jordan_forward(**on_device(arguments)), expected, np.float32)


@pytest.mark.parametrize("feedback", ["softmax", "sample"])
def test_a_step(feedback):
    arguments, do = case(T=1, feedback=feedback)
    weights = [arguments[name] for name in ("U", "W", "b", "V", "c")]
    x_t, z = arguments["x"][0], do[0]
    draws = None if feedback == "softmax" else arguments["draws"][0]
    expected = reference.jordan_step(x_t, z, *weights, "relu", feedback, draws)
    with emulated_device():
        arrays = [copy_to_device(array) for array in (x_t, z, *weights)]
        numbers = None if draws is None else copy_to_device(draws)
        agree(jordan.jordan_step(*arrays, "relu", feedback, numbers), expected, np.float32)


def test_buffers_come_back_as_they_are():
    arguments, do = case()
    with emulated_device():
        buffers = {"h": (3, 3, 4), "o": (3, 3, 3), "z": (3, 3, 3)}
        buffers = {name: empty(shape, np.float32) for name, shape in buffers.items()}
        state = jordan.jordan_forward(**on_device(arguments), **buffers)
        assert all(getattr(state, name) is buffer for name, buffer in buffers.items())
        shapes = {
            "dx": (3, 3, 2), "dU": (4, 2), "dW": (4, 3), "db": (4,), "dV": (3, 4), "dc": (3,),
            "dz0": (3, 3),
        }  # fmt: skip
        made = {name: empty(shape, np.float32) for name, shape in shapes.items()}
        given = on_device({name: arguments[name] for name in ("x", "U", "W", "V", "y", "z0")})
        work = empty(9 * 7, np.float32)
        grads = jordan.jordan_backward(
            copy_to_device(do), h=state.h, o=state.o, work=work, **given, **made
        )
        assert all(getattr(grads, name) is buffer for name, buffer in made.items())


def test_what_cannot_be_known_is_asked_for():
    arguments, do = case(y=None, feedback="argmax")
    with emulated_device():
        device = on_device(arguments)
        state = jordan.jordan_forward(**device)
        rest = [device[name] for name in ("U", "W", "V")]
        with pytest.raises(ValueError, match="^z: "):
            jordan.jordan_backward(
                copy_to_device(do), device["x"], state.h, state.o, *rest, feedback="argmax"
            )
        with pytest.raises(ValueError, match="^draws: "):
            jordan.jordan_forward(**dict(device, feedback="sample"))
        with pytest.raises(ValueError, match="^feedback: "):
            jordan.jordan_forward(**dict(device, feedback="softplus"))
