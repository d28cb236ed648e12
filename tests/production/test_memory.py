"""Profilers and threads that come and go: the core's memory is back where it was, the process's does not grow."""

from __future__ import annotations

import functools
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conftest import WATCHDOG_SECONDS, Threads, hits
from production.conftest import Player, is_disturbed
from production.memory import resident, slope
from production.subjects import KINDS, CallSites, Subject
from stichotrope import Profiler, ProfilerResults, _core, profiler

pytestmark = [pytest.mark.concurrent, pytest.mark.integration]


def function(n: int) -> int:
    """Do next to nothing."""
    return n + 1


def generator() -> Iterator[int]:
    """Do next to nothing, and stand still meanwhile."""
    yield 1


# 1,000 times create, record, destroy, on 20 threads


def of_profilers() -> Callable[[], int]:
    """A cycle makes a profiler, records everything in it, reads it and drops it: hits."""

    def cycle() -> int:
        p = Profiler("short-lived")
        with p.block(0, "block"):
            p.track("named", "function")(function)(1)
            list(p.track(2, "generator")(generator)())
        return sum(hits(p).values())

    return cycle


def of_blocks() -> Callable[[], int]:
    """The same with blocks, decorated functions and what they give, of a profiler that stays."""
    p = Profiler("long-lived")

    def cycle() -> int:
        kept = p.block(0, "block")
        with kept:
            p.track("named", "function")(function)(1)
            abandoned = iter(p.track(2, "generator")(generator)())
            next(abandoned)
            del abandoned
        return 3

    return cycle


def of_call_sites() -> Callable[[], int]:
    """The same with lines of code that are new each time, and so is what the registry knows of them."""

    def cycle() -> int:
        subject = CallSites()
        for number in range(3):
            subject.make(number)
            with subject.look_up(number):
                pass
        return sum(subject.hits().values())

    return cycle


def of_leaks() -> Callable[[], int]:
    """The same as with profilers, and a thousand bytes that the program keeps."""
    cycle = of_profilers()
    kept: list[bytes] = []

    def leak() -> int:
        kept.append(bytes(1000))
        return cycle()

    return leak


CYCLES: dict[str, Callable[[], Callable[[], int]]] = {
    "profilers": of_profilers,
    "blocks": of_blocks,
    "call sites": of_call_sites,
    "leaks": of_leaks,
}

THREADS = 20
CYCLES_A_ROUND = 5  # of each thread


def come_and_go(kind: str, warm_up: int, rounds: int) -> Any:
    """Twenty threads go through cycles, round by round; between rounds nobody moves, and memory is looked at."""
    cycle = CYCLES[kind]()
    step = threading.Barrier(THREADS + 1)
    counts, sizes = [], []

    def work() -> int:
        total = 0
        for _ in range(warm_up + rounds):
            step.wait(WATCHDOG_SECONDS)
            total += sum(cycle() for _ in range(CYCLES_A_ROUND))
            step.wait(WATCHDOG_SECONDS)
        step.wait(WATCHDOG_SECONDS)  # until it has been looked for the last time
        return total

    def look() -> None:
        for _ in range(warm_up + rounds):
            step.wait(WATCHDOG_SECONDS)
            step.wait(WATCHDOG_SECONDS)
            gc.collect()
            Profiler("next")
            counts.append([*_core.memory().values(), len(profiler._CALL_SITE_CACHE)])
            sizes.append(resident())
        step.wait(WATCHDOG_SECONDS)

    totals = Threads().together(*[work] * THREADS, look)[:-1]
    return {
        "hits": totals,
        "counts": counts,
        "sizes": sizes[warm_up:],
        "slope": slope(sizes[warm_up:], THREADS * CYCLES_A_ROUND),
    }


# 1,000 threads in 20 batches


BATCH = 50
RETAINED = 10


def end_threads(kind: str, warm_up: int, batches: int) -> Any:
    """Batches of fifty threads that record and end; between batches, memory is looked at."""
    subject = KINDS[kind](retain_threads=RETAINED)
    for number in range(5):
        subject.make(number)
    before = _core.memory()
    sizes, counted, counts = [], [], []

    def work(thread: int) -> None:
        for _ in range(3):
            with subject.open(thread % 5):
                pass

    for batch in range(1, warm_up + batches + 1):
        Threads().together(*(functools.partial(work, thread) for thread in range(BATCH)))
        wait_until_retired(subject, batch * BATCH)
        gc.collect()
        counted.append(sorted(set(subject.hits().values())))
        counts.append(live_since(before, subject))
        sizes.append(resident())
    shares = [share for results in subject.results() for share in results.threads]
    return {
        "counted": counted,
        "counts": counts,
        "alive": sum(share.alive for share in shares),
        "own lines": sum(share.key != 0 for share in shares),
        "sizes": sizes[warm_up:],
        "slope": slope(sizes[warm_up:], BATCH),
    }


