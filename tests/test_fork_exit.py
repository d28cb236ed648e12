"""Forks, the interpreter's end, other interpreters, native code: nothing crashes or is lost."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, outcome, run_program
from stichotrope import Profiler, _core, profiler

pytestmark = pytest.mark.integration

WAIT = 120  # seconds until a process or thread that others wait for is given up

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")


def in_child(function: Callable[[], Any]) -> Any:
    """Run a function in a forked child; what it returns, or a string that says how it failed."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # there may be other threads: that is meant
        child = os.fork()
    if child == 0:
        # No exception may get out: the child would go on as a second test run.
        try:
            answer = json.dumps(function())
        except BaseException as error:
            answer = json.dumps(repr(error))
        os.write(writable, answer.encode())
        os._exit(0)
    os.close(writable)
    with open(readable, "rb") as stream:
        said = stream.read()
    status = os.waitpid(child, 0)[1]
    assert (status, said != b"") == (0, True)
    return json.loads(said)


def passes(block: Any, count: int) -> None:
    """Enter and leave a block that often."""
    for _ in range(count):
        with block:
            pass


# Forks


@forks
def test_a_child_starts_empty_and_the_parents_figures_stay() -> None:
    """Blocks and switches are known to both; each counts its own passes."""
    p = Profiler("forked")
    kept = p.block(0, "x")
    p.set_track_enabled(1, False)
    passes(kept, 5)

    def child() -> Any:
        before = hits(p), len(p.get_results().threads), p.get_results().metadata["process"]
        passes(kept, 2)
        passes(p.block(1, "off"), 2)
        passes(p.block(2, "new"), 1)
        return [*before, hits(p), len(p.get_results().threads), os.getpid()]

    empty, threads, process, after, threads_after, pid = in_child(child)
    assert (empty, threads) == ({"x": 0}, 0)
    assert (after, threads_after) == ({"x": 2, "off": 0, "new": 1}, 1)
    assert process == pid != os.getpid()
    assert hits(p) == {"x": 5}
    passes(kept, 1)
    assert hits(p) == {"x": 6}


@forks
def test_a_pass_that_is_open_across_a_fork_is_the_parents(clock: ManualClock) -> None:
    """The child leaves it unrecorded, without an error; what it begins inside is at the top."""
    p = Profiler("forked")
    outer, inner = p.block(0, "outer"), p.block(0, "inner")

    @p.track(1)
    def forking() -> Any:
        clock.advance(10)
        with outer:
            clock.advance(1)

            def child() -> Any:
                clock.advance(100)
                with inner:
                    clock.advance(1000)
                outer.__exit__(None, None, None)
                with inner:
                    clock.advance(5)
                results = p.get_results()
                top = [(node.name, node.total_time_ns) for node in results.tree.children]
                return [hits(results), results.total_time_ns, top]

            found = in_child(child)
            clock.advance(1)
        return found

    assert forking() == [{"forking": 0, "outer": 0, "inner": 2}, 1005, [["inner", 1005]]]
    results = p.get_results()
    assert hits(results) == {"forking": 1, "outer": 1, "inner": 0}
    assert results.total_time_ns == 12


@forks
def test_a_tracked_function_that_forks_returns_in_both(clock: ManualClock) -> None:
    """In the child as a pass that is dropped."""
    p = Profiler("forked")

    def child() -> Any:
        return [hits(p), p.track(0, "again")(lambda: 7)(), hits(p)]

    @p.track(0)
    def forking() -> Any:
        readable, writable = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return os.fork(), readable, writable

    pid, readable, writable = forking()
    if pid == 0:
        try:
            os.write(writable, json.dumps(child()).encode())
        finally:
            os._exit(0)
    os.close(writable)
    with open(readable, "rb") as stream:
        found = json.loads(stream.read())
    assert os.waitpid(pid, 0)[1] == 0
    assert found == [{"forking": 0}, 7, {"forking": 0, "again": 1}]
    assert hits(p) == {"forking": 1}


