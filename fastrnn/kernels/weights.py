"""Weights, stored (units, inputs), packed for the products of either direction."""

import numpy as np

from fastrnn.jit import part
from fastrnn.simd import lanes
from fastrnn.simd.packing import pack, pack_transposed, panel_count

__all__ = ["flat_buffer", "pack_backward", "pack_forward", "packed_backward", "packed_size"]


@part
def packed_size(W, depth, columns):
    """Return how many numbers of W's type a packed matrix (depth, columns) fills."""
    return panel_count(W, columns) * depth * lanes(W)


@part
def pack_forward(W, first_panel, end_panel, panels, start):
    """Pack W (m, p) for products W x, of depth p with m columns, from panels[start] on."""
    matrix, rows = np.ascontiguousarray(W), np.arange(W.shape[0])
    pack_transposed(matrix, rows, first_panel, end_panel, panels, start)


@part
def pack_backward(W, first_panel, end_panel, panels, start):
    """Pack W (m, p) for products W^T d, of depth m with p columns, from panels[start] on."""
    matrix, depth = np.ascontiguousarray(W), W.shape[0]
    pack(matrix, np.arange(depth), 0, depth, first_panel, end_panel, panels, start, depth)


@part
def packed_backward(W):
    """Return all of W packed by `pack_backward`."""
    panels = np.empty(packed_size(W, W.shape[0], W.shape[1]), W.dtype)
    pack_backward(W, 0, panel_count(W, W.shape[1]), panels, 0)
    return panels


@part
def flat_buffer(work, size, W):
    """Return the caller's buffer as a flat array, or a new one where it has too few numbers."""
    if work is None or work.size < size:
        return np.empty(size, W.dtype)
    return work.reshape(work.size)
