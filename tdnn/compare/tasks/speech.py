"""Spoken digits, of speakers never heard in training."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tdnn.compare.tasks.files import bad_data, digest, find_data, read_bytes
from tdnn.compare.tasks.log_mel import FILTERS, log_mel, mel_filters, read_wav
from tdnn.compare.tasks.sequences import Part, SequenceTask

__all__ = ["SpeechDigitsTask"]

DIGITS = 10
NAME = re.compile(r"([0-9])_([A-Za-z0-9-]+)_([0-9]+)\.wav", re.IGNORECASE)
FEWEST_SPEAKERS = 3
CONTEXT = 32  # frames: a third of a second
STEADY = 1e-3  # added to the deviation of a filter over an utterance: silence stays 0
HINT = "expected a folder of WAV files named digit_speaker_index.wav, say 7_jackson_32.wav"


class SpeechDigitsTask(SequenceTask):
    """Say which digit was spoken, by speakers never heard in training; the metric is accuracy.

    Parameters
    ----------
    path : Path, optional
        A folder of WAV files named ``digit_speaker_index.wav``, as in the Free Spoken Digit
        Dataset; without it what ``rnn-vs-tdnn fetch spoken-digits`` fetched.
    batch_size : int
        Recordings per update.

    Raises
    ------
    ComparisonError
        If there is no such folder, a file is named otherwise or is no WAV file, there are fewer
        than three speakers, or a digit is tested that training lacks.

    Notes
    -----
    Speakers, not recordings, are split: in alphabetical order the last sixth (at least one) is
    tested, the sixth before validates, the others train. The features are the logarithms of 40 mel
    energies of frames of 25 ms every 10 ms at 8 kHz, each filter brought to mean 0 and deviation 1
    over its utterance, which takes loudness and microphone away.
    """

    name = "speech-digits"
    title = "Spoken digits"
    description = "which digit was spoken, by speakers unheard in training (--data FOLDER)"
    about = (
        "A recording of one spoken digit is to be named. Speakers are split, not recordings: those "
        "tested were never heard in training or validation. Features: logarithms of 40 mel "
        "energies every 10 ms, each with mean 0 and deviation 1 over the utterance. Every network "
        "reads its answer off the mean over the frames."
    )
    source = "Free Spoken Digit Dataset, Jackson et al. 2018, doi 10.5281/zenodo.1342401"

    def __init__(self, path: Path | None = None, *, batch_size: int = 32) -> None:
        what = "a folder of recordings"
        folder = find_data(path, self.name, what, "spoken-digits")
        files = recordings(folder)
        contents = [(file.name, read_bytes(file)) for file, _, _ in files]
        self.speakers = split_speakers({speaker for _, _, speaker in files}, folder)
        filters = mel_filters()
        spoken = [
            (features(content, name, filters), digit, speaker)
            for (name, content), (_, digit, speaker) in zip(contents, files, strict=True)
        ]
        parts = {
            part: Part(
                [x for x, _, speaker in spoken if speaker in speakers],
                np.array([digit for _, digit, speaker in spoken if speaker in speakers], np.int64),
            )
            for part, speakers in self.speakers.items()
        }
        untrained = set(parts["test"].classes) - set(parts["training"].classes)
        if untrained:
            raise bad_data(
                f"the digits {sorted(map(int, untrained))} are spoken by test speakers alone", HINT
            )
        super().__init__(parts, DIGITS, digest(contents), batch_size, CONTEXT)

    def options(self) -> dict[str, Any]:
        return {**super().options(), "speakers": self.speakers}

    def facts(self) -> dict[str, Any]:
        speakers = {f"speakers ({part})": ", ".join(names) for part, names in self.speakers.items()}
        shape = f"{FILTERS} log-mel energies, 25 ms every 10 ms, normalised per utterance"
        return {**super().facts(), **speakers, "features": shape}


def recordings(folder: Path) -> list[tuple[Path, int, str]]:
    """The WAV files of a folder, by name, with the digit and the speaker of each."""
    if not folder.is_dir():
        raise bad_data(f"{folder} is no folder", HINT)
    found = []
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() != ".wav":
            continue
        match = NAME.fullmatch(file.name)
        if match is None:
            raise bad_data(f"{file.name} is not named digit_speaker_index.wav", HINT)
        found.append((file, int(match[1]), match[2]))
    if not found:
        raise bad_data(f"{folder} holds no WAV file", HINT)
    return found


def split_speakers(names: Iterable[str], folder: Path) -> dict[str, list[str]]:
    """Who trains, who validates, who is tested: by alphabet, so that it never changes."""
    speakers = sorted(names)
    if len(speakers) < FEWEST_SPEAKERS:
        raise bad_data(
            f"expected at least {FEWEST_SPEAKERS} speakers in {folder}, got {len(speakers)}", HINT
        )
    each = max(1, len(speakers) // 6)
    return {
        "training": speakers[: -2 * each],
        "validation": speakers[-2 * each : -each],
        "test": speakers[-each:],
    }


def features(content: bytes, name: str, filters: np.ndarray) -> np.ndarray:
    """Log-mel energies (frames, 40), float32, of mean 0 and deviation 1 over the utterance."""
    energies = log_mel(read_wav(content, name), filters)
    energies -= energies.mean(axis=0)
    return (energies / (energies.std(axis=0) + STEADY)).astype(np.float32)
