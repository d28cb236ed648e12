"""The core by itself: what raw snapshots hold, where its tables grow, and where its limits are."""

from __future__ import annotations

import contextvars
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from conftest import ManualClock, Threads
from moments import tables
from stichotrope import Profiler, _core
from stichotrope.results import OTHER_PATHS
from stichotrope.snapshot import aggregate

pytestmark = pytest.mark.unit


class Node(NamedTuple):
    """A node of a raw snapshot."""

    parent: int
    site: int
    passes: int
    total: int
    minimum: int
    maximum: int
    squares: int
    once: int
    own: int
    open: int
    failed: int
    cancelled: int
    buckets: dict[int, int]


class Head(NamedTuple):
    """What a raw snapshot says of a thread, besides its nodes."""

    key: int
    os_id: int
    name: str | None
    ended: bool
    address: int
    clamped: int
    untimed: int
    unbinned: int


def nodes(p: Profiler) -> list[Node]:
    """The nodes of the only thread that has recorded."""
    snapshot = p._snapshot()
    assert len(snapshot.threads()) == 1
    return [Node(*node) for node in snapshot.nodes(0)]


def head(p: Profiler) -> Head:
    """The only thread that has recorded."""
    (only,) = p._snapshot().threads()
    return Head(*only)


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("core")


# ---- raw snapshots ------------------------------------------------------------------------------


def test_a_node_holds_every_figure_of_its_passes(p: Profiler, clock: ManualClock) -> None:
    """Ticks of all passes, those in which any was open or had nothing in it, and a histogram."""
    outer, inner = p.block(0, "outer"), p.block(1, "inner")
    for step in (10, 40):
        with outer:
            clock.advance(1)
            with inner:
                clock.advance(step)
                with outer:
                    clock.advance(100)
    # Site 0 again, so its passes under `inner` fold back onto the node that they came from.
    assert nodes(p) == [
        Node(-1, 0, 4, 452, 100, 141, 111**2 + 141**2 + 2 * 100**2, 252, 202, 0, 0, 0,
             {tables.bucket(100): 2, tables.bucket(111): 1, tables.bucket(141): 1}),
        Node(0, 1, 2, 250, 110, 140, 110**2 + 140**2, 250, 50, 0, 0, 0,
             {tables.bucket(110): 1, tables.bucket(140): 1}),
    ]  # fmt: skip
    assert p._snapshot().scopes(0) == ({0: (252, 252), 1: (250, 250)}, {0: 252, 1: 250}, 252)


def test_parents_come_before_their_children(p: Profiler, clock: ManualClock) -> None:
    """A reader can build the tree in one pass over the nodes."""
    blocks = [p.block(0, f"{i}") for i in range(6)]
    for first in blocks:
        for second in blocks:
            with first, second:
                clock.advance(1)
    for number, node in enumerate(nodes(p)):
        assert -1 <= node.parent < number


def test_a_node_whose_only_pass_is_open_has_its_time_and_no_passes(
    p: Profiler, clock: ManualClock
) -> None:
    """Its minimum is 0 and not the largest number there is."""
    with p.block(0, "open"):
        clock.advance(5)
        assert nodes(p) == [Node(-1, 0, 0, 0, 0, 0, 0, 5, 5, 1, 0, 0, {})]


def test_a_snapshot_never_changes(p: Profiler, clock: ManualClock) -> None:
    """Neither by passes that end later, nor by a clear, nor by the end of its profiler."""
    block = p.block(0, "x")
    with block:
        clock.advance(7)
    snapshot = p._snapshot()
    before = snapshot.threads(), snapshot.nodes(0), snapshot.merged()
    with block:
        clock.advance(9)
    p.clear()
    del p, block
    gc.collect()
    assert (snapshot.threads(), snapshot.nodes(0), snapshot.merged()) == before
    assert Node(*snapshot.nodes(0)[0]).total == 7


def test_a_thread_that_is_not_in_a_snapshot_is_an_error(p: Profiler) -> None:
    """It is not memory that belongs to somebody else."""
    with p.block(0, "x"):
        pass
    snapshot = p._snapshot()
    with pytest.raises(IndexError, match="thread 1 of 1"):
        snapshot.nodes(1)
    with pytest.raises(OverflowError):
        snapshot.nodes(-1)


