"""Records for people: a line for each case, and the short table that comes last."""

from benchmarks.cuda_peers.records import Record, by_case, is_number, per_step
from benchmarks.peers.table import duration, geometric_mean, ratio_text

__all__ = ["line", "short_table"]


def line(found: list[Record]) -> str:
    """Return one line for one case, ours first."""
    ours = found[0]
    text = f"{ours.group} {ours.cell} {ours.direction} {ours.dtype}: ours {duration(ours.seconds)}"
    text += f", {duration(per_step(ours))} a step"
    if is_number(ours.percent):
        text += f", {ours.percent:.0f} % of {ours.bound}"
    text += _error(ours)
    for r in found[1:]:
        text += f"; {r.contender} {ratio_text(r.ratio)}x{_error(r)}"
    return text


def _error(record: Record) -> str:
    return f", error {record.error:.0e}" if is_number(record.error) else ""


def short_table(records: list[Record]) -> list[str]:
    """Return the table: a row for each m, a column for each B; peer's time / ours, F and FB.

    The peer is cuDNN in fp32; each entry is the geometric mean over T.
    """
    rows = _entries([r for r in records if r.group == "elman" and r.contender == "torch"])
    if not rows:
        return []
    sizes = sorted({B for by_batch in rows.values() for B in by_batch})
    head = ["m \\ B", *(str(B) for B in sizes)]
    lines = [head] + [[str(m), *(row.get(B, "") for B in sizes)] for m, row in sorted(rows.items())]
    width = [max(len(cells[i]) for cells in lines) for i in range(len(head))]
    padded = [[cell.rjust(w) for cell, w in zip(row, width, strict=True)] for row in lines]
    return [
        "cuDNN fp32's time / ours, forward | forward and backward (above 1: we are faster)",
        *("  ".join(row) for row in padded),
    ]


def _entries(peers: list[Record]) -> dict[int, dict[int, str]]:
    ratios: dict[tuple[int, int], dict[str, list[float]]] = {}
    for found in by_case(peers).values():
        for r in found:
            ratios.setdefault((r.m, r.B), {}).setdefault(r.direction, []).append(r.ratio)
    rows: dict[int, dict[int, str]] = {}
    for (m, B), directions in ratios.items():
        shown = [
            ratio_text(geometric_mean(directions[d])) if d in directions else "-"
            for d in ("F", "FB")
        ]
        rows.setdefault(m, {})[B] = " | ".join(shown)
    return rows
