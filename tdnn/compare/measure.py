"""What is measured of a network: its speed, the memory it takes, its gradient and its error."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import fastrnn
from fastrnn.bodies import takes
from tdnn.compare.tasks import Batch, Task

__all__ = [
    "FLOW_COLUMNS", "flow_columns", "gradient_error", "latency", "rates_over_length", "speed",
    "stored_bytes", "throughput",
]  # fmt: skip

REPETITIONS = 9
LEAST_REPETITIONS, ENOUGH_SECONDS = 3, 0.25  # of calls that take long
LENGTHS = (16, 64, 256, 1024)
LATENCY_STEPS, WARM_STEPS = 500, 50
NUDGE = 1e-3
FLOW_COLUMNS = ("lag", "norm", "state_norm", "bound", "spectral", "in_field", "count")


def speed(model: fastrnn.SequenceModel, task: Task, threads: int | None) -> dict[str, Any]:
    """All that a clock or a count says of a model, whatever its parameters are.

    Returns
    -------
    dict
        ``sequences_per_second``, see `throughput`; ``lengths``, see `rates_over_length`;
        ``latency``, see `latency`; ``stored_bytes``, see `stored_bytes`.
    """
    batch = next(task.batches(0, 0, 1))
    return {
        "sequences_per_second": throughput(model, batch, threads),
        "lengths": rates_over_length(model, task, batch, threads),
        "latency": latency(model, batch),
        "stored_bytes": stored_bytes(model, batch, threads),
    }


def throughput(model: fastrnn.SequenceModel, batch: Batch, threads: int | None) -> dict[str, float]:
    """Sequences per second, forward and forward+backward: the median of warm repetitions."""
    rows = batch.x.shape[1]
    forward, both = _rates(model, batch, threads)
    return {"forward": rows * forward, "forward_backward": rows * both}


def rates_over_length(
    model: fastrnn.SequenceModel, task: Task, batch: Batch, threads: int | None
) -> list[dict[str, Any]]:
    """Steps per second over the length of one sequence, forward and forward+backward.

    The sequence is the batch's own data, repeated: values do not change the time, lengths do.
    """
    rows = []
    for length in LENGTHS:
        one = lengthened(task, batch, length)
        forward, both = _rates(model, one, threads)
        rows.append(
            {
                "length": length,
                "batch": one.x.shape[1],
                "forward": length * one.x.shape[1] * forward,
                "forward_backward": length * one.x.shape[1] * both,
            }
        )
    return rows


def lengthened(task: Task, batch: Batch, length: int) -> Batch:
    """One sequence of `length` steps, made of the batch's first."""
    valid = batch.x.shape[0] if batch.lengths is None else int(batch.lengths.max())
    row = 0 if batch.lengths is None else int(batch.lengths.argmax())
    steps = np.arange(length) % valid
    targets = batch.targets[steps, row : row + 1] if task.readout == "each" else (
        batch.targets[row : row + 1]
    )  # fmt: skip
    return Batch(np.ascontiguousarray(batch.x[steps, row : row + 1]), np.ascontiguousarray(targets))


def _rates(model: fastrnn.SequenceModel, batch: Batch, threads: int | None) -> tuple[float, float]:
    """Calls per second of the forward pass and of forward and backward."""
    known: dict[str, Any] = {"lengths": batch.lengths, "threads": threads}
    fed = _fed(model, batch)
    weights = batch.weights
    return (
        1 / _seconds(lambda: model.forward(batch.x, **fed, **known)),
        1 / _seconds(lambda: model.loss_and_grad(batch.x, batch.targets, weights=weights, **known)),
    )


def _fed(model: fastrnn.SequenceModel, batch: Batch) -> dict[str, Any]:
    """What a forward pass must be given besides its input: a Jordan body the targets."""
    return {"y": batch.targets} if getattr(model.body, "gives_outputs", False) else {}


