"""Vectors as small NumPy arrays: the twin of the compiled files for ``NUMBA_DISABLE_JIT=1``.

One source for speed, debugging and coverage; what the functions are for stands in `fastrnn.simd`.
"""

from typing import Any

import numpy as np

# Narrow, so that small tests reach every edge.
VECTOR_BYTES = 16


def lanes(array: Any) -> int:
    """Return how many of the array's numbers a vector holds."""
    return VECTOR_BYTES // array.itemsize


def is_single(vec: Any) -> bool:
    """Return whether the lanes are float32."""
    return bool(vec.dtype == np.float32)


def broadcast(x: Any) -> Any:
    """Return the scalar x in every lane."""
    return np.full(VECTOR_BYTES // np.dtype(type(x)).itemsize, x)


def like(vec: Any, x: Any) -> Any:
    """Return the scalar x, converted to the type of vec's lanes, in every lane."""
    return np.full_like(vec, x)


def load(array: Any, index: int) -> Any:
    """Return a vector of consecutive numbers."""
    return load_part(array, index, lanes(array))


def store(array: Any, index: int, vec: Any) -> None:
    """Write a vector to consecutive numbers of the array."""
    store_part(array, index, vec, lanes(array))


def load_part(array: Any, index: int, count: int) -> Any:
    """Return a vector of `count` consecutive numbers, and zeros."""
    vec = np.zeros(lanes(array), array.dtype)
    count = max(0, min(count, vec.size))
    vec[:count] = array.ravel(order="K")[index : index + count]
    return vec


def load_filled(array: Any, index: int, count: int, fill: Any) -> Any:
    """Return a vector of `count` consecutive numbers, its other lanes those of `fill`."""
    return np.where(np.arange(fill.size) < count, load_part(array, index, count), fill)


def store_part(array: Any, index: int, vec: Any, count: int) -> None:
    """Write a vector's first `count` lanes."""
    count = max(0, min(count, vec.size))
    array.reshape(-1)[index : index + count] = vec[:count]


def lane_sum(vec: Any) -> Any:
    """Return the sum of all lanes."""
    return vec.sum()


def lane_max(vec: Any) -> Any:
    """Return the largest number of all lanes that is not NaN."""
    return np.fmax.reduce(vec)


def lane(vec: Any, index: int) -> Any:
    """Return the number in one lane."""
    return vec[index]


def fma(x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z, rounded twice."""
    return x * y + z


def absolute(vec: Any) -> Any:
    """Return abs(vec)."""
    return np.abs(vec)


def copysign(size: Any, sign: Any) -> Any:
    """Return the size of one vector with the sign of another."""
    return np.copysign(size, sign)


def minimum(x: Any, y: Any) -> Any:
    """Return the smaller of two vectors; NaN in x stays NaN."""
    return np.where(x > y, y, x)


def maximum(x: Any, y: Any) -> Any:
    """Return the larger of two vectors; NaN in x stays NaN."""
    return np.where(x < y, y, x)


def if_negative(x: Any, yes: Any, no: Any) -> Any:
    """Return, lane by lane, `yes` where x < 0 and `no` elsewhere."""
    return np.where(x < 0, yes, no)


def power_of_two(shifted: Any) -> Any:
    """Return 2**n from shifted = n + 1.5 * 2**(bits of the mantissa), n integral."""
    integer, bias, mantissa = (np.int32, 127, 23) if is_single(shifted) else (np.int64, 1023, 52)
    return ((shifted.view(integer) + integer(bias)) << integer(mantissa)).view(shifted.dtype)


def item(array: Any, index: int) -> Any:
    """Return one number of the array."""
    return array.reshape(-1)[index]


def registers(value: Any, count: int) -> list[Any]:
    """Return `count` registers that each hold `value`."""
    return [value] * count


def get(regs: list[Any], index: int) -> Any:
    """Return what one of the registers holds."""
    return regs[index]


def put(regs: list[Any], index: int, value: Any) -> None:
    """Let one of the registers hold `value`."""
    regs[index] = value


def square(vec: Any) -> list[Any]:
    """Return as many registers as the vector has lanes, all holding it."""
    return [vec] * vec.size


def transpose(regs: list[Any]) -> None:
    """Swap, in a `square`, lane j of register i with lane i of register j."""
    regs[:] = np.array(regs).T.copy()


def flush_subnormals() -> int:
    """Do nothing: Python cannot set the processor's control word."""
    return 0


def restore_subnormals(mode: int) -> None:
    """Do nothing, as `flush_subnormals` did."""
