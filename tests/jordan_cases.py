"""Random cases of output-to-hidden networks, and their passes on both floors."""

from types import SimpleNamespace

import numpy as np
from helpers import random_lengths

import fastrnn
from fastrnn import reference

FEEDBACKS = ("softmax", "sigmoid", "identity", "argmax", "sample")
DIFFERENTIABLE = FEEDBACKS[:3]
# Which steps are fed targets, and of which kind these are.
TEACHING = ("free", "classes", "values", "some classes", "some values")
FED = ("y", "z0", "lengths", "forced", "resets")


def make_case(
    seed, T, B, p, m, q, *, dtype=np.float64, tokens=False, teaching="free", resets=True,
    ragged=True,
):  # fmt: skip
    """Return the random arguments of one pass forward and back; V W contracts."""
    rng = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(dtype)

    y = rng.integers(0, q, (T, B)) if "classes" in teaching else normal(T, B, q)
    return SimpleNamespace(
        x=rng.integers(0, p, (T, B)) if tokens else normal(T, B, p),
        U=normal(m, p, scale=1 / np.sqrt(p)),
        W=normal(m, q, scale=0.7 / np.sqrt(max(m, q))),
        b=normal(m, scale=0.5),
        V=normal(q, m, scale=0.7 / np.sqrt(max(m, q))),
        c=normal(q, scale=0.5),
        z0=normal(B, q),
        y=None if teaching == "free" else y,
        forced=rng.random((T, B)) < 0.5 if teaching.startswith("some") else None,
        resets=rng.random((T, B)) < 0.2 if resets else None,
        lengths=random_lengths(rng, T, B) if ragged else None,
        do=normal(T, B, q),
        rng=int(rng.integers(1000)),
    )


def draws(case):
    """Return the numbers that `jordan_forward` draws for the case."""
    return np.random.default_rng(case.rng).random(case.x.shape[:2])


def reference_forward(case, activation="tanh", feedback="softmax"):
    """Return h, o, z from the reference, in the arrays' own type."""
    s = case
    return reference.jordan_forward(
        s.x, s.U, s.W, s.b, s.V, s.c, s.y, s.z0, s.lengths, activation, feedback, s.forced,
        draws(s), resets=s.resets,
    )  # fmt: skip


def reference_pass(case, activation="tanh", feedback="softmax"):
    """Return every array of a pass forward and back, from the reference in float64."""
    s = SimpleNamespace(**vars(case))
    for name, array in vars(case).items():
        if isinstance(array, np.ndarray) and array.dtype == np.float32:
            setattr(s, name, array.astype(np.float64))
    state = reference_forward(s, activation, feedback)
    grads = reference.jordan_backward(
        s.do, s.x, state.h, state.o, s.U, s.W, s.V, s.y, state.z, s.z0, s.lengths, activation,
        feedback, s.forced, resets=s.resets,
    )  # fmt: skip
    return state._asdict() | grads._asdict()


def function_pass(case, activation="tanh", feedback="softmax", threads=None, hand_in_z=True):
    """Return what `reference_pass` does, from the compiled public functions."""
    s = case
    fed = {name: getattr(s, name) for name in FED}
    fed |= {"activation": activation, "feedback": feedback, "threads": threads}
    state = fastrnn.jordan_forward(s.x, s.U, s.W, s.b, s.V, s.c, rng=s.rng, **fed)
    z = state.z if hand_in_z else None
    grads = fastrnn.jordan_backward(s.do, s.x, state.h, state.o, s.U, s.W, s.V, z=z, **fed)
    return state._asdict() | grads._asdict()
