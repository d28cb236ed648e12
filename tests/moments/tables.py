"""What passes come to, by definition, and what results say: in the same shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from stichotrope._histogram import Histogram
from stichotrope.results import CallNode, ProfilerResults, ThreadResults

from .model import Model, Pass, Site, Thread, length


class Block(NamedTuple):
    """The figures of a block."""

    hits: int = 0
    sum: int = 0
    minimum: int = 0
    maximum: int = 0
    squares: int = 0
    histogram: tuple[tuple[int, int, int], ...] = ()
    total: int = 0
    active: int = 0
    self: int = 0


class Node(NamedTuple):
    """The figures of a node of the call tree."""

    hits: int
    total: int
    self: int


class Figures(NamedTuple):
    """All that results say of one thread or of several."""

    blocks: dict[str, Block]
    tracks: dict[int, int]
    total: int
    tree: dict[tuple[str, ...], Node]


# ---- by definition ------------------------------------------------------------------------------


def bucket_middle(ticks: int) -> int:
    """The middle of the durations that share a bucket: sixteen of equal width an octave, offset by sixteen."""
    octave = max(0, (ticks + 16).bit_length() - 5)
    lowest = ((ticks + 16) >> octave << octave) - 16
    return lowest + ((1 << octave) - 1) // 2


def once(passes: list[Pass], threads: list[Thread], of: str = "open") -> int:
    """How long at least one of some passes was open on a thread; threads add up."""
    return sum(length([getattr(p, of).get(thread, []) for p in passes]) for thread in threads)


def block(passes: list[Pass], threads: list[Thread]) -> Block:
    """The figures of the passes of one block."""
    ended = [p for p in passes if p.ended_on in threads]
    durations = [p.end - p.start for p in ended if p.end is not None]
    histogram = Histogram()
    for duration in durations:
        histogram.add(bucket_middle(duration))
    return Block(
        hits=len(ended),
        sum=sum(durations),
        minimum=min(durations, default=0),
        maximum=max(durations, default=0),
        squares=sum(duration**2 for duration in durations),
        histogram=tuple(histogram),
        total=once(passes, threads),
        active=once(passes, threads, "active"),
        self=sum(once(found, threads, "own") for found in by_path(passes).values()),
    )


def by_path(passes: list[Pass]) -> dict[tuple[str, ...], list[Pass]]:
    """Passes by the node of the tree that they belong to."""
    found: dict[tuple[str, ...], list[Pass]] = {}
    for p in passes:
        found.setdefault(p.path, []).append(p)
    return found


def node(passes: list[Pass], threads: list[Thread]) -> Node:
    """The figures of the passes of one node."""
    return Node(
        hits=sum(p.ended_on in threads for p in passes),
        total=once(passes, threads),
        self=once(passes, threads, "own"),
    )


def defined(model: Model, threads: list[Thread], sites: list[Site]) -> Figures:
    """What results must say of some threads."""
    passes = [p for p in model.passes if p.counts]
    nodes = {path: node(found, threads) for path, found in by_path(passes).items()}
    return Figures(
        blocks={site.name: block([p for p in passes if p.site == site], threads) for site in sites},
        tracks={
            track: once([p for p in passes if p.site.track == track], threads)
            for track in {site.track for site in sites}
        },
        total=once(passes, threads),
        tree={path: found for path, found in nodes.items() if any(found)},
    )


# ---- as observed --------------------------------------------------------------------------------


def observed(found: ProfilerResults | ThreadResults) -> Figures:
    """What results do say."""
    blocks = [block for track in found.tracks.values() for block in track.blocks]
    return Figures(
        blocks={
            each.name: Block(
                hits=each.hit_count,
                sum=each.sum_time_ns,
                minimum=each.min_time_ns,
                maximum=each.max_time_ns,
                squares=each.sum_squares_ns2,
                histogram=tuple(each.histogram),
                total=each.total_time_ns,
                active=each.active_time_ns,
                self=each.self_time_ns,
            )
            for each in blocks
        },
        tracks={track.track_idx: track.total_time_ns for track in found.tracks.values()},
        total=found.total_time_ns,
        tree=dict(nodes(found.tree, ())),
    )


def nodes(at: CallNode, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every node of a tree that anything is in, with the path that leads there."""
    found = Node(at.hit_count, at.total_time_ns, at.self_time_ns)
    if path and any(found):
        yield path, found
    for child in at.children:
        yield from nodes(child, (*path, child.name))


def differences(got: Figures, expected: Figures) -> str:
    """Both tables where they differ, a line for each figure."""
    lines = []
    for name, is_, should in zip(Figures._fields, got, expected, strict=True):
        found: dict[Any, Any] = is_ if isinstance(is_, dict) else {"": is_}
        wanted: dict[Any, Any] = should if isinstance(should, dict) else {"": should}
        for key in {**wanted, **found}:
            lines += cells(f"{name} {key}", found.get(key), wanted.get(key))
    return "\n".join(lines)


def cells(where: str, found: object, wanted: object) -> list[str]:
    """A line for each figure that differs."""
    if found == wanted:
        return []
    if isinstance(found, (Block, Node)) and isinstance(wanted, (Block, Node)):
        rows = zip(found._fields, found, wanted, strict=True)
        return [f"{where}.{name}: got {a}, expected {b}" for name, a, b in rows if a != b]
    return [f"{where}: got {found}, expected {wanted}"]
