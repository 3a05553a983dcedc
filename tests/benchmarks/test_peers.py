"""The comparison with other frameworks: its arithmetic, tables and command line, no times."""

import importlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.peers import table
from benchmarks.peers.__main__ import main
from benchmarks.peers.cases import GROUPS, Case, all_cases, quick_cases
from benchmarks.peers.cores import choose_cores
from benchmarks.peers.inputs import make_inputs
from benchmarks.peers.machine import Machine, percent_of_bound
from benchmarks.peers.records import Record, Writer, read_csv
from benchmarks.peers.reference import expected_results, largest_error
from benchmarks.peers.run import PEERS, ROOT
from benchmarks.peers.timing import Contender, fastest_variants, measure, median_ratio
from benchmarks.peers.worker import WrongResultError, _check
from fastrnn import reference

SMALL = {
    "elman": Case("elman", "FB", 3, 7, 5, 6, 4),
    "tdnn": Case("tdnn", "FB", 2, 9, 3, 4, offsets=(-1, 2)),
    "ragged": Case("ragged", "FB", 4, 12, 3, 5, 4),
    "vanishing": Case("vanishing", "FB", 2, 9, 3, 4, 3, scale=0.5),
    "step": Case("step", "F", 1, 1, 6, 6),
}


def forward(case):
    return replace(case, direction="F")


CASES = [*SMALL.values(), *(forward(SMALL[group]) for group in ("elman", "tdnn", "ragged"))]


def record(contender="ours", ratio=1.0, **changes):
    base = Record(
        "elman", "1/2/3/4/5", "F", "float32", 1, contender, "", seconds=2e-3, ratio=ratio,
        error=1e-7, percent=50.0, bound="peak", rounds=9,
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
    record("ours kept", 0.5, cell="6/7/8/9/10"),
]


# The grid


def test_every_case_has_its_own_key():
    keys = [case.key for case in all_cases()]
    assert len(set(keys)) == len(keys)
    assert {case.group for case in all_cases()} == set(GROUPS) == set(SMALL)
    assert {case.key for case in quick_cases()} < set(keys)
    assert sum(c.group == "elman" and c.dtype == "float32" for c in all_cases()) == 2 * 19


def test_work():
    case = SMALL["elman"]
    steps, m, p, q = 21, 6, 5, 4
    assert forward(case).flops == 2 * steps * m * (m + p)
    assert case.flops == 3 * forward(case).flops + 6 * steps * m * q
    assert forward(case).traffic * 2 == case.traffic == 2 * 7 * m * m * 4
    ragged = SMALL["ragged"]
    assert forward(ragged).flops == 2 * ragged.lengths.sum() * 5 * (5 + 3)
    assert all(3 <= length <= 12 for length in ragged.lengths)
    assert forward(SMALL["tdnn"]).flops == 2 * (9 - 3) * 2 * 2 * 3 * 4
    assert SMALL["tdnn"].traffic == 0


# What is right


@pytest.mark.parametrize("group", ["elman", "ragged"])
def test_expected_results_are_those_of_the_reference(group):
    case = replace(SMALL[group], dtype="float64")
    a = make_inputs(case)
    state = reference.elman_forward(a.x, a.U, a.W, a.b, a.h0, a.lengths)
    assert largest_error(expected_results(forward(case), a), state._asdict(), 1e-14) > 0
    o = reference.linear_forward(state.h, a.V, a.c, a.lengths)
    loss = reference.softmax_cross_entropy(o, a.targets, a.lengths)
    outer = reference.linear_backward(loss.do, state.h, a.V, a.lengths)
    inner = reference.elman_backward(outer.dh, a.x, state.h, a.U, a.W, a.h0, None, a.lengths)
    wanted = {"loss": loss.value, "dV": outer.dV, "dc": outer.dc, **inner._asdict()}
    largest_error(expected_results(case, a), wanted, 1e-13)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_ours_is_right(case):
    from benchmarks.peers import ours

    inputs = make_inputs(case)
    contenders = ours.contenders(case, inputs, 2)
    assert contenders[0].name == "ours"
    assert _check(case, inputs, contenders)["ours", ""] < 1e-6


