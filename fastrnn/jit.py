"""How FastRNN compiles its kernels: one decorator, used on every floor that is compiled."""

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["kernel"]

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` lazily with Numba, without the GIL, cached on disk where possible.

    ``error_model="numpy"`` makes a division by zero give inf or NaN, as in NumPy; the checked
    division of Python would also keep LLVM from using vector instructions.

    Where neither the package's folder nor the user's cache folder can be written (a read-only
    install), Numba refuses to cache: such a kernel is compiled anew in each process.
    """
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # "cannot cache function ...: no locator available for file ..."
        return numba.njit(**_OPTIONS)(function)
