"""Generators and coroutines: a pass lasts from the first resume to the end, and bills nobody else."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
import types
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, recorded
from stichotrope import Profiler

pytestmark = pytest.mark.unit


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("suspended")


def run(main: Awaitable[Any]) -> Any:
    """Run a coroutine in an event loop of its own."""

    async def drive() -> Any:
        return await main

    return asyncio.run(drive())


def test_a_generator_is_timed_while_it_runs(p: Profiler, clock: ManualClock) -> None:
    """Its total is from the first resume to the end, its active and self time what it ran."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        for number in range(3):
            clock.advance(10)
            yield number

    made = numbers()
    clock.advance(5)  # not started yet: nobody's time
    for _ in made:
        clock.advance(100)
    block = recorded(p)["numbers"]
    assert block.hit_count == 1
    assert block.total_time_ns == 330
    assert block.active_time_ns == 30
    assert block.self_time_ns == 30
    assert (block.min_time_ns, block.max_time_ns) == (330, 330)


def test_a_caller_is_billed_only_what_its_generator_ran(p: Profiler, clock: ManualClock) -> None:
    """Self time of the caller leaves out the generator's active time and nothing else."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        for number in range(3):
            clock.advance(10)
            yield number

    with p.block(0, "caller"):
        for _ in numbers():
            clock.advance(100)
    caller = recorded(p)["caller"]
    assert caller.total_time_ns == 330
    assert caller.self_time_ns == 300


def test_a_block_left_open_at_a_yield_is_not_its_callers_parent(
    p: Profiler, clock: ManualClock
) -> None:
    """While a generator is suspended inside a block, what its caller opens is the caller's."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        with p.block(0, "inside"):
            clock.advance(1)
            yield 1
            clock.advance(2)

    with p.block(0, "caller"):
        for _ in numbers():
            with p.block(0, "other"):
                clock.advance(50)
    found = recorded(p)
    assert found["inside"].total_time_ns == 53
    assert found["inside"].active_time_ns == 3
    assert found["inside"].self_time_ns == 3
    assert found["other"].self_time_ns == 50
    assert found["caller"].self_time_ns == 0
    (caller,) = p.get_results().tree.children
    assert sorted(child.name for child in caller.children) == ["numbers", "other"]


def test_what_is_sent_thrown_and_returned_goes_through(p: Profiler) -> None:
    """`send`, `throw`, `close` and the returned value work as without a profiler."""
    seen: list[object] = []

    @p.track(0)
    def echo() -> Generator[object, object, str]:
        try:
            while True:
                seen.append((yield len(seen)))
        except KeyError as error:
            seen.append(error)
            return "done"
        finally:
            seen.append("left")

    made = echo()
    assert next(made) == 0
    token = object()
    assert made.send(token) == 1
    assert seen[0] is token
    error = KeyError("x")
    with pytest.raises(StopIteration) as stopped:
        made.throw(error)
    assert stopped.value.value == "done"
    assert seen[1] is error
    other = echo()
    next(other)
    other.close()
    assert seen[-2:] == ["left", "left"]
    assert hits(p) == {"echo": 2}


def test_a_returned_tuple_or_exception_is_the_value_itself(p: Profiler) -> None:
    """A returned tuple or exception instance is not taken apart by StopIteration."""

    @p.track(0)
    def giving(value: object) -> Generator[None, None, object]:
        return value
        yield

    def delegate(value: object) -> Generator[None, None, object]:
        return (yield from giving(value))

    for value in [(1, 2), ValueError("v"), None, ()]:
        with pytest.raises(StopIteration) as stopped:
            next(delegate(value))
        assert stopped.value.value is value


