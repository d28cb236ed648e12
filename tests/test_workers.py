"""Reports of many: what each worker had of each block, how unevenly, and who was slow."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clihelp import stichotrope
from handmade import block, node, root
from stichotrope import ProfilerResults, print_results
from stichotrope.report import print_workers
from stichotrope.report._page import contents
from stichotrope.results import ProfileTrack, ThreadResults
from stichotrope.results.difference import difference
from stichotrope.results.shares import shares_of_threads
from stichotrope.results.snapshots import Snapshots
from stichotrope.statistics.skew import skews, stragglers, worst

pytestmark = pytest.mark.unit

DURATIONS = st.lists(st.integers(0, 1 << 40), max_size=6).map(tuple)
MS = 1_000_000


def worker(
    number: int,
    *threads: Mapping[str, tuple[int, ...]],
    host: str = "",
    duration_ns: int = 1000 * MS,
) -> ProfilerResults:
    """What one worker has recorded: on each of its threads, each block's passes."""
    shares: list[ThreadResults] = []
    whole: dict[str, tuple[int, ...]] = {}
    for key, blocks in enumerate(threads, 1):
        shares.append(figures(blocks, ThreadResults(key, 7, f"t{key}", True)))
        for name, times in blocks.items():
            whole[name] = whole.get(name, ()) + times
    results = ProfilerResults(
        "app",
        threads=shares,
        metadata={
            "process": 100 + number,
            "host": host or f"web-{number % 2}",
            "instance": f"i{number}",
            "start_ns": 1000,
            "duration_ns": duration_ns,
            "recording": "1-0",
            "worker": f"w{number}",
        },
    )
    figures(whole, results)
    (process,) = results.processes
    process.total_hits, process.total_time_ns = results.total_hits, results.total_time_ns
    return results


def figures(blocks: Mapping[str, tuple[int, ...]], into: Any) -> Any:
    """Results, or a thread's, with blocks side by side."""
    made = [
        block(name, times, idx=number, line=1 + len(name) + ord(name[-1]))
        for number, (name, times) in enumerate(sorted(blocks.items()))
    ]
    into.total_time_ns = sum(one.total_time_ns for one in made)
    into.tracks = {0: ProfileTrack(0, "io", True, made, into.total_time_ns)}
    into.tree = root(*map(node, made))
    return into


def gathered(*workers: ProfilerResults) -> ProfilerResults:
    """The results of workers, as an engine's run gives them."""
    return Snapshots([one.to_bytes() for one in workers]).results()


BLOCKS = st.dictionaries(st.sampled_from("abc"), DURATIONS, max_size=3)


@given(st.lists(st.lists(BLOCKS, max_size=2), min_size=1, max_size=4))
def test_shares_are_the_same_of_packed_pieces_of_threads_and_of_a_file(
    several: list[list[dict[str, tuple[int, ...]]]],
) -> None:
    """Where a block was entered; and they add up to the whole."""
    results = gathered(*(worker(number, *each) for number, each in enumerate(several)))
    again = ProfilerResults.from_dict(json.loads(results.to_json()))
    expected = rows(results.shares())
    assert rows(again.shares()) == rows(shares_of_threads(results)) == expected
    for track in results.tracks.values():
        for one in track.blocks:
            of_each = [row for row in expected if row[1] == one.identity]
            assert sum(row[2] for row in of_each) == one.hit_count
            assert sum(row[3] for row in of_each) == one.total_time_ns


def rows(shares: list[Any]) -> list[Any]:
    """Everything that was entered, in an order."""
    return sorted(
        (share.process.worker, *row) for share in shares for row in share.rows() if row[1]
    )


def test_what_two_profilers_of_one_process_recorded_is_one_share() -> None:
    """As the process is one."""
    first, second = worker(1, {"a": (5,)}), worker(1, {"a": (7, 1), "b": (2,)})
    second.profiler_name, second.metadata["recording"] = "other", "2-0"
    results = gathered(first, second, worker(2, {"a": (3,)}))
    assert [(share.process.worker, sum(share.hits)) for share in results.shares()] == [
        ("w2", 1),
        ("w1", 4),
    ]
    (a, *_) = skews(results)
    assert [(part.process.worker, part.time_ns, part.hits) for part in a.parts] == [
        ("w1", 13, 3),
        ("w2", 3, 1),
    ]


