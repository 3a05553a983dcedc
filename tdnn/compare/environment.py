"""On what a run was made, as the report shows it: no names of machines, no paths."""

from fastrnn import thread_count
from fastrnn.environment import describe

__all__ = ["environment_labels"]


def environment_labels(threads: int | None) -> dict[str, str]:
    """Return label -> value: versions, processor, and the threads that the run may use.

    Examples
    --------
    >>> from tdnn.compare.environment import environment_labels
    >>> environment_labels(2)["threads"]
    '2'
    """
    facts = describe() | {"threads": thread_count(threads)}
    return {
        label: " ".join(fact) if isinstance(fact, list) else str(fact)
        for label, fact in facts.items()
    }