def test_an_exception_in_a_generator_ends_its_pass(p: Profiler) -> None:
    """The pass is recorded, and the very exception comes out."""
    error = ZeroDivisionError("here")

    @p.track(0)
    def failing() -> Iterator[int]:
        yield 1
        raise error

    made = failing()
    next(made)
    with pytest.raises(ZeroDivisionError) as raised:
        next(made)
    assert raised.value is error
    assert hits(p) == {"failing": 1}
    with pytest.raises(StopIteration):
        next(made)
    assert hits(p) == {"failing": 1}


def test_a_generator_that_never_ran_is_no_pass(p: Profiler) -> None:
    """Making a generator, or closing it before its first resume, records nothing."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        yield 1

    numbers()
    made = numbers()
    made.close()  # type: ignore[attr-defined]
    assert list(made) == []
    made = numbers()
    with pytest.raises(KeyError):
        made.throw(KeyError())  # type: ignore[attr-defined]
    assert list(made) == []
    assert hits(p) == {"numbers": 0}


def test_a_generator_that_returns_nothing_says_so_without_an_argument(p: Profiler) -> None:
    """As the bare one does: `StopIteration()`, not `StopIteration(None)`."""

    @p.track(0)
    def numbers() -> Generator[int, None, object]:
        yield from ()
        return returned

    for returned, args in ((None, ()), (5, (5,)), ((1, 2), ((1, 2),))):
        with pytest.raises(StopIteration) as stop:
            numbers().send(None)
        assert stop.value.args == args
        assert stop.value.value == returned


def test_what_is_sent_a_value_before_its_start_has_not_begun(p: Profiler) -> None:
    """It is refused: no pass, and a coroutine that is dropped then was never awaited."""

    @p.track(0)
    async def work() -> None:
        pass

    @p.track(0)
    def numbers() -> Generator[int, int, None]:
        yield 1

    coroutine, generator = work(), numbers()
    for each in (coroutine, generator):
        with pytest.raises(TypeError, match="just-started"):
            each.send(3)  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning, match="work' was never awaited"):
        del coroutine
    assert hits(p) == {"work": 0, "numbers": 0}
    assert list(generator) == [1]
    assert hits(p) == {"work": 0, "numbers": 1}


def abandoned(mark: Callable[[Any], Any], way: str, before: Callable[[], None]) -> list[str]:
    """Abandon an asynchronous generator in some way; what was seen of its end, and of its loop's."""
    seen: list[str] = []

    async def numbers(kept: list[Any]) -> AsyncIterator[int]:
        try:
            seen.append("runs")
            yield len(kept)
        finally:
            seen.append("closing")
            await asyncio.sleep(0)
            seen.append("closed")

    async def main() -> None:
        kept: list[Any] = []
        made = mark(numbers)(kept)
        before()
        step = made.__anext__()
        if way != "before its step":
            await step
        if way == "in a cycle":
            kept.append(made)
        del made, step
        if way != "and its loop too":
            for _ in range(5):
                gc.collect()
                await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: seen.append(str(context.get("exception"))))
    loop.run_until_complete(main())
    loop._ready.clear()  # type: ignore[attr-defined]
    loop.close()
    del loop
    gc.collect()
    return seen


@pytest.mark.parametrize("switch", ["on", "off"])
@pytest.mark.parametrize(
    "way", ["by reference", "in a cycle", "before its step", "and its loop too"]
)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine method:RuntimeWarning")
def test_an_abandoned_asynchronous_generator_is_closed_by_its_loop(
    p: Profiler, way: str, switch: str
) -> None:
    """As one that is not tracked: in its loop, whatever of the two the collector comes to first, or not at all."""

    def before() -> None:
        if switch == "off":
            p.stop()

    found = abandoned(p.track(0), way, before)
    assert found == abandoned(lambda function: function, way, lambda: None)
    ended = {"by reference": 1, "in a cycle": 1, "before its step": 0, "and its loop too": 1}[way]
    assert [block.open_count for block in recorded(p).values()] == [0]
    assert hits(p) == {"numbers": ended if switch == "on" else 0}


