"""What `import stichotrope` adds to starting an interpreter."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
import time

from benchmarks._run import Fact, Figure, Progress, Scale, Stored, minus

IMPORT_MS = 15.0
PAIRS, QUICK_PAIRS = 41, 20
BARE, IMPORTED = "pass", "import stichotrope"
SHOWN = 8


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Start interpreters in pairs, one that imports and one that does not, in random order."""
    pairs = QUICK_PAIRS if scale is Scale.QUICK else PAIRS
    taken: dict[str, list[int]] = {BARE: [], IMPORTED: []}
    order = list(taken)
    _start_ns(IMPORTED)  # the first import writes its bytecode, and reads the disc
    for number in range(pairs):
        rng.shuffle(order)
        for code in order:
            taken[code].append(_start_ns(code))
        progress(f"pairs {number + 1}/{pairs}")
    return {"unit": "ns", "elapsed_ns": taken, "slowest_modules_us": _slowest_modules()}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figure that is held to a limit."""
    taken = stored["elapsed_ns"]
    added = [extra / 1e6 for extra in minus(taken[IMPORTED], taken[BARE])]
    return [Figure(f"{IMPORTED} − a bare interpreter", added, "ms", IMPORT_MS)]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what a bare interpreter takes."""
    bare = [elapsed / 1e6 for elapsed in stored["elapsed_ns"][BARE]]
    return [Figure("starting a bare interpreter", bare, "ms")]


def _start_ns(code: str) -> int:
    """Return how long an interpreter takes to run `code`, from a folder with nothing to import."""
    with tempfile.TemporaryDirectory() as nowhere:
        start = time.perf_counter_ns()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=nowhere)
        return time.perf_counter_ns() - start


def _slowest_modules() -> dict[str, int]:
    """Return the modules that take longest by themselves, in µs, as the interpreter counts them."""
    with tempfile.TemporaryDirectory() as nowhere:
        said = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", IMPORTED],
            check=True,
            cwd=nowhere,
            capture_output=True,
            text=True,
        ).stderr
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \| *(\S+)", said)
    ours = lines[[name for _, name in lines].index("site") + 1 :]
    slowest = sorted(((int(us), name) for us, name in ours), reverse=True)[:SHOWN]
    return {name: us for us, name in slowest}
