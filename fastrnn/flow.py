"""`gradient_flow`: how much of a loss's gradient arrives how many steps before it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import Arguments, as_array, count
from fastrnn.bodies import RecordingBody
from fastrnn.elman import Elman, elman_backward
from fastrnn.losses import check_weights
from fastrnn.model import SequenceModel
from fastrnn.readout import frames_with_target
from fastrnn.stack import Stack, StackTrace

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gradient_flow"]

_LARGEST_SLOPE = {"tanh": 1.0, "relu": 1.0, "sigmoid": 0.25, "identity": 1.0}


def gradient_flow(
    model: SequenceModel,
    x: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    steps: int = 1,
    threads: int | None = None,
) -> "pd.DataFrame":
    """Return the norms of a loss's gradients over the lag between the loss and what it depends on.

    For a sequence b and a step t let L(b, t) be its loss there alone (times its weight, not divided
    by anything). The gradient dL(b, t)/dx(b, t - lag) tells what a small change of the input `lag`
    steps earlier would do to it; its Euclidean norm is averaged over the sequences, and over the
    steps t that are taken of each.

    Parameters
    ----------
    model : SequenceModel
        All is computed in float64, on a copy: what vanishes is small, and gradients below 2.2e-308
        are zero.
    x, targets, lengths, weights
        As in `SequenceModel.loss_and_grad`. Token ids are taken as one-hot frames.
    steps : int
        How many steps t of each sequence are taken, of those that have a target and a weight other
        than 0: the last, and with more of them others, spread evenly over the sequence. Each takes
        one pass back. With the readouts "last" and "mean" there is but one loss: 1, and t is the
        step of the last frame.
    threads : int, optional
        See `fastrnn.thread_count`.

    Returns
    -------
    DataFrame
        A row for each ``lag`` that a pair (b, t) has, from -right_context of the body on; columns

        - ``norm``: the mean of |dL(b, t)/dx(b, t - lag)|. With the readout "mean" a step also acts
          directly, not only through later ones.
        - ``state_norm``: the mean of |dL(b, t)/dh(b, t - lag)|, where h is the state of the highest
          body if that is an Elman layer; NaN else (and between its steps, over a stride).
        - ``bound``: no state_norm is larger: (s |W|_2)^n times the mean of |dL(b, t)/dh(b, t)| over
          the same sequences and steps; n counts the steps of that layer, |W|_2 is W's largest
          singular value, s the largest slope of f (tanh, relu, identity 1; sigmoid 1/4).
        - ``spectral``: the same with the spectral radius of W, its largest absolute eigenvalue, in
          place of |W|_2: the rate at which the bound falls or grows over many steps. For a W that
          is not normal the norm may be above it for a while.
        - ``in_field``: whether the body can see that step at all. Where it cannot (a TDNN, beyond
          its receptive field), norm is exactly 0.
        - ``count``: the number of pairs (b, t) of the mean.

        With the readout "mean", bound and spectral are NaN.

    Raises
    ------
    ImportError
        If pandas is not installed.
    TypeError, ValueError
        If an argument is not as said above.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8, rng=0), 4, readout="last", rng=0)
    >>> flow = fastrnn.gradient_flow(model, np.ones((6, 2, 3), np.float32), [0, 3])
    >>> flow["lag"].tolist(), bool((flow["state_norm"] <= flow["bound"]).all())
    ([0, 1, 2, 3, 4, 5], True)
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            'gradient_flow returns a DataFrame of the pandas package: pip install "fastrnn[report]"'
        ) from error
    if not isinstance(model, SequenceModel):
        raise TypeError(f"model: expected a SequenceModel, got {type(model).__name__}")
    if count("steps", steps) > 1 and model.readout != "each":
        raise ValueError(f"steps: expected 1 with the readout {model.readout!r}, got {steps}")
    frames, valid = _checked_frames(model, x, lengths)
    wide = model.astype(np.float64)
    wide.body = recorder = RecordingBody(wide.body)
    state = wide.body.forward(frames, lengths=valid, threads=threads)
    count_of = valid if state.lengths is None else np.asarray(state.lengths, np.int64)
    settings: dict[str, Any] = {"lengths": valid, "reduction": "sum", "threads": threads}
    if getattr(model.body, "gives_outputs", False):  # fed as when a loss is evaluated
        settings["forced"] = model.body.teacher_forcing > 0
    shape = frames.shape[:2] if model.readout == "each" else frames.shape[1:2]
    given = _checked_weights(shape, weights)
    table = _Table(model, len(state.h), valid, count_of)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # inf and NaN are told
        for last in _chosen(model, len(state.h), valid, count_of, given, steps):
            only = _only_at(last, model, given)
            wide.loss_and_grad(frames, _wide(targets), weights=only, **settings)
            table.add(last, recorder)
        return pd.DataFrame(table.columns())


