"""The builders: matched sizes, enough context, known initial values."""

import numpy as np
import pytest

from tdnn.compare.errors import ComparisonError
from tdnn.compare.models import MODELS, build_model, describe, fit_size
from tdnn.compare.settings import DEFAULTS, Settings
from tdnn.compare.tasks import AddingTask, CharTask

TASKS = {"char": CharTask(), "adding": AddingTask(50), "adding-600": AddingTask(600)}


def size_of(model):
    return sum(array.size for array in model.parameters().values())


@pytest.mark.parametrize("budget", [8_000, 12_345, 35_000, 100_000])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_models_of_a_task_match_in_size(task, budget):
    sizes = [size_of(build_model(name, task, budget, seed=0)) for name in MODELS]
    assert max(sizes) / min(sizes) < 1.05
    assert all(0.975 * budget <= size <= 1.02 * budget for size in sizes)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_budgets_can_be_met_and_are_matched(name, quick):
    plan = Settings(tasks=(name,), quick=quick).plans()[0]
    sizes = [size_of(build_model(model, plan.task, plan.budget, 0)) for model in MODELS]
    assert max(sizes) / min(sizes) < 1.05


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("name", MODELS)
def test_the_count_is_the_model_s(name, task):
    family = MODELS[name]
    model = build_model(name, task, 20_000, seed=0)
    assert size_of(model) == family.count(task, fit_size(family, task, 20_000))
    assert describe(model)["parameters"] == size_of(model)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("name", MODELS)
def test_no_other_size_comes_closer_to_the_budget(name, task):
    family, budget = MODELS[name], 20_000
    size = fit_size(family, task, budget)
    distance = abs(family.count(task, size) - budget)
    for other in (size - 1, size + 1):
        assert abs(family.count(task, other) - budget) >= distance


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_tdnn_sees_the_context_and_nothing_of_the_future(task):
    body = build_model("tdnn", task, 20_000, seed=0).body
    assert body.receptive_field >= task.context
    assert body.right_context == 0
    assert describe(build_model("elman", task, 20_000, seed=0))["receptive_field"] is None


def test_the_receptive_field_for_text_is_32():
    assert build_model("tdnn", TASKS["char"], 35_000, seed=0).body.receptive_field == 32


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_fixes_the_initial_values(name):
    one, same, other = (
        build_model(name, TASKS["char"], 10_000, seed).parameters() for seed in (1, 1, 2)
    )
    for key in one:
        assert np.array_equal(one[key], same[key])
    assert not np.array_equal(one["V"], other["V"])


def test_the_elman_network_starts_as_the_report_says():
    model = build_model("elman", TASKS["adding"], 10_000, seed=0)
    assert model.body.activation == "relu"
    assert np.array_equal(model.body.W, np.eye(model.body.hidden_size))
    model = build_model("elman", TASKS["char"], 10_000, seed=0)
    W = model.body.W.astype(float)
    assert model.body.activation == "tanh"
    np.testing.assert_allclose(W @ W.T, np.eye(len(W)), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("budget", [1, 300])
def test_a_budget_that_cannot_be_met_is_refused_with_one_that_can(name, budget):
    task = TASKS["char"]
    with pytest.raises(ComparisonError, match=f"--budget: {budget} parameters") as caught:
        fit_size(MODELS[name], task, budget)
    possible = int(caught.value.hint.split()[1])
    assert possible > budget
    for family in MODELS.values():
        assert fit_size(family, task, possible) >= 1
