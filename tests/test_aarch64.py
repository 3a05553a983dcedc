"""AArch64 without such a machine: the kernels' LLVM code is lowered for it, and looked at.

What cannot be seen so is whether the machine code computes the right numbers; the tests that run it
do, on such a machine.
"""

import os
import platform
import re
import subprocess
import sys
import textwrap

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from fastrnn.simd import subnormals

TARGET = "aarch64-unknown-linux-gnu"
on_x86 = pytest.mark.skipif(
    platform.machine().lower() not in {"x86_64", "amd64"}, reason="compiles for x86-64 first"
)
# A kernel must not call these: it has instructions for them, or vector code of its own.
FORBIDDEN = re.compile(r"(fma|exp|tanh)f?|__\w+")


def machine():
    """Return LLVM's code generator for AArch64."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        return llvm.Target.from_triple(TARGET).create_target_machine(opt=3)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite has no AArch64: {error}")


def assembly(source):
    """Return the instructions, as lines, that LLVM code becomes; an object file comes out too."""
    target = machine()
    module = llvm.parse_assembly(source)
    module.verify()
    lines = [line.strip() for line in target.emit_assembly(module).splitlines()]
    code = target.emit_object(module)
    assert code[:4] == b"\x7fELF"
    assert int.from_bytes(code[18:20], "little") == 183  # the number of AArch64 in ELF's header
    return lines


def retargeted(source):
    """Return a kernel's LLVM code for AArch64 instead of the machine that compiled it.

    Functions that only x86 has (counting references, the control word) become unknown ones, which
    are called but not looked into.
    """
    layout = machine().target_data
    source = re.sub("^target triple = .*$", f'target triple = "{TARGET}"', source, flags=re.M)
    source = re.sub(
        "^target datalayout = .*$", f'target datalayout = "{layout}"', source, flags=re.M
    )
    source = re.sub(r'"target-(cpu|features)"="[^"]*"|"tune-cpu"="[^"]*"', "", source)
    return source.replace("@llvm.x86.", "@x86.").replace(" immarg", "")


# Runs in a process whose vectors have 128 bits, as those of AArch64 have, and which LLVM may abort.
LOWER = """
    import sys
    import numpy as np
    import fastrnn, tdnn
    from fastrnn.jit import kernel
    from fastrnn import simd
    from fastrnn.simd.functions import exp, sigmoid, tanh
    from test_aarch64 import assembly, forbidden_calls, fused, retargeted

    assert simd.VECTOR_BYTES == 16

    @kernel
    def everything(x, y, out):
        mode = simd.flush_subnormals()
        factor = simd.broadcast(y[0])
        for i in range(0, x.size, simd.lanes(x)):
            a, b = simd.load(x, i), simd.load(y, i)
            chosen = simd.if_negative(exp(a), tanh(b), sigmoid(a))
            bounded = simd.minimum(simd.maximum(a, b), simd.like(a, 3))
            simd.store(out, i, simd.fma(a, factor, simd.absolute(simd.copysign(chosen, bounded))))
        part = simd.load_part(x, 1, y.size - 3)
        simd.store_part(out, 2, part / factor - simd.power_of_two(part), y.size - 3)
        out[0] = simd.fma(x[0], y[0], simd.lane(part, 0))
        simd.restore_subnormals(mode)

    for dtype in (np.float32, np.float64):
        everything(*np.ones((3, 64), dtype))
    x = np.ones((3, 2, 4), np.float32)
    for body in (fastrnn.Elman(4, 5, rng=0), tdnn.TDNN(4, [(5, (-1, 0))], rng=0)):
        fastrnn.SequenceModel(body, 3, rng=0).loss_and_grad(x, np.zeros((3, 2), int))

    compiled = {everything: "everything"}
    for module in [module for name, module in sys.modules.items() if "kernels" in name]:
        for name, value in vars(module).items():
            if hasattr(value, "inspect_llvm"):
                compiled.setdefault(value, f"{value.__module__}.{name}")
    for kernel, name in compiled.items():
        for signature, source in kernel.inspect_llvm().items():
            lines = assembly(retargeted(source))
            print(name, signature, forbidden_calls(lines), fused(lines), sep=" | ")
