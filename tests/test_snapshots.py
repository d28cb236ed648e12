"""Packed results, and collections of them: lossless, small, and merged in any order."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import hits, run_program
from handmade import block, node, root, sample, single, troubled
from stichotrope import Profiler, ProfilerResults
from stichotrope.results import (
    FORMAT_VERSION,
    ProfileTrack,
    ResultsFormatError,
    ThreadResults,
)
from stichotrope.results.buckets import Buckets, DenseBuckets
from stichotrope.results.columns import Reader, Writer
from stichotrope.results.difference import difference
from stichotrope.results.model import ProcessorTime
from stichotrope.results.packed import Packed
from stichotrope.results.places import receive_root, relative, root_of, roots_of
from stichotrope.results.snapshots import Snapshots

pytestmark = pytest.mark.unit

DURATIONS = st.lists(st.integers(0, 1 << 40), max_size=6).map(tuple)
NAMES = ("a", "b", "c")


# Columns


@given(st.lists(st.integers(-(1 << 250), 1 << 255)), st.lists(st.integers(0, 1 << 20)))
def test_columns_hold_numbers_of_any_size(any_size: list[int], small: list[int]) -> None:
    """Signed or not, one after the other, between texts."""
    writer = Writer()
    writer.numbers(any_size)
    writer.text("ä\ud800")
    writer.ascending(small)
    reader = Reader(writer.done())
    assert list(reader.numbers()) == any_size
    assert reader.text() == "ä\ud800"
    assert reader.ascending() == small


@pytest.mark.parametrize(
    ("least", "most", "size"),
    [(0, 255, 1), (0, 256, 2), (-128, 127, 1), (-129, 0, 2), (0, 2**64 - 1, 8), (-(2**63), 0, 8)],
)
def test_a_column_is_as_wide_as_its_largest_number_needs(least: int, most: int, size: int) -> None:
    """One code, one count, then the numbers."""
    writer = Writer()
    writer.numbers([least, most])
    assert len(writer.done()) == 5 + 2 * size


# Packed


def everything() -> list[ProfilerResults]:
    """Results of every kind: with and without processes, threads, paths and names that are odd."""
    odd = sample()
    odd.tracks[0].blocks[0].name = "\ud800 ü"
    odd.tracks[0].blocks[0].self_time_ns = -5
    odd.tracks[0].blocks[0].sum_squares_ns2 = 1 << 200
    timed = part(1, (5, 6))
    for one in (timed.tracks[0].blocks[0], *(step for step, _ in timed.tree.walk())):
        one.cpu = ProcessorTime(2, 7, 8, 11, 3, 5, block("", (3, 5)).histogram)
    both = part(1, (1, 2)).merge(part(2))
    return [sample(), troubled(), odd, ProfilerResults("empty"), both, timed]


@pytest.mark.parametrize("number", range(6))
def test_packed_results_are_the_same_when_unpacked(number: int) -> None:
    """All of them: threads, trees, metadata, the order of everything."""
    results = everything()[number]
    again = ProfilerResults.from_bytes(results.to_bytes())
    assert again == results
    assert again.to_dict() == results.to_dict()


def test_a_recording_of_many_blocks_is_a_tenth_of_its_json() -> None:
    """Compared with the shortest JSON, without an indent."""
    draw = random.Random(1)
    blocks = [
        block(
            f"handler_{number}",
            tuple(int(draw.lognormvariate(9, 1)) for _ in range(200)),
            idx=number,
            line=number,
        )
        for number in range(300)
    ]
    track = ProfileTrack(0, "web", True, blocks, sum(one.total_time_ns for one in blocks))
    tree = root(*(node(one) for one in blocks))
    share = ThreadResults(1, 5, "MainThread", True, {0: track}, track.total_time_ns, tree)
    results = ProfilerResults("web", {0: track}, track.total_time_ns, tree, [share])
    assert 10 * len(results.to_bytes()) <= len(results.to_json(None).encode())


def damaged() -> list[tuple[bytes, str]]:
    """What is no packed results, and what is said of it."""
    whole = sample().to_bytes()
    return [
        (b"", "not packed results"),
        (b"{}", "not packed results"),
        (b"stcp", "packed in version ?"),
        (b"stcp\x02" + whole[5:], "packed in version 2; this version reads up to 1"),
        (whole[:-1], "cut short"),
        (whole[:40], "cut short"),
        (whole + b"x", "longer than it says"),
        (whole[:13] + b"\0" + whole[14:], "its section head is damaged"),
        (with_section(whole, 0, b"[]"), "not a stichotrope results file"),
        (with_section(whole, 0, b'{"format_version": 99}'), "results format 99"),
        (with_section(whole, 1, b""), "cut short"),
        (with_section(whole, 2, b"?"), "cut short"),
        (with_section(whole, 2, b"?\0\0\0\0"), "no column of kind 63"),
        (with_section(whole, 3, b"\2\0\0\0{}"), "its threads are no list"),
        (with_section(whole, 3, b"\3\0\0\0[1]"), "its threads are damaged"),
    ]


def with_section(packed: bytes, number: int, section: bytes) -> bytes:
    """Packed results with another section."""
    parts, at = [], 5
    for _ in range(4):
        size = struct.unpack_from("<I", packed, at)[0]
        parts.append(packed[at : at + 8 + size])
        at += 8 + size
    data = zlib.compress(section)
    parts[number] = struct.pack("<II", len(data), len(section)) + data
    return packed[:5] + b"".join(parts)


@pytest.mark.parametrize("number", range(15))
def test_what_is_no_packed_results_is_refused_with_a_sentence(number: int) -> None:
    """It says what is wrong with it."""
    data, sentence = damaged()[number]
    with pytest.raises(ResultsFormatError, match=sentence.replace("?", r"\?")):
        ProfilerResults.from_bytes(data)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_bytes_that_were_changed_anywhere_are_refused_or_read(at: int, change: bytes) -> None:
    """Nothing but a format error comes out of it."""
    whole = bytearray(sample().to_bytes())
    at %= len(whole)
    whole[at : at + len(change)] = change
    with contextlib.suppress(ResultsFormatError):
        ProfilerResults.from_bytes(bytes(whole))


@given(st.sampled_from([1, 2, 3]), st.data())
def test_sections_that_were_changed_anywhere_are_refused_or_read(number: int, data: Any) -> None:
    """Also where the checksum of the compression says nothing."""
    whole = sample().to_bytes()
    section = bytearray(Packed(whole).section(("head", "table", "figures", "threads")[number]))
    at = data.draw(st.integers(0, len(section) - 1))
    section[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ResultsFormatError):
        ProfilerResults.from_bytes(with_section(whole, number, bytes(section)))


# Files


@pytest.mark.parametrize(
    ("file", "roots", "expected"),
    [
        ("/srv/app/shop/db.py", ["/srv", "/srv/app"], "shop/db.py"),
        ("/srv/application/db.py", ["/srv/app"], "/srv/application/db.py"),
        ("/db.py", ["/"], "db.py"),
        ("<stdin>", ["/srv"], "<stdin>"),
        ("C:\\app\\shop\\db.py", ["C:\\app"], "shop/db.py"),
    ],
)
def test_a_file_is_known_by_its_path_below_the_root_of_its_module(
    file: str, roots: list[str], expected: str
) -> None:
    """The deepest root that holds it."""
    assert relative(file, roots) == expected


def test_the_roots_of_files_are_those_of_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those that came with what was sent by value."""
    inner = tmp_path / "inner"
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(inner), *sys.path])
    files = [str(inner / "pkg" / "a.py"), str(tmp_path / "b.py"), "<stdin>"]
    assert roots_of(files) == sorted(map(str, (inner, tmp_path)))
    assert root_of("/nowhere/at/all.py") is None
    receive_root("/nowhere/at")
    assert root_of("/nowhere/at/all.py") == "/nowhere/at"


