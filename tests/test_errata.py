"""The errata of docs/math.md: each wrong formula against finite differences, and the right one.

All on one network and one sequence, with column vectors as the book writes them. The page's table
shows what is measured here.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import error, make_case

from fastrnn import reference

PAGE = Path(__file__).parent.parent / "docs" / "math.md"
PARAMETERS = ("U", "W", "b", "V", "c")
T, STEP, RIGHT = 6, 1e-6, 1e-8  # RIGHT: what a central difference of this step leaves


def network(m=4):
    """Return the parameters, h(0), one sequence of x and of class targets y."""
    s = make_case(1, T, 1, 3, m, 5, lengths=False)
    y = s.targets["softmax"][:, 0]
    return SimpleNamespace(
        U=s.U, W=s.W, b=s.b, V=s.V, c=s.c, h0=s.h0[0], x=s.x[:, 0], y=np.eye(5)[y], ids=y
    )


def forward(n):
    """Return h(1..T) with h(0) before it, and yhat(1..T)."""
    h = reference.elman_forward(n.x[:, None], n.U, n.W, n.b, n.h0[None]).h
    yhat = reference.softmax(reference.linear_forward(h, n.V, n.c))
    return np.concatenate([n.h0[None], h[:, 0]]), yhat[:, 0]


def loss(n, first=0, last=T):
    """Return the sum of L(t) over some steps."""
    h, _ = forward(n)
    o = h[1:, None] @ n.V.T + n.c
    return reference.softmax_cross_entropy(o[first:last], n.ids[first:last, None]).value


def finite_differences(function, array):
    """Return the derivative of a function without arguments in each element of an array."""
    derivative = []
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + STEP
        above = function()
        array[index] = kept - STEP
        derivative.append((above - function()) / (2 * STEP))
        array[index] = kept
    return np.moveaxis(np.array(derivative), 0, -1).reshape(*np.shape(derivative[0]), *array.shape)


def right_output(y, yhat):
    return yhat - y


def wrong_output(y, yhat):
    return -y * (1 - yhat)


def right_state(W, h, d_h):
    return W.T @ np.diag(1 - h**2) @ d_h


def wrong_state(W, h, d_h):
    """Read W^T d_h diag(1 - h^2) element by element, the only way to give it a meaning."""
    return (W.T @ d_h) * (1 - h**2)


def gradients(n, output, state):
    """Back-propagate through time with given formulas for d_o and for the recurrent term."""
    h, yhat = forward(n)
    d = {name: np.zeros_like(getattr(n, name)) for name in PARAMETERS}
    from_next = np.zeros_like(n.h0)
    for t in range(T, 0, -1):
        d_o = output(n.y[t - 1], yhat[t - 1])
        d_h = n.V.T @ d_o + from_next
        d_a = (1 - h[t] ** 2) * d_h
        d["V"] += np.outer(d_o, h[t])
        d["c"] += d_o
        d["W"] += np.outer(d_a, h[t - 1])
        d["U"] += np.outer(d_a, n.x[t - 1])
        d["b"] += d_a
        from_next = state(n.W, h[t], d_h)
    return d


def together(d):
    return np.concatenate([np.ravel(d[name]) for name in PARAMETERS])


def numeric_gradients(n):
    return {name: finite_differences(lambda: loss(n), getattr(n, name)) for name in PARAMETERS}


def output_gradient():
    n = network()
    want = together(numeric_gradients(n))
    wrong = together(gradients(n, wrong_output, right_state))
    return error(wrong, want), error(together(gradients(n, right_output, right_state)), want)


def recurrent_term():
    n = network()
    want = together(numeric_gradients(n))
    wrong = together(gradients(n, right_output, wrong_state))
    return error(wrong, want), error(together(gradients(n, right_output, right_state)), want)


def two_terms():
    """Return the errors of the term that is said to be the direct one; and of the true one.

    Of h(t-1), here h(T-1), two things are made: its output o(t-1) and the next state h(t). What
    reaches it from each is measured by letting only that one's losses count.
    """
    n = network()
    h, yhat = forward(n)
    through_output = n.V.T @ (yhat[T - 2] - n.y[T - 2])
    through_state = right_state(n.W, h[T], n.V.T @ (yhat[T - 1] - n.y[T - 1]))
    tail = SimpleNamespace(**vars(n))
    tail.h0, tail.x, tail.ids = h[T - 1].copy(), n.x[T - 1 :], n.ids[T - 1 :]
    later = finite_differences(lambda: loss(tail), tail.h0)

    def own_loss():
        o = n.V @ tail.h0 + n.c
        return np.log(np.exp(o).sum()) - o[n.ids[T - 2]]

    own = finite_differences(own_loss, tail.h0)
    want = np.concatenate([own, later])
    swapped = np.concatenate([through_state, through_output])
    return error(swapped, want), error(np.concatenate([through_output, through_state]), want)


def input_sum():
    """Return the errors of a_i = sum_j u_ip x_p and of a_i = sum_j u_ij x_j: da/dx is U."""
    n = network()
    x = n.x[0].copy()
    h, _ = forward(n)

    def a():
        return np.arctanh(reference.elman_step(x[None], n.h0[None], n.U, n.W, n.b))[0]

    p = len(x)
    wrong = np.zeros_like(n.U)
    wrong[:, -1] = p * n.U[:, -1]  # the same term for each of the p values of j
    want = finite_differences(a, x)
    assert error(np.arctanh(h[1]), a()) <= 1e-12
    return error(wrong, want), error(n.U, want)


def jacobian():
    """Return the errors of the entries with i and j exchanged, and of dh_i(t) / dh_j(t-1)."""
    n = network()

    def next_state():
        return forward(n)[0][1]

    want = finite_differences(next_state, n.h0)  # row i, column j: dh_i(1) / dh_j(0)
    right = np.diag(1 - next_state() ** 2) @ n.W
    return error(right.T, want), error(right, want)


ERRATA = {
    "d_o": output_gradient,
    "recurrent term": recurrent_term,
    "two terms of d_h(t-1)": two_terms,
    "u_ij x_j": input_sum,
    "Jacobian": jacobian,
}


@pytest.mark.parametrize("name", ERRATA)
def test_the_wrong_formula_is_wrong_and_the_right_one_right(name):
    wrong, right = ERRATA[name]()
    assert wrong > 0.05
    assert right < RIGHT
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {name} |"))
    assert [cell.strip() for cell in row.split("|")[-3:-1]] == [f"{wrong:.2f}", "< 1e-8"]


def test_the_right_formulas_are_those_of_the_reference():
    n = network()
    h, yhat = forward(n)
    d_o = (yhat - n.y)[:, None]
    back = reference.linear_backward(d_o, h[1:, None], n.V)
    grads = reference.elman_backward(back.dh, n.x[:, None], h[1:, None], n.U, n.W, n.h0[None])
    got = gradients(n, right_output, right_state)
    want = {"U": grads.dU, "W": grads.dW, "b": grads.db, "V": back.dV, "c": back.dc}
    assert error(together(got), together(want)) <= 1e-14


def test_wrong_output_gradient_is_right_at_the_target_only():
    n = network()
    _, yhat = forward(n)
    at_target = n.y == 1
    assert error(wrong_output(n.y, yhat)[at_target], right_output(n.y, yhat)[at_target]) <= 1e-15
    assert not wrong_output(n.y, yhat)[~at_target].any()
    assert (right_output(n.y, yhat)[~at_target] > 0).all()  # no class is told that it was too high
    np.testing.assert_allclose(right_output(n.y, yhat).sum(1), 0, atol=1e-15)


def test_wrong_recurrent_product_is_not_defined():
    """A column (m, 1) cannot stand to the left of a matrix (m, m), except for m = 1."""
    n = network()
    d_h, slopes = np.ones((4, 1)), np.diag(1 - n.h0**2)
    with pytest.raises(ValueError, match="matmul"):
        n.W.T @ d_h @ slopes
    assert (n.W.T @ slopes @ d_h).shape == (4, 1)


def test_a_single_unit_does_not_show_the_slip():
    """With m = 1 all factors are numbers: such a test of the formula would pass."""
    n = network(m=1)
    wrong, right = gradients(n, right_output, wrong_state), gradients(n, right_output, right_state)
    assert error(together(wrong), together(right)) <= 1e-15
