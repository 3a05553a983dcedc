"""The argument checks themselves: what they return, what they copy, what they say."""

import enum

import numpy as np
import pytest

from fastrnn.arrays import (
    Arguments,
    as_array,
    choice,
    count,
    float_dtype,
    generator,
    input_frame,
    refuse_first,
    valid_steps,
)

X = np.arange(24.0).reshape(4, 2, 3)
IDS = np.array([[0, 1], [2, 0], [1, 1], [0, 2]])


def sized():
    """Return checks that know T = 4, B = 2, p = 3 and float64, all from x."""
    args = Arguments()
    args.floats("x", X, "T B p")
    return args


def said(call, error):
    with pytest.raises(error) as caught:
        call()
    assert caught.type is error
    return str(caught.value)


def test_plain_arrays_are_not_copied():
    args = sized()
    assert args.floats("x", X, "T B p") is X
    assert args.integers("ids", IDS, "T B") is IDS
    assert args.inputs("x", IDS) is IDS
    assert as_array("x", X) is X


@pytest.mark.parametrize(
    "make",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
        lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
        lambda a: a.tolist(),
        lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else a.tolist(),
    ],
    ids=["F", "strided", "reversed", "swapped", "unaligned", "readonly", "list", "tuple"],
)
def test_other_layouts_are_copied_once(make):
    for want, check in [
        (X, lambda a: Arguments().floats("x", a, "T B p")),
        (IDS, lambda a: Arguments().integers("x", a, "T B")),
        (IDS, lambda a: Arguments().inputs("x", a)),
    ]:
        given = make(want)
        got = check(given)
        assert got is not given and not np.shares_memory(got, np.asarray(given))
        assert got.tobytes() == want.tobytes() and got.dtype == want.dtype
        flags = got.flags
        assert flags.c_contiguous and flags.aligned and flags.writeable and got.dtype.isnative


def test_a_size_belongs_to_its_first_owner():
    args = sized()
    assert args.sizes == {"T": (4, "x"), "B": (2, "x"), "p": (3, "x")}
    assert said(lambda: args.floats("U", np.zeros((5, 7)), "m p"), ValueError) == (
        "x, U: expected U of shape (m, p) with p = 3 as in x, got shape (5, 7) (axis 1)"
    )
    assert said(lambda: Arguments().floats("W", np.zeros((3, 4)), "m m"), ValueError) == (
        "W: expected shape (m, m), got (3, 4)"
    )
    assert said(lambda: args.floats("b", X, "m"), ValueError) == (
        "b: expected an array of shape (m,), got shape (4, 2, 3)"
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_steps_and_sequences_may_be_none(axis):
    empty = np.delete(X, slice(None), axis)
    if axis < 2:
        assert Arguments().floats("x", empty, "T B p").shape == empty.shape
    else:
        assert said(lambda: Arguments().floats("x", empty, "T B p"), ValueError) == (
            "x: expected p >= 1, got shape (4, 2, 0)"
        )


def test_one_dtype_per_call():
    assert said(lambda: sized().floats("b", np.zeros(3, "f4"), "m"), TypeError) == (
        "x, b: expected one dtype, got float64 and float32"
    )
    of_layer = Arguments(dtype=np.dtype("f4"))
    assert said(lambda: of_layer.floats("x", X, "T B p"), TypeError) == (
        "x: expected float32, got float64"
    )
    assert said(lambda: of_layer.inputs("x", X > 1), TypeError) == (
        "x: expected float32 of shape (T, B, p) or integer token ids of shape (T, B), "
        "got bool of shape (4, 2, 3)"
    )


def test_lists_of_numpy_scalars_keep_their_dtype():
    assert Arguments().floats("b", [np.float32(1), np.float32(2)], "m").dtype == np.float32
    assert Arguments().floats("b", [1.0, 2.0], "m").dtype == np.float64


def test_optional_is_zeros_of_the_sizes_known():
    args = sized()
    zeros = args.optional("h0", None, "B p")
    assert zeros.shape == (2, 3) and zeros.dtype == np.float64 and not zeros.any()
    given = np.ones((2, 3))
    assert args.optional("h0", given, "B p") is given


@pytest.mark.parametrize("value", [None, [[1, None]], {}, (i for i in ()), object()])
def test_objects_are_named_by_their_type(value):
    first = value[0][0] if isinstance(value, list) else value
    text = said(lambda: Arguments().floats("x", value, "T B p"), TypeError)
    assert text == f"x: expected float32 or float64, got object ({type(first).__name__})"
    assert said(lambda: Arguments().integers("x", np.empty(0, object), "B"), TypeError) == (
        "x: expected integers of shape (B,), got object of shape (0,)"
    )


class Raises:
    """Has an array interface that fails, as that of a tensor that requires a gradient."""

    def __init__(self, attribute, error):
        self.attribute, self.error = attribute, error

    def __getattr__(self, name):
        if name == self.attribute:
            raise self.error
        raise AttributeError(name)


@pytest.mark.parametrize("attribute", ["__cuda_array_interface__", "__array_interface__"])
@pytest.mark.parametrize("error", [RuntimeError("reason"), TypeError("reason")])
def test_a_failing_conversion_names_the_argument(attribute, error):
    text = said(lambda: as_array("x", Raises(attribute, error)), TypeError)
    assert text == "x: expected an array, got a Raises (reason)"


def test_arrays_that_are_refused():
    class Device:
        __cuda_array_interface__ = {"shape": (1,)}  # noqa: RUF012

    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    assert "got one on a GPU" in said(lambda: as_array("x", Device()), TypeError)
    assert "got a masked array" in said(lambda: as_array("x", masked), TypeError)
    assert "got a masked array" in said(lambda: as_array("x", [masked, masked]), TypeError)
    assert "got a list" in said(lambda: as_array("x", [[1.0], [1.0, 2.0]]), TypeError)


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "u4", "<i8", ">i8", "<u8", ">u8"])
def test_integers_of_any_kind(dtype):
    got = Arguments().integers("x", IDS.astype(dtype), "T B")
    assert got.dtype == np.int64 and (got == IDS).all()


