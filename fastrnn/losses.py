"""Losses, masked by lengths and weights (MATH.md section 8).

Outputs are summed over the q units of a step, never averaged. Reduction "sum" adds w L over all
valid steps; "mean" divides that by the sum of w (0 where it is 0).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn import device_functions, kernels
from fastrnn.arrays import Arguments, as_array, choice, filled, refuse_first, valid_steps, within
from fastrnn.devices import on_gpu
from fastrnn.results import Loss

__all__ = [
    "LOSSES",
    "LossKind",
    "check_weights",
    "divided_weights",
    "reduction_weights",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
    "weight_sum",
]

_FLOAT64 = np.dtype(np.float64)


def softmax_cross_entropy(
    o: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "sum",
) -> Loss:
    """Compute the softmax cross entropy logsumexp(o) - o[target], in nats (MATH.md section 8).

    Parameters
    ----------
    o : array_like, shape (T, B, q)
        Logits; float32 or float64.
    targets : array_like of int, shape (T, B)
        Class numbers in [0, q).
    lengths : array_like of int, shape (B,), optional
        Valid steps of each sequence; what lies behind them is never read. Default: T for all.
    weights : array_like, shape (T, B), optional
        Weight w of each step, of any real dtype or bool. A step of weight 0 is left out.
    reduction : {"sum", "mean"}
        Sum of w L over valid steps, or that divided by the sum of w.

    Returns
    -------
    Loss
        value (float64) and do (T, B, q), its gradient in o.

    Raises
    ------
    TypeError
        If an argument is of a wrong kind or dtype.
    ValueError
        If shapes disagree, or a class number or length is out of range.

    Notes
    -----
    The arrays may all be on a GPU instead; see `elman_forward`. The value is then an array (1,) on
    the GPU, NaN where a class number is out of range.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> loss = fastrnn.softmax_cross_entropy(np.zeros((1, 1, 2)), [[1]])
    >>> float(round(loss.value, 4)), loss.do.tolist()
    (0.6931, [[[0.5, -0.5]]])
    """
    return _evaluate("softmax", o, targets, lengths, weights, reduction)


def sigmoid_cross_entropy(
    o: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "sum",
) -> Loss:
    """Compute the sigmoid cross entropy sum_i softplus(o_i) - y_i o_i (MATH.md section 8).

    Parameters
    ----------
    o : array_like, shape (T, B, q)
        Logits; float32 or float64.
    targets : array_like, shape (T, B, q)
        Labels or probabilities y in [0, 1]: of o's dtype, or bool or integers.
    lengths, weights, reduction
        As in `softmax_cross_entropy`.

    Returns
    -------
    Loss
        value (float64) and do (T, B, q), its gradient in o.

    Raises
    ------
    TypeError, ValueError
        As in `softmax_cross_entropy`; ValueError if a target is not in [0, 1].

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> loss = fastrnn.sigmoid_cross_entropy(np.zeros((1, 1, 2)), [[[0, 1]]])
    >>> float(round(loss.value, 4)), loss.do.tolist()
    (1.3863, [[[0.5, -0.5]]])
    """
    return _evaluate("sigmoid", o, targets, lengths, weights, reduction)


def squared_error(
    o: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "sum",
) -> Loss:
    """Compute the squared error sum_i (o_i - y_i)^2 (MATH.md section 8).

    Parameters
    ----------
    o : array_like, shape (T, B, q)
        Outputs; float32 or float64.
    targets : array_like, shape (T, B, q)
        Values y, of o's dtype.
    lengths, weights, reduction
        As in `softmax_cross_entropy`.

    Returns
    -------
    Loss
        value (float64) and do (T, B, q), its gradient in o.

    Raises
    ------
    TypeError, ValueError
        As in `softmax_cross_entropy`.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> loss = fastrnn.squared_error(np.zeros((1, 1, 2)), np.ones((1, 1, 2)))
    >>> loss.value, loss.do.tolist()
    (2.0, [[[-2.0, -2.0]]])
    """
    return _evaluate("squared", o, targets, lengths, weights, reduction)


def _evaluate(
    kind: str,
    o: ArrayLike,
    targets: ArrayLike,
    lengths: ArrayLike | None,
    weights: ArrayLike | None,
    reduction: str,
) -> Loss:
    if on_gpu(o):
        return device_functions.loss(kind, o, targets, lengths, weights, reduction)
    loss = LOSSES[kind]
    args = Arguments()
    o = args.floats("o", o, "T B q")
    lengths = args.lengths(lengths)
    targets = loss.check_targets(args, targets, lengths)
    weights = check_weights(args, weights)
    reduction = choice("reduction", reduction, ("sum", "mean"))
    return loss.kernel(o, targets, lengths, reduction_weights(reduction, weights, lengths))


def reduction_weights(
    reduction: str, weights: NDArray[np.float64], lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the weights; for "mean" divided by their sum over valid steps (0 where it is 0).

    Dividing them before the loss, and not the loss after, lets their scale be any.
    """
    if reduction == "sum":
        return weights
    return divided_weights(weights, lengths, weight_sum(weights, lengths))


