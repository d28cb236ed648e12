"""The benchmarks' own parts: floors that forward, exact counts of what was timed, figures from stored values."""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import report, suspended, threads  # noqa: E402
from benchmarks._run import MET, NOT_MET, Fact, Figure, Scale  # noqa: E402
from benchmarks.floors import load_floors  # noqa: E402


@pytest.fixture(scope="module")
def floors() -> ModuleType:
    """The floors, compiled for this interpreter."""
    try:
        return load_floors()
    except RuntimeError as error:
        if "need a C compiler" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(params=["ForwardSuspending", "ForwardSuspendingTwoClocks"])
def stand_in(request: pytest.FixtureRequest, floors: ModuleType) -> Callable[[Any], Any]:
    """What makes a function give stand-ins, of each kind."""
    return getattr(floors, request.param)


def driven(coroutine: Any) -> tuple[list[Any], Any]:
    """What a coroutine yielded on its way, and what it returned."""
    steps = []
    while True:
        try:
            steps.append(coroutine.send(None))
        except StopIteration as end:
            return steps, end.value


def test_a_stand_in_generator_forwards_values_both_ways(stand_in):
    """What is sent goes in, what is yielded comes out, and a return value ends `yield from`."""

    def echo(first):
        got = yield first
        while got is not None:
            got = yield got
        return "the end"

    def delegating(made):
        return (yield from made)

    echoing = stand_in(echo)
    made = echoing("first")
    assert [next(made), made.send(1), made.send((2, 3))] == ["first", 1, (2, 3)]
    with pytest.raises(StopIteration) as end:
        made.send(None)
    assert end.value.value == "the end"
    assert driven(delegating(echoing("first"))) == (["first"], "the end")


def test_a_stand_in_ends_without_a_value_too(stand_in):
    """`send` and `next` raise an empty StopIteration, as a generator's own do."""

    def once():
        yield

    for resume in (lambda made: made.send(None), next):
        made = stand_in(once)()
        assert resume(made) is None
        with pytest.raises(StopIteration) as end:
            resume(made)
        assert end.value.args == ()


def test_a_stand_in_coroutine_suspends_and_returns_what_its_inner_one_does(stand_in):
    """Awaited, it yields on the way and gives the value, a tuple too."""

    @types.coroutine
    def pause(count):
        yield from range(count)

    async def waits(count):
        await pause(count)
        return (count,)

    async def awaits(count):
        return await waiting(count)

    waiting = stand_in(waits)
    assert driven(awaits(0)) == ([], (0,))
    assert driven(awaits(3)) == ([0, 1, 2], (3,))


def test_a_stand_in_asynchronous_generator_gives_each_item(stand_in):
    """`async for` over it sees what the inner one yields."""

    async def count_to(end):
        for i in range(end):
            yield i

    async def collect():
        return [i async for i in counting(4)]

    counting = stand_in(count_to)
    assert driven(collect()) == ([], [0, 1, 2, 3])


def test_a_stand_in_lets_an_error_through(stand_in):
    """What the inner one raises is raised."""

    def failing():
        yield 1
        raise KeyError("lost")

    made = stand_in(failing)()
    assert next(made) == 1
    with pytest.raises(KeyError, match="lost"):
        next(made)


def test_native_threads_say_what_each_took(floors):
    """One processor time for each thread, and refusal of a number that is out of range."""
    if not hasattr(floors, "native_threads"):
        pytest.skip("there are no POSIX threads here")
    taken = floors.native_threads(0, 0, 0, 3, 1000)
    assert len(taken) == 3
    assert all(isinstance(ns, int) and ns >= 0 for ns in taken)
    for wrong in (0, 65):
        with pytest.raises(ValueError, match=f"threads is {wrong}; it must be from 1 to 64"):
            floors.native_threads(0, 0, 0, wrong, 1)


@pytest.mark.parametrize("subject", [suspended, threads], ids=["suspended", "threads"])
def test_what_is_timed_is_recorded_pass_by_pass(subject, floors, monkeypatch):
    """A run with tiny loops counts every pass, and all its figures have a value for each round."""
    for name in vars(subject).copy():
        if name.endswith("TARGET_NS"):
            monkeypatch.setattr(subject, name, 20_000)
    monkeypatch.setattr(subject, "QUICK_ROUNDS", 3)
    rounds: list[str] = []
    stored = subject.measure(Scale.QUICK, random.Random(1), rounds.append)
    assert rounds == ["round 1/3", "round 2/3", "round 3/3"]
    facts = [row for row in subject.limits(stored) if isinstance(row, Fact)]
    native = hasattr(floors, "native_threads") or subject is suspended
    assert [fact.verdict() for fact in facts] == [MET] * (3 if native else 2)
    figures = subject.figures(stored)
    assert {len(figure.samples) for figure in figures} == {3}
    missing = set(subject.HEADLINES) - {figure.name for figure in figures}
    assert all("native" in title for title in missing)
    assert bool(missing) is not native


