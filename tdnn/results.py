"""Named tuples that the functions of every floor return."""

from typing import Any, NamedTuple

from numpy import ndarray

__all__ = ["TDNNGrads", "TDNNState"]


class TDNNState(NamedTuple):
    """Result of `tdnn_forward`."""

    h: Any
    """Output frames (T_out, B, m); zero rows where i >= lengths[b]."""
    lengths: ndarray
    """Number of output frames of each sequence (B,), int64."""


class TDNNGrads(NamedTuple):
    """Result of `tdnn_backward`: the gradient of a scalar loss in each argument."""

    dx: Any
    """(T, B, p), or None where x holds token ids."""
    dW: ndarray
    """(C, m, p)."""
    db: ndarray
    """(m,)."""
