"""What is open now: on this thread, on others, in tasks, in what is suspended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from conftest import WATCHDOG_SECONDS, ManualClock, Threads
from stichotrope import Profiler, set_global_enabled

pytestmark = pytest.mark.unit


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("open")


def shown(p: Profiler) -> list[tuple[str, int, int, bool]]:
    """(name, for how long, how deep, whether it is suspended) of each."""
    return [(b.name, b.open_ns, b.depth, b.suspended) for b in p.open_blocks()]


def test_nothing_is_open(p: Profiler) -> None:
    """A profiler that never recorded, and one between two passes, have nothing open."""
    assert p.open_blocks() == []
    with p.block(0, "x"):
        pass
    assert p.open_blocks() == []


def test_open_blocks_are_listed_from_the_outermost(p: Profiler, clock: ManualClock) -> None:
    """Each with the time since it was entered, its call site, its track and its thread."""

    @p.track("io", "call")
    def call() -> None:
        clock.advance(5)
        with p.block(3, "block"):
            clock.advance(2)
            assert shown(p) == [("call", 7, 0, False), ("block", 2, 1, False)]
            outer, inner = p.open_blocks()
            assert (outer.track_idx, outer.track_name) == (0, "io")
            assert (inner.track_idx, inner.track_name) == (3, "Track 3")
            assert inner.file == outer.file == __file__
            assert inner.line == outer.line + 3
            assert inner.thread_id == threading.get_ident()
            assert inner.thread_name == threading.current_thread().name
            assert str(inner).startswith(f"{inner.thread_name}:   block open for 2 ns (Track 3, ")
            assert outer == p.open_blocks()[0] != inner

    call()
    assert p.open_blocks() == []


def test_other_threads_are_seen_while_they_wait(p: Profiler, threads: Threads) -> None:
    """Who hangs is seen from outside, with name and key as in results."""
    ready, release = threading.Barrier(4), threading.Event()
    waiting = p.block(0, "waiting")

    def work(depth: int) -> None:
        with waiting:
            if depth > 1:
                work(depth - 1)
            else:
                ready.wait(WATCHDOG_SECONDS)
                release.wait(WATCHDOG_SECONDS)

    join = threads.spawn(*(lambda d=d: work(d) for d in (1, 2, 3)))
    ready.wait(WATCHDOG_SECONDS)
    found = p.open_blocks()
    release.set()
    join()
    assert sorted((b.thread_name, b.depth) for b in found) == [
        ("worker 0", 0),
        *[("worker 1", 0), ("worker 1", 1)],
        *[("worker 2", 0), ("worker 2", 1), ("worker 2", 2)],
    ]
    assert {b.thread_key for b in found} == {t.key for t in p.get_results().threads}
    assert p.open_blocks() == []


def test_recursion_is_listed_pass_by_pass(p: Profiler, clock: ManualClock) -> None:
    """Each open pass is one line, though they share a node."""

    @p.track(0)
    def down(n: int) -> None:
        clock.advance(1)
        if n:
            down(n - 1)
        else:
            assert shown(p) == [("down", 4 - i, i, False) for i in range(4)]

    down(3)


def test_tasks_that_wait_are_listed_as_suspended(p: Profiler, clock: ManualClock) -> None:
    """Tracked coroutines from their first resume on, and blocks in them; plain ones likewise."""

    @p.track(0)
    async def tracked(gate: asyncio.Event) -> None:
        clock.advance(10)
        with p.block(0, "inside"):
            await gate.wait()

    async def plain(gate: asyncio.Event) -> None:
        with p.block(0, "plain"):
            await gate.wait()

    async def main() -> list[tuple[str, int, int, bool]]:
        gate = asyncio.Event()
        tasks = [asyncio.ensure_future(tracked(gate)), asyncio.ensure_future(plain(gate))]
        await asyncio.sleep(0)
        clock.advance(100)
        with p.block(0, "main"):
            found = shown(p)
        gate.set()
        await asyncio.gather(*tasks)
        return found

    found = asyncio.run(main())
    one, other = [("tracked", 110, 0, True), ("inside", 100, 1, True)], [("plain", 100, 0, True)]
    assert found[0] == ("main", 0, 0, False)
    assert found[1:] in (one + other, other + one)
    assert p.open_blocks() == []


def test_a_coroutine_that_runs_has_been_open_since_its_first_resume(
    p: Profiler, clock: ManualClock
) -> None:
    """Not since the resume that runs now."""
    found = []

    @p.track(0)
    def numbers() -> Iterator[int]:
        clock.advance(1)
        yield 1
        found.extend(shown(p))

    for _ in numbers():
        clock.advance(10)
    assert found == [("numbers", 11, 0, False)]


def test_generators_are_listed_until_they_end(p: Profiler, clock: ManualClock) -> None:
    """A suspended one belongs to no thread; one that was never resumed is not open."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        with p.block(0, "inside"):
            yield 1

    made = numbers()
    assert p.open_blocks() == []
    next(made)
    clock.advance(3)
    found = p.open_blocks()
    assert [(b.name, b.open_ns, b.thread_key, b.thread_name) for b in found] == [
        ("numbers", 3, 0, ""),
        ("inside", 3, 0, ""),
    ]
    assert str(found[0]).startswith("no thread: numbers open for 3 ns, suspended (")
    made.close()
    assert p.open_blocks() == []


