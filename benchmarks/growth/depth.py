"""What a pass costs when blocks stand in one another, 1 to 100 deep."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks._curve import Curve
from benchmarks._run import Fact, Figure, Progress, Scale, Stored, ratio
from benchmarks.growth._count import Counter, Warmed, all_counted
from benchmarks.per_pass import Case, net_ns, time_cases

DEPTHS = (1, 2, 5, 10, 20, 50, 100)
ROUNDS, QUICK_ROUNDS = 31, 9
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 2_000_000

ARMS = {"tracked": "tracked call", "kept": "kept block", "inline": "inline block"}
# Each level is a function of its own: the interpreter takes 20 `with` in one another at most.
_OPENS = {"bare": "", "tracked": "", "kept": "with b{}: ", "inline": 'with p.block(0, "{}"): '}


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time calls through so many levels, each with a block of its own; return the raw values."""
    quick = scale is Scale.QUICK
    counter = Counter(untimed=1)
    timed = time_cases(
        [case for depth in DEPTHS for case in _cases(depth, counter)],
        QUICK_TARGET_NS if quick else TARGET_NS,
        QUICK_ROUNDS if quick else ROUNDS,
        rng,
        progress,
        calibrated=counter.start,
    )
    return {**timed, "depths": list(DEPTHS), "recorded": counter.counted(timed)}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return whether every pass on every level was counted; no cost is held to a limit."""
    most = max(stored["depths"])
    return [all_counted(f"every pass up to {most} deep counted", stored["recorded"])]


def curves(stored: Stored) -> list[Curve]:
    """Return what a pass costs, on average over the levels, when so many stand in one another."""
    return [
        Curve(
            title,
            "nesting depth",
            "ns",
            [(depth, net_ns(stored, f"{arm}_{depth}")) for depth in stored["depths"]],
            partial(_title, title),
        )
        for arm, title in ARMS.items()
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return those costs, and what the greatest depth makes of them."""
    found: list[Figure | Fact] = []
    for curve in curves(stored):
        (least, first), *_, (most, last) = curve.points
        name = f"{_title(curve.title, most)} ÷ {least}"
        found += [*curve.figures(), Figure(name, ratio(last, first), "×", digits=2)]
    return found


def _title(title: str, depth: float) -> str:
    return f"{title}, nested {depth} deep"


def _cases(depth: int, counter: Counter) -> list[Case]:
    bare = {"f": _chain("bare", depth, None)}
    found: list[Case] = [
        Warmed(f"bare_{depth}", f"bare calls, {depth} deep", "f()", bare, None, depth)
    ]
    for arm, title in ARMS.items():
        name = f"{arm}_{depth}"
        chain = {"f": _chain(arm, depth, counter.new(name))}
        found.append(Warmed(name, f"{title}, {depth} deep", "f()", chain, f"bare_{depth}", depth))
    return found


def _chain(arm: str, depth: int, profiler: Any) -> Callable[[], None]:
    """Return the first of so many functions, each of which calls the next inside a block."""
    scope: dict[str, Any] = {"p": profiler}
    for level in range(depth):
        calls = "pass" if level == depth - 1 else f"f{level + 1}()"
        source = f"def f{level}():\n    {_OPENS[arm].format(level)}{calls}\n"
        exec(compile(source, f"<{arm}, level {level} of {depth}>", "exec"), scope)
        if arm == "tracked":
            scope[f"f{level}"] = profiler.track(0, str(level))(scope[f"f{level}"])
        if arm == "kept":
            scope[f"b{level}"] = profiler.block(0, str(level))
    first: Callable[[], None] = scope["f0"]
    return first
