"""Streaming: one frame in, one frame out (MATH.md sections 1 and 3)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import Arguments, count, input_frame
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.elman import pack_step, packed_step
from fastrnn.layer import Stream
from fastrnn.linear import linear_forward
from fastrnn.losses import LOSSES

__all__ = ["ElmanStream", "ModelStream"]


class ElmanStream:
    """One frame in, one hidden state out; made by `Elman.stream`.

    The weights are those of the moment the stream was made.
    """

    def __init__(
        self,
        U: NDArray[Any],
        W: NDArray[Any],
        b: NDArray[Any],
        activation: str,
        batch_size: int,
    ) -> None:
        self._batch_size = count("batch_size", batch_size)
        self._size = U.shape[1]
        rows = np.arange(self._batch_size)
        self._weights = rows, self._size, pack_step(U, W, b), ACTIVATIONS[activation]
        shape = (self._batch_size, b.size)
        self._h, self._next = np.zeros(shape, b.dtype), np.empty(shape, b.dtype)

    def step(self, x_t: ArrayLike) -> NDArray[Any]:
        """Return h(t) (batch_size, m) for the next frame, in a buffer that later steps reuse.

        Parameters
        ----------
        x_t : array_like, shape (batch_size, p), or integers (batch_size,)
            The frame, in the layer's dtype, or its token ids.

        Raises
        ------
        TypeError, ValueError
            If `x_t` is not as said; the state is then unchanged.
        """
        x_t = input_frame(x_t, self._batch_size, self._size, self._h.dtype)
        packed_step(x_t, self._h, *self._weights, self._next)
        self._h, self._next = self._next, self._h
        return self._h

    def flush(self) -> list[NDArray[Any]]:
        """Return an empty list: every frame has been answered."""
        return []

    def reset(self, h0: ArrayLike | None = None) -> None:
        """Return to the start of a sequence, with state `h0` (batch_size, m), or zero."""
        if h0 is None:
            self._h[...] = 0
            return
        sizes = {"B": (self._batch_size, "batch_size"), "m": (self._h.shape[1], "hidden_size")}
        self._h[...] = Arguments(sizes, self._h.dtype).floats("h0", h0, "B m")


class ModelStream:
    """One frame in, what `predict` gives for it out; made by `SequenceModel.stream`.

    With the readouts "last" and "mean", each answer is that for the sequence up to its frame. The
    weights are those of the moment the stream was made.
    """

    def __init__(
        self,
        frames: Stream,
        output_layer: tuple[NDArray[Any], NDArray[Any]] | None,
        loss: str,
        readout: str,
    ) -> None:
        """Begin; without an output layer the frames are outputs, and their stream takes `z`."""
        self._frames: Any = frames
        self._output_layer = None
        if output_layer is not None:
            self._output_layer = output_layer[0].copy(), output_layer[1].copy()
        self._to_prediction = LOSSES[loss].predict
        self._mean = readout == "mean"
        self._sum: Any = 0
        self._seen = 0

    def step(self, x_t: ArrayLike, z: ArrayLike | None = None) -> NDArray[Any] | None:
        """Return the next prediction (batch_size, q), or None while none is due.

        A body with right context r answers for frame t - r (a strided one, at every s-th step).

        Parameters
        ----------
        x_t : array_like, shape (batch_size, p), or integers (batch_size,)
            The frame, in the model's dtype, or its token ids.
        z : array_like, shape (batch_size, q), or integers (batch_size,), optional
            Only over a body that feeds its outputs back (Jordan): see `JordanStream.step`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said; the state is then unchanged.
        """
        if z is None:
            frame = self._frames.step(x_t)
        elif self._output_layer is None:
            frame = self._frames.step(x_t, z)
        else:
            raise ValueError("z: expected None over a body without output feedback, got an array")
        return None if frame is None else self._predict(frame)

    def flush(self) -> list[NDArray[Any]]:
        """Return the predictions still due, as if the sequence ended here."""
        return [self._predict(frame) for frame in self._frames.flush()]

    def reset(self) -> None:
        """Return to the start of a sequence."""
        self._frames.reset()
        self._sum, self._seen = 0, 0

    def _predict(self, frame: NDArray[Any]) -> NDArray[Any]:
        if self._mean:
            self._sum = self._sum + frame
            self._seen += 1
            frame = self._sum / frame.dtype.type(self._seen)
        lengths = np.ones(len(frame), np.int64)
        if self._output_layer is None:
            outputs = frame[None].copy()
        else:
            outputs = linear_forward(frame[None], *self._output_layer, lengths, 1)
        if self._to_prediction is not None:
            self._to_prediction(outputs, lengths, outputs)
        return outputs[0]
