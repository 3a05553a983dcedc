"""The gate: whether one commit is worse than another, beyond what noise explains.

- A benchmark that fails, or is missing, where it had a result before: worse.
- A time: worse if its ratio is above `TIME_RATIO` and the two 99 % intervals are disjoint, in a
  first run and in a second one. Intervals hold what varies within a run; a second sees the rest.
- A gradient error or a number of bytes, which hardly vary: worse if the ratio is above
  `FIXED_RATIO`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.history.results import Key, Run, Value

__all__ = ["FIXED_RATIO", "TIME_RATIO", "Finding", "is_time", "judge", "ratio", "worse"]

TIME_RATIO = 1.15
FIXED_RATIO = 1.25


@dataclass(frozen=True)
class Finding:
    """What the gate says of one benchmark.

    Parameters
    ----------
    kind : {"failed", "missing", "slower", "larger", "unconfirmed", "not confirmed", "new version"}
        All but the last two let the gate fail: "unconfirmed" is slower in the only run there is.
    key : Key
    text : str
        One line.
    """

    kind: str
    key: Key
    text: str

    @property
    def fails(self) -> bool:
        """Return whether it lets the gate fail."""
        return self.kind not in ("not confirmed", "new version")


def is_time(key: Key) -> bool:
    """Return whether a benchmark measures time: its last name says so, as asv wants it."""
    return key.benchmark.rpartition(".")[2].startswith(("time_", "timeraw_"))


def ratio(base: Value, head: Value) -> float:
    """Return head / base of two results that are there."""
    return float(head.value or 0.0) / float(base.value or 1.0)


def worse(key: Key, base: Value, head: Value) -> bool:
    """Return whether `head` is worse than `base`, beyond noise as far as one run tells."""
    if is_time(key):
        return ratio(base, head) > TIME_RATIO and head.low > base.high
    return ratio(base, head) > FIXED_RATIO


def judge(
    base: Run, head: Run, second_base: Run | None = None, second_head: Run | None = None
) -> list[Finding]:
    """Compare two commits.

    Parameters
    ----------
    base, head : Run
        Results of the commit before and after.
    second_base, second_head : Run, optional
        Of a second run of each. Where the base was not run again, its first run stands.

    Returns
    -------
    list of Finding
        By name; empty if nothing is to be said.
    """
    seconds = second_base.results if second_base else {}, second_head.results if second_head else {}
    found: list[Finding] = []
    for key, old in sorted(base.results.items()):
        if old.status != "ok":
            continue
        new = head.results.get(key)
        if new is not None and new.status == "ok" and new.version != old.version:
            text = f"version {old.version} and {new.version} cannot be compared"
            found.append(Finding("new version", key, text))
        elif new is None or new.status != "ok":
            found.append(_absent(key, new))
        elif worse(key, old, new):
            again = seconds[0].get(key, old), seconds[1].get(key)
            found.append(_worse(key, old, new, *again))
    found.extend(_new_failures(base, head))
    return found


def _absent(key: Key, new: Value | None) -> Finding:
    if new is None:
        return Finding("missing", key, "had a result, is not there any more")
    verb = "fails" if new.status == "failed" else "is skipped"
    return Finding("failed", key, f"had a result, {verb} now")


def _new_failures(base: Run, head: Run) -> Iterator[Finding]:
    for key, new in sorted(head.results.items()):
        old = base.results.get(key)
        if new.status == "failed" and (old is None or old.status != "ok"):
            yield Finding("failed", key, "fails" if old is None else f"fails, {old.status} before")


def _worse(key: Key, old: Value, new: Value, old_2: Value, new_2: Value | None) -> Finding:
    text = f"{old.value:.3g} -> {new.value:.3g}, ratio {ratio(old, new):.2f}"
    if not is_time(key):
        return Finding("larger", key, text)
    if new_2 is None:
        return Finding("unconfirmed", key, f"{text}; no second run")
    if new_2.status != "ok":
        return Finding("failed", key, f"{text}; the second run {new_2.status}")
    if old_2.status != "ok":
        old_2 = old
    text += f", in the second run {ratio(old_2, new_2):.2f}"
    return Finding("slower" if worse(key, old_2, new_2) else "not confirmed", key, text)
