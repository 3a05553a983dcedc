"""Speed and accuracy on a GPU beside PyTorch (cuDNN): ``python -m benchmarks.cuda``.

It needs Python, numba, numba-cuda and torch, and a GPU. Where one of them is missing it says so in
one sentence and ends with the status 2, so that no script takes it for measured.

How it measures
---------------
- **Device time, interleaved.** In each round every contender runs once, in random order, between
  two events on its stream, for at least 2 ms. A ratio is the median over rounds of peer's time /
  our time. Where the host is slower than the device, the host is what is measured.
- **The same tensors.** All arrays are PyTorch's, on the GPU before the clock starts.
- **Checked first.** Each contender's results are compared with float64: a wrong one stops the run.
  The error is the largest norm-wise error over all results.
- **Percent.** A case needs at least the longer of two times: its operations at the speed of
  PyTorch's matrix product (TF32 off), and its arrays, each once, at that of a copy in memory.

What is timed
-------------
elman
    x -> h, h_last (F), and the gradients in x, h0, U, W, b from one in h (FB); p = m. Peers:
    torch.nn.RNN (cuDNN) in fp32 with TF32 off; in fp16 and bf16, for information, with their
    errors; a plain loop.
ragged
    Lengths in [T/4, T]; torch's packed sequences, packed beforehand.
float64
    The same in float64.
tdnn
    One layer with relu, valid padding; torch's conv1d in its own layout.
launch
    How long one call of `elman_forward` keeps the host.

Cells are named m/B/T. The CSV file holds everything; the figures to reach and a short table come
last. Where compute-sanitizer is installed, one small pass of every network runs under its tools.
"""

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.cuda_peers import goals, sanitizer, table
from benchmarks.cuda_peers.grid import GROUPS, Case, all_cases, quick_cases
from benchmarks.cuda_peers.records import Record, by_case
from benchmarks.peers.records import Writer, read_csv

__all__ = ["main"]

_SECONDS, _QUICK_SECONDS = 1.0, 0.2


class UsageError(Exception):
    """A bad command line: what is wrong, and what would help."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.cuda", allow_abbrev=False,
        description="Speed and accuracy on a GPU beside PyTorch.",
        epilog="What is measured, and how: the docstring of benchmarks/cuda_peers/__main__.py.",
    )  # fmt: skip
    add = parser.add_argument
    add("--only", nargs="+", choices=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    add("--cells", nargs="+", metavar="PATTERN", help="m/B/T, such as '512/*/1024'")
    add("--seconds", metavar="S", help=f"per case (default: {_SECONDS:g})")
    add("--quick", action="store_true", help="few small cells, little time")
    add("--csv", type=Path, default=Path("cuda.csv"), metavar="PATH", help="default: cuda.csv")
    add("--no-sanitizer", action="store_true", help="leave compute-sanitizer out")
    add(
        "--from", dest="stored", type=Path, metavar="CSV",
        help="show what --csv wrote, without measuring",
    )  # fmt: skip
    return parser


def choose_cases(options: argparse.Namespace) -> list[Case]:
    """Return the cells that the command line asks for."""
    cases = quick_cases() if options.quick else all_cases()
    if options.only:
        cases = [case for case in cases if case.group in options.only]
    for pattern in options.cells or []:
        if not any(fnmatch(case.cell, pattern) for case in cases):
            raise UsageError(f"--cells: no cell fits {pattern!r}", "cells look like 512/8/1024")
    if options.cells:
        cases = [c for c in cases if any(fnmatch(c.cell, pattern) for pattern in options.cells)]
    return cases


def _seconds(word: str | None, quick: bool) -> float:
    if word is None:
        return _QUICK_SECONDS if quick else _SECONDS
    try:
        seconds = float(word)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise UsageError(f"--seconds: expected a number >= 0, got {word!r}", "such as 1")
    return seconds


def _facts(torch: Any) -> dict[str, str]:
    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "missing"

    properties = torch.cuda.get_device_properties(0)
    names = ("fastrnn", "numba", "numba-cuda", "torch")
    return {
        "GPU": f"{properties.name}, {properties.multi_processor_count} multiprocessors",
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
        "CUDA, cuDNN": f"{torch.version.cuda}, {torch.backends.cudnn.version()}",
    }


def _measure(options: argparse.Namespace) -> list[Record]:
    """Measure, print a line for each case, and write the CSV file as it goes."""
    import torch

    from benchmarks.cuda_peers.run import launch_record, run
    from benchmarks.cuda_peers.timing import event_block, measure_limits

    cases, seconds = choose_cases(options), _seconds(options.seconds, options.quick)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    facts, limits = _facts(torch), measure_limits(torch, "cuda")
    facts["matrix product, TFLOP/s"] = ", ".join(
        f"{speed / 1e12:.3g} {name}" for name, speed in limits.flops.items()
    )
    facts["copy in memory, GB/s"] = f"{limits.bandwidth / 1e9:.4g}"
    for name, value in facts.items():
        print(f"{name}: {value}", flush=True)
    records: list[Record] = []
    try:
        file = options.csv.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"--csv: {error}", "name a file that can be written") from error
    with file:
        writer = Writer(file, facts, Record)
        measured: Any = run(cases, torch, "cuda", limits, seconds, event_block(torch))
        for answer in measured:
            if isinstance(answer, str):
                print(answer, flush=True)
                continue
            _take(answer, records, writer)
        _take([launch_record(torch, "cuda", torch.cuda.synchronize)], records, writer)
    print(f"written to {options.csv}", flush=True)
    return records


def _take(answer: list[Record], records: list[Record], writer: Writer) -> None:
    records.extend(answer)
    writer.write(answer)
    print(table.line(answer), flush=True)


def _stored(path: Path) -> list[Record]:
    try:
        _, records = read_csv(path, Record)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"--from: {path}: {error}", "name a file that --csv wrote") from error
    for found in by_case(records).values():
        print(table.line(found))
    return records


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    0: measured. 1: a result was wrong. 2: nothing was measured, for a bad command line, or because
    there is no GPU here, or a package is missing.
    """
    try:
        options = _parser().parse_args(arguments)
        if options.stored:
            records = _stored(options.stored)
        else:
            choose_cases(options)
            _seconds(options.seconds, options.quick)
            from benchmarks.cuda_peers.run import WrongResultError, why_not

            reason = why_not()
            if reason:
                print(f"skipped, nothing was measured: {reason}", file=sys.stderr)
                return 2
            try:
                records = _measure(options)
            except WrongResultError as error:
                print(f"error: wrong result: {error}", file=sys.stderr)
                return 1
            if not options.no_sanitizer:
                for tool, text in sanitizer.check():
                    print(f"{tool}: {text}", flush=True)
    except UsageError as error:
        problem, hint = error.args
        print(f"error: {problem}\nhint: {hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    for text in ["", *goals.lines(records), "", *table.short_table(records)]:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
