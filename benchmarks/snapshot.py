"""What `get_results()` costs with many threads and blocks, and what it costs those who record."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks._run import Fact, Figure, Loop, Progress, Scale, Stored, interleave, minus, ratio

THREADS, BLOCKS, PASSES = 100, 100, 10
SNAPSHOT_MS = 5.0

# "Not held up" has no number of its own. Beside any busy thread a writer already loses its share of
# the GIL, so it is held against a writer beside a thread that only computes: the snapshots may cost
# it a tenth of its passes, and lengthen its longest wait by one switch interval.
THROUGHPUT_KEPT = 0.9

ROUNDS, QUICK_ROUNDS = 41, 25
WINDOW_NS, QUICK_WINDOW_NS = 100_000_000, 40_000_000


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Park the threads with their figures recorded, then take snapshots, then write beside them.

    Raises:
        AssertionError: a snapshot lost a pass.
    """
    from stichotrope import Profiler

    profiler = Profiler("snapshot")
    rounds = QUICK_ROUNDS if scale is Scale.QUICK else ROUNDS
    window = QUICK_WINDOW_NS if scale is Scale.QUICK else WINDOW_NS
    with parked_threads(profiler):
        seen = profiler.get_results().total_hits
        assert seen == THREADS * BLOCKS * PASSES, f"{seen} passes in the snapshot"
        taken = interleave(readings(profiler), _ONCE, rounds, rng, progress, collector=True)
        writers = _measure_writers(profiler, rounds, window, rng, progress)
    return {
        "unit": "ns",
        "threads": THREADS,
        "blocks": BLOCKS,
        "passes": PASSES,
        "elapsed_ns": taken,
        "writers": writers,
        "window_ns": window,
        "switch_interval_s": sys.getswitchinterval(),
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    writers, size = stored["writers"], f"{stored['threads']} threads × {stored['blocks']} blocks"
    snapshot, computing = writers["snapshots"], writers["computing"]
    kept = ratio(snapshot["passes"], computing["passes"])
    waited = _ms(minus(snapshot["longest_gap_ns"], computing["longest_gap_ns"]))
    interval_ms = stored["switch_interval_s"] * 1000
    return [
        Figure(
            f"get_results(), {size}",
            _ms(stored["elapsed_ns"]["get_results"]),
            "ms",
            SNAPSHOT_MS,
            digits=2,
        ),
        Figure(
            "a writer's passes, beside snapshots ÷ beside a computing thread",
            kept,
            "×",
            THROUGHPUT_KEPT,
            at_least=True,
            digits=2,
        ),
        Figure(
            "a writer's longest wait, beside snapshots − beside a computing thread",
            waited,
            "ms",
            interval_ms,
            digits=2,
        ),
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what else was seen."""
    names = {
        "get_results_read": "get_results() and every figure read",
        "get_results_threads": "get_results() and its threads read",
    }
    found: list[Figure | Fact] = [
        Figure(title, _ms(stored["elapsed_ns"][name]), "ms", digits=2)
        for name, title in names.items()
    ]
    for beside, seen in stored["writers"].items():
        name = "alone" if beside == "alone" else f"beside {_BESIDE_TITLES[beside]}"
        rate = [passes / stored["window_ns"] * 1000 for passes in seen["passes"]]
        found.append(Figure(f"writer {name}, passes", rate, "per µs", digits=2))
        longest = _ms(seen["longest_gap_ns"])
        found.append(Figure(f"writer {name}, longest wait", longest, "ms", digits=2))
    snapshots = [float(turns) for turns in stored["writers"]["snapshots"]["turns"]]
    found.append(Figure("snapshots taken beside a writer, a window", snapshots, "", digits=0))
    return found


@contextmanager
def parked_threads(profiler: Any, count: int = THREADS, width: int = BLOCKS) -> Iterator[None]:
    """Keep threads alive that have recorded blocks, `PASSES` times each.

    :param profiler: what they record with.
    :param count: how many threads.
    :param width: how many blocks, the same on each of them.
    """
    blocks = [profiler.block(0, f"block {number}") for number in range(width)]
    recorded, leave = threading.Barrier(count + 1), threading.Event()

    def record() -> None:
        for _ in range(PASSES):
            for block in blocks:
                with block:
                    pass
        recorded.wait()
        leave.wait()

    threads = [threading.Thread(target=record) for _ in range(count)]
    for thread in threads:
        thread.start()
    recorded.wait()
    try:
        yield
    finally:
        leave.set()
        for thread in threads:
            thread.join()


_ONCE = {"get_results": 1, "get_results_read": 1, "get_results_threads": 1}


def readings(profiler: Any) -> dict[str, Loop]:
    """Return the snapshot alone, and with its results read: work put off is not work saved."""

    def read_blocks(results: Any) -> None:
        for track in results.tracks.values():
            for block in track.blocks:
                _ = block.total_time_ns, block.self_time_ns, block.percentile(95)

    def read_threads(results: Any) -> None:
        for thread in results.threads:
            _ = thread.total_hits

    def timed(read: Callable[[Any], None]) -> Loop:
        def loop(count: int) -> int:
            start = time.perf_counter_ns()
            for _ in range(count):
                read(profiler.get_results())
            return time.perf_counter_ns() - start

        return loop

    return {
        "get_results": timed(lambda results: None),
        "get_results_read": timed(read_blocks),
        "get_results_threads": timed(read_threads),
    }


_BESIDE_TITLES = {"snapshots": "snapshots", "computing": "a computing thread"}


def _measure_writers(
    profiler: Any, rounds: int, window_ns: int, rng: random.Random, progress: Progress
) -> Stored:
    """Let one thread write for a window: alone, beside snapshots, beside a computing thread."""
    block = profiler.block(0, "writer")
    companions: dict[str, Callable[[], object] | None] = {
        "alone": None,
        "snapshots": profiler.get_results,
        "computing": compute,
    }
    seen: Stored = {name: {"passes": [], "longest_gap_ns": [], "turns": []} for name in companions}
    order = list(companions)
    for number in range(rounds):
        rng.shuffle(order)
        for name in order:
            passes, longest, turns = write_beside(block, companions[name], window_ns)
            seen[name]["passes"].append(passes)
            seen[name]["longest_gap_ns"].append(longest)
            seen[name]["turns"].append(turns)
        progress(f"writers {number + 1}/{rounds}")
    return seen


def write_beside(
    block: Any, companion: Callable[[], object] | None, window_ns: int
) -> tuple[int, int, int]:
    """Return a writer's passes and longest gap in ns, and how often the companion took a turn.

    :param block: what the writer enters and leaves, as often as it can.
    :param companion: what is called beside it, again and again, or None.
    :param window_ns: for how long.
    """
    ready = threading.Barrier(2 if companion else 1)
    written: list[tuple[int, int]] = []
    finished = threading.Event()

    def write() -> None:
        ready.wait()
        written.append(_write(block, time.perf_counter_ns() + window_ns))
        finished.set()

    writer = threading.Thread(target=write)
    writer.start()
    turns = 0
    if companion:
        ready.wait()
        while not finished.is_set():
            companion()
            turns += 1
    writer.join()
    return (*written[0], turns)


def _write(block: Any, deadline: int) -> tuple[int, int]:
    now = time.perf_counter_ns
    passes = longest = 0
    last = now()
    while last < deadline:
        with block:
            pass
        time_ns = now()
        if time_ns - last > longest:
            longest = time_ns - last
        last = time_ns
        passes += 1
    return passes, longest


def compute() -> object:
    """Keep the interpreter busy for about as long as a snapshot, in Python, holding the GIL."""
    return [number * number for number in range(20_000)]


def _ms(values: list[float]) -> list[float]:
    return [value / 1e6 for value in values]
