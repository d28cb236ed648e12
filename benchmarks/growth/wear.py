"""What a pass costs after 100 million of them, beside what it costs in a profiler that is new."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks._curve import Curve
from benchmarks._run import Fact, Figure, Loop, Progress, Scale, Stored, ratio
from benchmarks.growth._count import all_counted
from benchmarks.per_pass import Case, net_ns, time_cases

PASSES, QUICK_PASSES = 100_000_000, 1_000_000
PORTION = 1_000_000
ROUNDS, QUICK_ROUNDS = 31, 15
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 2_000_000
WARM_UP = 1000

ARMS = {"tracked": ("tracked call", "f()", "bare"), "kept": ("kept block", "with b: pass", "loop")}
"""What records: its title, its body, and the case that is subtracted from it."""


@dataclass(frozen=True)
class Renewed(Case):
    """A case whose loop and names are made anew for each timing, and warmed up before it.

    So what was used for long differs from what is new in the profiler alone.
    """

    make: Callable[[], dict[str, Any]] = dict

    def loop(self) -> Loop:
        """Return a function that times n runs of the body in a loop that it makes for that."""

        def timed(count: int) -> int:
            inner = Case(self.name, self.title, self.body, self.make()).loop()
            inner(WARM_UP)
            return inner(count)

        return timed


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Record all those passes, then time the worn profiler and new ones in turn."""
    quick = scale is Scale.QUICK
    passes = QUICK_PASSES if quick else PASSES
    worn = {arm: _names(arm) for arm in ARMS}
    recorded = {arm: _wear_out(arm, names, passes, progress) for arm, names in worn.items()}
    timed = time_cases(
        _cases(worn),
        QUICK_TARGET_NS if quick else TARGET_NS,
        QUICK_ROUNDS if quick else ROUNDS,
        rng,
        progress,
    )
    return {**timed, "worn_passes": passes, "recorded": recorded}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return whether every one of those passes was counted; no cost is held to a limit."""
    name = f"every one of {stored['worn_passes']:,} passes counted, calls and blocks"
    return [all_counted(name, stored["recorded"])]


def curves(stored: Stored) -> list[Curve]:
    """Return what a pass costs at first and in the end."""
    return [
        Curve(
            title,
            "passes before",
            "ns",
            [
                (0, net_ns(stored, f"{arm}_new")),
                (stored["worn_passes"], net_ns(stored, f"{arm}_worn")),
            ],
            partial(_title, title),
        )
        for arm, (title, _, _) in ARMS.items()
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return those costs, and the last in terms of the first."""
    found: list[Figure | Fact] = []
    for curve in curves(stored):
        (_, new), (passes, worn) = curve.points
        name = f"{curve.name(passes)} ÷ in a new profiler"
        found += [*curve.figures(), Figure(name, ratio(worn, new), "×", digits=2)]
    return found


def _title(title: str, passes: float) -> str:
    return f"{title}, after {passes:,} passes" if passes else f"{title}, in a new profiler"


def _cases(worn: dict[str, dict[str, Any]]) -> list[Case]:
    found: list[Case] = [
        Renewed("loop", "empty loop", "pass", minus=None),
        Renewed("bare", "bare call", "f()", minus=None, make=lambda: {"f": _empty()}),
    ]
    for arm, (title, body, base) in ARMS.items():
        makes = {"new": partial(_names, arm), "worn": partial(worn.__getitem__, arm)}
        for age, make in makes.items():
            case = f"{arm}_{age}", f"{title}, {age} profiler", body
            found.append(Renewed(*case, minus=base, make=make))
    return found


def _names(arm: str) -> dict[str, Any]:
    """Return what an arm's body refers to, in a profiler that is new."""
    from stichotrope import Profiler

    profiler = Profiler(f"growth, {arm}")
    return (
        {"f": profiler.track(0, arm)(_empty()), "profiler": profiler}
        if arm == "tracked"
        else {"b": profiler.block(0, arm), "profiler": profiler}
    )


def _wear_out(arm: str, names: dict[str, Any], passes: int, progress: Progress) -> dict[str, int]:
    """Record so many passes; return that number, and how many the profiler has."""
    title, body, _ = ARMS[arm]
    loop = Case(arm, title, body, names).loop()
    for done in range(0, passes, PORTION):
        loop(min(PORTION, passes - done))
        progress(f"{arm} {done + PORTION:,}/{passes:,}")
    return {"passes": passes, "hits": names["profiler"].get_results().total_hits}


def _empty() -> Callable[[], None]:
    def empty() -> None:
        pass

    return empty
