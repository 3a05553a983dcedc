"""Gradient flow: against Jacobians multiplied out; bounds hold; nothing beyond the field."""

import builtins

import numpy as np
import pytest
from stacks import elman, make, time_delay

import fastrnn

pd = pytest.importorskip("pandas")

T, B, P, M, Q = 12, 4, 3, 5, 4
LENGTHS = np.array([12, 0, 9, 5])
X = np.random.default_rng(0).standard_normal((T, B, P))
CLASSES = np.random.default_rng(1).integers(0, Q, (T, B))
COLUMNS = ["lag", "norm", "state_norm", "bound", "spectral", "in_field", "count"]


def model_of(body, readout="each"):
    return fastrnn.SequenceModel(body, Q, readout=readout, rng=0)


def jacobian_norms(model, b, t, weight=1.0):
    """Return |dL/dx| and |dL/dh| over the lag from step t of sequence b, by products of Jacobians.

    dL/dh(s) = (J(s+1) ... J(t))^T dL/dh(t) with J(s) = diag(1 - h(s)^2) W.
    """
    U, W, _ = model.body.parameters().values()
    h = model.body.forward(X[:, b : b + 1]).h[:, 0]
    o = model.c + model.V @ h[t]
    do = np.exp(o - o.max()) / np.exp(o - o.max()).sum() - (np.arange(Q) == CLASSES[t, b])
    inputs, states, product = [], [], np.eye(M)
    for s in range(t, -1, -1):
        d_h = weight * product.T @ (model.V.T @ do)
        slopes = np.diag(1 - h[s] ** 2)
        states.append(np.linalg.norm(d_h))
        inputs.append(np.linalg.norm(U.T @ slopes @ d_h))
        product = product @ slopes @ W
    return inputs, states


def mean_over_pairs(model, pairs, weights=None):
    norms = [
        jacobian_norms(model, b, t, 1.0 if weights is None else weights[t, b]) for b, t in pairs
    ]
    lags = range(max(len(inputs) for inputs, _ in norms))
    return [
        [np.mean([norm[kind][lag] for norm in norms if len(norm[kind]) > lag]) for lag in lags]
        for kind in (0, 1)
    ]


@pytest.mark.parametrize("readout", ["each", "last"])
def test_elman_against_products_of_jacobians(readout):
    model = model_of(elman(P, M), readout)
    last = np.maximum(LENGTHS - 1, 0)
    targets = CLASSES if readout == "each" else CLASSES[last, np.arange(B)]
    flow = fastrnn.gradient_flow(model, X, targets, lengths=LENGTHS)
    inputs, states = mean_over_pairs(model, [(0, 11), (2, 8), (3, 4)])
    assert list(flow.columns) == COLUMNS
    np.testing.assert_allclose(flow["norm"], inputs, rtol=1e-12)
    np.testing.assert_allclose(flow["state_norm"], states, rtol=1e-12)
    assert flow["lag"].tolist() == list(range(T)) and flow["in_field"].all()
    assert flow["count"].tolist() == [3] * 5 + [2] * 4 + [1] * 3


def test_several_steps_and_weights():
    model, weights = model_of(elman(P, M)), np.full((T, B), 2.0)
    weights[[3, 4], 3] = 0, 0  # of sequence 3, with 5 steps, the last two do not count
    flow = fastrnn.gradient_flow(model, X, CLASSES, lengths=LENGTHS, weights=weights, steps=4)
    pairs = [(0, 11), (0, 8), (0, 5), (0, 2), (2, 8), (2, 6), (2, 4), (2, 2)]
    pairs += [(3, 2), (3, 1), (3, 0)]  # three steps, each once
    inputs, states = mean_over_pairs(model, pairs, weights)
    np.testing.assert_allclose(flow["norm"], inputs, rtol=1e-12)
    np.testing.assert_allclose(flow["state_norm"], states, rtol=1e-12)
    assert flow["count"][0] == len(pairs)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
def test_bounds(activation):
    body = elman(P, M, activation=activation)
    body.W[...] = 1.3 * np.random.default_rng(2).standard_normal((M, M)) / np.sqrt(M)
    flow = fastrnn.gradient_flow(model_of(body), X, CLASSES, lengths=LENGTHS, steps=3)
    assert (flow["state_norm"] <= flow["bound"] * (1 + 1e-12)).all()
    slope = 0.25 if activation == "sigmoid" else 1.0
    radius = slope * np.abs(np.linalg.eigvals(body.W)).max()
    largest = slope * np.linalg.svd(body.W)[1][0]
    first, growth = flow["bound"][0], (largest / radius) ** flow["lag"]
    assert flow["state_norm"][0] == pytest.approx(first, rel=1e-12)
    np.testing.assert_allclose(flow["bound"], flow["spectral"] * growth, rtol=1e-9)
    whole = flow[flow["count"] == flow["count"][0]]  # the same sequences at all these lags
    np.testing.assert_allclose(whole["bound"], first * largest ** whole["lag"], rtol=1e-9)


def test_the_bound_is_met_where_nothing_saturates_and_all_directions_are_alike():
    body = elman(P, M, activation="identity")
    body.W[...] = 0.5 * np.eye(M)
    flow = fastrnn.gradient_flow(model_of(body), X, CLASSES)
    for name in ("bound", "spectral"):
        np.testing.assert_allclose(flow["state_norm"], flow[name], rtol=1e-12)


