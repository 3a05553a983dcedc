"""What is measured of a network: speeds of known shapes, memory counted by hand."""

import numpy as np
import pytest

import fastrnn
from tdnn import TDNN
from tdnn.compare.measure import (
    LENGTHS,
    latency,
    lengthened,
    rates_over_length,
    stored_bytes,
    throughput,
)  # fmt: skip
from tdnn.compare.models import build_model
from tdnn.compare.tasks import AddingTask, Batch, CharTask

T, B, p, m, q = 12, 3, 5, 7, 2


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((T, B, p), np.float32)
    return Batch(x, rng.integers(0, q, (T, B)), np.array([12, 4, 7]))


def test_an_elman_network_stores_its_states_and_outputs(batch):
    model = fastrnn.SequenceModel(fastrnn.Elman(p, m, rng=0), q, rng=0)
    whole = batch._replace(lengths=None)
    found = stored_bytes(model, whole, 1)
    # h (T, B, m) and the outputs' gradient (T, B, q) in float32; the rest is h_last and lengths.
    assert 0 <= found - 4 * T * B * (m + q) <= 4 * B * m + 8 * B + 64
    long = Batch(np.tile(batch.x, (10, 1, 1)), np.tile(batch.targets, (10, 1)))
    assert stored_bytes(model, long, 1) - found == 4 * 9 * T * B * (m + q)


def test_a_time_delay_network_stores_all_its_layers(batch):
    body = TDNN(p, [(m, (-1, 0)), (2 * m, (-2, 0))], padding="causal", rng=0)
    model = fastrnn.SequenceModel(body, q, rng=0)
    short = stored_bytes(model, batch._replace(lengths=None), 1)
    long = Batch(np.tile(batch.x, (2, 1, 1)), np.tile(batch.targets, (2, 1)))
    assert stored_bytes(model, long, 1) - short == 4 * T * B * (m + 2 * m + q)


def test_a_jordan_network_stores_states_and_outputs():
    body = fastrnn.Jordan(p, m, q, rng=0)
    model = fastrnn.SequenceModel(body)
    rng = np.random.default_rng(0)

    def bytes_of(steps):
        x = rng.standard_normal((steps, B, p), np.float32)
        return stored_bytes(model, Batch(x, rng.integers(0, q, (steps, B))), 1)

    per_step = (bytes_of(2 * T) - bytes_of(T)) / (T * B)
    assert 4 * (m + q) <= per_step <= 4 * (m + 3 * q) + 8


def test_a_longer_sequence_is_the_longest_row_again(batch):
    each = lengthened(CharTask, batch, 30)
    assert each.x.shape == (30, 1, p) and each.targets.shape == (30, 1)
    assert np.array_equal(each.x[12:24, 0], batch.x[:, 0])
    last = lengthened(AddingTask, batch._replace(targets=np.ones((B, 1), np.float32)), 8)
    assert last.x.shape == (8, 1, p) and last.targets.shape == (1, 1)


@pytest.mark.parametrize("name", ["elman", "tdnn"])
@pytest.mark.parametrize("make", [lambda: AddingTask(10), CharTask])
def test_speeds_are_of_the_lengths_said(name, make):
    task = make()
    model, batch = build_model(name, task, 6_000, seed=0), next(task.batches(0, 0, 1))
    rows = rates_over_length(model, task, batch, 1)
    assert [(row["length"], row["batch"]) for row in rows] == [(length, 1) for length in LENGTHS]
    for row in [*rows, throughput(model, batch, 1)]:
        assert row["forward"] > row["forward_backward"] > 0
    found = latency(model, batch)
    assert 0 < found["median"] <= found["p95"] < 1


def test_a_clock_that_stands_still_counts_repetitions(monkeypatch):
    calls = []
    monkeypatch.setattr("time.perf_counter", lambda: float(len(calls)))
    from tdnn.compare.measure import REPETITIONS, _seconds

    monkeypatch.setattr("tdnn.compare.measure.ENOUGH_SECONDS", 1e9)
    assert _seconds(lambda: calls.append(None)) == 1.0
    assert len(calls) == REPETITIONS + 1
    calls.clear()
    monkeypatch.setattr("tdnn.compare.measure.ENOUGH_SECONDS", 0.0)
    _seconds(lambda: calls.append(None))
    assert len(calls) == 4
