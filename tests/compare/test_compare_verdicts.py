"""Verdicts on tables whose answer is known."""

import math

import numpy as np
import pytest

from tdnn.compare.verdicts import (
    KINDS,
    Comparison,
    Question,
    best_of,
    families,
    family_of,
    judge,
    pairs,
)

LOW = Question("toy", "bits", lower_is_better=True, floor_name="unigram", floor=5.0, unit="bits")
HIGH = Question("toy", "accuracy", lower_is_better=False, floor_name="chance", floor=0.1)
NAN = math.nan


def scores(*values):
    return dict(enumerate(values))


def verdict(question, a, b):
    return judge([Comparison(question, {"a": a, "b": b})])[0]


# question, scores of a, scores of b, kind, winner, words the sentence must hold
CASES = {
    "a lower": (LOW, (2.0, 2.1, 2.05), (3.0, 3.1, 3.04), "better", "a",
                ["a is better than b, 2.050 against 3.047 bits", "3 seeds"]),
    "b lower": (LOW, (3.0, 3.1, 3.04), (2.0, 2.1, 2.05), "better", "b", ["b is better than a"]),
    "a higher": (HIGH, (0.9, 0.92, 0.91), (0.5, 0.51, 0.53), "better", "a",
                 ["a is better than b, 0.9100 against 0.5133 accuracy"]),
    "b higher": (HIGH, (0.5, 0.51, 0.53), (0.9, 0.92, 0.91), "better", "b", ["b is better"]),
    "a lower, five seeds": (LOW, (2.0, 2.1, 2.05, 2.2, 1.9), (3.0, 3.1, 3.04, 3.0, 2.9),
                            "better", "a", ["5 seeds, p < 0.001"]),
    "b higher, ten seeds": (HIGH, tuple(0.5 + 0.01 * n for n in range(10)),
                            tuple(0.6 + 0.011 * n for n in range(10)), "better", "b",
                            ["10 seeds, p < 0.001"]),
    "no difference": (LOW, (2.0, 2.4, 2.1), (2.1, 2.2, 2.2), "no difference", None,
                      ["no difference shown", "includes 0"]),
    "no difference, five seeds": (LOW, (2.0, 2.4, 2.1, 2.3, 2.2), (2.1, 2.2, 2.2, 2.1, 2.4),
                                  "no difference", None, ["includes 0", "5 seeds"]),
    "no difference, higher": (HIGH, (0.5, 0.7, 0.6), (0.6, 0.5, 0.66), "no difference", None,
                              ["no difference shown"]),
    # The bootstrap interval leaves out 0, but three seeds that agree are no proof.
    "all seeds agree by chance": (LOW, (2.0, 2.1, 2.3), (2.01, 2.3, 2.35), "no difference", None,
                                  ["leaves out 0, but p = 0.2", "chance does as much"]),
    "five agree by chance": (HIGH, (0.50, 0.60, 0.55, 0.52, 0.70), (0.51, 0.61, 0.56, 0.53, 0.98),
                             "no difference", None, ["leaves out 0, but p = "]),
    "ties": (LOW, (2.0, 2.0, 2.0), (2.0, 2.0, 2.0), "no difference", None, ["includes 0"]),
    "ties of different seeds": (LOW, (2.0, 2.1, 2.2), (2.0, 2.1, 2.2), "no difference", None,
                                ["includes 0"]),
    "ties at the best score": (HIGH, (1.0, 1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, 1.0),
                               "no difference", None, ["p = 1.0"]),
    "some ties, one seed apart": (HIGH, (1.0, 1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, 0.9),
                                  "no difference", None, ["no difference shown"]),
    "always the same difference": (HIGH, (1.0, 1.0, 1.0), (0.5, 0.5, 0.5), "better", "a",
                                   ["0.5000 to 0.5000", "p < 0.001"]),
    # Seeds differ more than models do: only the pairing shows it.
    "only paired": (LOW, (1.0, 2.0, 3.0, 4.0), (1.1, 2.11, 3.1, 4.09), "better", "a",
                    ["although the intervals of the two means overlap"]),
    "better by a hair, but sure": (LOW, (2.0, 2.2, 2.4, 2.6, 2.8),
                                   (2.001, 2.201, 2.401, 2.601, 2.801), "better", "a",
                                   ["0.001000"]),
    "one seed": (LOW, (2.0,), (3.0,), "too few seeds", None, ["1 seed of both, where 3 are"]),
    "two seeds": (LOW, (2.0, 2.0), (3.0, 3.0), "too few seeds", None, ["2 seeds of both"]),
    "two seeds, far apart": (HIGH, (0.99, 0.98), (0.2, 0.3), "too few seeds", None, ["2 seeds"]),
    "both at the floor": (LOW, (5.0, 5.1, 4.9), (5.05, 5.0, 4.95), "at the floor", None,
                          ["not shown to beat the floor (unigram: 5.000)", "nothing to compare"]),
    "both at the floor, one surely better": (LOW, (5.0, 5.01, 5.02), (6.0, 6.01, 6.02),
                                             "at the floor", None, ["not shown to beat the floor"]),
    "both below the floor, higher": (HIGH, (0.1, 0.09, 0.11), (0.05, 0.06, 0.05), "at the floor",
                                     None, ["are not shown to beat the floor (chance: 0.1000)"]),
    "the worse one at the floor": (LOW, (2.0, 2.1, 2.05), (5.0, 5.2, 5.1), "better", "a",
                                   ["a is better than b", "b is not shown to beat the floor"]),
    "the worse one at the floor, higher": (HIGH, (0.1, 0.12, 0.09), (0.8, 0.85, 0.81), "better",
                                           "b", ["a is not shown to beat the floor"]),
    "one seed at the floor": (LOW, (6.0,), (7.0,), "too few seeds", None,
                              ["a and b are not shown to beat the floor"]),
    "a diverged run": (LOW, (2.0, 2.1, NAN, 2.05), (3.0, 3.1, 3.0, 3.04), "better", "a",
                       ["Runs of a without a score are left out (1 of 4), which flatters it"]),
    "diverged runs leave too few": (LOW, (2.0, NAN, NAN), (3.0, 3.1, 3.0), "too few seeds", None,
                                    ["Runs of a without a score are left out (2 of 3)"]),
    "different runs diverged": (LOW, (2.0, NAN, 2.1, 2.0, 2.2), (NAN, 3.1, 3.0, 3.1, 3.1), "better",
                                "a", ["3 seeds", "Runs of a", "Runs of b"]),
    "all of one diverged": (LOW, (NAN, NAN, NAN), (3.0, 3.1, 3.0), "no score", None,
                            ["no verdict, for no seed gave both a and b a score"]),
    "all diverged": (HIGH, (NAN, NAN), (NAN, NAN), "no score", None, ["Runs of b"]),
    "one infinite": (LOW, (math.inf, 2.0, 2.1, 2.05), (3.0, 3.0, 3.1, 3.04), "better", "a",
                     ["Runs of a without a score"]),
}  # fmt: skip
MISSING = {
    "a missing run": (LOW, {0: 2.0, 1: 2.1, 2: 2.05}, {0: 3.0, 1: 3.1, 2: 3.04, 3: 3.0}, "better",
                      "a", ["Of seed 3 there is a run of b only"]),
    "missing runs leave too few": (LOW, {0: 2.0, 1: 2.1, 5: 2.0}, {0: 3.0, 1: 3.1, 3: 3.0, 4: 3.1},
                                   "too few seeds", None,
                                   ["Of seed 5 there is a run of a only",
                                    "Of seeds 3, 4 there is a run of b only"]),
    "no common seed": (HIGH, {0: 0.9, 1: 0.9, 2: 0.9}, {3: 0.5, 4: 0.5, 5: 0.5}, "no score", None,
                       ["no verdict"]),
}  # fmt: skip
ALL = {name: (q, scores(*a), scores(*b), *rest) for name, (q, a, b, *rest) in CASES.items()}
ALL |= MISSING


