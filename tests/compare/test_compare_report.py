"""The report: the same runs, the same bytes; nothing from outside; no number from nowhere."""

import copy
import html
import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import pytest
from page_numbers import numbers_of, read_csv, read_page, rounds_to, tokens
from records import around, record, runs, write

import tdnn.compare
from tdnn.compare.errors import ComparisonError
from tdnn.compare.report import FILES, write_report
from tdnn.compare.results import RUN_ENTRIES, SCHEMA

NAMES = [name for own in FILES.values() for name in own]
MODELS = ("elman", "jordan", "tdnn", "tdnn-dilated")


def small():
    """Two lengths of one task, and another task with a model more; one run diverged."""
    found = [
        *runs("adding-100", {"elman": around(0.012, 3), "tdnn": around(0.16, 3),
                             "tdnn-dilated": around(0.0004, 3)}),
        *runs("adding-600", {"elman": around(0.17, 3), "tdnn": around(0.1671, 3),
                             "tdnn-dilated": around(0.0003, 3)}),
        *runs("copy-50", {"elman": around(0.5, 3), "jordan": around(0.2, 3),
                          "tdnn": around(0.3, 3), "tdnn-dilated": around(0.93, 3)}),
    ]  # fmt: skip
    found[4]["diverged"] = True
    for series in (*found[4]["curve"].values(), found[4]["timing"]["curve"]):
        del series[9:]
    found[4]["curve"]["validation"][3] = None
    return found


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with the report of a small made-up comparison."""
    folder = write(tmp_path_factory.mktemp("report") / "out", small())
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(out):
    return read_page(out)


def report(tmp_path, records, *formats):
    write(tmp_path, records)
    return write_report(tmp_path, formats or ("md",))


def test_the_same_runs_give_the_same_bytes(out, tmp_path):
    for name in NAMES:
        assert (out / name).stat().st_size > 0
    shutil.copytree(out / "runs", tmp_path / "runs")
    write_report(tmp_path)
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_the_page_reaches_out_to_nothing(out):
    text = (out / "index.html").read_text("utf-8")
    for word in ("http:", "https:", "<script", "<link", "@import", "<iframe", "xmlns", "src="):
        assert word not in text
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', text))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_the_page_is_well_formed_and_no_id_comes_twice(page):
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 3 * 7 + 1 + 2  # 7 of a task, by lag, how far apart, over T
    assert page.tags.count("h1") == 1
    targets = {value[1:] for name, value in page.attributes if (name or "").endswith("href")}
    assert targets <= set(page.ids)


def test_every_figure_is_an_image_with_a_title(out):
    text = (out / "index.html").read_text("utf-8")
    for figure in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        root = ET.fromstring(figure.replace("xlink:href", "href"))
        assert root.get("role") == "img"
        assert root[0].tag == "title" and root[0].text
        words = [element.text or "" for element in root.iter("text")]
        assert any("elman" in word for word in words) or "TDNN better →" in words


def test_every_number_of_a_table_is_a_rounded_number_of_a_csv_file(out, page):
    names = ("summary.csv", "verdicts.csv", "verdicts.csv", "summary.csv", "published.csv")
    files = [numbers_of(read_csv(out, name)) for name in names]
    assert len(page.tables) == len(files)
    seen = 0
    for table, there in zip(page.tables, files, strict=True):
        for cell in (cell for row in table[1:] for cell in row):
            values = [float(value) for value in cell.get("data-values", "").split()]
            found = tokens(re.sub(r"\(.*?\)", "", cell["text"]) if values else "")
            assert len(found) == len(values), cell
            for value, (token, unit) in zip(values, found, strict=True):
                assert value in there, cell
                below = cell["text"].startswith("<") and value < float(token)
                assert below or rounds_to(value, token, unit), cell
                seen += 1
    assert seen > 200


def test_every_other_number_of_the_page_is_in_a_csv_file_or_fixed_text(out, page):
    texts, values = set(), set()
    for name in FILES["csv"]:
        rows = read_csv(out, name)
        values |= numbers_of(rows)
        texts |= {token for row in rows for cell in row.values() for token, _ in tokens(cell)}
    templates = Path(tdnn.compare.__file__).parent / "templates"
    fixed = re.sub(r"\{[{%].*?[%}]\}", " ", (templates / "report.html.j2").read_text("utf-8"))
    texts |= {token for token, _ in tokens(html.unescape(fixed))}
    texts |= {token for token, _ in tokens(read_text_of_citation())}
    for text in page.texts:
        for token, unit in tokens(text):
            assert token in texts or any(rounds_to(value, token, unit) for value in values), text


def read_text_of_citation():
    from tdnn.compare.published import CITATION

    return CITATION


def test_the_check_of_numbers_can_fail():
    assert rounds_to(0.012345, "0.01234") or rounds_to(0.012345, "0.01235")
    assert not rounds_to(0.012345, "0.0124")
    assert rounds_to(12_345.6, "12,300") and not rounds_to(12_345.6, "12,400")
    assert rounds_to(4.2e-6, "4.20", "µs") and not rounds_to(4.2e-6, "4.20", "ms")
    assert rounds_to(1.234e-6, "1.2e-06") and not rounds_to(1.234e-6, "1.3e-06")
    assert tokens("adding-200: 3 of 5, \N{MINUS SIGN}0.5 to 1,024 µs") == [
        ("3", "of"), ("5", ""), ("\N{MINUS SIGN}0.5", "to"), ("1,024", "µs"),
    ]  # fmt: skip


def test_the_numbers_of_each_verdict_stand_in_its_row(out):
    for row in read_csv(out, "verdicts.csv"):
        means = {
            float(found["mean"])
            for found in read_csv(out, "summary.csv")
            if found["task"] == row["task"]
        }
        floors = {float(found["floor"]) for found in read_csv(out, "runs.csv")}
        values = numbers_of([row]) | means | floors
        values |= {abs(value) for value in values} | {95.0, 0.05, 0.001}
        for token, unit in tokens(row["sentence"]):
            assert any(rounds_to(value, token, unit) for value in values), (token, row["sentence"])


def test_the_numbers_of_each_remark_stand_beside_it(out):
    rows = [row for row in read_csv(out, "remarks.csv") if row["values"]]
    assert {row["about"] for row in rows} >= {"diverged", "parallel in time"}
    for row in rows:
        values = [float(value) for value in row["values"].split()]
        found = tokens(row["sentence"])
        assert len(found) in (0, len(values))
        for value, (token, _) in zip(values, found, strict=False):
            assert rounds_to(value, token), row


def test_the_summary_follows_from_the_runs(out):
    rows = read_csv(out, "runs.csv")
    for row in read_csv(out, "summary.csv"):
        own = [r for r in rows if (r["task"], r["model"]) == (row["task"], row["model"])]
        scores = [float(r["score"]) for r in own]
        assert float(row["mean"]) == pytest.approx(sum(scores) / len(scores), rel=1e-12)
        slack = 1e-12 * max(scores)  # the mean of equal numbers may be rounded
        assert min(scores) - slack <= float(row["low"]) < float(row["high"])
        assert float(row["high"]) <= max(scores) + slack
        assert float(row["gradient_error"]) == max(float(r["gradient_error"]) for r in own)


def test_verdicts_come_first_and_families_before_pairs(out):
    text = (out / "index.html").read_text("utf-8")
    places = [text.index(f'id="{name}"') for name in ("verdicts", "results", "published", "t1")]
    assert places == sorted(places)
    rows = read_csv(out, "verdicts.csv")
    first = [row for row in rows if row["compared"] == "headline"]
    assert [row["task"] for row in first] == ["adding-100", "adding-600", "copy-50"]
    assert [row["winner"] for row in first] == ["tdnn-dilated"] * 3
    assert all(row["first"] in ("elman", "jordan") for row in first)
    assert len(rows) - len(first) == 3 + 3 + 6


def test_the_verdicts_are_the_same_everywhere(out):
    everything = json.loads((out / "runs.json").read_text("utf-8"))
    text = html.unescape((out / "index.html").read_text("utf-8"))
    markdown = (out / "summary.md").read_text("utf-8").replace("\\", "").replace("*", "")
    rows = {row["sentence"] for row in read_csv(out, "verdicts.csv")}
    assert len(everything["verdicts"]) == 3
    for verdict in everything["verdicts"]:
        statement, sentence = verdict["statement"], verdict["sentence"]
        assert sentence in rows and sentence in markdown
        assert statement in text and sentence.removeprefix(statement).strip() in text


def test_the_markdown_tables_have_the_same_cells(out, page):
    lines = (out / "summary.md").read_text("utf-8").splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    cells = [[cell.strip().replace("\\", "") for cell in row] for row in rows
             if not set("".join(row)) <= set("-: ")]  # fmt: skip
    wanted = [[cell["text"].strip() for cell in row] for table in page.tables for row in table]
    assert cells == wanted


def test_the_json_holds_every_run_whole(out):
    everything = json.loads((out / "runs.json").read_text("utf-8"))
    stored = [json.loads(path.read_text()) for path in sorted((out / "runs").iterdir())]
    assert everything["schema"] == SCHEMA
    assert sorted(everything["runs"], key=str) == sorted(stored, key=str)
    assert len(everything["summary"]) == 10
    assert everything["published"][2]["column"] == "RNN"
    assert everything["ranks"] is None and 0 <= everything["improvement"]["mean"] <= 1


def test_the_tidy_tables_hold_every_point(out):
    stored = [json.loads(path.read_text()) for path in sorted((out / "runs").iterdir())]
    sizes = {
        "runs.csv": len(stored),
        "curves.csv": sum(len(item["curve"]["step"]) for item in stored),
        "by_lag.csv": sum(len(item["by_lag"] or ()) for item in stored),
        "throughput.csv": sum(len(item["timing"]["lengths"]) for item in stored),
        "gradient_flow.csv": sum(len(item["gradient_flow"]["lag"]) for item in stored),
        "tuning.csv": 10 * 4,
        "lengths.csv": 6,
        "gaps.csv": 3,
        "published.csv": 7 * 4,
    }
    for name, size in sizes.items():
        assert len(read_csv(out, name)) == size, name
    for row in read_csv(out, "by_lag.csv"):
        name = f"{row['task']}-{row['model']}-{row['seed']}.json"
        item = json.loads((out / "runs" / name).read_text())
        assert [int(row["lag"]), float(row["score"])] in item["by_lag"]


def test_the_environment_block_has_hashes_commit_and_threads(page):
    text = " ".join(page.texts)
    for word in ("c0ffee" * 10 + "0123", "made-up.txt", "0123abc", "threads", "Made-up Processor"):
        assert word in text


def test_the_flow_s_figure_says_where_a_network_sees_nothing_more(out):
    text = (out / "index.html").read_text("utf-8")
    figures = re.findall(
        r"<figcaption>Gradient flow[^<]*</figcaption>\s*(<svg.*?</svg>)", text, re.S
    )
    assert [figure.count("then exactly 0") for figure in figures] == [2, 2, 2]


@pytest.mark.parametrize("name", ["html", "md", "csv", "json"])
def test_a_single_format_writes_its_files_only(tmp_path, name):
    report(tmp_path, [record(seed=seed) for seed in range(3)], name)
    assert {path.name for path in tmp_path.iterdir()} - {"runs"} == set(FILES[name])


def test_an_unknown_format_is_one_clear_error(out):
    with pytest.raises(ComparisonError, match=r"--format: there is no 'pdf'.*html, md, csv, json"):
        write_report(out, ("html", "pdf"))


def test_names_from_outside_are_escaped(tmp_path):
    evil = "<script>alert('x')</script> $a^b$ |&amp;*`_]]>--> text"
    # Such names come from files, also a model's or a task's from a store made by hand.
    change = {
        "about.title": evil, "about.metric": evil, "about.description": evil,
        "about.source": evil, "about.facts": [[evil, evil]], "about.references": [[evil, 0.2]],
        "network.description": evil, "environment.processor": evil,
        "environment.data": {evil: evil}, "settings.optimizer": evil,
    }  # fmt: skip
    records = [
        {**record(seed=seed, score=0.01 + seed / 1000, **change), "task": evil, "model": model}
        for model in (f"elman{evil}", f"tdnn{evil}")
        for seed in range(3)
    ]
    (tmp_path / "runs").mkdir()
    for place, item in enumerate(records):
        (tmp_path / "runs" / f"{place}.json").write_text(json.dumps(item))
    write_report(tmp_path)
    found = read_page(tmp_path)
    assert "script" not in found.tags
    text = (tmp_path / "index.html").read_text("utf-8")
    assert "<script" not in text and evil in html.unescape(text)
    for figure in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        ET.fromstring(figure.replace("xlink:href", "href"))
    # In Markdown a bar would start a new cell, and a tag would be one.
    markdown = (tmp_path / "summary.md").read_text("utf-8")
    assert "<script" not in markdown.replace("\\<", "")
    rows = [line for line in markdown.splitlines() if line.startswith("| \\<script\\>")]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} <= {11, 13}
    assert len(rows) == 5  # two of the scores, two of the costs, one of the evidence
    assert read_csv(tmp_path, "runs.csv")[0]["task"] == evil


def test_a_single_seed_has_no_interval_and_says_so(tmp_path):
    found = report(tmp_path, [record(model=model) for model in MODELS], "md", "csv")
    assert [verdict.kind for verdict in found] == ["too few seeds"]
    assert (tmp_path / "summary.md").read_text("utf-8").count("one seed: no interval") >= 4
    assert all(row["low"] == "" for row in read_csv(tmp_path, "summary.csv"))


def test_a_single_model_is_reported_without_a_verdict(tmp_path):
    assert report(tmp_path, [record(seed=seed) for seed in range(3)]) == []
    assert "nothing to compare" in (tmp_path / "summary.md").read_text("utf-8")


def test_models_of_one_kind_are_compared_in_pairs(tmp_path):
    scores = {"elman": around(0.01, 3), "elman-2": around(0.1, 3), "jordan": around(0.05, 3)}
    found = report(tmp_path, runs("adding-200", scores))
    assert [verdict.models for verdict in found] == [
        ("elman", "elman-2"), ("elman", "jordan"), ("elman-2", "jordan"),
    ]  # fmt: skip


def test_runs_without_a_score_latency_or_tuning_are_reported(tmp_path):
    records = [
        record(model=model, seed=seed, score=None if model == "tdnn" else 0.01 + seed / 1000,
               **{"timing.latency": None, "tuning.trials": [], "timing.lengths": []})
        for model in ("elman", "tdnn") for seed in range(3)
    ]  # fmt: skip
    found = report(tmp_path, records, "html", "md", "csv", "json")
    assert [verdict.kind for verdict in found] == ["no score"]
    text = html.unescape((tmp_path / "index.html").read_text("utf-8"))
    assert "no score" in text and "0 of 3" in text
    assert "adding-200: learning rates and clipping are fixed ones" in text
    assert "not tuned here" in text


def caveats(tmp_path, records):
    report(tmp_path, records, "csv")
    return {(row["about"], row["task"]): row["sentence"]
            for row in read_csv(tmp_path, "remarks.csv")}  # fmt: skip


def test_a_diverged_run_is_named(out):
    rows = {(row["about"], row["task"]): row["sentence"] for row in read_csv(out, "remarks.csv")}
    assert (
        "adding-100, tdnn: 1 of 3 runs met a value that is not finite"
        in rows["diverged", "adding-100"]
    )


def test_a_teacher_forced_jordan_on_text_is_called_memoryless(tmp_path):
    found = caveats(tmp_path, [record("char", "jordan", score=3.0), record("copy-50", "jordan"),
                               record("music", "jordan", score=9.0)])  # fmt: skip
    assert (
        "on next-character text is the present input itself: it has no memory"
        in (found["jordan", "char"])
    )
    assert "on next-frame music is the present input itself" in found["jordan", "music"]
    assert ("jordan", "copy-50") not in found


def test_a_short_receptive_field_is_named(tmp_path):
    found = caveats(tmp_path, [record("delayed-echo", "tdnn", score=0.01, **{"about.memory": 40})])
    sentence = found["receptive field", "delayed-echo"]
    assert "the receptive field is 32 frames, the answer needs 40" in sentence


def test_models_missing_on_a_task_are_named(tmp_path):
    found = caveats(tmp_path, [record("char", "jordan", score=3.0), record("char", score=2.0),
                               record("ts", score=0.9)])  # fmt: skip
    assert found["not run", ""].startswith("jordan: not run on ts")


def rates(model, by_length):
    lengths = [
        {"length": length, "batch": 8, "forward": 3 * rate, "forward_backward": rate}
        for length, rate in by_length.items()
    ]
    return record(model=model, **{"timing.lengths": lengths})


@pytest.mark.parametrize(
    "elman, tdnn, words",
    [
        ({10: 1e5, 1000: 1e5}, {10: 1e5, 1000: 4e5},
         ["tdnn is trained on 400,000 steps per second and elman on 100,000: 4.0 times as many",
          "by a factor of 4.0, that of elman by 1.0", "buys over long sequences"]),
        ({10: 1e6, 1000: 1e6}, {10: 1e5, 1000: 1e5},
         ["elman is trained on 1,000,000 steps per second and tdnn on 100,000: 10 times as many",
          "buys nothing by length"]),
        ({10: 1e6, 1000: 1e6}, {10: 1e5, 1000: 5e5},
         ["elman is trained on 1,000,000 steps per second and tdnn on 500,000: 2.0 times as many",
          "buys this growth, but not the lead"]),
    ],
)  # fmt: skip
def test_what_parallel_in_time_buys_is_computed(tmp_path, elman, tdnn, words):
    sentence = caveats(tmp_path, [rates("elman", elman), rates("tdnn", tdnn)])[
        "parallel in time", "adding-200"
    ]
    for word in (*words, "at T = 1,000 (8 sequences)", "From T = 10 to 1,000"):
        assert word in sentence


def test_two_environments_are_both_shown(tmp_path):
    records = [record(seed=seed) for seed in range(3)]
    records[2]["environment"]["processor"] = "Another Processor"
    report(tmp_path, records, "md", "csv")
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert text.count("- processor: ") == 2
    sections = {row["section"] for row in read_csv(tmp_path, "facts.csv")}
    assert {"Environment 1", "Environment 2"} <= sections


FAMILIES = ("adding-100", "adding-200", "copy-50", "char", "music", "ts", "parity", "delayed-echo")


@pytest.mark.parametrize("count, ranked", [(6, False), (7, True)])
def test_ranks_are_shown_with_enough_tasks_only(tmp_path, count, ranked):
    records = [record(task, model, seed, score=0.01 * (1 + place) + seed / 1e4)
               for task in FAMILIES[:count]  # two of them are one family
               for place, model in enumerate(("elman", "tdnn", "tdnn-dilated"))
               for seed in range(2)]  # fmt: skip
    report(tmp_path, records, "md", "csv")
    text = (tmp_path / "summary.md").read_text("utf-8")
    rows = read_csv(tmp_path, "ranks.csv")
    assert ("Friedman's test over 6 tasks and 3 models" in text) is ranked
    assert ("Here: 3 models, 5 tasks." in text) is not ranked
    assert len(rows) == (3 if ranked else 0)


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    write(tmp_path, [record()])
    before = copy.deepcopy(dict(mpl.rcParams))
    with mpl.rc_context({"font.size": 30.0, "axes.facecolor": "black"}):
        write_report(tmp_path, ("html",))
    assert dict(mpl.rcParams) == before
    # And whatever a user has set there does not reach the report.
    assert "font: 30px" not in (tmp_path / "index.html").read_text("utf-8")


def test_a_report_needs_a_run(tmp_path):
    with pytest.raises(ComparisonError, match="no finished run"):
        write_report(tmp_path)


def test_an_older_schema_is_one_clear_error(tmp_path):
    write(tmp_path, [record(schema=1)])
    with pytest.raises(ComparisonError, match=rf"has schema 1, this version reads {SCHEMA}"):
        write_report(tmp_path)


@pytest.mark.parametrize("entry", RUN_ENTRIES)
def test_a_record_that_lacks_an_entry_is_one_clear_error(tmp_path, entry):
    write(tmp_path, [record()])
    (path,) = (tmp_path / "runs").iterdir()
    whole = json.loads(path.read_text("utf-8"))
    *outer, name = entry.split(".")
    inner = whole
    for step in outer:
        inner = inner[step]
    del inner[name]
    path.write_text(json.dumps(whole), "utf-8")
    with pytest.raises(ComparisonError, match=rf"is not a whole record: there is no {entry}"):
        write_report(tmp_path)


def test_batches_of_unequal_lengths_are_told_in_one_range(tmp_path):
    lengths = [[59, 1], [32, 1], [84, 1]]
    records = [record("music", seed=n, **{"about.sequence": s}) for n, s in enumerate(lengths)]
    write(tmp_path, [*records, record("adding-200", **{"about.sequence": [200, 32]})])
    write_report(tmp_path, ("html",))
    html = (tmp_path / "index.html").read_text("utf-8")
    sizes = "32 sequences of 200 steps (adding-200), 1 sequence of 32 to 84 steps (music)"
    assert sizes in " ".join(html.split())
