"""Who took part, and how unevenly: workers and hosts, and in each block the slowest of them."""

from __future__ import annotations

from .._text.format import format_count, format_percent
from ..results import results_of
from ..results.beside import called
from ..statistics.skew import ratio, skews, worst
from . import console

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from ..results import ProcessResults, ProfilerResults
    from ..statistics.skew import Skew, Straggler
    from .console import Line

MOST_NAMED = 3  # stragglers, in a report that is of something else
_DEFAULT_LIMIT = 20  # workers and blocks
_GAP = 2
_LEAST_NAME = 16  # columns, of what the first column says

# Heading, whether it is cut first where there is little room.
_OF_WORKERS = ("Host", "Process", "Hits", "In blocks", "Share", "Recorded for")
_OF_HOSTS = ("Workers", "Hits", "In blocks", "Share")
_OF_SKEWS = ("Workers", "Median", "Slowest", "Times", "Passes", "A pass", "Slowest worker")
_LEFT = frozenset({"Host", "Slowest worker"})  # columns of texts
_DROPPED_FIRST = ("Recorded for", "Process", "A pass", "Passes", "Workers", "Host", "Share", "Hits")


def show(
    results: object,
    file: TextIO | None,
    limit: int | None,
    width: int | None,
    color: bool | None,
) -> None:
    """Print who took part; see `print_workers` of the package."""
    screen = console._console(file, color)
    room = width or console._width(screen, file)
    page = _Page(results_of(results), room, screen.encoding)
    console._print(screen, page.lines(limit or _DEFAULT_LIMIT))


def label(process: ProcessResults) -> str:
    """Return what a worker is called: by its engine, or by its number.

    :param process: the worker.
    """
    return called(process.worker, process.pid)


def sentences(
    results: ProfilerResults, glyphs: console._Glyphs, most: int, uneven: list[Skew] | None = None
) -> list[str]:
    """Return a sentence for each worker that took long for a block, the slowest first.

    :param results: the results.
    :param glyphs: the characters that can be shown.
    :param most: how many at most; of the others the last one says how many they are.
    :param uneven: what `skews` returned, if it is there already.
    """
    found, total = worst(skews(results) if uneven is None else uneven, most)
    hosts = len({process.host for process in results.processes}) > 1
    said = [_sentence(one, hosts, glyphs) for one in found]
    if said and total > len(said):
        said[-1] += f" (and {format_count(total - len(said))} more)"
    return said


def _sentence(slow: Straggler, hosts: bool, glyphs: console._Glyphs) -> str:
    part, skew = slow.part, slow.skew
    who = label(part.process) + (f" on {part.process.host}" if hosts and part.process.host else "")
    block = glyphs.clean(f"{skew.track} / {skew.block.name}")
    times = ratio(part.time_ns, skew.median_ns)
    median = f"the median of {format_count(skew.workers)} workers"
    more = f"{times:.1f} times {median}" if times else f"more than {median}"
    return (
        f"{glyphs.clean(who)} took {glyphs.time(part.time_ns)} for {block}, {more}: {_reason(slow)}"
    )


def _reason(slow: Straggler) -> str:
    """Return whether it had more to do, or took longer for the same."""
    part, skew = slow.part, slow.skew
    passes, mean = ratio(part.hits, skew.median_hits), ratio(part.mean_ns, skew.median_mean_ns)
    if max(passes, mean) < 1.05:
        return "what is open there has not ended"
    if passes >= mean:
        return f"it has {passes:.1f} times as many passes"
    return f"a pass takes it {mean:.1f} times as long"


