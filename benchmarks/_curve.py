"""How a quantity grows: what a plot draws as one line, and a table as one row for each size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks._run import Figure


@dataclass(frozen=True)
class Curve:
    """One quantity, measured at several sizes.

    `over` says what the sizes count, or their unit. `points` has each size with its samples in
    `unit`, one for each round; those of one run are paired by their index. `name` gives the
    table's title of a size.
    """

    title: str
    over: str
    unit: str
    points: Sequence[tuple[float, Sequence[float]]]
    name: Callable[[float], str]
    digits: int = 1

    def figures(self) -> list[Figure]:
        """Return one figure for each size."""
        return [
            Figure(self.name(size), samples, self.unit, digits=self.digits)
            for size, samples in self.points
        ]
