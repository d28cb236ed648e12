"""What the processes of one machine have recorded, in a directory of that machine.

Each process that an engine has started keeps one file there, of all its profilers. It is written
soon after something was recorded, in a thread that never takes more than a two-hundredth of a
core, and at once when somebody asks: who asks touches a file, and waits until each process that is
still there has answered.
"""

from __future__ import annotations

import atexit
import os
import stat
import sys
import tempfile
import threading
import time

from .._text.files import files_in, read_whole, write_bytes_whole
from ..profiler import ON_MADE, Profiler, profilers
from ..results import ResultsFormatError
from ..results.snapshots import Snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results import ProfilerResults
    from ..results.timeline import Timeline

SUFFIX = ".stcb"
_STORES = "stores"  # below it a directory for each process's name, and each of its profilers
_BEFORE = ".before"  # what a process had recorded already when it began to keep a file
_ANSWERED = ".answered"  # its time is that of the question which the file answers
_ASKED = "asked"
_PERIOD_S = 0.1
_REST = 199  # times what a write took: it never takes more than a two-hundredth of a core
_PATIENCE_S = 2.0
_LAST = -100  # the priority of what `multiprocessing` is to do at exit after everything else

_LOCK = threading.RLock()
_keepers: dict[str, Keeper] = {}
_kept_in: dict[str, str] = {}  # directories of stores, and what this process is called there
_lasting: list[tuple[int, str]] = []  # the names of this process's stores that outlive runs


def recorded_here(worker: str, *, timelines: bool = True) -> Snapshots:
    """Return what all profilers of this process have recorded.

    :param worker: what the engine calls this process.
    :param timelines: whether to have the newest passes of those that keep a timeline.
    """
    found = Snapshots()
    for profiler in profilers():
        if timelines and profiler.timeline_size:
            _add_timeline(profiler.timeline(), worker, found)
        results = profiler.get_results()
        if not results.was_entered:
            continue
        results.metadata["worker"] = worker
        for process in results.processes:
            process.worker = worker
        found.add(results.to_bytes())
    return found


def _add_timeline(timeline: Timeline, worker: str, into: Snapshots) -> None:
    if len(timeline):
        timeline.metadata["worker"] = worker
        into.add_timeline(timeline)


def has_changed_since(state: object) -> tuple[bool, object]:
    """Return whether anything was recorded since, and what to ask with next time.

    :param state: what the last call returned, or None.
    """
    now = [(id(profiler), profiler._state()) for profiler in profilers()]
    return now != state, now


def keep_stores(folder: str, worker: str) -> None:
    """Have each profiler of this process keep what it records in a store, to the last pass.

    One that has a store goes on with that, which gets a name in the directory too. One that other
    threads than the calling one have recorded with, without a store, goes on as it is: what they
    record does not move into a file.

    :param folder: the directory of the stores.
    :param worker: what the engine calls this process.
    """
    with _LOCK:
        for gone in [each for each in _kept_in if not os.path.isdir(each)]:
            del _kept_in[gone]
        _kept_in[folder] = worker
        if _keep_stores_of not in ON_MADE:
            ON_MADE.append(_keep_stores_of)
        for profiler in profilers():
            _keep_store(profiler, folder, worker)


def _keep_stores_of(profiler: Profiler) -> None:
    """Have a new profiler keep what it records for all who ask for that."""
    for folder, worker in list(_kept_in.items()):
        _keep_store(profiler, folder, worker)


def _keep_store(profiler: Profiler, folder: str, worker: str) -> None:
    from urllib.parse import quote

    results = profiler.get_results()
    if not os.path.isdir(folder):
        return
    number, _, _ = str(results.metadata["recording"]).partition("-")
    directory = os.path.join(folder, _STORES, quote(worker, safe="") or "-", number)
    if profiler.store_file is None:
        profiler.keep_in(directory)
        if profiler.store_file is not None and not _has_all(profiler.store_file, results):
            _remove(profiler.store_file)
    if profiler.store_file is not None:
        _name_also(profiler.store_file, directory)


def _has_all(path: str, results: ProfilerResults) -> bool:
    """Return whether a new store's file has what was recorded before it was made."""
    from ..store.reader import load_kept

    if not results.was_entered:
        return True
    kept = load_kept(path)
    return (kept.total_hits, kept.total_open) == (results.total_hits, results.total_open)


def _name_also(path: str, directory: str) -> None:
    """Give a store's file a name in a directory, and one that outlives the run it was made in.

    A run's directory goes with the run, but a profiler has one file for as long as it lives.

    :param path: the name that it was made under, which may be gone.
    :param directory: the directory; where it is of another file system, there is no such name.
    """
    lasting = _lasting_directory()
    if lasting is None:
        return
    kept = os.path.join(lasting, os.path.basename(path))
    if _link(path, kept):
        if not _lasting:
            _forget_killed(lasting)
        _lasting.append((os.getpid(), kept))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    _link(kept if os.path.exists(kept) else path, os.path.join(directory, os.path.basename(path)))


