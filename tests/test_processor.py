"""Processor time: for how long the thread ran in a pass, beside how long the pass was open."""

from __future__ import annotations

import asyncio
import functools
import io
import os
import pickle
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock, Threads
from stichotrope import ProfileBlock, Profiler, ProfilerResults, _core, config, print_results
from stichotrope.report import print_tree
from stichotrope.report.html import render
from stichotrope.results import ProcessorTime, is_mostly_overhead, is_waiting_unsure
from stichotrope.results.frames import columns
from stichotrope.results.select import selected
from stichotrope.results.snapshots import Snapshots

pytestmark = pytest.mark.unit

IS_TOLD = sys.version_info >= (3, 12)  # the interpreter says when a frame is suspended


class Processor:
    """Both injected clocks of this thread: time that goes by, running or waiting."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._ran = 0
        _core.set_manual_processor_time(0)

    def run(self, ns: int) -> None:
        """Let time go by in which the thread runs."""
        self._ran += ns
        _core.set_manual_processor_time(self._ran)
        self._clock.advance(ns)

    def wait(self, ns: int) -> None:
        """Let time go by in which it does not."""
        self._clock.advance(ns)


@pytest.fixture
def processor(clock: ManualClock) -> Processor:
    """The injected clocks."""
    return Processor(clock)


@pytest.fixture
def p(processor: Processor) -> Profiler:
    """A profiler that takes processor time, under the injected clocks."""
    return Profiler("processor", cpu=True)


def block(p: Profiler | ProfilerResults, name: str) -> ProfileBlock:
    """Return the only block of a name."""
    results = p.get_results() if isinstance(p, Profiler) else p
    (found,) = (b for t in results.tracks.values() for b in t.blocks if b.name == name)
    return found


def times(p: Profiler | ProfilerResults, name: str) -> tuple[int, int, int, int]:
    """Return (passes, ns counted once, ns added up, ns for which they were open) of a block."""
    cpu = block(p, name).cpu
    assert cpu is not None
    return cpu.count, cpu.time_ns, cpu.sum_ns, cpu.wall_ns


# What a pass has


def test_a_pass_has_the_time_that_its_thread_ran_beside_the_time_that_went_by(
    p: Profiler, processor: Processor
) -> None:
    """100 ns of which 30 ran: 70 % waiting."""

    @p.track(0)
    def work() -> None:
        processor.run(30)
        processor.wait(70)

    work()
    found = block(p, "work")
    assert (found.hit_count, found.total_time_ns, found.cpu_time_ns, found.cpu_count) == (
        1,
        100,
        30,
        1,
    )
    assert found.cpu is not None
    assert found.cpu == ProcessorTime(1, 30, 30, 100, 30, 30, found.cpu.histogram)
    assert found.cpu.waiting == pytest.approx(0.7)


def test_what_a_block_and_an_error_take_is_counted(p: Profiler, processor: Processor) -> None:
    """A pass that an exception leaves has run, too."""
    kept = p.block(0, "kept")

    def fail() -> None:
        with kept:
            processor.run(5)
            processor.wait(1)
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    with p.block(0, "inline"):
        processor.run(7)
    assert times(p, "kept") == (2, 10, 10, 12)
    assert times(p, "inline") == (1, 7, 7, 7)
    assert block(p, "kept").error_count == 2


def test_a_pass_holds_what_is_nested_in_it(p: Profiler, processor: Processor) -> None:
    """As its total does."""
    with p.block(0, "outer"):
        processor.run(10)
        with p.block(0, "inner"):
            processor.run(5)
            processor.wait(3)
        processor.wait(2)
    assert times(p, "outer") == (1, 15, 15, 20)
    assert times(p, "inner") == (1, 5, 5, 8)


def test_recursion_counts_once(p: Profiler, processor: Processor) -> None:
    """Direct and mutual; each pass by itself is in the sum."""

    @p.track(0)
    def even(n: int) -> None:
        processor.run(1)
        if n:
            odd(n - 1)

    @p.track(0)
    def odd(n: int) -> None:
        processor.run(1)
        if n:
            even(n - 1)

    even(3)
    even(0)
    assert times(p, "even") == (3, 5, 4 + 2 + 1, 4 + 2 + 1)
    assert times(p, "odd") == (2, 3, 3 + 1, 3 + 1)


def test_percentiles_are_those_of_the_passes(p: Profiler, processor: Processor) -> None:
    """The least and the most are exact."""
    kept = p.block(0, "kept")
    for ns in range(1, 12):
        with kept:
            processor.run(ns)
            processor.wait(100)
    found = block(p, "kept")
    assert [found.cpu_percentile(q) for q in (0, 50, 100)] == [1, 6, 11]
    assert found.cpu is not None
    assert found.cpu.avg_ns == 6.0
    assert block(Profiler("of none").get_results().merge(p.get_results()), "kept").cpu == found.cpu


def test_without_processor_time_a_percentile_is_nothing(clock: ManualClock) -> None:
    """And what is asked for is checked all the same."""
    p = Profiler("without")
    with p.block(0, "kept"):
        clock.advance(5)
    found = block(p, "kept")
    assert (found.cpu, found.cpu_time_ns, found.cpu_count, found.cpu_percentile(50)) == (
        None,
        0,
        0,
        0,
    )
    with pytest.raises(ValueError, match="between 0 and 100"):
        found.cpu_percentile(101)
    assert "cpu" not in p.get_results().metadata


def test_a_real_clock_says_what_the_system_says() -> None:
    """No more than what is read around the pass, and no less than what is read within."""
    p = Profiler("real", cpu=True)
    within = []

    @p.track(0)
    def work() -> None:
        before = time.thread_time_ns()
        sum(range(20_000))
        within.append(time.thread_time_ns() - before)

    before = time.thread_time_ns()
    work()
    around = time.thread_time_ns() - before
    assert within[0] <= block(p, "work").cpu_time_ns <= around
    said = p.get_results().metadata["cpu"]
    assert said["source"]
    assert said["overhead_ns_per_pass"] > 0


# What taking it costs looks like waiting in short passes


def costly(p: Profiler) -> ProfilerResults:
    """Return results that say that a pass costs 10 ns, and 100 with processor time."""
    results = p.get_results()
    results.metadata["overhead_ns_per_pass"] = 10
    results.metadata["cpu"]["overhead_ns_per_pass"] = 100
    return results


def shown(show: Callable[..., None], results: ProfilerResults) -> str:
    """Return a report."""
    text = io.StringIO()
    show(results, file=text, width=200)
    return text.getvalue()


@pytest.mark.parametrize("show", [print_results, print_tree])
def test_waiting_of_passes_that_are_too_short_for_it_is_marked(
    p: Profiler, processor: Processor, show: Callable[..., None]
) -> None:
    """Those that take less than 20 times its cost in the mean; a footer says so."""
    for name, ns in (("short", 999), ("long", 1000)):
        for _ in range(2):
            with p.block(0, name):
                processor.run(ns)
                processor.wait(ns)
    text = shown(show, costly(p))
    (short,) = (line for line in text.splitlines() if "short" in line)
    (long,) = (line for line in text.splitlines() if "long" in line)
    assert "≈50.0 %" in short
    assert "50.0 %" in long
    assert "≈" not in long
    assert "≈ before Waiting: passes of less than 20 times" in " ".join(text.split())


def test_waiting_that_is_sure_has_no_mark_and_no_footer(p: Profiler, processor: Processor) -> None:
    """Nor where the cost is not told, nor in what takes no processor time."""
    with p.block(0, "work"):
        processor.run(5000)
    assert "≈" not in shown(print_results, costly(p))
    results = costly(p)
    results.metadata["cpu"] = []
    assert not is_waiting_unsure(block(results, "work"), results.metadata)
    assert not is_waiting_unsure(ProfileBlock("none", "", 1, 0, 0), costly(p).metadata)


def test_a_mean_is_held_against_what_its_own_passes_cost(processor: Processor) -> None:
    """Five times 10 ns without processor time, 100 with it, 55 where half of the passes took it."""
    p = Profiler("mixed")
    half = p.block(0, "half")
    for name, cpu in (("bare", False), ("taken", True)):
        p.set_cpu(cpu)
        with p.block(0, name):
            processor.run(300)
    for cpu in (True, False):
        p.set_cpu(cpu)
        with half:
            processor.run(300)
    results = costly(p)
    about = {b.name: is_mostly_overhead(b, results.metadata) for t in results for b in t}
    assert about == {"bare": False, "taken": True, "half": False}
    p.set_cpu(True)
    with half:
        processor.run(300)  # two of three: 70 ns
    results = costly(p)
    assert is_mostly_overhead(block(results, "half"), results.metadata)


# Who takes it


def test_a_track_takes_it_from_when_it_is_told_until_it_is_told_not_to(
    processor: Processor,
) -> None:
    """Of the function that is there already, on a track by name or number."""
    p = Profiler("switched")

    @p.track("work")
    def work() -> None:
        processor.run(3)

    work()
    p.set_track_cpu("work", True)
    work()
    p.set_track_cpu(0, False)
    work()
    found = block(p, "work")
    assert (found.hit_count, found.cpu_count, found.cpu_time_ns) == (3, 1, 3)


def test_a_pass_that_is_open_stays_as_it_began(processor: Processor) -> None:
    """Switching changes the next one."""
    p = Profiler("switched")
    with p.block(0, "first"):
        p.set_track_cpu(0, True)
        with p.block(0, "second"):
            processor.run(2)
            p.set_track_cpu(0, False)
    assert block(p, "first").cpu is None
    assert times(p, "second") == (1, 2, 2, 2)


def test_a_function_takes_it_by_itself(processor: Processor) -> None:
    """And goes on when its track is told not to; its switches are those of its track."""
    p = Profiler("one")

    @p.track(0, cpu=True)
    def timed() -> None:
        processor.run(1)

    @p.track(0)
    def other() -> None:
        processor.run(1)

    timed(), other()
    p.set_track_cpu(0, False)
    timed()
    p.set_track_enabled(0, False)
    timed()
    p.set_track_enabled(0, True)
    p.clear()
    timed(), other()
    assert times(p, "timed") == (1, 1, 1, 1)
    assert (block(p, "timed").hit_count, block(p, "other").cpu) == (1, None)


def test_many_functions_take_it_by_themselves(processor: Processor) -> None:
    """On their tracks, beside others."""
    p = Profiler("many")
    functions = []
    for number in range(200):

        def work() -> None:
            processor.run(1)

        functions.append(p.track(number % 3, f"work {number}", cpu=number % 2 == 0)(work))
    for function in functions:
        function()
    taken = [block(p, f"work {number}").cpu_count for number in range(200)]
    assert taken == [1, 0] * 100


def test_all_tracks_take_it_from_when_they_are_told(processor: Processor) -> None:
    """Those that come later, too; and a track that was told by itself goes on."""
    p = Profiler("all")
    assert not p.takes_cpu
    p.set_track_cpu(1, True)
    p.set_cpu(True)
    assert p.takes_cpu
    blocks = [p.block(track, f"on {track}") for track in range(3)]
    for kept in blocks:
        with kept:
            processor.run(1)
    p.set_cpu(False)
    for kept in blocks:
        with kept:
            processor.run(1)
    assert [block(p, f"on {track}").cpu_count for track in range(3)] == [1, 2, 1]


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_a_switch_is_true_or_false(value: Any) -> None:
    """Anything else is refused where it is given."""
    with pytest.raises(TypeError, match="cpu is True or False, not"):
        Profiler("wrong", cpu=value)
    p = Profiler("right")
    with pytest.raises(TypeError, match="cpu is True or False, not"):
        p.track(0, cpu=value)
    with pytest.raises(TypeError, match="cpu is True or False, not"):
        p.set_track_cpu(0, value)
    with pytest.raises(TypeError, match="cpu is True or False, not"):
        p.set_cpu(value)


# What is suspended


def test_a_generator_has_what_it_ran_itself(p: Profiler, processor: Processor) -> None:
    """Not what ran while it was suspended."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        for number in range(3):
            processor.run(10)
            processor.wait(1)
            yield number

    for _ in numbers():
        processor.run(1000)
    assert times(p, "numbers") == (1, 30, 30, 3033)


