"""Each process's results in a file of its own: mapped while it runs, or written by a thread."""

from __future__ import annotations

import _thread
import atexit
import os
import sys
import threading
import time
import weakref
from itertools import count
from math import isfinite

from .._text.files import files_in, made_directory, write_whole
from ..results import GATHERED_SUFFIX
from ..results.document import compact_json
from ..snapshot.take import host
from .mapped import MappedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from .._text.files import StrPath
    from ..snapshot.take import View

    class _Recording(Protocol):
        """What is needed of a profiler, which lies upstream."""

        _gathering: Gathering | None
        _start_ns: int

        @property
        def name(self) -> str: ...

        def _state(self) -> tuple[object, ...]: ...

        def _view(self) -> View: ...

        def _map_in(self, directory: str) -> str | None: ...


VARIABLE = "STICHOTROPE_GATHER"

_LONGEST_PERIOD_S = 1e9
_LONGEST_PAUSE_S = 3600.0  # the system's limit for a timed wait may be lower than a period
_REST = 19  # times what a refresh took: it never takes more than a twentieth of a core
_PATIENCE_S = 2.0  # for a write that is under way, at a fork and at exit
_LAST = -100  # the priority of what `multiprocessing` is to do at exit after everything else

# Re-entrant for signal handlers and finalizers. Nothing of a profiler is locked or read while it is
# held, nor while a `Gathering` is: those may be asked for by who holds a profiler's locks.
_LOCK = threading.RLock()
_ACTIVE: set[Gathering] = set()
_ANEW = "_STICHOTROPE_GATHERED_ANEW"  # the directories in which a run has begun anew
_worker: _Worker | None = None
_in_multiprocessing = False  # whether its children call back


def gather(
    profiler: _Recording, directory: StrPath | None, period_s: float | None, anew: bool | None
) -> bool:
    """Begin to gather, or go on elsewhere; see `Profiler.gather`.

    :param profiler: whose results.
    :param directory: where the file is to be, or None for what the environment says.
    :param period_s: the time between writes, or None for what the environment says; if that says
        nothing either, it is written on the way only where no file can be mapped.
    :param anew: whether to remove what other processes have gathered there before; likewise.
    """
    if anew is not None and not isinstance(anew, bool):
        raise TypeError(f"anew must be True or False, not {anew!r}")
    if period_s is not None:
        _checked_period(period_s)
    if directory is None:
        directory = os.environ.get(VARIABLE) or None
    if directory is None:
        return is_gathering(profiler)
    is_periodic = period_s is not None
    if period_s is None or anew is None:
        from ..config.settings import from_environment, is_in_environment

        is_periodic = is_periodic or is_in_environment("gather_period_s")
        period_s = from_environment("gather_period_s") if period_s is None else period_s
        anew = from_environment("gather_anew") if anew is None else anew
    period_ns = _checked_period(period_s)
    folder = made_directory(directory)
    if anew:
        _begin_anew(folder)
    _import_what_writing_needs()
    with _LOCK:
        gathering = profiler._gathering
        if gathering is None:
            gathering = profiler._gathering = Gathering(profiler)
    gathering.begin(folder, period_ns, is_periodic=is_periodic)
    _call_back_in_multiprocessing()
    _start_worker()
    return True


def _begin_anew(folder: str) -> None:
    """Remove the files in a directory, once for this process and all that it starts from now on.

    A child runs the same line, and must not take away what its parent and siblings have written:
    the environment tells it that it is one.
    """
    begun = os.environ.get(_ANEW, "").split(os.pathsep)
    if folder in begun:
        return
    from .reader import by_age, paths_in

    for path in [*files_in(folder, GATHERED_SUFFIX), *by_age(paths_in(folder))[1]]:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
    os.environ[_ANEW] = os.pathsep.join([*filter(None, begun), folder])


def has_gathered(profiler: _Recording) -> bool:
    """Return whether a profiler's results are, or were, kept in a file.

    :param profiler: whose results.
    """
    return profiler._gathering is not None


def folder_of(profiler: _Recording) -> str | None:
    """Return the directory of the file that a profiler's results are kept in now, if there is one.

    :param profiler: whose results.
    """
    return None if profiler._gathering is None else profiler._gathering.folder


