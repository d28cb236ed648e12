"""What is recorded while a program runs: by its own profilers and by ours, in all its processes."""

from __future__ import annotations

import os
import sys
from collections import deque

from . import profiler
from ._ended import Ending
from .config.apply import period_of
from .instrumentation.patterns import Instrumentation, Pattern, after_import, watch_files
from .store.gather import VARIABLE, is_gathering, write_all

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .config import Settings
    from .profiler import Profiler
    from .results import ProfilerResults
    from .results.gathered import Followed
    from .results.timeline import Timeline

_MOST_KEPT = 256  # profilers that the program let go of; others are in the registry
_SPAWN = "multiprocessing.spawn"
# Of the settings, what a child is sent.
_SENT = (
    "enabled",
    "clock",
    "cpu",
    "gather_period_s",
    "retain_threads",
    "max_nodes",
    "max_blocks",
    "store",
    "timeline",
    "dump_to",
    "dump_signal",
    "store_limit_bytes",
)
_KEY = "stichotrope"  # in what `multiprocessing` sends to a child
# Executed when a child reads what it is sent. A child that does not find the package goes on
# without it.
_BEGIN = """\
import sys
path = sys.path[:]
sys.path[:] = recipe["path"]
try:
    from stichotrope._session import begin_in_child
except ImportError:
    pass
else:
    begin_in_child(recipe)
finally:
    sys.path[:] = path
"""


class Session:
    """Everything that records while a program runs.

    :param name: what the program is called.
    :param patterns: the functions to track without marks.
    :param settings: how to record.
    :param main: further names of the program's main module.
    :raises ConfigError: when a setting makes no sense here.
    :raises OSError: when the directory to gather in cannot be made.
    """

    def __init__(
        self,
        name: str,
        patterns: list[Pattern],
        settings: Settings,
        main: list[str],
    ) -> None:
        self._is_temporary = settings.gather is None
        self._directory = settings.gather or _temporary_path()
        self._texts = [pattern.text for pattern in patterns]
        self._main = main
        self._settings = settings
        self._pid = os.getpid()
        self._ending: Ending
        self.failures: list[str] = []
        self._followed: Followed | None = None  # of other processes, for a live table
        self._made: deque[Profiler] = deque(maxlen=_MOST_KEPT)
        self._there_before = frozenset(_files_in(self._directory))
        store = settings.store
        self._kept_before = frozenset(() if store is None else _files_in(store))
        self.profiler = profiler.Profiler.configured(name, settings)
        # The same index in each process, whatever is imported first.
        tracks = list(dict.fromkeys(pattern.track for pattern in patterns))
        profiler.number_tracks(self.profiler, tracks)
        self.instrumentation = Instrumentation(self.profiler, patterns, main)

    def begin(self, ending: Ending | None = None) -> None:
        """Record from now on, in this process and in those that it starts.

        :param ending: what is done here when a signal ends the process; in children, what was
            recorded is written.
        """
        self._ending = Ending(write_all) if ending is None else ending
        self._ending.watch()
        os.environ[VARIABLE] = self._directory
        profiler.ON_NEW.append(self._is_made)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._make_directory, after_in_child=self._go_on_in_child)
        after_import(_SPAWN, self._send_to_children)
        if self._texts:
            after_import("importlib.util", watch_files)
            self.instrumentation.install()

    def _is_made(self, made: Profiler) -> None:
        """Keep a profiler that the program has made: its results are wanted when it is gone."""
        self._made.append(made)
        if self._settings.store is not None and made.store is None:
            made.keep_in(self._settings.store, limit_bytes=self._settings.store_limit_bytes)
        if self._settings.cpu:
            made.set_cpu(True)
        if self._settings.timeline is not None and not made.timeline_size:
            made.keep_timeline(self._settings.timeline)
        if os.getpid() != self._pid or self._settings.gather is not None:
            self._gather_into(made)

    def _profilers(self) -> list[Profiler]:
        """Return the profilers of this process, ours first, each once."""
        found = [self.profiler, *self._made, *profiler.profilers()]
        return list({id(one): one for one in found}.values())

    def timelines(self) -> list[Timeline]:
        """Return the timelines of this process, and of those in whose files any stands."""
        from .results import ResultsFormatError
        from .store.timeline import has_timelines, load_timeline

        own = [one.timeline() for one in self._profilers() if one.timeline_size]
        found = [one for one in own if len(one)] or own[:1]
        for path in filter(has_timelines, [*self._files_since(), *self._kept_since()]):
            try:
                timeline = load_timeline(path)
            except (OSError, ResultsFormatError):  # what cannot be read is said of the results
                continue
            if len(timeline) and timeline.metadata["process"] != os.getpid():
                found.append(timeline)
        return found

    def _kept_since(self) -> list[str]:
        """Return the files that processes have kept in a store since this began."""
        found = () if self._settings.store is None else _files_in(self._settings.store)
        return [path for path in found if path not in self._kept_before]

    # Children

    def _make_directory(self) -> None:
        """Make the directory in which children keep what they record, before there are any.

        Only this user can read it. So a program without children leaves nothing, however it ends.
        """
        if self._is_temporary and os.getpid() == self._pid and not os.path.isdir(self._directory):
            try:
                os.mkdir(self._directory, 0o700)
            except OSError as error:
                self.failures.append(f"child processes could not be timed: {error}")

    def _go_on_in_child(self) -> None:
        """Gather in a forked child what its parent reports on."""
        self._ending.do(write_all)
        for one in self._profilers():
            if not is_gathering(one):
                self._gather_into(one)

    def _gather_into(self, one: Profiler) -> None:
        if not os.path.isdir(self._directory):  # who would have reported on it has ended
            return
        # `contextlib` takes longer to import than this module.
        try:  # noqa: SIM105
            # What is there already is of this run.
            one.gather(self._directory, period_s=period_of(self._settings), anew=False)
        except (OSError, RuntimeError):
            pass  # the directory or the process is near its end

    def _send_to_children(self, spawn: Any) -> None:
        """Have children that are not forked do what this process does."""
        prepare: Callable[..., dict[str, Any]] = spawn.get_preparation_data

        def get_preparation_data(name: str) -> dict[str, Any]:
            self._make_directory()
            return {**prepare(name), _KEY: _Recipe(self._recipe())}

        spawn.get_preparation_data = get_preparation_data

    def _recipe(self) -> dict[str, Any]:
        return {
            "path": [path for path in sys.path if path],
            "name": self.profiler.name,
            "targets": self._texts,
            "main": self._main,
            "directory": self._directory,
            "settings": {
                key: getattr(self._settings, key)
                for key in _SENT
                if key != "gather_period_s" or period_of(self._settings) is not None
            },
        }

    # The end

    def results(self, left_out: Callable[[Exception], object]) -> list[ProfilerResults]:
        """Return what was recorded, one for each profiler's name, ours first; empty ones too.

        :param left_out: called with the error of each file of another process that cannot be read.
        """
        from .results.gathered import all_readable
        from .results.merge import by_profiler
        from .results.select import without_idle

        own = [one.get_results() for one in self._profilers()]
        others = _of_others(all_readable(self._files_since, left_out), own)
        merged = by_profiler([*own, *others])
        # A pattern may choose thousands of functions that are never called.
        return [without_idle(merged[0]), *merged[1:]]

    def live_results(self) -> list[ProfilerResults]:
        """Return what was recorded until now, in other processes too, as `results` does."""
        from .results.gathered import Followed
        from .results.merge import by_profiler

        if self._followed is None:
            self._followed = Followed(self._files_since)
        own = [one.get_results() for one in self._profilers()]
        return by_profiler([*own, *_of_others(self._followed.results(), own)])

    def _files_since(self) -> list[str]:
        """Return the files that processes have left since this began."""
        return [path for path in _files_in(self._directory) if path not in self._there_before]

    def open_now(self) -> list[str]:
        """Return a line for each block that is open in this process, the outermost first."""
        return [str(block) for one in self._profilers() for block in one.open_blocks()]

    def stop(self) -> None:
        """Let our profiler record no more: what comes is not the program's."""
        self.profiler.stop()

    def end(self) -> None:
        """Remove what was kept for the report only."""
        if self._is_made in profiler.ON_NEW:
            profiler.ON_NEW.remove(self._is_made)
        if not self._is_temporary or os.getpid() != self._pid:
            return
        self._is_temporary = False
        try:
            for name in os.listdir(self._directory):
                os.unlink(os.path.join(self._directory, name))
            os.rmdir(self._directory)
        except OSError:
            pass  # there is none, or a process that goes on is writing there


