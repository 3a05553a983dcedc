"""Dropout: what is left out and when, exact gradients, and draws that a resumed run repeats."""

import copy
import pickle

import numpy as np
import pytest
from helpers import assert_same_bits, error
from stacks import elman, make

import fastrnn
import tdnn
from fastrnn.dropout import Dropout

T, B, P, Q = 9, 4, 3, 3
LENGTHS = np.array([9, 0, 5, 1])


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, B, P)), rng.integers(0, Q, (T, B))


def deep(dropout=0.4, rng=0, **settings):
    return fastrnn.Stack([elman(m=6), elman(6)], dropout=dropout, rng=rng, **settings)


MODELS = {
    "stack": lambda: fastrnn.SequenceModel(deep(), Q, rng=0),
    "stack, same mask": lambda: fastrnn.SequenceModel(deep(same_mask=True), Q, rng=0),
    "output": lambda: fastrnn.SequenceModel(elman(), Q, dropout=0.3, rng=0),
    "output of the last": lambda: fastrnn.SequenceModel(
        elman(), Q, dropout=0.3, same_mask=True, readout="last", rng=0
    ),
    "both": lambda: fastrnn.SequenceModel(deep(), Q, dropout=0.3, rng=0),
    "residual": lambda: fastrnn.SequenceModel(
        tdnn.ResidualTDNN(P, [5, 5], dropout=0.4, dtype=np.float64, rng=0), Q, rng=0
    ),
    "residual in a stack": lambda: fastrnn.SequenceModel(
        fastrnn.Stack([tdnn.ResidualTDNN(P, [5], dropout=0.4, dtype=float, rng=0), elman(5)]),
        Q, rng=0,
    ),
    "below Jordan": lambda: fastrnn.SequenceModel(
        fastrnn.Stack(
            [elman(m=6), fastrnn.Jordan(6, 5, Q, teacher_forcing=0.5, dtype=float, rng=0)],
            dropout=0.4, rng=0,
        )
    ),
}  # fmt: skip
each_model = pytest.mark.parametrize("name", MODELS)


def batch(model, seed=0):
    x, y = data(seed)
    return x, y if model.readout == "each" else y[-1]


# The masks


def test_share_and_size_of_what_is_kept():
    factors = Dropout(0.3, False, np.random.default_rng(0)).factors((50, 20, 30), np.float32)
    assert factors.dtype == np.float32 and factors.shape == (50, 20, 30)
    assert set(np.unique(factors)) == {0, np.float32(1 / 0.7)}
    kept = (factors > 0).mean()
    assert abs(kept - 0.7) < 4 * np.sqrt(0.21 / factors.size)
    steps = factors.reshape(50, -1)
    assert len({row.tobytes() for row in steps}) == 50  # no two steps have the same


def test_one_mask_for_all_steps():
    factors = Dropout(0.5, True, np.random.default_rng(0)).factors((50, 20, 30), np.float64)
    assert factors.shape == (1, 20, 30) and 0.4 < (factors > 0).mean() < 0.6
    assert Dropout(0.5, True, np.random.default_rng(0)).factors((0, 2, 3), float).shape == (0, 2, 3)


def test_nothing_is_drawn_without_dropout():
    source = Dropout(0.0, False, np.random.default_rng(0))
    before = source.generator.bit_generator.state
    assert source.factors((2, 3, 4), np.float32) is None
    assert source.generator.bit_generator.state == before and source.sampling() == {}


# Where it acts


@each_model
def test_only_training_leaves_out_and_draws(name):
    model = MODELS[name]()
    x, y = batch(model)
    model_without = copy.deepcopy(model)
    before = model.sampling()
    forced = {"forced": True} if name == "below Jordan" else {}
    value, gradients = model.loss_and_grad(x, y, **forced)
    assert value == model.loss(x, y) == model_without.loss(x, y)
    model.predict(x)
    assert model.sampling() == before
    first, _ = model.loss_and_grad(x, y, training=True, **forced)
    second, _ = model.loss_and_grad(x, y, training=True, **forced)
    assert len({value, first, second}) == 3 and model.sampling() != before
    model.restore_sampling(before)
    again, repeated = model.loss_and_grad(x, y, training=True, **forced)
    assert again == first and any((repeated[key] != gradients[key]).any() for key in gradients)