def test_an_asynchronous_generator_that_never_ran_is_no_pass(p: Profiler) -> None:
    """Closing it, or throwing into it, before its first step runs nothing of it."""

    @p.track(0)
    async def numbers() -> AsyncIterator[int]:
        yield 1

    made = numbers()
    with pytest.raises(StopIteration):
        made.aclose().send(None)  # type: ignore[attr-defined]
    with pytest.raises(StopAsyncIteration):
        made.__anext__().send(None)  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        numbers().athrow(KeyError()).send(None)  # type: ignore[attr-defined]
    assert hits(p) == {"numbers": 0}
    with pytest.raises(StopIteration):
        numbers().__anext__().send(None)  # type: ignore[attr-defined]
    assert hits(p) == {"numbers": 1}


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_an_abandoned_generator_ends_its_pass_and_those_inside(
    p: Profiler, clock: ManualClock, in_a_cycle: bool
) -> None:
    """Dropped or collected, it closes: its own pass and the blocks open in it are recorded."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        with p.block(0, "inside"):
            clock.advance(3)
            yield 1

    made: Any = numbers()
    next(made)
    clock.advance(10)
    if in_a_cycle:
        holder: list[Any] = [made]
        holder.append(holder)
        del holder
    del made
    gc.collect()
    found = recorded(p)
    assert {name: block.hit_count for name, block in found.items()} == {"numbers": 1, "inside": 1}
    assert found["numbers"].total_time_ns == 13
    assert found["numbers"].active_time_ns == 3
    assert p.block(0, "after").__enter__() is not None


def test_a_generator_may_go_on_in_another_thread(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Each resume counts where it runs; the pass is recorded where it ends."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        with p.block(0, "inside"):
            clock.advance(3)
            yield 1
            clock.advance(4)

    made = numbers()
    next(made)

    def finish() -> None:
        clock.set(100)
        assert next(made, None) is None

    threads.spawn(finish)()
    found = recorded(p)
    assert found["numbers"].hit_count == found["inside"].hit_count == 1
    assert found["numbers"].active_time_ns == found["inside"].active_time_ns == 7
    assert found["numbers"].total_time_ns == 104


def test_recursive_generators_count_once(p: Profiler, clock: ManualClock) -> None:
    """A generator that delegates to its own kind adds to the hits, and once to the total."""

    @p.track(0)
    def walk(depth: int) -> Iterator[int]:
        clock.advance(1)
        yield depth
        if depth:
            yield from walk(depth - 1)

    assert list(walk(3)) == [3, 2, 1, 0]
    block = recorded(p)["walk"]
    assert block.hit_count == 4
    assert block.total_time_ns == block.active_time_ns == block.self_time_ns == 4


def test_a_generator_that_resumes_itself_raises_as_ever(p: Profiler) -> None:
    """The interpreter's own error comes out, and the pass goes on."""
    made: Any = None

    @p.track(0)
    def numbers() -> Iterator[int]:
        with pytest.raises(ValueError, match="already executing"):
            next(made)
        yield 1

    made = numbers()
    assert list(made) == [1]
    assert hits(p) == {"numbers": 1}
    made = None


def test_interleaved_tasks_never_bill_each_other(p: Profiler, clock: ManualClock) -> None:
    """Each task's blocks take only what passed while the task was between their ends, or ran."""

    @p.track(0)
    async def work(own: int) -> int:
        with p.block(0, "part"):
            clock.advance(own)
            await asyncio.sleep(0)
            clock.advance(own)
        return own

    async def main() -> list[int]:
        return await asyncio.gather(*(work(own) for own in (1, 10, 100)))

    assert asyncio.run(main()) == [1, 10, 100]
    found = recorded(p)
    assert found["work"].hit_count == found["part"].hit_count == 3
    assert found["work"].active_time_ns == found["part"].active_time_ns == 222
    assert found["part"].self_time_ns == 222
    assert found["work"].self_time_ns == 0


