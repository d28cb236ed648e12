"""What the HTML report of 10,000 blocks takes to make, and to open in Chromium."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._run import Fact, Figure, Progress, Scale, Stored

if TYPE_CHECKING:
    from stichotrope import ProfilerResults

BLOCKS, TRACKS, THREADS = 10_000, 20, 8
FAN_OUT = 4  # of the call tree: each block is nested in the one at a fourth of its number
BUCKETS = 24  # of each histogram, neighbours
OPEN_MS = 1000.0
ROUNDS, QUICK_ROUNDS = 11, 5
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# What is done with the open page; the time ends when the browser has drawn the outcome.
_DRAWN = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
_ACTIONS = {
    "sort": "document.querySelector('#blocks thead button').click();",
    "filter": "const find = document.querySelector('#filter'); find.value = '99';"
    "find.dispatchEvent(new Event('input'));",
    "call tree": "document.querySelector('#tab-tree').click();",
    "flame graph": "document.querySelector('#tab-flame').click();",
}


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Make the page, then open it in a new window again and again.

    Raises:
        RuntimeError: Chromium, or playwright, which drives it, is not there.
    """
    rounds = QUICK_ROUNDS if scale is Scale.QUICK else ROUNDS
    results = ten_thousand_blocks(rng)
    browser = chromium()
    from stichotrope.report.html import render

    made: list[int] = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        page = render(results)
        made.append(time.perf_counter_ns() - start)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(page, encoding="utf-8")
        version, opened = _opened(browser, path, rounds, progress)
    return {
        "unit": "ms",
        "blocks": BLOCKS,
        "threads": THREADS,
        "browser": version,
        "page_bytes": len(page.encode()),
        "made_ns": made,
        "taken_ms": opened,
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figure that is held to a limit."""
    name = f"opening the HTML report of {stored['blocks']:,} blocks in Chromium"
    return [Figure(name, stored["taken_ms"]["open"], "ms", OPEN_MS, digits=0)]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what making the page takes, and what is done with it."""
    made = [ns / 1e6 for ns in stored["made_ns"]]
    found: list[Figure | Fact] = [
        Figure("making the page", made, "ms", digits=0),
        Figure("its size", [stored["page_bytes"] / 1e6], "MB"),
    ]
    done = ((name, ms) for name, ms in stored["taken_ms"].items() if name != "open")
    return [*found, *(Figure(f"{name}, drawn", ms, "ms", digits=0) for name, ms in done)]


def chromium() -> str:
    """Return the path of Chromium: what ``CHROMIUM`` says, or the first that is installed.

    Raises:
        RuntimeError: it is not to be found.
    """
    found = next(filter(None, map(shutil.which, [os.environ.get("CHROMIUM", ""), *BROWSERS])), None)
    if found is None:
        raise RuntimeError(
            f"Chromium is needed to open the report: none of {', '.join(BROWSERS)} is installed; "
            "make browser installs it, or set CHROMIUM to its path"
        )
    return found


def ten_thousand_blocks(rng: random.Random) -> ProfilerResults:
    """Return results of many blocks in several tracks and threads, each with passes of its own."""
    from stichotrope import ProfilerResults
    from stichotrope.results import ThreadResults

    shares = [_share(rng, range(number, BLOCKS, THREADS)) for number in range(THREADS)]
    threads = [
        ThreadResults(number + 1, 1000 + number, f"worker {number}", True, *share)
        for number, share in enumerate(shares)
    ]
    first, *others = (ProfilerResults("ten thousand", *share) for share in shares)
    merged = first.merge(*others)
    return ProfilerResults(
        merged.profiler_name, merged.tracks, merged.total_time_ns, merged.tree, threads
    )


def _share(rng: random.Random, numbers: range) -> tuple[Any, ...]:
    """Return tracks, time and call tree of one thread."""
    from stichotrope import ProfileTrack
    from stichotrope.results import CallNode

    tracks = {idx: ProfileTrack(idx, f"track {idx}") for idx in range(TRACKS)}
    nodes = [CallNode.root()]
    blocks = []
    for number in numbers:
        track = tracks[number % TRACKS]
        block = _block(rng, number, len(track.blocks))
        track.blocks.append(block)
        blocks.append(block)
        node = CallNode(
            *(block.name, block.track_idx, block.block_idx, block.file, block.line),
            *(block.hit_count, block.total_time_ns, block.total_time_ns),
        )
        nodes[len(nodes) // FAN_OUT].children.append(node)
        nodes.append(node)
    for block, node in reversed(list(zip(blocks, nodes[1:], strict=True))):
        node.total_time_ns += sum(child.total_time_ns for child in node.children)
        block.total_time_ns = block.active_time_ns = node.total_time_ns
        block.self_time_ns = node.self_time_ns
    whole_ns = sum(node.total_time_ns for node in nodes[0].children)
    for track in tracks.values():
        track.total_time_ns = whole_ns
    return tracks, whole_ns, nodes[0]


def _block(rng: random.Random, number: int, place: int) -> Any:
    from stichotrope import ProfileBlock
    from stichotrope.results.histogram import Histogram

    histogram = Histogram()
    lowest = rng.randrange(100, 10_000_000)
    durations = [int(lowest * (1 + step / 16)) for step in range(BUCKETS)]
    for duration in durations:
        histogram.add(duration, rng.randrange(1, 1000))
    hits, total = histogram.total, sum(low * count for low, _, count in histogram)
    return ProfileBlock(
        *(f"package.module_{number % 97}.function_{number}", f"/srv/app/module_{number % 97}.py"),
        *(number, number % TRACKS, place, hits, total, total // 3, total),
        *(durations[0], durations[-1], total, total * total // hits),
        histogram=histogram,
    )


def _opened(
    browser: str, path: Path, rounds: int, progress: Progress
) -> tuple[str, dict[str, list[float]]]:
    """Return the browser's version, and what opening the page and using it took each time in ms."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise RuntimeError("playwright is needed to drive Chromium: make browser") from error
    taken: dict[str, list[float]] = {"open": [], **{name: [] for name in _ACTIONS}}
    with sync_playwright() as driver:
        # As root, Chromium refuses to start with its sandbox; the page is our own.
        window = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for number in range(rounds):
            page = window.new_page()
            page.goto(path.as_uri())
            # Counted by the browser from when it was told to go there.
            taken["open"].append(
                page.evaluate(f"async () => {{ {_DRAWN} return performance.now(); }}")
            )
            rows = page.locator("#blocks tbody tr").count()
            if not 10 < rows < 200 or "10,000" not in page.inner_text("#blocks-count"):
                raise RuntimeError(f"the page did not open as it should: {rows} rows")
            for name, action in _ACTIONS.items():
                timed = f"const start = performance.now(); {action} {_DRAWN}"
                taken[name].append(
                    page.evaluate(f"async () => {{ {timed} return performance.now() - start; }}")
                )
            page.close()
            progress(f"round {number + 1}/{rounds}")
        version = window.version
        window.close()
    return version, taken
