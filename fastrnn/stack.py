"""Depth: a body made of bodies, each of which reads the frames of the one below it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import float_dtype, generator
from fastrnn.bodies import check_body, check_pair, describe_body, make_body, start_name, takes
from fastrnn.devices import moved
from fastrnn.dropout import Dropout, check_training, dropped
from fastrnn.elman import Elman
from fastrnn.layer import Body, Gradients
from fastrnn.sampling import joined_sampling, restore_joined
from fastrnn.stack_stream import StackStream

__all__ = ["Stack", "StackTrace"]


class StackTrace(NamedTuple):
    """What `Stack.forward` returns, and `Stack.backward` needs."""

    h: NDArray[Any]
    """Frames of the highest body (T_out, B, output_size); its states where it gives outputs."""
    lengths: Any
    """Number of these frames in each sequence (B,), or None where all have T."""
    states: tuple[Any, ...]
    """What each body's `forward` returned, lowest first."""
    factors: tuple[Any, ...] = ()
    """What the frames of each body but the highest were multiplied by; empty without dropout."""

    @property
    def h_last(self) -> tuple[Any, ...]:
        """The last state of each body; None for one that has no state."""
        return tuple(getattr(state, "h_last", None) for state in self.states)

    @property
    def o(self) -> Any:
        """The outputs (T, B, q) of a highest body that gives outputs itself."""
        return self.states[-1].o


