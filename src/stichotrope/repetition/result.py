"""What repeated passes took."""

from __future__ import annotations

from array import array

from .._text.format import format_count, format_throughput, format_time_ns, printable
from ..statistics import Runs
from ..statistics.samples import fences, interpolated, quantile_ranks
from .rules import CONFIDENCE, SECOND, deviation, half_interval

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..statistics.samples import Interval


class Repetition:
    """What repeated passes took. Printing it gives a small table.

    The intervals tell how well these passes determine mean and median, were they independent of
    each other. They tell nothing of how times vary from one run of the program to the next.

    :param name: what was repeated.
    :param samples_ns: what each pass took in ns, in their order, one at least.
    :param warmup: how many passes were made before.
    :param stopped_by: why there were no more: "count", "no new minimum", "interval", "time limit",
        "most samples", or "broken off".
    :param overhead_ns: what a pass takes in which nothing is done, in ns; it is in each sample.
    :param bytes_per_pass: how many bytes a pass handles; None when that is not known.
    """

    def __init__(
        self,
        name: str,
        samples_ns: Sequence[int],
        *,
        warmup: int = 0,
        stopped_by: str = "count",
        overhead_ns: float = 0.0,
        bytes_per_pass: int | None = None,
    ) -> None:
        self.name = name
        self.samples_ns = array("q", samples_ns)
        self.warmup = warmup
        self.stopped_by = stopped_by
        self.overhead_ns = overhead_ns
        self.bytes_per_pass = bytes_per_pass
        self._ordered = array("q", sorted(self.samples_ns))
        if not self._ordered:
            raise ValueError(f"a repetition has one sample at least; {name!r} has none")

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.samples_ns)

    @property
    def total_ns(self) -> int:
        """The sum of the samples in ns."""
        return sum(self.samples_ns)

    @property
    def mean_ns(self) -> float:
        """Their mean in ns."""
        return self.total_ns / self.count

    @property
    def median_ns(self) -> float:
        """Their median in ns."""
        return interpolated(self._ordered, 1, 2)

    @property
    def stddev_ns(self) -> float:
        """Their standard deviation in ns, by their number less one; 0.0 for a single one."""
        if self.count < 2:
            return 0.0
        squares = sum(sample * sample for sample in self.samples_ns)
        return deviation(self.count, self.total_ns, squares)

    @property
    def min_ns(self) -> int:
        """The shortest in ns."""
        return self._ordered[0]

    @property
    def max_ns(self) -> int:
        """The longest in ns."""
        return self._ordered[-1]

    @property
    def mean_interval_ns(self) -> Interval | None:
        """The 95 % interval of the mean in ns, Student's; None for a single sample."""
        if self.count < 2:
            return None
        half = half_interval(self.count, self.stddev_ns)
        return self.mean_ns - half, self.mean_ns + half

    @property
    def median_interval_ns(self) -> Interval | None:
        """The 95 % interval of the median in ns, by order; None for fewer than six samples."""
        from fractions import Fraction

        ranks = quantile_ranks(self.count, Fraction(1, 2), CONFIDENCE)
        if ranks is None:
            return None
        return self._ordered[ranks[0] - 1], self._ordered[ranks[1] - 1]

    @property
    def fences_ns(self) -> Interval:
        """Tukey's fences in ns: samples outside are outliers."""
        return fences(self._ordered)

    @property
    def outliers_ns(self) -> list[int]:
        """The samples outside the fences, in their order."""
        low, high = self.fences_ns
        return [sample for sample in self.samples_ns if not low <= sample <= high]

    @property
    def bytes_per_s(self) -> float | None:
        """The throughput at the mean; None when it is not known."""
        return self._throughput(self.mean_ns)

    @property
    def max_bytes_per_s(self) -> float | None:
        """The throughput of the shortest pass; None when it is not known."""
        return self._throughput(self.min_ns)

    def _throughput(self, took_ns: float) -> float | None:
        if self.bytes_per_pass is None or not took_ns:
            return None
        return self.bytes_per_pass * SECOND / took_ns

    def as_runs(self) -> Runs:
        """Return it as one run, for `stichotrope.statistics.compare`; several can be added up."""
        return Runs.of_samples({self.name: self.samples_ns})

    def to_dict(self) -> dict[str, Any]:
        """Return it as a document for programs: dicts, lists, str, numbers, None."""
        return {
            "format": "stichotrope-repetition",
            "format_version": 1,
            "name": self.name,
            "count": self.count,
            "warmup": self.warmup,
            "stopped_by": self.stopped_by,
            "mean_ns": self.mean_ns,
            "mean_interval_ns": _listed(self.mean_interval_ns),
            "median_ns": self.median_ns,
            "median_interval_ns": _listed(self.median_interval_ns),
            "confidence": CONFIDENCE,
            "stddev_ns": self.stddev_ns,
            "min_ns": self.min_ns,
            "max_ns": self.max_ns,
            "fences_ns": _listed(self.fences_ns),
            "outliers": len(self.outliers_ns),
            "overhead_ns": self.overhead_ns,
            "bytes_per_pass": self.bytes_per_pass,
            "bytes_per_s": self.bytes_per_s,
            "max_bytes_per_s": self.max_bytes_per_s,
            "samples_ns": list(self.samples_ns),
        }

    def __str__(self) -> str:
        return "\n".join([self._heading(), *_table(self._rows()), *self._remarks()])

    def _heading(self) -> str:
        facts = [printable(self.name), _counted(self.count, "pass", "passes")]
        if self.warmup:
            facts.append(f"{_counted(self.warmup, 'warm-up', 'warm-ups')} before")
        return " · ".join([*facts, f"stopped by {self.stopped_by}"])

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = [
            ("mean", self.mean_ns, self.mean_interval_ns, self.bytes_per_s),
            ("median", self.median_ns, self.median_interval_ns, self._throughput(self.median_ns)),
            ("min", self.min_ns, None, self.max_bytes_per_s),
            ("max", self.max_ns, None, self._throughput(self.max_ns)),
            ("stddev", self.stddev_ns, None, None),
        ]
        return [
            (
                label,
                format_time_ns(ns),
                "" if ends is None else f"95 % in {_span(*ends)}",
                "" if rate is None else format_throughput(rate),
            )
            for label, ns, ends, rate in rows
        ]

    def _remarks(self) -> list[str]:
        low, high = self.fences_ns
        found = self.outliers_ns
        below = sum(sample < low for sample in found)
        lines = []
        if found:
            lines.append(
                f"{_counted(len(found), 'outlier', 'outliers')}: {format_count(below)} below "
                f"{format_time_ns(low)}, {format_count(len(found) - below)} above "
                f"{format_time_ns(high)}"
            )
        lines.append(f"an empty pass takes {format_time_ns(self.overhead_ns)}, which is in each")
        return lines

    def __repr__(self) -> str:
        return (
            f"<Repetition {self.name!r}: {self.count} passes, mean {self.mean_ns:.0f} ns, "
            f"min {self.min_ns} ns>"
        )

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if isinstance(other, Repetition) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def _listed(ends: Interval | None) -> list[float] | None:
    return None if ends is None else list(ends)


def _span(low: float, high: float) -> str:
    return f"{format_time_ns(low)} … {format_time_ns(high)}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{format_count(count)} {one if count == 1 else many}"


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Return rows as lines: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for label, time, span, rate in rows:
        figures = f"{time:>{widths[1]}}  {span:{widths[2]}}  {rate:>{widths[3]}}"
        lines.append(f"{label:{widths[0]}}  {figures}".rstrip())
    return lines
