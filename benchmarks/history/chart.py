"""A chart of one benchmark over commits, as an SVG element: curves, bands, marked steps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.history.gate import worse
from benchmarks.history.results import Key, Value

__all__ = ["COLORS", "Series", "chart", "quantity", "steps"]

# Told apart also by those who see no red or green.
COLORS = ("#0868ac", "#c8501e", "#1b8a6b", "#8c4a9e", "#8a6d00", "#566573", "#b0266e", "#3a3f9e")
Scale = Callable[[float], float]
_WIDTH, _HEIGHT = 560.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 14.0, 12.0, 34.0
_MARK = 14.0  # room above and below, for the marks of the outermost curves
_UNITS = {
    "seconds": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "bytes": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}


@dataclass(frozen=True)
class Series:
    """One curve: a benchmark with one set of parameters, and its result at each commit."""

    key: Key
    label: str
    points: tuple[Value | None, ...]
    """None where there is no result."""

    def there(self) -> list[tuple[int, Value]]:
        """Return places and values of the results that are numbers."""
        return [(i, v) for i, v in enumerate(self.points) if v is not None and v.status == "ok"]


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit, in three digits.

    Examples
    --------
    >>> quantity(0.00123, "seconds"), quantity(2**21, "bytes"), quantity(0.1, "arrays")
    ('1.23 ms', '2 MiB', '0.1')
    """
    for size, name in _UNITS.get(unit, ()):
        if value >= size:
            return f"{_digits(value / size)} {name}"
    return _digits(value)


def _digits(value: float) -> str:
    return f"{value:.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def steps(series: Series) -> list[tuple[int, str]]:
    """Return the places where a curve rises ("worse") or falls ("better") beyond noise."""
    found, there = [], series.there()
    for (_, old), (place, new) in zip(there, there[1:], strict=False):
        if old.version != new.version:
            continue
        if worse(series.key, old, new):
            found.append((place, "worse"))
        elif worse(series.key, new, old):
            found.append((place, "better"))
    return found


def chart(series: Sequence[Series], commits: Sequence[str], unit: str, title: str) -> str:
    """Return the chart, its values on a logarithmic axis.

    Parameters
    ----------
    series : sequence of Series
        One at least has a result.
    commits : sequence of str
        Short hashes, oldest first.
    unit : str
        Of the values.
    title : str
        What a screen reader says.

    Returns
    -------
    str
        An ``<svg>`` element without any address in it.
    """
    values = [v for one in series for _, v in one.there()]
    bottom, top = _range(
        [_positive(v.low, v) for v in values] + [_positive(v.high, v) for v in values]
    )
    span = math.log(top / bottom)
    inner = _WIDTH - _LEFT - _RIGHT

    def x(place: float) -> float:
        return _LEFT + inner * (place + 0.5) / len(commits)

    def y(value: float) -> float:
        share = math.log(min(max(value, bottom), top) / bottom) / span
        return _HEIGHT - _BOTTOM - _MARK - (_HEIGHT - _BOTTOM - _TOP - 2 * _MARK) * share

    parts = [
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img"><title>{escape(title)}</title>',
        *_grid(bottom, top, unit, y),
        *_commit_names(commits, x),
    ]
    for number, one in enumerate(series):
        color = COLORS[number % len(COLORS)]
        dashes = ' stroke-dasharray="5 3"' if number >= len(COLORS) else ""
        for stretch in _stretches(one):
            parts.extend(_band_and_line(stretch, color, dashes, x, y))
        for place, value in one.there():
            words = f"{one.label or one.key}: {quantity(float(value.value or 0), unit)}"
            words = escape(f"{words} at {commits[place]}")
            parts.append(
                f'<circle cx="{x(place):.1f}" cy="{y(float(value.value or 0)):.1f}" r="2.6" '
                f'fill="{color}"><title>{words}</title></circle>'
            )
    for number, one in enumerate(series):
        parts.extend(_crosses(one, COLORS[number % len(COLORS)], commits, x))
        parts.extend(_marks(one, x, y))
    return "\n".join([*parts, "</svg>"])