def _seconds(call: Callable[[], object]) -> float:
    """The median time of a warm call; fewer repetitions where it takes long."""
    call()  # warm: compiled, and its memory touched
    times: list[float] = []
    while len(times) < REPETITIONS and (
        len(times) < LEAST_REPETITIONS or sum(times) < ENOUGH_SECONDS
    ):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def latency(model: fastrnn.SequenceModel, batch: Batch) -> dict[str, float]:
    """Seconds that one step of a stream of one sequence takes: median, and 95 % take no longer."""
    stream = model.stream()
    frames = np.ascontiguousarray(batch.x[:, :1])
    times = np.empty(WARM_STEPS + LATENCY_STEPS)
    for step in range(times.size):
        frame = frames[step % len(frames)]
        started = time.perf_counter()
        stream.step(frame)
        times[step] = time.perf_counter() - started
    times = times[WARM_STEPS:]
    return {"median": float(np.median(times)), "p95": float(np.quantile(times, 0.95))}


def stored_bytes(model: fastrnn.SequenceModel, batch: Batch, threads: int | None) -> int:
    """Bytes kept between the forward and the backward pass of one training batch.

    That is all that the body's forward pass returns for its backward pass, and the outputs'
    gradient; neither the input, nor parameters, nor what is freed in between.
    """
    fed = _fed(model, batch)
    known: dict[str, Any] = {"lengths": batch.lengths, "threads": threads, **fed}
    masks = {"training": True} if takes(model.body.forward, "training") else {}
    state = model.body.forward(batch.x, **known, **masks)
    foreign = {_place(array) for array in (batch.x, *model.parameters().values())}
    kept = {_place(array) for array in _arrays(state)} - foreign
    gradient = 0 if fed else model.forward(batch.x, **known).nbytes
    return sum(size for _, size in kept) + gradient


def _place(array: np.ndarray) -> tuple[int, int]:
    """Where the memory behind an array is, and how many bytes it has."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.__array_interface__["data"][0], array.nbytes


def _arrays(state: Any) -> Iterator[np.ndarray]:
    """All arrays in a state: a tuple, list, dict or object of arrays and such."""
    if isinstance(state, np.ndarray):
        yield state
        return
    if isinstance(state, dict):
        parts: Iterable[Any] = state.values()
    elif isinstance(state, tuple | list):
        parts = state
    elif dataclasses.is_dataclass(state):
        parts = [getattr(state, field.name) for field in dataclasses.fields(state)]
    else:
        parts = getattr(state, "__dict__", {}).values()
    for part in parts:
        yield from _arrays(part)


def gradient_error(
    model: fastrnn.SequenceModel, batches: Iterable[Batch], threads: int | None
) -> float:
    """The relative error of the gradient: norm-wise, worst over parameters, median over batches.

    The yardstick is the same network and input in float64. For each batch the parameters are
    changed by one part in a thousand, at random: a relu unit whose input lies within rounding of 0
    (for a run of blanks, say, that comes in every batch) would be on in one precision and off in
    the other, a fault of neither, and the gradients would differ in the third digit.
    """
    rng = np.random.default_rng(0)
    return statistics.median(_gradient_error(model, batch, rng, threads) for batch in batches)


def _gradient_error(
    model: fastrnn.SequenceModel, batch: Batch, rng: np.random.Generator, threads: int | None
) -> float:
    model = model.astype(model.dtype)
    for array in model.parameters().values():
        array *= 1 + NUDGE * rng.standard_normal(array.shape).astype(array.dtype)
    exact = model.astype(np.float64)
    x, targets = _wide(batch.x), _wide(batch.targets)
    known: dict[str, Any] = {
        "lengths": batch.lengths, "weights": batch.weights, "threads": threads,
    }  # fmt: skip
    _, wanted = exact.loss_and_grad(x, targets, **known)
    _, found = model.loss_and_grad(batch.x, batch.targets, **known)
    errors = []
    for name, gradient in wanted.items():
        norm = float(np.linalg.norm(gradient))
        difference = float(np.linalg.norm(found[name] - gradient))
        errors.append(difference / norm if norm > 0 else difference)
    return max(errors)


def _wide(array: np.ndarray) -> np.ndarray:
    """Floats in float64; ids and class numbers as they are."""
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array


def flow_columns(
    model: fastrnn.SequenceModel, batch: Batch, threads: int | None
) -> dict[str, list[Any]]:
    """The columns of `fastrnn.gradient_flow`, JSON-able: None for what is not a finite number."""
    flow = fastrnn.gradient_flow(
        model, batch.x, batch.targets, lengths=batch.lengths, threads=threads
    )
    return {
        name: [
            value if isinstance(value, int) or np.isfinite(value) else None
            for value in flow[name].tolist()
        ]
        for name in FLOW_COLUMNS
    }
