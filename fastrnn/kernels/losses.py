"""Losses and their gradients in the output, masked by lengths and weights (MATH.md section 8)."""

import math

import numpy as np

from fastrnn.jit import kernel, part
from fastrnn.kernels.rows import full_lengths
from fastrnn.results import Loss
from fastrnn.simd import (
    broadcast,
    flush_subnormals,
    lane_max,
    lane_sum,
    lanes,
    load_filled,
    maximum,
    restore_subnormals,
)
from fastrnn.simd.functions import exp_below_zero
from fastrnn.simd.packing import load_part_or_all, store_part_or_all

__all__ = [
    "sigmoid",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "softmax_row",
    "squared_error",
]


@kernel
def softmax_cross_entropy(o, targets, lengths=None, weights=None, do=None):
    """Compute sum w (logsumexp(o) - o[target]) and do = w (softmax(o) - onehot) (section 8).

    Arguments are not checked. o (T, B, q), targets (T, B) class numbers, lengths (B,), weights
    (T, B). Buffer, overwritten: do (T, B, q). A step of weight 0 is not looked at. Returns
    Loss(value, do), the value a float64.
    """
    mode = flush_subnormals()
    grad = np.empty(o.shape, o.dtype) if do is None else do
    valid = full_lengths(lengths, o.shape[0], o.shape[1])
    value = 0.0
    T, B, q = o.shape
    for t in range(T):
        for b in range(B):
            w = _weight(weights, valid, t, b)
            if w == 0:
                grad[t, b] = 0
                continue
            target, at = targets[t, b], (t * B + b) * q
            highest, total = softmax_row(o, at, grad, at, q, w)
            value += w * (highest + math.log(total) - o[t, b, target])
            grad[t, b, target] -= o.dtype.type(w)
    restore_subnormals(mode)
    return Loss(value, grad)


@part
def _weight(weights, lengths, t, b):
    """Return the weight of a step: 0 in padding, 1 where there are no weights."""
    if t >= lengths[b]:
        return 0.0
    if weights is None:
        return 1.0
    return np.float64(weights[t, b])


@part
def softmax_row(o, at, out, to, n, w):
    """Store w softmax(r) from out[to] on, r being the n numbers from o[at] on.

    The arrays are C-contiguous, of any rank. Returns max(r) and sum exp(r - max(r)): exp never
    overflows.
    """
    step = lanes(o)
    nothing = broadcast(o.dtype.type(-np.inf))  # its exp is 0
    tops = nothing
    for i in range(0, n, step):
        tops = maximum(tops, load_filled(o, at + i, n - i, nothing))
    highest = lane_max(tops)
    top = broadcast(highest)
    sums = broadcast(o.dtype.type(0))
    for i in range(0, n, step):
        e = exp_below_zero(load_filled(o, at + i, n - i, nothing) - top)
        store_part_or_all(out, to + i, e, n - i)
        sums = sums + e
    total = np.float64(lane_sum(sums))
    scale = broadcast(o.dtype.type(w / total))
    for i in range(0, n, step):
        store_part_or_all(out, to + i, load_part_or_all(out, to + i, n - i) * scale, n - i)
    return highest, total


@kernel
def softmax(o, lengths=None, out=None):
    """Compute yhat(t) = softmax(o(t)) (MATH.md section 1).

    Arguments are not checked. o (T, B, q), lengths (B,). Buffer, overwritten: out (T, B, q), which
    may be o itself. Returns yhat, zero in padding.
    """
    yhat = np.empty(o.shape, o.dtype) if out is None else out
    valid = full_lengths(lengths, o.shape[0], o.shape[1])
    T, B, q = o.shape
    for t in range(T):
        for b in range(B):
            if t < valid[b]:
                at = (t * B + b) * q
                softmax_row(o, at, yhat, at, q, 1.0)
            else:
                yhat[t, b] = 0
    return yhat


@kernel
def sigmoid_cross_entropy(o, targets, lengths=None, weights=None, do=None):
    """Compute sum w (softplus(o) - y o) and do = w (sigmoid(o) - y) (section 8).

    Arguments are not checked. o and targets (T, B, q), lengths (B,), weights (T, B). Buffer,
    overwritten: do (T, B, q). A step of weight 0 is not looked at. Returns Loss(value, do), the
    value a float64.
    """
    mode = flush_subnormals()
    grad = np.empty(o.shape, o.dtype) if do is None else do
    valid = full_lengths(lengths, o.shape[0], o.shape[1])
    value = 0.0
    for t in range(o.shape[0]):
        for b in range(o.shape[1]):
            w = _weight(weights, valid, t, b)
            if w == 0:
                grad[t, b] = 0
                continue
            for i in range(o.shape[2]):
                x, y = o[t, b, i], targets[t, b, i]
                # softplus(x) = max(x, 0) + log1p(exp(-|x|))
                value += w * (max(x, o.dtype.type(0)) - x * y + math.log1p(math.exp(-abs(x))))
                grad[t, b, i] = o.dtype.type(w) * (_sigmoid_scalar(x) - y)
    restore_subnormals(mode)
    return Loss(value, grad)


@part
def _sigmoid_scalar(x):
    """Return 1 / (1 + exp(-x)) in x's precision; exp never overflows."""
    e = math.exp(-abs(x))
    one = type(x)(1)
    return (one if x >= 0 else e) / (one + e)


@kernel
def sigmoid(o, lengths=None, out=None):
    """Compute yhat(t) = sigmoid(o(t)) (MATH.md section 8).

    Arguments are not checked. o (T, B, q), lengths (B,). Buffer, overwritten: out (T, B, q), which
    may be o itself. Returns yhat, zero in padding.
    """
    yhat = np.empty(o.shape, o.dtype) if out is None else out
    valid = full_lengths(lengths, o.shape[0], o.shape[1])
    for t in range(o.shape[0]):
        for b in range(o.shape[1]):
            for i in range(o.shape[2]):
                yhat[t, b, i] = _sigmoid_scalar(o[t, b, i]) if t < valid[b] else 0
    return yhat


@kernel
def squared_error(o, targets, lengths=None, weights=None, do=None):
    """Compute sum w (o - y)^2 and do = 2 w (o - y) (section 8).

    Arguments are not checked. o and targets (T, B, q), lengths (B,), weights (T, B). Buffer,
    overwritten: do (T, B, q). A step of weight 0 is not looked at. Returns Loss(value, do), the
    value a float64.
    """
    mode = flush_subnormals()
    grad = np.empty(o.shape, o.dtype) if do is None else do
    valid = full_lengths(lengths, o.shape[0], o.shape[1])
    value = 0.0
    for t in range(o.shape[0]):
        for b in range(o.shape[1]):
            w = _weight(weights, valid, t, b)
            if w == 0:
                grad[t, b] = 0
                continue
            for i in range(o.shape[2]):
                difference = o[t, b, i] - targets[t, b, i]
                value += w * np.float64(difference) * difference
                grad[t, b, i] = o.dtype.type(2 * w) * difference
    restore_subnormals(mode)
    return Loss(value, grad)
