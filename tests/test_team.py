"""Threads that work on one recurrence together: barrier, bits, errors, forks, many teams."""

import os
import signal
import threading
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from helpers import TOLERANCE, assert_same_bits, error, make_case, widened
from test_threads import python

import fastrnn
from fastrnn import reference, threads
from fastrnn.jit import kernel
from fastrnn.kernels.elman import backward_part, forward_part
from fastrnn.simd import VECTOR_BYTES
from fastrnn.simd.team import meet

compiled = pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="plain Python works without teams"
)  # fmt: skip
DTYPES = [np.float32, np.float64]
SECONDS = 100  # far more than any of this takes; what waits longer waits for ever
# One sequence's work outweighs a meeting of three, and W fills an odd number of panels.
UNITS = 261
STEPS = 7


@pytest.fixture
def runs(monkeypatch):
    """Return the list of what is run on several threads, as if there were three cores."""
    seen, run = [], threads._run

    def record(task, arguments, calls, *others):
        seen.append((task, calls))
        run(task, arguments, calls, *others)

    monkeypatch.setattr(threads, "_run", record)
    monkeypatch.setattr(threads, "_cores", lambda: 3)
    # Whatever else runs on this machine.
    monkeypatch.setattr(threads, "_WAITS_OF_A_CROWD", 2**62)
    monkeypatch.setattr(threads._pool, "crowded_until", 0.0)
    return seen


@pytest.fixture(autouse=True)
def all_seats_are_free_again():
    yield
    assert threads._pool._free == threads._pool._size


def at_once(work, count):
    """Call work(0), work(1), ... on as many threads; return the results, or fail if one hangs."""
    results, start = [None] * count, threading.Barrier(count)

    def call(number):
        start.wait(SECONDS)
        try:
            results[number] = work(number)
        except BaseException as raised:  # noqa: BLE001 (the test looks at it)
            results[number] = raised

    workers = [threading.Thread(target=call, args=(i,), daemon=True) for i in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)
    assert not any(worker.is_alive() for worker in workers), "some wait for ever"
    return results


@kernel
def take_rounds(values, arrivals, members, me, rounds):
    """Make row r + 1 (mod 2) of values from all of row r, of which each member made one number."""
    for r in range(rounds):
        total = 0
        for number in values[r % 2]:
            total = (3 * total + number) % 1_000_003
        values[(r + 1) % 2, me] = total + me
        meet(arrivals, members, r + 1)


@pytest.mark.lanes
@compiled
@pytest.mark.parametrize("members", [2, 3])
def test_nobody_begins_a_round_before_all_have_ended_the_last(members):
    rounds = 2_000
    row = np.arange(members)
    for _ in range(rounds):
        total = 0
        for number in row:
            total = (3 * total + number) % 1_000_003
        row = total + np.arange(members)
    values, arrivals = np.zeros((2, members), np.int64), np.zeros(16, np.int64)
    values[0] = np.arange(members)
    take_rounds(values.copy(), np.zeros(16, np.int64), 1, 0, 1)  # is compiled alone
    at_once(lambda me: take_rounds(values, arrivals, members, me, rounds), members)
    assert arrivals[0] == members * rounds
    np.testing.assert_array_equal(values[rounds % 2], row)


def passes(case, count):
    """Return every array of a pass forward and back, on so many threads."""
    s = case
    more = {"lengths": s.lengths, "resets": getattr(s, "resets", None), "threads": count}
    state = fastrnn.elman_forward(s.x, s.U, s.W, s.b, s.h0, **more)
    grads = fastrnn.elman_backward(s.dh, s.x, state.h, s.U, s.W, s.h0, dh_last=s.dh_last, **more)
    return {**state._asdict(), **grads._asdict()}


