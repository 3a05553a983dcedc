"""Learning-rate schedules, and `fit` with them: by hand, checked, resumed."""

import math
import pickle

import numpy as np
import pytest
from line_model import Interrupting, Line, assert_equal, batches, shuffled, without_times

from fastrnn import ConstantSchedule, CosineSchedule, PlateauSchedule, StepSchedule
from fastrnn.checkpoint import load_arrays
from fastrnn.optimizers import SGD, Adam
from fastrnn.training import fit

SCHEDULES = [
    ConstantSchedule(),
    StepSchedule(2, by=0.5),
    StepSchedule([1, 3]),
    CosineSchedule(4, least=0.1),
    PlateauSchedule(patience=0, by=0.5, threshold=0.9),
]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)


def factors(schedule, epochs, losses=()):
    rows = [{"validation": loss} for loss in losses]
    return [schedule.factor(epoch, rows[: epoch - 1]) for epoch in range(1, epochs + 1)]


def test_factors_by_hand():
    assert factors(ConstantSchedule(), 3) == [1, 1, 1]
    assert factors(StepSchedule(2, by=0.5), 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert factors(StepSchedule([1, 3, 3], by=0.5), 5) == [1, 0.5, 0.5, 0.125, 0.125]
    assert factors(StepSchedule([], by=0.5), 2) == [1, 1]
    cosine = [(1 + math.cos(math.pi * i / 4)) / 2 for i in range(5)]
    assert factors(CosineSchedule(4), 6) == pytest.approx([*cosine, 0], abs=1e-15)
    assert factors(CosineSchedule(4, 0.2), 7)[4:] == pytest.approx([0.2, 0.2, 0.2], rel=1e-15)
    losses = [5.0, 4.0, 4.0, 3.9999, 3.0, 3.0, 3.0, 3.0, 3.0]
    plateau = PlateauSchedule(patience=1, by=0.5)
    assert factors(plateau, 10, losses) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert factors(PlateauSchedule(1, 0.5, least=0.3), 10, losses)[-1] == 0.3


@each_schedule
def test_schedules_are_values(schedule):
    again = pickle.loads(pickle.dumps(schedule))
    assert again == schedule and hash(again) == hash(schedule) and repr(again) == repr(schedule)


def run(model, schedule, **settings):
    settings = {
        "optimizer": SGD(0.1, 0.5),
        "epochs": 4,
        "validation": batches(2, seed=9),
    } | settings
    return fit(model, shuffled, schedule=schedule, **settings)


@each_schedule
def test_each_epoch_has_its_learning_rate(schedule):
    optimizer = SGD(0.1, 0.5)
    history = run(Line(), schedule, optimizer=optimizer)
    rates = [row["learning_rate"] for row in history.rows]
    losses = [row["validation"] for row in history.rows]
    assert rates == [0.1 * factor for factor in factors(schedule, 4, losses)]
    assert optimizer.learning_rate == rates[-1]
    by_hand, model = SGD(0.1, 0.5), Line()

    def callback(row):
        by_hand.learning_rate = rates[min(row["epoch"], 3)]

    run(model, None, optimizer=by_hand, callback=callback)
    whole = Line()
    run(whole, schedule)
    assert_equal(model.copy(), whole.copy())
    if schedule != ConstantSchedule():
        constant = Line()
        run(constant, None)
        assert (constant.V != whole.V).any()


@pytest.mark.parametrize("at", [1, 8, 12, 18])  # an epoch is 4 batches and 2 of validation
@each_schedule
def test_a_resumed_run_has_the_same_bits(tmp_path, schedule, at):
    whole, model = Line(), Line(seed=5)
    expected = run(whole, schedule)
    settings = {"checkpoint": tmp_path / "state.npz", "resume": True}
    assert run(Interrupting(at), schedule, **settings).interrupted
    other = SGD(77.0)  # what it starts with stands in the checkpoint
    assert without_times(run(model, schedule, optimizer=other, **settings)) == without_times(
        expected
    )
    assert_equal(model.copy(), whole.copy())
    position = load_arrays(tmp_path / "state.npz")[1]["position"]
    assert position["start_rate"] == 0.1


def test_a_schedule_of_one_s_own():
    class Warmup:
        def factor(self, epoch, rows):
            assert len(rows) == epoch - 1
            return epoch / 4

    history = run(Line(), Warmup())
    assert [row["learning_rate"] for row in history.rows] == [0.025, 0.05, 0.1 * 3 / 4, 0.1]


def test_without_a_schedule_rows_say_nothing_of_a_rate():
    assert "learning_rate" not in run(Line(), None).rows[0]


BAD = [
    (StepSchedule, {"epochs": 0}, ValueError, "epochs: expected an integer >= 1, got 0"),
    (StepSchedule, {"epochs": [2, 1.5]}, TypeError, "epochs: expected an integer >= 1, got 1.5"),
    (StepSchedule, {"epochs": "2"}, TypeError, "epochs: expected an integer >= 1, got '2'"),
    (StepSchedule, {"epochs": 2, "by": -1}, ValueError, "by: expected a finite number >= 0"),
    (StepSchedule, {"epochs": 2, "by": "x"}, TypeError, "by: expected a number, got 'x'"),
    (CosineSchedule, {"epochs": True}, TypeError, "epochs: expected an integer >= 1, got True"),
    (CosineSchedule, {"epochs": 2, "least": 1.5}, ValueError, "least: expected 0 <= value <= 1"),
    (PlateauSchedule, {"patience": -1}, ValueError, "patience: expected an integer >= 0, got -1"),
    (PlateauSchedule, {"by": 1.0}, ValueError, "by: expected a number below 1, got 1"),
    (PlateauSchedule, {"by": math.nan}, ValueError, "by: expected 0 <= value <= 1, got nan"),
    (PlateauSchedule, {"threshold": 2}, ValueError, "threshold: expected 0 <= value <= 1, got 2"),
    (PlateauSchedule, {"least": None}, TypeError, "least: expected a number, got None"),
]


@pytest.mark.parametrize(("make", "settings", "error", "message"), BAD)
def test_bad_settings(make, settings, error, message):
    with pytest.raises(error, match="^" + message):
        make(**settings)


def test_fit_refuses_what_is_no_schedule_or_has_nothing_to_look_at():
    model, optimizer = Line(), SGD(0.1)
    before = model.copy()

    class Wrong:
        def factor(self, epoch, rows):
            return -1.0

    class NoRate:
        step = state = restore = None

    for settings, error, message in [
        ({"schedule": 0.5}, TypeError, "schedule: expected an object with factor, got float"),
        ({"schedule": StepSchedule}, TypeError, "schedule: expected an object with factor"),
        ({"schedule": PlateauSchedule()}, ValueError, "schedule, validation: expected validation"),
        ({"schedule": Wrong()}, ValueError, "schedule: expected a finite factor >= 0, got -1.0"),
        (
            {"schedule": StepSchedule(1), "optimizer": NoRate()},
            TypeError,
            "optimizer: expected an object with learning_rate, got NoRate",
        ),
    ]:
        with pytest.raises(error, match="^" + message):
            fit(model, batches(), **{"optimizer": optimizer, "epochs": 2} | settings)
        assert_equal(model.copy(), before)


# Stopping at the best validation


BEST = 4
LOSSES = [5.0, 3.0, 4.0, 2.0, 2.5, 2.0, 2.2, 3.0, 4.0, 1.0]  # the last comes too late


class Valley(Line):
    """Its validation loss is what the validation data of the epoch say."""

    def loss(self, x, targets, **keywords):
        return float(targets[0])


def valley(**settings):
    """Return the history, the model, and the parameters after each epoch."""
    model, seen = settings.pop("model", None) or Valley(), []

    def validation(epoch):
        return [(np.zeros((1, 3)), np.array([LOSSES[epoch - 1]]))]

    def callback(row):
        seen.append(model.copy())

    settings = {"optimizer": SGD(0.02), "epochs": 9, "validation": validation} | settings
    return fit(model, shuffled, callback=callback, **settings), model, seen


@pytest.mark.parametrize("patience", [2, 3])
def test_training_stops_and_the_best_parameters_come_back(patience):
    whole, last, _ = valley()
    history, model, seen = valley(patience=patience)
    assert history.best_epoch == BEST and len(history.rows) == BEST + patience
    assert without_times(history) == without_times(whole)[: BEST + patience]
    assert_equal(model.copy(), seen[BEST - 1])
    assert (model.V != last.V).any() and whole.best_epoch is None
    assert valley(patience=1)[0].best_epoch == 2  # 4.0 after 3.0 was waiting enough


def test_the_best_come_back_at_the_end_of_all_epochs_too():
    history, model, seen = valley(patience=20)
    assert len(history.rows) == 9 and history.best_epoch == BEST
    assert_equal(model.copy(), seen[BEST - 1])
    history, model, seen = valley(patience=5, epochs=0)
    assert history.best_epoch is None and history.rows == []


def test_of_equal_losses_the_first_is_the_best():
    class Flat(Line):
        def loss(self, x, targets, **keywords):
            return 1.0

    history, model, seen = valley(patience=2, model=Flat())
    assert history.best_epoch == 1 and len(history.rows) == 3
    assert_equal(model.copy(), seen[0])


def test_a_stopped_run_is_resumed_to_the_same_bits(tmp_path):
    expected, whole, _ = valley(patience=3, optimizer=Adam(0.02))
    path = tmp_path / "state.npz"
    settings = {"patience": 3, "checkpoint": path, "resume": True}

    class Broken(Valley):
        calls_left = 0

        def loss(self, x, targets, **keywords):
            self.calls_left -= 1
            if self.calls_left == 0:
                raise KeyboardInterrupt
            return super().loss(x, targets, **keywords)

    for at, best in ((2, 1), (BEST, 2), (BEST + 2, BEST)):  # before, in and after the best epoch
        broken = Broken()
        broken.calls_left = at
        begun = settings | {"resume": False, "model": broken}
        history, model, _ = valley(optimizer=Adam(0.02), **begun)
        assert history.interrupted and len(history.rows) == at - 1
        assert history.best_epoch == best
        np.testing.assert_array_equal(model.V, load_arrays(path)[0]["parameter/V"])
        history, model, _ = valley(optimizer=Adam(0.5), **settings)
        assert without_times(history) == without_times(expected)
        assert history.best_epoch == BEST
        assert_equal(model.copy(), whole.copy())
    again, model, _ = valley(optimizer=Adam(0.5), **settings)  # done already
    assert again == history
    assert_equal(model.copy(), whole.copy())


def test_more_patience_goes_on_from_the_last_parameters(tmp_path):
    settings = {"checkpoint": tmp_path / "state.npz", "resume": True}
    expected, whole, _ = valley(patience=5)
    assert len(valley(patience=2, **settings)[0].rows) < len(expected.rows)
    history, model, _ = valley(patience=5, **settings)
    assert without_times(history) == without_times(expected)
    assert_equal(model.copy(), whole.copy())


def test_a_run_without_patience_has_no_best_parameters_to_resume_with(tmp_path):
    settings = {"checkpoint": tmp_path / "state.npz", "resume": True}
    valley(epochs=2, **settings)
    model = Valley(seed=3)
    before = model.copy()
    with pytest.raises(
        ValueError, match="^checkpoint, patience: expected None, as in the run so f"
    ):
        valley(patience=2, model=model, **settings)
    assert_equal(model.copy(), before)


def test_bad_patience():
    for settings, error, message in [
        ({"patience": 0}, ValueError, "patience: expected an integer >= 1, got 0"),
        ({"patience": 1.0}, TypeError, "patience: expected an integer >= 1, got 1.0"),
        ({"patience": 2, "validation": None}, ValueError, "patience, validation: expected valid"),
    ]:
        with pytest.raises(error, match="^" + message):
            valley(**settings)
