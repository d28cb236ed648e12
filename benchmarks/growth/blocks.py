"""What a pass costs when a program goes round through 1 to 10,000 blocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks._curve import Curve
from benchmarks._run import Fact, Figure, Progress, Scale, Stored, ratio
from benchmarks.floors import load_floors
from benchmarks.growth._count import Counter, Warmed, all_counted
from benchmarks.per_pass import Case, net_ns, time_cases

SIZES = (1, 10, 100, 1_000, 10_000)
ROUNDS, QUICK_ROUNDS = 31, 9
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 2_000_000

ARMS = {
    "tracked": "tracked call",
    "kept": "kept block",
    "inline": "inline block",
    "clocks": "forward + 2 clock reads",
    "clock_context": "empty context manager + 2 clock reads",
}
"""What goes round: ours, and floors that have as many objects to touch."""

RECORDED = ("tracked", "kept", "inline")
_CALLS, _BLOCKS = "for f in fs: f()", "for b in bs:\n    with b: pass"


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time whole rounds through so many blocks; return the raw values."""
    quick = scale is Scale.QUICK
    counter = Counter(untimed=1)
    timed = time_cases(
        [case for size in SIZES for case in _cases(size, counter)],
        QUICK_TARGET_NS if quick else TARGET_NS,
        QUICK_ROUNDS if quick else ROUNDS,
        rng,
        progress,
        calibrated=counter.start,
    )
    return {**timed, "sizes": list(SIZES), "recorded": counter.counted(timed)}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return whether every pass of every block was counted; no cost is held to a limit."""
    most = max(stored["sizes"])
    return [all_counted(f"every pass of 1 to {most:,} blocks counted", stored["recorded"])]


def curves(stored: Stored) -> list[Curve]:
    """Return what a pass costs with so many blocks."""
    return [
        Curve(
            title,
            "blocks",
            "ns",
            [(size, net_ns(stored, f"{arm}_{size}")) for size in stored["sizes"]],
            partial(_title, title),
        )
        for arm, title in ARMS.items()
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return those costs, and what the most blocks make of them."""
    found: list[Figure | Fact] = []
    for curve in curves(stored):
        (least, first), *_, (most, last) = curve.points
        name = f"{_title(curve.title, most)} ÷ {least:,}"
        found += [*curve.figures(), Figure(name, ratio(last, first), "×", digits=2)]
    return found


def _title(title: str, size: float) -> str:
    return f"{title}, round through {size:,} block{'s' if size > 1 else ''}"


def _cases(size: int, counter: Counter) -> list[Case]:
    """Return the cases of one size; each has its objects and its profiler for itself."""
    floors = load_floors()
    tracked = counter.new(f"tracked_{size}")
    kept = counter.new(f"kept_{size}")
    inline = counter.new(f"inline_{size}")

    def case(arm: str, body: str, names: dict[str, Any], minus: str | None) -> Case:
        base = None if minus is None else f"{minus}_{size}"
        title = f"{ARMS.get(arm, arm.replace('_', ' '))}, {size:,}"
        return Warmed(f"{arm}_{size}", title, body, names, base, size)

    def calls(wrap: Callable[[int, Any], Any]) -> dict[str, Any]:
        return {"fs": [wrap(number, _empty()) for number in range(size)]}

    def contexts(make: Callable[[int], Any]) -> dict[str, Any]:
        return {"bs": [make(number) for number in range(size)]}

    return [
        case("bare_calls", _CALLS, calls(lambda number, f: f), None),
        case("bare_loop", "for b in bs: pass", contexts(lambda number: None), None),
        case("bare_call", "f()", {"f": _empty()}, None),
        case("clocks", _CALLS, calls(lambda number, f: floors.ForwardTwoClocks(f)), "bare_calls"),
        case("tracked", _CALLS, calls(lambda n, f: tracked.track(0, f"{n}")(f)), "bare_calls"),
        case("clock_context", _BLOCKS, contexts(lambda n: floors.ClockContext()), "bare_loop"),
        case("kept", _BLOCKS, contexts(lambda n: kept.block(0, f"{n}")), "bare_loop"),
        case("inline", "f()", {"f": _inline(size, inline)}, "bare_call"),
    ]


def _empty() -> Callable[[], None]:
    def empty() -> None:
        pass

    return empty


def _inline(size: int, profiler: Any) -> Callable[[], None]:
    """Return a function with so many inline blocks, one after the other, each a place of its own.

    A program has them in many places too; one place that goes through names would look up each in
    the same few slots.
    """
    lines = (f'    with p.block(0, "{number}"): pass\n' for number in range(size))
    scope: dict[str, Any] = {"profiler": profiler}
    source = f"def passes(p=profiler):\n{''.join(lines)}"
    exec(compile(source, f"<inline blocks, {size}>", "exec"), scope)
    passes: Callable[[], None] = scope["passes"]
    return passes
