"""Streaming through an output-to-hidden (Jordan) network (MATH.md section 2)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import count, input_frame
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.feedback import FEEDBACKS
from fastrnn.kernels.jordan_step import pack_step, packed_step

__all__ = ["JordanStream"]


class JordanStream:
    """One frame in, one output out; made by `Jordan.stream`. Each step is fed the output before it.

    The weights are those of the moment the stream was made; what "sample" feeds back is drawn from
    the layer's generator, the same numbers for the same steps as by `Jordan.forward`.
    """

    def __init__(
        self,
        weights: tuple[NDArray[Any], ...],
        activation: str,
        feedback: str,
        generator: np.random.Generator,
        batch_size: int,
    ) -> None:
        self._batch_size = count("batch_size", batch_size)
        U, W, b, V, c = weights
        self._size = U.shape[1]
        self._weights = np.arange(self._batch_size), self._size, pack_step(U, W, b, V, c)
        self._codes = ACTIVATIONS[activation], FEEDBACKS[feedback]
        self._h = np.empty((self._batch_size, b.size), b.dtype)
        self._o, self._next, self._given = np.empty((3, self._batch_size, c.size), b.dtype)
        self._z = np.zeros_like(self._o)
        self._generator = generator if feedback == "sample" else None
        self._draws = np.zeros(self._batch_size)
        self._draw()

    def step(self, x_t: ArrayLike, z: ArrayLike | None = None) -> NDArray[Any]:
        """Return o(t) (batch_size, q) for the next frame, in a buffer that later steps reuse.

        Parameters
        ----------
        x_t : array_like, shape (batch_size, p), or integers (batch_size,)
            The frame, in the layer's dtype, or its token ids.
        z : array_like, shape (batch_size, q), or integers (batch_size,), optional
            What this step is fed, or the classes whose unit vectors it is fed, such as the targets
            of the step before. Default: that step's own output, fed back.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said; the state is then unchanged.
        """
        x_t = input_frame(x_t, self._batch_size, self._size, self._h.dtype)
        fed = self._z if z is None else self._checked(z)
        self._draw()
        packed_step(
            x_t, fed, *self._weights, *self._codes, self._draws, self._h, self._o, self._next
        )
        self._z, self._next = self._next, self._z
        return self._o

    def flush(self) -> list[NDArray[Any]]:
        """Return an empty list: every frame has been answered."""
        return []

    def reset(self, z0: ArrayLike | None = None) -> None:
        """Return to the start of a sequence, whose first step is fed `z0` (batch_size, q), or zero.

        As the `z` of a step, it may also be classes (batch_size,).
        """
        if z0 is None:
            self._z[...] = 0
        else:
            self._z[...] = self._checked(z0, "z0")

    def _checked(self, z: ArrayLike, name: str = "z") -> NDArray[Any]:
        """Return what is fed, from vectors or classes."""
        q, dtype = self._o.shape[1], self._o.dtype
        z = input_frame(z, self._batch_size, q, dtype, name, "q", "output_size")
        if z.ndim == 2:
            return z
        self._given.fill(0)
        np.put_along_axis(self._given, z[:, None], 1, axis=1)
        return self._given

    def _draw(self) -> None:
        """Draw for the step after this one; at the beginning for the first, which needs no draw."""
        if self._generator is not None:
            self._generator.random(out=self._draws)
