"""How work is split over cores.

A kernel that computes rows `first` to `last` of its result gives each row the same bits whatever
the range, so any split gives the same result. The kernels release the GIL and run on a pool of
Python threads: no OpenMP, no TBB, so nothing aborts after a fork or under concurrent callers.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.arrays import count
from fastrnn.simd import VECTOR_BYTES
from fastrnn.simd.team import TEAMS, give_up

__all__ = ["share", "share_steps", "thread_count"]

# Fewer multiply-adds than this are done before a second thread has woken up and found a core.
_WORTH_A_THREAD = 8_000_000
# Multiply-adds of each member and step that outweigh waiting for each other after it.
_WORTH_A_MEETING = 20_000
# Fewer sequences than this do not fill a register tile.
_ROWS_OF_A_TILE = 4
# Bytes of W that stay in one core's cache from step to step.
_CACHE_FOR_WEIGHTS = 2**18
_ALONE = np.empty(0, np.int64)
# Long waits within one call that show that the cores are not free, and how long that then holds.
_WAITS_OF_A_CROWD = 8
_SECONDS_ALONE = 0.5


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
    wish = _environment_wish() if threads is None else count("threads", threads)
    worth = min(rows, 1 + work // _WORTH_A_THREAD)
    return worth if worth <= 1 else min(worth, wish or _cores())


def share(
    task: Callable[..., None], arguments: tuple[Any, ...], rows: int, threads: int | None, work: int
) -> None:
    """Call ``task(*arguments, first, last)`` for parts that make up ``range(rows)``.

    `work` is the number of multiply-adds: `threads` is the most that may be used, and little work
    stays on one. The first error of a part is raised after all parts have ended.
    """
    parts = _parts(rows, threads, work)
    if parts <= 1:
        task(*arguments, 0, rows)
        return
    _run(task, arguments, list(pairwise(_edges(rows, parts))))


def share_steps(
    task: Callable[..., None], arguments: tuple[Any, ...], rows: int, threads: int | None,
    work: int, weights: NDArray[Any],
) -> None:  # fmt: skip
    """Share a recurrence: by its sequences, or by the panels of columns that W (m, m) fills.

    Call ``task(*arguments, arrivals, members, first, last, first_panel, end_panel)``. Sequences go
    their own way. But where there are few, or where W is too large for one core's cache, all
    members take all sequences and each its share of W, and they meet after each step.
    """
    m = len(weights)
    panels = -(-m * weights.itemsize // VECTOR_BYTES)
    pairs = (panels + 1) // 2  # a register tile is two panels wide
    members = _parts(max(rows, pairs), threads, work)
    if members <= 1:
        task(*arguments, _ALONE, 1, 0, rows, 0, panels)
        return
    # A team is held up by each of its members whose core other processes use: then not for a while.
    free = time.monotonic() >= _pool.crowded_until
    few = rows < _ROWS_OF_A_TILE * members or weights.nbytes > _CACHE_FOR_WEIGHTS
    if TEAMS and few and free and rows * m * m >= _WORTH_A_MEETING * members:
        with _pool.seats(min(members, pairs, _cores()) - 1) as seats:
            arrivals = np.zeros(16, np.int64)  # a cache line of its own for the count
            edges = [min(2 * edge, panels) for edge in _edges(pairs, seats + 1)]
            calls = [(arrivals, seats + 1, 0, rows, *part) for part in pairwise(edges)]
            _run(task, arguments, calls, lambda: give_up(arrivals))
            if arrivals[-1] > _WAITS_OF_A_CROWD:
                _pool.crowded_until = time.monotonic() + _SECONDS_ALONE
        return
    edges = _edges(rows, min(members, rows))
    _run(task, arguments, [(_ALONE, 1, *part, 0, panels) for part in pairwise(edges)])


def _edges(size: int, parts: int) -> list[int]:
    """Return where the parts that make up ``range(size)`` begin and end; one part at least."""
    parts = max(1, parts)
    return [size * i // parts for i in range(parts + 1)]


def _run(
    task: Callable[..., None], arguments: tuple[Any, ...], calls: list[tuple[Any, ...]],
    failed: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Call the task once for each of the further arguments: here and on the pool's threads.

    `failed` is called as soon as one has failed, while others may wait for it.
    """

    def attempt(*arguments: Any) -> None:
        try:
            task(*arguments)
        except BaseException:
            failed()
            raise

    others: list[Future[None]] = []
    try:
        for call in calls[1:]:
            others.append(_pool.submit(attempt, (*arguments, *call)))
        task(*arguments, *calls[0])
    except BaseException:  # Ctrl-C too, before the task has begun
        failed()
        raise
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
        self.crowded_until = 0.0
        self._started = False
        self._size = self._free = max(2, os.cpu_count() or 1)

    @contextmanager
    def seats(self, wish: int) -> Iterator[int]:
        """Reserve threads, as many as are left of the wish, for calls that wait for each other.

        Without it, each of two teams could hold the thread that the other one waits for.
        """
        with self._lock:
            seats = min(wish, self._free)
            self._free -= seats
        try:
            yield seats
        finally:
            with self._lock:
                self._free += seats

    def submit(self, task: Callable[..., None], arguments: tuple[Any, ...]) -> Future[None]:
        with self._lock:
            if not self._started:
                for _ in range(self._size):
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
