"""Which cores a process is bound to; imports nothing that starts threads."""

import os
from pathlib import Path

__all__ = ["bind", "choose_cores", "usable_cores"]

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
