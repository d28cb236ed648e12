"""Programs of several processes: each leaves its own file, and merged they hold every pass."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from conftest import hits, run_program
from stichotrope import ProfilerResults

pytestmark = pytest.mark.integration

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
every_start_method = pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())

# What every program begins with. A child that imports it anew, as those that are not forked do,
# gathers by the same line.
PRELUDE = """
import json, os, signal, subprocess, sys, threading, time, warnings
import concurrent.futures, multiprocessing
from stichotrope import Profiler, ProfilerResults

warnings.simplefilter("ignore", DeprecationWarning)  # other threads may be there: that is meant
folder = os.environ["STICHOTROPE_GATHER"]
p = Profiler("work")
p.gather(period_s=float(os.environ.get("PERIOD", "1000")))

@p.track(0, "task")
def task(number=0):
    return os.getpid()

def passes(count):
    for _ in range(count):
        task()

def stored():
    "Process number -> passes, of what is in the files at this moment."
    try:
        return {one.pid: one.total_hits for one in ProfilerResults.load_all(folder).processes}
    except ValueError:  # no file yet
        return {}

def wait_for(pid, count):
    while stored().get(pid) != count:
        time.sleep(0.005)

def fork(function):
    pid = os.fork()
    if pid == 0:
        function()
        sys.exit()
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run_script(directory: Path, program: str, **environment: str) -> tuple[Any, ProfilerResults]:
    """Run a program as a script; return what it printed, as JSON, and all results it left."""
    script = directory / "program.py"
    script.write_text(PRELUDE + textwrap.dedent(program), encoding="utf-8")
    folder = directory / "gathered"
    done = run_program("", str(script), STICHOTROPE_GATHER=str(folder), **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(folder.glob(".*")) == []
    return json.loads(done.stdout), ProfilerResults.load_all(folder)


def per_process(results: ProfilerResults) -> dict[str, int]:
    """Process number, as in JSON → passes; checks that processes, threads and totals agree."""
    found = {str(process.pid): process.total_hits for process in results.processes}
    assert len(found) == len(results.processes)
    assert len({process.host for process in results.processes}) == 1
    assert len({thread.key for thread in results.threads}) == len(results.threads)
    of_threads = dict.fromkeys(found, 0)
    for thread in results.threads:
        assert thread.process in results.processes
        of_threads[str(thread.process.pid)] += thread.total_hits
    assert of_threads == found
    assert hits(results) == {"task": sum(found.values())}
    return found


# Forks


@forks
def test_a_forked_child_gathers_in_a_file_of_its_own(tmp_path: Path) -> None:
    """It starts empty, and the parent's figures stay; neither touches the other's file."""
    told, results = run_script(
        tmp_path,
        """
        passes(5)
        p._gathering.refresh()
        children = {fork(lambda: passes(3)): 3, fork(lambda: passes(4)): 4, fork(lambda: 0): None}
        statuses = [ended(pid) for pid in children]
        passes(2)
        print(json.dumps([statuses, {os.getpid(): 7} | {k: v for k, v in children.items() if v}]))
        """,
    )
    assert told[0] == [0, 0, 0]
    assert per_process(results) == told[1]
    assert len(list((tmp_path / "gathered").iterdir())) == 3


@forks
def test_a_child_that_leaves_at_once_loses_nothing(tmp_path: Path) -> None:
    """By `os._exit`, or killed: what it recorded stands in a mapped file."""
    told, results = run_script(
        tmp_path,
        """
        def leave():
            passes(7)
            os._exit(0)

        def stay():
            passes(8)
            while True:
                signal.pause()

        leaving, staying = fork(leave), fork(stay)
        statuses = [ended(leaving)]
        wait_for(staying, 8)
        os.kill(staying, signal.SIGKILL)
        statuses.append(ended(staying))
        print(json.dumps([statuses, {leaving: 7, staying: 8}]))
        """,
    )
    assert told[0] == [0, -9]
    assert per_process(results) == told[1]


@forks
def test_children_of_children_gather_too(tmp_path: Path) -> None:
    """Each from empty, whatever those above it recorded."""
    told, results = run_script(
        tmp_path,
        """
        pids = {}

        def descend(depth):
            passes(depth)
            if depth < 4:
                child = fork(lambda: descend(depth + 1))
                assert ended(child) == 0
            passes(10)
            with open(os.path.join(folder, f"pid.{depth}"), "w") as file:
                file.write(str(os.getpid()))

        descend(1)
        for depth in range(1, 5):
            path = os.path.join(folder, f"pid.{depth}")
            pids[open(path).read()] = depth + 10
        print(json.dumps(pids))
        """,
    )
    assert per_process(results) == told


@forks
def test_a_fork_from_a_thread_while_others_record(tmp_path: Path) -> None:
    """The parent loses no pass, and each child has its own only."""
    told, results = run_script(
        tmp_path,
        """
        stop, children, counts = threading.Event(), {}, []

        def record():
            count = 0
            while not stop.is_set():
                passes(10)
                count += 10
            counts.append(count)

        def child(count):
            passes(count)
            p.stop_gathering()
            os._exit(0)

        def fork_often():
            for count in range(1, 11):
                pid = fork(lambda: child(count))
                children[pid] = count
                assert ended(pid) == 0

        recording = [threading.Thread(target=record) for _ in range(3)]
        forking = [threading.Thread(target=fork_often) for _ in range(2)]
        for thread in recording + forking:
            thread.start()
        for thread in forking:
            thread.join()
        stop.set()
        for thread in recording:
            thread.join()
        print(json.dumps(children | {os.getpid(): sum(counts)}))
        """,
        PERIOD="0.001",
    )
    assert len(told) == 21
    assert per_process(results) == told


@forks
def test_a_child_gathers_though_other_threads_held_every_lock(tmp_path: Path) -> None:
    """They are fresh in it, whether or not the profiler was gathering at the fork."""
    told, results = run_script(
        tmp_path,
        """
        from stichotrope.store import gather
        gather._PATIENCE_S = 0.01
        passes(1)
        quiet = Profiler("work")
        quiet.gather()
        quiet.stop_gathering()
        held = threading.Event()
        done, tell = os.pipe()

        def hold():
            with gather._LOCK, p._gathering._lock, quiet._gathering._lock:
                held.set()
                os.read(done, 1)

        def child():
            passes(2)
            quiet.track(0, "task")(lambda: None)()
            assert p.gather() and quiet.gather()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            child()
            p.stop_gathering()
            quiet.stop_gathering()
            os.write(tell, b"x")
            os._exit(0)
        status = ended(pid)
        holder.join()
        print(json.dumps([status, {os.getpid(): 1, pid: 3}]))
        """,
    )
    found = {str(process.pid): process.total_hits for process in results.processes}
    assert told == [0, found]


@forks
def test_a_fork_in_the_middle_of_a_write_harms_neither_file(tmp_path: Path) -> None:
    """The thread that writes is not in the child, and does not keep the fork waiting for ever."""
    told, results = run_script(
        tmp_path,
        """
        from stichotrope.store import gather
        gather._PATIENCE_S = 0.01
        writing, go_on = threading.Event(), threading.Event()
        real = os.fsync

        def stuck(descriptor):
            if threading.get_ident() != threading.main_thread().ident:
                writing.set()
                go_on.wait()
            real(descriptor)

        os.fsync = stuck
        p.gather(period_s=0.001)
        passes(5)
        writing.wait()
        half_written = [name for name in os.listdir(folder) if name.endswith(".tmp")]

        def child():
            os.fsync = real
            passes(3)
            mine = f"-{os.getpid()}-"  # which may be there already
            written = [n for n in os.listdir(folder) if n.endswith(".json") and mine not in n]
            wait_for(os.getpid(), 3)
            sys.exit(len(written))

        pid = fork(child)
        status = ended(pid)
        passes(1)
        go_on.set()
        wait_for(os.getpid(), 6)
        print(json.dumps([len(half_written), status, {pid: 3, os.getpid(): 6}]))
        """,
    )
    assert told[:2] == [1, 0]
    assert per_process(results) == told[2]


@forks
def test_the_thread_goes_on_in_parent_and_child(tmp_path: Path) -> None:
    """After each fork, in both; a child that was forked while nothing was gathered has none."""
    told, results = run_script(
        tmp_path,
        """
        from stichotrope.store import gather

        def count_threads():
            return int(gather._worker is not None and gather._worker._running.locked())

        counts = [count_threads()]
        counts.append(ended(fork(lambda: sys.exit(count_threads()))))
        counts.append(count_threads())
        passes(3)
        wait_for(os.getpid(), 3)
        p.stop_gathering()
        counts.append(ended(fork(lambda: sys.exit(count_threads()))))
        counts.append(count_threads())

        def child():
            passes(4)
            p.gather(period_s=0.001)
            wait_for(os.getpid(), 4)

        pid = fork(child)
        counts.append(ended(pid))
        print(json.dumps([counts, {os.getpid(): 3, pid: 4}]))
        """,
        PERIOD="0.01",
    )
    assert told[0] == [1, 1, 1, 0, 0, 0]
    assert per_process(results) == told[1]


@forks
@pytest.mark.skipif(
    not os.path.exists("/proc/self/stat"), reason="the interpreter counts threads another way"
)
@pytest.mark.skipif(
    (3, 13) <= sys.version_info < (3, 13, 10) or (3, 14) <= sys.version_info < (3, 14, 1),
    reason="the interpreter counts threads that are started after the fork (gh-137109)",
)
def test_a_fork_of_a_program_that_gathers_gets_no_warning_of_threads(tmp_path: Path) -> None:
    """The one that refreshes is out of the way."""
    told, _ = run_script(
        tmp_path,
        """
        passes(1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(50):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                assert ended(pid) == 0
        print(json.dumps([str(warning.message) for warning in caught]))
        """,
    )
    assert told == []


# multiprocessing, concurrent.futures, subprocess


@every_start_method
def test_processes_leave_their_results(method: str, tmp_path: Path) -> None:
    """Though they end by `os._exit`, and also when the target raised."""
    told, results = run_script(
        tmp_path,
        """
        def work(count, fail):
            passes(count)
            if fail:
                sys.exit(3)

        if __name__ == "__main__":
            context = multiprocessing.get_context(os.environ["METHOD"])
            passes(5)
            children = [context.Process(target=work, args=(n, n == 2)) for n in (1, 2, 3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            statuses = [child.exitcode for child in children]
            counts = {child.pid: n for child, n in zip(children, (1, 2, 3))}
            print(json.dumps([statuses, counts | {os.getpid(): 5}]))
        """,
        METHOD=method,
    )
    assert told[0] == [0, 3, 0]
    assert per_process(results) == told[1]


POOL = """
if __name__ == "__main__":
    from collections import Counter
    context = multiprocessing.get_context({method!r})
    passes(5)
    {pool}
    print(json.dumps(Counter(pids) + Counter({{os.getpid(): 5}})))
"""

POOLS = {
    "Pool": (
        "pool = context.Pool(2); pids = pool.map(task, range(40), 1); pool.close(); pool.join()"
    ),
    "Pool of short-lived workers": (
        "pool = context.Pool(2, maxtasksperchild=5); pids = pool.map(task, range(40), 1); "
        "pool.close(); pool.join()"
    ),
    "ProcessPoolExecutor": (
        "with concurrent.futures.ProcessPoolExecutor(2, context) as pool: "
        "pids = list(pool.map(task, range(40)))"
    ),
}


@every_start_method
@pytest.mark.parametrize("pool", POOLS)
def test_pools_leave_their_results(pool: str, method: str, tmp_path: Path) -> None:
    """Every task is one pass in the file of the worker that did it."""
    told, results = run_script(tmp_path, POOL.format(method=method, pool=POOLS[pool]))
    assert sum(told.values()) == 45
    assert per_process(results) == told


@pytest.mark.parametrize("method", sorted({"spawn", *multiprocessing.get_all_start_methods()}))
def test_a_child_may_begin_to_gather_while_it_works(method: str, tmp_path: Path) -> None:
    """And forks its own children from there; each leaves its results."""
    told, results = run_script(
        tmp_path,
        f"""
        def work(queue, depth):
            p.gather()
            passes(depth + 1)
            if depth:
                child = multiprocessing.get_context({method!r}).Process(
                    target=work, args=(queue, depth - 1)
                )
                child.start()
                child.join()
            queue.put((os.getpid(), depth + 1))

        if __name__ == "__main__":
            p.stop_gathering()
            queue = multiprocessing.get_context({method!r}).SimpleQueue()
            work(queue, 2)
            print(json.dumps(dict(queue.get() for _ in range(3))))
        """,
    )
    assert sorted(told.values()) == [1, 2, 3]
    assert per_process(results) == told


def test_a_program_that_is_started_opts_in_by_one_line(tmp_path: Path) -> None:
    """The environment says where; one that does not call `gather` leaves nothing."""
    told, results = run_script(
        tmp_path,
        """
        line = "p.gather()"
        program = (
            "from stichotrope import Profiler; import os; p = Profiler('work'); %s\\n"
            "for _ in range(4):\\n"
            "    with p.block(0, 'task'): print(end='')\\n"
            "print(os.getpid())"
        )
        pids = [
            subprocess.check_output([sys.executable, "-c", program % text], text=True)
            for text in (line, line, "")
        ]
        print(json.dumps([int(pid) for pid in pids]))
        """,
    )
    found = {str(process.pid): process.total_hits for process in results.processes}
    assert found == {str(told[0]): 4, str(told[1]): 4}
    assert [block.hit_count for block in results.get_track(0).blocks] == [8]


@pytest.mark.parametrize("ending", ["raise KeyError('x')", "sys.exit(7)", "pass"])
def test_a_program_writes_its_results_however_it_ends(ending: str, tmp_path: Path) -> None:
    """By an exception, by `sys.exit`, at its last line."""
    program = f"""
        import sys
        from stichotrope import Profiler
        p = Profiler("work")
        p.gather({str(tmp_path)!r}, period_s=1000)
        with p.block(0, "task"):
            pass
        {ending}
    """
    run_program(program)
    results = ProfilerResults.load_all(tmp_path)
    assert hits(results) == {"task": 1}
    assert len(results.processes) == 1
