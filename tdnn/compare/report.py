"""The report: HTML in one file, Markdown, CSV and JSON, all from the stored runs alone."""

import importlib.util
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdnn.compare.content import Content, collect
from tdnn.compare.errors import ComparisonError
from tdnn.compare.page import facts_of, page
from tdnn.compare.published import COLUMNS, Outcome
from tdnn.compare.results import SCHEMA, Store, write_atomically
from tdnn.compare.tables import verdicts_table
from tdnn.compare.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FILES", "FORMATS", "check_packages", "write_report"]

TABLES = (
    "summary.csv", "verdicts.csv", "published.csv", "runs.csv", "curves.csv", "by_lag.csv",
    "lengths.csv", "gaps.csv", "ranks.csv", "throughput.csv", "tuning.csv", "gradient_flow.csv",
    "remarks.csv", "facts.csv",
)  # fmt: skip
FILES: dict[str, tuple[str, ...]] = {
    "html": ("index.html",),
    "md": ("summary.md",),
    "csv": TABLES,
    "json": ("runs.json",),
}
FORMATS = tuple(FILES)
PACKAGES = ("jinja2", "matplotlib", "pandas", "scipy")


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


def write_report(out: Path, formats: Sequence[str] = FORMATS) -> list[Verdict]:
    """Write the report into `out`.

    Parameters
    ----------
    out : Path
        Where `compare` stored its runs. The same runs give the same bytes.
    formats : sequence of {"html", "md", "csv", "json"}
        Which files to write, see `FILES`.

    Returns
    -------
    list of Verdict
        For each task the best RNN against the best TDNN, or every pair where there is but one
        kind.

    Raises
    ------
    ComparisonError
        If there is no finished run, a format is not known, or a package is missing.
    """
    for name in formats:
        if name not in FILES:
            raise ComparisonError(
                f"--format: there is no {name!r}", f"there are {', '.join(FORMATS)}"
            )
    check_packages()
    records = Store(out).load()
    if not records:
        raise ComparisonError(
            f"--out: there is no finished run in {out}",
            f"make some first: rnn-vs-tdnn run --quick --out {out}",
        )
    content = collect(records)
    contents: dict[str, str] = {}
    if "html" in formats:
        contents["index.html"] = _render("report.html.j2", page(content, figures=True), html=True)
    if "md" in formats:
        contents["summary.md"] = _render("summary.md.j2", page(content, figures=False), html=False)
    if "csv" in formats:
        contents |= {name: _csv(table) for name, table in _tables(content).items()}
    if "json" in formats:
        contents["runs.json"] = _json(content)
    for name, text in contents.items():
        write_atomically(out / name, text)
    return content.headline


def _tables(content: Content) -> "dict[str, pd.DataFrame]":
    import pandas as pd

    verdicts = verdicts_table({"headline": content.headline, "pair": content.pairs})
    return {
        "summary.csv": content.summary,
        "verdicts.csv": verdicts,
        "published.csv": pd.DataFrame(_published_rows(content.outcomes)),
        "runs.csv": content.runs,
        "curves.csv": content.curves,
        "by_lag.csv": content.lags,
        "lengths.csv": content.lengths,
        "gaps.csv": content.gaps,
        "ranks.csv": _ranks(content),
        "throughput.csv": content.throughput,
        "tuning.csv": content.tuning,
        "gradient_flow.csv": content.flow,
        "remarks.csv": _remarks(content),
        "facts.csv": _facts(content),
    }


def _published_rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """A row for each column of each row of the published table."""
    rows = []
    for outcome in outcomes:
        for column, value in zip(COLUMNS, outcome.row.figures, strict=True):
            ours = outcome.ours.get(column)
            rows.append(
                {
                    "row": outcome.row.name,
                    "metric": outcome.row.metric,
                    "setup": outcome.row.setup,
                    "column": column,
                    "published": value,
                    "task": outcome.task,
                    "model": outcome.models.get(column),
                    "ours": ours and ours.mean,
                    "low": ours and ours.low,
                    "high": ours and ours.high,
                    "status": "not run" if column in ("LSTM", "GRU") else outcome.status,
                    "why": "not in the library yet" if column in ("LSTM", "GRU") else outcome.why,
                }
            )
    return rows


