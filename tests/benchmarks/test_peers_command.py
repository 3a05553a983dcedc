"""The comparison with other frameworks: its records, tables and command line."""

import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.peers import table
from benchmarks.peers.__main__ import main
from benchmarks.peers.cases import quick_cases
from benchmarks.peers.records import Record, Writer, read_csv
from benchmarks.peers.run import PEERS, ROOT


def record(contender="ours", ratio=1.0, **changes):
    base = Record(
        "elman", "1/2/3/4/5", "F", "float32", 1, contender, "", seconds=2e-3, ratio=ratio,
        error=1e-7, percent=50.0, bound="peak", rounds=9, busy=1.0, others=0.0,
    )  # fmt: skip
    return replace(base, **changes)


RECORDS = [
    record(),
    record("torch", 8.0, variant="contiguous"),
    record("jax", 2.0),
    record(direction="FB", percent=float("nan"), bound=""),
    record("torch", 4.0, direction="FB"),
    record(cell="6/7/8/9/10", bound="L2"),
    record("torch", 2.0, cell="6/7/8/9/10"),
    record("ours kept", 0.8, cell="6/7/8/9/10", percent=60.0),
]


# Results


def test_csv_round_trip(tmp_path):
    path = tmp_path / "results.csv"
    with path.open("w") as file:
        writer = Writer(file, {"machine": "a: b"})
        writer.write(RECORDS[:3])
        writer.write(RECORDS[4:])
    facts, records = read_csv(path)
    assert facts == {"machine": "a: b"}
    assert records == RECORDS[:3] + RECORDS[4:]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="expected the columns"):
        read_csv(path)


def test_tables():
    text = table.markdown(RECORDS, {"machine": "fast"})
    rows = [row for row in text.splitlines() if row.startswith("|")]
    assert rows[0] == (
        "| cell | F torch | F JAX | F % | F % kept | F error | FB torch | FB error |"
    )
    assert rows[2] == "| 1/2/3/4/5 | 8.0 | 2.0 | 50 |  | 1e-07 | 4.0 | 1e-07 |"
    assert rows[3] == "| 6/7/8/9/10 | 2.0 |  | 50 L2 | 60 | 1e-07 |  |  |"
    assert "- machine: fast" in text
    assert text.index("geometric mean") < text.index("| cell |")


def test_only_the_table_of_steps_shows_times():
    torch = record("torch", 2.0, group="step", cell="8")
    text = table.markdown([record(group="step", cell="8"), torch], {})
    assert "| cell | F ours | F torch |" in text


def test_line_and_summary():
    line = table.line(RECORDS[:3])
    assert line == (
        "elman 1/2/3/4/5 F float32 1 thread: ours 2 ms, 50 % of peak, error 1.0e-07; "
        "torch [contiguous] 8.0x, error 1.0e-07; jax 2.0x, error 1.0e-07"
    )
    first, second = table.summary(RECORDS)
    assert first == (
        "elman, forward, 1 thread, 2 cells: against the best peer at least 2.0 (jax, 1/2/3/4/5 "
        "float32), geometric mean 2.0; against torch 4.0"
    )
    assert "forward + backward, 1 thread, 1 cell: " in second
    assert table.summary(RECORDS[:1]) == []


def test_warnings():
    assert table.warnings(RECORDS) == []
    doubtful = [
        record(others=0.5), record("torch", busy=1.5, others=0.5), record(busy=1.5, threads=2),
    ]  # fmt: skip
    disturbed, greedy = table.warnings(doubtful)
    assert "in 1 of 2 measurements" in disturbed
    assert table.line(doubtful[:2]).endswith("[other processes took 50 % of the cores]")
    assert greedy.endswith("used by torch")


def test_markdown_is_written_between_the_markers(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    for _ in range(2):
        table.write_markdown(path, "new\n")
        assert path.read_text() == f"before\n{table.BEGIN}\n\nnew\n\n{table.END}\nafter\n"


@pytest.mark.parametrize(
    "content",
    ["nothing", table.BEGIN + "\n", f"{table.END}\n{table.BEGIN}\n"],
)
def test_markdown_refuses_a_file_without_markers(content, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(content)
    with pytest.raises(ValueError, match="expected one line"):
        table.write_markdown(path, "new")
    assert path.read_text() == content


def test_the_readme_has_the_markers():
    table.check_markers((ROOT / "README.md").read_text(encoding="utf-8"))


# The command line


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (["--only", "elmn"], "--only", "--help"),
        (["--quik"], "--quik", "--help"),
        (["--cells", "9/9"], "--cells: no cell fits '9/9'", "cells look like 1/32/16/16/10"),
        (["--threads", "0"], "--threads: expected integers", "1 2"),
        (["--threads", "9999"], "--threads: 9999 threads need 9999 cores", "taskset"),
        (["--peers", "tensorflow"], "--peers: there is no 'tensorflow'", "torch, jax, onnx"),
        (["--seconds", "nan"], "--seconds: expected a number", "such as"),
        (["--quick", "--only", "ragged"], "--only", "leave --quick out"),
        (["--markdown", "NONE"], "--markdown: NONE", "marker lines"),
        (["--csv", "NONE/a.csv"], "--csv", "can be written"),
        (["--from", "NONE"], "--from: NONE", "--csv wrote"),
    ],
)
def test_bad_command_lines(arguments, problem, hint, capsys, tmp_path):
    folder = str(tmp_path / "none")
    arguments = [word.replace("NONE", folder) for word in arguments]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ") and problem.replace("NONE", folder) in lines[0]
    assert lines[1].startswith("hint: ") and hint in lines[1]


def test_a_small_run_and_its_stored_results(tmp_path, capsys):
    results, readme = tmp_path / "results.csv", tmp_path / "README.md"
    readme.write_text(f"{table.BEGIN}\n{table.END}\n")
    command = ["--quick", "--seconds", "0", "--threads", "1", "--peers", "--csv", str(results)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "elman 8/128/16/32/10 FB float32 1 thread: ours" in done.stdout
    assert "peak of one core" in done.stdout
    _, records = read_csv(results)
    assert len({(r.group, r.cell, r.direction) for r in records}) == len(quick_cases())
    assert main(["--from", str(results), "--markdown", str(readme)]) == 0
    assert "elman 8/128/16/32/10 FB" in capsys.readouterr().out
    assert "| 8/128/16/32/10 |" in readme.read_text()


def test_a_failed_worker(monkeypatch, capsys):
    monkeypatch.setitem(PEERS, "none", ("numpy",))
    assert main(["--quick", "--threads", "1", "--peers", "none"]) == 1
    assert "error: the process with 1 thread" in capsys.readouterr().err
