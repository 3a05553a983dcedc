"""The named shapes of the suite. They are frozen: a new size gets a new name, an old one stays."""

from benchmarks.peers.cases import Case

__all__ = ["DTYPES", "SHAPES", "TOLERANCES"]

SHAPES = {
    # Elman and Jordan: sequences, steps, features in, units, outputs
    "one": Case("elman", "FB", B=1, T=128, p=16, m=64, q=10),
    "batch": Case("elman", "FB", B=8, T=128, p=64, m=128, q=10),
    "wide": Case("elman", "FB", B=32, T=128, p=64, m=256, q=64),
    "ragged": Case("ragged", "FB", B=32, T=200, p=32, m=64, q=10),
    # TDNN: sequences, frames, channels in, channels out
    "tdnn": Case("tdnn", "FB", B=8, T=256, p=40, m=64, offsets=(-2, -1, 0, 1, 2)),
    "tdnn-wide": Case("tdnn", "FB", B=32, T=200, p=80, m=256, offsets=(-3, 0, 3)),
    # Losses: sequences, steps, outputs
    "outputs": Case("elman", "FB", B=32, T=128, p=1, m=1, q=64),
}
DTYPES = ("float32", "float64")

# About four times the largest error of these shapes: an error is reported as its share of it.
TOLERANCES = {"float32": 2e-6, "float64": 5e-15}
