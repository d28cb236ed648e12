"""The exports of timelines: parsed by Perfetto's own schema, and each pass found again."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clihelp import stichotrope
from conftest import ManualClock, Threads
from stichotrope import Profiler, export_chrome, export_perfetto
from stichotrope.cli import main
from stichotrope.results.timeline import Timeline

trace_pb2 = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")

pytestmark = pytest.mark.unit

BEGIN, END = 1, 2


class Slice(NamedTuple):
    """One pass as a reader of the trace finds it."""

    track: str
    name: str
    category: str
    start: int
    end: int
    depth: int
    notes: dict[str, Any]


class Sequence:
    """What a reader knows of one sequence of packets."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.categories: dict[int, str] = {}
        self.annotations: dict[int, str] = {}
        self.now = 0
        self.track = 0
        self.opened: list[Any] = []


def slices_of(data: bytes) -> list[Slice]:
    """Read a trace as Perfetto does, and check that its slices nest.

    Each packet is of a sequence, whose first one clears what was known, says how its clock counts
    from one packet to the next, and names things; an end ends what was begun last on its track.
    """
    trace = trace_pb2.Trace()
    trace.ParseFromString(data)
    sequences: dict[int, Sequence] = {}
    tracks: dict[int, str] = {}
    parents: dict[int, int] = {}
    found: list[Slice] = []
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            described = packet.track_descriptor
            assert described.uuid not in tracks
            tracks[described.uuid] = (
                described.name or described.thread.thread_name or described.process.process_name
            )
            parents[described.uuid] = described.parent_uuid
            continue
        if packet.sequence_flags & 1:
            sequence = sequences[packet.trusted_packet_sequence_id] = Sequence()
            read_first(packet, sequence)
            continue
        assert packet.sequence_flags == 2
        sequence = sequences[packet.trusted_packet_sequence_id]
        sequence.now += packet.timestamp
        event = packet.track_event
        if event.type == BEGIN:
            sequence.opened.append((event, sequence.now))
            continue
        assert event.type == END
        begun, start = sequence.opened.pop()
        if sequence.opened:
            assert sequence.opened[-1][1] <= start
        (category,) = begun.category_iids
        found.append(
            Slice(
                tracks[sequence.track],
                sequence.names[begun.name_iid],
                sequence.categories[category],
                start,
                sequence.now,
                len(sequence.opened),
                {sequence.annotations[a.name_iid]: value_of(a) for a in begun.debug_annotations},
            )
        )
    assert not any(sequence.opened for sequence in sequences.values())
    for uuid, parent in parents.items():
        assert parent == 0 or parent in tracks, uuid
    return sorted(found, key=lambda each: (each.start, each.depth, each.name, each.end))


def read_first(packet: Any, sequence: Sequence) -> None:
    """Read the packet that says what the others of its sequence mean."""
    clocks = {clock.clock_id: clock for clock in packet.clock_snapshot.clocks}
    counted = packet.trace_packet_defaults.timestamp_clock_id
    assert clocks[counted].is_incremental
    assert not clocks[counted].unit_multiplier_ns
    sequence.now = clocks[counted].timestamp
    sequence.track = packet.trace_packet_defaults.track_event_defaults.track_uuid
    interned = packet.interned_data
    sequence.names = {name.iid: name.name for name in interned.event_names}
    sequence.categories = {each.iid: each.name for each in interned.event_categories}
    sequence.annotations = {each.iid: each.name for each in interned.debug_annotation_names}


def value_of(annotation: Any) -> Any:
    """What an annotation says."""
    return getattr(annotation, annotation.WhichOneof("value"))


def expected(timeline: Timeline) -> list[tuple[str, str, int, int, int]]:
    """(name, track, start, end, depth) of each pass of a timeline, in the order of `slices_of`."""
    rows = [
        (e.block.name, e.block.track_name, e.start_ns, e.start_ns + e.duration_ns, e.depth)
        for e in timeline
    ]
    return sorted(rows, key=lambda row: (row[2], row[4], row[0], row[3]))


