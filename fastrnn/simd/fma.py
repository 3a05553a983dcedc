"""Fused multiply-add of scalars.

Every dot product of the kernels is one chain ``acc = fma(a[k], b[k], acc)`` with k ascending. Where
the processor has the instruction, each link is rounded once, in vector code and in the scalar
code at an edge alike. So a result's bits do not depend on how its neighbours were blocked: not on
the number of threads, and not on which rows share a batch.
"""

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["fma"]


def _fma_python(x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z: what `fma` is while ``NUMBA_DISABLE_JIT=1``, rounded twice."""
    return x * y + z


@intrinsic
def _fma_llvm(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z of three floats of one type."""
    if not isinstance(x, types.Float) or x != y or x != z:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # fmuladd, not fma: without the instruction, llvm.fma calls a slow library function.
        value = arguments[0].type
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(value, [value] * 3), f"llvm.fmuladd.f{x.bitwidth}"
        )
        return builder.call(function, arguments)

    return x(x, x, x), generate


fma = _fma_python if numba.config.DISABLE_JIT else _fma_llvm  # type: ignore[attr-defined]
