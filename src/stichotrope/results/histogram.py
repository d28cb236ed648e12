"""A log-linear histogram of durations in integer nanoseconds, and quantiles read from it."""

from __future__ import annotations

from numbers import Rational, Real

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from fractions import Fraction

# Each octave (a power of two up to the next) is cut into 2**7 = 128 buckets of equal width.
_SUB_BITS = 7
_SUB_BUCKETS = 1 << _SUB_BITS
_NEAR = (1, -1, 2, -2)  # how far passes move between buckets when the clock's rate is known better

_PERCENTS: dict[int, Fraction] = {}  # each made once: reports ask for the same ones of each block


def index(ns: int) -> int:
    """Return the number of the bucket that a duration falls into.

    Durations below 256 ns have a bucket each; from there on a bucket is at most 1/128 of its lower
    bound wide. This is the log-linear layout of HdrHistogram (http://hdrhistogram.org) with 128
    sub-buckets in each octave.

    :param ns: a duration in nanoseconds, 0 or more.
    """
    shift = ns.bit_length() - _SUB_BITS - 1
    if shift <= 0:
        return ns
    return (shift << _SUB_BITS) + (ns >> shift)


def bounds(index: int) -> tuple[int, int]:
    """Return the half-open interval ``(lower_ns, upper_ns)`` that a bucket covers.

    :param index: the number of a bucket, as `index` gives it.
    """
    shift = (index >> _SUB_BITS) - 1
    if shift <= 0:
        return index, index + 1
    lower = (index - (shift << _SUB_BITS)) << shift
    return lower, lower + (1 << shift)


def exact_quantile(q: float) -> Fraction:
    """Return a percentage as an exact fraction of 100, so that ranks never suffer from rounding.

    :param q: a number from 0 to 100; a float means the decimal number that it prints as.
    :raises TypeError: when ``q`` is not a real number.
    :raises ValueError: when ``q`` lies outside 0 to 100, or is not a number (nan).
    """
    if type(q) is int and 0 <= q <= 100:
        return _PERCENTS[q] if q in _PERCENTS else _PERCENTS.setdefault(q, _fraction(q))
    from fractions import Fraction

    if not _is_a(Real, q) or isinstance(q, bool):
        raise TypeError(f"a percentile is asked for with a number from 0 to 100, not {q!r}")
    if not 0 <= q <= 100:
        raise ValueError(f"a percentile must lie between 0 and 100, not {q!r}")
    return (Fraction(q) if _is_a(Rational, q) else Fraction(repr(float(q)))) / 100


def _fraction(percent: int) -> Fraction:
    from fractions import Fraction

    return Fraction(percent, 100)


def _is_a(kind: type, value: object) -> bool:
    # Type checkers hold that a float is no `Real`, so they must not see through this.
    return isinstance(value, kind)


def _taken(counts: dict[int, int], bucket: int, count: int) -> int:
    """Take counts out of a bucket, as far as they are there; return how many were not."""
    there = min(counts.get(bucket, 0), count)
    if there:
        counts[bucket] -= there
    return count - there


class Histogram:
    """How many durations fell into each bucket of the grid.

    :param counts: bucket number → count (copied); see `index` for the numbers.
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: dict[int, int] = dict(counts) if counts else {}

    def add(self, ns: int, count: int = 1) -> None:
        """Count a duration ``count`` times.

        :param ns: the duration in nanoseconds, 0 or more.
        :param count: how often it occurred, 0 or more.
        :raises ValueError: when either is negative.
        """
        if ns < 0 or count < 0:
            raise ValueError(
                f"a histogram holds durations and counts of 0 or more, not {count} times {ns} ns"
            )
        if count:
            bucket = index(ns)
            self._counts[bucket] = self._counts.get(bucket, 0) + count

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram to this one.

        :param other: the histogram to add; it stays as it is.
        """
        counts = self._counts
        for bucket, count in list(other._counts.items()):
            counts[bucket] = counts.get(bucket, 0) + count

    def counts(self) -> dict[int, int]:
        """Return bucket number → count, of the buckets that were hit, in no order; a copy."""
        return self._counts.copy()

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted since an earlier moment.

        :param earlier: the histogram as it was then.
        """
        found = self._more_than(earlier)
        if found is not None:
            return Histogram(found)
        counts, missing = self.counts(), {}
        for bucket, count in earlier._counts.items():
            left = _taken(counts, bucket, count)
            if left:
                missing[bucket] = left
        # What the clock's rate, known better since, has moved into a bucket nearby is no new pass.
        for bucket, left in missing.items():
            for distance in _NEAR:
                left = _taken(counts, bucket + distance, left)
        return Histogram({bucket: count for bucket, count in counts.items() if count})

    def _more_than(self, earlier: Histogram) -> dict[int, int] | None:
        """Return by how much each bucket has more; None where one has less."""
        before = earlier._counts
        if not before.keys() <= self._counts.keys():
            return None
        found = {}
        for bucket, count in self._counts.items():
            more = count - before.get(bucket, 0)
            if more < 0:
                return None
            if more:
                found[bucket] = more
        return found

    @property
    def total(self) -> int:
        """How many durations have been counted."""
        return sum(self._counts.values())

    def quantile(self, q: float) -> int:
        """Return a percentile in nanoseconds: the midpoint of the bucket that holds it, 0 if empty.

        Nearest rank: the smallest value that at least ``q`` percent of the durations do not exceed
        (definition 1 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American
        Statistician 50, 1996).

        :param q: a number from 0 to 100.
        :raises TypeError: when ``q`` is not a real number.
        :raises ValueError: when ``q`` lies outside 0 to 100.
        """
        return self.quantiles((exact_quantile(q),))[0]

    def quantiles(self, shares: Iterable[Fraction]) -> list[int]:
        """Return several at once: the buckets are gone through once for all of them.

        :param shares: ascending, as `exact_quantile` gives them.
        """
        total = self.total
        if not total:
            return [0 for _ in shares]
        buckets = iter(sorted(self._counts.items()))
        found: list[int] = []
        bucket = seen = 0
        for share in shares:
            rank = max(-(-share.numerator * total // share.denominator), 1)  # rounded up
            while seen < rank:
                bucket, count = next(buckets)
                seen += count
            lower, upper = bounds(bucket)
            found.append((lower + upper - 1) // 2)
        return found

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield ``(lower_ns, upper_ns, count)`` of each bucket that was hit, shortest first."""
        for bucket, count in sorted(self._counts.items()):
            yield (*bounds(bucket), count)

    def __eq__(self, other: object) -> bool:
        return self._counts == other._counts if isinstance(other, Histogram) else NotImplemented

    def __repr__(self) -> str:
        return f"<Histogram of {self.total} durations in {len(self._counts)} buckets>"
