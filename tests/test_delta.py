"""What happened since the last time: snapshots' differences, reports from time to time, slow calls alone."""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import Any

import pytest

from stichotrope import Profiler, _core, profile_function

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
