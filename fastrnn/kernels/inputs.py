"""A network's input: real frames x (T, B, p), or integer token ids (T, B).

A token stands for a one-hot frame: U x is then a column of U, and dU a sum over columns.
"""

import numpy as np

from fastrnn.jit import inlined, part
from fastrnn.kernels.matvec import add_matrix_vector
from fastrnn.simd import lanes, load
from fastrnn.simd.packing import load_part_or_all, store_part_or_all

__all__ = ["add_frame", "add_token_sums", "as_frames", "empty_input_gradient", "token_product"]


@part
def as_frames(x):
    """Return x (T, B, p) as frames (T * B, p), and token ids (T, B) as (T * B,)."""
    if x.ndim == 3:
        return x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
    return x.reshape(x.size)


@part
def token_product(
    tokens, x_rows, depth, panels, at, first_panel, end_panel, start, start_rows, a, a_rows
):  # fmt: skip
    """Do what `product` does for one-hot rows, given by their token ids; negative ids are zeros."""
    step, width = lanes(a), a.shape[1]
    for i in range(a_rows.size):
        token = tokens[x_rows[i]]
        source, target = start_rows[i] * width, a_rows[i] * width
        for panel in range(first_panel, end_panel):
            j = panel * step
            vec = load_part_or_all(start, source + j, width - j)
            if token >= 0:
                vec = vec + load(panels, at + (panel * depth + token) * step)
            store_part_or_all(a, target + j, vec, width - j)


@inlined
def add_frame(frame, W, a):
    """Add W x to each row of a, for one frame x (B, p) or its token ids (B,), -1 for none."""
    for row in range(a.shape[0]):
        if frame.ndim == 2:
            add_matrix_vector(W, frame, row, a, row)
        elif frame[row] >= 0:
            for i in range(a.shape[1]):
                a[row, i] += W[i, frame[row]]


@part
def add_token_sums(da, da_rows, x, x_rows, dU, first, last):
    """Add to rows first <= i < last of dU the sum of da x^T if x holds token ids, -1 for none.

    Each adds to one column. A frequent token is a long sum, and tokens come in any order: so no
    partial sums, but float64 ones; transposed, so that the loop over units runs along a row.
    """
    if x.ndim != 2:
        return
    tokens = x.reshape(x.size)
    sums = np.zeros((dU.shape[1], last - first))
    for k in range(da_rows.size):
        if x_rows[k] >= 0:
            column = sums[tokens[x_rows[k]]]
            for i in range(first, last):
                column[i - first] += da[da_rows[k], i]
    for i in range(first, last):
        for token in range(dU.shape[1]):
            dU[i, token] += dU.dtype.type(sums[token, i - first])


@part
def empty_input_gradient(x, U):
    """Return a buffer for dx, or None where x holds token ids."""
    if x.ndim == 3:
        return np.empty(x.shape, U.dtype)
    return None
