"""How kernels are compiled: kernels, parts linked into them, and both in a user's own functions."""

import pickle

import numba
import numpy as np
import pytest
from test_threads import python

from fastrnn.jit import inlined, kernel, part

compiled = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
pytestmark = pytest.mark.lanes


@part
def linked_part(x, factor=2.0, summand=0.0):
    """Multiply and add."""
    return x * factor + summand


@inlined
def inlined_part(x, factor=2.0, summand=0.0):
    """Multiply and add."""
    return x * factor + summand


@kernel
def called_kernel(x, factor=2.0, summand=0.0):
    """Multiply and add."""
    return x * factor + summand


@kernel
def call_linked(x):
    return linked_part(x), linked_part(x, summand=1.0), linked_part(x, 3.0), linked_part(x, 4.0, x)


@kernel
def call_inlined(x):
    return (
        inlined_part(x), inlined_part(x, summand=1.0), inlined_part(x, 3.0), inlined_part(x, 4.0, x)
    )  # fmt: skip


@kernel
def call_kernel(x):
    return (
        called_kernel(x), called_kernel(x, summand=1.0), called_kernel(x, 3.0),
        called_kernel(x, 4.0, x),
    )  # fmt: skip


SORTS = {
    "part": (linked_part, call_linked),
    "inlined": (inlined_part, call_inlined),
    "kernel": (called_kernel, call_kernel),
}


@pytest.mark.parametrize("sort", SORTS)
def test_defaults_and_keywords_within_a_kernel(sort):
    _, caller = SORTS[sort]
    assert caller(5.0) == (10, 11, 15, 25)


@compiled
@pytest.mark.parametrize("sort", SORTS)
def test_only_what_python_calls_is_machine_code(sort):
    function, caller = SORTS[sort]
    copy = type(function)(function.py_func)  # as Numba has it: the tests share the function itself
    assert not copy.overloads
    before = len(function.overloads)
    x = np.float32(5)  # no other test calls it with this type
    assert caller(x) == (10, 11, 15, 25)
    assert (len(function.overloads) > before) == (sort == "kernel")
    assert function(x) == 10
    assert (numba.float32, numba.types.Omitted(2.0), numba.types.Omitted(0.0)) in function.overloads


@part
def add_up(x, n, start):
    """Sum the first n numbers from `start` on."""
    total = 0.0
    for i in range(n):
        total += x[start + i]
    return total


@kernel
def add_up_kernel(x, n, start):
    """Sum the first n numbers from `start` on."""
    return add_up(x, n, start)


@kernel
def constants_and_variables(x):
    """Call with constants, with variables that begin as constants, and with neither."""
    total = add_up(x, 3, 0) + add_up_kernel(x, 3, 0) + add_up_kernel(x, n=3, start=1)
    start = 0
    while start < 2:
        total += add_up(x, 1, start) + add_up_kernel(x, 1, start)
        start += 1
    return total + add_up_kernel(x, x.size - 4, start=start)


def test_constants_share_the_compilation_of_variables():
    x = np.arange(1.0, 6.0)
    assert constants_and_variables(x) == 6 + 6 + 9 + 2 * (1 + 2) + 3
    if not numba.config.DISABLE_JIT:
        array = numba.typeof(x)
        assert add_up_kernel.signatures == [(array, numba.int64, numba.int64)]


@compiled
def test_each_type_is_compiled_for_itself():
    for dtype in (np.float32, np.float64):
        x = np.full(5, 1 + 2.0**-30, dtype)
        assert constants_and_variables(x) == 14 * float(dtype(1 + 2.0**-30))


@kernel
def raise_through(x):
    """Raise from a part."""
    return refuse(x)


@part
def refuse(x):
    """Raise, unless x is positive."""
    if x <= 0:
        raise ValueError("x: expected a positive number")
    return x


def test_errors_of_a_part_reach_python():
    assert raise_through(1.0) == 1
    with pytest.raises(ValueError, match="^x: expected a positive number$"):
        raise_through(-1.0)


USER = """
import numba
import numpy as np
from fastrnn.kernels import linear_forward

@numba.njit
def plain(h, V, c):
    return linear_forward(h, V, c)

@numba.njit(cache=True)
def cached(h, V, c):
    return linear_forward(h, V, c)

h, V, c = np.ones((1, 2, 3)), np.eye(3), np.arange(3.0)
assert (plain(h, V, c) == 1 + c).all() and (cached(h, V, c) == 1 + c).all()
print(sum(cached.stats.cache_hits.values()), sum(cached.stats.cache_misses.values()))
"""


@compiled
def test_users_functions_compiled_and_from_the_cache(tmp_path, monkeypatch):
    (tmp_path / "user.py").write_text(USER)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    for hits_and_misses in ("0 1\n", "1 0\n"):
        done = python("import user")
        assert (done.returncode, done.stdout) == (0, hits_and_misses), done.stderr


UNPICKLE = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    functions = pickle.load(file)
print([function(5.0) for function in functions])
"""


@compiled
def test_dispatchers_of_every_sort_are_pickled(tmp_path):
    functions = [linked_part, inlined_part, called_kernel, call_linked, call_inlined]
    pickled = pickle.dumps(functions)
    assert all(a is b for a, b in zip(pickle.loads(pickled), functions, strict=True))
    path = tmp_path / "functions"
    path.write_bytes(pickled)
    elsewhere = python(UNPICKLE.replace("sys.argv[1]", repr(str(path))))
    assert elsewhere.returncode == 0, elsewhere.stderr
    four = (10.0, 11.0, 15.0, 25.0)
    assert elsewhere.stdout == f"{[10.0, 10.0, 10.0, four, four]}\n"


def test_without_the_compiler_they_are_plain_functions():
    done = python(
        """
        import types
        from fastrnn.jit import inlined, kernel, part
        from fastrnn.kernels import elman_step
        from fastrnn.simd.tile import tile_many

        def double(x): return 2 * x

        for decorate in (inlined, kernel, part):
            assert decorate(double) is double
        for function in (elman_step, tile_many):
            assert isinstance(function, types.FunctionType), function
        """,
        NUMBA_DISABLE_JIT="1",
    )
    assert done.returncode == 0, done.stderr
