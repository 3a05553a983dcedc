"""Time and gradient error on a GPU; skipped where there is none, or FastRNN has no GPU kernels.

The comparison with PyTorch, ``python -m benchmarks.cuda``, is `benchmarks/cuda_peers`.
"""

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from benchmarks import yardstick
from benchmarks.calls import arrays, exact, public, skip
from benchmarks.gradients import LEAST
from benchmarks.shapes import TOLERANCES

_SHAPES = ("batch", "wide")


def _gpu() -> Any:
    """Return `numba.cuda` where it works and FastRNN uses it; quick to say no."""
    if importlib.util.find_spec("numba_cuda") is None:
        raise skip("numba-cuda is not installed")
    if importlib.util.find_spec("fastrnn.cuda") is None:
        raise skip("this version has no GPU kernels")
    try:
        from numba import cuda

        if cuda.is_available():
            return cuda
    except Exception as error:
        raise skip(f"{type(error).__name__} from numba.cuda") from error
    raise skip("there is no GPU")


def _elman(direction: str, shape: str) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Return a call on arrays of the GPU, and what it must give."""
    cuda = _gpu()
    forward, backward = public("fastrnn.elman_forward"), public("fastrnn.elman_backward")
    a = arrays(shape, "float32")
    e = exact(a)
    states, h_last = yardstick.elman(e.x, e.U, e.W, e.b, e.h0)
    dh = np.ascontiguousarray(a.x @ a.U.T)
    x, U, W, b, h0, d = (cuda.to_device(array) for array in (a.x, a.U, a.W, a.b, a.h0, dh))
    h = forward(x, U, W, b, h0).h

    def run() -> Any:
        returned = (
            forward(x, U, W, b, h0) if direction == "forward" else backward(d, x, h, U, W, h0)
        )
        cuda.synchronize()
        return returned

    if direction == "forward":
        return run, {"h": states[1:], "h_last": h_last}
    return run, yardstick.elman_backward(dh.astype(np.float64), e.x, states, e.U, e.W)


def _error(direction: str, shape: str) -> float:
    run, expected = _elman(direction, shape)
    got = {name: np.asarray(array.copy_to_host()) for name, array in run()._asdict().items()}
    return yardstick.largest_error(got, expected, TOLERANCES["float32"]) / TOLERANCES["float32"]


@cache
def _call(direction: str, shape: str) -> Callable[[], Any]:
    _error(direction, shape)
    return _elman(direction, shape)[0]


class Elman:
    """The recurrent layer, arrays on the GPU, float32; until the GPU is done."""

    version = "1"
    timeout = 300.0
    rounds = 2
    repeat = (5, 8, 2.0)
    number = 20
    params = (_SHAPES,)
    param_names = ("shape",)

    def time_forward(self, shape: str) -> None:
        _call("forward", shape)()

    def time_backward(self, shape: str) -> None:
        _call("backward", shape)()


class GradientError:
    """As `benchmarks.gradients.GradientError`, of the GPU's kernels."""

    version = "1"
    timeout = 300.0
    unit = "error / tolerance"
    params = (_SHAPES,)
    param_names = ("shape",)

    def track_error(self, shape: str) -> float:
        return max(float(_error("backward", shape)), LEAST)


if __name__ == "__main__":
    from benchmarks.cuda_peers.__main__ import main

    sys.exit(main())
