"""The default profiler: marks without making a profiler first."""

from __future__ import annotations

import os
import sys
import threading
from typing import overload

from . import _core
from .profiler import ON_NEW, Profiler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TextIO, TypeVar

    from ._core import Block
    from .config import Settings
    from .profiler import Size
    from .results import ProfilerResults

    P = ParamSpec("P")
    R = TypeVar("R")


class DefaultProfiler:
    """A profiler that is there without being made: `stichotrope.profile`.

    It is made as the settings say (see `stichotrope.config.load`) when it is first used, which the
    first decorated function is.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._profiler: Profiler | None = None
        self._settings: Settings | None = None
        self._reports_at_exit = False
        self._output: str | None = None
        self._waits_for_exit = False
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<the default profiler: {self._profiler or 'not used yet'}>"

    @property
    def profiler(self) -> Profiler:
        """The `Profiler` behind it.

        :raises ConfigError: when it is to be made now, and the settings have a mistake.
        """
        return self._profiler or self._made()

    def _made(self) -> Profiler:
        from . import config

        with self._lock:
            if self._profiler is None:
                settings = config.load()
                name = settings.name or _program()
                profiler = Profiler.configured(name, settings)
                self._settings = settings
                self._profiler = profiler
                # From now on in C, which knows the line that asks without looking at frames.
                self.block = _core.asking_by_name(profiler)  # type: ignore[method-assign]
                if not ON_NEW:  # else somebody reports on all profilers, and saves their results
                    self._heed(settings)
            return self._profiler

    def _heed(self, settings: Settings) -> None:
        self._output = settings.output
        if settings.report_at_exit:
            self.report_at_exit()
        if settings.output is not None:
            self._wait_for_exit()

    # Marking

    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def __call__(
        self,
        /,
        *,
        track: int | str = 0,
        name: str | None = None,
        cpu: bool = False,
        bytes: Size = None,
        items: Size = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        track: int | str = 0,
        name: str | None = None,
        cpu: bool = False,
        bytes: Size = None,  # noqa: A002
        items: Size = None,
    ) -> Any:
        """Record each call of a function as a pass of one block: ``@profile``.

        ``@profile(track=…, name=…)`` says more. What can be tracked, and how, says
        `Profiler.track`.

        :param track: the track's index (from 0 on) or its name.
        :param name: the block's name; by default the function's own.
        :param cpu: whether its passes take processor time; see `Profiler.set_track_cpu`.
        :param bytes: what tells how many bytes a result is; see `Profiler.track`.
        :param items: what tells how many items it is.
        :raises TypeError: for an argument of the wrong type, or what cannot be tracked.
        :raises ValueError: for a negative track or an empty name.
        :raises ConfigError: when it is used for the first time, and the settings have a mistake.
        """
        decorate = self.profiler.track(track, name, cpu=cpu, bytes=bytes, items=items)
        return decorate if function is None else decorate(function)

    def block(self, name: str, track: int | str = 0) -> Block:
        """Return a context manager that records each pass through its ``with`` body.

        The block is the one of the line that asks, its track and its name. It may be kept, which is
        cheaper, and entered again and again; see `Profiler.block`.

        :param name: the block's name.
        :param track: the track's index (from 0 on) or its name.
        :raises TypeError: for an argument of the wrong type.
        :raises ValueError: for a negative track or an empty name.
        :raises ConfigError: when it is used for the first time, and the settings have a mistake.
        """
        # Only until the profiler is made, or by who kept this very method.
        frame = sys._getframe(1)
        return self.profiler.block_at(track, name, frame.f_code.co_filename, frame.f_lineno)

    # Results

    def get_results(self, thread: int | None = None) -> ProfilerResults:
        """Return what has been recorded until now; see `Profiler.get_results`."""
        return self.profiler.get_results(thread)

    def print_results(self, *, file: TextIO | None = None, **options: Any) -> None:
        """Print the results as a report, in the order and length that the settings say.

        :param file: the text stream to print to; standard output unless given.
        :param options: as for `stichotrope.print_results`; they count more than the settings.
        """
        profiler = self.profiler
        profiler.print_results(file=file, **{**self._options(), **options})

    def report_at_exit(self) -> None:
        """Print the report to standard error when the program ends.

        Children that the program forks, or starts through `multiprocessing`, print none: their
        figures are gathered; see `Profiler.gather`.
        """
        self._reports_at_exit = True
        self._wait_for_exit()

    def _wait_for_exit(self) -> None:
        import atexit

        with self._lock:
            if not self._waits_for_exit:
                atexit.register(self._at_exit)
                self._waits_for_exit = True

    def _at_exit(self) -> None:
        if self._profiler is None or self._is_in_child():
            return
        results = self._profiler.get_results()
        if self._reports_at_exit and sys.stderr is not None:
            self._print_at_exit(results)
        if self._output is not None:
            _save(results, self._output)

    def _is_in_child(self) -> bool:
        process = sys.modules.get("multiprocessing.process")
        return os.getpid() != self._pid or (
            process is not None and process.parent_process() is not None
        )

    def _print_at_exit(self, results: ProfilerResults) -> None:
        from .report import print_results, print_tree

        is_tree = self._settings is not None and self._settings.format == "tree"
        show = print_tree if is_tree else print_results
        show(results, file=sys.stderr, **self._options())

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        return {} if settings is None else {"sort": settings.sort, "limit": settings.limit}


def _program() -> str:
    """Return what the program is called, the same in children that are spawned."""
    path = os.path.normpath(sys.argv[0]) if sys.argv else ""
    folder, name = os.path.split(path)
    if name == "__main__.py":
        name = os.path.basename(folder)
    return "profile" if name in ("", ".", "-c", "-m", "-") else name


def _save(results: ProfilerResults, path: str) -> None:
    try:
        results.save(path)
    except OSError as error:
        if sys.stderr is not None:
            reason = error.strerror or error
            print(f"stichotrope: the results were not saved in {path}: {reason}", file=sys.stderr)


profile = DefaultProfiler()
"""The default profiler."""


def _after_fork_in_child() -> None:
    profile._lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
