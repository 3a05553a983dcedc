"""Ground floor: what the kernels need from the processor. All LLVM of the project lives here."""

from fastrnn.simd.fma import fma

__all__ = ["fma"]
