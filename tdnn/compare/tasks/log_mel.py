"""Speech as a machine hears it: WAV files as log-mel energies."""

import io
import math
import struct
import warnings

import numpy as np

from tdnn.compare.tasks.files import bad_data

__all__ = ["FILTERS", "RATE", "log_mel", "mel_filters", "read_wav"]

RATE = 8_000  # Hz
LEAST_RATE = 4_000  # Hz
LARGEST_RATIO = 1_000  # of the whole numbers that other rates are resampled by
FRAME, HOP = 200, 80  # samples: 25 ms, 10 ms
POINTS = 512  # of the transform: twice the frame's power of two, so that no filter is empty
FILTERS = 40
LOWEST = 20.0  # Hz
ENERGY_FLOOR = 1e-8  # below it lies the rounding of 16 bits
HINT = "expected WAV files of uncompressed samples, 8 kHz as in the Free Spoken Digit Dataset"


def read_wav(content: bytes, name: str) -> np.ndarray:
    """Samples in [-1, 1] at 8 kHz, float64; channels averaged, other rates resampled.

    Raises
    ------
    ComparisonError
        If `content` is no WAV file, or holds no samples or numbers that are not finite.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # chunks that are not samples
            rate, samples = wavfile.read(io.BytesIO(content))
    except (ValueError, EOFError, OSError, struct.error, TypeError, IndexError, KeyError,
            UnboundLocalError, ZeroDivisionError, MemoryError, OverflowError) as error:  # fmt: skip
        raise bad_data(f"{name} cannot be read as WAV ({error})", HINT) from error
    if samples.size == 0:
        raise bad_data(f"{name} holds no samples", HINT)
    if rate < LEAST_RATE or max(RATE, rate) // math.gcd(RATE, rate) > LARGEST_RATIO:
        raise bad_data(f"{name} has {rate} samples a second, which cannot be resampled", HINT)
    signal = _scaled(samples)
    if signal.ndim == 2:
        signal = signal.mean(axis=1)
    if not np.isfinite(signal).all():
        raise bad_data(f"{name} holds samples that are not finite", HINT)
    return signal if rate == RATE else _resampled(signal, rate)


def _scaled(samples: np.ndarray) -> np.ndarray:
    if samples.dtype.kind == "f":
        return samples.astype(np.float64)
    middle = 128 if samples.dtype == np.uint8 else 0  # 8 bits are stored without sign
    return (samples.astype(np.float64) - middle) / 2.0 ** (8 * samples.dtype.itemsize - 1)


def _resampled(signal: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    common = math.gcd(RATE, rate)
    return np.asarray(resample_poly(signal, RATE // common, rate // common))


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Pitch in mel of a frequency: 2595 log10(1 + f / 700)."""
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0))


def mel_filters() -> np.ndarray:
    """Triangles of height 1 that overlap by half on the mel scale, 20 Hz to 4 kHz.

    Returns
    -------
    ndarray, shape (257, 40), float64
        Weight of each frequency of the transform in each filter.
    """
    edges = np.linspace(mel(LOWEST), mel(RATE / 2), FILTERS + 2)
    pitch = mel(np.fft.rfftfreq(POINTS, 1 / RATE))[:, None]
    width = edges[1] - edges[0]
    return np.maximum(0.0, 1.0 - np.abs(pitch - edges[1:-1]) / width)


def log_mel(signal: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Logarithms of the energy in each filter, frame by frame.

    Parameters
    ----------
    signal : ndarray, shape (samples,)
        At 8 kHz; one shorter than a frame is filled up with zeros.
    filters : ndarray
        `mel_filters()`.

    Returns
    -------
    ndarray, shape (frames, 40), float64
        A frame every 10 ms, of 25 ms under a Hann window; whole frames only.
    """
    from scipy.fft import rfft
    from scipy.signal import get_window

    if signal.size < FRAME:
        signal = np.pad(signal, (0, FRAME - signal.size))
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::HOP]
    power = np.abs(rfft(frames * get_window("hann", FRAME), POINTS, axis=1)) ** 2
    return np.log(np.maximum(power @ filters, ENERGY_FLOOR))
