"""Weights, stored (units, inputs), packed for the products of either direction."""

import numpy as np

from fastrnn.jit import part
from fastrnn.simd import lanes
from fastrnn.simd.packing import pack, pack_transposed, panel_count

__all__ = ["flat_buffer", "pack_backward", "pack_forward", "packed_size"]


@part
def packed_size(W, depth, columns):
    """Return how many numbers of W's type a packed matrix (depth, columns) fills."""
    return panel_count(W, columns) * depth * lanes(W)


@part
def pack_forward(W, panels, start):
    """Pack W (m, p) for products W x, of depth p with m columns, from panels[start] on."""
    pack_transposed(np.ascontiguousarray(W), np.arange(W.shape[0]), panels, start)


@part
def pack_backward(W, panels, start):
    """Pack W (m, p) for products W^T d, of depth m with p columns, from panels[start] on."""
    depth = W.shape[0]
    pack(np.ascontiguousarray(W), np.arange(depth), 0, depth, panels, start)


@part
def flat_buffer(work, size, W):
    """Return the caller's buffer as a flat array, or a new one where it has too few numbers."""
    if work is None or work.size < size:
        return np.empty(size, W.dtype)
    return work.reshape(work.size)