@pytest.fixture
def p(clock: ManualClock) -> Profiler:
    """A profiler with a timeline of nested calls, tasks and generators."""
    p = Profiler("shop", timeline=1024)

    def generator() -> Iterator[int]:
        with p.block("io", "generator"):
            clock.advance(2)
            yield 1
            clock.advance(3)

    async def task(number: int) -> None:
        with p.block("web", "request", tag=f"r{number}"):
            clock.advance(1)
            await asyncio.sleep(0)
            with p.block("io", "look up", tag=number):
                clock.advance(5)

    async def main() -> None:
        await asyncio.gather(*[task(number) for number in range(3)])

    with p.block(0, "main"):
        asyncio.run(main())
    steps = generator()
    for name in ("one", "two"):
        with p.block(0, name):
            next(steps, None)
    with pytest.raises(KeyError), p.block(0, "bad"):
        raise KeyError
    return p


def test_each_pass_is_a_slice(p: Profiler, tmp_path: Path) -> None:
    """With its time since the epoch, its depth, its name and its track as category."""
    path = tmp_path / "trace.pftrace"
    p.export_perfetto(path)
    timeline = p.timeline()
    found = slices_of(path.read_bytes())
    assert [(s.name, s.category, s.start, s.end, s.depth) for s in found] == expected(timeline)
    notes = {(s.name, tuple(s.notes.items())) for s in found if s.notes}
    assert notes >= {("request", (("tag", "r0"),)), ("bad", (("outcome", "error"),))}
    assert {s.notes["tag"] for s in found if s.name == "look up"} == {0, 1, 2}
    tracks = {s.name: s.track for s in found}
    assert tracks["main"] == timeline.thread_list[0].name
    assert tracks["generator"] == "generators 1"
    assert {s.track for s in found if s.name == "request"} == {"tasks 1", "tasks 2", "tasks 3"}


def test_several_processes_and_many_lanes(clock: ManualClock, threads: Threads) -> None:
    """Each with its own tracks and names."""
    from stichotrope.export.perfetto import render

    made = []
    for name in ("one", "other"):
        p = Profiler(name, timeline=1024)

        def work(p: Profiler = p, name: str = name) -> None:
            for _ in range(20):
                with p.block(name, f"{name} outer"):
                    clock.advance(3)
                    with p.block(name, f"{name} inner"):
                        clock.advance(200_000_000)

        threads.together(work, work, work)
        made.append(p.timeline())
    found = slices_of(render(made))
    rows = sorted(row for timeline in made for row in expected(timeline))
    assert sorted((s.name, s.category, s.start, s.end, s.depth) for s in found) == rows


def test_nothing_recorded_is_a_trace_too(tmp_path: Path) -> None:
    """Of a process without passes."""
    p = Profiler("empty", timeline=128)
    p.export_perfetto(tmp_path / "empty.pftrace")
    assert slices_of((tmp_path / "empty.pftrace").read_bytes()) == []
    p.export_chrome(tmp_path / "empty.json")
    assert json.loads((tmp_path / "empty.json").read_text())["traceEvents"]


def test_a_pass_takes_no_more_than_forty_bytes(clock: ManualClock, tmp_path: Path) -> None:
    """With 1,000 blocks on 100 tracks, and a tenth of a second between passes."""
    p = Profiler("large", timeline=1 << 15)
    blocks = [p.block_at(n % 100, f"block {n}", "file.py", n) for n in range(1000)]
    for _ in range(30):
        for block in blocks:
            with block:
                clock.advance(100_000_000)
    path = tmp_path / "trace.pftrace"
    export_perfetto(p, path)
    names = sum(len(f"block {n}") + 10 for n in range(1000))
    assert path.stat().st_size - names < 40 * 30_000


