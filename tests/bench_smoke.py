"""`make bench-smoke`: asv finds, checks and runs the suite once, in this environment."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.history.record import write_config

# Each benchmark once or twice, not with all parameters: every process costs a second, and float64
# needs every kernel compiled once more.
LEFT_OUT = (
    "float64", "'batch'", "'ragged'", r"\(1\)", r", 1\)", "'forced'", "'sigmoid", "'squared",
    "'elman (?:for|back)ward/", "forced/", "cross entropy/", "error/", r"'tdnn'\)$",
)  # fmt: skip
CHOSEN = f"^(?!.*(?:{'|'.join(LEFT_OUT)}))"


def main():
    """Run asv as a user would, with its results and its notes on the machine elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), Path(folder) / "results")
        asv = [sys.executable, "-m", "asv"]
        here = ["--config", str(config), "--environment", "existing:same"]
        for words in (
            ["machine", "--yes", "--config", str(config)],
            ["check", *here],
            ["run", *here, "--quick", "--show-stderr", "--bench", CHOSEN],
        ):
            environment = {**os.environ, "HOME": folder, "USERPROFILE": folder}
            returned = subprocess.run(
                [*asv, *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL, timeout=900
            )
            if returned.returncode:
                sys.exit(f"bench smoke: asv {words[0]} ended with status {returned.returncode}")
    print("bench smoke: passed")


if __name__ == "__main__":
    main()