def test_results_tell_the_roots_of_their_blocks() -> None:
    """So that another machine knows these blocks again."""
    p = Profiler("p")
    with p.block(0, "x"):
        pass
    assert str(Path(__file__).parent) in p.get_results().metadata["roots"]


# Snapshots


def part(
    worker: int,
    durations: tuple[int, ...] = (10,),
    *,
    host: str = "",
    duration_ns: int = 5,
    after_ns: int = 0,
    names: Sequence[str] = ("a",),
    track: str | None = "io",
    track_idx: int = 0,
    folder: str = "/srv",
) -> ProfilerResults:
    """What one worker has recorded."""
    blocks = [
        block(name, durations, track=track_idx, idx=number, file=f"{folder}/app/{name}.py")
        for number, name in enumerate(names)
    ]
    total = sum(one.total_time_ns for one in blocks)
    found = ProfileTrack(track_idx, track or f"Track {track_idx}", True, blocks, total)
    tree = root(*(node(one, *(node(below) for below in blocks[:1])) for one in blocks))
    share = ThreadResults(1, 7, "MainThread", True, {track_idx: found}, total, tree)
    return ProfilerResults(
        "app",
        {track_idx: found},
        total,
        tree,
        [share],
        {
            "process": 100 + worker,
            "host": host or f"host-{worker % 2}",
            "instance": f"i{worker}",
            "start_ns": 1000 + worker + after_ns,
            "duration_ns": duration_ns,
            "recording": "1-0",
            "worker": f"w{worker}",
            "roots": [folder],
        },
    )


