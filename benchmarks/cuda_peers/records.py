"""Results: one record per case and contender."""

from dataclasses import dataclass

from benchmarks.peers.records import is_number

__all__ = ["Record", "by_case", "is_number", "per_step"]


@dataclass(frozen=True)
class Record:
    """One contender's result for one case.

    Parameters
    ----------
    group, direction, dtype, m, B, T, p, offsets
        What was measured; see `grid.Case`. Group "launch" has none of the sizes.
    contender : str
        Who did it: "ours" or a peer.
    seconds : float
        Median time on the device of doing the work once; of "launch" that of the host.
    ratio : float
        Median over rounds of its time / the time of "ours".
    error : float
        Largest norm-wise error against float64; NaN where it was not asked for.
    percent : float
        Of the limit that binds; NaN where none is known.
    bound : str
        That limit: "peak" or "memory".
    rounds : int
        Number of rounds.
    """

    group: str
    direction: str
    dtype: str
    m: int
    B: int
    T: int
    p: int
    offsets: str
    contender: str
    seconds: float
    ratio: float
    error: float
    percent: float
    bound: str
    rounds: int

    @property
    def cell(self) -> str:
        """The case's sizes, as a name."""
        channels = f"/{self.p} ({self.offsets})" if self.offsets else ""
        return f"{self.m}/{self.B}/{self.T}{channels}"


def by_case(records: list[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Return the records by group, cell and direction, in their order."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for r in records:
        found.setdefault((r.group, r.cell, r.direction), []).append(r)
    return found


def per_step(record: Record) -> float:
    """Return the seconds per time step."""
    return record.seconds / max(1, record.T)
