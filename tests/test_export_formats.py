"""Results for other viewers: speedscope, collapsed stacks, pstats, pprof."""

from __future__ import annotations

import gzip
import io
import json
import marshal
import pstats
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock
from handmade import block, node, root, sample, single, thread
from pprof import Profile
from stichotrope import (
    Profiler,
    __version__,
    export_collapsed,
    export_pprof,
    export_pstats,
    export_speedscope,
)
from stichotrope.export import collapsed, speedscope
from stichotrope.export import pstats as pstats_export
from stichotrope.results import CallNode, ProcessResults, ProfilerResults, ProfileTrack

pytestmark = pytest.mark.unit


def overlapping() -> ProfilerResults:
    """Results of a block in which two tasks ran at once: its self time is below 0."""
    task = block("task", (300, 300))
    outer = block("outer", (400,), idx=1, self_ns=-200)
    results = single(task, outer)
    results.tree = root(node(outer, node(task)))
    return results


# Collapsed stacks


def test_collapsed_has_a_line_for_each_path() -> None:
    """The blocks from the outermost on, and the self time in nanoseconds."""
    assert collapsed.render(sample()) == "read 350\nread;decode µ 250\nparse 1000000\n"


def test_collapsed_of_nothing_is_nothing() -> None:
    """Not even a line."""
    assert collapsed.render(ProfilerResults("empty")) == ""


def test_collapsed_leaves_out_what_has_no_self_time() -> None:
    """Nested blocks that overlapped leave less than none to the block around them."""
    assert collapsed.render(overlapping()) == "outer;task 600\n"


def test_collapsed_tells_blocks_of_one_name_apart() -> None:
    """By file and line, and those alone."""
    results = single(
        block("read", (1,)), block("read", (2,), idx=1, line=20), block("x", (3,), idx=2)
    )
    assert collapsed.render(results) == (
        "read (/srv/app/io.py:10) 1\nread (/srv/app/io.py:20) 2\nx 3\n"
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a;b", "a:b"),
        ("two\nlines", "two\\nlines"),
        ("lone \udc80", "lone \\udc80"),
        ("ends in 12", "ends in 12"),
        ("読む", "読む"),
    ],
)
def test_collapsed_keeps_names_from_breaking_a_line(name: str, written: str) -> None:
    """Each line is a stack, a space and a number, whatever the blocks are called."""
    inner = block(name, (5,))
    results = single(inner)
    results.tree = root(node(inner, node(inner)))
    assert collapsed.render(results) == f"{written} 5\n{written};{written} 5\n"


def test_collapsed_adds_up_paths_that_are_written_alike() -> None:
    """Such as those of two tracks with one name on one line."""
    results = single(block("a", (1,)), block("a", (2,), track=1))
    assert collapsed.render(results) == "a (/srv/app/io.py:10) 3\n"


# speedscope


def test_speedscope_has_a_profile_of_all_and_one_of_each_thread() -> None:
    """Of sampled stacks whose weights are self times in nanoseconds."""
    document = json.loads(speedscope.render(sample()))
    assert document == {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": f"stichotrope@{__version__}",
        "name": "census",
        "activeProfileIndex": 0,
        "shared": {
            "frames": [
                {"name": "read", "file": "/srv/app/io.py", "line": 10},
                {"name": "decode µ", "file": "/srv/app/io.py", "line": 20},
                {"name": "parse", "file": "/srv/app/parse.py", "line": 5},
            ]
        },
        "profiles": [
            profile("census", [[0], [0, 1], [2]], [350, 250, 1_000_000]),
            profile("MainThread (1)", [[0], [0, 1]], [350, 250]),
            profile("pool_0 (2)", [[2]], [1_000_000]),
        ],
    }


def profile(name: str, samples: list[list[int]], weights: list[int]) -> dict[str, Any]:
    """A profile as it is expected."""
    return {
        "type": "sampled",
        "name": name,
        "unit": "nanoseconds",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }


