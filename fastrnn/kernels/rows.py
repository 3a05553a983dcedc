"""Lists of the rows of a minibatch that are alive (MATH.md section 4).

An array (T, B, n) is seen by the kernels as T*B rows of n numbers; step t of sequence b is row
t*B + b. Steps past a sequence's end are on no list, so nothing ever reads them.
"""

import numpy as np

from fastrnn.jit import part

__all__ = [
    "add_row",
    "alive_or_zero",
    "begun_first",
    "copy_row",
    "copy_rows",
    "flat_marks",
    "full_lengths",
    "one_row",
    "row_before",
    "rows_or_zero",
    "run_end",
    "shifted_rows",
    "step_rows",
]


@part
def copy_row(source, target):
    """Copy a row, element by element: ``target[:] = source`` compiles its error messages too."""
    for i in range(source.size):
        target[i] = source[i]


@part
def run_end(rows, i, whole):
    """Return the j to which rows[i:j] follow each other without a gap; i + 1 unless `whole`.

    Whole rows in a run are one long row: fewer calls, fewer vectors that are not filled.
    """
    j = i + 1
    while whole and j < rows.size and rows[j] == rows[j - 1] + 1:
        j += 1
    return j


@part
def copy_rows(source, target, rows, left, right):
    """Copy columns left <= j < right of the listed rows of a matrix to those of another."""
    m = source.shape[1]
    from_, to = source.reshape(source.size), target.reshape(target.size)
    i = 0
    while i < rows.size:
        j = run_end(rows, i, right - left == m)
        begin, end = rows[i] * m + left, rows[j - 1] * m + right
        copy_row(from_[begin:end], to[begin:end])
        i = j


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
def one_row(b, W):
    """Return a copy of the vector b as a matrix of one row, of W's type."""
    row = np.empty((1, b.size), W.dtype)
    copy_row(b, row[0])
    return row


@part
def rows_or_zero(lengths, h, begin, end, first, last, left, right):
    """List the rows alive at steps begin <= t < end; set columns left <= j < right of others to 0.

    Of the sequences first <= row < last.
    """
    B = h.shape[1]
    rows = np.empty((end - begin) * (last - first), np.int64)
    n = 0
    for t in range(begin, end):
        for row in range(first, last):
            if t < lengths[row]:
                rows[n] = t * B + row
                n += 1
            else:
                h[t, row, left:right] = 0
    return rows[:n]


@part
def alive_or_zero(lengths, rows_of, first, last):
    """List the rows first <= t * B + b < last of a (T * B, .) array that are alive; zero others."""
    B = lengths.size
    rows = np.empty(last - first, np.int64)
    n = 0
    for row in range(first, last):
        if row // B < lengths[row % B]:
            rows[n] = row
            n += 1
        else:
            rows_of[row] = 0
    return rows[:n]


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
def flat_marks(resets):
    """Return resets (T, B) as the marks of T*B rows, or None where there are none."""
    if resets is None:
        return None
    return resets.reshape(resets.size)


@part
def row_before(marks, B, row, starts):
    """Return the row of the state before a step, or, below 0, the row of h0 less its `starts` rows.

    A sequence begins with row b of h0, and after a reset with row starts - B + b.
    """
    reset = False
    if marks is not None:
        reset = marks[row]
    if reset:
        return row % B - B
    return row - starts if row < B else row - B


@part
def begun_first(marks, B, rows, before, starts):
    """Put the rows of a step that follow a row of h0 before the others; return how many they are.

    `before` receives the row that each one follows: of h0, which has `starts` rows, or of h.
    """
    if marks is None:
        at = B if rows.size > 0 and rows[0] >= B else 0
        for i in range(rows.size):
            before[i] = rows[i] - at
        return 0 if at else rows.size
    begun = 0
    for i in range(rows.size):
        row = rows[i]
        at = row_before(marks, B, row, starts)
        if at < 0:
            rows[i], before[i] = rows[begun], before[begun]
            rows[begun], before[begun] = row, at + starts
            begun += 1
        else:
            before[i] = at
    return begun
