"""Next-character prediction on real text."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tdnn.compare.errors import ComparisonError
from tdnn.compare.tasks.base import Batch, Reference, Task

EVALUATED_AT_MOST = 100_000  # characters of the validation and of the test part
WINDOW_EVALUATED = 256
SHORTEST_TEXT = 2_000


def python_documentation() -> str:
    """The text of ``help("topics")`` inside Python itself, each paragraph once.

    The topics quote one another; a paragraph that stood in both the training and the test part
    would be tested on memory, so only its first appearance is kept.

    Examples
    --------
    >>> from tdnn.compare.tasks.char import python_documentation
    >>> "yield" in python_documentation()
    True
    """
    from pydoc_data.topics import topics

    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
    return "\n\n".join(dict.fromkeys(paragraphs))


def read_text(path: Path) -> str:
    """A UTF-8 text file, or a ComparisonError that says what is wrong with it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ComparisonError(
            f"--text: {path} is not UTF-8 (byte {error.start} cannot be read)",
            f"convert it first: iconv -f LATIN1 -t UTF-8 {path} > text.txt",
        ) from error
    except OSError as error:
        raise ComparisonError(
            f"--text: cannot read {path} ({error.strerror or error})",
            "give the path of a UTF-8 text file, or leave --text out for Python's documentation",
        ) from error
    if len(text) < SHORTEST_TEXT:
        raise ComparisonError(
            f"--text: expected at least {SHORTEST_TEXT} characters, {path} has {len(text)}",
            "give a longer text, or leave --text out for Python's documentation",
        )
    return text


class CharTask(Task):
    """Predict each next character of a text; the metric is bits per character.

    Parameters
    ----------
    path : Path, optional
        Any UTF-8 text; without it the documentation inside Python itself.
    window, batch_size : int
        Characters per training sequence, sequences per update.

    Notes
    -----
    The text is cut into contiguous parts: 80 % to train on, 10 % to validate, 10 % to test. The
    vocabulary is that of the training part, plus one symbol for every character unseen there.

    Examples
    --------
    >>> from tdnn.compare.tasks.char import CharTask
    >>> batch = next(CharTask().batches(seed=0, epoch=0, steps=1))
    >>> batch.x.shape, bool((batch.x[1:] == batch.targets[:-1]).all())
    ((64, 32), True)
    """

    name = "char"
    title = "Next character"
    description = "next-character prediction on real text (--text FILE for your own)"
    about = (
        "Each next character of a text is predicted from those before it. The text is cut into "
        "contiguous parts, 80 % to train on, 10 % to validate, 10 % to test. A network starts "
        f"every window of the validation and test text ({WINDOW_EVALUATED} characters) without "
        "memory of the one before."
    )
    metric = "bits per character"
    unit = "bits per character"
    loss = "softmax"
    readout = "each"
    tokens = True
    takes = "text"
    source = "Shannon 1951; as a test of networks Bai, Kolter & Koltun 2018, arXiv 1803.01271"

    def __init__(self, path: Path | None = None, *, window: int = 64, batch_size: int = 32) -> None:
        text = python_documentation() if path is None else read_text(path)
        self.text_name = (
            "documentation inside Python (pydoc_data.topics)" if path is None else path.name
        )
        self.sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()
        self.window, self.batch_size = window, batch_size
        first, second = len(text) * 8 // 10, len(text) * 9 // 10
        self.alphabet = sorted(set(text[:first]))
        ids = {character: index for index, character in enumerate(self.alphabet)}
        unknown = len(self.alphabet)  # one id for all that training never saw
        codes = np.array([ids.get(character, unknown) for character in text], np.int64)
        self.parts = {
            "training": codes[:first],
            "validation": codes[first:second][: EVALUATED_AT_MOST + 1],
            "test": codes[second:][: EVALUATED_AT_MOST + 1],
        }
        self.input_size = self.output_size = len(self.alphabet) + 1
        self.context, self.memory = 32, None

    def options(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "window": self.window,
            "batch_size": self.batch_size,
            "window_evaluated": WINDOW_EVALUATED,
        }

    def facts(self) -> dict[str, Any]:
        unseen = int((self.parts["test"] == len(self.alphabet)).sum())
        return {
            "text": self.text_name,
            "sha256": self.sha256,
            "characters (training, validation, test)": " / ".join(
                f"{part.size:,}" for part in self.parts.values()
            ),
            "vocabulary": f"{self.output_size} symbols, the unknown one included",
            "test characters unseen in training": unseen,
        }

    def references(self) -> list[Reference]:
        training, test = self.parts["training"], self.parts["test"]
        # One is added to every count, so that a symbol unseen in training has a probability.
        counts = np.bincount(training, minlength=self.output_size) + 1.0
        unigram = counts / counts.sum()
        pairs = np.zeros((self.output_size, self.output_size))
        np.add.at(pairs, (training[:-1], training[1:]), 1.0)
        pairs += 5.0 * unigram  # rare left neighbours fall back on the unigram
        bigram = pairs / pairs.sum(axis=1, keepdims=True)
        targets = test[1:]
        return [
            Reference("unigram", float(-np.log2(unigram[targets]).mean())),
            Reference("bigram", float(-np.log2(bigram[test[:-1], targets]).mean())),
        ]

    def batches(self, seed: int, epoch: int, steps: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch, 1])
        training = self.parts["training"]
        offsets = np.arange(self.window + 1)[:, None]
        for _ in range(steps):
            starts = rng.integers(0, training.size - self.window, self.batch_size)
            windows = training[starts + offsets]
            yield Batch(windows[:-1].copy(), windows[1:].copy())

    def validation(self) -> list[Batch]:
        return cut(self.parts["validation"], self.batch_size)

    def test(self) -> list[Batch]:
        return cut(self.parts["test"], self.batch_size)

    def score(self, mean_loss: float) -> float:
        return mean_loss / float(np.log(2.0))


def cut(codes: np.ndarray, rows: int) -> list[Batch]:
    """A text as batches of windows that predict every character but the first exactly once."""
    count = codes.size - 1
    windows = -(-count // WINDOW_EVALUATED)
    padded = np.zeros(windows * WINDOW_EVALUATED + 1, codes.dtype)
    padded[: codes.size] = codes
    x = padded[:-1].reshape(windows, WINDOW_EVALUATED)
    targets = padded[1:].reshape(windows, WINDOW_EVALUATED)
    lengths = np.full(windows, WINDOW_EVALUATED, np.int64)
    lengths[-1] = count - (windows - 1) * WINDOW_EVALUATED
    return [
        Batch(
            np.ascontiguousarray(x[low : low + rows].T),
            np.ascontiguousarray(targets[low : low + rows].T),
            lengths[low : low + rows],
        )
        for low in range(0, windows, rows)
    ]
