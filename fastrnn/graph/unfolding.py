"""A network unfolded over time as a graph, with its loss (MATH.md section 6)."""

import operator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import Arguments, choice, count, valid_steps
from fastrnn.graph.arithmetic import row_sum, total
from fastrnn.graph.frames import Frames, masked, rows_times
from fastrnn.graph.functions import log_sum_exp, pick, softplus
from fastrnn.graph.nodes import Graph, Node
from fastrnn.losses import LOSSES, check_weights, reduction_weights

__all__ = ["Unfolded", "unfold"]


class Unfolded(NamedTuple):
    """A network unfolded over time; ``graph["h(3)"]`` is a node by its name.

    Names count time from 1, as the book does: ``x(1)`` is frame 0. A TDNN's frames are named by
    the input step at which they stand.
    """

    graph: Graph
    """The graph of all nodes."""
    parameters: dict[str, Node]
    """The parameters by the network's names for them."""
    x: tuple[Node, ...]
    """The inputs x(t), each (B, p), or token ids (B,)."""
    h: tuple[Node, ...]
    """What the output layer reads: the frames (B, m) of the body's last layer."""
    o: tuple[Node, ...]
    """The outputs o(t), each (B, q); one alone for the readouts "last" and "mean"."""
    losses: tuple[Node, ...]
    """The loss of each output, L(t); empty without targets."""
    L: Node | None
    """Their sum (or mean); None without targets."""


def unfold(
    network: Any,
    T: int,
    *,
    x: ArrayLike | None = None,
    targets: ArrayLike | None = None,
    batch_size: int = 1,
    lengths: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    loss: str | None = None,
    reduction: str | None = None,
    y: ArrayLike | None = None,
    **states: Any,
) -> Unfolded:
    """Write a network out over T time steps as a graph (MATH.md section 6).

    Parameters
    ----------
    network : SequenceModel, or a layer such as Elman or TDNN
        The parameters are copied into the graph.
    T : int
        The number of time steps, at least 1.
    x : array_like, shape (T, B, p), or integers (T, B), optional
        Input sequences in the network's dtype, or token ids; zeros by default.
    targets : array_like, optional
        As for `SequenceModel.loss_and_grad`; without them there is no loss.
    batch_size : int
        B, where there is no x.
    lengths : array_like of int, shape (B,), optional
        Valid steps of each sequence; what lies behind them is never read. Default: T for all.
    weights : array_like, shape (T, B), or (B,) for the readouts "last" and "mean", optional
        Weight of each step, or of each sequence, in the loss.
    loss : {"softmax", "sigmoid", "squared"}, optional
        The loss of a layer's own outputs. A model has its own.
    reduction : {"sum", "mean"}, optional
        Sum over the valid steps, or (weighted) mean. Default: "mean" of a model, "sum" of a layer.
    y : array_like of int, shape (T, B), or floats (T, B, q), optional
        What a body with output feedback is fed (teacher forcing). Where it is the same object as
        `targets`, both are the same nodes.
    **states
        Further arguments of the body: its initial states (``h0``, ``z0``), ``resets``, ``forced``.

    Returns
    -------
    Unfolded
        The graph, and its nodes by what they mean.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said above.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> from fastrnn.graph import build_grad, unfold
    >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8, dtype="float64", rng=0), 4, rng=0)
    >>> x, targets = np.ones((5, 2, 3)), np.zeros((5, 2), int)
    >>> net = unfold(model, 5, x=x, targets=targets)
    >>> value, gradients = model.loss_and_grad(x, targets)
    >>> W = net.parameters["W"]
    >>> bool(np.allclose(net.graph.evaluate(build_grad([W], net.L)[W]), gradients["W"]))
    True
    """
    body = getattr(network, "body", network)
    if not callable(getattr(body, "unfold", None)) or isinstance(network, type):
        raise TypeError(f"network: expected a model or a layer that unfolds, got {network!r}")
    T = count("T", T)
    if x is None:
        x = np.zeros((T, count("batch_size", batch_size), body.input_size), body.dtype)
    args = Arguments({"T": (T, "T"), "p": (body.input_size, "input_size")}, body.dtype)
    x_array = args.inputs("x", x)
    if x_array.shape[1] == 0:
        raise ValueError(f"x: expected at least one sequence, got shape {x_array.shape}")
    valid = args.lengths(lengths)
    if x_array.ndim == 2:
        args.in_range("x", x_array, body.input_size, valid)

    args.know("q", network.output_size, "output_size")
    task = _check_task(network, args, targets, valid, weights, loss, reduction)

    graph = Graph()
    parameters = {
        name: graph.parameter(array, name) for name, array in network.parameters().items()
    }
    frames = _input_frames(graph, "x", x_array, valid)
    fed = None
    if y is not None:
        fed = _fed_frames(graph, args, y, "y" if y is targets else "fed", valid)
        states["y"] = fed
    made = [layer.named() for layer in body.unfold(graph, frames, parameters, **states)]
    if not made[-1].nodes:
        raise ValueError(f"T: expected enough steps for one output frame, got {T}")
    hidden, outputs = _outputs(network, parameters, made)
    found = graph, parameters, frames.nodes, hidden.nodes, outputs.nodes
    if task is None:
        return Unfolded(*found, (), None)
    losses = _losses(graph, task, outputs, fed if y is targets else None)
    whole = reduce(operator.add, losses)
    return Unfolded(*found, losses, graph.call(whole, "L") if len(losses) > 1 else whole)


