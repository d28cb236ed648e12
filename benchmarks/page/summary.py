"""The page in a few sentences."""

from __future__ import annotations

import statistics

from benchmarks import _store, peers, per_pass, report
from benchmarks._run import Figure, Stored, ratio
from benchmarks.growth import durations
from benchmarks.page import _text, _views, programs
from benchmarks.page._text import Section
from benchmarks.peers._peer import CALL, INLINE, KEPT
from benchmarks.peers.ours import InlineBlock, TrackedCall
from benchmarks.workloads import _overhead


def sections(views: list[_store.Run]) -> list[Section]:
    """Return what a reader looks for first, as far as it is stored."""
    said = [*_passes(views), *_peers(views), *_durations(views), *_programs(views)]
    return [Section("In short", ["\n".join(f"- {one}" for one in said)])] if said else []


def _passes(views: list[_store.Run]) -> list[str]:
    view = _views.first(views, "per_pass")
    if view is None:
        return []
    stored = view["subjects"]["per_pass"]
    tracked, kept, inline, off = (
        _text.said(per_pass.net_ns(stored, case), "ns")
        for case in ("tracked", "kept_block", "inline_block", "track_off")
    )
    return [
        f"On CPython {_store.label(view)}, a tracked call costs {tracked}, a kept block {kept}, an "
        f"inline block {inline}, and a call whose track is off {off}."
    ]


def _peers(views: list[_store.Run]) -> list[str]:
    view = _views.first(views, "peers")
    if view is None:
        return []
    stored = view["subjects"]["peers"]
    return [
        _beside(stored, "A tracked call", TrackedCall.name, CALL),
        _beside(stored, "An inline block", InlineBlock.name, KEPT, INLINE),
    ]


def _beside(stored: Stored, title: str, own: str, *forms: str) -> str:
    """Return what ours costs in terms of the cheapest other one that keeps such figures."""
    costs = {name: per_pass.net_ns(stored, name) for name in peers.qualified(stored, *forms)}
    least = min(costs, key=lambda name: statistics.median(costs[name]))
    times = _text.said(ratio(per_pass.net_ns(stored, own), costs[least]), "×", 2)
    return (
        f"{title} costs {times} what the cheapest other tool does that tells how often and how "
        f"long ({least}, {_text.said(costs[least], 'ns')})."
    )


def _durations(views: list[_store.Run]) -> list[str]:
    view = _views.first(views, "growth")
    if view is None or "durations" not in view["subjects"]["growth"]:
        return []
    rows = durations.figures(view["subjects"]["growth"]["durations"])
    title = f"tracked call: {durations.PERCENT:g} % of the work, derived"
    cell = next(report.cell(row) for row in rows if row.name == title)
    return [f"A tracked call is {durations.PERCENT:g} % of what it calls if that takes {cell}."]


def _programs(views: list[_store.Run]) -> list[str]:
    stored = {
        name: view["subjects"][name]
        for name in programs.PROGRAMS
        if (view := _views.first(views, name)) is not None
    }
    figures = [figure for name, told in stored.items() for figure in programs.overheads(name, told)]
    said = [
        f"{title} add at most {max(_upper(figure) for figure in own):.2f} %"
        for title in _overhead.TITLES.values()
        if (own := [f for f in figures if f.name.startswith(f"overhead of {title}, ")])
    ]
    if not said:
        return []
    names, told = _text.listed([*stored]), _text.listed(said)
    return [f"In real programs ({names}), {told} (the upper end of the largest interval)."]


def _upper(figure: Figure) -> float:
    return figure.interval()[2]
