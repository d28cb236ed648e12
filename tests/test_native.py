"""Threads that Python does not know record at full speed while Python reads, clears, switches and frees."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import Threads
from stichotrope import Profiler, _core
from test_core import Node

pytestmark = pytest.mark.thread_safety

SOURCE = Path(__file__).parent / "native" / "driver.c"
DEEPEST = 8


class Job(ctypes.Structure):
    """What a native thread is to do; see driver.c."""

    _fields_ = [
        ("enter", ctypes.c_void_p),
        ("leave", ctypes.c_void_p),
        ("handles", ctypes.c_void_p * DEEPEST),
        ("depth", ctypes.c_uint32),
        ("rounds", ctypes.c_uint64),
        ("done", ctypes.c_uint64),
        ("missed", ctypes.c_uint64),
    ]


def compiler() -> list[str]:
    """The compiler that the interpreter was made with, or the one that the environment names."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def sanitizer_flags() -> list[str]:
    """The driver is watched by whatever watches this process: an unwatched one would hide what it does."""
    program = ctypes.CDLL(None)
    flags = {"__tsan_init": "-fsanitize=thread", "__asan_init": "-fsanitize=address"}
    return [flag for symbol, flag in flags.items() if hasattr(program, symbol)]


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The driver, compiled for this run."""
    if sys.platform == "win32":
        pytest.skip("the driver makes its threads with pthreads")
    library = tmp_path_factory.mktemp("native") / "driver.so"
    flags = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-pthread"]
    # The preloaded runtime of a sanitizer is not for the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = [*compiler(), *flags, *sanitizer_flags(), str(SOURCE), "-o", str(library)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    except FileNotFoundError:
        pytest.skip(f"there is no compiler {command[0]}")
    except subprocess.CalledProcessError as error:
        pytest.fail(f"the driver does not compile:\n{error.stderr}")
    loaded = ctypes.CDLL(str(library))
    loaded.run.argtypes = [ctypes.POINTER(Job), ctypes.c_int, ctypes.c_int]
    loaded.work.argtypes = [ctypes.POINTER(Job)]
    loaded.work.restype = None
    return loaded


@pytest.fixture(params=["monotonic", "counter"])
def real_clock(request: pytest.FixtureRequest) -> None:
    """A clock that moves by itself."""
    if request.param == "counter" and not _core.counter_is_invariant():
        pytest.skip("this processor has no counter of one rate")
    _core.use_clock(request.param)


def jobs(
    p: Profiler, count: int, rounds: int, names: tuple[str, ...] = ("native",)
) -> ctypes.Array[Job]:
    """So many jobs on blocks of track 0, one block inside the other."""
    made = (Job * count)()
    sites = [p._intern_block(0, name, "driver.c", 1) for name in names]
    points = [_core.native_entry_points(p, site) for site in sites]
    for job in made:
        _, job.enter, job.leave = points[0]
        job.handles[: len(points)] = [handle for handle, _, _ in points]
        job.depth = len(points)
        job.rounds = rounds
    return made


def run(driver: ctypes.CDLL, todo: ctypes.Array[Job], together: int = 64) -> None:
    """Do the jobs, each on a native thread of its own, without holding the interpreter's lock."""
    assert driver.run(todo, len(todo), together) == 0
    assert [job.missed for job in todo] == [0] * len(todo)


@contextmanager
def hammering(
    driver: ctypes.CDLL, threads: Threads, p: Profiler, count: int, *names: str
) -> Iterator[ctypes.Array[Job]]:
    """Have native threads record without pause while the body runs."""
    todo = jobs(p, count, 0, names)
    driver.go()
    join = threads.spawn(lambda: run(driver, todo))
    try:
        while any(job.done == 0 for job in todo):
            pass
        yield todo
    finally:
        driver.stop()
        join()


def hits(p: Profiler) -> dict[str, int]:
    """Hits of each block, all threads together."""
    return {b.name: b.hit_count for track in p.get_results().tracks.values() for b in track.blocks}


def check_is_whole(node: Node) -> None:
    """A record that mixes one pass's figures with another's breaks one of these sooner or later."""
    assert sum(node.buckets.values()) == node.passes
    assert node.passes * node.minimum <= node.total <= node.passes * node.maximum
    assert node.total**2 <= node.passes * node.squares <= node.passes**2 * node.maximum**2
    assert node.own <= node.once


# ---- exact counts -------------------------------------------------------------------------------


def test_native_threads_are_recorded_exactly(driver: ctypes.CDLL) -> None:
    """Each is an entry of its own, without a name, and lost no pass."""
    p = Profiler("native")
    run(driver, jobs(p, 4, 25_000, ("outer", "middle", "inner")))
    results = p.get_results()
    assert hits(p) == {"outer": 100_000, "middle": 100_000, "inner": 100_000}
    assert [share.total_hits for share in results.threads] == [75_000] * 4
    assert [share.name for share in results.threads] == [f"thread {s.key}" for s in results.threads]
    assert not any(share.alive for share in results.threads)
    assert [(node.name, node.hit_count) for node, depth in results.tree.walk() if depth] == [
        ("outer", 100_000),
        ("middle", 100_000),
        ("inner", 100_000),
    ]


