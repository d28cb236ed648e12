"""Blocks, tracks, threads and trees as plain data: figures, merging, saving and loading."""

from __future__ import annotations

import copy
import inspect
import json
import math
import pickle
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handmade import block, node, root, sample, single, thread, troubled
from stichotrope.results import (
    FORMAT_VERSION,
    CallNode,
    ProcessorTime,
    ProcessResults,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    Record,
    ResultsFormatError,
    ThreadResults,
    results_of,
)
from stichotrope.results.record import field

pytestmark = pytest.mark.unit

DATA = Path(__file__).parent / "data"
DURATIONS = st.lists(st.integers(0, 1 << 50), max_size=20).map(tuple)


# Records


class Pair(Record):
    """Two fields that are compared, and one that is made."""

    left: int = field()
    right: str = field(default="r")
    made: list[int] = field(factory=list, is_compared=False)


def test_a_record_has_the_fields_that_its_class_lists() -> None:
    """In their order, by place or by name, and each with a default of its own."""
    one = Pair(1, right="x")
    assert (one.left, one.right, one.made) == (1, "x", [])
    assert Pair(1).made is not Pair(1).made
    assert Pair(1, "r", [3]) == Pair(1)  # what is not compared may differ
    assert Pair(1) != Pair(2)
    assert Pair(1) != (1, "r")
    assert repr(Pair(1)) == "Pair(left=1, right='r')"
    assert str(inspect.signature(Pair)).startswith("(left, right='r', made=None)")
    match one:
        case Pair(left, right):
            assert (left, right) == (1, "x")


@pytest.mark.parametrize("arguments", [(), (1, "r", [], 4)])
def test_a_record_is_made_with_its_fields_only(arguments: Any) -> None:
    """What is missing or too much is refused as by any function."""
    with pytest.raises(TypeError, match=r"Pair\.__init__\(\)"):
        Pair(*arguments)
    with pytest.raises(TypeError, match="unexpected keyword argument 'middle'"):
        Pair(1, middle=2)  # type: ignore[call-arg]


def test_every_figure_of_a_block_is_written_read_and_merged() -> None:
    """Whatever is listed for it: two that differ in one figure do so after each of these."""
    for name, one in ProfileBlock._fields.items():
        if not one.read:
            continue
        changed = single(block("a", (5,)))
        value = getattr(changed.tracks[0].blocks[0], name)
        setattr(changed.tracks[0].blocks[0], name, f"{value}!" if one.read == "text" else value + 7)
        again = ProfilerResults.from_dict(json.loads(changed.to_json()))
        assert again == changed != single(block("a", (5,))), name
        if one.is_summed:
            merged = changed.merge(changed).tracks[0].blocks[0]
            assert getattr(merged, name) == 2 * getattr(changed.tracks[0].blocks[0], name), name


# Blocks and tracks


def test_a_block_knows_its_mean_and_standard_deviation() -> None:
    """Of 2, 4, 4, 4, 5, 5, 7 and 9 they are 5 and 2."""
    passes = block("b", (2, 4, 4, 4, 5, 5, 7, 9))
    assert passes.avg_time_ns == 5.0
    assert passes.stddev_time_ns == 2.0


def test_a_standard_deviation_keeps_its_digits_far_from_zero() -> None:
    """Two passes of a year that differ by 2 ns deviate by 1 ns."""
    year = 365 * 24 * 3600 * 10**9
    assert block("b", (year, year + 2)).stddev_time_ns == 1.0


def test_a_standard_deviation_is_never_the_root_of_a_negative_number() -> None:
    """Sums of squares that were rounded down give 0."""
    rounded = block("b", (3, 3))
    rounded.sum_squares_ns2 -= 1
    assert rounded.stddev_time_ns == 0.0


def test_the_mean_counts_recursive_passes_and_the_total_does_not() -> None:
    """A pass of 100 ns inside one of 300 ns: 300 ns in all, 200 ns on average."""
    recursive = block("b", (100, 300))
    recursive.total_time_ns = 300
    assert recursive.avg_time_ns == 200.0


def test_a_block_that_was_never_hit_is_all_zeros() -> None:
    """No division by its hits takes place."""
    never = block("b")
    assert (never.avg_time_ns, never.stddev_time_ns, never.percentile(99)) == (0.0, 0.0, 0)


def test_a_block_may_be_open_and_have_a_total_without_any_hit() -> None:
    """What is of passes that ended is 0, and the block is not one that was never entered."""
    serve = troubled().tracks[0].blocks[0]
    assert (serve.hit_count, serve.open_count, serve.total_time_ns) == (0, 1, 900)
    assert (serve.avg_time_ns, serve.stddev_time_ns, serve.percentile(50)) == (0.0, 0.0, 0)
    assert serve.was_entered
    assert not block("b").was_entered


@pytest.mark.parametrize(
    ("durations", "total", "now_open", "at_a_time"),
    [
        ((10, 20), 30, 0, 1.0),  # one after the other
        ((50, 50, 50, 50), 80, 0, 2.5),  # at once, for a part of it
        ((), 0, 0, 1.0),  # never hit
        ((), 70, 1, 1.0),  # nothing has ended: one at least was open
        ((10,), 70, 1, 1.0),  # what is open is in the total, and not yet in the sum
        ((100, 100), 100, 1, 2.0),
        ((10, 20), 31, 0, 1.0),  # rounded
    ],
)
def test_concurrency_is_how_many_passes_were_open_at_a_time(
    durations: tuple[int, ...], total: int, now_open: int, at_a_time: float
) -> None:
    """Sum by total, where any was open: so never fewer than one."""
    one = block("b", durations, total_ns=total, now_open=now_open)
    assert one.concurrency == at_a_time
    assert node(one).concurrency == at_a_time


