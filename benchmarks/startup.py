"""What `stichotrope run` adds to starting a program that has nothing to record."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._run import Fact, Figure, Progress, Scale, Stored, minus
from benchmarks.import_time import _children_ns

RUN_MS = 30.0
ROUNDS, QUICK_ROUNDS = 41, 15
PROGRAM = "program.py"

# What the console script does, without what installers put around it.
_COMMAND = (sys.executable, "-c", "import sys; from stichotrope.cli import main; sys.exit(main())")
BARE, RUN, CHOSEN = "python", "stichotrope run", "stichotrope run -t '__main__:*'"
_WAYS = {
    BARE: (sys.executable, PROGRAM),
    RUN: (*_COMMAND, "run", "-q", PROGRAM),
    CHOSEN: (*_COMMAND, "run", "-q", "-t", "__main__:*", PROGRAM),
}


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Run an empty program in each way, in rounds, in random order."""
    rounds = QUICK_ROUNDS if scale is Scale.QUICK else ROUNDS
    taken: dict[str, list[int]] = {way: [] for way in _WAYS}
    worked: dict[str, list[int]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / PROGRAM).write_text("", encoding="utf-8")
        for way in _WAYS:  # the first run writes bytecode, and reads the disc
            _start_ns(way, folder)
        order = list(_WAYS)
        for number in range(rounds):
            rng.shuffle(order)
            for way in order:
                elapsed, processor = _start_ns(way, folder)
                taken[way].append(elapsed)
                worked[way].append(processor)
            progress(f"rounds {number + 1}/{rounds}")
    return {"unit": "ns", "elapsed_ns": taken, "processor_ns": worked}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figure that is held to a limit."""
    return [Figure(f"{RUN} − {BARE}", _added_ms(stored, "elapsed_ns", RUN), "ms", RUN_MS)]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what a pattern adds, and both without what others took meanwhile."""
    found: list[Figure | Fact] = [
        Figure(f"{CHOSEN} − {BARE}", _added_ms(stored, "elapsed_ns", CHOSEN), "ms")
    ]
    if any(stored["processor_ns"][BARE]):
        found += [
            Figure(f"{way} − {BARE}, processor time", _added_ms(stored, "processor_ns", way), "ms")
            for way in (RUN, CHOSEN)
        ]
    return found


def _added_ms(stored: Stored, kind: str, way: str) -> list[float]:
    times = stored[kind]
    return [added / 1e6 for added in minus(times[way], times[BARE])]


def _start_ns(way: str, folder: str) -> tuple[int, int]:
    """Return the time that one run takes, and its processor time, both in ns."""
    before, start = _children_ns(), time.perf_counter_ns()
    subprocess.run(_WAYS[way], check=True, cwd=folder, stderr=subprocess.DEVNULL)
    return time.perf_counter_ns() - start, _children_ns() - before
