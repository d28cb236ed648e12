"""Work: how many bytes and items went through passes, as the program says."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock, Threads
from pprof import Profile
from stichotrope import ProfileBlock, Profiler, ProfilerResults, print_results
from stichotrope._text.format import format_rate, format_throughput
from stichotrope.export import export_csv, export_pprof, export_speedscope
from stichotrope.integrations.prometheus import ProfilerCollector
from stichotrope.metrics import MetricRegistry
from stichotrope.report import print_tree
from stichotrope.report.html import render
from stichotrope.results.frames import columns
from stichotrope.results.select import selected
from stichotrope.results.snapshots import Snapshots
from stichotrope.store.reader import load_kept, paths_in
from test_fork_exit import in_child

pytestmark = pytest.mark.unit


@pytest.fixture
def p(clock: ManualClock) -> Profiler:
    """A profiler under the injected clock."""
    return Profiler("work")


def block(p: Profiler | ProfilerResults, name: str) -> ProfileBlock:
    """Return the only block of a name."""
    results = p.get_results() if isinstance(p, Profiler) else p
    (found,) = (b for t in results.tracks.values() for b in t.blocks if b.name == name)
    return found


def work(p: Profiler | ProfilerResults, name: str) -> tuple[int, int, int]:
    """Return (passes that ended, bytes, items) of a block."""
    found = block(p, name)
    return found.hit_count, found.byte_count, found.item_count


# What a block says


def test_a_pass_says_how_many_bytes_and_items_go_through_it(
    p: Profiler, clock: ManualClock
) -> None:
    """As often as it likes; rates are over the time in which it was open."""
    for size in (1000, 3000):
        with p.block(0, "read") as b:
            b.add_bytes(size)
            b.add_items(size // 1000)
            b.add_items(1)
            clock.advance(2_000_000)
    found = block(p, "read")
    assert work(p, "read") == (2, 4000, 6)
    assert found.bytes_per_second == 1_000_000
    assert found.items_per_second == 1_500
    assert (found.bytes_per_pass, found.items_per_pass) == (2000, 3)
    assert found.has_work


def test_where_nothing_is_said_there_is_nothing(p: Profiler) -> None:
    """No rate is made up."""
    with p.block(0, "plain"):
        pass
    found = block(p, "plain")
    assert (found.byte_count, found.item_count, found.has_work) == (0, 0, False)
    assert (found.bytes_per_second, found.items_per_pass) == (0.0, 0.0)


def test_what_is_said_in_an_open_pass_counts_at_once(p: Profiler, clock: ManualClock) -> None:
    """As its time does: the rate in the middle is as right as that at the end."""
    with p.block(0, "read") as b:
        b.add_bytes(500)
        clock.advance(1000)
        found = block(p, "read")
        assert (found.hit_count, found.open_count, found.byte_count) == (0, 1, 500)
        assert found.bytes_per_second == 500_000_000
        assert found.bytes_per_pass == 500


def test_a_kept_block_counts_for_the_path_that_it_is_on(p: Profiler) -> None:
    """The innermost pass of it that is open, recursion included, and no other block."""
    kept = p.block(0, "kept")
    with p.block(0, "a"), kept:
        kept.add_items(1)
    with p.block(0, "b"), kept, p.block(0, "inner") as inner, kept:
        kept.add_items(10)
        inner.add_items(100)
    tree = {
        "/".join(path): node.item_count for node, path in paths(p.get_results()) if node.item_count
    }
    assert tree == {"a/kept": 1, "b/kept": 10, "b/kept/inner": 100}
    assert work(p, "kept") == (3, 0, 11)


def paths(results: ProfilerResults) -> Iterator[tuple[Any, list[str]]]:
    """Every node with the names on the way to it."""
    path: list[str] = []
    for node, depth in results.tree.walk():
        if depth:
            del path[depth - 1 :]
            path.append(node.name)
            yield node, list(path)


def test_a_helper_may_be_given_the_block(p: Profiler) -> None:
    """It counts for whoever called it."""

    def fill(into: Any) -> None:
        into.add_bytes(7)

    with p.block(0, "outer"), p.block(0, "read") as b:
        fill(b)
        list(map(b.add_bytes, [1, 2]))
    assert work(p, "read") == (1, 10, 0)


def test_a_pass_that_fails_keeps_what_it_said(p: Profiler) -> None:
    """So much went through."""

    def fail() -> None:
        with p.block(0, "read") as b:
            b.add_bytes(3)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert work(p, "read") == (1, 3, 0)


@pytest.mark.parametrize("number", [0, 1, 2**63 - 1, True])
def test_any_number_that_fits_is_counted(p: Profiler, number: int) -> None:
    """And by whatever is an index."""

    class Index:
        def __index__(self) -> int:
            return int(number)

    with p.block(0, "b") as b:
        b.add_bytes(number)
        b.add_items(Index())
    assert work(p, "b") == (1, number, number)


def test_the_sum_does_not_wrap(p: Profiler) -> None:
    """What a path has ends at the largest number that there is, threads together."""
    kept = p.block(0, "b")

    def add() -> None:
        with kept:
            for _ in range(3):
                kept.add_bytes(2**63 - 1)

    add()
    thread = threading.Thread(target=add)
    thread.start()
    thread.join()
    assert work(p, "b") == (2, 2**64 - 1, 0)


@pytest.mark.parametrize(
    ("number", "error", "sentence"),
    [
        (-1, ValueError, r"^a number of bytes is from 0 to 2\*\*63 - 1, not -1$"),
        (2**63, ValueError, r"not 9223372036854775808$"),
        (1.5, TypeError, r"^a number of bytes is a whole number, not 1.5$"),
        ("7", TypeError, r"not '7'$"),
        (None, TypeError, r"not None$"),
    ],
)
def test_what_is_no_number_of_bytes_is_refused(
    p: Profiler, number: Any, error: type[Exception], sentence: str
) -> None:
    """Where it is said, whether recording is on or not; nothing is counted."""
    with p.block(0, "b") as b:
        with pytest.raises(error, match=sentence):
            b.add_bytes(number)
        with pytest.raises(error):
            b.add_items(number)
        p.stop()
        with pytest.raises(error, match=sentence):
            b.add_bytes(number)
    assert work(p, "b") == (1, 0, 0)


def test_what_goes_wrong_in_an_index_is_the_programs(p: Profiler) -> None:
    """It sees its own exception."""

    class Odd:
        def __index__(self) -> int:
            raise ZeroDivisionError("mine")

    with p.block(0, "b") as b, pytest.raises(ZeroDivisionError, match="mine"):
        b.add_items(Odd())


# Off, cleared, elsewhere


def test_a_pass_that_is_not_recorded_has_no_work(p: Profiler) -> None:
    """Entered while off it counts nothing, wherever it goes; entered while on, all of it."""
    kept = p.block(0, "b")
    p.stop()
    with kept:
        kept.add_items(1)
    kept.add_items(1)
    p.start()
    with kept:
        kept.add_items(10)
        p.stop()
        kept.add_items(100)
    p.set_track_enabled(0, False)
    p.start()
    with kept:
        kept.add_items(1000)
    assert work(p, "b") == (1, 0, 110)


def test_an_off_pass_in_one_that_is_on_says_nothing(p: Profiler) -> None:
    """It is the innermost, so it is the one that speaks."""
    kept = p.block(0, "b")
    with kept:
        p.set_track_enabled(0, False)
        with kept:
            kept.add_items(1)
        p.set_track_enabled(0, True)
        kept.add_items(10)
    assert work(p, "b") == (1, 0, 10)


def test_a_clear_drops_the_work_of_what_is_open(p: Profiler) -> None:
    """As it drops the pass."""
    with p.block(0, "b") as b:
        b.add_items(1)
        p.clear()
        b.add_items(10)
        assert work(p, "b") == (0, 0, 0)
        with p.block(0, "other") as other:
            other.add_items(5)
            b.add_items(100)
    with p.block(0, "again") as again:
        again.add_items(7)
    assert (work(p, "b"), work(p, "other"), work(p, "again")) == ((0, 0, 0), (1, 0, 5), (1, 0, 7))


def test_where_no_pass_is_open_it_counts_for_the_block(p: Profiler) -> None:
    """After the end of one, or on a thread that has entered none: nothing that was said is lost."""
    with p.block(0, "outer"):
        with p.block(0, "b") as b:
            b.add_items(1)
        b.add_items(10)
    thread = threading.Thread(target=b.add_items, args=(100,))
    thread.start()
    thread.join()
    assert work(p, "b") == (1, 0, 111)
    with b:
        b.add_items(1000)
    assert work(p, "b") == (2, 0, 1111)


def test_work_in_generators_counts_for_their_own_pass(p: Profiler) -> None:
    """Suspended in turn, and whoever else is in the same block."""
    kept = p.block(0, "kept")

    def rows(amount: int) -> Iterator[int]:
        with kept, p.block(0, f"of {amount}"):
            for _ in range(3):
                kept.add_items(amount)
                yield amount

    for one, ten in zip(rows(1), rows(10), strict=True):
        assert (one, ten) == (1, 10)
        with p.block(0, "consumer") as b:
            b.add_items(5)
    assert work(p, "kept") == (2, 0, 33)
    assert work(p, "consumer") == (3, 0, 15)


def test_a_generator_that_goes_on_on_another_thread_takes_its_pass_along(p: Profiler) -> None:
    """What it says there is the same block's."""

    def rows() -> Iterator[None]:
        with p.block(0, "rows") as b:
            b.add_items(1)
            yield
            b.add_items(10)

    running = rows()
    next(running)
    thread = threading.Thread(target=lambda: list(running))
    thread.start()
    thread.join()
    assert work(p, "rows") == (1, 0, 11)


