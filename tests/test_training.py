"""`fit`: epochs, history, data in all forms, refusals, progress."""

import math
import sys
import threading
import warnings

import numpy as np
import pytest
from line_model import Line, assert_equal, batches, without_times

from fastrnn.checkpoint import load_arrays
from fastrnn.optimizers import SGD, Adam
from fastrnn.training import History, fit


def test_updates_and_history_equal_a_loop_by_hand():
    data, model, other = batches(), Line(), Line()
    history = fit(model, data, optimizer=Adam(0.1), epochs=3, validation=batches(2, seed=9))
    optimizer = Adam(0.1)
    for epoch in range(1, 4):
        losses = []
        for batch in data:
            value, gradients = other.loss_and_grad(*batch)
            optimizer.step(other.parameters(), gradients)
            losses.append(value)
        row = history.rows[epoch - 1]
        assert row["epoch"] == epoch and row["steps"] == 4
        assert row["loss"] == sum(losses) / 4
        assert row["validation"] is not None and row["seconds"] > 0
    assert row["validation"] == sum(other.loss(*batch) for batch in batches(2, seed=9)) / 2
    assert_equal(model.copy(), other.copy())
    assert set(row) == {"epoch", "steps", "loss", "validation", "seconds"}
    assert history.interrupted is False and len(history.rows) == 3


def test_training_learns():
    model = Line()
    history = fit(model, batches(), optimizer=SGD(0.1), epochs=200)
    np.testing.assert_allclose(model.V, [1, 2, 3], rtol=1e-6)
    assert history.rows[-1]["loss"] < 1e-10 and history.rows[-1]["validation"] is None


def test_all_forms_of_data_are_the_same_training():
    class Loader:
        def __iter__(self):
            return iter([list(batch) for batch in batches()])

    asked = []

    def call(epoch):
        asked.append(epoch)
        return iter(batches())

    results = []
    for data in (batches(), tuple(batches()), Loader(), call):
        model = Line()
        history = fit(model, data, optimizer=SGD(0.1), epochs=2, validation=data)
        results.append((model.copy(), without_times(history)))
    for parameters, rows in results[1:]:
        assert_equal(parameters, results[0][0])
        assert rows == results[0][1]
    assert asked == [1, 1, 2, 2]


def test_one_tuple_is_one_batch_per_epoch():
    history = fit(Line(), batches()[0], optimizer=SGD(0.1), epochs=2, validation=batches()[1])
    assert [row["steps"] for row in history.rows] == [1, 1]
    history = fit(Line(), lambda epoch: batches()[0], optimizer=SGD(0.1), epochs=2)
    assert [row["steps"] for row in history.rows] == [1, 1]


def test_lengths_weights_resets_and_threads_reach_the_model():
    model, (x, targets) = Line(), batches()[0]
    data = [(x, targets), (x, targets, "l"), (x, targets, None, "w"), (x, targets, "l", "w")]
    data.append((x, targets, None, None, "r"))
    fit(model, data, optimizer=SGD(0.1), epochs=1, threads=2)
    expected = [{}, {"lengths": "l"}, {"weights": "w"}, {"lengths": "l", "weights": "w"}]
    expected.append({"resets": "r"})
    assert model.calls == [keywords | {"threads": 2} for keywords in expected]


def test_clip_norm_bounds_the_update():
    model = Line()
    before = model.copy()
    fit(model, batches(1), optimizer=SGD(1.0), epochs=1, clip_norm=0.25)
    moved = math.hypot(*(model.V - before["V"]), model.c - before["c"])
    assert moved == pytest.approx(0.25, rel=1e-12)


def test_callback_gets_copies_stops_and_may_change_the_learning_rate():
    optimizer, seen = SGD(0.1), []

    def callback(row):
        seen.append(row)
        row["loss"] = None
        optimizer.learning_rate /= 2
        return row["epoch"] == 2

    history = fit(Line(), batches(), optimizer=optimizer, epochs=5, callback=callback)
    assert [row["epoch"] for row in seen] == [1, 2] and len(history.rows) == 2
    assert history.rows[0]["loss"] is not None and optimizer.learning_rate == 0.025


