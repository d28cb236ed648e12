"""What it takes to gather a thousand workers' results of a thousand blocks each."""

from __future__ import annotations

import json
import random
import sys
import time

from benchmarks._child import resident_bytes, run_module
from benchmarks._run import Fact, Figure, Progress, Scale, Stored

WORKERS, BLOCKS = 1000, 1000
GATHERED_S, GATHERED_MB, SHARE_OF_JSON = 5.0, 1000.0, 0.1
DIFFERENT = 20  # recordings that are made; the other workers have one of theirs
DURATIONS = 40  # of a block, that fall anywhere
ROUNDS, QUICK_ROUNDS = 7, 3


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Let fresh processes gather them.

    Raises:
        AssertionError: a pass was lost.
    """
    rounds = QUICK_ROUNDS if scale is Scale.QUICK else ROUNDS
    taken = []
    for number in range(rounds):
        taken.append(run_module("benchmarks.many", str(rng.randrange(1 << 30))))
        progress(f"processes {number + 1}/{rounds}")
    return {"workers": WORKERS, "blocks": BLOCKS, "rounds": taken}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    rounds = stored["rounds"]
    size = f"{stored['workers']:,} workers × {stored['blocks']:,} blocks"
    seconds = [each["seconds"] for each in rounds]
    megabytes = [each["bytes"] / 1e6 for each in rounds]
    shares = [each["packed_bytes"] / each["json_bytes"] for each in rounds]
    seen = sum(each["hits"] for each in rounds)
    expected = sum(each["expected_hits"] for each in rounds)
    return [
        Figure(f"gathering {size}, processor time", seconds, "s", GATHERED_S, digits=2),
        Figure(f"gathering {size}, resident memory", megabytes, "MB", GATHERED_MB),
        Figure("results as bytes ÷ as JSON", shares, "×", SHARE_OF_JSON, digits=3),
        Fact(f"every pass of {size} counted", seen == expected, f"{seen:,} of {expected:,}"),
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what one worker's results take, and comparing the workers afterwards."""
    rounds = stored["rounds"]
    return [
        Figure("packing one worker's results", [one["pack_ms"] for one in rounds], "ms"),
        Figure("one worker's results", [one["packed_bytes"] / 1e3 for one in rounds], "kB"),
        Figure("what each has of each block", [one["shares_s"] for one in rounds], "s", digits=2),
    ]


def recorded(worker: int, blocks: int, rng: random.Random):  # type: ignore[no-untyped-def]
    """Return what one worker has recorded: its blocks on one thread, each of some octaves."""
    from stichotrope.results import (
        CallNode,
        ProfileBlock,
        ProfilerResults,
        ProfileTrack,
        ThreadResults,
    )
    from stichotrope.results.histogram import Histogram

    track, tree = ProfileTrack(0, "work", True), CallNode.root()
    for number in range(blocks):
        usual = rng.lognormvariate(9, 2)
        passes = [
            (int(usual * rng.lognormvariate(0, 0.5)) + 1, rng.randrange(1, 50))
            for _ in range(DURATIONS)
        ]
        histogram = Histogram()
        for took, count in passes:
            histogram.add(took, count)
        hits, total = histogram.total, sum(took * count for took, count in passes)
        file, line, name = f"/srv/app/part_{number % 20}.py", number, f"step_{number}"
        block = ProfileBlock(name, file, line, 0, number, hits, histogram=histogram)
        block.total_time_ns = block.self_time_ns = block.active_time_ns = total
        block.min_time_ns, block.max_time_ns = min(passes)[0], max(passes)[0]
        block.sum_time_ns = total
        block.sum_squares_ns2 = sum(took * took * count for took, count in passes)
        track.blocks.append(block)
        tree.children.append(CallNode(name, 0, number, file, line, hits, total, total, [], total))
    track.total_time_ns = total = sum(block.total_time_ns for block in track.blocks)
    thread = ThreadResults(1, 7, "MainThread", True, {0: track}, total, tree)
    about = {"process": 1000 + worker, "instance": f"{worker:016x}", "host": f"host-{worker % 50}"}
    metadata = {**about, "start_ns": 1, "duration_ns": 10**9, "roots": ["/srv"]}
    return ProfilerResults("app", {0: track}, total, tree, [thread], metadata)


def main(seed: int) -> None:
    """Gather once and print what it took."""
    from stichotrope.results import ProfilerResults
    from stichotrope.results.snapshots import Snapshots

    rng = random.Random(seed)
    different = [recorded(number, BLOCKS, rng) for number in range(DIFFERENT)]
    began = time.process_time()
    packed = different[0].to_bytes()
    pack_ms = 1e3 * (time.process_time() - began)
    json_bytes = len(different[0].to_json(None).encode())
    arrived, expected = [], 0
    for worker in range(WORKERS):
        results = different[worker % DIFFERENT]
        results.processes[0].instance = results.metadata["instance"] = f"{worker:016x}"
        expected += results.total_hits
        arrived.append(results.to_bytes())
    assert ProfilerResults.from_bytes(packed).total_hits == different[0].total_hits
    del different, results
    began = time.process_time()
    snapshots = Snapshots(arrived)
    merged = snapshots.results()
    seconds = time.process_time() - began
    resident = resident_bytes()
    began = time.process_time()
    hits = sum(sum(share.hits) for share in snapshots.shares())
    shares_s = time.process_time() - began
    assert hits == merged.total_hits == expected, f"{hits} and {merged.total_hits} of {expected}"
    assert len(merged.processes) == WORKERS
    print(
        json.dumps(
            {
                "seconds": seconds,
                "bytes": resident,
                "packed_bytes": len(packed),
                "json_bytes": json_bytes,
                "pack_ms": pack_ms,
                "shares_s": shares_s,
                "hits": merged.total_hits,
                "expected_hits": expected,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
