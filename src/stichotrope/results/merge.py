"""Results of several runs, processes and profilers, taken together."""

from __future__ import annotations

from itertools import count

from .model import (
    GATHERED,
    CallNode,
    ProcessResults,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
    default_track_name,
)
from .newest import SELECTED, newest, runs_of
from .places import known_roots, relative

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .model import Figures, Identity


# What the metadata says of one process.
OF_ONE = (
    *("process", "instance", "recording", "worker", "roots", "threads", "folded_threads"),
    GATHERED,
    SELECTED,
)


class _Numbering:
    """Gives the blocks of all results their place: per track, dense, in order of appearance."""

    def __init__(self, files: _Files) -> None:
        self._files = files
        self._numbers: dict[Identity, int] = {}
        self._members: dict[int, list[Identity]] = {}

    def placed(self, one: ProfileBlock | CallNode, places: dict[int, int]) -> Identity:
        """Return what a block or a node is known by in the whole."""
        idx, file, line, name = one.identity
        return places.get(idx, idx), self._files.of(file), line, name

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


class _Files:
    """Gives the files of all results their path in the whole.

    A file is known by its path below the root of its module, as every machine has it, and by its
    path as it is: in the whole it stands as in the first part that has it.
    """

    def __init__(self, parts: Iterable[ProfilerResults]) -> None:
        self._first: dict[str, str] = {}  # file → one that is the same, itself for the first
        portable: dict[str, str] = {}
        found = [_portable(part) for part in parts]
        # Where one part has several files of one path, below several roots, the path tells nothing.
        unclear = {path for paths in found for path, files in paths.items() if len(files) > 1}
        for paths in found:
            for path, (file, *_) in paths.items():
                if path not in unclear:
                    self._join(portable.setdefault(path, file), file)

    def of(self, file: str) -> str:
        """Return the path in the whole."""
        while file != (first := self._first.get(file, file)):
            file = first
        return file

    def _join(self, one: str, other: str) -> None:
        first, second = self.of(one), self.of(other)
        if first != second:
            self._first[second] = first


def _portable(part: ProfilerResults) -> dict[str, list[str]]:
    """Return the files of a part by their paths below the roots of each of its runs."""
    files = {block.file: None for track in part.tracks.values() for block in track.blocks}
    runs = [run for run in runs_of(part.metadata) if isinstance(run, dict)]
    found: dict[str, dict[str, None]] = {}
    for roots in {tuple(known_roots(run)): None for run in runs} or {(): None}:
        for file in files:
            found.setdefault(relative(file, roots), {})[file] = None
    return {path: list(files) for path, files in found.items()}


def _given_name(track: ProfileTrack) -> str | None:
    name = track.track_name
    return None if name == default_track_name(track.track_idx) else name


def merged(parts: list[ProfilerResults]) -> ProfilerResults:
    """Return results taken together, the newest of each recording; see `ProfilerResults.merge`.

    :param parts: one or more.
    """
    kept, sentences = newest(parts)
    whole = _added(kept)
    if sentences:
        warnings = whole.metadata.get("warnings")
        said = warnings if isinstance(warnings, list) else []
        whole.metadata["warnings"] = [*said, *sentences]
    return whole


def _added(parts: list[ProfilerResults]) -> ProfilerResults:
    numbering, indices = _Numbering(_Files(parts)), _Places()
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
        metadata={**_unselected(parts[0].metadata), "merged": _merged_metadata(parts)},
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
            number = numbering.number(numbering.placed(block, places))
            blocks.extend(numbering.unhit(idx, len(blocks), number + 1))
            blocks[number].add(block)


def _add_tree(
    into: CallNode, tree: CallNode, numbering: _Numbering, places: dict[int, int]
) -> None:
    stack = [(into, tree)]
    while stack:
        target, source = stack.pop()
        target.add(source)
        below = {child.identity: child for child in target.children}
        for child in source.children:
            identity = numbering.placed(child, places)
            if identity not in below:
                number = numbering.known(identity, child.block_idx)
                node = CallNode(child.name, identity[0], number, identity[1], child.line)
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
    return [metadata for part in parts for metadata in runs_of(part.metadata)]


