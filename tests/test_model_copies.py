"""Models that must be equal bit for bit: saved, pickled, copied, converted, drawn again."""

import copy
import pickle

import numpy as np
import pytest
from helpers import assert_same_bits, error

import fastrnn
import tdnn

KINDS = ["elman", "tdnn", "jordan"]


def models():
    rng = np.random.default_rng(130)
    elman = fastrnn.SequenceModel(fastrnn.Elman(4, 7, activation="relu", rng=0), 5, rng=1)
    layers = [(6, (-1, 0, 2)), (5, (-2, 1), 2)]
    body = tdnn.TDNN(4, layers, padding="valid", dtype=np.float64, rng=0)
    network = fastrnn.SequenceModel(body, 3, loss="sigmoid", readout="mean", rng=1)
    settings = {"feedback": "sample", "teacher_forcing": 0.5}
    jordan = fastrnn.SequenceModel(fastrnn.Jordan(4, 7, 5, rng=0, **settings))
    jordan.body.restore_sampling(fastrnn.Jordan(4, 7, 5, rng=9, **settings).sampling())
    for model in (elman, network, jordan):
        for array in model.parameters().values():
            array[...] = rng.standard_normal(array.shape)
        model.parameters()["c"][0] = -0.0
    return [elman, network, jordan]


def assert_same_model(got, want):
    assert got.config() == want.config() and repr(got) == repr(want)
    assert got.sampling() == want.sampling()
    assert_same_bits(got.parameters(), want.parameters())
    x = np.random.default_rng(131).standard_normal((9, 2, 4)).astype(want.dtype)
    sampling = want.sampling()  # predicting draws
    assert got.predict(x).tobytes() == want.predict(x).tobytes()
    assert got.sampling() == want.sampling()
    for name, array in got.parameters().items():
        assert not np.shares_memory(array, want.parameters()[name])
        array += 1  # still the live arrays, not copies
    assert got.predict(x).tobytes() != want.predict(x).tobytes()
    want.restore_sampling(sampling)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("model", models(), ids=KINDS)
def test_file_gives_the_same_bits(tmp_path, model, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"model{suffix}"
    model.save(path)
    assert_same_model(fastrnn.load(path), model)
    renamed = path.rename(tmp_path / "model.bin")  # the content tells the format
    assert_same_model(fastrnn.load(str(renamed)), model)


@pytest.mark.parametrize("model", models(), ids=KINDS)
def test_copies_give_the_same_bits(model):
    assert_same_model(copy.deepcopy(model), model)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert_same_model(pickle.loads(pickle.dumps(model, protocol)), model)
    assert_same_model(model.astype(model.dtype), model)


@pytest.mark.parametrize("model", models(), ids=KINDS)
def test_other_dtype(model):
    other = np.float64 if model.dtype == np.float32 else np.float32
    got = model.astype(other)
    assert got.dtype == other and got.body.dtype == other
    for name, array in got.parameters().items():
        np.testing.assert_array_equal(array, model.parameters()[name].astype(other), strict=True)
    x = np.random.default_rng(132).standard_normal((9, 2, 4))
    assert error(got.predict(x.astype(other)), model.predict(x.astype(model.dtype))) <= 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_from_torch_with_plain_arrays(dtype):
    rng = np.random.default_rng(133)
    shapes = {"weight_ih": (7, 4), "weight_hh": (7, 7), "bias_ih": (7,), "bias_hh": (7,)}
    weights = {
        f"{name}_l{layer}": rng.standard_normal(shape).astype(dtype)
        for layer in range(2) for name, shape in shapes.items()
    }  # fmt: skip
    for layer in range(2):
        body = fastrnn.Elman.from_torch(weights, layer, activation="relu")
        assert body.activation == "relu" and body.dtype == dtype
        bias = weights[f"bias_ih_l{layer}"] + weights[f"bias_hh_l{layer}"]
        want = {"U": weights[f"weight_ih_l{layer}"], "W": weights[f"weight_hh_l{layer}"], "b": bias}
        assert_same_bits(body.parameters(), want)
        assert not np.shares_memory(body.U, want["U"])
    without = {name: array for name, array in weights.items() if "bias" not in name}
    assert not fastrnn.Elman.from_torch(without).b.any()


@pytest.mark.parametrize(
    "change",
    [
        {"weight_hh_l0": None},
        {"weight_ih_l0_reverse": np.zeros((7, 4))},
        {"weight_hh_l0": np.zeros((21, 7))},
        {"weight_ih_l0": np.zeros((6, 4))},
    ],
    ids=["missing", "bidirectional", "GRU", "disagree"],
)
def test_from_torch_refuses_other_networks(change):
    weights = {"weight_ih_l0": np.zeros((7, 4)), "weight_hh_l0": np.zeros((7, 7))} | change
    weights = {name: array for name, array in weights.items() if array is not None}
    with pytest.raises(ValueError, match="^state_dict|weight_hh_l0, weight_ih_l0"):
        fastrnn.Elman.from_torch(weights)


def test_initial_values_are_drawn_from_rng_alone():
    np.random.seed(5)  # noqa: NPY002
    a, b = (fastrnn.SequenceModel(fastrnn.Elman(40, 60, rng=3), 9, rng=4) for _ in range(2))
    assert_same_bits(a.parameters(), b.parameters())
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert drawn == np.random.random()  # noqa: NPY002
    assert error(a.body.W @ a.body.W.T, np.eye(60)) <= 1e-5  # orthogonal
    for array, fans in ((a.body.U, 100), (a.V, 69)):
        bound = np.sqrt(6 / fans)
        assert 0.9 * bound < np.abs(array).max() <= bound
    assert not a.c.any() and not a.body.b.any()
