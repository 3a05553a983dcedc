"""Text from a trained model: `generate`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.arrays import Arguments, as_array, count, generator
from fastrnn.model import SequenceModel
from fastrnn.optimizer_base import check_number

__all__ = ["generate"]


def generate(
    model: SequenceModel,
    n: int,
    prompt: ArrayLike,
    temperature: float = 1.0,
    rng: int | np.random.Generator | None = None,
) -> NDArray[np.int64]:
    """Write on after a prompt: draw a token from each prediction, and make it the next input.

    A body that feeds its outputs back (Jordan) is fed the prompt's tokens and the drawn ones, as
    targets are in training with y(t-1) = x(t).

    Parameters
    ----------
    model : SequenceModel
        Predicts the next token: it takes as many different token ids as it has outputs, with the
        loss "softmax", the readout "each", and a body that looks at no later steps.
    n : int
        How many tokens to write.
    prompt : array_like of int, shape (k,) or (k, B)
        What has been written before, k >= 1 tokens; of B texts that are written side by side.
    temperature : float
        The logits are divided by it: below 1 what is likely becomes more so, above 1 less so. 0:
        always the most probable token.
    rng : int, numpy.random.Generator, optional
        Source of the draws.

    Returns
    -------
    ndarray of int64, shape (n,) or (n, B)
        The new tokens.

    Raises
    ------
    TypeError
        If an argument is of a wrong kind.
    ValueError
        If the model is not as said above, a token is out of range, the prompt is empty or shorter
        than what the body needs for its first prediction, or n or temperature is negative.
    FloatingPointError
        If a prediction is not finite.

    Examples
    --------
    >>> import fastrnn
    >>> model = fastrnn.SequenceModel(fastrnn.Elman(5, 8, rng=0), 5, rng=0)
    >>> fastrnn.generate(model, 4, [0, 3, 1], rng=0).shape
    (4,)
    """
    feeds = _check_model(model)
    n = count("n", n, at_least=0)
    tokens = _check_prompt(prompt, model.output_size)
    if not 0 <= check_number("temperature", temperature) < np.inf:
        raise ValueError(f"temperature: expected a finite number >= 0, got {temperature!r}")
    rng = generator("rng", rng)

    written = tokens if tokens.ndim == 2 else tokens[:, None]
    stream = model.stream(written.shape[1])
    prediction = stream.step(written[0])
    for x_t in written[1:]:
        prediction = stream.step(x_t, x_t if feeds else None)
    if prediction is None:
        raise ValueError(
            f"prompt: expected as many tokens as the first prediction needs, got {len(written)}"
        )
    new = np.empty((n, written.shape[1]), np.int64)
    for t in range(n):
        if t > 0:
            prediction = stream.step(new[t - 1], new[t - 1] if feeds else None)
        new[t] = _draw(np.asarray(prediction, np.float64), temperature, rng)
    return new if tokens.ndim == 2 else new[:, 0]


def _draw(
    predicted: NDArray[np.float64], temperature: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return one token of each row of probabilities (B, q)."""
    if not np.isfinite(predicted).all():
        raise FloatingPointError("model: expected finite predictions, got NaN or infinity")
    if temperature == 0:
        return predicted.argmax(axis=1)
    # Relative to the most probable, whose power is 1 at any temperature; log(0) is a true -inf.
    with np.errstate(divide="ignore", under="ignore", over="ignore"):
        logits = np.log(predicted / predicted.max(axis=1, keepdims=True)) / temperature
        totals = np.exp(logits).cumsum(axis=1)
    draws = rng.random((len(predicted), 1)) * totals[:, -1:]
    return (totals <= draws).sum(axis=1)


def _check_model(model: Any) -> bool:
    """Refuse a model that does not predict the next token; return whether it is fed its own."""
    if not isinstance(model, SequenceModel):
        raise TypeError(f"model: expected a SequenceModel, got {type(model).__name__}")
    body = model.body
    for expected, got, wanted in (
        ("the loss 'softmax'", model.loss_kind, "softmax"),
        ("the readout 'each'", model.readout, "each"),
        ("a body that looks at no later steps (right_context 0)", body.right_context, 0),
        ("a body that predicts at every step (stride 1)", body.frames()[1], 1),
    ):
        if got != wanted:
            raise ValueError(f"model: expected {expected}, got {got!r}")
    if model.output_size != body.input_size:
        raise ValueError(
            f"model: expected as many outputs as different token ids, "
            f"got output_size {model.output_size} and input_size {body.input_size}"
        )
    return bool(getattr(body, "gives_outputs", False))


def _check_prompt(prompt: ArrayLike, size: int) -> NDArray[np.int64]:
    """Return the prompt's tokens (k,) or (k, B)."""
    array = as_array("prompt", prompt)
    args = Arguments()
    if array.size == 0:
        raise ValueError(f"prompt: expected at least one token, got shape {array.shape}")
    if array.ndim not in (1, 2):
        raise ValueError(f"prompt: expected shape (k,) or (k, B), got {array.shape}")
    tokens = args.integers("prompt", array, "k B" if array.ndim == 2 else "k")
    args.in_range("prompt", tokens, size)
    return tokens
