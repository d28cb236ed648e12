"""What the HTML page shows of timelines: their columns as bytes, and what they name."""

from __future__ import annotations

import sys
from array import array

from .._text.format import printable
from ..results.beside import aligned, labels, said_of_clocks

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..results.timeline import Timeline, TimelineBlock

    Places = dict[tuple[int, str, int, str], int]

# The newest; what goes beyond is counted, and the page says so.
MAX_PASSES = 250_000
_LONGEST_TAG = 200  # characters
_COLUMNS = {"durations": "d", "blocks": "I", "lanes": "I", "depths": "I", "outcomes": "B"}


def contents(timelines: Sequence[Timeline], places: Places) -> dict[str, Any]:
    """Return what the page shows of timelines, in the shape that JSON can hold.

    Columns are base64 of little-endian numbers: starts and durations of 64-bit floats, in ns,
    starts since the first one; outcomes of bytes; others of 32-bit unsigned integers.

    :param timelines: the timelines, of each process one or more.
    :param places: what a block is known by → its place in the page.
    """
    beside = aligned(timelines)
    threads = _before(len(one.thread_list) for one in beside)
    blocks = _Blocks(places)
    return {
        **_passes(beside, blocks),
        "clocks": said_of_clocks(beside),
        "blockList": blocks.told,
        "laneList": [
            {"thread": first + lane.thread, "kind": lane.kind, "number": lane.number}
            for one, first in zip(beside, threads, strict=True)
            for lane in one.lane_list
        ],
        "threadList": [
            {"name": printable(thread.name), "key": thread.key, "lost": thread.lost, "process": n}
            for n, one in enumerate(beside)
            for thread in one.thread_list
        ],
        "processList": [printable(label) for label in labels(beside)],
    }


def _passes(beside: Sequence[Timeline], blocks: _Blocks) -> dict[str, Any]:
    """Return the newest passes of all, in the order in which they began."""
    lanes = _before(len(one.lane_list) for one in beside)
    parts = [_Part(one, first, blocks) for one, first in zip(beside, lanes, strict=True)]
    begin = min((part.moments[0] for part in parts if part.moments), default=0)
    starts = [moment - begin for part in parts for moment in part.moments]
    # It leaves those of one timeline that began together as they were.
    order = sorted(range(len(starts)), key=starts.__getitem__)
    shown = order[max(len(order) - MAX_PASSES, 0) :]
    since = starts[shown[0]] if shown else 0
    found: dict[str, Any] = {
        "startNs": begin + since,
        "leftOut": sum(map(len, beside)) - len(shown),
        "starts": _column("d", (starts[i] - since for i in shown)),
    }
    for name, kind in _COLUMNS.items():
        whole = [value for part in parts for value in part.column(name)]
        found[name] = _column(kind, (whole[i] for i in shown))
    tags = [tag for part in parts for tag in part.tags()]
    found["tags"] = [(place, tags[i]) for place, i in enumerate(shown) if tags[i] is not None]
    return found


class _Part:
    """As many of the newest passes of one timeline as the page may have of all.

    :param timeline: the timeline.
    :param lanes: how many lanes the page has before its own.
    :param blocks: those of the page.
    :ivar moments: when they began, in ns since the epoch.
    """

    def __init__(self, timeline: Timeline, lanes: int, blocks: _Blocks) -> None:
        self.timeline = timeline
        self._first = max(len(timeline) - MAX_PASSES, 0)
        self._places = {
            "blocks": [blocks.place(block) for block in timeline.block_list],
            "lanes": range(lanes, lanes + len(timeline.lane_list)),
        }
        self.moments = [timeline.start_ns + start for start in self.column("starts")]

    def column(self, name: str) -> Sequence[int]:
        """Return a column of them, of blocks and lanes their places in the page."""
        whole: Sequence[int] = getattr(self.timeline, name)[self._first :]
        places = self._places.get(name)
        return whole if places is None else [places[value] for value in whole]

    def tags(self) -> list[str | None]:
        """Return what each is tagged with, as a text, or None."""
        return [self._tag(tag) if tag else None for tag in self.column("tags")]

    def _tag(self, tag: int) -> str:
        return printable(str(self.timeline.tag_text(tag)))[:_LONGEST_TAG]


def _before(sizes: Iterable[int]) -> list[int]:
    """Return how much there is before each of some lists."""
    total, found = 0, []
    for size in sizes:
        found.append(total)
        total += size
    return found


def _column(kind: str, values: Iterable[float]) -> str:
    from base64 import b64encode

    column = array(kind, values)
    if sys.byteorder == "big":
        column.byteswap()
    return b64encode(column.tobytes()).decode("ascii")


class _Blocks:
    """The blocks of all timelines, each once, and their places among those of the results.

    A process knows its files by their whole paths; in results of several they are cut to what is
    the same on every machine, and a track may have another index.

    :param places: what a block of the results is known by → its place in the page.
    :ivar told: what the page says of each.
    """

    def __init__(self, places: Places) -> None:
        self.told: list[dict[str, Any]] = []
        self._numbers: dict[tuple[str, str, int, str], int] = {}
        self._places = places
        self._like: dict[tuple[int, str], list[tuple[str, int, int]]] = {}
        for (track, file, line, name), place in places.items():
            self._like.setdefault((line, name), []).append((file, place, track))

    def place(self, block: TimelineBlock) -> int:
        """Return a block's place among those that are told."""
        key = (block.track_name, block.file, block.line, block.name)
        if key not in self._numbers:
            self._numbers[key] = len(self.told)
            self.told.append(self._tell(block))
        return self._numbers[key]

    def _tell(self, block: TimelineBlock) -> dict[str, Any]:
        place, track = self._known(block)
        return {
            "name": printable(block.name),
            "track": track,
            "trackName": printable(block.track_name),
            "file": printable(block.file),
            "line": block.line,
            "block": place,
        }

    def _known(self, block: TimelineBlock) -> tuple[int | None, int]:
        """Return a block's place, if it has one, and the index of its track."""
        exact = self._places.get((block.track_idx, block.file, block.line, block.name))
        if exact is not None:
            return exact, block.track_idx
        like = [
            (place, track)
            for file, place, track in self._like.get((block.line, block.name), ())
            if _is_same(file, block.file)
        ]
        return like[0] if len(like) == 1 else (None, block.track_idx)


def _is_same(one: str, other: str) -> bool:
    """Return whether two paths are of one file, of which one of them may say the end only."""
    one, other = one.replace("\\", "/"), other.replace("\\", "/")
    return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")
