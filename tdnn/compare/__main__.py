"""The command ``rnn-vs-tdnn``: also ``python -m tdnn.compare``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tdnn.compare.errors import ComparisonError, ComparisonInterrupted

__all__ = ["main"]

PROGRAM = "rnn-vs-tdnn"
FORMATS = ("html", "md", "csv", "json")  # of the report; known here without loading it


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a hint, the same as all others."""

    def error(self, message: str) -> NoReturn:
        raise ComparisonError(message, f"see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line of ``rnn-vs-tdnn``."""
    top = Parser(
        prog=PROGRAM,
        description="Train recurrent and time-delay networks of matched size on the same tasks, "
        "and write a report. Begin with: rnn-vs-tdnn run --quick --out report",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="tune, train, test and measure, then write the report",
        description="Tune each model, train it from each seed, test and measure it; then write "
        "the report. Finished runs are stored one by one: the same command goes on where it was "
        "interrupted, and more seeds or models are added to those there.",
        allow_abbrev=False,
    )
    _what_to_run(run)
    _how_to_run(run)
    report = commands.add_parser(
        "report", help="write the report again from the runs stored in OUT", allow_abbrev=False
    )
    for command in (run, report):
        command.add_argument(
            "--out",
            type=Path,
            default=Path("report"),
            metavar="OUT",
            help="folder of the results; default: report",
        )
        command.add_argument(
            "--format",
            type=formats,
            default=FORMATS,
            metavar="FORMAT[,FORMAT]",
            help=f"of {', '.join(FORMATS)}; default: all",
        )
    merge = commands.add_parser(
        "merge",
        help="put the runs of several folders into one",
        description="Copy all finished runs of the folders IN into OUT, which may hold some "
        "already. Runs of a task must have been made with the same settings.",
        allow_abbrev=False,
    )
    merge.add_argument("into", type=Path, metavar="OUT", help="folder; made if it is not there")
    merge.add_argument("folders", type=Path, nargs="+", metavar="IN", help="folders of results")
    diff = commands.add_parser("diff", help="compare two sets of results", allow_abbrev=False)
    diff.add_argument("one", type=Path, metavar="A", help="a folder of results")
    diff.add_argument("other", type=Path, metavar="B", help="another one")
    fetch = commands.add_parser(
        "fetch", help="download a data set into the cache, held to its hash", allow_abbrev=False
    )
    fetch.add_argument("names", nargs="+", metavar="NAME", help="data sets; see list")
    commands.add_parser("list", help="show tasks, models, data sets and defaults")
    return top


def _what_to_run(run: argparse.ArgumentParser) -> None:
    """The options that decide the results."""
    what = run.add_argument_group("what is run")
    what.add_argument(
        "--tasks", nargs="+", metavar="TASK[:T]", help="names, with a length T; see list"
    )
    what.add_argument("--models", nargs="+", metavar="MODEL", help="names; see list")
    what.add_argument("--quick", action="store_true", help="smaller defaults: under 5 minutes")
    what.add_argument(
        "--seeds", type=integer, metavar="N", help="seeds 0 to N - 1; default: 5, quick: 3"
    )
    what.add_argument("--budget", type=integer, metavar="N", help="parameters of each model")
    what.add_argument("--steps", type=integer, metavar="N", help="updates of each run")
    what.add_argument(
        "--tune",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="choose learning rate and clipping on the validation set, by the same grid for all "
        "models and with seeds of its own; default: yes, quick: no",
    )
    what.add_argument("--length", type=integer, metavar="T", help="of tasks named without :T")
    what.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[TASK=]PATH",
        help="files for music, speech-digits or ts; default: what fetch fetched",
    )
    what.add_argument("--text", type=Path, metavar="FILE", help="any UTF-8 text, for the task char")


