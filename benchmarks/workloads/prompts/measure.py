"""What must hold of the program, measured in fresh processes, and stored with the raw values."""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _machine, _store
from benchmarks.__main__ import _package
from benchmarks._child import ROOT, run_module
from benchmarks._run import RESAMPLES, Fact, Figure, Progress, Scale, Stored, ratio
from benchmarks.workloads import _marks
from benchmarks.workloads.prompts import trace, tree
from benchmarks.workloads.prompts._progress import progress_bar

PROGRAM = "benchmarks.workloads.prompts"
STORED_IN = Path(__file__).with_name("results")

LONGEST_S = 3.0
WARM_TO_COLD = 0.30
HIT_RATE_PERCENT = 80.0
OVERHEAD_PERCENT = 5.0

# One-shot processes of each mode, requests of a trace, processes and rounds that compare.
SIZES = {Scale.QUICK: (10, 500, 2, 3), Scale.NORMAL: (150, trace.REQUESTS, 12, 20)}
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
    f"{tree.PLANS} plans": (tree.PLANS, trace.EDIT_SHARE, BEST),
    f"{tree.LARGE} plans": (tree.LARGE, trace.EDIT_SHARE, BEST),
    f"{tree.PLANS} plans, half as many changes": (tree.PLANS, trace.EDIT_SHARE / 2, BEST),
    f"{tree.PLANS} plans, twice as many changes": (tree.PLANS, trace.EDIT_SHARE * 2, BEST),
    **{
        f"{tree.PLANS} plans, {way}": (tree.PLANS, trace.EDIT_SHARE, way)
        for way in WAYS
        if way != BEST
    },
}
MAIN, LARGE, *_ = TRACES
LIMITED = (MAIN, LARGE)
"""The traces whose hit rates are held to the limit; the others show what it depends on."""

OF_WAY = {way: MAIN if way == BEST else f"{MAIN}, {way}" for way in WAYS}


def run(options: Namespace) -> int:
    """Measure, store, and print what came of it; return the exit status.

    Raises:
        OSError: the run cannot be stored.
    """
    scale = Scale.QUICK if options.quick else Scale.NORMAL
    stored = _store.new_run(scale.value, options.seed, _machine.describe(), _package())
    rng = random.Random(f"{options.seed} prompts")
    with progress_bar(steps(scale), options.quiet) as advance:
        stored["subjects"]["prompts"] = measure(scale, rng, advance)
    stored["machine"]["load_average_after"] = _machine.load_average()
    path = options.output or _free_path(stored)
    _store.save(stored, path)
    print(render(stored["subjects"]["prompts"]))
    print(f"\nstored in {os.path.relpath(path)}")
    return 0


