"""Interleaved timing: contenders, rounds, ratios."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Contender", "fastest_variants", "measure", "median_ratio"]

# A block shorter than this would measure the clock and the caches' memory of the one before.
_LEAST_BLOCK = 2e-3
_MOST_ROUNDS = 200


@dataclass
class Contender:
    """One way to do what a case asks for.

    Parameters
    ----------
    name : str
        "ours", a peer, or a yardstick. All contenders of different names are timed; those whose
        names begin with "ours" get columns of their own in the tables.
    call : callable
        Does the work once, all of it before it returns.
    results : callable
        Returns results by name, as `reference.expected_results`, from what `call` returned.
    variant : str
        Which of several ways to get the same from one peer; only the fastest is timed.
    steps : int
        How many times one call does the work.
    part : bool
        It does a part of what "ours" does; what counts is the time of "ours" without that part.
    """

    name: str
    call: Callable[[], Any]
    results: Callable[[Any], dict[str, Any]]
    variant: str = ""
    steps: int = 1
    part: bool = False


Block = Callable[[Callable[[], Any], int], tuple[float, float]]
"""Makes a call some times; returns the mean time of one, and how many cores it kept busy."""


def _block(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the mean time of one call, and how many cores it kept busy."""
    if repeats > 1:
        call()  # brings its weights back into the cache, its threads back to life
    used, start = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        call()
    elapsed = max(time.perf_counter() - start, 1e-9)
    return elapsed / repeats, (time.process_time() - used) / elapsed


def _repeats(call: Callable[[], Any], block: Block) -> int:
    """Return how many calls make a block long enough."""
    single, _ = block(call, 1)
    if single > 20 * _LEAST_BLOCK:
        return 1
    count = 20 if single * 20 < _LEAST_BLOCK else 1
    single = min(block(call, count)[0] for _ in range(3))
    return max(1, int(np.ceil(_LEAST_BLOCK / max(single, 1e-8))))


def fastest_variants(contenders: Sequence[Contender]) -> list[Contender]:
    """Return one contender of each name: the variant that is fastest in a few rounds."""
    chosen = []
    for name in dict.fromkeys(contender.name for contender in contenders):
        variants = [contender for contender in contenders if contender.name == name]
        if len(variants) > 1:
            times, _ = measure(variants, 0.1, least_rounds=3)
            medians = np.median(times, axis=0)
            variants = [variants[int(np.argmin(medians))]]
        chosen.append(variants[0])
    return chosen


def measure(
    contenders: Sequence[Contender],
    seconds: float,
    *,
    pause: float = 0.0,
    least_rounds: int = 5,
    block: Block = _block,
) -> tuple[np.ndarray, np.ndarray]:
    """Time contenders in rounds: in each, every one of them once, in random order.

    Parameters
    ----------
    contenders : sequence of Contender
        They must have been called before.
    seconds : float
        When to stop, unless there were fewer than `least_rounds` rounds.
    pause : float
        Seconds between two contenders.
    block : callable
        Times some calls, by the processor's clock where it is not given.

    Returns
    -------
    times : ndarray, shape (rounds, contenders)
        Seconds that the work of a case takes once.
    busy : ndarray, shape (contenders,)
        How many cores each contender kept busy: the median of processor time / time.
    """
    rng = np.random.default_rng(0)
    begin = time.perf_counter()
    repeats = [_repeats(contender.call, block) for contender in contenders]
    rounds: list[list[float]] = []
    busy: list[list[float]] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        while len(rounds) < least_rounds or (
            time.perf_counter() - begin < seconds and len(rounds) < _MOST_ROUNDS
        ):
            times, cores = [0.0] * len(contenders), [0.0] * len(contenders)
            for i in rng.permutation(len(contenders)):
                time.sleep(pause)
                times[i], cores[i] = block(contenders[i].call, repeats[i])
                times[i] /= contenders[i].steps
            rounds.append(times)
            busy.append(cores)
            gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    return np.array(rounds), np.median(busy, axis=0)


def median_ratio(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Return the median over rounds of their time / our time.

    Examples
    --------
    >>> median_ratio(np.array([2.0, 30.0, 4.0]), np.array([1.0, 10.0, 1.0]))
    3.0
    """
    return float(np.median(theirs / ours))
