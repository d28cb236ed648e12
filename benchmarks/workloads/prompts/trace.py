"""A day of requests: people who work on plans, ask for prompts again and again, and change files.

Time is simulated, and so are the modification times of what is changed: a trace lasts hours and is
played in seconds, with the same hits and misses each time.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.workloads.prompts._sizes import EDIT_SHARE, REQUESTS
from benchmarks.workloads.prompts.generate import BEST_WAY, PromptGenerator, Statistics, Way
from benchmarks.workloads.prompts.tree import DAY_NS, EPOCH_NS, advance, set_time

PEOPLE = 5
GAP_S = 15.0
"""The mean time from one request of a person to the next; it is distributed exponentially."""

VISIT = 15
"""The mean number of requests for one plan before a person turns to another; geometric."""

POPULARITY = 1.0
"""The exponent of Zipf's law, by which people choose plans."""

CHANGED_BEFORE_NS = 5 * 10**9
"""How long before."""


class Request(NamedTuple):
    """One request: when, in s; for which plan; and whether its files were changed just before."""

    at_s: float
    feature: str
    edits: bool


class Played(NamedTuple):
    """What came of a trace.

    Attributes:
        elapsed_ns: of each prompt, on the wall clock.
        whole_hits: prompts for which nothing was worked out but the filling.
        edits: how often files were changed.
        duration_s: how long the trace is, in simulated time.
        statistics: of the generator.
    """

    elapsed_ns: list[int]
    whole_hits: int
    edits: int
    duration_s: float
    statistics: Statistics


class SimulatedTime:
    """The time of a trace: it is what it is set to, from a day after the tree was made."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> float:
        """Return the time in s."""
        return self.now_s

    def wall_ns(self) -> int:
        """Return the time in ns, as files have it."""
        return EPOCH_NS + DAY_NS + round(self.now_s * 1e9)


def make_trace(
    features: Sequence[str], requests: int = REQUESTS, seed: int = 1, edit_share: float = EDIT_SHARE
) -> list[Request]:
    """Return the requests, in the order of time.

    Args:
        features: names of the plans.
        requests: how many.
        seed: of all that is drawn.
        edit_share: how many of them come after a change, 0 to 1; never the first of a visit.

    Raises:
        ValueError: there are no plans, or a number is out of range.
    """
    if not features or requests < 1 or not 0 <= edit_share <= 1:
        raise ValueError(
            f"{requests} requests for {len(features)} plans, {edit_share} of them after a change, "
            "were asked for; there must be 1 or more of both, and a share from 0 to 1"
        )
    rng = random.Random(f"trace {seed}")
    ranked = rng.sample(list(features), len(features))
    people = [_person(ranked, rng, edit_share) for _ in range(PEOPLE)]
    return [request for request, _ in zip(heapq.merge(*people), range(requests), strict=False)]


def _person(ranked: list[str], rng: random.Random, edit_share: float) -> Iterator[Request]:
    own = random.Random(rng.random())
    weights = [1 / (place + 1) ** POPULARITY for place in range(len(ranked))]
    now_s = 0.0
    while True:
        (feature,) = own.choices(ranked, weights)
        first = True
        while first or own.random() > 1 / VISIT:
            now_s += own.expovariate(1 / GAP_S)
            yield Request(now_s, feature, not first and own.random() < edit_share)
            first = False


def play(
    root: Path,
    trace: Sequence[Request],
    seed: int = 1,
    way: Way = BEST_WAY,
    *,
    progress: Callable[[str], None] | None = None,
) -> Played:
    """Ask for all prompts of a trace, one after the other, and change the tree as it says.

    Args:
        root: of the tree, which is not the same afterwards.
        trace: the requests.
        seed: of the texts and verdicts that are written.
        way: how the generator works.
        progress: is told the name of each plan that a prompt was made for.
    """
    simulated, rng = SimulatedTime(), random.Random(f"edits {seed}")
    generator = PromptGenerator(root, clock=simulated.clock, wall_ns=simulated.wall_ns, way=way)
    known: dict[str, tuple[str, str | None]] = {}
    elapsed_ns: list[int] = []
    whole_hits = edits = missed = 0
    for at_s, feature, edit in trace:
        simulated.now_s = at_s
        if edit:
            changed_ns = simulated.wall_ns() - CHANGED_BEFORE_NS
            for path in advance(root, feature, *known[feature], rng):
                set_time(path, changed_ns)
            edits += 1
        start_ns = time.perf_counter_ns()
        prompt = generator.generate(feature)
        elapsed_ns.append(time.perf_counter_ns() - start_ns)
        known[feature] = prompt.state, prompt.number
        before = missed
        missed = sum(cache.misses for cache in generator.statistics().caches.values())
        whole_hits += missed == before
        if progress is not None:
            progress(feature)
    return Played(elapsed_ns, whole_hits, edits, trace[-1].at_s, generator.statistics())