def assert_columns_were_shared(run, task, rows, members, case):
    """Hold one record of `runs` to: the same sequences for all, and each its panels of W."""
    function, calls = run
    panels = -(-UNITS * case.W.itemsize // VECTOR_BYTES)
    assert function is task and len(calls) == members
    arrivals, counts, firsts, lasts, begins, ends = zip(*calls, strict=True)
    assert set(counts) == {members} and set(firsts) == {0} and set(lasts) == {rows}
    assert (begins[0], *ends[:-1]) == begins and ends[-1] == panels
    assert all(begin < end for begin, end in zip(begins, ends, strict=True))
    assert len({id(array) for array in arrivals}) == 1
    assert arrivals[0][0] == members * STEPS  # and they met


@compiled
@pytest.mark.parametrize("lengths", [[5], [0], [7, 0, 3, 6, 1], [*range(8), 7] * 2], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tokens"),
    [
        pytest.param(np.float32, False, marks=pytest.mark.lanes),
        (np.float64, False),
        (np.float32, True),
    ],
)
def test_columns_shared_change_no_bit(runs, dtype, tokens, lengths):
    rows = len(lengths)
    case = make_case(90, STEPS, rows, 5, UNITS, 2, dtype=dtype, tokens=tokens)
    case.lengths = np.array(lengths)
    alone = passes(case, 1)
    assert runs == []
    for members in (2, 3):
        del runs[:]
        assert_same_bits(passes(case, members), alone)
        forward, backward, _ = runs
        assert_columns_were_shared(forward, forward_part, rows, members, case)
        assert_columns_were_shared(backward, backward_part, rows, members, case)
    wide = widened(case)
    want = reference.elman_forward(wide.x, wide.U, wide.W, wide.b, wide.h0, wide.lengths)
    assert error(alone["h"], want.h) <= TOLERANCE[np.dtype(dtype)]


@compiled
def test_columns_shared_with_resets_change_no_bit(runs):
    case = make_case(95, STEPS, 5, 5, UNITS, 2)
    case.lengths, case.resets = np.array([7, 0, 3, 6, 1]), np.zeros((STEPS, 5), bool)
    case.resets[[2, 4, 5], [0, 3, 3]] = True
    alone, without = passes(case, 1), passes(SimpleNamespace(**vars(case) | {"resets": None}), 1)
    assert alone["h"].tobytes() != without["h"].tobytes()
    for members in (2, 3):
        del runs[:]
        assert_same_bits(passes(case, members), alone)
        for run, task in zip(runs, (forward_part, backward_part), strict=False):
            assert_columns_were_shared(run, task, 5, members, case)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_shared_where_there_are_enough(runs, dtype):
    case = make_case(91, STEPS, 16, 5, 64, 2, dtype=dtype)
    alone = passes(case, 1)
    assert_same_bits(passes(case, 2), alone)
    panels = 64 * case.W.itemsize // VECTOR_BYTES
    for (function, calls), task in zip(runs[:2], (forward_part, backward_part), strict=True):
        assert function is task
        assert [call[1:] for call in calls] == [(1, 0, 8, 0, panels), (1, 8, 16, 0, panels)]


def test_few_rows_of_little_work_do_not_meet(runs):
    case = make_case(92, STEPS, 2, 5, 64, 2)
    assert_same_bits(passes(case, 2), passes(case, 1))
    assert [call[1:4] for call in runs[0][1]] == [(1, 0, 1), (1, 1, 2)]


@pytest.mark.lanes
@pytest.mark.skipif(not numba.config.DISABLE_JIT, reason="compiled code works in teams")
def test_plain_python_needs_no_team(runs):
    case = make_case(93, 2, 2, 1, UNITS, 2, dtype=np.float32)
    assert_same_bits(passes(case, 2), passes(case, 1))
    assert [call[1:4] for call in runs[0][1]] == [(1, 0, 1), (1, 1, 2)]


@compiled
def test_more_teams_than_there_are_threads(runs):
    case = make_case(94, STEPS, 1, 5, UNITS, 2, dtype=np.float32)
    want = passes(case, 1)

    def work(number):
        for _ in range(4):
            assert_same_bits(passes(case, 2), want)
        return "right"

    assert at_once(work, 8) == ["right"] * 8
    sizes = [len(calls) for task, calls in runs if task is forward_part]
    assert len(sizes) == 32 and set(sizes) <= {1, 2} and 2 in sizes


@kernel
def wait_for_all(arrivals, members):
    meet(arrivals, members, 1)
    meet(arrivals, members, 2)


@compiled
@pytest.mark.parametrize("kind", [ValueError, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_nobody_waits_for_a_member_that_failed(runs, bad, kind):
    wait_for_all(np.zeros(16, np.int64), 1)
    weights, left = np.zeros((UNITS, UNITS)), []

    def task(arrivals, members, first, last, first_panel, end_panel):
        assert members == 3
        if [call[4] for call in runs[-1][1]].index(first_panel) == bad:
            raise kind("no part of mine")
        wait_for_all(arrivals, members)
        left.append(first_panel)

    (raised,) = at_once(lambda _: threads.share_steps(task, (), 1, 3, 10**9, weights), 1)
    assert type(raised) is kind and len(left) == 2
    assert threads._pool._free == threads._pool._size

    def good(arrivals, members, *part):
        wait_for_all(arrivals, members)
        left.append(part)

    assert at_once(lambda _: threads.share_steps(good, (), 1, 3, 10**9, weights), 1) == [None]
    assert len(left) == 5


@compiled
def test_nobody_waits_for_a_member_that_never_began(runs, monkeypatch):
    wait_for_all(np.zeros(16, np.int64), 1)
    submit, begun, ended = threads._pool.submit, [], []

    def interrupted(task, arguments):
        if begun:
            raise KeyboardInterrupt
        begun.append(task)
        return submit(task, arguments)

    monkeypatch.setattr(threads._pool, "submit", interrupted)

    def task(arrivals, members, *part):
        wait_for_all(arrivals, members)
        ended.append(part)

    weights = np.zeros((UNITS, UNITS))
    (raised,) = at_once(lambda _: threads.share_steps(task, (), 1, 3, 10**9, weights), 1)
    assert type(raised) is KeyboardInterrupt
    assert len(begun) == 1
    assert len(ended) == 1


SCRIPT = """
import os, signal, threading, warnings
import numpy as np
from fastrnn import elman_forward, threads
from fastrnn.kernels.elman import forward_part

threads._WORTH_A_THREAD = 1
threads._cores, threads._WAITS_OF_A_CROWD = lambda: 2, 2**62
runs, run = [], threads._run
def record(task, arguments, calls, *others):
    runs.append(len(calls))
    run(task, arguments, calls, *others)
threads._run = record
rng = np.random.default_rng(0)
shapes = (9, 1, 4), (261, 4), (261, 261), 261
x, U, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)

def forward(threads):
    return elman_forward(x, U, W, b, threads=threads).h.tobytes()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@compiled
def test_forked_child_has_all_seats_and_works_in_teams():
    # Python 3.12 warns of every fork in a process with threads; that it works is the test.
    result = python(
        SCRIPT
        + """
want = forward(1)
assert forward(2) == want
warnings.simplefilter("ignore", DeprecationWarning)
with threads._pool.seats(2):
    child = os.fork()
    if child == 0:
        assert threads._pool._free == threads._pool._size
        same = forward(2) == forward(1) == want
        os._exit(0 if same and runs == [2, 2] else 1)
status = os.waitpid(child, 0)[1]
assert os.waitstatus_to_exitcode(status) == 0, status
assert forward(2) == want and runs == [2, 2]
print("both ran")
"""
    )
    assert (result.returncode, result.stdout) == (0, "both ran\n"), result.stderr


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="this system sends no signal to one thread"
)
@compiled
def test_interrupted_while_the_first_call_compiles():
    result = python(
        SCRIPT
        + """
compiling = threading.Event()
compile_part = forward_part.compile
def compile_slowly(signature):
    if threading.current_thread() is threading.main_thread():
        compiling.set()
        threading.Event().wait(60)
    compiling.wait()
    return compile_part(signature)
forward_part.compile = compile_slowly
def interrupt():
    compiling.wait()
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    forward(2)
except KeyboardInterrupt:
    print("interrupted", runs, threads._pool._free == threads._pool._size)
"""
    )
    assert (result.returncode, result.stdout) == (0, "interrupted [2] True\n"), result.stderr
