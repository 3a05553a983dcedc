"""Comparisons so small that a test can make them."""

import json

from tdnn.compare.merging import timeless
from tdnn.compare.progress import Progress
from tdnn.compare.settings import Settings

TINY = {"models": ("elman", "tdnn"), "seeds": 2, "steps": 12, "threads": 1, "tune": False}


def adding(**more):
    """Two models, two seeds, sequences of ten steps."""
    return Settings(**{"tasks": ("adding",), "budget": 2_500, "length": 10, **TINY, **more})


def both(text, **more):
    """Two tasks; `text` is the path of a small text."""
    tasks = ("char", "adding")
    return Settings(tasks=tasks, budget=6_000, length=10, text=text, **{**TINY, **more})


def write_text(path):
    """A small text with some order in it: squares, in words."""
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    spelled = (" ".join(words[int(digit)] for digit in str(n * n)) for n in range(260))
    path.write_text(". ".join(spelled), encoding="utf-8")
    return path


def read_runs(out):
    """The records below a folder, without times and places, by file name."""
    return {path.name: timeless(json.loads(path.read_text())) for path in (out / "runs").iterdir()}


class Events(Progress):
    """Notes what happens; `at` may do something when the n-th event of a kind comes."""

    def __init__(self, kind=None, n=0, action=None):
        self.log = []
        self.trigger = kind, n, action

    def note(self, kind, what=None):
        self.log.append((kind, what))
        wanted, n, action = self.trigger
        if kind == wanted and sum(seen == kind for seen, _ in self.log) == n:
            action()

    def start(self, total, stored, steps):
        self.note("start", (total, stored, steps))

    def trial_started(self, plan, model, seed):
        self.note("trial_started", (plan.task.key, model, seed))

    def tuned(self, record):
        self.note("tuned", (record["task"], record["model"]))

    def run_started(self, plan, model, seed):
        self.note("run_started", (plan.task.key, model, seed))

    def advanced(self, row, steps):
        self.note("advanced", None if row is None else row["step"])

    def run_finished(self, record):
        self.note("run_finished", (record["task"], record["model"], record["seed"]))

    def close(self):
        self.note("close")

    def of(self, kind):
        return [what for seen, what in self.log if seen == kind]
