"""What a pass costs, in six rows and a plot: for who wants no more, here and in README."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import _store, peers
from benchmarks._run import Stored, ratio
from benchmarks.page import _text, _views
from benchmarks.page._plots import OTHERS, OURS, Bars, bar
from benchmarks.page._text import Section
from benchmarks.peers._peer import CALL
from benchmarks.peers.ours import InlineBlock, KeptBlock, TrackedCall
from benchmarks.per_pass import net_ns

TITLE = "In six rows"

_BY_HAND, _CPROFILE = "hand-written decorator (perf_counter_ns)", "cProfile"
_HERE = {
    TrackedCall.name: f"`@p.track`: a {TrackedCall.name}",
    KeptBlock.name: f"`with QUERY:`: a {KeptBlock.name}",
    InlineBlock.name: f"`with p.block(…):`: an {InlineBlock.name}",
}


def sections(views: list[_store.Run]) -> list[Section]:
    """Return the costs on the newest interpreter that they were measured on."""
    having = _views.having(views, "peers")
    if not having:
        return [Section(TITLE, [_text.missing("peers")])]
    view = having[-1]
    stored, python = view["subjects"]["peers"], f"CPython {_store.label(view)}"
    rows = _rows(stored)
    plot = Bars(
        "in-six-rows.svg",
        f"What a pass costs, {python}",
        "ns a pass",
        tuple(
            bar(name, samples, OURS if name in _HERE else OTHERS) for name, samples in rows.items()
        ),
    )
    first = rows[TrackedCall.name]
    table = _text.table(
        ["a pass", f"costs on {python}", f"÷ {TrackedCall.name}"],
        (
            [
                _HERE.get(name, name),
                _text.said(samples, "ns"),
                "" if samples is first else _text.said(ratio(samples, first), "×", 2),
            ]
            for name, samples in rows.items()
        ),
    )
    return [Section(TITLE, [plot, table])]


def _rows(stored: Stored) -> dict[str, Sequence[float]]:
    """Return ours, what one writes by hand, the standard library's, and the cheapest other tool."""
    others = [name for name in peers.qualified(stored, CALL) if name not in (_BY_HAND, _CPROFILE)]
    cost = peers.cheapest(stored, others)
    names = [*_HERE, _BY_HAND, _CPROFILE]
    found: dict[str, Sequence[float]] = {name: net_ns(stored, name) for name in names}
    best = next(name for name in others if list(net_ns(stored, name)) == list(cost))
    found[f"{best} (the cheapest other one that tells hits and times)"] = cost
    return found
