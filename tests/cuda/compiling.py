"""Compiles kernels for GPUs that are not there, and counts what they need.

    found = compiled(kernel, (9, 0))       # Use(registers=..., spills=..., shared=...)

`CAPABILITIES` are those that every kernel must compile for. The tables of all kernels are printed
by ``pytest -s tests/cuda/test_compiling.py``.
"""

import re
import types
from typing import NamedTuple
from unittest import mock

from fastrnn.cuda import launching

CAPABILITIES = [(8, 0), (9, 0), (12, 0)]


class Use(NamedTuple):
    """What one kernel needs on one GPU."""

    registers: int
    """Of each thread."""
    spills: int
    """Bytes that a thread stores to and loads from local memory for want of registers."""
    stack: int
    """Bytes of local memory of a thread, spills included."""
    shared: int
    """Bytes of static shared memory of a block."""
    doubles: int
    """Instructions that compute with float64."""


def ptx_of(kernel, capability=(8, 0)):
    """Return a kernel's PTX code."""
    from numba.cuda import dispatcher

    # numba-cuda asks the GPU for its capability when it compiles a device function.
    device = types.SimpleNamespace(compute_capability=capability)
    with mock.patch.object(dispatcher, "get_current_device", return_value=device):
        return launching.compile_ptx(kernel, capability)


def compiled(kernel, capability, ptx=None):
    """Compile one kernel for a GPU; return its Use."""
    code = ptx_of(kernel) if ptx is None else ptx
    _, report = launching.link(code, capability)

    def most(pattern):
        return max((int(number) for number in re.findall(pattern, report)), default=0)

    return Use(
        most(r"[Uu]sed (\d+) registers"),
        most(r"(\d+) bytes spill stores") + most(r"(\d+) bytes spill loads"),
        most(r"(\d+) bytes stack frame"),
        most(r"(\d+) bytes smem"),
        len(re.findall(r"^\s*(?:@!?%p\d+ )?[a-z0-9.]+\.f64\b", code, re.MULTILINE)),
    )


def table(kernels):
    """Compile named kernels for all CAPABILITIES; return the rows (name, capability, Use)."""
    rows = []
    for name, kernel in kernels.items():
        code = ptx_of(kernel)
        for capability in CAPABILITIES:
            rows.append((name, capability, compiled(kernel, capability, code)))
    return rows


def as_text(rows):
    """Return the rows as lines of a table."""
    lines = [f"{'kernel':44} {'GPU':7}{'registers':>10}{'spills':>8}{'stack':>7}{'shared':>8}"]
    for name, (major, minor), use in rows:
        numbers = f"{use.registers:10}{use.spills:8}{use.stack:7}{use.shared:8}"
        lines.append(f"{name:44} sm_{major}{minor:<3}{numbers}")
    return "\n".join(lines)


def complaints(rows):
    """Return what the rows break: no spills on sm_90, and no float64 in kernels of float32."""
    found = []
    for name, capability, use in rows:
        if capability == (9, 0) and use.spills:
            found.append(f"{name}: {use.spills} bytes of spills on sm_90")
        if "float64" not in name and use.doubles:
            found.append(f"{name}: {use.doubles} float64 instructions")
    return found
