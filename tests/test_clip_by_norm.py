"""Clipping by the common norm: in place, exact, safe at the ends of the range."""

import math

import numpy as np
import pytest

from fastrnn.optimizers import clip_by_norm

SHAPES = {"U": (3, 5), "b": (7,), "none": (0, 2)}


def arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


def copies(gradients):
    return {name: array.copy() for name, array in gradients.items()}


def assert_equal(a, b):
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_by_norm(dtype):
    gradients = arrays(dtype)
    before = copies(gradients)
    norm = math.sqrt(sum(float(np.sum(g.astype(np.float64) ** 2)) for g in before.values()))
    assert clip_by_norm(gradients, norm * 1.001) == pytest.approx(norm, rel=1e-15)
    assert_equal(gradients, before)
    held = dict(gradients)
    assert clip_by_norm(gradients, 0.5) == pytest.approx(norm, rel=1e-15)
    for name, gradient in gradients.items():
        assert gradient is held[name] and gradient.dtype == dtype
        np.testing.assert_allclose(gradient, before[name] * (0.5 / norm), rtol=1e-6)
    assert clip_by_norm(gradients, 1.0) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("dtype", "size"), [(np.float64, 1e200), (np.float64, 1e-200), (np.float32, 1e30)]
)
def test_clip_by_norm_neither_overflows_nor_underflows(dtype, size):
    gradients = {"a": np.array([[3 * size]], dtype), "b": np.array([0, 4 * size], dtype)}
    assert clip_by_norm(gradients, size) == pytest.approx(5 * size, rel=1e-6)
    assert gradients["a"][0, 0] == pytest.approx(0.6 * size, rel=1e-6)
    assert gradients["b"].tolist() == pytest.approx([0, 0.8 * size], rel=1e-6)


def test_clip_by_norm_of_a_strided_gradient():
    whole = np.full((4, 4), 5.0)
    assert clip_by_norm({"a": whole[::2, ::2]}, 1.0) == 10.0
    assert whole[::2, ::2].ravel().tolist() == [0.5] * 4 and whole.sum() == 12 * 5 + 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_clip_by_norm_leaves_what_is_not_finite(value):
    gradients = {"a": np.array([1e9, value]), "b": np.array([1e9])}
    before = copies(gradients)
    assert not math.isfinite(clip_by_norm(gradients, 1.0))
    assert_equal(gradients, before)


def test_clip_by_norm_of_nothing_and_zero():
    gradients = {"a": np.zeros((0, 3)), "b": np.zeros(2)}
    assert clip_by_norm(gradients, 1.0) == 0.0
    assert clip_by_norm({}, 1.0) == 0.0
    assert gradients["b"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("max_norm", "error"),
    [(0, ValueError), (-1.0, ValueError), (math.nan, ValueError), ("1", TypeError)],
)
def test_clip_by_norm_refuses_a_bad_limit(max_norm, error):
    with pytest.raises(error, match="max_norm: expected a number"):
        clip_by_norm(arrays(), max_norm)


def test_clip_by_norm_checks_all_before_it_scales():
    gradients = {"a": np.full(3, 9.0), "b": np.full(3, 9.0)}
    gradients["b"].flags.writeable = False
    with pytest.raises(ValueError, match=r"gradients\['b'\]: expected a writeable array"):
        clip_by_norm(gradients, 1.0)
    assert gradients["a"].tolist() == [9.0] * 3