def test_blocks_in_untracked_tasks_have_a_stack_for_each_task(
    p: Profiler, clock: ManualClock
) -> None:
    """Plain blocks across an await nest within their own task, whatever runs in between."""

    async def work(own: int) -> None:
        with p.block(0, f"outer {own}"):
            await asyncio.sleep(0)
            with p.block(0, f"inner {own}"):
                await asyncio.sleep(0)
                clock.advance(own)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(work(own) for own in range(1, 5)))

    with p.block(0, "loop"):
        asyncio.run(main())
    (loop,) = p.get_results().tree.children
    assert loop.name == "loop"
    assert sorted(child.name for child in loop.children) == [f"outer {i}" for i in range(1, 5)]
    for outer in loop.children:
        assert [child.name for child in outer.children] == [outer.name.replace("outer", "inner")]
    assert 0 <= loop.self_time_ns <= loop.total_time_ns


def test_a_parent_of_several_tasks_is_billed_their_union(p: Profiler, clock: ManualClock) -> None:
    """Around a loop, self time is the time in which none of the tasks had anything open."""

    async def work() -> None:
        with p.block(0, "part"):
            clock.advance(10)
            await asyncio.sleep(0)
            clock.advance(10)

    async def main() -> None:
        clock.advance(7)
        await asyncio.gather(work(), work())
        clock.advance(5)

    with p.block(0, "loop"):
        asyncio.run(main())
    found = recorded(p)
    assert found["loop"].total_time_ns == 52
    assert found["loop"].self_time_ns == 12
    assert (found["part"].sum_time_ns, found["part"].total_time_ns) == (30 + 30, 40)


def test_a_cancelled_task_ends_its_passes(p: Profiler) -> None:
    """Cancellation goes through, and what was open is recorded."""

    @p.track(0)
    async def work() -> None:
        with p.block(0, "inside"):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert hits(p) == {"work": 1, "inside": 1}


def test_asynchronous_generators_are_one_pass_each(p: Profiler, clock: ManualClock) -> None:
    """From the first step to the end, with what awaits inside a step left out of the active time."""

    @p.track(0)
    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            clock.advance(1)
            await asyncio.sleep(0)
            clock.advance(1)
            yield number

    async def main() -> None:
        assert [number async for number in numbers(3)] == [0, 1, 2]
        made: Any = numbers(5)
        assert await made.__anext__() == 0
        assert await made.asend(None) == 1
        with pytest.raises(KeyError):
            await made.athrow(KeyError("x"))
        closed: Any = numbers(2)
        await closed.__anext__()
        await closed.aclose()
        with pytest.raises(StopAsyncIteration):
            await closed.__anext__()

    asyncio.run(main())
    block = recorded(p)["numbers"]
    assert block.hit_count == 3
    assert block.active_time_ns == 2 * 3 + 2 * 2 + 2


def test_functions_of_types_coroutine_can_be_awaited(p: Profiler) -> None:
    """A generator under `types.coroutine` stays awaitable, and is a pass."""

    @p.track(0)
    @types.coroutine
    def ask() -> Generator[None, None, int]:
        yield
        return 42

    async def main() -> int:
        return await ask()

    assert asyncio.run(main()) == 42
    assert hits(p) == {"ask": 1}


def test_inspect_sees_what_a_function_is_and_gives(p: Profiler) -> None:
    """The predicates of `inspect`, on the function and on what it gives, answer as without."""

    @p.track(0)
    def generator() -> Iterator[int]:
        yield 1

    @p.track(0)
    async def coroutine() -> int:
        return 1

    @p.track(0)
    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    assert inspect.isgeneratorfunction(generator)
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isasyncgenfunction(asynchronous)
    assert not inspect.iscoroutinefunction(generator)
    assert inspect.isgenerator(generator())
    assert inspect.getgeneratorstate(generator()) == inspect.GEN_CREATED
    made = coroutine()
    assert inspect.iscoroutine(made)
    assert inspect.isawaitable(made)
    assert asyncio.iscoroutine(made)
    assert inspect.getcoroutinestate(made) == inspect.CORO_CREATED
    assert made.__name__ == "coroutine"
    assert weakref.ref(made)() is made
    made.close()
    assert inspect.isasyncgen(asynchronous())


