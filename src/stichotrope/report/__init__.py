"""Results for people to read."""

from __future__ import annotations

from .console import print_results

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from .._text.files import StrPath
    from ..results.timeline import Timeline

__all__ = ["export_html", "print_results", "print_tree", "print_workers"]


def export_html(
    results: object,
    path: StrPath,
    *,
    source: bool = True,
    timeline: Timeline | Sequence[Timeline] | None = None,
) -> None:
    """Write a report to look at in a browser, one HTML file, whole or not at all.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target.
    :param source: whether to include the source lines around each block, as far as their files can
        be read now; leave them out of a report for people who are not to see them.
    :param timeline: passes one by one, for a view of their own, of which the newest 250,000 are
        shown; by default those of the profiler, if it is one that keeps a timeline. A list of those
        of several processes shows them one below the other.
    :raises TypeError: when one of them is of the wrong type.
    :raises OSError: when the target cannot be written.
    """
    from .._text.files import checked_path, write_whole
    from ..results import results_of
    from ..results.timeline import Timeline, timelines_of
    from .html import render

    checked_path(path)
    found = results_of(results)
    if timeline is None and getattr(results, "timeline_size", False):
        timeline = results.timeline()  # type: ignore[attr-defined]
    if not isinstance(timeline, (Timeline, list, tuple, type(None))):
        raise TypeError(f"timeline must be a Timeline, a list of them or None, not {timeline!r}")
    timelines = [] if timeline is None else timelines_of(timeline)
    write_whole(path, render(found, source=source, timelines=timelines))


def print_tree(
    results: object,
    *,
    file: TextIO | None = None,
    sort: str = "total",
    limit: int | None = None,
    width: int | None = None,
    color: bool | None = None,
) -> None:
    """Print the call tree: below each block, the blocks that were entered while it was open.

    Total and self times are those of the path; the same block reached by two paths has two lines.
    Threads and processes are taken together.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param file: the text stream to print to; standard output unless given.
    :param sort: what the blocks below one are sorted by, most first; see `print_results`. ``max``
        is not known of paths, and is ``total``.
    :param limit: how many blocks to show below each; all unless given.
    :param width: the width in columns; that of the terminal, or 120 elsewhere, unless given.
    :param color: whether to use colours; see `print_results`.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when ``sort``, ``limit`` or ``width`` has a value that makes no sense.
    """
    from . import console, tree

    console.check_options(file, sort, limit, width, color)
    tree.show(results, file, sort, limit, width, color)


def print_workers(
    results: object,
    *,
    file: TextIO | None = None,
    limit: int | None = None,
    width: int | None = None,
    color: bool | None = None,
) -> None:
    """Print who took part: hosts, workers, and how unevenly they did so in each block.

    Of a block that several workers entered: the median of the times that they had a pass of it
    open, that of the slowest, and how many times the median that is; likewise of its passes, and of
    what one of them took. Blocks in which the slowest is furthest above the median come first.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param file: the text stream to print to; standard output unless given.
    :param limit: how many workers and blocks to show; 20 unless given.
    :param width: the width in columns; that of the terminal, or 120 elsewhere, unless given.
    :param color: whether to use colours; see `print_results`.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when ``limit`` or ``width`` has a value that makes no sense.
    """
    from . import console, workers

    console.check_options(file, "total", limit, width, color)
    workers.show(results, file, limit, width, color)
