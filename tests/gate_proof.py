"""`make gate-proof`: the gate flags planted faults, and leaves unchanged commits alone.

In a copy of the tree, commits that change nothing follow each other, each compared with the one
before; between them come the faults, each compared with the last of those. All is recorded and
judged by the commands that a user has.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gate_plants import GRADIENTS, SLOWDOWNS

ROOT = Path(__file__).resolve().parents[1]
SEEN = ("failed", "larger", "slower")
# How the yardstick refuses a result.
WRONG = re.compile(r"^ *ValueError: (\w+: expected an error of at most .*)$", re.MULTILINE)


class Copy:
    """This tree as a repository of its own, a second checkout of it for faults, and results."""

    def __init__(self, folder):
        self.folder = folder
        self.tree, self.planted = folder / "tree", folder / "planted"
        listed = run(
            "git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.tree / name)
        self.git(self.tree, "init", "--quiet", "--initial-branch", "main")
        self.git(self.tree, "add", "--all", "--force")
        self.commit(self.tree, "base")
        self.git(self.tree, "worktree", "add", "--quiet", "--detach", self.planted)

    def git(self, checkout, *words):
        """Run Git in a checkout; return what it prints."""
        who = ("-c", "user.name=proof", "-c", "user.email=proof@localhost")
        return run("git", "-C", checkout, *who, *words).stdout.strip()

    def commit(self, checkout, subject):
        """Commit what is there, changed or not; return the hash."""
        self.git(checkout, "commit", "--quiet", "--all", "--allow-empty", "--message", subject)
        return self.git(checkout, "rev-parse", "HEAD")

    def history(self, checkout, words, keys, cache, allowed=(0,)):
        """Run `python -m benchmarks.history` for a checkout, with a cache of compiled kernels."""
        words = [*words, "--results", self.folder / "results", "--machine", "proof"]
        words += ["--checkout", checkout]
        for key in keys:
            words += ["--bench", key.pattern()]
        own = {"NUMBA_CACHE_DIR": str(self.folder / cache), "HOME": str(self.folder)}
        command = (sys.executable, "-m", "benchmarks.history", *words)
        told = run(*command, cwd=ROOT, env={**os.environ, **own}, allowed=allowed)
        return told.stdout + told.stderr

    def measure(self, checkout, base, head, keys, cache):
        """Record some benchmarks of `head`; return what the gate says of each that it fails.

        Of one that raised, what it raised: only a wrong result is a fault found.
        """
        raised = WRONG.findall(self.history(checkout, ["record"], keys, cache))
        if base is None:
            return {}
        words = ["gate", base, head, "--confirm"]
        told = self.history(checkout, words, keys, cache, allowed=(0, 1))
        lines = re.findall(r"^FAIL (\w+): (.+?): (.*)$", told, re.MULTILINE)
        found = {key: (kind, text) for kind, key, text in lines}
        for key, (kind, _) in found.items():
            if kind == "failed":
                found[key] = ("failed", raised[0]) if raised else ("broken", "no wrong result")
        return found


def run(*command, allowed=(0,), **more):
    """Run a command to its end; leave with all that it printed if it fails."""
    returned = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=1800, **more
    )
    if returned.returncode not in allowed:
        sys.exit(f"gate proof: {command}\n{returned.stdout}{returned.stderr}")
    return returned


def prove(plants, equal, folder):
    """Print a line for each comparison; return the faults missed and the false alarms.

    Parameters
    ----------
    plants : sequence of Plant
    equal : int
        How many comparisons of commits with nothing changed between them.
    folder : Path
        Empty; it is filled.
    """
    copy, keys = Copy(folder), list(dict.fromkeys(plant.key for plant in plants))
    last = copy.git(copy.tree, "rev-parse", "HEAD")
    copy.measure(copy.tree, None, last, keys, "cache")
    missed, alarms = 0, 0
    for turn in range(max(len(plants), equal)):
        if turn < equal:
            commit = copy.commit(copy.tree, f"nothing changed, {turn + 1}")
            told = copy.measure(copy.tree, last, commit, keys, "cache")
            alarms += bool(told)
            show(not told, f"A/A {turn + 1}", told or "no alarm")
            last = commit
        if turn < len(plants):
            told = plant_fault(copy, plants[turn], last)
            missed += told[0] not in SEEN
            show(told[0] in SEEN, plants[turn].name, ": ".join(told))
    return missed, alarms


def plant_fault(copy, plant, base):
    """Commit one fault upon `base` and measure it; return what the gate says, and why."""
    copy.git(copy.planted, "checkout", "--quiet", "--detach", base)
    plant.apply(copy.planted)
    commit = copy.commit(copy.planted, plant.name)
    # What was compiled before the edit must not answer for it: Numba does not see helpers change.
    cache = copy.folder / "cache-planted"
    told = copy.measure(copy.planted, base, commit, [plant.key], cache.name)
    shutil.rmtree(cache, ignore_errors=True)
    return told.get(str(plant.key), ("missed", "the gate says nothing"))


def show(good, name, text):
    """Print one line of the table."""
    print(f"{'ok ' if good else 'BAD'}  {name:56}  {text}", flush=True)


def main():
    """Plant all faults, or with --small one of each kind; 1 if one is missed or alarms are many."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--small", action="store_true", help="one of each kind, one A/A")
    parser.add_argument("--equal", type=int, default=20, help="comparisons of equal commits")
    options = parser.parse_args()
    plants = [plant for pair in zip(GRADIENTS, SLOWDOWNS, strict=True) for plant in pair]
    equal = options.equal
    if options.small:
        plants, equal = [GRADIENTS[4], SLOWDOWNS[1]], 1
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        missed, alarms = prove(plants, equal, Path(folder))
    print(
        f"gate proof: {len(plants) - missed} of {len(plants)} faults flagged, "
        f"{alarms} false alarms in {equal} A/A comparisons, {time.monotonic() - begun:.0f} s"
    )
    # 1 in 20 is allowed; of a single one, none.
    return 1 if missed or alarms > equal / 20 else 0


if __name__ == "__main__":
    sys.exit(main())