def test_a_coroutine_that_is_never_awaited_warns_as_ever(p: Profiler) -> None:
    """The interpreter's warning names the function, and nothing is recorded."""

    @p.track(0)
    async def forgotten() -> None:
        pass

    with pytest.warns(RuntimeWarning, match=r"forgotten.* was never awaited"):
        del [forgotten()][0]
    assert hits(p) == {"forgotten": 0}


@pytest.mark.parametrize("switch", ["stop", "clear"])
def test_switches_in_the_middle_of_a_pass(p: Profiler, switch: str) -> None:
    """A pass that runs through `stop` is recorded; one that runs through `clear` is dropped."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        with p.block(0, "inside"):
            yield 1
            yield 2

    made = numbers()
    next(made)
    getattr(p, switch)()
    assert list(made) == [2]
    expected = 1 if switch == "stop" else 0
    assert hits(p) == {"numbers": expected, "inside": expected}


def test_a_generator_made_while_off_is_the_plain_one(p: Profiler) -> None:
    """With its track off, a call gives the function's own generator and records nothing."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        yield 1

    p.stop()
    made = numbers()
    assert type(made) is types.GeneratorType
    p.start()
    assert list(made) == [1]
    assert hits(p) == {"numbers": 0}


def test_a_generator_resumed_first_while_off_is_not_recorded(p: Profiler) -> None:
    """What began while its track was off is no pass, even if it ends when it is on."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        yield 1

    made = numbers()
    p.stop()
    next(made)
    p.start()
    assert list(made) == []
    assert hits(p) == {"numbers": 0}


def test_many_threads_run_generators_and_coroutines(p: Profiler, threads: Threads) -> None:
    """Every pass of every thread is counted, of either kind."""

    @p.track(0)
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    @p.track(0)
    async def work() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(10)))

    def both() -> None:
        for _ in range(20):
            assert sum(numbers()) == 3
        asyncio.run(main())

    threads.together(*[both] * 8)
    assert hits(p) == {"numbers": 160, "work": 80}


def test_one_generator_shared_by_threads_is_one_pass(p: Profiler, threads: Threads) -> None:
    """Threads that take turns on a generator share one pass, and lose no item."""
    lock = threading.Lock()

    @p.track(0)
    def numbers() -> Iterator[int]:
        yield from range(400)

    made = numbers()
    taken: list[int] = []

    def take() -> None:
        while True:
            with lock:
                item = next(made, None)
            if item is None:
                return
            taken.append(item)

    threads.together(*[take] * 4)
    assert sorted(taken) == list(range(400))
    assert hits(p) == {"numbers": 1}


@pytest.mark.parametrize("make", [lambda f: f, staticmethod, classmethod])
def test_methods_may_suspend(p: Profiler, make: Callable[..., Any]) -> None:
    """Generator methods of every kind bind and are timed."""

    class Service:
        @p.track(0)
        @make
        def items(*args: object) -> Iterator[int]:
            yield 1

    assert list(Service().items()) == [1]
    assert hits(p) == {"items": 1}


def test_what_a_body_begins_after_a_clear_is_recorded(p: Profiler) -> None:
    """Also when it is suspended meanwhile; the pass of the body itself was dropped."""

    @p.track(0)
    def body() -> Iterator[int]:
        with p.block(0, "before"):
            yield 1
            with p.block(0, "after"):
                yield 2
        yield 3

    made = body()
    next(made)
    p.clear()
    next(made)
    next(made)
    assert hits(p) == {"body": 0, "before": 0, "after": 1}


def test_what_is_thrown_into_a_coroutine_reaches_what_it_awaits_within_its_blocks(
    p: Profiler,
) -> None:
    """A task that is cancelled: what it awaits stays a child of the block around the await."""

    @p.track(0)
    async def inner() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            with p.block(0, "clean up"):
                pass

    @p.track(0)
    async def outer() -> None:
        with p.block(0, "around"):
            await inner()

    async def main() -> None:
        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    tree = [(node.name, depth, node.hit_count) for node, depth in p.get_results().tree.walk()]
    assert tree[1:] == [("outer", 1, 1), ("around", 2, 1), ("inner", 3, 1), ("clean up", 4, 1)]


@pytest.mark.parametrize("noticed", [False, True])
def test_what_is_thrown_through_an_untracked_coroutine_stays_within_its_block(
    p: Profiler, clock: ManualClock, noticed: bool
) -> None:
    """A timeout: the block around the `await` is the parent of what is awaited, and of what that cleans up."""

    @p.track(0)
    async def inner() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            clock.advance(3)
            with p.block(0, "clean up"):
                clock.advance(2)

    async def outer() -> None:
        with p.block(0, "around"):
            await inner()

    async def main() -> None:
        made: Any = outer()
        made.send(None)
        if noticed:  # by somebody who records in the same context, while all of it waits
            with p.block(1, "meanwhile"):
                pass
        with pytest.raises(asyncio.CancelledError):
            made.throw(asyncio.CancelledError())

    asyncio.run(main())
    tree = [(node.name, depth) for node, depth in p.get_results().tree.walk()]
    assert tree[1:4] == [("around", 1), ("inner", 2), ("clean up", 3)]
    assert recorded(p)["around"].self_time_ns == 0
    assert recorded(p)["inner"].self_time_ns == 3


@pytest.mark.parametrize("suspended_first", [False, True])
@pytest.mark.parametrize("tracked", [False, True])
def test_a_block_that_a_coroutine_entered_by_hand_is_open_until_it_is_left(
    p: Profiler, clock: ManualClock, tracked: bool, suspended_first: bool
) -> None:
    """As a context manager's own methods do: what its `async with` has inside lies on it."""

    class Manager:
        async def __aenter__(self) -> None:
            self.block = p.block(0, "by hand")
            self.block.__enter__()
            if suspended_first:
                await asyncio.sleep(0)

        async def __aexit__(self, *error: Any) -> None:
            self.block.__exit__(*error)

    if tracked:
        Manager.__aenter__ = p.track(0, "enter")(Manager.__aenter__)  # type: ignore[method-assign]

    async def main() -> None:
        async with Manager():
            clock.advance(10)
            with p.block(0, "inside"):
                await asyncio.sleep(0)
                clock.advance(5)

    asyncio.run(main())
    block = recorded(p)["by hand"]
    assert (block.hit_count, block.total_time_ns, block.self_time_ns) == (1, 15, 10)
    tree = [(node.name, depth) for node, depth in p.get_results().tree.walk()]
    entered = [("enter", 1)] if tracked else []
    assert tree[1:] == [*entered, ("by hand", 1 + tracked), ("inside", 2 + tracked)]


