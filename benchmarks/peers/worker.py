"""One process: measures cases with one number of threads, and answers in lines of JSON.

Its standard input is one JSON object with threads, cases (keys), peers and seconds.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from typing import Any

__all__ = ["WrongResultError", "main", "measure_case"]

# Torch's and ONNX Runtime's pools spin for some milliseconds after their work.
_PAUSE = 0.005
_TOLERANCES = {"float32": 1e-4, "float64": 1e-10}


class WrongResultError(Exception):
    """A contender does not compute what it should."""


def main() -> None:
    """Read the plan, measure, write one line for the facts and one for each case."""
    plan = json.load(sys.stdin)
    # Libraries that print must not break the lines of JSON.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from benchmarks.peers.cores import bind

    bind(plan["threads"])  # before any import that starts threads
    try:
        for answer in _answers(plan):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    except WrongResultError as error:
        answers.write(json.dumps({"wrong": str(error)}) + "\n")
        answers.flush()


def _answers(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from benchmarks.peers.cases import all_cases
    from benchmarks.peers.machine import Machine

    machine = Machine()
    yield {"facts": machine.facts()}
    for case in all_cases():
        if case.key in plan["cases"]:
            yield {"records": measure_case(case, machine, plan)}


def measure_case(case: Any, machine: Any, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Check and time all contenders of a case; return its records as dicts, "ours" first.

    Parameters
    ----------
    case : Case
    machine : Machine
    plan : dict
        threads; peers, names of modules; seconds, for the timing.

    Raises
    ------
    WrongResultError
        If a contender's results are wrong.
    """
    import numpy as np

    from benchmarks.peers.cores import Neighbours
    from benchmarks.peers.inputs import make_inputs
    from benchmarks.peers.machine import percent_of_bound
    from benchmarks.peers.records import Record
    from benchmarks.peers.timing import fastest_variants, measure, median_ratio

    threads = plan["threads"]
    inputs = make_inputs(case)
    contenders = []
    for name in ("ours", *plan["peers"]):
        module = import_module(f"benchmarks.peers.{name}")
        contenders += module.contenders(case, inputs, threads)
    errors = _check(case, inputs, contenders)
    contenders = fastest_variants(contenders)
    timed = list(contenders)
    yard_work = work = 0.0
    if case.group != "step":
        yardstick, yard_work, work = machine.yardstick(case, threads)
        timed.append(yardstick)
    neighbours = Neighbours()
    times, busy = measure(timed, plan["seconds"], pause=_PAUSE if threads > 1 else 0)
    others = neighbours.share()
    records = []
    for i, contender in enumerate(contenders):
        spent = times[:, 0] - times[:, i] if contender.part else times[:, i]
        percent = float("nan")
        if work:
            percent = percent_of_bound(work, spent, yard_work, times[:, -1], threads)
        record = Record(
            case.group, case.cell, case.direction, case.dtype, threads,
            contender.name, contender.variant,
            seconds=float(np.median(spent)),
            ratio=median_ratio(spent, times[:, 0]),
            error=errors[contender.name, contender.variant],
            percent=percent,
            bound=timed[-1].name if work else "",
            rounds=len(times),
            busy=float(busy[i]),
            others=others,
        )  # fmt: skip
        records.append(asdict(record))
    return records


def _check(case: Any, inputs: Any, contenders: list[Any]) -> dict[tuple[str, str], float]:
    """Return the error of each contender and variant."""
    from benchmarks.peers.reference import expected_results, largest_error

    expected = expected_results(case, inputs)
    errors = {}
    for contender in contenders:
        results = contender.results(contender.call())
        error = float("nan")
        if results:
            try:
                error = largest_error(results, expected, _TOLERANCES[case.dtype])
            except ValueError as problem:
                who = f"{contender.name} {contender.variant}".strip()
                raise WrongResultError(f"{case.key}: {who} is wrong: {problem}") from problem
        errors[contender.name, contender.variant] = error
    return errors


if __name__ == "__main__":
    main()