def parts() -> st.SearchStrategy[bytes]:
    """Snapshots of few workers, some older than others, each with blocks in an order of its own."""
    return st.builds(
        lambda worker, durations, age, after, names, named, idx, folder: part(
            worker,
            durations,
            duration_ns=age,
            after_ns=after,
            names=names,
            track="io" if named else None,
            track_idx=idx,
            folder=folder,
        ).to_bytes(),
        st.integers(0, 4),
        DURATIONS,
        st.integers(0, 3),
        st.integers(0, 2),
        st.permutations(NAMES),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from(["/srv", "/home/b/lib"]),
    )


@given(st.lists(parts(), max_size=6), st.randoms(use_true_random=False), st.integers(0, 6))
def test_merging_is_associative_free_of_order_and_counts_nothing_twice(
    several: list[bytes], draw: random.Random, cut: int
) -> None:
    """Whatever arrives in whatever order and groups, once or again, gives the same results."""
    at_once = Snapshots(several)
    shuffled = [*several, *several[:2]]
    draw.shuffle(shuffled)
    left, right = Snapshots(shuffled[:cut]), Snapshots(shuffled[cut:])
    left.update(right)
    assert left == at_once
    assert left.to_bytes() == at_once.to_bytes()
    assert Snapshots([right.to_bytes(), Snapshots(shuffled[:cut]).to_bytes()]) == at_once
    if several:
        assert left.results() == at_once.results()


@given(
    st.lists(
        st.tuples(st.integers(0, 4), DURATIONS, st.permutations(NAMES)),
        min_size=1,
        max_size=5,
        unique_by=lambda one: one[0],
    )
)
def test_columns_add_up_to_what_objects_add_up_to(several: list[Any]) -> None:
    """The oracle merges objects; blocks are compared by what they are known by."""
    made = [part(worker, durations, names=names) for worker, durations, names in several]
    fast = Snapshots([one.to_bytes() for one in made]).results()
    slow = made[0].merge(*made[1:])
    assert fast.total_time_ns == slow.total_time_ns
    assert by_name(fast) == by_name(slow)
    assert tree_of(fast) == tree_of(slow)
    assert [process.identity for process in fast.processes] == sorted(
        process.identity for process in slow.processes
    )


