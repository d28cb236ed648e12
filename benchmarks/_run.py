"""Interleaving, statistics and verdicts: how a figure is taken here, and what may be said of it."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

RESAMPLES = 1000
COARSEST_TIMER_S = 1e-6
MET, NOT_MET, NOISE = "met", "not met", "within noise"

Loop = Callable[[int], int]
"""Runs its body n times and returns the nanoseconds that took."""

Stored = dict[str, Any]
"""What a subject measured, raw and fit for JSON."""

Progress = Callable[[str], None]


class Scale(Enum):
    """How much of everything: a look, a run to store, or a run with its longest part in full."""

    QUICK = "quick"
    NORMAL = "normal"
    FULL = "full"


@dataclass(frozen=True)
class Figure:
    """One quantity, measured once a round, and the limit it is held to.

    `samples` are in `unit`, one for each round: figures of one run are paired by their index.
    `limit` is the largest value allowed, or with `at_least` the smallest; None when the quantity
    is only reported.
    """

    name: str
    samples: Sequence[float]
    unit: str
    limit: float | None = None
    at_least: bool = False
    digits: int = 1

    def interval(self) -> tuple[float, float, float]:
        """Return the median and the ends of its 95 % interval."""
        return median_interval(self.samples)

    def verdict(self) -> str | None:
        """Return whether the whole interval is on one side of the limit; None without one."""
        if self.limit is None:
            return None
        _, low, high = self.interval()
        if self.at_least:
            low, high, limit = -high, -low, -self.limit
        else:
            limit = self.limit
        return MET if high <= limit else NOT_MET if low > limit else NOISE


@dataclass(frozen=True)
class Fact:
    """Something that holds or does not, with what was seen."""

    name: str
    holds: bool
    seen: str

    def verdict(self) -> str:
        """Return whether it holds, in the words used for figures."""
        return MET if self.holds else NOT_MET


def interleave(
    loops: dict[str, Loop],
    counts: dict[str, int],
    rounds: int,
    rng: random.Random,
    progress: Progress,
    collector: bool = False,
) -> dict[str, list[int]]:
    """Run every loop once a round, in an order drawn anew each round; keep every value.

    Machines drift: clocks step, neighbours come and go. Whatever a round suffers, all its cases
    suffer, so differences and ratios are taken inside a round.

    Args:
        loops: what to time, by name.
        counts: how many times each body runs in one timing.
        rounds: how many values are kept for each.
        rng: draws the orders.
        collector: leave the garbage collector on, for what allocates and so pays for it.

    Returns:
        For each name the nanoseconds of each round.
    """
    taken: dict[str, list[int]] = {name: [] for name in loops}
    order = list(loops)
    with nullcontext() if collector else no_collector():
        for number in range(rounds):
            rng.shuffle(order)
            for name in order:
                taken[name].append(loops[name](counts[name]))
            progress(f"round {number + 1}/{rounds}")
    return taken


def finest_cpu_timer() -> tuple[str, Callable[[], int]]:
    """Return the timer for what only computes, and its name: this thread's processor time.

    A neighbour that takes the processor in the middle of a loop then costs nothing. Where that
    time is counted in scheduler ticks only (Windows), the wall clock is the finer one.
    """
    if time.get_clock_info("thread_time").resolution <= COARSEST_TIMER_S:
        return "thread_time", time.thread_time_ns
    return "perf_counter", time.perf_counter_ns


def calibrate(loop: Loop, target_ns: int) -> int:
    """Return a count with which the loop takes about `target_ns`; warms the loop up on the way."""
    count = 1
    while (took := loop(count)) < target_ns // 4:
        count *= 2
    return max(1, round(count * target_ns / max(took, 1)))


@contextmanager
def no_collector() -> Iterator[None]:
    """Keep the garbage collector out of what is timed."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def median_interval(samples: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its 95 % interval by the percentile bootstrap.

    The draws are seeded, so one stored run always gives one interval. Source: Efron and
    Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("an interval was asked for of no samples; at least one round is needed")
    ordered = sorted(samples)
    medians = sorted((ordered[a] + ordered[b]) / 2 for a, b in _medians_of_resamples(len(ordered)))
    return (
        statistics.median(ordered),
        medians[math.floor(0.025 * (RESAMPLES - 1))],
        medians[math.ceil(0.975 * (RESAMPLES - 1))],
    )


@cache
def _medians_of_resamples(count: int) -> list[tuple[int, int]]:
    """Return for each resample where, in the order of all samples, the middle of it is.

    It is places that are drawn: so they are drawn once for all that have as many samples.
    """
    rng = random.Random(count)
    resamples = (sorted(rng.choices(range(count), k=count)) for _ in range(RESAMPLES))
    return [(places[(count - 1) // 2], places[count // 2]) for places in resamples]


def minus(left: Sequence[float], right: Sequence[float]) -> list[float]:
    """Return the differences of two paired series."""
    return [a - b for a, b in zip(left, right, strict=True)]


def ratio(left: Sequence[float], right: Sequence[float]) -> list[float]:
    """Return the ratios of two paired series; infinite where the divisor drowned in noise."""
    return [a / b if b > 0 else math.inf for a, b in zip(left, right, strict=True)]


def cheaper(*series: Sequence[float]) -> Sequence[float]:
    """Return the series with the least median: the best that could be done is the honest floor."""
    return min(series, key=statistics.median)
