"""Fresh processes that `measure` starts: `python -m …prompts._child NAME {settings}`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks._run import finest_cpu_timer
from benchmarks.workloads import _marks, _overhead, _profile

# What is profiled is imported later: its functions are marked in the mode that then holds.

PACKAGE = "benchmarks.workloads.prompts"
WARM_SWEEPS = 4

Stored = dict[str, Any]


def trace(settings: Stored) -> Stored:
    """Play a trace; return its figures, and the profile of it."""
    with _tree(settings) as root:
        from benchmarks.workloads.prompts import accounts
        from benchmarks.workloads.prompts._tracks import marks
        from benchmarks.workloads.prompts.generate import PromptGenerator, Way
        from benchmarks.workloads.prompts.trace import make_trace, play

        features = PromptGenerator(root).features()
        requests, seed = settings["requests"], settings["seed"]
        played = play(
            root,
            make_trace(features, requests, seed, settings["edit_share"]),
            seed,
            Way(**settings["way"]),
        )
        results, statistics = marks.profiler.get_results(), played.statistics
        return {
            **settings,
            "elapsed_ns": played.elapsed_ns,
            "whole_hits": played.whole_hits,
            "edits": played.edits,
            "duration_s": played.duration_s,
            "caches": {name: cache._asdict() for name, cache in statistics.caches.items()},
            "counts": accounts.counts(statistics, results),
            "durations_ns": accounts.durations_ns(statistics, results),
            "profile": _profile.blocks(results),
        }


def threads(settings: Stored) -> Stored:
    """Ask for all plans, and for one that is not there, from many threads at once."""
    with _tree(settings) as root:
        from benchmarks.workloads.prompts import accounts
        from benchmarks.workloads.prompts._tracks import marks
        from benchmarks.workloads.prompts.documents import PlanError
        from benchmarks.workloads.prompts.generate import PromptGenerator

        generator = PromptGenerator(root)
        features = [*generator.features(), "NOT-THERE"]
        ready = threading.Barrier(settings["threads"])

        def ask() -> None:
            ready.wait()
            for feature in features * settings["rounds"]:
                with suppress(PlanError):
                    generator.generate(feature)

        workers = [threading.Thread(target=ask) for _ in range(settings["threads"])]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        results, statistics = marks.profiler.get_results(), generator.statistics()
        return {
            **settings,
            "counts": accounts.counts(statistics, results),
            "durations_ns": accounts.durations_ns(statistics, results),
        }


def ways(settings: Stored) -> Stored:
    """Time all prompts of a tree, cold and warm, in each way."""
    with _tree(settings) as root:
        from benchmarks.workloads.prompts import program
        from benchmarks.workloads.prompts.generate import PromptGenerator, Way

        works: dict[str, _overhead.Work] = {}
        for name, way in settings["ways"].items():
            sweeps = _sweeps(program, PromptGenerator(root, way=Way(**way)))
            works.update((f"{name}, {caches}", work) for caches, work in sweeps.items())
        taken = _overhead.take(works, settings)
        return {"timer": finest_cpu_timer()[0], "ns_a_prompt": taken}


def overhead(settings: Stored) -> Stored:
    """Time all prompts of a tree, cold and warm, in each mode, in one process."""
    with _tree(settings) as root:

        def works(program: Any) -> dict[str, _overhead.Work]:
            return _sweeps(program, program.PromptGenerator(root, metrics=program.own_metrics()))

        taken, coarse = _overhead.compare(PACKAGE, "program", works, settings)
        return {"timer": finest_cpu_timer()[0], "ns_a_prompt": taken, "coarse": coarse}


def _sweeps(program: Any, generator: Any) -> dict[str, _overhead.Work]:
    """Return what makes the prompt of each plan: with empty caches, and with what is in them."""
    features = generator.features()

    def sweep() -> None:
        program.make_all(generator, features, 0, lambda _: None)

    timed = _overhead.timed(sweep)

    def cold(count: int) -> int:
        took = 0
        for _ in range(count):
            generator.clear()
            took += timed(1)
        return took

    def warm(count: int) -> int:
        sweep()  # a cold one may just have emptied the caches
        return timed(count)

    plans = len(features)
    return {
        "cold": _overhead.Work(cold, 1, plans),
        "warm": _overhead.Work(warm, WARM_SWEEPS, plans),
    }


@contextmanager
def _tree(settings: Stored) -> Iterator[Path]:
    os.environ[_marks.VARIABLE] = _marks.INSTRUMENTED
    from benchmarks.workloads.prompts.tree import make_tree

    with tempfile.TemporaryDirectory(prefix="plans-") as scratch:
        root = Path(scratch, "plans")
        make_tree(root, settings["plans"], settings["seed"])
        yield root


CHILDREN = {"trace": trace, "threads": threads, "ways": ways, "overhead": overhead}

if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](json.loads(sys.argv[2]))))
