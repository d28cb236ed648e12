"""Wilcoxon's signed ranks: exact tails, ties, and the interval of the middle."""

from __future__ import annotations

import random
from itertools import product
from math import inf

import pytest

from stichotrope.statistics._signed_ranks import (
    least_tail,
    middle,
    middle_interval,
    tail_above,
)

pytestmark = pytest.mark.unit

# Hamilton's depression scale of nine patients before and after a tranquiliser, after less before:
# example 3.1 of Hollander, Wolfe and Chicken.
BEFORE = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
AFTER = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)
HAMILTON = [after - before for before, after in zip(BEFORE, AFTER, strict=True)]


def enumerated(differences: list[float]) -> float:
    """The tail from its definition: all signs of what is not 0, each as likely."""
    sizes = sorted(map(abs, differences))
    ranks = [
        (sizes.index(abs(one)) + 1 + len(sizes) - sizes[::-1].index(abs(one))) / 2
        for one in differences
    ]
    signed = [rank for rank, one in zip(ranks, differences, strict=True) if one]
    seen = sum(rank for rank, one in zip(ranks, differences, strict=True) if one > 0)
    sums = [
        sum(rank for rank, is_above in zip(signed, signs, strict=True) if is_above)
        for signs in product((False, True), repeat=len(signed))
    ]
    return sum(one >= seen for one in sums) / len(sums)


def test_the_published_example() -> None:
    """The sum of positive ranks is 5; estimate and interval of 96 % as they stand in the book."""
    assert tail_above([-one for one in HAMILTON]) == pytest.approx(0.0195, abs=5e-5)
    assert middle(HAMILTON) == pytest.approx(-0.46)
    assert middle_interval(HAMILTON, 0.96) == pytest.approx((-0.786, -0.010))


@pytest.mark.parametrize("seed", range(30))
def test_the_tail_is_that_of_all_signs(seed: int) -> None:
    """With ties and with zeros too, of which the table in a book knows nothing."""
    rng = random.Random(seed)
    differences = [float(rng.randint(-4, 5)) for _ in range(rng.randint(1, 10))]
    assert tail_above(differences) == pytest.approx(enumerated(differences), rel=1e-12)


@pytest.mark.parametrize("count", [5, 20, 60, 61, 200])
def test_the_tail_is_scipys(count: int) -> None:
    """Exact up to sixty pairs, and close to it above, where the normal distribution is taken."""
    stats = pytest.importorskip("scipy.stats")
    rng = random.Random(count)
    differences = [rng.gauss(0.1, 1) for _ in range(count)]
    expected = stats.wilcoxon(differences, alternative="greater", method="exact").pvalue
    assert tail_above(differences) == pytest.approx(expected, rel=1e-9 if count <= 60 else 0.05)


def test_the_interval_holds_what_the_test_does_not_refuse() -> None:
    """Each value within is one that the differences may lie around; each beyond is refused."""
    rng = random.Random(7)
    differences = [rng.gauss(0, 1) for _ in range(12)]
    low, high = middle_interval(differences, 0.9)

    def refused(value: float) -> bool:
        away = [one - value for one in differences]
        return min(tail_above(away), tail_above([-one for one in away])) <= 0.05

    assert [refused(value) for value in (low - 1e-9, high + 1e-9)] == [True, True]
    assert [refused(value) for value in (low + 1e-9, high - 1e-9)] == [False, False]


def test_few_differences_enclose_nothing() -> None:
    """Six have no tail of half a hundredth; eight have."""
    assert middle_interval([1.0] * 6, 0.99) == (-inf, inf)
    assert middle_interval([float(one) for one in range(8)], 0.99) == (0.0, 7.0)
    assert least_tail(6) == 1 / 64
    assert tail_above([1.0] * 6) == least_tail(6)


def test_many_differences_have_a_normal_interval() -> None:
    """At the seam, both ways give nearly the same one."""
    rng = random.Random(1)
    differences = [rng.gauss(0, 1) for _ in range(61)]
    exact = middle_interval(differences[:60], 0.99)
    assert middle_interval(differences, 0.99) == pytest.approx(exact, abs=0.1)


def test_no_difference_is_no_evidence() -> None:
    """Zeros alone have no sign, and nothing at all has none either."""
    assert tail_above([0.0, 0.0]) == 1
    assert tail_above([]) == 1
