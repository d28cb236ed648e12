"""What a pass costs beside what is open elsewhere, and what it costs to ask what is open."""

from __future__ import annotations

import random
import types
from collections.abc import Callable, Generator, Iterator
from contextvars import copy_context
from itertools import repeat
from typing import Any

from benchmarks._curve import Curve
from benchmarks._run import (
    Fact,
    Figure,
    Loop,
    Progress,
    Scale,
    Stored,
    calibrate,
    finest_cpu_timer,
    interleave,
    minus,
    ratio,
)

TASKS = 4_000
"""Tasks that have a block open on the one that is left."""
WAITING = 2_000
"""Tasks that wait in a block beside a loop over a generator."""
FRAMES = 500
"""How deep a pass is beside a suspended generator that has a block open."""
OBJECTS, QUICK_OBJECTS = 1_000_000, 100_000
"""Objects that are alive while it is asked what is open."""

ROUNDS, QUICK_ROUNDS = 31, 7
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 1_000_000
LEAVES, QUICK_LEAVES = 10, 2
"""Times that the block is left in one timing: the tasks take much longer, and are not timed."""


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time each loop with and without what is beside it; return the raw values."""
    quick = scale is Scale.QUICK
    objects = QUICK_OBJECTS if quick else OBJECTS
    loops = {
        "leaving_with": _leaving(on_it=True),
        "leaving_without": _leaving(on_it=False),
        "deep_with": _deep(suspended=1),
        "deep_without": _deep(suspended=0),
        "consumer_with": _consumer(WAITING),
        "consumer_without": _consumer(0),
        "open_blocks": _open_blocks(objects),
    }
    counts = {}
    for name, loop in loops.items():
        if name.startswith("leaving"):
            counts[name] = QUICK_LEAVES if quick else LEAVES
        else:
            counts[name] = calibrate(loop, QUICK_TARGET_NS if quick else TARGET_NS)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    taken = interleave(loops, counts, rounds, rng, progress)
    return {
        "unit": "ns for all runs of a round",
        "timer": finest_cpu_timer()[0],
        "objects": objects,
        "cases": {name: {"iterations": counts[name], "elapsed_ns": taken[name]} for name in loops},
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return what is beside a pass against nothing beside it, and what asking takes."""
    return [
        Figure(
            f"leaving a block, {TASKS:,} tasks on it ÷ as many elsewhere",
            ratio(_ns(stored, "leaving_with"), _ns(stored, "leaving_without")),
            "×",
            1.2,
            digits=2,
        ),
        Figure(
            f"a pass {FRAMES} frames deep, beside a suspended generator − without",
            minus(_ns(stored, "deep_with"), _ns(stored, "deep_without")),
            "ns",
            50,
        ),
        Figure(
            f"a loop over a generator, {WAITING:,} waiting tasks ÷ none",
            ratio(_ns(stored, "consumer_with"), _ns(stored, "consumer_without")),
            "×",
            1.2,
            digits=2,
        ),
        Figure(
            f"open_blocks(), {stored['objects']:,} objects alive",
            [ns / 1e6 for ns in _ns(stored, "open_blocks")],
            "ms",
            1,
            digits=3,
        ),
    ]


def curves(_: Stored) -> list[Curve]:
    """Return nothing: each is one size against none."""
    return []


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what each loop takes."""
    titles = {
        "leaving_with": f"leaving a block that {TASKS:,} tasks lie on",
        "leaving_without": f"leaving a block beside {TASKS:,} tasks",
        "deep_with": f"kept block {FRAMES} frames deep, beside a suspended generator",
        "deep_without": f"kept block {FRAMES} frames deep",
        "consumer_with": f"a loop over three rows beside {WAITING:,} waiting tasks",
        "consumer_without": "a loop over three rows",
        "open_blocks": f"open_blocks() with {stored['objects']:,} objects alive",
    }
    return [Figure(title, _ns(stored, name), "ns") for name, title in titles.items()]


def _ns(stored: Stored, name: str) -> list[float]:
    case = stored["cases"][name]
    return [ns / case["iterations"] for ns in case["elapsed_ns"]]


def _profiler() -> Any:
    from stichotrope import Profiler

    return Profiler("beside")


def _leaving(on_it: bool) -> Loop:
    """Return what leaves a block on or beside which the contexts of many tasks have one open."""
    profiler, now = _profiler(), finest_cpu_timer()[1]
    block, within = profiler.block(0, "block"), profiler.block(0, "in a task")
    other, spare = profiler.block(0, "other"), copy_context()
    contexts = [copy_context() for _ in range(TASKS)]

    def loop(count: int) -> int:
        took = 0
        for _ in range(count):
            if on_it:
                block.__enter__()
            for context in contexts:
                context.run(within.__enter__)
            if not on_it:
                block.__enter__()
            other.__enter__()  # the caches have what leaving takes, after all that came before
            spare.run(within.__enter__)
            other.__exit__(None, None, None)
            start = now()
            block.__exit__(None, None, None)
            took += now() - start
            for context in (spare, *contexts):
                context.run(within.__exit__, None, None, None)
        return took

    return loop


def _passes(block: Any) -> Loop:
    now = finest_cpu_timer()[1]

    def loop(count: int) -> int:
        start = now()
        for _ in repeat(None, count):
            with block:
                pass
        return now() - start

    return loop


def _deep(suspended: int) -> Loop:
    """Return passes made many frames deep, beside generators that are suspended in a block."""
    profiler = _profiler()
    held = profiler.block(0, "held")
    passes = _passes(profiler.block(0, "deep"))

    def rows() -> Iterator[None]:
        with held:
            yield

    generators = [rows() for _ in range(suspended)]
    for generator in generators:
        next(generator)

    def dive(depth: int, count: int) -> int:
        return dive(depth - 1, count) if depth else passes(count)

    def loop(count: int, _held: object = generators) -> int:
        return dive(FRAMES, count)

    return loop


@types.coroutine
def _pause() -> Generator[None, None, None]:
    yield


def _consumer(waiting: int) -> Loop:
    """Return a loop over three rows of a generator, a block around each, beside what waits.

    Each of those waits in a block, in a context of its own, as a task does.
    """
    profiler, now = _profiler(), finest_cpu_timer()[1]
    produced, consumed = profiler.block(0, "produced"), profiler.block(0, "consumed")

    def rows() -> Iterator[int]:
        for number in range(3):
            with produced:
                yield number

    async def wait() -> None:
        with profiler.block(0, "waiting"):
            await _pause()

    tasks = [(copy_context(), wait()) for _ in range(waiting)]
    for context, task in tasks:
        context.run(task.send, None)

    def loop(count: int, _held: object = tasks) -> int:
        start = now()
        for _ in repeat(None, count):
            for _ in rows():
                with consumed:
                    pass
        return now() - start

    return loop


def _open_blocks(objects: int) -> Loop:
    """Return what asks what is open, in a process with many objects."""
    profiler, now = _profiler(), finest_cpu_timer()[1]
    asked: Callable[[], Any] = profiler.open_blocks
    heap = [[None] for _ in range(objects)]

    def loop(count: int, _held: object = heap) -> int:
        start = now()
        for _ in repeat(None, count):
            asked()
        return now() - start

    return loop
