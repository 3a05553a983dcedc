"""Ground floor: vectors of the processor as values in a kernel. All LLVM of the project lives here.

A processor adds and multiplies many numbers with one instruction: 16 float32 with registers of 512
bits, 8 with 256, 4 with 128. LLVM, which turns a kernel into machine code, finds such instructions
in simple loops by itself; but it stops at half the width of many machines, and it has no vector
form of exp or tanh. So an inner loop can say it itself, in a few words:

    v = load(array, i)                  # the numbers array.flat[i : i + lanes(array)]
    v = fma(v, broadcast(factor), v)    # v * factor + v in every lane
    store(array, i, v)

`v` is a Numba value of the type `Vec`; in LLVM's terms it is of the type ``<16 x float>``, say, and
it lives in one register. Each function here is one LLVM instruction or a handful, put into the
kernel's code by `numba.extending.intrinsic`.

`vec.py` holds these functions for compiled code, `plain.py` the same ones for plain Python, used
with ``NUMBA_DISABLE_JIT=1``: a vector is then a small NumPy array. On them stand `functions.py`
(exp, tanh and sigmoid), `tile.py` and `packing.py` (the inner loop of a matrix product), `team.py`
(threads that wait for each other). `register_set.py` holds the registers of a tile. `subnormals.py`
lets a stretch of a kernel take subnormal numbers as zeros:

    mode = flush_subnormals()           # for this thread
    ...
    restore_subnormals(mode)            # on every way out, or the caller's arithmetic changes

Indices count elements of a C-contiguous array of any rank; nothing checks them.
"""

import importlib
from typing import Any

import numba

_PLAIN = numba.config.DISABLE_JIT  # type: ignore[attr-defined]
_vectors: Any = importlib.import_module("fastrnn.simd.plain" if _PLAIN else "fastrnn.simd.vec")
_registers: Any = importlib.import_module(
    "fastrnn.simd.plain" if _PLAIN else "fastrnn.simd.register_set"
)
_modes: Any = importlib.import_module("fastrnn.simd.plain" if _PLAIN else "fastrnn.simd.subnormals")

VECTOR_BYTES: int = _vectors.VECTOR_BYTES
REGISTERS: int = 32 if VECTOR_BYTES == 64 else 16
absolute = _vectors.absolute
broadcast = _vectors.broadcast
copysign = _vectors.copysign
flush_subnormals = _modes.flush_subnormals
fma = _vectors.fma
get = _registers.get
if_negative = _vectors.if_negative
is_single = _vectors.is_single
item = _vectors.item
lane = _vectors.lane
lane_max = _vectors.lane_max
lane_sum = _vectors.lane_sum
lanes = _vectors.lanes
like = _vectors.like
load = _vectors.load
load_filled = _vectors.load_filled
load_part = _vectors.load_part
maximum = _vectors.maximum
minimum = _vectors.minimum
power_of_two = _vectors.power_of_two
put = _registers.put
registers = _registers.registers
square = _registers.square
restore_subnormals = _modes.restore_subnormals
store = _vectors.store
store_part = _vectors.store_part
transpose = _registers.transpose

__all__ = [
    "REGISTERS",
    "VECTOR_BYTES",
    "absolute",
    "broadcast",
    "copysign",
    "flush_subnormals",
    "fma",
    "get",
    "if_negative",
    "is_single",
    "item",
    "lane",
    "lane_max",
    "lane_sum",
    "lanes",
    "like",
    "load",
    "load_filled",
    "load_part",
    "maximum",
    "minimum",
    "power_of_two",
    "put",
    "registers",
    "restore_subnormals",
    "square",
    "store",
    "store_part",
    "transpose",
]
