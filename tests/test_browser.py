"""The HTML report in Chromium, as people use it, and the speedscope export in speedscope: make browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handmade import block, node, root, sample, single, thread, troubled
from stichotrope import Profiler, export_html, export_speedscope, format_time_ns
from stichotrope._text.format import (
    format_percent,
    format_rate,
    format_ratio,
    format_throughput,
    printable,
)
from stichotrope.report import html
from stichotrope.results import CallNode, ProfileBlock, ProfilerResults, ProfileTrack
from test_html import HOSTILE, named
from test_workers import uneven

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.html import chromium, ten_thousand_blocks  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.integration]

SPEEDSCOPE = Path(
    os.environ.get("STICHOTROPE_SPEEDSCOPE", ROOT / "build" / "speedscope" / "package")
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser of its own, without a window."""
    from playwright.sync_api import sync_playwright

    # Not skipped where Chromium is missing: who asks for these tests wants them run.
    path = chromium()
    with sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield window
        window.close()


class Report:
    """A page that is open, and what it complained about."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("dialog", self._refuse)
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def texts(self, selector: str) -> list[str]:
        """The visible text of each element."""
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def names(self, table: str = "blocks") -> list[str]:
        """The first cell of each row of a table."""
        return [
            text.strip() for text in self.page.locator(f"#{table} tbody th").all_text_contents()
        ]

    def rows(self, table: str = "blocks") -> list[str]:
        """The cells of each row of a table, separated by spaces."""
        rows = self.page.locator(f"#{table} tbody tr:not(.space)").all()
        return [" ".join(row.locator("th, td").all_text_contents()) for row in rows]

    def pressed(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def active(self, table: str) -> str:
        """The text of the row or box that the keys are at."""
        place = self.page.get_attribute(f"#{table}", "aria-activedescendant")
        assert place, f"nothing is active in {table}"
        return str(self.page.locator(f"#{place}").text_content()).strip()

    @property
    def focused(self) -> str:
        """The id of the element with the focus."""
        return str(self.page.evaluate("document.activeElement.id"))


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """Open the report of some results; whatever it complains about fails the test."""
    found: list[tuple[Any, Report]] = []

    def open_report(
        results: ProfilerResults | Profiler, view: str = "blocks", **options: Any
    ) -> Report:
        path = tmp_path / f"{len(found)}.html"
        export_html(results, path)
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(10_000)
        report = Report(context.new_page(), path)
        if view != "blocks":
            report.page.click(f"#tab-{view}")
        found.append((context, report))
        return report

    yield open_report
    for context, report in found:
        context.close()
        assert report.complaints == []
        assert [url for url in report.requests if not url.startswith("file:")] == []


def family() -> ProfilerResults:
    """Blocks a, b and c in two tracks, c in b in a and in a, by two threads."""
    a = block("app.a", (700, 300), self_ns=100, file=__file__, line=3)
    b, c = block("app.b", (600,), idx=1, self_ns=200, track=1), block("app.c", (400, 300), idx=2)
    in_b, in_a = block("app.c", (400,), idx=2), block("app.c", (300,), idx=2)
    tree = root(node(a, node(b, node(in_b)), node(in_a)))
    tracks = {
        0: ProfileTrack(0, "main", True, [a, c], 1000),
        1: ProfileTrack(1, "db", True, [b], 600),
    }
    threads = [thread(1, a, b, c, name="first"), thread(2, block("app.c", (50,)), name="second")]
    return ProfilerResults("family", tracks, 1000, tree, threads, {"overhead_ns_per_pass": 2.0})


# Figures and names


def test_figures_read_as_in_python(opened):
    """The page's own formatting agrees with Python's, ties, limits and units included."""
    rng = random.Random(1)
    times: list[float] = [
        0,
        1,
        999,
        1000,
        1125,
        1135,
        1375,
        9994,
        9995,
        9996,
        99949,
        99950,
        100500,
        101500,
    ]
    times += [999499, 999500, 999501, 59_949_999_999, 59_950_000_000, 3_599_499_999_999]
    times += [3_599_500_000_000, 10**15, 0.5, 0.125, 12.25, 12.75, 999.4, 999.5, -5, -1500]
    times += [rng.randrange(10 ** rng.randrange(1, 16)) for _ in range(3000)]
    times += [rng.randrange(1, 10**6) / 8 for _ in range(500)]
    shares = [(rng.randrange(1000), rng.choice([0, 1000, 997, 16])) for _ in range(500)]
    page = opened(sample()).page
    script = (
        f"(given) => {{ {html._asset('format.js')} return "
        "[given.times.map(time), given.shares.map((one) => percent(...one)), "
        "given.shares.map((one) => ratio(...one)), "
        "given.rates.map(throughput), given.rates.map(rate)]; }"
    )
    rates = [0.5, 1, 12.34, 99.94, 99.95, 999.4, 999.5, 1230.5, *(rng.random() * 10**9,) * 9]
    rates += [rng.randrange(1, 10**12) for _ in range(500)]
    shown = page.evaluate(script, {"times": times, "shares": shares, "rates": rates})
    assert shown[0] == [format_time_ns(ns) for ns in times]
    assert shown[1] == [format_percent(*share) for share in shares]
    assert shown[2] == [format_ratio(*share) if share[1] else "" for share in shares]
    assert shown[3] == [format_throughput(one) for one in rates]
    assert shown[4] == [format_rate(one, 1e9) for one in rates]  # type: ignore[arg-type]


def test_the_table_has_the_figures_of_every_block(opened):
    """As the console's report has them; what was never hit is shown when asked for."""
    report = opened(sample())
    head = ["Block", "Track", "Total", "Share", "Self", "Hits", "Mean", "p50", "p95", "p99"]
    head += ["Min", "Max", "Where"]
    assert [text.split(" ")[0] for text in report.texts("#blocks thead th")] == head
    assert report.rows() == [
        "parse  1 parsing 1.00 ms 99.9 % 1.00 ms 1 1.00 ms 1.00 ms 1.00 ms 1.00 ms 1.00 ms 1.00 ms parse.py:5",
        "read  0 I/O 600 ns 0.1 % 350 ns 3 200 ns 200 ns 300 ns 300 ns 100 ns 300 ns io.py:10",
        "decode µ≈  0 I/O 250 ns <0.1 % 250 ns 2 125 ns 50 ns 200 ns 200 ns 50 ns 200 ns io.py:20",
    ]
    assert report.texts("#blocks-count") == ["3 of 4 blocks"]
    report.page.check("#unhit")
    assert report.names()[-1] == "never"
    assert report.texts("#name") == ["census"]
    assert report.page.title() == "census"
    assert report.texts("#tracks button") == [
        "0 I/O 600 ns 0.1 % 5 hits",
        "1 parsing (off) 1.00 ms 99.9 % 1 hit",
    ]


