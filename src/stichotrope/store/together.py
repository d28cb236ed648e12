"""Many files of processes that are gone, read at once: added up without making objects of each."""

from __future__ import annotations

import time
from array import array
from itertools import count
from typing import Any

from .. import _core
from ..results import ProcessResults, ProfilerResults, ResultsFormatError, default_track_name
from ..results.merge import OF_ONE
from ..results.model import GATHERED
from ..snapshot.aggregate import Rate, Site
from ..snapshot.take import Origin, View
from .reader import KeptRecords, by_age, load_kept
from .said import Names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .reader import OfProcess

NEWEST = 64  # of what is said of each process, so many


class Together:
    """What one profiler recorded in several processes that are gone.

    :ivar name: the profiler's.
    :ivar paths: their files.
    :ivar timelines: how many of them hold passes one by one.
    """

    def __init__(self, name: str) -> None:
        self.paths: list[str] = []
        self.timelines = 0
        self.name = name
        self._sums = _core.Together()
        self._numbers: dict[bytes, tuple[bytes, bytes]] = {}  # by what a file says of its names
        self._tracks: list[tuple[int, str, bool]] = []
        self._places: dict[int, int] = {}  # of tracks, by index
        self._sites: list[Site] = []
        self._site_numbers: dict[tuple[int, str, int, str], int] = {}
        self._in_track: dict[int, int] = {}
        self._rate = Rate(0, 1)
        self._facts: dict[str, Any] = {}
        self._newest: list[tuple[dict[str, Any], list[str]]] = []
        self._processes: list[ProcessResults] = []

    def add(self, kept: KeptRecords, *, is_new: bool) -> None:
        """Add what a file holds.

        :param kept: the file, of a process that is gone.
        :param is_new: whether what is said of its process is kept apart.
        :raises ResultsFormatError: when it is damaged; nothing is added then.
        """
        sites, tracks = self._numbers_of(kept)
        try:
            sums = kept.add_to(self._sums, sites, tracks, has_unknown=False)
        except ResultsFormatError:
            sites += array("I", [self._unknown(kept.names)]).tobytes()
            sums = kept.add_to(self._sums, sites, tracks, has_unknown=True)
        one = kept.of_process(told=is_new)
        if one.rate.ns >= self._rate.ns:  # seen for longest, so known best
            self._rate = one.rate
        process = _process(one, sums)
        is_empty = GATHERED in one.facts and not (process.total_hits or process.total_open)
        if not (is_empty and self._processes):
            self._processes.append(process)
        self._facts = one.facts
        self.paths.append(kept.path)
        self.timelines += kept.has_timeline
        if is_new:
            whose = f"process {process.pid} on {process.host or '?'}"
            run = {**one.facts, "start_ns": one.began_ns, "duration_ns": process.duration_ns}
            self._newest.append((run, [f"{whose}: {warning}" for warning in one.warnings]))

    def results(self) -> ProfilerResults:
        """Return all of it, their threads as one."""
        start_ns = min(process.start_ns for process in self._processes)
        end_ns = max(process.start_ns + process.duration_ns for process in self._processes)
        warnings = [warning for _, warnings in self._newest for warning in warnings]
        facts = {key: value for key, value in self._facts.items() if key not in _OF_A_PROCESS}
        snapshot = self._sums.snapshot()
        whole = View(
            self.name, snapshot, self._sites, self._tracks, start_ns, end_ns - start_ns,
            origin=Origin(self._rate, {}, facts, warnings, lives=False),
        ).results()  # fmt: skip
        threads = whole.threads
        return ProfilerResults(
            whole.profiler_name,
            whole.tracks,
            whole.total_time_ns,
            whole.tree,
            threads,
            {
                **{key: value for key, value in whole.metadata.items() if key not in OF_ONE},
                "merged": [run for run, _ in self._newest],
            },
            self._processes,
        )

    # What names of a file are here

    def _numbers_of(self, kept: KeptRecords) -> tuple[bytes, bytes]:
        known = self._numbers.get(kept.said)
        if known is None:
            known = self._numbers[kept.said] = self._numbered(kept.names)
        return known

    def _numbered(self, names: Names) -> tuple[bytes, bytes]:
        tracks = [self._track(*track) for track in names.tracks]
        numbers = {track[0]: number for track, number in zip(names.tracks, tracks, strict=True)}
        sites = [self._site(numbers[site.track_idx], site) for site in names.sites]
        return array("I", sites).tobytes(), array("I", tracks).tobytes()

    def _unknown(self, names: Names) -> int:
        """Return the number of what stands for the sites that a file does not name."""
        return self._site(self._track(*names.tracks[0]), names.unknown)

    def _track(self, index: int, name: str, enabled: bool) -> int:
        """Return a track's number here: by its name, or by its index where one has no name."""
        is_named = name != default_track_name(index)
        for number, (_, other, _) in enumerate(self._tracks):
            if is_named and other == name:
                return number
        number = self._places.get(index, -1)
        if number >= 0:
            place, other, was_enabled = self._tracks[number]
            if not is_named or other == default_track_name(place):
                self._tracks[number] = (place, name if is_named else other, was_enabled)
                return number
            index = next(free for free in count() if free not in self._places)
        self._places[index] = len(self._tracks)
        self._tracks.append((index, name if is_named else default_track_name(index), enabled))
        return len(self._tracks) - 1

    def _site(self, track: int, site: Site) -> int:
        index = self._tracks[track][0]
        key = (index, site.file, site.line, site.name)
        number = self._site_numbers.setdefault(key, len(self._sites))
        if number == len(self._sites):
            block = self._in_track[index] = self._in_track.get(index, -1) + 1
            self._sites.append(Site(index, block, site.name, site.file, site.line))
        return number


