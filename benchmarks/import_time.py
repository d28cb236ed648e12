"""What `import stichotrope` adds to starting an interpreter."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
import time

from benchmarks._run import Fact, Figure, Progress, Scale, Stored, minus

if sys.platform != "win32":
    import resource

IMPORT_MS = 15.0
PAIRS, QUICK_PAIRS = 41, 20
BARE, IMPORTED = "pass", "import stichotrope"
SHOWN = 8


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Start interpreters in pairs, one that imports and one that does not, in random order."""
    pairs = QUICK_PAIRS if scale is Scale.QUICK else PAIRS
    taken: dict[str, list[int]] = {BARE: [], IMPORTED: []}
    worked: dict[str, list[int]] = {BARE: [], IMPORTED: []}
    order = list(taken)
    start_ns(IMPORTED)  # the first import writes its bytecode, and reads the disc
    for number in range(pairs):
        rng.shuffle(order)
        for code in order:
            elapsed, processor = start_ns(code)
            taken[code].append(elapsed)
            worked[code].append(processor)
        progress(f"pairs {number + 1}/{pairs}")
    return {
        "unit": "ns",
        "elapsed_ns": taken,
        "processor_ns": worked,
        "slowest_modules_us": _slowest_modules(),
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figure that is held to a limit."""
    taken = stored["elapsed_ns"]
    added = [extra / 1e6 for extra in minus(taken[IMPORTED], taken[BARE])]
    return [Figure(f"{IMPORTED} − a bare interpreter", added, "ms", IMPORT_MS)]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what a bare interpreter takes, and the import without what others took meanwhile."""
    bare = [elapsed / 1e6 for elapsed in stored["elapsed_ns"][BARE]]
    worked = stored["processor_ns"]
    found: list[Figure | Fact] = [Figure("starting a bare interpreter", bare, "ms")]
    if any(worked[BARE]):
        added = [extra / 1e6 for extra in minus(worked[IMPORTED], worked[BARE])]
        found.append(Figure(f"{IMPORTED} − a bare interpreter, processor time", added, "ms"))
    return found


def start_ns(code: str) -> tuple[int, int]:
    """Return the time an interpreter takes to run `code`, and its processor time, both in ns.

    It runs in a folder with nothing to import.
    """
    with tempfile.TemporaryDirectory() as nowhere:
        before, start = _children_ns(), time.perf_counter_ns()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=nowhere)
        return time.perf_counter_ns() - start, _children_ns() - before


def _children_ns() -> int:
    """Return the processor time of all processes that ended, in ns; 0 where it is not counted."""
    if sys.platform == "win32":
        return 0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((used.ru_utime + used.ru_stime) * 1e9)


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
