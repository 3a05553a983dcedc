"""The history: what the gate flags, what the page and the table show, what record refuses."""

import json
import re
import subprocess

import pytest
from tiny_report import OUTSIDE

from benchmarks.history import record as recording
from benchmarks.history.__main__ import main
from benchmarks.history.frame import COLUMNS, to_df
from benchmarks.history.gate import judge
from benchmarks.history.page import history_page, last_change
from benchmarks.history.results import RESULTS, HistoryError, Key, Run, Value, again, load_runs

FORWARD = Key("cpu.Elman.time_forward", ("'one'", "'float32'"))
LAST = Key("cpu.Elman.time_forward", ("'wide'", "'float32'"))
ERROR = Key("gradients.GradientError.track_error", ("'elman'",))
PEAK = Key("memory.Update.peakmem_gradient", ())
COMMITS = ("a" * 40, "b" * 40, "c" * 40)
COLUMNS_OF_ASV = (
    "result", "params", "version", "started_at", "duration",
    "stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75", "stats_number", "stats_repeat",
)  # fmt: skip


def time(value, spread=0.02, version="1"):
    return Value(value, value * (1 - spread), value * (1 + spread), version, 10, 10)


def fixed(value, version="1"):
    return Value(value, value, value, version)


FAILED = Value(None, float("nan"), float("nan"), "1")
SKIPPED = fixed(float("nan"))
GOOD = {FORWARD: time(1e-3), LAST: time(2e-2), ERROR: fixed(0.2), PEAK: fixed(2e8)}


def run(commit=COMMITS[0], date=1_000, **changes):
    names = {"forward": FORWARD, "last": LAST, "error": ERROR, "peak": PEAK}
    values = {**GOOD, **{names[name]: value for name, value in changes.items()}}
    return Run("m", commit, date, {k: v for k, v in values.items() if v is not None})


def kinds(*runs):
    return {finding.key: finding.kind for finding in judge(*runs)}


# The gate


@pytest.mark.parametrize(
    "change, kind",
    [
        ({"forward": time(1.5e-3)}, "unconfirmed"),
        ({"error": fixed(0.26)}, "larger"),
        ({"peak": fixed(2.6e8)}, "larger"),
        ({"forward": None}, "missing"),
        ({"error": None}, "missing"),
        ({"forward": FAILED}, "failed"),
        ({"error": FAILED}, "failed"),
        ({"error": SKIPPED}, "failed"),
    ],
)
def test_worse_is_flagged(change, kind):
    found = judge(run(), run(COMMITS[1], **change))
    assert [finding.kind for finding in found] == [kind]
    assert found[0].fails


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"forward": time(1.1e-3, 0.001)},  # disjoint, but less than the ratio allows
        {"forward": time(1.3e-3, 0.4)},  # more, but within its own noise
        {"forward": time(0.5e-3)},
        {"error": fixed(0.24)},
        {"error": fixed(0.1)},
        {"peak": fixed(2.4e8)},
    ],
)
def test_noise_and_gains_are_not(change):
    assert judge(run(), run(COMMITS[1], **change)) == []


def test_wide_base_is_noise_too():
    assert judge(run(forward=time(1e-3, 0.6)), run(COMMITS[1], forward=time(1.5e-3))) == []


def test_a_second_run_decides():
    slow = run(COMMITS[1], forward=time(1.5e-3), last=time(5e-2))
    second = run(COMMITS[1], forward=time(1.02e-3), last=time(5e-2))
    assert kinds(run(), slow, None, second) == {FORWARD: "not confirmed", LAST: "slower"}
    # A machine that became slower slows the second run of the base as well.
    slowed = run(forward=time(1.5e-3), last=time(4.9e-2))
    assert kinds(run(), slow, slowed, slow) == {FORWARD: "not confirmed", LAST: "not confirmed"}
    assert [finding.fails for finding in judge(run(), slow, None, second)] == [False, True]
    broken = run(COMMITS[1], forward=FAILED, last=time(2e-2))
    assert kinds(run(), slow, None, broken)[FORWARD] == "failed"
    # A second run without that benchmark confirms nothing, and excuses nothing.
    assert kinds(run(), slow, None, run(COMMITS[1], forward=None))[FORWARD] == "unconfirmed"


