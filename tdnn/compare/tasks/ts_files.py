"""Files of the UEA and UCR archives: sequences with a class each, in lines of text."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tdnn.compare.tasks.files import bad_data, read_bytes, tidy

__all__ = ["TsFile", "find_pair", "read_ts"]

HALF = re.compile(r"(.*)_(TRAIN|TEST)\.ts", re.IGNORECASE)
HINT = (
    "expected the .ts format of https://www.timeseriesclassification.com: header lines @..., "
    "@data, then one case a line, channels joined by ':', the class last"
)
PAIR_HINT = "give NAME_TRAIN.ts or NAME_TEST.ts with the other beside it, or their folder"


@dataclass
class TsFile:
    """Cases (T_i, p), float64, and the class of each, by name."""

    name: str
    content: bytes
    x: list[np.ndarray] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


def find_pair(path: Path) -> tuple[Path, Path]:
    """The files to train and to test on, from either of them or from their folder."""
    try:
        folder = path if path.is_dir() else path.parent
        halves = {
            (match[1], match[2].upper()): file
            for file in sorted(folder.iterdir())
            if (match := HALF.fullmatch(file.name))
        }
    except OSError as error:
        raise bad_data(f"cannot read {path} ({error.strerror or error})", PAIR_HINT) from error
    if path.is_dir():
        stems = sorted({stem for stem, _ in halves})
        if len(stems) != 1:
            raise bad_data(f"expected one pair of .ts files in {path}, got {len(stems)}", PAIR_HINT)
        stem = stems[0]
    else:
        match = HALF.fullmatch(path.name)
        if match is None:
            raise bad_data(f"{path.name} is named neither _TRAIN.ts nor _TEST.ts", PAIR_HINT)
        stem = match[1]
    for half in ("TRAIN", "TEST"):
        if (stem, half) not in halves:
            raise bad_data(f"there is no {stem}_{half}.ts in {folder}", PAIR_HINT)
    return halves[stem, "TRAIN"], halves[stem, "TEST"]


def read_ts(path: Path) -> TsFile:
    """Read one file.

    Raises
    ------
    ComparisonError
        If it is not of the format, has time stamps, no classes, or values that are missing or not
        finite: the message names the line.
    """
    content = read_bytes(path)
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise bad_data(f"{path.name} is not UTF-8 (byte {error.start})", HINT) from error
    header, first = _header(lines, path.name)
    file = TsFile(tidy(header.get("problemname") or path.stem), content)
    known = set(header["classlabel"].split()[1:])
    for number, line in enumerate(lines[first:], first + 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path.name}, line {number}"
        *channels, label = (part.strip() for part in line.split(":"))
        case = _case(channels, where)
        if file.x and case.shape[1] != file.x[0].shape[1]:
            raise bad_data(
                f"{where}: expected {file.x[0].shape[1]} channels, got {case.shape[1]}", HINT
            )
        if not label or (known and label not in known):
            raise bad_data(f"{where}: the class {tidy(label)!r} is not among @classLabel", HINT)
        file.x.append(case)
        file.classes.append(label)
    if not file.x:
        raise bad_data(f"{path.name} holds no case", HINT)
    return file


def _header(lines: list[str], name: str) -> tuple[dict[str, str], int]:
    """What stands before the data, lower-case word -> rest; and the index of the first case."""
    header: dict[str, str] = {}
    for number, line in enumerate(lines):
        word, _, rest = line.strip().partition(" ")
        if not word or word.startswith("#"):
            continue
        if not word.startswith("@"):
            raise bad_data(f"{name}, line {number + 1}: a case before @data", HINT)
        word = word[1:].lower()
        if word == "data":
            break
        header[word] = rest.strip()
    else:
        raise bad_data(f"{name} has no line @data", HINT)
    if header.get("timestamps", "false").lower() != "false":
        raise bad_data(f"{name} has time stamps, which are not supported", HINT)
    if not header.get("classlabel", "false").lower().startswith("true"):
        raise bad_data(f"{name} has no classes (@classLabel true ...)", HINT)
    return header, number + 1


def _case(channels: list[str], where: str) -> np.ndarray:
    """One case (T, p)."""
    if not channels or not all(channels):
        raise bad_data(f"{where}: expected channels joined by ':', the class last", HINT)
    rows = []
    for number, channel in enumerate(channels, 1):
        try:
            rows.append([float(word) for word in channel.split(",")])
        except ValueError:
            missing = any(word.strip() in ("?", "") for word in channel.split(","))
            raise bad_data(
                f"{where}, channel {number}: "
                + ("missing values, which are not supported" if missing else "not all are numbers"),
                HINT,
            ) from None
        if len(rows[-1]) != len(rows[0]):
            raise bad_data(
                f"{where}: channel 1 has {len(rows[0])} values, channel {number} {len(rows[-1])}",
                HINT,
            )
    case = np.array(rows).T
    if not np.isfinite(case).all():
        raise bad_data(f"{where}: values missing or not finite, which is not supported", HINT)
    return case
