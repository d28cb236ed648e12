"""What must hold of the program, measured in fresh processes, and stored with the raw values."""

from __future__ import annotations

import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks._child import ROOT
from benchmarks._run import RESAMPLES, Fact, Figure, Progress, Scale, Stored, ratio
from benchmarks.workloads import _marks, _overhead, _profile
from benchmarks.workloads.prompts import _sizes

PROGRAM = "benchmarks.workloads.prompts"

LONGEST_S = 3.0
WARM_TO_COLD = 0.30
HIT_RATE_PERCENT = 80.0

# One-shot processes of each mode, requests of a trace, processes and rounds that compare ways.
_WHOLE = (150, _sizes.REQUESTS, 12, 20)
SIZES = {Scale.QUICK: (10, 500, 2, 3), Scale.NORMAL: _WHOLE, Scale.FULL: _WHOLE}
WORKS = {"cold": "cold prompts", "warm": "warm prompts"}
"""What is compared in all modes, and its titles."""

HEADLINE_LIMITS = _overhead.limit_names(WORKS)

ONE_SHOT_MODES = (_marks.BARE, _marks.INSTRUMENTED)

WAYS = {
    "as first written": {"remember_paths": False, "skim": False},
    "links remembered": {"remember_paths": True, "skim": False},
    "links remembered, plans skimmed": {"remember_paths": True, "skim": True},
}
"""What the profile led to, one thing after the other."""

BEST = list(WAYS)[-1]
BOTTLENECKS = 4

TRACES = {
    f"{_sizes.PLANS} plans": (_sizes.PLANS, _sizes.EDIT_SHARE, BEST),
    f"{_sizes.LARGE} plans": (_sizes.LARGE, _sizes.EDIT_SHARE, BEST),
    f"{_sizes.PLANS} plans, half as many changes": (_sizes.PLANS, _sizes.EDIT_SHARE / 2, BEST),
    f"{_sizes.PLANS} plans, twice as many changes": (_sizes.PLANS, _sizes.EDIT_SHARE * 2, BEST),
    **{
        f"{_sizes.PLANS} plans, {way}": (_sizes.PLANS, _sizes.EDIT_SHARE, way)
        for way in WAYS
        if way != BEST
    },
}
MAIN, LARGE, *_ = TRACES
LIMITED = (MAIN, LARGE)
"""The traces whose hit rates are held to the limit; the others show what it depends on."""

OF_WAY = {way: MAIN if way == BEST else f"{MAIN}, {way}" for way in WAYS}


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Measure everything, each in processes of its own; keep the raw values."""
    one_shot, requests, processes, rounds = SIZES[scale]
    seed = rng.randrange(1 << 32)
    settings = {"seed": seed, "plans": _sizes.PLANS, "rounds": rounds}
    stored: Stored = {"seed": seed, "one_shot": _one_shot(one_shot, seed, rng, progress)}
    stored["traces"] = {}
    for name, (plans, edit_share, way) in TRACES.items():
        stored["traces"][name] = _overhead.child(
            PROGRAM,
            "trace",
            seed=seed,
            plans=plans,
            requests=requests,
            edit_share=edit_share,
            way=WAYS[way],
        )
        progress("traces")
    stored["threads"] = _overhead.child(PROGRAM, "threads", **settings, threads=16)
    progress("threads")
    stored["ways"] = []
    for _ in range(processes):
        more = {"ways": WAYS, "order_seed": rng.randrange(1 << 32)}
        stored["ways"].append(_overhead.child(PROGRAM, "ways", **settings, **more))
        progress("ways")
    compared = {"seed": seed, "plans": _sizes.PLANS}
    stored["overhead"] = _overhead.measure(PROGRAM, scale, rng, progress, **compared)
    return stored


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    ratios = [warm_to_cold(child, BEST) for child in stored["ways"]]
    rows: list[Figure | Fact] = [_latency(name, some) for name, some in _latencies(stored).items()]
    rows.append(Figure("warm ÷ cold, whole prompts", ratios, "", WARM_TO_COLD, digits=3))
    rows.extend(_hit_rates(name, stored["traces"][name]) for name in LIMITED)
    rows.extend(_overhead.limits(_taken(stored), WORKS))
    coarse = [child["coarse"] for child in stored["overhead"] if "coarse" in child]
    if coarse:  # runs stored before there was a coarse level have none
        rows.append(_overhead.coarse_fact("prompts", coarse))
    return [*rows, _accounts(stored)]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what the bottleneck was and what came of it, and what else the figures depend on."""
    rows: list[Figure | Fact] = []
    for way in WAYS:
        for caches in ("cold", "warm"):
            samples = [child["ns_a_prompt"][f"{way}, {caches}"] for child in stored["ways"]]
            us = [statistics.median(some) / 1e3 for some in samples]
            rows.append(Figure(f"a prompt, {caches}, {way}", us, "µs"))
        ratios = [warm_to_cold(child, way) for child in stored["ways"]]
        rows.append(Figure(f"warm ÷ cold, {way}", ratios, "", digits=3))
        rows.extend(_trace_rows(way, stored["traces"][OF_WAY[way]]))
    for name, some in stored["traces"].items():
        if name not in (*LIMITED, *OF_WAY.values()):
            rates = hit_rates(some)
            rows.append(Figure(f"hit rate, {name}", [rates["all"]], "%"))
            rows.append(Figure(f"whole prompts, {name}", [rates["whole prompts"]], "%"))
    rows.extend(_overhead.figures(_taken(stored), WORKS))
    durations = stored["traces"][MAIN]["durations_ns"]
    rows.extend(
        Figure(f"profile ÷ own timer, {name}", [recorded / own], "", digits=3)
        for name, (own, recorded) in durations.items()
    )
    return rows


