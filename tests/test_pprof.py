"""Results as a pprof file, read by the published schema and by ``go tool pprof``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from handmade import block, node, root, sample, single, troubled
from pprof import Profile
from stichotrope import export_pprof
from stichotrope.export import pprof
from stichotrope.results import CallNode, ProcessorTime, ProfilerResults

pytestmark = pytest.mark.unit


def of(results: ProfilerResults) -> Profile:
    """The file of results, read."""
    return Profile(pprof.render(results))


def test_a_sample_is_a_path_in_a_thread() -> None:
    """With its passes, its total and its self time, and whose they are."""
    main = {"thread": "MainThread", "thread_key": 1, "pid": 4711}
    pool = {"thread": "pool_0", "thread_key": 2, "pid": 4711}
    assert of(sample()).types() == [
        ("hits", "count"),
        ("errors", "count"),
        ("cancelled", "count"),
        ("open", "count"),
        ("total", "nanoseconds"),
        ("self", "nanoseconds"),
    ]
    assert of(sample()).samples() == [
        ("read", (3, 0, 0, 0, 600, 350), main),
        ("read;decode µ", (2, 0, 0, 0, 250, 250), main),
        ("parse", (1, 0, 0, 0, 1_000_000, 1_000_000), pool),
    ]


def test_a_sample_tells_what_is_open_and_how_passes_ended() -> None:
    """Also where no pass has ended."""
    assert [(path, values) for path, values, _ in of(troubled()).samples()] == [
        ("serve", (0, 0, 0, 1, 900, 500)),
        ("serve;handle", (4, 2, 1, 1, 400, 400)),
    ]


def test_processor_time_has_a_type_where_it_was_taken() -> None:
    """Each path's own; what took none has 0."""
    results = troubled()
    (serve,) = results.tree.children
    serve.cpu = ProcessorTime(1, 300, 300, 900, 300, 300)
    profile = of(results)
    assert profile.types()[0] == ("cpu", "nanoseconds")
    assert [(path, values[0]) for path, values, _ in profile.samples()] == [
        ("serve", 300),
        ("serve;handle", 0),
    ]


def test_self_times_add_up_to_the_total() -> None:
    """What a reader calls cumulative is our total, when it looks at the default type."""
    profile = of(sample())
    assert profile.texts[profile.message.default_sample_type] == "self"
    below = [values[-1] for path, values, _ in profile.samples() if path.startswith("read")]
    assert sum(below) == sample().tracks[0].blocks[0].total_time_ns


def test_blocks_have_file_and_line() -> None:
    """Each is one location and one function."""
    profile = of(sample())
    assert [profile.frame(one.id) for one in profile.message.location] == [
        ("read", "/srv/app/io.py", 10),
        ("decode µ", "/srv/app/io.py", 20),
        ("parse", "/srv/app/parse.py", 5),
    ]


def test_without_threads_it_is_the_tree_of_all() -> None:
    """And nothing is said of a thread."""
    results = sample()
    whole = ProfilerResults("a", results.tracks, results.total_time_ns, results.tree)
    assert [labels for *_, labels in of(whole).samples()] == [{}, {}, {}]


def test_when_it_was_recorded_is_in_it() -> None:
    """Begin and duration; what is no such number is left out."""
    results = sample()
    results.metadata.update(start_ns=1_700_000_000_000_000_000, duration_ns=5_000)
    message = of(results).message
    assert (message.time_nanos, message.duration_nanos) == (1_700_000_000_000_000_000, 5_000)
    results.metadata.update(start_ns="yesterday", duration_ns=2**70)
    message = of(results).message
    assert (message.time_nanos, message.duration_nanos) == (0, 0)


def test_blocks_of_one_name_are_told_apart() -> None:
    """By file and line: pprof would take them for one function."""
    results = single(block("read", (1,)), block("read", (2,), idx=1, line=20))
    assert [path for path, *_ in of(results).samples()] == [
        "read (/srv/app/io.py:10)",
        "read (/srv/app/io.py:20)",
    ]


def test_overlapping_blocks_leave_no_less_than_nothing() -> None:
    """A self time below 0 counts as none."""
    outer = block("outer", (400,), self_ns=-200)
    results = single(outer)
    results.tree = root(node(outer))
    assert of(results).samples() == [("outer", (1, 0, 0, 0, 400, 0), {})]


def test_names_and_numbers_of_any_kind_survive() -> None:
    """Escaped where a text cannot hold them; numbers up to 64 bits."""
    name = "a;b \udc80 読む \x1b"
    (found,) = of(single(block(name, (2**62,)))).samples()
    assert found == ("a;b \\udc80 読む \\x1b", (1, 0, 0, 0, 2**62, 2**62), {})


def test_a_deep_tree_is_written() -> None:
    """Deeper than Python's recursion limit."""
    tree = CallNode.root()
    inner = tree
    for depth in range(1500):
        child = CallNode(f"block {depth}", 0, depth, "a.py", depth, 1, 10, 1)
        inner.children.append(child)
        inner = child
    paths = [path for path, *_ in of(ProfilerResults("deep", tree=tree)).samples()]
    assert len(paths) == 1500
    assert paths[-1].count(";") == 1499


def test_of_nothing_there_is_a_profile_without_samples() -> None:
    """Which a reader opens."""
    assert of(ProfilerResults("empty")).samples() == []


def test_a_figure_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    """And nothing is written."""
    with pytest.raises(ValueError, match="pprof holds numbers of 64 bits, and one of the results"):
        export_pprof(single(block("long", (2**63,))), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_same_results_are_the_same_file() -> None:
    """Byte by byte."""
    assert pprof.render(sample()) == pprof.render(sample())


@pytest.mark.slow
def test_go_tool_pprof_shows_the_same_figures(tmp_path: Path) -> None:
    """Flat is the self time, cum the total; hits, and a thread by its label."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs go: apt-get install golang-go")
    target = tmp_path / "sample.pb.gz"
    export_pprof(sample(), target)

    def shown(*options: str) -> dict[str, tuple[str, str]]:
        done = subprocess.run(
            [go, "tool", "pprof", "-top", "-nodefraction=0", *options, str(target)],
            capture_output=True,
            text=True,
            timeout=120,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "GOCACHE": str(tmp_path / "go")},
        )
        assert done.returncode == 0, done.stderr
        lines = [line.split(None, 5) for line in done.stdout.splitlines() if "%" in line]
        return {
            words[5]: (words[0], words[3])
            for words in lines
            if len(words) == 6 and words[1].endswith("%")
        }

    assert shown("-unit=ns") == {
        "parse": ("1000000ns", "1000000ns"),
        "read": ("350ns", "600ns"),
        "decode µ": ("250ns", "250ns"),
    }
    hits = shown("-sample_index=hits")
    assert {name: flat for name, (flat, _) in hits.items()} == {
        "read": "3",
        "decode µ": "2",
        "parse": "1",
    }
    assert set(shown("-tagfocus=thread=pool_0")) == {"parse"}
