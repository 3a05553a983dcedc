"""The tasks: what they hand out, and what it costs to know nothing."""

import hashlib

import numpy as np
import pytest

from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks import TASKS, AddingTask, CharTask
from tdnn.compare.tasks.char import cut, python_documentation


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abcd" * 800 + "xyz" * 200, encoding="utf-8")
    return path


def test_the_default_text_is_python_s_documentation_each_paragraph_once():
    text = python_documentation()
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == len(set(paragraphs))
    assert len(text) > 200_000
    assert CharTask().options()["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_the_vocabulary_is_the_training_part_s_and_one_more(text_file):
    task = CharTask(text_file)
    text = text_file.read_text()
    assert "".join(task.alphabet) == "".join(sorted(set(text[: len(text) * 8 // 10])))
    assert task.output_size == len(task.alphabet) + 1
    # The test part is "...xyz", which training never saw: all its ids are the unknown one's.
    assert set(task.parts["test"]) == {task.output_size - 1}
    assert dict(task.facts())["test characters unseen in training"] == task.parts["test"].size


def test_the_parts_are_contiguous_and_cover_the_text(text_file):
    parts = CharTask(text_file).parts
    assert [part.size for part in parts.values()] == [3040, 380, 380]


@pytest.mark.parametrize("size", [2, 256, 257, 258, 1000])
def test_every_character_but_the_first_is_predicted_once(size):
    codes = np.arange(size) + 7
    seen, expected = [], []
    for batch in cut(codes, rows=2):
        valid = np.arange(batch.x.shape[0])[:, None] < batch.lengths
        seen += list(batch.targets.T[valid.T])
        expected += list(batch.x.T[valid.T])
    assert seen == list(codes[1:])
    assert expected == list(codes[:-1])


def test_unigram_and_bigram_are_those_of_a_known_text(tmp_path):
    path = tmp_path / "ab.txt"
    path.write_text("ab" * 5000, encoding="utf-8")
    unigram, bigram = CharTask(path).references()
    assert (unigram.name, bigram.name) == ("unigram", "bigram")
    assert unigram.value == pytest.approx(1.0, abs=1e-3)  # a and b are equally frequent
    assert bigram.value == pytest.approx(0.0, abs=5e-3)  # but each follows from the other


def test_a_byte_order_mark_is_no_character(tmp_path):
    path = tmp_path / "mark.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"ab" * 1000)
    assert CharTask(path).alphabet == ["a", "b"]


@pytest.mark.parametrize("task", [CharTask(), AddingTask(12)], ids=lambda task: task.name)
def test_batches_depend_on_seed_and_epoch_alone(task):
    first, again = (list(task.batches(3, 2, 2)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(one.targets, other.targets)
    for seed, epoch in ((4, 2), (3, 1)):
        assert not np.array_equal(next(task.batches(seed, epoch, 1)).x, first[0].x)
    # A longer epoch begins with the same batches.
    assert np.array_equal(list(task.batches(3, 2, 5))[1].x, first[1].x)


def test_adding_is_as_defined():
    batch = next(AddingTask(21, batch_size=500).batches(0, 0, 1))
    values, marks = batch.x[:, :, 0], batch.x[:, :, 1]
    assert batch.x.dtype == batch.targets.dtype == np.float32
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert np.array_equal(marks[:10].sum(0), np.ones(500))
    assert np.array_equal(marks[10:].sum(0), np.ones(500))
    assert np.all((values >= 0) & (values < 1))
    np.testing.assert_allclose((values * marks).sum(0)[:, None], batch.targets, rtol=1e-6)


def test_the_floor_of_adding_is_about_a_sixth():
    task = AddingTask(50)
    (floor,) = task.references()
    assert floor.value == pytest.approx(1 / 6, abs=0.02)
    assert floor.value == np.square(task.test()[0].targets - 1).mean()


def test_validation_and_test_sets_differ_and_are_fixed():
    one, other = AddingTask(20), AddingTask(20)
    assert np.array_equal(one.test()[0].x, other.test()[0].x)
    assert not np.array_equal(one.test()[0].x, one.validation()[0].x)


@pytest.mark.parametrize("make", TASKS.values())
def test_a_class_says_all_that_the_list_and_the_report_need(make):
    for name in ("name", "title", "description", "about", "metric", "unit", "loss", "source"):
        assert isinstance(getattr(make, name), str)
    assert make.takes in ("length", "data", "text")
    assert make.readout in ("each", "last", "mean")


def test_predictions_are_counted_per_step_or_per_sequence():
    char = CharTask()
    total = sum(char.predictions(batch) for batch in char.test())
    assert total == char.parts["test"].size - 1
    assert char.predictions(next(char.batches(0, 0, 1))) == 64 * 32
    assert AddingTask(20).predictions(AddingTask(20).test()[0]) == 1000


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\xff\xfe" * 2000, "--text: .* is not UTF-8"),
        (b"short", "--text: expected at least 2000 characters, .* has 5"),
        (None, "--text: cannot read "),
    ],
)
def test_an_unusable_text_is_refused(tmp_path, content, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ComparisonError, match=message):
        CharTask(path)


def test_adding_needs_four_steps():
    with pytest.raises(
        ComparisonError, match="--length: expected at least 4 steps for adding, got 3"
    ):
        AddingTask(3)
