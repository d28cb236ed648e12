"""What the HTML page shows, as plain data: blocks, and the figures of all, by process and thread.

What repeats is written once: a row and a node of a tree give their block by its place. Lists of one
entry per row take a third of the room that objects would.
"""

from __future__ import annotations

from .._text.columns import FIGURES, OF_PASSES, OF_PATHS
from .._text.format import format_count, format_rate, format_time_ns, printable
from ..results import ProfilerResults, is_mostly_overhead, is_waiting_unsure
from ..statistics.skew import skews
from . import _passes, _timeline
from ._source import excerpts
from .console import (
    _EXAMPLE,
    _NOTHING,
    _blocks,
    _clock,
    _Glyphs,
    _number,
    _origin,
    _overhead,
)
from .workers import MOST_NAMED, label, sentences

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..results import CallNode, ProcessResults, ProfileBlock, ProfileTrack, ThreadResults
    from ..results.histogram import Histogram
    from ..results.timeline import Timeline
    from ..statistics.skew import Part, Skew
    from ._source import Excerpt

# What a page may hold beside the figures of everybody together, so that it opens at once whatever
# the number of threads and processes. What goes beyond is counted, and the page says so.
MAX_ROWS = 20_000
MAX_NODES = 60_000
MAX_TREE = 50_000  # nodes of one tree
MAX_SOURCE = 1 << 20  # characters
MAX_SKEWS = 1000  # blocks that several workers entered
MAX_PARTS = 200  # workers that are drawn of one block
MOST_OF_A_KIND = 8  # threads; more have one line, which opens

# What a page has beside the columns of a table, and the columns of a path.
_IN_DETAILS = {"stddev": "stddev_time_ns"}
_OF_PATHS = ("hits", *OF_PATHS, "total", "self", "mean")

_SUB_BITS = 4  # of a bucket that is drawn: 16 in each octave, as the core has them


def contents(
    results: ProfilerResults, source: bool, timelines: Sequence[Timeline] = ()
) -> dict[str, Any]:
    """Return all that the page shows, in the shape that JSON can hold.

    :param results: the results.
    :param source: whether to read the source lines around the blocks.
    :param timelines: passes one by one, of each process.
    """
    book = _Book(results)
    scopes = _Scopes(book)
    scopes.add_all(results)
    found = _excerpts(results) if source else {}
    uneven = skews(results) if len(results.processes) > 1 else []
    slow = sentences(results, _Glyphs("utf-8"), MOST_NAMED, uneven)
    return {
        "name": printable(results.profiler_name),
        "facts": _facts(results),
        "warnings": _warnings(results),
        "nothing": None if results.was_entered else _nothing(),
        "columns": book.columns,
        "processes": scopes.processes,
        "threads": scopes.threads,
        "kinds": scopes.kinds,
        "tracks": [
            {"idx": idx, "name": printable(track.track_name), "enabled": track.enabled}
            for idx, track in sorted(results.tracks.items())
        ],
        "skews": _skews(results, book, uneven),
        "slow": [printable(one) for one in slow],
        "scopes": scopes.found,
        "leftOut": scopes.left_out,
        "blocks": book.blocks(found),
        "buckets": book.buckets(),
        "files": _files(results, book, found),
        "timeline": _timeline.contents(timelines, book.places) if timelines else None,
    }


