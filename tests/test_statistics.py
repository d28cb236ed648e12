"""Intervals, outliers and the distribution that they rest on."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from math import comb, inf, isclose, nan, sqrt
from statistics import NormalDist, fmean, stdev
from typing import Any

import pytest

from conftest import run_program
from stichotrope import statistics
from stichotrope.statistics.student import tail, tail_begin

pytestmark = pytest.mark.unit

s: Any = statistics  # its intervals may be None, which the type checker would ask about each time

# Upper percentage points as tables print them (Abramowitz and Stegun, table 26.10).
TABLE = [
    (1, 0.25, 1.000),
    (1, 0.025, 12.706),
    (1, 0.0005, 636.619),
    (2, 0.05, 2.920),
    (3, 0.025, 3.182),
    (4, 0.005, 4.604),
    (5, 0.01, 3.365),
    (9, 0.025, 2.262),
    (10, 0.0005, 4.587),
    (30, 0.025, 2.042),
    (120, 0.005, 2.617),
    (inf, 0.025, 1.960),
    (inf, 0.0005, 3.291),
]


@pytest.mark.parametrize(("freedom", "probability", "value"), TABLE)
def test_the_t_quantiles_are_those_of_the_tables(freedom, probability, value):
    """To the three decimals that are printed."""
    assert round(tail_begin(probability, freedom), 3) == value


@pytest.mark.parametrize("probability", [0.4, 0.1, 1e-3, 1e-9])
def test_the_t_distribution_of_two_degrees_has_a_closed_form(probability):
    """And that is what comes out, in both directions."""
    share = 1 - 2 * probability
    exact = share * sqrt(2 / (1 - share * share))
    assert isclose(tail_begin(probability, 2), exact, rel_tol=1e-7)
    assert isclose(tail(exact, 2), probability, rel_tol=1e-7)


@pytest.mark.parametrize("freedom", [1, 1.3, 2.5, 7.7, 30, 1e3, 1e5, 1e5 + 1, 1e9, inf])
@pytest.mark.parametrize("probability", [0.49, 0.2, 0.025, 1e-4, 1e-8, 1e-12])
def test_tail_and_quantile_are_each_others_inverse(freedom, probability):
    """For whole and broken degrees of freedom, far into the tail."""
    assert isclose(tail(tail_begin(probability, freedom), freedom), probability, rel_tol=1e-9)


def test_the_t_distribution_is_symmetric():
    """Its middle is 0, and the tails mirror each other."""
    assert tail_begin(0.5, 3) == 0
    assert tail(0, 3) == 0.5
    assert tail(-2, 3) == 1 - tail(2, 3)
    assert tail(inf, 3) == 0


def test_the_t_distribution_is_that_of_scipy():
    """Over degrees of freedom and probabilities of all magnitudes."""
    from scipy.stats import t

    for freedom in (1, 1.001, 1.5, 3, 7.7, 100, 1e4, 1e5, 2e5, 1e8):
        for probability in (0.4999, 0.3, 0.025, 1e-5, 1e-12):
            exact = t.isf(probability, freedom)
            assert isclose(tail_begin(probability, freedom), exact, rel_tol=1e-7)
            assert isclose(tail(exact, freedom), probability, rel_tol=1e-6)


# The mean


def test_the_interval_of_a_mean_is_students():
    """Mean ± t · s / √n: here 3 ± 2.776… · 1.581… / √5."""
    low, high = s.mean_interval([1, 2, 3, 4, 5])
    assert isclose(low, 3 - 2.7764451051977987 * sqrt(2.5) / sqrt(5), rel_tol=1e-9)
    assert isclose(high, 6 - low, rel_tol=1e-12)


def test_more_confidence_makes_a_wider_interval():
    """As it must, to hold the mean more often."""
    low, high = s.mean_interval([1, 2, 3, 4, 5], 0.99)
    usual_low, usual_high = s.mean_interval([1, 2, 3, 4, 5])
    assert low < usual_low < usual_high < high


def test_one_sample_has_no_interval_of_its_mean():
    """Nothing tells how far it varies."""
    assert s.mean_interval([5]) is None
    assert s.mean_interval([]) is None


def test_samples_that_are_alike_have_an_interval_without_width():
    """They leave nothing open."""
    assert s.mean_interval([7, 7, 7]) == (7, 7)


def coverage(
    interval: Callable[[list[float]], Any], true: float, draw: Callable[[], float], count: int
) -> float:
    """How often an interval of so many samples holds the true value, in 2,000 tries."""
    found = [interval([draw() for _ in range(count)]) for _ in range(2000)]
    return fmean(low <= true <= high for low, high in found)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_the_interval_of_a_mean_holds_it_as_often_as_it_says(count):
    """95 % of the time, for samples of a normal distribution; 2,000 tries scatter by 0.5 %."""
    rng = random.Random(count)
    held = coverage(s.mean_interval, 100, lambda: rng.gauss(100, 15), count)
    assert 0.93 <= held <= 0.97


# Quantiles


def test_the_interval_of_a_median_is_two_of_the_samples():
    """For ten, the second and the ninth: each is beyond the median in 11 of 1,024 cases."""
    assert s.median_interval([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) == (2, 9)


@pytest.mark.parametrize(("count", "ends"), [(5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8))])
def test_six_samples_are_needed_for_an_interval_of_the_median(count, ends):
    """Five lie on one side of it in 1 of 32 cases, and on the other as often."""
    assert s.median_interval(range(1, count + 1)) == ends


@pytest.mark.parametrize("q", [50, 90, 10])
@pytest.mark.parametrize("count", [60, 100])
def test_the_interval_of_a_quantile_is_by_the_binomial_distribution(q, count):
    """As narrow as it can be with at most 2.5 % beyond each end, as the exact sums say."""

    def at_most(k: int) -> Fraction:
        """The probability that at most k of the samples lie below the quantile."""
        share = Fraction(q, 100)
        return sum(
            (comb(count, i) * share**i * (1 - share) ** (count - i) for i in range(k + 1)),
            Fraction(0),
        )

    beyond = Fraction(25, 1000)
    low, high = s.quantile_interval(range(1, count + 1), q)
    assert at_most(low - 1) <= beyond < at_most(low)
    assert 1 - at_most(high - 1) <= beyond < 1 - at_most(high - 2)


def test_the_extremes_have_no_interval():
    """What lies beyond the shortest and the longest sample is not known."""
    assert s.quantile_interval(range(1000), 0) is None
    assert s.quantile_interval(range(1000), 100) is None


def test_many_samples_have_their_ranks_by_the_normal_distribution():
    """Which agree with the binomial ones to a rank or two where the one takes over."""
    exact = s.median_interval(range(10_000))
    normal = s.median_interval(range(10_001))
    assert exact == (4901, 5098)
    assert abs(normal[0] - exact[0]) <= 1
    assert abs(normal[1] - exact[1]) <= 2


@pytest.mark.parametrize("count", [6, 25])
def test_the_interval_of_a_median_holds_it_at_least_as_often_as_it_says(count):
    """Of a skewed distribution, too, whose median is 1."""
    rng = random.Random(count)
    held = coverage(s.median_interval, 1, lambda: rng.lognormvariate(0, 1), count)
    assert 0.94 <= held <= 0.99


# Outliers


def test_outliers_lie_outside_tukeys_fences():
    """1.5 interquartile ranges beyond the quartiles: here 2 - 3 and 4 + 3."""
    samples = [100, 1, 2, 3, 4, -50]
    assert s.tukey_fences([1, 2, 3, 4, 5]) == (-1, 7)
    assert s.outliers([1, 2, 3, 4, 5]) == []
    assert s.tukey_fences([*samples]) == (1.25 - 1.5 * 2.5, 3.75 + 1.5 * 2.5)
    assert s.outliers(samples) == [100, -50]


def test_wider_fences_leave_fewer_outliers():
    """The width is the caller's."""
    samples = [1, 2, 3, 4, 5, 9]
    assert s.outliers(samples) == [9]
    assert s.outliers(samples, 3) == []


