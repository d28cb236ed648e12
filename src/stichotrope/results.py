"""What a profiler measured, in integer nanoseconds: blocks, tracks, threads, the call tree.

Results are plain Python: they compare, pickle, copy, merge, and can be saved and loaded.
"""

from __future__ import annotations

import os
import threading
from itertools import count
from math import sqrt

from ._document import MAX_NESTING, Document, check_indent, json_value, kind, parse
from ._document import ResultsFormatError as ResultsFormatError
from ._files import checked_path, files_in, read_whole, write_whole
from ._histogram import Histogram, exact_quantile

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ._files import StrPath

FORMAT = "stichotrope-results"
FORMAT_VERSION = 2
GATHERED_SUFFIX = ".stichotrope.json"  # of the files that `load_all` reads
OTHER_PATHS = "(other paths)"
OVERHEAD_FACTOR = 5  # see `is_mostly_overhead`


# What a block is known by, in every run: track index, file, line, name.
_Identity = tuple[int, str, int, str]

# What is added up when passes are taken together: of a path, and of a block.
_SUMS = (
    "hit_count",
    "error_count",
    "cancelled_count",
    "open_count",
    "total_time_ns",
    "self_time_ns",
    "sum_time_ns",
)
_BLOCK_SUMS = (*_SUMS, "active_time_ns", "sum_squares_ns2")


class _Record:
    """Named fields that compare and print.

    Written out because importing `dataclasses` takes longer than the whole package may.
    """

    __match_args__: tuple[str, ...] = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Record) or type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"