def test_a_coroutine_has_what_it_ran_itself(p: Profiler, processor: Processor) -> None:
    """Two that run in turns have their own."""

    @p.track(0)
    async def one(ns: int) -> None:
        for _ in range(3):
            processor.run(ns)
            await asyncio.sleep(0)

    @p.track(0)
    async def other() -> None:
        for _ in range(3):
            processor.run(1000)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(one(1), other(), one(2))

    asyncio.run(main())
    assert times(p, "one")[:3] == (2, 9, 9)
    assert times(p, "other")[:3] == (1, 3000, 3000)


def test_an_asynchronous_generator_has_what_it_ran_itself(
    p: Profiler, processor: Processor
) -> None:
    """Between its steps, others run."""

    @p.track(0)
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            processor.run(10)
            await asyncio.sleep(0)
            yield number

    async def main() -> None:
        async for _ in numbers():
            processor.run(1000)

    asyncio.run(main())
    assert times(p, "numbers")[:3] == (1, 30, 30)


def test_what_awaits_has_what_it_awaits(p: Profiler, processor: Processor) -> None:
    """It runs on its behalf; recursion counts once there, too."""

    @p.track(0)
    async def nested(depth: int) -> None:
        processor.run(1)
        await asyncio.sleep(0)
        if depth:
            await nested(depth - 1)
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(nested(2), nested(2))

    asyncio.run(main())
    assert times(p, "nested")[:3] == (6, 6, 2 * (3 + 2 + 1))


