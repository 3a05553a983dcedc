"""What `fastrnn.cuda.launching` asks of the driver, and what it refuses; the driver is a fake."""

import ctypes
import enum
import gc
from typing import ClassVar

import numpy as np
import pytest

from fastrnn.cuda import intrinsics, launching
from fastrnn.cuda.launching import DeviceArray, device_kernel, empty, fill, launch, view


class Result(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_CONTEXT = 201


class FakeDriver:
    """Writes down every call; has one GPU of 132 multiprocessors."""

    answers: ClassVar = {
        "cuDeviceGetCount": (1,), "cuDeviceGet": (0,), "cuDevicePrimaryCtxRetain": ("context",),
        "cuModuleLoadData": ("module",), "cuModuleGetFunction": ("function",),
        "cuFuncGetAttribute": (1024,), "cuOccupancyMaxActiveBlocksPerMultiprocessor": (2,),
        "cuMemAllocAsync": (4096,), "cuDeviceGetDefaultMemPool": ("pool",),
    }  # fmt: skip

    def __init__(self, gpus=1):
        self.calls, self.context, self.gpus = [], None, gpus

    def __getattr__(self, name):
        if name in ("CUdevice_attribute", "CUfunction_attribute", "CUmemPool_attribute"):
            return Names()
        if name == "cuuint64_t":
            return int

        def call(*arguments):
            self.calls.append((name, *arguments))
            if name == "cuCtxGetDevice":
                return (Result(0 if self.context else 201), 0)
            if name == "cuCtxSetCurrent":
                self.context = arguments[0]
            if name == "cuDeviceGetCount":
                return (Result(0), self.gpus)
            if name == "cuDeviceGetAttribute":
                kinds = {"MAJOR": 9, "MINOR": 0, "COUNT": 132, "OPTIN": 232448}
                return (Result(0), kinds[arguments[0].rsplit("_", 1)[1]])
            return (Result(0), *self.answers.get(name, ()))

        return call

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


class Names:
    def __getattr__(self, name):
        return name


@pytest.fixture
def driver(monkeypatch):
    fake, gpu = FakeDriver(), launching.Gpu()
    gpu._driver = fake  # in place of the cached property
    monkeypatch.setattr(launching, "device", gpu)
    monkeypatch.setattr(intrinsics, "missing", "")
    monkeypatch.setattr(launching, "compile_ptx", lambda kernel, capability: PTX)
    monkeypatch.setattr(launching, "link", lambda ptx, capability: (b"cubin", ""))
    return fake


PTX = ".visible .entry _Z5scale(\n"


@device_kernel("float32*, int64*, int32, float32")
def scale(a, rows, n, factor):
    raise AssertionError("runs on a GPU only")


def array(shape=(4,), dtype=np.float32, stream=7, pointer=64):
    return DeviceArray(shape, dtype, pointer, stream)


def test_a_launch(driver):
    for _ in range(2):
        launch(scale, (3, 2), 128, array(), None, 5, 0.5, shared=100)
    assert driver.named("cuCtxSetCurrent") == [("context",)]
    assert driver.named("cuModuleGetFunction") == [("module", b"_Z5scale")]  # compiled once
    packed = (64, 0, 5, 0.5), (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_float)
    expected = ("function", 3, 2, 1, 128, 1, 1, 100, 7, packed, 0)
    assert driver.named("cuLaunchKernel") == [expected] * 2
    shared = "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"
    assert driver.named("cuFuncSetAttribute") == [("function", shared, 232448 - 1024)]


def test_a_cooperative_launch_on_a_stream(driver):
    launch(scale, 264, 256, array(), None, 5, 0.5, stream=9, cooperative=True)
    ((function, *numbers, packed),) = driver.named("cuLaunchCooperativeKernel")
    assert function == "function" and numbers == [264, 1, 1, 256, 1, 1, 0, 9]
    assert launching.fits_together(scale, 264, 256) and not launching.fits_together(scale, 265, 256)


def test_an_empty_grid_launches_nothing(driver):
    launch(scale, (0, 4), 128, array(), None, 5, 0.5)
    assert driver.calls == []


def test_memory_is_freed_in_the_order_of_its_stream(driver):
    made = empty((2, 3), np.float64, stream=5)
    assert driver.named("cuMemAllocAsync") == [(48, 5)]
    assert made.pointer == 4096 and driver.named("cuMemFreeAsync") == []
    part = made.reshape((3, 2)).rows(1, 2)
    del made
    gc.collect()
    assert part.pointer == 4096 + 16 and driver.named("cuMemFreeAsync") == []
    del part
    gc.collect()
    assert driver.named("cuMemFreeAsync") == [(4096, 5)]
    assert len(driver.named("cuMemPoolSetAttribute")) == 1
    assert empty((0, 3), np.float32).pointer == 0


def test_fill(driver):
    fill(array(), 0)
    fill(array().typed(np.int32), -1)
    assert driver.named("cuMemsetD8Async") == [(64, 0, 16, 7), (64, 255, 16, 7)]
    fill(array(), 1.0)
    assert driver.named("cuMemsetD32Async") == [(64, 0x3F800000, 4, 7)]
    fill(array(dtype=np.float64), 1.0)
    ((*_, packed, _),) = driver.named("cuLaunchKernel")
    assert packed[0] == (64, 0, 0x3FF00000, 8)


def test_copies(driver):
    host = np.arange(6.0).reshape(2, 3)
    made = launching.copy_to_device(host, stream=3)
    ((pointer, source, nbytes, stream),) = driver.named("cuMemcpyHtoDAsync")
    assert (pointer, nbytes, stream) == (4096, 48, 3) and source
    assert launching.copy_to_host(made).shape == (2, 3)
    assert driver.named("cuStreamSynchronize") == [(3,)]


def test_what_the_driver_refuses(driver, monkeypatch):
    monkeypatch.setattr(
        driver, "cuLaunchKernel", lambda *_: (Result.CUDA_ERROR_INVALID_CONTEXT,), raising=False
    )
    with pytest.raises(RuntimeError, match="cuLaunchKernel failed with CUDA_ERROR_INVALID_CONTEXT"):
        launch(scale, 1, 1, array(), None, 5, 0.5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((array(), None, 5), "got 3"),
        ((array(dtype=np.float64), None, 5, 0.5), r"expected float32\*"),
        ((array(), array(dtype=np.int32), 5, 0.5), r"expected int64\*"),
        ((array(), None, array(), 0.5), "expected int32 "),
    ],
)
def test_arguments_that_do_not_fit_the_signature(driver, arguments, message):
    with pytest.raises(TypeError, match=message):
        launch(scale, 1, 1, *arguments)


