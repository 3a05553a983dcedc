"""A view of device memory."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["DeviceArray", "contiguous"]


class DeviceArray:
    """A C-contiguous view of device memory; it keeps `owner`, whose memory that is, alive.

    Attributes
    ----------
    shape : tuple of int
    dtype : np.dtype
    size : int
        Number of elements.
    pointer : int
        Address of the first one.
    stream : int or None
        Handle of the stream in whose order the memory is used; None is the default stream.
    owner : object
    """

    __slots__ = ("__weakref__", "dtype", "owner", "pointer", "shape", "size", "stream")

    def __init__(
        self, shape: Iterable[int], dtype: Any, pointer: int, stream: Any = None, owner: Any = None
    ) -> None:
        self.shape = tuple(int(length) for length in shape)
        self.dtype = np.dtype(dtype)
        self.size = math.prod(self.shape)
        self.pointer = int(pointer)
        self.stream = stream
        self.owner = owner

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape, "typestr": self.dtype.str, "data": (self.pointer, False),
            "strides": None, "version": 3, "stream": self.stream or 1,
        }  # fmt: skip

    def reshape(self, shape: Sequence[int]) -> "DeviceArray":
        """Return the same memory in another shape, of which one length may be -1."""
        lengths = list(shape)
        if -1 in lengths:
            known = -math.prod(lengths)
            lengths[lengths.index(-1)] = self.size // known if known else 0
        if math.prod(lengths) != self.size:
            raise ValueError(f"shape: expected {self.size} elements, got {tuple(shape)}")
        return DeviceArray(lengths, self.dtype, self.pointer, self.stream, self)

    def rows(self, first: int, end: int) -> "DeviceArray":
        """Return the view of first <= i < end along the first axis."""
        if not 0 <= first <= end <= self.shape[0]:
            raise ValueError(f"rows: expected 0 <= first <= end <= {self.shape[0]}")
        below = self.shape[1:]
        start = self.pointer + first * math.prod(below) * self.dtype.itemsize
        return DeviceArray((end - first, *below), self.dtype, start, self.stream, self)

    def typed(self, dtype: Any) -> "DeviceArray":
        """Return the same bytes, as one axis of elements of another type."""
        count = self.nbytes // np.dtype(dtype).itemsize
        return DeviceArray((count,), dtype, self.pointer, self.stream, self)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, pointer={self.pointer:#x})"


def contiguous(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Return whether strides are those of C order; lengths of 0 and 1 have any."""
    if 0 in shape:
        return True
    expected = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True
