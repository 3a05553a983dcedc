"""Streaming through a stack: a frame rises from body to body, as far as it gets."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastrnn.layer import Stream

__all__ = ["StackStream"]


class StackStream:
    """One frame in, one frame of the highest body out; made by `Stack.stream`.

    The weights are those of the moment the stream was made.
    """

    def __init__(self, streams: list[Stream]) -> None:
        self._streams: list[Any] = streams

    def step(self, x_t: ArrayLike, z: ArrayLike | None = None) -> NDArray[Any] | None:
        """Return the next output frame, in a buffer that later steps reuse; None if none is due.

        Parameters
        ----------
        x_t : array_like, shape (batch_size, p), or integers (batch_size,)
            The frame, in the bodies' dtype, or its token ids.
        z : array_like, optional
            Only where the highest body feeds its outputs back (Jordan): see `JordanStream.step`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said. A refused `x_t` leaves the stream as it was; after a
            refused `z` it must be reset.
        RuntimeError
            After `flush`, until `reset`, where a body's own stream says so.
        """
        return self._rise(0, x_t, z)

    def _rise(self, first: int, frame: ArrayLike, z: ArrayLike | None = None) -> Any:
        """Let a frame rise from body `first` to the top; return None where it waits on the way."""
        for stream in self._streams[first:]:
            fed = () if z is None or stream is not self._streams[-1] else (z,)
            due = stream.step(frame, *fed)
            if due is None:
                return None
            frame = due
        return frame

    def flush(self) -> list[NDArray[Any]]:
        """End the sequence here, from the lowest body up; return copies of the frames still due."""
        frames = []
        for index, stream in enumerate(self._streams):
            risen = (self._rise(index + 1, frame) for frame in stream.flush())
            frames += [due.copy() for due in risen if due is not None]
        return frames

    def reset(self) -> None:
        """Return to the start of a sequence."""
        for stream in self._streams:
            stream.reset()
