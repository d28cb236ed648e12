"""What was measured, in integer nanoseconds: blocks, tracks, threads, the call tree."""

from __future__ import annotations

import threading
from math import sqrt

from .histogram import Histogram, exact_quantile
from .plain import json_value
from .record import Record, field

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Protocol

    from .._text.files import StrPath
    from .shares import Share

    class OtherKind(Protocol):
        """What reads files of a kind, and keeps them few."""

        def read(self, path: str) -> ProfilerResults: ...

        def read_all(
            self, paths: list[str], left_out: Callable[[Exception], object]
        ) -> list[ProfilerResults]: ...

        def keep_few(self, directory: str) -> list[str]: ...


FORMAT = "stichotrope-results"
FORMAT_VERSION = 4  # a field says since which it is in documents
GATHERED = "gathered"  # in metadata: a mapped file, for as long as its process lives
GATHERED_SUFFIX = ".stichotrope.json"  # of the files that `ProfilerResults.load_all` reads
OTHER_PATHS = "(other paths)"
OTHER_BLOCKS = "(other blocks)"
# Suffix → what reads such files, besides those of results: set by who writes them.
OTHER_KINDS: dict[str, OtherKind] = {}
OVERHEAD_FACTOR = 5  # see `is_mostly_overhead`
WAITING_FACTOR = 20  # see `is_waiting_unsure`
_MOST_THREADS = 10**18  # that can be meant
PERCENTILES = (50, 95, 99)  # those that documents and reports tell

# What a block is known by, in every run: track index, file, line, name.
Identity = tuple[int, str, int, str]


class ProcessorTime(Record):
    """For how long threads ran on a processor in passes of a block, or of a path.

    Of the passes that ended and whose processor time was taken. A coroutine or generator has what
    it ran itself, not what ran while it was suspended.

    :ivar count: how many passes these are.
    :ivar time_ns: what they took, recursion counted once.
    :ivar sum_ns: what each took added up, recursive ones included.
    :ivar wall_ns: for how long they were open, added up in the same way.
    :ivar min_ns: the least that one took.
    :ivar max_ns: the most.
    :ivar histogram: what they took; empty for a path.
    """

    count: int = field(read="count", is_summed=True)
    time_ns: int = field(read="count", is_summed=True)
    sum_ns: int = field(read="count", is_summed=True)
    wall_ns: int = field(read="count", is_summed=True)
    min_ns: int = field(read="count")
    max_ns: int = field(read="count")
    histogram: Histogram = field(factory=Histogram)

    @property
    def avg_ns(self) -> float:
        """The mean of a pass, in nanoseconds."""
        return self.sum_ns / self.count if self.count else 0.0

    @property
    def waiting(self) -> float:
        """The share of the passes' time in which they did not run, from 0.0 to 1.0.

        That is 1 − ``sum_ns`` ÷ ``wall_ns``: they waited for input, a lock, the interpreter's
        lock, a processor, or were suspended.
        """
        return max(1 - self.sum_ns / self.wall_ns, 0.0) if self.wall_ns else 0.0

    def add(self, other: ProcessorTime) -> None:
        """Take in other passes.

        :param other: the passes; they stay as they are.
        """
        self.min_ns = min(self.min_ns, other.min_ns)
        self.max_ns = max(self.max_ns, other.max_ns)
        self._add_sums(other)
        self.histogram.merge(other.histogram)


def _percentile(q: float, histogram: Histogram, least: int, most: int) -> int:
    exact = exact_quantile(q)
    if exact == 0:
        return least
    if exact == 1:
        return most
    return min(max(histogram.quantile(q), least), most)


