"""The builders: matched sizes, enough context, known initial values, what is said of them."""

from types import SimpleNamespace

import numpy as np
import pytest

import fastrnn
import tdnn
from tdnn.compare.defaults import DEFAULTS
from tdnn.compare.errors import ComparisonError
from tdnn.compare.models import MODELS, applicable, build_model, describe, fit_size
from tdnn.compare.settings import WITH_DATA, Settings
from tdnn.compare.tasks import AddingTask, CharTask


def stand_in(name, loss, readout, tokens, input_size, output_size, context):
    """What builders look at of a task."""
    return SimpleNamespace(**locals())


TASKS = {
    "char": CharTask(),
    "adding": AddingTask(50),
    "adding-600": AddingTask(600),
    "rolls": stand_in("rolls", "sigmoid", "each", False, 88, 88, 16),
    "copying": stand_in("copying", "softmax", "each", True, 10, 10, 111),
    "sequences": stand_in("sequences", "softmax", "mean", False, 12, 9, 64),
}
each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
PAIRS = [
    pytest.param(name, task, id=f"{name}-{key}")
    for name in MODELS
    for key, task in TASKS.items()
    if applicable(name, task) is None
]
each_pair = pytest.mark.parametrize(("name", "task"), PAIRS)


def size_of(model):
    return sum(array.size for array in model.parameters().values())


def able(task):
    return [name for name in MODELS if applicable(name, task) is None]


def test_which_model_can_do_which_task():
    assert list(MODELS) == ["elman", "elman-2", "jordan", "tdnn", "tdnn-dilated"]
    assert able(TASKS["char"]) == able(TASKS["rolls"]) == list(MODELS)
    assert able(TASKS["adding"]) == able(TASKS["sequences"]) == [m for m in MODELS if m != "jordan"]
    with pytest.raises(ComparisonError, match="--models: jordan cannot do adding: a network that"):
        build_model("jordan", TASKS["adding"], 10_000, 0)


@pytest.mark.parametrize("budget", [8_000, 12_345, 35_000, 100_000, 300_000])
@each_task
def test_the_models_of_a_task_match_in_size(task, budget):
    families = [MODELS[name] for name in able(task)]
    sizes = [family.count(task, fit_size(family, task, budget)) for family in families]
    assert max(sizes) / min(sizes) < 1.05
    assert all(0.975 * budget <= size <= 1.02 * budget for size in sizes)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", [name for name in DEFAULTS if name not in WITH_DATA])
def test_the_default_budgets_can_be_met_and_are_matched(name, quick):
    plan = Settings(tasks=(name,), quick=quick).plans()[0]
    sizes = [size_of(build_model(m, plan.task, plan.budget, 0)) for m in able(plan.task)]
    assert max(sizes) / min(sizes) < 1.05


@each_pair
def test_the_count_is_the_model_s(name, task):
    family = MODELS[name]
    model = build_model(name, task, 10_000, seed=0)
    assert size_of(model) == family.count(task, fit_size(family, task, 10_000))
    assert describe(model)["parameters"] == size_of(model)
    assert (model.readout, model.loss_kind) == (task.readout, task.loss)
    assert model.body.input_size == task.input_size and model.output_size == task.output_size


@each_pair
def test_no_other_size_comes_closer_to_the_budget(name, task):
    """Also beyond the place where a projection falls away, and the count with it."""
    family, budget = MODELS[name], 20_000
    size = fit_size(family, task, budget)
    distance = abs(family.count(task, size) - budget)
    for other in range(family.smallest(task), 2 * size):
        assert abs(family.count(task, other) - budget) >= distance


def test_a_budget_beyond_the_size_that_needs_no_projection():
    """With 88 units a first block adds its 88 inputs as they are: fewer parameters than with 87."""
    task, family = TASKS["rolls"], MODELS["tdnn-dilated"]
    blocks = len(build_model("tdnn-dilated", task, 10_000, 0).body.projections)
    without = family.count(task, 2 * blocks * 88)
    assert without < family.count(task, 2 * blocks * 88 - 1)
    model = build_model("tdnn-dilated", task, without, 0)
    assert size_of(model) == without and model.body.projections == [None] * blocks
    assert size_of(build_model("tdnn-dilated", task, 300_000, 0)) == pytest.approx(3e5, rel=0.02)


@each_task
@pytest.mark.parametrize("name", ["tdnn", "tdnn-dilated"])
def test_a_tdnn_sees_the_context_and_nothing_of_the_future(name, task):
    body = build_model(name, task, 20_000, seed=0).body
    assert body.receptive_field >= task.context
    assert body.right_context == 0