def _link(path: str, other: str) -> bool:
    """Give a file another name, and return whether it has it only now."""
    try:
        os.link(path, other, follow_symlinks=False)
    except OSError:
        return False
    return True


def _lasting_directory() -> str | None:
    """Return this user's directory of the stores of processes that live, or None."""
    path = os.path.join(tempfile.gettempdir(), f"stichotrope-stores-{os.geteuid()}")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        about = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
        return None  # somebody else made it, or may have others' files be there
    return path


def _forget_names() -> None:
    """Remove the lasting names of this process's stores."""
    for pid, path in _lasting:
        if pid == os.getpid():
            _remove(path)
    _lasting.clear()


def _forget_killed(lasting: str) -> None:
    """Remove the lasting names of those that could not do it themselves; runs have theirs."""
    from ..store.file import SUFFIX as STORE_SUFFIX
    from ..store.reader import by_age

    for path in by_age(files_in(lasting, STORE_SUFFIX))[1]:
        _remove(path)


def _remove(path: str) -> None:
    try:  # noqa: SIM105
        os.unlink(path)
    except OSError:
        pass


def left_in_stores(folder: str) -> Snapshots:
    """Return what processes that are gone have left in their stores, for `Snapshots.add_left`.

    :param folder: the directory of the stores.
    """
    from urllib.parse import unquote

    from ..store.reader import paths_in

    left = Snapshots()
    for directory, folders, _ in os.walk(os.path.join(folder, _STORES)):
        if not folders:
            worker = unquote(os.path.basename(os.path.dirname(directory)))
            for path in paths_in(directory):
                _add_left(path, "" if worker == "-" else worker, left)
    return left


def _add_left(path: str, worker: str, left: Snapshots) -> None:
    from ..store.reader import KeptRecords

    try:
        with KeptRecords(path) as kept:
            if kept.lives:
                return
            results, timeline = kept.results(), kept.timeline()
    except (OSError, ResultsFormatError) as error:
        left.warn(f"the store of {worker or 'a process'} was left out: {error}")
        return
    # Which recording it is of its process, as results tell it: the number, and when it began.
    results.metadata["recording"] = f"{os.path.basename(os.path.dirname(path))}-0"
    results.metadata["worker"] = worker
    for process in results.processes:
        process.worker = worker
    if results.was_entered:
        left.add(results.to_bytes())
    _add_timeline(timeline, worker, left)


class Sender:
    """A thread that sends what this process has recorded, soon after it was.

    :param send: what is called with it, on that thread.
    :param worker: what the engine calls this process.
    :param is_asked: whether somebody waits for it, and it is to be sent at once.
    :param timelines: whether the newest passes are sent, too.
    """

    def __init__(
        self,
        send: Callable[[Snapshots], None],
        worker: str,
        is_asked: Callable[[], bool] = lambda: False,
        *,
        timelines: bool = True,
    ) -> None:
        self._send = send
        self._worker = worker
        self._is_asked = is_asked
        self._timelines = timelines
        self._state: object = None
        self._awake = threading.Event()
        self._stopping = False
        self._due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="stichotrope", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look whether there is anything to send, if it is due: a task has ended."""
        if time.monotonic() >= self._due_s:  # else it would take turns with each task in vain
            self._awake.set()

    def stop(self) -> None:
        """Send a last time, and end."""
        self._stopping = True
        self._awake.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(_PATIENCE_S)

    def abandon(self) -> None:
        """End without sending anything more."""
        self._send = lambda found: None
        self._stopping = True
        self._awake.set()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._awake.wait(_PERIOD_S)
            self._awake.clear()
            stopping = self._stopping  # once it is set, there is one more round
            if stopping or self._is_asked() or time.monotonic() >= self._due_s:
                try:  # noqa: SIM105
                    self._send_if_changed()
                except Exception:
                    pass  # a connection that was closed, say: it is tried again while there is one

    def _send_if_changed(self) -> None:
        began_s = time.thread_time()
        changed, state = has_changed_since(self._state)
        if changed or self._is_asked():
            self._send(recorded_here(self._worker, timelines=self._timelines))
            self._state = state
        self._due_s = time.monotonic() + _REST * (time.thread_time() - began_s)


class Keeper:
    """This process's file in a directory.

    :param folder: the directory; when it is gone, nothing more is written.
    :param worker: what the engine calls this process.
    """

    def __init__(self, folder: str, worker: str) -> None:
        self._folder = folder
        self._answered_ns = 0
        self._asked_ns = 0
        self.pid = os.getpid()
        self._path = os.path.join(folder, f"{self.pid}-{os.urandom(8).hex()}{SUFFIX}")
        # It has to be there, and say so, before the file is: whoever asks looks for that.
        with open(self._path + _ANSWERED, "wb"):
            pass
        os.utime(self._path + _ANSWERED, ns=(0, 0))
        before = recorded_here(worker)
        if len(before):
            write_bytes_whole(self._path + _BEFORE, before.to_bytes())
        self._write(before)
        self._sender = Sender(self._write, worker, self._is_asked)
        self._sender.start()

    def wake(self) -> None:
        """A task has ended: the file is written as soon as may be."""
        self._sender.wake()

    def stop(self) -> None:
        """Write a last time."""
        self._sender.stop()

    def _is_asked(self) -> bool:
        try:
            self._asked_ns = os.stat(os.path.join(self._folder, _ASKED)).st_mtime_ns
        except OSError:
            return False
        return self._asked_ns > self._answered_ns

    def _write(self, found: Snapshots) -> None:
        # Read after this was asked, so it has all that whoever asked has seen the end of.
        answer_ns = self._asked_ns
        try:
            write_bytes_whole(self._path, found.to_bytes())
            os.utime(self._path + _ANSWERED, ns=(answer_ns, answer_ns))
        except OSError:
            return  # the directory is gone, or full: the last file stays, and it is tried again
        self._answered_ns = answer_ns


def keep_file(folder: str, worker: str = "") -> Keeper | None:
    """Keep a file of this process in a directory, from now on; None where that is gone.

    :param folder: the directory.
    :param worker: what the engine calls this process.
    """
    with _LOCK:
        keeper = _keepers.get(folder)
        if keeper is None or keeper.pid != os.getpid():
            if not os.path.isdir(folder):
                return None
            keep_stores(folder, worker)
            _keepers[folder] = keeper = Keeper(folder, worker)
            _write_at_exit()
        return keeper


def _write_at_exit() -> None:
    """Have the last write done in children of `multiprocessing`, which leave by `os._exit`."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing import util

        util.Finalize(None, _stop_all, exitpriority=_LAST)


