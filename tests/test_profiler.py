"""The profiler: switches, tracks and their numbers, clearing, and what results say of the run."""

from __future__ import annotations

import copy
import io
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, recorded
from stichotrope import (
    Profiler,
    ProfilerResults,
    is_global_enabled,
    profiler,
    set_global_enabled,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def p() -> Profiler:
    """A profiler of the test's own."""
    return Profiler("switched")


def plain() -> str:
    """Answer."""
    return "answer"


# Off at decoration


def test_while_globally_off_decorating_gives_the_very_function(p: Profiler) -> None:
    """For good: switching on later does not change it."""
    set_global_enabled(False)
    tracked = p.track(0)(plain)
    set_global_enabled(True)
    tracked()
    assert tracked is plain
    assert p.get_results().tracks == {}


def test_what_counts_is_the_moment_of_decoration(p: Profiler) -> None:
    """Not the one in which the decorator was made."""
    before = p.track(0)
    set_global_enabled(False)
    assert before(plain) is plain
    during = p.track(0)
    set_global_enabled(True)
    assert during(plain) is not plain


@pytest.mark.parametrize("kind", [staticmethod, classmethod, property])
def test_while_globally_off_descriptors_hold_the_very_function(
    p: Profiler, kind: Callable[[Any], Any]
) -> None:
    """No wrapper is left inside a static method, a class method or a property."""
    set_global_enabled(False)
    made: Any = p.track(0)(kind(plain))
    inside = made.fget if kind is property else made.__func__
    assert (type(made), inside) == (kind, plain)


def test_while_globally_off_bad_input_is_still_refused(p: Profiler) -> None:
    """A program that is wrong is wrong in production, too."""
    set_global_enabled(False)
    with pytest.raises(ValueError, match="-1"):
        p.track(-1)
    with pytest.raises(TypeError, match="callable"):
        p.track(0)(3)  # type: ignore[arg-type]


# Off later


def switch_global(p: Profiler, on: bool) -> None:
    """The first switch."""
    set_global_enabled(on)


def switch_profiler(p: Profiler, on: bool) -> None:
    """The second switch."""
    if on:
        p.start()
    else:
        p.stop()


def switch_track(p: Profiler, on: bool) -> None:
    """The third switch."""
    p.set_track_enabled(0, on)


each_switch = pytest.mark.parametrize("switch", [switch_global, switch_profiler, switch_track])


@each_switch
def test_while_off_calls_and_blocks_pass_through(
    p: Profiler, switch: Callable[[Profiler, bool], None]
) -> None:
    """They work as ever, nothing is recorded, and what was recorded stays."""
    tracked, kept = p.track(0)(plain), p.block(0, "kept")

    def everything() -> str:
        with kept, p.block(0, "inline"):
            return tracked()

    assert everything() == "answer"
    switch(p, False)
    assert everything() == "answer"
    assert hits(p) == {"plain": 1, "kept": 1, "inline": 1}
    switch(p, True)
    assert everything() == "answer"
    assert hits(p) == {"plain": 2, "kept": 2, "inline": 2}


@each_switch
def test_while_off_exceptions_pass_through(
    p: Profiler, switch: Callable[[Profiler, bool], None]
) -> None:
    """From functions and from blocks."""
    switch(p, False)
    error = ValueError("mine")

    @p.track(0)
    def fails() -> None:
        raise error

    if switch is not switch_global:
        assert hasattr(fails, "__wrapped__")
    with pytest.raises(ValueError, match="mine") as met, p.block(0, "x"):
        fails()
    assert met.value is error
    assert set(hits(p).values()) == {0}


@each_switch
def test_a_pass_that_is_open_when_it_is_switched_off_is_recorded(
    p: Profiler, clock: ManualClock, switch: Callable[[Profiler, bool], None]
) -> None:
    """With its whole time; what begins inside it afterwards is not."""
    with p.block(0, "outer"):
        clock.advance(10)
        switch(p, False)
        with p.block(0, "inner"):
            clock.advance(5)
        clock.advance(1)
    outer = recorded(p)["outer"]
    assert (outer.hit_count, outer.total_time_ns, outer.self_time_ns) == (1, 16, 16)
    assert recorded(p)["inner"].hit_count == 0


@each_switch
def test_a_call_that_is_open_when_it_is_switched_off_is_recorded(
    p: Profiler, clock: ManualClock, switch: Callable[[Profiler, bool], None]
) -> None:
    """As a block is."""

    @p.track(0)
    def function() -> None:
        clock.advance(10)
        switch(p, False)
        clock.advance(1)

    function()
    assert (hits(p), p.get_results().total_time_ns) == ({"function": 1}, 11)


@each_switch
def test_a_block_that_was_entered_while_off_is_not_recorded(
    p: Profiler, clock: ManualClock, switch: Callable[[Profiler, bool], None]
) -> None:
    """Though it is on again when the block is left; and leaving it is no error."""
    switch(p, False)
    with p.block(0, "outer"):
        switch(p, True)
        with p.block(0, "inner"):
            clock.advance(3)
    assert hits(p) == {"outer": 0, "inner": 1}
    assert p.get_results().total_time_ns == 3


@each_switch
def test_a_recursive_block_keeps_its_passes_apart_when_switched_in_between(
    p: Profiler, clock: ManualClock, switch: Callable[[Profiler, bool], None]
) -> None:
    """Entered on, off and on again, left in reverse: 30 ns, nothing, 10 ns."""
    block = p.block(0, "again")
    with block:
        clock.advance(10)
        switch(p, False)
        with block:
            switch(p, True)
            with block:
                clock.advance(10)
            clock.advance(10)
    figures = recorded(p)["again"]
    assert (figures.hit_count, figures.total_time_ns) == (2, 30)
    assert (figures.min_time_ns, figures.max_time_ns) == (10, 30)


def test_every_combination_of_the_three_switches(p: Profiler) -> None:
    """Recorded is what all three let through."""
    tracked = p.track(0)(plain)
    expected = 0
    for bits in range(8):
        everywhere, whole, track = bool(bits & 1), bool(bits & 2), bool(bits & 4)
        set_global_enabled(everywhere)
        switch_profiler(p, whole)
        p.set_track_enabled(0, track)
        tracked()
        with p.block(0, "x"):
            pass
        expected += everywhere and whole and track
        assert hits(p) == {"plain": expected, "x": expected}
        assert (is_global_enabled(), p.is_started(), p.is_track_enabled(0)) == (
            everywhere,
            whole,
            track,
        )
    assert expected == 1


@pytest.mark.parametrize("made", ["before", "while off"])
def test_a_track_that_appears_while_off_is_off_until_it_is_on(p: Profiler, made: str) -> None:
    """Whether the track was known when its profiler was stopped or not."""
    if made == "before":
        p.block(0, "x")
    p.stop()
    for _ in range(2):
        with p.block(0, "y"):
            pass
        p.start()
    assert hits(p)["y"] == 1


def test_a_profiler_made_while_globally_off_records_once_it_is_on() -> None:
    """It is started, as every new one."""
    set_global_enabled(False)
    p = Profiler("made while off")
    with p.block(0, "x"):
        pass
    set_global_enabled(True)
    with p.block(0, "y"):
        pass
    assert (p.is_started(), hits(p)) == (True, {"x": 0, "y": 1})


def test_the_global_switch_acts_on_all_profilers_and_leaves_their_own_alone(p: Profiler) -> None:
    """One that was stopped stays stopped when all are switched on again."""
    stopped = Profiler("stopped")
    stopped.stop()
    set_global_enabled(False)
    assert (p.is_started(), stopped.is_started()) == (True, False)
    set_global_enabled(True)
    with p.block(0, "x"), stopped.block(0, "x"):
        pass
    assert (hits(p), hits(stopped)) == ({"x": 1}, {"x": 0})


def test_switching_twice_is_the_same_as_once(p: Profiler) -> None:
    """Switches are not counted."""
    for _ in range(2):
        p.stop()
        set_global_enabled(False)
        p.set_track_enabled(0, False)
    p.start()
    set_global_enabled(True)
    p.set_track_enabled(0, True)
    with p.block(0, "x"):
        pass
    assert hits(p) == {"x": 1}


def test_a_track_that_is_off_leaves_the_others_on(p: Profiler, clock: ManualClock) -> None:
    """What is skipped between two recorded blocks leaves no trace in the tree."""
    p.set_track_enabled(1, False)
    with p.block(0, "a"):
        clock.advance(1)
        with p.block(1, "b"):
            clock.advance(2)
            with p.block(2, "c"):
                clock.advance(4)
    rows = [(node.name, node.total_time_ns, node.self_time_ns) for node, _ in tree(p)]
    assert rows == [("a", 7, 3), ("c", 4, 4)]
    assert {i: t.enabled for i, t in p.get_results().tracks.items()} == {0: True, 1: False, 2: True}


def tree(p: Profiler) -> list[Any]:
    """The nodes of the call tree below the root."""
    return list(p.get_results().tree.walk())[1:]


def test_a_track_is_enabled_until_somebody_switches_it_off(p: Profiler) -> None:
    """Also one that nobody has used."""
    assert p.is_track_enabled(7)
    assert p.is_track_enabled("nobody's")
    assert p.get_results().tracks == {}
    p.set_track_enabled("nobody's", False)
    assert (p.is_track_enabled("nobody's"), p.is_track_enabled(0)) == (False, True)
    assert p.get_results().tracks == {}


def test_enable_track_and_disable_track_are_short_for_the_switch(p: Profiler) -> None:
    """By index and by name."""
    with p.block("io", "x"):
        p.disable_track("io")
    assert not p.is_track_enabled(0)
    p.enable_track(0)
    assert p.is_track_enabled("io")
    with pytest.raises(ValueError, match="index must be 0 or more, not -1"):
        p.disable_track(-1)


def test_switching_a_track_that_there_is_not_yet_makes_none(p: Profiler) -> None:
    """A name is remembered until there is one of it; it takes no index, and can be put on again."""
    p.set_track_enabled("io", False)
    p.set_track_enabled("net", False)
    p.set_track_enabled("net", True)
    assert p.get_results().tracks == {}
    for track in ("net", "io"):
        with p.block(track, f"on {track}"):
            pass
    assert hits(p) == {"on net": 1, "on io": 0}


def test_switching_what_is_nearly_a_tracks_name_is_a_warning(p: Profiler) -> None:
    """It names the line that switched, and the track that was meant."""
    p.block("database", "x")
    with pytest.warns(
        RuntimeWarning, match="no track 'databse' yet; did you mean 'database'"
    ) as said:
        p.set_track_enabled("databse", False)
    assert said[0].filename == __file__
    with pytest.warns(RuntimeWarning, match="did you mean 'database'") as said:
        p.disable_track("data base")
    assert said[0].filename == __file__
    assert p.is_track_enabled("database")


def test_a_track_can_be_switched_before_its_first_block(p: Profiler) -> None:
    """It is off when the block comes."""
    p.set_track_enabled(3, False)
    with p.block(3, "x"):
        pass
    assert hits(p) == {"x": 0}


def test_results_taken_before_a_switch_do_not_change(p: Profiler) -> None:
    """They are what was at that moment."""
    with p.block(0, "x"):
        pass
    before = p.get_results()
    p.set_track_enabled(0, False)
    p.set_track_name(0, "later")
    p.clear()
    assert (before.tracks[0].enabled, before.tracks[0].track_name) == (True, "Track 0")
    assert hits(before) == {"x": 1}
    assert [hits(share) for share in before.threads] == [{"x": 1}]


# Tracks and blocks by number


def test_named_tracks_get_the_next_free_index(p: Profiler) -> None:
    """In order of first use, around those that are taken by number."""
    for track in ("a", 1, "b", "a", "c"):
        with p.block(track, "x"):
            pass
    found = {i: t.track_name for i, t in p.get_results().tracks.items()}
    assert found == {0: "a", 1: "Track 1", 2: "b", 3: "c"}


def test_a_track_without_a_name_is_called_by_its_number(p: Profiler) -> None:
    """Until it is named; naming it does not move its blocks."""
    with p.block(4, "x"):
        pass
    assert p.get_results().tracks[4].track_name == "Track 4"
    p.set_track_name(4, "I/O")
    with p.block("I/O", "y"):
        pass
    track = p.get_results().tracks[4]
    assert (track.track_name, [b.name for b in track.blocks]) == ("I/O", ["x", "y"])


def test_a_track_can_be_renamed(p: Profiler) -> None:
    """The old name is free again."""
    p.set_track_name(0, "old")
    p.set_track_name(0, "new")
    for name in ("new", "old"):
        with p.block(name, "x"):
            pass
    assert {i: t.track_name for i, t in p.get_results().tracks.items()} == {0: "new", 1: "old"}


def test_giving_a_track_the_name_it_has_is_no_error(p: Profiler) -> None:
    """It stays known by it."""
    p.set_track_name(2, "same")
    p.set_track_name(2, "same")
    p.set_track_enabled("same", False)
    assert not p.is_track_enabled(2)


def test_a_name_that_looks_like_a_default_is_taken_literally(p: Profiler) -> None:
    """ "Track 5" given by name is the next free track, whatever its number."""
    with p.block("Track 5", "x"):
        pass
    with p.block(5, "x"):
        pass
    assert sorted(p.get_results().tracks) == [0, 5]


def test_block_indices_are_dense_on_each_track(p: Profiler) -> None:
    """In order of first registration, however the tracks alternate."""
    for i in range(12):
        with p.block(i % 3, f"block {i}"):
            pass
    for idx, track in p.get_results().tracks.items():
        assert [b.block_idx for b in track.blocks] == [0, 1, 2, 3]
        assert [b.name for b in track.blocks] == [f"block {idx + 3 * n}" for n in range(4)]
        assert [track.get_block(i).block_idx for i in range(4)] == [0, 1, 2, 3]
        assert [b.track_idx for b in track] == [idx] * 4 if hasattr(track, "__iter__") else True


def test_block_indices_are_the_same_on_all_threads(p: Profiler, threads: Threads) -> None:
    """Whatever a thread entered, and in whichever order."""

    def enter(*names: str) -> None:
        for name in names:
            with p.block(0, name):
                pass

    threads.one_by_one(lambda: enter("a", "b"), lambda: enter("c", "a"), lambda: enter("b"))
    numbered = {"a": 0, "b": 1, "c": 2}
    results = p.get_results()
    assert len(results.threads) == 3
    for source in [results, *results.threads]:
        assert {name: b.block_idx for name, b in recorded(source).items()} == numbered
    assert [hits(share) for share in results.threads] == [
        {"a": 1, "b": 1, "c": 0},
        {"a": 1, "b": 0, "c": 1},
        {"a": 0, "b": 1, "c": 0},
    ]


def test_decorating_registers_a_block_that_was_never_hit(p: Profiler) -> None:
    """It is in the results, all zeros."""
    p.track(0)(plain)
    block = recorded(p)["plain"]
    assert (block.hit_count, block.total_time_ns, block.min_time_ns, block.max_time_ns) == (0,) * 4


# Clearing


def test_clearing_forgets_figures_and_keeps_blocks(p: Profiler, clock: ManualClock) -> None:
    """Names, indices and switches stay; threads and tree are empty."""
    p.set_track_name(0, "io")
    with p.block(0, "x"):
        clock.advance(5)
    p.set_track_enabled(0, False)
    p.clear()
    results = p.get_results()
    assert (results.total_hits, results.total_time_ns, results.threads) == (0, 0, [])
    assert (hits(results), results.tree.children) == ({"x": 0}, [])
    assert (results.tracks[0].track_name, p.is_track_enabled(0)) == ("io", False)


def test_after_clearing_counts_begin_at_zero(p: Profiler, clock: ManualClock) -> None:
    """Also for minimum and maximum."""
    for ns in (1, 100):
        with p.block(0, f"{ns > 1}"):
            clock.advance(ns)
    p.clear()
    kept = p.block(0, "kept")
    for ns in (10, 20):
        with kept:
            clock.advance(ns)
    block = recorded(p)["kept"]
    assert (block.hit_count, block.total_time_ns) == (2, 30)
    assert (block.min_time_ns, block.max_time_ns) == (10, 20)
    assert hits(p) == {"False": 0, "True": 0, "kept": 2}


def test_a_pass_that_is_open_across_a_clear_is_dropped(p: Profiler, clock: ManualClock) -> None:
    """What begins inside it afterwards is at the top."""
    with p.block(0, "open"):
        clock.advance(10)
        p.clear()
        with p.block(0, "inner"):
            clock.advance(3)
        clock.advance(1)
    results = p.get_results()
    assert (hits(results), results.total_time_ns) == ({"open": 0, "inner": 1}, 3)
    assert [node.name for node in results.tree.children] == ["inner"]


def test_a_recursive_pass_is_dropped_across_a_clear(p: Profiler, clock: ManualClock) -> None:
    """The inner pass of the same block, begun afterwards, counts in full."""
    block = p.block(0, "again")
    with block:
        clock.advance(10)
        p.clear()
        with block:
            clock.advance(3)
    figures = recorded(p)["again"]
    assert (figures.hit_count, figures.total_time_ns, figures.sum_time_ns) == (1, 3, 3)


def test_a_call_that_is_open_across_a_clear_is_dropped(p: Profiler, clock: ManualClock) -> None:
    """And the next call is recorded."""

    @p.track(0)
    def function(clears: bool) -> None:
        clock.advance(10)
        if clears:
            p.clear()

    function(True)
    assert hits(p) == {"function": 0}
    function(False)
    assert (hits(p), p.get_results().total_time_ns) == ({"function": 1}, 10)


def test_clearing_acts_on_all_threads(p: Profiler, threads: Threads) -> None:
    """Those that ended and those that live."""
    kept = p.block(0, "x")
    first, second = threading.Event(), threading.Event()

    def work() -> None:
        with kept:
            pass
        first.set()
        second.wait(60)
        with kept:
            pass

    threads.one_by_one(lambda: kept.__enter__().__exit__(None, None, None))
    join = threads.spawn(work)
    first.wait(60)
    p.clear()
    assert (hits(p), p._all_thread_data) == ({"x": 0}, {})
    second.set()
    join()
    assert (hits(p), len(p.get_results().threads)) == ({"x": 1}, 1)


def test_clearing_again_and_again_is_exact(p: Profiler) -> None:
    """Every session begins empty."""
    kept = p.block(0, "x")
    for i in range(200):
        for _ in range(i % 4):
            with kept:
                pass
        assert hits(p) == {"x": i % 4}
        p.clear()


# Results


def test_results_of_nothing_are_empty(p: Profiler) -> None:
    """No track, no thread, an empty tree."""
    results = p.get_results()
    assert (results.tracks, results.threads, results.tree.children) == ({}, [], [])
    assert (results.total_time_ns, results.total_hits) == (0, 0)
    assert (results.profiler_name, p.name) == ("switched", "switched")


def test_results_of_one_thread_are_its_own(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """By its key; its figures, its tree and it alone."""

    def work(ns: int) -> None:
        with p.block(0, "x"):
            clock.advance(ns)

    threads.one_by_one(lambda: work(10), lambda: work(200))
    for share, ns in zip(p.get_results().threads, (10, 200), strict=True):
        alone = p.get_results(thread=share.key)
        assert (alone.total_time_ns, recorded(alone)["x"].total_time_ns) == (ns, ns)
        assert [thread.key for thread in alone.threads] == [share.key]
        assert alone.tree == share.tree
    assert p.get_results().total_time_ns == 210


def test_thread_shares_add_up_to_the_whole(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Hits, times, squares and histograms."""

    def work(k: int) -> None:
        for i in range(k):
            with p.block(0, "outer"):
                clock.advance(i)
                with p.block(1, "inner"):
                    clock.advance(k)

    threads.together(*(lambda k=k: work(k) for k in (3, 5, 8)))
    results = p.get_results()
    whole = recorded(results)
    shares = [recorded(thread) for thread in results.threads]
    for name in ("outer", "inner"):
        for figure in ("hit_count", "total_time_ns", "self_time_ns", "sum_squares_ns2"):
            parts = [getattr(share[name], figure) for share in shares]
            assert getattr(whole[name], figure) == sum(parts)
        assert whole[name].min_time_ns == min(share[name].min_time_ns for share in shares)
        assert whole[name].max_time_ns == max(share[name].max_time_ns for share in shares)
        assert whole[name].histogram.total == whole[name].hit_count == 16
    assert results.total_time_ns == sum(thread.total_time_ns for thread in results.threads)


def test_a_thread_is_known_by_key_id_name_and_whether_it_lives(
    p: Profiler, threads: Threads
) -> None:
    """Keys grow in order of first recording, process-wide."""
    kept = p.block(0, "x")

    def work() -> int:
        with kept:
            return threading.get_ident()

    ended = threads.one_by_one(work)[0]
    here = work()
    shares = p.get_results().threads
    found = {share.name: (share.os_id, share.alive) for share in shares}
    assert found == {"worker 0": (ended, False), threading.current_thread().name: (here, True)}
    assert len({share.key for share in shares}) == 2
    assert [share.key for share in shares] == sorted(share.key for share in shares)


def test_a_thread_that_is_renamed_while_it_lives_has_its_new_name(
    p: Profiler, threads: Threads
) -> None:
    """And keeps the last one that was seen… from its first pass on."""

    def work() -> str:
        with p.block(0, "x"):
            pass
        threading.current_thread().name = "renamed"
        return p.get_results().threads[0].name

    assert threads.one_by_one(work) == ["renamed"]


def test_thread_data_is_by_key_and_shows_what_results_show(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Tracks, switches, the next index, and who the thread was."""

    def work() -> int:
        with p.block(0, "a"), p.block(0, "b"), p.block(2, "c"):
            return threading.get_ident()

    (ident,) = threads.one_by_one(work)
    p.set_track_enabled(2, False)
    (share,) = p.get_results().threads
    ((key, data),) = p._all_thread_data.items()
    assert (key, data.thread_id, data.thread_name) == (share.key, ident, "worker 0")
    assert data.tracks == share.tracks
    assert (data.next_block_idx, data.track_enabled) == ({0: 2, 2: 1}, {0: True, 2: False})


def test_metadata_says_how_the_figures_came_about(p: Profiler, clock: ManualClock) -> None:
    """The run, the interpreter, the machine, the clock and what a pass costs."""
    before = time.time_ns()
    with p.block(0, "x"):
        clock.advance(1)
    metadata = p.get_results().metadata
    assert metadata["clock"] == {
        "source": "manual",
        "resolution_ns": 1.0,
        "ticks_per_second": 1_000_000_000.0,
    }
    assert (metadata["python"], metadata["process"]) == (sys.version.split()[0], os.getpid())
    assert (metadata["platform"], metadata["threads"]) == (sys.platform, 1)
    assert (metadata["warnings"], metadata["folded_threads"]) == ([], 0)
    assert metadata["start_ns"] <= before
    assert metadata["duration_ns"] >= 0
    assert metadata["overhead_ns_per_pass"] >= 0


def test_a_tree_that_is_full_says_so_and_loses_no_pass(clock: ManualClock) -> None:
    """Twenty paths where four may be kept: figures are exact, the tree has "(other paths)"."""
    p = Profiler("small", max_nodes=4)
    for i in range(10):
        with p.block(0, f"outer {i}"):
            clock.advance(1)
            with p.block(0, f"inner {i}"):
                clock.advance(2)
    results = p.get_results()
    assert results.total_hits == 20
    assert results.total_time_ns == 30
    figures = {name: (b.hit_count, b.total_time_ns, b.self_time_ns) for name, b in
               recorded(results).items()}  # fmt: skip
    assert figures == {f"outer {i}": (1, 3, 1) for i in range(10)} | {
        f"inner {i}": (1, 2, 2) for i in range(10)
    }
    (other,) = [node for node in results.tree.children if node.name == "(other paths)"]
    assert results.metadata["warnings"] == [
        f'{sum(n.hit_count for n in other.children)} passes are under "(other paths)" because '
        "their thread's call tree was full"
    ]


def test_it_prints_and_exports_its_results(p: Profiler, clock: ManualClock, tmp_path: Path) -> None:
    """As the functions of those names do."""
    with p.block(0, "exported"):
        clock.advance(1500)
    p.export_csv(tmp_path / "results.csv")
    p.export_json(tmp_path / "results.json", indent=None)
    printed = io.StringIO()
    p.print_results(file=printed)
    assert "0,exported,1,1500,1500.00,1500,1500,100.00,100.00" in (
        tmp_path / "results.csv"
    ).read_text(encoding="utf-8")
    assert hits(ProfilerResults.load(tmp_path / "results.json")) == {"exported": 1}
    assert "exported" in printed.getvalue()
    assert "1.50 µs" in printed.getvalue()


def test_profilers_have_ids_that_grow_and_are_registered(p: Profiler) -> None:
    """Under its id, each is found as long as it lives."""
    made = [Profiler(f"number {i}") for i in range(5)]
    ids = [q._profiler_id for q in made]
    assert ids == sorted(set(ids))
    assert p._profiler_id < ids[0]
    assert [profiler._PROFILER_REGISTRY[i] for i in ids] == made


def test_the_call_site_cache_knows_each_block(p: Profiler) -> None:
    """By whatever key, it leads to the profiler and to the block's index."""
    for i in range(3):
        with p.block(0, f"b{i}"):
            pass
    mine = [v for v in profiler._CALL_SITE_CACHE.values() if v[0] == p._profiler_id]
    assert mine == [(p._profiler_id, i) for i in range(3)]


def test_a_profiler_says_what_it_is(p: Profiler) -> None:
    """Its name, whether it records, and how much it knows."""
    p.block(0, "a"), p.block(1, "b"), p.block(1, "c")
    p.stop()
    assert repr(p) == "<Profiler 'switched', stopped, 3 blocks on 2 tracks>"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_profiler_cannot_be_duplicated(p: Profiler, duplicate: Callable[[Any], Any]) -> None:
    """The error says what can."""
    with pytest.raises(TypeError, match=r"cannot be copied or pickled; its results .* can"):
        duplicate(p)


def test_a_profiler_can_be_subclassed() -> None:
    """With an `__init__` that takes other arguments."""

    class Mine(Profiler):
        def __init__(self, extra: int) -> None:
            super().__init__("mine")
            self.extra = extra

    p = Mine(extra=5)
    with p.block(0, "x"):
        pass
    assert (p.extra, p.name, hits(p)) == (5, "mine", {"x": 1})


def test_blocks_beyond_the_limit_share_one_of_each_track() -> None:
    """Names made up at run time end in "(other blocks)", with a warning; no pass is lost."""
    p = Profiler("made up", max_blocks=3)
    kept = p.block(0, "kept")
    for number in range(5):
        with p.block(0, f"user {number}"):
            pass
        with p.block(1, f"order {number}"), kept:
            pass
    results = p.get_results()
    found = {(b.track_idx, b.name): b.hit_count for t in results.tracks.values() for b in t.blocks}
    assert found == {
        (0, "kept"): 5,
        (0, "user 0"): 1,
        (0, "(other blocks)"): 4,
        (1, "order 0"): 1,
        (1, "(other blocks)"): 4,
    }
    assert results.metadata["warnings"] == [
        '8 passes are under "(other blocks)" because there were more than max_blocks allows'
    ]


@pytest.mark.extended
def test_of_very_many_blocks_none_is_lost_and_an_older_one_counts() -> None:
    """Nothing is said to be missing for want of memory, and what was kept before has its pass."""
    p = Profiler("very many")
    kept = p.block(0, "kept")
    for number in range(170_392):
        with p.block(0, f"user {number}"):
            pass
    with kept:
        pass
    results = p.get_results()
    found = hits(results)
    assert (found["kept"], found["user 0"], sum(found.values())) == (1, 1, 170_393)
    shared = found["(other blocks)"]
    assert shared == 170_393 - (len(found) - 1)
    path, block = results.metadata["warnings"]
    assert path.endswith("because their thread's call tree was full")
    assert block == (
        f'{shared:,} passes are under "(other blocks)" because there were more than max_blocks allows'
    )


def test_what_says_whether_anything_was_recorded_changes_only_then() -> None:
    """Asking twice gives the same, until a pass is open or has ended, a block is made, or all is cleared."""
    p = Profiler("marks")
    block = p.block(0, "a")
    seen = [p._state()]
    assert p._state() == seen[-1]
    with block:
        seen.append(p._state())
    seen.append(p._state())
    assert p._state() == seen[-1]
    p.block(0, "b")
    seen.append(p._state())
    p.set_track_enabled(0, False)
    seen.append(p._state())
    p.clear()
    seen.append(p._state())
    assert len(set(map(repr, seen))) == len(seen)
