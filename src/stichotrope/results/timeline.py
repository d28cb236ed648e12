"""The timeline: the newest passes one by one, each with its moment, in lanes to be drawn."""

from __future__ import annotations

from array import array

from .record import Record, field

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

RETURNED, FAILED, CANCELLED = range(3)  # how a pass ended
THREAD, TASKS, GENERATORS, CROSSING = "thread", "tasks", "generators", "crossing"
KINDS = (THREAD, TASKS, GENERATORS, CROSSING)

COLUMNS = {
    "starts": "q",
    "durations": "q",
    "blocks": "I",
    "threads": "I",
    "lanes": "I",
    "depths": "I",
    "strands": "I",
    "outcomes": "B",
    "tags": "Q",
}


class TimelineBlock(Record):
    """A block that passes of a timeline belong to.

    :ivar name: its name.
    :ivar track_idx: its track's index.
    :ivar track_name: that track's name.
    :ivar file: the file of its call site.
    :ivar line: the line of its call site.
    """

    name: str = field()
    track_idx: int = field()
    track_name: str = field()
    file: str = field()
    line: int = field()


class TimelineThread(Record):
    """A thread that has passes in a timeline.

    :ivar key: the thread's key, as in results.
    :ivar os_id: the operating system's id; it may belong to another thread by now.
    :ivar name: the thread's name.
    :ivar alive: whether it runs.
    :ivar passes: how many of its passes are there.
    :ivar lost: how many older ones are not, having been overwritten since the last `clear`.
    """

    key: int = field()
    os_id: int = field()
    name: str = field()
    alive: bool = field()
    passes: int = field()
    lost: int = field()


class TimelineLane(Record):
    """Where passes are drawn one in another, or one beside another, and never across.

    :ivar thread: the place of its thread in `Timeline.thread_list`.
    :ivar kind: "thread" (what runs on the thread itself), "tasks" (of tasks, greenlets, other
        contexts), "generators" (of generators, which go on between other passes), or "crossing"
        (passes that end in the middle of another one of their own strand).
    :ivar number: 1 for the first lane of a kind of its thread, and so on.
    """

    thread: int = field()
    kind: str = field()
    number: int = field()


class TimelinePass(Record):
    """One pass of a timeline.

    :ivar block: its block.
    :ivar thread: the thread that it ended on.
    :ivar lane: its lane.
    :ivar start_ns: when it began, in ns since the epoch.
    :ivar duration_ns: for how long it was open.
    :ivar depth: how many passes it lies in, in its lane.
    :ivar outcome: 0 when it ended by return, 1 by an exception, 2 when it was cancelled.
    :ivar tag: what its block was tagged with, an int or a text, or None.
    """

    block: TimelineBlock = field()
    thread: TimelineThread = field()
    lane: TimelineLane = field()
    start_ns: int = field()
    duration_ns: int = field()
    depth: int = field()
    outcome: int = field()
    tag: int | str | None = field()