def test_a_generator_closed_on_another_thread_leaves_its_own_pass(
    p: Profiler, threads: Threads
) -> None:
    """Not that of a generator of the same function that is open there."""

    def rows() -> Iterator[int]:
        with p.block(0, "row"):
            yield 1

    first: Any = rows()
    next(first)

    def elsewhere() -> int:
        second: Any = rows()
        next(second)
        first.close()
        found = hits(p)["row"]
        second.close()
        return found

    assert threads.one_by_one(elsewhere) == [1]
    assert hits(p) == {"row": 2}
    assert p.open_blocks() == []


def test_a_generator_that_changes_threads_may_enter_its_block_again(
    p: Profiler, clock: ManualClock
) -> None:
    """As a pool drives it that streams a response: each pass is one of its own, within no other."""

    now = 0

    def advance(ns: int) -> None:
        nonlocal now
        now += ns
        clock.set(now)  # it shows another time on each thread

    def rows() -> Iterator[int]:
        for row in range(4):
            advance(0)
            with p.block(0, "row"):
                with p.block(1, "parse"):
                    advance(2)
                yield row
                advance(1)

    made = rows()

    def go_on() -> None:
        advance(0)
        next(made, None)

    with ThreadPoolExecutor(1) as pool:
        for turn in range(5):
            if turn % 2:
                pool.submit(go_on).result()
            else:
                go_on()
    block = recorded(p)["row"]
    assert (block.hit_count, block.total_time_ns, block.self_time_ns) == (4, 12, 4)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_abandoned_generator_that_ignores_its_end_is_closed_once(p: Profiler) -> None:
    """As the bare one is; its pass ends all the same."""
    told = []

    def stubborn() -> Iterator[None]:
        while True:
            try:
                yield
            except GeneratorExit:
                told.append("end")

    for function in (stubborn, p.track(0)(stubborn)):
        made: Any = function()
        next(made)
        del made
        gc.collect()
        assert told == ["end"]
        told.clear()
    block = recorded(p)["stubborn"]
    assert (block.hit_count, block.cancelled_count, block.open_count) == (1, 1, 0)


