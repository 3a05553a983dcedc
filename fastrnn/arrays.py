"""Argument checks of the public functions, with one readable message for each mistake.

A message begins with the argument's name (both names where two disagree), then says what was
expected and what came. Checked arrays come back ready for the kernels: C-contiguous, aligned and
writeable; an array that is not is copied once, here, and the caller's own is never written to.

A small call's checks take a few microseconds, in two ways. A good argument is seen by its marks
(its dtype is that very object, one flag is set); one without them is not yet wrong: it goes on to
the full check, which converts it, copies it, or says what is wrong. And sizes never change once
known, so that what a shape adds to them is cached: shapes seen before are only looked up.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "Arguments",
    "as_array",
    "choice",
    "comma",
    "count",
    "filled",
    "float_dtype",
    "generator",
    "input_frame",
    "refuse_first",
    "valid_steps",
    "with_shape",
    "within",
]

# Axes that may be empty: steps and sequences. Every other size is at least 1.
_MAY_BE_EMPTY = ("T", "B", "T_out")
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_INT64 = np.dtype(np.int64)


class _Sizes(dict[str, tuple[int, str]]):
    """Sizes by their letters, each with its owner's name. Never changed, so a key of caches."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Arguments:
    """The checks of one call: sizes that share a letter agree, and floats share one dtype."""

    on_gpu = False

    def __init__(
        self, sizes: dict[str, tuple[int, str]] | None = None, dtype: np.dtype[Any] | None = None
    ) -> None:
        """Begin with the sizes (each with its owner's name) and the dtype that are given."""
        self.sizes = _given_sizes(tuple(sizes.items())) if sizes else _NO_SIZES
        self.dtype = dtype
        self._dtype_name = ""

    def know(self, letter: str, size: int, owner: str) -> None:
        """Take in one more size."""
        self.sizes = _given_sizes((*self.sizes.items(), (letter, (size, owner))))

    def floats(self, name: str, value: ArrayLike, axes: str) -> NDArray[Any]:
        """Return `value` as a float array whose axes are, for instance, ``"T B m"``."""
        array: Any = value
        if type(value) is not ndarray or value.dtype not in _FLOATS:
            array = as_array(name, value)
            if array.dtype not in _FLOATS:
                raise TypeError(f"{name}: expected {self._floats()}, got {_kind(array)}")
        self.sizes = with_shape(self.sizes, name, axes, array.shape)
        if array.dtype is not self.dtype:
            self._share_dtype(name, array.dtype)
        return array if array.flags.carray else _copied(array, array.dtype)

    def optional(self, name: str, value: ArrayLike | None, axes: str) -> NDArray[Any]:
        """Return `value` checked as `floats` does, or zeros in its place where it is None."""
        if value is None:
            return np.zeros(self.shape(axes), self.dtype)
        return self.floats(name, value, axes)

    def shape(self, axes: str) -> tuple[int, ...]:
        """Return the sizes of these axes, all known by now."""
        return _shape(self.sizes, axes)

    def inputs(
        self, name: str, value: ArrayLike, axes: str = "T B p", ids_are: str = "token ids"
    ) -> NDArray[Any]:
        """Return a network's input: floats with the given axes, or token ids without the last."""
        if type(value) is ndarray and value.dtype in _FLOATS:
            return self.floats(name, value, axes)
        array = as_array(name, value)
        if array.dtype in _FLOATS:
            return self.floats(name, array, axes)
        ids = axes.rsplit(maxsplit=1)[0]
        if array.dtype.kind in "iu" and array.ndim == len(ids.split()):
            return self.integers(name, array, ids)
        raise TypeError(
            f"{name}: expected {self._floats()} of shape ({comma(axes)}) "
            f"or integer {ids_are} of shape ({comma(ids)}), "
            f"got {_kind(array)} of shape {array.shape}"
        )

    def integers(self, name: str, value: ArrayLike, axes: str) -> NDArray[np.int64]:
        """Return `value` as an int64 array; its values are checked by `in_range`."""
        array: Any = value
        if type(value) is not ndarray or value.dtype is not _INT64:
            array = as_array(name, value)
            if array.dtype.kind not in "iu":
                raise TypeError(
                    f"{name}: expected integers of shape ({comma(axes)}), "
                    f"got {_kind(array)} of shape {array.shape}"
                )
        self.sizes = with_shape(self.sizes, name, axes, array.shape)
        if array.dtype is _INT64 and array.flags.carray:
            return array
        if array.dtype == np.uint64:  # values above the int64 range stay out of range, not wrapped
            array = np.minimum(array, np.uint64(np.iinfo(np.int64).max))
        return _copied(array, _INT64)

    def booleans(self, name: str, value: ArrayLike, axes: str) -> NDArray[np.bool_]:
        """Return `value` as an array of bool."""
        array = as_array(name, value)
        if array.dtype != np.bool_:
            raise TypeError(
                f"{name}: expected bool of shape ({comma(axes)}), "
                f"got {_kind(array)} of shape {array.shape}"
            )
        self.sizes = with_shape(self.sizes, name, axes, array.shape)
        return array if array.flags.carray else _copied(array, array.dtype)

    def lengths(self, value: ArrayLike | None, name: str = "lengths") -> NDArray[np.int64]:
        """Return the sequences' lengths (B,), each in [0, T]; all T where `value` is None."""
        T, B = self.sizes["T"][0], self.sizes["B"][0]
        if value is None:
            return filled(B, T, _INT64)
        array = as_array(name, value)
        if array.size == 0 and not isinstance(value, ndarray):
            array = array.astype(np.int64)  # an empty list has no dtype of its own
        array = self.integers(name, array, "B")
        if not within(array, 0, T):
            refuse_first(name, array, (array < 0) | (array > T), f"values from 0 to T = {T}")
        return array

    def in_range(
        self, name: str, ids: NDArray[np.int64], size: int, lengths: NDArray[np.int64] | None = None
    ) -> None:
        """Raise where an id (T, B), or (B,), within its sequence's length is not in [0, size)."""
        if within(ids, 0, size - 1):
            return
        bad = (ids < 0) | (ids >= size)
        if lengths is not None:
            bad &= valid_steps(ids.shape, lengths)
        refuse_first(name, ids, bad, f"integers from 0 to {size - 1}")

    def _share_dtype(self, name: str, dtype: np.dtype[Any]) -> None:
        if self.dtype is None:
            self.dtype, self._dtype_name = dtype, name
        elif dtype != self.dtype and self._dtype_name:
            raise TypeError(
                f"{self._dtype_name}, {name}: expected one dtype, got {self.dtype} and {dtype}"
            )
        elif dtype != self.dtype:
            raise TypeError(f"{name}: expected {self.dtype}, got {dtype}")

    def _floats(self) -> str:
        given = self.dtype is not None and not self._dtype_name
        return str(self.dtype) if given else "float32 or float64"


