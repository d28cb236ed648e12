"""What a pass costs when blocks stand in one another, 1 to 100 deep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.growth._count import Counter, Warmed
from benchmarks.growth._series import Series
from benchmarks.per_pass import Case

DEPTHS = (1, 2, 5, 10, 20, 50, 100)

ARMS = {"tracked": "tracked call", "kept": "kept block", "inline": "inline block"}
# Each level is a function of its own: the interpreter takes 20 `with` in one another at most.
_OPENS = {"bare": "", "tracked": "", "kept": "with b{}: ", "inline": 'with p.block(0, "{}"): '}


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


_SERIES = Series(
    "depths",
    "nesting depth",
    DEPTHS,
    ARMS,
    _cases,
    _title,
    lambda most: f"every pass up to {most} deep counted",
)
measure, limits, curves, figures = (
    _SERIES.measure,
    _SERIES.limits,
    _SERIES.curves,
    _SERIES.figures,
)