def stored_threads(at_most: int) -> dict[str, Any]:
    """A run on threads in which a tracked call on the most takes so many ns, and on fewer 50."""
    passes = {"empty_loop": 40, "bare": 30, "tracked": 10, "kept": 20}
    each = {"empty_loop": 5, "bare": 10, "tracked": 50, "kept": 85}
    counts = {f"{name}_{n}": passes[name] * n for name in each for n in threads.COUNTS}
    elapsed = {
        f"{name}_{n}": [each[name] * counts[f"{name}_{n}"]] * 3
        for name in each
        for n in threads.COUNTS
    }
    elapsed["tracked_64"] = [at_most * counts["tracked_64"]] * 3
    return {"gil": True, "passes": counts, "elapsed_ns": elapsed, "recorded": {}}


@pytest.mark.parametrize(("at_most", "verdict"), [(54, MET), (55, NOT_MET)])
def test_a_cost_that_rises_with_threads_is_not_met(at_most, verdict):
    """The cost over the bare loop on the most threads is held against that on one."""
    rise, still = threads.limits(stored_threads(at_most))
    assert isinstance(rise, Figure)
    assert (rise.verdict(), still.verdict()) == (verdict, MET)
    assert rise.samples == [(at_most - 10) / 40] * 3
    assert rise.name == "tracked call, 64 threads ÷ 1 thread, with the GIL"


def test_a_run_on_fewer_threads_and_with_one_number_of_passes_is_still_read():
    """As runs were stored before: each number of threads made the same passes."""
    elapsed = {
        f"{name}_{n}": [ns * n] for name, ns in (("bare", 100), ("tracked", 500)) for n in (1, 8)
    }
    stored = {"gil": True, "passes": {"bare": 10, "tracked": 10}, "elapsed_ns": elapsed}
    assert threads._counts(stored) == [1, 8]
    assert [threads._added_ns(stored, "tracked", n) for n in (1, 8)] == [[40.0], [320.0]]


def test_without_the_gil_a_rise_is_reported_only():
    """What the interpreter itself shares between threads is not the profiler's to answer for."""
    rise, _ = threads.limits({**stored_threads(90), "gil": False})
    assert isinstance(rise, Figure)
    assert (rise.verdict(), rise.samples) == (None, [2.0] * 3)
    assert "without the GIL" in rise.name


@pytest.mark.parametrize(("count", "even"), [(1, 64), (64, 64), (127, 64), (1001, 960)])
def test_passes_are_shared_out_evenly(count, even):
    """Every number of threads gets whole shares of one count."""
    assert threads._evenly(count) == even
    assert {even % n for n in threads.COUNTS} == {0}


@pytest.mark.parametrize(("gil", "whole"), [(True, 40), (False, 2 * 40)])
def test_where_processor_time_is_too_coarse_the_wall_stands_for_it(gil, whole, monkeypatch):
    """Threads that share one lock take as long as the slowest; others as long on each core."""
    monkeypatch.setattr(threads, "finest_cpu_timer", lambda: ("perf_counter", None))
    monkeypatch.setattr(threads, "_cores", lambda: 2)
    monkeypatch.setattr(threads._machine, "gil_enabled", lambda: gil)
    assert threads._whole([10, 40, 30, 20]) == whole


def test_processor_times_of_threads_add_up(monkeypatch):
    """Where each thread's own is fine enough."""
    monkeypatch.setattr(threads, "finest_cpu_timer", lambda: ("thread_time", None))
    assert threads._whole([10, 40, 30, 20]) == 100


def test_a_resume_costs_what_many_add_to_none():
    """The cost of a resume is the difference between many and none, over their number."""
    cases = {
        "generator_bare_0": (None, 100),
        "generator_bare_100": (None, 1000),
        "generator_tracked_0": ("generator_bare_0", 300),
        "generator_tracked_100": ("generator_bare_100", 5200),
    }
    stored = {
        "resumes": 100,
        "cases": {
            name: {"minus": base, "passes": 1, "iterations": 10, "elapsed_ns": [ns * 10] * 2}
            for name, (base, ns) in cases.items()
        },
    }
    assert suspended._pass_ns(stored, "generator", "tracked") == [200, 200]
    assert suspended._resume_ns(stored, "generator", "tracked") == [40, 40]


def test_every_subject_of_a_run_has_its_tables():
    """Whatever a run measures can be measured and reported."""
    for subject in report.SUBJECTS.values():
        assert all(callable(getattr(subject, name)) for name in ("measure", "limits", "figures"))
