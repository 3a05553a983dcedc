"""Truncated back-propagation through time (MATH.md section 5): a batch, cut into chunks of steps.

The gradient of a chunk's loss goes back to the start of a window that ends with the chunk. All that
is computed for one window is dropped before the next but the state that it begins with, so memory
grows with the window, not with the sequence. Windows that overlap compute the shared steps anew: a
body that draws (scheduled sampling, dropout) draws for each window.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import Arguments, count, filled
from fastrnn.devices import on_gpu
from fastrnn.dropout import dropped
from fastrnn.linear import linear_backward, linear_forward
from fastrnn.losses import LOSSES, check_weights, divided_weights, weight_sum
from fastrnn.output_feedback import forced_steps
from fastrnn.results import Loss

__all__ = ["Chunks", "Window", "check_resets", "check_truncation", "truncated_loss_and_grad"]


class Window(NamedTuple):
    """Steps begin <= t < end of a batch, of which those from `start` on are the chunk."""

    begin: int
    """max(0, end - k2): no gradient goes further back."""
    start: int
    """The chunk's first step: only steps from here on have a loss."""
    end: int
    """The step behind the last one."""


def check_truncation(truncation: Any, body: Any, readout: str) -> tuple[int, int]:
    """Return (k1, k2), the steps of a chunk and of a window.

    Parameters
    ----------
    truncation : tuple or list of two int
        1 <= k1 <= k2.
    body : object
        The model's body: it must have `carry`, as all recurrent ones do, and give an output frame
        for each step.
    readout : str
        The model's readout: it must be "each", for the others have no loss before the end.

    Raises
    ------
    TypeError
        If `truncation` is no pair of integers.
    ValueError
        If the numbers are not as said, or the model cannot be truncated.

    Examples
    --------
    >>> import fastrnn
    >>> from fastrnn.truncation import check_truncation
    >>> check_truncation((64, 128), fastrnn.Elman(3, 8), "each")
    (64, 128)
    """
    expected = "truncation: expected a pair (k1, k2) of integers with 1 <= k1 <= k2"
    if not isinstance(truncation, tuple | list):
        raise TypeError(f"{expected}, got {truncation!r}")
    if len(truncation) != 2:
        raise ValueError(f"{expected}, got {truncation!r}")
    try:
        k1, k2 = (count("k", k) for k in truncation)
    except TypeError:
        raise TypeError(f"{expected}, got {truncation!r}") from None
    except ValueError:
        raise ValueError(f"{expected}, got {truncation!r}") from None
    if k2 < k1:
        raise ValueError(f"{expected}, got {truncation!r}")
    if not callable(getattr(body, "carry", None)):
        raise ValueError(
            f"truncation: expected None with a body of kind {body.kind!r}, got {truncation!r}"
        )
    if body.frames() != (0, 1):
        raise ValueError(
            "truncation: expected None with a body that does not predict every step, "
            f"got {truncation!r}"
        )
    if readout != "each":
        raise ValueError(f"truncation: expected None with readout {readout!r}, got {truncation!r}")
    return k1, k2


def check_resets(resets: ArrayLike | None, body: Any) -> dict[str, ArrayLike]:
    """Return `resets` as a keyword argument of the body's forward, if given; only with `carry`."""
    if resets is None:
        return {}
    if not callable(getattr(body, "carry", None)):
        kind = type(resets).__name__
        raise ValueError(f"resets: expected None with a body of kind {body.kind!r}, got {kind}")
    return {"resets": resets}


def truncated_loss_and_grad(
    model: Any, x: ArrayLike, targets: ArrayLike, truncation: Any, reduction: str, **arguments: Any
) -> tuple[float, dict[str, NDArray[Any]]]:
    """Return the loss and the sum of the chunks' gradients; arguments as in `Chunks`."""
    chunks = Chunks(model, x, targets, truncation, **arguments)
    total = chunks.weight_sum() if reduction == "mean" else 1.0
    value, gradients = 0.0, dict[str, NDArray[Any]]()
    carried: dict[str, Any] = {}
    for number in range(chunks.count):
        loss, more, carried = chunks.run(number, carried, total)
        value += loss
        for name, gradient in more.items():
            if name in gradients:
                gradients[name] += gradient
            else:
                gradients[name] = gradient
    return value, gradients


