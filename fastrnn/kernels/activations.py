"""Activation functions f and their slopes f', applied to one row (MATH.md sections 1 and 8)."""

import numpy as np

from fastrnn.jit import part
from fastrnn.kernels.rows import run_end
from fastrnn.simd import broadcast, lanes, load, load_part, maximum, store, store_part
from fastrnn.simd.functions import sigmoid, tanh

__all__ = [
    "ACTIVATIONS",
    "activate",
    "activate_rows",
    "activation_code",
    "floor_of",
    "multiply_slope",
    "multiply_slopes",
]

# The numbers by which the kernels' inner loops know them.
ACTIVATIONS = {"tanh": 1, "relu": 2, "sigmoid": 3, "identity": 0}


@part
def activation_code(activation):
    """Return an activation's number in ACTIVATIONS; compiled code has no such dict of constants."""
    if activation == "tanh":
        return 1
    if activation == "relu":
        return 2
    if activation == "sigmoid":
        return 3
    if activation == "identity":
        return 0
    raise ValueError("activation: expected 'tanh', 'relu', 'sigmoid' or 'identity'")


@part
def floor_of(code, like):
    """Return what a product's `floor` must be for it to activate by relu: 0; for others -inf."""
    if code == 2:
        return like.dtype.type(0)
    return -like.dtype.type(np.inf)


@part
def activate(code, row):
    """Replace the pre-activations a in `row` by h = f(a); relu(NaN) is NaN."""
    if code == 1:
        _replace_by_tanh(row)
    elif code == 2:
        _replace_by_relu(row)
    elif code == 3:
        _replace_by_sigmoid(row)


@part
def activate_rows(code, a, rows, left, right):
    """Activate columns left <= j < right of the listed rows of a (., m)."""
    m, flat = a.shape[1], a.reshape(a.size)
    i = 0
    while i < rows.size:
        j = run_end(rows, i, right - left == m)
        activate(code, flat[rows[i] * m + left : rows[j - 1] * m + right])
        i = j


@part
def _replace_by_tanh(row):
    whole = row.size - row.size % lanes(row)
    for i in range(0, whole, lanes(row)):
        store(row, i, tanh(load(row, i)))
    if whole < row.size:
        rest = row.size - whole
        store_part(row, whole, tanh(load_part(row, whole, rest)), rest)


@part
def _replace_by_relu(row):
    zero = broadcast(row.dtype.type(0))
    whole = row.size - row.size % lanes(row)
    for i in range(0, whole, lanes(row)):
        store(row, i, maximum(load(row, i), zero))
    if whole < row.size:
        rest = row.size - whole
        store_part(row, whole, maximum(load_part(row, whole, rest), zero), rest)


@part
def _replace_by_sigmoid(row):
    whole = row.size - row.size % lanes(row)
    for i in range(0, whole, lanes(row)):
        store(row, i, sigmoid(load(row, i)))
    if whole < row.size:
        rest = row.size - whole
        store_part(row, whole, sigmoid(load_part(row, whole, rest)), rest)


@part
def multiply_slopes(code, h, a, rows, left, right):
    """Multiply columns left <= j < right of the listed rows of a (., m) by f', from h = f(a)."""
    m, states, flat = a.shape[1], h.reshape(h.size), a.reshape(a.size)
    i = 0
    while i < rows.size:
        j = run_end(rows, i, right - left == m)
        begin, end = rows[i] * m + left, rows[j - 1] * m + right
        multiply_slope(code, states[begin:end], flat[begin:end])
        i = j


@part
def multiply_slope(code, h, row):
    """Multiply the gradient in h that `row` holds by f'(a), computed from h = f(a)."""
    one = row.dtype.type(1)
    zero = row.dtype.type(0)
    if code == 1:
        for i in range(row.size):
            row[i] *= one - h[i] * h[i]
    elif code == 2:
        for i in range(row.size):
            row[i] = zero if h[i] <= zero else row[i]
    elif code == 3:
        for i in range(row.size):
            row[i] *= h[i] * (one - h[i])
