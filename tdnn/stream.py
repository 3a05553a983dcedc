"""Streaming through a time-delay network: one frame in, the frame that has become due out."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import input_frame
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.weights import packed_size
from tdnn.kernels import pack_weights, packed_step

__all__ = ["BlockStream", "LayerStream", "TDNNStream"]


class LayerStream:
    """One layer's window over the frames of a sequence; arguments are not checked."""

    def __init__(
        self, W: NDArray[Any], b: NDArray[Any], offsets: tuple[int, ...], stride: int,
        activation: str, padding: str, batch_size: int,
    ) -> None:  # fmt: skip
        """Begin with copies of the weights W (C, m, p) and b (m,)."""
        panels = np.empty(len(W) * packed_size(W, W.shape[2], W.shape[1]), W.dtype)
        pack_weights(W, panels)
        in_rows = np.empty(len(W) * batch_size, np.int64)
        begins = np.arange(len(W)) * packed_size(W, W.shape[2], W.shape[1])
        self._weights = (
            np.arange(batch_size), in_rows, begins, W.shape[2], panels, b.copy(),
            np.array(offsets, np.int64), ACTIVATIONS[activation],
        )  # fmt: skip
        self._stride, self._padding = stride, padding
        self._ahead = max(0, *offsets)
        self._first_due = self._ahead - (min(offsets) if padding == "valid" else 0)
        if padding == "valid":
            self._frames_after = max(0, -max(offsets))
        else:
            self._frames_after = self._ahead
        self._ring_size = self._ahead - min(offsets) + 1
        self._ring: NDArray[Any] = np.empty(0)
        self._out = np.empty((batch_size, b.size), b.dtype)
        self._position = 0

    def step(self, x_t: NDArray[Any]) -> NDArray[Any] | None:
        """Take in one frame; return the output frame in a reused buffer if one is due now."""
        if self._position == 0:
            self._begin(x_t)
        position = self._position
        self._position += 1
        since = position - self._first_due
        if since < 0 or since % self._stride:
            self._ring[position % self._ring_size] = x_t
            return None
        packed_step(x_t, self._ring, position, *self._weights, self._out)
        return self._out

    def _begin(self, x_t: NDArray[Any]) -> None:
        """Fill the ring with what stands before frame 0."""
        self._ring = np.empty((self._ring_size, *x_t.shape), x_t.dtype)
        self._ring[...] = x_t if self._padding == "replicate" else _absent(x_t)

    def finish(self) -> Iterator[NDArray[Any]]:
        """Yield the output frames still due, each in the reused buffer, as the sequence ends."""
        if self._position == 0:
            return
        last = self._ring[(self._position - 1) % self._ring_size].copy()
        x_t = last if self._padding == "replicate" else np.full_like(last, _absent(last))
        for _ in range(self._frames_after):
            h = self.step(x_t)
            if h is not None:
                yield h

    def reset(self) -> None:
        """Return to the start of a sequence."""
        self._position = 0


class BlockStream:
    """A residual block of causal layers, frame by frame; arguments are not checked."""

    def __init__(self, first: LayerStream, second: LayerStream, skip: LayerStream | None) -> None:
        """Begin with the streams of its layers; without `skip`, x itself is added to their h."""
        self._first, self._second, self._skip = first, second, skip

    def step(self, x_t: NDArray[Any]) -> NDArray[Any]:
        """Take in one frame; return that of the block in a reused buffer."""
        h: Any = self._second.step(self._first.step(x_t))  # type: ignore[arg-type]
        if self._skip is not None:
            h += self._skip.step(x_t)
        elif x_t.ndim == 1:
            h[np.arange(len(h)), x_t] += 1
        else:
            h += x_t
        return np.maximum(h, 0, out=h)

    def finish(self) -> Iterator[NDArray[Any]]:
        """Yield nothing: every frame has been answered."""
        return iter(())

    def reset(self) -> None:
        """Return to the start of a sequence."""
        for layer in (self._first, self._second, self._skip):
            if layer is not None:
                layer.reset()


def _absent(x_t: NDArray[Any]) -> int:
    """Return what a frame that does not exist holds: zeros, or the token id -1."""
    return -1 if x_t.ndim == 1 else 0


class TDNNStream:
    """One frame in, one output frame out; made by `TDNN.stream`.

    The weights are those of the moment the stream was made. The frames that `step` and then `flush`
    return are those of `TDNN.forward` over the whole sequence, to the last bit.
    """

    def __init__(
        self,
        layers: Sequence[LayerStream | BlockStream],
        input_size: int,
        dtype: np.dtype[Any],
        batch_size: int,
    ) -> None:
        self._layers, self._input_size, self._dtype = layers, input_size, dtype
        self._batch_size = batch_size
        self._rank: int | None = None
        self._ended = False

    def step(self, x_t: ArrayLike) -> NDArray[Any] | None:
        """Take in frame t of the input, return the output frame that has become due.

        Parameters
        ----------
        x_t : array_like, shape (batch_size, p), or integers (batch_size,)
            The frame, in the network's dtype, or its token ids.

        Returns
        -------
        ndarray of shape (batch_size, m), or None
            The output frame that stands at input time t - right_context, in a buffer that later
            steps reuse; None where that is before the first output frame, or is skipped by a
            stride.

        Raises
        ------
        TypeError, ValueError
            If `x_t` is not as said; the stream is then unchanged.
        RuntimeError
            After `flush`, until `reset`.
        """
        if self._ended:
            raise RuntimeError("stream: expected reset() before the next step(), after flush()")
        checked = input_frame(x_t, self._batch_size, self._input_size, self._dtype)
        if self._rank not in (None, checked.ndim):
            raise TypeError("x_t: expected frames all of real numbers, or all of token ids")
        self._rank = checked.ndim
        return self._feed(0, checked)

    def _feed(self, first: int, h: NDArray[Any]) -> NDArray[Any] | None:
        """Let a frame rise from layer `first` to the top, or as far as it gets."""
        for layer in self._layers[first:]:
            due = layer.step(h)
            if due is None:
                return None
            h = due
        return h

    def flush(self) -> list[NDArray[Any]]:
        """End the sequence here; return copies of the output frames still due.

        Each layer, from the lowest up, sees its own padding after its last frame. The stream then
        waits for `reset`; a second `flush` returns an empty list.
        """
        frames: list[NDArray[Any]] = []
        if self._ended:
            return frames
        self._ended = True
        for index, layer in enumerate(self._layers):
            for h in layer.finish():
                due = self._feed(index + 1, h)
                if due is not None:
                    frames.append(due.copy())
        return frames

    def reset(self) -> None:
        """Return to the start of a sequence."""
        for layer in self._layers:
            layer.reset()
        self._rank = None
        self._ended = False
