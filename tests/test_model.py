"""SequenceModel: gradients against the chain of reference functions, readouts, bits."""

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    FUNCTIONS,
    LOSSES,
    assert_close,
    assert_same_bits,
    error,
    make_case,
)

import fastrnn
import tdnn
import tdnn.reference
from fastrnn import reference

READOUTS = ("each", "last", "mean")


class ElmanChain:
    """The Elman network of a model, by the reference."""

    def __init__(self, body):
        self.body = body

    def forward(self, x, lengths):
        self.x, self.lengths = x, lengths
        U, W, b = self.body.parameters().values()
        self.h = reference.elman_forward(x, U, W, b, None, lengths, self.body.activation).h
        return self.h, lengths

    def backward(self, dh):
        U, W, _ = self.body.parameters().values()
        grads = reference.elman_backward(
            dh, self.x, self.h, U, W, None, None, self.lengths, self.body.activation
        )
        return {"U": grads.dU, "W": grads.dW, "b": grads.db}


class TDNNChain:
    """The TDNN of a model, by the reference."""

    def __init__(self, body):
        self.body = body

    def forward(self, x, lengths):
        self.layers = []
        for index, (W, b) in enumerate(zip(self.body.weights, self.body.biases, strict=True)):
            settings = (self.body.activation, self.body.padding, self.body.strides[index])
            offsets = self.body.offsets[index]
            state = tdnn.reference.tdnn_forward(x, W, b, offsets, lengths, *settings)
            self.layers.append((x, state.h, W, offsets, lengths, *settings))
            x, lengths = state
        return x, lengths

    def backward(self, dh):
        grads = {}
        for index in reversed(range(len(self.layers))):
            dh, grads[f"W{index}"], grads[f"b{index}"] = tdnn.reference.tdnn_backward(
                dh, *self.layers[index]
            )
        return grads


def reference_loss_and_grad(model, x, targets, lengths, weights):
    """Return the mean loss and its gradients, frame by frame from the reference functions."""
    chain = (ElmanChain if model.body.kind == "elman" else TDNNChain)(model.body)
    h, counts = chain.forward(x, lengths)
    B, m = h.shape[1:]
    start, stride = model.body.frames()
    # One entry per prediction: sequence, {frame: its share in what is seen}, step of the target.
    entries = []
    for b in range(B):
        n = counts[b]
        if model.readout == "each":
            times = [start + i * stride for i in range(n)]
            entries += [(b, {i: 1.0}, t) for i, t in enumerate(times) if 0 <= t < lengths[b]]
        elif n > 0 and model.readout == "last":
            entries.append((b, {n - 1: 1.0}, None))
        elif n > 0:
            entries.append((b, dict.fromkeys(range(n), 1 / n), None))
    value, divisor, dh = 0.0, 0.0, np.zeros_like(h)
    dV, dc = np.zeros_like(model.V), np.zeros_like(model.c)
    function = getattr(reference, FUNCTIONS[model.loss_kind])
    for b, frames, t in entries:
        at = (t, b) if t is not None else b
        w = 1.0 if weights is None else weights[at]
        seen = sum(share * h[i, b] for i, share in frames.items())
        o = model.c + model.V @ seen
        loss, do = function(o[None, None], targets[at][None, None])
        value, divisor = value + w * loss, divisor + w
        dV += w * np.outer(do, seen)
        dc += w * do[0, 0]
        for i, share in frames.items():
            dh[i, b] += w * share * model.V.T @ do[0, 0]
    scale = 1 / divisor if divisor else 0.0
    grads = {**chain.backward(dh), "V": dV, "c": dc}
    return value * scale, {name: scale * grad for name, grad in grads.items()}, divisor


def draw(model, seed, T, B, q, tokens):
    """Return x, targets, lengths and weights that fit the model."""
    case = make_case(seed, T, B, 4, 1, q, tokens=tokens)
    x, lengths, targets, weights = case.x, case.lengths, case.targets[model.loss_kind], case.weights
    if model.readout != "each":
        case = make_case(seed + 1, 1, B, 4, 1, q)
        targets, weights = case.targets[model.loss_kind][0], case.weights[0]
    return x, targets, lengths, weights


def hold_to_reference(model, x, targets, lengths, weights):
    value, grads = model.loss_and_grad(x, targets, lengths=lengths, weights=weights)
    want_value, want, divisor = reference_loss_and_grad(model, x, targets, lengths, weights)
    assert error(value, want_value) <= 1e-12
    assert_close(grads, want, 1e-12)
    total, sums = model.loss_and_grad(
        x, targets, lengths=lengths, weights=weights, reduction="sum", threads=2
    )
    assert error(total, divisor * want_value) <= 1e-12
    assert_close(sums, {name: divisor * grad for name, grad in want.items()}, 1e-12)
    assert model.loss(x, targets, lengths=lengths, weights=weights) == value
    assert list(grads) == list(model.parameters())