def test_open_passes_and_how_they_ended_have_columns(opened):
    """In the table, the tree, the details, the flame graph and the threads, where they say something."""
    report = opened(troubled())
    head = ["Block", "Track", "Total", "Share", "Self", "Hits", "Open", "Errors"]
    assert [text.split(" ")[0] for text in report.texts("#blocks thead th")][:8] == head
    assert report.rows() == [
        "serve  0 web 900 ns 100.0 % 500 ns 0 1          io.py:10",
        "handle  0 web 400 ns 44.4 % 400 ns 4 1 2 1 ≥2.5 250 ns 200 ns 400 ns 400 ns 100 ns 400 ns io.py:20",
    ]
    assert report.texts("#blocks-count") == ["2 blocks"]
    report.page.click("#blocks thead >> text=Errors")
    assert report.names() == ["handle", "serve"]
    report.page.click("#blocks tbody th >> text=serve")
    assert report.texts("#details dt") == ["Hits", "Open", "Total", "Self"]
    report.page.click("#blocks tbody th >> text=handle")
    assert report.texts("#details dt")[:5] == ["Hits", "Open", "Errors", "Cancelled", "At a time"]
    report.page.click("#tab-tree")
    assert report.rows("tree") == [
        "▾serve 900 ns 100.0 %  500 ns 0  1     io.py:10",
        "handle 400 ns 44.4 % 44.4 % 400 ns 4 4 1 2 1 ≥2.5 250 ns io.py:20",
    ]
    report.page.click("#tab-flame")
    label = str(report.page.locator(".box").nth(2).get_attribute("aria-label"))
    assert label.endswith(", 4 hits, 1 open, 2 errors, 1 cancelled, ≥2.5 at a time")
    report.page.click("#tab-threads")
    assert report.rows("threads")[0].startswith("MainThread 900 ns 100.0 % 4 2 2 1 ")
    assert report.rows("threads")[1].startswith("idle 0 ns 0.0 % 0    ")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_never_more_than_text(opened, name):
    """No script runs, no element appears, and it reads as it is; in every view and in the details."""
    report = opened(named(name))
    page = report.page
    shown = printable(name)
    assert page.locator("#name").text_content() == shown
    assert page.locator("#blocks tbody th").text_content() == shown
    page.locator("#blocks tbody th").click()
    assert page.locator("#details-name").text_content() == shown
    page.click("#tab-tree")
    assert str(page.locator("#tree tbody th").text_content()) == shown
    page.click("#tab-flame")
    assert str(page.locator(".box").nth(1).get_attribute("aria-label")).startswith(
        f"{shown}: total 500 ns"
    )
    page.locator(".box").nth(1).click()
    assert page.locator("#flame-path").text_content() == shown
    page.click("#tab-threads")
    assert page.locator("#threads tbody th").text_content() == shown
    assert page.locator("img, b, iframe, style + style").count() == 0
    assert page.locator("script").count() == 2


