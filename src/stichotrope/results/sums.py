"""Packed results added up column by column, without making objects of each."""

from __future__ import annotations

from operator import add

from .buckets import buckets_for
from .merge import merged_metadata
from .model import (
    CallNode,
    Figures,
    ProcessorTime,
    ProcessResults,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
    default_track_name,
)
from .packed import BLOCK_COLUMNS, NODE_COLUMNS
from .places import known_roots, relative
from .shares import Share, together

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from .model import Identity
    from .packed import Columns, Packed, Shape, Table

    # What a block is known by on every machine: its track, its file below the root of its module,
    # its line and its name. A track that was given a name is known by it, others by their index.
    Known = tuple[int | str, str, int, str]

_NO_PASS = -1  # where there is no shortest one yet


def shares_of(parts: list[Packed]) -> Iterator[Share]:
    """Yield what each process has of each block.

    :param parts: what each has recorded.
    """
    keys = _TrackKeys()
    tables: dict[bytes, Table] = {}
    blocks: dict[object, list[Known]] = {}
    for part in parts:
        data = part.compressed("table")
        if data not in tables:
            tables[data] = part.table()
            keys.see(tables[data])
    for part in parts:
        head, table = part.head, tables[part.compressed("table")]
        same = part.compressed("table"), tuple(known_roots(head.metadata))
        if same not in blocks:
            known = _known_places(table, head.metadata, keys)
            blocks[same] = [known[number] for number in table.blocks]
        process = head.processes[0] if head.processes else ProcessResults("", 0)
        yield _share(process, blocks[same], part.columns(table))


def _share(process: ProcessResults, blocks: Sequence[Any], columns: Columns) -> Share:
    names = ("hit_count", "total_time_ns", "sum_time_ns", "max_time_ns")
    return Share(process, blocks, *(columns.blocks[name] for name in names))


class _TrackKeys:
    """What a track is known by, in all parts: its name, or its index where it was given none.

    Where one process has named a track and another has not, it is one track if the index has one
    name everywhere, and the name one index.
    """

    def __init__(self) -> None:
        self._names: dict[int, set[str]] = {}
        self._indices: dict[str, set[int]] = {}

    def see(self, shape: Shape) -> None:
        """Take note of the names of a part."""
        for idx, name, _, _ in shape.tracks:
            if name != default_track_name(idx):
                self._names.setdefault(idx, set()).add(name)
                self._indices.setdefault(name, set()).add(idx)

    def of(self, idx: int, name: str) -> int | str:
        """Return the key of a track of any part."""
        if name != default_track_name(idx):
            return name
        names = self._names.get(idx, set())
        return next(
            (only for only in names if len(names) == 1 and self._indices[only] == {idx}), idx
        )


def _known_places(table: Table, metadata: dict[str, Any], keys: _TrackKeys) -> list[Known]:
    """Return what each place of a table is known by on every machine."""
    roots = known_roots(metadata)
    names = {idx: keys.of(idx, name) for idx, name, _, _ in table.tracks}
    files = {file: relative(file, roots) for file in {place.file for place in table.places}}
    return [
        (names.get(place.track_idx, place.track_idx), files[place.file], place.line, place.name)
        for place in table.places
    ]


class _Group:
    """Figures of blocks, or of nodes, added up column by column."""

    def __init__(self, names: Sequence[str]) -> None:
        self.cpu: dict[int, ProcessorTime] = {}  # by row, of those that have some
        self._columns: dict[str, list[int]] = {name: [] for name in names}

    def __getitem__(self, name: str) -> list[int]:
        return self._columns[name]

    def grow(self, size: int) -> None:
        """Have at least so many rows."""
        for name, column in self._columns.items():
            empty = _NO_PASS if name == "min_time_ns" else 0
            column.extend([empty] * (size - len(column)))

    def put(self, name: str, rows: Sequence[int], values: Sequence[int]) -> None:
        """Add values to rows of a column."""
        _put(self._columns[name], rows, values, add)

    def take_times(self, rows: Sequence[int], times: dict[int, ProcessorTime]) -> None:
        """Add processor times."""
        for number, cpu in times.items():
            known = self.cpu.get(rows[number])
            if known is None:
                self.cpu[rows[number]] = known = ProcessorTime(0, 0, 0, 0, cpu.min_ns, cpu.max_ns)
            known.add(cpu)

    def least(self, rows: Sequence[int], values: Sequence[int], hits: Sequence[int]) -> None:
        """Keep the shortest pass of each row, of those that have any."""
        column = self._columns["min_time_ns"]
        for row, value, count in zip(rows, values, hits, strict=True):
            if count and not 0 <= column[row] <= value:
                column[row] = value

    def most(self, rows: Sequence[int], values: Sequence[int]) -> None:
        """Keep the longest pass of each row."""
        _put(self._columns["max_time_ns"], rows, values, max)


