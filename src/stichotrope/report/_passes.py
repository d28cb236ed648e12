"""What reports say of passes beside their times: open ones, how they ended, how many at a time,
for how long they were not suspended, for how long they ran on a processor, how much went through.

A column of these appears where it says something, so that the report of a program without errors,
recursion and tasks has none of them.
"""

from __future__ import annotations

from .._text.columns import FIGURES, OF_PASSES
from .._text.format import (
    format_count,
    format_percent,
    format_rate,
    format_ratio,
    format_throughput,
    format_time_ns,
)

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from ..results import CallNode, ProfileBlock, ProfilerResults

    _Passes = TypeVar("_Passes", ProfileBlock, CallNode)

STYLES = {
    "running": "magenta",
    "open": "cyan",
    "errors": "red",
    "cancelled": "yellow",
    "concurrency": "",
    "cpu": "",
    "waiting": "magenta",
    "bytes": "",
    "items": "",
}
_OF_PROCESSOR = ("cpu", "waiting")


def figure(one: ProfileBlock | CallNode, column: str) -> float:
    """Return what a column has of a block or of a path.

    :param one: the block or the path.
    :param column: one of `FIGURES`, percentiles apart; a path has no ``max`` and no ``running``,
        for which its total stands.
    """
    found: float = getattr(one, FIGURES[column], one.total_time_ns)
    return found


def says(one: ProfileBlock | CallNode, column: str) -> bool:
    """Return whether a column says something of a block or of a path.

    :param one: the block or the path.
    :param column: one of `OF_PASSES`.
    """
    if column == "concurrency":
        return _at_a_time(one) != _at_a_time(None)
    if column == "running":
        return 0 < figure(one, column) < one.total_time_ns
    if column in _OF_PROCESSOR:
        return one.cpu is not None
    return figure(one, column) > 0  # of what went through in no time, there is no rate


def columns(them: Iterable[ProfileBlock | CallNode]) -> list[str]:
    """Return the columns that say something of any of several, in their order.

    :param them: what is shown.
    """
    shown = list(them)
    return [column for column in OF_PASSES if any(says(one, column) for one in shown)]


def cell(
    one: ProfileBlock | CallNode,
    column: str,
    at_least: str,
    time: Callable[[float], str] = format_time_ns,
) -> str:
    """Return what stands in a column; empty where it says nothing.

    :param one: the block or the path.
    :param column: one of `OF_PASSES`.
    :param at_least: what stands before a number that is a lower bound.
    :param time: how a time in ns is written.
    """
    if not says(one, column):
        return ""
    if column == "concurrency":
        return (at_least if one.open_count else "") + _at_a_time(one)
    if column == "cpu":
        return (at_least if one.cpu_count < one.hit_count else "") + time(one.cpu_time_ns)
    if column == "waiting":
        return format_percent(one.waiting, 1)
    if column == "running":
        return time(figure(one, column))
    if column == "bytes":
        return format_throughput(one.bytes_per_second)
    if column == "items":
        return format_rate(one.item_count, one.total_time_ns)
    return format_count(int(figure(one, column)))


def per_parent(node: CallNode, parent: CallNode) -> str:
    """Return how many passes of a path ended in each pass of the path around it.

    Empty for the outermost paths: how often those are passed is the program's affair.

    :param node: the path.
    :param parent: the one that it hangs under; the root for the outermost.
    """
    around = parent.hit_count + parent.open_count
    return format_ratio(node.hit_count, around) if around and parent.track_idx >= 0 else ""


def sorted_by(them: Iterable[_Passes], sort: str) -> list[_Passes]:
    """Return blocks or paths, most first, those that were never entered last.

    :param them: those of one track or one parent, in the order that those alike are to have.
    :param sort: one of `SORTS`.
    """
    if sort == "name":
        return sorted(them, key=lambda one: (not one.was_entered, one.name))
    return sorted(them, key=lambda one: (not one.was_entered, -figure(one, sort)))


def _at_a_time(one: ProfileBlock | CallNode | None) -> str:
    return f"{one.concurrency if one else 1.0:,.1f}"


def facts(results: ProfilerResults) -> list[tuple[str, int]]:
    """Return what there is of open passes, errors and cancelled ones, each with its name.

    :param results: the results.
    """
    found = (
        ("open", results.total_open),
        ("errors" if results.total_errors != 1 else "error", results.total_errors),
        ("cancelled", results.total_cancelled),
    )
    return [(name, number) for name, number in found if number]
