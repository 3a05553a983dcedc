"""The wheel: what is in it, that its import is light, that it runs where nothing can be written."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import fastrnn

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fastrnn", "tdnn")
# All but these two come with an extra.
CORE = {"numba", "numpy"}
EXTRAS = {"all", "bench", "cluster", "cuda", "io", "peers", "report", "test"}


def run(*command, cwd, **variables):
    """Run Python in `cwd` with these environment variables; return its standard output."""
    result = subprocess.run(
        [sys.executable, *command],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **variables},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel without network, from the installed hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run("-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(contents):
    (text,) = (data for name, data in contents.items() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(text.decode())


@pytest.fixture
def installed(wheel, tmp_path):
    """Lay the wheel out as an installer does; Python finds it there by PYTHONPATH."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_wheel_holds_the_two_packages_and_nothing_else(contents):
    name = f"fastrnn-{fastrnn.__version__}.dist-info"
    assert {path.split("/")[0] for path in contents} == {*PACKAGES, name}
    inside = {path for path in contents if not path.startswith(name)}
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == tree
    assert {"fastrnn/py.typed", "tdnn/py.typed"} <= inside
    assert any(path.startswith("tdnn/compare/templates/") for path in inside)
    assert f"{name}/licenses/LICENSE" in contents


def test_metadata(metadata):
    assert metadata["Name"] == "fastrnn"
    assert metadata["Version"] == fastrnn.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_payload().startswith("# FastRNN")
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS
    needs = [need for need in metadata.get_all("Requires-Dist") if "extra ==" not in need]
    assert {re.match(r"[\w-]+", need).group() for need in needs} == CORE


def test_all_is_every_extra_but_cuda(metadata):
    needs = {extra: set() for extra in EXTRAS}
    for line in metadata.get_all("Requires-Dist"):
        need, _, marker = line.partition("; extra == ")
        if marker:
            needs[marker.strip("'")].add(need)
    assert all(needs.values())
    others = (needs[extra] for extra in EXTRAS - {"all", "cuda"})
    assert needs["all"] == set().union(*others)
    assert not needs["all"] & needs["cuda"]


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("console_scripts", "rnn-vs-tdnn", "tdnn.compare.__main__:main"),
        ("fastrnn.bodies", "elman", "fastrnn.elman:Elman"),
        ("fastrnn.bodies", "jordan", "fastrnn.jordan:Jordan"),
        ("fastrnn.bodies", "stack", "fastrnn.stack:Stack"),
        ("fastrnn.bodies", "tdnn", "tdnn.network:TDNN"),
        ("fastrnn.bodies", "tdnn-residual", "tdnn.residual:ResidualTDNN"),
    ],
)
def test_entry_points_name_what_is_there(contents, group, name, value):
    (text,) = (data for path, data in contents.items() if path.endswith("entry_points.txt"))
    section = text.decode().split(f"[{group}]")[1].split("\n[")[0]
    assert f"{name} = {value}" in section.splitlines()
    assert callable(EntryPoint(name, value, group).load())


def test_one_version_everywhere():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {fastrnn.__version__}\n" in citation
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert headings[0] == fastrnn.__version__


LIGHT = """
import sys
import numba, numpy
before = set(sys.modules)
import PACKAGE
assert PACKAGE.__file__.startswith(sys.argv[1]), PACKAGE.__file__
loaded = set(sys.modules)
new = {name.split(".")[0] for name in loaded} - {name.split(".")[0] for name in before}
new -= set(sys.stdlib_module_names)
assert new == ALLOWED, new
assert not {"numba.cuda", "numba_cuda", "tdnn.compare"} & loaded
from numba.core.dispatcher import Dispatcher
compiled = {
    f"{name}.{key}": value.signatures
    for name in loaded if name.split(".")[0] in ALLOWED
    for key, value in vars(sys.modules[name]).items() if isinstance(value, Dispatcher)
}
assert len(compiled) > 10, compiled
assert not any(compiled.values()), compiled
"""


@pytest.mark.parametrize(
    ("package", "allowed"), [("fastrnn", {"fastrnn"}), ("tdnn", {"tdnn", "fastrnn"})]
)
def test_import_loads_nothing_heavy_and_compiles_nothing(installed, tmp_path, package, allowed):
    code = LIGHT.replace("PACKAGE", package).replace("ALLOWED", repr(allowed))
    cache = tmp_path / "cache"
    run(
        "-W", "error", "-c", code, str(installed),
        cwd=tmp_path, PYTHONPATH=str(installed), NUMBA_CACHE_DIR=str(cache), NUMBA_DISABLE_JIT="0",
    )  # fmt: skip
    assert not list(cache.rglob("*.nb?"))


READ_ONLY = """
import sys
import numpy as np
import fastrnn, tdnn
assert fastrnn.__file__.startswith(sys.argv[1]), fastrnn.__file__
try:
    import cached
except RuntimeError as error:
    assert "cannot cache" in str(error), error
else:
    raise AssertionError("there is a place where Numba can write")
x = np.ones((3, 2, 1))
U, W, b = np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1)
np.testing.assert_allclose(fastrnn.elman_forward(x, U, W, b).h, np.tanh(1.0))
assert (tdnn.tdnn_forward(x, np.ones((2, 1, 1)), b, (-1, 0)).h == 2.0).all()
"""


@pytest.mark.parametrize("named", [False, True], ids=["no cache named", "unwritable cache named"])
def test_works_where_nothing_can_be_written(installed, tmp_path, named):
    # Permission bits do not bind root. A plain file where a folder is wanted binds everybody.
    (installed / "cached.py").write_text("import numba\nnumba.njit(cache=True)(lambda: 0)\n")
    for folder in [installed, *(path for path in installed.rglob("*") if path.is_dir())]:
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    for folder in [installed, *(path for path in installed.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()
    home = tmp_path / "home"
    home.touch()
    before = sorted(tmp_path.rglob("*"))
    run(
        "-W", "error", "-c", READ_ONLY, str(installed),
        cwd=tmp_path, PYTHONPATH=str(installed), HOME=str(home), XDG_CACHE_HOME=str(home),
        LOCALAPPDATA=str(home), NUMBA_CACHE_DIR=str(home / "numba") if named else "",
    )  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before


def test_no_file_names_a_place_on_this_machine():
    places = {str(ROOT), str(ROOT.parent), os.path.expanduser("~")} - {"/", "~"}
    pattern = "|".join(rf"(?<![\w./-]){re.escape(place)}(?![\w-])" for place in places)
    folders = (*PACKAGES, "tests", "benchmarks", "docs", ".ci")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    assert ROOT / "pyproject.toml" in files
    found = [str(path) for path in files if re.search(pattern.encode(), path.read_bytes())]
    assert not found
