"""What one pass costs: calls and blocks against the floors, all in one interleaved run."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from benchmarks._run import (
    Fact,
    Figure,
    Loop,
    Progress,
    Scale,
    Stored,
    calibrate,
    cheaper,
    finest_cpu_timer,
    interleave,
    minus,
    ratio,
)
from benchmarks.floors import load_floors

TRACKED_RATIO = 1.6
KEPT_BLOCK_NS = 20.0
INLINE_BLOCK_NS = 60.0
OFF_CALL_NS = 3.0

HEADLINES = (
    "bare call",
    "forward, direct",
    "forward + 2 clock reads, direct",
    "tracked call",
    "stopped call",
    "hand-written decorator (perf_counter_ns)",
    "empty context manager",
    "empty context manager + 2 clock reads",
    "kept block",
    "inline block",
    "inline block, stopped",
    "context manager class in Python",
)
"""The titles of the costs a reader looks for first."""

RECURSION = 10
ROUNDS, QUICK_ROUNDS = 41, 25
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 2_000_000

_TEMPLATE = """\
def loop(count, {names}):
    start = _now()
    for _ in _repeat(None, count):
{body}
    return _now() - start
"""


@dataclass(frozen=True)
class Case:
    """One timed body, and the case whose time is subtracted from it.

    `names` are what the body refers to; they become locals of the loop, so that no case pays for
    a look-up another one is spared. `passes` is how many are in one run of the body, `template` the
    source of the loop around it, `now` the clock; the finest of processor time unless given.
    """

    name: str
    title: str
    body: str
    names: dict[str, Any] = field(default_factory=dict)
    minus: str | None = "empty_loop"
    passes: int = 1
    template: str = _TEMPLATE
    now: Callable[[], int] | None = None

    def loop(self) -> Loop:
        """Return a function that times n runs of the body; its code is this case's alone."""
        body = "\n".join(f"        {line}" for line in self.body.splitlines())
        names = ", ".join(f"{name}={name}" for name in ["_now", "_repeat", *self.names])
        source = self.template.format(names=names, body=body)
        now = self.now or finest_cpu_timer()[1]
        scope: dict[str, Any] = {"_now": now, "_repeat": repeat, **self.names}
        exec(compile(source, f"<benchmark {self.name}>", "exec"), scope)
        loop: Loop = scope["loop"]
        return loop


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time every case once a round; return the raw values.

    Raises:
        AssertionError: decorating while globally off did not give the function back.
    """
    target = QUICK_TARGET_NS if scale is Scale.QUICK else TARGET_NS
    rounds = QUICK_ROUNDS if scale is Scale.QUICK else ROUNDS
    return {
        **time_cases(cases(), target, rounds, rng, progress),
        "floors_clock": load_floors().CLOCK,
        "globally_off_is_same_object": _globally_off_is_same_object(),
    }


def time_cases(
    chosen: Iterable[Case],
    target_ns: int,
    rounds: int,
    rng: random.Random,
    progress: Progress,
    calibrated: Callable[[], object] = lambda: None,
) -> Stored:
    """Time every case once a round, and return the raw values of each by its name.

    :param chosen: the cases, each with the one that it is held against.
    :param target_ns: how long one timing of each lasts, in ns; at least one run of its body.
    :param rounds: how many values are kept for each.
    :param rng: draws the orders.
    :param progress: is told of each round.
    :param calibrated: called when all that runs from then on is kept.
    """
    chosen = list(chosen)
    loops = {case.name: case.loop() for case in chosen}
    # The first runs of a body can take many times what later ones do, and would end a calibration
    # too early: so the counts are those of a second one.
    for loop in loops.values():
        calibrate(loop, target_ns)
    counts = {name: calibrate(loop, target_ns) for name, loop in loops.items()}
    calibrated()
    taken = interleave(loops, counts, rounds, rng, progress)
    return {
        "unit": "ns for all iterations of a round",
        "timer": finest_cpu_timer()[0],
        "cases": {
            case.name: {
                "title": case.title,
                "body": case.body,
                "minus": case.minus,
                "passes": case.passes,
                "iterations": counts[case.name],
                "elapsed_ns": taken[case.name],
            }
            for case in chosen
        },
    }


def cases() -> list[Case]:
    """Return every case, in the order of the table."""
    return [
        *_bare_cases(),
        *_floor_cases(),
        *_call_cases(),
        *_code_cases(),
        *_block_cases(),
        *_peer_cases(),
    ]


def net_ns(stored: Stored, name: str) -> list[float]:
    """Return what a case adds to the one it is held against, in ns a pass, round by round."""
    case = stored["cases"][name]
    own = _iteration_ns(stored, name)
    if case["minus"] is None:
        return own
    return [extra / case["passes"] for extra in minus(own, _iteration_ns(stored, case["minus"]))]


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    net = functools.partial(net_ns, stored)
    forward = cheaper(net("forward"), net("forward_direct"))
    context = net("empty_context")
    found: list[Figure | Fact] = []
    for shape, title in (("", "no argument"), ("_arg", "one argument"), ("_method", "method")):
        floor = cheaper(net("clocks" + shape), net("clocks_direct" + shape))
        times = ratio(net("tracked" + shape), floor)
        name = f"tracked call, {title} ÷ (forward + 2 clock reads)"
        found.append(Figure(name, times, "×", TRACKED_RATIO, digits=2))
    for case, name, limit in (
        ("kept_block", "kept block − empty context manager", KEPT_BLOCK_NS),
        ("inline_block", "inline block − empty context manager", INLINE_BLOCK_NS),
    ):
        found.append(Figure(name, minus(net(case), context), "ns", limit))
    for case, name in (("stopped", "stopped call"), ("track_off", "call with its track off")):
        extra = minus(net(case), forward)
        found.append(Figure(f"{name} − forward", extra, "ns", OFF_CALL_NS))
    same = stored["globally_off_is_same_object"]
    name = "globally off at decoration gives the same object"
    found.append(Fact(name, same, "same object" if same else "another object"))
    return found


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what every case costs a pass, in ns, with nothing to hold it to."""
    return [
        Figure(case["title"], net_ns(stored, name), "ns")
        for name, case in stored["cases"].items()
        if case["minus"] is not None
    ]


