"""Optimizers: SGD with momentum, RMSProp, AdaGrad and Adam, and clipping by the global norm."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn.devices import as_number, kernel, on_gpu
from fastrnn.kernels.optimizers import adagrad_update, adam_update, rmsprop_update, sgd_update
from fastrnn.optimizer_base import Optimizer, check_arrays, check_number, gpu_views

__all__ = ["SGD", "AdaGrad", "Adam", "RMSProp", "clip_by_norm"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    velocity = momentum * velocity + gradient,  parameter -= learning_rate * velocity;
    as ``torch.optim.SGD`` with dampening 0.

    Parameters
    ----------
    learning_rate : float
        At least 0. A plain attribute: it may be changed between steps.
    momentum : float, default 0.0
        At least 0, below 1.
    weight_decay : float, default 0.0
        At least 0. Decoupled: before the step above, parameter *= 1 - learning_rate * weight_decay,
        which no running mean sees.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is not a number, or outside its range.

    Examples
    --------
    >>> import fastrnn, numpy as np
    >>> w = np.array([1.0, 2.0])
    >>> fastrnn.SGD(0.5).step({"w": w}, {"w": np.array([1.0, -1.0])})
    >>> w
    array([0.5, 2.5])
    """

    _hyperparameters = ("learning_rate", "momentum", "weight_decay")
    _slots = ("velocity",)
    _kernel = staticmethod(sgd_update)
    learning_rate: float
    momentum: float
    weight_decay: float

    def __init__(
        self, learning_rate: float, momentum: float = 0.0, *, weight_decay: float = 0.0
    ) -> None:
        super().__init__(learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay)

    def _used_slots(self) -> tuple[str, ...]:
        return self._slots if self.momentum else ()

    def _slot_arrays(self, name: str) -> list[Any]:
        return super()._slot_arrays(name) if self._state else [None]


class RMSProp(Optimizer):
    """RMSProp: each gradient divided by the running root mean square of its past.

    second = decay * second + (1 - decay) * gradient**2,
    parameter -= learning_rate * gradient / (sqrt(second) + epsilon);
    as ``torch.optim.RMSprop``, whose alpha is `decay` here.

    Parameters
    ----------
    learning_rate : float, default 1e-3
        At least 0. A plain attribute: it may be changed between steps.
    decay : float, default 0.99
        At least 0, below 1.
    epsilon : float, default 1e-8
        At least 0.
    weight_decay : float, default 0.0
        At least 0. Decoupled: before the step above, parameter *= 1 - learning_rate * weight_decay,
        which no running mean sees.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is not a number, or outside its range.

    Examples
    --------
    >>> import fastrnn, numpy as np
    >>> w = np.array([1.0, 2.0])
    >>> fastrnn.RMSProp(0.1).step({"w": w}, {"w": np.array([1.0, -1.0])})
    >>> w.round(6).tolist()
    [0.0, 3.0]
    """

    _hyperparameters = ("learning_rate", "decay", "epsilon", "weight_decay")
    _slots = ("second",)
    _kernel = staticmethod(rmsprop_update)
    learning_rate: float
    decay: float
    epsilon: float
    weight_decay: float

    def __init__(
        self,
        learning_rate: float = 1e-3,
        decay: float = 0.99,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate, decay=decay, epsilon=epsilon, weight_decay=weight_decay
        )


class AdaGrad(Optimizer):
    """AdaGrad: each gradient divided by the root of the sum of its past squares.

    total += gradient**2,  parameter -= learning_rate * gradient / (sqrt(total) + epsilon);
    as ``torch.optim.Adagrad``.

    Parameters
    ----------
    learning_rate : float, default 1e-2
        At least 0. A plain attribute: it may be changed between steps.
    epsilon : float, default 1e-10
        At least 0.
    weight_decay : float, default 0.0
        At least 0. Decoupled: before the step above, parameter *= 1 - learning_rate * weight_decay,
        which no running mean sees.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is not a number, or outside its range.

    Examples
    --------
    >>> import fastrnn, numpy as np
    >>> w = np.array([1.0, 2.0])
    >>> fastrnn.AdaGrad(0.5).step({"w": w}, {"w": np.array([3.0, -4.0])})
    >>> w.round(6).tolist()
    [0.5, 2.5]
    """

    _hyperparameters = ("learning_rate", "epsilon", "weight_decay")
    _slots = ("total",)
    _kernel = staticmethod(adagrad_update)
    learning_rate: float
    epsilon: float
    weight_decay: float

    def __init__(
        self, learning_rate: float = 1e-2, epsilon: float = 1e-10, *, weight_decay: float = 0.0
    ) -> None:
        super().__init__(learning_rate=learning_rate, epsilon=epsilon, weight_decay=weight_decay)


