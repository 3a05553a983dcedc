"""The grid: what is measured, and how much work it is."""

from dataclasses import dataclass

import numpy as np

__all__ = ["GROUPS", "Case", "all_cases", "quick_cases"]

GROUPS = ("elman", "tdnn", "ragged", "vanishing", "jordan", "step")

# B, T, p, m, q
_ELMAN = (
    (1, 32, 16, 16, 10),
    (1, 128, 16, 64, 10),
    (1, 512, 64, 256, 10),
    (1, 128, 64, 512, 64),
    (1, 32, 64, 1024, 64),
    (8, 128, 16, 32, 10),
    (8, 128, 64, 128, 10),
    (8, 512, 64, 256, 64),
    (8, 32, 64, 512, 10),
    (32, 32, 16, 16, 10),
    (32, 128, 64, 64, 10),
    (32, 128, 64, 256, 64),
    (32, 32, 64, 512, 64),
    (32, 32, 256, 1024, 64),
    (128, 128, 16, 32, 10),
    (128, 32, 64, 128, 10),
    (128, 128, 64, 256, 10),
    (128, 32, 256, 512, 64),
    (128, 32, 64, 1024, 10),
)
_ELMAN_FLOAT64 = (
    (1, 128, 16, 64, 10),
    (8, 128, 64, 128, 10),
    (32, 128, 64, 256, 64),
    (128, 32, 64, 128, 10),
    (128, 32, 256, 512, 64),
)
# B, T, channels in, channels out, offsets
_TDNN = (
    (1, 512, 40, 64, (-2, -1, 0, 1, 2)),
    (16, 512, 64, 64, (-1, 2)),
    (32, 400, 80, 512, (-2, -1, 0, 1, 2)),
    (32, 400, 512, 512, (-3, 0, 3)),
    (64, 128, 256, 256, (-4, -2, 0)),
)
# B, T, p, m
_RAGGED = ((32, 500, 32, 32), (64, 256, 64, 256))
# B, T, p, m, q
_JORDAN = ((1, 128, 16, 32, 10), (8, 128, 16, 32, 10), (32, 128, 64, 256, 64))
_STEP = (8, 32, 128, 512)
_QUICK = (
    "elman 1/32/16/16/10",
    "elman 8/128/16/32/10",
    "tdnn 1/512/40/64 (-2..2)",
    "step 8",
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
    B, T, p, m, q : int
        Sequences, steps, features in, units, outputs; q = 0: there is no output layer.
    offsets : tuple of int
        Of a TDNN.
    scale : float
        Factor of W.
    dtype : {"float32", "float64"}
        Of all floats.
    """

    group: str
    direction: str
    B: int
    T: int
    p: int
    m: int
    q: int = 0
    offsets: tuple[int, ...] = ()
    scale: float = 1.0
    dtype: str = "float32"

    @property
    def cell(self) -> str:
        """The sizes as a name, the same for both directions."""
        if self.group == "step":
            return str(self.m)
        sizes = [self.B, self.T, self.p, self.m]
        if self.group in ("elman", "vanishing", "jordan"):
            sizes.append(self.q)
        name = "/".join(map(str, sizes))
        if self.offsets:
            name += f" ({_short(self.offsets)})"
        return f"{name} W x {self.scale:g}" if self.group == "vanishing" else name

    @property
    def key(self) -> str:
        """A name that no other case has."""
        return f"{self.group} {self.cell} {self.direction} {self.dtype}"

    @property
    def lengths(self) -> np.ndarray | None:
        """Valid steps of each sequence (B,), or None where all have T."""
        if self.group != "ragged":
            return None
        return np.random.default_rng(self.B).integers(self.T // 4, self.T + 1, self.B)

    @property
    def flops(self) -> int:
        """Floating-point operations that the case cannot do without."""
        steps = self.T * self.B if self.lengths is None else int(self.lengths.sum())
        if self.group == "jordan":  # a target fed back is a column of W: no product
            return (
                2
                * steps
                * self.m
                * (self.p + 2 * self.q if self.direction == "F" else 3 * (self.p + self.q))
            )
        if self.group == "tdnn":
            frames = (self.T - max(self.offsets) + min(self.offsets)) * self.B
            forward = 2 * frames * len(self.offsets) * self.p * self.m
        else:
            forward = 2 * steps * self.m * (self.m + self.p)
        if self.direction == "F":
            return forward
        outputs = self.B if self.group == "vanishing" else steps
        return 3 * forward + 6 * outputs * self.m * self.q

    @property
    def state_weight_bytes(self) -> int:
        """Size of W where each step needs all of it before the next can start, else 0."""
        recurrent = self.group in ("elman", "ragged", "vanishing")
        return self.m * self.m * np.dtype(self.dtype).itemsize if recurrent else 0

    @property
    def traffic(self) -> int:
        """Bytes of W that the steps read: once a step forward, and once backward."""
        return self.state_weight_bytes * self.T * (1 if self.direction == "F" else 2)


def _short(offsets: tuple[int, ...]) -> str:
    first, last = offsets[0], offsets[-1]
    if len(offsets) > 3 and offsets == tuple(range(first, last + 1)):
        return f"{first}..{last}"
    return ",".join(map(str, offsets))


def all_cases() -> list[Case]:
    """Return the whole grid, in the order of measuring."""
    both = ("F", "FB")
    cases = [Case("elman", d, *sizes) for sizes in _ELMAN for d in both]
    cases += [Case("elman", d, *sizes, dtype="float64") for sizes in _ELMAN_FLOAT64 for d in both]
    cases += [Case("tdnn", d, *sizes, offsets=o) for *sizes, o in _TDNN for d in both]
    cases += [Case("ragged", d, *sizes, q=10) for sizes in _RAGGED for d in both]
    cases += [Case("vanishing", "FB", 8, 256, 64, 256, 10, scale=s) for s in (0.5, 1.0)]
    cases += [Case("jordan", d, *sizes) for sizes in _JORDAN for d in both]
    return cases + [Case("step", "F", 1, 1, H, H) for H in _STEP]


def quick_cases() -> list[Case]:
    """Return a few small cases of the grid, for a smoke run."""
    names = [f"{name} {d} float32" for name in _QUICK for d in ("F", "FB")]
    return [case for case in all_cases() if case.key in names]