class _Book:
    """Gives blocks, files and buckets their places.

    :ivar columns: those of `_passes` that the page has: of a plain program none.
    """

    def __init__(self, results: ProfilerResults) -> None:
        self.metadata = results.metadata
        self.columns = _passes.columns([*_blocks(results), *(n for n, _ in results.tree.walk())])
        self._blocks: dict[tuple[int, str, int, str], int] = {}
        self._files: dict[str, int] = {}
        self._buckets: dict[tuple[int, int], int] = {}

    @property
    def places(self) -> dict[tuple[int, str, int, str], int]:
        """What a block is known by → its place."""
        return self._blocks

    def block(self, item: ProfileBlock | CallNode) -> int:
        """Return the place of a block."""
        return self._blocks.setdefault(item.identity, len(self._blocks))

    def file(self, file: str) -> int:
        """Return the place of a file."""
        return self._files.setdefault(file, len(self._files))

    def bucket(self, bucket: tuple[int, int]) -> int:
        """Return the place of a bucket of histograms."""
        return self._buckets.setdefault(bucket, len(self._buckets))

    def blocks(self, found: dict[str, Excerpt]) -> dict[str, list[Any]]:
        """Return who each block is, and the first and last of its source lines."""
        return {
            "excerpt": [
                found[file].ranges.get(line) if file in found else None
                for _, file, line, _ in self._blocks
            ],
            "track": [track_idx for track_idx, _, _, _ in self._blocks],
            "file": [self.file(file) for _, file, _, _ in self._blocks],
            "line": [line for _, _, line, _ in self._blocks],
            "name": [printable(name) for _, _, _, name in self._blocks],
        }

    def files(self) -> list[str]:
        """Return the names of the files; `blocks` has to be called before."""
        return list(self._files)

    def buckets(self) -> list[tuple[int, int]]:
        """Return the half-open intervals of the buckets in ns."""
        return list(self._buckets)


# What is said in words


def _facts(results: ProfilerResults) -> list[list[str]]:
    """Return the facts of the heading as pairs of what and how much, those without a name last."""
    metadata, glyphs = results.metadata, _Glyphs("utf-8")
    facts = [
        ["In blocks", format_time_ns(results.total_time_ns)],
        ["Hits", format_count(results.total_hits)],
        *([what.capitalize(), format_count(number)] for what, number in _passes.facts(results)),
        ["Threads", format_count(results.thread_count)],
    ]
    if len(results.processes) > 1:
        facts.append(["Processes", format_count(len(results.processes))])
        hosts = len({process.host for process in results.processes})
        if hosts > 1:
            facts.append(["Hosts", format_count(hosts)])
    duration = _number(metadata.get("duration_ns"))
    if duration is not None:
        facts.append(["Recorded for", format_time_ns(duration)])
    if duration:
        facts.append(["Hits a second", format_rate(results.total_hits, duration)])
    begin = _moment(metadata.get("start_ns"))
    said = [
        *([f"recorded from {begin}"] if begin else []),
        *_origin(results),
        *_clock(metadata, glyphs),
        *_overhead(results, glyphs),
    ]
    return [*facts, *(["", printable(sentence)] for sentence in said)]


def _moment(ns: object) -> str:
    """Return a time since the epoch in UTC, empty when it is not known or makes no sense."""
    from datetime import UTC, datetime

    if type(ns) is not int or ns <= 0:
        return ""
    try:
        moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):  # beyond the year 9999, or what the system knows
        return ""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _warnings(results: ProfilerResults) -> list[str]:
    warnings = results.metadata.get("warnings")
    return [printable(str(text)) for text in warnings] if isinstance(warnings, list) else []


def _nothing() -> dict[str, str]:
    return {"text": _NOTHING, "example": "\n".join(_EXAMPLE)}


# Scopes: whose figures are shown


