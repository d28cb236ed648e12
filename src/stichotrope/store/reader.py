"""Files of stores, read: live, and after their process has ended or was killed."""

from __future__ import annotations

import json
import os
import stat
import struct
from typing import Any

from .. import _core
from .._text.files import files_in
from .._text.format import format_time_ns
from ..results import ProfilerResults, ResultsFormatError, default_track_name
from ..snapshot.aggregate import Rate, Site
from ..snapshot.inflight import OpenBlock, open_blocks
from ..snapshot.take import Origin, View
from .file import SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ABOUT, _TRACK, _SITE = 1, 2, 3  # what the log says
_LARGE = 0xFFFFFFFF  # an index that stands before the name, for want of room
_UNKNOWN = "(unknown block)"
_MOST_NAMED = 8  # of what was open when a process was killed
_ATTEMPTS = 20


class KeptRecords:
    """What one file of a store holds. It stays open until `close`.

    :param path: the file.
    :raises OSError: when it cannot be opened.
    :raises ResultsFormatError: when it is no store's file, of another version, or damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise ResultsFormatError(f"{path}: it is no regular file")
            self.lives = _is_locked(self._descriptor)
            self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Let go of the file."""
        del self._kept
        os.close(self._descriptor)

    def __enter__(self) -> KeptRecords:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        size = os.fstat(self._descriptor).st_size
        try:
            self._kept = _core.KeptFile(self._descriptor, size, self.lives)
            self._understand(self._kept.said())
        except ValueError as error:
            raise ResultsFormatError(f"{self.path}: {error}") from None

    def _understand(self, said: Iterable[tuple[int, bytes]]) -> None:
        self.about: dict[str, Any] = {}
        tracks: dict[int, tuple[int, str, bool]] = {}
        sites: dict[int, tuple[int, int, str, str]] = {}
        for kind, data in said:
            if kind == _ABOUT:
                self.about = _object(data)
            elif kind == _TRACK and len(data) >= 12:
                enabled, number, index = struct.unpack_from("=3I", data)
                name = data[12:]
                if index == _LARGE:
                    digits, _, name = name.partition(b"\0")
                    index = int(digits) if digits.isdigit() else index
                tracks[number] = (index, _text(name), bool(enabled))
            elif kind == _SITE and len(data) >= 16:
                site, track, line, length = struct.unpack_from("=4I", data)
                sites[site] = (
                    track,
                    line,
                    _text(data[16 : 16 + length]),
                    _text(data[16 + length :]),
                )
        # Numbers are given in order: what is missing in between was not said for want of room.
        count = 1 + max((n for n in tracks if n < 1 << 20), default=-1)
        taken = {track[0] for track in tracks.values()}
        spare = iter(n for n in range(1 << 21) if n not in taken)
        self.tracks = [tracks.get(n) or _nameless(next(spare)) for n in range(count)]
        if sites and not self.tracks:
            self.tracks.append(_nameless(0))
        self._sites: list[Site] = []
        self._in_track: dict[int, int] = {}
        for number in range(1 + max((n for n in sites if n < 1 << 24), default=-1)):
            self._add_site(sites.get(number, (0, 0, _UNKNOWN, "")))

    def _add_site(self, said: tuple[int, int, str, str]) -> None:
        track, line, name, file = said
        index = self.tracks[track if track < len(self.tracks) else 0][0]
        block = self._in_track[index] = self._in_track.get(index, -1) + 1
        self._sites.append(Site(index, block, name, file, line))

    def _know(self, sites: Iterable[int]) -> None:
        """See to it that all sites are known that records speak of, and that there is a track."""
        if not self.tracks:
            self.tracks.append(_nameless(0))
        missing = max(sites, default=-1) + 1 - len(self._sites)
        if missing > 1 << 20:
            raise ResultsFormatError(
                f"{self.path}: it is damaged: it speaks of {missing:,} unknown blocks"
            )
        for _ in range(missing):
            self._add_site((0, 0, _UNKNOWN, ""))

    @property
    def name(self) -> str:
        """The profiler's name."""
        name = self.about.get("profiler_name")
        return name if isinstance(name, str) and name else os.path.basename(self.path)

    @property
    def command(self) -> list[str]:
        """How the process was started."""
        command = self.about.get("command")
        return [str(part) for part in command] if isinstance(command, list) else []

    def still_lives(self) -> bool:
        """Return whether the process that writes the file goes on."""
        return self.lives and _is_locked(self._descriptor)

    @property
    def process(self) -> int:
        """The process's number."""
        return int(self._kept.head_facts()["process"])

    def _rate(self, facts: dict[str, Any]) -> Rate:
        """Return how long a tick is: by the longer of the two stretches over which it was seen."""
        if facts["clock"] != "counter":
            return Rate(1, 1)
        ticks = facts["beat_ticks"] - facts["origin_ticks"]
        ns = facts["beat_ns"] - facts["origin_ns"]
        told = self.about.get("rate")
        if isinstance(told, list) and len(told) == 2 and all(type(n) is int for n in told):
            ns, ticks = max((ns, ticks), (told[0], told[1]))
        return Rate(ns, ticks) if 0 < ns < 1 << 63 and 0 < ticks < 1 << 63 else Rate(1, 1)

    def _snapshot(self) -> _core.Snapshot:
        """Return what is recorded, when the file does not change its chunks meanwhile."""
        for _ in range(_ATTEMPTS):
            if not self._kept.is_current():
                self._read()
            snapshot = self._kept.snapshot()
            if self._kept.is_current():
                break
        if self.lives:
            self._understand(self._kept.said())
        return snapshot

    def view(self) -> View:
        """Return what is recorded until now, or was until the process ended."""
        snapshot = self._snapshot()
        facts = self._kept.head_facts()
        rate = self._rate(facts)
        nodes = snapshot.merged()[0]
        self._know(node[1] for node in nodes)
        if self.lives and facts["clock"] != "manual":
            lasted = _core.ticks_of(facts["clock"]) - facts["began_ticks"]
        else:
            # What was recorded since it last said that it lives counts, too.
            ends = [snapshot.scopes(n)[2] for n, _ in enumerate(snapshot.threads())]
            lasted = max(facts["over_ticks"] - facts["began_ticks"], *ends, 0)
        duration = rate.time(lasted)
        opened = self.open_blocks(rate)
        return View(
            self.name, snapshot, self._sites, self.tracks, facts["began_ns"], duration,
            origin=self._origin(facts, rate, opened),
        )  # fmt: skip

    def _origin(self, facts: dict[str, Any], rate: Rate, opened: list[OpenBlock]) -> Origin:
        told = self.about.get("facts")
        about = dict(told) if isinstance(told, dict) else {}
        about["process"] = facts["process"]
        state = "running" if self.lives else "ended" if facts["has_ended"] else "killed"
        about["state"] = state
        if state == "killed":
            about["ended_ns"] = facts["beat_real_ns"]
            about["open_at_end"] = [_plain(block) for block in opened]
        return Origin(rate, {}, about, list(self._warnings(facts, state, opened)), self.lives)

    def _warnings(
        self, facts: dict[str, Any], state: str, opened: list[OpenBlock]
    ) -> Iterable[str]:
        if state == "killed":
            process = facts["process"]
            yield f"process {process} was killed, or left without ending{_open_then(opened)}"
        if facts["error"]:
            yield (
                "what was recorded after the store had no room any more is missing: "
                f"{os.strerror(facts['error'])}"
            )
        if self._kept.damaged:
            yield f"{self._kept.damaged:,} parts of {self.path} are damaged, and left out"

    def open_blocks(self, rate: Rate | None = None) -> list[OpenBlock]:
        """Return what is open now, or was when the process ended, outermost first.

        :param rate: how long a tick is; by default what the file says.
        """
        running = self._kept.open_passes()
        self._know(each[0] for each in running)
        names = {index: name for index, name, _ in self.tracks}
        rate = rate or self._rate(self._kept.head_facts())
        return open_blocks(running, (), self._sites, names, rate, {})

    def results(self) -> ProfilerResults:
        """Return what is recorded until now, or was until the process ended."""
        return self.view().results()


def _is_locked(descriptor: int) -> bool:
    """Whether the process that has a file lives: it holds a lock, which ends with it."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


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


def _plain(block: OpenBlock) -> dict[str, Any]:
    return {
        "track": block.track_name,
        "name": block.name,
        "file": block.file,
        "line": block.line,
        "open_ns": block.open_ns,
        "depth": block.depth,
        "suspended": block.suspended,
        "thread": block.thread_name,
    }


def _open_then(opened: list[OpenBlock]) -> str:
    """Return what was open, the innermost of each thread, as the rest of a sentence."""
    innermost: dict[int, OpenBlock] = {}
    for block in opened:
        if not block.suspended:
            innermost[block.thread_key] = block
    said = [
        f"{block.track_name} / {block.name} for {format_time_ns(block.open_ns)} "
        f"on {block.thread_name}"
        for block in list(innermost.values())[:_MOST_NAMED]
    ]
    hidden = len(innermost) - len(said)
    more = f", and on {hidden} more threads" if hidden > 0 else ""
    return f"; open then: {', '.join(said)}{more}" if said else "; nothing was open then"


def paths_in(directory: str) -> list[str]:
    """Return the paths of a store's files.

    :raises OSError: when the directory cannot be read.
    """
    return files_in(directory, SUFFIX)


def load_kept(path: str) -> ProfilerResults:
    """Return what one file of a store holds.

    :param path: the file.
    :raises OSError: when it cannot be opened.
    :raises ResultsFormatError: when it is no store's file, of another version, or damaged.
    """
    with KeptRecords(path) as kept:
        return kept.results()