@forks
@pytest.mark.thread_safety
def test_other_threads_record_on_while_one_forks(threads: Threads) -> None:
    """The parent loses none of their passes; no child has any of them, and each child works."""
    p = Profiler("forked")
    block = p.block(0, "x")
    stop = threading.Event()

    def work() -> int:
        count = 0
        while not stop.is_set():
            passes(block, 10)
            count += 10
        return count

    def child() -> Any:
        before = p.get_results()
        passes(block, 3)
        with p.block("new", "y"):
            pass
        return [hits(before), len(before.threads), hits(p), len(p.get_results().threads)]

    join = threads.spawn(work, work, work)
    try:
        found = [in_child(child) for _ in range(20)]
    finally:
        stop.set()
    counts = join()
    assert found == [[{"x": 0}, 0, {"x": 3, "y": 1}, 1]] * 20
    assert hits(p) == {"x": sum(counts)}


@forks
@pytest.mark.thread_safety
def test_a_child_can_use_every_lock_though_other_threads_held_them() -> None:
    """They are fresh in the child: it makes profilers, registers, switches, reads and clears."""
    p = Profiler("forked")
    block = p.block(0, "x")
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with profiler._REGISTRY_LOCK, profiler._GLOBAL_CACHE_LOCK, p._global_lock:
            held.set()
            release.wait(WAIT)

    def child() -> Any:
        with Profiler("new").block(0, "y"), p.block(1, "z"), block:
            pass
        p.set_track_enabled(1, False)
        found = hits(p)
        p.clear()
        return [found, hits(p)]

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(WAIT)
    # For a fork that waits for the locks; one that does not finds them held.
    timer = threading.Timer(0.2, release.set)
    timer.start()
    try:
        assert in_child(child) == [{"x": 1, "z": 1}, {"x": 0, "z": 0}]
    finally:
        release.set()
        holder.join(WAIT)
        timer.join(WAIT)


@forks
@pytest.mark.thread_safety
def test_a_fork_in_the_middle_of_another_threads_registration_leaves_the_child_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However far the other thread had got, the child's own blocks are right."""
    p = Profiler("forked")
    first = p.block(0, "first")
    inside, release = threading.Event(), threading.Event()
    site: Any = profiler.__dict__["Site"]

    def slow(*arguments: Any) -> Any:
        inside.set()
        release.wait(WAIT)
        return site(*arguments)

    def child() -> Any:
        for name in ("a", "b"):
            with p.block(0, name):
                pass
        passes(first, 1)
        return hits(p)

    monkeypatch.setattr(profiler, "Site", slow)
    registering = threading.Thread(target=lambda: p.block(0, "in the making"))
    registering.start()
    assert inside.wait(WAIT)
    monkeypatch.setattr(profiler, "Site", site)
    timer = threading.Timer(
        0.2, release.set
    )  # for a fork that waits until the registration is done
    timer.start()
    try:
        found = in_child(child)
    finally:
        release.set()
        registering.join(WAIT)
        timer.join(WAIT)
    if isinstance(found, dict):
        found.pop("in the making", None)  # known to the child or not
    assert found == {"first": 1, "a": 1, "b": 1}


@forks
@pytest.mark.thread_safety
def test_profilers_may_be_made_by_others_while_a_fork_is_being_prepared() -> None:
    """By a thread that runs while another library's fork handler waits: nobody waits for ever."""
    program = """
        import faulthandler, os, threading, warnings
        faulthandler.dump_traceback_later(30, exit=True)  # only if they do
        preparing, made = threading.Event(), threading.Event()
        # Registered before the profiler's own handler, so it runs after that one.
        os.register_at_fork(before=lambda: (preparing.set(), made.wait(0.5)))
        import stichotrope
        p = stichotrope.Profiler("known")

        def make():
            preparing.wait()
            q = stichotrope.Profiler("new")
            with q.block(0, "x"), p.block(0, "y"):
                pass
            del q
            made.set()

        thread = threading.Thread(target=make)
        thread.start()
        warnings.simplefilter("ignore")
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        thread.join()
        print(p.get_results().total_hits)
    """
    assert outcome(run_program(program)) == (0, "1\n", "")


