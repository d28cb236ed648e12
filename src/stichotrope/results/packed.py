"""Results as bytes: a tenth of what they are as JSON, and read in part where a part is enough.

They are what an engine carries from its workers. The layout, all numbers little endian::

    b"stcp", version (u8)
    4 times: compressed length (u32), length (u32), that many bytes of zlib
        head     JSON: who recorded, where, when, and which columns follow
        table    the blocks' files, names, lines, and how the call tree hangs together
        figures  the columns of all threads together
        threads  JSON about each, then its own table and figures

A table is the same as long as no block is new, so whoever merges many reads it once; and may leave
the threads compressed.
"""

from __future__ import annotations

import json
import zlib
from functools import cached_property
from itertools import accumulate

from .columns import Reader, Writer
from .histogram import Histogram
from .model import (
    FORMAT_VERSION,
    CallNode,
    Figures,
    ProcessorTime,
    ProcessResults,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
)
from .plain import ResultsFormatError, parse

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, NamedTuple

    class Place(NamedTuple):
        """Where a block stands: what nodes of the call tree have in common with it."""

        track_idx: int
        block_idx: int
        file: str
        line: int
        name: str
else:
    from collections import namedtuple

    Place = namedtuple("Place", "track_idx block_idx file line name")

MAGIC = b"stcp"
PACKED_VERSION = 1
BUCKET_BITS = 16  # of a histogram's key: (number of the block << this) + bucket

_LEVEL = 1  # of compression: 6 makes it 15 % smaller, and takes five times as long
_MAX_LENGTH = 1 << 30  # of a section, in bytes
_SECTIONS = ("head", "table", "figures", "threads")
_NO_FIGURE = {"name", "file", "line", "track_idx", "block_idx"}
BLOCK_COLUMNS = tuple(name for name in ProfileBlock._read if name not in _NO_FIGURE)
NODE_COLUMNS = tuple(name for name in CallNode._read if name not in _NO_FIGURE)
CPU_FIGURES = ProcessorTime._read


# Written


def pack(results: ProfilerResults) -> bytes:
    """Return results as bytes that `unpack` reads, and `Snapshots` merges.

    :param results: the results.
    :raises TypeError: when their metadata holds what JSON cannot.
    """
    places: dict[Place, int] = {}
    shape, figures, threads = Writer(), Writer(), Writer()
    _write(results, places, shape, figures)
    heads = []
    for thread in results.threads:
        _write(thread, places, threads, threads)
        heads.append(_thread_head(thread, results.processes))
    table, rest = Writer(), Writer()
    _write_places(list(places), table)
    rest.text(_dumps(heads))
    sections = (
        _dumps(_head(results)).encode("utf-8", "surrogatepass"),
        table.done() + shape.done(),
        figures.done(),
        rest.done() + threads.done(),
    )
    return b"".join([MAGIC, bytes((PACKED_VERSION,)), *map(_compressed, sections)])


def _compressed(section: bytes) -> bytes:
    data = zlib.compress(section, _LEVEL)
    return len(data).to_bytes(4, "little") + len(section).to_bytes(4, "little") + data


def _dumps(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _head(results: ProfilerResults) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "profiler_name": results.profiler_name,
        "metadata": results.metadata,
        "processes": [
            {name: getattr(process, name) for name in process._read}
            for process in results.processes
        ],
        "block_columns": BLOCK_COLUMNS,
        "node_columns": NODE_COLUMNS,
    }


def _thread_head(thread: ThreadResults, processes: list[ProcessResults]) -> list[Any]:
    identities = [process.identity for process in processes]
    own = None if thread.process is None else thread.process.identity
    number = identities.index(own) if own is not None and own in identities else -1
    return [thread.key, thread.os_id, thread.name, thread.alive, number]


def _write_places(places: list[Place], into: Writer) -> None:
    files, names = ({place[field]: 0 for place in places} for field in (2, 4))
    for numbers in (files, names):
        numbers.update(zip(numbers, range(len(numbers)), strict=True))
    into.text(_dumps([list(files), list(names)]))
    into.numbers([place.track_idx for place in places])
    into.numbers([place.block_idx for place in places])
    into.numbers([files[place.file] for place in places])
    into.ascending([place.line for place in places])
    into.ascending([names[place.name] for place in places])


def _place_of(one: ProfileBlock | CallNode) -> Place:
    return Place(one.track_idx, one.block_idx, one.file, one.line, one.name)


