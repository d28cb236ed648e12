"""How cost grows with threads, blocks, depth and duration, with what is stored, and with use."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import _store, growth, report, threads
from benchmarks._curve import Curve
from benchmarks._run import Stored
from benchmarks.growth import durations, grid
from benchmarks.page import _text, _views
from benchmarks.page._plots import FLOOR, OURS, Guide, Line, Lines, line
from benchmarks.page._text import Part, Section

_THREADS = """\
Threads share nothing when they record, so how many there are should not matter to a pass. Each
thread counts its own processor time: it costs nothing to wait for the GIL."""

_BLOCKS = """\
A program that goes round through its blocks touches the memory of each, and with many of them they
no longer fit the processor's caches. The floors have as many objects to touch, but no records."""

_DEPTH = """\
The mean over all levels. A pass does the same on each; but each level is a function and a block of
its own, so what is deeper is also more."""

_DURATIONS = """\
What recording adds to work of a given length, in percent of it. Measured is the same work with and
without; derived is the cost of a pass, taken from the shortest work, over the length. For long work
the measurement shows the unrest of the machine, which is greater than what is looked for: an open
triangle is the upper end of an interval that begins at nothing or below."""

_GRID = """\
A snapshot reads all threads while they go on. What it takes, and what the records take in memory,
goes by the number of blocks that were passed on each thread."""

_WEAR = "A profiler that has recorded a great many passes beside a new one:"

NS_A_US = 1000.0
DERIVED = ", derived"
"""How the title ends of what is not measured, but follows from what another line shows."""


def sections(views: list[_store.Run]) -> list[Section]:
    """Return a section for each quantity that cost may depend on."""
    return [
        Section("How cost grows", [_text.missing("threads", "growth")] if _none(views) else []),
        *_threads(views),
        *_growth(views),
    ]


def _none(views: list[_store.Run]) -> bool:
    return not (_views.having(views, "threads") or _views.having(views, "growth"))


def _threads(views: list[_store.Run]) -> list[Section]:
    view = _views.first(views, "threads")
    if view is None:
        return []
    curves = threads.curves(view["subjects"]["threads"])
    plot = Lines(
        "threads.svg",
        f"Cost of a pass by the number of threads, CPython {_store.label(view)}",
        "ns a pass, processor time",
        "threads",
        _lines(curves, floors=(threads.NATIVE_TITLES[threads.NATIVE_FLOOR],)),
    )
    return [Section("With the number of threads", [_THREADS, plot, _sizes(curves)], 3)]


def _growth(views: list[_store.Run]) -> list[Section]:
    view = _views.first(views, "growth")
    if view is None:
        return []
    stored, python = view["subjects"]["growth"], f"CPython {_store.label(view)}"
    curves = growth.curves(stored)
    made = {"blocks": _blocks, "depth": _depth, "durations": _durations, "grid": _grid}
    found = [
        make(curves[part], stored[part], python) for part, make in made.items() if part in curves
    ]
    return [*found, *_wear(curves)]


def _blocks(curves: list[Curve], _: Stored, python: str) -> Section:
    plot = Lines(
        "blocks.svg",
        f"Cost of a pass by the number of blocks gone through, {python}",
        "ns a pass",
        "blocks",
        _lines(curves, floors=[curve.title for curve in curves if "clock reads" in curve.title]),
    )
    return Section("With the number of blocks", [_BLOCKS, plot, _sizes(curves)], 3)


def _depth(curves: list[Curve], _: Stored, python: str) -> Section:
    title = f"Cost of a pass by the depth of nesting, {python}"
    plot = Lines("depth.svg", title, "ns a pass", "blocks in one another", _lines(curves))
    return Section("With the depth of nesting", [_DEPTH, plot, _sizes(curves)], 3)


def _durations(curves: list[Curve], stored: Stored, python: str) -> Section:
    plot = Lines(
        "durations.svg",
        f"What recording adds to work, by how long the work takes, {python}",
        "% of the work",
        "µs of work",
        _lines(curves, scale=1 / NS_A_US),
        logarithmic=True,
        guides=(Guide(durations.PERCENT, f"{durations.PERCENT:g} %"),),
    )
    rows = [row for row in durations.figures(stored) if f" {durations.PERCENT:g} % " in row.name]
    told = _text.table(["", python], ([row.name, report.cell(row)] for row in rows))
    return Section("With the duration of what is recorded", [_DURATIONS, plot, told], 3)


def _grid(curves: list[Curve], _: Stored, python: str) -> Section:
    plots: list[Part] = []
    for what, file, title in (
        (grid.TIME, "snapshot.svg", "Time of a snapshot"),
        (grid.MEMORY, "memory.svg", "Memory of what is recorded"),
    ):
        own = [curve for curve in curves if curve.title.startswith(what)]
        lines = tuple(
            one._replace(title=one.title.removeprefix(f"{what}, ")) for one in _lines(own)
        )
        name = f"{title} by blocks and threads, {python}"
        plots.append(Lines(file, name, own[0].unit, own[0].over, lines, logarithmic=True))
    return Section("Snapshots, and memory", [_GRID, *plots, _sizes(curves)], 3)


def _wear(curves: dict[str, list[Curve]]) -> list[Section]:
    if "wear" not in curves:
        return []
    return [Section("With use", [_WEAR, _sizes(curves["wear"])], 3)]


def _lines(
    curves: Sequence[Curve], floors: Sequence[str] = (), scale: float = 1.0
) -> tuple[Line, ...]:
    """Return curves as lines, ours first.

    :param curves: how quantities grow.
    :param floors: titles of those that others are held against.
    :param scale: by which sizes are multiplied.
    """
    lines = []
    for curve in sorted(curves, key=lambda curve: curve.title in floors):
        points = [(size * scale, samples) for size, samples in curve.points]
        whose = FLOOR if curve.title in floors else OURS
        like = curve.title.removesuffix(DERIVED)
        lines.append(line(curve.title, points, whose, like if like != curve.title else None))
    return tuple(lines)


def _sizes(curves: Sequence[Curve]) -> str:
    """Return a table with a row for each curve and a column for each size."""
    sizes = [f"{size:,}" for size, _ in curves[0].points]
    rows = ([curve.title, *(report.cell(row) for row in curve.figures())] for curve in curves)
    return _text.table([curves[0].over, *sizes], rows)