@forks
def test_children_of_children_start_empty_too() -> None:
    """Three generations, each with its own count."""
    p = Profiler("forked")
    block = p.block(0, "x")

    def generation(depth: int) -> list[Any]:
        passes(block, depth)
        younger = in_child(lambda: generation(depth + 1)) if depth < 3 else []
        return [hits(p)["x"], *younger]

    assert generation(1) == [1, 2, 3]


@forks
@pytest.mark.thread_safety
def test_a_fork_on_another_thread_leaves_that_thread_in_charge(threads: Threads) -> None:
    """The child's only thread records under its own name."""
    p = Profiler("forked")
    block = p.block(0, "x")
    passes(block, 4)

    def child() -> Any:
        passes(block, 2)
        return [(share.name, share.total_hits, share.alive) for share in p.get_results().threads]

    def work() -> Any:
        passes(block, 1)
        return in_child(child)

    (found,) = threads.one_by_one(work)
    assert [row[1:] for row in found] == [[2, True]]
    assert hits(p) == {"x": 5}


@forks
def test_the_memory_of_other_threads_is_given_back_in_the_child(threads: Threads) -> None:
    """Only the buffer of the thread that forked stays."""
    p = Profiler("forked")
    block = p.block(0, "x")
    passes(block, 1)
    before = in_child(lambda: _core.memory()["buffers"])
    inside, leave = threading.Barrier(4), threading.Event()

    def work() -> None:
        with block:
            inside.wait(WAIT)
            leave.wait(WAIT)

    join = threads.spawn(work, work, work)
    inside.wait(WAIT)
    try:
        found = in_child(lambda: _core.memory()["buffers"])
    finally:
        leave.set()
        join()
    assert found == before


@forks
@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.thread_safety
def test_many_forks_while_everything_happens(threads: Threads) -> None:
    """300 of them while threads record, register, read, make and drop profilers, and end."""
    p = Profiler("forked")
    block = p.block(0, "x")
    stop = threading.Event()

    def work() -> int:
        count = 0
        while not stop.is_set():
            passes(block, 10)
            with p.block(0, f"name {count % 1000}"):
                p.get_results()
            with Profiler("short-lived").block(0, "z"):
                pass
            count += 10
        return count

    def come_and_go() -> None:
        while not stop.is_set():
            threads.one_by_one(lambda: passes(block, 0))

    def child() -> Any:
        passes(block, 3)
        with p.block("new", "y"):
            pass
        found = hits(p)
        return [found["x"], found["y"], sum(found.values())]

    join = threads.spawn(work, work, come_and_go)
    try:
        found = [in_child(child) for _ in range(300)]
    finally:
        stop.set()
    counts = join()
    assert found == [[3, 1, 4]] * 300
    assert hits(p)["x"] == sum(counts[:2])


# The end of the interpreter


RECORDING_DAEMONS = """
    import sys, threading
    import stichotrope

    p = stichotrope.Profiler("at exit"{options})
    tracked = p.track(0)(lambda: None)
    kept = p.block(1, "kept")
    started = threading.Barrier(5)

    def record():
        n = 0
        started.wait()
        while True:
            n += 1
            with kept, p.block(2, f"inline {{n % 50}}", tag=f"tag {{n % 70}}"):
                tracked()
            if n % 100 == 0:
                p.get_results(), p.timeline_size and p.timeline()

    for _ in range(4):
        threading.Thread(target=record, daemon=True).start()
    started.wait()
    while p.get_results().total_hits < 1000:
        pass
    print("done")
"""


