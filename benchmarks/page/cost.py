"""What a pass costs, and what of it is what."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import _store, instructions, per_pass, report, suspended
from benchmarks._run import Stored, cheaper, minus
from benchmarks.page import _text, _views
from benchmarks.page._text import Section

OFF_TITLES = ("stopped call", "call with its track off", "kept block, stopped")

_WHY = """\
A tracked function is an object of C that is called in the function's place. It forwards the
arguments, reads the clock before and after, and writes into memory that belongs to its thread
alone: it takes no lock and makes no object. So there are floors under its cost, measured in the
same rounds: a C callable that only forwards, the same with two reads of the clock, and for blocks
an empty context manager in C. What is above them is recording: finding the block below the one that
is open, counting, adding up total and self time, least and most, and a bucket of the histogram."""

_SUSPENDED = """\
What suspends costs once for each run, and once more for each resume, which tells the time that it
ran from the time that it waited. The floor forwards each resume likewise."""

_INSTRUCTIONS = "Counted by callgrind, which no neighbour disturbs:"


def sections(views: list[_store.Run]) -> list[Section]:
    """Return the costs of a pass, and their parts."""
    passing = _views.having(views, "per_pass")
    title = "What a pass costs, and why"
    if not passing:
        return [Section(title, [_text.missing("per_pass")])]
    parts = [
        _WHY,
        report.table(passing, "figures", "per_pass", (*per_pass.HEADLINES, *OFF_TITLES)),
        "Of that, part by part:",
        _composition(passing),
        *_counted(views),
    ]
    return [Section(title, parts), *_of_what_suspends(views)]


def _composition(views: list[_store.Run]) -> str:
    """Return a table of what a call and a block are made of, each the difference of two rows."""
    named: dict[str, list[str]] = {}
    for view in views:
        for name, samples in composition(view["subjects"]["per_pass"]).items():
            named.setdefault(name, []).append(_text.said(samples, "ns"))
    head = ["part", *(_store.label(view) for view in views)]
    return _text.table(head, ([name, *cells] for name, cells in named.items()))


def composition(stored: Stored) -> dict[str, Sequence[float]]:
    """Return the parts of a tracked call and of a kept block in ns, round by round."""

    def net(case: str) -> list[float]:
        return per_pass.net_ns(stored, case)

    forward = cheaper(net("forward"), net("forward_direct"))
    clocks = cheaper(net("clocks"), net("clocks_direct"))
    return {
        "call: to be called, and to call": forward,
        "call: two reads of the clock": minus(clocks, forward),
        "call: to record": minus(net("tracked"), clocks),
        "kept block: a context manager's enter and exit": net("empty_context"),
        "kept block: two reads of the clock": minus(net("clock_context"), net("empty_context")),
        "kept block: to record": minus(net("kept_block"), net("clock_context")),
        "inline block: to find the block": minus(net("inline_block"), net("kept_block")),
    }


def _counted(views: list[_store.Run]) -> list[str]:
    having = _views.having(views, "instructions")
    if not having:
        return []
    # All figures of the subject are of one kind, and their names say so.
    told = report.table(having, "figures", "instructions")
    return [_INSTRUCTIONS, told.replace(f"| {instructions.__name__.rpartition('.')[2]}, ", "| ")]


def _of_what_suspends(views: list[_store.Run]) -> list[Section]:
    having = _views.having(views, "suspended")
    if not having:
        return [Section("Generators and coroutines", [_text.missing("suspended")], 3)]
    told = report.table(having, "figures", "suspended", suspended.HEADLINES)
    return [Section("Generators and coroutines", [_SUSPENDED, told], 3)]
