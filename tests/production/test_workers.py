"""Pools and workers: every evaluation is counted once, lasts as long as it did, and is its own thread's."""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conftest import WATCHDOG_SECONDS, ManualClock, Threads, recorded
from production.conftest import Player
from production.subjects import KINDS, all_hits
from stichotrope import ProfilerResults, _core

pytestmark = [pytest.mark.concurrent, pytest.mark.integration]

WORK_NS = 300_000


def evaluate(kind: str) -> Any:
    """Four workers evaluate ten items five times; two evaluations go on at once, always."""
    subject = KINDS[kind]()
    for item in range(10):
        subject.make(item)
    ready, pair = threading.Barrier(4), threading.Barrier(2)
    took: dict[int, list[int]] = {item: [] for item in range(10)}

    def evaluation(item: int) -> int:
        with subject.open(item):
            began = time.monotonic_ns()
            pair.wait(WATCHDOG_SECONDS)
            while time.monotonic_ns() - began < WORK_NS:
                time.sleep(0)
            took[item].append(time.monotonic_ns() - began)
        return threading.get_ident()

    seen: set[int] = set()
    with ThreadPoolExecutor(4, initializer=ready.wait, initargs=(WATCHDOG_SECONDS,)) as pool:
        for _ in range(5):
            seen.update(pool.map(evaluation, range(10)))
    results = subject.results()
    blocks = {name: block for r in results for name, block in recorded(r).items()}
    return {
        "clock": _core.clock_source(),
        "hits": all_hits(results),
        "took": [[sum(ns), min(ns), max(ns)] for ns in took.values()],
        "recorded": [
            [blocks[f"{i}"].total_time_ns, blocks[f"{i}"].min_time_ns, blocks[f"{i}"].max_time_ns]
            for i in range(10)
        ],
        "seen": len(seen),
        "threads": len({share.key for found in results for share in found.threads}),
        "shares": sum(share.total_hits for found in results for share in found.threads),
    }


@pytest.mark.parametrize("clock", ["monotonic", ""], ids=["monotonic clock", "usual clock"])
def test_a_pool_counts_each_evaluation_and_no_less_than_it_took(
    play: Player, kind: str, clock: str
) -> None:
    """Hits are evaluations; by the clock that measures inside as well, durations are no shorter than that."""
    environment = {"STICHOTROPE_CLOCK": clock}
    for facts in play(evaluate, environment=environment, kind=kind):
        assert facts["hits"] == {f"{item}": 5 for item in range(10)}
        assert facts["shares"] == 50
        assert facts["seen"] == facts["threads"] >= 2
        assert min(shortest for _, shortest, _ in facts["took"]) >= WORK_NS
        if facts["clock"] == "monotonic":
            for took, found in zip(facts["took"], facts["recorded"], strict=True):
                assert all(outside >= inside for inside, outside in zip(took, found, strict=True))


def disjoint(kind: str) -> Any:
    """Ten workers pass through five things each, that no other worker touches, by a clock of their own."""
    subject = KINDS[kind]()
    clock = ManualClock()

    def work(worker: int) -> None:
        first = 5 * worker
        for number in range(first, first + 5):
            subject.make(number)
        for number in range(first + 1, first + 5):
            with subject.open(first):
                clock.advance(worker + 1)
                with subject.open(number):
                    clock.advance(10 * (number - first))

    Threads().together(*(functools.partial(work, worker) for worker in range(10)))
    results = subject.results()
    trees: dict[str, dict[str, list[int]]] = {f"worker {worker}": {} for worker in range(10)}
    totals = dict.fromkeys(trees, 0)
    for found in results:
        for share in found.threads:
            totals[share.name] += share.total_time_ns
            for node, depth in share.tree.walk():
                if depth and node.hit_count:
                    assert node.name not in trees[share.name]
                    trees[share.name][node.name] = [node.hit_count, node.total_time_ns]
    return {"trees": trees, "totals": totals, "merged": merged(results)}


def merged(results: list[ProfilerResults]) -> Any:
    """All results in one: total, hits, and each node of the tree."""
    together = results[0].merge(*results[1:]) if len(results) > 1 else results[0]
    nodes = [(node, depth) for node, depth in together.tree.walk() if depth]
    return {
        "total": together.total_time_ns,
        "hits": together.total_hits,
        "nodes": {node.name: [node.hit_count, node.total_time_ns] for node, _ in nodes},
        "count": len(nodes),
    }


def test_workers_with_blocks_of_their_own_have_trees_of_their_own(play: Player, kind: str) -> None:
    """Each thread's tree holds its own five blocks and no others; merged, they are the sum, to the ns."""
    trees: dict[str, dict[str, list[int]]] = {}
    for worker in range(10):
        first = 5 * worker
        trees[f"worker {worker}"] = {
            f"{first}": [4, 4 * (worker + 1) + 100],
            **{f"{first + i}": [1, 10 * i] for i in range(1, 5)},
        }
    # Blocks of different profilers are not each other's children.
    above = 100 if kind == "profilers" else 0
    totals = {f"worker {worker}": 4 * (worker + 1) + 100 + above for worker in range(10)}
    for facts in play(disjoint, kind=kind):
        assert facts["trees"] == trees
        assert facts["totals"] == totals
        assert facts["merged"] == {
            "total": sum(totals.values()),
            "hits": 80,
            "nodes": {name: node for tree in trees.values() for name, node in tree.items()},
            "count": 50,
        }
