"""Arrays on a GPU as arguments: whose they are, on which stream, and what is refused."""

import copy
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from emulator import emulated_device
from fake_arrays import FakeArray, on_device, on_host

import fastrnn
import tdnn
from fastrnn import libraries
from fastrnn.cuda import launching
from fastrnn.cuda.launching import DeviceArray, copy_to_device, view
from fastrnn.devices import DeviceArguments, arguments, device_of, on_gpu

RNG = np.random.default_rng(0)
T, B, p, m, q = 3, 2, 4, 5, 3
HOST = {
    "x": RNG.standard_normal((T, B, p)), "U": RNG.standard_normal((m, p)),
    "W": RNG.standard_normal((m, m)), "b": RNG.standard_normal(m),
}  # fmt: skip


@pytest.fixture
def device():
    with emulated_device("asc", multiprocessors=0) as device:
        yield device


class OnlyDLPack:
    """An array on a GPU that has no other interface."""

    def __dlpack_device__(self):
        return (2, 0)


class Refuses:
    """As a tensor of PyTorch that requires a gradient."""

    @property
    def __cuda_array_interface__(self):
        raise RuntimeError("use var.detach()")


def test_where_an_array_lives():
    assert on_gpu(FakeArray(np.zeros(2))) and on_gpu(OnlyDLPack()) and on_gpu(Refuses())
    for value in (np.zeros(2), np.float64(3), [1.0], 2, None, "x", memoryview(b"ab")):
        assert not on_gpu(value)


def test_one_sentence_where_there_is_no_gpu(monkeypatch):
    stand_in = SimpleNamespace(why_not=lambda: "no NVIDIA GPU was found")
    monkeypatch.setattr(launching, "device", stand_in)
    with pytest.raises(RuntimeError, match=r"^CUDA is not available: no NVIDIA GPU was found$"):
        fastrnn.elman_forward(*on_device(tuple(HOST.values())))
    with pytest.raises(RuntimeError, match=r"^CUDA is not available: "):
        fastrnn.Elman(3, 4).to("cuda")


@pytest.mark.parametrize("name", ["U", "W", "b"])
def test_host_and_device_arguments_do_not_mix(device, name):
    there = on_device(HOST)
    with pytest.raises(TypeError, match=f"^{name}: expected an array on a GPU, got one in CPU mem"):
        fastrnn.elman_forward(**{**there, name: HOST[name]})
    with pytest.raises(TypeError, match=f"^{name}: expected an array in CPU memory, got one on a"):
        fastrnn.elman_forward(**{**HOST, name: there[name]})
    with pytest.raises(TypeError, match="^h0: expected an array on a GPU, got list$"):
        fastrnn.elman_forward(**there, h0=[[0.0] * m] * B)


def test_lengths_live_where_the_frames_do(device):
    there = on_device(HOST)
    with pytest.raises(TypeError, match="^lengths: expected an array on a GPU, got list"):
        fastrnn.elman_forward(**there, lengths=[3, 2])
    with pytest.raises(TypeError, match="^lengths: expected int64 on a GPU, got int32"):
        fastrnn.elman_forward(**there, lengths=FakeArray(np.array([3, 2], np.int32)))


