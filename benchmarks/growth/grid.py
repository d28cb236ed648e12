"""What a snapshot takes, in time and in memory, by the number of threads and of blocks."""

from __future__ import annotations

import random
import sys
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import memory, snapshot
from benchmarks._curve import Curve
from benchmarks._run import Fact, Figure, Progress, Scale, Stored, interleave, minus

THREADS, BLOCKS = (1, 10, 100), (10, 100, 1_000)
ROUNDS, QUICK_ROUNDS = 31, 9
PROCESSES, QUICK_PROCESSES = 7, 3

TIME, MEMORY = "get_results()", "memory of records"


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Take snapshots of every size once a round, and start a process of each; keep the values.

    Where the system does not tell what memory is in use, there are only the times.

    :raises AssertionError: a snapshot lost a pass.
    """
    quick = scale is Scale.QUICK
    stored: Stored = {
        "threads": list(THREADS),
        "blocks": list(BLOCKS),
        "passes": snapshot.PASSES,
        "elapsed_ns": _snapshots(QUICK_ROUNDS if quick else ROUNDS, rng, progress),
    }
    try:
        processes = QUICK_PROCESSES if quick else PROCESSES
        stored["resident_bytes"] = _processes(processes, rng, progress)
    except RuntimeError as error:
        print(f"{MEMORY} could not be measured: {error}", file=sys.stderr)
    return stored


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return nothing: the subjects `snapshot` and `memory` hold 100 threads × 100 blocks."""
    return []


def curves(stored: Stored) -> list[Curve]:
    """Return time and memory by the number of blocks, for each number of threads."""
    found = []
    told = [(TIME, "ms", _time_ms)]
    if "resident_bytes" in stored:
        told.append((MEMORY, "MB", _memory_mb))
    for what, unit, samples in told:
        for threads in stored["threads"]:
            points = [(n, samples(stored, threads, n)) for n in stored["blocks"]]
            title = f"{what}, {_threads(threads)}"
            name = partial(_title, title)
            found.append(Curve(title, "blocks", unit, points, name, digits=3))
    return found


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return the time and the memory of every size."""
    return [row for curve in curves(stored) for row in curve.figures()]


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _title(title: str, blocks: float) -> str:
    return f"{title} × {blocks:,} blocks"


def _key(threads: int, blocks: int) -> str:
    return f"{threads}x{blocks}"


def _time_ms(stored: Stored, threads: int, blocks: int) -> list[float]:
    return [ns / 1e6 for ns in stored["elapsed_ns"][_key(threads, blocks)]]


def _memory_mb(stored: Stored, threads: int, blocks: int) -> list[float]:
    """Return what recording adds to a process that has the package, the threads and the blocks."""
    taken = stored["resident_bytes"][_key(threads, blocks)]
    return [added / 1e6 for added in minus(taken["recorded"], taken["imported"])]


def _sizes() -> list[tuple[int, int]]:
    return [(threads, blocks) for threads in THREADS for blocks in BLOCKS]


def _snapshots(rounds: int, rng: random.Random, progress: Progress) -> dict[str, list[int]]:
    """Return what each snapshot took, in ns; the threads of all sizes are there all the while."""
    from stichotrope import Profiler

    loops = {}
    with ExitStack() as parked:
        for threads, blocks in _sizes():
            profiler: Any = Profiler(f"growth, {_key(threads, blocks)}")
            parked.enter_context(snapshot.parked_threads(profiler, threads, blocks))
            seen, expected = profiler.get_results().total_hits, threads * blocks * snapshot.PASSES
            assert seen == expected, f"{seen} of {expected} passes in the snapshot"
            loops[_key(threads, blocks)] = snapshot.readings(profiler)["get_results"]
        once = dict.fromkeys(loops, 1)
        return interleave(loops, once, rounds, rng, progress, collector=True)


def _processes(
    rounds: int, rng: random.Random, progress: Progress
) -> dict[str, dict[str, list[int]]]:
    """Return the resident memory of processes that recorded and of such that did not, in bytes."""
    order = [(size, arm) for size in _sizes() for arm in ("imported", "recorded")]
    taken: dict[str, dict[str, list[int]]] = {
        _key(*size): {"imported": [], "recorded": []} for size in _sizes()
    }
    for number in range(rounds):
        rng.shuffle(order)
        for size, arm in order:
            taken[_key(*size)][arm].append(memory.resident(arm, *size))
        progress(f"processes {number + 1}/{rounds}")
    return taken
