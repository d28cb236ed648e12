"""The HTML report: one file, well formed, with all figures in it, and no way in for what a program names."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from array import array
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock
from handmade import block, node, root, sample, single, thread, troubled
from stichotrope import Profiler, export_html
from stichotrope.report import _page, html
from stichotrope.report._source import excerpts
from stichotrope.results import (
    OVERHEAD_FACTOR,
    CallNode,
    ProcessorTime,
    ProcessResults,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
    is_mostly_overhead,
)

pytestmark = pytest.mark.unit

PAGES = {"page.html", "history.html"}  # what is filled in, beside what is put in
VOID = {"meta", "input", "col"}
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>&lt;b&gt;'\"",
    "$data ${policy} $$",
    "line\u2028and\u2029paragraph",
    "nul\0 bell\a new\nline",
    "right-to-left \u202eexe.py",
    "lone \udc80 surrogate",
    "読む µ 🙂",
]


class Page(HTMLParser):
    """A page, read: its elements in order, each with its attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute of {tag} stands there twice"
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open.pop()][0] == tag, f"{tag} is closed out of order"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.elements[self.open[-1]][2].append(data)

    def all(self, tag: str, **wanted: str) -> list[tuple[dict[str, str | None], str]]:
        """Attributes and text of each element of a kind."""
        return [
            (attributes, "".join(text))
            for name, attributes, text in self.elements
            if name == tag and wanted.items() <= attributes.items()
        ]

    @property
    def data(self) -> Any:
        """What the page's script is given."""
        ((_, text),) = self.all("script", id="data")
        return json.loads(text)


def page_of(results: ProfilerResults, **options: Any) -> Page:
    """The page of results, read."""
    return Page(html.render(results, **options))


def everything(page: Page, key: str) -> list[Any]:
    """One column of the figures of everybody."""
    column: list[Any] = page.data["scopes"][0]["rows"][key]
    return column


# The page


@pytest.mark.parametrize("results", [sample(), ProfilerResults("empty")], ids=["sample", "empty"])
def test_the_page_is_well_formed(results: ProfilerResults) -> None:
    """Every element is closed in order, no id is there twice, and what refers to an id finds it."""
    page = page_of(results)
    assert page.open == []
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [
        value
        for _, attributes, _ in page.elements
        for name in ("aria-controls", "aria-labelledby", "aria-describedby", "for")
        if (value := attributes.get(name)) is not None
    ]
    assert set(wanted) - {"details-name"} <= set(ids)
    assert page.all("html", lang="en")
    assert page.all("meta", charset="utf-8")


def test_every_element_that_the_script_looks_up_is_there() -> None:
    """An id in the script is that of an element of the page, or of one that the script makes."""
    text = html.render(sample())
    script = text.rpartition("<script>")[2]
    asked = set(re.findall(r'byId\("([\w-]+)"\)', script))
    assert len(asked) > 20
    assert {name for name in asked if f'id="{name}"' not in text} == set()