def wait_until_retired(subject: Subject, ended: int) -> None:
    """Wait until the system has taken down so many threads, and their buffers are given back."""
    while sum(retired(results) for results in subject.results()) < ended:
        time.sleep(0.001)


def live_since(before: dict[str, int], subject: Subject) -> dict[str, int]:
    """What has come to live in the core, once the last thread that ended has given its buffers back."""
    while True:
        kept = RETAINED * len(subject.results())
        found = {what: n - before[what] for what, n in _core.memory().items()}
        if found["threads"] <= kept:
            return found
        time.sleep(0.001)


def retired(results: ProfilerResults) -> int:
    """How many threads ended, of those with lines of their own and of the others."""
    own = sum(not share.alive for share in results.threads if share.key)
    return own + int(results.metadata["folded_threads"])


# What is asserted of them

# One heap for all threads: else the C library gives them up to eight for each processor, and memory
# grows until each has been used to the full once, which takes thousands of threads.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}

# Bytes for each cycle, and for each thread, that are taken for none. The core's counts tell of every
# object that it keeps; the slope is for what they do not know of. Of 228 runs where nothing leaks it
# was 0 or less in 135, and at most 22 for a cycle and 38 for a thread: heaps grow in steps, by what is
# alive at once. What is kept of one thread is 210 at least, for each profiler.
NONE_FOR_A_CYCLE = 250.0
NONE_FOR_A_THREAD = 150.0


def is_level(bytes_each: float | None, none: float) -> bool:
    """Whether memory does not grow. Sanitizers keep what is freed, and some systems do not tell."""
    return bytes_each is None or is_disturbed() or bytes_each < none


def test_a_thousand_cycles_on_twenty_threads_leave_memory_as_it_was(
    play: Player, kind: str
) -> None:
    """What is created, recorded and destroyed leaves nothing in the core, and no slope in the process."""
    for facts in play(come_and_go, environment=ONE_HEAP, kind=kind, warm_up=10, rounds=30):
        assert facts["hits"] == [3 * CYCLES_A_ROUND * 40] * THREADS
        # Stores, buffers, threads that are known (and the main one), call sites.
        stays = [1, THREADS, THREADS + 1, 3] if kind == "blocks" else [0, 0, THREADS + 1, 0]
        assert facts["counts"] == [stays] * 40
        assert is_level(facts["slope"], NONE_FOR_A_CYCLE), facts["sizes"]


def test_a_thousand_short_lived_threads_leave_counts_and_no_slope(play: Player, kind: str) -> None:
    """In twenty batches: buffers are retired, no hit is lost, the newest threads keep their lines."""
    profilers = 5 if kind == "profilers" else 1
    for facts in play(end_threads, environment=ONE_HEAP, kind=kind, warm_up=10, batches=20):
        assert facts["counted"] == [[30 * batch] for batch in range(1, 31)]
        # One buffer for all older ended threads, and the records of those with lines of their own.
        first = {"buffers": 0} if kind == "profilers" else {"buffers": profilers}
        stays = {"stores": 0, "buffers": profilers, "threads": RETAINED * profilers}
        assert facts["counts"] == [{**stays, **first}, *[stays] * 29]
        assert (facts["alive"], facts["own lines"]) == (0, RETAINED * profilers)
        assert is_level(facts["slope"], NONE_FOR_A_THREAD * profilers), facts["sizes"]


# The measure itself


@pytest.mark.skipif(
    resident() is None or is_disturbed(), reason="the system does not say what is resident"
)
def test_a_leak_that_no_count_shows_is_a_slope(once: Player) -> None:
    """A thousand bytes for each cycle, kept by the program."""
    for facts in once(come_and_go, environment=ONE_HEAP, kind="leaks", warm_up=10, rounds=30):
        assert facts["counts"] == [[0, 0, THREADS + 1, 0]] * 40
        assert not is_level(facts["slope"], NONE_FOR_A_CYCLE), facts["sizes"]


def test_the_slope_of_samples_is_that_of_least_squares() -> None:
    """Worked out by hand; unknown where a sample is."""
    assert slope([0, 100, 200, 300], 10) == 10.0
    assert slope([5, 5, 5], 7) == 0.0
    assert slope([0, 4096, 0, 0], 1) == pytest.approx(-409.6)
    assert slope([0, None, 2], 1) is None
