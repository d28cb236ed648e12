"""The log-linear histogram: its grid, its counts and its quantiles."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stichotrope.results.histogram import Histogram, bounds, index

pytestmark = pytest.mark.unit

DURATIONS = st.integers(min_value=0, max_value=1 << 70)


def histogram_of(*durations: int) -> Histogram:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    return histogram


def test_every_duration_below_256_ns_has_a_bucket_of_its_own() -> None:
    """The grid is exact where a clock's resolution matters most."""
    assert [bounds(index(ns)) for ns in range(256)] == [(ns, ns + 1) for ns in range(256)]


def test_buckets_follow_each_other_without_gap_or_overlap() -> None:
    """Each bucket begins where the one before it ends, over twenty octaves."""
    grid = [bounds(i) for i in range(20 * 128)]
    assert grid[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(grid))


@pytest.mark.parametrize(
    ("ns", "interval"),
    [
        (256, (256, 258)),
        (511, (510, 512)),
        (512, (512, 516)),
        (1_000_000, (999_424, 1_003_520)),
    ],
)
def test_an_octave_is_cut_into_128_buckets(ns: int, interval: tuple[int, int]) -> None:
    """The width of a bucket doubles with each octave."""
    assert bounds(index(ns)) == interval


@given(DURATIONS)
def test_a_duration_falls_into_a_bucket_that_is_at_most_a_128th_wide(ns: int) -> None:
    """The bucket holds the duration, and its number is that of its lower bound."""
    lower, upper = bounds(index(ns))
    assert lower <= ns < upper
    assert upper - lower == 1 or 128 * (upper - lower) <= lower
    assert index(lower) == index(upper - 1) == index(ns)


def test_a_histogram_lists_its_buckets_from_short_to_long() -> None:
    """Iterating gives bounds and counts, in order of duration and not of arrival."""
    histogram = histogram_of(1000, 3, 3)
    histogram.add(256, 5)
    assert list(histogram) == [(3, 4, 2), (256, 258, 5), (1000, 1004, 1)]
    assert histogram.total == 8


def test_counting_a_duration_no_times_leaves_the_histogram_equal() -> None:
    """A count of 0 makes no bucket."""
    histogram = histogram_of(7)
    histogram.add(900, 0)
    assert histogram == histogram_of(7)
    assert list(histogram) == [(7, 8, 1)]


@pytest.mark.parametrize(("ns", "count"), [(-1, 1), (1, -1)])
def test_a_negative_duration_or_count_is_refused(ns: int, count: int) -> None:
    """The error names both, and nothing is counted."""
    histogram = Histogram()
    with pytest.raises(ValueError, match=rf"not {count} times {ns} ns"):
        histogram.add(ns, count)
    assert histogram == Histogram()


def test_merging_adds_the_counts_and_leaves_the_other_as_it_was() -> None:
    """The merged histogram is that of all durations together."""
    first, second = histogram_of(1, 300), histogram_of(1, 2)
    first.merge(second)
    assert first == histogram_of(1, 300, 1, 2)
    assert second == histogram_of(1, 2)


def test_merging_a_histogram_with_itself_doubles_it() -> None:
    """The counts are read before they are written."""
    histogram = histogram_of(1, 300)
    histogram.merge(histogram)
    assert histogram == histogram_of(1, 300, 1, 300)


def test_a_histogram_copies_the_counts_that_it_is_made_from() -> None:
    """Changing the dict afterwards changes nothing."""
    counts = {5: 2}
    histogram = Histogram(counts)
    counts[5] = 9
    assert list(histogram) == [(5, 6, 2)]


@pytest.mark.parametrize(
    ("q", "expected"), [(0, 15), (5, 15), (30, 20), (40, 20), (40.1, 35), (50, 35), (100, 50)]
)
def test_a_quantile_is_the_nearest_rank(q: float, expected: int) -> None:
    """The textbook example: of 15, 20, 35, 40 and 50, forty percent do not exceed 20."""
    assert histogram_of(15, 20, 35, 40, 50).quantile(q) == expected


@pytest.mark.parametrize(
    ("q", "expected"),
    [(99.9, 1), (99.91, 2), (Fraction(999, 10), 1), (Fraction(9991, 100), 2)],
)
def test_a_quantile_takes_a_decimal_number_at_its_word(q: float, expected: int) -> None:
    """99.9 percent of 1000 durations are 999, whatever 99.9 is in binary."""
    histogram = Histogram()
    histogram.add(1, 999)
    histogram.add(2)
    assert histogram.quantile(q) == expected


def test_a_quantile_in_a_wide_bucket_is_its_midpoint() -> None:
    """1,000,000 ns lies in the bucket from 999,424 to 1,003,519."""
    assert histogram_of(1_000_000).quantile(50) == (999_424 + 1_003_519) // 2


def test_a_quantile_of_nothing_is_0() -> None:
    """An empty histogram has no durations to choose from."""
    assert Histogram().quantile(50) == 0


@given(st.lists(DURATIONS, max_size=30), st.lists(st.integers(0, 100), max_size=6))
def test_several_quantiles_are_what_each_is_alone(durations: list[int], qs: list[int]) -> None:
    """In one walk over the buckets."""
    histogram = histogram_of(*durations)
    shares = [Fraction(q, 100) for q in sorted(qs)]
    assert histogram.quantiles(shares) == [histogram.quantile(q) for q in sorted(qs)]


@given(st.lists(DURATIONS, min_size=1, max_size=50), st.integers(0, 100))
def test_a_quantile_is_within_half_a_bucket_of_the_exact_one(durations: list[int], q: int) -> None:
    """Sorting all durations and counting off gives the same, but for the bucket's width."""
    exact = sorted(durations)[max(1, math.ceil(Fraction(q * len(durations), 100))) - 1]
    assert abs(histogram_of(*durations).quantile(q) - exact) * 256 <= exact


@pytest.mark.parametrize("q", [True, "50", None, 50j, [50]])
def test_a_quantile_that_is_no_number_is_refused(q: object) -> None:
    """The error says what was given."""
    with pytest.raises(TypeError, match=r"a number from 0 to 100, not "):
        histogram_of(1).quantile(q)  # type: ignore[arg-type]


@pytest.mark.parametrize("q", [-1, 100.1, math.nan, math.inf, 10**400])
def test_a_quantile_out_of_range_is_refused(q: float) -> None:
    """Not-a-number lies outside any range."""
    with pytest.raises(ValueError, match=r"between 0 and 100, not "):
        histogram_of(1).quantile(q)


def test_histograms_compare_by_their_counts() -> None:
    """And are not equal to anything else."""
    assert histogram_of(1, 2) == histogram_of(2, 1)
    assert histogram_of(1, 2) != histogram_of(1)
    assert histogram_of(1) != {1: 1}


def test_a_histogram_survives_pickle_and_a_deep_copy_is_its_own() -> None:
    """Adding to the copy leaves the original alone."""
    histogram = histogram_of(1, 500)
    twin = copy.deepcopy(histogram)
    twin.add(1)
    assert pickle.loads(pickle.dumps(histogram)) == histogram == histogram_of(1, 500)
    assert twin == histogram_of(1, 1, 500)
    assert repr(twin) == "<Histogram of 3 durations in 2 buckets>"
