"""Stored runs as tables: a row per run, per point of a curve, per lag of a gradient, per model.

The main table is made from the table of runs alone, as it is written to runs.csv: whatever it
shows can be computed again from that file.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tdnn.compare.measure import FLOW_COLUMNS
from tdnn.compare.results import Record
from tdnn.compare.statistics import Question, Verdict, estimate, verdicts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["curves_table", "flow_table", "judge", "runs_table", "summary_table"]


def runs_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per run: the tidy table of runs.csv.

    The receptive field is empty where it is unbounded, a score where the run has none.
    """
    import pandas as pd

    frame = pd.DataFrame([_run_row(record) for record in records])
    return frame.astype({"receptive_field": "Int64"})


def _run_row(record: Record) -> dict[str, Any]:
    about, network, timing = record["about"], record["network"], record["timing"]
    floor_name, floor = about["references"][0]
    return {
        "task": record["task"],
        "model": record["model"],
        "seed": record["seed"],
        "parameters": network["parameters"],
        "receptive_field": network["receptive_field"],
        "metric": about["metric"],
        "lower_is_better": about["lower_is_better"],
        "score": record["score"],
        "validation": record["validation"],
        "best_step": record["best_step"],
        "steps": record["settings"]["steps"],
        "diverged": record["diverged"],
        "floor_name": floor_name,
        "floor": floor,
        "training_seconds": timing["training"],
        "forward_per_second": timing["sequences_per_second"]["forward"],
        "forward_backward_per_second": timing["sequences_per_second"]["forward_backward"],
        "gradient_error": record["gradient_error"],
        "budget": record["settings"]["budget"],
        "threads": record["settings"]["threads"],
        "fingerprint": record["fingerprint"],
    }


def curves_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per evaluation of a run: the tidy table of curves.csv."""
    import pandas as pd

    columns = ["task", "model", "seed", "step", "seconds", "training_loss", "validation"]
    rows = []
    for record in records:
        curve = record["curve"]
        points = zip(
            curve["step"],
            record["timing"]["curve"],
            curve["loss"],
            curve["validation"],
            strict=True,
        )
        rows += [(record["task"], record["model"], record["seed"], *point) for point in points]
    return pd.DataFrame(rows, columns=columns)


def flow_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per run and lag: the tidy table of gradient_flow.csv."""
    import pandas as pd

    frames = []
    for record in records:
        frame = pd.DataFrame(record["gradient_flow"], columns=FLOW_COLUMNS)
        for place, name in enumerate(("task", "model", "seed")):
            frame.insert(place, name, record[name])
        floats = ["norm", "state_norm", "bound", "spectral"]
        frames.append(frame.astype(dict.fromkeys(floats, float)))
    return pd.concat(frames, ignore_index=True)


def summary_table(runs: "pd.DataFrame") -> list[dict[str, Any]]:
    """One row per task and model, from the table of runs.

    The score is a mean with its 95 % interval over seeds; the training time and the rates are
    medians over seeds; the gradient error is the worst.
    """
    import pandas as pd

    rows = []
    for (task, model), group in runs.groupby(["task", "model"], sort=True):
        score = estimate(list(group["score"].dropna())) if group["score"].notna().any() else None
        field = group["receptive_field"].iloc[0]
        rows.append(
            {
                "task": task,
                "model": model,
                "seeds": len(group),
                "parameters": int(group["parameters"].iloc[0]),
                "receptive_field": None if pd.isna(field) else int(field),
                "metric": group["metric"].iloc[0],
                "mean": score and score.mean,
                "low": score and score.low,
                "high": score and score.high,
                "floor_name": group["floor_name"].iloc[0],
                "floor": float(group["floor"].iloc[0]),
                "training_seconds": float(group["training_seconds"].median()),
                "forward_per_second": float(group["forward_per_second"].median()),
                "forward_backward_per_second": float(group["forward_backward_per_second"].median()),
                "gradient_error": float(group["gradient_error"].max()),
                "diverged": int(group["diverged"].sum()),
            }
        )
    return rows


def judge(records: Iterable[Record]) -> list[Verdict]:
    """The verdict of each task, for every pair of its models."""
    scores: dict[str, dict[str, dict[int, float]]] = {}
    questions: dict[str, Question] = {}
    for record in records:
        task, about = record["task"], record["about"]
        floor_name, floor = about["references"][0]
        questions[task] = Question(
            task=task,
            metric=about["metric"],
            unit=about["unit"],
            lower_is_better=about["lower_is_better"],
            floor_name=floor_name,
            floor=floor,
        )
        score = float("nan") if record["score"] is None else record["score"]
        scores.setdefault(task, {}).setdefault(record["model"], {})[record["seed"]] = score
    return [
        found for task in sorted(questions) for found in verdicts(questions[task], scores[task])
    ]
