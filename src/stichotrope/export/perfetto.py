"""The Perfetto export: a trace of single passes, for https://ui.perfetto.dev and its kin.

The format is https://perfetto.dev/docs/reference/trace-packet-proto. Each lane of a timeline is a
sequence of packets of its own: its first one says how its clock counts, what it is drawn on, and
what the numbers of names stand for; each pass is two small ones, which say their time as the
nanoseconds since the one before.
"""

from __future__ import annotations

from array import array

from .. import _core
from .._text.format import printable
from .._text.protobuf import integer, sized
from ..results.beside import aligned, labels, process_numbers, said_of_clocks
from ..results.timeline import CANCELLED, FAILED, THREAD

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..results.timeline import Timeline

# Fields of Trace and TracePacket.
_PACKET = 1
_CLOCK_SNAPSHOT, _TIMESTAMP, _SEQUENCE, _TRACK_EVENT, _INTERNED, _FLAGS = 6, 8, 10, 11, 12, 13
_DEFAULTS, _DESCRIPTOR = 59, 60
_CLOCK_OF_PACKET = 58
# Of TrackEvent, and of what it names by number.
_CATEGORY, _ANNOTATION, _TYPE, _NAME, _TRACK = 3, 4, 9, 10, 11
_BEGIN, _END = 1, 2
_CATEGORIES, _NAMES, _ANNOTATION_NAMES = 1, 2, 3

_CLEARED, _NEEDED = 1, 2  # of what was said before in a sequence
_BOOT_TIME, _REAL_TIME, _SINCE_LAST = 6, 1, 64  # clocks: builtin ones, and a sequence's own

_OUTCOMES = {FAILED: "error", CANCELLED: "cancelled"}
_TAG, _OUTCOME = 1, 2  # what annotations are called, by number


def render(timelines: Iterable[Timeline]) -> bytes:
    """Return timelines as a trace, each as a process, on one clock as far as there is one.

    :param timelines: the timelines.
    """
    parts: list[bytes] = []
    sequences = 0
    beside = aligned(timelines)
    said = said_of_clocks(beside)
    whose = zip(beside, process_numbers(beside), labels(beside), strict=True)
    for number, (timeline, pid, label) in enumerate(whose, 1):
        parts += _Process(timeline, number, sequences, (pid, label, said)).packets()
        sequences += len(timeline.lane_list)
    return b"".join(parts)


