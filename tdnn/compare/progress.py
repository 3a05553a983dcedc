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

    def measuring(self, plan: Plan, model: str) -> None:
        """The speed of a model is measured."""

    def trial_started(self, plan: Plan, model: str, seed: int) -> None:
        """A tuning trial begins, or goes on."""

    def tuned(self, record: Record) -> None:
        """The tuning of a model is stored."""

    def run_started(self, plan: Plan, model: str, seed: int) -> None:
        """A run begins, or goes on."""

    def advanced(self, row: dict[str, Any] | None, steps: int) -> None:
        """`steps` more updates are done; `row` is the newest validation, where it was watched."""

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
            f"{plan.task.key}: {', '.join(plan.models)}; {plan.budget:,} parameters, "
            f"{plan.steps:,} updates, {plan.seeds} seeds; {data}"
        )
        for model, reason in plan.skipped.items():
            self.write(f"{plan.task.key}: without {model}: {reason}")

    def start(self, total: int, stored: int, steps: int) -> None:  # noqa: ARG002
        self.done, self.total = stored, total
        if stored:
            self.write(f"{stored} of {total} runs are stored already and are not made again")

    def measuring(self, plan: Plan, model: str) -> None:
        self.write(f"{plan.task.key} {model}: measuring its speed")

    def tuned(self, record: Record) -> None:
        tuning = record["tuning"]
        chosen = tuning["chosen"]
        self.write(
            f"{record['task']} {record['model']}: of {len(tuning['grid'])} points, "
            f"{tuning['seeds']} seeds each, learning rate {chosen['learning_rate']:g} and clipping "
            f"at {chosen['clip_norm']:g} chosen on validation"
        )

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

    def measuring(self, plan: Plan, model: str) -> None:
        super().measuring(plan, model)
        self._bar.set_description(f"{plan.task.key} {model}: speed")

    def trial_started(self, plan: Plan, model: str, seed: int) -> None:  # noqa: ARG002
        self._bar.set_description(f"{plan.task.key} {model}: tuning")

    def run_started(self, plan: Plan, model: str, seed: int) -> None:
        self._bar.set_description(f"{plan.task.key} {model} seed {seed}")

    def advanced(self, row: dict[str, Any] | None, steps: int) -> None:
        validation = None if row is None else row["validation"]
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