def _positive(bound: float, value: Value) -> float:
    return bound if math.isfinite(bound) and bound > 0 else float(value.value or 1e-12)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the axis: a factor of 2 at least, so that noise looks like noise."""
    low, high = min(values), max(values)
    room = max((2 * low / high) ** 0.5, 1.08)
    return low / room, high * room


def _grid(bottom: float, top: float, unit: str, y: Scale) -> list[str]:
    parts = []
    for tick in _ticks(bottom, top, unit):
        height = y(tick)
        parts.append(
            f'<line x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{height:.1f}" y2="{height:.1f}" '
            f'class="grid"/><text x="{_LEFT - 7:g}" y="{height + 3.5:.1f}" class="tick" '
            f'text-anchor="end">{escape(quantity(tick, unit))}</text>'
        )
    return parts


def _ticks(bottom: float, top: float, unit: str) -> list[float]:
    """Return round numbers on the axis, three at least where there are so many."""
    base = 2.0 if unit == "bytes" else 10.0
    first, last = math.floor(math.log(bottom, base)), math.ceil(math.log(top, base))
    for digits in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
        allowed = [digit for digit in digits if digit < base]
        ticks = [digit * base**power for power in range(first, last + 1) for digit in allowed]
        ticks = [tick for tick in ticks if bottom <= tick <= top]
        if len(ticks) >= 3:
            break
    return ticks[:: max(1, len(ticks) // 6)]


def _commit_names(commits: Sequence[str], x: Scale) -> list[str]:
    every = max(1, -(-len(commits) // 8))
    return [
        f'<text x="{x(place):.1f}" y="{_HEIGHT - _BOTTOM + 18:g}" class="tick" '
        f'text-anchor="middle">{escape(name)}</text>'
        for place, name in enumerate(commits)
        if (len(commits) - 1 - place) % every == 0
    ]


def _stretches(series: Series) -> list[list[tuple[int, Value]]]:
    """Cut where a result is missing or failed, or the benchmark became another."""
    found: list[list[tuple[int, Value]]] = []
    for place, value in series.there():
        last = found[-1][-1] if found else None
        if last is None or place != last[0] + 1 or value.version != last[1].version:
            found.append([])
        found[-1].append((place, value))
    return found


def _band_and_line(
    stretch: list[tuple[int, Value]], color: str, dashes: str, x: Scale, y: Scale
) -> list[str]:
    def path(points: list[tuple[int, float]]) -> str:
        return " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in points)

    low = [(place, _positive(v.low, v)) for place, v in stretch]
    high = [(place, _positive(v.high, v)) for place, v in reversed(stretch)]
    if len(stretch) == 1:  # a band without width: a bar
        return [
            f'<polyline points="{path(low + high)}" stroke="{color}" stroke-opacity="0.4" '
            'stroke-width="4"/>'
        ]
    middle = [(place, float(v.value or 0)) for place, v in stretch]
    return [
        f'<polygon points="{path(low + high)}" fill="{color}" fill-opacity="0.16"/>',
        f'<polyline points="{path(middle)}" fill="none" stroke="{color}" stroke-width="1.8"'
        f"{dashes}/>",
    ]


def _crosses(series: Series, color: str, commits: Sequence[str], x: Scale) -> list[str]:
    """Crosses on the ground: where it failed."""
    parts = []
    for place, value in enumerate(series.points):
        if value is not None and value.status == "failed":
            words = escape(f"{series.label or series.key}: failed at {commits[place]}")
            parts.append(
                f'<text x="{x(place):.1f}" y="{_HEIGHT - _BOTTOM:g}" text-anchor="middle" '
                f'class="cross" style="fill:{color}">&#215;<title>{words}</title></text>'
            )
    return parts


def _marks(series: Series, x: Scale, y: Scale) -> list[str]:
    """Triangles: up where a step made it worse, down where better."""
    parts = []
    for place, kind in steps(series):
        value = series.points[place]
        if value is None or value.value is None:
            continue
        left, height = x(place), y(value.value)
        way = -1 if kind == "worse" else 1
        tip, foot = height + way * 15, height + way * 6
        points = f"{left:.1f},{tip:.1f} {left - 5:.1f},{foot:.1f} {left + 5:.1f},{foot:.1f}"
        parts.append(
            f'<polygon points="{points}" class="{kind}"><title>{escape(str(series.key))}: '
            f"{kind}</title></polygon>"
        )
    return parts
