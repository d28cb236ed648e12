"""What the program counts itself, beside what the profile says of the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.workloads.prompts.generate import REFUSED, Statistics

if TYPE_CHECKING:
    from stichotrope import ProfilerResults

Pairs = dict[str, tuple[int, int]]
"""Name of a block → the program's own figure, and the profile's."""


def counts(statistics: Statistics, results: ProfilerResults) -> Pairs:
    """Return hits, misses and prompts by outcome. Equal, if one generator was profiled."""
    own = {"prompt": sum(statistics.prompts.values())}
    for outcome, prompts in statistics.prompts.items():
        own[outcome if outcome == REFUSED else f"fill {outcome}"] = prompts
    for name, cache in statistics.caches.items():
        own[f"{name}: hit"] = cache.hits
        own[f"{name}: miss"] = cache.misses
        own[f"{name}: joined"] = cache.joined
    hits = {
        block.name: block.hit_count for track in results.tracks.values() for block in track.blocks
    }
    return {name: (figure, hits.get(name, 0)) for name, figure in own.items()}


def durations_ns(statistics: Statistics, results: ProfilerResults) -> Pairs:
    """Return what prompts and misses took, all together.

    The program's own timers are inside of the blocks: on a clock that moves by itself, the profile
    shows what lies between in addition.
    """
    own = {"prompt": statistics.elapsed_ns}
    own.update((f"{name}: miss", cache.computing_ns) for name, cache in statistics.caches.items())
    took = {
        block.name: block.sum_time_ns for track in results.tracks.values() for block in track.blocks
    }
    return {name: (figure, took.get(name, 0)) for name, figure in own.items()}