def test_new_versions_and_new_benchmarks():
    changed = run(COMMITS[1], forward=time(9e-3, version="2"))
    assert kinds(run(), changed) == {FORWARD: "new version"}
    assert not judge(run(), changed)[0].fails
    assert kinds(run(forward=None), run(COMMITS[1])) == {}
    assert kinds(run(forward=None), run(COMMITS[1], forward=FAILED)) == {FORWARD: "failed"}
    assert kinds(run(forward=SKIPPED), run(COMMITS[1], forward=SKIPPED)) == {}


# Files as asv writes them


def row(values, parameters):
    def column(pick):
        found = [None if v.value is None or v.repeat is None else pick(v) for v in values]
        return None if all(cell is None for cell in found) else found

    result = [v.value for v in values]
    cells = [
        None if all(cell is None for cell in result) else result, parameters, values[0].version,
        1, 2.0, column(lambda v: v.low), column(lambda v: v.high),
        column(lambda v: 0.99 * v.value), column(lambda v: 1.01 * v.value),
        column(lambda v: v.number), column(lambda v: v.repeat),
    ]  # fmt: skip
    while cells[-1] is None:
        cells.pop()
    return cells


def write(results, made):
    folder = results / made.machine
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.json").write_text('{"machine": "m", "cpu": "<fast>", "version": 1}')
    units = {FORWARD: "seconds", ERROR: "error / tolerance", PEAK: "bytes"}
    about = {
        key.benchmark: {"unit": unit, "param_names": ["shape", "dtype"][: len(key.parameters)]}
        for key, unit in units.items()
    }
    (results / "benchmarks.json").write_text(json.dumps({**about, "version": 2}))
    parameters = {
        FORWARD.benchmark: [["'one'", "'wide'"], ["'float32'"]],
        ERROR.benchmark: [["'elman'"]],
        PEAK.benchmark: [],
    }
    rows = {}
    for key in made.results:
        values = [made.results[k] for k in (FORWARD, LAST) if k.benchmark == key.benchmark]
        rows[key.benchmark] = row(values or [made.results[key]], parameters[key.benchmark])
    content = {
        "commit_hash": made.commit, "date": made.date, "env_name": "existing-x", "python": "x",
        "params": {"python": "x"}, "requirements": {}, "result_columns": COLUMNS_OF_ASV,
        "results": rows, "version": 2,
    }  # fmt: skip
    path = folder / f"{made.commit[:8]}-existing-x.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    write(folder, run(COMMITS[1], 2_000, forward=time(0.4e-3), last=FAILED))
    write(folder, run(COMMITS[0], 1_000))
    write(folder, run(COMMITS[2], 3_000, error=fixed(0.6), last=time(5e-2), peak=SKIPPED))
    return folder


def test_files_are_read(results):
    runs = load_runs(results, "m")
    assert [made.commit for made in runs] == list(COMMITS)
    assert runs[0].results == GOOD
    assert runs[1].results[LAST].status == "failed"
    assert runs[2].results[PEAK].status == "skipped"


def test_few_samples_have_quartiles(tmp_path):
    few = Value(9.0, -70.0, 170.0, "1", 1, 3)
    write(tmp_path, run(forward=few))
    read = load_runs(tmp_path, "m")[0].results
    assert (read[FORWARD].low, read[FORWARD].high) == (0.99 * 9, 1.01 * 9)
    assert read[LAST] == GOOD[LAST]


