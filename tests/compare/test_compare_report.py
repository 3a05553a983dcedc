"""The report: the same runs, the same bytes; nothing from outside; no number from nowhere."""

import copy
import csv
import html
import json
import re
import shutil
import statistics
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import matplotlib as mpl
import pytest
from scipy import stats
from tiny import adding, both, write_text

from tdnn.compare import formats
from tdnn.compare.errors import ComparisonError
from tdnn.compare.progress import Lines, open_progress
from tdnn.compare.report import COLUMNS, FILES, write_report
from tdnn.compare.results import SCHEMA
from tdnn.compare.run import compare

VOID = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with the report of a tiny comparison of both tasks, three seeds."""
    folder = tmp_path_factory.mktemp("report")
    compare(both(write_text(folder / "squares.txt"), seeds=3, steps=25), folder / "out")
    write_report(folder / "out")
    return folder / "out"


def altered(out, tmp_path, change):
    """The report of the same runs after `change(record)`."""
    copied = tmp_path / "altered"
    shutil.copytree(out / "runs", copied / "runs")
    for path in (copied / "runs").iterdir():
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
    write_report(copied)
    return copied


class Page(HTMLParser):
    """Collects tags, ids and the cells of the table; complains of tags that are not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes = [], [], [], []
        self.rows, self.text = [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.text = ""

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data):
        if self.text is not None:
            self.text += data

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.rows[-1].append(self.text)
            self.text = None


def read_page(out):
    page = Page()
    page.feed((out / "index.html").read_text("utf-8"))
    page.close()
    assert page.open == []
    return page


