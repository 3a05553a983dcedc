"""Losses: reference by complex steps, functions and kernels against it, masks and extremes."""

import numpy as np
import pytest
from helpers import FUNCTIONS, LOSSES, TOLERANCE, assert_same_bits, error, make_case
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn import kernels, reference

SIZES = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 7), st.integers(1, 19)
)


def draw(seed, T, B, q, loss, dtype=np.float64):
    """Return o, targets, lengths and weights; some weights are zero."""
    case = make_case(seed, T, B, 1, 1, q, dtype=dtype)
    rng = np.random.default_rng(seed)
    o = (3 * rng.standard_normal((T, B, q))).astype(dtype)
    weights = case.weights * (rng.random((T, B)) < 0.8)
    return o, case.targets[loss], case.lengths, weights


@pytest.mark.parametrize("loss", LOSSES)
def test_reference_against_complex_steps(loss):
    o, targets, lengths, weights = draw(50, 4, 3, 5, loss)
    function = getattr(reference, FUNCTIONS[loss])
    want = np.empty(o.shape)
    for index in np.ndindex(o.shape):
        moved = o.astype(complex)
        moved[index] += 1e-30j
        want[index] = function(moved, targets, lengths, weights).value.imag / 1e-30
    assert error(function(o, targets, lengths, weights).do, want) <= 1e-13


def test_reference_values_by_hand():
    o = np.array([[[1.0, -2.0, 0.5]]])
    p = np.exp(o[0, 0]) / np.exp(o[0, 0]).sum()
    s = 1 / (1 + np.exp(-o[0, 0]))
    y = np.array([[[0.25, 1.0, 0.0]]])
    binary = -np.sum(y[0, 0] * np.log(s) + (1 - y[0, 0]) * np.log(1 - s))
    assert error(reference.softmax_cross_entropy(o, np.array([[2]])).value, -np.log(p[2])) <= 1e-15
    assert error(reference.sigmoid_cross_entropy(o, y).value, binary) <= 1e-15
    assert error(reference.squared_error(o, y).value, 0.75**2 + 3.0**2 + 0.5**2) <= 1e-15
    assert error(reference.softmax(o)[0, 0], p) <= 1e-15
    assert error(reference.sigmoid(o)[0, 0], s) <= 1e-15


@settings(max_examples=40, derandomize=True, deadline=None)
@given(SIZES, st.sampled_from(LOSSES), st.sampled_from([np.float64, np.float32]))
def test_functions_against_reference(sizes, loss, dtype):
    o, targets, lengths, weights = draw(*sizes, loss, dtype)
    got = getattr(fastrnn, FUNCTIONS[loss])(o, targets, lengths=lengths, weights=weights)
    wide = targets if loss == "softmax" else targets.astype(float)
    want = getattr(reference, FUNCTIONS[loss])(o.astype(float), wide, lengths, weights)
    assert isinstance(got.value, float) and got.do.dtype == dtype
    assert error(got.do, want.do) <= TOLERANCE[o.dtype]
    assert error(got.value, want.value) <= TOLERANCE[o.dtype]


@pytest.mark.lanes
@pytest.mark.parametrize("loss", LOSSES)
def test_kernels_overwrite_the_buffer_they_are_given(loss):
    o, targets, lengths, weights = draw(51, 5, 4, 3, loss)
    do = np.full(o.shape, np.nan)
    got = getattr(kernels, FUNCTIONS[loss])(o, targets, lengths, weights, do)
    want = getattr(reference, FUNCTIONS[loss])(o, targets, lengths, weights)
    assert got.do is do
    assert error(do, want.do) <= 1e-12 and error(got.value, want.value) <= 1e-12


@pytest.mark.lanes
@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_predictions_against_reference_and_in_place(name):
    o, _, lengths, _ = draw(52, 5, 4, 3, "softmax")
    want = getattr(reference, name)(o, lengths)
    assert error(getattr(kernels, name)(o, lengths), want) <= 1e-12
    assert getattr(kernels, name)(o, lengths, o) is o
    assert error(o, want) <= 1e-12