def test_gate_command(results, capsys):
    assert main(["gate", COMMITS[0], COMMITS[0], "--results", str(results)]) == 0
    assert main(["gate", COMMITS[0][:9], COMMITS[2], "--results", str(results)]) == 1
    out, err = capsys.readouterr()
    assert "FAIL larger: gradients.GradientError.track_error(elman): 0.2 -> 0.6" in out
    assert "FAIL unconfirmed: cpu.Elman.time_forward(wide, float32): 0.02 -> 0.05" in out
    assert "FAIL failed: memory.Update.peakmem_gradient" in out
    assert "gate --confirm" in err
    words = ["gate", COMMITS[0], COMMITS[2], "--results", str(results)]
    assert main([*words, "--bench", FORWARD.pattern()]) == 0
    assert "1 results compared on m: 0 failed" in capsys.readouterr().out
    assert main([*words, "--bench", FORWARD.pattern(), "--bench", "wide"]) == 1
    write(again(results), run(COMMITS[2], 3_000))
    assert main(words) == 1
    assert "note not confirmed: cpu.Elman.time_forward(wide, float32)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["gate", "a" * 40, "d" * 40], "HEAD: commit dddddddddd has no results"),
        (["gate", "no such", "b" * 40], "BASE: 'no such' is no commit here"),
        (["gate", "a" * 40], "required: HEAD"),
        (["gate", "a" * 40, "b" * 40, "--machine", "x"], "no results of machine 'x'"),
        (["html", "--machine", "x"], "no results of machine 'x'"),
        (["html", "--out", "/dev/null/x.html"], "/dev/null/x.html: "),
        (["record", "--bench", "("], "--bench: '('"),
        (["gate", "a" * 40, "b" * 40, "--bench", "("], "--bench: '('"),
        (["record", "--checkout", "/dev/null"], "/dev/null is no Git checkout"),
        (["publish"], "invalid choice: 'publish'"),
        ([], "required: COMMAND"),
    ],
)
def test_command_errors(results, arguments, problem, capsys):
    options = ["--results", str(results)] if arguments else []
    assert main([*arguments, *options]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 2
    assert lines[0].startswith("error: ") and problem in lines[0]
    assert lines[1].startswith("hint: ")


@pytest.mark.parametrize("text", ["{", "[]", '{"results": {}}', '{"result_columns": 3}'])
def test_damaged_files_are_named(results, text, capsys):
    path = write(results, run())
    path.write_text(text)
    assert main(["to-df", "--results", str(results)]) == 2
    assert str(path) in capsys.readouterr().err


def test_page(results, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["html", "--results", str(results), "--out", str(out)]) == 0
    page = out.read_text("utf-8")
    assert not OUTSIDE.findall(page)
    assert page.count("<svg") == 3
    assert "&lt;fast&gt;" in page
    # One curve falls and rises again, one rises after a commit at which it failed, and so does
    # the gradient error.
    marks = [line for line in page.splitlines() if line.startswith("<polygon")]
    assert sum('class="better"' in line for line in marks) == 1
    assert sum('class="worse"' in line for line in marks) == 3
    assert page.count('class="cross"') == 1
    assert history_page(results) == page


def test_page_of_one_commit(tmp_path):
    write(tmp_path, run())
    page = history_page(tmp_path)
    assert page.count("<svg") == 3
    assert "Last change" not in page


def test_shipped_history():
    """A fresh clone has curves at once, and nothing in it tells where they were measured."""
    runs = load_runs(RESULTS, "ci-2core")
    assert len(runs) >= 6
    for made in runs:
        done = [key for key, value in made.results.items() if value.status == "ok"]
        assert len(done) > 50
    for path in RESULTS.rglob("*.json"):
        text = path.read_text("utf-8")
        assert len(text) < 40_000 and not re.search(r"/(?:tmp|home|root|usr|Users|var)/", text)
    page = history_page(RESULTS, "ci-2core")
    assert page.count("<svg") > 20 and not OUTSIDE.findall(page)


def test_last_change(results):
    base, head = load_runs(results, "m")[1:]
    change = last_change(base, head, {FORWARD.benchmark: "seconds"})
    verdicts = {key: cells[3] for key, cells in change.items()}
    assert verdicts == {PEAK: "skipped", ERROR: "worse", FORWARD: "worse", LAST: "new"}
    assert list(change)[:2] == [ERROR, FORWARD]
    assert change[FORWARD][:3] == ("400 µs", "1 ms", "2.50")
    assert change[LAST][0] == "failed"


def test_table(results):
    table = to_df(results)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 12
    assert list(table["commit"].drop_duplicates()) == list(COMMITS)
    one = table[
        (table["commit"] == COMMITS[1]) & (table["parameters"] == "shape=one, dtype=float32")
    ]
    assert one[["value", "low", "high", "number", "unit"]].to_numpy().tolist() == [
        [0.4e-3, pytest.approx(0.392e-3), pytest.approx(0.408e-3), 10, "seconds"]
    ]
    assert dict(table["status"].value_counts()) == {"ok": 10, "failed": 1, "skipped": 1}
    assert table[table["benchmark"] == PEAK.benchmark]["low"].isna().all()


# Recording


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, taken for this one."""
    root = tmp_path / "checkout"
    (root / "fastrnn").mkdir(parents=True)
    (root / "fastrnn" / "__init__.py").write_text("")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "first"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(recording, "ROOT", root)
    return root


def test_record_refuses_a_dirty_tree(checkout):
    results = checkout / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "new.json").write_text("")  # results themselves are no dirt
    again(results).mkdir()
    (again(results) / "new.json").write_text("")
    (checkout / "new file").write_text("")
    with pytest.raises(HistoryError, match="the tree is dirty: new file"):
        recording.refuse_unfit(results, checkout)
    (checkout / "new file").unlink()
    (checkout / "fastrnn" / "__init__.py").write_text("1")
    with pytest.raises(HistoryError, match=r"the tree is dirty: fastrnn/__init__\.py"):
        recording.refuse_unfit(results, checkout)


def test_record_refuses_another_package(checkout):
    with pytest.raises(HistoryError, match="the installed fastrnn is .*, not .*checkout"):
        recording.refuse_unfit(checkout / "results", checkout)


def test_record_measures_another_checkout(checkout, monkeypatch):
    monkeypatch.undo()  # so that it is another one
    results = checkout / "results"
    with pytest.raises(HistoryError, match="the installed tdnn is .*, not .*checkout"):
        recording.refuse_unfit(results, checkout)
    (checkout / "tdnn").mkdir()
    (checkout / "tdnn" / "__init__.py").write_text("")
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["add", "."], ["commit", "--quiet", "--message", "second"]):
        subprocess.run([*git, *words], check=True)
    commit = recording.refuse_unfit(results, checkout)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert commit == head.stdout.strip()


def test_recorded_files_have_no_paths(tmp_path):
    written = write(tmp_path / "new", run(COMMITS[0]))
    filed = recording.file_result(written, tmp_path / "kept")
    assert "existing-x" not in filed.name
    content = json.loads(filed.read_text())
    assert content["python"] != "x" and content["params"]["numba"]
    assert load_runs(tmp_path / "kept", "m")[0].results == GOOD
    # Recording some benchmarks again leaves the others.
    part = Run("m", COMMITS[0], 1_000, {PEAK: fixed(3e8)})
    recording.file_result(write(tmp_path / "part", part), tmp_path / "kept")
    assert load_runs(tmp_path / "kept", "m")[0].results == {**GOOD, PEAK: fixed(3e8)}
    assert len(list((tmp_path / "kept" / "m").iterdir())) == 2
    # So does recording one set of parameters: asv writes NaN for the others.
    part = Run("m", COMMITS[0], 1_000, {FORWARD: SKIPPED, LAST: time(9e-3)})
    recording.file_result(write(tmp_path / "one", part), tmp_path / "kept")
    expected = {**GOOD, PEAK: fixed(3e8), LAST: time(9e-3)}
    assert load_runs(tmp_path / "kept", "m")[0].results == expected
