"""Record: run the suite on the checkout as committed, file the results under its commit."""

import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.history.results import ROOT, HistoryError, again, read_json, write_atomically

__all__ = ["commit_of", "file_result", "record", "refuse_unfit", "subjects", "write_config"]

# asv names results after the interpreter's path, which is of no use on any other machine.
_PACKAGES = ("numpy", "numba", "llvmlite")


def commit_of(name: str, argument: str, checkout: Path = ROOT) -> str:
    """Return the whole hash of a commit; a name that Git does not know may be a hash itself."""
    found = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", checkout=checkout)
    if found.returncode == 0:
        return found.stdout.strip()
    if re.fullmatch("[0-9a-f]{7,40}", name):
        return name
    raise HistoryError(f"{argument}: {name!r} is no commit here", "such as HEAD~1, or a hash")


def subjects(commits: Sequence[str]) -> dict[str, str]:
    """Return the subjects of those commits that Git knows here."""
    listed = _git("log", "--no-walk", "--ignore-missing", "--format=%H %s", *commits, checkout=ROOT)
    pairs = (line.partition(" ")[::2] for line in listed.stdout.splitlines())
    return {commit: subject for commit, subject in pairs if commit in commits}


def refuse_unfit(results: Path, checkout: Path = ROOT) -> str:
    """Return the commit of a checkout, if it is what FastRNN would be measured as.

    Parameters
    ----------
    results : Path
        Changes in this folder do not count, nor in that of second runs.
    checkout : Path
        This one, or another.

    Raises
    ------
    HistoryError
        If asv is missing, the tree is dirty, or the package is not this checkout.
    """
    status = _git("status", "--porcelain", "--untracked-files=all", "-z", checkout=checkout)
    if status.returncode:
        raise HistoryError(f"{checkout} is no Git checkout", "record inside a clone")
    own = (results, again(results))
    changed = [
        entry[3:]
        for entry in status.stdout.split("\0")
        if entry and not any((checkout / entry[3:]).is_relative_to(kept) for kept in own)
    ]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise HistoryError(f"the tree is dirty: {changed[0]}{more}", "commit or stash first")
    for package in ("fastrnn", "tdnn"):
        place = _place_of(package, checkout)
        if place != checkout / package:
            raise HistoryError(
                f"the installed {package} is {place or 'missing'}, not {checkout / package}",
                f"{Path(sys.executable).name} -m pip install -e {ROOT}",
            )
    if importlib.util.find_spec("asv") is None:
        raise HistoryError("record needs asv", 'pip install -e ".[bench,report]"')
    return commit_of("HEAD", "record", checkout)


def record(
    results: Path,
    machine: str | None,
    bench: Sequence[str] = (),
    *,
    into: Path | None = None,
    checkout: Path = ROOT,
    quick: bool = False,
) -> Path:
    """Run the suite for a checkout's commit in this environment, without network.

    Parameters
    ----------
    results : Path
        The folder of results. Those of other benchmarks of the same commit stay.
    machine : str, optional
        The name to file them under. Default: what `asv machine` says.
    bench : sequence of str
        Regular expressions, as of `asv run --bench`. Default: all benchmarks.
    into : Path, optional
        Another folder to file them in: that of second runs.
    checkout : Path
        What to measure, with this checkout's suite. Another one need not be installed.
    quick : bool
        One call each: for trying only.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    HistoryError
        If the checkout is unfit, see `refuse_unfit`, or asv wrote no results.
    """
    commit = refuse_unfit(results, checkout)
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "results"
        asv = [sys.executable, "-m", "asv"]
        config = write_config(Path(folder), new, checkout)
        name = ["--machine", machine] if machine else []
        _run([*asv, "machine", "--yes", *name, "--config", str(config)], "asv machine", checkout)
        command = [*asv, "run", "--config", str(config), "--environment", "existing:same",
                   "--set-commit-hash", commit, "--show-stderr", *name]  # fmt: skip
        for pattern in bench:
            command += ["--bench", pattern]
        # 2: a benchmark failed, which its result says.
        _run(command + (["--quick"] if quick else []), "asv run", checkout, allowed=(0, 2))
        written = sorted(new.glob(f"*/{commit[:8]}-*.json"))
        if not written:
            raise HistoryError("asv wrote no results", "see what it printed; --bench may fit none")
        return file_result(written[0], into or results)