def exits_cleanly(times: int, options: str = "") -> None:
    """Let a program end while daemon threads record, that often."""
    program = RECORDING_DAEMONS.format(options=options)
    for _ in range(times):
        assert outcome(run_program(program)) == (0, "done\n", "")


@pytest.mark.thread_safety
def test_daemon_threads_may_record_while_the_interpreter_ends() -> None:
    """Twenty times: exit status 0, nothing on standard error."""
    exits_cleanly(20)


@pytest.mark.thread_safety
@pytest.mark.parametrize("has_store", [False, True], ids=["in memory", "in a store"])
@pytest.mark.parametrize("times", [4, pytest.param(100, marks=pytest.mark.stress)])
def test_daemon_threads_may_go_on_with_a_timeline_while_the_interpreter_ends(
    tmp_path: Path, has_store: bool, times: int
) -> None:
    """Tagged by texts, their rings read all the while: the same."""
    store = f", store={str(tmp_path)!r}" if has_store and os.name != "nt" else ""
    exits_cleanly(times, f", timeline=1024{store}")


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.thread_safety
def test_daemon_threads_may_record_while_the_interpreter_ends_many_times() -> None:
    """Five hundred times."""
    exits_cleanly(500)


@pytest.mark.parametrize("when", ["before", "after"])
def test_results_can_be_read_at_exit(when: str) -> None:
    """By a function registered with `atexit`, before or after the profiler was imported."""
    register = "import atexit; atexit.register(lambda: report())"
    program = f"""
        {register if when == "before" else ""}
        import stichotrope, threading
        {register if when == "after" else ""}
        p = stichotrope.Profiler("at exit")
        block = p.block(0, "x")

        def passes(count):
            for _ in range(count):
                with block:
                    pass

        def report():
            passes(1)
            results = p.get_results()
            print([b.hit_count for b in results.tracks[0].blocks], len(results.threads))
            stichotrope.Profiler("made at exit").block("late", "y").__enter__()

        threads = [threading.Thread(target=passes, args=(3,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    assert outcome(run_program(program)) == (0, "[13] 5\n", "")


def test_passes_that_are_open_at_exit_do_no_harm() -> None:
    """On the main thread, in a generator, and on a thread that was never joined."""
    program = """
        import threading, stichotrope
        p = stichotrope.Profiler("at exit")

        def hold():
            with p.block(0, "held"):
                yield

        generator = hold()
        next(generator)
        p.block(0, "open").__enter__()
        threading.Thread(target=p.block(0, "elsewhere").__enter__).start()
        print("done")
    """
    assert outcome(run_program(program)) == (0, "done\n", "")


def test_finalizers_may_record_while_the_interpreter_ends() -> None:
    """When modules are torn down, whatever is still there works or is quietly gone."""
    program = """
        import stichotrope
        p = stichotrope.Profiler("at exit")
        tracked = p.track(0)(len)
        kept = p.block(0, "x")

        class Last:
            def __init__(self, tracked, kept, p):
                self.used = tracked, kept, p
                self.myself = self

            def __del__(self):
                tracked, kept, p = self.used
                with kept:
                    tracked(())
                print(p.get_results().total_hits)

        last = Last(tracked, kept, p)
        del tracked, kept, p
    """
    assert outcome(run_program(program)) == (0, "2\n", "")


def test_a_program_that_fails_fails_as_it_would_without_a_profiler() -> None:
    """Its status and its traceback are its own, and no frame of the traceback is the profiler's."""
    program = """
        import stichotrope
        p = stichotrope.Profiler("fails")

        @p.track(0)
        def fails():
            with p.block(0, "x"):
                raise SystemExit(3) if {quiet} else ValueError("mine")

        fails()
    """
    assert outcome(run_program(program.replace("{quiet}", "True"))) == (3, "", "")
    status, out, err = outcome(run_program(program.replace("{quiet}", "False")))
    assert (status, out, err.splitlines()[-1]) == (1, "", "ValueError: mine")
    assert "stichotrope" not in err
    assert err.count("  File ") == 2


