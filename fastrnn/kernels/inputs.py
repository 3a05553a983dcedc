"""A network's input: real frames x (T, B, p), or integer token ids (T, B).

A token stands for a one-hot frame: U x is then a column of U, and dU a sum over columns.
"""

import numpy as np

from fastrnn.jit import part
from fastrnn.kernels.gemm import add_product, add_transposed_product
from fastrnn.kernels.matvec import add_matrix_vector
from fastrnn.simd import lanes, load
from fastrnn.simd.tile import add_vector

__all__ = [
    "add_frame",
    "add_input",
    "add_input_products",
    "add_packed_frame",
    "empty_input_gradient",
]


@part
def add_input(x, x_rows, depth, panels, start, first_panel, end_panel, a, a_rows):
    """Add U x to rows a_rows[i] of a (., m), with x the row x_rows[i] of the input.

    U^T (depth, m) packed in `panels` from `start` on; only the given panels' columns.
    """
    if x.ndim == 3:
        frames = x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
    else:
        frames = x.reshape(x.size)
    add_packed_frame(frames, x_rows, depth, panels, start, first_panel, end_panel, a, a_rows)


@part
def add_packed_frame(frames, x_rows, depth, panels, start, first_panel, end_panel, a, a_rows):
    """Do the work of `add_input` for listed frames (., p) or token ids (.,), negative for none."""
    if frames.ndim == 2:
        add_product(frames, x_rows, depth, panels, start, first_panel, end_panel, a, a_rows)
        return
    step, width = lanes(a), a.shape[1]
    for i in range(a_rows.size):
        token = frames[x_rows[i]]
        if token < 0:
            continue
        for panel in range(first_panel, end_panel):
            vec = load(panels, start + (panel * depth + token) * step)
            column = panel * step
            add_vector(a, a_rows[i] * width + column, vec, width - column)


@part
def add_frame(frame, W, a):
    """Add W x to each row of a, for one frame x (B, p) or its token ids (B,), -1 for none."""
    for row in range(a.shape[0]):
        if frame.ndim == 2:
            add_matrix_vector(W, frame[row], a[row])
        elif frame[row] >= 0:
            for i in range(a.shape[1]):
                a[row, i] += W[i, frame[row]]


@part
def add_input_products(da, da_rows, x, x_rows, dU, first, last):
    """Set rows first <= i < last of dU to the sum of da x^T; a token adds to one column."""
    dU[first:last] = 0
    if x.ndim == 3:
        flat = x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
        add_transposed_product(da, da_rows, flat, x_rows, dU, first, last)
    else:
        tokens = x.reshape(x.size)
        # A frequent token is a long sum, and tokens come in any order: so no partial sums, but
        # float64 ones; transposed, so that the loop over units runs along a row.
        sums = np.zeros((dU.shape[1], last - first))
        for k in range(da_rows.size):
            column = sums[tokens[x_rows[k]]]
            for i in range(first, last):
                column[i - first] += da[da_rows[k], i]
        for i in range(first, last):
            for token in range(dU.shape[1]):
                dU[i, token] = sums[token, i - first]


@part
def empty_input_gradient(x, U):
    """Return a buffer for dx, or None where x holds token ids."""
    if x.ndim == 3:
        return np.empty(x.shape, U.dtype)
    return None
