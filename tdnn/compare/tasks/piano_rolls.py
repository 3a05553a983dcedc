"""Piano rolls, from MATLAB files or JSON: which of 88 keys are down in each frame."""

import io
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tdnn.compare.fetching import source_of
from tdnn.compare.tasks.files import bad_data, digest, read_bytes, tidy

__all__ = ["KEYS", "PARTS", "read_piano_rolls"]

KEYS = 88
LOWEST = 21  # the MIDI number of key 0
SILENT = -1  # stands for a voice that rests, in JSON
PARTS = {"training": "train", "validation": "valid", "test": "test"}
PATIENCE = 60  # seconds for reading a file
HINT = (
    'expected .mat with cells traindata, validdata, testdata of (T, 88) zeros and ones, or .json '
    '{"train": [piece, ...], "valid": ..., "test": ...}, a piece being a list of frames, a frame '
    "a list of MIDI numbers"
)  # fmt: skip


def read_piano_rolls(path: Path) -> tuple[dict[str, list[np.ndarray]], bytes]:
    """Pieces (T_i, 88) of zeros and ones, float32, of the three parts; and the file's content.

    Raises
    ------
    ComparisonError
        If the file is none of piano rolls.
    """
    content = read_bytes(path)
    readers = {".mat": _from_matlab, ".json": _from_json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise bad_data(f"{path.name} is neither .mat nor .json", HINT)
    found = reader(content, path.name)
    pieces = {
        part: [
            _checked(piece, f"{path.name}, {part} piece {n}") for n, piece in enumerate(rolls, 1)
        ]
        for part, rolls in found.items()
    }
    for part, rolls in pieces.items():
        if not any(len(roll) > 1 for roll in rolls):
            raise bad_data(f"{path.name} has no {part} piece of two frames or more", HINT)
    return pieces, content


def _from_matlab(content: bytes, name: str) -> dict[str, Iterable[Any]]:
    from scipy.io import loadmat

    if source_of(digest([("", content)])) is None:
        _try_matlab(content, name)
    keys = {part: f"{short}data" for part, short in PARTS.items()}
    found = loadmat(io.BytesIO(content), variable_names=list(keys.values()))
    for key in keys.values():
        if key not in found or found[key].dtype != object:
            raise bad_data(f"{name} has no cells {key}", HINT)
    return {part: found[key].ravel() for part, key in keys.items()}


def _try_matlab(content: bytes, name: str) -> None:
    """Read an unknown file in another process first: a damaged one can crash SciPy's reader."""
    program = "import io, sys, scipy.io as s; s.loadmat(io.BytesIO(sys.stdin.buffer.read()))"
    command = [sys.executable, "-P", "-c", program]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, check=False, timeout=PATIENCE
        )
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "its reader crashes"
    except subprocess.TimeoutExpired:
        done, reason = None, f"not within {PATIENCE} seconds"
    if done is None or done.returncode:
        raise bad_data(f"{name} cannot be read as a MATLAB file ({tidy(reason)})", HINT)


def _from_json(content: bytes, name: str) -> dict[str, Iterable[Any]]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise bad_data(f"{name} cannot be read as JSON ({error})", HINT) from error
    if not isinstance(found, dict) or not all(
        isinstance(found.get(short), list) for short in PARTS.values()
    ):
        raise bad_data(f"{name} is not an object of lists train, valid, test", HINT)
    return {
        part: [_roll(piece, f"{name}, {part} piece {n}") for n, piece in enumerate(found[short], 1)]
        for part, short in PARTS.items()
    }


def _roll(piece: Any, where: str) -> np.ndarray:
    """A piece of lists of MIDI numbers as zeros and ones."""
    if not isinstance(piece, list) or not all(isinstance(frame, list) for frame in piece):
        raise bad_data(f"{where} is not a list of frames, each a list", HINT)
    roll = np.zeros((len(piece), KEYS), np.float32)
    for step, frame in enumerate(piece):
        for note in frame:
            number = int(note) if type(note) in (int, float) and note == note // 1 else None
            if number == SILENT:
                continue
            if number is None or not LOWEST <= number < LOWEST + KEYS:
                raise bad_data(
                    f"{where}, frame {step + 1}: expected MIDI numbers {LOWEST} to "
                    f"{LOWEST + KEYS - 1}, got {str(note)[:20]!r}",
                    HINT,
                )
            roll[step, number - LOWEST] = 1.0
    return roll


def _checked(piece: Any, where: str) -> np.ndarray:
    roll = np.asarray(piece)
    if roll.dtype.kind not in "biuf" or roll.ndim != 2 or roll.shape[1] != KEYS:
        raise bad_data(
            f"{where}: expected numbers of shape (T, {KEYS}), got {roll.dtype} {roll.shape}", HINT
        )
    if not np.isin(roll, (0, 1)).all():
        raise bad_data(f"{where} holds numbers other than 0 and 1", HINT)
    return np.ascontiguousarray(roll, np.float32)
