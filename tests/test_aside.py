"""Blocks in generators that nobody tracks: what is open while they are suspended, and who lies on what."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from conftest import ManualClock, Threads, recorded
from stichotrope import Profiler, _core
from stichotrope.results import CallNode

pytestmark = pytest.mark.unit

Tree = dict[str, Any]


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("aside")


def tree(source: Profiler) -> Tree:
    """Name → (passes, total, self, the same of what lies on it)."""

    def below(node: CallNode) -> Tree:
        return {
            child.name: (child.hit_count, child.total_time_ns, child.self_time_ns, below(child))
            for child in node.children
        }

    return below(source.get_results().tree)


# What nobody waits for is idle from CPython 3.12 on, where the interpreter tells when it goes on again.
IDLE = sys.version_info >= (3, 12)


def reader(p: Profiler, clock: ManualClock, number: int, name: str = "rows") -> Iterator[int]:
    """Yields within a block, after 1 ns in one below it each time."""
    with p.block(0, name):
        for i in range(number):
            with p.block(0, "parse"):
                clock.advance(1)
            yield i


def test_what_a_consumer_opens_is_not_the_suspended_generators_child(
    p: Profiler, clock: ManualClock
) -> None:
    """It lies on what the consumer has open; what the generator opens lies on its own block."""
    with p.block(0, "main"):
        for _ in reader(p, clock, 3):
            with p.block(1, "use"):
                clock.advance(10)
    assert tree(p) == {
        "main": (
            *(1, 33, 0),
            {"rows": (1, 33, 0 if IDLE else 30, {"parse": (3, 3, 3, {})}), "use": (3, 30, 30, {})},
        )
    }


def test_time_in_which_both_are_open_counts_once_for_the_profiler(
    p: Profiler, clock: ManualClock
) -> None:
    """The consumer's block is not the generator's child, yet no time of it is added to the total."""
    for _ in reader(p, clock, 2):
        with p.block(0, "use"):
            clock.advance(10)
        clock.advance(5)
    results = p.get_results()
    assert set(tree(p)) == {"rows", "use"}
    assert results.total_time_ns == 32
    assert results.get_track(0).total_time_ns == 32


def test_generators_of_one_function_that_take_turns_keep_their_times(
    p: Profiler, clock: ManualClock
) -> None:
    """Each exit closes the pass of its own generator, and the time with any of them open counts once."""
    first, second = reader(p, clock, 1), reader(p, clock, 1)
    next(first)  # 0 to 21
    clock.advance(10)
    next(second)  # 11 to 32
    clock.advance(9)
    assert next(first, None) is None
    clock.advance(11)
    assert next(second, None) is None
    rows = recorded(p)["rows"]
    assert (rows.hit_count, rows.min_time_ns, rows.max_time_ns) == (2, 21, 21)
    assert rows.total_time_ns == 32
    assert rows.sum_time_ns == 42
    assert p.get_results().total_time_ns == 32


def test_one_kept_block_in_a_generator_and_around_it(p: Profiler, clock: ManualClock) -> None:
    """The one around it closes as itself, though the generator entered the same block later."""
    kept = p.block(0, "kept")

    def inside() -> Iterator[None]:
        with kept:
            yield
            clock.advance(3)

    made = inside()
    with kept:
        next(made)
        clock.advance(10)
    clock.advance(1)
    next(made, None)
    block = recorded(p)["kept"]
    assert (block.hit_count, block.min_time_ns, block.max_time_ns) == (2, 10, 14)
    assert block.total_time_ns == 14


def test_generators_within_generators(p: Profiler, clock: ManualClock) -> None:
    """When the innermost runs again, so do those that it is driven by, and it lies on theirs."""

    def outer() -> Iterator[int]:
        with p.block(0, "outer"):
            for i in reader(p, clock, 2):
                with p.block(0, "between"):
                    clock.advance(2)
                yield i

    for _ in outer():
        with p.block(0, "use"):
            clock.advance(10)
    assert tree(p) == {
        "outer": (
            *(1, 26, 0 if IDLE else 20),
            {
                "rows": (1, 26, 0 if IDLE else 24, {"parse": (2, 2, 2, {})}),
                "between": (2, 4, 4, {}),
            },
        ),
        "use": (2, 20, 20, {}),
    }


def test_what_a_context_manager_has_open_is_open_in_its_body(
    p: Profiler, clock: ManualClock
) -> None:
    """A generator under `contextmanager` is suspended on behalf of its caller."""

    @contextlib.contextmanager
    def timed() -> Iterator[None]:
        with p.block(0, "around"):
            yield

    with timed():
        clock.advance(1)
        with p.block(0, "within"):
            clock.advance(5)
    assert tree(p) == {"around": (1, 6, 1, {"within": (1, 5, 5, {})})}


def test_what_an_asynchronous_context_manager_has_open_is_open_in_its_body(
    p: Profiler, clock: ManualClock
) -> None:
    """The same with `asynccontextmanager`."""

    @contextlib.asynccontextmanager
    async def timed() -> AsyncIterator[None]:
        with p.block(0, "around"):
            await asyncio.sleep(0)
            yield

    async def main() -> None:
        async with timed():
            with p.block(0, "within"):
                clock.advance(5)

    asyncio.run(main())
    assert tree(p) == {"around": (1, 5, 0, {"within": (1, 5, 5, {})})}


def test_asynchronous_generators_are_put_aside_too(p: Profiler, clock: ManualClock) -> None:
    """Generator and consumer share a task, and their blocks are apart."""

    async def numbers() -> AsyncIterator[int]:
        with p.block(0, "numbers"):
            for i in range(2):
                await asyncio.sleep(0)
                with p.block(0, "made"):
                    clock.advance(2)
                yield i

    async def main() -> None:
        with p.block(0, "main"):
            async for _ in numbers():
                with p.block(0, "use"):
                    clock.advance(10)

    asyncio.run(main())
    assert tree(p) == {
        "main": (
            *(1, 24, 0),
            {
                "numbers": (1, 24, 0 if IDLE else 20, {"made": (2, 4, 4, {})}),
                "use": (2, 20, 20, {}),
            },
        )
    }


def test_a_callback_in_the_context_of_a_task_that_waits_is_not_its_child(
    p: Profiler, clock: ManualClock
) -> None:
    """The task's block is suspended, though the context is the same."""
    mine = contextvars.copy_context()

    async def waits(waiting: asyncio.Future[None]) -> None:
        with p.block(0, "waiting"):
            await waiting
            clock.advance(1)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        made = waits(waiting)
        mine.run(made.send, None)

        def call_back() -> None:
            with p.block(0, "callback"):
                clock.advance(3)

        mine.run(call_back)
        waiting.set_result(None)
        with pytest.raises(StopIteration):
            mine.run(made.send, None)

    asyncio.run(main())
    assert tree(p) == {"waiting": (1, 4, 4, {}), "callback": (1, 3, 3, {})}