class _Passes:
    """What a block and a node of the call tree have in common."""

    name: str
    file: str
    line: int
    track_idx: int
    hit_count: int
    error_count: int
    cancelled_count: int
    open_count: int
    total_time_ns: int
    sum_time_ns: int
    byte_count: int
    item_count: int
    cpu: ProcessorTime | None

    @property
    def bytes_per_second(self) -> float:
        """The bytes that went through it, over the time in which any pass was open.

        That is ``byte_count`` ÷ ``total_time_ns``, so it is the rate of one thread on average, the
        time of which it spends in the block. 0.0 where there was no such time.
        """
        return self._rate(self.byte_count)

    @property
    def items_per_second(self) -> float:
        """The items that went through it, over the time in which any pass was open."""
        return self._rate(self.item_count)

    @property
    def bytes_per_pass(self) -> float:
        """The bytes that went through it, over the passes that ended or are open; 0.0 of none."""
        return self._share(self.byte_count)

    @property
    def items_per_pass(self) -> float:
        """The items that went through it, over the passes that ended or are open; 0.0 of none."""
        return self._share(self.item_count)

    @property
    def has_work(self) -> bool:
        """Whether the program said of any pass how many bytes or items went through it."""
        return self.byte_count > 0 or self.item_count > 0

    def _rate(self, amount: int) -> float:
        return amount * 1_000_000_000 / self.total_time_ns if self.total_time_ns else 0.0

    def _share(self, amount: int) -> float:
        passes = self.hit_count + self.open_count
        return amount / passes if passes else 0.0

    def of_work(self) -> dict[str, float]:
        """Return the figures of work that are computed, by name, 0.0 where there is none."""
        return {
            name: getattr(self, name)
            for name in ("bytes_per_second", "items_per_second", "bytes_per_pass", "items_per_pass")
        }

    @property
    def cpu_time_ns(self) -> int:
        """The processor time of the passes that ended and took it, recursion counted once, in ns.

        0 where none did. What else is known of it is in ``cpu``.
        """
        return self.cpu.time_ns if self.cpu is not None else 0

    @property
    def waiting(self) -> float:
        """The share of the passes' time in which they did not run; 0.0 where it is not known.

        See `ProcessorTime.waiting`.
        """
        return self.cpu.waiting if self.cpu is not None else 0.0

    @property
    def cpu_count(self) -> int:
        """The passes whose processor time was taken."""
        return self.cpu.count if self.cpu is not None else 0

    def _of_cpu(self) -> dict[str, float]:
        """Return the figures of processor time by name, 0 where there is none."""
        return {name: getattr(self, name) for name in ("cpu_count", "cpu_time_ns", "waiting")}

    def _add_cpu(self, other: _Passes) -> None:
        if other.cpu is None:
            return
        if self.cpu is None:
            self.cpu = ProcessorTime(0, 0, 0, 0, other.cpu.min_ns, other.cpu.max_ns)
        self.cpu.add(other.cpu)

    @property
    def identity(self) -> Identity:
        """What the block is known by: track index, file, line and name."""
        return self.track_idx, self.file, self.line, self.name

    @property
    def was_entered(self) -> bool:
        """Whether there is any pass: one that ended, or one that is open."""
        return self.hit_count > 0 or self.open_count > 0

    @property
    def concurrency(self) -> float:
        """How many passes were open at a time, on average over the time in which any was.

        That is ``sum_time_ns`` ÷ ``total_time_ns``: the depth of a recursion, the number of tasks
        that wait at once. Never below 1.0, and 1.0 where there was no such time. While passes are
        open (``open_count``), it is a lower bound: the total goes on with them, and the sum takes
        them in when they end.
        """
        if not self.total_time_ns:
            return 1.0
        return max(self.sum_time_ns / self.total_time_ns, 1.0)

    @property
    def avg_time_ns(self) -> float:
        """The mean over the passes that ended, in nanoseconds; 0.0 when none did.

        On a path that was saved in format 1, which did not tell the sum, it is that of the total.
        """
        return (self.sum_time_ns or self.total_time_ns) / self.hit_count if self.hit_count else 0.0

    @property
    def mean_time_ns(self) -> float:
        """The same: another name for ``avg_time_ns``."""
        return self.avg_time_ns


