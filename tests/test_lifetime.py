"""How long profilers, figures and call sites live, and who may run while they are at work."""

from __future__ import annotations

import functools
import gc
import os
import re
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, recorded
from stichotrope import Profiler, _core, profiler

pytestmark = pytest.mark.unit

WAIT = 120  # seconds until a thread that others wait for is given up

PACKAGE = os.path.dirname(profiler.__file__)

Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Begin without garbage, and known to the core, so that counts before and after compare."""
    gc.collect()
    _core.measure_pass(1, 1)
    yield
    gc.enable()


def passes(block: Any, count: int) -> None:
    """Enter and leave a block that often."""
    for _ in range(count):
        with block:
            pass


def plain() -> None:
    """Do nothing."""


def method(self: object) -> None:
    """Do nothing."""


def no_more_than(before: dict[str, int]) -> bool:
    """Whether no more is held than before; threads of earlier tests may have gone since."""
    return all(count <= before[kind] for kind, count in _core.memory().items())


def has_folded(p: Profiler, count: int) -> bool:
    """Whether so many ended threads share one entry."""
    return bool(p.get_results().metadata["folded_threads"] == count)


# Profilers


def test_a_profiler_that_nobody_refers_to_is_freed_with_all_it_recorded() -> None:
    """At once, without the collector."""
    gc.disable()
    before = _core.memory()
    p = Profiler("short-lived")
    passes(p.block(0, "x"), 3)
    p.track(0)(plain)()
    assert _core.memory()["stores"] == before["stores"] + 1
    assert _core.memory()["buffers"] == before["buffers"] + 1
    reference = weakref.ref(p)
    del p
    assert reference() is None
    assert _core.memory() == before | {"threads": _core.memory()["threads"]}


def test_results_outlive_their_profiler() -> None:
    """They are plain values; asking for their threads later works too."""
    p = Profiler("short-lived")
    passes(p.block(0, "x"), 3)
    results = p.get_results()
    del p
    gc.collect()
    assert (hits(results), [hits(share) for share in results.threads]) == ({"x": 3}, [{"x": 3}])


@pytest.mark.parametrize("keeper", ["function", "method", "block", "open block"])
def test_a_profiler_lives_as_long_as_a_tracked_function_or_a_block(keeper: str) -> None:
    """And goes with the last of them."""
    stores = _core.memory()["stores"]
    p = Profiler("kept")
    reference = weakref.ref(p)
    kept: Any
    if keeper == "function":
        kept = p.track(0)(plain)
    elif keeper == "method":
        kept = type("Owner", (), {"method": p.track(0)(method)})
    else:
        kept = p.block(0, "x")
    if keeper == "open block":
        kept.__enter__()
    del p
    gc.collect()
    found = reference()
    assert found is not None
    assert found.name == "kept"
    del found
    if keeper == "open block":
        kept.__exit__(None, None, None)
    del kept
    gc.collect()
    assert (reference(), _core.memory()["stores"]) == (None, stores)


def test_a_function_that_refers_to_itself_is_collected_with_its_profiler() -> None:
    """A local, recursive, tracked function is a cycle."""

    def make() -> weakref.ref[Profiler]:
        p = Profiler("cycle")

        @p.track(0)
        def down(n: int) -> int:
            return down(n - 1) if n else len(hits(p))

        assert down(3) == 1
        return weakref.ref(p)

    stores = _core.memory()["stores"]
    reference = make()
    gc.collect()
    assert (reference(), _core.memory()["stores"]) == (None, stores)


@pytest.mark.parametrize("what", ["function", "block", "profiler"])
def test_what_is_part_of_a_cycle_is_collected(what: str) -> None:
    """Also when it is reached through attributes, or held by what it calls."""

    class Holder:
        """Holds, and can be called."""

        held: Any = None

        def __call__(self) -> None:
            """Do nothing."""

    def make() -> weakref.ref[Profiler]:
        p = Profiler("cycle")
        holder = Holder()
        tracked: Any = p.track(0)(holder)
        tracked.myself = tracked
        holder.held = {"function": tracked, "block": p.block(0, "x"), "profiler": p}[what]
        tracked()
        return weakref.ref(p)

    reference = make()
    gc.collect()
    assert reference() is None


def test_the_registry_holds_profilers_weakly() -> None:
    """An entry goes with its profiler."""
    p = Profiler("registered")
    profiler_id = p._profiler_id
    assert profiler_id in profiler._PROFILER_REGISTRY
    del p
    gc.collect()
    assert profiler_id not in profiler._PROFILER_REGISTRY


def test_the_call_sites_of_a_dead_profiler_are_forgotten() -> None:
    """By the time the next profiler has been made; those of living ones stay."""
    living, dead = Profiler("living"), Profiler("dead")
    ids = living._profiler_id, dead._profiler_id
    for i in range(50):
        passes(dead.block(0, f"x{i}"), 1)
    passes(living.block(0, "x"), 1)

    def cached() -> list[int]:
        found = [owner for owner, _ in profiler._CALL_SITE_CACHE.values()]
        return [found.count(profiler_id) for profiler_id in ids]

    assert cached() == [1, 50]
    del dead
    gc.collect()
    Profiler("next")
    assert cached() == [1, 0]


def test_a_profiler_at_the_address_of_a_dead_one_shares_nothing_with_it() -> None:
    """A thousand times on one line: a new profiler each time, one hit each."""
    found = []
    for _ in range(1000):
        p = Profiler("again")
        with p.block(0, "x"):
            pass
        found.append((p._profiler_id, hits(p)))
    ids = [profiler_id for profiler_id, _ in found]
    assert ids == sorted(set(ids))
    assert [seen for _, seen in found] == [{"x": 1}] * 1000


def test_making_recording_and_dropping_a_thousand_times_keeps_memory_constant(
    threads: Threads, eventually: Eventually
) -> None:
    """Stores, buffers and threads, on this thread and on others."""
    p = Profiler("first")
    passes(p.block(0, "x"), 1)
    del p
    before = _core.memory()

    def cycle() -> None:
        p = Profiler("again")
        passes(p.block(0, "x"), 2)
        p.track(0)(plain)()
        assert hits(p) == {"x": 2, "plain": 1}

    for _ in range(800):
        cycle()
    threads.together(*[lambda: [f() for f in [cycle] * 50]] * 4)
    gc.collect()
    eventually(lambda: no_more_than(before))


def test_more_profilers_at_once_than_a_thread_has_seats_for_are_exact() -> None:
    """Fifty profilers, entered in turn and in each other."""
    many = [Profiler(f"{i}") for i in range(50)]
    blocks = [p.block(0, "x") for p in many]
    for _ in range(20):
        for i, block in enumerate(blocks):
            with block, blocks[(i + 8) % 50], blocks[(i + 1) % 50]:
                pass
    assert [hits(p) for p in many] == [{"x": 60}] * 50


# Threads


@pytest.mark.thread_safety
def test_a_profiler_is_freed_while_threads_that_recorded_in_it_live(threads: Threads) -> None:
    """They go on, and record into another."""
    before = _core.memory()
    step = threading.Barrier(4)
    holder = [Profiler("short-lived")]
    other = Profiler("other")
    reference = weakref.ref(holder[0])

    def work() -> None:
        passes(holder[0].block(0, "x"), 3)
        step.wait(WAIT)
        step.wait(WAIT)
        passes(other.block(0, "y"), 4)

    join = threads.spawn(work, work, work)
    step.wait(WAIT)
    assert hits(holder[0]) == {"x": 9}
    holder.clear()
    gc.collect()
    assert reference() is None
    assert _core.memory()["stores"] == before["stores"] + 1
    assert _core.memory()["buffers"] == before["buffers"]
    step.wait(WAIT)
    join()
    assert hits(other) == {"y": 12}


@pytest.mark.thread_safety
def test_a_profiler_whose_blocks_were_open_when_it_went_disturbs_nobody(threads: Threads) -> None:
    """A thread ends with passes open in a profiler that is dropped; the next profiler is exact."""

    def work() -> None:
        p = Profiler("abandoned")
        for _ in range(5):
            p.block(0, "open").__enter__()
        del p
        gc.collect()
        own = Profiler("own")
        passes(own.block(0, "x"), 2)
        assert hits(own) == {"x": 2}

    threads.together(*[work] * 4)


@pytest.mark.thread_safety
def test_threads_that_ended_leave_only_their_figures(
    threads: Threads, eventually: Eventually
) -> None:
    """Their buffers are given back once somebody looks; their entries stay until all is cleared."""
    before = _core.memory()
    p = Profiler("threads")
    block = p.block(0, "x")
    threads.one_by_one(*[lambda: passes(block, 2)] * 20)
    eventually(lambda: hits(p) == {"x": 40} and _core.memory()["buffers"] == before["buffers"])
    assert len(p.get_results().threads) == 20
    held = _core.memory()["threads"]
    p.clear()
    assert held - _core.memory()["threads"] == 20


@pytest.mark.thread_safety
def test_older_ended_threads_share_one_entry(
    clock: ManualClock, threads: Threads, eventually: Eventually
) -> None:
    """Three of ten keep their own; the rest is "ended threads", and no hit and no ns is lost."""
    p = Profiler("few", retain_threads=3)
    outer, inner = p.block(0, "outer"), p.block(1, "inner")

    def work(i: int) -> None:
        for _ in range(i):
            with outer:
                clock.advance(10)
                with inner:
                    clock.advance(i)

    for i in range(1, 11):
        threads.one_by_one(functools.partial(work, i))
        # A joined thread may still be on its way out, and entries stand in the order of ends.
        eventually(functools.partial(has_folded, p, max(0, i - 3)))
    results = p.get_results()
    names = [share.name for share in results.threads]
    assert names == ["ended threads", "worker 0", "worker 0", "worker 0"]
    assert [share.total_hits for share in results.threads] == [2 * 28, 16, 18, 20]
    assert [share.alive for share in results.threads] == [False] * 4
    assert results.threads[0].key == 0
    assert results.metadata["folded_threads"] == 7
    squares = sum(i * i for i in range(1, 11))
    blocks = recorded(results)
    assert (blocks["outer"].hit_count, blocks["outer"].total_time_ns) == (55, 550 + squares)
    assert (blocks["inner"].hit_count, blocks["inner"].total_time_ns) == (55, squares)
    assert (blocks["inner"].min_time_ns, blocks["inner"].max_time_ns) == (1, 10)
    assert blocks["outer"].self_time_ns == 550
    assert [count for *_, count in blocks["inner"].histogram] == list(range(1, 11))
    assert results.total_time_ns == sum(share.total_time_ns for share in results.threads)
    folded = recorded(results.threads[0])["inner"]
    assert (folded.hit_count, folded.min_time_ns, folded.max_time_ns) == (28, 1, 7)
    assert [(n.name, n.hit_count) for n, depth in results.tree.walk() if depth] == [
        ("outer", 55),
        ("inner", 55),
    ]
    assert len(p._all_thread_data) == 3


@pytest.mark.thread_safety
def test_no_ended_thread_needs_to_keep_an_entry(threads: Threads, eventually: Eventually) -> None:
    """With a limit of 0 all share one; clearing forgets it, too."""
    p = Profiler("none", retain_threads=0)
    block = p.block(0, "x")
    threads.one_by_one(*[lambda: passes(block, 5)] * 6)
    eventually(lambda: p.get_results().metadata["folded_threads"] == 6)
    (share,) = p.get_results().threads
    assert (share.name, hits(share), p._all_thread_data) == ("ended threads", {"x": 30}, {})
    p.clear()
    assert (p.get_results().threads, p.get_results().metadata["folded_threads"]) == ([], 0)
    assert hits(p) == {"x": 0}


def end_threads(threads: Threads, eventually: Eventually, rounds: int) -> None:
    """Let many threads come and go, and see that only counts grow."""
    p = Profiler("many", retain_threads=10)
    block = p.block(0, "x")
    before = _core.memory()
    for number in range(1, rounds + 1):
        threads.together(*[lambda: passes(block, 3)] * 20)
        assert hits(p) == {"x": 60 * number}
    most = {**before, "buffers": before["buffers"] + 1, "threads": before["threads"] + 10}
    eventually(lambda: hits(p) == {"x": 60 * rounds} and no_more_than(most))


@pytest.mark.thread_safety
def test_many_short_lived_threads_cost_constant_memory(
    threads: Threads, eventually: Eventually
) -> None:
    """200 of them, of which 10 keep an entry."""
    end_threads(threads, eventually, 10)


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.thread_safety
def test_very_many_short_lived_threads_cost_constant_memory(
    threads: Threads, eventually: Eventually
) -> None:
    """20,000 of them."""
    end_threads(threads, eventually, 1_000)


@pytest.mark.slow
@pytest.mark.stress
def test_making_recording_and_dropping_a_hundred_thousand_times_keeps_memory_constant() -> None:
    """As the short test, for longer; objects of the interpreter do not grow in number either."""
    p = Profiler("first")
    passes(p.block(0, "x"), 1)
    del p
    gc.collect()
    before, objects = _core.memory(), len(gc.get_objects())
    for _ in range(100_000):
        passes(Profiler("again").block(0, "x"), 1)
    Profiler("last")
    gc.collect()
    assert no_more_than(before)
    assert len(gc.get_objects()) <= objects + 10


# Finalizers and signals, which may run between any two steps


class Finalized:
    """A cycle whose finalizer does something when the collector comes by."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action
        self.myself = self

    def __del__(self) -> None:
        self.action()


