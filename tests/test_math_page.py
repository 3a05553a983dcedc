"""docs/math.md: what it names exists, its figures are the library's, its code runs."""

import ast
import re
from pathlib import Path

import pytest

from fastrnn.figures import FIGURES, draw

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "math.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w./-]+\.py):([\w.]+)`", PAGE)))
PATHS = sorted(set(re.findall(r"`((?:fastrnn|tdnn|tests)/[\w./-]*)`", PAGE)))


def definition(body, name):
    """Return the function or class of this dotted name, in a parsed file; None without one."""
    first, _, rest = name.partition(".")
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = next((node for node in body if isinstance(node, kinds) and node.name == first), None)
    return definition(found.body, rest) if rest and found else found


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_function_that_is_named_exists(path, name):
    assert definition(ast.parse((ROOT / path).read_text()).body, name) is not None


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_is_named_exists(path):
    assert (ROOT / path).exists()


def test_names_are_found_at_all():
    assert len(NAMED) >= 60 and len(PATHS) >= 7
    tree = ast.parse("class A:\n    def f(self): pass")
    assert definition(tree.body, "A.f") is not None and definition(tree.body, "A.g") is None


def test_every_numbered_formula_is_computed_somewhere():
    """Each formula's number stands in a table's first column, or in the text around it."""
    numbers = re.findall(r"^    \((\d+\.\d+)\)", PAGE, re.MULTILINE)
    assert len(numbers) == len(set(numbers)) >= 20
    lines = [line for line in PAGE.splitlines() if not line.startswith("    ")]
    told = " ".join(line.split("|")[1] if line.startswith("|") else line for line in lines)
    for number in numbers:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", told), number


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_that_are_drawn(name):
    assert f"(figures/{name}.svg)" in PAGE
    assert (ROOT / "docs" / "figures" / f"{name}.svg").read_text() == draw(name)


def test_all_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_the_example_runs():
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(code, names)
    assert names["first"].shape == names["second"].shape == (8, 8)
    assert names["second"].any()
