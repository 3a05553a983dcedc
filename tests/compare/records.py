"""Whole records of runs that never were: what the report is tested and looked at with.

A record is what `tdnn.compare.run` stores, with the numbers of a made-up network: a function of
its task, model and seed, so that the same call gives the same bytes.
"""

import json
import zlib

import numpy as np

from tdnn.compare.results import SCHEMA

FIELDS = {"tdnn": 32, "tdnn-dilated": 61}  # receptive fields; the others' memory is unbounded
SPEED = {"elman": 1.0, "elman-2": 0.55, "jordan": 0.8, "tdnn": 2.4, "tdnn-dilated": 1.6}
LENGTHS = (16, 64, 256, 1024)

# family -> (title, metric, unit, lower is better, floor's name, floor, memory, source)
TASKS = {
    "adding": (
        "Adding problem", "mean squared error", "", True, "always the mean", 0.1667, None,
        "Hochreiter and Schmidhuber 1997",
    ),
    "copy": (
        "Copy memory", "accuracy", "", False, "chance", 0.125, None,
        "Hochreiter and Schmidhuber 1997",
    ),
    "char": (
        "Next character", "bits per character", "bits per character", True, "unigram", 4.8, 1,
        "text inside Python",
    ),
    "music": (
        "Polyphonic music", "negative log-likelihood", "nats per frame", True, "unigram", 11.09,
        None, "Boulanger-Lewandowski, Bengio and Vincent 2012",
    ),
    "ts": (
        "Time series", "accuracy", "", False, "largest class", 0.118, None, "Kudo et al. 1999",
    ),
    "parity": ("Parity", "accuracy", "", False, "chance", 0.5, None, "made up"),
    "delayed-echo": ("Delayed echo", "mean squared error", "", True, "silence", 0.083, 20, "-"),
}  # fmt: skip


def record(task="adding-200", model="elman", seed=0, *, score=0.01, **change):
    """One finished run; `change` replaces entries of the record, with "about.title" inside it.

    `score` is the test score itself, None where the run has none.
    """
    family, _, length = task.partition("-") if task.startswith(("adding", "copy")) else (
        task, "", "")  # fmt: skip
    length = int(length) if length else None
    rng = np.random.default_rng(zlib.crc32(f"{task} {model} {seed}".encode()))
    title, metric, unit, lower, floor_name, floor, memory, source = TASKS[family]
    reached = floor if score is None else score
    found = {
        "schema": SCHEMA,
        "task": task,
        "family": family,
        "length": length,
        "model": model,
        "seed": seed,
        "settings": {
            "budget": 20_000,
            "data": {"batch_size": 32},
            "epochs": 12,
            "fastrnn": "0.1.0",
            "optimizer": "Adam",
            "steps": 2_000,
            "threads": 2,
        },
        "fingerprint": f"{zlib.crc32(task.encode()):016x}",
        "about": {
            "title": title + (f", T = {length}" if length else ""),
            "description": "A problem made up for tests of the report.",
            "metric": metric,
            "unit": unit,
            "lower_is_better": lower,
            "references": [[floor_name, floor], ["a better guess", 0.9 * floor + 0.1 * reached]],
            "facts": [["sequences (validation, test)", "1,000 / 1,000"]],
            "sequence": [64, 32],
            "memory": memory,
            "source": source,
        },
        "network": {
            "parameters": 20_000 + 37 * (zlib.crc32(model.encode()) % 11),
            "receptive_field": FIELDS.get(model),
            "multiply_adds": 19_000 + zlib.crc32(model.encode()) % 3_000,
            "description": f"a made-up {model}",
        },
        "score": score,
        "loss": None if score is None else _loss(family, score, length),
        "more": {} if score is None else {"largest": 2 * score},
        "by_lag": _by_lag(model, rng) if family in ("copy", "delayed-echo") else None,
        "validation": score if score is None else score * 1.02,
        "best_step": 1_834,
        "diverged": False,
        "tuning": _tuning(floor),
        "curve": _curve(floor, reached, rng),
        "timing": _timing(model, rng),
        "stored_bytes": 1_000_000 + 1_000 * len(model),
        "gradient_error": float(1e-6 * (1 + rng.random())),
        "gradient_flow": _flow(model),
        "environment": {
            "fastrnn": "0.1.0",
            "python": "3.11.7",
            "processor": "Made-up Processor",
            "threads": "2",
            "commit": "0123abc",
            "data": {"made-up.txt": "c0ffee" * 10 + "0123"},
        },
    }
    for path, value in change.items():
        inside, names = found, path.split(".")
        for name in names[:-1]:
            inside = inside[name]
        inside[names[-1]] = value
    return found


def _loss(family, score, length):
    """Cross-entropy of the copy problem where the answer is known or guessed; else the score."""
    if family == "copy":
        return 10 * float(np.log(8)) / (length + 20) * (1 - score) / (1 - 0.125)
    return abs(score) + 0.001


def _by_lag(model, rng):
    field = FIELDS.get(model, 10_000)
    return [[lag, float(np.clip(0.98 - 0.3 * (lag > field) + 0.01 * rng.standard_normal(), 0, 1))]
            for lag in range(5, 101, 5)]  # fmt: skip


