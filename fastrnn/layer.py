"""What the layers of every family share: their gradients, and the protocol of a model's body."""

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Body", "Gradients", "Stream"]


class Gradients(dict[str, NDArray[Any]]):
    """Gradients by parameter name, as a layer's `backward` returns them.

    Attributes
    ----------
    dx : ndarray or None
        Gradient in the input; None where the input was token ids.
    dh0 : ndarray or None
        Gradient in the initial state; None where the layer has none.
    dz0 : ndarray or None
        Gradient in what the first steps are fed; None where the layer feeds nothing back.
    """

    def __init__(
        self,
        gradients: dict[str, NDArray[Any]],
        dx: NDArray[Any] | None,
        dh0: NDArray[Any] | None = None,
        dz0: NDArray[Any] | None = None,
    ) -> None:
        super().__init__(gradients)
        self.dx = dx
        self.dh0 = dh0
        self.dz0 = dz0


class Stream(Protocol):
    """One frame in, one frame out."""

    def step(self, x_t: ArrayLike) -> NDArray[Any] | None:
        """Return the next output frame, in a buffer that is used again; None while none is due."""

    def flush(self) -> list[NDArray[Any]]:
        """Return the frames still due, as if the sequence ended here."""

    def reset(self) -> None:
        """Return to the start of a sequence."""


class Body(Protocol):
    """What `SequenceModel` asks of the network under its output layer.

    Bodies are found again by `fastrnn.load` through the entry-point group ``fastrnn.bodies``,
    in which the entry's name is the body's `kind`. A body that gives the outputs itself (Jordan)
    says so by `gives_outputs`: its `forward` also takes `y` and `forced` and returns a state with
    `o`, and its `backward` takes do = dL/do.
    """

    kind: str

    @property
    def gives_outputs(self) -> bool:
        """Whether it gives the outputs itself."""

    @property
    def input_size(self) -> int:
        """The number of input features or of different token ids."""

    @property
    def output_size(self) -> int:
        """The size of an output frame."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floats' type."""

    @property
    def right_context(self) -> int:
        """How many frames after its own an output frame may need: the delay of a stream."""

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name; writing into them changes the body."""

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments in a form that JSON can hold."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a body made by the constructor's arguments."""

    def frames(self) -> tuple[int, int]:
        """Return (start, stride): output frame i stands at input step start + i*stride."""

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, threads: int | None = None
    ) -> Any:
        """Return a state with `h` (T_out, B, output_size) and `lengths` (B,)."""

    def backward(self, dh: ArrayLike, state: Any, *, threads: int | None = None) -> Gradients:
        """Return the gradients from dh = dL/dh and the state that `forward` returned."""

    def stream(self, batch_size: int = 1) -> Stream:
        """Return a stream of `batch_size` parallel sequences, at their start."""
