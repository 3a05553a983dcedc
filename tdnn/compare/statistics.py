"""What the scores of several seeds allow to be said, and what they do not.

Every statement rests on a handful of seeds: means come with Student's interval, two models are
compared seed by seed (the same seed gives both the same data), and a difference counts only
where the interval of the paired differences leaves 0 out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tdnn.compare.formats import interval, number

__all__ = [
    "Estimate",
    "Question",
    "Verdict",
    "estimate",
    "paired_difference",
    "verdict",
    "verdicts",
]

CONFIDENCE = 0.95
ENOUGH_SEEDS = 3

Scores = Mapping[int, float]  # seed -> score


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and its 95 % interval (None with a single seed)."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Question:
    """A task, as far as a verdict must know it."""

    task: str
    metric: str
    lower_is_better: bool
    floor_name: str
    floor: float
    unit: str = ""


@dataclass(frozen=True)
class Verdict:
    """An answer: its kind, for machines; the better model, if there is one; a sentence.

    The kinds: "better", "no difference", "too few seeds", "at the floor", "no score".
    """

    task: str
    models: tuple[str, str]
    kind: str
    winner: str | None
    sentence: str
    difference: Estimate | None = None


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of `values` and Student's 95 % interval.

    Parameters
    ----------
    values : sequence of float
        At least one; one for each seed.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> from tdnn.compare.statistics import estimate
    >>> found = estimate([1.0, 2.0, 3.0])
    >>> found.mean, round(found.low, 3), round(found.high, 3)
    (2.0, -0.484, 4.484)
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Estimate(mean, None, None, n)
    from scipy import stats

    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(first: Scores, second: Scores) -> Estimate:
    """The mean of first - second over the seeds that both have, and its interval.

    Raises
    ------
    ValueError
        If there is no common seed.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        raise ValueError("first, second: expected at least one common seed, got none")
    return estimate([first[seed] - second[seed] for seed in common])


def verdict(question: Question, scores: Mapping[str, Scores]) -> Verdict:
    """Say which of two models is better, or why that cannot be said.

    Parameters
    ----------
    question : Question
    scores : dict of str to dict of int to float
        Two models; for each, seed -> score on the test set. NaN: the run has none.

    Returns
    -------
    Verdict

    Examples
    --------
    >>> from tdnn.compare.statistics import Question, verdict
    >>> question = Question("toy", "error", True, "chance", 1.0)
    >>> verdict(question, {"a": {0: 0.1, 1: 0.11, 2: 0.1}, "b": {0: 0.5, 1: 0.52, 2: 0.5}}).winner
    'a'
    """
    first, second = scores
    names = (first, second)
    finite = {name: _finite(scores[name]) for name in names}
    lost = [name for name in names if len(finite[name]) < len(scores[name])]
    if not finite[first].keys() & finite[second].keys():
        sentence = f"{question.task}: no verdict, for no seed gave both models a score."
        return Verdict(question.task, names, "no score", None, sentence)
    difference = paired_difference(finite[first], finite[second])
    means = {name: estimate(list(finite[name].values())) for name in names}
    below = [name for name in names if not _beats(means[name], question)]
    kind, winner, text = _decide(question, means, difference, below)
    notes = [f"Runs of {name} without a score are left out." for name in lost]
    if below and kind != "at the floor":
        who = " and ".join(below)
        notes.insert(0, f"{who} {'do' if len(below) > 1 else 'does'} not beat {_floor(question)}.")
    return Verdict(question.task, names, kind, winner, " ".join([text, *notes]), difference)


def verdicts(question: Question, scores: Mapping[str, Scores]) -> list[Verdict]:
    """The verdict of every pair of models, in the order of their names."""
    return [
        verdict(question, {first: scores[first], second: scores[second]})
        for first, second in combinations(sorted(scores), 2)
    ]


def _decide(
    question: Question, means: Mapping[str, Estimate], difference: Estimate, below: list[str]
) -> tuple[str, str | None, str]:
    """The kind of the verdict, the better model and the first sentence."""
    first, second = means
    task, seeds = question.task, difference.seeds
    values = f"{first} ({number(means[first].mean)}) and {second} ({number(means[second].mean)})"
    if seeds < ENOUGH_SEEDS:
        plural = "seed" if seeds == 1 else "seeds"
        return (
            "too few seeds",
            None,
            f"{task}: too few seeds for a verdict between {values}: {seeds} {plural}, where "
            f"{ENOUGH_SEEDS} are needed.",
        )
    if len(below) == len(means):
        return (
            "at the floor",
            None,
            f"{task}: {values} do not beat {_floor(question)}, so there is nothing to compare.",
        )
    assert difference.low is not None and difference.high is not None
    overlap = _overlap(means[first], means[second])
    if difference.low <= 0 <= difference.high:
        return (
            "no difference",
            None,
            f"{task}: no difference shown between {values}; the interval of the paired "
            f"difference ({interval(difference.low, difference.high)}, {seeds} seeds) includes 0"
            + (", and the intervals of the two means overlap." if overlap else "."),
        )
    low_first = difference.mean < 0
    winner = first if low_first == question.lower_is_better else second
    other = second if winner == first else first
    ends = sorted((abs(difference.low), abs(difference.high)))
    text = (
        f"{task}: {winner} is better than {other}, {number(means[winner].mean)} against "
        f"{number(means[other].mean)} {question.unit or question.metric}. The paired difference "
        f"is {number(abs(difference.mean))} (95 % interval {interval(*ends)}, {seeds} seeds)"
    )
    return (
        "better",
        winner,
        text + (", although the intervals of the two means overlap." if overlap else "."),
    )


def _beats(found: Estimate, question: Question) -> bool:
    """Whether the whole interval (or the only value) is better than the floor."""
    if question.lower_is_better:
        return (found.mean if found.high is None else found.high) < question.floor
    return (found.mean if found.low is None else found.low) > question.floor


def _overlap(first: Estimate, second: Estimate) -> bool:
    assert first.low is not None and first.high is not None
    assert second.low is not None and second.high is not None
    return first.low <= second.high and second.low <= first.high


def _finite(scores: Scores) -> dict[int, float]:
    return {seed: score for seed, score in scores.items() if math.isfinite(score)}


def _floor(question: Question) -> str:
    return f"the floor ({question.floor_name}: {number(question.floor)})"
