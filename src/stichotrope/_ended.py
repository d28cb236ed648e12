"""A process that is about to end before its time: what is still done before it does."""

from __future__ import annotations

import os
import signal
from functools import update_wrapper
from operator import index

from . import _core

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_EXIT = os._exit
# Those that ask a process to end, and do so at once unless it has something else to do.
_NAMES = ("SIGTERM", "SIGHUP")


class Ending:
    """What is done when a signal or `os._exit` is about to end this process; then they end it.

    Of signals only where neither the program nor who started it has said what the signal is to do.
    The interpreter calls it between two steps of the main thread; where code of C does not let it
    come to that, the signal ends the process some seconds later.

    :param action: what is done; in a forked child nothing, until `do` says otherwise.
    """

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._pid = os.getpid()
        self._is_last = False  # whether what is done is being done, or another way
        self._came: int | None = None

    def watch(self) -> None:
        """Be called from now on; to be said in the main thread."""

        def _exit(status: int) -> NoReturn:
            try:
                if _is_status(status) and not self._is_last and self._is_here():
                    self.last(self._action)
            finally:
                _EXIT(status)

        os._exit = update_wrapper(_exit, _EXIT)
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._ends)
                _core.end_in_time(number)

    def do(self, action: Callable[[], object]) -> None:
        """Do something else in this process.

        :param action: what is done.
        """
        self._action = action
        self._pid = os.getpid()
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == self._ends:
                _core.end_in_time(number)

    def last(self, action: Callable[[], object]) -> None:
        """Do something as the last thing of the process: a signal that comes meanwhile waits.

        :param action: what is done.
        """
        self._is_last = True
        try:
            action()
        finally:
            if self._came is not None:
                _end_by(self._came)

    def _is_here(self) -> bool:
        return os.getpid() == self._pid

    def _ends(self, number: int, frame: object) -> None:
        _core.end_has_begun()
        if self._is_last:
            # One that comes again is in earnest.
            signal.signal(number, signal.SIG_DFL)
            self._came = number
            return
        try:
            if self._is_here():
                self.last(self._action)
        finally:
            _end_by(number)


def _is_status(status: object) -> bool:
    """Return whether `os._exit` takes it, and does not raise."""
    try:
        return -(1 << 31) <= index(status) < 1 << 31  # type: ignore[arg-type]
    except TypeError:
        return False


def _end_by(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