class ProfileBlock(Record, _Passes):
    """The figures of one block: all its passes, in all threads or in one.

    A time is the length of the set of moments that it is defined by, up to the moment at which the
    results were taken: what is open counts as far as it has come. Threads add up.

    :ivar name: the name that the program gave it.
    :ivar file: the file of its call site.
    :ivar line: the line of its call site.
    :ivar track_idx: the track that it belongs to.
    :ivar block_idx: its number within the track.
    :ivar hit_count: passes that ended, by return or by exception.
    :ivar total_time_ns: time in which at least one pass was open on the thread: recursion counts
        once, and so do tasks that wait at the same time.
    :ivar self_time_ns: that time less what nested blocks took.
    :ivar active_time_ns: that time less what coroutines and generators spent suspended.
    :ivar min_time_ns: the shortest pass that ended; 0 when none did.
    :ivar max_time_ns: the longest.
    :ivar sum_time_ns: the durations of the passes that ended added up, recursive ones included.
    :ivar sum_squares_ns2: the sum of their squares, in ns².
    :ivar histogram: how long they took. What was recorded is known to a sixteenth of a power of
        two, and counted where the middle of that is: a pass may be 3 % away from its bucket.
    :ivar open_count: passes that are open; a block may have these and no hits.
    :ivar error_count: those of the hits that were left by an exception, cancellation apart.
    :ivar cancelled_count: those of the hits that were cancelled: left by a ``CancelledError``, a
        ``GeneratorExit``, trio's ``Cancelled`` or a group of nothing else.
    :ivar byte_count: bytes that went through all passes, open ones too, as the program says.
    :ivar item_count: items that did.
    :ivar cpu: their processor time, where any of them took it; else None.
    """

    name: str = field(read="text")
    file: str = field(read="text")
    line: int = field(read="count")
    track_idx: int = field()
    block_idx: int = field(read="count")
    hit_count: int = field(read="count", is_summed=True, default=0)
    total_time_ns: int = field(read="count", is_summed=True, default=0)
    # Below 0 when nested blocks overlapped in time.
    self_time_ns: int = field(read="integer", is_summed=True, default=0)
    active_time_ns: int = field(read="count", is_summed=True, default=0)
    min_time_ns: int = field(read="count", default=0)
    max_time_ns: int = field(read="count", default=0)
    sum_time_ns: int = field(read="count", is_summed=True, default=0)
    sum_squares_ns2: int = field(read="count", is_summed=True, default=0)
    histogram: Histogram = field(factory=Histogram)
    open_count: int = field(read="count", since=2, is_summed=True, default=0)
    error_count: int = field(read="count", since=2, is_summed=True, default=0)
    cancelled_count: int = field(read="count", since=2, is_summed=True, default=0)
    byte_count: int = field(read="count", since=4, is_summed=True, default=0)
    item_count: int = field(read="count", since=4, is_summed=True, default=0)
    cpu: ProcessorTime | None = field(default=None)

    @property
    def stddev_time_ns(self) -> float:
        """The population standard deviation over them in nanoseconds; 0.0 when there are none."""
        hits = self.hit_count
        if not hits:
            return 0.0
        # The subtraction is exact in integers; in floats it would cancel most of its digits.
        spread = hits * self.sum_squares_ns2 - self.sum_time_ns**2
        return sqrt(max(spread, 0) / hits**2)

    def percentile(self, q: float) -> int:
        """Return the time in ns that ``q`` percent of the passes that ended do not exceed.

        It is read from the histogram, so it is as coarse as a bucket; 0 and 100 are the exact
        minimum and maximum. 0 when none ended.

        :param q: a number from 0 to 100.
        :raises TypeError: when ``q`` is not a real number.
        :raises ValueError: when ``q`` lies outside 0 to 100.
        """
        return self.percentiles(q)[0]

    def percentiles(self, *qs: float) -> list[int]:
        """Return several at once, which takes less time than one by one; see `percentile`.

        :param qs: numbers from 0 to 100, ascending.
        :raises TypeError: when one of them is not a real number.
        :raises ValueError: when one lies outside 0 to 100, or below the one before it.
        """
        exact = [exact_quantile(q) for q in qs]
        if exact != sorted(exact):
            raise ValueError(f"percentiles are asked for in ascending order, not {qs!r}")
        if not self.hit_count:
            return [0 for _ in exact]
        shortest, longest = self.min_time_ns, self.max_time_ns
        return [
            shortest if share == 0 else longest if share == 1 else min(max(ns, shortest), longest)
            for share, ns in zip(exact, self.histogram.quantiles(exact), strict=True)
        ]

    def computed(self) -> dict[str, float]:
        """Return the figures that are no fields, by name: computed from those that are."""
        percentiles = zip(PERCENTILES, self.percentiles(*PERCENTILES), strict=True)
        return {
            "avg_time_ns": self.avg_time_ns,
            "stddev_time_ns": self.stddev_time_ns,
            "concurrency": self.concurrency,
            **{f"p{q}_time_ns": ns for q, ns in percentiles},
        }

    def figures(self) -> dict[str, float]:
        """Return all counts and times in ns by name: the fields, then what is computed of them."""
        fields = {name: getattr(self, name) for name in self._figures}
        return {**fields, **self.computed(), **self._of_cpu(), **self.of_work()}

    def cpu_percentile(self, q: float) -> int:
        """Return the processor time in ns that ``q`` percent of the passes do not exceed.

        Of those passes that took it, and as coarse as `percentile`. 0 when none did.

        :param q: a number from 0 to 100.
        :raises TypeError: when ``q`` is not a real number.
        :raises ValueError: when ``q`` lies outside 0 to 100.
        """
        exact_quantile(q)
        if self.cpu is None:
            return 0
        return _percentile(q, self.cpu.histogram, self.cpu.min_ns, self.cpu.max_ns)

    def add(self, other: ProfileBlock) -> None:
        """Take in the passes of another block.

        :param other: the block; it stays as it is.
        """
        if other.hit_count:
            shortest = other.min_time_ns
            self.min_time_ns = min(self.min_time_ns, shortest) if self.hit_count else shortest
            self.max_time_ns = max(self.max_time_ns, other.max_time_ns)
        self._add_sums(other)
        self.histogram.merge(other.histogram)
        self._add_cpu(other)


