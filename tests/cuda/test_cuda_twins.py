"""The floors on the GPU have the names, the arguments and the first line of those on the CPU."""

import importlib
import inspect

import pytest
from test_floors import FLOORS, first_line, shape_of

import fastrnn.cuda
import tdnn.cuda

# What a GPU's twin may take more, behind all else.
EXTRA = [("blas", inspect.Parameter.POSITIONAL_OR_KEYWORD, None)]


def on_the_gpu():
    """Return name -> function of every public kernel's twin."""
    modules = fastrnn.cuda, tdnn.cuda
    named = {name: getattr(module, name) for module in modules for name in module.__all__}
    return {name: found for name, found in named.items() if name not in ("available", "require")}


def on_the_cpu():
    found = {}
    for floor in FLOORS:
        compiled = importlib.import_module(floor.format("kernels"))
        plain = importlib.import_module(floor.format("reference"))
        found |= {
            name: (getattr(compiled, name), getattr(plain, name)) for name in compiled.__all__
        }
    return found


@pytest.mark.parametrize("name", sorted(on_the_cpu()))
def test_twins_share_parameters_and_first_line(name):
    twins = on_the_gpu()
    compiled, plain = on_the_cpu()[name]
    shape = shape_of(twins[name])
    if shape[-1:] == EXTRA:
        shape = shape[:-1]
    assert shape == shape_of(compiled) == shape_of(plain)
    assert first_line(twins[name]) == first_line(compiled) == first_line(plain)


def test_the_gpu_has_no_public_name_that_the_cpu_lacks():
    assert set(on_the_gpu()) == set(on_the_cpu())
