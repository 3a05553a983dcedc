"""What kernels may use beyond plain Python: numba-cuda's `cuda`, and PTX that it does not offer.

The only file with inline assembly, and with `launching` the only one that knows the compiler. It
imports without numba-cuda; then `cuda` and the functions below are names only, which the emulator
of the tests knows how to stand in for.

Arrays are raw pointers in a compiled kernel, or shared or local arrays; indices are not checked.
"""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

__all__ = [
    "as_double",
    "as_float",
    "copy16",
    "cuda",
    "device_function",
    "load16_words",
    "missing",
    "store_strong",
]


class _Nothing:
    """Stands for `numba.cuda` where it is not installed."""


def _find() -> tuple[Any, str]:
    """Return numba-cuda's module and "", or a stand-in and why there is none."""
    # Numba still carries an old `numba.cuda` of its own, which is not meant here.
    if importlib.util.find_spec("numba_cuda") is None:
        return _Nothing(), "numba-cuda is not installed"
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        return _Nothing(), "NUMBA_ENABLE_CUDASIM replaces numba-cuda by its simulator"
    try:
        from numba import cuda as found
    except Exception as error:  # noqa: BLE001 (versions that do not fit raise anything)
        return _Nothing(), f"numba-cuda cannot be imported ({type(error).__name__}: {error})"
    if getattr(found, "implementation", "") != "NVIDIA":
        return _Nothing(), "numba.cuda is not that of numba-cuda"
    return found, ""


cuda, missing = _find()
if not missing:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic


def device_function(function: Callable[..., Any]) -> Any:
    """Make `function` callable from kernels, inlined there."""
    return function if missing else cuda.jit(device=True, forceinline=True)(function)


def _intrinsic(function: Callable[..., Any]) -> Any:
    return function if missing else intrinsic(function)


def _address(context: Any, builder: Any, kind: Any, array: Any, index_kind: Any, index: Any) -> Any:
    """Return the address of an element of a raw pointer or of an array."""
    offset = context.cast(builder, index, index_kind, types.intp)
    if isinstance(kind, types.CPointer):
        return builder.gep(array, [offset])
    return builder.gep(context.make_array(kind)(context, builder, value=array).data, [offset])


@_intrinsic
def copy16(typingctx: Any, target: Any, at: Any, source: Any, index: Any) -> Any:
    """Copy 16 bytes, ``target[at:]`` from ``source[index:]``, both aligned to 16 bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        to = _address(context, builder, kinds[0], args[0], kinds[1], args[1])
        where = _address(context, builder, kinds[2], args[2], kinds[3], args[3])
        element = where.type.pointee
        vector = ir.VectorType(element, 4 if element == ir.FloatType() else 2).as_pointer()
        value = builder.load(builder.bitcast(where, vector), align=16)
        builder.store(value, builder.bitcast(to, vector), align=16)
        return context.get_dummy_value()

    return types.void(target, at, source, index), codegen


@_intrinsic
def load16_words(typingctx: Any, words: Any, at: Any, source: Any, index: Any) -> Any:
    """Read 16 bytes ``source[index:]`` that other blocks may write into ``words[at : at + 4]``.

    words is a local array of int32. Each word is read as a whole, never from a stale cache, and
    again at every call.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, word = signature.args, ir.IntType(32)
        where = _address(context, builder, kinds[2], args[2], kinds[3], args[3])
        result = ir.LiteralStructType([word] * 4)
        load = ir.InlineAsm(
            ir.FunctionType(result, [where.type]),
            "ld.relaxed.gpu.global.v4.b32 {$0,$1,$2,$3}, [$4];", "=r,=r,=r,=r,l,~{memory}",
            side_effect=True,
        )  # fmt: skip
        read = builder.call(load, [where])
        to = _address(context, builder, kinds[0], args[0], kinds[1], args[1])
        for k in range(4):
            place = builder.gep(to, [ir.Constant(ir.IntType(64), k)])
            builder.store(builder.extract_value(read, k), place)
        return context.get_dummy_value()

    return types.void(words, at, source, index), codegen


@_intrinsic
def store_strong(typingctx: Any, target: Any, at: Any, value: Any) -> Any:
    """Store a number in global memory so that other blocks' `load16_words` see it, and whole."""
    kind = target.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, single = signature.args, kind == types.float32
        to = _address(context, builder, kinds[0], args[0], kinds[1], args[1])
        store = ir.InlineAsm(
            ir.FunctionType(ir.VoidType(), [to.type, context.get_value_type(kind)]),
            f"st.relaxed.gpu.global.f{32 if single else 64} [$0], $1;",
            f"l,{'f' if single else 'd'},~{{memory}}", side_effect=True,
        )  # fmt: skip
        builder.call(store, [to, args[2]])
        return context.get_dummy_value()

    return types.void(target, at, kind), codegen


@_intrinsic
def as_float(typingctx: Any, word: Any) -> Any:
    """Return the float32 of the bits of an int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@_intrinsic
def as_double(typingctx: Any, low: Any, high: Any) -> Any:
    """Return the float64 of the bits of two int32, the lower half first."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = ir.IntType(64)
        halves = [builder.zext(half, whole) for half in args]
        bits = builder.or_(halves[0], builder.shl(halves[1], ir.Constant(whole, 32)))
        return builder.bitcast(bits, ir.DoubleType())

    return types.float64(types.int32, types.int32), codegen