def test_native_and_python_threads_meet_in_one_block(driver: ctypes.CDLL, threads: Threads) -> None:
    """The same block from both kinds of threads at once."""
    p = Profiler("native")
    block = p.block(0, "python")

    def python() -> None:
        for _ in range(20_000):
            with block:
                pass

    todo = jobs(p, 2, 50_000)
    threads.together(python, python, lambda: run(driver, todo))
    assert hits(p) == {"python": 40_000, "native": 100_000}
    assert len(p.get_results().threads) == 4


def test_a_python_thread_may_record_without_the_interpreters_lock(
    driver: ctypes.CDLL, threads: Threads
) -> None:
    """Natively inside a block of its own, while other Python threads run in contexts of theirs."""
    p = Profiler("native")
    outer = p.block(0, "outer")
    todo = jobs(p, 3, 10_000)

    def work(number: int) -> Callable[[], None]:
        def here() -> None:
            for _ in range(5):
                todo[number].done = 0
                with outer:
                    driver.work(ctypes.byref(todo[number]))

        return here

    threads.together(*(work(number) for number in range(3)))
    assert hits(p) == {"outer": 15, "native": 150_000}
    assert [job.missed for job in todo] == [0, 0, 0]


def test_short_native_threads_leave_their_hits_and_nothing_else(driver: ctypes.CDLL) -> None:
    """Two thousand of them, of which the newest five keep an entry."""
    p = Profiler("native", retain_threads=5)
    before = _core.memory()
    run(driver, jobs(p, 2_000, 3), together=8)
    results = p.get_results()
    assert hits(p) == {"native": 6_000}
    assert len(results.threads) == 6
    assert results.threads[0].total_hits == 6_000 - 15
    memory = _core.memory()
    # Not exactly: a thread of an earlier test may only now be taken down by the system.
    assert memory["threads"] - before["threads"] <= 5
    assert memory["buffers"] - before["buffers"] <= 1


# ---- while others read --------------------------------------------------------------------------


@pytest.mark.usefixtures("real_clock")
@pytest.mark.parametrize("count", [1, 3])
def test_every_snapshot_is_whole_while_native_threads_hammer_one_site(
    driver: ctypes.CDLL, threads: Threads, count: int
) -> None:
    """No figure is of another moment than the others beside it, and none ever goes down."""
    p = Profiler("native")
    last: dict[int, Node] = {}
    with hammering(driver, threads, p, count, "native") as todo:
        for _ in range(300):
            snapshot = p._snapshot()
            for number, head in enumerate(snapshot.threads()):
                (node,) = (Node(*raw) for raw in snapshot.nodes(number))
                check_is_whole(node)
                previous = last.get(head[0], node)
                assert (node.passes, node.total) >= (previous.passes, previous.total)
                assert node.minimum <= previous.minimum or previous.passes == 0
                assert node.maximum >= previous.maximum
                last[head[0]] = node
    assert hits(p) == {"native": sum(job.done for job in todo)}


@pytest.mark.usefixtures("real_clock")
def test_every_snapshot_is_whole_while_native_threads_nest(
    driver: ctypes.CDLL, threads: Threads
) -> None:
    """What lies inside has ended as often as what it lies in, or once more."""
    p = Profiler("native")
    with hammering(driver, threads, p, 2, "outer", "inner", "innermost") as todo:
        for _ in range(200):
            snapshot = p._snapshot()
            for number, _head in enumerate(snapshot.threads()):
                for raw in snapshot.nodes(number):
                    check_is_whole(Node(*raw))
            for raw in snapshot.merged()[0]:
                check_is_whole(Node(*raw))
    done = sum(job.done for job in todo)
    assert hits(p) == {"outer": done, "inner": done, "innermost": done}


def test_results_never_go_down_while_native_threads_record(
    driver: ctypes.CDLL, threads: Threads
) -> None:
    """Neither hits nor their times, in the results of three readers.

    The total may: a thread that is interrupted between reading its clock and closing its pass has it open for longer.
    """
    p = Profiler("native")

    def read() -> None:
        last = (0, 0)
        for _ in range(40):
            (block,) = p.get_results().tracks[0].blocks
            assert (block.hit_count, block.sum_time_ns) >= last
            assert block.sum_time_ns >= last[1]
            assert block.histogram.total == block.hit_count
            last = block.hit_count, block.sum_time_ns

    with hammering(driver, threads, p, 2, "native") as todo:
        threads.together(read, read, read)
    assert hits(p) == {"native": sum(job.done for job in todo)}


