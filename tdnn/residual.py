"""Residual time-delay network: blocks of two causal layers, dilated twice as far in each block."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn.arrays import Arguments, count, float_dtype, generator
from fastrnn.dropout import Dropout, check_training
from fastrnn.layer import Gradients
from tdnn.block import Block, BlockTrace, block_backward, block_forward
from tdnn.layer import check_offsets
from tdnn.stream import BlockStream, LayerStream, TDNNStream

__all__ = ["ResidualTDNN", "ResidualTrace"]

Floats = NDArray[Any]


class ResidualTrace(NamedTuple):
    """What `ResidualTDNN.forward` returns, and `ResidualTDNN.backward` needs."""

    h: Floats
    """Frames of the last block (T, B, m)."""
    lengths: NDArray[np.int64]
    """Number of frames of each sequence (B,)."""
    x: Any
    """The input, checked."""
    blocks: tuple[BlockTrace, ...]
    """What each block has computed, lowest first."""


class ResidualTDNN:
    """Residual blocks of causal time-delay layers, dilated twice as far from block to block.

    The temporal convolutional network (TCN) of Bai, Kolter and Koltun (2018), without its weight
    normalisation.

    Parameters
    ----------
    input_size : int
        p, the number of input features, or of different token ids.
    sizes : list of int or of (int, int)
        The units of each block, lowest first: of both its layers, or of its first and its second.
    taps : int
        The offsets of each layer: in block i (from 0) they are 0 and the taps - 1 multiples of
        -2**i nearest to it.
    dropout : float
        The probability, below 1, with which a unit is left out of the frames of each layer, before
        the residual connection: in training alone, that is in `fastrnn.fit`, and where
        ``training=True``. The others are divided by 1 - dropout.
    same_mask : bool
        Whether what is left out is the same at all steps of a sequence. Default: drawn for each.
    dtype : dtype
        float32 or float64, of the parameters and all inputs.
    rng : int, numpy.random.Generator, optional
        Source of the initial values: W and b of a layer with C offsets and p inputs are uniform
        in +-1 / sqrt(C p), as PyTorch's Conv1d; and of the seed of the masks.

    Attributes
    ----------
    weights, biases : list of ndarray, shapes (C, m, p) and (m,)
        Two layers for each block; `parameters` names them W0, b0, W1, b1, ...
    projections : list of (ndarray, ndarray) or None
        For each block R (m, p) and r (m,), or None where the block has as many units as inputs;
        `parameters` names them R0, r0, ... by the block.
    taps : int
    dropout, same_mask
        As given; they cannot be assigned to.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said above.

    Notes
    -----
    A block computes h = relu(D(relu(W_2 * D(relu(W_1 * x + b_1)) + b_2)) + R x + r), with * as in
    `tdnn_forward` (padding "causal"), D dropout, and x itself in place of R x + r where the sizes
    agree. Frame t sees no frame after t.

    Examples
    --------
    >>> import numpy as np, tdnn
    >>> net = tdnn.ResidualTDNN(3, [8, 8, 8], taps=3, rng=0)
    >>> net.forward(np.zeros((20, 2, 3), np.float32)).h.shape, net.receptive_field
    ((20, 2, 8), 29)
    """

    kind = "tdnn-residual"
    gives_outputs = False
    right_context = 0

    def __init__(
        self,
        input_size: int,
        sizes: Sequence[int | tuple[int, int]],
        *,
        taps: int = 3,
        dropout: float = 0.0,
        same_mask: bool = False,
        dtype: DTypeLike = np.float32,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        p = count("input_size", input_size)
        blocks = _parse_sizes(sizes)
        self.taps = count("taps", taps)
        float_type = float_dtype("dtype", dtype)
        source = generator("rng", rng)
        check_offsets("sizes, taps", _offsets(len(blocks) - 1, self.taps))  # not beyond all bounds

        def uniform(*shape: int) -> list[Floats]:
            bound = 1 / np.sqrt(shape[0] * shape[2])
            drawn = (source.uniform(-bound, bound, s) for s in (shape, shape[1]))
            return [array.astype(float_type) for array in drawn]

        self.weights: list[Floats] = []
        self.biases: list[Floats] = []
        self.projections: list[tuple[Floats, Floats] | None] = []
        for inner, m in blocks:
            for shape in ((self.taps, inner, p), (self.taps, m, inner)):
                W, b = uniform(*shape)
                self.weights.append(W)
                self.biases.append(b)
            R, r = uniform(1, m, p) if m != p else (None, None)
            self.projections.append(None if R is None else (R[0], r))  # type: ignore[arg-type]
            p = m
        self._dropout = Dropout(dropout, same_mask, source)

    @property
    def input_size(self) -> int:
        """The number of input features or of different token ids."""
        return int(self.weights[0].shape[2])

    @property
    def output_size(self) -> int:
        """The size of an output frame: that of the last block."""
        return int(self.biases[-1].size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floats' type."""
        return self.biases[0].dtype

    @property
    def dropout(self) -> float:
        """The probability with which a unit is left out, in training."""
        return self._dropout.probability

    @property
    def same_mask(self) -> bool:
        """Whether all steps of a sequence leave out the same units."""
        return self._dropout.same_mask

    @property
    def offsets(self) -> tuple[tuple[int, ...], ...]:
        """The context of each layer, two of them for each block."""
        return tuple(_offsets(layer // 2, self.taps) for layer in range(len(self.weights)))

    @property
    def left_context(self) -> int:
        """How many frames before its own an output frame sees."""
        return -sum(min(offsets) for offsets in self.offsets)

    @property
    def receptive_field(self) -> int:
        """The number of input frames that one output frame sees."""
        return 1 + self.left_context

    def frames(self) -> tuple[int, int]:
        """Return (0, 1): output frame i stands at input step i."""
        return 0, 1

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"ResidualTDNN({settings})"

    def parameters(self) -> dict[str, Floats]:
        """Return the parameters by name; writing into them changes the network."""
        named: dict[str, Floats] = {}
        for index, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            named[f"W{index}"], named[f"b{index}"] = W, b
        for index, projection in enumerate(self.projections):
            if projection is not None:
                named[f"R{index}"], named[f"r{index}"] = projection
        return named

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments in a form that JSON can hold."""
        units = [int(b.size) for b in self.biases]
        return {
            "input_size": self.input_size,
            "sizes": [list(pair) for pair in zip(units[::2], units[1::2], strict=True)],
            "taps": self.taps,
            "dtype": self.dtype.name,
            **self._dropout.settings(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a network made by the constructor's arguments."""
        return cls(**config, rng=0)

    @staticmethod
    def sample_config(input_size: int, dtype: str) -> dict[str, Any]:
        """Return the arguments of a small network, for `fastrnn.warmup`."""
        return {"input_size": input_size, "sizes": [5, 5], "taps": 2, "dtype": dtype}

    def sampling(self) -> dict[str, Any]:
        """Return what the next masks depend on, for JSON; empty without dropout."""
        return self._dropout.sampling()

    def restore_sampling(self, state: dict[str, Any]) -> None:
        """Draw on as the network whose `sampling` returned `state`; ValueError if that is none."""
        self._dropout.restore_sampling(state)

    def forward(
        self,
        x: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        training: bool = False,
        threads: int | None = None,
    ) -> ResidualTrace:
        """Compute the frames of every block.

        Parameters
        ----------
        x : array_like, shape (T, B, p), or integers (T, B)
            Input sequences, or token ids.
        lengths : array_like of int, shape (B,), optional
            Valid frames of each sequence. Default: T for all.
        training : bool
            Whether dropout is at work.
        threads : int, optional
            See `fastrnn.thread_count`. The result's bits do not depend on it.

        Returns
        -------
        ResidualTrace
            h (T, B, m), zero in padding, lengths (B,), and what `backward` needs.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said above.

        Examples
        --------
        >>> import numpy as np, tdnn
        >>> trace = tdnn.ResidualTDNN(3, [8], rng=0).forward(np.array([[0], [1], [2]]))
        >>> trace.h.shape, trace.lengths
        ((3, 1, 8), array([3]))
        """
        args = Arguments({"p": (self.input_size, "input_size")}, self.dtype)
        checked = args.inputs("x", x)
        valid = args.lengths(lengths)
        if checked.ndim == 2:
            args.in_range("x", checked, self.input_size, valid)
        dropout = self._dropout if check_training(training) else None
        frames, traces = checked, []
        for block in self._blocks():
            traces.append(block_forward(frames, block, valid, dropout, threads))
            frames = traces[-1].h
        return ResidualTrace(frames, valid, checked, tuple(traces))

    def _blocks(self) -> list[Block]:
        """Return the parameters and offsets of each block."""
        pairs = zip(
            zip(self.weights[::2], self.weights[1::2], strict=True),
            zip(self.biases[::2], self.biases[1::2], strict=True),
            self.projections, self.offsets[::2], strict=True,
        )  # fmt: skip
        return [Block(*pair) for pair in pairs]

    def backward(
        self, dh: ArrayLike, state: ResidualTrace, *, threads: int | None = None
    ) -> Gradients:
        """Return the gradients in the parameters, by name, and in the input (`dx`).

        Parameters
        ----------
        dh : array_like, shape (T, B, m)
            Gradient of the loss in h.
        state : ResidualTrace
            What `forward` returned; the parameters must not have changed since.
        threads : int, optional
            See `forward`.

        Returns
        -------
        Gradients
            A dict with the names of `parameters`, and the attribute `dx`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said above.

        Examples
        --------
        >>> import numpy as np, tdnn
        >>> net = tdnn.ResidualTDNN(3, [8], rng=0)
        >>> trace = net.forward(np.ones((5, 2, 3), np.float32))
        >>> sorted(net.backward(np.ones_like(trace.h), trace))
        ['R0', 'W0', 'W1', 'b0', 'b1', 'r0']
        """
        if not isinstance(state, ResidualTrace):
            raise TypeError(f"state: expected what forward returned, got {type(state).__name__}")
        args = Arguments({"m": (self.output_size, "output_size")}, self.dtype)
        args.floats("state.h", state.h, "T B m")
        d_frames: Any = args.floats("dh", dh, "T B m")
        gradients: dict[str, Floats] = {}
        blocks = self._blocks()
        for index in reversed(range(len(blocks))):
            found = block_backward(
                d_frames, state.blocks[index], blocks[index], state.lengths, threads
            )
            for place in (0, 1):
                layer = 2 * index + place
                gradients[f"W{layer}"] = found.weights[place]
                gradients[f"b{layer}"] = found.biases[place]
            if found.projection is not None:
                gradients[f"R{index}"], gradients[f"r{index}"] = found.projection
            d_frames = found.dx
        return Gradients({name: gradients[name] for name in self.parameters()}, d_frames)

    def stream(self, batch_size: int = 1) -> TDNNStream:
        """Return a stream of `batch_size` parallel sequences, at their start.

        Examples
        --------
        >>> import numpy as np, tdnn
        >>> stream = tdnn.ResidualTDNN(3, [8, 8], rng=0).stream()
        >>> stream.step(np.zeros((1, 3), np.float32)).shape, stream.flush()
        ((1, 8), [])
        """
        batch_size = count("batch_size", batch_size)

        def layer(W: Floats, b: Floats, offsets: tuple[int, ...], activation: str) -> LayerStream:
            return LayerStream(W, b, offsets, 1, activation, "causal", batch_size)

        layers = [
            layer(W, b, offsets, "relu")
            for W, b, offsets in zip(self.weights, self.biases, self.offsets, strict=True)
        ]
        skips = [
            None if pair is None else layer(pair[0][None], pair[1], (0,), "identity")
            for pair in self.projections
        ]
        blocks = map(BlockStream, layers[::2], layers[1::2], skips)
        return TDNNStream(list(blocks), self.input_size, self.dtype, batch_size)

    def unfold(self, graph: Any, x: Any, parameters: Mapping[str, Any]) -> list[Any]:
        """Write the blocks out on a graph, without dropout; see `tdnn.frames.block_frames`."""
        from tdnn.frames import block_frames  # only here: teaching and tests need it, no kernel

        layers: list[Any] = []
        for index in range(len(self.projections)):
            offsets = self.offsets[2 * index]
            layers += block_frames(graph, x, parameters, index, offsets)
            x = layers[-1]
        return layers


def _parse_sizes(sizes: Any) -> list[tuple[int, int]]:
    """Return the units of both layers of each block."""
    if not isinstance(sizes, list | tuple):
        raise TypeError(f"sizes: expected a list of integers or pairs, got {sizes!r}")
    if not sizes:
        raise ValueError("sizes: expected at least one block, got none")
    pairs = []
    for index, size in enumerate(sizes):
        pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
        if len(pair) != 2:
            raise ValueError(f"sizes[{index}]: expected an integer or a pair, got {size!r}")
        pairs.append((count(f"sizes[{index}]", pair[0]), count(f"sizes[{index}]", pair[1])))
    return pairs


def _offsets(block: int, taps: int) -> tuple[int, ...]:
    return tuple(-(2**block) * tap for tap in reversed(range(taps)))