@atexit.register
def _stop_all() -> None:
    for keeper in list(_keepers.values()):
        if keeper.pid == os.getpid():
            keeper.stop()
    _forget_names()


def _after_fork_in_child() -> None:
    """Begin without files: they are the parent's."""
    _LOCK._at_fork_reinit()  # type: ignore[attr-defined]
    _keepers.clear()
    _lasting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# Who asks


def ask(folder: str, timeout_s: float) -> Snapshots:
    """Return what the processes have recorded since they began to keep files in a directory.

    A process that has ended has left what it had recorded; one that was killed, what it had when
    it last wrote. One that does not answer is named in the warnings.

    :param folder: the directory.
    :param timeout_s: how long to wait for answers, in seconds.
    """
    asked_ns = _touch(os.path.join(folder, _ASKED))
    deadline_s = time.monotonic() + timeout_s
    waiting = files_in(folder, SUFFIX)
    while waiting := [path for path in waiting if not _has_answered(path, asked_ns)]:
        if time.monotonic() >= deadline_s:
            break
        time.sleep(_PERIOD_S / 20)
    found, before = Snapshots(), Snapshots()
    for path in files_in(folder, SUFFIX):
        _read(path, found)
        if os.path.exists(path + _BEFORE):
            _read(path + _BEFORE, before)
    found.add_left(left_in_stores(folder))
    for path in waiting:
        found.warn(
            f"process {_pid(path)} did not answer within {timeout_s:g} s: "
            "what it has recorded since its last file is missing"
        )
    return found.since(before)


def _touch(path: str) -> int:
    """Set a file's time to one that nobody has answered yet, and return it."""
    with open(path, "a"):
        pass
    now_ns = max(time.time_ns(), os.stat(path).st_mtime_ns + 1_000_000)
    os.utime(path, ns=(now_ns, now_ns))
    return os.stat(path).st_mtime_ns


def _has_answered(path: str, asked_ns: int) -> bool:
    try:
        answered_ns = os.stat(path + _ANSWERED).st_mtime_ns
    except OSError:
        return True
    return answered_ns >= asked_ns or not _is_running(_pid(path))


def _pid(path: str) -> int:
    return int(os.path.basename(path).partition("-")[0])


def _is_running(pid: int) -> bool:
    if pid == os.getpid():
        return any(keeper.pid == pid for keeper in list(_keepers.values()))  # on its own thread
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        pass
    if os.path.isdir("/proc/self"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _read(path: str, into: Snapshots) -> None:
    try:
        into.add(read_whole(path))
    except (OSError, ResultsFormatError) as error:
        into.warn(f"process {_pid(path)} was left out: {error}")
