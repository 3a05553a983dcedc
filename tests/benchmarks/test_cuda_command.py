"""The comparison on a GPU: its grid, figures to reach, table, CSV and command line."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cuda_peers import __main__ as command
from benchmarks.cuda_peers import goals, run, sanitizer, table
from benchmarks.cuda_peers.grid import (
    BATCHES,
    DIRECTIONS,
    STEPS,
    UNITS,
    Case,
    all_cases,
    quick_cases,
)
from benchmarks.cuda_peers.records import Record
from benchmarks.cuda_peers.timing import Limits, host_seconds, roofline
from benchmarks.peers.records import Writer, read_csv
from benchmarks.peers.run import ROOT
from benchmarks.peers.timing import Contender, measure

# Grid


def test_the_grid_has_every_cell_that_was_asked_for():
    cells = Counter((c.m, c.B, c.T, c.direction) for c in all_cases() if c.group == "elman")
    wanted = [
        (m, B, T, d)
        for m in (64, 128, 256, 384, 512, 1024, 2048)
        for B in (1, 8, 32, 64, 128)
        for T in (128, 1024)
        for d in ("F", "FB")
    ]
    assert cells == Counter(wanted)
    assert (UNITS[-1], BATCHES[-1], STEPS[-1], DIRECTIONS) == (2048, 128, 1024, ("F", "FB"))
    groups = Counter(case.group for case in all_cases())
    assert set(groups) == {"elman", "ragged", "float64", "tdnn"} and min(groups.values()) >= 8
    assert {case.group for case in quick_cases()} == set(groups)
    assert len(set(all_cases())) == len(all_cases())


def test_ragged_lengths_are_in_the_last_three_quarters():
    for case in all_cases():
        if case.group == "ragged":
            assert case.lengths.min() >= case.T // 4 and case.lengths.max() <= case.T
            assert case.frames == case.lengths.sum() < case.T * case.B


def test_work_of_a_case():
    case = Case("elman", "F", B=2, T=3, p=4, m=5)
    assert case.flops == 2 * 6 * 5 * 9 and replace(case, direction="FB").flops == 3 * case.flops
    assert case.bytes == 4 * (6 * 4 + 6 * 5 + 5 * 9)
    tdnn = Case("tdnn", "F", B=2, T=6, p=4, m=5, offsets=(-1, 2))
    assert tdnn.frames == 2 * 3 and tdnn.flops == 2 * 6 * 5 * 8
    assert replace(case, group="float64").bytes == 2 * case.bytes


def test_roofline_names_what_binds():
    case = Case("elman", "F", B=1, T=1, p=1, m=1)  # 4 operations, 4 numbers
    fast = Limits({"float32": 1e12}, bandwidth=16.0)
    assert roofline(case, fast) == (1.0, "memory")
    assert roofline(case, Limits({"float32": 2.0}, bandwidth=1e12)) == (2.0, "peak")


# Timing


def test_times_are_those_of_the_clock_it_is_given():
    def block(call, repeats):
        return call() / 1000, 0.0

    contenders = [Contender("ours", lambda: 2.0, dict), Contender("torch", lambda: 5.0, dict)]
    times, _ = measure(contenders, 0.0, block=block)
    assert times.shape == (5, 2) and (times == [2e-3, 5e-3]).all()


def test_host_seconds_waits_before_each_block():
    calls = []
    seconds = host_seconds(lambda: calls.append("call"), lambda: calls.append("wait"), calls=40)
    assert seconds >= 0 and calls.count("wait") == 3
    assert calls == ["call", "wait", *["call"] * 20, "wait", *["call"] * 20, "wait"]


# Records and tables


def record(contender="ours", ratio=1.0, **changes):
    base = Record(
        "elman", "F", "float32", 512, 8, 1024, 512, "", contender, seconds=1.024e-3, ratio=ratio,
        error=2e-7, percent=40.0, bound="peak", rounds=9,
    )  # fmt: skip
    return replace(base, **changes)


RECORDS = [
    record(),
    record("torch", 2.5),
    record("torch fp16", 0.5, error=1e-3),
    record(direction="FB", seconds=4e-3),
    record("torch", 1.0, direction="FB"),
    record(T=128, seconds=5.12e-4),
    record("torch", 10.0, T=128),
    record(m=64, seconds=1e-3),
    record("torch", 0.9, m=64),
    record(group="ragged"),
    record("torch packed", 7.0, group="ragged"),
    record(group="float64", dtype="float64", error=1e-15),
    record("torch", 4.0, group="float64", dtype="float64"),
    record(group="launch", m=32, B=1, T=1, seconds=8e-6, error=float("nan"), percent=float("nan")),
]


def test_csv_round_trip(tmp_path):
    path = tmp_path / "cuda.csv"
    with path.open("w") as file:
        writer = Writer(file, {"GPU": "none: faked"}, Record)
        writer.write(RECORDS[:5])
        writer.write(RECORDS[5:-1])
    facts, found = read_csv(path, Record)
    assert facts == {"GPU": "none: faked"} and found == RECORDS[:-1]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="expected the columns group, direction"):
        read_csv(path, Record)


def test_short_table():
    head, columns, *rows = table.short_table(RECORDS)
    assert head.startswith("cuDNN fp32's time / ours")
    assert columns.split() == ["m", "\\", "B", "8"]
    assert [row.split() for row in rows] == [["64", "0.9", "|", "-"], ["512", "5.0", "|", "1.00"]]
    assert table.short_table([record()]) == []


def test_line():
    assert table.line(RECORDS[:3]) == (
        "elman 512/8/1024 F float32: ours 1.02 ms, 1 us a step, 40 % of peak, error 2e-07; "
        "torch 2.5x, error 2e-07; torch fp16 0.5x, error 1e-03"
    )


def test_figures_to_reach():
    assert goals.lines(RECORDS) == [
        "at least 1.0x cuDNN fp32: 3 of 4 cells, worst 0.9x (64/8/1024 F)",
        "at least 2x cuDNN fp32, m > 384, B <= 32: 2 of 3 cells, worst 1.00x (512/8/1024 FB)",
        "at least 5x packed sequences: 1 of 1 cells, worst 7.0x (512/8/1024 F)",
        "at least 5x float64, m <= 512, B <= 32: 0 of 1 cells, worst 4.0x (512/8/1024 F)",
        "at most 2 us a step forward, m <= 1024, B <= 8: 2 of 3 cells, worst 4 us (512/8/128 F)",
        "at most 10 us of the host a call: 1 of 1 cells, worst 8 us (32/1/1 F)",
        "float32 error at most 1e-5: 5 of 5 cells, worst 2.0e-07 (512/8/1024 F)",
    ]
    assert goals.lines([]) == []


# Command line


def test_without_a_gpu_it_says_so_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(run, "why_not", lambda: "PyTorch finds no GPU")
    assert command.main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "skipped, nothing was measured: PyTorch finds no GPU\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--cells", "7/7/7"], "--cells: no cell fits '7/7/7'"),
        (["--seconds", "soon"], "--seconds: expected a number >= 0, got 'soon'"),
        (["--only", "lstm"], "argument --only: invalid choice: 'lstm'"),
        (["--from", "nowhere.csv"], "--from: nowhere.csv: "),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_bad_command_lines(arguments, problem, capsys):
    assert command.main(arguments) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {problem}") and hint.startswith("hint: ")


def test_stored_results_are_shown_with_the_table_last(tmp_path, capsys):
    path = tmp_path / "cuda.csv"
    with path.open("w") as file:
        Writer(file, {}, Record).write(RECORDS)
    assert command.main(["--from", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == table.line(RECORDS[:3])
    assert lines[-4:] == table.short_table(RECORDS)
    assert "at least 5x packed sequences: 1 of 1 cells, worst 7.0x (512/8/1024 F)" in lines


def test_python_m_benchmarks_cuda_is_this_command():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cuda", "--cells", "none"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("error: --cells: no cell fits 'none'")


def test_a_measured_run(monkeypatch, capsys, tmp_path):
    """All but the GPU: a fake device clock and module."""
    torch = pytest.importorskip("torch")
    from benchmarks.cuda_peers import timing

    monkeypatch.setattr(run, "why_not", lambda: "")
    monkeypatch.setattr(command, "_facts", lambda torch: {"GPU": "fake"})
    limits = Limits({"float32": 1e12, "float64": 5e11}, 1e12)
    monkeypatch.setattr(timing, "measure_limits", lambda torch, device: limits)
    monkeypatch.setattr(run, "run", lambda cases, *_: iter([RECORDS[:3], "skipped", RECORDS[3:5]]))
    monkeypatch.setattr(run, "launch_record", lambda *_: RECORDS[-1])
    monkeypatch.setattr(sanitizer, "check", lambda: iter([("memcheck", "ok: 0 errors")]))
    path = tmp_path / "out.csv"
    assert torch and command.main(["--quick", "--csv", str(path)]) == 0
    out = capsys.readouterr().out
    assert "memcheck: ok: 0 errors" in out and out.splitlines()[-1].split() == [
        "512",
        "2.5",
        "|",
        "1.00",
    ]
    assert len(read_csv(path, Record)[1]) == 6


def test_sanitizer_lines(monkeypatch):
    monkeypatch.setattr(sanitizer.shutil, "which", lambda name: None)
    assert list(sanitizer.check()) == [("compute-sanitizer", "not installed, not run")]
    monkeypatch.setattr(sanitizer.shutil, "which", lambda name: "/tool")

    def answer(command, **_):
        failed = command[2] == "racecheck"
        text = f"start\n========= ERROR SUMMARY: {int(failed)} errors\n"
        return subprocess.CompletedProcess(command, int(failed), text, "")

    monkeypatch.setattr(sanitizer.subprocess, "run", answer)
    lines = dict(sanitizer.check())
    assert set(lines) == set(sanitizer.TOOLS)
    assert lines["memcheck"] == "ok: ERROR SUMMARY: 0 errors"
    assert lines["racecheck"] == "FAILED: ERROR SUMMARY: 1 errors"


def test_a_wrong_result_ends_with_1(monkeypatch, capsys):
    def wrong(options):
        raise run.WrongResultError("elman 64/1/128 F: ours, error 1.0e+00")

    monkeypatch.setattr(run, "why_not", lambda: "")
    monkeypatch.setattr(command, "_measure", wrong)
    assert command.main([]) == 1
    assert capsys.readouterr().err == (
        "error: wrong result: elman 64/1/128 F: ours, error 1.0e+00\n"
    )
    assert np.isnan(RECORDS[-1].error)