class _Passes(_Record):
    """What a block and a node of the call tree have in common."""

    hit_count: int
    error_count: int
    cancelled_count: int
    open_count: int
    total_time_ns: int
    sum_time_ns: int

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

    def _add_sums(self, other: _Passes, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class ProfileBlock(_Passes):
    """The figures of one block: all its passes, in all threads or in one.

    A time is the length of the set of moments that it is defined by, up to the moment at which the
    results were taken: what is open counts as far as it has come. Threads add up.

    :param name: the name that the program gave it.
    :param file: the file of its call site.
    :param line: the line of its call site.
    :param track_idx: the track that it belongs to.
    :param block_idx: its number within the track.
    :param hit_count: passes that ended, by return or by exception.
    :param total_time_ns: time in which at least one pass was open on the thread: recursion counts
        once, and so do tasks that wait at the same time.
    :param self_time_ns: that time less what nested blocks took.
    :param active_time_ns: that time less what coroutines and generators spent suspended.
    :param min_time_ns: the shortest pass that ended; 0 when none did.
    :param max_time_ns: the longest.
    :param sum_time_ns: the durations of the passes that ended added up, recursive ones included.
    :param sum_squares_ns2: the sum of their squares, in ns².
    :param histogram: how long they took.
    :param open_count: passes that are open; a block may have these and no hits.
    :param error_count: those of the hits that were left by an exception, cancellation apart.
    :param cancelled_count: those of the hits that were cancelled: left by a ``CancelledError``, a
        ``GeneratorExit`` or trio's ``Cancelled``.
    """

    __match_args__ = (
        "name",
        "file",
        "line",
        "track_idx",
        "block_idx",
        "hit_count",
        "total_time_ns",
        "self_time_ns",
        "active_time_ns",
        "min_time_ns",
        "max_time_ns",
        "sum_time_ns",
        "sum_squares_ns2",
        "histogram",
        "open_count",
        "error_count",
        "cancelled_count",
    )

    def __init__(
        self,
        name: str,
        file: str,
        line: int,
        track_idx: int,
        block_idx: int,
        hit_count: int = 0,
        total_time_ns: int = 0,
        self_time_ns: int = 0,
        active_time_ns: int = 0,
        min_time_ns: int = 0,
        max_time_ns: int = 0,
        sum_time_ns: int = 0,
        sum_squares_ns2: int = 0,
        histogram: Histogram | None = None,
        open_count: int = 0,
        error_count: int = 0,
        cancelled_count: int = 0,
    ) -> None:
        self.name = name
        self.file = file
        self.line = line
        self.track_idx = track_idx
        self.block_idx = block_idx
        self.hit_count = hit_count
        self.total_time_ns = total_time_ns
        self.self_time_ns = self_time_ns
        self.active_time_ns = active_time_ns
        self.min_time_ns = min_time_ns
        self.max_time_ns = max_time_ns
        self.sum_time_ns = sum_time_ns
        self.sum_squares_ns2 = sum_squares_ns2
        self.histogram = Histogram() if histogram is None else histogram
        self.open_count = open_count
        self.error_count = error_count
        self.cancelled_count = cancelled_count

    @property
    def avg_time_ns(self) -> float:
        """The mean over the passes that ended, in nanoseconds; 0.0 when none did."""
        return self.sum_time_ns / self.hit_count if self.hit_count else 0.0

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
        exact = exact_quantile(q)
        if not self.hit_count:
            return 0
        if exact == 0:
            return self.min_time_ns
        if exact == 1:
            return self.max_time_ns
        return min(max(self.histogram.quantile(q), self.min_time_ns), self.max_time_ns)

    def _identity(self) -> _Identity:
        return self.track_idx, self.file, self.line, self.name

    def _add(self, other: ProfileBlock) -> None:
        """Take in the passes of another block."""
        if other.hit_count:
            shortest = other.min_time_ns
            self.min_time_ns = min(self.min_time_ns, shortest) if self.hit_count else shortest
            self.max_time_ns = max(self.max_time_ns, other.max_time_ns)
        self._add_sums(other, _BLOCK_SUMS)
        self.histogram.merge(other.histogram)


class _Totals:
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


class ProfileTrack(_Record, _Totals):
    """A numbered group of blocks.

    :param track_idx: its number, 0 or more.
    :param track_name: its name.
    :param enabled: whether its blocks were being recorded.
    :param blocks: its blocks; ``blocks[i]`` is block ``i``.
    :param total_time_ns: time with at least one of its blocks open, summed over threads.
    """

    __match_args__ = ("track_idx", "track_name", "enabled", "blocks", "total_time_ns")

    def __init__(
        self,
        track_idx: int,
        track_name: str,
        enabled: bool = True,
        blocks: list[ProfileBlock] | None = None,
        total_time_ns: int = 0,
    ) -> None:
        self.track_idx = track_idx
        self.track_name = track_name
        self.enabled = enabled
        self.blocks = [] if blocks is None else blocks
        self.total_time_ns = total_time_ns

    def _sum(self, name: str) -> int:
        return sum(getattr(block, name) for block in self.blocks)

    def get_block(self, block_idx: int) -> ProfileBlock:
        """Return a block by its number.

        :param block_idx: the number of the block within this track.
        :raises IndexError: when there is no such block.
        """
        for block in self.blocks:
            if block.block_idx == block_idx:
                return block
        raise IndexError(
            f"track {self.track_idx} ({self.track_name!r}) has no block {block_idx!r}; "
            f"its blocks are {_listed(block.block_idx for block in self.blocks)}"
        )


class CallNode(_Passes):
    """A block as reached by one path of nested blocks: a node of the call tree.

    The root stands for the program outside all blocks: its name is empty and its indices are -1. A
    node of track -1 that is called ``(other paths)`` holds what a thread recorded beyond its limit
    of nodes.

    :param name: the block's name.
    :param track_idx: the block's track.
    :param block_idx: the block's number within the track.
    :param file: the file of its call site.
    :param line: the line of its call site.
    :param hit_count: passes that ended on this path.
    :param total_time_ns: time in which a pass was open on this path, nested blocks included.
    :param self_time_ns: that time less what the children took.
    :param children: the nodes directly below.
    :param sum_time_ns: the durations of the passes that ended added up; 0 in results that were
        saved in format 1, which did not tell it.
    :param open_count: passes that are open on this path.
    :param error_count: those of the hits that were left by an exception; see `ProfileBlock`.
    :param cancelled_count: those of the hits that were cancelled.
    """

    __match_args__ = (
        "name",
        "track_idx",
        "block_idx",
        "file",
        "line",
        "hit_count",
        "total_time_ns",
        "self_time_ns",
        "sum_time_ns",
        "open_count",
        "error_count",
        "cancelled_count",
    )

    def __init__(
        self,
        name: str,
        track_idx: int,
        block_idx: int,
        file: str = "",
        line: int = 0,
        hit_count: int = 0,
        total_time_ns: int = 0,
        self_time_ns: int = 0,
        children: list[CallNode] | None = None,
        sum_time_ns: int = 0,
        open_count: int = 0,
        error_count: int = 0,
        cancelled_count: int = 0,
    ) -> None:
        self.name = name
        self.track_idx = track_idx
        self.block_idx = block_idx
        self.file = file
        self.line = line
        self.hit_count = hit_count
        self.total_time_ns = total_time_ns
        self.self_time_ns = self_time_ns
        self.children = [] if children is None else children
        self.sum_time_ns = sum_time_ns
        self.open_count = open_count
        self.error_count = error_count
        self.cancelled_count = cancelled_count

    def add(self, other: CallNode) -> None:
        """Take in the passes of another node; each keeps its children.

        :param other: the node; it stays as it is.
        """
        self._add_sums(other, _SUMS)

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
        return _tree_from_rows, (_tree_rows(self),)

    def _identity(self) -> _Identity:
        return self.track_idx, self.file, self.line, self.name


def _tree_rows(root: CallNode) -> list[tuple[int, tuple[Any, ...]]]:
    """Return a tree as rows of (row number of the parent, values), parents first; -1 for none."""
    rows = []
    path: list[int] = []
    for number, (node, depth) in enumerate(root.walk()):
        del path[depth:]
        rows.append((path[-1] if path else -1, node._values()))
        path.append(number)
    return rows


def _tree_from_rows(rows: Iterable[tuple[int, tuple[Any, ...]]]) -> CallNode:
    """Return the tree that `_tree_rows` wrote down."""
    nodes: list[CallNode] = []
    for parent, values in rows:
        node = CallNode(**dict(zip(CallNode.__match_args__, values, strict=True)))
        if nodes:
            nodes[parent].children.append(node)
        nodes.append(node)
    return nodes[0]


class _Figures(_Record, _Totals):
    """What the results of one thread and of all threads have in common."""

    tracks: dict[int, ProfileTrack]
    total_time_ns: int
    tree: CallNode

    def _sum(self, name: str) -> int:
        return sum(track._sum(name) for track in self.tracks.values())

    def get_track(self, track_idx: int) -> ProfileTrack:
        """Return a track by its number.

        :param track_idx: the number of the track.
        :raises KeyError: when nothing was registered on such a track.
        """
        try:
            return self.tracks[track_idx]
        except (KeyError, TypeError):
            raise KeyError(
                f"there is no track {track_idx!r}; the tracks are {_listed(self.tracks)}"
            ) from None


_PROCESS_SUMS = ("total_hits", "total_time_ns", "total_open", "total_errors", "total_cancelled")


class ProcessResults(_Record):
    """One process's share of the results.

    :param host: the name of its machine; empty when it is not known.
    :param pid: the operating system's number for it, which may be used again.
    :param instance: a random name that no other process has; empty when it is not known.
    :param start_ns: when recording began in it, in ns since the epoch; 0 when it is not known.
    :param duration_ns: for how long it had been recorded.
    :param total_hits: passes of all blocks that ended.
    :param total_time_ns: time with at least one block open, summed over its threads.
    :param total_open: passes of all blocks that are open.
    :param total_errors: passes of all blocks that were left by an exception.
    :param total_cancelled: passes of all blocks that were cancelled.
    """

    __match_args__ = (
        "host",
        "pid",
        "instance",
        "start_ns",
        "duration_ns",
        "total_hits",
        "total_time_ns",
        "total_open",
        "total_errors",
        "total_cancelled",
    )

    def __init__(
        self,
        host: str,
        pid: int,
        instance: str = "",
        start_ns: int = 0,
        duration_ns: int = 0,
        total_hits: int = 0,
        total_time_ns: int = 0,
        total_open: int = 0,
        total_errors: int = 0,
        total_cancelled: int = 0,
    ) -> None:
        self.host = host
        self.pid = pid
        self.instance = instance
        self.start_ns = start_ns
        self.duration_ns = duration_ns
        self.total_hits = total_hits
        self.total_time_ns = total_time_ns
        self.total_open = total_open
        self.total_errors = total_errors
        self.total_cancelled = total_cancelled

    def _identity(self) -> tuple[str, int, str, int]:
        # Without a name of its own, only when it began tells it from others of its number.
        return self.host, self.pid, self.instance, 0 if self.instance else self.start_ns

    def _add(self, other: ProcessResults) -> None:
        """Take in what another profiler recorded in the same process."""
        end_ns = max(self.start_ns + self.duration_ns, other.start_ns + other.duration_ns)
        self.start_ns = min(self.start_ns, other.start_ns)
        self.duration_ns = end_ns - self.start_ns
        for name in _PROCESS_SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class ThreadResults(_Figures):
    """One thread's share of the results.

    :param key: the profiler's own number for the thread, never used twice.
    :param os_id: the operating system's number for it, which may be used again.
    :param name: the thread's name.
    :param alive: whether it was still running.
    :param tracks: its tracks by number.
    :param total_time_ns: time with at least one block open.
    :param tree: its call tree.
    :param process: the process that it is of, one of the results' ``processes``; None when that is
        not known.
    """

    __match_args__ = ("key", "os_id", "name", "alive", "tracks", "total_time_ns", "tree", "process")

    def __init__(
        self,
        key: int,
        os_id: int,
        name: str,
        alive: bool,
        tracks: dict[int, ProfileTrack] | None = None,
        total_time_ns: int = 0,
        tree: CallNode | None = None,
        process: ProcessResults | None = None,
    ) -> None:
        self.key = key
        self.os_id = os_id
        self.name = name
        self.alive = alive
        self.tracks = {} if tracks is None else tracks
        self.total_time_ns = total_time_ns
        self.tree = CallNode.root() if tree is None else tree
        self.process = process


class ProfilerResults(_Figures):
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
        self.processes = _own_process(self) if processes is None else list(processes)
        self._threads = threads if callable(threads) else self._placed(threads)

    @property
    def threads(self) -> list[ThreadResults]:
        """Each thread's share, in order of registration."""
        with self._threads_lock:
            if callable(self._threads):
                self._threads = self._placed(self._threads())
            return self._threads

    def _placed(self, threads: Iterable[ThreadResults]) -> list[ThreadResults]:
        """Return threads, those that do not say so being of the only process."""
        placed = list(threads)
        if len(self.processes) == 1:
            for thread in placed:
                thread.process = thread.process or self.processes[0]
        return placed

    def merge(self, *others: ProfilerResults) -> ProfilerResults:
        """Return new results that hold the passes of these and of others.

        Blocks are the same when track, file, line and name are. Tracks are the same when their
        names are, or their indices where one of them was given no name; a track of another name
        whose index is taken gets the next that is free. Where two threads have the same key, the
        later one gets a new one, and each knows its process. The metadata is that of these results,
        with that of each under ``merged``.

        :param others: results of other runs, processes or profilers; they stay as they are.
        :raises TypeError: when one of them is not a `ProfilerResults`.
        """
        for other in others:
            if not isinstance(other, ProfilerResults):
                raise TypeError(
                    "results can only be merged with other ProfilerResults, "
                    f"not with {type(other).__name__}"
                )
        return _merged([self, *others])

    def to_dict(self) -> dict[str, Any]:
        """Return the results as the document that `save` writes: dicts, lists, str, numbers.

        Means, standard deviations, percentiles, how many passes were open at a time and the totals
        of counts are in it for readers; `from_dict` computes them anew.

        :raises TypeError: when the metadata holds what JSON cannot.
        """
        places = _process_places(self)
        return {
            **_head_to_dict(self),
            "threads": [_thread_to_dict(thread, places) for thread in self.threads],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProfilerResults:
        """Return the results that a document holds.

        :param data: what `to_dict` returned, now or in an earlier version: what it did not count
            then is 0. Fields that this version does not know are ignored.
        :raises ResultsFormatError: when it is no such document, or one of a newer format.
        """
        document = Document(data, "")
        _check_format(document)
        processes = _processes_from(document)
        return cls(
            profiler_name=document.text("profiler_name"),
            **_figures_from(document),
            threads=[_thread_from(thread, processes) for thread in document.objects("threads")],
            metadata=_metadata_from(document),
            processes=processes,
        )

    def to_pandas(self, level: str = "block") -> Any:
        """Return the figures as a `pandas.DataFrame`, one row for each block.

        The names, the order and the types of the columns stay as they are.

        :param level: what a row is: ``block``; ``node``, of the call tree; ``thread``; or
            ``thread-block``, a block in one thread.
        :raises ImportError: when pandas is not installed: the extra ``pandas``.
        :raises ValueError: when there is no such level.
        :raises OverflowError: when a figure is too large for 64 bits.
        """
        from ._frames import pandas_frame

        return pandas_frame(self, level)

    def to_polars(self, level: str = "block") -> Any:
        """Return the figures as a `polars.DataFrame`, as `to_pandas` does.

        :param level: as for `to_pandas`.
        :raises ImportError: when polars is not installed: the extra ``polars``.
        :raises ValueError: when there is no such level.
        :raises OverflowError: when a figure is too large for 64 bits.
        """
        from ._frames import polars_frame

        return polars_frame(self, level)

    def to_arrow(self, level: str = "block") -> Any:
        """Return the figures as a `pyarrow.Table`, as `to_pandas` does.

        :param level: as for `to_pandas`.
        :raises ImportError: when pyarrow is not installed: the extra ``arrow``.
        :raises ValueError: when there is no such level.
        :raises OverflowError: when a figure is too large for 64 bits.
        """
        from ._frames import arrow_table

        return arrow_table(self, level)

    def to_json(self, indent: int | None = 2) -> str:
        """Return the document that `save` writes as JSON text.

        :param indent: spaces for each level, or None for everything on one line.
        :raises TypeError: when ``indent`` is of the wrong type, or the metadata holds what JSON
            cannot.
        :raises ValueError: when ``indent`` is negative.
        """
        import json
        import re

        check_indent(indent)
        text = json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)
        # A histogram has many pairs. Strings are safe: within them a line break is written "\n".
        text = re.sub(r"\[\n *(\d+),\n *(\d+)\n *\]", r"[\1, \2]", text)
        # A lone surrogate (from a file name that is not UTF-8) becomes its JSON escape.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

    def save(self, path: StrPath) -> None:
        """Write the results to a JSON file that `load` reads, whole or not at all.

        :param path: the target.
        :raises TypeError: when the path is of the wrong type, or the metadata holds what JSON
            cannot.
        :raises OSError: when the target cannot be written.
        """
        checked_path(path)
        write_whole(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: StrPath) -> ProfilerResults:
        """Read the results that `save` or `export_json` wrote.

        :param path: the file.
        :raises TypeError: when the path is of the wrong type.
        :raises OSError: when the file cannot be read.
        :raises ResultsFormatError: when it does not hold results, or those of a newer format.
        """
        raw = read_whole(path)
        try:
            return cls.from_dict(parse(raw))
        except ResultsFormatError as error:
            raise ResultsFormatError(f"{checked_path(path)}: {error}") from error.__cause__

    @classmethod
    def load_all(cls, directory: StrPath, *, name: str | None = None) -> ProfilerResults:
        """Read the results that processes gathered in a directory, and return them merged.

        They are merged as by `merge`, in the order in which the processes began. ``processes`` and
        the ``process`` of each thread tell who recorded what. Start and duration in the metadata
        span all processes, and its warnings are those of all. A file that cannot be read is left
        out, with a `RuntimeWarning` that names it and says why.

        :param directory: what was given to `Profiler.gather`. Files whose names do not end in
            ``.stichotrope.json`` are no results.
        :param name: the name of the profiler, where several have gathered in the directory.
        :raises TypeError: when an argument is of the wrong type.
        :raises OSError: when the directory cannot be read, or is not there.
        :raises ValueError: when it holds no results that can be read, none of that name, or those
            of several profilers and no name was given.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a profiler's name is a str or None, not {name!r}")
        folder = checked_path(directory)
        parts, skipped = _load_files(folder)
        chosen = _chosen(parts, name, folder, skipped)
        if skipped:
            import warnings

            total = len(parts) + len(skipped)
            warnings.warn(
                f"{len(skipped)} of {total} results files in {folder} were left out: "
                + "; ".join(skipped),
                RuntimeWarning,
                stacklevel=2,
            )
        return _gathered(sorted(chosen, key=_first_start), skipped)

    def __repr__(self) -> str:
        return (
            f"<ProfilerResults {self.profiler_name!r}: {len(self.tracks)} tracks, "
            f"{self.total_hits} hits, {self.total_time_ns} ns>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__match_args__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # The lock cannot be copied, so it is made.


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
    ``overhead_ns_per_pass``; a few times are less than `OVERHEAD_FACTOR` times it, in the mean or
    the median: on a busy machine, single passes that were interrupted lift the mean.

    :param block: the block.
    :param metadata: that of the results; False where it does not tell the cost.
    """
    overhead = metadata.get("overhead_ns_per_pass")
    if isinstance(overhead, bool) or not isinstance(overhead, (int, float)):
        return False
    usual_ns = min(block.avg_time_ns, block.percentile(50))
    return block.hit_count > 0 and usual_ns < OVERHEAD_FACTOR * overhead


def _listed(indices: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(indices))) or "none at all"