def test_clearing_under_native_load_leaves_what_came_after(
    driver: ctypes.CDLL, threads: Threads
) -> None:
    """After each clear, a session has no more than was done since; after the last, counts are exact."""
    p = Profiler("native")
    with hammering(driver, threads, p, 2, "outer", "inner") as todo:
        for _ in range(200):
            before = sum(job.done for job in todo)
            p.clear()
            snapshot = p._snapshot()
            after = sum(job.done for job in todo)
            for raw in snapshot.merged()[0]:
                node = Node(*raw)
                check_is_whole(node)
                # Each thread may be inside one more round on either side.
                assert node.passes <= after - before + 2 * len(todo)
    p.clear()
    run(driver, jobs(p, 2, 1_000, ("outer", "inner")))
    assert hits(p) == {"outer": 2_000, "inner": 2_000}


def test_what_is_open_is_read_under_native_load(driver: ctypes.CDLL, threads: Threads) -> None:
    """What is listed of a thread is a chain that it can have had open, from the outermost on."""
    names = ("outer", "middle", "inner")
    p = Profiler("native")
    with hammering(driver, threads, p, 2, *names) as todo:
        for _ in range(300):
            chains: dict[int, list[tuple[int, int]]] = {}
            for site, ticks, depth, suspended, key, _, _ in p._open_passes():
                assert not suspended
                assert ticks < 1 << 62
                chains.setdefault(key, []).append((site, depth))
            assert len(chains) <= len(todo)
            for chain in chains.values():
                assert chain == [(place, place) for place in range(len(chain))]
    assert p._open_passes() == []
    assert hits(p) == dict.fromkeys(names, sum(job.done for job in todo))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_forks_under_native_load_leave_parent_and_child_right(
    driver: ctypes.CDLL, threads: Threads
) -> None:
    """The child starts empty and records; the parent's threads lose no pass."""
    p = Profiler("native")
    with hammering(driver, threads, p, 2, "outer", "inner") as todo:
        for _ in range(10):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
                child = os.fork()
            if child == 0:
                status = 1
                try:
                    with p.block(1, "child"):
                        pass
                    status = int(hits(p) != {"outer": 0, "inner": 0, "child": 1})
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
    done = sum(job.done for job in todo)
    assert hits(p) == {"outer": done, "inner": done}


def test_switching_another_track_under_native_load_loses_nothing(
    driver: ctypes.CDLL, threads: Threads
) -> None:
    """Neither do blocks and tracks that are registered meanwhile."""
    p = Profiler("native")
    with hammering(driver, threads, p, 2, "native") as todo:
        for i in range(300):
            p.set_track_enabled(1, i % 2 == 0)
            with p.block(1, f"{i}"), p.block(2 + i, "own track"):
                pass
    found = hits(p)
    assert found["native"] == sum(job.done for job in todo)
    assert sum(found[f"{i}"] for i in range(300)) == 150


def test_profilers_come_and_go_under_native_load(driver: ctypes.CDLL, threads: Threads) -> None:
    """Whoever records into one profiler knows nothing of the end of another."""
    p = Profiler("native")
    before = _core.memory()["stores"]
    with hammering(driver, threads, p, 2, "native") as todo:
        for _ in range(50):
            other = Profiler("other")
            run(driver, jobs(other, 2, 10))
            assert hits(other) == {"native": 20}
            del other
    assert hits(p) == {"native": sum(job.done for job in todo)}
    assert _core.memory()["stores"] == before


def test_native_threads_use_more_profilers_than_a_thread_has_seats_for(
    driver: ctypes.CDLL, threads: Threads
) -> None:
    """In turns, one inside the other, with clears in between."""
    profilers = [Profiler(f"{i}") for i in range(20)]
    todo = (Job * 2)()
    for job in todo:
        job.rounds, job.depth = 5_000, DEEPEST
        for level in range(DEEPEST):
            owner = profilers[level * 2 % 20 if level < 4 else level * 2 + 1]
            site = owner._intern_block(0, "native", "driver.c", 1)
            job.handles[level], job.enter, job.leave = _core.native_entry_points(owner, site)
    run(driver, todo)
    assert sum(hits(p).get("native", 0) for p in profilers) == 2 * 5_000 * DEEPEST


# ---- counts beyond 32 bits ----------------------------------------------------------------------


@pytest.mark.slow
def test_a_bucket_counts_beyond_32_bits(driver: ctypes.CDLL) -> None:
    """Its high half is kept in a page of its own, and carried along where threads are merged."""
    _core.use_clock("manual")  # native threads are at 0 on it: all passes fall into one bucket
    p = Profiler("native")
    quarter = 1 << 31
    # The first passes 2**32 by itself; the low halves of both do when they are merged.
    todo = jobs(p, 2, quarter)
    todo[0].rounds = 3 * quarter
    run(driver, todo)
    snapshot = p._snapshot()
    for number in range(2):
        (node,) = (Node(*raw) for raw in snapshot.nodes(number))
        assert node.passes in (quarter, 3 * quarter)
        assert node.buckets == {0: node.passes}
    (node,) = (Node(*raw) for raw in snapshot.merged()[0])
    assert (node.passes, node.buckets) == (4 * quarter, {0: 4 * quarter})
