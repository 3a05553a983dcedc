"""What truncation saves and costs: ``python -m benchmarks.truncation`` (from a checkout).

Peak memory and time of one `SequenceModel.loss_and_grad` of an Elman network, whole and with
truncation, for sequences of growing length. The memory is that of NumPy's arrays, by tracemalloc,
above what was there before the call: so without the data, and without the kernels' own buffers
(packed weights, lists of rows), which Numba allocates. The time is the fastest of some calls.
"""

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Print a table with a row for each length."""
    parser = argparse.ArgumentParser(prog="benchmarks.truncation", description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--truncation", type=int, nargs=2, default=[64, 128], metavar=("K1", "K2"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    p, q, k1, k2 = 32, 32, *given.truncation
    _say(f"Elman, p {p}, m {given.hidden}, q {q}, B {given.batch}, float32")
    _say(f"{'T':>7} {'peak MB whole':>14} {f'({k1}, {k2})':>11} {'time ratio':>11}")
    model = fastrnn.SequenceModel(fastrnn.Elman(p, given.hidden, rng=0), q, rng=0)
    for T in given.steps:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((T, given.batch, p)).astype(np.float32)
        targets = rng.integers(0, q, (T, given.batch))

        def gradient(
            truncation: tuple[int, int] | None, x: Any = x, targets: Any = targets
        ) -> Callable[[], Any]:
            return lambda: model.loss_and_grad(
                x, targets, truncation=truncation, threads=given.threads
            )

        whole, cut = gradient(None), gradient((k1, k2))
        peaks = [_peak(call) for call in (whole, cut)]
        times = _times([whole, cut], given.repeats)
        _say(f"{T:7d} {peaks[0] / 1e6:14.2f} {peaks[1] / 1e6:11.2f} {times[1] / times[0]:11.2f}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _peak(call: Callable[[], Any]) -> int:
    """Return the most bytes that a call holds at once; the first call, which compiles, apart."""
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _times(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the fastest time of each call; in turns, so that what else runs meets them alike."""
    fastest = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            fastest[i] = min(fastest[i], time.perf_counter() - start)
    return fastest


if __name__ == "__main__":
    main()
