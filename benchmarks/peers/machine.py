"""The machine's limits: fused multiply-adds in registers, and reading from each cache."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.cases import Case
from benchmarks.peers.timing import Contender, measure
from fastrnn.jit import kernel
from fastrnn.simd import VECTOR_BYTES, fma, lanes, load, store

__all__ = ["Machine", "percent_of_bound"]

_CPU = Path("/sys/devices/system/cpu")
_USUAL_CACHES = {"L1": 32 << 10, "L2": 512 << 10, "L3": 16 << 20}


@kernel
def _fma_tile(seeds, turns, out):  # type: ignore[no-untyped-def]
    """Run 12 chains of fused multiply-adds: more than two units with a latency of 4 or 5 need."""
    n = lanes(seeds)
    x, y = load(seeds, 0), load(seeds, n)
    # Different starts: LLVM would compute equal chains once.
    a0, a1, a2 = load(seeds, 2 * n), load(seeds, 3 * n), load(seeds, 4 * n)
    a3, a4, a5 = load(seeds, 5 * n), load(seeds, 6 * n), load(seeds, 7 * n)
    a6, a7, a8 = load(seeds, 8 * n), load(seeds, 9 * n), load(seeds, 10 * n)
    a9, a10, a11 = load(seeds, 11 * n), load(seeds, 12 * n), load(seeds, 13 * n)
    for _ in range(turns):
        a0, a1, a2 = fma(x, y, a0), fma(x, y, a1), fma(x, y, a2)
        a3, a4, a5 = fma(x, y, a3), fma(x, y, a4), fma(x, y, a5)
        a6, a7, a8 = fma(x, y, a6), fma(x, y, a7), fma(x, y, a8)
        a9, a10, a11 = fma(x, y, a9), fma(x, y, a10), fma(x, y, a11)
    store(out, 0, a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11)


_CHAINS, _TURNS = 12, 20_000


@kernel
def _read(array, turns, out):  # type: ignore[no-untyped-def]
    """Add up an array `turns` times, in 8 chains; its size is a multiple of 8 vectors."""
    n = lanes(array)
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = load(array, 0)
    for _ in range(turns):
        for i in range(0, array.size, 8 * n):
            a0, a1 = a0 + load(array, i), a1 + load(array, i + n)
            a2, a3 = a2 + load(array, i + 2 * n), a3 + load(array, i + 3 * n)
            a4, a5 = a4 + load(array, i + 4 * n), a5 + load(array, i + 5 * n)
            a6, a7 = a6 + load(array, i + 6 * n), a7 + load(array, i + 7 * n)
    store(out, 0, a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7)


def cache_sizes() -> dict[str, int]:
    """Return the bytes of each data cache of a core, "L1" to "L3"; usual ones where unknown."""
    sizes = dict(_USUAL_CACHES)
    for folder in _CPU.glob("cpu0/cache/index*"):
        try:
            kind, level, size = (
                (folder / name).read_text().strip() for name in ("type", "level", "size")
            )
        except OSError:
            continue
        if kind != "Instruction" and f"L{level}" in sizes and size.endswith("K"):
            sizes[f"L{level}"] = int(size[:-1]) << 10
    return sizes


class Machine:
    """One core's peak and bandwidths, and yardsticks to measure them again among contenders."""

    def __init__(self) -> None:
        self.caches = cache_sizes()
        self.peak: dict[str, float] = {}
        self.bandwidth: dict[str, float] = {}
        levels = [*self.caches, "DRAM"]
        self._arrays = {level: _aligned_ones(self._bytes(level) // 4) for level in levels}
        for dtype in ("float32", "float64"):
            self.peak[dtype] = self._rate(self._peak_yardstick(dtype))
        for level in levels:
            self.bandwidth[level] = self._rate(self._read_yardstick(level))

    def _bytes(self, level: str) -> int:
        """Return the size of an array that lies in that cache, and not in the one before."""
        size = self.caches[level] // 2 if level in self.caches else 4 * self.caches["L3"]
        return min(size, 256 << 20) // 4096 * 4096

    @staticmethod
    def _rate(yardstick: tuple[Contender, float]) -> float:
        contender, work = yardstick
        contender.call()
        return work / float(measure([contender], 0.1)[0].min())

    def _peak_yardstick(self, dtype: str) -> tuple[Contender, float]:
        width = lanes_of(dtype)
        seeds, out = np.linspace(0.1, 1, 14 * width).astype(dtype), np.empty(width, dtype)
        work = 2.0 * _CHAINS * width * _TURNS
        return Contender("peak", lambda: _fma_tile(seeds, _TURNS, out), _nothing), work

    def _read_yardstick(self, level: str) -> tuple[Contender, float]:
        array, out = self._arrays[level], np.empty(64, np.float32)
        turns = max(1, (16 << 20) // array.nbytes)
        return (
            Contender(level, lambda: _read(array, turns, out), _nothing),
            float(array.nbytes * turns),
        )

    def level(self, size: int) -> str:
        """Return the smallest cache that holds `size` bytes, or "DRAM"."""
        return next((name for name, room in self.caches.items() if size <= room), "DRAM")

    def yardstick(self, case: Case, threads: int) -> tuple[Contender, float, float]:
        """Return what measures the limit that binds a case, its work, and the case's work."""
        level = self.level(case.state_weight_bytes // threads)
        if case.traffic / self.bandwidth[level] > case.flops / self.peak[case.dtype]:
            return (*self._read_yardstick(level), float(case.traffic))
        return (*self._peak_yardstick(case.dtype), float(case.flops))

    def facts(self) -> dict[str, str]:
        """Return the figures for people."""
        peak = ", ".join(f"{rate / 1e9:.0f} {dtype}" for dtype, rate in self.peak.items())
        speeds = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in self.bandwidth.items())
        return {"peak of one core, GFLOP/s": peak, "bandwidth of one core, GB/s": speeds}


def _aligned_ones(count: int) -> np.ndarray:
    """Return float32 ones from the start of a cache line on: no vector lies in two lines."""
    array = np.ones(count + 16, np.float32)
    start = -array.ctypes.data % 64 // 4
    return array[start : start + count]


def lanes_of(dtype: str) -> int:
    """Return how many numbers of a dtype a vector holds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def _nothing(_returned: Any) -> dict[str, Any]:
    return {}


def percent_of_bound(
    work: float, seconds: np.ndarray, yard_work: float, yard_seconds: np.ndarray, threads: int
) -> float:
    """Return how near a case comes to its limit, in percent: the median over rounds.

    Parameters
    ----------
    work, yard_work : float
        Operations, or bytes, of the case and of its yardstick.
    seconds, yard_seconds : ndarray, shape (rounds,)
        Times of both in the same rounds.
    threads : int
        The yardstick's rate is that of one core.

    Examples
    --------
    >>> percent_of_bound(6.0, np.array([4.0]), 1.0, np.array([0.5]), 1)
    75.0
    """
    return float(np.median(100 * (work / seconds) / (yard_work / yard_seconds) / threads))
