"""The asv suite: that asv finds every benchmark, and that a wrong result is no benchmark."""

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from asv_runner.discovery import disc_benchmarks
from bench_smoke import CHOSEN

import benchmarks
import fastrnn
from benchmarks import calls, yardstick
from fastrnn.results import ElmanState

FOLDER = Path(benchmarks.__file__).parent
SUITE = {"cpu", "cuda", "gradients", "memory", "report", "startup"}
HELPERS = {"calls", "models", "shapes", "yardstick"}
HOOKS = {"setup", "setup_cache", "teardown"}


@pytest.fixture(scope="module")
def found():
    return list(disc_benchmarks(str(FOLDER)))


def lost_names(module, names):
    """Public functions of a module's public classes that asv does not collect, hooks left out."""
    return [
        f"{module.__name__}.{title}.{name}"
        for title, thing in vars(module).items()
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and title[0] != "_"
        for name, member in inspect.getmembers(thing, inspect.isfunction)
        if name[0] != "_" and name not in HOOKS and f"{title}.{name}" not in names
    ]


def test_every_benchmark_is_collected(found):
    modules = {name for _, name, _ in pkgutil.iter_modules([str(FOLDER)])}
    assert modules == SUITE | HELPERS, "name each new file here; asv imports all of them"
    assert {item.name.partition(".")[0] for item in found} == SUITE
    for name in SUITE:
        module = importlib.import_module(f"benchmarks.{name}")
        own = {item.name.partition(".")[2] for item in found if item.name.startswith(name + ".")}
        assert own, f"{name}: asv finds no benchmark"
        assert lost_names(module, own) == []
        functions = [
            title
            for title, thing in vars(module).items()
            if inspect.isfunction(thing) and thing.__module__ == module.__name__
        ]
        assert all(title[0] == "_" for title in functions), f"{name}: a benchmark without class"


def test_a_lost_benchmark_is_seen():
    class Elman:
        def time_forward(self):
            """Collected."""

        def timing_backward(self):
            """A name that asv does not know."""

    Elman.__module__ = "benchmarks.planted"
    module = SimpleNamespace(__name__="benchmarks.planted", Elman=Elman)
    assert lost_names(module, {"Elman.time_forward"}) == [
        "benchmarks.planted.Elman.timing_backward"
    ]


def test_benchmarks_avoid_the_traps_of_asv(found):
    names = [item.name for item in found]
    assert len(set(names)) == len(names)
    for item in found:
        assert re.fullmatch(r"\d+", item.version), f"{item.name}: no version set by hand"
        assert item.check(str(FOLDER)), f"{item.name}: arguments do not fit params"
        if item.type == "time":
            assert item.number > 0, f"{item.name}: asv would count the call that compiles"
            raw = item.name.rpartition(".")[2].startswith("timeraw_")
            assert raw or not item._setups, f"{item.name}: setup would be called before each call"
        else:
            assert item.type in ("track", "peakmemory")
            assert item.unit != "unit"


def test_the_smoke_run_leaves_no_benchmark_out(found):
    for item in found:
        sets = itertools.product(*item.params)
        names = [f"{item.name}({', '.join(words)})" if words else item.name for words in sets]
        assert any(re.search(CHOSEN, name) for name in names), item.name


def test_asv_needs_nothing_but_the_core():
    """Old versions, and environments without other frameworks, are benchmarked too."""
    allowed = {"benchmarks", "numpy"}
    for name in SUITE | HELPERS | {"__init__"}:
        tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
        for node in tree.body:  # what is imported inside functions is imported when it runs
            if isinstance(node, ast.Import):
                used = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                used = [str(node.module)]
            else:
                continue
            for module in used:
                top = module.partition(".")[0]
                assert top in allowed or top in importlib.import_module("sys").stdlib_module_names
    for folder in ("history", "peers", "truncation"):
        assert not (FOLDER / folder / "__init__.py").exists(), "asv would import what lies there"


def test_a_wrong_kernel_is_no_benchmark(monkeypatch):
    factor = 1.0

    def elman_forward(x, U, W, b, h0, *, lengths, threads):
        states, h_last = yardstick.elman(x, U, W, b, h0, lengths)
        return ElmanState(factor * states[1:], h_last)

    monkeypatch.setattr(fastrnn, "elman_forward", elman_forward)
    job = calls.job("elman forward", "one", "float64")
    assert calls.error_of(job, "float64") < 1
    factor = 1 + 1e-12
    with pytest.raises(ValueError, match="h: expected an error of at most 5e-15"):
        calls.error_of(job, "float64")


def test_what_a_version_lacks_is_skipped(monkeypatch):
    monkeypatch.delattr(fastrnn, "elman_backward")
    with pytest.raises(NotImplementedError, match=r"no fastrnn\.elman_backward"):
        calls.job("elman backward", "one", "float32")
    with pytest.raises(NotImplementedError, match=r"no fastrnn\.gru\.x"):
        calls.public("fastrnn.gru.x")


# The yardstick against central differences, along one direction through all arguments


def difference(function, arrays, directions):
    h = 1e-5
    ahead, behind = (
        function([a + sign * h * d for a, d in zip(arrays, directions, strict=True)])
        for sign in (1, -1)
    )
    return (ahead - behind) / (2 * h)


@pytest.mark.parametrize("fed", ["forced", "free"])
def test_jordan_yardstick(fed):
    rng = np.random.default_rng(0)
    T, B, p, m, q = 6, 3, 4, 5, 3
    y = rng.integers(0, q, (T, B)) if fed == "forced" else None
    sizes = {"x": (T, B, p), "U": (m, p), "W": (m, q), "b": (m,), "V": (q, m), "c": (q,)}
    arrays = [rng.standard_normal(shape) for shape in sizes.values()]
    directions = [rng.standard_normal(shape) for shape in sizes.values()]
    targets = rng.integers(0, q, (T, B))

    def loss(arguments):
        return yardstick.cross_entropy(yardstick.jordan(*arguments, y)["o"], targets)[0]

    state = yardstick.jordan(*arrays, y)
    do = yardstick.cross_entropy(state["o"], targets)[1]
    x, U, W, _, V, _ = arrays
    grads = yardstick.jordan_backward(do, x, state, U, W, V, y)
    expected = sum((grads[f"d{name}"] * d).sum() for name, d in zip(sizes, directions, strict=True))
    assert difference(loss, arrays, directions) == pytest.approx(expected, rel=1e-7)


def test_elman_and_loss_yardsticks():
    rng = np.random.default_rng(1)
    T, B, p, m = 6, 4, 3, 5
    lengths = np.array([6, 0, 3, 1])
    sizes = {"x": (T, B, p), "U": (m, p), "W": (m, m), "b": (m,), "h0": (B, m)}
    arrays = [rng.standard_normal(shape) for shape in sizes.values()]
    directions = [rng.standard_normal(shape) for shape in sizes.values()]
    targets = rng.random((T, B, m))
    valid = yardstick.valid_steps(T, B, lengths)

    for loss in (yardstick.sigmoid_loss, yardstick.squared_loss):

        def total(arguments, loss=loss):
            h = yardstick.elman(*arguments, lengths)[0][1:] * valid
            return loss(h, targets)[0]

        states, _ = yardstick.elman(*arrays, lengths)
        dh = loss(states[1:] * valid, targets)[1]
        x, U, W, _, _ = arrays
        grads = yardstick.elman_backward(dh, x, states, U, W, lengths)
        expected = sum(
            (grads[f"d{name}"] * d).sum() for name, d in zip(sizes, directions, strict=True)
        )
        assert difference(total, arrays, directions) == pytest.approx(expected, rel=1e-7)
