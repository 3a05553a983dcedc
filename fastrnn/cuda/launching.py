"""Arrays on a GPU, and the launch of kernels: the only file that talks to the driver.

How to write a kernel
---------------------
A kernel is a plain Python function over raw pointers and numbers, which returns nothing::

    from fastrnn.cuda.intrinsics import cuda
    from fastrnn.cuda.launching import device_kernel, launch

    @functools.cache
    def scaling(real):  # np.float32 or np.float64: a factory, where a kernel exists for both
        @device_kernel(f"{real.__name__}*, int64*, int64, int32", launch_bounds=256)
        def scale(a, rows, count, factor):
            i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
            if i < count:
                a[rows[i]] *= real(factor)
        return scale

    launch(scaling(np.float32), blocks, 256, a, rows, count, 3)

- The signature names each argument's type: ``float32*``, ``float64*``, ``int32*``, ``int64*``,
  ``bool*`` for device memory (a `DeviceArray`, or None for a null pointer), and ``int32``,
  ``int64``, ``float32``, ``float64`` for numbers.
- Numbers the kernel takes from around it (``real``, a tile's size) are constants of its code. Write
  ``real(0)``, never ``0.0``: a literal is a float64, and makes float64 arithmetic.
- Functions that kernels call carry `intrinsics.device_function`; they find their type by
  ``T = type(a); T(1)``. Mathematics is `math.tanh`, `math.exp`, ...: of the argument's type.
- Shared memory is ``cuda.shared.array(SIZE, real)`` and private memory
  ``cuda.local.array(SIZE, real)``, SIZE being one name of a constant, no expression; loops over
  private memory must have constant bounds and short bodies, so that it becomes registers.
- All threads of a block reach each ``cuda.syncthreads()``. Blocks wait for each other only in a
  launch with ``cooperative=True``, and only through `intrinsics.load16_words`.

How to test it
--------------
Without a GPU, in `tests/cuda`: `emulator.emulated_device` runs the very same function, thread by
thread in a chosen order, on host memory that stands for the device's; everything above `launch`
runs unchanged. `compiling.compiled` compiles it for a GPU that is not there, and counts its
registers and spills.
"""

import ctypes
import functools
import math
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastrnn.cuda import intrinsics
from fastrnn.cuda.intrinsics import cuda

__all__ = [
    "DeviceArray",
    "DeviceKernel",
    "available",
    "capability",
    "copy_into",
    "copy_to_device",
    "copy_to_host",
    "device_kernel",
    "empty",
    "fill",
    "fits_together",
    "launch",
    "multiprocessors",
    "require",
    "synchronize",
    "view",
    "wait_for",
]

_NUMBERS: dict[str, Any] = {
    "int32": ctypes.c_int32, "int64": ctypes.c_int64,
    "float32": ctypes.c_float, "float64": ctypes.c_double,
}  # fmt: skip
_ELEMENTS = (*_NUMBERS, "bool", "uint8")
# Shared memory that a kernel gets without asking.
_PLAIN_SHARED = 48 * 1024


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

    def copy_to_host(self) -> np.ndarray:
        """Return a copy in NumPy, after waiting for the stream."""
        return copy_to_host(self)

    def __deepcopy__(self, memo: Any) -> "DeviceArray":
        return copy_to_device(copy_to_host(self), self.stream)

    def __reduce__(self) -> Any:
        raise TypeError('memory of a GPU cannot be pickled: .to("cpu") makes a copy that can be')

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("array: expected one in CPU memory, got one on a GPU: use copy_to_host()")

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, pointer={self.pointer:#x})"


class DeviceKernel:
    """A Python function that can be launched, and what its compiler must know; see the module.

    Attributes
    ----------
    function : callable
    signature : tuple of str
        Its arguments' types.
    launch_bounds : int or tuple or None
        Most threads of a block, and optionally fewest blocks on a multiprocessor.
    fastmath : bool
    """

    def __init__(
        self, function: Callable[..., None], signature: str, launch_bounds: Any, fastmath: bool
    ) -> None:
        self.function = function
        self.signature = tuple(name.strip() for name in signature.split(","))
        self.launch_bounds = launch_bounds
        self.fastmath = fastmath
        self.name = function.__name__
        for name in self.signature:
            if name.removesuffix("*") not in (_ELEMENTS if name.endswith("*") else _NUMBERS):
                raise ValueError(f"signature: {name!r} is no type of a kernel's argument")

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join(self.signature)})>"