def _checked_frames(
    model: SequenceModel, x: ArrayLike, lengths: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return x in float64, token ids as one-hot frames, and the lengths."""
    p = model.body.input_size
    args = Arguments({"p": (p, "input_size")}, model.dtype)
    x = args.inputs("x", x)
    valid = args.lengths(lengths)
    if x.ndim == 3:
        return x.astype(np.float64), valid
    args.in_range("x", x, p, valid)
    inside = np.arange(len(x))[:, None] < valid
    return np.eye(p)[np.where(inside, x, 0)], valid


def _checked_weights(shape: tuple[int, ...], weights: ArrayLike | None) -> NDArray[np.float64]:
    letters = ("T", "B")[-len(shape) :]
    args = Arguments({letter: (n, "x") for letter, n in zip(letters, shape, strict=True)})
    return check_weights(args, weights, " ".join(letters))


def _wide(targets: ArrayLike) -> NDArray[Any]:
    array = as_array("targets", targets)
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _chosen(
    model: SequenceModel,
    frames: int,
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
    weights: NDArray[np.float64],
    steps: int,
) -> Iterator[NDArray[np.int64]]:
    """Yield the frame of each sequence whose loss is taken next, or -1 for none of it."""
    if model.readout != "each":
        yield np.where(weights != 0, counts - 1, -1)
        return
    times, before_end, has_target = frames_with_target(model.body.frames(), frames, lengths, counts)
    taken = has_target[:, None] & (np.arange(frames)[:, None] < before_end)
    times = np.minimum(times, max(len(weights) - 1, 0))
    choices = [np.flatnonzero(column) for column in (taken & (weights[times] != 0)).T]
    for k in range(steps):
        last = np.full(len(choices), -1)
        for b, choice in enumerate(choices):
            back, before = k * len(choice) // steps, (k - 1) * len(choice) // steps
            if back != before and back < len(choice):
                last[b] = choice[-1 - back]
        yield last


def _only_at(
    last: NDArray[np.int64], model: SequenceModel, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights of the chosen losses, and 0 for all others."""
    if model.readout != "each":
        return weights
    start, stride = model.body.frames()
    rows = np.flatnonzero(last >= 0)
    at, only = (start + stride * last[rows], rows), np.zeros_like(weights)
    only[at] = weights[at]
    return only


class _Table:
    """Sums of norms by lag; a norm's place is its lag + right_context."""

    def __init__(
        self, model: SequenceModel, frames: int, lengths: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:  # fmt: skip
        self.body, self.readout = model.body, model.readout
        self.top = _highest(model.body)
        self.lengths, self.frame_counts = lengths, counts
        self.start, self.stride = model.body.frames()
        self.shift = int(model.body.right_context)
        size = self.shift + max(0, int(self.start + self.stride * frames), *lengths.tolist()) + 1
        self.norm, self.count = np.zeros(size), np.zeros(size, np.int64)
        self.state_norm, self.first_norm = np.zeros(size), np.zeros(size)
        self.state_count = np.zeros(size, np.int64)

    def add(self, last: NDArray[np.int64], recorder: Any) -> None:
        """Add the norms of a pass back from the frames `last`."""
        inputs = _norms(recorder.gradients.dx)
        states = _state_norms(self.top, recorder)
        for b in np.flatnonzero(last >= 0):
            lags = self.start + self.stride * last[b] - np.arange(self.lengths[b])
            seen = lags >= -self.shift
            places = lags[seen] + self.shift
            self.norm[places] += inputs[: self.lengths[b], b][seen]
            self.count[places] += 1
            if states is not None:
                earlier = np.arange(last[b] + 1)
                places = self.stride * (last[b] - earlier) + self.shift
                self.state_norm[places] += states[: last[b] + 1, b]
                self.first_norm[places] += states[last[b], b]
                self.state_count[places] += 1

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of the table, without lags that no pair has."""
        there = (self.count > 0) | (self.state_count > 0)
        lags = np.flatnonzero(there) - self.shift
        first = _mean(self.first_norm, self.state_count)[there]
        rates = (0.0, 0.0)
        if self.top is None or self.readout == "mean":
            first[...] = np.nan
        else:
            rates = _rates(self.top)
        bounds = [first * np.power(rate, np.maximum(lags, 0) / self.stride) for rate in rates]
        left = getattr(self.body, "left_context", None)
        seen = np.full(len(lags), True) if left is None or self.readout == "mean" else lags <= left
        return {
            "lag": lags,
            "norm": _mean(self.norm, self.count)[there],
            "state_norm": _mean(self.state_norm, self.state_count)[there],
            "bound": bounds[0],
            "spectral": bounds[1],
            "in_field": seen,
            "count": self.count[there],
        }


def _norms(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return the norms (T, B) of vectors whose squares may be too small for floats."""
    scale = np.abs(vectors).max(axis=2, keepdims=True, initial=0.0)
    return scale[..., 0] * np.linalg.norm(vectors / np.where(scale > 0, scale, 1), axis=2)


def _mean(total: NDArray[Any], count: NDArray[np.int64]) -> NDArray[Any]:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _highest(body: Any) -> Elman | None:
    """Return the layer whose states the output layer reads, if that is an Elman layer."""
    while isinstance(body, Stack):
        body = body.bodies[-1]
    return body if isinstance(body, Elman) else None


def _state_norms(top: Elman | None, recorder: Any) -> NDArray[Any] | None:
    """Return |dL/dh| (T, B) of the highest body's states, over all the ways from h to L."""
    if top is None:
        return None
    state = recorder.state
    while isinstance(state, StackTrace):
        state = state.states[-1]
    h, W = state.h, top.W.astype(np.float64)
    m = len(W)
    # With the identity in the place of U, the gradient in the input is d_a.
    da = elman_backward(
        recorder.dh, np.zeros_like(h), h, np.eye(m), W,
        lengths=state.lengths, activation=top.activation,
    ).dx  # fmt: skip
    total = recorder.dh.copy()
    total[:-1] += da[1:] @ W
    return _norms(total)


def _rates(top: Elman) -> tuple[float, float]:
    """Return how much a step back multiplies a gradient: at most, and in the long run."""
    W, slope = top.W.astype(np.float64), _LARGEST_SLOPE[top.activation]
    radius = np.abs(np.linalg.eigvals(W)).max()
    return slope * float(np.linalg.norm(W, 2)), slope * float(radius)
