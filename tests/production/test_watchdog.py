"""The watchdog of the scenarios: who hangs, fails or leaves something behind is reported."""

from __future__ import annotations

import ctypes
import faulthandler
import re
import sys
import threading
from typing import Any

import pytest

from conftest import WATCHDOG_SECONDS, Threads, hits
from production.conftest import Player
from stichotrope import Profiler

pytestmark = [pytest.mark.concurrent, pytest.mark.integration]

kept: list[Profiler] = []


def embrace() -> Any:
    """Two threads wait for each other's lock."""
    locks = [threading.Lock(), threading.Lock()]
    both = threading.Barrier(2)

    def take_left_first() -> None:
        with locks[0]:
            both.wait(WATCHDOG_SECONDS)
            locks[1].acquire()

    def take_right_first() -> None:
        with locks[1]:
            both.wait(WATCHDOG_SECONDS)
            locks[0].acquire()

    Threads().together(take_left_first, take_right_first)


def test_a_scenario_that_hangs_is_ended_and_shows_all_stacks(once: Player) -> None:
    """Two threads in a deadly embrace, and the one that waits for them."""
    with pytest.raises(pytest.fail.Exception) as failed:
        once(embrace, limit=3.0)
    said = str(failed.value)
    assert said.startswith("exit status 1\nTimeout (0:00:03)!\n")
    assert said.count("Thread 0x") == 3
    for place in ("take_left_first", "take_right_first", "join_in_time", "embrace"):
        assert re.search(rf"line \d+ in (\S+\.)?{place}\n", said), said


def hold_the_interpreter() -> Any:
    """Wait in C code without letting any other thread run."""
    ctypes.PyDLL(None).sleep(600)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a C library function by name")
def test_a_scenario_that_hangs_while_no_other_thread_can_run_is_ended_too(once: Player) -> None:
    """The watchdog needs nothing of the interpreter."""
    with pytest.raises(pytest.fail.Exception, match=r"Timeout(.|\n)*in hold_the_interpreter\n"):
        once(hold_the_interpreter, limit=3.0)


def hang_without_watchdog() -> Any:
    """Switch the watchdog off, and wait for ever."""
    faulthandler.cancel_dump_traceback_later()
    threading.Event().wait()


def test_a_process_that_does_not_end_itself_is_killed(
    once: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the test that started it."""
    monkeypatch.setattr("conftest.WATCHDOG_SECONDS", 2.0)
    with pytest.raises(pytest.fail.Exception, match="had to be killed"):
        once(hang_without_watchdog)


def fail() -> Any:
    """Fail in a thread."""
    Threads().together(lambda: None, lambda: int("no number"))


def test_a_scenario_that_fails_shows_why(once: Player) -> None:
    """What went wrong in a thread is what the test says."""
    with pytest.raises(pytest.fail.Exception, match=r"exit status 1\n(.|\n)*ValueError.*no number"):
        once(fail)


def fail_unseen() -> Any:
    """Raise where nobody catches: in a finalizer."""

    class Garbage:
        def __del__(self) -> None:
            raise KeyError("of a finalizer")

    Garbage()
    return {}


def test_an_error_that_nobody_catches_fails_the_scenario(once: Player) -> None:
    """Nothing may be written to the standard error."""
    with pytest.raises(pytest.fail.Exception, match=r"exit status 0\n(.|\n)*of a finalizer"):
        once(fail_unseen)


def keep() -> Any:
    """Leave a profiler behind, which has recorded."""
    kept.append(Profiler("kept"))
    with kept[-1].block(0, "x"):
        pass
    return hits(kept[-1])


def test_a_scenario_that_leaves_a_profiler_behind_fails(once: Player) -> None:
    """With what there is of it."""
    with pytest.raises(AssertionError, match="'stores': 1"):
        once(keep)