def test_the_page_needs_no_network() -> None:
    """Nothing in it refers to anything outside."""
    page = page_of(sample())
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {e[0] for e in page.elements}
    for _, attributes, _ in page.elements:
        assert not {"src", "href", "srcset", "style", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    ((_, style),) = page.all("style")
    assert not re.search(r"url\(|@import|@font-face", style)


def test_the_policy_allows_the_own_style_and_script_only() -> None:
    """By their hashes; everything else, the network included, is forbidden."""
    page = page_of(sample())
    (meta,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    policy = dict(part.split(" ", 1) for part in str(meta[0]["content"]).split("; "))
    ((_, style),) = page.all("style")
    scripts = [text for attributes, text in page.all("script") if "type" not in attributes]

    def quoted(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert policy == {
        "default-src": "'none'",
        "style-src": quoted(style),
        "script-src": " ".join(map(quoted, scripts)),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert len(scripts) == 1
    order = [name for name, _, _ in page.elements]
    assert page.elements[order.index("style") - 1][0] == "title"
    assert order.index("meta") < order.index("style")


def test_the_script_makes_no_markup_out_of_texts() -> None:
    """It has none of the calls that parse a text as markup or as a script."""
    for name, text in parts().items():
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
            r"|createContextualFragment|srcdoc|setHTML|javascript:|\bimport\b|\bfetch\b",
            text,
        )
        assert not (found and name.endswith(".js")), name
        assert not re.search(r"</script|<!--|</style", text) or name in PAGES


def parts() -> dict[str, str]:
    """The files that the page is made of."""
    folder = files("stichotrope.report") / "page"
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_the_page_is_made_of_all_its_parts() -> None:
    """Every file of the folder is in the page, or is another page; there are no others."""
    names = {"page.css", *(f"{name}.js" for name in html._SCRIPTS)}
    assert set(parts()) == names | PAGES | {"history.css"}
    text = html.render(sample())
    assert all(part in text for name, part in parts().items() if name in names)


def test_line_ends_of_windows_change_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser reads a carriage return and line feed as a line feed, before it takes the hash."""
    expected = html.render(sample())
    read_text = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda *args, **more: read_text(*args, **more).replace("\n", "\r\n")
    )
    assert html.render(sample()) == expected


# The data


def test_the_page_holds_every_figure() -> None:
    """What is in the results is in the data, block for block."""
    results, page = sample(), page_of(sample())
    blocks = [item for track in results.tracks.values() for item in track.blocks]
    data = page.data
    assert data["name"] == "census"
    assert data["blocks"]["name"] == [item.name for item in blocks]
    assert data["blocks"]["line"] == [item.line for item in blocks]
    assert data["blocks"]["track"] == [item.track_idx for item in blocks]
    names = [data["files"][place]["name"] for place in data["blocks"]["file"]]
    assert names == [item.file for item in blocks]
    assert everything(page, "block") == [0, 1, 2, 3]
    for key, attribute in {
        "hits": "hit_count",
        "total": "total_time_ns",
        "self": "self_time_ns",
        "mean": "avg_time_ns",
        "min": "min_time_ns",
        "max": "max_time_ns",
    }.items():
        assert everything(page, key) == [getattr(item, attribute) for item in blocks], key
    for q in (50, 95, 99):
        assert everything(page, f"p{q}") == [item.percentile(q) for item in blocks]
    assert everything(page, "stddev") == [round(item.stddev_time_ns, 3) for item in blocks]
    assert data["tracks"] == [
        {"idx": 0, "name": "I/O", "enabled": True},
        {"idx": 1, "name": "parsing", "enabled": False},
    ]
    assert data["scopes"][0]["tracks"] == [[0, 5, 600], [1, 1, 1_000_000]]


def test_the_page_holds_the_call_tree() -> None:
    """As rows, each with the place of its parent."""
    tree = page_of(sample()).data["scopes"][0]["tree"]
    assert tree == {
        "parent": [-1, 0, -1],
        "block": [0, 1, 2],
        "hits": [3, 2, 1],
        "total": [600, 250, 1_000_000],
        "self": [350, 250, 1_000_000],
        "mean": [200.0, 125.0, 1_000_000.0],
    }


def test_the_page_tells_what_is_open_and_how_passes_ended() -> None:
    """Of blocks, paths, threads and processes; a block that is open and has no hits is one of a thread's."""
    data = page_of(troubled()).data
    everybody = data["scopes"][0]
    assert data["nothing"] is None
    assert data["columns"] == ["open", "errors", "cancelled", "concurrency"]
    for figures in (everybody["rows"], everybody["tree"]):
        assert figures["hits"] == [0, 4]
        assert figures["open"] == [1, 1]
        assert figures["errors"] == [0, 2]
        assert figures["cancelled"] == [0, 1]
        assert figures["concurrency"] == [1.0, 2.5]
    assert everybody["tree"]["mean"] == [0.0, 250.0]
    assert data["scopes"][1]["rows"]["block"] == [0, 1]
    (main,) = (one for one in data["threads"] if one["name"] == "MainThread")
    for share in (main, data["processes"][0]):
        assert [share[key] for key in ("hits", "open", "errors", "cancelled")] == [4, 2, 2, 1]
    assert data["facts"][1:5] == [["Hits", "4"], ["Open", "2"], ["Errors", "2"], ["Cancelled", "1"]]


def test_a_plain_program_has_no_columns_more() -> None:
    """Neither in the table nor in the tree."""
    data = page_of(sample()).data
    assert data["columns"] == []
    for figures in (data["scopes"][0]["rows"], data["scopes"][0]["tree"]):
        assert not {"open", "errors", "cancelled", "concurrency"} & set(figures)


def test_sums_that_are_not_known_are_not_taken_for_means() -> None:
    """Results of format 1 have none on a path: its mean is then of the total."""
    results = sample()
    for step, _ in results.tree.walk():
        step.sum_time_ns = 0
    assert page_of(results).data["scopes"][0]["tree"]["mean"] == [200.0, 125.0, 1_000_000.0]


def test_each_thread_has_figures_of_its_own() -> None:
    """The busiest first, and the list of threads says whose are where."""
    data = page_of(sample()).data
    assert [(one["name"], one["scope"], one["alive"]) for one in data["threads"]] == [
        ("MainThread", 2, True),
        ("pool_0", 1, False),
    ]
    assert data["scopes"][1]["rows"]["block"] == [2]  # without what it never hit
    assert data["scopes"][2]["rows"]["hits"] == [3, 2]
    assert data["leftOut"] == 0


def test_threads_that_are_many_of_a_kind_have_figures_together() -> None:
    """Those whose names differ in numbers only; a handful stay by themselves."""
    read = block("a", (5,))
    threads = [thread(1 + i, read, name=f"Thread-{i} (serve)") for i in range(9)]
    threads += [thread(10 + i, read, name=f"pool-{i}") for i in range(8)]
    data = page_of(single(block("a", (5,) * 17), threads=threads)).data
    (kind,) = data["kinds"]
    assert (kind["name"], kind["threads"]) == ("Thread-# (serve)", list(range(9)))
    assert data["scopes"][kind["scope"]]["rows"]["hits"] == [9]
    assert [one["kind"] for one in data["threads"]] == [0] * 9 + [None] * 8


def test_the_only_thread_shares_everybodys_figures() -> None:
    """They are written once."""
    data = page_of(single(block("a", (5,)), threads=[thread(1, block("a", (5,)))])).data
    assert len(data["scopes"]) == 1
    assert data["threads"][0]["scope"] == 0


def test_each_process_has_the_figures_of_its_threads_together() -> None:
    """Those of a process with one thread are that thread's."""
    processes = [
        ProcessResults("here", pid, start_ns=1_700_000_000 * 10**9, total_time_ns=ns)
        for pid, ns in ((7, 10), (8, 500))
    ]
    threads = [
        thread(1, block("a", (5,))),
        thread(2, block("a", (5,))),
        thread(3, block("a", (500,))),
    ]
    for one, process in zip(threads, (processes[0], processes[0], processes[1]), strict=True):
        one.process = process
    results = ProfilerResults(
        "two",
        {0: ProfileTrack(0, "t", True, [block("a", (5, 5, 500))], 510)},
        510,
        threads=threads,
        processes=processes,
    )
    data = page_of(results).data
    first, second = data["processes"]
    assert (first["pid"], first["start"]) == (7, "2023-11-14 22:13:20 UTC")
    assert data["scopes"][first["scope"]]["rows"]["hits"] == [2]
    assert data["scopes"][first["scope"]]["total"] == 10
    assert second["scope"] == data["threads"][2]["scope"]
    assert [one["process"] for one in data["threads"]] == [0, 0, 1]


def test_a_histogram_is_in_buckets_of_a_sixteenth_of_an_octave() -> None:
    """Each is a place among all buckets, and how many passes fell into it."""
    page = page_of(single(block("a", (3, 1024, 1030, 1090))))
    (found,) = everything(page, "histogram")
    buckets = page.data["buckets"]
    pairs = zip(found[::2], found[1::2], strict=True)
    assert [(buckets[place], count) for place, count in pairs] == [
        ([3, 4], 1),
        ([1024, 1088], 2),
        ([1088, 1152], 1),
    ]


def test_facts_of_the_run_are_told() -> None:
    """Clock, Python, when, how long, what recording cost, and warnings."""
    results = sample()
    results.metadata.update(
        start_ns=1_700_000_000 * 10**9, duration_ns=2_500_000_000, warnings=["3 passes <lost>"]
    )
    data = page_of(results).data
    assert data["facts"] == [
        ["In blocks", "1.00 ms"],
        ["Hits", "6"],
        ["Threads", "2"],
        ["Recorded for", "2.50 s"],
        ["Hits a second", "2.4"],
        ["", "recorded from 2023-11-14 22:13:20 UTC"],
        ["", "CPython 3.13.0"],
        ["", "process 4711"],
        ["", "clock tsc, resolution 0.50 ns"],
        ["", "recording took about 32 ns per pass, 192 ns in all"],
    ]
    assert data["warnings"] == ["3 passes <lost>"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"start_ns": 10**40, "duration_ns": -1, "warnings": "none", "clock": 3},
        {"start_ns": True, "duration_ns": "long", "overhead_ns_per_pass": [], "process": []},
        {"start_ns": -5, "duration_ns": None, "warnings": [None, {"a": 1}], "merged": 3},
    ],
)
def test_metadata_of_an_unknown_shape_is_left_out(metadata: dict[str, Any]) -> None:
    """A later version, or another program, may have written it."""
    data = page_of(ProfilerResults("odd", metadata=metadata)).data
    assert [name for name, _ in data["facts"]][:3] == ["In blocks", "Hits", "Threads"]
    assert not [text for _, text in data["facts"] if "recorded from" in text]


def test_results_without_passes_say_how_to_get_some() -> None:
    """The page shows the sentence and the example of the console's report."""
    assert (
        'with profiler.block(0, "parse"):'
        in page_of(ProfilerResults("empty")).data["nothing"]["example"]
    )
    assert page_of(sample()).data["nothing"] is None


# Marks


@pytest.mark.parametrize(
    ("mean", "cost", "expected"),
    [
        (159, 32.0, True),
        (160, 32.0, False),
        (5, 0, False),
        (5, "32", False),
        (5, True, False),
        (5, None, False),
    ],
)
def test_a_mean_within_a_few_times_of_the_cost_is_mostly_overhead(
    mean: int, cost: object, expected: bool
) -> None:
    """Less than five times the measured cost per pass; without a measured cost, none is."""
    assert OVERHEAD_FACTOR == 5
    assert is_mostly_overhead(block("a", (mean,)), {"overhead_ns_per_pass": cost}) is expected


def test_waiting_that_is_unsure_is_marked() -> None:
    """Of blocks and of paths, where there is a column of it."""
    assert "unsure" not in page_of(sample()).data["scopes"][0]["rows"]
    results = sample()
    short, long = (ProcessorTime(1, 5, 5, ns, 5, 5) for ns in (1999, 2000))
    first, second = results.tree.children[:2]
    first.cpu, second.cpu = short, long
    blocks = [one for track in results.tracks.values() for one in track.blocks]
    blocks[0].cpu, blocks[1].cpu = short, long
    results.metadata["cpu"] = {"overhead_ns_per_pass": 100}
    page = page_of(results)
    assert everything(page, "unsure")[:3] == [1, 0, 0]
    assert sum(page.data["scopes"][0]["tree"]["unsure"]) == 1


def test_blocks_of_mostly_overhead_are_marked() -> None:
    """And those that were never hit are not."""
    assert everything(page_of(sample()), "overhead") == [0, 1, 0, 0]


# What a program names


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_its_place_in_the_data(name: str) -> None:
    """Whatever a block, track, thread, file, profiler or process is called, the page stays the same."""
    plain, hostile = (page_of(named(text)) for text in ("plain", name))
    assert [(tag, sorted(found)) for tag, found, _ in plain.elements] == [
        (tag, sorted(found)) for tag, found, _ in hostile.elements
    ]
    assert plain.all("script")[1] == hostile.all("script")[1]
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name
    )
    data = hostile.data
    assert data["blocks"]["name"] == [shown]
    assert data["name"] == data["tracks"][0]["name"] == data["threads"][0]["name"] == shown
    assert data["processes"][0]["host"] == shown
    assert data["files"][0]["name"] == shown
    assert data["warnings"] == [shown]
    assert hostile.all("title")[0][1] == shown