def test_speedscope_of_one_thread_has_one_profile() -> None:
    """Its profile would be that of all."""
    results = single(block("a", (5,)), threads=[thread(1, block("a", (5,)))])
    assert len(json.loads(speedscope.render(results))["profiles"]) == 1


def test_speedscope_weights_are_never_negative() -> None:
    """A viewer has no room for less than nothing."""
    (found,) = json.loads(speedscope.render(overlapping()))["profiles"]
    assert (found["weights"], found["endValue"]) == ([600], 600)


def test_speedscope_names_the_process_of_a_thread() -> None:
    """Where there are several, in which threads may have the same name."""
    threads = [thread(key, block("a", (5,))) for key in (1, 2)]
    processes = [ProcessResults("", 70), ProcessResults("", 80)]
    threads[0].process, threads[1].process = processes
    whole = single(block("a", (5, 5)))
    results = ProfilerResults(
        "two", whole.tracks, 10, whole.tree, threads=threads, processes=processes
    )
    names = [one["name"] for one in json.loads(speedscope.render(results))["profiles"]]
    assert names == ["two", "worker (1) of process 70", "worker (2) of process 80"]


def test_speedscope_escapes_what_cannot_be_shown() -> None:
    """And a frame without a file has neither file nor line."""
    results = single(block("a\n\udc80", (5,)))
    results.tree.children.append(CallNode("(other paths)", -1, -1, self_time_ns=1))
    assert json.loads(speedscope.render(results))["shared"]["frames"] == [
        {"name": "a\\n\\udc80", "file": "/srv/app/io.py", "line": 10},
        {"name": "(other paths)"},
    ]


# pstats


def stats_of(results: ProfilerResults, path: Path) -> tuple[pstats.Stats, io.StringIO]:
    """What the standard library's reader makes of results, and what it prints to."""
    export_pstats(results, path)
    said = io.StringIO()
    return pstats.Stats(str(path), stream=said), said


IO, PARSE = "/srv/app/io.py", "/srv/app/parse.py"


def test_pstats_has_calls_times_and_callers() -> None:
    """In the shape that cProfile dumps: calls, own and cumulative seconds, and who called."""
    stats = marshal.loads(pstats_export.render(sample()))
    assert stats == {
        (IO, 10, "read"): (3, 3, pytest.approx(350e-9), pytest.approx(600e-9), {}),
        (IO, 20, "decode µ"): (
            *(2, 2, pytest.approx(250e-9), pytest.approx(250e-9)),
            {(IO, 10, "read"): (2, 2, pytest.approx(250e-9), pytest.approx(250e-9))},
        ),
        (PARSE, 5, "parse"): (1, 1, pytest.approx(1e-3), pytest.approx(1e-3), {}),
        (PARSE, 9, "never"): (0, 0, 0.0, 0.0, {}),
    }


def test_pstats_opens_the_file_and_prints_every_table(tmp_path: Path) -> None:
    """Sorted, stripped, with callers and callees."""
    stats, said = stats_of(sample(), tmp_path / "out.pstats")
    assert (stats.total_calls, stats.prim_calls) == (6, 6)  # type: ignore[attr-defined]
    assert stats.total_tt == pytest.approx(1_000_600e-9)  # type: ignore[attr-defined]
    stats.strip_dirs().sort_stats("cumulative").print_stats().print_callers().print_callees()
    text = said.getvalue()
    assert re.search(r"1    0\.001    0\.001    0\.001    0\.001 parse\.py:5\(parse\)", text)
    assert re.search(r"io\.py:20\(decode µ\) +<- +2 +0\.000 +0\.000 +io\.py:10\(read\)", text)
    assert re.search(r"io\.py:10\(read\) +-> +2 +0\.000 +0\.000 +io\.py:20\(decode µ\)", text)


def test_pstats_files_can_be_added_up(tmp_path: Path) -> None:
    """As those of several runs of cProfile can."""
    export_pstats(sample(), tmp_path / "second")
    stats, _ = stats_of(sample(), tmp_path / "first")
    stats.add(str(tmp_path / "second"))
    assert stats.total_calls == 12  # type: ignore[attr-defined]