def test_totals_tell_what_is_open_and_how_passes_ended() -> None:
    """Of a track, a thread, a process and everybody."""
    results = troubled()
    for share in (results, results.tracks[0], results.threads[0], results.processes[0]):
        found = (share.total_hits, share.total_open, share.total_errors, share.total_cancelled)
        assert found == (4, 2, 2, 1)
    assert results.was_entered
    assert results.tracks[0].was_entered
    assert results.threads[0].was_entered
    assert not results.threads[1].was_entered
    assert not ProfilerResults("x").was_entered


def test_open_passes_alone_are_something() -> None:
    """A program that is looked at within its first block has recorded."""
    results = single(block("main", total_ns=5, now_open=1))
    assert results.was_entered
    assert results.total_hits == 0


def test_percentiles_0_and_100_are_the_exact_extremes() -> None:
    """The histogram alone would give the midpoints of their buckets."""
    passes = block("b", (1_000_001, 9_000_001))
    assert (passes.percentile(0), passes.percentile(100)) == (1_000_001, 9_000_001)


def test_a_percentile_never_leaves_the_range_of_the_passes() -> None:
    """A single pass at the edge of a bucket is its own median."""
    assert block("b", (1_000_000,)).percentile(50) == 1_000_000
    assert block("b", (999_424,)).percentile(50) == 999_424
    assert block("b", (1_003_519,)).percentile(50) == 1_003_519


def test_results_are_asked_for_a_track_and_a_block_by_name_or_number() -> None:
    """As one types it."""
    results = sample()
    assert results["I/O"]["read"] is results[0][0] is results.tracks[0].blocks[0]
    assert [track.track_name for track in results] == ["I/O", "parsing"]
    assert [one.name for one in results["I/O"]] == ["read", "decode µ"]
    with pytest.raises(KeyError, match="has no block 'raed'; its blocks are 'decode µ', 'read'"):
        results["I/O"]["raed"]
    with pytest.raises(KeyError, match="there is no track 'IO'"):
        results["IO"]


def test_a_name_that_several_blocks_have_is_refused() -> None:
    """With what tells them apart: one of them would be a wrong number."""
    results = single(block("q", (1,), line=3), block("q", (1,), idx=1, line=9))
    with pytest.raises(KeyError, match=r"several blocks 'q': .* 0 \(/srv/app/io.py:3\), 1 \("):
        results["track 0"]["q"]


def test_several_percentiles_at_once_are_those_one_by_one() -> None:
    """In ascending order, which saves a walk over the histogram for each."""
    read = block("read", (100, 200, 300, 70_000))
    qs = (0, 10, 50, 50.5, 95, 100)
    assert read.percentiles(*qs) == [read.percentile(q) for q in qs]
    assert ProfileBlock("a", "", 0, 0, 0).percentiles(1, 2) == [0, 0]
    with pytest.raises(ValueError, match="in ascending order"):
        read.percentiles(95, 50)


def test_the_figures_of_a_block_and_of_a_path_are_its_attributes() -> None:
    """By their names, each once; the mean has a second name."""
    read = block("read", (100, 200, 300), self_ns=350, errors=1)
    for one in (read, node(read)):
        for name, figure in one.figures().items():
            if not name.startswith("p"):
                assert figure == getattr(one, name), name
    assert read.figures()["p95_time_ns"] == read.percentile(95)
    assert read.mean_time_ns == node(read).mean_time_ns == read.avg_time_ns == 200.0


def test_a_percentile_in_between_comes_from_the_histogram() -> None:
    """Below 256 ns it is exact."""
    passes = block("b", tuple(range(1, 101)))
    assert [passes.percentile(q) for q in (50, 95, 99, 99.5)] == [50, 95, 99, 100]


@pytest.mark.parametrize("times", [(), (5,)])
@pytest.mark.parametrize(
    ("q", "error"),
    [
        ("50", TypeError),
        (None, TypeError),
        (True, TypeError),
        (-1, ValueError),
        (101, ValueError),
        (math.nan, ValueError),
    ],
)
def test_a_wrong_percentile_is_refused_whether_the_block_was_hit_or_not(
    times: tuple[int, ...], q: Any, error: type[Exception]
) -> None:
    """A mistake shows at once, not only when there is data."""
    with pytest.raises(error, match="percentile"):
        block("b", times).percentile(q)


def test_a_track_finds_its_blocks_and_sums_their_hits() -> None:
    """By number; the list itself holds block 0 first."""
    track = sample().get_track(0)
    assert sample().get_track("I/O").track_idx == 0
    assert track.get_block(1) is track.blocks[1]
    assert track.total_hits == 5
    assert sample().total_hits == 6


@pytest.mark.parametrize("number", [2, -1])
def test_a_block_that_does_not_exist_is_named_in_the_error(number: Any) -> None:
    """With the ones that do."""
    with pytest.raises(IndexError) as caught:
        sample().get_track(0).get_block(number)
    assert str(caught.value) == f"track 0 ('I/O') has no block {number!r}; its blocks are 0, 1"


