"""What functions, generators, coroutines and asynchronous generators are asked, and how they answer: marked as bare."""

from __future__ import annotations

import asyncio
import collections.abc
import copy
import inspect
import sys
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from conftest import hits
from stichotrope import Profiler

pytestmark = pytest.mark.unit

Mark = Callable[[Any], Any]


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("asked")


def bare(function: Any) -> Any:
    """Mark nothing."""
    return function


# What is asked of each of them


def a_function(mark: Mark) -> Any:
    """A function."""

    @mark
    def made(a: int = 1) -> int:
        return a

    return made


def a_generator(mark: Mark) -> Any:
    """A generator."""

    @mark
    def made() -> Iterator[int]:
        yield 1

    return made()


def an_awaitable_generator(mark: Mark) -> Any:
    """A generator of a function under `types.coroutine`."""

    @types.coroutine
    @mark
    def made() -> Iterator[int]:
        yield 1

    return made()


def a_coroutine(mark: Mark) -> Any:
    """A coroutine that was not awaited yet."""

    @mark
    async def made() -> int:
        return 5

    return made()


def an_asynchronous_generator(mark: Mark) -> Any:
    """An asynchronous generator."""

    @mark
    async def made() -> AsyncIterator[int]:
        yield 1

    return made()


KINDS: dict[str, Callable[[Mark], Any]] = {
    "function": a_function,
    "generator": a_generator,
    "generator that may be awaited": an_awaitable_generator,
    "coroutine": a_coroutine,
    "asynchronous generator": an_asynchronous_generator,
}
# What only the marked one has, or what its type, which is another one, adds to `dir`.
_OF_ITS_OWN = {"__module__", "__wrapped__", "__reduce_ex__"}
_ABSTRACT = [name for name in collections.abc.__all__ if name not in ("ByteString", "Buffer")]


def _where(text: str) -> str:
    return text.partition(" at 0x")[0]


def _written(each: Any, name: str, value: object) -> tuple[Any, str]:
    setattr(each, name, value)
    return getattr(each, name), _where(repr(each))


def _answers(each: Any) -> dict[str, Callable[[], Any]]:
    """Questions that have an answer or an exception, neither of which names an address."""
    asked: dict[str, Callable[[], Any]] = {
        "its class": lambda: each.__class__,
        "its name": lambda: (type(each).__name__, type(each).__module__, str(type(each))),
        "representation": lambda: _where(repr(each)),
        "what it has": lambda: sorted(set(dir(each)) - _OF_ITS_OWN),
        "documentation": lambda: each.__doc__,
        "that of its methods": lambda: {
            name: getattr(each, name).__doc__
            for name in ("send", "throw", "close", "asend", "athrow", "aclose")
            if hasattr(each, name)
        },
        "how a method is shown": lambda: _where(repr(each.send)),
        "abstract classes": lambda: [
            name for name in _ABSTRACT if isinstance(each, getattr(collections.abc, name))
        ],
        "inspect": lambda: [
            question(each)
            for question in (
                *(inspect.isfunction, inspect.isroutine, inspect.isgenerator),
                *(inspect.iscoroutine, inspect.isasyncgen, inspect.isawaitable),
                inspect.ismethoddescriptor,
            )
        ],
        "its type of something": lambda: type(each)[int],
        "iter": lambda: iter(each) is each,
        "len": lambda: len(each),
        "an item": lambda: each[0],
        "a sum": lambda: each + 1,
        "an order": lambda: each < 1,
        "itself": lambda: (each == each, hash(each) == hash(each)),
        "a format": lambda: format(each, "d"),
        "a call": lambda: each(1, 2, 3),
        "a call of its class": lambda: each.__class__(),
        "an attribute": lambda: each.no_such,
        "its state": lambda: each.__reduce__(),
        "a copy": lambda: copy.copy(each) is each,
        "a deep copy": lambda: copy.deepcopy(each) is each,
        "too much for send": lambda: each.send(),
        "too little for throw": lambda: each.throw(),
        "throw by a keyword": lambda: each.throw(typ=ValueError),
        "too much for close": lambda: each.close(1),
        "what its class has in its stead": lambda: vars(type(each)).get("__await__") is None,
    }
    for name in ("__iter__", "__next__", "__await__", "__aiter__", "__anext__", "__set_name__"):
        asked[f"whether it has {name}"] = lambda name=name: hasattr(each, name)  # type: ignore[misc]
    for name in ("__name__", "__qualname__"):
        for value in ("other", 3):
            asked[f"{name} = {value!r}"] = lambda name=name, value=value: _written(  # type: ignore[misc]
                each, name, value
            )
        asked[f"del {name}"] = lambda name=name: delattr(each, name)  # type: ignore[misc]
    for name in ("no_such", "gi_frame", "cr_frame", "ag_running", "gi_code", "cr_await", "send"):
        asked[f"{name} ="] = lambda name=name: setattr(each, name, 1)  # type: ignore[misc]
    asked["__class__ ="] = lambda: setattr(each, "__class__", dict)
    asked["next"] = lambda: next(each)  # last: it runs what was only asked before
    return asked


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_the_bare_one(p: Profiler, kind: str) -> None:
    """What it is and has, what may be written, and in what words all else is refused."""
    said = []
    for mark in (bare, p.track(0)):
        each = KINDS[kind](mark)
        answers: dict[str, Any] = {}
        for question, answer in _answers(each).items():
            try:
                answers[question] = answer()
            except Exception as error:
                answers[question] = (type(error), str(error))
        said.append(answers)
        if hasattr(each, "close"):
            each.close()
    assert said[0] == said[1]