class _Scopes:
    """The figures of everybody, and of those for whom there is room.

    :ivar found: the scopes, everybody's first.
    :ivar processes: every process, with the place of its scope, None if there was no room.
    :ivar threads: every thread, likewise, and with the place of its kind, None if it has none.
    :ivar kinds: threads of one process that differ in a number only, where they are many: with the
        places of the threads, and that of the scope of all of them.
    :ivar left_out: how many threads and processes have no scope of their own.
    """

    def __init__(self, book: _Book) -> None:
        self.found: list[dict[str, Any]] = []
        self.processes: list[dict[str, Any]] = []
        self.threads: list[dict[str, Any]] = []
        self.kinds: list[dict[str, Any]] = []
        self.left_out = 0
        self._book = book
        self._rows, self._nodes = MAX_ROWS, MAX_NODES

    def add_all(self, results: ProfilerResults) -> None:
        """Add everybody's figures, then those of each process and thread, the busiest first."""
        self._add(results, everybody=True)
        groups = _by_process(results)
        whole = {
            number: self._add_process(results, groups, number)
            for number in _busiest(results.processes)
        }
        self._add_kinds(results, groups)
        alone = len(results.threads) == 1
        own = {
            number: 0 if alone else self._add(results.threads[number])
            for number in _busiest(results.threads)
        }
        for number, process in enumerate(results.processes):
            members = groups.get(number, ())
            scope = own[members[0]] if len(members) == 1 else whole[number]
            self.processes.append(_process(process, scope))
        process_of = {member: number for number, members in groups.items() for member in members}
        kind_of = {one: place for place, kind in enumerate(self.kinds) for one in kind["threads"]}
        for number, thread in enumerate(results.threads):
            entry = _thread(thread, process_of[number], own[number])
            self.threads.append({**entry, "kind": kind_of.get(number)})

    def _add_kinds(self, results: ProfilerResults, groups: dict[int | None, list[int]]) -> None:
        """Add the figures of threads that are many of a kind, each kind's taken together."""
        for process, members in groups.items():
            for name, alike in _kinds(results.threads, members).items():
                scope = self._add(_together([results.threads[one] for one in alike]))
                kind = {"name": printable(name), "process": process, "threads": alike}
                self.kinds.append({**kind, "scope": scope})

    def _add_process(
        self, results: ProfilerResults, groups: dict[int | None, list[int]], number: int
    ) -> int | None:
        """Add the figures of one process, unless they are everybody's or one thread's."""
        members = groups.get(number, ())
        if len(results.processes) == 1:
            return 0
        if len(members) < 2:
            return None
        return self._add(_together([results.threads[member] for member in members]))

    def _add(self, share: ProfilerResults | ThreadResults, everybody: bool = False) -> int | None:
        """Add somebody's figures if there is room; return their place."""
        blocks = [
            block
            for _, track in sorted(share.tracks.items())
            for block in track.blocks
            if everybody or block.was_entered
        ]
        nodes = _nodes(share.tree)
        if not everybody:
            rows, kept = len(blocks), min(len(nodes), MAX_TREE)
            if rows > self._rows or kept > self._nodes:
                self.left_out += 1
                return None
            self._rows -= rows
            self._nodes -= kept
        self.found.append(
            {
                "total": share.total_time_ns,
                "hits": share.total_hits,
                "tracks": _tracks(share.tracks),
                "rows": _rows(blocks, self._book),
                "tree": _tree(nodes, self._book),
                "leftOut": max(len(nodes) - MAX_TREE, 0),
            }
        )
        return len(self.found) - 1


def _skews(results: ProfilerResults, book: _Book, found: list[Skew]) -> list[dict[str, Any]]:
    """Return of each block that several workers entered what the median and each of them had."""
    numbers = {id(process): number for number, process in enumerate(results.processes)}
    slow = {skew.block.identity for skew in found if next(skew.slow(), None)}
    return [
        {
            "block": book.block(skew.block),
            "usual": [skew.median_ns, skew.median_hits, _rounded(skew.median_mean_ns)],
            "workers": skew.workers,
            "slow": skew.block.identity in slow,
            "parts": [
                [numbers[id(part.process)], part.time_ns, part.hits, _rounded(part.mean_ns)]
                for part in _spread(skew.parts, MAX_PARTS)
            ],
        }
        for skew in found[:MAX_SKEWS]
    ]


