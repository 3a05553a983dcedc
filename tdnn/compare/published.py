"""The published comparison of recurrent and convolutional networks, and ours beside it.

The figures are those of Table 1 in S. Bai, J. Z. Kolter and V. Koltun, "An Empirical Evaluation
of Generic Convolutional and Recurrent Networks for Sequence Modeling", arXiv 1803.01271 (2018).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tdnn.compare.formats import number
from tdnn.compare.results import Record
from tdnn.compare.statistics import Estimate, Scores, estimate
from tdnn.compare.tables import questions, scores_of
from tdnn.compare.verdicts import Comparison, Question, best_of, family_of, judge

__all__ = ["CITATION", "COLUMNS", "PUBLISHED", "Outcome", "Published", "hold_against"]

CITATION = (
    "S. Bai, J. Z. Kolter and V. Koltun (2018): An Empirical Evaluation of Generic Convolutional "
    "and Recurrent Networks for Sequence Modeling. arXiv 1803.01271, Table 1"
)
COLUMNS = ("LSTM", "GRU", "RNN", "TCN")
SOLVED = 0.01  # of the floor: at most this much is left of the error
NEAR = 0.1  # of the way from the floor to the published value
AS_GOOD = 0.05  # of the smaller value: published values closer than this have no order


@dataclass(frozen=True)
class Published:
    """One row of the published table, and where ours would stand.

    Parameters
    ----------
    name, metric, setup : str
        For people.
    figures : tuple of float
        In the order of `COLUMNS`.
    family : str
        Our task; "" where there is none.
    length : int, optional
        Of its sequences, where that is a choice.
    data : str
        A word in the data's name or title, lower case; "" where the data are made.
    measure : {"score", "loss"}
        What of our runs is the same measure.
    floor : callable (T) -> float, optional
        Of the measure, where it is not the score's floor.
    """

    name: str
    metric: str
    setup: str
    figures: tuple[float, float, float, float]
    family: str = ""
    length: int | None = None
    data: str = ""
    measure: str = "score"
    floor: Callable[[int], float] | None = None
    lower_is_better: bool = True


PUBLISHED = (
    Published(
        "Adding problem, T = 600", "mean squared error", "50,000 sequences, batches of 32",
        (0.164, 5.3e-5, 0.177, 5.8e-5), "adding", 600,
    ),
    Published(
        "Copy memory, T = 1,000", "cross-entropy, nats", "10,000 sequences, all T + 20 steps count",
        (0.0204, 0.0197, 0.0202, 3.5e-5), "copy", 1000,
        measure="loss", floor=lambda length: 10 * math.log(8) / (length + 20),
    ),
    Published(
        "JSB chorales", "negative log-likelihood per frame, nats", "at most 100 epochs",
        (8.45, 8.43, 8.91, 8.10), "music", data="jsb",
    ),
    Published(
        "Nottingham", "negative log-likelihood per frame, nats", "at most 100 epochs",
        (3.29, 3.46, 4.05, 3.07), "music", data="nottingham",
    ),
    Published(
        "Penn Treebank, characters", "bits per character", "up to 3 M parameters",
        (1.36, 1.37, 1.48, 1.31), "char", data="ptb",
    ),
    Published(
        "Sequential MNIST", "accuracy, %", "784 steps of one pixel", (87.2, 96.2, 21.5, 99.0),
        lower_is_better=False,
    ),
    Published(
        "Permuted MNIST", "accuracy, %", "784 steps of one pixel, in a fixed random order",
        (85.7, 87.3, 25.3, 97.2), lower_is_better=False,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A published row and what our runs say to it.

    `status` is "reproduced", "ordering only", "not reproduced" or "not run"; `why` explains it;
    `models` and `ours` are our models and their values, for the columns RNN and TCN.
    """

    row: Published
    status: str
    why: str
    task: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    ours: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class _Runs:
    """Ours that may stand beside a published row."""

    task: str
    length: int | None
    models: Mapping[str, str]  # column -> model
    scores: Mapping[str, Scores]  # model -> seed -> value of the row's measure
    question: Question


def hold_against(records: Sequence[Record]) -> list[Outcome]:
    """Ours beside each published row.

    Parameters
    ----------
    records : sequence of dict
        Stored runs.

    Returns
    -------
    list of Outcome
        In the order of `PUBLISHED`. The column RNN is held against our Elman networks, the better
        of one and two layers by validation; TCN against ``tdnn-dilated`` or, without it, the best
        time-delay network. That two of ours differ is shown as a verdict is, with Holm's
        adjustment over the rows. A value is the same if it lies within a tenth of the way from
        the floor to the published one; if both leave at most a hundredth of the floor; or if both
        do not get below nine tenths of it.
    """
    found = [_find(row, records) for row in PUBLISHED]
    compared = [
        Comparison(runs.question, runs.scores)
        for runs in found
        if not isinstance(runs, str) and len(runs.models) == 2
    ]
    winners = iter(judge(compared))
    outcomes = []
    for row, runs in zip(PUBLISHED, found, strict=True):
        if isinstance(runs, str):
            outcomes.append(Outcome(row, "not run", runs))
        elif len(runs.models) < 2:
            missing = "an Elman" if "TCN" in runs.models else "a time-delay"
            outcomes.append(_outcome(row, runs, "not run", f"no run of {missing} network"))
        else:
            verdict = next(winners)
            winner = next(
                (column for column, name in runs.models.items() if name == verdict.winner), None
            )
            outcomes.append(_outcome(row, runs, *_judge(row, runs, winner, verdict.kind)))
    return outcomes


