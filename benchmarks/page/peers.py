"""What a pass costs beside other tools, and who costs less."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import _store, peers, report
from benchmarks._run import Stored, ratio
from benchmarks.page import _text, _views
from benchmarks.page._plots import FLOOR, OTHERS, OURS, Bar, Bars, bar
from benchmarks.page._text import Part, Section
from benchmarks.peers._peer import CALL, INLINE, KEPT, NO, SAMPLED
from benchmarks.peers.ours import InlineBlock, KeptBlock, TrackedCall
from benchmarks.per_pass import net_ns

TITLE = "Beside other tools"

_INTRODUCTION = """\
Each tool is used as its documentation says, all of them in one process and in the same rounds.
Those that hook the interpreter are on during their own loop alone. A cost is all the processor time
of the process a pass, less the bare call or the empty loop; it is what one pays, not what the tool
says of itself. Not all of them do the same work: what each keeps stands in the last table."""

_SAMPLES, _KEEPS_NOTHING = "samples", "keeps no figures"

_PLOTTED = "Blue is stichotrope; the lightest bars are floors, and no tools."


class _Form(NamedTuple):
    """A way of marking: its plot, its title, ours, the forms of others, and the floors under it."""

    file: str
    title: str
    ours: tuple[str, ...]
    forms: tuple[str, ...]
    floors: tuple[str, ...]


_FORMS = (
    _Form("calls.svg", "call", (TrackedCall.name,), (CALL,), ("forward_direct", "clocks_direct")),
    _Form(
        "marked-blocks.svg",
        "block",
        (KeptBlock.name, InlineBlock.name),
        (KEPT, INLINE),
        ("empty_context", "inline_context"),
    ),
)


def sections(views: list[_store.Run]) -> list[Section]:
    """Return the costs of all tools, by the form in which they are used, and what they record."""
    having = _views.having(views, "peers")
    view = _views.first(views, "peers")
    if view is None:
        return [Section(TITLE, [_text.missing("peers")])]
    found = [Section(TITLE, [_INTRODUCTION])]
    for form in _FORMS:
        told = view["subjects"]["peers"]
        plot = _plot(form, told, f"CPython {_store.label(view)}")
        parts: list[Part] = [
            _PLOTTED,
            plot,
            _table(form, having),
            *_cheaper(form, told, _store.label(view)),
        ]
        found.append(Section(f"A {form.title}", parts, 3))
    return [*found, _kinds(having), Section("What each records", _recorded(having), 3)]


def measured(stored: Stored, forms: Sequence[str]) -> list[str]:
    """Return the tools of some forms that were measured, ours too, the cheapest first."""
    names = [
        name
        for name, told in stored["peers"].items()
        if told["form"] in forms and not told["refusal"]
    ]
    return sorted(names, key=lambda name: statistics.median(net_ns(stored, name)))


def _plot(form: _Form, stored: Stored, python: str) -> Bars:
    bars = [
        bar(stored["cases"][name]["title"], net_ns(stored, name), FLOOR) for name in form.floors
    ]
    bars += [_bar(form, stored, name) for name in measured(stored, form.forms)]
    title = f"What a marked {form.title} costs, {python} (logarithmic)"
    return Bars(form.file, title, "ns a pass", tuple(bars), logarithmic=True)


def _bar(form: _Form, stored: Stored, name: str) -> Bar:
    if name in form.ours:
        return bar(f"stichotrope: {name}", net_ns(stored, name), OURS)
    told = stored["peers"][name]
    lacking = _SAMPLES if told["records"]["total"] == SAMPLED else _KEEPS_NOTHING
    title = name if told["per_function"] else f"{name} ({lacking})"
    return bar(title, net_ns(stored, name), OTHERS)


def _table(form: _Form, views: list[_store.Run]) -> str:
    """Return what each costs on each interpreter, and in terms of the first of ours."""
    names: dict[str, None] = {}
    for view in views:
        names.update(dict.fromkeys(measured(view["subjects"]["peers"], form.forms)))
    first, labels = form.ours[0], [_store.label(view) for view in views]
    head = [f"a {form.title}", *(text for label in labels for text in (label, f"÷ {first}"))]
    rows = []
    for name in names:
        cells = [cell for view in views for cell in _cells(view["subjects"]["peers"], name, first)]
        rows.append([f"**{name}**" if name in form.ours else name, *cells])
    return _text.table(head, rows)


def _cells(stored: Stored, name: str, first: str) -> tuple[str, str]:
    told = stored["peers"].get(name)
    if told is None or told["refusal"]:
        return _text.NOTHING, _text.NOTHING
    costs = net_ns(stored, name)
    times = ratio(costs, net_ns(stored, first))
    return _text.said(costs, "ns"), "" if name == first else _text.said(times, "×", 2)


def _cheaper(form: _Form, stored: Stored, label: str) -> list[str]:
    """Return for each of ours who costs less, with the note on why that is."""
    said = []
    for own in form.ours:
        least = statistics.median(net_ns(stored, own))
        names = [
            name
            for name in measured(stored, form.forms)
            if name not in form.ours and statistics.median(net_ns(stored, name)) < least
        ]
        if not names:
            said.append(f"On {label}, no other tool costs less than ours, the {own}.")
            continue
        told = "\n".join(f"- {_why(stored, name)}" for name in names)
        said.append(f"On {label}, these cost less than ours, the {own}:\n\n{told}")
    return said


def _why(stored: Stored, name: str) -> str:
    told = stored["peers"][name]
    lacks = [peers.COLUMNS[what] for what, kept in told["records"].items() if kept == NO]
    kept = f"it does not record {_text.listed(lacks)}" if lacks else "it records as much"
    note = f"; {told['note']}" if told["note"] else ""
    return f"{name}: {_text.said(net_ns(stored, name), 'ns')}; {kept}{note}"


def _kinds(views: list[_store.Run]) -> Section:
    """Return what ours costs in the other forms, of which most tools have none."""
    names = [
        case["title"]
        for case in views[-1]["subjects"]["peers"]["cases"].values()
        if case["title"].startswith(("tracked ", "stopped ", "call decorated "))
    ]
    told = report.table(views, "figures", "peers", tuple(names))
    return Section("Ours, by kind", ["In the same rounds:", told], 3)


def _recorded(views: list[_store.Run]) -> list[str]:
    """Return what each records; our own documentation is beside the page."""
    return [told.replace("](README.md)", "](index.md)") for told in peers.tables(views)]
