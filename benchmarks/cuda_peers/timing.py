"""Time on the device, and what the device could do at best."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Limits", "event_block", "host_seconds", "measure_limits", "roofline"]


def event_block(torch: Any) -> Callable[[Callable[[], Any], int], tuple[float, float]]:
    """Return a clock for `benchmarks.peers.timing.measure`: the device's, by a pair of events.

    Calls are queued without waiting for each other; where the host is slower than the device, what
    is measured is the host.
    """

    def block(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
        if repeats > 1:
            call()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            call()
        end.record()
        end.synchronize()
        return max(begin.elapsed_time(end) * 1e-3, 1e-9) / repeats, 0.0

    return block


def host_seconds(call: Callable[[], Any], wait: Callable[[], Any], calls: int = 200) -> float:
    """Return how long the host is kept by one call: the median of blocks of 20, queue empty."""
    call()
    blocks = []
    for _ in range(max(1, calls // 20)):
        wait()
        start = time.perf_counter()
        for _ in range(20):
            call()
        blocks.append((time.perf_counter() - start) / 20)
    wait()
    return float(np.median(blocks))


@dataclass(frozen=True)
class Limits:
    """What was measured of the device: floating-point operations and bytes per second."""

    flops: dict[str, float]
    bandwidth: float


def measure_limits(torch: Any, device: str, size: int = 8192) -> Limits:
    """Return the speed of torch's matrix product, TF32 off, and of a copy in memory."""
    block = event_block(torch)
    flops = {}
    for name in ("float32", "float64"):
        a = torch.randn(size, size, device=device, dtype=getattr(torch, name))
        flops[name] = 2 * size**3 / min(block(lambda a=a: a @ a, 2)[0] for _ in range(3))
    source = torch.empty(size * size * 4, device=device, dtype=torch.float32)
    target = torch.empty_like(source)
    seconds = min(block(lambda: target.copy_(source), 4)[0] for _ in range(3))
    return Limits(flops, 2 * 4 * source.numel() / seconds)


def roofline(case: Any, limits: Limits) -> tuple[float, str]:
    """Return the least seconds that a case can take, and what binds: "peak" or "memory"."""
    compute = case.flops / limits.flops[case.dtype]
    memory = case.bytes / limits.bandwidth
    return max(compute, memory), "peak" if compute >= memory else "memory"