def test_merging_adds_threads_up_path_by_path(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Paths that several threads have are one node, others stay their own."""
    outer, left, right = p.block(0, "outer"), p.block(1, "left"), p.block(1, "right")

    def work(inner: Any, step: int) -> None:
        with outer:
            clock.advance(step)
            with inner:
                clock.advance(100)

    threads.one_by_one(lambda: work(left, 1), lambda: work(right, 2), lambda: work(left, 3))
    merged = [Node(*node) for node in p._snapshot().merged()[0]]
    figures = {
        (node.parent, node.site): (node.passes, node.total, node.own, node.minimum, node.maximum)
        for node in merged
    }
    assert figures == {
        (-1, 0): (3, 306, 6, 101, 103),
        (0, 1): (2, 200, 200, 100, 100),
        (0, 2): (1, 100, 100, 100, 100),
    }
    assert merged[0].squares == 101**2 + 102**2 + 103**2
    assert sum(merged[0].buckets.values()) == 3


# ---- durations ----------------------------------------------------------------------------------

EDGES = sorted(
    {0, 1, 2, (1 << 63) - 1}
    | {max(0, (1 << k) + d) for k in range(63) for d in (-17, -16, -15, -1, 0, 1)}
)


def record_durations(p: Profiler, durations: list[int]) -> None:
    """Record a pass of each duration, each from 0 on."""
    block = p.block(0, "x")
    for ticks in durations:
        _core.set_manual_ticks(0)
        with block:
            _core.set_manual_ticks(ticks)


@pytest.mark.usefixtures("clock")
def test_every_duration_is_counted_in_the_bucket_of_the_documented_formula(p: Profiler) -> None:
    """At each edge of a bucket, an octave and a page, up to the longest duration there is."""
    for ticks in EDGES:
        record_durations(p, [ticks])
        assert nodes(p)[0].buckets == {tables.bucket(ticks): 1}, ticks
        p.clear()


@pytest.mark.usefixtures("clock")
def test_one_node_counts_durations_of_all_octaves(p: Profiler) -> None:
    """Pages that are found directly and those that are not are counted side by side."""
    record_durations(p, EDGES)
    expected: dict[int, int] = {}
    for ticks in EDGES:
        expected[tables.bucket(ticks)] = expected.get(tables.bucket(ticks), 0) + 1
    assert nodes(p)[0].buckets == expected
    assert [Node(*node).buckets for node in p._snapshot().merged()[0]] == [expected]


def test_the_middle_of_a_bucket_is_the_documented_one() -> None:
    """What results take a bucket's passes for lies in the middle of those that it counts."""
    for ticks in EDGES:
        assert aggregate.midpoint(tables.bucket(ticks)) == tables.middle(ticks)


def test_the_middle_of_a_bucket_is_about_3_percent_off_at_most() -> None:
    """A bucket is a sixteenth of its octave wide, so its middle is a thirty-second off."""
    for ticks in EDGES:
        assert abs(tables.middle(ticks) - ticks) * 32 <= ticks + 16


@pytest.mark.usefixtures("clock")
def test_a_bucket_counts_on_beyond_16_bits(p: Profiler, threads: Threads) -> None:
    """Its low bits stand apart from those that few buckets need: of a thread, and where threads are merged."""
    passes = (1 << 16) + 5
    block = p.block(0, "x")

    def work() -> None:
        for _ in range(passes):
            with block:
                pass

    work()
    assert nodes(p)[0].buckets == {tables.bucket(0): passes}
    threads.one_by_one(work, work)
    assert Node(*p._snapshot().merged()[0][0]).buckets == {tables.bucket(0): 3 * passes}


@pytest.mark.usefixtures("clock")
def test_squares_are_summed_beyond_64_bits(p: Profiler) -> None:
    """Three seconds of a 3 GHz counter, squared, do not fit into a word."""
    durations = [(1 << 62) + 1, (1 << 40) + 3, 5, (1 << 62) - 1]
    record_durations(p, durations)
    assert nodes(p)[0].squares == sum(ticks**2 for ticks in durations)
    assert Node(*p._snapshot().merged()[0][0]).squares == sum(ticks**2 for ticks in durations)


def test_squares_of_several_threads_are_summed_beyond_64_bits(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """The carry from the low word is kept where threads are merged, too."""
    durations = [(1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 32) - 5]
    threads.one_by_one(*(lambda ticks=ticks: record_durations(p, [ticks]) for ticks in durations))
    assert Node(*p._snapshot().merged()[0][0]).squares == sum(ticks**2 for ticks in durations)


@pytest.mark.usefixtures("clock")
def test_a_clock_that_goes_backwards_is_counted(p: Profiler) -> None:
    """Such a pass took no time, and the thread says how many there were."""
    block = p.block(0, "x")
    for start, end in [(100, 90), (50, 80), (200, 0), (7, 7)]:
        _core.set_manual_ticks(start)
        with block:
            _core.set_manual_ticks(end)
    (node,) = nodes(p)
    assert (node.passes, node.total, node.minimum, node.maximum) == (4, 30, 0, 30)
    assert node.buckets == {tables.bucket(0): 3, tables.bucket(30): 1}
    assert head(p).clamped == 2


@pytest.mark.thread_safety
def test_clocks_that_go_backwards_are_counted_while_others_read(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """The count never goes down, and is never ahead of the passes that are open or have ended."""
    block = p.block(0, "x")
    passes = 20_000

    def work() -> None:
        for _ in range(passes):
            _core.set_manual_ticks(1)
            with block:
                _core.set_manual_ticks(0)

    with block:
        pass  # so that there is a thread to read
    join = threads.spawn(work)
    last = 0
    while last < passes:
        counted = sum(Head(*thread).clamped for thread in p._snapshot().threads())
        assert last <= counted <= passes
        last = counted
    join()
    assert sum(Node(*node).passes for node in p._snapshot().merged()[0]) == passes + 1


# ---- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_nodes", [1, 2, 5, 20])
def test_beyond_the_limit_of_nodes_each_site_has_one_under_other_paths(
    clock: ManualClock, max_nodes: int
) -> None:
    """The tree stops growing, and no pass is lost."""
    p = Profiler("limited", max_nodes=max_nodes)
    blocks = [p.block(0, f"{i}") for i in range(6)]
    for first in blocks:
        for second in blocks:
            with first:
                clock.advance(10)
                with second:
                    clock.advance(1)
    found = nodes(p)
    paths = [node for node in found if node.site >= 0]
    (other,) = [number for number, node in enumerate(found) if node.site == -1]
    assert found[other] == Node(-1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {})
    assert sum(node.parent != other for node in paths) == max_nodes
    beyond = [node.site for node in paths if node.parent == other]
    assert len(beyond) == len(set(beyond))
    assert sum(node.passes for node in paths) == 72
    assert p._snapshot().scopes(0)[2] == 36 * 11
    tree = p.get_results().tree
    assert OTHER_PATHS in [child.name for child in tree.children]


def test_a_tree_within_its_limit_has_no_other_paths(clock: ManualClock) -> None:
    """The last node that fits is one like the others."""
    p = Profiler("limited", max_nodes=3)
    a, b, c = (p.block(0, name) for name in "abc")
    with a, b, c:
        clock.advance(1)
    assert [(node.parent, node.site) for node in nodes(p)] == [(-1, 0), (0, 1), (1, 2)]


def test_ten_thousand_sites_are_told_apart(p: Profiler, clock: ManualClock) -> None:
    """Each has its own figures, however many share a bit of a mask or a slot of a table."""
    blocks = [p.block(i % 100, f"{i}") for i in range(10_000)]
    for step, block in enumerate(blocks):
        with block:
            clock.advance(step)
    for step, block in enumerate(blocks):
        with block:
            clock.advance(2 * step)
    assert [(node.site, node.passes, node.total) for node in nodes(p)] == [
        (site, 2, 3 * site) for site in range(10_000)
    ]


def test_a_pass_deep_inside_others_knows_what_is_open_below(
    p: Profiler, clock: ManualClock
) -> None:
    """Recursion through hundreds of sites counts once, and so do hundreds of tracks."""
    blocks = [p.block(i % 200, f"{i}") for i in range(300)]
    for block in blocks:
        block.__enter__()
    with blocks[7]:
        clock.advance(10)
    for block in reversed(blocks):
        block.__exit__(None, None, None)
    by_site = {node.site: node for node in nodes(p)}
    assert len(by_site) == 300
    assert (by_site[7].passes, by_site[7].once, by_site[7].total) == (2, 10, 20)
    assert {node.once for node in by_site.values()} == {10}
    sites, tracks, everything = p._snapshot().scopes(0)
    assert (set(sites.values()), set(tracks.values()), everything) == ({(10, 10)}, {10}, 10)


def test_recursion_is_recorded_to_any_depth_that_the_stack_holds(
    p: Profiler, clock: ManualClock
) -> None:
    """Forty thousand passes of one block, one in the other, make one node."""
    depth = 40_000
    block = p.block(0, "x")
    for _ in range(depth):
        block.__enter__()
        clock.advance(1)
    for _ in range(depth):
        block.__exit__(None, None, None)
    (node,) = nodes(p)
    durations = range(1, depth + 1)
    assert (node.passes, node.total, node.once, node.own) == (depth, sum(durations), depth, depth)
    assert node.squares == sum(d * d for d in durations)
    assert head(p).untimed == 0


def test_passes_that_the_stack_has_no_room_for_disturb_no_other(
    p: Profiler, clock: ManualClock
) -> None:
    """They are counted as untimed, and leaving them closes nobody else's pass."""
    depth = 300_000
    block, outermost = p.block(0, "x"), p.block(1, "outermost")
    outermost.__enter__()
    for _ in range(depth):
        block.__enter__()
    untimed = head(p).untimed
    for _ in range(untimed):
        block.__exit__(None, None, None)
    clock.advance(5)
    for _ in range(depth - untimed):
        block.__exit__(None, None, None)
    outermost.__exit__(None, None, None)
    figures = {node.site: node for node in nodes(p)}
    assert 0 < untimed == head(p).untimed
    assert figures[0].passes == depth - untimed
    assert (figures[0].minimum, figures[0].maximum) == (5, 5)
    assert (figures[1].passes, figures[1].total) == (1, 5)


# ---- tables that grow ---------------------------------------------------------------------------


def test_a_call_site_is_found_again_however_many_there_are(p: Profiler) -> None:
    """The table of call sites has grown several times by then."""
    for _ in range(3):
        for i in range(2_000):
            with p.block(i % 3, f"name {i}"):
                pass
    assert sorted((node.site, node.passes) for node in nodes(p)) == [(i, 3) for i in range(2_000)]


def test_names_are_compared_by_value_and_tracks_too(p: Profiler) -> None:
    """Whatever objects they are each time, one call site is one block."""
    for i in range(1_000):
        with p.block(int(f"{1000 + i % 2}"), "".join(["na", "me", str(i % 2)])):
            pass
    assert [(node.site, node.passes) for node in nodes(p)] == [(0, 500), (1, 500)]


@pytest.mark.slow
def test_more_call_sites_than_are_remembered_are_right_all_the_same() -> None:
    """Beyond its limit the table stays as it is, and the others are looked up by value."""
    p = Profiler("core", max_blocks=100_000)
    for _ in range(2):
        for i in range(70_000):
            with p.block(0, f"name {i}"):
                pass
    snapshot = p._snapshot()
    assert sum(node[2] for node in snapshot.nodes(0)) == 140_000
    assert len(p.get_results().tracks[0].blocks) == 70_000


def test_a_thread_uses_more_profilers_at_once_than_it_has_seats(clock: ManualClock) -> None:
    """Passes of twenty profilers, one inside the other, in turns: each knows only its own."""
    profilers = [Profiler(f"{i}") for i in range(20)]
    blocks = [q.block(0, "x") for q in profilers]
    for _ in range(5):
        for block in blocks:
            block.__enter__()
            clock.advance(1)
        for block in blocks:  # not in reverse: they do not know of each other
            block.__exit__(None, None, None)
            clock.advance(1)
    for q in profilers:
        (node,) = nodes(q)
        assert (node.passes, node.total, node.once, node.own) == (5, 100, 100, 100)


# ---- clear --------------------------------------------------------------------------------------


def test_after_a_clear_nothing_is_left_and_what_comes_is_exact(
    p: Profiler, clock: ManualClock
) -> None:
    """A buffer that is used again holds nothing of what was in it: nodes, pages and tables."""
    blocks = [p.block(0, f"{i}") for i in range(50)]
    for cycle in range(20):
        for step, block in enumerate(blocks):
            with block, blocks[(step + cycle) % 50]:
                clock.advance(step << cycle)
        assert sum(node.passes for node in nodes(p)) == 100
        p.clear()
        assert p._snapshot().threads() == []
    with blocks[3]:
        clock.advance(30)
    assert nodes(p) == [
        Node(-1, 3, 1, 30, 30, 30, 900, 30, 30, 0, 0, 0, {tables.bucket(30): 1}),
    ]


def test_a_clear_takes_effect_on_every_thread(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Also on threads that have ended, and on one that is never used again."""
    block = p.block(0, "x")

    def work() -> None:
        with block:
            clock.advance(1)

    threads.one_by_one(work, work)
    work()
    p.clear()
    assert p._snapshot().threads() == []
    assert p._snapshot().folded_threads == 0
    threads.one_by_one(work)
    assert sum(node.passes for node in nodes(p)) == 1


# ---- contexts -----------------------------------------------------------------------------------


def suspended_in(block: Any) -> Iterator[None]:
    """Hold a block open until resumed."""
    with block:
        yield


def test_a_context_that_is_gone_leaves_its_flow_to_nobody(p: Profiler, clock: ManualClock) -> None:
    """A new context at the address of one that died with a pass open has a stack of its own."""
    contextvars.copy_context()
    abandoned, own = p.block(0, "abandoned"), p.block(0, "own")
    suspended = suspended_in(abandoned)

    def once() -> None:
        with own:
            clock.advance(1)

    context = contextvars.copy_context()
    context.run(next, suspended)
    once()
    del context
    # The interpreter gives the freed memory to the next context.
    contextvars.copy_context().run(once)
    suspended.close()
    assert [(node.parent, node.site) for node in nodes(p)] == [(-1, 0), (-1, 1)]


# ---- clocks, counters, errors -------------------------------------------------------------------


def test_the_manual_clock_is_each_threads_own(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """A new thread begins at 0, wherever others are."""
    clock.set(1_000_000)
    block = p.block(0, "x")

    def work() -> None:
        with block:
            _core.set_manual_ticks(25)

    threads.one_by_one(work)
    assert nodes(p)[0].total == 25
    assert clock.now == 1_000_000


@pytest.mark.parametrize("source", ["", "Manual", "tsc", "perf_counter"])
def test_an_unknown_clock_is_refused(source: str) -> None:
    """The clocks that there are are named, and the one in use stays."""
    before = _core.clock_source()
    with pytest.raises(ValueError, match=r"'counter', 'monotonic' or 'manual'"):
        _core.use_clock(source)
    assert _core.clock_source() == before


def test_a_clock_is_named_by_a_str() -> None:
    """Anything else is a mistake of the caller's."""
    with pytest.raises(TypeError):
        _core.use_clock(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("ticks", [-1, 1 << 64])
def test_the_manual_clock_cannot_show_what_is_not_in_64_bits(ticks: int) -> None:
    """It would be another time than the caller meant."""
    with pytest.raises(OverflowError):
        _core.set_manual_ticks(ticks)


@pytest.mark.usefixtures("clock")
def test_the_manual_clock_shows_what_it_is_set_to() -> None:
    """Its ticks are nanoseconds."""
    _core.set_manual_ticks((1 << 64) - 1)
    ticks, _, _ = _core.read_clocks()
    assert ticks == (1 << 64) - 1
    assert _core.tick_resolution() == 1
    assert _core.clock_source() == "manual"


def test_the_monotonic_clock_is_what_it_is_compared_with() -> None:
    """Two readings of it, taken together, are as far apart as is said."""
    _core.use_clock("monotonic")
    ticks, ns, apart = _core.read_clocks()
    assert abs(ticks - ns) <= apart
    assert _core.read_clocks()[0] > ticks
    assert _core.tick_resolution() > 0


def test_a_measured_pass_takes_time() -> None:
    """Measuring leaves nothing behind and records nowhere."""
    before = _core.memory()
    assert 0 < _core.measure_pass(passes=50, rounds=2) < 1e6
    assert _core.memory()["stores"] == before["stores"]
    assert _core.memory()["buffers"] == before["buffers"]


def test_memory_is_counted_from_making_to_freeing() -> None:
    """A store for each profiler, and a buffer for each thread that recorded in it."""
    gc.collect()
    start = _core.memory()
    p = Profiler("counted")
    block = p.block(0, "x")
    counts = [_core.memory()]
    with block:
        counts.append(_core.memory())
    snapshot: Any = p._snapshot()
    counts.append(_core.memory())
    del p, block
    gc.collect()
    counts.append(_core.memory())
    del snapshot
    differences = [
        (count["stores"] - start["stores"], count["buffers"] - start["buffers"]) for count in counts
    ]
    assert differences == [(1, 0), (1, 1), (1, 1), (0, 0)]


def test_the_memory_of_ended_threads_goes_with_their_figures(
    p: Profiler, threads: Threads, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """A thread's buffer goes when it is packed, and what names the thread when that is forgotten."""
    block = p.block(0, "x")
    start = _core.memory()

    def work() -> None:
        with block:
            pass

    threads.one_by_one(*[work] * 10)
    eventually(lambda: all(thread[3] for thread in p._snapshot().threads()))
    assert len(p._snapshot().threads()) == 10
    assert _core.memory()["buffers"] == start["buffers"]
    # Not exactly: a thread of an earlier test may only now be taken down by the system.
    assert 10 <= _core.memory()["threads"] <= start["threads"] + 10
    p.clear()
    assert _core.memory()["threads"] <= start["threads"]


@pytest.mark.parametrize(
    "use",
    [
        lambda recorder: recorder._add_track(),
        lambda recorder: recorder._add_site(0),
        lambda recorder: recorder._snapshot(),
        lambda recorder: recorder._new_session(),
        lambda recorder: recorder._wrap(len, 0, False, False),
    ],
)
def test_a_recorder_that_was_not_opened_says_so(use: Callable[[Any], Any]) -> None:
    """As when a subclass of Profiler forgets to call its `__init__`."""
    with pytest.raises(RuntimeError, match="__init__ was not called"):
        use(Profiler.__new__(Profiler))


def test_a_recorder_is_opened_once(p: Profiler) -> None:
    """What it has recorded would be lost otherwise."""
    with p.block(0, "x"):
        pass
    with pytest.raises(RuntimeError, match="opened once"):
        p._open_store(1, 1)
    assert nodes(p)[0].passes == 1


def test_numbers_of_sites_and_tracks_are_checked(p: Profiler) -> None:
    """The core does not write where nothing of its own is."""
    with pytest.raises(IndexError, match="track 0 of 0"):
        p._add_site(0)
    with p.block(0, "x"):
        pass
    with pytest.raises(IndexError, match="site 1 of 1"):
        p._wrap(len, 1, False, False)
    with pytest.raises(IndexError, match="site 1 of 1"):
        _core.native_entry_points(p, 1)
    with pytest.raises(IndexError, match="track 1 of 1"):
        p._set_gate(1, True)


def test_a_call_adds_no_reference_to_what_it_passes_on(p: Profiler) -> None:
    """Arguments, results and blocks are as referenced as before, after many passes."""
    value = object()

    @p.track(0)
    def same(x: object, *, y: object) -> object:
        return x

    block = p.block(0, "x")
    counts = [sys.getrefcount(thing) for thing in (value, same, block, p)]
    for _ in range(1_000):
        with block:
            same(value, y=value)
    assert [sys.getrefcount(thing) for thing in (value, same, block, p)] == counts