# Bounded, for lengths may vary without end; the keys hold names and sizes, never an array.
_cached = lru_cache(maxsize=4096)


@_cached
def _given_sizes(items: tuple[tuple[str, tuple[int, str]], ...]) -> _Sizes:
    return _Sizes(items)


_NO_SIZES = _given_sizes(())


@_cached
def _shape(sizes: _Sizes, axes: str) -> tuple[int, ...]:
    return tuple(sizes[letter][0] for letter in axes.split())


@_cached
def with_shape(sizes: _Sizes, name: str, axes: str, shape: tuple[int, ...]) -> _Sizes:
    """Return the sizes and those of one more array, if they agree."""
    letters = axes.split()
    if len(shape) != len(letters):
        raise ValueError(f"{name}: expected an array of shape ({comma(axes)}), got shape {shape}")
    more = dict(sizes)
    for axis, (letter, size) in enumerate(zip(letters, shape, strict=True)):
        known, owner = more.setdefault(letter, (size, name))
        if size != known and owner == name:
            raise ValueError(f"{name}: expected shape ({comma(axes)}), got {shape}")
        if size != known:
            raise ValueError(
                f"{owner}, {name}: expected {name} of shape ({comma(axes)}) with "
                f"{letter} = {known} as in {owner}, got shape {shape} (axis {axis})"
            )
        if size == 0 and letter not in _MAY_BE_EMPTY:
            raise ValueError(f"{name}: expected {letter} >= 1, got shape {shape}")
    return _Sizes(more) if len(more) > len(sizes) else sizes


def filled(shape: int | tuple[int, ...], number: float, dtype: DTypeLike) -> NDArray[Any]:
    """Return what np.full does, in a third of its time where the array is small."""
    array = np.empty(shape, dtype)
    array.fill(number)
    return array


