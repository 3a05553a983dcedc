"""Records for people: lines on the terminal, Markdown tables, a summary."""

import math
from collections.abc import Iterable
from pathlib import Path

from benchmarks.peers.cases import GROUPS
from benchmarks.peers.records import Record, is_number

__all__ = [
    "BEGIN",
    "END",
    "by_case",
    "check_markers",
    "line",
    "markdown",
    "summary",
    "warnings",
    "write_markdown",
]

BEGIN = "<!-- benchmarks.peers: begin -->"
END = "<!-- benchmarks.peers: end -->"
_NAMES = {"torch": "torch", "jax": "JAX", "onnx": "ONNX Runtime"}
_TITLES = {
    "elman": "RNN: sequences / steps / features in / units / outputs",
    "tdnn": "TDNN: sequences / frames / channels in / out (offsets)",
    "ragged": "Unequal lengths: sequences / steps / features in / units",
    "vanishing": "Vanishing gradients, loss on the last step",
    "jordan": (
        "Output-to-hidden RNN, F free running, FB teacher forcing: "
        "sequences / steps / features in / units / outputs"
    ),
    "step": "One step of one sequence: units",
}
# Share of the cores that other processes may take before a result is called doubtful.
_FEW = 0.05
# What the weights' packing adds is told by two percentages, not by a ratio.
_KEPT = "ours kept"
_DIRECTIONS = {"F": "forward", "FB": "forward + backward"}

Group = list[Record]
"""The records of one case and one number of threads."""


def by_case(records: Iterable[Record]) -> dict[tuple[str, str, str, int, str], Group]:
    """Return the records by group, cell, dtype, threads and direction, in their order."""
    found: dict[tuple[str, str, str, int, str], Group] = {}
    for r in records:
        found.setdefault((r.group, r.cell, r.dtype, r.threads, r.direction), []).append(r)
    return found


def is_ours(contender: str) -> bool:
    """Return whether a contender is FastRNN, in whatever way."""
    return contender.split()[0] == "ours"


def best_peer(group: Group) -> Record | None:
    """Return the fastest peer's record."""
    peers = [r for r in group if not is_ours(r.contender)]
    return min(peers, key=lambda r: r.ratio, default=None)


def duration(seconds: float) -> str:
    """Return a time with its unit, in three digits.

    Examples
    --------
    >>> duration(0.00123), duration(4.5e-7)
    ('1.23 ms', '450 ns')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def ratio_text(ratio: float) -> str:
    """Return a ratio in two digits, and in three between 1 and 2.

    Examples
    --------
    >>> ratio_text(1.234), ratio_text(3.456), ratio_text(59.4), ratio_text(0.0123)
    ('1.23', '3.5', '59', '0.012')
    """
    if ratio < 1:
        return f"{ratio:.2g}"
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def percent_text(record: Record) -> str:
    """Return the percentage; the cache's name says that its bandwidth is what binds."""
    if not is_number(record.percent):
        return ""
    return f"{record.percent:.0f}" + ("" if record.bound == "peak" else f" {record.bound}")


def _limit(record: Record) -> str:
    if not is_number(record.percent):
        return ""
    what = "peak" if record.bound == "peak" else f"{record.bound} bandwidth"
    return f", {record.percent:.0f} % of {what}"


def _error(record: Record) -> str:
    return f", error {record.error:.1e}" if is_number(record.error) else ""