def _how_to_run(run: argparse.ArgumentParser) -> None:
    """The options that change no result but times."""
    how = run.add_argument_group(
        "how it is run", "These change no result, only times; speed is measured one at a time."
    )
    how.add_argument(
        "--jobs",
        type=integer,
        metavar="N",
        help="train in N processes, of one thread each; default: 1, quick: 2",
    )
    how.add_argument(
        "--threads", type=integer, metavar="N", help="of each run; default: all cores, else 1"
    )
    how.add_argument(
        "--scheduler", metavar="ADDRESS", help="train on a Dask cluster: tcp://host:8786"
    )
    how.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="make only part I of N of the runs; merge puts the parts together",
    )


def integer(text: str) -> int:
    """An integer from the command line."""
    try:
        return int(text.replace("_", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer, got {text!r}") from None


def shard(text: str) -> tuple[int, int]:
    """I/N from the command line."""
    left, slash, right = text.partition("/")
    try:
        index, count = int(left), int(right)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected I/N, such as 1/4, got {text!r}") from None
    if not slash or not 1 <= index <= count:
        raise argparse.ArgumentTypeError(f"expected I/N with 1 <= I <= N, got {text!r}")
    return index, count


def formats(text: str) -> tuple[str, ...]:
    """Formats from the command line, joined by commas."""
    found = names([text])
    for name in found or ("",):
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"expected {', '.join(FORMATS)}, got {name!r}")
    return found


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
    from tdnn.compare.settings import Settings, Shard

    check_packages()
    wishes = {
        name: getattr(options, name)
        for name in (
            "seeds", "budget", "steps", "threads", "quick", "text", "length", "tune", "jobs",
            "scheduler",
        )
    }  # fmt: skip
    for name in ("tasks", "models"):
        if getattr(options, name) is not None:
            wishes[name] = names(getattr(options, name))
    wishes["data"] = tuple(options.data)
    if options.shard is not None:
        wishes["shard"] = Shard(*options.shard)
    compare(Settings(**wishes), options.out, open_progress(sys.stdout))
    if options.shard is None:
        _report(options)
    else:
        print(
            f"shard {options.shard[0]}/{options.shard[1]} is done; when all are: "
            f"{PROGRAM} merge WHOLE {options.out} ..., then {PROGRAM} report --out WHOLE"
        )


def _report(options: argparse.Namespace) -> None:
    from tdnn.compare.report import write_report

    for verdict in write_report(options.out, options.format):
        print(verdict.sentence)
    print(f"report: {options.out / 'index.html' if 'html' in options.format else options.out}")


def _merge(options: argparse.Namespace) -> None:
    from tdnn.compare.merging import merge

    added, total = merge(options.into, options.folders)
    print(f"{added} runs added, {total} there; write the report: ", end="")
    print(f"{PROGRAM} report --out {options.into}")


def _diff(options: argparse.Namespace) -> None:
    from tdnn.compare.diff import compare_results

    print(compare_results(options.one, options.other).rstrip("\n"))


def _fetch(options: argparse.Namespace) -> None:
    from tdnn.compare.fetching import fetch

    for name in names(options.names):
        print(f"{name}: {fetch(name, print)}")


def _list(_: argparse.Namespace) -> None:
    from tdnn.compare import defaults
    from tdnn.compare.fetching import SOURCES
    from tdnn.compare.models import MODELS
    from tdnn.compare.tasks import TASKS

    print("tasks")
    for name, task in TASKS.items():
        print(f"  {name:16} {task.description}")
        for label, usual in zip(("full", "--quick"), defaults.DEFAULTS[name], strict=True):
            length = f", length {usual.length}" if usual.length else ""
            print(
                f"  {'':16} {label}: budget {usual.budget}, {usual.steps} steps, "
                f"{usual.seeds} seeds{length}"
            )
    print("models")
    for name, family in MODELS.items():
        print(f"  {name:16} {family.description}")
    print("data sets for fetch")
    for name, source in SOURCES.items():
        print(f"  {name:16} {source.title}, for {source.task}")
    print("run without --tasks and --models")
    for label, (tasks, models) in (("full", defaults.FULL), ("--quick", defaults.QUICK)):
        print(f"  {label:16} {', '.join(tasks)}; models {', '.join(models)}")


COMMANDS = {
    "run": _run, "report": _report, "merge": _merge, "diff": _diff, "fetch": _fetch, "list": _list,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
