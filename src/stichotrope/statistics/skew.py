"""How unevenly several workers took part in each block, and which of them were slow."""

from __future__ import annotations

from statistics import median

from ..results import results_of

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple

    from ..results import ProcessResults, ProfileBlock
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

    class Skew(NamedTuple):
        """How unevenly workers took part in one block.

        :ivar block: the block, with the figures of all.
        :ivar track: the name of its track.
        :ivar parts: what each worker had that entered it, the slowest first.
        :ivar median_ns: the median of their times, in ns.
        :ivar median_hits: the median of their passes.
        :ivar median_mean_ns: the median of their means, of those that have one, in ns.
        """

        block: ProfileBlock
        track: str
        parts: list[Part]
        median_ns: float
        median_hits: float
        median_mean_ns: float

    class Straggler(NamedTuple):
        """A worker that took long for a block.

        :ivar part: what it had of the block.
        :ivar skew: what all had.
        """

        part: Part
        skew: Skew
else:
    Part = namedtuple("Part", "process time_ns hits mean_ns")
    Skew = namedtuple("Skew", "block track parts median_ns median_hits median_mean_ns")
    Straggler = namedtuple("Straggler", "part skew")


def skews(results: object) -> list[Skew]:
    """Return how unevenly the workers took part in each block that several of them entered.

    Those come first in which the slowest worker is furthest above the median.

    :param results: a `ProfilerResults`, or a `Profiler`: of several processes.
    :raises TypeError: when it is anything else.
    """
    found = results_of(results)
    parts: dict[object, list[Part]] = {}
    for share in found.shares():
        for identity, hits, total, whole, _ in share.rows():
            if hits or total:
                mean = whole / hits if hits else 0.0
                parts.setdefault(identity, []).append(Part(share.process, total, hits, mean))
    uneven = [
        _skew(block, track.track_name, parts[block.identity])
        for track in found.tracks.values()
        for block in track.blocks
        if len(parts.get(block.identity, ())) > 1
    ]
    return sorted(uneven, key=lambda one: one.median_ns - one.parts[0].time_ns)


def _skew(block: ProfileBlock, track: str, parts: list[Part]) -> Skew:
    parts.sort(key=lambda part: -part.time_ns)
    return Skew(
        block,
        track,
        parts,
        median(part.time_ns for part in parts),
        median(part.hits for part in parts),
        median([part.mean_ns for part in parts if part.hits] or [0.0]),
    )


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
    slow = [straggler for skew in uneven for straggler in _slow(skew)]
    return sorted(slow, key=lambda one: one.skew.median_ns - one.part.time_ns)


def _slow(skew: Skew) -> Iterator[Straggler]:
    for part in skew.parts:
        if part.time_ns < FACTOR * skew.median_ns:
            return
        if part.time_ns - skew.median_ns >= LEAST_SHARE * part.process.duration_ns:
            yield Straggler(part, skew)


def ratio(part: float, usual: float) -> float:
    """Return how many times as much a figure is as the median; 0.0 where that is 0.

    :param part: the figure.
    :param usual: the median.
    """
    return part / usual if usual else 0.0
