"""`fit` with real models: it learns, and thread count and interruption do not change a bit."""

import numpy as np
import pytest

import fastrnn
from fastrnn.optimizers import SGD, Adam
from fastrnn.training import fit

tdnn = pytest.importorskip("tdnn")


def make_model(body, readout="each", seed=0):
    if body == "elman":
        layer = fastrnn.Elman(5, 8, rng=seed)
    elif body == "jordan":  # it draws which steps are forced, and what others are fed
        layer = fastrnn.Jordan(5, 8, 3, feedback="sample", teacher_forcing=0.9, rng=seed)
    else:
        layer = tdnn.TDNN(5, [(8, (-1, 0))], rng=seed)
    return fastrnn.SequenceModel(layer, 3, readout=readout, rng=seed)


def batches(readout="each"):
    """Token ids (T, B) of unequal lengths; the target is the token before, modulo 3."""
    rng = np.random.default_rng(4)
    data = []
    for _ in range(5):
        x = rng.integers(0, 5, (9, 4))
        targets = np.vstack([np.zeros((1, 4), int), x[:-1] % 3])
        data.append((x, targets if readout == "each" else targets[-1], rng.integers(0, 10, 4)))
    return data


@pytest.mark.parametrize("body", ["elman", "tdnn"])
def test_the_models_learn_and_threads_change_no_bit(body):
    runs = []
    for threads in (1, 2):
        model = make_model(body)
        history = fit(
            model, batches(), optimizer=Adam(0.03), epochs=30, validation=batches(), clip_norm=1.0,
            threads=threads,
        )  # fmt: skip
        runs.append((model.parameters(), [row["loss"] for row in history.rows]))
        assert history.rows[-1]["loss"] < 0.3 * history.rows[0]["loss"]
    assert runs[0][1] == runs[1][1]
    for name, array in runs[0][0].items():
        np.testing.assert_array_equal(array, runs[1][0][name], strict=True)


@pytest.mark.parametrize(
    ("body", "readout"),
    [("elman", "each"), ("elman", "last"), ("tdnn", "mean"), ("jordan", "each")],
)
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, body, readout):
    def interrupted(epoch):
        yield from batches(readout)[: 3 if epoch == 2 else None]
        if epoch == 2:
            raise KeyboardInterrupt

    whole, model = make_model(body, readout), make_model(body, readout)
    expected = fit(whole, batches(readout), optimizer=SGD(0.1, 0.9), epochs=3)
    settings = {"epochs": 3, "checkpoint": tmp_path / "state.npz"}
    history = fit(model, interrupted, optimizer=SGD(0.1, 0.9), **settings)
    assert history.interrupted and [row["epoch"] for row in history.rows] == [1]
    model = make_model(body, readout, seed=1)
    history = fit(model, batches(readout), optimizer=SGD(0.5), resume=True, **settings)
    assert [row["loss"] for row in history.rows] == [row["loss"] for row in expected.rows]
    for name, array in whole.parameters().items():
        np.testing.assert_array_equal(array, model.parameters()[name], strict=True)


@pytest.mark.parametrize(("feedback", "p"), [("argmax", 1.0), ("softmax", 0.9)])
def test_a_jordan_network_learns_a_running_sum_and_then_runs_free(feedback, p):
    """The sum is in nothing but the targets before, and later in its own outputs."""

    def sums(seed, T, B):
        x = np.random.default_rng(seed).integers(0, 5, (T, B))
        return x, np.cumsum(x, axis=0) % 3

    body = fastrnn.Jordan(5, 24, 3, feedback=feedback, teacher_forcing=p, rng=0)
    model = fastrnn.SequenceModel(body)
    fit(model, sums(1, 9, 60), optimizer=Adam(0.05), epochs=150)
    x, targets = sums(2, 40, 100)
    assert model.loss(x, targets) < 0.01
    assert np.mean(model.predict(x).argmax(axis=2) == targets) == 1.0


def annealed(model, **settings):
    """Train with less and less teacher forcing, validating on draws too."""

    def callback(row):
        model.body.teacher_forcing *= 0.5

    settings = {"optimizer": Adam(0.03), "epochs": 4, "validation": batches()} | settings
    return fit(model, settings.pop("data", batches()), callback=callback, **settings)


@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_run_draws_as_one_that_was_never_stopped(tmp_path, epoch, at):
    def interrupted(number):
        yield from batches()[: at if number == epoch else None]
        if number == epoch:
            raise KeyboardInterrupt

    whole, model = make_model("jordan"), make_model("jordan")
    expected = annealed(whole)
    settings = {"checkpoint": tmp_path / "state.npz"}
    assert annealed(model, data=interrupted, **settings).interrupted
    stopped = model.sampling()
    model.loss_and_grad(*batches()[0][:2])  # draws that the resumed run must not miss
    model = make_model("jordan", seed=1)
    history = annealed(model, resume=True, **settings)
    assert [row["loss"] for row in history.rows] == [row["loss"] for row in expected.rows]
    assert [r["validation"] for r in history.rows] == [r["validation"] for r in expected.rows]
    for name, array in whole.parameters().items():
        np.testing.assert_array_equal(array, model.parameters()[name], strict=True)
    assert model.sampling() == whole.sampling() != stopped
    assert model.body.teacher_forcing == 0.9 / 16


def test_a_dropped_batch_has_drawn_nothing():
    class Fails(SGD):
        def step(self, parameters, gradients):
            raise KeyboardInterrupt

    model = make_model("jordan")
    before = model.sampling()
    assert fit(model, batches(), optimizer=Fails(0.1), epochs=1).interrupted
    assert model.sampling() == before