# Merging


class _Numbering:
    """Gives the blocks of all results their place: per track, dense, in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[_Identity, int] = {}
        self._members: dict[int, list[_Identity]] = {}

    def number(self, identity: _Identity) -> int:
        """Return a block's number; one that is new gets the next free number of its track."""
        if identity not in self._numbers:
            members = self._members.setdefault(identity[0], [])
            self._numbers[identity] = len(members)
            members.append(identity)
        return self._numbers[identity]

    def known(self, identity: _Identity, default: int) -> int:
        """Return a block's number, or the default for a node that stands for no block."""
        return self._numbers.get(identity, default)

    def unhit(self, track_idx: int, start: int, stop: int) -> Iterator[ProfileBlock]:
        """Yield blocks without passes for a range of numbers."""
        for number in range(start, stop):
            _, file, line, name = self._members[track_idx][number]
            yield ProfileBlock(name, file, line, track_idx, number)


class _Places:
    """Gives the tracks of all results their index in the whole.

    A track that was given a name is known by it: where tracks are numbered as they are first used,
    each process may have numbered them in another order. Others are known by their index.
    """

    def __init__(self) -> None:
        self._names: dict[int, str | None] = {}

    def of(self, tracks: dict[int, ProfileTrack]) -> dict[int, int]:
        """Return the index of each track of one part, by its index there."""
        known = {name: place for place, name in self._names.items() if name is not None}
        names = {idx: _given_name(track) for idx, track in tracks.items()}
        places = {idx: known[name] for idx, name in names.items() if name in known}
        for idx, name in names.items():
            if idx not in places:
                places[idx] = self._place(idx, name, {*places.values()}, tracks)
            self._names[places[idx]] = name or self._names.get(places[idx])
        return places

    def _place(
        self, idx: int, name: str | None, taken: set[int], tracks: dict[int, ProfileTrack]
    ) -> int:
        if idx not in taken and (name is None or self._names.get(idx) is None):
            return idx
        occupied = {*taken, *self._names, *tracks}
        return next(place for place in count() if place not in occupied)

    def name(self, place: int) -> str:
        """Return the name of a track of the whole."""
        return self._names.get(place) or default_track_name(place)


