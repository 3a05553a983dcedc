"""What several test files share: random cases, their passes on both floors, norm-wise errors."""

from types import SimpleNamespace

import numpy as np

import fastrnn
from fastrnn import reference
from fastrnn.linear import linear_backward, linear_forward

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
LOSSES = ("softmax", "sigmoid", "squared")
FUNCTIONS = {
    "softmax": "softmax_cross_entropy",
    "sigmoid": "sigmoid_cross_entropy",
    "squared": "squared_error",
}
# Norm-wise relative bounds that kernels keep to the float64 reference.
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}


def error(got, want):
    """Return |got - want| / |want| in the Euclidean norm; NaN where either holds one."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    wide = np.result_type(got, want, np.float64)
    scale = np.linalg.norm(np.ravel(want).astype(wide))
    return float(np.linalg.norm(np.ravel(got).astype(wide) - np.ravel(want)) / (scale or 1.0))


def assert_close(got, want, tolerance):
    """Compare dicts of arrays by the norm-wise error of each array; None only equals None."""
    assert set(got) == set(want)
    for name in want:
        if want[name] is None or got[name] is None:
            assert got[name] is want[name], name
        else:
            assert error(got[name], want[name]) <= tolerance, name


def assert_close_together(got, want, tolerance):
    """Compare as `assert_close` does, but the gradients of one pass together, as one vector.

    Each is a sum: where its terms happen to cancel, their rounding is all that is left of it. In
    float32 that happens to arrays of a few elements among random cases.
    """
    sums = [name for name in ("dx", "dU", "dW", "db", "dh0", "dV", "dc") if want[name] is not None]
    both = [
        {name: array for name, array in arrays.items() if name not in sums}
        | {"gradients": np.concatenate([np.ravel(arrays[name]) for name in sums])}
        for arrays in (got, want)
    ]
    assert_close(*both, tolerance)


def assert_same_bits(got, want):
    """Compare dicts of arrays bit for bit, so that NaN equals NaN and 0 differs from -0."""
    assert set(got) == set(want)
    for name in want:
        if want[name] is None or got[name] is None:
            assert got[name] is want[name], name
            continue
        a, b = np.asarray(got[name]), np.asarray(want[name])
        assert (a.shape, a.dtype) == (b.shape, b.dtype), name
        assert a.tobytes() == b.tobytes(), name


def random_lengths(rng, T, B):
    """Return unsorted lengths in [0, T]; with two sequences or more, 0 and T are among them."""
    lengths = rng.integers(0, T + 1, B)
    if B >= 2:
        lengths[rng.permutation(B)[:2]] = 0, T
    return lengths


def contracting(rng, m, dtype=np.float64):
    """Return W = 0.8 N / sqrt(m): an expanding W would amplify any rounding."""
    return (0.8 * rng.standard_normal((m, m)) / np.sqrt(m)).astype(dtype)


def make_case(seed, T, B, p, m, q, *, dtype=np.float64, tokens=False, lengths=True):
    """Return the random arguments of one pass through network, output layer and loss."""
    rng = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(dtype)

    return SimpleNamespace(
        x=rng.integers(0, p, (T, B)) if tokens else normal(T, B, p),
        U=normal(m, p, scale=1 / np.sqrt(p)),
        W=contracting(rng, m, dtype),
        b=normal(m, scale=0.5),
        V=normal(q, m, scale=1 / np.sqrt(m)),
        c=normal(q, scale=0.5),
        h0=normal(B, m),
        dh=normal(T, B, m),
        dh_last=normal(B, m),
        lengths=random_lengths(rng, T, B) if lengths else None,
        weights=rng.uniform(0.5, 2.0, (T, B)),
        targets={
            "softmax": rng.integers(0, q, (T, B)),
            "sigmoid": rng.uniform(0, 1, (T, B, q)).astype(dtype),
            "squared": normal(T, B, q),
        },
    )


def widened(case):
    """Return the case with its floats as float64."""
    wide = SimpleNamespace(**vars(case))
    for name, value in vars(case).items():
        if isinstance(value, np.ndarray) and value.dtype == np.float32:
            setattr(wide, name, value.astype(np.float64))
    wide.targets = {
        name: value.astype(np.float64) if value.dtype == np.float32 else value
        for name, value in case.targets.items()
    }
    return wide


def poisoned(case):
    """Return the case with all that lies behind a sequence's end replaced by NaN, or -1."""
    bad = SimpleNamespace(**vars(case))
    T = case.x.shape[0]
    padding = np.arange(T)[:, None] >= case.lengths

    def fill(array):
        filled = array.copy()
        filled[padding] = np.nan if array.dtype.kind == "f" else -1
        return filled

    bad.x, bad.dh, bad.weights = fill(case.x), fill(case.dh), fill(case.weights)
    bad.targets = {name: fill(value) for name, value in case.targets.items()}
    assert T == 0 or not padding.any() or np.isnan(bad.weights).any()
    return bad


def reference_pass(case, loss, activation):
    """Return every array of a pass forward and back, from the reference in float64.

    The states get the gradients of the loss and, beside them, the case's dh and dh_last.
    """
    s = widened(case)
    state = reference.elman_forward(s.x, s.U, s.W, s.b, s.h0, s.lengths, activation)
    o = reference.linear_forward(state.h, s.V, s.c, s.lengths)
    function = getattr(reference, FUNCTIONS[loss])
    value, do = function(o, s.targets[loss], s.lengths, s.weights)
    output = reference.linear_backward(do, state.h, s.V, s.lengths)
    grads = reference.elman_backward(
        output.dh + s.dh, s.x, state.h, s.U, s.W, s.h0, s.dh_last, s.lengths, activation
    )
    return {
        **state._asdict(), "o": o, "value": value, "do": do,
        "dh": output.dh, "dV": output.dV, "dc": output.dc, **grads._asdict(),
    }  # fmt: skip


def function_pass(case, loss, activation, threads=None):
    """Return what `reference_pass` does, from the compiled public functions."""
    s = case
    T, B = s.x.shape[:2]
    lengths = np.full(B, T) if s.lengths is None else np.array(s.lengths)
    state = fastrnn.elman_forward(
        s.x, s.U, s.W, s.b, s.h0, lengths=s.lengths, activation=activation, threads=threads
    )
    o = linear_forward(state.h, s.V, s.c, lengths, threads)
    function = getattr(fastrnn, FUNCTIONS[loss])
    value, do = function(o, s.targets[loss], lengths=s.lengths, weights=s.weights)
    output = linear_backward(do, state.h, s.V, lengths, threads)
    grads = fastrnn.elman_backward(
        output.dh + s.dh, s.x, state.h, s.U, s.W, s.h0,
        dh_last=s.dh_last, lengths=s.lengths, activation=activation, threads=threads,
    )  # fmt: skip
    return {
        **state._asdict(), "o": o, "value": value, "do": do,
        "dh": output.dh, "dV": output.dV, "dc": output.dc, **grads._asdict(),
    }  # fmt: skip
