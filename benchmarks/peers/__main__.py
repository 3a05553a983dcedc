"""Speed and accuracy beside PyTorch, JAX and ONNX Runtime: ``python -m benchmarks.peers``.

How it measures
---------------
- **One process per thread count.** It is bound to that many cores before anything else is imported.
  For JAX, whose thread pool has no public setting, this is the setting: XLA makes as many threads
  as it has cores; for one thread it also gets ``--xla_cpu_multi_thread_eigen=false
  intra_op_parallelism_threads=1``. Torch, ONNX Runtime, OpenMP and FastRNN are told the number.
- **Interleaved.** In each round every contender runs once, in random order, for at least 2 ms
  (short calls are repeated). A ratio is the median over rounds of peer's time / our time, so a
  machine that slows down for a while slows both. With several threads there is a short pause
  between two contenders, in which the thread pool of the one before stops spinning.
- **Alone or not.** The share of the cores that other processes took is reported where it is above
  5 %: with two threads, barriers that spin then collapse, and so do ratios. So is a peer that kept
  more cores busy than it was given threads.
- **Peers at their best.** Inputs lie in the peer's own tensors before the clock starts; where a
  peer can be called in several ways (memory layouts, unrolling, bound outputs), its fastest is
  taken.
- **Checked first.** Before it is timed, each contender's results are compared with float64
  (`reference.py`): a wrong one stops the run. The error is the largest norm-wise error,
  ``|got - expected| / |expected|``, over all results.
- **Percent.** A case needs at least the longer of two times: its floating-point operations at the
  peak (fused multiply-adds with all operands in registers), and W, read once a step, at the
  bandwidth of the smallest cache it fits into. Percent is that time / the measured one; where the
  second binds, the cache is named. Both yardsticks are measured in the same rounds, on one core,
  and multiplied by the number of threads. With T = 32 and one thread there is a second figure,
  "kept": without the time that packing the weights takes, measured beside it.

What is timed
-------------
forward
    The recurrent layer alone: x -> h, h_last. Operations: 2 T B m (m + p).
forward + backward
    The layer, the output layer, softmax cross entropy, and the gradients in everything: x, h0, U,
    W, b, V, c. Operations: three times the forward pass and 6 T B m q.
tdnn
    One layer with relu and valid padding, against conv1d in torch's best layout; backward from a
    given gradient in h.
ragged
    Lengths uniform in [T/4, T]. Torch gets packed sequences, packed beforehand; "ours padded" is
    the same batch without its lengths.
vanishing
    W x 0.5 with W orthogonal and the loss on the last step only, so that gradients fall below the
    smallest normal number; and W x 1 to compare with.
jordan
    An output-to-hidden network: forward, it is fed its own softmax outputs; backward, its targets
    (teacher forcing). For the latter torch runs twice: "torch" computes all steps at once, as ours
    does, "torch loop" step after step, as such networks are commonly written.
step
    One step of one sequence, from Python and in a loop inside a compiled function.

Where each thing is: `cases` the grid; `inputs`, `reference` arrays and what is right; `ours`,
`peer_torch`, `peer_jax`, `peer_onnx` the contenders; `machine` peak and bandwidth; `timing` rounds;
`worker` one process; `records` results as CSV; `table` Markdown, lines and summary.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path
from typing import NoReturn, TextIO

from benchmarks.peers import table
from benchmarks.peers.cases import GROUPS, Case, all_cases, quick_cases
from benchmarks.peers.cores import usable_cores
from benchmarks.peers.records import Record, Writer, read_csv
from benchmarks.peers.run import PEERS, ROOT, WorkerError, missing, run_worker, versions
from fastrnn.environment import describe

_SECONDS, _QUICK_SECONDS = 4.0, 0.3


class UsageError(Exception):
    """A bad command line: what is wrong, and what would help."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.peers",
        allow_abbrev=False,
        description="Speed and accuracy beside PyTorch, JAX and ONNX Runtime.",
        epilog="What is measured, and how: the docstring of benchmarks/peers/__main__.py.",
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    add("--cells", nargs="+", metavar="PATTERN", help="such as '1/*' or 8/128/64/128/10")
    add("--threads", nargs="+", metavar="N", help="default: 1 2, as far as there are cores")
    add("--peers", nargs="*", metavar="PEER", help="torch, jax, onnx; default: all installed")
    add("--seconds", metavar="S", help=f"per case (default: {_SECONDS:g})")
    add("--quick", action="store_true", help="a smoke run: few small cells, little time")
    add("--csv", type=Path, metavar="PATH", help="write all figures there")
    add(
        "--markdown", type=Path, nargs="?", const=ROOT / "README.md", metavar="PATH",
        help="write the tables between the markers in that file (default: README.md)",
    )  # fmt: skip
    add(
        "--from", dest="stored", type=Path, metavar="CSV",
        help="show what --csv wrote, without measuring",
    )  # fmt: skip
    return parser


