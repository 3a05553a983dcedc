"""On what a run was made, as the report shows it: no names of machines, no paths."""

import functools
import subprocess
from pathlib import Path

import fastrnn
from fastrnn import thread_count
from fastrnn.environment import describe

__all__ = ["commit", "environment_labels"]


def environment_labels(threads: int | None) -> dict[str, str]:
    """Return label -> value: versions, commit, processor, and the threads that the run may use.

    Examples
    --------
    >>> from tdnn.compare.environment import environment_labels
    >>> environment_labels(2)["threads"]
    '2'
    """
    facts = describe() | {"threads": thread_count(threads), "commit": commit()}
    return {
        label: " ".join(fact) if isinstance(fact, list) else str(fact)
        for label, fact in facts.items()
    }


@functools.cache
def commit() -> str:
    """The commit of a checkout, "(changed)" behind it where files differ; else "release"."""
    file = Path(fastrnn.__file__)

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(file.parent), *words],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)  # not a repository around an installation
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "..")
        return git("rev-parse", "HEAD") + (" (changed)" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "release"