def _of_others(
    found: Iterable[ProfilerResults], own: Iterable[ProfilerResults]
) -> list[ProfilerResults]:
    """Return those of the results that are not of our own process."""
    instances = {results.metadata.get("instance") for results in own}
    return [one for one in found if one.metadata.get("instance") not in instances]


class _Recipe:
    """What a child is sent: reading it makes the child begin."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        self._recipe = recipe

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_BEGIN, {"recipe": self._recipe})


def begin_in_child(recipe: dict[str, Any]) -> None:
    """Do in a child process what its parent does. The child is not to suffer by it.

    :param recipe: what the parent has sent.
    """
    try:
        _begin_in_child(recipe)
    except Exception as error:
        from warnings import warn

        warn(f"this process is not profiled: {error}", RuntimeWarning, stacklevel=2)


def _begin_in_child(recipe: dict[str, Any]) -> None:
    from .config import load

    settings = load(os.devnull, {}, gather=recipe["directory"], **recipe["settings"])
    patterns = [Pattern(text) for text in recipe["targets"]]
    session = Session(recipe["name"], patterns, settings, recipe["main"])
    session.begin()
    # From 3.14 on, a fork server has imported the program already, whose profilers are there then.
    session._go_on_in_child()
    _KEPT.append(session)
    spawn: Any = sys.modules[_SPAWN]
    for name in ("_fixup_main_from_name", "_fixup_main_from_path"):
        fixup = getattr(spawn, name, None)
        if fixup is not None:
            setattr(spawn, name, _then_track_main(fixup, session.instrumentation))


def _then_track_main(
    fixup: Callable[[str], object], instrumentation: Instrumentation
) -> Callable[[str], None]:
    """Return what imports the main program in a child, and then tracks it."""

    def fix_up(where: str) -> None:
        fixup(where)
        instrumentation.track_main()

    return fix_up


_KEPT: list[Session] = []


def _temporary_path() -> str:
    """Return the path of a temporary directory that nobody else has, without making it."""
    # `tempfile` does the same, and takes several milliseconds to import.
    places = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    places.append(os.environ.get("SYSTEMROOT", "C:") + "\\Temp" if os.name == "nt" else "/tmp")
    folder = next((place for place in places if place and os.path.isdir(place)), os.getcwd())
    return os.path.join(os.path.abspath(folder), f"stichotrope-{os.urandom(8).hex()}")


def _files_in(directory: str) -> Iterable[str]:
    from .results.gathered import left_by_processes

    try:
        return left_by_processes(directory)
    except OSError:
        return ()
