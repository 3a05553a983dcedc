"""Stored runs as tables: a row per run, per point of a curve, per lag, per length, per model.

The summary is made from the table of runs alone, as it is written to runs.csv: whatever the
report's main table shows can be computed again from that file.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tdnn.compare.measure import FLOW_COLUMNS
from tdnn.compare.results import Record
from tdnn.compare.statistics import Estimate, estimate
from tdnn.compare.verdicts import Question, Verdict, family_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "curves_table", "flow_table", "gap_table", "lag_table", "length_table", "questions",
    "runs_table", "scores_of", "summary_table", "throughput_table", "tuning_table",
    "verdicts_table",
]  # fmt: skip


def runs_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per run: the tidy table of runs.csv.

    The receptive field is empty where it is unbounded, a score where the run has none.
    """
    import pandas as pd

    frame = pd.DataFrame([_run_row(record) for record in records])
    return frame.astype(dict.fromkeys(("length", "memory", "receptive_field"), "Int64"))


def _run_row(record: Record) -> dict[str, Any]:
    about, network, timing = record["about"], record["network"], record["timing"]
    floor_name, floor = about["references"][0]
    latency = timing["latency"] or {"median": None, "p95": None}
    return {
        "task": record["task"],
        "task_family": record["family"],
        "length": record["length"],
        "model": record["model"],
        "seed": record["seed"],
        "parameters": network["parameters"],
        "receptive_field": network["receptive_field"],
        "memory": about["memory"],
        "multiply_adds": network["multiply_adds"],
        "metric": about["metric"],
        "lower_is_better": about["lower_is_better"],
        "score": record["score"],
        "loss": record["loss"],
        "validation": record["validation"],
        "best_step": record["best_step"],
        "steps": record["settings"]["steps"],
        "diverged": record["diverged"],
        "floor_name": floor_name,
        "floor": floor,
        "training_seconds": timing["training"],
        "forward_per_second": timing["sequences_per_second"]["forward"],
        "forward_backward_per_second": timing["sequences_per_second"]["forward_backward"],
        "latency_median": latency["median"],
        "latency_p95": latency["p95"],
        "stored_bytes": record["stored_bytes"],
        "gradient_error": record["gradient_error"],
        "learning_rate": record["tuning"]["chosen"]["learning_rate"],
        "clip_norm": record["tuning"]["chosen"]["clip_norm"],
        "budget": record["settings"]["budget"],
        "threads": record["settings"]["threads"],
        "fingerprint": record["fingerprint"],
        **{f"more: {name}": value for name, value in sorted(record["more"].items())},
    }


def curves_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per evaluation of a run: the tidy table of curves.csv."""
    columns = ("step", "seconds", "training_loss", "validation")
    return _tidy(
        records,
        columns,
        lambda record: zip(
            record["curve"]["step"],
            record["timing"]["curve"],
            record["curve"]["loss"],
            record["curve"]["validation"],
            strict=True,
        ),
    )


def flow_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per run and lag: the tidy table of gradient_flow.csv."""
    table = _tidy(
        records,
        FLOW_COLUMNS,
        lambda record: zip(*(record["gradient_flow"][name] for name in FLOW_COLUMNS), strict=True),
    )
    return table.astype(dict.fromkeys(("norm", "state_norm", "bound", "spectral"), float))


def lag_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per run and lag at which the task was scored: the tidy table of by_lag.csv."""
    return _tidy(records, ("lag", "score"), lambda record: record["by_lag"] or ())


def throughput_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per run and length of the sequences timed: the tidy table of throughput.csv.

    ``forward`` and ``forward_backward`` count steps of all sequences per second.
    """
    columns = ("length", "batch", "forward", "forward_backward")
    return _tidy(
        records,
        columns,
        lambda record: ([row[name] for name in columns] for row in record["timing"]["lengths"]),
    )


def tuning_table(records: Iterable[Record]) -> "pd.DataFrame":
    """One row per trial of the search: tuning.csv; a model that was not tuned has none."""
    columns = ("learning_rate", "clip_norm", "trial_seed", "validation", "diverged", "steps",
               "chosen")  # fmt: skip
    first: dict[tuple[str, str], Record] = {}
    for record in records:  # the search is the same for all seeds
        first.setdefault((record["task"], record["model"]), record)

    def trials(record: Record) -> Iterable[Iterable[Any]]:
        chosen = record["tuning"]["chosen"]
        for row in record["tuning"]["trials"]:
            taken = all(row[name] == chosen[name] for name in columns[:2])
            yield [
                row["learning_rate"], row["clip_norm"], row["seed"], row["validation"],
                row["diverged"], row["steps"], taken,
            ]  # fmt: skip

    return _tidy(first.values(), columns, trials).drop(columns="seed")


def _tidy(records: Iterable[Record], columns: Iterable[str], rows_of: Any) -> "pd.DataFrame":
    """A row for each of `rows_of(record)`, behind the record's task, model and seed."""
    import pandas as pd

    names = ("task", "model", "seed")
    rows = [
        (*(record[name] for name in names), *row) for record in records for row in rows_of(record)
    ]
    return pd.DataFrame(rows, columns=[*names, *columns])