@each_model
def test_gradients_through_a_fixed_mask_are_exact(name):
    """Differences of fourth order of the loss, the same masks drawn for each."""
    model = MODELS[name]()
    x, y = batch(model, 5)
    state, rng = model.sampling(), np.random.default_rng(1)
    given = {"lengths": LENGTHS, "training": True}
    given |= {"forced": True} if name == "below Jordan" else {}

    def value():
        model.restore_sampling(state)
        return model.loss_and_grad(x, y, **given)[0]

    model.restore_sampling(state)
    _, gradients = model.loss_and_grad(x, y, **given)
    for key, array in model.parameters().items():
        direction, original = rng.standard_normal(array.shape), array.copy()
        losses = []
        for step in (2, 1, -1, -2):
            array[...] = original + step * 1e-4 * direction
            losses.append(value())
        array[...] = original
        slope = (8 * (losses[1] - losses[2]) - (losses[0] - losses[3])) / 12e-4
        assert slope == pytest.approx((gradients[key] * direction).sum(), rel=1e-7, abs=1e-9), key


def test_a_stack_multiplies_the_frames_between_its_bodies():
    stack = deep(0.5)
    x, _ = data()
    trace = stack.forward(x, lengths=LENGTHS, training=True)
    low = stack.bodies[0].forward(x, lengths=LENGTHS)
    high = stack.bodies[1].forward(low.h * trace.factors[0], lengths=LENGTHS)
    np.testing.assert_array_equal(trace.h, high.h)
    dh = np.random.default_rng(3).standard_normal(trace.h.shape)
    upper = stack.bodies[1].backward(dh, high)
    lower = stack.bodies[0].backward(upper.dx * trace.factors[0], low)
    got = stack.backward(dh, trace)
    np.testing.assert_array_equal(got["0.W"], lower["W"])
    np.testing.assert_array_equal(got.dx, lower.dx)


def test_the_output_layer_sees_the_frames_with_units_left_out():
    model = MODELS["output"]()
    x, y = data()
    state = model.sampling()
    value, gradients = model.loss_and_grad(x, y, training=True, reduction="sum")
    model.restore_sampling(state)
    h = model.body.forward(x).h
    factors = model._dropout.factors(h.shape, h.dtype)
    o = (h * factors) @ model.V.T + model.c
    wanted, do = fastrnn.softmax_cross_entropy(o, y)
    assert value == pytest.approx(wanted, rel=1e-13)
    dV = np.einsum("tbq,tbm->qm", do, h * factors)
    assert error(gradients["V"], dV) <= 1e-13


@pytest.mark.parametrize("name", ["stack", "output", "both", "below Jordan"])
def test_one_window_over_all_steps_is_training_without_truncation(name):
    model = MODELS[name]()
    x, y = data()
    forced = {"forced": True} if name == "below Jordan" else {}
    state, results = model.sampling(), []
    for truncation in (None, (T, T)):
        model.restore_sampling(state)
        results.append(model.loss_and_grad(x, y, training=True, truncation=truncation, **forced))
    assert results[0][0] == results[1][0]
    assert_same_bits(results[0][1], results[1][1])
    chunked, _ = model.loss_and_grad(x, y, training=True, truncation=(4, 4), **forced)
    assert chunked not in (results[0][0], model.loss(x, y))


# Training


def trained(model, tmp_path=None, interrupt=None, truncation=None, resume=False):
    """Train for two epochs of three batches; stop at one of them, if wanted."""
    count = 0

    def batches(epoch):
        nonlocal count
        for i in range(3):
            count += 1
            if count == interrupt:
                raise KeyboardInterrupt
            yield (*batch(model, 10 * epoch + i), LENGTHS)

    return fastrnn.fit(
        model, batches, optimizer=fastrnn.Adam(0.02), epochs=2, validation=[batch(model, 99)],
        truncation=truncation, resume=resume, progress=False,
        checkpoint=None if tmp_path is None else tmp_path / "state.npz",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "truncation"),
    [("residual", None)]
    + [(n, t) for n in ("both", "stack, same mask", "below Jordan") for t in (None, (4, 6))],
)
def test_a_resumed_run_draws_as_one_that_was_never_stopped(tmp_path, name, truncation):
    whole, broken, model = MODELS[name](), MODELS[name](), MODELS[name]()
    expected = trained(whole, truncation=truncation)
    assert trained(broken, tmp_path, 5, truncation).interrupted
    batch_of = batch(model)
    model.loss_and_grad(*batch_of, training=True)  # draws that the resumed run must not miss
    history = trained(model, tmp_path, None, truncation, resume=True)
    assert [r["loss"] for r in history.rows] == [r["loss"] for r in expected.rows]
    assert [r["validation"] for r in history.rows] == [r["validation"] for r in expected.rows]
    assert_same_bits(model.parameters(), whole.parameters())
    assert model.sampling() == whole.sampling()