def test_pstats_of_a_recursion_counts_its_time_once(tmp_path: Path, clock: Any) -> None:
    """Cumulative time is that in which the block was open, own time that less nested blocks."""
    profiler = Profiler("recursive")

    @profiler.track(0)
    def down(depth: int) -> None:
        clock.advance(1_000_000_000)
        if depth:
            down(depth - 1)

    down(3)
    stats, _ = stats_of(profiler.get_results(), tmp_path / "out")
    ((function, found),) = stats.stats.items()  # type: ignore[attr-defined]
    assert function[2].endswith("down")
    assert found == (4, 4, 4.0, 4.0, {})


def test_pstats_adds_up_blocks_of_one_name_on_one_line() -> None:
    """For pstats, they are one function."""
    results = single(block("a", (1_000_000_000,)), block("a", (2_000_000_000,), track=1))
    assert marshal.loads(pstats_export.render(results)) == {(IO, 10, "a"): (2, 2, 3.0, 3.0, {})}


def test_pstats_lists_paths_beyond_the_limit(tmp_path: Path) -> None:
    """As cProfile lists what is in no file."""
    inner = block("a", (1_000_000_000,))
    results = single(inner)
    results.tree = root(CallNode("(other paths)", -1, -1, children=[node(inner)]))
    stats, said = stats_of(results, tmp_path / "out")
    stats.print_callees()
    assert re.search(
        r"\(other paths\) +-> +1 +1\.000 +1\.000 +/srv/app/io\.py:10\(a\)", said.getvalue()
    )


def test_pstats_prints_whatever_a_block_is_called(tmp_path: Path) -> None:
    """On any terminal: what cannot be shown is escaped."""
    stats, said = stats_of(single(block("\x1b[31m\udc80", (1,))), tmp_path / "out")
    stats.print_stats()
    assert "(\\x1b[31m\\udc80)" in said.getvalue()


def test_pstats_of_no_blocks_is_refused(tmp_path: Path) -> None:
    """pstats refuses to open such a file, and does not say why."""
    with pytest.raises(ValueError, match="results of 'empty' have no blocks, and pstats cannot"):
        export_pstats(ProfilerResults("empty", {0: ProfileTrack(0, "a")}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# Writing them

EXPORTS: dict[str, Callable[[Any, Any], None]] = {
    "speedscope": export_speedscope,
    "collapsed": export_collapsed,
    "pstats": export_pstats,
    "pprof": export_pprof,
}


@pytest.mark.parametrize("name", EXPORTS)
def test_a_profiler_exports_itself(clock: ManualClock, tmp_path: Path, name: str) -> None:
    """By the method of the same name."""
    profiler = Profiler("own")
    with profiler.block(0, "here"):
        clock.advance(1000)
    profiler.stop()
    EXPORTS[name](profiler, tmp_path / "function")
    getattr(profiler, f"export_{name}")(tmp_path / "method")
    written = [(tmp_path / kind).read_bytes() for kind in ("function", "method")]
    if name == "pprof":  # which says for how long the profiler has been there
        assert Profile(written[0]).samples() == Profile(written[1]).samples()
        written = [gzip.decompress(data) for data in written]
    else:
        assert written[0] == written[1]
    assert b"here" in written[0]


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize(
    ("results", "path", "message"),
    [
        (3, "out", "expected a Profiler or its ProfilerResults, not 3"),
        (sample(), None, "a path must be a str or a pathlib.Path, not None"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    results: Any,
    path: Any,
    message: str,
) -> None:
    """With a sentence that says what was given and what is expected."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=re.escape(message)):
        EXPORTS[name](results, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", EXPORTS)
def test_a_target_that_cannot_be_written_is_reported(tmp_path: Path, name: str) -> None:
    """By its path, and what was there stays."""
    with pytest.raises(OSError, match="No such file or directory") as caught:
        EXPORTS[name](sample(), tmp_path / "missing" / "out")
    assert caught.value.filename == str(tmp_path / "missing" / "out")
