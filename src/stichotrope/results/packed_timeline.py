"""A timeline as bytes, to travel with results: a third of what its columns take.

The layout, all numbers little endian::

    b"stct", version (u8)
    2 times: compressed length (u32), length (u32), that many bytes of zlib
        head     JSON: who recorded, where, when; blocks, threads, lanes
        columns  those of the timeline
"""

from __future__ import annotations

import json
import zlib
from array import array
from functools import cached_property

from .columns import Reader, Writer
from .places import relative, roots_of
from .plain import ResultsFormatError, parse
from .timeline import COLUMNS, KINDS, Timeline, TimelineBlock, TimelineLane, TimelineThread

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MAGIC = b"stct"
VERSION = 1
MOST_SENT = 1 << 15  # passes of one profiler of one process

_LEVEL = 1
_MAX_LENGTH = 1 << 30  # bytes
_ASCENDING = "starts"
_OF_BLOCK = (("name", str), ("track_idx", int), ("track_name", str), ("file", str), ("line", int))
_OF_THREAD = (
    ("key", int), ("os_id", int), ("name", str), ("alive", bool), ("passes", int), ("lost", int)
)  # fmt: skip
_OF_LANE = (("thread", int), ("kind", str), ("number", int))


def pack_timeline(timeline: Timeline, most: int = MOST_SENT) -> bytes:
    """Return the newest passes of a timeline as bytes, with files as every machine knows them.

    :param timeline: the timeline.
    :param most: how many passes; the others are counted as lost.
    """
    sent = timeline.newest(most)
    used = sorted(set(sent.blocks))
    blocks = [sent.block_list[place] for place in used]
    places = {place: number for number, place in enumerate(used)}
    roots = roots_of({block.file for block in blocks})
    head: dict[str, Any] = {
        "profiler_name": sent.profiler_name,
        "start_ns": sent.start_ns,
        "end_ns": sent.end_ns,
        "metadata": sent.metadata,
        "blocks": _rows(blocks, _OF_BLOCK),
        "threads": _rows(sent.thread_list, _OF_THREAD),
        "lanes": _rows(sent.lane_list, _OF_LANE),
        "tags": [[tag, sent.tag_texts[tag]] for tag in set(sent.tags) & sent.tag_texts.keys()],
    }
    for row in head["blocks"]:
        row[3] = relative(row[3], roots)
    columns = {name: getattr(sent, name) for name in COLUMNS}
    columns["blocks"] = [places[block] for block in sent.blocks]
    into = Writer()
    for name, column in columns.items():
        into.ascending(column.tolist()) if name == _ASCENDING else into.numbers(column)
    said = json.dumps(head, allow_nan=False, separators=(",", ":")).encode()
    return b"".join([MAGIC, bytes((VERSION,)), _compressed(said), _compressed(into.done())])


def _compressed(section: bytes) -> bytes:
    data = zlib.compress(section, _LEVEL)
    return len(data).to_bytes(4, "little") + len(section).to_bytes(4, "little") + data


def _rows(records: Sequence[Any], fields: tuple[tuple[str, type], ...]) -> list[list[Any]]:
    return [[getattr(record, name) for name, _ in fields] for record in records]


