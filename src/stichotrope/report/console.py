"""The report on the console: the layout in plain text and style names, printed through `rich`."""

from __future__ import annotations

import sys
from collections import Counter

from .._text.columns import FIGURES, HEADINGS, OF_PASSES, SORTS
from .._text.format import (
    format_count,
    format_percent,
    format_rate,
    format_time_ns,
    printable,
    shorten,
)
from ..results import (
    OVERHEAD_FACTOR,
    WAITING_FACTOR,
    is_mostly_overhead,
    is_waiting_unsure,
    results_of,
)
from . import _passes

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TextIO, TypeAlias

    from rich.console import Console
    from rich.text import Text

    from ..results import ProfileBlock, ProfilerResults, ProfileTrack

    # A line of the report: pieces of text, each with the name of a rich style.
    Line: TypeAlias = "list[tuple[str, str]]"

_PLAIN_WIDTH = 120  # where the report goes to a file or a pipe
_LEAST_WIDTH = 40
_UNKNOWN_WIDTH = 80
_GAP = 2
_BAR = 8
_NAME_ROOM = 32  # columns are dropped rather than names cut shorter than this, where it is possible
_WHERE_ROOM = 14

_STYLES = {
    **_passes.STYLES,
    "total": "bold",
    **dict.fromkeys(("min", "max", "p50", "p95", "p99"), "dim"),
}
_OF_ENDED_PASSES = ("mean", "p50", "p95", "p99", "min", "max")
# What goes first when there is little room (the block's place goes before any of these).
_DROPPED_FIRST = (
    *("min", "max", "p95", "p50", "p99", "bar", "concurrency", "self", "cpu", "mean"),
    *("cancelled", "running", "open", "hits", "items", "bytes", "errors", "waiting", "share"),
)

_NOTHING = (
    "Nothing was recorded yet. Name the functions or the lines that you want to time, run them "
    "while the profiler is started, and print the results again:"
)
_EXAMPLE = (
    '@profiler.track(0, "load")',
    'with profiler.block(0, "parse"):',
)


def print_results(
    results: object,
    *,
    file: TextIO | None = None,
    sort: str = "total",
    limit: int | None = None,
    width: int | None = None,
    color: bool | None = None,
) -> None:
    """Print a report: the tracks, and in each its blocks with times, shares and percentiles.

    Columns of running (not suspended), open, errors (left by an exception), cancelled, how many
    were open at a time, of processor time, and of the bytes and items that went through in a second
    are there where they say something.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param file: the text stream to print to; standard output unless given.
    :param sort: what the blocks of a track are sorted by, most first: ``total``, ``self``,
        ``hits``, ``mean``, ``max``, ``running``, ``open``, ``errors``, ``cancelled``,
        ``concurrency``, ``cpu``, ``waiting``, ``bytes`` or ``items``; or ``name``. Blocks that were
        never entered come last.
    :param limit: how many blocks to show of each track; all unless given.
    :param width: the width in columns; that of the terminal, or 120 elsewhere, unless given.
    :param color: whether to use colours; unless given, on terminals that have them, and not when
        the environment variable ``NO_COLOR`` is set.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when ``sort``, ``limit`` or ``width`` has a value that makes no sense.
    """
    check_options(file, sort, limit, width, color)
    found = results_of(results)
    console = _console(file, color)
    page = _Page(found, width or _width(console, file), console.encoding)
    _print(console, page.lines(sort, limit))


def check_options(
    file: TextIO | None, sort: str, limit: int | None, width: int | None, color: bool | None
) -> None:
    """Refuse what a report cannot be printed with; see `print_results`."""
    _check_sort(sort)
    _check_number("limit", limit, 1)
    _check_number("width", width, _LEAST_WIDTH)
    if color is not None and not isinstance(color, bool):
        raise TypeError(f"color must be True, False or None, not {color!r}")
    if file is not None and not (hasattr(file, "write") and hasattr(file, "flush")):
        raise TypeError(f"file must be a text stream, not {file!r}")


def _check_sort(sort: str) -> None:
    if sort not in SORTS:
        raise ValueError(f"sort must be one of {', '.join(SORTS)}, not {sort!r}")


def _check_number(name: str, value: int | None, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number or None, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value}")


# Everything that knows rich