def collect_often(action: Callable[[], object], work: Callable[[], None], rounds: int) -> int:
    """Do some work many times while the collector runs the action all over it; how often it did."""
    done = 0

    def counted() -> None:
        nonlocal done
        action()
        done += 1

    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(rounds):
            Finalized(counted)
            work()
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()
    return done


def test_finalizers_may_record() -> None:
    """While the profiler itself is at work: every pass of theirs is counted."""
    p = Profiler("collected")
    inside = p.track(1, "in a finalizer")(plain)

    def record() -> None:
        inside()
        with p.block(1, "block in a finalizer"):
            pass

    def work() -> None:
        with p.block(0, "x"):
            p.get_results()

    count = collect_often(record, work, 300)
    assert count == 300
    assert hits(p) == {"in a finalizer": 300, "block in a finalizer": 300, "x": 300}


def test_finalizers_may_register_blocks_while_blocks_are_registered() -> None:
    """Each new block of theirs, and each of the work's, keeps its own name, line and hits."""
    p = Profiler("collected")
    numbers = iter(range(10_000))

    def register() -> None:
        with p.block("finalizers", f"finalizer {next(numbers)}"):
            pass

    def work() -> None:
        for _ in range(5):
            with p.block(5, f"work {next(numbers)}"):
                pass

    count = collect_often(register, work, 100)
    assert count == 100
    blocks = [b for _, t in sorted(p.get_results().tracks.items()) for b in t.blocks]
    by_kind = {
        kind: [b for b in blocks if b.name.startswith(kind)] for kind in ("work", "finalizer")
    }
    assert [len(found) for found in by_kind.values()] == [500, 100]
    assert {b.hit_count for b in blocks} == {1}
    for found in by_kind.values():
        assert [b.block_idx for b in found] == list(range(len(found)))
        assert len({b.line for b in found}) == 1


