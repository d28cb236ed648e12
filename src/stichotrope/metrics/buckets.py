"""Buckets of values: bounds that are checked, and from log-linear ones to other kinds.

A log-linear bucket is known by the upper 16 bits of a double: sign, exponent, and the first four
bits of the fraction. So each power of two has 16 of equal width, and what is told by a bucket's
middle is off by 1/32 of it, about 3 %, at most. A value that is a bucket's upper bound is in it, as
in those of Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import pairwise
from math import ceil, frexp, isfinite, log2
from struct import unpack

from ..config import checks
from .samples import Exemplar, Native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Those of `prometheus_client`: seconds that a request may take.
DEFAULT_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)
_MOST_BOUNDS = 1000
_NEGATIVE = 1 << 15
# What Prometheus takes for 0 unless told otherwise: https://prometheus.io/docs/specs/native_histograms/
ZERO_THRESHOLD = 2.0**-128
FINEST = (
    5  # 32 exponential buckets for each power of two, twice as many as there are log-linear ones
)
SCHEMA = 3  # 8 of them: what Prometheus is given


def checked_bounds(bounds: Iterable[object]) -> tuple[float, ...]:
    """Return the upper bounds of buckets.

    :param bounds: what was given, with or without a last one that is infinite.
    :raises TypeError: when one is no number.
    :raises ValueError: when they do not rise, there is none or too many, or one is not finite.
    """
    if isinstance(bounds, (str, bytes)):
        raise TypeError(f"buckets is a list or tuple of upper bounds, not {checks.shown(bounds)}")
    checks.check_iterable(bounds, "buckets is a list or tuple of upper bounds")
    checked = [_checked_number(bound) for bound in bounds]
    if checked and checked[-1] == float("inf"):
        del checked[-1]
    if not 1 <= len(checked) <= _MOST_BOUNDS:
        raise ValueError(f"a histogram has 1 to {_MOST_BOUNDS:,} finite bounds, not {len(checked)}")
    if not all(map(isfinite, checked)):
        raise ValueError(f"only the last bound of a histogram may be infinite: {checked}")
    if any(later <= bound for bound, later in pairwise(checked)):
        raise ValueError(f"the bounds of a histogram must rise: {checked}")
    return tuple(checked)


def _checked_number(bound: object) -> float:
    if isinstance(bound, bool) or not hasattr(bound, "__float__"):
        raise TypeError(f"a bound of a histogram must be a number, not {checks.shown(bound)}")
    return float(bound)


def _double(bucket: int) -> float:
    """Return the double of which a bucket's number is the upper bits."""
    value: float = unpack(">d", bucket.to_bytes(2, "big") + bytes(6))[0]
    return value


@lru_cache(maxsize=1 << 16)
def middle(bucket: int) -> float:
    """Return the middle of a log-linear bucket.

    :param bucket: its number.
    """
    sign, size = (-1, bucket - _NEGATIVE) if bucket >= _NEGATIVE else (1, bucket)
    lower = _double(size)
    if not lower:
        return 0.0
    return sign * (lower + _width(lower) / 2)


def _width(lower: float) -> float:
    """Return the width of the log-linear bucket that begins at a value above 0."""
    return 2.0 ** (frexp(lower)[1] - 1) / 16


def in_order(buckets: Mapping[int, int]) -> list[tuple[float, int]]:
    """Return (middle, count) of log-linear buckets, the least first.

    :param buckets: number → count.
    """
    return sorted((middle(bucket), count) for bucket, count in buckets.items())


def in_bounds(buckets: Mapping[int, int], bounds: Sequence[float]) -> list[int]:
    """Return how many values are in each of other buckets, one more than there are bounds.

    A log-linear bucket goes wholly to the bucket of the first bound that lies in it, so that what
    is equal to a bound is counted below it; always to the same, so that no count goes down from
    one time to the next.

    :param buckets: number → count.
    :param bounds: the upper bounds of the others, rising.
    """
    counts = [0] * (len(bounds) + 1)
    for bucket, count in buckets.items():
        counts[_place(bucket, bounds)] += count
    return counts


def _place(bucket: int, bounds: Sequence[float]) -> int:
    """Return the number of the first bound that part of a log-linear bucket does not exceed."""
    if not bucket:  # 0 is in it
        return bisect_left(bounds, 0.0)
    if bucket < _NEGATIVE:
        return bisect_right(bounds, _double(bucket))
    return bisect_right(bounds, -_double(bucket - _NEGATIVE + 1))


@lru_cache(maxsize=1 << 16)
def exponential(size: float, schema: int) -> int:
    """Return the number of the exponential bucket that a size is in: see `samples.Native`.

    :param size: a number above 0.
    :param schema: how fine the buckets are.
    """
    return ceil(log2(size) * 2.0**schema)


def native(
    sizes: Iterable[tuple[float, int]],
    total: float,
    extremes: tuple[float, float],
    exemplars: tuple[Exemplar, ...] = (),
) -> Native:
    """Return values in exponential buckets: each log-linear one goes where its middle is.

    :param sizes: (middle, count) of buckets.
    :param total: the sum of the values.
    :param extremes: the least and the greatest.
    :param exemplars: some of the values.
    """
    positive: dict[int, int] = {}
    negative: dict[int, int] = {}
    zeroes = number = 0
    for value, count in sizes:
        number += count
        if abs(value) <= ZERO_THRESHOLD:
            zeroes += count
            continue
        where = positive if value > 0 else negative
        place = exponential(abs(value), FINEST)
        where[place] = where.get(place, 0) + count
    return Native(
        FINEST, ZERO_THRESHOLD, zeroes, positive, negative, number, total, *extremes, exemplars
    )
