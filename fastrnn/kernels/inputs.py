"""A network's input: real frames x (T, B, p), or integer token ids (T, B).

A token stands for a one-hot frame: U x is then a column of U, and dU a sum over columns.
"""

import numpy as np

from fastrnn.jit import kernel
from fastrnn.kernels.gemm import add_product, add_transposed_product

__all__ = ["add_input", "add_input_products", "empty_input_gradient"]


@kernel
def add_input(x, x_rows, U_transposed, a, a_rows):
    """Add U x to rows a_rows[i] of a (., m), with x the row x_rows[i] of the input."""
    if x.ndim == 3:
        flat = x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
        add_product(flat, x_rows, U_transposed, a, a_rows)
    else:
        tokens = x.reshape(x.size)
        for i in range(a_rows.size):
            column = U_transposed[tokens[x_rows[i]]]
            for j in range(column.size):
                a[a_rows[i], j] += column[j]


@kernel
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


@kernel
def empty_input_gradient(x, U):
    """Return a buffer for dx, or None where x holds token ids."""
    if x.ndim == 3:
        return np.empty(x.shape, U.dtype)
    return None
