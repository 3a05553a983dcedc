"""Runs: fair, stored whole, resumed to the same bits."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from tiny import TINY, Events, adding, both, read_runs, write_text

import fastrnn
from tdnn.compare.defaults import DEFAULTS, Point, Recipe
from tdnn.compare.errors import ComparisonError, ComparisonInterrupted
from tdnn.compare.measure import gradient_error
from tdnn.compare.models import build_model
from tdnn.compare.results import Store
from tdnn.compare.run import compare
from tdnn.compare.settings import Settings
from tdnn.compare.tasks import AddingTask, CharTask, mean_loss
from tdnn.compare.training import Files, Training


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with an uninterrupted tiny comparison."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert compare(adding(), out) == 4
    return out


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_every_run_is_stored_and_nothing_else(whole):
    assert sorted(path.name for path in whole.rglob("*.*")) == [
        f"adding-10-{model}-{seed}.json" for model in ("elman", "tdnn") for seed in (0, 1)
    ]
    assert not (whole / "unfinished").exists()


def test_a_record_holds_what_the_report_needs(whole):
    record = json.loads((whole / "runs" / "adding-10-tdnn-1.json").read_text())
    assert record["network"]["receptive_field"] == 27
    assert record["curve"]["step"] == list(range(13))
    assert record["curve"]["loss"][0] is None
    assert len(record["timing"]["curve"]) == 13
    assert record["timing"]["training"] == record["timing"]["curve"][-1] > 0
    assert min(record["timing"]["sequences_per_second"].values()) > 0
    assert 0 < record["gradient_error"] < 1e-4
    assert record["validation"] == min(record["curve"]["validation"])
    assert record["best_step"] == int(np.argmin(record["curve"]["validation"]))
    assert record["environment"]["threads"] == "1"
    assert record["gradient_flow"]["lag"] == list(range(10))


def test_both_models_of_a_seed_see_the_same_batches(monkeypatch, tmp_path):
    seen = {}
    batches = AddingTask.batches

    def spy(self, seed, epoch, steps):
        for batch in batches(self, seed, epoch, steps):
            seen.setdefault((model[0], seed), []).append(batch.x.tobytes())
            yield batch

    monkeypatch.setattr(AddingTask, "batches", spy)
    for model in (("elman",), ("tdnn",)):
        compare(adding(models=model), tmp_path / model[0])
    assert len(seen["elman", 0]) == len(seen["tdnn", 0]) >= 12
    for seed in (0, 1):
        assert seen["elman", seed] == seen["tdnn", seed]
    assert seen["elman", 0] != seen["elman", 1]


def test_the_parameters_of_the_best_validation_are_tested(tmp_path):
    # With a learning rate that spoils the network, the best is an early one.
    settings = adding(models=("elman",), seeds=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tdnn.compare.defaults.UNTUNED", {("adding", "elman"): Point(0.5, 1.0)})
        compare(settings, tmp_path)
    record = json.loads((tmp_path / "runs" / "adding-10-elman-0.json").read_text())
    assert record["validation"] < record["curve"]["validation"][-1]
    assert record["best_step"] < 12
    task = AddingTask(10)
    if record["best_step"] == 0:
        untrained = build_model("elman", task, 2_500, seed=0)
        assert record["score"] == mean_loss(untrained, task, task.test(), 1)


@pytest.mark.parametrize("task, step", [("copy:5", 2), ("adding:10", 1)])
def test_where_the_score_is_an_accuracy_the_smallest_loss_chooses(tmp_path, task, step):
    (plan,) = Settings(tasks=(task,), budget=2_500, **TINY).plans()
    training = Training(plan, "elman", 0, Point(1e-3, 1.0), 2, Files(tmp_path, "any"))
    # By its score the first would be the best accuracy.
    scores, losses = (0.4, 0.2, 0.2, None), (0.9, 0.8, 0.7, None)
    training.curve = [
        {"step": place, "validation": score, "validation_loss": loss}
        for place, (score, loss) in enumerate(zip(scores, losses, strict=True))
    ]
    assert training.best()["step"] == step
    assert ("chosen_by" in plan.settings()) == task.startswith("copy")


def test_a_curve_holds_the_losses_that_choose(tmp_path):
    settings = Settings(tasks=("copy:5",), budget=2_500, **{**TINY, "models": ("elman",)})
    compare(settings, tmp_path)
    for record in read_runs(tmp_path).values():
        best = int(np.argmin(record["curve"]["validation_loss"]))
        assert record["best_step"] == record["curve"]["step"][best]
        assert record["validation"] == record["curve"]["validation"][best]


def test_a_second_start_makes_nothing_again(whole):
    before = {path: path.read_bytes() for path in (whole / "runs").iterdir()}
    events = Events()
    assert compare(adding(), whole, events) == 0
    assert events.of("start") == [(4, 4, 0)]
    assert {path: path.read_bytes() for path in (whole / "runs").iterdir()} == before


def test_more_seeds_are_added_to_those_there(whole, tmp_path):
    assert compare(adding(seeds=1), tmp_path) == 2
    assert compare(adding(), tmp_path) == 2
    assert read_runs(tmp_path) == read_runs(whole)


@pytest.mark.parametrize(
    "kind, n",
    [("run_finished", 1), ("run_started", 2), ("advanced", 1), ("advanced", 5), ("advanced", 12)],
)
def test_an_interrupted_comparison_goes_on_to_the_same_bits(whole, tmp_path, kind, n):
    with pytest.raises(ComparisonInterrupted):
        compare(adding(), tmp_path, Events(kind, n, interrupt))
    assert len(list((tmp_path / "runs").iterdir())) < 4
    events = Events()
    compare(adding(), tmp_path, events)
    assert read_runs(tmp_path) == read_runs(whole)
    assert not (tmp_path / "unfinished").exists()
    if kind == "advanced":  # the epochs done before are not done again
        first_run = events.log[: events.log.index(("run_finished", ("adding-10", "elman", 0)))]
        assert sum(seen == "advanced" for seen, _ in first_run) == 12 - n + 1


@pytest.mark.parametrize("place", [4, 9, 13])
def test_ctrl_c_between_two_updates(whole, tmp_path, monkeypatch, place):
    batches, count = AddingTask.batches, 0

    def until_ctrl_c(self, seed, epoch, steps):
        nonlocal count
        for batch in batches(self, seed, epoch, steps):
            count += 1
            if count == place:
                interrupt()
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(AddingTask, "batches", until_ctrl_c)
        with pytest.raises(ComparisonInterrupted):
            compare(adding(), tmp_path)
    compare(adding(), tmp_path)
    assert read_runs(tmp_path) == read_runs(whole)


def test_a_killed_comparison_goes_on_to_the_same_bits(whole, tmp_path):
    # As if the process had vanished after the fifth evaluation was stored.
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    with pytest.raises(Killed):
        compare(adding(), tmp_path, Events("advanced", 5, kill))
    assert len(list((tmp_path / "unfinished").glob("*-0-*.npz"))) == 2
    compare(adding(), tmp_path)
    assert read_runs(tmp_path) == read_runs(whole)
    assert not (tmp_path / "unfinished").exists()


def test_a_comparison_killed_when_a_model_was_done_leaves_nothing(tmp_path):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    with pytest.raises(Killed):
        compare(adding(seeds=1), tmp_path, Events("run_finished", 1, kill))
    assert (tmp_path / "unfinished").exists()
    compare(adding(seeds=1), tmp_path)
    assert not (tmp_path / "unfinished").exists()


def test_the_number_of_threads_changes_no_result(whole, tmp_path):
    compare(adding(threads=2), tmp_path)
    for name, record in read_runs(tmp_path).items():
        other = read_runs(whole)[name]
        for part in ("score", "curve", "gradient_error", "gradient_flow"):
            assert record[part] == other[part]


@pytest.mark.parametrize(
    "more, words",
    [
        ({"budget": 3_000}, "budget 2500 there, 3000 now"),
        ({"steps": 13}, "steps 12 there, 13 now"),
        ({"threads": 2}, "threads 1 there, 2 now"),
        ({"tune": True}, "tuned false there, true now"),
    ],
)
def test_other_settings_are_not_mixed_in(whole, more, words):
    before = read_runs(whole)
    with pytest.raises(ComparisonError, match="results made with other settings") as caught:
        compare(adding(**more), whole)
    assert words in caught.value.problem
    assert "another folder" in caught.value.hint
    assert read_runs(whole) == before


def test_a_run_that_diverges_is_finished_and_says_so(tmp_path, monkeypatch):
    batches = AddingTask.batches

    def with_inf(self, seed, epoch, steps):
        for batch in batches(self, seed, epoch, steps):
            if epoch == 4:
                batch.targets[...] = np.inf
            yield batch

    monkeypatch.setattr(AddingTask, "batches", with_inf)
    compare(adding(models=("tdnn",), seeds=1), tmp_path)
    record = json.loads((tmp_path / "runs" / "adding-10-tdnn-0.json").read_text())
    assert record["diverged"] is True
    assert record["curve"]["step"] == [0, 1, 2, 3]
    assert np.isfinite(record["score"])


def test_both_tasks_learn_from_a_text_of_one_s_own(tmp_path):
    text = write_text(tmp_path / "squares.txt")
    compare(both(text, seeds=1, steps=60), tmp_path / "out")
    for model in ("elman", "tdnn"):
        record = json.loads((tmp_path / "out" / "runs" / f"char-{model}-0.json").read_text())
        assert record["about"]["references"][0][0] == "unigram"
        assert record["score"] < record["about"]["references"][0][1]
        assert dict(record["about"]["facts"])["text"] == "squares.txt"
        assert str(tmp_path) not in json.dumps(record)


def test_the_gradient_error_is_that_of_float32():
    task = AddingTask(10)
    model = build_model("tdnn", task, 2_500, seed=0)
    batch = next(task.batches(0, 0, 1))
    assert 1e-9 < gradient_error(model, [batch], 1) < 1e-5
    wide = batch._replace(x=batch.x.astype(np.float64), targets=batch.targets.astype(np.float64))
    assert gradient_error(model.astype(np.float64), [wide], 1) == 0.0


def test_the_mean_loss_is_over_predictions_not_batches():
    task = CharTask()
    model = build_model("elman", task, 6_000, seed=0)
    batches = task.test()
    sums = [model.loss(b.x, b.targets, lengths=b.lengths) * task.predictions(b) for b in batches]
    wanted = sum(sums) / (task.parts["test"].size - 1)
    assert mean_loss(model, task, batches, 1) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 99}', "no json"])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "adding-10-elman-0.json").write_text(content)
    with pytest.raises(ComparisonError, match=r"adding-10-elman-0\.json"):
        Store(tmp_path).load()


def test_a_relu_unit_on_its_kink_does_not_make_the_gradient_error(monkeypatch):
    # With equal frames every unit of the first layer sums to 0 but for rounding: whether it is on
    # is left to chance, and in float64 to another chance.
    task = AddingTask(10)
    model = build_model("tdnn", task, 2_500, seed=0)
    batches = list(task.batches(0, 0, 5))
    for batch in batches:
        batch.x[...] = (1 / 3, 0)
    W, b = (model.parameters()[name] for name in ("W0", "b0"))
    b[...] = -(W[..., 0].astype(float) * batch.x[0, 0, 0]).sum(0)
    before = {name: array.copy() for name, array in model.parameters().items()}
    assert gradient_error(model, batches, 1) < 1e-4
    for name, array in model.parameters().items():
        assert np.array_equal(array, before[name])
    monkeypatch.setattr("tdnn.compare.measure.NUDGE", 0.0)
    assert gradient_error(model, batches, 1) > 1e-3


def test_recipe_and_schedule_reach_the_training(tmp_path, monkeypatch):
    seen, fit = [], fastrnn.fit

    def spy(model, *data, **options):
        seen.append((model.dropout, options["schedule"], options["optimizer"].weight_decay))
        return fit(model, *data, **options)

    monkeypatch.setattr(fastrnn, "fit", spy)
    monkeypatch.setattr("tdnn.compare.defaults.recipe", lambda *_: Recipe(0.25, 0.125))
    full, quick = DEFAULTS["adding"]
    monkeypatch.setitem(DEFAULTS, "adding", (replace(full, schedule="cosine"), quick))
    compare(adding(models=("elman",), seeds=1), tmp_path)
    assert seen == [(0.25, fastrnn.CosineSchedule(12), 0.125)]
    settings = Store(tmp_path).load()[0]["settings"]
    assert settings["schedule"] == "cosine" and settings["models"]["elman"]["dropout"] == 0.25
