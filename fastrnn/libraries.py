"""The libraries whose arrays come in and go out on a GPU: CuPy, PyTorch, Numba, and any other.

None is imported here: who hands over an array of one has imported it.
"""

import sys
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["Library", "from_dlpack", "library_of", "original"]


class Library:
    """Any library: results are `fastrnn.cuda.launching.DeviceArray`, which all of them can take."""

    name = "another library"
    converts = False
    """Whether it can copy an array into C order, or into another dtype."""

    def stream(self, array: Any) -> int | None:
        """Return the caller's stream, where the array's interface does not name it."""
        return None

    def empty(self, like: Any, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> Any:
        """Return a new array in the memory of the GPU that `like` lies on."""
        from fastrnn.cuda.launching import empty  # only here: importing fastrnn loads no CUDA

        return empty(shape, dtype, stream)

    def wrap(self, array: Any) -> Any:
        """Return a DeviceArray as one of the library, without a copy and without waiting."""
        return array

    def contiguous(self, array: Any) -> Any:
        """Return a copy in C order."""
        raise NotImplementedError

    def converted(self, array: Any, dtype: np.dtype[Any]) -> Any:
        """Return a copy in another dtype."""
        raise NotImplementedError


class _CuPy(Library):
    name = "cupy"
    converts = True

    def empty(self, like: Any, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> Any:
        with like.device:
            return sys.modules["cupy"].empty(shape, dtype)

    def wrap(self, array: Any) -> Any:
        cupy: Any = sys.modules["cupy"]  # its asarray would wait for the stream
        memory = cupy.cuda.UnownedMemory(array.pointer, array.nbytes, array)
        return cupy.ndarray(array.shape, array.dtype, cupy.cuda.MemoryPointer(memory, 0))

    def contiguous(self, array: Any) -> Any:
        return sys.modules["cupy"].ascontiguousarray(array)

    def converted(self, array: Any, dtype: np.dtype[Any]) -> Any:
        return array.astype(dtype)


class _Torch(Library):
    name = "torch"
    converts = True

    def stream(self, array: Any) -> int | None:
        """Return PyTorch's current stream: its arrays do not name theirs."""
        if not array.is_cuda:
            return None
        return int(sys.modules["torch"].cuda.current_stream(array.device).cuda_stream)

    def empty(self, like: Any, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> Any:
        return like.new_empty(shape, dtype=self._dtype(dtype))

    def wrap(self, array: Any) -> Any:
        return sys.modules["torch"].as_tensor(array, device="cuda")

    def contiguous(self, array: Any) -> Any:
        return array.contiguous()

    def converted(self, array: Any, dtype: np.dtype[Any]) -> Any:
        return array.to(self._dtype(dtype))

    @staticmethod
    def _dtype(dtype: np.dtype[Any]) -> Any:
        return getattr(sys.modules["torch"], dtype.name)


class _Numba(Library):
    name = "numba"

    def empty(self, like: Any, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> Any:
        return self.wrap(super().empty(like, shape, dtype, stream))

    def wrap(self, array: Any) -> Any:
        from numba import cuda

        return cuda.as_cuda_array(array, sync=False)


_ANY = Library()
_KNOWN: dict[str, Library] = {
    "cupy": _CuPy(), "torch": _Torch(), "numba": _Numba(), "numba_cuda": _Numba(),
}  # fmt: skip


def library_of(array: Any) -> Library:
    """Return the library of an array, or of that whose memory a DeviceArray is a view of."""
    kind: Any = type(original(array))
    return _library_of_type(kind)


def original(array: Any) -> Any:
    """Return what a DeviceArray is a view of; that may be a piece of memory without a library."""
    launching: Any = sys.modules.get("fastrnn.cuda.launching")
    while launching and isinstance(array, launching.DeviceArray):
        array = array.owner
    return array


@lru_cache(maxsize=256)
def _library_of_type(kind: Any) -> Library:
    roots = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((_KNOWN[root] for root in roots if root in _KNOWN), _ANY)


def from_dlpack(name: str, array: Any) -> Any:
    """Return an array that only speaks DLPack as one of CuPy or PyTorch, without a copy.

    Raises
    ------
    TypeError
        If neither is imported.
    """
    for library in ("cupy", "torch"):
        if library in sys.modules:
            return sys.modules[library].from_dlpack(array)
    kind = type(array).__name__
    raise TypeError(
        f"{name}: expected an array with __cuda_array_interface__, got a {kind}, which has "
        "only DLPack: import cupy or torch to hand it on"
    )
