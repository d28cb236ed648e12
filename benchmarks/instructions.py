"""Instructions a pass, counted by callgrind: no clock, no noise, only what is executed."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import _store, per_pass
from benchmarks._child import ROOT
from benchmarks._run import Fact, Figure, Stored

# Two counts, so that starting the interpreter and building the cases drop out of the difference.
FEW, MANY = 5_000, 55_000
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
    "empty_context",
    "kept_block",
    "inline_block",
    "kept_block_stopped",
    "inline_block_stopped",
)


def main(arguments: list[str]) -> int:
    """Count, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks instructions", description=__doc__)
    parser.add_argument("--only", help="cases, separated by commas; default: all", metavar="NAMES")
    parser.add_argument("--into", type=Path, metavar="FILE", help="add the counts to a stored run")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",") if options.only else list(COUNTED)
    unknown = sorted(set(wanted) - {case.name for case in per_pass.cases()})
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(COUNTED)}")
    try:
        stored = measure(wanted)
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


def measure(names: list[str]) -> Stored:
    """Return the instructions an iteration takes, of each named case and of what it is held to.

    Raises:
        RuntimeError: valgrind is missing, or it failed.
    """
    if shutil.which("valgrind") is None:
        raise RuntimeError("instructions are counted by valgrind, which is not installed here")
    cases = {case.name: case for case in per_pass.cases()}
    bases = {base for name in names if (base := cases[name].minus)}
    counted = list(dict.fromkeys([*names, *sorted(bases)]))
    runs = [(name, count) for name in counted for count in (FEW, MANY)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        taken = dict(zip(runs, pool.map(lambda run: _count(*run), runs), strict=True))
    return {
        "unit": "instructions an iteration",
        "cases": {
            name: {
                "title": cases[name].title,
                "minus": cases[name].minus,
                "passes": cases[name].passes,
                "instructions": (taken[name, MANY] - taken[name, FEW]) / (MANY - FEW),
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


def _count(name: str, count: int) -> int:
    """Return the instructions a whole process takes that runs a case `count` times."""
    done = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={os.devnull}",
            sys.executable,
            "-m",
            "benchmarks.instructions",
            name,
            str(count),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        # Hashes are seeded at random otherwise, and dictionaries cost a little more or less.
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    said = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or said is None:
        raise RuntimeError(
            f"valgrind ended with {done.returncode} on {name}: {done.stderr[-2000:]}"
        )
    return int(said[1])


def _child(name: str, count: int) -> None:
    next(case for case in per_pass.cases() if case.name == name).loop()(count)


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