@pytest.mark.parametrize("number", [7, [0]])
def test_a_track_that_does_not_exist_is_named_in_the_error(number: Any) -> None:
    """With the ones that do, or the remark that there is none."""
    with pytest.raises(KeyError) as caught:
        sample().get_track(number)
    assert caught.value.args == (f"there is no track {number!r}; the tracks are 0, 1",)
    with pytest.raises(KeyError, match="the tracks are none at all"):
        ProfilerResults("empty").get_track(0)


def test_a_tracks_name_that_does_not_exist_is_an_error_that_lists_the_names() -> None:
    """Quoted, as one would type them."""
    with pytest.raises(KeyError) as caught:
        sample().get_track("I/o")
    assert caught.value.args == ("there is no track 'I/o'; the tracks are 'I/O', 'parsing'",)


# Trees


def deep_tree(levels: int) -> CallNode:
    tree = CallNode.root()
    for level in range(levels):
        tree = CallNode(f"level {level}", 0, level, "deep.py", 1, 1, 1, 0, [tree])
    return tree


def test_a_tree_is_walked_depth_first_a_node_before_its_children() -> None:
    """Siblings in their order, each with its depth."""
    a, b, c, d = (block(name, (1,), idx=i) for i, name in enumerate("abcd"))
    tree = root(node(a, node(b), node(c)), node(d))
    walked = [(step.name, depth) for step, depth in tree.walk()]
    assert walked == [("", 0), ("a", 1), ("b", 2), ("c", 2), ("d", 1)]


def test_trees_differ_when_their_shapes_do() -> None:
    """The same nodes in the same order, but one of them a level higher."""
    a, b, c = (block(name, (1,), idx=i) for i, name in enumerate("abc"))
    assert root(node(a, node(b, node(c)))) != root(node(a, node(b), node(c)))
    assert root(node(a, node(b))) != root(node(a))
    assert root(node(a, node(b))) == root(node(a, node(b)))
    assert root(node(a)) != root(node(b))
    assert root() != "root"


@pytest.mark.parametrize(
    "again",
    [
        lambda results: pickle.loads(pickle.dumps(results)),
        copy.deepcopy,
        lambda results: ProfilerResults.from_dict(json.loads(results.to_json())),
        lambda results: results.merge(),
    ],
    ids=["pickle", "deepcopy", "json", "merge"],
)
def test_a_tree_may_be_deeper_than_the_recursion_limit(
    again: Callable[[Any], ProfilerResults],
) -> None:
    """Nothing that handles trees calls itself for each level."""
    levels = 3 * sys.getrecursionlimit()
    results = ProfilerResults("deep", tree=root(deep_tree(levels)))
    twin = again(results)
    assert twin.tree == results.tree
    assert max(depth for _, depth in twin.tree.walk()) == levels + 1
    assert "children=<1>" in repr(twin.tree)


# Threads


class WatchedLock:
    """A lock that tells when two have asked for it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._asked: list[int] = []
        self.both_asked = threading.Event()

    def __enter__(self) -> None:
        self._asked.append(threading.get_ident())
        if len(self._asked) == 2:
            self.both_asked.set()
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def test_threads_given_as_a_function_are_made_once_when_first_asked_for() -> None:
    """A second thread that asks while they are being made waits, and gets the same list."""
    calls: list[int] = []
    lock = WatchedLock()

    def make() -> list[ThreadResults]:
        calls.append(1)
        assert lock.both_asked.wait(30)
        return [thread(1)]

    results = ProfilerResults("lazy", threads=make)
    results._threads_lock = lock  # type: ignore[assignment]
    assert calls == []
    seen: list[list[ThreadResults]] = []
    askers = [threading.Thread(target=lambda: seen.append(results.threads)) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert calls == [1]
    assert seen[0] is seen[1]
    assert seen[0] == [thread(1)]


def test_threads_that_could_not_be_made_are_made_at_the_next_attempt() -> None:
    """The failure is the caller's to see, and nothing stays locked."""
    outcomes: list[list[ThreadResults]] = [[thread(1)]]
    results = ProfilerResults("lazy", threads=lambda: outcomes.pop(1))
    with pytest.raises(IndexError):
        _ = results.threads
    outcomes.append([thread(2)])
    assert results.threads == [thread(2)]


def test_a_thread_has_figures_of_its_own() -> None:
    """Tracks, total, hits and tree, as the results of all threads have."""
    share = thread(1, block("a", (10, 20)), block("b", (5,), track=3))
    assert share.total_hits == 3
    assert share.total_time_ns == 35
    assert share.get_track(3).get_block(0).name == "b"


# Equality, copies