def test_what_another_thread_has_taken_over_is_listed_once(p: Profiler, threads: Threads) -> None:
    """Before the thread that it was begun on does anything again, and not at all once it has ended."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        with p.block(0, "inside"):
            yield 1
            yield 2

    made = numbers()
    next(made)
    threads.one_by_one(lambda: next(made))
    assert [block.name for block in p.open_blocks()] == ["numbers", "inside"]
    threads.one_by_one(lambda: next(made, None))
    assert p.open_blocks() == []


def test_what_will_not_be_recorded_is_not_listed(p: Profiler) -> None:
    """Neither what was open across a clear, nor what began while its track was off."""
    with p.block(0, "dropped"):
        p.clear()
        assert p.open_blocks() == []
        p.stop()
        with p.block(0, "off"):
            assert p.open_blocks() == []
        p.start()
        with p.block(0, "on"):
            assert [b.name for b in p.open_blocks()] == ["on"]
            set_global_enabled(False)
            assert [b.name for b in p.open_blocks()] == ["on"]
            set_global_enabled(True)


def test_each_profiler_lists_its_own(p: Profiler) -> None:
    """Two profilers on one thread do not see each other's."""
    other = Profiler("other")
    with p.block(0, "a"), other.block(0, "b"):
        assert [b.name for b in p.open_blocks()] == ["a"]
        assert [b.name for b in other.open_blocks()] == ["b"]


@pytest.mark.parametrize("readers", [1, 3])
def test_listing_while_others_record(
    p: Profiler, threads: Threads, switching: None, readers: int
) -> None:
    """What is listed of a thread is always a chain that it really had open, outermost first."""
    names = ["a", "b", "c"]
    blocks = [p.block(0, name) for name in names]
    stop = threading.Event()

    def record() -> None:
        while not stop.is_set():
            with blocks[0], blocks[1], blocks[2]:
                pass

    def read() -> None:
        try:
            for _ in range(50):
                by_thread: dict[int, list[str]] = {}
                for block in p.open_blocks():
                    by_thread.setdefault(block.thread_key, []).append(block.name)
                assert all(chain == names[: len(chain)] for chain in by_thread.values())
        finally:
            stop.set()

    threads.together(record, record, *[read] * readers)


@pytest.mark.usefixtures("switching")
def test_listing_disturbs_nobody(p: Profiler, threads: Threads) -> None:
    """Whoever is making something of their own meanwhile is not found out by it."""
    stop = threading.Event()

    def make() -> None:
        while not stop.is_set():
            assert tuple(i for i in range(300)) == tuple(range(300))

    def read() -> None:
        try:
            for _ in range(300):
                p.open_blocks()
        finally:
            stop.set()

    threads.together(make, make, read)
