"""All that a report says, as one object: tables, verdicts and remarks, before any is rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tdnn.compare import tables
from tdnn.compare.published import Outcome, hold_against
from tdnn.compare.ranks import LEAST_MODELS, LEAST_TASKS, Ranks, rank_models
from tdnn.compare.remarks import Remark, caveats, parallel_in_time
from tdnn.compare.results import Record
from tdnn.compare.statistics import Estimate, improvement_over_tasks
from tdnn.compare.verdicts import Comparison, Verdict, families, family_of, judge, pairs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Content", "collect"]


@dataclass(frozen=True)
class Content:
    """A report's content.

    `headline` has a verdict for each task, of the best RNN against the best TDNN where both were
    run, else of each pair; `pairs` the verdicts of every pair on tasks with more than two models.
    """

    records: Sequence[Record]
    runs: "pd.DataFrame"
    curves: "pd.DataFrame"
    flow: "pd.DataFrame"
    lags: "pd.DataFrame"
    throughput: "pd.DataFrame"
    tuning: "pd.DataFrame"
    summary: "pd.DataFrame"
    lengths: "pd.DataFrame"
    gaps: "pd.DataFrame"
    headline: list[Verdict]
    pairs: list[Verdict]
    outcomes: list[Outcome]
    ranks: Ranks | None
    ranked: tuple[int, int]
    improvement: Estimate | None
    caveats: list[Remark]
    parallel: list[Remark]


def collect(records: Sequence[Record]) -> Content:
    """Compute all that a report says from stored runs, at least one."""
    runs = tables.runs_table(records)
    summary = tables.summary_table(runs)
    throughput = tables.throughput_table(records)
    first, others = _comparisons(records)
    headline = judge(first)
    versus = [(comparison, found) for comparison, found in zip(first, headline, strict=True)
              if {family_of(name) for name in found.models} == {"RNN", "TDNN"}]  # fmt: skip
    ranked = _ranked(summary)
    return Content(
        records=records,
        runs=runs,
        curves=tables.curves_table(records),
        flow=tables.flow_table(records),
        lags=tables.lag_table(records),
        throughput=throughput,
        tuning=tables.tuning_table(records),
        summary=summary,
        lengths=tables.length_table(summary),
        gaps=tables.gap_table(summary, [found for _, found in versus]),
        headline=headline,
        pairs=judge(others),
        outcomes=hold_against(records),
        ranks=_ranks(summary, ranked),
        ranked=(len(ranked[0]), len(ranked[1])),
        improvement=_improvement([comparison for comparison, _ in versus]),
        caveats=caveats(records, summary),
        parallel=parallel_in_time(throughput),
    )


def _comparisons(records: Sequence[Record]) -> tuple[list[Comparison], list[Comparison]]:
    """The comparisons of the headline, and those of every pair."""
    headline: list[Comparison] = []
    others: list[Comparison] = []
    scores, validations = tables.scores_of(records), tables.scores_of(records, "validation")
    for task, question in tables.questions(records).items():
        best = families(question, scores[task], validations[task])
        every = pairs(question, scores[task])
        headline += every if best is None else [best]
        if best is not None and len(every) > 1:
            others += every
    return headline, others


def _improvement(comparisons: Sequence[Comparison]) -> Estimate | None:
    """How often a run of the TDNN is better than one of the RNN, over tasks."""
    found = []
    for comparison in comparisons:
        rnn, tdnn = (
            [score for score in own.values() if score == score]
            for own in comparison.scores.values()
        )
        if rnn and tdnn:
            found.append((tdnn, rnn, comparison.question.lower_is_better))
    return improvement_over_tasks(found) if len(found) > 1 else None


def _ranked(summary: "pd.DataFrame") -> tuple[list[str], list[str]]:
    """Tasks and models that may be ranked: all models on each task, one task of each family.

    Models that were left out of a family of tasks are not ranked; of tasks that differ in their
    length only the longest counts, for they are not independent.
    """
    scored = summary.dropna(subset=["mean"])
    longest = scored.sort_values("length").groupby("task_family")["task"].last()
    own = scored[scored["task"].isin(set(longest))]
    counts = own.groupby("model")["task"].nunique()
    models = sorted(counts[counts == len(longest)].index)
    return sorted(longest), models


def _ranks(summary: "pd.DataFrame", ranked: tuple[list[str], list[str]]) -> Ranks | None:
    tasks, models = ranked
    if len(tasks) < LEAST_TASKS or len(models) < LEAST_MODELS:
        return None
    means: dict[str, Mapping[str, float]] = {}
    lower: dict[str, bool] = {}
    for task in tasks:
        own = summary[summary["task"] == task].set_index("model")
        means[task] = {name: float(own["mean"][name]) for name in models}
        lower[task] = bool(own["lower_is_better"].iloc[0])
    return rank_models(means, lower)
