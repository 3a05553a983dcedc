"""Means, intervals and tests over a handful of seeds.

Intervals are SciPy's bootstrap, bias corrected and accelerated (BCa), drawn with a fixed seed, so
that the same scores give the same digits. The bootstrap of three or five values is too narrow: it
knows nothing of values it has not seen. It describes; whether two models differ is never decided
by it alone, see `tdnn.compare.verdicts`.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "CONFIDENCE",
    "Estimate",
    "PairedTest",
    "Scores",
    "estimate",
    "holm",
    "improvement",
    "improvement_over_tasks",
    "paired_difference",
    "paired_test",
]

CONFIDENCE = 0.95
RESAMPLES = 9_999
SEED = 0
EQUAL = 1e-12  # values that differ by less, relative to the largest, differ by rounding only
BOOTSTRAP_FROM = 3  # values; of two, every resample's mean is one of three numbers

Scores = Mapping[int, float]  # seed -> score


@dataclass(frozen=True)
class Estimate:
    """A value over seeds and its 95 % interval: None with one seed; `method` says which."""

    mean: float
    low: float | None
    high: float | None
    seeds: int
    method: str


@dataclass(frozen=True)
class PairedTest:
    """Two p-values of paired differences, two-sided, for "there is no difference".

    ``t`` is that of Student's test, which takes differences to be normal; ``sign_flip`` that of
    the permutation test, which does not, and which with few seeds cannot fall below ``least``.
    """

    t: float
    sign_flip: float
    least: float


def estimate(values: Sequence[float], statistic: str = "mean") -> Estimate:
    """The mean, or interquartile mean, of `values` and its 95 % interval.

    Parameters
    ----------
    values : sequence of float
        At least one, finite; one for each seed.
    statistic : {"mean", "iqm"}
        "iqm" leaves out the lowest and the highest quarter, rounded down: fewer than four
        values are all used.

    Returns
    -------
    Estimate
        Its method is "BCa bootstrap"; "percentile bootstrap" where BCa has no answer; "Student's t"
        with two values; "all equal" (the interval is the value itself); or "one seed".

    Examples
    --------
    >>> from tdnn.compare.statistics import estimate
    >>> found = estimate([1.0, 2.0, 3.0, 4.0, 7.0])
    >>> round(found.mean, 3), round(found.low, 1), round(found.high, 1), found.method
    (3.4, 2.0, 5.6, 'BCa bootstrap')
    >>> estimate([5.0, 5.0, 5.0]).method, estimate([5.0]).low
    ('all equal', None)
    """
    function = _STATISTICS[statistic]
    ordered = np.sort(np.asarray(values, np.float64))  # the order of seeds must not matter
    center, n = float(function(ordered)), len(ordered)
    if n == 1:
        return Estimate(center, None, None, n, "one seed")
    if _all_equal(ordered):
        return Estimate(center, center, center, n, "all equal")
    if n < BOOTSTRAP_FROM:
        low, high = _student(ordered)
        return Estimate(center, low, high, n, "Student's t")
    low, high = _bootstrap(ordered, function, "BCa")
    if math.isfinite(low) and math.isfinite(high):
        return Estimate(center, low, high, n, "BCa bootstrap")
    low, high = _bootstrap(ordered, function, "percentile")
    return Estimate(center, low, high, n, "percentile bootstrap")


def _mean(values: np.ndarray, axis: int = -1) -> Any:
    return np.mean(values, axis=axis)


def _interquartile_mean(values: np.ndarray, axis: int = -1) -> Any:
    from scipy import stats

    return stats.trim_mean(values, 0.25, axis=axis)


_STATISTICS: dict[str, Callable[..., Any]] = {"mean": _mean, "iqm": _interquartile_mean}


def _all_equal(ordered: np.ndarray) -> bool:
    return bool(ordered[-1] - ordered[0] <= EQUAL * np.abs(ordered).max())


def _student(values: np.ndarray) -> tuple[float, float]:
    from scipy import stats

    n = len(values)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return float(values.mean() - half), float(values.mean() + half)


def _bootstrap(
    values: np.ndarray, statistic: Callable[..., Any], method: str
) -> tuple[float, float]:
    """SciPy's bootstrap interval; NaN where BCa is degenerate."""
    from scipy import stats

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what is degenerate comes back as NaN
        found = stats.bootstrap(
            (values,), statistic, n_resamples=RESAMPLES, confidence_level=CONFIDENCE,
            method=method, vectorized=True, random_state=np.random.default_rng(SEED),
        ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def differences(first: Scores, second: Scores) -> list[float]:
    """First - second for each seed that both have, in the order of seeds.

    Raises
    ------
    ValueError
        If there is no common seed.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        raise ValueError("first, second: expected at least one common seed, got none")
    return [first[seed] - second[seed] for seed in common]


def paired_difference(first: Scores, second: Scores) -> Estimate:
    """The mean of first - second over the seeds that both have, and its interval.

    Exchanging the two changes the signs and nothing else.

    Raises
    ------
    ValueError
        If there is no common seed.

    Examples
    --------
    >>> from tdnn.compare.statistics import paired_difference
    >>> paired_difference({0: 1.0, 1: 2.0}, {1: 1.5, 0: 0.5, 3: 4.0}).mean
    0.5
    """
    values = differences(first, second)
    if math.fsum(values) >= 0:
        return estimate(values)
    turned = estimate([-value for value in values])
    low, high = turned.low, turned.high
    return Estimate(
        -turned.mean,
        None if high is None else -high,
        None if low is None else -low,
        turned.seeds,
        turned.method,
    )


def paired_test(first: Scores, second: Scores) -> PairedTest:
    """Whether first and second differ by more than noise, over the seeds that both have.

    Parameters
    ----------
    first, second : dict of int to float
        At least two common seeds.

    Returns
    -------
    PairedTest

    Examples
    --------
    >>> from tdnn.compare.statistics import paired_test
    >>> found = paired_test({0: 1.0, 1: 1.1, 2: 1.2}, {0: 2.0, 1: 2.1, 2: 2.4})
    >>> round(found.t, 4), found.sign_flip, found.least
    (0.0039, 0.25, 0.25)
    """
    from scipy import stats

    values = np.asarray(differences(first, second))
    flips = stats.permutation_test(
        (values,), _mean, permutation_type="samples", vectorized=True, n_resamples=RESAMPLES,
        random_state=np.random.default_rng(SEED),
    )  # fmt: skip
    if _all_equal(np.sort(values)):
        t = 1.0 if values[0] == 0 else 0.0
    else:
        t = float(stats.ttest_1samp(values, 0.0).pvalue)
    # Below 14 seeds every flip is tried; above, as many as are drawn.
    least = max(2.0 / 2 ** len(values), 2.0 / (RESAMPLES + 1))
    return PairedTest(t, min(1.0, float(flips.pvalue)), least)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment: p-values that hold for all of the tests together.

    Examples
    --------
    >>> from tdnn.compare.statistics import holm
    >>> holm([0.01, 0.5, 0.03])
    [0.03, 0.5, 0.06]
    """
    adjusted, largest, n = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, index in enumerate(sorted(range(n), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (n - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def improvement(first: Sequence[float], second: Sequence[float], *, lower_is_better: bool) -> float:
    """How often a run of `first` is better than a run of `second`, ties counted half.

    Parameters
    ----------
    first, second : sequence of float
        At least one finite score each; every run is held against every run.
    lower_is_better : bool

    Returns
    -------
    float
        From 0 to 1; 0.5 is no improvement.

    Examples
    --------
    >>> from tdnn.compare.statistics import improvement
    >>> improvement([1.0, 2.0], [2.0, 3.0], lower_is_better=True)
    0.875
    """
    a, b = np.asarray(first)[:, None], np.asarray(second)[None, :]
    wins = a < b if lower_is_better else a > b
    return float(np.mean(wins + 0.5 * (a == b)))


def improvement_over_tasks(
    tasks: Sequence[tuple[Sequence[float], Sequence[float], bool]],
) -> Estimate:
    """The mean probability of improvement over tasks, and its interval.

    Parameters
    ----------
    tasks : sequence of (first, second, lower_is_better)
        As in `improvement`, at least one.

    Returns
    -------
    Estimate
        The interval is a percentile bootstrap that draws seeds within each task: it says how
        sure the answer is on these tasks, and nothing of other tasks. `seeds` is the least
        number of runs of a model.

    Examples
    --------
    >>> from tdnn.compare.statistics import improvement_over_tasks
    >>> found = improvement_over_tasks([([1.0, 2.0], [2.0, 3.0], True), ([1.0], [0.0], False)])
    >>> found.mean
    0.9375
    """
    rng = np.random.default_rng(SEED)
    sums = np.zeros(RESAMPLES)
    for first, second, lower_is_better in tasks:
        a, b = (
            rng.choice(np.sort(np.asarray(values)), (RESAMPLES, len(values)))
            for values in (first, second)
        )
        a, b = a[:, :, None], b[:, None, :]
        wins = a < b if lower_is_better else a > b
        sums += np.mean(wins + 0.5 * (a == b), axis=(1, 2))
    means = [improvement(a, b, lower_is_better=lower) for a, b, lower in tasks]
    low, high = np.quantile(sums / len(tasks), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    seeds = min(len(values) for first, second, _ in tasks for values in (first, second))
    name = "percentile bootstrap within tasks"
    return Estimate(math.fsum(means) / len(means), float(low), float(high), seeds, name)