CHANGES: dict[str, Callable[[ProfilerResults], Any]] = {
    "name": lambda r: setattr(r, "profiler_name", "other"),
    "total": lambda r: setattr(r, "total_time_ns", 1),
    "track name": lambda r: setattr(r.tracks[0], "track_name", "other"),
    "track off": lambda r: setattr(r.tracks[0], "enabled", False),
    "block": lambda r: setattr(r.tracks[0].blocks[0], "hit_count", 99),
    "open": lambda r: setattr(r.tracks[0].blocks[0], "open_count", 1),
    "error": lambda r: setattr(r.tracks[0].blocks[0], "error_count", 1),
    "cancelled": lambda r: setattr(r.tracks[0].blocks[0], "cancelled_count", 1),
    "histogram": lambda r: r.tracks[0].blocks[0].histogram.add(5),
    "tree": lambda r: setattr(r.tree.children[0].children[0], "hit_count", 99),
    "error on a path": lambda r: setattr(r.tree.children[0], "error_count", 1),
    "thread": lambda r: setattr(r.threads[1], "alive", True),
    "metadata": lambda r: r.metadata["clock"].update(source="monotonic"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_results_are_equal_until_any_of_their_figures_differs(change: Callable[[Any], Any]) -> None:
    """And a deep copy has figures of its own."""
    results, twin = sample(), copy.deepcopy(sample())
    assert twin == results
    change(twin)
    assert twin != results
    assert results == sample()


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_results_survive_pickle_and_copy_with_threads_still_unmade(
    again: Callable[[Any], Any],
) -> None:
    """Neither a function nor a lock is left in the way."""
    results = sample()
    lazy = ProfilerResults(
        results.profiler_name,
        results.tracks,
        results.total_time_ns,
        results.tree,
        lambda: results.threads,
        results.metadata,
    )
    assert again(lazy) == results


def test_results_are_equal_to_nothing_else() -> None:
    """Comparing with another type is not an error."""
    assert sample() != "census"
    assert ProfileTrack(0, "a") != CallNode.root()


def test_results_print_as_a_short_line() -> None:
    """A session at the prompt stays readable."""
    assert repr(sample()) == "<ProfilerResults 'census': 2 tracks, 6 hits, 1000600 ns>"
    assert repr(ProfileTrack(0, "a")) == (
        "ProfileTrack(track_idx=0, track_name='a', enabled=True, blocks=[], total_time_ns=0)"
    )


# Metadata


def test_metadata_is_copied_in_the_shape_that_json_gives_it() -> None:
    """Tuples become lists, and None stands for what is not finite."""
    given_metadata = {"t": (1, 2.5), "nan": math.nan, "inf": -math.inf, "n": None, "b": True}
    results = ProfilerResults("m", metadata=given_metadata)
    given_metadata["t"] = ()
    assert results.metadata == {"t": [1, 2.5], "nan": None, "inf": None, "n": None, "b": True}


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"a": {"b": [1, {2}]}}, r"metadata\['a'\]\['b'\]\[1\] must be something that JSON can"),
        ({"a": {1: 2}}, r"the keys of metadata\['a'\] must be str, not 1"),
    ],
)
def test_metadata_that_json_cannot_hold_is_refused_where_it_is_given(
    metadata: Any, sentence: str
) -> None:
    """Not only hours later, when the results are saved."""
    with pytest.raises(TypeError, match=sentence):
        ProfilerResults("m", metadata=metadata)


# Where results come from


def test_results_are_taken_from_results_or_from_whatever_can_give_some() -> None:
    """A profiler is recognised by its get_results()."""

    class Source:
        def get_results(self) -> ProfilerResults:
            return results

    results = sample()
    assert results_of(results) is results
    assert results_of(Source()) is results


@pytest.mark.parametrize("source", [None, "census", {}, ProfilerResults, sample().threads[0]])
def test_anything_else_is_not_taken_for_results(source: object) -> None:
    """The error says what was given."""
    with pytest.raises(TypeError, match="expected a Profiler or its ProfilerResults, not "):
        results_of(source)


def test_a_source_whose_results_are_something_else_is_refused() -> None:
    """A method of the right name is not enough."""

    class Source:
        def get_results(self) -> int:
            return 1

    with pytest.raises(TypeError, match="expected a Profiler or its ProfilerResults"):
        results_of(Source())


# Merging


def test_merged_blocks_have_all_passes_of_both() -> None:
    """Every figure is the one that a single run would have given."""
    merged = single(block("a", (10, 500))).merge(single(block("a", (7, 70, 700))))
    assert merged.tracks[0].blocks == [block("a", (10, 500, 7, 70, 700))]
    assert merged.total_time_ns == merged.tracks[0].total_time_ns == 1287
    assert merged.total_hits == 5


@given(DURATIONS, DURATIONS, DURATIONS)
def test_merging_does_not_depend_on_how_runs_are_grouped(
    a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...]
) -> None:
    """Three at once, or one after the other from either end, and as if it had been one run."""
    first, second, third = (single(block("a", times)) for times in (a, b, c))
    at_once = first.merge(second, third)
    assert first.merge(second).merge(third) == at_once == first.merge(second.merge(third))
    assert at_once.tracks[0].blocks == [block("a", a + b + c)]


def test_merging_adds_open_passes_and_how_passes_ended() -> None:
    """In blocks, on paths, in threads and in processes."""
    merged = troubled().merge(troubled())
    serve, handle = merged.tracks[0].blocks
    assert (serve.hit_count, serve.open_count, serve.total_time_ns) == (0, 2, 1800)
    ended = (handle.hit_count, handle.open_count, handle.error_count, handle.cancelled_count)
    assert ended == (8, 2, 4, 2)
    assert (handle.sum_time_ns, handle.concurrency, handle.min_time_ns) == (2000, 2.5, 100)
    inner = merged.tree.children[0].children[0]
    assert inner._values()[-7:] == (2000, 2, 4, 2, 0, 0, None)
    (process,) = merged.processes
    assert process._values()[-6:-1] == (8, 1800, 4, 4, 2)


