"""Where an array lives: in CPU memory, or on a GPU, and to which library it belongs there.

Arrays on a GPU are those of CuPy, PyTorch and Numba, and all else with `__cuda_array_interface__`
or, through CuPy or PyTorch, with DLPack. They are taken as they lie, on their own stream; results
are arrays of the first one's library. Nothing here waits for the GPU, so the values of lengths,
token ids and classes are not looked at.
"""

import copy
import importlib
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike, NDArray

from fastrnn.arrays import Arguments, choice, comma, with_shape
from fastrnn.libraries import from_dlpack, library_of, original

__all__ = [
    "DEVICES",
    "DeviceArguments",
    "arguments",
    "as_number",
    "device_of",
    "kernel",
    "moved",
    "on_gpu",
    "on_host",
    "overwrite",
    "refuse_gpu",
    "to_gpu",
]

DEVICES = ("cpu", "cuda")
_CUDA_IN_DLPACK = 2


def on_gpu(value: Any) -> bool:
    """Return whether a value is an array in a GPU's memory; of a NumPy array next to no time."""
    if type(value) is ndarray:
        return False
    try:
        if hasattr(value, "__cuda_array_interface__"):
            return True
    except RuntimeError:  # PyTorch: a tensor on a GPU that requires a gradient has it, but refuses
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and device()[0] == _CUDA_IN_DLPACK


def arguments(
    name: str,
    first: Any,
    home: Any,
    sizes: dict[str, tuple[int, str]] | None = None,
    dtype: np.dtype[Any] | None = None,
) -> Arguments:
    """Return the checks of a call on parameters such as `home`: its arrays must live there too.

    On a GPU its work goes to the stream of the argument `first`.
    """
    if on_gpu(home):
        return DeviceArguments(name, first, sizes=sizes, dtype=dtype)
    return Arguments(sizes, dtype)


