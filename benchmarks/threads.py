"""What a pass costs on 1 to 64 threads at once, beside as many threads that only loop.

Each thread counts its own processor time for its share of one fixed number of passes, so it costs
nothing to wait for the GIL or for a core, and a lock or a cache line that the threads had to share
would show. Native threads, which need no GIL, do so side by side on any build.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import _machine
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
from benchmarks.floors import load_floors
from benchmarks.per_pass import Case

COUNTS = (1, 2, 4, 8, 16, 32, 64)
ROUNDS, QUICK_ROUNDS = 21, 7
# Up to so many threads share out one number of passes; with more, each has as many as with these.
# So each still works for a few of the interpreter's switch intervals (5 ms).
SHARERS = 16
TARGET_NS, QUICK_TARGET_NS = 160_000_000, 40_000_000
NATIVE_TARGET_NS, QUICK_NATIVE_TARGET_NS = 40_000_000, 10_000_000
WARM_UP = 1000

# What runs beside nothing else has the caches to itself; a tenth is what losing them now and then
# to another thread may cost. A lock, or a counter that threads shared, costs several times as much.
RISE = 1.1

ARMS = {"tracked": ("tracked call", "bare"), "kept": ("kept block", "empty_loop")}
"""What records under the GIL: its title, and the loop that is subtracted from it."""

NATIVE, NATIVE_FLOOR = "native", "native_floor"
NATIVE_TITLES = {
    NATIVE: "block entered by native threads",
    NATIVE_FLOOR: "2 clock reads by native threads",
}


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time every loop on every number of threads once a round; return the raw values.

    Raises:
        OSError: the system has no more threads to give.
    """
    from stichotrope import Profiler

    quick = scale is Scale.QUICK
    rounds = QUICK_ROUNDS if quick else ROUNDS
    profiler = Profiler("threads")
    loops = _loops(profiler)
    counts = {}
    for name, at in loops.items():
        shared = _evenly(calibrate(at(1), _target(name, quick)))
        counts.update({_key(name, n): shared * max(1, n // SHARERS) for n in COUNTS})
    profiler.clear()
    taken = interleave(
        {_key(name, threads): at(threads) for name, at in loops.items() for threads in COUNTS},
        counts,
        rounds,
        rng,
        progress,
    )
    return {
        "unit": "ns of all threads for all passes of a round",
        "timer": finest_cpu_timer()[0],
        "floors_clock": load_floors().CLOCK,
        "gil": _machine.gil_enabled(),
        "cores": _cores(),
        "switch_interval_s": sys.getswitchinterval(),
        "passes": counts,
        "elapsed_ns": taken,
        "recorded": _recorded(profiler, counts, rounds),
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit: what many threads pay, in what one pays."""
    found: list[Figure | Fact] = []
    most, with_gil = max(_counts(stored)), stored["gil"]
    for arm, (title, _) in ARMS.items():
        rise = ratio(_added_ns(stored, arm, most), _added_ns(stored, arm, 1))
        name = f"{title}, {most} threads ÷ 1 thread, {_lock(stored)}"
        # Without the GIL, what the interpreter shares between threads costs them too.
        found.append(Figure(name, rise, "×", RISE if with_gil else None, digits=2))
    if _has_native(stored):
        rise = ratio(_in_floors(stored, most), _in_floors(stored, 1))
        name = f"native pass in floors, {most} threads ÷ 1 thread"
        found.append(Figure(name, rise, "×", RISE, digits=2))
    for name, told in stored["recorded"].items():
        exact = told["hits"] == told["passes"]
        seen = f"{told['hits']:,} of {told['passes']:,}"
        found.append(
            Fact(f"every pass of up to {most} threads at once counted, {name}", exact, seen)
        )
    return found


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what a pass costs on so many threads."""
    return [figure for curve in curves(stored) for figure in curve.figures()]


def curves(stored: Stored) -> list[Curve]:
    """Return how the cost of a pass grows with the number of threads."""
    counts = _counts(stored)
    added, whole = partial(_added_ns, stored), partial(_pass_ns, stored)
    found = [(title, partial(added, arm)) for arm, (title, _) in ARMS.items()]
    if _has_native(stored):
        found += [(title, partial(whole, arm)) for arm, title in NATIVE_TITLES.items()]
    return [
        Curve(title, "threads", "ns", [(n, costs(n)) for n in counts], partial(_title, title))
        for title, costs in found
    ]


def _title(title: str, threads: float) -> str:
    return f"{title}, {threads} thread{'s' if threads > 1 else ''}"


def _counts(stored: Stored) -> list[int]:
    """Return the numbers of threads of a run: not every stored one has all that are taken now."""
    return sorted({int(key.rpartition("_")[2]) for key in stored["elapsed_ns"]})


def _has_native(stored: Stored) -> bool:
    return _key(NATIVE, 1) in stored["elapsed_ns"]


def _lock(stored: Stored) -> str:
    return "with the GIL" if stored["gil"] else "without the GIL"


def _key(name: str, threads: int) -> str:
    return f"{name}_{threads}"


def _pass_ns(stored: Stored, name: str, threads: int) -> list[float]:
    key = _key(name, threads)
    passes = passes_in(stored, key)
    return [elapsed / passes for elapsed in stored["elapsed_ns"][key]]


def passes_in(stored: Stored, key: str) -> int:
    """Return how many passes were made in a round of what has this key in `elapsed_ns`."""
    told: dict[str, int] = stored["passes"]
    # Earlier runs made one number of passes, however many the threads.
    return told[key] if key in told else told[key.rpartition("_")[0]]


def _added_ns(stored: Stored, arm: str, threads: int) -> list[float]:
    """Return what a pass adds to the bare loop of as many threads, in ns, round by round."""
    base = ARMS[arm][1]
    return minus(_pass_ns(stored, arm, threads), _pass_ns(stored, base, threads))


def _in_floors(stored: Stored, threads: int) -> list[float]:
    """Return a native pass as a multiple of the floor of as many threads.

    Two threads on the two halves of one core slow each other down, whatever they do.
    """
    floor = _pass_ns(stored, NATIVE_FLOOR, threads)
    return ratio(_pass_ns(stored, NATIVE, threads), floor)


def _target(name: str, quick: bool) -> int:
    if name in (NATIVE, NATIVE_FLOOR):
        return QUICK_NATIVE_TARGET_NS if quick else NATIVE_TARGET_NS
    return QUICK_TARGET_NS if quick else TARGET_NS


def _evenly(count: int) -> int:
    """Return a count near this one of which every number of threads makes equal shares."""
    most = max(COUNTS)
    return max(1, count // most) * most


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- the loops, each for any number of threads ---------------------------------------------------


def _loops(profiler: Any) -> dict[str, Callable[[int], Loop]]:
    """Return for each name what makes the loop of so many threads."""
    bare = _empty()
    cases = [
        Case("empty_loop", "empty loop", "pass", minus=None),
        Case("bare", "bare call", "f()", {"f": bare}),
        Case("tracked", "tracked call", "f()", {"f": profiler.track(0, "tracked")(_empty())}),
        Case("kept", "kept block", "with b: pass", {"b": profiler.block(0, "kept")}),
    ]
    found: dict[str, Callable[[int], Loop]] = {
        case.name: partial(_together, case.loop()) for case in cases
    }
    if hasattr(load_floors(), "native_threads"):
        found[NATIVE] = partial(_native, _entry_points(profiler))
        found[NATIVE_FLOOR] = partial(_native, (0, 0, 0))
    return found


def _empty() -> Callable[[], None]:
    def empty() -> None:
        pass

    return empty


def _entry_points(profiler: Any) -> tuple[int, int, int]:
    """Return the C addresses through which native threads record a block."""
    from stichotrope import _core

    return _core.native_entry_points(profiler, profiler._intern_block(0, NATIVE, "_native.h", 1))


def _together(loop: Loop, threads: int) -> Loop:
    """Return a loop that shares out its passes among so many threads, all new and all at once."""

    def run(count: int) -> int:
        taken = [0] * threads
        ready = threading.Barrier(threads)

        def work(place: int) -> None:
            loop(WARM_UP)
            ready.wait()
            taken[place] = loop(count // threads)

        workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return _whole(taken)

    return run


def _whole(taken: list[int]) -> int:
    """Return the processor time of all threads together.

    Where a thread's own is too coarse, each one's is what passed on the wall, waiting included.
    """
    if finest_cpu_timer()[0] == "thread_time":
        return sum(taken)
    return max(taken) * (1 if _machine.gil_enabled() else min(len(taken), _cores()))


def _native(points: tuple[int, int, int], threads: int) -> Loop:
    native_threads = load_floors().native_threads

    def run(count: int) -> int:
        return sum(native_threads(*points, threads, count // threads))

    return run


def _recorded(profiler: Any, counts: dict[str, int], rounds: int) -> dict[str, dict[str, int]]:
    """Return for each block how often it was passed, and how often the profiler says it was."""
    warm_up = {"tracked": WARM_UP, "kept": WARM_UP, NATIVE: load_floors().WARM_UP}
    (track,) = profiler.get_results().tracks.values()
    return {
        block.name: {
            "passes": rounds
            * sum(counts[_key(block.name, n)] + n * warm_up[block.name] for n in COUNTS),
            "hits": block.hit_count,
        }
        for block in track.blocks
    }


HEADLINES = tuple(
    _title(title, threads)
    for title in (*(title for title, _ in ARMS.values()), NATIVE_TITLES[NATIVE])
    for threads in COUNTS
)
"""The titles of the costs a reader looks for first."""