def test_zero_epochs_change_nothing():
    model = Line()
    before = model.copy()
    assert fit(model, batches(), optimizer=SGD(0.1), epochs=0) == History()
    assert_equal(model.copy(), before)


def test_fit_works_in_another_thread_and_leaves_no_thread():
    model, found = Line(), []

    def train():
        found.append(fit(model, batches(), optimizer=SGD(0.1), epochs=2))

    before = set(threading.enumerate())
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    fit(Line(), batches(), optimizer=SGD(0.1), epochs=1)
    assert len(found[0].rows) == 2 and set(threading.enumerate()) == before


def test_the_callers_errstate_holds():
    class Divides(Line):
        def loss_and_grad(self, x, targets, **keywords):
            return float(np.float64(1.0) / np.zeros(1)[0]), {}

    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        fit(Divides(), batches(), optimizer=SGD(0.1), epochs=1)


def test_exceptions_reach_the_caller_unchanged():
    error = RuntimeError("from the model")

    class Fails(Line):
        def loss_and_grad(self, x, targets, **keywords):
            raise error

    with pytest.raises(RuntimeError) as caught:
        fit(Fails(), batches(), optimizer=SGD(0.1), epochs=1)
    assert caught.value is error

    def broken(epoch):
        yield batches()[0]
        raise LookupError("from the data")

    model = Line()
    before = model.copy()
    with pytest.raises(LookupError, match="from the data"):
        fit(model, broken, optimizer=SGD(0.1), epochs=1)
    assert not np.array_equal(model.V, before["V"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_stops_before_the_update(tmp_path, where, value):
    class Bad(Line):
        def loss_and_grad(self, x, targets, **keywords):
            loss, gradients = super().loss_and_grad(x, targets, **keywords)
            if len(self.calls) == 7:
                self.before = self.copy()
                if where == "loss":
                    return value, gradients
                gradients["V"][1] = value
            return loss, gradients

    path, model = tmp_path / "state.npz", Bad()
    with pytest.raises(FloatingPointError, match=f"^{where}.* in epoch 2, batch 3"):
        fit(model, batches(), optimizer=SGD(0.1), epochs=3, checkpoint=path)
    assert_equal(model.copy(), model.before)
    arrays, metadata = load_arrays(path)
    assert metadata["position"]["epoch"] == 1
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_validation_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path):
    path, (x, targets) = tmp_path / "state.npz", batches()[0]
    bad = [[(x, targets)], [(x, targets), (x, targets * math.nan)]]
    with pytest.raises(FloatingPointError, match="^validation loss: .* in epoch 2"):
        fit(Line(), batches(), optimizer=SGD(0.1), epochs=3, checkpoint=path,
            validation=lambda epoch: bad[epoch - 1])  # fmt: skip
    assert load_arrays(path)[1]["position"]["epoch"] == 1


BATCH = batches()[0]
BAD_ARGUMENTS = [
    ({"model": None}, TypeError, "model: expected an object with parameters, loss_and_grad, loss"),
    ({"optimizer": "adam"}, TypeError, "optimizer: expected an object with step, .*, got 'adam'"),
    ({"optimizer": Adam}, TypeError, "optimizer: expected an object with step, .*, got <class"),
    ({"epochs": 1.0}, TypeError, "epochs: expected an integer >= 0, got 1.0"),
    ({"epochs": True}, TypeError, "epochs: expected an integer >= 0, got True"),
    ({"epochs": -1}, ValueError, "epochs: expected an integer >= 0, got -1"),
    ({"clip_norm": 0}, ValueError, "clip_norm: expected a number above 0, got 0"),
    ({"clip_norm": "1"}, TypeError, "clip_norm: expected a number, got '1'"),
    ({"checkpoint": "a.pt"}, ValueError, "checkpoint: expected a name that ends with .npz or"),
    ({"checkpoint": 1}, TypeError, "checkpoint: expected a path, got int"),
    ({"checkpoint_every": 0.0}, ValueError, "checkpoint_every: expected a number above 0, got 0"),
    ({"checkpoint_every": None}, TypeError, "checkpoint_every: expected a number, got None"),
    ({"resume": 1}, TypeError, "resume: expected True or False, got 1"),
    ({"resume": True}, ValueError, "resume, checkpoint: expected a checkpoint to resume from"),
    ({"progress": "bar"}, TypeError, "progress: expected True, False or None, got 'bar'"),
    ({"callback": 1}, TypeError, "callback: expected a callable, got int"),
    ({"threads": 0}, ValueError, "threads: expected an integer >= 1, got 0"),
    ({"data": 7}, TypeError, "data: expected a batch, an iterable of batches or a callable, got"),
    ({"data": None}, TypeError, "data: expected a batch, an iterable .*, got NoneType"),
    ({"data": []}, ValueError, "data: expected at least one batch, got none in epoch 1"),
    ({"data": ()}, ValueError, "data: expected at least one batch, got none in epoch 1"),
    ({"data": lambda epoch: []}, ValueError, "data: expected at least one batch, got none"),
    ({"data": lambda epoch: 7}, TypeError, "data: expected a callable that returns an iterable"),
    ({"data": list(BATCH)}, TypeError, r"data: expected batches \(x, targets.*, got ndarray"),
    ({"data": [BATCH[:1]]}, ValueError, r"data: expected batches \(x, targets.*, got 1 entries"),
    ({"data": [BATCH * 3]}, ValueError, r"data: expected batches \(x, targets.*, got 6 entries"),
    ({"validation": 7}, TypeError, "validation: expected a batch, an iterable of batches"),
    ({"validation": []}, ValueError, "validation: expected at least one batch, got none in epoch"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments(change, error, message):
    model = Line()
    arguments = {"model": model, "data": [BATCH], "optimizer": SGD(0.1), "epochs": 2} | change
    before = model.copy()
    with pytest.raises(error, match="^" + message):
        fit(arguments.pop("model"), arguments.pop("data"), **arguments)
    if "validation" not in change or not isinstance(change["validation"], list):
        assert_equal(model.copy(), before)


def test_a_missing_folder_is_told_before_the_training(tmp_path):
    model = Line()
    with pytest.raises(FileNotFoundError, match="^checkpoint: expected an existing folder, got"):
        fit(model, batches(), optimizer=SGD(0.1), epochs=1, checkpoint=tmp_path / "no" / "a.npz")
    assert model.calls == []


@pytest.mark.parametrize("name", ["data", "validation"])
def test_a_generator_used_up_is_told(name):
    arguments = {"data": batches(), "validation": batches()} | {name: iter(batches())}
    with pytest.raises(ValueError, match=f"^{name}: .* iterator that was used up before epoch 2"):
        fit(Line(), arguments.pop("data"), optimizer=SGD(0.1), epochs=2, **arguments)
    arguments = {"data": batches(), "validation": batches()} | {name: iter(batches())}
    history = fit(Line(), arguments.pop("data"), optimizer=SGD(0.1), epochs=1, **arguments)
    assert history.rows[0]["steps"] == 4


def test_progress_false_and_none_without_a_terminal_are_silent(capsys):
    for progress in (False, None):
        fit(Line(), batches(), optimizer=SGD(0.1), epochs=1, progress=progress)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress_is_one_line_per_epoch_without_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fit(Line(), batches(), optimizer=SGD(0.1), epochs=2, validation=batches(), progress=True)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 2
    assert lines[1].startswith("epoch 2/2: loss ") and ", validation " in lines[1]


def test_progress_is_a_bar_with_tqdm(capsys):
    pytest.importorskip("tqdm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Line(), batches(), optimizer=SGD(0.1), epochs=2, progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and "epoch 2/2: 100%" in captured.err and "8/8" in captured.err