def file_result(written: Path, results: Path) -> Path:
    """Move a new result among those that are there, without this machine's paths in it."""
    content, machine = read_json(written), written.parent.name
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    content.update(env_name=f"existing-py{python}", python=python)
    content["params"].update(python=python, **_versions())
    content["requirements"] = {}
    target = results / machine / f"{content['commit_hash'][:8]}-existing-py{python}.json"
    if target.exists():
        kept, columns = read_json(target)["results"], content["result_columns"]
        for name, row in content["results"].items():
            if name in kept:
                _keep_unselected(row, kept[name], columns)
        content["results"] = {**kept, **content["results"]}
    write_atomically(target, _json(content))
    facts = {**_machine_facts(), **read_json(written.with_name("machine.json"))}
    write_atomically(results / machine / "machine.json", _json(facts))
    described = written.parents[1] / "benchmarks.json"
    if described.exists():
        write_atomically(results / "benchmarks.json", _json(read_json(described)))
    return target


def _machine_facts() -> dict[str, str]:
    """Return what asv would ask of this machine; not its name, nor its kernel's version."""
    from asv.machine import Machine

    facts = Machine.get_defaults()
    memory = f"{int(facts['ram']) / 2**30:.0f} GiB" if facts["ram"].isdecimal() else facts["ram"]
    kept = {name: facts[name] for name in ("arch", "cpu", "num_cpu")}
    return {**kept, "os": platform.system(), "ram": memory}


def _keep_unselected(row: Any, old: Any, columns: list[str]) -> None:
    """Take over from `old` what this run left out: asv writes NaN for parameters not chosen."""
    if not (isinstance(row, list) and isinstance(old, list)) or row[1:3] != old[1:3]:
        return  # failed as a whole, or another benchmark: other parameters, another version
    left_out = [i for i, value in enumerate(row[0] or []) if value != value]  # NaN
    if not left_out or not old[0]:
        return
    row.extend([None] * (len(columns) - len(row)))
    for place, title in enumerate(columns):
        if title != "result" and not title.startswith("stats_"):
            continue
        theirs = old[place] if place < len(old) else None
        if theirs is None and row[place] is None:
            continue
        cells = row[place] or [None] * len(row[0])
        row[place] = [
            (theirs[i] if theirs else None) if i in left_out else cell
            for i, cell in enumerate(cells)
        ]


def _json(content: dict[str, Any]) -> str:
    """A line for each benchmark, so that files are small and differences readable."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return re.sub(r'(,)("[\w.]+":(?:\[\[|\[null|\{"code"))', r"\1\n\2", text) + "\n"


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in _PACKAGES}


def write_config(folder: Path, results: Path, checkout: Path = ROOT) -> Path:
    """Write asv's configuration with whole paths, and results that go elsewhere."""
    text = (ROOT / "asv.conf.json").read_text("utf-8")
    plain = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    settings = json.loads(plain)
    settings.update(
        repo=str(checkout),
        benchmark_dir=str(ROOT / "benchmarks"),
        results_dir=str(results),
        env_dir=str(folder / "env"),
        html_dir=str(folder / "html"),
    )
    path = folder / "asv.conf.json"
    path.write_text(json.dumps(settings), "utf-8")
    return path


def _run(command: list[str], what: str, checkout: Path, allowed: tuple[int, ...] = (0,)) -> None:
    # Elsewhere than in the checkout, whose folders would be imported.
    with tempfile.TemporaryDirectory() as empty:
        returned = subprocess.run(
            command, check=False, cwd=empty, stdin=subprocess.DEVNULL, env=_environment(checkout)
        )
    if returned.returncode not in allowed:
        raise HistoryError(f"{what} ended with status {returned.returncode}", "see above")


def _environment(checkout: Path) -> dict[str, str]:
    """Return the variables under which another checkout than this is what is imported."""
    if checkout == ROOT:
        return dict(os.environ)
    # asv takes PYTHONPATH away from its processes, and gives them this in its place.
    return {**os.environ, "PYTHONPATH": str(checkout), "ASV_PYTHONPATH": str(checkout)}


def _place_of(package: str, checkout: Path) -> Path | None:
    code = f"import importlib.util as u; print(u.find_spec({package!r}).origin)"
    with tempfile.TemporaryDirectory() as empty:
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=empty,
            env=_environment(checkout),
        )  # fmt: skip
    return Path(found.stdout.strip()).resolve().parent if found.returncode == 0 else None


def _git(*arguments: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise HistoryError("git is not installed", "install it") from error
