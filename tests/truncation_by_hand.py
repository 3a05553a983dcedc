"""Truncated back-propagation by the definition of MATH.md section 5, in NumPy; models and data."""

import numpy as np
from helpers import FUNCTIONS, random_lengths

import fastrnn
from fastrnn import reference

P, M, Q = 3, 6, 4


def make_model(loss="softmax", dtype=float, seed=1):
    return fastrnn.SequenceModel(fastrnn.Elman(P, M, dtype=dtype, rng=seed), Q, loss=loss, rng=2)


def draw(seed, T, B, loss="softmax", dtype=float, tokens=False):
    """Return x, targets and all that may be given beside them."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, P, (T, B)) if tokens else rng.standard_normal((T, B, P)).astype(dtype)
    classes, values = rng.integers(0, Q, (T, B)), rng.uniform(0, 1, (T, B, Q)).astype(dtype)
    more = {
        "lengths": random_lengths(rng, T, B),
        "weights": rng.uniform(0.5, 2.0, (T, B)),
        "resets": rng.random((T, B)) < 0.2,
    }
    return x, classes if loss == "softmax" else values, more


def edges(T, k1, k2):
    """Return (begin, start, end) of the windows, as MATH.md section 5 says."""
    return [
        (max(0, min(s + k1, T) - k2), s, min(s + k1, T)) for s in range(0, max(T, 1), k1)
    ]  # fmt: skip


def chunk_by_reference(model, x, targets, window, start, home, shares, lengths, resets):
    """Return a chunk's loss, its gradients and the window's states h(begin), h(begin + 1), ..."""
    begin, first, end = window
    body, cut = model.body, slice(begin, end)
    starts = np.concatenate((start, home))
    inner, seen = np.clip(lengths - begin, 0, end - begin), np.clip(lengths - first, 0, end - first)
    h = reference.elman_forward(
        x[cut], body.U, body.W, body.b, starts, inner, resets=resets[cut]
    ).h  # fmt: skip
    o = reference.linear_forward(h[first - begin :], model.V, model.c, seen)
    function = getattr(reference, FUNCTIONS[model.loss_kind])
    loss = function(o, targets[first:end], seen, shares[first:end])
    output = reference.linear_backward(loss.do, h[first - begin :], model.V, seen)
    dh = np.zeros_like(h)
    dh[first - begin :] = output.dh
    grads = reference.elman_backward(
        dh, x[cut], h, body.U, body.W, starts, None, inner, resets=resets[cut]
    )
    states = [start]
    for t in range(end - begin):
        states.append(np.where((t < inner)[:, None], h[t], states[-1]))
    named = {"U": grads.dU, "W": grads.dW, "b": grads.db, "V": output.dV, "c": output.dc}
    return loss.value, named, states
