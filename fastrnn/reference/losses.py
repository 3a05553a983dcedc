"""Losses and their gradients in the output, in NumPy (MATH.md section 8)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn.reference.buffers import result
from fastrnn.results import Loss

__all__ = ["sigmoid", "sigmoid_cross_entropy", "softmax", "softmax_cross_entropy", "squared_error"]


def softmax_cross_entropy(
    o: Any, targets: Any, lengths: Any = None, weights: Any = None, do: Any = None
) -> Loss:
    """Compute sum w (logsumexp(o) - o[target]) and do = w (softmax(o) - onehot) (section 8).

    Shapes as in `fastrnn.kernels.softmax_cross_entropy`.
    """

    def step(o: Any, target: Any) -> tuple[Any, Any]:
        onehot = np.arange(o.size) == target
        return _logsumexp(o) - o[target], np.exp(o - _logsumexp(o)) - onehot

    return _sum_over_steps(step, o, targets, lengths, weights, do)


def _logsumexp(o: Any) -> Any:
    highest = np.max(np.real(o))
    return highest + np.log(np.sum(np.exp(o - highest)))


def softmax(o: Any, lengths: Any = None, out: Any = None) -> Any:
    """Compute yhat(t) = softmax(o(t)) (MATH.md section 1).

    Shapes as in `fastrnn.kernels.softmax`.
    """
    return _map_over_steps(lambda o: np.exp(o - _logsumexp(o)), o, lengths, out)


def sigmoid_cross_entropy(
    o: Any, targets: Any, lengths: Any = None, weights: Any = None, do: Any = None
) -> Loss:
    """Compute sum w (softplus(o) - y o) and do = w (sigmoid(o) - y) (section 8).

    Shapes as in `fastrnn.kernels.sigmoid_cross_entropy`.
    """

    def step(o: Any, y: Any) -> tuple[Any, Any]:
        o = np.asarray(o)
        sign = np.where(np.real(o) < 0, -1, 1)  # |o| = sign*o, continued into the complex plane
        softplus = np.where(np.real(o) < 0, 0, o) + np.log1p(np.exp(-sign * o))
        return np.sum(softplus - y * o), _sigmoid(o) - y

    return _sum_over_steps(step, o, targets, lengths, weights, do)


def _sigmoid(o: Any) -> Any:
    e = np.exp(-np.where(np.real(o) < 0, -1, 1) * o)
    return np.where(np.real(o) < 0, e, 1) / (1 + e)


def sigmoid(o: Any, lengths: Any = None, out: Any = None) -> Any:
    """Compute yhat(t) = sigmoid(o(t)) (MATH.md section 8).

    Shapes as in `fastrnn.kernels.sigmoid`.
    """
    return _map_over_steps(_sigmoid, o, lengths, out)


def squared_error(
    o: Any, targets: Any, lengths: Any = None, weights: Any = None, do: Any = None
) -> Loss:
    """Compute sum w (o - y)^2 and do = 2 w (o - y) (section 8).

    Shapes as in `fastrnn.kernels.squared_error`.
    """

    def step(o: Any, y: Any) -> tuple[Any, Any]:
        return np.sum((o - y) * (o - y)), 2 * (o - y)

    return _sum_over_steps(step, o, targets, lengths, weights, do)


def _sum_over_steps(
    step: Callable[[Any, Any], tuple[Any, Any]],
    o: Any,
    targets: Any,
    lengths: Any,
    weights: Any,
    do: Any,
) -> Loss:
    value: Any = 0.0
    grad = np.zeros(o.shape, o.dtype)
    for t in range(o.shape[0]):
        for b in range(o.shape[1]):
            w = 1.0 if weights is None else weights[t, b]
            if (lengths is None or t < lengths[b]) and w != 0:
                loss, d_loss = step(o[t, b], targets[t, b])
                value += w * loss
                grad[t, b] = w * d_loss
    return Loss(value, result(do, grad))


def _map_over_steps(function: Callable[[Any], Any], o: Any, lengths: Any, out: Any) -> Any:
    yhat = np.zeros(o.shape, o.dtype)
    for t in range(o.shape[0]):
        for b in range(o.shape[1]):
            if lengths is None or t < lengths[b]:
                yhat[t, b] = function(o[t, b])
    return result(out, yhat)
