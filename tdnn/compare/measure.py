"""What is measured of a network: its loss on a set, its speed, its gradient and its error."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import fastrnn
from tdnn.compare.tasks import Batch, mean_loss

__all__ = ["FLOW_COLUMNS", "flow_columns", "gradient_error", "mean_loss", "throughput"]

REPETITIONS = 9
NUDGE = 1e-3
FLOW_COLUMNS = ("lag", "norm", "state_norm", "bound", "spectral", "in_field", "count")


def throughput(model: fastrnn.SequenceModel, batch: Batch, threads: int | None) -> dict[str, float]:
    """Sequences per second, forward and forward+backward: the median of warm repetitions."""
    rows = batch.x.shape[1]
    return {
        "forward": rows / _seconds(lambda: model.forward(batch.x, threads=threads)),
        "forward_backward": rows
        / _seconds(lambda: model.loss_and_grad(batch.x, batch.targets, threads=threads)),
    }


def _seconds(call: Callable[[], object]) -> float:
    call()  # warm: compiled, and its memory touched
    times = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


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
    floats = np.issubdtype(batch.x.dtype, np.floating)
    x = batch.x.astype(np.float64) if floats else batch.x
    targets = batch.targets.astype(np.float64) if floats else batch.targets
    _, wanted = exact.loss_and_grad(x, targets, threads=threads)
    _, found = model.loss_and_grad(batch.x, batch.targets, threads=threads)
    errors = []
    for name, gradient in wanted.items():
        norm = float(np.linalg.norm(gradient))
        difference = float(np.linalg.norm(found[name] - gradient))
        errors.append(difference / norm if norm > 0 else difference)
    return max(errors)


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
