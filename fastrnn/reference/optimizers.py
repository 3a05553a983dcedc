"""Parameter updates in NumPy, in place; the formulas are PyTorch's."""

import math
from typing import Any

import numpy as np

__all__ = ["adagrad_update", "adam_update", "rmsprop_update", "sgd_update"]


def sgd_update(
    parameter: Any, gradient: Any, velocity: Any, learning_rate: Any, momentum: Any
) -> None:
    """Take one step of stochastic gradient descent with momentum, in place.

    Arguments as in `fastrnn.kernels.sgd_update`.
    """
    rate, mu = _cast(parameter, learning_rate, momentum)
    if velocity is None:
        parameter -= rate * gradient
    else:
        velocity[...] = mu * velocity + gradient
        parameter -= rate * velocity


def rmsprop_update(
    parameter: Any, gradient: Any, second: Any, learning_rate: Any, decay: Any, epsilon: Any
) -> None:
    """Take one step of RMSProp, in place.

    Arguments as in `fastrnn.kernels.rmsprop_update`.
    """
    rate, keep, take, tiny = _cast(parameter, learning_rate, decay, 1 - decay, epsilon)
    second[...] = keep * second + take * gradient * gradient
    parameter -= rate * gradient / (np.sqrt(second) + tiny)


def adagrad_update(
    parameter: Any, gradient: Any, total: Any, learning_rate: Any, epsilon: Any
) -> None:
    """Take one step of AdaGrad, in place.

    Arguments as in `fastrnn.kernels.adagrad_update`.
    """
    rate, tiny = _cast(parameter, learning_rate, epsilon)
    total += gradient * gradient
    parameter -= rate * gradient / (np.sqrt(total) + tiny)


def adam_update(
    parameter: Any, gradient: Any, first: Any, second: Any, learning_rate: Any, beta1: Any,
    beta2: Any, epsilon: Any, step: Any,
) -> None:  # fmt: skip
    """Take one step of Adam with bias correction, in place.

    Arguments as in `fastrnn.kernels.adam_update`.
    """
    rate = learning_rate / (1 - beta1**step)
    scale = 1 / math.sqrt(1 - beta2**step)
    rate, scale, tiny = _cast(parameter, rate, scale, epsilon)
    keep1, take1, keep2, take2 = _cast(parameter, beta1, 1 - beta1, beta2, 1 - beta2)
    first[...] = keep1 * first + take1 * gradient
    second[...] = keep2 * second + take2 * gradient * gradient
    parameter -= rate * first / (np.sqrt(second) * scale + tiny)


def _cast(parameter: Any, *values: Any) -> list[Any]:
    """Return hyperparameters as scalars of the parameter's dtype."""
    return [parameter.dtype.type(value) for value in values]