def test_a_block_that_was_never_hit_does_not_pull_the_minimum_to_0() -> None:
    """From either side."""
    hit, never = single(block("a", (5, 9))), single(block("a"))
    for merged in (hit.merge(never), never.merge(hit)):
        assert merged.tracks[0].blocks == [block("a", (5, 9))]


def test_blocks_are_the_same_only_if_track_file_line_and_name_are() -> None:
    """Each that differs in one of them gets the next number of its track."""
    base = block("a", (1,))
    others = [
        block("b", (1,)),
        block("a", (1,), line=11),
        block("a", (1,), file="other.py"),
        block("a", (1,), track=1),
    ]
    merged = single(base).merge(*(single(other) for other in others))
    identities = [(b.track_idx, b.block_idx, b.file, b.line, b.name) for b in all_blocks(merged)]
    assert identities == [
        (0, 0, "/srv/app/io.py", 10, "a"),
        (0, 1, "/srv/app/io.py", 10, "b"),
        (0, 2, "/srv/app/io.py", 11, "a"),
        (0, 3, "other.py", 10, "a"),
        (1, 0, "/srv/app/io.py", 10, "a"),
    ]


def all_blocks(results: ProfilerResults | ThreadResults) -> list[ProfileBlock]:
    return [item for track in results.tracks.values() for item in track.blocks]


def test_numbers_mean_the_same_block_everywhere_in_merged_results() -> None:
    """In the tracks, in the trees and in each thread, whatever the numbers were before."""
    here = single(block("a", (1,)), threads=[thread(1, block("a", (1,)))])
    there = single(block("b", (2,)), block("a", (3,), idx=1), threads=[thread(2, block("b", (2,)))])
    merged = here.merge(there)
    assert [(b.block_idx, b.name) for b in merged.tracks[0].blocks] == [(0, "a"), (1, "b")]
    assert [(n.block_idx, n.name) for n, _ in merged.tree.walk()] == [(-1, ""), (0, "a"), (1, "b")]
    second = merged.threads[1]
    assert second.tracks[0].blocks == [block("a"), block("b", (2,), idx=1)]
    assert [(n.block_idx, n.name) for n, _ in second.tree.walk()] == [(-1, ""), (1, "b")]


def test_trees_are_merged_path_by_path() -> None:
    """The same block under another parent is another node."""
    a, b = block("a", (10,)), block("b", (4,), idx=1)
    first = ProfilerResults("x", tree=root(node(a, node(b))))
    second = ProfilerResults("x", tree=root(node(b), node(a, node(b), node(a))))
    merged = first.merge(second)
    found = [(n.name, depth, n.hit_count, n.total_time_ns) for n, depth in merged.tree.walk()]
    assert found == [
        ("", 0, 0, 0),
        ("a", 1, 2, 20),
        ("b", 2, 2, 8),
        ("a", 2, 1, 10),
        ("b", 1, 1, 4),
    ]


def test_other_paths_are_merged_like_any_node() -> None:
    """They belong to no block, so their numbers stay."""

    def overflowing() -> ProfilerResults:
        other = CallNode("(other paths)", -1, -1, hit_count=3, total_time_ns=30, self_time_ns=30)
        return ProfilerResults("x", tree=root(node(block("a", (1,)), other)))

    walked = [step for step, _ in overflowing().merge(overflowing()).tree.walk()]
    assert (walked[-1].name, walked[-1].track_idx, walked[-1].block_idx) == (
        "(other paths)",
        -1,
        -1,
    )
    assert (walked[-1].hit_count, walked[-1].total_time_ns, walked[-1].self_time_ns) == (6, 60, 60)


def test_a_track_keeps_the_name_and_the_switch_that_it_has_here() -> None:
    """A track that only the other has comes as it is."""
    here = ProfilerResults("x", {0: ProfileTrack(0, "mine", False)})
    there = ProfilerResults("x", {0: ProfileTrack(0, "mine"), 1: ProfileTrack(1, "new", False)})
    assert here.merge(there).tracks == {
        0: ProfileTrack(0, "mine", False),
        1: ProfileTrack(1, "new", False),
    }


def test_threads_are_put_one_after_the_other_and_clashing_keys_renumbered() -> None:
    """The first to have a key keeps it; the others get numbers that nobody has."""
    first = single(threads=[thread(1, name="a"), thread(2, name="b")])
    second = single(threads=[thread(1, name="c"), thread(5, name="d"), thread(2, name="e")])
    threads = first.merge(second).threads
    assert [(t.key, t.name) for t in threads] == [(1, "a"), (2, "b"), (6, "c"), (5, "d"), (7, "e")]
    assert [t.os_id for t in threads] == [1001, 1002, 1001, 1005, 1002]


def named(**tracks: int) -> ProfilerResults:
    """Results in which each track, of the index given, has one block, called as the track is, on one thread."""
    blocks = [block(name, (10,), track=idx, line=1 + len(name)) for name, idx in tracks.items()]
    made = [
        ProfileTrack(one.track_idx, one.name.replace("_", " "), True, [one], 10) for one in blocks
    ]
    share = ThreadResults(
        1, 1, "main", True, tracks={track.track_idx: track for track in made}, total_time_ns=10
    )
    return ProfilerResults(
        "app",
        tracks=copy.deepcopy(share.tracks),
        total_time_ns=10 * len(blocks),
        tree=root(*map(node, blocks)),
        threads=[share],
    )


