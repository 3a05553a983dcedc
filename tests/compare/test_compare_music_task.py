"""Piano rolls: read, checked, predicted frame by frame."""

import json

import numpy as np
import pytest

import fastrnn
from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks import MusicTask
from tdnn.compare.tasks.sequences import length_groups, pad, shuffled

savemat = pytest.importorskip("scipy.io").savemat
PARTS = ("train", "valid", "test")


def chorale(rng, frames):
    """A piece that repeats each chord once: Markov chains know half of it."""
    chords = rng.random((frames, 88)) < 0.05
    return np.repeat(chords, 2, axis=0)[:frames].astype(np.uint8)


def pieces(seed=0, counts=(6, 2, 3)):
    rng = np.random.default_rng(seed)
    return {
        part: [chorale(rng, int(rng.integers(5, 12))) for _ in range(count)]
        for part, count in zip(PARTS, counts, strict=True)
    }


def write_matlab(path, rolls):
    cells = {}
    for part, parts in rolls.items():
        cells[f"{part}data"] = np.empty((1, len(parts)), object)
        for n, roll in enumerate(parts):
            cells[f"{part}data"][0, n] = roll
    savemat(path, cells)
    return path


def write_json(path, rolls):
    notes = {
        part: [[(np.flatnonzero(frame) + 21).tolist() for frame in roll] for roll in parts]
        for part, parts in rolls.items()
    }
    path.write_text(json.dumps(notes))
    return path


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    matlab = write_matlab(folder / "Tunes.mat", pieces())
    return MusicTask(matlab), MusicTask(write_json(folder / "Tunes.json", pieces()))


def test_matlab_and_json_hold_the_same_music(tasks):
    for part, name in zip(("training", "validation", "test"), PARTS, strict=True):
        for matlab, text, roll in zip(
            tasks[0].pieces[part], tasks[1].pieces[part], pieces()[name], strict=True
        ):
            assert matlab.dtype == np.float32
            assert np.array_equal(matlab, roll)
            assert np.array_equal(text, roll)
    assert tasks[0].title == "Polyphonic music, Tunes"
    assert tasks[0].key == "music" and tasks[0].length is None
    assert tasks[0].options()["sha256"] != tasks[1].options()["sha256"]


def test_each_update_takes_one_piece_and_all_come_before_one_comes_again(tasks):
    seen = []
    for batch in tasks[0].batches(0, 1, 12):
        assert batch.x.shape[1] == 1
        assert batch.lengths == [len(batch.x)]
        assert np.array_equal(batch.x[1:], batch.targets[:-1])
        seen.append(batch.x.tobytes())
    assert len(set(seen[:6])) == len(set(seen[6:])) == 6
    again = [batch.x.tobytes() for batch in tasks[0].batches(0, 1, 5)]
    assert again == seen[:5]
    assert [batch.x.tobytes() for batch in tasks[0].batches(0, 2, 12)] != seen


def test_small_batches_are_padded_to_their_longest_piece(tasks, tmp_path):
    task = MusicTask(write_json(tmp_path / "Tunes.json", pieces()), batch_size=4)
    batch = next(task.batches(0, 0, 1))
    assert batch.x.shape == (batch.lengths.max(), 4, 88)
    lengths = sorted(len(roll) - 1 for roll in task.pieces["training"])
    assert set(batch.lengths) <= set(lengths)
    for row, length in enumerate(batch.lengths):
        assert not batch.x[length:, row].any() and not batch.targets[length:, row].any()
    assert task.options()["batch_size"] == 4


def test_the_metric_is_nats_per_frame_over_all_frames(tasks):
    task = tasks[0]
    model = fastrnn.SequenceModel(fastrnn.Elman(88, 4, rng=0), 88, loss="sigmoid", rng=1)
    total, frames = 0.0, 0
    for roll in task.pieces["test"]:
        o = model.forward(roll[:-1, None])[:, 0].astype(np.float64)
        total += (np.logaddexp(0, o) - roll[1:] * o).sum()
        frames += len(roll) - 1
    found = task.evaluate(model, task.test())
    assert found.score == found.loss == pytest.approx(total / frames, rel=1e-5)


def test_the_floors_are_those_of_counting(tmp_path):
    # Key 0 alternates, key 1 is always down, the others are never.
    roll = np.zeros((1001, 88), np.uint8)
    roll[::2, 0] = 1
    roll[:, 1] = 1
    task = MusicTask(write_json(tmp_path / "x.json", {key: [roll] for key in PARTS}))
    unigram, markov = task.references()
    assert (unigram.name, markov.name) == ("unigram", "Markov chain per key")
    sure = -87 * np.log(1000.5 / 1001)  # 87 keys that never change, half a count against it
    assert unigram.value == pytest.approx(np.log(2) + sure, rel=1e-6)
    assert 0 < markov.value < 0.1


def test_a_chain_knows_the_repeated_chords_and_a_unigram_does_not(tasks):
    unigram, markov = tasks[0].references()
    assert markov.value < 0.9 * unigram.value


def test_pieces_of_one_frame_have_no_next_frame(tmp_path):
    rolls = pieces()
    rolls["test"].append(rolls["test"][0][:1])
    task = MusicTask(write_json(tmp_path / "x.json", rolls))
    assert len(task.pieces["test"]) == 3


