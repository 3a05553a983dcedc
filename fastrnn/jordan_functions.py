"""Output-to-hidden (Jordan) network: functions (MATH.md section 2)."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn import device_functions
from fastrnn.arrays import Arguments, choice, filled, generator, refuse_first, valid_steps, within
from fastrnn.device_functions import check_z
from fastrnn.devices import on_gpu
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.feedback import FEEDBACKS, feed_back_rows
from fastrnn.kernels.inputs import empty_input_gradient
from fastrnn.kernels.jordan import backward_part, backward_products, forward_part
from fastrnn.results import JordanGrads, JordanState
from fastrnn.threads import share

__all__ = ["feed_back", "jordan_backward", "jordan_forward"]

_BOOL = np.dtype(np.bool_)


def jordan_forward(
    x: ArrayLike,
    U: ArrayLike,
    W: ArrayLike,
    b: ArrayLike,
    V: ArrayLike,
    c: ArrayLike,
    *,
    y: ArrayLike | None = None,
    z0: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    activation: str = "tanh",
    feedback: str = "softmax",
    rng: int | np.random.Generator | None = None,
    forced: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    threads: int | None = None,
) -> JordanState:
    """Compute h(t) = f(b + W z(t) + U x(t)) and o(t) = c + V h(t) (MATH.md section 2).

    z(t), what step t is fed, is z0 at the first step; then y(t-1) where the step is forced
    (teacher forcing), and elsewhere a function of the network's own output o(t-1).

    Parameters
    ----------
    x : array_like, shape (T, B, p), or integers (T, B)
        Input sequences, time first; float32 or float64. Integers are token ids in [0, p): U x
        is then a column of U.
    U : array_like, shape (m, p)
        Input-to-hidden weights.
    W : array_like, shape (m, q)
        Output-to-hidden weights.
    b : array_like, shape (m,)
        Bias of the hidden units.
    V : array_like, shape (q, m)
        Hidden-to-output weights.
    c : array_like, shape (q,)
        Bias of the outputs.
    y : array_like of int, shape (T, B), or floats (T, B, q), optional
        Targets that forced steps are fed: step t is fed the unit vector of class y(t-1), or the
        numbers y(t-1) themselves. Those that feed no step (the last) are never looked at.
    z0 : array_like, shape (B, q), optional
        What the first steps are fed; zero by default.
    lengths : array_like of int, shape (B,), optional
        Valid steps of each sequence, in any order, 0 included. Steps from lengths[b] on are
        padding: never read, and zero in the result. Default: T for all.
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function f.
    feedback : {"softmax", "sigmoid", "identity", "argmax", "sample"}
        What a step that is not forced is fed: softmax(o(t-1)), sigmoid(o(t-1)), o(t-1) itself, or
        the unit vector of one class, the most probable ("argmax") or one drawn by its probability.
    rng : int, numpy.random.Generator, optional
        Source of the draws of "sample".
    forced : array_like of bool, shape (T, B), optional
        Which steps are fed from y. Default: all if y is given, else none.
    resets : array_like of bool, shape (T, B), optional
        Before which steps the sequence starts anew: these are fed z0.
    threads : int, optional
        The most threads to use; see `fastrnn.thread_count`. The result's bits do not depend on it.

    Returns
    -------
    JordanState
        h (T, B, m), o (T, B, q), and z (T, B, q), what each step was fed.

    Raises
    ------
    TypeError
        If dtypes are mixed or not float32 or float64, or an argument is of a wrong kind.
    ValueError
        If shapes disagree, a size is 0, a length, token id or class is out of range, or `forced`
        is given without y.

    Notes
    -----
    An output with a NaN is fed back as NaN by every feedback, so that it is not lost in a class.

    The arrays may all be on a GPU instead; see `elman_forward`.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> x, U, b, c = np.ones((3, 1, 2)), np.full((1, 2), 0.5), np.zeros(1), np.zeros(2)
    >>> W, V = np.array([[0.0, -1.0]]), np.array([[-1.0], [1.0]])
    >>> fastrnn.jordan_forward(x, U, W, b, V, c).h[:, 0, 0].round(4)
    array([0.7616, 0.1771, 0.3905])
    >>> fastrnn.jordan_forward(x, U, W, b, V, c, y=[[0], [1], [0]]).h[:, 0, 0].round(4)
    array([0.7616, 0.7616, 0.    ])
    """
    if on_gpu(x):
        return device_functions.jordan_forward(
            x, U, W, b, V, c, y, z0, lengths, activation, feedback, rng, forced, resets,
            threads=threads,
        )  # fmt: skip
    args = Arguments()
    x = args.inputs("x", x)
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m q")
    b = args.floats("b", b, "m")
    V = args.floats("V", V, "q m")
    c = args.floats("c", c, "q")
    fed = _check_fed(args, x, y, z0, lengths, forced, resets)
    code = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]
    back = FEEDBACKS[choice("feedback", feedback, FEEDBACKS)]
    (T, B), (m, q), dtype = x.shape[:2], W.shape, W.dtype
    draws = np.empty((0, 0))
    if back == FEEDBACKS["sample"] or rng is not None:
        source = generator("rng", rng)  # seeding one takes as long as a hundred steps
        draws = source.random((T, B)) if back == FEEDBACKS["sample"] else draws
    h, o, z = np.empty((T, B, m), dtype), np.empty((T, B, q), dtype), np.empty((T, B, q), dtype)
    arguments = (
        x, U, W, b, V, c, fed.y, fed.z0, fed.lengths, code, back, fed.forced, fed.resets, draws,
        h, o, z, None,
    )  # fmt: skip
    share(forward_part, arguments, B, threads, _work(x, U, q))
    return JordanState(h, o, z)


def jordan_backward(
    do: ArrayLike,
    x: ArrayLike,
    h: ArrayLike,
    o: ArrayLike,
    U: ArrayLike,
    W: ArrayLike,
    V: ArrayLike,
    *,
    y: ArrayLike | None = None,
    z: ArrayLike | None = None,
    z0: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    activation: str = "tanh",
    feedback: str = "softmax",
    forced: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    threads: int | None = None,
) -> JordanGrads:
    """Back-propagate through time (MATH.md section 2): d_h = V^T d_o, d_a = f' d_h, d_z = W^T d_a.

    Where a step was fed a differentiable function of the output before it, d_z flows on into that
    output; none flows into y, nor through the classes that "argmax" and "sample" chose.

    Parameters
    ----------
    do : array_like, shape (T, B, q)
        Gradient of the loss in o. Its padding is never read.
    x, h, o, U, W, V, y, z0, lengths, activation, feedback, forced, resets, threads
        As given to, and returned by, `jordan_forward`.
    z : array_like, shape (T, B, q), optional
        As returned by `jordan_forward`. Needed for the feedbacks "argmax" and "sample", unless all
        steps were forced; of use, but not needed, for the others.

    Returns
    -------
    JordanGrads
        dx (T, B, p), or None where x holds token ids; dU (m, p), dW (m, q), db (m,), dV (q, m),
        dc (q,), dz0 (B, q).

    Raises
    ------
    TypeError, ValueError
        As in `jordan_forward`; ValueError if z is needed and not given.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> x, U, b, c = np.ones((3, 1, 2)), np.full((1, 2), 0.5), np.zeros(1), np.zeros(2)
    >>> W, V = np.array([[0.0, -1.0]]), np.array([[-1.0], [1.0]])
    >>> h, o, z = fastrnn.jordan_forward(x, U, W, b, V, c)
    >>> do = fastrnn.softmax_cross_entropy(o, [[0], [1], [0]]).do
    >>> fastrnn.jordan_backward(do, x, h, o, U, W, V).dc.round(4)
    array([-1.0104,  1.0104])
    """
    if on_gpu(do):
        return device_functions.jordan_backward(
            do, x, h, o, U, W, V, y, z, z0, lengths, activation, feedback, forced, resets,
            threads=threads,
        )  # fmt: skip
    args = Arguments()
    do = args.floats("do", do, "T B q")
    x = args.inputs("x", x)
    h = args.floats("h", h, "T B m")
    o = args.floats("o", o, "T B q")
    U = args.floats("U", U, "m p")
    W = args.floats("W", W, "m q")
    V = args.floats("V", V, "q m")
    if z is not None:
        z = args.floats("z", z, "T B q")
    fed = _check_fed(args, x, y, z0, lengths, forced, resets)
    code = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]
    back = FEEDBACKS[choice("feedback", feedback, FEEDBACKS)]
    check_z(feedback, z, y, forced)

    dtype = U.dtype
    (B, q), m = fed.z0.shape, len(U)
    dx = empty_input_gradient(x, U)
    dU, dW, db = np.empty_like(U), np.empty_like(W), np.empty(m, dtype)
    dV, dc, dz0 = np.empty_like(V), np.empty(q, dtype), np.empty((B, q), dtype)
    da, d_o, work = np.empty_like(h), np.empty_like(o), _work(x, U, q)
    steps = (fed.lengths, code, back, fed.forced, fed.resets)
    fed_back = np.empty_like(o) if z is None else z
    outward = (do, h, o, U, W, V, fed_back, z is not None, *steps, da, d_o, dx, dz0)
    share(backward_part, outward, B, threads, work)
    inward = (da, d_o, x, h, fed.y, fed_back, fed.z0, fed.lengths, fed.forced, fed.resets)
    share(backward_products, (*inward, dU, dW, db, dV, dc), m, threads, work)
    return JordanGrads(dx, dU, dW, db, dV, dc, dz0)


def _work(x: NDArray[Any], U: NDArray[Any], q: int) -> int:
    """Return the number of multiply-adds of a pass."""
    m, p = U.shape
    return x.shape[0] * x.shape[1] * m * (2 * q + (p if x.ndim == 3 else 1))


def feed_back(o: NDArray[Any], feedback: str, draws: NDArray[np.float64] | None) -> NDArray[Any]:
    """Return what is fed to the steps after these checked outputs (n, q)."""
    z = np.empty_like(o)
    numbers = np.zeros(len(o)) if draws is None else draws
    feed_back_rows(FEEDBACKS[feedback], o, numbers, z)
    return z


class _Fed(NamedTuple):
    """What says what each step is fed, checked: the same types whatever was given."""

    y: NDArray[Any]
    z0: NDArray[Any]
    lengths: NDArray[np.int64]
    forced: NDArray[np.bool_]
    resets: NDArray[np.bool_]


def _check_fed(
    args: Arguments,
    x: NDArray[Any],
    y: ArrayLike | None,
    z0: ArrayLike | None,
    lengths: ArrayLike | None,
    forced: ArrayLike | None,
    resets: ArrayLike | None,
) -> _Fed:
    """Check the arguments that say what each step is fed; the sizes T, B, p, q are known."""
    steps = args.shape("T B")
    if y is None and forced is not None:
        raise ValueError("forced: expected None without y, got an array")
    targets = np.empty((0, 0), np.int64) if y is None else args.inputs("y", y, "T B q", "classes")
    z0 = args.optional("z0", z0, "B q")
    checked = args.lengths(lengths)
    forced = (
        filled(steps, y is not None, _BOOL)
        if forced is None
        else args.booleans("forced", forced, "T B")
    )
    resets = (
        filled(steps, False, _BOOL) if resets is None else args.booleans("resets", resets, "T B")
    )
    if x.ndim == 2:
        args.in_range("x", x, args.sizes["p"][0], checked)
    q = args.sizes["q"][0]
    if y is not None and targets.ndim == 2 and not within(targets, 0, q - 1):
        used = np.zeros(steps, np.bool_)  # y(t-1) feeds step t
        used[:-1] = (valid_steps(steps, checked) & forced & ~resets)[1:]
        bad = used & ((targets < 0) | (targets >= q))
        refuse_first("y", targets, bad, f"integers from 0 to {q - 1}")
    return _Fed(targets, z0, checked, forced, resets)
