"""Networks with a given number of parameters, one for each family, and what is said of them.

A family knows how a network of some *size* (an integer that only orders networks) looks, and how
many parameters it has; `fit_size` then finds the size that meets the budget.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastrnn
from tdnn.compare import builders
from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks import Task

__all__ = ["MODELS", "Family", "applicable", "build_model", "describe", "fit_size"]

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
        Number of parameters, output layer included; grows with `size`, but for a step down where a
        projection falls away.
    body : callable (task, size, rng, **dropout) -> body
        `dropout` is nothing, or ``dropout`` and ``same_mask`` for the frames between its layers.
    smallest : callable (task) -> int
        The least size there is.
    output_dropout : bool
        Whether dropout acts on the frames that the output layer reads, too.
    only_readout : str, optional
        The one readout of the tasks that it can do. Default: any.
    why : str
        Why only that one.
    """

    name: str
    description: str
    count: Callable[[Task, int], int]
    body: Callable[..., Any]
    smallest: Callable[[Task], int]
    output_dropout: bool = True
    only_readout: str | None = None
    why: str = ""


MODELS: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "elman",
            "recurrent network, hidden to hidden: one layer, unbounded memory",
            builders.elman_count,
            builders.elman_body,
            lambda _: 1,
        ),
        Family(
            "elman-2",
            "two recurrent layers, hidden to hidden, the upper reading the lower",
            builders.stacked_count,
            builders.stacked_body,
            lambda _: 2,
        ),
        Family(
            "jordan",
            "recurrent network, output to hidden, fed the target before each step",
            builders.jordan_count,
            builders.jordan_body,
            lambda _: 1,
            output_dropout=False,
            only_readout="each",
            why="a network that is fed its targets needs one at each step",
        ),
        Family(
            "tdnn",
            "time-delay network: causal stack whose offsets spread from layer to layer",
            builders.tdnn_count,
            builders.tdnn_body,
            lambda task: len(builders.tdnn_layers(task, 0)),  # a unit for each layer
        ),
        Family(
            "tdnn-dilated",
            "time-delay network: residual blocks, dilated twice as far from block to block (TCN)",
            builders.dilated_count,
            builders.dilated_body,
            lambda task: 2 * len(builders.dilated_layout(task, 0)[1]),
            output_dropout=False,  # its blocks have it behind every layer
        ),
    )
}


def applicable(name: str, task: Task) -> str | None:
    """Why a family cannot do a task, in a few words; None where it can.

    Examples
    --------
    >>> from tdnn.compare.models import applicable
    >>> from tdnn.compare.tasks import AddingTask
    >>> applicable("jordan", AddingTask(50))
    'a network that is fed its targets needs one at each step'
    """
    family = MODELS[name]
    return None if family.only_readout in (None, task.readout) else family.why


def fit_size(family: Family, task: Task, budget: int) -> int:
    """The size whose parameter count is closest to the budget, from 2.5 % below to 2 % above.

    Raises
    ------
    ComparisonError
        If no size comes so close; the hint names a budget that can be met by all families that can
        do the task.

    Examples
    --------
    >>> from tdnn.compare.models import MODELS, fit_size
    >>> from tdnn.compare.tasks import AddingTask
    >>> fit_size(MODELS["elman"], AddingTask(50), 10_000)
    98
    """
    size = _closest(family, task, budget)
    if size is None:
        able = [f for f in MODELS.values() if applicable(f.name, task) is None]
        possible = next(
            wish for wish in _rounder(budget) if all(_closest(f, task, wish) for f in able)
        )
        raise ComparisonError(
            f"--budget: {budget} parameters are too few for {family.name} on {task.name} "
            f"({task.input_size} inputs, {task.output_size} outputs)",
            f"--budget {possible} can be met by every model",
        )
    return size


def _closest(family: Family, task: Task, budget: int) -> int | None:
    """The size closest to the budget, or None where that is out of the bounds."""
    counts = ((size, family.count(task, size)) for size in itertools.count(family.smallest(task)))
    near = itertools.takewhile(lambda pair: pair[1] <= 2 * budget, counts)
    size, count = min(near, key=lambda pair: abs(pair[1] - budget), default=(0, 0))
    return size if SMALLEST_PART * budget <= count <= LARGEST_PART * budget else None


def _rounder(budget: int) -> Iterator[int]:
    """Budgets above `budget` that are pleasant to type."""
    wish = max(budget, 0) // 100 * 100
    while True:
        wish += max(100, 10 ** (len(str(wish)) - 2))
        yield wish


