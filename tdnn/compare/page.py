"""A report's content in the words and figures that the templates put in order."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tdnn.compare import formats
from tdnn.compare.cells import cost_table, evidence_table, main_table, published_table
from tdnn.compare.content import Content
from tdnn.compare.drawing import Look, looks
from tdnn.compare.overview_plots import (
    cost_plot,
    gap_plot,
    length_plot,
    rank_plot,
    throughput_plot,
)
from tdnn.compare.plots import flow_plot, lag_plot, learning_curve, score_plot
from tdnn.compare.published import CITATION
from tdnn.compare.ranks import LEAST_MODELS, LEAST_TASKS
from tdnn.compare.results import Record
from tdnn.compare.verdicts import Verdict, family_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fact", "Figure", "facts_of", "page"]

Figure = dict[str, str]
Fact = tuple[str, str, str, str]  # section, task, label, value


def page(content: Content, *, figures: bool) -> dict[str, Any]:
    """What the templates are given.

    Parameters
    ----------
    content : Content
    figures : bool
        Whether figures are drawn: Markdown has none.
    """
    look = looks(content.summary["model"])
    return {
        "counts": _counts(content),
        "verdicts": [_card(item) for item in content.headline],
        "improvement": _improvement(content),
        "caveats": [item.sentence for item in content.caveats],
        "gaps": _overview(content) if figures else [],
        "evidence": evidence_table(content.headline),
        "pairs": evidence_table(content.pairs),
        "main": main_table(content.summary),
        "costs": cost_table(content.summary),
        "metrics": _metrics(content.records),
        "batches": _batches(content.records),
        "published": published_table(content.outcomes),
        "setups": [(item.row.name, item.row.setup) for item in content.outcomes],
        "citation": CITATION,
        "lengths": _lengths(content, look) if figures else [],
        "ranks": _ranks(content, look, figures),
        "tasks": [
            _task(content, name, f"t{number}", look, figures)
            for number, name in enumerate(sorted(set(content.summary["task"])), 1)
        ],
        "environments": _environments(content.records),
        "data": _data(content.records),
    }


def _counts(content: Content) -> dict[str, Any]:
    """How much was run."""
    seeds = sorted(set(content.summary["seeds"]))
    return {
        "tasks": content.summary["task"].nunique(),
        "models": content.summary["model"].nunique(),
        "runs": len(content.runs),
        "seeds": f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        "one_seed": seeds == [1],
    }


def _card(item: Verdict) -> dict[str, str]:
    """A verdict, its first sentence apart from the evidence."""
    return {
        "kind": item.kind,
        "family": family_of(item.winner) if item.winner else "",
        "badge": f"{item.winner} better" if item.winner else item.kind,
        "statement": item.statement,
        "evidence": item.sentence.removeprefix(item.statement).strip(),
    }


def _metrics(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Each metric, which way is better, and the tasks that have it."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for record in records:
        better = "lower" if record["about"]["lower_is_better"] else "higher"
        own = tasks.setdefault((record["about"]["metric"], better), [])
        if record["task"] not in own:
            own.append(record["task"])
    return [(metric, better, ", ".join(own)) for (metric, better), own in tasks.items()]


def _batch(records: Iterable[Record]) -> str:
    """How large a task's training batches are, over its seeds."""
    sizes = [record["about"]["sequence"] for record in records]
    rows = sizes[0][1]  # a setting, and so the same for all
    low, high = min(time for time, _ in sizes), max(time for time, _ in sizes)
    steps = f"{low} to {high}" if low < high else f"{low}"
    return f"{rows} {'sequence' if rows == 1 else 'sequences'} of {steps} steps"


def _batches(records: Iterable[Record]) -> list[tuple[str, str]]:
    """Each size of training batches, and the tasks that have it."""
    own: dict[str, list[Record]] = {}
    for record in records:
        own.setdefault(record["task"], []).append(record)
    tasks: dict[str, list[str]] = {}
    for task, some in own.items():
        tasks.setdefault(_batch(some), []).append(task)
    return [(batch, ", ".join(names)) for batch, names in tasks.items()]


def _improvement(content: Content) -> str:
    """The sentence on the probability of improvement over all tasks, or nothing."""
    found = content.improvement
    if found is None or found.low is None or found.high is None:
        return ""
    return (
        f"Over all tasks, a run of the best TDNN is better than a run of the best RNN with "
        f"probability {found.mean:.2f} (95 % interval {found.low:.2f} to {found.high:.2f}, over "
        "seeds within these tasks; it says nothing of other tasks)."
    )


def _overview(content: Content) -> list[Figure]:
    if content.gaps["gap"].notna().sum() == 0:
        return []
    svg = gap_plot(content.gaps, name="gaps", title="How far apart the best RNN and TDNN are")
    return [_figure("How far apart", svg)]


def _lengths(content: Content, look: Mapping[str, Look]) -> list[Figure]:
    """Error over T, for each family of tasks with several lengths."""
    figures = []
    for number, (family, own) in enumerate(content.lengths.groupby("task_family", sort=True)):
        svg = length_plot(
            own, looks=look, metric=own["metric"].iloc[0], name=f"length{number}",
            title=f"{family}: test score over the length of the sequences",
        )  # fmt: skip
        figures.append(_figure(f"{family}: test score over T", svg))
    return figures


