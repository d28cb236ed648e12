"""Code that is tracked: every call counts, whoever makes it, nothing is replaced, and what is off costs nothing."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import sys
import threading
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, recorded, run_program
from stichotrope import Profiler, _core

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not _core.can_track_code(), reason="from CPython 3.12 on"),
]

MANY = 200


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("code")


def anew(function: Callable[..., Any]) -> Any:
    """A function of the same code, which no other test knows."""
    code = function.__code__.replace()
    made = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def track(p: Profiler, function: Any, track: int = 0) -> bool:
    """Track a function by its code."""
    code = function.__code__
    return _core.track_code(
        p, code, p._intern_block(track, code.co_qualname, code.co_filename, code.co_firstlineno)
    )


def only(p: Profiler) -> Any:
    """The figures of the only block that there is."""
    (block,) = recorded(p).values()
    return block


# Calls


def plain(x: int = 0, *, k: int = 1) -> int:
    """Return what it is given."""
    return x


class Thing:
    """Has what the interpreter calls."""

    def __new__(cls, *args: int) -> Thing:
        return object.__new__(cls)

    def __init__(self, x: int = 1) -> None:
        self.x = x

    def method(self, x: int) -> int:
        return x

    @property
    def prop(self) -> int:
        return 1

    @staticmethod
    def static(x: int) -> int:
        return x

    @classmethod
    def of_class(cls) -> type:
        return cls

    def __getitem__(self, key: int) -> int:
        return key

    def __setitem__(self, key: int, value: int) -> None: ...

    def __call__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __enter__(self) -> Thing:
        return self

    def __exit__(self, *error: object) -> None: ...

    def __add__(self, other: int) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        return True

    def __contains__(self, other: int) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __getattr__(self, name: str) -> int:
        return 1


class Derived(Thing):
    """Calls what it inherits."""

    def method(self, x: int) -> int:
        return super().method(x)


def _with(thing: Thing) -> None:
    with thing:
        pass


def _set(thing: Thing) -> None:
    thing[1] = 2


def _loop(thing: Thing) -> None:
    for _ in thing:
        pass


def _attribute(kind: type, name: str) -> Any:
    value = vars(kind)[name]
    return getattr(value, "fget", None) or getattr(value, "__func__", None) or value


WAYS: dict[str, tuple[str, Callable[[Thing], object]]] = {
    "a method": ("method", lambda thing: thing.method(1)),
    "through super": ("method", lambda thing: Derived().method(1)),
    "a property": ("prop", lambda thing: thing.prop),
    "a static method": ("static", lambda thing: thing.static(1)),
    "a class method": ("of_class", lambda thing: thing.of_class()),
    "an item": ("__getitem__", lambda thing: thing[1]),
    "an item that is set": ("__setitem__", _set),
    "an instance": ("__call__", lambda thing: thing()),
    "a class": ("__init__", lambda thing: Thing(1)),
    "its __new__": ("__new__", lambda thing: Thing(1)),
    "==": ("__eq__", lambda thing: thing == 1),
    "hash": ("__hash__", hash),
    "with": ("__enter__", _with),
    "its end": ("__exit__", _with),
    "+": ("__add__", lambda thing: thing + 1),
    "len": ("__len__", len),
    "if": ("__bool__", lambda thing: 1 if thing else 2),
    "in": ("__contains__", lambda thing: 1 in thing),
    "for": ("__iter__", _loop),
    "an attribute": ("__getattr__", lambda thing: thing.missing),
}


@pytest.mark.parametrize("before", [False, True], ids=["cold", "specialised"])
@pytest.mark.parametrize("way", WAYS)
def test_a_call_counts_whoever_makes_it(p: Profiler, way: str, before: bool) -> None:
    """The interpreter's own included, also where it had specialised the call before."""
    name, call = WAYS[way]
    function = _attribute(Thing, name)
    thing = Thing()
    for _ in range(MANY if before else 0):
        call(thing)
    assert track(p, function)
    for _ in range(MANY):
        call(thing)
    _core.stop_tracking_code(p, [function.__code__])
    call(thing)
    assert only(p).hit_count == MANY


