"""Registers that a function works in, as one Numba value; see `fastrnn.simd`.

A tile's sums are a dozen vectors that a loop goes through by number. A Python list of them would
live in memory; these live in the processor's registers.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

__all__ = ["get", "put", "registers", "square", "transpose"]


class Registers(types.Type):
    """A fixed number of values of one type that a function works on in its registers.

    To Numba they are a place on the stack; LLVM moves each value into a register of its own, once
    it has unrolled the loops over their numbers.
    """

    def __init__(self, value: Any, count: int) -> None:
        self.value, self.count = value, count
        super().__init__(f"Registers({value}, {count})")


@register_model(Registers)
class _RegistersModel(models.PrimitiveModel):
    """Says that the address of the first value represents Registers."""

    def __init__(self, manager: Any, regs: Any) -> None:
        super().__init__(manager, regs, manager.lookup(regs.value).get_value_type().as_pointer())


def _index(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


def _alloca(builder: Any, value: Any, count: int) -> Any:
    """Return the address of `count` places on the stack that each hold `value`."""
    first = cgutils.alloca_once(builder, value.type, ir.Constant(ir.IntType(32), count))
    for i in range(count):
        builder.store(value, builder.gep(first, [_index(i)]))
    return first


@intrinsic
def registers(context: Any, value: Any, count: Any) -> Any:
    """Return `count` registers, a constant, that each hold `value`."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    result = Registers(types.unliteral(value), count.literal_value)
    return result(result.value, count), lambda c, builder, s, a: _alloca(
        builder, a[0], result.count
    )


@intrinsic
def get(context: Any, regs: Any, index: Any) -> Any:
    """Return what one of the registers holds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.gep(arguments[0], [arguments[1]]))

    return regs.value(regs, types.intp), generate


@intrinsic
def put(context: Any, regs: Any, index: Any, value: Any) -> Any:
    """Let one of the registers hold `value`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], builder.gep(arguments[0], [arguments[1]]))
        return context.get_dummy_value()

    return types.void(regs, types.intp, regs.value), generate


@intrinsic
def square(context: Any, vec: Any) -> Any:
    """Return as many registers as the vector has lanes, all holding it."""
    result = Registers(vec, vec.lanes)
    return result(vec), lambda c, builder, s, a: _alloca(builder, a[0], vec.lanes)


@intrinsic
def transpose(context: Any, regs: Any) -> Any:
    """Swap, in a `square`, lane j of register i with lane i of register j.

    In log2(lanes) rounds: round s swaps the off-diagonal quarters of each block of 2s by 2s.
    """
    vec = regs.value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = [builder.gep(arguments[0], [_index(i)]) for i in range(vec.lanes)]
        rows = [builder.load(place) for place in places]
        numbers = ir.VectorType(ir.IntType(32), vec.lanes)
        half = 1
        while half < vec.lanes:
            # In a shuffle of two vectors, lane `lanes + i` is lane i of the second.
            upper = [i if not i & half else vec.lanes + i - half for i in range(vec.lanes)]
            lower = [i + half if not i & half else vec.lanes + i for i in range(vec.lanes)]
            for i in range(vec.lanes):
                if not i & half:
                    pair = rows[i], rows[i + half]
                    rows[i] = builder.shuffle_vector(*pair, ir.Constant(numbers, upper))
                    rows[i + half] = builder.shuffle_vector(*pair, ir.Constant(numbers, lower))
            half *= 2
        for row, place in zip(rows, places, strict=True):
            builder.store(row, place)
        return context.get_dummy_value()

    return types.void(regs), generate