class _Page:
    """The whole report as lines.

    :param results: what to report.
    :param width: the room in columns.
    :param encoding: that of the stream it goes to.
    """

    def __init__(self, results: ProfilerResults, width: int, encoding: str) -> None:
        self._results = results
        self._width = width
        self._glyphs = console._Glyphs(encoding)
        self._frame = console._Page(results, width, encoding)

    def lines(self, limit: int) -> list[Line]:
        """Return the report.

        :param limit: how many workers and blocks to show.
        """
        lines = self._frame._title()
        processes = sorted(self._results.processes, key=lambda one: -one.total_time_ns)
        hosts = self._hosts(processes)
        if len(hosts) > 1:
            lines += [[], *self._table("Host", _OF_HOSTS, hosts, limit, "host")]
        rows = [self._worker(process) for process in processes]
        lines += [[], *self._table("Worker", _OF_WORKERS, rows, limit, "worker")]
        uneven = skews(self._results)
        if uneven:
            skewed = [self._skew(one) for one in uneven]
            lines += [[], *self._table("Block", _OF_SKEWS, skewed, limit, "block")]
        slow = sentences(self._results, self._glyphs, limit, uneven)
        if slow:
            lines += [[], *(line for one in slow for line in self._frame._paragraph(one, "yellow"))]
        footer = self._frame._footer()
        return [*lines, [], *footer] if footer else lines

    def _hosts(self, processes: Sequence[ProcessResults]) -> list[list[str]]:
        of_each: dict[str, list[ProcessResults]] = {}
        for process in processes:
            of_each.setdefault(process.host, []).append(process)
        sums = [
            (
                sum(one.total_time_ns for one in own),
                host,
                len(own),
                sum(one.total_hits for one in own),
            )
            for host, own in of_each.items()
        ]
        return [
            [
                self._glyphs.clean(host) or "?",
                format_count(number),
                format_count(hits),
                *self._time(time),
            ]
            for time, host, number, hits in sorted(sums, reverse=True)
        ]

    def _time(self, time_ns: int) -> tuple[str, str]:
        whole = self._results.total_time_ns
        return self._glyphs.time(time_ns), format_percent(time_ns, whole)

    def _worker(self, process: ProcessResults) -> list[str]:
        return [
            self._glyphs.clean(label(process)),
            self._glyphs.clean(process.host),
            str(process.pid or ""),
            format_count(process.total_hits),
            *self._time(process.total_time_ns),
            self._glyphs.time(process.duration_ns),
        ]

    def _skew(self, skew: Skew) -> list[str]:
        slowest = skew.slowest
        figures = (
            ratio(slowest.time_ns, skew.median_ns),
            ratio(slowest.hits, skew.median_hits),
            ratio(slowest.mean_ns, skew.median_mean_ns),
        )
        return [
            self._glyphs.clean(f"{skew.track} / {skew.block.name}"),
            format_count(skew.workers),
            self._glyphs.time(skew.median_ns),
            self._glyphs.time(slowest.time_ns),
            *(f"{figure:.1f}" if figure else "" for figure in figures),
            self._glyphs.clean(label(slowest.process)),
        ]

    def _table(
        self,
        first: str,
        headings: tuple[str, ...],
        rows: list[list[str]],
        limit: int,
        thing: str,
    ) -> list[Line]:
        """Return a table whose first column gets the room that the others leave."""
        shown = rows[:limit]
        columns = [first, *headings]
        widths = {
            name: max(len(name), *(console._cells(row[place]) for row in shown))
            for place, name in enumerate(columns)
        }
        for name in _DROPPED_FIRST:
            if self._taken(widths, first) + min(widths[first], _LEAST_NAME) <= self._width:
                break
            widths.pop(name, None)
        widths[first] = max(min(widths[first], self._width - self._taken(widths, first)), 1)
        lines: list[Line] = [
            [(self._line(columns, columns, widths), "dim")],
            [(self._glyphs.rule * (widths[first] + self._taken(widths, first)), "dim")],
            *([(self._line(row, columns, widths), "")] for row in shown),
        ]
        hidden = len(rows) - len(shown)
        if hidden:
            text = f"{self._glyphs.ellipsis} and {console._counted(hidden, f'more {thing}')}"
            lines.append([(text, "dim")])
        return lines

    def _taken(self, widths: dict[str, int], first: str) -> int:
        return sum(_GAP + width for name, width in widths.items() if name != first)

    def _line(self, row: Iterable[str], columns: list[str], widths: dict[str, int]) -> str:
        cells = []
        for name, text in zip(columns, row, strict=True):
            if name in widths:
                fitting = self._glyphs.fit(text, widths[name])
                is_text = name in _LEFT or name == columns[0]
                padded = console._padded(fitting, widths[name])
                cells.append(padded if is_text else fitting.rjust(widths[name]))
        return (" " * _GAP).join(cells)
