"""Results of several runs, processes and profilers, taken together."""

from __future__ import annotations

from itertools import count

from .model import (
    CallNode,
    ProcessResults,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
    default_track_name,
)

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .model import Identity


class _Numbering:
    """Gives the blocks of all results their place: per track, dense, in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[Identity, int] = {}
        self._members: dict[int, list[Identity]] = {}

    def number(self, identity: Identity) -> int:
        """Return a block's number; one that is new gets the next free number of its track."""
        if identity not in self._numbers:
            members = self._members.setdefault(identity[0], [])
            self._numbers[identity] = len(members)
            members.append(identity)
        return self._numbers[identity]

    def known(self, identity: Identity, default: int) -> int:
        """Return a block's number, or the default for a node that stands for no block."""
        return self._numbers.get(identity, default)

    def unhit(self, track_idx: int, start: int, stop: int) -> Iterator[ProfileBlock]:
        """Yield blocks without passes for a range of numbers."""
        for number in range(start, stop):
            _, file, line, name = self._members[track_idx][number]
            yield ProfileBlock(name, file, line, track_idx, number)


class _Places:
    """Gives the tracks of all results their index in the whole.

    A track that was given a name is known by it: where tracks are numbered as they are first used,
    each process may have numbered them in another order. Others are known by their index.
    """

    def __init__(self) -> None:
        self._names: dict[int, str | None] = {}

    def of(self, tracks: dict[int, ProfileTrack]) -> dict[int, int]:
        """Return the index of each track of one part, by its index there."""
        known = {name: place for place, name in self._names.items() if name is not None}
        names = {idx: _given_name(track) for idx, track in tracks.items()}
        places = {idx: known[name] for idx, name in names.items() if name in known}
        for idx, name in names.items():
            if idx not in places:
                places[idx] = self._place(idx, name, {*places.values()}, tracks)
            self._names[places[idx]] = name or self._names.get(places[idx])
        return places

    def _place(
        self, idx: int, name: str | None, taken: set[int], tracks: dict[int, ProfileTrack]
    ) -> int:
        if idx not in taken and (name is None or self._names.get(idx) is None):
            return idx
        occupied = {*taken, *self._names, *tracks}
        return next(place for place in count() if place not in occupied)

    def name(self, place: int) -> str:
        """Return the name of a track of the whole."""
        return self._names.get(place) or default_track_name(place)


def _given_name(track: ProfileTrack) -> str | None:
    name = track.track_name
    return None if name == default_track_name(track.track_idx) else name


def merged(parts: list[ProfilerResults]) -> ProfilerResults:
    numbering, indices = _Numbering(), _Places()
    placed = [(part, indices.of(part.tracks)) for part in parts]
    processes = _merged_processes(parts)
    tracks: dict[int, ProfileTrack] = {}
    for part, places in placed:
        _add_tracks(tracks, part.tracks, numbering, places)
    # The trees and threads come after all tracks, whose blocks decide the numbering.
    tree = CallNode.root()
    for part, places in placed:
        _add_tree(tree, part.tree, numbering, places)
    threads = _merged_threads(placed, numbering, processes)
    for figures in (tracks, *(thread.tracks for thread in threads)):
        for idx, track in figures.items():
            track.track_name = indices.name(idx)
    return ProfilerResults(
        profiler_name=" + ".join(dict.fromkeys(part.profiler_name for part in parts)),
        tracks=dict(sorted(tracks.items())),
        total_time_ns=sum(part.total_time_ns for part in parts),
        tree=tree,
        threads=threads,
        metadata={**parts[0].metadata, "merged": _merged_metadata(parts)},
        processes=processes.values(),
    )


def _merged_processes(parts: list[ProfilerResults]) -> dict[object, ProcessResults]:
    """Return every process by its identity, with what all its profilers recorded."""
    merged: dict[object, ProcessResults] = {}
    for process in (process for part in parts for process in part.processes):
        identity = process.identity
        if identity in merged:
            merged[identity].add(process)
        else:
            merged[identity] = ProcessResults(*process._values())
    return merged


def _add_tracks(
    into: dict[int, ProfileTrack],
    tracks: dict[int, ProfileTrack],
    numbering: _Numbering,
    places: dict[int, int],
) -> None:
    for track in tracks.values():
        idx = places.get(track.track_idx, track.track_idx)
        if idx not in into:
            into[idx] = ProfileTrack(idx, track.track_name, track.enabled)
        into[idx].total_time_ns += track.total_time_ns
        blocks = into[idx].blocks
        for block in track.blocks:
            number = numbering.number(_placed(block, places))
            blocks.extend(numbering.unhit(idx, len(blocks), number + 1))
            blocks[number].add(block)


def _placed(one: ProfileBlock | CallNode, places: dict[int, int]) -> Identity:
    """Return what a block or a node is known by in the whole."""
    idx, file, line, name = one.identity
    return places.get(idx, idx), file, line, name


def _add_tree(
    into: CallNode, tree: CallNode, numbering: _Numbering, places: dict[int, int]
) -> None:
    stack = [(into, tree)]
    while stack:
        target, source = stack.pop()
        target.add(source)
        below = {child.identity: child for child in target.children}
        for child in source.children:
            identity = _placed(child, places)
            if identity not in below:
                number = numbering.known(identity, child.block_idx)
                node = CallNode(child.name, identity[0], number, child.file, child.line)
                below[identity] = node
                target.children.append(node)
            stack.append((below[identity], child))


def _merged_threads(
    placed: list[tuple[ProfilerResults, dict[int, int]]],
    numbering: _Numbering,
    processes: dict[object, ProcessResults],
) -> list[ThreadResults]:
    threads = [(thread, places) for part, places in placed for thread in part.threads]
    fresh = 1 + max((thread.key for thread, _ in threads), default=0)
    merged: dict[int, ThreadResults] = {}
    for thread, places in threads:
        key = thread.key
        if key in merged:
            key = fresh
            fresh += 1
        copy = ThreadResults(
            key, thread.os_id, thread.name, thread.alive, total_time_ns=thread.total_time_ns
        )
        if thread.process is not None:
            copy.process = processes.get(thread.process.identity)
        _add_tracks(copy.tracks, thread.tracks, numbering, places)
        _add_tree(copy.tree, thread.tree, numbering, places)
        merged[key] = copy
    return list(merged.values())


def _merged_metadata(parts: list[ProfilerResults]) -> list[Any]:
    """Return the metadata of each run, also of those that had been merged before."""
    return [metadata for part in parts for metadata in _runs(part.metadata)]


def _runs(metadata: dict[str, Any]) -> list[Any]:
    merged = metadata.get("merged")  # from a file: it may be anything
    return merged if merged and isinstance(merged, list) else [metadata]
