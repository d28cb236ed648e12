"""A profile as the measurements store it, and what it says of where the time went."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Blocks = list[dict[str, Any]]
"""track, name, hits, total_ns, self_ns of each block that was passed."""


def blocks(results: Any) -> Blocks:
    """Return the blocks that were passed, the one with most time of its own first.

    :param results: a profiler's.
    """
    found = [block for track in results.tracks.values() for block in track.blocks]
    return [
        {
            "track": results.tracks[block.track_idx].track_name,
            "name": block.name,
            "hits": block.hit_count,
            "total_ns": block.total_time_ns,
            "self_ns": block.self_time_ns,
        }
        for block in sorted(found, key=lambda block: -block.self_time_ns)
        if block.hit_count
    ]


def own_shares(found: Blocks, group: Callable[[str], str] = str) -> list[tuple[str, float]]:
    """Return each block's part of the profile's own time, 0 to 1, largest first.

    :param found: the blocks.
    :param group: what a name counts as.
    """
    own: dict[str, int] = {}
    for block in found:
        name = group(block["name"])
        own[name] = own.get(name, 0) + block["self_ns"]
    whole = sum(own.values())
    return sorted(((name, ns / whole) for name, ns in own.items()), key=lambda pair: -pair[1])


def mean_ns(profiles: Iterable[Blocks]) -> dict[str, float]:
    """Return how long a pass of each block took in the mean, over all profiles, in ns."""
    total: dict[str, int] = {}
    hits: dict[str, int] = {}
    for profile in profiles:
        for block in profile:
            name = block["name"]
            total[name] = total.get(name, 0) + block["total_ns"]
            hits[name] = hits.get(name, 0) + block["hits"]
    return {name: total[name] / hits[name] for name in total}
