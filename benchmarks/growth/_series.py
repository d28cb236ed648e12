"""What a pass costs, as the number of something grows: measured, counted, and drawn as curves."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks._curve import Curve
from benchmarks._run import Fact, Figure, Progress, Scale, Stored, ratio
from benchmarks.growth._count import Counter, all_counted
from benchmarks.per_pass import Case, net_ns, time_cases

ROUNDS, QUICK_ROUNDS = 31, 9
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 2_000_000


@dataclass(frozen=True)
class Series:
    """Cases for each of some numbers.

    `key` is where a stored run has the numbers, `axis` what they are called in a plot, `arms` the
    kinds of cases with their titles, `cases` makes those of one number, `title` says a number in
    words, and `counted` is the title of whether every pass was counted, given the greatest.
    """

    key: str
    axis: str
    numbers: Sequence[int]
    arms: Mapping[str, str]
    cases: Callable[[int, Counter], list[Case]]
    title: Callable[[str, float], str]
    counted: Callable[[int], str]

    def measure(self, scale: Scale, rng: random.Random, progress: Progress) -> Stored:
        """Time all cases; return the raw values."""
        quick = scale is Scale.QUICK
        counter = Counter(untimed=1)
        timed = time_cases(
            [case for number in self.numbers for case in self.cases(number, counter)],
            QUICK_TARGET_NS if quick else TARGET_NS,
            QUICK_ROUNDS if quick else ROUNDS,
            rng,
            progress,
            calibrated=counter.start,
        )
        return {**timed, self.key: list(self.numbers), "recorded": counter.counted(timed)}

    def limits(self, stored: Stored) -> list[Figure | Fact]:
        """Return whether every pass was counted; no cost is held to a limit."""
        return [all_counted(self.counted(max(stored[self.key])), stored["recorded"])]

    def curves(self, stored: Stored) -> list[Curve]:
        """Return what a pass costs with so many."""
        return [
            Curve(
                title,
                self.axis,
                "ns",
                [(number, net_ns(stored, f"{arm}_{number}")) for number in stored[self.key]],
                partial(self.title, title),
            )
            for arm, title in self.arms.items()
        ]

    def figures(self, stored: Stored) -> list[Figure | Fact]:
        """Return those costs, and what the greatest number makes of them."""
        found: list[Figure | Fact] = []
        for curve in self.curves(stored):
            (least, first), *_, (most, last) = curve.points
            name = f"{self.title(curve.title, most)} ÷ {least:,}"
            found += [*curve.figures(), Figure(name, ratio(last, first), "×", digits=2)]
        return found
