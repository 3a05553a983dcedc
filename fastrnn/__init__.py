"""FastRNN: fast recurrent networks for scientific Python, compiled by Numba."""

__version__ = "0.1.0"
