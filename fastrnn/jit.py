"""How FastRNN compiles its kernels: two decorators, used on every floor that is compiled.

`kernel` is Numba's `njit` with this library's options. `part` is for a function that other kernels
call: within them it costs only a fraction of the time to compile.

For each function Numba makes, beside the code that other compiled functions call, machine code and
wrappers to call it from Python and from C, and a file in the cache. A first call of an Elman
network compiles some fifty functions, of which Python calls three. So a `part` that is called from
compiled code is only translated to LLVM and linked into its caller, which alone becomes machine
code. Called from Python, as tests do, it is compiled as a kernel.
"""

from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.types import unliteral

__all__ = ["inlined", "kernel", "part"]

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_PLAIN = numba.config.DISABLE_JIT  # type: ignore[attr-defined]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` lazily with Numba, without the GIL, cached on disk where possible.

    ``error_model="numpy"`` makes a division by zero give inf or NaN, as in NumPy; the checked
    division of Python would also keep LLVM from using vector instructions.

    Where neither the package's folder nor the user's cache folder can be written (a read-only
    install), Numba refuses to cache: such a kernel is compiled anew in each process.
    """
    try:
        compiled = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # "cannot cache function ...: no locator available for file ..."
        compiled = numba.njit(**_OPTIONS)(function)
    if not _PLAIN:
        _answer_calls_by(compiled, compiled)
    return compiled


def part(function: Callable[..., Any]) -> Any:
    """Compile `function` as `kernel` does; within other kernels, only link it into them."""
    return _part(function, forceinline=False)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile as a `part` that LLVM must inline: an inner loop, called in one place."""
    return _part(function, forceinline=True)


def _part(function: Callable[..., Any], **options: Any) -> Any:
    compiled = kernel(function)
    if not _PLAIN:
        linked = numba.njit(pipeline_class=_LinkedOnly, **_OPTIONS, **options)(function)
        # Numba's own would register machine code for calls from Python, and there is none.
        linked.add_overload = lambda result: linked.overloads.update(
            {tuple(result.signature.args): result}
        )
        _answer_calls_by(compiled, linked)
    return compiled


def _answer_calls_by(compiled: Any, answering: Any) -> None:
    """Let calls of `compiled` from compiled code use what `answering` makes of the function.

    And let calls that differ only in constants share it: for ``f(x, 0)``, and at first for every
    variable that begins as 0, Numba would compile `f` anew, for that very number.
    """
    template = type(compiled).get_call_template
    overload = type(compiled).get_overload

    def get_call_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        named = {name: unliteral(kind) for name, kind in kws.items()}
        return template(answering, tuple(map(unliteral, args)), named)

    compiled.get_call_template = get_call_template
    compiled.get_overload = lambda signature: overload(answering, signature)


@register_pass(mutates_CFG=False, analysis_only=False)
class _AnnounceLinkedOnly(LoweringPass):
    """Makes a function without machine code known to those that call it."""

    _name = "announce_linked_only"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        name = object()  # calls are looked up by this; for a kernel it is its machine code
        state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=name)
        return True


class _LinkedOnly(CompilerBase):
    """Numba's compiler, up to the function's LLVM code."""

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, return_type: Any,
        flags: Any, locals: Any,  # noqa: A002 (Numba's name)
    ) -> None:  # fmt: skip
        flags.no_compile = flags.no_cpython_wrapper = True
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_AnnounceLinkedOnly, NativeLowering)
        passes.finalize()
        return [passes]
