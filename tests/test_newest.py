"""Results merged: snapshots of one recording count once, whoever merges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clihelp import stichotrope
from conftest import hits
from stichotrope import Profiler, ProfilerResults
from stichotrope.results.newest import newest, stretches_of
from stichotrope.results.select import selected

pytestmark = pytest.mark.unit


def snapshots(passes: int = 3) -> list[ProfilerResults]:
    """A profiler's results after each of some passes."""
    p = Profiler("app")
    found = []
    for _ in range(passes):
        with p.block("io", "read"):
            pass
        found.append(p.get_results())
    return found


@given(st.permutations([0, 1, 2, 2, 0]), st.integers(1, 4))
def test_a_cumulative_snapshot_that_is_given_again_counts_once(order: list[int], cut: int) -> None:
    """In any order, and in groups."""
    taken = snapshots()
    parts = [taken[number] for number in order]
    assert hits(parts[0].merge(*parts[1:])) == {"read": 3}
    left, right = parts[:cut], parts[cut:]
    grouped = left[0].merge(*left[1:]).merge(right[0].merge(*right[1:]))
    assert hits(grouped) == {"read": 3}
    assert "warnings" not in grouped.metadata or not grouped.metadata["warnings"]


def test_what_was_recorded_after_a_clear_counts_besides() -> None:
    """It is another recording."""
    p = Profiler("app")
    taken = []
    for _ in range(2):
        with p.block("io", "read"):
            pass
        taken.append(p.get_results())
        p.clear()
    assert hits(taken[0].merge(taken[1])) == {"read": 2}


def test_deltas_of_one_recording_add_up() -> None:
    """And are part of a snapshot of the whole."""
    p = Profiler("app")
    deltas = []
    for _ in range(3):
        with p.block("io", "read"):
            pass
        deltas.append(p.snapshot_delta("mine"))
    assert hits(deltas[0].merge(*deltas[1:])) == {"read": 3}
    assert hits(deltas[2].merge(p.get_results(), deltas[0])) == {"read": 3}


def test_parts_of_one_snapshot_are_no_snapshots_of_each_other() -> None:
    """Threads, tracks and blocks that were chosen stay what they are, however they are merged."""
    p = Profiler("app")
    with p.block("io", "read"), p.block("cpu", "parse"):
        pass
    whole = p.get_results()
    (key,) = [one.key for one in whole.threads]
    assert hits(p.get_results(thread=key).merge(p.get_results(thread=key))) == {
        "read": 1,
        "parse": 1,
    }
    first, second = selected(whole, ["io"], [], []), selected(whole, ["cpu"], [], [])
    assert hits(first.merge(second)) == {"read": 1, "parse": 1}
    assert hits(first.merge(second, first)) == {"read": 1, "parse": 1}
    merged = first.merge(second)
    assert hits(merged.merge(first)) == {"read": 1, "parse": 1}
    by_thread = selected(selected(whole, [], [], [str(key)]), ["io"], [], [])
    assert hits(by_thread.merge(first)) == {"read": 2}


def test_what_is_part_of_several_merged_results_is_named() -> None:
    """No part of them can be taken away."""
    p, q, r = (snapshots(1)[0] for _ in range(3))
    both = p.merge(q).merge(q.merge(r))
    assert hits(both) == {"read": 4}
    assert both.metadata["warnings"] == [
        "1 recording is in several of the results that were merged, none of which holds all of "
        "the others: some passes count more than once"
    ]
    assert hits(p.merge(q, r).merge(q.merge(r), p)) == {"read": 3}


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"instance": "i"},
        {"instance": "i", "recording": "1-0", "start_ns": True, "duration_ns": 1},
        {"instance": "", "recording": "1-0", "start_ns": 0, "duration_ns": 1},
        {"merged": [{"instance": "i", "recording": "1-0", "start_ns": 0, "duration_ns": 1}, 7]},
    ],
)
def test_what_does_not_say_whose_recording_it_is_counts(metadata: dict[str, Any]) -> None:
    """Always, as what was made by hand does."""
    assert stretches_of(metadata) == []
    parts = [ProfilerResults("x", metadata=metadata)] * 2
    assert newest(parts) == (parts, [])


@pytest.mark.integration
def test_files_and_directories_given_to_the_command_count_once(tmp_path: Path) -> None:
    """A copy, an older snapshot, and the same file again; `load_all` too."""
    older, newer = snapshots(2)
    folder = tmp_path / "gathered"
    folder.mkdir()
    older.save(folder / "a.stichotrope.json")
    newer.save(folder / "b.stichotrope.json")
    newer.save(tmp_path / "copy.json")
    assert hits(ProfilerResults.load_all(folder)) == {"read": 2}
    target = tmp_path / "all.json"
    for files in (["copy.json", "gathered", "gathered"], ["all.json", "copy.json"]):
        done = stichotrope("report", *files, "-o", str(target), cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert hits(ProfilerResults.load(target)) == {"read": 2}
