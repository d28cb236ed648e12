"""The merge: from nodes in ticks, made by hand, to blocks, tracks, tree and total in ns."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from stichotrope import _core
from stichotrope.results.histogram import bounds, index
from stichotrope.snapshot.aggregate import (
    Rate,
    Site,
    blocks_by_track,
    call_tree,
    midpoint,
)

pytestmark = pytest.mark.unit

NS = Rate(1, 1)
SITES = [
    Site(0, 0, "a", "a.py", 1),
    Site(0, 1, "b", "a.py", 2),
    Site(3, 0, "c", "c.py", 3),
    Site(0, 2, "never", "a.py", 4),
]
TRACKS = [(3, "three", False), (0, "zero", True)]
A, B, C, NEVER, OTHER = 0, 1, 2, 3, -1


def bucket(ticks: int) -> int:
    """The bucket that the core counts a pass in, by the formula that `midpoint` documents."""
    octave = (ticks + 16).bit_length() - 1 - 4
    return 16 * octave + ((ticks + 16) >> octave) - 16


def node(
    parent: int,
    site: int,
    passes: tuple[int, ...] = (),
    *,
    once: int | None = None,
    own: int | None = None,
    open_: int = 0,
    failed: int = 0,
    cancelled: int = 0,
) -> _core.RawNode:
    """A node as the core's snapshot gives it."""
    buckets: dict[int, int] = {}
    for ticks in passes:
        buckets[bucket(ticks)] = buckets.get(bucket(ticks), 0) + 1
    return (
        parent,
        site,
        len(passes),
        sum(passes),
        min(passes, default=0),
        max(passes, default=0),
        sum(ticks * ticks for ticks in passes),
        sum(passes) if once is None else once,
        sum(passes) if own is None else own,
        open_,
        failed,
        cancelled,
        buckets,
    )


# Ticks to nanoseconds


@pytest.mark.parametrize(
    ("ns", "ticks", "given", "expected"),
    [
        (1, 1, 7, 7),
        (1, 3, 1, 0),
        (1, 3, 2, 1),
        (1, 2, 1, 1),
        (1, 2, 3, 2),
        (5, 1, 3, 15),
        (
            1_000_000_007,
            2_999_999_989,
            2**62,
            round(Fraction(1_000_000_007, 2_999_999_989) * 2**62),
        ),
        (1, 1, 0, 0),
    ],
)
def test_ticks_become_the_nearest_nanosecond(
    ns: int, ticks: int, given: int, expected: int
) -> None:
    """In exact arithmetic, halves upwards, however long the run was."""
    assert Rate(ns, ticks).time(given) == expected


def test_squares_are_converted_by_the_square_of_the_rate() -> None:
    """Of 128 bits, without loss."""
    assert Rate(2, 1).square(25) == 100
    assert Rate(1, 3).square(9 * 10**30) == 10**30
    assert Rate(1, 2).square(2) == 1


@pytest.mark.parametrize("number", [0, 1, 15, 16, 17, 31, 32, 47, 48, 16 * 30 + 5, 16 * 59 + 15])
def test_the_middle_of_a_bucket_lies_in_it(number: int) -> None:
    """And that of the next one lies above it."""
    assert bucket(midpoint(number)) == number
    assert midpoint(number) < midpoint(number + 1)


def test_the_first_octave_is_exact() -> None:
    """A tick more is a bucket more."""
    assert [midpoint(number) for number in range(16)] == list(range(16))


@pytest.mark.parametrize("ticks", [*range(40), 63, 64, 1000, 10**6, 2**41 + 12345, 2**60 + 1])
def test_the_core_counts_a_pass_in_the_bucket_that_the_formula_says(ticks: int) -> None:
    """And the bucket's middle is no further off than one in 32, of the ticks and 16 more."""
    _core.use_clock("manual")
    recorder = _core.Recorder()
    recorder._open_store(0, 16)
    recorder._set_gate(recorder._add_track(), True)
    tracked = recorder._wrap(
        lambda: _core.set_manual_ticks(ticks), recorder._add_site(0), False, False
    )
    _core.set_manual_ticks(0)
    tracked()
    ((_, _, hits, total, *_, buckets),) = recorder._snapshot().merged()[0]
    assert (hits, total, buckets) == (1, ticks, {bucket(ticks): 1})
    assert abs(midpoint(bucket(ticks)) - ticks) <= (ticks + 16) / 32