def _input_frames(
    graph: Graph, symbol: str, array: NDArray[Any], lengths: NDArray[np.int64]
) -> Frames:
    """Return one input node per step; what lies in padding is zero, for it may be NaN or -1."""
    clean = array.copy()
    clean[~valid_steps(array.shape[:2], lengths)] = 0
    return Frames(symbol, tuple(graph.input(frame) for frame in clean), lengths).named()


def _fed_frames(
    graph: Graph, args: Arguments, y: ArrayLike, symbol: str, lengths: NDArray[np.int64]
) -> Frames:
    """Return the frames that a body with output feedback is fed."""
    array = args.inputs("y", y, "T B q")
    if array.ndim == 2:
        args.in_range("y", array, args.sizes["q"][0], lengths)
    return _input_frames(graph, symbol, array, lengths)


class _Task(NamedTuple):
    """What a loss is made of, checked."""

    loss: str
    each: bool
    """Whether there is a target for each step; else there is one for each sequence."""
    reduction: str
    lengths: NDArray[np.int64]
    targets: NDArray[Any]
    """Class numbers (T, B) or rows (T, B, q); with T = 1 where there is one for each sequence."""
    weights: NDArray[np.float64]
    """Weights (T, B)."""


def _check_task(
    network: Any,
    args: Arguments,
    targets: ArrayLike | None,
    lengths: NDArray[np.int64],
    weights: ArrayLike | None,
    loss: str | None,
    reduction: str | None,
) -> _Task | None:
    """Return what the loss is made of; None without targets."""
    of_model = getattr(network, "loss_kind", None)
    if of_model and loss is not None:
        raise ValueError(f"loss: expected None, for a model has its own, got {loss!r}")
    if targets is None:
        if not (loss is weights is reduction is None):
            raise ValueError("targets: expected targets beside loss, weights or reduction")
        return None
    kind = of_model or choice("loss", loss, LOSSES)  # type: ignore[arg-type]
    each = getattr(network, "readout", "each") == "each"
    axes = "T B" if each else "B"
    with_target = lengths if each else (lengths > 0).astype(np.int64)
    array = LOSSES[kind].check_targets(args, targets, with_target, axes)
    reduction = choice("reduction", reduction or ("mean" if of_model else "sum"), ("sum", "mean"))
    w = check_weights(args, weights, axes)
    if each:
        return _Task(kind, each, reduction, lengths, array, w)
    return _Task(kind, each, reduction, with_target, array[None], w[None])


def _outputs(
    network: Any, parameters: dict[str, Node], made: list[Frames]
) -> tuple[Frames, Frames]:
    """Return the body's last hidden frames, and the outputs o."""
    body = getattr(network, "body", network)
    if getattr(body, "gives_outputs", False):
        return made[-2], made[-1]
    hidden = made[-1]
    if body is network:
        return hidden, hidden
    read = hidden if network.readout == "each" else _read_once(network.readout, hidden)
    V, c = parameters["V"], parameters["c"]
    nodes = (masked(rows_times(h, V) + c, read.valid(i)) for i, h in enumerate(read.nodes))
    return hidden, read._replace(symbol="o", nodes=tuple(nodes)).named()


def _read_once(readout: str, frames: Frames) -> Frames:
    """Return the one frame that the readouts "last" and "mean" see, at the last step."""
    last = np.maximum(frames.lengths - 1, 0)
    parts = []
    for i, node in enumerate(frames.nodes):
        rows = last == i if readout == "last" else frames.valid(i)
        if rows.any() or i == 0:
            parts.append(masked(node, rows))
    seen = reduce(operator.add, parts)
    if readout == "mean":
        seen = seen / seen.graph.like(seen, np.maximum(frames.lengths, 1)[:, None])
    some = (frames.lengths > 0).astype(np.int64)
    return Frames("read", (seen,), some, frames.times()[-1])


def _losses(graph: Graph, task: _Task, outputs: Frames, shared: Frames | None) -> tuple[Node, ...]:
    """Return the loss L(t) of each output, summed over the sequences with their weights.

    An output frame that stands outside its sequence, or has no target, has the weight 0.
    """
    times = outputs.times() if task.each else range(1)
    steps = np.clip(times, 0, len(task.targets) - 1)
    weights = task.weights[steps]
    for i, t in enumerate(times):
        weights[i, ~(outputs.valid(i) & (0 <= t) & (t < task.lengths))] = 0
    everywhere = np.full(weights.shape[1], len(weights))
    weights = reduction_weights(task.reduction, weights, everywhere)
    targets = task.targets[steps]
    targets[weights == 0] = 0  # never looked at: may be NaN, or no class
    losses = []
    for i, (o, time) in enumerate(zip(outputs.nodes, outputs.times(), strict=True)):
        if shared is None:
            y = graph.call(graph.input(targets[i]), f"y({time + 1})")
        else:
            y = shared.nodes[steps[i]]
        rows = _loss_rows(task.loss, o, y)
        step = total(rows * graph.like(o, weights[i][:, None]))
        losses.append(graph.call(step, f"L({time + 1})"))
    return tuple(losses)


def _loss_rows(loss: str, o: Node, y: Node) -> Node:
    """Return the loss of each row (B, 1) (MATH.md section 8)."""
    if loss == "softmax":
        return log_sum_exp(o) - pick(o, y)
    if loss == "sigmoid":
        return row_sum(softplus(o) - y * o)
    return row_sum((o - y) * (o - y))