def _process(one: OfProcess, sums: tuple[int, ...]) -> ProcessResults:
    passes, opened, failed, cancelled, ticks = sums
    host, instance = one.facts.get("host"), one.facts.get("instance")
    return ProcessResults(
        host=host if isinstance(host, str) else "",
        pid=one.facts["process"],
        instance=instance if isinstance(instance, str) else "",
        start_ns=one.began_ns,
        duration_ns=one.rate.time(one.lasted_ticks),
        total_hits=passes,
        total_time_ns=one.rate.time(ticks),
        total_open=opened,
        total_errors=failed,
        total_cancelled=cancelled,
    )


# What is true of one process only.
_OF_A_PROCESS = ("process", "instance", "state", "ended_ns", "open_at_end")


def read_together(
    paths: Sequence[str], deadline: float | None = None
) -> tuple[list[Together], list[OSError | ResultsFormatError]]:
    """Read files of processes that are gone; return what there is of each profiler, and errors.

    Processes that live are left out: whoever wants them reads them apart.

    :param paths: the files, the oldest first.
    :param deadline: until when, by `time.monotonic`; what comes then is left for another time.
    """
    found: dict[tuple[object, ...], Together] = {}
    errors: list[OSError | ResultsFormatError] = []
    for place, path in enumerate(paths):
        if deadline is not None and time.monotonic() > deadline:
            break
        try:
            with KeptRecords(path) as kept:
                if not kept.lives:
                    # Ticks of two clocks, or of two machines, are not added up.
                    key = (kept.name, kept.clock, repr(kept.facts.get("host")))
                    together = found.get(key) or found.setdefault(key, Together(kept.name))
                    together.add(kept, is_new=place >= len(paths) - NEWEST)
        except (OSError, ResultsFormatError) as error:
            errors.append(error)
    return [together for together in found.values() if together.paths], errors


def load_kept_files(
    paths: Iterable[str], left_out: Callable[[Exception], object], apart: int = NEWEST
) -> list[ProfilerResults]:
    """Return what files of a store hold: of the newest each by itself, of older ones together.

    :param paths: the files.
    :param left_out: called with the error of each that cannot be read.
    :param apart: of processes that are gone, so many are by themselves; all that live are.
    """
    lives, gone = by_age(paths)
    older = max(len(gone) - apart, 0)
    together, errors = read_together(gone[:older])
    found = [each.results() for each in together]
    for error in errors:
        left_out(error)
    for path in [*gone[older:], *lives]:
        try:
            found.append(load_kept(path))
        except (OSError, ResultsFormatError) as error:
            left_out(error)
    return found
