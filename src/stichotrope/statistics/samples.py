"""What can be said of a list of measured values: intervals of mean and quantiles, outliers."""

from __future__ import annotations

from math import exp, fsum, inf, isfinite, log, log1p, sqrt
from numbers import Real

from .student import tail_begin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from fractions import Fraction
    from typing import TypeAlias

    Interval: TypeAlias = tuple[float, float]

_EXACT_RANKS = 10_000  # so many values have their ranks by the binomial distribution itself


def mean_interval(samples: Iterable[float], confidence: float = 0.95) -> Interval | None:
    """Return the interval in which the mean lies that such samples come from.

    Student's t interval. It takes the samples for independent, and their mean for normal, as it
    nearly is for many samples of most kinds; for few and skewed ones see `bootstrap_interval`.

    :param samples: the values, in any unit.
    :param confidence: how often such an interval holds the mean, more than 0 and less than 1.
    :returns: its ends, or None for fewer than two samples.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when a sample is not finite, or the confidence out of range.
    """
    check_confidence(confidence)
    values = checked_samples(samples)
    if len(values) < 2:
        return None
    mean = fsum(values) / len(values)
    half = tail_begin((1 - confidence) / 2, len(values) - 1) * deviation(values) / sqrt(len(values))
    return mean - half, mean + half


def median_interval(samples: Iterable[float], confidence: float = 0.95) -> Interval | None:
    """Return the interval in which the median lies that such samples come from.

    See `quantile_interval`. For 95 % it takes six samples.

    :param samples: the values, in any unit.
    :param confidence: how often such an interval holds the median at least, more than 0 and less
        than 1.
    :returns: its ends, or None when there are too few samples.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when a sample is not finite, or the confidence out of range.
    """
    return quantile_interval(samples, 50, confidence)


def quantile_interval(
    samples: Iterable[float], q: float, confidence: float = 0.95
) -> Interval | None:
    """Return the interval in which a percentile lies of what such samples come from.

    Two of the samples in order of size, chosen by the binomial distribution, whatever distribution
    the samples have (Hahn and Meeker, "Statistical Intervals", 1991, section 5.2). It takes the
    samples for independent.

    :param samples: the values, in any unit.
    :param q: the percentile, a number from 0 to 100.
    :param confidence: how often such an interval holds the percentile at least, more than 0 and
        less than 1.
    :returns: its ends, or None when there are too few samples.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when a sample is not finite, or a number out of range.
    """
    from ..results.histogram import exact_quantile

    check_confidence(confidence)
    values = sorted(checked_samples(samples))
    ranks = quantile_ranks(len(values), exact_quantile(q), confidence)
    return None if ranks is None else (values[ranks[0] - 1], values[ranks[1] - 1])


def tukey_fences(samples: Iterable[float], width: float = 1.5) -> Interval:
    """Return Tukey's fences: 1.5 interquartile ranges below the lower and above the upper quartile.

    J. W. Tukey, "Exploratory Data Analysis", 1977. Quartiles are interpolated (definition 7 of
    Hyndman and Fan, 1996).

    :param samples: the values, one at least, in any unit.
    :param width: how many interquartile ranges, 0 or more.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when there is no sample, one is not finite, or the width is negative.
    """
    check_real(width, "the width of the fences")
    if not (isfinite(width) and width >= 0):
        raise ValueError(f"the width of the fences must be 0 or more and finite, not {width!r}")
    values = sorted(checked_samples(samples))
    if not values:
        raise ValueError("fences take one sample at least; there is none")
    return fences(values, width)


def outliers(samples: Iterable[float], width: float = 1.5) -> list[float]:
    """Return the samples that lie outside Tukey's fences, in their order.

    :param samples: the values, in any unit.
    :param width: see `tukey_fences`.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when a sample is not finite, or the width is negative.
    """
    values = checked_samples(samples)
    if not values:
        return []
    low, high = tukey_fences(values, width)
    return [value for value in values if not low <= value <= high]


def bootstrap_interval(
    samples: Iterable[float],
    statistic: Callable[[Sequence[float]], float] | None = None,
    confidence: float = 0.95,
    *,
    resamples: int = 9999,
    seed: int = 0,
) -> Interval | None:
    """Return the interval of any statistic, for samples that may be skewed, by resampling them.

    The bias-corrected and accelerated bootstrap of ``scipy.stats.bootstrap`` (B. Efron, "Better
    Bootstrap Confidence Intervals", JASA 82, 1987). The same arguments give the same interval.
    It takes the samples for independent. scipy comes with ``pip install stichotrope[stats]``.

    :param samples: the values, in any unit.
    :param statistic: what makes one number of a sequence of values; the mean unless given.
    :param confidence: how often such an interval holds the figure, more than 0 and less than 1.
    :param resamples: how often to resample, 1 or more.
    :param seed: where the random numbers begin.
    :returns: its ends, or None for fewer than two samples, or samples that give no interval, such
        as those that are all alike.
    :raises ImportError: when scipy is not installed.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when a sample is not finite, or a number out of range.
    """
    from ..config.checks import check_limit

    check_confidence(confidence)
    check_limit(resamples, "resamples", 1, 10_000_000)
    if statistic is not None and not callable(statistic):
        raise TypeError(f"statistic must be callable or None, not {statistic!r}")
    values = checked_samples(samples)
    return _bootstrapped(values, statistic, confidence, resamples, seed)