def test_work_in_tasks_counts_for_their_own_pass(p: Profiler) -> None:
    """Those that wait at once in the same block, too; and a task that was given the block."""
    kept = p.block(0, "kept")

    async def fetch(amount: int) -> None:
        with p.block(0, f"of {amount}"), kept:
            for _ in range(3):
                kept.add_bytes(amount)
                await asyncio.sleep(0)

    async def child(b: Any) -> None:
        b.add_bytes(1000)

    async def main() -> None:
        await asyncio.gather(fetch(1), fetch(10), fetch(100))
        with p.block(0, "parent") as b:
            await asyncio.create_task(child(b))

    asyncio.run(main())
    found = {"/".join(path): node.byte_count for node, path in paths(p.get_results())}
    assert {name: n for name, n in found.items() if n} == {
        "of 1/kept": 3,
        "of 10/kept": 30,
        "of 100/kept": 300,
        "parent": 1000,
    }


# What a function gives


def test_what_a_function_returns_is_asked(p: Profiler, clock: ManualClock) -> None:
    """After the pass: asking is no part of its time."""

    def slow(found: bytes) -> int:
        clock.advance(1000)
        return len(found)

    @p.track(0, bytes=slow, items=lambda found: found.count(b","))
    def read(data: bytes) -> bytes:
        clock.advance(10)
        return data

    assert read(b"1,2,3") == b"1,2,3"
    assert read(b"") == b""
    assert work(p, "read") == (2, 5, 2)
    assert block(p, "read").total_time_ns == 20