def default_track_name(idx: int) -> str:
    """Return what a track is called that nobody gave a name."""
    return f"Track {idx}"


def _given_name(track: ProfileTrack) -> str | None:
    name = track.track_name
    return None if name == default_track_name(track.track_idx) else name


def _merged(parts: list[ProfilerResults]) -> ProfilerResults:
    numbering, indices = _Numbering(), _Places()
    placed = [(part, indices.of(part.tracks)) for part in parts]
    processes = _merged_processes(parts)
    tracks: dict[int, ProfileTrack] = {}
    for part, places in placed:
        _add_tracks(tracks, part.tracks, numbering, places)
    # The trees and threads come after all tracks, whose blocks decide the numbering.
    tree = CallNode.root()
    for part, places in placed:
        _add_tree(tree, part.tree, numbering, places)
    threads = _merged_threads(placed, numbering, processes)
    for figures in (tracks, *(thread.tracks for thread in threads)):
        for idx, track in figures.items():
            track.track_name = indices.name(idx)
    return ProfilerResults(
        profiler_name=" + ".join(dict.fromkeys(part.profiler_name for part in parts)),
        tracks=dict(sorted(tracks.items())),
        total_time_ns=sum(part.total_time_ns for part in parts),
        tree=tree,
        threads=threads,
        metadata={**parts[0].metadata, "merged": _merged_metadata(parts)},
        processes=processes.values(),
    )


