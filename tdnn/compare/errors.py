"""What can go wrong on the way to a report, in a form the command line can show."""


class ComparisonError(ValueError):
    """A wrong wish or an unusable file: one sentence, and a hint how to go on.

    Parameters
    ----------
    problem : str
        What is wrong, in one line.
    hint : str
        What to do about it, in one line.

    Examples
    --------
    >>> from tdnn.compare.errors import ComparisonError
    >>> str(ComparisonError("--steps: expected at least 1, got 0", "leave --steps out"))
    '--steps: expected at least 1, got 0; hint: leave --steps out'
    """

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem}; hint: {hint}")
        self.problem = problem
        self.hint = hint

    def __reduce__(self) -> tuple[type["ComparisonError"], tuple[str, str]]:
        return type(self), (self.problem, self.hint)


class ComparisonInterrupted(Exception):  # noqa: N818 (no error)
    """Ctrl-C came; what was finished is stored, and a second start goes on from there."""

    def __init__(self) -> None:
        super().__init__(
            "interrupted; finished runs are stored, the same command goes on from there"
        )
