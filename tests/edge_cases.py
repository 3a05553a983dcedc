"""All array arguments of each function or model in one dict, all its results in another.

So one test puts the same edge to every argument of every function.
"""

import numpy as np
import pytest
from helpers import contracting

import fastrnn
import tdnn

T, B, P, M, Q = 7, 4, 3, 5, 4
OFFSETS = (-2, 0, 1)
LENGTHS = np.array([4, 0, 7, 5])
PADDING = np.arange(T)[:, None] >= LENGTHS


def body(kind, padding="zero"):
    if kind == "elman":
        return fastrnn.Elman(P, M, dtype=float, rng=1)
    if kind == "stack":
        return fastrnn.Stack([body("tdnn"), fastrnn.Elman(M, 6, dtype=float, rng=1)])
    if kind == "jordan":
        return fastrnn.Jordan(P, M, Q, dtype=float, rng=1)
    if kind == "stack":
        return fastrnn.Stack([body("tdnn"), fastrnn.Elman(M, 6, dtype=float, rng=1)])
    return tdnn.TDNN(P, [(6, (-1, 0, 1)), (M, (-2, 1))], padding=padding, dtype=float, rng=1)


def model_pass(kind, loss, readout):
    model = fastrnn.SequenceModel(body(kind), Q, loss=loss, readout=readout, rng=2)

    def run(a):
        value, gradients = model.loss_and_grad(
            a["x"], a["targets"], lengths=a["lengths"], weights=a["weights"]
        )
        kept = {"lengths": a["lengths"]}
        return {
            "value": value, **gradients, "loss": model.loss(a["x"], a["targets"], **kept),
            "o": model.forward(a["x"], **kept), "yhat": model.predict(a["x"], **kept),
        }  # fmt: skip

    return run


def elman_pass(a):
    past = {"h0": a["h0"], "lengths": a["lengths"], "activation": "relu"}
    state = fastrnn.elman_forward(a["x"], a["U"], a["W"], a["b"], **past)
    grads = fastrnn.elman_backward(
        a["dh"], a["x"], state.h, a["U"], a["W"], dh_last=a["dh_last"], **past
    )
    return state._asdict() | grads._asdict()


def tdnn_pass(a):
    settings = {"lengths": a["lengths"], "padding": "replicate"}
    state = tdnn.tdnn_forward(a["x"], a["taps"], a["b"], a["offsets"], **settings)
    grads = tdnn.tdnn_backward(a["dh"], a["x"], state.h, a["taps"], a["offsets"], **settings)
    return {"h": state.h, "counts": state.lengths} | grads._asdict()


def jordan_pass(a):
    """Every second step is fed its own output, the others what `targets` holds."""
    fed = {key: a[key] for key in ("z0", "lengths", "forced")}
    fed |= {"y": a["targets"], "feedback": "sigmoid"}
    U, W, b, V, c = (a[key] for key in ("U", "back", "b", "V", "c"))
    state = fastrnn.jordan_forward(a["x"], U, W, b, V, c, **fed)
    grads = fastrnn.jordan_backward(a["do"], a["x"], state.h, state.o, U, W, V, **fed)
    return state._asdict() | grads._asdict()


def loss_pass(function):
    return lambda a: function(
        a["o"], a["targets"], lengths=a["lengths"], weights=a["weights"], reduction="mean"
    )._asdict()


PASSES = {
    "elman": elman_pass,
    "tdnn": tdnn_pass,
    "jordan": jordan_pass,
    "softmax": loss_pass(fastrnn.softmax_cross_entropy),
    "sigmoid": loss_pass(fastrnn.sigmoid_cross_entropy),
    "squared": loss_pass(fastrnn.squared_error),
    "elman model": model_pass("elman", "softmax", "each"),
    "elman last": model_pass("elman", "softmax", "last"),
    "jordan model": model_pass("jordan", "softmax", "each"),
    "tdnn model": model_pass("tdnn", "sigmoid", "each"),
    "tdnn mean": model_pass("tdnn", "squared", "mean"),
    "stack model": model_pass("stack", "softmax", "each"),
}
# Arguments that are not called by their public names.
PUBLIC = {"taps": "W", "back": "W"}
# Those whose first axis is none of steps or sequences, whatever its size.
WEIGHTS = ("taps", "V", "c")
CLASSES = ("softmax", "elman model", "elman last", "jordan model", "stack model")
every = pytest.mark.parametrize("name", PASSES)


def arguments(name, lengths=LENGTHS, steps=T, tokens=False):
    """Return the pass's array arguments, drawn at random; those that it does not use too."""
    rng = np.random.default_rng(5)
    n = len(lengths)
    frame = () if name in ("elman last", "tdnn mean") else (steps,)
    targets = rng.uniform(0, 1, (*frame, n, Q))
    return {
        "x": rng.integers(0, P, (steps, n)) if tokens else rng.standard_normal((steps, n, P)),
        "U": rng.standard_normal((M, P)), "W": contracting(rng, M), "b": rng.standard_normal(M),
        "taps": rng.standard_normal((len(OFFSETS), M, P)), "offsets": np.array(OFFSETS),
        "h0": rng.standard_normal((n, M)), "dh": rng.standard_normal((steps, n, M)),
        "dh_last": rng.standard_normal((n, M)), "o": rng.standard_normal((steps, n, Q)),
        "targets": rng.integers(0, Q, (*frame, n)) if name in CLASSES else targets,
        "back": rng.standard_normal((M, Q)) / 4, "V": rng.standard_normal((Q, M)) / 4,
        "c": rng.standard_normal(Q), "z0": rng.standard_normal((n, Q)),
        "do": rng.standard_normal((steps, n, Q)), "forced": np.indices((steps, n))[0] % 2 == 0,
        "weights": rng.integers(1, 5, (*frame, n)) / 2, "lengths": np.array(lengths, int),
    }  # fmt: skip


KINDS = {
    "int": lambda a: a.astype(int),
    "bool": lambda a: a > 0,
    "complex": lambda a: a.astype(complex),
    "object": lambda a: a.astype(object),
    "half": lambda a: a.astype(np.float16),
    "other": lambda a: a.astype(np.float32),
    "text": lambda a: a.astype(str),
    "masked": np.ma.masked_array,
    "none": lambda a: [None] * len(a),
    "structured": lambda a: a.view([("re", float)]),
}


def total(results):
    """Return what has no axis of sequences: the loss and the gradients of parameters."""
    rowwise = ("h", "h_last", "dx", "dh0", "dz0", "do", "o", "z", "yhat", "counts")
    return {key: array for key, array in results.items() if key not in rowwise}
