"""How numbers are written in sentences and tables: one function for each kind of number."""

import math

__all__ = [
    "count", "factor", "interval", "memory", "number", "p_value", "rate", "seconds", "short_time",
    "small",
]  # fmt: skip


def number(value: float, digits: int = 4) -> str:
    """A number of `digits` significant digits, written out.

    Examples
    --------
    >>> from tdnn.compare.formats import number
    >>> number(2.30456), number(0.00012345), number(1234.56), number(0.0)
    ('2.305', '0.0001234', '1235', '0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float) -> str:
    """An interval, with as many decimals at both ends as its width deserves.

    Examples
    --------
    >>> from tdnn.compare.formats import interval
    >>> interval(2.28123, 2.31987), interval(0.25, 0.25)
    ('2.281 to 2.320', '0.2500 to 0.2500')
    """
    half = (high - low) / 2
    if not half > 0:
        return f"{number(low)} to {number(high)}"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    ends = (f"{end:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for end in (low, high))
    return " to ".join(ends)


def seconds(value: float) -> str:
    """A duration.

    Examples
    --------
    >>> from tdnn.compare.formats import seconds
    >>> seconds(3.14159), seconds(75.2), seconds(7200)
    ('3.1 s', '75 s', '120 min')
    """
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def rate(value: float) -> str:
    """A number of things per second: three significant digits, thousands separated.

    Examples
    --------
    >>> from tdnn.compare.formats import rate
    >>> rate(12345.6), rate(4.5678)
    ('12,300', '4.57')
    """
    if value <= 0 or value < 100:
        return number(value, 3)
    return f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"


def count(value: int) -> str:
    """An integer, thousands separated."""
    return f"{value:,}"


def small(value: float) -> str:
    """An error, in two digits and an exponent."""
    return f"{value:.1e}"


def short_time(value: float) -> str:
    """A duration that may be far below a second.

    Examples
    --------
    >>> from tdnn.compare.formats import short_time
    >>> short_time(3.21e-6), short_time(0.0456), short_time(2.0)
    ('3.21 µs', '45.6 ms', '2.00 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{number(value / size, 3)} {unit}"
    return f"{number(value / 1e-9, 3)} ns"


def memory(value: int) -> str:
    """A number of bytes, in units of 1024.

    Examples
    --------
    >>> from tdnn.compare.formats import memory
    >>> memory(512), memory(3_250_000)
    ('512 B', '3.1 MiB')
    """
    if value < 1024:
        return f"{value} B"
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    raise AssertionError


def p_value(value: float) -> str:
    """A p-value behind its letter: two significant digits, none below a thousandth.

    Examples
    --------
    >>> from tdnn.compare.formats import p_value
    >>> p_value(0.0312), p_value(1e-9), p_value(1.0)
    ('p = 0.031', 'p < 0.001', 'p = 1.0')
    """
    return f"p = {number(value, 2)}" if value >= 0.001 else "p < 0.001"


def factor(value: float) -> str:
    """How many times: whole from 10, a tenth from 1, two digits below.

    Examples
    --------
    >>> from tdnn.compare.formats import factor
    >>> factor(3.14159), factor(27.4), factor(0.996), factor(0.5)
    ('3.1', '27', '1.0', '0.50')
    """
    if value >= 9.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 0.995 else number(value, 2)
