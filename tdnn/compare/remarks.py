"""Sentences that the report computes from the runs, each with the numbers it rests on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tdnn.compare import formats
from tdnn.compare.results import Record
from tdnn.compare.verdicts import family_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Remark", "caveats", "parallel_in_time"]

# Tasks whose target is the next input: what was due at the step before is the input now.
NEXT_INPUT = {"char": ("character", "text"), "music": ("frame", "music")}
MORE = 1.1  # growth with length that is more than noise


@dataclass(frozen=True)
class Remark:
    """A sentence about a task, and the numbers in it, unrounded, in their order."""

    task: str
    about: str
    sentence: str
    values: tuple[float, ...] = ()


def caveats(records: Sequence[Record], summary: "pd.DataFrame") -> list[Remark]:
    """What must be known of single models before their scores are read."""
    return [
        *_diverged(summary),
        *_short_sight(summary),
        *_memoryless(records),
        *_untuned(records),
        *_absent(summary),
    ]


def _diverged(summary: "pd.DataFrame") -> list[Remark]:
    return [
        Remark(
            row["task"],
            "diverged",
            f"{row['task']}, {row['model']}: {row['diverged']} of {row['seeds']} runs met a value "
            "that is not finite; the best parameters before it were tested.",
            (row["diverged"], row["seeds"]),
        )
        for row in summary.to_dict("records")
        if row["diverged"]
    ]


def _short_sight(summary: "pd.DataFrame") -> list[Remark]:
    """A receptive field that is shorter than what the answer needs."""
    short = summary[(summary["receptive_field"] < summary["memory"]).fillna(False)]
    return [
        Remark(
            row["task"],
            "receptive field",
            f"{row['task']}, {row['model']}: the receptive field is "
            f"{formats.count(row['receptive_field'])} frames, the answer needs "
            f"{formats.count(row['memory'])}: part of it can only be guessed.",
            (row["receptive_field"], row["memory"]),
        )
        for row in short.to_dict("records")
    ]


def _memoryless(records: Iterable[Record]) -> list[Remark]:
    tasks = {
        record["task"]: NEXT_INPUT[record["family"]]
        for record in records
        if record["model"].startswith("jordan") and record["family"] in NEXT_INPUT
    }
    return [
        Remark(
            task,
            "jordan",
            f"{task}, jordan: with teacher forcing a Jordan network is fed the previous target, "
            f"which on next-{one} {kind} is the present input itself: it has no memory, and can at "
            f"best tell which {one} follows which.",
        )
        for task, (one, kind) in sorted(tasks.items())
    ]


def _untuned(records: Iterable[Record]) -> list[Remark]:
    tuned: dict[str, set[bool]] = {}
    for record in records:
        tuned.setdefault(record["task"], set()).add(bool(record["tuning"]["trials"]))
    without = [task for task, found in sorted(tuned.items()) if found == {False}]
    mixed = [task for task, found in sorted(tuned.items()) if len(found) == 2]
    remarks = []
    if without:
        remarks.append(
            Remark(
                "",
                "tuning",
                f"{', '.join(without)}: learning rates and clipping are fixed ones, not searched "
                "for in this comparison.",
            )
        )
    remarks += [
        Remark(task, "tuning", f"{task}: some models were tuned and some were not, which favours "
               "those that were.")
        for task in mixed
    ]  # fmt: skip
    return remarks


def _absent(summary: "pd.DataFrame") -> list[Remark]:
    """Models that were run on some tasks only."""
    tasks = {str(name): set(own["task"]) for name, own in summary.groupby("model", sort=True)}
    every = set(summary["task"])
    return [
        Remark(
            "",
            "not run",
            f"{model}: not run on {', '.join(sorted(every - own))}; see rnn-vs-tdnn list for what "
            "a model can do.",
        )
        for model, own in tasks.items()
        if own != every
    ]


def parallel_in_time(throughput: "pd.DataFrame") -> list[Remark]:
    """For each task: what computing all steps of a layer at once buys over long sequences.

    The fastest RNN is held against the fastest TDNN, training, at the longest length that both
    were timed at; and each against itself at the shortest.

    Parameters
    ----------
    throughput : DataFrame
        As `throughput_table` makes it.
    """
    remarks = []
    for task, own in throughput.groupby("task", sort=True):
        rates = own.pivot_table("forward_backward", "model", "length", "median")
        rates = rates.dropna(axis="columns")
        families = {kind: [name for name in rates.index if family_of(name) == kind]
                    for kind in ("RNN", "TDNN")}  # fmt: skip
        if not all(families.values()) or rates.shape[1] < 2:
            continue
        short, long = rates.columns.min(), rates.columns.max()
        best = {kind: rates.loc[names, long].idxmax() for kind, names in families.items()}
        batch = own.loc[own["length"] == long, "batch"].iloc[0]
        remarks.append(_sentence(str(task), rates, best, int(short), int(long), int(batch)))
    return remarks


def _sentence(
    task: str, rates: "pd.DataFrame", best: dict[str, str], short: int, long: int, batch: int
) -> Remark:
    rnn, tdnn = best["RNN"], best["TDNN"]
    fast = {name: float(rates[long][name]) for name in (rnn, tdnn)}
    grown = {name: fast[name] / float(rates[short][name]) for name in (rnn, tdnn)}
    ahead, behind = (tdnn, rnn) if fast[tdnn] >= fast[rnn] else (rnn, tdnn)
    ratio = fast[ahead] / fast[behind]
    sequences = "1 sequence" if batch == 1 else f"{batch} sequences"
    text = (
        f"{task}: at T = {formats.count(long)} ({sequences}) {ahead} is trained on "
        f"{formats.rate(fast[ahead])} steps per second and {behind} on "
        f"{formats.rate(fast[behind])}: {formats.factor(ratio)} times as many. From T = "
        f"{formats.count(short)} to {formats.count(long)} the rate of {tdnn} changes by a factor "
        f"of {formats.factor(grown[tdnn])}, that of {rnn} by {formats.factor(grown[rnn])}: "
    )
    if grown[tdnn] > MORE * grown[rnn] and ahead == rnn:
        text += "computing all steps of a layer at once buys this growth, but not the lead."
    elif grown[tdnn] > MORE * grown[rnn]:
        text += "this is what computing all steps of a layer at once buys over long sequences."
    else:
        text += "on these sizes, computing all steps of a layer at once buys nothing by length."
    values = (
        long, batch, fast[ahead], fast[behind], ratio, short, long, grown[tdnn], grown[rnn],
    )  # fmt: skip
    return Remark(task, "parallel in time", text, values)