def _spread(parts: Sequence[Part], most: int) -> list[Part]:
    """Return some that stand for all: the first, the last, and what lies evenly between."""
    if len(parts) <= most:
        return list(parts)
    return [parts[number * (len(parts) - 1) // (most - 1)] for number in range(most)]


def _by_process(results: ProfilerResults) -> dict[int | None, list[int]]:
    """Return the places of the threads of each process, of those of none as None."""
    numbers = {id(process): number for number, process in enumerate(results.processes)}
    groups: dict[int | None, list[int]] = {}
    for number, thread in enumerate(results.threads):
        groups.setdefault(numbers.get(id(thread.process)), []).append(number)
    return groups


def _kinds(threads: Sequence[ThreadResults], members: Iterable[int]) -> dict[str, list[int]]:
    """Return the places of threads whose names differ in numbers only, by the name without them.

    :param threads: all threads.
    :param members: the places of those that are looked at.
    """
    from re import sub

    found: dict[str, list[int]] = {}
    for member in members:
        found.setdefault(sub(r"\d+", "#", threads[member].name), []).append(member)
    return {name: alike for name, alike in found.items() if len(alike) > MOST_OF_A_KIND}


def _busiest(shares: Sequence[ProcessResults | ThreadResults]) -> list[int]:
    """Return the places of processes or threads, those with the most time first."""
    return sorted(range(len(shares)), key=lambda number: -shares[number].total_time_ns)


def _together(threads: Sequence[ThreadResults]) -> ProfilerResults:
    """Return the merged figures of several threads."""
    first, *others = (
        ProfilerResults("", thread.tracks, thread.total_time_ns, thread.tree) for thread in threads
    )
    return first.merge(*others)


def _process(process: ProcessResults, scope: int | None) -> dict[str, Any]:
    return {
        "host": printable(process.host),
        "worker": printable(label(process)) if process.worker else "",
        "pid": process.pid,
        "start": _moment(process.start_ns),
        "duration": process.duration_ns,
        "hits": process.total_hits,
        **_ended(process),
        "total": process.total_time_ns,
        "scope": scope,
    }


def _thread(thread: ThreadResults, process: int | None, scope: int | None) -> dict[str, Any]:
    return {
        "key": thread.key,
        "id": thread.os_id,
        "name": printable(thread.name),
        "alive": thread.alive,
        "process": process,
        "hits": thread.total_hits,
        **_ended(thread),
        "total": thread.total_time_ns,
        "scope": scope,
    }


def _ended(share: ProcessResults | ThreadResults) -> dict[str, int]:
    return {
        "open": share.total_open,
        "errors": share.total_errors,
        "cancelled": share.total_cancelled,
    }


def _figures(
    them: Sequence[ProfileBlock | CallNode], telling: Sequence[str], wanted: dict[str, str]
) -> dict[str, list[float]]:
    """Return a list of figures for each column, those of `OF_PASSES` where they say something."""
    shown = {key: name for key, name in wanted.items() if key in telling or key not in OF_PASSES}
    rows = [one.figures() for one in them]
    return {key: [_rounded(row[name]) for row in rows] for key, name in shown.items()}


def _unsure(them: Sequence[ProfileBlock | CallNode], book: _Book) -> dict[str, list[int]]:
    """Return of which the share that was waited is unsure, where there is a column of it."""
    if "waiting" not in book.columns:
        return {}
    return {"unsure": [int(is_waiting_unsure(one, book.metadata)) for one in them]}


def _rounded(figure: float) -> float:
    return round(figure, 3) if isinstance(figure, float) else figure


def _tracks(tracks: dict[int, ProfileTrack]) -> list[list[int]]:
    """Return index, hits and time of each track."""
    return [[idx, track.total_hits, track.total_time_ns] for idx, track in sorted(tracks.items())]


def _rows(blocks: Sequence[ProfileBlock], book: _Book) -> dict[str, list[Any]]:
    return {
        "block": [book.block(block) for block in blocks],
        **_figures(blocks, book.columns, {**FIGURES, **_IN_DETAILS}),
        **_unsure(blocks, book),
        **_work(blocks, book.columns),
        "overhead": [int(is_mostly_overhead(block, book.metadata)) for block in blocks],
        "histogram": [_histogram(block.histogram, book) for block in blocks],
    }


def _work(blocks: Sequence[ProfileBlock], telling: Sequence[str]) -> dict[str, list[int]]:
    """Return how much went through each block in all, where a column of rates says something."""
    return {
        name: [getattr(block, name) for block in blocks]
        for key, name in (("bytes", "byte_count"), ("items", "item_count"))
        if key in telling
    }


def _histogram(histogram: Histogram, book: _Book) -> list[int]:
    """Return places of buckets, each followed by how many passes fell into it."""
    counts: dict[tuple[int, int], int] = {}
    for lower, _, count in histogram:
        shift = max(lower.bit_length() - _SUB_BITS - 1, 0)
        begin = lower >> shift << shift
        bucket = begin, begin + (1 << shift)
        counts[bucket] = counts.get(bucket, 0) + count
    return [number for bucket, count in counts.items() for number in (book.bucket(bucket), count)]


def _nodes(tree: CallNode) -> list[tuple[CallNode, int]]:
    """Return the nodes below the root, parents first, each with its parent's place, -1 for none."""
    nodes: list[tuple[CallNode, int]] = []
    path: list[int] = []
    for node, depth in tree.walk():
        if depth:
            del path[depth - 1 :]
            nodes.append((node, path[-1] if path else -1))
            path.append(len(nodes) - 1)
    return nodes


def _tree(nodes: Sequence[tuple[CallNode, int]], book: _Book) -> dict[str, list[Any]]:
    """Return the heaviest nodes as columns, each with the place of its parent."""
    kept = _heaviest(nodes)
    place = {number: new for new, number in enumerate(kept)}
    chosen = [nodes[number][0] for number in kept]
    return {
        "parent": [place.get(nodes[number][1], -1) for number in kept],
        "block": [book.block(node) for node in chosen],
        **_figures(chosen, book.columns, {key: FIGURES[key] for key in _OF_PATHS}),
        **_unsure(chosen, book),
    }


def _heaviest(nodes: Sequence[tuple[CallNode, int]]) -> Iterable[int]:
    """Return the places of the nodes that are kept, in order; a node's parent is kept with it."""
    if len(nodes) <= MAX_TREE:
        return range(len(nodes))
    weights = [max(node.self_time_ns, 0) for node, _ in nodes]
    for number in range(len(nodes) - 1, -1, -1):
        parent = nodes[number][1]
        if parent >= 0:
            weights[parent] += weights[number]
    # No parent is lighter than its child, and where they are equal it comes first.
    order = sorted(range(len(nodes)), key=lambda number: -weights[number])
    return sorted(order[:MAX_TREE])


# Source


def _excerpts(results: ProfilerResults) -> dict[str, Excerpt]:
    """Return the source lines around the blocks, by file; the longest-running blocks' first."""
    blocks = [block for track in results.tracks.values() for block in track.blocks]
    blocks.sort(key=lambda block: -block.total_time_ns)
    return excerpts(((block.file, block.line) for block in blocks), MAX_SOURCE)


def _files(
    results: ProfilerResults, book: _Book, found: dict[str, Excerpt]
) -> list[dict[str, Any]]:
    """Return every file's name, with the lines that are shown, and whether they may have moved."""
    end = _end_ns(results.metadata)
    files: list[dict[str, Any]] = []
    for file in book.files():
        entry: dict[str, Any] = {"name": printable(file)}
        if file in found:
            lines = sorted(found[file].lines.items())
            entry["lines"] = {str(number): printable(text) for number, text in lines}
            entry["changed"] = end > 0 and found[file].modified_ns > end
        files.append(entry)
    return files


def _end_ns(metadata: dict[str, Any]) -> int:
    """Return when recording had ended, in ns since the epoch; 0 when it is not known."""
    start, duration = metadata.get("start_ns"), metadata.get("duration_ns")
    return start + duration if type(start) is int and type(duration) is int else 0
