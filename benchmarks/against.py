"""What a pass, and importing the package, cost now and at an older commit, in one run.

Both commits are built here, by the same compiler. Each pair of processes, one for each commit,
takes turns case by case, so whatever the machine suffers, both suffer; and as a process keeps for
all its life what luck its memory's layout gave it, many pairs are started, and each is one value.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import _machine, _store, import_time, per_pass
from benchmarks._child import ROOT
from benchmarks._run import Fact, Figure, Stored, calibrate, no_collector
from benchmarks.report import cell

SUBJECT = "against"
CASES = (
    *("tracked", "tracked_arg", "tracked_method", "tracked_recursion", "stopped", "track_off"),
    *("kept_block", "kept_block_stopped", "inline_block", "inline_block_stopped"),
)
PAIRS, QUICK_PAIRS = 25, 3
ROUNDS, QUICK_ROUNDS = 9, 3
TARGET_NS, QUICK_TARGET_NS = 4_000_000, 500_000
STARTS, QUICK_STARTS = 4, 1  # of interpreters that import the package, for each pair
DEARER = 1.0
FOLDER = ROOT / "build" / "against"


def main(arguments: list[str]) -> int:
    """Measure both, print a table and store the run; return 1 when something became dearer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks against", description=__doc__)
    parser.add_argument("revision", help="the older commit, as git names it")
    parser.add_argument("--now", default="HEAD", metavar="REVISION", help="default: HEAD")
    parser.add_argument("--quick", action="store_true", help="few pairs and short rounds: a look")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the run is stored")
    parser.add_argument("--seed", type=int, default=1, help="draws the orders (default: 1)")
    options = parser.parse_args(arguments)
    scale = "quick" if options.quick else "normal"
    try:
        commits = {"then": _commit(options.revision), "now": _commit(options.now)}
        libraries = {side: _built(commit) for side, commit in commits.items()}
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", None) or b""
        print(error, told.decode() if isinstance(told, bytes) else told, file=sys.stderr)
        return 2
    run = _store.new_run(scale, options.seed, _machine.describe(), {"commits": commits})
    run["subjects"][SUBJECT] = {
        "commits": commits,
        **measure(libraries, options.quick, random.Random(options.seed)),
    }
    path = options.output or _free_path(run)
    _store.save(run, path)
    found = figures(run["subjects"][SUBJECT])
    print(f"CPython {run['machine']['python']}, {commits['now'][:10]} ÷ {commits['then'][:10]}\n")
    for figure in found:
        print(f"{figure.name:42} {cell(figure)}")
    print(f"\nstored in {os.path.relpath(path)}")
    return int(any(figure.verdict() == "not met" for figure in found))


def measure(libraries: dict[str, Path], quick: bool, rng: random.Random) -> Stored:
    """Time pairs of processes, and starts of interpreters.

    :param libraries: "then" and "now" → the folder in which that package is installed.
    :return: raw values: of each case and side ns an iteration, a list of rounds for each pair; of
        each side ns of processor time of starts that import the package, a list for each pair.
    """
    pairs, rounds = (QUICK_PAIRS, QUICK_ROUNDS) if quick else (PAIRS, ROUNDS)
    target, starts = (QUICK_TARGET_NS, QUICK_STARTS) if quick else (TARGET_NS, STARTS)
    known = {case.name: case for case in per_pass.cases()}
    names = list(dict.fromkeys([*CASES, *filter(None, (known[name].minus for name in CASES))]))
    names += [base for name in names if (base := known[name].minus) and base not in names]
    taken: dict[str, dict[str, list[list[float]]]] = {
        name: {side: [] for side in libraries} for name in names
    }
    started: dict[str, list[list[int]]] = {side: [] for side in [*libraries, "bare"]}
    for number in range(pairs):
        for side, values in _one_pair(libraries, names, rounds, target, rng).items():
            for name, each in values.items():
                taken[name][side].append(each)
        for side, ns in _starts(libraries, starts, rng).items():
            started[side].append(ns)
        print(f"pair {number + 1}/{pairs}", file=sys.stderr, flush=True)
    return {
        "unit": "ns an iteration",
        "cases": {
            name: {
                "title": known[name].title,
                "minus": known[name].minus,
                "passes": known[name].passes,
                **taken[name],
            }
            for name in names
        },
        "import_processor_ns": started,
    }


