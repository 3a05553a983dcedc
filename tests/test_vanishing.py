"""Kernels take subnormal numbers as zeros: what vanishes is zero, and the caller never notices."""

import platform
import threading

import numba
import numpy as np
import pytest
from helpers import TOLERANCE, error, make_case, widened

import fastrnn
import tdnn
from fastrnn import kernels, reference, threads
from fastrnn.linear import linear_backward, linear_forward
from fastrnn.simd import flush_subnormals, restore_subnormals

FLUSHES = not numba.config.DISABLE_JIT and platform.machine().lower() in {
    "x86_64", "amd64", "aarch64", "arm64",
}  # fmt: skip
needs_flush = pytest.mark.skipif(not FLUSHES, reason="flushing does nothing here")
DTYPES = [np.float32, np.float64]
OFFSETS = np.array([-2, 0, 1])


def keeps_subnormals():
    """Return whether arithmetic does so in this thread, in both types, results and operands."""
    kept = True
    for dtype, number in ((np.float32, 1e-40), (np.float64, 1e-310)):
        x = np.full(9, number, dtype)
        tiny = np.full(9, np.finfo(dtype).tiny)
        kept = kept and bool((x * dtype(0.5) != 0).all() and (x * dtype(64) != 0).all())
        kept = kept and bool((tiny * dtype(0.5) != 0).all())
    return kept


def of_the_pool(look):
    """Return what `look` returns on each of the pool's threads."""
    pool = threads._pool
    meeting = threading.Barrier(pool._size)
    seen = []

    def task():
        meeting.wait(60)  # so each thread takes one
        seen.append((threading.get_ident(), look()))

    for future in [pool.submit(task, ()) for _ in range(pool._size)]:
        assert future.exception(60) is None
    assert len({number for number, _ in seen}) == pool._size
    return [kept for _, kept in seen]


def functions():
    """Return name -> a call of a public function or kernel, on two threads where it takes them."""
    s = make_case(100, 6, 8, 5, 13, 3, dtype=np.float32)
    r = make_case(101, 6, 1, 5, 261, 3, dtype=np.float32)  # a team shares the columns of W
    filters = np.stack([s.U] * len(OFFSETS))
    all_steps = np.full(8, 6)
    h, long = s.dh / 2, r.dh / 2
    o = s.targets["squared"]
    body = fastrnn.Elman(5, 13, rng=0)
    model = fastrnn.SequenceModel(fastrnn.Elman(5, 13, rng=0), 3, rng=0)
    delays = tdnn.TDNN(5, [(13, (-1, 0, 1))], rng=0)
    ring = np.zeros((4, 8, 5), np.float32)
    two = {"threads": 2}
    return {
        "elman_forward": lambda: fastrnn.elman_forward(s.x, s.U, s.W, s.b, **two),
        "elman_backward": lambda: fastrnn.elman_backward(s.dh, s.x, h, s.U, s.W, **two),
        "elman_forward, columns": lambda: fastrnn.elman_forward(r.x, r.U, r.W, r.b, **two),
        "elman_backward, columns": lambda: fastrnn.elman_backward(
            r.dh, r.x, long, r.U, r.W, **two
        ),
        "elman_step": lambda: kernels.elman_step(s.x[0], s.h0, s.U, s.W, s.b),
        "stream.step": lambda: [body.stream(8).step(frame) for frame in s.x],
        "model.stream.step": lambda: [model.stream(8).step(frame) for frame in s.x],
        "linear_forward": lambda: linear_forward(h, s.V, s.c, all_steps, 2),
        "linear_backward": lambda: linear_backward(o, h, s.V, all_steps, 2),
        "tdnn_forward": lambda: tdnn.tdnn_forward(
            s.x, filters, s.b, OFFSETS, padding="zero", **two
        ),
        "tdnn_backward": lambda: tdnn.tdnn_backward(
            s.dh, s.x, h, filters, OFFSETS, padding="zero", **two
        ),
        "tdnn_step": lambda: tdnn.kernels.tdnn_step(
            s.x[0], ring, 0, filters, s.b, OFFSETS
        ),
        "tdnn.stream.step": lambda: [delays.stream(8).step(frame) for frame in s.x],
        "softmax_cross_entropy": lambda: fastrnn.softmax_cross_entropy(o, s.targets["softmax"]),
        "loss_and_grad": lambda: model.loss_and_grad(s.x, s.targets["softmax"], threads=2),
    }  # fmt: skip


def test_the_mode_of_all_threads_is_unchanged(monkeypatch):
    monkeypatch.setattr(threads, "_cores", lambda: 2)
    assert keeps_subnormals() and all(of_the_pool(keeps_subnormals))
    for name, call in functions().items():
        call()
        assert keeps_subnormals(), name
        assert all(of_the_pool(keeps_subnormals)), name