def test_chrome_has_the_same(p: Profiler, tmp_path: Path) -> None:
    """Each pass as a complete event, with nanoseconds as decimals."""
    path = tmp_path / "trace.json"
    export_chrome(p.timeline(), path)
    timeline = p.timeline()
    events = json.loads(path.read_text(), parse_float=str)["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    assert [event["name"] for event in complete] == [e.block.name for e in timeline]
    ns = [int(event["dur"].replace(".", "")) for event in complete]
    assert ns == list(timeline.durations)
    starts = [int(event["ts"].replace(".", "")) for event in complete]
    assert starts == [each.start_ns for each in timeline]
    assert {e["args"]["tag"] for e in complete if e["name"] == "request"} == {"r0", "r1", "r2"}
    lanes = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    assert len(lanes) == len(timeline.lane_list)


def test_what_has_no_timeline_is_refused(tmp_path: Path) -> None:
    """With a sentence, and no file is left."""
    with pytest.raises(ValueError, match="keeps no timeline"):
        export_perfetto(Profiler("none"), tmp_path / "x")
    with pytest.raises(TypeError, match="a Timeline or a Profiler is expected, not int"):
        export_chrome(3, tmp_path / "x")
    assert os.listdir(tmp_path) == []


# From a store


def test_report_of_a_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In both forms, and a sentence where there is no timeline, or with options that choose."""
    store = tmp_path / "store"
    p = Profiler("kept", timeline=128, store=store)
    with p.block("web", "request", tag="r1"):
        pass
    target = tmp_path / "trace.pftrace"
    assert main(["report", str(store), "-o", str(target)]) == 0
    (found,) = slices_of(target.read_bytes())
    assert (found.name, found.category, found.notes) == ("request", "web", {"tag": "r1"})
    assert main(["report", str(store), "-f", "chrome"]) == 0
    assert '"name":"request"' in capfd.readouterr().out.replace(": ", ":")
    assert main(["report", str(store), "-f", "chrome", "--track", "web"]) != 0
    assert "chrome has all passes, once" in capfd.readouterr().err
    other = tmp_path / "other"
    q = Profiler("without", store=other)
    with q.block(0, "x"):
        pass
    assert main(["report", str(other), "-f", "perfetto", "-o", str(target)]) != 0
    assert "there is no timeline" in capfd.readouterr().err


def on_page(path: Path) -> Any:
    """What a page says of timelines."""
    found = re.search(
        r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text("utf-8")
    )
    assert found is not None
    return json.loads(found[1]).get("timeline")


def test_the_page_of_a_store_has_its_timelines(tmp_path: Path) -> None:
    """Of each process that keeps one, with its blocks; unless only a part is asked for."""
    store = tmp_path / "store"
    p, other = (Profiler("kept", timeline=128, store=store) for _ in range(2))
    for each in (p, other):
        with each.block("web", "request", tag="r1"):
            pass
    target = tmp_path / "x.html"

    def shown() -> Any:
        return on_page(target)

    assert main(["report", str(store), "-o", str(target)]) == 0
    found = shown()
    named = [one for one in found["blockList"] if one["name"] == "request"]
    assert [one["block"] for one in named] == [0]
    assert [tag for _, tag in found["tags"]] == ["r1", "r1"]
    (path, _) = sorted(store.glob("*.stichotrope"))
    assert main(["report", str(path), "-o", str(target)]) == 0
    assert len(shown()["processList"]) == 1
    assert main(["report", str(store), "-o", str(target), "--track", "web"]) == 0
    assert shown() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_the_page_of_a_run_has_its_timelines(tmp_path: Path) -> None:
    """Of the program, and of a child of it that was killed; or that has ended, where it has a store."""
    (tmp_path / "shop.py").write_text("""
import os
from stichotrope import Profiler
p = Profiler("shop")
for end in (lambda: os.kill(os.getpid(), 9), exit):
    pid = os.fork()
    with p.block("web", "request"):
        pass
    if not pid:
        end()
    os.waitpid(pid, 0)
""")
    lanes = []
    for more in ([], ["--store", "kept"]):
        command = ["run", "-q", "--timeline", "1000", *more, "-o", "x.html", "shop.py"]
        assert stichotrope(*command, cwd=tmp_path).returncode == 0
        found = on_page(tmp_path / "x.html")
        lanes.append(len(found["processList"]))
        assert found["leftOut"] == 0
    assert lanes == [2, 3]
