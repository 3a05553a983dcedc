"""What the scores of several seeds allow to be said of two models, and what they do not.

Two models are compared seed by seed: the same seed gives both the same data. A model is called
better only where three things agree: at least `ENOUGH_SEEDS` pairs of runs; a bootstrap interval
of the paired differences that leaves out 0; and a paired t-test whose p-value, adjusted by Holm
for all the comparisons that are made together, is below 5 %. The bootstrap alone would call a
difference real where there is none once in seven times with five seeds, once in four with three;
a permutation test alone never could, for with five seeds its p-value cannot be below 1/16.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tdnn.compare.formats import interval, number, p_value
from tdnn.compare.statistics import (
    Estimate,
    PairedTest,
    Scores,
    estimate,
    holm,
    improvement,
    paired_difference,
    paired_test,
)

__all__ = [
    "ENOUGH_SEEDS",
    "KINDS",
    "Comparison",
    "Question",
    "Verdict",
    "best_of",
    "families",
    "family_of",
    "judge",
    "pairs",
]

ENOUGH_SEEDS = 3
LEVEL = 0.05
KINDS = ("better", "no difference", "too few seeds", "at the floor", "no score")
FAMILIES = ("RNN", "TDNN")


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
class Comparison:
    """Two models on one task: for each, seed -> score on the test set; NaN where a run has none."""

    question: Question
    scores: Mapping[str, Scores]
    note: str = ""  # how the two were chosen, a sentence


@dataclass(frozen=True)
class Verdict:
    """An answer: its kind (one of `KINDS`), the better model if there is one, and its text.

    `statement` is the first sentence, `sentence` the whole text with the evidence for it.
    `difference` is that of the two models' scores, first - second, seed by seed; `p_holm` the
    p-value of its t-test after Holm's adjustment for `tests` comparisons; `improvement` how often
    a run of the first is better than one of the second. None: there are too few runs for it.
    """

    task: str
    models: tuple[str, str]
    kind: str
    winner: str | None
    statement: str
    sentence: str
    difference: Estimate | None = None
    test: PairedTest | None = None
    p_holm: float | None = None
    tests: int = 0
    improvement: float | None = None


@dataclass(frozen=True)
class _Evidence:
    """What is computed of one comparison before any is judged."""

    means: Mapping[str, Estimate]
    difference: Estimate | None
    test: PairedTest | None
    improvement: float | None


def judge(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Say of each comparison which model is better, or why that cannot be said.

    Parameters
    ----------
    comparisons : sequence of Comparison
        All those that are reported together: Holm's adjustment is over them.

    Returns
    -------
    list of Verdict
        In the same order.

    Examples
    --------
    >>> from tdnn.compare.verdicts import Comparison, Question, judge
    >>> question = Question("toy", "error", True, "chance", 1.0)
    >>> scores = {"a": {0: 0.1, 1: 0.11, 2: 0.1}, "b": {0: 0.5, 1: 0.52, 2: 0.5}}
    >>> judge([Comparison(question, scores)])[0].winner
    'a'
    """
    evidence = [_weigh(comparison) for comparison in comparisons]
    tested = [index for index, found in enumerate(evidence) if found.test is not None]
    adjusted = dict(zip(tested, holm([_t(evidence[index]) for index in tested]), strict=True))
    return [
        _verdict(comparison, found, adjusted.get(index), len(tested))
        for index, (comparison, found) in enumerate(zip(comparisons, evidence, strict=True))
    ]


def _t(evidence: _Evidence) -> float:
    assert evidence.test is not None
    return evidence.test.t


def _weigh(comparison: Comparison) -> _Evidence:
    finite = {name: _finite(scores) for name, scores in comparison.scores.items()}
    first, second = finite.values()
    means = {name: estimate(list(own.values())) for name, own in finite.items() if own}
    if not first.keys() & second.keys():
        return _Evidence(means, None, None, None)
    difference = paired_difference(first, second)
    lower = comparison.question.lower_is_better
    often = improvement(list(first.values()), list(second.values()), lower_is_better=lower)
    test = paired_test(first, second) if difference.seeds >= ENOUGH_SEEDS else None
    return _Evidence(means, difference, test, often)


def _verdict(
    comparison: Comparison, evidence: _Evidence, adjusted: float | None, tests: int
) -> Verdict:
    question = comparison.question
    first, second = comparison.scores
    names = (first, second)
    notes = [comparison.note] if comparison.note else []
    notes += _lost_runs(comparison.scores)
    if evidence.difference is None:
        text = f"no verdict, for no seed gave both {first} and {second} a score."
        statement = f"{question.task}: {text}"
        sentence = " ".join([statement, *notes])
        return Verdict(question.task, names, "no score", None, statement, sentence)
    below = [name for name in names if not _beats(evidence.means[name], question)]
    kind, winner, text, reason = _decide(question, evidence, adjusted, tests, below)
    if below and kind != "at the floor":
        who = " and ".join(below)
        verb = "are" if len(below) > 1 else "is"
        notes.insert(0, f"{who} {verb} not shown to beat {_floor(question)}.")
    statement = f"{question.task}: {text}"
    sentence = " ".join([statement, *([reason] if reason else []), *notes])
    return Verdict(
        question.task, names, kind, winner, statement, sentence, evidence.difference,
        evidence.test, adjusted, tests, evidence.improvement,
    )  # fmt: skip


