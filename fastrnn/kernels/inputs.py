"""A network's input: real frames x (T, B, p), or integer token ids (T, B).

A token stands for a one-hot frame: U x is then a column of U, and dU a sum over columns.
"""

import numpy as np

from fastrnn.jit import part
from fastrnn.kernels.gemm import add_outer, product
from fastrnn.kernels.matvec import add_matrix_vector
from fastrnn.simd import lanes, load
from fastrnn.simd.packing import load_part_or_all, pack, panel_count, store_part_or_all

__all__ = [
    "add_frame",
    "add_input_outer",
    "add_token_sums",
    "empty_input_gradient",
    "frame_product",
    "input_product",
]


@part
def input_product(
    x, x_rows, depth, panels, at, first_panel, end_panel, start, start_rows, a, a_rows
):  # fmt: skip
    """Set rows a_rows[i] of a (., m) to start + U x, with x the row x_rows[i] of the input.

    U^T (depth, m) packed in `panels` from `at` on; all else as in `product`.
    """
    if x.ndim == 3:
        frames = x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
    else:
        frames = x.reshape(x.size)
    frame_product(
        frames, x_rows, depth, panels, at, first_panel, end_panel, start, start_rows, a, a_rows
    )


@part
def frame_product(
    frames, x_rows, depth, panels, at, first_panel, end_panel, start, start_rows, a, a_rows
):  # fmt: skip
    """Do the work of `input_product` for frames (., p) or token ids (.,), negative for none."""
    if frames.ndim == 2:
        product(
            frames, x_rows, depth, panels, at, first_panel, end_panel, start, start_rows, a, a_rows
        )
        return
    step, width = lanes(a), a.shape[1]
    for i in range(a_rows.size):
        token = frames[x_rows[i]]
        source, target = start_rows[i] * width, a_rows[i] * width
        for panel in range(first_panel, end_panel):
            j = panel * step
            vec = load_part_or_all(start, source + j, width - j)
            if token >= 0:
                vec = vec + load(panels, at + (panel * depth + token) * step)
            store_part_or_all(a, target + j, vec, width - j)


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
def add_input_outer(columns, x, x_rows, begin, end, panels, dU, first, last):
    """Add a chunk's sum of da x^T to rows first <= i < last of dU, with da^T in `columns`.

    The listed input rows begin <= k < end; a negative one stands for none. Token ids add nothing:
    see `add_token_sums`.
    """
    if x.ndim != 3:
        return
    frames = x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
    pack(frames, x_rows, begin, end, 0, panel_count(dU, dU.shape[1]), panels, 0, end - begin)
    add_outer(columns, end - begin, panels, dU, first, last)


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