class DeviceArguments(Arguments):
    """The checks of one call with arrays on a GPU: as `Arguments`, but of places, not of values.

    What its methods return are views (`fastrnn.cuda.launching.DeviceArray`) without a copy; None
    stays None. An array that is not C-contiguous is copied once, by its own library.

    Parameters
    ----------
    name : str
        Of the first argument.
    first : array on a GPU
        It says which stream the work goes to, and to which library the results belong.
    sizes, dtype
        As in `Arguments`.
    **only_cpu
        Arguments that no kernel takes on a GPU: each must be None.

    Raises
    ------
    RuntimeError
        If CUDA cannot be used; the message says what would help.
    ValueError
        If one of `only_cpu` is not None.
    """

    on_gpu = True

    def __init__(
        self,
        name: str,
        first: Any,
        *,
        sizes: dict[str, tuple[int, str]] | None = None,
        dtype: np.dtype[Any] | None = None,
        **only_cpu: Any,
    ) -> None:
        super().__init__(sizes, dtype)
        for refused, value in only_cpu.items():
            if value is not None:
                got = type(value).__name__
                raise ValueError(f"{refused}: expected None with arrays on a GPU, got {got}")
        self._launching = _launching()
        self._library = library_of(first)
        self._first = original(first)
        self.stream: int | None = None
        self.stream = self.view(name, first).stream

    def floats(self, name: str, value: Any, axes: str) -> Any:
        array = self.view(name, value)
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name}: expected {self._floats()}, got {array.dtype}")
        self.sizes = with_shape(self.sizes, name, axes, array.shape)
        self._share_dtype(name, array.dtype)
        return array

    def optional(self, name: str, value: Any, axes: str) -> Any:
        return None if value is None else self.floats(name, value, axes)

    def inputs(self, name: str, value: Any, axes: str = "T B p", ids_are: str = "token ids") -> Any:
        array, ids = self.view(name, value), axes.rsplit(maxsplit=1)[0]
        if array.dtype.kind == "f":
            return self.floats(name, array, axes)
        if array.dtype.kind in "iu" and len(array.shape) == len(ids.split()):
            return self.integers(name, array, ids)
        raise TypeError(
            f"{name}: expected {self._floats()} of shape ({comma(axes)}) or integer {ids_are} of "
            f"shape ({comma(ids)}), got {array.dtype} of shape {array.shape}"
        )

    def integers(self, name: str, value: Any, axes: str) -> Any:
        return self._typed(name, value, axes, np.int64)

    def booleans(self, name: str, value: Any, axes: str) -> Any:
        return self._typed(name, value, axes, np.bool_)

    def marks(self, name: str, value: Any, axes: str) -> Any:
        """Return booleans that may be None."""
        return None if value is None else self.booleans(name, value, axes)

    def lengths(self, value: Any, name: str = "lengths") -> Any:
        return None if value is None else self.integers(name, value, "B")

    def weights(self, name: str, value: Any, axes: str) -> Any:
        """Return the weights of a loss as float64; None stays None."""
        return None if value is None else self._typed(name, value, axes, np.float64)

    def in_range(self, name: str, ids: Any, size: int, lengths: Any = None) -> None:
        """Do nothing: the GPU would have to be waited for."""

    def empty(self, axes: str, dtype: DTypeLike | None = None) -> Any:
        """Return a view of a new array of the first one's library; its sizes are known by now."""
        kind = np.dtype(self.dtype if dtype is None else dtype)
        made = self._library.empty(self._first, self.shape(axes), kind, self.stream)
        return self._launching.view(made, self.stream)

    def copied(self, host: NDArray[Any]) -> Any:
        """Return a copy of a NumPy array on the GPU."""
        return self._launching.copy_to_device(host, self.stream)

    def zeros_like(self, array: Any) -> Any:
        """Return a view of new zeros of a view's shape and dtype."""
        made = self._launching.empty(array.shape, array.dtype, self.stream)
        self._launching.fill(made, 0)
        return made

    def will_write(self, array: Any) -> None:
        """Note that this call's stream is the one in whose order an array is used from now on.

        Arrays of other libraries belong to the stream that their library says.
        """
        if isinstance(array, self._launching.DeviceArray):
            array.stream = self.stream

    def run(self, path: str, *operands: Any) -> Any:
        """Call a kernel's launcher; return its results as arrays of the first one's library."""
        results = kernel(path)(*operands)
        if not isinstance(results, tuple):
            return self.handed_back(results)
        given = [self.handed_back(result) for result in results]
        return type(results)(*given) if hasattr(results, "_fields") else tuple(given)

    def handed_back(self, value: Any) -> Any:
        """Return a view as an array of the first argument's library, without a copy."""
        if not isinstance(value, self._launching.DeviceArray):
            return value
        whole = original(value)
        if self._library is library_of(value) and getattr(whole, "shape", None) == value.shape:
            return whole
        return self._library.wrap(value)

    def _typed(self, name: str, value: Any, axes: str, dtype: DTypeLike) -> Any:
        array, wanted = self.view(name, value), np.dtype(dtype)
        if array.dtype != wanted:
            array = self._converted(name, array, wanted)
        self.sizes = with_shape(self.sizes, name, axes, array.shape)
        return array

    def _converted(self, name: str, array: Any, wanted: np.dtype[Any]) -> Any:
        """Return another dtype without loss as the wanted one, where the array's library can."""
        library = library_of(array)
        if not library.converts or not np.can_cast(array.dtype, wanted):
            raise TypeError(f"{name}: expected {wanted} on a GPU, got {array.dtype}")
        return self.view(name, library.converted(original(array), wanted))

    def view(self, name: str, value: Any) -> Any:
        """Return an array on a GPU as a view to work with on this call's stream."""
        if not on_gpu(value):
            kind = "one in CPU memory" if isinstance(value, ndarray) else type(value).__name__
            raise TypeError(f"{name}: expected an array on a GPU, got {kind}")
        array = _viewed(self._launching, name, value)
        if array.stream == self.stream or self.stream is None:
            return array
        self._launching.wait_for(self.stream, array.stream)
        return self._launching.view(array, self.stream)


