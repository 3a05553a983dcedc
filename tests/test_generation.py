"""`generate`: text from trained character models."""

import copy

import numpy as np
import pytest

import fastrnn
import tdnn
from fastrnn import generate

Q = 6


def make(kind, q=Q, p=Q, **settings):
    if kind == "elman":
        body = fastrnn.Elman(p, 9, dtype=float, rng=0)
    elif kind == "jordan":
        body = fastrnn.Jordan(p, 9, q, dtype=float, rng=0)
    else:
        body = tdnn.TDNN(p, [(9, (-2, -1, 0))], padding=kind, dtype=float, rng=0)
    model = fastrnn.SequenceModel(body, q, rng=0, **settings)
    rng = np.random.default_rng(150)
    for array in model.parameters().values():
        array[...] = 0.8 * rng.standard_normal(array.shape)
    return model


def predictions(model, written):
    """Return what the model predicts after each token of a text (k, B), fed the text itself."""
    if model.body.kind == "jordan":
        return model.predict(written, y=np.vstack([written[1:], written[:1]]))
    return model.predict(written)


@pytest.mark.parametrize("kind", ["elman", "jordan", "causal", "valid"])
def test_each_token_is_drawn_from_the_prediction_after_those_before(kind):
    model = make(kind)
    prompt = np.random.default_rng(151).integers(0, Q, (4, 3))
    for temperature in (0, 0.0, 0.5, 1.0, 3.0):
        new = generate(model, 12, prompt, temperature=temperature, rng=7)
        assert new.shape == (12, 3) and new.dtype == np.int64
        written = np.vstack([prompt, new])
        yhat = predictions(model, written)[-13:-1]
        if temperature == 0:
            np.testing.assert_array_equal(new, yhat.argmax(axis=2))
            continue
        weights = yhat ** (1 / temperature)
        totals = np.cumsum(weights, axis=2) / weights.sum(axis=2, keepdims=True)
        draws = np.random.default_rng(7).random((12, 3))
        np.testing.assert_array_equal(new, (totals < draws[..., None]).sum(axis=2))


def test_one_text_or_several_side_by_side():
    model = make("elman")
    one = generate(model, 8, [1, 2], temperature=0)
    assert one.shape == (8,)
    both = generate(model, 8, np.array([[1, 0], [2, 5]], np.uint8), temperature=0)
    assert both[:, 0].tolist() == one.tolist() != both[:, 1].tolist()
    assert generate(model, 0, [1]).shape == (0,) and generate(model, 0, [[1, 2]]).shape == (0, 2)
    assert generate(model, np.int64(1), (3,), rng=np.random.default_rng(0)).shape == (1,)


@pytest.mark.parametrize("kind", ["elman", "jordan"])
def test_rng_decides_and_the_model_does_not_change(kind):
    model = make(kind)
    before = copy.deepcopy(model.parameters()), model.sampling()
    np.random.seed(1)  # noqa: NPY002
    a, b, other = (generate(model, 40, [0, 1], rng=seed).tolist() for seed in (3, 3, 4))
    assert a == b != other
    assert generate(model, 40, [0, 1]).tolist() != generate(model, 40, [0, 1]).tolist()
    assert np.random.random() == np.random.RandomState(1).random()  # noqa: NPY002
    for name, array in before[0].items():
        np.testing.assert_array_equal(model.parameters()[name], array)
    assert model.sampling() == before[1]


def test_frequencies_at_each_temperature():
    model = make("elman")
    model.V[...], share = 0, np.array([0.5, 0.25, 0.15, 0.1, 0.0, 0.0])
    model.c[...] = np.log(np.maximum(share, 1e-320))
    prompt = np.zeros((1, 500), int)
    for temperature, power in ((1.0, 1), (0.5, 2), (2.0, 0.5)):
        new = generate(model, 20, prompt, temperature=temperature, rng=0)
        counts = np.bincount(new.ravel(), minlength=Q) / new.size
        np.testing.assert_allclose(counts, share**power / (share**power).sum(), atol=0.02)
    for temperature in (1e-300, 5e-324, 0):
        assert not generate(model, 3, prompt, temperature=temperature, rng=0).any()