class Adam(Optimizer):
    """Adam: running means of the gradient and its square, corrected for their start at zero.

    first = beta1 * first + (1 - beta1) * gradient,
    second = beta2 * second + (1 - beta2) * gradient**2,
    parameter -= learning_rate / (1 - beta1**step) * first
    / (sqrt(second / (1 - beta2**step)) + epsilon); as ``torch.optim.Adam``.

    Parameters
    ----------
    learning_rate : float, default 1e-3
        At least 0. A plain attribute: it may be changed between steps.
    beta1, beta2 : float, default 0.9 and 0.999
        At least 0, below 1.
    epsilon : float, default 1e-8
        At least 0.
    weight_decay : float, default 0.0
        At least 0. Decoupled: before the step above, parameter *= 1 - learning_rate * weight_decay,
        which no running mean sees (as ``torch.optim.AdamW``).

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is not a number, or outside its range.

    Examples
    --------
    >>> import fastrnn, numpy as np
    >>> w = np.array([1.0, 2.0])
    >>> fastrnn.Adam(0.5).step({"w": w}, {"w": np.array([3.0, -4.0])})
    >>> w.round(6).tolist()
    [0.5, 2.5]
    """

    _hyperparameters = ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")
    _slots = ("first", "second")
    _kernel = staticmethod(adam_update)
    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon,
            weight_decay=weight_decay,
        )  # fmt: skip

    def _last_arguments(self) -> tuple[int]:
        return (self._step_count,)


def clip_by_norm(gradients: Mapping[str, np.ndarray], max_norm: float) -> float:
    """Scale gradients in place so that their common norm is at most `max_norm`.

    The norm is the root of the sum of all squares, over all arrays, in float64 and without
    overflow or underflow on the way. Gradients whose norm is within the limit are left alone, and
    so are gradients whose norm is not finite: there is no scale that would mend them, so look at
    the norm that is returned.

    Parameters
    ----------
    gradients : dict of str to ndarray
        Writeable arrays, float32 or float64, of any shape.
    max_norm : float
        Above 0.

    Returns
    -------
    float
        The norm before the scaling.

    Raises
    ------
    TypeError
        If `gradients` holds anything but such arrays, or `max_norm` is no number.
    ValueError
        If `max_norm` is not above 0, or an array is read-only; nothing is changed then.

    Examples
    --------
    >>> import fastrnn, numpy as np
    >>> gradients = {"U": np.array([3.0, 4.0])}
    >>> fastrnn.clip_by_norm(gradients, 1.0), gradients["U"].round(6).tolist()
    (5.0, [0.6, 0.8])
    """
    check_arrays("gradients", gradients)
    limit = check_number("max_norm", max_norm)
    if not limit > 0.0:
        raise ValueError(f"max_norm: expected a number above 0, got {max_norm!r}")
    if any(map(on_gpu, gradients.values())):
        return as_number(kernel("optimizers.clip_by_norm")(gpu_views({}, gradients)[2], limit))
    norm = math.hypot(*(_norm(gradient) for gradient in gradients.values()))
    if limit < norm < math.inf:
        scale = np.float64(limit / norm)  # float64 even for float32: it may be very small
        for gradient in gradients.values():
            np.multiply(gradient, scale, out=gradient, casting="same_kind")
    return norm


def _norm(array: np.ndarray) -> float:
    """Return the root of the sum of squares; no BLAS, whose bits depend on its threads."""
    peak = float(np.max(np.abs(array), initial=0.0))
    if peak == 0.0 or not math.isfinite(peak):
        return peak
    scaled = array / np.float64(peak)
    return peak * math.sqrt(float(np.sum(scaled * scaled)))
