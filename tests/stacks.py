"""Stacks of every make: recurrent over recurrent, and time-delay layers below, above, between."""

import numpy as np

import fastrnn
import tdnn

P, M = 3, 4


def elman(p=P, m=M, **settings):
    return fastrnn.Elman(p, m, **{"dtype": np.float64, "rng": p + m, **settings})


def time_delay(layers, p=P, padding="zero", **settings):
    settings = {"activation": "tanh", "dtype": np.float64, "rng": p, **settings}
    return tdnn.TDNN(p, layers, padding=padding, **settings)


MAKE = {
    "elman over elman": lambda: [elman(m=5), elman(5)],
    "elman over tdnn": lambda: [time_delay([(5, (-2, 0, 1))]), elman(5)],
    "elman over strided tdnn": lambda: [time_delay([(5, (-1, 0)), (6, (0, 2), 3)]), elman(6)],
    "elman over valid tdnn": lambda: [time_delay([(5, (-1, 1, 2), 2)], padding="valid"), elman(5)],
    "tdnn over elman": lambda: [elman(m=5), time_delay([(M, (-1, 0, 2))], 5, "replicate")],
    "tdnn over strided tdnn": lambda: [
        time_delay([(5, (-1, 1), 2)]), time_delay([(6, (0, 1)), (M, (-2, 1), 2)], 5, "valid"),
    ],
    "stack over stack": lambda: [
        fastrnn.Stack([time_delay([(5, (0, 1), 2)]), elman(5, 6)]),
        fastrnn.Stack([time_delay([(5, (-1, 1))], 6), elman(5)]),
    ],
}  # fmt: skip


def make(name):
    """Return the stack of this name, of float64."""
    return fastrnn.Stack(MAKE[name]())