def summary(results: ProfilerResults) -> dict[int, tuple[str, dict[str, int]]]:
    """Track index → its name, and block → hits."""
    return {
        idx: (track.track_name, {one.name: one.hit_count for one in track.blocks})
        for idx, track in results.tracks.items()
    }


def test_tracks_are_the_same_by_name_where_they_have_one() -> None:
    """Two processes that first used them in another order had numbered them otherwise."""
    merged = named(io=0, work=1).merge(named(work=0, io=1, new=2))
    expected = {0: ("io", {"io": 2}), 1: ("work", {"work": 2}), 2: ("new", {"new": 1})}
    assert summary(merged) == expected
    assert [(child.name, child.track_idx, child.hit_count) for child in merged.tree.children] == [
        ("io", 0, 2),
        ("work", 1, 2),
        ("new", 2, 1),
    ]
    first, second = merged.threads
    assert {idx: track.track_name for idx, track in first.tracks.items()} == {0: "io", 1: "work"}
    assert {idx: track.track_name for idx, track in second.tracks.items()} == {
        1: "work",
        0: "io",
        2: "new",
    }
    assert {one.name: one.track_idx for one in all_blocks(merged) if one.hit_count} == {
        "io": 0,
        "work": 1,
        "new": 2,
    }


def test_different_tracks_of_one_index_stay_apart() -> None:
    """The later one moves to an index that nobody has."""
    merged = named(io=0, work=1).merge(named(draw=0, work=1), named(Track_1=1, send=0))
    assert summary(merged) == {
        0: ("io", {"io": 1}),
        1: ("work", {"work": 2, "Track_1": 1}),
        2: ("draw", {"draw": 1}),
        3: ("send", {"send": 1}),
    }


def test_a_track_without_a_name_gets_the_one_that_another_run_gave_it() -> None:
    """Whichever comes first."""
    bare, given = named(Track_0=0), named(io=0)
    expected = {0: ("io", {"Track_0": 1, "io": 1})}
    assert summary(bare.merge(given)) == summary(given.merge(bare)) == expected


def test_merged_results_are_named_after_each_profiler_once() -> None:
    """Runs of one program keep its name."""
    a, b = ProfilerResults("a"), ProfilerResults("b")
    assert a.merge(a).profiler_name == "a"
    assert a.merge(b, a).profiler_name == "a + b"


def test_merged_results_keep_the_metadata_of_every_run() -> None:
    """Their own first, and that of each in a list, also after merging again."""
    runs = [ProfilerResults("x", metadata={"run": i}) for i in range(3)]
    expected = {"run": 0, "merged": [{"run": 0}, {"run": 1}, {"run": 2}]}
    assert runs[0].merge(runs[1], runs[2]).metadata == expected
    assert runs[0].merge(runs[1]).merge(runs[2]).metadata == expected


def test_merging_changes_none_of_its_inputs() -> None:
    """Nor does changing the outcome."""
    here, there = sample(), single(block("read", (5,)), block("new", (7,), idx=1))
    untouched = copy.deepcopy(there)
    merged = here.merge(there, here)
    for item in all_blocks(merged):
        item.hit_count = -1
        item.histogram.add(1)
    merged.metadata["clock"]["source"] = "changed"
    merged.threads[0].tracks.clear()
    assert here == sample()
    assert there == untouched


def test_results_can_be_merged_with_themselves() -> None:
    """Everything is then there twice."""
    results = sample()
    merged = results.merge(results)
    assert merged.total_hits == 12
    assert len(merged.threads) == 4


@pytest.mark.parametrize("other", [None, {}, sample().threads[0], ProfilerResults])
def test_merging_with_something_else_is_refused(other: Any) -> None:
    """The error says what was given."""
    with pytest.raises(TypeError, match="only be merged with other ProfilerResults, not with "):
        sample().merge(sample(), other)


# Saving and loading


@pytest.mark.parametrize("as_path", [str, Path], ids=["str", "Path"])
def test_what_was_saved_is_loaded_again(tmp_path: Path, as_path: Callable[[Any], Any]) -> None:
    """All of it, and as the same type."""
    target = as_path(tmp_path / "results.json")
    sample().save(target)
    assert ProfilerResults.load(target) == sample()


@given(
    st.lists(st.tuples(st.text(min_size=1), DURATIONS, st.integers(0, 3)), max_size=6),
    st.text(),
)
def test_any_results_are_the_same_after_a_trip_through_json(
    items: list[tuple[str, tuple[int, ...], int]], name: str
) -> None:
    """Whatever the names and the figures."""
    blocks = [
        block(text, times, track=track, idx=i) for i, (text, times, track) in enumerate(items)
    ]
    results = single(*blocks, name=name, threads=[thread(1, *blocks, name=name)])
    for indent in (None, 0, 2):
        assert ProfilerResults.from_dict(json.loads(results.to_json(indent))) == results


def test_integers_of_any_size_are_kept(tmp_path: Path) -> None:
    """A sum of squares outgrows 64 bits on the first long day."""
    huge = single(block("b", (10**30, 10**30 + 7)))
    huge.save(tmp_path / "huge.json")
    assert ProfilerResults.load(tmp_path / "huge.json") == huge


def test_a_file_name_that_is_not_unicode_is_kept(tmp_path: Path) -> None:
    """Python hands such names around as lone surrogates, which UTF-8 cannot hold."""
    odd = single(block("b", (1,), file="/srv/caf\udce9.py"))
    odd.save(tmp_path / "odd.json")
    assert ProfilerResults.load(tmp_path / "odd.json") == odd