def test_what_holds_the_function_holds_the_same_one(p: Profiler) -> None:
    """Tables, default arguments, partial objects, bound methods, `map` and `sorted` call what counts."""
    function = anew(plain)
    table, half = {"f": function}, functools.partial(function, 1)

    def default(render: Any = function) -> Any:
        return render(1)

    track(p, function)
    table["f"](1)
    half()
    default()
    list(map(function, [1, 2]))
    sorted([3, 1], key=function)
    function(*(1,), k=2)
    assert only(p).hit_count == 8
    assert table["f"] is function
    assert type(function) is types.FunctionType


def test_a_recursion_goes_as_deep_and_counts_once(p: Profiler, clock: ManualClock) -> None:
    """Each level is a pass, the time is that of the outermost."""

    def down(n: int) -> int:
        clock.advance(1)
        return n and down(n - 1)

    track(p, down)
    down(500)
    block = only(p)
    assert (block.hit_count, block.total_time_ns, block.max_time_ns) == (501, 501, 501)

    def deepest(function: Callable[[int], object]) -> int:
        def tried() -> int:
            try:
                return 1 + tried()
            except RecursionError:
                return 0

        return tried()

    bare = deepest(down)
    with pytest.raises(RecursionError):
        down(10_000_000)
    assert only(p).open_count == 0
    assert bare > 0


def test_how_a_call_ended_is_noted(p: Profiler) -> None:
    """By return, by an exception, by a cancellation; an exception on its way through is each frame's."""

    def fails(error: type[BaseException] | None) -> None:
        if error is not None:
            raise error

    def around(error: type[BaseException] | None) -> None:
        with contextlib.suppress(ValueError):
            fails(error)

    for function in (fails, around):
        track(p, function)
    around(None)
    around(ValueError)
    for error in (KeyError, asyncio.CancelledError):
        with pytest.raises(error):
            around(error)
    figures = recorded(p)
    found = {
        name.rpartition(".")[2]: (b.hit_count, b.error_count, b.cancelled_count, b.open_count)
        for name, b in figures.items()
    }
    assert found == {"fails": (4, 2, 1, 0), "around": (4, 1, 1, 0)}


def test_each_pass_is_a_child_of_what_called_it(p: Profiler, clock: ManualClock) -> None:
    """Marked code, tracked functions and blocks hang under one another."""

    def inner() -> None:
        clock.advance(3)

    @p.track(0, "middle")
    def middle() -> None:
        clock.advance(2)
        with p.block(0, "block"):
            inner()

    def outer() -> None:
        clock.advance(1)
        middle()

    for function in (inner, outer):
        track(p, function)
    outer()
    figures = {name.rpartition(".")[2]: b for name, b in recorded(p).items()}
    assert {n: (b.total_time_ns, b.self_time_ns) for n, b in figures.items()} == {
        "outer": (6, 1),
        "middle": (5, 2),
        "block": (3, 0),
        "inner": (3, 3),
    }


def test_code_that_is_under_way_when_it_is_tracked_is_left_alone(p: Profiler) -> None:
    """Its end has no beginning; what it calls from then on counts."""

    def called() -> None: ...

    def running(on: bool) -> None:
        if on:
            track(p, running)
            track(p, called)
        called()

    def steps() -> Iterator[int]:
        yield 1
        yield 2

    begun = steps()
    next(begun)
    track(p, steps)
    running(True)
    running(False)
    assert list(begun) == [2]
    assert list(steps()) == [1, 2]
    found = {name.rpartition(".")[2]: count for name, count in hits(p).items()}
    assert found == {"running": 1, "called": 2, "steps": 1}