def _merged_processes(parts: list[ProfilerResults]) -> dict[object, ProcessResults]:
    """Return every process by its identity, with what all its profilers recorded."""
    merged: dict[object, ProcessResults] = {}
    for process in (process for part in parts for process in part.processes):
        identity = process._identity()
        if identity in merged:
            merged[identity]._add(process)
        else:
            merged[identity] = ProcessResults(*process._values())
    return merged


def _add_tracks(
    into: dict[int, ProfileTrack],
    tracks: dict[int, ProfileTrack],
    numbering: _Numbering,
    places: dict[int, int],
) -> None:
    for track in tracks.values():
        idx = places.get(track.track_idx, track.track_idx)
        if idx not in into:
            into[idx] = ProfileTrack(idx, track.track_name, track.enabled)
        into[idx].total_time_ns += track.total_time_ns
        blocks = into[idx].blocks
        for block in track.blocks:
            number = numbering.number(_placed(block, places))
            blocks.extend(numbering.unhit(idx, len(blocks), number + 1))
            blocks[number]._add(block)


def _placed(one: ProfileBlock | CallNode, places: dict[int, int]) -> _Identity:
    """Return what a block or a node is known by in the whole."""
    idx, file, line, name = one._identity()
    return places.get(idx, idx), file, line, name