def _iteration_ns(stored: Stored, name: str) -> list[float]:
    case = stored["cases"][name]
    return [elapsed / case["iterations"] for elapsed in case["elapsed_ns"]]


def _globally_off_is_same_object() -> bool:
    from stichotrope import Profiler, set_global_enabled

    function = _empty()
    set_global_enabled(False)
    try:
        same = Profiler("globally off").track(0, "empty")(function) is function
    finally:
        set_global_enabled(True)
    assert same, "decorating while globally off must give back the very function it was given"
    return same


def _empty() -> Callable[[], None]:
    """Return a new function that does nothing: no two cases share one."""

    def empty() -> None:
        pass

    return empty


def _empty_of_one() -> Callable[[object], None]:
    def empty(value: object) -> None:
        pass

    return empty


def _instance(wrap: Callable[[Any], Any]) -> object:
    """Return an instance of a new class whose method `m` does nothing and is wrapped."""

    def m(self: object) -> None:
        pass

    return type("Owner", (), {"m": wrap(m)})()


def _recursive(wrap: Callable[[Any], Any]) -> Callable[[int], None]:
    def down(depth: int) -> None:
        if depth:
            wrapped(depth - 1)

    wrapped: Callable[[int], None] = wrap(down)
    return wrapped


def _unwrapped(function: Any) -> Any:
    return function


def _bare_cases() -> list[Case]:
    """What is subtracted: the loop, and the loop with a call in it."""
    f, g, o = _empty(), _empty_of_one(), _instance(_unwrapped)
    down = {"f": _recursive(_unwrapped), "depth": RECURSION}
    return [
        Case("empty_loop", "empty loop", "pass", minus=None),
        Case("bare", "bare call", "f()", {"f": f}),
        Case("bare_arg", "bare call, one argument", "f(None)", {"f": g}),
        Case("bare_method", "bare method", "o.m()", {"o": o}),
        Case("bare_recursion", f"bare recursion, {RECURSION} deep", "f(depth)", down),
    ]


def _floor_cases() -> list[Case]:
    floors = load_floors()
    found = []
    for name, title, wrap in (
        ("forward", "forward", floors.Forward),
        ("forward_direct", "forward, direct", floors.ForwardDirect),
        ("clocks", "forward + 2 clock reads", floors.ForwardTwoClocks),
        ("clocks_direct", "forward + 2 clock reads, direct", floors.ForwardTwoClocksDirect),
    ):
        found += _call_shapes(name, title, wrap)
    empty, clock = {"b": floors.EmptyContext()}, {"b": floors.ClockContext()}
    inline = 'with b.block(1, "inline"): pass'
    return [
        *found,
        Case("empty_context", "empty context manager", "with b: pass", empty),
        Case("clock_context", "empty context manager + 2 clock reads", "with b: pass", clock),
        Case("inline_context", "empty context manager from a method call", inline, empty),
    ]