def device_kernel(
    signature: str, *, launch_bounds: Any = None, fastmath: bool = False
) -> Callable[[Callable[..., None]], DeviceKernel]:
    """Return a decorator that makes a Python function a kernel, compiled at its first launch.

    Parameters
    ----------
    signature : str
        The arguments' types, as ``"float32*, int64*, int32"``.
    launch_bounds : int or tuple of int, optional
        Most threads of a block; then fewest blocks to fit on a multiprocessor.
    fastmath : bool
        Allow approximate mathematics that ignores NaN and infinities.
    """

    def decorate(function: Callable[..., None]) -> DeviceKernel:
        return DeviceKernel(function, signature, launch_bounds, fastmath)

    return decorate


def compile_ptx(kernel: DeviceKernel, capability: tuple[int, int]) -> str:
    """Return a kernel's PTX code for GPUs of a compute capability."""
    from numba import types

    kinds = []
    for name in kernel.signature:
        element = getattr(types, {"bool": "uint8"}.get(name.strip("*"), name.strip("*")))
        kinds.append(types.CPointer(element) if name.endswith("*") else element)
    code, _ = cuda.compile(
        kernel.function, types.void(*kinds), cc=_target(capability), device=False, abi="numba",
        output="ptx", fastmath=kernel.fastmath, launch_bounds=kernel.launch_bounds,
    )  # fmt: skip
    return str(code)


def link(ptx: str, capability: tuple[int, int]) -> tuple[bytes, str]:
    """Return a kernel's machine code, and the linker's report of registers and spills."""
    from cuda.bindings import nvjitlink

    arch = "".join(str(part) for part in _target(capability))
    handle = nvjitlink.create(2, [f"-arch=sm_{arch}", "-verbose"])
    try:
        code = ptx.encode()
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), "kernel")
        try:
            nvjitlink.complete(handle)
        except nvjitlink.nvJitLinkError as error:
            text = bytearray(nvjitlink.get_error_log_size(handle))
            nvjitlink.get_error_log(handle, text)
            raise RuntimeError(text.decode(errors="replace")) from error
        report = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, report)
        cubin = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, cubin)
    finally:
        nvjitlink.destroy(handle)
    return bytes(cubin), report.decode(errors="replace")


def _target(capability: tuple[int, int]) -> tuple[Any, ...]:
    """Return the compiler's target: for Hopper the one with its own instructions."""
    return (9, 0, "a") if tuple(capability) == (9, 0) else tuple(capability)