def test_skew_is_the_slowest_worker_against_the_median_of_those_that_entered_a_block() -> None:
    """Times, passes and means; the block that costs most by it first; one worker's blocks have none."""
    results = gathered(
        worker(1, {"a": (10, 10), "b": (5,)}),
        worker(2, {"a": (10, 10, 10, 10), "b": (50,)}),
        worker(3, {"a": (10, 20), "only": (1000,)}),
        worker(4, {}),
    )
    a, b = sorted(skews(results), key=lambda one: one.block.name)
    assert [(one.process.worker, one.time_ns, one.hits, one.mean_ns) for one in a.parts] == [
        ("w2", 40, 4, 10.0),
        ("w3", 30, 2, 15.0),
        ("w1", 20, 2, 10.0),
    ]
    assert (a.median_ns, a.median_hits, a.median_mean_ns) == (30, 2, 10.0)
    assert (b.median_ns, b.parts[0].process.worker, b.track) == (27.5, "w2", "io")
    assert [one.block.name for one in skews(results)] == ["b", "a"]
    assert skews(worker(1, {"a": (5,)})) == []


def test_who_was_slow_is_found_without_making_threads_or_parts() -> None:
    """A thousand of each of a thousand workers would take gigabytes; what is printed is the same."""
    results = gathered(*(worker(number, {"a": (number * 10 * MS,) * 3}) for number in range(1, 9)))
    results._threads = lambda: pytest.fail("threads were made")
    assert "8 threads" in report(results)
    results = gathered(*(worker(number, {"a": (number * 10 * MS,) * 3}) for number in range(1, 9)))
    (skew,) = skews(results)
    every = stragglers(results, [skew])
    assert len(every) == 2
    assert worst([skew], 1) == (every[:1], 2)
    assert "parts" not in vars(skew)
    assert skew.slowest == skew.parts[0]
    assert results.thread_count == len(results.threads) == 8


def uneven() -> ProfilerResults:
    """Four workers: one whose passes take longer, one that has more of them."""
    usual = {"read": (10 * MS,) * 5, "parse": (10 * MS,) * 5}
    return gathered(
        worker(0, usual),
        worker(1, {"read": (30 * MS,) * 5, "parse": (10 * MS,) * 5}),
        worker(2, {"read": (10 * MS,) * 5, "parse": (10 * MS,) * 10}),
        worker(3, usual),
    )


def test_stragglers_are_those_far_above_the_median_by_what_matters() -> None:
    """Half as much again, and a hundredth of the time that was recorded."""
    found = stragglers(uneven())
    assert [(one.part.process.worker, one.skew.block.name) for one in found] == [
        ("w1", "read"),
        ("w2", "parse"),
    ]
    of_little = [worker(n, {"a": (10 * n + 1,)}) for n in range(4)]
    assert stragglers(gathered(*of_little)) == []
    slightly = [worker(n, {"a": ((100 + 10 * n) * MS,)}) for n in range(4)]
    assert stragglers(gathered(*slightly)) == []


def report(results: ProfilerResults, printer: Any = print_workers, **options: Any) -> str:
    """What is printed."""
    stream = io.StringIO()
    printer(results, file=stream, **options)
    return stream.getvalue()


def test_the_report_shows_hosts_workers_and_skew() -> None:
    """Each in a table, the busiest and the most uneven first; then who was slow, and why."""
    text = report(uneven())
    lines = [line.rstrip() for line in text.splitlines()]
    assert [line.split() for line in lines if line.startswith(("web-", "w"))][:6] == [
        ["web-1", "2", "20", "300", "ms", "54.5", "%"],
        ["web-0", "2", "25", "250", "ms", "45.5", "%"],
        ["w1", "web-1", "101", "10", "200", "ms", "36.4", "%", "1.00", "s"],
        ["w2", "web-0", "102", "15", "150", "ms", "27.3", "%", "1.00", "s"],
        ["w0", "web-0", "100", "10", "100", "ms", "18.2", "%", "1.00", "s"],
        ["w3", "web-1", "103", "10", "100", "ms", "18.2", "%", "1.00", "s"],
    ]
    assert [line.split() for line in lines if line.startswith("io / ")] == [
        ["io", "/", "read", "4", "50.0", "ms", "150", "ms", "3.0", "1.0", "3.0", "w1"],
        ["io", "/", "parse", "4", "50.0", "ms", "100", "ms", "2.0", "2.0", "1.0", "w2"],
    ]
    assert (
        "w1 on web-1 took 150 ms for io / read, 3.0 times the median of 4 workers: "
        "a pass takes it 3.0 times as long" in lines
    )
    assert (
        "w2 on web-0 took 100 ms for io / parse, 2.0 times the median of 4 workers: "
        "it has 2.0 times as many passes" in lines
    )


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_report_fits_its_width(width: int) -> None:
    """Columns go, names are cut; of many, the rest is counted."""
    many = gathered(*(worker(n, {f"block {n} of many names": (5, 6)}) for n in range(30)))
    text = report(many, width=width, limit=3)
    assert max(map(len, text.splitlines())) <= width
    assert "… and 27 more workers" in text


