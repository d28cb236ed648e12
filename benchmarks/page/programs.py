"""What profiling showed of two real programs, and what it added to them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from types import ModuleType

from benchmarks import _store, report
from benchmarks._run import Figure, Stored
from benchmarks.page import _text, _views
from benchmarks.page._plots import OTHERS, OURS, Bar, Bars, Guide, Plot, bar
from benchmarks.page._text import Part, Section
from benchmarks.workloads import _overhead, _profile
from benchmarks.workloads.prompts import measure as prompts
from benchmarks.workloads.smc import measure as smc

PROGRAMS: Mapping[str, ModuleType] = {"smc": smc, "prompts": prompts}

_INTRODUCTION = """\
Two programs of the benchmarks do real work on several threads, and can be run by hand.
`python -m benchmarks.workloads.smc --help`: sliding-mode control of a double inverted pendulum,
tuned by a swarm of particles. `python -m benchmarks.workloads.prompts --help`: a generator of
prompts over a tree of Markdown plans, with caches. Each runs bare, with all its marks, with the
marks alone that take a millisecond or more, and with marks that are off."""

_OVERHEAD = """\
The modes run side by side in one process, in an order drawn anew each round; a sample is the median
of one process. The limits: below 5 % with all marks, and below 1 % with those of 1 ms and more."""

_SMC = """\
`derivative` is the equations of motion, asked four times in a `step`; `simulate` is many steps.
`compute_control` asks a controller, whose law has its name. All that must hold of the program is
checked in the same run:"""

_PROMPTS = """\
One-shot is a process for each prompt, from its start to its end; long-lived is one that plays a day
of requests and changes. A prompt is whole when nothing is worked out for it but the filling."""

_REMEMBER = """\
Resolving links stood out among what is done again for each file, although the links hardly ever
change. So they are resolved once, and what was found is checked with the file's own time, size and
inode."""

_SKIM = """\
Reading a plan, which is the block `plan`, had matched each line against patterns, though only few
can match. Skimming finds those first."""

_ROWS = 6


def sections(views: list[_store.Run]) -> list[Section]:
    """Return the overheads, and what each program showed."""
    stored = {name: _views.first(views, name) for name in PROGRAMS}
    having = {name: view for name, view in stored.items() if view is not None}
    title = "Two real programs"
    if not having:
        return [Section(title, [_text.missing(*PROGRAMS)])]
    lacking = [name for name in PROGRAMS if name not in having]
    parts = [_INTRODUCTION, _text.missing(*lacking) if lacking else ""]
    found = [Section(title, parts), _overheads(views, having)]
    if "smc" in having:
        found.append(_smc(views, having["smc"]))
    if "prompts" in having:
        found += _prompts(views, having["prompts"])
    return found


def _overheads(views: list[_store.Run], having: Mapping[str, _store.Run]) -> Section:
    rows: dict[str, dict[str, str]] = {}
    for view in views:
        for name in PROGRAMS:
            if name in view["subjects"]:
                for figure in overheads(name, view["subjects"][name]):
                    rows.setdefault(figure.name, {})[_store.label(view)] = report.cell(figure)
    labels = [_store.label(v) for v in views if any(name in v["subjects"] for name in PROGRAMS)]
    told = _text.table(
        ["", *labels],
        (
            [name, *(cells.get(label, _text.NOTHING) for label in labels)]
            for name, cells in rows.items()
        ),
    )
    return Section("What profiling adds", [_OVERHEAD, _overhead_plot(having), told], 3)


def overheads(name: str, stored: Stored) -> list[Figure]:
    """Return by how many percent each mode slows a program, with the limits where there are any."""
    rows = [*PROGRAMS[name].limits(stored), *PROGRAMS[name].figures(stored)]
    return [row for row in rows if isinstance(row, Figure) and row.name.startswith("overhead of ")]


def _overhead_plot(having: Mapping[str, _store.Run]) -> Plot:
    figures = [
        figure
        for name, view in having.items()
        for figure in overheads(name, view["subjects"][name])
    ]
    bars = [
        bar(
            figure.name.removeprefix("overhead of "),
            figure.samples,
            OURS if figure.limit is not None else OTHERS,
        )
        for figure in sorted(figures, key=lambda figure: -(figure.limit or 0))
    ]
    guides = (Guide(limit, f"{limit:g} %") for limit in _overhead.LIMITS_PERCENT.values())
    pythons = _text.listed(sorted({_store.label(view) for view in having.values()}))
    title = f"What profiling adds to {_text.listed([*having])}, CPython {pythons}"
    return Bars(
        "programs.svg", title, "% of the bare program", tuple(bars), False, tuple(guides), 2
    )


def _smc(views: list[_store.Run], view: _store.Run) -> Section:
    stored = view["subjects"]["smc"]
    shares = _profile.own_shares(stored["profile"]["blocks"])[:_ROWS]
    passes = sum(block["hits"] for block in stored["profile"]["blocks"])
    said = (
        f"Its own profile, CPython {_store.label(view)}: {passes:,} passes in "
        f"{stored['profile']['steps']:,} simulated steps. So much of the time is each block's own:"
    )
    table = _text.table(
        ["block", "own time", "passes"],
        ([f"`{name}`", _text.percent(part), f"{_hits(stored, name):,}"] for name, part in shares),
    )
    held = [row for row in smc.limits(stored) if row.name.startswith("smc: ")]
    facts = _text.table(
        ["what must hold", ""], ([row.name.removeprefix("smc: "), report.cell(row)] for row in held)
    )
    return Section("smc: sliding-mode control", [said, table, _SMC, facts], 3)


def _hits(stored: Stored, name: str) -> int:
    return sum(block["hits"] for block in stored["profile"]["blocks"] if block["name"] == name)


def _prompts(views: list[_store.Run], view: _store.Run) -> list[Section]:
    stored, python = view["subjects"]["prompts"], f"CPython {_store.label(view)}"
    rows = [row for row in prompts.limits(stored) if not row.name.startswith("overhead of ")]
    held = _text.table(["what must hold", python], ([row.name, report.cell(row)] for row in rows))
    return [
        Section("prompts: prompts over a tree of plans", [_PROMPTS, held], 3),
        Section("A bottleneck, found and removed", _bottleneck(stored, python), 3),
    ]


def _bottleneck(stored: Stored, python: str) -> list[Part]:
    """Return what the profile showed, one thing after the other, and what came of it."""
    first, remembered, best = prompts.WAYS
    shares = {
        way: dict(prompts.bottlenecks(stored["traces"][prompts.OF_WAY[way]]))
        for way in prompts.WAYS
    }
    blocks = list(dict.fromkeys(b for own in shares.values() for b in list(own)[:_ROWS]))
    means = (_mean_us(stored, way) for way in prompts.WAYS)
    table = _text.table(
        ["of a trace", *prompts.WAYS],
        [
            ["a prompt in the mean", *(f"{us:.1f} µs" for us in means)],
            *(
                [f"own time of `{b}`", *(_text.percent(own.get(b, 0.0)) for own in shares.values())]
                for b in blocks
            ),
        ],
    )
    top, then = (
        _text.listed(_largest(shares[way], count)) for way, count in ((first, 3), (remembered, 1))
    )
    warm = [_took(stored, way, "warm") for way in (first, remembered)]
    cold = [_took(stored, way, "cold") for way in (remembered, best)]
    return [
        f"The profile of a trace of the program as first written says where its time goes: {top}.",
        f"{_REMEMBER} A warm prompt went from {warm[0]} to {warm[1]}.",
        f"Then the largest part was {then}. {_SKIM} A cold prompt went from {cold[0]} to "
        f"{cold[1]}.",
        "Before and after, in all:",
        _ways_plot(stored, python),
        table,
    ]


def _largest(shares: Mapping[str, float], count: int) -> list[str]:
    return [f"`{name}` ({_text.percent(share)})" for name, share in list(shares.items())[:count]]


def _ways_plot(stored: Stored, python: str) -> Plot:
    bars: list[Bar] = []
    for caches in prompts.WORKS:
        for way in prompts.WAYS:
            whose = OURS if way == prompts.BEST else OTHERS
            bars.append(bar(f"{caches}, {way}", _us(stored, way, caches), whose))
    title = f"Time of a prompt, before and after, {python}"
    return Bars("prompts.svg", title, "µs a prompt", tuple(bars))


def _mean_us(stored: Stored, way: str) -> float:
    return statistics.fmean(stored["traces"][prompts.OF_WAY[way]]["elapsed_ns"]) / 1e3


def _took(stored: Stored, way: str, caches: str) -> str:
    return _text.said(_us(stored, way, caches), "µs")


def _us(stored: Stored, way: str, caches: str) -> list[float]:
    """Return what a prompt takes in µs: the median of each process."""
    samples = [child["ns_a_prompt"][f"{way}, {caches}"] for child in stored["ways"]]
    return [statistics.median(some) / 1e3 for some in samples]
