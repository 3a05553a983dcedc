"""Parameter updates and clipping on the GPU, against the kernels of the CPU."""

import math

import numpy as np
import pytest
from emulator import emulated_device
from helpers import error

import fastrnn
from fastrnn import reference
from fastrnn.cuda import optimizers
from fastrnn.cuda.launching import copy_to_device, copy_to_host

ORDERS = ["asc", "desc", 3]
REALS = [np.float32, np.float64]
# Name, number of state arrays, hyperparameters.
UPDATES = [
    ("sgd_update", 1, (0.1, 0.9)),
    ("rmsprop_update", 1, (0.01, 0.9, 1e-8)),
    ("adagrad_update", 1, (0.1, 1e-10)),
    ("adam_update", 2, (0.01, 0.9, 0.999, 1e-8, 3)),
]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name, slots, numbers", UPDATES)
def test_three_steps_as_the_reference(name, slots, numbers, order, real):
    """More numbers than a block has threads; they are floats or NumPy's, as optimizers pass."""
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((20, 15)).astype(real) for _ in range(2)]
    arrays += [np.zeros((20, 15), real) for _ in range(slots)]
    with emulated_device(order, watch=True):
        given = [copy_to_device(array) for array in arrays]
        for _ in range(3):
            getattr(reference.optimizers, name)(*arrays, *numbers)
            getattr(optimizers, name)(*given, *numbers)
        for got, want in zip(given, arrays, strict=True):
            assert error(copy_to_host(got), want) <= 4 * np.finfo(real).eps


def test_without_a_velocity():
    w, g = np.ones(3), np.arange(3.0)
    with emulated_device():
        given = copy_to_device(w)
        optimizers.sgd_update(given, copy_to_device(g), None, 0.5, 0.0)
        np.testing.assert_array_equal(copy_to_host(given), w - 0.5 * g)


def clipped(arrays, limit, order="asc"):
    with emulated_device(order, watch=True):
        given = {name: copy_to_device(array) for name, array in arrays.items()}
        norm = copy_to_host(optimizers.clip_by_norm(given, limit))
        assert norm.shape == (1,) and norm.dtype == np.float64
        return float(norm[0]), {name: copy_to_host(array) for name, array in given.items()}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clips_as_the_cpu(limit, order):
    rng = np.random.default_rng(2)
    arrays = {
        "U": rng.standard_normal((30, 21)).astype(np.float32),
        "W": rng.standard_normal((3, 2)),
        "b": np.zeros(0, np.float32),
    }
    norm, got = clipped(arrays, limit, order)
    assert norm == pytest.approx(fastrnn.clip_by_norm(arrays, limit), rel=1e-14)
    for name, array in arrays.items():
        assert error(got[name], array) <= 2 * np.finfo(array.dtype).eps


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e-150, 1e150, 1e300])
def test_no_overflow_or_underflow_of_squares(scale):
    numbers = np.array([3.0, -4.0, 12.0, 84.0])
    norm, got = clipped({"a": numbers * scale, "b": np.full(2, 1e-3 * scale)}, 1e-2 * scale)
    tolerance = 1e-2 if scale < 1e-310 else 1e-12
    assert norm == pytest.approx(math.hypot(*numbers, 1e-3, 1e-3) * scale, rel=tolerance)
    if scale > 1e-310:
        assert math.hypot(*(got["a"] / scale), *(got["b"] / scale)) == pytest.approx(1e-2)


def test_numbers_of_all_sizes_together():
    numbers = np.array([1e200, 1e-200, 1.0, 1e146, 1e-146])
    for part in (numbers, numbers[1:], numbers[[1, 4]], numbers[[2, 3]]):
        norm, _ = clipped({"a": part}, 1e300)
        assert norm == pytest.approx(math.hypot(*part), rel=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_are_left_alone(bad):
    arrays = {"a": np.array([1.0, bad]), "b": np.array([2e200])}
    norm, got = clipped(arrays, 1.0)
    assert not math.isfinite(norm) and math.isnan(norm) == math.isnan(bad)
    np.testing.assert_array_equal(got["a"], arrays["a"])
    np.testing.assert_array_equal(got["b"], arrays["b"])
