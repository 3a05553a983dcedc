"""Named tuples that the functions of every floor return."""

from typing import Any, NamedTuple

from numpy import ndarray

__all__ = ["ElmanGrads", "ElmanState", "JordanGrads", "JordanState", "LinearGrads", "Loss"]


class ElmanState(NamedTuple):
    """Result of `elman_forward`."""

    h: Any
    """Hidden states (T, B, m); zero rows where t >= lengths[b]."""
    h_last: Any
    """State after each sequence's last valid step (B, m); h0 where the length is 0."""


class ElmanGrads(NamedTuple):
    """Result of `elman_backward`: the gradient of a scalar loss in each argument."""

    dx: Any
    """(T, B, p), or None where x holds token ids."""
    dU: ndarray
    """(m, p)."""
    dW: ndarray
    """(m, m)."""
    db: ndarray
    """(m,)."""
    dh0: ndarray
    """(B, m)."""


class JordanState(NamedTuple):
    """Result of `jordan_forward`; of `jordan_step`, without the axis of time."""

    h: ndarray
    """Hidden states (T, B, m); zero rows where t >= lengths[b]."""
    o: ndarray
    """Outputs (T, B, q); zero rows where t >= lengths[b]."""
    z: ndarray
    """What each step was fed (T, B, q), zero rows as above; of `jordan_step`, the next step."""


class JordanGrads(NamedTuple):
    """Result of `jordan_backward`: the gradient of a scalar loss in each argument."""

    dx: Any
    """(T, B, p), or None where x holds token ids."""
    dU: ndarray
    """(m, p)."""
    dW: ndarray
    """(m, q)."""
    db: ndarray
    """(m,)."""
    dV: ndarray
    """(q, m)."""
    dc: ndarray
    """(q,)."""
    dz0: ndarray
    """(B, q)."""


class LinearGrads(NamedTuple):
    """Result of `linear_backward`."""

    dh: ndarray
    """(N, m)."""
    dV: ndarray
    """(q, m)."""
    dc: ndarray
    """(q,)."""


class Loss(NamedTuple):
    """Value of a loss and its gradient in the network's output."""

    value: float
    """Sum (or mean) over valid steps, float64."""
    do: ndarray
    """Gradient in o, of o's shape and dtype; zero rows where t >= lengths[b]."""