def _add_tree(
    into: CallNode, tree: CallNode, numbering: _Numbering, places: dict[int, int]
) -> None:
    stack = [(into, tree)]
    while stack:
        target, source = stack.pop()
        target.add(source)
        below = {child._identity(): child for child in target.children}
        for child in source.children:
            identity = _placed(child, places)
            if identity not in below:
                number = numbering.known(identity, child.block_idx)
                node = CallNode(child.name, identity[0], number, child.file, child.line)
                below[identity] = node
                target.children.append(node)
            stack.append((below[identity], child))


def _merged_threads(
    placed: list[tuple[ProfilerResults, dict[int, int]]],
    numbering: _Numbering,
    processes: dict[object, ProcessResults],
) -> list[ThreadResults]:
    threads = [(thread, places) for part, places in placed for thread in part.threads]
    fresh = 1 + max((thread.key for thread, _ in threads), default=0)
    merged: dict[int, ThreadResults] = {}
    for thread, places in threads:
        key = thread.key
        if key in merged:
            key = fresh
            fresh += 1
        copy = ThreadResults(
            key, thread.os_id, thread.name, thread.alive, total_time_ns=thread.total_time_ns
        )
        if thread.process is not None:
            copy.process = processes.get(thread.process._identity())
        _add_tracks(copy.tracks, thread.tracks, numbering, places)
        _add_tree(copy.tree, thread.tree, numbering, places)
        merged[key] = copy
    return list(merged.values())


def _merged_metadata(parts: list[ProfilerResults]) -> list[Any]:
    """Return the metadata of each run, also of those that had been merged before."""
    return [metadata for part in parts for metadata in _runs(part.metadata)]


def _runs(metadata: dict[str, Any]) -> list[Any]:
    merged = metadata.get("merged")  # from a file: it may be anything
    return merged if merged and isinstance(merged, list) else [metadata]


# Processes


def _own_process(results: ProfilerResults) -> list[ProcessResults]:
    """Return the process that the metadata of one run speaks of, with all figures."""
    metadata = results.metadata
    pid = metadata.get("process")
    if isinstance(pid, dict):
        pid = pid.get("pid")
    if "merged" in metadata or not isinstance(pid, int) or isinstance(pid, bool):
        return []
    host, instance = (metadata.get(key) for key in ("host", "instance"))
    start_ns, duration_ns = (metadata.get(key) for key in ("start_ns", "duration_ns"))
    return [
        ProcessResults(
            host=host if isinstance(host, str) else "",
            pid=pid,
            instance=instance if isinstance(instance, str) else "",
            start_ns=start_ns if isinstance(start_ns, int) else 0,
            duration_ns=duration_ns if isinstance(duration_ns, int) else 0,
            **{name: getattr(results, name) for name in _PROCESS_SUMS},
        )
    ]


def _load_files(folder: str) -> tuple[list[ProfilerResults], list[str]]:
    """Return the results in a directory's files, and a sentence for each that has none."""
    parts: list[ProfilerResults] = []
    skipped: list[str] = []
    for path in files_in(folder, GATHERED_SUFFIX):
        if not os.path.isfile(path):  # reading a named pipe would wait for who writes to it
            skipped.append(f"{path}: not a regular file")
            continue
        try:
            parts.append(ProfilerResults.load(path))
        except OSError as error:
            skipped.append(f"{path}: {error.strerror or error}")
        except ResultsFormatError as error:
            skipped.append(str(error))  # it begins with the path
    return parts, skipped


def _chosen(
    parts: list[ProfilerResults], name: str | None, folder: str, skipped: list[str]
) -> list[ProfilerResults]:
    """Return the results of one profiler; refuse to choose where several are there."""
    reasons = "".join(f"; left out: {sentence}" for sentence in skipped)
    if not parts:
        expected = f"results files, named *{GATHERED_SUFFIX}, as Profiler.gather() leaves them"
        found = "none that can be read" if skipped else "none"
        raise ValueError(f"{folder} should hold {expected}, but there are {found}{reasons}")
    names = list(dict.fromkeys(part.profiler_name for part in parts))
    listed = ", ".join(map(repr, names))
    if name is None and len(names) > 1:
        raise ValueError(
            f"{folder} holds the results of several profilers, {listed}; "
            f"choose one with name=…{reasons}"
        )
    if name is not None and name not in names:
        raise ValueError(f"{folder} holds no results of {name!r}, but of {listed}{reasons}")
    return [part for part in parts if name in (None, part.profiler_name)]