def weight_sum(weights: NDArray[np.float64], lengths: NDArray[np.int64]) -> float:
    """Return the sum of the weights over valid steps."""
    return float(np.sum(weights, where=_valid(weights, lengths)))


def divided_weights(
    weights: NDArray[np.float64], lengths: NDArray[np.int64], total: float
) -> NDArray[np.float64]:
    """Return the weights of valid steps divided by a number; 0 where that is 0, and in padding."""
    shares = np.zeros(weights.shape)
    if not total:
        return shares
    return np.divide(weights, total, out=shares, where=_valid(weights, lengths))


def _valid(weights: NDArray[np.float64], lengths: NDArray[np.int64]) -> Any:
    T = len(weights)
    return within(lengths, T, T) or valid_steps(weights.shape, lengths)


def check_weights(
    args: Arguments, weights: ArrayLike | None, axes: str = "T B"
) -> NDArray[np.float64]:
    """Return the weights, (T, B) or with other `axes`, as float64; ones where they are None."""
    if weights is None:
        return filled(args.shape(axes), 1, _FLOAT64)
    array = as_array("weights", weights)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"weights: expected real numbers or bool, got {array.dtype}")
    args.dtype = None  # weights may be of another dtype than the floats of the call
    return args.floats("weights", array.astype(np.float64, copy=False), axes)


def _check_classes(
    args: Arguments, targets: ArrayLike, lengths: NDArray[np.int64], axes: str = "T B"
) -> NDArray[np.int64]:
    ids = args.integers("targets", targets, axes)
    args.in_range("targets", ids, args.sizes["q"][0], lengths)
    return ids


def _check_labels(
    args: Arguments, targets: ArrayLike, lengths: NDArray[np.int64], axes: str = "T B"
) -> NDArray[Any]:
    array = as_array("targets", targets)
    if array.dtype.kind in "biu":
        array = array.astype(args.dtype)
    labels = args.floats("targets", array, axes + " q")
    if not within(labels, 0, 1):
        valid = valid_steps(labels.shape[:-1], lengths)[..., None]
        bad = valid & ~((labels >= 0) & (labels <= 1))
        refuse_first("targets", labels, bad, "values from 0 to 1")
    return labels


def _check_values(
    args: Arguments, targets: ArrayLike, _lengths: NDArray[np.int64], axes: str = "T B"
) -> NDArray[Any]:
    return args.floats("targets", targets, axes + " q")


class LossKind(NamedTuple):
    """One loss: how targets are checked, what computes it, what turns outputs into predictions."""

    check_targets: Callable[..., NDArray[Any]]
    kernel: Callable[..., Loss]
    predict: Callable[..., NDArray[Any]] | None


LOSSES = {
    "softmax": LossKind(_check_classes, kernels.softmax_cross_entropy, kernels.softmax),
    "sigmoid": LossKind(_check_labels, kernels.sigmoid_cross_entropy, kernels.sigmoid),
    "squared": LossKind(_check_values, kernels.squared_error, None),
}