def _bootstrapped(
    values: list[float],
    statistic: Callable[[Sequence[float]], float] | None,
    confidence: float,
    resamples: int,
    seed: int,
) -> Interval | None:
    try:
        import numpy
        from scipy.stats import bootstrap
    except ImportError as error:
        raise ImportError(
            "a bootstrap interval is computed by scipy, which is not installed: "
            "pip install stichotrope[stats]"
        ) from error
    if min(values, default=0) == max(values, default=0):
        return None
    found = bootstrap(
        (numpy.asarray(values),),
        numpy.mean if statistic is None else statistic,
        vectorized=statistic is None,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, 1_000_000 // len(values)),
        method="BCa",
        rng=numpy.random.default_rng(seed),
    ).confidence_interval
    ends = float(found.low), float(found.high)
    return ends if all(map(isfinite, ends)) else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for there being several, so that one in any of them is as rare.

    Whoever calls those significant that are at most α then errs at all in at most a share α of the
    families, however the tests depend on each other (S. Holm, "A Simple Sequentially Rejective
    Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979).

    :param p_values: one for each test, from 0 to 1.
    """
    adjusted = [0.0] * len(p_values)
    most = 0.0
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        most = max(most, min(1.0, (len(p_values) - step) * p_values[place]))
        adjusted[place] = most
    return adjusted


# What the rest of this room shares


def check_confidence(confidence: float) -> None:
    """Refuse what is no level of confidence."""
    check_real(confidence, "a confidence")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence must lie between 0 and 1 (95 % is 0.95), not {confidence}")


def check_real(value: object, what: str) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{what} must be a number, not {value!r}")


def checked_samples(samples: Iterable[float]) -> list[float]:
    """Return samples as a list, refusing what is no finite number."""
    values = list(samples)
    for value in values:
        check_real(value, "a sample")
        if not isfinite(value):
            raise ValueError(f"a sample must be finite, not {value!r}")
    return values


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of two or more samples, by their number less one."""
    mean = fsum(values) / len(values)
    return sqrt(fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def fences(ordered: Sequence[float], width: float = 1.5) -> Interval:
    """Return Tukey's fences of sorted values."""
    lower, upper = interpolated(ordered, 1, 4), interpolated(ordered, 3, 4)
    reach = width * (upper - lower)
    return lower - reach, upper + reach


def interpolated(ordered: Sequence[float], part: int, parts: int) -> float:
    """Return a quantile of sorted values (definition 7 of Hyndman and Fan): 1, 2 is the median."""
    place, rest = divmod((len(ordered) - 1) * part, parts)
    if not rest:
        return ordered[place]
    return ordered[place] + (ordered[place + 1] - ordered[place]) * rest / parts


def quantile_ranks(count: int, share: Fraction, confidence: float) -> tuple[int, int] | None:
    """Return which of sorted values enclose a quantile, counted from 1; None if too few do.

    :param count: how many values there are.
    :param share: which quantile, from 0 to 1.
    :param confidence: how often they enclose it at least.
    """
    if not 0 < share < 1:
        return None  # nothing is known of what lies beyond the extremes
    beyond = (1 - confidence) / 2
    if count > _EXACT_RANKS:
        half = tail_begin(beyond, inf) * sqrt(count * share * (1 - share))
        low, high = int(count * share - half), int(count * share + half) + 2
    else:
        # P(B < low) and P(B >= high) are each within what may lie beyond.
        low = _binomial_below(count, float(share), beyond)
        high = count + 1 - _binomial_below(count, float(1 - share), beyond)
    return (low, high) if 1 <= low < high <= count else None


def _binomial_below(count: int, share: float, most: float) -> int:
    """Return the greatest k, 0 or more, for which a binomial variable is below k that rarely."""
    below, k = 0.0, 0
    odds = log(share) - log1p(-share)
    logarithm = count * log1p(-share)
    while True:  # `most` is less than a half, and is passed before k is as many as there are
        below += exp(logarithm)
        if below > most:
            return k
        logarithm += log(count - k) - log(k + 1) + odds
        k += 1
