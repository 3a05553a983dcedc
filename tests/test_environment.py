"""``python -m fastrnn`` and the facts that it prints."""

import json
import os
import platform
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec

import numba
import numpy as np
import pytest

import fastrnn
import fastrnn.environment as module
from fastrnn.__main__ import main
from fastrnn.environment import cuda_status, describe


def no_numba_cuda(name):
    """Answer as importlib.util.find_spec does where nothing is installed."""


def some_numba_cuda(name):
    """Answer as importlib.util.find_spec does where the package is there."""
    return ModuleSpec(name, loader=None)


def plant_cuda(monkeypatch, **attributes):
    """Let ``from numba import cuda`` find a module with these attributes."""
    cuda = types.ModuleType("numba.cuda")
    vars(cuda).update(attributes)
    monkeypatch.setattr(module.importlib.util, "find_spec", some_numba_cuda)
    monkeypatch.setitem(sys.modules, "numba.cuda", cuda)
    monkeypatch.setattr(numba, "cuda", cuda, raising=False)


def test_facts_are_those_of_this_process(monkeypatch):
    monkeypatch.setenv("FASTRNN_NUM_THREADS", "3")
    facts = describe()
    assert facts["fastrnn"] == fastrnn.__version__
    assert facts["numba"] == numba.__version__
    assert facts["numpy"] == np.__version__
    assert facts["python"] == platform.python_version()
    assert facts["threads"] == 3
    assert 1 <= facts["cores"] <= (os.cpu_count() or 1)
    assert facts["processor"]
    assert "cuda" not in facts
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize(
    ("found", "features", "bits"),
    [
        ({"sse2": True, "avx2": True, "avx512f": False}, ["avx2", "sse2"], 256),
        ({"sse2": True, "avx512f": True}, ["avx512f", "sse2"], 512),
        ({"neon": True, "crc": True}, ["neon"], 128),
        ({}, [], 0),
    ],
)
def test_widest_vector(monkeypatch, found, features, bits):
    monkeypatch.setattr(module.llvm, "get_host_cpu_features", lambda: found)
    facts = describe()
    assert facts["features"] == features
    assert facts["vector_bits"] == bits


def test_no_features_where_llvm_cannot_tell(monkeypatch):
    def cannot_tell():
        raise RuntimeError("LLVM could not determine the features")

    monkeypatch.setattr(module.llvm, "get_host_cpu_features", cannot_tell)
    assert describe()["features"] == []


def test_cuda_package_missing(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", no_numba_cuda)
    assert "fastrnn[cuda]" in describe(cuda=True)["cuda"]


def test_cuda_driver_missing(monkeypatch):
    plant_cuda(monkeypatch, is_available=lambda: False)
    assert cuda_status() == "not available: no GPU, or no driver for it"


def test_cuda_that_does_not_load(monkeypatch):
    def fails():
        raise AttributeError("module 'numba' has no attribute 'x'\nand much more")

    plant_cuda(monkeypatch, is_available=fails)
    told = "not available: AttributeError from numba.cuda (module 'numba' has no attribute 'x')"
    assert cuda_status() == told


@pytest.mark.parametrize("name", ["a name", b"a name"])
def test_cuda_device(monkeypatch, capsys, name):
    device = types.SimpleNamespace(name=name)
    plant_cuda(monkeypatch, is_available=lambda: True, get_current_device=lambda: device)
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split(maxsplit=1) == [
        "cuda",
        "available: a name",
    ]


def test_module_prints_one_line_per_fact(capsys):
    assert main([]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == list(describe(cuda=True))


def test_json(capsys):
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == describe(cuda=True)


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "output"),
    [
        (["--version"], {}, 0, f"fastrnn {fastrnn.__version__}\n"),
        (["--jason"], {}, 2, "python -m fastrnn: error: unrecognized arguments: --jason"),
        ([], {"FASTRNN_NUM_THREADS": "many"}, 2, "python -m fastrnn: error: FASTRNN_NUM_THREADS: "),
    ],
)
def test_exit_code_and_one_line(arguments, variables, code, output):
    result = subprocess.run(
        [sys.executable, "-m", "fastrnn", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )  # fmt: skip
    assert result.returncode == code
    told = result.stderr if code else result.stdout
    assert told.startswith(output)
    assert len(told.splitlines()) == 1
    assert (result.stdout if code else result.stderr) == ""
