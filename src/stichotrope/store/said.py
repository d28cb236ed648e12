"""The log of a store's file: what was said once of its process, its tracks and its call sites."""

from __future__ import annotations

import json
import struct
from typing import Any

from ..results import default_track_name
from ..snapshot.aggregate import Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ABOUT, _TRACK, _SITE = 1, 2, 3
_LARGE = 0xFFFFFFFF  # an index that stands before the name, for want of room
_UNKNOWN = "(unknown block)"
# Numbers are given in order. What could not be said, for want of room, leaves a gap; a file that is
# damaged may have any, and is not to take memory for it.
_WIDEST_GAP = 4096


class Names:
    """What a file says of its tracks and call sites.

    :ivar tracks: (index, name, whether it is enabled) of every track, in order; one at least.
    :ivar sites: every call site, in order.
    :ivar unknown: what stands for a site that nothing is said of.
    """

    __slots__ = ("_in_track", "sites", "tracks", "unknown")

    def __init__(self, log: bytes) -> None:
        tracks: dict[int, tuple[int, str, bool]] = {}
        sites: dict[int, tuple[int, int, str, str]] = {}
        for kind, data in _records(log):
            if kind == _TRACK and len(data) >= 12:
                enabled, number, index = struct.unpack_from("=3I", data)
                if number < len(tracks) + _WIDEST_GAP:
                    tracks[number] = (*_index_and_name(index, data[12:]), bool(enabled))
            elif kind == _SITE and len(data) >= 16:
                number, track, line, length = struct.unpack_from("=4I", data)
                if number < len(sites) + _WIDEST_GAP:
                    name, file = data[16 : 16 + length], data[16 + length :]
                    sites[number] = (track, line, _text(name), _text(file))
        taken = {track[0] for track in tracks.values()}
        spare = iter(n for n in range(1 << 21) if n not in taken)
        count = 1 + max(tracks, default=0)
        self.tracks = [tracks.get(n) or _nameless(next(spare)) for n in range(count)]
        self._in_track: dict[int, int] = {}
        self.sites = [
            self._site(sites.get(number, (0, 0, _UNKNOWN, "")))
            for number in range(1 + max(sites, default=-1))
        ]
        self.unknown = self._site((0, 0, _UNKNOWN, ""))

    def _site(self, said: tuple[int, int, str, str]) -> Site:
        track, line, name, file = said
        index = self.tracks[track if track < len(self.tracks) else 0][0]
        block = self._in_track[index] = self._in_track.get(index, -1) + 1
        return Site(index, block, name, file, line)


def read_log(log: bytes) -> tuple[dict[str, Any], bytes]:
    """Return what a log says of the process, and the rest of it, for `Names`.

    :param log: as `_core.KeptFile.log` gives it.
    """
    for kind, data in _records(log):
        if kind == _ABOUT:
            return _object(data), log[_whole(8 + len(data)) :]
        break
    return {}, log


def _records(log: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 8 <= len(log):
        kind, length = struct.unpack_from("=2I", log, place)
        if place + 8 + length > len(log):
            return
        yield kind, log[place + 8 : place + 8 + length]
        place += _whole(8 + length)


def _whole(size: int) -> int:
    return (size + 7) // 8 * 8


def _index_and_name(index: int, name: bytes) -> tuple[int, str]:
    if index == _LARGE:
        digits, _, name = name.partition(b"\0")
        index = int(digits) if digits.isdigit() and len(digits) < 4000 else index
    return index, _text(name)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _nameless(index: int) -> tuple[int, str, bool]:
    return index, default_track_name(index), True
