"""The command line: ``python -m benchmarks.history --help``."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks.history.frame import to_df
from benchmarks.history.gate import Finding, judge
from benchmarks.history.page import history_page
from benchmarks.history.record import commit_of, record
from benchmarks.history.results import (
    RESULTS,
    ROOT,
    HistoryError,
    Run,
    again,
    choose_machine,
    find_run,
    load_runs,
    write_atomically,
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise HistoryError(message, f"see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.history",
        allow_abbrev=False,
        description="The asv history: record commits, compare them, show them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--results", type=Path, default=RESULTS, metavar="DIR",
                         help="the folder of results (default: benchmarks/results)")  # fmt: skip
        sub.add_argument("--machine", metavar="NAME", help="default: the only one")
        return sub

    def checkout(sub: argparse.ArgumentParser, text: str) -> None:
        sub.add_argument("--checkout", type=Path, default=ROOT, metavar="DIR",
                         help=f"{text}: a clone, at a commit (default: this one)")  # fmt: skip

    def bench(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--bench", action="append", default=[], metavar="REGEX",
                         help="only these; may be given several times")  # fmt: skip

    sub = command("record", "run the suite for the commit checked out, in this environment")
    bench(sub)
    checkout(sub, "what to measure")
    sub.add_argument("--again", action="store_true", help="a second run, which confirms a first")
    sub.add_argument("--quick", action="store_true", help="one call each, only for trying")
    sub = command("gate", "exit with 1 if HEAD is worse than BASE")
    sub.add_argument("base", metavar="BASE")
    sub.add_argument("head", metavar="HEAD")
    bench(sub)
    sub.add_argument("--confirm", action="store_true",
                     help="run again what is slower, if HEAD is checked out")  # fmt: skip
    checkout(sub, "what --confirm runs again")
    sub = command("html", "write one page without scripts or links")
    sub.add_argument("--out", type=Path, default=Path("history.html"), metavar="PATH")
    sub = command("to-df", "write all results as CSV")
    sub.add_argument("--out", type=Path, metavar="PATH", help="default: print them")
    return parser


def _patterns(options: argparse.Namespace) -> list[re.Pattern[str]]:
    found = []
    for pattern in options.bench:
        try:
            found.append(re.compile(pattern))
        except re.error as error:
            raise HistoryError(f"--bench: {pattern!r}: {error}", "a regular expression") from error
    return found


def _record(options: argparse.Namespace) -> int:
    _patterns(options)
    folder = again(options.results) if options.again else options.results
    path = record(
        options.results, options.machine, options.bench,
        into=folder, checkout=options.checkout.resolve(), quick=options.quick,
    )  # fmt: skip
    print(path)
    return 0


def _gate(options: argparse.Namespace) -> int:
    machine = choose_machine(options.results, options.machine)
    base, head = (commit_of(getattr(options, name), name.upper()) for name in ("base", "head"))
    runs, chosen = load_runs(options.results, machine), _patterns(options)
    first = find_run(runs, base, "BASE").only(chosen), find_run(runs, head, "HEAD").only(chosen)
    found = _judge_twice(options.results, machine, first)
    unconfirmed = [finding for finding in found if finding.kind == "unconfirmed"]
    if options.confirm and unconfirmed:
        checkout = options.checkout.resolve()
        if commit_of("HEAD", "HEAD", checkout) != first[1].commit:
            raise HistoryError(
                f"--confirm: {first[1].commit[:10]} is not checked out", "check it out, install it"
            )
        record(
            options.results, machine, [finding.key.pattern() for finding in unconfirmed],
            into=again(options.results), checkout=checkout,
        )  # fmt: skip
        found = _judge_twice(options.results, machine, first)
    for finding in found:
        word = "FAIL" if finding.fails else "note"
        print(f"{word} {finding.kind}: {finding.key}: {finding.text}")
    failed = sum(finding.fails for finding in found)
    compared = sum(value.status == "ok" for value in first[0].results.values())
    print(f"{compared} results compared on {machine}: {failed} failed, {len(found)} remarks")
    if any(finding.kind == "unconfirmed" for finding in found):
        print(
            "hint: with HEAD checked out, gate --confirm runs again what is slower", file=sys.stderr
        )
    return 1 if failed else 0


def _judge_twice(results: Path, machine: str, first: tuple[Run, Run]) -> list[Finding]:
    """Judge, with second runs where there are some."""
    runs = {run.commit: run for run in load_runs(again(results), machine)}
    return judge(*first, *(runs.get(run.commit) for run in first))


def _html(options: argparse.Namespace) -> int:
    write_atomically(options.out, history_page(options.results, options.machine))
    print(options.out)
    return 0


def _to_df(options: argparse.Namespace) -> int:
    text = to_df(options.results, options.machine).to_csv(index=False, lineterminator="\n")
    if options.out is None:
        print(text, end="")
    else:
        write_atomically(options.out, text)
        print(options.out)
    return 0


_COMMANDS = {"record": _record, "gate": _gate, "html": _html, "to-df": _to_df}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    0 if all is well, 1 if the gate fails, 2 for a bad command line or a state that forbids it.
    """
    try:
        options = _parser().parse_args(arguments)
        options.results = options.results.resolve()
        return _COMMANDS[options.command](options)
    except HistoryError as error:
        print(f"error: {error.problem}\nhint: {error.hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