@pytest.mark.peers
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_peers_are_right(peer, case):
    for package in PEERS[peer]:
        pytest.importorskip(package)
    module = importlib.import_module(f"benchmarks.peers.peer_{peer}")
    inputs = make_inputs(case)
    contenders = module.contenders(case, inputs, 1)
    assert contenders or peer != "torch"  # torch does everything
    assert all(error < 1e-6 for error in _check(case, inputs, contenders).values())


def test_a_wrong_result_stops_the_run():
    case = forward(SMALL["tdnn"])
    inputs = make_inputs(case)
    good = expected_results(case, inputs)["h"]
    for bad, message in [
        (good + 0.01, "torch last is wrong: h: expected an error of at most 0.0001"),
        (good * np.nan, "got nan"),
        (good[1:], "expected shape"),
    ]:
        contender = Contender("torch", lambda bad=bad: bad, lambda h: {"h": h}, "last")
        with pytest.raises(WrongResultError, match=message):
            _check(case, inputs, [contender])
    with pytest.raises(ValueError, match="expected results among"):
        largest_error({"g": good}, {"h": good}, 1.0)
    assert largest_error({"h": 0.0}, {"h": 1e-40}, 1e-4) < 1e-9


# Arithmetic


def test_ratio_is_of_pairs():
    slow_machine = np.array([1.0, 1.0, 5.0, 5.0, 1.0])
    assert median_ratio(3 * slow_machine, slow_machine) == 3.0


def test_percent():
    twice_as_slow = np.array([1.0, 2.0, 1.0])
    assert percent_of_bound(30.0, twice_as_slow, 10.0, twice_as_slow / 4, 1) == 75.0
    assert percent_of_bound(30.0, twice_as_slow, 10.0, twice_as_slow / 4, 2) == 37.5


def test_what_binds():
    machine = object.__new__(Machine)
    machine.caches = {"L1": 1 << 15, "L2": 1 << 19, "L3": 1 << 25}
    machine.peak = {"float32": 100e9, "float64": 50e9}
    machine.bandwidth = {"L1": 200e9, "L2": 100e9, "L3": 30e9, "DRAM": 10e9}
    machine._arrays = {level: np.ones(64, np.float32) for level in machine.bandwidth}
    assert machine.level(1 << 19) == "L2"
    assert machine.level(1 << 26) == "DRAM"
    one = Case("elman", "F", 1, 128, 64, 512)
    assert machine.yardstick(one, 1)[0].name == "L3"
    assert machine.yardstick(one, 2)[0].name == "L2"
    assert machine.yardstick(one, 1)[2] == one.traffic
    many = replace(one, B=32)
    assert machine.yardstick(many, 1)[0].name == "peak"
    assert machine.yardstick(many, 1)[2] == many.flops


def test_rounds_are_interleaved_and_the_fastest_variant_is_taken():
    calls = []

    def contender(name, variant, turns, steps=1):
        def call():
            calls.append(name)
            return sum(range(turns))

        return Contender(name, call, lambda _returned: {}, variant, steps)

    few, many = contender("torch", "few", 10), contender("torch", "many", 300_000)
    ours = contender("ours", "", 100_000)
    chosen = fastest_variants([ours, many, few])
    assert [(c.name, c.variant) for c in chosen] == [("ours", ""), ("torch", "few")]
    calls.clear()
    times = measure([ours, contender("twice", "", 100_000, steps=2)], 0, least_rounds=4)
    assert times.shape == (4, 2) and (times > 0).all()
    assert calls.index("twice") < len(calls) - 1 - calls[::-1].index("ours")


def test_cores():
    assert choose_cores(3, {0, 1}) is None
    assert choose_cores(2, {0, 1}) == {0, 1}
    assert len(choose_cores(1, {0, 1})) == 1


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
        "| cell | F ours | F torch | F JAX | F ours kept | F % | F error | FB ours | FB torch "
        "| FB error |"
    )
    assert rows[2] == ("| 1/2/3/4/5 | 2 ms | 8.0 | 2.0 |  | 50 | 1e-07 | 2 ms | 4.0 | 1e-07 |")
    assert rows[3] == "| 6/7/8/9/10 | 2 ms | 2.0 |  | 0.5 | 50 L2 | 1e-07 |  |  |  |"
    assert "- machine: fast" in text


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