@pytest.mark.parametrize("loss", LOSSES)
def test_nan_in_padding_changes_no_bit(loss):
    o, targets, lengths, weights = draw(53, 6, 5, 4, loss)
    function = getattr(fastrnn, FUNCTIONS[loss])
    padding = np.arange(6)[:, None] >= lengths
    for reduction in ("sum", "mean"):
        clean = function(o, targets, lengths=lengths, weights=weights, reduction=reduction)
        bad_o, bad_weights, bad_targets = o.copy(), weights.copy(), targets.copy()
        bad_o[padding], bad_weights[padding] = np.nan, np.nan
        bad_targets[padding] = -100 if loss == "softmax" else np.nan
        got = function(
            bad_o, bad_targets, lengths=lengths, weights=bad_weights, reduction=reduction
        )
        assert_same_bits(got._asdict(), clean._asdict())
        assert not got.do[padding].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_weight_zero_leaves_a_step_out(loss):
    o, targets, _, _ = draw(54, 3, 2, 4, loss)
    weights = np.array([[1, 0], [0, 1], [1, 1]])
    function = getattr(fastrnn, FUNCTIONS[loss])
    clean = function(o, targets, weights=weights)
    o[weights == 0] = np.nan
    assert_same_bits(function(o, targets, weights=weights)._asdict(), clean._asdict())
    assert not clean.do[weights == 0].any() and clean.do[weights == 1].any()
    for same in (weights.astype(bool), weights.astype(np.float32), weights.astype(np.int8)):
        assert_same_bits(function(o, targets, weights=same)._asdict(), clean._asdict())


@pytest.mark.parametrize("loss", LOSSES)
def test_mean_is_sum_divided_by_the_weights(loss):
    o, targets, lengths, weights = draw(55, 6, 5, 4, loss)
    function = getattr(fastrnn, FUNCTIONS[loss])
    valid = np.arange(6)[:, None] < lengths
    for w in (None, weights):
        total = function(o, targets, lengths=lengths, weights=w)
        mean = function(o, targets, lengths=lengths, weights=w, reduction="mean")
        divisor = valid.sum() if w is None else weights[valid].sum()
        assert error(mean.value, total.value / divisor) <= 1e-15
        assert error(mean.do, total.do / divisor) <= 1e-15


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("why", ["weights", "lengths", "no steps", "no sequences"])
def test_mean_over_nothing_is_zero(loss, why):
    T, B = 0 if why == "no steps" else 4, 0 if why == "no sequences" else 3
    o, targets, _, weights = draw(56, T, B, 2, loss)
    got = getattr(fastrnn, FUNCTIONS[loss])(
        o,
        targets,
        lengths=np.zeros(B, int) if why == "lengths" else None,
        weights=0 * weights if why == "weights" else weights,
        reduction="mean",
    )
    assert got.value == 0 and got.do.shape == o.shape and not got.do.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_outputs_stay_finite(loss, dtype):
    o = np.array([1e4, -1e4, 1e4, 0, -1e4, -1e4], dtype).reshape(2, 1, 3)
    targets = np.array([[1], [0]]) if loss == "softmax" else np.ones_like(o)
    value, do = getattr(fastrnn, FUNCTIONS[loss])(o, targets)
    assert np.isfinite(value) and np.isfinite(do).all()
    expected = {"softmax": 2e4 + np.log(2), "sigmoid": 3e4 + np.log(2)}
    if loss in expected:
        assert error(value, expected[loss]) <= 1e-6
        assert np.abs(do).max() <= 1
    for name in ("softmax", "sigmoid"):
        with np.errstate(over="raise", invalid="raise"):
            yhat = getattr(kernels, name)(o)
            want = getattr(reference, name)(o.astype(float))
        assert error(yhat, want) <= TOLERANCE[o.dtype]
    assert (kernels.softmax(o).sum(axis=-1) == 1).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_nan_reaches_only_its_own_step(loss):
    o, targets, _, _ = draw(57, 4, 3, 5, loss)
    function = getattr(fastrnn, FUNCTIONS[loss])
    clean = function(o, targets).do
    o[2, 1, 3] = np.nan
    got = function(o, targets)
    assert np.isnan(got.value) and np.isnan(got.do[2, 1, 3])
    others = np.ones((4, 3), bool)
    others[2, 1] = False
    np.testing.assert_array_equal(got.do[others], clean[others])


def test_binary_targets_may_be_bool_or_integers():
    o = np.random.default_rng(58).standard_normal((3, 2, 4)).astype(np.float32)
    labels = o > 0.3
    want = fastrnn.sigmoid_cross_entropy(o, labels.astype(np.float32))
    for targets in (labels, labels.astype(int), labels.astype(np.uint8).tolist()):
        assert_same_bits(fastrnn.sigmoid_cross_entropy(o, targets)._asdict(), want._asdict())
