"""Pools of processes in a run: they take what they take without it, and nothing they call is missed."""

from __future__ import annotations

import json
import textwrap
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods
from multiprocessing.pool import Pool, ThreadPool
from pathlib import Path
from typing import Any

import pytest

from conftest import run_program
from stichotrope.integrations import processes

pytestmark = pytest.mark.integration

# A spawned process imports everything anew, which takes seconds.
METHODS = [
    pytest.param(method, marks=[pytest.mark.extended] if method == "spawn" else [])
    for method in sorted({"spawn", *get_all_start_methods()} - {"forkserver"})
]
PRELUDE = """
import json, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from stichotrope import Profiler
from stichotrope.integrations import processes

context = multiprocessing.get_context(sys.argv[1])
p = Profiler("p")

@p.track("work")
def work(n=0):
    return n

@p.track("work")
def ready(n):
    return n

def nested(count):
    with ProcessPoolExecutor(1, context) as pool:
        return sum(pool.map(work, range(count)))

def recorded(run):
    found = {}
    for track in run.results().tracks.values():
        found |= {block.name: block.hit_count for block in track.blocks if block.hit_count}
    return found
"""


def run_script(directory: Path, method: str, program: str) -> Any:
    """Run a program as a script with a start method; return what it printed, as JSON."""
    script = directory / "program.py"
    script.write_text(
        PRELUDE
        + "if __name__ == '__main__':\n"
        + textwrap.indent(textwrap.dedent(program), "    "),
        encoding="utf-8",
    )
    done = run_program("", str(script), method)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("method", METHODS)
def test_a_function_may_be_given_by_name(method: str, tmp_path: Path) -> None:
    """As every method of a pool allows it that takes one."""
    assert run_script(
        tmp_path,
        method,
        """
        with processes.profile() as run, context.Pool(1) as pool:
            told = [pool.apply_async(func=work, args=(3,)).get(), pool.apply(func=work)]
            told += pool.imap(func=work, iterable=[1])
            told += pool.imap_unordered(func=work, iterable=[2])
            told += pool.map(func=work, iterable=[4])
            told += pool.starmap(func=work, iterable=[[5]])
        print(json.dumps([told, recorded(run)]))
        """,
    ) == [[3, 0, 1, 2, 4, 5], {"work": 6}]


@pytest.mark.parametrize("method", METHODS)
def test_what_an_initializer_records_is_there(method: str, tmp_path: Path) -> None:
    """Given by place or by name; the pools are of the run's block."""
    assert run_script(
        tmp_path,
        method,
        """
        with processes.profile() as run:
            with ProcessPoolExecutor(1, context, ready, (1,)) as pool:
                pool.submit(work).result()
            with context.Pool(1, initializer=ready, initargs=(1,)) as pool:
                pool.apply(work)
        print(json.dumps(recorded(run)))
        """,
    ) == {"work": 2, "ready": 2}


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_in_a_pool_is_of_the_run(method: str, tmp_path: Path) -> None:
    """Of the run that goes on, when its worker was of another run before."""
    assert run_script(
        tmp_path,
        method,
        """
        found = []
        with ProcessPoolExecutor(1, context) as pool:
            for count in (10, 7):
                with processes.profile() as run:
                    assert pool.submit(nested, count).result() == sum(range(count))
                found.append(recorded(run))
            pool.submit(nested, 5).result()
        print(json.dumps(found))
        """,
    ) == [{"work": 10}, {"work": 7}]


def wrong_calls() -> list[str]:
    """What pools say of calls that they refuse."""
    said = []
    threads: Any = ThreadPool
    executor: Any = ProcessPoolExecutor
    with threads(1) as pool:
        for call in (
            lambda: pool.apply_async(),
            lambda: pool.apply_async(function=len),
            lambda: pool.imap(iterable=[1]),
            lambda: pool.apply_async(None).get(),
            lambda: threads(1, initializer=3),
            lambda: executor(1, initializer=3),
            lambda: executor(1).submit(),
            lambda: executor(1).submit(fn=len),
        ):
            with pytest.raises((TypeError, ValueError)) as caught:
                call()
            said.append(str(caught.value))
    return said


def test_what_pools_refuse_they_refuse_in_the_same_words() -> None:
    """And their methods are their own again when the run is over, also a run in another."""
    bare = wrong_calls()
    methods = [vars(Pool)["imap"], vars(Pool)["__init__"], vars(ProcessPoolExecutor)["submit"]]
    with processes.profile():
        with processes.profile():
            assert wrong_calls() == bare
        assert wrong_calls() == bare
        assert vars(Pool)["imap"] is not methods[0]
    assert methods == [
        vars(Pool)["imap"],
        vars(Pool)["__init__"],
        vars(ProcessPoolExecutor)["submit"],
    ]