@pytest.mark.parametrize("ends", ["finished", "closed", "dropped"])
def test_a_generator_that_outlives_its_thread_keeps_its_block(
    p: Profiler, clock: ManualClock, threads: Threads, eventually: Callable[..., None], ends: str
) -> None:
    """Its block is recorded on the thread that leaves it, with its whole time; no thread had it open in between."""
    kept: list[Iterator[int]] = []

    def begin() -> None:
        clock.set(10)
        made = reader(p, clock, 1)
        next(made)
        kept.append(made)

    threads.one_by_one(begin)
    clock.set(100)
    if ends == "finished":
        assert next(kept[0], None) is None
    elif ends == "closed":
        kept[0].close()  # type: ignore[attr-defined]
    kept.clear()
    rows = recorded(p)["rows"]
    assert (rows.hit_count, rows.sum_time_ns) == (1, 90)


def test_blocks_of_an_ended_thread_that_were_left_elsewhere_are_freed_by_clear(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """After a clear, leaving one leaves nothing behind and records nothing."""
    kept: list[Iterator[int]] = []

    def begin() -> None:
        made = reader(p, clock, 1)
        next(made)
        kept.append(made)

    threads.one_by_one(begin, begin)
    p.get_results()
    p.clear()
    for made in kept:
        made.close()  # type: ignore[attr-defined]
    assert recorded(p)["rows"].hit_count == 0
    with p.block(0, "afterwards"):
        pass
    assert recorded(p)["afterwards"].hit_count == 1


def test_a_block_left_on_another_thread_lies_on_nobody_there(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Who happens to be open where it is left is not billed for it; its first thread goes on."""
    made = reader(p, clock, 1)
    next(made)

    def finish() -> None:
        clock.set(50)
        with p.block(0, "there"):
            clock.advance(10)
            assert next(made, None) is None

    threads.one_by_one(finish)
    with p.block(0, "here"):
        clock.advance(7)
    figures = recorded(p)
    assert (figures["rows"].hit_count, figures["rows"].total_time_ns) == (1, 60)
    assert figures["there"].self_time_ns == 10
    assert (figures["here"].total_time_ns, figures["here"].self_time_ns) == (7, 7)
    assert p.open_blocks() == []


def test_a_suspended_generator_survives_switches_and_clears(
    p: Profiler, clock: ManualClock
) -> None:
    """Put aside, its block is dropped by a clear like any other, and left without an error."""
    made = reader(p, clock, 3)
    next(made)
    with p.block(0, "over"):
        clock.advance(1)
    p.clear()
    next(made)
    with p.block(0, "over it"):
        p.stop()
        next(made)
        p.start()
    made.close()  # type: ignore[attr-defined]
    blocks = recorded(p)
    assert blocks["rows"].hit_count == 0
    assert (blocks["parse"].hit_count, blocks["over it"].hit_count) == (1, 1)


def test_nothing_stays_aside(p: Profiler, clock: ManualClock) -> None:
    """However many generators come and go suspended, what they had open is given back."""
    for _ in range(1000):
        made = reader(p, clock, 2)
        next(made)
        with p.block(0, "over"):
            pass
        made.close()  # type: ignore[attr-defined]
    assert p.open_blocks() == []
    blocks = recorded(p)
    assert {name: block.hit_count for name, block in blocks.items()} == {
        "rows": 1000,
        "parse": 1000,
        "over": 1000,
    }
    assert _core.memory()["buffers"] >= 1


def test_many_generators_suspended_at_once(p: Profiler, clock: ManualClock) -> None:
    """Each keeps its own pass, in whatever order they are resumed and closed."""
    made = [reader(p, clock, 2, f"rows {i % 7}") for i in range(200)]
    for each in made:
        next(each)
        with p.block(0, "over"):
            pass
    for each in made[::2]:
        next(each)
    for each in reversed(made[1::2]):
        each.close()  # type: ignore[attr-defined]
    for each in made[::2]:
        assert next(each, None) is None
    passes = {name: block.hit_count for name, block in recorded(p).items()}
    assert sum(n for name, n in passes.items() if name.startswith("rows")) == 200
    assert (passes["parse"], passes["over"]) == (300, 200)
    assert p.open_blocks() == []
    assert {name.split()[0] for name in tree(p)} == {"rows", "over"}


def test_blocks_within_a_suspended_generators_block_go_aside_together(
    p: Profiler, clock: ManualClock
) -> None:
    """And come back together, each on the one below it."""

    def rows() -> Iterator[int]:
        with p.block(0, "outer"), p.block(0, "inner"):
            clock.advance(1)
            yield 1
            with p.block(0, "innermost"):
                clock.advance(2)
            yield 2

    with p.block(0, "main"):
        for _ in rows():
            with p.block(0, "use"):
                clock.advance(10)
    inner: Tree = {"innermost": (1, 2, 2, {})}
    figures = tree(p)["main"][3]
    assert figures["outer"][3]["inner"][3] == inner
    assert figures["use"] == (2, 20, 20, {})
    assert figures["outer"][3]["inner"][:3] == (1, 23, 1 if IDLE else 21)
    assert p.open_blocks() == []


def test_a_generator_that_began_while_recording_was_off(p: Profiler, clock: ManualClock) -> None:
    """Its block is not recorded, and leaves nothing behind for others to lie on."""
    with p.block(0, "around"):
        p.stop()
        made = reader(p, clock, 3)
        next(made)
        p.start()
        with p.block(0, "use"):
            clock.advance(10)
        next(made)
        with p.block(0, "use too"):
            clock.advance(5)
        made.close()  # type: ignore[attr-defined]
    blocks = recorded(p)
    assert (blocks["use"].hit_count, blocks["use too"].hit_count) == (1, 1)
    assert blocks["parse"].hit_count == 1
    assert p.open_blocks() == []


def test_a_generator_in_a_task_on_a_base(p: Profiler, clock: ManualClock) -> None:
    """What a task opens while its generator is suspended lies on what its loop was run in."""

    async def main() -> None:
        for _ in reader(p, clock, 2):
            with p.block(0, "use"):
                clock.advance(10)
            await asyncio.sleep(0)

    with p.block(0, "around"):
        asyncio.run(main())
    total, self_ns, below = tree(p)["around"][1:]
    assert (total, set(below)) == (22, {"rows", "use"})
    assert below["use"] == (2, 20, 20, {})
    assert below["rows"][3] == {"parse": (2, 2, 2, {})}
    assert self_ns == 0
    assert p.get_results().total_time_ns == 22


def test_what_is_put_aside_in_one_task_counts_once_with_what_others_do(
    p: Profiler, clock: ManualClock
) -> None:
    """It is open on the same thread at the same time."""

    def chunks() -> Iterator[int]:
        with p.block(0, "chunks"):
            yield from range(3)

    async def first(turn: asyncio.Event) -> None:
        for _ in chunks():
            with p.block(0, "send"):
                turn.set()
                await asyncio.sleep(0)
        with p.block(0, "after"):
            clock.advance(1)

    async def second(turn: asyncio.Event) -> None:
        await turn.wait()
        with p.block(0, "other"):
            clock.advance(10)
            await asyncio.sleep(0)
            clock.advance(10)

    async def main() -> None:
        turn = asyncio.Event()
        await asyncio.gather(first(turn), second(turn))

    asyncio.run(main())
    results = p.get_results()
    names = {name: block.total_time_ns for name, block in recorded(p).items()}
    assert names["other"] == 20
    assert names["chunks"] == 20
    assert results.get_track(0).total_time_ns == results.total_time_ns == 20 + names["after"] == 21


def test_what_begins_in_a_context_within_is_covered(p: Profiler, clock: ManualClock) -> None:
    """A context that is entered while a generator is suspended: its time counts once with the generator's."""

    def work() -> None:
        with p.block(0, "inside"):
            clock.advance(5)

    for _ in reader(p, clock, 1):
        contextvars.copy_context().run(work)
    results = p.get_results()
    assert recorded(p)["inside"].total_time_ns == 5
    assert results.get_track(0).total_time_ns == recorded(p)["rows"].total_time_ns == 6


def test_what_a_context_manager_has_open_in_a_generator_is_suspended_with_that(
    p: Profiler, clock: ManualClock
) -> None:
    """It is the generator's `with` that it is open in, however many managers are between."""

    @contextlib.contextmanager
    def within(name: str) -> Iterator[None]:
        with p.block(0, name):
            yield

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        with within("timed"):
            yield

    def rows() -> Iterator[int]:
        with around():
            yield 1
            clock.advance(1)
            yield 2

    with p.block(0, "main"):
        for _ in rows():
            with p.block(0, "use"):
                clock.advance(10)
    figures = tree(p)["main"][3]
    assert figures["use"] == (2, 20, 20, {})
    assert figures["timed"][::3] == (1, {})
    assert p.open_blocks() == []