class Gpu:
    """The GPU that is current in the calling thread, device 0 where none is.

    Its primary context is used, as CuPy, PyTorch and Numba use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: dict[tuple[DeviceKernel, int], Any] = {}
        self._properties: dict[tuple[int, str], int] = {}
        self._ready: set[int] = set()

    @functools.cached_property
    def _driver(self) -> Any:
        from cuda.bindings import driver

        return driver

    def why_not(self) -> str:
        """Return why no kernel can be launched, or "" where it can."""
        if intrinsics.missing:
            return f"{intrinsics.missing}: pip install 'fastrnn[cuda]'"
        try:
            self._call("cuInit", 0)
            if self._call("cuDeviceGetCount") > 0:
                return ""
        except Exception as error:  # noqa: BLE001 (a missing driver raises what its loader likes)
            reason = str(error).split("\n")[0].rstrip(".")
            return f"install an NVIDIA driver, or keep the arrays on the CPU ({reason})"
        return "no NVIDIA GPU was found: keep the arrays on the CPU"

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the driver; raise what it complains of, return what it returns."""
        error, *results = getattr(self._driver, name)(*arguments)
        if int(error) != 0:
            raise RuntimeError(f"CUDA driver: {name} failed with {error.name}")
        return results[0] if results else None

    def _device(self) -> int:
        """Return the current device's number, after making sure that there is one."""
        error, device = self._driver.cuCtxGetDevice()
        if int(error) == 0:
            return int(device)
        require()
        first = self._call("cuDeviceGet", 0)
        self._call("cuCtxSetCurrent", self._call("cuDevicePrimaryCtxRetain", first))
        return int(first)

    def property(self, name: str) -> int:
        """Return a number that the driver knows of the device."""
        key = (self._device(), name)
        if key not in self._properties:
            attribute = getattr(self._driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
            self._properties[key] = int(self._call("cuDeviceGetAttribute", attribute, key[0]))
        return self._properties[key]

    def multiprocessors(self) -> int:
        return self.property("MULTIPROCESSOR_COUNT")

    def capability(self) -> tuple[int, int]:
        major, minor = (f"COMPUTE_CAPABILITY_{part}" for part in ("MAJOR", "MINOR"))
        return self.property(major), self.property(minor)

    def function(self, kernel: DeviceKernel) -> Any:
        """Return the kernel's code on the current device, compiled once."""
        key = (kernel, self._device())
        found = self._functions.get(key)
        if found is None:
            with self._lock:
                found = self._functions.get(key)
                if found is None:
                    found = self._functions[key] = self._load(kernel)
        return found

    def _load(self, kernel: DeviceKernel) -> Any:
        capability = self.capability()
        ptx = compile_ptx(kernel, capability)
        name = re.findall(r"\.visible \.entry (\S+?)\(", ptx)[0]
        module = self._call("cuModuleLoadData", link(ptx, capability)[0])
        found = self._call("cuModuleGetFunction", module, name.encode())
        most = self.property("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN")
        static = self._call(
            "cuFuncGetAttribute",
            self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, found,
        )  # fmt: skip
        if most - static > _PLAIN_SHARED:  # not done by itself
            self._call(
                "cuFuncSetAttribute", found,
                self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                most - static,
            )  # fmt: skip
        return found

    def fits_together(self, kernel: DeviceKernel, blocks: int, block: int, shared: int) -> bool:
        resident = self._call(
            "cuOccupancyMaxActiveBlocksPerMultiprocessor", self.function(kernel), block, shared
        )
        return blocks <= resident * self.multiprocessors()

    def launch(
        self, kernel: DeviceKernel, grid: tuple[int, int, int], block: tuple[int, int, int],
        arguments: Sequence[Any], stream: int, shared: int, cooperative: bool,
    ) -> None:  # fmt: skip
        function = self.function(kernel)
        values, kinds = [], []
        for name, value in zip(kernel.signature, arguments, strict=True):
            if name.endswith("*"):
                values.append(0 if value is None else value.pointer)
                kinds.append(ctypes.c_void_p)
            else:
                values.append(value)
                kinds.append(_NUMBERS[name])
        packed = (tuple(values), tuple(kinds))
        if cooperative:
            name = "cuLaunchCooperativeKernel"
            self._call(name, function, *grid, *block, shared, stream, packed)
        else:
            self._call("cuLaunchKernel", function, *grid, *block, shared, stream, packed, 0)

    def allocate(self, nbytes: int, stream: int) -> tuple[int, Any]:
        """Return the address of new memory, and what frees it in the end, in the stream's order."""
        self._keep_freed_memory(self._device())
        pointer = int(self._call("cuMemAllocAsync", nbytes, stream))
        owner = _Memory()
        release = weakref.finalize(owner, self._driver.cuMemFreeAsync, pointer, stream)
        release.atexit = False  # the driver goes down by itself
        return pointer, owner

    def _keep_freed_memory(self, device: int) -> None:
        """Let the driver keep what was freed for the next allocation, instead of giving it back."""
        if device not in self._ready:
            threshold = self._driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
            pool = self._call("cuDeviceGetDefaultMemPool", device)
            all_of_it = self._driver.cuuint64_t(2**63)
            self._call("cuMemPoolSetAttribute", pool, threshold, all_of_it)
            self._ready.add(device)

    def repeat(self, pointer: int, bits: int, width: int, count: int, stream: int) -> None:
        """Store the same `width` bytes, 1 or 4, `count` times."""
        self._device()
        name = {1: "cuMemsetD8Async", 4: "cuMemsetD32Async"}[width]
        self._call(name, pointer, bits, count, stream)

    def upload(self, pointer: int, host: np.ndarray, stream: int) -> None:
        self._device()
        self._call("cuMemcpyHtoDAsync", pointer, host.ctypes.data, host.nbytes, stream)

    def download(self, host: np.ndarray, pointer: int, stream: int) -> None:
        self._device()
        self._call("cuMemcpyDtoHAsync", host.ctypes.data, pointer, host.nbytes, stream)
        self._call("cuStreamSynchronize", stream)

    def wait(self, stream: int, other: int) -> None:
        """Let what comes to a stream wait for what has come to another one."""
        event = self._call("cuEventCreate", 2)  # without a time
        self._call("cuEventRecord", event, other)
        self._call("cuStreamWaitEvent", stream, event, 0)
        self._call("cuEventDestroy", event)  # once it has come

    def synchronize(self) -> None:
        self._device()
        self._call("cuCtxSynchronize")


class _Memory:
    """Owns a piece of device memory."""


# What the functions below ask; the emulator of the tests takes its place.
device: Any = Gpu()


def available() -> bool:
    """Return whether kernels can be launched: numba-cuda, a driver and a GPU are there."""
    return not device.why_not()


def require() -> None:
    """Raise a RuntimeError that names the cure where kernels cannot be launched."""
    reason = device.why_not()
    if reason:
        raise RuntimeError(f"CUDA is not available: {reason}")


def view(array: Any, stream: int | None = None) -> DeviceArray:
    """Return a view of any object with ``__cuda_array_interface__``; no byte is copied.

    `stream` is the handle of the stream to work in; by default the one that the object names.
    Raises TypeError where the object has no such interface or its dtype is not of this machine's
    byte order, ValueError where it is not C-contiguous.
    """
    if isinstance(array, DeviceArray):
        if stream is None:
            return array
        return DeviceArray(array.shape, array.dtype, array.pointer, stream, array)
    described = getattr(array, "__cuda_array_interface__", None)
    if described is None:
        raise TypeError(f"array: expected a device array, got {type(array).__name__}")
    shape, dtype = described["shape"], np.dtype(described["typestr"])
    if not dtype.isnative or described.get("mask") is not None:
        raise TypeError("array: expected plain numbers in this machine's byte order")
    strides = described.get("strides")
    if strides is not None and not _contiguous(shape, strides, dtype.itemsize):
        raise ValueError(f"array: expected a C-contiguous one, got strides {tuple(strides)}")
    named = described.get("stream") if stream is None else stream
    return DeviceArray(shape, dtype, described["data"][0] or 0, named, array)


def _contiguous(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    if 0 in shape:
        return True
    expected = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


def empty(shape: int | Sequence[int], dtype: Any, stream: int | None = None) -> DeviceArray:
    """Return new device memory, its numbers not set."""
    lengths = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    made = DeviceArray(lengths, dtype, 0, stream)
    if made.nbytes:
        made.pointer, made.owner = device.allocate(made.nbytes, stream or 0)
    return made


def copy_to_device(host: Any, stream: int | None = None) -> DeviceArray:
    """Return a copy of a NumPy array on the device."""
    array = np.ascontiguousarray(host).reshape(np.shape(host))
    made = empty(array.shape, array.dtype, stream)
    if made.nbytes:
        device.upload(made.pointer, array, stream or 0)
    return made


def copy_to_host(array: Any) -> np.ndarray:
    """Return a copy of a device array in NumPy, after waiting for its stream."""
    source = view(array)
    host = np.empty(source.shape, source.dtype)
    if host.nbytes:
        device.download(host, source.pointer, source.stream or 0)
    return host


@device_kernel("int32*, int32, int32, int64")
def _fill_words(words: Any, low: int, high: int, count: int) -> None:
    """Store two words in turn."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < count:
        words[i] = high if i % 2 else low


def fill(array: DeviceArray, value: Any) -> None:
    """Set all elements to a number."""
    if array.size == 0:
        return
    pattern = np.array([value], array.dtype).view(np.uint8)
    stream = array.stream or 0
    if (pattern == pattern[0]).all():
        device.repeat(array.pointer, int(pattern[0]), 1, array.nbytes, stream)
    elif pattern.size == 4:
        device.repeat(array.pointer, int(pattern.view(np.uint32)[0]), 4, array.size, stream)
    else:
        low, high = (int(word) for word in pattern.view(np.int32))
        words = array.typed(np.int32)
        launch(_fill_words, -(-words.size // 256), 256, words, low, high, words.size)


def launch(
    kernel: DeviceKernel, grid: Any, block: Any, *arguments: Any,
    stream: int | None = None, shared: int = 0, cooperative: bool = False,
) -> None:  # fmt: skip
    """Launch a kernel; return at once, without waiting for it.

    Parameters
    ----------
    kernel : DeviceKernel
    grid, block : int or tuple of up to 3 int
        Number of blocks, and of threads in each; an empty grid launches nothing.
    *arguments
        What its signature says: device arrays (or None), int, float.
    stream : int, optional
        Handle of the stream; by default that of the first array that has one.
    shared : int
        Bytes of dynamic shared memory, ``cuda.shared.array(0, ...)`` in the kernel.
    cooperative : bool
        All blocks must run at the same time: they wait for each other. See `fits_together`.

    Raises RuntimeError where CUDA is not available or the driver refuses, TypeError where an
    array is not of the type that the signature says.
    """
    blocks, threads = _three(grid), _three(block)
    if 0 in blocks:
        return
    if len(arguments) != len(kernel.signature):
        raise TypeError(f"arguments: {kernel!r} got {len(arguments)}")
    for name, value in zip(kernel.signature, arguments, strict=True):
        if isinstance(value, DeviceArray):
            if name != f"{value.dtype.name}*":  # an array where a number is expected, too
                raise TypeError(f"arguments: expected {name} for {kernel!r}, got {value!r}")
            if stream is None:
                stream = value.stream
    device.launch(kernel, blocks, threads, arguments, stream or 0, shared, cooperative)


def _three(lengths: Any) -> tuple[int, int, int]:
    parts = (lengths,) if isinstance(lengths, int | np.integer) else tuple(lengths)
    return (*(int(part) for part in parts), 1, 1, 1)[:3]  # type: ignore[return-value]


def wait_for(stream: int | None, other: int | None) -> None:
    """Let what is queued on a stream from now on wait for what has been queued on another one."""
    if (stream or 0) != (other or 0):
        device.wait(stream or 0, other or 0)


def synchronize() -> None:
    """Wait until everything that was queued is done."""
    device.synchronize()


def copy_into(array: DeviceArray, host: np.ndarray) -> None:
    """Copy a NumPy array into a device array of its shape and dtype."""
    if array.shape != host.shape or array.dtype != host.dtype:
        raise ValueError(f"host: expected {array!r}, got {host.dtype} of shape {host.shape}")
    if host.nbytes:
        device.upload(array.pointer, np.ascontiguousarray(host), array.stream or 0)


def multiprocessors() -> int:
    """Return how many multiprocessors the GPU has."""
    return int(device.multiprocessors())


def fits_together(kernel: DeviceKernel, blocks: int, block: int, shared: int = 0) -> bool:
    """Return whether so many blocks of so many threads run at the same time."""
    return bool(device.fits_together(kernel, blocks, block, shared))


def capability() -> tuple[int, int]:
    """Return the GPU's compute capability, as (9, 0)."""
    major, minor = device.capability()
    return int(major), int(minor)
