"""The contenders of `benchmarks.cuda` give the same results; here in CPU memory, without a GPU."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cuda_peers.contenders import contenders, errors, expected, make_tensors
from benchmarks.cuda_peers.grid import Case
from benchmarks.cuda_peers.run import WrongResultError, run_case
from benchmarks.cuda_peers.timing import Limits

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

CASES = [
    Case("elman", "F", B=3, T=6, p=4, m=5),
    Case("ragged", "F", B=4, T=8, p=3, m=4),
    Case("float64", "F", B=2, T=5, p=3, m=4),
    Case("tdnn", "F", B=2, T=9, p=4, m=5, offsets=(-2, 0, 2)),
]
NAMES = {
    "elman": ["ours", "torch", "torch loop"], "ragged": ["ours", "torch packed"],
    "float64": ["ours", "torch"], "tdnn": ["ours", "torch conv1d"],
}  # fmt: skip


@pytest.mark.parametrize("direction", ["F", "FB"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.group)
def test_all_contenders_do_the_same(case, direction):
    case = replace(case, direction=direction)
    a = make_tensors(case, torch, "cpu")
    found, right = contenders(case, a, torch), expected(case, a, torch)
    assert [contender.name for contender in found] == NAMES[case.group]
    names = {"h"} | (set() if case.offsets else {"h_last"})
    if direction == "FB":
        names |= {"dx", "dW", "db"} | (set() if case.offsets else {"dU", "dh0"})
    assert set(right) == names
    for contender in found:
        for _ in range(2):  # gradients are not added up from call to call
            results = contender.results(contender.call())
        assert errors(results, right, torch) <= (1e-12 if case.dtype == "float64" else 1e-5)


def test_errors_see_what_is_wrong():
    right = {"h": torch.ones(2, 2, dtype=torch.float64)}
    assert errors({"h": torch.full((2, 2), 1.5)}, right, torch) == pytest.approx(0.5)
    assert errors({}, right, torch) == errors({"h": torch.ones(2)}, right, torch) == np.inf
    assert errors({"h": torch.full((2, 2), torch.nan)}, right, torch) == np.inf


def fake_block(call, repeats):
    call()
    return 1e-3, 0.0


def test_records_of_a_case(monkeypatch):
    limits = Limits({"float32": 1e9, "float64": 1e9}, 1e9)
    case = CASES[0]
    records = run_case(case, torch, "cpu", limits, 0.0, fake_block)
    assert [r.contender for r in records] == NAMES["elman"]
    assert all(r.ratio == 1 and r.seconds == 1e-3 and r.rounds == 5 for r in records)
    assert records[0].percent == pytest.approx(100 * case.flops / 1e9 / 1e-3)
    monkeypatch.setattr("benchmarks.cuda_peers.run._error", lambda *_: 0.5)
    with pytest.raises(WrongResultError, match="^elman 5/3/6 F: ours, error 5.0e-01$"):
        run_case(case, torch, "cpu", limits, 0.0, fake_block)
