"""Which cores a process is bound to, and who else is there; imports nothing that starts threads."""

import os
import time
from pathlib import Path

__all__ = ["Neighbours", "bind", "choose_cores", "usable_cores"]

_CPU = Path("/sys/devices/system/cpu")


def usable_cores() -> set[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def choose_cores(count: int, usable: set[int]) -> set[int] | None:
    """Return `count` of the usable cores, if possible no two of which share one physical core.

    None if there are fewer. The last ones come first: the first core serves most interrupts.
    """
    if count > len(usable):
        return None

    def physical(core: int) -> str:
        try:
            return (_CPU / f"cpu{core}/topology/thread_siblings_list").read_text()
        except OSError:
            return str(core)

    first_of = {physical(core): core for core in sorted(usable)}
    alone = sorted(first_of.values(), reverse=True)
    return set([*alone, *sorted(usable - set(alone), reverse=True)][:count])


def bind(threads: int) -> None:
    """Bind this process to as many cores as threads, where the system can."""
    cores = choose_cores(threads, usable_cores())
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


class Neighbours:
    """Tells which share of this process's cores other processes took since it was made."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Return the time, the cores' busy seconds, and those of this process."""
        if not hasattr(os, "sysconf"):
            return None
        names = {f"cpu{core}" for core in usable_cores()}
        ticks = 0
        try:
            for row in Path("/proc/stat").read_text(encoding="ascii").splitlines():
                name, *counts = row.split()
                if name in names:
                    user, nice, system, _idle, _wait, *rest = map(int, counts)
                    ticks += user + nice + system + sum(rest[:3])  # interrupts, and stolen time
        except (OSError, ValueError):
            return None
        return time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()

    def share(self) -> float:
        """Return that share, from 0 to 1; NaN where the system does not tell."""
        end = self._now()
        if self._start is None or end is None:
            return float("nan")
        elapsed, busy, ours = (b - a for a, b in zip(self._start, end, strict=True))
        return min(1.0, max(0.0, (busy - ours) / (elapsed * len(usable_cores()))))
