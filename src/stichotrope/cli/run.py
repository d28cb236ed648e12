"""``stichotrope run``: a program run as ``python`` would, with a report at its end."""

from __future__ import annotations

import atexit
import os
import warnings

from .._ended import Ending
from ..instrumentation.own import AUTO
from . import FAILED, CommandError, _program, reason, say
from ._own import targets as own_targets
from ._program import CODE, MODULE, SCRIPT, Program

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Any

    from .._session import Session
    from ..config import Settings
    from ..instrumentation.patterns import Pattern
    from ..results import ProfilerResults
    from ..results.timeline import Timeline
    from ._limit import Limit
    from ._live import Live

USAGE = "%(prog)s [options] SCRIPT | -m MODULE | -c CODE [arguments]"
DESCRIPTION = """\
Run a program as python would, time the functions that patterns choose and the
blocks that it marks itself, and print a report to standard error at its end."""
EXAMPLES = """\
examples:
  stichotrope run -t auto script.py --its-own-option
  stichotrope run -t 'shop.*' -o run.html -m shop    one package; as a page
  stichotrope run -o run.json script.py              what its own marks record"""
MORE = """\
The program is a script, a directory, an archive, or - for standard input. The exit status is the
program's.

patterns:
  shop.orders:price         one function
  shop.orders:Order.total   one method; Order.* or Order for all of a class
  shop.orders               all functions and methods of a module
  'shop.*'                  all of a package and the modules below it
  '__main__:*'              all of the script or module that is run
  '*.orders:load_*'         wildcards: * ? [abc]
  auto                      all of the program's own modules: those beside it, or its package

Child processes are timed too if they are forked or started by multiprocessing; others if
`stichotrope run` starts them, or if they gather. What is not given is taken from the environment
(STICHOTROPE_TARGETS and so on), stichotrope.toml or pyproject.toml."""

_NAME = "stichotrope run"
_LIVE_SECONDS = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    from .._text.columns import SORTED_BY, SORTS
    from ..config import FORMATS

    add = parser.add_argument
    add("-t", "--target", metavar="PATTERN", action="append", help="time what it chooses")
    add("-o", "--output", metavar="FILE", help="save the results: JSON, or what the suffix says")
    forms = f"of the report: {' or '.join(FORMATS)} (table)"
    add("--format", choices=FORMATS, metavar="FORM", help=forms)
    add("--sort", choices=SORTS, metavar="COLUMN", help=SORTED_BY)
    add("--limit", metavar="N", type=int, help="show at most N blocks of each track")
    add("-q", "--no-report", action="store_true", help="print no report")
    often = "show a table meanwhile, renewed each second"
    add("--live", metavar="SECONDS", nargs="?", type=float, const=_LIVE_SECONDS, help=often)
    add("--cpu", action="store_true", help="tell waiting from working: processor time, too")
    add("--store", metavar="DIR", help="keep what is recorded in files there: see top")
    last = "keep the newest N passes of each thread one by one"
    add("--timeline", metavar="N", type=int, help=last)
    add("--gather", metavar="DIR", help="have each process keep its results there")
    # What they stand for is taken apart by `_split`, and told by the usage.
    add("-m", dest="module", metavar="MODULE", help=SUPPRESS)
    add("-c", dest="code", metavar="CODE", help=SUPPRESS)
    add("program", nargs="?", metavar="SCRIPT", help=SUPPRESS)
    add("arguments", nargs="*", metavar="…", help=SUPPRESS)


def main(parser: argparse.ArgumentParser, given: list[str]) -> int:
    """Run a program; return the exit status.

    :param parser: the command's parser.
    :param given: the arguments behind the command.
    :raises SystemExit: as the program does; so with any other exception.
    """
    before, program = _split(given)
    options = parser.parse_args(before)
    if program is None:
        parser.error("give a script, -m MODULE or -c CODE")
    try:
        settings = _settings(options)
        run = _Run(program, options, settings)
    except CommandError as error:
        return _failed(error)
    try:
        run.begin()
        program.run(run.session.instrumentation.compiled)
    except CommandError as error:
        run.cancel()
        return _failed(error)
    except SystemExit as ended:
        run.is_well = ended.code in (None, 0)
        raise
    except BaseException as error:
        run.interrupted = isinstance(error, KeyboardInterrupt)
        run.stop_live()
        _program.show_without_us()
        raise
    run.is_well = True
    return 0


def _failed(error: CommandError) -> int:
    say(f"stichotrope run: {error}")
    return FAILED


