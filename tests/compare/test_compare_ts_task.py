"""Files of the UEA and UCR archives, and the task that classifies them."""

import numpy as np
import pytest

import fastrnn
from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks import TsTask
from tdnn.compare.tasks.ts import validating
from tdnn.compare.tasks.ts_files import read_ts

HEADER = """# a comment: with a colon
@problemName Waves
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
"""


def line(case, label):
    return ":".join(",".join(map(repr, channel)) for channel in case.T.tolist()) + f":{label}"


def cases(seed, count):
    rng = np.random.default_rng(seed)
    for n in range(count):
        label = ("up", "down", "up")[n % 3]
        yield rng.standard_normal((int(rng.integers(3, 9)), 2)) + 5, label


def write_pair(folder, training=15, test=9):
    folder.mkdir(exist_ok=True)
    for half, seed, count in (("TRAIN", 0, training), ("TEST", 1, test)):
        text = HEADER + "\n".join(line(*case) for case in cases(seed, count)) + "\n"
        (folder / f"Waves_{half}.ts").write_text(text)
    return folder


def write(path, body, header=HEADER):
    path.write_text(header + body)
    return path


def test_a_file_is_read_whole(tmp_path):
    file = read_ts(write_pair(tmp_path) / "Waves_TRAIN.ts")
    assert file.name == "Waves"
    assert len(file.x) == 15
    for read, label, (case, expected) in zip(file.x, file.classes, cases(0, 15), strict=True):
        assert np.array_equal(read, case)
        assert label == expected


def test_one_channel_and_words_in_any_case_are_read(tmp_path):
    header = "@PROBLEMNAME x\n@univariate true\n@ClassLabel true 0 1\n@DATA\n"
    path = write(tmp_path / "a_TRAIN.ts", " 1.5, -2e-3 ,3 : 1\n\n# note\n4:0\n", header)
    file = read_ts(path)
    assert [case.ravel().tolist() for case in file.x] == [[1.5, -0.002, 3.0], [4.0]]
    assert file.classes == ["1", "0"]


@pytest.mark.parametrize("given", ["", "Waves_TRAIN.ts", "Waves_TEST.ts"])
def test_the_pair_is_found_from_either_file_or_the_folder(tmp_path, given):
    task = TsTask(write_pair(tmp_path) / given)
    assert task.title == "Time series, Waves"
    assert task.facts()["sequences (training, validation, test)"] == "12 / 3 / 9"
    assert task.classes == ["down", "up"]
    assert task.references()[0].value == pytest.approx(2 / 3)
    assert task.key == "ts"


def test_channels_are_scaled_by_the_frames_that_train_alone(tmp_path):
    task = TsTask(write_pair(tmp_path))
    frames = np.concatenate(task.parts["training"].x)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-6)
    case, _ = next(cases(1, 1))
    numbers = [number for number, _ in enumerate(cases(0, 15))]
    trains = [n for n in numbers if n not in validating([label for _, label in cases(0, 15)])]
    raw = np.concatenate([case for n, (case, _) in enumerate(cases(0, 15)) if n in trains])
    np.testing.assert_allclose(
        task.parts["test"].x[0], (case - raw.mean(axis=0)) / raw.std(axis=0), rtol=1e-5, atol=1e-6
    )


def test_a_channel_that_never_changes_stays_finite(tmp_path):
    for half in ("TRAIN", "TEST"):
        write(tmp_path / f"x_{half}.ts", "1,2:7,7:up\n2,1,0:7,7,7:down\n3,3:7,7:up\n5:7:down\n")
    task = TsTask(tmp_path)
    assert all(np.isfinite(x).all() for part in task.parts.values() for x in part.x)


def test_one_in_five_of_each_class_validates_always_the_same():
    classes = ["a"] * 20 + ["b"] * 11 + ["c"] * 2 + ["d"]
    chosen = validating(classes)
    assert chosen == validating(classes)
    counts = [sum(classes[row] == name for row in chosen) for name in "abcd"]
    assert counts == [4, 2, 1, 0]


def test_sequences_are_read_out_by_the_mean_over_their_valid_steps(tmp_path):
    task = TsTask(write_pair(tmp_path))
    model = fastrnn.SequenceModel(fastrnn.Elman(2, 4, rng=0), 2, readout=task.readout, rng=1)
    right, cost = 0, 0.0
    for x, label in zip(*task.parts["test"], strict=True):
        o = model.forward(x[:, None])[0].astype(np.float64)
        right += o.argmax() == label
        cost += np.logaddexp.reduce(o) - o[label]
    found = task.evaluate(model, task.test())
    assert found.score == pytest.approx(right / 9)
    assert found.loss == pytest.approx(cost / 9, rel=1e-5)
    assert found.by_lag is None


