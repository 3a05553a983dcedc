"""Time that a new process needs: to import, and for its first call, compiled or from the cache."""

from benchmarks.calls import call

_ARRAYS = """
import numpy as np
import fastrnn
x, U = np.ones((3, 1, 2), np.float32), np.full((1, 2), 0.5, np.float32)
W, b = np.zeros((1, 1), np.float32), np.zeros(1, np.float32)
"""
_CALL = """
h = fastrnn.elman_forward(x, U, W, b).h
assert abs(float(h[2, 0, 0]) - 0.76159416) < 1e-6, h
"""
_EMPTY_CACHE = """
import os
import tempfile
folder = tempfile.TemporaryDirectory()
os.environ["NUMBA_CACHE_DIR"] = folder.name
"""


class Import:
    """``import`` in a new process, NumPy and Numba included."""

    version = "1"
    timeout = 300.0
    rounds = 2
    number = 1
    repeat = (4, 5, 20.0)

    def timeraw_fastrnn(self) -> str:
        return "import fastrnn"

    def timeraw_tdnn(self) -> str:
        return "import tdnn"


class FirstCallCold:
    """The first call of `fastrnn.elman_forward` where nothing was compiled before."""

    version = "1"
    timeout = 600.0
    rounds = 1
    number = 1
    repeat = (3, 3, 60.0)
    warmup_time = 0.0

    def timeraw_elman_forward(self) -> tuple[str, str]:
        return _CALL, _EMPTY_CACHE + _ARRAYS


class FirstCallCached:
    """The same in a process after the one that compiled."""

    version = "1"
    timeout = 300.0
    rounds = 2
    number = 1
    repeat = (4, 5, 20.0)

    def setup(self) -> None:
        """Compile in this process; the timed ones are others."""
        call("elman forward", "one", "float32")

    def timeraw_elman_forward(self) -> tuple[str, str]:
        return _CALL, _ARRAYS
