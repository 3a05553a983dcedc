"""Arrays of no library, in host memory that stands for a GPU's; and models that live there."""

import numpy as np


class FakeArray:
    """Has ``__cuda_array_interface__`` and nothing else that FastRNN looks at."""

    def __init__(self, array, stream=None, order="C"):
        self.memory = np.array(array, order=order)
        self.stream = stream

    @property
    def shape(self):
        return self.memory.shape

    @property
    def __cuda_array_interface__(self):
        strides = None if self.memory.flags.c_contiguous else self.memory.strides
        pointer = self.memory.ctypes.data if self.memory.size else 0
        return {
            "shape": self.memory.shape, "typestr": self.memory.dtype.str,
            "data": (pointer, False), "strides": strides, "version": 3, "stream": self.stream,
        }  # fmt: skip


def on_device(values, stream=None):
    """Return arrays as `FakeArray`, in tuples and dicts too; what is no array stays as it is."""
    if isinstance(values, np.ndarray):
        return FakeArray(values, stream)
    if isinstance(values, dict):
        return {name: on_device(value, stream) for name, value in values.items()}
    if isinstance(values, tuple):
        return tuple(on_device(value, stream) for value in values)
    return values


def on_host(values):
    """Return device arrays as NumPy arrays, in tuples and dicts too."""
    from fastrnn.devices import on_gpu
    from fastrnn.devices import on_host as copied

    if isinstance(values, dict):
        return {name: on_host(value) for name, value in values.items()}
    if isinstance(values, tuple):
        return tuple(on_host(value) for value in values)
    return copied(values) if on_gpu(values) else values
