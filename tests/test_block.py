"""Blocks: inline and kept, nested and recursive, known by call site, left in whatever order."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import gc
import inspect
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, recorded
from stichotrope import ProfileBlock, Profiler

pytestmark = pytest.mark.unit


@pytest.fixture
def p() -> Profiler:
    """A profiler of the test's own."""
    return Profiler("blocks")


def line() -> int:
    """The line that asks."""
    return inspect.currentframe().f_back.f_lineno  # type: ignore[union-attr]


def times(block: ProfileBlock) -> tuple[int, int, int]:
    """Passes, total and self time."""
    return block.hit_count, block.total_time_ns, block.self_time_ns


# Passes


def test_an_inline_block_records_the_time_of_its_body(p: Profiler, clock: ManualClock) -> None:
    """Every figure of two passes of 10 and 30 ns."""
    for ns in (10, 30):
        with p.block(0, "body"):
            clock.advance(ns)
    block = recorded(p)["body"]
    assert times(block) == (2, 40, 40)
    assert (block.min_time_ns, block.max_time_ns, block.avg_time_ns) == (10, 30, 20.0)
    assert (block.sum_time_ns, block.sum_squares_ns2, block.stddev_time_ns) == (40, 1000, 10.0)
    assert (block.percentile(0), block.percentile(50), block.percentile(100)) == (10, 10, 30)


def test_a_kept_block_is_entered_again_and_again(p: Profiler, clock: ManualClock) -> None:
    """It is one block, wherever it is entered."""
    query = p.block(1, "query")
    for ns in (5, 6):
        with query:
            clock.advance(ns)
    with query:
        clock.advance(7)
    assert times(recorded(p)["query"]) == (3, 18, 18)


def test_entering_gives_the_block_itself(p: Profiler) -> None:
    """So that `with … as block` keeps it."""
    kept = p.block(0, "x")
    with kept as entered:
        assert entered is kept


@pytest.mark.parametrize("tag", [None, "a tag"])
def test_what_a_with_gets_of_a_block_nobody_else_sees(p: Profiler, tag: str | None) -> None:
    """Its methods are methods, of the object and of its class, and it is not to be called, whatever it is given."""
    p.keep_timeline(128)
    block = p.block(0, "shy", tag=tag)
    for name in ("__enter__", "__exit__"):
        method = getattr(block, name)
        assert inspect.isbuiltin(method)
        assert (method.__self__, method.__name__) == (block, name)
        assert inspect.ismethoddescriptor(getattr(type(block), name))
    assert not callable(block)
    for given in ((), (None,), (None, None)):
        with pytest.raises(TypeError, match="not callable"):
            block(*given)  # type: ignore[operator]
    with pytest.raises(TypeError, match="not callable"):
        block()  # type: ignore[operator]
    with pytest.raises(TypeError, match="not callable"):
        block(kind=None)  # type: ignore[operator]
    with block as entered:
        assert entered is block
    assert type(block).__enter__(block) is block
    block.__exit__(None, None, None)
    assert hits(p) == {"shy": 2}


def test_nested_blocks_take_their_time_from_the_outer_ones_self_time(
    p: Profiler, clock: ManualClock
) -> None:
    """10 + (20 + (30) + 5) + 7."""
    with p.block(0, "a"):
        clock.advance(10)
        with p.block(0, "b"):
            clock.advance(20)
            with p.block(1, "c"):
                clock.advance(30)
            clock.advance(5)
        clock.advance(7)
    blocks = recorded(p)
    assert times(blocks["a"]) == (1, 72, 17)
    assert times(blocks["b"]) == (1, 55, 25)
    assert times(blocks["c"]) == (1, 30, 30)
    results = p.get_results()
    assert (results.total_time_ns, results.total_hits) == (72, 3)
    assert {i: track.total_time_ns for i, track in results.tracks.items()} == {0: 72, 1: 30}