def test_receptive_fields():
    fields = {
        name: describe(build_model(name, TASKS["char"], 35_000, seed=0))["receptive_field"]
        for name in MODELS
    }
    bounded = {"tdnn": 32, "tdnn-dilated": 61}
    assert fields == {"elman": None, "elman-2": None, "jordan": None, **bounded}
    assert build_model("tdnn-dilated", TASKS["copying"], 10_000, 0).body.receptive_field == 211


@each_pair
def test_multiply_adds_are_counted_in_the_products(name, task):
    """One for each weight and step; of token ids, one column of each first matrix."""
    model = build_model(name, task, 10_000, seed=0)
    layers = model.body.bodies if model.body.kind == "stack" else [model.body]
    weights = [a for layer in layers for a in layer.parameters().values() if a.ndim > 1]
    total = sum(a.size for a in weights) + (0 if name == "jordan" else model.V.size)
    assert describe(model)["multiply_adds"] == total
    lowest = layers[0].parameters()
    gathered = sum(lowest[key].size for key in ("U", "W0", "R0") if key in lowest)
    assert describe(model, tokens=True)["multiply_adds"] == (
        total - gathered + gathered // task.input_size
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_fixes_the_initial_values(name):
    one, same, other = (
        build_model(name, TASKS["char"], 10_000, seed).parameters() for seed in (1, 1, 2)
    )
    for key in one:
        assert np.array_equal(one[key], same[key])
    assert not np.array_equal(one["V"], other["V"])


def test_the_recurrent_networks_start_as_the_report_says():
    for name in ("elman", "elman-2"):
        for task in ("adding", "char", "sequences"):
            model = build_model(name, TASKS[task], 10_000, seed=0)
            for layer in model.body.bodies if name == "elman-2" else [model.body]:
                assert layer.activation == ("relu" if task == "adding" else "tanh")
                wanted = layer.W if task == "adding" else layer.W.astype(float) @ layer.W.T
                np.testing.assert_allclose(wanted, np.eye(layer.hidden_size), atol=1e-5)
            said = "W the identity" if task == "adding" else "W orthogonal"
            assert said in describe(model)["description"]


@pytest.mark.parametrize("name", ["tdnn", "tdnn-dilated"])
@each_task
def test_deep_networks_start_with_frames_of_the_size_of_their_inputs(name, task):
    model = build_model(name, task, 35_000, seed=0)
    rng = np.random.default_rng(0)
    if task.tokens:
        x = rng.integers(0, task.input_size, (150, 8))
    else:
        x = rng.standard_normal((150, 8, task.input_size)).astype(np.float32)
    h = model.body.forward(x).h[100:]
    assert 0.2 < np.sqrt(np.mean(h**2)) < 3


def test_the_jordan_network_is_fed_what_the_loss_asks_for():
    for task, feedback in (("char", "softmax"), ("rolls", "sigmoid")):
        body = build_model("jordan", TASKS[task], 10_000, 0).body
        assert (body.feedback, body.teacher_forcing) == (feedback, 1.0)
    squared = stand_in("values", "squared", "each", False, 3, 2, 5)
    assert build_model("jordan", squared, 5_000, 0).body.feedback == "identity"


def test_dropout_has_its_place_in_each_family():
    task, given = TASKS["char"], {"dropout": 0.25, "same_mask": True}
    for name in able(task):
        if name == "jordan":
            with pytest.raises(ComparisonError, match="^dropout: jordan has none, got 0.25"):
                build_model(name, task, 10_000, 0, **given)
            continue
        model, plain = (build_model(name, task, 10_000, 0, **more) for more in (given, {}))
        within = isinstance(model.body, fastrnn.Stack | tdnn.ResidualTDNN)
        assert within == (name != "elman")
        assert not within or (model.body.dropout, model.body.same_mask) == (0.25, True)
        assert model.dropout == (0 if name == "tdnn-dilated" else 0.25)
        said = describe(model)
        assert said["description"].endswith("; dropout 0.25, one mask for all steps")
        said["description"] = said["description"].partition("; dropout")[0]
        assert said == describe(plain)
        assert plain.sampling() == {} and model.sampling()


def test_a_tdnn_with_dropout_is_the_one_without_but_for_it():
    task = TASKS["char"]
    model, plain = (build_model("tdnn", task, 10_000, 0, dropout=p) for p in (0.5, 0.0))
    for ours, theirs in zip(
        model.parameters().values(), plain.parameters().values(), strict=True
    ):  # in one order, but for the names
        assert ours.shape == theirs.shape
        ours[...] = theirs
    x = np.random.default_rng(0).integers(0, task.input_size, (40, 2))
    np.testing.assert_array_equal(model.predict(x), plain.predict(x))


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
