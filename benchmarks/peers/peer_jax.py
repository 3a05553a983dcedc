"""JAX as a contender: jitted scans, the inputs' share taken out of the loop as one product."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.peers.cases import Case
from benchmarks.peers.inputs import Inputs
from benchmarks.peers.timing import Contender

__all__ = ["contenders"]

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)  # else float64 cases would be float32 silently
# On one core a call that hands its work to another thread takes up to four times as long.
jax.config.update("jax_cpu_enable_async_dispatch", False)

_UNROLL = (1, 8)


def contenders(case: Case, inputs: Inputs, threads: int) -> list[Contender]:
    """Return JAX's ways to do a case; `threads` was settled by the process's cores."""
    del threads
    if case.group != "elman":
        return []
    return [_elman(case, inputs, unroll) for unroll in _UNROLL]


def _forward(unroll: int, x: Any, h0: Any, U: Any, W: Any, b: Any) -> Any:
    T, B, p = x.shape
    projected = (x.reshape(T * B, p) @ U.T + b).reshape(T, B, -1)

    def step(h: Any, u_t: Any) -> Any:
        h = jnp.tanh(u_t + h @ W.T)
        return h, h

    return jax.lax.scan(step, h0, projected, unroll=unroll)


def _loss(
    unroll: int, x: Any, h0: Any, U: Any, W: Any, b: Any, V: Any, c: Any, targets: Any
) -> Any:
    _, h = _forward(unroll, x, h0, U, W, b)
    o = h.reshape(-1, h.shape[-1]) @ V.T + c
    hit = jnp.take_along_axis(o, targets.reshape(-1, 1), 1)[:, 0]
    return (jax.nn.logsumexp(o, 1) - hit).sum()


def _elman(case: Case, a: Inputs, unroll: int) -> Contender:
    x, h0, U, W, b = (jnp.asarray(array) for array in (a.x, a.h0, a.U, a.W, a.b))
    variant = f"unroll {unroll}"
    if case.direction == "F":
        run = jax.jit(partial(_forward, unroll))

        def forward() -> Any:
            return jax.block_until_ready(run(x, h0, U, W, b))

        return Contender("jax", forward, lambda out: {"h_last": out[0], "h": out[1]}, variant)

    V, c, targets = (jnp.asarray(array) for array in (a.V, a.c, a.targets))
    run = jax.jit(jax.value_and_grad(partial(_loss, unroll), argnums=range(7)))

    def train() -> Any:
        return jax.block_until_ready(run(x, h0, U, W, b, V, c, targets))

    names = ("dx", "dh0", "dU", "dW", "db", "dV", "dc")
    return Contender(
        "jax", train, lambda out: {"loss": out[0], **dict(zip(names, out[1], strict=True))}, variant
    )
