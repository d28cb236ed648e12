"""Timelines of several processes beside each other: on one clock, told apart, sent, and shown."""

from __future__ import annotations

import base64
import json
import os
import re
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ManualClock, run_program
from stichotrope import Profiler, ProfilerResults, export_chrome, export_html, export_perfetto
from stichotrope.cli import main
from stichotrope.config import clock as clocks
from stichotrope.results import ResultsFormatError
from stichotrope.results.beside import aligned, called, labels, process_numbers, said_of_clocks
from stichotrope.results.packed_timeline import PackedTimeline, pack_timeline
from stichotrope.results.snapshots import Snapshots
from stichotrope.results.timeline import (
    COLUMNS,
    ORIGIN,
    Timeline,
    TimelineBlock,
    TimelineLane,
    TimelineThread,
    origin_of,
)
from stichotrope.store.timeline import timelines_in

pytestmark = pytest.mark.unit


def made(
    passes: list[tuple[int, int]] = [(0, 5)],  # noqa: B006
    *,
    start_ns: int = 1000,
    name: str = "app",
    file: str = "/srv/app/shop.py",
    lost: int = 0,
    **about: Any,
) -> Timeline:
    """A timeline of one thread whose passes, of one block, follow each other."""
    columns: dict[str, list[int]] = {column: [0] * len(passes) for column in COLUMNS}
    columns["starts"] = [start for start, _ in passes]
    columns["durations"] = [lasted for _, lasted in passes]
    metadata = {"process": 7, "host": "web-1", "instance": "a", "recording": "1-1000", **about}
    return Timeline(
        name,
        start_ns,
        tuple(array(kind, columns[column]).tobytes() for column, kind in COLUMNS.items()),
        [TimelineBlock("x", 2, "web", file, 10)],
        [TimelineThread(1, 11, "MainThread", True, len(passes), lost)],
        [TimelineLane(0, "thread", 1)],
        {},
        metadata,
    )


def moments(timelines: list[Timeline]) -> list[int]:
    """When the first pass of each began."""
    return [one.start_ns + one.starts[0] for one in timelines]


def contents(timeline: Timeline) -> list[Any]:
    """All that there is of it."""
    columns = [list(getattr(timeline, name)) for name in COLUMNS]
    return [timeline.profiler_name, timeline.start_ns, timeline.metadata, columns, list(timeline)]


# On one clock


def test_a_moment_is_read_by_both_clocks() -> None:
    """And how well it is known: half of what two readings are apart."""
    wall_ns, monotonic_ns, apart_ns = clocks.origin()
    later_wall_ns, later_ns, _ = clocks.origin()
    assert apart_ns >= 0
    assert later_ns >= monotonic_ns > 0
    assert wall_ns > 1_600_000_000_000_000_000
    assert isinstance(later_wall_ns, int)


