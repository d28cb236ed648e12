"""The blocks of profilers as metrics."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import inf

from ..results import ProfilerResults
from ..results.gathered import NothingGatheredError
from ..results.newest import stretches_of
from .buckets import DEFAULT_BUCKETS, checked_bounds, native
from .metric import shown_bound
from .samples import Family

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from .._text.files import StrPath
    from ..results import ProfileBlock

_COUNTERS = (
    ("passes", "hit_count", "Passes that ended, by return or by an exception."),
    ("errors", "error_count", "Passes that were left by an exception, cancellation apart."),
    ("cancelled", "cancelled_count", "Passes that were cancelled."),
)
# Of those that say how much went through them.
_WORK = (
    ("bytes", "byte_count", "Bytes that went through passes, as the program says."),
    ("items", "item_count", "Items that went through passes, as the program says."),
)
_PREFIX = "stichotrope_block"
_NS = 1_000_000_000
_Key = tuple[str, str, str]


class BlockCollector:
    """Collects the blocks of results: passes, errors, seconds, what is open, how long passes took.

    Blocks of one profiler, track and name are one series, wherever they stand in the code.

    :param results: what gives the results, whenever it is asked.
    :param buckets: upper bounds in seconds of the classic histograms; native ones have their own.
    :raises TypeError: when a bound is no number.
    :raises ValueError: when the bounds do not rise.
    """

    gives_checked = True

    def __init__(
        self,
        results: Callable[[], Iterable[ProfilerResults]],
        buckets: Iterable[float] = DEFAULT_BUCKETS,
    ) -> None:
        self._results = results
        self._bounds = checked_bounds(buckets)
        self._seconds = _Steady()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are its own in a registry."""
        return (_PREFIX,)

    def describe(self) -> list[Family]:
        """Return all families that there can be, without samples."""
        counted = [(ending, text) for ending, _, text in (*_COUNTERS, *_WORK)]
        return [
            *(Family(f"{_PREFIX}_{ending}", text, "counter") for ending, text in counted),
            *_measured(),
        ]

    def collect(self) -> list[Family]:
        """Return the families of all blocks that were entered."""
        return block_families(self._results(), self._bounds, self._seconds)


class StoreCollector(BlockCollector):
    """Collects the blocks that processes have recorded in a directory: nothing until the first has.

    :param directory: the store of their profilers, or what they gather in.
    :param name: the name of the profiler, where there are several.
    :param buckets: upper bounds in seconds of the classic histograms.
    :raises TypeError: when a bound is no number.
    :raises ValueError: when the bounds do not rise.
    """

    def __init__(
        self,
        directory: StrPath,
        name: str | None = None,
        buckets: Iterable[float] = DEFAULT_BUCKETS,
    ) -> None:
        def recorded() -> list[ProfilerResults]:
            try:
                return [ProfilerResults.load_all(directory, name=name)]
            except NothingGatheredError:
                return []

        super().__init__(recorded, buckets)


class _Steady:
    """Keeps times from going down while what they are of goes on.

    What is open counts up to when it is read, which may be some ns later than when it ends; and to
    Prometheus a counter that goes down has begun anew.
    """

    def __init__(self) -> None:
        self._seen: dict[_Key, tuple[object, int]] = {}

    def not_below(self, key: _Key, recordings: set[object], time_ns: int) -> int:
        """Return a time, or the one before where that was longer.

        :param key: of which series.
        :param recordings: what it is of; None in them where one is not known.
        :param time_ns: the time.
        """
        known = self._seen.get(key)
        if None not in recordings and known is not None and known[0] == recordings:
            time_ns = max(time_ns, known[1])
        self._seen[key] = recordings, time_ns
        return time_ns

    def forget_others(self, keys: Container[_Key]) -> None:
        """Forget series that are there no more.

        :param keys: those that are.
        """
        for key in [one for one in list(self._seen) if one not in keys]:
            self._seen.pop(key, None)


def block_families(
    results: Iterable[ProfilerResults], bounds: tuple[float, ...], steady: _Steady
) -> list[Family]:
    """Return the blocks of results as families.

    :param results: the results, of one process or of several.
    :param bounds: upper bounds in seconds of the classic histograms.
    :param steady: what was told of the same ones before.
    """
    blocks: dict[_Key, list[ProfileBlock]] = {}
    recordings: dict[_Key, set[object]] = {}  # None in them where one is not known
    for one in results:
        # Since when each recording in it goes on.
        stretches = stretches_of(one.metadata)
        begun: set[object] = {(recording, begin) for recording, begin, _ in stretches}
        for track in one.tracks.values():
            for block in track.blocks:
                if block.was_entered:
                    key = (one.profiler_name, track.track_name, block.name)
                    blocks.setdefault(key, []).append(block)
                    recordings.setdefault(key, set()).update(begun or {None})
    labels = {key: dict(zip(("profiler", "track", "block"), key, strict=True)) for key in blocks}
    families = []
    for ending, field, text in _COUNTERS:
        family = Family(f"{_PREFIX}_{ending}", text, "counter")
        for key, group in blocks.items():
            family.add("_total", labels[key], sum(getattr(block, field) for block in group))
        families.append(family)
    for ending, field, text in _WORK:
        family = Family(f"{_PREFIX}_{ending}", text, "counter")
        for key, group in blocks.items():
            amount = sum(getattr(block, field) for block in group)
            if amount:
                family.add("_total", labels[key], amount)
        if family.samples:
            families.append(family)
    seconds, opened, durations = _measured()
    for key, group in blocks.items():
        total_ns = sum(block.total_time_ns for block in group)
        total_ns = steady.not_below(key, recordings[key], total_ns)
        seconds.add("_total", labels[key], total_ns / _NS)
        opened.add("", labels[key], sum(block.open_count for block in group))
        _add_histogram(durations, labels[key], group, bounds)
    steady.forget_others(blocks)
    return [*families, seconds, opened, durations]


def _measured() -> tuple[Family, Family, Family]:
    """Return the families of seconds, of what is open, and of durations, without samples."""
    return (
        Family(f"{_PREFIX}_seconds", "Time in which a pass was open; threads add up.", "counter"),
        Family(f"{_PREFIX}_open", "Passes that are open.", "gauge"),
        Family(f"{_PREFIX}_duration_seconds", "How long passes took.", "histogram"),
    )


def _add_histogram(
    family: Family, labels: dict[str, str], group: list[ProfileBlock], bounds: tuple[float, ...]
) -> None:
    """Add the durations of blocks that are one series."""
    counts = [0] * (len(bounds) + 1)
    sizes: list[tuple[float, int]] = []
    for block in group:
        for lower, upper, count in block.histogram:
            middle = (lower + upper - 1) / (2 * _NS)  # they are whole: the last is upper - 1
            sizes.append((middle, count))
            # What is equal to a bound is below it, and with it what shares its bucket.
            counts[bisect_left(bounds, lower / _NS)] += count
    total = sum(block.sum_time_ns for block in group) / _NS
    ended = [block for block in group if block.hit_count]
    extremes = (
        min((block.min_time_ns for block in ended), default=0) / _NS,
        max((block.max_time_ns for block in ended), default=0) / _NS,
    )
    family.natives.append((labels, native(sizes, total, extremes)))
    for bound, count in zip((*bounds, inf), accumulate(counts), strict=True):
        family.add("_bucket", {**labels, "le": shown_bound(bound)}, count)
    family.add("_count", labels, sum(counts))
    family.add("_sum", labels, total)