def test_a_block_of_a_tracked_body_has_what_ran_in_it(p: Profiler, processor: Processor) -> None:
    """It is suspended with the body."""

    @p.track(0)
    async def body() -> None:
        with p.block(0, "within"):
            processor.run(5)
            await asyncio.sleep(0)
            processor.run(5)

    async def main() -> None:
        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        processor.run(1000)
        await task

    asyncio.run(main())
    assert times(p, "within")[:3] == (1, 10, 10)
    assert times(p, "body")[:3] == (1, 10, 10)


def test_a_block_of_a_body_that_is_not_tracked_has_what_ran_in_it_or_nothing(
    p: Profiler, processor: Processor
) -> None:
    """Nothing, where the interpreter does not say when it is suspended: never what others ran."""

    def numbers() -> Iterator[int]:
        with p.block(0, "within"):
            for number in range(3):
                processor.run(10)
                yield number

    for _ in numbers():
        processor.run(1000)
    found = block(p, "within")
    assert found.hit_count == 1
    assert (found.cpu_count, found.cpu_time_ns) == ((1, 30) if IS_TOLD else (0, 0))


def test_a_call_that_gives_a_coroutine_goes_on_in_it(p: Profiler, processor: Processor) -> None:
    """Its pass lasts until that ends, and runs when that does."""

    async def inner() -> None:
        processor.run(5)
        await asyncio.sleep(0)
        processor.run(5)

    @p.track(0)
    def call() -> Any:
        processor.run(1)
        return inner()

    async def main() -> None:
        awaited = call()
        processor.run(1000)
        await awaited

    asyncio.run(main())
    assert times(p, "call")[:3] == (1, 11, 11)