def test_the_policy_holds(browser, tmp_path):
    """A script that somebody managed to put into the page would not run, nor would it reach anything."""
    export_html(sample(), tmp_path / "page.html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    refused = page.evaluate(
        """async () => {
            const refused = [];
            addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
            try { document.body.innerHTML = "<p>"; } catch (error) { refused.push(error.name); }
            const script = document.createElement("script");
            try { script.text = "window.ran = true"; } catch (error) { refused.push(error.name); }
            script.append("window.ran = true");
            document.body.append(script);
            const button = document.createElement("button");
            try { button.setAttribute("onclick", "window.ran = true"); } catch (error) { refused.push(error.name); }
            button.click();
            const image = new Image();
            image.src = "http://127.0.0.1:9/x.png";
            try { await fetch("http://127.0.0.1:9/"); } catch (error) { refused.push(error.name); }
            await new Promise((done) => setTimeout(done, 50));
            return [refused, window.ran === undefined];
        }"""
    )
    page.close()
    assert refused[1], "the script ran"
    assert {"TypeError", "connect-src", "img-src"} <= set(refused[0])


# The table


def test_a_heading_sorts_and_the_other_way_when_pressed_again(opened):
    """Numbers the largest first, names in order; the heading says so."""
    report = opened(family())
    assert report.names() == ["app.a", "app.c", "app.b"]
    report.page.click("#blocks thead >> text=Self")
    assert report.names() == ["app.c", "app.b", "app.a"]
    assert report.page.get_attribute("#blocks th[aria-sort]", "aria-sort") == "descending"
    report.page.click("#blocks thead >> text=Block")
    assert report.names() == ["app.a", "app.b", "app.c"]
    report.page.keyboard.press("Enter")
    assert report.names() == ["app.c", "app.b", "app.a"]
    assert report.texts("#blocks th[aria-sort]") == ["Block"]


def test_the_filter_finds_names_and_files(opened):
    """Every word has to occur; the slash key goes there."""
    report = opened(family())
    report.pressed("/")
    assert report.focused == "filter"
    report.page.keyboard.type("APP io.py")
    assert report.names() == ["app.c", "app.b"]
    assert report.texts("#blocks-count") == ["2 of 3 blocks"]
    report.page.fill("#filter", "app .b")
    assert report.names() == ["app.b"]
    report.page.fill("#filter", "nothing such")
    assert report.names() == []


def test_a_track_shows_its_blocks_only(opened):
    """Until it is pressed again."""
    report = opened(family())
    report.page.click("#tracks >> text=db")
    assert report.names() == ["app.b"]
    assert report.page.get_attribute("#tracks button >> nth=1", "aria-pressed") == "true"
    report.pressed("Enter")
    assert report.names() == ["app.a", "app.c", "app.b"]


def test_the_table_is_used_by_keys(opened):
    """Arrows, Home and End go from row to row, Enter shows the block, Escape closes it."""
    report = opened(family())
    report.page.focus("#filter")
    for _ in range(20):
        report.pressed("Tab")
        if report.focused == "blocks":
            break
    assert report.focused == "blocks"
    assert report.active("blocks").startswith("app.a")
    report.pressed("ArrowDown", "ArrowDown", "ArrowDown")
    assert report.active("blocks").startswith("app.b")
    report.pressed("Home", "End", "ArrowUp")
    assert report.active("blocks").startswith("app.c")
    report.pressed("Enter")
    assert report.focused == "details"
    assert report.texts("#details-name") == ["app.c"]
    report.pressed("Escape")
    assert (report.focused, report.page.is_visible("#details")) == ("blocks", False)


def test_ten_thousand_blocks_are_a_table_of_few_rows(opened):
    """Only the rows in sight are in the document, wherever one scrolls, and each is there."""
    report = opened(ten_thousand_blocks(random.Random(1)))
    page = report.page
    assert report.texts("#blocks-count") == ["10,000 blocks"]
    assert page.get_attribute("#blocks", "aria-rowcount") == "10001"
    page.focus("#blocks")
    for key, place in (("End", "10001"), ("PageUp", None), ("Home", "2")):
        report.pressed(key)
        active = page.get_attribute("#blocks", "aria-activedescendant")
        row = page.locator(f"#{active}")
        assert place is None or row.get_attribute("aria-rowindex") == place
        box, room = row.bounding_box(), page.locator("#blocks-scroller").bounding_box()
        assert box
        assert room
        assert room["y"] <= box["y"]
        assert box["y"] + box["height"] <= room["y"] + room["height"] + 1
        assert page.locator("#blocks tbody tr").count() < 100
    page.click("#tab-tree")
    page.click("#tree-all")
    assert page.get_attribute("#tree", "aria-rowcount") == "10001"
    assert page.locator("#tree tbody tr").count() < 100
    page.click("#tab-flame")
    assert 100 < page.locator(".box").count() < 5000


# Details


