"""How work is split over cores.

A kernel that computes rows `first` to `last` of its result gives each row the same bits whatever
the range, so any split gives the same result. The kernels release the GIL and run on a pool of
Python threads: no OpenMP, no TBB, so nothing aborts after a fork or under concurrent callers.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastrnn.arrays import count

__all__ = ["share", "thread_count"]

# Fewer multiply-adds than this are done before a second thread has woken up.
_WORTH_A_THREAD = 500_000


def thread_count(threads: int | None = None) -> int:
    """Return how many threads a call may use.

    Parameters
    ----------
    threads : int, optional
        The caller's wish. None: the environment variable ``FASTRNN_NUM_THREADS``, or as many
        as there are cores that this process may use.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        If `threads` or the environment variable is no integer >= 1.

    Examples
    --------
    >>> thread_count(3)
    3
    """
    if threads is not None:
        return count("threads", threads)
    wish = os.environ.get("FASTRNN_NUM_THREADS", "").strip()
    if wish:
        if not wish.isdecimal() or int(wish) < 1:
            raise ValueError(f"FASTRNN_NUM_THREADS: expected an integer >= 1, got {wish!r}")
        return int(wish)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(
    task: Callable[..., None], arguments: tuple[Any, ...], rows: int, threads: int | None, work: int
) -> None:
    """Call ``task(*arguments, first, last)`` for parts that make up ``range(rows)``.

    `work` is the number of multiply-adds: without a wish of the caller's, little work stays on
    one thread. The first error of a part is raised after all parts have ended.
    """
    parts = thread_count(threads)
    if threads is None:
        parts = min(parts, 1 + work // _WORTH_A_THREAD)
    parts = max(1, min(parts, rows))
    edges = [rows * i // parts for i in range(parts + 1)]
    others = [
        _Pool.submit(task, *arguments, first, last)
        for first, last in zip(edges[1:-1], edges[2:], strict=True)
    ]
    try:
        task(*arguments, edges[0], edges[1])
    finally:
        errors = [other.exception() for other in others]  # waits: buffers stay ours until then
    for error in errors:
        if error is not None:
            raise error


class _Pool:
    """The threads of this process, started at first use and forgotten by a forked child."""

    executor: ThreadPoolExecutor | None = None

    @classmethod
    def submit(cls, task: Callable[..., None], *arguments: Any) -> Any:
        if cls.executor is None:
            workers = max(2, os.cpu_count() or 1)
            cls.executor = ThreadPoolExecutor(workers, thread_name_prefix="fastrnn")
        return cls.executor.submit(task, *arguments)

    @classmethod
    def forget(cls) -> None:
        cls.executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Pool.forget)