# With one argument after itself; all others have none, or have it behind "=".
_VALUED = (
    "-t",
    "--target",
    "-o",
    "--output",
    "--format",
    "--sort",
    "--limit",
    "--gather",
    "--store",
    "--timeline",
)


def _split(given: list[str]) -> tuple[list[str], Program | None]:
    """Return the options, and the program with all that is its own.

    `argparse` would take options of the program for ours, or refuse them.
    """
    place = 0
    while place < len(given):
        argument = given[place]
        if argument == "--":
            del given[place]
            return given[:place], _script(given, place)
        for kind in (MODULE, CODE):
            if argument == kind and place + 1 < len(given):
                target, rest = given[place + 1], given[place + 2 :]
                return given[:place], Program(kind, target, rest)
            if argument.startswith(kind) and argument != kind:
                return given[:place], Program(kind, argument[len(kind) :], given[place + 1 :])
        if not argument.startswith("-") or argument == "-":
            return given[:place], _script(given, place)
        place += 2 if argument in _VALUED else 1
    return given, None


def _script(given: list[str], place: int) -> Program | None:
    return Program(SCRIPT, given[place], given[place + 1 :]) if place < len(given) else None


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings, in which the command's options have the last word."""
    from ..config import ConfigError, load

    keys = ("output", "format", "sort", "limit", "gather", "store", "timeline")
    given = {key: getattr(options, key) for key in keys}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            settings = load(targets=options.target, cpu=options.cpu or None, **given)
        except ConfigError as error:
            raise CommandError(str(error)) from None
    for warning in said:
        say(f"stichotrope run: {warning.message}")
    return settings


def _patterns(targets: Iterable[str]) -> list[Pattern]:
    from ..instrumentation.patterns import Pattern

    try:
        return [Pattern(text) for text in dict.fromkeys(targets)]
    except ValueError as error:
        raise CommandError(str(error)) from None