def steps(scale: Scale) -> int:
    """Return how often `measure` tells of progress."""
    one_shot, _, processes, _ = SIZES[scale]
    return one_shot * len(ONE_SHOT_MODES) + len(TRACES) + 1 + 2 * processes


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Measure everything, each in processes of its own; keep the raw values."""
    one_shot, requests, processes, rounds = SIZES[scale]
    seed = rng.randrange(1 << 32)
    settings = {"seed": seed, "plans": tree.PLANS, "rounds": rounds}
    stored: Stored = {"seed": seed, "one_shot": _one_shot(one_shot, seed, rng, progress)}
    stored["traces"] = {}
    for name, (plans, edit_share, way) in TRACES.items():
        stored["traces"][name] = _child(
            "trace",
            seed=seed,
            plans=plans,
            requests=requests,
            edit_share=edit_share,
            way=WAYS[way],
        )
        progress("traces")
    stored["threads"] = _child("threads", **settings, threads=16)
    progress("threads")
    for kind, more in (("ways", {"ways": WAYS}), ("overhead", {})):
        stored[kind] = []
        for _ in range(processes):
            stored[kind].append(_child(kind, **settings, **more, order_seed=rng.randrange(1 << 32)))
            progress(kind)
    return stored


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    ratios = [warm_to_cold(child, BEST) for child in stored["ways"]]
    rows: list[Figure | Fact] = [_latency(name, some) for name, some in _latencies(stored).items()]
    rows.append(Figure("warm ÷ cold, whole prompts", ratios, "", WARM_TO_COLD, digits=3))
    rows.extend(_hit_rates(name, stored["traces"][name]) for name in LIMITED)
    rows.extend(
        Figure(
            f"profiling, {caches} prompts",
            overheads(stored, caches, _marks.INSTRUMENTED),
            "%",
            OVERHEAD_PERCENT,
            digits=2,
        )
        for caches in ("cold", "warm")
    )
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
        rows.extend(_profile(way, stored["traces"][OF_WAY[way]]))
    for name, some in stored["traces"].items():
        if name not in (*LIMITED, *OF_WAY.values()):
            rates = hit_rates(some)
            rows.append(Figure(f"hit rate, {name}", [rates["all"]], "%"))
            rows.append(Figure(f"whole prompts, {name}", [rates["whole prompts"]], "%"))
    rows.extend(
        Figure(f"off, {caches} prompts", overheads(stored, caches, _marks.OFF), "%", digits=2)
        for caches in ("cold", "warm")
    )
    durations = stored["traces"][MAIN]["durations_ns"]
    rows.extend(
        Figure(f"profile ÷ own timer, {name}", [recorded / own], "", digits=3)
        for name, (own, recorded) in durations.items()
    )
    return rows


def render(stored: Stored) -> str:
    """Return limits and figures, a line for each."""
    return "\n".join(_line(row) for row in [*limits(stored), *figures(stored)])


def warm_to_cold(child: Stored, way: str) -> float:
    """Return the median over the rounds of one process."""
    taken = child["ns_a_prompt"]
    return statistics.median(ratio(taken[f"{way}, warm"], taken[f"{way}, cold"]))


def overheads(stored: Stored, caches: str, mode: str) -> list[float]:
    """Return by how many percent a mode is slower than bare: the median of each process.

    What is paired is a round; what is independent is a process, with its own places in memory.
    """
    medians = []
    for child in stored["overhead"]:
        taken = child["ns_a_prompt"]
        times = ratio(taken[f"{mode}, {caches}"], taken[f"{_marks.BARE}, {caches}"])
        medians.append(100 * (statistics.median(times) - 1))
    return medians


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
    own: dict[str, int] = {}
    for block in played["profile"]:
        name = "fill" if block["name"].startswith("fill ") else block["name"]
        own[name] = own.get(name, 0) + block["self_ns"]
    whole = sum(own.values())
    return sorted(((name, ns / whole) for name, ns in own.items()), key=lambda pair: -pair[1])


def _one_shot(count: int, seed: int, rng: random.Random, progress: Progress) -> Stored:
    """Time whole processes, from their start to their end, that make one prompt each."""
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


def _child(name: str, **settings: object) -> Stored:
    done: Stored = run_module(f"{PROGRAM}._child", name, json.dumps(settings))
    return done


def _profile(way: str, played: Stored) -> list[Figure | Fact]:
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
    rng = random.Random(len(samples))
    drawn = sorted(percentile(rng.choices(samples, k=len(samples)), 99) for _ in range(RESAMPLES))
    low, high = (drawn[round(share * (RESAMPLES - 1))] for share in (0.025, 0.975))
    seen = (
        f"{percentile(samples, 50):.3g} / {percentile(samples, 99):.3g} ms [{low:.3g}, {high:.3g}]"
        f", at most {max(samples):.3g} ms"
    )
    return Fact(f"p50 / p99 in under {LONGEST_S:g} s, {name}", high < LONGEST_S * 1e3, seen)


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


def _line(row: Figure | Fact) -> str:
    verdict = row.verdict()
    said = f": {verdict}" if verdict else ""
    if isinstance(row, Fact):
        return f"{row.name}: {row.seen}{said}"
    middle, low, high = (f"{value:.{row.digits}f}" for value in row.interval())
    spread = f" [{low}, {high}]" if len(row.samples) > 1 else ""
    return f"{row.name}: {' '.join((middle, row.unit)).rstrip()}{spread}{said}"


def _free_path(stored: _store.Run) -> Path:
    """Return a free name beside the other stored runs of this program: none is overwritten."""
    path = STORED_IN / _store.default_path(stored).name
    number = 1
    while path.exists():
        number += 1
        path = path.with_stem(f"{path.stem}-{number}")
    return path