def build_model(
    name: str,
    task: Task,
    budget: int,
    seed: int,
    *,
    dropout: float = 0.0,
    same_mask: bool = False,
) -> fastrnn.SequenceModel:
    """A network of family `name` for `task`, with about `budget` parameters.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    task : Task
    budget : int
        Number of parameters wanted, output layer included.
    seed : int
        Of the initial values, and of the masks of dropout.
    dropout : float
        With which probability a unit is left out in training: of the frames between layers and of
        those that the output layer reads; in ``tdnn-dilated`` of those of each layer of a block.
    same_mask : bool
        Whether all steps of a sequence leave out the same units.

    Returns
    -------
    fastrnn.SequenceModel
        Of float32, with `budget` parameters but for -2.5 % to +2 %.

    Raises
    ------
    ComparisonError
        If the budget is too small for the task, the family cannot do it, or it has no dropout.

    Examples
    --------
    >>> from tdnn.compare.models import build_model
    >>> from tdnn.compare.tasks import AddingTask
    >>> model = build_model("tdnn", AddingTask(50), 10_000, seed=0)
    >>> sum(array.size for array in model.parameters().values())
    10064
    """
    family, reason = MODELS[name], applicable(name, task)
    if reason is not None:
        raise ComparisonError(f"--models: {name} cannot do {task.name}: {reason}", "leave it out")
    rng = np.random.default_rng([seed, 0, 2])
    options: dict[str, Any] = {"dropout": dropout, "same_mask": same_mask} if dropout else {}
    body = family.body(task, fit_size(family, task, budget), rng, **options)
    fed = getattr(body, "gives_outputs", False)
    if fed and dropout:
        raise ComparisonError(f"dropout: {name} has none, got {dropout}", "leave it at 0")
    return fastrnn.SequenceModel(
        body, None if fed else task.output_size, loss=task.loss, readout=task.readout, rng=rng,
        **(options if family.output_dropout else {}),
    )  # fmt: skip


def describe(model: fastrnn.SequenceModel, tokens: bool = False) -> dict[str, Any]:
    """What a run's record says of its network.

    Parameters
    ----------
    model : fastrnn.SequenceModel
    tokens : bool
        Whether it reads token ids: its first layer then adds up columns, a multiply-add less dear
        than all others, which counts as one for each unit and offset.

    Returns
    -------
    dict
        ``parameters``; ``receptive_field`` in frames, None where it is unbounded;
        ``multiply_adds`` of one step forward, the output layer and, running free, the output's
        feedback included; and ``description``.

    Examples
    --------
    >>> from tdnn.compare.models import build_model, describe
    >>> from tdnn.compare.tasks import AddingTask
    >>> describe(build_model("elman", AddingTask(50), 10_000, seed=0))["multiply_adds"]
    9898
    """
    body = model.body
    output = 0 if getattr(body, "gives_outputs", False) else int(model.V.size)
    return {
        "parameters": sum(int(array.size) for array in model.parameters().values()),
        "receptive_field": getattr(body, "receptive_field", None),
        "multiply_adds": _multiply_adds(body, tokens) + output,
        "description": _text(body) + _dropout_text(model),
    }


def _multiply_adds(body: Any, tokens: bool) -> int:
    """Of one frame of a body: each weight meets one input, but the columns of token ids."""
    if body.kind == "stack":
        return sum(_multiply_adds(b, tokens and not i) for i, b in enumerate(body.bodies))
    total = 0
    for name, array in body.parameters().items():
        reads_ids = tokens and name in ("U", "W0", "R0")
        if array.ndim > 1:
            total += int(array.size) // (body.input_size if reads_ids else 1)
    return total


def _text(body: Any) -> str:
    """The layers of a body, in words."""
    if body.kind == "stack":
        if body.bodies[0].kind == "tdnn":
            return _tdnn_text([_layer_text(b.biases[0], b.offsets[0]) for b in body.bodies])
        texts = [f"{b.hidden_size} units" for b in body.bodies]
        return f"{len(texts)} layers of {', '.join(texts)}: {_elman_text(body.bodies[0])}"
    if body.kind == "tdnn":
        pairs = zip(body.biases, body.offsets, strict=True)
        return _tdnn_text([_layer_text(*pair) for pair in pairs])
    if body.kind == "tdnn-residual":
        pairs = zip(body.biases[::2], body.biases[1::2], strict=True)
        units = ", ".join(f"{low.size} + {high.size}" for low, high in pairs)
        return f"{len(body.projections)} residual blocks of {body.taps} taps, relu units: {units}"
    if body.kind == "jordan":
        fed = f"fed the target before each step ({body.feedback})"
        return f"one layer of {body.hidden_size} {body.activation} units, {fed}"
    return f"one layer of {body.hidden_size} {_elman_text(body)}"


def _elman_text(body: Any) -> str:
    start = "W orthogonal" if body.activation == "tanh" else "W the identity"
    return f"{body.activation} units; {start} at the start"


def _tdnn_text(layers: list[str]) -> str:
    return f"{len(layers)} causal layers of relu units: {', '.join(layers)}"


def _layer_text(bias: np.ndarray, offsets: tuple[int, ...]) -> str:
    return f"{bias.size} {{{', '.join(map(str, offsets))}}}"


def _dropout_text(model: fastrnn.SequenceModel) -> str:
    """What is left out in training, if anything."""
    part = model.dropout or getattr(model.body, "dropout", 0.0)
    same = model.same_mask or getattr(model.body, "same_mask", False)
    return f"; dropout {part:g}{', one mask for all steps' if same else ''}" if part else ""
