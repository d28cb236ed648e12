"""Instructions a pass, counted by callgrind: no clock, no noise, only what is executed."""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import _store, per_pass
from benchmarks._child import ROOT
from benchmarks._run import Fact, Figure, Progress, Scale, Stored

# Two counts, so that what comes before and after the passes drops out of the difference.
FEW, MANY = 5_000, 55_000
QUICK_FEW, QUICK_MANY = 1_000, 6_000
COUNTED = (
    "empty_loop",
    "bare",
    "forward",
    "forward_direct",
    "clocks",
    "clocks_direct",
    "tracked",
    "stopped",
    "track_off",
    "by_code",
    "by_code_off",
    "empty_context",
    "kept_block",
    "inline_block",
    "kept_block_stopped",
    "inline_block_stopped",
)

# Callgrind writes down what it has counted, and starts again at 0, where this is called; nothing
# else in the process calls it.
MARK = "getppid"


def main(arguments: list[str]) -> int:
    """Count, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks instructions", description=__doc__)
    parser.add_argument("--only", help="cases, separated by commas; default: all", metavar="NAMES")
    parser.add_argument("--into", type=Path, metavar="FILE", help="add the counts to a stored run")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",") if options.only else _there()
    unknown = sorted(set(wanted) - {case.name for case in per_pass.cases()})
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(COUNTED)}")
    try:
        stored = count(wanted, FEW, MANY)
        if options.into:
            run = _store.load(options.into)
            run["subjects"]["instructions"] = stored
            _store.save(run, options.into)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"instructions a pass, CPython {sys.version.split()[0]}\n")
    for figure in figures(stored):
        assert isinstance(figure, Figure)
        print(f"{figure.samples[0]:9.1f}  {figure.name.removeprefix('instructions, ')}")
    return 0


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Count once: instructions have no noise to be drawn against.

    :raises RuntimeError: valgrind is missing, or it failed.
    """
    progress("under callgrind")
    few, many = (QUICK_FEW, QUICK_MANY) if scale is Scale.QUICK else (FEW, MANY)
    return count(_there(), few, many)


def _there() -> list[str]:
    """Return the cases that are counted, those left out that this interpreter has not."""
    names = {case.name for case in per_pass.cases()}
    return [name for name in COUNTED if name in names]


def count(names: list[str], few: int, many: int) -> Stored:
    """Return the instructions an iteration takes, of each named case and of what it is held to.

    :param names: names of cases of `per_pass`.
    :param few: iterations that are left out, after as many to warm up.
    :param many: iterations that they are left out of.
    :raises RuntimeError: valgrind is missing, or it failed.
    """
    if shutil.which("valgrind") is None:
        raise RuntimeError("instructions are counted by valgrind, which is not installed here")
    cases = {case.name: case for case in per_pass.cases()}
    counted = list(dict.fromkeys(names))
    for name in counted:
        # A base may have one of its own: the list grows while it is gone through.
        base = cases[name].minus
        if base is not None and base not in counted:
            counted.append(base)
    taken = _count(counted, few, many)
    return {
        "unit": "instructions an iteration",
        "cases": {
            name: {
                "title": cases[name].title,
                "minus": cases[name].minus,
                "passes": cases[name].passes,
                "instructions": (taken[name][1] - taken[name][0]) / (many - few),
            }
            for name in counted
        },
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return nothing: no limit is set in instructions."""
    return []


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what each case adds to the one it is held against, a pass."""
    cases = stored["cases"]
    found: list[Figure | Fact] = []
    for case in cases.values():
        if case["minus"] is not None:
            added = case["instructions"] - cases[case["minus"]]["instructions"]
            title = f"instructions, {case['title']}"
            found.append(Figure(title, [added / case["passes"]], "instructions"))
    return found


def _count(names: list[str], few: int, many: int) -> dict[str, tuple[int, int]]:
    """Return for each case the instructions that few and many iterations take, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--dump-before={MARK}",
                f"--callgrind-out-file={Path(folder) / 'counts'}",
                sys.executable,
                "-m",
                "benchmarks.instructions",
                str(few),
                str(many),
                *names,
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            # Hashes are seeded at random otherwise, and dictionaries cost a little more or less.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        if done.returncode:
            raise RuntimeError(f"valgrind ended with {done.returncode}: {done.stderr[-2000:]}")
        counts = _counts(Path(folder))
    # Before each case is what it took to start, or to go on; then few iterations, then many.
    if len(counts) != 3 * len(names):
        raise RuntimeError(
            f"valgrind counted {len(counts)} parts of {3 * len(names)}: "
            f"it did not see the calls of {MARK}()"
        )
    return {name: (counts[3 * i + 1], counts[3 * i + 2]) for i, name in enumerate(names)}


def _counts(folder: Path) -> list[int]:
    """Return the instructions of each part, in order; what comes after the last mark is no part."""
    parts = {}
    for path in folder.glob("counts.*"):
        told = re.search(r"^totals: (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if told:
            parts[int(path.suffix[1:])] = int(told[1])
    return [parts[number] for number in sorted(parts)]


def _child(few: int, many: int, names: list[str]) -> None:
    """Run each case a few and many times, with a mark around each."""
    cases = {case.name: case for case in per_pass.cases()}
    for name in names:
        loop = cases[name].loop()
        loop(few)
        os.getppid()
        loop(few)
        os.getppid()
        loop(many)
        os.getppid()


if __name__ == "__main__":
    _child(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