def warm_to_cold(child: Stored, way: str) -> float:
    """Return the median over the rounds of one process."""
    taken = child["ns_a_prompt"]
    return statistics.median(ratio(taken[f"{way}, warm"], taken[f"{way}, cold"]))


def hit_rates(played: Stored) -> dict[str, float]:
    """Return what share of look-ups hit in percent, in all caches and in each; and whole prompts.

    A whole prompt hits when nothing is worked out for it but the filling.
    """
    caches = played["caches"]
    asked = {
        name: cache["hits"] + cache["misses"] + cache["joined"] for name, cache in caches.items()
    }
    rates = {"all": 100 * sum(cache["hits"] for cache in caches.values()) / sum(asked.values())}
    rates.update((name, 100 * cache["hits"] / asked[name]) for name, cache in caches.items())
    rates["whole prompts"] = 100 * played["whole_hits"] / len(played["elapsed_ns"])
    return rates


def percentile(samples: Sequence[float], q: float) -> float:
    """Return the smallest sample that `q` percent of all do not exceed."""
    return sorted(samples)[max(math.ceil(q / 100 * len(samples)), 1) - 1]


def bottlenecks(played: Stored) -> list[tuple[str, float]]:
    """Return each block's share of the profile's own time, largest first; fillings count as one."""
    return _profile.own_shares(
        played["profile"], lambda name: "fill" if name.startswith("fill ") else name
    )


def _taken(stored: Stored) -> list[_overhead.Series]:
    return [child["ns_a_prompt"] for child in stored["overhead"]]


def _one_shot(count: int, seed: int, rng: random.Random, progress: Progress) -> Stored:
    """Time whole processes, from their start to their end, that make one prompt each."""
    from benchmarks.workloads.prompts import tree

    taken: dict[str, list[int]] = {mode: [] for mode in ONE_SHOT_MODES}
    with tempfile.TemporaryDirectory(prefix="plans-") as scratch:
        root = Path(scratch, "plans")
        features = [made.feature for made in tree.make_tree(root, seed=seed)]
        for _ in range(count):
            feature = rng.choice(features)
            for mode in rng.sample(ONE_SHOT_MODES, len(ONE_SHOT_MODES)):
                taken[mode].append(_one_process(root, feature, mode))
                progress("processes")
    return {"unit": "ns", "elapsed_ns": taken}


def _one_process(root: Path, feature: str, mode: str) -> int:
    command = [sys.executable, "-m", PROGRAM, "prompt", "--tree", str(root)]
    start_ns = time.perf_counter_ns()
    subprocess.run(
        [*command, "--feature", feature, "--profiling", mode],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter_ns() - start_ns


def _trace_rows(way: str, played: Stored) -> list[Figure | Fact]:
    """Return what a prompt of a trace took by the profile, and what took most of that itself."""
    elapsed = sum(block["total_ns"] for block in played["profile"] if block["name"] == "prompt")
    us = elapsed / len(played["elapsed_ns"]) / 1e3
    rows: list[Figure | Fact] = [Figure(f"a prompt of a trace, {way}", [us], "µs")]
    for block, share in bottlenecks(played)[:BOTTLENECKS]:
        rows.append(Figure(f"own time of {block}, {way}", [100 * share], "%", digits=0))
    return rows


def _latencies(stored: Stored) -> dict[str, list[float]]:
    """Return how long prompts took in ms, by the kind of process."""
    one_shot = stored["one_shot"]["elapsed_ns"]
    taken = {f"one-shot process, {mode}": one_shot[mode] for mode in ONE_SHOT_MODES}
    taken["long-lived process, instrumented"] = stored["traces"][MAIN]["elapsed_ns"]
    return {name: [ns / 1e6 for ns in some] for name, some in taken.items()}


def _latency(name: str, samples: list[float]) -> Fact:
    ordered = sorted(samples)
    drawn = [ordered[place] for place in _places_of_percentile(len(ordered), 99)]
    low, high = (drawn[round(share * (RESAMPLES - 1))] for share in (0.025, 0.975))
    seen = (
        f"{percentile(samples, 50):.3g} / {percentile(samples, 99):.3g} ms [{low:.3g}, {high:.3g}]"
        f", at most {max(samples):.3g} ms"
    )
    return Fact(f"p50 / p99 in under {LONGEST_S:g} s, {name}", high < LONGEST_S * 1e3, seen)


@cache
def _places_of_percentile(count: int, q: float) -> list[int]:
    """Return where, in the order of all samples, resamples have their percentile; in that order."""
    rng = random.Random(count)
    resamples = (rng.choices(range(count), k=count) for _ in range(RESAMPLES))
    return sorted(int(percentile(places, q)) for places in resamples)


def _hit_rates(name: str, played: Stored) -> Fact:
    rates = hit_rates(played)
    seen = ", ".join(f"{what} {percent:.1f} %" for what, percent in rates.items())
    met = min(rates.values()) > HIT_RATE_PERCENT
    return Fact(f"hit rates above {HIT_RATE_PERCENT:g} %, {name}", met, seen)


def _accounts(stored: Stored) -> Fact:
    """Return whether the program and the profile have counted the same, in each process."""
    children = [*stored["traces"].values(), stored["threads"]]
    pairs = [pair for child in children for pair in child["counts"].values()]
    equal = sum(own == recorded for own, recorded in pairs)
    seen = f"{equal} of {len(pairs)} counts equal, {sum(own for own, _ in pairs):,} in all"
    return Fact("the profile counts what the caches count", equal == len(pairs), seen)
