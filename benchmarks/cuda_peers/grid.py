"""The grid: what is measured on a GPU, how much work it is, and which figures are to be reached."""

from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = ["GROUPS", "Case", "all_cases", "quick_cases"]

GROUPS = ("elman", "ragged", "float64", "tdnn")

UNITS = (64, 128, 256, 384, 512, 1024, 2048)
BATCHES = (1, 8, 32, 64, 128)
STEPS = (128, 1024)
DIRECTIONS = ("F", "FB")
# m, B, T
_RAGGED = tuple(product((128, 256, 512, 1024), (32, 128), (128, 1024)))
_FLOAT64 = tuple(product((64, 128, 256, 512, 1024), (1, 8, 32, 128), (128,)))
# B, T, channels in, channels out, offsets
_TDNN = (
    (16, 512, 64, 64, (-1, 2)),
    (32, 400, 80, 512, (-2, -1, 0, 1, 2)),
    (32, 400, 512, 512, (-3, 0, 3)),
    (64, 1024, 512, 512, (-2, 0, 2)),
)


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Parameters
    ----------
    group : str
        One of `GROUPS`.
    direction : {"F", "FB"}
        Forward, or forward and backward.
    B, T, p, m : int
        Sequences, steps, features in, units.
    offsets : tuple of int
        Of a TDNN.
    """

    group: str
    direction: str
    B: int
    T: int
    p: int
    m: int
    offsets: tuple[int, ...] = ()

    @property
    def dtype(self) -> str:
        """The type of all floats."""
        return "float64" if self.group == "float64" else "float32"

    @property
    def cell(self) -> str:
        """The sizes as a name, the same for both directions."""
        name = f"{self.m}/{self.B}/{self.T}"
        if self.offsets:
            name += f"/{self.p} (" + ",".join(map(str, self.offsets)) + ")"
        return name

    @property
    def lengths(self) -> np.ndarray | None:
        """Valid steps of each sequence (B,), in [T/4, T]; None where all have T."""
        if self.group != "ragged":
            return None
        return np.random.default_rng(self.B).integers(self.T // 4, self.T + 1, self.B)

    @property
    def frames(self) -> int:
        """Output frames of all sequences together."""
        if self.lengths is not None:
            return int(self.lengths.sum())
        span = max(self.offsets) - min(self.offsets) if self.offsets else 0
        return (self.T - span) * self.B

    @property
    def flops(self) -> int:
        """Floating-point operations that the case cannot do without."""
        width = len(self.offsets) * self.p if self.offsets else self.p + self.m
        forward = 2 * self.frames * self.m * width
        return forward if self.direction == "F" else 3 * forward

    @property
    def bytes(self) -> int:
        """Bytes that must come from or go to the GPU's memory, each array once."""
        size = 8 if self.dtype == "float64" else 4
        weights = self.m * (len(self.offsets) * self.p if self.offsets else self.p + self.m)
        inputs, states = self.T * self.B * self.p, self.frames * self.m
        if self.direction == "F":
            return size * (inputs + states + weights)
        # The states are written, then read; dh is read. Inputs are read twice, and dx written.
        return size * (3 * inputs + 3 * states + 3 * weights)


def all_cases() -> list[Case]:
    """Return the whole grid."""
    cases = [
        Case("elman", d, B, T, m, m) for m, B, T, d in product(UNITS, BATCHES, STEPS, DIRECTIONS)
    ]
    cases += [Case("ragged", d, B, T, m, m) for (m, B, T), d in product(_RAGGED, DIRECTIONS)]
    cases += [Case("float64", d, B, T, m, m) for (m, B, T), d in product(_FLOAT64, DIRECTIONS)]
    cases += [
        Case("tdnn", d, B, T, p, m, offsets)
        for (B, T, p, m, offsets), d in product(_TDNN, DIRECTIONS)
    ]
    return cases


def quick_cases() -> list[Case]:
    """Return a few small cells of each group."""
    sizes = product((128, 512), (1, 32), DIRECTIONS)
    cases = [Case("elman", d, B, 128, m, m) for m, B, d in sizes]
    for d in DIRECTIONS:
        cases += [Case(group, d, 32, 128, 128, 128) for group in ("ragged", "float64")]
        cases.append(Case("tdnn", d, 16, 512, 64, 64, (-1, 2)))
    return cases