@numba.njit
def flush():
    return flush_subnormals()


@numba.njit
def restore(mode):
    restore_subnormals(mode)


@needs_flush
def test_a_changed_mode_would_be_seen():
    def changed():
        mode = flush()
        kept = keeps_subnormals()
        restore(mode)
        return kept

    assert not changed()
    assert not any(of_the_pool(changed))
    assert keeps_subnormals() and all(of_the_pool(keeps_subnormals))


def vanishing_case(dtype, T):
    """Return a case whose gradient shrinks 1000 times with each step back; no term cancels."""
    rng = np.random.default_rng(102)
    s = make_case(103, T, 3, 4, 10, 2, dtype=dtype, lengths=False)
    s.W = (1e-3 * np.eye(10)).astype(dtype)
    for name in ("U", "x", "dh"):
        shape = getattr(s, name).shape
        setattr(s, name, rng.uniform(0.5, 1, shape).astype(dtype))
    s.dh[:-1] = 0
    s.lengths = np.array([T, T - 2, T])
    s.dh[T - 3, 1] = s.dh[-1, 1]
    s.dh0 = None
    return s


def assert_small_ones_are_zeros(got, want, dtype):
    """Hold `got` to `want`, a float64 array: right, or zero where it is too small for its type."""
    tiny = float(np.finfo(dtype).tiny)
    assert not np.any((got != 0) & (np.abs(got) < tiny))
    small = np.abs(want) < tiny / 2
    assert small.any() and (np.abs(want) > 1e4 * tiny).any()
    assert not got[small].any()
    # Each of the terms, a handful, may have lost a number just too small.
    allowed = 10 * TOLERANCE[np.dtype(dtype)] * np.abs(want) + 10 * tiny
    assert (np.abs(got - want) <= allowed).all()


@needs_flush
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_gradients_that_vanish_are_zeros_and_the_others_right(activation, count):
    T = 24
    s = vanishing_case(np.float32, T)
    h = fastrnn.elman_forward(s.x, s.U, s.W, s.b, lengths=s.lengths, activation=activation).h
    got = fastrnn.elman_backward(
        s.dh, s.x, h, s.U, s.W, lengths=s.lengths, activation=activation, threads=count
    )
    w = widened(s)
    want = reference.elman_backward(
        w.dh, w.x, h.astype(float), w.U, w.W, None, None, s.lengths, activation
    )
    assert_small_ones_are_zeros(got.dx, want.dx, np.float32)
    assert not got.dh0.any() and np.all(want.dh0[[0, 2]] != 0)
    for name in ("dU", "dW", "db"):
        assert error(getattr(got, name), getattr(want, name)) <= TOLERANCE[np.dtype(np.float32)]
    assert keeps_subnormals()


@needs_flush
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_that_vanish_are_zeros(dtype):
    """Of the output layer and the time-delay layer: rows of ever smaller gradients."""
    tiny = float(np.finfo(dtype).tiny)
    sizes = np.array([2.0**20, 64.0, 8.0, 0.25, 2.0**-20, 2.0**-20]) * tiny
    do = np.ones((6, 2, 3)) * sizes[:, None, None]
    rng = np.random.default_rng(104)
    V = rng.uniform(0.5, 1, (3, 7))
    h = rng.uniform(0.5, 1, (6, 2, 7))
    all_steps = np.full(2, 6)
    dh = linear_backward(do.astype(dtype), h.astype(dtype), V.astype(dtype), all_steps, 1).dh
    assert not dh[3:].any()
    for got, want in zip(dh[:3] / tiny, do[:3] / tiny @ V, strict=True):
        assert error(got, want) <= TOLERANCE[np.dtype(dtype)]
    W = rng.uniform(0.5, 1, (1, 3, 7)).astype(dtype)
    dx = tdnn.tdnn_backward(
        do.astype(dtype), h.astype(dtype), np.ones_like(do, dtype), W, [0], activation="identity"
    ).dx
    assert (dx[:3] != 0).all() and not dx[3:].any()
    assert keeps_subnormals()


@needs_flush
def test_subnormal_inputs_count_as_zeros():
    x = np.full((2, 1, 3), 1e-40, np.float32)
    huge = np.full((4, 3), 1e30, np.float32)
    W, b = np.zeros((4, 4), np.float32), np.zeros(4, np.float32)
    assert not fastrnn.elman_forward(x, huge, W, b).h.any()
    assert not kernels.elman_step(x[0], b[None], huge, W, b).any()
    assert reference.elman_forward(x, huge, W, b).h.any()