def line(group: Group) -> str:
    """Return one line for one case and one number of threads."""
    ours = group[0]
    parts = [f"ours {duration(ours.seconds)}{_limit(ours)}{_error(ours)}"]
    for r in group[1:]:
        variant = f" [{r.variant}]" if r.variant else ""
        parts.append(f"{r.contender}{variant} {ratio_text(r.ratio)}x{_error(r)}")
    if ours.others > _FEW:
        parts.append(f"[other processes took {100 * ours.others:.0f} % of the cores]")
    head = f"{ours.group} {ours.cell} {ours.direction} {ours.dtype} {_threads(ours.threads)}"
    return head + ": " + "; ".join(parts)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def markdown(records: list[Record], facts: dict[str, str]) -> str:
    """Return what the tables mean, the summary, and the tables."""
    parts = [
        "Peer's time / ours, median of interleaved rounds, equal thread counts (above 1: we are "
        "faster). F forward; FB forward + backward with all gradients. %: of the measured peak, or "
        "of the bandwidth of the cache named; % kept: without the packing of the weights. Errors: "
        "norm-wise, against float64.",
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        "\n".join(f"- {text}" for text in summary(records)),
    ]
    thread_counts = sorted({r.threads for r in records})
    for group in GROUPS:
        for threads in thread_counts:
            chosen = [r for r in records if r.group == group and r.threads == threads]
            if chosen:
                parts.append(f"{_TITLES[group]}; {_threads(threads)}")
                parts.append(_table(chosen))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(records: list[Record]) -> str:
    """Return the table of one group and one number of threads: a row per cell."""
    directions = [d for d in _DIRECTIONS if any(r.direction == d for r in records)]
    columns = {
        d: list(dict.fromkeys(r.contender for r in records if r.direction == d)) for d in directions
    }
    header = ["cell"]
    for d in directions:
        others = [name for name in columns[d] if name != "ours"]
        # A time says little about another machine; that of a step is set beside a call's overhead.
        header += [f"{d} ours" if records[0].group == "step" else ""]
        header += [*(f"{d} {_NAMES.get(name, name)}" for name in others if name != _KEPT)]
        header += [f"{d} %", f"{d} % kept" if _KEPT in others else "", f"{d} error"]
    rows = [header, ["---"] * len(header)]
    groups = by_case(records)
    threads, group = records[0].threads, records[0].group
    for cell, dtype in dict.fromkeys((r.cell, r.dtype) for r in records):
        row = [cell if dtype == "float32" else f"{cell} {dtype}"]
        for d in directions:
            row += _entries(groups.get((group, cell, dtype, threads, d), []), columns[d])
        rows.append(row)
    used = [i for i, name in enumerate(header) if name and any(row[i] for row in rows[2:])]
    return "\n".join("| " + " | ".join(row[i] for i in used) + " |" for row in rows)


def _entries(group: Group, names: list[str]) -> list[str]:
    """Return a cell's entries for one direction; empty ones where nothing was measured."""
    found = {r.contender: r for r in group}
    others = [n for n in names if n not in ("ours", _KEPT)]
    if "ours" not in found:
        return [""] * (len(others) + 4)
    ours, kept = found["ours"], found.get(_KEPT)
    ratios = [ratio_text(found[n].ratio) if n in found else "" for n in others]
    percents = [percent_text(ours), "" if kept is None else percent_text(kept)]
    return [duration(ours.seconds), *ratios, *percents, f"{ours.error:.0e}"]


def summary(records: list[Record]) -> list[str]:
    """Return a line per group, direction and number of threads: least and mean ratios."""
    groups: dict[tuple[str, str, int], list[Group]] = {}
    for (group, _, _, threads, direction), found in by_case(records).items():
        if best_peer(found) is not None:
            groups.setdefault((group, direction, threads), []).append(found)
    lines = []
    for (group, direction, threads), cells in groups.items():
        best = [peer for cell in cells if (peer := best_peer(cell)) is not None]
        least = min(best, key=lambda r: r.ratio)
        torch = [r.ratio for cell in cells for r in cell if r.contender == "torch"]
        text = (
            f"{group}, {_DIRECTIONS[direction]}, {_threads(threads)}, {_cells(len(cells))}: "
            f"against the best peer at least {ratio_text(least.ratio)} ({least.contender}, "
            f"{least.cell} {least.dtype}), "
            f"geometric mean {ratio_text(geometric_mean([r.ratio for r in best]))}"
        )
        if torch:
            text += f"; against torch {ratio_text(geometric_mean(torch))}"
        lines.append(text)
    return lines


def warnings(records: list[Record]) -> list[str]:
    """Return what makes the results doubtful: processes beside us, peers with more threads."""
    cells = [group[0] for group in by_case(records).values()]
    disturbed = sum(r.others > _FEW for r in cells)
    lines = []
    if disturbed:
        lines.append(
            f"warning: other processes took more than {100 * _FEW:.0f} % of the cores in "
            f"{disturbed} of {len(cells)} measurements: repeat those alone"
        )
    greedy = sorted({r.contender for r in records if r.busy > r.threads + 0.1})
    if greedy:
        lines.append(f"warning: more cores than threads were used by {', '.join(greedy)}")
    return lines


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean.

    Examples
    --------
    >>> round(geometric_mean([1.0, 4.0]), 6)
    2.0
    """
    return math.exp(sum(map(math.log, values)) / len(values))


def check_markers(content: str) -> tuple[str, str]:
    """Return what is before and after the two marker lines.

    Raises
    ------
    ValueError
        If there is not one `BEGIN` line and one `END` line after it.
    """
    before, begin, rest = content.partition(BEGIN + "\n")
    _, end, after = rest.partition(END)
    if not begin or not end or content.count(BEGIN) != 1 or content.count(END) != 1:
        raise ValueError(f"expected one line {BEGIN} and one line {END} after it")
    return before, after


def write_markdown(path: Path, text: str) -> None:
    """Put a text between the two marker lines of a file, instead of what is there.

    Raises
    ------
    ValueError
        As in `check_markers`; the file is then unchanged.
    """
    before, after = check_markers(path.read_text(encoding="utf-8"))
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
