"""Want of memory: any single allocation may fail, and so may a stretch of address space."""

from __future__ import annotations

import contextvars
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conftest import Threads, hits, outcome, run_program
from stichotrope import Profiler, _core

_testcapi = pytest.importorskip("_testcapi")

pytestmark = pytest.mark.unit

LOST = re.compile(r"([\d,]+) passes could not be recorded")


@pytest.fixture(autouse=True)
def in_turns() -> None:
    """The allocation that fails is to be that of the thread which has it fail: no other gets a turn."""
    sys.setswitchinterval(100.0)


def lost(profiler: Profiler) -> int:
    """How many passes the results say could not be recorded."""
    found = [LOST.match(text) for text in profiler.get_results().metadata["warnings"]]
    return sum(int(match[1].replace(",", "")) for match in found if match)


def total(profiler: Profiler) -> int:
    """How many passes the results hold."""
    return sum(hits(profiler).values())


def failing(n: int, action: Callable[[], Any], *, for_good: bool = False) -> bool:
    """Run an action while the n-th allocation fails, or all from it on; False for MemoryError."""
    trace = sys.gettrace()
    sys.settrace(None)  # tracers do not survive it
    _testcapi.set_nomemory(n, 0 if for_good else n + 1)
    try:
        action()
    except MemoryError:
        return False
    finally:
        _testcapi.remove_mem_hooks()
        sys.settrace(trace)
    return True


class Tally:
    """Counts what was really passed through, without allocating."""

    def __init__(self) -> None:
        self.counts = bytearray(1)

    @property
    def made(self) -> int:
        """Passes made."""
        return self.counts[0]


def blocks_of(profiler: Profiler, number: int) -> tuple[Any, ...]:
    """Blocks with names of their own, known already."""
    return tuple(profiler.block(0, f"block {i}") for i in range(number))


def each(blocks: tuple[Any, ...], counts: bytearray) -> None:
    """Pass once through each block."""
    for block in blocks:
        with block:
            counts[0] += 1


def accounted(profiler: Profiler, tally: Tally) -> int:
    """Assert that every pass is recorded or reported; how many were not recorded."""
    missing = lost(profiler)
    assert total(profiler) + missing == tally.made
    return missing


def still_records(profiler: Profiler) -> None:
    """Assert that a pass from now on is recorded."""
    before, reported = total(profiler), lost(profiler)
    with profiler.block(0, "afterwards"):
        pass
    assert (total(profiler), lost(profiler)) == (before + 1, reported)


def alone(function: Callable[[], Any]) -> Any:
    """Run a function low on a stack of its own: where the interpreter must make the stack longer and
    cannot, it keeps references to arguments for good."""
    return Threads().one_by_one(function)[0]


def losses(ns: range, scenario: Callable[[int], int]) -> list[int]:
    """What each n loses: some must lose something, and the last nothing, or the range is idle."""
    # Once before, with nothing that fails: what a thread and the interpreter make once (a record of the thread,
    # a context, instrumented code) would else take the turns at which the core's own allocations are to fail.
    found = alone(lambda: [scenario(n) for n in (ns[-1], *ns)])[1:]
    assert any(found), "no allocation of the core failed"
    assert not found[-1], "the range ends before the scenario does"
    return found


def test_first_passes_of_a_profiler_are_recorded_or_reported() -> None:
    """One failed allocation costs one pass, which the results report."""

    def scenario(n: int) -> int:
        profiler, tally = Profiler("p"), Tally()
        blocks = blocks_of(profiler, 40)
        failing(n, lambda: each(blocks, tally.counts))
        missing = accounted(profiler, tally)
        still_records(profiler)
        return missing

    assert max(losses(range(130), scenario)) == 1


def test_first_passes_of_a_thread_are_recorded_or_reported(threads: Threads) -> None:
    """A thread that finds no memory for its own record makes it at its next pass."""

    def scenario(n: int) -> int:
        profiler, tally = Profiler("p"), Tally()
        blocks = blocks_of(profiler, 40)
        threads.one_by_one(lambda: failing(n, lambda: each(blocks, tally.counts)))
        missing = accounted(profiler, tally)
        still_records(profiler)
        return missing

    assert max(losses(range(130), scenario)) == 1


def test_tracked_calls_return_what_they_should_without_memory() -> None:
    """A call that cannot be recorded is made all the same."""

    def scenario(n: int) -> int:
        profiler, tally = Profiler("p"), Tally()
        tracked = [profiler.track(0, f"f {i}")(len) for i in range(40)]
        answers = bytearray(1)

        def calls() -> None:
            for function in tracked:
                answers[0] += function("ab")
                tally.counts[0] += 1

        failing(n, calls)
        assert answers[0] == 2 * tally.made
        return accounted(profiler, tally)

    losses(range(30), scenario)


