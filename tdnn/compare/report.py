"""The report: HTML in one file, Markdown, CSV and JSON, all from the stored runs alone."""

import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tdnn.compare import formats
from tdnn.compare.errors import ComparisonError
from tdnn.compare.plots import flow_plot, learning_curve, score_plot
from tdnn.compare.results import SCHEMA, Record, Store, write_atomically
from tdnn.compare.statistics import Verdict
from tdnn.compare.tables import curves_table, flow_table, judge, runs_table, summary_table

__all__ = ["FILES", "check_packages", "write_report"]

FILES = (
    "index.html", "summary.md", "runs.csv", "curves.csv", "gradient_flow.csv", "runs.json",
)  # fmt: skip
PACKAGES = ("jinja2", "matplotlib", "pandas", "scipy")
COLUMNS = (
    "Task",
    "Model",
    "Parameters",
    "Receptive field",
    "Test score [95 % interval]",
    "Floor",
    "Training time",
    "Forward, seq/s",
    "Forward + backward, seq/s",
    "Gradient error",
)


def check_packages() -> None:
    """Refuse to begin what could not be written in the end.

    Raises
    ------
    ComparisonError
        If a package of the extra ``report`` is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ComparisonError(
            f"the report needs {', '.join(missing)}", 'pip install "fastrnn[report]"'
        )


@dataclass(frozen=True)
class Table:
    """The main table: its heads, and its rows of ready text."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def write_report(out: Path) -> list[Verdict]:
    """Write the report, `FILES`, into `out`.

    Parameters
    ----------
    out : Path
        Where `compare` stored its runs. The same runs give the same bytes.

    Returns
    -------
    list of Verdict

    Raises
    ------
    ComparisonError
        If there is no finished run, or a package is missing.
    """
    check_packages()
    records = Store(out).load()
    if not records:
        raise ComparisonError(
            f"--out: there is no finished run in {out}",
            f"make some first: rnn-vs-tdnn run --quick --out {out}",
        )
    runs, curves, found = runs_table(records), curves_table(records), judge(records)
    flow = flow_table(records)
    summary = summary_table(runs)
    table = Table(COLUMNS, [_cells(row) for row in summary])
    tasks = _tasks(records, runs, curves, flow)
    context = {
        "verdicts": found,
        "table": table,
        "tasks": tasks,
        "notes": _notes(summary),
        "settings": _settings(records),
        "environments": _environments(records),
        "files": [name for name in FILES if name != "index.html"],
        "seeds": sorted({row["seeds"] for row in summary}),
    }
    everything = {
        "schema": SCHEMA,
        "summary": summary,
        "verdicts": [asdict(item) for item in found],
        "runs": records,
    }
    text = json.dumps(everything, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    contents = {
        "index.html": _render("report.html.j2", context, escape=True),
        "summary.md": _render("summary.md.j2", _for_markdown(context), escape=False),
        "runs.csv": runs.to_csv(index=False, lineterminator="\n"),
        "curves.csv": curves.to_csv(index=False, lineterminator="\n"),
        "gradient_flow.csv": flow.to_csv(index=False, lineterminator="\n"),
        "runs.json": text + "\n",
    }
    for name in FILES:
        write_atomically(out / name, contents[name])
    return found


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of the main table as text."""
    if row["mean"] is None:
        score = "no score"
    elif row["low"] is None:
        score = f"{formats.number(row['mean'])} [one seed: no interval]"
    else:
        score = f"{formats.number(row['mean'])} [{formats.interval(row['low'], row['high'])}]"
    field = row["receptive_field"]
    return (
        row["task"],
        row["model"],
        formats.count(row["parameters"]),
        "unbounded" if field is None else formats.count(field),
        score,
        f"{formats.number(row['floor'])} ({row['floor_name']})",
        formats.seconds(row["training_seconds"]),
        formats.rate(row["forward_per_second"]),
        formats.rate(row["forward_backward_per_second"]),
        formats.small(row["gradient_error"]),
    )


def _tasks(records: list[Record], runs: Any, curves: Any, flow: Any) -> list[dict[str, Any]]:
    """What the report says and draws of each task."""
    from markupsafe import Markup

    tasks = []
    for name in sorted({record["task"] for record in records}):
        own = [record for record in records if record["task"] == name]
        about = own[0]["about"]
        drawn = {"metric": about["metric"], "references": dict(about["references"])}
        points, scores = curves[curves["task"] == name], runs[runs["task"] == name]
        figures = [
            (
                "Validation over updates",
                learning_curve(
                    points, "step", name=f"{name}-step", **drawn,
                    title=f"{name}: validation score over updates",
                ),
            ),
            (
                "Validation over training time",
                learning_curve(
                    points, "seconds", name=f"{name}-seconds", **drawn,
                    title=f"{name}: validation score over seconds of training",
                ),
            ),
            (
                "Test score of each seed",
                score_plot(
                    scores, name=f"{name}-score", **drawn,
                    title=f"{name}: test score of each seed, mean and interval",
                ),
            ),
            (
                "Gradient flow after training",
                flow_plot(
                    flow[flow["task"] == name], name=f"{name}-flow",
                    title=f"{name}: norm of the gradient in x over the steps before the loss",
                ),
            ),
        ]  # fmt: skip
        time, batch = about["sequence"]
        tasks.append(
            {
                "name": name,
                "title": about["title"],
                "description": about["description"],
                "metric": about["metric"],
                "better": "lower" if about["lower_is_better"] else "higher",
                "references": [
                    (label, formats.number(value)) for label, value in about["references"]
                ],
                "facts": about["facts"],
                "batch": f"{batch} sequences of {time} steps",
                "models": {record["model"]: record["network"]["description"] for record in own},
                "figures": [(caption, Markup(svg)) for caption, svg in figures],
            }
        )
    return tasks


def _notes(summary: Iterable[Mapping[str, Any]]) -> list[str]:
    """What must be said of single models."""
    return [
        f"{row['task']}, {row['model']}: {row['diverged']} of {row['seeds']} runs met a value that "
        "is not finite; the best parameters before it were tested."
        for row in summary
        if row["diverged"]
    ]


def _settings(records: Iterable[Record]) -> dict[str, dict[str, str]]:
    """The settings of each task, as text."""
    found: dict[str, dict[str, str]] = {}
    for record in records:
        settings = {
            name: value for name, value in record["settings"].items() if name not in ("data",)
        }
        rates = settings.pop("learning_rates")
        settings["learning rate"] = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
        settings["fingerprint"] = record["fingerprint"]
        found[record["task"]] = {
            name.replace("_", " "): f"{value:,}" if isinstance(value, int) else str(value)
            for name, value in sorted(settings.items())
        }
    return found


def _environments(records: Iterable[Record]) -> list[dict[str, str]]:
    """The different environments in which the runs were made."""
    found: list[dict[str, str]] = []
    for record in records:
        if record["environment"] not in found:
            found.append(record["environment"])
    return found


def _for_markdown(context: Mapping[str, Any]) -> dict[str, Any]:
    """The same content, with what Markdown would take for its own made harmless."""
    table = context["table"]
    rows = [tuple(_plain(cell) for cell in row) for row in table.rows]
    return {**context, "table": Table(table.columns, rows), "plain": _plain}


def _plain(text: Any) -> str:
    escaped = str(text)
    for sign in "\\`*_[]<>|":
        escaped = escaped.replace(sign, "\\" + sign)
    return escaped


def _render(template: str, context: Mapping[str, Any], *, escape: bool) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(context)