def test_several_profilers_track_one_code(clock: ManualClock) -> None:
    """Each records for itself; one of them twice is once; one that is gone takes nothing with it."""
    one, other = Profiler("one"), Profiler("other")
    function = anew(plain)
    assert [track(one, function), track(other, function), track(one, function)] == [
        True,
        True,
        False,
    ]
    function()
    one.stop()
    function()
    assert (only(one).hit_count, only(other).hit_count) == (1, 2)
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None or not _core.memory()
    function()
    assert only(other).hit_count == 3


def test_the_same_code_in_two_closures_is_one_block(p: Profiler) -> None:
    """What a factory makes shares its code; the factory itself is another."""

    def factory() -> Callable[[], int]:
        def made() -> int:
            return 1

        return made

    first, second = factory(), factory()
    track(p, first)
    first()
    second()
    assert only(p).hit_count == 2


# Off


def test_code_that_is_off_is_told_of_no_more(p: Profiler) -> None:
    """Each of the three switches takes its events away and gives them back."""
    function, steps = anew(plain), anew(_steps)
    for one in (function, steps):
        track(p, one)
    on = [_core.code_events(one.__code__) for one in (function, steps)]
    assert all(on)

    def seen() -> list[int]:
        function()
        list(steps())
        return [_core.code_events(one.__code__) for one in (function, steps)]

    p.stop()
    assert seen() == [0, 0]
    p.start()
    assert seen() == on
    p.set_track_enabled(0, False)
    assert seen() == [0, 0]
    p.set_track_enabled(0, True)
    _core.stop_tracking_code(p, [function.__code__])
    assert seen() == [0, on[1]]
    assert sorted(hits(p).values()) == [1, 2]


def _steps() -> Iterator[int]:
    yield 1
    yield 2


@pytest.mark.parametrize("kind", ["call", "generator"])
def test_what_is_open_when_its_track_goes_off_is_still_recorded(p: Profiler, kind: str) -> None:
    """And takes the last events away when it ends."""

    def call() -> Iterator[None]:
        p.stop()
        middle.append(_core.code_events(call.__code__))
        return iter(())

    def generator() -> Iterator[None]:
        yield
        p.stop()
        middle.append(_core.code_events(generator.__code__))
        yield

    middle: list[int] = []
    function = {"call": call, "generator": generator}[kind]
    track(p, function)
    all_events = _core.code_events(function.__code__)
    list(function())
    assert 0 < middle[0] < all_events
    assert _core.code_events(function.__code__) == 0
    list(function())
    assert only(p).hit_count == 1
    p.start()
    list(function())
    assert only(p).hit_count == 2


def test_exceptions_are_told_of_only_while_code_is_tracked(p: Profiler) -> None:
    """Before 3.15 they are told of all code: not for the sake of what is off."""
    tool = next(i for i in range(6) if sys.monitoring.get_tool(i) == "stichotrope")
    unwinds = sys.monitoring.events.PY_UNWIND
    function = anew(plain)
    track(p, function)
    during = sys.monitoring.get_events(tool) & unwinds
    p.stop()
    assert sys.monitoring.get_events(tool) & unwinds == 0
    assert bool(during) is (sys.version_info < (3, 15))


def test_a_clear_drops_what_is_open(p: Profiler) -> None:
    """As it does for what is marked otherwise."""

    def clears() -> None:
        p.clear()

    track(p, clears)
    clears()
    assert (only(p).hit_count, only(p).open_count) == (0, 0)
    made = anew(_steps)
    track(p, made)
    begun = made()
    next(begun)
    p.clear()
    list(begun)
    assert set(hits(p).values()) == {0}
    list(made())
    assert sorted(hits(p).values()) == [0, 1]


# What suspends


