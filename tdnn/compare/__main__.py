"""The command ``rnn-vs-tdnn``: also ``python -m tdnn.compare``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tdnn.compare.errors import ComparisonError, ComparisonInterrupted

__all__ = ["main"]

PROGRAM = "rnn-vs-tdnn"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a hint, the same as all others."""

    def error(self, message: str) -> NoReturn:
        raise ComparisonError(message, f"see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line of ``rnn-vs-tdnn``."""
    top = Parser(
        prog=PROGRAM,
        description="Train recurrent and time-delay networks of matched size on the same tasks, "
        "and write a report.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="{run,report,list}")
    run = commands.add_parser(
        "run",
        help="train, test and measure, then write the report; goes on where it was interrupted",
        allow_abbrev=False,
    )
    run.add_argument("--tasks", nargs="+", metavar="TASK", help="default: all; see list")
    run.add_argument("--models", nargs="+", metavar="MODEL", help="default: all; see list")
    run.add_argument("--seeds", type=integer, metavar="N", help="number of seeds, 0 to N - 1")
    run.add_argument("--budget", type=integer, metavar="N", help="parameters of each model")
    run.add_argument("--steps", type=integer, metavar="N", help="updates of each run")
    run.add_argument("--threads", type=integer, metavar="N", help="default: all cores")
    run.add_argument("--quick", action="store_true", help="smaller defaults: about 3 minutes")
    run.add_argument("--text", type=Path, metavar="FILE", help="any UTF-8 text, for the task char")
    run.add_argument("--length", type=integer, metavar="T", help="steps, for the task adding")
    report = commands.add_parser(
        "report", help="write the report again from the runs stored in OUT", allow_abbrev=False
    )
    for command in (run, report):
        command.add_argument(
            "--out",
            type=Path,
            default=Path("report"),
            metavar="OUT",
            help="folder; default: report",
        )
    commands.add_parser("list", help="show the tasks, the models and the defaults")
    return top


def integer(text: str) -> int:
    """An integer from the command line."""
    try:
        return int(text.replace("_", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer, got {text!r}") from None


def names(words: Sequence[str]) -> tuple[str, ...]:
    """Names given apart or with commas, each once."""
    found = (name.strip() for word in words for name in word.split(","))
    return tuple(dict.fromkeys(name for name in found if name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        0; 2 after an error, told in one line; 130 after Ctrl-C.
    """
    try:
        options = parser().parse_args(arguments)
        COMMANDS[options.command](options)
    except ComparisonError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    except ComparisonInterrupted as interrupt:
        print(f"{PROGRAM}: {interrupt}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    from tdnn.compare.progress import open_progress
    from tdnn.compare.report import check_packages
    from tdnn.compare.run import compare
    from tdnn.compare.settings import Settings

    check_packages()
    wishes = {
        name: getattr(options, name)
        for name in ("seeds", "budget", "steps", "threads", "quick", "text", "length")
    }
    for name in ("tasks", "models"):
        if getattr(options, name) is not None:
            wishes[name] = names(getattr(options, name))
    compare(Settings(**wishes), options.out, open_progress(sys.stdout))
    _report(options)


def _report(options: argparse.Namespace) -> None:
    from tdnn.compare.report import write_report

    for verdict in write_report(options.out):
        print(verdict.sentence)
    print(f"report: {options.out / 'index.html'}")


def _list(_: argparse.Namespace) -> None:
    from tdnn.compare.models import MODELS
    from tdnn.compare.settings import DEFAULTS
    from tdnn.compare.tasks import TASKS

    print("tasks")
    for name, task in TASKS.items():
        print(f"  {name:10} {task.description}")
        for label, defaults in zip(("full", "--quick"), DEFAULTS[name], strict=True):
            length = f", length {defaults.length}" if defaults.length else ""
            print(
                f"  {'':10} {label}: budget {defaults.budget}, {defaults.steps} steps, "
                f"{defaults.seeds} seeds{length}"
            )
    print("models")
    for name, family in MODELS.items():
        print(f"  {name:10} {family.description}")


COMMANDS = {"run": _run, "report": _report, "list": _list}

if __name__ == "__main__":
    sys.exit(main())