def test_a_kept_block_can_be_entered_inside_itself(p: Profiler, clock: ManualClock) -> None:
    """Its time counts once, its passes count all."""
    block = p.block(0, "again")
    with block:
        clock.advance(1)
        with block:
            clock.advance(2)
            with block:
                clock.advance(4)
    figures = recorded(p)["again"]
    assert times(figures) == (3, 7, 7)
    assert (figures.sum_time_ns, figures.min_time_ns, figures.max_time_ns) == (17, 4, 7)


def test_an_inline_block_recurses_through_its_function(p: Profiler, clock: ManualClock) -> None:
    """The same line, reached again below itself."""

    def down(n: int) -> None:
        with p.block(0, "down"):
            clock.advance(1)
            if n:
                down(n - 1)

    down(9)
    assert times(recorded(p)["down"]) == (10, 10, 10)
    (node,) = p.get_results().tree.children
    assert (node.hit_count, node.total_time_ns, node.children) == (10, 10, [])


def test_the_call_tree_follows_the_nesting(p: Profiler, clock: ManualClock) -> None:
    """One block reached by two paths is two nodes."""

    def shared() -> None:
        with p.block(0, "shared"):
            clock.advance(3)

    with p.block(0, "a"):
        shared()
    with p.block(0, "b"):
        shared()
        shared()
    tree = p.get_results().tree
    rows = [(node.name, node.hit_count, node.total_time_ns, depth) for node, depth in tree.walk()]
    assert rows[1:] == [
        ("a", 1, 3, 1),
        ("shared", 1, 3, 2),
        ("b", 1, 6, 1),
        ("shared", 2, 6, 2),
    ]


