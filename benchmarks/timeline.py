"""What a pass costs that is kept one by one, beside viztracer's events; what a dump of many takes.

All cases take turns in one run: recording without a file, with a store, with a timeline, with both,
and an event a pass of viztracer. The dump is the whole way from the rings to Perfetto's file.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import _machine, _store
from benchmarks._run import (
    Fact,
    Figure,
    Loop,
    Progress,
    Scale,
    Stored,
    finest_cpu_timer,
    minus,
    ratio,
)
from benchmarks.per_pass import (
    QUICK_ROUNDS,
    QUICK_TARGET_NS,
    ROUNDS,
    TARGET_NS,
    Case,
    net_ns,
    time_cases,
)
from benchmarks.report import cell

SUBJECT = "timeline"
RING = 1 << 16
EVENTS, QUICK_EVENTS = 1_000_000, 20_000
DUMPS, QUICK_DUMPS = 5, 2
STORE_RATIO = 1.02
RING_NS = 8.0
DUMP_S = 2.0
EVENT_BYTES = 40.0


def main(arguments: list[str]) -> int:
    """Measure, print a table and store the run; return 1 when a limit is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks timeline", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short rounds: a look")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the run is stored")
    parser.add_argument("--seed", type=int, default=1, help="draws the orders (default: 1)")
    options = parser.parse_args(arguments)
    import stichotrope

    scale = Scale.QUICK if options.quick else Scale.NORMAL
    package = {"version": stichotrope.__version__}
    run = _store.new_run(scale.value, options.seed, _machine.describe(), package)
    stored = measure(scale, random.Random(options.seed), lambda text: None)
    run["subjects"][SUBJECT] = stored
    path = options.output or _store.default_path(run)
    _store.save(run, path)
    found = [*limits(stored), *figures(stored)]
    print(f"CPython {run['machine']['python']}\n")
    for figure in found:
        assert isinstance(figure, Figure)
        print(f"{figure.name:60} {cell(figure)}")
    print(f"\nstored in {os.path.relpath(path)}")
    return int(any(figure.verdict() == "not met" for figure in found))


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time every case once a round, then dumps; return the raw values.

    :raises AssertionError: a dump lost a pass.
    """
    is_quick = scale is Scale.QUICK
    target, rounds = (QUICK_TARGET_NS, QUICK_ROUNDS) if is_quick else (TARGET_NS, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        timed = time_cases(_cases(Path(folder)), target, rounds, rng, progress)
        events, dumps = (QUICK_EVENTS, QUICK_DUMPS) if is_quick else (EVENTS, DUMPS)
        return {**timed, "dump": _dumps(events, dumps, Path(folder) / "dump.pftrace")}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return the figures that are held to a limit."""
    anonymous = _iteration_ns(stored, "anonymous")
    found: list[Figure | Fact] = [
        Figure(
            "a pass with a store ÷ without, the loop in both",
            ratio(_iteration_ns(stored, "store"), anonymous),
            "×",
            STORE_RATIO,
            digits=3,
        ),
        Figure(
            "a pass with a timeline − without",
            minus(_iteration_ns(stored, "timeline"), anonymous),
            "ns",
            RING_NS,
        ),
    ]
    dump = stored["dump"]
    is_whole = dump["events"] == EVENTS
    found.append(
        Figure(
            f"dump of {dump['events']:,} events to Perfetto",
            dump["seconds"],
            "s",
            DUMP_S if is_whole else None,
            digits=2,
        )
    )
    each = [dump["bytes"] / dump["events"]] * len(dump["seconds"])
    found.append(Figure("bytes an event", each, "", EVENT_BYTES if is_whole else None))
    return found


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what each case takes a pass, and how many times dearer an event of viztracer is."""
    cases = stored["cases"]
    found: list[Figure | Fact] = [
        Figure(case["title"], net_ns(stored, name), "ns")
        for name, case in cases.items()
        if case["minus"] is not None
    ]
    for other, ours in (("log_event", "inline_timeline"), ("trace", "call_timeline")):
        if other in cases:
            title = f"{cases[other]['title']} ÷ {cases[ours]['title']}"
            found.append(Figure(title, ratio(net_ns(stored, other), net_ns(stored, ours)), "×"))
    return found


def _iteration_ns(stored: Stored, name: str) -> list[float]:
    case = stored["cases"][name]
    return [elapsed / case["iterations"] for elapsed in case["elapsed_ns"]]


def _nothing() -> None:
    pass


def _cases(folder: Path) -> list[Case]:
    from stichotrope import Profiler

    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "anonymous": ("without either", {}),
        "timeline": ("timeline", {"timeline": RING}),
    }
    if os.name != "nt":
        kinds["store"] = ("store", {"store": folder / "store"})
        both = {"store": folder / "both", "timeline": RING}
        kinds["store_timeline"] = ("store and timeline", both)
    found = [Case("empty_loop", "empty loop", "pass", minus=None)]
    for name, (title, options) in kinds.items():
        block = Profiler(name, **options).block(0, "kept")
        found.append(Case(name, f"kept block, {title}", "with b: pass", {"b": block}))
    for name in ("anonymous", "timeline"):
        title, options = kinds[name]
        p = Profiler(f"inline {name}", **options)
        inline = 'with p.block(0, "inline"): pass'
        found.append(Case(f"inline_{name}", f"inline block, {title}", inline, {"p": p}))
        call = Profiler(f"call {name}", **options).track(0)(_fresh())
        found.append(Case(f"call_{name}", f"tracked call, {title}", "f()", {"f": call}, "bare"))
    found.append(Case("bare", "bare call", "f()", {"f": _fresh()}))
    return [*found, *_viztracer_cases()]


def _fresh() -> Callable[[], None]:
    """Return an empty function whose code is its own."""
    import types

    return types.FunctionType(_nothing.__code__.replace(), {})


@dataclass(frozen=True)
class _Traced(Case):
    """A case that runs while all calls are traced."""

    tracer: Any = None

    def loop(self) -> Loop:
        """See `Case.loop`."""
        inner, tracer = super().loop(), self.tracer

        def loop(count: int) -> int:
            tracer.start()
            took = inner(count)
            tracer.stop()
            tracer.clear()
            return took

        return loop


def _viztracer_cases() -> list[Case]:
    try:
        from viztracer import VizTracer
    except ImportError:
        print("Going on without viztracer", file=sys.stderr)
        return []
    tracer = VizTracer(verbose=0, tracer_entries=RING)
    event = 'with t.log_event("inline"): pass'
    names = {"t": tracer}
    traced = _Traced(
        "trace", "viztracer, traced call", "f()", {"f": _fresh()}, "bare", tracer=tracer
    )
    return [Case("log_event", "viztracer, log_event", event, names), traced]


def _dumps(events: int, count: int, path: Path) -> Stored:
    """Return the processor time of so many dumps, in s, and how large each is."""
    from stichotrope import Profiler

    p = Profiler("dump", timeline=events)
    blocks = [p.block(number % 3, f"block {number}") for number in range(20)]
    outer = p.block(0, "outer")
    for number in range(events // 20):
        with outer:
            for block in blocks[number % 2 : number % 2 + 19]:
                with block:
                    pass
    timer = finest_cpu_timer()[1]
    seconds, walls = [], []
    for _ in range(count):
        began, wall = timer(), time.perf_counter_ns()
        p.dump_timeline(path)
        seconds.append((timer() - began) / 1e9)
        walls.append((time.perf_counter_ns() - wall) / 1e9)
    kept = len(p.timeline())
    assert kept == events, f"{kept:,} of {events:,} passes in the dump"
    size = path.stat().st_size
    return {"events": events, "seconds": seconds, "wall_seconds": walls, "bytes": size}
