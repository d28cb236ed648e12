"""The newest snapshot of each of many processes, merged without making objects of each.

A process that sends its results again and again sends them whole: of the same recording, the newer
one holds all that the older does. So taking two of these collections together is a union in which
the newest wins, whatever the order and however often something arrives; figures are added up when
they are asked for. What was recorded in different stretches of a recording, as in several runs of
one worker, stands side by side.
"""

from __future__ import annotations

from .difference import difference
from .newest import lie_within, overlaps, stretches_of
from .packed import PACKED_VERSION, Packed, pack, unpack
from .packed_timeline import MAGIC as OF_TIMELINES
from .packed_timeline import PackedTimeline, pack_timeline
from .plain import ResultsFormatError
from .sums import Sums, shares_of

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .model import ProfilerResults
    from .packed import Head
    from .shares import Share
    from .timeline import Timeline

    # What a recording is known by: the profiler, and the identity of each process.
    Recording = tuple[Any, ...]

# A collection: this, the version (u8), how many results there are (u32) and how many parts in all
# (u32), then the length (u32) and bytes of each: results, then sentences. In version 2, timelines
# come first, and count as results; only those have it that hold some.
_BUNDLE = b"stcb"
_WITH_TIMELINES = 2


class Snapshots:
    """A collection of packed results, the newest of each recording.

    A recording is what one profiler recorded in one process since it was made or cleared; results
    hold a stretch of it, from its beginning on unless they are a difference.

    Beside results, it holds timelines: of each profiler of a process the newest.

    :param parts: packed results, as `ProfilerResults.to_bytes` gives them, or collections of them.
    :raises ResultsFormatError: when one is neither, or of a newer version.
    """

    def __init__(self, parts: Iterable[bytes] = ()) -> None:
        self._newest: dict[Recording, list[Packed]] = {}  # none of one holds another
        self._timelines: dict[tuple[str, ...], PackedTimeline] = {}
        self._sentences: dict[str, None] = {}
        for part in parts:
            self.add(part)

    def __len__(self) -> int:
        return sum(map(len, self._newest.values()))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the packed results of each recording, in an order that is always the same."""
        for _, packed in self._in_order():
            yield packed.data

    def _in_order(self) -> list[tuple[Recording, Packed]]:
        return [
            (recording, one)
            for recording, parts in sorted(self._newest.items())
            for one in sorted(parts, key=lambda one: (_span_of(one), one.data))
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Snapshots):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def __repr__(self) -> str:
        return f"<Snapshots of {len(self)} recordings>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshots.from_bytes, (self.to_bytes(),)

    @property
    def warnings(self) -> list[str]:
        """Sentences about what could not be taken in, in order of the alphabet."""
        return sorted(self._sentences)

    def warn(self, sentence: str) -> None:
        """Have results say in their metadata what is missing.

        :param sentence: what, and why.
        """
        self._sentences[sentence] = None

    def add(self, part: bytes) -> None:
        """Take in packed results, or a collection, unless newer ones are here already.

        :param part: what `ProfilerResults.to_bytes` or `to_bytes` returned, here or elsewhere.
        :raises ResultsFormatError: when it is neither, or of a newer version.
        """
        part = bytes(part)
        if part[:4] == _BUNDLE:
            self._add_bundle(part)
            return
        if part[:4] == OF_TIMELINES:
            self._take_timeline(PackedTimeline(part))
            return
        packed = Packed(part)
        self._take(_recording_of(packed), packed)

    def _take(self, recording: Recording, packed: Packed) -> None:
        known = self._newest.setdefault(recording, [])
        if not any(_holds(one, packed) for one in known):
            known[:] = [one for one in known if not _holds(packed, one)]
            known.append(packed)

    def add_timeline(self, timeline: Timeline) -> None:
        """Take in the newest passes of a timeline, unless newer ones are here already.

        :param timeline: the timeline.
        """
        self._take_timeline(PackedTimeline(pack_timeline(timeline)))

    def _take_timeline(self, one: PackedTimeline) -> None:
        known = self._timelines.get(one.source)
        if known is None or known.age < one.age:
            self._timelines[one.source] = one

    def _take_after(self, one: PackedTimeline, earlier: PackedTimeline) -> None:
        """Take in the passes of a timeline that an earlier one of its profiler does not have."""
        try:
            self.add_timeline(one.timeline.after(earlier.timeline))
        except ResultsFormatError as error:
            self.warn(f"the timeline of {one.whose} was left out: {error}")

    def _take_timelines(self, other: Snapshots) -> None:
        for one in other._timelines.values():
            self._take_timeline(one)

    def add_or_name(self, part: bytes, sender: str) -> None:
        """Take in what somebody sent; what cannot be read is named in the warnings instead.

        :param part: as for `add`.
        :param sender: who.
        """
        try:
            self.add(part)
        except ResultsFormatError as error:
            self.warn(f"{sender} was left out: {error}")

    def update(self, other: Snapshots) -> None:
        """Take in another collection.

        :param other: the collection; it stays as it is.
        """
        self._sentences.update(other._sentences)
        self._take_timelines(other)
        for recording, parts in other._newest.items():
            for packed in parts:
                self._take(recording, packed)

    def add_left(self, left: Snapshots) -> None:
        """Take in what processes have left that are gone: it is the last word of each.

        :param left: results from their stores, which do not tell when a recording began.
        """
        self._sentences.update(left._sentences)
        self._take_timelines(left)
        for _, packed in left._in_order():
            results = unpack(packed.data)
            known = self._newest_like(packed)
            if known is not None:
                had = sum(process.total_hits for process in known.processes)
                if had == results.total_hits and not results.total_open:
                    continue  # it had sent everything
                results.metadata["recording"] = known.metadata["recording"]
                for process, own in zip(results.processes, known.processes, strict=True):
                    # It ends with the process; it begins a little later than what it goes on.
                    end_ns = process.start_ns + process.duration_ns
                    process.start_ns = own.start_ns
                    process.duration_ns = max(end_ns - own.start_ns, own.duration_ns + 1)
                    results.metadata["start_ns"] = process.start_ns
                    results.metadata["duration_ns"] = process.duration_ns
            self.add(results.to_bytes())

    def _newest_like(self, left: Packed) -> Head | None:
        """Return the head of the newest recording of the same profiler in the same process."""
        wanted = _profiler_of(left.head)
        same = [one.head for _, one in self._in_order() if _profiler_of(one.head) == wanted]
        return max(same, key=lambda head: head.processes[0].start_ns, default=None)

    # As bytes

    def to_bytes(self) -> bytes:
        """Return the collection as bytes that `from_bytes` and `add` read."""
        timelines = [one.data for _, one in sorted(self._timelines.items())]
        parts = [*timelines, *self, *(sentence.encode() for sentence in self.warnings)]
        version = _WITH_TIMELINES if timelines else PACKED_VERSION
        counts = len(timelines) + len(self), len(parts)
        numbers = [count.to_bytes(4, "little") for count in counts]
        framed = [len(part).to_bytes(4, "little") + part for part in parts]
        return b"".join([_BUNDLE, bytes((version,)), *numbers, *framed])

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshots:
        """Return the collection that `to_bytes` made bytes of.

        :param data: the bytes.
        :raises ResultsFormatError: when they hold something else, or one of a newer version.
        """
        if data[:4] != _BUNDLE:
            raise ResultsFormatError(f"not a collection of results: they begin with {_BUNDLE!r}")
        return cls([data])

    def _add_bundle(self, data: bytes) -> None:
        if data[4:5] not in (bytes((PACKED_VERSION,)), bytes((_WITH_TIMELINES,))):
            raise ResultsFormatError(
                f"a collection of version {data[4:5].hex() or '?'}; this version reads "
                f"{PACKED_VERSION} and {_WITH_TIMELINES}; update stichotrope"
            )
        results, total = (int.from_bytes(data[at : at + 4], "little") for at in (5, 9))
        at = 13
        for number in range(total):
            size = int.from_bytes(data[at : at + 4], "little")
            part = data[at + 4 : at + 4 + size]
            if len(data) < at + 4 or len(part) < size:
                raise ResultsFormatError("a collection of results is cut short")
            at += 4 + size
            if number < results:
                self.add(part)
            else:
                self.warn(part.decode("utf-8", "replace"))

    # As results

    @property
    def names(self) -> list[str]:
        """The names of the profilers, in order of the alphabet."""
        return sorted({packed.head.profiler_name for _, packed in self._in_order()})

    def results(self, name: str | None = None) -> ProfilerResults:
        """Return what is here as results, processes by host and number.

        A block is the same on every machine where track, file, line and name are; the file is
        relative to the root of its module. Blocks stand in the order of their files and lines,
        tracks that have names are the same where these are. The threads are read when they are
        asked for.

        :param name: the name of a profiler; by default all are taken together.
        :raises ValueError: when there are none, or none of that name.
        """
        chosen = self._chosen(name)
        sentences = overlaps(stretches_of(packed.head.metadata) for packed in chosen)
        return Sums(chosen).results([*self.warnings, *sentences])

    def shares(self, name: str | None = None) -> list[Share]:
        """Return what each process has of each block, for whoever compares them.

        :param name: as for `results`.
        :raises ValueError: likewise.
        """
        return list(shares_of(self._chosen(name)))

    def timelines(self, name: str | None = None) -> list[Timeline]:
        """Return the timelines, by host and worker, on one clock as far as their machines have one.

        One that is damaged is left out, and named in the warnings.

        :param name: the name of a profiler; by default those of all.
        """
        from .beside import aligned

        found = []
        for _, one in sorted(self._timelines.items()):
            if name not in (None, one.profiler_name):
                continue
            try:
                found.append(one.timeline)
            except ResultsFormatError as error:
                self.warn(f"the timeline of {one.whose} was left out: {error}")
        return aligned(one for one in found if len(one))

    def since(self, earlier: Snapshots) -> Snapshots:
        """Return what was recorded after another collection was taken.

        :param earlier: snapshots of some of the same recordings; those that are not here add
            nothing.
        """
        later = Snapshots()
        later._sentences.update(self._sentences)
        for source, one in self._timelines.items():
            known = earlier._timelines.get(source)
            if known is None or not one.goes_on(known):
                later._take_timeline(one)
            elif known.data != one.data:
                later._take_after(one, known)
        for recording, packed in self._in_order():
            before = earlier._beginning(recording, packed)
            if before is None:
                later._take(recording, packed)
                continue
            if before.data == packed.data:
                continue
            change = difference(unpack(packed.data), unpack(before.data), threads=True)
            if change.was_entered:
                later._take(recording, Packed(pack(change)))
        return later

    def _beginning(self, recording: Recording, later: Packed) -> Packed | None:
        """Return the snapshot that a later one goes on, if it is here."""
        begin, _ = _span_of(later)
        known = self._newest.get(recording, ())
        return next((one for one in known if _span_of(one)[0] == begin), None)

    def _chosen(self, name: str | None) -> list[Packed]:
        chosen = [
            packed for _, packed in self._in_order() if name in (None, packed.head.profiler_name)
        ]
        if not chosen:
            wanted = "" if name is None else f" of {name!r}"
            there = ", ".join(map(repr, self.names)) or "nothing at all"
            reasons = "".join(f"; {sentence}" for sentence in self.warnings)
            raise ValueError(f"there are no results{wanted}, but of {there}{reasons}")
        return chosen


def _recording_of(packed: Packed) -> Recording:
    """Return what tells a recording from all others."""
    head = packed.head
    if not head.processes:  # made by hand, maybe: the same only as itself
        return (head.profiler_name, "", packed.data)
    identities = sorted(process.identity for process in head.processes)
    return (head.profiler_name, str(head.metadata.get("recording", "")), *identities)


def _profiler_of(head: Head) -> tuple[Any, ...]:
    """Return what tells a profiler of a process from all others."""
    number, _, _ = str(head.metadata.get("recording", "")).partition("-")
    return (head.profiler_name, number, *(process.identity for process in head.processes))


def _span_of(packed: Packed) -> tuple[int, int]:
    """Return from when to when it was recorded, in ns since the epoch."""
    processes = packed.head.processes
    begin = min((process.start_ns for process in processes), default=0)
    return begin, max((one.start_ns + one.duration_ns for one in processes), default=0)


def _holds(one: Packed, other: Packed) -> bool:
    """Return whether results hold all that others of the same recording do."""
    stretches, others = (stretches_of(each.head.metadata) for each in (one, other))
    if not stretches or not others:  # of processes that are known by when they began
        return _age(other) <= _age(one)
    if not lie_within(others, stretches):
        return False
    return not lie_within(stretches, others) or _age(other) <= _age(one)


def _age(packed: Packed) -> tuple[Any, ...]:
    """Return what is larger for the newer of two snapshots of one recording."""
    processes = packed.head.processes
    lasted = sum(process.duration_ns for process in processes)
    return lasted, sum(process.total_hits for process in processes), packed.data