def test_huge_ids_stay_out_of_range():
    ids = Arguments().integers("x", np.array([[2**64 - 1]], np.uint64), "T B")
    assert ids[0, 0] == 2**63 - 1
    text = said(lambda: Arguments().in_range("x", ids, 3, np.array([1])), ValueError)
    assert text.startswith("x: expected integers from 0 to 2, got 9223372036854775807 at")


@pytest.mark.parametrize("dtype", [bool, float, complex, object, "U1", "M8[s]"])
def test_integers_are_nothing_else(dtype):
    ones = np.ones((4, 2), int).astype(dtype)
    text = said(lambda: Arguments().integers("targets", ones, "T B"), TypeError)
    assert text.startswith("targets: expected integers of shape (T, B), got ")
    assert text.endswith("of shape (4, 2)")


def test_lengths():
    args = sized()
    assert args.lengths(None).tolist() == [4, 4]
    assert args.lengths([4, 0]).tolist() == [4, 0]
    none = Arguments({"T": (4, "x"), "B": (0, "x")})
    for empty in ([], (), np.empty(0, int)):
        assert none.lengths(empty).shape == (0,) and none.lengths(empty).dtype == np.int64
    said(lambda: none.lengths(np.empty(0)), TypeError)
    assert said(lambda: args.lengths([4, 5]), ValueError) == (
        "lengths: expected values from 0 to T = 4, got 5 at position 1"
    )
    assert said(lambda: args.lengths([-1, 5], "n"), ValueError) == (
        "n: expected values from 0 to T = 4, got -1 at position 0"
    )
    assert said(lambda: args.lengths([4]), ValueError) == (
        "x, lengths: expected lengths of shape (B,) with B = 2 as in x, got shape (1,) (axis 0)"
    )


@pytest.mark.parametrize(
    ("bad", "position"), [((0, 0), (0, 0)), ((3, 0), (3, 0)), ((2, 1), (2, 1)), ((3, 1), None)]
)
def test_in_range_looks_at_valid_steps_only(bad, position):
    for value in (-1, 3):
        ids = IDS.copy()
        ids[bad] = value

        def check(ids=ids):
            Arguments().in_range("x", ids, 3, np.array([4, 3]))

        if position is None:
            check()
        else:
            assert said(check, ValueError) == (
                f"x: expected integers from 0 to 2, got {value} at position {position}"
            )


def test_in_range_of_single_steps():
    def check(lengths):
        Arguments().in_range("targets", np.array([0, 9, 7]), 3, np.array(lengths))

    check([1, 0, 0])
    assert said(lambda: check([1, 0, 1]), ValueError) == (
        "targets: expected integers from 0 to 2, got 7 at position 2"
    )