def _put(
    column: list[int],
    rows: Sequence[int],
    values: Sequence[int],
    combine: Callable[[int, int], int],
) -> None:
    if isinstance(rows, range):  # the same order: no row need be looked up
        column[: len(rows)] = map(combine, column[: len(rows)], values)
        return
    for row, value in zip(rows, values, strict=True):
        column[row] = combine(column[row], value)


def _as_range(rows: list[int]) -> Sequence[int]:
    """Return rows as a range where they are one from 0 on: most parts have the same blocks."""
    return range(len(rows)) if rows == list(range(len(rows))) else rows


class _Layout:
    """Where the rows of one part stand in the whole.

    :ivar table: the part's own.
    :ivar blocks: the row of each of its blocks.
    :ivar nodes: the row of each of its nodes.
    :ivar tracks: the key of each of its tracks.
    """

    def __init__(self, table: Table, metadata: dict[str, Any], sums: Sums) -> None:
        self.table = table
        self.tracks = [sums.keys.of(idx, name) for idx, name, _, _ in table.tracks]
        known = _known_places(table, metadata, sums.keys)
        rows: dict[int, int] = {}
        for number in table.blocks:
            if number not in rows:
                rows[number] = sums.block_row(known[number])
        self.blocks = _as_range([rows[number] for number in table.blocks])
        nodes: list[int] = []
        for number, parent in zip(table.nodes, table.parents, strict=True):
            nodes.append(sums.node_row(nodes[parent] if parent >= 0 else -1, known[number]))
        self.nodes = _as_range(nodes)
        for idx, name, enabled, _ in table.tracks:
            sums.see_track(idx, name, enabled)


