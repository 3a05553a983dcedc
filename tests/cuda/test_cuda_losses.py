"""The losses of `fastrnn.cuda`, in three orders of threads, against the reference."""

import numpy as np
import pytest
from emulator import emulated_device
from helpers import FUNCTIONS, LOSSES, TOLERANCE, error, make_case, poisoned, widened

from fastrnn import reference
from fastrnn.cuda import losses
from fastrnn.cuda.launching import copy_to_device, copy_to_host

ORDERS = ["asc", "desc", 3]
REALS = [np.float32, np.float64]


def outputs(case, q, real):
    return 3 * np.random.default_rng(1).standard_normal((*case.x.shape[:2], q)).astype(real)


def on_device(loss, o, targets, lengths=None, weights=None, do=None):
    """Return the loss and its gradient, of arrays of the host."""
    given = [None if a is None else copy_to_device(a) for a in (o, targets, lengths, weights, do)]
    value, grad = getattr(losses, FUNCTIONS[loss])(*given)
    assert do is None or grad is given[-1]
    return copy_to_host(value)[0], copy_to_host(grad)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_value_and_gradient_of_a_ragged_batch(loss, order, real):
    # 45 outputs are more than one each for the lanes that share a step.
    case = make_case(4, 5, 3, 2, 2, 45, dtype=real)
    case.weights[0] = 0
    o, wide, bad = outputs(case, 45, real), widened(case), poisoned(case)
    expected = getattr(reference, FUNCTIONS[loss])(
        o.astype(np.float64), wide.targets[loss], case.lengths, case.weights
    )
    o[np.arange(5)[:, None] >= case.lengths] = np.nan
    with emulated_device(order, watch=True):
        value, do = on_device(loss, o, bad.targets[loss], case.lengths, bad.weights)
    assert value.dtype == np.float64 and do.dtype == real
    assert error(value, expected.value) <= TOLERANCE[np.dtype(real)]
    assert error(do, expected.do) <= TOLERANCE[np.dtype(real)]


@pytest.mark.parametrize("q", [1, 2, 7])
@pytest.mark.parametrize("loss", LOSSES)
def test_without_lengths_and_weights_and_into_a_buffer(loss, q):
    """So many steps that several blocks share them, and q of all kinds of lane groups."""
    case = make_case(5, 20, 30, 2, 2, q)
    o = outputs(case, q, np.float64)
    expected = getattr(reference, FUNCTIONS[loss])(o, case.targets[loss])
    with emulated_device():
        value, do = on_device(loss, o, case.targets[loss], do=np.full_like(o, np.nan))
    assert error(value, expected.value) <= 1e-14
    assert error(do, expected.do) <= 1e-14


@pytest.mark.parametrize("loss", LOSSES)
def test_no_steps(loss):
    with emulated_device():
        targets = np.zeros((0, 2) if loss == "softmax" else (0, 2, 3), np.int64)
        if loss != "softmax":
            targets = targets.astype(np.float32)
        value, do = on_device(loss, np.zeros((0, 2, 3), np.float32), targets)
    assert value == 0 and do.shape == (0, 2, 3)


def test_large_logits_stay_finite():
    o = np.array([[[1e4, -1e4, 0], [-1e4, 1e4, 1e4]]], np.float32)
    with emulated_device():
        value, do = on_device("softmax", o, np.array([[1, 1]]))
        assert value == pytest.approx(2e4 + np.log(2)) and np.isfinite(do).all()
        value, do = on_device("sigmoid", o, np.array([[[0, 1, 0], [1, 1, 0]]], np.float32))
        assert value == pytest.approx(4e4 + np.log(2)) and np.isfinite(do).all()


def test_a_confident_prediction_keeps_the_digits_of_its_loss():
    """In float32 too: highest + log(total) - o[target] would be 0 here."""
    o = np.array([[[1000, 990]]], np.float32)
    with emulated_device():
        value, _ = on_device("softmax", o, np.array([[0]]))
    assert value == pytest.approx(np.log1p(np.exp(-10)), rel=2e-3)


@pytest.mark.parametrize("target", [-1, 3, 2**40])
def test_a_class_out_of_range_makes_the_value_nan_and_nothing_else(target):
    o = np.zeros((1, 2, 3))
    with emulated_device(watch=True):
        value, do = on_device("softmax", o, np.array([[target, 0]]))
    assert np.isnan(value)
    np.testing.assert_allclose(do[0, 1], [-2 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(do[0, 0], 1 / 3)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_nan_reaches_its_own_step_only(loss):
    case = make_case(6, 4, 3, 2, 2, 5, lengths=False)
    o = outputs(case, 5, np.float64)
    with emulated_device():
        _, clean = on_device(loss, o, case.targets[loss])
        o[2, 1, 3] = np.nan
        value, do = on_device(loss, o, case.targets[loss])
    assert np.isnan(value) and np.isnan(do[2, 1]).any()
    do[2, 1] = clean[2, 1]
    assert do.tobytes() == clean.tobytes()


@pytest.mark.parametrize("loss", LOSSES)
def test_same_bits_in_any_order_of_threads(loss):
    case = make_case(7, 4, 12, 2, 2, 9, dtype=np.float32)
    o, results = outputs(case, 9, np.float32), set()
    for order in ORDERS:
        with emulated_device(order):
            value, do = on_device(loss, o, case.targets[loss], case.lengths)
            results.add((value.tobytes(), do.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_predictions_in_place_of_the_outputs(function, order):
    case = make_case(8, 5, 3, 2, 2, 45, dtype=np.float32)
    o = outputs(case, 45, np.float32)
    expected = getattr(reference, function)(o.astype(np.float64), case.lengths)
    o[np.arange(5)[:, None] >= case.lengths] = np.nan
    with emulated_device(order, watch=True):
        given = copy_to_device(o)
        assert getattr(losses, function)(given, copy_to_device(case.lengths), given) is given
        assert error(copy_to_host(given), expected) <= 1e-6
        full = copy_to_host(getattr(losses, function)(copy_to_device(np.nan_to_num(o))))
    assert full.min() >= 0 and full.max() <= 1 and (full[-1] > 0).any()
