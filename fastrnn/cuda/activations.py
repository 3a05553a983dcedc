"""Activation functions f and their slopes f' of one number (MATH.md sections 1 and 8)."""

import math

from fastrnn.cuda.intrinsics import device_function
from fastrnn.kernels.activations import ACTIVATIONS

__all__ = ["ACTIVATIONS", "activate", "activation_code", "times_slope"]


def activation_code(activation):
    """Return an activation's number in ACTIVATIONS, by which the kernels know it."""
    if activation not in ACTIVATIONS:
        raise ValueError("activation: expected 'tanh', 'relu', 'sigmoid' or 'identity'")
    return ACTIVATIONS[activation]


@device_function
def activate(code, a):
    """Return f(a); relu(NaN) is NaN."""
    T = type(a)
    if code == 1:
        return math.tanh(a)
    if code == 2:
        return T(0) if a < T(0) else a
    if code == 3:
        return T(1) / (T(1) + math.exp(-a))
    return a


@device_function
def times_slope(code, h, g):
    """Return the gradient g in h times f'(a), from h = f(a)."""
    T = type(g)
    if code == 1:
        return g * (T(1) - h * h)
    if code == 2:
        return T(0) if h <= T(0) else g
    if code == 3:
        return g * (h * (T(1) - h))
    return g
