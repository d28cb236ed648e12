"""What recording adds to work of 100 ns to 100 ms, and from which duration on it is below 1 %.

Measured directly, as the same work with and without; and derived, as the cost of a pass over the
duration. For long work the direct measurement shows the machine's own unrest, which is then far
greater than what is looked for.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from benchmarks._curve import Curve
from benchmarks._run import (
    Fact,
    Figure,
    Progress,
    Scale,
    Stored,
    calibrate,
    finest_cpu_timer,
    ratio,
)
from benchmarks.growth._count import Counter, all_counted
from benchmarks.per_pass import Case, net_ns, time_cases

DURATIONS_NS = (
    *(100, 300, 1_000, 3_000, 10_000, 30_000, 100_000),
    *(1_000_000, 10_000_000, 100_000_000),
)
PERCENT = 1.0
HELD_NS = 1_000_000
"""The duration that is held to that limit."""

# Short timings and many of them: what drifts then drifts for the work with and without alike.
ROUNDS, QUICK_ROUNDS = 101, 25
TARGET_NS, QUICK_TARGET_NS = 5_000_000, 2_000_000
LONG_NS = 100_000_000
LONG_ROUNDS, QUICK_LONG_ROUNDS = 31, 7
CALIBRATION_NS = 20_000_000

ARMS = {"tracked": "tracked call", "inline": "inline block"}
_BODIES = {"bare": "f()", "tracked": "f()", "inline": 'with p.block(0, "work"): f()'}


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time work of each duration bare, tracked and in a block; return the raw values.

    Each duration has rounds of its own, so that its three timings stand next to each other.
    """
    turn_ns = _turn_ns()
    cases: Stored = {}
    recorded: dict[str, dict[str, int]] = {}
    for ns in DURATIONS_NS:
        counter = Counter()
        timed = time_cases(
            _cases(ns, turn_ns, counter),
            QUICK_TARGET_NS if scale is Scale.QUICK else TARGET_NS,
            _rounds(ns, scale),
            rng,
            lambda text, ns=ns: progress(f"{_said(ns)} {text}"),  # type: ignore[misc]
            calibrated=counter.start,
        )
        cases.update(timed["cases"])
        recorded.update(counter.counted(timed))
    return {
        **timed,
        "cases": cases,
        "durations_ns": list(DURATIONS_NS),
        "turn_ns": turn_ns,
        "recorded": recorded,
    }


def _rounds(ns: int, scale: Scale) -> int:
    if scale is Scale.QUICK:
        return QUICK_LONG_ROUNDS if ns >= LONG_NS else QUICK_ROUNDS
    return LONG_ROUNDS if ns >= LONG_NS else ROUNDS


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return what is added to work of 1 ms, both ways, and whether every pass was counted."""
    held = [
        Figure(named(title, HELD_NS), added(stored, arm, HELD_NS), "%", PERCENT, digits=3)
        for arm, title in ARMS.items()
        for added, named in ((_percent, _title), (_derived, _derived_title))
    ]
    return [*held, all_counted("every pass around work counted", stored["recorded"])]


def curves(stored: Stored) -> list[Curve]:
    """Return what is added in percent, measured and derived, by the nominal duration in ns."""
    found = []
    for arm, title in ARMS.items():
        for added, named in ((_percent, _title), (_derived, _derived_title)):
            points = [(ns, added(stored, arm, ns)) for ns in stored["durations_ns"]]
            suffix = ", derived" if added is _derived else ""
            name = partial(named, title)
            found.append(Curve(f"{title}{suffix}", "ns of work", "%", points, name, digits=4))
    return found


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return those, the cost that they are derived from, and from where on it is below 1 %."""
    rows: list[Figure | Fact] = [row for curve in curves(stored) for row in curve.figures()]
    for arm, title in ARMS.items():
        cost = _cost_ns(stored, arm)
        shortest = _said(stored["durations_ns"][0])
        derived = [ns * 100 / PERCENT / 1000 for ns in cost]
        rows.append(Figure(f"{title} around {shortest}, added", cost, "ns"))
        rows.append(Figure(f"{title}: {PERCENT:g} % of the work, derived", derived, "µs"))
        start = measured_from_ns(stored, arm) / 1000
        name = f"{title}: at most {PERCENT:g} % of the work, measured from here on"
        rows.append(Figure(name, [start], "µs"))
    return rows


def measured_from_ns(stored: Stored, arm: str) -> float:
    """Return the shortest duration from which on no interval goes beyond 1 %, in nominal ns.

    Infinite when that of the longest one does.
    """
    start = math.inf
    for ns in reversed(stored["durations_ns"]):
        row = Figure("", _percent(stored, arm, ns), "%")
        if row.interval()[2] > PERCENT:
            break
        start = ns
    return start


def work_ns(stored: Stored, ns: int) -> float:
    """Return how long the work of a nominal duration took by itself, in ns."""
    return statistics.median(net_ns(stored, f"bare_{ns}"))


def _percent(stored: Stored, arm: str, ns: int) -> list[float]:
    """Return what is added to work of a duration, in percent of it, round by round."""
    return [
        100 * part for part in ratio(net_ns(stored, f"{arm}_{ns}"), net_ns(stored, f"bare_{ns}"))
    ]


def _derived(stored: Stored, arm: str, ns: int) -> list[float]:
    """Return the same from the cost of a pass, which is told best from the shortest work."""
    whole = work_ns(stored, ns)
    return [100 * cost / whole for cost in _cost_ns(stored, arm)]


def _cost_ns(stored: Stored, arm: str) -> list[float]:
    return net_ns(stored, f"{arm}_{stored['durations_ns'][0]}")


def _title(title: str, ns: float) -> str:
    return f"{title} around {_said(ns)} of work, added"


def _derived_title(title: str, ns: float) -> str:
    return f"{_title(title, ns)}, derived"


def _said(ns: float) -> str:
    """Return a nominal duration as people say it: "300 ns", "1 ms"."""
    for unit, size in (("ms", 1_000_000), ("µs", 1000)):
        if ns >= size:
            return f"{ns / size:g} {unit}"
    return f"{ns:g} ns"


# ---- the work ------------------------------------------------------------------------------------


def _cases(ns: int, turn_ns: float, counter: Counter) -> list[Case]:
    """Return one duration's cases; all do the very same work, in the very same function."""
    work = _work(max(1, round(ns / turn_ns)))
    tracked, inline = counter.new(f"tracked_{ns}"), counter.new(f"inline_{ns}")
    names: dict[str, dict[str, Any]] = {
        "bare": {"f": work},
        "tracked": {"f": tracked.track(0, "work")(work)},
        "inline": {"p": inline, "f": work},
    }
    return [
        Case(
            f"{arm}_{ns}",
            f"{ARMS.get(arm, 'bare call')} around {_said(ns)} of work",
            _BODIES[arm],
            names[arm],
            None if arm == "bare" else f"bare_{ns}",
        )
        for arm in names
    ]


def _work(turns: int) -> Callable[[], None]:
    """Return what computes for so many turns: a fixed amount, so that what is added shows."""

    def work(turns: int = turns, repeat: Any = repeat) -> None:
        for _ in repeat(None, turns):
            pass

    return work


def _turn_ns() -> float:
    """Return how long one turn takes, in ns."""
    _, now = finest_cpu_timer()

    def loop(count: int) -> int:
        work = _work(count)
        start = now()
        work()
        return now() - start

    count = calibrate(loop, CALIBRATION_NS)
    return min(loop(count) for _ in range(3)) / count