@given(st.lists(st.tuples(st.integers(0, 9), DURATIONS, st.permutations(NAMES)), max_size=9))
def test_numpy_adds_up_histograms_as_a_dict_does(several: list[Any]) -> None:
    """Also those that it leaves to the dict: too large a number, or too large a table."""
    numpy = pytest.importorskip("numpy")
    plain, dense = Buckets(), DenseBuckets(numpy)
    for worker, durations, names in several:
        made = part(worker, durations, names=names)
        made.tracks[0].blocks[0].histogram.add(1 << 60, 1 << (worker * 7))
        packed = Packed(made.to_bytes())
        columns = packed.columns(packed.table())
        for rows in (range(3), [2, 0, 2]):
            plain.add(columns, rows)
            dense.add(columns, rows)
    assert dense.histograms(3) == plain.histograms(3)


def test_processor_times_are_added_up() -> None:
    """Those of blocks, and of paths."""
    timed = everything()[5]
    other = everything()[5]
    other.processes[0].instance = other.metadata["instance"] = "other"
    whole = Snapshots([timed.to_bytes(), other.to_bytes(), part(3).to_bytes()]).results()
    slow = timed.merge(other, part(3))
    assert whole.tracks[0].blocks[0].cpu == slow.tracks[0].blocks[0].cpu
    assert whole.tree.children[0].cpu == slow.tree.children[0].cpu
    assert whole.tracks[0].blocks[0].cpu_count == 4


def test_many_parts_are_added_up_as_few_are() -> None:
    """Forty workers, and four times ten of them."""
    parts = [part(number, (10 * number, 7), names=NAMES).to_bytes() for number in range(40)]
    whole = Snapshots(parts).results()
    tens = [Snapshots(parts[at : at + 10]).results() for at in range(0, 40, 10)]
    assert by_name(whole) == by_name(tens[0].merge(*tens[1:]))


def by_name(results: ProfilerResults) -> dict[str, Any]:
    """All figures of each block."""
    return {
        one.name: (one._values()[5:]) for track in results.tracks.values() for one in track.blocks
    }


def tree_of(results: ProfilerResults) -> list[Any]:
    """All figures of each path."""
    found, path = [], [""]
    for step, depth in results.tree.walk():
        path[depth:] = [step.name]
        found.append((tuple(path), step._values()[5:]))
    return sorted(found)


def test_of_one_recording_the_newest_snapshot_counts() -> None:
    """Once, however often and however late it is sent; a cleared profiler's is another one."""
    older, newer = part(1, (10,)), part(1, (10, 20), duration_ns=9)
    again = part(1, (7, 7, 7))
    again.metadata["recording"] = "1-555"
    both = Snapshots([newer.to_bytes(), older.to_bytes(), newer.to_bytes()])
    assert (len(both), hits(both.results())) == (1, {"a": 2})
    both.add(again.to_bytes())
    assert (len(both), hits(both.results())) == (2, {"a": 5})


def test_runs_of_one_worker_stand_side_by_side() -> None:
    """What was recorded in each counts; what a snapshot of the whole holds as well counts once."""
    first, second, third = part(1), part(1, (10, 20)), part(1, (10, 20, 30))
    for number, one in enumerate((first, second, third)):
        one.metadata["duration_ns"] = one.processes[0].duration_ns = 10 * (number + 1)
    taken = [Snapshots([one.to_bytes()]) for one in (first, second, third)]
    runs = taken[1].since(taken[0]), taken[2].since(taken[1])
    both = Snapshots([run.to_bytes() for run in reversed(runs)])
    assert (len(both), hits(both.results())) == (2, {"a": 2})
    both.update(taken[0])
    assert (len(both), hits(both.results())) == (3, {"a": 3})
    assert len(both.results().processes) == 1
    assert "warnings" not in both.results().metadata or not both.results().metadata["warnings"]
    both.update(taken[2])
    assert (len(both), hits(both.results())) == (1, {"a": 3})


