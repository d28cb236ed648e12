"""What being looked at in a store costs, and what reading stores takes; `timeline` has the rest."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._run import Figure, Progress, Scale, Stored

# Rounds, passes in a round, and files of processes that are gone.
SIZES = {
    Scale.QUICK: (15, 20_000, 500),
    Scale.NORMAL: (60, 100_000, 10_000),
    Scale.FULL: (200, 200_000, 10_000),
}
THREADS, BLOCKS = 100, 100
LOOKS_A_SECOND = 10
RATIO, READ_MS, OPEN_S, FILE_BYTES = 1.02, 5.0, 2.0, (64 + 16) << 10
_PROCESS_AT = 40  # of the process's number, in a file
_READER = f"""
import sys, time
from stichotrope.store.live import Watch
watch = Watch(sys.argv[1])
while True:
    watch.looks()
    print(flush=True)
    time.sleep(1 / {LOOKS_A_SECOND})
"""


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Record while another process looks on and while none does; then read what files hold."""
    rounds, passes, left = SIZES[scale]
    folder = Path(tempfile.mkdtemp(prefix="stichotrope-bench-"))
    try:
        return {
            "unit": "ns",
            "passes": 4 * passes,
            "left": left,
            "watched_ns": _watched(folder, rounds, passes, rng, progress),
            "file_bytes": _first_size(folder),
            "look_ns": _looks(folder, rounds),
            "open_ns": _opened(folder, left),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _loop(profiler: Any, passes: int) -> Callable[[], int]:
    block = profiler.block(0, "pass")

    def run() -> int:
        start = time.perf_counter_ns()
        for _ in range(passes):
            with block:
                pass
        return time.perf_counter_ns() - start

    run()
    return run


@contextmanager
def _reading(store: Path) -> Iterator[None]:
    reader = subprocess.Popen([sys.executable, "-c", _READER, str(store)], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    try:
        reader.stdout.readline()
        drain = threading.Thread(target=reader.stdout.read, daemon=True)
        drain.start()
        yield
    finally:
        reader.kill()
        reader.wait()
        drain.join()
        reader.stdout.close()


def _watched(
    folder: Path, rounds: int, passes: int, rng: random.Random, progress: Progress
) -> dict[str, list[int]]:
    """Return what rounds take while another process looks on, and while none does."""
    from stichotrope import Profiler

    store = folder / "watched"
    run = _loop(Profiler("watched", store=store), 4 * passes)
    taken: dict[str, list[int]] = {"alone": [], "watched": []}
    for number in range(max(rounds // 5, 3)):
        for name in rng.sample(list(taken), 2):
            if name == "alone":
                taken[name].append(run())
            else:
                with _reading(store):
                    taken[name].append(run())
        progress(f"watched {number + 1}")
    return taken


def _first_size(folder: Path) -> int:
    from stichotrope import Profiler

    p = Profiler("small", store=folder / "small")
    with p.block(0, "pass"):
        pass
    (path,) = (folder / "small").glob("*.stichotrope")
    return path.stat().st_size


def _looks(folder: Path, rounds: int) -> list[int]:
    """Return what a look at many threads takes, each of which has passed each of many blocks."""
    from stichotrope import Profiler
    from stichotrope.store.live import Watch

    store = folder / "many threads"
    p = Profiler("many", store=store)
    blocks = [p.block(number % 10, f"block {number}") for number in range(BLOCKS)]
    done = threading.Barrier(THREADS + 1)

    def work() -> None:
        for _ in range(rounds + 1):
            for block in blocks:
                with block:
                    pass
            done.wait()
            done.wait()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    watch = Watch(str(store))
    taken = []
    for number in range(rounds + 1):
        done.wait()
        start = time.perf_counter_ns()
        (look,) = watch.looks()
        rows = look.rows()
        taken.append(time.perf_counter_ns() - start)
        assert [row["hits"] for row in rows] == BLOCKS * [THREADS]
        assert look.results.total_hits == (number + 1) * THREADS * BLOCKS
        done.wait()
    watch.close()
    for thread in threads:
        thread.join()
    return taken[1:]  # the first look maps the file


def _opened(folder: Path, left: int) -> list[int]:
    """Return what opening a store takes that many processes have left, in fresh processes."""
    (folder / "one").mkdir()
    program = (
        "import os, sys; from stichotrope import Profiler; p = Profiler('app', store=sys.argv[1])\n"
        "for n in range(20):\n with p.block(0, f'block {n}'): pass\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder / "one")], check=True)
    (path,) = (folder / "one").glob("*.stichotrope")
    data = path.read_bytes()
    opening = (
        "import sys, time; start = time.perf_counter_ns()\n"
        "from stichotrope import ProfilerResults\n"
        f"assert ProfilerResults.load_all(sys.argv[1]).total_hits == {20 * left}\n"
        "print(time.perf_counter_ns() - start)"
    )
    taken = []
    for round_number in range(3):
        store = folder / f"left {round_number}"
        store.mkdir()
        for number in range(left):
            other = bytearray(data)
            other[_PROCESS_AT : _PROCESS_AT + 8] = number.to_bytes(8, "little")
            (store / f"app-{number}.stichotrope").write_bytes(other)
        done = subprocess.run(
            [sys.executable, "-c", opening, str(store)], check=True, capture_output=True, text=True
        )
        taken.append(int(done.stdout))
        assert len(os.listdir(store)) < 70, "the store was not put together"
        shutil.rmtree(store)
    return taken


def limits(stored: Stored) -> list[Figure]:
    """Return the figures that are held to a limit."""
    watched = stored["watched_ns"]
    looked = [one / other for one, other in zip(watched["watched"], watched["alone"], strict=True)]
    return [
        Figure("a pass while top looks 10 times a second / alone", looked, "x", RATIO, digits=3),
        Figure(
            f"a look at {THREADS} threads of {BLOCKS} blocks",
            [ns / 1e6 for ns in stored["look_ns"]],
            "ms",
            READ_MS,
        ),
        Figure(
            f"opening what {stored['left']:,} processes have left",
            [ns / 1e9 for ns in stored["open_ns"]],
            "s",
            OPEN_S,
            digits=2,
        ),
        Figure(
            "a file of one thread at first", [stored["file_bytes"]], "bytes", FILE_BYTES, digits=0
        ),
    ]


def figures(stored: Stored) -> list[Figure]:
    """Return what passes take, the loop included."""
    passes = stored["passes"]
    return [
        Figure(f"a pass: {name}", [ns / passes for ns in taken], "ns")
        for name, taken in stored["watched_ns"].items()
    ]
