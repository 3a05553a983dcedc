"""Vectors of the processor, and exp, tanh and sigmoid of them."""

import inspect
import subprocess
import sys

import numba
import numpy as np
import pytest
from processors import PROCESSORS, variables, why_not

from fastrnn import simd
from fastrnn.jit import kernel
from fastrnn.simd import (
    copysign,
    if_negative,
    lane,
    lanes,
    load,
    load_part,
    maximum,
    minimum,
    plain,
    store,
    store_part,
)
from fastrnn.simd.functions import exp, sigmoid, tanh

pytestmark = pytest.mark.lanes


@kernel
def apply_exp(x, out):
    for i in range(0, x.size, lanes(x)):
        store(out, i, exp(load(x, i)))


@kernel
def apply_tanh(x, out):
    for i in range(0, x.size, lanes(x)):
        store(out, i, tanh(load(x, i)))


@kernel
def apply_sigmoid(x, out):
    for i in range(0, x.size, lanes(x)):
        store(out, i, sigmoid(load(x, i)))


def reference_sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "exp": (apply_exp, np.exp),
    "tanh": (apply_tanh, np.tanh),
    "sigmoid": (apply_sigmoid, reference_sigmoid),
}


def units_in_the_last_place(got, exact, dtype):
    """Return the error in units of the exact value's last digit, where that is a normal number."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.abs(exact.astype(dtype))
    normal = np.isfinite(rounded) & (rounded >= np.finfo(dtype).tiny)
    error = np.abs(got[normal].astype(exact.dtype) - exact[normal])
    return error / np.spacing(rounded[normal]).astype(exact.dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_functions_are_within_two_units_of_the_last_place(name):
    function, reference = FUNCTIONS[name]
    step = 48_001 if simd.VECTOR_BYTES == plain.VECTOR_BYTES else 301  # plain Python is slow
    bits = np.arange(0x00800000, 0x7F800000, step, dtype=np.uint32)
    x = bits[: bits.size // 64 * 64].view(np.float32)
    for signed in (x, -x):
        out = np.empty_like(signed)
        with np.errstate(all="ignore"):
            function(signed, out)
            exact = reference(signed.astype(np.float64))
        assert units_in_the_last_place(out, exact, np.float32).max() <= 2
        too_large = exact > np.finfo(np.float32).max
        assert np.isposinf(out[too_large]).all()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider float to compare with")
def test_float64_functions_are_within_two_units_of_the_last_place(name):
    function, reference = FUNCTIONS[name]
    count = 640 if simd.VECTOR_BYTES == plain.VECTOR_BYTES else 640_000
    rng = np.random.default_rng(0)
    x = np.concatenate([
        rng.uniform(-1, 1, count),
        rng.uniform(-30, 30, count),
        rng.uniform(-745, 709, count),
        10.0 ** rng.uniform(-300, 2, count),
    ])  # fmt: skip
    out = np.empty_like(x)
    with np.errstate(all="ignore"):
        function(x, out)
        exact = reference(x.astype(np.longdouble))
    assert units_in_the_last_place(out, exact, np.float64).max() <= 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype):
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype), 64)
    expected = {
        "exp": [np.nan, np.inf, 0, 1, 1],
        "tanh": [np.nan, 1, -1, 0.0, -0.0],
        "sigmoid": [np.nan, 1, 0, 0.5, 0.5],
    }
    for name, (function, _) in FUNCTIONS.items():
        out = np.empty_like(x)
        with np.errstate(all="ignore"):
            function(x, out)
        np.testing.assert_array_equal(out, np.tile(np.array(expected[name], dtype), 64))
        if name == "tanh":
            np.testing.assert_array_equal(np.signbit(out[3:5]), [False, True])


@kernel
def choose(x, y, out):
    a, b = load(x, 0), load(y, 0)
    n = lanes(x)
    store(out, 0, minimum(a, b))
    store(out, n, maximum(a, b))
    store(out, 2 * n, copysign(a, b))
    store(out, 3 * n, if_negative(a, b, a))


def test_choosing_keeps_nan_of_the_first():
    n = simd.VECTOR_BYTES // 8
    x, y = np.full(n, np.nan), np.arange(n) - 1.0
    out = np.empty(4 * n)
    choose(x, y, out)
    assert np.isnan(out).all()
    choose(-y, y, out)
    np.testing.assert_array_equal(out[:n], np.minimum(-y, y))
    np.testing.assert_array_equal(out[n : 2 * n], np.maximum(-y, y))
    np.testing.assert_array_equal(out[2 * n : 3 * n], np.copysign(-y, y))
    np.testing.assert_array_equal(out[3 * n :], np.where(-y < 0, y, -y))


@kernel
def copy_part(x, out, count):
    vec = load_part(x, 1, count)
    store_part(out, 2, vec, count)
    return lane(vec, 0)


def test_parts_touch_nothing_else():
    n = simd.VECTOR_BYTES // 4
    x = np.arange(2 * n, dtype=np.float32)
    for count in range(-1, n + 2):
        out = np.full(2 * n + 2, -1, np.float32)
        first = copy_part(x, out, count)
        kept = max(0, min(count, n))
        assert first == (1 if kept else 0)
        np.testing.assert_array_equal(out[2 : 2 + kept], x[1 : 1 + kept])
        assert (out[:2] == -1).all()
        assert (out[2 + kept :] == -1).all()


@pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="there is no compiled twin without the compiler"
)
def test_the_plain_twin_has_every_function_with_its_arguments():
    for name in simd.__all__:
        if name not in ("REGISTERS", "VECTOR_BYTES"):
            compiled = inspect.signature(getattr(simd, name)._defn).parameters
            twin = inspect.signature(getattr(plain, name)).parameters
            assert list(compiled)[1:] == list(twin), name  # the first is Numba's context


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize("name", PROCESSORS)
def test_width_follows_the_target(name):
    """What is computed for each is tested by `make test-processors`, which runs this file whole."""
    reason = why_not(name)
    if reason:
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-c", "from fastrnn.simd import VECTOR_BYTES; print(VECTOR_BYTES)"],
        env=variables(name), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) in {16, 32, 64}
    assert PROCESSORS[name].vector_bytes in (None, int(done.stdout))


def test_other_processors_are_not_run_here(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert why_not("haswell") == "haswell is no processor of the kind aarch64"
    assert why_not("generic") == why_not("host") == ""
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    old = {"avx2": True, "fma": False, "bmi": True, "bmi2": True, "f16c": True, "movbe": True}
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: old)
    assert why_not("haswell") == "this processor lacks fma, lzcnt of haswell"