@pytest.mark.parametrize("depth", [3, 40])
def test_nested_passes_are_recorded_or_reported_when_memory_runs_out(depth: int) -> None:
    """When memory runs out for good, the passes that were open already are recorded all the same."""

    def scenario(n: int) -> int:
        profiler, tally = Profiler("p"), Tally()
        blocks = blocks_of(profiler, depth)

        def enter() -> None:
            for block in blocks:
                block.__enter__()
                tally.counts[0] += 1

        failing(n, enter, for_good=True)
        for block in reversed(blocks[: tally.made]):
            block.__exit__(None, None, None)
        missing = accounted(profiler, tally)
        still_records(profiler)
        return missing

    losses(range(60), scenario)


def test_a_block_within_one_that_found_no_memory_is_left_as_itself() -> None:
    """Only the outer block finds no memory; the inner one is recorded and each exit finds its own."""

    def scenario(n: int) -> int:
        profiler, tally = Profiler("p"), Tally()
        blocks = blocks_of(profiler, 3)
        enters = [block.__enter__ for block in blocks]
        exits = [block.__exit__ for block in blocks]

        def nested() -> None:
            for enter in enters:
                enter()
                tally.counts[0] += 1
            leave()

        def leave() -> None:
            while exits:
                left = exits.pop()
                left(None, None, None)

        if not failing(n, nested):  # the interpreter itself found no memory
            del exits[tally.made :]
            leave()
        return accounted(profiler, tally)

    losses(range(60), scenario)


def test_contexts_with_open_blocks_are_recorded_or_reported() -> None:
    """When memory runs out for good, flows that are open already are recorded all the same."""

    def scenario(n: int) -> int:
        profiler, tally = Profiler("p"), Tally()
        blocks = blocks_of(profiler, 40)
        contexts = [contextvars.copy_context() for _ in blocks]
        each(blocks, bytearray(1))
        profiler.clear()
        entered = bytearray(len(blocks))

        def enter(place: int) -> None:
            blocks[place].__enter__()
            tally.counts[0] += 1
            entered[place] = 1

        def interleaved() -> None:
            for place, context in enumerate(contexts):
                context.run(enter, place)

        failing(n, interleaved, for_good=True)
        for place in reversed(range(len(blocks))):
            if entered[place]:
                contexts[place].run(blocks[place].__exit__, None, None, None)
        missing = accounted(profiler, tally)
        still_records(profiler)
        return missing

    losses(range(90), scenario)


def test_an_exit_without_memory_closes_its_pass_or_reports_it() -> None:
    """A block left in another context while its flow cannot be switched to is not lost silently."""
    for n in range(4):
        profiler, tally = Profiler("p"), Tally()
        blocks = blocks_of(profiler, 13)
        contexts = [contextvars.copy_context() for _ in blocks]
        for block, context in zip(blocks, contexts, strict=True):
            context.run(block.__enter__)
        tally.counts[0] = len(blocks)
        exits = [block.__exit__ for block in blocks]
        first = failing(n, lambda: contexts[0].run(exits[0], None, None, None))  # noqa: B023
        for place in range(first, len(blocks)):
            contexts[place].run(exits[place], None, None, None)
        accounted(profiler, tally)


def end_threads(profiler: Profiler, blocks: tuple[Any, ...], number: int, run: Rare) -> None:
    """Pass through the blocks on threads of their own, and wait until the system has ended them."""
    witness = Profiler("witness")
    seen = blocks_of(witness, 1)

    def work() -> None:
        each(blocks, bytearray(1))
        each(seen, bytearray(1))

    run.threads.one_by_one(*[work] * number)
    run.eventually(lambda: all(head[3] for head in witness._snapshot().threads()))


class Rare:
    """What waits for threads, and for their end."""

    def __init__(self, threads: Threads, eventually: Callable[[Callable[[], bool]], None]) -> None:
        self.threads = threads
        self.eventually = eventually


@pytest.fixture
def run(threads: Threads, eventually: Callable[[Callable[[], bool]], None]) -> Rare:
    """A way to run threads to their very end."""
    return Rare(threads, eventually)


@pytest.mark.parametrize("retain", [0, 1, 2])
def test_ended_threads_are_counted_once(run: Rare, retain: int) -> None:
    """A snapshot that finds no memory raises MemoryError, and the next has every pass, once."""
    raised = 0
    for n in range(40):
        profiler = Profiler("p", retain_threads=retain)
        blocks = blocks_of(profiler, 5)
        end_threads(profiler, blocks, 3, run)
        raised += not failing(n, profiler._snapshot)
        assert total(profiler) == 15, n
        still_records(profiler)
    assert raised


def test_an_ended_thread_of_many_blocks_is_folded_whole_or_not_at_all(run: Rare) -> None:
    """Folding that finds no memory half-way is not begun a second time on top of the first."""
    for n in range(40):
        profiler = Profiler("p", retain_threads=0)
        end_threads(profiler, blocks_of(profiler, 20), 1, run)
        failing(n, profiler._snapshot)
        assert total(profiler) == 20, n


