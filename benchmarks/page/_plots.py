"""What a plot shows, as data: so that it is known whether a drawn one is still the right one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks._run import median_interval

OURS, OTHERS, FLOOR = "ours", "others", "floor"
"""Whose bar it is: ours, another tool's, or what nothing can be cheaper than."""


class Bar(NamedTuple):
    """A quantity with its interval."""

    title: str
    middle: float
    low: float
    high: float
    whose: str = OURS


class Point(NamedTuple):
    """A quantity at one size, with its interval."""

    size: float
    middle: float
    low: float
    high: float


class Line(NamedTuple):
    """A quantity at several sizes.

    `like` is the title of another line of which this one is a derivation: it has its colour.
    """

    title: str
    points: tuple[Point, ...]
    whose: str = OURS
    like: str | None = None


class Guide(NamedTuple):
    """A value that is held against the others, and what it is."""

    value: float
    title: str


@dataclass(frozen=True)
class Plot:
    """A plot: its file's name, what it says in words, and what its axis of values counts."""

    file: str
    title: str
    unit: str

    def digest(self) -> str:
        """Return what is another one when the plot is."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def markdown(self, directory: str) -> str:
        """Return how the page shows it, with its title for who does not see it."""
        return f"![{self.title}]({directory}/{self.file})"


@dataclass(frozen=True)
class Bars(Plot):
    """Horizontal bars, from the top to the bottom.

    `digits` are those of the figures beside the bars; None gives each three significant ones.
    """

    bars: tuple[Bar, ...]
    logarithmic: bool = False
    guides: tuple[Guide, ...] = ()
    digits: int | None = None


@dataclass(frozen=True)
class Lines(Plot):
    """Lines over sizes; `over` says what the sizes count. Both axes may be logarithmic.

    Where the axis of values is, what may be nothing or less is shown by where its interval ends.
    """

    over: str
    lines: tuple[Line, ...]
    logarithmic_sizes: bool = True
    logarithmic: bool = False
    guides: tuple[Guide, ...] = ()


def bar(title: str, samples: Sequence[float], whose: str = OURS) -> Bar:
    """Return the bar of a quantity that was measured in several rounds."""
    return Bar(title, *median_interval(samples), whose)


def line(
    title: str,
    points: Sequence[tuple[float, Sequence[float]]],
    whose: str = OURS,
    like: str | None = None,
) -> Line:
    """Return the line of a quantity that was measured in several rounds at several sizes."""
    found = tuple(Point(size, *median_interval(samples)) for size, samples in points)
    return Line(title, found, whose, like)


def digest_in(svg: str) -> str | None:
    """Return the digest of what a drawn plot shows, or None where there is none."""
    found = re.search(r"<dc:description>([0-9a-f]{16})</dc:description>", svg)
    return found and found[1]
