"""A model small enough to check by hand, and data for it, shared by the tests of `fit`."""

import numpy as np


class Line:
    """Least squares o = V x + c, as a model that `fit` can train."""

    def __init__(self, size=3, seed=0, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.V = rng.standard_normal(size).astype(dtype)
        self.c = np.zeros((), dtype)
        self.calls = []

    def parameters(self):
        return {"V": self.V, "c": self.c}

    def loss(self, x, targets, **keywords):
        return self.loss_and_grad(x, targets, **keywords)[0]

    def loss_and_grad(self, x, targets, **keywords):
        self.calls.append(keywords)
        error = x @ self.V + self.c - targets
        value = float(np.mean(error**2))
        return value, {"V": 2 * error @ x / len(x), "c": np.array(2 * np.mean(error))}

    def copy(self):
        return {name: np.array(w) for name, w in self.parameters().items()}


def batches(count=4, seed=7, size=3):
    rng = np.random.default_rng(seed)
    data = []
    for _ in range(count):
        x = rng.standard_normal((5, size))
        data.append((x, x @ np.arange(1.0, size + 1) + 0.5))
    return data


def assert_equal(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


def without_times(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


class Interrupting(Line):
    """Raises an error at the n-th gradient or loss, as if Ctrl-C had come there."""

    def __init__(self, at, error=KeyboardInterrupt):
        super().__init__()
        self.at, self.error = at, error

    def loss_and_grad(self, x, targets, **keywords):
        self.at -= 1
        if self.at == 0:
            raise self.error
        return super().loss_and_grad(x, targets, **keywords)


def shuffled(epoch):
    order = np.random.default_rng(epoch).permutation(4)
    return (batches()[i] for i in order)
