"""Verdicts on tables whose answer is known."""

import math

import pytest

from tdnn.compare.statistics import Question, estimate, paired_difference, verdict, verdicts

LOW = Question("toy", "bits", lower_is_better=True, floor_name="unigram", floor=5.0, unit="bits")
HIGH = Question("toy", "accuracy", lower_is_better=False, floor_name="chance", floor=0.1)


def scores(*values):
    return dict(enumerate(values))


NAN = math.nan

# question, scores of a, scores of b, kind, winner, words the sentence must hold
CASES = {
    "a lower": (LOW, (2.0, 2.1, 2.05), (3.0, 3.1, 3.04), "better", "a", ["a is better than b"]),
    "b lower": (LOW, (3.0, 3.1, 3.04), (2.0, 2.1, 2.05), "better", "b", ["b is better than a"]),
    "a higher": (HIGH, (0.9, 0.92, 0.91), (0.5, 0.51, 0.53), "better", "a", ["a is better than b"]),
    "b higher": (HIGH, (0.5, 0.51, 0.53), (0.9, 0.92, 0.91), "better", "b", ["b is better than a"]),
    "no difference": (
        LOW,
        (2.0, 2.4, 2.1),
        (2.1, 2.2, 2.2),
        "no difference",
        None,
        ["no difference shown", "includes 0", "intervals of the two means overlap"],
    ),
    "equal": (LOW, (2.0, 2.0, 2.0), (2.0, 2.0, 2.0), "no difference", None, ["includes 0"]),
    "no difference, higher": (
        HIGH,
        (0.5, 0.7, 0.6),
        (0.6, 0.5, 0.66),
        "no difference",
        None,
        ["no difference shown"],
    ),
    # Seeds differ more than models do: only the pairing shows it.
    "only paired": (
        LOW,
        (1.0, 2.0, 3.0, 4.0),
        (1.1, 2.11, 3.1, 4.09),
        "better",
        "a",
        ["although the intervals of the two means overlap"],
    ),
    "one seed": (LOW, (2.0,), (3.0,), "too few seeds", None, ["1 seed, where 3 are needed"]),
    "two seeds": (LOW, (2.0, 2.0), (3.0, 3.0), "too few seeds", None, ["2 seeds, where 3"]),
    "both at the floor": (
        LOW,
        (5.0, 5.1, 4.9),
        (5.05, 5.0, 4.95),
        "at the floor",
        None,
        ["do not beat the floor (unigram: 5.000)"],
    ),
    "both below the floor, higher": (
        HIGH,
        (0.1, 0.09, 0.11),
        (0.05, 0.06, 0.05),
        "at the floor",
        None,
        ["do not beat the floor (chance: 0.1000)"],
    ),
    "the worse one at the floor": (
        LOW,
        (2.0, 2.1, 2.05),
        (5.0, 5.2, 5.1),
        "better",
        "a",
        ["a is better than b", "b does not beat the floor"],
    ),
    "one seed at the floor": (
        LOW,
        (6.0,),
        (7.0,),
        "too few seeds",
        None,
        ["a and b do not beat the floor"],
    ),
    "better by a hair, but sure": (
        LOW,
        (2.0, 2.2, 2.4, 2.6, 2.8),
        (2.001, 2.201, 2.401, 2.601, 2.801),
        "better",
        "a",
        ["0.001000"],
    ),
    "a lost run": (
        LOW,
        (2.0, 2.1, NAN, 2.05),
        (3.0, 3.1, 3.0, 3.04),
        "better",
        "a",
        ["Runs of a without a score are left out"],
    ),
    "lost runs leave too few": (
        LOW,
        (2.0, NAN, NAN),
        (3.0, 3.1, 3.0),
        "too few seeds",
        None,
        ["Runs of a without a score"],
    ),
    "no score": (LOW, (NAN, NAN), (3.0, 3.1), "no score", None, ["no verdict"]),
}


@pytest.mark.parametrize("question, a, b, kind, winner, words", CASES.values(), ids=CASES)
def test_verdict(question, a, b, kind, winner, words):
    found = verdict(question, {"a": scores(*a), "b": scores(*b)})
    assert (found.kind, found.winner) == (kind, winner), found.sentence
    assert found.sentence.startswith("toy: ")
    for word in words:
        assert word in found.sentence


@pytest.mark.parametrize("question, a, b, kind, winner, words", CASES.values(), ids=CASES)
def test_the_order_of_the_models_does_not_matter(question, a, b, kind, winner, words):
    found = verdict(question, {"b": scores(*b), "a": scores(*a)})
    assert (found.kind, found.winner) == (kind, winner)


def test_the_estimate_is_student_s():
    # The 0.975 quantile of Student's t with 4 degrees of freedom is 2.7764451.
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451 * math.sqrt(2.5 / 5)
    assert found.mean == 3.0
    assert found.low == pytest.approx(3.0 - half, rel=1e-7)
    assert found.high == pytest.approx(3.0 + half, rel=1e-7)


def test_one_value_has_no_interval():
    found = estimate([7.0])
    assert (found.mean, found.low, found.high, found.seeds) == (7.0, None, None, 1)


def test_differences_are_taken_seed_by_seed():
    found = paired_difference({0: 1.0, 1: 2.0, 7: 9.0}, {1: 1.5, 0: 0.5, 3: 4.0})
    assert (found.mean, found.low, found.high, found.seeds) == (0.5, 0.5, 0.5, 2)


def test_no_common_seed_is_an_error():
    with pytest.raises(ValueError, match="at least one common seed"):
        paired_difference({0: 1.0}, {1: 1.0})


def test_models_without_a_common_seed_get_no_verdict():
    assert verdict(LOW, {"a": {0: 1.0}, "b": {1: 1.0}}).kind == "no score"


def test_three_models_give_three_pairs():
    found = verdicts(LOW, {name: scores(1.0, 1.1, 1.2) for name in "cab"})
    assert [item.models for item in found] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_one_model_gives_no_verdict():
    assert verdicts(LOW, {"a": scores(1.0, 1.1, 1.2)}) == []
