"""What hardly ever happens: full buffers, far histogram pages, failing reprs, odd ways to drive what suspends."""

from __future__ import annotations

import _thread
import contextvars
import ctypes
import gc
import os
import struct
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, outcome, recorded, run_program
from stichotrope import Profiler, ProfilerResults, _core

pytestmark = pytest.mark.unit

MANY = (1 << 32) - 1


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("rare")


class Native:
    """One pass at a time through the C entry points, and a look at the memory it is recorded in."""

    # Offsets in a buffer.
    SIZE, SHARED = 0, 65_536
    DATA_START, TOP, STACK_USED, DATA_USED = SHARED + 4, SHARED + 56, SHARED + 72, SHARED + 76
    FINISHED, STARTED, PAGES, EXTRA = 0, 8, 84, 232  # offsets in a node
    CARRIES = 104  # the offset in a node's extra part

    def __init__(self, profiler: Profiler, site: int) -> None:
        self.handle, enter, leave = _core.native_entry_points(profiler, site)
        pointer = ctypes.c_void_p
        # PyDLL: the GIL stays held, which the entry points do not mind.
        self._enter = ctypes.PYFUNCTYPE(pointer, pointer, ctypes.POINTER(pointer))(enter)
        self._leave = ctypes.PYFUNCTYPE(None, pointer, pointer)(leave)
        self.buffer = pointer()

    def enter(self) -> Any:
        """Open a pass: its address, None if it is not recorded."""
        return self._enter(self.handle, ctypes.byref(self.buffer))

    def leave(self, entered: Any) -> None:
        """Close it."""
        self._leave(self.buffer, entered)

    def get(self, offset: int, size: int = 4) -> int:
        """A number in the buffer."""
        assert self.buffer.value is not None
        raw = ctypes.string_at(self.buffer.value + offset, size)
        return int.from_bytes(raw, sys.byteorder)

    def put(self, offset: int, number: int, size: int = 4) -> None:
        """Write a number into the buffer."""
        assert self.buffer.value is not None
        ctypes.memmove(self.buffer.value + offset, number.to_bytes(size, sys.byteorder), size)


def site_of(profiler: Profiler, name: str) -> int:
    """Register a block and give its number."""
    return profiler._intern_block(0, name, __file__, 1)


def prepared_node(profiler: Profiler) -> tuple[Native, int]:
    """One pass of 0 ticks, and the offset of its node."""
    native = Native(profiler, site_of(profiler, "x"))
    entered = native.enter()
    node = struct.unpack("=I", ctypes.string_at(entered + 8, 4))[0]
    native.leave(entered)
    return native, node


def prefill(native: Native, node: int, passes: int) -> None:
    """Make the node look as if it had seen that many passes of 0 ticks."""
    page = native.get(node + Native.PAGES)
    native.put(page, (1 << 16) - 1, 2)
    once(native)  # makes the page of what a bucket has beyond its 16 bits
    native.put(native.get(native.get(node + Native.EXTRA) + Native.CARRIES), passes >> 16, 8)
    native.put(page, passes & (1 << 16) - 1, 2)
    native.put(node + Native.FINISHED, passes, 8)
    native.put(node + Native.STARTED, passes, 8)


def once(native: Native) -> None:
    """Pass once."""
    native.leave(native.enter())


