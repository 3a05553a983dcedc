"""Where work is done: here, one after another; in processes of this machine; on a cluster.

A piece of work is a picklable callable that takes a `Watch` (see `tdnn.compare.training`) or None
and returns what can be pickled. Results come as they get ready, each with its work; they do not
depend on where they were made.
"""

import contextlib
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tdnn.compare.errors import ComparisonError, ComparisonInterrupted

__all__ = ["Cluster", "Here", "Processes", "folder_for", "open_jobs"]

PATIENCE = 10.0  # seconds until a scheduler must have answered

Work = TypeVar("Work", bound=Callable[[Any], Any])


class Jobs(Protocol):
    """What does work."""

    alone: bool  # one piece at a time, in this process: it can be watched
    shares_files: bool  # sees the folders of this machine

    def results(
        self, work: Sequence[Work], before: Callable[[Work], Any]
    ) -> Iterator[tuple[Work, Any]]:
        """Each piece of work with its result; where it can, `before` it begins tells the watch."""


class Here:
    """One piece of work after another, in this process."""

    alone = shares_files = True

    def results(
        self, work: Sequence[Work], before: Callable[[Work], Any]
    ) -> Iterator[tuple[Work, Any]]:
        for piece in work:
            yield piece, piece(before(piece))


class Processes:
    """So many processes of this machine (joblib's loky).

    Parameters
    ----------
    count : int
        How many pieces of work are done at a time.
    """

    alone, shares_files = False, True

    def __init__(self, count: int) -> None:
        self.count = count

    def results(
        self,
        work: Sequence[Work],
        before: Callable[[Work], Any],  # noqa: ARG002
    ) -> Iterator[tuple[Work, Any]]:
        from joblib import parallel_config
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        try:
            with parallel_config(
                backend="loky", n_jobs=min(self.count, max(len(work), 1)), max_nbytes=None,
                initializer=_leave_ctrl_c_to_the_parent,
            ):  # fmt: skip
                yield from _as_they_get_ready(work)
        except TerminatedWorkerError as error:
            raise ComparisonError(
                "--jobs: a process ended before its work was done (out of memory?)",
                "start again, with fewer --jobs; finished runs are stored",
            ) from error


class Cluster:
    """The workers of a Dask scheduler (joblib's Dask backend).

    They need the same version of FastRNN, and no folder in common with this machine.

    Parameters
    ----------
    address : str
        Of the scheduler: ``tcp://host:8786``.

    Raises
    ------
    ComparisonError
        If dask.distributed is not installed, or the scheduler does not answer.
    """

    alone = shares_files = False

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ComparisonError(
                "--scheduler: it needs dask.distributed", 'pip install "fastrnn[cluster]"'
            ) from error
        try:
            self.client = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ComparisonError(
                f"--scheduler: no answer from {address} ({type(error).__name__})",
                "give the address that dask scheduler prints, such as tcp://host:8786",
            ) from error

    def close(self) -> None:
        """Leave the cluster as it is, without us."""
        self.client.close()

    def results(
        self,
        work: Sequence[Work],
        before: Callable[[Work], Any],  # noqa: ARG002
    ) -> Iterator[tuple[Work, Any]]:
        from joblib import parallel_config

        try:
            with parallel_config(backend="dask", client=self.client, wait_for_workers_timeout=60):
                yield from _as_they_get_ready(work)
        except TimeoutError as error:
            raise ComparisonError(
                "--scheduler: the cluster has no worker", "start some: dask worker ADDRESS"
            ) from error


def _as_they_get_ready(work: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
    from joblib import Parallel, delayed

    parallel = Parallel(return_as="generator_unordered", batch_size=1)
    found = parallel(delayed(_numbered)(number, piece) for number, piece in enumerate(work))
    try:
        for number, result in found:
            yield work[number], result
    except KeyboardInterrupt as interrupt:
        raise ComparisonInterrupted from interrupt
    finally:
        with warnings.catch_warnings():  # joblib warns of work that is given up
            warnings.simplefilter("ignore")
            found.close()


def _numbered(number: int, piece: Callable[[None], Any]) -> tuple[int, Any]:
    return number, piece(None)


def _leave_ctrl_c_to_the_parent() -> None:
    """Ctrl-C in a terminal reaches all processes; the parent ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_idle_processes() -> None:
    """Joblib keeps them for more work, of which there is none."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


@contextlib.contextmanager
def open_jobs(count: int, scheduler: str | None) -> Iterator[Jobs]:
    """What does the work of a comparison: `count` processes, or a cluster."""
    if scheduler is not None:
        cluster = Cluster(scheduler)
        try:
            yield cluster
        finally:
            cluster.close()
    elif count > 1:
        yield Processes(count)
        _end_idle_processes()
    else:
        yield Here()


@contextlib.contextmanager
def folder_for(folder: Path | None) -> Iterator[Path]:
    """`folder`, or one for the time being where there is none in common with the parent."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="rnn-vs-tdnn-") as own:
        yield Path(own)
