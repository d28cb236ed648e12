"""Every kind of concurrency: each pass is counted, bills only its own, and is the right one's child."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import greenlet  # type: ignore[import-untyped]
import pytest
import trio

from conftest import (
    WATCHDOG_SECONDS,
    ManualClock,
    Threads,
    hits,
    outcome,
    recorded,
    run_program,
)
from stichotrope import Profiler

pytestmark = pytest.mark.thread_safety

# Name, hits, total and self time in ns, and the same of what it is the parent of, by name.
Branch = tuple[str, int, int, int, list[Any]]


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("concurrent")


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A way to run a coroutine function with anyio, on either of its backends."""
    return lambda main: anyio.run(main, backend=request.param)


def tree(p: Profiler) -> list[Branch]:
    """The merged call tree with its figures."""

    def branches(node: Any) -> list[Branch]:
        return sorted(
            (c.name, c.hit_count, c.total_time_ns, c.self_time_ns, branches(c))
            for c in node.children
        )

    return branches(p.get_results().tree)


def nesting(p: Profiler) -> list[Any]:
    """The merged call tree, names only: (name, children) for each node."""

    def names(branches: list[Branch]) -> list[Any]:
        return [(branch[0], names(branch[4])) for branch in branches]

    return names(tree(p))


def run_file(directory: Path, program: str, *options: str) -> tuple[int, str, str]:
    """Run a program from a file: workers that are spawned import it again."""
    path = directory / "program.py"
    path.write_text(program, encoding="utf-8")
    started = f"import runpy, sys; sys.argv[:] = [{str(path)!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    return outcome(run_program(started, *options))


def suspended_in(p: Profiler, clock: ManualClock, *names: str) -> Iterator[int]:
    """An untracked generator that stops inside a block, and opens one in it after each stop."""
    with p.block(0, names[0]):
        clock.advance(1)
        yield 1
        with p.block(0, names[1]):
            clock.advance(10)
        yield 2
        clock.advance(100)


# asyncio: tasks that take turns


async def task_of(p: Profiler, clock: ManualClock, name: str, own: int, depth: int) -> None:
    """Nested blocks, each with a time of its own, and a turn for the others inside each."""
    with p.block(0, f"{name}{depth}"):
        clock.advance(own)
        await asyncio.sleep(0)
        if depth:
            await task_of(p, clock, name, own, depth - 1)
        clock.advance(own)


def test_interleaved_tasks_keep_a_stack_each(p: Profiler, clock: ManualClock) -> None:
    """Plain blocks across awaits are children of their own task's blocks, whoever ran in between."""

    async def main() -> None:
        await asyncio.gather(
            *(
                task_of(p, clock, name, own, 2)
                for name, own in zip("abc", (1, 10, 100), strict=True)
            )
        )

    asyncio.run(main())
    assert nesting(p) == [(f"{n}2", [(f"{n}1", [(f"{n}0", [])])]) for n in "abc"]
    found = recorded(p)
    assert set(hits(p).values()) == {1}
    # Each round takes 111 altogether, until the tasks end one after the other.
    assert {n: found[f"{n}2"].total_time_ns for n in "abc"} == {"a": 336, "b": 365, "c": 655}