@pytest.mark.thread_safety
def test_one_kept_block_serves_several_threads_at_once(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Each records its own passes, all open at the same moment."""
    block = p.block(0, "shared")
    inside = threading.Barrier(3)

    def work(ns: int) -> None:
        with block:
            inside.wait(60)
            clock.advance(ns)
            inside.wait(60)

    threads.together(lambda: work(1), lambda: work(20), lambda: work(300))
    figures = recorded(p)["shared"]
    assert times(figures) == (3, 321, 321)
    assert (figures.min_time_ns, figures.max_time_ns) == (1, 300)


@pytest.mark.thread_safety
def test_a_block_can_be_made_on_one_thread_and_entered_on_another(
    p: Profiler, threads: Threads
) -> None:
    """Making it records nothing."""
    block = p.block(0, "x")
    threads.one_by_one(lambda: block.__enter__().__exit__(None, None, None))
    (share,) = p.get_results().threads
    assert (hits(p), share.name) == ({"x": 1}, "worker 0")


@pytest.mark.parametrize("way", ["return", "break", "continue", "exception"])
def test_a_pass_is_recorded_however_the_body_is_left(p: Profiler, way: str) -> None:
    """By return, break, continue or an exception."""

    def work() -> None:
        for _ in range(1):
            with p.block(0, way):
                if way == "return":
                    return
                if way == "break":
                    break
                if way == "continue":
                    continue
                raise ValueError

    with contextlib.suppress(ValueError):
        work()
    assert hits(p) == {way: 1}


def test_an_exception_passes_through_a_block_untouched(p: Profiler, clock: ManualClock) -> None:
    """The same object, through two blocks; both passes are recorded with their time."""
    error = KeyError("mine")

    def fails() -> None:
        with p.block(0, "outer"), p.block(0, "inner"):
            clock.advance(9)
            raise error

    with pytest.raises(KeyError) as met:
        fails()
    assert met.value is error
    assert {n: times(b) for n, b in recorded(p).items()} == {"outer": (1, 9, 0), "inner": (1, 9, 9)}


def test_an_exit_stack_can_hold_blocks(p: Profiler, clock: ManualClock) -> None:
    """They are left in reverse order."""
    with contextlib.ExitStack() as stack:
        for i in range(3):
            stack.enter_context(p.block(0, f"level {i}"))
            clock.advance(1)
    assert {n: times(b) for n, b in recorded(p).items()} == {
        "level 0": (1, 3, 1),
        "level 1": (1, 2, 1),
        "level 2": (1, 1, 1),
    }


def test_a_clock_that_goes_backwards_counts_as_no_time(p: Profiler, clock: ManualClock) -> None:
    """The pass is counted, and the results say how many there were."""
    clock.set(1000)
    with p.block(0, "x"):
        clock.set(400)
    results = p.get_results()
    assert times(recorded(results)["x"]) == (1, 0, 0)
    assert results.metadata["warnings"] == [
        "1 passes were counted as 0 ns because the clock went backwards"
    ]


@pytest.mark.parametrize("ns", [1, 15, 16, 2**31, 2**41 - 1, 2**41, 2**52])
def test_short_and_very_long_passes_are_exact(p: Profiler, clock: ManualClock, ns: int) -> None:
    """From a nanosecond to weeks; the median is within the 1/32 that a histogram may be off."""
    for _ in range(3):
        with p.block(0, "x"):
            clock.advance(ns)
    block = recorded(p)["x"]
    assert (block.sum_time_ns, block.min_time_ns, block.max_time_ns) == (3 * ns, ns, ns)
    assert (block.sum_squares_ns2, block.stddev_time_ns) == (3 * ns * ns, 0.0)
    assert block.percentile(50) == ns
    (bucket,) = block.histogram
    assert (bucket[2], abs((bucket[0] + bucket[1]) // 2 - ns) <= ns / 32 + 1) == (3, True)


# Identity


def test_the_same_line_is_one_block_however_often_it_is_reached(p: Profiler) -> None:
    """Ten thousand times."""
    for _ in range(10_000):
        with p.block(0, "x"):
            pass
    (block,) = p.get_results().tracks[0].blocks
    assert (block.hit_count, block.block_idx) == (10_000, 0)


def test_two_lines_with_one_name_are_two_blocks(p: Profiler) -> None:
    """Each knows its file and line."""
    with p.block(0, "x"):
        first = line() - 1
    for _ in range(2):
        with p.block(0, "x"):
            second = line() - 1
    blocks = p.get_results().tracks[0].blocks
    assert [(b.name, b.file, b.line, b.block_idx, b.hit_count) for b in blocks] == [
        ("x", __file__, first, 0, 1),
        ("x", __file__, second, 1, 2),
    ]


def test_two_calls_on_one_line_with_one_name_are_one_block(p: Profiler, clock: ManualClock) -> None:
    """Then the second is a recursion of the first."""
    with p.block(0, "x"), p.block(0, "x"):
        clock.advance(8)
    (block,) = p.get_results().tracks[0].blocks
    assert times(block) == (2, 8, 8)


def test_two_profilers_on_one_line_share_nothing(p: Profiler, clock: ManualClock) -> None:
    """Each has its block, and neither is the other's child."""
    other = Profiler("other")
    for profiler in (p, other, other):
        with profiler.block(0, "x"):
            clock.advance(5)
    with p.block(0, "outer"), other.block(0, "inner"):
        clock.advance(2)
    assert {n: times(b) for n, b in recorded(p).items()} == {"x": (1, 5, 5), "outer": (1, 2, 2)}
    assert {n: times(b) for n, b in recorded(other).items()} == {
        "x": (2, 10, 10),
        "inner": (1, 2, 2),
    }


def test_one_line_with_different_names_is_different_blocks(p: Profiler) -> None:
    """Names made up at run time included; equal names are one, whichever object they are."""
    for i in range(30):
        with p.block(0, f"shard {i % 3}"):
            pass
    assert hits(p) == {"shard 0": 10, "shard 1": 10, "shard 2": 10}


def test_one_line_with_different_tracks_is_different_blocks(p: Profiler) -> None:
    """By index and by name; both numbered from 0 on their track."""
    for track in (0, 1, "io", 1):
        with p.block(track, "x"):
            pass
    found = [(t.track_name, [(b.block_idx, b.hit_count) for b in t.blocks]) for t in tracks(p)]
    assert found == [("Track 0", [(0, 1)]), ("Track 1", [(0, 2)]), ("io", [(0, 1)])]


def tracks(p: Profiler) -> list[Any]:
    """The tracks in order."""
    return [track for _, track in sorted(p.get_results().tracks.items())]


def test_a_track_by_index_and_by_name_is_the_same_block(p: Profiler) -> None:
    """What counts is the track that is meant."""
    p.set_track_name(0, "io")
    for track in (0, "io"):
        with p.block(track, "x"):
            pass
    (block,) = p.get_results().tracks[0].blocks
    assert block.hit_count == 2


class Color(enum.IntEnum):
    """Tracks that have a name in the program."""

    RED = 0
    BLUE = 3


class Label(str):
    """A str that is more."""

    def __hash__(self) -> int:
        return 17

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True


@pytest.mark.parametrize("track", [3, Color.BLUE])
@pytest.mark.parametrize("name", ["x", Label("x"), "".join(["", "x"])])
def test_subclasses_of_int_and_str_are_taken_for_their_values(
    p: Profiler, track: int, name: str
) -> None:
    """Results hold plain values."""
    for t, n in ((3, "x"), (track, name)):
        with p.block(t, n):
            pass
    (block,) = p.get_results().tracks[3].blocks
    assert (block.hit_count, type(block.name), type(block.track_idx)) == (2, str, int)


@pytest.mark.parametrize("track", [62, 63, 64, 2**31, 2**63 - 1, 2**63, 2**80])
def test_any_index_from_0_on_can_be_a_track(p: Profiler, track: int) -> None:
    """Also one that no machine word holds."""
    for _ in range(2):
        with p.block(track, "x"):
            pass
    assert p.get_results().get_track(track).blocks[0].hit_count == 2


def test_blocks_of_code_made_at_run_time_are_known_by_file_and_line(p: Profiler) -> None:
    """The same source executed twice is one block, though it is other code."""
    source = "\nwith p.block(0, 'x'):\n    pass\n"
    for _ in range(2):
        exec(compile(source, "<made up>", "exec"), {"p": p})
    exec(compile(source, "<made up elsewhere>", "exec"), {"p": p})
    blocks = p.get_results().tracks[0].blocks
    assert [(b.file, b.line, b.hit_count) for b in blocks] == [
        ("<made up>", 2, 2),
        ("<made up elsewhere>", 2, 1),
    ]


def test_code_at_the_address_of_code_that_is_gone_is_not_mistaken_for_it(p: Profiler) -> None:
    """A hundred short-lived functions, each with a line of its own."""
    for i in range(100):
        namespace: dict[str, Any] = {"p": p}
        exec(compile("\n" * i + "with p.block(0, 'x'): pass", "<made up>", "exec"), namespace)
        del namespace
        gc.collect(0)
    blocks = p.get_results().tracks[0].blocks
    assert [(b.line, b.hit_count) for b in blocks] == [(i + 1, 1) for i in range(100)]


def test_lambdas_and_comprehensions_are_call_sites(p: Profiler) -> None:
    """Each is known by its line."""
    make = lambda: p.block(0, "from a lambda")  # noqa: E731
    for _ in range(2):
        with make():
            pass
    for block in [p.block(0, f"element {i}") for i in range(2)]:
        with block:
            pass
    assert hits(p) == {"from a lambda": 2, "element 0": 1, "element 1": 1}


def test_a_call_through_c_has_the_line_of_the_python_code_that_made_it(p: Profiler) -> None:
    """map, partial and friends have no line of their own."""
    for block in map(p.block, [0], ["mapped"]):
        expected = line() - 1
        with block:
            pass
    assert recorded(p)["mapped"].line == expected


def test_arguments_can_be_given_by_keyword(p: Profiler) -> None:
    """In any order."""
    for _ in range(2):
        with p.block(name="x", track=0):
            pass
    assert hits(p) == {"x": 2}


def test_a_call_over_several_lines_is_one_block(p: Profiler) -> None:
    """Whichever of its lines stands for it."""
    for _ in range(2):
        with p.block(
            0,
            "x",
        ):
            pass
    assert hits(p) == {"x": 2}


def test_blocks_and_functions_of_one_line_differ_by_name_only(p: Profiler) -> None:
    """Identity is track, file, line and name, whether of a decorator or of a block."""
    f = p.track(0, "f")(lambda: p.block(0, "g").__enter__().__exit__(None, None, None))
    f()
    assert hits(p) == {"f": 1, "g": 1}


def test_many_blocks_on_many_tracks_do_not_mistake_each_other_for_nested(
    p: Profiler, clock: ManualClock
) -> None:
    """200 blocks on 100 tracks, each inside the one before: none is a recursion."""
    with contextlib.ExitStack() as stack:
        for i in range(200):
            stack.enter_context(p.block(i // 2, f"level {i}"))
            clock.advance(1)
    blocks = recorded(p)
    assert [times(blocks[f"level {i}"]) for i in range(200)] == [
        (1, 200 - i, 1) for i in range(200)
    ]
    assert [t.total_time_ns for t in tracks(p)] == [200 - 2 * i for i in range(100)]
    assert p.get_results().total_time_ns == 200


def test_recursion_is_found_among_many_blocks(p: Profiler, clock: ManualClock) -> None:
    """Two levels of 70 blocks each, the same ones again: every block is nested in itself once."""
    blocks = [p.block(i, f"level {i}") for i in range(70)]
    with contextlib.ExitStack() as stack:
        for block in blocks + blocks:
            stack.enter_context(block)
            clock.advance(1)
    figures = recorded(p)
    assert [times(figures[f"level {i}"]) for i in range(70)] == [(2, 140 - i, 2) for i in range(70)]
    assert [t.total_time_ns for t in tracks(p)] == [140 - i for i in range(70)]


def test_a_block_says_what_it_is(p: Profiler) -> None:
    """Its name, track, file and line."""
    block = p.block(2, "load")
    assert repr(block) == f"<block 'load' (track 2, {__file__}:{line() - 1})>"


# Leaving in other orders


def test_leaving_what_was_not_entered_is_an_error(p: Profiler) -> None:
    """It names the block, and what was recorded is still there."""
    block = p.block(0, "mine")
    with block:
        pass
    with pytest.raises(RuntimeError, match=r"'mine' \(track 0, .*test_block.py:\d+\) was left"):
        block.__exit__(None, None, None)
    assert hits(p) == {"mine": 1}


def test_leaving_without_having_ever_recorded_is_an_error(p: Profiler, threads: Threads) -> None:
    """On the main thread and on one that never entered anything."""
    block = p.block(0, "mine")

    def leave() -> bool:
        with pytest.raises(RuntimeError, match="'mine'"):
            block.__exit__(None, None, None)
        return True

    assert [leave(), *threads.one_by_one(leave)] == [True, True]
    assert hits(p) == {"mine": 0}


def test_leaving_another_block_than_the_open_one_is_an_error(p: Profiler) -> None:
    """And the open one can still be left."""
    mine, other = p.block(0, "mine"), p.block(0, "other")
    with mine:
        with pytest.raises(RuntimeError, match="'other'"):
            other.__exit__(None, None, None)
        assert hits(p) == {"mine": 0, "other": 0}
    assert hits(p) == {"mine": 1, "other": 0}


@pytest.mark.thread_safety
def test_a_block_that_is_open_on_one_thread_cannot_be_left_on_another(
    p: Profiler, threads: Threads
) -> None:
    """The one that entered it can leave it afterwards."""
    block = p.block(0, "mine")

    def leave() -> None:
        with pytest.raises(RuntimeError, match="'mine'"):
            block.__exit__(None, None, None)

    with block:
        threads.one_by_one(leave)
    assert hits(p) == {"mine": 1}


def test_two_blocks_left_in_the_order_of_entering_keep_their_true_times(
    p: Profiler, clock: ManualClock
) -> None:
    """a from 0 to 30, b from 10 to 60: b's first 20 ns were spent inside a."""
    a, b = p.block(0, "a"), p.block(1, "b")
    a.__enter__()
    clock.set(10)
    b.__enter__()
    clock.set(30)
    a.__exit__(None, None, None)
    clock.set(60)
    b.__exit__(None, None, None)
    blocks = recorded(p)
    assert (times(blocks["a"]), times(blocks["b"])) == ((1, 30, 10), (1, 50, 50))


def test_leaving_out_of_order_disturbs_nobody_else(p: Profiler, clock: ManualClock) -> None:
    """Of five nested blocks, each entered 1 ns after the other, the middle one is left first."""
    blocks = [p.block(0, f"level {i}") for i in range(5)]
    for block in blocks:
        block.__enter__()
        clock.advance(1)
    for place, block in enumerate([blocks[i] for i in (2, 0, 4, 1, 3)]):
        clock.set(100 + place)
        block.__exit__(None, None, None)
    figures = recorded(p)
    assert [figures[f"level {i}"].total_time_ns for i in range(5)] == [101, 102, 98, 101, 98]
    with p.block(0, "after"):
        clock.advance(3)
    results = p.get_results()
    assert times(recorded(results)["after"]) == (1, 3, 3)
    assert "after" in [node.name for node in results.tree.children]


def holding(block: Any) -> Iterator[None]:
    """Hold a block open while suspended."""
    with block:
        yield


def test_a_generator_may_hold_a_block_while_its_caller_goes_on(
    p: Profiler, clock: ManualClock
) -> None:
    """Suspended from 10 to 50, closed by its last step."""
    clock.set(10)
    generator = holding(p.block(0, "held"))
    next(generator)
    with p.block(0, "caller"):
        clock.set(40)
    clock.set(50)
    assert list(generator) == []
    assert {n: x.total_time_ns for n, x in recorded(p).items()} == {"held": 40, "caller": 30}


def test_generators_that_hold_blocks_may_interleave(p: Profiler, clock: ManualClock) -> None:
    """First in, first out."""
    first, second = holding(p.block(0, "first")), holding(p.block(0, "second"))
    next(first)
    clock.set(5)
    next(second)
    clock.set(20)
    first.close()  # type: ignore[attr-defined]
    clock.set(45)
    second.close()  # type: ignore[attr-defined]
    assert {n: x.total_time_ns for n, x in recorded(p).items()} == {"first": 20, "second": 40}


def test_a_block_asked_for_where_no_python_calls_is_told_what_is_wrong(
    p: Profiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the callback of a weak reference, as a function that C has called returns."""
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: told.append(str(each.exc_value)))
    references = []

    class Thing: ...

    def inner(_: int) -> None:
        thing = Thing()
        references.append(weakref.ref(thing, functools.partial(p.block, 0)))

    list(map(inner, [1]))
    assert [one.partition(" not ")[0] for one in told] == ["a block's name must be a str,"]


def test_a_generator_that_is_dropped_leaves_its_block(p: Profiler, clock: ManualClock) -> None:
    """When the collector closes it, in the middle of another block."""
    generator = holding(p.block(0, "held"))
    next(generator)
    with p.block(0, "other"):
        clock.set(7)
        del generator
        gc.collect()
        clock.set(9)
    assert {n: x.total_time_ns for n, x in recorded(p).items()} == {"held": 7, "other": 9}


def test_one_block_held_by_many_generators_is_left_once_for_each(p: Profiler) -> None:
    """In any order, all passes are counted and none is left open."""
    block = p.block(0, "held")
    generators = [holding(block) for _ in range(50)]
    for generator in generators:
        next(generator)
    for place in range(50):
        generators[(place * 7) % 50].close()  # type: ignore[attr-defined]
    assert hits(p) == {"held": 50}
    with pytest.raises(RuntimeError, match="'held'"):
        block.__exit__(None, None, None)


def test_blocks_nest_fifty_thousand_deep(p: Profiler) -> None:
    """No limit of the interpreter applies to `__enter__` called by hand."""
    block = p.block(0, "deep")
    for _ in range(50_000):
        block.__enter__()
    for _ in range(50_000):
        block.__exit__(None, None, None)
    assert hits(p) == {"deep": 50_000}
    assert p.get_results().metadata["warnings"] == []


def test_passes_beyond_the_depth_that_memory_allows_are_counted_in_a_warning(p: Profiler) -> None:
    """Nothing is lost without a word: recorded and unrecorded passes are all there were."""
    block = p.block(0, "deep")
    for _ in range(300_000):
        block.__enter__()
    for _ in range(300_000):
        block.__exit__(None, None, None)
    results = p.get_results()
    recorded_hits = hits(results)["deep"]
    assert 50_000 < recorded_hits < 300_000
    assert results.metadata["warnings"] == [
        f"{300_000 - recorded_hits:,} passes could not be recorded for want of memory"
    ]
    p.clear()
    with block:
        pass
    assert hits(p) == {"deep": 1}


# Tasks


def test_tasks_that_take_turns_do_not_bill_each_other(p: Profiler, clock: ManualClock) -> None:
    """Each holds its block across the other's turn; neither is the other's child."""

    async def task(name: str, ns: int) -> None:
        with p.block(0, name):
            clock.advance(ns)
            await asyncio.sleep(0)
            clock.advance(ns)

    async def main() -> None:
        await asyncio.gather(task("first", 1), task("second", 10))

    asyncio.run(main())
    # first: 1 + 10 (second's turn) + 1; second: 10 + 1 + 10.
    assert {n: times(b) for n, b in recorded(p).items()} == {
        "first": (1, 12, 12),
        "second": (1, 21, 21),
    }
    assert {node.name for node in p.get_results().tree.children} == {"first", "second"}


def test_tasks_are_children_of_the_block_around_their_loop(p: Profiler, clock: ManualClock) -> None:
    """It is billed the time in which any of them had something open: once, not twice."""

    async def task(name: str) -> None:
        with p.block(0, name):
            clock.advance(5)
            await asyncio.sleep(0)
            clock.advance(5)

    async def main() -> None:
        await asyncio.gather(task("first"), task("second"))

    with p.block(0, "loop"):
        clock.advance(100)
        asyncio.run(main())
        clock.advance(100)
    figures = recorded(p)
    assert times(figures["loop"]) == (1, 220, 200)
    assert (times(figures["first"]), times(figures["second"])) == ((1, 15, 15), (1, 15, 15))
    (node,) = p.get_results().tree.children
    assert {child.name for child in node.children} == {"first", "second"}


def test_a_cancelled_task_leaves_its_blocks(p: Profiler) -> None:
    """Cancellation ends a pass as any exception does."""

    async def waits() -> None:
        with p.block(0, "waits"):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert hits(p) == {"waits": 1}


# References


def test_reference_counts_stay_as_they_are(p: Profiler) -> None:
    """After 10,000 passes of an inline, a named and a kept block."""
    name, track = "a name that is " + "not shared", "a track " + "likewise"
    kept = p.block(track, name)

    def passes(count: int) -> None:
        for _ in range(count):
            with p.block(0, name), p.block(track, name), kept:
                pass

    passes(100)
    watched = [p, name, track, kept, passes.__code__, type(kept)]
    before = [sys.getrefcount(thing) for thing in watched]
    passes(10_000)
    assert [sys.getrefcount(thing) for thing in watched] == before


def test_a_block_keeps_its_profiler_alive(clock: ManualClock) -> None:
    """So that it can be entered after everybody else let go."""
    block = Profiler("kept by its block").block(0, "x")
    gc.collect()
    with block:
        clock.advance(3)
    assert repr(block).startswith("<block 'x'")


def test_a_block_left_by_a_thread_that_ends_is_not_recorded(p: Profiler, threads: Threads) -> None:
    """A pass that never ended is none."""
    block = p.block(0, "abandoned")
    threads.one_by_one(block.__enter__)
    assert hits(p) == {"abandoned": 0}


def test_a_block_can_be_asked_for_by_its_place(p: Profiler) -> None:
    """Whoever asks: of a file and a line, it is one block, and another than that of another line."""
    for line in (7, 7, 8):
        with p.block_at("io", "read", "other.py", line):
            pass
    blocks = p.get_results().get_track("io").blocks
    assert [(b.name, b.file, b.line, b.hit_count) for b in blocks] == [
        ("read", "other.py", 7, 2),
        ("read", "other.py", 8, 1),
    ]
    with pytest.raises(ValueError, match="a block's name must not be empty"):
        p.block_at(0, "", "other.py", 1)