def test_the_closest_of_several_readings_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever came between the others."""
    monotonic = iter([0, 100, 200, 206, 300, 390, *range(1000, 1000 + 100 * 10, 100)])
    wall = iter([50, 5_003, 7, *range(10)])
    monkeypatch.setattr(clocks.time, "monotonic_ns", lambda: next(monotonic))
    monkeypatch.setattr(clocks.time, "time_ns", lambda: next(wall))
    assert clocks.origin() == (5_003, 203, 3)


def test_processes_of_one_machine_lie_on_its_one_clock() -> None:
    """By the reading of the one that knows it best, though the time of day was set in between."""
    first = made(start_ns=1_000_000, worker="0", origin=origin_of(500, 40, "boot"))
    other = made(start_ns=9_000_000, worker="1", origin=origin_of(700, 30, "boot"))
    apart = made(start_ns=77, host="web-2", worker="2", origin=origin_of(5, 60, "other"))
    unknown = made(start_ns=88, host="web-3", worker="3")
    found = aligned([unknown, apart, other, first])
    assert [one.metadata["worker"] for one in found] == ["0", "1", "2", "3"]
    assert moments(found) == [9_000_000 - 200, 9_000_000, 77, 88]
    assert [one.metadata[ORIGIN]["uncertainty_ns"] for one in found[:3]] == [30, 30, 60]
    assert first.start_ns == 1_000_000
    assert moments(aligned(found)) == moments(found)
    assert said_of_clocks(found) == (
        "the time of day was read to 60 ns by 3 of 4 processes; how far the clocks of different "
        "machines are apart is not known"
    )
    assert said_of_clocks(found[:2]) == (
        "processes of one machine, placed by its one clock; the time of day was read to 30 ns"
    )
    assert said_of_clocks(found[:1]) == ""
    assert "is not known" in said_of_clocks([unknown, unknown])


@pytest.mark.parametrize("origin", [None, 3, {}, {"monotonic_ns": "1"}, {"clock": "x"}])
def test_an_origin_that_makes_no_sense_is_none(origin: object) -> None:
    """The timeline stays where it says it is."""
    odd = made(start_ns=5, origin=origin)
    assert moments(aligned([odd, made(origin=origin_of(1, 1, "boot"))])) == [5, 1000]


def test_workers_are_told_apart_by_as_much_as_it_takes() -> None:
    """Name, process, host, profiler."""
    assert [called(*each) for each in [("3", 1), ("rank 3", 1), ("", 5)]] == [
        "worker 3",
        "rank 3",
        "process 5",
    ]
    assert labels([made(worker="0")]) == ["app"]
    assert labels([made(worker="0"), made(worker="1", process=8)]) == ["worker 0", "worker 1"]
    pool = [made(worker="celery"), made(worker="celery", process=8)]
    assert labels(pool) == ["celery, process 7", "celery, process 8"]
    assert labels([made(), made(host="web-2"), made(name="db")]) == [
        "process 7 on web-1: app",
        "process 7 on web-2: app",
        "process 7 on web-1: db",
    ]


def test_no_two_processes_have_one_number() -> None:
    """As those of two machines may; the profilers of one process share it."""
    found = process_numbers(
        [made(), made(name="db"), made(host="web-2"), made(process=8), made(process=None)]
    )
    assert found == [7, 7, 8, 9, 5]


# As bytes


def test_a_timeline_is_the_same_after_it_was_packed(clock: ManualClock) -> None:
    """Its passes, tags, threads; its blocks are those that have passes."""
    p = Profiler("timed", timeline=128)
    p.block(0, "unused")
    for n in range(5):
        with p.block("web", "x", tag="é" if n % 2 else -n):
            clock.advance(3)
            with p.block("web", "y"):
                clock.advance(2)
    timeline = p.timeline()
    found = PackedTimeline(pack_timeline(timeline)).timeline
    one, other = (
        [(e.block.name, e.start_ns, e.duration_ns, e.depth, e.tag, e.thread, e.lane) for e in each]
        for each in (timeline, found)
    )
    assert one == other
    assert [block.name for block in found.block_list] == ["x", "y"]
    assert found.metadata == timeline.metadata
    assert not os.path.isabs(found.block_list[0].file)


def test_of_a_long_timeline_the_newest_passes_are_packed() -> None:
    """The others count as lost."""
    timeline = made([(10 * n, 3) for n in range(50)], lost=4)
    found = PackedTimeline(pack_timeline(timeline, 20)).timeline
    assert list(found.starts) == [10 * n for n in range(30, 50)]
    (thread,) = found.thread_list
    assert (thread.passes, thread.lost) == (20, 34)


@settings(max_examples=50)
@given(st.data())
def test_bytes_that_are_damaged_are_refused(data: st.DataObject) -> None:
    """Or are read as a timeline whose columns belong together; never another error."""
    whole = pack_timeline(made([(n, 1) for n in range(20)]))
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from([len(whole), place]))
    try:
        found = PackedTimeline(bytes(damaged[:cut])).timeline
    except ResultsFormatError:
        return
    assert max(found.blocks) < len(found.block_list)


def test_a_later_version_is_refused() -> None:
    """With what to do."""
    packed = bytearray(pack_timeline(made()))
    packed[4] = 9
    with pytest.raises(ResultsFormatError, match="version 9; this version reads up to 1; update"):
        PackedTimeline(bytes(packed))
    with pytest.raises(ResultsFormatError, match="not a packed timeline"):
        PackedTimeline(b"stcp")


# With results


def snapshots(*timelines: Timeline) -> Snapshots:
    """A collection of timelines."""
    found = Snapshots()
    for one in timelines:
        found.add_timeline(one)
    return found


SENT = [
    pack_timeline(made([(0, 5)] * count, process=process, lost=count))
    for process in (7, 8)
    for count in (1, 3)
]


@settings(max_examples=20)
@given(st.permutations(range(4)), st.integers(0, 4))
def test_the_newest_timeline_counts_in_whatever_order_they_come(order: list[int], cut: int) -> None:
    """And however often, in whichever groups."""
    groups = [Snapshots(SENT[i] for i in chosen) for chosen in (order[:cut], order[cut:], order)]
    found = Snapshots(group.to_bytes() for group in groups)
    assert found == Snapshots(SENT)
    assert [len(one) for one in found.timelines()] == [3, 3]
    assert [len(one) for one in found.timelines("other")] == []


def test_a_collection_without_timelines_is_as_it_was() -> None:
    """Workers of an older version read it."""
    results = ProfilerResults("app").to_bytes()
    assert Snapshots([results]).to_bytes()[4] == 1
    both = snapshots(made())
    both.add(results)
    assert both.to_bytes()[4] == 2
    again = Snapshots.from_bytes(both.to_bytes())
    assert (len(again), len(again.timelines())) == (1, 1)


def test_what_came_since_is_what_ended_since() -> None:
    """Of each thread as many passes as were added, also where the older are overwritten."""
    before = made([(0, 5), (10, 5)], lost=3)
    after = made([(10, 5), (20, 5), (30, 5)], lost=5)
    (found,) = snapshots(after).since(snapshots(before)).timelines()
    assert list(found.starts) == [10, 20, 30]
    assert found.thread_list[0].lost == 0
    longer = made([(10, 5), (20, 5)], lost=4)
    (found,) = snapshots(longer).since(snapshots(before)).timelines()
    assert (list(found.starts), found.thread_list[0].lost) == ([20], 0)
    far = made([(50, 5)], lost=9)
    (found,) = snapshots(far).since(snapshots(before)).timelines()
    assert (list(found.starts), found.thread_list[0].lost) == ([50], 4)
    assert snapshots(before).since(snapshots(before)).timelines() == []
    cleared = made([(40, 5)], recording="1-2000")
    (found,) = snapshots(cleared).since(snapshots(before)).timelines()
    assert list(found.starts) == [40]


def test_a_timeline_that_is_damaged_is_named() -> None:
    """And left out; the others are there."""
    whole = pack_timeline(made())
    found = Snapshots([whole[:-4] + b"\0\0\0\0"])
    found.add_timeline(made(process=8))
    assert [one.metadata["process"] for one in found.timelines()] == [8]
    (warning,) = found.warnings
    assert warning.startswith("the timeline of process 7 on web-1 was left out: a timeline is ")


# Shown


def on_page(path: Path) -> dict[str, Any]:
    """What a page has of timelines."""
    (data,) = re.findall(r'id="data"[^>]*>(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    found: dict[str, Any] = json.loads(data)["timeline"]
    return found


def several() -> list[Timeline]:
    """Timelines of two workers of one machine and one of another."""
    origins = [origin_of(500, 40, "boot"), origin_of(800, 30, "boot"), origin_of(5, 60, "other")]
    first, second, third = (
        made([(n * 10, 5) for n in range(3)], start_ns=1000 * n, worker=str(n), process=7 + n // 2)
        for n in range(3)
    )
    for one, origin in zip((first, second, third), origins, strict=True):
        one.metadata.update({ORIGIN: origin, "instance": str(origin["monotonic_ns"])})
    third.metadata["host"] = "web-2"
    return [first, second, third]


def test_the_page_has_the_lanes_of_each_process(tmp_path: Path) -> None:
    """All passes in order, whatever the process, and what is known of the clocks."""
    target = tmp_path / "x.html"
    export_html(ProfilerResults("all"), target, timeline=several())
    found = on_page(target)

    def column(name: str, kind: str) -> list[Any]:
        return list(array(kind, base64.b64decode(found[name])))

    # The first began 300 ns before the second, which knows the time best.
    assert found["startNs"] == 700
    assert column("starts", "d") == [0, 10, 20, 300, 310, 320, 1300, 1310, 1320]
    assert column("lanes", "I") == [0] * 3 + [1] * 3 + [2] * 3
    assert column("blocks", "I") == [0] * 9
    assert [one["name"] for one in found["blockList"]] == ["x"]
    assert [lane["thread"] for lane in found["laneList"]] == [0, 1, 2]
    assert [thread["process"] for thread in found["threadList"]] == [0, 1, 2]
    assert found["processList"] == ["worker 0 on web-1", "worker 1 on web-1", "worker 2 on web-2"]
    assert found["clocks"].startswith("the time of day was read to 60 ns; ")


def test_blocks_of_several_processes_are_those_of_the_results(tmp_path: Path) -> None:
    """Though a process knows its files by whole paths, and its tracks by other indices."""
    p = Profiler("app")
    p.set_track_name(5, "web")
    site = p.get_results()
    from stichotrope.results import ProfileBlock, ProfileTrack

    track = ProfileTrack(5, "web", True)
    track.blocks.append(ProfileBlock("x", "shop.py", 10, 5, 0, 1))
    site.tracks[5] = track
    target = tmp_path / "x.html"
    export_html(site, target, timeline=[made(), made(process=8, file="/opt/other.py")])
    found = on_page(target)["blockList"]
    assert [(one["block"], one["track"]) for one in found] == [(0, 5), (None, 2)]


def test_one_trace_has_a_process_for_each_worker(tmp_path: Path) -> None:
    """In Perfetto's form, by its own schema."""
    trace_pb2 = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    export_perfetto(several(), tmp_path / "x.pftrace")
    trace = trace_pb2.Trace()
    trace.ParseFromString((tmp_path / "x.pftrace").read_bytes())
    described = [each.track_descriptor for each in trace.packet]
    processes = [each.process for each in described if each.HasField("process")]
    assert [(each.pid, each.process_name) for each in processes] == [
        (7, "worker 0 on web-1"),
        (8, "worker 1 on web-1"),
        (9, "worker 2 on web-2"),
    ]
    assert {label for each in processes for label in each.process_labels} == {
        said_of_clocks(aligned(several()))
    }
    begins = [
        clock.timestamp
        for packet in trace.packet
        for clock in packet.clock_snapshot.clocks
        if clock.is_incremental
    ]
    assert begins == [700, 1000, 2000]


