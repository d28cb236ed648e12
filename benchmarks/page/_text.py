"""Words, tables and figures in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks import report
from benchmarks._run import Figure
from benchmarks.page._plots import Plot

DIRECTORY = "performance"
"""Where the plots are, seen from the page."""

NOTHING = "–"


Part: TypeAlias = "str | Plot"
"""What a section consists of: words and tables in Markdown, and plots."""


@dataclass(frozen=True)
class Section:
    """A part of the page: its title, what it says, and the plots that are in it."""

    title: str
    parts: Sequence[Part]
    level: int = 2

    @property
    def plots(self) -> list[Plot]:
        """The plots, in their order."""
        return [part for part in self.parts if isinstance(part, Plot)]

    def text(self) -> str:
        """Return all of it in Markdown; parts that are empty are left out."""
        return f"{'#' * self.level} {self.title}\n\n{self.body(DIRECTORY)}".rstrip()

    def body(self, directory: str) -> str:
        """Return it without its title.

        :param directory: where the plots are, seen from what it stands in.
        """
        said = (part.markdown(directory) if isinstance(part, Plot) else part for part in self.parts)
        return "\n\n".join(part for part in said if part)


def missing(*subjects: str) -> str:
    """Return what a section says of which no run is stored."""
    return (
        "No stored run has this yet. "
        f"`python -m benchmarks --only {','.join(subjects)}` measures it."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def said(samples: Sequence[float], unit: str, digits: int = 1) -> str:
    """Return a figure with its interval: "38.9 ns [38.6, 39.1]"."""
    return report.cell(Figure("", samples, unit, digits=digits))


def percent(share: float) -> str:
    """Return a part of a whole, 0 to 1: "38.9 %"."""
    return f"{100 * share:.1f} %"


def listed(names: Sequence[str]) -> str:
    """Return names as "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
