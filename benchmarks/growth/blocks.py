"""What a pass costs when a program goes round through 1 to 10,000 blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.floors import load_floors
from benchmarks.growth._count import Counter, Warmed
from benchmarks.growth._series import Series
from benchmarks.per_pass import Case

SIZES = (1, 10, 100, 1_000, 10_000)

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


_SERIES = Series(
    "sizes",
    "blocks",
    SIZES,
    ARMS,
    _cases,
    _title,
    lambda most: f"every pass of 1 to {most:,} blocks counted",
)
measure, limits, curves, figures = (
    _SERIES.measure,
    _SERIES.limits,
    _SERIES.curves,
    _SERIES.figures,
)