def test_a_block_shows_its_figures_histogram_neighbours_and_source(opened):
    """And a press on a neighbour goes there."""
    report = opened(family())
    report.page.click("#blocks >> text=app.a")
    details = report.texts("#details")[0]
    for text in (
        "Hits 2",
        "Total 1.00 µs, 100.0 %",
        "Mean 500 ns ± 200 ns",
        "Inside of its 1.00 µs no other block 1.00 µs 100.0 %",
        "of its 1.00 µs app.b 600 ns 60.0 %",
    ):
        assert text in details
    assert "By thread of its 1.00 µs first (1)" in details
    assert report.page.get_attribute("#details svg", "aria-label") == (
        "Histogram of 2 passes, from 300 ns to 700 ns, half of them up to 300 ns"
    )
    assert report.page.locator("#details svg rect").count() == 2
    assert report.page.locator("#details .source .here").inner_text().strip() == (
        "3 from __future__ import annotations"
    )
    report.page.click("#details button >> text=app.b")
    assert report.texts("#details-name") == ["app.b"]
    assert "Inside of its 600 ns app.a 600 ns 100.0 %" in report.texts("#details")[0]


def test_a_histogram_has_every_pass(opened):
    """The bars' titles add up to the hits, for any spread: of one pass, of zeros, of ten decades."""
    spreads = {
        "one": (5,),
        "zeros": (0, 0, 1, 2),
        "wide": tuple(7**power for power in range(12)),
        "narrow": tuple(range(1000, 1064)),
    }
    blocks = [block(name, spread, idx=i) for i, (name, spread) in enumerate(spreads.items())]
    report = opened(single(*blocks))
    for name, spread in spreads.items():
        report.page.locator("#blocks tbody th", has_text=name).click()
        titles = report.page.locator("#details svg title").all_text_contents()
        assert sum(int(title.rpartition(": ")[2]) for title in titles) == len(spread), name
        assert len(titles) <= 2 * 56
        for place in report.page.locator("#details svg rect").all():
            x, width = (float(place.get_attribute(key) or "nan") for key in ("x", "width"))
            assert x > -0.01
            assert x + width < 380.01
            assert float(place.get_attribute("height") or "nan") > 0


def test_a_block_of_mostly_overhead_is_marked(opened):
    """In the table, in the legend and in its details."""
    results = single(block("cheap", (9,)), block("dear", (10,), idx=1))
    results.metadata["overhead_ns_per_pass"] = 2.0
    report = opened(results)
    assert sorted(report.names()) == ["cheap≈", "dear"]
    assert report.texts("#overhead-legend") == [
        "≈ mean within a few times of the cost of recording"
    ]
    report.page.click("#blocks >> text=cheap")
    assert "says more of the recording than of the program" in report.texts("#details")[0]


# Tree and flame graph