def test_methods_callables_and_partials_are_asked(p: Profiler) -> None:
    """Whatever can be tracked."""

    class Shop:
        @p.track(0, "method", items=len)
        def rows(self) -> list[int]:
            return [1, 2]

        @p.track(0, "static", items=len)
        @staticmethod
        def fixed() -> list[int]:
            return [1, 2, 3]

        @p.track(0, "property", items=len)  # type: ignore[prop-decorator]
        @property
        def all(self) -> list[int]:
            return [1]

    Shop().rows()
    Shop.fixed()
    assert Shop().all == [1]
    p.track(0, "builtin", items=len)(sorted)([3, 1, 2, 4])
    found = {name: work(p, name) for name in ("method", "static", "property", "builtin")}
    assert found == {
        "method": (1, 0, 2),
        "static": (1, 0, 3),
        "property": (1, 0, 1),
        "builtin": (1, 0, 4),
    }


def test_nothing_is_asked_of_what_fails_or_is_not_recorded(p: Profiler) -> None:
    """And None is nothing."""
    asked: list[Any] = []

    def ask(found: Any) -> int | None:
        asked.append(found)
        return None if found is None else 1

    @p.track(0, items=ask)
    def work_(found: Any) -> Any:
        if found == "bad":
            raise ValueError(found)
        return found

    with pytest.raises(ValueError, match="bad"):
        work_("bad")
    work_(None)
    work_(1)
    p.stop()
    work_(2)
    assert asked == [None, 1]
    assert work(p, "work_") == (3, 0, 1)


