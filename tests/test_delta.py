"""What happened since the last time: snapshots' differences, reports from time to time, slow calls alone."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stichotrope import (
    ProfileBlock,
    Profiler,
    ProfilerResults,
    ProfileTrack,
    _core,
    profile_function,
)
from stichotrope.results import CallNode
from stichotrope.results.difference import difference

pytestmark = pytest.mark.integration


def anything(value: Any) -> Any:
    """A value that no type checker knows the type of."""
    return value


@pytest.fixture
def manual():
    """The injected clock: a function that moves it on, in nanoseconds."""
    before = _core.clock_source()
    _core.use_clock("manual")
    now = [1_000]

    def move(ns: int) -> None:
        now[0] += ns
        _core.set_manual_ticks(now[0])

    move(0)
    yield move
    _core.use_clock("monotonic" if before == "monotonic" else "counter")


def figures(results: Any) -> dict[str, tuple[int, int, int, int]]:
    """Passes, total, sum and errors of each block that has any."""
    return {
        block.name: (block.hit_count, block.total_time_ns, block.sum_time_ns, block.error_count)
        for track in results.tracks.values()
        for block in track.blocks
        if block.was_entered or block.total_time_ns
    }


def test_a_delta_is_what_happened_since_the_same_reader_asked(manual):
    """Each reader gets what happened since its own last time, and all of it the first time."""
    profiler = Profiler("d")
    outer, inner = profiler.block(0, "outer"), profiler.block(0, "inner")

    def work(ns: int) -> None:
        with outer:
            manual(ns)
            with inner:
                manual(2 * ns)

    work(100)
    assert figures(profiler.snapshot_delta()) == {
        "outer": (1, 300, 300, 0),
        "inner": (1, 200, 200, 0),
    }
    work(10)
    work(20)
    delta = profiler.snapshot_delta()
    assert figures(delta) == {"outer": (2, 90, 90, 0), "inner": (2, 60, 60, 0)}
    assert delta.total_time_ns == 90
    (top,) = delta.tree.children
    assert (top.name, top.hit_count, top.self_time_ns, top.children[0].hit_count) == (
        "outer",
        2,
        30,
        2,
    )
    block = next(one for one in delta.tracks[0].blocks if one.name == "outer")
    assert block.histogram.total == 2
    # As coarse as a bucket: 30 and 60 ns, beside 300 before.
    assert block.min_time_ns == pytest.approx(30, rel=1 / 16)
    assert block.max_time_ns == pytest.approx(60, rel=1 / 16)
    assert figures(profiler.snapshot_delta()) == {}
    assert figures(profiler.snapshot_delta("another")) == {
        "outer": (3, 390, 390, 0),
        "inner": (3, 260, 260, 0),
    }
    assert profiler.snapshot_delta("another").tree.children == []
    with pytest.raises(TypeError, match="reader"):
        profiler.snapshot_delta(anything(3))


def test_what_a_reader_saw_can_be_forgotten(manual):
    """It gets all there is if it asks again, and others go on."""
    profiler = Profiler("d")
    for _ in range(3):
        with profiler.block(0, "b"):
            manual(5)
    for reader in ("", "one", "two"):
        profiler.snapshot_delta(reader)
    profiler.forget_reader("one")
    profiler.forget_reader()
    profiler.forget_reader("unknown")
    assert list(profiler._readers) == ["two"]
    assert [profiler.snapshot_delta(one).total_hits for one in ("", "one", "two")] == [3, 3, 0]
    with pytest.raises(TypeError, match="a reader is named by a str, not 3"):
        profiler.forget_reader(anything(3))


def test_a_reporter_that_was_stopped_leaves_nothing(tmp_path):
    """What it saw last is kept no more."""
    profiler = Profiler("d")
    for _ in range(3):
        with profiler.report_every(1e5, path=tmp_path / "lines") as reporter:
            assert len(profiler._readers) == 1
        assert profiler._readers == {}
    with profiler.block(0, "b"):
        pass
    assert not reporter.report()
    assert (tmp_path / "lines").read_bytes() == b""


def test_the_deltas_of_a_run_add_up_to_it(manual):
    """Whatever is open when one is taken, deltas add up to the results, on several threads."""
    profiler = Profiler("d")
    outer, inner = profiler.block(0, "outer"), profiler.block("x", "inner")
    parts = []
    with outer:
        for number in range(5):
            manual(10)
            with inner:
                manual(number)
                parts.append(profiler.snapshot_delta())
    thread = threading.Thread(target=lambda: inner.__enter__().__exit__(None, None, None))
    thread.start()
    thread.join()
    parts.append(profiler.snapshot_delta())
    whole = profiler.get_results()
    for name, expected in figures(whole).items():
        added = [figures(part).get(name, (0, 0, 0, 0)) for part in parts]
        assert tuple(map(sum, zip(*added, strict=True))) == expected
    assert sum(part.total_time_ns for part in parts) == whole.total_time_ns
    assert parts[2].tracks[0].blocks[0].open_count == 1
    assert all(part.tracks[0].blocks[0].total_time_ns >= 0 for part in parts)


class Interrupted(Profiler):
    """A profiler that is asked by the same reader while it answers."""

    __slots__ = ("between", "taken_first")
    between: Callable[[], None] | None
    taken_first: bool

    def get_results(self, thread: int | None = None) -> Any:
        between, self.between = self.between, None
        before = super().get_results(thread) if self.taken_first else None
        if between is not None:
            between()
        return before or super().get_results(thread)


@pytest.mark.parametrize("taken_first", [False, True])
def test_who_asks_as_one_reader_at_the_same_time_gets_each_pass_once(manual, taken_first):
    """However the two are interleaved: a signal handler may ask, too."""
    profiler = Interrupted("d")
    profiler.between, profiler.taken_first = None, taken_first
    block = profiler.block(0, "b")
    parts = []

    def pass_once() -> None:
        with block:
            manual(5)

    def ask() -> None:
        pass_once()
        parts.append(profiler.snapshot_delta())

    for _ in range(3):
        pass_once()
        profiler.between = ask
        parts.append(profiler.snapshot_delta())
    parts.append(profiler.snapshot_delta())
    assert sum(part.total_hits for part in parts) == profiler.get_results().total_hits == 6
    assert all(part.total_hits >= 0 for part in parts)
    assert sum(part.total_time_ns for part in parts) == 30


def test_threads_that_ask_as_one_reader_get_each_pass_once():
    """What they get together is what was recorded."""
    profiler = Profiler("d")
    block = profiler.block(0, "b")
    hits: list[int] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        for _ in range(50):
            with block:
                pass
            hits.append(profiler.snapshot_delta().total_hits)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hits.append(profiler.snapshot_delta().total_hits)
    assert sum(hits) == 200
    assert min(hits) >= 0


@pytest.mark.parametrize("clock", ["manual", "real"])
def test_the_extremes_of_a_delta_go_with_its_mean(clock, request):
    """Whatever was there before: of one pass they are what it took, and the least is no more than the mean."""
    move = request.getfixturevalue("manual") if clock == "manual" else lambda ns: sum(range(ns))
    profiler = Profiler("d")
    block = profiler.block(0, "b")
    durations = [1_000, 1_010, 1_003, 1_016, 999, 1_031, 5_000, 5_100, 40, 41]
    for number in range(40):
        for part in range(1 + number % 3):
            with block:
                move(durations[(number * 7 + part) % len(durations)])
        (found,) = profiler.snapshot_delta().tracks[0].blocks
        assert found.min_time_ns <= found.avg_time_ns <= found.max_time_ns
        assert found.hit_count == 1 + number % 3
        if found.hit_count == 1:
            assert found.min_time_ns == found.sum_time_ns == found.max_time_ns


def test_the_extremes_of_a_delta_are_exact_where_none_like_them_were_before(manual):
    """A pass that is longer than all before is known as it is."""
    profiler = Profiler("d")
    block = profiler.block(0, "b")

    def after(*durations: int) -> tuple[Any, Any]:
        for ns in durations:
            with block:
                manual(ns)
        (found,) = profiler.snapshot_delta().tracks[0].blocks
        return found.min_time_ns, found.max_time_ns

    assert after(1_001, 2_003) == (1_001, 2_003)
    assert after(1_500, 9_999) == (pytest.approx(1_500, rel=1 / 32), 9_999)
    assert after(7, 1_500) == (7, pytest.approx(1_500, rel=1 / 32))


def test_no_time_of_a_difference_is_below_zero():
    """What was open is counted up to when it was read: it may have ended a moment before."""

    def results(total_ns: int, hits: int) -> ProfilerResults:
        block = ProfileBlock("b", "f.py", 1, 0, 0, hit_count=hits, total_time_ns=total_ns)
        tree = CallNode.root()
        tree.children.append(CallNode("b", 0, 0, "f.py", 1, hits, total_ns, total_ns))
        tracks = {0: ProfileTrack(0, "t", True, [block], total_ns)}
        return ProfilerResults("d", tracks, total_ns, tree, (), {"start_ns": 5})

    change = difference(results(95, 1), results(100, 0))
    (found,) = change.tracks[0].blocks
    assert (found.hit_count, found.total_time_ns, change.total_time_ns) == (1, 0, 0)
    assert change.tracks[0].total_time_ns == change.tree.children[0].total_time_ns == 0


def test_after_clear_a_delta_is_all_there_is(manual):
    """What was cleared is not subtracted: the next delta is what was recorded since."""
    profiler = Profiler("d")
    block = profiler.block(0, "b")
    for _ in range(3):
        with block:
            manual(5)
    profiler.snapshot_delta()
    profiler.clear()
    with block:
        manual(7)
    assert figures(profiler.snapshot_delta()) == {"b": (1, 7, 7, 0)}


def test_a_reporter_logs_each_period_in_which_something_happened(caplog):
    """One record a period names the blocks that took longest; nothing is said where nothing happened."""
    profiler = Profiler("service")
    block = profiler.block("db", "query")
    with block:  # before, and not reported
        pass
    with caplog.at_level(logging.INFO, "stichotrope"), profiler.report_every(1e5) as reporter:
        assert not reporter.report()
        for _ in range(3):
            with block:
                pass
        assert reporter.report()
        with block:
            pass
    reporter.stop()
    assert [record.args[2].split(" × ")[0] for record in caplog.records] == [
        "db/query 3",
        "db/query 1",
    ]  # type: ignore[index,union-attr]
    assert anything(caplog.records[0]).stichotrope_blocks[0]["hit_count"] == 3


def test_a_reporter_adds_lines_of_json_by_itself(tmp_path):
    """Each period is a line of JSON at the file's end, written by a thread that ends with `stop`."""
    profiler = Profiler("service")
    block = profiler.block("db", "query")
    path = tmp_path / "periods.jsonl"
    path.write_text('{"before": 1}\n')
    reporter = profiler.report_every(0.01, path=path)
    total = 0
    while total < 5 or len(path.read_text().splitlines()) < 4:
        with block:
            total += 1
    reporter.stop()
    first, *lines = map(json.loads, path.read_text().splitlines())
    assert first == {"before": 1}
    assert sum(line["blocks"][0]["hit_count"] for line in lines) == total
    assert {line["process"] for line in lines} == {os.getpid()}
    assert not any(thread.name == "stichotrope-reporter" for thread in threading.enumerate())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_reporter_goes_on_in_a_forked_child(tmp_path):
    """After a fork, parent and child each report what they recorded themselves."""
    profiler = Profiler("service")
    block = profiler.block(0, "b")
    path = tmp_path / "periods.jsonl"
    reporter = profiler.report_every(1e5, path=path)
    with block:
        pass
    child = os.fork()
    if child == 0:
        for _ in range(4):
            with block:
                pass
        reporter.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    reporter.stop()
    lines = map(json.loads, path.read_text().splitlines())
    assert {line["process"]: line["blocks"][0]["hit_count"] for line in lines} == {
        child: 4,
        os.getpid(): 1,
    }


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"every_s": 0}, ValueError, "more than 0"),
        ({"every_s": float("nan")}, ValueError, "more than 0"),
        ({"every_s": "1"}, TypeError, "number of seconds"),
        ({"every_s": True}, TypeError, "number of seconds"),
        ({"rows": 0}, ValueError, "rows"),
        ({"logger": 3}, TypeError, "logger"),
        ({"path": "/no/such/folder/x"}, OSError, "/no/such/folder/x"),
    ],
)
def test_what_a_reporter_cannot_do_is_refused_at_once(arguments, error, says):
    """What makes no sense is refused where it is given, and no thread is started."""
    before = threading.active_count()
    with pytest.raises(error, match=says):
        Profiler("p").report_every(**{"every_s": 1, **arguments})
    assert threading.active_count() == before


def test_only_calls_of_some_length_are_logged(caplog, monkeypatch):
    """With a threshold, a shorter call is recorded and not logged."""
    from stichotrope import _default, _log

    fresh = _default.DefaultProfiler()
    monkeypatch.setattr(_default, "profile", fresh)
    monkeypatch.setattr(_log, "profile", fresh)
    now = [0]
    monkeypatch.setattr(_log, "perf_counter_ns", lambda: now[0])

    @profile_function(threshold=0.5, name="slow enough")
    def work(ns: int) -> None:
        now[0] += ns

    with caplog.at_level(logging.INFO, "stichotrope"):
        work(499_999_999)
        assert caplog.records == []
        work(500_000_000)
    assert [anything(record).stichotrope_duration_ns for record in caplog.records] == [500_000_000]
    for wrong, error in (
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("1", TypeError),
        (True, TypeError),
    ):
        with pytest.raises(error, match="threshold"):
            profile_function(threshold=anything(wrong))