def figures(stored: Stored) -> list[Figure]:
    """Return of each case, and of the import, what it costs now in what it cost then.

    One value for each pair: the quotient of the medians of its rounds, less what is subtracted.
    """
    found = []
    for name in CASES:
        then, now = (_net(stored, name, side) for side in ("then", "now"))
        quotients = [b / a for a, b in zip(then, now, strict=True)]
        title = f"{stored['cases'][name]['title']} ({statistics.median(now):.1f} ns)"
        found.append(Figure(title, quotients, "×", DEARER, digits=3))
    starts = stored["import_processor_ns"]
    bare, then, now = (list(map(statistics.median, starts[s])) for s in ("bare", "then", "now"))
    quotients = [(c - a) / (b - a) for a, b, c in zip(bare, then, now, strict=True)]
    return [*found, Figure("import stichotrope, processor time", quotients, "×", DEARER, digits=3)]


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return nothing: what an older commit cost is no limit of the suite."""
    return []


def _net(stored: Stored, name: str, side: str) -> list[float]:
    """Return ns a pass of a case, one value for each pair, what it is held against subtracted."""
    case = stored["cases"][name]
    base = stored["cases"][case["minus"]]
    pairs = zip(case[side], base[side], strict=True)
    return [(statistics.median(a) - statistics.median(b)) / case["passes"] for a, b in pairs]


def _one_pair(
    libraries: dict[str, Path], names: list[str], rounds: int, target: int, rng: random.Random
) -> dict[str, dict[str, list[float]]]:
    """Return side → case → ns an iteration of each round, the two processes taking turns."""
    taken: dict[str, dict[str, list[float]]] = {side: {n: [] for n in names} for side in libraries}
    sides, order = list(libraries), list(names)
    with ExitStack() as stack:
        workers = {side: stack.enter_context(_worker(libraries[side])) for side in libraries}
        # The first runs of a body take longer: the counts are those of a second calibration.
        for side in (*libraries, "now"):
            counts = {n: int(_ask(workers[side], f"calibrate {n} {target}")) for n in names}
        for _ in range(rounds):
            rng.shuffle(order)
            for name in order:
                rng.shuffle(sides)
                for side in sides:
                    ns = int(_ask(workers[side], f"run {name} {counts[name]}"))
                    taken[side][name].append(ns / counts[name])
    return taken


def _starts(libraries: dict[str, Path], count: int, rng: random.Random) -> dict[str, list[int]]:
    """Return the processor time of interpreters that import one side's package, or nothing."""
    found: dict[str, list[int]] = {side: [] for side in [*libraries, "bare"]}
    order = list(found)
    for _ in range(count):
        rng.shuffle(order)
        for side in order:
            code = "pass"
            if side != "bare":
                code = (
                    f"import sys; sys.path.insert(0, {str(libraries[side])!r}); import stichotrope"
                )
            found[side].append(import_time.start_ns(code)[1])
    return found


@contextmanager
def _worker(library: Path) -> Iterator[Any]:
    """Start a process in which the package of a folder is measured."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.against"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(library), "PYTHONHASHSEED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        try:
            where = _ask(process, "where")
            if library not in Path(where).parents:
                raise RuntimeError(f"{where} would be measured, and not what is in {library}")
            yield process
        finally:
            process.stdin.close()


def _ask(process: Any, what: str) -> str:
    process.stdin.write(what + "\n")
    process.stdin.flush()
    answer: str = process.stdout.readline().strip()
    if not answer:
        raise RuntimeError(f"the process that measures ended when it was asked to {what}")
    return answer


def _serve() -> None:
    """Answer what the measuring process asks, line by line."""
    import stichotrope

    loops = {}
    cases = {case.name: case for case in per_pass.cases()}
    with no_collector():
        for line in sys.stdin:
            verb, *rest = line.split()
            if verb == "where":
                print(stichotrope.__file__, flush=True)
                continue
            name, number = rest[0], int(rest[1])
            if name not in loops:
                loops[name] = cases[name].loop()
            print(calibrate(loops[name], number) if verb == "calibrate" else loops[name](number))
            sys.stdout.flush()


def _commit(revision: str) -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.strip()


def _built(commit: str) -> Path:
    """Return a folder in which the package of a commit is installed, built now if it was not."""
    version = ".".join(map(str, sys.version_info[:2]))
    place = FOLDER / f"{commit[:12]}-{version}{getattr(sys, 'abiflags', '')}"
    if not (place / "lib" / "stichotrope").exists():
        print(f"building {commit[:12]} …", file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            opened.extractall(place / "source", filter="data")
        made = place / "made"
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(made)]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, str(place / "source")],
            check=True,
            capture_output=True,
        )
        made.rename(place / "lib")  # whole or not at all
    return place / "lib"


def _free_path(run: _store.Run) -> Path:
    """Return a free name in a folder of its own: these runs are no columns of the suite's."""
    folder = _store.RESULTS / SUBJECT
    stem, number = _store.default_path(run).stem, 1
    while (folder / f"{stem}-{number}.json").exists():
        number += 1
    return folder / f"{stem}-{number}.json"


if __name__ == "__main__":
    _serve()
