"""What recording a metric costs, beside its peers in one run; what a scrape takes.

The cases take turns, round after round, in processor time, the empty loop subtracted; a ratio is
the median over the rounds. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS, LOOPS = 15, 20_000
QUICK_ROUNDS, QUICK_LOOPS = 3, 1_000
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


def measure(rounds: int, loops: int) -> dict[str, list[float]]:
    """Return case → nanoseconds of processor time a statement in each round, the loop subtracted.

    :param rounds: how many.
    :param loops: statements in a round.
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
    for _ in range(rounds):
        for case, run in runs.items():
            start = time.thread_time_ns()
            run(loops)
            times[case].append((time.thread_time_ns() - start) / loops)
    empty = times.pop("empty loop")
    return {
        case: [took - least for took, least in zip(all_of_them, empty, strict=True)]
        for case, all_of_them in times.items()
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


def main(arguments: list[str]) -> int:
    """Measure, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks metrics", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write all figures as JSON")
    options = parser.parse_args(arguments)
    times = measure(*((QUICK_ROUNDS, QUICK_LOOPS) if options.quick else (ROUNDS, LOOPS)))
    stored: dict[str, dict[str, Any]] = {
        "ns": times,
        "ratios": ratios(times),
        "scrape_ms": {
            "1,000 series, 50 threads": scrape_ms(1_000, 50),
            "10,000 series, 1 thread": scrape_ms(10_000, 1),
        },
    }
    for case, took in times.items():
        print(f"{case:36} {statistics.median(took):10.1f} ns")
    for pair, ratio in stored["ratios"].items():
        print(f"{pair:60} {ratio:8.1f} ×")
    for what, took_ms in stored["scrape_ms"].items():
        print(f"{what:36} {took_ms:10.1f} ms")
    if options.into:
        options.into.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return 0
