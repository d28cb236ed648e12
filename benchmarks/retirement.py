"""Whether threads that end leave anything behind but their figures: memory as they come and go."""

from __future__ import annotations

import _thread
import json
import random
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks._child import resident_bytes, run_module
from benchmarks._run import Fact, Figure, Progress, Scale, Stored, minus

# Threads, processes of each kind, and the parts each process is cut into.
SIZES = {
    Scale.QUICK: (6_000, 5, 1),
    Scale.NORMAL: (20_000, 7, 1),
    Scale.FULL: (1_000_000, 1, 9),
}
BATCH = 50
SAMPLES = 40
HITS_A_THREAD = 2

# Constant, to within what a page more or less in a whole run can show: a megabyte for a million.
BYTES_A_THREAD = 1.0
# The newest dead threads keep their own line, and a heap in which records of many sizes come and go
# takes its shape slowly: both end, a leak does not. Shorter runs than this cannot tell them apart.
SETTLED_THREADS = 100_000


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Make and end threads in fresh processes, some recording and some not, in random order."""
    threads, runs, parts = SIZES[scale]
    taken: dict[str, list[Stored]] = {"bare": [], "recorded": []}
    order = list(taken)
    for number in range(runs):
        rng.shuffle(order)
        for arm in order:
            taken[arm].append(run_module("benchmarks.retirement", arm, str(threads)))
        progress(f"processes {number + 1}/{runs}")
    return {
        "unit": "bytes",
        "threads": threads,
        "parts": parts,
        "hits_a_thread": HITS_A_THREAD,
        "runs": taken,
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    threads, runs = stored["threads"], stored["runs"]["recorded"]
    expected = threads * stored["hits_a_thread"]
    least = min(run["hits"] for run in runs)
    exact = all(run["hits"] == expected for run in runs)
    counted = Fact(
        f"every hit of {threads:,} ended threads counted", exact, f"{least:,} of {expected:,}"
    )
    if threads <= SETTLED_THREADS:
        return [counted]
    added = minus(_slopes(stored, "recorded"), _slopes(stored, "bare"))
    name = f"memory a thread leaves behind, {threads:,} threads"
    return [counted, Figure(name, added, "bytes", BYTES_A_THREAD, digits=2)]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return the growth of each kind of process by itself, and what a thread's life took."""
    threads, settled = stored["threads"], _settled(stored)
    found: list[Figure | Fact] = []
    for arm, title in (("bare", "not recording"), ("recorded", "recording")):
        runs = stored["runs"][arm]
        lives = [run["elapsed_ns"] / threads / 1000 for run in runs]
        found += [
            Figure(
                f"growth a thread, {title}, {settled:,} to {threads:,}",
                _slopes(stored, arm),
                "bytes",
                digits=2,
            ),
            _growth(f"growth, {title}, to {settled:,} threads", runs, 0, settled),
            _growth(f"growth, {title}, {settled:,} to {threads:,}", runs, settled, threads),
            Figure(f"a thread's life, {title}", lives, "µs"),
        ]
    return found


def _settled(stored: Stored) -> int:
    """Return from how many threads on growth is taken for lasting."""
    threads: int = stored["threads"]
    return SETTLED_THREADS if threads > SETTLED_THREADS else threads // 2


def _growth(name: str, runs: list[Stored], since: int, until: int) -> Figure:
    grown = [_resident_at(run, until) - _resident_at(run, since) for run in runs]
    return Figure(name, [extra / 1e6 for extra in grown], "MB", digits=2)


def _resident_at(run: Stored, threads: int) -> int:
    """Return the memory at the last sample taken by then."""
    samples: list[tuple[int, int]] = run["samples"]
    return max(samples, key=lambda sample: sample[0] if sample[0] <= threads else -1)[1]


def _slopes(stored: Stored, arm: str) -> list[float]:
    """Return bytes gained a thread once settled: one value for each run, or each part of a run.

    Ends of long stretches, not fits to neighbouring samples: memory grows in steps, and most
    neighbours are equal however much is lost in the long run.
    """
    first, last, parts = _settled(stored), stored["threads"], stored["parts"]
    ends = [first + (last - first) * part // parts for part in range(parts + 1)]
    return [
        (_resident_at(run, later) - _resident_at(run, earlier)) / (later - earlier)
        for run in stored["runs"][arm]
        for earlier, later in pairwise(ends)
    ]


def _child(arm: str, threads: int) -> Stored:
    """Make and end the threads in batches; return memory along the way and the hits counted."""
    profiler, work = _recording() if arm == "recorded" else (None, _not_recording())
    samples = [(0, resident_bytes())]
    idle = _thread._count()
    start = time.perf_counter_ns()
    for done in range(BATCH, threads + 1, BATCH):
        for _ in range(BATCH):
            _thread.start_new_thread(work, ())
        while _still_ending(idle):
            time.sleep(0.0001)
        if done // BATCH % max(1, threads // BATCH // SAMPLES) == 0:
            samples.append((done, resident_bytes()))
    elapsed = time.perf_counter_ns() - start
    hits = profiler.get_results().total_hits if profiler else 0
    return {"samples": samples, "hits": hits, "elapsed_ns": elapsed}


def _still_ending(idle: int) -> bool:
    """Return whether a thread of the batch is left, to the interpreter or to the system.

    Hundreds may have ended for the interpreter and still hold their stacks: megabytes that come
    and go with the scheduler, and would drown what is looked for.
    """
    if _thread._count() > idle:
        return True
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir()) > 1
    except OSError:
        return False


def _not_recording() -> Callable[[], None]:
    def work() -> None:
        pass

    return work


def _recording() -> tuple[Any, Callable[[], None]]:
    from stichotrope import Profiler

    profiler = Profiler("retirement")
    inner = profiler.block(1, "inner")

    @profiler.track(0, "outer")
    def work() -> None:
        with inner:
            pass

    return profiler, work


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], int(sys.argv[2]))))
