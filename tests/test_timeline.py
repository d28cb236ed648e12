"""The timeline: the newest passes one by one, in lanes, exact by the manual clock."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock, Threads, run_program
from moments import program
from moments.drawing import find
from stichotrope import Profiler, ProfilerResults, config
from stichotrope.results.timeline import (
    CANCELLED,
    CROSSING,
    FAILED,
    GENERATORS,
    RETURNED,
    TASKS,
    THREAD,
    Timeline,
)
from stichotrope.store.timeline import load_timeline
from test_moments import FAMILIES

pytestmark = pytest.mark.unit

SIZE = 128


@pytest.fixture
def p() -> Profiler:
    """A profiler that keeps a timeline."""
    return Profiler("timeline", timeline=SIZE)


def shown(timeline: Timeline) -> list[tuple[str, int, int, int]]:
    """(name, start, duration, depth) of each pass, in order."""
    return [
        (each.block.name, each.start_ns - timeline.start_ns, each.duration_ns, each.depth)
        for each in timeline
    ]


def kinds(timeline: Timeline) -> dict[str, set[tuple[str, int]]]:
    """Name → the kinds and numbers of the lanes that the block's passes are in."""
    found: dict[str, set[tuple[str, int]]] = {}
    for each in timeline:
        found.setdefault(each.block.name, set()).add((each.lane.kind, each.lane.number))
    return found


def check_lanes(timeline: Timeline) -> None:
    """In a lane each pass lies within the one below it, or beside it, and depths say so."""
    opened: dict[int, list[tuple[int, int]]] = {}
    before = -1
    for i, (start, lasted) in enumerate(zip(timeline.starts, timeline.durations, strict=True)):
        assert start >= before
        before = start
        stack = opened.setdefault(timeline.lanes[i], [])
        while stack and stack[-1][1] <= start:
            stack.pop()
        assert timeline.depths[i] == len(stack)
        if stack:
            assert stack[-1][0] <= start
            assert start + lasted <= stack[-1][1]
        stack.append((start, start + lasted))
        lane = timeline.lane_list[timeline.lanes[i]]
        assert lane.thread == timeline.threads[i]


def sums(timeline: Timeline) -> dict[str, tuple[int, int]]:
    """Name → (passes, their durations added up)."""
    found: dict[str, tuple[int, int]] = {}
    for each in timeline:
        hits, total = found.get(each.block.name, (0, 0))
        found[each.block.name] = hits + 1, total + each.duration_ns
    return found


def figures(p: Profiler) -> dict[str, tuple[int, int]]:
    """The same, as results have it."""
    blocks = [block for track in p.get_results().tracks.values() for block in track.blocks]
    return {b.name: (b.hit_count, b.sum_time_ns) for b in blocks if b.hit_count}


# What is in it


def test_each_pass_has_its_moment(p: Profiler, clock: ManualClock) -> None:
    """Calls and blocks, outermost first, with how deep they lie and where they stand."""
    start = clock.now

    @p.track("io", "call")
    def call() -> None:
        clock.advance(3)

    with p.block("web", "request"):
        clock.advance(1)
        call()
        clock.advance(10)
        call()
    timeline = p.timeline()
    assert shown(timeline) == [
        ("request", start, 17, 0),
        ("call", start + 1, 3, 1),
        ("call", start + 14, 3, 1),
    ]
    request, call_pass, _ = timeline
    assert (request.block.track_name, call_pass.block.track_name) == ("web", "io")
    assert request.block.file == __file__
    assert request.thread.name == threading.current_thread().name
    assert request.thread.alive
    assert request.lane.kind == THREAD
    assert request.tag is None
    assert repr(timeline) == "<Timeline of 'timeline': 3 passes over 0.000 s>"
    assert timeline.duration_ns == 17
    assert timeline[1] == call_pass


def test_the_newest_passes_stay(p: Profiler, clock: ManualClock) -> None:
    """Once the ring is full, each pass takes the place of the oldest; how many is said."""

    @p.track(0)
    def f() -> None:
        clock.advance(1)

    for _ in range(1000):
        f()
    timeline = p.timeline()
    # Who reads cannot tell whether the oldest one is being written over.
    assert len(timeline) == SIZE - 1
    assert shown(timeline)[-1][1] == clock.now - 1
    assert list(timeline.starts) == list(range(clock.now - SIZE + 1, clock.now))
    (thread,) = timeline.thread_list
    assert (thread.passes, thread.lost) == (SIZE - 1, 1000 - SIZE + 1)


