"""On what a run was made: versions, processor, threads. No names of machines, no paths."""

import os
import platform
from pathlib import Path

import llvmlite
import numba
import numpy as np

import fastrnn

__all__ = ["environment"]


def environment(threads: int | None) -> dict[str, str]:
    """Label -> value, as the report shows it.

    Examples
    --------
    >>> from tdnn.compare.environment import environment
    >>> environment(2)["threads"]
    '2'
    """
    return {
        "fastrnn": fastrnn.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count() or "unknown"),
        "threads": str(fastrnn.thread_count(threads)),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