def test_there_are_enough_cases_of_every_kind():
    assert len(ALL) >= 30
    assert {case[3] for case in ALL.values()} == set(KINDS)


@pytest.mark.parametrize("question, a, b, kind, winner, words", ALL.values(), ids=ALL)
def test_verdict(question, a, b, kind, winner, words):
    found = verdict(question, a, b)
    assert (found.kind, found.winner) == (kind, winner), found.sentence
    assert found.sentence.startswith("toy: ") and found.sentence.startswith(found.statement)
    for word in words:
        assert word in found.sentence
    assert "nan" not in found.sentence


@pytest.mark.parametrize("question, a, b, kind, winner, words", ALL.values(), ids=ALL)
def test_the_order_of_the_models_does_not_matter(question, a, b, kind, winner, words):
    other = {"a": "b", "b": "a", None: None}
    found = verdict(question, b, a)
    assert (found.kind, found.winner) == (kind, other[winner])
    same = verdict(question, a, b)
    if same.difference is not None:
        assert found.difference.mean == -same.difference.mean
        assert found.p_holm == same.p_holm
        assert found.improvement == pytest.approx(1 - same.improvement)


def test_where_nothing_differs_few_verdicts_say_better():
    # 120 comparisons of two equal models, five seeds: 5 % would be 6, the bootstrap alone 18.
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(120):
        a, b = (scores(*(2.0 + 0.1 * rng.standard_normal(5))) for _ in "ab")
        wrong += verdict(LOW, a, b).kind == "better"
    assert wrong <= 9


