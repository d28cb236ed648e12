"""What Dask's plugin adds to a job of 1 ms tasks: `python -m benchmarks.engine`; needs distributed.

A round runs the job twice on the same cluster, once within `dask.profile` and once without, in an
order drawn anew. What is paired is a round. The tasks are marked in both, and do a piece of work of
fixed size, so what is compared is the plugin, not the passes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks import _machine, _store
from benchmarks._run import Figure, ratio

TASK_S = 0.001
TASKS, WORKERS = 400, 2
ROUNDS, QUICK_ROUNDS = 60, 4
LIMIT_PERCENT = 1.0


def work(count: int) -> int:
    """Do a piece of work of a fixed size."""
    found = 0
    for number in range(count):
        found ^= number * number
    return found


def fitting_count() -> int:
    """Return the size of a piece that takes a millisecond, at best, in this process."""
    count = 1000
    best = 0.0
    while best < TASK_S:
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            work(count)
            taken.append(time.perf_counter() - began)
        best = min(taken)
        count = max(round(count * min(TASK_S / best * 1.02, 4)), count + 1)
    return count


def measure(rounds: int, seed: int) -> dict[str, Any]:
    """Run the job in both ways, round by round.

    Returns:
        Of each round, what the job took and what it cost all processes, in s; and how many passes
        the plugin counted, of how many.
    """
    from distributed import Client, LocalCluster

    from stichotrope import Profiler
    from stichotrope.integrations import dask

    profiler, rng, count = Profiler("engine"), random.Random(seed), fitting_count()
    task = profiler.track("job", "task")(work)
    found: dict[str, list[float]] = {key: [] for key in ("bare", "bare_cpu", "with", "with_cpu")}
    hits = 0
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def spent() -> float:
            elsewhere: dict[str, float] = client.run(time.process_time)
            return time.process_time() + sum(elsewhere.values())

        def job() -> tuple[float, float]:
            before, began = spent(), time.perf_counter()
            client.gather(client.map(task, [count] * TASKS, pure=False))
            return time.perf_counter() - began, spent() - before

        job()
        for number in range(rounds):
            for key in rng.sample(["bare", "with"], 2):
                with dask.profile(client) if key == "with" else nullcontext() as run:
                    took, cost = job()
                found[key].append(took)
                found[f"{key}_cpu"].append(cost)
                if run is not None:
                    hits += run.results().total_hits
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr)
        print(file=sys.stderr)
    return {**found, "hits": hits, "expected_hits": rounds * TASKS}


def figures(stored: dict[str, Any]) -> list[Figure]:
    """Return by how much longer the job took, and how much more it cost."""

    def added(suffix: str) -> list[float]:
        pairs = ratio(stored[f"with{suffix}"], stored[f"bare{suffix}"])
        return [100 * (each - 1) for each in pairs]

    what = f"Dask's plugin, {TASKS} tasks of 1 ms on {WORKERS} workers"
    return [
        Figure(f"{what}: time", added(""), "%", LIMIT_PERCENT, digits=2),
        Figure(f"{what}: processor time of all processes", added("_cpu"), "%", digits=2),
    ]


def main(arguments: list[str]) -> int:
    """Measure, print, store; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look")
    parser.add_argument("--seed", type=int, default=1, help="of the order; default: 1")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="store it here")
    options = parser.parse_args(arguments)
    stored = measure(QUICK_ROUNDS if options.quick else ROUNDS, options.seed)
    for figure in figures(stored):
        middle, low, high = figure.interval()
        verdict = f": {figure.verdict()}" if figure.verdict() else ""
        print(f"{figure.name}: {middle:+.2f} % [{low:.2f}, {high:.2f}]{verdict}")
    print(f"every pass counted: {stored['hits']:,} of {stored['expected_hits']:,}")
    if options.output is not None:
        text = json.dumps({"machine": _machine.describe(), "engine": stored})
        _store.write_whole(options.output, text)
    return int(stored["hits"] != stored["expected_hits"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
