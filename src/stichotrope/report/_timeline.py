"""What the HTML page shows of a timeline: its columns as bytes, and what they name."""

from __future__ import annotations

import sys
from array import array

from .._text.format import printable

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..results.timeline import Timeline

# The newest; what goes beyond is counted, and the page says so.
MAX_PASSES = 250_000
_LONGEST_TAG = 200  # characters


def contents(timeline: Timeline, places: dict[tuple[int, str, int, str], int]) -> dict[str, Any]:
    """Return what the page shows of a timeline, in the shape that JSON can hold.

    Columns are base64 of little-endian numbers: starts and durations of 64-bit floats, in ns,
    starts since the first one; outcomes of bytes; others of 32-bit unsigned integers.

    :param timeline: the timeline.
    :param places: what a block is known by → its place in the page.
    """
    first = max(len(timeline) - MAX_PASSES, 0)
    starts = timeline.starts[first:]
    begin = starts[0] if starts else 0
    return {
        "startNs": timeline.start_ns + begin,
        "leftOut": first,
        "starts": _column("d", (start - begin for start in starts)),
        "durations": _column("d", timeline.durations[first:]),
        "blocks": _column("I", timeline.blocks[first:]),
        "lanes": _column("I", timeline.lanes[first:]),
        "depths": _column("I", timeline.depths[first:]),
        "outcomes": _column("B", timeline.outcomes[first:]),
        "tags": _tags(timeline, first),
        "blockList": [
            {
                "name": printable(block.name),
                "track": block.track_idx,
                "trackName": printable(block.track_name),
                "file": printable(block.file),
                "line": block.line,
                "block": places.get((block.track_idx, block.file, block.line, block.name)),
            }
            for block in timeline.block_list
        ],
        "laneList": [
            {"thread": lane.thread, "kind": lane.kind, "number": lane.number}
            for lane in timeline.lane_list
        ],
        "threadList": [
            {"name": printable(thread.name), "key": thread.key, "lost": thread.lost}
            for thread in timeline.thread_list
        ],
    }


def _column(kind: str, values: Iterable[float]) -> str:
    from base64 import b64encode

    column = array(kind, values)
    if sys.byteorder == "big":
        column.byteswap()
    return b64encode(column.tobytes()).decode("ascii")


def _tags(timeline: Timeline, first: int) -> list[tuple[int, str]]:
    """Return the place of each pass that is tagged, with its tag."""
    return [
        (place - first, printable(str(timeline.tag_of(place)))[:_LONGEST_TAG])
        for place in range(first, len(timeline))
        if timeline.tags[place]
    ]
