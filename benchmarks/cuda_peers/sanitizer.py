"""compute-sanitizer over one small pass of every network, where the tool is installed."""

import shutil
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["TOOLS", "check"]

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
_COMMAND = (sys.executable, "-m", "benchmarks.cuda_peers.once")


def check(timeout: float = 900.0) -> Iterator[tuple[str, str]]:
    """Yield each tool's name and its last line; one pair where there is no such tool."""
    found = shutil.which("compute-sanitizer")
    if found is None:
        yield "compute-sanitizer", "not installed, not run"
        return
    for tool in TOOLS:
        command = (found, "--tool", tool, "--error-exitcode", "1", *_COMMAND)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            yield tool, f"no answer within {timeout:g} s"
            continue
        lines = [text for text in (done.stdout + done.stderr).splitlines() if text.strip()]
        summary = [text for text in lines if "SUMMARY" in text] or lines[-1:] or ["no output"]
        yield tool, f"{'ok' if done.returncode == 0 else 'FAILED'}: {summary[-1].strip('= ')}"
