"""Imports point down: each contract of pyproject.toml holds, and breaks where it should."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRACTS = {item["id"]: item["name"] for item in CONFIG["tool"]["importlinter"]["contracts"]}
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

PLANTED = [
    ("fastrnn-floors", "fastrnn/kernels/elman.py", "from fastrnn.arrays import count"),
    ("fastrnn-floors", "fastrnn/simd/vec.py", "import fastrnn.kernels.gemm"),
    ("fastrnn-floors", "fastrnn/reference/elman.py", "from fastrnn import kernels"),
    ("fastrnn-floors", "fastrnn/losses.py", "from fastrnn import Elman"),
    ("fastrnn-floors", "fastrnn/floorless.py", "import math"),
    ("tdnn-floors", "tdnn/kernels.py", "from tdnn.layer import tdnn_forward"),
    ("tdnn-floors", "tdnn/layer.py", "def late():\n    import tdnn.network"),
    ("tdnn-floors", "tdnn/network.py", "from tdnn.compare import errors"),
    ("fastrnn-below-tdnn", "fastrnn/arrays.py", "import tdnn"),
    ("reference-is-numpy", "fastrnn/reference/losses.py", "import numba"),
    ("reference-is-numpy", "tdnn/reference.py", "from fastrnn.jit import kernel"),
    ("tdnn-kernels-below", "tdnn/kernels.py", "import fastrnn.threads"),
    ("kernels-without-reference", "tdnn/kernels.py", "import fastrnn.reference"),
    ("core-is-light", "fastrnn/training.py", "def late():\n    import torch"),
    ("core-is-light", "tdnn/splice.py", "import scipy.stats"),
    ("no-tests", "fastrnn/model.py", "import tests.helpers"),
    ("no-tests", "tdnn/compare/errors.py", "import benchmarks"),
]


def lint(folder):
    """Run import-linter over the packages in `folder`, with the project's own contracts."""
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(folder)},
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path):
    """Copy what import-linter reads."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("fastrnn", "tdnn"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def test_the_tree_keeps_every_contract(tree):
    result = lint(tree)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize(("contract", "path", "line"), PLANTED)
def test_a_planted_import_breaks_its_contract(tree, contract, path, line):
    with open(tree / path, "a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint(tree)
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(rf"^{re.escape(CONTRACTS[contract])} BROKEN", result.stdout, re.M), (
        result.stdout + result.stderr
    )


def test_every_contract_was_seen_to_break():
    assert {contract for contract, _, _ in PLANTED} == set(CONTRACTS)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_test_runs_the_linter():
    result = subprocess.run(
        ["make", "--dry-run", "test"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "/lint-imports" in result.stdout
    assert "torch" not in result.stdout
