"""Training by chunks: `fit` with truncation against a loop in NumPy, interrupted and resumed."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits
from truncation_by_hand import M, P, Q, chunk_by_reference, draw, edges, make_model

import fastrnn
from fastrnn.checkpoint import load_arrays
from fastrnn.optimizers import SGD, Adam
from fastrnn.training_state import _with_arrays, _without_arrays

# Training: the last batch has a chunk in which no step counts, and more padding behind it.
TRUNCATION = (3, 5)


def batches():
    data = []
    for seed in range(3):
        x, targets, more = draw(90 + seed, 13, 4)
        data.append((x, targets, more["lengths"], more["weights"], more["resets"]))
    data[-1][2][:] = [0, 8, 7, 5]
    data[-1][3][3:6] = 0
    return data


def train_by_reference(model, epochs, rate):
    """Return the mean loss and the number of updates of each epoch; the model is trained."""
    rows = []
    for _ in range(epochs):
        losses = []
        for x, targets, lengths, weights, resets in batches():
            home = np.zeros((4, M))
            states, origin = [home], 0
            for window in edges(13, *TRUNCATION):
                shares = np.where(np.arange(13)[:, None] < lengths, weights, 0)
                shares[: window[1]], shares[window[2] :] = 0, 0
                counts = shares.any()
                shares /= shares.sum() or 1
                start = states[window[0] - origin]
                value, grads, states = chunk_by_reference(
                    model, x, targets, window, start, home, shares, lengths, resets
                )
                origin = window[0]
                if counts:
                    losses.append(value)
                    for name, w in model.parameters().items():
                        w -= rate * grads[name]
        rows.append((len(losses), np.mean(losses)))
    return rows


def without_times(history):
    return [row | {"seconds": 0} for row in history.rows]


def test_training_equals_the_definition_in_numpy():
    model, want = make_model(), make_model()
    history = fastrnn.fit(
        model, batches(), optimizer=SGD(0.2), epochs=2, truncation=TRUNCATION,
        validation=batches(), progress=False,
    )  # fmt: skip
    rows = train_by_reference(want, 2, 0.2)
    assert [row["steps"] for row in history.rows] == [n for n, _ in rows] == [12, 12]
    for row, (_, loss) in zip(history.rows, rows, strict=True):
        assert row["loss"] == pytest.approx(loss, rel=1e-12)
    assert_close(model.parameters(), want.parameters(), 1e-12)


def test_one_chunk_trains_as_no_truncation_does():
    models, told = [], []
    for truncation in (None, (13, 13)):
        models.append(make_model())
        history = fastrnn.fit(
            models[-1], batches(), optimizer=Adam(0.05), epochs=3, clip_norm=0.1,
            truncation=truncation,
        )  # fmt: skip
        told.append(without_times(history))
    assert told[0] == told[1]
    assert_same_bits(models[0].parameters(), models[1].parameters())


def test_each_update_is_clipped_by_itself():
    model = make_model()
    before = {name: w.copy() for name, w in model.parameters().items()}
    data = batches()[0]
    fastrnn.fit(model, data, optimizer=SGD(1.0), epochs=1, clip_norm=1e-3, truncation=(13, 13))
    once = np.sqrt(sum(np.sum((w - before[n]) ** 2) for n, w in model.parameters().items()))
    assert once == pytest.approx(1e-3, rel=1e-9)
    fastrnn.fit(model, data, optimizer=SGD(1.0), epochs=1, clip_norm=1e-3, truncation=(5, 5))
    twice = np.sqrt(sum(np.sum((w - before[n]) ** 2) for n, w in model.parameters().items()))
    assert 2e-3 < twice <= 4e-3


def test_no_update_where_no_step_counts():
    model, (x, targets, lengths, *_) = make_model(), batches()[0]
    before = {name: w.copy() for name, w in model.parameters().items()}
    history = fastrnn.fit(
        model, [(x, targets, lengths, np.zeros((13, 4)))], optimizer=SGD(0.1), epochs=1,
        truncation=TRUNCATION, clip_norm=1.0,
    )  # fmt: skip
    assert history.rows[0]["steps"] == 0 and history.rows[0]["loss"] == 0
    assert_same_bits(model.parameters(), before)


class Interrupted(fastrnn.Elman):
    """Raises KeyboardInterrupt at the n-th backward pass, as if Ctrl-C had come there."""

    at = 0

    def backward(self, dh, state, **keywords):
        self.at -= 1
        if self.at == 0:
            raise KeyboardInterrupt
        return super().backward(dh, state, **keywords)


@pytest.mark.parametrize("at", [1, 2, 7, 12, 15, 24])
def test_a_resumed_run_has_the_same_bits(tmp_path, at):
    """It goes on within a batch, with the state that its window begins with."""
    whole, path = make_model(), tmp_path / "state.npz"
    expected = fastrnn.fit(whole, batches(), optimizer=Adam(0.05), epochs=2, truncation=TRUNCATION)
    body = Interrupted(P, M, dtype=float, rng=1)
    body.at = at
    settings = {"epochs": 2, "checkpoint": path, "resume": True, "truncation": TRUNCATION}
    broken = fastrnn.SequenceModel(body, Q, rng=2)
    history = fastrnn.fit(broken, batches(), optimizer=Adam(0.05), **settings)
    assert history.interrupted
    position = load_arrays(path)[1]["position"]
    assert 12 * position["epoch"] + position["updates"] == at - 1
    model = make_model(seed=7)
    history = fastrnn.fit(model, batches(), optimizer=Adam(0.05), **settings)
    assert without_times(history) == without_times(expected)
    assert_same_bits(model.parameters(), whole.parameters())


def test_a_checkpoint_within_a_batch_belongs_to_its_truncation_and_data(tmp_path):
    body = Interrupted(P, M, dtype=float, rng=1)
    body.at = 3
    settings = {"epochs": 1, "checkpoint": tmp_path / "state.npz", "resume": True}
    model, data = fastrnn.SequenceModel(body, Q, rng=2), batches()
    fastrnn.fit(model, data, optimizer=SGD(0.1), truncation=TRUNCATION, **settings)
    for truncation in (None, (2, 5)):
        with pytest.raises(ValueError, match=r"^checkpoint, truncation: expected \[3, 5\] to the"):
            fastrnn.fit(model, data, optimizer=SGD(0.1), truncation=truncation, **settings)
    x, targets, *_ = data[0]
    with pytest.raises(ValueError, match="^data: expected the batch that was interrupted after"):
        fastrnn.fit(model, [(x[:5], targets[:5])], optimizer=SGD(0.1), truncation=TRUNCATION,
                    **settings)  # fmt: skip


def test_a_bad_gradient_is_told_with_its_chunk():
    x, targets, *_ = batches()[0]
    x[7] = np.inf
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(FloatingPointError, match=r"in epoch 1, batch 1, chunk 3"),
    ):
        fastrnn.fit(make_model(), (x, targets), optimizer=SGD(0.1), epochs=1, truncation=(3, 3))


def test_what_is_carried_goes_through_a_file_whatever_its_form():
    carried = {"h0": (np.ones(2), None, (np.zeros(1),)), "h_reset": np.arange(3)}
    arrays = {}
    form = _without_arrays(carried, "carried/", arrays)
    assert len(arrays) == 3 and form["h0"][1] is None
    back = _with_arrays(form, arrays)
    assert back["h0"][0] is carried["h0"][0] and back["h0"][2][0] is carried["h0"][2][0]
    assert back["h_reset"] is carried["h_reset"] and back["h0"][1] is None
