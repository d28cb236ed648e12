"""How far each tool's mean is from what is true."""

from __future__ import annotations

import statistics

from benchmarks import _store, accuracy
from benchmarks._run import Stored
from benchmarks.page import _text, _views
from benchmarks.page._plots import OTHERS, OURS, Bars, bar
from benchmarks.page._text import Part, Section
from benchmarks.peers.ours import OURS as OWN

TITLE = "Accuracy"

_INTRODUCTION = """\
Work of a known length is done in turns without any tool and under each of them. What it takes
without is the truth; what a tool adds to its own mean is the part of its cost that lies between its
two readings of the clock. One work consists of many small calls that nobody asked about: tools that
hook the interpreter see those too."""


def sections(views: list[_store.Run]) -> list[Section]:
    """Return by how much each tool's mean is too long, for work of several lengths."""
    view = _views.first(views, "accuracy")
    if view is None:
        return [Section(TITLE, [_text.missing("accuracy")])]
    stored, python = view["subjects"]["accuracy"], f"CPython {_store.label(view)}"
    parts: list[Part] = [
        _INTRODUCTION,
        _plot(stored, python),
        f"Too long by, {python}; the last column is what a pass of the shortest work costs in all:",
        _table(stored),
    ]
    return [Section(TITLE, parts)]


def measured(stored: Stored) -> list[str]:
    """Return the tools that recorded the shortest work, the most accurate first."""
    shortest = accuracy.SHORTEST.name
    off = {name: accuracy.off_ns(stored, name, shortest) for name in stored["peers"]}
    recorded = [name for name, samples in off.items() if samples]
    return sorted(recorded, key=lambda name: abs(statistics.median(off[name])))


def _plot(stored: Stored, python: str) -> Bars:
    shortest, own = accuracy.SHORTEST, {kind.name for kind in OWN}
    bars = [
        bar(
            f"stichotrope: {name}" if name in own else name,
            accuracy.off_ns(stored, name, shortest.name),
            OURS if name in own else OTHERS,
        )
        for name in measured(stored)
    ]
    title = f"By how much the mean of {shortest.title} of work is too long, {python} (logarithmic)"
    return Bars("accuracy.svg", title, "ns", tuple(bars), logarithmic=True)


def _table(stored: Stored) -> str:
    titles = [work["title"] for work in stored["work"].values()]
    rows = []
    for name in measured(stored):
        off = (accuracy.off_ns(stored, name, work) for work in stored["work"])
        cells = [_text.said(samples, "ns", 0) if samples else "recorded nothing" for samples in off]
        cost = accuracy.cost_ns(stored, name, accuracy.SHORTEST.name)
        rows.append([name, *cells, _text.said(cost, "ns", 0)])
    return _text.table(["tool", *titles, "a pass costs"], rows)