@pytest.mark.parametrize("tokens", [False, True], ids=["floats", "tokens"])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_elman_gradients_against_the_chain_of_references(loss, readout, tokens):
    for seed, activation in enumerate(ACTIVATIONS):
        body = fastrnn.Elman(4, 7, activation=activation, dtype=np.float64, rng=seed)
        body.W *= 0.8
        model = fastrnn.SequenceModel(body, 5, loss=loss, readout=readout, rng=seed)
        x, targets, lengths, weights = draw(model, 100 + seed, 6, 5, 5, tokens)
        hold_to_reference(model, x, targets, lengths, weights)
        hold_to_reference(model, x, targets, lengths, None)


# Layers whose frames do not stand at the input's steps; the last three look to one side only, so
# that with padding "valid" frames stand before the sequence or after it.
BODIES = [
    [(6, (-1, 0, 2)), (5, (-2, 1))],
    [(6, (-1, 0, 1), 2), (5, (0, 1), 3)],
    [(6, (1, 3))],
    [(6, (-4, -2))],
    [(6, (2, 3), 2)],
]


@pytest.mark.parametrize("tokens", [False, True], ids=["floats", "tokens"])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("padding", ["valid", "zero", "replicate"])
@pytest.mark.parametrize("layers", BODIES, ids=str)
def test_tdnn_gradients_against_the_chain_of_references(layers, padding, readout, tokens):
    for loss in ("softmax", "squared"):
        body = tdnn.TDNN(4, layers, padding=padding, activation="tanh", dtype=np.float64, rng=0)
        model = fastrnn.SequenceModel(body, 5, loss=loss, readout=readout, rng=0)
        for T in (11, 2, 0):
            x, targets, lengths, weights = draw(model, 110 + T, T, 6, 5, tokens)
            hold_to_reference(model, x, targets, lengths, weights)


def test_one_sided_windows_move_frames_out_of_the_sequence():
    ahead = tdnn.TDNN(4, [(6, (1, 3))], padding="valid")
    behind = tdnn.TDNN(4, [(6, (-4, -2))], padding="valid")
    assert (ahead.frames(), behind.frames()) == ((-1, 1), (4, 1))


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_predict_is_the_loss_function_of_forward(loss, readout):
    body = fastrnn.Elman(4, 7, dtype=np.float64, rng=0)
    model = fastrnn.SequenceModel(body, 5, loss=loss, readout=readout, rng=0)
    x, _, lengths, _ = draw(model, 120, 6, 5, 5, False)
    o, got = model.forward(x, lengths=lengths), model.predict(x, lengths=lengths)
    o, got = (o, got) if readout == "each" else (o[None], got[None])
    seen = lengths if readout == "each" else (lengths > 0).astype(int)
    want = {"softmax": reference.softmax, "sigmoid": reference.sigmoid}.get(loss)
    assert error(got, o if want is None else want(o, seen)) <= 1e-14
    padding = np.arange(len(o))[:, None] >= seen
    assert padding.any() and not o[padding].any() and not got[padding].any()


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["elman", "tdnn"])
def test_padding_and_threads_change_no_bit(kind, loss, readout):
    body = fastrnn.Elman(4, 7, rng=0)
    if kind == "tdnn":
        body = tdnn.TDNN(4, [(7, (-1, 0, 2), 2)], padding="valid", rng=0)
    model = fastrnn.SequenceModel(body, 5, loss=loss, readout=readout, rng=0)
    x, targets, lengths, weights = draw(model, 121, 9, 6, 5, False)
    x = x.astype(np.float32)
    targets = targets if loss == "softmax" else targets.astype(np.float32)
    value, grads = model.loss_and_grad(x, targets, lengths=lengths, weights=weights, threads=1)
    bad_x, bad_targets, bad_weights = x.copy(), targets.copy(), weights.copy()
    padding = np.arange(9)[:, None] >= lengths
    bad_x[padding] = np.nan
    unread = padding if readout == "each" else lengths == 0
    bad_targets[unread] = -1 if loss == "softmax" else np.nan
    bad_weights[unread] = np.nan
    for threads in (1, 2, 3):
        got_value, got = model.loss_and_grad(
            bad_x, bad_targets, lengths=lengths, weights=bad_weights, threads=threads
        )
        assert got_value == value
        assert_same_bits(got, grads)
