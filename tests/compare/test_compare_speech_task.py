"""Spoken digits: WAV files, log-mel features, speakers kept apart."""

import io
import shutil

import numpy as np
import pytest

from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks import SpeechDigitsTask
from tdnn.compare.tasks.log_mel import log_mel, mel_filters, read_wav
from tdnn.compare.tasks.speech import features, split_speakers

wavfile = pytest.importorskip("scipy.io.wavfile")
FILTERS = mel_filters()


def tone(hertz, seconds=0.3, rate=8_000):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def wav(signal, rate=8_000, dtype=np.int16):
    """The bytes of a WAV file."""
    if dtype == np.uint8:
        samples = np.round(signal * 100 + 128).astype(np.uint8)
    elif np.issubdtype(dtype, np.integer):
        samples = np.round(signal * 0.9 * np.iinfo(dtype).max).astype(dtype)
    else:
        samples = signal.astype(dtype)
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def write_digits(folder, speakers=("ann", "bob", "cat", "dan"), digits=(0, 1, 2), takes=2):
    """Digit d of a speaker: a tone that rises with d, at the speaker's own pitch and loudness."""
    folder.mkdir(exist_ok=True)
    for n, speaker in enumerate(speakers):
        for digit in digits:
            for take in range(takes):
                signal = tone(300 + 500 * digit + 20 * n, 0.2 + 0.05 * take) / (n + 1)
                (folder / f"{digit}_{speaker}_{take}.wav").write_bytes(wav(signal))
    return folder


def test_speakers_are_split_and_the_split_is_told(tmp_path):
    task = SpeechDigitsTask(write_digits(tmp_path / "digits"))
    assert task.speakers == {"training": ["ann", "bob"], "validation": ["cat"], "test": ["dan"]}
    facts = task.facts()
    assert facts["speakers (training)"] == "ann, bob"
    assert facts["speakers (test)"] == "dan"
    assert facts["sequences (training, validation, test)"] == "12 / 6 / 6"
    assert task.options()["speakers"] == task.speakers
    assert [len(part.x) for part in task.parts.values()] == [12, 6, 6]
    assert sorted(task.parts["test"].classes) == [0, 0, 1, 1, 2, 2]
    assert (task.input_size, task.output_size) == (40, 10)
    assert task.references()[0].value == pytest.approx(1 / 3)


def test_one_speaker_in_six_is_tested_in_alphabetical_order(tmp_path):
    names = ["yweweler", "nicolas", "theo", "george", "jackson", "lucas"]
    assert split_speakers(names, tmp_path) == {
        "training": ["george", "jackson", "lucas", "nicolas"],
        "validation": ["theo"],
        "test": ["yweweler"],
    }
    many = split_speakers([f"s{n:02}" for n in range(14)], tmp_path)
    assert [len(names) for names in many.values()] == [10, 2, 2]
    assert sorted(name for names in many.values() for name in names) == [
        f"s{n:02}" for n in range(14)
    ]


def test_batches_are_padded_recordings_with_their_digits(tmp_path):
    task = SpeechDigitsTask(write_digits(tmp_path / "digits"), batch_size=5)
    batch = next(task.batches(0, 0, 1))
    assert batch.x.shape[1:] == (5, 40) and batch.x.dtype == np.float32
    assert batch.targets.shape == batch.lengths.shape == (5,)
    assert task.predictions(batch) == 5
    for row, length in enumerate(batch.lengths):
        assert not batch.x[length:, row].any()
    assert task.evaluate(Constant(1), task.test()).score == pytest.approx(1 / 3)


class Constant:
    """Always says the same class."""

    def __init__(self, answer):
        self.answer = answer

    def forward(self, x, *, lengths, threads):
        return np.tile(np.float32(np.arange(10) == self.answer), (x.shape[1], 1))


def test_every_filter_hears_and_no_frequency_between_is_lost():
    assert FILTERS.shape == (257, 40)
    assert (FILTERS.max(axis=0) > 0.4).all()
    sums = FILTERS.sum(axis=1)
    inside = (FILTERS.argmax(axis=1) > 0) & (FILTERS.argmax(axis=1) < 39)
    np.testing.assert_allclose(sums[inside], 1.0, rtol=1e-12)  # triangles that overlap by half


