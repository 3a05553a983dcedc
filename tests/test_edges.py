"""The edge table: arrays that come in unusual ways, or hold nothing, or must be refused."""

import itertools

import numpy as np
import pytest
from edge_cases import (
    CLASSES,
    KINDS,
    LENGTHS,
    PADDING,
    PASSES,
    PUBLIC,
    WEIGHTS,
    B,
    P,
    Q,
    T,
    arguments,
    body,
    every,
    total,
)  # fmt: skip
from helpers import assert_close, assert_same_bits

import fastrnn

# How arrays come


def unaligned(a):
    return np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


class Wrapped:
    """What only offers NumPy's protocol, as tensors and series do."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 3, axis=-1)[..., ::3],
    "reversed": lambda a: np.flip(a).copy()[(slice(None, None, -1),) * a.ndim],
    "transposed": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0),
    "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape))[1],
    "unaligned": unaligned,
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": read_only,
    "list": lambda a: a.tolist(),
    "list of arrays": list,
    "wrapped": Wrapped,
    "subclass": lambda a: a.view(np.recarray),
}


@every
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_same_bits(name, layout):
    plain = arguments(name)
    other = {key: LAYOUTS[layout](array) for key, array in plain.items()}
    kept = {key: np.array(array) for key, array in other.items()}
    assert_same_bits(PASSES[name](other), PASSES[name](plain))
    for key, array in kept.items():
        assert np.array(other[key]).tobytes() == array.tobytes(), key


@pytest.mark.parametrize("name", ["elman", "tdnn", "jordan", "elman model", "tdnn model"])
def test_one_array_for_several_arguments(name):
    a = arguments(name)
    a["h0"] = a["dh_last"]
    a["taps"] = np.stack([a["U"]] * 3)
    apart = {key: array.copy() for key, array in a.items()}
    assert_same_bits(PASSES[name](a), PASSES[name](apart))


@every
def test_results_belong_to_the_caller(name):
    for a in (arguments(name), arguments(name, steps=0, lengths=[0, 0])):
        results = PASSES[name](a)
        arrays = {key: array for key, array in results.items() if isinstance(array, np.ndarray)}
        for (key, array), other in itertools.product(arrays.items(), a.values()):
            assert array.flags.writeable and not np.shares_memory(array, other), key
        for one, two in itertools.combinations(arrays, 2):
            assert not np.shares_memory(arrays[one], arrays[two]), (one, two)
        again = PASSES[name](a)
        for array in arrays.values():
            array[...] = 7
        assert_same_bits(PASSES[name](a), again)


def test_pandas_objects():
    pd = pytest.importorskip("pandas")
    a = arguments("softmax")
    want = PASSES["softmax"](a)
    a["targets"] = pd.DataFrame(a["targets"])
    a["weights"], a["lengths"] = pd.DataFrame(a["weights"]), pd.Series(LENGTHS, index=[9, 8, 7, 6])
    assert_same_bits(PASSES["softmax"](a), want)
    a = arguments("elman")
    want = PASSES["elman"](a)
    for key in ("U", "W", "h0", "dh_last"):
        a[key] = pd.DataFrame(a[key])
    a["b"] = pd.Series(a["b"])
    assert_same_bits(PASSES["elman"](a), want)


# What arrays hold


@every
@pytest.mark.parametrize(
    "make",
    [
        list, tuple, list.copy, np.array, np.int8, np.uint8, np.int32, np.uint64,
        lambda lengths: [np.int16(length) for length in lengths],
    ],
    ids=["list", "tuple", "copy", "int64", "int8", "uint8", "int32", "uint64", "scalars"],
)  # fmt: skip
def test_lengths_of_any_integer_kind(name, make):
    want = PASSES[name](arguments(name))
    assert_same_bits(PASSES[name](arguments(name) | {"lengths": make(LENGTHS.tolist())}), want)


@every
def test_order_of_sequences_does_not_matter(name):
    a = arguments(name)
    order = np.array([2, 3, 0, 1])
    sorted_by_length = {
        key: array
        if array.shape[:1] not in ((T,), (B,)) or key in WEIGHTS
        else (array[:, order] if array.shape[0] == T else array[order])
        for key, array in a.items()
    }
    assert sorted_by_length["lengths"].tolist() == [7, 5, 4, 0]
    assert_close(total(PASSES[name](sorted_by_length)), total(PASSES[name](a)), 1e-13)


@every
@pytest.mark.parametrize("tokens", [False, True])
def test_padding_is_never_looked_at(name, tokens):
    a = arguments(name, tokens=tokens)
    want = PASSES[name](a)
    for key in ("x", "dh", "o", "do", "targets", "weights"):
        whole = a[key].shape[0] == T
        padding = PADDING if whole else LENGTHS == 0
        for junk in (np.nan, np.inf) if a[key].dtype.kind == "f" else (-1, -100, 2**62):
            bad = a[key].copy()
            bad[padding] = junk
            assert_same_bits(PASSES[name](a | {key: bad}), want)
    for key in ("h", "dx", "do", "o", "z", "yhat"):
        if isinstance(want.get(key), np.ndarray):
            rows = PADDING if len(want[key]) == T else LENGTHS == 0
            assert not want[key][rows].any(), key


@every
def test_without_steps_or_sequences(name):
    for steps, lengths in [(0, [0, 0, 0]), (T, []), (0, []), (T, [0, 0])]:
        results = PASSES[name](arguments(name, lengths, steps))
        for key, array in results.items():
            if key == "h_last":
                assert np.array_equal(array, arguments(name, lengths, steps)["h0"])
            elif key == "dh0":
                assert np.array_equal(array, arguments(name, lengths, steps)["dh_last"])
            else:
                assert np.shape(array) or array == 0, key
                assert not np.any(array), key
        unknown = arguments(name, lengths, steps)
        if not any(lengths) and (steps == 0 or not lengths):
            assert_same_bits(PASSES[name](unknown | {"lengths": None}), results)


@every
def test_length_zero_is_as_if_the_sequence_were_not_there(name):
    a = arguments(name)
    there = LENGTHS > 0
    without = {
        key: array
        if array.shape[:1] not in ((T,), (B,)) or key in WEIGHTS
        else (array[:, there] if array.shape[0] == T else array[there])
        for key, array in a.items()
    }
    got, want = PASSES[name](a), PASSES[name](without)
    assert_close(total(got), total(want), 1e-13)
    for key in set(got) - set(total(got)):
        rows = got[key][:, there] if len(got[key]) == T else got[key][there]
        assert np.array_equal(rows, want[key]), key


@pytest.mark.parametrize("readout", ["each", "last", "mean"])
@pytest.mark.parametrize("steps", [0, 1, 4, 5])
def test_fewer_steps_than_the_window(readout, steps):
    """Valid padding: 6 frames are needed for one output frame."""
    network = body("tdnn", "valid")
    assert network.receptive_field == 6
    model = fastrnn.SequenceModel(network, Q, readout=readout, rng=0)
    x = np.ones((steps, 2, P))
    targets = np.zeros((steps, 2) if readout == "each" else 2, int)
    value, gradients = model.loss_and_grad(x, targets)
    assert value == 0 and gradients.keys() == model.parameters().keys()
    assert not any(gradient.any() for gradient in gradients.values())
    assert model.predict(x).shape == ((0, 2, Q) if readout == "each" else (2, Q))
    stream = model.stream(2)
    assert [stream.step(x_t) for x_t in x] == [None] * steps and stream.flush() == []


TOKENS = ("elman", "tdnn", "jordan", "elman model", "jordan model", "tdnn mean")


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i4", "u8"])
@pytest.mark.parametrize("name", TOKENS)
def test_token_ids_of_any_integer_kind(name, dtype):
    a = arguments(name, tokens=True)
    want = PASSES[name](a)
    assert_same_bits(PASSES[name](a | {"x": a["x"].astype(dtype)}), want)
    assert want.get("dx") is None
    bad = a["x"].astype(dtype)
    bad[6, 2] = np.iinfo(dtype).max  # in a row of full length
    with pytest.raises(ValueError, match=r"^x: expected integers from 0 to 2, got .* \(6, 2\)$"):
        PASSES[name](a | {"x": bad})


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("bad", [-1, Q, 2**40])
def test_first_class_out_of_range_is_named(name, bad):
    a = arguments(name)
    place = (4, 3) if a["targets"].ndim == 2 else (3,)
    for later in ((6, 2), (5, 2)) if len(place) == 2 else ():
        a["targets"][later] = bad + 1
    a["targets"][place] = bad
    said = str(place if len(place) == 2 else place[0])
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        PASSES[name](a)
    assert str(caught.value) == (
        f"targets: expected integers from 0 to 3, got {bad} at position {said}"
    )


# Every float argument of every function refuses what would have to be cast

FLOATS = {
    "elman": ("x", "U", "W", "b", "h0", "dh", "dh_last"),
    "tdnn": ("x", "taps", "b", "dh"),
    "jordan": ("x", "U", "back", "b", "V", "c", "z0", "do"),
    "softmax": ("o",),
    "sigmoid": ("o", "targets"),
    "squared": ("o", "targets"),
    "elman model": ("x",),
    "jordan model": ("x",),
    "tdnn model": ("x", "targets"),
    "tdnn mean": ("x", "targets"),
    "stack model": ("x",),
}
# Labels may be integers or bool, and logits alone are of either float dtype.
ACCEPTED = {
    ("sigmoid", "int", "targets"), ("sigmoid", "bool", "targets"), ("softmax", "other", "o"),
    ("tdnn model", "int", "targets"), ("tdnn model", "bool", "targets"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FLOATS)
def test_no_silent_cast(name, kind):
    a = arguments(name)
    for key in FLOATS[name]:
        if (name, kind, key) in ACCEPTED:
            continue
        public = PUBLIC.get(key, key)
        with pytest.raises(TypeError, match=rf"^(\w+, )?{public}(, \w+)?: expected .*got "):
            PASSES[name](a | {key: KINDS[kind](a[key])})


@every
def test_scalars_are_no_arrays(name):
    a = arguments(name)
    used = FLOATS.get(name, ())
    if name == "jordan":
        used += ("targets",)
    elif "dh" not in used:
        used += ("targets", "weights")
    for key, scalar in itertools.product({*used, "lengths"}, (1.0, np.float64(1), 1, np.array(1))):
        public = PUBLIC.get(key, "y" if (name, key) == ("jordan", "targets") else key)
        with pytest.raises((TypeError, ValueError), match=rf"^{public}: expected .*got "):
            PASSES[name](a | {key: scalar})
