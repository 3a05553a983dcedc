"""Which bits may depend on what: padding, NaN, the future, threads, the rest of the batch.

All of this on the public functions; the kernels under them are the same for one thread.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    LOSSES,
    assert_same_bits,
    function_pass,
    make_case,
    poisoned,
)

import fastrnn

PER_ROW = ("h", "h_last", "o", "do", "dh", "dx", "dh0")
BATCH_FIRST = ("h_last", "dh0")
DTYPES = [np.float32, np.float64]


@pytest.fixture(params=["floats", "tokens"])
def case(request):
    return make_case(20, 11, 7, 5, 13, 6, dtype=np.float32, tokens=request.param == "tokens")


def rows_of(arrays, rows):
    """Return the per-sequence arrays of a pass, for some sequences."""
    return {
        name: arrays[name] if arrays[name] is None
        else arrays[name][rows] if name in BATCH_FIRST else arrays[name][:, rows]
        for name in PER_ROW
    }  # fmt: skip


def case_of_rows(case, rows, T):
    """Return a case that holds only some sequences, cut to T steps."""
    part = SimpleNamespace(**vars(case))
    for name in ("x", "dh", "weights"):
        setattr(part, name, getattr(case, name)[:T, rows])
    for name in ("h0", "dh_last", "lengths"):
        setattr(part, name, getattr(case, name)[rows])
    part.targets = {name: array[:T, rows] for name, array in case.targets.items()}
    return part


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_changes_no_bit(case, loss):
    clean = function_pass(case, loss, "tanh")
    assert_same_bits(function_pass(poisoned(case), loss, "tanh"), clean)
    padding = np.arange(len(case.x))[:, None] >= case.lengths
    assert padding.any()
    for name in ("h", "o", "do", "dh", "dx"):
        assert clean[name] is None or not clean[name][padding].any(), name


def test_length_zero_passes_the_state_through(case):
    got = function_pass(case, "softmax", "tanh")
    empty = case.lengths == 0
    assert empty.any()
    np.testing.assert_array_equal(got["h_last"][empty], case.h0[empty])
    np.testing.assert_array_equal(got["dh0"][empty], case.dh_last[empty])


@pytest.mark.parametrize("T, B", [(0, 3), (4, 0), (0, 0)])
@pytest.mark.parametrize("tokens", [False, True])
def test_empty_input(T, B, tokens):
    case = make_case(21, T, B, 3, 4, 2, tokens=tokens)
    got = function_pass(case, "softmax", "tanh")
    assert got["h"].shape == (T, B, 4) and got["value"] == 0
    np.testing.assert_array_equal(got["h_last"], case.h0)
    np.testing.assert_array_equal(got["dh0"], case.dh_last)
    for name in ("dU", "dW", "db", "dV", "dc"):
        assert got[name].size and not got[name].any(), name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_reaches_only_its_row_and_later_steps(activation, bad):
    case = make_case(22, 9, 6, 5, 8, 3, lengths=False)
    before = function_pass(case, "softmax", activation)
    case.x[4, 2, 1] = bad
    with np.errstate(invalid="ignore"):
        after = function_pass(case, "softmax", activation)
    others = [0, 1, 3, 4, 5]
    assert_same_bits(rows_of(after, others), rows_of(before, others))
    assert after["h"][:4].tobytes() == before["h"][:4].tobytes()
    assert after["h"][4, 2].tobytes() != before["h"][4, 2].tobytes()
    if np.isnan(bad):
        assert np.isnan(after["h"][4:, 2]).all()
        assert np.isnan(after["dx"][:, 2]).all() or activation == "identity"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_in_a_gradient_reaches_only_its_row_and_earlier_steps(activation):
    case = make_case(23, 9, 6, 5, 8, 3, lengths=False)
    before = function_pass(case, "squared", activation)
    case.dh[4, 2, 1] = np.nan
    after = function_pass(case, "squared", activation)
    others = [0, 1, 3, 4, 5]
    assert_same_bits(rows_of(after, others), rows_of(before, others))
    assert after["dx"][5:].tobytes() == before["dx"][5:].tobytes()
    if activation != "relu":  # where relu is off its slope is 0, and it stays so
        assert np.isnan(after["dx"][4, 2]).any() and np.isnan(after["dh0"][2]).all()


def test_future_leaves_the_past_as_it_is(case):
    past = function_pass(case, "softmax", "tanh")["h"]
    for t in (0, 3, 10):
        changed = SimpleNamespace(**vars(case))
        changed.x = case.x.copy()
        changed.x[t:] = (case.x[t:] + 1) % 5 if case.x.ndim == 2 else -case.x[t:]
        h = function_pass(changed, "softmax", "tanh")["h"]
        assert h[:t].tobytes() == past[:t].tobytes()
        assert h.tobytes() != past.tobytes()


@pytest.mark.parametrize("T, B, m", [(11, 7, 13), (3, 2, 1), (40, 37, 50)])
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_repeats_change_no_bit(dtype, tokens, T, B, m):
    case = make_case(24, T, B, 9, m, 6, dtype=dtype, tokens=tokens)
    one = function_pass(case, "softmax", "tanh", threads=1)
    for threads in (1, 2, 3, 8, None):
        assert_same_bits(function_pass(case, "softmax", "tanh", threads=threads), one)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [False, True])
def test_row_does_not_depend_on_its_batch(tokens, dtype, activation):
    case = make_case(25, 11, 7, 5, 13, 6, dtype=dtype, tokens=tokens)
    whole = function_pass(case, "softmax", activation)
    order = np.array([4, 1, 6, 0])
    part = function_pass(case_of_rows(case, order, 11), "softmax", activation)
    assert_same_bits(rows_of(part, slice(None)), rows_of(whole, order))
    for b, length in enumerate(case.lengths):
        alone = function_pass(case_of_rows(case, [b], length), "softmax", activation)
        want = rows_of(whole, [b])
        for name in ("h", "o", "do", "dh", "dx"):
            want[name] = None if want[name] is None else want[name][:length]
        assert_same_bits(rows_of(alone, slice(None)), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_is_taken_and_nothing_is_written(dtype):
    case = make_case(26, 6, 5, 4, 7, 3, dtype=dtype)
    want = function_pass(case, "squared", "sigmoid")
    layouts = [
        np.asfortranarray,
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a.copy(),
    ]
    for layout in layouts:
        other = SimpleNamespace(**vars(case))
        arguments = {
            name: array for name, array in vars(case).items()
            if isinstance(array, np.ndarray) and name not in ("V", "c")  # model.py owns those
        }  # fmt: skip
        for name, array in arguments.items():
            setattr(other, name, layout(array))
            getattr(other, name).flags.writeable = False
        other.targets = {name: layout(array) for name, array in case.targets.items()}
        assert_same_bits(function_pass(other, "squared", "sigmoid"), want)
        for name, array in arguments.items():
            np.testing.assert_array_equal(getattr(other, name), array)


def test_byte_offset_buffers_are_taken():
    """An unaligned array, as a field of a packed record gives it."""
    case = make_case(27, 4, 3, 2, 5, 2)
    want = fastrnn.elman_forward(case.x, case.U, case.W, case.b)
    raw = np.zeros(case.x.nbytes + 1, np.uint8)
    x = raw[1:].view(np.float64).reshape(case.x.shape)
    x[...] = case.x
    assert not x.flags.aligned
    assert fastrnn.elman_forward(x, case.U, case.W, case.b).h.tobytes() == want.h.tobytes()