def _first_start(results: ProfilerResults) -> int:
    return min((process.start_ns for process in results.processes), default=0)


def _gathered(parts: list[ProfilerResults], skipped: list[str]) -> ProfilerResults:
    """Return the results of several processes merged, with metadata that holds for all."""
    merged = _merged(parts)
    spans = [
        (process.start_ns, process.start_ns + process.duration_ns) for process in merged.processes
    ]
    # What only the first process said of itself stays under "merged" alone.
    for key in ("process", "instance", "threads", "folded_threads"):
        merged.metadata.pop(key, None)
    if len({process.host for process in merged.processes}) > 1:
        merged.metadata.pop("host", None)
    if spans:
        start_ns = min(start for start, _ in spans)
        merged.metadata["start_ns"] = start_ns
        merged.metadata["duration_ns"] = max(end for _, end in spans) - start_ns
    merged.metadata["warnings"] = [f"left out: {sentence}" for sentence in skipped] + [
        sentence for part in parts for sentence in _warnings_of(part)
    ]
    return merged


def _warnings_of(results: ProfilerResults) -> Iterator[str]:
    """Yield the warnings of one file, each with the process that it is about."""
    whose = [f"process {process.pid} on {process.host or '?'}" for process in results.processes]
    warnings = results.metadata.get("warnings")
    for warning in warnings if isinstance(warnings, list) else ():
        yield f"{whose[0]}: {warning}" if len(whose) == 1 else f"{warning}"


# The document: written


def compact_json(results: ProfilerResults) -> str:
    """Return the document that `save` writes as JSON text, with as few characters as it takes.

    It is made thread by thread: the encoder does not let other threads run while it works.

    :param results: what is written.
    """
    from json import dumps

    places = _process_places(results)
    head = dumps(_head_to_dict(results), allow_nan=False)
    threads = (dumps(_thread_to_dict(one, places), allow_nan=False) for one in results.threads)
    return f'{head[:-1]}, "threads": [{", ".join(threads)}]}}'


def _head_to_dict(results: ProfilerResults) -> dict[str, Any]:
    """Return all of the document but the threads."""
    head = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "profiler_name": results.profiler_name,
        **_figures_to_dict(results),
        "metadata": json_value(results.metadata),
    }
    if _says_more(results):
        head["processes"] = [_process_to_dict(process) for process in results.processes]
    return head


def _says_more(results: ProfilerResults) -> bool:
    """Return whether the processes have to be written: a single one is in the metadata."""
    return results.processes != _own_process(results)


def _process_places(results: ProfilerResults) -> dict[object, int]:
    """Return the place of each process in the document, by its identity."""
    if not _says_more(results):
        return {}
    return {process._identity(): place for place, process in enumerate(results.processes)}


def _process_to_dict(process: ProcessResults) -> dict[str, Any]:
    return dict(zip(ProcessResults.__match_args__, process._values(), strict=True))


def _figures_to_dict(figures: _Figures) -> dict[str, Any]:
    return {
        "total_time_ns": figures.total_time_ns,
        **_totals_to_dict(figures),
        "tracks": [_track_to_dict(track) for _, track in sorted(figures.tracks.items())],
        "tree": [
            {"parent": parent, **dict(zip(CallNode.__match_args__, values, strict=True))}
            for parent, values in _tree_rows(figures.tree)
        ],
    }


def _totals_to_dict(totals: _Totals) -> dict[str, int]:
    names = ("total_hits", "total_open", "total_errors", "total_cancelled")
    return {name: getattr(totals, name) for name in names}


def _track_to_dict(track: ProfileTrack) -> dict[str, Any]:
    return {
        "track_idx": track.track_idx,
        "track_name": track.track_name,
        "enabled": track.enabled,
        "total_time_ns": track.total_time_ns,
        **_totals_to_dict(track),
        "blocks": [_block_to_dict(block) for block in track.blocks],
    }


def _block_to_dict(block: ProfileBlock) -> dict[str, Any]:
    return {
        "name": block.name,
        "file": block.file,
        "line": block.line,
        "block_idx": block.block_idx,
        "hit_count": block.hit_count,
        "error_count": block.error_count,
        "cancelled_count": block.cancelled_count,
        "open_count": block.open_count,
        "total_time_ns": block.total_time_ns,
        "avg_time_ns": block.avg_time_ns,
        "min_time_ns": block.min_time_ns,
        "max_time_ns": block.max_time_ns,
        "self_time_ns": block.self_time_ns,
        "active_time_ns": block.active_time_ns,
        "stddev_time_ns": block.stddev_time_ns,
        "p50_time_ns": block.percentile(50),
        "p95_time_ns": block.percentile(95),
        "p99_time_ns": block.percentile(99),
        "concurrency": block.concurrency,
        "sum_time_ns": block.sum_time_ns,
        "sum_squares_ns2": block.sum_squares_ns2,
        "histogram": [[lower, count] for lower, _, count in block.histogram],
    }


def _thread_to_dict(thread: ThreadResults, places: dict[object, int]) -> dict[str, Any]:
    place = places.get(thread.process._identity()) if thread.process is not None else None
    return {
        **({} if place is None else {"process": place}),
        "key": thread.key,
        "os_id": thread.os_id,
        "name": thread.name,
        "alive": thread.alive,
        **_figures_to_dict(thread),
    }