class Totals:
    """How many passes there are in all blocks together."""

    def _sum(self, name: str) -> int:
        """Return a figure of `ProfileBlock` summed over all blocks."""
        raise NotImplementedError

    @property
    def total_hits(self) -> int:
        """Passes that ended, of all blocks."""
        return self._sum("hit_count")

    @property
    def total_open(self) -> int:
        """Passes that are open, of all blocks."""
        return self._sum("open_count")

    @property
    def total_errors(self) -> int:
        """Passes left by an exception, of all blocks."""
        return self._sum("error_count")

    @property
    def total_cancelled(self) -> int:
        """Passes that were cancelled, of all blocks."""
        return self._sum("cancelled_count")

    @property
    def was_entered(self) -> bool:
        """Whether there is any pass: one that ended, or one that is open."""
        return self.total_hits > 0 or self.total_open > 0


class ProfileTrack(Record, Totals):
    """A numbered group of blocks.

    :ivar track_idx: its number, 0 or more.
    :ivar track_name: its name.
    :ivar enabled: whether its blocks were being recorded.
    :ivar blocks: its blocks; ``blocks[i]`` is block ``i``.
    :ivar total_time_ns: time with at least one of its blocks open, summed over threads.
    """

    track_idx: int = field(read="count")
    track_name: str = field(read="text")
    enabled: bool = field(read="flag", default=True)
    blocks: list[ProfileBlock] = field(factory=list)
    total_time_ns: int = field(read="count", default=0)

    def _sum(self, name: str) -> int:
        return sum(getattr(block, name) for block in self.blocks)

    def get_block(self, block: int | str) -> ProfileBlock:
        """Return a block by its number within this track, or by its name.

        :param block: the number, or the name.
        :raises IndexError: when there is no block of this number.
        :raises KeyError: when there is none of this name, or when several have it.
        """
        found = [one for one in self.blocks if block in (one.block_idx, one.name)]
        if len(found) == 1:
            return found[0]
        track = f"track {self.track_idx} ({self.track_name!r})"
        if found:
            places = ", ".join(f"{one.block_idx} ({one.file}:{one.line})" for one in found)
            raise KeyError(f"{track} has several blocks {block!r}: take one by number, of {places}")
        if isinstance(block, str):
            names = _listed(repr(one.name) for one in self.blocks)
            raise KeyError(f"{track} has no block {block!r}; its blocks are {names}")
        raise IndexError(
            f"{track} has no block {block!r}; "
            f"its blocks are {_listed(one.block_idx for one in self.blocks)}"
        )

    def __getitem__(self, block: int | str) -> ProfileBlock:
        """Return a block by its number or its name, as `get_block` does: ``results["db"]["q"]``."""
        return self.get_block(block)

    def __iter__(self) -> Iterator[ProfileBlock]:
        return iter(self.blocks)


class CallNode(Record, _Passes):
    """A block as reached by one path of nested blocks: a node of the call tree.

    The root stands for the program outside all blocks: its name is empty and its indices are -1. A
    node of track -1 that is called ``(other paths)`` holds what a thread recorded beyond its limit
    of nodes.

    :ivar name: the block's name.
    :ivar track_idx: the block's track.
    :ivar block_idx: the block's number within the track.
    :ivar file: the file of its call site.
    :ivar line: the line of its call site.
    :ivar hit_count: passes that ended on this path.
    :ivar total_time_ns: time in which a pass was open on this path, nested blocks included.
    :ivar self_time_ns: that time less what the children took.
    :ivar children: the nodes directly below.
    :ivar sum_time_ns: the durations of the passes that ended added up; 0 in results that were
        saved in format 1, which did not tell it.
    :ivar open_count: passes that are open on this path.
    :ivar error_count: those of the hits that were left by an exception; see `ProfileBlock`.
    :ivar cancelled_count: those of the hits that were cancelled.
    :ivar byte_count: bytes that went through the passes on this path; see `ProfileBlock`.
    :ivar item_count: items that did.
    :ivar cpu: their processor time, where any of them took it; else None.
    """

    name: str = field(read="text")
    track_idx: int = field(read="integer")
    block_idx: int = field(read="integer")
    file: str = field(read="text", default="")
    line: int = field(read="count", default=0)
    hit_count: int = field(read="count", is_summed=True, default=0)
    total_time_ns: int = field(read="count", is_summed=True, default=0)
    self_time_ns: int = field(read="integer", is_summed=True, default=0)
    children: list[CallNode] = field(is_compared=False, factory=list)
    sum_time_ns: int = field(read="count", since=2, is_summed=True, default=0)
    open_count: int = field(read="count", since=2, is_summed=True, default=0)
    error_count: int = field(read="count", since=2, is_summed=True, default=0)
    cancelled_count: int = field(read="count", since=2, is_summed=True, default=0)
    byte_count: int = field(read="count", since=4, is_summed=True, default=0)
    item_count: int = field(read="count", since=4, is_summed=True, default=0)
    cpu: ProcessorTime | None = field(default=None)

    def figures(self) -> dict[str, float]:
        """Return all counts and times in ns by name: the fields, then what is computed of them."""
        fields = {name: getattr(self, name) for name in self._figures}
        computed = {"avg_time_ns": self.avg_time_ns, "concurrency": self.concurrency}
        return {**fields, **computed, **self._of_cpu(), **self.of_work()}

    def add(self, other: CallNode) -> None:
        """Take in the passes of another node; each keeps its children.

        :param other: the node; it stays as it is.
        """
        self._add_sums(other)
        self._add_cpu(other)

    @classmethod
    def root(cls) -> CallNode:
        """Return the root of an empty tree."""
        return cls("", -1, -1)

    def walk(self) -> Iterator[tuple[CallNode, int]]:
        """Yield ``(node, depth)`` depth-first, a node before its children; this node is depth 0."""
        # A stack of its own: trees may be deeper than Python's recursion limit.
        stack = [(self, 0)]
        while stack:
            node, depth = stack.pop()
            yield node, depth
            stack.extend((child, depth + 1) for child in reversed(node.children))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CallNode):
            return NotImplemented
        # Nodes that agree in this order, each with as many children, are the same tree.
        return all(
            node._values() == twin._values() and len(node.children) == len(twin.children)
            for (node, _), (twin, _) in zip(self.walk(), other.walk(), strict=False)
        )

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, children=<{len(self.children)}>)"

    def __reduce__(self) -> tuple[Any, ...]:
        return tree_from_rows, (tree_rows(self),)


