"""Argument checks of the public functions, with one readable message for each mistake.

A message begins with the argument's name (both names where two disagree), then says what was
expected and what came. Checked arrays come back ready for the kernels: C-contiguous, aligned and
writeable; an array that is not is copied once, here, and the caller's own is never written to.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Arguments",
    "as_array",
    "choice",
    "count",
    "float_dtype",
    "generator",
    "input_frame",
    "refuse_first",
    "valid_steps",
]

# Axes that may be empty: steps and sequences. Every other size is at least 1.
_MAY_BE_EMPTY = ("T", "B", "T_out")


class Arguments:
    """The checks of one call: sizes that share a letter agree, and floats share one dtype."""

    def __init__(
        self, sizes: dict[str, tuple[int, str]] | None = None, dtype: np.dtype[Any] | None = None
    ) -> None:
        """Begin with the sizes (each with its owner's name) and the dtype that are given."""
        self.sizes = dict(sizes or {})
        self.dtype = dtype
        self._dtype_name = ""

    def floats(self, name: str, value: ArrayLike, axes: str) -> NDArray[Any]:
        """Return `value` as a float array whose axes are, for instance, ``"T B m"``."""
        array = as_array(name, value)
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name}: expected {self._floats()}, got {_kind(array)}")
        self._shape(name, array, axes)
        if self.dtype is None:
            self.dtype, self._dtype_name = array.dtype, name
        elif array.dtype != self.dtype and self._dtype_name:
            raise TypeError(
                f"{self._dtype_name}, {name}: expected one dtype, "
                f"got {self.dtype} and {array.dtype}"
            )
        elif array.dtype != self.dtype:
            raise TypeError(f"{name}: expected {self.dtype}, got {array.dtype}")
        return _ready(array)

    def optional(self, name: str, value: ArrayLike | None, axes: str) -> NDArray[Any]:
        """Return `value` checked as `floats` does, or zeros in its place where it is None."""
        if value is None:
            return np.zeros([self.sizes[axis][0] for axis in axes.split()], self.dtype)
        return self.floats(name, value, axes)

    def inputs(self, name: str, value: ArrayLike, axes: str = "T B p") -> NDArray[Any]:
        """Return a network's input: floats with the given axes, or token ids without the last."""
        array = as_array(name, value)
        ids = axes.rsplit(maxsplit=1)[0]
        if array.dtype.kind in "iu" and array.ndim == len(ids.split()):
            return self.integers(name, array, ids)
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"{name}: expected {self._floats()} of shape ({_comma(axes)}) "
                f"or integer token ids of shape ({_comma(ids)}), "
                f"got {_kind(array)} of shape {array.shape}"
            )
        return self.floats(name, array, axes)

    def integers(self, name: str, value: ArrayLike, axes: str) -> NDArray[np.int64]:
        """Return `value` as an int64 array; its values are checked by `in_range`."""
        array = as_array(name, value)
        if array.dtype.kind not in "iu":
            raise TypeError(
                f"{name}: expected integers of shape ({_comma(axes)}), "
                f"got {_kind(array)} of shape {array.shape}"
            )
        self._shape(name, array, axes)
        if array.dtype == np.uint64:  # values above the int64 range stay out of range, not wrapped
            array = np.minimum(array, np.uint64(np.iinfo(np.int64).max))
        return np.require(array, np.int64, ["C", "A", "W", "E"])

    def lengths(self, value: ArrayLike | None, name: str = "lengths") -> NDArray[np.int64]:
        """Return the sequences' lengths (B,), each in [0, T]; all T where `value` is None."""
        T, B = self.sizes["T"][0], self.sizes["B"][0]
        if value is None:
            return np.full(B, T, np.int64)
        array = as_array(name, value)
        if array.size == 0 and not isinstance(value, np.ndarray):
            array = array.astype(np.int64)  # an empty list has no dtype of its own
        array = self.integers(name, array, "B")
        refuse_first(name, array, (array < 0) | (array > T), f"values from 0 to T = {T}")
        return array

    def in_range(
        self, name: str, ids: NDArray[np.int64], size: int, lengths: NDArray[np.int64]
    ) -> None:
        """Raise where an id (T, B), or (B,), within its sequence's length is not in [0, size)."""
        if ids.size == 0 or (ids.min() >= 0 and ids.max() < size):
            return
        bad = valid_steps(ids.shape, lengths) & ((ids < 0) | (ids >= size))
        refuse_first(name, ids, bad, f"integers from 0 to {size - 1}")

    def _floats(self) -> str:
        given = self.dtype is not None and not self._dtype_name
        return str(self.dtype) if given else "float32 or float64"

    def _shape(self, name: str, array: NDArray[Any], axes: str) -> None:
        letters = axes.split()
        if array.ndim != len(letters):
            raise ValueError(
                f"{name}: expected an array of shape ({_comma(axes)}), got shape {array.shape}"
            )
        for axis, (letter, size) in enumerate(zip(letters, array.shape, strict=True)):
            known, owner = self.sizes.setdefault(letter, (size, name))
            if size != known and owner == name:
                raise ValueError(f"{name}: expected shape ({_comma(axes)}), got {array.shape}")
            if size != known:
                raise ValueError(
                    f"{owner}, {name}: expected {name} of shape ({_comma(axes)}) with "
                    f"{letter} = {known} as in {owner}, got shape {array.shape} (axis {axis})"
                )
            if size == 0 and letter not in _MAY_BE_EMPTY:
                raise ValueError(f"{name}: expected {letter} >= 1, got shape {array.shape}")


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


def input_frame(value: ArrayLike, batch_size: int, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a stream's input `x_t`: floats (batch_size, size), or token ids (batch_size,)."""
    args = Arguments({"B": (batch_size, "batch_size"), "p": (size, "input_size")}, dtype)
    array = args.inputs("x_t", value, "B p")
    if array.ndim == 1:
        args.in_range("x_t", array, size, np.ones(batch_size, np.int64))
    return array


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as a NumPy array of its own dtype, in native byte order."""
    items = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(item, np.ma.MaskedArray) for item in items):
        raise TypeError(f"{name}: expected a plain array, got a masked array")
    try:
        array = None if hasattr(value, "__cuda_array_interface__") else np.asarray(value)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"{name}: expected an array, got a {kind} ({error})") from None
    if array is None:
        raise TypeError(f"{name}: expected an array in CPU memory, got one on a GPU")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _ready(array: NDArray[Any]) -> NDArray[Any]:
    return np.require(array, requirements=["C", "A", "W", "E"])


def _kind(array: NDArray[Any]) -> str:
    """Return the dtype's name; of objects, which nobody passes knowingly, also the first's type."""
    if array.dtype == object and array.size:
        return f"object ({type(array.flat[0]).__name__})"
    return str(array.dtype)


def _comma(axes: str) -> str:
    letters = axes.split()
    return letters[0] + "," if len(letters) == 1 else ", ".join(letters)


def choice(name: str, value: str, options: Iterable[str]) -> str:
    """Return `value` as a plain str if it is one of the `options`."""
    options = list(options)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {options}, got {value!r}")
    if value not in options:
        raise ValueError(f"{name}: expected one of {options}, got {value!r}")
    return options[options.index(value)]


def count(name: str, value: int, at_least: int = 1) -> int:
    """Return `value` as an int if it is an integer of at least `at_least`."""
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
