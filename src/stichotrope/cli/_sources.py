"""Results from files and directories: read, put together, and reduced to what was asked for."""

from __future__ import annotations

import os

from .._files import files_in
from ..results import (
    GATHERED_SUFFIX,
    CallNode,
    ProfilerResults,
    ProfileTrack,
    ResultsFormatError,
    ThreadResults,
)
from . import CommandError, reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from ..results import ProfileBlock

    F = TypeVar("F", ProfilerResults, ThreadResults)


def load(paths: Iterable[str]) -> list[ProfilerResults]:
    """Return the results in files and directories, merged for each profiler's name.

    :param paths: results files, and directories that processes gathered in.
    :raises CommandError: when one cannot be read, or holds no results.
    """
    parts: list[ProfilerResults] = []
    for path in paths:
        if os.path.isdir(path):
            parts += _in_directory(path)
            continue
        try:
            parts.append(ProfilerResults.load(path))
        except (OSError, ValueError) as error:
            raise CommandError(reason(error)) from None
    return by_profiler(parts)


def _in_directory(directory: str) -> list[ProfilerResults]:
    try:
        files = files_in(directory, GATHERED_SUFFIX)
    except OSError as error:
        raise CommandError(reason(error)) from None
    found = readable(files)
    if not found:
        expected = f"results files, named *{GATHERED_SUFFIX}"
        kind = "none that can be read" if files else "none"
        raise CommandError(f"{directory} should hold {expected}, but there are {kind}")
    return found


def readable(paths: Iterable[str]) -> list[ProfilerResults]:
    """Return the results in files, and say which of them cannot be read.

    :param paths: the files.
    """
    found = []
    for path in paths:
        try:
            found.append(ProfilerResults.load(path))
        except (OSError, ResultsFormatError) as error:
            say(f"stichotrope: left out: {reason(error)}")
    return found


# Put together


def by_profiler(parts: Iterable[ProfilerResults]) -> list[ProfilerResults]:
    """Return results merged for each profiler's name, in order of appearance.

    :param parts: results of runs, processes and profilers.
    """
    named: dict[str, list[ProfilerResults]] = {}
    for part in parts:
        named.setdefault(part.profiler_name, []).append(part)
    return [_merged(same) for same in named.values()]


def _merged(parts: list[ProfilerResults]) -> ProfilerResults:
    """Return the results of one profiler in several processes or runs."""
    entered = [part for part in parts if part.was_entered] or parts[:1]
    if len(entered) == 1:
        return entered[0]
    merged = entered[0].merge(*entered[1:])
    # What holds for all; what each said of itself is under "merged".
    for key in ("process", "instance", "threads", "folded_threads"):
        merged.metadata.pop(key, None)
    spans = [(one.start_ns, one.start_ns + one.duration_ns) for one in merged.processes]
    if spans:  # none are known of results that were made by hand
        merged.metadata["start_ns"] = min(start for start, _ in spans)
        merged.metadata["duration_ns"] = max(end for _, end in spans) - min(spans)[0]
    merged.metadata["warnings"] = [
        sentence
        for part in entered
        for sentence in part.metadata.get("warnings") or ()
        if isinstance(sentence, str)
    ]
    return merged


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
        copy = _copy(part)
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


def _copy(results: ProfilerResults) -> ProfilerResults:
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


def _renumber(figures: Any, places: dict[int, int]) -> None:
    tracks: dict[int, ProfileTrack] = {}
    for idx, track in figures.tracks.items():
        tracks[places.get(idx, idx)] = track
        track.track_idx = places.get(idx, idx)
        for block in track.blocks:
            block.track_idx = track.track_idx
    figures.tracks = tracks
    for node, _ in figures.tree.walk():
        node.track_idx = places.get(node.track_idx, node.track_idx)


# Reduced


def selected(
    results: ProfilerResults, tracks: list[str], blocks: list[str], threads: list[str]
) -> ProfilerResults:
    """Return the part of results that was asked for. Shares stay those of the whole.

    :param results: the results.
    :param tracks: numbers, or names with wildcards; all tracks when empty.
    :param blocks: names with wildcards; all blocks when empty.
    :param threads: keys, or names with wildcards; all threads when empty.
    """
    if threads:
        results = _of_threads(results, threads)
    if not tracks and not blocks:
        return results
    return _reduced(results, _Wanted(results, tracks, blocks).takes)


