"""`fastrnn.cuda.elman`, in three orders of threads, against the reference."""

import numpy as np
import pytest
from against_reference import ORDERS, agree, doubles, on_device, spoil_padding
from emulator import Deadlock, Race, barrier_lines, emulated_device

from fastrnn import reference
from fastrnn.cuda import elman, recurrence
from fastrnn.cuda.launching import copy_to_device, copy_to_host, empty


def case(
    T=3, B=3, p=2, m=5, lengths=None, resets=None, h0=1, last=True, activation="tanh",
    tokens=False, real=np.float32, seed=0,
):  # fmt: skip
    """Return the arguments of both functions; h0 times B is the number of its rows, None for 0."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape).astype(real)

    U, W, b = draw(m, p), 0.8 * draw(m, m) / real(np.sqrt(m)), draw(m)
    x = rng.integers(0, p, (T, B)) if tokens else draw(T, B, p)
    marks = None
    if resets is not None:
        marks = np.zeros((T, B), bool)
        for reset in resets:
            marks[reset] = True
    first = draw(h0 * B, m) if h0 else None
    lengths = None if lengths is None else np.array(lengths)
    forward = {
        "x": x,
        "U": U,
        "W": W,
        "b": b,
        "h0": first,
        "lengths": lengths,
        "activation": activation,
        "resets": marks,
    }
    backward = dict(forward, dh=draw(T, B, m), dh_last=draw(B, m) if last else None)
    del backward["b"]
    return forward, backward


def check(arguments, **device):
    """Run both functions on an emulated GPU; return the names of the kernels launched."""
    forward, backward = arguments
    state = reference.elman_forward(**doubles(forward))
    backward = dict(backward, h=state.h.astype(forward["W"].dtype))
    grads = reference.elman_backward(**doubles(backward))
    real = forward["W"].dtype.type
    spoil_padding(forward["lengths"], forward["x"], backward["dh"])
    with emulated_device(**device) as emulated:
        agree(elman.elman_forward(**on_device(forward)), state, real)
        agree(elman.elman_backward(**on_device(backward)), grads, real)
    return emulated.launches


@pytest.fixture
def step_by_step(monkeypatch):
    monkeypatch.setattr(recurrence, "WIDEST", 0)


RAGGED = {"T": 4, "B": 3, "lengths": [2, 4, 0]}
CASES = [
    dict(RAGGED),
    {"T": 2, "B": 1, "h0": None, "last": False, "activation": "relu"},
    {"T": 2, "B": 2, "activation": "sigmoid", "tokens": True},
    dict(RAGGED, activation="identity", resets=[(1, 0), (0, 1), (3, 1)], h0=2, tokens=True),
    {"T": 3, "B": 2, "resets": [(1, 0), (2, 1)]},
    dict(RAGGED, resets=[(1, 0)], h0=None, last=False),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", CASES[:1] + CASES[3:4])
def test_in_one_launch_in_any_order(options, order):
    launches = check(case(**options), order=order, watch=order == "asc")
    assert launches.count("recurrence") == 2


@pytest.mark.parametrize("options", [*CASES[1:3], *CASES[4:], dict(RAGGED, real=np.float64)])
def test_in_one_launch(options):
    assert check(case(**options), order="desc").count("recurrence") == 2


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", CASES[:1] + CASES[3:4])
def test_step_by_step_in_any_order(options, order, step_by_step):
    launches = check(case(**options), order=order, watch=order == "asc")
    assert launches.count("multiply_rows_kernel") >= 2 * 4 and "recurrence" not in launches


@pytest.mark.parametrize("options", [*CASES[1:3], *CASES[4:], dict(RAGGED, real=np.float64)])
def test_step_by_step(options, step_by_step):
    assert "recurrence" not in check(case(**options), order="desc")


@pytest.mark.parametrize("order", ORDERS)
def test_more_units_than_a_tile_and_more_chunks_than_teams(order):
    """Teams of two blocks, which take two chunks at each step."""
    options = {"T": 2, "B": 3, "m": 129, "p": 1, "lengths": [2, 1, 2]}
    assert check(case(**options), order=order, multiprocessors=2).count("recurrence") == 2


def test_more_units_than_a_tile_step_by_step(step_by_step):
    check(case(T=2, B=33, m=35, p=1, seed=3), order=2)


@pytest.mark.parametrize(
    "options", [{"T": 0}, {"B": 0}, {"T": 0, "B": 0, "tokens": True, "h0": None}]
)
def test_nothing_to_do(options):
    check(case(**options))


def test_blocks_that_do_not_fit_together_go_step_by_step(monkeypatch):
    monkeypatch.setattr("emulator._Device.fits_together", lambda *_: False)
    assert "recurrence" not in check(case())


@pytest.mark.parametrize("barrier", range(2))
def test_a_missing_barrier_is_caught(barrier):
    kernel = recurrence.recurrence_kernel(np.float32, 128, 8, 2, False)
    assert len(barrier_lines(kernel)) == 2
    with pytest.raises(Race, match="recurrence"):
        check(case(B=5), watch=True, without=("recurrence", barrier))


def test_a_launch_that_does_not_ask_for_all_blocks_at_once_hangs(monkeypatch):
    ask = recurrence.launch
    monkeypatch.setattr(recurrence, "launch", lambda *a, cooperative=False, **k: ask(*a, **k))
    with pytest.raises(Deadlock, match="recurrence"):
        check(case())


def test_the_same_bits_in_every_order():
    found = []
    for order in ORDERS:
        with emulated_device(order):
            forward, backward = case(**RAGGED, m=9)
            state = elman.elman_forward(**on_device(forward))
            grads = elman.elman_backward(**on_device(backward), h=state.h)
            found.append([copy_to_host(array).tobytes() for array in (*state, *grads)])
    assert found[0] == found[1] == found[2]


def test_buffers_come_back_as_they_are():
    forward, backward = case()
    with emulated_device():
        h, h_last = empty((3, 3, 5), np.float32), empty((3, 5), np.float32)
        state = elman.elman_forward(**on_device(forward), h=h, h_last=h_last)
        assert state.h is h and state.h_last is h_last
        names = {"dx": (3, 3, 2), "dU": (5, 2), "dW": (5, 5), "db": (5,), "dh0": (3, 5)}
        buffers = {name: empty(shape, np.float32) for name, shape in names.items()}
        work = empty((3, 3, 5), np.float32)
        grads = elman.elman_backward(**on_device(backward), h=h, work=work, **buffers)
        assert all(getattr(grads, name) is buffers[name] for name in names)
        host = dict(backward, h=copy_to_host(h))
        agree(grads, reference.elman_backward(**doubles(host)), np.float32)
        d_b = copy_to_host(work).sum((0, 1))
        np.testing.assert_allclose(d_b, copy_to_host(grads.db), rtol=1e-5)


@pytest.mark.parametrize("tokens", [False, True])
def test_a_step(tokens):
    forward, _ = case(T=1, tokens=tokens, h0=1)
    x_t, h0 = forward["x"][0], forward["h0"]
    weights = [forward[name] for name in ("U", "W", "b")]
    with emulated_device():
        arrays = [copy_to_device(array) for array in (x_t, h0, *weights)]
        found = elman.elman_step(*arrays, "sigmoid")
        expected = reference.elman_step(x_t, h0, *weights, "sigmoid")
        np.testing.assert_allclose(copy_to_host(found), expected, atol=1e-6)
        out = empty(h0.shape, np.float32)
        assert elman.elman_step(*arrays, out=out) is out


def test_plans_for_a_large_gpu(monkeypatch):
    monkeypatch.setattr(recurrence, "multiprocessors", lambda: 132)
    monkeypatch.setattr(recurrence, "capability", lambda: (9, 0))
    for m in (1, 64, 128, 200, 256, 384, 512, 1000, 1024, 2048):
        for B in (1, 2, 8, 15, 32, 128):
            how = recurrence.plan(m, B, np.float32)
            if m > 1024 and B >= 16:
                assert how is None
                continue
            assert how.M % 128 == 0 and m <= how.M < m + 128
            assert how.teams * how.blocks <= 132
            assert how.rows * how.M // 32 <= 128 and how.rows * how.sequences <= 32
            assert how.sequences * how.M * 4 <= 48 * 1024
            assert how.teams * how.sequences < B + how.sequences
    assert recurrence.plan(2049, 1, np.float32) is None
    assert recurrence.plan(1024, 8, np.float64).rows == 2
    assert recurrence.plan(2048, 1, np.float64) is None  # 256 blocks
    monkeypatch.setattr(recurrence, "capability", lambda: (8, 0))  # half as many weights in a lane
    assert recurrence.plan(1024, 8, np.float64).rows == 1
    assert recurrence.plan(1024, 32, np.float32).rows == 2
    assert recurrence.plan(2048, 1, np.float64) is None