def test_interleaved_tracked_coroutines_are_active_for_their_own_time_only(
    p: Profiler, clock: ManualClock
) -> None:
    """Wall time spans the turns of others, active and self time do not: exact for each task."""

    def named(name: str, own: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            with p.block(1, f"part {name}"):
                clock.advance(own)
                await asyncio.sleep(0)
                with p.block(1, f"inner {name}"):
                    clock.advance(own)
                    await asyncio.sleep(0)
                clock.advance(own)

        return p.track(0, f"task {name}")(work)

    async def main() -> None:
        await asyncio.gather(named("a", 1)(), named("b", 10)(), named("c", 100)())

    asyncio.run(main())
    found = recorded(p)
    assert nesting(p) == [(f"task {n}", [(f"part {n}", [(f"inner {n}", [])])]) for n in "abc"]
    for name, own, wall in (("a", 1, 223), ("b", 10, 232), ("c", 100, 322)):
        assert found[f"task {name}"].total_time_ns == wall
        assert found[f"task {name}"].active_time_ns == 3 * own
        assert found[f"task {name}"].self_time_ns == 0
        assert found[f"part {name}"].active_time_ns == 3 * own
        assert found[f"part {name}"].self_time_ns == 2 * own
        assert found[f"inner {name}"].self_time_ns == own


def test_a_task_is_a_child_of_the_block_that_it_was_made_in(
    p: Profiler, clock: ManualClock
) -> None:
    """Which it may well outlive: it keeps its place."""

    async def later() -> None:
        with p.block(0, "later"):
            await asyncio.sleep(0)
            clock.advance(2)

    async def main() -> asyncio.Task[None]:
        with p.block(0, "creator"):
            made = asyncio.create_task(later())
            await asyncio.sleep(0)
            clock.advance(1)
        return made

    async def all_of_it() -> None:
        await (await main())

    with p.block(0, "loop"):
        asyncio.run(all_of_it())
    assert nesting(p) == [("loop", [("creator", [("later", [])])])]
    found = recorded(p)
    assert found["creator"].total_time_ns == 1
    assert found["creator"].self_time_ns == 0  # that task was in progress
    assert (found["later"].total_time_ns, found["later"].self_time_ns) == (3, 3)
    assert (found["loop"].total_time_ns, found["loop"].self_time_ns) == (3, 0)


def test_callbacks_of_a_loop_are_children_of_what_is_around_it(
    p: Profiler, clock: ManualClock
) -> None:
    """What `call_soon` runs between two steps of a task is not the child of the task's block."""

    def callback() -> None:
        with p.block(0, "callback"):
            clock.advance(5)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(callback)
        with p.block(0, "task"):
            clock.advance(1)
            await asyncio.sleep(0)
            clock.advance(1)

    with p.block(0, "loop"):
        asyncio.run(main())
    assert nesting(p) == [("loop", [("callback", []), ("task", [])])]
    assert recorded(p)["callback"].self_time_ns == 5


def test_the_tasks_of_a_task_group_are_apart(p: Profiler, clock: ManualClock) -> None:
    """Each child has its own passes, and a failing one takes the others' to their end."""

    async def child(name: str, own: int) -> None:
        with p.block(0, name):
            clock.advance(own)
            await asyncio.sleep(0)
            clock.advance(own)

    async def waits() -> None:
        with p.block(0, "cancelled"):
            await asyncio.Event().wait()

    async def fails() -> None:
        with p.block(0, "failed"):
            await asyncio.sleep(0)
            raise KeyError("mine")

    async def main() -> None:
        with p.block(0, "group"):
            async with asyncio.TaskGroup() as group:
                group.create_task(child("a", 1))
                group.create_task(child("b", 10))
        async with asyncio.TaskGroup() as group:
            group.create_task(waits())
            group.create_task(fails())

    with pytest.raises(Exception, match="unhandled errors") as raised:
        asyncio.run(main())
    (inner,) = raised.value.exceptions  # type: ignore[attr-defined]
    assert (type(inner), inner.args) == (KeyError, ("mine",))
    assert hits(p) == {"group": 1, "a": 1, "b": 1, "cancelled": 1, "failed": 1}
    found = recorded(p)
    assert (found["a"].total_time_ns, found["b"].total_time_ns) == (12, 21)
    group: Any = ("group", [("a", []), ("b", [])])
    assert nesting(p) == [("cancelled", []), ("failed", []), group]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_an_eager_task_is_a_child_of_what_is_open_where_it_was_made(
    p: Profiler, clock: ManualClock
) -> None:
    """Its first step runs inside the block of its maker, which is billed that step and no more."""

    async def eager() -> None:
        with p.block(0, "eager"):
            clock.advance(1)
            await asyncio.sleep(0)
            clock.advance(10)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        with p.block(0, "maker"):
            made = asyncio.create_task(eager())
            clock.advance(100)
        await made

    asyncio.run(main())
    found = recorded(p)
    assert nesting(p) == [("maker", [("eager", [])])]
    assert found["eager"].total_time_ns == 111
    assert found["maker"].total_time_ns == 101
    assert hits(p) == {"eager": 1, "maker": 1}


# asyncio: tasks that end early


@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "plain blocks"])
def test_each_cancelled_pass_is_counted_and_the_error_is_unchanged(
    p: Profiler, clock: ManualClock, tracked: bool
) -> None:
    """What was open ends at the cancellation, and the very CancelledError comes out."""
    seen: list[asyncio.CancelledError] = []

    async def work() -> None:
        with p.block(0, "inside"):
            clock.advance(1)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                seen.append(error)
                clock.advance(10)
                raise

    function = p.track(0)(work) if tracked else work

    async def main() -> None:
        tasks = [asyncio.create_task(function()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel("enough")
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in done] == [asyncio.CancelledError] * 5
        assert [error.args for error in seen] == [("enough",)] * 5

    asyncio.run(main())
    assert hits(p) == ({"work": 5, "inside": 5} if tracked else {"inside": 5})
    inside = recorded(p)["inside"]
    if tracked:
        assert inside.active_time_ns == inside.self_time_ns == 5 * 11
    # Entered at 0 to 4, left at 15, 25, 35, 45, 55.
    assert inside.sum_time_ns == (15 + 25 + 35 + 45 + 55) - (0 + 1 + 2 + 3 + 4)
    assert inside.total_time_ns == 55
    assert (inside.cancelled_count, inside.error_count) == (5, 0)


def test_a_task_cancelled_before_its_first_step_is_no_pass(p: Profiler) -> None:
    """It never ran."""

    @p.track(0)
    async def work() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(work())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert hits(p) == {"work": 0}


def test_a_coroutine_that_survives_its_cancellation_is_one_pass(p: Profiler) -> None:
    """Caught inside, a cancellation is no end; a shielded task goes on too."""

    @p.track(0)
    async def stubborn() -> str:
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        return "done"

    @p.track(0)
    async def shielded(gate: asyncio.Event) -> None:
        await gate.wait()

    async def main() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert await task == "done"
        gate = asyncio.Event()
        protected = asyncio.create_task(shielded(gate))
        around = asyncio.ensure_future(asyncio.shield(protected))
        await asyncio.sleep(0)
        around.cancel()
        with pytest.raises(asyncio.CancelledError):
            await around
        assert hits(p)["shielded"] == 0
        gate.set()
        await protected

    asyncio.run(main())
    assert hits(p) == {"stubborn": 1, "shielded": 1}


def test_what_times_out_is_counted(p: Profiler) -> None:
    """A timeout ends the passes inside, and its own error is as ever."""

    @p.track(0)
    async def slow() -> None:
        with p.block(0, "inside"):
            await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(slow(), 0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await slow()

    asyncio.run(main())
    assert hits(p) == {"slow": 2, "inside": 2}


# asyncio: threads


def threads_of(p: Profiler) -> dict[str, list[Any]]:
    """Thread's name → its call tree, (name, hits, children) for each node."""

    def branches(node: Any) -> list[Any]:
        return sorted((c.name, c.hit_count, branches(c)) for c in node.children)

    found = p.get_results().threads
    return {thread.name: branches(thread.tree) for thread in found if thread.name}


def test_what_to_thread_runs_is_the_other_threads(p: Profiler) -> None:
    """Its passes are of the thread that ran them, at the path of the task that waits."""

    @p.track(0)
    def there(amount: int) -> str:
        for _ in range(amount):
            with p.block(0, "part"):
                pass
        return threading.current_thread().name

    async def ask(amount: int) -> str:
        with p.block(0, "asking"):
            return await asyncio.to_thread(there, amount)

    async def main() -> list[str]:
        return await asyncio.gather(*(ask(amount) for amount in (1, 2, 3)))

    names = set(asyncio.run(main()))
    assert hits(p) == {"there": 3, "part": 6, "asking": 3}
    by_thread = threads_of(p)
    here = threading.current_thread().name
    assert by_thread.pop(here) == [("asking", 3, [])]
    assert set(by_thread) == names
    for nodes in by_thread.values():
        ((name, count, children),) = nodes
        assert (name, count) == ("asking", 0)  # that thread has its place, and no pass of it
        ((name, count, children),) = children
        assert name == "there"
        assert [child[0] for child in children] == ["part"]
        assert count <= children[0][1]


def test_what_run_in_executor_runs_is_the_other_threads(p: Profiler, clock: ManualClock) -> None:
    """Each call is a pass on the executor's thread, with that thread's time."""

    def there(own: int) -> None:
        clock.set(0)
        with p.block(0, "there"):
            clock.advance(own)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
            with p.block(0, "waiting"):
                await asyncio.gather(*(loop.run_in_executor(pool, there, own) for own in (1, 2, 4)))
            clock.advance(100)

    asyncio.run(main())
    assert threads_of(p)["pool_0"] == [("there", 3, [])]
    there_ = recorded(p)["there"]
    assert (there_.total_time_ns, there_.min_time_ns, there_.max_time_ns) == (7, 1, 4)
    assert (recorded(p)["waiting"].self_time_ns, recorded(p)["waiting"].hit_count) == (0, 1)


def test_loops_on_several_threads_are_apart(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Tasks that take turns on four loops at once are exact for each of them."""

    def one_loop(name: str) -> Callable[[], None]:
        async def main() -> None:
            await asyncio.gather(*(task_of(p, clock, f"{name}{i}-", i + 1, 2) for i in range(3)))

        def begin() -> None:
            clock.set(0)
            with p.block(1, f"loop {name}"):
                asyncio.run(main())

        return begin

    threads.together(*(one_loop(name) for name in "abcd"))
    assert set(hits(p).values()) == {1}
    found = recorded(p)
    for name in "abcd":
        loop = found[f"loop {name}"]
        assert (loop.total_time_ns, loop.self_time_ns) == (36, 0)
        assert [found[f"{name}{i}-2"].total_time_ns for i in range(3)] == [21, 26, 33]
    assert nesting(p) == [
        (f"loop {n}", [(f"{n}{i}-2", [(f"{n}{i}-1", [(f"{n}{i}-0", [])])]) for i in range(3)])
        for n in "abcd"
    ]


def test_a_loop_on_another_thread_is_a_child_of_the_task_that_waits_for_it(p: Profiler) -> None:
    """Its path begins there; its time is the other thread's."""

    async def inner() -> None:
        with p.block(0, "inner"):
            await asyncio.sleep(0)

    async def outer() -> None:
        with p.block(0, "outer"):
            await asyncio.to_thread(lambda: asyncio.run(inner()))

    asyncio.run(outer())
    assert nesting(p) == [("outer", [("inner", [])])]


# Asynchronous generators and context managers


def numbers_of(p: Profiler, tracked: bool) -> Callable[[], Any]:
    """A function of an asynchronous generator that holds a block over its yields."""

    async def numbers() -> AsyncIterator[int]:
        with p.block(0, "inside"):
            for number in range(5):
                await asyncio.sleep(0)
                yield number

    return p.track(0)(numbers) if tracked else numbers


TRACKED_OR_NOT = pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "untracked"])


@TRACKED_OR_NOT
@pytest.mark.parametrize("way", ["exhausted", "aclose", "athrow", "break", "abandoned", "shutdown"])
def test_an_asynchronous_generator_ends_its_passes_whichever_way_it_ends(
    p: Profiler, tracked: bool, way: str
) -> None:
    """Run out, closed, thrown into, left, dropped, or closed with its loop."""
    numbers = numbers_of(p, tracked)
    kept: list[Any] = []

    async def main() -> None:
        made = numbers()
        assert await made.__anext__() == 0
        if way == "exhausted":
            assert [number async for number in made] == [1, 2, 3, 4]
        elif way == "aclose":
            await made.aclose()
        elif way == "athrow":
            error = KeyError("x")
            with pytest.raises(KeyError) as raised:
                await made.athrow(error)
            assert raised.value is error
        elif way == "break":
            async with contextlib.aclosing(made) as source:
                async for _ in source:
                    break
        elif way == "abandoned":
            del made
            gc.collect()
            for _ in range(5):  # the loop closes it in its own time
                await asyncio.sleep(0)
        else:
            kept.append(made)
        with p.block(0, "after"):
            pass

    asyncio.run(main())
    kept.clear()
    assert hits(p) == {"inside": 1, "after": 1} | ({"numbers": 1} if tracked else {})
    if way != "shutdown":
        assert "after" in [name for name, _ in nesting(p)]


@TRACKED_OR_NOT
def test_what_a_consumer_opens_is_not_the_generators_child(
    p: Profiler, clock: ManualClock, tracked: bool
) -> None:
    """While an asynchronous generator is suspended in a block, its consumer's blocks are the consumer's."""
    numbers = numbers_of(p, tracked)

    async def main() -> None:
        with p.block(0, "consumer"):
            async for _ in numbers():
                with p.block(0, "other"):
                    clock.advance(7)

    asyncio.run(main())
    inner: Any = ("numbers", [("inside", [])]) if tracked else ("inside", [])
    assert nesting(p) == [("consumer", sorted([inner, ("other", [])]))]
    found = recorded(p)
    assert (found["other"].self_time_ns, found["consumer"].total_time_ns) == (35, 35)
    assert found["inside"].hit_count == 1


def test_an_asynchronous_generator_that_its_loop_closes_ends_with_that(
    p: Profiler, clock: ManualClock
) -> None:
    """The closing is part of its run, and its pass is recorded then, however long it is referred to."""

    @p.track(0)
    async def numbers() -> AsyncIterator[int]:
        try:
            clock.advance(1)
            yield 1
        finally:
            clock.advance(10)

    kept: list[Any] = []

    async def main() -> None:
        kept.append(numbers())
        await kept[0].__anext__()

    asyncio.run(main())
    clock.advance(100)
    block = recorded(p)["numbers"]
    assert block.hit_count == 1
    assert (block.total_time_ns, block.active_time_ns) == (11, 11)


def test_asynchronous_context_managers_hold_blocks(p: Profiler, clock: ManualClock) -> None:
    """What is open around the body of an `async with` is the parent of what the body opens."""

    class Resource:
        @p.track(0)
        async def __aenter__(self) -> Resource:
            clock.advance(1)
            await asyncio.sleep(0)
            return self

        @p.track(0)
        async def __aexit__(self, *error: object) -> None:
            await asyncio.sleep(0)
            clock.advance(2)

    async def use(own: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(p.block(0, "around"))
            await stack.enter_async_context(Resource())
            with p.block(0, "body"):
                await asyncio.sleep(0)
                clock.advance(own)

    async def main() -> None:
        await asyncio.gather(use(10), use(100))

    asyncio.run(main())
    assert hits(p) == {"__aenter__": 2, "__aexit__": 2, "around": 2, "body": 2}
    found = recorded(p)
    assert found["__aenter__"].active_time_ns == 2
    assert found["__aexit__"].active_time_ns == 4
    assert nesting(p) == [("around", [("__aenter__", []), ("__aexit__", []), ("body", [])])]


# trio and anyio


def test_the_children_of_a_nursery_are_apart(p: Profiler, clock: ManualClock) -> None:
    """Under trio as under asyncio: exact for each task, and children of the block that they were started in."""

    async def child(name: str, own: int) -> None:
        with p.block(0, name):
            clock.advance(own)
            await trio.lowlevel.checkpoint()
            with p.block(0, f"{name} inner"):
                clock.advance(own)
                await trio.lowlevel.checkpoint()
                clock.advance(own)

    async def main() -> None:
        with p.block(0, "nursery"):
            async with trio.open_nursery() as nursery:
                for name, own in (("a", 1), ("b", 10), ("c", 100)):
                    nursery.start_soon(child, name, own)

    with p.block(0, "loop"):
        trio.run(main)
    children: Any = [(n, [(f"{n} inner", [])]) for n in "abc"]
    assert nesting(p) == [("loop", [("nursery", children)])]
    assert set(hits(p).values()) == {1}
    found = recorded(p)
    assert found["loop"].total_time_ns == found["nursery"].total_time_ns == 333
    assert found["loop"].self_time_ns == 0
    for name in "abc":  # in whichever order trio takes them
        assert found[f"{name} inner"].total_time_ns <= found[name].total_time_ns <= 333


def test_tracked_coroutines_under_trio_are_active_for_their_own_time(
    p: Profiler, clock: ManualClock
) -> None:
    """Active time and hits are exact, and a cancelled one is counted too."""

    @p.track(0)
    async def work(own: int) -> None:
        clock.advance(own)
        await trio.lowlevel.checkpoint()
        clock.advance(own)

    @p.track(0)
    async def forever() -> None:
        await trio.sleep_forever()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for own in (1, 10, 100):
                nursery.start_soon(work, own)
            with trio.move_on_after(0):
                await forever()

    trio.run(main)
    assert hits(p) == {"work": 3, "forever": 1}
    assert recorded(p)["work"].active_time_ns == recorded(p)["work"].self_time_ns == 222


def test_a_nursery_whose_tasks_are_all_cancelled_is_cancelled_too(p: Profiler) -> None:
    """Trio raises a group of what its tasks raised. With an error among them, it is one."""

    @p.track(0)
    async def nursery(depth: int, *, fails: bool = False) -> None:
        with p.block(0, "fails" if fails else "nursery block"):
            async with trio.open_nursery() as tasks:
                for _ in range(2):
                    tasks.start_soon(nursery, depth - 1) if depth else tasks.start_soon(
                        trio.sleep_forever
                    )
                if fails:
                    await trio.lowlevel.checkpoint()
                    raise KeyError

    async def main() -> None:
        with trio.move_on_after(0):
            await nursery(2)
        with contextlib.suppress(BaseExceptionGroup):
            await nursery(0, fails=True)

    trio.run(main)
    found = recorded(p)
    assert [
        (found[name].hit_count, found[name].cancelled_count, found[name].error_count)
        for name in ("nursery", "nursery block", "fails")
    ] == [(8, 7, 1), (7, 7, 0), (1, 0, 1)]


@pytest.mark.parametrize(
    ("make", "cancels"),
    [
        (lambda: BaseExceptionGroup("", [GeneratorExit(), asyncio.CancelledError()]), True),
        (lambda: BaseExceptionGroup("", [BaseExceptionGroup("", [GeneratorExit()])]), True),
        (lambda: BaseExceptionGroup("", [GeneratorExit(), KeyError()]), False),
        (lambda: ExceptionGroup("", [KeyError()]), False),
    ],
    ids=["all", "a group of them", "one is not", "none is"],
)
def test_a_group_is_a_cancellation_when_all_in_it_are(
    p: Profiler, make: Callable[[], BaseException], cancels: bool
) -> None:
    """However it leaves: a block, a function, a generator."""
    error = make()

    @p.track(0)
    def function() -> None:
        with p.block(0, "block"):
            raise error

    @p.track(0)
    def generator() -> Iterator[int]:
        yield 1
        function()

    with pytest.raises(type(error)) as raised:
        list(generator())
    assert raised.value is error
    for block in recorded(p).values():
        assert (block.cancelled_count, block.error_count) == (int(cancels), int(not cancels))


def test_task_groups_of_anyio_are_apart(
    p: Profiler, clock: ManualClock, run: Callable[..., Any]
) -> None:
    """On both backends: exact for each task, a cancelled one too."""

    @p.track(0)
    async def child(name: str, own: int) -> None:
        with p.block(0, name):
            clock.advance(own)
            await anyio.lowlevel.checkpoint()
            with p.block(0, f"{name} inner"):
                clock.advance(own)
                await anyio.lowlevel.checkpoint()
                clock.advance(own)

    @p.track(0)
    async def forever() -> None:
        await anyio.sleep_forever()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name, own in (("a", 1), ("b", 10), ("c", 100)):
                group.start_soon(child, name, own)
        async with anyio.create_task_group() as group:
            group.start_soon(forever)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    run(main)
    assert nesting(p) == [
        ("child", [(name, [(f"{name} inner", [])]) for name in "abc"]),
        ("forever", []),
    ]
    found = recorded(p)
    assert hits(p) == {
        "child": 3,
        "forever": 1,
        **{f"{name}{end}": 1 for name in "abc" for end in ("", " inner")},
    }
    assert found["child"].active_time_ns == 333
    for name, own in (("a", 1), ("b", 10), ("c", 100)):
        assert found[f"{name} inner"].self_time_ns == 2 * own
        assert found[name].active_time_ns == 3 * own


# In a program of its own: trio keeps its threads for a while after the loop has ended.
TO_THREAD = """
import threading
import anyio, anyio.to_thread, trio
from stichotrope import Profiler

p = Profiler("threads")

@p.track(0)
def there(amount):
    for _ in range(amount):
        with p.block(0, "part"):
            pass
    return threading.current_thread() is not threading.main_thread()

async def ask(amount):
    with p.block(0, "asking"):
        assert await RUN(there, amount)

async def main():
    async with anyio.create_task_group() as group:
        for amount in (1, 2, 3):
            group.start_soon(ask, amount)

anyio.run(main, backend=BACKEND)
print(sorted((n.name, n.hit_count, depth) for n, depth in p.get_results().tree.walk() if depth))
"""

TO_THREAD_WAYS = {
    "anyio on asyncio": ("anyio.to_thread.run_sync", "asyncio"),
    "anyio on trio": ("anyio.to_thread.run_sync", "trio"),
    "trio": ("trio.to_thread.run_sync", "trio"),
}


@pytest.mark.parametrize("way", TO_THREAD_WAYS)
def test_what_trio_and_anyio_run_in_threads_is_the_other_threads(way: str) -> None:
    """Under the block in which the task waits."""
    function, backend = TO_THREAD_WAYS[way]
    program = TO_THREAD.replace("RUN", function).replace("BACKEND", repr(backend))
    assert outcome(run_program(program, "-W", "ignore")) == (
        0,
        "[('asking', 3, 1), ('part', 6, 3), ('there', 3, 2)]\n",
        "",
    )


# greenlet and gevent


def test_greenlets_that_switch_inside_blocks_keep_a_stack_each(
    p: Profiler, clock: ManualClock
) -> None:
    """What a greenlet opens is the child of its own blocks, whichever ran in between."""
    here = greenlet.getcurrent()

    def work(name: str, own: int) -> None:
        with p.block(0, name):
            clock.advance(own)
            here.switch()
            with p.block(0, f"{name} inner"):
                clock.advance(own)
                here.switch()
                clock.advance(own)

    made = [greenlet.greenlet(work) for _ in range(3)]
    for each, name, own in zip(made, "abc", (1, 10, 100), strict=True):
        each.switch(name, own)
    with p.block(0, "between"):
        clock.advance(1000)
    for _ in range(2):
        for each in made:
            each.switch()
    assert [each.dead for each in made] == [True] * 3
    expected: list[Any] = [*((n, [(f"{n} inner", [])]) for n in "abc"), ("between", [])]
    assert nesting(p) == sorted(expected)
    found = recorded(p)
    assert set(hits(p).values()) == {1}
    assert {n: found[n].total_time_ns for n in "abc"} == {
        "a": 111 + 1000 + 111 + 1,
        "b": 110 + 1000 + 111 + 11,
        "c": 100 + 1000 + 111 + 111,
    }
    assert {n: found[f"{n} inner"].total_time_ns for n in "abc"} == {"a": 112, "b": 121, "c": 211}
    assert found["between"].self_time_ns == 1000


def test_a_tracked_function_may_switch_greenlets(p: Profiler, clock: ManualClock) -> None:
    """Its pass lasts until it returns, and does not end or begin another one's."""
    here = greenlet.getcurrent()

    @p.track(0, "a")
    def first(own: int) -> None:
        clock.advance(own)
        here.switch()
        clock.advance(own)

    second = p.track(0, "b")(first.__wrapped__)  # type: ignore[attr-defined]
    made = [greenlet.greenlet(first), greenlet.greenlet(second)]
    made[0].switch(1)
    made[1].switch(10)
    for each in made:
        each.switch()
    found = recorded(p)
    assert hits(p) == {"a": 1, "b": 1}
    assert (found["a"].total_time_ns, found["b"].total_time_ns) == (12, 21)
    assert nesting(p) == [("a", []), ("b", [])]


def test_a_greenlet_that_never_ends_is_closed_by_the_collector(
    p: Profiler, clock: ManualClock
) -> None:
    """Dropped in the middle of a block, it leaves it; who goes on is not disturbed."""
    here = greenlet.getcurrent()

    def work() -> None:
        with p.block(0, "held"):
            clock.advance(1)
            here.switch()

    with p.block(0, "around"):
        made = [greenlet.greenlet(work) for _ in range(3)]
        for each in made:
            each.switch()
        with p.block(0, "inner"):
            clock.advance(10)
            del made, each
            gc.collect()
            clock.advance(100)
    assert hits(p) == {"held": 3, "around": 1, "inner": 1}
    found = recorded(p)
    assert found["inner"].total_time_ns == found["inner"].self_time_ns == 110
    assert found["around"].total_time_ns == 113
    assert (found["held"].sum_time_ns, found["held"].total_time_ns) == (13 + 12 + 11, 13)
    assert found["held"].error_count + found["held"].cancelled_count == 3


def test_greenlets_that_share_a_context_on_purpose_share_a_flow(
    p: Profiler, clock: ManualClock
) -> None:
    """One that takes over its parent's context goes on in the parent's blocks."""

    def work() -> None:
        with p.block(0, "child"):
            clock.advance(1)

    with p.block(0, "parent"):
        made = greenlet.greenlet(work)
        made.gr_context = greenlet.getcurrent().gr_context
        made.switch()
    assert nesting(p) == [("parent", [("child", [])])]


GEVENT = """
import gevent, gevent.pool
from stichotrope import Profiler, _core

_core.use_clock("manual")
now = 0

def advance(ns):
    global now
    now += ns
    _core.set_manual_ticks(now)

p = Profiler("gevent")

@p.track(0)
def work(name, own):
    with p.block(0, name):
        advance(own)
        gevent.sleep(0)
        with p.block(0, name + " inner"):
            advance(own)
            gevent.sleep(0)
            advance(own)

def show(node, depth=0):
    for child in sorted(node.children, key=lambda child: child.name):
        print(" " * depth + child.name, child.hit_count)
        show(child, depth + 1)

HOW
show(p.get_results().tree)
blocks = {b.name: b for b in p.get_results().tracks[0].blocks}
print({name: (blocks[name].total_time_ns, blocks[name + " inner"].total_time_ns) for name in "abc"})
"""

GEVENT_WAYS = {
    "spawn": "gevent.joinall([gevent.spawn(work, n, o) for n, o in zip('abc', (1, 10, 100))], raise_error=True)",
    "pool": "gevent.pool.Pool(3).map(lambda one: work(*one), list(zip('abc', (1, 10, 100))))",
}


@pytest.mark.parametrize("way", GEVENT_WAYS)
def test_greenlets_of_gevent_are_apart(way: str) -> None:
    """Spawned or in a pool, each greenlet's blocks are its own, with exact times."""
    expected = "work 3\n" + "".join(f" {name} 1\n  {name} inner 1\n" for name in "abc")
    times = {"a": (223, 112), "b": (232, 121), "c": (322, 211)}
    program = GEVENT.replace("HOW", GEVENT_WAYS[way])
    done = run_program(program, "-W", "ignore")
    assert outcome(done) == (0, f"{expected}{times}\n", "")


# Generators that are suspended inside a block


def test_what_is_opened_while_an_untracked_generator_is_suspended_is_not_its_child(
    p: Profiler, clock: ManualClock
) -> None:
    """The consumer's blocks are the consumer's; the body's are its own block's children again."""
    with p.block(0, "consumer"):
        for _ in suspended_in(p, clock, "held", "body"):
            with p.block(0, "other"):
                clock.advance(1000)
    assert nesting(p) == [("consumer", [("held", [("body", [])]), ("other", [])])]
    found = recorded(p)
    assert found["held"].total_time_ns == 2111
    assert found["body"].total_time_ns == 10
    assert found["other"].total_time_ns == found["other"].self_time_ns == 2000
    assert found["consumer"].total_time_ns == 2111
    # What nobody waits for is idle, where the interpreter tells when it goes on again.
    idle = 2000 if sys.version_info >= (3, 12) else 0
    assert found["held"].active_time_ns == 2111 - idle
    assert found["held"].self_time_ns == 2101 - idle


def test_untracked_generators_that_take_turns_are_apart(p: Profiler, clock: ManualClock) -> None:
    """Each one's body opens blocks under its own, whatever else is suspended."""
    made = [suspended_in(p, clock, f"held {n}", f"body {n}") for n in "ab"]
    for first, second in zip(*made, strict=True):
        assert first == second
    assert nesting(p) == [("held a", [("body a", [])]), ("held b", [("body b", [])])]
    found = recorded(p)
    assert {n: b.hit_count for n, b in found.items()} == dict.fromkeys(found, 1)
    # a: from 0; its last step ends at 122. b: from 1; closed by `strict` at 222.
    assert (found["held a"].total_time_ns, found["held b"].total_time_ns) == (122, 221)


@TRACKED_OR_NOT
def test_a_generator_may_be_finished_by_another_thread(
    p: Profiler, clock: ManualClock, threads: Threads, tracked: bool
) -> None:
    """The blocks it holds move with it; the thread it left has nothing open, and no pass is lost."""
    function = p.track(0, "generator")(suspended_in) if tracked else suspended_in
    made = function(p, clock, "held", "body")
    next(made)

    def finish() -> None:
        clock.set(50)
        with p.block(0, "there"):
            assert list(made) == [2]

    threads.spawn(finish)()
    with p.block(0, "here"):
        clock.advance(5)
    expected = {"held": 1, "body": 1, "there": 1, "here": 1}
    assert hits(p) == (expected | {"generator": 1} if tracked else expected)
    found = recorded(p)
    assert found["here"].total_time_ns == found["here"].self_time_ns == 5
    assert found["body"].total_time_ns == 10
    assert found["there"].total_time_ns == 110
    assert "here" in [name for name, _ in nesting(p)]


@TRACKED_OR_NOT
def test_a_generator_closed_by_the_collector_leaves_its_blocks(
    p: Profiler, clock: ManualClock, tracked: bool
) -> None:
    """In the middle of another block, which is neither its parent's end nor its child."""
    function = p.track(0, "generator")(suspended_in) if tracked else suspended_in
    cycle: list[Any] = [function(p, clock, "held", "body")]
    cycle.append(cycle)
    assert next(cycle[0]) == 1
    with p.block(0, "other"):
        clock.advance(10)
        del cycle
        gc.collect()
        with p.block(0, "inner"):
            clock.advance(100)
    expected = {"held": 1, "other": 1, "inner": 1}
    assert hits(p) == (expected | {"generator": 1} if tracked else expected)
    found = recorded(p)
    assert found["held"].total_time_ns == 11
    assert (found["other"].total_time_ns, found["other"].self_time_ns) == (110, 10)
    ((_, children),) = [branch for branch in nesting(p) if branch[0] == "other"]
    assert ("inner", []) in children


@TRACKED_OR_NOT
def test_a_generator_collected_on_another_thread_disturbs_nobody(
    p: Profiler, clock: ManualClock, threads: Threads, tracked: bool
) -> None:
    """Its passes are recorded where it is closed, and neither thread has anything left open."""
    function = p.track(0, "generator")(suspended_in) if tracked else suspended_in
    held = [function(p, clock, "held", "body")]
    next(held[0])

    def drop() -> None:
        clock.set(20)
        with p.block(0, "there"):
            held.clear()
            gc.collect()
            clock.advance(3)

    threads.spawn(drop)()
    with p.block(0, "here"):
        clock.advance(5)
    expected = {"held": 1, "there": 1, "here": 1}
    assert hits(p) == (expected | {"generator": 1} if tracked else expected)
    found = recorded(p)
    assert found["there"].total_time_ns == 3
    assert found["here"].total_time_ns == found["here"].self_time_ns == 5
    assert "here" in [name for name, _ in nesting(p)]


@TRACKED_OR_NOT
@pytest.mark.parametrize("way", ["finished", "closed", "dropped"])
def test_a_block_that_a_generator_leaves_on_another_thread_is_counted(
    p: Profiler, clock: ManualClock, threads: Threads, tracked: bool, way: str
) -> None:
    """Once, however the generator ends there."""
    function = p.track(0, "generator")(suspended_in) if tracked else suspended_in
    held: list[Any] = [function(p, clock, "held", "body")]
    next(held[0])

    def end() -> None:
        if way == "finished":
            list(held[0])
        elif way == "closed":
            held[0].close()
        held.clear()

    threads.spawn(end)()
    assert hits(p)["held"] == 1


def test_a_plain_function_that_returns_a_coroutine_is_timed_until_that_has_run(
    p: Profiler, clock: ManualClock
) -> None:
    """What runs when the coroutine is awaited belongs to the pass of the function that made it."""

    async def body() -> int:
        clock.advance(3)
        await asyncio.sleep(0)
        clock.advance(4)
        return 42

    @p.track(0)
    def give() -> Awaitable[int]:
        clock.advance(1)
        return body()

    async def main() -> int:
        return await give()

    assert asyncio.run(main()) == 42
    found = recorded(p)["give"]
    assert found.hit_count == 1
    assert found.total_time_ns == 8
    assert found.active_time_ns == 8


# Signals, finalizers, callbacks


def test_a_signal_handler_records_and_reads_inside_the_interrupted_block(
    p: Profiler, clock: ManualClock
) -> None:
    """What it opens is the child of what it interrupts; what it reads is what had ended by then."""
    read: list[dict[str, int]] = []

    def handler(*_: object) -> None:
        with p.block(0, "handler"):
            clock.advance(10)
            read.append(hits(p))

    before = signal.signal(signal.SIGINT, handler)
    try:
        for _ in range(3):
            with p.block(0, "interrupted"):
                clock.advance(1)
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    found = recorded(p)
    assert nesting(p) == [("interrupted", [("handler", [])])]
    assert (found["interrupted"].total_time_ns, found["interrupted"].self_time_ns) == (33, 3)
    assert read == [{"handler": n, "interrupted": n} for n in range(3)]


def test_an_exception_from_a_signal_handler_ends_the_passes_it_leaves(p: Profiler) -> None:
    """As any other: block, call, generator and coroutine are counted, and it goes through."""

    class StoppedError(Exception):
        pass

    def handler(*_: object) -> None:
        raise StoppedError

    @p.track(0)
    def generator() -> Iterator[int]:
        signal.raise_signal(signal.SIGINT)
        yield 1

    @p.track(0)
    async def coroutine() -> None:
        with p.block(0, "block"):
            next(generator())

    @p.track(0)
    def call() -> None:
        coroutine().send(None)  # type: ignore[attr-defined]

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(StoppedError):
            call()
    finally:
        signal.signal(signal.SIGINT, before)
    assert hits(p) == {"generator": 1, "coroutine": 1, "block": 1, "call": 1}
    assert nesting(p) == [("call", [("coroutine", [("block", [("generator", [])])])])]


@pytest.mark.parametrize("way", ["__del__", "weakref callback", "weakref.finalize"])
def test_a_finalizer_records_and_reads_inside_the_block_it_comes_in(
    p: Profiler, clock: ManualClock, way: str
) -> None:
    """It is the child of what was open, by the reference count as by the collector."""
    read: list[int] = []

    def finalizer(*_: object) -> None:
        with p.block(0, "finalizer"):
            clock.advance(10)
            read.append(p.get_results().total_hits)

    class Thing:
        if way == "__del__":
            __del__ = finalizer

    def make() -> tuple[Thing, object]:
        made = Thing()
        if way == "weakref callback":
            return made, weakref.ref(made, finalizer)
        return made, weakref.finalize(made, finalizer) if way == "weakref.finalize" else None

    with p.block(0, "counted"):
        thing, watch = make()
        del thing
    with p.block(0, "collected"):
        thing, watch = make()
        thing.itself = thing  # type: ignore[attr-defined]
        del thing
        gc.collect()
    del watch
    assert read == [0, 2]
    found = recorded(p)
    assert nesting(p) == [("collected", [("finalizer", [])]), ("counted", [("finalizer", [])])]
    assert found["finalizer"].hit_count == 2
    assert found["counted"].self_time_ns == found["collected"].self_time_ns == 0


# Pools of threads and of processes; other interpreters


def test_the_workers_of_a_thread_pool_are_apart(p: Profiler, clock: ManualClock) -> None:
    """Every call is counted on the worker that ran it, with that worker's time."""
    start = threading.Barrier(4)

    @p.track(0)
    def work(own: int) -> str:
        start.wait(WATCHDOG_SECONDS)
        with p.block(0, "part"):
            clock.advance(own)
        return threading.current_thread().name

    with ThreadPoolExecutor(4, thread_name_prefix="pool") as pool:
        names = list(pool.map(work, range(1, 41)))
    assert hits(p) == {"work": 40, "part": 40}
    assert recorded(p)["work"].total_time_ns == sum(range(1, 41))
    per_thread = {name: sum(n == name for n in names) for name in set(names)}
    assert len(per_thread) == 4
    assert threads_of(p) == {
        name: [("work", count, [("part", count, [])])] for name, count in per_thread.items()
    }


POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from stichotrope import Profiler

p = Profiler("pool")

@p.track(0)
def work(number):
    with p.block(0, "part"):
        return number * number

def report(number):
    work(number)
    found = {b.name: b.hit_count for b in p.get_results().tracks[0].blocks}
    return found["work"], found["part"], p.get_results().metadata["process"]

if __name__ == "__main__":
    work(1)
    METHOD = "fork"
    context = multiprocessing.get_context(METHOD)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        done = list(pool.map(report, range(5)))
    print([(work, part) for work, part, _ in done])
    print(len({str(process) for *_, process in done}))
    print({b.name: b.hit_count for b in p.get_results().tracks[0].blocks})
"""


def methods() -> list[str]:
    """The ways in which this system starts processes."""
    import multiprocessing

    return multiprocessing.get_all_start_methods()


@pytest.mark.parametrize("method", methods())
def test_the_workers_of_a_process_pool_begin_empty(tmp_path: Path, method: str) -> None:
    """However they are started, what they record is theirs, and the parent's figures stay."""
    program = POOL.replace('"fork"', repr(method))
    assert run_file(tmp_path, program, "-W", "ignore::DeprecationWarning") == (
        0,
        "[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]\n1\n{'work': 1, 'part': 1}\n",
        "",
    )


OTHER_INTERPRETER = """
import sys
from stichotrope import Profiler

p = Profiler("first")

@p.track(0)
def work():
    with p.block(0, "part"):
        pass

inside = '''if True:
    import sys
    sys.path[:] = %r
    try:
        import stichotrope
    except ImportError as error:
        text = str(error)
        assert "interpreter" in text and ("only" in text or "not support" in text), text
    else:
        raise AssertionError("it was imported")
''' % (sys.path,)

def by_low_level():
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    other = interpreters.create()
    failure = interpreters.run_string(other, inside)
    assert failure is None, failure
    interpreters.destroy(other)

def by_module():
    from concurrent import interpreters
    other = interpreters.create()
    other.exec(inside)
    other.close()

def by_pool():
    from concurrent.futures import InterpreterPoolExecutor
    with InterpreterPoolExecutor(2) as pool:
        list(pool.map(exec, [inside] * 4))

work()
HOW()
for _ in range(3):
    work()
print({b.name: b.hit_count for b in p.get_results().tracks[0].blocks})
"""

INTERPRETERS = ["by_low_level", *(["by_module", "by_pool"] if sys.version_info >= (3, 14) else [])]


@pytest.mark.parametrize("way", INTERPRETERS)
def test_another_interpreter_is_refused_in_a_sentence_and_the_first_one_goes_on(way: str) -> None:
    """Importing there is an ImportError that names interpreters; no pass of the first one is lost."""
    done = run_program(OTHER_INTERPRETER.replace("HOW", way), "-S", "-W", "ignore")
    assert outcome(done) == (0, "{'work': 4, 'part': 4}\n", "")