def without_idle(results: ProfilerResults) -> ProfilerResults:
    """Return results without the blocks that were never entered, and the tracks of such only.

    :param results: the results.
    """
    entered = {node.identity for node, _ in results.tree.walk()}
    tracks = results.tracks.values()
    if all(t.blocks and all(b.identity in entered for b in t.blocks) for t in tracks):
        return results
    return _reduced(results, lambda one: one.was_entered or one.identity in entered)


def _reduced(
    results: ProfilerResults, takes: Callable[[ProfileBlock | CallNode], bool]
) -> ProfilerResults:
    """Return results with some of their blocks, numbered anew."""
    whole = _copy(results)
    places: dict[tuple[int, int], int] = {}
    for figures in (whole, *whole.threads):
        for track in figures.tracks.values():
            track.blocks = [block for block in track.blocks if takes(block)]
            if figures is whole:
                for place, block in enumerate(track.blocks):
                    places[track.track_idx, block.block_idx] = place
            for block in track.blocks:
                block.block_idx = places.get((track.track_idx, block.block_idx), block.block_idx)
        figures.tracks = {idx: track for idx, track in figures.tracks.items() if track.blocks}
        figures.tree = _pruned(figures.tree, takes)
        for node, _ in figures.tree.walk():
            node.block_idx = places.get((node.track_idx, node.block_idx), node.block_idx)
    return whole


def _pruned(root: CallNode, takes: Callable[[CallNode], bool]) -> CallNode:
    """Return a tree in which what is left out has its children in its place."""
    pruned = CallNode.root()
    path = [pruned]  # what each depth hangs below
    children: dict[int, dict[Any, CallNode]] = {}
    for node, depth in root.walk():
        if depth:
            del path[depth:]
            below = path[-1]
            if takes(node):
                below = _added(below, node, children.setdefault(id(below), {}))
            path.append(below)
    return pruned


def _added(parent: CallNode, node: CallNode, known: dict[Any, CallNode]) -> CallNode:
    """Return the child of a node that another is part of, made at first sight."""
    child = known.get(node.identity)
    if child is None:
        child = known[node.identity] = CallNode(
            node.name, node.track_idx, node.block_idx, node.file, node.line
        )
        parent.children.append(child)
    child.add(node)
    return child


def _of_threads(results: ProfilerResults, patterns: list[str]) -> ProfilerResults:
    fits = _fitting(patterns)
    shares = [one for one in results.threads if fits(str(one.key)) or fits(one.name)]
    if not shares:
        there = ", ".join(f"{one.key} ({one.name})" for one in results.threads) or "none"
        raise CommandError(f"no thread is called {' or '.join(patterns)}; there are {there}")
    parts = [
        ProfilerResults(
            results.profiler_name,
            share.tracks,
            share.total_time_ns,
            share.tree,
            [share],
            results.metadata,
            [share.process] if share.process is not None else None,
        )
        for share in shares
    ]
    if len(parts) == 1:
        return parts[0]
    whole = parts[0].merge(*parts[1:])
    whole.metadata = results.metadata
    return whole


class _Wanted:
    """Which tracks and blocks were asked for.

    :param results: what they are chosen from.
    :param tracks: as for `selected`.
    :param blocks: as for `selected`.
    :raises CommandError: when there is no such track or block.
    """

    def __init__(self, results: ProfilerResults, tracks: list[str], blocks: list[str]) -> None:
        fits_track, self._fits_block = _fitting(tracks), _fitting(blocks)
        self._tracks = {
            idx
            for idx, track in results.tracks.items()
            if fits_track(str(idx)) or fits_track(track.track_name)
        }
        if not self._tracks:
            there = ", ".join(f"{i} ({t.track_name})" for i, t in sorted(results.tracks.items()))
            raise CommandError(f"no track is called {' or '.join(tracks)}; there are {there}")
        chosen = [results.tracks[idx] for idx in self._tracks]
        names = [block.name for track in chosen for block in track.blocks]
        if names and not any(map(self._fits_block, names)):
            raise CommandError(f"no block is called {' or '.join(blocks)}{_near(blocks, names)}")

    def takes(self, one: ProfileBlock | CallNode) -> bool:
        """Return whether a block was asked for."""
        return one.track_idx in self._tracks and self._fits_block(one.name)


def _fitting(patterns: list[str]) -> Callable[[str], bool]:
    """Return what tells whether a name fits one of several patterns, or any if there are none."""
    from fnmatch import fnmatchcase

    if not patterns:
        return lambda name: True
    return lambda name: name in patterns or any(fnmatchcase(name, one) for one in patterns)


def _near(wanted: list[str], names: list[str]) -> str:
    from difflib import get_close_matches

    near = [name for one in wanted for name in get_close_matches(one, names, 2)]
    return f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