def _tuning(floor):
    grid = [{"learning_rate": rate, "clip_norm": 1.0} for rate in (1e-3, 4e-3)]
    trials = [
        {**cell, "seed": seed, "validation": floor / (1 + place), "diverged": False, "steps": 500}
        for place, cell in enumerate(grid)
        for seed in (0, 1)
    ]
    return {"grid": grid, "seeds": 2, "trials": trials, "chosen": grid[1]}


def _curve(floor, reached, rng):
    falls = np.exp(-np.arange(13) / 3.0)
    validation = reached + (floor - reached) * falls * (1 + 0.05 * rng.standard_normal(13))
    return {
        "step": [2_000 * place // 12 for place in range(13)],
        "loss": [None, *(float(value) for value in validation[1:])],
        "validation": [float(value) for value in validation],
    }


def _timing(model, rng):
    seconds = float((8 + rng.random()) / SPEED[model])
    lengths = []
    for length in LENGTHS:
        gain = (length / 16) ** 0.4 if model.startswith("tdnn") else 1.0
        forward = float(2e6 * SPEED[model] * gain * (1 + 0.02 * rng.random()))
        lengths.append(
            {"length": length, "batch": 8, "forward": forward, "forward_backward": forward / 3}
        )
    return {
        "curve": [seconds * place / 12 for place in range(13)],
        "training": seconds,
        "lengths": lengths,
        "sequences_per_second": {"forward": lengths[1]["forward"] / 64,
                                 "forward_backward": lengths[1]["forward"] / 192},
        "latency": {"median": float(4e-6 / SPEED[model]), "p95": float(6e-6 / SPEED[model])},
    }  # fmt: skip


def _flow(model):
    field = FIELDS.get(model)
    lags = range(64)
    inside = [field is None or lag < field for lag in lags]
    slope = 0.05 if field else 0.1
    return {
        "lag": list(lags),
        "norm": [float(np.exp(-slope * lag)) if seen else 0.0
                 for lag, seen in zip(lags, inside, strict=True)],
        "state_norm": [None if field else 2.0 * float(np.exp(-slope * lag)) for lag in lags],
        "bound": [None if field else 3.0 for _ in lags],
        "spectral": [None if field else 0.95**lag for lag in lags],
        "in_field": inside,
        "count": [32] * 64,
    }  # fmt: skip


def runs(task, scores, **change):
    """The records of one task: `scores` is model -> list of scores, one for each seed."""
    return [
        record(task, model, seed, score=score, **change)
        for model, own in scores.items()
        for seed, score in enumerate(own)
    ]


def write(out, records):
    """Store records below `out`, as a comparison does."""
    folder = out / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    for item in records:
        name = f"{item['task']}-{item['model']}-{item['seed']}.json"
        (folder / name).write_text(json.dumps(item, sort_keys=True), encoding="utf-8")
    return out


def around(mean, seeds=5, spread=0.03):
    """Scores of several seeds around a mean, always the same ones."""
    rng = np.random.default_rng(round(1e6 * abs(mean)))
    return [float(mean * (1 + spread * value)) for value in rng.standard_normal(seeds)]


def gallery(seeds=5):
    """A large comparison: every kind of figure and of verdict."""
    both = [
        *runs("adding-100", {"elman": around(0.012, seeds), "elman-2": around(0.03, seeds),
                             "tdnn": around(0.16, seeds), "tdnn-dilated": around(0.0004, seeds)}),
        *runs("adding-200", {"elman": around(0.05, seeds), "elman-2": around(0.08, seeds),
                             "tdnn": around(0.165, seeds), "tdnn-dilated": around(0.0009, seeds)}),
        *runs("adding-400", {"elman": around(0.168, seeds), "elman-2": around(0.1672, seeds),
                             "tdnn": around(0.1671, seeds), "tdnn-dilated": around(0.1675, seeds)}),
        *runs("copy-500", {"elman": around(0.13, seeds), "elman-2": around(0.14, seeds),
                           "tdnn": around(0.6, seeds), "tdnn-dilated": around(0.97, seeds)}),
        *runs("char", {"elman": around(2.31, seeds), "elman-2": around(2.28, seeds),
                       "jordan": around(3.9, seeds), "tdnn": around(2.30, seeds),
                       "tdnn-dilated": around(2.27, seeds)}),
        *runs("music", {"elman": around(8.8, seeds, 0.01), "elman-2": around(8.9, seeds, 0.01),
                        "tdnn": around(8.5, seeds, 0.01),
                        "tdnn-dilated": around(8.15, seeds, 0.01)},
              **{"environment.data": {"JSB_Chorales.mat": "ab" * 32}}),
        *runs("ts", {"elman": around(0.97, seeds, 0.01), "elman-2": around(0.972, seeds, 0.01),
                     "tdnn": around(0.975, seeds, 0.01),
                     "tdnn-dilated": around(0.973, seeds, 0.01)}),
        *runs("parity", {"elman": [1.0] * seeds, "elman-2": around(0.9, seeds),
                         "tdnn": around(0.5, seeds), "tdnn-dilated": around(0.5, seeds)}),
        *runs("delayed-echo", {"elman": around(0.02, seeds), "elman-2": around(0.03, seeds),
                               "tdnn": around(0.002, seeds),
                               "tdnn-dilated": around(0.0031, seeds)}),
    ]  # fmt: skip
    both[7]["diverged"] = True
    return both
