"""What passes come to, by definition, and what results say: in the same shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from stichotrope.results import CallNode, ProfileBlock, ProfilerResults, ThreadResults
from stichotrope.results.histogram import Histogram

from .model import Model, Pass, Site, Thread, length


class Block(NamedTuple):
    """The figures of a block."""

    hits: int = 0
    errors: int = 0
    cancelled: int = 0
    open: int = 0
    items: int = 0
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
    errors: int
    cancelled: int
    open: int
    items: int
    sum: int
    total: int
    self: int


class Figures(NamedTuple):
    """All that results say of one thread or of several."""

    blocks: dict[str, Block]
    tracks: dict[int, int]
    total: int
    tree: dict[tuple[str, ...], Node]


# ---- by definition ------------------------------------------------------------------------------


def bucket(ticks: int) -> int:
    """The number of a duration's bucket: sixteen of equal width an octave, offset by sixteen."""
    octave = max(0, (ticks + 16).bit_length() - 5)
    return octave * 16 + (ticks + 16 >> octave) - 16


def middle(ticks: int) -> int:
    """The middle of the durations that share a bucket with this one."""
    octave, sub = divmod(bucket(ticks), 16)
    lowest = (16 + sub << octave) - 16
    return lowest + ((1 << octave) - 1) // 2


def once(passes: list[Pass], threads: list[Thread], of: str = "open") -> int:
    """How long at least one of some passes was open on a thread; threads add up."""
    return sum(length([getattr(p, of).get(thread, []) for p in passes]) for thread in threads)


def block(passes: list[Pass], threads: list[Thread]) -> Block:
    """The figures of the passes of one block."""
    durations = [p.duration for p in passes if p.ended_on in threads]
    histogram = Histogram()
    for duration in durations:
        histogram.add(middle(duration))
    return Block(
        **counts(passes, threads),
        minimum=min(durations, default=0),
        maximum=max(durations, default=0),
        squares=sum(duration**2 for duration in durations),
        histogram=tuple(histogram),
        total=once(passes, threads),
        active=once(passes, threads, "active"),
        # Tasks that came by different paths may have the same moments.
        self=min(
            sum(once(found, threads, "own") for found in by_path(passes).values()),
            once(passes, threads),
        ),
    )


def counts(passes: list[Pass], threads: list[Thread]) -> dict[str, int]:
    """What a block and a node say of their passes by number, and the durations of those that ended added up."""
    ended = [p for p in passes if p.ended_on in threads]
    return {
        "hits": len(ended),
        "errors": sum(p.left_by == "error" for p in ended),
        "cancelled": sum(p.left_by == "cancelled" for p in ended),
        "open": sum(p.is_open and p.strand.thread in threads for p in passes),
        "items": sum(p.items[thread] for p in passes for thread in threads),
        "sum": sum(p.duration for p in ended),
    }


def by_path(passes: list[Pass]) -> dict[tuple[str, ...], list[Pass]]:
    """Passes by the node of the tree that they belong to."""
    found: dict[tuple[str, ...], list[Pass]] = {}
    for p in passes:
        found.setdefault(p.path, []).append(p)
    return found


def node(passes: list[Pass], threads: list[Thread]) -> Node:
    """The figures of the passes of one node."""
    return Node(
        **counts(passes, threads),
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
                **counted(each),
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


def counted(found: ProfileBlock | CallNode) -> dict[str, int]:
    """What a block or a node says of its passes by number, and of their durations."""
    return {
        "hits": found.hit_count,
        "errors": found.error_count,
        "cancelled": found.cancelled_count,
        "open": found.open_count,
        "items": found.item_count,
        "sum": found.sum_time_ns,
    }


def nodes(at: CallNode, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every node of a tree that anything is in, with the path that leads there."""
    found = Node(**counted(at), total=at.total_time_ns, self=at.self_time_ns)
    if path and any(found):
        yield path, found
    for child in at.children:
        yield from nodes(child, (*path, child.name))


def beyond(found: Figures, most: int) -> list[str]:
    """Which totals are longer than so much."""
    totals = {name: each.total for name, each in found.blocks.items()}
    totals |= {f"track {track}": total for track, total in found.tracks.items()}
    return [name for name, total in {**totals, "": found.total}.items() if total > most]


def only_passes(found: Figures) -> Figures:
    """The figures that each pass has by itself: no set of moments, and not whose child it was."""
    blocks = {name: each._replace(total=0, active=0, self=0) for name, each in found.blocks.items()}
    return Figures(blocks, {}, 0, {})


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
