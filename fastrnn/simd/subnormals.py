"""Subnormal numbers as zeros, for a stretch of a kernel; what it is for stands in `fastrnn.simd`.

The numbers below 1e-38 (float32) or 1e-308 (float64) have fewer digits, and many processors take a
hundred cycles for each. Gradients that vanish over many steps are made of them. Every processor has
a control word with bits that say: take them, and return them, as zeros.

The word belongs to the thread, and to everything that runs in it: a kernel that flushes must
restore, on every way out, or its caller's arithmetic changes.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["build_flush", "build_restore", "flush_subnormals", "restore_subnormals"]

_WORD = ir.IntType(64)  # wide enough for each processor's control word
# The bits of each control word that stand for results and for operands.
_X86_FLUSH = 0x8000 | 0x0040
_ARM_FLUSH = 1 << 24  # for both


def _architecture(builder: Any) -> str:
    """Return the first part of the target triple: what is compiled for need not run here."""
    name = str(builder.module.triple).partition("-")[0]
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call an LLVM function; loads and stores stay on their side of it.

    LLVM takes it that arithmetic feels no control word. What it then could still move across is
    held by memory: a fence for one thread is no instruction, but no load or store passes it.
    """
    types_of = [argument.type for argument in arguments]
    function_type = ir.FunctionType(result, types_of)
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    builder.fence("seq_cst", "singlethread")
    value = builder.call(function, arguments)
    builder.fence("seq_cst", "singlethread")
    return value


def _x86_slot(builder: Any) -> tuple[Any, Any]:
    """Return a place for the word, which x86 moves to and from memory only; and as bytes."""
    slot = cgutils.alloca_once(builder, ir.IntType(32))
    return slot, builder.bitcast(slot, ir.IntType(8).as_pointer())


def build_flush(builder: Any) -> Any:
    """Add the instructions of `flush_subnormals` for the module's target; return the old word."""
    architecture = _architecture(builder)
    if architecture == "x86_64":
        slot, address = _x86_slot(builder)
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), address)
        before = builder.load(slot)
        builder.store(builder.or_(before, before.type(_X86_FLUSH)), slot)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), address)
        return builder.zext(before, _WORD)
    if architecture == "aarch64":
        before = _call(builder, "llvm.aarch64.get.fpcr", _WORD)
        flushing = builder.or_(before, _WORD(_ARM_FLUSH))
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), flushing)
        return before
    return _WORD(0)


def build_restore(builder: Any, word: Any) -> None:
    """Add the instructions of `restore_subnormals` for the module's target."""
    architecture = _architecture(builder)
    if architecture == "x86_64":
        slot, address = _x86_slot(builder)
        builder.store(builder.trunc(word, ir.IntType(32)), slot)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), address)
    elif architecture == "aarch64":
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), word)


@intrinsic
def flush_subnormals(context: Any) -> Any:
    """Let this thread take subnormal numbers as zeros; return the control word before.

    What is computed from loaded numbers and stored again is so from here on. A scalar that is
    stored nowhere may be computed earlier or later than it stands.
    """
    return types.int64(), lambda context, builder, signature, arguments: build_flush(builder)


@intrinsic
def restore_subnormals(context: Any, mode: Any) -> Any:
    """Put back the control word that `flush_subnormals` returned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        build_restore(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate
