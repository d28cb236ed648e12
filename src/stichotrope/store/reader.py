"""Files of stores, read: live, and after their process has ended or was killed."""

from __future__ import annotations

import os
import stat
from typing import Any

from .. import _core
from .._text.files import files_in
from .._text.format import format_time_ns
from ..results import ProfilerResults, ResultsFormatError
from ..results.timeline import ORIGIN, origin_of
from ..snapshot.aggregate import Rate
from ..snapshot.inflight import OpenBlock, open_blocks
from ..snapshot.take import Origin, View
from .file import SUFFIX
from .said import Names, read_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..results.timeline import Timeline

_MOST_NAMED = 8  # of what was open when a process was killed
_ATTEMPTS = 20
_NEW_SITES = 1 << 16  # that may be told of while a file is read


class OfProcess:
    """What a file says of a process that is gone.

    :ivar facts: what results say of it.
    :ivar rate: how long a tick was.
    :ivar began_ns: when recording began, in ns since the epoch.
    :ivar lasted_ticks: for how long it went on.
    :ivar warnings: what results warn of.
    """

    __slots__ = ("began_ns", "facts", "lasted_ticks", "rate", "warnings")

    def __init__(
        self,
        facts: dict[str, Any],
        rate: Rate,
        began_ns: int,
        lasted_ticks: int,
        warnings: list[str],
    ) -> None:
        self.facts = facts
        self.rate = rate
        self.began_ns = began_ns
        self.lasted_ticks = lasted_ticks
        self.warnings = warnings


class KeptRecords:
    """What one file of a store holds. It stays open until `close`.

    :param path: the file.
    :raises OSError: when it cannot be opened.
    :raises ResultsFormatError: when it is no store's file, of another version, or damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.said = b""  # of its names
        self._names: Names | None = None
        self._places: dict[int, int] = {}  # those of the first look stay: see `Rate`
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise ResultsFormatError(f"{path}: it is no regular file")
            self.lives = is_locked(self._descriptor)
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
            self._understand()
        except ValueError as error:
            raise ResultsFormatError(f"{self.path}: {error}") from None

    def _understand(self) -> None:
        self.about, said = read_log(self._kept.log())
        if said != self.said:
            self.said, self._names = said, None

    @property
    def names(self) -> Names:
        """What it says of tracks and call sites."""
        if self._names is None:
            self._names = Names(self.said)
        return self._names

    @property
    def number(self) -> int:
        """The profiler's, in its process."""
        number = self.about.get("number")
        return number if type(number) is int else 0

    @property
    def clock(self) -> str:
        """Which clock its times are of."""
        return self._kept.clock

    @property
    def facts(self) -> dict[str, Any]:
        """What results say of the process."""
        told = self.about.get("facts")
        return dict(told) if isinstance(told, dict) else {}

    @property
    def has_timeline(self) -> bool:
        """Whether it holds passes one by one."""
        return self._kept.has_timeline()

    def add_to(
        self, sums: _core.Together, sites: bytes, tracks: bytes, *, has_unknown: bool
    ) -> tuple[int, ...]:
        """Add what a process has recorded that is gone; return what it comes to.

        :param sums: what it is added to.
        :param sites: what numbers its sites have there.
        :param tracks: what numbers its tracks have there.
        :param has_unknown: whether the last of the sites is for those that it does not name.
        :raises ResultsFormatError: when it speaks of others.
        """
        try:
            return sums.add(self._kept, sites, tracks, has_unknown)
        except ValueError as error:
            raise ResultsFormatError(f"{self.path}: it is damaged: {error}") from None

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
        return self.lives and is_locked(self._descriptor)

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
        if 0 < ns < 1 << 63 and 0 < ticks < 1 << 63:
            return Rate(ns, ticks, self._places)
        return Rate(1, 1)

    def _snapshot(self, summed: bool) -> tuple[_core.Snapshot, int | None]:
        """Return what is recorded, when the file does not change its chunks meanwhile.

        :param summed: whether to have all threads as one, and how many they are.
        """
        snapshot: tuple[_core.Snapshot, int | None]
        for _ in range(_ATTEMPTS):
            if not self._kept.is_current():
                self._read()
            if summed:
                snapshot = self._kept.summed(len(self.names.sites) + _NEW_SITES)
            else:
                snapshot = self._kept.snapshot(), None
            if self._kept.is_current():
                break
        if self.lives:
            self._understand()
        return snapshot

    def view(self, *, summed: bool = False) -> View:
        """Return what is recorded until now, or was until the process ended.

        :param summed: whether to have all threads as one, which takes less time, of a process that
            lives.
        """
        snapshot, threads = self._snapshot(summed and self.lives and self.clock != "manual")
        facts = self._kept.head_facts()
        rate = self._rate(facts)
        sites = self.names.sites
        if snapshot.confine(len(sites)):
            sites = [*sites, self.names.unknown]
        if self.lives and facts["clock"] != "manual":
            lasted = _core.ticks_of(facts["clock"]) - facts["began_ticks"]
        else:
            # What was recorded since it last said that it lives counts, too.
            ends = [snapshot.scopes(n)[2] for n, _ in enumerate(snapshot.threads())]
            lasted = max(facts["over_ticks"] - facts["began_ticks"], *ends, 0)
        duration = rate.time(lasted)
        # Of one that lives, results do not say it.
        opened = [] if self.lives else self.open_blocks(rate)
        return View(
            self.name, snapshot, sites, self.names.tracks, facts["began_ns"], duration,
            number=self.number, origin=self._origin(facts, rate, opened), threads=threads,
        )  # fmt: skip

    def of_process(self, *, told: bool) -> OfProcess:
        """Return what is said of a process that is gone.

        :param told: whether to say what was open when it died, and what results warn of.
        """
        facts = self._kept.head_facts()
        rate = self._rate(facts)
        origin = self._origin(facts, rate, self.open_blocks(rate)) if told else None
        about = {**self.facts, "process": facts["process"]} if origin is None else origin.facts
        lasted = max(facts["over_ticks"] - facts["began_ticks"], 0)
        warnings = [] if origin is None else origin.warnings
        return OfProcess(about, rate, facts["began_ns"], lasted, warnings)

    def _origin(self, facts: dict[str, Any], rate: Rate, opened: list[OpenBlock]) -> Origin:
        about = self._facts(facts)
        state = about["state"]
        if state == "killed":
            about["open_at_end"] = [_plain(block) for block in opened]
        return Origin(rate, {}, about, list(self._warnings(facts, state, opened)), self.lives)

    def _facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        about = {**self.facts, "process": facts["process"]}
        about["state"] = "running" if self.lives else "ended" if facts["has_ended"] else "killed"
        if about["state"] == "killed":
            about["ended_ns"] = facts["beat_real_ns"]
        return about

    def _warnings(
        self, facts: dict[str, Any], state: str, opened: list[OpenBlock]
    ) -> Iterable[str]:
        if state == "killed":
            process = facts["process"]
            yield f"process {process} was killed, or left without ending{_open_then(opened)}"
        if facts["error"]:
            yield (
                "what was recorded after the store had no room any more is missing: "
                f"{_reason(facts['error'])}"
            )
        if self._kept.damaged:
            yield f"{self._kept.damaged:,} parts of {self.path} are damaged, and left out"

    def open_blocks(self, rate: Rate | None = None) -> list[OpenBlock]:
        """Return what is open now, or was when the process ended, outermost first.

        :param rate: how long a tick is; by default what the file says.
        """
        running = self._kept.open_passes()
        sites = [*self.names.sites, self.names.unknown]
        known = [(min(each[0], len(sites) - 1), *each[1:]) for each in running]
        names = {index: name for index, name, _ in self.names.tracks}
        rate = rate or self._rate(self._kept.head_facts())
        return open_blocks(known, (), sites, names, rate, {})

    def results(self) -> ProfilerResults:
        """Return what is recorded until now, or was until the process ended."""
        return self.view().results()

    def _start(self, facts: dict[str, Any], rate: Rate) -> tuple[int, dict[str, Any]]:
        """Return when recording began, in ns since the epoch, and what is known of that moment."""
        told = self.about.get("origin")
        if not isinstance(told, list) or facts["clock"] == "manual":
            return facts["began_ns"], {}
        if [type(part) for part in told] != [int, int, int, str]:
            return facts["began_ns"], {}
        wall_ns, monotonic_ns, apart_ns, machine = told
        ticks = facts["began_ticks"] - facts["origin_ticks"]
        began_ns = facts["origin_ns"] + (rate.time(ticks) if ticks >= 0 else -rate.time(-ticks))
        start_ns = wall_ns + began_ns - monotonic_ns
        return start_ns, {ORIGIN: origin_of(began_ns, apart_ns, machine)}

    def timeline(self) -> Timeline:
        """Return the newest passes one by one, until now, or until the process ended.

        It is empty where the profiler keeps no timeline.
        """
        from ..snapshot.passes import timeline_of

        for _ in range(_ATTEMPTS):
            if not self._kept.is_current():
                self._read()
            raw = self._kept.passed()
            if self._kept.is_current():
                break
        facts = self._kept.head_facts()
        if self.lives:
            self._understand()
        rate = self._rate(facts)
        start_ns, origin = self._start(facts, rate)
        about = {**self._facts(facts), **origin, "command": self.command}
        made = timeline_of(
            self.name,
            raw,
            [*self.names.sites, self.names.unknown],
            {index: name for index, name, _ in self.names.tracks},
            start_ns,
            (0 if facts["clock"] == "manual" else facts["began_ticks"], 0),
            rate,
            {**about, "recording": f"{self.number}-0"},  # not when it began, by its own clock
            {} if self.lives else None,
            self._kept.texts(),
        )
        made.confine_blocks()
        return made


def is_locked(descriptor: int) -> bool:
    """Return whether the process that has a file lives: it holds a lock, which ends with it.

    :param descriptor: of the open file.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


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


def _reason(number: int) -> str:
    """Return what the system calls an error; a number that is none of its own stays one."""
    return os.strerror(number) if number < 1 << 16 else f"error {number}"


def _open_then(opened: list[OpenBlock]) -> str:
    """Return what was open, the innermost of each thread, as the rest of a sentence."""
    innermost: dict[int, OpenBlock] = {}
    for block in opened:
        if not block.suspended:
            innermost[block.thread_key] = block
    said = [
        f"{block.track_name} / {block.name} {_open_for(block)} on {block.thread_name}"
        for block in list(innermost.values())[:_MOST_NAMED]
    ]
    hidden = len(innermost) - len(said)
    more = f", and on {hidden} more threads" if hidden > 0 else ""
    return f"; open then: {', '.join(said)}{more}" if said else "; nothing was open then"


def _open_for(block: OpenBlock) -> str:
    """Return for how long a pass had been open, as far as that was written down."""
    return f"for {format_time_ns(block.open_ns)}" if block.open_ns else "(just entered)"


def paths_in(directory: str) -> list[str]:
    """Return the paths of a store's files.

    :raises OSError: when the directory cannot be read.
    """
    return files_in(directory, SUFFIX)


def by_age(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the files of processes that live, or may; and of others, the oldest first.

    :param paths: the files; what cannot be opened is taken for one of the first.
    """
    lives: list[str] = []
    gone: list[tuple[int, str]] = []
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            lives.append(path)
            continue
        try:
            if is_locked(descriptor):
                lives.append(path)
            else:
                gone.append((os.fstat(descriptor).st_mtime_ns, path))
        except OSError:
            lives.append(path)
        finally:
            os.close(descriptor)
    return lives, [path for _, path in sorted(gone)]


def load_kept(path: str) -> ProfilerResults:
    """Return what one file of a store holds.

    :param path: the file.
    :raises OSError: when it cannot be opened.
    :raises ResultsFormatError: when it is no store's file, of another version, or damaged.
    """
    with KeptRecords(path) as kept:
        return kept.results()