def test_stretches_that_overlap_are_named() -> None:
    """What they have in common cannot be told apart."""
    overlapping = Snapshots(
        [part(1, duration_ns=6).to_bytes(), part(1, duration_ns=6, after_ns=3).to_bytes()]
    )
    (sentence,) = overlapping.results().metadata["warnings"]
    assert sentence.startswith("1 recording is in several of the results that were merged")


def test_two_profilers_of_one_name_in_one_process_are_two_recordings() -> None:
    """Both count."""
    made = [Profiler("same"), Profiler("same")]
    for profiler in made:
        with profiler.block(0, "x"):
            pass
    both = Snapshots([profiler.get_results().to_bytes() for profiler in made])
    assert len(both) == 2
    assert both.results().total_hits == 2
    assert len(both.results().processes) == 1


def test_a_block_is_the_same_on_machines_that_installed_it_elsewhere() -> None:
    """By module-relative file, line, name and track; each process keeps host, number and worker."""
    results = Snapshots(
        [part(1, folder="/srv").to_bytes(), part(2, folder="/usr/lib/python").to_bytes()]
    ).results()
    (only,) = results.tracks[0].blocks
    assert (only.file, only.hit_count) == ("app/a.py", 2)
    assert [(one.host, one.pid, one.worker) for one in results.processes] == [
        ("host-0", 102, "w2"),
        ("host-1", 101, "w1"),
    ]


def test_tracks_are_known_by_their_name_wherever_they_were_numbered() -> None:
    """One without a name is known by its number, and is the one that others have named."""
    named, elsewhere = part(1, track_idx=0), part(2, track_idx=1)
    results = Snapshots([named.to_bytes(), elsewhere.to_bytes()]).results()
    assert {idx: track.track_name for idx, track in results.tracks.items()} == {0: "io"}
    unnamed = part(3, track=None)
    (only,) = Snapshots([named.to_bytes(), unnamed.to_bytes()]).results().tracks.values()
    assert (only.track_name, only.total_hits) == ("io", 2)
    other = part(4, track="db", track_idx=0)
    results = Snapshots([named.to_bytes(), other.to_bytes()]).results()
    assert {track.track_name: track.total_hits for track in results.tracks.values()} == {
        "db": 1,
        "io": 1,
    }


def test_threads_of_merged_results_have_the_blocks_of_the_whole() -> None:
    """With the same numbers, and each knows its process."""
    results = Snapshots(
        [part(1, names=("b", "a")).to_bytes(), part(2, names=("a", "b", "c")).to_bytes()]
    ).results()
    numbers = {one.name: one.block_idx for one in results.tracks[0].blocks}
    assert [one.key for one in results.threads] == [1, 2]
    assert {one.process.worker for one in results.threads if one.process} == {"w1", "w2"}
    for share in results.threads:
        assert {
            one.name: one.block_idx for one in share.tracks[0].blocks
        }.items() <= numbers.items()
        assert {one.file for one in share.tracks[0].blocks} <= {
            one.file for one in results.tracks[0].blocks
        }
        assert all(
            step.block_idx == numbers[step.name] for step, depth in share.tree.walk() if depth
        )
    assert ProfilerResults.from_dict(results.to_dict()) == results


def test_shares_say_what_each_process_has_of_each_block() -> None:
    """By what the block is known by on every machine."""
    shares = Snapshots([part(1, (5, 6)).to_bytes(), part(2, (9,)).to_bytes()]).shares()
    known = ("io", "app/a.py", 10, "a")
    assert [
        (one.process.worker, one.blocks, *map(list, (one.hits, one.total_ns, one.longest_ns)))
        for one in shares
    ] == [("w2", [known], [1], [9], [9]), ("w1", [known], [2], [11], [6])]


def test_results_of_several_profilers_are_chosen_by_name() -> None:
    """All are taken together unless one is named."""
    other = part(2, (1, 2, 3))
    other.profiler_name = "other"
    both = Snapshots([part(1).to_bytes(), other.to_bytes()])
    assert both.names == ["app", "other"]
    assert hits(both.results("other")) == {"a": 3}
    assert both.results().profiler_name == "app + other"
    with pytest.raises(ValueError, match="no results of 'third', but of 'app', 'other'"):
        both.results("third")
    with pytest.raises(ValueError, match="there are no results, but of nothing at all"):
        Snapshots().results()


