"""Writes the seed corpus: results of small programs, as they are saved. Run it to make the files anew."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stichotrope import Profiler, ProfilerResults, _core

CORPUS = Path(__file__).parent / "corpus"


def block(p: Profiler, track: int | str, name: str, line: int = 1) -> Any:
    """A block of a program that is not here: the corpus must not depend on where it was made."""
    site = p._intern_block(track, name, "/srv/app/main.py", line)
    return p._wrap(lambda body=None: body and body(), site, False, False)


def spend(ns: int) -> None:
    """Let time pass on this thread."""
    spent.ns = getattr(spent, "ns", 0) + ns
    _core.set_manual_ticks(spent.ns)


spent = threading.local()


def nothing() -> ProfilerResults:
    """A profiler that was never used."""
    return Profiler("idle").get_results()


def nested() -> ProfilerResults:
    """Blocks in blocks, recursion, two tracks of which one is off by now."""
    p = Profiler("nested")
    inner, outer = block(p, 0, "inner", 3), block(p, "I/O", "outer", 7)
    for ns in (5, 300, 70_000, 2**40):
        steps = (
            partial(spend, 1),
            partial(inner, partial(spend, ns)),
            partial(outer, partial(spend, 2)),
        )
        outer(lambda steps=steps: [step() for step in steps])
    p.set_track_enabled("I/O", False)
    return p.get_results()


def threads() -> ProfilerResults:
    """Threads that ended, of which two share a line, and names that need care."""
    p = Profiler("threads", retain_threads=1)
    names = ["=1+1", 'a,b\n"c"', "\ud800 half", "µ\x1b[31m", "\0"]
    blocks = [block(p, 0, name, line) for line, name in enumerate(names)]

    def work() -> None:
        for each in blocks:
            each(lambda: spend(10))

    for number in range(3):
        worker = threading.Thread(target=work, name=f"worker {number}")
        worker.start()
        worker.join()
    work()
    return p.get_results()


def full() -> ProfilerResults:
    """A call tree that was full, a clock that went backwards."""
    p = Profiler("full", max_nodes=2)
    blocks = [block(p, 0, f"b{number}") for number in range(5)]
    for each in blocks:
        each(lambda: blocks[0](lambda: spend(3)))
    blocks[1](lambda: spend(-2))
    return p.get_results()


def suspended() -> ProfilerResults:
    """A generator and a coroutine."""
    p = Profiler("suspended")

    def generator() -> Iterator[int]:
        spend(2)
        yield 1
        spend(3)

    async def coroutine() -> None:
        spend(1)
        await asyncio.sleep(0)
        spend(1)

    wrap: Callable[..., Any] = p._wrap
    tracked = wrap(generator, p._intern_block(0, "generator", "/srv/app/main.py", 1), True, True)
    awaited = wrap(coroutine, p._intern_block(1, "coroutine", "/srv/app/main.py", 2), True, True)
    for _ in tracked():
        spend(100)
    asyncio.run(awaited())
    return p.get_results()


def merged() -> ProfilerResults:
    """Runs taken together."""
    return nested().merge(threads(), suspended())


if __name__ == "__main__":
    _core.use_clock("manual")
    for make in (nothing, nested, threads, full, suspended, merged):
        spent.ns = 0
        _core.set_manual_ticks(0)
        (CORPUS / f"{make.__name__}.json").write_text(make().to_json(None), encoding="utf-8")