BAD = {
    "missing": ("1,?,3:1,2,3:up", "line 10, channel 1: missing values"),
    "an empty value": ("1,,3:1,2,3:up", "line 10, channel 1: missing values"),
    "NaN": ("1,2:1,NaN:up", "line 10: values missing or not finite"),
    "infinite": ("1,2:1,inf:up", "line 10: values missing or not finite"),
    "words": ("1,2:a,b:up", "line 10, channel 2: not all are numbers"),
    "unequal channels": ("1,2:1:up", "channel 1 has 2 values, channel 2 1"),
    "a channel less": ("1,2:3,4:up\n1,2:up", "line 11: expected 2 channels, got 1"),
    "an empty channel": (":1,2:up", "expected channels joined by ':'"),
    "no channel": ("up", "expected channels joined by ':'"),
    "another class": ("1,2:3,4:left", "the class 'left' is not among @classLabel"),
    "no case": ("", "holds no case"),
}


@pytest.mark.parametrize("body, message", BAD.values(), ids=BAD)
def test_a_bad_line_is_refused_with_its_number(tmp_path, body, message):
    folder = write_pair(tmp_path)
    write(folder / "Waves_TEST.ts", body)
    with pytest.raises(ComparisonError, match=f"--data: Waves_TEST.ts.*{message}") as caught:
        TsTask(folder)
    assert "\n" not in str(caught.value)


BAD_HEADERS = {
    "no data": (HEADER.replace("@data", ""), "a case before @data"),
    "time stamps": (HEADER.replace("@timeStamps false", "@timeStamps true"), "has time stamps"),
    "regression": (HEADER.replace("@classLabel true up down", "@targetLabel true"), "no classes"),
    "no classes": (HEADER.replace("true up down", "false"), "no classes"),
    "nothing": ("", "a case before @data"),
}


@pytest.mark.parametrize("header, message", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_bad_header_is_refused(tmp_path, header, message):
    with pytest.raises(ComparisonError, match=message):
        read_ts(write(tmp_path / "x_TRAIN.ts", "1,2:3,4:up", header))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x_TRAIN.ts").write_text("@problemName x\n")
    with pytest.raises(ComparisonError, match="x_TRAIN.ts has no line @data"):
        read_ts(tmp_path / "x_TRAIN.ts")
    (tmp_path / "x_TRAIN.ts").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ComparisonError, match="is not UTF-8"):
        read_ts(tmp_path / "x_TRAIN.ts")
    with pytest.raises(ComparisonError, match="there is no x_TEST.ts in"):
        TsTask(tmp_path / "x_TRAIN.ts")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ComparisonError, match="named neither _TRAIN.ts nor _TEST.ts"):
        TsTask(tmp_path / "notes.txt")
    (tmp_path / "y_TEST.ts").write_text("")
    with pytest.raises(ComparisonError, match="expected one pair of .ts files in .*, got 2"):
        TsTask(tmp_path)


def test_files_that_do_not_fit_each_other_are_refused(tmp_path):
    folder = write_pair(tmp_path)
    narrow = HEADER.replace("@dimensions 2", "@dimensions 1")
    write(folder / "Waves_TEST.ts", "1,2:up", narrow)
    with pytest.raises(ComparisonError, match="2 channels to train on, 1 to test on"):
        TsTask(folder)
    write(folder / "Waves_TEST.ts", "1:2:left", HEADER.replace("up down", "up left"))
    with pytest.raises(ComparisonError, match="the class 'left' is tested but never trained"):
        TsTask(folder)
    write(folder / "Waves_TRAIN.ts", "1:2:up\n2:1:up")
    with pytest.raises(ComparisonError, match="at least two classes, got 1"):
        TsTask(folder)
    write(folder / "Waves_TRAIN.ts", "1:2:up\n2:1:down")
    write(folder / "Waves_TEST.ts", "1:2:up")
    with pytest.raises(ComparisonError, match="a class of two or more sequences to validate on"):
        TsTask(folder)


def test_the_hash_tells_the_halves_apart(tmp_path):
    folder = write_pair(tmp_path)
    before = TsTask(folder).sha256
    texts = [(folder / f"Waves_{half}.ts").read_text() for half in ("TRAIN", "TEST")]
    for half, text in zip(("TEST", "TRAIN"), texts, strict=True):
        (folder / f"Waves_{half}.ts").write_text(text)
    assert TsTask(folder).sha256 != before