class _Process:
    """One timeline on its way into a trace.

    :param timeline: the timeline.
    :param number: its own, from 1 on.
    :param sequences: how many lanes have been written before.
    :param whose: the number and the name of its process, and what is said of its clock.
    """

    def __init__(
        self, timeline: Timeline, number: int, sequences: int, whose: tuple[int, str, str]
    ) -> None:
        self._timeline = timeline
        self._process = number << 48
        self._sequences = sequences
        self._pid, self._label, self._said = whose
        names = {block.track_name for block in timeline.block_list}
        self._categories = {name: i for i, name in enumerate(sorted(names), 1)}
        self._begins: list[bytes] = []
        self._used: set[tuple[int, int]] = set()

    def packets(self) -> Iterable[bytes]:
        """Return all packets, encoded."""
        timeline = self._timeline
        if not len(timeline):
            return [self._described_process()]
        which = self._bodies()
        # In time from the epoch on, so that processes of one machine lie as they were.
        origins = array("q", [timeline.starts[0]] * len(timeline.lane_list))
        blocks: list[set[int]] = [set() for _ in timeline.lane_list]
        for lane, block in set(zip(timeline.lanes, timeline.blocks, strict=True)):
            blocks[lane].add(block)
        slices = _core.slices(
            timeline.starts.tobytes(),
            timeline.durations.tobytes(),
            timeline.lanes.tobytes(),
            which.tobytes(),
            origins.tobytes(),
            [self._prefix(lane) for lane in range(len(timeline.lane_list))],
            self._begins,
            sized(_TRACK_EVENT, integer(_TYPE, _END)),
        )
        lanes = [lane for lane, used in enumerate(blocks) if used]
        threads = {timeline.lane_list[lane].thread for lane in lanes}
        return [
            self._described_process(),
            *map(self._described_thread, sorted(threads)),
            *map(self._described_lane, lanes),
            *(self._first(lane, blocks[lane]) for lane in lanes),
            slices,
        ]

    def _bodies(self) -> array[int]:
        """Return, of each pass, the number of what it begins with in `_begins`."""
        timeline = self._timeline
        keys = zip(timeline.blocks, timeline.outcomes, timeline.tags, strict=True)
        known: dict[tuple[int, int, int], int] = {}
        places = array("I", [known.setdefault(key, len(known)) for key in keys])
        self._begins = [self._begin(*key) for key in known]
        return places

    def _begin(self, block: int, outcome: int, tag: int) -> bytes:
        category = self._categories[self._timeline.block_list[block].track_name]
        event = integer(_TYPE, _BEGIN) + integer(_CATEGORY, category) + integer(_NAME, block + 1)
        if tag:
            said = self._timeline.tag_text(tag)
            value = integer(4, said) if isinstance(said, int) else _text(6, str(said))
            event += sized(_ANNOTATION, integer(1, _TAG) + value)
        if outcome in _OUTCOMES:
            event += sized(_ANNOTATION, integer(1, _OUTCOME) + _text(6, _OUTCOMES[outcome]))
        return sized(_TRACK_EVENT, event)

    def _sequence(self, lane: int) -> bytes:
        return integer(_SEQUENCE, self._sequences + lane + 1)

    def _prefix(self, lane: int) -> bytes:
        return self._sequence(lane) + integer(_FLAGS, _NEEDED)

    def _track(self, lane: int) -> int:
        """Return the number of what a lane is drawn on."""
        found = self._timeline.lane_list[lane]
        return self._thread(found.thread) if found.kind == THREAD else self._process | lane + 1

    def _thread(self, thread: int) -> int:
        return self._process | 1 << 40 | thread

    def _first(self, lane: int, blocks: set[int]) -> bytes:
        """Return the packet that says what the others of a lane mean."""
        timeline = self._timeline
        now = max(timeline.start_ns + timeline.starts[0], 0)
        clocks = [_clock(_BOOT_TIME, now), _clock(_REAL_TIME, now)]
        clocks.append(sized(1, integer(1, _SINCE_LAST) + integer(2, now) + integer(3, 1)))
        event = integer(_TRACK, self._track(lane))
        defaults = integer(_CLOCK_OF_PACKET, _SINCE_LAST) + sized(_TRACK_EVENT, event)
        return sized(
            _PACKET,
            sized(_CLOCK_SNAPSHOT, b"".join(clocks))
            + self._sequence(lane)
            + integer(_FLAGS, _CLEARED)
            + sized(_INTERNED, self._interned(blocks))
            + sized(_DEFAULTS, defaults),
        )

    def _interned(self, blocks: set[int]) -> bytes:
        known = self._timeline.block_list
        names = [_named(_NAMES, block + 1, known[block].name) for block in sorted(blocks)]
        categories = sorted({known[block].track_name for block in blocks})
        return b"".join(
            [
                *(_named(_CATEGORIES, self._categories[name], name) for name in categories),
                *names,
                _named(_ANNOTATION_NAMES, _TAG, "tag"),
                _named(_ANNOTATION_NAMES, _OUTCOME, "outcome"),
            ]
        )

    def _described(self, uuid: int, *fields: bytes) -> bytes:
        # In a sequence of its own kind: of those that say what is drawn, no other counts time.
        return sized(_PACKET, sized(_DESCRIPTOR, integer(1, uuid) + b"".join(fields)))

    def _described_process(self) -> bytes:
        metadata = self._timeline.metadata
        command = metadata.get("command")
        said = [str(part) for part in command] if isinstance(command, list) else []
        process = integer(1, self._pid) + b"".join(_text(2, part) for part in said)
        process += _text(6, self._label)
        if self._said:
            process += _text(8, self._said)
        return self._described(self._process, sized(3, process))

    def _described_thread(self, thread: int) -> bytes:
        known = self._timeline.thread_list[thread]
        # Its key: the operating system's id may be of several threads, one after the other.
        said = integer(1, self._pid) + integer(2, known.key & 0x7FFFFFFF) + _text(5, known.name)
        return self._described(self._thread(thread), integer(5, self._process), sized(4, said))

    def _described_lane(self, lane: int) -> bytes:
        found = self._timeline.lane_list[lane]
        if found.kind == THREAD:
            return b""
        name = _text(2, f"{found.kind} {found.number}")
        return self._described(self._track(lane), name, integer(5, self._thread(found.thread)))


def _text(field: int, text: str) -> bytes:
    return sized(field, printable(text).encode())


def _named(field: int, number: int, name: str) -> bytes:
    return sized(field, integer(1, number) + _text(2, name))


def _clock(number: int, now: int) -> bytes:
    return sized(1, integer(1, number) + integer(2, now))