# Blocks and tracks


NO_TIME: _core.RawScopes = ({}, {}, 0)


def figures(
    nodes: list[_core.RawNode], rate: Rate = NS, sites: dict[int, tuple[int, int]] | None = None
) -> dict[str, Any]:
    """Block name → block, after the merge."""
    tracks = blocks_by_track(TRACKS, SITES, nodes, (sites or {}, {}, 0), rate)
    return {block.name: block for track in tracks.values() for block in track.blocks}


def test_tracks_come_by_index_with_all_their_blocks() -> None:
    """Also those that were never hit, all zeros; blocks stand in the order of their index."""
    tracks = blocks_by_track(TRACKS, SITES, [], NO_TIME, NS)
    assert list(tracks) == [0, 3]
    assert [(t.track_name, t.enabled, t.total_time_ns) for t in tracks.values()] == [
        ("zero", True, 0),
        ("three", False, 0),
    ]
    rows = [(b.name, b.track_idx, b.block_idx, b.file, b.line) for b in tracks[0].blocks]
    assert rows == [("a", 0, 0, "a.py", 1), ("b", 0, 1, "a.py", 2), ("never", 0, 2, "a.py", 4)]
    never = tracks[0].blocks[2]
    assert (never.hit_count, never.min_time_ns, never.max_time_ns, never.histogram.total) == (
        0,
    ) * 4


def test_a_block_is_the_sum_of_its_nodes() -> None:
    """Of two paths: hits, times, extremes, squares and histogram."""
    nodes = [
        node(-1, A, (10, 20), own=18, failed=1),
        node(0, B, (5, 7), failed=1, cancelled=1),
        node(-1, B, (100,), failed=1, open_=2),
    ]
    sites = {A: (30, 30), B: (112, 112)}
    b = figures(nodes, sites=sites)["b"]
    assert (b.hit_count, b.total_time_ns, b.self_time_ns) == (3, 112, 112)
    assert (b.sum_time_ns, b.min_time_ns, b.max_time_ns) == (112, 5, 100)
    assert b.sum_squares_ns2 == 25 + 49 + 10_000
    assert b.histogram.total == 3
    assert (b.error_count, b.cancelled_count, b.open_count) == (2, 1, 2)
    a = figures(nodes, sites=sites)["a"]
    assert (a.hit_count, a.total_time_ns, a.self_time_ns) == (2, 30, 18)


def test_the_total_is_what_counts_once() -> None:
    """Recursion counts its time once; the sum over all passes, and the mean, have them all."""
    a = figures([node(-1, A, (100, 30, 10), once=100, own=100)], sites={A: (100, 100)})["a"]
    assert (a.hit_count, a.total_time_ns, a.self_time_ns, a.sum_time_ns) == (3, 100, 100, 140)
    assert a.concurrency == 1.4


def test_what_is_open_has_time_and_no_hits() -> None:
    """A block in which the program is counts as far as it has come."""
    a = figures([node(-1, A, once=70, own=20, open_=1)], sites={A: (70, 50)})["a"]
    assert (a.hit_count, a.open_count, a.sum_time_ns, a.min_time_ns) == (0, 1, 0, 0)
    assert (a.total_time_ns, a.active_time_ns, a.self_time_ns) == (70, 50, 20)


def test_a_node_without_passes_changes_no_extreme() -> None:
    """A path whose pass is still open has a node and no figures yet."""
    block = figures([node(-1, B, (7,)), node(-1, A), node(1, B)])["b"]
    assert (block.hit_count, block.min_time_ns, block.max_time_ns) == (1, 7, 7)


def test_a_tracks_total_is_what_counts_once_on_it() -> None:
    """Not what its blocks come to together."""
    nodes = [node(-1, A, (100,), own=40), node(0, B, (60,), own=40), node(1, C, (20,))]
    sites = {A: (100, 100), B: (60, 60), C: (20, 20)}
    tracks = blocks_by_track(TRACKS, SITES, nodes, (sites, {1: 100, 0: 20}, 120), NS)
    assert {i: t.total_time_ns for i, t in tracks.items()} == {0: 100, 3: 20}
    assert {i: t.total_hits for i, t in tracks.items()} == {0: 2, 3: 1}


