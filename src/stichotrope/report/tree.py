"""The call tree on the console: which block was reached through which, and what each path took."""

from __future__ import annotations

from .._text.columns import HEADINGS, OF_PATHS
from .._text.format import format_count, format_percent
from ..results import is_mostly_overhead, is_waiting_unsure, results_of
from . import _passes, console

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from ..results import CallNode, ProfilerResults
    from .console import Line

# No mean: what a path took is its total. Those of `OF_PATHS` are there where they say something.
_HEADINGS = {**HEADINGS, "each": "Per parent"}
_COLUMNS = ("hits", "each", *OF_PATHS, "total", "self", "share")
# What says nothing in a column; a column of nothing else is left out.
_SILENT = {**dict.fromkeys(OF_PATHS, ("",)), "each": ("", "0", "1")}
# What goes before a name is cut short.
_DROPPED_FIRST = (
    *("concurrency", "self", "cpu", "cancelled", "each", "open", "hits", "items", "bytes"),
    *("errors", "waiting"),
)
_LEAST_NAME = 16  # columns; of a name that is deep in the tree, its place there is cut first
_WHERE_ROOM = 14
_GAP = 2


def show(
    results: object,
    file: TextIO | None,
    sort: str,
    limit: int | None,
    width: int | None,
    color: bool | None,
) -> None:
    """Print the call tree; see `print_tree` of the package."""
    screen = console._console(file, color)
    room = width or console._width(screen, file)
    page = _Page(results_of(results), room, screen.encoding)
    console._print(screen, page.lines(sort, limit))


class _Row:
    """A node as a line, its figures turned into text."""

    def __init__(
        self,
        node: CallNode,
        parent: CallNode,
        guide: str,
        whole_ns: int,
        about: str,
        about_waiting: str,
        glyphs: console._Glyphs,
    ) -> None:
        self.guide = guide
        self.name = glyphs.clean(node.name)
        self.where = f"{glyphs.clean(node.file)}:{node.line}" if node.file else ""
        self.heat = console._heat(node.total_time_ns, whole_ns)
        of_passes = {key: _passes.cell(node, key, glyphs.at_least, glyphs.time) for key in OF_PATHS}
        of_passes["waiting"] = about_waiting + of_passes["waiting"]
        self.cells = {
            "hits": format_count(node.hit_count),
            "each": _passes.per_parent(node, parent),
            **of_passes,
            "total": about + glyphs.time(node.total_time_ns),
            "self": glyphs.time(node.self_time_ns),
            "share": format_percent(node.total_time_ns, whole_ns),
        }

    def style(self, key: str) -> str:
        """Return the style of a cell."""
        own = {**_passes.STYLES, "total": "bold", "share": self.heat}
        return own.get(key, "")