def _ranks(content: Content) -> "pd.DataFrame":
    """Mean ranks and the numbers of their test; only a head where models are not ranked."""
    import pandas as pd

    columns = ["model", "mean_rank", "tasks", "p_friedman", "critical_difference"]
    ranks = content.ranks
    rows = [] if ranks is None else [
        (model, rank, len(ranks.tasks), ranks.p_value, ranks.critical_difference)
        for model, rank in zip(ranks.models, ranks.ranks, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _remarks(content: Content) -> "pd.DataFrame":
    """Computed sentences and the numbers in them, unrounded."""
    import pandas as pd

    rows = [
        (item.task, item.about, item.sentence, " ".join(map(repr, item.values)))
        for item in (*content.caveats, *content.parallel)
    ]
    if content.improvement is not None:
        found = content.improvement
        values = " ".join(repr(value) for value in (found.mean, found.low, found.high))
        rows.append(("", "probability of improvement", "TDNN over RNN", values))
    return pd.DataFrame(rows, columns=["task", "about", "sentence", "values"])


def _facts(content: Content) -> "pd.DataFrame":
    """All that the page tells of models, data, settings, tuning and environments."""
    import pandas as pd

    rows: list[tuple[str, str, str, str]] = []
    context = page(content, figures=False)
    for task in context["tasks"]:
        name = task["name"]
        records = [record for record in content.records if record["task"] == name]
        for section, facts in facts_of(records).items():
            rows += [(section, name, label, value) for label, value in facts]
        rows += [("References", name, label, repr(float(value)))
                 for label, value in records[0]["about"]["references"]]  # fmt: skip
        for label in ("title", "description", "batch", "metric"):
            rows.append(("Task", name, label, task[label]))
    for number, environment in enumerate(context["environments"], 1):
        rows += [(f"Environment {number}", "", label, value) for label, value in environment]
    rows += [("Data", tasks, name, digest) for name, digest, tasks in context["data"]]
    for label, value in context["counts"].items():
        rows.append(("Counts", "", label, str(value)))
    rows.append(("Ranks", "", "rule", context["ranks"]["text"]))
    return pd.DataFrame(rows, columns=["section", "task", "label", "value"])


def _csv(table: "pd.DataFrame") -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def _json(content: Content) -> str:
    everything = {
        "schema": SCHEMA,
        "summary": content.summary.to_dict("records"),
        "verdicts": [asdict(item) for item in content.headline],
        "pairs": [asdict(item) for item in content.pairs],
        "published": _published_rows(content.outcomes),
        "gaps": content.gaps.to_dict("records"),
        "ranks": None if content.ranks is None else asdict(content.ranks),
        "improvement": None if content.improvement is None else asdict(content.improvement),
        "remarks": [asdict(item) for item in (*content.caveats, *content.parallel)],
        "runs": list(content.records),
    }
    text = json.dumps(
        _plain(everything), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False
    )
    return text + "\n"


def _plain(value: Any) -> Any:
    """A value as JSON has it: None for what is missing or not finite."""
    if isinstance(value, Mapping):
        return {str(name): _plain(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool)) else None


def _escape_markdown(text: Any) -> str:
    """Text with what Markdown would take for its own made harmless."""
    escaped = str(text)
    for sign in "\\`*_[]<>|":
        escaped = escaped.replace(sign, "\\" + sign)
    return " ".join(escaped.split())


def _render(template: str, context: Mapping[str, Any], *, html: bool) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _escape_markdown
    environment.filters["values"] = lambda values: " ".join(map(repr, values))
    files = [name for own in FILES.values() for name in own if name != "index.html"]
    return environment.get_template(template).render({**context, "files": files})