def test_what_goes_on_on_another_thread_takes_its_time_along(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Each thread has a clock of its own."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        with p.block(0, "within"):
            _core.set_manual_processor_time(110)
            yield 1
            _core.set_manual_processor_time(5007)
            yield 2

    _core.set_manual_processor_time(100)
    moved = numbers()
    next(moved)

    def elsewhere() -> None:
        _core.set_manual_processor_time(5000)
        assert list(moved) == [2]

    threads.together(elsewhere)
    assert times(p, "numbers")[:3] == (1, 17, 17)
    assert times(p, "within")[:3] == (1, 17, 17)


def test_what_is_closed_while_suspended_keeps_what_it_ran(
    p: Profiler, processor: Processor
) -> None:
    """By the collector, too."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        processor.run(10)
        yield 1

    closed, dropped = numbers(), numbers()
    next(closed), next(dropped)
    processor.run(1000)
    closed.close()
    del dropped
    assert times(p, "numbers")[:3] == (2, 20, 20)


# All of it together


def test_a_clear_drops_what_is_open(p: Profiler, processor: Processor) -> None:
    """And what comes after it counts from nothing."""
    kept = p.block(0, "kept")

    @p.track(0)
    def numbers() -> Iterator[int]:
        processor.run(10)
        yield 1
        processor.run(10)

    suspended = numbers()
    next(suspended)
    with kept:
        processor.run(5)
        p.clear()
    list(suspended)
    with kept:
        processor.run(2)
    assert times(p, "kept") == (1, 2, 2, 2)
    assert block(p, "numbers").cpu is None


def test_threads_add_up_and_keep_their_own(
    clock: ManualClock, threads: Threads, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """While they live, when they have ended, and when they share a line."""
    p = Profiler("threads", cpu=True, retain_threads=1)

    def work(ns: int) -> None:
        _core.set_manual_processor_time(0)
        with p.block(0, "kept"):
            _core.set_manual_processor_time(ns)

    for ns in (1, 10, 100):
        threads.together(functools.partial(work, ns))
    eventually(lambda: len(p.get_results().threads) == 2)
    results = p.get_results()
    assert times(results, "kept")[:3] == (3, 111, 111)
    assert [t.tracks[0].blocks[0].cpu_time_ns for t in results.threads] == [11, 100]


def test_the_tree_has_it_by_path(p: Profiler, processor: Processor) -> None:
    """A node of its own for each way to a block."""
    kept = p.block(0, "kept")
    with p.block(0, "outer"), kept:
        processor.run(3)
    with kept:
        processor.run(4)
    root = p.get_results().tree
    found = {(node.name, depth): node.cpu_time_ns for node, depth in root.walk() if depth}
    assert found == {("outer", 1): 3, ("kept", 2): 3, ("kept", 1): 4}


def test_paths_beyond_the_limit_have_it(processor: Processor) -> None:
    """Their blocks are counted under another path."""
    p = Profiler("few", cpu=True, max_nodes=2)
    for number in range(5):
        with p.block(0, f"kept {number}"):
            processor.run(number)
    assert [block(p, f"kept {number}").cpu_time_ns for number in range(5)] == [0, 1, 2, 3, 4]


def test_results_hold_it_wherever_they_go(p: Profiler, processor: Processor) -> None:
    """Documents, pickles, merging, choosing."""
    with p.block(0, "outer"), p.block(1, "inner"):
        processor.run(3)
        processor.wait(3)
    results = p.get_results()
    for same in (ProfilerResults.from_dict(results.to_dict()), pickle.loads(pickle.dumps(results))):
        assert (same.tracks, same.tree, same.threads) == (
            results.tracks,
            results.tree,
            results.threads,
        )
    other = pickle.loads(pickle.dumps(results))
    other.metadata["instance"] = "another process"
    twice = results.merge(other)
    assert times(twice, "inner") == (2, 6, 6, 12)
    assert [n.cpu_time_ns for n, _ in twice.tree.walk()] == [0, 6, 6]
    chosen = selected(results, ["1"], [], [])
    assert times(chosen, "inner") == (1, 3, 3, 6)
    assert [n.cpu_time_ns for n, _ in chosen.tree.walk()] == [0, 3]
    assert times(results, "inner") == (1, 3, 3, 6)


def test_results_as_bytes_hold_it_and_many_of_them_are_merged(
    p: Profiler, processor: Processor
) -> None:
    """Of all threads and of each; of one process, only the newest counts."""
    with p.block(0, "outer"):
        processor.wait(1)
        p.set_cpu(False)
        with p.block(1, "plain"):
            processor.run(1)
        p.set_cpu(True)
        with p.block(1, "inner"):
            processor.run(3)
            processor.wait(3)
    results = p.get_results()
    same = ProfilerResults.from_bytes(results.to_bytes())
    assert (same.tracks, same.tree, same.threads) == (results.tracks, results.tree, results.threads)
    document = results.to_dict()
    document["metadata"]["instance"] = "of another process"
    other = ProfilerResults.from_dict(document)
    merged = Snapshots([results.to_bytes(), results.to_bytes(), other.to_bytes()]).results()
    assert times(merged, "inner") == (2, 6, 6, 12)
    assert block(merged, "inner").cpu_percentile(50) == 3
    assert block(merged, "plain").cpu is None
    assert [n.cpu_time_ns for n, _ in merged.tree.walk()] == [0, 8, 0, 6]
    assert (
        sum(b.cpu_count for t in merged.threads for k in t.tracks.values() for b in k.blocks) == 4
    )


def test_threads_that_switch_it_and_pass_lose_nothing(threads: Threads) -> None:
    """Each pass counts, and none has more processor time than there was."""
    p = Profiler("busy")

    @p.track(0)
    def work() -> None:
        with p.block(0, "kept"):
            pass

    def many() -> None:
        for _ in range(2000):
            work()

    def switch() -> None:
        for number in range(400):
            p.set_track_cpu(0, number % 2 == 0)
            p.get_results()

    threads.together(many, many, switch)
    found = block(p, "work")
    assert (found.hit_count, block(p, "kept").hit_count) == (4000, 4000)
    assert found.cpu_count <= 4000


# What reports say


def test_a_report_says_what_share_of_their_time_blocks_waited(
    p: Profiler, processor: Processor
) -> None:
    """In a table and a tree, in columns that others do not have."""
    with p.block(0, "outer"), p.block(0, "inner"):
        processor.run(20)
        processor.wait(980)
    p.set_track_cpu(1, True)
    for show in (print_results, print_tree):
        text = io.StringIO()
        show(p, file=text)
        heading, inner = (
            next(line for line in text.getvalue().splitlines() if word in line).split()
            for word in ("Hits", "inner")
        )
        assert heading[2:4] == ["CPU", "Waiting"]
        assert [word for word in inner if word not in ("└─", "inner")][:5] == [
            "1",
            "20",
            "ns",
            "98.0",
            "%",
        ]
        assert "2 passes with processor time" in text.getvalue()


def test_what_is_not_known_of_all_passes_is_a_lower_bound(processor: Processor) -> None:
    """And what nobody asked for has no column."""
    p = Profiler("switched")
    kept = p.block(0, "kept")
    with kept:
        processor.run(5)
    plain = io.StringIO()
    print_results(p, file=plain)
    assert "CPU" not in plain.getvalue()
    p.set_track_cpu(0, True)
    with kept:
        processor.run(5)
    told = io.StringIO()
    print_results(p, file=told)
    assert "≥5 ns" in told.getvalue()


def test_blocks_are_sorted_by_what_they_ran_or_waited(p: Profiler, processor: Processor) -> None:
    """Most first."""
    for name, ran, waited in (("a", 5, 0), ("b", 10, 90), ("c", 1, 2)):
        with p.block(0, name):
            processor.run(ran)
            processor.wait(waited)

    def order(sort: str) -> str:
        text = io.StringIO()
        print_results(p, file=text, sort=sort)
        lines = (line.split(" ")[0] for line in text.getvalue().splitlines())
        return "".join(word for word in lines if word in ("a", "b", "c"))

    assert (order("cpu"), order("waiting")) == ("bac", "bca")


def test_a_page_and_frames_have_it(p: Profiler, processor: Processor) -> None:
    """In columns of their own."""
    with p.block(0, "kept"):
        processor.run(3)
        processor.wait(1)
    page = render(p.get_results())
    assert '"columns":["cpu","waiting"]' in page
    assert '"cpu":[3]' in page
    for level in ("block", "node", "thread-block"):
        data = columns(p.get_results(), level)
        assert (data["cpu_count"][-1], data["cpu_time_ns"][-1], data["waiting"][-1]) == (1, 3, 0.25)


# Who else takes it


def test_a_run_takes_it_for_all_profilers_of_a_program(tmp_path: Path) -> None:
    """Those that it makes, and what patterns choose."""
    program = tmp_path / "program.py"
    program.write_text(
        "from stichotrope import Profiler, profile\n"
        "p = Profiler('own')\n"
        "@profile\n"
        "def marked(): pass\n"
        "def chosen(): pass\n"
        "with p.block(0, 'kept'): marked(), chosen()\n"
    )
    saved = tmp_path / "run.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "stichotrope",
            "run",
            "--cpu",
            "-q",
            "-t",
            "__main__:chosen",
            "-o",
            saved,
            program,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = ProfilerResults.load(saved)
    assert [block(results, name).cpu_count for name in ("kept", "marked", "chosen")] == [1, 1, 1]


def test_a_platform_without_the_clock_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for it, and for a setting with where it was given."""

    def refuse(self: Profiler, track: int | None, taken: bool = True) -> None:
        raise ValueError("this platform has no clock for the processor time of threads")

    monkeypatch.setattr(Profiler, "_take_processor_time", refuse, raising=False)
    with pytest.raises(ValueError, match="no clock for the processor time"):
        Profiler("none", cpu=True)
    with pytest.raises(config.ConfigError, match=r"cpu \(argument\): this platform has no clock"):
        Profiler.configured("none", config.load(os.devnull, {}, cpu=True))
