"""The command line: one line and a hint for every error, light imports, Ctrl-C."""

import signal
import subprocess
import sys
import time

import pytest
from tiny import write_text

from tdnn.compare import report
from tdnn.compare.__main__ import FORMATS, formats, main, names
from tdnn.compare.settings import Settings

# arguments, what the line must hold, what the hint must hold; OUT and FILE are put in
ERRORS = {
    "no command": ([], "required: COMMAND", "--help"),
    "unknown command": (["rnu"], "rnu", "--help"),
    "unknown option": (["run", "--sedes", "3"], "--sedes", "rnn-vs-tdnn --help"),
    "abbreviated option": (["run", "--seed", "3"], "--seed", "rnn-vs-tdnn --help"),
    "unknown task": (
        ["run", "--tasks", "chra"],
        "--tasks: there is no 'chra'",
        "did you mean char?",
    ),
    "one unknown of two": (["run", "--tasks", "char,add"], "no 'add'", "did you mean adding?"),
    "nothing like it": (["run", "--tasks", "zzz"], "no 'zzz'", "there are char, adding, copy"),
    "unknown model": (["run", "--models", "elmann"], "--models: there is no", "mean elman?"),
    "empty tasks": (["run", "--tasks", ","], "--tasks: expected at least one", "char, adding"),
    "no seeds": (["run", "--seeds", "0"], "--seeds: expected an integer of at least 1", "default"),
    "negative seeds": (["run", "--seeds", "-2"], "--seeds: expected an integer", "default"),
    "seeds no number": (["run", "--seeds", "few"], "--seeds: expected an integer", "run --help"),
    "seeds a fraction": (["run", "--seeds", "1.5"], "got '1.5'", "run --help"),
    "no threads": (["run", "--threads", "0"], "--threads: expected an integer", "default"),
    "no steps": (["run", "--steps", "0"], "--steps: expected an integer", "default"),
    "no budget": (["run", "--budget", "0"], "--budget: expected an integer", "default"),
    "small budget": (["run", "--budget", "10"], "--budget: 10 parameters are too few", "--budget "),
    "short length": (["run", "--length", "2"], "--length: expected at least 4", "50 to 600"),
    "length for nothing": (
        ["run", "--tasks", "char", "adding:20", "--length", "50"],
        "--length: it is for the tasks adding, copy, parity and delayed-echo, of which none",
        "add one to --tasks",
    ),
    "a length of data": (["run", "--tasks", "char:50"], "length of char is that of", "adding,"),
    "a length of words": (
        ["run", "--tasks", "adding:long"],
        "--tasks: expected a number of steps behind the colon, got 'adding:long'",
        "adding:200",
    ),
    "a short length": (["run", "--tasks", "adding:2"], "expected at least 4", "50 to 600"),
    "a length twice": (["run", "--tasks", "adding:9,adding:09"], "adding-9 is there twice", "once"),
    "data for nothing": (
        ["run", "--tasks", "adding:9", "--data", "FILE"],
        "--data: of --tasks, none can take",
        "TASK=PATH with one of music",
    ),
    "data for another": (
        ["run", "--tasks", "ts", "--data", "music=FILE"],
        "--data: it is for the task music, which is not among --tasks",
        "add music to --tasks",
    ),
    "data for two": (
        ["run", "--tasks", "ts,music", "--data", "FILE"],
        "--data: of --tasks, ts and music can take",
        "TASK=PATH",
    ),
    "data twice": (
        ["run", "--tasks", "ts", "--data", "ts=FILE", "--data", "OUT"],
        "--data: ts is there twice",
        "one path",
    ),
    "no such data": (["run", "--tasks", "ts", "--data", "OUT/none.ts"], "there is no", "fetch"),
    "no jobs": (["run", "--jobs", "0"], "--jobs: expected an integer of at least 1", "default"),
    "jobs on a cluster": (
        ["run", "--jobs", "2", "--scheduler", "tcp://localhost:1"],
        "--jobs: with --scheduler",
        "leave one",
    ),
    "too many seeds": (["run", "--seeds", "1000001"], "--seeds: expected at most", "usual"),
    "shard no fraction": (["run", "--shard", "2"], "expected I/N, such as 1/4, got '2'", "--help"),
    "shard beyond": (["run", "--shard", "3/2"], "with 1 <= I <= N, got '3/2'", "run --help"),
    "shard nought": (["run", "--shard", "0/2"], "with 1 <= I <= N, got '0/2'", "run --help"),
    "merge of nothing": (["merge", "OUT"], "required: IN", "merge --help"),
    "merge of no runs": (["merge", "OUT/a", "OUT"], "merge: there is no finished run in", "name"),
    "unknown data set": (["fetch", "jbs"], "fetch: there is no data set 'jbs'", "jsb"),
    "text for nothing": (
        ["run", "--tasks", "adding", "--text", "FILE"],
        "--text: it is for the task char",
        "add char to --tasks",
    ),
    "no text": (["run", "--text", "OUT/none.txt"], "--text: cannot read", "UTF-8 text file"),
    "a folder as text": (["run", "--text", "OUT"], "--text: cannot read", "UTF-8 text file"),
    "latin text": (["run", "--text", "LATIN"], "is not UTF-8 (byte 7 cannot", "iconv"),
    "short text": (["run", "--text", "FILE"], "expected at least 2000 characters", "longer text"),
    "out is a file": (["run", "--out", "FILE"], "is a file, not a folder", "name the folder"),
    "out below a file": (
        ["run", "--out", "FILE/report"],
        "is a file, not a folder",
        "name a folder",
    ),
    "nothing to report": (["report", "--out", "OUT"], "there is no finished run", "run --quick"),
    "no folder to report": (["report", "--out", "OUT/none"], "no finished run", "run --quick"),
    "unknown format": (
        ["report", "--format", "html,pdf"],
        "--format: expected html, md, csv, json,",
        "--help",
    ),
    "no format": (
        ["run", "--format", ","],
        "--format: expected html, md, csv, json, got ''",
        "--help",
    ),
    "a model that cannot": (
        ["run", "--tasks", "adding:8", "--models", "jordan"],
        "--models: jordan cannot do adding (",
        "add another",
    ),
    "report of a file": (["report", "--out", "FILE"], "is a file, not a folder", "name the folder"),
    "no out": (["report", "--out"], "--out: expected one argument", "report --help"),
}