def test_finalizers_may_read_and_clear_and_switch() -> None:
    """At any moment of another reading."""
    p, other = Profiler("collected"), Profiler("other")
    block = p.block(0, "x")

    def act() -> None:
        assert p.get_results().total_hits >= 0
        other.clear()
        other.set_track_enabled(0, False)
        other.set_track_enabled(0, True)
        assert repr(p)

    def work() -> None:
        passes(block, 3)
        assert len(p._all_thread_data) == 1

    assert collect_often(act, work, 100) == 100
    assert hits(p) == {"x": 300}


def test_finalizers_may_make_and_drop_profilers() -> None:
    """While others are made and dropped."""
    stores = _core.memory()["stores"]

    def make() -> None:
        p = Profiler("of a finalizer")
        passes(p.block(0, "x"), 2)
        assert hits(p) == {"x": 2}

    assert collect_often(make, make, 200) == 200
    assert _core.memory()["stores"] == stores


def test_profilers_that_only_the_collector_can_free_are_freed_by_it() -> None:
    """In cycles, while other profilers are at work."""
    stores = _core.memory()["stores"]
    p = Profiler("at work")

    def work() -> None:
        gone = Profiler("in a cycle")
        cycle = [gone.track(0)(plain), gone.block(0, "x")]
        cycle.append(cycle)
        passes(p.block(0, "x"), 1)
        p.get_results()

    assert collect_often(plain, work, 100) == 100
    assert hits(p) == {"x": 100}
    assert _core.memory()["stores"] == stores + 1


