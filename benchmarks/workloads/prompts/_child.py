"""Fresh processes that `measure` starts: `python -m …prompts._child NAME {settings}`."""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks._run import Loop, finest_cpu_timer, interleave
from benchmarks.workloads import _marks

# What is profiled is imported later: its functions are marked in the mode that then holds.

PACKAGE = "benchmarks.workloads.prompts"
WARM_SWEEPS = 8

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
            "profile": _profile(results),
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
        from benchmarks.workloads.prompts.generate import PromptGenerator, Way

        loops: dict[str, Loop] = {}
        for name, way in settings["ways"].items():
            loops.update(_sweeps(name, PromptGenerator(root, way=Way(**way))))
        return _taken(loops, settings)


def overhead(settings: Stored) -> Stored:
    """Time all prompts of a tree, cold and warm, bare, instrumented and off, in one process."""
    with _tree(settings) as root:
        loops: dict[str, Loop] = {}
        for mode in _marks.MODES:
            loops.update(_sweeps(mode, _generator_in(mode, root)))
        return _taken(loops, settings)


def _sweeps(name: str, generator: Any) -> dict[str, Loop]:
    """Return loops that make the prompt of each plan once a time."""
    features = generator.features()
    _, timer = finest_cpu_timer()

    def warm(count: int) -> int:
        start = timer()
        for _ in range(count):
            for feature in features:
                generator.generate(feature)
        return timer() - start

    def cold(count: int) -> int:
        took = 0
        for _ in range(count):
            for feature in features:
                generator.clear()
                start = timer()
                generator.generate(feature)
                took += timer() - start
        return took

    warm(2)
    return {f"{name}, cold": cold, f"{name}, warm": _after_a_sweep(warm)}


def _after_a_sweep(warm: Loop) -> Loop:
    """Let the caches be filled before each timing: a cold one may just have emptied them."""

    def loop(count: int) -> int:
        warm(1)
        return warm(count)

    return loop


def _taken(loops: dict[str, Loop], settings: Stored) -> Stored:
    """Return what each loop took in each round, per prompt."""
    counts = {name: WARM_SWEEPS if name.endswith("warm") else 1 for name in loops}
    rng = random.Random(settings["order_seed"])
    taken = interleave(loops, counts, settings["rounds"], rng, lambda _: None, collector=True)
    prompts = {name: count * settings["plans"] for name, count in counts.items()}
    return {
        "timer": finest_cpu_timer()[0],
        "ns_a_prompt": {name: [ns / prompts[name] for ns in some] for name, some in taken.items()},
    }


def _generator_in(mode: str, root: Path) -> Any:
    """Return a generator whose functions are marked in a mode, whatever was imported before."""
    for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
        if name != f"{PACKAGE}._child":
            del sys.modules[name]
    os.environ[_marks.VARIABLE] = mode
    return importlib.import_module(f"{PACKAGE}.generate").PromptGenerator(root)


@contextmanager
def _tree(settings: Stored) -> Iterator[Path]:
    os.environ[_marks.VARIABLE] = _marks.INSTRUMENTED
    from benchmarks.workloads.prompts.tree import make_tree

    with tempfile.TemporaryDirectory(prefix="plans-") as scratch:
        root = Path(scratch, "plans")
        make_tree(root, settings["plans"], settings["seed"])
        yield root


def _profile(results: Any) -> list[Stored]:
    """Return the blocks that were passed, the one with most time of its own first."""
    blocks = [block for track in results.tracks.values() for block in track.blocks]
    return [
        {
            "track": results.tracks[block.track_idx].track_name,
            "name": block.name,
            "hits": block.hit_count,
            "total_ns": block.total_time_ns,
            "self_ns": block.self_time_ns,
        }
        for block in sorted(blocks, key=lambda block: -block.self_time_ns)
        if block.hit_count
    ]


CHILDREN = {"trace": trace, "threads": threads, "ways": ways, "overhead": overhead}

if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](json.loads(sys.argv[2]))))