def _decide(
    question: Question,
    evidence: _Evidence,
    adjusted: float | None,
    tests: int,
    below: list[str],
) -> tuple[str, str | None, str, str]:
    """The kind of the verdict, the better model, the statement, and the reason for it."""
    means, difference = evidence.means, evidence.difference
    assert difference is not None
    first, second = means
    values = f"{first} ({number(means[first].mean)}) and {second} ({number(means[second].mean)})"
    if adjusted is None:
        seeds = f"{difference.seeds} {'seed' if difference.seeds == 1 else 'seeds'}"
        text = (
            f"too few seeds for a verdict between {values}: {seeds} of both, where "
            f"{ENOUGH_SEEDS} are needed."
        )
        return "too few seeds", None, text, ""
    if len(below) == len(means):
        text = f"{values} are not shown to beat {_floor(question)}: nothing to compare."
        return "at the floor", None, text, ""
    assert difference.low is not None and difference.high is not None
    if difference.low <= 0 <= difference.high or adjusted >= LEVEL:
        text = f"no difference shown between {values}."
        return "no difference", None, text, _no_difference(difference, adjusted, tests)
    winner = first if (difference.mean < 0) == question.lower_is_better else second
    other = second if winner == first else first
    ends = sorted((abs(difference.low), abs(difference.high)))
    overlap = _overlap(means[first], means[second])
    return (
        "better",
        winner,
        f"{winner} is better than {other}, {number(means[winner].mean)} against "
        f"{number(means[other].mean)} {question.unit or question.metric}.",
        f"The paired difference is {number(abs(difference.mean))} (95 % interval "
        f"{interval(*ends)}, {difference.seeds} seeds, {_p(adjusted, tests)})"
        f"{', although the intervals of the two means overlap' * overlap}.",
    )


def _no_difference(difference: Estimate, adjusted: float, tests: int) -> str:
    assert difference.low is not None and difference.high is not None
    ends = f"{interval(difference.low, difference.high)}, {difference.seeds} seeds"
    text = f"The interval of the paired difference ({ends})"
    if difference.low <= 0 <= difference.high:
        return f"{text} includes 0 ({_p(adjusted, tests)})."
    return (
        f"{text} leaves out 0, but {_p(adjusted, tests)} is not below {number(LEVEL, 1)}: with so "
        "few seeds chance does as much."
    )


def _p(adjusted: float, tests: int) -> str:
    return p_value(adjusted) + (f" after Holm over {tests} comparisons" if tests > 1 else "")


def _lost_runs(scores: Mapping[str, Scores]) -> list[str]:
    """What must be said of runs without a score, and of seeds that only one model has."""
    notes = []
    for name, own in scores.items():
        lost = len(own) - len(_finite(own))
        if lost:
            notes.append(
                f"Runs of {name} without a score are left out ({lost} of {len(own)}), which "
                "flatters it."
            )
    (first, own_first), (second, own_second) = scores.items()
    for name, alone in ((first, own_first.keys() - own_second.keys()),
                        (second, own_second.keys() - own_first.keys())):  # fmt: skip
        if alone:
            plural = "s" if len(alone) > 1 else ""
            notes.append(
                f"Of seed{plural} {', '.join(map(str, sorted(alone)))} there is a run of {name} "
                "only."
            )
    return notes


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


def family_of(model: str) -> str:
    """The family of a model, by its name: "TDNN" or "RNN".

    Examples
    --------
    >>> from tdnn.compare.verdicts import family_of
    >>> family_of("tdnn-dilated"), family_of("elman-2")
    ('TDNN', 'RNN')
    """
    return "TDNN" if model.startswith("tdnn") else "RNN"


def best_of(validations: Mapping[str, Scores], lower_is_better: bool) -> str:
    """The model with the best mean validation; one with a lost run only where all have one.

    Examples
    --------
    >>> from tdnn.compare.verdicts import best_of
    >>> best_of({"a": {0: 1.0, 1: 3.0}, "b": {0: 1.5, 1: 1.5}}, lower_is_better=True)
    'b'
    """
    sign = 1.0 if lower_is_better else -1.0

    def key(name: str) -> tuple[bool, float, str]:
        found = list(_finite(validations[name]).values())
        lost = len(found) < len(validations[name]) or not found
        return lost, sign * estimate(found).mean if found else math.inf, name

    return min(validations, key=key)


def families(
    question: Question, scores: Mapping[str, Scores], validations: Mapping[str, Scores]
) -> Comparison | None:
    """The best RNN against the best TDNN, chosen by validation; None if one kind is missing.

    Parameters
    ----------
    question : Question
    scores, validations : dict of str to dict of int to float
        model -> seed -> score on the test set, and best score on the validation set.
    """
    kinds = {kind: sorted(name for name in scores if family_of(name) == kind) for kind in FAMILIES}
    if not all(kinds.values()):
        return None
    best = {
        kind: best_of({name: validations[name] for name in own}, question.lower_is_better)
        for kind, own in kinds.items()
    }
    chosen = [
        f"{best[kind]} of the {kind}s {', '.join(own)}"
        for kind, own in kinds.items()
        if len(own) > 1
    ]
    note = f"Chosen by validation: {'; '.join(chosen)}." if chosen else ""
    return Comparison(question, {name: scores[name] for name in best.values()}, note)


def pairs(question: Question, scores: Mapping[str, Scores]) -> list[Comparison]:
    """Every pair of models, in the order of their names."""
    return [
        Comparison(question, {first: scores[first], second: scores[second]})
        for first, second in combinations(sorted(scores), 2)
    ]