def test_a_coroutine_is_asked_for_what_it_returns(p: Profiler) -> None:
    """Once, when it ends; also when it catches its cancellation."""

    @p.track(0, items=len)
    async def load(rows: list[int]) -> list[int]:
        try:
            await asyncio.sleep(0 if rows else 3600)
        except asyncio.CancelledError:
            return [1, 2, 3]
        return rows

    async def main() -> None:
        assert await load([1, 2]) == [1, 2]
        task = asyncio.create_task(load([]))
        await asyncio.sleep(0)
        task.cancel()
        assert await task == [1, 2, 3]

    asyncio.run(main())
    assert work(p, "load") == (2, 0, 5)


def test_a_call_that_gives_a_coroutine_is_asked_for_what_that_returns(p: Profiler) -> None:
    """Not for the coroutine."""

    async def load() -> list[int]:
        await asyncio.sleep(0)
        return [1, 2, 3, 4]

    @p.track(0, items=len)
    def start() -> Any:
        return load()

    async def main() -> None:
        await start()

    asyncio.run(main())
    assert work(p, "start") == (1, 0, 4)


def test_a_generator_is_asked_for_each_thing_that_it_yields(p: Profiler) -> None:
    """By whatever means it goes on; what it returns is nothing that it gives."""

    @p.track(0, bytes=len)
    def chunks() -> Iterator[bytes]:
        try:
            yield b"12"
            yield b"345"
        except KeyError:
            yield b"6789"
        return b"not given"  # type: ignore[return-value]

    assert list(chunks()) == [b"12", b"345"]
    assert work(p, "chunks") == (1, 5, 0)
    running: Any = chunks()
    assert next(running) == b"12"
    assert work(p, "chunks") == (1, 7, 0)
    assert running.throw(KeyError()) == b"6789"
    with pytest.raises(StopIteration):
        running.send(None)
    assert work(p, "chunks") == (2, 11, 0)


def test_an_asynchronous_generator_is_asked_for_each_thing_that_it_yields(p: Profiler) -> None:
    """Not for what it awaits."""

    @p.track(0, bytes=len)
    async def chunks() -> AsyncIterator[bytes]:
        for size in (1, 2, 3):
            await asyncio.sleep(0)
            yield b"x" * size

    async def main() -> None:
        assert [len(chunk) async for chunk in chunks()] == [1, 2, 3]
        running: Any = chunks()
        await running.__anext__()
        await running.aclose()

    asyncio.run(main())
    assert work(p, "chunks") == (2, 7, 0)


