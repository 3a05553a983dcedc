"""Builders of networks with a given number of parameters, one for each family.

A builder knows how a network of some *size* (an integer that only orders networks) looks, and
how many parameters it has; `fit_size` then finds the size that meets the budget. All draw their
initial values here, so that no family is judged by another one's defaults.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastrnn
from tdnn import TDNN
from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks import Task

__all__ = ["MODELS", "Family", "build_model", "describe", "fit_size"]

# A count between these parts of the budget is taken; so two models differ by less than 5 %.
SMALLEST_PART, LARGEST_PART = 0.975, 1.02


@dataclass(frozen=True)
class Family:
    """One kind of network.

    Parameters
    ----------
    name : str
        As on the command line.
    description : str
        One line for ``rnn-vs-tdnn list``.
    count : callable (task, size) -> int
        Number of parameters, output layer included; grows with `size`.
    body : callable (task, size, rng) -> body
    smallest : callable (task) -> int
        The least size there is.
    """

    name: str
    description: str
    count: Callable[[Task, int], int]
    body: Callable[[Task, int, np.random.Generator], Any]
    smallest: Callable[[Task], int]


def elman_count(task: Task, size: int) -> int:
    """Parameters of an Elman network with `size` hidden units and its output layer."""
    p, q = task.input_size, task.output_size
    return size * p + size * size + size + q * size + q


def elman_body(task: Task, size: int, rng: np.random.Generator) -> fastrnn.Elman:
    """An Elman layer with the start that suits the task.

    An answer to every step: tanh, W orthogonal. One answer after the last step: relu, W the
    identity and U so small that at the start the layer sums up what it has seen, to about 1 after
    the whole context (after Le, Jaitly and Hinton 2015). Token ids: one input is active at a
    time, so U is drawn of unit variance.
    """
    keeps = task.readout == "last"
    body = fastrnn.Elman(
        task.input_size, size, activation="relu" if keeps else "tanh", dtype=np.float32, rng=rng
    )
    if keeps:
        body.W[...] = np.eye(size)
        body.U[...] = 2.0 / task.context * rng.standard_normal(body.U.shape)
    elif task.tokens:
        body.U[...] = rng.standard_normal(body.U.shape)
    return body


def tdnn_layers(task: Task, size: int) -> list[tuple[int, tuple[int, ...]]]:
    """Layers (units, offsets) that look back over at least ``task.context`` frames.

    Each layer has `taps` offsets, 0 and backwards, `taps` times as far apart as the layer's
    below: every frame of the receptive field is reached by exactly one path. `size` is the sum
    of all units, spread evenly.
    """
    taps = 3 if task.readout == "last" else 2
    distances = [1]
    while taps ** len(distances) < task.context:
        distances.append(taps * distances[-1])
    units, more = divmod(size, len(distances))
    return [
        (units + (index < more), tuple(-distance * tap for tap in reversed(range(taps))))
        for index, distance in enumerate(distances)
    ]


def tdnn_count(task: Task, size: int) -> int:
    """Parameters of a time-delay network with `size` units in all and its output layer."""
    total, below = 0, task.input_size
    for units, offsets in tdnn_layers(task, size):
        total += len(offsets) * units * below + units
        below = units
    return total + task.output_size * below + task.output_size


def tdnn_body(task: Task, size: int, rng: np.random.Generator) -> TDNN:
    """A causal relu stack; weights of variance 2 / (number of active inputs), biases zero."""
    body = TDNN(
        task.input_size, tdnn_layers(task, size),
        activation="relu", padding="causal", dtype=np.float32, rng=rng,
    )  # fmt: skip
    for name, array in body.parameters().items():
        if array.ndim == 1:
            array[...] = 0.0
            continue
        active = 1 if task.tokens and name == "W0" else array.shape[2]
        array[...] = rng.standard_normal(array.shape) * np.sqrt(2.0 / (array.shape[0] * active))
    return body


MODELS: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "elman",
            "recurrent network, hidden to hidden: one layer, unbounded memory",
            elman_count,
            elman_body,
            lambda _: 1,
        ),
        Family(
            "tdnn",
            "time-delay network: causal stack whose offsets spread from layer to layer",
            tdnn_count,
            tdnn_body,
            lambda task: len(tdnn_layers(task, 0)),  # a unit for each layer
        ),
    )
}


def fit_size(family: Family, task: Task, budget: int) -> int:
    """The size whose parameter count is closest to the budget, from 2.5 % below to 2 % above.

    Raises
    ------
    ComparisonError
        If no size comes so close; the hint names a budget that can be met.

    Examples
    --------
    >>> from tdnn.compare.models import MODELS, fit_size
    >>> from tdnn.compare.tasks import AddingTask
    >>> fit_size(MODELS["elman"], AddingTask(50), 10_000)
    98
    """
    size = _closest(family, task, budget)
    if size is None:
        possible = next(
            wish
            for wish in _rounder(budget)
            if all(_closest(f, task, wish) for f in MODELS.values())
        )
        raise ComparisonError(
            f"--budget: {budget} parameters are too few for {family.name} on {task.name} "
            f"({task.input_size} inputs, {task.output_size} outputs)",
            f"--budget {possible} can be met by every model",
        )
    return size


def _closest(family: Family, task: Task, budget: int) -> int | None:
    """The size closest to the budget, or None where that is out of the bounds."""
    size = family.smallest(task)
    while _miss(family, task, size + 1, budget) <= _miss(family, task, size, budget):
        size += 1
    return size if _fits(family.count(task, size), budget) else None


def _miss(family: Family, task: Task, size: int, budget: int) -> int:
    return abs(family.count(task, size) - budget)


def _fits(count: int, budget: int) -> bool:
    return SMALLEST_PART * budget <= count <= LARGEST_PART * budget


def _rounder(budget: int) -> Iterator[int]:
    """Budgets above `budget` that are pleasant to type."""
    wish = max(budget, 0) // 100 * 100
    while True:
        wish += max(100, 10 ** (len(str(wish)) - 2))
        yield wish


def build_model(name: str, task: Task, budget: int, seed: int) -> fastrnn.SequenceModel:
    """A network of family `name` for `task`, with about `budget` parameters.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    task : Task
    budget : int
        Number of parameters wanted, output layer included.
    seed : int
        Of the initial values.

    Returns
    -------
    fastrnn.SequenceModel
        Of float32, with `budget` parameters but for -2.5 % to +2 %.

    Raises
    ------
    ComparisonError
        If the budget is too small for the task.

    Examples
    --------
    >>> from tdnn.compare.models import build_model
    >>> from tdnn.compare.tasks import AddingTask
    >>> model = build_model("tdnn", AddingTask(50), 10_000, seed=0)
    >>> sum(array.size for array in model.parameters().values())
    10064
    """
    family = MODELS[name]
    rng = np.random.default_rng([seed, 0, 2])
    body = family.body(task, fit_size(family, task, budget), rng)
    return fastrnn.SequenceModel(
        body, task.output_size, loss=task.loss, readout=task.readout, rng=rng
    )


def describe(model: fastrnn.SequenceModel) -> dict[str, Any]:
    """What a run's record says of its network; a receptive field of None is unbounded."""
    body: Any = model.body
    if body.kind == "tdnn":
        layers = ", ".join(
            f"{bias.size} {{{', '.join(map(str, offsets))}}}"
            for bias, offsets in zip(body.biases, body.offsets, strict=True)
        )
        text = f"{len(body.biases)} causal layers of {body.activation} units: {layers}"
    else:
        start = "W orthogonal" if body.activation == "tanh" else "W the identity"
        text = f"one layer of {body.hidden_size} {body.activation} units; {start} at the start"
    return {
        "parameters": sum(int(array.size) for array in model.parameters().values()),
        "receptive_field": getattr(body, "receptive_field", None),
        "description": text,
    }