def test_chrome_has_a_process_for_each_worker_too(tmp_path: Path, clock: ManualClock) -> None:
    """And lanes of two profilers of one process apart."""
    profilers = [Profiler(name, timeline=128) for name in ("a", "b")]
    for p in profilers:
        with p.block(0, "x"):
            clock.advance(5)
    export_chrome([*several(), *(p.timeline() for p in profilers)], tmp_path / "x.trace.json")
    events = json.loads((tmp_path / "x.trace.json").read_text())["traceEvents"]
    passes = [(each["pid"], each["tid"]) for each in events if each["ph"] == "X"]
    assert len(passes) == 11
    assert len(set(passes)) == 5
    named = [each["args"]["name"] for each in events if each["name"] == "process_name"]
    assert len(named) == len(set(named)) == 5
    assert {each["ts"] for each in events if each["ph"] == "X"} >= {0.7, 1.0, 2.0}


def test_what_is_no_list_of_timelines_is_refused(tmp_path: Path) -> None:
    """With a sentence, and no file."""
    with pytest.raises(TypeError, match="a list of Timeline is expected, not one of 3"):
        export_perfetto([3], tmp_path / "x")
    with pytest.raises(TypeError, match="a list of Timeline is expected, not one of 3"):
        export_html(ProfilerResults("x"), tmp_path / "x", timeline=[3])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


