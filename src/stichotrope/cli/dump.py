"""``stichotrope dump``: the last seconds of a running process, pass by pass, from outside."""

from __future__ import annotations

import os
import sys

from . import CommandError, _output, reason

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from typing import Any

USAGE = "%(prog)s [options] PID"
DESCRIPTION = """\
Write the newest passes of a process that keeps a timeline in a store
(`stichotrope run --timeline N --store DIR`) to a file for ui.perfetto.dev, from
outside: one that hangs, or is stopped, too."""
EXAMPLES = """\
examples:
  stichotrope dump 4711                           to stichotrope-4711.pftrace
  stichotrope dump 4711 --last 5 -o hangs.pftrace
  stichotrope dump 4711 --store records -o hangs.trace.json"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    add = parser.add_argument
    add("process", metavar="PID", type=int, help=SUPPRESS)  # told by the usage
    what = "the file, by suffix (stichotrope-PID.pftrace)"
    add("-o", "--output", metavar="FILE", help=what)
    add("-f", "--format", choices=_output.OF_TIMELINES, metavar="FORM", help="perfetto or chrome")
    add("--store", metavar="DIR", help="the store, where the process does not tell it")
    add("--last", metavar="SECONDS", type=float, help="only what ended in the last seconds")


def main(options: Any) -> int:
    """Write what was asked for; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when there is no such process, store or timeline.
    """
    if sys.platform == "win32":
        raise CommandError("there are no stores on Windows")
    from ..store.live import store_of
    from ..store.timeline import timelines_in
    from ._sources import left_out
    from .top import configured_store, is_running

    process = options.process
    if options.last is not None and not 0 < options.last < float("inf"):
        raise CommandError(f"--last takes seconds, more than 0, not {options.last:g}")
    if options.store is None and not is_running(process):
        raise CommandError(f"there is no process {process}; of one that is gone, give --store")
    directory = options.store or store_of(process) or configured_store()
    if directory is None:
        raise CommandError(f"process {process} keeps its records in no store that can be found")
    path = options.output or f"stichotrope-{process}.pftrace"
    form = options.format or _output.form_of(path)
    if form not in _output.OF_TIMELINES:
        raise CommandError(f"{path}: choose perfetto or chrome with -f FORM")
    target = _output.checked_target(path)
    try:
        found = timelines_in([directory], left_out, process)
        if not found:
            raise CommandError(
                f"process {process} has no timeline in {directory}; it has one of profilers that "
                "keep one (timeline=N)"
            )
        if options.last is not None:
            found = [one.last(options.last) for one in found]
        _output.save_timelines(found, target, form)
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None
    passes = sum(map(len, found))
    shown = "; https://ui.perfetto.dev shows them" if form == "perfetto" else ""
    print(f"{os.path.relpath(target)}: {passes:,} passes{shown}")
    return 0
