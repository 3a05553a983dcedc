"""The results in docs/results: whole, of this schema, told by the report beside them."""

from pathlib import Path

import pandas as pd
import pytest

from tdnn.compare.models import MODELS
from tdnn.compare.report import write_report
from tdnn.compare.results import Store

SHIPPED = Path(__file__).parents[2] / "docs" / "results"
TASKS = {"adding-200", "char", "copy-100", "copy-500", "music", "ts"}


@pytest.fixture(scope="module")
def records():
    return Store(SHIPPED).load()


def test_every_task_is_there_with_seeds_enough_for_a_verdict(records):
    assert {record["task"] for record in records} == TASKS
    for task in TASKS:
        own = [record for record in records if record["task"] == task]
        models = {record["model"] for record in own}
        assert {"elman", "elman-2", "tdnn", "tdnn-dilated"} <= models <= set(MODELS)
        for model in models:
            seeds = [record["seed"] for record in own if record["model"] == model]
            assert seeds == list(range(len(seeds))) and len(seeds) >= 3


def test_one_task_has_one_setting_and_one_data_set(records):
    for task in TASKS:
        own = [record for record in records if record["task"] == task]
        assert len({record["fingerprint"] for record in own}) == 1
        assert len({str(record["environment"]["data"]) for record in own}) == 1


def test_the_report_beside_them_tells_of_them(tmp_path):
    (tmp_path / "runs").symlink_to(SHIPPED / "runs")
    (tmp_path / "tuning").symlink_to(SHIPPED / "tuning")
    write_report(tmp_path, ("csv",))
    for name, exact in (("runs.csv", ["score", "loss"]), ("verdicts.csv", ["kind", "winner"])):
        new, shipped = pd.read_csv(tmp_path / name), pd.read_csv(SHIPPED / name)
        pd.testing.assert_frame_equal(new[exact], shipped[exact])


def test_polyphonic_music_lands_near_what_was_published(records):
    means = {
        model: pd.Series(
            [r["score"] for r in records if (r["task"], r["model"]) == ("music", model)]
        ).mean()
        for model in ("elman", "tdnn-dilated")
    }
    # Bai, Kolter and Koltun (2018): RNN 8.91, TCN 8.10 nats per frame.
    assert 8.7 <= means["elman"] <= 9.1 and 8.0 <= means["tdnn-dilated"] <= 8.3