def test_valid_steps():
    lengths = np.array([2, 0, 3])
    assert valid_steps((3, 3), lengths).tolist() == [[1, 0, 1], [1, 0, 1], [0, 0, 1]]
    assert valid_steps((3,), lengths).tolist() == [True, False, True]
    assert valid_steps((0, 3), lengths).shape == (0, 3)


def test_refuse_first():
    values = np.array([[1, 2], [3, 4]])
    refuse_first("a", values, values > 4, "less")
    text = said(lambda: refuse_first("a", values, values > 2, "less"), ValueError)
    assert text == "a: expected less, got 3 at position (1, 0)"


def test_input_frame():
    frame = input_frame([[1.0, 2.0, 3.0]], 1, 3, np.dtype(float))
    assert frame.shape == (1, 3) and frame.dtype == np.float64
    assert input_frame([2], 1, 3, np.dtype("f4")).dtype == np.int64
    for value, error, text in [
        ([3], ValueError, "x_t: expected integers from 0 to 2, got 3 at position 0"),
        ([0, 0], ValueError, "batch_size, x_t: expected x_t of shape (B,) with B = 1"),
        ([[1.0, 2.0]], ValueError, "input_size, x_t: expected x_t of shape (B, p) with p = 3"),
        ([1.0, 2.0, 3.0], ValueError, "x_t: expected an array of shape (B, p), got shape (3,)"),
        (np.ones((1, 3), "f4"), TypeError, "x_t: expected float64, got float32"),
        ([[1, 2, 3]], TypeError, "x_t: expected float64 of shape (B, p) or integer token ids"),
        (None, TypeError, "x_t: expected float64 of shape (B, p) or integer token ids"),
    ]:
        assert said(lambda v=value: input_frame(v, 1, 3, np.dtype(float)), error).startswith(text)


def test_choice_gives_the_plain_option():
    class Activation(enum.StrEnum):
        TANH = "tanh"

    for value in ("tanh", np.str_("tanh"), Activation.TANH):
        assert type(choice("activation", value, ("relu", "tanh"))) is str
        assert choice("activation", value, ("relu", "tanh")) == "tanh"
    assert said(lambda: choice("f", "Tanh", {"tanh": 0}), ValueError) == (
        "f: expected one of ['tanh'], got 'Tanh'"
    )
    for value in (None, 1, b"tanh", ["tanh"], np.tanh, np.array("tanh")):
        assert said(lambda v=value: choice("f", v, ("tanh",)), TypeError).startswith("f: expected")


def test_count():
    for value in (3, np.int64(3), np.uint8(3), np.int16(3)):
        assert count("n", value) == 3 and type(count("n", value)) is int
    assert count("n", 0, at_least=0) == 0
    assert said(lambda: count("n", 0), ValueError) == "n: expected an integer >= 1, got 0"
    assert said(lambda: count("n", -1, 0), ValueError) == "n: expected an integer >= 0, got -1"
    for value in (3.0, True, np.True_, "3", None, [3], np.array(3), np.float64(3), 3 + 0j):
        text = said(lambda v=value: count("n", v), TypeError)
        assert text == f"n: expected an integer >= 1, got {value!r}"


def test_float_dtype():
    for value in ("f4", "float32", np.float32, np.dtype("f4")):
        assert float_dtype("dtype", value) == np.float32
    for value in (float, "d", np.double):
        assert float_dtype("dtype", value) == np.float64
    for value in (
        None,
        int,
        "f2",
        ">f4",
        "float31",
        "f4,,",
        "(1",
        complex,
        object,
        4,
        {"names": 3},
    ):
        text = said(lambda v=value: float_dtype("dtype", v), TypeError)
        assert text == f"dtype: expected float32 or float64, got {value!r}"


def test_generator():
    mine = np.random.default_rng(1)
    assert generator("rng", mine) is mine
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    draws = {generator("rng", seed).random() for seed in (7, np.int64(7), np.uint32(7))}
    assert draws == {np.random.default_rng(7).random()}
    assert generator("rng", None).random() != generator("rng", None).random()
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
    for value in (1.0, "7", True, [1, 2], np.random, np.random.RandomState(0)):
        text = said(lambda v=value: generator("rng", v), TypeError)
        assert text.startswith("rng: expected an integer >= 0")
    assert said(lambda: generator("rng", -1), ValueError).startswith("rng: expected an integer >=")