AHEAD = fastrnn.SequenceModel(tdnn.TDNN(Q, [(9, (-1, 0, 1))], dtype=float, rng=0), Q)
REFUSED = [
    ({"model": fastrnn.Elman(4, 4)}, TypeError, "model: expected a SequenceModel, got Elman"),
    ({"model": make("elman", loss="sigmoid")}, ValueError, "model: expected the loss 'softmax'"),
    ({"model": make("elman", readout="last")}, ValueError, "model: expected the readout 'each'"),
    ({"model": make("elman", p=4)}, ValueError, "model: expected as many outputs as .* and .* 4"),
    ({"model": AHEAD}, ValueError, "model: expected a body that looks at no later .* 0., got 1"),
    ({"prompt": []}, ValueError, "prompt: expected at least one token, got shape .0,"),
    ({"prompt": np.zeros((3, 0), int)}, ValueError, "prompt: expected at least one token, got"),
    ({"prompt": 3}, ValueError, r"prompt: expected shape \(k,\) or \(k, B\), got \(\)"),
    ({"prompt": [[[1]]]}, ValueError, r"prompt: expected shape \(k,\) or \(k, B\), got \(1, 1, 1"),
    ({"prompt": [0, 6]}, ValueError, "prompt: expected integers from 0 to 5, got 6 at position 1"),
    ({"prompt": [-1]}, ValueError, "prompt: expected integers from 0 to 5, got -1 at position 0"),
    ({"prompt": [1.0]}, TypeError, "prompt: expected integers of shape .k,., got float64"),
    ({"prompt": "abc"}, ValueError, r"prompt: expected shape \(k,\) or \(k, B\), got"),
    ({"prompt": list("abc")}, TypeError, "prompt: expected integers .*, got <U1"),
    ({"prompt": None}, ValueError, "prompt: expected shape"),
    ({"n": -1}, ValueError, "n: expected an integer >= 0, got -1"),
    ({"n": 2.0}, TypeError, "n: expected an integer >= 0, got 2.0"),
    ({"temperature": -0.1}, ValueError, "temperature: expected a finite number >= 0, got -0.1"),
    ({"temperature": np.nan}, ValueError, "temperature: expected a finite number >= 0, got nan"),
    ({"temperature": np.inf}, ValueError, "temperature: expected a finite number >= 0, got inf"),
    ({"temperature": "1"}, TypeError, "temperature: expected a number, got '1'"),
    ({"temperature": True}, TypeError, "temperature: expected a number, got True"),
    ({"rng": "0"}, TypeError, "rng: expected an integer"),
]


@pytest.mark.parametrize(("changed", "error", "message"), REFUSED)
def test_refused(changed, error, message):
    arguments = {"model": make("jordan"), "n": 2, "prompt": [0, 1]} | changed
    with pytest.raises(error, match="^" + message):
        generate(**arguments)


def test_refused_bodies_that_do_not_predict_at_each_step():
    strided = tdnn.TDNN(Q, [(9, (-1, 0), 2)], padding="causal", dtype=float, rng=0)
    with pytest.raises(ValueError, match="^model: expected a body that predicts at every step"):
        generate(fastrnn.SequenceModel(strided, Q), 2, [0, 1])
    with pytest.raises(ValueError, match="^prompt: expected as many tokens as the first predicti"):
        generate(make("valid"), 2, [0, 1])
    assert generate(make("valid"), 2, [0, 1, 2]).shape == (2,)


@pytest.mark.parametrize("kind", ["elman", "jordan"])
def test_predictions_that_are_not_finite(kind):
    model = make(kind)
    model.parameters()["c"][0] = np.nan
    with pytest.raises(FloatingPointError, match="^model: expected finite predictions, got NaN"):
        generate(model, 2, [0, 1])
