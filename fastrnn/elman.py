"""Hidden-to-hidden (Elman) network: functions and layer (MATH.md section 1)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn import device_functions
from fastrnn.arrays import Arguments, choice, count, float_dtype, generator
from fastrnn.devices import arguments, moved, on_gpu, refuse_gpu
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.elman import backward_part, backward_products, forward_part
from fastrnn.kernels.inputs import empty_input_gradient
from fastrnn.layer import Gradients
from fastrnn.results import ElmanGrads, ElmanState
from fastrnn.streams import ElmanStream
from fastrnn.threads import share, share_steps

__all__ = ["Elman", "ElmanTrace", "elman_backward", "elman_forward"]


def elman_forward(
    x: ArrayLike,
    U: ArrayLike,
    W: ArrayLike,
    b: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    lengths: ArrayLike | None = None,
    activation: str = "tanh",
    threads: int | None = None,
    resets: ArrayLike | None = None,
    h_reset: ArrayLike | None = None,
) -> ElmanState:
    """Compute the hidden states h(t) = f(b + W h(t-1) + U x(t)) (MATH.md section 1).

    Parameters
    ----------
    x : array_like, shape (T, B, p), or integers (T, B)
        Input sequences, time first; float32 or float64. Integers are token ids in [0, p): U x
        is then a column of U.
    U : array_like, shape (m, p)
        Input-to-hidden weights.
    W : array_like, shape (m, m)
        Hidden-to-hidden weights.
    b : array_like, shape (m,)
        Bias.
    h0 : array_like, shape (B, m), optional
        Initial states; zero by default.
    lengths : array_like of int, shape (B,), optional
        Valid steps of each sequence, in any order, 0 included. Steps from lengths[b] on are
        padding: never read, and zero in the result. Default: T for all.
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function f.
    threads : int, optional
        The most threads to use; see `fastrnn.thread_count`. The result's bits do not depend on it.
    resets : array_like of bool, shape (T, B), optional
        Where resets[t, b], the state before step t is no longer h(t-1) but h0[b], as if another
        sequence began there (MATH.md section 4). Padding is never read.
    h_reset : array_like, shape (B, m), optional
        The states that resets return to, where they are not h0: a sequence that goes on from an
        earlier call begins with that call's last state, but resets to zero. Default: h0.

    Returns
    -------
    ElmanState
        h (T, B, m) and h_last (B, m), the state after each sequence's last valid step.

    Raises
    ------
    TypeError
        If dtypes are mixed or not float32 or float64, or an argument is of a wrong kind.
    ValueError
        If shapes disagree, a size is 0, or a length or token id is out of range.
    RuntimeError
        If arrays are on a GPU, and CUDA cannot be used.

    Notes
    -----
    The arrays may all be on a GPU instead (CuPy, PyTorch, Numba, ``__cuda_array_interface__``). The
    results are then of x's library, queued on its stream; nothing waits, and lengths and token ids
    are not looked at: an id out of range adds nothing.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> x, U, W, b = np.ones((3, 1, 2)), np.full((1, 2), 0.5), np.zeros((1, 1)), np.zeros(1)
    >>> fastrnn.elman_forward(x, U, W, b).h[:, 0, 0].round(4)
    array([0.7616, 0.7616, 0.7616])
    """
    if on_gpu(x):
        return device_functions.elman_forward(
            x, U, W, b, h0, lengths, activation, resets, threads=threads, h_reset=h_reset
        )
    args = Arguments()
    x = args.inputs("x", x)
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m m")
    b = args.floats("b", b, "m")
    h0, resets = _check_starts(args, h0, resets, h_reset)
    lengths = _check_lengths(args, x, U, lengths)
    code = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]

    T, B = x.shape[:2]
    m, p = U.shape
    h, h_last = np.empty((T, B, m), U.dtype), np.empty((B, m), U.dtype)
    work = T * B * m * (m + (p if x.ndim == 3 else 1))
    arguments = (x, U, W, b, h0, lengths, code, h, h_last, None, resets)
    share_steps(forward_part, arguments, B, threads, work, W)
    return ElmanState(h, h_last)


def elman_backward(
    dh: ArrayLike,
    x: ArrayLike,
    h: ArrayLike,
    U: ArrayLike,
    W: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    dh_last: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    activation: str = "tanh",
    threads: int | None = None,
    resets: ArrayLike | None = None,
    h_reset: ArrayLike | None = None,
) -> ElmanGrads:
    """Back-propagate through time (MATH.md section 1): d_h = dh + W^T d_a(t+1), d_a = f' d_h.

    Parameters
    ----------
    dh : array_like, shape (T, B, m)
        Gradient of the loss in h. Its padding is never read.
    x, h, U, W, h0, lengths, activation, threads, resets, h_reset
        As given to, and returned by, `elman_forward`.
    dh_last : array_like, shape (B, m), optional
        Gradient of the loss in h_last, added to dh at each sequence's last valid step.

    Returns
    -------
    ElmanGrads
        dx (T, B, p), or None where x holds token ids; dU (m, p), dW (m, m), db (m,), dh0 (B, m).
        No gradient passes a reset: what arrives there is part of dh0, or, with `h_reset`, dropped.

    Raises
    ------
    TypeError, ValueError
        As in `elman_forward`.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> x, U, W, b = np.ones((3, 1, 2)), np.full((1, 2), 0.5), np.zeros((1, 1)), np.zeros(1)
    >>> h = fastrnn.elman_forward(x, U, W, b).h
    >>> fastrnn.elman_backward(np.ones_like(h), x, h, U, W).db.round(4)
    array([1.2599])
    """
    if on_gpu(dh):
        return device_functions.elman_backward(
            dh, x, h, U, W, h0, dh_last, lengths, activation, resets,
            threads=threads, h_reset=h_reset,
        )  # fmt: skip
    args = Arguments()
    dh = args.floats("dh", dh, "T B m")
    x = args.inputs("x", x)
    h = args.floats("h", h, "T B m")
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m m")
    h0, resets = _check_starts(args, h0, resets, h_reset)
    dh_last = args.optional("dh_last", dh_last, "B m")
    lengths = _check_lengths(args, x, U, lengths)
    code = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]

    T, B, m = h.shape
    dtype = U.dtype
    dx = empty_input_gradient(x, U)
    dU, dW, db = np.empty_like(U), np.empty_like(W), np.empty(m, dtype)
    dh0, da = np.empty_like(h0), np.empty((T, B, m), dtype)
    work = T * B * m * (m + (U.shape[1] if x.ndim == 3 else 1))
    recurrence = (dh, h, W, dh_last, lengths, code, dh0, da, resets)
    share_steps(backward_part, recurrence, B, threads, work, W)
    products = (da, x, h, h0, U, lengths, dx, dU, dW, db, resets)
    share(backward_products, products, m, threads, 2 * work)
    return ElmanGrads(dx, dU, dW, db, dh0[:B])


def _check_starts(
    args: Arguments, h0: ArrayLike | None, resets: ArrayLike | None, h_reset: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return h0 (B, m), or with h_reset behind it (2 B, m) as the kernels take it; and resets."""
    h0 = args.optional("h0", h0, "B m")
    marks = None if resets is None else args.booleans("resets", resets, "T B")
    if h_reset is None:
        return h0, marks
    home = args.floats("h_reset", h_reset, "B m")
    return h0 if marks is None else np.concatenate((h0, home)), marks


