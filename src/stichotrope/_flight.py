"""The flight recorder: the last seconds of a timeline, written when something has happened."""

from __future__ import annotations

import os
import sys
import threading
import time
from weakref import ref

from ._slow import checked_duration
from ._text.files import checked_path, files_in, made_directory, write_bytes_whole
from ._text.format import format_time_ns
from .config.checks import check_limit
from .export.perfetto import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Protocol

    from ._slow import SlowPass
    from ._text.files import StrPath
    from .results.timeline import Timeline

    class Recording(Protocol):
        """What is needed of a profiler, which lies upstream."""

        @property
        def name(self) -> str: ...

        def timeline(self) -> Timeline: ...


SUFFIX = ".pftrace"
MOST_FILES = 20


class Dumps:
    """A directory that the last seconds are written to: at most so many files, one an interval.

    :param directory: where to; made if it is missing.
    :param keep_ns: how much of the timeline a file has.
    :param most: how many files of the profiler there may be; beyond, the oldest go.
    :param every_ns: the time between two files.
    :raises OSError: when it cannot be made or written to.
    """

    def __init__(self, directory: StrPath, keep_ns: int, most: int, every_ns: int) -> None:
        self.directory = made_directory(directory)
        self._keep_ns = keep_ns
        self._most = most
        self._every_ns = every_ns
        self._lock = threading.Lock()
        self._last_ns: int | None = None

    @classmethod
    def of(cls, to: StrPath, keep: object, most: int, every: object) -> Dumps:
        """Return the dumps that a caller asks for; see `Profiler.on_slow`."""
        keep_ns, every_ns = checked_duration(keep, "keep"), checked_duration(every, "every")
        check_limit(most, "most", 1, 1_000_000)
        return cls(to, keep_ns, most, every_ns)

    def write(self, profiler: Recording, reason: str) -> str | None:
        """Write the last seconds, and return the file's path; None when the last one is too recent.

        :param profiler: whose.
        :param reason: why, as a part of the file's name.
        :raises OSError: when it cannot be written.
        """
        with self._lock:
            now = time.monotonic_ns()
            if self._last_ns is not None and now - self._last_ns < self._every_ns:
                return None
            path = write_last(profiler, self.directory, self._keep_ns, reason)
            self._last_ns = now
            self._remove_oldest(profiler.name)
            return path

    def _remove_oldest(self, name: str) -> None:
        # Their names begin alike, and sort by time.
        own = [
            path
            for path in files_in(self.directory, SUFFIX)
            if os.path.basename(path).startswith(_safe(name) + "-2")
        ]
        for path in own[: max(len(own) - self._most, 0)]:
            try:  # noqa: SIM105
                os.unlink(path)
            except OSError:
                pass


def write_last(profiler: Recording, directory: str, keep_ns: int | None, reason: str) -> str:
    """Write the last seconds of a timeline to a new file, whole or not at all; return its path.

    :param profiler: whose.
    :param directory: where the file is made.
    :param keep_ns: how much of it, in ns; None for all.
    :param reason: why, as a part of the file's name.
    :raises OSError: when it cannot be written.
    """
    timeline = profiler.timeline()
    if keep_ns is not None:
        timeline = timeline.last(keep_ns / 1e9)
    now = time.time_ns()
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
    stamp = f"{moment}.{now // 1000 % 10**6:06}Z"
    path = os.path.join(
        directory, f"{_safe(profiler.name)}-{stamp}-{os.getpid()}-{_safe(reason)}{SUFFIX}"
    )
    write_bytes_whole(path, render([timeline]))
    return path


def dump(profiler: Recording, to: StrPath, keep: object) -> str:
    """Write a timeline to a file, or to a new one in a directory; return its path.

    :param profiler: whose.
    :param to: the file or directory.
    :param keep: how much of it, as `checked_duration` reads it; None for all.
    """
    keep_ns = None if keep is None else checked_duration(keep, "keep")
    path = os.path.abspath(checked_path(to))
    if os.path.isdir(path):
        return write_last(profiler, path, keep_ns, "asked")
    timeline = profiler.timeline()
    write_bytes_whole(path, render([timeline if keep_ns is None else timeline.last(keep_ns / 1e9)]))
    return path


def _safe(text: str) -> str:
    """Return a text as a part of a file's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in text[:60])


def dump_of_slow(profiler: Recording, dumps: Dumps) -> Callable[[SlowPass], None]:
    """Return what writes the last seconds when it is called with a pass that was slow.

    :param profiler: whose.
    :param dumps: where to.
    """
    known = ref(profiler)

    def write(slow: SlowPass) -> None:
        found = known()
        if found is not None:
            lasted = format_time_ns(slow.duration_ns).replace(" ", "")
            reason = f"slow-{slow.block}-{lasted}"
            attempt(lambda: dumps.write(found, reason), dumps.directory)

    return write


def attempt(action: Callable[[], object], where: str) -> None:
    """Do what may fail when files are written, which is a warning then.

    :param action: what is done.
    :param where: the directory.
    """
    try:
        action()
    except (OSError, ValueError, MemoryError) as error:
        from warnings import warn

        warn(f"the timeline could not be written to {where}: {error}", RuntimeWarning, stacklevel=2)


def dump_on_signal(profiler: Recording, number: int, dumps: Dumps) -> Callable[[], None]:
    """Write the last seconds whenever a signal comes; return what ends that.

    :param profiler: whose.
    :param number: the signal's.
    :param dumps: where to.
    :raises ValueError: when it is taken, or this is not the main thread.
    """
    import signal

    before = signal.getsignal(number)
    if before not in (signal.SIG_DFL, None) and before is not signal.SIG_IGN:
        raise ValueError(
            f"{signal.Signals(number).name} is taken already, by {before!r}: choose another signal "
            "(the setting dump_signal, or the argument)"
        )
    known = ref(profiler)

    def write(*_: object) -> None:
        found = known()
        if found is not None:
            # Apart: the program goes on meanwhile.
            threading.Thread(
                target=lambda: attempt(lambda: dumps.write(found, "signal"), dumps.directory),
                name="stichotrope dump",
            ).start()

    def undo() -> None:
        if signal.getsignal(number) is write:
            signal.signal(number, before or signal.SIG_DFL)

    signal.signal(number, write)
    return undo


def dump_on_exception(profiler: Recording, dumps: Dumps) -> Callable[[], None]:
    """Write the last seconds when an exception ends the program or a thread; return what ends that.

    :param profiler: whose.
    :param dumps: where to.
    """
    known = ref(profiler)
    before, before_in_thread = sys.excepthook, threading.excepthook
    is_over = threading.Event()

    def write(kind: type[BaseException]) -> None:
        found = None if is_over.is_set() else known()
        if found is not None and issubclass(kind, Exception):
            attempt(lambda: dumps.write(found, f"error-{kind.__name__}"), dumps.directory)

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        before(kind, error, traceback)
        write(kind)

    def hook_in_thread(arguments: Any) -> None:
        before_in_thread(arguments)
        write(arguments.exc_type)

    def undo() -> None:
        is_over.set()  # others may have been put over it, and call it
        if sys.excepthook is hook:
            sys.excepthook = before
        if threading.excepthook is hook_in_thread:
            threading.excepthook = before_in_thread

    sys.excepthook = hook
    threading.excepthook = hook_in_thread
    return undo
