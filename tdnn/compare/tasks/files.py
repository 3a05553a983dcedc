"""Files from outside: found, hashed, and never trusted."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tdnn.compare import fetching
from tdnn.compare.errors import ComparisonError

__all__ = ["bad_data", "digest", "find_data", "read_bytes", "tidy"]

LONGEST_LABEL = 60


def bad_data(problem: str, hint: str) -> ComparisonError:
    """An error about what ``--data`` gave."""
    return ComparisonError(f"--data: {' '.join(problem.split())}", hint)


def find_data(path: Path | None, task: str, what: str, name: str) -> Path:
    """The path given; or what ``rnn-vs-tdnn fetch NAME`` fetched before.

    Raises
    ------
    ComparisonError
        If nothing was given and nothing fetched, or there is nothing at the path.
    """
    hint = f"rnn-vs-tdnn fetch {name}, or --data PATH"
    if path is None:
        path = fetching.fetched(name)
    if path is None:
        raise bad_data(f"the task {task} needs {what}; none was given or fetched", hint)
    if not path.exists():
        raise bad_data(f"there is no {path}", hint)
    return path


def read_bytes(path: Path) -> bytes:
    """The content of a file, or a ComparisonError that says why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise bad_data(
            f"cannot read {path} ({error.strerror or error})", "give the path of a readable file"
        ) from error


def digest(contents: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over names and contents; of a single nameless content, that of the content."""
    total = hashlib.sha256()
    for name, content in contents:
        if name:
            total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def tidy(label: str) -> str:
    """A name from a file as one printable line of bounded length; it is still data."""
    line = "".join(character if character.isprintable() else " " for character in label)
    line = " ".join(line.split())
    return line if len(line) <= LONGEST_LABEL else line[: LONGEST_LABEL - 3] + "..."
