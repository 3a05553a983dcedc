"""The comparison with other frameworks: its grid, what is right, its arithmetic; no times."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.peers.cases import GROUPS, Case, all_cases, quick_cases
from benchmarks.peers.cores import Neighbours, choose_cores
from benchmarks.peers.inputs import make_inputs
from benchmarks.peers.machine import Machine, percent_of_bound
from benchmarks.peers.reference import expected_results, largest_error
from benchmarks.peers.run import PEERS
from benchmarks.peers.timing import Contender, fastest_variants, measure, median_ratio
from benchmarks.peers.worker import WrongResultError, _check
from fastrnn import reference

SMALL = {
    "elman": Case("elman", "FB", 3, 7, 5, 6, 4),
    "tdnn": Case("tdnn", "FB", 2, 9, 3, 4, offsets=(-1, 2)),
    "ragged": Case("ragged", "FB", 4, 12, 3, 5, 4),
    "vanishing": Case("vanishing", "FB", 2, 9, 3, 4, 3, scale=0.5),
    "jordan": Case("jordan", "FB", 3, 7, 5, 6, 4),
    "step": Case("step", "F", 1, 1, 6, 6),
}


def forward(case):
    return replace(case, direction="F")


CASES = [
    *SMALL.values(),
    *(forward(SMALL[group]) for group in ("elman", "tdnn", "ragged", "jordan")),
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
    times, busy = measure([ours, contender("twice", "", 100_000, steps=2)], 0, least_rounds=4)
    assert times.shape == (4, 2) and (times > 0).all()
    assert busy.shape == (2,) and (busy > 0).all()
    assert calls.index("twice") < len(calls) - 1 - calls[::-1].index("ours")


def test_cores():
    assert choose_cores(3, {0, 1}) is None
    assert choose_cores(2, {0, 1}) == {0, 1}
    assert len(choose_cores(1, {0, 1})) == 1
    share = Neighbours().share()
    assert np.isnan(share) or 0 <= share <= 1
