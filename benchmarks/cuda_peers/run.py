"""One case after the other: check, time, record."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastrnn
from benchmarks.cuda_peers.contenders import contenders, errors, expected, make_tensors
from benchmarks.cuda_peers.grid import Case
from benchmarks.cuda_peers.records import Record
from benchmarks.cuda_peers.timing import Limits, host_seconds, roofline
from benchmarks.peers.timing import Block, Contender, measure, median_ratio

__all__ = ["WrongResultError", "launch_record", "run_case", "why_not"]

# Beyond these ours would not be the same thing: the run stops. The goal is tighter.
_WRONG = {"float32": 1e-3, "float64": 1e-9}


class WrongResultError(Exception):
    """A contender's results are not those of float64."""


def why_not() -> str:
    """Return why nothing can be measured here, or ""."""
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed: pip install torch"
    if not torch.cuda.is_available():
        return "PyTorch finds no GPU"
    from fastrnn.cuda import launching

    try:
        launching.require()
    except RuntimeError as error:
        return str(error)
    return ""


def run_case(
    case: Case, torch: Any, device: str, limits: Limits, seconds: float, block: Block
) -> list[Record]:
    """Return the records of a case, ours first.

    Raises
    ------
    WrongResultError
        If the results of ours, or of a peer with the same arithmetic, are not those of float64.
    """
    a = make_tensors(case, torch, device)
    found = contenders(case, a, torch)
    right = expected(case, a, torch)
    wrong = [_error(contender, right, torch) for contender in found]
    del right
    for contender, error in zip(found, wrong, strict=True):
        exact = contender.name not in ("torch fp16", "torch bf16")
        if exact and not error <= _WRONG[case.dtype]:
            where = f"{case.group} {case.cell} {case.direction}"
            raise WrongResultError(f"{where}: {contender.name}, error {error:.1e}")
    times, _ = measure(found, seconds, block=block)
    least, bound = roofline(case, limits)
    records = []
    for k, contender in enumerate(found):
        median = float(np.median(times[:, k]))
        records.append(
            Record(
                case.group, case.direction, case.dtype, case.m, case.B, case.T, case.p,
                ",".join(map(str, case.offsets)), contender.name, median,
                median_ratio(times[:, k], times[:, 0]), wrong[k], 100 * least / median, bound,
                len(times),
            )
        )  # fmt: skip
    return records


def _error(contender: Contender, right: dict[str, Any], torch: Any) -> float:
    return errors(contender.results(contender.call()), right, torch)


def launch_record(torch: Any, device: str, wait: Callable[[], Any]) -> Record:
    """Return how long a call of `elman_forward` with next to no work keeps the host."""
    case = Case("launch", "F", 1, 1, 32, 32)
    a = make_tensors(case, torch, device)

    def call() -> Any:
        return fastrnn.elman_forward(a.x, a.U, a.W, a.b)

    seconds = host_seconds(call, wait)
    nothing = float("nan")
    return Record(
        "launch", "F", "float32", 32, 1, 1, 32, "", "ours", seconds, 1.0, nothing, nothing, "", 10
    )


def run(
    cases: list[Case], torch: Any, device: str, limits: Limits, seconds: float, block: Block
) -> Iterator[list[Record] | str]:
    """Yield the records of each case, or a line that says why there are none."""
    for case in cases:
        try:
            yield run_case(case, torch, device, limits, seconds, block)
        except torch.cuda.OutOfMemoryError:
            yield f"{case.group} {case.cell} {case.direction}: skipped, out of the GPU's memory"
        gc.collect()
        torch.cuda.empty_cache()
