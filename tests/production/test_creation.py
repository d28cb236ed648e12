"""Many made at once, and all dropped again: numbers of their own, exact counts, nothing kept alive."""

from __future__ import annotations

import functools
import gc
import weakref
from typing import Any

import pytest

from conftest import Threads
from production.conftest import Player
from production.subjects import KINDS, new_line
from stichotrope import Profiler, _core, profiler

pytestmark = [pytest.mark.concurrent, pytest.mark.integration]


def create(kind: str) -> Any:
    """Fifty threads make two things each, and pass through the number n so often: n % 7 + 1."""
    subject = KINDS[kind]()

    def work(thread: int) -> None:
        for number in (thread, thread + 50):
            subject.make(number)
            for _ in range(number % 7 + 1):
                with subject.open(number):
                    pass

    Threads().together(*(functools.partial(work, thread) for thread in range(50)))
    results = subject.results()
    return {
        "identities": sorted(subject.identity(number) for number in range(100)),
        "found": sum(subject.look_up(number) is not None for number in range(100)),
        "indices": sorted(block.block_idx for r in results for block in r.tracks[0].blocks),
        "hits": subject.hits(),
        "recording": sorted(share.total_hits for r in results for share in r.threads),
    }


def test_a_hundred_are_made_at_once_by_fifty_threads(play: Player, kind: str) -> None:
    """Each has a number of its own and exactly its passes."""
    of_each = {f"{number}": number % 7 + 1 for number in range(100)}
    by_thread = [[of_each[f"{n}"] for n in (thread, thread + 50)] for thread in range(50)]
    for facts in play(create, kind=kind):
        assert facts["hits"] == of_each
        assert facts["found"] == 100
        if kind == "profilers":
            assert len(set(facts["identities"])) == 100
            assert facts["indices"] == [0] * 100
            assert facts["recording"] == sorted(of_each.values())
        else:
            assert facts["identities"] == facts["indices"] == list(range(100))
            assert facts["recording"] == sorted(sum(pair) for pair in by_thread)


class Held:
    """A profiler, a function and a method of its own that it tracks, a block and a line, all used."""

    def __init__(self, number: int) -> None:
        def function() -> int:
            return number

        self.profiler = Profiler(f"held {number}")
        self.tracked = self.profiler.track(0)(function)
        self.method = self.profiler.track(0, "method")(Held.numbers)
        self.block = self.profiler.block(0, "block")
        self.line = new_line(number)
        with self.block, self.line(self.profiler):
            assert (self.tracked(), list(self.method(self))) == (number, [number])
        self.number = number

    def numbers(self) -> Any:
        """A generator that holds what it belongs to."""
        yield self.tracked()

    def references(self) -> dict[str, weakref.ref[Any]]:
        """To everything of it that can be referred to weakly."""
        return {
            "profiler": weakref.ref(self.profiler),
            "decorated": weakref.ref(self.tracked),
            "function": weakref.ref(self.tracked.__wrapped__),
            "method": weakref.ref(self.method),
            "code": weakref.ref(self.line.__code__),
            "holder": weakref.ref(self),
        }


def drop(how: str) -> Any:
    """Twenty threads make ten each; when all are there, they are dropped by those who made them."""
    before = _core.memory()["stores"]
    references: list[dict[str, weakref.ref[Any]]] = []
    threads = Threads()

    def make(first: int) -> list[Held]:
        held = [Held(number) for number in range(first, first + 10)]
        references.extend(one.references() for one in held)
        if how == "in cycles":
            for one in held:
                one.block_of_all = held  # type: ignore[attr-defined]
                one.tracked.holder = one  # type: ignore[attr-defined]
        return held

    made = threads.together(*(functools.partial(make, 10 * i) for i in range(20)))
    there = counted(references), _core.memory()["stores"] - before
    hits = sum(one.profiler.get_results().total_hits for part in made for one in part)
    threads.together(*[lambda: made.pop().clear() if how == "one by one" else made.pop()] * 20)
    gc.collect()
    gone = counted(references), _core.memory()["stores"] - before
    registered = len(profiler._PROFILER_REGISTRY)
    cached = len(profiler._CALL_SITE_CACHE)
    Profiler("next")
    return {
        "there": there,
        "gone": gone,
        "hits": hits,
        "registered": registered,
        "cached": [cached, len(profiler._CALL_SITE_CACHE)],
    }


def counted(references: list[dict[str, weakref.ref[Any]]]) -> dict[str, int]:
    """How many of each kind of weak reference are alive."""
    return {what: sum(group[what]() is not None for group in references) for what in references[0]}


@pytest.mark.parametrize("how", ["one by one", "in cycles"])
def test_two_hundred_profilers_and_decorated_functions_are_all_dropped(
    play: Player, how: str
) -> None:
    """All weak references to them are dead, and no registry knows them any more."""
    whats = ("profiler", "decorated", "function", "method", "code", "holder")
    for facts in play(drop, how=how):
        assert facts["there"] == [dict.fromkeys(whats, 200), 200]
        assert facts["hits"] == 200 * 5
        assert facts["gone"] == [dict.fromkeys(whats, 0), 0]
        assert facts["registered"] == 0
        assert facts["cached"] == [200 * 4, 0]
