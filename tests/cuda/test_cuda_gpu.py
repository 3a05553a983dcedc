"""On a real GPU: the same models as in `test_cuda_models`, in arrays of each library."""

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, error
from test_cuda_models import CASES, check_model, elman, make_batch, make_model, name_of

import fastrnn
from fastrnn.cuda import launching
from fastrnn.devices import on_host

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not launching.available(), reason=launching.device.why_not()),
]


def place_numba(array):
    from numba import cuda

    return cuda.to_device(array)


def place_torch(array):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    return torch.as_tensor(array).cuda()


def place_cupy(array):
    return pytest.importorskip("cupy").asarray(array)


PLACES = [place_numba, place_torch, place_cupy]


def placed(place):
    return lambda array: None if array is None else place(array)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_loss_gradients_and_predictions(case, place):
    check_model(case, placed(place))


# T, B, p, m: one sequence, padded units, several blocks, more units than the registers hold.
SHAPES = [(64, 1, 9, 64), (50, 33, 40, 200), (40, 8, 64, 1024), (12, 5, 16, 2304)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("T", "B", "p", "m"), SHAPES)
def test_elman_against_the_cpu(T, B, p, m, dtype, place):
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.standard_normal((T, B, p)), "U": rng.standard_normal((m, p)) / np.sqrt(p),
        "W": 0.8 * rng.standard_normal((m, m)) / np.sqrt(m), "b": rng.standard_normal(m),
    }  # fmt: skip
    lengths, dh = rng.integers(0, T + 1, B), rng.standard_normal((T, B, m)).astype(dtype)
    host = {name: array.astype(dtype) for name, array in arrays.items()}
    there = {name: place(array) for name, array in host.items()}
    want = fastrnn.elman_forward(**host, lengths=lengths)
    got = fastrnn.elman_forward(**there, lengths=place(lengths))
    assert type(got.h) is type(there["x"])
    assert error(on_host(got.h), want.h) <= TOLERANCE[np.dtype(dtype)]
    rest = {name: host[name] for name in ("U", "W")}
    grads = fastrnn.elman_backward(dh, host["x"], want.h, **rest, lengths=lengths)
    rest = {name: there[name] for name in ("U", "W")}
    found = fastrnn.elman_backward(place(dh), there["x"], got.h, **rest, lengths=place(lengths))
    assert_close(
        {name: on_host(array) for name, array in found._asdict().items()}, grads._asdict(),
        TOLERANCE[np.dtype(dtype)],
    )  # fmt: skip


def test_the_same_bits_every_time():
    model = make_model(elman, "softmax", "each", np.float32).to("cuda")
    x, targets, lengths, _ = make_batch("softmax", "each", False, False, np.float32)
    there = [place_numba(array) for array in (x, targets, lengths)]
    runs = [model.loss_and_grad(there[0], there[1], lengths=there[2]) for _ in range(20)]
    for value, gradients in runs[1:]:
        assert value == runs[0][0]
        for name, array in gradients.items():
            assert on_host(array).tobytes() == on_host(runs[0][1][name]).tobytes()


def test_a_few_steps_of_fit():
    x, targets, lengths, _ = make_batch("softmax", "each", False, False, np.float64)
    here = make_model(elman, "softmax", "each", np.float64)
    there = here.to("cuda")
    for model in (here, there):
        batch, optimizer = (x, targets, lengths), fastrnn.Adam(0.05)
        fastrnn.fit(model, batch, optimizer=optimizer, epochs=5, clip_norm=0.5, progress=False)
    assert_close(there.to("cpu").parameters(), here.parameters(), 1e-9)


def test_the_work_is_queued_on_the_stream_of_torch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    layer = fastrnn.Elman(4, 32, rng=0)
    there, stream = layer.to("cuda"), torch.cuda.Stream()
    with torch.cuda.stream(stream):
        x = torch.randn(50, 3, 4, device="cuda") * 2
        h = there.forward(x).h + 0
    stream.synchronize()
    assert error(h.cpu().numpy(), layer.forward(x.cpu().numpy()).h) <= 1e-5
