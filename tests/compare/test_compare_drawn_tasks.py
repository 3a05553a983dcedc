"""Tasks drawn from a rule: copy, parity, delayed echo, and how answers are counted."""

import numpy as np
import pytest

import fastrnn
from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks import AddingTask, CopyTask, DelayedEchoTask, ParityTask, mean_loss
from tdnn.compare.tasks.base import Batch, split, valid_steps


class Oracle:
    """Answers every batch with logits made by a rule, and nothing else: no targets are passed."""

    def __init__(self, rule):
        self.rule = rule

    def forward(self, x, *, lengths=None, threads=None):
        return self.rule(x).astype(np.float32)


def one_hot(answers, classes):
    return 20.0 * np.eye(classes)[answers]


def recall(task, lag):
    """Copies what stood `lag` steps before, in the last ten steps."""

    def rule(x):
        answers = np.zeros_like(x)
        answers[-10:] = x[len(x) - 10 - lag : len(x) - lag]
        return one_hot(answers, 10)

    return Oracle(rule)


DRAWN = [CopyTask(20), ParityTask(64), DelayedEchoTask(12)]


@pytest.mark.parametrize("task", DRAWN, ids=lambda task: task.name)
def test_batches_depend_on_seed_and_epoch_alone(task):
    first, again = (list(task.batches(3, 2, 2)) for _ in range(2))
    assert all(np.array_equal(one.x, other.x) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(next(task.batches(4, 2, 1)).x, first[0].x)
    assert not np.array_equal(next(task.batches(3, 1, 1)).x, first[0].x)
    assert not np.array_equal(first[0].x, first[1].x)
    assert np.array_equal(list(task.batches(3, 2, 5))[1].x, first[1].x)


@pytest.mark.parametrize("task", [*DRAWN, AddingTask(20)], ids=lambda task: task.name)
def test_fixed_sets_are_fixed_whole_and_different(task):
    again = type(task)(task.length)
    for one, other in ((task.validation(), again.validation()), (task.test(), again.test())):
        assert sum(batch.x.shape[1] for batch in one) == 1000
        assert all(np.array_equal(a.x, b.x) for a, b in zip(one, other, strict=True))
    assert not np.array_equal(task.test()[0].x, task.validation()[0].x)
    assert task.key == f"{task.name}-{task.length}"
    assert task.options()["length"] == task.length


@pytest.mark.parametrize(
    "make, length, least", [(CopyTask, 0, 1), (ParityTask, 63, 64), (DelayedEchoTask, -3, 8)]
)
def test_too_short_a_length_is_refused_by_name(make, length, least):
    with pytest.raises(ComparisonError, match=f"at least {least} steps for {make.name}, got"):
        make(length)


def test_copy_is_as_published():
    batch = next(CopyTask(7, batch_size=500).batches(0, 0, 1))
    assert batch.x.shape == batch.targets.shape == (27, 500)
    assert set(np.unique(batch.x[:10])) == set(range(1, 9))
    assert not batch.x[10:16].any()  # T - 1 blanks
    assert (batch.x[16:] == 9).all() and len(batch.x[16:]) == 11
    assert not batch.targets[:17].any()
    assert np.array_equal(batch.targets[17:], batch.x[:10])
    counts = np.bincount(batch.x[:10].ravel(), minlength=9)[1:] / 5000
    assert np.abs(counts - 1 / 8).max() < 0.02


def test_copy_counts_the_ten_copies_and_needs_as_much_memory_as_it_says():
    task = CopyTask(30)
    found = task.evaluate(recall(task, task.memory - 1), task.test())
    assert found.score == 1.0
    assert found.by_lag == [(n, 1.0) for n in range(1, 11)]
    assert found.loss < 1e-6
    assert found.more["loss per step"] == found.loss
    # One frame less: the first symbol is read for the second, and so on.
    wrong = task.evaluate(recall(task, task.memory - 2), task.test())
    assert wrong.score == pytest.approx(1 / 8, abs=0.03)


def test_copy_without_memory_is_at_its_floors():
    task = CopyTask(50)

    def forgetful(x):
        logits = one_hot(np.zeros_like(x), 10)
        logits[-10:] = 0.0
        logits[-10:, :, [0, 9]] = -30.0
        return logits

    found = task.evaluate(Oracle(forgetful), task.test())
    (floor,) = task.references()
    assert floor.value == 1 / 8
    assert found.loss == pytest.approx(10 * np.log(8) / 70, rel=1e-5)
    assert found.more["loss without memory"] == pytest.approx(10 * np.log(8) / 70)
    assert found.score == pytest.approx(1 / 8, abs=0.02)
    assert CopyTask(1000).loss_without_memory == pytest.approx(0.0204, abs=5e-5)  # as published


def test_parity_is_a_running_exclusive_or():
    batch = next(ParityTask(64, batch_size=400).batches(0, 0, 1))
    assert np.array_equal(batch.targets, np.cumsum(batch.x, axis=0) % 2)
    assert abs(batch.x.mean() - 0.5) < 0.01


@pytest.mark.parametrize("window", [16, 32, 64])
def test_a_bounded_view_knows_the_parity_of_no_more_than_it_sees(window):
    task = ParityTask(64)

    def windowed(x):
        sums = np.cumsum(x, axis=0)
        sums[window:] -= np.cumsum(x, axis=0)[:-window]
        return one_hot(sums % 2, 2)

    found = task.evaluate(Oracle(windowed), task.test())
    accuracy = dict(found.by_lag)
    assert [accuracy[step] for step in range(1, window + 1)] == [1.0] * window
    if window == 64:
        assert found.score == 1.0
    else:
        assert found.score == pytest.approx(task.references()[0].value, abs=0.02)
    assert task.context < 32  # so the second half lies beyond what a bounded view is given


def test_echo_asks_for_every_delay_that_reaches_an_input():
    task = DelayedEchoTask(12, batch_size=300)
    batch = next(task.batches(0, 0, 1))
    assert task.delays == [1, 2, 4, 8, 12]
    assert batch.x.shape == (24, 300, 1) and set(np.unique(batch.x)) == {-1.0, 1.0}
    for index, delay in enumerate(task.delays):
        assert np.array_equal(
            batch.targets[12:, :, index] > 0, batch.x[12 - delay : -delay, :, 0] > 0
        )
    assert not batch.weights[:12].any() and (batch.weights[12:] == 1).all()
    assert task.predictions(batch) == 12 * 300
    assert DelayedEchoTask(16).delays == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("seen", [3, 9, 13])
def test_echo_tells_the_delays_within_a_window_from_those_beyond(seen):
    task = DelayedEchoTask(12)

    def windowed(x):
        o = np.zeros((*x.shape[:2], 5))
        for index, delay in enumerate(task.delays):
            if delay < seen:
                o[delay:, :, index] = 20.0 * x[:-delay, :, 0]
            else:
                o[:, :, index] = 1.0
        return o

    found = task.evaluate(Oracle(windowed), task.test())
    for delay, accuracy in found.by_lag:
        assert accuracy == 1.0 if delay < seen else abs(accuracy - 0.5) < 0.02
    assert found.score == found.by_lag[-1][1]
    assert (found.loss < 1e-4) == (seen == task.memory)


@pytest.mark.parametrize("task", DRAWN, ids=lambda task: task.name)
def test_outputs_that_are_no_numbers_score_nothing(task):
    found = task.evaluate(
        Oracle(lambda x: np.full((*x.shape[:2], task.output_size), np.nan)), task.test()
    )
    assert np.isnan(found.score)
    assert found.by_lag is None


def test_the_mean_loss_counts_weights_and_lengths():
    task = DelayedEchoTask(8, batch_size=6)
    model = fastrnn.SequenceModel(fastrnn.Elman(1, 5, rng=0), 4, loss="sigmoid", rng=1)
    whole = next(task.batches(0, 0, 1))
    o = model.forward(whole.x)
    cost = (np.logaddexp(0, o) - whole.targets * o).sum(axis=2)
    lengths = np.array([16, 9, 12, 16, 10, 8])
    weights = np.random.default_rng(0).random((16, 6), np.float32)
    valid = np.arange(16)[:, None] < lengths
    for batch, expected in (
        (whole, cost[8:].mean()),
        (whole._replace(lengths=lengths, weights=None), cost[valid].mean()),
        (
            whole._replace(lengths=lengths, weights=weights),
            (cost * weights)[valid].sum() / weights[valid].sum(),
        ),
    ):
        assert mean_loss(model, task, [batch]) == pytest.approx(expected, rel=1e-5)


def test_the_echo_s_loss_is_the_mean_loss():
    task = DelayedEchoTask(8)
    model = fastrnn.SequenceModel(fastrnn.Elman(1, 5, rng=0), 4, loss="sigmoid", rng=1)
    found = task.evaluate(model, task.test())
    assert found.loss == pytest.approx(mean_loss(model, task, task.test()), rel=1e-6)


@pytest.mark.parametrize("readout", ["each", "last"])
def test_a_set_is_split_into_batches_that_hold_all_its_rows(readout, monkeypatch):
    monkeypatch.setattr("tdnn.compare.tasks.base.STEPS_AT_ONCE", 20)
    x = np.arange(5 * 9).reshape(5, 9)
    each = readout == "each"
    batch = Batch(x, x if each else x[0], np.arange(9) % 5, x * 2.0 if each else x[0] * 2.0)
    parts = split(batch, readout)
    assert [part.x.shape[1] for part in parts] == [4, 4, 1]
    axis = 1 if each else 0
    for name, along in (("x", 1), ("targets", axis), ("lengths", 0), ("weights", axis)):
        joined = np.concatenate([getattr(part, name) for part in parts], axis=along)
        assert np.array_equal(joined, getattr(batch, name))
    assert valid_steps(batch).sum() == batch.lengths.sum()
    assert valid_steps(batch._replace(lengths=None)).all()