def test_what_cannot_be_asked_is_said_once_and_the_program_goes_on(p: Profiler) -> None:
    """With the block, and what went wrong."""

    @p.track(0, items=len)
    def number() -> Any:
        return 5

    with pytest.warns(
        RuntimeWarning, match=r"what 'number' \(track 0, .*\) gives could not be"
    ) as got:
        assert number() == 5
    assert "TypeError: object of type 'int' has no len()" in str(got[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert number() == 5
    assert work(p, "number") == (2, 0, 0)


def test_a_warning_that_is_an_error_does_not_reach_the_program(
    p: Profiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes where exceptions go that nobody can catch."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: seen.append(one.exc_type))

    @p.track(0, items=lambda found: -1)
    def number() -> int:
        return 5

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert number() == 5
    assert seen == [RuntimeWarning]


@pytest.mark.parametrize("name", ["bytes", "items"])
def test_what_cannot_be_called_is_refused(p: Profiler, name: str) -> None:
    """Where it is given."""
    with pytest.raises(TypeError, match=rf"^{name} is a function that tells of a result how many"):
        p.track(0, **{name: 5})  # type: ignore[arg-type]


def test_asking_may_call_what_is_tracked(p: Profiler) -> None:
    """That is a pass of its own, after the one that is asked about."""

    @p.track(0)
    def size(found: list[int]) -> int:
        return len(found)

    @p.track(0, items=size)
    def rows() -> list[int]:
        return [1, 2]

    @p.track(0, items=lambda found: p.clear())
    def clearing() -> None:
        pass

    with p.block(0, "around"):
        rows()
    assert {"/".join(path) for _, path in paths(p.get_results())} == {
        "around", "around/rows", "around/size",
    }  # fmt: skip
    assert work(p, "rows") == (1, 0, 2)
    clearing()
    assert work(p, "clearing") == (0, 0, 0)


def test_what_asks_is_let_go_with_its_profiler(clock: ManualClock) -> None:
    """Though it refers to it."""

    class Asking:
        def __call__(self, found: Any) -> int:
            return 1

    asking: Any = Asking()
    p: Any = Profiler("short")
    asking.profiler = p
    known = weakref.ref(asking)
    f: Any = p.track(0, items=asking)(lambda: 1)
    f()
    del p, asking, f
    gc.collect()
    assert known() is None


# Threads, processes, and wherever results go


def test_many_threads_lose_nothing(threads: Threads) -> None:
    """While others look, and threads end."""
    p = Profiler("busy", retain_threads=1)
    kept = p.block(0, "kept")

    @p.track(0, items=len)
    def rows() -> tuple[int, int]:
        return (1, 2)

    def many() -> None:
        for _ in range(3000):
            with kept:
                kept.add_bytes(3)
                rows()

    def look() -> None:
        last = 0
        for _ in range(100):
            now = p.get_results().get_track(0).blocks[0].byte_count
            assert now >= last
            last = now

    for _ in range(3):
        threads.together(many, many, look)
    p.get_results()
    assert work(p, "kept") == (18_000, 54_000, 0)
    assert work(p, "rows") == (18_000, 0, 36_000)


def test_deltas_hold_exactly_what_was_said_in_between(p: Profiler) -> None:
    """Also in a pass that stays open, and by a function whose pass was over before."""
    with p.block(0, "b") as b:
        b.add_bytes(1)
        assert work(p.snapshot_delta(), "b") == (0, 1, 0)
        b.add_bytes(10)
        assert work(p.snapshot_delta(), "b") == (0, 10, 0)
    b.add_bytes(100)
    assert work(p.snapshot_delta(), "b") == (1, 100, 0)
    b.add_bytes(1000)
    delta = p.snapshot_delta()
    assert work(delta, "b") == (0, 1000, 0)
    assert sum(node.byte_count for node, _ in delta.tree.walk()) == 1000
    assert work(p.snapshot_delta(), "b") == (0, 0, 0)


def recorded(p: Profiler, clock: ManualClock) -> ProfilerResults:
    """Two blocks, one in the other, on two tracks."""
    with p.block(0, "outer"), p.block(1, "inner") as b:
        b.add_bytes(2_000)
        b.add_items(5)
        clock.advance(1_000_000)
    return p.get_results()


def test_results_hold_it_wherever_they_go(p: Profiler, clock: ManualClock, tmp_path: Path) -> None:
    """Documents, files, bytes, pickles, merging, choosing."""
    results = recorded(p, clock)
    results.save(tmp_path / "r.json")
    for same in (
        ProfilerResults.from_dict(results.to_dict()),
        ProfilerResults.load(tmp_path / "r.json"),
        ProfilerResults.from_bytes(results.to_bytes()),
        pickle.loads(pickle.dumps(results)),
    ):
        assert (same.tracks, same.tree, same.threads) == (
            results.tracks,
            results.tree,
            results.threads,
        )
        assert work(same, "inner") == (1, 2000, 5)
    document = results.to_dict()
    document["metadata"]["instance"] = "of another process"
    other = ProfilerResults.from_dict(document)
    twice = results.merge(other)
    assert work(twice, "inner") == (2, 4000, 10)
    assert [n.byte_count for n, _ in twice.tree.walk()] == [0, 0, 4000]
    chosen = selected(results, ["1"], [], [])
    assert work(chosen, "inner") == (1, 2000, 5)
    assert [n.item_count for n, _ in chosen.tree.walk()] == [0, 5]
    merged = Snapshots([results.to_bytes(), results.to_bytes(), other.to_bytes()]).results()
    assert work(merged, "inner") == (2, 4000, 10)
    assert [n.byte_count for n, _ in merged.tree.walk()] == [0, 0, 4000]


def test_a_document_tells_rates_where_there_are_any(p: Profiler, clock: ManualClock) -> None:
    """And of other blocks only that nothing was said."""
    outer, inner = (t["blocks"][0] for t in recorded(p, clock).to_dict()["tracks"])
    assert (inner["bytes_per_second"], inner["items_per_pass"]) == (2_000_000, 5)
    assert (outer["byte_count"], "bytes_per_second" in outer) == (0, False)


def test_frames_and_the_wide_csv_hold_it(p: Profiler, clock: ManualClock, tmp_path: Path) -> None:
    """After all that was there before."""
    results = recorded(p, clock)
    found = columns(results, "block")
    assert (found["byte_count"], found["bytes_per_second"]) == ([0, 2000], [0.0, 2_000_000.0])
    assert list(found)[-6:] == [
        *("byte_count", "item_count"),
        *("bytes_per_second", "items_per_second", "bytes_per_pass", "items_per_pass"),
    ]
    assert columns(results, "node")["item_count"] == [0, 0, 5]
    export_csv(results, tmp_path / "w.csv", wide=True)
    assert (
        (tmp_path / "w.csv")
        .read_text()
        .splitlines()[2]
        .endswith("2000,5,2000000.0,5000.0,2000.0,5.0")
    )


def test_pprof_and_speedscope_hold_it(p: Profiler, clock: ManualClock, tmp_path: Path) -> None:
    """Where there is any, in units of their own."""
    results = recorded(p, clock)
    export_pprof(results, tmp_path / "p.pb.gz")
    profile = Profile((tmp_path / "p.pb.gz").read_bytes())
    assert profile.types()[:2] == [("bytes", "bytes"), ("items", "count")]
    found = {path: values[:2] for path, values, _ in profile.samples()}
    assert found == {"outer": (0, 0), "outer;inner": (2000, 5)}
    export_speedscope(results, tmp_path / "s.json")
    profiles = json.loads((tmp_path / "s.json").read_text())["profiles"]
    assert [(one["name"], one["unit"], one["weights"]) for one in profiles[1:]] == [
        ("work: bytes", "bytes", [2000]),
        ("work: items", "none", [5]),
    ]


def test_prometheus_has_it(p: Profiler, clock: ManualClock) -> None:
    """As counters, of the blocks that say something."""
    recorded(p, clock)
    registry = MetricRegistry()
    registry.register(ProfilerCollector([p]))
    found = {
        (sample.name, sample.labels["block"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if "_bytes" in sample.name or "_items" in sample.name
    }
    assert found == {
        ("stichotrope_block_bytes_total", "inner"): 2000,
        ("stichotrope_block_items_total", "inner"): 5,
    }


@pytest.mark.parametrize("show", [print_results, print_tree])
def test_reports_say_how_much_goes_through_in_a_second(
    p: Profiler, clock: ManualClock, show: Callable[..., None]
) -> None:
    """In columns that are there where a block says something."""
    out = io.StringIO()
    show(recorded(p, clock), file=out, width=160)
    lines = out.getvalue().splitlines()
    heading = next(line for line in lines if "Hits" in line)
    inner = next(line for line in lines if "inner" in line)
    assert "Bytes/s" in heading
    assert "Items/s" in heading
    assert format_throughput(2_000_000) in inner
    assert format_rate(5, 1_000_000) in inner
    p.clear()
    with p.block(0, "plain"):
        pass
    out = io.StringIO()
    show(p, file=out, width=160)
    assert "Bytes/s" not in out.getvalue()


def test_reports_are_sorted_by_it(p: Profiler, clock: ManualClock) -> None:
    """Most first."""
    for size in (1, 100, 10):
        with p.block(0, f"of {size}") as b:
            b.add_bytes(size)
            clock.advance(1000)
    out = io.StringIO()
    print_results(p, file=out, sort="bytes")
    places = [out.getvalue().index(f"of {size} ") for size in (100, 10, 1)]
    assert places == sorted(places)


def test_pages_hold_it(p: Profiler, clock: ManualClock) -> None:
    """The rate in the table, the sums in the details."""
    page = render(recorded(p, clock), source=False)
    assert '"bytes":[0.0,2000000.0]' in page
    assert '"byte_count":[0,2000]' in page


def test_a_report_from_time_to_time_says_it(
    p: Profiler, clock: ManualClock, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """In the log, and in lines of JSON."""
    with caplog.at_level("INFO", "stichotrope"), p.report_every(3600):
        recorded(p, clock)
    assert "inner 1 × 1.00 ms, 2.00 MB/s, 5,000 items/s" in caplog.text
    with p.report_every(3600, path=tmp_path / "r.jsonl"):
        recorded(p, clock)
    (line,) = (tmp_path / "r.jsonl").read_text().splitlines()
    found = {one["block"]: one["byte_count"] for one in json.loads(line)["blocks"]}
    assert found == {"outer": 0, "inner": 2000}


needs_files = pytest.mark.skipif(sys.platform == "win32", reason="stores need mapped files")


@needs_files
def test_a_process_that_is_killed_loses_none_of_it(tmp_path: Path) -> None:
    """Not that of a pass which is open, nor of threads that have ended."""
    program = """
import os, signal, sys, threading
from stichotrope import Profiler
p = Profiler("killed", store=sys.argv[1], retain_threads=1)
kept = p.block(0, "b")
def work():
    with kept:
        kept.add_bytes(10)
for _ in range(5):
    t = threading.Thread(target=work); t.start(); t.join()
with kept:
    kept.add_bytes(7)
    kept.add_items(2)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    (path,) = paths_in(str(tmp_path))
    results = load_kept(path)
    assert work(results, "b") == (5, 57, 2)
    assert block(results, "b").open_count == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_with_none(p: Profiler) -> None:
    """And counts its own."""

    def child() -> Any:
        with p.block(0, "mine") as b:
            b.add_items(3)
        return [work(p, "b"), work(p, "mine")]

    with p.block(0, "b") as b:
        b.add_items(1)
    assert in_child(child) == [[0, 0, 0], [1, 0, 3]]
    assert work(p, "b") == (1, 0, 1)


# Sent to other processes


def test_what_is_sent_by_value_is_asked_there() -> None:
    """By cloudpickle, whatever asks; by pickle, what goes by name."""
    p = Profiler("sent by value")  # by the name of which it arrives, so it is nobody else's
    cloudpickle = pytest.importorskip("cloudpickle")

    def rows() -> list[int]:
        return [1, 2]

    sent = pickle.loads(cloudpickle.dumps(p.track(0, items=lambda found: 10 * len(found))(rows)))
    sent()
    assert work(p, "rows") == (1, 0, 20)


class Rows:
    """A callable that pickle sends by value."""

    def __call__(self) -> list[int]:
        return [1, 2, 3]


def test_a_callable_is_pickled_with_what_asks_if_that_can_be() -> None:
    """Else without: it could be sent before."""
    p = Profiler("pickled")  # likewise
    by_name = pickle.loads(pickle.dumps(p.track(0, "named", items=len)(Rows())))
    by_value = pickle.loads(pickle.dumps(p.track(0, "lambda", items=lambda found: 1)(Rows())))
    by_name()
    by_value()
    assert work(p, "named") == (1, 0, 3)
    assert block(p, "lambda").hit_count == 1
