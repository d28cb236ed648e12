"""What suspends: generators, coroutines and asynchronous generators against stand-ins that forward.

Each is made and run to its end, once with no suspension in between and once with many: the first
tells what a pass costs, the difference of both what each further resume does.
"""

from __future__ import annotations

import functools
import random
import time
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from benchmarks._run import (
    Fact,
    Figure,
    Progress,
    Scale,
    Stored,
    minus,
    ratio,
)
from benchmarks.floors import load_floors
from benchmarks.per_pass import Case, net_ns, time_cases

RESUMES = 100
ROUNDS, QUICK_ROUNDS = 31, 15
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 2_000_000

ARMS = {
    "bare": "bare",
    "forward": "forward",
    "clocks": "forward + 2 clock reads",
    "tracked": "tracked",
    "stopped": "stopped",
    "by_hand": "wrapped by hand (perf_counter_ns)",
}
"""Ways of wrapping, and their titles."""

_ASYNC_TEMPLATE = """\
async def turns(count, {names}):
    start = _now()
    for _ in _repeat(None, count):
{body}
    return _now() - start

def loop(count):
    coroutine = turns(count)
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value
"""

Wrap = Callable[[Any], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of function whose result suspends, and how a program runs that result.

    `make` gives a new such function of one argument, how often to suspend; `by_hand` is what people
    write around it instead.
    """

    name: str
    title: str
    resume: str
    make: Callable[[], Any]
    by_hand: Wrap
    body: str
    template: str = Case.template
    empty: str = "empty_loop"


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time every case once a round; return the raw values."""
    from stichotrope import Profiler

    profiler = Profiler("suspended")
    chosen = _cases(profiler)
    target = QUICK_TARGET_NS if scale is Scale.QUICK else TARGET_NS
    rounds = QUICK_ROUNDS if scale is Scale.QUICK else ROUNDS
    timed = time_cases(chosen, target, rounds, rng, progress, calibrated=profiler.clear)
    return {
        **timed,
        "floors_clock": load_floors().CLOCK,
        "resumes": RESUMES,
        "recorded": _recorded(profiler, timed["cases"], rounds),
    }


def _cases(profiler: Any) -> list[Case]:
    """Return two cases for each kind and way of wrapping: it never suspends, or it often does."""
    found = [
        Case("empty_loop", "empty loop", "pass", minus=None),
        Case("empty_async_loop", "empty loop", "pass", minus=None, template=_ASYNC_TEMPLATE),
    ]
    for kind in KINDS:
        for arm, (title, wrap) in _arms(kind, profiler).items():
            found += [_case(kind, arm, title, wrap(kind.make()), count) for count in (0, RESUMES)]
    return found


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return whether all was recorded; what it costs is held against floors, with no limit set."""
    found: list[Figure | Fact] = []
    for kind in KINDS:
        told = stored["recorded"][kind.name]
        seen = f"{told['hits']:,} of {told['passes']:,}"
        exact = told["hits"] == told["passes"]
        found.append(Fact(f"every pass of a tracked {kind.title} counted", exact, seen))
    return found


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return what every pass and every further resume costs, and that of tracked ones in floors."""
    found: list[Figure | Fact] = []
    for kind in KINDS:
        for what, costs in (
            (kind.title, functools.partial(_pass_ns, stored, kind.name)),
            (kind.resume, functools.partial(_resume_ns, stored, kind.name)),
        ):
            found += [Figure(f"{what}, {arm}", costs(name), "ns") for name, arm in ARMS.items()]
            times = ratio(costs("tracked"), costs("clocks"))
            found.append(Figure(_ratio_title(what), times, "×", digits=2))
    return found


def _pass_ns(stored: Stored, kind: str, arm: str) -> list[float]:
    """Return what making one and running it to its end costs without a suspension, in ns."""
    return net_ns(stored, f"{kind}_{arm}_0")


def _resume_ns(stored: Stored, kind: str, arm: str) -> list[float]:
    """Return what each resume costs beyond that, in ns."""
    resumes = stored["resumes"]
    many = net_ns(stored, f"{kind}_{arm}_{resumes}")
    return [extra / resumes for extra in minus(many, _pass_ns(stored, kind, arm))]


def _ratio_title(what: str) -> str:
    return f"{what}, tracked ÷ (forward + 2 clock reads)"


def _arms(kind: Kind, profiler: Any) -> dict[str, tuple[str, Wrap]]:
    """Return each way of wrapping, bare first: (its title, what wraps a function)."""
    floors = load_floors()
    stopped = type(profiler)("suspended, stopped")
    wraps: dict[str, Wrap] = {
        "bare": lambda function: function,
        "forward": floors.ForwardSuspending,
        "clocks": floors.ForwardSuspendingTwoClocks,
        "tracked": profiler.track(0, kind.name),
        "stopped": stopped.track(0, kind.name),
        "by_hand": kind.by_hand,
    }
    stopped.stop()
    return {arm: (title, wraps[arm]) for arm, title in ARMS.items()}


def _case(kind: Kind, arm: str, title: str, function: Any, suspensions: int) -> Case:
    return Case(
        f"{kind.name}_{arm}_{suspensions}",
        f"{kind.title} that suspends {suspensions} times, {title}",
        kind.body,
        {"f": function, "n": suspensions},
        kind.empty if arm == "bare" else f"{kind.name}_bare_{suspensions}",
        template=kind.template,
    )


def _recorded(profiler: Any, cases: Stored, rounds: int) -> dict[str, dict[str, int]]:
    """Return for each kind how many passes were made, and how many the profiler has."""
    (track,) = profiler.get_results().tracks.values()
    return {
        block.name: {
            "passes": rounds
            * sum(cases[f"{block.name}_tracked_{n}"]["iterations"] for n in (0, RESUMES)),
            "hits": block.hit_count,
        }
        for block in track.blocks
    }


# ---- one new function of each kind: no two cases share one ---------------------------------------


def _generator() -> Callable[[int], Iterator[None]]:
    def steps(count: int) -> Iterator[None]:
        for _ in repeat(None, count):
            yield

    return steps


def _coroutine() -> Callable[[int], Any]:
    @types.coroutine
    def pause(count: int) -> Generator[None, None, None]:
        for _ in repeat(None, count):
            yield

    async def waits(count: int) -> None:
        if count:
            await pause(count)

    return waits


def _async_generator() -> Callable[[int], AsyncIterator[None]]:
    async def steps(count: int) -> AsyncIterator[None]:
        for _ in repeat(None, count):
            yield

    return steps


# ---- what people write by hand instead: wall time and hits ---------------------------------------


class _Tally:
    hits = 0
    total_ns = 0

    def add(self, start: int) -> None:
        self.total_ns += time.perf_counter_ns() - start
        self.hits += 1


def _generator_by_hand(function: Callable[..., Any]) -> Callable[..., Any]:
    tally = _Tally()

    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        start = time.perf_counter_ns()
        try:
            return (yield from function(*args, **kwargs))
        finally:
            tally.add(start)

    return timed


def _coroutine_by_hand(function: Callable[..., Any]) -> Callable[..., Any]:
    tally = _Tally()

    @functools.wraps(function)
    async def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter_ns()
        try:
            return await function(*args, **kwargs)
        finally:
            tally.add(start)

    return timed


def _async_generator_by_hand(function: Callable[..., Any]) -> Callable[..., Any]:
    tally = _Tally()

    @functools.wraps(function)
    async def timed(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        start = time.perf_counter_ns()
        try:
            async for value in function(*args, **kwargs):
                yield value
        finally:
            tally.add(start)

    return timed


KINDS = (
    Kind(
        "generator",
        "generator",
        "generator's resume",
        _generator,
        _generator_by_hand,
        "for _ in f(n): pass",
    ),
    Kind(
        "coroutine",
        "coroutine",
        "coroutine's resume",
        _coroutine,
        _coroutine_by_hand,
        "await f(n)",
        _ASYNC_TEMPLATE,
        "empty_async_loop",
    ),
    Kind(
        "async_generator",
        "asynchronous generator",
        "asynchronous generator's step",
        _async_generator,
        _async_generator_by_hand,
        "async for _ in f(n): pass",
        _ASYNC_TEMPLATE,
        "empty_async_loop",
    ),
)

HEADLINES = tuple(
    title
    for kind in KINDS
    for what in (kind.title, kind.resume)
    for title in (
        f"{what}, {ARMS['clocks']}",
        f"{what}, {ARMS['tracked']}",
        f"{what}, {ARMS['by_hand']}",
    )
)
"""The titles of the costs a reader looks for first."""