def test_a_self_time_below_zero_is_kept() -> None:
    """Nested blocks that overlapped took longer together than the block around them."""
    odd = single(block("b", (10,), self_ns=-5))
    assert ProfilerResults.from_dict(odd.to_dict()) == odd


def of_format_1(results: ProfilerResults) -> ProfilerResults:
    """Results as format 1 could tell them: it had no sums of paths."""
    for tree in (results.tree, *(share.tree for share in results.threads)):
        for step, _ in tree.walk():
            step.sum_time_ns = 0
    return results


def load_again(path: Path) -> ProfilerResults:
    """Results that were loaded, saved as this version saves them, and loaded."""
    return ProfilerResults.from_dict(json.loads(ProfilerResults.load(path).to_json()))


@pytest.mark.parametrize("loaded", [ProfilerResults.load, load_again])
def test_results_of_format_1_are_still_read(loaded: Callable[[Path], ProfilerResults]) -> None:
    """The stored file, and through it the files of every user, stays readable."""
    assert loaded(DATA / "results-v1.json") == of_format_1(sample())


@pytest.mark.parametrize("loaded", [ProfilerResults.load, load_again])
@pytest.mark.parametrize("version", [2, 3, 4])
def test_results_of_later_formats_are_read(
    loaded: Callable[[Path], ProfilerResults], version: int
) -> None:
    """With what is open, and how passes ended."""
    assert loaded(DATA / f"results-v{version}.json") == troubled()


def test_the_stored_file_is_what_this_version_writes() -> None:
    """A change of the document calls for a new format version, and a new stored file."""
    stored = json.loads((DATA / "results-v4.json").read_text(encoding="utf-8"))
    assert stored["format_version"] == FORMAT_VERSION
    assert troubled().to_dict() == stored


def keys_of(document: object) -> Iterator[str]:
    """Every key of a document, wherever it stands, but those of its metadata."""
    if isinstance(document, list):
        for item in document:
            yield from keys_of(item)
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from keys_of(value if key != "metadata" else None)


def test_every_field_of_the_document_is_documented() -> None:
    """And nothing else, with the format that has brought it."""
    text = (DATA.parents[1] / "docs" / "results-file.md").read_text(encoding="utf-8")
    _, _, text = text.partition("## The whole")
    whole = troubled()
    (process,) = whole.processes
    whole.processes.append(ProcessResults("web-2", 5, "other"))
    whole.threads[0].process = process
    whole.tracks[0].blocks[0].cpu = ProcessorTime(1, 30, 30, 100, 30, 30)
    whole.tracks[0].blocks[0].byte_count = 1
    told = {key for key in re.findall(r"`(\w+)`", text) if key.islower()}
    assert told == set(keys_of(whole.to_dict()))
    of_2 = {
        name
        for record in (ProfileBlock, CallNode, ProcessResults)
        for name, one in record._fields.items()
        if one.since == 2
    }
    in_a_row = [line for line in text.splitlines() if "since 2" in line]
    assert of_2 <= {key for line in in_a_row for key in re.findall(r"`(\w+)`", line)}


def test_what_format_1_did_not_tell_is_not_read_from_it() -> None:
    """A field of that name meant something else, or nothing."""
    document = json.loads((DATA / "results-v1.json").read_text(encoding="utf-8"))
    document["tracks"][0]["blocks"][0]["error_count"] = "?"
    document["tree"][1]["open_count"] = 5
    assert ProfilerResults.from_dict(document) == of_format_1(sample())


def test_fields_of_a_later_version_are_ignored() -> None:
    """Wherever they turn up."""
    document = sample().to_dict()
    for place in (document, document["tracks"][0], document["tracks"][0]["blocks"][0]):
        place["brand_new"] = {"a": 1}
    document["tree"][1]["brand_new"] = document["threads"][0]["brand_new"] = None
    assert ProfilerResults.from_dict(document) == sample()


def test_derived_figures_are_computed_anew() -> None:
    """Somebody's edit of a mean does not make it one."""
    document = sample().to_dict()
    document["total_hits"] = 5
    document["tracks"][0]["blocks"][0].update(avg_time_ns="?", stddev_time_ns=-1, p99_time_ns=None)
    assert ProfilerResults.from_dict(document) == sample()


