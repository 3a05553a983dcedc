"""Means, intervals and tests against values known otherwise."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from tdnn.compare.ranks import rank_models
from tdnn.compare.statistics import (
    estimate,
    holm,
    improvement,
    improvement_over_tasks,
    paired_difference,
    paired_test,
)


def scores(*values):
    return dict(enumerate(values))


def test_the_interval_is_scipy_s_bca_with_a_fixed_seed():
    values = [1.0, 2.0, 3.0, 4.0, 7.0]
    found = estimate(values)
    wanted = stats.bootstrap(
        (np.array(values),), np.mean, n_resamples=9_999, method="BCa", vectorized=True,
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (found.mean, found.low, found.high) == (3.4, wanted.low, wanted.high)
    assert found.method == "BCa bootstrap"
    # The same values in another order are the same seeds.
    assert estimate(values[::-1]) == found


def test_the_bootstrap_of_many_values_is_student_s_interval():
    values = np.random.default_rng(1).standard_normal(400)
    found = estimate(list(values))
    half = stats.t.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert estimate([0.0, 1.0, 2.0, 3.0, 100.0], "iqm").mean == 2.0
    assert estimate([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0], "iqm").mean == 3.5
    assert estimate([0.0, 1.0, 5.0], "iqm").mean == 2.0  # of three, a quarter is none


@pytest.mark.parametrize(
    "values, method",
    [
        ([7.0], "one seed"),
        ([7.0, 7.0, 7.0], "all equal"),
        ([0.1 + 0.2, 0.3, 0.3], "all equal"),  # but for rounding
        ([0.0, 0.0], "all equal"),
        ([1.0, 2.0], "Student's t"),
        ([1.0, 1.0, 2.0], "BCa bootstrap"),
    ],
)
def test_few_or_equal_values_say_which_interval_they_have(values, method):
    found = estimate(values)
    assert found.method == method
    if method == "one seed":
        assert (found.low, found.high) == (None, None)
    else:
        assert found.low <= found.mean <= found.high


def test_two_values_have_student_s_interval():
    found = estimate([1.0, 3.0])
    # The 0.975 quantile of Student's t with 1 degree of freedom is 12.7062047.
    assert found.low == pytest.approx(2.0 - 12.7062047, rel=1e-7)
    assert found.high == pytest.approx(2.0 + 12.7062047, rel=1e-7)


def test_where_bca_has_no_answer_the_percentile_bootstrap_stands_in(monkeypatch):
    bootstrap, methods = stats.bootstrap, []

    def without_bca(*args, method, **more):
        methods.append(method)
        found = bootstrap(*args, method="percentile", **more)
        if method == "BCa":
            found.confidence_interval = found.confidence_interval._replace(low=math.nan)
        return found

    monkeypatch.setattr(stats, "bootstrap", without_bca)
    found = estimate([1.0, 2.0, 3.0])
    assert methods == ["BCa", "percentile"]
    assert found.method == "percentile bootstrap" and found.low == 1.0


def test_differences_are_taken_seed_by_seed():
    found = paired_difference({0: 1.0, 1: 2.0, 7: 9.0}, {1: 1.5, 0: 0.5, 3: 4.0})
    assert (found.mean, found.low, found.high, found.seeds) == (0.5, 0.5, 0.5, 2)


def test_exchanging_the_two_changes_signs_only():
    a, b = scores(1.0, 2.0, 4.0, 3.0, 2.5), scores(1.5, 2.2, 3.0, 3.3, 2.9)
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert (one.mean, one.low, one.high) == (-other.mean, -other.high, -other.low)


def test_no_common_seed_is_an_error():
    with pytest.raises(ValueError, match="at least one common seed"):
        paired_difference({0: 1.0}, {1: 1.0})


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_sign_flip_test_is_exact(seeds):
    a = np.random.default_rng(seeds).standard_normal(seeds) + 0.7
    found = paired_test(scores(*a), scores(*np.zeros(seeds)))
    flips = [abs(np.mean(a * signs)) for signs in itertools.product((1, -1), repeat=seeds)]
    assert found.sign_flip == pytest.approx(np.mean(np.array(flips) >= abs(a.mean()) - 1e-12))
    assert found.t == pytest.approx(stats.ttest_1samp(a, 0.0).pvalue)
    assert found.least == 2 / 2**seeds <= found.sign_flip


def test_few_seeds_bound_the_sign_flip_p_value_from_below():
    for seeds in (3, 4, 5, 6):
        found = paired_test(scores(*np.arange(seeds) + 100.0), scores(*np.zeros(seeds)))
        assert found.sign_flip == found.least == 2 / 2**seeds


def test_equal_differences_need_no_test():
    assert paired_test(scores(1.0, 1.0, 1.0), scores(1.0, 1.0, 1.0)).t == 1.0
    assert paired_test(scores(2.0, 2.0, 2.0), scores(1.0, 1.0, 1.0)).t == 0.0


def test_holm_s_adjustment():
    # The example of Holm's procedure: sorted p times 4, 3, 2, 1, never falling, never above 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == [0.03, 0.06, 0.06, 0.02]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_probability_of_improvement_is_mann_whitney_s():
    a, b = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 4.0]
    u = stats.mannwhitneyu(a, b).statistic
    assert improvement(a, b, lower_is_better=False) == u / 12
    assert improvement(a, b, lower_is_better=True) == pytest.approx(1 - u / 12)
    assert improvement([1.0], [1.0], lower_is_better=True) == 0.5


def test_improvement_over_tasks_is_the_mean_and_sure_where_runs_never_overlap():
    apart = ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2])
    found = improvement_over_tasks([(*apart, True), (*apart, False)])
    assert (found.mean, found.low, found.high, found.seeds) == (0.5, 0.5, 0.5, 3)
    mixed = improvement_over_tasks([([1.0, 3.0, 2.0], [2.0, 2.5, 1.5], True), (*apart, True)])
    assert mixed.low < mixed.mean < mixed.high <= 1.0


def table(rows):
    """Scores of tasks from a list of rows, one for each task, models a, b, c."""
    return {f"t{n}": dict(zip("abc", row, strict=True)) for n, row in enumerate(rows)}


def test_ranks_are_friedman_s_and_nemenyi_s():
    rows = [(1, 2, 3), (1, 3, 2), (1, 2, 3), (2, 1, 3), (1, 2, 3), (1, 2, 3), (1, 3, 2), (1, 2, 3)]
    found = rank_models(table(rows), dict.fromkeys(table(rows), True))
    assert found.models == ("a", "b", "c")
    assert found.ranks == (9 / 8, 17 / 8, 22 / 8)
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*zip(*rows, strict=True)).pvalue)
    # Demsar (2006), table 5: q at 5 % is 2.343 for three models.
    assert found.critical_difference == pytest.approx(2.343 * math.sqrt(12 / 48), rel=1e-3)
    assert found.together == ((0, 1), (1, 2))


def test_ranks_turn_round_where_higher_is_better_and_ties_share():
    rows = [(3, 2, 2)] * 7
    found = rank_models(table(rows), dict.fromkeys(table(rows), False))
    assert found.models == ("a", "b", "c") and found.ranks == (1.0, 2.5, 2.5)


def test_without_a_difference_one_bar_joins_all_models():
    rows = [(1, 2, 3), (2, 3, 1), (3, 1, 2)] * 2
    found = rank_models(table(rows), dict.fromkeys(table(rows), True))
    assert found.p_value == pytest.approx(1.0) and found.together == ((0, 2),)


@pytest.mark.parametrize("tasks, models", [(5, "abc"), (6, "ab"), (0, "")])
def test_too_few_tasks_or_models_are_not_ranked(tasks, models):
    few = {f"t{n}": dict.fromkeys(models, 1.0) for n in range(tasks)}
    with pytest.raises(ValueError, match="at least 6 tasks and 3 models"):
        rank_models(few, dict.fromkeys(few, True))
