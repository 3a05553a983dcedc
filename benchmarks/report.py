"""The comparison end to end: train, test, measure, write the report."""

import importlib.util
import json
import math
import tempfile
from pathlib import Path

from benchmarks.calls import public, skip

_PACKAGES = ("jinja2", "joblib", "matplotlib", "pandas", "scipy", "tqdm")


class Comparison:
    """An Elman network against a TDNN on the adding problem, so small that a test could do it."""

    version = "1"
    timeout = 600.0
    rounds = 1
    number = 1
    repeat = (3, 3, 60.0)

    def time_adding(self) -> None:
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise skip(f"not installed: {', '.join(missing)}")
        settings = public("tdnn.compare.settings.Settings")(
            tasks=("adding",), models=("elman", "tdnn"), budget=2_500, length=10, seeds=2,
            steps=30, threads=1, quick=True,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            public("tdnn.compare.run.compare")(settings, out)
            public("tdnn.compare.report.write_report")(out)
            _check(out)


def _check(out: Path) -> None:
    runs = json.loads((out / "runs.json").read_text("utf-8"))["runs"]
    scores = [run["score"] for run in runs]
    if len(scores) != 4 or not all(score is not None and 0 < score < 1 for score in scores):
        raise ValueError(f"expected four scores near the floor of 1/6, got {scores}")
    errors = [run["gradient_error"] for run in runs]
    if not all(math.isfinite(error) and error < 1e-3 for error in errors):
        raise ValueError(f"expected gradient errors below 1e-3, got {errors}")
    if (out / "index.html").read_text("utf-8").count("<svg") < 3:
        raise ValueError("expected three figures in index.html")
