"""The call tree on the console: its shape, its figures, and how it fits."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len

from handmade import block, node, root, sample, single, troubled
from stichotrope.report import print_tree
from stichotrope.results import CallNode, ProfilerResults

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no variable of the machine that runs the tests decide on colours or widths."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def tree(results: object, **options: Any) -> list[str]:
    """The lines of the tree, without what stands around it."""
    stream = io.StringIO()
    print_tree(results, file=stream, **options)
    _, _, below = stream.getvalue().partition("Block")
    return ("Block" + below).split("\n\n")[0].splitlines()


def names(lines: list[str]) -> list[str]:
    """What stands in front of the figures: the place in the tree, and the name."""
    return [line.split("  ")[0] if line[0] not in "│ " else line.rstrip() for line in lines[2:]]


def nested() -> ProfilerResults:
    """Results of a tree of three levels."""
    outer = block("outer", (1000,), self_ns=100)
    loads = block("load", (200, 100), idx=1, line=20)
    parse = block("parse", (500, 100), idx=2, line=30, self_ns=400)
    token = block("token", (50,) * 4, idx=3, line=40)
    found = single(outer, loads, parse, token)
    found.tree = root(node(outer, node(loads), node(parse, node(token))))
    found.total_time_ns = 1000
    return found


def test_each_path_has_a_line_with_its_figures():
    """Each node has hits, total, self time and share of its path, below what led to it."""
    assert tree(nested(), width=80) == [
        "Block        Hits  Per parent    Total    Self    Share",
        "─" * 74,
        "outer           1              1.00 µs  100 ns  100.0 %  /srv/app/io.py:10",
        "├─ parse        2           2   600 ns  400 ns   60.0 %  /srv/app/io.py:30",
        "│  └─ token     4           2   200 ns  200 ns   20.0 %  /srv/app/io.py:40",
        "└─ load         2           2   300 ns  300 ns   30.0 %  /srv/app/io.py:20",
    ]


def test_how_often_a_path_is_passed_for_each_pass_around_it_is_told_where_it_says_something():
    """A query in a loop is seen at a glance; where everything is passed once, the column is not there."""
    page = block("page", (1000,) * 4)
    query = block("query", (10,) * 240, idx=1)
    check = block("check", (10,) * 4, idx=2)
    found = single(page, query, check)
    found.tree = root(node(page, node(query), node(check)))
    heading, _, *rows = tree(found, width=70)
    assert heading.split()[:4] == ["Block", "Hits", "Per", "parent"]
    assert [row.split()[:4] for row in rows[1:]] == [
        ["├─", "query", "240", "60"],
        ["└─", "check", "4", "1"],
    ]
    found.tree = root(node(page, node(check)))
    assert "Per parent" not in tree(found)[0]


def test_a_path_tells_what_is_open_and_how_passes_ended():
    """The columns are those of the table, and are there where they say something."""
    assert tree(troubled()) == [
        "Block      Hits  Per parent  Open  Errors  Cancelled  At a time   Total    Self    Share",
        "─" * 107,
        "serve         0                 1                                900 ns  500 ns  100.0 %"
        "  /srv/app/io.py:10",
        "└─ handle     4           4     1       2          1       ≥2.5  400 ns  400 ns   44.4 %"
        "  /srv/app/io.py:20",
    ]
    heading = tree(troubled(), width=50)[0].split()
    assert heading == ["Block", "Hits", "Open", "Errors", "Total", "Share"]


@pytest.mark.parametrize("sort", ["open", "errors", "cancelled", "concurrency"])
def test_paths_are_sorted_by_what_is_open_and_how_passes_ended(sort):
    """Most first."""
    much = block("much", (5,) * 9, total_ns=5, now_open=3, errors=4, cancelled=4)
    found = single(block("plain", (900,), idx=1), much)
    assert names(tree(found, sort=sort)) == ["much", "plain"]
    assert names(tree(found)) == ["plain", "much"]


def test_the_mean_of_a_path_counts_overlapping_passes():
    """Sorted by it, ten passes of 50 ns at once come before one of 40 ns."""
    found = single(block("one", (40,)), block("ten", (50,) * 10, total_ns=60, idx=1))
    assert names(tree(found, sort="mean")) == ["ten", "one"]
    for node_ in found.tree.children:  # as loaded from a format that had no sums
        node_.sum_time_ns = 0
    assert names(tree(found, sort="mean")) == ["one", "ten"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("total", ["parse", "load"]),
        ("self", ["parse", "load"]),
        ("hits", ["load", "parse"]),  # as many: in the order of the tree
        ("mean", ["parse", "load"]),
        ("max", ["parse", "load"]),
        ("name", ["load", "parse"]),
    ],
)
def test_what_is_below_a_block_is_sorted(sort, expected):
    """The blocks below one are in the order that was asked for."""
    lines = tree(nested(), width=80, sort=sort)
    order = [name for line in lines for name in ("load", "parse") if f"─ {name} " in line]
    assert order == expected


def test_a_limit_hides_the_least_below_each_block():
    """With a limit, a line below each block says how many more there are."""
    lines = tree(nested(), width=80, limit=1)
    assert [line.split("  ")[0] for line in lines[2:4]] == ["outer", "├─ parse"]
    assert lines[4].startswith("│  └─ token")
    assert lines[5] == "└─ … and 1 more"


def test_the_tree_stands_between_title_and_footer():
    """Around the tree stand the same title and footer as around the table."""
    stream = io.StringIO()
    print_tree(sample(), file=stream, width=100)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [
        "census",
        "1.00 ms in blocks · 6 hits · 2 threads · CPython 3.13.0 · process 4711",
    ]
    assert lines[-2].startswith("clock tsc, resolution 0.50 ns · recording took about 32 ns")
    assert lines[-1] == "≈ less than 5 times that: mostly the recording"
    marked = [line.split("  ")[0] for line in lines if "  ≈" in line]
    assert marked == ["└─ decode µ"]  # as in the table


def test_results_without_a_tree_say_how_to_mark_blocks():
    """Where nothing was recorded, it says what to do, and shows no empty tree."""
    stream = io.StringIO()
    print_tree(ProfilerResults("empty"), file=stream)
    assert "Nothing was recorded yet" in stream.getvalue()
    assert "Hits" not in stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_page(width):
    """However deep and long the names are, no line is wider than asked, and names stay visible."""
    deepest = CallNode("leaf-" + "名" * 40, 0, 0, "/srv/app/" + "x" * 90 + ".py", 7, 1, 10, 10)
    for depth in range(200):
        deepest = CallNode(f"level{depth}", 0, 0, "/a.py", 1, 1, 10, 0, [deepest])
    found = ProfilerResults("deep", {}, 10, root(deepest))
    lines = tree(found, width=width)
    assert len(lines) == 203
    assert max(map(cell_len, lines)) <= width
    assert all(f"level{depth}" in lines[201 - depth] for depth in range(200))
    assert "└─ " in lines[100]


def test_a_very_deep_and_a_very_wide_tree_are_printed():
    """Neither depth nor width of a tree is limited by recursion."""
    deepest = CallNode("leaf", 0, 0, "", 0, 1, 1, 1)
    for _ in range(5000):
        deepest = CallNode("level", 0, 0, "", 0, 1, 1, 0, [deepest])
    wide = [CallNode(f"n{place}", 0, 0, "", 0, 1, 1, 1) for place in range(5000)]
    assert len(tree(ProfilerResults("both", {}, 1, root(deepest, *wide)))) == 2 + 5001 + 5000


def test_names_cannot_drive_the_terminal():
    """Line breaks and control characters in names are shown escaped."""
    found = ProfilerResults("odd", {}, 1, root(CallNode("a\x1b[2J\nb", 0, 0, "", 0, 1, 1, 1)))
    lines = tree(found)
    assert lines[2].startswith("a\\x1b[2J\\nb")


def test_a_stream_without_line_drawing_gets_plain_characters():
    """On a stream that knows ASCII only, the tree is drawn with ASCII."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_tree(nested(), file=stream, width=80)
    stream.flush()
    text = raw.getvalue().decode("ascii")
    assert "|- parse" in text
    assert "|  `- token" in text
    assert "`- load" in text


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"sort": "size"}, ValueError, "sort must be one of total, self, .*, not 'size'"),
        ({"limit": 0}, ValueError, "limit must be 1 or more, not 0"),
        ({"width": 10}, ValueError, "width must be 40 or more, not 10"),
        ({"color": 1}, TypeError, "color must be True, False or None, not 1"),
        ({"file": 1}, TypeError, "file must be a text stream, not 1"),
    ],
)
def test_a_wrong_option_is_refused(options, error, sentence):
    """An option of a wrong type or value is refused as by the table."""
    with pytest.raises(error, match=sentence):
        print_tree(sample(), **options)
    with pytest.raises(TypeError, match="expected a Profiler or its ProfilerResults, not 1"):
        print_tree(1)