def test_a_finalizer_of_a_cycle_may_call_what_is_tracked_in_it() -> None:
    """Though both are garbage already."""
    p = Profiler("collected")
    called = []

    class Owner:
        """Part of a cycle, with a tracked function of its own."""

        def __init__(self) -> None:
            self.tracked = p.track(0, "late")(lambda: called.append(self))
            self.block = p.block(0, "late block")

        def __del__(self) -> None:
            self.tracked()
            with self.block:
                pass

    Owner()
    gc.collect()
    assert (len(called), hits(p)) == (1, {"late": 1, "late block": 1})
    called.clear()


def interrupted_at(place: int, work: Callable[[], None], action: Callable[[], None]) -> str:
    """Run the work, and the action before one instruction of the package's Python code.

    This is what the collector and signal handlers do.

    :param place: the number of the instruction.
    :returns: where it was, or "" when the work has fewer.
    """
    where = ""
    number = -1

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal number, where
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        if event == "opcode":
            number += 1
            if number == place:
                where = f"{frame.f_code.co_name}, line {frame.f_lineno}"
                action()
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = (
        True  # CPython 3.12 heeds it only if set before tracing begins
    )
    sys.settrace(trace)
    try:
        work()
    except Exception as error:
        where += f" ({error!r})"
    finally:
        sys.settrace(before)
    return where


