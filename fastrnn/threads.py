"""How work is split over cores.

A kernel that computes rows `first` to `last` of its result gives each row the same bits whatever
the range, so any split gives the same result. The kernels release the GIL and run on a pool of
Python threads: no OpenMP, no TBB, so nothing aborts after a fork or under concurrent callers.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
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
    return _environment_wish() or _cores()


def _environment_wish() -> int | None:
    wish = os.environ.get("FASTRNN_NUM_THREADS", "").strip()
    if not wish:
        return None
    if not wish.isdecimal() or int(wish) < 1:
        raise ValueError(f"FASTRNN_NUM_THREADS: expected an integer >= 1, got {wish!r}")
    return int(wish)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parts(rows: int, threads: int | None, work: int) -> int:
    """Return into how many parts to split the rows; asks for the cores only where it matters."""
    if threads is not None:
        return min(count("threads", threads), rows)
    wish = _environment_wish()
    worth = min(rows, 1 + work // _WORTH_A_THREAD)
    return worth if worth <= 1 else min(worth, wish or _cores())


def share(
    task: Callable[..., None], arguments: tuple[Any, ...], rows: int, threads: int | None, work: int
) -> None:
    """Call ``task(*arguments, first, last)`` for parts that make up ``range(rows)``.

    `work` is the number of multiply-adds: without a wish of the caller's, little work stays on
    one thread. The first error of a part is raised after all parts have ended.
    """
    parts = _parts(rows, threads, work)
    if parts <= 1:
        task(*arguments, 0, rows)
        return
    edges = [rows * i // parts for i in range(parts + 1)]
    others = [
        _pool.submit(task, (*arguments, first, last))
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
    """Daemon threads that take calls from one queue, started at first use.

    Not a ThreadPoolExecutor: its threads are joined when Python exits, so a long kernel that was
    left behind by Ctrl-C would hold up the exit.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin without threads: a forked child has none of its parent's."""
        self._lock = threading.Lock()
        self._calls: SimpleQueue[tuple[Future[None], Callable[..., None], tuple[Any, ...]]]
        self._calls = SimpleQueue()
        self._started = False

    def submit(self, task: Callable[..., None], arguments: tuple[Any, ...]) -> Future[None]:
        with self._lock:
            if not self._started:
                for _ in range(max(2, os.cpu_count() or 1)):
                    threading.Thread(target=self._serve, name="fastrnn", daemon=True).start()
                self._started = True
        future: Future[None] = Future()
        self._calls.put((future, task, arguments))
        return future

    def _serve(self) -> None:
        while True:
            future, task, arguments = self._calls.get()
            try:
                task(*arguments)
                future.set_result(None)
            except BaseException as error:  # noqa: BLE001 (raised again by the caller)
                future.set_exception(error)
            del future, task, arguments  # or the arrays would live on while waiting


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.reset)
