"""What finished passes come to: every figure that results give, from its definition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stichotrope._histogram import Histogram

from .passes import Pass, Site, Thread


class Block(NamedTuple):
    """The figures of one block."""

    hits: int = 0
    total: int = 0
    active: int = 0
    self: int = 0
    minimum: int = 0
    maximum: int = 0
    sum: int = 0
    squares: int = 0
    histogram: tuple[tuple[int, int, int], ...] = ()


class Node(NamedTuple):
    """The figures of one node of the call tree."""

    hits: int
    total: int
    self: int


class Figures(NamedTuple):
    """Everything that results say of one thread or of several."""

    blocks: dict[str, Block]
    tracks: dict[int, int]
    total: int
    tree: dict[tuple[str, ...], Node]


def bucket(ticks: int) -> int:
    """The core's bucket of a duration: its octave times 16 plus its sub-bucket."""
    octave = 0
    while ticks + 16 >= 32 << octave:
        octave += 1
    sub = (ticks + 16) // 2**octave - 16
    return octave * 16 + sub


def middle(ticks: int) -> int:
    """The middle of all the durations that share a bucket with this one."""
    octave, sub = divmod(bucket(ticks), 16)
    lowest = (16 + sub) * 2**octave - 16
    highest = lowest + 2**octave - 1
    return (lowest + highest) // 2


def _histogram(passes: list[Pass]) -> tuple[tuple[int, int, int], ...]:
    histogram = Histogram()
    for p in passes:
        histogram.add(middle(p.duration))
    return tuple(histogram)


def _total(passes: list[Pass]) -> int:
    """The time of some passes of one block, less that in which another one covered them."""
    return sum(p.duration - min(p.in_site.time, p.duration) for p in passes if not p.in_site)


def _block(passes: list[Pass]) -> Block:
    if not passes:
        return Block()
    durations = [p.duration for p in passes]
    idle = sum(p.idle - p.in_site.idle for p in passes if not p.in_site)
    return Block(
        hits=len(passes),
        total=_total(passes),
        active=_total(passes) - idle,
        self=sum(p.duration - p.idle - p.child for p in passes),
        minimum=min(durations),
        maximum=max(durations),
        sum=sum(durations),
        squares=sum(duration**2 for duration in durations),
        histogram=_histogram(passes),
    )


def _node(passes: list[Pass]) -> Node:
    return Node(
        hits=len(passes),
        total=_total(passes),
        self=sum(p.duration - p.idle - p.child for p in passes),
    )


def _track(passes: list[Pass]) -> int:
    return sum(p.duration - min(p.in_track.time, p.duration) for p in passes if not p.in_track)


def figures(threads: Iterable[Thread], sites: Iterable[Site]) -> Figures:
    """Everything about the finished passes of some threads, for all sites that are registered."""
    passes = [p for thread in threads for p in thread.finished]
    sites = list(sites)
    return Figures(
        blocks={site.name: _block([p for p in passes if p.site == site]) for site in sites},
        tracks={
            track: _track([p for p in passes if p.site.track == track])
            for track in {site.track for site in sites}
        },
        total=sum(p.duration - min(p.in_any.time, p.duration) for p in passes if not p.in_any),
        tree={
            path: _node([p for p in passes if p.path == path]) for path in {p.path for p in passes}
        },
    )


def clamped(threads: Iterable[Thread]) -> int:
    """How many finished passes were counted as 0 because the clock went backwards."""
    return sum(p.clamped for thread in threads for p in thread.finished)
