"""Output layer: reference by complex steps, functions and kernels against the reference."""

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, assert_same_bits, error, random_lengths
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import kernels, reference
from fastrnn.linear import linear_backward, linear_forward


def draw(seed, T, B, m, q, dtype=np.float64):
    rng = np.random.default_rng(seed)
    h, V, c, do = (
        rng.standard_normal(shape).astype(dtype) for shape in ((T, B, m), (q, m), q, (T, B, q))
    )
    return h, V, c, do, random_lengths(rng, T, B)


def test_reference_against_complex_steps():
    h, V, c, do, lengths = draw(40, 4, 3, 5, 2)
    grads = reference.linear_backward(do, h, V, lengths)
    for position, gradient in enumerate(grads):
        arguments = [h, V, c]
        want = np.empty(gradient.shape)
        for index in np.ndindex(gradient.shape):
            moved = [array.astype(complex) for array in arguments]
            moved[position][index] += 1e-30j
            want[index] = np.sum(do * reference.linear_forward(*moved, lengths).imag) / 1e-30
        assert error(gradient, want) <= 1e-13


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    st.tuples(
        st.integers(0, 2**32 - 1),
        st.integers(0, 12),
        st.integers(0, 7),
        st.integers(1, 19),
        st.integers(1, 19),
    ),
    st.sampled_from([1, 3]),
)
def test_functions_against_reference(sizes, threads):
    h, V, c, do, lengths = draw(*sizes)
    got = {"o": linear_forward(h, V, c, lengths, threads)}
    got |= linear_backward(do, h, V, lengths, threads)._asdict()
    want = {"o": reference.linear_forward(h, V, c, lengths)}
    assert_close(got, want | reference.linear_backward(do, h, V, lengths)._asdict(), 1e-12)


@pytest.mark.lanes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_against_reference_and_functions(dtype):
    h, V, c, do, lengths = draw(41, 6, 5, 7, 9, dtype)
    got = {"o": kernels.linear_forward(h, V, c, lengths)}
    got |= kernels.linear_backward(do, h, V, lengths)._asdict()
    wide = [array.astype(float) for array in (h, V, c)]
    want = {"o": reference.linear_forward(*wide, lengths)}
    want |= reference.linear_backward(do.astype(float), *wide[:2], lengths)._asdict()
    assert_close(got, want, TOLERANCE[V.dtype])
    functions = {"o": linear_forward(h, V, c, lengths, 2)}
    assert_same_bits(got, functions | linear_backward(do, h, V, lengths, 2)._asdict())


def test_nan_in_padding_changes_no_bit():
    h, V, c, do, lengths = draw(42, 6, 5, 7, 9)
    clean = linear_backward(do, h, V, lengths, 1)
    o = linear_forward(h, V, c, lengths, 1)
    padding = np.arange(6)[:, None] >= lengths
    h[padding], do[padding] = np.nan, np.nan
    assert_same_bits({"o": linear_forward(h, V, c, lengths, 1)}, {"o": o})
    assert_same_bits(linear_backward(do, h, V, lengths, 1)._asdict(), clean._asdict())
    assert not o[padding].any() and not clean.dh[padding].any()
