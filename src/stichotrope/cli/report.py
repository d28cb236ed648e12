"""``stichotrope report``: saved results, in any of the forms that they can be given."""

from __future__ import annotations

import os

from . import CommandError, _output, reason

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ..results import ProfilerResults
    from ..results.timeline import Timeline

USAGE = "%(prog)s [options] FILE…"
DESCRIPTION = """\
Show results that were saved, or that processes gathered in a directory. Several
files are merged; different profilers keep their own tracks."""
EXAMPLES = """\
examples:
  stichotrope report run.json --format tree --match 'Order.*'
  stichotrope report --live results/               while processes gather there
  stichotrope report monday.json tuesday.json results/ -o both.html"""
MORE = """\
forms:
  table       the tracks, and in each its blocks with times, shares and percentiles
  tree        which block was reached through which, and what each path took
  workers     who took part, and which were slower than the others in which block
  html        one page with tables, call tree, flame graph, histograms and source lines
  json        everything, as `stichotrope run -o` saves it
  csv         one line for each block; csv-wide (or .wide.csv): with all figures
  speedscope  for https://www.speedscope.app
  collapsed   folded stacks, for flamegraph.pl and others
  pstats      for the pstats module and what reads its files
  pprof       for `go tool pprof`, Pyroscope, Parca
  perfetto    single passes of a timeline in a store, for ui.perfetto.dev; chrome: as JSON"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    from .._text.columns import SORTED_BY, SORTS

    def chosen(option: str, what: str) -> None:
        name = option[2:].upper()
        parser.add_argument(option, metavar=name, action="append", default=[], help=what)

    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help=SUPPRESS)  # told by the description
    form = "table, tree, html, csv, … (table, or by the suffix)"
    add("-f", "--format", choices=_output.FORMS, metavar="FORM", help=form)
    add("-o", "--output", metavar="FILE", help="write it to a file; its suffix can say the form")
    add("--sort", choices=SORTS, default="total", metavar="COLUMN", help=SORTED_BY)
    add("--limit", metavar="N", type=int, help="show at most N blocks of each track or parent")
    chosen("--track", "only tracks of this name (* and ? are wildcards) or number")
    chosen("--match", "only blocks of this name (* and ? are wildcards)")
    chosen("--thread", "only threads of this name (* and ? are wildcards) or key")
    add("--live", action="store_true", help="renew the table each second, until Ctrl-C")
    when = ("auto", "always", "never")
    add("--color", choices=when, default="auto", metavar="WHEN", help=f"{', '.join(when)} (auto)")


class _Files:
    """Results in files and directories, as they are now.

    :param options: what the parser found.
    """

    def __init__(self, options: Any) -> None:
        from ..results.gathered import Followed

        self._options = options
        self._followed = Followed(self._paths)

    def _paths(self) -> Iterator[str]:
        from ..results.gathered import results_files

        for path in self._options.files:
            if os.path.isdir(path):
                yield from results_files(path)
            else:
                yield path

    def live_results(self) -> list[ProfilerResults]:
        """Return what there is now of what was asked for; nothing where that is not there yet."""
        from ..results.merge import by_profiler
        from ..results.select import selected

        options, found = self._options, []
        for one in by_profiler(self._followed.results()):
            try:
                found.append(selected(one, options.track, options.match, options.thread))
            except ValueError:
                continue
        return found

    def open_now(self) -> list[str]:
        """Return nothing: the table says how many passes are open."""
        return []


def _follow(options: Any) -> None:
    """Show the table, renewed each second, until that is interrupted."""
    from ._live import Live

    live = Live.started("stichotrope report", _Files(options), 1.0, options)
    if live is None:
        return
    try:
        live.wait()
    except KeyboardInterrupt:
        pass
    finally:
        live.stop()


def _write_timelines(options: Any, target: str | None, form: str) -> int:
    """Write the single passes that stores hold; return the exit status."""
    from ..store.timeline import timelines_in
    from ._sources import left_out

    if options.live or options.track or options.match or options.thread:
        raise CommandError(
            f"{form} has all passes, once: without --live, --track, --match, --thread"
        )
    try:
        timelines = timelines_in(options.files, left_out)
        if not timelines:
            raise CommandError(
                f"{', '.join(options.files)}: there is no timeline; a store has one of profilers "
                "that keep one (timeline=N)"
            )
        _output.save_timelines(timelines, target, form)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None
    return 0


def _timelines(options: Any) -> list[Timeline]:
    """Return the single passes that stores hold of what is shown, if all of it is."""
    from ..store.timeline import has_timelines, timelines_in

    if options.track or options.match or options.thread:
        return []
    # What cannot be read has been said of the results.
    return timelines_in(filter(has_timelines, options.files), lambda error: None)


def main(options: Any) -> int:
    """Show what was asked for; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when it cannot be shown.
    """
    from ..results.select import selected
    from ._sources import load

    form = options.format or (_output.form_of(options.output) if options.output else None)
    if options.output is None:
        _output.check_stdout(form or "table")
    elif form is None and os.path.splitext(options.output)[1]:
        raise CommandError(_output.unknown_suffix(options.output))
    target = None if options.output is None else _output.checked_target(options.output)
    if form in _output.OF_TIMELINES:
        return _write_timelines(options, target, form)
    if options.live:
        _follow(options)
    loaded = load(options.files)
    try:
        results = [selected(one, options.track, options.match, options.thread) for one in loaded]
    except ValueError as error:
        raise CommandError(reason(error)) from None
    if form != "json":  # what nobody has entered stays out of sight where there is something else
        results = [one for one in results if one.was_entered] or results[:1]
    layout = {
        "sort": options.sort,
        "limit": options.limit,
        "color": {"auto": None, "always": True, "never": False}[options.color],
    }
    try:
        if target is None:
            _output.write(results, form or "table", lambda: _timelines(options), **layout)
        else:
            _output.save(results, target, form or "table", lambda: _timelines(options), **layout)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None
    return 0
