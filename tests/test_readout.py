"""Readouts and the frames' targets: adjoints, and a search by hand over every frame."""

import numpy as np
import pytest
from helpers import random_lengths

from fastrnn.readout import READOUTS, frames_with_target, read, read_backward


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("T, B, m", [(6, 5, 4), (1, 1, 1), (3, 1, 2), (0, 3, 2), (4, 0, 2)])
def test_backward_is_the_adjoint(readout, T, B, m):
    rng = np.random.default_rng(60)
    lengths = random_lengths(rng, T, B)
    h = rng.standard_normal((T, B, m))
    h[np.arange(T)[:, None] >= lengths] = 0
    seen, seen_lengths = read(readout, h, lengths)
    d_seen = rng.standard_normal(seen.shape)
    d_seen[np.arange(len(seen))[:, None] >= seen_lengths] = 0
    dh = read_backward(readout, d_seen, h, lengths)
    assert dh.shape == h.shape
    assert abs(np.sum(seen * d_seen) - np.sum(h * dh)) <= 1e-13 * np.linalg.norm(d_seen)
    assert not dh[np.arange(T)[:, None] >= lengths].any()


def test_what_is_read():
    h = np.arange(1.0, 25).reshape(4, 3, 2)
    lengths = np.array([2, 0, 4])
    h[2:, 0], h[:, 1] = 0, 0
    last, last_lengths = read("last", h, lengths)
    mean, mean_lengths = read("mean", h, lengths)
    assert last_lengths.tolist() == mean_lengths.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(last[0], [h[1, 0], [0, 0], h[3, 2]])
    np.testing.assert_array_equal(mean[0], [h[:2, 0].mean(0), [0, 0], h[:, 2].mean(0)])


@pytest.mark.parametrize("m", [1, 3])
def test_mean_of_a_row_does_not_depend_on_its_batch(m):
    rng = np.random.default_rng(61)
    h = rng.standard_normal((200, 5, m)).astype(np.float32)
    lengths = np.full(5, 200)
    whole = read("mean", h, lengths)[0]
    for b in range(5):
        alone = read("mean", np.ascontiguousarray(h[:, b : b + 1]), lengths[:1])[0]
        assert alone.tobytes() == np.ascontiguousarray(whole[:, b : b + 1]).tobytes()


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("start", [-6, -2, -1, 0, 1, 2, 7])
def test_frames_with_target(start, stride):
    lengths = np.array([0, 1, 2, 4, 7, 9])
    out_lengths = np.array([0, 1, 1, 2, 3, 4])
    steps, counts, has_target = frames_with_target((start, stride), 4, lengths, out_lengths)
    for i in range(4):
        time = start + i * stride
        assert has_target[i] == (time >= 0)
        assert not has_target[i] or steps[i] == time
        for b, length in enumerate(lengths):
            exists = i < out_lengths[b] and time < length
            assert (i < counts[b]) == exists
