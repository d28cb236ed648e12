"""``stichotrope attach``: functions of a process that runs already, timed for a while."""

from __future__ import annotations

import signal
import sys
import time

from . import CommandError, reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Any

    from ..attach.joining import Joining
    from ..attach.process import Process
    from ..config import Settings
    from ..results import ProfilerResults
    from ._live import Live

_RUNS_ANOTHER = "runs another program now"
USAGE = "%(prog)s [options] PID"
DESCRIPTION = """\
Join a process that runs already, time functions, show them live, and report
when the time is over, at Ctrl-C, or when the process ends. Then the process is
left as it was. It needs CPython 3.14 or later, the same on both sides."""
EXAMPLES = """\
examples:
  stichotrope attach 4711                      its own modules, until Ctrl-C
  stichotrope attach 4711 -t 'shop.*' --for 5m -o run.html -q"""
MORE = """\
Functions are marked in the process, whoever holds them, and what is under way then is left alone;
functions that are not written in Python are not seen, nor are children that it starts. A process
whose main thread waits is joined when that goes on: this is said. What an `attach` that was killed
has left is taken away by the next one."""

_NAME = "stichotrope attach"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_LONGEST_S = 7 * 86_400.0
_LIVE_S = 1.0
_LOOK_S = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    from .._text.columns import SORTED_BY, SORTS
    from ..config import FORMATS

    add = parser.add_argument
    add("process", metavar="PID", help=SUPPRESS)
    chosen = "time what it chooses (auto: its own modules)"
    add("-t", "--target", metavar="PATTERN", action="append", help=chosen)
    long = "how long, such as 30s, 5m or 1h (until Ctrl-C)"
    add("--for", dest="duration", metavar="TIME", help=long)
    add("-o", "--output", metavar="FILE", help="save the results: JSON, or what the suffix says")
    forms = f"of the report: {' or '.join(FORMATS)} (table)"
    add("--format", choices=FORMATS, metavar="FORM", help=forms)
    add("--sort", choices=SORTS, metavar="COLUMN", help=SORTED_BY)
    add("--limit", metavar="N", type=int, help="show at most N blocks of each track")
    add("-q", "--no-report", action="store_true", help="print no report")
    often = "renew the live table so often (1); 0 for none"
    add("--live", metavar="SECONDS", nargs="?", type=float, const=_LIVE_S, help=often)
    add("--cpu", action="store_true", help="tell waiting from working: processor time, too")


def main(options: Any) -> int:
    """Join a process, and report on it; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when it cannot be joined, or what was asked for makes no sense.
    """
    from ..attach.process import CannotJoinError, Process

    seconds = _checked_duration(options.duration)
    live = _checked_live(options.live)
    settings = _settings(options)
    targets = _checked_targets(options.target or settings.targets)
    output = None if options.output is None else _checked_output(options.output)
    try:
        with Process(_checked_number(options.process)) as process:
            results = _Visit(process, targets, settings, seconds, live).results()
    except CannotJoinError as error:
        raise CommandError(str(error)) from None
    return _report(results, output, settings, quiet=options.no_report)


def _checked_number(given: str) -> int:
    if not given.isascii() or not given.isdecimal() or int(given) == 0:
        raise CommandError(f"a process is given by its number, such as 4711, not by {given!r}")
    return int(given)


def _checked_duration(given: str | None) -> float | None:
    """Return a time in seconds."""
    if given is None:
        return None
    number, unit = (given[:-1], given[-1]) if given[-1:] in ("s", "m", "h") else (given, "")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= _LONGEST_S:
        raise CommandError(f"--for takes a time such as 30s, 5m or 1h, up to 168h, not {given!r}")
    return seconds


def _checked_live(seconds: float | None) -> float | None:
    if seconds is not None and seconds != 0 and not 0.05 <= seconds <= 3600:
        raise CommandError(f"--live takes seconds between 0.05 and 3600, or 0, not {seconds:g}")
    return seconds


def _settings(options: Any) -> Settings:
    from ..config import ConfigError, load

    try:
        return load(
            targets=options.target or None,
            cpu=options.cpu or None,
            format=options.format,
            sort=options.sort,
            limit=options.limit,
        )
    except ConfigError as error:
        raise CommandError(str(error)) from None


def _checked_output(path: str) -> str:
    from . import _output

    return _output.checked_target(path)


