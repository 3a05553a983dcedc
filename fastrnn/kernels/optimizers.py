"""Parameter updates, compiled: one pass over a parameter and its state, in place.

The formulas are PyTorch's, so that a training run can be compared step by step. Each hyperparameter
is cast once to the parameter's dtype: a float32 parameter is updated in float32 arithmetic.
"""

import math

from fastrnn.jit import kernel

__all__ = ["adagrad_update", "adam_update", "rmsprop_update", "sgd_update"]


@kernel
def sgd_update(parameter, gradient, velocity, learning_rate, momentum):
    """Take one step of stochastic gradient descent with momentum, in place.

    velocity = momentum * velocity + gradient,  parameter -= learning_rate * velocity.

    Parameters
    ----------
    parameter, gradient, velocity : C-contiguous arrays of one shape and dtype
        float32 or float64; `parameter` and `velocity` are overwritten. `velocity` starts as zeros;
        None (with momentum 0) leaves it out.
    learning_rate, momentum : float
    """
    w, g = parameter.reshape(parameter.size), gradient.reshape(gradient.size)
    rate = w.dtype.type(learning_rate)
    if velocity is None:
        for i in range(w.size):
            w[i] -= rate * g[i]
    else:
        v = velocity.reshape(velocity.size)
        mu = w.dtype.type(momentum)
        for i in range(w.size):
            v[i] = mu * v[i] + g[i]
            w[i] -= rate * v[i]


@kernel
def rmsprop_update(parameter, gradient, second, learning_rate, decay, epsilon):
    """Take one step of RMSProp, in place.

    second = decay * second + (1 - decay) * gradient**2,
    parameter -= learning_rate * gradient / (sqrt(second) + epsilon).

    Parameters
    ----------
    parameter, gradient, second : C-contiguous arrays of one shape and dtype
        float32 or float64; `parameter` and `second` are overwritten. `second` starts as zeros.
    learning_rate, decay, epsilon : float
    """
    w, g = parameter.reshape(parameter.size), gradient.reshape(gradient.size)
    s = second.reshape(second.size)
    rate, keep = w.dtype.type(learning_rate), w.dtype.type(decay)
    take, tiny = w.dtype.type(1.0 - decay), w.dtype.type(epsilon)
    for i in range(w.size):
        s[i] = keep * s[i] + take * g[i] * g[i]
        w[i] -= rate * g[i] / (math.sqrt(s[i]) + tiny)


@kernel
def adagrad_update(parameter, gradient, total, learning_rate, epsilon):
    """Take one step of AdaGrad, in place.

    total += gradient**2,  parameter -= learning_rate * gradient / (sqrt(total) + epsilon).

    Parameters
    ----------
    parameter, gradient, total : C-contiguous arrays of one shape and dtype
        float32 or float64; `parameter` and `total` are overwritten. `total` starts as zeros.
    learning_rate, epsilon : float
    """
    w, g = parameter.reshape(parameter.size), gradient.reshape(gradient.size)
    s = total.reshape(total.size)
    rate, tiny = w.dtype.type(learning_rate), w.dtype.type(epsilon)
    for i in range(w.size):
        s[i] += g[i] * g[i]
        w[i] -= rate * g[i] / (math.sqrt(s[i]) + tiny)


@kernel
def adam_update(parameter, gradient, first, second, learning_rate, beta1, beta2, epsilon, step):
    """Take one step of Adam with bias correction, in place.

    first = beta1 * first + (1 - beta1) * gradient,
    second = beta2 * second + (1 - beta2) * gradient**2,
    parameter -= learning_rate / (1 - beta1**step) * first
    / (sqrt(second / (1 - beta2**step)) + epsilon).

    Parameters
    ----------
    parameter, gradient, first, second : C-contiguous arrays of one shape and dtype
        float32 or float64; all but `gradient` are overwritten. `first` and `second` start as zeros.
    learning_rate, beta1, beta2, epsilon : float
    step : int
        Number of this step, counted from 1.
    """
    w, g = parameter.reshape(parameter.size), gradient.reshape(gradient.size)
    v, s = first.reshape(first.size), second.reshape(second.size)
    rate = w.dtype.type(learning_rate / (1.0 - beta1**step))
    scale = w.dtype.type(1.0 / math.sqrt(1.0 - beta2**step))
    keep1, take1 = w.dtype.type(beta1), w.dtype.type(1.0 - beta1)
    keep2, take2 = w.dtype.type(beta2), w.dtype.type(1.0 - beta2)
    tiny = w.dtype.type(epsilon)
    for i in range(w.size):
        v[i] = keep1 * v[i] + take1 * g[i]
        s[i] = keep2 * s[i] + take2 * g[i] * g[i]
        w[i] -= rate * v[i] / (math.sqrt(s[i]) * scale + tiny)
