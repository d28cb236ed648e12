"""What must hold of the program, and what profiling adds to it, measured in fresh processes."""

from __future__ import annotations

import random
import statistics

from benchmarks._run import Fact, Figure, Progress, Scale, Stored
from benchmarks.workloads import _marks, _overhead, _profile

PROGRAM = "benchmarks.workloads.smc"

ENERGY_DRIFT = 6e-9
PEAK_FORCE_N = 26.0
FINAL_NORM = {"classical": 4e-4, "super-twisting": 4e-4, "adaptive": 4e-4, "hybrid": 0.06}

# Steps that are simulated with, in s.
STEPS_S = {Scale.QUICK: (0.01,), Scale.NORMAL: (0.01, 0.001), Scale.FULL: (0.01, 0.001)}
WORKERS = (0, 1, 4, 8)

WORKS = {
    "simulating": "smc simulations",
    "tuning": "smc swarm",
    "tuning on threads": "smc swarm on threads",
}
"""What is compared in all modes, and its titles."""

HEADLINE_LIMITS = _overhead.limit_names(WORKS)

BOTTLENECKS = 6


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Check what must hold, then compare the modes; keep the raw values.

    Raises:
        RuntimeError: a process failed; one that lacks numpy does.
    """
    held = _overhead.child(PROGRAM, "held", steps_s=STEPS_S[scale], workers=WORKERS)
    progress("what must hold")
    profile = _overhead.child(PROGRAM, "profile", seed=rng.randrange(1 << 32))
    progress("profile")
    overhead = _overhead.measure(PROGRAM, scale, rng, progress)
    return {"held": held, "profile": profile, "overhead": overhead}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    return [
        *_overhead.limits(_taken(stored), WORKS),
        _overhead.coarse_fact("smc", [child["coarse"] for child in stored["overhead"]]),
        _energy(stored["held"]["energy"]),
        *(_settles(name, stored["held"]["simulations"]) for name in FINAL_NORM),
        _workers(stored["held"]["tuned"]),
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what a step takes, what marks add that are off, and where the time goes."""
    rows: list[Figure | Fact] = []
    for work, title in WORKS.items():
        us = [statistics.median(taken[f"{_marks.BARE}, {work}"]) / 1e3 for taken in _taken(stored)]
        rows.append(Figure(f"a step, bare, {title}", us, "µs"))
    rows.extend(_overhead.figures(_taken(stored), WORKS))
    shares = _profile.own_shares(stored["profile"]["blocks"])
    for block, share in shares[:BOTTLENECKS]:
        rows.append(Figure(f"smc, own time of {block}", [100 * share], "%"))
    return rows


def _taken(stored: Stored) -> list[_overhead.Series]:
    return [child["ns_a_step"] for child in stored["overhead"]]


def _energy(found: Stored) -> Fact:
    name = f"smc: energy kept to {ENERGY_DRIFT:g} over {found['duration_s']:g} s"
    return Fact(name, 0 < found["drift"] < ENERGY_DRIFT, f"{found['drift']:.2g}")


def _settles(controller: str, simulations: list[Stored]) -> Fact:
    """Return whether a controller settles from every start state, with every step."""
    own = [some for some in simulations if some["controller"] == controller]
    norm = max(some["final_norm"] for some in own)
    force = max(some["peak_force_N"] for some in own)
    limit = FINAL_NORM[controller]
    name = f"smc: {controller} settles to {limit:g} with less than {PEAK_FORCE_N:g} N"
    met = not any(some["fell"] for some in own) and norm <= limit and force < PEAK_FORCE_N
    return Fact(name, met, f"{norm:.2g} and {force:.4g} N at most, {len(own)} simulations")


def _workers(tuned: list[Stored]) -> Fact:
    first, *others = ({key: some[key] for key in ("gains", "costs")} for some in tuned)
    numbers = ", ".join(str(some["workers"]) for some in tuned)
    same = all(other == first for other in others)
    name = "smc: the swarm finds the same on any number of threads"
    return Fact(name, same, f"{'the same' if same else 'another'} on {numbers}")