def interrupt_everywhere(
    make: Callable[[], tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]],
    least: int,
    step: int = 1,
) -> None:
    """Interrupt some work by some action at every place, and fail with the places where it harms.

    :param make: gives work, action, and the question whether all is right, for one attempt.
    :param least: so many places there are at least, or the test looks at the wrong thing.
    """
    wrong = set()
    place = 0
    while True:
        work, action, is_right = make()
        where = interrupted_at(place, work, action)
        if not where:
            break
        try:
            right = is_right()
        except Exception:
            right = False
        if not right or where.endswith(")"):
            wrong.add(where)
        place += step
    assert place >= least
    assert not wrong, "wrong after an interruption in:\n" + "\n".join(sorted(wrong))


def test_blocks_may_be_registered_between_any_two_steps_of_a_registration() -> None:
    """By a finalizer or a signal handler: names, indices, hits and switches of all are right."""
    inner = {track: f"inner {track}" for track in (0, "named", 3, "mine")}
    names = ["outer", "named outer", "function", *inner.values()]

    def make() -> tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]:
        p = Profiler("re-entered")

        def work() -> None:
            with p.block(0, "outer"):
                pass
            with p.block("named", "named outer"):
                pass
            p.track(3, "function")(plain)()

        def action() -> None:
            for track, name in inner.items():
                with p.block(track, name):
                    pass

        def is_right() -> bool:
            counted = hits(p)
            tracks = p.get_results().tracks
            placed = {b.name: t.track_name for t in tracks.values() for b in t.blocks}
            for idx in tracks:
                p.set_track_enabled(idx, False)
            for track in inner:
                with p.block(track, f"off {track}"):
                    pass
            off = hits(p)
            return (
                counted == dict.fromkeys(names, 1)
                and all(
                    [b.block_idx for b in t.blocks] == list(range(len(t.blocks)))
                    for t in tracks.values()
                )
                and (placed["outer"], placed["named outer"]) == ("Track 0", "named")
                and [placed[name] for name in inner.values()]
                == ["Track 0", "named", "Track 3", "mine"]
                and [off[f"off {track}"] for track in inner] == [0] * 4
            )

        return work, action, is_right

    interrupt_everywhere(make, least=80)