def test_importing_and_doing_nothing_ends_cleanly() -> None:
    """Also with every warning an error, and in development mode."""
    program = "import stichotrope; stichotrope.Profiler('x').block(0, 'y')"
    assert outcome(run_program(program, "-X", "dev", "-W", "error")) == (0, "", "")


# Other interpreters


def test_another_interpreter_in_the_process_is_refused_or_right() -> None:
    """Importing there says that it cannot be done, or works on its own; the first one goes on."""
    program = """
        import sys, stichotrope
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters

        p = stichotrope.Profiler("first")
        with p.block(0, "x"):
            pass
        inside = '''if True:
            import sys
            sys.path[:] = %r
            try:
                import stichotrope
            except ImportError as error:
                assert "interpreter" in str(error), str(error)
            else:
                p = stichotrope.Profiler("second")
                with p.block(0, "x"):
                    pass
                assert p.get_results().total_hits == 1
        ''' % (sys.path,)
        other = interpreters.create()
        try:
            failure = interpreters.run_string(other, inside)
            assert failure is None, failure
        finally:
            interpreters.destroy(other)
        with p.block(0, "y"):
            pass
        print(p.get_results().total_hits)
    """
    # Without site: what other packages run at each start need not bear a second interpreter.
    assert outcome(run_program(program, "-S", "-W", "ignore")) == (0, "2\n", "")


# Without the interpreter's lock


@pytest.mark.thread_safety
def test_measuring_a_pass_on_threads_that_never_recorded_is_safe() -> None:
    """It lets go of the interpreter's lock, so it must not touch what others are working with."""
    program = """
        import sys, threading
        from stichotrope import _core

        sys.setswitchinterval(1e-4)
        stop = threading.Event()

        def work():
            while not stop.is_set():
                [[] for _ in range(100)]

        working = [threading.Thread(target=work) for _ in range(2)]
        for thread in working:
            thread.start()
        for _ in range(40):
            measuring = [threading.Thread(target=_core.measure_pass, args=(1, 1)) for _ in range(4)]
            for thread in measuring:
                thread.start()
            for thread in measuring:
                thread.join()
        stop.set()
        for thread in working:
            thread.join()
        print("done")
    """
    assert outcome(run_program(program)) == (0, "done\n", "")


@pytest.mark.thread_safety
def test_native_code_records_without_the_interpreters_lock() -> None:
    """On new threads, while Python runs on others: every pass counts, and nobody is disturbed."""
    program = """
        import ctypes, sys, threading
        import stichotrope
        from stichotrope import _core

        p = stichotrope.Profiler("native")
        handle, *addresses = _core.native_entry_points(p, p._intern_block(0, "x", "native.c", 1))
        # Functions made by CFUNCTYPE are called without the lock.
        enter = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(addresses[0])
        leave = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(addresses[1])
        sys.setswitchinterval(1e-4)
        stop = threading.Event()

        def work():
            while not stop.is_set():
                with p.block(1, "python"):
                    [[] for _ in range(100)]

        def native():
            buffer = ctypes.c_void_p()
            for _ in range(10):
                entered = enter(handle, ctypes.addressof(buffer))
                leave(buffer.value, entered)

        working = [threading.Thread(target=work) for _ in range(2)]
        for thread in working:
            thread.start()
        for _ in range(40):
            recording = [threading.Thread(target=native) for _ in range(4)]
            for thread in recording:
                thread.start()
            for thread in recording:
                thread.join()
        stop.set()
        for thread in working:
            thread.join()
        results = p.get_results()
        (block,) = results.tracks[0].blocks
        print(block.name, block.hit_count, len(results.threads))
    """
    assert outcome(run_program(program)) == (0, "x 1600 162\n", "")