def test_snapshots_of_live_threads_raise_memory_error() -> None:
    """No memory for a snapshot or its merging is a MemoryError, and costs no pass."""
    profiler = Profiler("p")
    blocks = blocks_of(profiler, 20)
    each(blocks, bytearray(1))
    snapshot = profiler._snapshot()
    for action in (profiler._snapshot, snapshot.merged, snapshot.threads):
        assert False in [failing(n, action) for n in range(40)]
        assert total(profiler) == 20
    still_records(profiler)


def test_a_tracked_callable_without_memory_is_a_memory_error() -> None:
    """No memory for the wrapper is a MemoryError, and nothing else."""

    def scenario(n: int) -> bool:
        profiler = Profiler("p")
        site = profiler._intern_block(0, "x", "file", 1)
        return failing(n, lambda: profiler._wrap(len, site, False, False))

    assert False in alone(lambda: [scenario(n) for n in range(10)])


def test_a_core_that_finds_no_memory_for_tracks_and_sites_says_so() -> None:
    """Tracks, sites and call-site tables are as they were after each MemoryError."""
    for n in range(6):
        profiler = Profiler("p")
        made = failing(n, profiler._add_track)
        assert profiler._add_track() == int(made)
        made = failing(n, lambda: profiler._add_site(0))  # noqa: B023
        assert profiler._add_site(0) == int(made)


def test_clearing_and_forgetting_call_sites_without_memory_can_be_repeated() -> None:
    """Neither costs a later pass."""
    for n in range(4):
        profiler = Profiler("p")
        with profiler.block(0, "a"):
            pass
        forgot = failing(n, profiler._forget_call_sites)
        assert forgot == (n >= 2)
        assert failing(n, profiler._new_session)
        still_records(profiler)
        assert total(profiler) == 1


def test_a_measurement_without_memory_leaves_nothing_behind() -> None:
    """The store that passes are measured in goes, whatever happens."""
    stores = _core.memory()["stores"]
    assert False in [failing(n, _core.measure_pass) for n in range(12)]
    assert _core.memory()["stores"] == stores


def test_suspended_generators_are_recorded_or_reported() -> None:
    """A generator and what it has open while suspended are each recorded or reported, once."""
    sweep_generators(lambda made, recorded, missing: recorded + missing == made)


def test_suspended_generators_lose_nothing_silently() -> None:
    """Whatever a generator or its blocks lose for want of memory is reported."""
    sweep_generators(lambda made, recorded, missing: recorded <= made <= recorded + missing)


def sweep_generators(holds: Callable[[int, int, int], bool]) -> None:
    """Resume generators while allocations fail, and compare passes made, recorded and missing."""

    def scenario(n: int) -> int:
        profiler, tally = Profiler("p"), Tally()
        block = profiler.block(0, "inside")

        @profiler.track(0, "generator")
        def generator() -> Iterator[int]:
            tally.counts[0] += 1
            with block:
                tally.counts[0] += 1
                yield 1
                yield 2

        made = generator()
        failing(n, lambda: next(made))
        for _ in made:
            pass
        made.close()
        missing = lost(profiler)
        assert holds(tally.made, total(profiler), missing)
        still_records(profiler)
        return missing

    losses(range(20), scenario)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
@pytest.mark.parametrize("megabytes", [20, 6, 2])
def test_a_thread_takes_a_smaller_stretch_of_address_space(megabytes: int) -> None:
    """Under a limit on address space, passes are recorded in a smaller buffer."""
    assert outcome(
        run_program(
            LIMITED
            + f"""
with limited({megabytes} << 20):
    with block:
        pass
assert hits() == 1 and not p.get_results().metadata["warnings"]
"""
        )
    ) == (0, "", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_passes_without_address_space_are_reported() -> None:
    """With no address space for a buffer, passes are reported; afterwards they are recorded."""
    assert outcome(
        run_program(
            LIMITED
            + """
with limited(300 << 10):
    for _ in range(3):
        with block:
            pass
assert hits() == 0
assert p.get_results().metadata["warnings"][0].startswith("3 passes could not be recorded")
with block:
    pass
assert hits() == 1
"""
        )
    ) == (0, "", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
@pytest.mark.parametrize(
    "kilobytes",
    [
        9 << 10,
        3 << 10,
        1400,
        100,
    ],
)
def test_merging_in_little_address_space_is_right_or_refused(kilobytes: int) -> None:
    """Merging gives every pass or raises MemoryError, whatever stretch it was given."""
    assert outcome(
        run_program(
            LIMITED
            + f"""
with block:
    pass
snapshot = p._snapshot()
nodes = None
with limited({kilobytes} << 10):
    try:
        nodes, _ = snapshot.merged()
    except MemoryError:
        pass
assert nodes is None or sum(node[2] for node in nodes) == 1, nodes
assert nodes is not None or {kilobytes} == 100
"""
        )
    ) == (0, "", "")


LIMITED = """
import resource
from contextlib import contextmanager
from stichotrope import Profiler

@contextmanager
def limited(more):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

p = Profiler("p")
block = p.block(0, "block")

def hits():
    return sum(b.hit_count for t in p.get_results().tracks.values() for b in t.blocks)

"""