def test_the_tree_opens_and_closes_by_keys(opened):
    """Right opens and goes in, left closes and goes out, as in any tree."""
    report = opened(family(), "tree")
    report.page.click("#tree-none")
    assert report.names("tree") == ["▸app.a"]
    report.pressed("Tab")
    assert report.focused == "tree"
    report.pressed("ArrowRight")
    assert report.names("tree") == ["▾app.a", "▸app.b", "app.c"]
    report.pressed("ArrowRight", "ArrowRight", "ArrowRight")
    assert report.active("tree").startswith("app.c")
    row = report.page.locator("#tree tr.active")
    found = [
        row.get_attribute(f"aria-{name}") for name in ("level", "setsize", "posinset", "expanded")
    ]
    assert found == ["3", "1", "1", None]
    report.pressed("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert report.names("tree") == ["▸app.a"]
    report.pressed("Enter")
    assert report.texts("#details-name") == ["app.a"]


def test_the_tree_opens_and_closes_by_the_pointer(opened):
    """A press on the triangle; and everything, nothing, or the busiest path."""
    report = opened(family(), "tree")
    page = report.page
    page.click("#tree-none")
    page.click("#tree .twist")
    assert report.names("tree") == ["▾app.a", "▸app.b", "app.c"]
    page.click("#tree-all")
    assert report.names("tree") == ["▾app.a", "▾app.b", "app.c", "app.c"]
    page.click("#tree-none")
    page.click("#tree-hot")
    assert report.names("tree") == ["▾app.a", "▾app.b", "app.c", "app.c"]
    assert report.active("tree").startswith("app.c")
    assert not page.is_visible("#details")


def widths(report: Report) -> dict[str, float]:
    """How wide each box of the flame graph is, in hundredths of the graph; boxes of one name added up."""
    whole = report.page.locator("#flame").bounding_box()
    assert whole
    found: dict[str, float] = {}
    for box in report.page.locator("#flame .box").all():
        place = box.bounding_box()
        assert place
        name = box.inner_text()
        found[name] = found.get(name, 0) + round(100 * (place["width"] + 1) / whole["width"])
    return found


def test_the_flame_graph_has_boxes_as_wide_as_their_time(opened):
    """A box holds its self time and all below it; a press makes it as wide as the graph."""
    report = opened(family(), "flame")
    assert widths(report) == {"all blocks": 100, "app.a": 100, "app.b": 60, "app.c": 70}
    report.page.click(".box >> text=app.b")
    assert widths(report) == {"all blocks": 100, "app.a": 100, "app.b": 100, "app.c": 67}
    assert report.texts("#flame-path") == ["app.a › app.b"]
    assert report.texts("#flame-info")[0].startswith(
        "app.b: total 600 ns (60.0 %), self 200 ns, 1 hit"
    )
    report.page.click("#flame-back")
    assert widths(report)["app.b"] == 60
    assert report.page.is_disabled("#flame-back")


def test_the_flame_graph_is_used_by_keys(opened):
    """Arrows go from box to box, Enter zooms, Escape goes back."""
    report = opened(family(), "flame")
    report.page.focus("#filter")
    while report.focused != "flame":
        report.pressed("Tab")
    assert report.active("flame") == "all blocks"
    report.pressed("ArrowDown", "ArrowDown")
    assert report.active("flame") == "app.b"
    report.pressed("ArrowRight")
    assert report.active("flame") == "app.c"
    report.pressed("ArrowLeft", "Enter")
    assert widths(report)["app.b"] == 100
    report.pressed("ArrowUp")
    assert report.active("flame") == "app.a"
    report.pressed("Escape")
    assert widths(report)["app.b"] == 60


def test_narrow_boxes_are_drawn_as_one(opened):
    """However many there are, and each label is that of its own box."""
    many = [block(f"n{i}", (1,), idx=i) for i in range(5000)]
    wide = block("pkg.wide", (100_000,), idx=5000)
    report = opened(single(*many, wide), "flame")
    assert report.page.locator("#flame .box").count() == 3
    assert report.page.get_attribute(".box.rest", "title") == "5,000 narrow paths"
    assert widths(report)["pkg.wide"] == 95


def test_a_deep_tree_opens_in_every_view(opened):
    """Of five thousand levels, those in sight are drawn, and the level is told."""
    deep = block("deep", (5,), self_ns=1)
    tree: CallNode = node(deep)
    for _ in range(5000):
        tree = node(deep, tree)
    results = single(deep)
    results.tree = root(tree)
    report = opened(results, "flame")
    assert report.page.locator(".box").count() < 100
    report.page.click("#tab-tree")
    report.page.click("#tree-hot")
    assert "level 5001" in report.active("tree")


def waiting() -> ProfilerResults:
    """A request of 1 ms that waits 800 µs for a query and runs 200 µs, beside another that waits for 500 µs."""
    handle = block("handle", (1_000_000,), self_ns=150_000)
    query = block("query", (800_000,), idx=1, self_ns=50_000)
    other = block("other", (500_000,), idx=2, self_ns=0)
    results = single(handle, query, other)
    results.total_time_ns = 1_000_000
    results.tree = root(node(other), node(handle, node(query)))
    for one, active in ((handle, 200_000), (query, 50_000), (other, 0)):
        one.active_time_ns = active
    return results


def test_waits_have_a_width_until_running_time_is_asked_for(opened):
    """In the flame graph and in the tree; what overlaps shares the width; shares are of one base."""
    report = opened(waiting(), "flame")
    # 1000 and 500 of 1000 share the whole; 800 of 1000 within.
    assert widths(report) == {"all blocks": 100, "handle": 67, "query": 53, "other": 33}
    report.page.hover(".box >> text=query")
    assert report.texts("#flame-info")[0].startswith(
        "query: total 800 µs (80.0 %), self 50.0 µs, 1 hit"
    )
    report.page.select_option("#time", "running")
    assert widths(report) == {"all blocks": 100, "handle": 100, "query": 25}
    report.page.hover(".box >> text=query")
    shown = "query: running 50.0 µs (5.0 %), total 800 µs, self 50.0 µs, 1 hit"
    assert report.texts("#flame-info")[0].startswith(shown)
    assert report.texts("#base") == [
        "Shares are of the 1.00 ms in which any block of all threads was open."
    ]
    report.page.click("#tab-tree")
    assert report.texts("#tree thead th")[1] == "Running"
    assert [row.partition(" 1 ")[0] for row in report.rows("tree")] == [
        "▾handle 200 µs 20.0 %  150 µs",
        "query 50.0 µs 5.0 % 25.0 % 50.0 µs",
        "other 0 ns 0.0 %  0 ns",
    ]
    report.page.select_option("#time", "total")
    assert [row.partition(" 1 ")[0] for row in report.rows("tree")] == [
        "▾handle 1.00 ms 100.0 %  150 µs",
        "query 800 µs 80.0 % 80.0 % 50.0 µs",
        "other 500 µs 50.0 %  0 ns",
    ]
    report.page.click("#tree >> text=handle")
    assert (
        "Running 200 µs, 20.0 % of its total Suspended 800 µs, 80.0 %"
        in report.texts("#details")[0]
    )
    assert "Nested in it of its 1.00 ms query 800 µs 80.0 %" in report.texts("#details")[0]


def test_a_program_that_never_waits_has_one_time(opened):
    """There is nothing to switch."""
    report = opened(family(), "flame")
    assert not report.page.is_visible("#time")


def test_the_tree_is_sorted_within_each_parent(opened):
    """By any column, and the other way when pressed again."""
    report = opened(family(), "tree")
    report.page.click("#tree-all")
    assert report.names("tree") == ["▾app.a", "▾app.b", "app.c", "app.c"]
    report.page.click("#tree thead >> text=Self")
    assert report.names("tree") == ["▾app.a", "app.c", "▾app.b", "app.c"]
    report.page.click("#tree thead >> text=Block")
    report.page.click("#tree thead >> text=Block")
    assert report.names("tree") == ["▾app.a", "app.c", "▾app.b", "app.c"]


def test_what_is_looked_for_is_found_in_the_tree(opened):
    """With what it hangs under, whatever was closed; what hangs under it opens as ever."""
    report = opened(family(), "tree")
    report.page.click("#tree-none")
    report.page.fill("#filter", "app.b")
    assert report.names("tree") == ["▾app.a", "▸app.b"]
    assert report.texts("#tree-count") == ["1 of 4 paths"]
    report.page.click("#tree tbody tr:nth-child(3) .twist")
    assert report.names("tree") == ["▾app.a", "▾app.b", "app.c"]
    report.page.fill("#filter", "")
    assert report.names("tree") == ["▸app.a"]
    report.page.fill("#filter", "nothing such")
    assert report.names("tree") == []


def test_back_goes_back_before_it_leaves_the_page(opened):
    """A step for each view, block, thread and zoom; forth again, too."""
    report = opened(family())
    page = report.page
    page.click("#blocks >> text=app.c")
    page.click("#details button.link >> text=app.b")
    page.click("#tab-flame")
    page.click(".box >> text=app.b")
    page.select_option("#scope", label="first (1)")
    page.go_back()
    assert page.input_value("#scope") == "0"
    assert widths(report)["app.b"] == 100
    page.go_back()
    assert widths(report)["app.b"] == 60
    page.go_back()
    assert page.is_visible("#blocks")
    assert report.texts("#details-name") == ["app.b"]
    page.go_back()
    assert report.texts("#details-name") == ["app.c"]
    page.go_back()
    assert not page.is_visible("#details")
    page.go_forward()
    assert report.texts("#details-name") == ["app.c"]


def pool() -> ProfilerResults:
    """Nine threads of a pool, which run b, and the main one, which runs a."""
    threads = [thread(1, block("app.a", (500,)), name="MainThread")]
    threads += [thread(2 + i, block("app.b", (100,), idx=1), name=f"pool-{i}") for i in range(9)]
    return single(block("app.a", (500,)), block("app.b", (100,) * 9, idx=1), threads=threads)


def test_many_threads_of_a_kind_have_one_line(opened):
    """It opens, and shows their figures together; each has its own still."""
    report = opened(pool(), "threads")
    page = report.page
    assert report.names("threads") == ["MainThread", "▸9 × pool-#"]
    assert report.rows("threads")[1].startswith("▸9 × pool-# 900 ns 64.3 % 9 app.b 9 run")
    page.click("#threads .twist >> text=▸")
    assert report.names("threads")[:3] == ["MainThread", "▾9 × pool-#", "pool-0"]
    page.click("#threads >> text=pool-3")
    assert report.rows()[0].startswith("app.b  track 0 100 ns 100.0 % 100 ns 1 ")
    assert page.locator("#scope option:checked").text_content() == "pool-3 (5)"
    page.click("#tab-threads")
    page.click("#threads >> text=9 × pool-#")
    assert report.rows()[0].startswith("app.b  track 0 900 ns 100.0 % 900 ns 9 ")
    assert "pool-3 (5)" not in page.locator("#scope").inner_text()


def test_threads_are_found_by_name_and_by_what_they_ran(opened):
    """As blocks are by name and file."""
    report = opened(pool(), "threads")
    report.page.fill("#filter", "main")
    assert report.names("threads") == ["MainThread"]
    assert report.texts("#threads-count")[0].startswith("1 of 10 threads.")
    report.page.fill("#filter", "app.b")
    assert report.names("threads") == ["▸9 × pool-#"]
    report.page.fill("#filter", "nothing such")
    assert report.names("threads") == []


@pytest.mark.parametrize("view", ["tree", "threads", "blocks"])
def test_the_figures_are_in_sight_on_a_small_screen(opened, view):
    """A name, a total and a share, without scrolling sideways."""
    report = opened(pool(), view, viewport={"width": 400, "height": 740})
    row = report.page.locator(f"#{view} tbody tr:not(.space) >> nth=0")
    for column in (
        (1, 2) if view == "blocks" else (0, 1)
    ):  # a block's track stands in its name there
        box = row.locator("td").nth(column).bounding_box()
        assert box
        assert box["x"] + box["width"] <= 400


# Threads, colours, sizes


def test_a_thread_shows_its_own_figures(opened):
    """In every view, from the list of threads or by choosing it."""
    report = opened(family(), "threads")
    assert report.names("threads") == ["first", "second"]
    report.page.click("#threads >> text=second")
    assert report.page.get_attribute("#tab-blocks", "aria-selected") == "true"
    assert report.rows()[0].startswith("app.c  0 main 50 ns 100.0 % 50 ns 1 ")
    report.page.click("#tab-tree")
    assert report.names("tree") == ["app.c"]
    report.page.select_option("#scope", label="all threads")
    assert len(report.names("tree")) == 4


def test_tabs_are_changed_by_arrows_and_kept_in_the_address(opened):
    """One tab is in the order of focus; opening the address again shows the same view."""
    report = opened(family())
    report.page.focus("#tab-blocks")
    report.pressed("ArrowLeft")
    assert report.focused == "tab-threads"
    assert report.page.locator("[role=tab][tabindex='0']").count() == 1
    assert report.page.url.endswith("#view-threads")
    report.page.reload()
    assert report.page.is_visible("#threads")
    assert report.focused == ""


def luminance(report: Report, name: str) -> float:
    """How bright a colour of the page is, from 0 to 255."""
    text = report.page.evaluate(f"getComputedStyle(document.documentElement).{name}")
    return sum(map(float, text[text.index("(") + 1 : -1].split(",")[:3])) / 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_as_light_or_dark_as_the_system_until_told(opened, scheme):
    """The button changes it, and it is remembered."""
    report = opened(sample(), color_scheme=scheme)
    light = scheme == "light"
    assert (luminance(report, "backgroundColor") > 128) is light
    assert (luminance(report, "color") < 128) is light
    report.page.click("#theme")
    assert (luminance(report, "backgroundColor") > 128) is not light
    report.page.reload()
    assert (luminance(report, "backgroundColor") > 128) is not light


@pytest.mark.parametrize("view", ["blocks", "tree", "flame", "threads"])
@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_window_is_wide_enough(opened, view, width):
    """The page itself never scrolls sideways; tables do within themselves."""
    report = opened(
        named("a.rather.long.name.without.any.space" * 9),
        view,
        viewport={"width": width, "height": 740},
    )
    page = report.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if view in ("blocks", "tree"):
        page.locator(f"#{view} tbody th").click()
        assert page.locator("#details").bounding_box()["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_printing_has_all_rows_of_the_table(opened):
    """Not only those in sight, and afterwards it is as before."""
    many = [block(f"n{i}", (i + 1,), idx=i) for i in range(300)]
    report = opened(single(*many))
    shown = len(report.names())
    assert shown < 100
    report.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(report.names()) == 300
    report.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(report.names()) == shown


def test_results_without_blocks_say_so(opened):
    """The page explains how to name some, and shows no empty table."""
    report = opened(ProfilerResults("empty"))
    assert "Nothing was recorded yet." in report.texts("#nothing")[0]
    assert not report.page.is_visible("#work")


def test_blocks_that_were_never_hit_alone_are_shown_when_asked_for(opened):
    """With the explanation, since nothing was recorded."""
    report = opened(
        ProfilerResults("idle", {0: ProfileTrack(0, "t", True, [ProfileBlock("a", "", 0, 0, 0)])})
    )
    assert report.page.is_visible("#nothing")
    report.page.check("#unhit")
    report.page.click("#blocks tbody th")
    assert "It was never entered." in report.texts("#details")[0]
    for view in ("tree", "flame", "threads"):
        report.page.click(f"#tab-{view}")


def test_workers_are_compared_in_each_block(opened):
    """The slowest against the median, a mark for each; blocks and workers are found; of one process there is no such view."""
    report = opened(uneven(), "workers")
    assert report.names("workers") == ["read", "parse"]
    assert report.rows("workers")[0].split()[:7] == [
        "read",
        "w1",
        "3.0",
        "1.0",
        "3.0",
        "50.0",
        "ms",
    ]
    assert report.page.locator("#workers .strip circle").count() == 8
    report.page.fill("#filter", "w2")
    assert report.names("workers") == ["parse"]
    report.page.click("#workers tbody th")
    assert "parse" in report.texts("#details")[0]
    assert not opened(sample()).page.locator("#tab-workers").is_visible()


# speedscope


def test_speedscope_opens_its_export(browser, tmp_path):
    """The real one: it imports the file as its own format, and shows our figures and profiles."""
    page_file = SPEEDSCOPE / "dist" / "release" / "index.html"
    assert page_file.is_file(), f"{page_file} is missing: make browser gets speedscope from npm"
    export_speedscope(family(), tmp_path / "family.speedscope.json")
    page = browser.new_page(viewport={"width": 1200, "height": 600})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"error {error}"))

    def refuse(dialog: Any) -> None:
        said.append(f"error {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    page.goto(page_file.as_uri())
    page.set_input_files("input[type=file]", tmp_path / "family.speedscope.json")
    page.get_by_text("Sandwich").click()
    page.get_by_text("app.c", exact=True).wait_for()
    text = " ".join(page.inner_text("body").split())
    assert "family (1/3)" in text
    for row in (
        "700.00ns (70%) 700.00ns (70%) app.c",
        "600.00ns (60%) 200.00ns (20%) app.b",
        "1.00µs (100%) 100.00ns (10%) app.a",
    ):
        assert row in text, text
    page.close()
    assert "Importing as speedscope json file" in said
    assert not [line for line in said if line.startswith("error")]


# The timeline


def timed(passes: int = 200) -> Profiler:
    """A profiler with a timeline: of a thread, and of tasks that overlap on another."""
    p = Profiler("timed", timeline=1 << 18)

    def work() -> None:
        for number in range(passes // 2):
            with contextlib.suppress(KeyError), p.block("web", "request"), p.block("db", "query"):
                if number % 10 == 0:
                    raise KeyError

    async def wait() -> None:
        with p.block("web", "wait"):
            await asyncio.sleep(0.01)

    async def main() -> None:
        await asyncio.gather(wait(), wait(), wait())

    # On threads of their own: what drives the browser has a loop on this one.
    for name, action in (("worker", work), ("loop", lambda: asyncio.run(main()))):
        thread = threading.Thread(target=action, name=name)
        thread.start()
        thread.join()
    return p


def in_sight(report: Report) -> str:
    """Of how much of the time passes are shown."""
    return report.texts("#timeline-count")[0].partition("in sight: ")[2]


def test_there_is_no_timeline_unless_one_is_kept(opened):
    """Its tab is not to be seen, nor to be reached by keys."""
    report = opened(family())
    assert report.page.locator("#tab-timeline").is_hidden()
    report.page.focus("#tab-threads")
    report.page.click("#tab-threads")
    report.pressed("ArrowRight")
    assert report.focused == "tab-blocks"


def test_a_timeline_is_zoomed_moved_and_searched(opened):
    """By the wheel, by dragging, by keys; what is looked for is found one by one, and told."""
    report = opened(timed(), "timeline")
    page = report.page
    assert report.texts("#timeline-count")[0].startswith("203 passes; in sight: ")
    whole = in_sight(report)
    canvas = page.locator("#timeline")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 50)
    page.mouse.wheel(0, -100)
    assert in_sight(report) != whole
    page.click("#timeline-all")
    assert in_sight(report) == whole
    canvas.focus()
    report.pressed("+", "ArrowRight", "ArrowLeft", "ArrowDown", "Home")
    assert in_sight(report) == whole
    page.fill("#filter", "WAIT")
    assert report.texts("#timeline-count")[0].startswith("3 of 203 passes")
    page.click("#timeline-next")
    assert "web / wait" in report.texts("#timeline-info")[0]
    assert "loop, tasks 1" in report.texts("#timeline-info")[0]
    canvas.focus()
    report.pressed("n", "n", "n")
    assert "tasks 1" in report.texts("#timeline-info")[0]
    report.pressed("p")
    assert "tasks 3" in report.texts("#timeline-info")[0]
    report.pressed("Enter")
    assert page.inner_text("#details-name") == "wait"


def test_a_pass_of_a_timeline_is_pointed_at_and_pressed(opened):
    """What it is stands below; its block is shown."""
    report = opened(timed(), "timeline")
    page = report.page
    page.fill("#filter", "query")
    page.click("#timeline-next")  # the first, which failed, is in the middle
    assert "left by an exception" in report.texts("#timeline-info")[0]
    box = page.locator("#timeline").bounding_box()
    for y in (50, 67):  # the rows of the first lane
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + y)
        name = "request" if y == 50 else "query"
        assert f"/ {name}" in report.texts("#timeline-info")[0]
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 67)
    assert page.inner_text("#details-name") == "query"