# What waits for a coroutine


@types.coroutine
def pause() -> Generator[str, Any, Any]:
    """Suspend, and give back what is sent."""
    return (yield "paused")


def sender(mark: Mark) -> Any:
    """A coroutine function that gives back what is sent, and one more."""

    @mark
    async def inner() -> Any:
        return await pause(), 1

    return inner


@pytest.mark.parametrize("watched", [False, True])
def test_a_generator_delegates_to_a_coroutine_where_it_may(p: Profiler, watched: bool) -> None:
    """Under `types.coroutine`, and nowhere else; a debugger or coverage may look on."""
    inner = sender(p.track(0))

    @types.coroutine
    def may() -> Generator[Any, Any, Any]:
        return (yield from inner())

    def may_not() -> Generator[Any, Any, Any]:
        return (yield from refused)

    @types.coroutine
    def iterates() -> Generator[Any, Any, Any]:
        return list(refused)
        yield

    @types.coroutine
    def loops() -> Generator[Any, Any, Any]:
        for each in refused:  # noqa: UP028
            yield each

    refused = inner()

    async def main() -> Any:
        return await may()

    before = sys.gettrace()
    if watched:
        sys.settrace(lambda *_: lambda *_: None)
    try:
        running = main()
        assert running.send(None) == "paused"
        with pytest.raises(StopIteration) as stopped:
            running.send(3)
        for iterating in (iterates, loops):
            with pytest.raises(TypeError, match="'coroutine' object is not iterable"):
                next(iterating())
        with pytest.raises(TypeError, match="cannot 'yield from' a coroutine object in a non-cor"):
            next(may_not())
    finally:
        sys.settrace(before)
        refused.close()
    assert stopped.value.value == (3, 1)
    assert hits(p) == {"inner": 1}


def test_what_is_awaited_is_the_coroutine(p: Profiler) -> None:
    """So that whoever follows the chain of what waits for what (trio, call graphs) finds frames and code."""
    inner = sender(p.track(0))

    async def main() -> Any:
        return await made

    made = inner()
    running = main()
    running.send(None)
    assert running.cr_await is made
    assert made.cr_await is not None
    assert made.cr_frame.f_code is made.cr_code
    running.close()
    assert hits(p) == {"inner": 1}


@pytest.mark.parametrize("on", [True, False])
def test_a_coroutine_is_awaited_once_at_a_time(p: Profiler, on: bool) -> None:
    """Who awaits it meanwhile is refused, and does not wake it up; whether it is recorded makes no difference."""
    inner = sender(p.track(0))

    async def main() -> Any:
        return await made

    made = inner()
    p.set_track_enabled(0, on)
    first = main()
    assert first.send(None) == "paused"
    with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
        main().send(None)
    with pytest.raises(StopIteration) as stopped:
        first.send(7)
    assert stopped.value.value == (7, 1)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        main().send(None)
    assert hits(p) == {"inner": int(on)}


def test_what_await_gives_is_an_iterator_and_no_coroutine(p: Profiler) -> None:
    """A wrapper like that of every coroutine, and what steps of asynchronous generators are."""

    def said(mark: Mark) -> list[Any]:
        generator = an_asynchronous_generator(mark)
        made = [sender(mark)().__await__(), generator.asend(None), generator.aclose()]
        shown = [
            (type(each).__name__, {"__await__", "__iter__", "send"} & set(dir(each)))
            for each in made
        ]
        assert [iter(each) is each for each in made] == [True] * 3
        assert next(made[0]) == "paused"
        for each in made:
            each.close()
        return shown

    assert said(p.track(0)) == said(bare)


def test_tasks_that_wait_for_one_coroutine_are_told(p: Profiler) -> None:
    """As in any program with that mistake."""

    @p.track(0)
    async def step() -> None:
        await asyncio.sleep(0)

    async def main() -> Any:
        async def wait() -> None:
            await made

        made = step()
        return await asyncio.gather(wait(), wait(), return_exceptions=True)

    first, second = asyncio.run(main())
    assert (first, str(second)) == (None, "coroutine is being awaited already")
    assert hits(p) == {"step": 1}


def test_a_function_that_gives_a_coroutine_gives_one(p: Profiler) -> None:
    """It can be awaited at once, though its pass has begun with the call."""
    inner = sender(bare)

    @p.track(0)
    def outer() -> Any:
        return inner()

    async def main() -> Any:
        return await outer()

    running = main()
    running.send(None)
    with pytest.raises(StopIteration):
        running.send(1)
    assert hits(p) == {"outer": 1}
