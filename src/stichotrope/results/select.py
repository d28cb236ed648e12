"""The part of results that was asked for: some tracks, blocks or threads."""

from __future__ import annotations

from .merge import copied
from .model import CallNode, ProfilerResults
from .newest import SELECTED

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .model import ProfileBlock


def selected(
    results: ProfilerResults, tracks: list[str], blocks: list[str], threads: list[str]
) -> ProfilerResults:
    """Return the part of results that was asked for. Shares stay those of the whole.

    :param results: the results.
    :param tracks: numbers, or names with wildcards; all tracks when empty.
    :param blocks: names with wildcards; all blocks when empty.
    :param threads: keys, or names with wildcards; all threads when empty.
    :raises ValueError: when there is no such track, block or thread.
    """
    if threads:
        results = _of_threads(results, threads)
    if not tracks and not blocks:
        return results
    found = _reduced(results, _Wanted(results, tracks, blocks).takes)
    before = results.metadata.get(SELECTED)
    found.metadata[SELECTED] = [tracks, blocks] if before is None else [before, tracks, blocks]
    return found


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
    whole = copied(results)
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
    keys = [one.key for one in shares]
    if not shares:
        there = ", ".join(f"{one.key} ({one.name})" for one in results.threads) or "none"
        raise ValueError(f"no thread is called {' or '.join(patterns)}; there are {there}")
    parts = [
        ProfilerResults(
            results.profiler_name,
            share.tracks,
            share.total_time_ns,
            share.tree,
            [share],
            {**results.metadata, SELECTED: share.key},
            [share.process] if share.process is not None else None,
        )
        for share in shares
    ]
    whole = parts[0].merge(*parts[1:]) if len(parts) > 1 else parts[0]
    whole.metadata = {**results.metadata, SELECTED: keys}
    return whole


class _Wanted:
    """Which tracks and blocks were asked for.

    :param results: what they are chosen from.
    :param tracks: as for `selected`.
    :param blocks: as for `selected`.
    :raises ValueError: when there is no such track or block.
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
            raise ValueError(f"no track is called {' or '.join(tracks)}; there are {there}")
        chosen = [results.tracks[idx] for idx in self._tracks]
        names = [block.name for track in chosen for block in track.blocks]
        if names and not any(map(self._fits_block, names)):
            raise ValueError(f"no block is called {' or '.join(blocks)}{_near(blocks, names)}")

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