def kernel(path: str) -> Any:
    """Return a function of a file of `fastrnn.cuda` by name, such as ``"elman.elman_forward"``.

    Or of `tdnn.cuda`, by its whole name: a place to ask for, which imports nothing before.
    """
    file, _, name = path.rpartition(".")
    package = "" if file == "tdnn.cuda" else "fastrnn.cuda."
    return getattr(importlib.import_module(package + file), name)


def _viewed(launching: Any, name: str, value: Any) -> Any:
    """Return a view of an array on a GPU; the default stream is 0 there, whatever it was called."""
    if isinstance(value, launching.DeviceArray):
        array = value
    else:
        try:
            array = _view_of(launching, name, value)
        except (RuntimeError, TypeError, ValueError) as error:
            kind, problem = type(value).__name__, str(error).removeprefix("array: ")
            raise TypeError(
                f"{name}: expected an array on a GPU, got a {kind}: {problem}"
            ) from None
    return launching.view(array, 0) if array.stream in (None, 1) else array


def _view_of(launching: Any, name: str, value: Any) -> Any:
    if not hasattr(value, "__cuda_array_interface__"):
        value = from_dlpack(name, value)
    library = library_of(value)
    stream = library.stream(value)
    try:
        return launching.view(value, stream)
    except ValueError:
        if not library.converts:
            raise
    return launching.view(library.contiguous(value), stream)


def _launching() -> Any:
    """Return `fastrnn.cuda.launching`; RuntimeError, with the cure, where CUDA cannot be used."""
    from fastrnn.cuda import launching  # only here: importing fastrnn loads no CUDA

    launching.require()
    return launching


def to_gpu(array: Any) -> Any:
    """Return an array on a GPU as it is, and a copy there of a NumPy array."""
    return array if on_gpu(array) else _launching().copy_to_device(array)


def overwrite(array: Any, host: NDArray[Any]) -> None:
    """Copy a NumPy array into one of the same shape and dtype, wherever that is."""
    if on_gpu(array):
        launching = _launching()
        launching.copy_into(_viewed(launching, "array", array), host)
    else:
        np.copyto(array, host)


def device_of(owner: Any) -> str:
    """Return where the parameters of a layer or model are: ``"cpu"`` or ``"cuda"``."""
    return "cuda" if any(map(on_gpu, owner.parameters().values())) else "cpu"


def on_host(array: Any) -> NDArray[Any]:
    """Return a NumPy array as it is, and a copy in NumPy of one on a GPU, when it is done."""
    if not on_gpu(array):
        return array
    launching = _launching()
    return launching.copy_to_host(_viewed(launching, "array", array))


def as_number(value: Any) -> float:
    """Return a number as it is, and one on a GPU, of one element, when it is done."""
    return float(on_host(value).reshape(-1)[0]) if on_gpu(value) else value


def moved(owner: Any, device: str) -> Any:
    """Return a copy of a layer or model with its parameters on a device; see `Elman.to`."""
    where = choice("device", device, DEVICES)
    if where == "cpu":
        there = {id(a): np.array(on_host(a)) for a in owner.parameters().values()}
    else:
        _check_movable(owner)
        launching = _launching()
        hosts = [(id(a), on_host(a)) for a in owner.parameters().values()]
        there = {key: launching.copy_to_device(host) for key, host in hosts}
        launching.synchronize()  # so that any stream may read them
    return copy.deepcopy(owner, there)


def _check_movable(owner: Any) -> None:
    """Refuse a layer or model of which a part is only made for the CPU: it has no `to`."""
    if not hasattr(owner, "to"):
        raise ValueError(f"device: expected 'cpu' with a body of kind {owner.kind!r}, got 'cuda'")
    for part in (*getattr(owner, "bodies", ()), *filter(None, [getattr(owner, "body", None)])):
        _check_movable(part)


def refuse_gpu(name: str, array: Any) -> None:
    """Raise where an array is on a GPU, for what is only made for the CPU."""
    if on_gpu(array):
        raise TypeError(
            f"{name}: expected parameters and arrays in CPU memory, got some on a GPU; "
            '.to("cpu") brings them back'
        )