# Of stores

KILLED = """
    import os
    from stichotrope import Profiler
    p = Profiler("app", timeline=128, store=os.environ["FOLDER"])
    with p.block("web", "x"):
        pass
    p.clear()
    for _ in range(3):
        with p.block("web", "y"):
            pass
    os.kill(os.getpid(), 9)
"""


def test_timelines_of_a_store_lie_in_the_order_in_which_they_were(tmp_path: Path) -> None:
    """Of processes that were killed, one after the other, on the machine's clock."""
    folder = tmp_path / "store"
    before_ns = clocks.origin()[1]
    for _ in range(2):
        assert run_program(KILLED, FOLDER=str(folder)).returncode == -9
    after_ns = clocks.origin()[1]
    found = aligned(timelines_in([str(folder)]))
    assert [[each.block.name for each in one] for one in found] == [["y"] * 3] * 2
    ends = sorted((one.metadata[ORIGIN]["monotonic_ns"], one) for one in found)  # type: ignore[type-var]
    assert [one.metadata[ORIGIN]["clock"] for one in found] == [clocks.machine()] * 2
    assert before_ns < ends[0][0] < ends[1][0] < after_ns
    early, late = (one for _, one in ends)
    assert early.start_ns + early.end_ns < late.start_ns
    assert main(["report", str(folder), "-f", "chrome", "-o", str(tmp_path / "x.trace.json")]) == 0
    events = json.loads((tmp_path / "x.trace.json").read_text())["traceEvents"]
    assert len({each["pid"] for each in events}) == 2


def test_one_of_this_process_says_when_it_began() -> None:
    """By both clocks."""
    before_ns = clocks.origin()[1]
    p = Profiler("app", timeline=128)
    with p.block(0, "x"):
        pass
    origin = p.timeline().metadata[ORIGIN]
    assert before_ns <= origin["monotonic_ns"] <= clocks.origin()[1]
    assert origin["uncertainty_ns"] >= 0
    assert origin["clock"] == clocks.machine()
