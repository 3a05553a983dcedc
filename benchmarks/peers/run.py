"""The command's side of a run: which peers there are, one worker per thread count."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.peers.cases import Case
from benchmarks.peers.records import Record

__all__ = ["PEERS", "ROOT", "WorkerError", "missing", "run_worker", "versions"]

ROOT = Path(__file__).resolve().parents[2]
# What a user calls a peer, and the packages that it needs.
PEERS = {"torch": ("torch",), "jax": ("jax", "jaxlib"), "onnx": ("onnxruntime", "onnx")}


class WorkerError(Exception):
    """A worker ended before its work was done."""


def missing(peer: str) -> list[str]:
    """Return the packages that a peer needs and that are not installed."""
    return [name for name in PEERS[peer] if importlib.util.find_spec(name) is None]


def versions(peers: Iterable[str]) -> dict[str, str]:
    """Return the versions of the peers' first packages, and of our own."""
    packages = ["numba", "numpy", *(PEERS[peer][0] for peer in peers)]
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return {"versions": found}


def _environment(threads: int) -> dict[str, str]:
    """Return the variables that hold every library to that many threads."""
    variables = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        variables[name] = str(threads)
    variables["FASTRNN_NUM_THREADS"] = str(threads)
    if threads == 1:
        alone = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        variables["XLA_FLAGS"] = f"{variables.get('XLA_FLAGS', '')} {alone}".strip()
    return variables


def run_worker(
    cases: Iterable[Case], threads: int, peers: Iterable[str], seconds: float
) -> Iterator[dict[str, str] | list[Record]]:
    """Measure cases in a process of their own.

    Yields
    ------
    dict or list of Record
        First facts about the machine; then each case's records, as they are found.

    Raises
    ------
    WorkerError
        If a result is wrong, or the process failed: its message is on standard error by then.
    """
    plan = {
        "threads": threads,
        "cases": [case.key for case in cases],
        "peers": [f"peer_{peer}" for peer in peers],
        "seconds": seconds,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.worker"],
        cwd=ROOT, env=_environment(threads), text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        with process.stdin as stdin:
            json.dump(plan, stdin)
        with process.stdout as answers:
            for answer in map(json.loads, answers):
                if "wrong" in answer:
                    raise WorkerError(answer["wrong"])
                if "facts" in answer:
                    yield answer["facts"]
                else:
                    yield [Record(**record) for record in answer["records"]]
        if process.wait() != 0:
            raise WorkerError(f"the process with {threads} thread(s) failed ({process.returncode})")
    finally:
        process.kill()
        process.wait()
