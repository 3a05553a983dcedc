"""A network that predicts: a body (Elman, Jordan, TDNN), an output layer and a loss."""

import copy
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn import device_functions, device_model
from fastrnn.arrays import Arguments, choice, count, float_dtype, generator
from fastrnn.bodies import check_body, describe_body, takes
from fastrnn.checkpoint import save_arrays
from fastrnn.devices import as_number, device_of, moved, on_gpu, on_host, refuse_gpu
from fastrnn.dropout import Dropout, check_training, dropped
from fastrnn.layer import Body
from fastrnn.linear import linear_backward, linear_forward
from fastrnn.losses import LOSSES, check_weights, reduction_weights
from fastrnn.output_feedback import check_fed_model, fed_forward, fed_loss
from fastrnn.readout import READOUTS, frames_with_target, read, read_backward
from fastrnn.results import Loss
from fastrnn.sampling import joined_sampling, restore_joined
from fastrnn.streams import ModelStream
from fastrnn.truncation import check_resets, truncated_loss_and_grad

__all__ = ["SequenceModel"]


class SequenceModel:
    """A body, an output layer o(t) = c + V h(t), and a loss (MATH.md sections 1, 2 and 8).

    Parameters
    ----------
    body : Elman, Jordan, TDNN, Stack
        The network below the output layer. It is used, not copied. A Jordan body gives the outputs
        itself: the model then adds no V and c of its own.
    output_size : int
        q: classes, labels or values to predict. With a Jordan body optional: its own.
    loss : {"softmax", "sigmoid", "squared"}
        Softmax cross entropy of class numbers, sigmoid cross entropy of labels, squared error.
    readout : {"each", "last", "mean"}
        Predict at each frame of the body; or once, from the last valid frame, or from the mean
        over the valid frames. With a Jordan body only "each".
    dropout : float
        The probability, below 1, with which a unit of the frames that the output layer reads is
        left out, in training alone; the others are divided by 1 - dropout. Not with a Jordan body.
        Bodies have a `dropout` of their own, see `Stack` and `tdnn.ResidualTDNN`.
    same_mask : bool
        Whether what is left out is the same at all steps of a sequence. Default: drawn for each.
    rng : int, numpy.random.Generator, optional
        Source of the initial V, uniform in +-sqrt(6 / (m + q)) (Glorot), c is zero; and of the seed
        of the model's own generator, which draws the masks.

    Attributes
    ----------
    body : Elman, Jordan, TDNN, Stack
        The network below.
    V, c : ndarray, shapes (q, m), (q,)
        The output layer's parameters; with a Jordan body see there.
    dropout, same_mask
        As given; they cannot be assigned to.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said above, or a Jordan body feeds back something else than what
        the loss's targets are: with teacher forcing, the loss "softmax" needs the feedback
        "softmax", "argmax" or "sample", "sigmoid" needs "sigmoid", "squared" needs "identity".

    Notes
    -----
    A Jordan body is fed the targets in training, as its `teacher_forcing` says; in evaluation
    (`loss`) at every step, so that the result is the loss of each target given those before it;
    in `predict`, and in `forward` without y, its own outputs.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8, rng=0), 4, rng=0)
    >>> x, targets = np.zeros((5, 2, 3), np.float32), np.zeros((5, 2), int)
    >>> value, gradients = model.loss_and_grad(x, targets)
    >>> round(value, 4), sorted(gradients)
    (1.3863, ['U', 'V', 'W', 'b', 'c'])
    """

    def __init__(
        self,
        body: Body,
        output_size: int | None = None,
        *,
        loss: str = "softmax",
        readout: str = "each",
        dropout: float = 0.0,
        same_mask: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        check_body("body", body)
        self.body: Any = body
        self.loss_kind = choice("loss", loss, LOSSES)
        self.readout = choice("readout", readout, READOUTS)
        source = generator("rng", rng)
        if self._fed:
            check_fed_model(body, output_size, self.loss_kind, self.readout)
            self._dropout = Dropout(dropout, same_mask, source)
            if self.dropout:
                raise ValueError(
                    f"dropout: expected 0 with a body of kind {body.kind!r}, which gives the "
                    f"outputs, got {dropout!r}"
                )
            return
        if output_size is None:
            raise TypeError("output_size: expected an integer >= 1, got None")
        q, m = count("output_size", output_size), body.output_size
        bound = np.sqrt(6 / (m + q))
        self.V: NDArray[Any] = source.uniform(-bound, bound, (q, m)).astype(body.dtype)
        self.c: NDArray[Any] = np.zeros(q, body.dtype)
        self._dropout = Dropout(dropout, same_mask, source)

    @property
    def _fed(self) -> bool:
        """Whether the body gives the outputs itself, and is fed them back."""
        return bool(getattr(self.body, "gives_outputs", False))

    @property
    def output_size(self) -> int:
        """Q, the number of classes, labels or values."""
        return self.body.output_size if self._fed else int(self.V.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floats' type."""
        return self.body.dtype if self._fed else self.V.dtype

    @property
    def dropout(self) -> float:
        """The probability with which a unit is left out below the output layer, in training."""
        return self._dropout.probability

    @property
    def same_mask(self) -> bool:
        """Whether all steps of a sequence leave out the same units."""
        return self._dropout.same_mask

    def __repr__(self) -> str:
        settings = {"loss": self.loss_kind, "readout": self.readout, **self._dropout.settings()}
        named = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"SequenceModel({self.body!r}, {self.output_size}, {named})"

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return all parameters by name; writing into them changes the model."""
        own = {} if self._fed else {"V": self.V, "c": self.c}
        return {**self.body.parameters(), **own}

    def config(self) -> dict[str, Any]:
        """Return what makes a model of this kind, in a form that JSON can hold."""
        return {
            "body": describe_body(self.body),
            "output_size": self.output_size,
            "loss": self.loss_kind,
            "readout": self.readout,
            **self._dropout.settings(),
        }

    def astype(self, dtype: DTypeLike) -> "SequenceModel":
        """Return a copy of the model with all parameters in another float dtype.

        Examples
        --------
        >>> import fastrnn
        >>> fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4).astype("float64").dtype
        dtype('float64')
        """
        config = copy.deepcopy(self.config())
        config["body"]["config"]["dtype"] = float_dtype("dtype", dtype).name
        body = type(self.body).from_config(config["body"]["config"])
        model = SequenceModel(
            body, self.output_size, loss=self.loss_kind, readout=self.readout, rng=0,
            **self._dropout.settings(),
        )  # fmt: skip
        for name, array in model.parameters().items():
            array[...] = on_host(self.parameters()[name])
        model.restore_sampling(self.sampling())
        return model.to("cuda") if self.device == "cuda" else model

    @property
    def device(self) -> str:
        """Where the parameters are: ``"cpu"`` or ``"cuda"``."""
        return device_of(self)

    def to(self, device: str) -> "SequenceModel":
        """Return a copy of the model with all parameters on a device.

        There it works with arrays that are on the device too: those of CuPy, PyTorch and Numba, and
        all others with ``__cuda_array_interface__``. What it returns on a GPU are arrays of the
        library of its argument, on the same stream; `loss` and `loss_and_grad` wait for the loss,
        which is a float. `fit` takes NumPy arrays as well, and copies them to the GPU once.

        Parameters
        ----------
        device : {"cpu", "cuda"}
            CPU memory, or the current GPU of this thread.

        Returns
        -------
        SequenceModel

        Raises
        ------
        RuntimeError
            If there is no GPU, driver or numba-cuda; the message says what would help.
        TypeError, ValueError
            If `device` is not as said above.

        Examples
        --------
        >>> import fastrnn
        >>> fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4).to("cpu").device
        'cpu'
        """
        return moved(self, device)

    def staged(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a batch of `fit` as the model takes it best: with a model on a GPU, copied there.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4)
        >>> batch = np.zeros((5, 2, 3), np.float32), np.zeros((5, 2), int)
        >>> model.staged(batch) is batch
        True
        """
        return device_model.staged(self, batch) if on_gpu(self._home) else batch

    def sampling(self) -> dict[str, Any]:
        """Return what the next random draws depend on, for JSON; empty where nothing is drawn."""
        if self.dropout:
            return joined_sampling(self._drawing())
        return self.body.sampling() if hasattr(self.body, "sampling") else {}

    def restore_sampling(self, state: dict[str, Any]) -> None:
        """Go on drawing as the model would have done whose `sampling` returned `state`."""
        if state and self.dropout:
            restore_joined(self._drawing(), state)
        elif state:
            self.body.restore_sampling(state)

    def _drawing(self) -> dict[str, Any]:
        return {"body": self.body, "dropout": self._dropout}

    def forward(
        self,
        x: ArrayLike,
        *,
        y: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        threads: int | None = None,
        resets: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Return the outputs o before softmax or sigmoid.

        Parameters
        ----------
        x : array_like, shape (T, B, p), or integers (T, B)
            Input sequences in the model's dtype, or token ids.
        y : array_like, optional
            Only with a Jordan body: the targets, as in `loss_and_grad`, which every step is fed.
            Those that feed no step (the last) are never looked at.
        lengths : array_like of int, shape (B,), optional
            Valid steps of each sequence. Default: T for all.
        threads : int, optional
            See `fastrnn.thread_count`.
        resets : array_like of bool, shape (T, B), optional
            Before which steps a recurrent body's state returns to the start: several sequences,
            one behind the other in one row (MATH.md section 4).

        Returns
        -------
        ndarray
            Shape (T_out, B, q), or (B, q) for the readouts "last" and "mean"; zero in padding.
            T_out is T unless the body shortens its input (TDNN: padding "valid", stride).

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said above.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4, readout="last")
        >>> model.forward(np.zeros((5, 2, 3), np.float32)).shape
        (2, 4)
        """
        outputs, _ = self._outputs(x, y, lengths, threads, resets)
        return self._without_time(outputs)

    def predict(
        self,
        x: ArrayLike,
        *,
        y: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        threads: int | None = None,
        resets: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Return probabilities (loss "softmax" and "sigmoid") or values ("squared").

        Arguments, shapes and errors as in `forward`.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4, readout="mean")
        >>> model.predict(np.zeros((5, 1, 3), np.float32)).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
        """
        outputs, valid = self._outputs(x, y, lengths, threads, resets)
        predict = LOSSES[self.loss_kind].predict
        if predict is not None and on_gpu(outputs):
            device_functions.predict(self.loss_kind, outputs, valid)
        elif predict is not None:
            predict(outputs, valid, outputs)
        return self._without_time(outputs)

    def _without_time(self, outputs: Any) -> Any:
        """Return outputs without the axis T where a readout left one frame."""
        return outputs if self.readout == "each" else outputs.reshape(outputs.shape[1:])

    def loss(
        self,
        x: ArrayLike,
        targets: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: str = "mean",
        forced: ArrayLike | None = None,
        threads: int | None = None,
        resets: ArrayLike | None = None,
    ) -> float:
        """Return the loss alone; arguments and errors as in `loss_and_grad`.

        But by default (`forced` None) every step of a Jordan body is fed its target, or none with
        teacher_forcing 0: an evaluation draws nothing.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4)
        >>> round(model.loss(np.zeros((5, 2, 3), np.float32), np.zeros((5, 2), int)), 4)
        1.3863
        """
        if self._fed and forced is None:
            forced = self.body.teacher_forcing > 0
        loss = self._loss(x, targets, lengths, weights, reduction, forced, threads, resets)[0]
        return as_number(loss.value)

    def loss_and_grad(
        self,
        x: ArrayLike,
        targets: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        reduction: str = "mean",
        forced: ArrayLike | None = None,
        threads: int | None = None,
        truncation: tuple[int, int] | None = None,
        resets: ArrayLike | None = None,
        training: bool = False,
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """Compute the loss and its gradient in every parameter.

        Parameters
        ----------
        x : array_like, shape (T, B, p), or integers (T, B)
            Input sequences in the model's dtype, or token ids.
        targets : array_like
            Class numbers (T, B) for the loss "softmax", else labels or values (T, B, q), on the
            input's time axis; without the axis T for the readouts "last" and "mean". A body that
            shortens its input predicts only some steps: it takes the targets standing there.
        lengths : array_like of int, shape (B,), optional
            Valid steps of each sequence. Default: T for all.
        weights : array_like, shape (T, B), or (B,) for "last" and "mean", optional
            Weight of each step, or of each sequence, in the loss.
        reduction : {"mean", "sum"}
            Mean over the valid steps (weighted), or sum.
        forced : bool, or array_like of bool, shape (T, B), optional
            Only with a Jordan body: which steps are fed their target. Default: drawn with the
            body's `teacher_forcing`.
        threads : int, optional
            See `fastrnn.thread_count`. The result's bits do not depend on it.
        truncation : (int, int), optional
            (k1, k2), k2 >= k1: truncated back-propagation (MATH.md section 5). The loss of each
            chunk of k1 steps is back-propagated through the k2 steps that end with the chunk, and
            the gradients are summed. Memory then grows with k2, not T. For a recurrent body and
            the readout "each". Default: through all steps, as with k1 >= T.
        resets : array_like of bool, shape (T, B), optional
            See `forward`. No gradient passes a reset.
        training : bool
            Whether dropout is at work, in the model and in its body, with masks drawn for this call
            (each window of a truncation draws its own). `fit` says True.

        Returns
        -------
        (float, dict of str to ndarray)
            The loss, and the gradients by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said above.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> model = fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4, readout="last")
        >>> value, gradients = model.loss_and_grad(np.ones((5, 2, 3), np.float32), [0, 3])
        >>> gradients["W"].shape
        (8, 8)
        """
        training = check_training(training)
        if truncation is not None:
            return truncated_loss_and_grad(
                self, x, targets, truncation, choice("reduction", reduction, ("mean", "sum")),
                lengths=lengths, weights=weights, resets=resets, forced=forced, threads=threads,
                training=training,
            )  # fmt: skip
        loss, state, seen, seen_lengths, factors = self._loss(
            x, targets, lengths, weights, reduction, forced, threads, resets, training
        )
        if self._fed:
            gradients = dict(self.body.backward(loss.do, state, threads=threads))
            return as_number(loss.value), gradients
        output = linear_backward(loss.do, seen, self.V, seen_lengths, threads)
        d_read = dropped(output.dh, factors)
        dh = read_backward(self.readout, d_read, state.h, _lengths(state))
        gradients = self.body.backward(dh, state, threads=threads)
        return as_number(loss.value), {**gradients, "V": output.dV, "c": output.dc}

    def stream(self, batch_size: int = 1) -> ModelStream:
        """Return a stream of `batch_size` parallel sequences, at their start.

        Examples
        --------
        >>> import numpy as np, fastrnn
        >>> stream = fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4).stream()
        >>> stream.step(np.zeros((1, 3), np.float32)).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
        """
        refuse_gpu("stream", self._home)
        layer = None if self._fed else self._output_layer()
        return ModelStream(self.body.stream(batch_size), layer, self.loss_kind, self.readout)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, atomically; `fastrnn.load` reads it.

        Parameters
        ----------
        path : path-like
            Ends in ``.npz``, or in ``.safetensors`` (needs the extra ``io``).

        Raises
        ------
        ValueError
            If the suffix is another one.
        ImportError
            If safetensors is not installed.
        """
        metadata = {"model": self.config(), "sampling": self.sampling()}
        arrays = {name: on_host(array) for name, array in self.parameters().items()}
        save_arrays(path, arrays, metadata)

    @property
    def _home(self) -> Any:
        """One of the parameters: it says where the model is."""
        return next(iter(self.body.parameters().values())) if self._fed else self.V

    def _output_layer(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return V and c for the kernels, after checking what may have been assigned to them."""
        if on_gpu(self.V):
            return self.V, self.c  # checked where they are used
        args = Arguments({"m": (self.body.output_size, "body")}, self.body.dtype)
        return args.floats("V", self.V, "q m"), args.floats("c", self.c, "q")

    def _outputs(
        self,
        x: ArrayLike,
        y: ArrayLike | None,
        lengths: ArrayLike | None,
        threads: int | None,
        resets: ArrayLike | None,
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        more = check_resets(resets, self.body)
        if self._fed:
            state = fed_forward(self.body, self.loss_kind, x, y, lengths, threads, more)
            return state.o, _lengths(state)
        if y is not None:
            raise TypeError(
                f"y: expected None with a body of kind {self.body.kind!r}, got {type(y).__name__}"
            )
        state = self.body.forward(x, lengths=lengths, threads=threads, **more)
        seen, seen_lengths = read(self.readout, state.h, _lengths(state))
        return linear_forward(seen, *self._output_layer(), seen_lengths, threads), seen_lengths

    def _loss(
        self,
        x: ArrayLike,
        targets: ArrayLike,
        lengths: ArrayLike | None,
        weights: ArrayLike | None,
        reduction: str,
        forced: ArrayLike | None,
        threads: int | None,
        resets: ArrayLike | None,
        training: bool = False,
    ) -> tuple[Loss, Any, NDArray[Any], NDArray[np.int64], NDArray[Any] | None]:
        """Return the loss with its gradient in o, the body's state, and the frames read from it.

        With their lengths, and the factors of dropout that they were multiplied by.
        """
        reduction = choice("reduction", reduction, ("mean", "sum"))
        more = check_resets(resets, self.body) | self._training(training)
        if self._fed:
            loss, state = fed_loss(
                self.body, self.loss_kind, x, targets, lengths, weights, reduction, forced, threads,
                more,
            )  # fmt: skip
            return loss, state, state.o, _lengths(state), None
        if forced is not None:
            raise ValueError(
                f"forced: expected None with a body of kind {self.body.kind!r}, got {forced!r}"
            )
        V, c = self._output_layer()
        state = self.body.forward(x, lengths=lengths, threads=threads, **more)
        out_lengths = _lengths(state)
        seen, seen_lengths = read(self.readout, state.h, out_lengths)
        if on_gpu(seen):
            factors = self._factors(seen) if training else None
            seen = dropped(seen, factors)
            loss, seen_lengths = device_model.frame_loss(
                self, seen, seen_lengths, x, targets, lengths, weights, reduction
            )
            return loss, state, seen, seen_lengths, factors
        T, B = np.shape(x)[:2] if self.readout == "each" else seen.shape[:2]
        sizes = {"T": (T, "x"), "B": (B, "x"), "q": (self.output_size, "output_size")}
        args = Arguments(sizes, self.dtype)
        kind = LOSSES[self.loss_kind]
        if self.readout == "each":
            in_lengths = args.lengths(lengths)
            targets = kind.check_targets(args, targets, in_lengths)
            weights = check_weights(args, weights)
            if self.body.frames() != (0, 1) or len(seen) != T:
                steps, seen_lengths, has_target = frames_with_target(
                    self.body.frames(), len(seen), in_lengths, out_lengths
                )
                steps = np.minimum(steps, max(T - 1, 0))
                targets, weights = targets[steps], weights[steps] * has_target[:, None]
        else:
            targets = kind.check_targets(args, targets, seen_lengths, "B")[None]
            weights = check_weights(args, weights, "B")[None]
        factors = self._factors(seen) if training else None
        seen = dropped(seen, factors)
        outputs = linear_forward(seen, V, c, seen_lengths, threads)
        weights = reduction_weights(reduction, weights, seen_lengths)
        loss = kind.kernel(outputs, targets, seen_lengths, weights)
        return loss, state, seen, seen_lengths, factors

    def _training(self, training: bool) -> dict[str, bool]:
        """Return the keyword argument that puts dropout in the body to work, where it has some."""
        return {"training": True} if training and takes(self.body.forward, "training") else {}

    def _factors(self, seen: NDArray[Any]) -> NDArray[Any] | None:
        """Draw what the frames that the output layer reads are multiplied by in training."""
        return self._dropout.factors(seen.shape, seen.dtype)


def _lengths(state: Any) -> Any:
    """Return the lengths of a body's frames (B,); on a GPU None may stand for T for all."""
    if on_gpu(state.h):
        return state.lengths
    T, B = state.h.shape[:2]
    return np.full(B, T) if state.lengths is None else np.asarray(state.lengths, np.int64)
