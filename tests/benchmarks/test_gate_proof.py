"""The faults of `make gate-proof`: each still fits the tree, and names a benchmark there is."""

import ast
import shutil
from pathlib import Path

import pytest
from asv_runner.discovery import disc_benchmarks
from gate_plants import GRADIENTS, SLOWDOWNS

import benchmarks

ROOT = Path(benchmarks.__file__).parents[1]


@pytest.fixture(scope="module")
def names():
    return {item.name: item.params for item in disc_benchmarks(str(ROOT / "benchmarks"))}


@pytest.mark.parametrize("plant", [*SLOWDOWNS, *GRADIENTS], ids=lambda plant: plant.name)
def test_faults_fit_the_tree(plant, names, tmp_path):
    copy = tmp_path / plant.file
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / plant.file, copy)
    plant.apply(tmp_path)
    edited = copy.read_text("utf-8")
    ast.parse(edited)
    assert edited != (ROOT / plant.file).read_text("utf-8")
    params = names[plant.key.benchmark]
    assert len(params) == len(plant.key.parameters)
    assert all(word in known for word, known in zip(plant.key.parameters, params, strict=True))


def test_ten_of_each():
    assert len({plant.name for plant in SLOWDOWNS}) == len({p.name for p in GRADIENTS}) == 10
