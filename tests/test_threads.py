"""Threads: how many, concurrent callers, forked and spawned processes, errors in a part."""

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import assert_same_bits, function_pass, make_case

import fastrnn
from fastrnn.threads import share, thread_count

SCRIPT = """
import multiprocessing, os, sys, warnings
import numpy as np
import fastrnn

def run(threads=3):
    rng = np.random.default_rng(0)
    x, U, W, b = (rng.standard_normal(s) for s in ((9, 8, 4), (6, 4), (6, 6), 6))
    h = fastrnn.elman_forward(x, U, W, b, threads=threads).h
    return fastrnn.elman_backward(h, x, h, U, W, threads=threads).dW.tobytes()
"""


def python(code, **environment):
    """Run a script in a new process that finds what this one finds."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_environment_names_the_number(monkeypatch):
    monkeypatch.setenv("FASTRNN_NUM_THREADS", " 3 ")
    assert thread_count() == 3
    assert thread_count(2) == 2
    monkeypatch.setenv("FASTRNN_NUM_THREADS", "")
    assert thread_count() >= 1
    monkeypatch.delenv("FASTRNN_NUM_THREADS")
    if hasattr(os, "sched_getaffinity"):
        assert thread_count() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("wish", ["0", "-1", "two", "1.5", "1e3"])
def test_environment_is_checked(monkeypatch, wish):
    monkeypatch.setenv("FASTRNN_NUM_THREADS", wish)
    case = make_case(70, 3, 2, 2, 3, 2)
    with pytest.raises(ValueError, match=f"^FASTRNN_NUM_THREADS: expected .*{wish}"):
        fastrnn.elman_forward(case.x, case.U, case.W, case.b)


def test_environment_is_used_where_the_call_has_no_wish(monkeypatch):
    monkeypatch.setenv("FASTRNN_NUM_THREADS", "2")
    seen = []

    def task(first, last):
        seen.append((first, last, threading.get_ident()))

    monkeypatch.setattr(fastrnn.threads, "_WORTH_A_THREAD", 500_000)
    share(task, (), 10, None, 10**9)
    assert sorted(part[:2] for part in seen) == [(0, 5), (5, 10)]
    assert len({part[2] for part in seen}) == 2
    share(task, (), 10, None, 10)
    share(task, (), 10, 2, 10)
    assert seen[2:] == 2 * [(0, 10, threading.get_ident())]  # too little work for a second thread


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("rows", [0, 1, 5, 64])
def test_parts_make_up_the_rows(rows, threads):
    counts = np.zeros(rows, int)

    def task(first, last):
        counts[first:last] += 1

    share(task, (), rows, threads, 10**9)
    assert (counts == 1).all()


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_error_in_a_part_is_raised_after_all_parts_have_ended(bad):
    ended = []

    def task(first, last):
        if first == bad:
            raise MemoryError(f"part {first}")
        threading.Event().wait(0.02)
        ended.append(first)

    with pytest.raises(MemoryError, match=f"part {bad}"):
        share(task, (), 3, 3, 10**9)
    assert sorted(ended) == [part for part in range(3) if part != bad]
    share(lambda first, last: ended.append("again"), (), 3, 3, 10**9)  # the pool has survived
    assert ended.count("again") == 3


def test_many_python_threads_at_once():
    cases = [make_case(seed, 12, 9, 5, 11, 4) for seed in range(2)]
    want = [function_pass(case, "softmax", "tanh", threads=1) for case in cases]
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for _ in range(2):
            for case, expected in zip(cases, want, strict=True):
                got = function_pass(case, "softmax", "tanh", threads=1 + number % 4)
                assert_same_bits(got, expected)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_child_after_use_in_the_parent():
    # Python 3.12 warns of every fork in a process with threads; that it works is the test.
    result = python(
        SCRIPT
        + """
before = run()
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    os._exit(0 if run() == run(1) == before else 1)
status = os.waitpid(child, 0)[1]
assert os.waitstatus_to_exitcode(status) == 0, status
assert run() == before
print("both ran")
"""
    )
    assert (result.returncode, result.stdout) == (0, "both ran\n"), result.stderr


def test_spawned_workers(tmp_path):
    script = tmp_path / "spawned.py"
    script.write_text(
        SCRIPT
        + """
if __name__ == "__main__":
    here = run()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(run, [1, 2, 3]) == [here] * 3
    print("all equal")
"""
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "all equal\n"), result.stderr
