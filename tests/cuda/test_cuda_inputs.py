"""Token ids on the GPU, and the checks of values there."""

import numpy as np
import pytest
from emulator import Deadlock, Race, emulated_device
from helpers import TOLERANCE, error, random_lengths

from fastrnn.cuda import checks, inputs
from fastrnn.cuda.launching import copy_to_device, copy_to_host, empty, launch

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


def one_segment(da, ids):
    """Return the sums over columns of one part, as a large vocabulary has it."""
    (n, m), parts = da.shape, empty((1, 1, 3, da.shape[1]), da.dtype)
    given = copy_to_device(da), m, copy_to_device(ids), None, 0, n, 1, 3, parts
    launch(inputs._token_parts(da.dtype.type), (1, 1, 1), 256, *given)
    return copy_to_host(parts)[0, 0]


@pytest.mark.parametrize("order", ORDERS)
def test_a_part_of_more_rows_than_a_block_lists_at_once(order):
    rng = np.random.default_rng(1)
    ids, da = rng.integers(-1, 3, 300).astype(np.int32), rng.standard_normal((300, 2))
    expected = [da[ids == token].sum(0) for token in range(3)]
    with emulated_device(order, watch=True):
        np.testing.assert_allclose(one_segment(da, ids), expected, rtol=1e-12)


@pytest.mark.parametrize("barrier", [0, 1])
def test_every_barrier_of_the_parts_is_needed(barrier):
    ids, da = np.arange(300, dtype=np.int32) % 3, np.ones((300, 2))
    without = ("token_parts", barrier)
    with emulated_device(3, watch=True, without=without), pytest.raises((Race, Deadlock)):
        one_segment(da, ids)


def test_the_barrier_before_the_sums_are_turned_is_needed():
    with emulated_device(3, watch=True, without=("join_parts", 0)):
        da, ids = copy_to_device(np.ones((9, 5))), copy_to_device(np.zeros((1, 9), np.int32))
        dW = empty((1, 5, 3), np.float64)
        with pytest.raises(Race):
            inputs.token_sums(da, ids, None, dW)


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