def _console(file: TextIO | None, color: bool | None) -> Console:
    from rich.console import Console

    console = Console(
        file=file,
        color_system="auto" if color is None else "standard" if color else None,
        no_color=None if color is None else not color,
        # A notebook would get the report even when it was meant for a file.
        force_jupyter=None if file is None else False,
    )
    if console.width < 1:  # of a terminal that does not know, or COLUMNS=0: nothing would be shown
        console.width = _UNKNOWN_WIDTH
    return console


def _width(console: Console, file: TextIO | None) -> int:
    # Not what rich takes for a terminal: with FORCE_COLOR set, that is anything.
    is_terminal = getattr(sys.stdout if file is None else file, "isatty", None)
    if is_terminal is None or not is_terminal():
        return _PLAIN_WIDTH
    return max(console.width, _LEAST_WIDTH)


def _print(console: Console, lines: Iterable[Line]) -> None:
    # All at once, so that what other threads print does not come in between. As segments, since
    # the lines fit the page already, which may be wider than what rich takes for the terminal.
    from rich.segment import Segment, Segments

    pieces = [piece for line in lines for piece in (*_stripped(line), ("\n", ""))]
    styles = {name: console.get_style(name) if name else None for _, name in pieces}
    console.print(Segments(Segment(text, styles[name]) for text, name in pieces), crop=False)


def _stripped(line: Line) -> Line:
    """Return a line without blanks at its end."""
    line = [piece for piece in line if piece[0]]
    while line and not line[-1][0].rstrip():
        line.pop()
    return [*line[:-1], (line[-1][0].rstrip(), line[-1][1])] if line else []


def _text(lines: Iterable[Line]) -> Text:
    from rich.text import Text

    texts = [Text.assemble(*line) for line in lines]
    for text in texts:
        text.rstrip()
    return Text("\n").join(texts)


def as_text(results: ProfilerResults, console: Console, sort: str, limit: int | None) -> Text:
    """Return the report as it would be printed, to be shown in another way.

    :param results: what to report.
    :param console: what it is to be shown on.
    :param sort: see `print_results`.
    :param limit: see `print_results`.
    """
    page = _Page(results, max(console.width, _LEAST_WIDTH), console.encoding)
    return _text(page.lines(sort, limit))


def _cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    from rich.cells import cell_len

    return cell_len(text)


# The layout


