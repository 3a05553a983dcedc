"""Lists of the rows of a minibatch that are alive (MATH.md section 4).

An array (T, B, n) is seen by the kernels as T*B rows of n numbers; step t of sequence b is row
t*B + b. Steps past a sequence's end are on no list, so nothing ever reads them.
"""

import numpy as np

from fastrnn.jit import part

__all__ = ["add_row", "copy_row", "full_lengths", "shifted_rows", "start_from_bias", "step_rows"]


@part
def copy_row(source, target):
    """Copy a row, element by element: ``target[:] = source`` compiles its error messages too."""
    for i in range(source.size):
        target[i] = source[i]


@part
def add_row(source, target):
    """Add a row to another."""
    for i in range(source.size):
        target[i] += source[i]


@part
def full_lengths(lengths, T, B):
    """Return `lengths`, or T for each of the B sequences where it is None."""
    if lengths is None:
        full = np.full(B, T, np.int64)
    else:
        full = lengths
    return full


@part
def step_rows(lengths, B, t, first, last, rows):
    """List in `rows` the sequences first <= b < last alive at step t; return how many."""
    n = 0
    for b in range(first, last):
        if t < lengths[b]:
            rows[n] = t * B + b
            n += 1
    return n


@part
def shifted_rows(lengths, T, first, last, shift):
    """Return the rows of all steps shift <= t < T alive in sequences first <= b < last.

    With shift 1: each listed row has a predecessor in time, which is that row minus B.
    """
    B = lengths.size
    n = 0
    for b in range(first, last):
        n += max(0, min(T, lengths[b]) - shift)
    rows = np.empty(n, np.int64)
    n = 0
    for t in range(shift, T):
        n += step_rows(lengths, B, t, first, last, rows[n:])
    return rows


@part
def start_from_bias(b, lengths, h, begin, end, first, last, left, right):
    """Fill the steps begin <= t < end of h with b, or zero in padding; list the rows alive.

    Of the sequences first <= row < last, and only the columns left <= j < right.
    """
    B = h.shape[1]
    rows = np.empty((end - begin) * (last - first), np.int64)
    n = 0
    for t in range(begin, end):
        for row in range(first, last):
            if t < lengths[row]:
                copy_row(b[left:right], h[t, row, left:right])
                rows[n] = t * B + row
                n += 1
            else:
                h[t, row, left:right] = 0
    return rows[:n]