def test_the_same_runs_give_the_same_bytes(out, tmp_path):
    for name in FILES:
        assert (out / name).stat().st_size > 0
    shutil.copytree(out / "runs", tmp_path / "again" / "runs")
    write_report(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


def test_the_page_reaches_out_to_nothing(out):
    page = (out / "index.html").read_text("utf-8")
    for word in ("http:", "https:", "<script", "<link", "@import", "<iframe", "xmlns", "src="):
        assert word not in page
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_the_page_is_well_formed_and_no_id_comes_twice(out):
    page = read_page(out)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 8
    assert page.tags.count("h1") == 1
    targets = {value[1:] for name, value in page.attributes if (name or "").endswith("href")}
    assert targets <= set(page.ids)


def test_every_figure_is_an_image_with_a_title(out):
    text = (out / "index.html").read_text("utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    for figure in figures:
        root = ET.fromstring(figure.replace("xlink:href", "href"))
        assert root.get("role") == "img"
        assert root[0].tag == "title" and root[0].text
        assert any("elman" in (element.text or "") for element in root.iter("text"))


def test_every_number_of_the_table_follows_from_runs_csv(out):
    groups = {}
    with (out / "runs.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups.setdefault((row["task"], row["model"]), []).append(row)
    page = read_page(out)
    assert tuple(page.rows[0]) == COLUMNS
    assert len(page.rows) == 1 + len(groups) == 5
    for cells, ((task, model), rows) in zip(page.rows[1:], sorted(groups.items()), strict=True):
        scores = [float(row["score"]) for row in rows]
        mean, spread = statistics.fmean(scores), statistics.stdev(scores)
        half = stats.t.ppf(0.975, len(scores) - 1) * spread / len(scores) ** 0.5

        def median(column, rows=rows):
            return statistics.median(float(row[column]) for row in rows)

        field = rows[0]["receptive_field"]
        assert cells == [
            task,
            model,
            f"{int(rows[0]['parameters']):,}",
            field or "unbounded",
            f"{formats.number(mean)} [{formats.interval(mean - half, mean + half)}]",
            f"{formats.number(float(rows[0]['floor']))} ({rows[0]['floor_name']})",
            formats.seconds(median("training_seconds")),
            formats.rate(median("forward_per_second")),
            formats.rate(median("forward_backward_per_second")),
            formats.small(max(float(row["gradient_error"]) for row in rows)),
        ]


def test_the_markdown_table_has_the_same_cells(out):
    lines = (out / "summary.md").read_text("utf-8").splitlines()
    first = lines.index(next(line for line in lines if line.startswith("| adding")))
    table = [
        [cell.strip().replace("\\", "") for cell in line.strip("|").split(" | ")]
        for line in lines[first : first + 4]
    ]
    assert table == read_page(out).rows[1:]


def test_the_verdicts_are_the_same_everywhere(out):
    everything = json.loads((out / "runs.json").read_text("utf-8"))
    page = html.unescape((out / "index.html").read_text("utf-8"))
    markdown = (out / "summary.md").read_text("utf-8").replace("\\", "")
    assert len(everything["verdicts"]) == 2
    for verdict in everything["verdicts"]:
        assert verdict["sentence"] in page
        assert verdict["sentence"] in markdown


def test_the_json_holds_every_run_whole(out):
    everything = json.loads((out / "runs.json").read_text("utf-8"))
    stored = [json.loads(path.read_text()) for path in sorted((out / "runs").iterdir())]
    assert everything["schema"] == SCHEMA
    assert everything["runs"] == stored
    assert len(everything["summary"]) == 4


def test_the_curves_are_tidy(out):
    with (out / "curves.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 * 13
    assert {row["seed"] for row in rows} == {"0", "1", "2"}
    first = [row for row in rows if row["step"] == "0"]
    assert len(first) == 12 and all(row["training_loss"] == "" for row in first)


def test_the_gradient_flow_is_tidy_and_the_same_as_in_the_records(out):
    with (out / "gradient_flow.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    seen = {}
    for row in rows:
        seen.setdefault((row["task"], row["model"], int(row["seed"])), []).append(row)
    assert len(seen) == 12
    for (task, model, seed), own in seen.items():
        record = json.loads((out / "runs" / f"{task}-{model}-{seed}.json").read_text())
        for name, values in record["gradient_flow"].items():
            stored = ["" if value is None else str(value) for value in values]
            assert [row[name] for row in own] == stored
        lags, norms = ([float(row[name]) for row in own] for name in ("lag", "norm"))
        assert lags == list(range(len(own))) and norms[0] > 0
        inside = [row["in_field"] == "True" for row in own]
        if model == "elman":
            bounds = [(float(row["state_norm"]), float(row["bound"])) for row in own]
            assert all(inside) and all(norm <= 1.000001 * bound for norm, bound in bounds)
        elif task == "char":  # 64 steps, of which the network sees 32
            assert not all(inside)
            assert [norm > 0 for norm in norms] == inside


def test_the_flow_s_figure_says_where_a_network_sees_nothing_more(out):
    page = (out / "index.html").read_text("utf-8")
    figures = re.findall(
        r"<figcaption>Gradient flow[^<]*</figcaption>\s*(<svg.*?</svg>)", page, re.S
    )
    assert len(figures) == 2
    assert ["then exactly 0" in figure for figure in figures] == [False, True]
    assert all("elman: spectral radius of W" in figure for figure in figures)


def test_names_from_outside_are_escaped(out, tmp_path):
    evil = '<b onclick="x">|&amp;*`\'s text'

    def change(record):
        record["about"]["facts"].append(["<i>label", evil])
        record["about"]["title"] = evil
        record["about"]["references"][0][0] = "<u>floor"
        record["environment"]["processor"] = evil

    copied = altered(out, tmp_path, change)
    page = read_page(copied)
    assert not {"i", "u"} & set(page.tags)
    assert ("onclick", "x") not in page.attributes
    text = (copied / "index.html").read_text("utf-8")
    assert evil not in text
    assert evil in html.unescape(text)
    # In Markdown a bar would start a new cell, and a tag would be one.
    assert evil not in (copied / "summary.md").read_text("utf-8")


def test_a_single_seed_has_no_interval_and_says_so(out, tmp_path):
    shutil.copytree(out / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*-[12].json"):
        path.unlink()
    found = write_report(tmp_path)
    assert [verdict.kind for verdict in found] == ["too few seeds"] * 2
    page = read_page(tmp_path)
    assert all("[one seed: no interval]" in row[4] for row in page.rows[1:])


def test_a_single_model_is_reported_without_a_verdict(out, tmp_path):
    shutil.copytree(out / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*-tdnn-*.json"):
        path.unlink()
    assert write_report(tmp_path) == []
    assert "nothing to compare" in (tmp_path / "index.html").read_text("utf-8")


def test_a_diverged_run_is_named(out, tmp_path):
    def change(record):
        if record["model"] == "tdnn" and record["seed"] == 1:
            record["diverged"] = True
            for series in (*record["curve"].values(), record["timing"]["curve"]):
                del series[9:]
            record["curve"]["validation"][3] = None

    copied = altered(out, tmp_path, change)
    text = html.unescape((copied / "index.html").read_text("utf-8"))
    assert "char, tdnn: 1 of 3 runs met a value that is not finite" in text


def test_two_environments_are_both_shown(out, tmp_path):
    def change(record):
        if record["seed"] == 2:
            record["environment"]["processor"] = "Another Processor"

    text = (altered(out, tmp_path, change) / "index.html").read_text("utf-8")
    assert text.count("<dt>processor</dt>") == 2


def test_drawing_leaves_matplotlib_as_it_was(out, tmp_path):
    before = copy.deepcopy(dict(mpl.rcParams))
    shutil.copytree(out / "runs", tmp_path / "runs")
    with mpl.rc_context({"font.size": 30.0, "axes.facecolor": "black"}):
        write_report(tmp_path)
    assert dict(mpl.rcParams) == before
    # And whatever a user has set there does not reach the report.
    assert "font: 30px" not in (tmp_path / "index.html").read_text("utf-8")


def test_a_report_needs_a_run(tmp_path):
    with pytest.raises(ComparisonError, match="no finished run"):
        write_report(tmp_path)


def test_without_a_terminal_progress_is_plain_lines(capsys):
    assert type(open_progress(sys.stdout)) is Lines


def test_on_a_terminal_progress_is_a_bar(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    compare(adding(models=("elman",), seeds=1), tmp_path, open_progress(sys.stdout))
    captured = capsys.readouterr()
    assert "adding elman seed 0" in captured.err
    assert "[1/1] adding elman seed 0" in captured.out
