"""The forms that results can be given: printed, or saved in a file."""

from __future__ import annotations

import os
import sys

from .._text.columns import PRINTED
from .._text.files import check_writable, write_bytes_whole, write_whole
from . import CommandError, reason

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TextIO

    from ..config import Settings
    from ..results import ProfilerResults
    from ..results.timeline import Timeline

# Form → the suffixes of files that are taken to be of it; the first that fits a name counts.
FORMS = {
    "speedscope": (".speedscope.json",),
    "html": (".html", ".htm"),
    "chrome": (".trace.json",),
    "json": (".json",),
    "csv-wide": (".wide.csv",),
    "csv": (".csv",),
    "collapsed": (".collapsed", ".folded"),
    "pstats": (".pstats", ".prof"),
    "pprof": (".pprof", ".pb.gz"),
    "perfetto": (".pftrace", ".perfetto-trace"),
    "table": (),
    "tree": (".txt",),
    "workers": (),
}
NOT_FOR_TERMINALS = ("html", "pstats", "pprof", "perfetto")
OF_TIMELINES = ("chrome", "perfetto")


def form_of(path: str) -> str | None:
    """Return the form that a file's name tells, if it does.

    :param path: the file.
    """
    name = os.path.basename(path).lower()
    return next((form for form, ends in FORMS.items() if ends and name.endswith(ends)), None)


def unknown_suffix(path: str) -> str:
    """Return what is said of a file whose suffix no form has.

    :param path: the file.
    """
    suffix = os.path.splitext(path)[1]
    known = ", ".join(end for ends in FORMS.values() for end in ends)
    return f"no form of report has the suffix {suffix} (they are {known}); choose one with -f FORM"


def checked_target(path: str) -> str:
    """Return the absolute path of a file that can be written.

    :param path: the file, which need not be there.
    :raises CommandError: when it cannot be: it is a directory, or its directory is not there or
        takes no new file.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise CommandError(f"{path} is a directory; give a file to write to")
    if not os.path.isdir(folder):
        raise CommandError(f"{path} cannot be written: there is no directory {folder}")
    try:
        check_writable(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from None
    return os.path.abspath(path)


def check_stdout(form: str) -> None:
    """Refuse to print to a terminal what nobody can read there.

    :param form: one of `FORMS`.
    :raises CommandError: when it is for files and programs only.
    """
    if form in NOT_FOR_TERMINALS and sys.stdout.isatty():
        raise CommandError(f"{form} is not for a terminal: give it a file, with -o FILE or > FILE")


def save(
    results: list[ProfilerResults],
    path: str,
    form: str | None = None,
    timelines: Callable[[], Sequence[Timeline]] = tuple,
    **layout: Any,
) -> None:
    """Write results to a file, whole or not at all.

    :param results: those of one or more profilers.
    :param path: the file.
    :param form: one of `FORMS`; by default what the file's name tells, or JSON.
    :param timelines: returns passes one by one, for a form that has a view of them.
    :param layout: ``sort``, ``limit`` and the like, for a report as text.
    :raises OSError: when it cannot be written.
    """
    from ..results.merge import joined

    form = form or form_of(path) or "json"
    if form in PRINTED:
        from io import StringIO

        text = StringIO()
        show(results, form, text, **layout)
        write_whole(path, text.getvalue())
    elif form in NOT_FOR_TERMINALS:
        write_bytes_whole(path, _packed(joined(results), form, timelines))
    else:
        write_whole(path, rendered(results, form))


def write(
    results: list[ProfilerResults],
    form: str,
    timelines: Callable[[], Sequence[Timeline]] = tuple,
    **layout: Any,
) -> None:
    """Print results to standard output.

    :param results: those of one or more profilers.
    :param form: one of `FORMS`.
    :param timelines: as for `save`.
    :param layout: as for `save`.
    :raises CommandError: when the form is not for the terminal that it would go to.
    """
    from ..results.merge import joined

    check_stdout(form)
    if form in PRINTED:
        show(results, form, sys.stdout, **layout)
    elif form in NOT_FOR_TERMINALS:
        sys.stdout.buffer.write(_packed(joined(results), form, timelines))
    else:
        sys.stdout.write(rendered(results, form))


def rendered(results: list[ProfilerResults], form: str) -> str:
    """Return results as the text of a form for programs.

    :param results: those of one or more profilers.
    :param form: one of `FORMS` that is a text, and not printed for people.
    """
    from ..results.merge import joined

    whole = joined(results)
    if form == "json":
        from ..results.document import line_by_line

        return line_by_line(whole)
    if form in ("csv", "csv-wide"):
        from ..export import csv

        return csv.render(whole, form == "csv-wide")
    if form == "speedscope":
        from ..export import speedscope

        return speedscope.render(whole)
    from ..export import collapsed

    return collapsed.render(whole)


def save_timelines(timelines: list[Timeline], path: str | None, form: str) -> None:
    """Write single passes to a file, whole or not at all, or to standard output.

    :param timelines: those of one or more processes.
    :param path: the file, or None for standard output.
    :param form: one of `OF_TIMELINES`.
    :raises OSError: when it cannot be written.
    """
    from ..export import chrome, perfetto

    if form == "chrome":
        text = chrome.render(timelines)
        sys.stdout.write(text) if path is None else write_whole(path, text)
        return
    data = perfetto.render(timelines)
    sys.stdout.buffer.write(data) if path is None else write_bytes_whole(path, data)


def _packed(
    whole: ProfilerResults, form: str, timelines: Callable[[], Sequence[Timeline]]
) -> bytes:
    """Return results as the bytes of a form that is not for terminals."""
    if form == "html":
        from ..report import html

        return html.render(whole, timelines=timelines()).encode("utf-8")
    from ..export import pprof, pstats

    return pprof.render(whole) if form == "pprof" else pstats.render(whole)


def show(results: list[ProfilerResults], form: str, file: TextIO, **layout: Any) -> None:
    """Print results for people to read, one profiler after the other.

    :param results: those of one or more profilers.
    :param form: one of `PRINTED`.
    :param file: where to.
    :param layout: what `print_results` and `print_tree` take.
    :raises BrokenPipeError: when nobody reads it.
    """
    from ..report import print_results, print_tree, print_workers

    for number, one in enumerate(results):
        if number:
            file.write("\n")
        printer: Callable[..., None] = {"tree": print_tree}.get(form, print_results)
        options = layout
        if form == "workers":
            printer = print_workers
            options = {key: value for key, value in layout.items() if key != "sort"}
        try:
            printer(one, file=file, **options)
        except SystemExit:  # what `rich` makes of it
            raise BrokenPipeError(f"nobody reads {file.name}") from None


def print_to_stderr(results: list[ProfilerResults], settings: Settings) -> None:
    """Print the report at the end of a run, wherever the program has sent its own output.

    :param results: those of one or more profilers.
    :param settings: the form, the order and the limit.
    """
    stream = sys.__stderr__
    if stream is None or stream.closed:
        return
    try:
        stream.write("\n")
        show(results, settings.format, stream, sort=settings.sort, limit=settings.limit)
        stream.flush()
    except BrokenPipeError:
        pass  # nobody reads any more
    except OSError as error:
        raise CommandError(reason(error)) from None
