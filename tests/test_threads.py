"""Threads: each records its own, none waits or is lost, and what is read meanwhile is right."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, recorded
from stichotrope import ProfileBlock, Profiler, ProfilerResults, profiler, set_global_enabled

pytestmark = [
    pytest.mark.integration,
    pytest.mark.thread_safety,
    pytest.mark.usefixtures("switching"),
]

WAIT = 120  # seconds until a thread that others wait for is given up


@pytest.fixture
def p() -> Profiler:
    """A profiler of the test's own."""
    return Profiler("threads")


def passes(block: Any, count: int) -> None:
    """Enter and leave a block that often."""
    for _ in range(count):
        with block:
            pass


# Registration and isolation


def test_two_threads_do_not_see_each_others_passes(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """One block, open on both at once: each thread's share is its own, to the nanosecond."""
    block = p.block(0, "shared")
    together = threading.Barrier(2)

    def work(ns: int, times: int) -> None:
        for _ in range(times):
            together.wait(WAIT)
            with block:
                clock.advance(ns)
                together.wait(WAIT)

    threads.together(lambda: work(3, 10), lambda: work(500, 10))
    shares = [recorded(share)["shared"] for share in p.get_results().threads]
    assert sorted((b.hit_count, b.total_time_ns, b.min_time_ns, b.max_time_ns) for b in shares) == [
        (10, 30, 3, 3),
        (10, 5000, 500, 500),
    ]
    assert recorded(p)["shared"].hit_count == 20


def test_three_threads_are_three_entries(p: Profiler, threads: Threads) -> None:
    """Each with its id, its name and its own key."""
    block = p.block(0, "x")
    alive = threading.Barrier(4)

    def work() -> int:
        passes(block, 1)
        alive.wait(WAIT)
        alive.wait(WAIT)
        return threading.get_ident()

    join = threads.spawn(work, work, work)
    alive.wait(WAIT)
    data = p._all_thread_data
    living = [share.alive for share in p.get_results().threads]
    alive.wait(WAIT)
    ids = join()
    assert sorted(entry.thread_id for entry in data.values()) == sorted(ids)
    assert {entry.thread_name for entry in data.values()} == {f"worker {i}" for i in range(3)}
    assert (len(data), living) == (3, [True] * 3)
    assert [share.alive for share in p.get_results().threads] == [False] * 3


def test_a_thread_is_registered_by_its_first_pass(p: Profiler, threads: Threads) -> None:
    """Not by making a block, by decorating, or by reading results."""

    @p.track(0)
    def function() -> None:
        """Do nothing."""

    def work() -> tuple[int, int]:
        p.block(0, "made only")
        before = len(p.get_results().threads)
        function()
        return before, len(p.get_results().threads)

    assert threads.one_by_one(work) == [(0, 1)]
    assert hits(p) == {"function": 1, "made only": 0}


def test_a_new_threads_first_use_of_everything_is_right(p: Profiler, threads: Threads) -> None:
    """Its first call, its first block, first decoration, first profiler: all in one new thread."""

    def work() -> dict[str, int]:
        own = Profiler("own")
        with own.block("first", "b"):
            own.track("first", "f")(len)(())
        with p.block(0, "b"):
            pass
        return hits(own)

    assert threads.one_by_one(work, work) == [{"b": 1, "f": 1}] * 2
    assert hits(p) == {"b": 2}


def test_two_threads_record_without_waiting_for_each_other(p: Profiler, threads: Threads) -> None:
    """While one stands still inside a pass, the other makes a thousand; and back."""
    block = p.block(0, "x")
    turns = [threading.Event() for _ in range(3)]

    def first() -> None:
        with block:
            turns[0].set()
            turns[1].wait(WAIT)
            passes(block, 1000)
            turns[2].set()

    def second() -> None:
        turns[0].wait(WAIT)
        passes(block, 1000)
        with block:
            turns[1].set()
            turns[2].wait(WAIT)

    threads.together(first, second)
    assert [hits(share) for share in p.get_results().threads] == [{"x": 1001}, {"x": 1001}]


def test_a_thread_that_recorded_nothing_is_no_entry(p: Profiler, threads: Threads) -> None:
    """Also if it ran others' code, or recorded into another profiler."""
    other = Profiler("other")

    def elsewhere() -> None:
        with other.block(0, "x"):
            pass

    threads.together(elsewhere, lambda: passes(p.block(0, "mine"), 2), lambda: None)
    assert [hits(share) for share in p.get_results().threads] == [{"mine": 2}]
    assert [hits(share) for share in other.get_results().threads] == [{"x": 1}]


def test_a_thread_whose_only_pass_is_open_is_there_with_its_time(
    p: Profiler, threads: Threads
) -> None:
    """Nothing ended yet, and what is open counts as far as it has come."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with p.block(0, "open"):
            inside.set()
            leave.wait(WAIT)

    join = threads.spawn(work)
    inside.wait(WAIT)
    before = p.get_results()
    leave.set()
    join()
    (share,) = before.threads
    (block,) = share.tracks[0].blocks
    assert (before.total_hits, share.total_hits, block.open_count) == (0, 0, 1)
    assert before.total_time_ns == share.total_time_ns > 0
    assert hits(p) == {"open": 1}


def test_threads_with_different_blocks_meet_in_one_result(p: Profiler, threads: Threads) -> None:
    """Every thread's share lists every block, with the same indices, and its own hits."""

    def work(own: int) -> None:
        passes(p.block(0, "common"), 5)
        passes(p.block(own, f"own {own}"), own)

    threads.together(*(lambda i=i: work(i) for i in (1, 2, 3)))
    results = p.get_results()
    assert hits(results) == {"common": 15, "own 1": 1, "own 2": 2, "own 3": 3}
    for share in results.threads:
        found = hits(share)
        own = [name for name in found if name != "common" and found[name]]
        assert len(own) == 1
        assert found == {"common": 5, "own 1": 0, "own 2": 0, "own 3": 0} | {
            own[0]: int(own[0][-1])
        }


def test_three_threads_with_known_times_merge_exactly(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Totals add up, extremes are the extremes of all, spread is over all passes."""
    block = p.block(0, "x")

    def work(*durations: int) -> None:
        for ns in durations:
            with block:
                clock.advance(ns)

    threads.together(lambda: work(10, 20), lambda: work(5), lambda: work(100, 100, 15))
    merged = recorded(p)["x"]
    assert (merged.hit_count, merged.total_time_ns, merged.sum_squares_ns2) == (6, 250, 20_750)
    assert (merged.min_time_ns, merged.max_time_ns) == (5, 100)
    assert merged.avg_time_ns == 250 / 6
    assert merged.stddev_time_ns == pytest.approx((20_750 / 6 - (250 / 6) ** 2) ** 0.5)
    assert [merged.percentile(q) for q in (0, 50, 100)] == [5, 15, 100]


def test_merging_threads_keeps_what_results_say_of_blocks_tracks_and_the_run(
    p: Profiler, threads: Threads
) -> None:
    """Names, files, lines, indices, switches and metadata are the profiler's, in each share."""
    p.set_track_name(1, "I/O")
    p.set_track_enabled(2, False)

    def work() -> None:
        with p.block(1, "read"), p.block(2, "off"):
            pass

    threads.together(work, work, work)
    results = p.get_results()
    line = recorded(results)["read"].line
    for source in (results, *results.threads):
        tracks = source.tracks
        assert {i: (t.track_name, t.enabled) for i, t in tracks.items()} == {
            1: ("I/O", True),
            2: ("Track 2", False),
        }
        read = tracks[1].blocks[0]
        assert (read.name, read.file, read.line, read.block_idx) == ("read", __file__, line, 0)
    for alone in [p.get_results(thread=share.key) for share in results.threads]:
        same = ("clock", "python", "platform", "process", "start_ns", "overhead_ns_per_pass")
        assert alone.profiler_name == results.profiler_name
        assert {k: alone.metadata[k] for k in same if k != "clock"} == {
            k: results.metadata[k] for k in same if k != "clock"
        }
        assert alone.metadata["clock"]["source"] == results.metadata["clock"]["source"]
        assert alone.metadata["threads"] == 3


def test_blocks_nest_on_each_thread_by_themselves(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """What a thread enters is never the child of what another has open."""
    outer, inner = p.block(0, "outer"), p.block(1, "inner")
    entered = threading.Barrier(2)

    def nested() -> None:
        with outer:
            entered.wait(WAIT)
            clock.advance(10)
            with inner:
                clock.advance(1)
            entered.wait(WAIT)

    def alone() -> None:
        entered.wait(WAIT)
        with inner:
            clock.advance(100)
        entered.wait(WAIT)

    threads.together(nested, alone)
    results = p.get_results()
    blocks = recorded(results)
    assert (blocks["outer"].total_time_ns, blocks["outer"].self_time_ns) == (11, 10)
    assert (blocks["inner"].hit_count, blocks["inner"].total_time_ns) == (2, 101)
    assert (results.total_time_ns, results.tracks[1].total_time_ns) == (111, 101)
    rows = {(n.name, depth, n.total_time_ns) for n, depth in results.tree.walk() if depth}
    assert rows == {("outer", 1, 11), ("inner", 2, 1), ("inner", 1, 100)}


def test_threads_nest_differently_and_their_trees_merge_path_by_path(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """a under b on one, b under a on the other, both recursing."""
    a, b = p.block(0, "a"), p.block(0, "b")

    def work(first: Any, second: Any) -> None:
        for _ in range(10):
            with first:
                clock.advance(1)
                with second:
                    clock.advance(2)
                    with first:
                        clock.advance(4)

    threads.together(lambda: work(a, b), lambda: work(b, a))
    results = p.get_results()
    rows = {(n.name, depth): (n.hit_count, n.total_time_ns) for n, depth in results.tree.walk()}
    assert rows == {
        ("", 0): (0, 0),
        ("a", 1): (20, 70),
        ("b", 2): (10, 60),
        ("b", 1): (20, 70),
        ("a", 2): (10, 60),
    }
    figures = {n: (x.hit_count, x.total_time_ns, x.self_time_ns) for n, x in recorded(p).items()}
    assert figures == {"a": (30, 130, 70), "b": (30, 130, 70)}
    assert results.total_time_ns == 140


# Registries


def test_threads_that_reach_a_new_line_at_once_make_one_block(
    p: Profiler, threads: Threads
) -> None:
    """Eight threads, fifty lines made up for the purpose: fifty blocks, eight hits each."""
    places = [
        compile("\n" * i + "with p.block('track', 'x'): pass", "<new>", "exec") for i in range(50)
    ]
    step = threading.Barrier(8)

    def work() -> None:
        for place in places:
            step.wait(WAIT)
            exec(place, {"p": p})

    threads.together(*[work] * 8)
    (track,) = p.get_results().tracks.values()
    assert [(b.line, b.block_idx, b.hit_count) for b in track.blocks] == [
        (i + 1, i, 8) for i in range(50)
    ]


def test_threads_that_decorate_at_once_share_the_call_site_cache(
    p: Profiler, threads: Threads
) -> None:
    """The same function by all of them is one block; others are numbered densely."""
    step = threading.Barrier(6)

    def function() -> None:
        """Do nothing."""

    def work(own: int) -> None:
        for i in range(20):
            step.wait(WAIT)
            p.track(0, f"common {i}")(function)()
            p.track(0, f"own {own} {i}")(function)()

    threads.together(*(lambda i=i: work(i) for i in range(6)))
    (track,) = p.get_results().tracks.values()
    assert [b.block_idx for b in track.blocks] == list(range(20 + 120))
    found = {b.name: b.hit_count for b in track.blocks}
    assert found == {f"common {i}": 6 for i in range(20)} | {
        f"own {own} {i}": 1 for own in range(6) for i in range(20)
    }
    mine = [v for v in profiler._CALL_SITE_CACHE.values() if v[0] == p._profiler_id]
    assert sorted(index for _, index in mine) == list(range(140))


def test_profilers_made_at_once_have_ids_of_their_own(threads: Threads) -> None:
    """Eight threads make twenty-five each: two hundred ids, registered, growing on each thread."""
    made = threads.together(*[lambda: [Profiler(f"{i}") for i in range(25)]] * 8)
    ids = [[q._profiler_id for q in part] for part in made]
    assert all(part == sorted(part) for part in ids)
    assert len({i for part in ids for i in part}) == 200
    assert all(profiler._PROFILER_REGISTRY[q._profiler_id] is q for part in made for q in part)


def test_tracks_named_at_once_have_indices_of_their_own(p: Profiler, threads: Threads) -> None:
    """Six threads name ten tracks, all of them the same ones: ten tracks, indices 0 to 9."""
    step = threading.Barrier(6)

    def work() -> None:
        for i in range(10):
            step.wait(WAIT)
            passes(p.block(f"track {i}", "x"), 3)

    threads.together(*[work] * 6)
    tracks = p.get_results().tracks
    assert [(i, t.track_name, t.total_hits) for i, t in sorted(tracks.items())] == [
        (i, f"track {i}", 18) for i in range(10)
    ]


# Pools, and threads that come and go


def test_a_pool_of_ten_workers_records_a_hundred_tasks(p: Profiler) -> None:
    """Every task once, by no more than ten threads, nested where it was."""

    @p.track(0)
    def task(n: int) -> int:
        with p.block(1, "step"):
            return n * n

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(task, range(100))) == [n * n for n in range(100)]
    results = p.get_results()
    assert hits(results) == {"task": 100, "step": 100}
    assert 1 <= len(results.threads) <= 10
    assert sum(share.total_hits for share in results.threads) == 200
    (node,) = results.tree.children
    assert (node.name, [(c.name, c.hit_count) for c in node.children]) == ("task", [("step", 100)])


def test_threads_that_end_and_threads_that_start_are_all_kept(
    p: Profiler, threads: Threads
) -> None:
    """Four rounds of five threads, fifteen hits each: 20 entries, 300 hits."""
    block = p.block(0, "x")
    for _ in range(4):
        threads.together(*[lambda: passes(block, 15)] * 5)
    results = p.get_results()
    assert (hits(results), len(results.threads), len(p._all_thread_data)) == ({"x": 300}, 20, 20)
    assert {share.total_hits for share in results.threads} == {15}
    assert len({share.key for share in results.threads}) == 20


def test_a_hundred_threads_in_a_row_are_a_hundred_entries(p: Profiler, threads: Threads) -> None:
    """Though the system gives the same id to many of them."""
    block = p.block(0, "x")
    threads.one_by_one(*(lambda i=i: passes(block, i) for i in range(1, 101)))
    data = p._all_thread_data
    assert sorted(data) == list(data)
    assert [entry.tracks[0].blocks[0].hit_count for entry in data.values()] == list(range(1, 101))
    assert hits(p) == {"x": 5050}


def test_a_hundred_threads_at_once_are_a_hundred_entries(p: Profiler, threads: Threads) -> None:
    """All inside the same block at the same moment."""
    block = p.block(0, "x")
    inside = threading.Barrier(100)

    def work() -> None:
        with block:
            inside.wait(WAIT)
        passes(block, 9)

    threads.together(*[work] * 100)
    results = p.get_results()
    assert (hits(results), len(results.threads)) == ({"x": 1000}, 100)
    assert Counter(share.total_hits for share in results.threads) == {10: 100}
    assert not any(share.alive for share in results.threads)


def test_a_thread_that_reads_before_it_records_keeps_its_name(p: Profiler) -> None:
    """It is known from its first look on, as it is called."""

    def work() -> None:
        assert p.get_results().total_hits == 0
        passes(p.block(0, "x"), 7)

    thread = threading.Thread(target=work, name="reads first")
    thread.start()
    thread.join(WAIT)
    (share,) = p.get_results().threads
    assert (share.name, share.total_hits) == ("reads first", 7)


def test_threads_that_python_did_not_start_are_recorded(p: Profiler) -> None:
    """By the low-level module: no name is known, the passes are all there."""
    import _thread

    block = p.block(0, "x")
    done = [threading.Lock() for _ in range(3)]

    def work(mine: Any) -> None:
        passes(block, 7)
        mine.release()

    for lock in done:
        lock.acquire()
        _thread.start_new_thread(work, (lock,))
    for lock in done:
        assert lock.acquire(timeout=WAIT)
    results = p.get_results()
    assert (hits(results), len(results.threads)) == ({"x": 21}, 3)
    assert all(share.name == f"thread {share.key}" for share in results.threads)


# Reading while others write


def is_whole(block: ProfileBlock, ns: int) -> bool:
    """Whether the figures of a block whose passes all take `ns` belong to one moment."""
    n = block.hit_count
    return (
        (block.sum_time_ns, block.sum_squares_ns2) == (n * ns, n * ns * ns)
        # A reader's own clock stands still here, so what is open has no time that could be known.
        and (block.total_time_ns == n * ns or block.open_count > 0)
        and (block.min_time_ns, block.max_time_ns) == ((ns, ns) if n else (0, 0))
        and [count for _, _, count in block.histogram] == ([n] if n else [])
    )


def read_while_recording(
    p: Profiler, clock: ManualClock, threads: Threads, writers: int, readers: int, times: int
) -> None:
    """Let threads record passes of 12 ns inside passes of 20 ns, and check what others read."""
    outer, inner = p.block(0, "outer"), p.block(1, "inner")
    running = [writers]
    counting = threading.Lock()

    def write() -> None:
        for _ in range(times):
            with outer:
                clock.advance(8)
                with inner:
                    clock.advance(12)
        with counting:
            running[0] -= 1

    def read() -> int:
        last: dict[tuple[int, str], int] = {}
        seen = 0
        done = False
        while not done:
            done = running[0] == 0
            results = p.get_results()
            check(results, last)
            seen += 1
        return seen

    def check(results: ProfilerResults, last: dict[tuple[int, str], int]) -> None:
        for key, source in [(0, results), *((share.key, share) for share in results.threads)]:
            blocks = recorded(source)
            assert is_whole(blocks["outer"], 20)
            assert is_whole(blocks["inner"], 12)
            for name, block in blocks.items():
                assert block.hit_count >= last.get((key, name), 0)
                last[key, name] = block.hit_count

    counts = threads.together(*[write] * writers, *[read] * readers)
    assert hits(p) == {"outer": writers * times, "inner": writers * times}
    assert recorded(p)["outer"].self_time_ns == 8 * writers * times
    assert all(count >= 1 for count in counts[writers:])


def test_results_that_are_read_while_others_record_are_whole_and_never_go_down(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Three threads read while five record: no record is torn, in no reading, for no thread."""
    read_while_recording(p, clock, threads, writers=5, readers=3, times=10_000)


def test_every_thread_may_read_while_it_records(p: Profiler, threads: Threads) -> None:
    """Inside a pass of its own, of which the results know nothing yet."""

    @p.track(0)
    def tracked() -> int:
        return hits(p)["tracked"]

    def work() -> list[int]:
        return [tracked() for _ in range(50)]

    found = threads.together(*[work] * 4)
    assert all(seen == sorted(set(seen)) for seen in found)
    assert hits(p) == {"tracked": 200}


def test_one_snapshot_does_not_change_while_others_record(p: Profiler, threads: Threads) -> None:
    """Its threads are worked out when first asked for, from the figures of its own moment."""
    block = p.block(0, "x")
    threads.together(*[lambda: passes(block, 10)] * 3)
    results = p.get_results()
    threads.together(*[lambda: passes(block, 1000)] * 3)
    assert hits(results) == {"x": 30}
    assert [share.total_hits for share in results.threads] == [10] * 3
    assert hits(p) == {"x": 3030}


# Switching and clearing under load


def test_a_track_switched_under_load_never_disturbs_another(p: Profiler, threads: Threads) -> None:
    """The other's count is exact; the switched one's stands still while it is off."""
    steady, switched = p.block(0, "steady"), p.block(1, "switched")
    stop = threading.Event()
    rounds: list[int] = []

    def work() -> int:
        count = 0
        while not stop.is_set():
            with steady, switched:
                count += 1
        return count

    def toggle() -> None:
        try:
            for i in range(100):
                p.set_track_enabled(1, i % 2 == 1)
                if i % 10 == 0:
                    rounds.append(hits(p)["switched"])
        finally:
            stop.set()

    counts = threads.together(work, work, work, toggle)[:3]
    found = hits(p)
    assert found["steady"] == sum(counts)
    assert found["switched"] <= found["steady"]
    assert rounds == sorted(rounds)
    p.set_track_enabled(1, False)
    passes(switched, 10)
    assert hits(p)["switched"] == found["switched"]
    p.set_track_enabled(1, True)
    passes(switched, 10)
    assert hits(p)["switched"] == found["switched"] + 10


@pytest.mark.parametrize("how", ["track", "profiler", "global"])
def test_once_a_switch_is_off_no_new_pass_is_recorded_on_any_thread(
    p: Profiler, threads: Threads, how: str
) -> None:
    """While it is off, four threads record nothing; before and after, everything."""
    block = p.block(0, "x")
    step = threading.Barrier(5)

    def switch(on: bool) -> None:
        if how == "track":
            p.set_track_enabled(0, on)
        elif how == "profiler":
            (p.start if on else p.stop)()
        else:
            set_global_enabled(on)

    def work() -> None:
        for _ in range(3):
            step.wait(WAIT)
            passes(block, 100)
            step.wait(WAIT)

    def control() -> list[int]:
        found = []
        for on in (True, False, True):
            switch(on)
            step.wait(WAIT)
            step.wait(WAIT)
            found.append(hits(p)["x"])
        return found

    assert threads.together(work, work, work, work, control)[4] == [400, 400, 800]


def test_clearing_under_load_loses_nothing_that_comes_after(p: Profiler, threads: Threads) -> None:
    """However often it is cleared while they record, what four threads do afterwards is exact."""
    outer, inner = p.block(0, "outer"), p.block(0, "inner")
    step = threading.Barrier(5)
    stop = threading.Event()

    def both() -> None:
        with outer, inner:
            pass

    def work() -> None:
        while not stop.is_set():
            both()
        step.wait(WAIT)
        step.wait(WAIT)
        for _ in range(100):
            both()

    def clear() -> None:
        for _ in range(200):
            p.clear()
        stop.set()
        step.wait(WAIT)
        p.clear()
        step.wait(WAIT)

    threads.together(work, work, work, work, clear)
    results = p.get_results()
    assert hits(results) == {"outer": 400, "inner": 400}
    assert len(results.threads) == 4
    assert [(n.name, n.hit_count) for n, depth in results.tree.walk() if depth] == [
        ("outer", 400),
        ("inner", 400),
    ]


def test_results_of_a_session_are_of_that_session_alone(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Read while others record and it is cleared: every reading is whole."""
    block = p.block(0, "x")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with block:
                clock.advance(12)

    def read() -> None:
        for _ in range(100):
            results = p.get_results()
            assert is_whole(recorded(results)["x"], 12)
            assert sum(share.total_hits for share in results.threads) == results.total_hits

    def clear() -> None:
        join = threads.spawn(read, read)
        try:
            for _ in range(200):
                p.clear()
            join()
        finally:
            stop.set()

    threads.together(write, write, write, clear)


# Much of everything


def record_much(p: Profiler, threads: Threads, count: int, times: int) -> None:
    """Let threads pass through three levels each, and check every count."""
    blocks = [p.block(i, f"level {i}") for i in range(3)]

    @p.track(3)
    def leaf(n: int) -> int:
        return n + 1

    def work() -> int:
        n = 0
        for _ in range(times):
            with blocks[0], blocks[1], blocks[2]:
                n = leaf(n)
        return n

    assert threads.together(*[work] * count) == [times] * count
    results = p.get_results()
    expected = dict.fromkeys(("level 0", "level 1", "level 2", "leaf"), count * times)
    assert (hits(results), len(results.threads)) == (expected, count)
    assert [hits(share) for share in results.threads] == [dict.fromkeys(expected, times)] * count
    assert [(n.name, depth) for n, depth in results.tree.walk()][1:] == [
        ("level 0", 1),
        ("level 1", 2),
        ("level 2", 3),
        ("leaf", 4),
    ]


def test_many_threads_with_many_passes_are_counted_exactly(p: Profiler, threads: Threads) -> None:
    """8 threads × 4 blocks × 1,000 passes."""
    record_much(p, threads, 8, 1_000)


@pytest.mark.slow
@pytest.mark.stress
def test_many_more_threads_with_many_more_passes_are_counted_exactly(
    p: Profiler, threads: Threads
) -> None:
    """32 threads × 4 blocks × 50,000 passes: 6.4 million."""
    record_much(p, threads, 32, 50_000)


def test_a_hundred_thousand_passes_on_one_thread(p: Profiler, threads: Threads) -> None:
    """Of a kept block, one by one."""
    block = p.block(0, "x")
    threads.one_by_one(lambda: passes(block, 100_000))
    assert hits(p) == {"x": 100_000}
    assert recorded(p)["x"].histogram.total == 100_000


def long_session(p: Profiler, threads: Threads, rounds: int) -> None:
    """Threads and profilers come and go; results are taken, tracks switched, all is cleared."""
    block = p.block(0, "x")
    rng = random.Random(20_240_229)
    expected = entries = 0
    for number in range(rounds):
        counts = [rng.randrange(1, 200) for _ in range(rng.randrange(1, 6))]
        threads.together(*(lambda n=n: passes(block, n) for n in counts))
        expected += sum(counts)
        entries += len(counts)
        assert (hits(p)["x"], len(p.get_results().threads)) == (expected, entries)
        if number % 7 == 6:
            p.set_track_enabled(0, False)
            threads.together(lambda: passes(block, 50), lambda: passes(block, 50))
            p.set_track_enabled(0, True)
        if number % 11 == 10:
            p.clear()
            expected = entries = 0
        with Profiler(f"for round {number}").block(0, "short-lived"):
            pass


def test_a_long_session_stays_exact(p: Profiler, threads: Threads) -> None:
    """Forty rounds of it."""
    long_session(p, threads, 40)


@pytest.mark.slow
@pytest.mark.stress
def test_a_very_long_session_stays_exact(p: Profiler, threads: Threads) -> None:
    """A thousand rounds of it."""
    long_session(p, threads, 1_000)


@pytest.mark.slow
@pytest.mark.stress
def test_results_that_are_read_under_heavy_load_are_whole(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Three threads read while sixteen record a hundred thousand passes each."""
    read_while_recording(p, clock, threads, writers=16, readers=3, times=50_000)


@pytest.mark.slow
@pytest.mark.stress
def test_two_thousand_threads_in_a_row_keep_every_hit(threads: Threads) -> None:
    """With the newest thousand as entries of their own and the rest in one."""
    p = Profiler("many", retain_threads=1000)
    block = p.block(0, "x")
    threads.one_by_one(*[lambda: passes(block, 3)] * 2000)
    assert hits(p) == {"x": 6000}
