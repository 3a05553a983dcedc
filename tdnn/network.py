"""Time-delay network: a stack of layers that owns its parameters (MATH.md section 3)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn.arrays import choice, count, float_dtype, generator
from fastrnn.devices import arguments, moved, refuse_gpu
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.layer import Gradients
from tdnn.layer import PADDINGS, check_padding, tdnn_backward, tdnn_forward
from tdnn.results import TDNNState
from tdnn.splice import parse_layers
from tdnn.stream import LayerStream, TDNNStream

__all__ = ["TDNN", "TDNNTrace"]


class TDNNTrace(NamedTuple):
    """What `TDNN.forward` returns, and `TDNN.backward` needs."""

    h: NDArray[Any]
    """Output frames of the last layer (T_out, B, m)."""
    lengths: NDArray[np.int64]
    """Number of output frames of each sequence (B,)."""
    x: Any
    """The input, as it was given."""
    input_lengths: Any
    """The lengths (B,), as they were given."""
    layers: tuple[TDNNState, ...]
    """Result of each layer, lowest first."""


class TDNN:
    """A stack of time-delay layers that owns its parameters (MATH.md section 3).

    Parameters
    ----------
    input_size : int
        p, the number of input features, or of different token ids.
    layers : list of (size, offsets) or (size, offsets, stride), or str
        The layers, lowest first. Offsets and strides count frames of that layer's own input. Or
        a splice string, ``"-2,-1,0,1,2 -1,2 -3,3"`` or ``"layer0/-2:-1:0:1:2 layer1/-1:2"``.
    hidden_size : int or list of int, optional
        With a splice string: the size of all layers, or of each.
    activation : {"relu", "tanh", "sigmoid", "identity"}
        The function f of all layers.
    padding : {"zero", "valid", "replicate", "causal"}
        See `tdnn_forward`; it applies at each layer's own input.
    dtype : dtype
        float32 or float64, of the parameters and all inputs.
    rng : int, numpy.random.Generator, optional
        Source of the initial values: W and b of a layer with C offsets and p inputs are uniform
        in +-1 / sqrt(C p), as PyTorch's Conv1d.

    Attributes
    ----------
    weights, biases : list of ndarray, shapes (C, m, p) and (m,)
        The parameters of each layer; `parameters` names them W0, b0, W1, b1, ...
    offsets : tuple of tuple of int
        The context of each layer.
    strides : tuple of int
        The stride of each layer.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said above; of a splice string the message holds the bad part.

    Examples
    --------
    >>> import numpy as np, tdnn
    >>> net = tdnn.TDNN(3, "-2,-1,0,1,2 -1,2 -3,3", hidden_size=8, rng=0)
    >>> net.forward(np.zeros((20, 2, 3), np.float32)).h.shape, net.receptive_field
    ((20, 2, 8), 14)
    """

    kind = "tdnn"
    gives_outputs = False

    def __init__(
        self,
        input_size: int,
        layers: str | Sequence[Any],
        *,
        hidden_size: int | Sequence[int] | None = None,
        activation: str = "relu",
        padding: str = "zero",
        dtype: DTypeLike = np.float32,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        size = count("input_size", input_size)
        parsed = parse_layers(layers, hidden_size)
        self.activation = choice("activation", activation, ACTIVATIONS)
        self.padding = choice("padding", padding, PADDINGS)
        float_type = float_dtype("dtype", dtype)
        rng = generator("rng", rng)
        self.offsets = tuple(offsets for _, offsets, _ in parsed)
        self.strides = tuple(stride for _, _, stride in parsed)
        self.weights: list[NDArray[Any]] = []
        self.biases: list[NDArray[Any]] = []
        for units, offsets, _ in parsed:
            check_padding(padding, np.array(offsets), "layers")
            bound = 1 / np.sqrt(len(offsets) * size)
            shape = (len(offsets), units, size)
            self.weights.append(rng.uniform(-bound, bound, shape).astype(float_type))
            self.biases.append(rng.uniform(-bound, bound, units).astype(float_type))
            size = units

    @property
    def input_size(self) -> int:
        """The number of input features or of different token ids."""
        return int(self.weights[0].shape[2])

    @property
    def output_size(self) -> int:
        """The size of an output frame: that of the last layer."""
        return int(self.biases[-1].size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floats' type."""
        return self.biases[0].dtype

    @property
    def receptive_field(self) -> int:
        """The number of input frames from the first to the last that one output frame sees."""
        return 1 + self._sum_over_layers(lambda offsets: max(offsets) - min(offsets))

    @property
    def left_context(self) -> int:
        """How many frames before its own an output frame may need."""
        return self._sum_over_layers(lambda offsets: max(0, -min(offsets)))

    @property
    def right_context(self) -> int:
        """How many frames after its own an output frame may need: the delay of a stream."""
        return self._sum_over_layers(lambda offsets: max(0, *offsets))

    def frames(self) -> tuple[int, int]:
        """Return (start, stride): output frame i stands at input time start + i * stride."""
        start = 0
        if self.padding == "valid":
            start = self._sum_over_layers(lambda offsets: -min(offsets))
        return start, int(np.prod(self.strides))

    def _sum_over_layers(self, extent: Any) -> int:
        """Sum a layer's extent, in frames of its input, over the layers, in frames of x."""
        total, frames = 0, 1
        for offsets, stride in zip(self.offsets, self.strides, strict=True):
            total += extent(offsets) * frames
            frames *= stride
        return total

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"TDNN({settings})"

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name; writing into them changes the network."""
        named: dict[str, NDArray[Any]] = {}
        for index, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            named[f"W{index}"], named[f"b{index}"] = W, b
        return named

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments in a form that JSON can hold."""
        sizes = [int(b.size) for b in self.biases]
        return {
            "input_size": self.input_size,
            "layers": [
                [size, list(offsets), stride]
                for size, offsets, stride in zip(sizes, self.offsets, self.strides, strict=True)
            ],
            "activation": self.activation,
            "padding": self.padding,
            "dtype": self.dtype.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a network made by the constructor's arguments."""
        return cls(**config, rng=0)

    @staticmethod
    def sample_config(input_size: int, dtype: str) -> dict[str, Any]:
        """Return the arguments of a small network, for `fastrnn.warmup`."""
        return {"input_size": input_size, "layers": [(5, (-1, 0)), (5, (0, 1))], "dtype": dtype}

    def to(self, device: str) -> Self:
        """Return a copy with its parameters on a device; see `fastrnn.SequenceModel.to`."""
        return moved(self, device)

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, threads: int | None = None
    ) -> TDNNTrace:
        """Compute the output frames; arguments and errors as in `tdnn_forward`.

        Examples
        --------
        >>> import numpy as np, tdnn
        >>> trace = tdnn.TDNN(3, [(8, (-1, 0, 1), 2)], rng=0).forward(np.array([[0], [1], [2]]))
        >>> trace.h.shape, trace.lengths
        ((2, 1, 8), array([2]))
        """
        sizes = {"p": (self.input_size, "input_size")}
        h: Any = arguments("x", x, self.biases[0], sizes, self.dtype).inputs("x", x)
        states: list[TDNNState] = []
        for index in range(len(self.weights)):
            states.append(
                tdnn_forward(
                    h, self.weights[index], self.biases[index], self.offsets[index],
                    lengths=states[-1].lengths if states else lengths, threads=threads,
                    **self._settings(index),
                )
            )  # fmt: skip
            h = states[-1].h
        return TDNNTrace(states[-1].h, states[-1].lengths, x, lengths, tuple(states))

    def _settings(self, index: int) -> dict[str, Any]:
        return {
            "activation": self.activation,
            "padding": self.padding,
            "stride": self.strides[index],
        }

    def backward(self, dh: ArrayLike, state: TDNNTrace, *, threads: int | None = None) -> Gradients:
        """Return the gradients in the parameters, by name, and in the input (`dx`).

        Parameters
        ----------
        dh : array_like, shape (T_out, B, m)
            Gradient of the loss in h.
        state : TDNNTrace
            What `forward` returned; the parameters must not have changed since.
        threads : int, optional
            See `tdnn_forward`.

        Returns
        -------
        Gradients
            A dict with the names of `parameters`, and the attribute `dx`.

        Examples
        --------
        >>> import numpy as np, tdnn
        >>> net = tdnn.TDNN(3, [(8, (-1, 0, 1))], rng=0)
        >>> trace = net.forward(np.ones((5, 2, 3), np.float32))
        >>> sorted(net.backward(np.ones_like(trace.h), trace))
        ['W0', 'b0']
        """
        if not isinstance(state, TDNNTrace):
            raise TypeError(f"state: expected what forward returned, got {type(state).__name__}")
        sizes = {"m": (self.output_size, "output_size")}
        args = arguments("dh", dh, self.biases[0], sizes, self.dtype)
        args.floats("state.h", state.h, "T_out B m")
        dh = args.floats("dh", dh, "T_out B m")
        inputs = [(state.x, state.input_lengths)]
        inputs += [(layer.h, layer.lengths) for layer in state.layers[:-1]]
        gradients: dict[str, NDArray[Any]] = {}
        d_state: Any = dh
        for index in reversed(range(len(self.weights))):
            x, lengths = inputs[index]
            grads = tdnn_backward(
                d_state, x, state.layers[index].h, self.weights[index], self.offsets[index],
                lengths=lengths, threads=threads, **self._settings(index),
            )  # fmt: skip
            gradients[f"W{index}"], gradients[f"b{index}"] = grads.dW, grads.db
            d_state = grads.dx
        return Gradients({name: gradients[name] for name in self.parameters()}, d_state)

    def unfold(self, graph: Any, x: Any, parameters: Mapping[str, Any]) -> list[Any]:
        """Write the layers out on a graph; see `tdnn.frames.tdnn_frames`."""
        from tdnn.frames import tdnn_frames  # only here: teaching and tests need it, no kernel

        layers = []
        for index, offsets in enumerate(self.offsets):
            x = tdnn_frames(graph, x, parameters, index, offsets, **self._settings(index))
            layers.append(x)
        return layers

    def stream(self, batch_size: int = 1) -> TDNNStream:
        """Return a stream of `batch_size` parallel sequences, at their start.

        Examples
        --------
        >>> import numpy as np, tdnn
        >>> stream = tdnn.TDNN(3, [(8, (-1, 0, 1))], rng=0).stream()
        >>> x_t = np.zeros((1, 3), np.float32)
        >>> stream.step(x_t), stream.step(x_t).shape, len(stream.flush())
        (None, (1, 8), 1)
        """
        refuse_gpu("stream", self.biases[0])
        batch_size = count("batch_size", batch_size)
        layers = [
            LayerStream(W, b, offsets, stride, self.activation, self.padding, batch_size)
            for W, b, offsets, stride in zip(
                self.weights, self.biases, self.offsets, self.strides, strict=True
            )
        ]
        return TDNNStream(layers, self.input_size, self.dtype, batch_size)
