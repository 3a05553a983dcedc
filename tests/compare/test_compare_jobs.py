"""Runs in several processes and on a cluster: the same results, clean ends."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from tiny import Events, adding, read_runs

from tdnn.compare.errors import ComparisonError
from tdnn.compare.jobs import Processes
from tdnn.compare.run import compare


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The runs made here, one after another."""
    out = tmp_path_factory.mktemp("whole")
    compare(adding(), out)
    return out


def test_two_processes_give_the_same_bits_and_tell_what_they_do(whole, tmp_path):
    events = Events()
    assert compare(adding(threads=None, jobs=2), tmp_path, events) == 4
    assert read_runs(tmp_path) == read_runs(whole)
    assert not (tmp_path / "unfinished").exists()
    assert len(events.of("run_finished")) == 4
    assert len(events.of("advanced")) == 4  # the bar moves with each finished run


class Dies:
    """Work that ends its process, as the kernel does when memory is short."""

    def __call__(self, watch):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_process_that_dies_is_one_error():
    with pytest.raises(ComparisonError, match="--jobs: a process ended before its work was done"):
        list(Processes(2).results([Dies(), Dies()], None))
    gc.collect()  # loky leaves the pipes of processes that died to the collector, which warns


def nobody_is_left(group):
    """Whether all processes of a group end within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to a child")
def test_ctrl_c_ends_all_processes_in_one_line_and_the_next_start_goes_on(tmp_path):
    command = [sys.executable, "-m", "tdnn.compare", "run", "--tasks", "adding:10", "--no-tune"]
    command += ["--models", "elman", "--seeds", "2", "--budget", "2500", "--out", str(tmp_path)]
    command += ["--steps", "1000000", "--jobs", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        for _ in range(3000):  # until training has begun in both
            if process.poll() is not None or len(list(tmp_path.glob("unfinished/*.best.npz"))) == 2:
                break
            time.sleep(0.1)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err
    assert err.count("\n") == 1, err
    assert err.startswith("rnn-vs-tdnn: interrupted; finished runs are stored")
    assert nobody_is_left(process.pid)
    assert not list(tmp_path.glob("runs/*.json"))


@pytest.fixture(scope="module")
def scheduler():
    """The address of a cluster of two workers, each a process with a folder of its own."""
    distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_gives_the_same_bits(whole, scheduler, tmp_path):
    events = Events()
    assert compare(adding(threads=None, scheduler=scheduler), tmp_path, events) == 4
    assert read_runs(tmp_path) == read_runs(whole)
    assert len(events.of("run_finished")) == 4
    assert not (tmp_path / "unfinished").exists()


def test_a_scheduler_that_does_not_answer_is_one_error(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra cluster")
    monkeypatch.setattr("tdnn.compare.jobs.PATIENCE", 0.5)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ComparisonError, match=f"--scheduler: no answer from {address}"):
            compare(adding(scheduler=address), tmp_path)


def test_a_worker_of_another_version_is_refused(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("tdnn.compare.run.environment_labels", lambda _: {"fastrnn": "0.0.1"})
    with pytest.raises(ComparisonError, match=r"a worker has fastrnn 0\.0\.1, this is"):
        compare(adding(models=("elman",), seeds=1), tmp_path)