@pytest.mark.parametrize("padding", ["zero", "replicate", "valid"])
def test_exactly_nothing_beyond_the_receptive_field(padding):
    body = time_delay([(6, (-2, 0, 1)), (M, (-1, 0))], padding=padding)
    flow = fastrnn.gradient_flow(model_of(body), X, CLASSES, steps=12)
    assert flow["lag"].min() == -1 and flow["lag"].max() >= T - 2
    inside = (flow["lag"] >= -1) & (flow["lag"] <= 3)
    assert (flow["in_field"] == inside).all()
    assert (flow["norm"][inside] > 0).all()
    if padding != "replicate":  # where a sequence's first frame stands for those before it too
        assert (flow["norm"][~inside] == 0.0).all() and (~inside).any()
    assert flow[["state_norm", "bound", "spectral"]].isna().all(axis=None)


def test_over_a_stride_states_are_those_of_the_layer_above():
    body = make("elman over strided tdnn")
    flow = fastrnn.gradient_flow(model_of(body), X, CLASSES)
    between = flow["lag"] % 3 != 0
    assert flow["state_norm"][between].isna().all()
    states = flow[~between & (flow["lag"] >= 0)]
    assert (states["state_norm"] <= states["bound"] * (1 + 1e-12)).all()
    lower = body.bodies[0].forward(X).h
    alone = model_of(body.bodies[1])
    want = fastrnn.gradient_flow(alone, lower, CLASSES[::3])
    np.testing.assert_allclose(states["state_norm"], want["state_norm"], rtol=1e-12)
    np.testing.assert_allclose(states["bound"], want["bound"], rtol=1e-12)


def test_token_ids_are_one_hot_frames_and_float32_is_widened():
    ids = np.random.default_rng(3).integers(0, P, (T, B))
    model = model_of(elman(P, M)).astype("float32")
    padded = np.where(np.arange(T)[:, None] < LENGTHS, ids, -100)
    got = fastrnn.gradient_flow(model, padded, CLASSES, lengths=LENGTHS)
    want = fastrnn.gradient_flow(model.astype(float), np.eye(P)[ids], CLASSES, lengths=LENGTHS)
    pd.testing.assert_frame_equal(got, want)
    assert model.dtype == np.float32


def test_small_numbers_are_trustworthy():
    """Far below what float32 holds."""
    body = elman(1, 1, activation="identity")
    body.W[...], body.U[...] = 1e-3, 1
    x, targets = np.zeros((100, 1, 1)), np.zeros((100, 1), int)
    flow = fastrnn.gradient_flow(model_of(body), x, targets)
    np.testing.assert_allclose(flow["norm"], flow["norm"][0] * 1e-3 ** flow["lag"], rtol=1e-10)
    body.W[...] = 1e3
    grown = fastrnn.gradient_flow(model_of(body), np.zeros((120, 1, 1)), np.zeros((120, 1), int))
    assert np.isinf(grown["bound"].iloc[-1])  # told, not warned of


def test_jordan_and_readout_mean():
    fed = fastrnn.SequenceModel(fastrnn.Jordan(P, M, Q, dtype=float, rng=0))
    flow = fastrnn.gradient_flow(fed, X, CLASSES, lengths=LENGTHS)
    assert flow["norm"][0] > 0 and (flow["norm"][1:] == 0).all()  # it remembers nothing else
    fed.body.teacher_forcing = 0
    assert (fastrnn.gradient_flow(fed, X, CLASSES, lengths=LENGTHS)["norm"] > 0).all()
    flow = fastrnn.gradient_flow(model_of(elman(P, M), "mean"), X, CLASSES[0], lengths=LENGTHS)
    assert (flow["norm"] > 0).all() and flow[["bound", "spectral"]].isna().all(axis=None)


@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0)])
def test_without_steps_or_sequences(steps, batch):
    for body in (elman(P, M), make("elman over strided tdnn"), make("tdnn over strided tdnn")):
        flow = fastrnn.gradient_flow(model_of(body), X[:steps, :batch], CLASSES[:steps, :batch])
        assert list(flow.columns) == COLUMNS and len(flow) == 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": elman()}, TypeError, "model: expected a SequenceModel, got Elman"),
        ({"model": None}, TypeError, "model: expected a SequenceModel, got NoneType"),
        ({"x": X.astype("f4")}, TypeError, "x: expected float64, got float32"),
        ({"x": X[..., :2]}, ValueError, "input_size, x: expected x of shape"),
        ({"x": CLASSES + 3}, ValueError, "x: expected integers from 0 to 2"),
        ({"targets": CLASSES + Q}, ValueError, "targets: expected integers from 0 to 3"),
        ({"targets": CLASSES[1:]}, ValueError, "x, targets: expected targets of shape"),
        ({"lengths": [13, 1, 1, 1]}, ValueError, "lengths: expected values from 0 to T = 12"),
        ({"weights": [1, 2]}, ValueError, "weights: expected an array of shape"),
        ({"weights": np.ones((T, 1))}, ValueError, "x, weights: expected weights of shape"),
        ({"steps": 0}, ValueError, "steps: expected an integer >= 1, got 0"),
        ({"steps": 1.0}, TypeError, "steps: expected an integer >= 1, got 1.0"),
        ({"threads": 0}, ValueError, "threads: expected an integer >= 1, got 0"),
    ],
)
def test_wrong_calls(changes, error, message):
    call = {"model": model_of(elman(P, M)), "x": X, "targets": CLASSES} | changes
    with pytest.raises(error, match=f"^{message}"):
        fastrnn.gradient_flow(**call)


def test_one_loss_has_one_step():
    with pytest.raises(ValueError, match="^steps: expected 1 with the readout 'last', got 2"):
        fastrnn.gradient_flow(model_of(elman(P, M), "last"), X, CLASSES[0], steps=2)


def test_without_pandas(monkeypatch):
    plain = builtins.__import__

    def missing(name, *arguments, **keywords):
        if name == "pandas":
            raise ImportError(name)
        return plain(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'pandas package: pip install "fastrnn\[report\]"$'):
        fastrnn.gradient_flow(model_of(elman(P, M)), X, CLASSES)