def _write(figures: Figures, places: dict[Place, int], shape: Writer, into: Writer) -> None:
    tracks = list(figures.tracks.values())
    blocks = [block for track in tracks for block in track.blocks]
    # In the order of `walk`, in which a parent is the last node before that is one level higher.
    nodes: list[CallNode] = []
    parents, path = [], [-1]
    for node, depth in figures.tree.walk():
        del path[depth + 1 :]
        parents.append(path[-1])
        path.append(len(nodes))
        nodes.append(node)
    heads = [[one.track_idx, one.track_name, one.enabled, len(one.blocks)] for one in tracks]
    shape.text(_dumps(heads))
    for group in (blocks, nodes):
        shape.ascending([places.setdefault(_place_of(one), len(places)) for one in group])
    shape.ascending(parents)
    into.numbers([figures.total_time_ns, *(track.total_time_ns for track in tracks)])
    for name in BLOCK_COLUMNS:
        into.numbers([getattr(block, name) for block in blocks])
    _write_histograms(blocks, into)
    for name in NODE_COLUMNS:
        into.numbers([getattr(node, name) for node in nodes])
    into.text(_dumps([_processor_times(group) for group in (blocks, nodes)]))


def _processor_times(group: Sequence[ProfileBlock | CallNode]) -> list[Any]:
    """Return the processor times of those that have some, which are few: after their number."""
    return [
        [
            number,
            *(getattr(one.cpu, name) for name in CPU_FIGURES),
            sorted(one.cpu.histogram.counts().items()),
        ]
        for number, one in enumerate(group)
        if one.cpu is not None
    ]


def _write_histograms(blocks: list[ProfileBlock], into: Writer) -> None:
    pairs = [
        ((number << BUCKET_BITS) + bucket, count)
        for number, block in enumerate(blocks)
        for bucket, count in sorted(block.histogram.counts().items())
    ]
    into.ascending([key for key, _ in pairs])
    into.numbers([count for _, count in pairs])


# Read


class Shape:
    """Which tracks, blocks and nodes there are.

    :ivar tracks: index, name, whether it is enabled, number of blocks.
    :ivar blocks: the place of each block, by its number in the table.
    :ivar nodes: the place of each node, likewise; parents come first.
    :ivar parents: the number of each node's parent, -1 for the root's.
    """

    def __init__(self, reader: Reader) -> None:
        self.tracks: list[Any] = parse(reader.text().encode("utf-8", "surrogatepass"))
        self.blocks = reader.ascending()
        self.nodes = reader.ascending()
        self.parents = reader.ascending()
        _require(
            len(self.parents) == len(self.nodes) > 0
            and self.parents[0] == -1
            and all(0 <= parent < number for number, parent in enumerate(self.parents) if number),
            "its call tree is none",
        )
        _require(
            isinstance(self.tracks, list)
            and all(map(_is_track, self.tracks))
            and sum(track[3] for track in self.tracks) == len(self.blocks),
            "its tracks are not those of its blocks",
        )


class Table(Shape):
    """The places of all blocks, and the shape of the whole.

    :param data: the section.
    """

    def __init__(self, data: bytes) -> None:
        reader = Reader(data)
        texts = parse(reader.text().encode("utf-8", "surrogatepass"))
        columns = [reader.numbers() for _ in range(3)]
        lines, names = reader.ascending(), reader.ascending()
        tracks, numbers, files = columns
        try:
            self.places = [
                Place(track, number, texts[0][file], line, texts[1][name])
                for track, number, file, line, name in zip(
                    tracks, numbers, files, lines, names, strict=True
                )
            ]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ResultsFormatError("its table of blocks is damaged") from error
        super().__init__(reader)
        self.check(self)

    def check(self, shape: Shape) -> None:
        """Refuse a shape that names a place which is not there."""
        for group in (shape.blocks, shape.nodes):
            inside = not group or (min(group) >= 0 and max(group) < len(self.places))
            _require(inside, "it names a block that is not in its table")


class Columns:
    """Figures of blocks and of nodes, by the name of the column.

    :ivar totals: the total time, then that of each track.
    :ivar steps: from each key of the histograms of all blocks to the next; see `BUCKET_BITS`.
    :ivar counts: how many passes have each key.
    :ivar block_cpu: the processor times of blocks that have some, by the block's number.
    :ivar node_cpu: those of nodes, likewise.
    """

    def __init__(self, reader: Reader, head: Head, shape: Shape) -> None:
        self.totals = reader.numbers()
        self.blocks = {name: reader.numbers() for name in head.block_columns}
        self.steps = reader.numbers()
        self.counts = reader.numbers()
        self.nodes = {name: reader.numbers() for name in head.node_columns}
        times = parse(reader.text().encode())
        _require(isinstance(times, list) and len(times) == 2, "its processor times are none")
        self.block_cpu = _processor_times_from(times[0], len(shape.blocks))
        self.node_cpu = _processor_times_from(times[1], len(shape.nodes))
        sizes = [
            (self.totals, len(shape.tracks) + 1),
            (self.counts, len(self.steps)),
            *((column, len(shape.blocks)) for column in self.blocks.values()),
            *((column, len(shape.nodes)) for column in self.nodes.values()),
        ]
        _require(
            all(len(column) == size for column, size in sizes)
            and min(self.steps, default=0) >= 0
            and (not self.steps or sum(self.steps) >> BUCKET_BITS < len(shape.blocks)),
            "its columns do not belong together",
        )

    def keys(self) -> list[int]:
        """Return the keys of the histograms of all blocks, ascending."""
        return list(accumulate(self.steps))


