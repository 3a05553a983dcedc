"""A thread that computes while its caller waits in a way that Ctrl-C can end at once."""

import contextvars
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

__all__ = ["Worker"]


class Worker:
    """One daemon thread that runs calls, one after the other.

    KeyboardInterrupt reaches the main thread only, and only between two steps of Python: a main
    thread inside a compiled kernel would see it when the kernel is done. So the kernels run here.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._waiting = False
        context = contextvars.copy_context()  # np.errstate of the caller holds here too
        self._thread = Thread(target=context.run, args=(self._serve,), daemon=True, name="fit")
        self._thread.start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``function(*arguments)``, or raise what it raises.

        After an exception of the waiting itself (KeyboardInterrupt) the call goes on by itself,
        and no other may follow.
        """
        self._waiting = True
        self._calls.put((function, arguments))
        while self._waiting:
            try:  # in short turns, because Windows cannot interrupt a wait
                value, error = self._results.get(timeout=0.1)
                self._waiting = False
            except Empty:
                continue
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Let the thread end, and wait for that unless a call was left running."""
        self._calls.put(None)
        if not self._waiting:
            self._thread.join()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            function, arguments = call
            try:
                self._results.put((function(*arguments), None))
            except BaseException as error:  # noqa: BLE001 (raised again by the caller)
                self._results.put((None, error))
            del call, function, arguments  # or the last batch would live on while waiting