class Stack:
    """Bodies over one another: each reads the frames that the one below it gives.

    Deep recurrent networks (Elman over Elman), a TDNN that reads its input for a recurrent network
    above (its stride makes the steps of that one fewer), a recurrent network below a TDNN, and
    stacks of stacks.

    Parameters
    ----------
    bodies : list of Elman, TDNN, Stack, Jordan
        Lowest first. They are used, not copied. A Jordan body may only be the last: the stack then
        gives the outputs itself, as that body does.
    dropout : float
        The probability, below 1, with which a unit is left out of the frames between two bodies:
        in training alone, that is in `fit`, and where ``training=True``. The others are
        divided by 1 - dropout.
    same_mask : bool
        Whether what is left out is the same at all steps of a sequence. Default: drawn for each.
    rng : int, numpy.random.Generator, optional
        Source of the seed of the stack's own generator, which draws the masks.

    Attributes
    ----------
    bodies : tuple
        The bodies.
    dropout, same_mask
        As given; they cannot be assigned to.

    Raises
    ------
    TypeError
        If `bodies` is no list of bodies, or they are of different dtypes.
    ValueError
        If there is none, one comes twice, or its output_size is not the input_size of the next; or
        `dropout` is out of its range, or there is nothing between the bodies to leave out.

    Notes
    -----
    h_0 = x, h_i = body_i(h_(i-1)): the gradient in a body's input is that in the frames of the body
    below. Parameters, and gradients, are named after the body's place: ``0.U``, ``0.W``, ``1.U``...

    The generator of the masks belongs to the stack: pickled and copied with it, stored by
    `SequenceModel.save` and in the checkpoints of `fit`, so that a resumed run draws as one that
    was never stopped.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> deep = fastrnn.Stack([fastrnn.Elman(3, 8, rng=0), fastrnn.Elman(8, 5, rng=1)])
    >>> deep.forward(np.zeros((4, 2, 3), np.float32)).h.shape, list(deep.parameters())
    ((4, 2, 5), ['0.U', '0.W', '0.b', '1.U', '1.W', '1.b'])
    """

    kind = "stack"

    def __init__(
        self,
        bodies: Sequence[Body],
        *,
        dropout: float = 0.0,
        same_mask: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        if not isinstance(bodies, list | tuple):
            raise TypeError(f"bodies: expected a list of layers, got {type(bodies).__name__}")
        if not bodies:
            raise ValueError("bodies: expected at least one body, got none")
        for body in bodies:
            check_body("bodies", body)
        for above in range(1, len(bodies)):
            check_pair(bodies, above)
        self.bodies: tuple[Any, ...] = tuple(bodies)
        self._dropout = Dropout(dropout, same_mask, generator("rng", rng))
        if self.dropout and len(bodies) == 1:
            raise ValueError(f"dropout: expected 0 with a single body, got {dropout!r}")

    @classmethod
    def from_torch(cls, state_dict: Mapping[str, Any], *, activation: str = "tanh") -> Self:
        """Return Elman layers with the weights of all layers of a `torch.nn.RNN`.

        Parameters
        ----------
        state_dict : dict
            What `torch.nn.RNN(..., num_layers=n).state_dict()` returns; plain arrays do as well.
        activation : {"tanh", "relu", "sigmoid", "identity"}
            The RNN's `nonlinearity`, which a state dict does not hold.

        Returns
        -------
        Stack
            With copies of the weights, in their dtype, and b = bias_ih + bias_hh.

        Raises
        ------
        TypeError, ValueError
            As in `Elman.from_torch`.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> weights = {"weight_ih_l0": np.ones((4, 2)), "weight_hh_l0": np.eye(4)}
        >>> weights |= {"weight_ih_l1": np.ones((4, 4)), "weight_hh_l1": np.eye(4)}
        >>> len(fastrnn.Stack.from_torch(weights).bodies)
        2
        """
        count = 1
        while isinstance(state_dict, Mapping) and f"weight_ih_l{count}" in state_dict:
            count += 1
        return cls(
            [Elman.from_torch(state_dict, layer, activation=activation) for layer in range(count)]
        )

    @property
    def gives_outputs(self) -> bool:
        """Whether the highest body gives the outputs o itself: no output layer stands above it."""
        return getattr(self.bodies[-1], "gives_outputs", False)

    @property
    def feedback(self) -> str:
        """How that body feeds its outputs back."""
        return self.bodies[-1].feedback

    @property
    def teacher_forcing(self) -> float:
        """The probability with which that body is fed its targets; it may be assigned to."""
        return self.bodies[-1].teacher_forcing

    @teacher_forcing.setter
    def teacher_forcing(self, value: float) -> None:
        self.bodies[-1].teacher_forcing = value

    @property
    def dropout(self) -> float:
        """The probability with which a unit is left out between two bodies, in training."""
        return self._dropout.probability

    @property
    def same_mask(self) -> bool:
        """Whether all steps of a sequence leave out the same units."""
        return self._dropout.same_mask

    def sampling(self) -> dict[str, Any]:
        """Return what the next draws of the bodies, by their place, and of the masks depend on."""
        return joined_sampling(self._drawing())

    def restore_sampling(self, state: dict[str, Any]) -> None:
        """Draw on as the stack whose `sampling` returned `state`; ValueError if that is none."""
        restore_joined(self._drawing(), state)

    def _drawing(self) -> dict[str, Any]:
        return {**{str(i): body for i, body in enumerate(self.bodies)}, "dropout": self._dropout}

    @property
    def input_size(self) -> int:
        """The number of input features or of different token ids."""
        return self.bodies[0].input_size

    @property
    def output_size(self) -> int:
        """The size of an output frame: that of the highest body."""
        return self.bodies[-1].output_size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floats' type."""
        return self.bodies[0].dtype

    @property
    def right_context(self) -> int:
        """How many frames after its own an output frame may need: the delay of a stream."""
        return self._sum_over_bodies(lambda body: body.right_context)

    @property
    def left_context(self) -> int:
        """How many frames before its own an output frame may need; only if every body has it."""
        return self._sum_over_bodies(lambda body: body.left_context)

    @property
    def receptive_field(self) -> int:
        """The number of input frames that an output frame sees; only if every body has it."""
        return 1 + self._sum_over_bodies(lambda body: body.receptive_field - 1)

    def frames(self) -> tuple[int, int]:
        """Return (start, stride): output frame i stands at input time start + i * stride."""
        start = self._sum_over_bodies(lambda body: body.frames()[0])
        return start, int(np.prod([body.frames()[1] for body in self.bodies]))

    def _sum_over_bodies(self, extent: Callable[[Any], int]) -> int:
        """Sum a body's extent, in frames of its input, over the bodies, in frames of x."""
        total, frames = 0, 1
        for body in self.bodies:
            total += extent(body) * frames
            frames *= body.frames()[1]
        return total

    def __repr__(self) -> str:
        settings = "".join(f", {name}={v!r}" for name, v in self._dropout.settings().items())
        return f"Stack([{', '.join(map(repr, self.bodies))}]{settings})"

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name; writing into them changes the bodies."""
        return self._named(body.parameters() for body in self.bodies)

    def _named(self, dicts: Any) -> dict[str, NDArray[Any]]:
        return {
            f"{place}.{name}": array
            for place, arrays in enumerate(dicts)
            for name, array in arrays.items()
        }

    def config(self) -> dict[str, Any]:
        """Return what makes a stack of this kind, in a form that JSON can hold."""
        return {
            "bodies": [describe_body(body) for body in self.bodies],
            "dtype": self.dtype.name,
            **self._dropout.settings(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a stack as `config` describes it, all of its bodies in the dtype given there."""
        dtype = float_dtype("dtype", config["dtype"]).name
        settings = {key: config[key] for key in ("dropout", "same_mask") if key in config}
        bodies = [make_body(described, dtype=dtype) for described in config["bodies"]]
        return cls(bodies, rng=0, **settings)

    def to(self, device: str) -> Self:
        """Return a copy with its parameters on a device; see `SequenceModel.to`."""
        return moved(self, device)

    @staticmethod
    def sample_config(input_size: int, dtype: str) -> dict[str, Any]:
        """Return what makes a small stack, for `fastrnn.warmup`."""
        sizes = ((input_size, 5), (5, 5))
        bodies = [describe_body(Elman(p, m, dtype=dtype, rng=0)) for p, m in sizes]
        return {"bodies": bodies, "dtype": dtype}

    def forward(
        self,
        x: ArrayLike,
        h0: Sequence[Any] | None = None,
        *,
        y: ArrayLike | None = None,
        forced: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        h_reset: Sequence[Any] | None = None,
        training: bool = False,
        threads: int | None = None,
    ) -> StackTrace:
        """Compute the frames of every body.

        Parameters
        ----------
        x : array_like, shape (T, B, p), or integers (T, B)
            Input sequences, or token ids.
        h0 : sequence, optional
            For each body its own initial state (z0 of a Jordan body), None for zero; a body
            without a state has None.
        y, forced : array_like, optional
            What the highest body is fed, where it gives outputs itself; see `Jordan.forward`.
        lengths : array_like of int, shape (B,), optional
            Valid steps of each sequence. Default: T for all.
        resets : array_like of bool, shape (T, B), optional
            Before which steps the states return to h0; only if all bodies are recurrent.
        h_reset : sequence, optional
            For each body the states that resets return to, where they are not h0; see
            `elman_forward`.
        training : bool
            Whether dropout is at work, in this stack and in its bodies.
        threads : int, optional
            See `fastrnn.thread_count`. The result's bits do not depend on it.

        Returns
        -------
        StackTrace
            h (T_out, B, output_size), lengths (B,), and states, that of each body.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said above.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> deep = fastrnn.Stack([fastrnn.Elman(3, 8, rng=0), fastrnn.Elman(8, 5, rng=1)])
        >>> trace = deep.forward(np.array([[0, 1], [2, 0]]), (None, np.ones((2, 5), np.float32)))
        >>> [h.shape for h in trace.h_last]
        [(2, 8), (2, 5)]
        """
        fed = {"y": y, "forced": forced}
        for name, value in fed.items():
            if value is not None and not self.gives_outputs:
                got = type(value).__name__
                raise TypeError(f"{name}: expected None with a stack of this kind, got {got}")
        if resets is not None:
            self._check_resets(resets)
        starts, homes = self._for_each_body("h0", h0), self._for_each_body("h_reset", h_reset)
        training = check_training(training)
        states: list[Any] = []
        factors: list[Any] = []
        for body, start, home in zip(self.bodies, starts, homes, strict=True):
            if states:
                x, lengths = states[-1].h, states[-1].lengths
                if training and self.dropout:
                    factors.append(self._dropout.factors(states[-1].h.shape, self.dtype))
                    x = dropped(states[-1].h, factors[-1])
            named = {str(start_name(body)): start, "h_reset": home, "resets": resets}
            settings = {name: value for name, value in named.items() if value is not None}
            if self.gives_outputs and body is self.bodies[-1]:
                settings |= fed
            if training and takes(body.forward, "training"):
                settings["training"] = True
            states.append(body.forward(x, lengths=lengths, threads=threads, **settings))
        return StackTrace(states[-1].h, states[-1].lengths, tuple(states), tuple(factors))

    def _check_resets(self, resets: Any) -> None:
        """Raise where a body has no state that could return, or frames at other steps than x."""
        for body in self.bodies:
            if not takes(body.forward, "resets") or body.frames() != (0, 1):
                raise ValueError(
                    f"resets: expected None with a body of kind {body.kind!r}, "
                    f"got {type(resets).__name__}"
                )

    def _for_each_body(self, name: str, values: Any) -> Sequence[Any]:
        """Return what was given for each body, or None for all."""
        if values is None:
            return (None,) * len(self.bodies)
        if not isinstance(values, list | tuple):
            got = type(values).__name__
            raise TypeError(f"{name}: expected a list with an entry for each body, got {got}")
        if len(values) != len(self.bodies):
            raise ValueError(f"{name}: expected {len(self.bodies)} entries, got {len(values)}")
        for place, (body, value) in enumerate(zip(self.bodies, values, strict=True)):
            refused = name == "h_reset" and not takes(body.forward, name)
            if value is not None and (refused or start_name(body) is None):
                raise ValueError(
                    f"{name}: expected None in place {place}, for a body of kind {body.kind!r}, "
                    f"got {type(value).__name__}"
                )
        return values

    def backward(
        self,
        dh: ArrayLike,
        state: StackTrace,
        *,
        dh_last: Sequence[Any] | None = None,
        threads: int | None = None,
    ) -> Gradients:
        """Return the gradients in the parameters, by name, and in the input and the h0.

        Parameters
        ----------
        dh : array_like, shape (T_out, B, output_size)
            Gradient of the loss in h; in o, where the highest body gives outputs itself.
        state : StackTrace
            What `forward` returned; the parameters must not have changed since.
        dh_last : sequence, optional
            For each body the gradient of the loss in its h_last, or None.
        threads : int, optional
            See `forward`.

        Returns
        -------
        Gradients
            A dict with the names of `parameters`, and the attributes `dx` and `dh0`, a tuple with
            an entry for each body.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said above.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> deep = fastrnn.Stack([fastrnn.Elman(3, 8, rng=0), fastrnn.Elman(8, 5, rng=1)])
        >>> trace = deep.forward(np.ones((4, 2, 3), np.float32))
        >>> sorted(deep.backward(np.ones_like(trace.h), trace))
        ['0.U', '0.W', '0.b', '1.U', '1.W', '1.b']
        """
        if not isinstance(state, StackTrace):
            raise TypeError(f"state: expected what forward returned, got {type(state).__name__}")
        ends = self._for_each_body("dh_last", dh_last)
        gradients: list[Gradients] = []
        frames: Any = dh
        below = list(state.factors) or [None] * len(self.bodies[1:])
        for body, trace, end in zip(self.bodies[::-1], state.states[::-1], ends[::-1], strict=True):
            settings = {} if end is None else {"dh_last": end}
            gradients.insert(0, body.backward(frames, trace, threads=threads, **settings))
            frames = gradients[0].dx
            if below:
                frames = dropped(frames, below.pop())
        names = [start_name(body) for body in self.bodies]
        starts: Any = tuple(
            getattr(found, f"d{name}", None) for found, name in zip(gradients, names, strict=True)
        )
        return Gradients(self._named(gradients), gradients[0].dx, starts)

    @property
    def carry(self) -> Callable[[StackTrace, int], dict[str, Any]]:
        """The method ``carry(state, steps, **fed)``; there is none unless every body has one.

        It returns the keyword arguments of `forward` with which the sequences go on after `steps`
        steps of the trace `state`: h0, and h_reset if every body has one. `fed` goes to the highest
        body's `carry`.
        """
        methods = [body.carry for body in self.bodies]  # an AttributeError where one has none

        def carry(state: StackTrace, steps: int, **fed: Any) -> dict[str, Any]:
            found = [part(trace, steps) for part, trace in zip(methods, state.states, strict=True)]
            if fed:  # the highest body is to feed some of its targets
                found[-1] = methods[-1](state.states[-1], steps, **fed)
            names = [start_name(body) for body in self.bodies]
            starts = (part.get(name) for part, name in zip(found, names, strict=True))
            onward: dict[str, Any] = {"h0": tuple(starts)}
            homes = tuple(part.get("h_reset") for part in found)
            return onward | ({} if any(home is None for home in homes) else {"h_reset": homes})

        return carry

    def stream(self, batch_size: int = 1) -> StackStream:
        """Return a stream of `batch_size` parallel sequences, at their start.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> deep = fastrnn.Stack([fastrnn.Elman(3, 8, rng=0), fastrnn.Elman(8, 5, rng=1)])
        >>> deep.stream().step(np.zeros((1, 3), np.float32)).shape
        (1, 5)
        """
        return StackStream([body.stream(batch_size) for body in self.bodies])

    def unfold(
        self,
        graph: Any,
        x: Any,
        parameters: Mapping[str, Any],
        *,
        h0: Any = None,
        resets: ArrayLike | None = None,
        **fed: Any,
    ) -> list[Any]:
        """Write the bodies out on a graph, one over the other; see `fastrnn.graph.unfold`.

        `h0` has an entry for each body, as in `forward`; `fed` is what the highest body is fed.
        """
        frames: list[Any] = []
        starts = self._for_each_body("h0", h0)
        for place, (body, start) in enumerate(zip(self.bodies, starts, strict=True)):
            own = {name: parameters[f"{place}.{name}"] for name in body.parameters()}
            states: dict[str, Any] = {} if start is None else {str(start_name(body)): start}
            states |= {} if resets is None else {"resets": resets}
            states |= fed if body is self.bodies[-1] else {}
            layers = body.unfold(graph, x, own, **states)
            frames += [layer._replace(symbol=f"{place}.{layer.symbol}") for layer in layers]
            x = layers[-1]
        return frames