def test_a_generator_is_timed_from_its_first_resume(p: Profiler, clock: ManualClock) -> None:
    """Its active and self time are what it ran; it is Python's own object."""

    def numbers() -> Iterator[int]:
        for number in range(3):
            clock.advance(10)
            yield number

    track(p, numbers)
    made = numbers()
    clock.advance(5)
    assert type(made) is types.GeneratorType
    for _ in made:
        clock.advance(100)
    block = only(p)
    assert (block.hit_count, block.total_time_ns) == (1, 330)
    assert (block.active_time_ns, block.self_time_ns) == (30, 30)


def _ended(how: str, made: Any) -> None:
    if how == "closed":
        made.close()
    elif how == "thrown into":
        with pytest.raises(KeyError):
            made.throw(KeyError)
    elif how == "exhausted":
        list(made)


ENDS = {"closed": (0, 1), "dropped": (0, 1), "thrown into": (1, 0), "exhausted": (0, 0)}


@pytest.mark.parametrize("body", ["bare", "guarded", "delegating", "returning"])
@pytest.mark.parametrize("how", ENDS)
def test_a_generators_end_is_told(p: Profiler, clock: ManualClock, how: str, body: str) -> None:
    """Whether or not anything in it waits for that; at the moment at which it ends."""

    def bare() -> Iterator[int]:
        yield 1
        yield 2

    def guarded() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            clock.advance(1)

    def delegating() -> Iterator[int]:
        yield from [1, 2]

    def returning() -> Iterator[int]:
        try:
            yield 1
            yield 2
        except GeneratorExit:
            return

    function = {f.__name__: f for f in (bare, guarded, delegating, returning)}[body]
    track(p, function)
    made = function()
    next(made)
    clock.advance(10)
    _ended(how, made)
    if how == "dropped":
        del made
        gc.collect()
    clock.advance(100)
    block = only(p)
    assert (block.hit_count, block.open_count) == (1, 0)
    assert block.total_time_ns == (11 if body == "guarded" else 10)
    assert (block.error_count, block.cancelled_count) == ENDS[how]


def test_a_generator_that_never_began_is_no_pass(p: Profiler) -> None:
    """However it goes."""
    function = anew(_steps)
    track(p, function)
    for how in ENDS:
        if how != "exhausted":
            _ended(how, function())
    assert only(p).hit_count == 0


def test_a_chain_is_suspended_and_goes_on_as_one(p: Profiler, clock: ManualClock) -> None:
    """Also when something is thrown past those that wait for the innermost one."""

    def inner() -> Iterator[str]:
        clock.advance(1)
        try:
            yield "first"
        except KeyError:
            clock.advance(2)
            yield "second"
        clock.advance(4)

    def outer() -> Iterator[str]:
        clock.advance(8)
        yield from inner()
        clock.advance(16)

    for function in (inner, outer):
        track(p, function)
    made: Any = outer()
    assert next(made) == "first"
    clock.advance(1000)
    assert made.throw(KeyError) == "second"
    assert all(recorded(p)[name].open_count == 1 for name in recorded(p))
    clock.advance(1000)
    assert list(made) == []
    found = {
        name.rpartition(".")[2]: (b.total_time_ns, b.active_time_ns, b.self_time_ns)
        for name, b in recorded(p).items()
    }
    assert found == {"outer": (2031, 31, 24), "inner": (2007, 7, 7)}


def test_a_generator_is_driven_by_another_thread_and_in_another_context(
    p: Profiler, threads: Threads
) -> None:
    """It is one pass, open until it ends."""
    function = anew(_steps)
    track(p, function)
    made = function()
    threads.together(lambda: next(made))
    assert contextvars.copy_context().run(next, made) == 2
    assert only(p).open_count == 1
    threads.together(lambda: list(made))
    assert (only(p).hit_count, only(p).open_count) == (1, 0)


