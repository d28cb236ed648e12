"""Wilcoxon signed ranks: whether differences of pairs lie above 0, and what encloses their middle.

It asks nothing of how the differences are distributed, but that each would be as likely to have the
other sign if there were no effect. Where the order within each pair was drawn by lot, that is so
whatever else went on (M. Hollander, D. A. Wolfe and E. Chicken, "Nonparametric Statistical
Methods", 3rd edition, 2014, sections 3.1 to 3.3).
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, floor, inf, sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_EXACT = 60  # so many pairs have the distribution itself; 60 of them 3,660 sums


def tail_above(differences: Iterable[float]) -> float:
    """Return how likely it is, with signs by lot, that ranks above 0 sum to as much or more.

    Equal sizes share their middle rank, and the distribution is that of the ranks that there are.
    A difference of 0 has a rank, and no sign (J. W. Pratt, Journal of the American Statistical
    Association 54, 1959).

    :param differences: one for each pair.
    """
    values = list(differences)
    ranks = _doubled_ranks([abs(value) for value in values])
    signed = [rank for rank, value in zip(ranks, values, strict=True) if value]
    above = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    if len(signed) <= _EXACT:
        ways = _ways(tuple(sorted(signed)))
        return sum(ways[above:]) / sum(ways)
    spread = sqrt(sum(rank * rank for rank in signed)) / 2
    # Half a step of the sum, which goes by two, for it being a whole number.
    return erfc((above - 1 - sum(signed) / 2) / spread / sqrt(2)) / 2


def middle(differences: Sequence[float]) -> float:
    """Return Hodges' and Lehmann's estimate: the median of the means of all pairs of differences.

    :param differences: one at least.
    """
    means = _walsh_means(differences)
    return (means[(len(means) - 1) // 2] + means[len(means) // 2]) / 2


def middle_interval(differences: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the ends of the interval, by J. W. Tukey, in which the middle lies.

    They are infinite when there are too few differences for such a confidence.

    :param differences: one for each pair.
    :param confidence: how often it holds the middle at least, more than 0 and less than 1.
    """
    left_out = _least_common(len(differences), (1 - confidence) / 2)
    if not left_out:
        return -inf, inf
    means = _walsh_means(differences)
    return means[left_out - 1], means[-left_out]


def least_tail(pairs: int) -> float:
    """Return the smallest value that `tail_above` can have for so many pairs."""
    return 0.5**pairs


def _walsh_means(differences: Sequence[float]) -> list[float]:
    ordered = sorted(differences)
    return sorted(
        (one + other) / 2 for place, one in enumerate(ordered) for other in ordered[place:]
    )


def _least_common(count: int, beyond: float) -> int:
    """Return the greatest sum of ranks, which the sum falls below at most that rarely."""
    if count > _EXACT:
        from statistics import NormalDist

        spread = sqrt(count * (count + 1) * (2 * count + 1) / 24)
        return max(0, floor(count * (count + 1) / 4 + NormalDist().inv_cdf(beyond) * spread))
    ways = _ways(tuple(range(1, count + 1)))
    most = beyond * sum(ways)
    below = 0
    for place, number in enumerate(ways):
        below += number
        if below > most:
            return place
    return 0


def _doubled_ranks(sizes: Sequence[float]) -> list[int]:
    """Return twice the rank of each size: middle ranks are whole numbers then."""
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    ranks = [0] * len(sizes)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and sizes[order[last + 1]] == sizes[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            ranks[place] = first + last + 2
        first = last + 1
    return ranks


@lru_cache(64)  # without ties, the ranks of as many pairs are always the same
def _ways(ranks: tuple[int, ...]) -> list[int]:
    """Return for each sum, from 0 on, how many choices among the ranks have it."""
    ways = [1]
    for rank in ranks:
        more = [0] * rank + ways
        for place, number in enumerate(ways):
            more[place] += number
        ways = more
    return ways