def is_gathering(profiler: _Recording) -> bool:
    """Return whether a profiler's results are kept in a file now.

    :param profiler: whose results.
    """
    return profiler._gathering in _ACTIVE


def _import_what_writing_needs() -> None:
    """Import it before the thread that writes is there.

    In a child of a fork, a module that another thread was importing is waited for without end.
    """
    import fractions  # noqa: F401
    import json  # noqa: F401
    import warnings  # noqa: F401


def _checked_period(period_s: object) -> int:
    """Return a period in ns."""
    if isinstance(period_s, bool) or not isinstance(period_s, (int, float)):
        raise TypeError(
            f"period_s must be a number of seconds, not {period_s!r} of type "
            f"{type(period_s).__name__}"
        )
    if not period_s > 0 or (isinstance(period_s, float) and not isfinite(period_s)):
        raise ValueError(f"period_s must be a positive, finite number of seconds, not {period_s}")
    return max(int(min(period_s, _LONGEST_PERIOD_S) * 1_000_000_000), 1)


class Gathering:
    """The file that one profiler's results are kept in, and when it is due.

    :param profiler: whose results; it is not kept alive.
    """

    def __init__(self, profiler: _Recording) -> None:
        self._profiler = weakref.ref(profiler, _profiler_is_gone)
        self._name = profiler.name
        self._folder = ""
        self._period_ns = 0
        self._is_asked = False  # to be written on the way, too
        self.is_periodic = False
        self.due_ns = 0
        self._forget()

    def _forget(self) -> None:
        """Begin without files, in a new process."""
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._number = count(1).__next__
        self._newest = 0  # the number of the snapshot that was written last
        self._files: dict[str, tuple[str, int]] = {}  # folder -> path, when its figures began
        self._written: tuple[object, bool] = (None, False)  # what, and whether for the last time
        self._failures = 0
        self._reason = ""
        self._mapped = MappedFile()

    @property
    def folder(self) -> str | None:
        """The directory of the file; None while none is kept."""
        return self._folder if self in _ACTIVE else None

    def is_needed(self) -> bool:
        """Return whether the profiler is still alive."""
        return self._profiler() is not None

    def begin(self, folder: str, period_ns: int, *, is_periodic: bool) -> None:
        """Keep the file in a directory from now on.

        :param folder: the directory.
        :param period_ns: the time between writes.
        :param is_periodic: whether it is written on the way though there is a mapped file.
        """
        if self._pid != os.getpid():  # it was not active at the fork: its files are the parent's
            self._forget()
        if self in _ACTIVE and folder != self._folder:
            self._leave()
        with self._lock:
            if self not in _ACTIVE:
                self._choose_file(folder)
            self._folder = folder
            self._period_ns = period_ns
            self._failures = 0
        self._is_asked = is_periodic
        self._map()
        self.postpone()
        with _LOCK:
            _ACTIVE.add(self)
        if self.is_periodic:
            self.refresh()

    def _map(self) -> None:
        """Have what is recorded stand in a mapped file, if it can."""
        profiler = self._profiler()
        is_mapped = profiler is not None and self._mapped.keep(profiler, self._folder)
        self.is_periodic = self._is_asked or not is_mapped

    def hand_over(self, folder: str) -> str | None:
        """Let a store have the mapped file; return its path there, None if there is none.

        :param folder: the store.
        """
        path = self._mapped.hand_over(folder)
        if self in _ACTIVE:
            self.is_periodic = True
            self.refresh()
            _start_worker()
        return path

    def _choose_file(self, folder: str) -> None:
        """Take the file that has these figures already, if there is one: else they count twice."""
        profiler = self._profiler()
        _, began_ns = self._files.get(folder, ("", -1))
        if profiler is None or profiler._start_ns != began_ns:
            self._files.pop(folder, None)
        self._written = (None, False)

    def begin_in_child(self) -> None:
        """Go on in a forked child, in a file of its own."""
        self._forget()
        self._map()
        self.postpone()

    def stop(self) -> None:
        """Write the file for the last time."""
        if self._leave():
            self._mapped.remove()
        _stop_worker_without_work()

    def _leave(self) -> bool:
        """Write the file for the last time; return whether all is in it."""
        with _LOCK:
            was_active = self in _ACTIVE
            _ACTIVE.discard(self)
        return was_active and self.refresh(last=True)

    def finish(self) -> None:
        """Write the file for the last time of this process."""
        if self.refresh(last=True):
            self._mapped.remove()

    def postpone(self, took_ns: int = 0) -> None:
        """Set the next time that it is due: after a period, or more if a refresh takes long."""
        self.due_ns = time.monotonic_ns() + max(self._period_ns, _REST * took_ns)

    def refresh(self, *, last: bool = False) -> bool:
        """Bring the file up to date. A failure is a warning: the program is not to suffer by it.

        :param last: whether the process will not write it again.
        :returns: whether all is in it.
        """
        profiler = self._profiler()
        if profiler is None:
            return False
        number = self._number()
        try:
            state = profiler._state()  # first: what comes between the two is written next time
            if not self._is_written(state, last):
                self._write(profiler._view(), state, number, last)
        except Exception as error:
            self._warn(error)
            return False
        return True

    def _write(self, view: View, state: object, number: int, last: bool) -> None:
        results = view.results()
        if not results.was_entered and self._folder not in self._files:
            return
        if self._failures:
            results.metadata["warnings"].append(
                f"{self._failures:,} times the results could not be written, "
                f"the last time because of: {self._reason}"
            )
        text = compact_json(results)
        with self._lock:
            if number < self._newest:  # somebody else was faster, with later figures
                return
            known, _ = self._files.get(self._folder, ("", 0))
            path = known or os.path.join(self._folder, _file_name(self._name))
            write_whole(path, text)
            self._files[self._folder] = (path, view.start_ns)
            self._newest = number
            self._written = (state, last)

    def _is_written(self, state: object, last: bool) -> bool:
        written, for_good = self._written
        # For the last time again, though nothing was recorded: it says how long the run was.
        return written == state and (for_good or not last)

    def _warn(self, error: Exception) -> None:
        from warnings import warn

        self._reason = str(error) or type(error).__name__
        self._failures += 1
        if self._failures == 1:
            warn(
                f"the results of {self._name!r} could not be gathered: {self._reason}; "
                "their last file stays, and it is tried again",
                RuntimeWarning,
                stacklevel=2,
            )