def test_a_signature_with_an_unknown_type():
    with pytest.raises(ValueError, match="'float16"):
        device_kernel("float16*")(scale.function)


class Foreign:
    def __init__(self, **described):
        self.__cuda_array_interface__ = {
            "shape": (2, 3), "typestr": "<f4", "data": (128, False), "version": 3, **described,
        }  # fmt: skip


def test_a_view_of_another_librarys_array():
    owner = Foreign(strides=(12, 4), stream=2)
    seen = view(owner)
    assert (seen.shape, seen.dtype, seen.pointer, seen.stream) == ((2, 3), np.float32, 128, 2)
    assert seen.owner is owner and view(owner, 5).stream == 5 and view(seen) is seen
    assert seen.__cuda_array_interface__["data"] == (128, False)
    assert view(Foreign(shape=(1, 3), strides=(99, 4))).size == 3
    assert view(Foreign(shape=(0, 3), data=(None, False), strides=(1, 1))).pointer == 0


@pytest.mark.parametrize(
    "owner, error",
    [
        (np.zeros(3), TypeError),
        (Foreign(typestr=">f4"), TypeError),
        (Foreign(mask=np.ones(6)), TypeError),
        (Foreign(strides=(4, 8)), ValueError),
    ],
)
def test_arrays_that_cannot_be_viewed(owner, error):
    with pytest.raises(error, match="^array: "):
        view(owner)


def test_shapes():
    a = array((4, 6), stream=None)
    assert a.reshape((-1, 8)).shape == (3, 8) and a.ndim == 2 and a.nbytes == 96
    assert a.rows(1, 3).pointer == 64 + 24 and a.typed(np.int64).shape == (12,)
    assert array((0, 6)).reshape((0, -1)).shape == (0, 0)
    with pytest.raises(ValueError, match="^shape: expected 24 elements"):
        a.reshape((5, 5))
    with pytest.raises(ValueError, match="^rows: "):
        a.rows(3, 5)


def test_without_a_gpu_or_the_package_one_sentence_says_what_to_do(driver, monkeypatch):
    assert launching.available()
    driver.gpus = 0
    with pytest.raises(RuntimeError, match="no NVIDIA GPU was found: keep the arrays on the CPU"):
        launching.require()

    def absent(*_):
        raise OSError("libcuda.so.1: no such file\nand more")

    monkeypatch.setattr(driver, "cuInit", absent, raising=False)
    with pytest.raises(RuntimeError, match=r"install an NVIDIA driver, or .* \(libcuda.so.1") as no:
        launching.require()
    assert "\n" not in str(no.value) and not launching.available()
    monkeypatch.setattr(intrinsics, "missing", "numba-cuda is not installed")
    with pytest.raises(RuntimeError, match=r"not installed: pip install 'fastrnn\[cuda\]'"):
        launching.require()