def test_holm_makes_many_comparisons_say_less():
    close = Comparison(LOW, {"a": scores(2.0, 2.1, 2.05, 2.2), "b": scores(2.2, 2.21, 2.3, 2.35)})
    equal = Comparison(LOW, {"a": scores(2.0, 2.1, 2.2, 2.3), "b": scores(2.3, 2.2, 2.1, 2.0)})
    alone, among = judge([close])[0], judge([close] + 9 * [equal])[0]
    assert alone.kind == "better" and alone.tests == 1
    assert among.kind == "no difference" and among.tests == 10
    assert among.p_holm == pytest.approx(10 * alone.p_holm)
    assert "after Holm over 10 comparisons" in among.sentence
    assert "Holm" not in alone.sentence


def test_a_comparison_with_too_few_seeds_does_not_count_for_holm():
    few = Comparison(LOW, {"a": scores(2.0), "b": scores(3.0)})
    full = Comparison(LOW, {"a": scores(2.0, 2.1, 2.05), "b": scores(3.0, 3.1, 3.04)})
    found = judge([few, full, few])
    assert [item.tests for item in found] == [1, 1, 1]
    assert [item.p_holm is None for item in found] == [True, False, True]


def test_three_models_give_three_pairs_and_one_gives_none():
    found = pairs(LOW, {name: scores(1.0, 1.1, 1.2) for name in "cab"})
    assert [tuple(item.scores) for item in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs(LOW, {"a": scores(1.0)}) == []


def test_families_meet_by_the_best_of_each_on_validation():
    test = {"elman": scores(2.0, 2.1, 2.2), "elman-2": scores(1.0, 1.1, 1.0),
            "tdnn": scores(3.0, 3.1, 3.0), "tdnn-dilated": scores(2.5, 2.4, 2.5)}  # fmt: skip
    # By validation elman is the best RNN, though elman-2 has the better test score.
    validation = {**test, "elman-2": scores(2.5, 2.6, 2.5)}
    found = families(LOW, test, validation)
    assert list(found.scores) == ["elman", "tdnn-dilated"]
    sentence = judge([found])[0].sentence
    assert sentence.endswith(
        "Chosen by validation: elman of the RNNs elman, elman-2; "
        "tdnn-dilated of the TDNNs tdnn, tdnn-dilated."
    )


def test_families_with_a_single_model_say_nothing_of_a_choice():
    test = {"elman": scores(2.0), "tdnn": scores(3.0)}
    assert families(LOW, test, test).note == ""
    assert families(LOW, {"elman": scores(2.0), "jordan": scores(3.0)}, test) is None


def test_the_best_is_the_highest_where_higher_is_better_and_has_no_lost_run():
    found = {"a": scores(0.5, 0.6), "b": scores(0.7, 0.7), "c": scores(0.99, NAN)}
    assert best_of(found, lower_is_better=False) == "b"
    assert best_of(found, lower_is_better=True) == "a"
    assert best_of({"c": found["c"], "d": scores(NAN)}, lower_is_better=False) == "c"


@pytest.mark.parametrize("model", ["elman", "elman-2", "jordan"])
def test_recurrent_models(model):
    assert family_of(model) == "RNN"
    assert family_of(f"tdnn-{model}") == "TDNN"