def test_coroutines_are_timed_with_their_waits(p: Profiler, clock: ManualClock) -> None:
    """Ten that wait at the same time are as long as one; a task's hang under what made it."""

    async def waits() -> None:
        clock.advance(1)
        await asyncio.sleep(0)
        clock.advance(1)

    async def main() -> None:
        await asyncio.gather(*[waits() for _ in range(10)])

    for function in (waits, main):
        track(p, function)
    asyncio.run(main())
    found = {name.rpartition(".")[2]: b for name, b in recorded(p).items()}
    assert found["waits"].hit_count == 10
    assert found["waits"].total_time_ns == 20
    assert found["waits"].active_time_ns == 20
    assert found["main"].total_time_ns == 20
    (root,) = p.get_results().tree.children
    assert root.name.endswith("main")
    assert [child.name.rpartition(".")[2] for child in root.children] == ["waits"]


def test_a_pass_of_a_function_that_returns_a_coroutine_is_its_call(
    p: Profiler, clock: ManualClock
) -> None:
    """What it makes has a pass of its own where its code is tracked; with the decorator, one is all."""

    async def inner() -> int:
        clock.advance(10)
        return 1

    def returns() -> Any:
        clock.advance(1)
        return inner()

    for function in (inner, returns):
        track(p, function)
    made = returns()
    clock.advance(100)
    with pytest.raises(StopIteration):
        made.send(None)
    figures = {n.rpartition(".")[2]: b.total_time_ns for n, b in recorded(p).items()}
    assert figures == {"inner": 10, "returns": 1}
    decorated = Profiler("decorated")
    with pytest.raises(StopIteration):
        decorated.track(0)(returns)().send(None)
    assert only(decorated).total_time_ns == 11


def test_a_cancelled_coroutine_and_an_abandoned_asynchronous_generator_end(p: Profiler) -> None:
    """As cancelled; what is iterated to its end returned."""

    async def waits() -> None:
        await asyncio.sleep(100)

    async def gives() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    async def main() -> None:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [x async for x in gives()] == [1, 2]
        begun = gives()
        await anext(begun)
        await begun.aclose()  # type: ignore[attr-defined]

    for function in (waits, gives):
        track(p, function)
    asyncio.run(main())
    found = {
        name.rpartition(".")[2]: (b.hit_count, b.error_count, b.cancelled_count, b.open_count)
        for name, b in recorded(p).items()
    }
    assert found == {"waits": (1, 0, 1, 0), "gives": (2, 0, 1, 0)}


def test_blocks_in_tracked_code_are_suspended_with_it(p: Profiler, clock: ManualClock) -> None:
    """Another profiler's too."""
    other = Profiler("other")

    def steps() -> Iterator[int]:
        with p.block(0, "own"), other.block(0, "others"):
            clock.advance(1)
            yield 1
            clock.advance(1)

    track(p, steps)
    for _ in steps():
        with p.block(0, "consumer"):
            clock.advance(10)
    found = {name.rpartition(".")[2]: b for name, b in recorded(p).items()}
    assert {n: (b.total_time_ns, b.self_time_ns) for n, b in found.items()} == {
        "steps": (12, 0),
        "own": (12, 2),
        "consumer": (10, 10),
    }
    assert only(other).total_time_ns == 12


# Threads


def test_each_thread_records_its_own_calls(p: Profiler, threads: Threads) -> None:
    """And none is lost."""
    function, steps = anew(plain), anew(_steps)
    for one in (function, steps):
        track(p, one)

    def work() -> None:
        for _ in range(MANY):
            function()
            list(steps())

    threads.together(*[work] * 4)
    assert set(hits(p).values()) == {4 * MANY}
    assert {b.open_count for b in recorded(p).values()} == {0}


def test_switching_off_and_on_loses_no_end(p: Profiler, threads: Threads) -> None:
    """While other threads call: nothing stays open, and when it is over no event is left."""
    function, steps = anew(plain), anew(_steps)
    for one in (function, steps):
        track(p, one)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            function()
            list(steps())

    def switch() -> None:
        try:
            for _ in range(50):
                p.stop()
                p.start()
        finally:
            done.set()

    threads.together(work, work, switch)
    p.stop()
    assert {b.open_count for b in recorded(p).values()} == {0}
    assert [_core.code_events(one.__code__) for one in (function, steps)] == [0, 0]


