"""Parts of a comparison made apart, and put together again."""

import json
import shutil

import pytest
from tiny import adding, read_runs

from tdnn.compare.__main__ import main
from tdnn.compare.errors import ComparisonError
from tdnn.compare.merging import merge, timeless
from tdnn.compare.run import compare
from tdnn.compare.settings import Shard


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    compare(adding(), out)
    return out


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Three shards of the same four runs."""
    folder = tmp_path_factory.mktemp("parts")
    made = [compare(adding(shard=Shard(n, 3)), folder / str(n)) for n in (1, 2, 3)]
    assert sorted(made) == [1, 1, 2]
    return [folder / str(n) for n in (1, 2, 3)]


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_merged_shards_are_the_whole(whole, parts, tmp_path):
    assert merge(tmp_path / "out", parts) == (4, 4)
    assert read_runs(tmp_path / "out") == read_runs(whole)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["runs"]


@pytest.mark.parametrize("count", range(1, 12))
def test_shards_are_disjoint_and_cover_all(count):
    items = [f"run {number}" for number in range(8)]
    found = [item for n in range(1, count + 1) for item in Shard(n, count).of(items)]
    assert found == items
    sizes = [len(Shard(n, count).of(items)) for n in range(1, count + 1)]
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_of_no_runs_makes_none(tmp_path):
    assert compare(adding(models=("elman",), seeds=1, shard=Shard(1, 2)), tmp_path) == 0


def test_the_same_runs_may_be_in_two_folders(whole, parts, tmp_path):
    assert merge(tmp_path, [whole, parts[0]]) == (4, 4)
    assert merge(tmp_path, parts) == (0, 4)  # what is there stays
    assert read_runs(tmp_path) == read_runs(whole)


def copied(parts, tmp_path):
    """The same folders, to be spoiled."""
    return [shutil.copytree(part, tmp_path / part.name) for part in parts]


def test_other_settings_are_refused(parts, tmp_path):
    folders = copied(parts, tmp_path)
    run = next((folders[1] / "runs").iterdir())
    settings = json.loads(run.read_text())["settings"]
    change(run, settings={**settings, "steps": 13})
    with pytest.raises(ComparisonError, match="steps 12 there, 13 in") as caught:
        merge(tmp_path / "out", folders)
    assert str(folders[0]) in caught.value.problem and str(folders[1]) in caught.value.problem
    assert not (tmp_path / "out").exists()


def test_a_conflict_is_one_line_and_writes_nothing(capsys, whole, parts, tmp_path):
    folders = copied([whole, *parts], tmp_path)
    change(folders[1] / "runs" / "adding-10-elman-0.json", score=0.5)
    assert main(["merge", str(tmp_path / "out"), *map(str, folders)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "merge: adding-10 elman 0 has other results" in err and "(score)" in err
    assert not (tmp_path / "out").exists()


def test_another_tuning_of_the_same_model_is_refused(parts, tmp_path):
    folders = copied(parts, tmp_path)
    run = folders[1] / "runs" / "adding-10-elman-1.json"
    point = {"learning_rate": 0.5, "clip_norm": 1.0}
    change(run, tuning={"grid": [point], "seeds": 0, "trials": [], "chosen": point})
    with pytest.raises(ComparisonError, match=r"elman seed 1 in .* tuned to learning rate 0\.5"):
        merge(tmp_path / "out", folders)


def test_a_folder_without_runs_is_named(whole, tmp_path):
    with pytest.raises(ComparisonError, match=r"merge: there is no finished run in .*nothing"):
        merge(tmp_path / "out", [whole, tmp_path / "nothing"])


def test_merge_and_report_from_the_command_line(capsys, parts, tmp_path):
    assert main(["merge", str(tmp_path), *map(str, parts)]) == 0
    out = capsys.readouterr().out
    assert out == f"4 runs added, 4 there; write the report: rnn-vs-tdnn report --out {tmp_path}\n"


def test_times_are_no_results(whole):
    record = json.loads((whole / "runs" / "adding-10-elman-0.json").read_text())
    kept = timeless(record)
    assert {"timing", "environment"} & kept.keys() == set()
    assert {"score", "curve", "tuning", "gradient_error", "stored_bytes"} <= kept.keys()
