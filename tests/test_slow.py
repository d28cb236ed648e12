"""Slow passes: who wants to know of them is told, outside the pass, in its context."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import ManualClock
from stichotrope import Profiler, _slow
from stichotrope._slow import SlowPass
from test_fork_exit import in_child

pytestmark = pytest.mark.unit

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST", default="none")


@pytest.fixture
def p(clock: ManualClock) -> Profiler:
    """A profiler under the injected clock."""
    return Profiler("slow")


@pytest.fixture(autouse=True)
def nobody_is_told_any_more() -> Iterator[None]:
    """The thread that tells ends with the test."""
    yield
    _slow.finish()


class Told:
    """What was told of, with the request of the context."""

    def __init__(self) -> None:
        self.passes: list[SlowPass] = []
        self.requests: list[str] = []

    def __call__(self, slow: SlowPass) -> None:
        self.passes.append(slow)
        self.requests.append(REQUEST.get())

    def found(self) -> list[tuple[str, int, str]]:
        """(block, ns, outcome) of each, when all were told."""
        _slow.wait_until_told()
        return [(one.block, one.duration_ns, one.outcome) for one in self.passes]


def test_passes_that_take_as_long_are_told_of(p: Profiler, clock: ManualClock) -> None:
    """Blocks and functions, there already or not; no shorter ones, and no others."""
    told = Told()
    kept = p.block(0, "kept")
    p.on_slow("kept", "100ns", told)
    p.on_slow("f*", 50e-9, told)

    @p.track(0)
    def fetch(ns: int) -> None:
        clock.advance(ns)

    for ns in (99, 100, 101):
        with kept:
            clock.advance(ns)
    for ns in (49, 50):
        fetch(ns)
    with p.block(0, "other"):
        clock.advance(1000)
    assert told.found() == [
        ("kept", 100, "returned"),
        ("kept", 101, "returned"),
        ("fetch", 50, "returned"),
    ]
    first = told.passes[0]
    assert (first.profiler, first.track, first.file) == ("slow", "Track 0", __file__)
    assert first.thread_id == threading.get_ident()
    assert p.get_results().total_hits == 6


def test_how_it_ended_is_told(p: Profiler, clock: ManualClock) -> None:
    """The exception reaches the program as it was."""
    told = Told()
    p.on_slow("*", 1e-9, told)

    @p.track(0)
    def fail() -> None:
        clock.advance(5)
        raise KeyError("mine")

    def leave() -> None:
        with p.block(0, "b"):
            clock.advance(6)
            raise asyncio.CancelledError

    with pytest.raises(KeyError, match="mine"):
        fail()
    with pytest.raises(asyncio.CancelledError):
        leave()
    assert told.found() == [("fail", 5, "failed"), ("b", 6, "cancelled")]


def test_what_suspends_is_told_of_when_it_ends(p: Profiler, clock: ManualClock) -> None:
    """With the time that it was suspended; also when it is dropped."""
    told = Told()
    p.on_slow("*", 1e-9, told)

    @p.track(0)
    def rows() -> Iterator[int]:
        clock.advance(1)
        yield 1
        clock.advance(1)

    @p.track(0)
    async def load() -> int:
        await asyncio.sleep(0)
        clock.advance(3)
        return 1

    for _ in rows():
        clock.advance(10)
    asyncio.run(load())
    running = rows()
    next(running)
    del running
    assert told.found() == [
        ("rows", 12, "returned"),
        ("load", 3, "returned"),
        ("rows", 1, "cancelled"),
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="code cannot be tracked")
def test_what_is_tracked_by_its_code_is_told_of(p: Profiler, clock: ManualClock) -> None:
    """Calls, generators and coroutines."""
    told = Told()
    p.on_slow("*", 1e-9, told)

    @p.track_class(0)
    class Shop:
        def price(self) -> None:
            clock.advance(2)

        def rows(self) -> Iterator[int]:
            clock.advance(1)
            yield 1

    Shop().price()
    list(Shop().rows())
    assert [(name.rpartition(".")[2], ns) for name, ns, _ in told.found()] == [
        ("price", 2),
        ("rows", 1),
    ]


def test_the_context_is_that_of_the_pass(p: Profiler, clock: ManualClock) -> None:
    """Of each task its own."""
    told = Told()
    p.on_slow("*", 1e-9, told)

    async def handle(name: str) -> None:
        REQUEST.set(name)
        with p.block(0, "request"):
            clock.advance(1)
            await asyncio.sleep(0)
            clock.advance(1)

    async def main() -> None:
        await asyncio.gather(handle("a"), handle("b"))

    asyncio.run(main())
    told.found()
    assert sorted(told.requests) == ["a", "b"]
    assert REQUEST.get() == "none"


def test_a_watch_that_is_stopped_is_told_of_nothing(p: Profiler, clock: ManualClock) -> None:
    """The others go on."""
    told, other = Told(), Told()
    watch = p.on_slow("b", 1e-9, told)
    p.on_slow("b", 1e-9, other)
    with p.block(0, "b") as b:
        clock.advance(1)
    watch.stop()
    watch.stop()
    with b:
        clock.advance(1)
    assert (len(told.found()), len(other.found()), watch.told) == (1, 2, 1)


def test_what_is_off_or_cleared_is_not_told_of(p: Profiler, clock: ManualClock) -> None:
    """It is no pass."""
    told = Told()
    p.on_slow("*", 1e-9, told)
    with p.block(0, "b") as b:
        clock.advance(1)
        p.clear()
    p.stop()
    with b:
        clock.advance(1)
    assert told.found() == []


def test_an_action_that_fails_is_logged_and_others_are_told(
    p: Profiler, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The program does not see it."""
    told = Told()

    def fail(slow: SlowPass) -> None:
        raise ZeroDivisionError("mine")

    with caplog.at_level(logging.ERROR, "stichotrope"):
        p.on_slow("b", 1e-9, fail)
        p.on_slow("b", 1e-9, told)
        with p.block(0, "b"):
            clock.advance(1)
        assert len(told.found()) == 1
    assert "what was to be told of a slow pass failed" in caplog.text