class Chunks:
    """A batch for a `SequenceModel`, checked once and computed chunk by chunk.

    Parameters
    ----------
    model : SequenceModel
    x, targets, lengths, weights, resets, forced, threads, training
        As in `SequenceModel.loss_and_grad`.
    truncation : (int, int)
        k1 and k2, see `check_truncation`.

    Attributes
    ----------
    count : int
        Chunks that begin before the end of the longest sequence; at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> from fastrnn.truncation import Chunks
    >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8, rng=0), 2, rng=0)
    >>> chunks = Chunks(model, np.ones((7, 1, 3), np.float32), np.zeros((7, 1), int), (3, 5))
    >>> [tuple(chunks.window(number)) for number in range(chunks.count)]
    [(0, 0, 3), (1, 3, 6), (2, 6, 7)]
    """

    def __init__(
        self,
        model: Any,
        x: ArrayLike,
        targets: ArrayLike,
        truncation: Any,
        *,
        lengths: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        forced: ArrayLike | None = None,
        threads: int | None = None,
        training: bool = False,
    ) -> None:
        body = model.body
        if any(map(on_gpu, model.parameters().values())):
            raise ValueError(f"truncation: expected None with a model on a GPU, got {truncation!r}")
        self._k1, self._k2 = check_truncation(truncation, body, model.readout)
        sizes = {
            "p": (body.input_size, "input_size"), "q": (model.output_size, "output_size"),
        }  # fmt: skip
        args = Arguments(sizes, model.dtype)
        self._x = args.inputs("x", x)
        self._lengths = args.lengths(lengths)
        if self._x.ndim == 2:  # here, and not window by window: for the position in the message
            args.in_range("x", self._x, body.input_size, self._lengths)
        self._resets = None if resets is None else args.booleans("resets", resets, "T B")
        if forced is not None and not getattr(body, "gives_outputs", False):
            raise ValueError(
                f"forced: expected None with a body of kind {body.kind!r}, got {forced!r}"
            )
        self._forced = forced_steps(args, forced)
        self._loss = LOSSES[model.loss_kind]
        self._targets = self._loss.check_targets(args, targets, self._lengths)
        self._weights = None if weights is None else check_weights(args, weights)
        self._model, self._threads, self._training = model, threads, training
        self.count = -(-max(1, int(self._lengths.max(initial=0))) // self._k1)

    def weight_sum(self) -> float:
        """Return the sum of the weights of all valid steps."""
        if self._weights is None:
            return float(self._lengths.sum())
        return weight_sum(self._weights, self._lengths)

    def window(self, number: int) -> Window:
        """Return the window of a chunk, given by its number from 0."""
        start = number * self._k1
        end = min(start + self._k1, len(self._x))
        return Window(max(0, end - self._k2), start, end)

    def run(
        self, number: int, carried: dict[str, Any], total: float | None = None
    ) -> tuple[float, dict[str, NDArray[Any]], dict[str, Any]]:
        """Compute one chunk with the model's parameters of this moment.

        Parameters
        ----------
        number : int
            Of the chunk, from 0.
        carried : dict
            What its window begins with: the last result of the chunk before; of chunk 0 empty.
        total : float, optional
            What the weights are divided by. Default: their sum in this chunk.

        Returns
        -------
        (float, dict of str to ndarray, dict)
            The loss, its gradients by the names of `parameters` (none without `total` where no
            step of the chunk counts), and what the next chunk's window begins with.
        """
        window = self.window(number)
        state = self._forward(window, carried)
        onward = self._carry(number, state)
        weights = self._shares(window, total)
        if total is None and not weights.any():
            return 0.0, {}, onward
        value, gradients = self._backward(window, state, weights)
        return value, gradients, onward

    def _carry(self, number: int, state: Any) -> dict[str, Any]:
        """Return what the window after this one begins with; nothing after the last."""
        if number + 1 >= self.count:
            return {}
        body, begin = self._model.body, self.window(number + 1).begin
        fed = {} if self._forced is None else {"forced": self._forced[begin]}
        onward: dict[str, Any] = body.carry(state, begin - self.window(number).begin, **fed)
        if self._resets is not None and not any(name.endswith("_reset") for name in onward):
            raise ValueError(
                f"resets: expected None with truncation and a body of kind {body.kind!r}, whose "
                "resets would return to the state of the window's first step, got an array"
            )
        return onward

    def _shares(self, window: Window, total: float | None) -> NDArray[np.float64]:
        """Return the weights of the chunk's steps, divided; 0 in padding."""
        chunk, lengths = slice(window.start, window.end), self._valid(window.start, window.end)
        if self._weights is None:
            weights = filled((window.end - window.start, lengths.size), 1, np.float64)
        else:
            weights = self._weights[chunk]
        return divided_weights(
            weights, lengths, weight_sum(weights, lengths) if total is None else total
        )

    def _valid(self, begin: int, end: int) -> NDArray[np.int64]:
        """Return the lengths as they are seen from steps begin <= t < end."""
        return np.clip(self._lengths - begin, 0, end - begin)

    def _forward(self, window: Window, carried: dict[str, Any]) -> Any:
        begin, _, end = window
        given = {"lengths": self._valid(begin, end), "threads": self._threads, **carried}
        given |= self._model._training(self._training)
        if self._resets is not None:
            given["resets"] = self._resets[begin:end]
        if getattr(self._model.body, "gives_outputs", False):
            given["y"] = self._targets[begin:end]
            if self._forced is not None:
                given["forced"] = self._forced[begin:end]
        return self._model.body.forward(self._x[begin:end], **given)

    def _backward(
        self, window: Window, state: Any, weights: NDArray[np.float64]
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """Return the chunk's loss, and the gradients from there to the window's begin."""
        begin, start, end = window
        body, lengths, threads = self._model.body, self._valid(start, end), self._threads
        if getattr(body, "gives_outputs", False):
            loss = self._chunk_loss(window, state.o[start - begin :], lengths, weights)
            gradients = body.backward(_behind_zeros(loss.do, window), state, threads=threads)
            return loss.value, dict(gradients)
        V, c = self._model._output_layer()
        seen = state.h[start - begin :]
        factors = self._model._factors(seen) if self._training else None
        seen = dropped(seen, factors)
        o = linear_forward(seen, V, c, lengths, threads)
        loss = self._chunk_loss(window, o, lengths, weights)
        output = linear_backward(loss.do, seen, V, lengths, threads)
        d_chunk = dropped(output.dh, factors)
        gradients = body.backward(_behind_zeros(d_chunk, window), state, threads=threads)
        return loss.value, {**gradients, "V": output.dV, "c": output.dc}

    def _chunk_loss(
        self, window: Window, o: NDArray[Any], lengths: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> Loss:  # fmt: skip
        return self._loss.kernel(o, self._targets[window.start : window.end], lengths, weights)


def _behind_zeros(d_chunk: NDArray[Any], window: Window) -> NDArray[Any]:
    """Return the gradient in the window's frames: that in the chunk's, and zeros before."""
    if window.begin == window.start:
        return d_chunk
    d_window = np.zeros((window.end - window.begin, *d_chunk.shape[1:]), d_chunk.dtype)
    d_window[window.start - window.begin :] = d_chunk
    return d_window
