"""What a person sees while runs are made: a bar on a terminal, plain lines elsewhere."""

import sys
from typing import Any, TextIO

from tdnn.compare.formats import number, seconds
from tdnn.compare.results import Record
from tdnn.compare.settings import Plan

__all__ = ["Lines", "Progress", "open_progress"]


class Progress:
    """Is told what happens, and shows nothing."""

    def plan(self, plan: Plan) -> None:
        """A task is going to be run like this."""

    def start(self, total: int, stored: int, steps: int) -> None:
        """Of `total` runs `stored` are there already; the others take `steps` updates."""

    def run_started(self, plan: Plan, model: str, seed: int) -> None:
        """A run begins, or goes on."""

    def advanced(self, row: dict[str, Any], steps: int) -> None:
        """The run has done `steps` more updates; `row` is its newest validation."""

    def run_finished(self, record: Record) -> None:
        """A run is stored."""

    def close(self) -> None:
        """Nothing more comes."""


class Lines(Progress):
    """A line for each finished run.

    Parameters
    ----------
    stream : TextIO
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.done = self.total = 0

    def write(self, line: str) -> None:
        """Write one line."""
        self.stream.write(line + "\n")
        self.stream.flush()

    def plan(self, plan: Plan) -> None:
        data = ", ".join(f"{label} {value}" for label, value in plan.task.facts().items())
        self.write(
            f"{plan.task.name}: {plan.budget:,} parameters, {plan.steps:,} updates, "
            f"{plan.seeds} seeds; {data}"
        )

    def start(self, total: int, stored: int, steps: int) -> None:  # noqa: ARG002
        self.done, self.total = stored, total
        if stored:
            self.write(f"{stored} of {total} runs are stored already and are not made again")

    def run_finished(self, record: Record) -> None:
        self.done += 1
        place = f"[{self.done:{len(str(self.total))}}/{self.total}]"
        name = f"{record['task']} {record['model']} seed {record['seed']}"
        score = f"{number(record['score'])} {record['about']['metric']}"
        self.write(f"{place} {name}: {score}, {seconds(record['timing']['training'])} of training")


class Bar(Lines):
    """The lines, and below them a tqdm bar over all updates."""

    def __init__(self, stream: TextIO, tqdm: Any) -> None:
        super().__init__(stream)
        self._tqdm = tqdm
        self._bar: Any = None

    def write(self, line: str) -> None:
        self._tqdm.write(line, file=self.stream)

    def start(self, total: int, stored: int, steps: int) -> None:
        super().start(total, stored, steps)
        self._bar = self._tqdm(total=steps, unit="update", file=sys.stderr, leave=False)

    def run_started(self, plan: Plan, model: str, seed: int) -> None:
        self._bar.set_description(f"{plan.task.name} {model} seed {seed}")

    def advanced(self, row: dict[str, Any], steps: int) -> None:
        validation = row["validation"]
        self._bar.set_postfix_str("" if validation is None else f"validation {number(validation)}")
        self._bar.update(steps)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def open_progress(stream: TextIO) -> Progress:
    """A bar where standard error is a terminal and tqdm is installed, else plain lines."""
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return Lines(stream)
        return Bar(stream, tqdm)
    return Lines(stream)
