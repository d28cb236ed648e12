"""When repeated passes are enough, and what is known of them as they go on."""

from __future__ import annotations

from array import array
from math import inf, sqrt

from ..config import checks
from ..statistics.student import tail_begin

CONFIDENCE = 0.95  # of all intervals of repetitions
MOST_SAMPLES = 1_000_000
NO_NEW_MINIMUM, INTERVAL = "no_new_minimum", "interval"
UNTIL = (NO_NEW_MINIMUM, INTERVAL)
SECOND = 1_000_000_000  # in ns

_LEAST_SAMPLES = 10  # before an interval may end the passes: that of fewer is narrow by chance


class Tally:
    """What is known of the passes as they go on, exact and at a cost that does not grow."""

    __slots__ = (
        "samples",
        "attempts",
        "total_ns",
        "squares",
        "least_ns",
        "least_at_ns",
        "begun_ns",
        "now_ns",
    )

    def __init__(self) -> None:
        self.samples = array("q")
        self.attempts = 0
        self.total_ns = 0
        self.squares = 0
        self.least_ns = 0
        self.least_at_ns = 0
        self.begun_ns = 0
        self.now_ns = 0

    def add(self, start_ns: int, end_ns: int, is_sample: bool) -> None:
        """Count a pass."""
        if not self.attempts:
            self.begun_ns = self.least_at_ns = start_ns
        self.attempts += 1
        self.now_ns = end_ns
        if not is_sample:
            return
        took_ns = max(end_ns - start_ns, 0)
        if not self.samples or took_ns < self.least_ns:
            self.least_ns, self.least_at_ns = took_ns, end_ns
        self.samples.append(took_ns)
        self.total_ns += took_ns
        self.squares += took_ns * took_ns

    @property
    def elapsed_ns(self) -> int:
        """The time since the first pass began, as of the end of the last."""
        return self.now_ns - self.begun_ns

    def imprecision(self) -> float:
        """Return how far the interval of the mean reaches from it, as a share of it."""
        count = len(self.samples)
        if count < _LEAST_SAMPLES:
            return inf
        half = half_interval(count, deviation(count, self.total_ns, self.squares))
        return half * count / self.total_ns if self.total_ns else 0.0


def deviation(count: int, total: int, squares: int) -> float:
    """Return the standard deviation of samples in ns, by their number less one.

    :param count: how many there are, two or more.
    :param total: their sum in ns.
    :param squares: the sum of their squares in ns².
    """
    # The subtraction is exact in integers; in floats it would cancel most of its digits.
    return sqrt((count * squares - total**2) / (count * (count - 1)))


def half_interval(count: int, stddev: float) -> float:
    """Return how far Student's interval of the mean reaches from it.

    :param count: how many samples there are, two or more.
    :param stddev: their standard deviation; the answer is in its unit.
    """
    return tail_begin((1 - CONFIDENCE) / 2, count - 1) * stddev / sqrt(count)


class Rule:
    """When the passes are enough."""

    def __init__(self, limit_ns: float) -> None:
        self._limit_ns = limit_ns

    def verdict(self, tally: Tally) -> str:
        """Return why the passes are enough; empty when they are not."""
        if tally.elapsed_ns >= self._limit_ns:
            return "time limit"
        return "most samples" if tally.attempts >= MOST_SAMPLES else ""

    def share(self, tally: Tally) -> float:
        """Return how much is done, from 0 to 1."""
        raise NotImplementedError


class Count(Rule):
    """Enough after so many passes."""

    def __init__(self, count: int) -> None:
        self._count = count

    def verdict(self, tally: Tally) -> str:
        return "count" if tally.attempts >= self._count else ""

    def share(self, tally: Tally) -> float:
        return tally.attempts / self._count


class NoNewMinimum(Rule):
    """Enough when none has been shorter than the shortest for a while."""

    def __init__(self, limit_ns: float, patience_ns: float) -> None:
        super().__init__(limit_ns)
        self._patience_ns = patience_ns

    def verdict(self, tally: Tally) -> str:
        waited = tally.now_ns - tally.least_at_ns
        if tally.samples and waited >= self._patience_ns:
            return "no new minimum"
        return super().verdict(tally)

    def share(self, tally: Tally) -> float:
        return min(1.0, (tally.now_ns - tally.least_at_ns) / self._patience_ns)


class Narrow(Rule):
    """Enough when the interval of the mean is narrow.

    Y. S. Chow and H. Robbins, "On the Asymptotic Theory of Fixed-Width Sequential Confidence
    Intervals for the Mean", Annals of Mathematical Statistics 36, 1965.
    """

    def __init__(self, limit_ns: float, precision: float) -> None:
        super().__init__(limit_ns)
        self._precision = precision
        self._check_at = _LEAST_SAMPLES
        self._imprecision = inf

    def verdict(self, tally: Tally) -> str:
        count = len(tally.samples)
        # Whoever looks after each pass catches the interval when it is narrow by chance.
        if count >= self._check_at:
            self._check_at = count + max(1, count // 20)
            self._imprecision = tally.imprecision()
            if self._imprecision <= self._precision:
                return "interval"
        return super().verdict(tally)

    def share(self, tally: Tally) -> float:
        # The width falls with the square root of the number of passes.
        return min(1.0, (self._precision / self._imprecision) ** 2) if self._imprecision else 1.0


def rule_of(
    count: int | None,
    until: str | None,
    patience_s: float,
    precision: float,
    limit_s: float | None,
) -> Rule:
    """Return the rule that somebody asks for; see `Repeating` for the parameters.

    :raises TypeError: when one is of the wrong type.
    :raises ValueError: when one has a value that makes no sense.
    """
    patience_ns = SECOND * _checked_amount(patience_s, "patience_s", "seconds")
    share = _checked_amount(precision, "precision", "the mean (0.01 is ±1 %)")
    limit_ns = inf if limit_s is None else SECOND * _checked_amount(limit_s, "limit_s", "seconds")
    if until is not None and until not in UNTIL:
        raise ValueError(f"until must be one of {', '.join(map(repr, UNTIL))}, not {until!r}")
    if count is None:
        if until == INTERVAL:
            return Narrow(limit_ns, share)
        return NoNewMinimum(limit_ns, patience_ns)
    if until is not None:
        raise ValueError(f"give a count or until, not both: count={count!r} and until={until!r}")
    checks.check_limit(count, "count", 1, MOST_SAMPLES)
    return Count(count)


def _checked_amount(value: float, name: str, of_what: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} is an amount of {of_what}, not {checks.shown(value)}")
    if not 0 < value < inf:
        raise ValueError(f"{name} must be more than 0 and finite, not {value!r}")
    return value