def _find(row: Published, records: Iterable[Record]) -> _Runs | str:
    """Our runs of the row's task, or why there are none."""
    if not row.family:
        return "this task is not in the library"
    own = [record for record in records if record["family"] == row.family]
    if not own:
        return f"no run of the task {row.family}"
    if row.data:
        there = [record for record in own if row.data in _data_names(record)]
        if not there:
            return f"the task {row.family} was run on other data"
        own = there
    if row.length is not None:
        nearest = min(
            (record["length"] for record in own),
            key=lambda length: (abs(length - row.length), length),
        )
        own = [record for record in own if record["length"] == nearest]
    task = own[0]["task"]
    own = [record for record in own if record["task"] == task]
    question = questions(own)[task]
    validations = scores_of(own, "validation")[task]
    models = _columns(validations, question.lower_is_better)
    if row.floor is not None:
        floor = row.floor(own[0]["length"])
        question = replace(question, lower_is_better=True, floor_name="no memory", floor=floor)
    scores = scores_of(own, row.measure)[task]
    chosen = {name: scores[name] for name in models.values()}
    return _Runs(task, own[0]["length"], models, chosen, question)


def _data_names(record: Record) -> str:
    names = record["environment"].get("data") or {}
    return " ".join([record["about"]["title"], *names]).lower()


def _columns(validations: Mapping[str, Scores], lower_is_better: bool) -> dict[str, str]:
    """Column of the published table -> our model."""
    elman = {name: own for name, own in validations.items() if name.startswith("elman")}
    tdnn = {name: own for name, own in validations.items() if family_of(name) == "TDNN"}
    if "tdnn-dilated" in tdnn:
        tdnn = {"tdnn-dilated": tdnn["tdnn-dilated"]}
    return {
        column: best_of(own, lower_is_better)
        for column, own in (("RNN", elman), ("TCN", tdnn))
        if own
    }


def _outcome(row: Published, runs: _Runs, status: str, why: str) -> Outcome:
    ours = {column: _values(runs.scores[name]) for column, name in runs.models.items()}
    return Outcome(
        row, status, why, runs.task, runs.models,
        {column: estimate(values) for column, values in ours.items() if values},
    )  # fmt: skip


def _values(scores: Scores) -> list[float]:
    return [value for value in scores.values() if math.isfinite(value)]


def _judge(row: Published, runs: _Runs, winner: str | None, kind: str) -> tuple[str, str]:
    """Status and reason of a row for which both columns were run."""
    values = dict(zip(COLUMNS, row.figures, strict=True))
    wanted = _order(values["RNN"], values["TCN"], row.lower_is_better)
    ordered = winner == wanted and kind in ("better", "no difference")
    ordering = f"{wanted} is better" if wanted else "no difference"
    if runs.length != row.length:
        place = f"T = {runs.length} here, {row.length} there"
        if ordered:
            return "ordering only", f"{place}; in both, {ordering}"
        return "not run", f"{place}; at this length {_other(winner, kind)}"
    if not ordered:
        return "not reproduced", f"there {ordering}; here {_other(winner, kind)}"
    floor = runs.question.floor
    apart = [
        column
        for column, name in runs.models.items()
        if not _same(estimate(_values(runs.scores[name])).mean, values[column], floor)
    ]
    if apart:
        return "ordering only", f"in both, {ordering}; {' and '.join(apart)}: another value"
    return "reproduced", f"in both, {ordering}, with the same values"


def _order(rnn: float, tcn: float, lower_is_better: bool) -> str | None:
    if abs(rnn - tcn) <= AS_GOOD * min(abs(rnn), abs(tcn)):
        return None
    return "RNN" if (rnn < tcn) == lower_is_better else "TCN"


def _other(winner: str | None, kind: str) -> str:
    return f"{winner} is better" if winner else f"the verdict is: {kind}"


def _same(ours: float, published: float, floor: float) -> bool:
    if published <= SOLVED * floor:
        return ours <= SOLVED * floor
    if published >= (1 - NEAR) * floor:
        return ours >= (1 - NEAR) * floor
    return abs(ours - published) <= NEAR * abs(floor - published)


def describe(outcome: Outcome, column: str) -> str:
    """What stands under a column of the published table for ours.

    Examples
    --------
    >>> from tdnn.compare.published import PUBLISHED, Outcome, describe
    >>> describe(Outcome(PUBLISHED[0], "not run", "no run of the task adding"), "GRU")
    'not run: not in the library yet'
    """
    if column in ("LSTM", "GRU"):
        return "not run: not in the library yet"
    if column not in outcome.ours:
        return f"not run: {outcome.why}" if outcome.status == "not run" else "no score"
    return f"{number(outcome.ours[column].mean)} ({outcome.models[column]})"
