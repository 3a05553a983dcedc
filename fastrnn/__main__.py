"""`python -m fastrnn`: what is installed and what the machine can do.

`warmup` compiles ahead; `draw` draws the figures of docs/math.md.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import fastrnn
from fastrnn.checkpoint import write_atomically
from fastrnn.environment import describe
from fastrnn.figures import FIGURES, draw
from fastrnn.warmup import Family, warmup

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one line and exit code 2, without the usage."""
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print facts about the installation, compile ahead, or draw; return the exit code."""
    parser = _Parser(
        prog="python -m fastrnn",
        description="Print versions, processor features, threads, and whether a GPU can be used.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON")
    parser.add_argument("--version", action="version", version=f"fastrnn {fastrnn.__version__}")
    about = "compile the kernels now and keep them in the cache"
    commands = parser.add_subparsers(dest="command", metavar="command")
    warm = commands.add_parser("warmup", help=about, description=about, allow_abbrev=False)
    warm.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="default: float32"
    )
    _add_draw(commands)
    options = parser.parse_args(arguments)
    if options.json and options.command:
        parser.error("argument --json: expected no command beside it")
    try:
        if options.command == "draw":
            return _draw(options)
        return _warm_up(options.dtype) if options.command else _print_facts(options.json)
    except ValueError as error:  # FASTRNN_NUM_THREADS holds nonsense
        parser.exit(2, f"python -m fastrnn: error: {error}\n")


def _print_facts(as_json: bool) -> int:
    facts = describe(cuda=True)
    if as_json:
        print(json.dumps(facts, indent=2))
        return 0
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name:{width}}  {' '.join(fact) if isinstance(fact, list) else fact}")
    return 0


def _add_draw(commands: Any) -> None:
    about = "draw a network as a graph over time, as SVG"
    told = "; ".join(f"{name} ({figure.number})" for name, figure in FIGURES.items())
    draws = commands.add_parser(
        "draw",
        help=about,
        description=f"{about[0].upper()}{about[1:]}. Figures: {told}.",
        allow_abbrev=False,
    )
    names = [a for name, figure in FIGURES.items() for a in (figure.number, name)]
    draws.add_argument("figure", metavar="FIGURE", choices=names, help="its name or number")
    draws.add_argument("--steps", type=int, metavar="T", help="default: 3, of the TDNN 7")
    draws.add_argument("-o", "--output", metavar="FILE", help="default: standard output")
    draws.set_defaults(fail=draws.error)


def _draw(options: argparse.Namespace) -> int:
    """Write a figure to a file or to standard output; end with 2 where that is not possible."""
    try:
        picture = draw(options.figure, options.steps)
    except (ModuleNotFoundError, ValueError) as error:  # no TDNN is installed, or --steps 0
        options.fail(str(error))
    if options.output is None:
        sys.stdout.write(picture)
        return 0
    try:
        write_atomically(os.path.realpath(options.output), picture.encode())
    except OSError as error:
        options.fail(f"argument -o: cannot write {options.output!r}: {error.strerror}")
    return 0


def _warm_up(dtype: str) -> int:
    """Print a line per family of kernels, and where they are kept; 1 where some are not."""

    def show(family: Family) -> None:
        source = f"compiled {family.compiled}" if family.compiled else "from cache"
        print(f"{family.name:14}  {family.seconds:6.1f} s  {source}", flush=True)

    try:
        done = warmup(dtype, progress=show)
    except OSError as error:  # a full disk
        sys.stderr.write(f"python -m fastrnn warmup: error: cannot write the cache: {error}\n")
        return 1
    for folder in done.folders:
        print(f"kept in {folder}")
    if not done.folders and done.kept:
        print("nothing to compile: NUMBA_DISABLE_JIT is set")
    if done.kept:
        return 0
    named = os.environ.get("NUMBA_CACHE_DIR", "")
    place = f"NUMBA_CACHE_DIR={named}" if named else "the package's and the user's cache folders"
    print(
        f"not kept: {place} cannot be written, so each process compiles anew; "
        "set NUMBA_CACHE_DIR to a folder that can be written"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