def _file_name(name: str) -> str:
    """Return a name that no other file has: neither of this process nor of one of its number."""
    unique = os.urandom(8).hex()
    return f"{_safe(name, 60)}-{_safe(host(), 40)}-{os.getpid()}-{unique}{GATHERED_SUFFIX}"


def _safe(text: str, length: int) -> str:
    """Return a text with what some file system does not take replaced."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in text[:length])
    return "_" + safe[1:] if safe.startswith(".") else safe or "_"


# The thread


class _Worker:
    """A thread that refreshes the files that are due, until none is left or it is told to stop."""

    def __init__(self) -> None:
        self._stopping = False
        self._native_id: int | None = None
        # Held, but for the moment in which somebody wakes it. Unlike an event, a lock can be
        # released by a finalizer and a signal handler at any time.
        self._asleep = _held_lock()
        self._running = _held_lock()

    def start(self) -> None:
        """Begin.

        :raises RuntimeError: when the system or the interpreter starts no more threads.
        """
        # Not by `threading`: each fork starts it anew, and would wait until it runs.
        _thread.start_new_thread(self._run_and_tell, ())

    def _run_and_tell(self) -> None:
        try:
            self._native_id = getattr(_thread, "get_native_id", lambda: None)()
            self.run()
        finally:
            self._running.release()

    def wake(self) -> None:
        """Let it look again when it is due."""
        try:  # noqa: SIM105
            self._asleep.release()
        except RuntimeError:
            pass  # it was woken already

    def is_stopping(self) -> bool:
        """Return whether it was told to stop."""
        return self._stopping

    def stop(self) -> None:
        """End it, after the write that is under way, unless that takes very long."""
        self._stopping = True
        self.wake()
        if self._native_id != getattr(_thread, "get_native_id", lambda: -1)():
            if self._running.acquire(timeout=_PATIENCE_S):
                self._running.release()
            _wait_until_gone(self._native_id)

    def run(self) -> None:
        """Write what is due, and wait for what is due next."""
        while not self._stopping and _has_work(self):
            for gathering in _periodic():
                if not self._stopping and gathering.due_ns <= time.monotonic_ns():
                    began_ns = time.thread_time_ns()
                    _quietly(gathering.refresh)
                    gathering.postpone(time.thread_time_ns() - began_ns)
            self._asleep.acquire(timeout=_pause())


def _held_lock() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def _quietly(action: Callable[[], object]) -> None:
    try:  # noqa: SIM105
        action()
    except Exception:
        pass  # a warning that was made an error, with nobody here to handle it


def _periodic() -> list[Gathering]:
    """Return what is written on the way."""
    return [gathering for gathering in list(_ACTIVE) if gathering.is_periodic]


def _pause() -> float:
    due_ns = min((gathering.due_ns for gathering in _periodic()), default=0)
    return min(max((due_ns - time.monotonic_ns()) / 1e9, 0.0), _LONGEST_PAUSE_S)


def _has_work(worker: _Worker) -> bool:
    """Return whether a worker is to go on; otherwise, the next one to gather starts another."""
    global _worker
    with _LOCK:
        _ACTIVE.difference_update([one for one in list(_ACTIVE) if not one.is_needed()])
        if not _periodic() and _worker is worker:
            _worker = None
        return _worker is worker


def _start_worker() -> None:
    global _worker
    with _LOCK:
        if _periodic() and (_worker is None or _worker.is_stopping()):
            worker = _Worker()
            worker.start()
            _worker = worker
        elif _worker is not None:
            _worker.wake()


def _stop_worker_without_work() -> None:
    global _worker
    with _LOCK:
        if _periodic():
            return
        worker, _worker = _worker, None
    if worker is not None:
        worker.stop()


def _profiler_is_gone(_: object) -> None:
    # Takes no lock: the collector may call it at any time.
    worker = _worker
    if worker is not None:
        worker.wake()


def _wait_until_gone(native_id: int | None) -> None:
    """Wait until Linux no longer lists a thread that has ended.

    It does so for some microseconds; and a fork in them would be taken for one of a process with
    several threads, of which Python 3.12 and later warn.
    """
    for _ in range(100):
        if not os.path.exists(f"/proc/self/task/{native_id}"):
            return
        time.sleep(0)


# Forks and ends


def _before_fork() -> None:
    """Take the thread out of the way: only this one will be in the child.

    So a fork copies no half-done write, and a program without threads stays one. Nothing relies on
    it: the thread may be waiting for what the one that forks holds.
    """
    worker = _worker
    if worker is not None:
        worker.stop()


def _after_fork_in_parent() -> None:
    # CPython 3.13.0 to 3.13.9 and 3.14.0 count the new thread for their warning (gh-137109).
    try:  # noqa: SIM105
        _start_worker()
    except RuntimeError:
        pass  # No more threads to be had, or near the end of the program: it still writes at exit.


def _after_fork_in_child() -> None:
    global _worker
    _LOCK._at_fork_reinit()  # type: ignore[attr-defined]
    _worker = None
    for gathering in list(_ACTIVE):
        gathering.begin_in_child()
    _call_back_in_multiprocessing()
    _after_fork_in_parent()


def write_all() -> None:
    """Write the files of all profilers for the last time, whatever is new."""
    worker = _worker
    if worker is not None:
        worker.stop()
    for gathering in list(_ACTIVE):
        _quietly(gathering.finish)


def _call_back_in_multiprocessing() -> None:
    """Have the last write done in children of `multiprocessing`, which leave through `os._exit`."""
    global _in_multiprocessing
    util: Any = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    if not _in_multiprocessing:
        util.register_after_fork(write_all, _finish_with_multiprocessing)
        _in_multiprocessing = True
    process: Any = sys.modules["multiprocessing.process"]
    if process.parent_process() is not None:
        _finish_with_multiprocessing(write_all)


def _finish_with_multiprocessing(at_exit: object) -> None:
    util: Any = sys.modules["multiprocessing.util"]
    util.Finalize(None, at_exit, exitpriority=_LAST)


atexit.register(write_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
