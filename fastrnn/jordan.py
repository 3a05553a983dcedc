"""Output-to-hidden (Jordan) network: the layer (MATH.md section 2)."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn.arrays import Arguments, choice, count, float_dtype, generator, refuse_first
from fastrnn.devices import DeviceArguments, arguments, moved, refuse_gpu
from fastrnn.jordan_functions import feed_back, jordan_backward, jordan_forward
from fastrnn.jordan_stream import JordanStream
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.feedback import FEEDBACKS
from fastrnn.layer import Gradients
from fastrnn.sampling import Sampling, probability

__all__ = ["Jordan", "JordanTrace", "jordan_backward", "jordan_forward"]


class JordanTrace(NamedTuple):
    """What `Jordan.forward` returns, and `Jordan.backward` needs."""

    h: NDArray[Any]
    """Hidden states (T, B, m)."""
    o: NDArray[Any]
    """Outputs (T, B, q)."""
    z: NDArray[Any]
    """What each step was fed (T, B, q)."""
    x: Any
    """The input, as it was given."""
    y: Any
    """The targets, as they were given."""
    z0: Any
    """What the first steps were fed, as it was given."""
    forced: Any
    """Which steps were fed from y (T, B), given or drawn; None for all, or without y."""
    lengths: Any
    """The lengths (B,), as they were given."""
    resets: Any
    """The resets (T, B), as they were given."""


class Jordan:
    """An output-to-hidden recurrent layer that owns its parameters (MATH.md section 2).

    It gives the outputs o(t) = c + V h(t) itself: a model puts no output layer over it. Its only
    memory is what each step is fed: the target before it (teacher forcing) or its own output before
    it (running free).

    Parameters
    ----------
    input_size : int
        p, the number of input features, or of different token ids.
    hidden_size : int
        m, the number of hidden units.
    output_size : int
        q, the number of outputs.
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function f.
    feedback : {"softmax", "sigmoid", "identity", "argmax", "sample"}
        What a step is fed of its own output o before it: softmax(o), sigmoid(o), o, or the unit
        vector of its most probable class, or of one drawn by softmax(o).
    teacher_forcing : float
        From 0 to 1: with which probability a step is fed its target instead, where `forward` is
        given targets. 1: always. 0: never. Between them (scheduled sampling) it is drawn for each
        step and sequence. It may be assigned to at any time, as in the callback of `fit`.
    dtype : dtype
        float32 or float64, of the parameters and all inputs.
    rng : int, numpy.random.Generator, optional
        Source of the initial values: U, W and V uniform (Glorot), b and c zero; and of the seed of
        the layer's own generator.

    Attributes
    ----------
    U, W, b, V, c : ndarray, shapes (m, p), (m, q), (m,), (q, m), (q,)
        The parameters.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said above.

    Notes
    -----
    What is drawn after construction (which steps are forced, what "sample" feeds back) comes from
    a generator that belongs to the layer: pickled and copied with it, stored by
    `SequenceModel.save` and in the checkpoints of `fit`, so that a resumed run draws as one that
    was never stopped. Each `forward` takes T*B numbers for scheduled sampling and T*B for
    "sample", before any work is shared: the number of threads changes no bit. Calls of one layer
    from several Python threads draw in the order in which they come; give each an `rng` of its own
    where results must repeat.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> layer = fastrnn.Jordan(3, 8, 2, rng=0)
    >>> layer.forward(np.zeros((5, 4, 3), np.float32)).o.shape
    (5, 4, 2)
    """

    kind = "jordan"
    gives_outputs = True
    right_context = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        activation: str = "tanh",
        feedback: str = "softmax",
        teacher_forcing: float = 1.0,
        dtype: DTypeLike = np.float32,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        p, m = count("input_size", input_size), count("hidden_size", hidden_size)
        q = count("output_size", output_size)
        self.activation = choice("activation", activation, ACTIVATIONS)
        self.feedback = choice("feedback", feedback, FEEDBACKS)
        float_type = float_dtype("dtype", dtype)
        source = generator("rng", rng)

        def uniform(rows: int, columns: int) -> NDArray[Any]:
            bound = np.sqrt(6 / (rows + columns))
            return source.uniform(-bound, bound, (rows, columns)).astype(float_type)

        self.U: NDArray[Any] = uniform(m, p)
        self.W: NDArray[Any] = uniform(m, q)
        self.b: NDArray[Any] = np.zeros(m, float_type)
        self.V: NDArray[Any] = uniform(q, m)
        self.c: NDArray[Any] = np.zeros(q, float_type)
        self._sampling = Sampling(teacher_forcing, source)

    @property
    def teacher_forcing(self) -> float:
        """The probability with which a step is fed its target."""
        return self._sampling.teacher_forcing

    @teacher_forcing.setter
    def teacher_forcing(self, value: float) -> None:
        self._sampling.teacher_forcing = probability("teacher_forcing", value)

    @property
    def input_size(self) -> int:
        """P, the number of input features or of different token ids."""
        return int(self.U.shape[1])

    @property
    def hidden_size(self) -> int:
        """M, the number of hidden units."""
        return int(self.U.shape[0])

    @property
    def output_size(self) -> int:
        """Q, the number of outputs."""
        return int(self.V.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floats' type."""
        return self.U.dtype

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"Jordan({settings})"

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name; writing into them changes the layer."""
        return {"U": self.U, "W": self.W, "b": self.b, "V": self.V, "c": self.c}

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments in a form that JSON can hold."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "output_size": self.output_size,
            "activation": self.activation,
            "feedback": self.feedback,
            "teacher_forcing": self.teacher_forcing,
            "dtype": self.dtype.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a layer made by the constructor's arguments."""
        return cls(**config, rng=0)

    @staticmethod
    def sample_config(input_size: int, dtype: str) -> dict[str, Any]:
        """Return the arguments of a small layer, for `fastrnn.warmup`."""
        return {"input_size": input_size, "hidden_size": 5, "output_size": 3, "dtype": dtype}

    def sampling(self) -> dict[str, Any]:
        """Return what the next draws depend on, `teacher_forcing` included, for JSON."""
        return self._sampling.state()

    def restore_sampling(self, state: dict[str, Any]) -> None:
        """Draw on as the layer whose `sampling` returned `state`; ValueError if that is none."""
        self._sampling.restore(state)

    def frames(self) -> tuple[int, int]:
        """Return (0, 1): output frame i stands at input step i."""
        return 0, 1

    def to(self, device: str) -> Self:
        """Return a copy with its parameters on a device; see `SequenceModel.to`."""
        return moved(self, device)

    def forward(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        z0: ArrayLike | None = None,
        *,
        forced: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        rng: int | np.random.Generator | None = None,
        threads: int | None = None,
    ) -> JordanTrace:
        """Compute states and outputs; arguments and errors as in `jordan_forward`.

        Parameters
        ----------
        x, z0, lengths, resets, threads
            As in `jordan_forward`.
        y : array_like of int, shape (T, B), or floats (T, B, q), optional
            Targets; without them the layer runs free.
        forced : array_like of bool, shape (T, B), optional
            Which steps are fed from y. Default: drawn with the probability `teacher_forcing`.
        rng : int, numpy.random.Generator, optional
            Source of this call's draws. Default: the layer's own generator.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> layer = fastrnn.Jordan(3, 8, 2, rng=0)
        >>> x, y = np.ones((3, 1, 3), np.float32), np.array([[0], [1], [0]])
        >>> layer.forward(x, y).z[:, 0].tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        """
        args = self._arguments("x", x)
        x = args.inputs("x", x)
        if y is not None:
            y = args.inputs("y", y, "T B q", "classes")
        if z0 is not None:
            z0 = args.floats("z0", z0, "B q")
        source = self._sampling.generator if rng is None else generator("rng", rng)
        if y is not None and forced is None and self.teacher_forcing < 1:
            drawn = self._sampling.forced(args.shape("T B"), source)
            forced = args.copied(drawn) if isinstance(args, DeviceArguments) else drawn
        state = jordan_forward(
            x, self.U, self.W, self.b, self.V, self.c,
            y=y, z0=z0, lengths=lengths, activation=self.activation, feedback=self.feedback,
            rng=source, forced=forced, resets=resets, threads=threads,
        )  # fmt: skip
        return JordanTrace(*state, x, y, z0, forced, lengths, resets)

    def backward(
        self, do: ArrayLike, state: JordanTrace, *, threads: int | None = None
    ) -> Gradients:
        """Return the gradients in the parameters (by name), in the input (`dx`) and z0 (`dz0`).

        Parameters
        ----------
        do : array_like, shape (T, B, q)
            Gradient of the loss in o.
        state : JordanTrace
            What `forward` returned; the parameters must not have changed since.
        threads : int, optional
            See `jordan_backward`.

        Returns
        -------
        Gradients
            A dict with the names of `parameters`, and the attributes `dx` and `dz0`.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> layer = fastrnn.Jordan(3, 8, 2, rng=0)
        >>> trace = layer.forward(np.ones((5, 4, 3), np.float32))
        >>> sorted(layer.backward(np.ones_like(trace.o), trace))
        ['U', 'V', 'W', 'b', 'c']
        """
        args = self._checked(state, "do", do)
        grads = jordan_backward(
            args.floats("do", do, "T B q"), state.x, state.h, state.o, self.U, self.W, self.V,
            y=state.y, z=state.z, z0=state.z0, lengths=state.lengths, activation=self.activation,
            feedback=self.feedback, forced=state.forced, resets=state.resets, threads=threads,
        )  # fmt: skip
        named = {"U": grads.dU, "W": grads.dW, "b": grads.db, "V": grads.dV, "c": grads.dc}
        return Gradients(named, grads.dx, dz0=grads.dz0)

    def carry(
        self, state: JordanTrace, steps: int, *, forced: ArrayLike | None = None
    ) -> dict[str, Any]:
        """Return {"z0": ...} with which `forward` goes on after the first `steps` of a trace.

        That is what the next step is fed, z(steps) of the same sequence: within the trace, what
        that step was fed there. After a sequence's last step (`steps` or its own length, whichever
        is less) it is what `forward` would have fed to one more step: its last target with the
        probability `teacher_forcing`, if the trace has targets, or where `forced` says so; else its
        last output, fed back.

        Parameters
        ----------
        state : JordanTrace
            What `forward` returned.
        steps : int
            From 0 to T.
        forced : array_like of bool, shape (B,), optional
            Of which sequences that step is fed the last target. Default: drawn.

        Returns
        -------
        dict
            z0 (B, q).

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said above, or a last target is no class.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> layer, x = fastrnn.Jordan(3, 8, 2, rng=0), np.ones((6, 1, 3), np.float32)
        >>> whole = layer.forward(x)
        >>> rest = layer.forward(x[4:], **layer.carry(whole, 4))
        >>> np.array_equal(rest.o, whole.o[4:])
        True
        """
        refuse_gpu("state", self.U)
        args = self._checked(state, "state.h", None)
        T, B = args.shape("T B")
        if count("steps", steps, at_least=0) > T:
            raise ValueError(f"steps: expected an integer from 0 to T = {T}, got {steps}")
        lengths = args.lengths(state.lengths)
        at, row = np.minimum(lengths, steps), np.arange(B)
        z0 = np.array(args.optional("z0", state.z0, "B q"))
        inside = (at > 0) & (at < lengths)
        z0[inside] = state.z[at[inside], row[inside]]
        ended = (at > 0) & (at == lengths)
        if ended.any():
            if forced is not None:
                forced = args.booleans("forced", forced, "B")
            z0[ended] = self._fed_next(args, state, at - 1, ended, forced)
        return {"z0": z0}

    def _fed_next(
        self, args: Arguments, state: JordanTrace, last: NDArray[np.int64],
        ended: NDArray[np.bool_], marks: NDArray[np.bool_] | None,
    ) -> NDArray[Any]:  # fmt: skip
        """Return what would be fed after step last[b] of the sequences that `ended`."""
        row = np.flatnonzero(ended)
        last = last[row]
        forced = np.full(row.size, state.y is not None)
        if state.y is not None and marks is not None:
            forced = marks[row]
        elif state.y is not None and self.teacher_forcing < 1:
            forced = self._sampling.forced(ended.shape)[row]
        draws = (
            self._sampling.generator.random(ended.size)[row] if self.feedback == "sample" else None
        )
        z = feed_back(state.o[last, row], self.feedback, draws)
        if forced.any():
            y = args.inputs("y", state.y, "T B q", "classes")[last, row][forced]
            if y.ndim == 1:
                q = self.output_size
                refuse_first("y", y, (y < 0) | (y >= q), f"integers from 0 to {q - 1}")
                y = np.arange(q) == y[:, None]
            z[forced] = y
        return z

    def unfold(self, graph: Any, x: Any, parameters: Mapping[str, Any], **feeds: Any) -> list[Any]:
        """Write the recurrence out on a graph; see `fastrnn.graph.jordan_frames`."""
        from fastrnn.graph import jordan_frames  # only here: teaching and tests need it, no kernel

        activation, feedback = self.activation, self.feedback
        return jordan_frames(
            graph, x, parameters, activation=activation, feedback=feedback, **feeds
        )

    def stream(self, batch_size: int = 1) -> JordanStream:
        """Return a stream of `batch_size` parallel sequences, at their start.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> stream = fastrnn.Jordan(3, 8, 2, rng=0).stream()
        >>> stream.step(np.zeros((1, 3), np.float32)).shape
        (1, 2)
        """
        refuse_gpu("stream", self.U)
        args = Arguments()  # the kernel of a step would read beyond the end of a wrong array
        U, W = args.floats("U", self.U, "m p"), args.floats("W", self.W, "m q")
        b, V = args.floats("b", self.b, "m"), args.floats("V", self.V, "q m")
        weights = U, W, b, V, args.floats("c", self.c, "q")
        return JordanStream(
            weights, self.activation, self.feedback, self._sampling.generator, batch_size
        )

    def _arguments(self, name: str, first: Any) -> Arguments:
        sizes = {
            "p": (self.input_size, "input_size"),
            "m": (self.hidden_size, "hidden_size"),
            "q": (self.output_size, "output_size"),
        }
        return arguments(name, first, self.U, sizes, self.dtype)

    def _checked(self, state: JordanTrace, name: str, first: Any) -> Arguments:
        """Return this layer's arguments with the sizes of a trace, after checking it."""
        if not isinstance(state, JordanTrace):
            raise TypeError(f"state: expected what forward returned, got {type(state).__name__}")
        args = self._arguments(name, first)
        args.floats("state.h", state.h, "T B m")
        args.floats("state.o", state.o, "T B q")
        args.floats("state.z", state.z, "T B q")
        return args
