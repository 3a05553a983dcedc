"""All results as one tidy table."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.history.results import HistoryError, choose_machine, descriptions, load_runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "to_df"]

COLUMNS = (
    "machine", "commit", "date", "benchmark", "parameters", "unit", "status", "value", "low",
    "high", "number", "repeat", "version",
)  # fmt: skip


def to_df(results: Path, machine: str | None = None) -> "pd.DataFrame":
    """Return a row for each commit, benchmark and set of parameters.

    Parameters
    ----------
    results : Path
        The folder of results.
    machine : str, optional
        May be left out where there is only one.

    Returns
    -------
    DataFrame
        With `COLUMNS`. ``date`` is the commit's (UTC); ``parameters`` are written as
        ``shape=one, dtype=float32``; ``status`` is ok, failed or skipped; ``low`` and ``high`` are
        the 99 % interval of the median (of few samples, the quartiles), NaN where there are none.

    Raises
    ------
    HistoryError
        If there are no results, a file is damaged, or pandas is missing.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise HistoryError("to-df needs pandas", 'pip install -e ".[report]"') from error
    name, about, rows = choose_machine(results, machine), descriptions(results), []
    for run in load_runs(results, name):
        for key, value in sorted(run.results.items()):
            described = about.get(key.benchmark, {})
            names = described.get("param_names") or [f"p{i}" for i in range(len(key.parameters))]
            pairs = zip(names, key.parameters, strict=False)
            interval = (value.low, value.high) if value.repeat else (None, None)
            rows.append(
                (
                    name,
                    run.commit,
                    run.date,
                    key.benchmark,
                    ", ".join(f"{label}={word.strip(chr(39))}" for label, word in pairs),
                    described.get("unit", ""),
                    value.status,
                    value.value,
                    *interval,
                    value.number,
                    value.repeat,
                    value.version,
                )
            )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["date"] = pd.to_datetime(table["date"], unit="ms", utc=True)
    for column in ("value", "low", "high"):
        table[column] = table[column].astype("float64")
    for column in ("number", "repeat"):
        table[column] = table[column].astype("Int64")
    return table
