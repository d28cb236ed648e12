"""Slow passes: who wants to know of them is told, by a thread of its own, in the pass's context."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from contextvars import Context, copy_context
from math import isfinite
from queue import SimpleQueue

from .config import checks, clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NamedTuple

    from .snapshot.aggregate import Site

    class SlowPass(NamedTuple):
        """A pass that took as long as somebody wants to know of.

        :ivar profiler: the name of its profiler.
        :ivar track: the name of its track.
        :ivar block: the name of its block.
        :ivar file: the file of its call site.
        :ivar line: the line of its call site.
        :ivar start_ns: when it began, in ns since the epoch.
        :ivar duration_ns: how long it took; suspensions included.
        :ivar outcome: "returned", "failed" or "cancelled".
        :ivar thread_id: the interpreter's number for the thread on which it ended.
        """

        profiler: str
        track: str
        block: str
        file: str
        line: int
        start_ns: int
        duration_ns: int
        outcome: str
        thread_id: int

    Action = Callable[[SlowPass], object]
else:
    from collections import namedtuple

    SlowPass = namedtuple(
        "SlowPass", "profiler track block file line start_ns duration_ns outcome thread_id"
    )

_OUTCOMES = ("returned", "failed", "cancelled")
_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_LONGEST_NS = 10**18
_PATIENCE_S = 5.0  # at exit: what an action waits for must not keep the program
_MOST_WAITING = 1000  # passes; what comes while so many wait to be told of is counted only
_log = logging.getLogger("stichotrope")


def checked_duration(value: object, what: str) -> int:
    """Return a duration in ns: a number of seconds, or a text such as ``"250ms"``.

    :param value: what was given.
    :param what: what it is, for errors.
    :raises TypeError: when it is neither.
    :raises ValueError: when it is not more than 0, or of no unit.
    """
    if isinstance(value, str):
        seconds = _of_text(value, what)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f'{what} is a number of seconds, or a text such as "250ms", not {checks.shown(value)}'
        )
    else:
        seconds = value
    if not isfinite(seconds) or not 0 < seconds * 1e9 <= _LONGEST_NS:
        raise ValueError(f"{what} must be more than 0 s, and finite, not {value!r}")
    return max(round(seconds * 1e9), 1)


def _of_text(text: str, what: str) -> float:
    unit = next((unit for unit in ("ns", "us", "µs", "ms", "s") if text.endswith(unit)), None)
    try:
        if unit is None:
            raise ValueError
        return float(text.removesuffix(unit)) * _UNITS_NS[unit] / 1e9
    except ValueError:
        raise ValueError(
            f'{what} is a number with ns, us, ms or s behind it, such as "250ms", not {text!r}'
        ) from None


class Watch:
    """What `Profiler.on_slow` returns.

    :ivar told: of how many passes the action was told.
    :ivar missed: of how many it was not, because too many waited.
    """

    def __init__(self, pattern: str, over_ns: int, action: Action) -> None:
        self.pattern = pattern
        self.over_ns = over_ns
        self.action = action
        self.told = self.missed = 0
        self.is_over = False

    def fits(self, name: str) -> bool:
        """Return whether it is of blocks of a name."""
        from fnmatch import fnmatchcase

        return not self.is_over and (name == self.pattern or fnmatchcase(name, self.pattern))

    def stop(self) -> None:
        """Be told no more. A second time does nothing."""
        self.is_over = True

    def tell(self, slow: SlowPass) -> None:
        """Call the action; what it raises is logged."""
        try:
            self.action(slow)
            self.told += 1
        except Exception:
            _log.exception("what was to be told of a slow pass failed: %r", self.action)

    def __repr__(self) -> str:
        return f"<Watch for {self.pattern!r} over {self.over_ns / 1e9:g} s, told of {self.told}>"


_Waiting = tuple[Context, list[Watch], SlowPass]


class _Teller:
    """The thread that tells. It is started where somebody begins to watch, never in a pass."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Waiting | threading.Thread] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # of who starts and ends it; no pass takes it

    def start(self) -> None:
        """Start it, unless it runs."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, args=(self._queue,), name="stichotrope-slow", daemon=True
                )
                self._thread.start()

    def put(self, watches: list[Watch], slow: SlowPass) -> None:
        """Have it be told of, in the context that runs now. Takes no lock, and waits for nobody."""
        if self._queue.qsize() >= _MOST_WAITING:
            for watch in watches:
                watch.missed += 1
            return
        self._queue.put((copy_context(), watches, slow))

    @staticmethod
    def _run(queue: SimpleQueue[_Waiting | threading.Thread]) -> None:
        this = threading.current_thread()
        while (found := queue.get()) is not this:
            if isinstance(found, threading.Thread):  # another that is to end
                queue.put(found)
                continue
            context, watches, slow = found
            for watch in watches:
                context.run(watch.tell, slow)

    def finish(self) -> None:
        """Tell of all that waits, and end."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._queue.put(thread)
            thread.join(_PATIENCE_S)

    def go_on_in_child(self) -> None:
        """Begin with nothing, and with a thread of the child's own."""
        runs, self._thread = self._thread is not None, None
        self._queue, self._lock = SimpleQueue(), threading.RLock()
        if runs:
            self.start()


_teller = _Teller()
finish = _teller.finish
atexit.register(finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_teller.go_on_in_child)


def watch(pattern: str, over: object, action: Action) -> Watch:
    """Return a watch, checked, with what tells it running; see `Profiler.on_slow`."""
    pattern = checks.checked_text(pattern, "the name of the blocks")
    over_ns = checked_duration(over, "over")
    if not callable(action):
        raise TypeError(f"action is called with a SlowPass, and must be callable: {action!r}")
    _teller.start()
    return Watch(pattern, over_ns, action)


def wait_until_told() -> None:
    """Wait until who watches was told of all passes so far."""
    _teller.finish()
    _teller.start()


def ticks_of(over_ns: int) -> int:
    """Return a duration in ticks of the clock, at least one."""
    ns, ticks = clock.rate()
    return max(over_ns * ticks // ns, 1)


def tell(
    watches: Iterable[Watch], profiler: str, track: str, site: Site, ticks: int, how: int
) -> None:
    """Have those of some watches be told that are of so long a pass, which ends now."""
    now_ns = time.time_ns()
    ns, per_ticks = clock.rate()
    duration = ticks * ns // per_ticks
    wanted = [one for one in watches if one.fits(site.name) and duration >= one.over_ns]
    if wanted:
        slow = SlowPass(
            *(profiler, track, site.name, site.file, site.line),
            *(now_ns - duration, duration, _OUTCOMES[how], threading.get_ident()),
        )
        _teller.put(wanted, slow)