@pytest.fixture
def places(tmp_path):
    """What stands for OUT, FILE and LATIN."""
    file, latin, out = tmp_path / "file.txt", tmp_path / "latin.txt", tmp_path / "out"
    file.write_text("too short")
    latin.write_bytes("Käse, Äpfel, Öl".encode("latin-1").replace(b"\xe4", b"ae") * 300)
    out.mkdir()
    return {"FILE": str(file), "LATIN": str(latin), "OUT": str(out)}


@pytest.mark.parametrize("arguments, problem, hint", ERRORS.values(), ids=ERRORS)
def test_an_error_is_one_line_with_a_hint(capsys, places, arguments, problem, hint):
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rnn-vs-tdnn: error: ")
    assert err.endswith("\n") and err.count("\n") == 1
    assert problem in err.partition("; hint: ")[0]
    assert hint in err.partition("; hint: ")[2]


@pytest.mark.parametrize("command", ["run", "report"])
def test_a_missing_package_is_one_line_before_any_work(capsys, monkeypatch, tmp_path, command):
    monkeypatch.setattr(report, "PACKAGES", ("jinja2", "surely_not_installed"))
    assert main([command, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err == (
        "rnn-vs-tdnn: error: the report needs surely_not_installed; "
        'hint: pip install "fastrnn[report]"\n'
    )
    assert not (tmp_path / "out").exists()


def test_other_settings_are_refused_in_one_line(capsys, tmp_path):
    arguments = ["run", "--tasks", "adding:8", "--models", "elman", "--seeds", "1", "--no-tune"]
    arguments += ["--threads", "1", "--out", str(tmp_path), "--budget", "2500"]
    assert main([*arguments, "--steps", "2"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--steps", "3"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "made with other settings (evaluations 2 there, 3 now; steps 2 there, 3 now)" in err
    assert "name another folder for --out" in err


def test_the_formats_are_the_report_s():
    assert FORMATS == report.FORMATS
    assert formats("csv,html,csv") == ("csv", "html")


def test_names_may_be_apart_or_joined():
    assert names(["char,adding", "char"]) == names(["char", "adding,"]) == ("char", "adding")


def test_list_shows_tasks_models_and_defaults(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for word in ("char", "adding", "elman", "tdnn", "--quick: budget 35000", "jsb", "models elman"):
        assert word in out


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list"]])
def test_help_and_list_load_nothing_heavy_and_compile_nothing(arguments, tmp_path):
    code = (
        "import sys\n"
        "from tdnn.compare.__main__ import main\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit as leaving: status = leaving.code\n"
        "heavy = {'matplotlib', 'pandas', 'jinja2', 'tqdm', 'joblib', 'pooch',"
        " 'distributed'} & set(sys.modules)\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "import gc\n"
        "compiled = [d for d in gc.get_objects() if isinstance(d, Dispatcher) and d.signatures]\n"
        "print(status, sorted(heavy), compiled, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == "0 [] []\n"
    assert "char" in done.stdout or "run" in done.stdout


def test_run_ends_with_verdicts_and_the_place_of_the_report(capsys, tmp_path):
    text, out = write_text(tmp_path / "squares.txt"), tmp_path / "out"
    arguments = ["run", "--tasks", "char,adding:8", "--text", str(text), "--budget", "6000"]
    arguments += ["--models", "elman", "tdnn", "--seeds", "1", "--steps", "3", "--no-tune"]
    arguments += ["--threads", "1", "--out", str(out)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("sha256" in line for line in lines)
    assert sum(line.startswith("[") for line in lines) == 4
    assert lines[-3].startswith("adding-8: ")
    assert lines[-2].startswith("char: ")
    assert lines[-1] == f"report: {out / 'index.html'}"
    # A second start makes no run again, and says so.
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "4 of 4 runs are stored already and are not made again" in lines
    assert not any(line.startswith("[") for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to a child")
def test_ctrl_c_ends_in_one_line_and_the_next_start_goes_on(tmp_path):
    command = [sys.executable, "-m", "tdnn.compare", "run", "--tasks", "adding:8"]
    command += ["--models", "elman", "--seeds", "1", "--budget", "2500", "--out", str(tmp_path)]
    command += ["--steps", "1000000", "--no-tune"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(3000):  # until training has begun
            if process.poll() is not None or any(tmp_path.glob("unfinished/*.best.npz")):
                break
            time.sleep(0.1)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.count("\n") == 1
    assert err.startswith("rnn-vs-tdnn: interrupted; finished runs are stored")
    assert list(tmp_path.glob("unfinished/adding-8-elman-0-*.fit.npz"))
    assert not list(tmp_path.glob("runs/*.json"))


def test_module_and_script_are_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "tdnn.compare", "run", "--tasks", "nothing"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("rnn-vs-tdnn: error: --tasks: there is no 'nothing'")
    assert done.stdout == ""


def test_a_shard_writes_no_report_and_says_how_to_go_on(capsys, tmp_path):
    arguments = ["run", "--tasks", "adding:8", "--models", "elman", "--seeds", "2", "--no-tune"]
    arguments += ["--budget", "2500", "--steps", "2", "--threads", "1", "--out", str(tmp_path)]
    assert main([*arguments, "--shard", "2/2"]) == 0
    assert f"merge WHOLE {tmp_path}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["adding-8-elman-1.json"]


def test_jobs_are_two_in_quick_mode_only_and_one_thread_each(monkeypatch):
    monkeypatch.setenv("FASTRNN_NUM_THREADS", "8")
    assert Settings(quick=True).processes() == 2
    assert Settings(quick=True, jobs=1).processes() == Settings().processes() == 1
    assert Settings(quick=True, threads=2).processes() == 1
    assert Settings(jobs=5).processes() == 5
    monkeypatch.setenv("FASTRNN_NUM_THREADS", "1")
    assert Settings(quick=True).processes() == 1
    for wishes, threads in (({"jobs": 2}, 1), ({"jobs": 2, "threads": 3}, 3), ({}, None)):
        assert Settings(tasks=("adding:8",), **wishes).plans()[0].threads == threads