@pytest.mark.parametrize("kind", ["generator", "coroutine", "tracked twice"])
def test_an_abandoned_body_that_raises_at_its_end_has_failed_as_a_closed_one(
    p: Profiler, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What is reported of it is what is reported of the bare one."""
    reports: list[tuple[str, str | None]] = []

    def report(told: Any) -> None:
        what = "" if told.object is None else told.object.__qualname__
        message = None if told.err_msg is None else told.err_msg.split(" <")[0]
        reports.append((f"{told.exc_value!r} in {what}", message))

    monkeypatch.setattr("sys.unraisablehook", report)

    def generator() -> Iterator[None]:
        try:
            yield
        finally:
            raise ValueError("at its end")

    @types.coroutine
    def pause() -> Iterator[None]:
        yield

    async def coroutine() -> None:
        try:
            await pause()
        finally:
            raise ValueError("at its end")

    bare: Any = coroutine if kind == "coroutine" else generator
    tracked: Any = p.track(0, "body")(bare)
    if kind == "tracked twice":
        tracked = p.track(0, "around it")(tracked)
    for function in (bare, tracked):
        made = function()
        made.send(None)
        del made
    assert len(reports) == 2
    assert reports[0] == reports[1]
    made = tracked()
    made.send(None)
    with pytest.raises(ValueError, match="at its end"):
        made.close()
    for block in recorded(p).values():
        assert (block.hit_count, block.error_count, block.cancelled_count) == (2, 2, 0)


def test_a_context_at_the_address_of_one_that_is_gone_has_a_parent_of_its_own(
    p: Profiler, clock: ManualClock
) -> None:
    """A copy of a copy lies on what the first one waits in, wherever the interpreter puts it."""

    @types.coroutine
    def pause() -> Iterator[None]:
        yield

    async def wait() -> None:
        with p.block(0, "outer"):
            await pause()

    def inside() -> None:
        with p.block(0, "inner"):
            clock.advance(5)

    first = contextvars.copy_context()
    waiting = wait()
    first.run(waiting.send, None)
    copy = first.run(contextvars.copy_context)
    address, gone = id(first), weakref.ref(first)
    del first
    if gone() is not None:
        pytest.skip("what is open in a context holds it where suspension is not told")
    others = []
    while id(again := copy.copy()) != address:
        others.append(again)
        assert len(others) < 1000
    again.run(inside)
    again.run(waiting.close)
    (outer,) = p.get_results().tree.children
    assert [outer.name, *(node.name for node in outer.children)] == ["outer", "inner"]
