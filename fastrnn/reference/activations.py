"""Activation functions f and their slopes f' (MATH.md sections 1 and 8)."""

from typing import Any

import numpy as np

__all__ = ["activate", "slope"]


def activate(activation: str, a: Any) -> Any:
    """Return h = f(a), element by element; of complex a, f's analytic continuation."""
    if activation == "tanh":
        return np.tanh(a)
    if activation == "relu":
        return np.where(np.real(a) < 0, 0, a)
    if activation == "sigmoid":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-a))
    if activation == "identity":
        return a
    raise ValueError("activation: expected 'tanh', 'relu', 'sigmoid' or 'identity'")


def slope(activation: str, h: Any) -> Any:
    """Return f'(a), computed from h = f(a); relu'(0) is 0."""
    if activation == "tanh":
        return 1 - h * h
    if activation == "relu":
        return np.where(np.real(h) <= 0, 0, np.ones_like(h))
    if activation == "sigmoid":
        return h * (1 - h)
    if activation == "identity":
        return np.ones_like(h)
    raise ValueError("activation: expected 'tanh', 'relu', 'sigmoid' or 'identity'")
