"""Threads that work on one recurrence together, and wait for each other after each step.

No lock and no call of the system: each member counts itself in and looks at the count until all
have come, some hundred nanoseconds. A member whose core was taken away would hold up the others, so
those give theirs to whoever needs it after a while.
"""

import ctypes
import os
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastrnn.jit import part

__all__ = ["TEAMS", "alone", "give_up", "meet"]

# Plain Python works without teams.
TEAMS = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
# More arrivals than any recurrence has.
_ALL_HAVE_COME = 2**62
# Looks at the count, each of some ten nanoseconds, before the core is offered to others.
_LOOKS = 2_000


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return context.make_array(signature.args[0])(context, builder, arguments[0]).data


@intrinsic
def _count_in(context: Any, arrivals: Any) -> Any:
    """Add 1 to arrivals[0] in one piece; what was stored before is seen by who sees the count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "acq_rel")
        return context.get_dummy_value()

    return types.void(arrivals), generate


@intrinsic
def _look(context: Any, arrivals: Any) -> Any:
    """Return arrivals[0] as it is now, and let what is loaded next be no older."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(arrivals), generate


@intrinsic
def _pause(context: Any) -> Any:
    """Tell an x86 processor that this is a loop that waits; elsewhere do nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if str(builder.module.triple).startswith("x86_64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), generate


def _nothing() -> int:
    return 0


if not TEAMS:
    _offer_core: Any = _nothing  # nobody to wait for
elif os.name == "posix" and hasattr(ctypes.CDLL(None), "sched_yield"):
    _offer_core = types.ExternalFunction("sched_yield", types.int32())
else:
    _offer_core = part(_nothing)


@part
def meet(arrivals, members, times):
    """Wait until each of the members has met for the `times`-th time: 1, 2, ...

    arrivals: 16 zeros at the start, int64; the first counts arrivals, the last how often a member
    waited so long that it offered its core to others.
    """
    if members == 1:
        return
    _count_in(arrivals)
    looks = 0
    while _look(arrivals) < members * times:
        looks += 1
        if looks % _LOOKS == 0:
            arrivals[15] += 1
            _offer_core()
        else:
            _pause()


@part
def alone():
    """Return the `arrivals` of a team of one."""
    return np.empty(0, np.int64)


def give_up(arrivals: NDArray[np.int64]) -> None:
    """Let nobody wait any more, now or later: a member has failed, and what they compute is void.

    Called from Python, while the others run.
    """
    arrivals[0] = _ALL_HAVE_COME
