"""Token ids on the GPU, and the checks of values there."""

import numpy as np
import pytest
from emulator import Deadlock, Race, emulated_device
from helpers import TOLERANCE, error, random_lengths

from fastrnn.cuda import checks, inputs
from fastrnn.cuda.launching import copy_to_device, copy_to_host, empty

ORDERS = ["asc", "desc", 3]


def ragged_tokens(seed, T, B, p):
    """Return ids and lengths; padding holds ids that would be out of bounds."""
    rng = np.random.default_rng(seed)
    tokens, lengths = rng.integers(0, p, (T, B)), random_lengths(rng, T, B)
    tokens[np.arange(T)[:, None] >= lengths] = 2**40
    return tokens, lengths


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("order", ORDERS)
def test_products_of_one_hot_frames(order, real):
    T, B, p, m = 4, 3, 35, 37
    tokens, lengths = ragged_tokens(1, T, B, p)
    rng = np.random.default_rng(2)
    U, b = rng.standard_normal((m, p)).astype(real), rng.standard_normal(m).astype(real)
    expected = np.zeros((T, B, m), real)
    for t, row in np.argwhere(np.arange(T)[:, None] < lengths):
        expected[t, row] = b + U[:, tokens[t, row]]
    with emulated_device(order, watch=True):
        a = empty((T, B, m), real)
        given = [copy_to_device(array) for array in (tokens, U, b, lengths)]
        inputs.token_product(*given, a)
        np.testing.assert_array_equal(copy_to_host(a), expected)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("order", ORDERS)
def test_sums_over_columns(order, real):
    """More tokens than a block has warps, more rows than a block lists at once or sums in a part"""
    T, B, p, m = 70, 5, 11, 33
    tokens, lengths = ragged_tokens(3, T, B, p)
    da = np.random.default_rng(4).standard_normal((T, B, m)).astype(real)
    alive = np.arange(T)[:, None] < lengths
    da[~alive] = np.nan
    expected = np.zeros((m, p))
    for t, row in np.argwhere(alive):
        expected[:, tokens[t, row]] += da[t, row]
    with emulated_device(order, watch=True):
        dU = empty((m, p), real)
        inputs.add_token_sums(*map(copy_to_device, (da, tokens, lengths)), dU)
        assert error(copy_to_host(dU), expected) <= TOLERANCE[np.dtype(real)]


@pytest.mark.parametrize("without", [("token_parts", 0), ("token_parts", 1), ("join_parts", 0)])
def test_every_barrier_of_the_sums_is_needed(without):
    with emulated_device(3, watch=True, without=without):
        ids = copy_to_device(np.random.default_rng(1).integers(0, 3, (300, 1)))
        da, dU = copy_to_device(np.ones((300, 1, 2))), empty((2, 3), np.float64)
        with pytest.raises((Race, Deadlock)):
            inputs.add_token_sums(da, ids, None, dU)


def test_the_barrier_of_the_transposition_is_needed():
    without = ("transpose_tiles", 0)
    with emulated_device(3, watch=True, without=without), pytest.raises(Race):
        inputs.transposed(copy_to_device(np.ones((1, 5, 4))))


def test_ids_out_of_range_add_nothing():
    tokens, da = np.array([[1], [-1], [2], [1]]), np.ones((4, 1, 2))
    with emulated_device(watch=True):
        dU, a = empty((2, 2), np.float64), empty((4, 1, 2), np.float64)
        inputs.add_token_sums(copy_to_device(da), copy_to_device(tokens), None, dU)
        U, b = copy_to_device(np.ones((2, 2))), copy_to_device(np.zeros(2))
        inputs.token_product(copy_to_device(tokens), U, b, None, a)
        np.testing.assert_array_equal(copy_to_host(dU), [[0, 2], [0, 2]])
        np.testing.assert_array_equal(copy_to_host(a)[:, 0, 0], [1, 0, 0, 1])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("place", [(0, 0), (255, 2), (200, 1), None])
def test_first_value_out_of_range(place, order):
    ids = np.random.default_rng(5).integers(0, 9, (256, 3))
    lengths = np.array([100, 256, 256])
    ids[100:, 0] = 99
    if place is not None:
        ids[place] = -1
        ids[255, 2] = 9
    with emulated_device(order, watch=True):
        given, valid = copy_to_device(ids), copy_to_device(lengths)
        if place is None:
            checks.require_range("targets", given, 0, 8, valid)
            return
        message = rf"targets: expected integers from 0 to 8, got \S+ at position \({place[0]}, "
        with pytest.raises(ValueError, match=message):
            checks.require_range("targets", given, 0, 8, valid)


@pytest.mark.parametrize("bad", [np.nan, 1.5, -0.1])
def test_labels_out_of_range(bad):
    labels = np.full((3, 2, 4), 0.5, np.float32)
    labels[1, 1, 2] = bad
    labels[2, 0] = np.nan
    lengths = copy_to_device
    with emulated_device(watch=True):
        message = r"targets: expected values from 0 to 1, got \S+ at position \(1, 1, 2\)"
        with pytest.raises(ValueError, match=message):
            checks.require_range("targets", copy_to_device(labels), 0, 1, lengths(np.array([2, 3])))
        checks.require_range("targets", copy_to_device(labels), 0, 1, lengths(np.array([2, 1])))
        with pytest.raises(
            ValueError, match="lengths: expected integers from 0 to 2, got 3 at position 1"
        ):
            checks.require_range("lengths", copy_to_device(np.array([2, 3])), 0, 2)
        checks.require_range("x", copy_to_device(np.zeros((0, 2), np.int64)), 0, 2)
