"""Vectors as Numba values, in LLVM; what they are for stands in `fastrnn.simd`."""

import operator
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, overload, register_model


def _vector_bytes() -> int:
    """Return the widest register that Numba's target, NUMBA_CPU_NAME included, computes with.

    LLVM itself is asked: it compiles one multiplication of 16 floats, and its code names registers.
    """
    source = f"""target triple = "{llvm.get_process_triple()}"
    define void @square(<16 x float>* %p) {{
        %x = load <16 x float>, <16 x float>* %p
        %y = fmul <16 x float> %x, %x
        store <16 x float> %y, <16 x float>* %p
        ret void
    }}"""
    machine = cpu_target.target_context.codegen()._tm
    code = machine.emit_assembly(llvm.parse_assembly(source))
    return 64 if "zmm" in code else 32 if "ymm" in code else 16


VECTOR_BYTES = _vector_bytes()


class Vec(types.Type):
    """As many numbers of one float type as a register holds."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.lanes = dtype, VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vec({dtype}, {self.lanes})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    """Says that LLVM's vector type is a Vec's representation."""

    def __init__(self, manager: Any, vec: Any) -> None:
        super().__init__(manager, vec, ir.VectorType(_scalar(vec.dtype), vec.lanes))


# A generator of code receives Numba's target context, LLVM's builder, the signature and the
# arguments' LLVM values, and returns the result's LLVM value.


def _scalar(dtype: Any) -> Any:
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def _integers(vector: Any) -> Any:
    """Return the type of integers as many and as wide as the numbers of `vector`."""
    width = 32 if isinstance(vector.element, ir.FloatType) else 64
    return ir.VectorType(ir.IntType(width), vector.count)


def _constant(vector: Any, value: Any) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _splat(builder: Any, vector: Any, scalar: Any) -> Any:
    """Return `scalar` in every lane."""
    nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(nothing, scalar, first)
    lanes_of_first = _constant(ir.VectorType(ir.IntType(32), vector.count), 0)
    return builder.shuffle_vector(one, nothing, lanes_of_first)


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return the address of element arguments[1] of the array arguments[0]."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


def _suffix(value: Any) -> str:
    """Return the part of an LLVM function's name that says on which type it works."""
    element = value.element if isinstance(value, ir.VectorType) else value
    bits = 32 if isinstance(element, ir.FloatType) else 64
    return f".v{value.count}f{bits}" if isinstance(value, ir.VectorType) else f".f{bits}"


def _call(name: str) -> Any:
    """Return a generator that calls an LLVM function whose types are all that of its result."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.get_value_type(signature.return_type)
        function_type = ir.FunctionType(value, [value] * len(arguments))
        name_of_type = name + _suffix(value)
        function = cgutils.get_or_insert_function(builder.module, function_type, name_of_type)
        return builder.call(function, arguments)

    return generate


def _mask(builder: Any, vector: Any, count: Any) -> Any:
    """Return a vector of bits that are set in the first `count` lanes."""
    integers = ir.VectorType(ir.IntType(64), vector.count)
    numbers = ir.Constant(integers, list(range(vector.count)))
    return builder.icmp_signed("<", numbers, _splat(builder, integers, count))


@intrinsic
def lanes(context: Any, array: Any) -> Any:
    """Return how many of the array's numbers a vector holds."""
    count = VECTOR_BYTES * 8 // array.dtype.bitwidth
    return types.intp(array), lambda c, b, s, a: ir.Constant(ir.IntType(64), count)


@intrinsic
def is_single(context: Any, vec: Any) -> Any:
    """Return whether the lanes are float32: a constant, so only one branch is compiled."""
    single = ir.Constant(ir.IntType(1), int(vec.dtype == types.float32))
    return types.boolean(vec), lambda c, b, s, a: single


@intrinsic
def broadcast(context: Any, x: Any) -> Any:
    """Return the scalar x in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, context.get_value_type(signature.return_type), arguments[0])

    return Vec(x)(x), generate


@intrinsic
def like(context: Any, vec: Any, x: Any) -> Any:
    """Return the scalar x, converted to the type of vec's lanes, in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vec, x = signature.args
        scalar = context.cast(builder, arguments[1], x, vec.dtype)
        return _splat(builder, context.get_value_type(vec), scalar)

    return vec(vec, x), generate


@intrinsic
def load(context: Any, array: Any, index: Any) -> Any:
    """Return a vector of consecutive numbers; no alignment is needed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(signature.return_type).as_pointer()
        address = builder.bitcast(_address(context, builder, signature, arguments), pointer)
        return builder.load(address, align=signature.args[0].dtype.bitwidth // 8)

    return Vec(array.dtype)(array, types.intp), generate


@intrinsic
def store(context: Any, array: Any, index: Any, vec: Any) -> Any:
    """Write a vector to consecutive numbers of the array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(signature.args[2]).as_pointer()
        address = builder.bitcast(_address(context, builder, signature, arguments), pointer)
        builder.store(arguments[2], address, align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vec), generate