def test_nothing_has_no_outliers():
    """And no fences either."""
    assert s.outliers([]) == []
    with pytest.raises(ValueError, match="fences take one sample at least; there is none"):
        s.tukey_fences([])


# Many tests at once


def test_holms_method_adjusts_the_smallest_most():
    """Times 4, 3, 2 and 1, and never less than the one before."""
    adjusted = s.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_adjusted_p_values_are_at_most_1():
    """However many there are."""
    assert s.holm([0.5, 0.9]) == [1, 1]
    assert s.holm([]) == []


# Resampling


def test_the_bootstrap_of_a_mean_agrees_with_students_interval_where_both_hold():
    """For 200 samples of a normal distribution, to a twentieth of its width."""
    rng = random.Random(1)
    samples = [rng.gauss(100, 10) for _ in range(200)]
    resampled, student = s.bootstrap_interval(samples), s.mean_interval(samples)
    width = student[1] - student[0]
    assert resampled[0] == pytest.approx(student[0], abs=width / 20)
    assert resampled[1] == pytest.approx(student[1], abs=width / 20)


def test_the_bootstrap_takes_any_statistic_and_leans_with_the_samples():
    """Its interval of a skewed sample reaches further up than down; the same seed gives the same."""
    rng = random.Random(2)
    samples = [rng.lognormvariate(0, 1) for _ in range(30)]
    low, high = s.bootstrap_interval(samples, resamples=999)
    assert high - fmean(samples) > fmean(samples) - low
    spread = s.bootstrap_interval(samples, stdev, resamples=99, seed=5)
    assert spread[0] < stdev(samples) < spread[1]
    assert s.bootstrap_interval(samples, stdev, resamples=99, seed=5) == spread