def test_an_action_that_hangs_holds_nobody_up(
    p: Profiler, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes while too many wait is counted as missed."""
    monkeypatch.setattr(_slow, "_MOST_WAITING", 3)
    go_on, begun = threading.Event(), threading.Event()

    def hang(slow: SlowPass) -> None:
        begun.set()
        go_on.wait()

    watch = p.on_slow("b", 1e-9, hang)
    with p.block(0, "b") as b:
        clock.advance(1)
    begun.wait()
    for _ in range(5):
        with b:
            clock.advance(1)
    go_on.set()
    _slow.wait_until_told()
    assert (watch.told, watch.missed) == (4, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((5, 1, print), TypeError, "the name of the blocks must be a str"),
        (("", 1, print), ValueError, "must not be empty"),
        (
            ("b", "1h", print),
            ValueError,
            "over is a number with ns, us, ms or s behind it, such as",
        ),
        (("b", "ms", print), ValueError, "not 'ms'"),
        (("b", 0, print), ValueError, "over must be more than 0 s, and finite, not 0"),
        (("b", float("nan"), print), ValueError, "not nan"),
        (("b", True, print), TypeError, "over is a number of seconds, or a text"),
        (("b", 1, 5), TypeError, "action is called with a SlowPass"),
    ],
)
def test_what_makes_no_sense_is_refused(
    p: Profiler, arguments: Any, error: type[Exception], sentence: str
) -> None:
    """With what is expected."""
    with pytest.raises(error, match=sentence):
        p.on_slow(*arguments)


@pytest.mark.parametrize(
    ("given", "ns"),
    [("250ms", 250_000_000), ("1.5 s", 1_500_000_000), ("7us", 7000), (2, 2 * 10**9)],
)
def test_durations_have_units(given: Any, ns: int) -> None:
    """Or are seconds."""
    assert _slow.checked_duration(given, "over") == ns


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_tells_of_its_own(p: Profiler, clock: ManualClock) -> None:
    """By a thread of its own."""
    told = Told()
    p.on_slow("b", 1e-9, told)

    def child() -> Any:
        clock.set(0)
        with p.block(0, "b"):
            clock.advance(7)
        return told.found()

    assert in_child(child) == [["b", 7, "returned"]]
    assert told.found() == []


def test_functions_that_are_tracked_later_by_a_pattern_are_told_of(
    p: Profiler, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their code or not."""
    told = Told()
    module = types.ModuleType("slow_shop")
    vars(module)["clock"] = clock
    exec("def fetch(ns):\n    clock.advance(ns)", vars(module))
    monkeypatch.setitem(sys.modules, "slow_shop", module)
    p.on_slow("f*", 50e-9, told)
    assert p.track_code("slow_shop") == ["fetch"]
    module.fetch(49), module.fetch(50)
    assert told.found() == [("fetch", 50, "returned")]