def within(array: NDArray[Any], least: float, greatest: float) -> bool:
    """Return whether all values lie from `least` to `greatest`; NaN does not.

    By argmin and argmax, which find NaN first: on small arrays min and max take three times as
    long.
    """
    return array.size == 0 or (
        array.item(array.argmin()) >= least and array.item(array.argmax()) <= greatest
    )


def valid_steps(shape: tuple[int, ...], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which steps (T, B), or single steps (B,), lie within their sequence's length."""
    steps = np.arange(shape[0])[:, None] if len(shape) == 2 else 0
    return steps < lengths


def refuse_first(name: str, array: NDArray[Any], bad: NDArray[np.bool_], expected: str) -> None:
    """Raise for the first value of `array` that is `bad`, with its position; if there is one."""
    if bad.any():
        index = tuple(np.argwhere(bad)[0].tolist())
        position = index if len(index) > 1 else index[0]
        raise ValueError(f"{name}: expected {expected}, got {array[index]} at position {position}")


def input_frame(
    value: ArrayLike, batch_size: int, size: int, dtype: np.dtype[Any],
    name: str = "x_t", axis: str = "p", owner: str = "input_size",
) -> NDArray[Any]:  # fmt: skip
    """Return a stream's input `x_t`: floats (batch_size, size), or token ids (batch_size,)."""
    if type(value) is ndarray and value.flags.carray:  # what needs no conversion, no message
        if value.dtype is dtype and dtype.isnative and value.shape == (batch_size, size):
            return value
        if value.dtype is _INT64 and value.shape == (batch_size,) and within(value, 0, size - 1):
            return value
    args = Arguments({"B": (batch_size, "batch_size"), axis: (size, owner)}, dtype)
    array = args.inputs(name, value, "B " + axis)
    if array.ndim == 1:
        args.in_range(name, array, size)
    return array


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as a NumPy array of its own dtype, in native byte order."""
    if type(value) is ndarray and value.dtype.isnative:
        return value
    masked = np.ma.MaskedArray  # numpy.ma is loaded here, not at import
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, masked):
            raise TypeError(f"{name}: expected a plain array, got a masked array")
    try:
        array = None if hasattr(value, "__cuda_array_interface__") else np.asarray(value)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"{name}: expected an array, got a {kind} ({error})") from None
    if array is None:
        raise TypeError(f"{name}: expected an array in CPU memory, got one on a GPU")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _copied(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.require(array, dtype, ["C", "A", "W", "E"])


def _kind(array: NDArray[Any]) -> str:
    """Return the dtype's name; of objects, which nobody passes knowingly, also the first's type."""
    if array.dtype == object and array.size:
        return f"object ({type(array.flat[0]).__name__})"
    return str(array.dtype)


def comma(axes: str) -> str:
    """Return axes as a message shows them: ``"T B p"`` as ``T, B, p``."""
    letters = axes.split()
    return letters[0] + "," if len(letters) == 1 else ", ".join(letters)


def choice(name: str, value: str, options: Collection[str]) -> str:
    """Return `value` as a plain str if it is one of the `options`."""
    if type(value) is str and value in options:
        return value
    options = list(options)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {options}, got {value!r}")
    if value not in options:
        raise ValueError(f"{name}: expected one of {options}, got {value!r}")
    return options[options.index(value)]


def count(name: str, value: int, at_least: int = 1) -> int:
    """Return `value` as an int if it is an integer of at least `at_least`."""
    if type(value) is int and value >= at_least:
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer >= {at_least}, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name}: expected an integer >= {at_least}, got {value}")
    return int(value)


def float_dtype(name: str, value: Any) -> np.dtype[Any]:
    """Return `value` as a dtype if it is float32 or float64."""
    try:
        dtype = np.dtype(value)
    except (SyntaxError, TypeError, ValueError):
        raise TypeError(f"{name}: expected float32 or float64, got {value!r}") from None
    if value is None or dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: expected float32 or float64, got {value!r}")
    return dtype


def generator(name: str, value: int | np.random.Generator | None) -> np.random.Generator:
    """Return a random generator from a seed, a generator or None; global state is not used."""
    if value is None or isinstance(value, np.random.Generator):
        return np.random.default_rng(value)
    if not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"{name}: expected an integer >= 0, a numpy.random.Generator or None, got {value!r}"
        )
    return np.random.default_rng(count(name, value, at_least=0))