# Beside others


@pytest.mark.parametrize("beside", ["a profile function", "a trace function", "another tool"])
def test_others_that_watch_change_no_count(p: Profiler, beside: str) -> None:
    """Nor do ours change what they see."""
    function, steps = anew(plain), anew(_steps)
    for one in (function, steps):
        track(p, one)
    seen: list[object] = []

    def trace(frame: object, event: str, value: object) -> Any:
        seen.append(event)
        return trace

    tool = next(number for number in range(6) if sys.monitoring.get_tool(number) is None)
    events = sys.monitoring.events.PY_START | sys.monitoring.events.LINE
    if beside == "another tool":
        sys.monitoring.use_tool_id(tool, "other")
        for event in (sys.monitoring.events.PY_START, sys.monitoring.events.LINE):
            sys.monitoring.register_callback(tool, event, lambda *given: seen.append(given))
        sys.monitoring.set_events(tool, events)
    before = sys.gettrace()
    try:
        if beside == "a profile function":
            sys.setprofile(trace)
        elif beside == "a trace function":
            sys.settrace(trace)
        for _ in range(10):
            function()
            list(steps())
    finally:
        sys.setprofile(None)
        sys.settrace(before)
        if beside == "another tool":
            sys.monitoring.set_events(tool, 0)
            sys.monitoring.free_tool_id(tool)
    assert set(hits(p).values()) == {10}
    assert len(seen) >= 20


BESIDE = """
import bdb, cProfile, os, pstats, sys, tempfile
from stichotrope import Profiler
SOURCE = [
    "def f(n):",
    "    if n:",
    "        return 1",
    "    return 2",
    "def g(n):",
    "    for i in range(n):",
    "        yield i",
    "def h():",
    "    raise ValueError",
    "async def c():",
    "    return 1",
]
kept = tempfile.TemporaryDirectory()
folder = os.path.realpath(kept.name)
sys.path.insert(0, folder)
for name in ("bare", "early", "late"):
    with open(os.path.join(folder, f"of_{name}.py"), "w") as file:
        file.write("\\n".join(SOURCE))

def work(name):
    m = __import__(name)
    for n in range(10):
        m.f(n), list(m.g(3))
        try: m.h()
        except ValueError: pass
        try: m.c().send(None)
        except StopIteration: pass

def of_coverage(name, begin):
    import coverage
    watching = coverage.Coverage(data_file=None, include=[folder + "/*"], config_file=False)
    watching.start()
    begin(), work(name)
    watching.stop()
    return sorted(watching.get_data().lines(os.path.join(folder, name + ".py")))

def of_profile(name, begin):
    watching = cProfile.Profile()
    watching.enable()
    begin(), work(name)
    watching.disable()
    found = pstats.Stats(watching).stats.items()
    return sorted((place[2], known[0]) for place, known in found if name in place[0])

def of_debugger(name, begin):
    seen = []
    class Debugger(bdb.Bdb):
        def user_line(self, frame):
            if name in frame.f_code.co_filename:
                seen.append(frame.f_lineno)
    begin()
    Debugger().runcall(work, name)
    return seen

watched = {"coverage": of_coverage, "cProfile": of_profile, "bdb": of_debugger}[TOOL]
p = Profiler("p")
p.track_code("of_early")
views = [
    watched("of_bare", lambda: None),
    watched("of_early", lambda: None),
    watched("of_late", lambda: p.track_code("of_late")),
]
print(bool(views[0]), views[1] == views[0], views[2] == views[0])
for track in p.get_results().tracks.values():
    print({b.name: b.hit_count for b in track.blocks})
"""