def test_the_histogram_keeps_every_count_when_ticks_are_no_nanoseconds() -> None:
    """Buckets of ticks land in the bucket of the nanoseconds that their middle is."""
    passes = tuple(range(0, 4000, 7))
    block = figures([node(-1, A, passes)], Rate(1, 3))["a"]
    assert block.histogram.total == len(passes)
    expected: dict[int, int] = {}
    for ticks in passes:
        place = index(round(Fraction(midpoint(bucket(ticks)), 3) + Fraction(1, 10**9)))
        expected[place] = expected.get(place, 0) + 1
    assert {low: n for low, _, n in block.histogram} == {
        bounds(place)[0]: n for place, n in expected.items()
    }


def test_times_are_converted_after_they_were_summed() -> None:
    """Three passes of one tick, of which three make a nanosecond, are one nanosecond."""
    block = figures([node(-1, A, (1, 1, 1))], Rate(1, 3), {A: (3, 3)})["a"]
    assert (block.total_time_ns, block.sum_time_ns, block.sum_squares_ns2) == (1, 1, 0)


def test_other_paths_is_no_block() -> None:
    """What lies under it belongs to the blocks that were passed."""
    nodes = [node(-1, OTHER), node(0, A, (3,)), node(0, B, (4,))]
    blocks = figures(nodes)
    assert (blocks["a"].hit_count, blocks["b"].sum_time_ns) == (1, 4)
    assert set(blocks) == {"a", "b", "c", "never"}


# The tree


def test_the_tree_has_a_node_for_each_path() -> None:
    """With that path's part of the block's figures."""
    nodes = [
        node(-1, A, (10, 20), own=18),
        node(0, B, (12,), own=10),
        node(-1, C, (9,), own=5),
        node(1, C, (2,)),
        node(2, B, (4,)),
    ]
    rows = [
        (n.name, n.hit_count, n.total_time_ns, n.self_time_ns, depth)
        for n, depth in call_tree(SITES, nodes, NS).walk()
    ]
    assert rows == [
        ("", 0, 0, 0, 0),
        ("a", 2, 30, 18, 1),
        ("b", 1, 12, 10, 2),
        ("c", 1, 2, 2, 3),
        ("c", 1, 9, 5, 1),
        ("b", 1, 4, 4, 2),
    ]


def test_tree_nodes_know_their_block() -> None:
    """Track, index, file and line; the root has none."""
    tree = call_tree(SITES, [node(-1, C, (1,))], NS)
    (c,) = tree.children
    assert (c.track_idx, c.block_idx, c.file, c.line) == (3, 0, "c.py", 3)
    assert (tree.track_idx, tree.block_idx, tree.file, tree.line) == (-1, -1, "", 0)


def test_a_tree_nodes_total_is_what_counts_once() -> None:
    """As the block's is; how its passes ended is there, too."""
    nodes = [node(-1, A, (100, 30), once=100, own=90, open_=3, failed=2, cancelled=1)]
    (a,) = call_tree(SITES, nodes, NS).children
    assert (a.hit_count, a.total_time_ns, a.self_time_ns, a.sum_time_ns) == (2, 100, 90, 130)
    assert (a.open_count, a.error_count, a.cancelled_count) == (3, 2, 1)


def test_other_paths_is_a_node_of_no_track() -> None:
    """With a child for each block that was passed there."""
    (other,) = call_tree(SITES, [node(-1, OTHER), node(0, A, (3,))], NS).children
    assert (other.name, other.track_idx, other.hit_count) == ("(other paths)", -1, 0)
    assert [(n.name, n.hit_count) for n in other.children] == [("a", 1)]


def test_a_tree_of_nothing_is_a_root() -> None:
    """Without children."""
    assert call_tree(SITES, [], NS).children == []


def test_a_deep_tree_is_built_without_recursion() -> None:
    """Ten thousand levels, far beyond what the interpreter would let a function recurse."""
    nodes = [node(i - 1, i % 2, (1,)) for i in range(10_000)]
    assert sum(1 for _ in call_tree(SITES, nodes, NS).walk()) == 10_001
