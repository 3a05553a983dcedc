"""Ranks of several models over several tasks: Friedman's test and Nemenyi's critical difference."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tdnn.compare.statistics import CONFIDENCE

__all__ = ["LEAST_MODELS", "LEAST_TASKS", "Ranks", "rank_models"]

LEAST_TASKS = 6
LEAST_MODELS = 3  # two are compared by the verdicts already, and Friedman's test needs three


@dataclass(frozen=True)
class Ranks:
    """Mean ranks, the best first.

    ``critical_difference`` is what two mean ranks must differ by; ``together`` are the runs of
    models (first and last place) between which no difference is shown: all of them where
    Friedman's test shows none at all.
    """

    models: tuple[str, ...]
    ranks: tuple[float, ...]
    tasks: tuple[str, ...]
    p_value: float
    critical_difference: float
    together: tuple[tuple[int, int], ...]


def rank_models(scores: Mapping[str, Mapping[str, float]], lower: Mapping[str, bool]) -> Ranks:
    """Rank models on every task and compare their mean ranks (Demsar 2006).

    Parameters
    ----------
    scores : dict of str to dict of str to float
        task -> model -> mean score; the same models on each task.
    lower : dict of str to bool
        task -> whether lower is better.

    Returns
    -------
    Ranks

    Raises
    ------
    ValueError
        If there are fewer than `LEAST_TASKS` tasks or `LEAST_MODELS` models: the test's
        approximations do not hold there.

    Examples
    --------
    >>> from tdnn.compare.ranks import rank_models
    >>> scores = {str(task): {"a": 1.0, "b": 2.0, "c": 3.0 + task} for task in range(8)}
    >>> found = rank_models(scores, dict.fromkeys(scores, True))
    >>> found.models, found.ranks, round(found.critical_difference, 2), found.together
    (('a', 'b', 'c'), (1.0, 2.0, 3.0), 1.17, ((0, 1), (1, 2)))
    """
    from scipy import stats

    tasks = tuple(sorted(scores))
    models = sorted(scores[tasks[0]]) if tasks else []
    if len(tasks) < LEAST_TASKS or len(models) < LEAST_MODELS:
        raise ValueError(
            f"scores: expected at least {LEAST_TASKS} tasks and {LEAST_MODELS} models, got "
            f"{len(tasks)} and {len(models)}"
        )
    columns = [[scores[task][model] * (1 if lower[task] else -1) for task in tasks]
               for model in models]  # fmt: skip
    p_value = float(stats.friedmanchisquare(*columns).pvalue)
    table = stats.rankdata(columns, axis=0).mean(axis=1)
    order = sorted(range(len(models)), key=lambda index: (table[index], models[index]))
    ranks = tuple(float(table[index]) for index in order)
    k, n = len(models), len(tasks)
    quantile = float(stats.studentized_range.ppf(CONFIDENCE, k, math.inf)) / math.sqrt(2)
    critical = quantile * math.sqrt(k * (k + 1) / (6 * n))
    shown = p_value < 1 - CONFIDENCE
    together = _together(ranks, critical) if shown else ((0, k - 1),)
    return Ranks(tuple(models[index] for index in order), ranks, tasks, p_value, critical, together)


def _together(ranks: tuple[float, ...], critical: float) -> tuple[tuple[int, int], ...]:
    """The longest stretches of at least two neighbours within the critical difference."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(place for place in range(len(ranks)) if ranks[place] - ranks[first] < critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return tuple(found)