def named(name: str) -> ProfilerResults:
    """Results in which everything has the same name."""
    only = block(name, (500,), file=name)
    host = ProcessResults(name, 1)
    return ProfilerResults(
        name,
        {0: ProfileTrack(0, name, True, [only], 500)},
        500,
        root(node(only)),
        threads=[thread(1, only, name=name)],
        metadata={"warnings": [name]},
        processes=[host],
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_the_data_has_no_character_that_could_end_it(name: str) -> None:
    """Not one that HTML knows, and only ASCII."""
    text = html.render(named(name))
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert data.isascii()
    assert not set("<>&") & set(data)


# Source


PROGRAM = """import os


@track
def work():
    first()

    if second():
        third()


def other(
    argument,
):
    with block:
\t\tfourth()
    rest()
last()
"""


def test_an_excerpt_has_the_definition_that_begins_at_a_line(tmp_path: Path) -> None:
    """A few lines before, and all that is indented deeper; blank lines in between count."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    (found,) = excerpts([(str(path), line) for line in (4, 12, 15)], 10_000).values()
    assert found.ranges == {4: (1, 9), 12: (9, 17), 15: (12, 16)}
    assert found.lines[4] == "@track"
    assert found.lines[16] == "        fourth()"
    assert set(found.lines) == set(range(1, 18))
    assert found.modified_ns == path.stat().st_mtime_ns


def test_an_excerpt_ends_after_a_few_lines() -> None:
    """However long the function is."""
    lines = range(1, 100)
    path = Path(__file__).resolve()
    assert len(path.read_text(encoding="utf-8").splitlines()) > 100
    for line, (first, last) in next(
        iter(excerpts([(str(path), n) for n in lines], 10**6).values())
    ).ranges.items():
        assert max(1, line - 3) == first
        assert line <= last <= line + 24


def test_source_stands_beside_the_block(tmp_path: Path) -> None:
    """By file and line; without it when it is not wanted."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.replace("first", "</script>"))
    results = single(block("work", (1,), file=str(path), line=4))
    data = page_of(results).data
    assert data["blocks"]["excerpt"] == [[1, 9]]
    assert data["files"][0]["lines"]["6"] == "    </script>()"
    without = page_of(results, source=False).data
    assert without["blocks"]["excerpt"] == [None]
    assert without["files"] == [{"name": str(path)}]


@pytest.mark.parametrize(("end", "changed"), [(10**15, True), (10**19, False), (None, False)])
def test_a_file_written_after_the_recording_is_marked(
    tmp_path: Path, end: int | None, changed: bool
) -> None:
    """Its lines may have moved."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    results = single(block("work", (1,), file=str(path), line=4))
    if end is not None:
        results.metadata.update(start_ns=end - 5, duration_ns=5)
    assert page_of(results).data["files"][0]["changed"] is changed


@pytest.mark.parametrize("line", [0, 19, 10**9])
def test_a_line_that_is_not_in_the_file_has_no_source(tmp_path: Path, line: int) -> None:
    """The file may have been shorter when it was recorded."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    assert excerpts([(str(path), line)], 10_000) == {}


def test_only_python_sources_are_read(tmp_path: Path) -> None:
    """Results from elsewhere may name any file of this machine."""
    texts = {"secret": "password\n", "broken.py": "\0\xff", "encoded.py": "# coding: nonsense\n"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "script").write_text("#!/usr/bin/env python3\nwork()\n")
    names = [*texts, "folder.py", "missing.py", "script", "nul\0.py"]
    found = excerpts([(str(tmp_path / name), 1) for name in names], 10_000)
    assert [Path(name).name for name in found] == ["script"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Even when its name is that of a source file."""
    os.mkfifo(tmp_path / "pipe.py")
    assert excerpts([(str(tmp_path / "pipe.py"), 1)], 10_000) == {}


def test_source_stays_within_its_room(tmp_path: Path) -> None:
    """The most wanted come first; a line is cut, and a file that is too large is not read."""
    paths = [tmp_path / name for name in ("a.py", "b.py", "large.py")]
    paths[0].write_text("x" * 5000)
    paths[1].write_text("y" * 50)
    paths[2].write_text("z" * (5 << 20))
    places = [(str(path), 1) for path in paths]
    assert list(excerpts(places, 10_000)) == [str(paths[0]), str(paths[1])]
    assert len(excerpts(places, 10_000)[str(paths[0])].lines[1]) == 240
    assert list(excerpts(places, 250)) == [str(paths[0])]


def test_code_that_was_typed_in_has_its_source_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the notebook or shell keeps it where tracebacks look."""
    import linecache

    monkeypatch.setitem(linecache.cache, "<cell 1>", (10, None, ["a = 1\n", "b = 2\n"], "<cell 1>"))
    (found,) = excerpts([("<cell 1>", 2), ("<cell 2>", 1)], 10_000).values()
    assert found.lines == {1: "a = 1", 2: "b = 2"}


# Size


def test_threads_beyond_the_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The busiest get theirs, each thread is listed, and the figures of everybody are whole."""
    monkeypatch.setattr(_page, "MAX_ROWS", 2)
    threads = [thread(key, block("a", (key,))) for key in (1, 2, 3)]
    data = page_of(single(block("a", (1, 2, 3)), threads=threads)).data
    assert [one["scope"] for one in data["threads"]] == [None, 2, 1]
    assert data["leftOut"] == 1
    assert data["scopes"][0]["rows"]["hits"] == [3]


def test_of_a_large_tree_the_heaviest_nodes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with all that it is nested in, and how many are left out is told."""
    monkeypatch.setattr(_page, "MAX_TREE", 3)
    light, heavy = block("light", (20,), idx=1), block("heavy", (90,), idx=2)
    above, deep = block("above", (100,), idx=3, self_ns=0), block("deep", (95,), idx=4, self_ns=5)
    results = single(light, heavy, above, deep)
    results.tree = root(node(light), node(above, node(deep, node(heavy))))
    scope = page_of(results).data["scopes"][0]
    assert scope["leftOut"] == 1
    assert scope["tree"]["block"] == [2, 3, 1]  # above, deep, heavy
    assert scope["tree"]["parent"] == [-1, 0, 1]


def test_a_deep_tree_is_no_matter_of_recursion() -> None:
    """Trees may be deeper than Python's recursion limit."""
    deep = block("deep", (1,))
    tree = node(deep)
    for _ in range(5000):
        tree = node(deep, tree)
    results = single(deep)
    results.tree = root(tree)
    assert page_of(results).data["scopes"][0]["tree"]["parent"] == list(range(-1, 5000))


def test_paths_of_no_block_are_shown_with_their_name() -> None:
    """What a thread recorded beyond its limit of nodes."""
    results = single(block("a", (5,)))
    results.tree.children.append(
        CallNode("(other paths)", -1, -1, children=[node(block("a", (7,)))])
    )
    data = page_of(results).data
    assert data["scopes"][0]["tree"]["block"] == [0, 1, 0]
    assert data["blocks"]["name"] == ["a", "(other paths)"]
    assert data["scopes"][0]["rows"]["block"] == [0]


# Exporting


def test_export_writes_the_page(tmp_path: Path) -> None:
    """The very text that is rendered."""
    export_html(sample(), tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == html.render(sample())


def test_a_profiler_exports_itself(tmp_path: Path) -> None:
    """With the source of this very test, unless it is left out."""
    profiler = Profiler("own")
    with profiler.block(0, "here"):
        pass
    profiler.export_html(tmp_path / "with.html")
    profiler.export_html(tmp_path / "without.html", source=False)
    pages = [
        Page((tmp_path / f"{name}.html").read_text(encoding="utf-8"))
        for name in ("with", "without")
    ]
    assert [page.data["blocks"]["name"] for page in pages] == [["here"], ["here"]]
    place = str(pages[0].data["blocks"]["line"][0])
    assert pages[0].data["files"][0]["lines"][place] == '    with profiler.block(0, "here"):'
    assert "lines" not in pages[1].data["files"][0]


@pytest.mark.parametrize(
    ("results", "path", "options", "message"),
    [
        ("nothing", "page.html", {}, "expected a Profiler or its ProfilerResults, not 'nothing'"),
        (sample(), 3, {}, "a path must be a str or a pathlib.Path, not 3"),
        (sample(), "page.html", {"source": "no"}, "source must be True or False, not 'no'"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    results: Any,
    path: Any,
    options: dict[str, Any],
    message: str,
) -> None:
    """With a sentence that says what was given and what is expected."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=re.escape(message)):
        export_html(results, path, **options)
    assert list(tmp_path.iterdir()) == []


def test_threads_without_a_name_for_their_process_belong_to_none() -> None:
    """As in results merged from files of older versions."""
    processes = [ProcessResults("", pid) for pid in (1, 2)]
    share = ThreadResults(
        1, 1, "loose", False, {0: ProfileTrack(0, "t", True, [block("a", (1,))], 1)}, 1
    )
    results = ProfilerResults("merged", share.tracks, 1, threads=[share], processes=processes)
    data = page_of(results).data
    assert data["threads"][0]["process"] is None
    assert [one["scope"] for one in data["processes"]] == [None, None]


# The timeline


def written(p: Profiler, folder: Path) -> dict[str, Any]:
    """What the page of a profiler holds."""
    p.export_html(folder / "x.html")
    data: dict[str, Any] = Page((folder / "x.html").read_text("utf-8")).data
    return data


def test_a_timeline_is_on_the_page(tmp_path: Path, clock: ManualClock) -> None:
    """Its columns as bytes, its blocks by their places; of a profiler that keeps one by itself."""
    p = Profiler("timed", timeline=128)
    with p.block("web", "request"):
        clock.advance(2)
        with p.block("db", "<b>"):
            clock.advance(5)
    found = written(p, tmp_path)["timeline"]

    def column(name: str, kind: str) -> list[Any]:
        return list(array(kind, base64.b64decode(found[name])))

    assert (column("starts", "d"), column("durations", "d")) == ([0.0, 2.0], [7.0, 5.0])
    assert (column("depths", "I"), column("lanes", "I")) == ([0, 1], [0, 0])
    names = [found["blockList"][place]["name"] for place in column("blocks", "I")]
    assert names == ["request", "<b>"]
    assert sorted(one["block"] for one in found["blockList"]) == [0, 1]
    assert found["laneList"] == [{"thread": 0, "kind": "thread", "number": 1}]
    assert (found["leftOut"], found["tags"]) == (0, [])


def test_of_a_long_timeline_the_newest_passes_are_shown(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And how many are left out."""
    monkeypatch.setattr("stichotrope.report._timeline.MAX_PASSES", 10)
    p = Profiler("timed", timeline=128)
    for _ in range(25):
        with p.block(0, "x"):
            clock.advance(3)
    found = written(p, tmp_path)["timeline"]
    assert found["leftOut"] == 15
    assert len(base64.b64decode(found["starts"])) == 10 * 8


def test_what_is_no_timeline_is_refused(tmp_path: Path) -> None:
    """With a sentence, before anything is written."""
    with pytest.raises(
        TypeError, match="timeline must be a Timeline, a list of them or None, not 3"
    ):
        export_html(ProfilerResults("x"), tmp_path / "x.html", timeline=3)  # type: ignore[arg-type]
    assert not (tmp_path / "x.html").exists()