class Timeline:
    """The newest passes of all threads, one by one: ``Profiler.timeline()``.

    It is columns: ``starts[i]``, ``durations[i]``, … are those of one pass, in the order in which
    the passes began, and of those that began together, the one first that the others lie in. Going
    over it gives `TimelinePass` objects, which takes longer.

    A strand is what can be suspended as one: a thread's own stack, a task's, a greenlet's, a
    generator's. Each strand is drawn in one lane, which it may share with others of its thread that
    have ended before it began, or begin after its end. In a lane each pass lies wholly within the
    one below it, or wholly beside it: ``depths[i]`` says how many it lies in.

    :ivar profiler_name: the name of the profiler.
    :ivar start_ns: what the starts count from, in ns since the epoch: when recording began.
    :ivar starts: an ``array("q")``: when each pass began, in ns since `start_ns`.
    :ivar durations: an ``array("q")``: for how long it was open, in ns.
    :ivar blocks: an ``array("I")``: the place of its block in `block_list`.
    :ivar threads: an ``array("I")``: the place of its thread in `thread_list`.
    :ivar lanes: an ``array("I")``: the place of its lane in `lane_list`.
    :ivar depths: an ``array("I")``: how many passes it lies in there.
    :ivar strands: an ``array("I")``: the number of its strand, from 0 on, in the order in which
        they begin.
    :ivar outcomes: an ``array("B")``: how it ended: 0 by return, 1 by an exception, 2 cancelled.
    :ivar tags: an ``array("Q")``: what its block was tagged with, as `tag_of` reads it; 0: nothing.
    :ivar block_list: each `TimelineBlock`; not all need have passes.
    :ivar thread_list: each `TimelineThread` that has passes, or had.
    :ivar lane_list: each `TimelineLane`, in the order in which they are first used.
    :ivar metadata: as in results, what is known of the process: "host", "process", "command", ….
    """

    starts: array[int]
    durations: array[int]
    blocks: array[int]
    threads: array[int]
    lanes: array[int]
    depths: array[int]
    strands: array[int]
    outcomes: array[int]
    tags: array[int]

    __slots__ = (
        *COLUMNS,
        *("profiler_name", "start_ns", "block_list", "thread_list", "lane_list"),
        *("tag_texts", "metadata"),
    )

    def __init__(
        self,
        profiler_name: str,
        start_ns: int,
        columns: tuple[bytes | bytearray | memoryview, ...],
        block_list: list[TimelineBlock],
        thread_list: list[TimelineThread],
        lane_list: list[TimelineLane],
        tag_texts: dict[int, str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.profiler_name = profiler_name
        self.start_ns = start_ns
        for (name, kind), data in zip(COLUMNS.items(), columns, strict=True):
            column = array(kind)
            column.frombytes(data)
            setattr(self, name, column)
        self.block_list = block_list
        self.thread_list = thread_list
        self.lane_list = lane_list
        self.tag_texts = {} if tag_texts is None else tag_texts
        self.metadata = {} if metadata is None else metadata

    def __len__(self) -> int:
        return len(self.starts)

    def __repr__(self) -> str:
        lasted = f" over {self.duration_ns / 1e9:.3f} s" if self.starts else ""
        return f"<Timeline of {self.profiler_name!r}: {len(self)} passes{lasted}>"

    def __getitem__(self, i: int) -> TimelinePass:
        """Return one pass by its place, the first one at 0."""
        return TimelinePass(
            self.block_list[self.blocks[i]],
            self.thread_list[self.threads[i]],
            self.lane_list[self.lanes[i]],
            self.start_ns + self.starts[i],
            self.durations[i],
            self.depths[i],
            self.outcomes[i],
            self.tag_of(i),
        )

    def __iter__(self) -> Iterator[TimelinePass]:
        return map(self.__getitem__, range(len(self)))

    @property
    def duration_ns(self) -> int:
        """The time from the begin of the first pass to the end of the last, in ns."""
        return self.end_ns - self.starts[0] if self.starts else 0

    @property
    def end_ns(self) -> int:
        """When the last pass ended, in ns since `start_ns`; 0 when there is none."""
        ends = map(int.__add__, self.starts, self.durations)
        return max(ends, default=0)

    def tag_of(self, i: int) -> int | str | None:
        """Return what a pass is tagged with: an int, a text, or None.

        :param i: the pass's place.
        """
        return self.tag_text(self.tags[i])

    def tag_text(self, tag: int) -> int | str | None:
        """Return what a value of `tags` stands for.

        :param tag: the value.
        """
        if tag == 0:
            return None
        if tag & 1:
            value = tag >> 1
            return value - (1 << 63) if value >> 62 else value
        return self.tag_texts.get(tag, FORGOTTEN)

    def confine_blocks(self) -> None:
        """Let passes of blocks that are not in the list be of the last one that is."""
        last = len(self.block_list) - 1
        if max(self.blocks, default=0) > last:
            self.blocks = array("I", (min(block, last) for block in self.blocks))

    def since(self, moment_ns: int) -> Timeline:
        """Return the timeline of the passes that ended at a moment, or later.

        :param moment_ns: in ns since `start_ns`.
        """
        ends = map(int.__add__, self.starts, self.durations)
        kept = [end >= moment_ns for end in ends]
        return self._chosen(kept)

    def last(self, seconds: float) -> Timeline:
        """Return the timeline of the last seconds: what ended within them before the last pass did.

        :param seconds: how many.
        """
        return self.since(self.end_ns - round(seconds * 1e9))

    def newest(self, passes: int) -> Timeline:
        """Return the timeline of so many passes, those that ended last.

        :param passes: how many at most.
        """
        if len(self) <= passes:
            return self
        ends = list(map(int.__add__, self.starts, self.durations))
        order = sorted(range(len(self)), key=lambda i: (ends[i], -i))
        chosen = set(order[len(order) - passes :])
        return self._chosen([i in chosen for i in range(len(self))])

    def after(self, earlier: Timeline) -> Timeline:
        """Return the timeline of the passes that ended after another one was taken.

        :param earlier: of the same recording.
        """
        had = {each.key: each.passes + each.lost for each in earlier.thread_list}
        new = []
        for each in self.thread_list:
            total, before = each.passes + each.lost, had.get(each.key, 0)
            new.append(total - before if before <= total else total)  # else it was cleared since
        ends = list(map(int.__add__, self.starts, self.durations))
        kept, left = [False] * len(self), new.copy()
        # A thread's passes go in as they end; of those that end together, the inner one first.
        for i in sorted(range(len(self)), key=lambda i: (-ends[i], i)):
            thread = self.threads[i]
            kept[i] = left[thread] > 0
            left[thread] -= kept[i]
        made = self._chosen(kept)
        made.thread_list = [
            TimelineThread(
                each.key, each.os_id, each.name, each.alive, each.passes, count - each.passes
            )
            for each, count in zip(made.thread_list, new, strict=True)
        ]
        return made

    def with_start(self, start_ns: int, metadata: dict[str, Any]) -> Timeline:
        """Return the same passes, from another moment on.

        :param start_ns: what their starts count from, in ns since the epoch.
        :param metadata: what is known of the process.
        """
        return self._made(start_ns, [getattr(self, name) for name in COLUMNS], metadata)

    def with_columns(self, columns: list[array[int]]) -> Timeline:
        """Return a timeline of the same process, of other passes.

        :param columns: of each kind one, in the order in which the class lists them.
        """
        return self._made(self.start_ns, columns, self.metadata)

    def _made(self, start_ns: int, columns: list[Any], metadata: dict[str, Any]) -> Timeline:
        return Timeline(
            self.profiler_name, start_ns, tuple(one.tobytes() for one in columns),
            self.block_list, self.thread_list, self.lane_list, self.tag_texts, metadata,
        )  # fmt: skip

    def _chosen(self, kept: list[bool]) -> Timeline:
        from itertools import compress

        columns = [
            array(kind, compress(getattr(self, name), kept)) for name, kind in COLUMNS.items()
        ]
        made = self.with_columns(columns)
        made._count_anew()
        return made

    def _count_anew(self) -> None:
        """Say anew how many passes each one lies in, and how many each thread has."""
        open_in: list[list[int]] = [[] for _ in self.lane_list]
        counts = [0] * len(self.thread_list)
        for i, (start, lasted) in enumerate(zip(self.starts, self.durations, strict=True)):
            below = open_in[self.lanes[i]]
            while below and below[-1] <= start:
                below.pop()
            self.depths[i] = len(below)
            below.append(start + lasted)
            counts[self.threads[i]] += 1
        self.thread_list = [
            TimelineThread(
                each.key, each.os_id, each.name, each.alive, n, each.lost + each.passes - n
            )
            for each, n in zip(self.thread_list, counts, strict=True)
        ]


ORIGIN = "origin"  # in metadata: what is known of when it begins
FORGOTTEN = "(forgotten)"  # a tag's text that newer ones have taken the place of


def origin_of(monotonic_ns: int, uncertainty_ns: int, clock: str) -> dict[str, Any]:
    """Return what a timeline's metadata say, as "origin", of when it begins.

    :param monotonic_ns: that moment by the monotonic clock of the machine.
    :param uncertainty_ns: by how much `Timeline.start_ns` may be wrong against it.
    :param clock: what processes have in common that have the same monotonic clock; "" if unknown.
    """
    return {"monotonic_ns": monotonic_ns, "uncertainty_ns": uncertainty_ns, "clock": clock}


def number_lanes(lanes: list[tuple[int, int]]) -> list[TimelineLane]:
    """Return lanes by what the core says of them.

    :param lanes: (place of the thread, number of the kind) of each.
    """
    counts: dict[tuple[int, int], int] = {}
    found = []
    for lane in lanes:
        counts[lane] = counts.get(lane, 0) + 1
        thread, kind = lane
        found.append(TimelineLane(thread, KINDS[kind], counts[lane]))
    return found


def timelines_of(source: object) -> list[Timeline]:
    """Return timelines, of whatever has some.

    :param source: what `timeline_of` takes, or a list or tuple of `Timeline`.
    :raises TypeError: when it is something else.
    """
    if isinstance(source, (list, tuple)):
        for one in source:
            if not isinstance(one, Timeline):
                raise TypeError(f"a list of Timeline is expected, not one of {one!r}")
        return list(source)
    return [timeline_of(source)]


def timeline_of(source: object) -> Timeline:
    """Return a timeline, of whatever has one.

    :param source: a `Timeline`, or what has a method ``timeline``, such as a profiler.
    :raises TypeError: when it is neither.
    """
    if isinstance(source, Timeline):
        return source
    ask = getattr(type(source), "timeline", None)
    found = ask(source) if callable(ask) else None
    if not isinstance(found, Timeline):
        raise TypeError(f"a Timeline or a Profiler is expected, not {type(source).__name__}")
    return found