def _processor_times_from(rows: object, size: int) -> dict[int, ProcessorTime]:
    found: dict[int, ProcessorTime] = {}
    _require(isinstance(rows, list), "its processor times are no list")
    for row in rows if isinstance(rows, list) else ():
        _require(
            isinstance(row, list)
            and len(row) == len(CPU_FIGURES) + 2
            and all(type(value) is int and value >= 0 for value in row[:-1])
            and row[0] < size
            and isinstance(row[-1], list)
            and all(
                isinstance(pair, list) and [type(part) for part in pair] == [int, int]
                for pair in row[-1]
            ),
            "its processor times are damaged",
        )
        figures: dict[str, int] = dict(zip(CPU_FIGURES, row[1:-1], strict=True))
        found[row[0]] = ProcessorTime(**figures, histogram=Histogram(dict(row[-1])))
    return found


class Head:
    """Who recorded, where and when.

    :param data: the section.
    """

    def __init__(self, data: bytes) -> None:
        from .document import processes_from
        from .plain import Document

        value = parse(data)
        document = Document(value, "")
        document.version = document.count("format_version")
        _require(
            document.version <= FORMAT_VERSION,
            f"written in results format {document.version}; this version reads up to "
            f"{FORMAT_VERSION}; update stichotrope",
        )
        self.profiler_name = document.text("profiler_name")
        self.metadata = document.mapping("metadata")
        self.processes = processes_from(document) or []
        self.block_columns: list[str] = value.get("block_columns", [])
        self.node_columns: list[str] = value.get("node_columns", [])
        for names in (self.block_columns, self.node_columns):
            _require(
                isinstance(names, list) and all(isinstance(name, str) for name in names),
                "its columns have no names",
            )