class Sums:
    """The figures of many parts added up.

    :param parts: one or more, in an order that is always the same.
    """

    def __init__(self, parts: list[Packed]) -> None:
        self._parts = parts
        self._block_rows: dict[Known, int] = {}
        self._node_rows: dict[tuple[int, Known], int] = {}
        self._parents: list[int] = []
        self._tracks: dict[int | str, list[Any]] = {}  # key → least index, enabled, total
        self._layouts: dict[object, _Layout] = {}
        self._blocks, self._nodes = _Group(BLOCK_COLUMNS), _Group(NODE_COLUMNS)
        self._buckets = buckets_for(len(parts))
        self._total_ns = 0
        self.keys = _TrackKeys()
        for table in self._tables().values():
            self.keys.see(table)
        for part in parts:
            layout = self._layout(part)
            self._add(layout, part.columns(layout.table))

    def _tables(self) -> dict[bytes, Table]:
        """Return the tables that differ: processes of one program often have the same."""
        newest = {part.compressed("table"): part for part in self._parts}
        return {data: part.table() for data, part in newest.items()}

    def block_row(self, known: Known) -> int:
        """Return a block's row, made at first sight."""
        return self._block_rows.setdefault(known, len(self._block_rows))

    def node_row(self, parent: int, known: Known) -> int:
        """Return a node's row, made at first sight."""
        row = self._node_rows.setdefault((parent, known), len(self._parents))
        if row == len(self._parents):
            self._parents.append(parent)
        return row

    def see_track(self, idx: int, name: str, enabled: bool) -> None:
        """Take note of a track."""
        track = self._tracks.setdefault(self.keys.of(idx, name), [idx, False, 0])
        track[0] = min(track[0], idx)
        track[1] = track[1] or enabled

    def _layout(self, part: Packed) -> _Layout:
        key = part.compressed("table"), tuple(known_roots(part.head.metadata))
        if key not in self._layouts:
            self._layouts[key] = _Layout(part.table(), part.head.metadata, self)
            self._blocks.grow(len(self._block_rows))
            self._nodes.grow(len(self._parents))
        return self._layouts[key]

    def _add(self, layout: _Layout, columns: Columns) -> None:
        self._total_ns += columns.totals[0]
        for key, total in zip(layout.tracks, columns.totals[1:], strict=True):
            self._tracks[key][2] += total
        blocks, nodes = columns.blocks, columns.nodes
        if {"min_time_ns", "max_time_ns", "hit_count"} <= blocks.keys():
            self._blocks.least(layout.blocks, blocks["min_time_ns"], blocks["hit_count"])
            self._blocks.most(layout.blocks, blocks["max_time_ns"])
        for name in ProfileBlock._summed:
            if name in blocks:
                self._blocks.put(name, layout.blocks, blocks[name])
        for name in CallNode._summed:
            if name in nodes:
                self._nodes.put(name, layout.nodes, nodes[name])
        self._buckets.add(columns, layout.blocks)
        self._blocks.take_times(layout.blocks, columns.block_cpu)
        self._nodes.take_times(layout.nodes, columns.node_cpu)

    # What came of it

    def results(self, warnings: list[str]) -> ProfilerResults:
        """Return the sums as results."""
        indices = self._track_indices()
        places, shape = self._ordered_blocks(indices)
        numbers = {known: place.block_idx for known, place in places.items()}
        processes = self._processes()
        heads = [part.head for part in self._parts]
        found = ProfilerResults(
            profiler_name=" + ".join(sorted({head.profiler_name for head in heads})),
            tracks=shape,
            total_time_ns=self._total_ns,
            tree=self._tree(indices, numbers),
            threads=lambda: self._threads(indices, numbers, processes),
            metadata=merged_metadata(
                [head.metadata for head in heads],
                list(processes.values()),
                [*warnings, *self._warnings()],
            ),
            processes=processes.values(),
        )
        found._thread_count = lambda: sum(part.thread_count() for part in self._parts)
        found._shares = lambda: self._shares(indices, processes)
        return found

    def _shares(
        self, indices: dict[int | str, int], processes: dict[object, ProcessResults]
    ) -> list[Share]:
        """Return what each process has of each block, as the blocks are known in the whole."""
        identities = {known: (indices[known[0]], *known[1:]) for known in self._block_rows}
        of_each: dict[object, list[Share]] = {one: [] for one in processes}
        blocks: dict[int, list[Identity]] = {}
        for share in shares_of(self._parts):
            if id(share.blocks) not in blocks:
                blocks[id(share.blocks)] = [identities[known] for known in share.blocks]
            identity = share.process.identity
            if identity in processes:
                share.process = processes[identity]
                share.blocks = blocks[id(share.blocks)]
                of_each[identity].append(share)
        return [together(shares) for shares in of_each.values() if shares]

    def _track_indices(self) -> dict[int | str, int]:
        """Return the index of each track: its least anywhere, unless one before it has that."""
        taken: set[int] = set()
        found: dict[int | str, int] = {}
        # Those without a name first: they are known by their index, and keep it.
        order = sorted(self._tracks.items(), key=lambda one: (*_named(one[0]), one[1][0]))
        for key, (least, _, _) in order:
            idx = least
            while idx in taken:
                idx += 1
            taken.add(idx)
            found[key] = idx
        return found

    def _ordered_blocks(
        self, indices: dict[int | str, int]
    ) -> tuple[dict[Known, ProfileBlock], dict[int, ProfileTrack]]:
        """Return the blocks and their tracks, in an order that does not depend on the parts'."""
        histograms = self._buckets.histograms(len(self._block_rows))
        tracks = {
            indices[key]: ProfileTrack(
                indices[key], default_track_name(key) if isinstance(key, int) else key, enabled
            )
            for key, (_, enabled, _) in self._tracks.items()
        }
        for key, (_, _, total) in self._tracks.items():
            tracks[indices[key]].total_time_ns += total
        made: dict[Known, ProfileBlock] = {}
        for known in sorted(self._block_rows, key=lambda one: one[1:]):
            key, file, line, name = known
            track = tracks[indices[key]]
            row = self._block_rows[known]
            block = ProfileBlock(name, file, line, track.track_idx, len(track.blocks))
            for column in BLOCK_COLUMNS:
                setattr(block, column, self._blocks[column][row])
            block.min_time_ns = max(block.min_time_ns, 0)
            block.histogram = histograms[row]
            block.cpu = self._blocks.cpu.get(row)
            track.blocks.append(block)
            made[known] = block
        return made, dict(sorted(tracks.items()))

    def _tree(self, indices: dict[int | str, int], numbers: dict[Known, int]) -> CallNode:
        nodes = []
        for (parent, known), row in self._node_rows.items():
            node = _node(known, indices, numbers)
            for column in NODE_COLUMNS:
                setattr(node, column, self._nodes[column][row])
            node.cpu = self._nodes.cpu.get(row)
            nodes.append(node)
            if parent >= 0:
                nodes[parent].children.append(node)
        for node in nodes:
            node.children.sort(key=lambda child: child.identity)
        return nodes[0]

    def _processes(self) -> dict[object, ProcessResults]:
        found: dict[object, ProcessResults] = {}
        for process in (one for part in self._parts for one in part.head.processes):
            if process.identity in found:
                found[process.identity].add(process)
            else:
                found[process.identity] = ProcessResults(*process._values())
        return dict(sorted(found.items()))

    def _warnings(self) -> Iterator[str]:
        for part in self._parts:
            warnings = part.head.metadata.get("warnings")
            whose = [
                f"{process.worker or f'process {process.pid}'} on {process.host or '?'}: "
                for process in part.head.processes
            ]
            for warning in warnings if isinstance(warnings, list) else ():
                yield f"{whose[0] if len(whose) == 1 else ''}{warning}"

    def _threads(
        self,
        indices: dict[int | str, int],
        numbers: dict[Known, int],
        processes: dict[object, ProcessResults],
    ) -> Iterator[ThreadResults]:
        """Yield every thread of every part, its blocks as they are numbered in the whole."""
        key = 0
        for part in self._parts:
            layout = self._layout(part)
            known = _known_places(layout.table, part.head.metadata, self.keys)
            places = {
                (place.track_idx, place.file, place.line, place.name): one
                for place, one in zip(layout.table.places, known, strict=True)
            }
            for thread in part.threads(layout.table):
                key += 1
                thread.key = key
                if thread.process is not None:
                    thread.process = processes[thread.process.identity]
                _renumber(thread, places, indices, numbers, self.keys)
                yield thread


def _named(key: int | str) -> tuple[bool, str]:
    return (True, key) if isinstance(key, str) else (False, "")


def _node(known: Known, indices: dict[int | str, int], numbers: dict[Known, int]) -> CallNode:
    key, file, line, name = known
    idx = indices.get(key, key if isinstance(key, int) else -1)
    return CallNode(name, idx, numbers.get(known, -1), file, line)


def _renumber(
    figures: Figures,
    places: dict[Any, Known],
    indices: dict[int | str, int],
    numbers: dict[Known, int],
    keys: _TrackKeys,
) -> None:
    for node, _ in figures.tree.walk():
        known = places[node.identity]
        node.track_idx = indices.get(known[0], node.track_idx)
        node.block_idx, node.file = numbers.get(known, node.block_idx), known[1]
    tracks = {}
    for track in figures.tracks.values():
        key = keys.of(track.track_idx, track.track_name)
        for block in track.blocks:
            known = places[block.identity]
            block.track_idx, block.block_idx = indices[key], numbers[known]
            block.file = known[1]
        track.track_idx = indices[key]
        tracks[track.track_idx] = track
    figures.tracks = dict(sorted(tracks.items()))