def test_a_bucket_counts_on_beyond_32_bits(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """What a bucket has beyond 32 bits is packed apart, in a thread's figures and in merged ones."""

    def work() -> None:
        native, node = prepared_node(p)
        prefill(native, node, MANY)
        for _ in range(3):
            once(native)

    threads.one_by_one(work, work)
    snapshot = p._snapshot()
    for i in range(2):
        (node,) = snapshot.nodes(i)
        assert node[2] == MANY + 3
        assert node[-1] == {0: MANY + 3}
    (merged,) = snapshot.merged()[0]
    assert merged[2] == 2 * (MANY + 3)
    assert merged[-1] == {0: 2 * (MANY + 3)}


def test_merging_carries_when_the_sum_passes_32_bits(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """Two threads whose counts fit give a sum that does not, and it is right."""

    def work() -> None:
        prefill(*prepared_node(p), MANY)

    threads.one_by_one(work, work)
    (merged,) = p._snapshot().merged()[0]
    assert merged[-1] == {0: 2 * MANY}


@pytest.mark.parametrize("carried", [0, 1, (1 << 16) - 1, 1 << 16])
@pytest.mark.parametrize("written", ["nothing", "what is carried", "all but that it is over"])
def test_a_pass_that_is_not_wholly_carried_is_found_whole(
    tmp_path: Path, clock: ManualClock, carried: int, written: str
) -> None:
    """Whose process was killed while it wrote the pass after which a bucket's low bits begin anew."""
    p = Profiler("rare", store=tmp_path)
    native, node = prepared_node(p)
    before = (carried << 16) + (1 << 16) - 1
    prefill(native, node, before)
    once(native)
    native.put(node + Native.FINISHED, before, 8)
    if written != "all but that it is over":
        native.put(native.get(node + Native.PAGES), (1 << 16) - 1, 2)
    if written == "nothing":
        carries = native.get(native.get(node + Native.EXTRA) + Native.CARRIES)
        native.put(carries, carried, 8)
    (read,) = recorded(ProfilerResults.load_all(tmp_path)).values()
    counted = sum(count for *_, count in read.histogram)
    assert (read.hit_count, counted) == (before + 1, before + 1)


@pytest.mark.parametrize("power", [38, 39, 45, 62])
def test_far_pages_hold_the_longest_passes(
    p: Profiler, clock: ManualClock, threads: Threads, power: int
) -> None:
    """Durations of minutes to centuries are in their bucket, alone and merged."""
    block = p.block(0, "x")

    def work() -> None:
        with block:
            clock.advance(1 << power)

    threads.one_by_one(work, work)
    snapshot = p._snapshot()
    octave = power - 4
    expected = octave * 16  # the biased duration lies at the start of its octave
    (node,) = snapshot.nodes(0)
    assert node[-1] == {expected: 1}
    (merged,) = snapshot.merged()[0]
    assert merged[-1] == {expected: 2}
    assert merged[3] == 2 << power


@pytest.mark.parametrize("power", [5, 45])
def test_a_pass_without_a_histogram_page_is_reported(
    p: Profiler, clock: ManualClock, power: int
) -> None:
    """A buffer that is full records a known block's pass and says that percentiles lack it."""
    native, _ = prepared_node(p)
    native.put(Native.DATA_USED, native.get(Native.SIZE))
    for ticks in (1 << power, 1 << power + 2):  # half a line may have been left over, for one
        entered = native.enter()
        clock.advance(ticks)
        native.leave(entered)
    results = p.get_results()
    found = recorded(results)["x"]
    assert found.hit_count == 3
    assert found.total_time_ns == 5 << power
    missing = 3 - sum(count for *_, count in found.histogram)
    assert missing > 0
    assert results.metadata["warnings"] == [
        f"{missing} passes are missing from the percentiles for want of memory"
    ]


def test_a_carry_without_memory_is_reported(p: Profiler, clock: ManualClock) -> None:
    """A bucket that overflows in a full buffer is missing from the percentiles, and reported."""
    native, node = prepared_node(p)
    passes = (1 << 16) - 1
    native.put(native.get(node + Native.PAGES), passes, 2)
    native.put(node + Native.FINISHED, passes, 8)
    native.put(node + Native.STARTED, passes, 8)
    native.put(Native.DATA_USED, native.get(Native.SIZE))
    once(native)
    (head,) = p._snapshot().threads()
    assert head[7] == 1
    assert p._snapshot().nodes(0)[0][2] == passes + 1


def test_a_full_buffer_takes_no_new_block(p: Profiler, clock: ManualClock) -> None:
    """New blocks are reported, known ones recorded, and calls answered."""
    native, _ = prepared_node(p)
    native.put(Native.DATA_USED, native.get(Native.SIZE))
    with p.block(0, "new"):
        pass
    assert p.track(0, "tracked")(len)("abc") == 3
    once(native)
    assert hits(p) == {"x": 2, "new": 0, "tracked": 0}
    assert p.get_results().metadata["warnings"] == [
        "2 passes could not be recorded for want of memory"
    ]
    p.clear()
    with p.block(0, "again"):
        pass
    assert hits(p)["again"] == 1


def test_a_full_stack_counts_passes_of_other_contexts(p: Profiler, clock: ManualClock) -> None:
    """A flow that finds no room on the stack is reported; what is open stays recorded."""
    native, _ = prepared_node(p)
    used = native.get(Native.STACK_USED)
    with p.block(0, "outer"):
        native.put(Native.STACK_USED, native.get(Native.DATA_START))
        contextvars.copy_context().run(once_block, p)
        native.put(Native.STACK_USED, used)
    found = hits(p)
    assert found == {"x": 1, "outer": 1, "inside": 0}
    assert p.get_results().metadata["warnings"] == [
        "1 passes could not be recorded for want of memory"
    ]


def once_block(p: Profiler) -> None:
    """Pass once through a block."""
    with p.block(0, "inside"):
        pass


# ---- blocks and callables


def test_a_block_whose_profiler_cannot_describe_it_has_a_repr() -> None:
    """The repr then says where it is."""

    class Mute(Profiler):
        def _describe_site(self, site: int) -> str:
            raise LookupError(site)

    assert repr(Mute("m").block(0, "x")).startswith("<block at 0x")


def test_a_callable_whose_repr_fails_has_a_tracked_repr(p: Profiler) -> None:
    """The repr then says where it is."""

    class Silent:
        def __repr__(self) -> str:
            raise LookupError

        def __call__(self) -> int:
            return 7

    tracked = p.track(0, "silent")(Silent())
    assert repr(tracked).startswith("<tracked callable at 0x")
    assert tracked() == 7


def test_what_a_tracked_descriptor_binds_to_is_tracked(p: Profiler) -> None:
    """A bound method, any other callable, and an exception: all are the callee's own."""

    class Binding:
        how: Callable[[Any, Any], Any]

        def __init__(self, how: Callable[[Any, Any], Any]) -> None:
            self.how = how

        def __call__(self, *args: Any) -> Any:
            return args

        def __get__(self, instance: Any, owner: Any) -> Any:
            return self.how(self, instance)

    def refuse(me: Any, instance: Any) -> Any:
        raise LookupError("not bound")

    class Holder:
        method = p.track(0, "method")(Binding(types.MethodType))
        other = p.track(0, "other")(Binding(lambda me, instance: lambda: "made"))
        refused = p.track(0, "refused")(Binding(refuse))

    holder = Holder()
    assert holder.method(1) == (holder, 1)
    assert holder.other() == "made"
    with pytest.raises(LookupError, match="not bound"):
        _ = holder.refused
    assert hits(p) == {"method": 1, "other": 1, "refused": 0}


def test_the_collector_finds_what_a_tracked_callable_refers_to(p: Profiler) -> None:
    """Its callee and its profiler are among its referents."""

    def callee() -> None:
        pass

    tracked = p.track(0, "x")(callee)
    assert tracked in gc.get_referrers(callee)
    assert {id(callee), id(p)} <= {id(each) for each in gc.get_referents(tracked)}


def test_a_block_asked_for_without_python_code_is_registered(
    p: Profiler, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """A thread that runs nothing but `block` has no line; the block has none either."""
    _thread.start_new_thread(p.block, (0, "bare"))
    eventually(lambda: "bare" in hits(p))
    assert recorded(p)["bare"].hit_count == 0


# ---- what suspends


def test_a_coroutine_is_driven_by_its_awaiter(p: Profiler) -> None:
    """`send`, `throw` and `close` on what `__await__` gives are the coroutine's own, one pass each."""

    @types.coroutine
    def step() -> Iterator[str]:
        got = yield "step"
        yield f"got {got}"

    @p.track(0, "coroutine")
    async def coroutine() -> None:
        await step()

    sent = coroutine().__await__()
    assert sent.send(None) == "step"
    assert sent.send(5) == "got 5"
    gc.collect()  # goes through what it refers to
    with pytest.raises(StopIteration):
        sent.send(None)

    thrown = coroutine().__await__()
    next(thrown)
    with pytest.raises(LookupError):
        thrown.throw(LookupError())

    closed = coroutine().__await__()
    next(closed)
    closed.close()
    assert hits(p) == {"coroutine": 3}


def test_a_tracked_generator_shows_itself_as_the_inner_one(p: Profiler) -> None:
    """Its repr is the generator's, and a weak reference to it dies with it."""

    @p.track(0, "generator")
    def generator() -> Iterator[int]:
        yield 1

    made = generator()
    assert repr(made).startswith("<generator object")
    gone = weakref.ref(made)
    assert gone() is made
    del made
    gc.collect()
    assert gone() is None


def test_a_generator_that_will_not_close_is_reported_and_recorded(
    p: Profiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its abandoned pass is recorded once, and the RuntimeError goes to the unraisable hook."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_type))

    @p.track(0, "stubborn")
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    made = stubborn()
    next(made)
    del made
    gc.collect()
    assert seen[0] is RuntimeError
    assert hits(p) == {"stubborn": 1}


def test_what_does_not_suspend_after_all_is_given_as_it_is(p: Profiler) -> None:
    """A callable that is said to suspend and returns a plain value gives that value."""
    assert p._wrap(len, site_of(p, "x"), False, True)("12345") == 5
    assert hits(p) == {"x": 0}


def test_a_block_is_closed_in_another_context_than_it_ran_in(p: Profiler) -> None:
    """A generator closed elsewhere leaves its own block, though a track has been off."""
    block = p.block(0, "inside")

    def generator() -> Iterator[int]:
        with block:
            yield 1

    p.set_track_enabled(9, False)
    made = generator()
    contextvars.copy_context().run(next, made)
    with p.block(0, "here"):
        made.close()
    assert hits(p) == {"inside": 1, "here": 1}


def test_a_thread_gets_its_context_while_blocks_are_open(
    p: Profiler, clock: ManualClock, threads: Threads
) -> None:
    """What a thread opened before it had a context stays what it opens later lies on."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    a, b, c = (p.block(0, name) for name in "abc")

    def late() -> None:
        a.__enter__()
        variable.set(1)
        with c:
            clock.advance(2)
        a.__exit__(None, None, None)

    def later_still() -> None:
        context = contextvars.Context()
        a.__enter__()
        context.run(b.__enter__)
        variable.set(1)
        with c:
            clock.advance(3)
        a.__exit__(None, None, None)
        context.run(b.__exit__, None, None, None)

    threads.one_by_one(late, later_still)
    assert hits(p) == {"a": 2, "b": 1, "c": 2}
    assert recorded(p)["c"].total_time_ns == 5
    assert recorded(p)["a"].total_time_ns == 5


# ---- the child of a fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_child_of_a_fork_that_ends_as_usual_has_its_own_figures() -> None:
    """A child that ends normally begins empty, keeps recording, and leaves the parent's figures alone."""
    program = """
        import os, threading
        from stichotrope import Profiler
        p = Profiler("p", retain_threads=0)
        block = p.block(0, "x")
        ready, done = threading.Event(), threading.Event()
        def other():
            with block:
                pass
            ready.set()
            done.wait(60)
        thread = threading.Thread(target=other)
        thread.start()
        ready.wait(60)
        with block:
            pass
        def hits():
            return sum(b.hit_count for t in p.get_results().tracks.values() for b in t.blocks)
        child = os.fork()
        if child == 0:
            assert hits() == 0
            for _ in range(3):
                with block:
                    pass
            assert hits() == 3
        else:
            assert os.waitpid(child, 0)[1] == 0
            assert hits() == 2
            done.set()
            thread.join()
    """
    assert outcome(run_program(program, "-Wignore")) == (0, "", "")
