"""Tuning: the same search for every model, recorded, resumed, from seeds that no run uses."""

import json
import os
import signal

import pytest
from tiny import Events, adding, read_runs

from tdnn.compare.defaults import DEFAULTS, Defaults, Point
from tdnn.compare.errors import ComparisonInterrupted
from tdnn.compare.results import Store
from tdnn.compare.run import compare
from tdnn.compare.tasks.adding import AddingTask
from tdnn.compare.tasks.copying import CopyTask
from tdnn.compare.tuning import FIRST_TUNING_SEED, choose

SLOW, FAST = Point(1e-3, 1.0), Point(1e-1, 1.0)
SMALL = Defaults(2_500, 12, 2, length=10, learning_rates=(1e-3, 1e-2), clip_norms=(1.0,))


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DEFAULTS, "adding", (SMALL, SMALL))
        yield patch


@pytest.fixture(scope="module")
def whole(patched, tmp_path_factory):
    """A tuned comparison of two points, two seeds each."""
    out = tmp_path_factory.mktemp("tuned")
    events = Events()
    assert compare(adding(tune=True), out, events) == 4
    assert len(events.of("trial_started")) == 8
    assert events.of("tuned") == [("adding-10", "elman"), ("adding-10", "tdnn")]
    assert events.of("start") == [(4, 0, 4 * 12 + 8 * 6)]
    return out


def test_every_model_is_tried_at_the_same_points_and_seeds(whole):
    records = Store(whole).load_tuning()
    assert [record["model"] for record in records] == ["elman", "tdnn"]
    tried = [
        [(row["learning_rate"], row["clip_norm"], row["seed"], row["steps"])
         for row in record["tuning"]["trials"]]
        for record in records
    ]  # fmt: skip
    first, second = FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1
    assert tried[0] == tried[1] == [
        (1e-3, 1.0, first, 6), (1e-3, 1.0, second, 6),
        (1e-2, 1.0, first, 6), (1e-2, 1.0, second, 6),
    ]  # fmt: skip
    for record in records:
        tuning, means = record["tuning"], {}
        for row in tuning["trials"]:
            means.setdefault(row["learning_rate"], []).append(row["validation"])
        assert tuning["chosen"]["learning_rate"] == min(means, key=lambda rate: sum(means[rate]))
        assert tuning["seeds"] == 2 and len(tuning["grid"]) == 2


def test_all_seeds_of_a_model_are_trained_at_its_chosen_point(whole):
    chosen = {record["model"]: record["tuning"] for record in Store(whole).load_tuning()}
    for record in Store(whole).load():
        assert record["tuning"] == chosen[record["model"]]
        assert record["settings"]["tuned"] is True
    assert not (whole / "unfinished").exists()


@pytest.mark.parametrize("kind, n", [("trial_started", 2), ("advanced", 9), ("tuned", 1)])
def test_an_interrupted_search_goes_on_to_the_same_bits(whole, tmp_path, kind, n):
    with pytest.raises(ComparisonInterrupted):
        compare(adding(tune=True), tmp_path, Events(kind, n, interrupt))
    events = Events()
    compare(adding(tune=True), tmp_path, events)
    assert len(events.of("trial_started")) == {"trial_started": 7, "advanced": 7, "tuned": 0}[kind]
    assert read_runs(tmp_path) == read_runs(whole)
    for name in ("adding-10-elman.json", "adding-10-tdnn.json"):
        assert (tmp_path / "tuning" / name).read_bytes() == (whole / "tuning" / name).read_bytes()
    assert not (tmp_path / "unfinished").exists()


def test_a_stored_choice_is_used_again(whole, tmp_path):
    (tmp_path / "tuning").mkdir()
    stored = json.loads((whole / "tuning" / "adding-10-elman.json").read_text())
    stored["tuning"]["chosen"] = Point(0.02, 0.5)._asdict()
    (tmp_path / "tuning" / "adding-10-elman.json").write_text(json.dumps(stored))
    events = Events()
    compare(adding(tune=True, models=("elman",), seeds=1), tmp_path, events)
    assert events.of("trial_started") == []
    assert Store(tmp_path).load()[0]["tuning"]["chosen"]["learning_rate"] == 0.02


def row(point, validation, diverged=False):
    return {**point._asdict(), "validation": validation, "diverged": diverged}


@pytest.mark.parametrize(
    "rows, lower, wanted",
    [
        ([row(SLOW, 0.5), row(FAST, 0.4)], True, FAST),
        ([row(SLOW, 0.5), row(FAST, 0.4)], False, SLOW),
        ([row(SLOW, 0.5), row(FAST, 0.5)], True, SLOW),  # of equals the first
        ([row(SLOW, 0.5), row(FAST, 0.1), row(SLOW, 0.5), row(FAST, 1.0)], True, SLOW),  # the mean
        ([row(SLOW, 0.5), row(FAST, 0.1, True)], True, SLOW),  # one that diverged comes last
        ([row(SLOW, 0.5), row(FAST, None)], True, SLOW),
        ([row(SLOW, 0.5, True), row(FAST, 0.4, True)], True, FAST),
        ([row(SLOW, None, True), row(FAST, None, True)], True, SLOW),
        ([row(SLOW, None, True), row(FAST, 0.9, True)], False, FAST),
    ],
)
def test_the_best_mean_is_chosen(rows, lower, wanted):
    assert choose([SLOW, FAST], rows, lower) == wanted


@pytest.mark.parametrize(
    "rows, lower, wanted",
    [
        ([row(SLOW, 0.9995), row(FAST, 1.0)], False, SLOW),  # no further than the resolution
        ([row(SLOW, 0.998), row(FAST, 1.0)], False, FAST),
        ([row(SLOW, 0.4005), row(FAST, 0.4)], True, SLOW),
        ([row(SLOW, 0.402), row(FAST, 0.4)], True, FAST),
        ([row(SLOW, 1.0, True), row(FAST, 1.0)], False, FAST),  # but one that diverged is no equal
        ([row(SLOW, None, True), row(FAST, None, True)], False, SLOW),
    ],
)
def test_within_the_resolution_all_points_are_equal(rows, lower, wanted):
    assert choose([SLOW, FAST], rows, lower, 1e-3) == wanted


def test_accuracies_have_a_resolution_and_losses_have_none():
    assert CopyTask(5).resolution == 1e-3
    assert AddingTask(5).resolution == 0.0
