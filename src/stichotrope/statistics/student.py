"""Student's t distribution: its upper tail, and the value that a tail begins at."""

from __future__ import annotations

from math import erfc, exp, inf, lgamma, log, pi, sqrt

_NORMAL_FROM = 1e5  # degrees of freedom from which the normal distribution, corrected, is as exact
_CLOSE = 1e-15
_TINY = 1e-300


def tail(t: float, freedom: float) -> float:
    """Return the probability that Student's t exceeds a value.

    By the incomplete beta function (Abramowitz and Stegun 26.5.27; DLMF 8.17); from 100,000
    degrees of freedom on by the normal distribution, corrected as in Abramowitz and Stegun 26.7.8.

    :param t: the value.
    :param freedom: degrees of freedom, more than 0, whole or not; infinite for the normal
        distribution.
    """
    if t < 0:
        return 1 - tail(-t, freedom)
    if t == inf:
        return 0.0
    if freedom > _NORMAL_FROM:
        z = t * (1 - 0.25 / freedom) / sqrt(1 + 0.5 * t * t / freedom)
        return erfc(z / sqrt(2)) / 2
    whole = freedom + t * t
    return _incomplete_beta(freedom / 2, 0.5, freedom / whole, t * t / whole) / 2


def tail_begin(probability: float, freedom: float) -> float:
    """Return the value that Student's t exceeds with a probability.

    Newton's method on the logarithms of value and tail, which are nearly in line, from the
    expansion of Abramowitz and Stegun 26.7.5 on.

    :param probability: of the upper tail, more than 0, at most 0.5.
    :param freedom: degrees of freedom, more than 0; infinite for the normal distribution.
    """
    if probability >= 0.5:
        return 0.0
    t = _expanded(_normal_tail_begin(probability), freedom)
    for _ in range(100):
        beyond = max(tail(t, freedom), _TINY)
        step = log(beyond / probability) * beyond / (t * _density(t, freedom))
        # Where the expansion is far off, for a freedom near 1, a whole step may lead anywhere.
        t *= exp(max(-1.0, min(step, 1.0)))
        if abs(step) < 1e-13:
            break
    return t


def _normal_tail_begin(probability: float) -> float:
    from statistics import NormalDist

    return -NormalDist().inv_cdf(probability)


def _expanded(z: float, freedom: float) -> float:
    if freedom == inf:
        return z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def _density(t: float, freedom: float) -> float:
    if freedom > _NORMAL_FROM:
        return exp(-t * t / 2) / sqrt(2 * pi)
    shape = lgamma((freedom + 1) / 2) - lgamma(freedom / 2) - log(freedom * pi) / 2
    return exp(shape - (freedom + 1) / 2 * log(1 + t * t / freedom))


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Return the regularised incomplete beta function of x; y is 1 - x, without its rounding."""
    if x <= 0 or y <= 0:
        return float(y <= 0)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y))
    if x < (a + 1) / (a + b + 2):  # where the fraction converges fast
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, y) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of DLMF 8.17.22 by the method of Lentz and Thompson."""
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _apart(1 + term * d)
            c = _apart(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return value


def _apart(value: float) -> float:
    """Return a value, moved away from 0."""
    return value if abs(value) > _TINY else _TINY