@pytest.mark.parametrize("size", [128, 129, 1000, 5000])
def test_a_ring_grows_to_the_next_power_of_two(size: int, clock: ManualClock) -> None:
    """And holds everything until then."""
    p = Profiler("grows", timeline=size)
    room = 1 << (size - 1).bit_length()
    assert p.timeline_size == room

    @p.track(0)
    def f() -> None:
        clock.advance(1)

    for count in range(1, 3 * room):
        f()
        if count in (1, 127, 128, 129, 256, 257, room - 1, room, 3 * room - 1):
            kept = min(count, room - 1)
            assert len(p.timeline()) == kept
            assert p.timeline().starts[0] == clock.now - kept


def test_how_a_pass_ended(p: Profiler) -> None:
    """By return, by an exception, or cancelled."""
    with p.block(0, "fine"):
        pass
    with pytest.raises(KeyError), p.block(0, "bad"):
        raise KeyError
    with pytest.raises(asyncio.CancelledError), p.block(0, "off"):
        raise asyncio.CancelledError
    outcomes = {each.block.name: each.outcome for each in p.timeline()}
    assert outcomes == {"fine": RETURNED, "bad": FAILED, "off": CANCELLED}


def test_what_is_open_is_not_in_it(p: Profiler) -> None:
    """A pass goes in when it ends."""
    with p.block(0, "open"):
        assert len(p.timeline()) == 0
        assert p.timeline().duration_ns == 0
        assert repr(p.timeline()) == "<Timeline of 'timeline': 0 passes>"
    assert len(p.timeline()) == 1


def test_a_clock_that_goes_backwards_leaves_no_time(p: Profiler, clock: ManualClock) -> None:
    """Such a pass takes none, as in the figures."""
    clock.set(1000)
    with p.block(0, "x"):
        clock.set(900)
    assert shown(p.timeline()) == [("x", 1000, 0, 0)]


def test_clear_empties_it(p: Profiler, clock: ManualClock) -> None:
    """On this thread and on others, and what was open then is dropped."""
    with p.block(0, "before"):
        pass
    with p.block(0, "across"):
        p.clear()
    assert len(p.timeline()) == 0
    with p.block(0, "after"):
        clock.advance(2)
    timeline = p.timeline()
    assert [each.block.name for each in timeline] == ["after"]
    assert timeline.thread_list[0].lost == 0


def test_it_can_be_kept_from_later_on(clock: ManualClock, threads: Threads) -> None:
    """All threads notice, those too that have recorded before."""
    p = Profiler("later")
    ready, go, done = threading.Event(), threading.Event(), threading.Event()

    @p.track(0)
    def f() -> None:
        clock.advance(1)

    def work() -> None:
        f()
        ready.set()
        go.wait()
        f()
        done.set()

    f()
    join = threads.spawn(work)
    ready.wait()
    assert p.timeline_size == 0
    p.keep_timeline(200)
    assert p.timeline_size == 256
    go.set()
    done.wait()
    f()
    assert sorted(thread.passes for thread in p.timeline().thread_list) == [1, 1]
    join()
    assert hits_in_all(p) == 2


def hits_in_all(p: Profiler) -> int:
    return len(p.timeline())


# Threads


def test_threads_that_ended_stay(p: Profiler, clock: ManualClock, threads: Threads) -> None:
    """With their names; they are said not to be alive."""

    @p.track(0)
    def f() -> None:
        clock.advance(1)

    threads.one_by_one(f, f, f)
    f()
    timeline = p.timeline()
    assert [thread.alive for thread in timeline.thread_list].count(False) == 3
    assert len({thread.key for thread in timeline.thread_list}) == 4
    assert len(timeline) == 4
    check_lanes(timeline)


