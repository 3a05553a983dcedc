"""Two result sets: what changed, what is noise, what cannot be compared."""

import pytest
from records import record, runs, write

from tdnn.compare.diff import compare_results
from tdnn.compare.errors import ComparisonError

OLD = [0.050, 0.052, 0.049, 0.051, 0.050]


def shifted(by):
    return [score + by + 0.0001 * place for place, score in enumerate(OLD)]


@pytest.fixture
def difference(tmp_path):
    """The text that compares two lists of records."""

    def compare(first, second):
        return compare_results(write(tmp_path / "a", first), write(tmp_path / "b", second))

    return compare


def line(text, task, model):
    return next(own.split() for own in text.splitlines() if own.split()[:2] == [task, model])


def test_every_kind_of_change(difference):
    changes = (0.01, -0.01, 0.02, -0.015, 0.0)
    noisy = [score + change for score, change in zip(OLD, changes, strict=True)]
    higher = [1 - score for score in OLD]
    text = difference(
        [*runs("adding-200", {"elman": OLD, "tdnn": OLD, "elman-2": OLD, "jordan": OLD}),
         *runs("copy-500", {"elman": higher})],
        [*runs("adding-200", {"elman": shifted(-0.01), "tdnn": shifted(0.01), "elman-2": noisy,
                              "jordan": OLD}),
         *runs("copy-500", {"elman": [1 - score for score in shifted(0.1)]})],
    )  # fmt: skip
    verdicts = {
        ("adding-200", "elman"): "better",
        ("adding-200", "tdnn"): "worse",
        ("adding-200", "elman-2"): "noise",
        ("adding-200", "jordan"): "same",
        ("copy-500", "elman"): "worse",  # higher is better there
    }
    for pair, word in verdicts.items():
        assert line(text, *pair)[-1] == word, text
    assert line(text, "adding-200", "elman")[2:5] == [
        "0.05040",
        "0.04060",
        "\N{MINUS SIGN}0.009800",
    ]
    assert "3 of 5 rows changed by more than noise" in text
    assert "a small one may be there" in text
    assert line(text, "adding-200", "jordan")[4:8] == ["0", "[0", "to", "0]"]
    assert "Settings, data, sizes and environments are the same." in text


def test_few_seeds_show_nothing(difference):
    text = difference(
        runs("adding-200", {"elman": OLD[:2]}), runs("adding-200", {"elman": [0.001] * 2})
    )
    assert line(text, "adding-200", "elman")[-3:] == ["too", "few", "seeds"]
    assert "No change can be judged: that takes 3 pairs" in text


def test_what_differs_is_said_once_and_where(difference):
    first = runs("adding-200", {"elman": OLD, "tdnn": OLD})
    second = runs(
        "adding-200", {"elman": OLD, "tdnn": OLD},
        **{"settings.steps": 4_000, "environment.threads": "1"},
    )  # fmt: skip
    for item in second:
        if item["model"] == "tdnn":
            item["tuning"]["chosen"] = item["tuning"]["grid"][0]
    text = difference(first, second)
    assert text.count("settings, steps: 2000 in A, 4000 in B\n") == 1
    assert "environment, threads: 2 in A, 1 in B\n" in text
    assert "tuning, learning rate: 0.004 in A, 0.001 in B (adding-200 tdnn)\n" in text


def test_other_data_is_not_compared(difference):
    first = runs("adding-200", {"elman": OLD})
    for change in (
        {"environment.data": {"made-up.txt": "beef"}},
        {"settings.data": {"batch_size": 8}},
    ):
        text = difference(first, runs("adding-200", {"elman": shifted(-0.04)}, **change))
        assert line(text, "adding-200", "elman")[-2:] == ["other", "data"]
        assert "No change can be judged" in text
    text = difference(first, runs("adding-200", {"elman": OLD}, **{"about.metric": "another"}))
    assert line(text, "adding-200", "elman")[-2:] == ["other", "metric"]


def test_runs_in_one_set_only_are_named(difference):
    text = difference(
        [record(seed=0), record(model="tdnn")], [record(seed=0), record(model="jordan")]
    )
    assert "Only in A: adding-200 tdnn\nOnly in B: adding-200 jordan" in text


def test_nothing_in_common(difference):
    text = difference([record("char", score=2.0)], [record("music", score=8.0)])
    assert "no task and model is in both" in text
    assert "Only in A: char elman" in text


def test_runs_without_a_score(difference):
    text = difference(runs("adding-200", {"elman": [None] * 3}), runs("adding-200", {"elman": OLD}))
    assert line(text, "adding-200", "elman")[2:4] == ["no", "score"]
    assert text.count("no pair of runs with a score") == 1


@pytest.mark.parametrize("empty", ["A", "B"])
def test_a_folder_without_runs_is_one_clear_error(tmp_path, empty):
    full = write(tmp_path / "full", [record()])
    places = (tmp_path / "no", full) if empty == "A" else (full, tmp_path / "no")
    with pytest.raises(ComparisonError, match=f"^{empty}: there is no finished run"):
        compare_results(*places)


def test_the_same_two_sets_give_the_same_text(tmp_path):
    a = write(tmp_path / "a", runs("adding-200", {"elman": OLD}))
    b = write(tmp_path / "b", runs("adding-200", {"elman": shifted(0.01)}))
    assert compare_results(a, b) == compare_results(a, b)