def test_what_cannot_be_read_is_named_and_left_out() -> None:
    """A worker of a later version, for one; the rest is merged, and says so."""
    later = part(2).to_bytes()
    later = with_section(later, 0, f'{{"format_version": {FORMAT_VERSION + 1}}}'.encode())
    found = Snapshots([part(1).to_bytes()])
    found.add_or_name(later, "worker 2 on web-2")
    found.add_or_name(b"?", "worker 3")
    (first, second) = found.results().metadata["warnings"]
    assert first.startswith("worker 2 on web-2 was left out: ")
    assert "update stichotrope" in first
    assert second.startswith("worker 3 was left out: not packed results")
    assert Snapshots([found.to_bytes()]).warnings == found.warnings
    assert copy.deepcopy(found) == found == pickle.loads(pickle.dumps(found))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"stcb", "a collection of version \\?"),
        (b"stcb\x09", "a collection of version 09"),
        (b"stcb\x01\x01\0\0\0\x01\0\0\0", "is cut short"),
        (b"abc", "not packed results"),
    ],
)
def test_a_collection_that_is_none_is_refused(data: bytes, sentence: str) -> None:
    """With a sentence."""
    with pytest.raises(ResultsFormatError, match=sentence):
        Snapshots([data])


# What was recorded in between


@given(DURATIONS, DURATIONS)
def test_a_difference_has_the_passes_of_the_later_snapshot_alone(
    before: tuple[int, ...], since: tuple[int, ...]
) -> None:
    """Counts, sums and histogram; the shortest and the longest to within a bucket."""
    change = difference(part(1, before + since, duration_ns=8), part(1, before))
    (found,), expected = change.tracks[0].blocks, block("a", since)
    for name in ("hit_count", "total_time_ns", "sum_time_ns", "sum_squares_ns2", "histogram"):
        assert getattr(found, name) == getattr(expected, name)
    if since:
        assert abs(found.min_time_ns - expected.min_time_ns) <= expected.min_time_ns / 128
        assert abs(found.max_time_ns - expected.max_time_ns) <= expected.max_time_ns / 128
    assert change.metadata["start_ns"] == 1001 + 5
    assert change.metadata["duration_ns"] == 3
    assert sum(step.hit_count for step, _ in change.tree.walk()) == 2 * len(since)


def test_passes_that_a_better_known_clock_has_moved_to_the_next_bucket_count_once() -> None:
    """They are those that were there before."""
    before, after = part(1, (1000, 1000)), part(1, (1009, 1009, 5000))
    change = difference(after, before)
    assert change.tracks[0].blocks[0].histogram == block("a", (5000,)).histogram


def test_snapshots_since_others_leave_out_what_has_not_changed() -> None:
    """And take what was not there yet whole."""
    before = Snapshots([part(1).to_bytes(), part(2).to_bytes()])
    later = Snapshots(
        [part(1).to_bytes(), part(2, (10, 30), duration_ns=9).to_bytes(), part(3, (7,)).to_bytes()]
    )
    results = later.since(before).results()
    assert {one.worker: one.total_hits for one in results.processes} == {"w2": 1, "w3": 1}
    assert results.total_time_ns == 30 + 7
    with pytest.raises(ValueError, match="there are no results"):
        before.since(before).results()


@pytest.mark.integration
def test_two_processes_that_run_one_program_have_the_same_blocks(tmp_path: Path) -> None:
    """Wherever its folder lies."""
    source = """
import sys, os
sys.path.insert(0, os.environ["FOLDER"])
import shop
with open(os.environ["TARGET"], "wb") as file:
    file.write(shop.p.get_results().to_bytes())
"""
    module = """
from stichotrope import Profiler
p = Profiler("shop")
with p.block("work", "x"):
    pass
"""
    found = Snapshots()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "shop.py").write_text(module)
        target = tmp_path / f"{name}.bin"
        run_program(source, FOLDER=str(folder), TARGET=str(target))
        found.add(target.read_bytes())
    (only,) = found.results().get_track(0).blocks
    assert (only.file, only.hit_count) == ("shop.py", 2)


