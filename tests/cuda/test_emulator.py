"""The emulator itself: it runs kernels as a GPU would, and finds what is wrong with them."""

import math

import numpy as np
import pytest
from emulator import Deadlock, Race, barrier_lines, emulated_device

from fastrnn.cuda.intrinsics import (
    copy16,
    cuda,
    device_function,
    load16_words,
    store16_words,
    store_strong,
)
from fastrnn.cuda.launching import (
    copy_to_device,
    copy_to_host,
    device_kernel,
    empty,
    fill,
    launch,
)

ORDERS = ["asc", "desc", 5]


@device_function
def doubled(a):
    T = type(a)
    return T(2) * a


@device_kernel("float32*, float32*, int32")
def scale(a, out, n):
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < n:
        out[i] = doubled(math.tanh(a[i]))


@device_kernel("float32*, float32*")
def reverse(a, out):
    shared = cuda.shared.array(64, np.float32)
    i = cuda.threadIdx.x
    shared[i] = a[i]
    cuda.syncthreads()
    out[i] = shared[63 - i]
    cuda.syncthreads()
    shared[i] = out[63 - i]


@device_kernel("float32*")
def one_barrier_too_few(out):
    shared = cuda.shared.array(64, np.float32)
    i = cuda.threadIdx.x
    shared[i] = np.float32(i)
    out[i] = shared[i ^ 32]


@device_kernel("float32*")
def all_write_the_first(out):
    out[0] = np.float32(cuda.blockIdx.x)


@device_kernel("float32*, int32")
def pass_on(ring, blocks):
    """Each block waits for the one before it; the last begins."""
    words, numbers = cuda.local.array(4, np.int32), cuda.local.array(4, np.float32)
    mine = cuda.blockIdx.x
    before = (mine + 1) % blocks
    if mine < blocks - 1:
        load16_words(words, 0, ring, 4 * before)
        while words[0] == -1:
            load16_words(words, 0, ring, 4 * before)
        store16_words(numbers, 0, words, 0)
        store_strong(ring, 4 * mine, numbers[0] + np.float32(1))
    else:
        store_strong(ring, 4 * mine, np.float32(0))


@device_kernel("float32*")
def sum_of_warp(out):
    total = np.float32(cuda.threadIdx.x)
    for k in range(5):
        total += cuda.shfl_xor_sync(0xFFFFFFFF, total, 1 << k)
    out[cuda.threadIdx.x] = total


@device_kernel("int32*")
def half_a_barrier(out):
    if cuda.threadIdx.x < 16:
        cuda.syncthreads()
        out[0] = 1
    else:
        cuda.syncthreads()


@pytest.mark.parametrize("order", ORDERS)
def test_threads_and_blocks(order):
    with emulated_device(order, watch=True):
        a = copy_to_device(np.linspace(-1, 1, 70, dtype=np.float32))
        out = empty(70, np.float32)
        launch(scale, 3, 32, a, out, 70)
        np.testing.assert_allclose(
            copy_to_host(out), 2 * np.tanh(np.linspace(-1, 1, 70)), rtol=1e-6
        )


@pytest.mark.parametrize("order", ORDERS)
def test_barriers_and_shuffles(order):
    with emulated_device(order, watch=True):
        a, out = copy_to_device(np.arange(64, dtype=np.float32)), empty(64, np.float32)
        launch(reverse, 1, 64, a, out)
        np.testing.assert_array_equal(copy_to_host(out), np.arange(64)[::-1])
        launch(sum_of_warp, 1, 64, out)
        np.testing.assert_array_equal(copy_to_host(out), np.repeat([496, 496 + 1024], 32))


@pytest.mark.parametrize("order", ORDERS)
def test_blocks_wait_for_each_other_in_a_cooperative_launch_only(order):
    with emulated_device(order, watch=True):
        ring = empty(16, np.float32)
        fill(ring.typed(np.int32), -1)
        launch(pass_on, 4, 1, ring, 4, cooperative=True)
        np.testing.assert_array_equal(copy_to_host(ring)[::4], [3, 2, 1, 0])
        fill(ring.typed(np.int32), -1)
        if order != "desc":
            with pytest.raises(Deadlock, match="pass_on"):
                launch(pass_on, 4, 1, ring, 4)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "kernel, grid, block", [(one_barrier_too_few, 1, 64), (all_write_the_first, 2, 1)]
)
def test_races_are_caught(order, kernel, grid, block):
    with emulated_device(order, watch=True), pytest.raises(Race, match=kernel.name):
        launch(kernel, grid, block, empty(64, np.float32))


def test_a_race_shows_in_the_results_of_two_orders():
    found = []
    for order in ORDERS:
        with emulated_device(order):
            out = empty(64, np.float32)
            launch(one_barrier_too_few, 1, 64, out)
            found.append(copy_to_host(out))
    assert not all(np.array_equal(found[0], other, equal_nan=True) for other in found)


@pytest.mark.parametrize("k", range(2))
def test_a_barrier_left_out_is_caught(k):
    assert len(barrier_lines(reverse)) == 2
    with emulated_device(watch=True, without=("reverse", k)):
        a, out = copy_to_device(np.arange(64, dtype=np.float32)), empty(64, np.float32)
        with pytest.raises(Race, match="reverse"):
            launch(reverse, 1, 64, a, out)


def test_threads_at_different_barriers_are_a_deadlock():
    with emulated_device(), pytest.raises(Deadlock, match="different barriers"):
        launch(half_a_barrier, 1, 32, empty(1, np.int32))


def test_an_index_out_of_its_array_is_caught():
    with emulated_device(watch=True):
        a = copy_to_device(np.zeros(4, np.float32))
        with pytest.raises(IndexError, match="scale: index 4 of 4"):
            launch(scale, 1, 8, a, empty(8, np.float32), 8)


def test_bits_of_doubles():
    @device_kernel("float64*")
    def halves(out):
        words = cuda.local.array(4, np.int32)
        load16_words(words, 0, out, 0)
        pair = cuda.local.array(4, np.float64)
        copy16(pair, 0, out, 2)
        store16_words(pair, 2, words, 0)
        out[0] = pair[3] + pair[0]

    with emulated_device(watch=True):
        out = copy_to_device(np.array([0.0, 0.1, 0.2, 0.3]))
        launch(halves, 1, 1, out)
        assert copy_to_host(out)[0] == 0.1 + 0.2