def _ranks(content: Content, look: Mapping[str, Look], figures: bool) -> dict[str, Any]:
    """The critical-difference diagram, or why there is none."""
    ranks, (tasks, models) = content.ranks, content.ranked
    rule = (
        f"Ranks are compared where at least {LEAST_MODELS} models have a score on each of at least "
        f"{LEAST_TASKS} tasks; of tasks that differ in their length the longest counts"
    )
    if ranks is None:
        return {"text": f"{rule}. Here: {models} models, {tasks} tasks.", "figures": []}
    shown = ranks.p_value < 0.05
    text = (
        f"{rule}. Friedman's test over {len(ranks.tasks)} tasks and {len(ranks.models)} models: "
        f"{formats.p_value(ranks.p_value)}"
        + ("" if shown else ", so no difference between any two is shown")
        + f". Nemenyi's critical difference of mean ranks, at 5 %: "
        f"{formats.number(ranks.critical_difference, 3)}."
    )
    svg = rank_plot(ranks, looks=look, name="ranks", title="Mean ranks") if figures else ""
    return {"text": text, "figures": [_figure("Mean ranks over tasks", svg)] if svg else []}


def _task(
    content: Content, name: str, short: str, look: Mapping[str, Look], figures: bool
) -> dict[str, Any]:
    """One task's section."""
    records = [record for record in content.records if record["task"] == name]
    about = records[0]["about"]
    return {
        "name": name,
        "id": short,
        "title": about["title"],
        "description": about["description"],
        "metric": about["metric"],
        "better": "lower" if about["lower_is_better"] else "higher",
        "references": [(label, formats.number(value)) for label, value in about["references"]],
        "batch": _batch(records),
        "figures": _figures(content, records, name, short, look) if figures else [],
        "parallel": [item.sentence for item in content.parallel if item.task == name],
        "facts": facts_of(records),
    }


def _figures(
    content: Content, records: Sequence[Record], name: str, short: str, look: Mapping[str, Look]
) -> list[Figure]:
    """The figures of one task, in their order."""
    about = records[0]["about"]

    def own(table: "pd.DataFrame") -> "pd.DataFrame":
        return table[table["task"] == name]

    def style(what: str, title: str) -> dict[str, Any]:
        return {"looks": look, "name": f"{short}-{what}", "title": f"{name}: {title}"}

    def scored(what: str, title: str) -> dict[str, Any]:
        return {"metric": about["metric"], **style(what, title)}

    levels = dict(about["references"])
    curves, summary, lags = own(content.curves), own(content.summary), own(content.lags)
    rates = own(content.throughput)
    found = {}
    found["Test score of each seed"] = score_plot(
        own(content.runs), levels=levels, **scored("score", "test score of each seed")
    )
    for by, words in (("step", "updates"), ("seconds", "training time")):
        found[f"Validation over {words}"] = learning_curve(
            curves, by, levels=levels, lower_is_better=about["lower_is_better"],
            **scored(by, f"validation over {words}"),
        )  # fmt: skip
    if not lags.empty:
        label = about.get("lag_label") or "lag, steps"
        found["Test score over lag"] = lag_plot(
            lags, label=label, levels=levels, **scored("lag", "test score over lag")
        )
    for column, words in (("training_seconds", "training time"), ("parameters", "parameters")):
        label = "seconds of training, median" if column == "training_seconds" else words
        found[f"Test score against {words}"] = cost_plot(
            summary, column, label, **scored(column, f"test score against {words}")
        )
    if not rates.empty:
        found["Throughput over sequence length"] = throughput_plot(
            rates, **style("rates", "steps per second over the length of the sequences")
        )
    found["Gradient flow after training"] = flow_plot(
        own(content.flow), **style("flow", "norm of the gradient over the steps before the loss")
    )
    return [_figure(caption, svg) for caption, svg in found.items()]


def _figure(caption: str, svg: str) -> Figure:
    from markupsafe import Markup

    return {"caption": caption, "svg": Markup(svg)}


def facts_of(records: Sequence[Record]) -> dict[str, list[tuple[str, str]]]:
    """What is to be known of a task's models, data, settings and tuning: label -> text."""
    first = records[0]
    about = first["about"]
    models = {record["model"]: record["network"]["description"] for record in records}
    chosen = {record["model"]: record["tuning"] for record in records}
    data = [(str(label), str(value)) for label, value in about["facts"]]
    if about["memory"] is not None:
        data.append(("frames the answer needs", formats.count(about["memory"])))
    data.append(("source", about["source"]))
    settings = [
        (_words(name), _text(value))
        for name, value in sorted(first["settings"].items())
        if name != "data"
    ]
    return {
        "Models": list(models.items()),
        "Data": data,
        "Settings": [*settings, ("fingerprint", first["fingerprint"])],
        "Tuning": [(model, _tuning(found)) for model, found in chosen.items()],
    }


def _tuning(found: Mapping[str, Any]) -> str:
    chosen = found["chosen"]
    text = f"learning rate {chosen['learning_rate']:g}, clipping at {chosen['clip_norm']:g}"
    if not found["trials"]:
        return f"{text}; not tuned here"
    return f"{text}; the best of {len(found['grid'])}, {found['seeds']} seeds each"


def _text(value: Any) -> str:
    """A setting as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(own)}" for name, own in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return formats.count(value) if isinstance(value, int) else str(value)


def _words(name: str) -> str:
    return re.sub("_", " ", name)


def _environments(records: Iterable[Record]) -> list[list[tuple[str, str]]]:
    """The different environments in which the runs were made."""
    found: list[list[tuple[str, str]]] = []
    for record in records:
        own = [(_words(name), _text(value)) for name, value in record["environment"].items()
               if name != "data"]  # fmt: skip
        if own not in found:
            found.append(own)
    return found


def _data(records: Iterable[Record]) -> list[tuple[str, str, str]]:
    """The data files: name, SHA-256, the tasks that used them."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for name, digest in (record["environment"].get("data") or {}).items():
            own = tasks.setdefault((name, digest), [])
            if record["task"] not in own:
                own.append(record["task"])
    return [(name, digest, ", ".join(own)) for (name, digest), own in sorted(tasks.items())]