@pytest.mark.parametrize("samples", [[], [5], [5, 5, 5]])
def test_what_does_not_vary_cannot_be_resampled(samples):
    """There is no interval."""
    assert s.bootstrap_interval(samples) is None


def test_without_scipy_only_the_bootstrap_is_missing(monkeypatch):
    """Its error says how to get it; all else works."""
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ImportError, match=re.escape("pip install stichotrope[stats]")):
        s.bootstrap_interval([1, 2, 3])
    assert s.mean_interval([1, 2, 3]) is not None
    assert s.median_interval(range(9)) is not None


def test_statistics_load_neither_numpy_nor_scipy():
    """Whatever is installed, importing them takes none of it, and figures are the same."""
    program = (
        "import sys, stichotrope\n"
        "assert 'stichotrope.statistics' not in sys.modules\n"
        "from stichotrope.statistics import mean_interval\n"
        "mean_interval([1, 2, 3])\n"
        "print(*{'numpy', 'scipy'} & set(sys.modules))\n"
    )
    done = run_program(program)
    assert (done.stdout.strip(), done.stderr) == ("", "")


# Bad input


@pytest.mark.parametrize("function", [s.mean_interval, s.median_interval, s.outliers])
@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([1, "2"], TypeError, "a sample must be a number, not '2'"),
        ([1, True], TypeError, "a sample must be a number, not True"),
        ([1, nan], ValueError, "a sample must be finite, not nan"),
        ([1, inf], ValueError, "a sample must be finite, not inf"),
    ],
)
def test_samples_are_finite_numbers(function, samples, error, message):
    """Anything else is refused."""
    with pytest.raises(error, match=message):
        function(samples)


@pytest.mark.parametrize(
    ("confidence", "error"), [(0, ValueError), (1, ValueError), (95, ValueError), ("95", TypeError)]
)
def test_a_confidence_is_a_share(confidence, error):
    """Between 0 and 1."""
    for function in (s.mean_interval, s.median_interval, s.bootstrap_interval):
        with pytest.raises(error, match="confidence must"):
            function([1, 2, 3], confidence=confidence)


def test_other_arguments_are_checked_too():
    """The width of the fences, the percentile, the statistic and the number of resamples."""
    with pytest.raises(ValueError, match="the width of the fences must be 0 or more"):
        s.tukey_fences([1], -1)
    with pytest.raises(TypeError, match="the width of the fences must be a number"):
        s.tukey_fences([1], "1")
    with pytest.raises(ValueError, match="a percentile must lie between 0 and 100"):
        s.quantile_interval([1], 101)
    with pytest.raises(TypeError, match="statistic must be callable or None, not 'mean'"):
        s.bootstrap_interval([1, 2], "mean")
    with pytest.raises(ValueError, match="resamples must lie between"):
        s.bootstrap_interval([1, 2], resamples=0)


def test_the_normal_distribution_is_the_limit():
    """Of infinitely many degrees of freedom."""
    for probability in (0.4, 0.025, 1e-6):
        assert isclose(
            tail_begin(probability, inf), -NormalDist().inv_cdf(probability), rel_tol=1e-9
        )