"""


def forbidden_calls(lines):
    called = {line.split()[1] for line in lines if re.match(r"(b|bl)\s", line)}
    return " ".join(sorted(name for name in called if FORBIDDEN.fullmatch(name)))


def fused(lines):
    """Return the kinds of vectors, as AArch64 names them, that are multiplied and added at once."""
    return " ".join(
        sorted({kind for line in lines for kind in re.findall(r"^fmla\s+v\d+\.(\w+)", line)})
    )


@pytest.fixture(scope="module")
def lowered():
    """Return (kernel, its signature) -> (forbidden calls, fused vectors)."""
    machine()
    settings = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_DISABLE_JIT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOWER)],
        capture_output=True, text=True, check=False, timeout=900,
        env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = [line.split(" | ") for line in done.stdout.splitlines()]
    return {(name, signature): (calls, kinds) for name, signature, calls, kinds in table}


@on_x86
def test_every_kernel_is_lowered_without_library_calls(lowered):
    names = {name for name, _ in lowered}
    assert {"fastrnn.kernels.elman.forward_part", "tdnn.kernels.backward_rows"} <= names
    assert {key: calls for key, (calls, _) in lowered.items() if calls} == {}


@on_x86
def test_vectors_stay_vectors_and_products_fused(lowered):
    def kinds_in(kernel):
        return {kinds for (name, _), (_, kinds) in lowered.items() if name == kernel}

    assert kinds_in("everything") == {"4s", "2d"}
    assert kinds_in("fastrnn.kernels.elman.forward_part") == {"4s"}


@pytest.mark.parametrize("wrong", ["fma", "fmaf", "exp", "__addtf3"])
def test_a_library_call_would_be_seen(wrong):
    assert forbidden_calls([f"bl\t{wrong}", f"b\t{wrong}", "b.ne\t.LBB0_1"]) == wrong


def multiply_flushed(triple):
    """Return LLVM code for a target: one product between flush and restore."""
    module = ir.Module()
    module.triple = triple
    pointer = ir.FloatType().as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "multiply")
    builder = ir.IRBuilder(function.append_basic_block())
    mode = subnormals.build_flush(builder)
    number = builder.load(function.args[0])
    builder.store(builder.fmul(number, number), function.args[0])
    subnormals.build_restore(builder, mode)
    builder.ret_void()
    return str(module)


def test_subnormals_are_flushed_around_the_product():
    lines = assembly(multiply_flushed(TARGET))
    steps = ("mrs", "orr", "msr", "ldr", "fmul", "str", "msr")
    code = [line for line in lines if line.split("\t")[0] in steps]
    assert [line.split("\t")[0] for line in code] == list(steps)
    before = re.fullmatch(r"mrs\t(x\d+), FPCR", code[0])[1]
    flushing = re.fullmatch(rf"orr\t(x\d+), {before}, #0x1000000", code[1])[1]
    assert code[2] == f"msr\tFPCR, {flushing}"
    assert code[6] == f"msr\tFPCR, {before}"


@pytest.mark.parametrize(
    ("triple", "called"),
    [
        ("x86_64-unknown-linux-gnu", {"llvm.x86.sse.stmxcsr", "llvm.x86.sse.ldmxcsr"}),
        ("arm64-apple-darwin24.0.0", {"llvm.aarch64.get.fpcr", "llvm.aarch64.set.fpcr"}),
        ("riscv64-unknown-linux-gnu", set()),
    ],
)
def test_target_decides_how_subnormals_are_flushed(triple, called):
    assert set(re.findall(r"llvm\.[\w.]+", multiply_flushed(triple))) == called
