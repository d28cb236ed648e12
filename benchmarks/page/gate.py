"""Whether the gate calls changed what is, and nothing else."""

from __future__ import annotations

import statistics

from benchmarks import _store, gate
from benchmarks._run import Stored
from benchmarks.page import _text, _views
from benchmarks.page._text import Section

TITLE = "A gate on a busy machine"

_INTRODUCTION = """\
`stichotrope ab` runs a program beside neighbours whose load drifts: against itself, and against
itself with one of its three inner blocks {injected} slower. A comparison of the program with itself
takes the runs of one time that `ab` was run, and draws by lot anew which of each pair is called the
old one, as `ab` did: it is all that its promise rests on. The other rows are what `stichotrope
compare` makes of the same runs, by Welch's interval: of those in turns, and of such as followed
each other, as if all of one version had been made before those of the other.
`python -m benchmarks.gate.judging FILE` judges the stored runs."""


def sections(views: list[_store.Run]) -> list[Section]:
    """Return how often each way raised a false alarm, and how often it found what is slower."""
    view = _views.first(views, "gate")
    if view is None:
        return [Section(TITLE, [_text.missing("gate")])]
    stored = view["subjects"]["gate"]
    table = _text.table(
        ["way", "false alarms", "slower block found", "other blocks blamed"],
        ([title, *_cells(stored, way)] for way, title in gate.WAYS.items()),
    )
    introduction = _INTRODUCTION.format(injected=f"{100 * stored['injected']:.0f} %")
    return [Section(TITLE, [introduction, table, _told(stored)])]


def _cells(stored: Stored, way: str) -> list[str]:
    told = gate.outcome(stored, way)
    return [
        f"{told.alarms} of {told.comparisons:,}",
        f"{told.found} of {told.times}",
        str(told.blamed),
    ]


def _told(stored: Stored) -> str:
    """Return what is to be known of the machine: its load, and by how much runs differed."""
    loads = [load[0] for load in stored["loads"] if load]
    rounds = _text.listed(
        [f"{_span(taken)} {title}" for title, taken in gate.rounds(stored).items()]
    )
    spreads = {
        metric: [abs(one) for one in gate.differences(stored, gate.SLOWED, metric)]
        for metric in ("typical", "mean")
    }
    typical, mean = (f"{100 * statistics.median(sizes):.1f} %" for sizes in spreads.values())
    load = f"The load was {min(loads):.1f} to {max(loads):.1f}. " if loads else ""
    return (
        f"{load}`ab` took as many rounds as it held for needed, {rounds}. Two runs of a pair "
        f"differed in what a pass of `{gate.SLOWED}` typically takes by {typical}, in its mean by "
        f"{mean} (medians)."
    )


def _span(counts: list[int]) -> str:
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"