class _More:
    """The line that stands for blocks that are not shown."""

    def __init__(self, count: int, guide: str) -> None:
        self.count = count
        self.guide = guide


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
        # Those of the table, so that both agree on what they say around their figures.
        self._frame = console._Page(results, width, encoding)
        # As the table has them, and the footer explains them.
        self._overhead = {
            block.identity
            for block in console._blocks(results)
            if is_mostly_overhead(block, results.metadata)
        }
        self._unsure = {
            block.identity
            for block in console._blocks(results)
            if is_waiting_unsure(block, results.metadata)
        }
        is_plain = self._glyphs.rule == "-"
        self._guides = ("|  ", "   ", "|- ", "`- ") if is_plain else ("│  ", "   ", "├─ ", "└─ ")

    def lines(self, sort: str, limit: int | None) -> list[Line]:
        """Return the report.

        :param sort: see `print_tree` of the package.
        :param limit: see `print_tree` of the package.
        """
        lines = self._frame._title()
        if not self._results.tree.children:
            lines += [[], *self._frame._nothing()]
        else:
            lines += [[], *self._tree(list(self._rows(sort, limit)))]
        footer = self._frame._footer()
        return [*lines, [], *footer] if footer else lines

    def _rows(self, sort: str, limit: int | None) -> Iterator[_Row | _More]:
        """Give the lines of the tree, top down."""
        below, gap, branch, end = self._guides
        whole_ns = self._results.total_time_ns
        # A stack of its own: trees may be deeper than Python's recursion limit.
        root = self._results.tree
        waiting: list[tuple[CallNode | int, CallNode, str, str]] = [(root, root, "", "")]
        while waiting:
            node, parent, guide, indent = waiting.pop()
            if isinstance(node, int):
                yield _More(node, guide)
                continue
            if node is not root:
                about = self._glyphs.about if node.identity in self._overhead else ""
                is_unsure = node.identity in self._unsure and node.cpu is not None
                about_waiting = self._glyphs.about if is_unsure else ""
                yield _Row(node, parent, guide, whole_ns, about, about_waiting, self._glyphs)
            shown: list[CallNode | int] = [*_passes.sorted_by(node.children, sort)[:limit]]
            if len(shown) < len(node.children):
                shown.append(len(node.children) - len(shown))
            if node is root:
                waiting += [(child, root, "", "") for child in reversed(shown)]
                continue
            indent = indent[-self._width :]  # of more, nothing could be seen
            waiting += [
                (
                    child,
                    node,
                    indent + (branch if place else end),
                    indent + (below if place else gap),
                )
                for place, child in enumerate(reversed(shown))
            ]

    def _tree(self, rows: list[_Row | _More]) -> list[Line]:
        """Return the tree with its headings, each column as wide as it must be."""
        nodes = [row for row in rows if isinstance(row, _Row)]
        widths = {
            key: max(len(_HEADINGS[key]), *(len(row.cells[key]) for row in nodes))
            for key in _COLUMNS
            if key not in _SILENT or any(row.cells[key] not in _SILENT[key] for row in nodes)
        }
        wanted = max(len(row.guide) + console._cells(row.name) for row in nodes)
        for key in _DROPPED_FIRST:
            if self._width - _taken(widths) >= min(wanted, _LEAST_NAME + _WHERE_ROOM):
                break
            widths.pop(key, None)
        figures = _taken(widths)
        name = max(min(wanted, self._width - figures), 1)
        left = self._width - figures - name - _GAP
        longest = max(console._cells(row.where) for row in nodes)
        where = min(longest, left) if left >= _WHERE_ROOM else 0
        heading: Line = [(console._padded("Block", name), "dim")]
        heading += [
            (" " * _GAP + _HEADINGS[key].rjust(width), "dim") for key, width in widths.items()
        ]
        whole = name + figures + (_GAP + where if where else 0)
        lines: list[Line] = [heading, [(self._glyphs.rule * whole, "dim")]]
        for row in rows:
            lines.append(self._line(row, name, widths, where))
        return lines

    def _line(self, row: _Row | _More, room: int, widths: dict[str, int], where: int) -> Line:
        if isinstance(row, _More):
            text = f"{self._glyphs.ellipsis} and {format_count(row.count)} more"
            return [(self._cut(row.guide, self._width - len(text)) + text, "dim")]
        guide = self._cut(row.guide, room - min(console._cells(row.name), _LEAST_NAME))
        name = self._glyphs.fit(row.name, room - len(guide))
        line: Line = [(guide, "dim"), (console._padded(name, room - len(guide)), "")]
        for key, width in widths.items():
            line += [(" " * _GAP, ""), (row.cells[key].rjust(width), row.style(key))]
        if where:
            line += [(" " * _GAP, ""), (self._glyphs.fit(row.where, where), "dim")]
        return line

    def _cut(self, guide: str, room: int) -> str:
        """Return the place in the tree, its beginning cut to what there is room for."""
        ellipsis = self._glyphs.ellipsis
        if len(guide) <= room:
            return guide
        most = max(room, len(ellipsis) + len(self._guides[2]))
        return ellipsis + guide[len(guide) - most + len(ellipsis) :]


def _taken(widths: dict[str, int]) -> int:
    return sum(_GAP + width for width in widths.values())
