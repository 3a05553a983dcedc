"""One step of an output-to-hidden (Jordan) network on the CPU (MATH.md section 2)."""

import numpy as np

from fastrnn.jit import kernel, part
from fastrnn.kernels.activations import activate, activate_rows, activation_code
from fastrnn.kernels.feedback import feed_back, feedback_code
from fastrnn.kernels.gemm import product
from fastrnn.kernels.inputs import add_frame, token_product
from fastrnn.kernels.jordan import pack_weights, weights_size
from fastrnn.kernels.rows import copy_row
from fastrnn.kernels.weights import packed_size
from fastrnn.results import JordanState
from fastrnn.simd import flush_subnormals, restore_subnormals
from fastrnn.simd.packing import panel_count

__all__ = ["jordan_step", "pack_step", "packed_step"]


@kernel
def jordan_step(
    x_t, z, U, W, b, V, c, activation="tanh", feedback="softmax", draws=None,
    h=None, o=None, out=None,
):  # fmt: skip
    """Compute one step's h(t) and o(t), and z(t+1), what the next step is fed (section 2).

    Arguments are not checked. x_t (B, p) or token ids (B,), z (B, q) what this step is fed, draws
    (B,) those of "sample". Buffers, overwritten, which must not overlap z: h (B, m), o and out
    (B, q). With U, W and V in Fortran order the bits are those of `jordan_forward`; in C order the
    sums are rounded in another order. Returns JordanState(h(t), o(t), z(t+1)).
    """
    B = z.shape[0]
    code, back = activation_code(activation), feedback_code(feedback)
    if draws is None and back == 4:
        raise ValueError("draws: expected numbers (B,) with feedback 'sample'")
    state = np.empty((B, b.size), z.dtype) if h is None else h
    output = np.empty(z.shape, z.dtype) if o is None else o
    fed = np.empty(z.shape, z.dtype) if out is None else out
    numbers = np.zeros(B) if draws is None else draws
    mode = flush_subnormals()
    for row in range(B):
        copy_row(b, state[row])
        copy_row(c, output[row])
    add_frame(x_t, U, state)
    add_frame(z, W, state)
    for row in range(B):
        activate(code, state[row])
    add_frame(state, V, output)
    for row in range(B):
        feed_back(back, output, row, numbers[row], fed, row)
    restore_subnormals(mode)
    return JordanState(state, output, fed)


@part
def pack_step(U, W, b, V, c):
    """Return the weights as `packed_step` takes them, in one array: fewer arguments cost less."""
    size = weights_size(U, W, V)
    packed = np.empty(size + b.size + c.size, W.dtype)
    pack_weights(U, W, V, packed)
    copy_row(b, packed[size : size + b.size])
    copy_row(c, packed[size + b.size :])
    return packed


@part
def packed_step(x_t, z, rows, p, packed, code, feedback, draws, h, o, out):
    """Do the work of `jordan_step` with weights packed by `pack_step`; rows lists 0 ... B-1."""
    mode = flush_subnormals()
    m, q = h.shape[1], o.shape[1]
    count, outputs = panel_count(h, m), panel_count(h, q)
    W_at, V_at, b_at = packed_size(h, p, m), packed_size(h, p + q, m), packed.size - q - m
    for row in range(rows.size):
        copy_row(packed[b_at : b_at + m], h[row])
        copy_row(packed[b_at + m :], o[row])
    if x_t.ndim == 2:
        product(x_t, rows, p, packed, 0, 0, count, h, rows, h, rows)
    else:
        token_product(x_t, rows, p, packed, 0, 0, count, h, rows, h, rows)
    product(z, rows, q, packed, W_at, 0, count, h, rows, h, rows)
    activate_rows(code, h, rows, 0, m)
    product(h, rows, m, packed, V_at, 0, outputs, o, rows, o, rows)
    for row in range(rows.size):
        feed_back(feedback, o, row, draws[row], out, row)
    restore_subnormals(mode)