class _Run:
    """One program's run, from before it begins until everything is said.

    :param program: the program.
    :param options: what the command was given.
    :param settings: the same, with what stands elsewhere.
    :raises CommandError: when something could not be done at the end.
    """

    def __init__(self, program: Program, options: Any, settings: Settings) -> None:
        self._pid = os.getpid()
        self._quiet = options.no_report
        self._settings = settings
        given = [text for text in settings.targets if text != AUTO]
        self._is_auto = len(given) < len(settings.targets)
        self._own = [] if given and not self._is_auto else own_targets(program)
        chosen = [*given, *self._own] if self._is_auto else given
        # Whatever of its own modules a program leaves alone is no mistake of who chose them all.
        self._unasked = tuple(f"{text!r} " for text in chosen if text not in given)
        self._patterns = _patterns(chosen)
        self._limit: Limit | None = None
        self._output = self._checked_output(settings.output)
        self.interrupted = False
        self.is_well = False  # whether the program ended with the status 0
        self._is_unsaved = False
        self._live: Live | None = None
        self._live_seconds = _checked_seconds(options.live)
        # Before all that the program has done at its end, so that it is done after it.
        atexit.register(self._finish)
        self._ending = Ending(self._report_at_end)
        self.session = self._session(program)

    def _session(self, program: Program) -> Session:
        from .._session import Session

        try:
            return Session(program.name, self._patterns, self._settings, program.module_names)
        except (OSError, ValueError) as error:
            atexit.unregister(self._finish)
            raise CommandError(reason(error)) from None

    @staticmethod
    def _checked_output(path: str | None) -> str | None:
        """Return where to save, whatever becomes of the working directory."""
        if path is None:
            return None
        from . import _output

        return _output.checked_target(path)

    def begin(self) -> None:
        """Begin to record, and to show it."""
        if self._live_seconds is not None:
            from ._live import Live

            self._live = Live.started(_NAME, self.session, self._live_seconds, self._settings)
        self.session.begin(self._ending)
        if self._is_auto and not self._is_kept():
            self._begin_limit()

    def _is_kept(self) -> bool:
        """Whether the results may be compared with others, whose counts are to be exact."""
        from . import _output

        if self._settings.gather is not None or self._settings.store is not None:
            return True
        return self._output is not None and _output.form_of(self._output) in (None, "json")

    def _begin_limit(self) -> None:
        from ._limit import Limit

        asked = [one for one in self._patterns if one.text in self._settings.targets]
        unasked = [one for one in self._patterns if one not in asked]
        self._limit = Limit(self.session, unasked, asked)
        self._limit.start()

    def stop_live(self) -> None:
        """End the live table, if there is one."""
        if self._live is not None and os.getpid() == self._pid:
            self._live.stop()

    def cancel(self) -> None:
        """Say nothing at the end: there was no program."""
        atexit.unregister(self._finish)
        self.stop_live()
        if self._limit is not None:
            self._limit.stop()
        self.session.end()

    def _finish(self) -> None:
        """Report; as the last thing that the process does, after the program's own last things."""
        if os.getpid() != self._pid:  # a forked child: it has gathered
            return
        self._ending.last(self._report_at_end)
        if self._is_unsaved and self.is_well:
            from .. import _core

            _core.exit_with(FAILED)

    def _report_at_end(self) -> None:
        try:
            self.stop_live()
            if self._limit is not None:
                self._limit.stop()
            self.session.stop()
            self._report()
        except Exception as error:
            say(f"stichotrope run: there is no report: {reason(error)}")
        finally:
            self.session.end()
            if self.interrupted:
                _say_interrupted()

    def _report(self) -> None:
        from ._sources import left_out

        results = self.session.results(left_out)
        if self._limit is not None:
            self._limit.tell(results[0])
        recorded = [one for one in results if one.was_entered]
        if self._output is not None:
            self._save(recorded or results[:1])
        if recorded and not self._quiet:
            from . import _output

            _output.print_to_stderr(recorded, self._settings)
        for sentence in self._remarks(recorded, results[0]):
            say(f"stichotrope run: {sentence}")

    def _save(self, results: Any) -> None:
        from . import _output

        assert self._output is not None
        form = _output.form_of(self._output)
        try:
            if form in _output.OF_TIMELINES:
                _output.save_timelines(self._timelines(), self._output, form)
            else:
                _output.save(results, self._output, timelines=self.session.timelines)
        except (CommandError, OSError, ValueError) as error:
            self._is_unsaved = True
            say(f"stichotrope run: the results could not be saved: {reason(error)}")

    def _timelines(self) -> list[Timeline]:
        found = self.session.timelines()
        if not found:
            raise CommandError("no timeline is kept; --timeline N does")
        return found

    def _remarks(self, recorded: list[ProfilerResults], ours: ProfilerResults) -> list[str]:
        """Return what is to be said besides the report."""
        if not self._settings.enabled and not recorded:
            return ["nothing was recorded, as the settings say (enabled = false)"]
        instrumentation = self.session.instrumentation
        called = {
            track.track_name: {block.name for block in track if block.was_entered} for track in ours
        }
        remarks = [
            *self.session.failures,
            *instrumentation.failures(),
            *instrumentation.held_bare(),
            *instrumentation.unseen(),
            *self._asked(instrumentation.unmatched(called)),
            *self._asked(instrumentation.uncalled(set().union(*called.values()))),
        ]
        elsewhere = _elsewhere() if self._patterns or not recorded else []
        if recorded or remarks or self._quiet:
            return [*remarks, *elsewhere]
        if self._is_auto:
            nothing = f"nothing was recorded: nothing that {' '.join(self._own)} chooses was called"
            return [f"{nothing} in this process", *elsewhere] if elsewhere else [nothing]
        options = " ".join(f"-t '{text}'" for text in self._own)
        return [f"nothing was recorded, as nothing is marked; try -t auto, that is {options}"]

    def _asked(self, sentences: Iterable[str]) -> list[str]:
        """Return what is said of the patterns that were given one by one."""
        return [one for one in sentences if not one.startswith(self._unasked)]


def _elsewhere() -> list[str]:
    """Return a sentence on workers that are no children of this process's `multiprocessing`."""
    import sys

    pools = ("loky.reusable_executor", "joblib.externals.loky.reusable_executor")
    if all(getattr(sys.modules.get(name), "_executor", None) is None for name in pools):
        return []
    return [
        "what the processes of joblib or loky did is not in it: mark it with @profiler.track, and "
        "gather it with stichotrope.integrations.joblib.profile()"
    ]


def _checked_seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0.05 <= seconds <= 3600:
        raise CommandError(f"--live takes seconds between 0.05 and 3600, not {seconds:g}")
    return seconds


def _say_interrupted() -> None:
    """Let the interpreter end as one that was interrupted, by the signal.

    It has noted that; but any text that is executed since, as by a named tuple's class, makes it
    forget, and one that is interrupted makes it note it again.
    """
    try:  # noqa: SIM105
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass
