"""What recording a metric costs, beside its peers in one run; what a scrape takes.

The cases take turns, round after round, in processor time, the empty loop subtracted; a ratio is
the median over the rounds. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.snapshot import compute, write_beside

ROUNDS, LOOPS = 15, 20_000
QUICK_ROUNDS, QUICK_LOOPS = 3, 1_000
THREADS = 4
ROOT = Path(__file__).resolve().parents[1]
# Ours → what it is held against.
PAIRS = {
    "counter inc": ("prometheus inc", "opentelemetry add"),
    "counter by labels": ("prometheus inc by labels", "opentelemetry add with attributes"),
    "histogram observe": ("prometheus observe", "opentelemetry record"),
    "kept timer": ("prometheus time()",),
    "time()": ("prometheus time()",),
}


def statements() -> tuple[dict[str, str], dict[str, Any]]:
    """Return case → statement, and the names that they use."""
    from stichotrope import Profiler
    from stichotrope.metrics import Counter, Histogram

    names: dict[str, Any] = {
        "counter": Counter("c"),
        "labelled": Counter("l", "", ["method"]),
        "histogram": Histogram("h"),
        "fixed": Histogram("f", buckets=(0.1, 0.5, 1, 5, 10)),
        "block": Profiler("metrics").block(0, "kept"),
    }
    names["timer"] = names["histogram"].time()
    found = {
        "empty loop": "pass",
        "kept block": "with block: pass",
        "kept block, bytes": "with block: block.add_bytes(100)",
        "counter inc": "counter.inc()",
        "counter by labels": "labelled.labels('GET').inc()",
        "histogram observe": "histogram.observe(0.3)",
        "histogram observe, fixed": "fixed.observe(0.3)",
        "kept timer": "with timer: pass",
        "time()": "with histogram.time(): pass",
    }
    try:
        import prometheus_client as client
    except ImportError:
        print("Going on without prometheus_client", file=sys.stderr)
    else:
        registry = client.CollectorRegistry()
        names |= {
            "p_counter": client.Counter("c", "C", registry=registry),
            "p_labelled": client.Counter("l", "L", ["method"], registry=registry),
            "p_histogram": client.Histogram("h", "H", registry=registry),
        }
        found |= {
            "prometheus inc": "p_counter.inc()",
            "prometheus inc by labels": "p_labelled.labels('GET').inc()",
            "prometheus observe": "p_histogram.observe(0.3)",
            "prometheus time()": "with p_histogram.time(): pass",
        }
    try:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    except ImportError:
        print("Going on without the SDK of OpenTelemetry", file=sys.stderr)
    else:
        meter = MeterProvider([InMemoryMetricReader()]).get_meter("m")
        names |= {
            "o_counter": meter.create_counter("c"),
            "o_histogram": meter.create_histogram("h"),
        }
        names["attributes"] = {"method": "GET"}
        found |= {
            "opentelemetry add": "o_counter.add(1)",
            "opentelemetry add with attributes": "o_counter.add(1, attributes)",
            "opentelemetry record": "o_histogram.record(0.3)",
        }
    return found, names


def measure(rounds: int, loops: int, threads: int = 1) -> dict[str, list[float]]:
    """Return case → nanoseconds of processor time a statement in each round, the loop subtracted.

    :param rounds: how many.
    :param loops: statements in a round, on each thread.
    :param threads: how many do the same at once; the time is that of all, a statement.
    """
    found, names = statements()
    runs: dict[str, Callable[[int], None]] = {}
    for case, statement in found.items():
        space = dict(names)
        body = f"def run(n, {', '.join(f'{name}={name}' for name in names)}):\n"
        exec(f"{body}    for _ in range(n):\n        {statement}\n", space)
        runs[case] = space["run"]
        runs[case](loops // 10 + 1)
    times: dict[str, list[float]] = {case: [] for case in runs}
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            for case, run in runs.items():
                took = together(pool, run, loops, threads)
                times[case].append(took / (loops * threads))
    empty = times.pop("empty loop")
    return {
        case: [took - least for took, least in zip(all_of_them, empty, strict=True)]
        for case, all_of_them in times.items()
    }


def together(pool: ThreadPoolExecutor, run: Callable[[int], None], loops: int, threads: int) -> int:
    """Return the nanoseconds of processor time that some threads take to run something at once."""
    ready = threading.Barrier(threads)

    def one() -> int:
        ready.wait()
        start = time.thread_time_ns()
        run(loops)
        return time.thread_time_ns() - start

    return sum(done.result() for done in [pool.submit(one) for _ in range(threads)])


def shared(rounds: int, loops: int) -> dict[str, float]:
    """Return how many times dearer ours are when they are recorded in a file that others read.

    From then on, the process shares: so it is one of its own.
    """
    program = (
        "import json, tempfile; from benchmarks.metrics import measure, PAIRS\n"
        "from stichotrope.metrics import share_metrics\n"
        f"alone = measure({rounds}, {loops})\n"
        "with tempfile.TemporaryDirectory() as directory:\n"
        "    share_metrics(directory)\n"
        f"    both = [alone, measure({rounds}, {loops})]\n"
        "print(json.dumps([{case: one[case] for case in PAIRS} for one in both]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    alone, in_a_file = json.loads(said.stdout)
    return {
        case: statistics.median(in_a_file[case]) / statistics.median(alone[case]) for case in PAIRS
    }


def ratios(times: dict[str, list[float]]) -> dict[str, float]:
    """Return how many times dearer each peer is than ours, by "ours ÷ peer".

    :param times: what `measure` gave.
    """
    return {
        f"{peer} ÷ {ours}": statistics.median(
            a / b for a, b in zip(times[peer], times[ours], strict=True)
        )
        for ours, peers in PAIRS.items()
        for peer in peers
        if peer in times
    }


def scrape_ms(series: int, threads: int) -> float:
    """Return what exposing counters takes, in ms of processor time, the least of five.

    :param series: how many counters there are.
    :param threads: how many have each recorded in all of them, and live.
    """
    from stichotrope.metrics import Counter, MetricRegistry

    registry = MetricRegistry()
    counter = Counter("c", "", ["n"], max_series=series, registry=registry)
    kept = [counter.labels(number) for number in range(series)]
    ready, done = threading.Barrier(threads + 1), threading.Event()

    def work() -> None:
        for one in kept:
            one.inc()
        ready.wait()
        done.wait()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    took = []
    for _ in range(5):
        start = time.thread_time_ns()
        text = registry.expose()
        took.append((time.thread_time_ns() - start) / 1e6)
    done.set()
    for worker in workers:
        worker.join()
    if text.count(f" {threads}\n") != series:
        raise RuntimeError("a scrape did not hold every count")
    return min(took)


def held_up(rounds: int, window_ns: int = 40_000_000) -> dict[str, float]:
    """Return what recording is beside scrapes, held against the same beside a thread that computes.

    :param rounds: how many.
    :param window_ns: for how long one thread records, in each.
    """
    from stichotrope.metrics import Counter, Histogram, MetricRegistry

    registry = MetricRegistry()
    counter = Counter("c", "", ["n"], registry=registry)
    for number in range(1_000):
        counter.labels(number).inc()
    written = Histogram("written", registry=registry)
    timer = written.time()
    passes, waits, total = [], [], 0
    for _ in range(rounds):
        beside, longest, _ = write_beside(timer, registry.expose, window_ns)
        computing, longest_of_others, _ = write_beside(timer, compute, window_ns)
        passes.append(beside / computing)
        waits.append((longest - longest_of_others) / 1e6)
        total += beside + computing
    if written.summary()["count"] != total:
        raise RuntimeError("a value that was recorded beside scrapes is missing")
    return {"passes": statistics.median(passes), "longest wait, ms": statistics.median(waits)}


def main(arguments: list[str]) -> int:
    """Measure, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks metrics", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write all figures as JSON")
    options = parser.parse_args(arguments)
    size = (QUICK_ROUNDS, QUICK_LOOPS) if options.quick else (ROUNDS, LOOPS)
    times, many = measure(*size), measure(*size, THREADS)
    scrapes = {
        "1,000 series, 50 threads": scrape_ms(1_000, 50),
        "10,000 series, 1 thread": scrape_ms(10_000, 1),
    }
    held = held_up(size[0])
    in_a_file = shared(*size) if os.name != "nt" else {}
    stored: dict[str, dict[str, Any]] = {
        "about": about(),
        "ns": times,
        "ratios": ratios(times),
        "threads_ns": many,
        "threads_ratios": ratios(many),
        "shared_ratios": in_a_file,
        "scrape_ms": scrapes,
        "beside_scrapes": held,
    }
    for case, took in times.items():
        print(
            f"{case:36} {statistics.median(took):10.1f} ns {statistics.median(many[case]):10.1f} ns"
        )
    print(f"(on one thread; on {THREADS} at once)")
    for pair, ratio in stored["ratios"].items():
        print(f"{pair:60} {ratio:8.1f} × {stored['threads_ratios'][pair]:8.1f} ×")
    for case, ratio in stored["shared_ratios"].items():
        print(f"{case + ', in a file that is shared':60} {ratio:8.2f} ×")
    for what, took_ms in scrapes.items():
        print(f"{what:36} {took_ms:10.1f} ms")
    print(f"values recorded beside scrapes ÷ beside a thread that computes: {held['passes']:.2f} ×")
    print(f"longest wait beside scrapes − beside a thread: {held['longest wait, ms']:.2f} ms")
    if options.into:
        options.into.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return 0


def about() -> dict[str, str]:
    """Return what a stored run has to say of itself."""
    from stichotrope import __version__

    return {
        "python": sys.version,
        "platform": platform.platform(),
        "stichotrope": __version__,
        "threads": str(THREADS),
    }