class _Visit:
    """One stay in a process, from when it is joined until it was left.

    :param process: the process.
    :param targets: patterns of what is to be marked.
    :param settings: what the command was given, with what stands elsewhere.
    :param seconds: for how long, or None.
    :param live: the time between two looks, 0 for none, or None where nothing is said of it.
    """

    def __init__(
        self,
        process: Process,
        targets: list[str],
        settings: Settings,
        seconds: float | None,
        live: float | None,
    ) -> None:
        self._process = process
        self._settings = settings
        self._seconds = seconds
        self._live_seconds = live
        self._targets = targets
        self._is_over = False  # whether there is nothing left to leave
        self._joining: Joining
        self._records: _Records

    def results(self) -> ProfilerResults:
        """Join the process, wait, leave it, and return what was recorded."""
        from ..attach.joining import Joining
        from ..attach.process import CannotJoinError

        self._joining = Joining(self._process, self._targets, cpu=self._settings.cpu)
        _heed_signals()
        try:
            try:
                self._joining.enter(_say)
                self._records = _Records(self._joining.file)
                self._stay()
            except KeyboardInterrupt:
                if not self._joining.file:
                    self._give_up()
            finally:
                self._leave()
            return self._records.final()
        except CannotJoinError as error:
            if not self._joining.file:
                raise
            _say(str(error))
            return self._records.final()
        finally:
            self._joining.forget()

    def _give_up(self) -> None:
        raise CommandError(f"given up before process {self._process.number} could be joined")

    def _stay(self) -> None:
        """Wait until the time is over, the process ends, or somebody presses Ctrl-C."""
        number, functions = self._process.number, self._joining.functions
        if self._joining.lent is not None:
            _say(f"stichotrope is not installed for process {number}: from {self._joining.lent}")
        long = "until Ctrl-C" if self._seconds is None else f"for {self._seconds:g} s"
        _say(f"process {number} is joined, {functions:,} functions are marked, {long}")
        until = None if self._seconds is None else time.monotonic() + self._seconds
        table = self._table()
        try:
            while until is None or time.monotonic() < until:
                time.sleep(_LOOK_S if until is None else _until(until))
                if not self._process.is_there():
                    _say(f"process {number} has ended")
                    return
                if not self._records.still_lives():
                    # What it has locked is let go of before it is seen to be gone.
                    runs = self._process.has_program()
                    _say(f"process {number} " + (_RUNS_ANOTHER if runs else "has ended"))
                    self._is_over = True
                    return
        except KeyboardInterrupt:
            pass
        finally:
            if table is not None:
                table.stop()

    def _table(self) -> Live | None:
        seconds = self._live_seconds
        is_shown = sys.stderr is not None and sys.stderr.isatty()
        if seconds == 0 or (seconds is None and not is_shown):
            return None
        from ._live import Live

        return Live.started(_NAME, self._records, seconds or _LIVE_S, self._settings)

    def _leave(self) -> None:
        """Leave the process; a second Ctrl-C goes without waiting for that."""
        if self._is_over:
            return
        try:
            for sentence in self._joining.leave(_say):
                _say(sentence)
        except KeyboardInterrupt:
            _say(
                f"process {self._process.number} was asked to forget the marks, and will when its "
                "main thread runs code of Python again"
            )


def _until(until: float) -> float:
    return max(min(_LOOK_S, until - time.monotonic()), 0.0)


def _checked_targets(given: Iterable[str] | None) -> list[str]:
    """Return the patterns of what is to be marked."""
    from ..instrumentation.own import AUTO
    from ..instrumentation.patterns import Pattern

    targets = list(given or [AUTO])
    try:
        for text in targets:
            if text != AUTO:
                Pattern(text)
    except ValueError as error:
        raise CommandError(str(error)) from None
    return targets


def _heed_signals() -> None:
    """Leave the process, too, when we are asked to end."""
    for name in ("SIGTERM", "SIGHUP"):
        if signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), signal.default_int_handler)


def _say(sentence: str) -> None:
    say(f"{_NAME}: {sentence}")


class _Records:
    """What a process that was joined records, read from its file.

    :param path: the file.
    """

    def __init__(self, path: str) -> None:
        from ..store.reader import KeptRecords

        self._kept = KeptRecords(path)

    def still_lives(self) -> bool:
        """Return whether the process still writes there."""
        return self._kept.still_lives()

    def live_results(self) -> list[ProfilerResults]:
        """Return what was recorded until now."""
        from ..results.select import without_idle

        return [without_idle(self._kept.results())]

    def open_now(self) -> list[str]:
        """Return a line for each block that is open, the outermost first."""
        return [str(block) for block in self._kept.open_blocks()]

    def final(self) -> ProfilerResults:
        """Return all that was recorded, and let go of the file."""
        from ..results.select import without_idle
        from ..store.reader import KeptRecords

        path = self._kept.path
        self._kept.close()
        with KeptRecords(path) as kept:  # as it is now that nobody writes there
            return without_idle(kept.results())


def _report(
    results: ProfilerResults, output: str | None, settings: Settings, *, quiet: bool
) -> int:
    """Save and print; return the exit status."""
    from . import _output

    if output is not None:
        try:
            _output.save([results], output)
        except (OSError, ValueError) as error:
            raise CommandError(f"the results could not be saved: {reason(error)}") from None
    if not results.was_entered:
        _say("nothing was recorded: nothing that was chosen was called")
    elif not quiet:
        layout = {"sort": settings.sort, "limit": settings.limit}
        _output.show([results], settings.format, sys.stdout, **layout)
    return 0