class _Glyphs:
    """The characters that a stream can show.

    :param encoding: the stream's encoding.
    """

    def __init__(self, encoding: str) -> None:
        try:
            "µ…·─≈≥█▏▎▍▌▋▊▉".encode(encoding)
        except (UnicodeEncodeError, LookupError):
            self.micro, self.ellipsis, self.dot, self.rule = "u", "..", "|", "-"
            self.about, self.at_least = "~", ">="
            self._bar: tuple[str, ...] = ("", "#")
        else:
            self.micro, self.ellipsis, self.dot, self.rule = "µ", "…", "·", "─"
            self.about, self.at_least = "≈", "≥"
            self._bar = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█")
        self._encoding = encoding

    def time(self, ns: float) -> str:
        """Return a duration with a unit that the stream can show."""
        return format_time_ns(ns).replace("µ", self.micro)

    def bar(self, part: int, whole: int) -> str:
        """Return a bar for a share, in as fine steps as the characters allow."""
        steps = len(self._bar) - 1
        filled = min(round(_BAR * steps * part / whole), _BAR * steps) if whole else 0
        return self._bar[-1] * (filled // steps) + self._bar[filled % steps]

    def clean(self, text: object) -> str:
        """Return a text from the user's program with all that a stream cannot show escaped.

        Line breaks, control characters and invisible ones would break the table or drive the
        terminal.
        """
        shown = printable(str(text))
        try:
            return shown.encode(self._encoding, "backslashreplace").decode(self._encoding)
        except LookupError:
            return shown.encode("ascii", "backslashreplace").decode("ascii")

    def fit(self, text: str, room: int) -> str:
        """Return a text shortened to a number of columns."""
        return shorten(text, room, self.ellipsis, _cells)


class _Row:
    """A block as a row of its table, its figures turned into text."""

    def __init__(self, block: ProfileBlock, results: ProfilerResults, glyphs: _Glyphs) -> None:
        self.name = glyphs.clean(block.name)
        self.where = f"{glyphs.clean(block.file)}:{block.line}" if block.file else ""
        self.was_entered = block.was_entered
        self.heat = _heat(block.total_time_ns, results.total_time_ns)
        self.cells = dict.fromkeys(HEADINGS, "")
        self.cells["hits"] = format_count(block.hit_count)
        if self.was_entered:
            self.cells.update(_of_all_passes(block, results.total_time_ns, glyphs))
        if block.hit_count:
            self.cells.update(_of_ended_passes(block, glyphs))
            if is_mostly_overhead(block, results.metadata):
                self.cells["mean"] = glyphs.about + self.cells["mean"]
            if is_waiting_unsure(block, results.metadata):
                self.cells["waiting"] = glyphs.about + self.cells["waiting"]

    def style(self, key: str) -> str:
        """Return the style of a cell."""
        if not self.was_entered:
            return "dim"
        return self.heat if key in ("share", "bar") else _STYLES.get(key, "")


def _tell_apart(rows: Sequence[_Row]) -> None:
    """Add its place to each name that several rows of a table have."""
    names = Counter(row.name for row in rows)
    for row in rows:
        if row.where and names[row.name] > 1:
            place = row.where.replace("\\", "/").rpartition("/")[2]
            row.name += f" ({place})"


def _of_all_passes(block: ProfileBlock, whole_ns: int, glyphs: _Glyphs) -> dict[str, str]:
    """Return the cells that a block has also while none of its passes has ended."""
    return {
        **{key: _passes.cell(block, key, glyphs.at_least, glyphs.time) for key in OF_PASSES},
        "total": glyphs.time(block.total_time_ns),
        "self": glyphs.time(block.self_time_ns),
        "share": format_percent(block.total_time_ns, whole_ns),
        "bar": glyphs.bar(block.total_time_ns, whole_ns),
    }


def _of_ended_passes(block: ProfileBlock, glyphs: _Glyphs) -> dict[str, str]:
    figures = block.figures()
    return {key: glyphs.time(figures[FIGURES[key]]) for key in _OF_ENDED_PASSES}


def _heat(part: int, whole: int) -> str:
    if 2 * part >= whole:
        return "red"
    return "yellow" if 10 * part >= whole else "green"


class _Columns:
    """Which columns there is room for, and how wide each is; the same in all tables.

    :param rows: all rows of the report.
    :param width: the room.
    """

    def __init__(self, rows: Sequence[_Row], width: int) -> None:
        self.widths = {
            key: max([len(heading), *(len(row.cells[key]) for row in rows)])
            for key, heading in HEADINGS.items()
            if key not in OF_PASSES or any(row.cells[key] for row in rows)
        }
        self.widths["bar"] = _BAR
        longest = max(_cells(name) for name in ["Block", *(row.name for row in rows)])
        wanted = min(longest, _NAME_ROOM, 2 * width // 5)
        for key in _DROPPED_FIRST:
            if width - self._taken() >= wanted:
                break
            self.widths.pop(key, None)
        self.name = max(min(longest, width - self._taken()), 1)
        left = width - self._taken() - self.name - _GAP
        longest_where = max((_cells(row.where) for row in rows), default=0)
        self.where = min(longest_where, left) if left >= _WHERE_ROOM else 0

    def _taken(self) -> int:
        return sum(_GAP + width for width in self.widths.values())

    @property
    def total(self) -> int:
        """The width of a table."""
        return self.name + self._taken() + (_GAP + self.where if self.where else 0)


class _Page:
    """The whole report as lines.

    :param results: what to report.
    :param width: the room in columns.
    :param encoding: that of the stream it goes to.
    """

    def __init__(self, results: ProfilerResults, width: int, encoding: str) -> None:
        self._results = results
        self._width = width
        self._glyphs = _Glyphs(encoding)

    def lines(self, sort: str, limit: int | None) -> list[Line]:
        """Return the report.

        :param sort: one of `SORTS`.
        :param limit: how many blocks to show of each track, or None for all.
        """
        lines = self._title()
        if not self._results.was_entered:
            lines += [[], *self._nothing()]
        lines += self._tables(sort, limit)
        footer = [*self._slow_workers(), *self._footer()]
        return [*lines, [], *footer] if footer else lines

    def _title(self) -> list[Line]:
        results, glyphs = self._results, self._glyphs
        name = glyphs.fit(glyphs.clean(results.profiler_name), self._width)
        facts = [
            f"{glyphs.time(results.total_time_ns)} in blocks",
            _counted(results.total_hits, "hit"),
            *(f"{format_count(number)} {what}" for what, number in _passes.facts(results)),
            _counted(results.thread_count, "thread"),
            *_origin(results),
            *_rate(results, glyphs),
        ]
        return [[(name, "bold")], *self._facts(facts)]

    def _nothing(self) -> list[Line]:
        example: list[Line] = [[(f"    {line}", "cyan")] for line in _EXAMPLE]
        return [*self._paragraph(_NOTHING, ""), [], *example]

    def _tables(self, sort: str, limit: int | None) -> list[Line]:
        tracks = [track for _, track in sorted(self._results.tracks.items())]
        tables = [
            [
                _Row(block, self._results, self._glyphs)
                for block in _passes.sorted_by(track.blocks, sort)[:limit]
            ]
            for track in tracks
        ]
        all_rows = [row for rows in tables for row in rows]
        columns = _Columns(all_rows, self._width)
        if not columns.where:
            for rows in tables:
                _tell_apart(rows)
            columns = _Columns(all_rows, self._width)
        lines: list[Line] = []
        for track, rows in zip(tracks, tables, strict=True):
            lines += [[], self._track(track)]
            if rows:
                lines += self._table(rows, columns)
            hidden = len(track.blocks) - len(rows)
            if hidden:
                text = f"{self._glyphs.ellipsis} and {_counted(hidden, 'more block')}"
                lines.append([(text, "dim")])
        return lines

    def _track(self, track: ProfileTrack) -> Line:
        number = f"Track {track.track_idx}"
        unnamed = track.track_name.lower() == number.lower()
        number += "" if unnamed else "  "
        off = "" if track.enabled else "  (off)"
        figures = f"  {self._glyphs.time(track.total_time_ns)}"
        share = f"  {format_percent(track.total_time_ns, self._results.total_time_ns)}"
        room = self._width - len(number + off + figures + share)
        full_name = "" if unnamed else self._glyphs.clean(track.track_name)
        name = self._glyphs.fit(full_name, max(room, 1))
        return [
            (number, "cyan"),
            (name, "bold cyan"),
            (off, "yellow"),
            (figures, "bold"),
            (share, ""),
        ]

    def _table(self, rows: Sequence[_Row], columns: _Columns) -> list[Line]:
        heading: Line = [(_padded("Block", columns.name), "dim")]
        heading += [
            (" " * _GAP + HEADINGS[key].rjust(width), "dim")
            for key, width in columns.widths.items()
        ]
        rule: Line = [(self._glyphs.rule * columns.total, "dim")]
        return [heading, rule, *(self._row(row, columns) for row in rows)]

    def _row(self, row: _Row, columns: _Columns) -> Line:
        name = self._glyphs.fit(row.name, columns.name)
        line: Line = [(_padded(name, columns.name), "" if row.was_entered else "dim")]
        for key, width in columns.widths.items():
            cell = row.cells[key]
            cell = cell.ljust(width) if key == "bar" else cell.rjust(width)
            line += [(" " * _GAP, ""), (cell, row.style(key))]
        if columns.where:
            line += [(" " * _GAP, ""), (self._glyphs.fit(row.where, columns.where), "dim")]
        return line

    def _slow_workers(self) -> list[Line]:
        """Return a sentence for each of the workers that took long for a block."""
        if len(self._results.processes) < 2:
            return []
        from .workers import MOST_NAMED, sentences

        said = sentences(self._results, self._glyphs, MOST_NAMED)
        return [line for one in said for line in self._paragraph(f"Slow: {one}", "yellow")]

    def _footer(self) -> list[Line]:
        metadata, glyphs = self._results.metadata, self._glyphs
        lines = self._facts([*_clock(metadata, glyphs), *_overhead(self._results, glyphs)])
        if any(is_mostly_overhead(block, metadata) for block in _blocks(self._results)):
            lines += self._paragraph(
                f"{glyphs.about} less than {OVERHEAD_FACTOR} times that: mostly the recording",
                "dim",
            )
        if any(is_waiting_unsure(block, metadata) for block in _blocks(self._results)):
            lines += self._paragraph(
                f"{glyphs.about} before Waiting: passes of less than {WAITING_FACTOR} times what "
                "one with processor time costs, a part of which looks like waiting",
                "dim",
            )
        warnings = metadata.get("warnings")
        for warning in warnings if isinstance(warnings, list) else ():
            lines += self._paragraph(f"Warning: {glyphs.clean(warning)}", "yellow")
        degraded = metadata.get("degraded")
        for loss in degraded if isinstance(degraded, list) else ():
            lines += self._paragraph(f"Lost here: {glyphs.clean(str(loss))}", "yellow")
        return lines

    def _facts(self, facts: Iterable[str]) -> list[Line]:
        """Return short facts in as many lines as they need, none of them broken."""
        lines: list[str] = []
        for fact in facts:
            text = self._glyphs.fit(self._glyphs.clean(fact), self._width)
            joined = f"{lines[-1]} {self._glyphs.dot} {text}" if lines else text
            if lines and _cells(joined) <= self._width:
                lines[-1] = joined
            else:
                lines.append(text)
        return [[(line, "dim")] for line in lines]

    def _paragraph(self, text: str, style: str) -> list[Line]:
        from textwrap import wrap

        return [[(line, style)] for line in wrap(text, self._width, break_on_hyphens=False)]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))


def _counted(count: int, thing: str) -> str:
    plural = "es" if thing.endswith("s") else "s"
    return f"{format_count(count)} {thing}{'' if count == 1 else plural}"


# What the metadata tells; each entry may be missing, or of an unknown shape in a later version.


_MOST = 1e18  # of a number that can be meant: nanoseconds in thirty years


def _number(value: Any) -> float | None:
    """Return a value if it is a number that makes sense."""
    return value if type(value) in (int, float) and 0 <= value <= _MOST else None


def _rate(results: ProfilerResults, glyphs: _Glyphs) -> list[str]:
    """Return for how long it was recorded, and how many passes ended in a second of that."""
    duration_ns = _number(results.metadata.get("duration_ns"))
    if not duration_ns:
        return []
    rate = format_rate(results.total_hits, duration_ns)
    return [f"recorded for {glyphs.time(duration_ns)}", f"{rate} hits a second"]


def _origin(results: ProfilerResults) -> list[str]:
    facts, metadata = [], results.metadata
    python = metadata.get("python")
    if isinstance(python, str) and python:
        version = f"Python {python}" if python[0].isdigit() else python
        facts.append(f"{version} without GIL" if metadata.get("gil") is False else version)
    if len(results.processes) > 1:
        return [*facts, _process_count(results)]
    process = metadata.get("process", results.processes[0].pid if results.processes else None)
    if isinstance(process, dict):
        process = process.get("pid")
    if isinstance(process, (int, str)) and process:
        facts.append(f"process {process}")
    return facts


def _process_count(results: ProfilerResults) -> str:
    count = f"{format_count(len(results.processes))} processes"
    hosts = len({process.host for process in results.processes})
    return f"{count} on {format_count(hosts)} hosts" if hosts > 1 else count


def _clock(metadata: dict[str, Any], glyphs: _Glyphs) -> list[str]:
    clock = metadata.get("clock")
    if not isinstance(clock, dict) or not isinstance(clock.get("source"), str):
        return []
    resolution = _number(clock.get("resolution_ns"))
    if resolution is None:
        return [f"clock {clock['source']}"]
    return [f"clock {clock['source']}, resolution {glyphs.time(resolution)}"]


def _blocks(results: ProfilerResults) -> Iterable[ProfileBlock]:
    return (block for track in results.tracks.values() for block in track.blocks)


def _overhead(results: ProfilerResults, glyphs: _Glyphs) -> list[str]:
    overhead = _number(results.metadata.get("overhead_ns_per_pass"))
    in_all = None if overhead is None else _number(overhead * results.total_hits)
    if overhead is None or in_all is None:
        return []
    facts = [f"recording took about {glyphs.time(overhead)} per pass, {glyphs.time(in_all)} in all"]
    return [*facts, *_cpu_overhead(results, glyphs)]


def _cpu_overhead(results: ProfilerResults, glyphs: _Glyphs) -> list[str]:
    """Return what those passes cost that took processor time."""
    cpu = results.metadata.get("cpu")
    overhead = _number(cpu.get("overhead_ns_per_pass")) if isinstance(cpu, dict) else None
    passes = sum(block.cpu_count for block in _blocks(results))
    if overhead is None or not passes:
        return []
    return [f"{_counted(passes, 'pass')} with processor time, {glyphs.time(overhead)} each"]