def summary_table(runs: "pd.DataFrame") -> "pd.DataFrame":
    """One row per task and model, from the table of runs: summary.csv.

    The score is a mean, and an interquartile mean, with 95 % intervals over seeds; times, rates
    and latencies are medians over seeds; the gradient error is the worst.
    """
    import pandas as pd

    rows = [_summary_row(group) for _, group in runs.groupby(["task", "model"], sort=True)]
    whole = ("length", "memory", "receptive_field")
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def _summary_row(group: "pd.DataFrame") -> dict[str, Any]:
    scores = list(group["score"].dropna())
    mean, iqm = (estimate(scores, name) if scores else None for name in ("mean", "iqm"))
    first = group.iloc[0]
    kept = ("task", "task_family", "length", "model", "parameters", "receptive_field", "memory",
            "multiply_adds", "metric", "lower_is_better", "floor_name", "floor")  # fmt: skip
    medians = (
        "training_seconds", "forward_per_second", "forward_backward_per_second",
        "latency_median", "latency_p95", "stored_bytes",
    )  # fmt: skip
    return {
        **{name: first[name] for name in kept},
        "family": family_of(first["model"]),
        "seeds": len(group),
        "scores": len(scores),
        **_columns("mean", mean),
        **_columns("iqm", iqm),
        "interval": mean.method if mean else None,
        "validation": group["validation"].mean(),
        **{name: group[name].astype(float).median() for name in medians},
        "gradient_error": group["gradient_error"].max(),
        "diverged": int(group["diverged"].sum()),
    }


def _columns(name: str, found: Estimate | None) -> dict[str, float | None]:
    low, high = ("low", "high") if name == "mean" else (f"{name}_low", f"{name}_high")
    if found is None:
        return dict.fromkeys((name, low, high))
    return {name: found.mean, low: found.low, high: found.high}


def length_table(summary: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of tasks that differ in their length only, by length: lengths.csv."""
    columns = ["task_family", "length", "task", "model", "seeds", "mean", "low", "high", "floor",
               "metric"]  # fmt: skip
    several = summary.groupby("task_family")["length"].transform("nunique") > 1
    return summary.loc[several, columns].sort_values(["task_family", "model", "length"])


def gap_table(summary: "pd.DataFrame", verdicts: Iterable[Verdict]) -> "pd.DataFrame":
    """One row per verdict of an RNN against a TDNN: how far apart they are: gaps.csv.

    ``gap`` is the paired difference as a share of what the better model gains over the floor,
    above 0 where the TDNN is ahead: 1 means that the other one has gained nothing. Empty where
    the verdict says that there is nothing to compare.
    """
    import pandas as pd

    rows = []
    means = summary.set_index(["task", "model"])
    for item in verdicts:
        row: dict[str, Any] = {
            "task": item.task, "rnn": item.models[0], "tdnn": item.models[1], "kind": item.kind,
            "gap": None, "low": None, "high": None,
        }  # fmt: skip
        if item.kind in ("better", "no difference") and item.difference is not None:
            both = means.loc[[(item.task, name) for name in item.models]]
            sign = 1.0 if both["lower_is_better"].iloc[0] else -1.0
            gain = float((sign * (both["floor"] - both["mean"])).max())
            found = item.difference
            ends = (found.mean, found.low, found.high)
            middle, *bounds = (None if end is None else sign * end / gain for end in ends)
            row |= {"gap": middle, "low": min(bounds), "high": max(bounds)}  # type: ignore[type-var]
        rows.append(row)
    columns = ["task", "rnn", "tdnn", "kind", "gap", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[-3:], float))


def questions(records: Iterable[Record]) -> dict[str, Question]:
    """What a verdict must know of each task, by its key."""
    found = {}
    for record in records:
        about = record["about"]
        floor_name, floor = about["references"][0]
        found[record["task"]] = Question(
            record["task"], about["metric"], about["lower_is_better"], floor_name, floor,
            about["unit"],
        )  # fmt: skip
    return dict(sorted(found.items()))


def scores_of(
    records: Iterable[Record], measure: str = "score"
) -> dict[str, dict[str, dict[int, float]]]:
    """By task, model and seed: the score (or another `measure`); NaN where there is none."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for record in records:
        value = float("nan") if record[measure] is None else record[measure]
        own = found.setdefault(record["task"], {}).setdefault(record["model"], {})
        own[record["seed"]] = value
    return found


def verdicts_table(groups: Mapping[str, Iterable[Verdict]]) -> "pd.DataFrame":
    """One row per verdict: verdicts.csv; `groups` is what was compared -> its verdicts."""
    import pandas as pd

    rows = []
    for compared, verdicts in groups.items():
        for item in verdicts:
            difference, test = item.difference, item.test
            rows.append(
                {
                    "compared": compared,
                    "task": item.task,
                    "first": item.models[0],
                    "second": item.models[1],
                    "kind": item.kind,
                    "winner": item.winner,
                    "pairs": difference and difference.seeds,
                    "difference": difference and difference.mean,
                    "low": difference and difference.low,
                    "high": difference and difference.high,
                    "interval": difference and difference.method,
                    "p_t": test and test.t,
                    "p_holm": item.p_holm,
                    "tests": item.tests,
                    "p_sign_flip": test and test.sign_flip,
                    "least_p_sign_flip": test and test.least,
                    "improvement": item.improvement,
                    "sentence": item.sentence,
                }
            )
    columns = ["compared", "task", "first", "second", "kind", "winner", "pairs", "difference",
               "low", "high", "interval", "p_t", "p_holm", "tests", "p_sign_flip",
               "least_p_sign_flip", "improvement", "sentence"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"pairs": "Int64"})
