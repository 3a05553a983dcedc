"""Facts about the installation and the machine, for people and for reports."""

import importlib.util
import os
import platform
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np

import fastrnn
from fastrnn.threads import thread_count

__all__ = ["cuda_status", "describe"]

# Features as LLVM spells them, and the bits of their vectors (sve: at least); the widest first.
_FEATURES = {
    "avx512f": 512,
    "avx2": 256,
    "fma": 128,
    "avx": 256,
    "sse4.2": 128,
    "sse2": 128,
    "sve": 128,
    "neon": 128,
}


def describe(*, cuda: bool = False) -> dict[str, Any]:
    """Return versions, processor, threads and GPU, in a form that JSON can hold.

    Parameters
    ----------
    cuda : bool
        Whether to look for a GPU too. This imports ``numba.cuda`` where numba-cuda is installed,
        which takes time and which nothing on the CPU needs.

    Returns
    -------
    dict
        The keys fastrnn, python, numpy, numba, llvmlite (versions), system, processor, features
        (list of str, the SIMD instructions that Numba may use), vector_bits (of the widest
        vector, 0 where LLVM cannot tell), cores (usable by this process), threads (that a call
        uses by default) and, where asked for, cuda (a sentence).

    Raises
    ------
    ValueError
        If the environment variable ``FASTRNN_NUM_THREADS`` is no integer >= 1.

    Examples
    --------
    >>> from fastrnn.environment import describe
    >>> describe()["threads"] >= 1
    True
    """
    features = _features()
    facts = {
        "fastrnn": fastrnn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "features": features,
        "vector_bits": max((_FEATURES[name] for name in features), default=0),
        "cores": _usable_cores(),
        "threads": thread_count(),
    }
    if cuda:
        facts["cuda"] = cuda_status()
    return facts


def _processor() -> str:
    """Return the processor's full name where Linux tells it, and LLVM's name for its kind."""
    kind = str(llvm.get_host_cpu_name())
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line[:10] == "model name"]
    except OSError:
        names = []
    return f"{names[0]} ({kind})" if names else kind


def _features() -> list[str]:
    try:
        has = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on this system
        return []
    return [name for name in _FEATURES if has.get(name)]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cuda_status() -> str:
    """Return whether Numba can use a GPU here, and what is missing if not."""
    if importlib.util.find_spec("numba_cuda") is None:
        return 'not available: the package numba-cuda is missing (pip install "fastrnn[cuda]")'
    try:
        from numba import cuda

        if cuda.is_available():
            name = cuda.get_current_device().name
            return f"available: {name.decode() if isinstance(name, bytes) else name}"
    except Exception as error:  # noqa: BLE001 (a broken GPU installation raises anything)
        first = (str(error).strip().splitlines() or ["no message"])[0]
        return f"not available: {type(error).__name__} from numba.cuda ({first})"
    return "not available: no GPU, or no driver for it"
