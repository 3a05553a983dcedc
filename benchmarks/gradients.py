"""Gradient errors against the yardstick in float64, and results whose bits are not fixed.

A value is error / tolerance, at least 0.1 (asv takes a 0 for nothing measured); an error above the
tolerance is a failure.
"""

from typing import Any

import numpy as np

from benchmarks.calls import error_of, job
from benchmarks.shapes import DTYPES

__all__ = ["Determinism", "GradientError"]

LEAST = 0.1
GRADIENTS = (
    "elman backward/batch",
    "elman backward/ragged",
    "jordan backward, forced/batch",
    "jordan backward, free/batch",
    "tdnn backward/tdnn",
    "softmax cross entropy/outputs",
    "sigmoid cross entropy/outputs",
    "squared error/outputs",
)


class GradientError:
    """The largest norm-wise error of all gradients that a kernel returns."""

    version = "1"
    timeout = 300.0
    unit = "error / tolerance"
    params = (GRADIENTS, DTYPES)
    param_names = ("kernel", "dtype")

    def track_error(self, kernel: str, dtype: str) -> float:
        name, shape = kernel.split("/")
        return max(float(error_of(job(name, shape, dtype), dtype)), LEAST)


class Determinism:
    """Arrays whose bits change with the number of threads, or from call to call."""

    version = "1"
    timeout = 300.0
    unit = "arrays"
    params = (("elman forward/wide", "elman backward/wide", "tdnn backward/tdnn-wide"),)
    param_names = ("kernel",)

    def track_mismatches(self, kernel: str) -> float:
        name, shape = kernel.split("/")
        first = _bits(job(name, shape, "float32", 1).run())
        pooled = job(name, shape, "float32", 2)
        for got in (pooled.run(), pooled.run(), pooled.run()):
            changed = sum(one != other for one, other in zip(first, _bits(got), strict=True))
            if changed:
                raise ValueError(f"{kernel}: expected the same bits, {changed} arrays changed")
        return LEAST


def _bits(results: Any) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in results]
