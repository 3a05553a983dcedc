"""Run the tests marked `lanes` with kernels compiled for other processors than this one.

python tests/processors.py generic haswell host
"""

import os
import platform
import subprocess
import sys
from typing import NamedTuple

import llvmlite.binding as llvm


class Processor(NamedTuple):
    """One processor, as Numba's variables name it."""

    variables: dict[str, str]
    machines: tuple[str, ...]  # empty: any
    needs: tuple[str, ...]  # features, as LLVM spells them, without which it cannot be run
    vector_bytes: int | None


PROCESSORS = {
    # What every processor of the machine's kind has: on x86-64 no fused multiply-add.
    "generic": Processor({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, (), (), 16),
    "haswell": Processor(
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"},
        ("x86_64", "amd64"),
        ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"),
        32,
    ),
    "host": Processor({}, (), (), None),
}


def variables(name):
    """Return this process's environment variables, changed to compile for a processor."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_CPU_")}
    return {**others, **PROCESSORS[name].variables}


def why_not(name):
    """Return why this machine cannot run a processor's code; an empty str if it can."""
    processor = PROCESSORS[name]
    machine = platform.machine().lower()
    if processor.machines and machine not in processor.machines:
        return f"{name} is no processor of the kind {machine}"
    try:
        has = llvm.get_host_cpu_features() if processor.needs else {}
    except RuntimeError:  # LLVM cannot tell on this system
        has = {}
    lacks = [feature for feature in processor.needs if not has.get(feature)]
    return f"this processor lacks {', '.join(lacks)} of {name}" if lacks else ""


def main(names):
    """Run the tests for each processor; return 1 where any failed."""
    unknown = set(names) - set(PROCESSORS)
    if unknown or not names:
        print(f"processors.py: error: expected some of {', '.join(PROCESSORS)}, got {names}")
        return 2
    marked = ("-m", "lanes and not peers and not gpu", "--ignore", "tests/peers", "tests")
    failed = []
    for name in names:
        reason = why_not(name)
        if reason:
            print(f"{name}: skipped, {reason}", flush=True)
            continue
        print(f"{name}:", flush=True)
        command = [sys.executable, "-m", "pytest", "-n", "2", *marked]
        if subprocess.run(command, env=variables(name), check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
