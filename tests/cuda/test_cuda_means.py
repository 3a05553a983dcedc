"""Weights divided by their sum, and targets beside output frames, on an emulated GPU."""

import numpy as np
import pytest
from emulator import emulated_device

from fastrnn.cuda.frames import frame_lengths, frame_weights, take_steps
from fastrnn.cuda.launching import copy_to_device, copy_to_host
from fastrnn.cuda.means import mean_weights
from fastrnn.losses import reduction_weights
from fastrnn.readout import frames_with_target

RNG = np.random.default_rng(0)


def there(array):
    return None if array is None else copy_to_device(array)


SIZES = [(3, 2, "asc"), (3, 2, "desc"), (3, 2, 6), (1, 1, "asc"), (40, 9, 6)]


@pytest.mark.parametrize(("T", "B", "order"), SIZES)  # 360 steps: two blocks
def test_mean_weights(T, B, order):
    lengths = RNG.integers(0, T + 1, B)
    weights = RNG.uniform(0.5, 2, (T, B))
    weights[np.arange(T)[:, None] >= lengths] = np.nan  # padding is never looked at
    for w, n in ((weights, lengths), (None, lengths), (np.abs(RNG.normal(size=(T, B))), None)):
        valid = np.full(B, T) if n is None else n
        want = reduction_weights("mean", np.ones((T, B)) if w is None else w, valid)
        with emulated_device(order, watch=True):
            got = copy_to_host(mean_weights((T, B), there(w), there(n)))
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=0)


def test_mean_of_nothing():
    with emulated_device("asc"):
        zero, none = np.zeros((2, 3)), np.zeros(3, np.int64)
        assert not copy_to_host(mean_weights((2, 3), there(zero), None)).any()
        assert not copy_to_host(mean_weights((2, 3), None, there(none))).any()
        assert mean_weights((0, 3), None, None).shape == (0, 3)
        np.testing.assert_array_equal(copy_to_host(mean_weights((2, 3), None, None)), zero + 1 / 6)


FRAMES = [((0, 1), "asc"), ((2, 1), "desc"), ((-3, 2), 6), ((5, 3), "asc"), ((-2, 1), "desc")]


@pytest.mark.parametrize(("frames", "order"), FRAMES)
def test_targets_beside_frames(frames, order):
    T, B, count = 7, 4, 5
    lengths, out_lengths = np.array([7, 0, 3, 5]), np.array([5, 0, 2, 4])
    steps, want_lengths, has_target = frames_with_target(frames, count, lengths, out_lengths)
    steps = np.minimum(steps, T - 1)
    labels, classes = RNG.standard_normal((T, B, 3)).astype(np.float32), RNG.integers(0, 9, (T, B))
    weights = RNG.uniform(1, 2, (T, B))
    with emulated_device(order, watch=True):
        got = frame_lengths(frames, T, there(lengths), there(out_lengths))
        np.testing.assert_array_equal(copy_to_host(got), want_lengths)
        for array in (labels, classes):
            taken = copy_to_host(take_steps(frames, count, there(array)))
            np.testing.assert_array_equal(taken, array[steps])
        for given in (weights, None):
            want = (np.ones((T, B)) if given is None else given)[steps] * has_target[:, None]
            found = frame_weights(frames, (count, B), there(given), None)
            if found is None:
                assert (want == 1).all()
            else:
                np.testing.assert_array_equal(copy_to_host(found), want)