# Results that are no bytes


def shop(folder: str, *durations: int, worker: int = 0) -> ProfilerResults:
    """What one process recorded of a program that lies in a folder."""
    return part(worker, (*durations,), names=NAMES, track="io", folder=folder)


def figures_of(results: ProfilerResults | ThreadResults) -> list[tuple[str, str, int, int]]:
    """File, name, hits and time of each block."""
    return sorted(
        (block.file, block.name, block.hit_count, block.total_time_ns)
        for track in results.tracks.values()
        for block in track.blocks
    )


@pytest.mark.parametrize("as_file", [False, True])
def test_one_file_of_several_machines_is_one_in_a_merge(as_file: bool, tmp_path: Path) -> None:
    """In blocks, tree and threads, as a merge of bytes has it; it stands as the first part has it."""
    one, other = shop("/srv", 10, 20, worker=1), shop("/home/b/lib", 5, worker=2)
    if as_file:
        for number, results in enumerate((one, other)):
            results.save(tmp_path / f"{number}.json")
        one, other = (ProfilerResults.load(tmp_path / f"{number}.json") for number in (0, 1))
    whole = one.merge(other)
    assert figures_of(whole) == [(f"/srv/app/{name}.py", name, 3, 35) for name in sorted(NAMES)]
    assert len(whole.tree.children) == len(NAMES)
    files = {node.file for tree in (whole, *whole.threads) for node, _ in tree.tree.walk()}
    assert {file for file in files if file} == {block[0] for block in figures_of(whole)}
    for share in whole.threads:
        assert {block[0] for block in figures_of(share)} <= {row[0] for row in figures_of(whole)}
    third = shop("C:\\lib", 7, worker=3)
    for again in (whole.merge(third), one.merge(other.merge(third)), one.merge(other, third)):
        assert figures_of(again) == [(f"/srv/app/{name}.py", name, 4, 42) for name in sorted(NAMES)]
    bytes_of_all = Snapshots([one.to_bytes(), other.to_bytes(), third.to_bytes()]).results()
    assert figures_of(bytes_of_all) == [(f"app/{name}.py", name, 4, 42) for name in sorted(NAMES)]
    assert figures_of(bytes_of_all.merge(one.merge(other))) == figures_of(bytes_of_all)
    stranger = shop("/srv", 1, worker=4)
    stranger.metadata["roots"] = ["/elsewhere"]
    assert len(figures_of(other.merge(stranger))) == 2 * len(NAMES)


def test_files_of_one_name_below_several_roots_of_a_run_are_several() -> None:
    """What is one file must be known; a path as it is always says so."""
    run = single(block("a", (1,), file="/a/x.py"), block("a", (2,), idx=1, file="/b/x.py"))
    run.metadata["roots"] = ["/a", "/b"]
    alone = [single(block("a", (4,), file=f"/{folder}/x.py")) for folder in "abc"]
    for results, folder in zip(alone, "abc", strict=True):
        results.metadata["roots"] = [f"/{folder}"]
    first, second, third = figures_of(run.merge(*alone))
    assert first == ("/a/x.py", "a", 2, 5)
    assert second == ("/b/x.py", "a", 2, 6)
    assert third == ("/c/x.py", "a", 1, 4)
    script = single(block("a", (3,), file="/w/lib/x.py"))
    script.metadata["roots"] = ["/w/lib"]
    module = single(block("a", (4,), file="/w/lib/x.py"))
    module.metadata["roots"] = ["/w"]
    assert figures_of(script.merge(module)) == [("/w/lib/x.py", "a", 2, 7)]