# The document: read


def _check_format(document: Document) -> None:
    found = document.value.get("format")
    if found != FORMAT:
        raise ResultsFormatError(
            f'not a stichotrope results file: its "format" is {kind(found)}, expected {FORMAT!r}'
        )
    version = document.count("format_version")
    if version > FORMAT_VERSION:
        raise ResultsFormatError(
            f"written in results format {version}; this version reads up to {FORMAT_VERSION}; "
            "update stichotrope"
        )
    document.version = version


def _metadata_from(document: Document) -> Any:
    try:
        return json_value(document.mapping("metadata"), limit=MAX_NESTING)
    except ResultsFormatError:
        raise
    except ValueError as error:
        raise ResultsFormatError(str(error)) from error


def _figures_from(document: Document) -> dict[str, Any]:
    tracks = [_track_from(track) for track in document.objects("tracks")]
    by_idx = {track.track_idx: track for track in tracks}
    if len(by_idx) != len(tracks):
        raise ResultsFormatError(f'field "tracks"{document.place()} holds a track twice')
    return {
        "tracks": by_idx,
        "total_time_ns": document.count("total_time_ns"),
        "tree": _tree_from(document),
    }


def _track_from(document: Document) -> ProfileTrack:
    idx = document.count("track_idx")
    return ProfileTrack(
        track_idx=idx,
        track_name=document.text("track_name"),
        enabled=document.flag("enabled"),
        blocks=[_block_from(block, idx) for block in document.objects("blocks")],
        total_time_ns=document.count("total_time_ns"),
    )


def _block_from(document: Document, track_idx: int) -> ProfileBlock:
    histogram = Histogram()
    for lower, passes in document.pairs("histogram"):
        histogram.add(lower, passes)
    return ProfileBlock(
        name=document.text("name"),
        file=document.text("file"),
        line=document.count("line"),
        track_idx=track_idx,
        block_idx=document.count("block_idx"),
        hit_count=document.count("hit_count"),
        total_time_ns=document.count("total_time_ns"),
        # Below 0 when nested blocks overlapped in time.
        self_time_ns=document.integer("self_time_ns"),
        active_time_ns=document.count("active_time_ns"),
        min_time_ns=document.count("min_time_ns"),
        max_time_ns=document.count("max_time_ns"),
        sum_time_ns=document.count("sum_time_ns"),
        sum_squares_ns2=document.count("sum_squares_ns2"),
        histogram=histogram,
        open_count=document.count("open_count", since=2),
        error_count=document.count("error_count", since=2),
        cancelled_count=document.count("cancelled_count", since=2),
    )


def _processes_from(document: Document) -> list[ProcessResults] | None:
    if "processes" not in document.value:
        return None
    return [
        ProcessResults(
            host=process.text("host"),
            pid=process.count("pid"),
            instance=process.text("instance"),
            start_ns=process.integer("start_ns"),
            duration_ns=process.count("duration_ns"),
            total_hits=process.count("total_hits"),
            total_time_ns=process.count("total_time_ns"),
            total_open=process.count("total_open", since=2),
            total_errors=process.count("total_errors", since=2),
            total_cancelled=process.count("total_cancelled", since=2),
        )
        for process in document.objects("processes")
    ]


def _process_of(
    document: Document, processes: list[ProcessResults] | None
) -> ProcessResults | None:
    """Return the process that a thread's object names by its place, if it does."""
    if processes is None or "process" not in document.value:
        return None
    place = document.count("process")
    if place >= len(processes):
        raise ResultsFormatError(
            f'field "process" at {document.where} must be the place of one of '
            f"{len(processes)} processes, not {place}"
        )
    return processes[place]


def _thread_from(document: Document, processes: list[ProcessResults] | None) -> ThreadResults:
    return ThreadResults(
        process=_process_of(document, processes),
        key=document.integer("key"),
        os_id=document.integer("os_id"),
        name=document.text("name"),
        alive=document.flag("alive"),
        **_figures_from(document),
    )


def _tree_from(document: Document) -> CallNode:
    rows = []
    for number, node in enumerate(document.objects("tree")):
        parent = node.integer("parent")
        # Only the root has none, and a parent always comes first: so it is one tree, and no loop.
        if (parent == -1) != (number == 0) or not -1 <= parent < number:
            raise ResultsFormatError(
                f'field "parent" at {node.where} must be the number of a node before it '
                f"(-1 for the first), not {parent}"
            )
        rows.append((parent, _node_values(node)))
    if not rows:
        raise ResultsFormatError(f'field "tree"{document.place()} must have at least a root')
    return _tree_from_rows(rows)


def _node_values(document: Document) -> tuple[Any, ...]:
    return (
        document.text("name"),
        document.integer("track_idx"),
        document.integer("block_idx"),
        document.text("file"),
        document.count("line"),
        document.count("hit_count"),
        document.count("total_time_ns"),
        document.integer("self_time_ns"),
        document.count("sum_time_ns", since=2),
        document.count("open_count", since=2),
        document.count("error_count", since=2),
        document.count("cancelled_count", since=2),
    )