def tree_rows(root: CallNode) -> list[tuple[int, tuple[Any, ...]]]:
    """Return a tree as rows of (row number of the parent, values), parents first; -1 for none."""
    rows = []
    path: list[int] = []
    for number, (node, depth) in enumerate(root.walk()):
        del path[depth:]
        rows.append((path[-1] if path else -1, node._values()))
        path.append(number)
    return rows


def tree_from_rows(rows: Iterable[tuple[int, tuple[Any, ...]]]) -> CallNode:
    """Return the tree that `tree_rows` wrote down."""
    nodes: list[CallNode] = []
    for parent, values in rows:
        node = CallNode(**dict(zip(CallNode.__match_args__, values, strict=True)))
        if nodes:
            nodes[parent].children.append(node)
        nodes.append(node)
    return nodes[0]


class Figures(Totals):
    """What the results of one thread and of all threads have in common."""

    tracks: dict[int, ProfileTrack]
    total_time_ns: int
    tree: CallNode

    def _sum(self, name: str) -> int:
        return sum(track._sum(name) for track in self.tracks.values())

    def get_track(self, track: int | str) -> ProfileTrack:
        """Return a track by its number or its name.

        :param track: the number or the name of the track.
        :raises KeyError: when nothing was registered on such a track.
        """
        if isinstance(track, str):
            named = [one for one in self.tracks.values() if one.track_name == track]
            if named:
                return named[0]
            known = _listed(repr(one.track_name) for one in self.tracks.values())
        else:
            try:
                return self.tracks[track]
            except (KeyError, TypeError):
                known = _listed(self.tracks)
        raise KeyError(f"there is no track {track!r}; the tracks are {known}")

    def __getitem__(self, track: int | str) -> ProfileTrack:
        """Return a track by its number or its name, as `get_track` does: ``results["db"]``."""
        return self.get_track(track)

    def __iter__(self) -> Iterator[ProfileTrack]:
        return (track for _, track in sorted(self.tracks.items()))


class ProcessResults(Record):
    """One process's share of the results.

    :ivar host: the name of its machine; empty when it is not known.
    :ivar pid: the operating system's number for it, which may be used again.
    :ivar instance: a random name that no other process has; empty when it is not known.
    :ivar start_ns: when recording began in it, in ns since the epoch; 0 when it is not known.
    :ivar duration_ns: for how long it had been recorded.
    :ivar total_hits: passes of all blocks that ended.
    :ivar total_time_ns: time with at least one block open, summed over its threads.
    :ivar total_open: passes of all blocks that are open.
    :ivar total_errors: passes of all blocks that were left by an exception.
    :ivar total_cancelled: passes of all blocks that were cancelled.
    :ivar worker: what the engine that started it calls it; empty where none did.
    """

    host: str = field(read="text")
    pid: int = field(read="count")
    instance: str = field(read="text", default="")
    start_ns: int = field(read="integer", default=0)
    duration_ns: int = field(read="count", default=0)
    total_hits: int = field(read="count", is_summed=True, default=0)
    total_time_ns: int = field(read="count", is_summed=True, default=0)
    total_open: int = field(read="count", since=2, is_summed=True, default=0)
    total_errors: int = field(read="count", since=2, is_summed=True, default=0)
    total_cancelled: int = field(read="count", since=2, is_summed=True, default=0)
    worker: str = field(read="text", since=3, default="")

    @property
    def identity(self) -> tuple[str, int, str, int]:
        """What the process is known by."""
        # Without a name of its own, only when it began tells it from others of its number.
        return self.host, self.pid, self.instance, 0 if self.instance else self.start_ns

    def add(self, other: ProcessResults) -> None:
        """Take in what another profiler recorded in the same process.

        :param other: the same process; it stays as it is.
        """
        end_ns = max(self.start_ns + self.duration_ns, other.start_ns + other.duration_ns)
        self.start_ns = min(self.start_ns, other.start_ns)
        self.duration_ns = end_ns - self.start_ns
        self._add_sums(other)