@pytest.mark.parametrize(
    ("tool", "core"),
    [("coverage", "ctrace"), ("coverage", "sysmon"), ("cProfile", ""), ("bdb", "")],
    ids=["coverage by trace", "coverage by monitoring", "cProfile", "bdb"],
)
def test_tools_that_watch_code_see_what_they_see_without(tool: str, core: str) -> None:
    """Whichever begins first; each call counts."""
    if tool == "coverage":
        pytest.importorskip("coverage")
    program = BESIDE.replace("TOOL", repr(tool))
    done = run_program(program, COVERAGE_CORE=core, COVERAGE_PROCESS_START="")
    each = str({"f": 10, "g": 10, "h": 10, "c": 10})
    assert (done.stderr, done.stdout.splitlines()) == ("", ["True True True", each, each])


SECOND = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from stichotrope import Profiler, _core
p = Profiler("p")
def f(): pass
code = f.__code__
_core.track_code(p, code, p._intern_block(0, "f", code.co_filename, 1))
f()
try:
    made = interpreters.create(KIND)
except TypeError:
    made = interpreters.create(isolated=KIND == "isolated")
interpreters.run_string(made, '\\n'.join([
    "try:",
    "    import stichotrope",
    "except ImportError as error:",
    "    print('refused' if 'interpreter' in str(error) else error, flush=True)",
    "def f(): pass",
    "f()",
]))
f()
interpreters.destroy(made)
f()
print(p.get_results().total_hits)
"""


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_second_interpreter_is_refused_and_changes_nothing_here(kind: str) -> None:
    """By a sentence; what the first one tracks goes on."""
    done = run_program(SECOND.replace("KIND", repr(kind)))
    assert (done.stderr, done.stdout) == ("", "refused\n3\n")


def test_a_number_that_another_tool_gives_back_is_taken_again() -> None:
    """Switching off and on still does what it says; what another tool then has, it keeps."""
    done = run_program(
        """
        import sys
        from stichotrope import Profiler, _core
        p = Profiler("p")
        def f(): pass
        def g(): pass
        for one in (f, g):
            code = one.__code__
            _core.track_code(p, code, p._intern_block(0, code.co_name, code.co_filename, 1))
        number = next(i for i in range(6) if sys.monitoring.get_tool(i) == "stichotrope")
        def hits(): return [b.hit_count for b in p.get_results().tracks[0].blocks]
        f()
        sys.monitoring.free_tool_id(number)
        p.stop()
        f()
        p.start()
        f(), g()
        print(hits(), sys.monitoring.get_tool(number))
        sys.monitoring.free_tool_id(number)
        sys.monitoring.use_tool_id(number, "other")
        p.stop()
        p.start()
        f()
        print(sys.monitoring.get_tool(number))
        """
    )
    assert (done.stdout, done.stderr) == ("[2, 1] stichotrope\nother\n", "")


# What lives how long


def test_a_profiler_that_is_gone_leaves_no_event(p: Profiler) -> None:
    """Unless another one is interested."""
    function = anew(plain)
    short = Profiler("short")
    track(short, function)
    assert _core.code_events(function.__code__)
    gone = weakref.ref(short)
    del short
    gc.collect()
    if gone() is None:  # without the GIL it lives as long as the code
        assert _core.code_events(function.__code__) == 0
    function()


def test_code_that_is_gone_is_forgotten(p: Profiler) -> None:
    """With what was recorded of it still there."""
    for _ in range(50):
        function = anew(plain)
        track(p, function)
        function()
        gone = weakref.ref(function.__code__)
        del function
        assert gone() is None
    assert only(p).hit_count == 50
    p.stop()
    p.start()


def test_what_is_no_code_is_refused(p: Profiler) -> None:
    """With a sentence that says what it is."""
    site = p._intern_block(0, "x", "x", 1)
    with pytest.raises(TypeError, match="a code object, not a function"):
        _core.track_code(p, plain, site)  # type: ignore[arg-type]