@pytest.mark.parametrize("hertz", [150, 440, 1000, 2500, 3700])
def test_a_tone_is_loudest_in_the_filter_of_its_pitch(hertz):
    pitches = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 4000 / 700), 42)[1:-1]
    expected = np.abs(pitches - 2595 * np.log10(1 + hertz / 700)).argmin()
    energies = log_mel(tone(hertz), FILTERS)
    assert energies.shape == (1 + (2400 - 200) // 80, 40)
    assert (energies.argmax(axis=1) == expected).all()


def test_a_frame_holds_the_energy_of_its_25_ms_and_of_no_other_sample():
    click = np.zeros(1000)
    click[500] = 1.0
    heard = log_mel(click, FILTERS).max(axis=1) > -10
    starts = np.arange(len(heard)) * 80
    assert np.array_equal(heard, (starts < 500) & (500 < starts + 200))


def test_loudness_and_microphone_are_taken_away():
    signal = tone(700) * np.hanning(2400) + 0.01 * np.random.default_rng(0).standard_normal(2400)
    loud, quiet = (features(wav(level * signal), "x", FILTERS) for level in (0.9, 0.3))
    assert np.abs(loud.mean(axis=0)).max() < 1e-5
    np.testing.assert_allclose(loud.std(axis=0), 1.0, atol=0.02)
    assert np.abs(loud - quiet).mean() < 0.02
    assert np.abs(features(wav(np.zeros(2400)), "x", FILTERS)).max() < 1e-6


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_samples_of_every_kind_are_scaled_alike(dtype):
    scale = 100 / 128 if dtype == np.uint8 else 1.0 if dtype in (np.float32, np.float64) else 0.9
    heard = read_wav(wav(tone(440), dtype=dtype), "x")
    np.testing.assert_allclose(heard, scale * tone(440), atol=0.005)


def test_channels_are_averaged_and_rates_resampled():
    stereo = np.stack([tone(440), np.zeros(2400)], axis=1)
    np.testing.assert_allclose(read_wav(wav(stereo), "x"), 0.45 * tone(440), atol=1e-3)
    for rate in (16_000, 44_100):
        heard = read_wav(wav(tone(440, rate=rate), rate), "x")
        assert heard.shape == (2400,)
        np.testing.assert_allclose(heard[200:-200], 0.9 * tone(440)[200:-200], atol=5e-3)


def test_a_recording_shorter_than_a_frame_is_one_frame():
    assert features(wav(tone(440, 0.01)), "x", FILTERS).shape == (1, 40)


@pytest.mark.parametrize("name", ["a_ann_0.wav", "1_ann.wav", "12_ann_0.wav", "1_a nn_0.wav"])
def test_a_recording_named_otherwise_is_refused(tmp_path, name):
    folder = write_digits(tmp_path / "digits", takes=1)
    (folder / name).write_bytes(wav(tone(440)))
    with pytest.raises(ComparisonError, match=f"{name} is not named digit_speaker_index.wav"):
        SpeechDigitsTask(folder)


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    folder = write_digits(tmp_path / "digits", takes=1)
    before = SpeechDigitsTask(folder).sha256
    (folder / "README.txt").write_text("digits")
    assert SpeechDigitsTask(folder).sha256 == before
    (folder / "0_ann_0.wav").write_bytes(wav(tone(441)))
    assert SpeechDigitsTask(folder).sha256 != before


NO_WAV = {
    "text": b"no sound",
    "nothing": b"",
    "half a header": wav(tone(440))[:30],
    "no samples": wav(np.zeros(0)),
    "NaN": wav(np.full(500, np.nan), dtype=np.float32),
    "a rate that cannot be": wav(tone(440), rate=99_999_989),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("content", NO_WAV.values(), ids=NO_WAV)
def test_a_file_that_is_no_recording_is_refused_in_one_line(tmp_path, content):
    folder = write_digits(tmp_path / "digits", takes=1)
    (folder / "1_bob_0.wav").write_bytes(content)
    with pytest.raises(ComparisonError, match="--data: 1_bob_0.wav") as caught:
        SpeechDigitsTask(folder)
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_split_are_refused(tmp_path):
    folder = write_digits(tmp_path / "two", speakers=("ann", "bob"), takes=1)
    with pytest.raises(ComparisonError, match="at least 3 speakers in .*two, got 2"):
        SpeechDigitsTask(folder)
    folder = write_digits(tmp_path / "three", speakers=("ann", "bob", "cat"), takes=1)
    shutil.copy(folder / "0_cat_0.wav", folder / "7_cat_0.wav")
    with pytest.raises(
        ComparisonError, match=r"the digits \[7\] are spoken by test speakers alone"
    ):
        SpeechDigitsTask(folder)
    (tmp_path / "empty").mkdir()
    for path, words in (("empty", "holds no WAV file"), ("three/0_ann_0.wav", "is no folder")):
        with pytest.raises(ComparisonError, match=words):
            SpeechDigitsTask(tmp_path / path)
