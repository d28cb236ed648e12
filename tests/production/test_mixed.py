"""All kinds of passes and all kinds of operations at once: exact counts per kind, and nobody waits for ever."""

from __future__ import annotations

import functools
import gc
import threading
import types
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import pytest

from conftest import WATCHDOG_SECONDS, Threads
from production.conftest import Player
from production.subjects import KINDS, Subject, all_hits

pytestmark = [pytest.mark.concurrent, pytest.mark.integration]


# What is decorated


def function(meet: Callable[[], None]) -> None:
    """Meet the others inside."""
    meet()


def generator() -> Generator[None, None, None]:
    """Stand still in the middle."""
    yield


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Let a coroutine stand still."""
    yield


async def coroutine() -> None:
    """Stand still in the middle."""
    await pause()


# 80 passes by 40 threads


def pass_through(subject: Subject, kind: int, number: int, meet: Callable[[], None]) -> None:
    """One pass, in the middle of which the others are met."""
    if kind == 0:
        subject.tracked(number, function)(meet)
    elif kind == 1:
        with subject.open(number):
            meet()
    else:
        made = subject.tracked(number, generator if kind == 2 else coroutine)()
        made.send(None)
        meet()
        try:
            made.send(None)
        except StopIteration:
            return
        raise AssertionError("it should have come to its end")


def mix_passes(kind: str) -> Any:
    """Forty threads make two passes each, of four kinds, with five things; all stand in the middle at once."""
    subject = KINDS[kind]()
    for number in range(5):
        subject.make(number)
    middle = threading.Barrier(40)

    def meet() -> None:
        middle.wait(WATCHDOG_SECONDS)

    def work(thread: int) -> None:
        for place in (2 * thread, 2 * thread + 1):
            pass_through(subject, place % 4, place // 4 % 5, meet)

    Threads().together(*(functools.partial(work, thread) for thread in range(40)))
    results = subject.results()
    of_threads: Counter[int] = Counter()
    for found in results:
        for share in found.threads:
            of_threads[share.key] += share.total_hits
    return {
        "hits": all_hits(results),
        "threads": sorted(of_threads.values()),
        "at the top": sum(node.hit_count for r in results for node in r.tree.children),
    }


def test_eighty_passes_of_four_kinds_are_counted_by_kind(play: Player, kind: str) -> None:
    """Decorated functions, blocks, generators and coroutines, open at the same time: 20 of each."""
    names = ("function {}", "{}", "generator {}", "coroutine {}")
    expected = {name.format(number): 4 for name in names for number in range(5)}
    for facts in play(mix_passes, kind=kind):
        assert facts["hits"] == expected
        assert sum(facts["hits"].values()) == 80
        assert facts["threads"] == [2] * 40
        assert facts["at the top"] == 80


# 100 operations by 20 threads


class Garbage:
    """A cycle whose finalizer does something when the collector comes by, on whatever thread."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.myself = self

    def __del__(self) -> None:
        self.action()


class Operations:
    """What threads do, all of it inside an open block.

    Things 0 to 4 are there from the start, one for each operation; 5 is for finalizers, and new
    ones have numbers from 100 on.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.done: list[str] = []
        self.wrong: list[str] = []
        for number in range(6):
            subject.make(number)

    def read(self, thread: int) -> None:
        """Read what is recorded: the pass around it is not, yet."""
        before = self.subject.hits()
        after = self.subject.hits()
        if any(after[name] < count for name, count in before.items()):
            self.wrong.append(f"{before} came before {after}")
        self.done.append("read")

    def finalize(self, thread: int) -> None:
        """Leave garbage that reads and records when it is collected."""
        Garbage(self.in_finalizer)
        gc.collect()
        self.done.append("finalize")

    def in_finalizer(self) -> None:
        """What garbage does."""
        with self.subject.open(5):
            self.subject.hits()
        self.done.append("in finalizer")

    def register(self, thread: int) -> None:
        """Make a new thing and pass through it."""
        self.subject.make(100 + thread)
        with self.subject.look_up(100 + thread):
            pass
        self.done.append("register")

    def switch(self, thread: int) -> None:
        """Switch another track of the same profiler, and the profiler on, which it is."""
        p = self.subject.profiler(3)
        p.set_track_enabled(1, thread % 2 == 0)
        p.start()
        self.done.append("switch")

    def decorate(self, thread: int) -> None:
        """Decorate a function, and read in it."""
        self.subject.tracked(4, function)(lambda: self.read(thread))
        self.done.append("decorate")


def mix_operations(kind: str) -> Any:
    """Twenty threads do five things each, in another order each, while the collector is busy."""
    subject = KINDS[kind]()
    operations = Operations(subject)
    all_of_them = [
        operations.read,
        operations.finalize,
        operations.register,
        operations.switch,
        operations.decorate,
    ]

    def work(thread: int) -> None:
        for place in range(5):
            number = (thread + place) % 5
            with subject.open(number):
                all_of_them[number](thread)

    thresholds = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        Threads().together(*(functools.partial(work, thread) for thread in range(20)))
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    return {
        "hits": subject.hits(),
        "done": Counter(operations.done),
        "wrong": operations.wrong,
    }


def test_a_hundred_mixed_operations_inside_open_blocks_all_end(play: Player, kind: str) -> None:
    """Reading, registering and switching inside open blocks, and in finalizers: each once, and nobody waits for ever."""
    old = {f"{number}": 20 for number in range(6)}
    new = {f"{100 + thread}": 1 for thread in range(20)}
    for facts in play(mix_operations, kind=kind):
        assert facts["wrong"] == []
        twenty = ("finalize", "in finalizer", "register", "switch", "decorate")
        assert facts["done"] == {"read": 40, **dict.fromkeys(twenty, 20)}
        assert facts["hits"] == {**old, **new, "function 4": 20}
