"""Results built by hand, whose figures the tests of the results side know."""

from __future__ import annotations

from stichotrope.results import (
    CallNode,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
)
from stichotrope.results.histogram import Histogram


def block(
    name: str,
    durations: tuple[int, ...] = (),
    *,
    track: int = 0,
    idx: int = 0,
    file: str = "/srv/app/io.py",
    line: int = 10,
    self_ns: int | None = None,
    total_ns: int | None = None,
    now_open: int = 0,
    errors: int = 0,
    cancelled: int = 0,
) -> ProfileBlock:
    """Return a block whose passes took the given times, one after the other unless a total is given."""
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    total = sum(durations) if total_ns is None else total_ns
    return ProfileBlock(
        name=name,
        file=file,
        line=line,
        track_idx=track,
        block_idx=idx,
        hit_count=len(durations),
        total_time_ns=total,
        self_time_ns=total if self_ns is None else self_ns,
        active_time_ns=total,
        min_time_ns=min(durations, default=0),
        max_time_ns=max(durations, default=0),
        sum_time_ns=sum(durations),
        sum_squares_ns2=sum(duration * duration for duration in durations),
        histogram=histogram,
        open_count=now_open,
        error_count=errors,
        cancelled_count=cancelled,
    )


def node(of: ProfileBlock, *children: CallNode) -> CallNode:
    """Return a tree node that has all passes of a block."""
    return CallNode(
        name=of.name,
        track_idx=of.track_idx,
        block_idx=of.block_idx,
        file=of.file,
        line=of.line,
        hit_count=of.hit_count,
        total_time_ns=of.total_time_ns,
        self_time_ns=of.self_time_ns,
        children=list(children),
        sum_time_ns=of.sum_time_ns,
        open_count=of.open_count,
        error_count=of.error_count,
        cancelled_count=of.cancelled_count,
    )


def root(*children: CallNode) -> CallNode:
    """Return a root with the given children."""
    tree = CallNode.root()
    tree.children.extend(children)
    return tree


def single(
    *blocks: ProfileBlock, name: str = "app", threads: list[ThreadResults] | None = None
) -> ProfilerResults:
    """Return results with the given blocks side by side, tracks named after their number."""
    tracks: dict[int, ProfileTrack] = {}
    for item in blocks:
        track = tracks.setdefault(
            item.track_idx, ProfileTrack(item.track_idx, f"track {item.track_idx}")
        )
        track.blocks.append(item)
        track.total_time_ns += item.total_time_ns
    return ProfilerResults(
        profiler_name=name,
        tracks=tracks,
        total_time_ns=sum(track.total_time_ns for track in tracks.values()),
        tree=root(*(node(item) for item in blocks if item.was_entered)),
        threads=threads or [],
    )


def thread(key: int, *blocks: ProfileBlock, name: str = "worker") -> ThreadResults:
    """Return a thread's share with the given blocks side by side."""
    share = single(*blocks)
    return ThreadResults(
        key=key,
        os_id=1000 + key,
        name=name,
        alive=True,
        tracks=share.tracks,
        total_time_ns=share.total_time_ns,
        tree=share.tree,
    )


def sample() -> ProfilerResults:
    """Return two tracks, two threads, a tree; all of it, and only that, ended by returning."""
    read = block("read", (100, 200, 300), self_ns=350)
    decode = block("decode µ", (50, 200), idx=1, line=20)
    parse = block("parse", (1_000_000,), track=1, file="/srv/app/parse.py", line=5)
    never = block("never", track=1, idx=1, file="/srv/app/parse.py", line=9)
    return ProfilerResults(
        profiler_name="census",
        tracks={
            0: ProfileTrack(0, "I/O", True, [read, decode], 600),
            1: ProfileTrack(1, "parsing", False, [parse, never], 1_000_000),
        },
        total_time_ns=1_000_600,
        tree=root(node(read, node(decode)), node(parse)),
        threads=[
            ThreadResults(
                key=1,
                os_id=140_000,
                name="MainThread",
                alive=True,
                tracks={0: ProfileTrack(0, "I/O", True, [read, decode], 600)},
                total_time_ns=600,
                tree=root(node(read, node(decode))),
            ),
            ThreadResults(
                key=2,
                os_id=140_001,
                name="pool_0",
                alive=False,
                tracks={1: ProfileTrack(1, "parsing", False, [parse, never], 1_000_000)},
                total_time_ns=1_000_000,
                tree=root(node(parse)),
            ),
        ],
        metadata={
            "python": "CPython 3.13.0",
            "process": {"pid": 4711},
            "clock": {"source": "tsc", "resolution_ns": 0.5},
            "overhead_ns_per_pass": 32.0,
            "warnings": [],
        },
    )


def troubled() -> ProfilerResults:
    """Return the results that `data/results-v4.json` holds: a server that was looked at in the middle.

    ``serve`` is open and nothing of it has ended; of 4 requests at once, 2 failed and one was
    cancelled; and one more is open.
    """
    serve = block("serve", total_ns=900, self_ns=500, now_open=1)
    handle = block(
        "handle",
        (100, 200, 300, 400),
        idx=1,
        line=20,
        total_ns=400,
        now_open=1,
        errors=2,
        cancelled=1,
    )
    track = ProfileTrack(0, "web", True, [serve, handle], 900)
    tree = root(node(serve, node(handle)))
    main = ThreadResults(1, 140_000, "MainThread", True, {0: track}, 900, tree)
    idle = ThreadResults(2, 140_001, "idle", True)
    return ProfilerResults(
        "server", {0: track}, 900, tree, [main, idle], metadata={"process": 4711, "host": "web-1"}
    )