def _unselected(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without what holds for each run by itself."""
    return {key: value for key, value in metadata.items() if key != SELECTED}


# Those of several runs, processes and profilers, with metadata that holds for all


def merged_processes(parts: list[ProfilerResults], warnings: Iterable[str] = ()) -> ProfilerResults:
    """Return what one profiler recorded in several processes or runs.

    Start and duration span all of them, and the warnings are those of all.

    :param parts: the results, more than none.
    :param warnings: what is to be warned of besides, before theirs.
    """
    kept, sentences = newest(parts)
    whole = _added(kept)
    whole.metadata = merged_metadata(
        [part.metadata for part in kept],
        whole.processes,
        [*warnings, *(one for part in kept for one in _warnings_of(part)), *sentences],
    )
    return whole


def merged_metadata(
    parts: list[dict[str, Any]], processes: list[ProcessResults], warnings: list[str]
) -> dict[str, Any]:
    """Return metadata that holds for several processes or runs, with that of each.

    :param parts: the metadata of each, more than none.
    :param processes: all of the processes.
    :param warnings: what is to be warned of.
    """
    runs = [run for metadata in parts for run in runs_of(metadata)]
    whole = {**parts[0], "merged": runs, "warnings": warnings}
    for key in OF_ONE:  # what only the first process said of itself stays under "merged" alone
        whole.pop(key, None)
    if len({process.host for process in processes}) > 1:
        whole.pop("host", None)
    spans = [(process.start_ns, process.start_ns + process.duration_ns) for process in processes]
    if spans:  # none are known of results that were made by hand
        start_ns = min(start for start, _ in spans)
        whole["start_ns"] = start_ns
        whole["duration_ns"] = max(end for _, end in spans) - start_ns
    return whole


def _warnings_of(results: ProfilerResults) -> Iterator[str]:
    """Yield the warnings of one file, each with the process that it is about."""
    whose = [f"process {process.pid} on {process.host or '?'}" for process in results.processes]
    warnings = results.metadata.get("warnings")
    for warning in warnings if isinstance(warnings, list) else ():
        yield f"{whose[0]}: {warning}" if len(whose) == 1 else f"{warning}"


def by_profiler(parts: Iterable[ProfilerResults]) -> list[ProfilerResults]:
    """Return results merged for each profiler's name, in order of appearance.

    :param parts: results of runs, processes and profilers.
    """
    named: dict[str, list[ProfilerResults]] = {}
    for part in parts:
        named.setdefault(part.profiler_name, []).append(part)
    return [_of_one(same) for same in named.values()]


def _of_one(parts: list[ProfilerResults]) -> ProfilerResults:
    """Return the results of one profiler, of those parts that have any."""
    entered = [part for part in parts if part.was_entered] or parts[:1]
    return entered[0] if len(entered) == 1 else merged_processes(entered)


def joined(parts: list[ProfilerResults]) -> ProfilerResults:
    """Return the results of different profilers as one, each with its own tracks.

    A track whose name or number another profiler has is renamed or renumbered.

    :param parts: one or more results.
    """
    if len(parts) == 1:
        return parts[0]
    taken: set[int] = set()
    names: set[str] = set()
    renumbered = []
    for part in parts:
        copy = copied(part)
        places = {idx: _free(idx, taken) for idx in sorted(part.tracks)}
        for figures in (copy, *copy.threads):
            _renumber(figures, places)
        for track in copy.tracks.values():
            own_name = track.track_name
            if own_name in names:
                own_name = f"{own_name} ({part.profiler_name})"
            names.add(own_name)
            for figures in (copy, *copy.threads):
                if track.track_idx in figures.tracks:
                    figures.tracks[track.track_idx].track_name = own_name
        renumbered.append(copy)
    whole = renumbered[0].merge(*renumbered[1:])
    whole.profiler_name = " + ".join(part.profiler_name for part in parts)
    return whole


def copied(results: ProfilerResults) -> ProfilerResults:
    """Return a copy that has nothing in common with what it is of."""
    # Not `deepcopy`, which goes through each bucket of each histogram by itself.
    import pickle

    copy: ProfilerResults = pickle.loads(pickle.dumps(results))
    return copy


def _free(idx: int, taken: set[int]) -> int:
    """Return the number itself, or the next that nobody has, and take it."""
    while idx in taken:
        idx += 1
    taken.add(idx)
    return idx


def _renumber(figures: Figures, places: dict[int, int]) -> None:
    tracks: dict[int, ProfileTrack] = {}
    for idx, track in figures.tracks.items():
        tracks[places.get(idx, idx)] = track
        track.track_idx = places.get(idx, idx)
        for block in track.blocks:
            block.track_idx = track.track_idx
    figures.tracks = tracks
    for node, _ in figures.tree.walk():
        node.track_idx = places.get(node.track_idx, node.track_idx)
