"""Argument checks of the public functions, with one readable message for each mistake.

A message begins with the argument's name (both names where two disagree), then says what was
expected and what came. Checked arrays come back ready for the kernels: C-contiguous, aligned and
writeable; an array that is not is copied once, here, and the caller's own is never written to.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Arguments", "as_array", "choice", "count", "float_dtype", "generator", "input_frame"]

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
            raise TypeError(f"{name}: expected float32 or float64, got {array.dtype}")
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
                f"{name}: expected float32 or float64 of shape ({_comma(axes)}) "
                f"or integer token ids of shape ({_comma(ids)}), "
                f"got {array.dtype} of shape {array.shape}"
            )
        return self.floats(name, array, axes)

    def integers(self, name: str, value: ArrayLike, axes: str) -> NDArray[np.int64]:
        """Return `value` as an int64 array; its values are checked by `in_range`."""
        array = as_array(name, value)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name}: expected integers, got {array.dtype}")
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
        bad = np.flatnonzero((array < 0) | (array > T))
        if bad.size:
            raise ValueError(
                f"{name}: expected values from 0 to T = {T}, got {array[bad[0]]} "
                f"at position {bad[0]}"
            )
        return array

    def in_range(
        self, name: str, ids: NDArray[np.int64], size: int, lengths: NDArray[np.int64]
    ) -> None:
        """Raise where an id (T, B) within its sequence's length is not in [0, size)."""
        if ids.size == 0 or (ids.min() >= 0 and ids.max() < size):
            return
        valid = np.arange(ids.shape[0])[:, None] < lengths
        bad = np.argwhere(valid & ((ids < 0) | (ids >= size)))
        if bad.size:
            t, b = (int(i) for i in bad[0])
            raise ValueError(
                f"{name}: expected integers from 0 to {size - 1}, "
                f"got {ids[t, b]} at position ({t}, {b})"
            )

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


def input_frame(value: ArrayLike, batch_size: int, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a stream's input `x_t`: floats (batch_size, size), or token ids (batch_size,)."""
    args = Arguments({"B": (batch_size, "batch_size"), "p": (size, "input_size")}, dtype)
    array = args.inputs("x_t", value, "B p")
    if array.ndim == 1:
        args.in_range("x_t", array[None], size, np.ones(batch_size, np.int64))
    return array


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as a NumPy array without changing its dtype."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, got a masked array")
    if hasattr(value, "__cuda_array_interface__"):
        raise TypeError(f"{name}: expected an array in CPU memory, got one on a GPU")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        kind = type(value).__name__
        raise TypeError(f"{name}: expected an array, got a {kind} ({error})") from None
    if not array.dtype.isnative:
        raise TypeError(f"{name}: expected native byte order, got {array.dtype}")
    return array


def _ready(array: NDArray[Any]) -> NDArray[Any]:
    return np.require(array, requirements=["C", "A", "W", "E"])


def _comma(axes: str) -> str:
    letters = axes.split()
    return letters[0] + "," if len(letters) == 1 else ", ".join(letters)


def choice(name: str, value: str, options: Iterable[str]) -> str:
    """Return `value` if it is one of the `options`."""
    options = list(options)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {options}, got {value!r}")
    if value not in options:
        raise ValueError(f"{name}: expected one of {options}, got {value!r}")
    return value


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
    except TypeError:
        raise TypeError(f"{name}: expected float32 or float64, got {value!r}") from None
    if value is None or dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: expected float32 or float64, got {value!r}")
    return dtype


def generator(name: str, value: int | np.random.Generator | None) -> np.random.Generator:
    """Return a random generator from a seed, a generator or None; global state is not used."""
    if value is None or isinstance(value, np.random.Generator):
        return np.random.default_rng(value)
    return np.random.default_rng(count(name, value, at_least=0))
