"""Many things at once: threads, tasks, greenlets; signals and finalizers, which come in between."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from threading import Barrier, Thread
from typing import Any

from ..adapters import Tool
from ..cases import case
from ..truth import Pass, spin

OWN_MS = {"a": 20.0, "b": 40.0, "c": 60.0}
"""What each of three interleaved tasks computes in each of its two turns."""

Pause = Callable[[], Awaitable[Any]]


def three_tasks(tool: Tool, pause: Pause) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """Three coroutine functions of different names that give way in their middle."""

    async def task_a() -> None:
        one = Pass("task_a", suspends=True)
        one.spin(OWN_MS["a"])
        await pause()
        one.spin(OWN_MS["a"])
        one.tell()

    async def task_b() -> None:
        one = Pass("task_b", suspends=True)
        one.spin(OWN_MS["b"])
        await pause()
        one.spin(OWN_MS["b"])
        one.tell()

    async def task_c() -> None:
        one = Pass("task_c", suspends=True)
        one.spin(OWN_MS["c"])
        await pause()
        one.spin(OWN_MS["c"])
        one.tell()

    return [tool.mark(each, each.__name__) for each in (task_a, task_b, task_c)]


# Threads


@case("threads, one function", per_thread=True)
def threads(tool: Tool) -> None:
    """Four threads at once, three calls each."""
    ready = Barrier(4)

    def shared() -> None:
        one = Pass("shared")
        one.spin(30)
        one.tell()

    function = tool.mark(shared, "shared")

    def work() -> None:
        ready.wait()
        for _ in range(3):
            function()

    made = [Thread(target=work) for _ in range(4)]
    for each in made:
        each.start()
    for each in made:
        each.join()


@case("threads, recursion at once (time counted once)")
def recursive_threads(tool: Tool) -> None:
    """Three threads, each in three nested passes of one function."""
    here: Any = None

    def nested(depth: int) -> None:
        one = Pass("nested", nested=depth < 2)
        one.spin(20)
        if depth:
            here(depth - 1)
        one.tell()

    here = tool.mark(nested, "nested")
    made = [Thread(target=here, args=(2,)) for _ in range(3)]
    for each in made:
        each.start()
    for each in made:
        each.join()


@case("threads one after the other (ids used again)", per_thread=True)
def recycled_threads(tool: Tool) -> None:
    """Five threads, of which each begins when the one before has ended."""

    def brief() -> None:
        one = Pass("brief")
        one.spin()
        one.tell()

    function = tool.mark(brief, "brief")
    for _ in range(5):
        thread = Thread(target=function)
        thread.start()
        thread.join()


@case("thread pool", per_thread=True)
def thread_pool(tool: Tool) -> None:
    """Three workers, twelve calls."""
    ready = Barrier(3)

    def job(number: int) -> int:
        one = Pass("job")
        if number < 3:
            ready.wait()
        one.spin()
        one.tell()
        return number

    function = tool.mark(job, "job")
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(function, range(12))) == 66


# asyncio


@case("asyncio: interleaved tasks, each one's time", asynchronous=True)
def interleaved_tasks(tool: Tool) -> None:
    """Three tasks whose turns overlap."""
    tasks = three_tasks(tool, lambda: asyncio.sleep(0.01))

    async def main() -> None:
        await asyncio.gather(*(task() for task in tasks))

    asyncio.run(main())


@case("asyncio: interleaved tasks of one function", asynchronous=True)
def interleaved_alike(tool: Tool) -> None:
    """Six tasks of one coroutine function."""

    async def alike() -> None:
        one = Pass("alike", suspends=True)
        one.spin()
        await asyncio.sleep(0.01)
        one.spin()
        await asyncio.sleep(0.01)
        one.spin()
        one.tell()

    function = tool.mark(alike, "alike")

    async def main() -> None:
        await asyncio.gather(*(function() for _ in range(6)))

    asyncio.run(main())


@case("asyncio: `with` block across `await`", asynchronous=True)
def block_across_await(tool: Tool) -> None:
    """Blocks in interleaved tasks that are not marked themselves."""

    async def work(name: str, ms: float) -> None:
        with tool.block(f"block_{name}"):
            one = Pass(f"block_{name}", switches=True)
            one.spin(ms)
            await asyncio.sleep(0.01)
            one.spin(ms)
            one.tell()

    async def main() -> None:
        await asyncio.gather(*(work(name, ms) for name, ms in OWN_MS.items()))

    asyncio.run(main())


@case("asyncio: TaskGroup", asynchronous=True)
def task_group(tool: Tool) -> None:
    """Three tasks of one group."""
    tasks = three_tasks(tool, lambda: asyncio.sleep(0.01))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task())

    asyncio.run(main())


@case("asyncio: eager tasks", asynchronous=True, least=(3, 12))
def eager_tasks(tool: Tool) -> None:
    """Three tasks whose first steps run where they are made."""
    tasks = three_tasks(tool, lambda: asyncio.sleep(0.01))

    async def main() -> None:
        factory: Any = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.gather(*(task() for task in tasks))

    asyncio.run(main())


@case("asyncio: cancellation", asynchronous=True)
def cancellation(tool: Tool) -> dict[str, bool]:
    """Three tasks are cancelled in their middle."""

    async def endless() -> None:
        one = Pass("endless", suspends=True)
        one.spin()
        try:
            await asyncio.Event().wait()
        finally:
            one.spin()
            one.tell()

    function = tool.mark(endless, "endless")
    ended: list[bool] = []

    async def main() -> None:
        tasks = [asyncio.ensure_future(function()) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        ended.extend(isinstance(error, asyncio.CancelledError) for error in done)

    asyncio.run(main())
    return {"each is cancelled": ended == [True] * 3}


@case("asyncio: cancellation within a block", asynchronous=True)
def cancellation_in_block(tool: Tool) -> None:
    """What is cancelled is awaited in a block, which it leaves."""

    async def awaited() -> None:
        one = Pass("awaited", suspends=True)
        one.spin()
        try:
            await asyncio.Event().wait()
        finally:
            one.spin()
            one.tell()

    function = tool.mark(awaited, "awaited")

    async def patient() -> None:
        with tool.block("around"):
            one = Pass("around", switches=True)
            with suppress(asyncio.CancelledError):
                await function()
            one.spin()
            one.tell()

    async def main() -> None:
        tasks = [asyncio.ensure_future(patient()) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)

    asyncio.run(main())


@case("asyncio: `async with` of a class that enters a block by hand", asynchronous=True)
def block_by_hand(tool: Tool) -> None:
    """The block is open until the class leaves it, though the coroutine that entered it is gone."""

    class Session:
        async def __aenter__(self) -> None:
            self.block = tool.block("session")
            self.block.__enter__()
            self.one = Pass("session", switches=True)

        async def __aexit__(self, *error: Any) -> None:
            self.one.tell()
            self.block.__exit__(*error)

    async def main() -> None:
        for _ in range(2):
            async with Session():
                with tool.block("inside"):
                    one = Pass("inside")
                    one.spin()
                    one.tell()
                await asyncio.sleep(0.02)

    asyncio.run(main())


@case("asyncio.to_thread", asynchronous=True)
def to_thread(tool: Tool) -> None:
    """Three calls in other threads at once."""

    def there() -> None:
        one = Pass("there")
        one.spin(30)
        one.tell()

    function = tool.mark(there, "there")

    async def main() -> None:
        await asyncio.gather(*(asyncio.to_thread(function) for _ in range(3)))

    asyncio.run(main())


@case("event loops on several threads", asynchronous=True)
def several_loops(tool: Tool) -> None:
    """Three threads, each with a loop of its own and two tasks."""

    async def on_loop() -> None:
        one = Pass("on_loop", suspends=True)
        one.spin()
        await asyncio.sleep(0.03)
        one.spin()
        one.tell()

    function = tool.mark(on_loop, "on_loop")

    async def main() -> None:
        await asyncio.gather(function(), function())

    made = [Thread(target=lambda: asyncio.run(main())) for _ in range(3)]
    for each in made:
        each.start()
    for each in made:
        each.join()


# Other loops


@case("trio: nursery, each one's time", needs=("trio",), asynchronous=True)
def trio_nursery(tool: Tool) -> None:
    """Three tasks of one nursery."""
    trio = import_module("trio")
    tasks = three_tasks(tool, lambda: trio.sleep(0.01))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)

    trio.run(main)


def anyio_tasks(tool: Tool, backend: str) -> None:
    """Three tasks of one group of anyio."""
    anyio = import_module("anyio")
    tasks = three_tasks(tool, lambda: anyio.sleep(0.01))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for task in tasks:
                group.start_soon(task)

    anyio.run(main, backend=backend)


@case("anyio on asyncio: task group", needs=("anyio",), asynchronous=True)
def anyio_on_asyncio(tool: Tool) -> None:
    """See `anyio_tasks`."""
    anyio_tasks(tool, "asyncio")


@case("anyio on trio: task group", needs=("anyio", "trio"), asynchronous=True)
def anyio_on_trio(tool: Tool) -> None:
    """See `anyio_tasks`."""
    anyio_tasks(tool, "trio")


# Greenlets


def two_functions(tool: Tool, pause: Callable[[], Any]) -> list[Callable[[], None]]:
    """Two functions that switch to others in their middle."""

    def first_green() -> None:
        one = Pass("first_green", switches=True)
        one.spin(20)
        pause()
        one.spin(20)
        one.tell()

    def second_green() -> None:
        one = Pass("second_green", switches=True)
        one.spin(60)
        pause()
        one.spin(60)
        one.tell()

    return [tool.mark(first_green, "first_green"), tool.mark(second_green, "second_green")]


@case("greenlet: switches in the middle of calls", needs=("greenlet",), greenlets=True)
def greenlets(tool: Tool) -> None:
    """Two calls that end in the order in which they began."""
    greenlet = import_module("greenlet")
    here = greenlet.getcurrent()
    made = [greenlet.greenlet(function) for function in two_functions(tool, lambda: here.switch())]
    for each in made:
        each.switch()
    spin()
    for each in made:
        each.switch()


@case("greenlet: `with` block across a switch", needs=("greenlet",), greenlets=True)
def greenlet_blocks(tool: Tool) -> None:
    """Blocks that end in the order in which they began."""
    greenlet = import_module("greenlet")
    here = greenlet.getcurrent()

    def work(name: str, ms: float) -> None:
        with tool.block(f"block_{name}"):
            one = Pass(f"block_{name}", switches=True)
            one.spin(ms)
            here.switch()
            one.spin(ms)
            one.tell()

    made = [greenlet.greenlet(work) for _ in OWN_MS]
    for each, (name, ms) in zip(made, OWN_MS.items(), strict=True):
        each.switch(name, ms)
    for each in made:
        each.switch()


@case("gevent: spawned, each one's time", needs=("gevent",), greenlets=True)
def gevent_greenlets(tool: Tool) -> None:
    """Two calls that sleep in their middle."""
    gevent = import_module("gevent")
    functions = two_functions(tool, lambda: gevent.sleep(0.01))
    gevent.joinall([gevent.spawn(function) for function in functions], raise_error=True)


# What comes in between, and at the end


@case("daemon thread that goes on while the process ends")
def daemon_thread(tool: Tool) -> None:
    """It calls what is marked until it is no more; the process must end as ever."""

    def brief() -> None:
        sum(range(50))

    def counted() -> None:
        one = Pass("counted")
        one.spin()
        one.tell()

    function = tool.mark(brief, "brief")

    def endless() -> None:
        while True:
            function()

    Thread(target=endless, daemon=True).start()
    tool.mark(counted, "counted")()


@case("signal handler")
def signal_handler(tool: Tool) -> None:
    """Runs in the middle of another call, which includes it."""

    def handler(*_: object) -> None:
        one = Pass("handler")
        one.spin()
        one.tell()

    def interrupted() -> None:
        one = Pass("interrupted")
        one.spin()
        signal.raise_signal(signal.SIGINT)
        one.spin()
        one.tell()

    signal.signal(signal.SIGINT, tool.mark(handler, "handler"))
    function = tool.mark(interrupted, "interrupted")
    for _ in range(2):
        function()


@case("finalizer")
def finalizer(tool: Tool) -> None:
    """`__del__`, by the reference count and by the collector, inside another call."""

    def finalize(self: object) -> None:
        one = Pass("finalize")
        one.spin()
        one.tell()

    class Thing:
        __del__ = tool.mark(finalize, "finalize")

    def dropping(in_a_cycle: bool) -> None:
        one = Pass("dropping")
        thing: Any = Thing()
        if in_a_cycle:
            thing.itself = thing
        del thing
        gc.collect()
        one.tell()

    function = tool.mark(dropping, "dropping")
    function(False)
    function(True)


@case("generator with an open block, its consumer's block")
def block_in_generator(tool: Tool) -> None:
    """A generator stays in its block while its consumer is in another one."""

    def generating() -> Any:
        with tool.block("held"):
            one = Pass("held")
            one.spin()
            yield 1
            one.spin()
            one.tell()

    for _ in generating():
        with tool.block("consumed"):
            one = Pass("consumed")
            time.sleep(0.02)
            one.tell()


@case("generator with a block for each item, driven by two threads in turn")
def blocks_over_threads(tool: Tool) -> None:
    """Each block is entered on one thread and left on the other, as where a pool streams."""

    def items() -> Any:
        for _ in range(4):
            with tool.block("item"):
                one = Pass("item")
                one.spin()
                yield 1
                one.spin()
                one.tell()

    made = items()
    with ThreadPoolExecutor(1) as pool:
        for turn in range(5):
            if turn % 2:
                pool.submit(next, made, None).result()
            else:
                next(made, None)
