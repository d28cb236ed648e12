"""Processes and interpreters: what a child did, what stays with its parent, how a process ends."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from ..adapters import Tool, current, marked
from ..cases import case
from ..truth import Pass, write_down

# Several of the periods in which a tool may refresh what it keeps of a process.
REFRESHED_S = 0.5


@marked("in_process")
def in_process(number: int) -> int:
    """One pass in whichever process it is called."""
    one = Pass("in_process")
    one.spin()
    one.tell()
    write_down()
    return number


def in_pool(number: int) -> int:
    """One pass, by a name that every start method finds."""
    return int(in_process(number))


@case("fork: the parent's figures stay", needs=("os.fork",))
def fork(tool: Tool) -> None:
    """Two calls, a child that makes three more, and one call after it."""
    in_process(1)
    in_process(2)
    child = os.fork()
    if not child:
        for _ in range(3):
            in_process(0)
        os._exit(0)
    os.waitpid(child, 0)
    in_process(3)


@case("fork: the child's figures", needs=("os.fork",), children=True)
def forked_child(tool: Tool) -> None:
    """A child that ends as a process ends, with sys.exit."""
    in_process(1)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=in_pool, args=(n,)) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()


@case("spawn: the child's figures", children=True)
def spawned_child(tool: Tool) -> None:
    """Children that begin as new interpreters."""
    in_process(1)
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=in_pool, args=(n,)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()


@case("process pool: the workers' figures", children=True)
def process_pool(tool: Tool) -> None:
    """Two workers, six calls."""
    method = "fork" if hasattr(os, "fork") else "spawn"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert sum(pool.map(in_pool, range(6))) == 15


@case("subprocess of a Python program", children=True)
def python_subprocess(tool: Tool) -> None:
    """A program that imports what is marked."""
    program = f"from {__name__} import in_process; in_process(1)"
    in_process(1)
    subprocess.run([sys.executable, "-c", program], check=True)


@case("os._exit of a child (its figures)", needs=("os.fork",), children=True)
def exit_at_once(tool: Tool) -> None:
    """It ends without any handler, some time after its last call."""
    in_process(1)
    child = os.fork()
    if not child:
        in_process(2)
        time.sleep(REFRESHED_S)
        os._exit(0)
    os.waitpid(child, 0)


@case("sys.exit inside a call")
def system_exit(tool: Tool) -> dict[str, bool]:
    """The call that asks for the end is a pass as well."""

    def leaving() -> None:
        one = Pass("leaving")
        one.spin()
        one.tell()
        sys.exit(3)

    function = tool.mark(leaving, "leaving")
    status = None
    try:
        function()
    except SystemExit as ended:
        status = ended.code
    return {"the status goes through": status == 3}


@case("another interpreter in the process")
def subinterpreter(tool: Tool) -> None:
    """It tries to import the tool; the first one goes on."""
    try:
        interpreters = import_module("_interpreters")
    except ImportError:
        interpreters = import_module("_xxsubinterpreters")
    in_process(1)
    module = current().module or "time"
    inside = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"try:\n    import {module}\nexcept ImportError:\n    pass\n"
    )
    other = interpreters.create()
    failure = interpreters.run_string(other, inside)
    assert failure is None, failure
    interpreters.destroy(other)
    in_process(2)