class ThreadResults(Record, Figures):
    """One thread's share of the results.

    :ivar key: the profiler's own number for the thread, never used twice.
    :ivar os_id: the operating system's number for it, which may be used again.
    :ivar name: the thread's name.
    :ivar alive: whether it was still running.
    :ivar tracks: its tracks by number.
    :ivar total_time_ns: time with at least one block open.
    :ivar tree: its call tree.
    :ivar process: the process that it is of, one of the results' ``processes``; None when that is
        not known.
    """

    key: int = field(read="integer")
    os_id: int = field(read="integer")
    name: str = field(read="text")
    alive: bool = field(read="flag")
    tracks: dict[int, ProfileTrack] = field(factory=dict)
    total_time_ns: int = field(default=0)
    tree: CallNode = field(factory=CallNode.root)
    process: ProcessResults | None = field(default=None)


class ProfilerResults(Record, Figures):
    """What a profiler measured, all threads taken together.

    :param profiler_name: the profiler's name.
    :param tracks: its tracks by number.
    :param total_time_ns: time with at least one block open, summed over threads.
    :param tree: the call tree, merged over all threads.
    :param threads: each thread's share, or a function without arguments that returns it and is
        called once, when they are first asked for.
    :param metadata: how the figures came about. Copied, in the shape that JSON can hold: tuples
        become lists, and None stands for a float that is infinite or not a number.
    :param processes: each process's share; unless given, the one process that the metadata speaks
        of has all.
    :raises TypeError: when the metadata holds what JSON cannot.
    :raises ValueError: when the metadata is nested more than 102 levels deep, or in itself.
    """

    __match_args__ = (
        "profiler_name",
        "tracks",
        "total_time_ns",
        "tree",
        "threads",
        "metadata",
        "processes",
    )

    def __init__(
        self,
        profiler_name: str,
        tracks: dict[int, ProfileTrack] | None = None,
        total_time_ns: int = 0,
        tree: CallNode | None = None,
        threads: Iterable[ThreadResults] | Callable[[], Iterable[ThreadResults]] = (),
        metadata: dict[str, Any] | None = None,
        processes: Iterable[ProcessResults] | None = None,
    ) -> None:
        self.profiler_name = profiler_name
        self.tracks = {} if tracks is None else tracks
        self.total_time_ns = total_time_ns
        self.tree = CallNode.root() if tree is None else tree
        self.metadata: dict[str, Any] = json_value({} if metadata is None else metadata)
        self._threads: list[ThreadResults] | Callable[[], Iterable[ThreadResults]]
        self._threads_lock = threading.RLock()
        self.processes = own_process(self) if processes is None else list(processes)
        self._threads = threads if callable(threads) else self._placed(threads)
        # Where these are known without the threads themselves.
        self._shares: Callable[[], list[Share]] | None = None
        self._thread_count: Callable[[], int] | None = None

    @property
    def threads(self) -> list[ThreadResults]:
        """Each thread's share, in order of registration."""
        with self._threads_lock:
            if callable(self._threads):
                self._threads = self._placed(self._threads())
            return self._threads

    @property
    def thread_count(self) -> int:
        """The number of threads, those included that share the line of key 0."""
        if self._thread_count is not None and callable(self._threads):
            return self._thread_count()
        lines = self.threads
        if all(line.key != 0 for line in lines):
            return len(lines)
        runs = self.metadata.get("merged", [self.metadata])
        if not isinstance(runs, list):
            return len(lines)
        return len(lines) + sum(_folded(run) - 1 for run in runs if _folded(run))

    def _placed(self, threads: Iterable[ThreadResults]) -> list[ThreadResults]:
        """Return threads, those that do not say so being of the only process."""
        placed = list(threads)
        if len(self.processes) == 1:
            for thread in placed:
                thread.process = thread.process or self.processes[0]
        return placed

    def shares(self) -> list[Share]:
        """Return what each process has of each block that it entered, in order of ``processes``.

        Blocks are known by their ``identity``. A process of whose threads nothing is known is left
        out, unless it is the only one.
        """
        from .shares import shares_of_threads

        return shares_of_threads(self) if self._shares is None else self._shares()

    def merge(self, *others: ProfilerResults) -> ProfilerResults:
        """Return new results that hold the passes of these and of others.

        Blocks are the same when track, file, line and name are; files, when their paths are, or
        their paths below the roots of their modules, which the metadata tell. Where they lie
        differs from machine to machine: the first one's path stands for all. Tracks are the same
        when their names are, or their indices where one of them was given no name; a track of
        another name whose index is taken gets the next that is free. Where two threads have the
        same key, the later one gets a new one, and each knows its process. The metadata is that of
        these results, with that of each under ``merged``.

        A pass counts once: of several snapshots of one recording (what a profiler recorded in a
        process since it was made or cleared), only the one that holds the others is taken. Where
        none does, as when one of them was merged with others before, a warning says so.

        :param others: results of other runs, processes or profilers; they stay as they are.
        :raises TypeError: when one of them is not a `ProfilerResults`.
        """
        for other in others:
            if not isinstance(other, ProfilerResults):
                raise TypeError(
                    "results can only be merged with other ProfilerResults, "
                    f"not with {type(other).__name__}"
                )
        from .merge import merged

        return merged([self, *others])

    def to_dict(self) -> dict[str, Any]:
        """Return the results as the document that `save` writes: dicts, lists, str, numbers.

        Means, standard deviations, percentiles, how many passes were open at a time and the totals
        of counts are in it for readers; `from_dict` computes them anew.

        :raises TypeError: when the metadata holds what JSON cannot.
        """
        from .document import to_document

        return to_document(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProfilerResults:
        """Return the results that a document holds.

        :param data: what `to_dict` returned, now or in an earlier version: what it did not count
            then is 0. Fields that this version does not know are ignored.
        :raises ResultsFormatError: when it is no such document, or one of a newer format.
        """
        from .document import from_document

        return from_document(data)

    def to_pandas(self, level: str = "block") -> Any:
        """Return the figures as a `pandas.DataFrame`, one row for each block.

        The names, the order and the types of the columns stay as they are.

        :param level: what a row is: ``block``; ``node``, of the call tree; ``thread``; or
            ``thread-block``, a block in one thread.
        :raises ImportError: when pandas is not installed: the extra ``pandas``.
        :raises ValueError: when there is no such level.
        :raises OverflowError: when a figure is too large for 64 bits.
        """
        from .frames import pandas_frame

        return pandas_frame(self, level)

    def to_polars(self, level: str = "block") -> Any:
        """Return the figures as a `polars.DataFrame`, as `to_pandas` does.

        :param level: as for `to_pandas`.
        :raises ImportError: when polars is not installed: the extra ``polars``.
        :raises ValueError: when there is no such level.
        :raises OverflowError: when a figure is too large for 64 bits.
        """
        from .frames import polars_frame

        return polars_frame(self, level)

    def to_arrow(self, level: str = "block") -> Any:
        """Return the figures as a `pyarrow.Table`, as `to_pandas` does.

        :param level: as for `to_pandas`.
        :raises ImportError: when pyarrow is not installed: the extra ``arrow``.
        :raises ValueError: when there is no such level.
        :raises OverflowError: when a figure is too large for 64 bits.
        """
        from .frames import arrow_table

        return arrow_table(self, level)

    def to_json(self, indent: int | None = 2) -> str:
        """Return the document that `save` writes as JSON text.

        :param indent: spaces for each level, or None for everything on one line.
        :raises TypeError: when ``indent`` is of the wrong type, or the metadata holds what JSON
            cannot.
        :raises ValueError: when ``indent`` is negative.
        """
        from .document import to_text

        return to_text(self, indent)

    def to_bytes(self) -> bytes:
        """Return the results as bytes: a fraction of the JSON, for where they are sent on.

        :raises TypeError: when the metadata holds what JSON cannot.
        """
        from .packed import pack

        return pack(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ProfilerResults:
        """Return the results that `to_bytes` made bytes of, now or in an earlier version.

        :param data: the bytes.
        :raises ResultsFormatError: when they hold no results, or those of a newer format.
        """
        from .packed import unpack

        return unpack(data)

    def save(self, path: StrPath) -> None:
        """Write the results to a JSON file that `load` reads, whole or not at all.

        :param path: the target.
        :raises TypeError: when the path is of the wrong type, or the metadata holds what JSON
            cannot.
        :raises OSError: when the target cannot be written.
        """
        from .document import save

        save(self, path)

    @classmethod
    def load(cls, path: StrPath) -> ProfilerResults:
        """Read the results that `save` or `export_json` wrote.

        :param path: the file.
        :raises TypeError: when the path is of the wrong type.
        :raises OSError: when the file cannot be read.
        :raises ResultsFormatError: when it does not hold results, or those of a newer format.
        """
        from .document import load

        return load(path)

    @classmethod
    def load_all(cls, directory: StrPath, *, name: str | None = None) -> ProfilerResults:
        """Read the results that processes gathered in a directory, and return them merged.

        They are merged as by `merge`, in the order in which the processes began. ``processes`` and
        the ``process`` of each thread tell who recorded what. Start and duration in the metadata
        span all processes, and its warnings are those of all. A file that cannot be read is left
        out, with a `RuntimeWarning` that names it and says why.

        :param directory: what was given to `Profiler.gather`, or a store. Files whose names do not
            end in ``.stichotrope.json`` or ``.stichotrope`` are no results.
        :param name: the name of the profiler, where several have gathered in the directory.
        :raises TypeError: when an argument is of the wrong type.
        :raises OSError: when the directory cannot be read, or is not there.
        :raises ValueError: when it holds no results that can be read, none of that name, or those
            of several profilers and no name was given.
        """
        from .gathered import load_all

        return load_all(directory, name)

    def __repr__(self) -> str:
        return (
            f"<ProfilerResults {self.profiler_name!r}: {len(self.tracks)} tracks, "
            f"{self.total_hits} hits, {self.total_time_ns} ns>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__match_args__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # The lock cannot be copied, so it is made.


def default_track_name(idx: int) -> str:
    """Return what a track is called that nobody gave a name."""
    return f"Track {idx}"


def own_process(results: ProfilerResults) -> list[ProcessResults]:
    """Return the process that the metadata of one run speaks of, with all figures."""
    metadata = results.metadata
    pid = metadata.get("process")
    if isinstance(pid, dict):
        pid = pid.get("pid")
    if "merged" in metadata or not isinstance(pid, int) or isinstance(pid, bool):
        return []
    host, instance, worker = (metadata.get(key) for key in ("host", "instance", "worker"))
    start_ns, duration_ns = (metadata.get(key) for key in ("start_ns", "duration_ns"))
    return [
        ProcessResults(
            host=host if isinstance(host, str) else "",
            pid=pid,
            instance=instance if isinstance(instance, str) else "",
            start_ns=start_ns if isinstance(start_ns, int) else 0,
            duration_ns=duration_ns if isinstance(duration_ns, int) else 0,
            **{name: getattr(results, name) for name in ProcessResults._summed},
            worker=worker if isinstance(worker, str) else "",
        )
    ]


def _folded(run: Any) -> int:
    """Return how many threads share the line of key 0, as the metadata of a run tell it."""
    value = run.get("folded_threads") if isinstance(run, dict) else 0
    return value if type(value) is int and 0 < value <= _MOST_THREADS else 0


def results_of(source: object) -> ProfilerResults:
    """Return results, or those that a profiler has at this moment.

    :param source: a `ProfilerResults`, or anything whose ``get_results()`` returns one.
    :raises TypeError: when it is anything else.
    """
    getter = None if isinstance(source, type) else getattr(source, "get_results", None)
    found = getter() if callable(getter) else source
    if not isinstance(found, ProfilerResults):
        raise TypeError(f"expected a Profiler or its ProfilerResults, not {source!r}")
    return found


def is_mostly_overhead(block: ProfileBlock, metadata: dict[str, Any]) -> bool:
    """Return whether a block's passes take only a few times of what recording one costs.

    Such figures say more of the recording than of the program. The cost is the measured
    ``overhead_ns_per_pass``, for passes that took processor time that of ``cpu``; a few times are
    less than `OVERHEAD_FACTOR` times it, in the mean or the median: on a busy machine, single
    passes that were interrupted lift the mean.

    :param block: the block.
    :param metadata: that of the results; False where it does not tell the cost.
    """
    overhead = _cost_ns(metadata)
    if overhead is None or not block.hit_count:
        return False
    dearer = _cost_ns(metadata.get("cpu"))
    if dearer is not None:
        overhead += (dearer - overhead) * block.cpu_count / block.hit_count
    return min(block.avg_time_ns, block.percentile(50)) < OVERHEAD_FACTOR * overhead


def is_waiting_unsure(one: ProfileBlock | CallNode, metadata: dict[str, Any]) -> bool:
    """Return whether passes are so short that taking their processor time looks like waiting.

    A part of what it costs lies in the pass, but not in the processor time. So the share that was
    waited is told to about 1 ÷ `WAITING_FACTOR` only where the passes take that many times the
    cost, in the mean: the measured ``overhead_ns_per_pass`` of ``cpu``.

    :param one: the block or the path.
    :param metadata: that of the results; False where it does not tell the cost.
    """
    overhead = _cost_ns(metadata.get("cpu"))
    if overhead is None or one.cpu is None:
        return False
    return one.cpu.wall_ns < WAITING_FACTOR * overhead * one.cpu.count


def _cost_ns(said: object) -> float | None:
    """Return what metadata, or a part of it, says that a pass costs; None where it says nothing."""
    cost = said.get("overhead_ns_per_pass") if isinstance(said, dict) else None
    return cost if isinstance(cost, (int, float)) and not isinstance(cost, bool) else None


def _listed(tracks: Iterable[int] | Iterable[str]) -> str:
    return ", ".join(map(str, sorted(tracks))) or "none at all"
