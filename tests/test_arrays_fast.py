"""The checks' short ways: what they let through, the long ways would have returned as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import arrays
from fastrnn.arrays import Arguments, input_frame, within
from fastrnn.losses import check_weights, reduction_weights


class Plain(np.ndarray):
    """An array of another type: it never takes a short way."""


def buffer(shape, dtype, offset):
    """Return zeros whose memory begins `offset` bytes into a buffer."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.ndarray(shape, dtype, bytearray(size + offset + 1), offset)


def readonly(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = {
    "plain": np.copy,
    "F": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "reversed": lambda a: a[::-1].copy()[::-1] if a.ndim else a,
    "readonly": readonly,
    "unaligned": lambda a: buffer(a.shape, a.dtype, 1),
    "broadcast": lambda a: np.broadcast_to(a.dtype.type(1), a.shape),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "described": lambda a: a.astype(np.dtype(a.dtype, metadata={"unit": "m"})),
    "matrix": lambda a: np.asmatrix(a) if a.ndim == 2 else a,
}
ARRAYS = st.builds(
    lambda shape, dtype, number, layout: LAYOUTS[layout](np.full(shape, number).astype(dtype)),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(["f4", "f8", "f4", "f8", "i8", "i8", "i4", "u8", "q", "f2", "?"]),
    st.sampled_from([0, 1, 2, -1]),
    st.sampled_from(list(LAYOUTS)),
)


def outcome(check, value):
    """Return the error's words, or the result's marks and bits and whether it is a copy."""
    try:
        result = check(value)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    flags = result.flags
    assert type(result) is np.ndarray
    assert result.dtype.isnative and flags.c_contiguous and flags.aligned and flags.writeable
    copied = result.size > 0 and not np.shares_memory(result, value)
    return result.dtype, result.shape, result.tobytes(), copied


def known(dtype=None):
    return Arguments({"T": (2, "x"), "B": (1, "x"), "p": (3, "input_size")}, dtype)


CHECKS = {
    "floats": lambda a: Arguments().floats("a", a, "T B p"),
    "square": lambda a: Arguments().floats("a", a, "m m"),
    "floats of known sizes": lambda a: known(np.dtype("f4")).floats("a", a, "B p"),
    "optional": lambda a: known(np.dtype("f8")).optional("a", a, "p"),
    "inputs": lambda a: Arguments().inputs("x", a),
    "integers": lambda a: known().integers("a", a, "T B"),
    "lengths": lambda a: known().lengths(a),
    "frame": lambda a: input_frame(a, 2, 2, np.dtype("f4")),
    "frame of float64": lambda a: input_frame(a, 1, 3, np.dtype("f8")),
    "weights": lambda a: check_weights(known(), a),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("name", CHECKS)
@settings(max_examples=300, deadline=None)
@given(value=ARRAYS)
def test_short_and_long_ways_agree(name, value):
    check = CHECKS[name]
    want = outcome(check, value.view(Plain))
    assert outcome(check, value) == want
    assert outcome(check, value) == want  # with its shape looked up


@pytest.mark.parametrize("name", CHECKS)
def test_masked_arrays_take_no_way(name):
    for shape in [(2, 1, 3), (2, 1), (3,), (2, 2), (1, 3), (1,)]:
        for dtype in ("f4", "f8", "i8"):
            error, text = outcome(CHECKS[name], np.ma.ones(shape, dtype))
            assert error is TypeError and text.endswith(
                "expected a plain array, got a masked array"
            )


@settings(max_examples=300, deadline=None)
@given(shapes=st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=3, max_size=3))
def test_shapes_looked_up_and_compared_agree(shapes):
    def sizes():
        args = Arguments({"q": (2, "output_size")})
        try:
            for name, axes, shape in zip("xUV", ("T B p", "m p", "q m"), shapes, strict=True):
                args.floats(name, np.zeros(shape), axes)
        except ValueError as error:
            return str(error)
        return dict(args.sizes)

    arrays.with_shape.cache_clear()
    assert sizes() == sizes()


@given(
    st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 1.5, np.nan, np.inf]), max_size=4),
    st.sampled_from(["f4", "f8"]),
)
def test_within(values, dtype):
    array = np.array(values, dtype)
    assert within(array, 0, 1) == bool(np.all((array >= 0) & (array <= 1)))
    whole = np.nan_to_num(array, posinf=9).astype(np.int64)
    assert within(whole, 0, 1) == bool(np.all((whole >= 0) & (whole <= 1)))


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (300, 70), (0, 2), (2, 0)])
def test_mean_without_padding_has_the_bits_of_the_mean_with_it(shape):
    T, B = shape
    weights = np.random.default_rng(0).random(shape)
    padded = np.concatenate([weights, np.full((1, B), np.nan)])
    lengths = np.full(B, T)
    got = reduction_weights("mean", weights, lengths)
    assert got.tobytes() == reduction_weights("mean", padded, lengths)[:T].tobytes()