def test_what_is_drawn_does_not_grow_with_the_passes(opened):
    """Of those that lie in one pixel, one is drawn; wherever one looks at 200,000 of them."""
    report = opened(timed(200_000))
    page = report.page
    page.evaluate(
        """() => {
            window.rectangles = 0;
            const draw = CanvasRenderingContext2D.prototype.fillRect;
            CanvasRenderingContext2D.prototype.fillRect = function (...box) {
                window.rectangles += 1;
                draw.apply(this, box);
            };
        }"""
    )
    page.click("#tab-timeline")
    assert report.texts("#timeline-count")[0].startswith("200,003 passes")
    box = page.locator("#timeline").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 50)
    for _ in range(30):
        page.evaluate("window.rectangles = 0")
        page.mouse.wheel(0, -100)
        page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        # Two rows of the worker, one of each task, and the grid: no more than one for a pixel.
        assert 0 < page.evaluate("window.rectangles") <= 5 * box["width"] + 100


def test_how_much_goes_through_has_columns_and_sums(opened, clock):
    """Where a block says so: rates in the table, sums and a pass's share in the details."""
    p = Profiler("work")
    with p.block(0, "read") as b:
        b.add_bytes(2_000)
        b.add_items(5)
        clock.advance(1_000_000)
    with p.block(0, "plain"):
        clock.advance(10)
    page = opened(p.get_results()).page
    text = page.inner_text("#work")
    assert "Bytes/s" in text
    assert "2.00 MB/s" in text
    assert "5,000" in text
    page.get_by_text("read", exact=True).first.click()
    details = page.inner_text("#details")
    assert "2,000, 2,000 a pass" in details
    assert "5, 5 a pass" in details