def test_fit_trains_with_dropout_and_validates_without():
    model = MODELS["both"]()
    untouched = copy.deepcopy(model)
    x, y = data()
    history = fastrnn.fit(
        model, (x, y), optimizer=fastrnn.SGD(0.0), epochs=2, validation=(x, y), progress=False
    )
    first, second = history.rows
    assert first["validation"] == second["validation"] == untouched.loss(x, y)
    assert first["loss"] == untouched.loss_and_grad(x, y, training=True)[0] != second["loss"]


# Files, copies, errors


@each_model
def test_files_and_copies_draw_on(tmp_path, name):
    model = MODELS[name]()
    x, y = batch(model)
    model.loss_and_grad(x, y, training=True)
    model.save(tmp_path / "model.npz")
    want = copy.deepcopy(model).loss_and_grad(x, y, training=True)
    for other in (fastrnn.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert repr(other) == repr(model) and other.config() == model.config()
        value, gradients = other.loss_and_grad(x, y, training=True)
        assert value == want[0]
        assert_same_bits(gradients, want[1])


def test_settings_are_seen_but_not_assigned_to():
    model = fastrnn.SequenceModel(deep(0.25, same_mask=True), Q, dropout=0.5, rng=0)
    assert (model.dropout, model.same_mask) == (0.5, False)
    assert (model.body.dropout, model.body.same_mask) == (0.25, True)
    assert repr(model).endswith("dropout=0.5, same_mask=False)")
    assert "dropout=0.25, same_mask=True" in repr(model.body)
    for owner in (model, model.body):
        with pytest.raises(AttributeError):
            owner.dropout = 0.1
    assert model.astype("f4").dropout == 0.5 and model.astype("f4").body.dropout == 0.25
    plain = fastrnn.SequenceModel(make("elman over elman"), Q, rng=0)
    assert plain.sampling() == {} and "dropout" not in repr(plain)
    assert "dropout" not in str(plain.config())


def test_a_state_of_another_kind_changes_nothing():
    model = MODELS["both"]()
    before = model.sampling()
    for bad in (
        {"body": before["body"]},
        {**before, "dropout": {"generator": 1}},
        {**before, "body": {"dropout": {}}},
        {"dropout": before["dropout"], "body": {"0": {}}},
    ):
        with pytest.raises(ValueError, match="^state: expected what sampling returned, got"):
            model.restore_sampling(bad)
        assert model.sampling() == before


def test_bad_arguments():
    body, x, y = elman(), *data()
    jordan = fastrnn.Jordan(P, 4, Q, dtype=float, rng=0)
    for call, error_kind, message in [
        (
            lambda: fastrnn.SequenceModel(body, Q, dropout=1),
            ValueError,
            "dropout: expected 0 <= va",
        ),
        (lambda: fastrnn.SequenceModel(body, Q, dropout=-0.1), ValueError, "dropout: expected 0"),
        (
            lambda: fastrnn.SequenceModel(body, Q, dropout=True),
            TypeError,
            "dropout: expected a num",
        ),
        (lambda: fastrnn.SequenceModel(body, Q, same_mask="yes"), TypeError, "same_mask: expected"),
        (
            lambda: fastrnn.SequenceModel(jordan, dropout=0.1),
            ValueError,
            "dropout: expected 0 with",
        ),
        (lambda: fastrnn.Stack([body], dropout=0.1), ValueError, "dropout: expected 0 with a sin"),
        (lambda: deep(dropout=np.nan), ValueError, "dropout: expected 0 <= value < 1, got nan"),
        (lambda: deep(rng=-1), ValueError, "rng: expected"),
        (lambda: deep().forward(x, training=None), TypeError, "training: expected True or False"),
        (
            lambda: fastrnn.SequenceModel(body, Q).loss_and_grad(x, y, training=1),
            TypeError,
            "training: expected True or False, got 1",
        ),
    ]:
        with pytest.raises(error_kind, match="^" + message):
            call()