def _load_masked(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Load arguments[2] numbers; other lanes get those of arguments[3], or zero."""
    vector = context.get_value_type(signature.return_type)
    mask = _mask(builder, vector, arguments[2])
    pointer = vector.as_pointer()
    address = builder.bitcast(_address(context, builder, signature, arguments), pointer)
    align = ir.Constant(ir.IntType(32), signature.args[0].dtype.bitwidth // 8)
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [pointer, align.type, mask.type, vector]),
        f"llvm.masked.load{_suffix(vector)}.p0",
    )
    others = arguments[3] if len(arguments) > 3 else _constant(vector, 0.0)
    return builder.call(function, [address, align, mask, others])


@intrinsic
def load_part(context: Any, array: Any, index: Any, count: Any) -> Any:
    """Return a vector of `count` consecutive numbers, and zeros; other memory is not touched."""
    return Vec(array.dtype)(array, types.intp, types.intp), _load_masked


@intrinsic
def load_filled(context: Any, array: Any, index: Any, count: Any, fill: Any) -> Any:
    """Return a vector of `count` consecutive numbers, its other lanes those of `fill`."""
    return fill(array, types.intp, types.intp, fill), _load_masked


@intrinsic
def store_part(context: Any, array: Any, index: Any, vec: Any, count: Any) -> Any:
    """Write a vector's first `count` lanes; other memory is not touched."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.args[2])
        mask = _mask(builder, vector, arguments[3])
        pointer = vector.as_pointer()
        address = builder.bitcast(_address(context, builder, signature, arguments), pointer)
        align = ir.Constant(ir.IntType(32), signature.args[0].dtype.bitwidth // 8)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [vector, pointer, align.type, mask.type]),
            f"llvm.masked.store{_suffix(vector)}.p0",
        )
        builder.call(function, [arguments[2], address, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, vec, types.intp), generate


@intrinsic
def lane(context: Any, vec: Any, index: Any) -> Any:
    """Return the number in one lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(*arguments)

    return vec.dtype(vec, types.intp), generate


@intrinsic
def lane_sum(context: Any, vec: Any) -> Any:
    """Return the sum of all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = arguments[0].type
        kind = ir.FunctionType(vector.element, [vector.element, vector])
        name = f"llvm.vector.reduce.fadd{_suffix(vector)}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        start = ir.Constant(vector.element, -0.0)
        # reassoc: in halves, not lane after lane.
        return builder.call(function, [start, arguments[0]], fastmath=("reassoc",))

    return vec.dtype(vec), generate


@intrinsic
def lane_max(context: Any, vec: Any) -> Any:
    """Return the largest number of all lanes that is not NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = arguments[0].type
        name = f"llvm.vector.reduce.fmax{_suffix(vector)}"
        kind = ir.FunctionType(vector.element, [vector])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, arguments)

    return vec.dtype(vec), generate


@intrinsic
def item(context: Any, array: Any, index: Any) -> Any:
    """Return one number of the array; unlike ``array[index]``, without a look at negative ones."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature, arguments))

    return array.dtype(array, types.intp), generate


@intrinsic
def fma(context: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z of three vectors, or of three floats, of one type.

    Every sum of products in the kernels is one chain ``sum = fma(a[k], b[k], sum)``, k ascending.
    Where the processor has the instruction, each link is rounded once, in a vector's lanes and in
    scalar code alike: so bits do not depend on how rows and columns were blocked.
    """
    if x != y or x != z or not isinstance(x, types.Float | Vec):
        return None
    # Not llvm.fma: without the instruction, that one calls a slow library function.
    return x(x, x, x), _call("llvm.fmuladd")


@intrinsic
def absolute(context: Any, vec: Any) -> Any:
    """Return abs(vec)."""
    return vec(vec), _call("llvm.fabs")


@intrinsic
def copysign(context: Any, size: Any, sign: Any) -> Any:
    """Return the size of one vector with the sign of another."""
    return size(size, sign), _call("llvm.copysign")


@intrinsic
def minimum(context: Any, x: Any, y: Any) -> Any:
    """Return the smaller of two vectors; NaN in x stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y = arguments
        return builder.select(builder.fcmp_ordered(">", x, y), y, x)

    return x(x, y), generate


@intrinsic
def maximum(context: Any, x: Any, y: Any) -> Any:
    """Return the larger of two vectors; NaN in x stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y = arguments
        return builder.select(builder.fcmp_ordered("<", x, y), y, x)

    return x(x, y), generate


@intrinsic
def if_negative(context: Any, x: Any, yes: Any, no: Any) -> Any:
    """Return, lane by lane, `yes` where x < 0 and `no` elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, yes, no = arguments
        return builder.select(builder.fcmp_ordered("<", x, _constant(x.type, 0.0)), yes, no)

    return x(x, x, x), generate


@intrinsic
def power_of_two(context: Any, shifted: Any) -> Any:
    """Return 2**n from shifted = n + 1.5 * 2**(bits of the mantissa), n integral.

    That sum holds n in the low bits of its mantissa: shifted to the exponent, they make 2**n.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        integers = _integers(vector)
        bias, mantissa = (127, 23) if integers.element.width == 32 else (1023, 52)
        number = builder.add(builder.bitcast(arguments[0], integers), _constant(integers, bias))
        return builder.bitcast(builder.shl(number, _constant(integers, mantissa)), vector)

    return shifted(shifted), generate


def _add_operator(function: Any, instruction: str) -> None:
    """Let + - * or / take two vectors, or a vector and a scalar."""

    @intrinsic
    def compute(context: Any, x: Any, y: Any) -> Any:
        return x(x, y), lambda c, builder, s, a: getattr(builder, instruction)(*a)

    @overload(function)
    def _operator(x, y):  # type: ignore[no-untyped-def]  # as in the implementations
        if isinstance(x, Vec) and isinstance(y, Vec):
            return lambda x, y: compute(x, y)
        if isinstance(x, Vec) and isinstance(y, types.Number):
            return lambda x, y: compute(x, like(x, y))
        if isinstance(x, types.Number) and isinstance(y, Vec):
            return lambda x, y: compute(like(y, x), y)
        return None


_add_operator(operator.add, "fadd")
_add_operator(operator.sub, "fsub")
_add_operator(operator.mul, "fmul")
_add_operator(operator.truediv, "fdiv")