def _check_lengths(
    args: Arguments, x: NDArray[Any], U: NDArray[Any], lengths: ArrayLike | None
) -> NDArray[np.int64]:
    checked = args.lengths(lengths)
    if x.ndim == 2:
        args.in_range("x", x, U.shape[1], checked)
    return checked


class ElmanTrace(NamedTuple):
    """What `Elman.forward` returns, and `Elman.backward` needs."""

    h: NDArray[Any]
    """Hidden states (T, B, m)."""
    h_last: NDArray[Any]
    """State after each sequence's last valid step (B, m)."""
    x: Any
    """The input, as it was given."""
    h0: Any
    """The initial states, as they were given."""
    lengths: Any
    """The lengths (B,), as they were given."""
    resets: Any = None
    """The resets (T, B), as they were given."""
    h_reset: Any = None
    """The states that they return to, as they were given."""


def _orthogonal(m: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw an orthogonal (m, m), all of them equally probable."""
    orthogonal, triangular = np.linalg.qr(rng.standard_normal((m, m)))
    return orthogonal * np.where(np.diag(triangular) < 0, -1.0, 1.0)  # the signs make it uniform


_RECURRENT_INITS: dict[str, Callable[[int, np.random.Generator], NDArray[np.float64]]] = {
    "orthogonal": _orthogonal,
    "identity": lambda m, _: np.eye(m),
}


class Elman:
    """A hidden-to-hidden recurrent layer that owns its parameters (MATH.md section 1).

    Parameters
    ----------
    input_size : int
        p, the number of input features, or of different token ids.
    hidden_size : int
        m, the number of hidden units.
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function f.
    dtype : dtype
        float32 or float64, of the parameters and all inputs.
    recurrent_init : {"orthogonal", "identity"}
        The initial W: a random orthogonal matrix, or the identity (with relu the layer then sums up
        what it sees; Le, Jaitly and Hinton 2015). A saved layer has its values, not this word.
    rng : int, numpy.random.Generator, optional
        Source of the initial values: U uniform in +-sqrt(6 / (p + m)) (Glorot), then W; b is zero.

    Attributes
    ----------
    U, W, b : ndarray, shapes (m, p), (m, m), (m,)
        The parameters.

    Raises
    ------
    TypeError, ValueError
        If a size is no integer >= 1, or another argument is not as said above.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> layer = fastrnn.Elman(3, 8, rng=0)
    >>> layer.forward(np.zeros((5, 2, 3), np.float32)).h.shape
    (5, 2, 8)
    """

    kind = "elman"
    gives_outputs = False
    right_context = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str = "tanh",
        dtype: DTypeLike = np.float32,
        recurrent_init: str = "orthogonal",
        rng: int | np.random.Generator | None = None,
    ) -> None:
        p, m = count("input_size", input_size), count("hidden_size", hidden_size)
        self.activation = choice("activation", activation, ACTIVATIONS)
        dtype = float_dtype("dtype", dtype)
        rng = generator("rng", rng)
        bound = np.sqrt(6 / (p + m))
        self.U: NDArray[Any] = rng.uniform(-bound, bound, (m, p)).astype(dtype)
        make = _RECURRENT_INITS[choice("recurrent_init", recurrent_init, _RECURRENT_INITS)]
        self.W: NDArray[Any] = np.ascontiguousarray(make(m, rng), dtype)
        self.b: NDArray[Any] = np.zeros(m, dtype)

    @classmethod
    def from_torch(
        cls, state_dict: Mapping[str, Any], layer: int = 0, *, activation: str = "tanh"
    ) -> Self:
        """Return the layer whose weights a `torch.nn.RNN` holds, with b = bias_ih + bias_hh.

        Parameters
        ----------
        state_dict : dict
            What `torch.nn.RNN(...).state_dict()` returns; plain arrays do as well.
        layer : int
            Which layer of the stack to take.
        activation : {"tanh", "relu", "sigmoid", "identity"}
            The RNN's `nonlinearity`, which a state dict does not hold.

        Returns
        -------
        Elman
            With copies of the weights, in their dtype.

        Raises
        ------
        TypeError
            If `state_dict` is no dict, or its weights are not float32 or float64.
        ValueError
            If the weights are missing or those of another network (GRU, LSTM).

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> weights = {"weight_ih_l0": np.ones((4, 2)), "weight_hh_l0": np.eye(4)}
        >>> fastrnn.Elman.from_torch(weights)
        Elman(input_size=2, hidden_size=4, activation='tanh', dtype='float64')
        """
        suffix = f"_l{count('layer', layer, at_least=0)}"
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict: expected a dict, got {type(state_dict).__name__}")
        for key in ("weight_ih" + suffix, "weight_hh" + suffix):
            if key not in state_dict:
                raise ValueError(f"state_dict: expected the key {key!r}, got {list(state_dict)}")
        if f"weight_ih{suffix}_reverse" in state_dict:
            raise ValueError("state_dict: expected one direction, got a bidirectional network")
        args = Arguments()

        def weights(key: str, axes: str) -> NDArray[Any]:
            return args.floats(f"state_dict[{key!r}]", state_dict[key], axes)

        W = weights("weight_hh" + suffix, "rows m")
        if W.shape[0] != W.shape[1]:
            raise ValueError(
                f"state_dict: expected weight_hh{suffix} of shape (m, m), got {W.shape} "
                "(a GRU has three times, an LSTM four times as many rows)"
            )
        U = weights("weight_ih" + suffix, "m p")
        keys = ("bias_ih" + suffix, "bias_hh" + suffix)
        biases = [weights(key, "m") for key in keys if key in state_dict]
        network = cls(U.shape[1], W.shape[0], activation=activation, dtype=U.dtype, rng=0)
        network.U[...], network.W[...] = U, W
        network.b[...] = sum(biases) if biases else 0
        return network

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
        """M, the size of an output frame."""
        return self.hidden_size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floats' type."""
        return self.U.dtype

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"Elman({settings})"

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name; writing into them changes the layer."""
        return {"U": self.U, "W": self.W, "b": self.b}

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments in a form that JSON can hold."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "activation": self.activation,
            "dtype": self.dtype.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a layer made by the constructor's arguments."""
        return cls(**config, rng=0)

    def frames(self) -> tuple[int, int]:
        """Return (0, 1): output frame i stands at input step i."""
        return 0, 1

    def to(self, device: str) -> Self:
        """Return a copy with its parameters on a device; see `SequenceModel.to`."""
        return moved(self, device)

    def forward(
        self,
        x: ArrayLike,
        h0: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        threads: int | None = None,
        resets: ArrayLike | None = None,
        h_reset: ArrayLike | None = None,
    ) -> ElmanTrace:
        """Compute the hidden states; arguments and errors as in `elman_forward`.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> trace = fastrnn.Elman(3, 8, rng=0).forward(np.array([[0, 1], [2, 0]]))
        >>> trace.h_last.shape
        (2, 8)
        """
        sizes = {"p": (self.input_size, "input_size"), "m": (self.hidden_size, "hidden_size")}
        args = arguments("x", x, self.U, sizes, self.dtype)
        state = elman_forward(
            args.inputs("x", x), self.U, self.W, self.b, args.optional("h0", h0, "B m"),
            lengths=lengths, activation=self.activation, threads=threads,
            resets=resets, h_reset=h_reset,
        )  # fmt: skip
        return ElmanTrace(state.h, state.h_last, x, h0, lengths, resets, h_reset)

    def backward(
        self,
        dh: ArrayLike,
        state: ElmanTrace,
        *,
        dh_last: ArrayLike | None = None,
        threads: int | None = None,
    ) -> Gradients:
        """Return the gradients in U, W, b (by name), in the input (`dx`) and in h0 (`dh0`).

        Parameters
        ----------
        dh : array_like, shape (T, B, m)
            Gradient of the loss in h.
        state : ElmanTrace
            What `forward` returned; the parameters must not have changed since.
        dh_last : array_like, shape (B, m), optional
            Gradient of the loss in h_last.
        threads : int, optional
            See `elman_forward`.

        Returns
        -------
        Gradients
            A dict with the names of `parameters`, and the attributes `dx` and `dh0`.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> layer = fastrnn.Elman(3, 8, rng=0)
        >>> trace = layer.forward(np.ones((5, 2, 3), np.float32))
        >>> sorted(layer.backward(np.ones_like(trace.h), trace))
        ['U', 'W', 'b']
        """
        if not isinstance(state, ElmanTrace):
            raise TypeError(f"state: expected what forward returned, got {type(state).__name__}")
        sizes = {"m": (self.hidden_size, "hidden_size")}
        args = arguments("dh", dh, self.U, sizes, self.dtype)
        args.floats("state.h", state.h, "T B m")
        dh, dh_last = args.floats("dh", dh, "T B m"), args.optional("dh_last", dh_last, "B m")
        grads = elman_backward(
            dh, state.x, state.h, self.U, self.W, state.h0,
            dh_last=dh_last, lengths=state.lengths, activation=self.activation, threads=threads,
            resets=state.resets, h_reset=state.h_reset,
        )  # fmt: skip
        return Gradients({"U": grads.dU, "W": grads.dW, "b": grads.db}, grads.dx, grads.dh0)

    def carry(self, state: ElmanTrace, steps: int) -> dict[str, NDArray[Any]]:
        """Return the arguments of `forward` with which the sequences go on after some steps.

        Parameters
        ----------
        state : ElmanTrace
            What `forward` returned.
        steps : int
            How many of its T steps lie behind. A sequence that has ended keeps its last state.

        Returns
        -------
        dict of str to ndarray
            ``h0``, the states after those steps, and ``h_reset``, the states that resets go on to
            return to: both (B, m), and copies.

        Raises
        ------
        TypeError, ValueError
            If `state` is not as said, or `steps` no integer from 0 to T.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> layer, x = fastrnn.Elman(3, 8, rng=0), np.ones((5, 2, 3), np.float32)
        >>> whole, begun = layer.forward(x), layer.forward(x[:2])
        >>> rest = layer.forward(x[2:], **layer.carry(begun, 2))
        >>> bool(np.all(rest.h == whole.h[2:]))
        True
        """
        if not isinstance(state, ElmanTrace):
            raise TypeError(f"state: expected what forward returned, got {type(state).__name__}")
        refuse_gpu("state", state.h)
        T, B, m = state.h.shape
        if count("steps", steps, at_least=0) > T:
            raise ValueError(f"steps: expected an integer from 0 to T = {T}, got {steps}")
        nothing = np.zeros((B, m), state.h.dtype)
        h0 = nothing if state.h0 is None else np.array(state.h0)
        h_reset = h0 if state.h_reset is None else np.array(state.h_reset)
        lengths = np.full(B, T) if state.lengths is None else np.asarray(state.lengths)
        last, carried = np.minimum(lengths, steps) - 1, h0.copy()
        begun = np.flatnonzero(last >= 0)
        carried[begun] = state.h[last[begun], begun]
        return {"h0": carried, "h_reset": h_reset}

    def unfold(
        self,
        graph: Any,
        x: Any,
        parameters: Mapping[str, Any],
        *,
        h0: ArrayLike | None = None,
        resets: ArrayLike | None = None,
    ) -> list[Any]:
        """Write the recurrence out on a graph; see `fastrnn.graph.elman_frames`."""
        from fastrnn.graph import elman_frames  # only here: teaching and tests need it, no kernel

        return elman_frames(graph, x, parameters, activation=self.activation, h0=h0, resets=resets)

    def stream(self, batch_size: int = 1) -> ElmanStream:
        """Return a stream of `batch_size` parallel sequences, at their start.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> stream = fastrnn.Elman(3, 8, rng=0).stream()
        >>> stream.step(np.zeros((1, 3), np.float32)).shape
        (1, 8)
        """
        refuse_gpu("stream", self.U)
        args = Arguments()  # the kernel of a step would read beyond the end of a wrong array
        U, W = args.floats("U", self.U, "m p"), args.floats("W", self.W, "m m")
        return ElmanStream(U, W, args.floats("b", self.b, "m"), self.activation, batch_size)