def test_a_resting_voice_is_no_note(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({key: [[[60.0, -1], [60, 64]]] for key in PARTS}))
    (roll,) = MusicTask(path).pieces["training"]
    assert [np.flatnonzero(frame).tolist() for frame in roll] == [[39], [39, 43]]


def test_a_hostile_name_is_one_tidy_line(tmp_path):
    path = write_json(tmp_path / ("<b>a\n\x07b" + "x" * 80 + ".json"), pieces())
    name = MusicTask(path).data_name
    assert name.startswith("<b>a bxx") and name.endswith("...") and len(name) == 60


BAD_JSON = {
    "not JSON": ("{", "cannot be read as JSON"),
    "deep": ("[" * 100_000, "cannot be read as JSON"),
    "a list": ("[]", "is not an object of lists train, valid, test"),
    "a part less": ('{"train": [], "valid": []}', "is not an object of lists"),
    "no frames": ('{"train": [[[60]]], "valid": [], "test": []}', "no training piece of two"),
    "flat": ('{"train": [[60, 61]], "valid": [], "test": []}', "training piece 1 is not a list"),
    "low": ('{"train": [[[60], [20]]], "valid": [], "test": []}', "piece 1, frame 2: .*got '20'"),
    "half": ('{"train": [[[60.5]]], "valid": [], "test": []}', "got '60.5'"),
    "NaN": ('{"train": [[[NaN]]], "valid": [], "test": []}', "got 'nan'"),
    "true": ('{"train": [[[true]]], "valid": [], "test": []}', "got 'True'"),
    "words": ('{"train": [[["C4"]]], "valid": [], "test": []}', "got 'C4'"),
}


@pytest.mark.parametrize("text, message", BAD_JSON.values(), ids=BAD_JSON)
def test_json_that_holds_no_piano_rolls_is_refused(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ComparisonError, match=f"--data: x.json.*{message}") as caught:
        MusicTask(path)
    assert "\n" not in str(caught.value)


def bad_matlab():
    rolls = pieces()
    damaged = np.full((5, 88), 2, np.uint8)
    return {
        "numbers": ({**rolls, "valid": [damaged]}, "validation piece 1 holds numbers other than"),
        "shape": (
            {**rolls, "test": [rolls["test"][0][:, :12]]},
            r"expected .*\(T, 88\), got uint8",
        ),
    }


@pytest.mark.parametrize("rolls, message", bad_matlab().values(), ids=bad_matlab())
def test_matlab_files_of_something_else_are_refused(tmp_path, rolls, message):
    with pytest.raises(ComparisonError, match=message):
        MusicTask(write_matlab(tmp_path / "x.mat", rolls))


def test_matlab_files_without_cells_are_refused(tmp_path):
    savemat(tmp_path / "x.mat", {"traindata": np.zeros((3, 88))})
    with pytest.raises(ComparisonError, match="x.mat has no cells traindata"):
        MusicTask(tmp_path / "x.mat")


def test_a_damaged_matlab_file_is_refused_even_where_its_reader_crashes(tmp_path):
    path = write_matlab(tmp_path / "x.mat", pieces())
    content = bytearray(path.read_bytes())
    whole = bytes(content)
    # The type of the first piece's numbers becomes one that does not exist.
    place = whole.index(bytes((2, 0, 0, 0)), 200)
    content[place] = 0x7F
    for damaged in (bytes(content), whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(
            ComparisonError, match="x.mat cannot be read as a MATLAB file"
        ) as caught:
            MusicTask(path)
        assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.mid").write_bytes(b"MThd")
    with pytest.raises(ComparisonError, match="x.mid is neither .mat nor .json"):
        MusicTask(tmp_path / "x.mid")
    with pytest.raises(
        ComparisonError, match="--data: there is no .*y.mat; hint: rnn-vs-tdnn fetch"
    ):
        MusicTask(tmp_path / "y.mat")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ComparisonError, match="--data: cannot read .*folder.json"):
        MusicTask(tmp_path / "folder.json")


def test_without_a_file_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTRNN_DATA", str(tmp_path))
    with pytest.raises(
        ComparisonError, match="none was given or fetched; hint: rnn-vs-tdnn fetch jsb"
    ):
        MusicTask()
    assert not list(tmp_path.iterdir())


def test_similar_lengths_are_padded_together(monkeypatch):
    monkeypatch.setattr("tdnn.compare.tasks.sequences.STEPS_AT_ONCE", 20)
    groups = length_groups([9, 2, 5, 3, 30, 2])
    assert groups == [[1, 5, 3, 2], [0], [4]]  # 4 x 5 steps; 9; and one too long for any


def test_padding_and_shuffling():
    x, lengths = pad([np.full((n, 2), n, np.float32) for n in (3, 1)])
    assert lengths.tolist() == [3, 1]
    assert x[:, :, 0].T.tolist() == [[3, 3, 3], [1, 0, 0]]
    rows = list(shuffled(np.random.default_rng(0), 7, 3, 7))
    assert sorted(row for batch in rows for row in batch) == sorted([*range(7)] * 3)
    assert [len(batch) for batch in shuffled(np.random.default_rng(0), 2, 5, 3)] == [2, 2, 2]
