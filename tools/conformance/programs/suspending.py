"""What gives way and goes on: from the first resume to the end, and the active part of that."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from typing import Any

from ..adapters import Tool
from ..cases import case
from ..truth import Pass, spin

ELSEWHERE_S = 0.02


@case("generator")
def generator(tool: Tool) -> None:
    """Three items, 20 ms each, and as long between them."""

    def numbers() -> Iterator[int]:
        one = Pass("numbers", suspends=True)
        for number in range(3):
            one.spin()
            yield number
        one.tell()

    function = tool.mark(numbers, "numbers")
    for _ in range(2):
        for _ in function():
            time.sleep(ELSEWHERE_S)


@case("generator: send, throw, close")
def generator_methods(tool: Tool) -> dict[str, bool]:
    """One that is sent to, one that is thrown into, one that is closed."""

    def echo() -> Generator[object, object, str]:
        one = Pass("echo", suspends=True)
        got: object = None
        try:
            while True:
                one.spin()
                got = yield got
        except KeyError:
            one.spin()
            return "thrown"
        finally:
            one.tell()

    function = tool.mark(echo, "echo")
    sent = function()
    next(sent)
    kept = sent.send("x") == "x"
    time.sleep(ELSEWHERE_S)
    returned = None
    try:
        sent.throw(KeyError())
    except StopIteration as stop:
        returned = stop.value
    closed = function()
    next(closed)
    time.sleep(ELSEWHERE_S)
    closed.close()
    return {"what is sent and returned arrives": kept and returned == "thrown"}


@case("generator that is abandoned")
def abandoned_generator(tool: Tool) -> None:
    """Dropped after its first item, by the reference count and by the collector."""

    def left() -> Iterator[int]:
        one = Pass("left", suspends=True)
        try:
            one.spin()
            yield 1
        finally:
            one.tell()

    function = tool.mark(left, "left")
    for in_a_cycle in (False, True):
        made: list[Any] = [function()]
        next(made[0])
        time.sleep(ELSEWHERE_S)
        if in_a_cycle:
            made.append(made)
        del made
        gc.collect()


@case("generator resumed on another thread")
def generator_on_another_thread(tool: Tool) -> None:
    """Begun here, finished there."""
    from threading import Thread

    def moving() -> Iterator[int]:
        one = Pass("moving", suspends=True)
        one.spin()
        yield 1
        one.spin()
        one.tell()

    made = tool.mark(moving, "moving")()
    next(made)
    time.sleep(ELSEWHERE_S)
    other = Thread(target=lambda: next(made, None))
    other.start()
    other.join()


@case("recursive generator (time counted once)")
def recursive_generator(tool: Tool) -> None:
    """One that delegates to its own kind."""
    here: Any = None

    def walk(depth: int) -> Iterator[int]:
        one = Pass("walk", nested=depth < 2)
        one.spin()
        yield depth
        if depth:
            yield from here(depth - 1)
        one.tell()

    here = tool.mark(walk, "walk")
    assert list(here(2)) == [2, 1, 0]


@case("coroutine", asynchronous=True)
def coroutine(tool: Tool) -> None:
    """Awaited three times, with a wait inside."""

    async def work() -> None:
        one = Pass("work", suspends=True)
        one.spin()
        await asyncio.sleep(ELSEWHERE_S)
        one.spin()
        one.tell()

    function = tool.mark(work, "work")

    async def main() -> None:
        for _ in range(3):
            await function()

    asyncio.run(main())


@case("asynchronous generator", asynchronous=True)
def asynchronous_generator(tool: Tool) -> None:
    """Three items, with a wait before each."""

    async def items() -> AsyncIterator[int]:
        one = Pass("items", suspends=True)
        for number in range(3):
            one.spin()
            await asyncio.sleep(ELSEWHERE_S)
            yield number
        one.tell()

    function = tool.mark(items, "items")

    async def main() -> None:
        for _ in range(2):
            async for _ in function():
                spin(5)

    asyncio.run(main())


@case("asynchronous generator closed by its loop", asynchronous=True)
def asynchronous_generator_closed(tool: Tool) -> None:
    """Left after its first item; the loop closes it when it ends."""

    async def unfinished() -> AsyncIterator[int]:
        one = Pass("unfinished", suspends=True)
        try:
            one.spin()
            yield 1
        finally:
            one.spin()
            one.tell()

    function = tool.mark(unfinished, "unfinished")
    kept: list[Any] = []

    async def main() -> None:
        made = function()
        kept.append(made)
        await made.__anext__()
        await asyncio.sleep(ELSEWHERE_S)

    asyncio.run(main())
    kept.clear()


@case("plain function that returns a coroutine", asynchronous=True)
def returned_awaitable(tool: Tool) -> None:
    """What awaiting it took is to be found where it is marked, or by the coroutine's own name."""

    async def body_of_fetch(one: Pass) -> int:
        one.spin()
        await asyncio.sleep(ELSEWHERE_S)
        one.spin()
        one.tell()
        return 42

    def fetch() -> Awaitable[int]:
        one = Pass("fetch", suspends=True)
        return body_of_fetch(one)

    function = tool.mark(fetch, "fetch", also=body_of_fetch)

    async def main() -> None:
        for _ in range(2):
            assert await function() == 42

    asyncio.run(main())


@case("callable instance whose __call__ is a coroutine function", asynchronous=True)
def asynchronous_instance(tool: Tool) -> None:
    """An object that is called, and then awaited."""

    class Service:
        async def __call__(self) -> None:
            one = Pass("service", suspends=True)
            one.spin()
            await asyncio.sleep(ELSEWHERE_S)
            one.tell()

    function = tool.mark(Service(), "service")

    async def main() -> None:
        for _ in range(2):
            await function()

    asyncio.run(main())
