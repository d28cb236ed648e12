"""What many threads and blocks cost in memory: fresh processes, with and without profiling."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from benchmarks._child import resident_bytes, run_module
from benchmarks._run import Fact, Figure, Progress, Scale, Stored, minus

THREADS, BLOCKS, PASSES = 100, 100, 10
MEMORY_MB = 10.0
OCTAVES = 8
SHORTEST_NS = 250

ARMS = {
    "bare": "the threads alone",
    "imported": "stichotrope imported, nothing recorded",
    "recorded": "recorded, passes alike",
    "spread": f"recorded, passes over {OCTAVES} octaves",
}
ROUNDS, QUICK_ROUNDS = 15, 7


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Start each kind of process once a round, in random order; keep its resident memory."""
    rounds = QUICK_ROUNDS if scale is Scale.QUICK else ROUNDS
    taken: dict[str, list[int]] = {arm: [] for arm in ARMS}
    order = list(ARMS)
    for number in range(rounds):
        rng.shuffle(order)
        for arm in order:
            taken[arm].append(resident(arm))
        progress(f"processes {number + 1}/{rounds}")
    return {"unit": "bytes", "threads": THREADS, "blocks": BLOCKS, "resident_bytes": taken}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    size = f"{stored['threads']} threads × {stored['blocks']} blocks"
    return [
        Figure(f"memory, {size}, {ARMS[arm]}", _added_mb(stored, arm, "bare"), "MB", MEMORY_MB)
        for arm in ("recorded", "spread")
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return where that memory is: in the import, or in what was recorded."""
    return [
        Figure(f"memory, {ARMS['imported']}", _added_mb(stored, "imported", "bare"), "MB"),
        Figure(
            "memory, records alone, passes alike", _added_mb(stored, "recorded", "imported"), "MB"
        ),
        Figure(
            "memory, records alone, passes spread", _added_mb(stored, "spread", "imported"), "MB"
        ),
    ]


def resident(arm: str, threads: int = THREADS, blocks: int = BLOCKS) -> int:
    """Return the resident memory of a fresh process of this kind and size, in bytes.

    :raises RuntimeError: the process failed, or the system does not tell.
    """
    told = run_module("benchmarks.memory", arm, str(threads), str(blocks))
    return int(told["resident_bytes"])


def _added_mb(stored: Stored, arm: str, without: str) -> list[float]:
    taken = stored["resident_bytes"]
    return [added / 1e6 for added in minus(taken[arm], taken[without])]


def _child(arm: str, count: int, width: int) -> int:
    """Record so many blocks in so many threads, park them all, and return the resident memory."""
    blocks: Sequence[AbstractContextManager[object]] = [nullcontext() for _ in range(width)]
    if arm != "bare":
        from stichotrope import Profiler

        profiler = Profiler("memory")
        kept = [profiler.block(0, f"block {number}") for number in range(width)]
        if arm != "imported":
            blocks = kept
    parked, leave = threading.Barrier(count + 1), threading.Event()

    def record() -> None:
        for number in range(PASSES):
            # In every arm but one the passes are as short as they come.
            wait_ns = SHORTEST_NS << number % OCTAVES if arm == "spread" else 0
            for block in blocks:
                with block:
                    _spin(wait_ns)
        parked.wait()
        leave.wait()

    threads = [threading.Thread(target=record) for _ in range(count)]
    for thread in threads:
        thread.start()
    parked.wait()
    resident = resident_bytes()
    leave.set()
    for thread in threads:
        thread.join()
    return resident


def _spin(wait_ns: int) -> None:
    if wait_ns:
        end = time.perf_counter_ns() + wait_ns
        while time.perf_counter_ns() < end:
            pass


if __name__ == "__main__":
    print(json.dumps({"resident_bytes": _child(sys.argv[1], *map(int, sys.argv[2:]))}))
