"""What a pass takes when nothing came between: the mean without those that took much longer."""

from __future__ import annotations

import itertools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    # From, to, the middle, how many.
    Bucket: TypeAlias = tuple[float, float, float, int]

# A pass from which the system took the processor lasts longer by a turn of some other thread, some
# milliseconds; one that only shares a core or its caches with others, by less than its own time.
_MOST = 1.5  # times the median


def typical_mean(passes: Sequence[tuple[float, int]], total: float, half: float) -> float:
    """Return the mean of the passes that took up to one and a half times the median.

    What is left out is taken away from the exact sum of all: so the mean of what stays is not as
    coarse as a histogram's buckets. The sum of the buckets that stay tells it too, and counts the
    more the larger the part that is left out; both are as coarse as what they sum. A bucket that
    the limit lies in is left out in part, for else the mean of passes that spread wide would jump
    where the limit moves by a bucket.

    :param passes: how long, and how many, the shortest first; one pass at least.
    :param total: the exact sum of all passes.
    :param half: half the width of what each bucket stands for, as a share of its middle; where the
        next one is nearer, it ends in the middle between the two.
    """
    buckets = _buckets(passes, half)
    limit = _MOST * _median(buckets)
    kept = short = long = 0.0
    for lower, upper, middle, count in buckets:
        share, below, above = float(upper <= limit), middle, middle
        if lower < limit < upper:
            share = (limit - lower) / (upper - lower)
            below, above = (lower + limit) / 2, (limit + upper) / 2
        kept += share * count
        short += share * count * below
        long += (1 - share) * count * above
    if not short:
        return 0.0
    return (short * long**2 + (total - long) * short**2) / (short**2 + long**2) / kept


def _buckets(passes: Sequence[tuple[float, int]], half: float) -> list[Bucket]:
    middles = [middle for middle, _ in passes]
    between = [(one + other) / 2 for one, other in itertools.pairwise(middles)]
    lowers = [0.0, *between]
    uppers = [*between, float("inf")]
    return [
        (max(middle * (1 - half), lower), min(middle * (1 + half), upper), middle, count)
        for (middle, count), lower, upper in zip(passes, lowers, uppers, strict=True)
    ]


def _median(buckets: Sequence[Bucket]) -> float:
    """Return the median, by the place within its bucket where half of all passes are reached."""
    rest = sum(count for *_, count in buckets) / 2
    for lower, upper, _, count in buckets:
        if count >= rest:
            return lower + (upper - lower) * rest / count
        rest -= count
    return buckets[-1][2]