def _choose_cases(options: argparse.Namespace) -> list[Case]:
    cases = quick_cases() if options.quick else all_cases()
    if options.only:
        cases = [case for case in cases if case.group in options.only]
    for pattern in options.cells or []:
        if not any(fnmatch(case.cell, pattern) for case in cases):
            raise UsageError(
                f"--cells: no cell fits {pattern!r}",
                "cells look like " + ", ".join(case.cell for case in cases[:6:2]),
            )
    if options.cells:
        cases = [c for c in cases if any(fnmatch(c.cell, pattern) for pattern in options.cells)]
    if not cases:
        raise UsageError("--only: --quick has none of these groups", "leave --quick out")
    return cases


def _choose_threads(words: list[str] | None) -> list[int]:
    cores = len(usable_cores())
    if words is None:
        return [count for count in (1, 2) if count <= cores]
    for word in words:
        if not word.isdecimal() or int(word) < 1:
            raise UsageError(f"--threads: expected integers >= 1, got {word!r}", "such as 1 2")
        if int(word) > cores:
            raise UsageError(
                f"--threads: {word} threads need {word} cores, this process may use {cores}",
                f"use --threads 1 to {cores}, or another taskset",
            )
    return sorted(set(map(int, words)))


def _choose_peers(names: list[str] | None) -> tuple[list[str], list[str]]:
    """Return the peers to measure, and a line for each that is left out."""
    for name in names or []:
        if name not in PEERS:
            raise UsageError(f"--peers: there is no {name!r}", f"there are {', '.join(PEERS)}")
    wanted = list(PEERS) if names is None else list(dict.fromkeys(names))
    lines = [
        f"{peer}: skipped, {' and '.join(lacking)} not installed"
        for peer in wanted
        if (lacking := missing(peer))
    ]
    return [peer for peer in wanted if not missing(peer)], lines


def _seconds(word: str | None, quick: bool) -> float:
    if word is None:
        return _QUICK_SECONDS if quick else _SECONDS
    try:
        seconds = float(word)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise UsageError(f"--seconds: expected a number >= 0, got {word!r}", "such as 4")
    return seconds


def _check_markdown(path: Path | None) -> None:
    """Refuse a file without markers before anything is measured."""
    if path is None:
        return
    try:
        table.check_markers(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"--markdown: {path}: {error}", "add the two marker lines") from error


def _measure(options: argparse.Namespace) -> tuple[dict[str, str], list[Record]]:
    cases, thread_counts = _choose_cases(options), _choose_threads(options.threads)
    peers, skipped = _choose_peers(options.peers)
    seconds = _seconds(options.seconds, options.quick)
    about = describe()
    facts = {
        "machine": f"{about['processor']}, {about['vector_bits']}-bit vectors",
        **versions(peers),
    }
    for text in [*skipped, *(f"{name}: {value}" for name, value in facts.items())]:
        print(text, flush=True)
    records: list[Record] = []
    writer = None
    with ExitStack() as stack:
        file = stack.enter_context(_open_csv(options.csv)) if options.csv else None
        for threads in thread_counts:
            # A step of one sequence is nothing to share.
            chosen = [c for c in cases if c.group != "step" or threads == thread_counts[0]]
            for answer in run_worker(chosen, threads, peers, seconds):
                if isinstance(answer, dict):
                    new = {name: value for name, value in answer.items() if name not in facts}
                    facts.update(new)
                    for name, value in new.items():
                        print(f"{name}: {value}", flush=True)
                    if file and not writer:
                        writer = Writer(file, facts)
                    continue
                records.extend(answer)
                print(table.line(answer), flush=True)
                if writer:
                    writer.write(answer)
    return facts, records


def _open_csv(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"--csv: {error}", "name a file that can be written") from error


def _stored(path: Path) -> tuple[dict[str, str], list[Record]]:
    try:
        facts, records = read_csv(path)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"--from: {path}: {error}", "name a file that --csv wrote") from error
    if not records:
        raise UsageError(f"--from: {path}: there is no result", "measure with --csv first")
    for group in table.by_case(records).values():
        print(table.line(group))
    return facts, records


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 2 for a bad command line, 1 for a failed run.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.
    """
    try:
        options = _parser().parse_args(arguments)
        _check_markdown(options.markdown)
        facts, records = _stored(options.stored) if options.stored else _measure(options)
    except UsageError as error:
        problem, hint = error.args
        print(f"error: {problem}\nhint: {hint}", file=sys.stderr)
        return 2
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    for text in [*table.summary(records), *table.warnings(records)]:
        print(text)
    if options.markdown:
        table.write_markdown(options.markdown, table.markdown(records, facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