BAD = [
    ({"x": HOST["x"].astype(np.float32)}, TypeError, "^x, U: expected one dtype, got float32 and"),
    ({"x": HOST["x"].astype(np.complex128)}, TypeError, "^x: expected float32 or float64 of shape"),
    ({"U": HOST["U"][:, :2].copy()}, ValueError, "^x, U: expected U of shape .m, p. with p = 4"),
    ({"U": HOST["U"].astype(np.int64)}, TypeError, "^U: expected float32 or float64, got int64"),
    ({"b": HOST["b"][None]}, ValueError, "^b: expected an array of shape .m,., got shape .1, 5."),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_the_messages_are_those_of_the_cpu(device, change, error, message):
    with pytest.raises(error, match=message):
        fastrnn.elman_forward(**on_device({**HOST, **change}))


def test_what_only_the_cpu_does_is_refused(device):
    there = on_device(HOST)
    with pytest.raises(ValueError, match="^threads: expected None with arrays on a GPU, got int$"):
        fastrnn.elman_forward(**there, threads=2)
    with pytest.raises(ValueError, match="^h_reset: expected None with arrays on a GPU"):
        fastrnn.elman_forward(**there, h_reset=FakeArray(np.zeros((B, m))))
    with pytest.raises(ValueError, match="^activation: expected one of"):
        fastrnn.elman_forward(**there, activation="gelu")


def test_unordered_arrays_of_an_unknown_library_are_refused(device):
    x = FakeArray(HOST["x"], order="F")
    with pytest.raises(
        TypeError, match="^x: expected an array on a GPU, got a FakeArray: expected"
    ):
        fastrnn.elman_forward(**{**on_device(HOST), "x": x})


def test_a_tensor_that_requires_a_gradient_is_named(device):
    with pytest.raises(TypeError, match=r"^x: .* got a Refuses: use var.detach\(\)$"):
        fastrnn.elman_forward(**{**on_device(HOST), "x": Refuses()})


def test_dlpack_goes_through_a_library(device, monkeypatch):
    for name in ("cupy", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(TypeError, match="^x: .* has only DLPack: import cupy or torch"):
        DeviceArguments("x", OnlyDLPack())
    through = FakeArray(np.arange(3.0))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(from_dlpack=lambda array: through))
    args = DeviceArguments("x", OnlyDLPack())
    assert args.floats("x", OnlyDLPack(), "n").pointer == through.memory.ctypes.data


def test_arrays_are_taken_as_they_lie(device):
    x = FakeArray(HOST["x"])
    args = DeviceArguments("x", x)
    seen = args.floats("x", x, "T B p")
    assert seen.pointer == x.memory.ctypes.data and seen.shape == (T, B, p)
    assert args.shape("B T") == (B, T)


def test_the_caller_s_stream(device, monkeypatch):
    waits = []
    monkeypatch.setattr(
        type(device), "wait", lambda self, stream, other: waits.append((stream, other))
    )
    x, U, h0 = FakeArray(HOST["x"], 77), FakeArray(HOST["U"], 77), FakeArray(np.zeros((B, m)), 5)
    args = DeviceArguments("x", x)
    assert args.inputs("x", x).stream == args.floats("U", U, "m p").stream == 77
    assert waits == []
    assert args.floats("h0", h0, "B m").stream == 77
    assert args.empty("B m").stream == 77
    assert waits == [(77, 5)]
    for default in (None, 1):  # both name the default stream
        assert DeviceArguments("x", FakeArray(HOST["x"], default)).stream == 0


def test_parameters_follow_the_stream_that_writes_them(device):
    layer = fastrnn.Elman(p, m, dtype=np.float64, rng=0).to("cuda")
    gradients = {name: np.ones(w.shape) for name, w in layer.parameters().items()}
    before = on_host(layer.b)
    fastrnn.SGD(0.5).step(layer.parameters(), on_device(gradients, stream=8))
    assert {array.stream for array in layer.parameters().values()} == {8}
    np.testing.assert_array_equal(on_host(layer.b), before - 0.5)
    mixed = on_device({name: gradients[name] for name in ("W", "b")}) | {"U": gradients["U"]}
    with pytest.raises(TypeError, match=r"^gradients\['U'\]: expected an array on a GPU, got one"):
        fastrnn.SGD(0.5).step(layer.parameters(), mixed)
    with pytest.raises(TypeError, match=r"^parameters\['w'\]: expected an array on a GPU, got one"):
        fastrnn.SGD(0.5).step({"w": np.zeros(2)}, {"w": FakeArray(np.zeros(2))})


def test_clipping(device):
    gradients = {"U": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    there = on_device(gradients)
    assert fastrnn.clip_by_norm(there, 1.0) == pytest.approx(5.0)
    np.testing.assert_allclose(there["U"].memory, [0.6, 0.0])
    assert fastrnn.clip_by_norm(there, 2.0) == pytest.approx(1.0)
    np.testing.assert_allclose(there["b"].memory, [[0.8]])


def test_results_work_on_the_caller_s_stream(device):
    there = on_device(HOST, stream=9)
    state = fastrnn.elman_forward(**there)
    assert isinstance(state.h, DeviceArray) and state.h.stream == state.h_last.stream == 9
    want = fastrnn.elman_forward(**HOST)
    np.testing.assert_allclose(on_host(state.h), want.h, rtol=1e-12)


class Tensor(FakeArray):
    """Stands for an array of a library that can convert."""


class TensorLibrary(libraries.Library):
    converts = True

    def empty(self, like, shape, dtype, stream):
        assert isinstance(like, Tensor)
        return Tensor(np.zeros(shape, dtype))

    def wrap(self, array):
        return Tensor(launching.copy_to_host(array))

    def contiguous(self, array):
        return Tensor(np.ascontiguousarray(array.memory))

    def converted(self, array, dtype):
        return Tensor(array.memory.astype(dtype))


@pytest.fixture
def tensors(monkeypatch):
    monkeypatch.setitem(libraries._KNOWN, __name__.partition(".")[0], TensorLibrary())
    libraries._library_of_type.cache_clear()
    yield {name: Tensor(array) for name, array in HOST.items()}
    libraries._library_of_type.cache_clear()


def test_results_are_of_the_library_of_the_input(device, tensors):
    state = fastrnn.elman_forward(**tensors)
    assert type(state.h) is type(state.h_last) is Tensor
    np.testing.assert_allclose(state.h.memory, fastrnn.elman_forward(**HOST).h, rtol=1e-12)
    loss = fastrnn.squared_error(state.h, Tensor(np.zeros((T, B, m))), reduction="mean")
    assert type(loss.value) is type(loss.do) is Tensor
    want = fastrnn.squared_error(state.h.memory, np.zeros((T, B, m)), reduction="mean")
    np.testing.assert_allclose(loss.value.memory, [want.value], rtol=1e-12)


def test_a_library_converts_what_others_may_not(device, tensors):
    args = DeviceArguments("x", tensors["x"])
    unordered = Tensor(HOST["x"], order="F")
    np.testing.assert_array_equal(on_host(args.floats("x", unordered, "T B p")), HOST["x"])
    lengths = Tensor(np.array([3, 1], np.int32))
    np.testing.assert_array_equal(on_host(args.lengths(lengths)), [3, 1])
    weights = args.weights("weights", Tensor(np.ones((T, B), np.float32)), "T B")
    assert weights.dtype == np.float64
    with pytest.raises(TypeError, match="^lengths: expected int64 on a GPU, got float64"):
        args.lengths(Tensor(np.ones(B)))


def test_known_libraries_by_the_type_s_home():
    for name in ("cupy", "torch", "numba"):
        kind = type("Array", (), {"__module__": f"{name}.somewhere"})
        assert libraries.library_of(type("Mine", (kind,), {})()).name == name
    assert libraries.library_of(3).name == "another library"


def test_a_layer_s_arrays_live_where_it_does(device):
    layer = fastrnn.Elman(p, m, dtype=np.float64, rng=0)
    there = layer.to("cuda")
    assert (device_of(layer), device_of(there)) == ("cpu", "cuda")
    with pytest.raises(TypeError, match="^x: expected an array in CPU memory, got one on a GPU"):
        layer.forward(FakeArray(HOST["x"]))
    with pytest.raises(TypeError, match="^x: expected an array on a GPU, got one in CPU memory"):
        there.forward(HOST["x"])
    assert type(arguments("x", HOST["x"], layer.U)) is fastrnn.arrays.Arguments


@pytest.mark.parametrize(
    "layer",
    [
        fastrnn.Elman(p, m, rng=0),
        fastrnn.Jordan(p, m, q, teacher_forcing=0.5, rng=0),
        tdnn.TDNN(p, [(m, (-1, 0)), (q, (0, 2))], rng=0),
        fastrnn.Stack([fastrnn.Elman(p, m, rng=0), fastrnn.Elman(m, q, rng=0)]),
    ],
    ids=lambda layer: layer.kind,
)
def test_layers_move_there_and_back(device, layer):
    there = layer.to("cuda")
    assert all(isinstance(array, DeviceArray) for array in there.parameters().values())
    back = there.to("cpu")
    assert back.config() == there.config() == layer.config()
    for name, array in layer.parameters().items():
        assert back.parameters()[name] is not array
        np.testing.assert_array_equal(back.parameters()[name], array)
    with pytest.raises(TypeError, match="^stream: expected parameters and arrays in CPU memory"):
        there.stream()
    with pytest.raises(ValueError, match="^device: expected one of"):
        layer.to("tpu")


def test_a_copy_is_on_the_gpu_and_a_pickle_is_refused(device):
    model = fastrnn.SequenceModel(fastrnn.Elman(p, m, rng=0), q, rng=0).to("cuda")
    again = copy.deepcopy(model)
    assert again.device == "cuda" and again.V.pointer != model.V.pointer
    np.testing.assert_array_equal(on_host(again.V), on_host(model.V))
    with pytest.raises(TypeError, match=r"memory of a GPU cannot be pickled: .*to\(\"cpu\"\)"):
        pickle.dumps(model)


def test_numpy_takes_no_device_array_by_accident(device):
    array = copy_to_device(np.arange(3.0))
    for convert in (np.asarray, np.sum, list):
        with pytest.raises(TypeError, match="on a GPU|not iterable"):
            convert(array)
    np.testing.assert_array_equal(array.copy_to_host(), np.arange(3.0))
    assert view(array) is array