def test_a_file_that_does_not_exist_is_reported_as_such(tmp_path: Path) -> None:
    """By the exception that everybody knows."""
    with pytest.raises(FileNotFoundError):
        ProfilerResults.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not JSON, or cut short: "),
        (b"Track,Block Name\n", "not JSON, or cut short: "),
        (b"\xff\xfe\x00", "not JSON, or cut short: "),
        (b"[" * 100_000, "not JSON, or cut short: "),
        (b"[]", "not a stichotrope results file: expected an object on the outside, not []"),
        (b"{}", 'not a stichotrope results file: its "format" is None'),
        (b'{"format": "pyperf"}', "not a stichotrope results file: its \"format\" is 'pyperf'"),
        (b'{"format": "stichotrope-results"}', 'field "format_version" is missing'),
    ],
)
def test_a_foreign_file_is_refused_with_its_name(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    """And with what is wrong with it."""
    target = tmp_path / "foreign.json"
    target.write_bytes(content)
    with pytest.raises(ResultsFormatError) as caught:
        ProfilerResults.load(target)
    assert str(caught.value).startswith(f"{target}: {sentence}")


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    """Not a part of the results is taken for the whole."""
    text = sample().to_json().encode()
    target = tmp_path / "short.json"
    for length in range(0, len(text), 97):
        target.write_bytes(text[:length])
        with pytest.raises(ResultsFormatError, match="not JSON, or cut short"):
            ProfilerResults.load(target)


def test_results_of_a_newer_format_ask_for_an_update(tmp_path: Path) -> None:
    """Even when nothing else in the file is as this version knows it."""
    target = tmp_path / "newer.json"
    newer = FORMAT_VERSION + 1
    target.write_text(f'{{"format": "stichotrope-results", "format_version": {newer}}}')
    with pytest.raises(ResultsFormatError) as caught:
        ProfilerResults.load(target)
    assert str(caught.value) == (
        f"{target}: written in results format {newer}; this version reads up to {FORMAT_VERSION}; "
        "update stichotrope"
    )


WRONG: list[tuple[list[str | int], Any, str]] = [
    (["format_version"], "1", """field "format_version" must be a whole number, not '1'"""),
    (["profiler_name"], 5, 'field "profiler_name" must be a text, not 5'),
    (["total_time_ns"], 1.5, 'field "total_time_ns" must be a whole number, not 1.5'),
    (["total_time_ns"], True, 'field "total_time_ns" must be a whole number, not True'),
    (["metadata"], [], 'field "metadata" must be an object, not []'),
    (["tracks"], {}, 'field "tracks" must be a list, not {}'),
    (["tracks", 1], 3, "expected an object at tracks[1], not 3"),
    (["tracks", 1, "track_idx"], 0, 'field "tracks" holds a track twice'),
    (["tracks", 1, "track_idx"], -1, 'field "track_idx" at tracks[1] must be a whole number, 0 or'),
    (["tracks", 0, "enabled"], 1, 'field "enabled" at tracks[0] must be true or false, not 1'),
    (
        ["tracks", 0, "blocks", 1, "hit_count"],
        -2,
        'field "hit_count" at tracks[0].blocks[1] must be a whole number, 0 or more, not -2',
    ),
    (
        ["tracks", 0, "blocks", 1, "name"],
        None,
        'field "name" at tracks[0].blocks[1] must be a text, not None',
    ),
    (
        ["tree", 1, "cancelled_count"],
        -1,
        'field "cancelled_count" at tree[1] must be a whole number',
    ),
    (["tracks", 0, "blocks", 1, "histogram"], [[1, 2, 3]], "a list of pairs of whole numbers"),
    (["tracks", 0, "blocks", 1, "histogram"], [[1, -2]], "whole numbers, 0 or more"),
    (["tracks", 0, "blocks", 1, "histogram"], [[True, 2]], "a list of pairs of whole numbers"),
    (["threads", 1, "tracks", 0, "blocks", 0, "line"], "x", "at threads[1].tracks[0].blocks[0]"),
    (["tree"], [], 'field "tree" must have at least a root'),
    (["threads", 0, "tree"], [], 'field "tree" at threads[0] must have at least a root'),
    (["tree", 1, "parent"], 1, 'field "parent" at tree[1] must be the number of a node before it'),
    (["tree", 2, "parent"], -1, 'field "parent" at tree[2] must be the number of a node before it'),
    (["tree", 1, "parent"], -2, 'field "parent" at tree[1] must be the number of a node before it'),
    (["tree", 0, "parent"], 0, 'field "parent" at tree[0] must be the number of a node before it'),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG)
def test_a_field_of_the_wrong_kind_is_reported_with_its_place(
    path: list[str | int], value: Any, sentence: str
) -> None:
    """What it is, where it is, and what was expected."""
    document: Any = sample().to_dict()
    *way, last = path
    place = document
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(ResultsFormatError) as caught:
        ProfilerResults.from_dict(document)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (["tracks"], 'field "tracks" is missing'),
        (["tracks", 0, "blocks", 1, "hit_count"], "is missing at tracks[0].blocks[1]"),
        (["tracks", 0, "blocks", 1, "open_count"], "is missing at tracks[0].blocks[1]"),
        (["tree", 1, "error_count"], "is missing at tree[1]"),
        (["threads", 0, "key"], "is missing at threads[0]"),
        (["tree", 1, "parent"], "is missing at tree[1]"),
    ],
)
def test_a_missing_field_is_reported_with_its_place(path: list[str | int], sentence: str) -> None:
    """So that a broken file can be mended."""
    document: Any = sample().to_dict()
    *way, last = path
    place = document
    for step in way:
        place = place[step]
    del place[last]
    with pytest.raises(ResultsFormatError) as caught:
        ProfilerResults.from_dict(document)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("path", [None, 5, b"results.json", ["results.json"]])
def test_a_path_of_the_wrong_type_is_refused(path: Any) -> None:
    """An integer in particular, which `open` would take for a file descriptor."""
    for use in (sample().save, ProfilerResults.load):
        with pytest.raises(TypeError, match=r"a path must be a str or a pathlib\.Path, not "):
            use(path)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_cannot_be_one_is_refused(path: str) -> None:
    """With a sentence rather than the operating system's."""
    for use in (sample().save, ProfilerResults.load):
        with pytest.raises(ValueError, match="a path must be non-empty and free of null"):
            use(path)