def test_tracks_may_be_switched_between_any_two_steps_of_a_switch() -> None:
    """By a signal handler: what counts afterwards is what the three switches say."""

    def make() -> tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]:
        p = Profiler("re-entered")
        block = p.block(0, "x")

        def work() -> None:
            p.stop()
            p.start()
            p.set_track_enabled(0, True)
            p.set_track_name(0, "named")

        def is_right() -> bool:
            passes(block, 1)
            passes(p.block(1, "off"), 1)
            return hits(p) == {"x": 1, "off": 0}

        return work, lambda: p.set_track_enabled(1, False), is_right

    interrupt_everywhere(make, least=20)


def test_profilers_may_be_made_between_any_two_steps_of_making_one() -> None:
    """Each has an id of its own and is registered under it."""

    def make() -> tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]:
        made: list[Profiler] = []

        def work() -> None:
            made.append(Profiler("re-entered"))

        def is_right() -> bool:
            registry = profiler._PROFILER_REGISTRY
            ids = {p._profiler_id for p in made}
            return len(ids) == 2 and all(registry.get(p._profiler_id) is p for p in made)

        return work, work, is_right

    interrupt_everywhere(make, least=20)


def test_anything_may_happen_between_any_two_steps_of_reading() -> None:
    """Recording, registering and reading: each reading is of one moment."""

    def make() -> tuple[Callable[[], None], Callable[[], None], Callable[[], bool]]:
        p = Profiler("re-entered")
        block = p.block(0, "x")
        passes(block, 5)
        found: list[dict[str, int]] = []

        def work() -> None:
            found.append(hits(p))

        def action() -> None:
            passes(block, 2)
            with p.block(1, "new"):
                pass
            found.append(hits(p))

        def is_right() -> bool:
            inside, outside = found
            return inside == {"x": 7, "new": 1} and outside in (
                {"x": 5},
                {"x": 5, "new": 0},
                {"x": 7, "new": 1},
            )

        return work, action, is_right

    interrupt_everywhere(make, least=200, step=7)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_registration_leaves_the_profiler_right(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    """By Ctrl-C or want of memory: the block is there or not, and all others are right."""
    p = Profiler("interrupted")
    with p.block(0, "before"):
        pass
    site: Any = profiler.__dict__["Site"]

    def interrupt(*args: Any) -> Any:
        monkeypatch.setattr(profiler, "Site", site)
        raise kind

    monkeypatch.setattr(profiler, "Site", interrupt)
    with pytest.raises(kind):
        p.block(0, "interrupted")
    for _ in range(2):
        with p.block(0, "after"):
            pass
    found = hits(p)
    assert found.pop("interrupted", 0) == 0
    assert found == {"before": 1, "after": 2}


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no signals of one's own")
def test_signal_handlers_may_record() -> None:
    """Inside whatever block is open: every pass counts, and is that block's child."""
    p = Profiler("signalled")
    handled = 0

    @p.track(1)
    def handler(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1
        with p.block(1, "in the handler"):
            pass

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        for _ in range(200):
            with p.block(0, "outer"):
                signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert handled == 200
    assert hits(p) == {"outer": 200, "handler": 200, "in the handler": 200}
    (outer,) = p.get_results().tree.children
    assert [(n.name, n.hit_count) for n, _ in outer.walk()] == [
        ("outer", 200),
        ("handler", 200),
        ("in the handler", 200),
    ]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no interval timer")
def test_signals_at_any_moment_lose_no_pass() -> None:
    """A timer interrupts registering, recording, reading and clearing of another profiler."""
    p, other = Profiler("signalled"), Profiler("other")
    handled = made = 0

    def handler(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1
        with p.block("signals", f"signal {handled % 10}"):
            other.clear()

    before = signal.signal(signal.SIGALRM, handler)
    armed = -1
    try:
        while handled < 100:
            if (
                armed < handled
            ):  # one at a time: a handler that is slow must not be interrupted for ever
                armed = handled
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
            made += 1
            with p.block(0, f"work {made % 100}"):
                with other.block(0, f"{made % 50}"):
                    pass
                if made % 20 == 0:
                    p.get_results()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = hits(p)
    assert sum(n for name, n in found.items() if name.startswith("work")) == made
    assert sum(n for name, n in found.items() if name.startswith("signal")) == handled
    assert all(re.fullmatch(r"(work|signal) \d+", name) for name in found)