def test_a_table_of_blocks_names_the_slowest_workers_below() -> None:
    """Three of them; of one process, nothing."""
    text = report(uneven(), print_results)
    assert "Slow: w1 on web-1 took 150 ms for io / read" in text
    many = {f"b{n}": (10 * MS,) for n in range(6)}
    slow = {f"b{n}": (90 * MS,) for n in range(6)}
    text = report(gathered(worker(0, many), worker(1, slow), worker(2, many)), print_results)
    assert text.count("Slow: ") == 3
    assert "(and 3 more)" in " ".join(text.split())
    assert "Slow" not in report(worker(0, many), print_results)
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    print_results(uneven(), file=ascii_only)


def test_the_page_has_what_each_worker_had_of_each_block() -> None:
    """The most uneven first; of one process, nothing; of very many workers, some that stand for all."""
    results = uneven()
    shown = contents(results, source=False)
    assert [one["worker"] for one in shown["processes"]] == ["w0", "w2", "w1", "w3"]
    names = [shown["blocks"]["name"][one["block"]] for one in shown["skews"]]
    read = shown["skews"][0]
    assert (names, read["usual"], read["slow"], read["workers"]) == (
        ["read", "parse"],
        [50 * MS, 5, 10 * MS],
        True,
        4,
    )
    assert read["parts"][0] == [2, 150 * MS, 5, 30 * MS]
    assert len(shown["slow"]) == 2
    alone = contents(worker(0, {"a": (5,)}), source=False)
    assert (alone["skews"], alone["slow"]) == ([], [])
    many = contents(gathered(*(worker(n, {"a": (n + 1,)}) for n in range(500))), source=False)
    times = [part[1] for part in many["skews"][0]["parts"]]
    assert (len(times), times[0], times[-1]) == (200, 500, 1)
    assert many["skews"][0]["workers"] == 500


def test_workers_that_have_only_numbers_are_called_workers() -> None:
    """As Dask numbers them."""
    numbered = worker(0, {"a": (5,)})
    numbered.processes[0].worker = "7"
    text = report(gathered(numbered, worker(1, {"a": (6,)})))
    assert "worker 7" in text


def test_what_happened_on_threads_since_a_snapshot() -> None:
    """Those that ended and share a line now, too."""
    before = worker(1, {"a": (5,)}, {"a": (7,), "b": (1,)}, {"a": (9,)})
    after = worker(1, {"a": (5, 6)}, {"a": (7,), "b": (1,)}, {"a": (9, 7, 8), "b": (4,)})
    after.threads[2].key = 0  # thread 3 of before has ended since
    after.threads[2].name = "ended threads"
    change = difference(after, before, threads=True)
    assert {
        (one.key, each.name): each.hit_count
        for one in change.threads
        for each in one.tracks[0].blocks
        if each.hit_count
    } == {(1, "a"): 1, (0, "a"): 2, (0, "b"): 1}
    assert [one.total_time_ns for one in change.threads] == [6, 7 + 8 + 4]
    assert difference(after, before).threads == []


@pytest.mark.integration
def test_the_command_prints_workers(tmp_path: Path) -> None:
    """`report -f workers`, from a saved file; what is not of two workers has no skew."""
    uneven().save(tmp_path / "many.json")
    done = stichotrope("report", "many.json", "-f", "workers", "--limit", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "io / read" in done.stdout
    assert "… and 3 more workers" in done.stdout
    worker(1, {"a": (5,)}).save(tmp_path / "one.json")
    done = stichotrope("report", "one.json", "-f", "workers", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Median" not in done.stdout