def test_of_many_threads_that_ended_the_newest_stay(
    p: Profiler, threads: Threads, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """As many passes of all of them together as one ring has room for."""

    @p.track(0)
    def f() -> None:
        pass

    def work() -> None:
        for _ in range(50):
            f()

    for _ in range(10):
        threads.one_by_one(work)
        p.get_results()
    eventually(lambda: len(p.timeline().thread_list) == 2)
    timeline = p.timeline()
    assert [thread.passes for thread in timeline.thread_list] == [50, 50]
    keys = sorted(thread.key for thread in p.get_results().threads)
    assert [thread.key for thread in timeline.thread_list] == keys[-2:]


def test_a_fork_begins_empty(p: Profiler) -> None:
    """The child has what it does itself, and the parent keeps its own."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    with p.block(0, "parent"):
        pass
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            before = len(p.timeline())
            with p.block(0, "child"):
                pass
            code = 0 if (before, [e.block.name for e in p.timeline()]) == (0, ["child"]) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [each.block.name for each in p.timeline()] == ["parent"]


# Lanes


def test_tasks_lie_side_by_side(p: Profiler, clock: ManualClock) -> None:
    """Each in one lane, what it awaits within it, and a lane is used again."""

    async def task(name: str, gate: asyncio.Event, then: asyncio.Event) -> None:
        with p.block("task", name):
            clock.advance(1)
            with p.block("task", name + " waits"):
                await gate.wait()
            then.set()
            clock.advance(1)

    async def main() -> None:
        gates = [asyncio.Event() for _ in range(4)]
        first = asyncio.create_task(task("a", gates[0], gates[1]))
        second = asyncio.create_task(task("b", gates[1], gates[2]))
        await asyncio.sleep(0)
        gates[0].set()
        await asyncio.gather(first, second)
        await asyncio.create_task(task("c", gates[2], gates[3]))

    with p.block(0, "main"):
        asyncio.run(main())
    timeline = p.timeline()
    check_lanes(timeline)
    lanes = kinds(timeline)
    assert lanes["main"] == {(THREAD, 1)}
    assert lanes["a"] == lanes["a waits"] == {(TASKS, 1)}
    assert lanes["b"] == lanes["b waits"] == {(TASKS, 2)}
    assert lanes["c"] == lanes["c waits"]
    assert lanes["c"] <= {(TASKS, 1), (TASKS, 2)}
    assert sums(timeline) == figures(p)


@pytest.mark.parametrize("seed", range(8))
def test_each_task_is_a_strand_of_its_own(clock: ManualClock, seed: int) -> None:
    """However they take turns: what one ran is of one strand, in lanes in which nothing of another lies on it."""
    p = Profiler("turns", timeline=1 << 12)
    draw = random.Random(seed)

    async def task(name: str, depth: int) -> None:
        for _ in range(draw.randrange(1, 4)):
            with p.block("task", name, tag=name):
                clock.advance(draw.randrange(3))
                await asyncio.sleep(0)
                if depth and draw.random() < 0.5:
                    await task(name, depth - 1)
                clock.advance(draw.randrange(3))
            if draw.random() < 0.5:
                await asyncio.sleep(0)

    async def main() -> None:
        waiting = [f"task {number}" for number in range(12)]
        while waiting:
            some, waiting = waiting[:4], waiting[4:]
            await asyncio.gather(*[asyncio.create_task(task(name, 3)) for name in some])

    with p.block(0, "main"):
        asyncio.run(main())
    timeline = p.timeline()
    check_lanes(timeline)
    strands: dict[object, set[int]] = {}
    for each, strand in zip(timeline, timeline.strands, strict=True):
        strands.setdefault(each.tag, set()).add(strand)
    assert [len(found) for found in strands.values()] == [1] * 13
    assert len(set().union(*strands.values())) == 13
    under: dict[int, list[int]] = {}
    for i, depth in enumerate(timeline.depths):
        stack = under.setdefault(timeline.lanes[i], [])
        del stack[depth:]
        assert not stack or timeline.strands[stack[-1]] == timeline.strands[i]
        stack.append(i)
    assert sums(timeline) == figures(p)


def test_generators_go_on_between_other_passes(p: Profiler, clock: ManualClock) -> None:
    """What a generator has open is in a lane of its own, tracked or not."""

    def plain() -> Iterator[int]:
        with p.block(1, "in generator"):
            clock.advance(1)
            yield 1
            clock.advance(1)
            yield 2

    @p.track(1)
    def tracked() -> Iterator[int]:
        clock.advance(1)
        yield 1
        clock.advance(1)
        yield 2

    one, other = plain(), tracked()
    for name in ("first", "second", "third"):
        with p.block(0, name):
            next(one, None)
            next(other, None)
    timeline = p.timeline()
    check_lanes(timeline)
    lanes = kinds(timeline)
    assert {kind for kind, _ in lanes["in generator"] | lanes["tracked"]} == {GENERATORS}
    assert lanes["first"] == lanes["second"] == lanes["third"] == {(THREAD, 1)}
    assert sums(timeline) == figures(p)


def test_passes_that_cross_get_lanes_of_their_own(p: Profiler, clock: ManualClock) -> None:
    """Those that end in the middle of one that began before them in the same strand."""
    one, other = p.block(0, "one"), p.block(0, "other")
    one.__enter__()
    clock.advance(1)
    other.__enter__()
    clock.advance(1)
    one.__exit__(None, None, None)
    clock.advance(1)
    other.__exit__(None, None, None)
    timeline = p.timeline()
    check_lanes(timeline)
    assert kinds(timeline) == {"one": {(THREAD, 1)}, "other": {(CROSSING, 1)}}


def test_what_an_exit_stack_holds_lies_one_in_another(p: Profiler, clock: ManualClock) -> None:
    """As it was entered."""
    with ExitStack() as stack:
        for name in "abc":
            stack.enter_context(p.block(0, name))
            clock.advance(1)
    timeline = p.timeline()
    assert [name for name, *_ in shown(timeline)] == ["a", "b", "c"]
    assert list(timeline.depths) == [0, 1, 2]


# As defined


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.extended)])
@pytest.mark.parametrize("family", FAMILIES)
def test_events_add_up_to_the_figures(
    family: str,
    count: int,
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After random programs that are told in `moments`, wherever they are read: each pass that counts is there once, with
    its thread, moment, length and end, so that they add up to hits and sums; in the file of a store, too."""
    has_store = sys.platform != "win32"

    def kept(*arguments: Any, **options: Any) -> Profiler:
        store = tmp_path if has_store and number % 2 else None
        return Profiler(*arguments, timeline=1 << 14, store=store, **options)

    def compare_all(self: program.Program, results: ProfilerResults) -> None:
        compared(self, results)
        check_events(self, self.profiler.timeline())
        if self.profiler._store_path is not None:
            check_events(self, load_timeline(self.profiler._store_path))

    compared = program.Program._compare_all
    monkeypatch.setattr(program, "Profiler", kept)
    monkeypatch.setattr(program.Program, "_compare_all", compare_all)
    for number in range(count):
        found = find(FAMILIES[family], f"timeline {number}")
        assert not found, f"{family} {number}:\n{found}"


OUTCOMES = {"": RETURNED, "error": FAILED, "cancelled": CANCELLED}


def check_events(played: program.Program, timeline: Timeline) -> None:
    """The events of a timeline are the passes of a model that have ended."""
    check_lanes(timeline)
    got = Counter(
        (each.thread.name, each.block.name, each.start_ns - timeline.start_ns, each.duration_ns, each.outcome)
        for each in timeline
    )  # fmt: skip
    expected = Counter(
        (p.ended_on.name, p.site.name, p.start, p.duration, OUTCOMES[p.left_by])
        for p in played.model.passes
        if p.counts and p.ended_on is not None
    )
    lost = sum(thread.lost for thread in timeline.thread_list)
    if got != expected or lost:
        raise program.DifferenceError(
            f"lost {lost}; too many: {got - expected}; missing: {expected - got}"
        )


# Parts of it


def test_the_last_seconds(p: Profiler, clock: ManualClock) -> None:
    """What ended within them, with what is then left of each lane and thread."""
    for name in "abcd":
        with p.block(0, name):
            clock.advance(1_000_000_000)
    timeline = p.timeline().last(1.5)
    assert [each.block.name for each in timeline] == ["c", "d"]
    assert timeline.thread_list[0].passes == 2
    assert timeline.thread_list[0].lost == 2
    with p.block(0, "outer"):
        clock.advance(1)
        with p.block(0, "inner"):
            clock.advance(1)
        moment = clock.now
        clock.advance(1)
        with p.block(0, "later"):
            clock.advance(1)
    later = p.timeline().since(moment + 1)
    assert shown(later) == [("outer", moment - 2, 4, 0), ("later", moment + 1, 1, 1)]


# Tracks


def test_only_some_tracks(clock: ManualClock) -> None:
    """Others are recorded, and leave the ring to these."""
    p = Profiler("some")
    p.keep_timeline(SIZE, tracks=["web"])
    for track in ("web", "db", 7):
        with p.block(track, f"on {track}"):
            clock.advance(1)
    assert [each.block.name for each in p.timeline()] == ["on web"]
    p.set_track_timeline("db", True)
    p.set_track_timeline("web", False)
    for track in ("web", "db", 7):
        with p.block(track, f"then on {track}"):
            clock.advance(1)
    assert [each.block.name for each in p.timeline()] == ["on web", "then on db"]
    assert sum(block.hit_count for t in p.get_results().tracks.values() for block in t.blocks) == 6


def test_a_track_left_out_whose_function_takes_processor_time(clock: ManualClock) -> None:
    """Is left out all the same."""
    p = Profiler("left out", timeline=SIZE)

    @p.track("io", cpu=True)
    def f() -> None:
        clock.advance(1)

    f()
    p.set_track_timeline("io", False)
    f()
    assert [each.block.name for each in p.timeline()] == ["f"]


# Adding up


def test_passes_add_up_to_the_figures(clock: ManualClock, threads: Threads) -> None:
    """Of nested calls on several threads, that end by return and by exception."""
    p = Profiler("adds up", timeline=1 << 14)

    @p.track(0)
    def fib(n: int) -> int:
        clock.advance(1)
        with p.block(1, "inner"):
            return n if n < 2 else fib(n - 1) + fib(n - 2)

    threads.together(*[lambda: fib(10)] * 3)
    timeline = p.timeline()
    check_lanes(timeline)
    assert sums(timeline) == figures(p)


# What is refused


@pytest.mark.parametrize(
    ("size", "error", "sentence"),
    [
        (127, ValueError, "timeline must lie between 128 and 4,194,304, not 127"),
        (1 << 23, ValueError, "timeline must lie between 128 and 4,194,304, not 8388608"),
        ("many", TypeError, "timeline must be an int, not 'many' of type str"),
        (True, TypeError, "timeline must be an int, not True of type bool"),
        (1e6, TypeError, "timeline must be an int, not 1000000.0 of type float"),
    ],
)
def test_sizes_that_make_no_sense(size: Any, error: type[Exception], sentence: str) -> None:
    """Are refused with a sentence, wherever they are given."""
    with pytest.raises(error) as raised:
        Profiler("x", timeline=size)
    assert str(raised.value) == sentence
    with pytest.raises(error) as raised:
        Profiler("x").keep_timeline(size)
    assert str(raised.value) == sentence


def test_there_is_one_timeline(p: Profiler) -> None:
    """A second one is refused, and asking where there is none says how to have one."""
    with pytest.raises(ValueError, match="'timeline' keeps a timeline already, of 128 passes"):
        p.keep_timeline(1000)
    with pytest.raises(ValueError, match=r"'without' keeps no timeline: Profiler\(…, timeline="):
        Profiler("without").timeline()
    with pytest.raises(TypeError, match="kept is True or False"):
        p.set_track_timeline(0, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a track's index must be 0 or more"):
        Profiler("y").keep_timeline(128, tracks=[-1])


# Settings


def test_it_is_a_setting() -> None:
    """From the environment, and refused with a sentence."""
    p = Profiler.configured("x", config.load(os.devnull, {"STICHOTROPE_TIMELINE": "1000"}))
    assert p.timeline_size == 1024
    with pytest.raises(config.ConfigError, match="STICHOTROPE_TIMELINE must be a whole number"):
        config.load(os.devnull, {"STICHOTROPE_TIMELINE": "5"})


def test_run_keeps_one() -> None:
    """For the profilers that the program makes, too."""
    program = (
        "from stichotrope import Profiler\n"
        "p = Profiler('own')\n"
        "with p.block(0, 'x'): pass\n"
        "print(p.timeline_size, len(p.timeline()))\n"
    )
    done = run_program(
        "import sys; from stichotrope.cli import main; "
        f"sys.exit(main(['run', '-q', '--timeline', '1000', '-c', {program!r}]))"
    )
    assert done.stdout.split() == ["1024", "1"], done.stderr