class Packed:
    """Packed results, of which each part is read when it is asked for.

    :param data: what `pack` returned.
    :raises ResultsFormatError: when it is something else, or of a newer version.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] != MAGIC:
            raise ResultsFormatError(f"not packed results: they begin with {MAGIC!r}")
        if len(data) < 5 or data[4] > PACKED_VERSION:
            raise ResultsFormatError(
                f"packed in version {data[4] if len(data) > 4 else '?'}; this version reads up "
                f"to {PACKED_VERSION}; update stichotrope"
            )
        self.data = data
        self._places: dict[str, tuple[int, int, int]] = {}
        at = 5
        for name in _SECTIONS:
            _require(at + 8 <= len(data), "cut short")
            size, length = (int.from_bytes(data[i : i + 4], "little") for i in (at, at + 4))
            self._places[name] = (at + 8, size, length)
            at += 8 + size
        _require(at == len(data), "cut short, or longer than it says")

    def section(self, name: str) -> bytes:
        """Return a section: head, table, figures or threads."""
        at, size, length = self._places[name]
        _require(length <= _MAX_LENGTH, f"its section {name} is too large: {length:,} bytes")
        try:
            reader = zlib.decompressobj()
            section = reader.decompress(self.data[at : at + size], length)
            _require(len(section) == length, f"its section {name} is cut short")
        except zlib.error as error:
            raise ResultsFormatError(f"its section {name} is damaged: {error}") from error
        return section

    def compressed(self, name: str) -> bytes:
        """Return a section as it stands there: the same bytes hold the same."""
        at, size, _ = self._places[name]
        return self.data[at : at + size]

    @cached_property
    def head(self) -> Head:
        """Who recorded, where and when."""
        return Head(self.section("head"))

    def table(self) -> Table:
        """Return which blocks there are, and how the call tree hangs together."""
        return Table(self.section("table"))

    def columns(self, table: Table) -> Columns:
        """Return the figures of all threads together.

        :param table: that of these results.
        """
        return Columns(Reader(self.section("figures")), self.head, table)

    def thread_count(self) -> int:
        """Return how many threads there are, without reading what they have."""
        heads = parse(self._first_text("threads"))
        _require(isinstance(heads, list), "its threads are no list")
        return len(heads)

    def _first_text(self, name: str) -> bytes:
        """Return the text that a section begins with, without the rest of it."""
        at, size, length = self._places[name]
        try:
            reader = zlib.decompressobj()
            wanted = int.from_bytes(reader.decompress(self.data[at : at + size], 4), "little")
            _require(0 < wanted <= min(length, _MAX_LENGTH), f"its section {name} is damaged")
            return reader.decompress(reader.unconsumed_tail, wanted)
        except zlib.error as error:
            raise ResultsFormatError(f"its section {name} is damaged: {error}") from error

    def threads(self, table: Table) -> Iterator[ThreadResults]:
        """Yield each thread's share.

        :param table: that of these results.
        """
        reader = Reader(self.section("threads"))
        heads = parse(reader.text().encode("utf-8", "surrogatepass"))
        _require(isinstance(heads, list), "its threads are no list")
        for head in heads:
            _require(_is_thread(head), "its threads are damaged")
            key, os_id, name, alive, process = head
            shape = Shape(reader)
            table.check(shape)
            columns = Columns(reader, self.head, shape)
            known = 0 <= process < len(self.head.processes)
            yield ThreadResults(
                *(key, os_id, name, alive),
                tracks=tracks_from(table.places, shape, columns),
                total_time_ns=columns.totals[0],
                tree=tree_from(table.places, shape, columns),
                process=self.head.processes[process] if known else None,
            )


def unpack(data: bytes) -> ProfilerResults:
    """Return the results that `pack` made bytes of.

    :param data: the bytes.
    :raises ResultsFormatError: when they hold something else, or results of a newer version.
    """
    packed = Packed(bytes(data))
    head, table = packed.head, packed.table()
    columns = packed.columns(table)
    return ProfilerResults(
        profiler_name=head.profiler_name,
        tracks=tracks_from(table.places, table, columns),
        total_time_ns=columns.totals[0],
        tree=tree_from(table.places, table, columns),
        threads=list(packed.threads(table)),
        metadata=head.metadata,
        processes=head.processes,
    )


def tracks_from(places: Sequence[Place], shape: Shape, columns: Columns) -> dict[int, ProfileTrack]:
    """Return the tracks with their blocks.

    :param places: what the shape's blocks are numbers of.
    :param shape: which tracks and blocks there are.
    :param columns: their figures.
    """
    blocks = []
    for number in shape.blocks:
        track_idx, block_idx, file, line, name = places[number]
        blocks.append(ProfileBlock(name, file, line, track_idx, block_idx))
    for name in BLOCK_COLUMNS:
        for block, value in zip(blocks, columns.blocks.get(name, ()), strict=False):
            setattr(block, name, value)
    counts: list[dict[int, int]] = [{} for _ in blocks]
    bucket = (1 << BUCKET_BITS) - 1
    for key, count in zip(columns.keys(), columns.counts, strict=True):
        counts[key >> BUCKET_BITS][key & bucket] = count
    for block, own in zip(blocks, counts, strict=True):
        block.histogram = Histogram(own)
    for number, cpu in columns.block_cpu.items():
        blocks[number].cpu = cpu
    remaining = iter(blocks)
    return {
        idx: ProfileTrack(idx, name, enabled, [next(remaining) for _ in range(size)], total)
        for (idx, name, enabled, size), total in zip(shape.tracks, columns.totals[1:], strict=True)
    }


def tree_from(places: Sequence[Place], shape: Shape, columns: Columns) -> CallNode:
    """Return the call tree.

    :param places: what the shape's nodes are numbers of.
    :param shape: how it hangs together.
    :param columns: its figures.
    """
    nodes = []
    for number in shape.nodes:
        track_idx, block_idx, file, line, name = places[number]
        nodes.append(CallNode(name, track_idx, block_idx, file, line))
    for name in NODE_COLUMNS:
        for node, value in zip(nodes, columns.nodes.get(name, ()), strict=False):
            setattr(node, name, value)
    for number, cpu in columns.node_cpu.items():
        nodes[number].cpu = cpu
    for node, parent in zip(nodes, shape.parents, strict=True):
        if parent >= 0:
            nodes[parent].children.append(node)
    return nodes[0]


def _is_track(head: object) -> bool:
    return isinstance(head, list) and list(map(type, head)) == [int, str, bool, int]


def _is_thread(head: object) -> bool:
    return isinstance(head, list) and list(map(type, head)) == [int, int, str, bool, int]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ResultsFormatError(f"packed results are damaged: {otherwise}")
