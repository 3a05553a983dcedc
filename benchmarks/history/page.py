"""The history as one page: no script, no file and no address beside it."""

import html
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.history.chart import COLORS, Series, chart, quantity, steps
from benchmarks.history.gate import FIXED_RATIO, TIME_RATIO, is_time, ratio, worse
from benchmarks.history.record import subjects
from benchmarks.history.results import (
    HistoryError,
    Key,
    Run,
    Value,
    choose_machine,
    descriptions,
    load_runs,
    read_json,
)

__all__ = ["LastChange", "history_page", "last_change"]

_STYLE = """
:root { --ink: #1d2a36; --soft: #566573; --line: #dde3e9; --ground: #f4f6f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main, header > div { max-width: 1240px; margin: 0 auto; padding: 0 24px; }
header { background: #0b3c5d; color: #fff; padding: 30px 0 26px; }
h1 { margin: 0 0 6px; font-size: 34px; line-height: 1.15; }
header p { margin: 0; max-width: 80ch; opacity: 0.9; }
section { background: #fff; border: 1px solid var(--line); border-radius: 12px;
  padding: 20px 24px; margin: 20px 0; }
h2 { margin: 0 0 12px; font-size: 21px; }
h3 { margin: 0 0 2px; font-size: 15px; }
p { margin: 0 0 10px; max-width: 95ch; }
.small { font-size: 14px; color: var(--soft); }
.charts { display: grid; gap: 22px;
  grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr)); }
figure { margin: 0; min-width: 0; }
figure p { margin: 0; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg text.cross { font-size: 20px; font-weight: 700; }
.grid { stroke: #e9edf1; }
polygon.worse { fill: #b3261e; } polygon.better { fill: #1b7a5c; }
.legend span { white-space: nowrap; margin-right: 14px; font-size: 13px; }
.legend i { display: inline-block; width: 14px; height: 4px; margin-right: 5px;
  vertical-align: 3px; border-radius: 2px; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th, td { padding: 5px 8px; text-align: left; border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-size: 12.5px; border: 0; }
.number { text-align: right; } details { margin-top: 8px; }
summary { cursor: pointer; color: var(--soft); }
tr[class] td:first-child { overflow-wrap: anywhere; } td code { white-space: nowrap; }
@media (max-width: 600px) { svg text { font-size: 13.5px; } section { padding: 16px; }
  main, header > div { padding: 0 12px; } }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.worse td:last-child, tr.failed td:last-child, tr.missing td:last-child {
  color: #b3261e; font-weight: 600; }
tr.better td:last-child { color: #1b7a5c; font-weight: 600; }
dl { display: grid; grid-template-columns: 140px 1fr; gap: 3px 14px; margin: 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""
_ORDER = ("failed", "missing", "worse", "better", "new", "skipped", "same")
_QUIET = ("skipped", "same")
_CURVES = 6
_TITLES = {
    "cpu": "Time on the CPU", "cuda": "On a GPU", "gradients": "Gradient error",
    "memory": "Memory", "report": "The comparison, end to end", "startup": "Start-up",
}  # fmt: skip


class LastChange(dict[Key, tuple[str, str, str, str]]):
    """What became of each benchmark: before, after, ratio, and one of `_ORDER`, as text."""


def last_change(base: Run, head: Run, units: Mapping[str, str]) -> LastChange:
    """Compare the last two commits, every benchmark of either, what matters most first."""
    found: dict[Key, tuple[str, str, str, str]] = {}
    changes: dict[Key, float] = {}
    for key in sorted({*base.results, *head.results}):
        old, new = base.results.get(key), head.results.get(key)
        unit = units.get(key.benchmark, "")
        texts = [_cell(value, unit) for value in (old, new)]
        change = ""
        if new is None:
            verdict = "missing" if old is not None and old.status == "ok" else "skipped"
        elif new.status != "ok":
            verdict = new.status
        elif old is None or old.status != "ok" or old.version != new.version:
            verdict = "new"
        else:
            changes[key] = ratio(old, new)
            change = f"{changes[key]:.2f}"
            verdict = "worse" if worse(key, old, new) else "same"
            verdict = "better" if worse(key, new, old) else verdict
        found[key] = (*texts, change, verdict)

    def order(key: Key) -> tuple[int, float, Key]:
        return _ORDER.index(found[key][3]), -abs(changes.get(key, 1.0) - 1.0), key

    return LastChange({key: found[key] for key in sorted(found, key=order)})


def _cell(value: Value | None, unit: str) -> str:
    if value is None:
        return "none"
    return quantity(float(value.value or 0), unit) if value.status == "ok" else value.status


def history_page(results: Path, machine: str | None = None) -> str:
    """Return the page as text.

    Parameters
    ----------
    results : Path
        The folder of results.
    machine : str, optional
        May be left out where there is only one.

    Raises
    ------
    HistoryError
        If there are no results, or a file is damaged.
    """
    name = choose_machine(results, machine)
    runs, about = load_runs(results, name), descriptions(results)
    if not runs:
        raise HistoryError(f"--results: machine {name!r} has no results", "record a commit first")
    units = {title: str(item.get("unit") or "") for title, item in about.items()}
    commits = [run.commit[:7] for run in runs]
    groups = _groups(runs, about)
    body = [_header(name, runs), "<main>"]
    if len(runs) > 1:
        body.append(_summary(runs[-2], runs[-1], units))
    body.extend(_section(module, charts, commits, units) for module, charts in groups.items())
    body.extend([_reading(), _commits(runs), _machine(results, name), "</main>"])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>FastRNN: history on {html.escape(name)}</title>\n<style>{_STYLE}</style></head>\n"
        "<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _groups(
    runs: list[Run], about: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, list[Series]]]:
    """Return the curves by module and chart; those without any number are left out."""
    found: dict[str, dict[str, list[Series]]] = {}
    keys = sorted({key for run in runs for key in run.results})
    counts = Counter(key.benchmark for key in keys)
    for key in keys:
        names = about.get(key.benchmark, {}).get("param_names") or []
        words = [word.strip("'") for word in key.parameters]
        title = key.benchmark.partition(".")[2]
        if counts[key.benchmark] > _CURVES:  # a chart for each value of the first parameter
            title, names, words = f"{title}, {words[0]}", names[1:], words[1:]
        label = ", ".join(
            f"{name} {word}" if word.isdecimal() else word
            for word, name in itertools.zip_longest(words, names, fillvalue="")
        )
        one = Series(key, label, tuple(run.results.get(key) for run in runs))
        if one.there():
            module = key.benchmark.partition(".")[0]
            found.setdefault(module, {}).setdefault(title, []).append(one)
    return found


def _header(machine: str, runs: list[Run]) -> str:
    last = time.strftime("%Y-%m-%d", time.gmtime(runs[-1].date / 1000))
    return (
        "<header><div><h1>FastRNN over its commits</h1>"
        f"<p>{len(runs)} commit{'s' * (len(runs) > 1)} measured on "
        f"{html.escape(machine)}; the last is {runs[-1].commit[:10]} of {last}. Lower is better "
        "everywhere.</p></div></header>"
    )


def _summary(base: Run, head: Run, units: Mapping[str, str]) -> str:
    change = last_change(base, head, units)
    counts = [(word, sum(row[3] == word for row in change.values())) for word in _ORDER]
    changed = [(key, row) for key, row in change.items() if row[3] not in _QUIET]
    quiet = [(key, row) for key, row in change.items() if row[3] in _QUIET]
    return (
        f"<section><h2>Last change: {base.commit[:7]} to {head.commit[:7]}</h2><p>"
        + ", ".join(f"{count} {word}" for word, count in counts if count)
        + ".</p>"
        + (_table(changed) if changed else "")
        + f"<details><summary>{len(quiet)} more</summary>{_table(quiet)}</details>"
        + "</section>"
    )


def _table(rows: Iterable[tuple[Key, tuple[str, str, str, str]]]) -> str:
    lines = [
        f'<tr class="{row[3]}"><td>{html.escape(str(key))}</td>'
        + "".join(f'<td class="number">{html.escape(cell)}</td>' for cell in row[:3])
        + f"<td>{row[3]}</td></tr>"
        for key, row in rows
    ]
    return (
        '<div class="scroll"><table><thead><tr><th>Benchmark</th><th class="number">Before</th>'
        '<th class="number">After</th><th class="number">Ratio</th><th></th></tr></thead><tbody>\n'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def _section(
    module: str,
    charts: dict[str, list[Series]],
    commits: list[str],
    units: Mapping[str, str],
) -> str:
    figures = []
    for short, series in charts.items():
        unit = units.get(series[0].key.benchmark, "seconds" if is_time(series[0].key) else "")
        marked = sum(len(steps(one)) for one in series)
        legend = "".join(
            f'<span><i style="background:{COLORS[number % len(COLORS)]}"></i>'
            f"{html.escape(one.label)}</span>"
            for number, one in enumerate(series)
            if one.label
        )
        title = f"{short} over {len(commits)} commits, {marked} steps"
        figures.append(
            f"<figure><h3>{html.escape(short)} "
            f'<span class="small">{html.escape(unit)}, log axis</span></h3>'
            f'{chart(series, commits, unit, title)}<p class="legend">{legend}</p></figure>'
        )
    return (
        f"<section><h2>{html.escape(_TITLES.get(module, module))}</h2>"
        f'<div class="charts">{"".join(figures)}</div></section>'
    )


def _reading() -> str:
    return (
        "<section><h2>How to read it</h2>"
        "<p>A point is the median of all samples at one commit, its band the 99 % interval of that "
        "median; of fewer than eight samples, their quartiles. All axes are logarithmic: equal "
        "heights are equal ratios, and an axis spans a "
        "factor of 2 at least.</p>"
        f"<p>Triangles mark steps. A time steps where the ratio is above {TIME_RATIO:g} and the "
        f"intervals are disjoint, anything else where the ratio is above {FIXED_RATIO:g}; pointing "
        "up, it became worse. One run tells no more: before the gate fails, a second one must "
        "agree.</p>"
        "<p>A curve is cut where a result is missing, failed (a cross on the ground) or skipped "
        "(the commit lacks what is measured), and where the benchmark itself became another. "
        "Gradient errors are shares of what is allowed, 0.1 at least: above 1 a benchmark "
        "fails.</p></section>"
    )


def _commits(runs: list[Run]) -> str:
    told = subjects([run.commit for run in runs])
    rows = "".join(
        f"<tr><td><code>{run.commit[:7]}</code></td><td>{_day(run)}</td>"
        f"<td>{html.escape(told.get(run.commit, 'not in this clone'))}</td></tr>"
        for run in reversed(runs)
    )
    return f'<section><h2>Commits</h2><div class="scroll"><table>{rows}</table></div></section>'


def _day(run: Run) -> str:
    return time.strftime("%Y-%m-%d&nbsp;%H:%M", time.gmtime(run.date / 1000))


def _machine(results: Path, name: str) -> str:
    facts: Iterable[tuple[str, Any]] = read_json(results / name / "machine.json").items()
    rows = "".join(
        f"<dt>{html.escape(label)}</dt><dd>{html.escape(str(value))}</dd>"
        for label, value in facts
        if label != "version"
    )
    return f"<section><h2>Machine</h2><dl>{rows}</dl></section>"
