"""`python -m fastrnn`: what is installed, and what the machine can do."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

import fastrnn
from fastrnn.environment import describe

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one line and exit code 2, without the usage."""
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print versions, processor features, threads and GPU; return the exit code."""
    parser = _Parser(
        prog="python -m fastrnn",
        description="Print versions, processor features, threads, and whether a GPU can be used.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON")
    parser.add_argument("--version", action="version", version=f"fastrnn {fastrnn.__version__}")
    options = parser.parse_args(arguments)
    try:
        facts = describe(cuda=True)
    except ValueError as error:  # FASTRNN_NUM_THREADS holds nonsense
        parser.exit(2, f"python -m fastrnn: error: {error}\n")
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name:{width}}  {' '.join(fact) if isinstance(fact, list) else fact}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