def _call_shapes(name: str, title: str, wrap: Callable[[Any], Any]) -> list[Case]:
    """Return a callable's three shapes: no argument, one, method."""
    f, g, o = wrap(_empty()), wrap(_empty_of_one()), _instance(wrap)
    return [
        Case(name, title, "f()", {"f": f}, "bare"),
        Case(f"{name}_arg", f"{title}, one argument", "f(None)", {"f": g}, "bare_arg"),
        Case(f"{name}_method", f"{title}, method", "o.m()", {"o": o}, "bare_method"),
    ]


def _call_cases() -> list[Case]:
    from stichotrope import Profiler

    running, stopped = Profiler("per pass"), Profiler("per pass, stopped")
    track = running.track(0, "call")
    off = running.track(9, "off")(_empty())
    running.set_track_enabled(9, False)
    halted = stopped.track(0, "stopped")(_empty())
    stopped.stop()
    down = {"f": _recursive(running.track(0, "recursion")), "depth": RECURSION}
    return [
        *_call_shapes("tracked", "tracked call", track),
        Case(
            "tracked_recursion",
            f"tracked recursion, {RECURSION} deep",
            "f(depth)",
            down,
            "bare_recursion",
            RECURSION + 1,
        ),
        Case("stopped", "stopped call", "f()", {"f": halted}, "bare"),
        Case("track_off", "call with its track off", "f()", {"f": off}, "bare"),
    ]


def _code_cases() -> list[Case]:
    """Functions that are tracked by their code, where the interpreter tells of it."""
    from types import ModuleType

    from stichotrope import Profiler, _core

    if not _core.can_track_code():
        return []
    profiler = Profiler("per pass, by code")
    module = ModuleType("benchmarks.by_code")
    exec("def on(): pass\ndef off(): pass", vars(module))
    profiler.track_module(0, module, include=lambda name, _: name == "on")
    profiler.track_module(1, module, include=lambda name, _: name == "off")
    profiler.set_track_enabled(1, False)
    on, off = ({"f": vars(module)[name], "profiler": profiler} for name in ("on", "off"))
    return [
        Case("by_code", "call tracked by its code", "f()", on, "bare"),
        Case("by_code_off", "the same, its track off", "f()", off, "bare"),
    ]


def _block_cases() -> list[Case]:
    from stichotrope import Profiler

    running, stopped = Profiler("per pass, blocks"), Profiler("per pass, blocks stopped")
    kept, halted = running.block(1, "kept"), stopped.block(1, "kept")
    outer, inner = running.block(1, "outer"), running.block(1, "inner")
    stopped.stop()
    nested = "with a:\n    with b: pass"
    inline = 'with p.block(1, "inline"): pass'
    return [
        Case("kept_block", "kept block", "with b: pass", {"b": kept}),
        Case("inline_block", "inline block", inline, {"p": running}),
        Case("nested_blocks", "kept blocks, nested", nested, {"a": outer, "b": inner}, passes=2),
        Case("kept_block_stopped", "kept block, stopped", "with b: pass", {"b": halted}),
        Case("inline_block_stopped", "inline block, stopped", inline, {"p": stopped}),
    ]


def _peer_cases() -> list[Case]:
    """What people write by hand instead."""
    timed = {"f": timed_by_hand(_empty())}
    return [
        Case("peer_decorator", "hand-written decorator (perf_counter_ns)", "f()", timed, "bare"),
        Case("peer_context", "context manager class in Python", "with b: pass", {"b": Timer()}),
    ]


def timed_by_hand(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with two readings of the clock around it, and two sums."""
    hits = 0
    total = 0

    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        nonlocal hits, total
        start = time.perf_counter_ns()
        try:
            return function(*args, **kwargs)
        finally:
            total += time.perf_counter_ns() - start
            hits += 1

    return timed


class Timer:
    """The timer class found in most code bases."""

    def __init__(self) -> None:
        self.hits = 0
        self.total_ns = 0
        self.start = 0

    def __enter__(self) -> Timer:
        self.start = time.perf_counter_ns()
        return self

    def __exit__(self, *exc: object) -> None:
        self.total_ns += time.perf_counter_ns() - self.start
        self.hits += 1