class PackedTimeline:
    """A timeline whose columns are read when it is asked for.

    :param data: what `pack_timeline` returned.
    :raises ResultsFormatError: when it is something else, or of a newer version.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] != MAGIC or len(data) < 5:
            raise ResultsFormatError(f"not a packed timeline: they begin with {MAGIC!r}")
        if data[4] > VERSION:
            raise ResultsFormatError(
                f"a timeline packed in version {data[4]}; this version reads up to {VERSION}; "
                "update stichotrope"
            )
        self.data = data
        section, self._columns_at = _section(data, 5)
        head = parse(section)
        try:
            self._end_ns: int = _of_type(head["end_ns"], int)
            self._empty = Timeline(
                _of_type(head["profiler_name"], str),
                _of_type(head["start_ns"], int),
                (b"",) * len(COLUMNS),
                [TimelineBlock(*row) for row in _checked(head["blocks"], _OF_BLOCK)],
                [TimelineThread(*row) for row in _checked(head["threads"], _OF_THREAD)],
                [TimelineLane(*row) for row in _checked(head["lanes"], _OF_LANE)],
                dict(_checked(head["tags"], (("tag", int), ("text", str)))),
                _of_type(head["metadata"], dict),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ResultsFormatError(f"a timeline is damaged: {error}") from error

    @cached_property
    def timeline(self) -> Timeline:
        """The timeline.

        :raises ResultsFormatError: when it is damaged.
        """
        reader = Reader(_section(self.data, self._columns_at)[0])
        columns: list[Sequence[int]] = [
            reader.ascending() if name == _ASCENDING else reader.numbers() for name in COLUMNS
        ]
        try:
            found = self._empty.with_columns(
                [array(*each) for each in zip(COLUMNS.values(), columns, strict=True)]
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise ResultsFormatError(f"a timeline is damaged: {error}") from error
        _check_places(found)
        return found

    @property
    def profiler_name(self) -> str:
        """The name of the profiler."""
        return self._empty.profiler_name

    @property
    def source(self) -> tuple[str, ...]:
        """What tells a profiler of a process from all others."""
        about = self._empty.metadata
        number, _, _ = str(about.get("recording", "")).partition("-")
        place = (str(about.get(key, "")) for key in ("host", "process", "instance"))
        return (self.profiler_name, number, *place)

    @property
    def whose(self) -> str:
        """What its process is called in a sentence."""
        _, _, host, process, _ = self.source
        return f"process {process} on {host or '?'}"

    @property
    def age(self) -> tuple[Any, ...]:
        """What is larger for the newer of two timelines of one profiler."""
        total = sum(each.passes + each.lost for each in self._empty.thread_list)
        return self._empty.start_ns + self._end_ns, total, self.data

    def goes_on(self, earlier: PackedTimeline) -> bool:
        """Return whether nothing was cleared between another timeline of its profiler and it.

        :param earlier: the other one; a store's does not tell when it began.
        """
        own, other = (str(one._empty.metadata.get("recording")) for one in (self, earlier))
        return own == other or own.endswith("-0") or other.endswith("-0")


def _section(data: bytes, at: int) -> tuple[bytes, int]:
    """Return a section, and where the next one begins."""
    size, length = (int.from_bytes(data[i : i + 4], "little") for i in (at, at + 4))
    end = at + 8 + size
    if length > _MAX_LENGTH:
        raise ResultsFormatError(f"a timeline is too large: {length:,} bytes")
    try:
        section = zlib.decompressobj().decompress(data[at + 8 : end], max(length, 1))
    except zlib.error as error:
        raise ResultsFormatError(f"a timeline is damaged: {error}") from error
    if len(section) != length or end > len(data):
        raise ResultsFormatError("a timeline is cut short")
    return section, end


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {value!r}")
    return value


def _checked(rows: Any, fields: tuple[tuple[str, type], ...]) -> list[Any]:
    for row in _of_type(rows, list):
        for value, (_, kind) in zip(_of_type(row, list), fields, strict=True):
            _of_type(value, kind)
    return list(rows)


def _check_places(found: Timeline) -> None:
    """Refuse columns that differ in length, or name a block, thread or lane that is not there."""
    lanes, threads = found.lane_list, len(found.thread_list)
    fine = (
        len({len(getattr(found, name)) for name in COLUMNS}) == 1
        and max(found.blocks, default=-1) < len(found.block_list)
        and max(found.threads, default=-1) < threads
        and max(found.lanes, default=-1) < len(lanes)
        and all(0 <= lane.thread < threads for lane in lanes)
        and all(lane.kind in KINDS for lane in lanes)
        and min(found.durations, default=0) >= 0
    )
    if not fine:
        raise ResultsFormatError("a timeline's columns do not belong together")
