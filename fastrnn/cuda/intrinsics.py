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
    "copy16",
    "cuda",
    "device_function",
    "load16_words",
    "missing",
    "store16_words",
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

    words is a local array of int32. Each number is read as a whole, never from a stale cache, and
    again at every call.
    """
    single = source.dtype == types.float32

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, part = signature.args, ir.IntType(32 if single else 64)
        where = _address(context, builder, kinds[2], args[2], kinds[3], args[3])
        code, constraints = (
            ("ld.relaxed.gpu.global.v4.b32 {$0,$1,$2,$3}, [$4];", "=r,=r,=r,=r,l,~{memory}")
            if single
            else ("ld.relaxed.gpu.global.v2.b64 {$0,$1}, [$2];", "=l,=l,l,~{memory}")
        )
        shape = ir.FunctionType(ir.LiteralStructType([part] * (4 if single else 2)), [where.type])
        read = builder.call(ir.InlineAsm(shape, code, constraints, side_effect=True), [where])
        parts = [builder.extract_value(read, k) for k in range(4 if single else 2)]
        if not single:
            high = [builder.lshr(part, ir.Constant(part.type, 32)) for part in parts]
            halves = [parts[0], high[0], parts[1], high[1]]
            parts = [builder.trunc(half, ir.IntType(32)) for half in halves]
        to = _address(context, builder, kinds[0], args[0], kinds[1], args[1])
        for k in range(4):
            builder.store(parts[k], builder.gep(to, [ir.Constant(ir.IntType(64), k)]))
        return context.get_dummy_value()

    return types.void(words, at, source, index), codegen


@_intrinsic
def store16_words(typingctx: Any, target: Any, at: Any, words: Any, index: Any) -> Any:
    """Store four int32 ``words[index : index + 4]`` as the 16 bytes at ``target[at:]``, aligned."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, word = signature.args, ir.IntType(32)
        where = _address(context, builder, kinds[2], args[2], kinds[3], args[3])
        vector = ir.Constant(ir.VectorType(word, 4), ir.Undefined)
        for k in range(4):
            place = builder.gep(where, [ir.Constant(ir.IntType(64), k)])
            vector = builder.insert_element(vector, builder.load(place), ir.Constant(word, k))
        to = _address(context, builder, kinds[0], args[0], kinds[1], args[1])
        builder.store(vector, builder.bitcast(to, vector.type.as_pointer()), align=16)
        return context.get_dummy_value()

    return types.void(target, at, words, index), codegen


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
