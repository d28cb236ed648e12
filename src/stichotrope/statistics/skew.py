"""How unevenly several workers took part in each block, and which of them were slow."""

from __future__ import annotations

from functools import cached_property
from heapq import nsmallest
from itertools import repeat
from operator import add
from statistics import median

from ..results import results_of

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, NamedTuple

    from ..results import ProcessResults, ProfileBlock
    from ..results.shares import Share
else:
    from collections import namedtuple

FACTOR = 1.5  # times the median: from there on a worker is a straggler
LEAST_SHARE = 0.01  # of the time that was recorded: less than that more is nobody's trouble

if TYPE_CHECKING:

    class Part(NamedTuple):
        """What one worker had of one block.

        :ivar process: the worker.
        :ivar time_ns: how long it had a pass open, in ns; threads add up.
        :ivar hits: how many of its passes ended.
        :ivar mean_ns: what one of them took, in ns; 0.0 where none ended.
        """

        process: ProcessResults
        time_ns: int
        hits: int
        mean_ns: float

    class Straggler(NamedTuple):
        """A worker that took long for a block.

        :ivar part: what it had of the block.
        :ivar skew: what all had.
        """

        part: Part
        skew: Skew
else:
    Part = namedtuple("Part", "process time_ns hits mean_ns")
    Straggler = namedtuple("Straggler", "part skew")


class _Columns:
    """What each worker had that entered a block, in columns: a thousand of both are a million."""

    __slots__ = ("hits", "processes", "sums", "times")

    def __init__(self) -> None:
        self.processes: list[ProcessResults] = []
        self.times: list[int] = []
        self.hits: list[int] = []
        self.sums: list[int] = []

    def extend(
        self,
        processes: Sequence[ProcessResults],
        times: Sequence[int],
        hits: Sequence[int],
        sums: Sequence[int],
    ) -> None:
        """Take in those of more workers; who did not enter the block does not count."""
        columns: tuple[Sequence[Any], ...] = processes, times, hits, sums
        if not all(map(add, times, hits)):
            rows = [row for row in zip(*columns, strict=True) if row[1] or row[2]]
            columns = tuple(zip(*rows, strict=True)) or ((), (), (), ())
        own: tuple[list[Any], ...] = self.processes, self.times, self.hits, self.sums
        for column, more in zip(own, columns, strict=True):
            column.extend(more)

    def part(self, place: int) -> Part:
        """Return what one of them had."""
        hits = self.hits[place]
        mean_ns = self.sums[place] / hits if hits else 0.0
        return Part(self.processes[place], self.times[place], hits, mean_ns)


class Skew:
    """How unevenly workers took part in one block.

    :ivar block: the block, with the figures of all.
    :ivar track: the name of its track.
    :ivar workers: how many entered it.
    :ivar slowest: what the slowest of them had.
    :ivar median_ns: the median of their times, in ns.
    :ivar median_hits: the median of their passes.
    :ivar median_mean_ns: the median of their means, of those that have one, in ns.
    """

    def __init__(self, block: ProfileBlock, track: str, columns: _Columns) -> None:
        self.block = block
        self.track = track
        self.workers = len(columns.times)
        self.slowest = columns.part(columns.times.index(max(columns.times)))
        self.median_ns: float = median(columns.times)
        self.median_hits: float = median(columns.hits)
        pairs = zip(columns.sums, columns.hits, strict=True)
        self.median_mean_ns: float = median([s / hits for s, hits in pairs if hits] or [0.0])
        self._columns = columns

    @cached_property
    def parts(self) -> list[Part]:
        """What each worker had that entered it, the slowest first."""
        times = self._columns.times
        order = sorted(range(len(times)), key=times.__getitem__, reverse=True)
        return [self._columns.part(place) for place in order]

    def slow(self) -> Iterator[tuple[float, int]]:
        """Yield of each straggler minus how much it is above the median, and its place."""
        least = FACTOR * self.median_ns
        if self.slowest.time_ns < least:
            return
        processes = self._columns.processes
        for place, time_ns in enumerate(self._columns.times):
            lost_ns = time_ns - self.median_ns
            if time_ns >= least and lost_ns >= LEAST_SHARE * processes[place].duration_ns:
                yield -lost_ns, place

    def straggler(self, place: int) -> Straggler:
        """Return who is at a place that `slow` has given."""
        return Straggler(self._columns.part(place), self)


def skews(results: object) -> list[Skew]:
    """Return how unevenly the workers took part in each block that several of them entered.

    Those come first in which the slowest worker is furthest above the median.

    :param results: a `ProfilerResults`, or a `Profiler`: of several processes.
    :raises TypeError: when it is anything else.
    """
    found = results_of(results)
    columns = _by_block(found.shares())
    uneven = [
        Skew(block, track.track_name, columns[block.identity])
        for track in found.tracks.values()
        for block in track.blocks
        if block.identity in columns and len(columns[block.identity].times) > 1
    ]
    return sorted(uneven, key=lambda one: one.median_ns - one.slowest.time_ns)


def _by_block(shares: list[Share]) -> dict[Any, _Columns]:
    """Return what the workers had, by block."""
    # Those of one program often have the same blocks, told by one list.
    alike: dict[int, list[Share]] = {}
    for share in shares:
        alike.setdefault(id(share.blocks), []).append(share)
    found: dict[Any, _Columns] = {}
    for group in alike.values():
        processes = [share.process for share in group]
        columns = [
            zip(*(getattr(share, name) for share in group), strict=True)
            for name in ("total_ns", "hits", "sum_ns")
        ]
        rows = zip(group[0].blocks, repeat(processes), *columns, strict=False)
        for block, *row in rows:
            found.setdefault(block, _Columns()).extend(*row)
    return found


def stragglers(results: object, found: list[Skew] | None = None) -> list[Straggler]:
    """Return the workers that took long for a block, those that lost most by it first.

    One is a straggler in a block if its time there is at least `FACTOR` times the median of all
    workers that entered it, and above that by at least `LEAST_SHARE` of the time for which it was
    recorded.

    :param results: as for `skews`.
    :param found: what `skews` returned, if it is there already.
    :raises TypeError: when it is anything else.
    """
    uneven = skews(results) if found is None else found
    return worst(uneven, None)[0]


def worst(found: list[Skew], most: int | None) -> tuple[list[Straggler], int]:
    """Return the stragglers that lost most, and how many there are in all.

    :param found: what `skews` returned.
    :param most: how many of them are wanted; None for all.
    """
    slow = [(lost, number, place) for number, one in enumerate(found) for lost, place in one.slow()]
    chosen = sorted(slow) if most is None else nsmallest(most, slow)
    return [found[number].straggler(place) for _, number, place in chosen], len(slow)


def ratio(part: float, usual: float) -> float:
    """Return how many times as much a figure is as the median; 0.0 where that is 0.

    :param part: the figure.
    :param usual: the median.
    """
    return part / usual if usual else 0.0
