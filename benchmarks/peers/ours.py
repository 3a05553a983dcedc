"""FastRNN as a contender.

Every contender whose name begins with "ours" is timed and gets a column: "ours" is what a user
calls without further thought and what all ratios refer to. "ours kept" is what remains of it when
the weights are packed already: where T is small, packing them for each call is a part that counts.
"""

from typing import Any

import numpy as np

import fastrnn
import tdnn
from benchmarks.peers.cases import Case
from benchmarks.peers.inputs import Inputs
from benchmarks.peers.timing import Contender
from fastrnn.jit import kernel
from fastrnn.kernels import elman_step
from fastrnn.kernels.elman import pack_weights, weights_size
from fastrnn.kernels.weights import pack_forward, packed_backward, packed_size
from fastrnn.linear import linear_backward, linear_forward
from fastrnn.simd.packing import panel_count

__all__ = ["contenders"]

_STEPS = 1000
_FEW_STEPS = 32


def contenders(case: Case, inputs: Inputs, threads: int) -> list[Contender]:
    """Return FastRNN's ways to do a case, "ours" first."""
    if case.group == "tdnn":
        return [_tdnn(case, inputs, threads)]
    if case.group == "step":
        return [_step(case, inputs), _step_inside_njit(inputs)]
    if case.group == "jordan":
        return [_jordan(case, inputs, threads)]
    if case.group == "vanishing":
        return [_last_only(inputs, threads)]
    found = [_elman("ours", case, inputs, inputs.lengths, threads)]
    if case.group == "ragged":
        found.append(_elman("ours padded", case, inputs, None, threads))
    if case.T <= _FEW_STEPS and threads == 1:
        found.append(_packing(case, inputs))
    return found


def _elman(name: str, case: Case, a: Inputs, lengths: Any, threads: int) -> Contender:
    T, B = a.x.shape[:2]
    counts = np.full(B, T) if lengths is None else lengths

    def forward() -> Any:
        return fastrnn.elman_forward(a.x, a.U, a.W, a.b, a.h0, lengths=lengths, threads=threads)

    def train() -> Any:
        h = forward().h
        o = linear_forward(h, a.V, a.c, counts, threads)
        loss = fastrnn.softmax_cross_entropy(o, a.targets, lengths=lengths)
        outer = linear_backward(loss.do, h, a.V, counts, threads)
        inner = fastrnn.elman_backward(
            outer.dh, a.x, h, a.U, a.W, a.h0, lengths=lengths, threads=threads
        )
        return loss, outer, inner

    if name == "ours padded":  # another result than the ragged one, on purpose
        return Contender(name, forward if case.direction == "F" else train, lambda _returned: {})
    if case.direction == "F":
        return Contender(name, forward, lambda state: state._asdict())
    return Contender(name, train, _gradients)


def _gradients(returned: Any) -> dict[str, Any]:
    loss, outer, inner = returned
    return {"loss": loss.value, "dV": outer.dV, "dc": outer.dc, **inner._asdict()}


@kernel
def _pack_forward(U, W):  # type: ignore[no-untyped-def]
    panels = np.empty(weights_size(U, W), W.dtype)
    pack_weights(U, W, 0, panel_count(W, W.shape[0]), panels)
    return panels


@kernel
def _pack_all(U, W, V):  # type: ignore[no-untyped-def]
    outputs = np.empty(packed_size(V, V.shape[1], V.shape[0]), V.dtype)
    pack_forward(V, 0, panel_count(V, V.shape[0]), outputs, 0)
    return _pack_forward(U, W), outputs, packed_backward(V), packed_backward(W), packed_backward(U)


def _packing(case: Case, a: Inputs) -> Contender:
    """All that a pass packs of its weights, without their products."""
    if case.direction == "F":
        return Contender("ours kept", lambda: _pack_forward(a.U, a.W), lambda _: {}, part=True)
    return Contender("ours kept", lambda: _pack_all(a.U, a.W, a.V), lambda _: {}, part=True)


def _last_only(a: Inputs, threads: int) -> Contender:
    B = a.x.shape[1]
    one = np.ones(B, np.int64)

    def train() -> Any:
        h, h_last = fastrnn.elman_forward(a.x, a.U, a.W, a.b, a.h0, threads=threads)
        o = linear_forward(h_last[None], a.V, a.c, one, threads)
        loss = fastrnn.softmax_cross_entropy(o, a.targets)
        outer = linear_backward(loss.do, h_last[None], a.V, one, threads)
        inner = fastrnn.elman_backward(
            np.zeros_like(h), a.x, h, a.U, a.W, a.h0, dh_last=outer.dh[0], threads=threads
        )
        return loss, outer, inner

    return Contender("ours", train, _gradients)


def _tdnn(case: Case, a: Inputs, threads: int) -> Contender:
    def forward() -> Any:
        return tdnn.tdnn_forward(a.x, a.W, a.b, case.offsets, threads=threads)

    def train() -> Any:
        h = forward().h
        return tdnn.tdnn_backward(a.dh, a.x, h, a.W, case.offsets, threads=threads)

    if case.direction == "F":
        return Contender("ours", forward, lambda state: {"h": state.h})
    return Contender("ours", train, lambda grads: grads._asdict())


def _jordan(case: Case, a: Inputs, threads: int) -> Contender:
    weights = a.U, a.W, a.b, a.V, a.c

    def free() -> Any:
        return fastrnn.jordan_forward(a.x, *weights, threads=threads)

    def train() -> Any:
        h, o, _ = fastrnn.jordan_forward(a.x, *weights, y=a.targets, threads=threads)
        loss = fastrnn.softmax_cross_entropy(o, a.targets)
        return loss, fastrnn.jordan_backward(
            loss.do, a.x, h, o, a.U, a.W, a.V, y=a.targets, threads=threads
        )

    if case.direction == "F":
        return Contender("ours", free, lambda state: {"h": state.h, "o": state.o})
    return Contender("ours", train, _jordan_gradients)


def _jordan_gradients(returned: Any) -> dict[str, Any]:
    loss, grads = returned
    named = grads._asdict()
    del named["dz0"]  # no peer has a z0
    return {"loss": loss.value, **named}


def _step(case: Case, a: Inputs) -> Contender:
    layer = fastrnn.Elman(case.p, case.m)
    layer.U[...], layer.W[...], layer.b[...] = a.U, a.W, a.b
    stream, x_t = layer.stream(), a.x[0]

    def five(_returned: Any) -> dict[str, Any]:
        stream.reset()
        for _ in range(4):
            stream.step(x_t)
        return {"h": stream.step(x_t)}

    return Contender("ours", lambda: stream.step(x_t), five)


@kernel
def _loop(x_t, h, U, W, b, out, steps):  # type: ignore[no-untyped-def]
    for _ in range(steps):
        elman_step(x_t, h, U, W, b, "tanh", out)
        h, out = out, h
    return h


def _step_inside_njit(a: Inputs) -> Contender:
    weights = a.U.copy("F"), a.W.copy("F"), a.b
    h, out = np.zeros_like(a.h0), np.zeros_like(a.h0)

    def five(_returned: Any) -> dict[str, Any]:
        return {"h": _loop(a.x[0], np.zeros_like(h), *weights, out, 5)}

    return Contender(
        "ours inside njit", lambda: _loop(a.x[0], h, *weights, out, _STEPS), five, steps=_STEPS
    )
